// SPDX-License-Identifier: GPL-2.0

//! Properties of what the worker takes before anybody needs the place.

use proptest::prelude::*;

use rconntrack_pure::policy::class::Class;
use rconntrack_pure::policy::tidy;
use rconntrack_pure::policy::tidy::Tidy;
use rconntrack_pure::policy::top::Source;
use rconntrack_pure::policy::top::Top;
use rconntrack_pure::status::Status;
use rconntrack_pure::tuple::l3;
use rconntrack_pure::tuple::Addr;

fn class() -> impl Strategy<Value = Class> {
    prop::sample::select(Class::ALL.to_vec())
}

/// A day in ticks of a fast clock.
const DAY: u32 = 86_400_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// What may be needed yet stays, however full the table is.
    #[test]
    fn nothing_alive_goes(
        count: u32, max: u32, class in class(), status: usize,
        idle in 0..DAY, timeout in 0..DAY, hz in 100u32..=1000,
    ) {
        let status = Status(status);
        let takes = Tidy::new(count, max).takes(class, status, idle, timeout, hz);
        if u64::from(count) * 100 <= u64::from(max) * u64::from(tidy::FROM) {
            prop_assert!(!takes);
        }
        match class {
            Class::Active | Class::Idle => prop_assert!(!takes),
            // No round trip lasts that long, nor does one of a handshake that is tried again.
            Class::Unreplied | Class::Answered if idle < 20 * hz => prop_assert!(!takes),
            Class::Answered if idle < timeout / 2 => prop_assert!(!takes),
            Class::Closing if idle < 30 * hz => prop_assert!(!takes),
            _ => {}
        }
        if status.any(Status::FIXED_TIMEOUT) && class != Class::Expired {
            prop_assert!(!takes);
        }
    }

    /// Fuller, or idle for longer, or of a lower class: it does not stay where the other went.
    #[test]
    fn more_reason_is_no_less(
        max in 1u32.., a: u32, b: u32, class in class(), other in class(),
        idle in 0..DAY, more in 0..DAY, timeout in 0..DAY, hz in 100u32..=1000,
    ) {
        let takes = |count, class, idle| {
            Tidy::new(count, max).takes(class, Status(0), idle, timeout, hz)
        };
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(!takes(low, class, idle) || takes(high, class, idle));
        prop_assert!(!takes(low, class, idle) || takes(low, class, idle + more));
        let (first, later) = (class.min(other), class.max(other));
        prop_assert!(!takes(low, later, idle) || takes(low, first, idle));
    }

    /// A table of what is dead does not stay above the second mark.
    #[test]
    fn the_dead_do_not_trip_an_alarm(
        max in 100u32..1_000_000, above in 0u32..1_000_000, hz in 100u32..=1000,
    ) {
        let count = (u64::from(max) * u64::from(tidy::BRISK)).div_ceil(100) as u32 + above;
        let tidy = Tidy::new(count, max);
        prop_assert!(tidy.takes(Class::Expired, Status(0), 0, 0, hz));
        prop_assert!(tidy.takes(Class::Closed, Status(0), hz, 120 * hz, hz));
        prop_assert!(tidy.takes(Class::Closing, Status(0), 30 * hz, 120 * hz, hz));
        prop_assert!(tidy.takes(Class::Unreplied, Status(0), 20 * hz, 120 * hz, hz));
        prop_assert!(tidy.takes(Class::Answered, Status(0), 20 * hz, 30 * hz, hz));
    }

    /// Walks are a second to eight apart.
    #[test]
    fn walks_are_not_too_often(last: u32, seen: u32, taken: u32, hz in 100u32..=1000) {
        let next = tidy::next_walk(last, seen, taken, hz);
        prop_assert!((hz..=8 * hz).contains(&next));
    }

    /// The bounds of the space-saving algorithm.
    #[test]
    fn heavy_sources_are_found(
        picks in prop::collection::vec((0u32..40, 1usize..4), 0..400),
    ) {
        const N: usize = 8;
        let mut top = Top::<N>::new();
        let mut truth = [0u32; 40];
        for (who, times) in picks {
            // Low numbers come more often.
            let who = who * who / 40;
            for _ in 0..times {
                truth[who as usize] += 1;
                top.add(Source::of(Addr([who + 1, 0, 0, 0]), l3::IPV4));
            }
        }
        let all: u32 = truth.iter().sum();
        let rows: Vec<_> = top.sorted().map(|row| (row.source(), row.at_least())).collect();
        prop_assert!(rows.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        for (source, at_least) in &rows {
            let truth = truth[source.addr.0[0] as usize - 1];
            prop_assert!(*at_least <= truth && truth - at_least <= all / N as u32);
        }
    }
}
