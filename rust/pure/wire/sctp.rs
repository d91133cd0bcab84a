// SPDX-License-Identifier: GPL-2.0

//! SCTP packets (RFC 9260): the common header and the chain of chunks.
//!
//! [`read`] checks the chain as a whole, and [`Message`] walks it. Not for the contents of chunks,
//! except for the tag that INIT and INIT ACK announce, nor for the checksum, which covers the
//! payload.
//!
//! C counterpart: `sctp_error()` and `do_basic_checks()` in
//! `net/netfilter/nf_conntrack_proto_sctp.c`.

use core::ffi::CStr;
use core::fmt;

use super::Packet;

/// Bytes of the common header: ports, verification tag, checksum.
pub const HEADER: u32 = 12;

/// Bytes of the header of a chunk: type, flags, length.
const CHUNK_HEADER: u32 = 4;

/// A verification tag (RFC 9260, section 8.5) as it stands on the wire.
///
/// Tags are compared and copied, never counted with, so they stay in network order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Tag(pub u32);

impl Tag {
    /// No tag: what the first packet of an association bears.
    pub const ZERO: Tag = Tag(0);
}

/// Why a packet does not get as far as its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// The common header is cut off.
    Short,
    /// The packet cannot be made ready for its checksum.
    Unreadable,
    /// The checksum is wrong.
    BadChecksum,
}

impl Reject {
    /// The text for the log of invalid packets.
    pub const fn text(self) -> &'static CStr {
        match self {
            Reject::Short => c"nf_ct_sctp: short packet ",
            Reject::Unreadable => c"nf_ct_sctp: failed to read header ",
            Reject::BadChecksum => c"nf_ct_sctp: bad CRC ",
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_text(f, self.text())
    }
}

/// Checks what comes before the chunks of the packet at `dataoff`.
///
/// `checksum` is asked last; it also knows whether hook and settings want verification at all.
///
/// # Errors
///
/// [`Reject::Short`] without a complete header, or what `checksum` says.
#[inline]
pub fn check<P: Packet + ?Sized>(
    packet: &P,
    dataoff: u32,
    checksum: impl FnOnce() -> Result<(), Reject>,
) -> Result<(), Reject> {
    match packet.size().checked_sub(dataoff) {
        Some(there) if there >= HEADER => checksum(),
        _ => Err(Reject::Short),
    }
}

/// The type of a chunk (IANA "SCTP Chunk Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Kind(pub u8);

impl Kind {
    /// User data.
    pub const DATA: Kind = Kind(0);
    /// Opens an association.
    pub const INIT: Kind = Kind(1);
    /// Answers that with a cookie.
    pub const INIT_ACK: Kind = Kind(2);
    /// Probes a path.
    pub const HEARTBEAT: Kind = Kind(4);
    /// Answers that.
    pub const HEARTBEAT_ACK: Kind = Kind(5);
    /// Ends the association at once.
    pub const ABORT: Kind = Kind(6);
    /// Ends the association in order.
    pub const SHUTDOWN: Kind = Kind(7);
    /// Answers that.
    pub const SHUTDOWN_ACK: Kind = Kind(8);
    /// Reports a condition that may or may not be fatal.
    pub const ERROR: Kind = Kind(9);
    /// Brings the cookie back.
    pub const COOKIE_ECHO: Kind = Kind(10);
    /// Answers that.
    pub const COOKIE_ACK: Kind = Kind(11);
    /// Ends the ending.
    pub const SHUTDOWN_COMPLETE: Kind = Kind(14);
}

/// Which of the chunk types below 32 a packet has; none of the others matters to tracking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    const fn bit(kind: Kind) -> u32 {
        if kind.0 < 32 {
            1 << kind.0
        } else {
            0
        }
    }

    fn insert(&mut self, kind: Kind) {
        self.0 |= Self::bit(kind);
    }

    /// Whether there is a chunk of this type.
    #[inline]
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// Whether there is a chunk of one of these types.
    #[inline]
    pub fn has_any(self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| self.has(*kind))
    }
}

