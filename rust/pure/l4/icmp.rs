// SPDX-License-Identifier: GPL-2.0

//! The trackers for ICMP and ICMPv6, and the way of an error message to the connection that it is
//! about.
//!
//! A query opens a connection, its answer belongs to it, and each packet keeps it for the same
//! time; such entries are never proven. Errors open nothing: [`inspect_v4`] and [`inspect_v6`] say
//! where the quoted packet is, [`inner_tuple`] which tuple to look up, and [`relate`] whether what
//! was found fits.
//!
//! C counterparts: `nf_conntrack_proto_icmp.c`, `nf_conntrack_proto_icmpv6.c`.

use core::ffi::CStr;
use core::fmt;

use super::super::ctinfo::CtInfo;
use super::super::tuple::Addr;
use super::super::tuple::Family;
use super::super::tuple::Tuple;
use super::super::wire;
use super::super::wire::icmp;
use super::super::wire::ipv6;
use super::super::wire::Packet;

/// A packet of a type that opens no connection, or of the other family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAQuery;

/// What an ICMP packet over `family` does to the entry whose original direction has this type: the
/// ticks that it stays from now on, or that the packet is invalid.
///
/// The type is looked at with every packet, so entries that user space made with another type
/// never match.
#[inline]
pub const fn v4_step(family: Family, original: u8, timeout: u32) -> Result<u32, NotAQuery> {
    match family {
        Family::V4 if icmp::v4::is_query(original) => Ok(timeout),
        _ => Err(NotAQuery),
    }
}

/// What an ICMPv6 packet over `family` does to the entry whose original direction has this type:
/// the ticks that it stays from now on, or that the packet is invalid.
///
/// Unlike with ICMP the type matters for opening only.
#[inline]
pub const fn v6_step(
    family: Family,
    original: u8,
    confirmed: bool,
    timeout: u32,
) -> Result<u32, NotAQuery> {
    match family {
        Family::V6 if confirmed || icmp::v6::is_query(original) => Ok(timeout),
        _ => Err(NotAQuery),
    }
}

/// What is to be done with an ICMP packet before any look-up of its own tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// It quotes nothing: track it like any other packet.
    Track,
    /// Housekeeping of the link: let it pass, marked as untracked.
    Untracked,
    /// Let it pass without a connection, and count an error.
    Invalid(Reason),
    /// It quotes a packet.
    Inner {
        /// Where the quoted network header is.
        offset: u32,
        /// The destination of the error message itself.
        outer: Addr,
    },
}

/// Why an ICMP packet is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The header is cut off.
    Short,
    /// The ICMP checksum does not hold.
    Checksum,
    /// The ICMPv6 checksum does not hold.
    Checksum6,
    /// A type beyond all that are known.
    Type,
    /// A redirect that is cut off.
    ShortRedirect,
    /// A redirect that was not sent by a neighbour.
    RedirectOrigin,
    /// A redirect that ends before its options.
    RedirectOptions,
    /// The quoted packet has no tuple.
    NoTuple,
    /// Nobody answers packets like the quoted one.
    NoInverse,
    /// The quoted packet belongs to no connection.
    NoConnection,
    /// The error was sent to somebody else than the sender of the quoted packet.
    Mismatch {
        /// The network layer of both.
        family: Family,
        /// Who the error was sent to.
        outer: Addr,
        /// Who it should have been sent to.
        inner: Addr,
    },
}

impl Reason {
    /// The text for the log of invalid packets, where it is a constant one; `None` for
    /// [`Reason::Mismatch`], whose text has addresses, and for reasons that are not logged.
    #[inline]
    pub const fn text(&self) -> Option<&'static CStr> {
        match self {
            Reason::Short => Some(c"short packet"),
            Reason::Checksum => Some(c"bad hw icmp checksum"),
            Reason::Checksum6 => Some(c"ICMPv6 checksum failed"),
            Reason::Type => Some(c"invalid icmp type"),
            Reason::ShortRedirect => Some(c"short redirect"),
            Reason::RedirectOrigin => Some(c"invalid saddr or hoplimit for redirect"),
            Reason::RedirectOptions => Some(c"redirect without options"),
            Reason::NoTuple | Reason::NoInverse | Reason::NoConnection => None,
            Reason::Mismatch { .. } => None,
        }
    }

    /// Whether the log of invalid packets hears nothing about it.
    #[inline]
    pub const fn is_silent(&self) -> bool {
        matches!(
            self,
            Reason::NoTuple | Reason::NoInverse | Reason::NoConnection
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Mismatch {
                family,
                outer,
                inner,
            } => {
                let (outer, inner) = (outer.display(*family), inner.display(*family));
                write!(f, "outer daddr {outer} != inner {inner}")
            }
            Reason::NoTuple => f.write_str("quoted packet has no tuple"),
            Reason::NoInverse => f.write_str("quoted packet is never answered"),
            Reason::NoConnection => f.write_str("quoted packet has no connection"),
            other => wire::write_text(f, other.text().unwrap_or_default()),
        }
    }
}

