// SPDX-License-Identifier: GPL-2.0

//! Ways to spoil a packet: cut it, bend a field, break a checksum.

use fastrand::Rng;

use crate::wire;

/// Spoils `b` in one way and says which.
pub fn spoil(rng: &mut Rng, b: &mut Vec<u8>) -> String {
    let Some((proto, at)) = wire::transport(b) else {
        return "as it is".to_string();
    };
    let room = b.len().saturating_sub(at);
    match rng.u8(..16) {
        0..3 => {
            let keep = at
                + if room > 0 {
                    rng.usize(..room.min(64))
                } else {
                    0
                };
            b.truncate(keep);
            fix_length(b);
            format!("cut to {} bytes behind the network header", keep - at)
        }
        3 => {
            let keep = rng.usize(..=b.len());
            b.truncate(keep);
            format!("cut to {keep} bytes, length left")
        }
        4..6 => {
            let n = flip(rng, b, at, at + room.min(40));
            format!("bit {n} flipped, checksum left")
        }
        6..9 => {
            let n = flip(rng, b, at, at + room.min(40));
            fix_l4(b, proto, at);
            format!("bit {n} flipped, checksum right")
        }
        9 => {
            let n = flip(rng, b, 0, at);
            wire::fix_v4_checksum(b);
            format!("bit {n} flipped in the network header")
        }
        10 => {
            if let Some(c) = check_place(proto) {
                if let Some(c) = b.get_mut(at + c..at + c + 2) {
                    c.fill(0);
                }
            }
            "checksum 0".to_string()
        }
        11 => {
            if let Some(c) = check_place(proto) {
                if let Some(c) = b.get_mut(at + c) {
                    *c ^= 0x55;
                }
            }
            "checksum wrong".to_string()
        }
        12 => {
            let extra = rng.usize(1..40);
            b.resize(b.len() + extra, 0xee);
            format!("{extra} bytes of padding behind it")
        }
        13 => {
            let proto = *rng
                .choice(&[0, 1, 2, 4, 6, 17, 33, 41, 47, 50, 58, 59, 132, 136, 255])
                .unwrap_or(&0);
            let place = if b[0] >> 4 == 4 { 9 } else { 6 };
            b[place] = proto;
            wire::fix_v4_checksum(b);
            format!("protocol {proto}")
        }
        14 => {
            // A whole field rather than a bit.
            if room >= 2 {
                let i = at + rng.usize(..room.min(24) - 1);
                let value = *rng.choice(&[0u16, 1, 7, 8, 0xffff, 0x7fff]).unwrap_or(&0);
                b[i..i + 2].copy_from_slice(&value.to_be_bytes());
                fix_l4(b, proto, at);
                format!("{value} at {}, checksum right", i - at)
            } else {
                "as it is".to_string()
            }
        }
        _ => {
            let rest = b.len() - at.min(b.len());
            for byte in &mut b[at..at + rest.min(20)] {
                *byte = rng.u8(..);
            }
            "random header".to_string()
        }
    }
}

fn flip(rng: &mut Rng, b: &mut [u8], from: usize, to: usize) -> usize {
    let to = to.min(b.len());
    if from >= to {
        return 0;
    }
    let bit = rng.usize(..(to - from) * 8);
    b[from + bit / 8] ^= 0x80 >> (bit % 8);
    bit
}

fn check_place(proto: u8) -> Option<usize> {
    match proto {
        wire::TCP => Some(16),
        wire::UDP | wire::UDPLITE => Some(6),
        wire::ICMP | wire::ICMPV6 => Some(2),
        wire::SCTP => Some(8),
        _ => None,
    }
}

/// The length in the network header as the packet is.
pub fn fix_length(b: &mut [u8]) {
    let len = b.len();
    match b.first().map(|v| v >> 4) {
        Some(4) if len >= 20 => {
            b[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            wire::fix_v4_checksum(b);
        }
        Some(6) if len >= 40 => {
            b[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        }
        _ => {}
    }
}

/// The transport checksum as the bytes are, for those with an internet one.
pub fn fix_l4(b: &mut [u8], proto: u8, at: usize) {
    let Some(place) = check_place(proto) else {
        return;
    };
    if proto == wire::SCTP || b.len() < at + place + 2 {
        return;
    }
    b[at + place..at + place + 2].fill(0);
    let mut acc: u64 = 0;
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks(2) {
            acc += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
    };
    if proto != wire::ICMP {
        add(if b[0] >> 4 == 4 {
            &b[12..20]
        } else {
            &b[8..40]
        });
        add(&[0, proto]);
        add(&((b.len() - at) as u16).to_be_bytes());
    }
    add(&b[at..]);
    while acc > 0xffff {
        acc = (acc & 0xffff) + (acc >> 16);
    }
    b[at + place..at + place + 2].copy_from_slice(&(!(acc as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Addr;
    use crate::wire::Ip;

    #[test]
    fn fixing_a_right_checksum_changes_nothing() {
        for v6 in [false, true] {
            let a = Addr {
                v6,
                host: 1,
                number: 9,
            };
            let b = Addr {
                v6,
                host: 2,
                number: 9,
            };
            let icmp = wire::icmp(a, b, 8, 0, [1, 2, 3, 4], b"abc");
            let proto = if v6 { wire::ICMPV6 } else { wire::ICMP };
            for (proto, l4) in [
                (wire::UDP, wire::udp(a, b, 5, 6, 33)),
                (wire::TCP, wire::tcp(a, b, &wire::Segment::default())),
                (proto, icmp),
            ] {
                let p = wire::packet(a, b, proto, &Ip::default(), &l4);
                let mut q = p.clone();
                let (_, at) = wire::transport(&p).unwrap();
                fix_l4(&mut q, proto, at);
                fix_length(&mut q);
                assert_eq!(p, q);
            }
        }
    }

    #[test]
    fn spoiling_never_panics() {
        let mut rng = Rng::with_seed(4);
        for n in 0..20_000 {
            let v6 = n % 2 == 0;
            let a = Addr {
                v6,
                host: 1,
                number: 9,
            };
            let l4 = vec![0; rng.usize(..60)];
            let mut p = wire::packet(a, a, rng.u8(..), &Ip::default(), &l4);
            for _ in 0..3 {
                spoil(&mut rng, &mut p);
            }
        }
    }
}
