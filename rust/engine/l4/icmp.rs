// SPDX-License-Identifier: GPL-2.0

//! ICMP and ICMPv6: `pure::l4::icmp` carried out.

use crate::engine::conn;
use crate::engine::gre_keymap;
use crate::engine::l4;
use crate::engine::l4::Opinion;
use crate::engine::table;
use crate::linux::conn::Conn;
use crate::linux::log;
use crate::linux::net::Net;
use crate::linux::skb::HookState;
use crate::linux::skb::Skb;
use crate::linux::stats::Counter;
use crate::linux::verdict::Verdict;
use crate::pure::ctinfo::CtInfo;
use crate::pure::l4::icmp::inner_tuple;
use crate::pure::l4::icmp::inspect_v4;
use crate::pure::l4::icmp::inspect_v6;
use crate::pure::l4::icmp::relate;
use crate::pure::l4::icmp::v4_step;
use crate::pure::l4::icmp::v6_step;
use crate::pure::l4::icmp::Inspection;
use crate::pure::l4::icmp::Reason;
use crate::pure::num::Dir;
use crate::pure::status::Status;
use crate::pure::tuple::proto;
use crate::pure::tuple::Addr;
use crate::pure::tuple::Family;
use crate::pure::wire::Transport;

/// What becomes of an ICMP packet before any look-up of its own: `None` to track it like others.
///
/// An error message gets the connection that it quotes, or goes on as invalid.
#[inline]
pub(crate) fn classify(
    skb: &Skb,
    template: Option<&Conn>,
    nhoff: u32,
    transport: &Transport,
    state: HookState<'_>,
) -> Option<Verdict> {
    match (transport.family, transport.proto) {
        (Family::V4, proto::ICMP) | (Family::V6, proto::ICMPV6) => {
            classify_icmp(skb, template, nhoff, transport, state)
        }
        _ => None,
    }
}

#[cold]
fn classify_icmp(
    skb: &Skb,
    template: Option<&Conn>,
    nhoff: u32,
    transport: &Transport,
    state: HookState<'_>,
) -> Option<Verdict> {
    let Transport {
        family,
        proto,
        offset,
    } = *transport;
    let bad = || l4::verifies(state) && skb.checksum_is_bad(state, offset, proto);
    let inspection = match family {
        Family::V4 => inspect_v4(skb, nhoff, offset, bad),
        Family::V6 => inspect_v6(skb, nhoff, offset, bad),
    };
    let reason = match inspection {
        Inspection::Track => return None,
        Inspection::Untracked => {
            skb.set_untracked();
            return Some(Verdict::ACCEPT);
        }
        Inspection::Invalid(reason) => reason,
        Inspection::Inner { offset, outer } => {
            match attach_quoted(skb, template, offset, &outer, family, state) {
                Ok(()) => return Some(Verdict::ACCEPT),
                Err(reason) => reason,
            }
        }
    };
    if !reason.is_silent() {
        log::invalid(skb, state, proto, &reason);
    }
    state.net().count(Counter::ERROR);
    Some(Verdict::ACCEPT)
}

/// Gives an error message the connection whose packet it quotes.
fn attach_quoted(
    skb: &Skb,
    template: Option<&Conn>,
    offset: u32,
    outer: &Addr,
    family: Family,
    state: HookState<'_>,
) -> Result<(), Reason> {
    let net = state.net();
    let tuple = inner_tuple(skb, offset, family, |tuple| gre_keymap::lookup(net, tuple))?;
    let zone = conn::zone_of(template, || skb.mark());
    let (found, dir) =
        table::find_get(net, &tuple, zone, state.rcu()).ok_or(Reason::NoConnection)?;
    let info = relate(&found.tuple(dir), outer, family)?;
    skb.attach(found, info);
    Ok(())
}

/// An ICMP query or answer of a connection.
pub(crate) fn packet_v4(conn: &Conn, skb: &Skb, info: CtInfo, state: HookState<'_>) -> Opinion {
    let limits = l4::limits(conn, Net::icmp_limits);
    let (kind, _) = conn.tuple(Dir::Original).icmp_type_code();
    let Some(family) = Family::from_number(u16::from(state.family())) else {
        return Opinion::Invalid;
    };
    match v4_step(family, kind, limits.get(0)) {
        Ok(ticks) => {
            l4::refresh(conn, info, ticks, skb.len());
            Opinion::Accept
        }
        Err(_) => Opinion::Invalid,
    }
}

/// An ICMPv6 query or answer of a connection.
pub(crate) fn packet_v6(conn: &Conn, skb: &Skb, info: CtInfo, state: HookState<'_>) -> Opinion {
    let limits = l4::limits(conn, Net::icmpv6_limits);
    let (kind, _) = conn.tuple(Dir::Original).icmp_type_code();
    let Some(family) = Family::from_number(u16::from(state.family())) else {
        return Opinion::Invalid;
    };
    match v6_step(family, kind, conn.has(Status::CONFIRMED), limits.get(0)) {
        Ok(ticks) => {
            l4::refresh(conn, info, ticks, skb.len());
            Opinion::Accept
        }
        Err(_) => Opinion::Invalid,
    }
}
