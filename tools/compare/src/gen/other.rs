// SPDX-License-Identifier: GPL-2.0

//! Everything but TCP on its own: UDP, ICMP and its errors, SCTP, GRE, protocols
//! without ports, fragments, garbage, and mixtures.

use super::spoil;
use super::tcp;
use super::Gen;
use crate::wire;
use crate::wire::Chunk;
use crate::wire::Ip;
use crate::wire::ICMP;
use crate::wire::ICMPV6;
use crate::wire::SCTP;
use crate::wire::UDP;

pub fn udp(g: &mut Gen, want: usize) -> &'static str {
    let flows: Vec<(u16, u16)> = (0..g.rng.usize(1..4))
        .map(|_| {
            (
                g.rng.u16(..),
                *g.rng.choice(&[53, 123, 4500, 5060, 0]).unwrap_or(&53),
            )
        })
        .collect();
    while g.len() < want {
        if g.chance(200) {
            g.some_delay();
        }
        udp_packet(g, &flows);
    }
    "udp"
}

fn udp_packet(g: &mut Gen, flows: &[(u16, u16)]) {
    let (a, b) = flows[g.rng.usize(..flows.len())];
    let out = g.rng.u8(..5) < 3;
    let len = g.rng.usize(..80);
    let l4 = if out {
        wire::udp(g.client(), g.server(), a, b, len)
    } else {
        wire::udp(g.server(), g.client(), b, a, len)
    };
    g.send(out, UDP, &l4, "");
}

fn icmp_proto(g: &Gen) -> u8 {
    if g.v6 {
        ICMPV6
    } else {
        ICMP
    }
}

/// Requests and replies, of all kinds that have an id and of some that do not.
pub fn echo(g: &mut Gen, want: usize) -> &'static str {
    let ids: Vec<u16> = (0..g.rng.usize(1..4)).map(|_| g.rng.u16(..)).collect();
    while g.len() < want {
        if g.chance(150) {
            g.some_delay();
        }
        echo_packet(g, &ids);
    }
    "icmp queries"
}

fn echo_packet(g: &mut Gen, ids: &[u16]) {
    let out = g.rng.bool();
    let id = ids[g.rng.usize(..ids.len())].to_be_bytes();
    let any = g.rng.u8(..);
    let kinds: &[u8] = if g.v6 {
        &[
            128, 128, 129, 129, 128, 129, 139, 140, 130, 131, 132, 133, 134, 135, 136, 137, 143,
            141,
        ]
    } else {
        &[8, 8, 0, 0, 8, 0, 13, 14, 15, 16, 17, 18, 9, 10]
    };
    let kind = if g.chance(60) {
        any
    } else {
        kinds[g.rng.usize(..kinds.len())]
    };
    let code = if g.chance(100) { g.rng.u8(..4) } else { 0 };
    let number = g.rng.u8(..);
    let (src, dst) = if out {
        (g.client(), g.server())
    } else {
        (g.server(), g.client())
    };
    let l4 = wire::icmp(src, dst, kind, code, [id[0], id[1], 0, number], &[0x11; 24]);
    let proto = icmp_proto(g);
    g.send(out, proto, &l4, "");
}

/// Flows, and errors about them.
pub fn errors(g: &mut Gen, want: usize) -> &'static str {
    let tcp_part = 3 + g.rng.usize(..12);
    let ports = (g.rng.u16(1024..), 80);
    if g.rng.bool() {
        tcp::run(g, tcp_part, ports);
    }
    let flows = [(g.rng.u16(..), 53), (g.rng.u16(..), 33434)];
    let ids = [g.rng.u16(..)];
    while g.len() < want {
        if g.chance(40) {
            g.some_delay();
        }
        match g.rng.u8(..10) {
            0..2 => udp_packet(g, &flows),
            2 => echo_packet(g, &ids),
            3 if g.len() + 4 < want => {
                let to = g.len() + 4;
                let port = g.rng.u16(1024..);
                tcp::run(g, to, (port, 22));
            }
            _ => error(g),
        }
    }
    "icmp errors"
}

