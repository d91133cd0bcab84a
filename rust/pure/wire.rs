// SPDX-License-Identifier: GPL-2.0

//! Bytes become small valid values; after this edge nobody holds bytes.
//!
//! Every reader copies what it needs out of the packet through [`Packet`], because packets are not
//! contiguous in the kernel and may change under us when they are shared. What is accepted and
//! refused is exactly what `nf_conntrack_core.c` accepts and refuses: no version check, no header
//! checksum, no total length. The network layer did those before, or, inside an ICMP error, nobody
//! can.
//!
//! C counterparts: `get_l4proto`, `nf_ct_get_tuple`, `nf_ct_get_tuplepr`.

use core::ffi::CStr;
use core::fmt;

use super::tuple::proto;
use super::tuple::Addr;
use super::tuple::Destination;
use super::tuple::Source;
use super::tuple::Tuple;

pub use super::tuple::Family;

pub mod bpf;
pub mod gre;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod sctp;
pub mod tcp;
pub mod udp;

/// A packet whose bytes can be copied out.
pub trait Packet {
    /// The number of bytes, counted from the same origin as offsets (`skb->len`).
    fn size(&self) -> u32;

    /// The `N` bytes at `offset`, or `None` if one of them lies outside the packet
    /// (`skb_header_pointer`).
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// The `N` bytes at `base + offset`; `None` also if the sum overflows.
    #[inline]
    fn read_at<const N: usize>(&self, base: u32, offset: u32) -> Option<[u8; N]> {
        self.read(base.checked_add(offset)?)
    }
}

impl Packet for [u8] {
    fn size(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let start = usize::try_from(offset).ok()?;
        self.get(start..)?.first_chunk().copied()
    }
}

/// Why a packet has no transport header that can be tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untracked {
    /// The network header is cut off.
    Short,
    /// A fragment other than the first one: it carries no transport header. Packets are put
    /// together again before tracking, so this is seen inside ICMP errors only.
    Fragment,
    /// The header length points beyond the end, or nowhere.
    Bogus,
    /// The chain of IPv6 extension headers is cut off, too long or ends in "no next header".
    Extension,
}

/// Where a packet's transport header is, and of which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The network layer above which it was found.
    pub family: Family,
    /// See [`proto`].
    pub proto: u8,
    /// Offset in bytes from the packet's origin; greater than zero, may equal the packet's size.
    pub offset: u32,
}

/// Finds the transport header of the packet whose network header is at `nhoff`.
#[inline]
pub fn transport<P: Packet + ?Sized>(
    packet: &P,
    nhoff: u32,
    family: Family,
) -> Result<Transport, Untracked> {
    match family {
        Family::V4 => ipv4::transport(packet, nhoff),
        Family::V6 => ipv6::transport(packet, nhoff),
    }
}

/// The tuple of the packet whose network header is at `nhoff` and whose transport header is
/// `transport`; the direction is the original one.
///
/// `keymap` gives the source key (network order, zero if there is none) of a PPTP call whose tuple
/// is complete but for it; it is asked only for GRE version 1.
///
/// `None` if a header is cut off, or for GRE version 1 that does not carry PPP.
#[inline]
pub fn tuple<P: Packet + ?Sized>(
    packet: &P,
    nhoff: u32,
    transport: &Transport,
    keymap: impl FnOnce(&Tuple) -> u16,
) -> Option<Tuple> {
    let (src, dst) = addresses(packet, nhoff, transport.family)?;
    let tuple = Tuple {
        src: Source {
            addr: src,
            id: 0,
            l3: transport.family.number(),
        },
        dst: Destination {
            addr: dst,
            id: 0,
            proto: transport.proto,
            dir: 0,
        },
    };
    match transport.proto {
        proto::TCP | proto::UDP | proto::SCTP => {
            let (src, dst) = ports(&packet.read(transport.offset)?);
            Some(tuple.with_ids(src, dst))
        }
        proto::ICMP | proto::ICMPV6 => {
            let echo = icmp::Header::parse(&packet.read(transport.offset)?);
            Some(tuple.with_ids(echo.id, echo.type_code()))
        }
        proto::GRE => match gre::parse(packet, transport.offset) {
            gre::Header::Plain => Some(tuple),
            gre::Header::Call(call) => {
                let tuple = tuple.with_ids(0, call);
                let key = keymap(&tuple);
                Some(tuple.with_ids(key, call))
            }
            gre::Header::NotPpp => None,
        },
        _ => Some(tuple),
    }
}

/// The tuple of the packet whose network header is at `nhoff`, found in one go; for packets that
/// are quoted inside others.
#[inline]
pub fn tuple_at<P: Packet + ?Sized>(
    packet: &P,
    nhoff: u32,
    family: Family,
    keymap: impl FnOnce(&Tuple) -> u16,
) -> Option<Tuple> {
    let transport = transport(packet, nhoff, family).ok()?;
    tuple(packet, nhoff, &transport, keymap)
}

