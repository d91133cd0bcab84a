// SPDX-License-Identifier: GPL-2.0

//! How full a namespace's table is, and what rules ask about it.
//!
//! Nothing is rounded: 76 entries of 100 are above 75 percent, and so are 75,001 of 100,000.
//!
//! Compiled into `xt_cttable.ko`, too.

/// Entries, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    entries: u32,
    limit: u32,
}

/// Rules name no more than this: only where the limit was lowered is there more.
pub const MOST_PERCENT: u8 = 100;

/// The percentages that new entries are labelled by, each with a bit of its own.
pub const LABELLED: [u8; 3] = [50, 75, 90];

impl Occupancy {
    /// Of a table with so many entries where `limit` may be. Without a limit it is empty.
    #[inline]
    pub const fn new(entries: u32, limit: u32) -> Self {
        if limit == 0 {
            return Occupancy {
                entries: 0,
                limit: 1,
            };
        }
        Occupancy { entries, limit }
    }

    /// Hundredths of an entry: there are, and `percent` of the limit are.
    #[inline]
    const fn compare(self, percent: u8) -> (u64, u64) {
        // 32 bits times 8 fit.
        (
            (self.entries as u64).saturating_mul(100),
            (self.limit as u64).saturating_mul(percent as u64),
        )
    }

    /// Whether it is `percent` or more.
    #[inline]
    pub const fn reaches(self, percent: u8) -> bool {
        let (here, there) = self.compare(percent);
        here >= there
    }

    /// Whether it is more than `percent`.
    #[inline]
    pub const fn exceeds(self, percent: u8) -> bool {
        let (here, there) = self.compare(percent);
        here > there
    }
}

/// What a rule asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// More than so many percent?
    Above(u8),
    /// Less than so many percent?
    Below(u8),
    /// At least the first, and at most the second?
    Between(u8, u8),
}

impl Question {
    /// The question as its numbers stand in a rule (`struct xt_cttable_mtinfo`): 0 above `from`,
    /// 1 below `to`, 2 between them. `None` for others, and for percentages beyond
    /// [`MOST_PERCENT`].
    pub const fn from_raw(mode: u8, from: u8, to: u8) -> Option<Self> {
        if from > MOST_PERCENT || to > MOST_PERCENT {
            return None;
        }
        match mode {
            0 => Some(Question::Above(from)),
            1 => Some(Question::Below(to)),
            2 if from <= to => Some(Question::Between(from, to)),
            _ => None,
        }
    }

    /// Whether it is so.
    #[inline]
    pub const fn holds(self, of: Occupancy) -> bool {
        match self {
            Question::Above(percent) => of.exceeds(percent),
            Question::Below(percent) => !of.reaches(percent),
            Question::Between(from, to) => of.reaches(from) && !of.exceeds(to),
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_occupancy)
)]
mod tests {
    use super::*;

    #[test]
    fn exactly() {
        let table = [
            // entries, limit, percent, reaches, exceeds
            (0, 100, 0, true, false),
            (1, 100, 0, true, true),
            (74, 100, 75, false, false),
            (75, 100, 75, true, false),
            (76, 100, 75, true, true),
            (75_000, 100_000, 75, true, false),
            (75_001, 100_000, 75, true, true),
            (2, 3, 67, false, false),
            (100, 100, 100, true, false),
            // The limit was lowered.
            (101, 100, 100, true, true),
            (u32::MAX, 1, 100, true, true),
            (u32::MAX, u32::MAX, 100, true, false),
            (u32::MAX - 1, u32::MAX, 100, false, false),
            // No limit.
            (u32::MAX, 0, 0, true, false),
            (u32::MAX, 0, 1, false, false),
        ];
        for (entries, limit, percent, reaches, exceeds) in table {
            let of = Occupancy::new(entries, limit);
            assert_eq!(of.reaches(percent), reaches);
            assert_eq!(of.exceeds(percent), exceeds);
        }
    }

    #[test]
    fn questions() {
        use Question::*;
        let table = [
            // question, then whether it holds at 49, 50, 75, 76 and 100 of 100
            (Above(75), [false, false, false, true, true]),
            (Below(50), [true, false, false, false, false]),
            (Between(50, 75), [false, true, true, false, false]),
            (Between(75, 75), [false, false, true, false, false]),
            (Between(0, 100), [true; 5]),
            (Above(100), [false; 5]),
            (Below(0), [false; 5]),
            (Above(0), [true; 5]),
        ];
        for (question, expected) in table {
            for (entries, expected) in [49, 50, 75, 76, 100].into_iter().zip(expected) {
                assert_eq!(question.holds(Occupancy::new(entries, 100)), expected);
            }
        }
        // Above and below leave out the number itself, and nothing else.
        for entries in 0..=120 {
            let of = Occupancy::new(entries, 100);
            for percent in 0..=MOST_PERCENT {
                let holding = [Above(percent), Below(percent), Between(percent, percent)];
                let count = holding.into_iter().filter(|q| q.holds(of)).count();
                assert_eq!(count, 1);
            }
        }
    }

    #[test]
    fn numbers_of_a_rule() {
        use Question::*;
        assert_eq!(Question::from_raw(0, 75, 0), Some(Above(75)));
        assert_eq!(Question::from_raw(1, 0, 25), Some(Below(25)));
        assert_eq!(Question::from_raw(2, 50, 75), Some(Between(50, 75)));
        assert_eq!(Question::from_raw(2, 75, 75), Some(Between(75, 75)));
        assert_eq!(Question::from_raw(2, 0, 100), Some(Between(0, 100)));
        for (mode, from, to) in [
            (3, 0, 0),
            (255, 0, 0),
            (0, 101, 0),
            (1, 0, 101),
            (2, 75, 50),
            (2, 0, 255),
            (0, 0, 101),
        ] {
            assert_eq!(Question::from_raw(mode, from, to), None);
        }
    }

    #[test]
    fn labels_rise() {
        assert!(LABELLED.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(LABELLED.iter().all(|percent| *percent <= MOST_PERCENT));
    }
}