/// An error about an earlier packet, or about one that there never was.
pub fn error(g: &mut Gen) {
    let mut about = match (g.chance(850), g.earlier()) {
        (true, Some(bytes)) => bytes,
        _ => {
            let (a, b) = (g.client(), g.server());
            let l4 = wire::udp(a, b, g.rng.u16(..), 53, 20);
            wire::packet(a, b, UDP, &Ip::default(), &l4)
        }
    };
    let mut note = "error about an earlier packet".to_string();
    let header = if g.v6 { 40 } else { 20 };
    if about.len() < header {
        return;
    }
    let places = if g.v6 { (8, 24, 16) } else { (12, 16, 4) };
    let inner_src = about[places.0..places.0 + places.2].to_vec();
    let client_bytes = g.client().bytes();
    // Who is told, and who tells.
    let (mut dst, mut src) = if inner_src == client_bytes {
        (g.client(), g.server())
    } else {
        (g.server(), g.client())
    };
    match g.rng.u8(..8) {
        0 | 1 => src = g.addr(3),
        2 => std::mem::swap(&mut src, &mut dst),
        3 => dst = g.addr(4),
        _ => {}
    }
    if g.chance(200) {
        let how = spoil::spoil(&mut g.rng, &mut about);
        note = format!("{note}, inside [{how}]");
    }
    if g.chance(100) {
        // The other way round inside.
        let (a, b, n) = places;
        for i in 0..n {
            if about.len() > b + i {
                about.swap(a + i, b + i);
            }
        }
        wire::fix_v4_checksum(&mut about);
    }
    let keep = match g.rng.u8(..6) {
        0 => header + 8,
        1 => header + 4,
        2 => g.rng.usize(..=about.len()),
        3 => header,
        _ => about.len().min(528),
    };
    about.truncate(keep);
    let kinds: &[u8] = if g.v6 {
        &[1, 1, 2, 3, 4, 1, 100, 127, 5, 137]
    } else {
        &[3, 3, 11, 12, 4, 5, 3, 3, 6, 40]
    };
    let kind = kinds[g.rng.usize(..kinds.len())];
    let code = if g.chance(30) {
        g.rng.u8(..)
    } else {
        g.rng.u8(..16)
    };
    let mtu = [0, 0, 5, 0xdc];
    let l4 = wire::icmp(src, dst, kind, code, mtu, &about);
    let proto = icmp_proto(g);
    let ip = g.ip();
    let bytes = wire::packet(src, dst, proto, &ip, &l4);
    let from_client = src.host == 1;
    g.send_raw(from_client, bytes, note);
}

pub fn sctp(g: &mut Gen, want: usize) -> &'static str {
    let (a, b) = (g.rng.u16(1024..), 3868);
    let tags = [g.rng.u32(1..), g.rng.u32(1..)];
    let init = |tag: u32| {
        let mut body = tag.to_be_bytes().to_vec();
        body.extend([0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1]);
        body
    };
    // The usual life, to be left and taken up again at any place.
    let plan: [(bool, u8, bool); 14] = [
        (true, 1, false),
        (false, 2, true),
        (true, 10, true),
        (false, 11, true),
        (true, 0, true),
        (false, 3, true),
        (true, 4, true),
        (false, 5, true),
        (false, 0, true),
        (true, 3, true),
        (true, 7, true),
        (false, 8, true),
        (true, 14, true),
        (false, 6, true),
    ];
    let mut at = 0;
    let disorder = *g.rng.choice(&[0, 50, 300]).unwrap_or(&0);
    while g.len() < want {
        if g.chance(60) {
            g.some_delay();
        }
        let (mut out, mut kind, tagged) = plan[at % plan.len()];
        at += 1;
        if g.chance(disorder) {
            at = g.rng.usize(..plan.len());
        }
        if g.chance(disorder) {
            kind = *g
                .rng
                .choice(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64])
                .unwrap_or(&0);
        }
        if g.chance(disorder / 2) {
            out = !out;
        }
        let peer_tag = tags[usize::from(out)];
        let own_tag = tags[usize::from(!out)];
        let mut vtag = if tagged { peer_tag } else { 0 };
        if g.chance(disorder / 3) {
            vtag = *g.rng.choice(&[0, own_tag, peer_tag, 12345]).unwrap_or(&0);
        }
        let body = match kind {
            1 | 2 => {
                let again = g.chance(disorder / 3);
                let fresh = g.rng.u32(..3);
                init(if again { fresh } else { own_tag })
            }
            _ => vec![0x42; g.rng.usize(..24)],
        };
        let flags = if g.chance(100) { g.rng.u8(..4) } else { 0 };
        let mut chunks: Vec<Chunk> = vec![(kind, flags, body)];
        if !matches!(kind, 1 | 2 | 14) || g.chance(30) {
            for _ in 0..g.rng.u8(..3) {
                let extra = *g.rng.choice(&[0, 0, 3, 4, 5, 1, 14]).unwrap_or(&0);
                chunks.push((extra, 0, vec![7; g.rng.usize(..20)]));
            }
        }
        let (s, d) = if out { (a, b) } else { (b, a) };
        let mut l4 = wire::sctp(s, d, vtag, &chunks);
        if g.chance(disorder / 4) {
            // Chunk lengths that lead astray, checksum as it was.
            let i = 14 + g.rng.usize(..2);
            if let Some(byte) = l4.get_mut(i) {
                *byte = g.rng.u8(..);
            }
        }
        g.send(out, SCTP, &l4, "");
    }
    "sctp"
}

