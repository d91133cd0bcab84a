// SPDX-License-Identifier: GPL-2.0

//! The backlog of a namespace's queues: hints to what was there before the queues were.
//!
//! The worker writes it down on a walk, sorts it, and lets everybody take from it. Nothing changes
//! after that but the spans, by which each hint is taken once.

use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;

use crate::linux::memory;
use crate::linux::queues::QUEUES;
use crate::linux::sort;
use crate::pure::policy::evict::Sample;
use crate::pure::policy::ring;
use crate::pure::policy::ring::Hint;
use crate::pure::policy::ring::Span;

/// Hints of each queue that are looked at to tell whether they are of any use.
const SAMPLE: u32 = 16;

/// What is being written down.
pub(crate) struct Draft(KBox<Backlog>);

/// Ranked hints, sorted: those of each queue are a [`Span`], which grows shorter from its front.
pub(crate) struct Backlog {
    words: KVVec<u64>,
    spans: [Atomic<u64>; QUEUES],
}

impl Draft {
    /// Nothing yet, with room for what a namespace of `max` entries may need. CONTEXT: sleepable.
    pub(crate) fn new(max: u32) -> Result<Self> {
        let backlog = Backlog {
            words: KVVec::with_capacity(ring::backlog(max) as usize, memory::much())?,
            spans: [const { Atomic::new(0) }; QUEUES],
        };
        Ok(Draft(KBox::new(backlog, GFP_KERNEL)?))
    }

    /// Writes down a ranked hint, unless there is no room for it.
    pub(crate) fn note(&mut self, hint: Hint) -> bool {
        self.0.words.push_within_capacity(hint.word()).is_ok()
    }

    /// Sorts it, and counts its hints. CONTEXT: sleepable.
    pub(crate) fn finish(mut self) -> (KBox<Backlog>, u32) {
        let Backlog { words, spans } = &mut *self.0;
        sort::words(words);
        let mut from = 0u32;
        for (queue, span) in spans.iter().enumerate() {
            let in_front =
                |word: &u64| Hint::from_word(*word).is_some_and(|hint| hint.queue() <= queue);
            let to = u32::try_from(words.partition_point(in_front)).unwrap_or(from);
            span.store(Span::new(from, to).word(), Relaxed);
            from = to;
        }
        (self.0, from)
    }
}

/// ORDERING: none is needed but that of the pointer which leads here: the words do not change.
impl Backlog {
    #[inline]
    fn span(&self, queue: usize) -> Span {
        let word = self.spans.get(queue).map_or(0, |word| word.load(Relaxed));
        Span::from_word(word)
    }

    #[inline]
    fn hint(&self, place: usize) -> Option<Hint> {
        Hint::from_word(*self.words.get(place)?)
    }

    /// Takes the first hint of a queue.
    #[inline]
    pub(crate) fn take(&self, queue: usize) -> Option<Hint> {
        let word = self.spans.get(queue)?;
        loop {
            let now = word.load(Relaxed);
            let (place, rest) = Span::from_word(now).take()?;
            if word.cmpxchg(now, rest.word(), Relaxed).is_ok() {
                return self.hint(place);
            }
        }
    }

    /// The hint of a queue that will be taken after `ahead` others.
    #[inline]
    pub(crate) fn peek(&self, queue: usize, ahead: u32) -> Option<Hint> {
        self.hint(self.span(queue).peek(ahead)?)
    }

    /// How many hints of a queue are left.
    #[inline]
    pub(crate) fn left(&self, queue: usize) -> u32 {
        self.span(queue).left()
    }

    /// How many are left of all queues.
    pub(crate) fn all_left(&self) -> u32 {
        let left = (0..QUEUES).map(|queue| self.left(queue));
        left.fold(0, u32::saturating_add)
    }

    /// Counts what is left, and looks at a few of each queue, spread evenly.
    pub(crate) fn sample(&self, mut is_stale: impl FnMut(Hint) -> bool) -> Sample {
        let mut found = Sample::default();
        for queue in 0..QUEUES {
            let span = self.span(queue);
            found.hints = found.hints.saturating_add(span.left());
            for hint in span.some(SAMPLE).filter_map(|place| self.hint(place)) {
                found.seen = found.seen.wrapping_add(1);
                found.stale = found.stale.wrapping_add(u32::from(is_stale(hint)));
            }
        }
        found
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_backlog)]
mod tests {
    use super::*;
    use crate::pure::policy::class::Class;

    #[test]
    fn each_queue_takes_its_own_longest_idle_first() -> Result {
        let hint = |n: u32, class, idle| Hint::new(n, n as usize * 256).ranked(class, idle);
        let mut draft = Draft::new(0)?;
        let noted = [
            hint(1, Class::Idle, 5),
            hint(2, Class::Closed, 1),
            hint(3, Class::Unreplied, 9),
            hint(4, Class::Closed, 7),
        ];
        assert!(noted.into_iter().all(|hint| draft.note(hint)));
        let (backlog, count) = draft.finish();
        assert_eq!((count, backlog.all_left()), (4, 4));
        let closed = Class::Closed.queue().ok_or(EINVAL)?;
        let idle = Class::Idle.queue().ok_or(EINVAL)?;
        let ahead = [0, 1, 2].map(|ahead| backlog.peek(closed, ahead));
        assert_eq!(ahead, [Some(noted[3]), Some(noted[1]), None]);
        let taken = [closed, closed, closed, idle].map(|queue| backlog.take(queue));
        assert_eq!(
            taken,
            [Some(noted[3]), Some(noted[1]), None, Some(noted[0])]
        );
        assert_eq!((backlog.left(closed), backlog.all_left()), (0, 1));
        let sample = backlog.sample(|hint| hint == noted[2]);
        assert!((sample.hints, sample.seen, sample.stale) == (1, 1, 1) && sample.is_void());
        assert!(backlog.take(QUEUES).is_none());
        Ok(())
    }

    #[test]
    fn what_has_no_room_is_not_noted() -> Result {
        let mut draft = Draft::new(0)?;
        let room = ring::backlog(0);
        let hint = |n: u32| Hint::new(n, 0).ranked(Class::Closed, n);
        assert!((0..room).all(|n| draft.note(hint(n))));
        assert!(!draft.note(hint(room)));
        let (backlog, count) = draft.finish();
        assert_eq!((count, backlog.all_left()), (room, room));
        Ok(())
    }
}
