// SPDX-License-Identifier: GPL-2.0

//! Lists whose end says which list it is.
//!
//! A walk under RCU may be carried to another chain when the entry it stands on is moved or
//! recycled; the odd pointer at the end holds the number of the chain, which tells.
//!
//! C header: [`include/linux/list_nulls.h`](srctree/include/linux/list_nulls.h)

use crate::bindings;
use crate::linux::once::read_once;

/// A pointer of a list: to the next node, or the end with its number.
#[derive(Clone, Copy)]
pub(crate) enum Link {
    /// The next node.
    Node(*mut bindings::hlist_nulls_node),
    /// The end of list number `0`.
    End(usize),
}

impl Link {
    #[inline(always)]
    fn from_raw(raw: *mut bindings::hlist_nulls_node) -> Self {
        let word = raw.addr();
        if word & 1 == 0 {
            Link::Node(raw)
        } else {
            Link::End(word >> 1)
        }
    }

    /// The first link of a list.
    ///
    /// # Safety
    ///
    /// `head` points to an initialised list head that stays mapped for the call.
    #[inline(always)]
    pub(crate) unsafe fn first(head: *const bindings::hlist_nulls_head) -> Self {
        // SAFETY: By this function's contract.
        Link::from_raw(unsafe { read_once(&raw const (*head).first) })
    }

    /// The link that follows `node`.
    ///
    /// # Safety
    ///
    /// `node` is or was in a list and stays mapped for the call: under RCU for entries of a
    /// type-safe slab, or with the list's lock held.
    #[inline(always)]
    pub(crate) unsafe fn after(node: *const bindings::hlist_nulls_node) -> Self {
        // SAFETY: By this function's contract.
        Link::from_raw(unsafe { read_once(&raw const (*node).next) })
    }
}
