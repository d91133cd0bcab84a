// SPDX-License-Identifier: GPL-2.0

//! Who pays when only proven entries are left: the source that has the most of them.
//!
//! A botnet completes its handshakes, so that all of its entries are proven. Sources, which are
//! networks of a set length, have to share: who has the most loses its longest idle entry to one
//! who has at least two fewer, which is how shares become as equal as they can. A source that is
//! among the largest itself pays with an entry of its own.
//!
//! The worker notes every proven entry as a [`Record`], sorts them, and makes a plan of whom to
//! take in which order, as deep as [`Depth`] says. Only the arithmetic is here; the plan is
//! `linux::plan`'s, who makes and uses it `engine::fair`.
//!
//! Unproven entries are no part of this: they go in the order of [`class`](super::class). But they
//! need places in which to become proven, or every newcomer would push out the one before. So in a
//! full table proven entries leave them [`probation`] places, for which [`Floor`] says who pays.

use super::super::tuple::Addr;
use super::super::tuple::Family;
use super::ring::Hint;

/// A proven entry: the keyed hash of the source that pays for it, and a hint that was ranked. Sorts
/// by source, then by idle time, longest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Record(pub [u64; 2]);

impl Record {
    /// Of an entry.
    #[inline]
    pub const fn new(source: u64, hint: Hint) -> Self {
        Record([source, hint.word()])
    }

    /// Who pays for it.
    #[inline]
    pub const fn source(self) -> u64 {
        self.0[0]
    }

    /// The hint, as it was stored.
    #[inline]
    pub const fn hint(self) -> u64 {
        self.0[1]
    }
}

/// The sources of sorted records, each with its own.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a>(&'a [Record]);

impl<'a> Sources<'a> {
    /// Of records that are sorted.
    pub const fn new(sorted: &'a [Record]) -> Self {
        Sources(sorted)
    }

    /// The number of entries of each.
    pub fn counts(self) -> impl Iterator<Item = u32> + Clone + 'a {
        self.map(|records| u32::try_from(records.len()).unwrap_or(u32::MAX))
    }
}

impl<'a> Iterator for Sources<'a> {
    type Item = &'a [Record];

    fn next(&mut self) -> Option<&'a [Record]> {
        let source = self.0.first()?.source();
        let end = self.0.partition_point(|record| record.source() <= source);
        let (own, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        Some(own)
    }
}

/// How deep a plan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Sources with more than that are known to the plan, the others not.
    known: u32,
    /// Sources with at least that lose entries until they have one less.
    least: u32,
    /// So many go one further.
    spare: usize,
}

impl Depth {
    /// A plan with at most so many `shares`, one for each source that it knows, and `victims`.
    pub fn of(counts: impl Iterator<Item = u32> + Clone, shares: usize, victims: usize) -> Self {
        let most = counts.clone().max().unwrap_or(0);
        let known = lowest(0, most, |level| {
            counts.clone().filter(|count| *count > level).count() <= shares
        });
        let taken = |least: u32| {
            counts.clone().fold(0usize, |sum, count| {
                let own = u32::saturating_sub(count.saturating_add(1), least);
                sum.saturating_add(usize::try_from(own).unwrap_or(usize::MAX))
            })
        };
        // Who is not known may have `known`, and has to have two less than who pays.
        let floor = known.saturating_add(2);
        let least = lowest(floor, most.saturating_add(1).max(floor), |least| {
            taken(least) <= victims
        });
        let spare = if least > floor {
            victims.saturating_sub(taken(least))
        } else {
            0
        };
        Depth {
            known,
            least,
            spare,
        }
    }

    /// How many entries a source has at most that the plan does not know.
    pub const fn unknown(&self) -> u32 {
        self.known
    }

    /// Whether the plan knows a source with so many entries.
    pub const fn knows(&self, count: u32) -> bool {
        count > self.known
    }

    /// How many entries the next source loses at most, which has `count` of them.
    pub fn next(&mut self, count: u32) -> u32 {
        let own = count.saturating_add(1).saturating_sub(self.least);
        if self.spare > 0 && count.saturating_add(1) >= self.least {
            self.spare = self.spare.saturating_sub(1);
            own.saturating_add(1)
        } else {
            own
        }
    }
}

/// The lowest number from `low` to `high` that will do, if all above it do, too. `high` if none.
fn lowest(mut low: u32, mut high: u32, will_do: impl Fn(u32) -> bool) -> u32 {
    while low < high {
        let middle = low.wrapping_add(high.wrapping_sub(low) / 2);
        if will_do(middle) {
            high = middle;
        } else {
            low = middle.wrapping_add(1);
        }
    }
    low
}

