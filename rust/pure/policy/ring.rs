// SPDX-License-Identifier: GPL-2.0

//! Hints at entries that may go, in the order in which they came.
//!
//! A hint is a word that names an entry without keeping it. Hints of a class stand in a ring: two
//! counters that only grow, and a place for each number modulo the capacity. A ring that is full
//! loses its oldest hint. What was there before the rings were stands in a backlog, sorted, of
//! which each class has a [`Span`].
//!
//! Only the arithmetic is here; who may load and store what is in `engine::reclaim`.

use super::class::Class;

/// Names an entry: the hash of its original tuple before scaling, and a tag from its place in
/// memory. Never zero, which is the absence of a hint.
///
/// As a number it sorts by class, then by how long the entry has been idle, longest first, then by
/// where it is: who evicts neighbours finds more of them in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Hint(u64);

/// Bits of a sort key that say how idle.
const IDLE_BITS: u32 = 13;
/// The most idle that fits.
const IDLE_MOST: u32 = (1 << IDLE_BITS) - 1;

impl Hint {
    /// Names the entry at `address` whose original tuple has this `hash`.
    ///
    /// Until it is ranked it has more bits of the address, see [`Hint::address`].
    #[inline]
    pub const fn new(hash: u32, address: usize) -> Self {
        Hint(Self::more_of(address) << 48 | (Self::tag_of(address) as u64) << 32 | hash as u64)
    }

    /// Where the entry is, if it is in the same 128 GB as the one at `near` and the hint was not
    /// ranked: a guess, for the cache.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn address(self, near: usize) -> usize {
        let more = (self.0 & !Self::ANSWERED) >> 48;
        let tag = self.0 >> 32 & 0xfffe;
        let low = tag << 7 | (more & 1) << 7 | (more >> 1) << 23;
        (near as u64 >> 37 << 37 | low) as usize
    }

    /// The bit of the address that the tag does without, and fourteen more.
    #[inline]
    const fn more_of(address: usize) -> u64 {
        let address = address as u64;
        address >> 7 & 1 | (address >> 23 & 0x3fff) << 1
    }

    /// Of a hint that was not ranked: its entry has been answered.
    const ANSWERED: u64 = 1 << 63;

    /// The same, of an entry that has been answered.
    #[inline]
    pub const fn answered(self) -> Self {
        Hint(self.0 | Self::ANSWERED)
    }

    /// Whether a hint that was not ranked, or was for the unreplied, says so.
    #[inline]
    pub const fn is_answered(self) -> bool {
        self.0 & Self::ANSWERED != 0
    }

    /// The same, for the queue of `class`, to be sorted.
    #[inline]
    pub const fn ranked(self, class: Class, idle: u32) -> Self {
        let class = match class.queue() {
            Some(queue) => queue as u64,
            None => 7,
        };
        let key = class << IDLE_BITS | (IDLE_MOST - coarse(idle)) as u64;
        Hint(self.0 & 0xffff_ffff_ffff | key << 48)
    }

    /// The queue that it was ranked for.
    #[inline]
    pub const fn queue(self) -> usize {
        (self.0 >> (48 + IDLE_BITS)) as usize
    }

    /// The hint of a word that was stored.
    #[inline]
    pub const fn from_word(word: u64) -> Option<Self> {
        match word {
            0 => None,
            word => Some(Hint(word)),
        }
    }

    /// To be stored.
    #[inline]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The hash.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn hash(self) -> u32 {
        self.0 as u32
    }

    /// Whether the entry at `address` may be the one.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn may_be(self, address: usize) -> bool {
        (self.0 >> 32) as u16 == Self::tag_of(address)
    }

    /// Entries are 256 bytes apart.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    const fn tag_of(address: usize) -> u16 {
        (address >> 7) as u16 | 1
    }
}

/// `ticks` with eight significant bits: keeps the order, and stays under [`IDLE_MOST`].
const fn coarse(ticks: u32) -> u32 {
    match ticks.checked_ilog2() {
        None | Some(0..8) => ticks,
        Some(top) => {
            let shift = top.wrapping_sub(8);
            // The upper nine bits, of which the first is set.
            (ticks >> shift).wrapping_add(shift.wrapping_mul(256))
        }
    }
}

