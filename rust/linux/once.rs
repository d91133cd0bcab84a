// SPDX-License-Identifier: GPL-2.0

//! Loads and stores that the compiler neither tears, repeats nor invents.
//!
//! The C side has `READ_ONCE()` and `WRITE_ONCE()`: relaxed in the kernel's memory model. The
//! kernel crate's atomics are function calls on kernels built with gcc; these are plain
//! instructions, for the fields that every packet touches.
//!
//! A word of our own is a [`Word`], which is safe to use.

use core::cell::UnsafeCell;
use core::mem::size_of;
use kernel::prelude::*;
use kernel::sync::atomic::Acquire;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::sync::atomic::Release;

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

/// A word that anybody reads and writes whole at any time: a switch, or a number that a file sets.
///
/// Not for counts that several change, nor for what says that other memory is ready: the kernel
/// crate's atomics are for these.
#[repr(transparent)]
pub(crate) struct Word<T: Copy>(UnsafeCell<T>);

// SAFETY: Its value is loaded and stored whole only.
unsafe impl<T: Copy + Send> Sync for Word<T> {}

impl<T: Copy> Word<T> {
    /// A word that begins as `value`.
    pub(crate) const fn new(value: T) -> Self {
        const { assert!(size_of::<T>() <= size_of::<usize>()) };
        Word(UnsafeCell::new(value))
    }

    /// A word that C has, too.
    ///
    /// # Safety
    ///
    /// `ptr` is aligned, points to a value that lives for `'a` and is stored whole only.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr<'a>(ptr: *mut T) -> &'a Self {
        // SAFETY: By this function's contract; the type is transparent.
        unsafe { &*ptr.cast() }
    }

    /// Its value.
    #[inline(always)]
    pub(crate) fn get(&self) -> T {
        // SAFETY: Valid by the type, and no larger than a machine's word.
        unsafe { read_once(self.0.get()) }
    }

    /// Sets it.
    #[inline(always)]
    pub(crate) fn set(&self, value: T) {
        // SAFETY: As in `get`.
        unsafe { write_once(self.0.get(), value) };
    }

    /// Its address, for a file that shows it.
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.0.get().cast()
    }
}

/// Whether something that is made at run time is there: for statics that C has to initialise.
pub(crate) struct Gate(Atomic<u32>);

impl Gate {
    const SHUT: u32 = 0;
    const OPENING: u32 = 1;
    const OPEN: u32 = 2;

    /// Shut.
    pub(crate) const fn new() -> Self {
        Gate(Atomic::new(Self::SHUT))
    }

    /// Opens it after `make`, unless somebody else has, or does.
    pub(crate) fn open(&self, make: impl FnOnce()) {
        if self.0.cmpxchg(Self::SHUT, Self::OPENING, Relaxed).is_ok() {
            make();
            // ORDERING: pairs with the acquire in `is_open`: what was made is there.
            self.0.store(Self::OPEN, Release);
        }
    }

    /// Whether what was made is there.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Acquire) == Self::OPEN
    }
}