/// GRE of both versions, and protocols that conntrack knows no ports of.
pub fn portless(g: &mut Gen, want: usize) -> &'static str {
    let protos = [
        wire::GRE,
        wire::GRE,
        wire::ESP,
        wire::UDPLITE,
        4,
        41,
        33,
        2,
        253,
        0,
    ];
    let own = protos[g.rng.usize(..protos.len())];
    while g.len() < want {
        if g.chance(150) {
            g.some_delay();
        }
        let out = g.rng.bool();
        let proto = if g.chance(100) {
            protos[g.rng.usize(..protos.len())]
        } else {
            own
        };
        let mut l4 = vec![0; g.rng.usize(..48)];
        if proto == wire::GRE {
            l4 = match g.rng.u8(..4) {
                0 => vec![0, 0, 8, 0],
                1 => vec![0x20, 0, 8, 0, 0, 0, 0, 9],
                _ => vec![
                    0x30,
                    0x81,
                    0x88,
                    0x0b,
                    0,
                    4,
                    0,
                    g.rng.u8(..3),
                    0,
                    0,
                    0,
                    1,
                    1,
                    2,
                    3,
                    4,
                ],
            };
        } else {
            for byte in l4.iter_mut() {
                *byte = g.rng.u8(..);
            }
        }
        g.send(out, proto, &l4, "");
    }
    "protocols without ports"
}

pub fn fragments(g: &mut Gen, want: usize) -> &'static str {
    let ports = (g.rng.u16(..), 53);
    while g.len() < want {
        if g.chance(60) {
            g.some_delay();
        }
        let out = g.rng.bool();
        let (src, dst) = if out {
            (g.client(), g.server())
        } else {
            (g.server(), g.client())
        };
        let len = g.rng.usize(..200);
        let (a, b) = if out { ports } else { (ports.1, ports.0) };
        let (proto, l4) = match g.rng.u8(..4) {
            0 => {
                let kind = if g.v6 { 128 } else { 8 };
                (
                    icmp_proto(g),
                    wire::icmp(src, dst, kind, 0, [0, 1, 0, 2], &vec![3; len]),
                )
            }
            1 => {
                let s = wire::Segment {
                    sport: a,
                    dport: b,
                    seq: 1000,
                    flags: wire::SYN,
                    win: 65535,
                    len: len as u16,
                    ..Default::default()
                };
                (wire::TCP, wire::tcp(src, dst, &s))
            }
            _ => (UDP, wire::udp(src, dst, a, b, len)),
        };
        let ip = g.ip();
        let piece = 8 * g.rng.usize(1..12);
        let mut pieces = wire::fragments(src, dst, proto, &ip, &l4, piece);
        if g.chance(300) {
            g.rng.shuffle(&mut pieces);
        }
        if g.chance(100) && pieces.len() > 1 {
            let i = g.rng.usize(..pieces.len());
            pieces.remove(i);
        }
        if g.chance(150) {
            let i = g.rng.usize(..pieces.len());
            pieces.push(pieces[i].clone());
        }
        for bytes in pieces {
            if g.len() >= want + 20 {
                break;
            }
            g.send_raw(out, bytes, "fragment");
        }
    }
    "fragments"
}

/// Packets that are wrong in several ways, among a few that are not.
pub fn garbage(g: &mut Gen, want: usize) -> &'static str {
    let ports = (g.rng.u16(1024..), 80);
    let early = (want / 3).max(1);
    tcp::run(g, early, ports);
    let flows = [(g.rng.u16(..), 53)];
    let ids = [1];
    while g.len() < want {
        match g.rng.u8(..8) {
            0 => udp_packet(g, &flows),
            1 => echo_packet(g, &ids),
            2 => error(g),
            3 => {
                let out = g.rng.bool();
                let proto = g.rng.u8(..);
                let l4: Vec<u8> = (0..g.rng.usize(..60)).map(|_| g.rng.u8(..)).collect();
                g.send(out, proto, &l4, "random payload");
            }
            _ => {
                let Some(mut bytes) = g.earlier() else {
                    continue;
                };
                let mut note = "earlier packet".to_string();
                for _ in 0..g.rng.u8(1..4) {
                    let how = spoil::spoil(&mut g.rng, &mut bytes);
                    note = format!("{note} [{how}]");
                }
                let out = g.rng.bool();
                g.send_raw(out, bytes, note);
            }
        }
    }
    "garbage"
}

/// New flows that race to be confirmed.
pub fn clashes(g: &mut Gen, want: usize) -> &'static str {
    g.clash();
    while g.len() < want {
        if g.chance(50) {
            g.some_delay();
        }
        let flow = [(g.rng.u16(1024..1040), 53)];
        let ids = [g.rng.u16(..8)];
        for _ in 0..g.rng.u8(2..6) {
            match g.rng.u8(..12) {
                0 => echo_packet(g, &ids),
                1 => {
                    let to = g.len() + 3;
                    tcp::run(g, to, (flow[0].0, 80));
                }
                2 => error(g),
                _ => udp_packet(g, &flow),
            }
        }
    }
    "clashes"
}

pub fn mix(g: &mut Gen, want: usize) -> &'static str {
    let flows = [(g.rng.u16(..), 53), (g.rng.u16(..), 123)];
    let ids = [g.rng.u16(..)];
    while g.len() < want {
        if g.chance(50) {
            g.some_delay();
        }
        match g.rng.u8(..6) {
            0 | 1 => udp_packet(g, &flows),
            2 => echo_packet(g, &ids),
            3 => error(g),
            _ => {
                let to = (g.len() + g.rng.usize(3..20)).min(want);
                let ports = (40000 + g.rng.u16(..3), 80);
                tcp::run(g, to, ports);
            }
        }
    }
    "mixture"
}
