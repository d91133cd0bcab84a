// SPDX-License-Identifier: GPL-2.0

//! Confirmation: an entry that was one packet's becomes everybody's.
//!
//! ```text
//!            both buckets locked
//!   dying? ----------------------------> drop
//!   a chain too long? -----------------> drop
//!   a tuple taken? --> policy::clash --> merge, reply only, or drop
//!   otherwise -------------------------> linked; deadline set before, CONFIRMED after
//! ```
//!
//! C counterpart's behaviour: `__nf_conntrack_confirm()` in `net/netfilter/nf_conntrack_core.c`.

use kernel::prelude::*;

use crate::engine::account;
use crate::engine::acct;
use crate::engine::conn;
use crate::engine::events;
use crate::engine::helper;
use crate::engine::l4;
use crate::engine::reclaim;
use crate::engine::table;
use crate::engine::table::LockedPair;
use crate::engine::tstamp;
use crate::linux::conn::Conn;
use crate::linux::conn::Key;
use crate::linux::lock::BhGuard;
use crate::linux::net::Net;
use crate::linux::random;
use crate::linux::rcu::Held;
use crate::linux::skb::Skb;
use crate::linux::stats::Counter;
use crate::linux::time;
use crate::linux::warn;
use crate::pure::ctinfo::CtInfo;
use crate::pure::num::Dir;
use crate::pure::policy::chain;
use crate::pure::policy::chain::Chain;
use crate::pure::policy::chain::TooLong;
use crate::pure::policy::clash;
use crate::pure::policy::clash::Resolution;
use crate::pure::status::Bit;

/// The packet is to be dropped.
#[derive(Clone, Copy)]
pub(crate) struct Refused;

/// Puts the packet's entry into the table. The packet may have another entry afterwards.
///
/// CONTEXT: in an RCU read-side section; bottom halves may be on.
pub(crate) fn confirm(skb: &Skb, rcu: Held<'_>) -> Result<(), Refused> {
    let (Some(conn), Some(info)) = (skb.conn(), skb.ctinfo()) else {
        return Ok(());
    };
    // A reply that a rule made to the packet shares the entry, and does not confirm it.
    if info.dir() != Dir::Original {
        return Ok(());
    }
    let bh = BhGuard::new();
    // Translation may have changed the reply tuple, never the original one.
    let hashes = (conn.saved_hash(), conn::hash_of(conn, Dir::Reply));
    let locked = table::lock_pair(|| hashes, rcu, bh.off());
    let outcome = insert(&locked, skb, conn, info)?;
    drop(locked);
    let is_new = matches!(outcome, Outcome::Inserted);
    if is_new {
        account::opened(conn.net(), rcu, bh.off());
    }
    drop(bh);
    if is_new {
        reclaim::confirmed(conn, hashes.0, rcu);
        announce(conn);
    }
    Ok(())
}

/// What became of the entry.
enum Outcome {
    /// It is in the table.
    Inserted,
    /// It met another one of the same flow, and the packet goes on with what is left.
    Resolved,
}

/// With both buckets locked: links the entry, or resolves its clash with another.
fn insert(
    locked: &LockedPair<'_>,
    skb: &Skb,
    conn: &Conn,
    info: CtInfo,
) -> Result<Outcome, Refused> {
    let net = conn.net();
    if conn.is_confirmed() {
        // Clones of one packet share an unconfirmed entry, and the other one came first.
        warn::warn_once!();
        return Err(Refused);
    }
    if conn.is_dying() {
        net.count(Counter::INSERT_FAILED);
        return Err(Refused);
    }
    match find_taken(locked, conn) {
        Err(TooLong) => {
            net.count(Counter::CHAIN_TOO_LONG);
            net.count(Counter::INSERT_FAILED);
            return Err(Refused);
        }
        Ok(Some(winner)) => {
            resolve(locked, skb, conn, winner, info)?;
            return Ok(Outcome::Resolved);
        }
        Ok(None) => {}
    }
    // Ticks from now on, not from when the tracker stored them.
    conn.set_timeout(time::now().plus(conn.timeout()).0);
    take_place(conn);
    locked.link(conn);
    // ORDERING: whoever sees the bit finds the deadline set and the entry linked. A reader that
    // meets the entry without it takes it for one that is being recycled.
    conn.set_bit(Bit::Confirmed);
    Ok(Outcome::Inserted)
}

/// The table's reference, and the time of birth.
fn take_place(conn: &Conn) {
    core::mem::forget(conn.to_ref());
    tstamp::start(conn);
}

/// What is told about an entry after its confirmation, without any lock.
fn announce(conn: &Conn) {
    if helper::assigned(conn) {
        events::cache(conn, events::Event::Helper);
    }
    let event = match conn.master() {
        Some(_) => events::Event::Related,
        None => events::Event::New,
    };
    events::cache(conn, event);
}

