// SPDX-License-Identifier: GPL-2.0

//! A plan of whom to take when only proven entries are left, which CPUs carry out together.
//!
//! The worker makes it of all proven entries, sorted (`pure::policy::fair` has the arithmetic), and
//! it serves for a while: each turn and each victim is taken once.

use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;

use crate::linux::memory;
use crate::linux::sort;
use crate::pure::policy::fair;
use crate::pure::policy::fair::Depth;
use crate::pure::policy::fair::Floor;
use crate::pure::policy::fair::Record;
use crate::pure::policy::fair::Sources;
use crate::pure::policy::fair::Turn;
use crate::pure::policy::ring::Hint;

/// How many turns are passed over that have become void, because sources paid with their own.
const PASSED: u32 = 256;

/// A source that the plan knows.
struct Share {
    source: u64,
    /// How many proven entries it has.
    count: Atomic<u32>,
    /// Its next victim.
    next: Atomic<u32>,
    /// Behind its last one.
    end: u32,
}

/// A source that the plan does not know, and that has got entries since.
struct Stranger {
    source: Atomic<u64>,
    count: Atomic<u32>,
}

/// How many strangers there is room for, and how many places one may be at.
const STRANGERS: usize = 1024;
const PLACES: usize = 16;

/// Who goes.
pub(crate) enum Choice {
    /// What this hint leads to.
    Of(Hint),
    /// Nobody has to.
    Nobody,
    /// The plan has no more to say.
    Spent,
}

/// The plan.
pub(crate) struct Plan {
    /// Sorted by source.
    shares: KVVec<Share>,
    /// Hints, those of a source together, longest idle first.
    victims: KVVec<u64>,
    /// [`Turn`]s, sorted.
    turns: KVVec<u64>,
    /// The next turn.
    next: Atomic<u32>,
    strangers: KVVec<Stranger>,
    /// What a source that the plan does not know had at most when it was made.
    unknown: u32,
    /// What each source would have had if all had had the same.
    equal: u32,
}

impl Plan {
    /// A plan for a table of `max` entries, of which these are proven. CONTEXT: sleepable.
    pub(crate) fn new(records: &mut [Record], max: u32) -> Result<KBox<Self>> {
        sort::records(records);
        let sources = Sources::new(records);
        let mut depth = Depth::of(sources.counts(), fair::shares(max), fair::victims(max));
        let (mut shares, mut victims) = (KVVec::new(), KVVec::new());
        let (mut turns, mut strangers) =
            (KVVec::new(), KVVec::with_capacity(STRANGERS, GFP_KERNEL)?);
        let unknown = depth.unknown();
        let equal = records.len().checked_div(sources.count()).unwrap_or(0);
        while strangers.len() < STRANGERS {
            let stranger = Stranger {
                source: Atomic::new(0),
                count: Atomic::new(0),
            };
            strangers.push(stranger, GFP_KERNEL)?;
        }
        for own in sources {
            let count = u32::try_from(own.len()).unwrap_or(u32::MAX);
            let loss = depth.next(count);
            if !depth.knows(count) {
                continue;
            }
            let first = u32::try_from(victims.len())?;
            let number = u32::try_from(shares.len())?;
            let lost = own.get(..usize::try_from(loss)?).unwrap_or(own);
            for (level, record) in (0..=count).rev().zip(lost) {
                victims.push(record.hint(), memory::much())?;
                turns.push(Turn::new(level, number).word(), memory::much())?;
            }
            let share = Share {
                source: own.first().map_or(0, |record| record.source()),
                count: Atomic::new(count),
                next: Atomic::new(first),
                end: u32::try_from(victims.len())?,
            };
            shares.push(share, memory::much())?;
        }
        sort::words(&mut turns);
        let plan = Plan {
            shares,
            victims,
            turns,
            next: Atomic::new(0),
            strangers,
            unknown,
            equal: u32::try_from(equal)?,
        };
        Ok(KBox::new(plan, GFP_KERNEL)?)
    }

