// SPDX-License-Identifier: GPL-2.0

//! The kernel's clocks.

use core::ptr::addr_of;

use crate::bindings;
use crate::pure::num::Jiffies;
use crate::pure::num::Jiffies32;

/// Ticks a second.
pub(crate) const HZ: u32 = bindings::RCT_HZ;

/// The tick counter.
#[inline(always)]
pub(crate) fn jiffies() -> Jiffies {
    // SAFETY: `jiffies` is always mapped, and a load of it is atomic.
    let now: usize = unsafe { addr_of!(bindings::jiffies).read_volatile() };
    Jiffies(now)
}

/// The low half of the tick counter, the clock of all deadlines (`nfct_time_stamp`).
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn now() -> Jiffies32 {
    Jiffies32(jiffies().0 as u32)
}

/// Wall-clock time in nanoseconds since the epoch.
pub(crate) fn real_ns() -> u64 {
    // SAFETY: No requirements.
    unsafe { bindings::rct_ktime_get_real_ns() }
}
