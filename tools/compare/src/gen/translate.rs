// SPDX-License-Identifier: GPL-2.0

//! What a server sees of clients behind address translation, and answers to.
//!
//! The profile that translates maps a sequence's hosts by prefix, each to one whose
//! number is [`SHIFT`] more. Packets are made without it; those of the server's side
//! are then rewritten as if it had seen the others. A checksum that was wrong before
//! stays wrong.

/// From a host's number to that of what it looks like on the other side.
pub const SHIFT: u8 = 100;

/// The sum of 16-bit words of `bytes`, an odd last one padded.
fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|p| u64::from(p[0]) << 8 | u64::from(*p.get(1).unwrap_or(&0)))
        .sum()
}

/// The checksum at `at` follows a change from `old` to `new`, as RFC 1624 has it.
fn follow(bytes: &mut [u8], at: usize, old: u64, new: u64) {
    let Some(field) = bytes.get_mut(at..at + 2) else {
        return;
    };
    let was = u64::from(u16::from_be_bytes([field[0], field[1]]));
    // Both sums are small; multiples of 65535 are nothing in this arithmetic.
    let mut acc = (!was & 0xffff) + new + 0xffff * 0x1_0000 - old;
    while acc >> 16 != 0 {
        acc = (acc & 0xffff) + (acc >> 16);
    }
    field.copy_from_slice(&(!(acc as u16)).to_be_bytes());
}

/// Where the transport header is, its protocol, and where the addresses are.
fn layout(bytes: &[u8], v6: bool) -> Option<(usize, u8, usize, usize)> {
    if !v6 {
        let head = usize::from(bytes.first()? & 15) * 4;
        let first = u16::from_be_bytes([*bytes.get(6)?, *bytes.get(7)?]) & 0x1fff == 0;
        bytes.get(..20)?;
        return (bytes[0] >> 4 == 4 && head >= 20).then_some((
            if first { head } else { bytes.len() },
            bytes[9],
            12,
            8,
        ));
    }
    bytes.get(..40)?;
    let (mut at, mut next) = (40, bytes[6]);
    for _ in 0..16 {
        let size = match next {
            0 | 43 | 60 | 135 => (usize::from(*bytes.get(at + 1)?) + 1) * 8,
            51 => (usize::from(*bytes.get(at + 1)?) + 2) * 4,
            44 => {
                let rest = u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]);
                if rest & 0xfff8 != 0 {
                    at = bytes.len();
                    break;
                }
                8
            }
            _ => break,
        };
        next = *bytes.get(at)?;
        at += size;
    }
    (bytes[0] >> 4 == 6).then_some((at, next, 8, 32))
}

/// Where the checksum of this protocol is, and whether addresses are part of it.
fn checksum(bytes: &[u8], at: usize, proto: u8) -> Option<(usize, bool)> {
    match proto {
        1 => Some((at + 2, false)),
        6 => Some((at + 16, true)),
        17 => (bytes.get(at + 6..at + 8)? != [0, 0]).then_some((at + 6, true)),
        58 => Some((at + 2, true)),
        136 => Some((at + 6, true)),
        _ => None,
    }
}

/// Rewrites a packet of the server's side, and what an error in it quotes.
pub fn translate(bytes: &mut [u8], v6: bool) {
    rewrite(bytes, v6, true);
}

fn rewrite(bytes: &mut [u8], v6: bool, outer: bool) {
    let Some((transport, proto, addresses, len)) = layout(bytes, v6) else {
        return;
    };
    let (from, each) = (addresses..addresses + len, len / 2);
    let before = sum(&bytes[from.clone()]);
    for host in [addresses, addresses + each] {
        let (at, base) = if v6 { (host + 4, 0) } else { (host, 10) };
        let known = !v6 || bytes[host..host + 4] == [0x20, 0x01, 0x0d, 0xb8];
        if known && matches!(bytes[at].wrapping_sub(base), 1 | 2) {
            bytes[at] += SHIFT;
        }
    }
    let after = sum(&bytes[from]);
    let field = checksum(bytes, transport, proto);
    if !v6 {
        follow(bytes, 10, before, after);
    }
    if let Some((at, true)) = field {
        follow(bytes, at, before, after);
        // No checksum is what zero would mean.
        match bytes.get_mut(at..at + 2) {
            Some(field) if proto == 17 && *field == [0, 0] => field.fill(0xff),
            _ => (),
        }
    }
    let quotes = match bytes.get(transport) {
        Some(kind) if outer && proto == 1 => matches!(kind, 3 | 4 | 5 | 11 | 12),
        Some(kind) if outer && proto == 58 => *kind < 128,
        _ => false,
    };
    if let (true, Some((at, _)), Some(inner)) = (quotes, field, bytes.get_mut(transport + 8..)) {
        let before = sum(inner);
        rewrite(inner, v6, false);
        let after = sum(inner);
        follow(bytes, at, before, after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use crate::wire::Addr;
    use crate::wire::Ip;

    fn hosts(v6: bool, shift: u8) -> (Addr, Addr) {
        let host = |host| Addr {
            v6,
            host: host + shift,
            number: 0x1_2345,
        };
        (host(1), host(2))
    }

    fn packets(v6: bool, shift: u8) -> Vec<Vec<u8>> {
        let (client, server) = hosts(v6, shift);
        let icmp = if v6 { wire::ICMPV6 } else { wire::ICMP };
        let udp = wire::udp(server, client, 53, 4000, 33);
        let tcp = wire::tcp(server, client, &wire::Segment::default());
        let inner = wire::packet(
            client,
            server,
            wire::UDP,
            &Ip::default(),
            &wire::udp(client, server, 4000, 53, 20),
        );
        let (kind, code) = if v6 { (1, 4) } else { (3, 3) };
        let error = wire::icmp(server, client, kind, code, [0; 4], &inner);
        [(wire::UDP, udp), (wire::TCP, tcp), (icmp, error)]
            .into_iter()
            .map(|(proto, l4)| wire::packet(server, client, proto, &Ip::default(), &l4))
            .collect()
    }

    #[test]
    fn it_is_the_packet_of_the_other_hosts() {
        for v6 in [false, true] {
            for (mut packet, wanted) in packets(v6, 0).into_iter().zip(packets(v6, SHIFT)) {
                translate(&mut packet, v6);
                assert_eq!(packet, wanted);
            }
        }
    }

    #[test]
    fn what_is_no_packet_survives() {
        for v6 in [false, true] {
            for packet in packets(v6, 0) {
                for cut in 0..packet.len() {
                    translate(&mut packet[..cut].to_vec(), v6);
                    let mut bent = packet.clone();
                    bent[cut] ^= 0xff;
                    translate(&mut bent, v6);
                }
            }
        }
    }
}
