// SPDX-License-Identifier: GPL-2.0

//! Properties of what depends on how full a table is: questions of rules, scaling, soft timeouts.

use proptest::prelude::*;
use rconntrack_pure::policy::adaptive;
use rconntrack_pure::policy::adaptive::Scale;
use rconntrack_pure::policy::adaptive::Span;
use rconntrack_pure::policy::occupancy::Occupancy;
use rconntrack_pure::policy::occupancy::Question;
use rconntrack_pure::policy::occupancy::LABELLED;
use rconntrack_pure::policy::occupancy::MOST_PERCENT;
use rconntrack_pure::policy::soft;
use rconntrack_pure::policy::timeout::Seconds;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn answers_are_what_arithmetic_says(entries: u32, limit in 1u32.., percent in 0..=MOST_PERCENT) {
        let of = Occupancy::new(entries, limit);
        let (here, there) = (u128::from(entries) * 100, u128::from(limit) * u128::from(percent));
        prop_assert_eq!(Question::Above(percent).holds(of), here > there);
        prop_assert_eq!(Question::Below(percent).holds(of), here < there);
        prop_assert_eq!(Question::Between(percent, percent).holds(of), here == there);
    }

    #[test]
    fn a_fuller_table_has_no_fewer_labels(entries: u32, more: u32, limit: u32) {
        let labels = |entries| {
            let of = Occupancy::new(entries, limit);
            LABELLED.iter().take_while(|percent| of.reaches(**percent)).count()
        };
        prop_assert!(labels(entries) <= labels(entries.saturating_add(more)));
    }

    #[test]
    fn numbers_of_rules_are_questions_or_refused(mode: u8, from: u8, to: u8, entries: u32, limit: u32) {
        if let Some(question) = Question::from_raw(mode, from, to) {
            prop_assert!(mode <= 2 && from <= MOST_PERCENT && to <= MOST_PERCENT);
            let _ = question.holds(Occupancy::new(entries, limit));
        }
    }

    #[test]
    fn spans_of_policies_scale(start: Option<u32>, end: Option<u32>, n: u32, max: u32, timeout: u32) {
        if let Ok(Some(span)) = Span::of_policy(start, end) {
            prop_assert!(span == Span::OFF || 0 < span.start && span.start < span.end);
            let scale = Scale::new(n, max, span.start, span.end);
            prop_assert!(scale.of(timeout) <= timeout);
            // Who is scaled is walked for.
            if !scale.is_full() {
                prop_assert!(adaptive::is_due(n, max, Span::OFF, span.start));
                prop_assert!(adaptive::is_due(n, max, span, 0));
            }
        }
    }

    #[test]
    fn soft_timeouts_stay_apart_from_saying_nothing(seconds: u32, hz in prop::sample::select(vec![100u32, 250, 300, 1000]), namespace: u32) {
        if let Some(ticks) = soft::ticks(Seconds(seconds), hz) {
            prop_assert_eq!(ticks / hz, seconds);
            prop_assert_eq!(soft::of(Some(ticks), namespace), ticks);
        }
        prop_assert_eq!(soft::of(Some(soft::UNSET), namespace), namespace);
    }
}
