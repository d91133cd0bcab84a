// SPDX-License-Identifier: GPL-2.0

//! Properties of the policies.

use proptest::collection::vec;
use proptest::prelude::*;
use rconntrack_pure::num::Jiffies32;
use rconntrack_pure::num::Seq;
use rconntrack_pure::policy::clash;
use rconntrack_pure::policy::clash::Resolution;
use rconntrack_pure::policy::pace::Budget;
use rconntrack_pure::policy::pace::Resume;
use rconntrack_pure::policy::pace::Round;
use rconntrack_pure::policy::pace::Stop;
use rconntrack_pure::policy::pace::Walk;
use rconntrack_pure::policy::seqadj;
use rconntrack_pure::policy::seqadj::Way;
use rconntrack_pure::policy::size;

/// The ticks per second that kernels are built with.
fn hz() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![100u32, 250, 300, 1000])
}

/// The average as plain arithmetic has it.
fn naive_average(hz: i64, left: &[u32]) -> i64 {
    let mut average = 60 * hz;
    for (at, left) in left.iter().enumerate() {
        let clamped = i64::from(*left).clamp(hz, 300 * hz);
        average += (clamped - average) / (101 + at as i64);
    }
    average
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn a_cycle_comes_back_between_a_tick_and_a_minute(hz in hz(), start: u32, took in 0u32..(1 << 31), left in vec(any::<u32>(), 0..400)) {
        let start = Jiffies32(start);
        let mut round = Round::begin(Resume::default(), start, Budget::new(hz));
        for ticks in &left {
            round.seen(*ticks);
        }
        let (resume, delay) = round.end(start.plus(took), Stop::Done);
        let average = naive_average(i64::from(hz), &left).clamp(i64::from(hz), 60 * i64::from(hz));
        let expected = (average - i64::from(took.max(1))).max(1);
        prop_assert_eq!(i64::from(delay), expected);
        prop_assert!((1..=60 * hz).contains(&delay));
        prop_assert_eq!(resume.bucket, 0);
    }

    #[test]
    fn every_bucket_is_visited_once_in_a_cycle(hz in hz(), start: u32, size in 1u32..300, per_bucket in vec((0u32..40, 0u32..3), 1..20)) {
        // (expired entries, ticks that the bucket takes), over and over
        let budget = Budget::new(hz);
        let mut now = Jiffies32(start);
        let mut resume = Resume::default();
        let mut visits = vec![0; size as usize];
        let mut cost = per_bucket.iter().cycle();
        let mut rounds = 0;
        loop {
            rounds += 1;
            prop_assert!(rounds <= size * 2, "no progress");
            let begun = now;
            let mut round = Round::begin(resume, now, budget);
            let stop = 'round: loop {
                let bucket = round.bucket();
                prop_assert!(bucket < size);
                let (expired, ticks) = cost.next().unwrap();
                for _ in 0..*expired {
                    if round.exhausted() {
                        break 'round Stop::Exhausted;
                    }
                    round.reclaimed();
                }
                visits[bucket as usize] += 1;
                now = now.plus(*ticks);
                match round.next_bucket(now, size) {
                    Walk::Continue => {}
                    Walk::OutOfTime => break Stop::OutOfTime,
                    Walk::Done => break Stop::Done,
                }
            };
            // A round ends soon after ten milliseconds, at the first bucket's end after them.
            prop_assert!(begun.until(now) <= (hz.div_ceil(100) + 1 + 2) as i32);
            let delay;
            (resume, delay) = round.end(now, stop);
            match stop {
                Stop::Done => {
                    prop_assert!(delay >= 1);
                    break;
                }
                Stop::OutOfTime => prop_assert_eq!(delay, 0),
                Stop::Exhausted => prop_assert!(delay <= 1),
            }
            now = now.plus(delay);
            if resume.bucket == 0 {
                visits.fill(0);
            }
        }
        prop_assert!(visits.iter().all(|n| *n == 1));
    }

    #[test]
    fn any_memory_of_a_round_is_no_harm(bucket: u32, average: u32, count: u32, started: u32, now: u32, hz: u32, left: u32, size: u32) {
        let resume = Resume { bucket, average, count, started: Jiffies32(started) };
        let mut round = Round::begin(resume, Jiffies32(now), Budget::new(hz));
        round.seen(left);
        round.reclaimed();
        let _ = round.exhausted();
        let _ = round.next_bucket(Jiffies32(now), size);
        for stop in [Stop::Exhausted, Stop::OutOfTime, Stop::Done] {
            let (_, delay) = round.end(Jiffies32(now), stop);
            prop_assert!(stop != Stop::Done || delay >= 1);
        }
    }

    #[test]
    fn a_packet_merges_only_with_its_own_flow(allowed: bool, winner: bool, holder: Option<bool>) {
        let same = |entry: &bool| *entry;
        match clash::resolve(allowed, winner, same, || holder) {
            Resolution::Merge(entry) => prop_assert!(allowed && entry),
            Resolution::InsertReplyOnly => prop_assert!(allowed && !winner && holder.is_none()),
            Resolution::Drop => {
                prop_assert!(!allowed || (!winner && holder == Some(false)));
            }
        }
    }

    #[test]
    fn tables_are_whole_pages(wanted: u32, page_bits in 12u32..17) {
        let page = 1 << page_bits;
        if let Some(buckets) = size::buckets(wanted, page) {
            let heads = page / (usize::BITS / 8);
            prop_assert!(buckets >= wanted && buckets - wanted < heads);
            prop_assert_eq!(buckets % heads, 0);
            prop_assert!(i32::try_from(u64::from(buckets) * 8).is_ok());
        } else {
            prop_assert!(u64::from(wanted) * 8 > 0x7fff_ffff - u64::from(page));
        }
    }

    #[test]
    fn more_memory_never_means_fewer_buckets(pages in 1usize..(1 << 24), more in 0usize..(1 << 24)) {
        let few = size::Sizes::at_load(pages, 4096, 0).unwrap();
        let many = size::Sizes::at_load(pages + more, 4096, 0).unwrap();
        prop_assert!(few.buckets <= many.buckets || pages + more > 1 << 18);
        prop_assert!(few.buckets >= 1024 && few.max == few.buckets);
    }

    #[test]
    fn numbers_come_back_from_a_translated_stream(start: u32, changes in vec((1u32..5000, -20i32..20), 1..20), probe in 0u32..2000) {
        let mut way = Way::default();
        let mut at = Seq(start);
        for (distance, offset) in changes {
            at = at.plus(distance);
            let before = way;
            way.note(at, offset);
            prop_assert_eq!(way.after, before.after.wrapping_add(offset));
            prop_assert_eq!(way.before, before.after);
            // Noted again, as when the segment is sent again: nothing, unless nothing was changed.
            let noted = way;
            way.note(at, offset);
            if offset != 0 {
                prop_assert_eq!(way, noted);
            } else {
                way = noted;
            }
            // A number well behind the change goes there and back.
            let later = at.plus(100 + probe);
            prop_assert_eq!(way.incoming(way.outgoing(later)), later);
        }
    }

    #[test]
    fn sack_takes_any_bytes(options in vec(any::<u8>(), 0..60), position: u32, before: i32, after: i32) {
        let way = Way { correction_pos: position, before, after };
        let mut bytes = options.clone();
        let mut heard = 0;
        let _ = seqadj::adjust_sack(&mut bytes, &way, |_, _| heard += 1);
        prop_assert!(heard % 2 == 0 && heard * 4 <= bytes.len());
        if heard == 0 {
            prop_assert_eq!(bytes, options);
        }
    }

    #[test]
    fn sack_blocks_are_moved_back(blocks in vec(any::<(u32, u32)>(), 1..4), nops in 0usize..3, position: u32, before: i32, after: i32) {
        let way = Way { correction_pos: position, before, after };
        let mut bytes = vec![1; nops];
        bytes.extend([5, (2 + 8 * blocks.len()) as u8]);
        for (a, b) in &blocks {
            bytes.extend(a.to_be_bytes());
            bytes.extend(b.to_be_bytes());
        }
        bytes.extend([0, 5, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
        let tail = bytes[bytes.len() - 10..].to_vec();
        prop_assert!(seqadj::adjust_sack(&mut bytes, &way, |_, _| ()));
        let at = |n: usize| Seq(u32::from_be_bytes(bytes[n..n + 4].try_into().unwrap()));
        for (n, (a, b)) in blocks.iter().enumerate() {
            let offset = nops + 2 + 8 * n;
            prop_assert_eq!(at(offset), way.incoming(Seq(*a)));
            prop_assert_eq!(at(offset + 4), way.incoming(Seq(*b)));
        }
        prop_assert!(bytes.ends_with(&tail));
    }
}
