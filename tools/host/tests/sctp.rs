// SPDX-License-Identifier: GPL-2.0

//! Properties of the SCTP tracker.
//!
//! * Whatever stands in an entry and in a packet, a step ends with a verdict, and the verdict keeps
//!   its promises.
//! * Tags have no meaning but to be equal or not: other names for them change nothing else.

use proptest::prelude::*;
use rconntrack_pure::l4::sctp::open;
use rconntrack_pure::l4::sctp::step;
use rconntrack_pure::l4::sctp::Env;
use rconntrack_pure::l4::sctp::Log;
use rconntrack_pure::l4::sctp::State;
use rconntrack_pure::l4::sctp::Step;
use rconntrack_pure::l4::sctp::Tracking;
use rconntrack_pure::l4::sctp::Verdict;
use rconntrack_pure::l4::sctp::TIMEOUTS;
use rconntrack_pure::num::Dir;
use rconntrack_pure::wire::sctp::read;
use rconntrack_pure::wire::sctp::Kind;
use rconntrack_pure::wire::sctp::Tag;

/// Timeouts by state, all different.
const TICKS: [u32; TIMEOUTS] = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19];

/// A message whose tags are among few, so that they meet.
#[derive(Clone, Debug)]
struct Built {
    tag: usize,
    /// Type, flags, index of the tag that an INIT announces.
    chunks: Vec<(u8, u8, usize)>,
}

impl Built {
    fn bytes(&self, tags: &[u32; 4]) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(tags[self.tag].to_ne_bytes());
        bytes.extend([0; 4]);
        for (kind, flags, announced) in &self.chunks {
            let long = [Kind::INIT, Kind::INIT_ACK].contains(&Kind(*kind));
            bytes.extend([*kind, *flags, 0, if long { 20 } else { 4 }]);
            if long {
                bytes.extend(tags[*announced].to_ne_bytes());
                bytes.extend([0; 12]);
            }
        }
        bytes
    }
}

fn dirs() -> impl Strategy<Value = Dir> {
    prop_oneof![Just(Dir::Original), Just(Dir::Reply)]
}

prop_compose! {
    fn messages()(
        tag in 0usize..4,
        chunks in prop::collection::vec((0u8..16, 0u8..2, 0usize..4), 1..4),
    ) -> Built {
        Built { tag, chunks }
    }
}

prop_compose! {
    /// An entry, with tags by their index.
    fn entries()(
        state in prop_oneof![9 => 0u32..9, 1 => any::<u32>()],
        tag in [0usize..4, 0usize..4],
        init in prop_oneof![4 => [0u8..2, 0u8..2], 1 => any::<[u8; 2]>()],
        (last_dir, flags) in prop_oneof![4 => (0u8..2, 0u8..2), 1 => any::<(u8, u8)>()],
    ) -> (Tracking, [usize; 2]) {
        let tracking = Tracking { state, tag: [Tag::ZERO; 2], init, last_dir, flags };
        (tracking, tag)
    }
}

fn with_tags(mut tracking: Tracking, index: [usize; 2], tags: &[u32; 4]) -> Tracking {
    tracking.tag = index.map(|index| Tag(tags[index]));
    tracking
}

/// Three tags, none of them zero, in any order.
fn names() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::btree_set(1u32.., 3)
        .prop_map(|names| names.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

/// A step less the tags in its log, and whether there are any.
fn without_tags(step: Step) -> (Step, bool) {
    let tag = matches!(step.log, Some(Log::Tag { .. }));
    let log = step.log.filter(|_| !tag);
    (Step { log, ..step }, tag)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8192) })]

    #[test]
    fn any_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..120), dataoff in 0u32..40) {
        if let Ok(message) = read(&bytes[..], dataoff) {
            let chunks = message.chunks().count();
            prop_assert!(chunks >= 1 && chunks <= bytes.len() / 4);
            for chunk in message.chunks() {
                prop_assert!(chunk.length != 0);
                let _ = message.announced(&chunk);
            }
            let _ = open(&message);
        }
    }

    #[test]
    fn verdicts_keep_their_promises(
        (before, index) in entries(),
        dir in dirs(),
        message in messages(),
        (confirmed, assured) in any::<(bool, bool)>(),
    ) {
        let tags = [0, 1, 2, 3];
        let bytes = message.bytes(&tags);
        let Ok(message) = read(&bytes[..], 0) else {
            return Ok(());
        };
        let mut tracking = with_tags(before, index, &tags);
        let env = Env { confirmed, assured, timeout: |state: State| TICKS[state.index()] };
        let step = step(&mut tracking, dir, &message, &env);

        let state = State::from_raw(tracking.state);
        match step.verdict {
            Verdict::Refresh(ticks) => {
                prop_assert_eq!(Some(ticks), state.map(|state| TICKS[state.index()]));
                prop_assert!(step.log.is_none());
            }
            Verdict::Pass => prop_assert!(step.log.is_none()),
            Verdict::Invalid => {}
        }
        prop_assert!(!step.assured || (!assured && step.protoinfo));
        prop_assert!(step.protoinfo || tracking.state == before.state);
        if State::from_raw(before.state).is_none() {
            prop_assert_eq!(tracking.state, before.state);
            prop_assert!(!matches!(step.verdict, Verdict::Refresh(_)));
        }
    }

    #[test]
    fn tags_are_but_names(
        (before, index) in entries(),
        dir in dirs(),
        messages in prop::collection::vec(messages(), 1..6),
        names in names(),
    ) {
        let plain = [0, 1, 2, 3];
        let named = [0, names[0], names[1], names[2]];
        let name = |tag: Tag| plain.iter().position(|plain| Tag(*plain) == tag).map(|at| Tag(named[at]));
        let mut here = with_tags(before, index, &plain);
        let mut there = with_tags(before, index, &named);
        for (number, message) in messages.iter().enumerate() {
            let dir = if number % 2 == 0 { dir } else { dir.opposite() };
            let (one, other) = (message.bytes(&plain), message.bytes(&named));
            let (Ok(one), Ok(other)) = (read(&one[..], 0), read(&other[..], 0)) else {
                continue;
            };
            prop_assert_eq!(open(&one).is_ok(), open(&other).is_ok());
            let env = Env { confirmed: true, assured: false, timeout: |state: State| TICKS[state.index()] };
            let expected = step(&mut here, dir, &one, &env);
            let found = step(&mut there, dir, &other, &env);
            prop_assert_eq!(without_tags(found), without_tags(expected));
            let renamed = Tracking { tag: here.tag.map(|tag| name(tag).unwrap()), ..here };
            prop_assert_eq!(there, renamed);
        }
    }
}
