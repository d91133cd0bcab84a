// SPDX-License-Identifier: GPL-2.0

//! The GRE tracker.
//!
//! | answered | timeout | proven |
//! | --- | --- | --- |
//! | no | the entry's unreplied one | - |
//! | yes | the entry's replied one | from now on, unless it was a clash |
//!
//! The entry keeps timeouts of its own, taken when it is confirmed. The PPTP helper writes them
//! before, and they are overwritten with the defaults all the same: users see those values in
//! listings.
//!
//! C counterpart: `nf_conntrack_gre_packet`.

use super::super::num::Dir;
use super::super::policy::proof::Turns;
use super::super::status::Status;

/// How long an entry stays without a packet, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Without an answer.
    pub unreplied: u32,
    /// Answered.
    pub replied: u32,
}

/// What a packet does to its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The entry's own timeouts, if it has to learn them.
    pub timers: Option<Timers>,
    /// Ticks that the entry stays from now on.
    pub timeout: u32,
    /// Whether the entry is proven now; it may have been so before.
    pub assure: bool,
    /// The turns that the originator has taken.
    pub turns: Turns,
    /// Whether it gets the answers, as far as that can be told.
    pub returns: bool,
}

/// What an entry remembers between packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Timeouts of its own.
    pub timers: Timers,
    /// The turns that the originator has taken.
    pub turns: Turns,
}

/// What a packet in direction `dir` does to the entry with this `status`; `limits` are those of the
/// namespace or of the policy attached to the flow.
#[inline]
pub const fn step(status: Status, dir: Dir, memory: Memory, limits: Timers) -> Step {
    let learned = if status.has(Status::CONFIRMED) {
        None
    } else {
        Some(limits)
    };
    let timers = match learned {
        Some(learned) => learned,
        None => memory.timers,
    };
    let answered = status.has(Status::SEEN_REPLY);
    let turns = memory.turns.after(dir);
    Step {
        timers: learned,
        timeout: if answered {
            timers.replied
        } else {
            timers.unreplied
        },
        assure: answered && !status.any(Status::ASSURED.with(Status::NAT_CLASH)),
        turns,
        returns: answered && turns.are_enough(),
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_gre)
)]
mod tests {
    use super::*;

    const OWN: Timers = Timers {
        unreplied: 1,
        replied: 2,
    };
    const LIMITS: Timers = Timers {
        unreplied: 30,
        replied: 180,
    };

    #[test]
    fn status_decides() {
        let seen = Status::CONFIRMED | Status::SEEN_REPLY;
        let table = [
            (Status(0), Some(LIMITS), 30, false),
            (Status::SEEN_REPLY, Some(LIMITS), 180, true),
            (Status::CONFIRMED, None, 1, false),
            (seen, None, 2, true),
            (seen | Status::ASSURED, None, 2, false),
            (seen | Status::NAT_CLASH, None, 2, false),
        ];
        for (status, timers, timeout, assure) in table {
            let expected = Step {
                timers,
                timeout,
                assure,
                turns: Turns::from_raw(1),
                returns: false,
            };
            let memory = |turns| Memory {
                timers: OWN,
                turns: Turns::from_raw(turns),
            };
            let got = step(status, Dir::Original, memory(1), LIMITS);
            assert_eq!(got, expected);
            let answered = status.has(Status::SEEN_REPLY);
            let after = |turns, dir| step(status, dir, memory(turns), LIMITS).returns;
            assert_eq!(after(5, Dir::Original), answered);
            assert!(!after(4, Dir::Original) && !after(1, Dir::Reply));
        }
    }
}
