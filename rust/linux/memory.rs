// SPDX-License-Identifier: GPL-2.0

//! How much memory the machine has, and how to ask for much of it.

use kernel::alloc::flags::__GFP_NOWARN;
use kernel::alloc::Flags;
use kernel::prelude::*;

use crate::bindings;

/// For what grows with the table and can be done without: a failure is not a fault. CONTEXT:
/// sleepable.
pub(crate) fn much() -> Flags {
    GFP_KERNEL | __GFP_NOWARN
}

/// Its pages.
pub(crate) fn pages() -> usize {
    // SAFETY: No requirements.
    unsafe { bindings::rct_totalram_pages() }
}
