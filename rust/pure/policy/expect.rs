// SPDX-License-Identifier: GPL-2.0

//! Expectations: which packets they announce, and which of them may exist side by side.
//!
//! C counterparts: `nf_ct_exp_equal`, `expect_clash`, `expect_matches`, `__nf_ct_expect_check`.

use super::super::num::Jiffies32;
use super::super::tuple::Mask;
use super::super::tuple::Tuple;

/// The most expectations that a class of a helper may have at once (`NF_CT_EXPECT_MAX_CNT`).
pub const MOST_PER_CLASS: u32 = 255;

/// The flags of an expectation (`NF_CT_EXPECT_*`, user API but for [`Flags::DEAD`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Flags(pub u32);

impl Flags {
    /// Stays after a connection has answered to it.
    pub const PERMANENT: Flags = Flags(1);
    /// Announces nothing yet.
    pub const INACTIVE: Flags = Flags(2);
    /// A helper in user space made it.
    pub const USERSPACE: Flags = Flags(4);
    /// Withdrawn: as good as expired, until somebody comes by who may unlink it.
    pub const DEAD: Flags = Flags(8);

    /// Whether one of these flags is set.
    #[inline]
    pub const fn any(self, flags: Flags) -> bool {
        self.0 & flags.0 != 0
    }

    /// With these flags as well.
    #[inline]
    pub const fn with(self, flags: Flags) -> Flags {
        Flags(self.0 | flags.0)
    }
}

/// Whether an expectation announces nothing any more. It may still be linked, and counts.
#[inline]
pub const fn is_over(flags: Flags, deadline: Jiffies32, now: Jiffies32) -> bool {
    flags.any(Flags::DEAD) || now.reached(deadline)
}

/// Whether an expectation stays when a connection answers to it.
///
/// `consume` is false for connections that nobody will commit.
#[inline]
pub const fn outlives_match(flags: Flags, consume: bool) -> bool {
    flags.any(Flags::PERMANENT) || !consume
}

/// What an expectation announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The packet's tuple; [`Announced::mask`] tells which bits of its source count.
    pub tuple: Tuple,
    /// See [`Announced::tuple`].
    pub mask: Mask,
    /// The zone's number, in both directions.
    pub zone: u16,
}

impl Announced {
    /// Whether a packet with `tuple` in zone number `zone` is announced.
    #[inline]
    pub fn is(&self, tuple: &Tuple, zone: u16) -> bool {
        tuple.matches(&self.tuple, &self.mask) && self.zone == zone
    }

    /// Whether some packet could be announced by both.
    #[inline]
    fn overlaps(&self, other: &Announced) -> bool {
        self.tuple
            .matches(&other.tuple, &self.mask.and(&other.mask))
            && self.zone == other.zone
    }

    /// Whether both announce exactly the same packets.
    #[inline]
    fn equals(&self, other: &Announced) -> bool {
        self.tuple.same_flow(&other.tuple) && self.mask == other.mask && self.zone == other.zone
    }
}

/// What one expectation is to another in the same namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They may exist side by side.
    Apart,
    /// The same once more: the new one takes the place of the present one.
    Replaces,
    /// Announced already, for another master or class.
    Taken,
    /// A packet could be announced by both.
    Clashes,
}

/// What `new` is to the `present` one.
///
/// | same announcement | same master | same class | |
/// | --- | --- | --- | --- |
/// | yes | yes | yes | [`Relation::Replaces`] |
/// | yes | yes | no | [`Relation::Taken`] |
/// | yes | no | | [`Relation::Taken`] if `any_master`, else [`Relation::Clashes`] |
/// | no, but overlapping | | | [`Relation::Clashes`] |
///
/// `any_master` is `NF_CT_EXP_F_SKIP_MASTER`: SIP takes an announcement that somebody else made
/// for its own, and goes by the error which tells it so.
#[inline]
pub fn relation(
    present: &Announced,
    new: &Announced,
    same_master: bool,
    same_class: bool,
    any_master: bool,
) -> Relation {
    if (any_master || same_master) && present.equals(new) {
        if same_master && same_class {
            Relation::Replaces
        } else {
            Relation::Taken
        }
    } else if present.overlaps(new) {
        Relation::Clashes
    } else {
        Relation::Apart
    }
}

