// SPDX-License-Identifier: GPL-2.0

//! How an allocation may behave: flags that C callers give us and that we give on.
//!
//! The kernel crate's `alloc::Flags` cannot be made from a number or read as one outside of it.

use crate::bindings;

/// `gfp_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Gfp(pub(crate) bindings::gfp_t);

impl Gfp {
    /// Does not sleep; may use reserves.
    pub(crate) const ATOMIC: Gfp = Gfp(bindings::GFP_ATOMIC);

    /// May sleep.
    pub(crate) const KERNEL: Gfp = Gfp(bindings::GFP_KERNEL);
}
