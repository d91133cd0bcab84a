// SPDX-License-Identifier: GPL-2.0

//! Properties of reclaim: a table and its ring, as the engine uses them, one CPU.

use rconntrack_pure::policy::class::Class;
use rconntrack_pure::policy::ring;
use rconntrack_pure::policy::ring::Fate;

/// A full table of unreplied entries, some of which get assured, and the ring of hints.
struct Model {
    capacity: u32,
    words: Vec<Option<usize>>,
    head: u64,
    tail: u64,
    class: Vec<Option<Class>>,
}

impl Model {
    fn new(max: u32) -> Self {
        let capacity = ring::capacity(Class::Unreplied, max);
        Model {
            capacity,
            words: vec![None; capacity as usize],
            head: 0,
            tail: 0,
            class: Vec::new(),
        }
    }

    fn confirm(&mut self) -> usize {
        self.class.push(Some(Class::Unreplied));
        let place = ring::place(self.tail, self.capacity).unwrap();
        self.words[place] = Some(self.class.len() - 1);
        self.tail += 1;
        self.class.len() - 1
    }

    /// Evicts the oldest that may go.
    fn evict(&mut self) -> Option<usize> {
        loop {
            let number = ring::oldest(self.head, self.tail, self.capacity)?;
            self.head = number + 1;
            let place = ring::place(number, self.capacity).unwrap();
            let Some(entry) = self.words[place].take() else {
                continue;
            };
            let Some(class) = self.class[entry] else {
                continue;
            };
            if ring::fate(Class::Unreplied, class) == Fate::Evict {
                self.class[entry] = None;
                return Some(entry);
            }
        }
    }
}

#[test]
fn an_unreplied_entry_stays_for_as_many_arrivals_as_may_go() {
    for (max, assured_of_ten) in [(64u32, 0usize), (100, 3), (1000, 5), (4096, 9)] {
        let mut model = Model::new(max);
        let entries: Vec<usize> = (0..max).map(|_| model.confirm()).collect();
        for entry in entries {
            if entry % 10 < assured_of_ten {
                model.class[entry] = Some(Class::Active);
            }
        }
        let may_go = model.class.iter().flatten().filter(|c| c.may_go()).count();
        // Many tables of arrivals: each evicted one had stayed for as many as may go.
        for arrival in 0..max as usize * 20 {
            let victim = model.evict().expect("P3");
            assert_eq!(
                model.class.iter().flatten().filter(|c| c.may_go()).count(),
                may_go - 1
            );
            let new = model.confirm();
            if victim >= max as usize {
                assert!(new - victim >= may_go, "arrival {arrival}: P1");
            }
        }
        assert_eq!(
            model
                .class
                .iter()
                .flatten()
                .filter(|c| **c == Class::Active)
                .count(),
            max as usize - may_go,
            "P2"
        );
    }
}

#[test]
fn no_fate_inverts_the_order() {
    for queued in Class::QUEUED {
        for is in Class::QUEUED
            .into_iter()
            .chain([Class::Expired, Class::Active])
        {
            match ring::fate(queued, is) {
                Fate::Evict => assert!(is <= queued && is.may_go()),
                Fate::Move(to) => assert!(to > queued && to.queue().is_some()),
                Fate::Drop => assert!(!is.may_go()),
            }
        }
    }
}
