// SPDX-License-Identifier: GPL-2.0

//! Exchanges written down, one line a packet.
//!
//! ```text
//! > S 0 - 65535            client's SYN: flags, seq, ack, window, then length
//! < SA 0 1 65535 ws7       and options; `-` is no ack
//! > A 1 1 500 1448         1448 bytes of data
//! + 30                     seconds pass
//! u> 20 / u< 20            UDP with so many bytes
//! p> 8.0 / p< 0.0          ICMP query: type.code (v4's numbers; v6 by meaning)
//! e< 3.3 #0                ICMP error about packet 0; `#0:28` cut to 28 bytes
//! ```
//!
//! Numbers of a direction count from a first number of its own that lies close
//! enough to 2^32 that long scripts wrap.

use super::Gen;
use crate::wire;
use crate::wire::Segment;

pub const SCRIPTS: &[(&str, &str)] = &[
    ("open, talk, close", "> S 0 - 65535 ws7 sack\n< SA 0 1 65535 ws7 sack\n> A 1 1 512\n> PA 1 1 512 100\n< A 1 101 510\n< PA 1 101 510 1448\n> A 101 1449 512\n> FA 101 1449 512\n< A 1449 102 510\n< FA 1449 102 510\n> A 102 1450 512"),
    ("server closes first", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n< FA 1 1 65535\n> A 1 2 65535\n> FA 1 2 65535\n< A 2 2 65535\n+ 10\n> S 5000 - 65535\n< SA 9000 5001 65535\n> A 5001 9001 65535"),
    ("both close at once", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> FA 1 1 65535\n< FA 1 1 65535\n< A 2 2 65535\n> A 2 2 65535\n+ 121\n> A 2 2 65535"),
    ("reset by client", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> PA 1 1 65535 100\n> R 101 - 0\n< A 1 101 65535\n> S 7000 - 65535\n< SA 7000 7001 65535"),
    ("reset by server", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n< R 1 - 0\n> A 1 1 65535\n+ 11\n> A 1 1 65535"),
    ("refused", "> S 0 - 65535\n< RA 0 1 0\n> S 0 - 65535\n< RA 0 1 0\n+ 11\n> S 100 - 65535\n< RA 0 101 0"),
    ("refused with a wrong ack", "> S 0 - 65535\n< RA 0 77 0\n< R 0 - 0\n< RA 0 0 0\n< SA 0 1 65535\n> A 1 1 65535"),
    ("SYN again and again", "> S 0 - 65535\n+ 1\n> S 0 - 65535\n+ 2\n> S 0 - 65535\n+ 118\n> S 0 - 65535\n+ 121\n> S 0 - 65535"),
    ("SYN with other numbers", "> S 0 - 65535\n> S 1000 - 65535\n< SA 0 1001 65535\n> S 900000 - 65535 ws3\n< SA 5 900001 65535 ws3\n> A 900001 6 65535"),
    ("SYN-ACK again", "> S 0 - 65535\n< SA 0 1 65535\n+ 3\n< SA 0 1 65535\n< SA 50 1 65535\n> A 1 1 65535\n< SA 0 1 65535\n> A 1 1 65535"),
    ("SYN-ACK never asked for", "< SA 0 1 65535\n> R 1 - 0\n> SA 0 1 65535\n< SA 0 1 65535"),
    ("simultaneous open", "> S 0 - 65535 ws2 sack\n< S 0 - 65535 ws3 sack\n> SA 0 1 65535 ws2 sack\n< SA 0 1 65535 ws3 sack\n> A 1 1 9000\n< A 1 1 9000\n> PA 1 1 9000 200\n< A 1 201 9000"),
    ("simultaneous open, one SYN-ACK lost", "> S 0 - 65535\n< S 0 - 65535\n> SA 0 1 65535\n< A 1 1 65535\n> A 1 1 65535\n> FA 1 1 65535\n< RA 1 2 0"),
    ("picked up in the middle", "> A 5000 7000 1000 100\n< A 7000 5100 1000 100\n> A 5100 7100 1000\n> FA 5100 7100 1000\n< FA 7100 5101 1000\n> A 5101 7101 1000"),
    ("picked up one way only", "> A 5000 7000 1000 100\n> A 5100 7000 1000 100\n+ 301\n> A 5200 7000 1000 100\n> A 90000 7000 1000 100\n> A 200000 7000 1000 100"),
    ("picked up by FIN or RST", "> FA 5000 7000 1000\n< A 7000 5001 1000\n< RA 7000 5001 1000\n+ 11\n< R 7000 - 1000\n> R 5000 - 1000"),
    ("data beyond the window", "> S 0 - 1000\n< SA 0 1 1000\n> A 1 1 1000\n> A 1 1 1000 1000\n> A 1001 1 1000 1000\n> A 2500 1 1000 100\n< A 1 1001 1000\n> A 1001 1 1000 1000\n> A 70000 1 1000 10\n< A 1 2001 1000"),
    ("old data", "> S 0 - 2000\n< SA 0 1 2000\n> A 1 1 2000\n> A 1 1 2000 1000\n< A 1 1001 2000\n> A 1001 1 2000 1000\n< A 1 2001 2000\n> A 1 1 2000 1000\n> A 2001 1 2000 1000\n< A 1 3001 2000\n> A 1 1 2000 100"),
    ("ack of what was never sent", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> A 1 5 65535\n> A 1 100000 65535\n< A 1 9 65535\n< A 1 1 65535"),
    ("very old ack", "> S 0 - 65535 ws7\n< SA 0 1 65535 ws7\n> A 1 1 65535\n< A 1 1 65535 60000\n> A 1 60001 65535\n< A 60001 1 65535 60000\n> A 1 120001 65535\n< A 120001 1 65535 60000\n> A 1 180001 65535\n> A 1 1 65535\n> A 1 100001 65535"),
    ("the window closes and opens", "> S 0 - 1000\n< SA 0 1 1000\n> A 1 1 1000\n> A 1 1 1000 1000\n< A 1 1001 0\n> A 1000 1 1000 1\n> A 1001 1 1000 1\n< A 1 1001 0\n+ 5\n> A 1000 1 1000\n< A 1 1001 5000\n> A 1001 1 1000 1000\n> A 2001 1 1000 1448\n< A 1 3449 0"),
    ("the window shrinks", "> S 0 - 8000\n< SA 0 1 8000\n> A 1 1 8000\n> A 1 1 8000 1000\n< A 1 1001 100\n> A 1001 1 8000 1000\n> A 2001 1 8000 1000\n< A 1 3001 100\n> A 9000 1 8000 500"),
    ("scaling offered by one only", "> S 0 - 1000 ws7\n< SA 0 1 1000\n> A 1 1 1000\n< A 1 1 1000 1448\n< A 1449 1 1000 1448\n> A 1 2897 10\n< A 2897 1 1000 1448\n< A 200000 1 1000 10"),
    ("scaling offered by the other only", "> S 0 - 1000\n< SA 0 1 1000 ws9\n> A 1 1 1000\n> A 1 1 1000 1448\n> A 1449 1 1000 1448\n< A 1 2897 10\n> A 2897 1 1000 1448\n> A 500000 1 1000 10"),
    ("scaling beyond 14", "> S 0 - 1000 ws15\n< SA 0 1 1000 ws200\n> A 1 1 1000\n> A 1 1 1000 1448\n< A 1 1449 1000\n> A 8000000 1 1000 10\n> A 20000000 1 1000 10"),
    ("holes and SACK", "> S 0 - 65535 sack\n< SA 0 1 65535 sack\n> A 1 1 65535\n> A 1 1 65535 100\n> A 201 1 65535 100\n< A 1 101 65535 k201-301\n> A 401 1 65535 100\n< A 1 101 65535 k401-501,201-301\n> A 101 1 65535 100\n< A 1 301 65535 k401-501\n< A 1 301 65535 k901-1001\n> A 301 1 65535 100\n< A 1 501 65535"),
    ("SACK not agreed on", "> S 0 - 65535\n< SA 0 1 65535 sack\n> A 1 1 65535\n> A 1 1 65535 100\n< A 1 1 65535 k2001-3001\n< A 1 101 65535"),
    ("retransmission to the limit", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> A 1 1 65535 100\n> A 1 1 65535 100\n> A 1 1 65535 100\n> A 1 1 65535 100\n> A 1 1 65535 100\n> A 1 1 65535 100\n+ 301\n> A 1 1 65535 100\n< A 1 101 65535"),
    ("unacknowledged data", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n< A 1 1 65535\n> A 1 1 65535 100\n+ 305\n> A 101 1 65535 100\n< A 1 101 65535\n< A 1 201 65535\n+ 305\n< A 1 201 65535"),
    ("keepalive", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n+ 3600\n> A 0 1 65535\n< A 1 1 65535\n+ 3600\n> A 0 1 65535 1\n< A 1 1 65535\n+ 432001\n> A 0 1 65535\n< A 1 1 65535"),
    ("half open: client restarts", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n+ 60\n> S 900000 - 65535\n< A 1 1 65535\n> R 1 - 0\n> S 900000 - 65535\n< SA 5000 900001 65535\n> A 900001 5001 65535"),
    ("challenge ack answered", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> S 100 - 65535\n< A 1 1 65535\n> RA 1 1 0\n> S 100 - 65535\n< SA 100 101 65535"),
    ("SYN in TIME_WAIT, number up", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> FA 1 1 65535\n< FA 1 2 65535\n> A 2 2 65535\n> S 100000 - 65535\n< SA 100000 100001 65535\n> A 100001 100001 65535"),
    ("SYN in TIME_WAIT, number down", "> S 50000 - 65535\n< SA 50000 50001 65535\n> A 50001 50001 65535\n> FA 50001 50001 65535\n< FA 50001 50002 65535\n> A 50002 50002 65535\n> S 10 - 65535\n< A 50002 50002 65535\n> R 50002 - 0\n> S 10 - 65535"),
    ("SYN in TIME_WAIT from the other side", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n< FA 1 1 65535\n> FA 1 2 65535\n< A 2 2 65535\n< S 70000 - 65535\n> SA 70000 70001 65535\n< A 70001 70001 65535"),
    ("SYN in LAST_ACK", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> FA 1 1 65535\n< A 1 2 65535\n< FA 1 2 65535\n> S 9000 - 65535\n< SA 9000 9001 65535"),
    ("SYN in FIN_WAIT and CLOSE_WAIT", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> FA 1 1 65535\n> S 9000 - 65535\n< A 1 2 65535\n< S 9000 - 65535\n> S 9000 - 65535\n< SA 9000 9001 65535"),
    ("resets beside the mark", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n< R 2 - 0\n< R 100 - 0\n< R 65535 - 0\n< R 65536 - 0\n< R 70000 - 0\n< R 200000 - 0\n> A 1 1 65535\n< A 1 1 65535"),
    ("reset before the mark", "> S 5000 - 65535\n< SA 5000 5001 65535\n> A 5001 5001 65535\n< A 5001 5001 65535 500\n> A 5001 5501 65535\n< R 5000 - 0\n< R 5001 - 0\n< R 4000 - 0\n< R 5501 - 0\n< A 5501 5001 65535"),
    ("reset with an ack of nothing", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n< RA 1 0 0\n> S 50 - 65535\n< RA 0 51 0"),
    ("reset in SYN_RECV", "> S 0 - 65535\n< SA 0 1 65535\n> R 1 - 0\n> S 0 - 65535\n< SA 100 1 65535\n< RA 101 1 0"),
    ("both reset", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> R 1 - 0\n< R 1 - 0\n> R 1 - 0\n+ 5\n< R 1 - 0\n+ 11\n< R 1 - 0"),
    ("odd flags", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> - 1 - 65535\n> F 1 - 65535\n> SF 1 - 65535\n> FR 1 - 65535\n> SR 1 - 65535\n> SFRPAU 1 1 65535\n> P 1 - 65535\n> U 1 - 65535\n> FPU 1 - 65535\n> AU 1 1 65535"),
    ("odd flags first", "> - 0 - 65535\n> F 0 - 65535\n> SF 0 - 65535\n> SFRPAU 0 0 65535\n> PU 0 - 65535\n> SU 0 - 65535"),
    ("SYN with data", "> S 0 - 65535 100\n< SA 0 101 65535\n> A 101 1 65535\n> S 900 - 65535 50"),
    ("SYN with ECN", "> SEC 0 - 65535\n< SAE 0 1 65535\n> A 1 1 65535"),
    ("FIN again", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> FA 1 1 65535\n> FA 1 1 65535\n< A 1 2 65535\n> FA 1 1 65535\n< FA 1 2 65535\n< FA 1 2 65535\n> A 2 2 65535\n< FA 1 2 65535\n> A 2 2 65535"),
    ("data behind FIN", "> S 0 - 65535\n< SA 0 1 65535\n> A 1 1 65535\n> FA 1 1 65535 100\n> A 102 1 65535 100\n< A 1 102 65535 200\n> A 102 201 65535\n< FA 201 102 65535\n> A 102 202 65535\n< A 202 102 65535 10"),
    ("the long way round", "> S 0 - 65535 ws14\n< SA 0 1 65535 ws14\n> A 1 1 65535\n> A 1 1 65535 8000\n> A 8001 1 65535 8000\n> A 16001 1 65535 8000\n< A 1 24001 65535\n< A 1 24001 65535\n> A 900000000 1 65535 100\n> A 2147483600 1 65535 100\n> A 3000000000 1 65535 100"),
    ("udp request and reply", "u> 20\nu< 100\n+ 1\nu> 20\nu< 20\n+ 2\nu> 20\n+ 1\nu< 20\n+ 119\nu> 20\n+ 121\nu> 20"),
    ("udp one way", "u> 20\n+ 29\nu> 20\n+ 31\nu> 20\nu> 20\n+ 5\nu> 20"),
    ("udp from the server's side", "u< 20\nu> 20\nu< 20\n+ 3\nu< 20\nu> 20"),
    ("ping", "p> 8.0\np< 0.0\np> 8.0\np< 0.0\n+ 29\np> 8.0\n+ 31\np< 0.0\np> 8.0\np< 0.0"),
    ("ping, replies first", "p< 0.0\np> 8.0\np> 0.0\np< 8.0\np> 8.1\np< 0.1"),
    ("other queries", "p> 13.0\np< 14.0\np> 15.0\np< 16.0\np> 17.0\np< 18.0\np> 9.0\np> 10.0"),
    ("udp unreachable", "u> 20\ne< 3.3 #0\ne< 3.3 #0:28\ne< 3.3 #0:24\ne> 3.3 #0\nu< 20\ne> 3.3 #5"),
    ("tcp errors", "> S 0 - 65535\ne< 3.1 #0\ne< 11.0 #0\ne< 12.0 #0\ne< 4.0 #0\ne< 5.0 #0\ne< 3.4 #0:28\n< SA 0 1 65535\ne> 3.13 #7\n> A 1 1 65535\ne< 3.4 #9:60"),
    ("errors about nothing known", "u> 20\n+ 31\ne< 3.3 #0\np> 8.0\ne< 11.0 #2\ne< 3.3 #3\n< R 1 - 0\ne> 3.1 #5"),
    ("error about an error", "u> 20\ne< 3.3 #0\ne> 3.3 #1\ne< 3.3 #2"),
];

/// The value of the first sequence number of each direction.
const BASE: [u32; 2] = [u32::MAX - 3000, u32::MAX - 200];
const PORTS: [u16; 2] = [40001, 80];

fn flags(text: &str) -> u8 {
    text.chars()
        .map(|c| match c {
            'F' => wire::FIN,
            'S' => wire::SYN,
            'R' => wire::RST,
            'P' => wire::PSH,
            'A' => wire::ACK,
            'U' => wire::URG,
            'E' => 0x40,
            'C' => 0x80,
            _ => 0,
        })
        .sum()
}

/// Plays a script into `g`. Scripts are part of the program: a line that makes
/// no sense panics, and a test reads them all.
pub fn run(g: &mut Gen, text: &str) {
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let out = words[0].ends_with('>');
        match words[0] {
            "+" => g.delay(words[1].parse::<u64>().unwrap() * 1000),
            ">" | "<" => segment(g, out, &words),
            "u>" | "u<" => {
                let len = words[1].parse().unwrap();
                let l4 = if out {
                    wire::udp(g.client(), g.server(), PORTS[0], 53, len)
                } else {
                    wire::udp(g.server(), g.client(), 53, PORTS[0], len)
                };
                g.send(out, wire::UDP, &l4, line);
            }
            "p>" | "p<" => {
                let (kind, code) = kind(g.v6, words[1]);
                let (src, dst) = sides(g, out);
                let l4 = wire::icmp(src, dst, kind, code, [7, 7, 0, 1], &[1; 32]);
                g.send(out, proto(g.v6), &l4, line);
            }
            "e>" | "e<" => {
                let (kind, code) = kind(g.v6, words[1]);
                let mut parts = words[2][1..].split(':');
                let index = parts.next().unwrap().parse().unwrap();
                let mut inner = g.nth(index).unwrap();
                if let Some(cut) = parts.next() {
                    inner.truncate(cut.parse::<usize>().unwrap() + if g.v6 { 20 } else { 0 });
                }
                let (src, dst) = sides(g, out);
                let l4 = wire::icmp(src, dst, kind, code, [0, 0, 5, 0], &inner);
                g.send(out, proto(g.v6), &l4, line);
            }
            other => panic!("script line starts with {other}"),
        }
    }
}

fn sides(g: &Gen, out: bool) -> (wire::Addr, wire::Addr) {
    if out {
        (g.client(), g.server())
    } else {
        (g.server(), g.client())
    }
}

fn proto(v6: bool) -> u8 {
    if v6 {
        wire::ICMPV6
    } else {
        wire::ICMP
    }
}

/// Type and code, v4's numbers put into v6's by their meaning.
fn kind(v6: bool, text: &str) -> (u8, u8) {
    let (kind, code) = text.split_once('.').unwrap();
    let (kind, code): (u8, u8) = (kind.parse().unwrap(), code.parse().unwrap());
    if !v6 {
        return (kind, code);
    }
    match (kind, code) {
        (8, c) => (128, c),
        (0, c) => (129, c),
        (3, 4) => (2, 0),
        (3, 3) => (1, 4),
        (3, _) => (1, 0),
        (11, c) => (3, c),
        (12, c) => (4, c),
        (5, c) => (137, c),
        (9, c) => (134, c),
        (10, c) => (133, c),
        (13, c) => (139, c),
        (14, c) => (140, c),
        (other, c) => (other, c),
    }
}

fn segment(g: &mut Gen, out: bool, words: &[&str]) {
    let (own, peer) = (usize::from(!out), usize::from(out));
    let mut s = Segment {
        sport: PORTS[own],
        dport: PORTS[peer],
        seq: BASE[own].wrapping_add(words[2].parse().unwrap()),
        flags: flags(words[1]),
        win: words[4].parse().unwrap(),
        ..Segment::default()
    };
    let of_peer = |n: &str| BASE[peer].wrapping_add(n.parse::<u32>().unwrap());
    if words[3] != "-" {
        // An ack of 0 beside RST means the number 0, not the peer's first.
        s.ack = if words[3] == "0" && s.flags & wire::RST != 0 {
            0
        } else {
            of_peer(words[3])
        };
    }
    for word in &words[5..] {
        if let Some(shift) = word.strip_prefix("ws") {
            s.options.wscale = Some(shift.parse().unwrap());
        } else if *word == "sack" {
            s.options.sack_perm = true;
        } else if let Some(blocks) = word.strip_prefix('k') {
            s.options.sack = blocks
                .split(',')
                .map(|b| {
                    let (from, to) = b.split_once('-').unwrap();
                    (of_peer(from), of_peer(to))
                })
                .collect();
        } else {
            s.len = word.parse().unwrap();
        }
    }
    let (src, dst) = sides(g, out);
    let l4 = wire::tcp(src, dst, &s);
    g.send(out, wire::TCP, &l4, words.join(" "));
}
