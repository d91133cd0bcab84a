// SPDX-License-Identifier: GPL-2.0

//! Work that the system does later and again: a static delayed work.
//!
//! The kernel crate's delayed work cannot be cancelled, and the module's text must not go while one
//! is queued.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use kernel::types::Opaque;

use crate::bindings;

/// A delayed work in a static, run on the power-efficient queue.
pub(crate) struct StaticWork(Opaque<bindings::delayed_work>);

// SAFETY: Queueing and cancelling are atomic.
unsafe impl Sync for StaticWork {}

impl StaticWork {
    /// To be initialised before use.
    pub(crate) const fn new() -> Self {
        StaticWork(Opaque::uninit())
    }

    /// Makes it run `function`.
    ///
    /// # Safety
    ///
    /// It is not in use.
    pub(crate) unsafe fn init(
        &'static self,
        function: unsafe extern "C" fn(*mut bindings::work_struct),
    ) {
        // SAFETY: By this function's contract.
        unsafe { bindings::rct_init_delayed_work(self.0.get(), Some(function)) };
    }

    /// Queues it, `delay` ticks from now, unless it is queued already.
    pub(crate) fn queue(&'static self, delay: u32) {
        // SAFETY: Initialised before use.
        unsafe { bindings::rct_queue_power_efficient(self.0.get(), delay as usize) };
    }

    /// Queues it, `delay` ticks from now, whether it is queued already or not. CONTEXT: any.
    pub(crate) fn requeue(&'static self, delay: u32) {
        // SAFETY: Initialised before use.
        unsafe { bindings::rct_mod_power_efficient(self.0.get(), delay as usize) };
    }

    /// As [`Self::cancel`], and nobody can queue it any more. CONTEXT: sleepable.
    pub(crate) fn disable(&'static self) {
        // SAFETY: Initialised before use.
        unsafe { bindings::disable_delayed_work_sync(self.0.get()) };
    }

    /// Takes it off the queue and waits until it does not run. CONTEXT: sleepable.
    pub(crate) fn cancel(&'static self) {
        // SAFETY: Initialised before use.
        unsafe { bindings::cancel_delayed_work_sync(self.0.get()) };
    }
}
