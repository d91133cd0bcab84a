// SPDX-License-Identifier: GPL-2.0

//! Sequence adjustment: helpers that change the length of a TCP payload, and a SYN proxy, leave
//! the two ends with different numbers for the same bytes.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_seqadj.c`.

use crate::linux::conn::Conn;
use crate::linux::seqadj::TcpHeader;
use crate::linux::skb::Skb;
use crate::pure::ctinfo::CtInfo;
use crate::pure::num::Dir;
use crate::pure::num::Seq;
use crate::pure::policy::seqadj::adjust_sack;
use crate::pure::status::Bit;
use crate::pure::tuple::proto;

/// A direction's numbers move by `offset` from the beginning.
pub(crate) fn init(conn: &Conn, dir: Dir, offset: i32) {
    if offset == 0 {
        return;
    }
    let _locked = conn.lock().lock_bh();
    if let Some(ways) = conn.ways() {
        conn.set_bit(Bit::SeqAdjust);
        let mut way = ways.get(dir);
        way.start(offset);
        ways.set(dir, way);
    }
}

/// A direction's numbers move by another `offset` behind `seq`.
pub(crate) fn set(conn: &Conn, dir: Dir, seq: Seq, offset: i32) {
    if offset == 0 {
        return;
    }
    let Some(ways) = conn.ways() else {
        return;
    };
    conn.set_bit(Bit::SeqAdjust);
    let _locked = conn.lock().lock_bh();
    let mut way = ways.get(dir);
    way.note(seq, offset);
    ways.set(dir, way);
}

/// As [`set`], behind the packet's own number; for TCP over IPv4 only.
///
/// # Safety
///
/// A packet of a TCP connection is TCP over IPv4, with both headers in its linear part.
pub(crate) unsafe fn set_by_packet(skb: &Skb, conn: &Conn, dir: Dir, offset: i32) {
    if conn.proto() != proto::TCP {
        return;
    }
    // SAFETY: By this function's contract.
    let seq = unsafe { skb.ipv4_tcp_seq() };
    set(conn, dir, seq, offset);
}

/// What is added to number `seq` of a direction, zero for an entry that nobody adjusts.
#[inline]
pub(crate) fn offset(conn: &Conn, dir: Dir, seq: u32) -> i32 {
    match conn.ways() {
        Some(ways) => ways.get(dir).offset(Seq(seq)),
        None => 0,
    }
}

/// Changes the numbers in a packet, TCP header at `protoff`. `false`: the packet is to be dropped.
pub(crate) fn adjust(skb: &Skb, conn: &Conn, info: CtInfo, protoff: u32) -> bool {
    adjust_in(skb, conn, info.dir(), protoff)
}

/// As [`adjust`], by direction.
pub(crate) fn adjust_in(skb: &Skb, conn: &Conn, dir: Dir, protoff: u32) -> bool {
    let Some(ways) = conn.ways() else {
        return false;
    };
    let Some(header) = TcpHeader::writable(skb, protoff) else {
        return false;
    };
    let _locked = conn.lock().lock_bh();
    let (own, other) = (ways.get(dir), ways.get(dir.opposite()));
    header.set_seq(own.outgoing(header.seq()));
    let Some(ack) = header.ack() else {
        return true;
    };
    header.set_ack(other.incoming(ack));
    header
        .edit_options(|options, changed| adjust_sack(options, &other, changed))
        .unwrap_or(false)
}
