// SPDX-License-Identifier: GPL-2.0

//! A packet's way through the module, top to bottom.
//!
//! ```text
//! PRE_ROUTING, LOCAL_OUT --> track
//!    1  wire::transport, wire::tuple      bytes become a tuple
//!    2  ICMP errors --> l4::icmp          belong to the connection that they quote
//!    3  table::find_both_ways             lock-free look-up
//!    4  open                              if that missed: a new entry, nobody else's yet
//!    5  l4::packet                        the tracker's opinion, the next state, the timeout
//!
//! POST_ROUTING, LOCAL_IN --> leave
//!    6  helper::run, seqadj::adjust       helpers read, and adjust, what they know
//!    7  confirm                           the entry becomes everybody's; listeners are told
//! ```
//!
//! Nothing else decides the order. CONTEXT: softirq or process context with bottom halves on or
//! off, always in an RCU read-side section.
//!
//! C counterparts' behaviour: `nf_conntrack_in()` in `net/netfilter/nf_conntrack_core.c`,
//! `nf_confirm()` in `net/netfilter/nf_conntrack_proto.c`.

use kernel::prelude::*;
use kernel::sync::aref::ARef;

use crate::engine::acct;
use crate::engine::confirm;
use crate::engine::conn;
use crate::engine::events;
use crate::engine::expect;
use crate::engine::fair;
use crate::engine::fair::Origin;
use crate::engine::gre_keymap;
use crate::engine::helper;
use crate::engine::l4;
use crate::engine::l4::Opinion;
use crate::engine::labels;
use crate::engine::probe;
use crate::engine::reclaim;
use crate::engine::seqadj;
use crate::engine::synproxy;
use crate::engine::table;
use crate::engine::timeout;
use crate::engine::tstamp;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::hashtable::Hash;
use crate::linux::rcu::Held;
use crate::linux::skb::HookState;
use crate::linux::skb::Skb;
use crate::linux::stats::Counter;
use crate::linux::verdict::Verdict;
use crate::linux::zone::Zone;
use crate::pure::ctinfo::CtInfo;
use crate::pure::num::Dir;
use crate::pure::policy::evict::WhenFull;
use crate::pure::policy::proof::Marks;
use crate::pure::status::Bit;
use crate::pure::status::Status;
use crate::pure::tuple::Family;
use crate::pure::tuple::Tuple;
use crate::pure::wire;
use crate::pure::wire::Transport;

/// A packet's connection would be a new one, and found no place.
#[derive(Clone, Copy)]
pub(crate) struct NoPlace;

/// A packet enters a namespace: as [`track_for`], and without a place for its connection it goes
/// the way that the namespace wants.
#[inline]
pub(crate) fn track(skb: &Skb, state: HookState<'_>) -> Verdict {
    match track_for(skb, state) {
        Ok(verdict) => verdict,
        Err(NoPlace) => without_place(skb, state),
    }
}

#[cold]
fn without_place(skb: &Skb, state: HookState<'_>) -> Verdict {
    let net = state.net();
    match net.when_full(state.rcu()) {
        WhenFull::Drop => {
            net.count(Counter::DROP);
            Verdict::DROP
        }
        WhenFull::PassInvalid => {
            net.count(Counter::INVALID);
            Verdict::ACCEPT
        }
        WhenFull::PassUntracked => {
            skb.set_untracked();
            Verdict::ACCEPT
        }
    }
}

/// A packet enters: finds its connection, or begins one (`nf_conntrack_in`).
#[inline]
pub(crate) fn track_for(skb: &Skb, state: HookState<'_>) -> Result<Verdict, NoPlace> {
    if skb.is_unseen() {
        return track_as(skb, None, state);
    }
    match skb.conn() {
        // A rule gave it a template, which ends here.
        Some(conn) if conn.is_template() => {
            let template = skb.detach();
            track_as(skb, template.as_deref(), state)
        }
        // Seen before, on loopback or in a tunnel; or not to be tracked.
        Some(_) => Ok(Verdict::ACCEPT),
        None if skb.ctinfo() == Some(CtInfo::Untracked) => Ok(Verdict::ACCEPT),
        None => {
            skb.detach();
            track_as(skb, None, state)
        }
    }
}

