// SPDX-License-Identifier: GPL-2.0

//! What identifies one direction of a connection.
//!
//! C header: [`include/net/netfilter/nf_conntrack_tuple.h`](srctree/include/net/netfilter/nf_conntrack_tuple.h)

use core::fmt;

use super::num::Dir;
use super::wire::icmp;

/// Layer-3 protocol numbers as netfilter writes them (`NFPROTO_*`).
pub mod l3 {
    /// IPv4.
    pub const IPV4: u16 = 2;
    /// IPv6.
    pub const IPV6: u16 = 10;
}

/// The network layers that are tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family with this [`l3`] number.
    #[inline]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            l3::IPV4 => Some(Family::V4),
            l3::IPV6 => Some(Family::V6),
            _ => None,
        }
    }

    /// The [`l3`] number.
    #[inline]
    pub const fn number(self) -> u16 {
        match self {
            Family::V4 => l3::IPV4,
            Family::V6 => l3::IPV6,
        }
    }
}

/// Layer-4 protocol numbers (IANA "Protocol Numbers").
pub mod proto {
    /// ICMP, RFC 792.
    pub const ICMP: u8 = 1;
    /// TCP, RFC 9293.
    pub const TCP: u8 = 6;
    /// UDP, RFC 768.
    pub const UDP: u8 = 17;
    /// GRE, RFC 2784 and 2890.
    pub const GRE: u8 = 47;
    /// ICMPv6, RFC 4443.
    pub const ICMPV6: u8 = 58;
    /// SCTP, RFC 9260.
    pub const SCTP: u8 = 132;
}

/// An address; IPv4 uses the first word, and the others are zero. Words in network order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Addr(pub [u32; 4]);

impl Addr {
    /// An IPv4 address from its bytes.
    pub const fn v4(bytes: [u8; 4]) -> Self {
        Addr([u32::from_ne_bytes(bytes), 0, 0, 0])
    }

    /// An IPv6 address from its bytes.
    pub const fn v6(b: [u8; 16]) -> Self {
        Addr([
            u32::from_ne_bytes([b[0], b[1], b[2], b[3]]),
            u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
            u32::from_ne_bytes([b[8], b[9], b[10], b[11]]),
            u32::from_ne_bytes([b[12], b[13], b[14], b[15]]),
        ])
    }
}

impl Addr {
    /// The bytes in the order in which they are sent; for IPv4 the first four.
    #[inline]
    pub const fn bytes(&self) -> [u8; 16] {
        let [w0, w1, w2, w3] = self.0;
        let (a, b, c, d) = (
            w0.to_ne_bytes(),
            w1.to_ne_bytes(),
            w2.to_ne_bytes(),
            w3.to_ne_bytes(),
        );
        [
            a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], //
            c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3],
        ]
    }

    /// The part that counts in `family`; the rest becomes zero.
    #[inline]
    pub const fn only(&self, family: Family) -> Self {
        match family {
            Family::V4 => Addr([self.0[0], 0, 0, 0]),
            Family::V6 => *self,
        }
    }

    /// For printing, as the kernel's `%pI4` and `%pI6` do: dotted, or eight groups in full.
    #[inline]
    pub const fn display(self, family: Family) -> DisplayAddr {
        DisplayAddr(self, family)
    }
}

/// An address with its family, for printing.
#[derive(Clone, Copy, Debug)]
pub struct DisplayAddr(Addr, Family);

