// SPDX-License-Identifier: GPL-2.0

//! What happened under pressure, for those who look: counters and tracepoints.
//!
//! All evictions go through [`evict`]. Counters are shown by `ctl::reclaim`; what is counted is
//! declared in `policy::tally`.

use crate::engine::conn;
use crate::engine::reclaim;
use crate::linux::conn::Conn;
use crate::linux::hashtable::Hash;
use crate::linux::lock::BhOff;
use crate::linux::net::Net;
use crate::linux::rcu::Held;
use crate::linux::trace;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;
use crate::pure::policy::class::Class;
use crate::pure::policy::evict::WhenFull;
use crate::pure::policy::tally::Reason;
use crate::pure::policy::tally::Tally;
use crate::pure::tuple::Tuple;

/// Adds one to a counter of the namespace.
#[inline]
pub(crate) fn count(net: &Net, tally: Tally) {
    count_many(net, tally, 1);
}

/// Adds `n`.
#[inline]
pub(crate) fn count_many(net: &Net, tally: Tally, n: usize) {
    net.private().tallies().add(tally.place(), n);
}

/// An entry has come into the table.
#[inline]
pub(crate) fn opened(net: &Net, rcu: Held<'_>, bh: BhOff<'_>) {
    let tallies = net.private_in(rcu).tallies();
    tallies.count(Tally::Opened.place(), bh);
}

/// Evicts an entry of this class: kills it, counts it and tells who listens. Whether it went, as
/// [`conn::reap`] says it.
pub(crate) fn evict(conn: &Conn, class: Class, reason: Reason) -> bool {
    evict_hashed(conn, conn::hash_of(conn, Dir::Original), class, reason)
}

/// The same if the hash of its original tuple is known.
pub(crate) fn evict_hashed(conn: &Conn, original: Hash, class: Class, reason: Reason) -> bool {
    if !conn::reap_hashed(conn, original) {
        return false;
    }
    let tallies = conn.net().private().tallies();
    tallies.add(reason.place(class), 1);
    trace::evicted(conn, class, reason, || reclaim::idle(conn));
    true
}

/// A connection found no place among `count` others, of which `max` may be.
pub(crate) fn refused(
    net: &Net,
    original: &Tuple,
    zone: Zone,
    entries: u32,
    max: u32,
    when_full: WhenFull,
) {
    count(net, Tally::Refused);
    if when_full != WhenFull::Drop {
        count(net, Tally::RefusedPassed);
    }
    trace::full(net, original, zone, entries, max, when_full.name());
}
