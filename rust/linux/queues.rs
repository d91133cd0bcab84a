// SPDX-License-Identifier: GPL-2.0

//! The memory of a namespace's queues of hints, and how CPUs share it.
//!
//! What a hint says, and what follows from it, is `engine::reclaim`'s; the arithmetic is
//! `pure::policy::ring`'s. Here are words that many CPUs put and take at a time.
//!
//! # Invariants
//!
//! * A hint that was put is taken at most once: whoever takes it exchanges it for nothing.

use kernel::prelude::*;
use kernel::sync::atomic::Acquire;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;

use crate::linux::backlog::Backlog;
use crate::linux::memory;
use crate::linux::plan::Plan;
use crate::linux::rcu::Held;
use crate::linux::slot::Slot;
use crate::pure::policy::class::Class;
use crate::pure::policy::evict::Sample;
use crate::pure::policy::fair::Floor;
use crate::pure::policy::ring;
use crate::pure::policy::ring::Hint;

/// How many queues there are.
pub(crate) const QUEUES: usize = Class::QUEUED.len();

/// Empty places that are passed over with one change of the head.
const RUN: u64 = 1024;
/// How many such runs are passed over in search of a hint.
const RUNS: u32 = 64;
/// Places that are swept at a time.
const SWEPT: u64 = 64;
/// Hints that are looked at to tell whether a ring wants sweeping.
const SAMPLE: u64 = 512;
/// Places that are passed over in search of hints to tend.
const TENDED: u64 = 256;

/// Words that many CPUs load and store at a time.
type Words = KVVec<Atomic<u64>>;

/// Zeros. CONTEXT: sleepable.
fn zeros(count: u32) -> Result<Words> {
    let count = count as usize;
    let mut words = KVVec::with_capacity(count, memory::much())?;
    while words.len() < count {
        words.push_within_capacity(Atomic::new(0))?;
    }
    Ok(words)
}

/// A counter that shares its cache line with nothing.
#[repr(align(64))]
struct Counter(Atomic<u64>);

/// A ring of hints.
struct Ring {
    words: Words,
    capacity: u32,
    head: Counter,
    tail: Counter,
    /// About how many places between them lead nowhere. Changes only with those.
    stale: Atomic<i32>,
    /// Where tending goes on.
    tended: Atomic<u64>,
}

impl Ring {
    fn new(capacity: u32) -> Result<Self> {
        Ok(Ring {
            words: zeros(capacity)?,
            capacity,
            head: Counter(Atomic::new(0)),
            tail: Counter(Atomic::new(0)),
            stale: Atomic::new(0),
            tended: Atomic::new(0),
        })
    }

    /// Puts a hint behind all others. Where it stands, if the ring has places.
    #[inline]
    fn put(&self, hint: Hint) -> Option<u32> {
        if self.capacity == 0 {
            return None;
        }
        let number = self.tail.0.fetch_add(1u64, Relaxed);
        let place = ring::place(number, self.capacity)?;
        self.words.get(place)?.store(hint.word(), Relaxed);
        u32::try_from(place).ok()
    }

    /// ORDERING: none is needed. A hint is checked against its entry; one whose place was counted
    /// but not written yet is missed. A tail that was read before others had put and taken more looks
    /// like the end, wherefore the two are read once more, in their order, before that is believed.
    #[inline]
    fn take(&self) -> Option<Hint> {
        for _ in 0..RUNS {
            let mut head = self.head.0.load(Relaxed);
            let mut tail = self.tail.0.load(Relaxed);
            if tail < head {
                head = self.head.0.load(Acquire);
                tail = self.tail.0.load(Relaxed);
            }
            let first = ring::oldest(head, tail, self.capacity)?;
            let number = self.passed(first, tail.min(first.wrapping_add(RUN)));
            let next = number.wrapping_add(1).min(tail);
            if self.head.0.cmpxchg(head, next, Relaxed).is_err() {
                continue;
            }
            if number != first {
                let passed = i32::try_from(number.wrapping_sub(first)).unwrap_or(0);
                self.stale.add(passed.wrapping_neg(), Relaxed);
            }
            let place = ring::place(number, self.capacity)?;
            if let Some(hint) = Hint::from_word(self.words.get(place)?.xchg(0, Relaxed)) {
                return Some(hint);
            }
        }
        None
    }

