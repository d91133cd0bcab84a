// SPDX-License-Identifier: GPL-2.0

//! How long a hash bucket may become before insertion is refused.
//!
//! The limit is drawn anew for every insertion, so that nobody can measure a bucket's length by
//! watching which connections fail.
//!
//! C counterpart: `max_chainlen` in `__nf_conntrack_confirm`.

/// The number below which [`Chain::new`] wants its random number.
pub const RANDOM_BELOW: u32 = 30;

/// The number below [`RANDOM_BELOW`] that a random byte stands for, each as often as any other; a few
/// bytes stand for none.
#[inline]
pub const fn drawn(byte: u8) -> Option<u32> {
    let product = byte as u32 * RANDOM_BELOW;
    if product % 256 < 256 % RANDOM_BELOW {
        None
    } else {
        Some(product / 256)
    }
}

/// The entries that every bucket may hold.
const MINIMUM: u32 = 50;

/// A bucket is longer than this insertion puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Counts the entries passed in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    limit: u32,
    passed: u32,
}

impl Chain {
    /// A count that starts at zero, with a limit from `random`, a number under [`RANDOM_BELOW`].
    #[inline]
    pub const fn new(random: u32) -> Self {
        Chain {
            limit: MINIMUM.saturating_add(random),
            passed: 0,
        }
    }

    /// Counts one entry that is not the one looked for.
    #[inline]
    pub fn pass(&mut self) -> Result<(), TooLong> {
        if self.passed > self.limit {
            return Err(TooLong);
        }
        self.passed += 1;
        Ok(())
    }

    /// The same limit for another bucket.
    #[inline]
    pub const fn restart(self) -> Self {
        Chain { passed: 0, ..self }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_chain)
)]
mod tests {
    use super::*;

    /// The entries that can be passed with this random number.
    fn room(mut chain: Chain) -> u32 {
        let mut entries = 0;
        while chain.pass().is_ok() {
            entries += 1;
        }
        entries
    }

    #[test]
    fn draws_each_number_as_often() {
        let mut times = [0; RANDOM_BELOW as usize];
        for number in (0..=u8::MAX).filter_map(drawn) {
            times[number as usize] += 1;
        }
        assert_eq!(times, [8; RANDOM_BELOW as usize]);
    }

    #[test]
    fn between_51_and_80_entries() {
        for random in 0..RANDOM_BELOW {
            let mut chain = Chain::new(random);
            assert_eq!(room(chain), 51 + random);
            assert_eq!(chain.pass(), Ok(()));
            assert_eq!(room(chain), 50 + random);
            assert_eq!(room(chain.restart()), 51 + random);
        }
    }

    #[test]
    fn an_absurd_random_number_does_no_harm() {
        assert_eq!(Chain::new(u32::MAX).pass(), Ok(()));
    }
}
