// SPDX-License-Identifier: GPL-2.0

//! Properties of reclaim: a table and its ring, as the engine uses them, one CPU.

use proptest::prelude::*;
use rconntrack_pure::policy::class::Class;
use rconntrack_pure::policy::fair;
use rconntrack_pure::policy::fair::Depth;
use rconntrack_pure::policy::fair::Record;
use rconntrack_pure::policy::fair::Sources;
use rconntrack_pure::policy::fair::Turn;
use rconntrack_pure::policy::ring;
use rconntrack_pure::policy::ring::Fate;
use rconntrack_pure::policy::ring::Hint;

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

/// A table of proven entries of some sources, and a plan for it, as `linux::plan` carries it out.
struct Shares {
    counts: Vec<u32>,
    /// By source: its entries, longest idle first, as the plan knows them.
    victims: Vec<Vec<u64>>,
    next: Vec<usize>,
    turns: Vec<u64>,
    turn: usize,
    /// What the others have at most.
    unknown: u32,
    joined: Vec<u32>,
    known: Vec<bool>,
}

impl Shares {
    fn new(counts: &[u32], shares: usize, victims: usize) -> Self {
        let mut records: Vec<Record> = Vec::new();
        for (source, count) in (0u64..).zip(counts) {
            for idle in 0..*count {
                let address = (source as usize) << 20 | (idle as usize) << 8;
                let hint = Hint::new(idle, address).ranked(Class::Active, idle);
                records.push(Record::new(source, hint));
            }
        }
        records.sort_unstable();
        let mut depth = Depth::of(Sources::new(&records).counts(), shares, victims);
        let mut plan = Shares {
            counts: counts.to_vec(),
            victims: vec![Vec::new(); counts.len()],
            next: vec![0; counts.len()],
            turns: Vec::new(),
            turn: 0,
            unknown: depth.unknown(),
            joined: vec![0; counts.len()],
            known: counts.iter().map(|count| depth.knows(*count)).collect(),
        };
        for own in Sources::new(&records) {
            let (source, count) = (own[0].source() as usize, own.len() as u32);
            let loss = depth.next(count);
            assert!(loss == 0 || depth.knows(count));
            for level in (0..=count).rev().take(loss as usize) {
                plan.turns.push(Turn::new(level, source as u32).word());
            }
            assert!(depth.knows(count) || count <= plan.unknown);
            plan.victims[source] = own[..loss as usize].iter().map(|r| r.hint()).collect();
        }
        plan.turns.sort_unstable();
        assert!(plan.turns.len() <= victims);
        plan
    }

    /// Sources that have nothing yet.
    fn grow(&mut self, more: usize) {
        let sources = self.counts.len() + more;
        self.counts.resize(sources, 0);
        self.victims.resize(sources, Vec::new());
        self.next.resize(sources, 0);
        self.joined.resize(sources, 0);
        self.known.resize(sources, false);
    }

    fn joined(&mut self, source: usize) {
        self.counts[source] += 1;
        self.joined[source] += 1;
    }

    /// The source that pays for another entry of `source`.
    fn take(&mut self, source: usize) -> Option<usize> {
        // Of those that it does not know the plan knows only what has joined since.
        let has = if self.known[source] {
            self.counts[source]
        } else {
            self.unknown + self.joined[source]
        };
        loop {
            let turn = Turn::from_word(*self.turns.get(self.turn)?);
            let most = turn.share();
            let void = self.counts[most] < turn.level();
            let payer = if void || fair::pays(turn.level(), has) {
                self.turn += 1;
                most
            } else {
                source
            };
            if void {
                continue;
            }
            let next = self.next[payer];
            self.victims[payer].get(next)?;
            self.next[payer] += 1;
            self.counts[payer] -= 1;
            return Some(payer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn the_largest_source_pays(
        counts in prop::collection::vec(0u32..30, 1..40),
        newcomers in prop::collection::vec(any::<prop::sample::Index>(), 1..200),
        victims in 1usize..400,
    ) {
        let mut plan = Shares::new(&counts, counts.len(), victims);
        for newcomer in newcomers {
            let source = newcomer.index(counts.len());
            let before = plan.counts.clone();
            let most = *before.iter().max().unwrap();
            if let Some(payer) = plan.take(source) {
                prop_assert!(before[payer] == most || payer == source && before[payer] + 1 == most);
            }
        }
    }

    #[test]
    fn nobody_pays_for_a_larger_one(
        counts in prop::collection::vec(prop_oneof![4 => 0u32..5, 1 => 0u32..300], 1..40),
        newcomers in prop::collection::vec(any::<prop::sample::Index>(), 1..200),
        shares in 1usize..50,
        victims in 1usize..400,
    ) {
        let mut plan = Shares::new(&counts, shares, victims);
        for newcomer in newcomers {
            let source = newcomer.index(counts.len());
            let before = plan.counts.clone();
            if let Some(payer) = plan.take(source) {
                prop_assert!(payer == source || before[payer] >= before[source] + 2);
                // The newcomer comes.
                plan.joined(source);
            }
            // The smallest share never shrinks.
            prop_assert!(plan.counts.iter().min() >= before.iter().min());
        }
    }

    #[test]
    fn a_deep_plan_makes_shares_equal(
        counts in prop::collection::vec(1u32..60, 2..20),
    ) {
        let total: u32 = counts.iter().sum();
        let mut plan = Shares::new(&counts, counts.len() + 1, total as usize);
        // A source that has nothing takes as much as it gets.
        plan.grow(1);
        let new = counts.len();
        while plan.take(new).is_some_and(|payer| payer != new) {
            plan.joined(new);
        }
        let most = *plan.counts[..new].iter().max().unwrap();
        prop_assert!(plan.counts[new] + 1 >= most, "{:?}", plan.counts);
        for (before, after) in counts.iter().zip(&plan.counts) {
            // Who had no more than a fair share has all of it.
            prop_assert!(*after == *before || *after + 1 >= most);
        }
    }
}

#[test]
fn a_botnet_takes_nothing_from_a_thousand_sources() {
    let counts: Vec<u32> = [4000; 16].into_iter().chain([1; 1000]).collect();
    let max = counts.iter().sum();
    let mut plan = Shares::new(&counts, fair::shares(max), fair::victims(max));
    // Newcomers of the botnet, and of sources that were not there.
    plan.grow(500);
    for round in 0..1000 {
        let bot = round % 16;
        assert!(plan.take(bot).expect("its own pays") < 16);
        plan.joined(bot);
        if round < 500 {
            assert!(plan.take(1016 + round).expect("a place") < 16);
            plan.joined(1016 + round);
        }
    }
    assert!(plan.counts[16..].iter().all(|count| *count == 1));
}
