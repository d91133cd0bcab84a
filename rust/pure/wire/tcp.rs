// SPDX-License-Identifier: GPL-2.0

//! TCP headers.
//!
//! Turns the bytes of a header into a [`Segment`] and answers what its options say. Not for
//! checksums, which need the payload, nor for anything that needs the state of a connection
//! (`l4::tcp`).
//!
//! C counterpart: `tcp_error()`, `tcp_options()` and `tcp_sack()` in
//! `net/netfilter/nf_conntrack_proto_tcp.c`.

use core::ffi::CStr;

use super::super::num::Seq;

/// Bytes of a header without options (RFC 9293, section 3.1).
pub const MIN_HEADER: usize = 20;

/// Bytes of the longest header: the data offset has four bits and counts words of four bytes.
pub const MAX_HEADER: usize = 60;

/// The largest shift of the window that counts (RFC 7323, section 2.3).
pub const MAX_WINDOW_SCALE: u8 = 14;

/// Why a packet carries no TCP segment worth tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not even the fixed part of the header is there.
    Short,
    /// The header claims to be shorter than its fixed part, or longer than the packet.
    Truncated,
    /// The checksum is wrong; found by the caller, who has the payload.
    Checksum,
    /// No endpoint sends such a set of flags, see [`Segment::flags_valid`].
    Flags,
}

impl Malformed {
    /// The text for the log of invalid packets; nothing for [`Malformed::Short`].
    pub const fn text(self) -> Option<&'static CStr> {
        match self {
            Malformed::Short => None,
            Malformed::Truncated => Some(c"truncated packet"),
            Malformed::Checksum => Some(c"bad checksum"),
            Malformed::Flags => Some(c"invalid tcp flag combination"),
        }
    }
}

/// The flag byte of a header (RFC 9293, section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push; no meaning here.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer counts.
    pub const URG: Flags = Flags(0x20);
    /// Congestion experienced (RFC 3168); no meaning here.
    pub const ECE: Flags = Flags(0x40);
    /// Congestion window reduced (RFC 3168); no meaning here.
    pub const CWR: Flags = Flags(0x80);

    /// Both sets together.
    #[inline]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    #[inline]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether an endpoint may send this set. Push and the congestion bits go with every set.
    pub const fn valid(self) -> bool {
        const MEANINGLESS: u8 = Flags::PSH.0 | Flags::ECE.0 | Flags::CWR.0;
        const SYN: Flags = Flags::SYN;
        const RST: Flags = Flags::RST;
        const ACK: Flags = Flags::ACK;
        const URG: Flags = Flags::URG;
        const FIN_ACK: Flags = Flags::FIN.with(ACK);

        let rest = self.0 & !MEANINGLESS;
        rest == SYN.0
            || rest == SYN.with(URG).0
            || rest == SYN.with(ACK).0
            || rest == RST.0
            || rest == RST.with(ACK).0
            || rest == FIN_ACK.0
            || rest == FIN_ACK.with(URG).0
            || rest == ACK.0
            || rest == ACK.with(URG).0
    }

    /// What the set means to the state of a connection.
    #[inline]
    pub const fn kind(self) -> Kind {
        if self.has(Flags::RST) {
            Kind::Rst
        } else if self.has(Flags::SYN) {
            if self.has(Flags::ACK) {
                Kind::SynAck
            } else {
                Kind::Syn
            }
        } else if self.has(Flags::FIN) {
            Kind::Fin
        } else if self.has(Flags::ACK) {
            Kind::Ack
        } else {
            Kind::None
        }
    }
}

/// What a segment means to the state of a connection.
///
/// The discriminants are stored in `struct ip_ct_tcp` and shown in the log of invalid packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Opens a direction.
    Syn = 0,
    /// Opens a direction and answers the opening of the other one.
    SynAck = 1,
    /// Ends a direction.
    Fin = 2,
    /// Anything else that acknowledges.
    Ack = 3,
    /// Aborts the connection, whatever the other flags are.
    Rst = 4,
    /// None of these.
    None = 5,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 6;

    /// All kinds, in the order of their discriminants.
    pub const ALL: [Kind; Kind::COUNT] = [
        Kind::Syn,
        Kind::SynAck,
        Kind::Fin,
        Kind::Ack,
        Kind::Rst,
        Kind::None,
    ];

    /// The byte that `struct ip_ct_tcp` keeps.
    #[inline]
    pub const fn raw(self) -> u8 {
        // A discriminant; the enum is `repr(u8)`.
        self as u8
    }
}

