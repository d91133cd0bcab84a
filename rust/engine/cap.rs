// SPDX-License-Identifier: GPL-2.0

//! The limit of entries of all namespaces together, which is off unless somebody sets it.
//!
//! ```text
//!   alloc, free ---> TOTAL, as long as there is a limit
//!   reclaim's worker: what the total really is, and which namespace is the largest
//!   alloc at the limit ---> one of the largest namespace goes
//! ```
//!
//! Without a limit nothing is counted, and nobody evicts an entry of another namespace.
//!
//! No C counterpart.

use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;

use crate::engine::reclaimer;
use crate::linux::net::Net;
use crate::linux::once::Word;
use crate::linux::pernet::Known;
use crate::linux::rcu::Held;
use crate::pure::policy::evict;

/// The limit; zero is none (`nf_conntrack_total_max`).
static LIMIT: Word<u32> = Word::new(0);

/// The limit for which the worker has counted; zero if it has not.
static COUNTED_FOR: Word<u32> = Word::new(0);

/// The number of entries, about: counted from when the limit was set, and put right by the worker.
static TOTAL: Atomic<i32> = Atomic::<i32>::new(0);

/// The namespace with the most entries, while the machine is near the limit.
static LARGEST: Known = Known::new();

/// The word that the sysctl sets.
pub(crate) fn word() -> *mut c_void {
    LIMIT.as_ptr()
}

/// The limit, if there is one.
#[inline(always)]
pub(crate) fn limit() -> Option<u32> {
    match LIMIT.get() {
        0 => None,
        limit => Some(limit),
    }
}

/// An entry is made. How many there are now, if they are counted.
#[inline(always)]
pub(crate) fn count() -> Option<u32> {
    let limit = limit();
    if limit.unwrap_or(0) != COUNTED_FOR.get() {
        limit_has_changed(limit);
    }
    limit.map(|_| counted(TOTAL.fetch_add(1, Relaxed).wrapping_add(1)))
}

#[cold]
fn limit_has_changed(limit: Option<u32>) {
    match limit {
        Some(_) => reclaimer::call(),
        None => COUNTED_FOR.set(0),
    }
}

/// An entry is freed.
#[inline(always)]
pub(crate) fn give_back() {
    if limit().is_some() {
        TOTAL.add(-1, Relaxed);
    }
}

fn counted(raw: i32) -> u32 {
    u32::try_from(raw).unwrap_or(0)
}

/// Whether so many entries are near the limit.
#[inline(always)]
pub(crate) fn is_near(total: Option<u32>) -> bool {
    match (total, limit()) {
        (Some(total), Some(limit)) => total > evict::low_water(limit),
        _ => false,
    }
}

/// The worker has counted: there are `sum` entries. CONTEXT: the worker's list is locked.
pub(crate) fn correct(sum: u32) {
    let sum = i32::try_from(sum).unwrap_or(i32::MAX);
    // What comes and goes meanwhile stays counted.
    TOTAL.add(sum.wrapping_sub(TOTAL.load(Relaxed)), Relaxed);
    COUNTED_FOR.set(limit().unwrap_or(0));
}

/// The worker has found the largest namespace. CONTEXT: the worker's list is locked, in which it is.
pub(crate) fn set_largest(net: Option<&Net>) {
    LARGEST.set(net);
}

/// Whether a namespace is the largest.
pub(crate) fn is_largest(net: &Net) -> bool {
    LARGEST.is(net)
}

/// A namespace ends. CONTEXT: the worker's list is locked, and it is in it no more; a grace period
/// passes before it goes.
pub(crate) fn forget(net: &Net) {
    LARGEST.forget(net);
}

/// The largest namespace, if it has been found out.
pub(crate) fn largest(rcu: Held<'_>) -> Option<&Net> {
    LARGEST.get(rcu)
}