    /// How many places are between head and tail.
    #[inline]
    fn length(&self) -> u32 {
        let (head, tail) = (self.head.0.load(Relaxed), self.tail.0.load(Relaxed));
        let kept = tail.saturating_sub(head).min(u64::from(self.capacity));
        u32::try_from(kept).unwrap_or(u32::MAX)
    }

    /// A hint that will be taken after `ahead` others, if there are so many.
    #[inline]
    fn peek(&self, ahead: u64) -> Option<Hint> {
        let number = self.head.0.load(Relaxed).wrapping_add(ahead);
        if number >= self.tail.0.load(Relaxed) {
            return None;
        }
        Hint::from_word(self.at_number(number)?.load(Relaxed))
    }

    /// About how many hints lead to an entry.
    fn len(&self) -> u32 {
        let stale = u32::try_from(self.stale.load(Relaxed)).unwrap_or(0);
        self.length().saturating_sub(stale)
    }

    /// The first number from `number` to `end` whose place is not empty, or `end`.
    #[inline]
    fn passed(&self, mut number: u64, end: u64) -> u64 {
        while number < end
            && self
                .at_number(number)
                .is_some_and(|word| word.load(Relaxed) == 0)
        {
            number = number.wrapping_add(1);
        }
        number
    }

    #[inline]
    fn at_number(&self, number: u64) -> Option<&Atomic<u64>> {
        ring::place(number, self.capacity).and_then(|place| self.words.get(place))
    }

    /// Empties the places of stale hints, [`SWEPT`] of them from number `from` on. The number to go
    /// on with, until the end was reached.
    fn sweep(&self, from: u64, mut is_stale: impl FnMut(Hint) -> bool) -> Option<u64> {
        let head = self.head.0.load(Relaxed).max(from);
        let tail = self.tail.0.load(Relaxed);
        let first = ring::oldest(head, tail, self.capacity)?;
        let end = tail.min(first.wrapping_add(SWEPT));
        for number in first..end {
            let Some(word) = self.at_number(number) else {
                continue;
            };
            empty(word, &mut is_stale);
        }
        Some(end)
    }

    /// Counts the hints, and looks at a few of them, spread evenly.
    fn sample(&self, mut is_stale: impl FnMut(Hint) -> bool) -> Sample {
        let mut found = Sample::default();
        let (head, tail) = (self.head.0.load(Relaxed), self.tail.0.load(Relaxed));
        let Some(first) = ring::oldest(head, tail, self.capacity) else {
            return found;
        };
        let step = tail.saturating_sub(first).div_ceil(SAMPLE).max(1);
        let mut next = first;
        for number in first..tail {
            let word = self.at_number(number).map_or(0, |word| word.load(Relaxed));
            let Some(hint) = Hint::from_word(word) else {
                continue;
            };
            found.hints = found.hints.wrapping_add(1);
            if number >= next {
                next = number.wrapping_add(step);
                found.seen = found.seen.wrapping_add(1);
                found.stale = found.stale.wrapping_add(u32::from(is_stale(hint)));
            }
        }
        found
    }

