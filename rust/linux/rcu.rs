// SPDX-License-Identifier: GPL-2.0

//! RCU read-side sections that somebody else may have opened.
//!
//! Netfilter runs hooks inside a read-side section, so the packet path never opens one. [`Held`]
//! proves that one is open; it comes from a guard of the kernel crate, or from the contract of the
//! C function that called us.

use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::sync::rcu::Guard;

use crate::bindings;
use crate::linux::lock::BhOff;
use crate::linux::once::read_once;

/// Proof that this CPU is inside an RCU read-side section for `'rcu`.
#[derive(Clone, Copy)]
pub(crate) struct Held<'rcu>(PhantomData<&'rcu Guard>);

impl<'rcu> Held<'rcu> {
    /// Takes the caller's word for it.
    ///
    /// # Safety
    ///
    /// An RCU read-side section is open, and stays open for `'rcu`.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Held(PhantomData)
    }

    /// The proof that bottom halves are off: no grace period ends meanwhile, so that this is a read-side
    /// section, too.
    #[inline(always)]
    pub(crate) fn under(_bh: BhOff<'rcu>) -> Self {
        Held(PhantomData)
    }

    /// The proof that a guard is.
    #[inline(always)]
    pub(crate) fn by(_guard: &'rcu Guard) -> Self {
        Held(PhantomData)
    }
}

/// `rcu_dereference(*slot)`: a pointer that others replace under RCU.
///
/// ORDERING: the address dependency orders later reads through the pointer, as on the C side.
///
/// # Safety
///
/// `slot` points to an RCU-protected pointer that is mapped for the call.
#[inline(always)]
pub(crate) unsafe fn dereference<T>(slot: *const *mut T, _rcu: Held<'_>) -> *mut T {
    // SAFETY: By this function's contract.
    unsafe { read_once(slot) }
}

/// As [`synchronize_rcu`], at the price of disturbing the other CPUs. CONTEXT: sleepable.
///
/// [`synchronize_rcu`]: kernel::sync::rcu::synchronize_rcu
pub(crate) fn synchronize_expedited() {
    // SAFETY: Safe to call in a context that may sleep.
    unsafe { bindings::synchronize_rcu_expedited() };
}

/// As [`synchronize_rcu`], expedited while the network's configuration is locked. CONTEXT:
/// sleepable.
///
/// [`synchronize_rcu`]: kernel::sync::rcu::synchronize_rcu
pub(crate) fn synchronize_net() {
    // SAFETY: As above.
    unsafe { bindings::synchronize_net() };
}

/// `kfree_rcu(object, member)`, where `head` is that member: frees memory from `kmalloc` when a
/// grace period has passed. CONTEXT: any.
///
/// # Safety
///
/// `head` is a member within the first 4096 bytes of `object`, which nobody else frees; whoever
/// gets to it does so in a read-side section, and cannot any more after the next grace period.
pub(crate) unsafe fn free_later<T>(head: *mut bindings::callback_head, object: NonNull<T>) {
    // SAFETY: By this function's contract; both kinds of heads are two words.
    unsafe { bindings::kvfree_call_rcu(head.cast(), object.as_ptr().cast()) };
}