/// Whether a source that has `most` entries gives one to a source that has `own` and gets another.
#[inline]
pub const fn pays(most: u32, own: u32) -> bool {
    most.saturating_sub(own) >= 2
}

/// A turn of a plan: whose, and what it has when its turn comes. As a number it sorts by that, most
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Turn(u64);

impl Turn {
    /// The turn of the source number `share`, when it has `level` entries.
    pub const fn new(level: u32, share: u32) -> Self {
        Turn((!level as u64) << 32 | share as u64)
    }

    /// Of a word that was stored.
    #[inline]
    pub const fn from_word(word: u64) -> Self {
        Turn(word)
    }

    /// To be stored, and sorted.
    #[inline]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// What the source has when its turn comes.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn level(self) -> u32 {
        !((self.0 >> 32) as u32)
    }

    /// Which source.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn share(self) -> usize {
        self.0 as u32 as usize
    }
}

/// Places for the unproven, of `max`, that the proven leave them when they share.
#[inline]
pub const fn probation(max: u32) -> u32 {
    let usual = max / 64;
    if usual >= 4 {
        usual
    } else if max / 4 < 4 {
        max / 4
    } else {
        4
    }
}

/// Whether proven entries fill the table but for [`probation`], when of `count` entries `spare` may
/// go.
#[inline]
pub const fn is_crowded(count: u32, spare: u32, max: u32) -> bool {
    count.saturating_sub(spare) > max.saturating_sub(probation(max))
}

/// Whether as good as all places are taken.
#[inline]
const fn is_full(count: u32, max: u32) -> bool {
    count >= max.saturating_sub(max / 1024)
}

/// Whose proven entries go so that the unproven have their [`probation`] places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Floor {
    /// Nobody's: the unproven have them, or the table has room.
    Unheld = 0,
    /// Those of sources that have more than an equal share. While something unproven is left,
    /// nobody else need give anything up.
    Large = 1,
    /// Those of any source that has more than who is proven: somebody found nothing unproven left.
    All = 2,
}

impl Floor {
    /// What [`Self::word`] said.
    #[inline]
    pub const fn from_word(word: u32) -> Self {
        match word {
            1 => Floor::Large,
            2 => Floor::All,
            _ => Floor::Unheld,
        }
    }

    /// To be stored.
    #[inline]
    pub const fn word(self) -> u32 {
        self as u32
    }

    /// What it is from now on, when one more entry is proven, and of `count` entries `spare` may go.
    /// Once it is held it is so until the unproven have all of their places.
    #[inline]
    pub const fn once_joined(self, count: u32, spare: u32, max: u32) -> Self {
        match self {
            _ if !is_crowded(count, spare, max) => Floor::Unheld,
            Floor::Unheld if is_full(count, max) => Floor::Large,
            held => held,
        }
    }

    /// Who pays for a new entry for which nothing unproven was found: those of [`Floor::Large`], unless
    /// `is_sure`, that is, it is known that there is nothing, not only that none is known.
    #[inline]
    pub const fn for_newcomer(self, is_sure: bool) -> Self {
        match self {
            Floor::All => Floor::All,
            _ if is_sure => Floor::All,
            _ => Floor::Large,
        }
    }

    /// The fewest entries with which a source pays, if an equal share is `share`: a quarter more, so
    /// that sources that have about the same leave each other in peace.
    #[inline]
    pub const fn least(self, share: u32) -> u32 {
        match self {
            Floor::Unheld => u32::MAX,
            Floor::Large => share.saturating_add(share / 4).saturating_add(2),
            Floor::All => 0,
        }
    }
}

/// Whether a shortage of places is about to come, and a plan should be made.
#[inline]
pub const fn needs_plan(count: u32, spare: u32, max: u32) -> bool {
    count.saturating_sub(spare) >= max.saturating_sub(probation(max).saturating_mul(16))
}

/// With how many entries a plan is thought of again, if that was last to be at `at`, and there are
/// `count` of `max` now: when an eighth has come to those that there were at least meanwhile.
#[inline]
pub const fn next_plan_at(at: u32, count: u32, max: u32) -> u32 {
    let next = count.saturating_add(max / 8);
    if count >= at || next < at {
        next
    } else {
        at
    }
}

/// Whether most of so many entries are proven, `spare` being those that may go.
#[inline]
pub const fn is_mostly_proven(count: u32, spare: u32) -> bool {
    spare < count / 2
}

/// The most victims of a plan for `max` entries.
pub const fn victims(max: u32) -> usize {
    let share = max / 2;
    (if share < 16 { 16 } else { share }) as usize
}

/// The most sources that a plan for `max` entries knows.
pub const fn shares(max: u32) -> usize {
    let share = max / 4;
    (if share < 64 { 64 } else { share }) as usize
}

