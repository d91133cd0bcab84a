// SPDX-License-Identifier: GPL-2.0

//! Bringing memory into the cache before it is wanted.
//!
//! Nothing is read: an address may be a guess, and a wrong one costs a line of the cache.

use crate::bindings;

/// The `bytes` at `address`, which will be written soon.
#[inline]
pub(crate) fn for_writing(address: usize, bytes: usize) {
    // SAFETY: No requirements: a prefetch does not fault.
    unsafe { bindings::rct_prefetchw(address, bytes) };
}
