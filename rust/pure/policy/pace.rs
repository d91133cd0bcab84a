// SPDX-License-Identifier: GPL-2.0

//! When the worker that clears expired entries runs, and for how long.
//!
//! One cycle goes through the whole table; it may take several rounds, each ended by the clock or
//! by the number of entries reclaimed. On its way the worker averages how long the entries have
//! left, and the next cycle is due after that time, so that a table of short-lived flows is
//! visited often and one of long-lived flows seldom.
//!
//! The worker's loop in these terms:
//!
//! ```text
//! round = Round::begin(resume, now, budget)
//! 'round: loop over buckets from round.bucket():
//!     if round.bucket() >= the table's size: end it, Done
//!     for each entry:
//!         if round.exhausted():  end it, Exhausted
//!         if it is expired:      reclaim it; round.reclaimed(); next entry
//!         round.seen(ticks that it has left)
//!         if it is evicted:      round.reclaimed()
//!     unless round.next_bucket(now, size) is Walk::Continue: end it with that
//! (resume, delay) = round.end(now, stop)
//! ```
//!
//! C counterpart: `gc_worker`.

use super::super::num::Jiffies32;
use super::timeout::Seconds;

/// The longest time between two cycles, and the bias of the average.
const INTERVAL_MAX: Seconds = Seconds(60);
/// The shortest time between two cycles.
const INTERVAL_MIN: Seconds = Seconds(1);
/// No entry counts for more in the average.
const LEFT_MAX: Seconds = Seconds(300);
/// The average begins as if this many entries had [`INTERVAL_MAX`] left, so that a few short-lived
/// ones do not wake an idle machine.
const INITIAL_COUNT: u32 = 100;
/// A round's length in milliseconds.
const ROUND_MS: u32 = 10;
/// The fastest clock for which no span overflows, by far.
const MAX_HZ: u32 = 1_000_000;
/// Entries reclaimed in a second if rounds followed each other tick by tick.
const RECLAIMED_PER_SECOND: u32 = 64_000;

/// The ticks after which the first cycle begins.
#[inline]
pub const fn first_delay(hz: u32) -> u32 {
    Seconds(1).ticks(hz)
}

/// What a round may use, for a clock of some number of ticks in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    interval_min: u32,
    interval_max: u32,
    left_max: u32,
    duration: u32,
    reclaimed: u32,
}

impl Budget {
    /// The budget for a clock of `hz` ticks in a second, 1 to a million; what lies outside counts
    /// as the nearest of these.
    pub const fn new(hz: u32) -> Self {
        let hz = match hz {
            0 => 1,
            1..=MAX_HZ => hz,
            _ => MAX_HZ,
        };
        Budget {
            interval_min: INTERVAL_MIN.ticks(hz),
            interval_max: INTERVAL_MAX.ticks(hz),
            left_max: LEFT_MAX.ticks(hz),
            duration: hz.wrapping_mul(ROUND_MS).div_ceil(1000),
            reclaimed: RECLAIMED_PER_SECOND / hz,
        }
    }
}

/// What the worker remembers between rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// The bucket to go on with; zero begins a cycle.
    pub bucket: u32,
    /// The average so far, in ticks.
    pub average: u32,
    /// The number of entries in it.
    pub count: u32,
    /// When the cycle began.
    pub started: Jiffies32,
}

/// Whether a walk goes on after a bucket, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// There is time and there are buckets left.
    Continue,
    /// The round is over, the table is not.
    OutOfTime,
    /// That was the last bucket.
    Done,
}

/// Why a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Enough entries were reclaimed; the current bucket is taken up again.
    Exhausted,
    /// The time is up.
    OutOfTime,
    /// The cycle is complete.
    Done,
}

/// A round of the worker.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    budget: Budget,
    bucket: u32,
    average: i64,
    count: i64,
    started: Jiffies32,
    deadline: Jiffies32,
    reclaimed: u32,
}

impl Round {
    /// Goes on where the last round stopped, or begins a cycle.
    pub const fn begin(resume: Resume, now: Jiffies32, budget: Budget) -> Self {
        let (average, count, started) = match resume.bucket {
            0 => (budget.interval_max, INITIAL_COUNT, now),
            _ => (resume.average, resume.count, resume.started),
        };
        Round {
            budget,
            bucket: resume.bucket,
            average: average as i64,
            count: count as i64,
            started,
            deadline: now.plus(budget.duration),
            reclaimed: 0,
        }
    }

    /// The bucket to look at.
    #[inline]
    pub const fn bucket(&self) -> u32 {
        self.bucket
    }

    /// Whether the round has reclaimed enough; to be asked before each entry.
    #[inline]
    pub const fn exhausted(&self) -> bool {
        self.reclaimed > self.budget.reclaimed
    }

    /// An entry was reclaimed: it had expired, or was evicted.
    #[inline]
    pub fn reclaimed(&mut self) {
        self.reclaimed = self.reclaimed.saturating_add(1);
    }

    /// An entry was met that has `left` ticks.
    #[inline]
    pub fn seen(&mut self, left: u32) {
        let left = left.clamp(self.budget.interval_min, self.budget.left_max);
        self.count = self.count.saturating_add(1);
        // The count is at least one: it began with a number that is not negative.
        let step = i64::from(left)
            .wrapping_sub(self.average)
            .checked_div(self.count);
        self.average = self.average.wrapping_add(step.unwrap_or(0));
    }

    /// The bucket is finished; whether to go on with the next one in a table of `size` buckets.
    #[inline]
    pub fn next_bucket(&mut self, now: Jiffies32, size: u32) -> Walk {
        self.bucket = self.bucket.wrapping_add(1);
        if self.bucket >= size {
            Walk::Done
        } else if now.until(self.deadline) < 0 {
            Walk::OutOfTime
        } else {
            Walk::Continue
        }
    }

