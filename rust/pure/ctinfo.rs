// SPDX-License-Identifier: GPL-2.0

//! How a packet relates to its connection.
//!
//! C header: [`include/uapi/linux/netfilter/nf_conntrack_common.h`](srctree/include/uapi/linux/netfilter/nf_conntrack_common.h)

use super::num::Dir;
use super::status::Status;

/// How a packet relates to its connection; the numbers travel in the low bits of `skb->_nfct`
/// (`enum ip_conntrack_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CtInfo {
    /// In the original direction of a connection that was answered.
    Established = 0,
    /// Opens an expected connection, or is an ICMP error about the original direction.
    Related = 1,
    /// In the original direction of a connection without an answer so far.
    New = 2,
    /// In the reply direction.
    EstablishedReply = 3,
    /// An ICMP error about the reply direction.
    RelatedReply = 4,
    /// Deliberately not tracked; has no connection.
    Untracked = 7,
}

impl CtInfo {
    /// What a packet is that matched the tuple of direction `dir` of an entry with this `status`.
    ///
    /// | direction | status | result |
    /// | --- | --- | --- |
    /// | reply | any | `EstablishedReply` |
    /// | original | answered | `Established` |
    /// | original | expected, not answered | `Related` |
    /// | original | neither | `New` |
    #[inline]
    pub const fn of(dir: Dir, status: Status) -> Self {
        match dir {
            Dir::Reply => CtInfo::EstablishedReply,
            Dir::Original if status.has(Status::SEEN_REPLY) => CtInfo::Established,
            Dir::Original if status.has(Status::EXPECTED) => CtInfo::Related,
            Dir::Original => CtInfo::New,
        }
    }

    /// What an ICMP error is that quotes a packet answered by direction `dir`.
    #[inline]
    pub const fn related(dir: Dir) -> Self {
        match dir {
            Dir::Original => CtInfo::Related,
            Dir::Reply => CtInfo::RelatedReply,
        }
    }

    /// The value that a raw number denotes; `None` for the numbers without a meaning.
    #[inline]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            0 => Some(CtInfo::Established),
            1 => Some(CtInfo::Related),
            2 => Some(CtInfo::New),
            3 => Some(CtInfo::EstablishedReply),
            4 => Some(CtInfo::RelatedReply),
            7 => Some(CtInfo::Untracked),
            _ => None,
        }
    }

    /// The number in `skb->_nfct`.
    #[inline]
    pub const fn raw(self) -> u8 {
        self as u8
    }

    /// The direction of the packet. Untracked counts as reply, as `CTINFO2DIR` has it.
    #[inline]
    pub const fn dir(self) -> Dir {
        match self {
            CtInfo::Established | CtInfo::Related | CtInfo::New => Dir::Original,
            CtInfo::EstablishedReply | CtInfo::RelatedReply | CtInfo::Untracked => Dir::Reply,
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_ctinfo)
)]
mod tests {
    use super::*;

    #[test]
    fn direction_and_status_decide() {
        let none = Status(0);
        let table = [
            (Dir::Original, none, CtInfo::New),
            (Dir::Original, Status::EXPECTED, CtInfo::Related),
            (Dir::Original, Status::SEEN_REPLY, CtInfo::Established),
            (
                Dir::Original,
                Status::SEEN_REPLY | Status::EXPECTED,
                CtInfo::Established,
            ),
            (Dir::Reply, none, CtInfo::EstablishedReply),
            (Dir::Reply, Status::EXPECTED, CtInfo::EstablishedReply),
        ];
        for (dir, status, expected) in table {
            assert_eq!(CtInfo::of(dir, status), expected);
            assert_eq!(expected.dir(), dir);
        }
    }

    #[test]
    fn raw_numbers_come_back() {
        let mut known = 0;
        for raw in 0..=u8::MAX {
            if let Some(info) = CtInfo::from_raw(raw) {
                assert_eq!(info.raw(), raw);
                known += 1;
            }
        }
        assert_eq!(known, 6);
    }

    #[test]
    fn errors_keep_the_direction() {
        for dir in Dir::BOTH {
            assert_eq!(CtInfo::related(dir).dir(), dir);
        }
    }
}
