// SPDX-License-Identifier: GPL-2.0

//! Soft timeouts: how long an assured entry may be idle before it goes while the table is full.

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

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_soft)
)]
mod tests {
    use super::*;

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
}