/// How many hints a ring holds for entries of a class, when `max` of them may exist.
///
/// With [`backlog`] they are two for each entry: 16 bytes.
pub const fn capacity(class: Class, max: u32) -> u32 {
    let share = match class {
        // One for each entry: nothing is lost that is younger than a whole table.
        Class::Unreplied => max,
        Class::Closed => max / 4,
        Class::Closing | Class::Answered => max / 8,
        // Found by the worker only.
        Class::Idle | Class::Expired | Class::Active => return 0,
    };
    within_bounds(share)
}

/// How many hints the backlog holds.
pub const fn backlog(max: u32) -> u32 {
    within_bounds(max / 2)
}

/// No ring is smaller.
const LEAST: u32 = 16;
/// None is larger: the kernel gives less than 2 GiB at a time.
const MOST: u32 = i32::MAX as u32 / (u64::BITS / 8);

const fn within_bounds(hints: u32) -> u32 {
    if hints < LEAST {
        LEAST
    } else if hints > MOST {
        MOST
    } else {
        hints
    }
}

/// The number of the oldest hint that is still there, in a ring of `capacity` places from which
/// all before number `head` were taken and into which all before `tail` were put.
#[inline]
pub const fn oldest(head: u64, tail: u64, capacity: u32) -> Option<u64> {
    let kept = tail.saturating_sub(capacity as u64);
    let first = if head < kept { kept } else { head };
    if first < tail {
        Some(first)
    } else {
        None
    }
}

/// The place of a number, if the ring has places.
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub const fn place(number: u64, capacity: u32) -> Option<usize> {
    match number.checked_rem(capacity as u64) {
        Some(place) => Some(place as usize),
        None => None,
    }
}

/// A part of the backlog: from the next place to take to behind the last one. One word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Span(u64);

impl Span {
    /// From `next` to before `end`.
    #[inline]
    pub const fn new(next: u32, end: u32) -> Self {
        Span((next as u64) << 32 | end as u64)
    }

    /// Of a word that was stored.
    #[inline]
    pub const fn from_word(word: u64) -> Self {
        Span(word)
    }

    /// To be stored.
    #[inline]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// How many places are left.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn left(self) -> u32 {
        (self.0 as u32).saturating_sub((self.0 >> 32) as u32)
    }

    /// About `count` of the places that are left, spread evenly.
    #[allow(clippy::cast_possible_truncation)]
    pub fn some(self, count: u32) -> impl Iterator<Item = usize> {
        let (next, end) = ((self.0 >> 32) as u32, self.0 as u32);
        let step = self.left().div_ceil(count.max(1)).max(1);
        (next..end)
            .step_by(step as usize)
            .map(|place| place as usize)
    }

    /// The place that is taken after `ahead` others.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn peek(self, ahead: u32) -> Option<usize> {
        if ahead < self.left() {
            Some(((self.0 >> 32) as u32).wrapping_add(ahead) as usize)
        } else {
            None
        }
    }

    /// The next place, and what is left without it.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn take(self) -> Option<(usize, Span)> {
        let (next, end) = ((self.0 >> 32) as u32, self.0 as u32);
        if next < end {
            Some((next as usize, Span::new(next.wrapping_add(1), end)))
        } else {
            None
        }
    }
}

/// What becomes of a hint that was taken, and of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The entry goes.
    Evict,
    /// The entry has risen to this class, whose turn comes later.
    Move(Class),
    /// The hint is of no more use.
    Drop,
}

