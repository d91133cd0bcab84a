// SPDX-License-Identifier: GPL-2.0

//! TCP: `pure::l4::tcp` carried out.

use crate::engine::acct;
use crate::engine::conn;
use crate::engine::events;
use crate::engine::events::Event;
use crate::engine::l4;
use crate::engine::l4::Opinion;
use crate::engine::probe;
use crate::engine::reclaim;
use crate::engine::seqadj;
use crate::engine::synproxy;
use crate::linux::conn::Conn;
use crate::linux::log;
use crate::linux::net::Net;
use crate::linux::skb::HookState;
use crate::linux::skb::Skb;
use crate::linux::time;
use crate::linux::time::HZ;
use crate::pure::ctinfo::CtInfo;
use crate::pure::l4::tcp;
use crate::pure::l4::tcp::Entry;
use crate::pure::l4::tcp::Env;
use crate::pure::l4::tcp::Log;
use crate::pure::l4::tcp::Policy;
use crate::pure::l4::tcp::Slot;
use crate::pure::l4::tcp::Step;
use crate::pure::l4::tcp::Verdict;
use crate::pure::policy::proof::Marks;
use crate::pure::status::Bit;
use crate::pure::status::Status;
use crate::pure::tuple::proto;
use crate::pure::wire::tcp as wire;
use crate::pure::wire::tcp::Malformed;
use crate::pure::wire::tcp::Segment;

/// A segment of a connection.
#[inline]
pub(crate) fn packet(
    conn: &Conn,
    skb: &Skb,
    dataoff: u32,
    info: CtInfo,
    state: HookState<'_>,
) -> Opinion {
    let mut buffer = [0; wire::MAX_HEADER];
    let segment = match check(skb, dataoff, state, &mut buffer) {
        Ok(segment) => segment,
        Err(malformed) => {
            if let Some(why) = malformed.text() {
                log::invalid_text(skb, state, proto::TCP, why);
            }
            return Opinion::Invalid;
        }
    };
    let net = conn.net();
    if !conn.is_confirmed() {
        // The entry is this packet's alone: no lock.
        match tcp::open(&segment, net.tcp_loose()) {
            Ok(fresh) => conn.replace_tcp(&fresh),
            Err(refused) => {
                if let Some(why) = refused.text() {
                    log::invalid_text(skb, state, proto::TCP, why);
                }
                return Opinion::Invalid;
            }
        }
    }
    let (step, answer, proven) = advance(conn, net, skb, &segment, info, state);
    if proven {
        reclaim::proven(conn);
    }
    // Who only answers a probe does not use the connection.
    let bytes = if answer { 0 } else { skb.len() };
    apply(conn, skb, bytes, info, state, step)
}

/// Parses and checks a segment, in mainline's order: whole, checksum, flags.
#[inline]
fn check<'a>(
    skb: &'a Skb,
    dataoff: u32,
    state: HookState<'_>,
    buffer: &'a mut [u8; wire::MAX_HEADER],
) -> Result<Segment<'a>, Malformed> {
    let header = skb.header(dataoff, buffer);
    let segment = wire::parse(header, skb.len().saturating_sub(dataoff))?;
    if l4::verifies(state) && skb.checksum_is_bad(state, dataoff, proto::TCP) {
        return Err(Malformed::Checksum);
    }
    if !segment.flags_valid() {
        return Err(Malformed::Flags);
    }
    Ok(segment)
}

/// Moves the tracker's state on, under the entry's lock. Also whether the segment is the answer to a
/// probe and nothing else, and whether both sides are proven now, if they were not before.
#[inline]
fn advance(
    conn: &Conn,
    net: &Net,
    skb: &Skb,
    segment: &Segment<'_>,
    info: CtInfo,
    state: HookState<'_>,
) -> (Step, bool, bool) {
    let dir = info.dir();
    let limits = l4::limits(conn, Net::tcp_limits);
    // Sequence adjustment changes under the lock, too.
    let _locked = conn.lock().lock_bh();
    let status = conn.status();
    let env = Env {
        policy: Policy {
            liberal: net.tcp_be_liberal(),
            ignore_invalid_rst: net.tcp_ignore_invalid_rst(),
            max_retrans: net.tcp_max_retrans(),
        },
        entry: Entry {
            seen_reply: status.any(Status::SEEN_REPLY),
            assured: status.any(Status::ASSURED),
            fixed_timeout: status.any(Status::FIXED_TIMEOUT),
            synproxy: synproxy::has_ext(conn),
            remaining: conn.remaining(),
        },
        seq_offset: seqadj::offset(conn, dir.opposite(), segment.ack.minus(1).0),
        hz: HZ,
        timeout: |slot: Slot| limits.get(slot.index()),
    };
    let before = conn.load_tcp();
    let mut after = before;
    let probed = probe::is_on(net);
    if probed {
        probe::expect(&mut after, dir, segment);
    }
    let step = tcp::step(&mut after, dir, segment, &env);
    let answer =
        probed && probe::judged(conn, &mut after, &before, skb, segment, &step, (dir, state));
    conn.store_tcp(&before, &after);
    if let Verdict::Invalid {
        shorten: Some(ticks),
    } = step.verdict
    {
        conn.set_timeout(time::now().plus(ticks).0);
    }
    let marks = conn.marks();
    if !step.acked || marks.any(Marks::PROVEN) {
        return (step, answer, false);
    }
    let acks = marks.acks().after(dir);
    conn.set_marks(marks.with_acks(acks));
    (step, answer, acks.are_both())
}

