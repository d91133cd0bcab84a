// SPDX-License-Identifier: GPL-2.0

//! What happens when a namespace has as many entries as it may have.
//!
//! C counterpart's behaviour: `early_drop()` in `net/netfilter/nf_conntrack_core.c`.

use core::ptr::addr_of;
use core::ptr::addr_of_mut;
use kernel::prelude::*;
use kernel::sync::rcu;

use crate::engine::conn;
use crate::engine::table;
use crate::linux::conn::Candidate;
use crate::linux::hashtable::Hash;
use crate::linux::hashtable::Table;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::rcu::Held;
use crate::linux::stats::Counter;
use crate::linux::time;
use crate::linux::warn;
use crate::pure::policy::evict;

/// A connection was refused: the worker shall evict on its next walk.
static mut WORKER_WANTED: bool = false;

/// Whether the worker shall evict.
pub(crate) fn worker_wanted() -> bool {
    // SAFETY: A byte that is written whole.
    unsafe { read_once(addr_of!(WORKER_WANTED)) }
}

fn want_worker(wanted: bool) {
    // SAFETY: As in `worker_wanted`.
    unsafe { write_once(addr_of_mut!(WORKER_WANTED), wanted) };
}

/// The worker caught up.
pub(crate) fn worker_done() {
    want_worker(false);
}

/// Evicts something of the namespace, near the bucket where the new entry would be. False if there
/// was nothing: then the packet is dropped, and the log says so.
#[cold]
pub(crate) fn make_room(net: &Net, hash: Hash) -> bool {
    let mut bucket = None;
    for _ in 0..evict::RANGE {
        let guard = rcu::read_lock();
        let rcu = Held::by(&guard);
        let table = Table::current(rcu);
        let number = match bucket {
            None => table.bucket(hash).number(),
            Some(last) => evict::next_bucket(last, table.buckets()),
        };
        bucket = Some(number);
        let Some(here) = table.nth(number) else {
            continue;
        };
        let now = time::now();
        let mut evicted = 0u32;
        for met in table.chain(here, rcu) {
            if met.is_expired(now) {
                table::reap_expired(met);
            } else if evict_one(met, net) {
                evicted = evicted.saturating_add(1);
            }
        }
        if evicted > 0 {
            net.count_many(Counter::EARLY_DROP, evicted);
            return true;
        }
    }
    if !worker_wanted() {
        want_worker(true);
    }
    log_full(net);
    false
}

fn evict_one(met: Candidate<'_>, net: &Net) -> bool {
    if !evict::worth_a_reference(met.status(), met.is_in(net)) {
        return false;
    }
    let Some(conn) = met.get() else {
        return false;
    };
    // Recycled in between, it may be another namespace's.
    evict::still_evictable(conn.status(), conn.net() == net) && conn::reap(&conn)
}

/// The line that monitoring looks for.
fn log_full(net: &Net) {
    if !warn::net_ratelimit() {
        return;
    }
    if net.is_init() {
        pr_warn!("nf_conntrack: table full, dropping packet\n");
    } else {
        pr_warn!(
            "nf_conntrack: table full in netns {}, dropping packet\n",
            net.inum()
        );
    }
}