    /// Whether more than half of its turns were taken.
    pub(crate) fn is_worn(&self) -> bool {
        let taken = usize::try_from(self.next.load(Relaxed)).unwrap_or(usize::MAX);
        taken > self.turns.len() / 2
    }

    /// Whether a source is one of those that pay for such a `floor`.
    pub(crate) fn is_large(&self, source: u64, floor: Floor) -> bool {
        let least = floor.least(self.equal);
        self.share(source)
            .is_some_and(|share| share.count.load(Relaxed) >= least)
    }

    fn share(&self, source: u64) -> Option<&Share> {
        let at = self
            .shares
            .binary_search_by_key(&source, |share| share.source)
            .ok()?;
        self.shares.get(at)
    }

    /// A source has got another proven entry.
    pub(crate) fn joined(&self, source: u64) {
        if let Some(share) = self.share(source) {
            share.count.fetch_add(1u32, Relaxed);
            return;
        }
        for stranger in self.places(source) {
            let taken = stranger.source.cmpxchg(0, source, Relaxed);
            if taken.is_ok() || taken == Err(source) {
                stranger.count.fetch_add(1u32, Relaxed);
                return;
            }
        }
    }

    fn places(&self, source: u64) -> impl Iterator<Item = &Stranger> {
        let first = usize::try_from(source).unwrap_or(0);
        (0..PLACES).filter_map(move |at| {
            let place = first.wrapping_add(at) % STRANGERS;
            self.strangers.get(place)
        })
    }

    /// What a source has that the plan does not know: at most so many. All that is sure of one for
    /// which there was no place is that it has too many.
    fn has_unknown(&self, source: u64) -> u32 {
        for stranger in self.places(source) {
            match stranger.source.load(Relaxed) {
                0 => return self.unknown,
                known if known == source => {
                    return self.unknown.saturating_add(stranger.count.load(Relaxed));
                }
                _ => {}
            }
        }
        u32::MAX
    }

    /// The entry that goes for another one of `source`: of the source that has the most, if that
    /// has two more, or else of `source` itself, if it is among the largest. Of those alone that pay
    /// for a `floor` of this kind.
    pub(crate) fn take(&self, source: u64, floor: Floor) -> Choice {
        if self.turns.is_empty() {
            return Choice::Nobody;
        }
        self.find(source, floor.least(self.equal))
            .unwrap_or(Choice::Spent)
    }

    fn find(&self, source: u64, least: u32) -> Option<Choice> {
        let own = self.share(source);
        let has = match own {
            Some(share) => share.count.load(Relaxed),
            None => self.has_unknown(source),
        };
        for _ in 0..PASSED {
            let number = self.next.load(Relaxed);
            let turn = Turn::from_word(*self.turns.get(usize::try_from(number).ok()?)?);
            let most = self.shares.get(turn.share())?;
            // A turn is void if its source has paid for itself meanwhile.
            let is_void = most.count.load(Relaxed) < turn.level();
            if !is_void && turn.level() < least {
                return Some(Choice::Nobody);
            }
            if !is_void && !fair::pays(turn.level(), has) {
                return match own {
                    Some(own) if has >= least => self.take_of(own).map(Choice::Of),
                    _ => Some(Choice::Nobody),
                };
            }
            let next = number.wrapping_add(1);
            if self.next.cmpxchg(number, next, Relaxed).is_ok() && !is_void {
                if let Some(hint) = self.take_of(most) {
                    return Some(Choice::Of(hint));
                }
            }
        }
        None
    }

    /// The next victim of a source.
    fn take_of(&self, share: &Share) -> Option<Hint> {
        // Past the end nothing is taken any more; so often nobody asks in the life of a plan.
        if share.next.load(Relaxed) >= share.end {
            return None;
        }
        let at = share.next.fetch_add(1u32, Relaxed);
        if at >= share.end {
            return None;
        }
        share.count.fetch_sub(1u32, Relaxed);
        Hint::from_word(*self.victims.get(usize::try_from(at).ok()?)?)
    }
}
