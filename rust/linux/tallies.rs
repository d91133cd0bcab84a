// SPDX-License-Identifier: GPL-2.0

//! Our own counters of a namespace: a row of words for each CPU.
//!
//! Which counters there are is declared in `pure::policy::tally`.

use core::cell::UnsafeCell;
use core::ptr::null_mut;
use kernel::ffi::c_ulong;
use kernel::prelude::*;

use crate::bindings;
use crate::linux::lock::BhOff;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::pure::policy::tally::Place;

/// The counters. Zero is none: then nothing is counted.
#[repr(transparent)]
pub(crate) struct Tallies(UnsafeCell<*mut c_ulong>);

// SAFETY: The pointer is read and written whole; a CPU changes words of its own only.
unsafe impl Sync for Tallies {}

impl Tallies {
    #[inline(always)]
    fn rows(&self) -> *mut c_ulong {
        // SAFETY: A word that is written whole.
        unsafe { read_once(self.0.get()) }
    }

    /// Makes them, all zero. CONTEXT: sleepable.
    ///
    /// # Safety
    ///
    /// Nobody counts yet.
    pub(crate) unsafe fn allocate(&self) -> Result {
        // SAFETY: No requirements.
        let rows = unsafe { bindings::rct_tallies_alloc(Place::COUNT) };
        if rows.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: By this function's contract nobody else uses the word.
        unsafe { write_once(self.0.get(), rows) };
        Ok(())
    }

    /// Frees them, if there are any.
    ///
    /// # Safety
    ///
    /// Nobody counts any more.
    pub(crate) unsafe fn free(&self) {
        // SAFETY: Made by `allocate`, or null; by this function's contract nobody else uses them.
        unsafe {
            bindings::rct_tallies_free(self.rows());
            write_once(self.0.get(), null_mut());
        }
    }

    /// Adds to a counter. CONTEXT: not in an interrupt, nor with interrupts off.
    #[inline]
    pub(crate) fn add(&self, place: Place, n: usize) {
        let rows = self.rows();
        if !rows.is_null() {
            // SAFETY: A row has a word for every place.
            unsafe { bindings::rct_tallies_add(rows, place.index(), n) };
        }
    }

    /// Adds one to a counter.
    #[inline]
    pub(crate) fn count(&self, place: Place, _bh: BhOff<'_>) {
        let rows = self.rows();
        if !rows.is_null() {
            // SAFETY: As in `add`.
            unsafe { bindings::rct_tallies_inc_bh_off(rows, place.index()) };
        }
    }

    /// What a counter has come to, on all CPUs.
    pub(crate) fn sum(&self, place: Place) -> usize {
        let rows = self.rows();
        if rows.is_null() {
            return 0;
        }
        // SAFETY: As in `add`.
        unsafe { bindings::rct_tallies_sum(rows, place.index()) }
    }
}
