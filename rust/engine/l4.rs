// SPDX-License-Identifier: GPL-2.0

//! What the layer-4 trackers decide, carried out.
//!
//! One file per protocol: it checks the packet, loads the tracker's state, asks `pure::l4`, and
//! applies the answer. The order of what is checked, stored, told and logged is mainline's.

use crate::engine::acct;
use crate::engine::timeout;
use crate::engine::timeout::Policy;
use crate::linux::conn::Conn;
use crate::linux::limits;
use crate::linux::limits::Limits;
use crate::linux::net::Net;
use crate::linux::skb::HookState;
use crate::linux::skb::Skb;
use crate::linux::time;
use crate::pure::ctinfo::CtInfo;
use crate::pure::l4 as pure;
use crate::pure::policy::adaptive::Span;
use crate::pure::policy::class::Ending;
use crate::pure::policy::proof::Marks;
use crate::pure::policy::soft;
use crate::pure::status::Status;
use crate::pure::tuple::proto;
use crate::pure::wire::Transport;

pub(crate) mod generic;
pub(crate) mod gre;
pub(crate) mod icmp;
pub(crate) mod sctp;
pub(crate) mod tcp;
pub(crate) mod udp;

/// What a tracker says of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// It belongs to the connection.
    Accept,
    /// It does not: it goes on as invalid.
    Invalid,
    /// The connection has been removed to make way for a new one: look again.
    Repeat,
    /// As [`Opinion::Repeat`], but somebody else is removing it: the packet cannot wait.
    Drop,
}

/// The tracker's opinion of a packet; state, timeout and counters of its connection move on.
#[inline]
pub(crate) fn packet(
    conn: &Conn,
    skb: &Skb,
    transport: &Transport,
    info: CtInfo,
    state: HookState<'_>,
) -> Opinion {
    match conn.proto() {
        proto::TCP => tcp::packet(conn, skb, transport.offset, info, state),
        proto::UDP => udp::packet(conn, skb, transport.offset, info, state),
        proto::ICMP => icmp::packet_v4(conn, skb, info, state),
        proto::ICMPV6 => icmp::packet_v6(conn, skb, info, state),
        proto::SCTP => sctp::packet(conn, skb, transport.offset, info, state),
        proto::GRE => gre::packet(conn, skb, info),
        _ => generic::packet(conn, skb, info),
    }
}

/// Whether two entries for one flow of this protocol may be merged: not where the tracker's state
/// of the first packet matters.
pub(crate) const fn allows_clash(proto: u8) -> bool {
    !matches!(proto, proto::TCP | proto::SCTP)
}

/// Whether an assured connection is past its end (`can_early_drop` of its tracker).
pub(crate) fn is_closing(conn: &Conn) -> bool {
    match conn.proto() {
        proto::TCP => pure::tcp::can_early_drop(conn.tcp_state()),
        proto::SCTP => pure::sctp::can_early_drop(conn.sctp_state()),
        _ => false,
    }
}

/// How far a connection is past its end.
#[inline]
pub(crate) fn ending(conn: &Conn) -> Ending {
    match conn.proto() {
        proto::TCP => Ending::of_tcp(conn.tcp_state()),
        proto::SCTP => Ending::of_sctp(conn.sctp_state(), conn.has(Status::ASSURED)),
        _ => Ending::NotYet,
    }
}

/// Whether an assured connection is proven as well. What other protocols have is the same.
#[inline]
pub(crate) fn is_proven(conn: &Conn) -> bool {
    match conn.proto() {
        proto::TCP | proto::UDP | proto::GRE => conn.marks().any(Marks::PROVEN),
        _ => true,
    }
}

