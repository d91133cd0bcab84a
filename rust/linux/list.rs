// SPDX-License-Identifier: GPL-2.0

//! Lists of C structures that are read under RCU and changed under a lock.
//!
//! For lists whose nodes other modules declare. The lock is the user's affair: it is named where
//! the list is, and changing a list is `unsafe` for that reason.
//!
//! C header: [`include/linux/rculist.h`](srctree/include/linux/rculist.h)

use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::once::read_once;
use crate::linux::rcu::Held;

/// A structure that begins with its links in a list.
///
/// # Safety
///
/// The first member is a `struct list_head`, which is in lists of this type only.
pub(crate) unsafe trait Node {}

/// A list of `T`, by the address of its head.
pub(crate) struct List<T: Node> {
    head: *mut bindings::list_head,
    _nodes: PhantomData<*mut T>,
}

impl<T: Node> Clone for List<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Node> Copy for List<T> {}

impl<T: Node> List<T> {
    /// The list whose head is at `head`.
    ///
    /// # Safety
    ///
    /// `head` stays for as long as the result and its copies are in use, and its nodes are `T`s.
    #[inline]
    pub(crate) unsafe fn from_raw(head: *mut bindings::list_head) -> Self {
        List {
            head,
            _nodes: PhantomData,
        }
    }

    /// Makes it empty.
    ///
    /// # Safety
    ///
    /// Nobody uses the list.
    pub(crate) unsafe fn init(self) {
        // SAFETY: By this function's contract and the type's.
        unsafe {
            (*self.head).next = self.head;
            (*self.head).prev = self.head;
        }
    }

    /// Whether it is empty, at a glance.
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        // SAFETY: Valid by the type.
        unsafe { read_once(&raw const (*self.head).next) == self.head }
    }

    /// Adds a node at the front.
    ///
    /// # Safety
    ///
    /// The list's lock is held. The node is in no list; its memory stays until a grace period
    /// after it was taken out.
    pub(crate) unsafe fn add(self, node: NonNull<T>) {
        // SAFETY: By this function's contract.
        unsafe { bindings::rct_list_add_rcu(node.as_ptr().cast(), self.head) };
    }

    /// Adds a node at the end.
    ///
    /// # Safety
    ///
    /// As for [`List::add`].
    pub(crate) unsafe fn add_tail(self, node: NonNull<T>) {
        // SAFETY: By this function's contract.
        unsafe { bindings::rct_list_add_tail_rcu(node.as_ptr().cast(), self.head) };
    }

    /// Takes a node out.
    ///
    /// # Safety
    ///
    /// The list's lock is held, and the node is in this list.
    pub(crate) unsafe fn remove(self, node: NonNull<T>) {
        // SAFETY: By this function's contract.
        unsafe { bindings::rct_list_del_rcu(node.as_ptr().cast()) };
    }

    /// Its nodes, front to end. They stay for `'r`.
    #[inline]
    pub(crate) fn nodes<'r>(self, _rcu: Held<'r>) -> Nodes<'r, T> {
        Nodes {
            list: self,
            at: self.head,
            _stays: PhantomData,
        }
    }
}

/// Nodes of a list, one after the other.
pub(crate) struct Nodes<'r, T: Node> {
    list: List<T>,
    at: *mut bindings::list_head,
    _stays: PhantomData<Held<'r>>,
}

impl<T: Node> Iterator for Nodes<'_, T> {
    type Item = NonNull<T>;

    #[inline]
    fn next(&mut self) -> Option<NonNull<T>> {
        // SAFETY: The head stays by the type, and nodes that were met stay for `'r`.
        self.at = unsafe { read_once(&raw const (*self.at).next) };
        if self.at == self.list.head {
            return None;
        }
        NonNull::new(self.at.cast())
    }
}

/// The head of a list that exists once.
pub(crate) struct StaticHead<T: Node>(Opaque<bindings::list_head>, PhantomData<*mut T>);

// SAFETY: Read under RCU, and changed under the list's lock.
unsafe impl<T: Node> Sync for StaticHead<T> {}

impl<T: Node> StaticHead<T> {
    /// To be initialised before use.
    pub(crate) const fn new() -> Self {
        StaticHead(Opaque::uninit(), PhantomData)
    }

    /// The list.
    #[inline]
    pub(crate) fn list(&'static self) -> List<T> {
        // SAFETY: A static stays.
        unsafe { List::from_raw(self.0.get()) }
    }
}
