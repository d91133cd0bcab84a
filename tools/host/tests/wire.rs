// SPDX-License-Identifier: GPL-2.0

//! Properties of the parsers: no bytes make them panic, and they find what a naive reader finds.

use proptest::collection::vec;
use proptest::prelude::*;
use rconntrack_pure::l4::icmp;
use rconntrack_pure::l4::icmp::Inspection;
use rconntrack_pure::tuple::Addr;
use rconntrack_pure::tuple::Family;
use rconntrack_pure::tuple::Tuple;
use rconntrack_pure::wire;
use rconntrack_pure::wire::gre;
use rconntrack_pure::wire::udp;
use rconntrack_pure::wire::Packet;

/// What a tuple says, told by a reader that indexes bytes and knows nothing of our types: family,
/// addresses, protocol, and the two ids as bytes.
#[derive(Debug, PartialEq)]
struct Naive {
    src: Vec<u8>,
    dst: Vec<u8>,
    proto: u8,
    src_id: [u8; 2],
    dst_id: [u8; 2],
}

/// The key that the tests' PPTP table knows for a call.
fn key_of(call: [u8; 2]) -> [u8; 2] {
    [!call[0], call[1]]
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset + N)?.try_into().ok()
}

fn naive_v6_transport(bytes: &[u8], nhoff: usize) -> Option<(u8, usize)> {
    let mut next = *bytes.get(nhoff + 6)?;
    let mut offset = nhoff + 40;
    for _ in 0..=12 {
        let size = match next {
            0 | 43 | 60 => (at::<2>(bytes, offset)?[1] as usize + 1) * 8,
            51 => (at::<2>(bytes, offset)?[1] as usize + 2) * 4,
            44 => {
                let [_, _, a, b] = at(bytes, offset)?;
                if a != 0 || b > 7 {
                    return None;
                }
                8
            }
            59 => return None,
            _ => return Some((next, offset)),
        };
        next = bytes[offset];
        offset += size;
    }
    // A thirteenth extension header was skipped.
    None
}

fn naive_transport(bytes: &[u8], nhoff: usize, family: Family) -> Option<(u8, usize)> {
    match family {
        Family::V4 => {
            let header: [u8; 20] = at(bytes, nhoff)?;
            let offset = nhoff + (header[0] % 16) as usize * 4;
            let later = header[6] % 32 != 0 || header[7] != 0;
            (!later && offset != 0 && offset <= bytes.len()).then_some((header[9], offset))
        }
        Family::V6 => naive_v6_transport(bytes, nhoff),
    }
}

fn naive(bytes: &[u8], nhoff: usize, family: Family) -> Option<Naive> {
    let (proto, offset) = naive_transport(bytes, nhoff, family)?;
    let (src, dst) = match family {
        Family::V4 => (nhoff + 12..nhoff + 16, nhoff + 16..nhoff + 20),
        Family::V6 => (nhoff + 8..nhoff + 24, nhoff + 24..nhoff + 40),
    };
    let (src_id, dst_id) = match proto {
        6 | 17 | 132 => {
            let [a, b, c, d] = at(bytes, offset)?;
            ([a, b], [c, d])
        }
        1 | 58 => {
            let header: [u8; 8] = at(bytes, offset)?;
            ([header[4], header[5]], [header[0], header[1]])
        }
        47 => match (at::<4>(bytes, offset), at::<8>(bytes, offset)) {
            (Some(base), whole) if base[1] % 8 == 1 => match whole {
                Some(h) if h[2..4] == [0x88, 0x0b] => (key_of([h[6], h[7]]), [h[6], h[7]]),
                Some(_) => return None,
                None => ([0; 2], [0; 2]),
            },
            _ => ([0; 2], [0; 2]),
        },
        _ => ([0; 2], [0; 2]),
    };
    Some(Naive {
        src: bytes.get(src)?.to_vec(),
        dst: bytes.get(dst)?.to_vec(),
        proto,
        src_id,
        dst_id,
    })
}

fn keymap(call: &Tuple) -> u16 {
    assert_eq!(call.src.id, 0);
    u16::from_ne_bytes(key_of(call.dst.id.to_ne_bytes()))
}