/// The ticks that its last packet gave a connection that has `left`, as far as that can be told:
/// the difference is how long it has been idle. CONTEXT: in an RCU read-side section.
pub(crate) fn timeout_now(conn: &Conn, left: u32) -> u32 {
    let assured = usize::from(conn.has(Status::ASSURED));
    match conn.proto() {
        proto::TCP => tcp::timeout_now(conn, left),
        proto::UDP => limits(conn, Net::udp_limits).get(assured),
        proto::SCTP => {
            let state = usize::try_from(conn.sctp_state()).unwrap_or(0);
            limits(conn, Net::sctp_limits).get(state)
        }
        proto::GRE => {
            let timers = conn.gre_timers();
            if conn.has(Status::SEEN_REPLY) {
                timers.replied
            } else {
                timers.unreplied
            }
        }
        proto::ICMP => limits(conn, Net::icmp_limits).get(0),
        proto::ICMPV6 => limits(conn, Net::icmpv6_limits).get(0),
        _ => limits(conn, Net::generic_limits).get(0),
    }
}

/// The soft timeout of a connection in the state that it is in, in ticks; zero is none. CONTEXT: in
/// an RCU read-side section.
#[inline]
pub(crate) fn soft_timeout(conn: &Conn) -> u32 {
    let net = conn.net();
    match conn.proto() {
        proto::TCP => tcp::soft_timeout(conn),
        proto::UDP => soft(conn, net.udp_soft(), REPLIED),
        proto::SCTP => soft(conn, net.sctp_soft(), sctp::ESTABLISHED),
        proto::GRE => soft(conn, net.gre_soft(), REPLIED),
        _ => 0,
    }
}

/// The shortest soft timeout of a namespace, in ticks; `None` if it has none.
pub(crate) fn shortest_soft(net: &Net) -> Option<u32> {
    let rows = [
        net.tcp_soft(),
        net.udp_soft(),
        net.sctp_soft(),
        net.gre_soft(),
    ];
    let all = rows.into_iter().flat_map(Limits::iter);
    all.filter(|ticks| *ticks != 0).min()
}

/// The place of the timeout of flows that were answered, of UDP and GRE.
const REPLIED: usize = 1;

/// The soft timeout at `slot` of a protocol's row: the policy's, or the namespace's.
#[inline]
fn soft(conn: &Conn, namespace: Limits<'_>, slot: usize) -> u32 {
    let policy = timeout::lookup(conn)
        .and_then(Policy::extras)
        .and_then(|extras| extras.soft(slot));
    soft::of(policy, namespace.get(slot))
}

/// Between which fillings the timeouts of a connection are scaled: its policy's, or its
/// namespace's. CONTEXT: in an RCU read-side section.
pub(crate) fn adaptive(conn: &Conn) -> Span {
    timeout::lookup(conn)
        .and_then(Policy::extras)
        .and_then(|extras| extras.span())
        .unwrap_or_else(|| conn.net().adaptive())
}

/// The timeouts that count for a connection: its policy's, or its namespace's.
#[inline]
pub(crate) fn limits<'a>(conn: &'a Conn, of: impl FnOnce(&'a Net) -> Limits<'a>) -> Limits<'a> {
    match timeout::lookup(conn).and_then(Policy::limits) {
        Some(limits) => limits,
        None => of(conn.net()),
    }
}

/// Moves the deadline `ticks` from now and counts the packet (`nf_ct_refresh_acct`).
#[inline]
pub(crate) fn refresh(conn: &Conn, info: CtInfo, ticks: u32, bytes: u32) {
    let status = conn.status();
    if !status.any(Status::FIXED_TIMEOUT) {
        // Until confirmation the word counts ticks from then.
        let word = if status.any(Status::CONFIRMED) {
            time::now().plus(ticks).0
        } else {
            ticks
        };
        if conn.timeout() != word {
            conn.set_timeout(word);
        }
    }
    if bytes != 0 {
        acct::update(conn, info.dir(), 1, bytes);
    }
}

/// Whether the administrator wants checksums of incoming packets verified.
#[inline]
fn verifies(state: HookState<'_>) -> bool {
    state.is_prerouting() && limits::checksum_wanted(state.net())
}