/// The places of the machine's own connections beyond `max`: `percent` of it, or what a shell and
/// some checks of its health need.
pub const fn reserve(max: u32, percent: u32) -> u32 {
    const LEAST: u32 = 16;
    if percent == 0 {
        return 0;
    }
    let share = max / 100 * percent;
    if share < LEAST {
        LEAST
    } else {
        share
    }
}

/// Whether a connection of the machine itself is safe from eviction while it is unproven: there are
/// `own` that the machine began, and `others` began with it. What the machine began comes first:
/// nobody outside can make more of it.
#[inline]
pub const fn is_reserved(began_it: bool, own: u32, others: u32, reserve: u32) -> bool {
    let rivals = if began_it {
        own
    } else {
        own.saturating_add(others)
    };
    rivals <= reserve
}

/// The network of `bits` bits that an address is in: who is one source.
#[inline]
pub fn network(addr: Addr, family: Family, bits: u32) -> Addr {
    let mut left = match family {
        Family::V4 => bits.min(32),
        Family::V6 => bits.min(128),
    };
    Addr(addr.0.map(|word| {
        let own = left.min(32);
        left = left.saturating_sub(own);
        let mask = u32::MAX.checked_shl(32u32.saturating_sub(own)).unwrap_or(0);
        word & mask.to_be()
    }))
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_fair)
)]
mod tests {
    use super::super::class::Class;
    use super::*;