/// Ours, in the naive reader's words.
fn ours(bytes: &[u8], nhoff: usize, family: Family) -> Option<Naive> {
    let tuple = wire::tuple_at(bytes, nhoff as u32, family, keymap)?;
    assert_eq!(tuple.src.l3, family.number());
    assert_eq!(tuple.dst.dir, 0);
    let size = match family {
        Family::V4 => 4,
        Family::V6 => 16,
    };
    let (src, dst) = (tuple.src.addr.bytes(), tuple.dst.addr.bytes());
    assert!(src[size..].iter().chain(&dst[size..]).all(|b| *b == 0));
    Some(Naive {
        src: src[..size].to_vec(),
        dst: dst[..size].to_vec(),
        proto: tuple.dst.proto,
        src_id: tuple.src.id.to_ne_bytes(),
        dst_id: tuple.dst.id.to_ne_bytes(),
    })
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

/// Protocols with a reader of their own, extension headers, and any other.
fn protocol() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => prop::sample::select(vec![1u8, 6, 17, 47, 58, 132]),
        1 => any::<u8>(),
    ]
}

fn extension() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let kind = prop::sample::select(vec![0u8, 43, 44, 51, 60]);
    // Mostly short ones and first fragments.
    let length = prop_oneof![6 => 0u8..4, 1 => any::<u8>()];
    let fragment = prop_oneof![4 => 0u16..8, 1 => any::<u16>()];
    (kind, length, fragment).prop_map(|(kind, length, fragment)| {
        let size = match kind {
            44 => 8,
            51 => (length as usize + 2) * 4,
            _ => (length as usize + 1) * 8,
        };
        let mut bytes = vec![0; size.min(64)];
        bytes[1] = length;
        if kind == 44 {
            bytes[2..4].copy_from_slice(&fragment.to_be_bytes());
        }
        (kind, bytes)
    })
}

/// A packet that is nearly right: network header at some offset, extension headers, transport
/// bytes, then cut off and with a byte changed here and there.
fn packet(family: Family) -> impl Strategy<Value = (Vec<u8>, usize)> {
    let gre = prop_oneof![any::<u8>(), Just(0x01)];
    (
        (0usize..3).prop_map(|n| n * 7),
        vec(any::<u8>(), 40),
        vec(extension(), 0..15),
        protocol(),
        vec(any::<u8>(), 0..24),
        gre,
        prop_oneof![3 => Just(usize::MAX), 1 => 0usize..200],
        prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>())),
    )
        .prop_map(
            move |(nhoff, mut header, chain, last, mut l4, version, cut, flip)| {
                let mut bytes = vec![0; nhoff];
                if last == 47 && l4.len() >= 4 {
                    l4[1] = version;
                    if version % 2 == 1 {
                        l4[2..4].copy_from_slice(&[0x88, 0x0b]);
                    }
                }
                match family {
                    Family::V4 => {
                        header.truncate(20);
                        header[0] = 0x40 | (5 + header[0] % 4);
                        if header[1] % 4 != 0 {
                            header[6] &= 0xe0;
                            header[7] = 0;
                        }
                        header[9] = last;
                        let options = (header[0] % 16) as usize * 4 - 20;
                        bytes.extend(header);
                        bytes.extend(vec![0; options]);
                    }
                    Family::V6 => {
                        let kinds: Vec<u8> = chain.iter().map(|(kind, _)| *kind).collect();
                        header[6] = kinds.first().copied().unwrap_or(last);
                        bytes.extend(header);
                        for (at, (_, mut extension)) in chain.into_iter().enumerate() {
                            extension[0] = kinds.get(at + 1).copied().unwrap_or(last);
                            bytes.extend(extension);
                        }
                    }
                }
                bytes.extend(l4);
                bytes.truncate(cut);
                if let (Some((at, value)), false) = (flip, bytes.is_empty()) {
                    let at = at.index(bytes.len());
                    bytes[at] = value;
                }
                (bytes, nhoff)
            },
        )
}