/// The fate of an entry of class `is` whose hint stood in the queue of class `queued`.
#[inline]
pub fn fate(queued: Class, is: Class) -> Fate {
    if is == Class::Active {
        Fate::Drop
    } else if is <= queued {
        Fate::Evict
    } else {
        Fate::Move(is)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_ring)
)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_entries() {
        let address = 0x0123_4567_89ab_cd00;
        let hint = Hint::new(u32::MAX, address);
        assert_eq!(hint.hash(), u32::MAX);
        assert!(hint.may_be(address));
        assert!(!hint.may_be(address + 256) && !hint.may_be(address - 256));
        for high in [0, 0x80] {
            let hint = Hint::new(7, address | high);
            assert_eq!(hint.address(0x0123_4567_8000_0080), address | high);
            assert!(!hint.is_answered() && hint.answered().is_answered());
            assert_eq!(hint.answered().address(address), address | high);
            assert!(hint.answered().may_be(address | high));
        }
        assert!(!hint.ranked(Class::Unreplied, u32::MAX).is_answered());
        assert!(Hint::new(0, 0).word() != 0);
        assert!(Hint::from_word(0).is_none());
        assert_eq!(Hint::from_word(hint.word()), Some(hint));
        let ranked = hint.ranked(Class::Idle, 7);
        assert!(ranked.may_be(address));
        assert_eq!(ranked.hash(), u32::MAX);
        assert_eq!(ranked.queue(), 4);
        // Ranked again.
        assert_eq!(ranked.ranked(Class::Closed, 7).queue(), 0);
    }

    #[test]
    fn hints_sort_by_class_then_longest_idle() {
        let hint = |class, idle| Hint::new(5, 0).ranked(class, idle);
        let sorted = [
            hint(Class::Closed, 9),
            hint(Class::Closed, 8),
            hint(Class::Closing, u32::MAX),
            hint(Class::Closing, 1 << 31),
            hint(Class::Unreplied, 1000),
            hint(Class::Unreplied, 998),
            hint(Class::Answered, 0),
            hint(Class::Idle, 1),
        ];
        assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]));
        // Where the hash decides nothing.
        let at = |hash, address| Hint::new(hash, address).ranked(Class::Closed, 8);
        assert!(at(7, 0x100) < at(5, 0x200));
    }

    #[test]
    fn idle_times_keep_their_order() {
        let table = [
            (0, 0),
            (1, 1),
            (255, 255),
            (256, 256),
            (511, 511),
            (512, 512),
            (513, 512),
            (514, 513),
            (u32::MAX, 511 + 23 * 256),
        ];
        for (ticks, expected) in table {
            assert_eq!(coarse(ticks), expected);
            assert!(coarse(ticks) < IDLE_MOST);
        }
    }

    #[test]
    fn the_oldest() {
        let table = [
            (0, 0, 4, None),
            (0, 1, 4, Some(0)),
            (3, 4, 4, Some(3)),
            (0, 5, 4, Some(1)),
            (9, 9, 4, None),
            // Taken by somebody who saw a later end.
            (9, 8, 4, None),
            (u64::MAX - 9, u64::MAX, 4, Some(u64::MAX - 4)),
            (0, 7, 0, None),
        ];
        for (head, tail, capacity, expected) in table {
            assert_eq!(oldest(head, tail, capacity), expected);
        }
        assert_eq!(place(7, 4), Some(3));
        assert_eq!(place(7, 0), None);
    }

    #[test]
    fn sixteen_bytes_an_entry() {
        for max in [1 << 10, 65_536, 262_144, 1_000_000] {
            let rings: u32 = Class::QUEUED
                .into_iter()
                .map(|class| capacity(class, max))
                .sum();
            assert!((rings + backlog(max)) * 8 <= max * 16);
        }
        assert_eq!(capacity(Class::Unreplied, 0), LEAST);
        assert_eq!(capacity(Class::Unreplied, u32::MAX), MOST);
        assert_eq!(backlog(u32::MAX), MOST);
        assert!(u64::from(MOST) * 8 <= i32::MAX as u64);
        assert_eq!(capacity(Class::Idle, 1000), 0);
    }

    #[test]
    fn spans_are_taken_from_the_front() {
        let (place, rest) = Span::new(3, 5).take().unwrap_or((0, Span::new(0, 0)));
        assert_eq!(place, 3);
        assert_eq!(rest, Span::new(4, 5));
        assert_eq!(rest.left(), 1);
        let ahead = [0, 1, 2].map(|ahead| Span::new(3, 5).peek(ahead));
        assert_eq!(ahead, [Some(3), Some(4), None]);
        assert_eq!(Span::new(5, 3).left(), 0);
        assert!(Span::new(5, 5).take().is_none());
        assert!(Span::from_word(0).take().is_none());
        assert!(Span::new(u32::MAX, u32::MAX).take().is_none());
    }

    #[test]
    fn fates() {
        use Class::*;
        let table = [
            (Unreplied, Unreplied, Fate::Evict),
            (Unreplied, Expired, Fate::Evict),
            (Unreplied, Closed, Fate::Evict),
            (Unreplied, Answered, Fate::Move(Answered)),
            (Unreplied, Idle, Fate::Move(Idle)),
            (Closed, Unreplied, Fate::Move(Unreplied)),
            (Unreplied, Active, Fate::Drop),
            (Idle, Active, Fate::Drop),
        ];
        for (queued, is, expected) in table {
            assert_eq!(fate(queued, is), expected);
        }
    }
}
