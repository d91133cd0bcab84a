// SPDX-License-Identifier: GPL-2.0

//! Spinlocks that C owns: those inside `struct nf_conn`, and the exported ones.
//!
//! The kernel crate's locks own what they protect; these protect what C laid out, so a guard here
//! is a proof and nothing more. Same rules as in C: a lock that is taken in softirq context is
//! taken with bottom halves off everywhere.

use core::marker::PhantomData;
use kernel::types::NotThreadSafe;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::once::Word;

/// Bottom halves are off on this CPU while it lives.
pub(crate) struct BhGuard(NotThreadSafe);

impl BhGuard {
    /// `local_bh_disable()`.
    #[inline]
    pub(crate) fn new() -> Self {
        // SAFETY: Paired with the enable in `drop`, on this CPU: the guard is not `Send`.
        unsafe { bindings::rct_local_bh_disable() };
        BhGuard(NotThreadSafe)
    }
}

impl Drop for BhGuard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Paired with the disable in `new`.
        unsafe { bindings::rct_local_bh_enable() };
    }
}

impl BhGuard {
    /// The proof that the guard is.
    #[inline(always)]
    pub(crate) fn off(&self) -> BhOff<'_> {
        BhOff(PhantomData)
    }
}

/// Proof that bottom halves are off on this CPU for `'bh`.
#[derive(Clone, Copy)]
pub(crate) struct BhOff<'bh>(PhantomData<&'bh BhGuard>);

impl BhOff<'_> {
    /// Takes the caller's word for it.
    ///
    /// # Safety
    ///
    /// Bottom halves are off, or the CPU serves one, for the life of the result.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        BhOff(PhantomData)
    }
}

/// A spinlock laid out by C.
#[derive(Clone, Copy)]
pub(crate) struct CSpinLock(*mut bindings::spinlock_t);

/// A held [`CSpinLock`].
pub(crate) struct CSpinGuard {
    lock: CSpinLock,
    bh: bool,
    _not_send: NotThreadSafe,
}

impl CSpinLock {
    /// The lock at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` points to an initialised spinlock, which stays one for as long as the result, its
    /// copies and their guards are in use.
    #[inline]
    pub(crate) const unsafe fn from_raw(ptr: *mut bindings::spinlock_t) -> Self {
        CSpinLock(ptr)
    }

    /// `spin_lock_bh()`.
    #[inline]
    pub(crate) fn lock_bh(self) -> CSpinGuard {
        // SAFETY: Valid by the contract of `from_raw`; the guard unlocks.
        unsafe { bindings::rct_spin_lock_bh(self.0) };
        self.guard(true)
    }

    /// `spin_lock()`: bottom halves are off already.
    #[inline]
    pub(crate) fn lock(self, _bh: BhOff<'_>) -> CSpinGuard {
        // SAFETY: As in `lock_bh`.
        unsafe { bindings::rct_spin_lock(self.0) };
        self.guard(false)
    }

    /// `spin_lock()`, and whether the `flag` was set after that. ORDERING: whoever sets the flag and
    /// then passes through the lock is either seen, or waits for the guard.
    #[inline]
    pub(crate) fn lock_beside(self, flag: &Word<bool>, _bh: BhOff<'_>) -> (CSpinGuard, bool) {
        // SAFETY: As in `lock_bh`; the flag lives through the call.
        let is_set = unsafe { bindings::rct_bucket_lock(self.0, flag.as_ptr().cast()) };
        (self.guard(false), is_set)
    }

    /// `spin_lock_nested(SINGLE_DEPTH_NESTING)`: the second of an ordered pair of one class.
    #[inline]
    pub(crate) fn lock_nested(self, _bh: BhOff<'_>) -> CSpinGuard {
        // SAFETY: As in `lock_bh`.
        unsafe { bindings::rct_spin_lock_nested(self.0) };
        self.guard(false)
    }

    #[inline]
    fn guard(self, bh: bool) -> CSpinGuard {
        CSpinGuard {
            lock: self,
            bh,
            _not_send: NotThreadSafe,
        }
    }

    /// Lockdep's complaint unless this CPU holds the lock.
    pub(crate) fn assert_held(self) {
        // SAFETY: Valid by the contract of `from_raw`.
        unsafe { bindings::rct_lockdep_assert_held(self.0) };
    }

    /// The lock's address.
    pub(crate) fn as_ptr(self) -> *mut bindings::spinlock_t {
        self.0
    }
}

impl Drop for CSpinGuard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The guard says that this CPU holds the lock, taken the same way.
        unsafe {
            if self.bh {
                bindings::rct_spin_unlock_bh(self.lock.0);
            } else {
                bindings::rct_spin_unlock(self.lock.0);
            }
        }
    }
}

/// A spinlock of our own that C could have declared: static, taken with bottom halves off.
pub(crate) struct StaticSpinLock(Opaque<bindings::spinlock_t>);

// SAFETY: A lock.
unsafe impl Sync for StaticSpinLock {}

impl StaticSpinLock {
    /// To be initialised before the first use.
    pub(crate) const fn new() -> Self {
        StaticSpinLock(Opaque::uninit())
    }

    /// Initialises it.
    ///
    /// # Safety
    ///
    /// Nobody uses the lock yet.
    pub(crate) unsafe fn init(&'static self) {
        // SAFETY: By this function's contract.
        unsafe { bindings::rct_spin_lock_init(self.0.get()) };
    }

    /// The lock.
    #[inline]
    pub(crate) fn get(&'static self) -> CSpinLock {
        CSpinLock(self.0.get())
    }
}