/// Looks at the ICMP packet at `dataoff`, whose IPv4 header is at `nhoff`.
///
/// In this order: the header must be whole; `checksum_bad`, which also knows whether hook and
/// settings want verification; the type must be known.
#[inline]
pub fn inspect_v4<P: Packet + ?Sized>(
    packet: &P,
    nhoff: u32,
    dataoff: u32,
    checksum_bad: impl FnOnce() -> bool,
) -> Inspection {
    let Some(bytes) = packet.read(dataoff) else {
        return Inspection::Invalid(Reason::Short);
    };
    if checksum_bad() {
        return Inspection::Invalid(Reason::Checksum);
    }
    let kind = icmp::Header::parse(&bytes).kind;
    if kind > icmp::v4::MASK_REPLY {
        Inspection::Invalid(Reason::Type)
    } else if icmp::v4::is_error(kind) {
        quoted(packet, nhoff, Family::V4, dataoff.checked_add(icmp::SIZE))
    } else {
        Inspection::Track
    }
}

/// Looks at the ICMPv6 packet at `dataoff`, whose IPv6 header is at `nhoff`.
///
/// In this order: the header must be whole; `checksum_bad`, which also knows whether hook and
/// settings want verification; housekeeping passes untracked; then redirects and errors.
#[inline]
pub fn inspect_v6<P: Packet + ?Sized>(
    packet: &P,
    nhoff: u32,
    dataoff: u32,
    checksum_bad: impl FnOnce() -> bool,
) -> Inspection {
    let Some(bytes) = packet.read(dataoff) else {
        return Inspection::Invalid(Reason::Short);
    };
    if checksum_bad() {
        return Inspection::Invalid(Reason::Checksum6);
    }
    let kind = icmp::Header::parse(&bytes).kind;
    if icmp::v6::is_housekeeping(kind) {
        Inspection::Untracked
    } else if kind == icmp::v6::REDIRECT {
        redirect(packet, nhoff, dataoff)
    } else if icmp::v6::is_error(kind) {
        quoted(packet, nhoff, Family::V6, dataoff.checked_add(icmp::SIZE))
    } else {
        Inspection::Track
    }
}

/// Redirect messages of RFC 4861: 40 bytes with two addresses, then options. Only the first option
/// is looked at, and only a "redirected header" quotes a packet.
fn redirect<P: Packet + ?Sized>(packet: &P, nhoff: u32, dataoff: u32) -> Inspection {
    /// Bytes before the options.
    const SIZE: usize = 40;
    /// The option's number.
    const REDIRECTED_HEADER: u8 = 4;
    /// From the option's start to the quoted packet.
    const OPTION_HEADER: u32 = 8;

    let Some(message) = packet.read::<SIZE>(dataoff) else {
        return Inspection::Invalid(Reason::ShortRedirect);
    };
    if message[1] != 0 {
        return Inspection::Track;
    }
    let from_neighbour = match ipv6::addresses(packet, nhoff) {
        Some((src, _)) => ipv6::hop_limit(packet, nhoff) == Some(255) && ipv6::is_link_local(&src),
        None => false,
    };
    if !from_neighbour {
        return Inspection::Invalid(Reason::RedirectOrigin);
    }
    let option = dataoff.checked_add(40);
    match option.and_then(|at| packet.read(at)) {
        None | Some([_, 0]) => Inspection::Invalid(Reason::RedirectOptions),
        Some([REDIRECTED_HEADER, _]) => {
            let inner = option.and_then(|at| at.checked_add(OPTION_HEADER));
            quoted(packet, nhoff, Family::V6, inner)
        }
        Some(_) => Inspection::Track,
    }
}

