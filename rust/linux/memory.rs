// SPDX-License-Identifier: GPL-2.0

//! How much memory the machine has.

use crate::bindings;

/// Its pages.
pub(crate) fn pages() -> usize {
    // SAFETY: No requirements.
    unsafe { bindings::rct_totalram_pages() }
}
