// SPDX-License-Identifier: GPL-2.0

//! The IPv4 header (RFC 791), as far as tracking reads it.
//!
//! C counterpart: `ipv4_get_l4proto`.

use super::super::tuple::Addr;
use super::super::tuple::Family;
use super::Packet;
use super::Transport;
use super::Untracked;

/// Bytes of the header without options.
pub const SIZE: usize = 20;

/// The part of the fragment word that is the offset, in host order.
const OFFSET_MASK: u16 = 0x1fff;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its own length in bytes, 0 to 60 in steps of four; values under 20 are not refused.
    pub length: u32,
    /// Whether it is a fragment other than the first one.
    pub later_fragment: bool,
    /// The transport protocol.
    pub proto: u8,
}

impl Header {
    /// Reads a header; every 20 bytes are one.
    #[inline]
    pub const fn parse(bytes: &[u8; SIZE]) -> Self {
        let fragment = u16::from_be_bytes([bytes[6], bytes[7]]);
        Header {
            length: ((bytes[0] & 0x0f) as u32) << 2,
            later_fragment: fragment & OFFSET_MASK != 0,
            proto: bytes[9],
        }
    }

    /// Where the transport header is in a packet of `size` bytes, if this header is at `nhoff`.
    ///
    /// An offset of zero means "none" to every caller of mainline's counterpart, so it is refused;
    /// with `nhoff` beyond zero a header length under 20 passes, and the transport header overlaps
    /// this one.
    #[inline]
    pub const fn transport(&self, nhoff: u32, size: u32) -> Result<Transport, Untracked> {
        if self.later_fragment {
            return Err(Untracked::Fragment);
        }
        match nhoff.checked_add(self.length) {
            Some(offset) if offset > 0 && offset <= size => Ok(Transport {
                family: Family::V4,
                proto: self.proto,
                offset,
            }),
            _ => Err(Untracked::Bogus),
        }
    }
}

/// Finds the transport header behind the IPv4 header at `nhoff`.
#[inline]
pub fn transport<P: Packet + ?Sized>(packet: &P, nhoff: u32) -> Result<Transport, Untracked> {
    let bytes = packet.read(nhoff).ok_or(Untracked::Short)?;
    Header::parse(&bytes).transport(nhoff, packet.size())
}

/// Source and destination of the IPv4 header at `nhoff`.
#[inline]
pub fn addresses<P: Packet + ?Sized>(packet: &P, nhoff: u32) -> Option<(Addr, Addr)> {
    let [s0, s1, s2, s3, d0, d1, d2, d3] = packet.read_at(nhoff, 12)?;
    Some((Addr::v4([s0, s1, s2, s3]), Addr::v4([d0, d1, d2, d3])))
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_wire_ipv4)
)]
mod tests {
    use super::*;

    fn found(nhoff: u32, ihl: u8, fragment: u16, size: u32) -> Result<u32, Untracked> {
        let mut bytes = [0; SIZE];
        bytes[0] = ihl;
        bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
        bytes[9] = 6;
        Header::parse(&bytes)
            .transport(nhoff, size)
            .map(|t| t.offset)
    }

    #[test]
    fn header_length_leads_to_the_transport_header() {
        let table = [
            (0, 0x45, 0, 20, Ok(20)),
            (0, 0x45, 0, 19, Err(Untracked::Bogus)),
            (0, 0x4f, 0, 60, Ok(60)),
            (0, 0x4f, 0, 59, Err(Untracked::Bogus)),
            (28, 0x45, 0, 56, Ok(48)),
            // The version is not looked at.
            (0, 0xf5, 0, 40, Ok(20)),
            // Nor is a length under the minimum, unless the offset becomes zero.
            (0, 0x41, 0, 40, Ok(4)),
            (0, 0x40, 0, 40, Err(Untracked::Bogus)),
            (28, 0x40, 0, 56, Ok(28)),
            (u32::MAX, 0x45, 0, u32::MAX, Err(Untracked::Bogus)),
        ];
        for (nhoff, ihl, fragment, size, expected) in table {
            assert_eq!(found(nhoff, ihl, fragment, size), expected);
        }
    }

    #[test]
    fn only_later_fragments_are_refused() {
        let table = [
            (0x0000, true),
            (0x2000, true), // more to come, first one
            (0x4000, true), // do not fragment
            (0x8000, true), // reserved bit
            (0x0001, false),
            (0x3fff, false),
            (0x1000, false),
        ];
        for (fragment, tracked) in table {
            let expected = if tracked {
                Ok(20)
            } else {
                Err(Untracked::Fragment)
            };
            assert_eq!(found(0, 0x45, fragment, 40), expected);
        }
    }

    #[test]
    fn a_cut_header_is_short() {
        let bytes = [0x45; SIZE];
        for end in 0..SIZE {
            assert_eq!(transport(&bytes[..end], 0), Err(Untracked::Short));
        }
    }
}
