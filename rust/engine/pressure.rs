// SPDX-License-Identifier: GPL-2.0

//! What happens when a namespace has as many entries as it may have.
//!
//! C counterpart's behaviour: `early_drop()` in `net/netfilter/nf_conntrack_core.c`.

use core::cmp::Reverse;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::rcu;

use crate::engine::account;
use crate::engine::cap;
use crate::engine::fair;
use crate::engine::fair::Origin;
use crate::engine::fair::Source;
use crate::engine::reclaim;
use crate::engine::reclaim::Outcome;
use crate::engine::table;
use crate::linux::conn::Candidate;
use crate::linux::conn::Conn;
use crate::linux::hashtable::Hash;
use crate::linux::hashtable::Table;
use crate::linux::net::Net;
use crate::linux::once::Word;
use crate::linux::rcu::Held;
use crate::linux::stats::Counter;
use crate::linux::warn;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;
use crate::pure::policy::class::Class;
use crate::pure::policy::evict;
use crate::pure::policy::evict::WhenFull;
use crate::pure::policy::fair::pays;
use crate::pure::policy::fair::reserve;
use crate::pure::policy::tally::Limit;
use crate::pure::policy::tally::Reason;
use crate::pure::policy::tally::Tally;
use crate::pure::tuple::Tuple;

/// A connection was refused: the worker shall evict on its next walk.
static WORKER_WANTED: Word<bool> = Word::new(false);

/// Where the next search that goes far begins, before scaling.
static FAR_FROM: Word<u32> = Word::new(0);

/// Whether the worker shall evict.
pub(crate) fn worker_wanted() -> bool {
    WORKER_WANTED.get()
}

/// The worker caught up.
pub(crate) fn worker_done() {
    WORKER_WANTED.set(false);
}

/// An entry that is to be made.
pub(crate) struct Wanted<'a> {
    /// Its original tuple.
    pub(crate) tuple: &'a Tuple,
    /// The tuple of what answers it, before translation.
    pub(crate) reply: &'a Tuple,
    /// Its zone.
    pub(crate) zone: Zone,
    /// The hash of the tuple.
    pub(crate) hash: Hash,
    /// Who wants it.
    pub(crate) origin: Origin,
}

impl Wanted<'_> {
    /// Who will have to pay for it.
    fn source(&self, net: &Net) -> Source {
        Source::of_new(net, self.tuple, self.zone, self.origin)
    }
}

/// Whether the namespace, which has `count` entries of `max`, takes another one, of `total` on the
/// machine if they are counted; one of the two is more than half full. False if nothing may go for
/// it: then the log says so.
#[cold]
pub(crate) fn admit(
    net: &Net,
    wanted: &Wanted<'_>,
    count: u32,
    max: u32,
    total: Option<u32>,
) -> bool {
    let guard = rcu::read_lock();
    let rcu = Held::by(&guard);
    let is_capped = matches!((total, cap::limit()), (Some(total), Some(cap)) if total > cap);
    if count <= max {
        if count > evict::low_water(max) {
            reclaim::rising(net, count, rcu);
        }
        if total.is_some() {
            reclaim::rising_together(rcu);
        }
        if !is_capped {
            return true;
        }
    }
    // Confirmation will look for the answer's tuple, unless translation changes it.
    let answer = table::hash(wanted.reply, wanted.zone.id(Dir::Reply), net);
    table::expect_walk(answer, rcu);
    // One that goes here makes room on the machine as well.
    let found = if count > max {
        make_any_room(net, wanted.hash, wanted.source(net), Limit::Namespace, rcu)
    } else {
        make_room_together(net, wanted, count, rcu)
    };
    if found || has_reserve(net, wanted, count, max, total, rcu) {
        table::expect_walk_next(answer, rcu);
        return true;
    }
    WORKER_WANTED.set(true);
    let when_full = net.when_full(rcu);
    account::refused(net, wanted.tuple, wanted.zone, count, max, when_full);
    if when_full == WhenFull::Drop {
        log_full(net);
    }
    false
}

