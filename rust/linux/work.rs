// SPDX-License-Identifier: GPL-2.0

//! Work that the system does later and again: a static delayed work.
//!
//! The kernel crate's delayed work cannot be cancelled, and the module's text must not go while one
//! is queued.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::cell::UnsafeCell;
use core::mem::offset_of;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::once::Gate;

/// What there is to do.
pub(crate) trait Task: 'static {
    /// What is kept from one run to the next.
    type Notes: Send;

    /// Does it. CONTEXT: sleepable, on a work queue.
    fn run(notes: &mut Self::Notes);
}

/// A delayed work in a static, run on the power-efficient queue. Until [`Self::begin`] nothing
/// happens.
#[repr(C)]
pub(crate) struct StaticWork<T: Task> {
    work: Opaque<bindings::delayed_work>,
    notes: UnsafeCell<T::Notes>,
    gate: Gate,
}

// SAFETY: Queueing and cancelling are atomic; the notes are for one run after the other.
unsafe impl<T: Task> Sync for StaticWork<T> {}

impl<T: Task> StaticWork<T> {
    /// A work that begins with these notes.
    pub(crate) const fn new(notes: T::Notes) -> Self {
        StaticWork {
            work: Opaque::uninit(),
            notes: UnsafeCell::new(notes),
            gate: Gate::new(),
        }
    }

    /// Makes it ready, once.
    pub(crate) fn begin(&'static self) {
        self.gate.open(|| {
            // SAFETY: The gate lets in one caller, once. `run` is for a work of this type.
            unsafe { bindings::rct_init_delayed_work(self.work.get(), Some(run::<T>)) };
        });
    }

    /// The work, once it is ready.
    fn ready(&'static self) -> Option<*mut bindings::delayed_work> {
        self.gate.is_open().then(|| self.work.get())
    }

    /// Queues it, `delay` ticks from now, unless it is queued already. CONTEXT: any.
    pub(crate) fn queue(&'static self, delay: u32) {
        if let Some(work) = self.ready() {
            // SAFETY: It is initialised, and static.
            unsafe { bindings::rct_queue_power_efficient(work, delay as usize) };
        }
    }

    /// Queues it, `delay` ticks from now, whether it is queued already or not. CONTEXT: any.
    pub(crate) fn requeue(&'static self, delay: u32) {
        if let Some(work) = self.ready() {
            // SAFETY: As in `queue`.
            unsafe { bindings::rct_mod_power_efficient(work, delay as usize) };
        }
    }

    /// As [`Self::cancel`], and nobody can queue it any more. CONTEXT: sleepable.
    pub(crate) fn disable(&'static self) {
        if let Some(work) = self.ready() {
            // SAFETY: As in `queue`.
            unsafe { bindings::disable_delayed_work_sync(work) };
        }
    }

    /// Takes it off the queue and waits until it does not run. CONTEXT: sleepable.
    pub(crate) fn cancel(&'static self) {
        if let Some(work) = self.ready() {
            // SAFETY: As in `queue`.
            unsafe { bindings::cancel_delayed_work_sync(work) };
        }
    }
}

/// # Safety
///
/// Called by the work queue, for the work of a `StaticWork<T>`.
unsafe extern "C" fn run<T: Task>(work: *mut bindings::work_struct) {
    let back = offset_of!(StaticWork<T>, work) + offset_of!(bindings::delayed_work, work);
    // SAFETY: By this function's contract it is a static's. A work does not run twice at a time, and
    // nobody else uses the notes.
    let notes = unsafe {
        let this = work.cast::<u8>().sub(back).cast::<StaticWork<T>>();
        &mut *(*this).notes.get()
    };
    T::run(notes);
}
