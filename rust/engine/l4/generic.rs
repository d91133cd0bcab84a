// SPDX-License-Identifier: GPL-2.0

//! Protocols without a tracker of their own: `pure::l4::generic` carried out.

use crate::engine::l4;
use crate::engine::l4::Opinion;
use crate::linux::conn::Conn;
use crate::linux::net::Net;
use crate::linux::skb::Skb;
use crate::pure::ctinfo::CtInfo;
use crate::pure::l4::generic::step;

/// A packet of a connection.
pub(crate) fn packet(conn: &Conn, skb: &Skb, info: CtInfo) -> Opinion {
    let limits = l4::limits(conn, Net::generic_limits);
    l4::refresh(conn, info, step(limits.get(0)), skb.len());
    Opinion::Accept
}