/// Source and destination of the network header at `nhoff`.
#[inline]
pub fn addresses<P: Packet + ?Sized>(
    packet: &P,
    nhoff: u32,
    family: Family,
) -> Option<(Addr, Addr)> {
    match family {
        Family::V4 => ipv4::addresses(packet, nhoff),
        Family::V6 => ipv6::addresses(packet, nhoff),
    }
}

/// Source and destination port, in network order, from the first four bytes of TCP, UDP or SCTP.
#[inline]
pub const fn ports(header: &[u8; 4]) -> (u16, u16) {
    let [s0, s1, d0, d1] = *header;
    (u16::from_ne_bytes([s0, s1]), u16::from_ne_bytes([d0, d1]))
}

/// Writes a text of the log of invalid packets.
pub(super) fn write_text(f: &mut fmt::Formatter<'_>, text: &CStr) -> fmt::Result {
    f.write_str(text.to_str().unwrap_or_default())
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_wire)
)]
mod tests {
    use super::*;

    /// 10.0.0.1:4660 -> 10.0.0.2:80, UDP, eight bytes long.
    const UDP4: [u8; 28] = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, //
        0x12, 0x34, 0, 80, 0, 8, 0, 0,
    ];

    fn v4(protocol: u8) -> [u8; 28] {
        let mut bytes = UDP4;
        bytes[9] = protocol;
        bytes
    }

    fn no_keys(_: &Tuple) -> u16 {
        0
    }

    #[test]
    fn udp_over_ipv4() {
        let tuple = tuple_at(&UDP4[..], 0, Family::V4, no_keys);
        assert_eq!(
            tuple,
            Some(Tuple {
                src: Source {
                    addr: Addr::v4([10, 0, 0, 1]),
                    id: 0x1234u16.to_be(),
                    l3: 2,
                },
                dst: Destination {
                    addr: Addr::v4([10, 0, 0, 2]),
                    id: 80u16.to_be(),
                    proto: 17,
                    dir: 0,
                },
            })
        );
    }

    #[test]
    fn every_protocol_needs_its_own_number_of_bytes() {
        // (protocol, bytes of transport header without which there is no tuple)
        let table = [
            (proto::TCP, 4),
            (proto::UDP, 4),
            (proto::SCTP, 4),
            (proto::ICMP, 8),
            (proto::ICMPV6, 8),
            (proto::GRE, 0),
            (50, 0),
            (0, 0),
        ];
        for (protocol, needed) in table {
            let bytes = v4(protocol);
            for end in 0..=bytes.len() {
                let found = tuple_at(&bytes[..end], 0, Family::V4, no_keys);
                assert_eq!(found.is_some(), end >= 20 + needed);
            }
        }
    }

    #[test]
    fn unknown_protocols_have_no_ids() {
        let found = tuple_at(&v4(50)[..], 0, Family::V4, no_keys);
        assert_eq!(found.map(|t| (t.src.id, t.dst.id)), Some((0, 0)));
        assert_eq!(found.map(|t| t.dst.proto), Some(50));
    }

    #[test]
    fn icmp_has_type_and_code_in_the_destination() {
        let mut bytes = v4(proto::ICMP);
        bytes[20..28].copy_from_slice(&[8, 0, 0xff, 0xff, 0xab, 0xcd, 0, 1]);
        let found = tuple_at(&bytes[..], 0, Family::V4, no_keys);
        assert_eq!(found.map(|t| t.src.id), Some(0xabcdu16.to_be()));
        assert_eq!(found.map(|t| t.icmp_type_code()), Some((8, 0)));
    }

    #[test]
    fn a_call_asks_for_the_other_key() {
        let mut bytes = v4(proto::GRE);
        bytes[20..28].copy_from_slice(&[0x20, 0x01, 0x88, 0x0b, 0, 0, 0x12, 0x34]);
        let asked = tuple_at(&bytes[..], 0, Family::V4, |t| {
            if t.src.id == 0 && t.dst.id == 0x1234u16.to_be() && t.dst.proto == proto::GRE {
                7
            } else {
                1
            }
        });
        assert_eq!(asked.map(|t| t.src.id), Some(7));
        assert_eq!(asked.map(|t| t.dst.id), Some(0x1234u16.to_be()));
        bytes[23] = 0x0c;
        assert_eq!(tuple_at(&bytes[..], 0, Family::V4, no_keys), None);
    }

    #[test]
    fn offsets_at_the_end_of_their_range_are_outside() {
        assert_eq!(UDP4[..].read::<4>(u32::MAX), None);
        assert_eq!(UDP4[..].read_at::<4>(u32::MAX, 1), None);
        assert_eq!(UDP4[..].read::<0>(28), Some([]));
        for family in [Family::V4, Family::V6] {
            assert_eq!(tuple_at(&UDP4[..], u32::MAX, family, no_keys), None);
        }
    }
}
