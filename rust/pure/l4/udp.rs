// SPDX-License-Identifier: GPL-2.0

//! The UDP tracker.
//!
//! | answered | two seconds old | timeout | proven |
//! | --- | --- | --- | --- |
//! | no | any | unreplied | - |
//! | yes | no | unreplied | - |
//! | yes | yes | replied | from now on, unless it was a clash |
//!
//! Proven here is what user space knows as assured. Whether the originator gets the answers, on
//! which eviction depends, is counted beside it: [`policy::proof`](super::super::policy::proof).
//!
//! So a question with one answer (a name look-up) goes soon, and what keeps talking stays.
//!
//! C counterpart: `nf_conntrack_udp_packet`. The checks before it are in
//! [`wire::udp`](super::super::wire::udp).

use super::super::num::Dir;
use super::super::num::Jiffies;
use super::super::policy::proof::Turns;
use super::super::status::Status;

/// Seconds after which an answered flow is a stream.
pub const STREAM_SECONDS: u32 = 2;

/// How long an entry stays without a packet, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Without an answer, or answered a moment ago.
    pub unreplied: u32,
    /// A stream.
    pub replied: u32,
}

/// What a datagram does to its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When the flow counts as a stream, if the entry has to learn it.
    pub stream: Option<Jiffies>,
    /// Ticks that the entry stays from now on.
    pub timeout: u32,
    /// Whether the entry is proven now; it may have been so before.
    pub assure: bool,
    /// The turns that the originator has taken.
    pub turns: Turns,
    /// Whether it gets the answers, as far as that can be told.
    pub returns: bool,
}

/// What an entry remembers between datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// When it counts as a stream.
    pub stream: Jiffies,
    /// The turns that the originator has taken.
    pub turns: Turns,
}

/// What a valid datagram in direction `dir` does to the entry with this `status`. `hz` is the number
/// of ticks in a second.
#[inline]
pub const fn step(
    status: Status,
    dir: Dir,
    memory: Memory,
    now: Jiffies,
    hz: u32,
    limits: &Limits,
) -> Step {
    let learned = if status.has(Status::CONFIRMED) {
        None
    } else {
        Some(now.plus(hz.wrapping_mul(STREAM_SECONDS)))
    };
    let since = match learned {
        Some(learned) => learned,
        None => memory.stream,
    };
    let streaming = status.has(Status::SEEN_REPLY) && now.after(since);
    let turns = memory.turns.after(dir);
    Step {
        stream: learned,
        timeout: if streaming {
            limits.replied
        } else {
            limits.unreplied
        },
        // An entry from a clash sees one direction only and is to go soon.
        assure: streaming && !status.any(Status::ASSURED.with(Status::NAT_CLASH)),
        turns,
        returns: streaming && turns.are_enough(),
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_udp)
)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        unreplied: 30,
        replied: 120,
    };
    const MEMORY: Memory = Memory {
        stream: Jiffies(1000),
        turns: Turns::from_raw(0),
    };
    const ENOUGH: Turns = Turns::from_raw(2);

    #[test]
    fn status_and_age_decide() {
        let seen = Status::CONFIRMED | Status::SEEN_REPLY;
        // (status, ticks beyond the stream mark, timeout, assured)
        let table = [
            (Status::CONFIRMED, -9, 30, false),
            (Status::CONFIRMED, 9, 30, false),
            (seen, -9, 30, false),
            (seen, 0, 30, false),
            (seen, 1, 120, true),
            (seen | Status::ASSURED, 1, 120, false),
            (seen | Status::ASSURED, 0, 30, false),
            (seen | Status::NAT_CLASH, 1, 120, false),
        ];
        for (status, late, timeout, assure) in table {
            let now = Jiffies(MEMORY.stream.0.wrapping_add_signed(late));
            let expected = Step {
                stream: None,
                timeout,
                assure,
                turns: MEMORY.turns,
                returns: false,
            };
            let dir = Dir::Original;
            assert_eq!(step(status, dir, MEMORY, now, 250, &LIMITS), expected);
            // With turns enough, a stream is proof.
            let memory = Memory {
                turns: ENOUGH,
                ..MEMORY
            };
            let expected = Step {
                turns: ENOUGH,
                returns: timeout == LIMITS.replied,
                ..expected
            };
            assert_eq!(step(status, dir, memory, now, 250, &LIMITS), expected);
        }
    }

    #[test]
    fn the_clock_starts_with_the_first_packet() {
        for status in [Status(0), Status::SEEN_REPLY, Status::EXPECTED] {
            let now = Jiffies(usize::MAX - 1);
            let expected = Step {
                stream: Some(Jiffies(498)),
                timeout: 30,
                assure: false,
                turns: MEMORY.turns,
                returns: false,
            };
            let got = step(status, Dir::Original, MEMORY, now, 250, &LIMITS);
            assert_eq!(got, expected);
        }
    }
}
