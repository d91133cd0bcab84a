// SPDX-License-Identifier: GPL-2.0

//! UDP: `pure::l4::udp` carried out.

use crate::engine::events;
use crate::engine::events::Event;
use crate::engine::l4;
use crate::engine::l4::Opinion;
use crate::engine::reclaim;
use crate::linux::conn::Conn;
use crate::linux::log;
use crate::linux::net::Net;
use crate::linux::skb::HookState;
use crate::linux::skb::Skb;
use crate::linux::time;
use crate::linux::time::HZ;
use crate::pure::ctinfo::CtInfo;
use crate::pure::l4::udp::step;
use crate::pure::l4::udp::Limits;
use crate::pure::l4::udp::Memory;
use crate::pure::status::Bit;
use crate::pure::tuple::proto;
use crate::pure::wire::udp;

/// A datagram of a connection.
#[inline]
pub(crate) fn packet(
    conn: &Conn,
    skb: &Skb,
    dataoff: u32,
    info: CtInfo,
    state: HookState<'_>,
) -> Opinion {
    let bad = || l4::verifies(state) && skb.checksum_is_bad(state, dataoff, proto::UDP);
    if let Err(reject) = udp::check(skb, dataoff, skb.is_gso(), bad) {
        log::invalid(skb, state, proto::UDP, &reject);
        return Opinion::Invalid;
    }
    let limits = l4::limits(conn, Net::udp_limits);
    let limits = Limits {
        unreplied: limits.get(0),
        replied: limits.get(1),
    };
    let memory = Memory {
        stream: conn.udp_stream(),
        turns: conn.marks().turns(),
    };
    let step = step(
        conn.status(),
        info.dir(),
        memory,
        time::jiffies(),
        HZ,
        &limits,
    );
    if let Some(stream) = step.stream {
        conn.set_udp_stream(stream);
    }
    if step.turns != memory.turns {
        conn.set_marks(conn.marks().with_turns(step.turns));
    }
    l4::refresh(conn, info, step.timeout, skb.len());
    if step.returns {
        reclaim::proven(conn);
    }
    if step.assure && !conn.test_and_set_bit(Bit::Assured) {
        reclaim::assured(conn);
        events::cache(conn, Event::Assured);
    }
    Opinion::Accept
}