    #[test]
    fn records_sort_by_source_then_longest_idle() {
        let record = |source, idle| {
            Record::new(
                source,
                Hint::new(source as u32, 0).ranked(Class::Active, idle),
            )
        };
        let sorted = [
            record(1, 900),
            record(1, 5),
            record(1, 0),
            record(2, 1000),
            record(u64::MAX, u32::MAX),
        ];
        assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]));
        let mut counts = Sources::new(&sorted).counts();
        assert_eq!(counts.next(), Some(3));
        assert_eq!(counts.next(), Some(1));
        assert_eq!(counts.next(), Some(1));
        assert!(counts.next().is_none());
        assert!(Sources::new(&[]).next().is_none());
    }

    #[test]
    fn depths() {
        /// Counts, shares, victims; known, what each loses.
        type Row = (&'static [u32], usize, usize, u32, &'static [u32]);
        let table: [Row; 9] = [
            // Down to one, from which nobody can take.
            (&[9, 1, 1], 9, 99, 0, &[8, 0, 0]),
            (&[2, 2], 9, 99, 0, &[1, 1]),
            // Evenly as far as it goes, and some one more.
            (&[9, 9, 5], 9, 7, 0, &[4, 3, 0]),
            (&[9, 9, 5], 9, 8, 0, &[4, 4, 0]),
            (&[9, 9, 5], 9, 9, 0, &[5, 4, 0]),
            // One level has more sources than there is room.
            (&[3, 3, 3, 3], 9, 2, 0, &[1, 1, 0, 0]),
            // Sources with three or less are not known; so nobody goes below four.
            (&[9, 9, 3, 3, 3, 2], 2, 99, 3, &[5, 5, 0, 0, 0, 0]),
            (&[4, 4, 4], 2, 99, 4, &[0, 0, 0]),
            (&[], 9, 9, 0, &[]),
        ];
        for (counts, shares, victims, known, losses) in table {
            let mut depth = Depth::of(counts.iter().copied(), shares, victims);
            assert!(depth.knows(known.wrapping_add(1)) && !depth.knows(known));
            for (count, loss) in counts.iter().zip(losses) {
                assert_eq!(depth.next(*count), *loss);
            }
        }
    }

    #[test]
    fn shares_become_equal() {
        assert!(pays(2, 0) && !pays(1, 0) && !pays(2, 1) && pays(4000, 1));
        assert!(!pays(u32::MAX, u32::MAX) && pays(u32::MAX, u32::MAX - 2));
    }

    #[test]
    fn turns_sort_most_first() {
        let turns = [
            Turn::new(u32::MAX, 3),
            Turn::new(4000, 0),
            Turn::new(4000, 1),
            Turn::new(2, u32::MAX),
        ];
        assert!(turns.windows(2).all(|pair| pair[0].word() < pair[1].word()));
        assert_eq!(turns[1].level(), 4000);
        assert_eq!(turns[3].share(), u32::MAX as usize);
        assert_eq!(Turn::from_word(turns[2].word()), turns[2]);
    }

    #[test]
    fn places_of_the_unproven() {
        let table = [
            (65_536, 1024),
            (256, 4),
            (100, 4),
            (8, 2),
            (1, 0),
            (0, 0),
            (u32::MAX, u32::MAX / 64),
        ];
        for (max, places) in table {
            assert_eq!(probation(max), places);
            assert!(!is_crowded(max, places, max));
            assert!(max == 0 || is_crowded(max.saturating_add(1), places, max) || max == u32::MAX);
            assert!(!is_crowded(max, max, max));
        }
        assert!(needs_plan(65_536, 16_384, 65_536) && !needs_plan(65_536, 16_385, 65_536));
        assert!(!needs_plan(49_000, 0, 65_536));
        assert!(is_mostly_proven(32_770, 16_000) && !is_mostly_proven(32_770, 16_385));
        assert!(!is_mostly_proven(0, 0));
        // At first; an eighth more; less than that; after a flush; no further than there may be.
        let table = [
            (0, 32_770, 40_962),
            (40_962, 41_000, 49_192),
            (49_192, 49_191, 49_192),
            (49_192, 1_000, 9_192),
            (49_192, u32::MAX, u32::MAX),
        ];
        for (at, count, expected) in table {
            assert_eq!(next_plan_at(at, count, 65_536), expected);
        }
    }

    #[test]
    fn who_keeps_places_for_the_unproven() {
        use Floor::{All, Large, Unheld};
        const MAX: u32 = 65_536;
        // What it was, entries, those that may go; what it is.
        let table = [
            (Unheld, 64_513, 0, Unheld),
            (Unheld, MAX - 65, 0, Unheld),
            (Unheld, MAX - 64, 0, Large),
            (Unheld, MAX, 1023, Large),
            (Unheld, MAX, 1024, Unheld),
            (Large, 64_513, 0, Large),
            (Large, 64_512, 0, Unheld),
            (Large, MAX, 1024, Unheld),
            (All, 64_513, 0, All),
            (All, MAX, 1023, All),
            (All, MAX, 1024, Unheld),
        ];
        for (was, count, spare, is) in table {
            assert_eq!(was.once_joined(count, spare, MAX), is);
        }
        for floor in [Unheld, Large, All] {
            assert_eq!(Floor::from_word(floor.word()), floor);
            assert_eq!(floor.for_newcomer(true), All);
        }
        assert_eq!(
            [Unheld, Large, All].map(|floor| floor.for_newcomer(false)),
            [Large, Large, All]
        );
    }

    #[test]
    fn equal_shares_are_left_in_peace() {
        // Of 4,092 sources with 16 each, one of which has 15.
        assert!(Floor::Large.least(15) > 16);
        // A botnet's 16 and 1,000 with one.
        assert!(Floor::Large.least(MAX_SHARE) < 4000);
        // Two, one of which has nearly all.
        assert!(Floor::Large.least(32_768) < 60_000);
        assert_eq!(Floor::All.least(99), 0);
        assert_eq!(Floor::Unheld.least(0), u32::MAX);
        assert_eq!(Floor::Large.least(u32::MAX), u32::MAX);
    }
    const MAX_SHARE: u32 = 65_536 / 1016;

    #[test]
    fn reserves() {
        let table = [
            (262_144, 0, 0),
            (262_144, 1, 2621),
            (262_144, 100, 262_100),
            (200, 1, 16),
            (0, 5, 16),
            (u32::MAX, 100, u32::MAX / 100 * 100),
        ];
        for (max, percent, places) in table {
            assert_eq!(reserve(max, percent), places);
        }
    }

    #[test]
    fn what_the_machine_began_comes_first() {
        let table = [
            (true, 16, 0, true),
            (true, 16, u32::MAX, true),
            (true, 17, 0, false),
            (false, 8, 8, true),
            (false, 8, 9, false),
            (false, u32::MAX, 9, false),
        ];
        for (began_it, own, others, reserved) in table {
            assert_eq!(is_reserved(began_it, own, others, 16), reserved);
        }
        assert!(!is_reserved(true, 1, 0, 0));
    }

    #[test]
    fn networks() {
        let four = Addr::v4([192, 0, 2, 129]);
        let table = [
            (32, [192, 0, 2, 129]),
            (99, [192, 0, 2, 129]),
            (25, [192, 0, 2, 128]),
            (24, [192, 0, 2, 0]),
            (1, [128, 0, 0, 0]),
            (0, [0, 0, 0, 0]),
        ];
        for (bits, expected) in table {
            assert_eq!(network(four, Family::V4, bits), Addr::v4(expected));
        }
        let six = Addr::v6([0xff; 16]);
        let mut bytes = [0; 16];
        for bits in 0..=128u32 {
            assert_eq!(network(six, Family::V6, bits), Addr::v6(bytes));
            if let Some(byte) = bytes.get_mut(bits as usize / 8) {
                *byte |= 0x80 >> (bits % 8);
            }
        }
        assert_eq!(network(six, Family::V6, 200), six);
    }
}
