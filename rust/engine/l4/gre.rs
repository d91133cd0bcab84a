// SPDX-License-Identifier: GPL-2.0

//! GRE: `pure::l4::gre` carried out.

use crate::engine::events;
use crate::engine::events::Event;
use crate::engine::l4;
use crate::engine::l4::Opinion;
use crate::engine::reclaim;
use crate::linux::conn::Conn;
use crate::linux::net::Net;
use crate::linux::skb::Skb;
use crate::pure::ctinfo::CtInfo;
use crate::pure::l4::gre::step;
use crate::pure::l4::gre::Memory;
use crate::pure::l4::gre::Timers;
use crate::pure::status::Bit;

/// A packet of a connection.
pub(crate) fn packet(conn: &Conn, skb: &Skb, info: CtInfo) -> Opinion {
    let limits = l4::limits(conn, Net::gre_limits);
    let limits = Timers {
        unreplied: limits.get(0),
        replied: limits.get(1),
    };
    let memory = Memory {
        timers: conn.gre_timers(),
        turns: conn.marks().turns(),
    };
    let step = step(conn.status(), info.dir(), memory, limits);
    if let Some(timers) = step.timers {
        conn.set_gre_timers(timers);
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