    /// Looks at the next two hints, from head to tail and from the head again, and empties the
    /// places of those that are stale. Racing callers may look at the same ones.
    #[inline]
    fn tend(&self, mut is_stale: impl FnMut(Hint) -> bool) {
        let (head, tail) = (self.head.0.load(Relaxed), self.tail.0.load(Relaxed));
        let Some(first) = ring::oldest(head, tail, self.capacity) else {
            return;
        };
        let last = self.tended.load(Relaxed);
        let mut number = if last < first || last >= tail {
            first
        } else {
            last
        };
        let end = tail.min(number.wrapping_add(TENDED));
        for _ in 0..2 {
            number = self.passed(number, end);
            match self.at_number(number) {
                Some(word) if number < end => empty(word, &mut is_stale),
                _ => break,
            }
            number = number.wrapping_add(1);
        }
        // Those at the tail were put just now: at the next one the tail has moved on.
        let next = if number < tail { number } else { first };
        self.tended.store(next, Relaxed);
    }
}

/// Empties a place if its hint is stale.
#[inline]
fn empty(word: &Atomic<u64>, is_stale: impl FnOnce(Hint) -> bool) {
    let now = word.load(Relaxed);
    if Hint::from_word(now).is_some_and(is_stale) {
        // Whoever was faster has taken it, or put another.
        let _ = word.cmpxchg(now, 0, Relaxed);
    }
}

/// The backlog was not filled yet.
const UNFILLED: u32 = 0;
/// There was nothing that may go.
const NOTHING: u32 = 1;
/// There was.
const SOMETHING: u32 = 2;

/// What a hint tells of its entry's place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// See [`Hint::address`].
    Told,
    /// It was ranked, which took the room for that.
    Untold,
}

/// The queues of a namespace.
pub(crate) struct Queues {
    rings: [Ring; QUEUES],
    /// What was there before the rings were, and whatever else the worker has found.
    backlog: Slot<Backlog>,
    /// What was found when the backlog was filled last: [`UNFILLED`], [`NOTHING`] or [`SOMETHING`].
    found: Atomic<u32>,
    /// Hints ran out: the next backlog shall have all that there is.
    wants_all: Atomic<bool>,
    /// Whom to take when only proven entries are left; see [`Plan`].
    plan: Slot<Plan>,
    /// With so many entries the worker looks whether it is time for a plan.
    plan_at: Atomic<u32>,
    /// Somebody looked for a plan that was not there, or had run out.
    wants_plan: Atomic<bool>,
    /// Who pays for the places of the unproven: [`Floor::word`].
    floor: Atomic<u32>,
    /// The limit that they were made for.
    max: u32,
}

impl Queues {
    /// Queues for `max` entries. CONTEXT: sleepable.
    pub(crate) fn new(max: u32) -> Result<KBox<Self>> {
        let ring = |class| Ring::new(ring::capacity(class, max));
        let [a, b, c, d, e] = Class::QUEUED;
        let queues = Queues {
            rings: [ring(a)?, ring(b)?, ring(c)?, ring(d)?, ring(e)?],
            backlog: Slot::new(),
            found: Atomic::new(UNFILLED),
            wants_all: Atomic::<bool>::new(false),
            plan: Slot::new(),
            plan_at: Atomic::new(0),
            wants_plan: Atomic::<bool>::new(false),
            floor: Atomic::new(Floor::Unheld.word()),
            max,
        };
        Ok(KBox::new(queues, GFP_KERNEL)?)
    }

    /// The limit of entries that they were made for.
    pub(crate) fn max(&self) -> u32 {
        self.max
    }

    /// Puts a hint behind all others of a queue. The place in its ring, if it has any.
    #[inline]
    pub(crate) fn put(&self, queue: usize, hint: Hint) -> Option<u32> {
        self.rings.get(queue)?.put(hint)
    }

    /// The hint to the entry at `address` that was put into this place of a queue, if it still stands
    /// there, becomes another one, or goes.
    #[inline]
    pub(crate) fn replace(
        &self,
        queue: usize,
        place: u32,
        address: usize,
        new: impl FnOnce(Hint) -> Option<Hint>,
    ) {
        let ring = self.rings.get(queue);
        let Some(word) = ring.and_then(|ring| ring.words.get(place as usize)) else {
            return;
        };
        let now = word.load(Relaxed);
        if let Some(hint) = Hint::from_word(now).filter(|hint| hint.may_be(address)) {
            let new = new(hint).map_or(0, Hint::word);
            // Whoever was faster has taken it, or put another.
            let _ = word.cmpxchg(now, new, Relaxed);
        }
    }

