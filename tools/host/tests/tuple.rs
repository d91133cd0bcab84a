// SPDX-License-Identifier: GPL-2.0

//! Properties of tuples and of the number domains.

use proptest::prelude::*;
use rconntrack_pure::num::Dir;
use rconntrack_pure::num::Jiffies;
use rconntrack_pure::num::Jiffies32;
use rconntrack_pure::num::Seq;
use rconntrack_pure::tuple::Addr;
use rconntrack_pure::tuple::Destination;
use rconntrack_pure::tuple::Family;
use rconntrack_pure::tuple::Mask;
use rconntrack_pure::tuple::Source;
use rconntrack_pure::tuple::Tuple;

/// A tuple as parsing makes it: unused parts of the addresses are zero.
fn tuple() -> impl Strategy<Value = Tuple> {
    let proto = prop_oneof![
        3 => prop::sample::select(vec![1u8, 6, 17, 47, 58, 132]),
        1 => any::<u8>(),
    ];
    let kind = prop_oneof![0u8..20, 126u8..145, any::<u8>()];
    (
        any::<[u32; 4]>(),
        any::<[u32; 4]>(),
        any::<(u16, u16)>(),
        proto,
        kind,
        any::<(bool, bool)>(),
    )
        .prop_map(|(src, dst, (a, b), proto, kind, (v6, reply))| {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let [_, code] = b.to_ne_bytes();
            let dst_id = if matches!(proto, 1 | 58) {
                u16::from_ne_bytes([kind, code])
            } else {
                b
            };
            Tuple {
                src: Source {
                    addr: Addr(src).only(family),
                    id: a,
                    l3: family.number(),
                },
                dst: Destination {
                    addr: Addr(dst).only(family),
                    id: dst_id,
                    proto,
                    dir: reply.into(),
                },
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn inverting_twice_changes_nothing(tuple in tuple()) {
        if let Some(inverse) = tuple.invert() {
            prop_assert_eq!(inverse.invert(), Some(tuple));
            prop_assert_eq!(inverse.dir(), tuple.dir().opposite());
            prop_assert!(!inverse.same_flow(&tuple) || tuple.src.addr == tuple.dst.addr);
        } else {
            prop_assert!(matches!(tuple.dst.proto, 1 | 58));
        }
    }

    #[test]
    fn keys_are_equal_exactly_for_the_same_flow(a in tuple(), b in tuple(), mix: [bool; 5]) {
        // Two random tuples are never alike: take some parts from one another.
        let mut b = b;
        let parts: [fn(&mut Tuple, &Tuple); 5] = [
            |to, from| to.src.addr = from.src.addr,
            |to, from| to.dst.addr = from.dst.addr,
            |to, from| to.src.id = from.src.id,
            |to, from| to.dst.id = from.dst.id,
            |to, from| (to.src.l3, to.dst.proto) = (from.src.l3, from.dst.proto),
        ];
        for (part, take) in parts.into_iter().zip(mix) {
            if take {
                part(&mut b, &a);
            }
        }
        prop_assert_eq!(a.same_flow(&b), a.key_bytes() == b.key_bytes());
        prop_assert_eq!(a.same_flow(&b), a.same_source(&b) && a.same_destination(&b));
        prop_assert_eq!(a.with_dir(Dir::Reply).key_bytes(), a.with_dir(Dir::Original).key_bytes());
    }

    #[test]
    fn a_full_mask_is_equality_and_an_empty_one_is_not(a in tuple(), b in tuple()) {
        let full = Mask { addr: Addr([u32::MAX; 4]), id: u16::MAX };
        prop_assert_eq!(a.matches(&b, &full), a.same_flow(&b));
        prop_assert!(a.matches(&a, &full));
        let same = a.src.l3 == b.src.l3 && a.dst.proto == b.dst.proto;
        prop_assert_eq!(a.source_matches(&b, &Mask::default()), same);
    }

    #[test]
    fn addresses_print_as_the_standard_library_reads_them(bytes: [u8; 16]) {
        use std::net::{Ipv4Addr, Ipv6Addr};

        let v6 = Addr::v6(bytes);
        prop_assert_eq!(v6.bytes(), bytes);
        let text = v6.display(Family::V6).to_string();
        prop_assert_eq!(text.len(), 39);
        prop_assert_eq!(text.parse::<Ipv6Addr>().unwrap().octets(), bytes);
        let four = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let text = Addr::v4(four).display(Family::V4).to_string();
        prop_assert_eq!(text, Ipv4Addr::from(four).to_string());
    }

    #[test]
    fn sequence_numbers_keep_their_order_when_shifted(base: u32, shift: u32, distance in 1u32..(1 << 31)) {
        let (a, b) = (Seq(base), Seq(base).plus(distance));
        prop_assert!(a.before(b) && b.after(a) && !b.before(a) && !a.after(b));
        prop_assert_eq!(b.since(a), distance);
        prop_assert_eq!(b.minus(distance), a);
        prop_assert_eq!(a.plus(shift).before(b.plus(shift)), a.before(b));
        prop_assert!(!a.before(a) && !a.after(a));
    }

    #[test]
    fn deadlines_keep_their_distance_when_the_clock_wraps(now: u32, ticks in 0u32..(1 << 31), passed in 0u32..(1 << 31)) {
        let start = Jiffies32(now);
        let deadline = start.plus(ticks);
        prop_assert_eq!(start.left(deadline), ticks);
        prop_assert_eq!(start.reached(deadline), ticks == 0);
        let later = start.plus(passed);
        prop_assert_eq!(later.left(deadline), ticks.saturating_sub(passed));
        prop_assert_eq!(later.reached(deadline), passed >= ticks);
    }

    #[test]
    fn long_clocks_agree_with_wide_arithmetic(a: usize, ticks: u32) {
        let start = Jiffies(a);
        prop_assert_eq!(start.plus(ticks).after(start), ticks > 0);
        prop_assert!(!start.after(start.plus(ticks)));
        prop_assert_eq!(start.plus(ticks).low(), start.low().plus(ticks));
        prop_assert_eq!(start.low().0, a as u32);
    }
}