/// An error message about the packet at `offset`.
fn quoted<P: Packet + ?Sized>(
    packet: &P,
    nhoff: u32,
    family: Family,
    offset: Option<u32>,
) -> Inspection {
    match (wire::addresses(packet, nhoff, family), offset) {
        (Some((_, outer)), Some(offset)) => Inspection::Inner { offset, outer },
        _ => Inspection::Invalid(Reason::NoTuple),
    }
}

/// The tuple to look up for an error message that quotes the packet at `offset`: that of the
/// packets which answer the quoted one, since errors travel with them.
///
/// `keymap` is that of [`wire::tuple`].
#[inline]
pub fn inner_tuple<P: Packet + ?Sized>(
    packet: &P,
    offset: u32,
    family: Family,
    keymap: impl FnOnce(&Tuple) -> u16,
) -> Result<Tuple, Reason> {
    wire::tuple_at(packet, offset, family, keymap)
        .ok_or(Reason::NoTuple)?
        .invert()
        .ok_or(Reason::NoInverse)
}

/// What an error message is that was sent to `outer`, when the look-up of [`inner_tuple`] found
/// the direction of a connection that has this tuple.
///
/// With A behind translation T talking to B, an error about A's packet arrives for T, the
/// destination of the reply direction; one about B's packet goes to B. So the message's
/// destination must be that of the direction found, or somebody relates his error to a connection
/// of others.
#[inline]
pub fn relate(found: &Tuple, outer: &Addr, family: Family) -> Result<CtInfo, Reason> {
    if found.dst.addr == *outer {
        Ok(CtInfo::related(found.dir()))
    } else {
        Err(Reason::Mismatch {
            family,
            outer: *outer,
            inner: found.dst.addr,
        })
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_icmp)
)]
mod tests {
    use super::super::super::num::Dir;
    use super::*;

    /// An IPv4 header from 192.0.2.1 to 10.0.0.1, an ICMP header, and a quoted UDP packet from
    /// 10.0.0.1:4660 to 10.0.0.2:80.
    const ERROR4: [u8; 56] = [
        0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 1, 10, 0, 0, 1, //
        3, 3, 0, 0, 0, 0, 0, 0, //
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, //
        0x12, 0x34, 0, 80, 0, 8, 0, 0,
    ];

    const INNER4: Inspection = Inspection::Inner {
        offset: 28,
        outer: Addr::v4([10, 0, 0, 1]),
    };

    fn of4(kind: u8) -> Inspection {
        let mut bytes = ERROR4;
        bytes[20] = kind;
        inspect_v4(&bytes[..], 0, 20, || false)
    }

    fn no_keys(_: &Tuple) -> u16 {
        0
    }

    #[test]
    fn types_of_icmp() {
        for kind in 0..=u8::MAX {
            let expected = match kind {
                3 | 4 | 5 | 11 | 12 => INNER4,
                0..=18 => Inspection::Track,
                _ => Inspection::Invalid(Reason::Type),
            };
            assert_eq!(of4(kind), expected);
        }
    }

    #[test]
    fn checks_come_in_order() {
        let short = Inspection::Invalid(Reason::Short);
        assert_eq!(inspect_v4(&ERROR4[..27], 0, 20, || true), short);
        assert_eq!(inspect_v6(&ERROR4[..27], 0, 20, || true), short);
        let sum = Inspection::Invalid(Reason::Checksum);
        assert_eq!(inspect_v4(&[99; 28][..], 0, 20, || true), sum);
        let sum = Inspection::Invalid(Reason::Checksum6);
        assert_eq!(inspect_v6(&[135; 48][..], 0, 40, || true), sum);
    }

    /// An IPv6 header from fe80:: to 2001:: with this hop limit, and a message of this type and
    /// code with one option.
    fn of6(kind: u8, code: u8, hops: u8, option: [u8; 2]) -> Inspection {
        let mut bytes = [0; 40 + 40 + 8];
        bytes[6] = 58;
        bytes[7] = hops;
        bytes[8..10].copy_from_slice(&[0xfe, 0x80]);
        bytes[24..26].copy_from_slice(&[0x20, 0x01]);
        bytes[40] = kind;
        bytes[41] = code;
        bytes[80..82].copy_from_slice(&option);
        inspect_v6(&bytes[..], 0, 40, || false)
    }

