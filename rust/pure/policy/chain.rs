// SPDX-License-Identifier: GPL-2.0

//! How long a hash bucket may become before insertion is refused.
//!
//! The limit is drawn anew for every insertion, so that nobody can measure a bucket's length by
//! watching which connections fail. It is drawn only where a bucket is so long that it matters.
//!
//! C counterpart: `max_chainlen` in `__nf_conntrack_confirm`.

/// The number below which [`Chain`] wants its random number.
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

/// Counts the entries passed in a bucket. `draw` gives a random number under [`RANDOM_BELOW`].
#[derive(Clone, Copy, Debug)]
pub struct Chain<D> {
    draw: D,
    limit: Option<u32>,
    passed: u32,
}

impl<D: Fn() -> u32> Chain<D> {
    /// A count that starts at zero.
    #[inline]
    pub const fn new(draw: D) -> Self {
        Chain {
            draw,
            limit: None,
            passed: 0,
        }
    }

    /// Counts one entry that is not the one looked for.
    #[inline]
    pub fn pass(&mut self) -> Result<(), TooLong> {
        if self.passed > MINIMUM && self.passed > self.limit() {
            return Err(TooLong);
        }
        self.passed += 1;
        Ok(())
    }

    /// Goes on to another bucket, with the same limit.
    #[inline]
    pub const fn restart(&mut self) {
        self.passed = 0;
    }

    #[cold]
    fn limit(&mut self) -> u32 {
        *self
            .limit
            .get_or_insert_with(|| MINIMUM.saturating_add((self.draw)()))
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
    fn room(chain: &mut Chain<impl Fn() -> u32>) -> u32 {
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
            let mut chain = Chain::new(|| random);
            assert_eq!(room(&mut chain), 51 + random);
            assert_eq!(chain.pass(), Err(TooLong));
            chain.restart();
            assert_eq!(room(&mut chain), 51 + random);
        }
    }

    #[test]
    fn one_limit_for_both_buckets_drawn_late() {
        let drawn = core::cell::Cell::new(0);
        let mut chain = Chain::new(|| {
            drawn.set(drawn.get() + 1);
            drawn.get()
        });
        for _ in 0..=MINIMUM {
            assert_eq!(chain.pass(), Ok(()));
        }
        assert_eq!(drawn.get(), 0);
        chain.restart();
        assert_eq!(room(&mut chain), 52);
        chain.restart();
        assert_eq!(room(&mut chain), 52);
        assert_eq!(drawn.get(), 1);
    }

    #[test]
    fn an_absurd_random_number_does_no_harm() {
        let mut chain = Chain::new(|| u32::MAX);
        for _ in 0..1000 {
            assert_eq!(chain.pass(), Ok(()));
        }
    }
}