/// A chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// What it is.
    pub kind: Kind,
    /// The sender had no association and bears the tag of the receiver instead of its own (the T
    /// flag of ABORT and SHUTDOWN COMPLETE).
    pub reflected: bool,
    /// Bytes with the header and without the padding, not zero in a [`Message`].
    pub length: u16,
    /// Where in the packet it begins.
    offset: u32,
}

/// The chunks of a packet, as far as their headers are there.
#[derive(Debug)]
pub struct Chunks<'p, P: ?Sized> {
    packet: &'p P,
    /// Where the next one begins, if there may be one.
    offset: Option<u32>,
}

impl<P: Packet + ?Sized> Iterator for Chunks<'_, P> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        // Taken out, so that a chain which ended stays so.
        let offset = self.offset.take().filter(|at| *at < self.packet.size())?;
        let [kind, flags, l0, l1] = self.packet.read(offset)?;
        let length = u16::from_be_bytes([l0, l1]);

        // Chunks begin at multiples of four. One without length is where the chain ends: the bytes
        // may change between two walks.
        if length != 0 {
            self.offset = offset.checked_add(u32::from(length).next_multiple_of(4));
        }
        Some(Chunk {
            kind: Kind(kind),
            reflected: flags & 1 != 0,
            length,
            offset,
        })
    }
}

/// A packet whose chunks may stand together.
#[derive(Debug)]
pub struct Message<'p, P: ?Sized> {
    packet: &'p P,
    /// Where the chunks begin.
    chunks: u32,
    /// The verification tag of the packet.
    pub tag: Tag,
    /// The types of its chunks.
    pub kinds: Kinds,
}

impl<'p, P: Packet + ?Sized> Message<'p, P> {
    /// The chunks in order.
    #[inline]
    pub fn chunks(&self) -> Chunks<'p, P> {
        Chunks {
            packet: self.packet,
            offset: Some(self.chunks),
        }
    }

    /// The tag that an INIT or INIT ACK announces, if its fixed part is there.
    pub fn announced(&self, chunk: &Chunk) -> Option<Tag> {
        const FIXED_PART: usize = 16;

        let fixed: [u8; FIXED_PART] = self.packet.read_at(chunk.offset, CHUNK_HEADER)?;
        let [t0, t1, t2, t3, ..] = fixed;
        Some(Tag(u32::from_ne_bytes([t0, t1, t2, t3])))
    }
}

/// Why the chunks of a packet are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// There are none.
    Empty,
    /// One has no length, or may not stand where it stands.
    Chunk(BadChunk),
}

/// A chunk that may not stand where it stands; the text is for the log of invalid packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk {
    /// How many chunks come before it.
    number: u32,
    kind: Kind,
    length: u16,
    /// Whether it or one before wants to be alone.
    alone: bool,
}

impl fmt::Display for BadChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The length has always been shown as it stands on the wire, and the line ended twice.
        writeln!(
            f,
            "do_basic_checks failed. chunk num {}, type {}, len {} flag {}",
            self.number,
            self.kind.0,
            self.length.to_be(),
            u8::from(self.alone),
        )
    }
}

/// Reads the packet at `dataoff` and checks that its chunks may stand together: INIT, INIT ACK and
/// SHUTDOWN COMPLETE alone, COOKIE ECHO and COOKIE ACK first (RFC 9260, section 6.10).
///
/// # Errors
///
/// Those of [`Malformed`]. A header that is cut off, which [`check`] has reported already, counts
/// as a packet without chunks.
pub fn read<P: Packet + ?Sized>(packet: &P, dataoff: u32) -> Result<Message<'_, P>, Malformed> {
    let header = packet.read(dataoff).zip(dataoff.checked_add(HEADER));
    let Some((header, chunks)) = header else {
        return Err(Malformed::Empty);
    };
    // Ports (4), tag, checksum (4).
    let [_, _, _, _, t0, t1, t2, t3, _, _, _, _] = header;

    let mut message = Message {
        packet,
        chunks,
        tag: Tag(u32::from_ne_bytes([t0, t1, t2, t3])),
        kinds: Kinds::default(),
    };
    let mut number: u32 = 0;
    let mut alone = false;
    for chunk in message.chunks() {
        alone |= matches!(
            chunk.kind,
            Kind::INIT | Kind::INIT_ACK | Kind::SHUTDOWN_COMPLETE
        );
        let first = alone || matches!(chunk.kind, Kind::COOKIE_ECHO | Kind::COOKIE_ACK);
        if (first && number != 0) || chunk.length == 0 {
            return Err(Malformed::Chunk(BadChunk {
                number,
                kind: chunk.kind,
                length: chunk.length,
                alone,
            }));
        }
        message.kinds.insert(chunk.kind);
        number = number.saturating_add(1);
    }

    if number == 0 {
        Err(Malformed::Empty)
    } else {
        Ok(message)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_wire_sctp)
)]
mod tests {
    use super::*;