    fn inner6(offset: u32) -> Inspection {
        let mut outer = [0; 16];
        outer[0] = 0x20;
        outer[1] = 0x01;
        Inspection::Inner {
            offset,
            outer: Addr::v6(outer),
        }
    }

    #[test]
    fn types_of_icmpv6() {
        for kind in 0..=u8::MAX {
            let expected = match kind {
                0..=127 => inner6(48),
                130..=136 | 143 | 151 | 152 => Inspection::Untracked,
                137 => inner6(88),
                _ => Inspection::Track,
            };
            assert_eq!(of6(kind, 0, 255, [4, 1]), expected);
        }
    }

    #[test]
    fn redirects_must_come_from_a_neighbour() {
        let origin = Inspection::Invalid(Reason::RedirectOrigin);
        let options = Inspection::Invalid(Reason::RedirectOptions);
        assert_eq!(of6(137, 0, 254, [4, 1]), origin);
        assert_eq!(of6(137, 1, 254, [4, 1]), Inspection::Track);
        assert_eq!(of6(137, 0, 255, [4, 0]), options);
        assert_eq!(of6(137, 0, 255, [2, 1]), Inspection::Track);
        let mut bytes = [0; 82];
        bytes[7] = 255;
        bytes[8..10].copy_from_slice(&[0xfe, 0x80]);
        bytes[40] = 137;
        let at = |end: usize| inspect_v6(&bytes[..end], 0, 40, || false);
        assert_eq!(at(79), Inspection::Invalid(Reason::ShortRedirect));
        assert_eq!(at(80), options);
        assert_eq!(at(81), options);
        bytes[9] = 0;
        assert_eq!(inspect_v6(&bytes[..], 0, 40, || false), origin);
    }

    #[test]
    fn errors_look_up_the_answer_of_the_quoted_packet() {
        let found = inner_tuple(&ERROR4[..], 28, Family::V4, no_keys);
        assert_eq!(found.map(|t| t.src.addr), Ok(Addr::v4([10, 0, 0, 2])));
        assert_eq!(found.map(|t| t.dst.id), Ok(0x1234u16.to_be()));
        assert_eq!(
            inner_tuple(&ERROR4[..51], 28, Family::V4, no_keys),
            Err(Reason::NoTuple)
        );
        let mut bytes = ERROR4;
        bytes[37] = 1;
        bytes[48] = 3;
        assert_eq!(
            inner_tuple(&bytes[..], 28, Family::V4, no_keys),
            Err(Reason::NoInverse)
        );
    }

    #[test]
    fn the_error_must_go_to_the_sender_of_the_quoted_packet() {
        let here = Addr::v4([10, 0, 0, 1]);
        let mut found = Tuple::default();
        found.dst.addr = here;
        assert_eq!(relate(&found, &here, Family::V4), Ok(CtInfo::Related));
        let found = found.with_dir(Dir::Reply);
        assert_eq!(relate(&found, &here, Family::V4), Ok(CtInfo::RelatedReply));
        let outer = Addr::v4([10, 0, 0, 9]);
        assert_eq!(
            relate(&found, &outer, Family::V4),
            Err(Reason::Mismatch {
                family: Family::V4,
                outer,
                inner: here,
            })
        );
    }

    #[test]
    fn only_queries_open_and_keep() {
        for kind in 0..=u8::MAX {
            let v4 = matches!(kind, 8 | 13 | 15 | 17);
            let v6 = matches!(kind, 128 | 139);
            assert_eq!(v4_step(Family::V4, kind, 30).is_ok(), v4);
            assert_eq!(v4_step(Family::V6, kind, 30), Err(NotAQuery));
            assert_eq!(v6_step(Family::V6, kind, false, 30).is_ok(), v6);
            assert_eq!(v6_step(Family::V6, kind, true, 30), Ok(30));
            assert_eq!(v6_step(Family::V4, kind, true, 30), Err(NotAQuery));
        }
    }
}
