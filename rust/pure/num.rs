// SPDX-License-Identifier: GPL-2.0

//! Number domains whose arithmetic wraps on purpose.

use core::fmt;

/// A direction of a connection.
///
/// The discriminants are those of `enum ip_conntrack_dir`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dir {
    /// The direction of the packet that opened the connection.
    Original = 0,
    /// The other one.
    Reply = 1,
}

impl Dir {
    /// Both directions, original first.
    pub const BOTH: [Dir; 2] = [Dir::Original, Dir::Reply];

    /// The direction that a raw byte denotes: zero is the original one.
    #[inline]
    pub const fn from_raw(raw: u8) -> Self {
        if raw == 0 {
            Dir::Original
        } else {
            Dir::Reply
        }
    }

    /// The opposite direction.
    #[inline]
    pub const fn opposite(self) -> Self {
        match self {
            Dir::Original => Dir::Reply,
            Dir::Reply => Dir::Original,
        }
    }

    /// An index into a two-element array.
    #[inline]
    pub const fn index(self) -> usize {
        match self {
            Dir::Original => 0,
            Dir::Reply => 1,
        }
    }
}

/// A TCP sequence number (RFC 9293, section 3.4): compared and added modulo 2^32.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Seq(pub u32);

impl Seq {
    /// The number `n` further on.
    #[inline]
    pub const fn plus(self, n: u32) -> Self {
        Seq(self.0.wrapping_add(n))
    }

    /// The number `n` before.
    #[inline]
    pub const fn minus(self, n: u32) -> Self {
        Seq(self.0.wrapping_sub(n))
    }

    /// The number of bytes from `earlier` to `self`, modulo 2^32.
    #[inline]
    pub const fn since(self, earlier: Seq) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether `self` lies before `other`.
    #[inline]
    pub const fn before(self, other: Seq) -> bool {
        signed(self.since(other)) < 0
    }

    /// Whether `self` lies after `other`.
    #[inline]
    pub const fn after(self, other: Seq) -> bool {
        other.before(self)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seq({})", self.0)
    }
}

/// The kernel's tick counter in full width (`unsigned long jiffies`). Valid for spans under half
/// its range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Jiffies(pub usize);

impl Jiffies {
    /// The point `ticks` later.
    #[inline]
    pub const fn plus(self, ticks: u32) -> Self {
        // Lossless: the kernel runs on machines with at least 32 bits.
        Jiffies(self.0.wrapping_add(ticks as usize))
    }

    /// Whether `self` lies after `other` (`time_after`).
    #[inline]
    pub const fn after(self, other: Jiffies) -> bool {
        isize::from_ne_bytes(other.0.wrapping_sub(self.0).to_ne_bytes()) < 0
    }

    /// The low 32 bits, which deadlines are kept in.
    #[inline]
    pub const fn low(self) -> Jiffies32 {
        let b = self.0.to_le_bytes();
        Jiffies32(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }
}

/// The low 32 bits of the kernel's tick counter; a point in time, or (with [`Jiffies32::until`]) a
/// way to spans of it. Valid for spans under 2^31 ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Jiffies32(pub u32);

impl Jiffies32 {
    /// The point `ticks` later.
    #[inline]
    pub const fn plus(self, ticks: u32) -> Self {
        Jiffies32(self.0.wrapping_add(ticks))
    }

    /// Ticks from `self` to `deadline`; negative once it has passed.
    #[inline]
    pub const fn until(self, deadline: Jiffies32) -> i32 {
        signed(deadline.0.wrapping_sub(self.0))
    }

    /// Ticks from `self` to `deadline`; zero once it has passed.
    #[inline]
    pub const fn left(self, deadline: Jiffies32) -> u32 {
        let ticks = self.until(deadline);
        if ticks < 0 {
            0
        } else {
            ticks.unsigned_abs()
        }
    }

    /// Whether `deadline` has been reached.
    #[inline]
    pub const fn reached(self, deadline: Jiffies32) -> bool {
        self.until(deadline) <= 0
    }
}

/// Two's complement reading of `n`: how a wrapped difference tells its sign.
#[inline]
const fn signed(n: u32) -> i32 {
    i32::from_ne_bytes(n.to_ne_bytes())
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_num)
)]
mod tests {
    use super::*;

    #[test]
    fn sequence_order_wraps() {
        let table = [
            (0, 1, true),
            (1, 0, false),
            (5, 5, false),
            (u32::MAX, 0, true),
            (0, u32::MAX, false),
            (0x7fff_ffff, 0xffff_fffe, true),
        ];
        for (a, b, before) in table {
            assert_eq!(Seq(a).before(Seq(b)), before);
            assert_eq!(Seq(b).after(Seq(a)), before);
        }
        // Half the range apart, each lies before the other: callers keep windows smaller.
        assert!(Seq(0).before(Seq(1 << 31)));
        assert!(Seq(1 << 31).before(Seq(0)));
    }

    #[test]
    fn deadlines_wrap() {
        let now = Jiffies32(u32::MAX - 1);
        assert_eq!(now.plus(3), Jiffies32(1));
        assert_eq!(now.until(now.plus(3)), 3);
        assert_eq!(now.left(now.plus(3)), 3);
        assert!(!now.reached(now.plus(1)));
        assert!(now.reached(now));
        assert!(now.plus(2).reached(now));
        assert_eq!(now.plus(2).left(now), 0);
        assert_eq!(Jiffies32(0).left(Jiffies32(1 << 31)), 0);
    }

    #[test]
    fn long_ticks_wrap() {
        let end = Jiffies(usize::MAX);
        assert!(end.plus(1).after(end));
        assert!(!end.after(end));
        assert!(!end.after(end.plus(1)));
        assert_eq!(end.low(), Jiffies32(u32::MAX));
        assert_eq!(end.plus(5).low(), Jiffies32(4));
    }

    #[test]
    fn directions() {
        for dir in Dir::BOTH {
            assert_eq!(dir.opposite().opposite(), dir);
            assert_eq!(dir.index() + dir.opposite().index(), 1);
        }
        assert_eq!(Dir::from_raw(0), Dir::Original);
        assert_eq!(Dir::from_raw(7), Dir::Reply);
    }
}
