// SPDX-License-Identifier: GPL-2.0

//! What the worker takes before anybody needs the place: entries that are dead and idle, so that a
//! count that is high says that connections are alive.
//!
//! From [`FROM`] percent of the limit on, an entry of a class goes once it has been idle for so many
//! seconds; fewer the nearer the count is to [`BRISK`] percent, and not fewer above that:
//!
//! | class | at the first mark | from the second on |
//! | --- | --- | --- |
//! | expired | 0 | 0 |
//! | closed | 10 | 1 |
//! | closing | 60 | 30 |
//! | unreplied | 60 | 20 |
//! | answered | half of its timeout, and 60 | half of its timeout, and 20 |
//! | idle, active | never | never |
//!
//! So whatever has the shortest time of its class behind it is gone before the count stays at the
//! second mark, and what goes at the first mark is what has been idle longest.
//!
//! # Why nobody is harmed
//!
//! An unreplied entry that goes had no packet for twenty seconds, which is no round trip: an honest
//! handshake that is under way is younger, or its next attempt refreshes or makes its entry. So a
//! flood that goes on loses nothing to this that it would not have lost to packets. An answered
//! one keeps half of its timeout, which is days for a TCP connection that was picked up in its
//! middle. A closing one has been silent in both directions: half a connection that still carries
//! data is not idle.
//!
//! No C counterpart.

use super::super::status::Status;
use super::class::Class;
use super::timeout::Seconds;

/// Percent of the limit above which the dead go.
pub const FROM: u32 = 70;
/// Percent of the limit from which on they go soonest.
pub const BRISK: u32 = 75;

/// Seconds between two walks, at least.
const OFTEN: Seconds = Seconds(1);
/// Seconds between two walks that find next to nothing, at most.
const SELDOM: Seconds = Seconds(8);

/// How far the count is between the two marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tidy {
    /// Of [`Self::WHOLE`]; zero below the first mark.
    urgency: u32,
}

impl Tidy {
    const WHOLE: u32 = 256;

    /// What to do about `count` entries where `max` may be.
    #[allow(clippy::cast_possible_truncation)]
    pub const fn new(count: u32, max: u32) -> Self {
        // In hundredths of an entry; 32 bits times 7 bits fit.
        let count = (count as u64).saturating_mul(100);
        let from = (max as u64).saturating_mul(FROM as u64);
        let brisk = (max as u64).saturating_mul(BRISK as u64);
        let urgency = if count <= from {
            0
        } else if count >= brisk {
            Self::WHOLE
        } else {
            let above = count
                .saturating_sub(from)
                .saturating_mul(Self::WHOLE as u64);
            match above.checked_div(brisk.saturating_sub(from)) {
                Some(urgency @ 1..=255) => urgency as u32,
                Some(_) | None => 1,
            }
        };
        Tidy { urgency }
    }

    /// Whether anything is to be done.
    #[inline]
    pub const fn is_due(self) -> bool {
        self.urgency != 0
    }

    /// How long an entry of a class has to be idle to go, in ticks of `hz` a second, if its last
    /// packet gave it `timeout` ticks; `None` if it stays.
    #[inline]
    pub const fn patience(self, class: Class, timeout: u32, hz: u32) -> Option<u32> {
        if !self.is_due() {
            return None;
        }
        match class {
            Class::Expired => Some(0),
            Class::Closed => Some(self.between(10, 1, hz)),
            Class::Closing => Some(self.between(60, 30, hz)),
            Class::Unreplied => Some(self.between(60, 20, hz)),
            Class::Answered => {
                let (least, half) = (self.between(60, 20, hz), timeout / 2);
                Some(if half > least { half } else { least })
            }
            Class::Idle | Class::Active => None,
        }
    }

    /// Seconds between `first`, at the first mark, and `last`, in ticks.
    #[allow(clippy::cast_possible_truncation)]
    const fn between(self, first: u32, last: u32, hz: u32) -> u32 {
        let (first, last) = (Seconds(first).ticks(hz), Seconds(last).ticks(hz));
        let span = (first.saturating_sub(last) as u64).saturating_mul(self.urgency as u64);
        // At most the span, as the urgency is at most the whole.
        let less = (span / Self::WHOLE as u64) as u32;
        first.saturating_sub(less)
    }

