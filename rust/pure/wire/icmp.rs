// SPDX-License-Identifier: GPL-2.0

//! The eight bytes that ICMP (RFC 792) and ICMPv6 (RFC 4443) messages begin with, and what their
//! types mean to tracking.
//!
//! C counterparts: `icmp_pkt_to_tuple`, `icmpv6_pkt_to_tuple` and the type maps of
//! `nf_conntrack_proto_icmp.c` and `nf_conntrack_proto_icmpv6.c`.

/// Bytes of the common header.
pub const SIZE: u32 = 8;

/// What a message's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message type.
    pub kind: u8,
    /// The code, a subtype.
    pub code: u8,
    /// The identifier in network order. Types without one have something else there; it is taken
    /// all the same.
    pub id: u16,
}

impl Header {
    /// Reads a header; every 8 bytes are one.
    #[inline]
    pub const fn parse(bytes: &[u8; 8]) -> Self {
        Header {
            kind: bytes[0],
            code: bytes[1],
            id: u16::from_ne_bytes([bytes[4], bytes[5]]),
        }
    }

    /// Type and code as a tuple's destination carries them.
    #[inline]
    pub const fn type_code(&self) -> u16 {
        u16::from_ne_bytes([self.kind, self.code])
    }
}

/// Message types of ICMP for IPv4.
pub mod v4 {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench.
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp request.
    pub const TIMESTAMP: u8 = 13;
    /// Timestamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;
    /// Information request.
    pub const INFO: u8 = 15;
    /// Information reply.
    pub const INFO_REPLY: u8 = 16;
    /// Address mask request.
    pub const MASK: u8 = 17;
    /// Address mask reply; the highest type that is known to tracking.
    pub const MASK_REPLY: u8 = 18;

    /// The type that answers `kind`, or that `kind` answers; `None` for messages that come alone.
    #[inline]
    pub const fn counterpart(kind: u8) -> Option<u8> {
        match kind {
            ECHO => Some(ECHO_REPLY),
            ECHO_REPLY => Some(ECHO),
            TIMESTAMP => Some(TIMESTAMP_REPLY),
            TIMESTAMP_REPLY => Some(TIMESTAMP),
            INFO => Some(INFO_REPLY),
            INFO_REPLY => Some(INFO),
            MASK => Some(MASK_REPLY),
            MASK_REPLY => Some(MASK),
            _ => None,
        }
    }

    /// Whether a message of this type asks for an answer, and so may open a connection.
    #[inline]
    pub const fn is_query(kind: u8) -> bool {
        matches!(kind, ECHO | TIMESTAMP | INFO | MASK)
    }

    /// Whether a message of this type quotes the packet that it complains about.
    #[inline]
    pub const fn is_error(kind: u8) -> bool {
        matches!(
            kind,
            UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM
        )
    }
}

/// Message types of ICMPv6.
pub mod v6 {
    /// Echo request; every lower type is an error.
    pub const ECHO: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Redirect (RFC 4861): quotes a packet, though it is no error.
    pub const REDIRECT: u8 = 137;
    /// Node information query (RFC 4620).
    pub const NODE_INFO: u8 = 139;
    /// Node information reply.
    pub const NODE_INFO_REPLY: u8 = 140;

    /// The type that answers `kind`, or that `kind` answers; `None` for messages that come alone.
    #[inline]
    pub const fn counterpart(kind: u8) -> Option<u8> {
        match kind {
            ECHO => Some(ECHO_REPLY),
            ECHO_REPLY => Some(ECHO),
            NODE_INFO => Some(NODE_INFO_REPLY),
            NODE_INFO_REPLY => Some(NODE_INFO),
            _ => None,
        }
    }

    /// Whether a message of this type asks for an answer, and so may open a connection.
    #[inline]
    pub const fn is_query(kind: u8) -> bool {
        matches!(kind, ECHO | NODE_INFO)
    }

    /// Whether a message of this type quotes the packet that it complains about.
    #[inline]
    pub const fn is_error(kind: u8) -> bool {
        kind < ECHO
    }

    /// Whether messages of this type keep the link itself running and are never tracked: group
    /// membership (130 to 132, 143), neighbour and router discovery (133 to 136), multicast router
    /// discovery (151, 152).
    #[inline]
    pub const fn is_housekeeping(kind: u8) -> bool {
        matches!(kind, 130..=136 | 143 | 151 | 152)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_wire_icmp)
)]
mod tests {
    use super::*;

    #[test]
    fn counterparts_come_in_pairs() {
        let mut pairs = (0, 0);
        for kind in 0..=u8::MAX {
            if let Some(other) = v4::counterpart(kind) {
                assert_eq!(v4::counterpart(other), Some(kind));
                assert!(v4::is_query(kind) != v4::is_query(other));
                assert!(!v4::is_error(kind));
                pairs.0 += 1;
            } else {
                assert!(!v4::is_query(kind));
            }
            if let Some(other) = v6::counterpart(kind) {
                assert_eq!(v6::counterpart(other), Some(kind));
                assert!(v6::is_query(kind) != v6::is_query(other));
                assert!(!v6::is_error(kind));
                assert!(!v6::is_housekeeping(kind));
                pairs.1 += 1;
            } else {
                assert!(!v6::is_query(kind));
            }
        }
        assert_eq!(pairs, (8, 4));
    }

    #[test]
    fn errors_and_housekeeping() {
        let count = |known: fn(u8) -> bool| (0..=u8::MAX).filter(|kind| known(*kind)).count();
        assert_eq!(count(v4::is_error), 5);
        assert_eq!(count(v6::is_error), 128);
        assert_eq!(count(v6::is_housekeeping), 10);
        assert!(!v6::is_housekeeping(v6::REDIRECT));
    }

    #[test]
    fn type_and_code_are_bytes() {
        let header = Header::parse(&[3, 1, 9, 9, 0x12, 0x34, 9, 9]);
        assert_eq!(header.id, 0x1234u16.to_be());
        assert_eq!(header.type_code().to_ne_bytes(), [3, 1]);
    }
}