/// What the options of a SYN or SYN-ACK offer for the life of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The shift of later windows, at most [`MAX_WINDOW_SCALE`]; none if the option is missing.
    pub window_scale: Option<u8>,
    /// Whether selective acknowledgements may be sent to this sender.
    pub sack_permitted: bool,
}

/// What else the options say that others than the sender can repeat, or cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Nothing.
    None,
    /// A timestamp of this value (RFC 7323, section 3.2).
    At(u32),
    /// A signature (RFC 2385 or 5925): only the sender can make such a segment.
    Signed,
}

/// The options of a segment: the bytes between the fixed header and the payload.
///
/// Empty if there are none or if they could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// Four bytes that begin an option area with nothing but an aligned timestamp (RFC 7323,
    /// appendix A).
    const TIMESTAMP_ONLY: &'static [u8] = &[NOP, NOP, 8, 10];

    /// Length of that area in bytes.
    const TIMESTAMP_ONLY_LEN: usize = 12;

    /// The options that `bytes` hold; anything may stand there.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Options(bytes)
    }

    /// What is offered; nothing if the segment has no options at all, which is not the same as
    /// options without an offer: the former leave alone what an earlier segment offered.
    pub fn offer(self) -> Option<Offer> {
        if self.0.is_empty() {
            return None;
        }

        let mut offer = Offer::default();
        for option in self.iter() {
            match option {
                (SACK_PERMITTED, []) => offer.sack_permitted = true,
                (WINDOW_SCALE, &[shift]) => {
                    offer.window_scale = Some(shift.min(MAX_WINDOW_SCALE));
                }
                _ => {}
            }
        }
        Some(offer)
    }

    /// The highest right edge of the blocks in the first well-formed selective acknowledgement
    /// (RFC 2018), or `ack` if that is higher or there is none.
    #[inline]
    pub fn highest_sack(self, ack: Seq) -> Seq {
        if self.0.is_empty() || self.is_timestamp_only() {
            return ack;
        }
        self.highest_sack_of(ack)
    }

    /// The timestamp, or that there is a signature.
    #[inline]
    pub fn stamp(self) -> Stamp {
        if self.0.is_empty() {
            return Stamp::None;
        }
        if self.is_timestamp_only() {
            let value = self.0.get(Self::TIMESTAMP_ONLY.len()..).and_then(be32);
            return value.map_or(Stamp::None, Stamp::At);
        }
        self.stamp_among()
    }

    fn stamp_among(self) -> Stamp {
        let mut stamp = Stamp::None;
        for (kind, body) in self.iter() {
            match kind {
                TIMESTAMP if body.len() == 8 => {
                    stamp = be32(body).map_or(stamp, Stamp::At);
                }
                MD5_SIGNATURE | AUTHENTICATION => return Stamp::Signed,
                _ => {}
            }
        }
        stamp
    }

    #[inline]
    fn is_timestamp_only(self) -> bool {
        self.0.len() == Self::TIMESTAMP_ONLY_LEN && self.0.starts_with(Self::TIMESTAMP_ONLY)
    }

    fn highest_sack_of(self, ack: Seq) -> Seq {
        const EDGE: usize = 4;
        const BLOCK: usize = 2 * EDGE;

        let blocks = self.iter().find_map(|(kind, body)| {
            (kind == SACK && !body.is_empty() && body.len() % BLOCK == 0).then_some(body)
        });

        let mut highest = ack;
        for block in blocks.unwrap_or_default().chunks_exact(BLOCK) {
            if let Some(right) = block.get(EDGE..).and_then(be32) {
                if Seq(right).after(highest) {
                    highest = Seq(right);
                }
            }
        }
        highest
    }

    fn iter(self) -> OptionIter<'a> {
        OptionIter(self.0)
    }
}

/// Option kinds (IANA "TCP Option Kind Numbers").
const END: u8 = 0;
const NOP: u8 = 1;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMP: u8 = 8;
const MD5_SIGNATURE: u8 = 19;
const AUTHENTICATION: u8 = 29;

/// The options with a body, as kind and body, up to the end marker or the first malformed one.
struct OptionIter<'a>(&'a [u8]);