/// What follows from a step, after the lock.
#[inline]
fn apply(
    conn: &Conn,
    skb: &Skb,
    bytes: u32,
    info: CtInfo,
    state: HookState<'_>,
    step: Step,
) -> Opinion {
    if step.protoinfo {
        events::cache(conn, Event::Protoinfo);
        reclaim::moved_on(conn);
    }
    if step.assured {
        conn.set_bit(Bit::Assured);
        reclaim::assured(conn);
        events::cache(conn, Event::Assured);
    }
    if let Some(why) = &step.log {
        log::invalid(skb, state, proto::TCP, why);
    }
    match step.verdict {
        Verdict::Refresh(ticks) => {
            l4::refresh(conn, info, ticks, bytes);
            Opinion::Accept
        }
        Verdict::Pass => Opinion::Accept,
        Verdict::KillAndPass => {
            acct::update(conn, info.dir(), 1, skb.len());
            conn::reap(conn);
            Opinion::Accept
        }
        Verdict::KillAndRepeat => {
            if conn::reap(conn) {
                Opinion::Repeat
            } else {
                Opinion::Drop
            }
        }
        Verdict::Invalid { shorten } => {
            if shorten.is_some() {
                log::invalid(skb, state, proto::TCP, &Log::LoweredTimeout);
            }
            Opinion::Invalid
        }
    }
}

/// The ticks that the last segment gave a connection that has `left`.
///
/// What is unacknowledged or sent again gets less than its state's; who has no more left than that
/// is taken to have got it, so that nobody seems idle for longer than it is.
pub(crate) fn timeout_now(conn: &Conn, left: u32) -> u32 {
    let limits = l4::limits(conn, Net::tcp_limits);
    let limit = limits.get(usize::from(conn.tcp_state()));
    let [unack, retrans] = [Slot::UNACK, Slot::RETRANS].map(|slot| limits.get(slot.index()));
    let short = unack.max(retrans);
    if left <= short {
        limit.min(short)
    } else {
        limit
    }
}

/// The soft timeout of a connection; that of something special only where there is one.
pub(crate) fn soft_timeout(conn: &Conn) -> u32 {
    let net = conn.net();
    let (special, usual) = conn.tcp_soft_slots(net.tcp_max_retrans());
    let of = |slot: Slot| l4::soft(conn, net.tcp_soft(), slot.index());
    match of(special) {
        0 if special != usual => of(usual),
        ticks => ticks,
    }
}

/// The connection was reset by a rule or a socket that answers for it (`nf_conntrack_tcp_set_closing`).
pub(crate) fn set_closing(conn: &Conn) {
    if !conn.is_confirmed() {
        return;
    }
    let limits = l4::limits(conn, Net::tcp_limits);
    {
        let _locked = conn.lock().lock_bh();
        let before = conn.load_tcp();
        let mut after = before;
        let shortened = after.set_closing(conn.has(Status::FIXED_TIMEOUT));
        conn.store_tcp(&before, &after);
        if !shortened {
            return;
        }
        let ticks = limits.get(Slot::of(tcp::State::Close).index());
        conn.set_timeout(time::now().plus(ticks).0);
    }
    events::cache(conn, Event::Protoinfo);
}

/// Forgets the windows of a connection: its hooks were off, and it went on unseen.
pub(crate) fn forget_windows(conn: &Conn) {
    if conn.proto() != proto::TCP {
        return;
    }
    let _locked = conn.lock().lock_bh();
    let before = conn.load_tcp();
    let mut after = before;
    after.forget_windows();
    conn.store_tcp(&before, &after);
}