/// Whether it is a connection of the machine itself, which has some places beyond the limits.
fn has_reserve(
    net: &Net,
    wanted: &Wanted<'_>,
    count: u32,
    max: u32,
    total: Option<u32>,
    rcu: Held<'_>,
) -> bool {
    let is_within =
        |count: u32, max: u32| count <= max.saturating_add(reserve(max, net.reserved()));
    let fits_together = match (total, cap::limit()) {
        (Some(total), Some(cap)) => is_within(total, cap),
        _ => true,
    };
    is_within(count, max) && fits_together && fair::is_own(net, wanted.tuple, wanted.origin, rcu)
}

/// Evicts something on a machine that has as many entries as it may have: of the largest namespace,
/// or of this one, which has `count` with the new one, if none is larger.
#[cold]
fn make_room_together(net: &Net, wanted: &Wanted<'_>, count: u32, rcu: Held<'_>) -> bool {
    let own = || make_any_room(net, wanted.hash, wanted.source(net), Limit::Total, rcu);
    let Some(largest) = cap::largest(rcu).filter(|largest| *largest != net) else {
        return own();
    };
    let most = largest.entries_now();
    if !pays(most, count.saturating_sub(1)) {
        return own();
    }
    make_any_room(largest, wanted.hash, Source::NOBODY, Limit::Total, rcu) || own()
}

/// Evicts something of the namespace: what is proven only if nothing else is found.
fn make_any_room(net: &Net, hash: Hash, source: Source, limit: Limit, rcu: Held<'_>) -> bool {
    match make_room(net, hash, limit, rcu) {
        Outcome::Evicted => true,
        outcome => fair::make_room(net, source, outcome == Outcome::Barren, limit, rcu),
    }
}

/// Evicts something of the namespace that is not active.
fn make_room(net: &Net, hash: Hash, limit: Limit, rcu: Held<'_>) -> Outcome {
    let near = Table::current(rcu).bucket(hash).number();
    let search = |from, count| search(net, from, count, limit, rcu);
    if reclaim::is_young(net, rcu) && search(near, evict::NEAR + evict::FAR) {
        return Outcome::Evicted;
    }
    let outcome = reclaim::evict(net, limit, rcu);
    let found = match outcome {
        Outcome::Evicted => true,
        Outcome::Barren => search(near, evict::NEAR),
        Outcome::Dry | Outcome::Unfinished => {
            search(near, evict::NEAR) || search(far(), evict::FAR)
        }
    };
    if found {
        Outcome::Evicted
    } else {
        outcome
    }
}

/// Where the next search that goes far begins. Racing searches may begin at one place.
fn far() -> u32 {
    let from = FAR_FROM.get();
    FAR_FROM.set(from.wrapping_add(evict::FAR));
    from.checked_rem(table::buckets()).unwrap_or(0)
}

/// Evicts the lowest of the entries in `count` buckets that may go; of several of a class the one
/// that has been idle longest, or next to that: one of the first [`evict::MET`].
fn search(net: &Net, from: u32, count: u32, limit: Limit, rcu: Held<'_>) -> bool {
    account::count(net, Tally::Searches);
    let mut number = from;
    let mut met = 0u32;
    let mut best: Option<(Class, u32, ARef<Conn>)> = None;
    for _ in 0..count {
        let table = Table::current(rcu);
        if let Some(bucket) = table.nth(number) {
            for (class, conn) in table.chain(bucket, rcu).filter_map(|met| victim(met, net)) {
                met = met.saturating_add(1);
                let idle = reclaim::idle(&conn);
                let is_better = best.as_ref().is_none_or(|(lowest, longest, _)| {
                    (class, Reverse(idle)) < (*lowest, Reverse(*longest))
                });
                if is_better {
                    best = Some((class, idle, conn));
                }
            }
        }
        if met >= evict::MET {
            break;
        }
        number = evict::next_bucket(number, table.buckets());
    }
    let reason = limit.reason(Reason::Search);
    let found = best.is_some_and(|(class, _, conn)| account::evict(&conn, class, reason));
    if found {
        net.count(Counter::EARLY_DROP);
    }
    found
}

/// An entry of the namespace that may go.
fn victim(met: Candidate<'_>, net: &Net) -> Option<(Class, ARef<Conn>)> {
    let conn = table::hold(met, Some(net), evict::is_settled)?;
    let class = reclaim::judge(&conn);
    class.may_go().then_some((class, conn))
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
