// SPDX-License-Identifier: GPL-2.0

//! The UDP header (RFC 768) and the checks before tracking.
//!
//! C counterpart: `udp_error`.

use core::ffi::CStr;
use core::fmt;

use super::Packet;

/// Bytes of the header.
pub const SIZE: u32 = 8;

/// Why a datagram is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// The header is cut off.
    Short,
    /// The length field is smaller than the header, or larger than what is there.
    Malformed,
    /// The checksum does not hold.
    BadChecksum,
}

impl Reject {
    /// The text for the log of invalid packets.
    #[inline]
    pub const fn text(self) -> &'static CStr {
        match self {
            Reject::Short => c"short packet",
            Reject::Malformed => c"truncated/malformed packet",
            Reject::BadChecksum => c"bad checksum",
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_text(f, self.text())
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Header and payload in bytes; zero in a segmentation-offloaded packet too large for 16 bits.
    pub length: u16,
    /// Whether there is a checksum to verify.
    pub has_checksum: bool,
}

impl Header {
    /// Reads a header; every 8 bytes are one.
    #[inline]
    pub const fn parse(bytes: &[u8; 8]) -> Self {
        Header {
            length: u16::from_be_bytes([bytes[4], bytes[5]]),
            has_checksum: bytes[6] != 0 || bytes[7] != 0,
        }
    }

    /// Whether the length field fits a datagram with `there` bytes in the packet, header included.
    /// `gso` tells that the packet waits for segmentation, where a zero length stands for all of
    /// it.
    #[inline]
    pub const fn length_fits(&self, there: u32, gso: bool) -> bool {
        let length = if self.length == 0 && gso {
            there
        } else {
            self.length as u32
        };
        SIZE <= length && length <= there
    }
}

/// Checks the datagram at `dataoff`.
///
/// `checksum_bad` is asked last, and only for a datagram that carries a checksum; it also knows
/// whether the hook and the settings want verification at all.
#[inline]
pub fn check<P: Packet + ?Sized>(
    packet: &P,
    dataoff: u32,
    gso: bool,
    checksum_bad: impl FnOnce() -> bool,
) -> Result<(), Reject> {
    let bytes = packet.read(dataoff).ok_or(Reject::Short)?;
    let header = Header::parse(&bytes);
    let there = packet.size().saturating_sub(dataoff);
    if !header.length_fits(there, gso) {
        Err(Reject::Malformed)
    } else if header.has_checksum && checksum_bad() {
        Err(Reject::BadChecksum)
    } else {
        Ok(())
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_wire_udp)
)]
mod tests {
    use super::*;

    /// The result for a datagram of `there` bytes at offset four.
    fn of(there: usize, length: u16, sum: u16, gso: bool, bad: bool) -> Result<(), Reject> {
        let mut bytes = [0; 64];
        bytes[8..10].copy_from_slice(&length.to_be_bytes());
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        check(&bytes[..4 + there], 4, gso, || bad)
    }

    #[test]
    fn length_and_checksum() {
        let table = [
            (7, 8, 1, false, false, Err(Reject::Short)),
            (8, 8, 1, false, false, Ok(())),
            (8, 7, 1, false, false, Err(Reject::Malformed)),
            (8, 9, 1, false, false, Err(Reject::Malformed)),
            (20, 9, 1, false, false, Ok(())),
            (20, 0, 1, false, false, Err(Reject::Malformed)),
            (20, 0, 1, true, false, Ok(())),
            (20, 21, 1, true, false, Err(Reject::Malformed)),
            (20, 20, 0, false, true, Ok(())),
            (20, 20, 1, false, true, Err(Reject::BadChecksum)),
            (20, 20, 0xff00, false, true, Err(Reject::BadChecksum)),
            (20, 20, 0x00ff, false, true, Err(Reject::BadChecksum)),
            // The length comes first.
            (20, 21, 1, false, true, Err(Reject::Malformed)),
        ];
        for (there, length, sum, gso, bad, expected) in table {
            assert_eq!(of(there, length, sum, gso, bad), expected);
        }
    }
}