/// The entry that has one of `conn`'s tuples already, if the chains are short enough to tell.
///
/// Translation may pick a reply tuple that another new connection gets as well: neither was in the
/// table.
fn find_taken<'a>(locked: &'a LockedPair<'_>, conn: &Conn) -> Result<Option<&'a Conn>, TooLong> {
    let mut length = Chain::new(|| random::draw(chain::drawn));
    for dir in Dir::BOTH {
        let tuple = conn.tuple(dir);
        let key = Key::new(&tuple, conn.zone(), conn.net());
        for met in locked.chain(dir) {
            if met.matches(&key) {
                // SAFETY: The bucket's lock is held for as long as `locked` is borrowed.
                return Ok(Some(unsafe { met.locked() }));
            }
            length.pass()?;
        }
        length.restart();
    }
    Ok(None)
}

/// Two entries for one flow.
#[cold]
fn resolve(
    locked: &LockedPair<'_>,
    skb: &Skb,
    loser: &Conn,
    winner: &Conn,
    info: CtInfo,
) -> Result<(), Refused> {
    let net = loser.net();
    let same_flow = |other: &&Conn| mergeable(other, loser);
    let reply_holder = || {
        let tuple = loser.tuple(Dir::Reply);
        let key = Key::new(&tuple, loser.zone(), net);
        let met = locked.chain(Dir::Reply).find(|met| met.matches(&key))?;
        // SAFETY: The bucket's lock is held for as long as `locked` is borrowed.
        Some(unsafe { met.locked() })
    };
    match clash::resolve(
        l4::allows_clash(winner.proto()),
        winner,
        same_flow,
        reply_holder,
    ) {
        Resolution::Merge(other) => {
            merge(skb, loser, other, info);
            net.count(Counter::CLASH_RESOLVE);
            Ok(())
        }
        Resolution::InsertReplyOnly => {
            // Replies find it; packets of the original direction find the other one.
            let ticks = clash::REPLY_ONLY_TIMEOUT.ticks(time::HZ);
            loser.set_timeout(time::now().plus(ticks).0);
            loser.add_status(clash::REPLY_ONLY_STATUS);
            take_place(loser);
            locked.link_reply_only(loser);
            // ORDERING: as in `insert`.
            loser.set_bit(Bit::Confirmed);
            net.count(Counter::CLASH_RESOLVE);
            Ok(())
        }
        Resolution::Drop => {
            net.count(Counter::DROP);
            net.count(Counter::INSERT_FAILED);
            Err(Refused)
        }
    }
}

fn mergeable(a: &Conn, b: &Conn) -> bool {
    let tuples = [a, b].map(|conn| Dir::BOTH.map(|dir| conn.tuple(dir)));
    let [[ao, ar], [bo, br]] = &tuples;
    let zones = |conn: &Conn| Dir::BOTH.map(|dir| conn.zone().id(dir));
    clash::mergeable(
        &clash::Ends {
            original: ao,
            reply: ar,
            zone: zones(a),
        },
        &clash::Ends {
            original: bo,
            reply: br,
            zone: zones(b),
        },
    )
}

/// Gives the packet the other entry, which takes over what was counted.
fn merge(skb: &Skb, loser: &Conn, winner: &Conn, info: CtInfo) {
    acct::merge(winner, info.dir(), loser);
    let loser = skb.detach();
    skb.attach(winner.to_ref(), info);
    // The loser is unconfirmed: nothing in its end wants a bucket's lock.
    drop(loser);
}

/// Inserts an entry that user space or a program made (`nf_conntrack_hash_check_insert`).
///
/// The caller, who owns the entry, has set its status and deadline; afterwards the table has one
/// reference and the caller another.
///
/// Errors: `EEXIST` for a tuple in use, `ENOSPC` for a chain too long; the entry stays the
/// caller's.
pub(crate) fn insert_made(conn: &Conn) -> Result {
    let bh = BhGuard::new();
    let net: &Net = conn.net();
    let original = conn::hash_of(conn, Dir::Original);
    let locked = table::lock_both(conn, original, bh.off());
    match find_taken(&locked, conn) {
        Ok(None) => {}
        Ok(Some(_)) => return Err(EEXIST),
        Err(TooLong) => {
            net.count(Counter::CHAIN_TOO_LONG);
            return Err(ENOSPC);
        }
    }
    crate::linux::slab::first_references(conn, 2);
    locked.link(conn);
    drop(locked);
    let rcu = Held::under(bh.off());
    reclaim::confirmed(conn, original, rcu);
    net.count(Counter::INSERT);
    account::opened(net, rcu, bh.off());
    Ok(())
}