    /// A common header with the tag 1, 2, 3, 4, and behind it what the test puts there.
    const COMMON: [u8; 12] = [0, 1, 0, 2, 1, 2, 3, 4, 0, 0, 0, 0];

    /// A packet of that and chunks of four bytes of the given types.
    fn packet(kinds: &[Kind]) -> ([u8; 64], usize) {
        let mut bytes = [0; 64];
        let mut len = 0;
        let chunks = kinds.iter().flat_map(|kind| [kind.0, 0, 0, 4]);
        for (to, from) in bytes.iter_mut().zip(COMMON.into_iter().chain(chunks)) {
            *to = from;
            len += 1;
        }
        (bytes, len)
    }

    fn kinds_of(kinds: &[Kind]) -> Result<Kinds, Malformed> {
        let (bytes, len) = packet(kinds);
        read(&bytes[..len], 0).map(|message| message.kinds)
    }

    /// The number of the chunk that is refused.
    fn refused(kinds: &[Kind]) -> Option<u32> {
        match kinds_of(kinds) {
            Err(Malformed::Chunk(bad)) => Some(bad.number),
            _ => None,
        }
    }

    #[test]
    fn header() {
        for len in 0..HEADER {
            let packet = &COMMON[..usize::try_from(len).unwrap_or(0)];
            assert_eq!(check(packet, 0, || Ok(())), Err(Reject::Short));
            assert!(read(packet, 0).is_err());
        }
        assert_eq!(check(&COMMON[..], 0, || Ok(())), Ok(()));
        assert_eq!(
            check(&COMMON[..], 0, || Err(Reject::BadChecksum)),
            Err(Reject::BadChecksum)
        );
        assert_eq!(check(&COMMON[..], 1, || Ok(())), Err(Reject::Short));
        assert_eq!(check(&COMMON[..], u32::MAX, || Ok(())), Err(Reject::Short));
        let (bytes, len) = packet(&[Kind::DATA]);
        let tag = read(&bytes[..len], 0).map(|message| message.tag);
        assert_eq!(tag, Ok(Tag(u32::from_ne_bytes([1, 2, 3, 4]))));
    }

    #[test]
    fn no_chunks() {
        assert!(read(&COMMON[..], 0).is_err_and(|e| e == Malformed::Empty));
        // Not even the header of one.
        let (bytes, len) = packet(&[Kind::DATA]);
        for cut in 1..=4 {
            let cut = read(&bytes[..len - cut], 0).map(|message| message.kinds);
            assert_eq!(cut, Err(Malformed::Empty));
        }
    }

    #[test]
    fn those_that_stand_alone() {
        for kind in [Kind::INIT, Kind::INIT_ACK, Kind::SHUTDOWN_COMPLETE] {
            assert!(kinds_of(&[kind]).is_ok_and(|kinds| kinds.has(kind)));
            assert_eq!(refused(&[Kind::DATA, kind]), Some(1));
            assert_eq!(refused(&[kind, Kind::DATA]), Some(1));
            assert_eq!(refused(&[Kind::DATA, Kind::DATA, kind]), Some(2));
        }
    }