/// Whether a class with `count` expectations has no room for one more without an eviction.
#[inline]
pub const fn is_full(count: u32, most: u32) -> bool {
    count >= most
}

/// When an expectation ends whose class lasts `seconds`, zero meaning that its maker has set
/// the deadline already.
#[inline]
pub const fn deadline(made: Jiffies32, seconds: u32, hz: u32) -> Jiffies32 {
    made.plus(seconds.wrapping_mul(hz))
}

/// The limit of a class for which a helper asks for `wanted`, zero meaning the most there is;
/// `None` if that is too many.
#[inline]
pub const fn limit(wanted: u32) -> Option<u32> {
    match wanted {
        0 => Some(MOST_PER_CLASS),
        1..=MOST_PER_CLASS => Some(wanted),
        _ => None,
    }
}

/// The one that goes when a class is full: of those that are not over, the oldest.
///
/// Fed from the newest to the oldest, as a master lists them.
#[derive(Clone, Copy, Debug)]
pub struct Oldest<T>(Option<T>);

impl<T> Default for Oldest<T> {
    fn default() -> Self {
        Oldest(None)
    }
}

impl<T> Oldest<T> {
    /// Another one of the class, older than all before.
    #[inline]
    pub fn older(&mut self, one: T) {
        self.0 = Some(one);
    }

    /// The oldest, if the class, which has `count` now, is still full.
    #[inline]
    pub fn victim(self, count: u32, most: u32) -> Option<T> {
        self.0.filter(|_| is_full(count, most))
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_expect)
)]
mod tests {
    use super::super::super::tuple::{l3, proto, Addr, Destination, Source};
    use super::*;

    fn tuple(src: [u8; 4], sport: u16, dport: u16) -> Tuple {
        Tuple {
            src: Source {
                addr: Addr::v4(src),
                id: sport,
                l3: l3::IPV4,
            },
            dst: Destination {
                addr: Addr::v4([192, 0, 2, 1]),
                id: dport,
                proto: proto::TCP,
                dir: 0,
            },
        }
    }

    /// From this host, any port.
    fn from_host(src: [u8; 4], dport: u16) -> Announced {
        Announced {
            tuple: tuple(src, 0, dport),
            mask: Mask {
                addr: Addr::v4([255; 4]),
                id: 0,
            },
            zone: 0,
        }
    }

    /// From anywhere.
    fn from_anywhere(dport: u16) -> Announced {
        Announced {
            tuple: tuple([0; 4], 0, dport),
            mask: Mask::default(),
            zone: 0,
        }
    }

    const A: [u8; 4] = [198, 51, 100, 1];
    const B: [u8; 4] = [198, 51, 100, 2];

    #[test]
    fn the_mask_is_about_the_source() {
        let mut other_proto = tuple(A, 1, 21);
        other_proto.dst.proto = proto::UDP;
        let mut other_l3 = tuple(A, 1, 21);
        other_l3.src.l3 = l3::IPV6;
        // (announced, packet, zone of the packet, expected)
        let table = [
            (from_host(A, 21), tuple(A, 1, 21), 0, true),
            (from_host(A, 21), tuple(A, 65535, 21), 0, true),
            (from_host(A, 21), tuple(B, 1, 21), 0, false),
            (from_host(A, 21), tuple(A, 1, 22), 0, false),
            (from_host(A, 21), tuple(A, 1, 21), 1, false),
            (from_host(A, 21), other_proto, 0, false),
            (from_host(A, 21), other_l3, 0, false),
            (from_anywhere(21), tuple(A, 1, 21), 0, true),
            (from_anywhere(21), tuple(B, 9, 21), 0, true),
            (from_anywhere(21), tuple(B, 9, 22), 0, false),
            (from_anywhere(21), other_l3, 0, false),
        ];
        for (announced, packet, zone, expected) in table {
            assert_eq!(announced.is(&packet, zone), expected);
        }
    }

