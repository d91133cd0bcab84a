// SPDX-License-Identifier: GPL-2.0

//! Soft timeouts: how long a live connection may be idle before it goes while the table is full.
//!
//! There is one for each state in which a connection can be alive: the namespace's, and in a policy
//! that is attached to the connection its own. Zero is none: such a connection stays. A connection
//! that one side has ended is not alive, so it goes at once; there a soft timeout is the idle time
//! for which it counts as alive all the same.

use super::super::l4::tcp::table::State;
use super::super::l4::tcp::Slot;
use super::super::status::Status;
use super::timeout::Seconds;

/// The word of a policy that says nothing, so that the namespace's counts.
pub const UNSET: u32 = u32::MAX;

/// States of TCP that have a soft timeout, as places in a row of timeouts.
pub const TCP: [usize; 5] = [
    Slot::of(State::Established).index(),
    Slot::of(State::FinWait).index(),
    Slot::of(State::CloseWait).index(),
    Slot::RETRANS.index(),
    Slot::UNACK.index(),
];

/// How long an entry has been idle, in ticks, when it has `left` of the `limit` that each packet
/// gives an entry in its state. What has more left than that was not idle at all: somebody gave it
/// a longer life, or its limit was lowered since.
#[inline]
pub const fn idle(limit: u32, left: u32) -> u32 {
    limit.saturating_sub(left)
}

/// Whether an entry that has been `idle` for so many ticks may go, with a soft timeout of `soft`
/// ticks. Zero is none.
#[inline]
pub const fn is_over(idle: u32, soft: u32) -> bool {
    soft != 0 && idle >= soft
}

/// Ticks between two looks for what has become idle in a table where nothing else may go, if the
/// first connection will be so in `until_idle` ticks. At least a second, so that looking costs
/// little; at most eight, as soft timeouts may be set, or shortened, meanwhile.
#[inline]
pub const fn next_look(until_idle: u32, hz: u32) -> u32 {
    let most = hz.saturating_mul(8);
    if until_idle < hz {
        hz
    } else if until_idle > most {
        most
    } else {
        until_idle
    }
}

/// Whether packets move the deadline of an entry with this `status`: if not, its idle time cannot
/// be told from it, and neither a soft timeout nor scaling is for it.
#[inline]
pub const fn can_tell_idle(status: Status) -> bool {
    !status.any(Status(Status::FIXED_TIMEOUT.0 | Status::OFFLOAD.0))
}

/// A soft timeout as user space gives it. `None` for what the sysctls refuse, too: ticks that do
/// not fit 31 bits.
#[inline]
pub const fn ticks(seconds: Seconds, hz: u32) -> Option<u32> {
    match seconds.0.checked_mul(hz) {
        Some(ticks) if ticks <= i32::MAX as u32 => Some(ticks),
        _ => None,
    }
}

/// The soft timeout that counts: the `policy`'s, unless it says nothing, or else the namespace's.
#[inline]
pub const fn of(policy: Option<u32>, namespace: u32) -> u32 {
    match policy {
        Some(ticks) if ticks != UNSET => ticks,
        _ => namespace,
    }
}

/// What may have a soft timeout of its own in a TCP connection: its state `raw`, or what is wrong
/// with it, if that is more: the same acknowledgement came `retrans` times, of `most`, or data are
/// `unacknowledged`. The second is what counts where there is none for the first.
#[inline]
pub fn of_tcp(raw: u8, retrans: u8, most: u8, unacknowledged: bool) -> (Slot, Slot) {
    let usual = match State::from_raw(raw) {
        Some(state @ (State::FinWait | State::CloseWait)) => Slot::of(state),
        // Whatever else an assured connection is in.
        _ => Slot::of(State::Established),
    };
    let special = if usual != Slot::of(State::Established) {
        usual
    } else if retrans >= most && retrans > 0 {
        Slot::RETRANS
    } else if unacknowledged {
        Slot::UNACK
    } else {
        usual
    };
    (special, usual)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_soft)
)]
mod tests {
    use super::*;

    #[test]
    fn looks_for_what_is_idle() {
        let table = [(0, 100), (99, 100), (250, 250), (900, 800), (u32::MAX, 800)];
        for (until_idle, ticks) in table {
            assert_eq!(next_look(until_idle, 100), ticks);
        }
    }

    #[test]
    fn idle_beyond_the_soft_timeout() {
        let table = [
            (1000, 1000, 100, false),
            (1000, 901, 100, false),
            (1000, 900, 100, true),
            (1000, 0, 100, true),
            (1000, 0, 0, false),
            (1000, 5000, 1, false),
            (u32::MAX, 0, u32::MAX, true),
        ];
        for (limit, left, soft, expected) in table {
            assert_eq!(is_over(idle(limit, left), soft), expected);
        }
    }

    #[test]
    fn who_says_how_long() {
        let table = [
            (None, 0, 0),
            (None, 7, 7),
            (Some(UNSET), 7, 7),
            (Some(0), 7, 0),
            (Some(5), 7, 5),
            (Some(5), 0, 5),
        ];
        for (policy, namespace, expected) in table {
            assert_eq!(of(policy, namespace), expected);
        }
    }

    #[test]
    fn seconds_that_fit() {
        let table = [
            (0, 250, Some(0)),
            (60, 250, Some(15_000)),
            (8_589_934, 250, Some(2_147_483_500)),
            (8_589_935, 250, None),
            (u32::MAX, 1, None),
            (u32::MAX, 1000, None),
            (0x7fff_ffff, 1, Some(0x7fff_ffff)),
            (0x8000_0000, 1, None),
        ];
        for (seconds, hz, expected) in table {
            assert_eq!(ticks(Seconds(seconds), hz), expected);
            // Never the word that says nothing.
            assert!(ticks(Seconds(seconds), hz) != Some(UNSET));
        }
    }

    #[test]
    fn fixed_and_carried_entries_tell_nothing() {
        assert!(can_tell_idle(Status::ASSURED | Status::CONFIRMED));
        assert!(!can_tell_idle(Status::ASSURED | Status::FIXED_TIMEOUT));
        assert!(!can_tell_idle(Status::OFFLOAD));
    }

    #[test]
    fn slots_of_tcp() {
        let (established, fin, close) = (
            Slot::of(State::Established),
            Slot::of(State::FinWait),
            Slot::of(State::CloseWait),
        );
        let (retrans, unack) = (Slot::RETRANS, Slot::UNACK);
        let table = [
            // state, repetitions, data on their way
            (3, 0, false, (established, established)),
            (3, 2, false, (established, established)),
            (3, 0, true, (unack, established)),
            (3, 2, true, (unack, established)),
            (3, 3, true, (retrans, established)),
            (3, 255, false, (retrans, established)),
            (4, 9, true, (fin, fin)),
            (5, 9, true, (close, close)),
            (1, 0, false, (established, established)),
            (200, 0, false, (established, established)),
        ];
        for (state, repeated, data, expected) in table {
            assert!(of_tcp(state, repeated, 3, data) == expected);
        }
        // Without a limit nothing has been repeated too often.
        assert!(of_tcp(3, 0, 0, false) == (established, established));
        assert!(TCP.iter().all(|slot| *slot < Slot::COUNT));
    }
}
