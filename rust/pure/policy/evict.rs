// SPDX-License-Identifier: GPL-2.0

//! Who may evict whom, and where victims are looked for.
//!
//! A packet that finds the table full follows hints (see [`ring`](super::ring)); when there are
//! none it searches buckets, its own and the next ones, then some elsewhere. The collector, once a
//! packet was refused, takes on its walk what has ended in namespaces that are nearly full.
//!
//! C counterparts: `early_drop`, `early_drop_list`, `gc_worker_can_early_drop`.

use core::ffi::CStr;

use super::super::status::Status;
use super::class::Class;

/// Buckets that a packet looks through from its own on, without a hint.
pub const NEAR: u32 = 8;

/// Buckets that it looks through after that, from a place that moves on with each search.
pub const FAR: u32 = 56;

/// Entries that may go after which a search ends: the one of them that has been idle longest is older
/// than nearly all others.
pub const MET: u32 = 16;

/// The bucket after `bucket` in a table of `size` buckets.
#[inline]
pub const fn next_bucket(bucket: u32, size: u32) -> u32 {
    match bucket.wrapping_add(1).checked_rem(size) {
        Some(next) => next,
        None => 0,
    }
}

/// Whether the collector, under pressure, takes entries of this class: what has ended. Entries
/// that are merely unproven wait for a packet that needs their place.
#[inline]
pub fn collector_takes(class: Class) -> bool {
    class <= Class::Closing
}

/// Of the entries without a proof, how many hints wait for a packet that takes them.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// In the queue of the unreplied, some of which have been answered meanwhile.
    pub unreplied: u32,
    /// In that of the answered.
    pub answered: u32,
    /// The ring of the answered is full: it would lose one.
    pub overflows: bool,
}

/// Answered entries that a packet finds among the unreplied and passes on before it takes one.
pub const PASSED_ON: u32 = 8;

/// Whether the oldest of the answered goes before the oldest of the unreplied, after a packet has
/// passed on so many.
///
/// The unreplied go first. But a flood that gets answers at once, such as SYNs to an open port,
/// would leave them no time to be answered: so an eighth of `max` places is theirs, or half of what
/// has no proof if that is less; and answered ones are as many as their ring holds.
#[inline]
pub const fn answered_first(waiting: Waiting, passed_on: u32, max: u32) -> bool {
    let half = waiting.unreplied / 2 + waiting.answered / 2;
    let reserve = if half < max / 8 { half } else { max / 8 };
    waiting.answered > 0
        && (waiting.overflows || passed_on >= PASSED_ON || waiting.unreplied < reserve)
}

/// What was seen of the hints of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// How many there are.
    pub hints: u32,
    /// At how many of them somebody has looked.
    pub seen: u32,
    /// How many of these are stale.
    pub stale: u32,
}

impl Sample {
    /// Whether the queue is to be swept. A twentieth is left to the packets, which pass over it.
    #[inline]
    pub const fn wants_sweep(&self) -> bool {
        self.stale > self.seen / 20
    }

    /// Whether nothing of it is of any use.
    #[inline]
    pub const fn is_void(&self) -> bool {
        self.stale >= self.seen
    }

    /// About how many hints are not stale.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn live(&self) -> u32 {
        let live = self.seen.saturating_sub(self.stale) as u64;
        match (self.hints as u64)
            .saturating_mul(live)
            .checked_div(self.seen as u64)
        {
            // At most `hints`.
            Some(live) => live as u32,
            None => 0,
        }
    }

    /// About how many are.
    #[inline]
    pub const fn dead(&self) -> u32 {
        self.hints.saturating_sub(self.live())
    }
}

/// What becomes of a packet whose connection finds no place (`nf_conntrack_full_policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is dropped.
    Drop,
    /// It goes on as invalid.
    PassInvalid,
    /// It goes on untracked.
    PassUntracked,
}

impl WhenFull {
    /// What `setting` asks for in a namespace that translates addresses, or does not: there,
    /// packets would go out as they are.
    #[inline]
    pub const fn of(setting: u8, translates: bool) -> Self {
        match setting {
            1 if !translates => WhenFull::PassInvalid,
            2 if !translates => WhenFull::PassUntracked,
            _ => WhenFull::Drop,
        }
    }

    /// What it is called in traces.
    pub const fn name(self) -> &'static CStr {
        match self {
            WhenFull::Drop => c"drop",
            WhenFull::PassInvalid => c"invalid",
            WhenFull::PassUntracked => c"untracked",
        }
    }
}

/// Whether an entry is in the table: others are not any more, or not yet, and are nobody's to judge.
#[inline]
pub const fn is_settled(status: Status) -> bool {
    status.has(Status::CONFIRMED) && !status.has(Status::DYING)
}