fn track_as(skb: &Skb, template: Option<&Conn>, state: HookState<'_>) -> Result<Verdict, NoPlace> {
    let net = state.net();
    let nhoff = skb.network_offset();
    let transport = match Family::from_number(u16::from(state.family())) {
        Some(family) => wire::transport(skb, nhoff, family).ok(),
        None => None,
    };
    let Some(transport) = transport else {
        net.count(Counter::INVALID);
        return Ok(Verdict::ACCEPT);
    };
    if let Some(verdict) = l4::icmp::classify(skb, template, nhoff, &transport, state) {
        return Ok(verdict);
    }
    loop {
        match find_or_open(skb, template, nhoff, &transport, state) {
            Ok(Some((conn, info))) => skb.attach(conn, info),
            Ok(None) => {
                net.count(Counter::INVALID);
                return Ok(Verdict::ACCEPT);
            }
            // No memory, or no place in the table.
            Err(_) => return Err(NoPlace),
        }
        let (Some(conn), Some(info)) = (skb.conn(), skb.ctinfo()) else {
            return Ok(Verdict::ACCEPT);
        };
        match l4::packet(conn, skb, &transport, info, state) {
            Opinion::Accept => {
                if info == CtInfo::EstablishedReply {
                    note_reply(conn);
                }
                return Ok(Verdict::ACCEPT);
            }
            // An attempt to reopen a closed connection: the entry is gone, look again.
            Opinion::Repeat => drop(skb.detach()),
            Opinion::Invalid => {
                drop(skb.detach());
                net.count(Counter::INVALID);
                return Ok(Verdict::ACCEPT);
            }
            Opinion::Drop => {
                drop(skb.detach());
                net.count(Counter::INVALID);
                net.count(Counter::DROP);
                return Ok(Verdict::DROP);
            }
        }
    }
}

/// The first reply is an event, and makes the connection established.
#[inline]
fn note_reply(conn: &Conn) {
    if !conn.has(Status::SEEN_REPLY) && !conn.test_and_set_bit(Bit::SeenReply) {
        events::cache(conn, events::Event::Reply);
        reclaim::answered(conn);
    }
}

/// The packet's connection, found or new; `None` for packets that can have none.
#[inline]
fn find_or_open(
    skb: &Skb,
    template: Option<&Conn>,
    nhoff: u32,
    transport: &Transport,
    state: HookState<'_>,
) -> Result<Option<(ARef<Conn>, CtInfo)>> {
    let net = state.net();
    let Some(tuple) = wire::tuple(skb, nhoff, transport, |tuple| {
        gre_keymap::lookup(net, tuple)
    }) else {
        return Ok(None);
    };
    let zone = conn::zone_of(template, || skb.mark());
    let hash = table::hash(&tuple, zone.id(Dir::Original), net);
    let found = match table::find_both_ways(&tuple, zone, net, hash, state.rcu()) {
        None => open(skb, template, &tuple, zone, hash, state)?.map(|conn| (conn, Dir::Original)),
        found => found,
    };
    Ok(found.map(|(conn, dir)| {
        let info = CtInfo::of(dir, conn.status());
        (conn, info)
    }))
}

