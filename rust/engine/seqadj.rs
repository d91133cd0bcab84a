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

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_seqadj)]
mod tests {
    use kernel::prelude::*;

    use super::*;
    use crate::bindings;
    use crate::engine::ext;
    use crate::linux::fake::FakeNet;
    use crate::linux::fake::FakeSkb;
    use crate::linux::gfp::Gfp;
    use crate::pure::status::Status;

    /// Bytes before the TCP header.
    const START: usize = 20;

    /// A segment with a good checksum, behind [`START`] other bytes.
    fn segment(seq: u32, ack: Option<u32>, options: &[u8]) -> Result<FakeSkb> {
        let mut bytes = [0u8; START + 60];
        let length = START + 20 + options.len();
        let put = |bytes: &mut [u8], at: usize, what: &[u8]| -> Result {
            let part = bytes.get_mut(at..at + what.len()).ok_or(EINVAL)?;
            part.copy_from_slice(what);
            Ok(())
        };
        put(&mut bytes, START, &[0x12, 0x34, 0x00, 0x50])?;
        put(&mut bytes, START + 4, &seq.to_be_bytes())?;
        put(&mut bytes, START + 8, &ack.unwrap_or(0).to_be_bytes())?;
        let offset = u8::try_from((20 + options.len()) / 4 * 16)?;
        put(
            &mut bytes,
            START + 12,
            &[offset, if ack.is_some() { 0x10 } else { 0x02 }],
        )?;
        put(&mut bytes, START + 20, options)?;
        let bytes = bytes.get_mut(..length).ok_or(EINVAL)?;
        let check = !sum(bytes);
        put(bytes, START + 16, &check.to_be_bytes())?;
        FakeSkb::new(bytes)
    }

    /// The sum that a good checksum makes 0xffff.
    fn sum(bytes: &[u8]) -> u16 {
        let segment = bytes.get(START..).unwrap_or(&[]);
        let mut sum = 0u32;
        for pair in segment.chunks(2) {
            let high = pair.first().map_or(0, |byte| u32::from(*byte) << 8);
            let low = pair.get(1).map_or(0, |byte| u32::from(*byte));
            sum = sum.wrapping_add(high | low);
        }
        while sum >> 16 != 0 {
            sum = (sum & 0xffff).wrapping_add(sum >> 16);
        }
        u16::try_from(sum).unwrap_or(0)
    }

    fn number(bytes: &[u8], at: usize) -> u32 {
        bytes
            .get(START + at..)
            .and_then(|bytes| bytes.first_chunk())
            .map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    #[test]
    fn without_room_nothing_moves() -> Result {
        let net = FakeNet::new()?;
        let conn = net.conn().ok_or(ENOMEM)?;
        init(&conn, Dir::Original, 5);
        set(&conn, Dir::Original, Seq(1), 5);
        assert!(!conn.has(Status::SEQ_ADJUST));
        assert_eq!(offset(&conn, Dir::Original, 1), 0);
        let packet = segment(1, None, &[])?;
        assert!(!adjust(&packet, &conn, CtInfo::New, 20));
        Ok(())
    }

    #[test]
    fn offsets_add_up_and_wrap() -> Result {
        let net = FakeNet::new()?;
        let conn = net.conn().ok_or(ENOMEM)?;
        ext::add_as::<bindings::nf_conn_seqadj>(&conn, Gfp::KERNEL).ok_or(ENOMEM)?;
        set(&conn, Dir::Reply, Seq(1), 0);
        assert!(!conn.has(Status::SEQ_ADJUST));
        set(&conn, Dir::Reply, Seq(u32::MAX - 1), 10);
        assert!(conn.has(Status::SEQ_ADJUST));
        assert_eq!(offset(&conn, Dir::Reply, u32::MAX - 1), 0);
        assert_eq!(offset(&conn, Dir::Reply, u32::MAX), 10);
        // Behind it, though a smaller number.
        assert_eq!(offset(&conn, Dir::Reply, 3), 10);
        set(&conn, Dir::Reply, Seq(2), i32::MAX);
        assert_eq!(offset(&conn, Dir::Reply, 2), 10);
        assert_eq!(offset(&conn, Dir::Reply, 3), i32::MIN + 9);
        // The other way is not touched.
        assert_eq!(offset(&conn, Dir::Original, 3), 0);
        init(&conn, Dir::Reply, -1);
        assert_eq!(offset(&conn, Dir::Reply, 2), -1);
        assert_eq!(offset(&conn, Dir::Reply, 3), -1);
        Ok(())
    }

    #[test]
    fn packets_are_changed_with_their_checksum() -> Result {
        let net = FakeNet::new()?;
        let conn = net.conn().ok_or(ENOMEM)?;
        ext::add_as::<bindings::nf_conn_seqadj>(&conn, Gfp::KERNEL).ok_or(ENOMEM)?;
        // What the client sends grew by 4 at 1000, what the server sends shrank by 3 at its end.
        set(&conn, Dir::Original, Seq(1000), 4);
        set(&conn, Dir::Reply, Seq(u32::MAX - 2), -3);

        let packet = segment(1001, None, &[])?;
        assert!(adjust(&packet, &conn, CtInfo::Established, 20));
        assert_eq!(number(packet.bytes(), 4), 1005);
        assert_eq!(sum(packet.bytes()), 0xffff);

        let packet = segment(1000, Some(u32::MAX), &[])?;
        assert!(adjust(&packet, &conn, CtInfo::Established, 20));
        assert_eq!(number(packet.bytes(), 4), 1000);
        assert_eq!(number(packet.bytes(), 8), 2);
        assert_eq!(sum(packet.bytes()), 0xffff);

        // The server acknowledges up to 1100 as it saw it, and has 1204 to 1304 already.
        let options = [1, 1, 5, 10, 0, 0, 0x04, 0xb4, 0, 0, 0x05, 0x18];
        let packet = segment(u32::MAX, Some(1100), &options)?;
        assert!(adjust(&packet, &conn, CtInfo::EstablishedReply, 20));
        assert_eq!(number(packet.bytes(), 4), u32::MAX - 3);
        assert_eq!(number(packet.bytes(), 8), 1096);
        assert_eq!(number(packet.bytes(), 24), 1200);
        assert_eq!(number(packet.bytes(), 28), 1300);
        assert_eq!(sum(packet.bytes()), 0xffff);

        // A cut option, and a cut header.
        let packet = segment(1, Some(1), &[5, 10, 0, 0])?;
        assert!(!adjust(&packet, &conn, CtInfo::Established, 20));
        assert!(!adjust(&packet, &conn, CtInfo::Established, 30));
        assert!(!adjust(&packet, &conn, CtInfo::Established, u32::MAX));
        Ok(())
    }
}