    /// Takes the oldest hint of a queue: what was there before the queues were comes first.
    #[inline]
    pub(crate) fn take(&self, queue: usize, rcu: Held<'_>) -> Option<Hint> {
        match self.backlog.get(rcu).and_then(|old| old.take(queue)) {
            None => self.rings.get(queue)?.take(),
            hint => hint,
        }
    }

    /// The hint of a queue that will be taken after `ahead` others, and what it tells of its entry's
    /// place.
    #[inline]
    pub(crate) fn peek(&self, queue: usize, ahead: u32, rcu: Held<'_>) -> Option<(Hint, Place)> {
        let backlog = self.backlog.get(rcu);
        let old = backlog.map_or(0, |backlog| backlog.left(queue));
        match (ahead.checked_sub(old), backlog) {
            (None, Some(backlog)) => Some((backlog.peek(queue, ahead)?, Place::Untold)),
            (ahead, _) => {
                let hint = self.rings.get(queue)?.peek(u64::from(ahead?))?;
                Some((hint, Place::Told))
            }
        }
    }

    /// About how many hints of a queue lead somewhere, and how many places of its ring are in use.
    #[inline]
    pub(crate) fn waiting(&self, queue: usize, rcu: Held<'_>) -> (u32, u32) {
        let (live, put) = self
            .rings
            .get(queue)
            .map_or((0, 0), |ring| (ring.len(), ring.length()));
        let backlog = self.backlog.get(rcu);
        let old = backlog.map_or(0, |backlog| backlog.left(queue));
        (live.saturating_add(old), put)
    }

    /// Drops stale hints of a queue, a few at a time; see [`Ring::sweep`].
    pub(crate) fn sweep(
        &self,
        queue: usize,
        from: u64,
        is_stale: impl FnMut(Hint) -> bool,
    ) -> Option<u64> {
        self.rings.get(queue)?.sweep(from, is_stale)
    }

    /// Counts the hints of a queue's ring, and looks at a few of them, spread evenly.
    pub(crate) fn sample(&self, queue: usize, is_stale: impl FnMut(Hint) -> bool) -> Sample {
        let ring = self.rings.get(queue);
        ring.map_or(Sample::default(), |ring| ring.sample(is_stale))
    }

    /// Looks at two hints of a queue, and drops those that are stale.
    #[inline]
    pub(crate) fn tend(&self, queue: usize, is_stale: impl FnMut(Hint) -> bool) {
        if let Some(ring) = self.rings.get(queue) {
            ring.tend(is_stale);
        }
    }

    /// Whether the backlog was filled since the queues were made.
    pub(crate) fn was_filled(&self) -> bool {
        self.found.load(Relaxed) != UNFILLED
    }

    /// Whether nothing that may go was found when it was filled.
    pub(crate) fn is_barren(&self) -> bool {
        self.found.load(Relaxed) == NOTHING
    }

    /// Hints ran out.
    pub(crate) fn want_all(&self) {
        if !self.wants_all.load(Relaxed) {
            self.wants_all.store(true, Relaxed);
        }
    }

    /// Whether hints ran out since the backlog was filled.
    pub(crate) fn wants_all(&self) -> bool {
        self.wants_all.load(Relaxed)
    }

    /// Whether a ring is full, so that each hint replaces another one.
    pub(crate) fn is_losing(&self, queue: usize) -> bool {
        let full = |ring: &Ring| ring.length() >= ring.capacity;
        self.rings.get(queue).is_some_and(full)
    }

    /// Whom to take when only proven entries are left.
    #[inline]
    pub(crate) fn plan(&self) -> &Slot<Plan> {
        &self.plan
    }