    /// What to remember, and after how many ticks to run again. With a delay other than zero the
    /// worker has caught up, and a demand to evict is met.
    ///
    /// | stop | next round |
    /// | --- | --- |
    /// | exhausted | in a tick, or at once if the cycle takes longer than the longest interval |
    /// | out of time | at once |
    /// | done | after the average, 1 s to 60 s, less the time that the cycle took |
    pub fn end(self, now: Jiffies32, stop: Stop) -> (Resume, u32) {
        let elapsed = self.started.until(now);
        let resume = Resume {
            bucket: self.bucket,
            average: u32::try_from(self.average).unwrap_or(self.budget.interval_max),
            count: u32::try_from(self.count).unwrap_or(u32::MAX),
            started: self.started,
        };
        match stop {
            Stop::Exhausted => {
                let in_time = i64::from(elapsed) < i64::from(self.budget.interval_max);
                (resume, u32::from(in_time))
            }
            Stop::OutOfTime => (resume, 0),
            Stop::Done => {
                let average = resume.average;
                let interval = average.clamp(self.budget.interval_min, self.budget.interval_max);
                let took = elapsed.max(1).unsigned_abs();
                let delay = interval.saturating_sub(took).max(1);
                (
                    Resume {
                        bucket: 0,
                        ..resume
                    },
                    delay,
                )
            }
        }
    }
}

impl From<Walk> for Option<Stop> {
    fn from(walk: Walk) -> Self {
        match walk {
            Walk::Continue => None,
            Walk::OutOfTime => Some(Stop::OutOfTime),
            Walk::Done => Some(Stop::Done),
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_pace)
)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget::new(250);
    const START: Jiffies32 = Jiffies32(u32::MAX - 100);

    fn fresh() -> Round {
        Round::begin(Resume::default(), START, BUDGET)
    }

    /// The delay after a cycle of `took` ticks that met `entries` with `left` ticks each.
    fn delay(entries: u32, left: u32, took: u32) -> u32 {
        let mut round = fresh();
        for _ in 0..entries {
            round.seen(left);
        }
        let (resume, delay) = round.end(START.plus(took), Stop::Done);
        if resume.bucket == 0 {
            delay
        } else {
            0
        }
    }

    #[test]
    fn budgets() {
        // (ticks in a second, ticks in a round, entries reclaimed)
        for (hz, duration, reclaimed) in
            [(100, 1, 640), (250, 3, 256), (300, 3, 213), (1000, 10, 64)]
        {
            let budget = Budget::new(hz);
            assert_eq!((budget.duration, budget.reclaimed), (duration, reclaimed));
            assert_eq!(budget.interval_max, 60 * hz);
        }
        assert_eq!(Budget::new(0), Budget::new(1));
        assert_eq!(Budget::new(u32::MAX), Budget::new(1_000_000));
    }

    #[test]
    fn an_empty_table_is_visited_once_a_minute() {
        assert_eq!(delay(0, 0, 0), 60 * 250 - 1);
        assert_eq!(delay(0, 0, 250), 59 * 250);
        assert_eq!(delay(0, 0, 61 * 250), 1);
    }

    #[test]
    fn short_lived_entries_bring_the_worker_back_sooner() {
        // One entry weighs against the hundred that the average begins with.
        assert_eq!(delay(1, 0, 1), 15000 - (15000 - 250) / 101 - 1);
        assert!(delay(100, 250, 1) < 8000);
        // Whole numbers: the average stands still once an entry moves it by less than a tick.
        assert_eq!(delay(2_000, 0, 1), delay(100_000, 0, 1));
        assert!(delay(100_000, 0, 1) > 5 * 250);
        assert_eq!(delay(1000, u32::MAX, 1), 60 * 250 - 1);
    }

    #[test]
    fn time_ends_a_round_between_buckets() {
        let mut round = fresh();
        assert_eq!(round.next_bucket(START.plus(3), 10), Walk::Continue);
        assert_eq!(round.next_bucket(START.plus(4), 10), Walk::OutOfTime);
        let (resume, delay) = round.end(START.plus(4), Stop::OutOfTime);
        assert_eq!((resume.bucket, delay), (2, 0));
        // The next round goes on with the same cycle and a new deadline.
        let mut round = Round::begin(resume, START.plus(50), BUDGET);
        assert_eq!(round.bucket(), 2);
        assert_eq!(round.next_bucket(START.plus(53), 4), Walk::Continue);
        assert_eq!(round.next_bucket(START.plus(99), 4), Walk::Done);
        let (resume, delay) = round.end(START.plus(100), Stop::Done);
        assert_eq!((resume.bucket, delay), (0, 15000 - 100));
    }

    #[test]
    fn reclaiming_ends_a_round_within_a_bucket() {
        let mut round = fresh();
        let mut entries = 0;
        while !round.exhausted() {
            round.reclaimed();
            entries += 1;
        }
        assert_eq!(entries, 257);
        let (resume, delay) = round.end(START.plus(1), Stop::Exhausted);
        assert_eq!((resume.bucket, delay), (0, 1));
        let (_, delay) = round.end(START.plus(60 * 250), Stop::Exhausted);
        assert_eq!(delay, 0);
    }

    #[test]
    fn a_table_that_shrank_ends_the_cycle() {
        let resume = Resume {
            bucket: 100,
            ..Resume::default()
        };
        let mut round = Round::begin(resume, START, BUDGET);
        assert_eq!(round.next_bucket(START, 50), Walk::Done);
    }
}