    #[test]
    fn relations() {
        let elsewhere = Announced {
            zone: 7,
            ..from_host(A, 21)
        };
        // (present, new, same master, same class, any master, expected)
        let table = [
            (
                from_host(A, 21),
                from_host(A, 21),
                true,
                true,
                false,
                Relation::Replaces,
            ),
            (
                from_host(A, 21),
                from_host(A, 21),
                true,
                true,
                true,
                Relation::Replaces,
            ),
            (
                from_host(A, 21),
                from_host(A, 21),
                true,
                false,
                false,
                Relation::Taken,
            ),
            (
                from_host(A, 21),
                from_host(A, 21),
                false,
                true,
                true,
                Relation::Taken,
            ),
            (
                from_host(A, 21),
                from_host(A, 21),
                false,
                true,
                false,
                Relation::Clashes,
            ),
            (
                from_host(A, 21),
                from_host(B, 21),
                true,
                true,
                false,
                Relation::Apart,
            ),
            (
                from_host(A, 21),
                from_host(A, 22),
                true,
                true,
                false,
                Relation::Apart,
            ),
            (
                from_host(A, 21),
                from_anywhere(21),
                true,
                true,
                false,
                Relation::Clashes,
            ),
            (
                from_anywhere(21),
                from_host(A, 21),
                true,
                true,
                true,
                Relation::Clashes,
            ),
            (
                from_anywhere(22),
                from_host(A, 21),
                true,
                true,
                true,
                Relation::Apart,
            ),
            (
                elsewhere,
                from_host(A, 21),
                true,
                true,
                false,
                Relation::Apart,
            ),
            (
                elsewhere,
                from_host(A, 21),
                false,
                true,
                true,
                Relation::Apart,
            ),
        ];
        for (present, new, same_master, same_class, any_master, expected) in table {
            let is = relation(&present, &new, same_master, same_class, any_master);
            assert_eq!(is, expected);
        }
    }

    #[test]
    fn the_end_comes_by_clock_or_by_hand() {
        let now = Jiffies32(5);
        let table = [
            (Flags::default(), now.plus(1), false),
            (Flags::PERMANENT, now.plus(1), false),
            (Flags::PERMANENT, now, true),
            (Flags::default(), Jiffies32(u32::MAX), true),
            (Flags::DEAD, now.plus(1), true),
        ];
        for (flags, deadline, expected) in table {
            assert_eq!(is_over(flags, deadline, now), expected);
        }
        assert_eq!(deadline(Jiffies32(u32::MAX), 2, 250), Jiffies32(499));
        assert_eq!(deadline(now, 0, 250), now);
    }

    #[test]
    fn permanent_ones_and_uncommitted_matches_stay() {
        assert!(!outlives_match(Flags::default(), true));
        assert!(outlives_match(Flags::PERMANENT, true));
        assert!(outlives_match(Flags::default(), false));
    }

    #[test]
    fn limits() {
        let table = [
            (0, Some(255)),
            (1, Some(1)),
            (255, Some(255)),
            (256, None),
            (u32::MAX, None),
        ];
        for (wanted, expected) in table {
            assert_eq!(limit(wanted), expected);
        }
        assert!(!is_full(254, 255));
        assert!(is_full(255, 255));
        assert!(is_full(256, 255));
    }

    #[test]
    fn the_oldest_goes() {
        let mut oldest = Oldest::default();
        assert_eq!(oldest.victim(9, 1), None);
        for age in [3, 2, 1] {
            oldest.older(age);
        }
        assert_eq!(oldest.victim(3, 3), Some(1));
        assert_eq!(oldest.victim(2, 3), None);
    }
}