    /// Whether an entry goes that has been `idle` ticks of its `timeout`.
    ///
    /// One whose deadline packets do not move goes when it is over: how long it has been idle is not
    /// known.
    #[inline]
    pub const fn takes(
        self,
        class: Class,
        status: Status,
        idle: u32,
        timeout: u32,
        hz: u32,
    ) -> bool {
        if status.any(Status::FIXED_TIMEOUT) && !matches!(class, Class::Expired) {
            return false;
        }
        match self.patience(class, timeout, hz) {
            Some(patience) => idle >= patience,
            None => false,
        }
    }
}

/// How many ticks after a walk the next one is due, if that one came `last` ticks after the one
/// before, found `seen` entries and took `taken` of them: sooner while it is worth it.
pub const fn next_walk(last: u32, seen: u32, taken: u32, hz: u32) -> u32 {
    let (least, most) = (OFTEN.ticks(hz), SELDOM.ticks(hz));
    if taken > seen / 128 {
        return least;
    }
    let next = last.saturating_mul(2);
    if next < least {
        least
    } else if next > most {
        most
    } else {
        next
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_tidy)
)]
mod tests {
    use super::*;

    const HZ: u32 = 100;
    const NONE: Status = Status(0);

    #[test]
    fn marks() {
        let table = [
            (0, 100, false),
            (70, 100, false),
            (71, 100, true),
            (45_875, 65_536, false),
            (45_876, 65_536, true),
            (u32::MAX, u32::MAX, true),
            (0, 0, false),
            (1, 0, true),
        ];
        for (count, max, due) in table {
            assert_eq!(Tidy::new(count, max).is_due(), due);
        }
    }

    #[test]
    fn how_long_each_class_has_to_be_idle() {
        let (first, half, brisk) = (
            Tidy::new(70_001, 100_000),
            Tidy::new(72_500, 100_000),
            Tidy::new(75_000, 100_000),
        );
        let table = [
            (Class::Expired, 0, 0, 0, 0),
            (Class::Closed, 12_000, 997, 550, 100),
            (Class::Closing, 12_000, 5989, 4500, 3000),
            (Class::Unreplied, 12_000, 5985, 4000, 2000),
            (Class::Answered, 3000, 5985, 4000, 2000),
            (Class::Answered, 12_000, 6000, 6000, 6000),
        ];
        for (class, timeout, a, b, c) in table {
            let of = |tidy: Tidy| tidy.patience(class, timeout, HZ);
            assert_eq!(of(first), Some(a));
            assert_eq!(of(half), Some(b));
            assert_eq!(of(brisk), Some(c));
            assert!(Tidy::new(70, 100).patience(class, timeout, HZ).is_none());
        }
        for class in [Class::Idle, Class::Active] {
            assert!(brisk.patience(class, 1, HZ).is_none());
        }
    }

    #[test]
    fn what_goes() {
        let tidy = Tidy::new(99, 100);
        assert!(tidy.takes(Class::Unreplied, NONE, 2000, 3000, HZ));
        assert!(!tidy.takes(Class::Unreplied, NONE, 1999, 3000, HZ));
        assert!(!tidy.takes(Class::Active, NONE, u32::MAX, 0, HZ));
        // A deadline that packets do not move says nothing about them.
        let fixed = Status::FIXED_TIMEOUT;
        assert!(!tidy.takes(Class::Unreplied, fixed, u32::MAX, 3000, HZ));
        assert!(tidy.takes(Class::Expired, fixed, 0, 3000, HZ));
    }

    #[test]
    fn walks_become_seldom() {
        let mut wait = 0;
        for expected in [100, 200, 400, 800, 800] {
            wait = next_walk(wait, 1000, 7, HZ);
            assert_eq!(wait, expected);
        }
        assert_eq!(next_walk(wait, 1000, 8, HZ), 100);
        assert_eq!(next_walk(u32::MAX, u32::MAX, 0, HZ), 800);
    }
}
