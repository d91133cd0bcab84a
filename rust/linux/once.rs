// SPDX-License-Identifier: GPL-2.0

//! Loads and stores that the compiler neither tears, repeats nor invents.
//!
//! The C side has `READ_ONCE()` and `WRITE_ONCE()`: relaxed in the kernel's memory model. The
//! kernel crate's atomics are function calls on kernels built with gcc; these are plain
//! instructions, for the fields that every packet touches.

/// `READ_ONCE(*ptr)`.
///
/// # Safety
///
/// `ptr` is aligned and points to initialised memory that stays mapped for the call; concurrent
/// writers store whole values of the machine's word size or less.
#[inline(always)]
pub(crate) unsafe fn read_once<T: Copy>(ptr: *const T) -> T {
    // SAFETY: By this function's contract.
    unsafe { ptr.read_volatile() }
}

/// `WRITE_ONCE(*ptr, value)`.
///
/// # Safety
///
/// As for [`read_once`], and the caller may write there.
#[inline(always)]
pub(crate) unsafe fn write_once<T: Copy>(ptr: *mut T, value: T) {
    // SAFETY: By this function's contract.
    unsafe { ptr.write_volatile(value) }
}
