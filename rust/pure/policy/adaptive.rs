// SPDX-License-Identifier: GPL-2.0

//! Timeouts that shrink as the table fills, the way pf scales them.
//!
//! From `start` to `end` percent of the limit all timeouts are multiplied by
//! `(end - n) / (end - start)`. Scaling is a matter of judging expiry: deadlines stay as they are,
//! so entries that exist are scaled, too, and get their time back when the table empties.

/// From where to where timeouts are scaled, in percent of the limit; zeros for not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: u32,
    /// Where nothing is left of a timeout.
    pub end: u32,
}

/// The highest percentage that can be set.
pub const MOST_PERCENT: u32 = 1000;

impl Span {
    /// Not at all.
    pub const OFF: Span = Span { start: 0, end: 0 };

    /// As a policy gives it: both ends, the second above the first, or zeros. `Err` for anything
    /// else; `Ok(None)` if it says nothing.
    pub const fn of_policy(start: Option<u32>, end: Option<u32>) -> Result<Option<Self>, BadSpan> {
        match (start, end) {
            (None, None) => Ok(None),
            (Some(0), Some(0)) => Ok(Some(Span::OFF)),
            (Some(start @ 1..), Some(end)) if start < end && end <= MOST_PERCENT => {
                Ok(Some(Span { start, end }))
            }
            _ => Err(BadSpan),
        }
    }
}

/// Two percentages that make no sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSpan;

/// Whether anybody scales timeouts in a table with `n` entries where `max` may be: a namespace does
/// by its own span, or one of its policies, of which the lowest `start` is given; zero for none.
#[inline]
pub const fn is_due(n: u32, max: u32, own: Span, lowest: u32) -> bool {
    !Scale::new(n, max, own.start, own.end).is_full()
        || lowest != 0
            && (n as u64).saturating_mul(100) > (max as u64).saturating_mul(lowest as u64)
}

/// How much of a timeout is left at some filling of a table: a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    kept: u64,
    of: u64,
}

impl Scale {
    /// Timeouts as they are.
    pub const FULL: Scale = Scale { kept: 1, of: 1 };

    /// The scale for `n` entries where `max` may be, between `start` and `end` percent of that. An
    /// `end` that is zero or not above `start`, or a `start` of zero, turns scaling off.
    pub const fn new(n: u32, max: u32, start: u32, end: u32) -> Self {
        if start == 0 || end <= start || max == 0 {
            return Scale::FULL;
        }
        // In hundredths of an entry: 32 bits times 32 bits fit.
        let n = (n as u64).saturating_mul(100);
        let from = (max as u64).saturating_mul(start as u64);
        let to = (max as u64).saturating_mul(end as u64);
        if n <= from {
            return Scale::FULL;
        }
        let (kept, of) = (to.saturating_sub(n), to.saturating_sub(from));
        // Down to 32 bits: what is multiplied with them has as many.
        let shift = u64::BITS
            .wrapping_sub(of.leading_zeros())
            .saturating_sub(32);
        Scale {
            kept: kept >> shift,
            of: of >> shift,
        }
    }

    /// Whether anything is scaled.
    #[inline]
    pub const fn is_full(self) -> bool {
        self.kept >= self.of
    }

    /// A timeout, scaled, in ticks.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn of(self, timeout: u32) -> u32 {
        if self.is_full() {
            return timeout;
        }
        let product = (timeout as u64).saturating_mul(self.kept);
        match product.checked_div(self.of) {
            // Below the timeout, as `kept` is below `of`.
            Some(ticks) => ticks as u32,
            None => timeout,
        }
    }

    /// Whether an entry is over that has been `idle` ticks of its `timeout`.
    #[inline]
    pub const fn is_over(self, idle: u32, timeout: u32) -> bool {
        !self.is_full() && idle >= self.of(timeout)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_adaptive)
)]
mod tests {
    use super::*;

    #[test]
    fn as_pf_does() {
        // pf's defaults: 60 % and 120 %.
        let table = [
            (0, 120),
            (60_000, 120),
            (75_000, 90),
            (90_000, 60),
            (100_000, 40),
            (119_999, 0),
            (120_000, 0),
            (u32::MAX, 0),
        ];
        for (n, expected) in table {
            assert_eq!(Scale::new(n, 100_000, 60, 120).of(120), expected);
        }
    }

    #[test]
    fn spans_of_policies() {
        let table = [
            ((None, None), Ok(None)),
            ((Some(0), Some(0)), Ok(Some(Span::OFF))),
            (
                (Some(60), Some(120)),
                Ok(Some(Span {
                    start: 60,
                    end: 120,
                })),
            ),
            (
                (Some(1), Some(1000)),
                Ok(Some(Span {
                    start: 1,
                    end: 1000,
                })),
            ),
            ((Some(60), None), Err(BadSpan)),
            ((None, Some(120)), Err(BadSpan)),
            ((Some(0), Some(120)), Err(BadSpan)),
            ((Some(60), Some(0)), Err(BadSpan)),
            ((Some(60), Some(60)), Err(BadSpan)),
            ((Some(120), Some(60)), Err(BadSpan)),
            ((Some(60), Some(1001)), Err(BadSpan)),
            ((Some(u32::MAX), Some(u32::MAX)), Err(BadSpan)),
        ];
        for ((start, end), expected) in table {
            assert!(Span::of_policy(start, end) == expected);
        }
    }

    #[test]
    fn due() {
        let own = Span {
            start: 60,
            end: 120,
        };
        let table = [
            (60, own, 0, false),
            (61, own, 0, true),
            (61, Span::OFF, 0, false),
            (50, own, 50, false),
            (51, own, 50, true),
            (51, Span::OFF, 50, true),
            (u32::MAX, Span::OFF, 0, false),
        ];
        for (n, own, lowest, expected) in table {
            assert_eq!(is_due(n, 100, own, lowest), expected);
        }
        assert!(!is_due(u32::MAX, u32::MAX, Span::OFF, u32::MAX));
    }

    #[test]
    fn off() {
        for (start, end) in [(0, 0), (0, 50), (50, 0), (50, 50), (60, 50)] {
            let scale = Scale::new(u32::MAX, 1000, start, end);
            assert!(scale.is_full() && !scale.is_over(u32::MAX, 1));
            assert_eq!(scale.of(u32::MAX), u32::MAX);
        }
        assert!(Scale::new(5, 0, 1, 2).is_full());
    }

    #[test]
    fn over() {
        let scale = Scale::new(90, 100, 60, 120);
        assert!(!scale.is_over(59, 120));
        assert!(scale.is_over(60, 120));
        // Overflow would panic.
        let _ = Scale::new(u32::MAX, u32::MAX, 1, u32::MAX).of(u32::MAX);
    }
}
