// SPDX-License-Identifier: GPL-2.0

//! The IPv6 header (RFC 8200) and the walk over its extension headers.
//!
//! C counterparts: `ipv6_get_l4proto`, and `ipv6_skip_exthdr` of `net/ipv6/exthdrs_core.c`.

use super::super::tuple::Addr;
use super::super::tuple::Family;
use super::Packet;
use super::Transport;
use super::Untracked;

/// Bytes of the fixed header.
pub const SIZE: u32 = 40;

/// Extension headers after which the walk gives up (`IP6_MAX_EXT_HDRS_CNT`).
pub const MAX_EXTENSIONS: u32 = 12;

/// The part of the fragment word that is the offset, in host order, with the two reserved bits cut
/// off but the offset's unit of eight kept.
const OFFSET_MASK: u16 = 0xfff8;

/// "Next header" numbers that are extension headers (IANA "Protocol Numbers").
mod next {
    pub(super) const HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTH: u8 = 51;
    pub(super) const NONE: u8 = 59;
    pub(super) const DEST: u8 = 60;
}

/// Finds the transport header behind the IPv6 header at `nhoff`.
///
/// The first fragment passes, later ones do not. ESP and everything unknown counts as a transport
/// header. The offset found may lie beyond the end when the last extension header overstates its
/// length; whoever reads there gets nothing.
pub fn transport<P: Packet + ?Sized>(packet: &P, nhoff: u32) -> Result<Transport, Untracked> {
    let [mut proto] = packet.read_at(nhoff, 6).ok_or(Untracked::Short)?;
    let mut offset = nhoff.checked_add(SIZE).ok_or(Untracked::Short)?;
    let mut walked = 0;
    loop {
        match proto {
            next::HOP | next::ROUTING | next::FRAGMENT | next::AUTH | next::DEST => {}
            next::NONE => return Err(Untracked::Extension),
            _ => {
                return Ok(Transport {
                    family: Family::V6,
                    proto,
                    offset,
                })
            }
        }
        if walked == MAX_EXTENSIONS {
            return Err(Untracked::Extension);
        }
        walked += 1;
        let [following, length] = packet.read(offset).ok_or(Untracked::Extension)?;
        let bytes = match proto {
            next::FRAGMENT => {
                let word = packet.read_at(offset, 2).ok_or(Untracked::Extension)?;
                if u16::from_be_bytes(word) & OFFSET_MASK != 0 {
                    return Err(Untracked::Fragment);
                }
                8
            }
            next::AUTH => (u32::from(length) + 2) * 4,
            _ => (u32::from(length) + 1) * 8,
        };
        offset = offset.checked_add(bytes).ok_or(Untracked::Extension)?;
        proto = following;
    }
}

/// Source and destination of the IPv6 header at `nhoff`.
#[inline]
pub fn addresses<P: Packet + ?Sized>(packet: &P, nhoff: u32) -> Option<(Addr, Addr)> {
    let src = packet.read_at(nhoff, 8)?;
    let dst = packet.read_at(nhoff, 24)?;
    Some((Addr::v6(src), Addr::v6(dst)))
}

/// The hop limit of the IPv6 header at `nhoff`.
#[inline]
pub fn hop_limit<P: Packet + ?Sized>(packet: &P, nhoff: u32) -> Option<u8> {
    packet.read_at(nhoff, 7).map(|[hops]: [u8; 1]| hops)
}

/// Whether an address is confined to its link: `fe80::/10`, and multicast of that scope.
#[inline]
pub const fn is_link_local(addr: &Addr) -> bool {
    let [a, b, _, _] = addr.0[0].to_ne_bytes();
    (a == 0xfe && b & 0xc0 == 0x80) || (a == 0xff && b & 0x0f == 2)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_wire_ipv6)
)]
mod tests {
    use super::*;

    /// The transport protocol and offset of a packet with this chain behind the fixed header, cut
    /// off `cut` bytes before the end.
    fn walk(first: u8, chain: &[u8], cut: usize) -> Result<(u8, u32), Untracked> {
        let mut bytes = [0; 40 + 128];
        let end = 40 + chain.len();
        bytes[6] = first;
        bytes[40..end].copy_from_slice(chain);
        transport(&bytes[..end - cut], 0).map(|t| (t.proto, t.offset))
    }

    #[test]
    fn extension_headers_are_skipped() {
        let no = Err(Untracked::Extension);
        assert_eq!(walk(6, &[], 0), Ok((6, 40)));
        assert_eq!(walk(50, &[], 0), Ok((50, 40)));
        assert_eq!(walk(0, &[17, 0, 0, 0, 0, 0, 0, 0], 0), Ok((17, 48)));
        assert_eq!(walk(43, &[17, 1], 0), Ok((17, 56)));
        assert_eq!(walk(60, &[17, 255], 0), Ok((17, 40 + 2048)));
        assert_eq!(walk(51, &[58, 4], 0), Ok((58, 64)));
        assert_eq!(walk(59, &[], 0), no);
        assert_eq!(walk(0, &[59, 0], 0), Err(Untracked::Extension));
        assert_eq!(walk(0, &[17, 0], 1), Err(Untracked::Extension));
    }

    #[test]
    fn only_later_fragments_are_refused() {
        assert_eq!(walk(44, &[17, 0, 0, 0], 0), Ok((17, 48)));
        // The length byte is reserved here.
        assert_eq!(walk(44, &[17, 9, 0, 0], 0), Ok((17, 48)));
        assert_eq!(walk(44, &[17, 0, 0, 7], 0), Ok((17, 48)));
        assert_eq!(walk(44, &[17, 0, 0, 8], 0), Err(Untracked::Fragment));
        assert_eq!(walk(44, &[17, 0, 0x80, 1], 0), Err(Untracked::Fragment));
        assert_eq!(walk(44, &[17, 0, 0, 0], 1), Err(Untracked::Extension));
    }

    #[test]
    fn thirteen_extension_headers_are_too_many() {
        let mut chain = [0; 128];
        chain[88] = 6;
        assert_eq!(walk(0, &chain[..96], 0), Ok((6, 40 + 96)));
        chain[88] = 0;
        chain[96] = 6;
        assert_eq!(walk(0, &chain[..104], 0), Err(Untracked::Extension));
    }

    #[test]
    fn the_fixed_header_is_needed_up_to_the_next_header_only() {
        let bytes = [6; 40];
        assert_eq!(transport(&bytes[..6], 0), Err(Untracked::Short));
        assert_eq!(transport(&bytes[..7], 0).map(|t| t.offset), Ok(40));
        assert_eq!(addresses(&bytes[..39], 0), None);
        assert!(addresses(&bytes[..40], 0).is_some());
    }

    #[test]
    fn link_local_scope() {
        let table = [
            ([0xfe, 0x80], true),
            ([0xfe, 0xbf], true),
            ([0xfe, 0xc0], false),
            ([0xff, 0x02], true),
            ([0xff, 0x12], true),
            ([0xff, 0x05], false),
            ([0x20, 0x01], false),
            ([0x00, 0x00], false),
        ];
        for ([a, b], expected) in table {
            let mut bytes = [0; 16];
            bytes[0] = a;
            bytes[1] = b;
            bytes[15] = 1;
            assert_eq!(is_link_local(&Addr::v6(bytes)), expected);
        }
    }
}