impl<'a> Iterator for OptionIter<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match *self.0 {
                [NOP, ref rest @ ..] => self.0 = rest,
                [] | [END, ..] | [_] => return None,
                [kind, len, ..] => {
                    let option = self.0.get(..usize::from(len))?;
                    let body = option.get(2..)?;
                    self.0 = self.0.get(usize::from(len)..)?;
                    return Some((kind, body));
                }
            }
        }
    }
}

/// A TCP segment whose header is complete and fits into its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Sequence number of the first byte (of the SYN, if it has one).
    pub seq: Seq,
    /// The acknowledgement number, as it stands there even without [`Flags::ACK`].
    pub ack: Seq,
    /// The advertised window, not scaled.
    pub window: u16,
    /// The flag byte.
    pub flags: Flags,
    /// Bytes of payload.
    pub payload: u32,
    /// The options.
    pub options: Options<'a>,
}

impl Segment<'_> {
    /// Whether an endpoint may send this set of flags. To be asked after the checksum.
    #[inline]
    pub const fn flags_valid(&self) -> bool {
        self.flags.valid()
    }

    /// What the segment means to the state of a connection.
    #[inline]
    pub const fn kind(&self) -> Kind {
        self.flags.kind()
    }

    /// The sequence number behind the segment; SYN and FIN take one each.
    #[inline]
    pub fn end(&self) -> Seq {
        self.seq
            .plus(self.payload)
            .plus(u32::from(self.flags.has(Flags::SYN)))
            .plus(u32::from(self.flags.has(Flags::FIN)))
    }
}

/// The length in bytes that a header claims for itself, options included: a multiple of four up
/// to [`MAX_HEADER`]. May be less than [`MIN_HEADER`], which [`parse`] then refuses.
#[inline]
pub const fn header_len(fixed: &[u8; MIN_HEADER]) -> usize {
    // Data offset in words: the high four bits.
    data_offset(fixed[12])
}

#[inline]
const fn data_offset(byte: u8) -> usize {
    ((byte >> 4) as usize) * 4
}

/// Reads a header.
///
/// `header` begins with the header and holds as much of it as can be had, at most
/// [`MAX_HEADER`] bytes matter; `l4_len` is the length of header and payload together. If options
/// are cut off in `header` (but not in the packet), the segment counts as one without options.
///
/// # Errors
///
/// [`Malformed::Short`] without a complete fixed part, [`Malformed::Truncated`] if the header is
/// not as long as it claims.
#[inline]
pub fn parse(header: &[u8], l4_len: u32) -> Result<Segment<'_>, Malformed> {
    // Fixed part: ports (4), sequence number, acknowledgement number, data offset, flags, window,
    // checksum and urgent pointer (4).
    let &[_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, w0, w1, _, _, _, _, ..] =
        header
    else {
        return Err(Malformed::Short);
    };

    let len = data_offset(offset);
    let payload = match u32::try_from(len) {
        Ok(claimed) if len >= MIN_HEADER => l4_len.checked_sub(claimed),
        _ => None,
    };
    let Some(payload) = payload else {
        return Err(Malformed::Truncated);
    };

    Ok(Segment {
        seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
        ack: Seq(u32::from_be_bytes([a0, a1, a2, a3])),
        window: u16::from_be_bytes([w0, w1]),
        flags: Flags(flags),
        payload,
        options: Options(header.get(MIN_HEADER..len).unwrap_or_default()),
    })
}

/// The word in network order that `bytes` begins with.
#[inline]
fn be32(bytes: &[u8]) -> Option<u32> {
    let word = bytes.get(..4)?.try_into().ok()?;
    Some(u32::from_be_bytes(word))
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_wire_tcp)
)]
mod tests {
    use super::*;

    /// A header of `words` words with the given options behind the fixed part.
    fn header(words: u8, options: &[u8]) -> [u8; MAX_HEADER] {
        let mut bytes = [0; MAX_HEADER];
        let fixed = [
            0x30, 0x39, 0x00, 0x50, 0x01, 0x02, 0x03, 0x04, 0xa1, 0xa2, 0xa3, 0xa4, 0, 0x10, 0x12,
            0x34, 0, 0, 0, 0,
        ];
        for (to, from) in bytes.iter_mut().zip(fixed.iter().chain(options)) {
            *to = *from;
        }
        bytes[12] = words << 4;
        bytes
    }

    fn offer(options: &[u8]) -> Option<Offer> {
        Options(options).offer()
    }