/// A new entry for the packet, with what the template, the settings and an expectation give it.
#[inline(never)]
fn open(
    _skb: &Skb,
    template: Option<&Conn>,
    tuple: &Tuple,
    zone: Zone,
    hash: Hash,
    state: HookState<'_>,
) -> Result<Option<ARef<Conn>>> {
    let net = state.net();
    let Some(reply) = tuple.invert() else {
        return Ok(None);
    };
    let origin = if state.is_local_out() {
        Origin::Us
    } else {
        Origin::Outside
    };
    let private = net.private_in(state.rcu());
    let new = conn::alloc(
        net,
        private,
        zone,
        [tuple, &reply],
        hash,
        origin,
        Gfp::ATOMIC,
    )?;
    if origin == Origin::Us {
        fair::mark(&new, Marks::OWN);
    }
    synproxy::inherit(&new, template)?;
    if let Some(template) = template {
        timeout::inherit(&new, template, Gfp::ATOMIC);
    }
    acct::add_ext(&new, Gfp::ATOMIC);
    tstamp::add_ext(&new, Gfp::ATOMIC);
    if labels::add_ext(&new) {
        labels::tell_occupancy(&new);
    }
    events::inherit(&new, template)?;
    // A template that is not confirmed asks what would be, without using the expectation up.
    let consume = template.is_none_or(Conn::is_confirmed);
    let expected = match private.expectations() {
        0 => None,
        _ => expect::inherit(&new, net, zone, tuple, consume),
    };
    if let (None, Some(template)) = (&expected, template) {
        // The connection does without a helper if there is no memory for it.
        let _ = helper::try_assign(&new, template, Gfp::ATOMIC);
    }
    let conn = new.publish();
    if let Some(expected) = expected {
        expected.run(&conn);
    }
    Ok(Some(conn))
}

/// A packet leaves: helpers get their look at it, and its entry is confirmed (`nf_confirm`).
pub(crate) fn leave(skb: &Skb, state: HookState<'_>) -> Verdict {
    let (Some(conn), Some(info)) = (skb.conn(), skb.ctinfo()) else {
        return Verdict::ACCEPT;
    };
    if state.is_vrf_postrouting() {
        return Verdict::ACCEPT;
    }
    if probe::is_on(conn.net()) {
        probe::left(conn, skb, info);
    }
    let adjust = conn.has(Status::SEQ_ADJUST) && !skb.is_loopback();
    let helped = helper::has_ext(conn);
    // Helpers do not expect ICMP errors.
    if (helped || adjust) && info != CtInfo::RelatedReply {
        let offset = Family::from_number(conn.l3()).and_then(|family| skb.transport_offset(family));
        if let Some(offset) = offset {
            if helped {
                let verdict = helper::run(skb, offset, conn, info, state.rcu());
                if verdict != Verdict::ACCEPT {
                    return verdict;
                }
            }
            if adjust && !seqadj::adjust(skb, conn, info, offset) {
                conn.net().count(Counter::DROP);
                return Verdict::DROP;
            }
        }
    }
    if state.is_local_in() && !conn.is_confirmed() {
        fair::mark(conn, Marks::TO_US);
    }
    confirm_and_tell(skb, state.rcu())
}

/// A packet comes back from user space: what its user-space helper left undone
/// (`nf_conntrack_update`).
pub(crate) fn resume(skb: &Skb, rcu: Held<'_>) -> Verdict {
    let (Some(conn), Some(info)) = (skb.conn(), skb.ctinfo()) else {
        return Verdict::ACCEPT;
    };
    if !helper::is_user_space(conn, rcu) {
        return Verdict::ACCEPT;
    }
    let offset = Family::from_number(conn.l3()).and_then(|family| skb.transport_offset(family));
    let Some(offset) = offset else {
        return Verdict::ACCEPT;
    };
    if conn.has(Status::SEQ_ADJUST)
        && !skb.is_loopback()
        && !seqadj::adjust(skb, conn, info, offset)
    {
        conn.net().count(Counter::DROP);
        return Verdict::DROP;
    }
    confirm_and_tell(skb, rcu)
}

/// Confirms the packet's entry if that is still to be done, and delivers what listeners wait for.
fn confirm_and_tell(skb: &Skb, rcu: Held<'_>) -> Verdict {
    let Some(conn) = skb.conn() else {
        return Verdict::ACCEPT;
    };
    if !conn.is_confirmed() && confirm::confirm(skb, rcu).is_err() {
        return Verdict::DROP;
    }
    // Confirmation may have given the packet another entry.
    if let Some(conn) = skb.conn() {
        events::deliver(conn);
    }
    Verdict::ACCEPT
}
