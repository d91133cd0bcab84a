// SPDX-License-Identifier: GPL-2.0

//! Complaints about broken invariants, and waiting politely.

use crate::bindings;

/// A warning with a backtrace, the first time that this place is reached.
macro_rules! warn_once {
    () => {{
        static REACHED: kernel::sync::atomic::Atomic<i32> = kernel::sync::atomic::Atomic::new(0);
        if REACHED.xchg(1, kernel::sync::atomic::Relaxed) == 0 {
            let _ = kernel::warn_on!(true);
        }
    }};
}
pub(crate) use warn_once;

/// Lets other tasks run. CONTEXT: sleepable.
pub(crate) fn cond_resched() {
    // SAFETY: Called in sleepable context only.
    unsafe { bindings::rct_cond_resched() };
}

/// Gives the CPU away. CONTEXT: sleepable.
pub(crate) fn schedule() {
    // SAFETY: Called in sleepable context only.
    unsafe { bindings::schedule() };
}

/// A warning, once, on kernels that are built to debug the network, if something is `wrong`.
pub(crate) fn debug_net_warn_once(wrong: bool) {
    // SAFETY: No requirements.
    unsafe { bindings::rct_debug_net_warn_once(wrong) };
}

/// Whether the log may take another line about packets now.
pub(crate) fn net_ratelimit() -> bool {
    // SAFETY: No requirements.
    unsafe { bindings::rct_net_ratelimit() }
}

/// Lockdep's complaint in a context that must not sleep.
pub(crate) fn might_sleep() {
    // SAFETY: Only checks.
    unsafe { bindings::rct_might_sleep() };
}