    #[test]
    fn fields() {
        let bytes = header(5, &[]);
        let parsed = parse(&bytes[..MIN_HEADER], 120);
        assert!(parsed.is_ok());
        if let Ok(segment) = parsed {
            assert_eq!(segment.seq, Seq(0x0102_0304));
            assert_eq!(segment.ack, Seq(0xa1a2_a3a4));
            assert_eq!(segment.window, 0x1234);
            assert_eq!(segment.flags, Flags::ACK);
            assert_eq!(segment.payload, 100);
            assert_eq!(segment.end(), Seq(0x0102_0304).plus(100));
            assert_eq!(segment.options.offer(), None);
        }
    }

    #[test]
    fn syn_and_fin_take_a_number() {
        let mut bytes = header(5, &[]);
        let cases = [
            (Flags::SYN, 1),
            (Flags::FIN.with(Flags::ACK), 1),
            (Flags::ACK, 0),
            (Flags::RST, 0),
            (Flags::SYN.with(Flags::FIN), 2),
        ];
        for (flags, more) in cases {
            bytes[13] = flags.0;
            for payload in [0u32, 1, 1460] {
                let end = parse(&bytes, 20 + payload).map(|segment| segment.end());
                assert_eq!(end, Ok(Seq(0x0102_0304).plus(payload + more)));
            }
        }
        // Around the end of the number space.
        bytes[4..8].copy_from_slice(&[0xff; 4]);
        bytes[13] = Flags::SYN.0;
        assert_eq!(parse(&bytes, 20).map(|segment| segment.end()), Ok(Seq(0)));
    }

    #[test]
    fn lengths() {
        let bytes = header(5, &[]);
        for len in 0..MIN_HEADER {
            assert_eq!(parse(&bytes[..len], 1000), Err(Malformed::Short));
        }
        // Shorter than the fixed part.
        for words in 0..5 {
            assert_eq!(parse(&header(words, &[]), 1000), Err(Malformed::Truncated));
        }
        // Longer than the packet, by a byte; and just as long.
        for words in 5..=15u8 {
            let len = u32::from(words) * 4;
            assert_eq!(
                parse(&header(words, &[]), len - 1),
                Err(Malformed::Truncated)
            );
            assert_eq!(
                parse(&header(words, &[]), len).map(|segment| segment.payload),
                Ok(0)
            );
        }
        assert_eq!(
            parse(&bytes, u32::MAX).map(|segment| segment.payload),
            Ok(u32::MAX - 20)
        );
    }

    #[test]
    fn claimed_length() {
        for words in 0..=15u8 {
            let mut fixed = [0; MIN_HEADER];
            fixed.copy_from_slice(&header(words, &[])[..MIN_HEADER]);
            assert_eq!(header_len(&fixed), usize::from(words) * 4);
        }
    }

    #[test]
    fn options_end_with_the_header() {
        // A window scale right behind a header of 24 bytes does not count.
        let bytes = header(6, &[NOP, NOP, NOP, NOP, WINDOW_SCALE, 3, 7, END]);
        let parsed = parse(&bytes, 1000).map(|segment| segment.options.offer());
        assert_eq!(parsed, Ok(Some(Offer::default())));
        // Options that are not at hand count as none.
        let bytes = header(6, &[WINDOW_SCALE, 3, 7, END]);
        let parsed = parse(&bytes[..23], 1000).map(|segment| segment.options.offer());
        assert_eq!(parsed, Ok(None));
    }

    #[test]
    fn flag_sets() {
        // Independent of `Flags`: FIN 1, SYN 2, RST 4, ACK 16, URG 32.
        const VALID: [u8; 9] = [2, 34, 18, 4, 20, 17, 49, 16, 48];
        for byte in 0..=255u8 {
            let meaning = byte & 0b0011_0111;
            assert_eq!(Flags(byte).valid(), VALID.contains(&meaning));
        }
    }