    #[test]
    fn those_that_come_first() {
        for kind in [Kind::COOKIE_ECHO, Kind::COOKIE_ACK] {
            assert!(kinds_of(&[kind]).is_ok());
            assert!(kinds_of(&[kind, Kind::DATA, Kind::DATA]).is_ok());
            assert_eq!(refused(&[Kind::DATA, kind]), Some(1));
            assert_eq!(refused(&[kind, kind]), Some(1));
        }
    }

    #[test]
    fn any_other_order() {
        let kinds = kinds_of(&[
            Kind::DATA,
            Kind::HEARTBEAT,
            Kind(200),
            Kind::ABORT,
            Kind(32),
        ]);
        assert!(kinds.is_ok_and(|kinds| {
            kinds.has(Kind::DATA)
                && kinds.has(Kind::HEARTBEAT)
                && kinds.has(Kind::ABORT)
                && !kinds.has(Kind::INIT)
                && kinds.has_any(&[Kind::INIT, Kind::ABORT])
                && !kinds.has_any(&[Kind::INIT, Kind::ERROR])
                && !kinds.has(Kind(200))
        }));
    }

    #[test]
    fn padding() {
        // The second chunk begins at the next multiple of four.
        for (length, second) in [(1, 4), (3, 4), (4, 4), (5, 8), (8, 8), (9, 12)] {
            let (mut bytes, _) = packet(&[Kind::DATA]);
            bytes[15] = length;
            bytes[12 + second] = 6;
            bytes[12 + second + 3] = 4;
            let len = 12 + second + 4;
            let kinds = read(&bytes[..len], 0).map(|message| message.kinds);
            assert!(kinds.is_ok_and(|kinds| kinds.has(Kind::ABORT)));
            // The padding of the last one may be missing.
            let kinds = read(&bytes[..12 + second - 1], 0).map(|message| message.kinds);
            assert_eq!(kinds.is_ok(), second > 4);
        }
    }

    #[test]
    fn lengths() {
        let (mut bytes, len) = packet(&[Kind::DATA, Kind::DATA]);
        // None: the end of it.
        bytes[19] = 0;
        assert!(read(&bytes[..len], 0).is_err());
        // Beyond the end: no further chunk.
        let (mut bytes, len) = packet(&[Kind::DATA, Kind::ABORT]);
        bytes[14] = 0xff;
        bytes[15] = 0xff;
        let kinds = read(&bytes[..len], 0).map(|message| message.kinds);
        assert!(kinds.is_ok_and(|kinds| !kinds.has(Kind::ABORT)));
    }

    #[test]
    fn a_chain_that_changes_ends() {
        // Walked again after a length became zero.
        let (mut bytes, len) = packet(&[Kind::DATA, Kind::ABORT]);
        bytes[15] = 0;
        let mut chunks = Chunks {
            packet: &bytes[..len],
            offset: Some(12),
        };
        assert!(chunks.next().is_some());
        assert!(chunks.next().is_none());
        assert!(chunks.next().is_none());
    }

    #[test]
    fn announced_tags() {
        for kind in [Kind::INIT, Kind::INIT_ACK] {
            let (mut bytes, _) = packet(&[kind]);
            bytes[15] = 20;
            bytes[16..20].copy_from_slice(&[9, 8, 7, 6]);
            for len in 16..=32 {
                let announced = read(&bytes[..len], 0).map(|message| {
                    let chunk = message.chunks().next();
                    chunk.and_then(|chunk| message.announced(&chunk))
                });
                let expected = (len >= 32).then_some(Tag(u32::from_ne_bytes([9, 8, 7, 6])));
                assert_eq!(announced, Ok(expected));
            }
        }
    }

    #[test]
    fn reflected_tags() {
        for (flags, reflected) in [(0, false), (1, true), (0xfe, false), (0xff, true)] {
            let (mut bytes, len) = packet(&[Kind::ABORT]);
            bytes[13] = flags;
            let chunk = read(&bytes[..len], 0).map(|message| message.chunks().next());
            assert!(chunk.is_ok_and(|chunk| chunk.is_some_and(|c| c.reflected == reflected)));
        }
    }
}