impl fmt::Display for DisplayAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = self.0.bytes();
        match self.1 {
            Family::V4 => write!(f, "{}.{}.{}.{}", b[0], b[1], b[2], b[3]),
            Family::V6 => {
                for (at, pair) in b.chunks(2).enumerate() {
                    if at > 0 {
                        f.write_str(":")?;
                    }
                    for byte in pair {
                        write!(f, "{byte:02x}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// The sending half: the part that translation may rewrite on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Source {
    /// Source address.
    pub addr: Addr,
    /// Source port, ICMP identifier or GRE key, in network order.
    pub id: u16,
    /// Layer-3 protocol, see [`l3`].
    pub l3: u16,
}

/// The receiving half, with the protocol and the direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Destination {
    /// Destination address.
    pub addr: Addr,
    /// Destination port or GRE key in network order; for ICMP the type (first byte) and code.
    pub id: u16,
    /// Layer-4 protocol, see [`proto`].
    pub proto: u8,
    /// Which direction of its connection this tuple is; not part of its identity.
    pub dir: u8,
}

/// One direction of a connection. Same layout as `struct nf_conntrack_tuple`, without padding;
/// `linux::conn` asserts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tuple {
    /// Who sends.
    pub src: Source,
    /// Who receives.
    pub dst: Destination,
}

impl Tuple {
    /// Which direction of its connection this tuple is.
    #[inline]
    pub const fn dir(&self) -> Dir {
        Dir::from_raw(self.dst.dir)
    }

    /// Whether both name the same flow; the direction does not count.
    #[inline]
    pub fn same_flow(&self, other: &Tuple) -> bool {
        self.src == other.src
            && self.dst.addr == other.dst.addr
            && self.dst.id == other.dst.id
            && self.dst.proto == other.dst.proto
    }

    /// Whether both have the same sender.
    #[inline]
    pub fn same_source(&self, other: &Tuple) -> bool {
        self.src == other.src
    }

    /// Whether both have the same receiver and transport protocol; the direction does not count.
    #[inline]
    pub fn same_destination(&self, other: &Tuple) -> bool {
        self.dst.addr == other.dst.addr
            && self.dst.id == other.dst.id
            && self.dst.proto == other.dst.proto
    }

    /// Whether this tuple is what `expected` announces, when only the bits in `mask` of the source
    /// count (`nf_ct_tuple_mask_cmp`).
    #[inline]
    pub fn matches(&self, expected: &Tuple, mask: &Mask) -> bool {
        self.source_matches(expected, mask) && self.same_destination(expected)
    }

    /// The half of [`Tuple::matches`] about the sender (`nf_ct_tuple_src_mask_cmp`); both
    /// protocols must agree.
    #[inline]
    pub fn source_matches(&self, other: &Tuple, mask: &Mask) -> bool {
        let words = self.src.addr.0.iter().zip(other.src.addr.0.iter());
        words
            .zip(mask.addr.0.iter())
            .all(|((a, b), m)| (a ^ b) & m == 0)
            && (self.src.id ^ other.src.id) & mask.id == 0
            && self.src.l3 == other.src.l3
            && self.dst.proto == other.dst.proto
    }

    /// The tuple of the packets that answer this one's, in the other direction
    /// (`nf_ct_invert_tuple`).
    ///
    /// | protocol | ids |
    /// | --- | --- |
    /// | ICMP, ICMPv6 | identifier and code stay, the type becomes its [counterpart] |
    /// | all others | change places |
    ///
    /// `None` for ICMP types that nobody answers. Addresses of an unknown network layer become
    /// zero.
    ///
    /// [counterpart]: icmp::v4::counterpart
    #[inline]
    pub const fn invert(&self) -> Option<Tuple> {
        let (sender, receiver) = match Family::from_number(self.src.l3) {
            Some(family) => (self.dst.addr.only(family), self.src.addr.only(family)),
            None => (Addr([0; 4]), Addr([0; 4])),
        };
        let (kind, code) = self.icmp_type_code();
        let counterpart = match self.dst.proto {
            proto::ICMP => icmp::v4::counterpart(kind),
            proto::ICMPV6 => icmp::v6::counterpart(kind),
            _ => None,
        };
        let (src, dst) = match (self.dst.proto, counterpart) {
            (proto::ICMP | proto::ICMPV6, None) => return None,
            (proto::ICMP | proto::ICMPV6, Some(kind)) => {
                (self.src.id, u16::from_ne_bytes([kind, code]))
            }
            _ => (self.dst.id, self.src.id),
        };
        Some(Tuple {
            src: Source {
                addr: sender,
                id: src,
                l3: self.src.l3,
            },
            dst: Destination {
                addr: receiver,
                id: dst,
                proto: self.dst.proto,
                dir: match self.dst.dir {
                    0 => 1,
                    _ => 0,
                },
            },
        })
    }

    /// This tuple with other ids, in network order.
    #[inline]
    pub const fn with_ids(mut self, src: u16, dst: u16) -> Self {
        self.src.id = src;
        self.dst.id = dst;
        self
    }

    /// This tuple as direction `dir`.
    #[inline]
    pub const fn with_dir(mut self, dir: Dir) -> Self {
        self.dst.dir = dir as u8;
        self
    }

    /// The bytes that are hashed: all but the direction, in memory order. The table may as well
    /// hash the first 39 bytes in place; these are the same.
    pub fn key_bytes(&self) -> [u8; KEY_SIZE] {
        let mut bytes = [0; KEY_SIZE];
        let parts: [&[u8]; 6] = [
            &self.src.addr.bytes(),
            &self.src.id.to_ne_bytes(),
            &self.src.l3.to_ne_bytes(),
            &self.dst.addr.bytes(),
            &self.dst.id.to_ne_bytes(),
            &[self.dst.proto],
        ];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// The ICMP type and code that [`Destination::id`] carries.
    #[inline]
    pub const fn icmp_type_code(&self) -> (u8, u8) {
        let bytes = self.dst.id.to_ne_bytes();
        (bytes[0], bytes[1])
    }
}

/// The number of bytes at the start of a [`Tuple`] that are hashed.
pub const KEY_SIZE: usize = 39;

/// The bits of a source that count when an expectation is matched. Same layout as
/// `struct nf_conntrack_tuple_mask`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Mask {
    /// Bits of the source address.
    pub addr: Addr,
    /// Bits of the source port, in network order.
    pub id: u16,
}

impl Mask {
    /// The bits that both masks have.
    #[inline]
    pub fn and(&self, other: &Mask) -> Mask {
        let [a0, a1, a2, a3] = self.addr.0;
        let [b0, b1, b2, b3] = other.addr.0;
        Mask {
            addr: Addr([a0 & b0, a1 & b1, a2 & b2, a3 & b3]),
            id: self.id & other.id,
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_tuple)
)]
mod tests {
    use super::*;

    fn v4(protocol: u8, src: u16, dst: u16) -> Tuple {
        Tuple {
            src: Source {
                addr: Addr::v4([10, 0, 0, 1]),
                id: src,
                l3: l3::IPV4,
            },
            dst: Destination {
                addr: Addr::v4([10, 0, 0, 2]),
                id: dst,
                proto: protocol,
                dir: 0,
            },
        }
    }

    #[test]
    fn ports_and_addresses_change_places() {
        for protocol in [proto::TCP, proto::UDP, proto::SCTP, proto::GRE, 0, 255] {
            let there = v4(protocol, 1, 2);
            let back = there.invert();
            assert_eq!(back.map(|t| t.src.addr), Some(there.dst.addr));
            assert_eq!(back.map(|t| t.dst.addr), Some(there.src.addr));
            assert_eq!(back.map(|t| (t.src.id, t.dst.id)), Some((2, 1)));
            assert_eq!(back.map(|t| t.dir()), Some(Dir::Reply));
            assert_eq!(back.and_then(|t| t.invert()), Some(there));
        }
    }

    #[test]
    fn icmp_keeps_its_id_and_changes_its_type() {
        // (protocol, type, type of the answer)
        let table = [
            (proto::ICMP, 8, Some(0)),
            (proto::ICMP, 0, Some(8)),
            (proto::ICMP, 13, Some(14)),
            (proto::ICMP, 16, Some(15)),
            (proto::ICMP, 17, Some(18)),
            (proto::ICMP, 3, None),
            (proto::ICMP, 19, None),
            (proto::ICMP, 128, None),
            (proto::ICMPV6, 128, Some(129)),
            (proto::ICMPV6, 129, Some(128)),
            (proto::ICMPV6, 139, Some(140)),
            (proto::ICMPV6, 8, None),
            (proto::ICMPV6, 137, None),
            (proto::ICMPV6, 255, None),
        ];
        for (protocol, kind, answer) in table {
            let there = v4(protocol, 77, u16::from_ne_bytes([kind, 5]));
            let back = there.invert();
            assert_eq!(back.map(|t| t.icmp_type_code()), answer.map(|a| (a, 5)));
            assert!(back.is_none_or(|t| t.src.id == 77));
        }
    }

    #[test]
    fn inverting_clears_what_does_not_count() {
        let mut tuple = v4(proto::UDP, 1, 2);
        tuple.src.addr.0[3] = 9;
        assert_eq!(tuple.invert().map(|t| t.dst.addr.0[3]), Some(0));
        tuple.src.l3 = l3::IPV6;
        assert_eq!(tuple.invert().map(|t| t.dst.addr.0[3]), Some(9));
        tuple.src.l3 = 7;
        assert_eq!(tuple.invert().map(|t| t.dst.addr), Some(Addr::default()));
        assert_eq!(tuple.invert().map(|t| t.src.l3), Some(7));
    }

    #[test]
    fn the_direction_is_no_part_of_the_key() {
        let tuple = v4(proto::TCP, 0x0102, 0x0304);
        let other = tuple.with_dir(Dir::Reply);
        assert!(tuple.same_flow(&other));
        assert!(tuple != other);
        assert_eq!(tuple.key_bytes(), other.key_bytes());
        let key = tuple.key_bytes();
        assert_eq!(key[0..4], [10, 0, 0, 1]);
        assert_eq!(key[16..18], 0x0102u16.to_ne_bytes());
        assert_eq!(key[18..20], 2u16.to_ne_bytes());
        assert_eq!(key[20..24], [10, 0, 0, 2]);
        assert_eq!(key[36..38], 0x0304u16.to_ne_bytes());
        assert_eq!(key[38], proto::TCP);
    }

    #[test]
    fn sizes_are_those_of_the_c_structures() {
        assert_eq!(size_of::<Tuple>(), 40);
        assert_eq!(size_of::<Source>(), 20);
        assert_eq!(size_of::<Mask>(), 20);
    }

    #[test]
    fn a_mask_says_which_bits_of_the_source_count() {
        let expected = v4(proto::TCP, 0, 21);
        let all = Mask {
            addr: Addr([u32::MAX; 4]),
            id: u16::MAX,
        };
        let any_port = Mask { id: 0, ..all };
        let tuple = v4(proto::TCP, 1234, 21);
        assert!(tuple.matches(&expected, &any_port));
        assert!(!tuple.matches(&expected, &all));
        assert!(!tuple.matches(&v4(proto::TCP, 0, 20), &any_port));
        assert!(!tuple.matches(&v4(proto::UDP, 0, 21), &any_port));
        let mut elsewhere = tuple;
        elsewhere.src.addr.0[3] = 1;
        assert!(!elsewhere.matches(&expected, &any_port));
        assert!(elsewhere.matches(&expected, &Mask::default()));
        assert_eq!(all.and(&any_port), any_port);
    }
}