    #[test]
    fn kinds() {
        let cases = [
            (0x02, Kind::Syn),
            (0x22, Kind::Syn),
            (0x03, Kind::Syn),
            (0x12, Kind::SynAck),
            (0x11, Kind::Fin),
            (0x01, Kind::Fin),
            (0x10, Kind::Ack),
            (0xf8, Kind::Ack),
            (0x04, Kind::Rst),
            (0x14, Kind::Rst),
            (0x06, Kind::Rst),
            (0xff, Kind::Rst),
            (0x00, Kind::None),
            (0xe8, Kind::None),
        ];
        for (flags, kind) in cases {
            assert!(Flags(flags).kind() == kind);
        }
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(usize::from(kind.raw()), index);
        }
    }

    #[test]
    fn offers() {
        let scale = |shift| Offer {
            window_scale: Some(shift),
            sack_permitted: false,
        };
        let sack = Offer {
            window_scale: None,
            sack_permitted: true,
        };

        assert_eq!(offer(&[]), None);
        assert_eq!(offer(&[NOP, NOP]), Some(Offer::default()));
        assert_eq!(offer(&[WINDOW_SCALE, 3, 7]), Some(scale(7)));
        assert_eq!(offer(&[WINDOW_SCALE, 3, 0]), Some(scale(0)));
        assert_eq!(offer(&[WINDOW_SCALE, 3, 14]), Some(scale(14)));
        assert_eq!(offer(&[WINDOW_SCALE, 3, 15]), Some(scale(14)));
        assert_eq!(offer(&[WINDOW_SCALE, 3, 255]), Some(scale(14)));
        assert_eq!(offer(&[SACK_PERMITTED, 2]), Some(sack));
        // The last one counts.
        assert_eq!(
            offer(&[WINDOW_SCALE, 3, 7, WINDOW_SCALE, 3, 2]),
            Some(scale(2))
        );
        // Wrong lengths.
        assert_eq!(offer(&[WINDOW_SCALE, 4, 7, 0]), Some(Offer::default()));
        assert_eq!(offer(&[SACK_PERMITTED, 3, 0]), Some(Offer::default()));
        // Unknown ones are skipped; the end marker ends.
        assert_eq!(
            offer(&[2, 4, 5, 180, NOP, WINDOW_SCALE, 3, 9]),
            Some(scale(9))
        );
        assert_eq!(offer(&[END, WINDOW_SCALE, 3, 9]), Some(Offer::default()));
        // Malformed: no length, silly length, length beyond the end.
        assert_eq!(offer(&[SACK_PERMITTED, 2, WINDOW_SCALE]), Some(sack));
        assert_eq!(
            offer(&[SACK_PERMITTED, 2, 99, 0, WINDOW_SCALE, 3, 9]),
            Some(sack)
        );
        assert_eq!(
            offer(&[SACK_PERMITTED, 2, 99, 1, WINDOW_SCALE, 3, 9]),
            Some(sack)
        );
        assert_eq!(offer(&[SACK_PERMITTED, 2, WINDOW_SCALE, 3]), Some(sack));
    }

    #[test]
    fn sacks() {
        let ack = Seq(1000);
        let highest = |options: &[u8]| Options(options).highest_sack(ack).0;

        assert_eq!(highest(&[]), 1000);
        assert_eq!(highest(&[SACK, 10, 0, 0, 8, 0, 0, 0, 8, 100]), 2148);
        // Two blocks, the higher one first.
        let two = [SACK, 18, 0, 0, 8, 0, 0, 0, 8, 100, 0, 0, 4, 0, 0, 0, 4, 100];
        assert_eq!(highest(&two), 2148);
        // Below the acknowledgement, as a duplicate report (RFC 2883) is.
        assert_eq!(highest(&[SACK, 10, 0, 0, 0, 1, 0, 0, 0, 2]), 1000);
        // Behind the alignment of a usual sender.
        assert_eq!(
            highest(&[NOP, NOP, SACK, 10, 0, 0, 8, 0, 0, 0, 8, 100]),
            2148
        );
        // No whole number of blocks.
        assert_eq!(highest(&[SACK, 2]), 1000);
        assert_eq!(highest(&[SACK, 6, 0, 0, 8, 0]), 1000);
        assert_eq!(highest(&[SACK, 11, 0, 0, 8, 0, 0, 0, 8, 100, 0]), 1000);
        // Such a one is skipped; the first good one counts.
        assert_eq!(
            highest(&[SACK, 2, SACK, 10, 0, 0, 8, 0, 0, 0, 8, 100]),
            2148
        );
        let second = [
            SACK, 10, 0, 0, 4, 0, 0, 0, 4, 100, SACK, 10, 0, 0, 8, 0, 0, 0, 8, 100,
        ];
        assert_eq!(highest(&second), 1124);
        // Timestamps only.
        assert_eq!(highest(&[NOP, NOP, 8, 10, 5, 10, 0, 0, 0, 0, 8, 8]), 1000);
        // Around the end of the number space.
        let wrap = Options(&[SACK, 10, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9]);
        assert_eq!(wrap.highest_sack(Seq(0xffff_fff0)), Seq(9));
    }
}
