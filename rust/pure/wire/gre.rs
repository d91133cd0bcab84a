// SPDX-License-Identifier: GPL-2.0

//! The GRE header: version 1 is PPTP's variant (RFC 2637) with a call id; everything else has no
//! part that tells flows apart.
//!
//! C counterpart: `gre_pkt_to_tuple`.

use super::Packet;

/// The version in the second byte.
const VERSION_MASK: u8 = 0x07;
/// "Enhanced GRE".
const VERSION_PPTP: u8 = 1;
/// The ethertype of PPP.
const PPP: [u8; 2] = [0x88, 0x0b];

/// What tracking learns from a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Nothing: another version, or cut off before the call id.
    Plain,
    /// A PPTP call; the receiver's call id in network order.
    Call(u16),
    /// Version 1 without PPP inside: not trackable.
    NotPpp,
}

/// Reads the header at `offset`.
#[inline]
pub fn parse<P: Packet + ?Sized>(packet: &P, offset: u32) -> Header {
    match packet.read(offset) {
        Some([_, version, _, _]) if version & VERSION_MASK == VERSION_PPTP => {}
        _ => return Header::Plain,
    }
    match packet.read(offset) {
        None => Header::Plain,
        Some([_, _, p0, p1, _, _, c0, c1]) if [p0, p1] == PPP => {
            Header::Call(u16::from_ne_bytes([c0, c1]))
        }
        Some(_) => Header::NotPpp,
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_wire_gre)
)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_calls_have_a_key() {
        let call = [0x30, 0x81, 0x88, 0x0b, 0, 4, 0xab, 0xcd];
        let key = Header::Call(u16::from_ne_bytes([0xab, 0xcd]));
        for end in 0..=call.len() {
            let expected = if end == 8 { key } else { Header::Plain };
            assert_eq!(parse(&call[..end], 0), expected);
        }
    }

    #[test]
    fn version_and_payload() {
        // (flags and version, payload type, result for a call id of zero)
        let table = [
            (0x01, [0x88, 0x0b], Header::Call(0)),
            (0xf9, [0x88, 0x0b], Header::Call(0)),
            (0x01, [0x08, 0x00], Header::NotPpp),
            (0x00, [0x88, 0x0b], Header::Plain),
            (0x00, [0x08, 0x00], Header::Plain),
            (0x03, [0x88, 0x0b], Header::Plain),
        ];
        for (version, [p0, p1], expected) in table {
            assert_eq!(parse(&[0, version, p0, p1, 0, 0, 0, 0][..], 0), expected);
        }
        assert_eq!(parse(&[0u8; 8][..], 1), Header::Plain);
    }
}