    /// With how many entries the worker will look whether it is time for a plan.
    #[inline]
    pub(crate) fn plan_at(&self) -> u32 {
        self.plan_at.load(Relaxed)
    }

    /// With how many it shall.
    pub(crate) fn set_plan_at(&self, count: u32) {
        self.plan_at.store(count, Relaxed);
    }

    /// A plan is wanted.
    pub(crate) fn want_plan(&self) {
        if !self.wants_plan.load(Relaxed) {
            self.wants_plan.store(true, Relaxed);
        }
    }

    /// Whether somebody wanted a plan since this was asked.
    pub(crate) fn wanted_plan(&self) -> bool {
        self.wants_plan.xchg(false, Relaxed)
    }

    /// A hint of a ring has become stale.
    #[inline]
    pub(crate) fn count_stale(&self, queue: usize, more: i32) {
        if let Some(ring) = self.rings.get(queue) {
            ring.stale.add(more, Relaxed);
        }
    }

    /// The worker has swept a ring, in which so many hints are `left`.
    pub(crate) fn swept(&self, queue: usize, left: u32) {
        if let Some(ring) = self.rings.get(queue) {
            let stale = ring.length().saturating_sub(left);
            let stale = i32::try_from(stale).unwrap_or(i32::MAX);
            ring.stale.store(stale, Relaxed);
        }
    }

    /// About how many entries may go, as far as is known.
    pub(crate) fn spare(&self, rcu: Held<'_>) -> u32 {
        let rings = self.rings.iter().map(Ring::len);
        let old = self.backlog.get(rcu).map_or(0, Backlog::all_left);
        rings.fold(old, u32::saturating_add)
    }

    /// Who pays for the places of the unproven.
    #[inline]
    pub(crate) fn floor(&self) -> Floor {
        Floor::from_word(self.floor.load(Relaxed))
    }

    /// Who shall pay from now on.
    #[inline]
    pub(crate) fn hold_floor(&self, floor: Floor) {
        if self.floor() != floor {
            self.floor.store(floor.word(), Relaxed);
        }
    }

    /// What was there before the rings were, or a later walk has found.
    pub(crate) fn backlog(&self) -> &Slot<Backlog> {
        &self.backlog
    }

    /// The worker has walked the table, and found so many entries that may go.
    pub(crate) fn filled(&self, count: u32) {
        let found = if count == 0 { NOTHING } else { SOMETHING };
        self.found.store(found, Relaxed);
        self.wants_all.store(false, Relaxed);
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_queues)]
mod tests {
    use super::*;
    use kernel::sync::rcu;

    #[test]
    fn hints_go_in_order_and_change_in_their_places() -> Result {
        let hint = |n: u32| Hint::new(n, n as usize * 256);
        let answered = |hint: Hint| Some(hint.answered());
        let queues = Queues::new(64)?;
        let guard = rcu::read_lock();
        let rcu = Held::by(&guard);
        let queue = Class::Unreplied.queue().ok_or(EINVAL)?;
        let all = [1, 2, 3].map(hint);
        assert_eq!(
            all.map(|hint| queues.put(queue, hint)),
            [Some(0), Some(1), Some(2)]
        );
        assert_eq!(queues.peek(queue, 2, rcu), Some((all[2], Place::Told)));
        assert!(queues.peek(queue, 3, rcu).is_none());
        queues.replace(queue, 0, 256, answered);
        // Another one stands there; there is no such place.
        queues.replace(queue, 1, 256, answered);
        queues.replace(queue, 64, 256, answered);
        queues.replace(queue, 2, 3 * 256, |_| None);
        assert_eq!(queues.take(queue, rcu), answered(all[0]));
        assert_eq!(queues.take(queue, rcu), Some(all[1]));
        assert!(queues.take(queue, rcu).is_none());
        // What has gone cannot change any more.
        queues.replace(queue, 1, 2 * 256, answered);
        assert!(queues.take(queue, rcu).is_none());
        Ok(())
    }
}
