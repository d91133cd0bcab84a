// SPDX-License-Identifier: GPL-2.0

//! Random numbers.

use crate::bindings;

/// A uniformly distributed number below `ceil`, which is not zero.
#[inline]
pub(crate) fn below(ceil: u32) -> u32 {
    // SAFETY: No requirements.
    unsafe { bindings::rct_get_random_u32_below(ceil) }
}
