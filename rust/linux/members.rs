// SPDX-License-Identifier: GPL-2.0

//! Namespaces that have been entered and not left, and what a worker remembers of each.
//!
//! [`Members`] is for a static: it can be used once [`Members::begin`] has been called, and is empty
//! before. Its [`Owner`] gives back what a static's drop would.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::lock::Guard;
use kernel::sync::LockClassKey;
use kernel::sync::Mutex;
use pin_init::raw_init;

use crate::linux::net::Net;
use crate::linux::once::Gate;

/// A list of namespaces, under a mutex, in the order of their addresses.
pub(crate) struct Members<T: Send + 'static> {
    list: UnsafeCell<MaybeUninit<Mutex<KVec<Member<T>>>>>,
    gate: Gate,
}

// SAFETY: Behind the gate there is a mutex.
unsafe impl<T: Send> Sync for Members<T> {}

/// A namespace in the list.
///
/// INVARIANT: It has been entered, and has not been left, by the contract of
/// [`Subsystem`](crate::linux::pernet::Subsystem).
struct Member<T> {
    net: NonNull<Net>,
    notes: T,
}

// SAFETY: A namespace is shared by all tasks.
unsafe impl<T: Send> Send for Member<T> {}

impl<T: Send> Members<T> {
    /// Nobody.
    pub(crate) const fn new() -> Self {
        Members {
            list: UnsafeCell::new(MaybeUninit::uninit()),
            gate: Gate::new(),
        }
    }

    /// Makes the list ready. CONTEXT: once, while the module is loaded.
    pub(crate) fn begin(
        &'static self,
        name: &'static CStr,
        class: Pin<&'static LockClassKey>,
    ) -> Owner<T> {
        self.gate.open(|| {
            let list = Mutex::new(KVec::new(), name, class);
            // SAFETY: The gate lets in one caller, once; a static does not move.
            unsafe { raw_init((*self.list.get()).as_mut_ptr(), list) };
        });
        Owner(self)
    }

    /// Adds a namespace that begins. CONTEXT: sleepable.
    pub(crate) fn enter(&'static self, net: &Net, notes: T) -> Result {
        // INVARIANT: It is being entered.
        let net = NonNull::from(net);
        let mut list = self.lock().ok_or(EAGAIN)?;
        list.0.reserve(1, GFP_KERNEL)?;
        let (Ok(place) | Err(place)) = list.place(net);
        Ok(list
            .0
            .insert_within_capacity(place, Member { net, notes })?)
    }

    /// The list, locked; none before [`Self::begin`]. CONTEXT: sleepable.
    pub(crate) fn lock(&'static self) -> Option<Locked<T>> {
        // SAFETY: Behind the gate the mutex has been made, and it is never unmade.
        let list = || unsafe { (*self.list.get()).assume_init_ref() };
        self.gate.is_open().then(|| Locked(list().lock()))
    }
}

/// The list, while it is locked.
pub(crate) struct Locked<T: Send + 'static>(Guard<'static, KVec<Member<T>>, MutexBackend>);

impl<T: Send> Locked<T> {
    /// Removes a namespace.
    pub(crate) fn leave(&mut self, net: &Net) {
        self.0.retain(|member| member.net() != net);
    }

    /// All of them, and what is remembered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Net, &T)> {
        self.0.iter().map(|member| (member.net(), &member.notes))
    }

    /// The same, to change that.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&Net, &mut T)> {
        let members = self.0.iter_mut();
        members.map(|Member { net, notes }| {
            // SAFETY: By the invariant it stays while it is in the list, which is locked.
            (unsafe { net.as_ref() }, notes)
        })
    }

    /// What is remembered of a namespace, if it is in the list.
    pub(crate) fn of(&mut self, net: &Net) -> Option<&mut T> {
        let place = self.place(NonNull::from(net)).ok()?;
        self.0.get_mut(place).map(|member| &mut member.notes)
    }

    /// Where a namespace is, or would be.
    fn place(&self, net: NonNull<Net>) -> core::result::Result<usize, usize> {
        self.0.binary_search_by_key(&net, |member| member.net)
    }
}

impl<T> Member<T> {
    fn net(&self) -> &Net {
        // SAFETY: By the invariant it stays while it is in the list, which is locked.
        unsafe { self.net.as_ref() }
    }
}

/// Of a list while it is in use. Dropping it frees the memory, when no namespace is left in it.
pub(crate) struct Owner<T: Send + 'static>(&'static Members<T>);

impl<T: Send> Drop for Owner<T> {
    fn drop(&mut self) {
        if let Some(mut list) = self.0.lock() {
            *list.0 = KVec::new();
        }
    }
}
