// SPDX-License-Identifier: GPL-2.0

//! The counters of `/proc/net/stat/nf_conntrack`, one set a CPU and namespace.

use core::mem::offset_of;
use kernel::prelude::*;

use crate::bindings;
use crate::linux::net::Net;

/// A counter of `struct ip_conntrack_stat`.
#[derive(Clone, Copy)]
pub(crate) struct Counter(usize);

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $field:ident;)*) => {
        impl Counter {
            $($(#[$doc])* pub(crate) const $name: Counter =
                Counter(offset_of!(bindings::ip_conntrack_stat, $field));)*
        }
    };
}

counters! {
    /// A wanted tuple turned out to be taken.
    FOUND = found;
    /// Packets that cannot be tracked.
    INVALID = invalid;
    /// Insertions.
    INSERT = insert;
    /// Entries that could not be inserted.
    INSERT_FAILED = insert_failed;
    /// Clashes resolved without a drop.
    CLASH_RESOLVE = clash_resolve;
    /// Packets dropped.
    DROP = drop;
    /// Entries evicted to make room.
    EARLY_DROP = early_drop;
    /// Packets that an ICMP error's checks refused.
    ERROR = error;
    /// Connections that were expected.
    EXPECT_NEW = expect_new;
    /// Expectations registered.
    EXPECT_CREATE = expect_create;
    /// Expectations gone.
    EXPECT_DELETE = expect_delete;
    /// Look-ups that met an entry on the move.
    SEARCH_RESTART = search_restart;
    /// Insertions refused because of a chain's length.
    CHAIN_TOO_LONG = chaintoolong;
}

/// Makes a namespace's counters, these and our own ([`Tallies`]), all zero. CONTEXT: sleepable.
///
/// [`Tallies`]: crate::linux::tallies::Tallies
///
/// # Safety
///
/// Nobody counts yet.
pub(crate) unsafe fn begin(net: &Net) -> Result {
    // SAFETY: By this function's contract nobody reads the words yet.
    unsafe {
        net.private().tallies().allocate()?;
        let counters = bindings::rct_stat_alloc();
        if counters.is_null() {
            net.private().tallies().free();
            return Err(ENOMEM);
        }
        (*net.ct()).stat = counters;
    }
    Ok(())
}

/// Frees them.
///
/// # Safety
///
/// Made by [`begin`]; nobody counts any more.
pub(crate) unsafe fn end(net: &Net) {
    // SAFETY: By this function's contract.
    unsafe {
        net.private().tallies().free();
        bindings::rct_stat_free((*net.ct()).stat);
    }
}

impl Net {
    /// Adds one to a counter of this CPU.
    #[inline]
    pub(crate) fn count(&self, counter: Counter) {
        self.count_many(counter, 1);
    }

    /// Adds `n`.
    #[inline]
    pub(crate) fn count_many(&self, counter: Counter, n: u32) {
        // SAFETY: The namespace has its counters while it can be reached, and `counter` is the
        // offset of one of them.
        unsafe { bindings::rct_stat_add(self.as_ptr(), counter.0, n) };
    }
}
