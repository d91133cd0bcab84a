// SPDX-License-Identifier: GPL-2.0

//! SCTP: `pure::l4::sctp` carried out.

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
use crate::pure::ctinfo::CtInfo;
use crate::pure::l4::sctp;
use crate::pure::l4::sctp::Env;
use crate::pure::l4::sctp::State;
use crate::pure::l4::sctp::Step;
use crate::pure::l4::sctp::Verdict;
use crate::pure::status::Bit;
use crate::pure::status::Status;
use crate::pure::tuple::proto;
use crate::pure::wire::sctp as wire;
use crate::pure::wire::sctp::Malformed;
use crate::pure::wire::sctp::Message;

/// The place of the timeout of associations that are established.
pub(crate) const ESTABLISHED: usize = State::Established as usize;

/// A packet of an association.
pub(crate) fn packet(
    conn: &Conn,
    skb: &Skb,
    dataoff: u32,
    info: CtInfo,
    state: HookState<'_>,
) -> Opinion {
    let checksum = || {
        if l4::verifies(state) {
            skb.verify_sctp_checksum(dataoff)
        } else {
            Ok(())
        }
    };
    if let Err(reject) = wire::check(skb, dataoff, checksum) {
        log::invalid(skb, state, proto::SCTP, &reject);
        return Opinion::Invalid;
    }
    let message = match wire::read(skb, dataoff) {
        Ok(message) => message,
        Err(malformed) => {
            if let Malformed::Chunk(bad) = malformed {
                log::invalid(skb, state, proto::SCTP, &bad);
            }
            return Opinion::Invalid;
        }
    };
    if !conn.is_confirmed() {
        // The entry is this packet's alone: no lock.
        match sctp::open(&message) {
            Ok(fresh) => conn.store_sctp(&fresh),
            Err(_) => return Opinion::Invalid,
        }
    }
    let step = advance(conn, &message, info);
    apply(conn, skb, info, state, step)
}

/// Moves the tracker's state on, under the entry's lock.
fn advance(conn: &Conn, message: &Message<'_, Skb>, info: CtInfo) -> Step {
    let limits = l4::limits(conn, Net::sctp_limits);
    let status = conn.status();
    let env = Env {
        confirmed: status.any(Status::CONFIRMED),
        assured: status.any(Status::ASSURED),
        timeout: |state: State| limits.get(state.index()),
    };
    let _locked = conn.lock().lock_bh();
    let mut tracking = conn.load_sctp();
    let step = sctp::step(&mut tracking, info.dir(), message, &env);
    conn.store_sctp(&tracking);
    step
}

/// What follows from a step, after the lock.
fn apply(conn: &Conn, skb: &Skb, info: CtInfo, state: HookState<'_>, step: Step) -> Opinion {
    if let Verdict::Refresh(ticks) = step.verdict {
        l4::refresh(conn, info, ticks, skb.len());
    }
    if step.assured || conn.has(Status::ASSURED) {
        reclaim::proven(conn);
    }
    if step.assured {
        conn.set_bit(Bit::Assured);
        reclaim::assured(conn);
        events::cache(conn, Event::Assured);
    }
    if step.protoinfo {
        events::cache(conn, Event::Protoinfo);
        reclaim::moved_on(conn);
    }
    if let Some(why) = &step.log {
        log::invalid(skb, state, proto::SCTP, why);
    }
    match step.verdict {
        Verdict::Refresh(_) | Verdict::Pass => Opinion::Accept,
        Verdict::Invalid => Opinion::Invalid,
    }
}