fn any_packet() -> impl Strategy<Value = (Family, Vec<u8>, usize)> {
    family().prop_flat_map(|family| {
        let of = packet(family);
        of.prop_map(move |(bytes, nhoff)| (family, bytes, nhoff))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn tuples_are_what_a_naive_reader_finds((family, bytes, nhoff) in any_packet()) {
        prop_assert_eq!(ours(&bytes, nhoff, family), naive(&bytes, nhoff, family));
    }

    #[test]
    fn the_wrong_family_is_no_harm((family, bytes, nhoff) in any_packet()) {
        let other = match family {
            Family::V4 => Family::V6,
            Family::V6 => Family::V4,
        };
        prop_assert_eq!(ours(&bytes, nhoff, other), naive(&bytes, nhoff, other));
    }

    #[test]
    fn noise_is_no_harm(bytes in vec(any::<u8>(), 0..200), nhoff in 0usize..220, family in family()) {
        prop_assert_eq!(ours(&bytes, nhoff, family), naive(&bytes, nhoff, family));
    }

    #[test]
    fn offsets_beyond_the_end_are_no_harm(bytes in vec(any::<u8>(), 0..80), offset: u32, family in family()) {
        let packet = &bytes[..];
        if offset as usize >= bytes.len() {
            prop_assert_eq!(wire::tuple_at(packet, offset, family, keymap), None);
            prop_assert_eq!(gre::parse(packet, offset), gre::Header::Plain);
            prop_assert!(udp::check(packet, offset, true, || false).is_err());
            prop_assert_eq!(
                icmp::inspect_v4(packet, 0, offset, || false),
                Inspection::Invalid(icmp::Reason::Short)
            );
        }
    }

    #[test]
    fn a_longer_packet_has_the_same_tuple((family, bytes, nhoff) in any_packet(), more in vec(any::<u8>(), 1..40)) {
        // GRE is the exception: it does without what is cut off.
        if let Some(tuple) = wire::tuple_at(&bytes[..], nhoff as u32, family, keymap) {
            if tuple.dst.proto != 47 {
                let longer = [bytes, more].concat();
                let again = wire::tuple_at(&longer[..], nhoff as u32, family, keymap);
                prop_assert_eq!(again, Some(tuple));
            }
        }
    }

    #[test]
    fn udp_lengths(there in 0usize..40, length: u16, sum: u16, gso: bool, bad: bool) {
        let mut bytes = [0; 40];
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        let mut asked = false;
        let result = udp::check(&bytes[..there], 0, gso, || {
            asked = true;
            bad
        });
        let whole = gso && length == 0;
        let fits = there >= 8 && (whole || (8..=there).contains(&(length as usize)));
        prop_assert_eq!(asked, fits && sum != 0);
        prop_assert_eq!(result.is_ok(), fits && !(asked && bad));
    }

    #[test]
    fn errors_lead_to_the_quoted_packet(
        (family, inner, _) in any_packet(),
        kind: u8,
        head in vec(any::<u8>(), 40),
        cut in 0usize..120,
    ) {
        let (size, at_type) = match family {
            Family::V4 => (20, 20),
            Family::V6 => (40, 40),
        };
        let mut bytes = head;
        bytes.truncate(size);
        bytes.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(&inner);
        bytes.truncate(cut.max(4));
        let packet = &bytes[..];
        let inspection = match family {
            Family::V4 => icmp::inspect_v4(packet, 0, at_type, || false),
            Family::V6 => icmp::inspect_v6(packet, 0, at_type, || false),
        };
        if packet.size() < at_type + 8 {
            prop_assert_eq!(inspection, Inspection::Invalid(icmp::Reason::Short));
        }
        if let Inspection::Inner { offset, outer } = inspection {
            let expected = match family {
                Family::V4 => Addr::v4(at(packet, 16).unwrap()),
                Family::V6 => Addr::v6(at(packet, 24).unwrap()),
            };
            prop_assert_eq!(outer, expected);
            // Whatever is quoted there, the look-up is for its inverse.
            let quoted = wire::tuple_at(packet, offset, family, keymap);
            let wanted = icmp::inner_tuple(packet, offset, family, keymap);
            prop_assert_eq!(wanted.ok(), quoted.and_then(|t| t.invert()));
        }
    }

    #[test]
    fn redirects_take_any_bytes(bytes in vec(any::<u8>(), 0..140), hops in prop_oneof![Just(255u8), any::<u8>()]) {
        let mut bytes = bytes;
        for (at, value) in [(7, hops), (8, 0xfe), (9, 0x80), (40, 137), (41, 0), (80, 4)] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        match icmp::inspect_v6(&bytes[..], 0, 40, || false) {
            Inspection::Inner { offset, .. } => {
                prop_assert!(hops == 255 && bytes.len() >= 82 && bytes[81] != 0);
                prop_assert_eq!(offset, 88);
            }
            Inspection::Invalid(_) => prop_assert!(hops != 255 || bytes.len() < 82 || bytes[81] == 0),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