/// The number of entries in a namespace from which on the worker evicts, of at most `max`: 95 in
/// 100. Zero, for a `max` under 100, means never.
#[inline]
pub const fn pressure_mark(max: u32) -> u32 {
    max / 100 * 95
}

/// The number of entries in a namespace above which it has queues: half of what may be.
#[inline]
pub const fn low_water(max: u32) -> u32 {
    max / 2
}

/// The number of entries below which a namespace does without queues: three eighths.
#[inline]
pub const fn calm(max: u32) -> u32 {
    low_water(max) / 4 * 3
}

/// For how many entries a namespace with `count` of `max` needs queues; zero for none. The largest
/// namespace of a machine near its limit needs some whatever it may have itself.
#[inline]
pub const fn queues_for(count: u32, max: u32, is_largest: bool) -> u32 {
    const LEAST: u32 = 1024;
    if count > low_water(max) {
        return max;
    }
    if !is_largest {
        return 0;
    }
    let twice = count.saturating_mul(2);
    let size = if twice < LEAST { LEAST } else { twice };
    if size < max {
        size
    } else {
        max
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_evict)
)]
mod tests {
    use super::*;

    #[test]
    fn the_collector_takes_what_has_ended() {
        let table = [
            (Class::Expired, true),
            (Class::Closed, true),
            (Class::Closing, true),
            (Class::Unreplied, false),
            (Class::Answered, false),
            (Class::Idle, false),
            (Class::Active, false),
        ];
        for (class, takes) in table {
            assert_eq!(collector_takes(class), takes);
        }
    }

    #[test]
    fn neither_class_starves_the_other() {
        let table = [
            // (unreplied, answered, overflows, passed on, answered first)
            (0, 0, false, 0, false),
            (8000, 0, false, 8, false),
            (8000, 1000, false, 0, false),
            (8000, 1000, false, 7, false),
            (8000, 1000, false, 8, true),
            (8000, 1000, true, 0, true),
            (999, 7000, false, 0, true),
            (1000, 7000, false, 0, false),
            // Less than an eighth are without a proof.
            (9, 11, false, 0, false),
            (8, 11, false, 0, true),
            (0, 1, false, 0, false),
            (0, 2, false, 0, true),
            (u32::MAX, u32::MAX, false, 0, false),
        ];
        for (unreplied, answered, overflows, passed_on, expected) in table {
            let waiting = Waiting {
                unreplied,
                answered,
                overflows,
            };
            assert_eq!(answered_first(waiting, passed_on, 8000), expected);
        }
    }

    #[test]
    fn sweeping_is_worth_it() {
        // Hints, seen, stale; whether to sweep, about how many are not stale.
        let table = [
            (0, 0, 0, false, 0),
            (1, 1, 1, true, 0),
            (64, 64, 3, false, 61),
            (64, 64, 4, true, 60),
            (65_536, 64, 3, false, 62_464),
            (u32::MAX, u32::MAX, 0, false, u32::MAX),
        ];
        for (hints, seen, stale, sweep, live) in table {
            let sample = Sample { hints, seen, stale };
            assert_eq!((sample.wants_sweep(), sample.live()), (sweep, live));
            assert_eq!(sample.is_void(), live == 0);
        }
    }

    #[test]
    fn translated_flows_never_pass() {
        for setting in 0..4 {
            assert_eq!(WhenFull::of(setting, true), WhenFull::Drop);
        }
        assert_eq!(WhenFull::of(0, false), WhenFull::Drop);
        assert_eq!(WhenFull::of(1, false), WhenFull::PassInvalid);
        assert_eq!(WhenFull::of(2, false), WhenFull::PassUntracked);
        assert_eq!(WhenFull::of(3, false), WhenFull::Drop);
    }

    #[test]
    fn what_is_not_in_the_table_is_not_settled() {
        assert!(!is_settled(Status(0)));
        assert!(is_settled(Status::CONFIRMED));
        assert!(!is_settled(Status::CONFIRMED | Status::DYING));
    }

    #[test]
    fn marks_and_buckets() {
        assert_eq!(pressure_mark(262_144), 248_995);
        assert_eq!(pressure_mark(99), 0);
        assert_eq!(pressure_mark(u32::MAX), 42_949_672 * 95);
        assert_eq!(low_water(65_536), 32_768);
        assert_eq!(calm(65_536), 24_576);
        let table = [
            (32_769, false, 65_536),
            (32_768, false, 0),
            (32_768, true, 65_536),
            (30_000, true, 60_000),
            (1, true, 1024),
        ];
        for (count, is_largest, size) in table {
            assert_eq!(queues_for(count, 65_536, is_largest), size);
        }
        assert_eq!(queues_for(3, 8, true), 8);
        assert_eq!(next_bucket(6, 8), 7);
        assert_eq!(next_bucket(7, 8), 0);
        assert_eq!(next_bucket(u32::MAX, 8), 0);
        assert_eq!(next_bucket(0, 0), 0);
    }
}
