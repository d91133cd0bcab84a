// SPDX-License-Identifier: GPL-2.0

//! Keyed hashing.
//!
//! C header: [`include/linux/siphash.h`](srctree/include/linux/siphash.h)

use core::cell::UnsafeCell;
use kernel::prelude::*;

use crate::bindings;

/// A 128-bit key.
#[derive(Clone, Copy)]
pub(crate) struct Key(pub(crate) [u64; 2]);

/// A key drawn at random when the module is loaded, for its whole life.
///
/// Drawing on first use, as C does with a static branch, would cost a check for every packet.
pub(crate) struct SecretKey(UnsafeCell<Key>);

// SAFETY: Written by `draw` only, which happens before the key is shared.
unsafe impl Sync for SecretKey {}

impl SecretKey {
    /// Not drawn yet.
    pub(crate) const fn new() -> Self {
        SecretKey(UnsafeCell::new(Key([0; 2])))
    }

    /// Draws the key.
    ///
    /// # Safety
    ///
    /// Nobody reads the key concurrently: the module is being initialised.
    pub(crate) unsafe fn draw(&self) {
        // SAFETY: Exclusive by this function's contract, and 16 bytes long.
        unsafe {
            bindings::get_random_bytes(self.0.get().cast::<c_void>(), core::mem::size_of::<Key>());
        }
    }

    /// The key.
    #[inline]
    pub(crate) fn get(&self) -> Key {
        // SAFETY: Nobody writes after `draw`.
        unsafe { *self.0.get() }
    }
}

/// Types without padding, which may be hashed byte by byte.
///
/// # Safety
///
/// Every byte of a value is initialised.
pub(crate) unsafe trait Bytes: Copy {}

// SAFETY: Twenty bytes of words and two halves, twice; no padding (`pure::tuple`).
unsafe impl Bytes for crate::pure::tuple::Tuple {}
// SAFETY: Words only.
unsafe impl<const N: usize> Bytes for [u64; N] {}

impl Key {
    /// SipHash-2-4 of the first `len` bytes of `value`, or of all where it has fewer.
    #[inline]
    pub(crate) fn hash<T: Bytes>(self, value: &T, len: usize) -> u64 {
        let len = len.min(core::mem::size_of::<T>());
        let key = bindings::siphash_key_t { key: self.0 };
        // SAFETY: `value` has `len` initialised bytes (`Bytes`), and any alignment will do; the key
        // outlives the call.
        unsafe {
            bindings::__siphash_unaligned(core::ptr::from_ref(value).cast::<c_void>(), len, &key)
        }
    }
}
