// SPDX-License-Identifier: GPL-2.0

//! Packets and results in words.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::abi;
use crate::abi::Entry;
use crate::abi::Outcome;
use crate::abi::Step;
use crate::abi::Tuple;
use crate::wire;

const TCP_STATES: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

const STATUS: [&str; 15] = [
    "EXPECTED",
    "SEEN_REPLY",
    "ASSURED",
    "CONFIRMED",
    "SRC_NAT",
    "DST_NAT",
    "SEQ_ADJUST",
    "SRC_NAT_DONE",
    "DST_NAT_DONE",
    "DYING",
    "FIXED_TIMEOUT",
    "TEMPLATE",
    "NAT_CLASH",
    "HELPER",
    "OFFLOAD",
];

fn be16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(b.get(at..at + 2)?.try_into().ok()?))
}

fn be32(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

fn host(bytes: &[u8]) -> String {
    if let Ok(b) = <[u8; 16]>::try_from(bytes) {
        Ipv6Addr::from(b).to_string()
    } else if let Ok(b) = <[u8; 4]>::try_from(bytes) {
        Ipv4Addr::from(b).to_string()
    } else {
        "?".to_string()
    }
}

/// A packet in one line, as much of it as there is.
pub fn packet(b: &[u8]) -> String {
    let mut o = String::new();
    let v6 = b.first().is_some_and(|v| v >> 4 == 6);
    let (src, dst) = if v6 {
        (b.get(8..24), b.get(24..40))
    } else {
        (b.get(12..16), b.get(16..20))
    };
    let (Some(src), Some(dst)) = (src, dst) else {
        return format!("{} bytes {}", b.len(), hex(b));
    };
    let _ = write!(o, "{} > {} ", host(src), host(dst));
    if !v6 {
        let frag = be16(b, 6).unwrap_or(0);
        if frag & 0x3fff != 0 {
            let _ = write!(
                o,
                "frag {}{} ",
                (frag & 0x1fff) * 8,
                if frag & 0x2000 != 0 { "+" } else { "" }
            );
        }
        if usize::from(be16(b, 2).unwrap_or(0)) != b.len() {
            let _ = write!(o, "(length says {}) ", be16(b, 2).unwrap_or(0));
        }
    }
    let Some((proto, at)) = wire::transport(b) else {
        let _ = write!(o, "headers cut short {}", hex(b));
        return o;
    };
    if v6 && b[6] != proto {
        let _ = write!(o, "ext {} ", hex(&b[40.min(b.len())..at.min(b.len())]));
    }
    let rest = &b[at.min(b.len())..];
    match l4(proto, rest) {
        Some(text) => o += &text,
        None => {
            let _ = write!(o, "proto {proto}, {} bytes {}", rest.len(), hex(rest));
        }
    }
    o
}

fn l4(proto: u8, b: &[u8]) -> Option<String> {
    let mut o = String::new();
    match proto {
        wire::TCP => {
            let off = usize::from(b.get(12)? >> 4) * 4;
            let bits = *b.get(13)?;
            let mut flags = String::new();
            for (bit, c) in "FSRPAUEC".chars().enumerate() {
                if bits & 1 << bit != 0 {
                    flags.push(c);
                }
            }
            let _ = write!(
                o,
                "TCP {}>{} [{}] seq {} ack {} win {} len {}",
                be16(b, 0)?,
                be16(b, 2)?,
                flags,
                be32(b, 4)?,
                be32(b, 8)?,
                be16(b, 14)?,
                b.len() as i64 - off as i64
            );
            if off > 20 {
                let _ = write!(o, " opt {}", hex(&b[20.min(b.len())..off.min(b.len())]));
            }
        }
        wire::UDP => {
            let _ = write!(o, "UDP {}>{} len {}", be16(b, 0)?, be16(b, 2)?, be16(b, 4)?);
        }
        wire::ICMP | wire::ICMPV6 => {
            let (kind, code) = (*b.first()?, *b.get(1)?);
            let _ = write!(o, "ICMP {kind}.{code} id {}", be16(b, 4)?);
            let error = if proto == wire::ICMP {
                matches!(kind, 3 | 4 | 5 | 11 | 12)
            } else {
                kind < 128
            };
            if error {
                let _ = write!(o, " about {{{}}}", packet(b.get(8..)?));
            }
        }
        wire::SCTP => {
            let _ = write!(
                o,
                "SCTP {}>{} tag {:#x} chunks",
                be16(b, 0)?,
                be16(b, 2)?,
                be32(b, 4)?
            );
            let mut at = 12;
            while let (Some(kind), Some(len)) = (b.get(at), be16(b, at + 2)) {
                let _ = write!(o, " {kind}");
                at += usize::from(len.max(4)).next_multiple_of(4);
            }
        }
        _ => return None,
    }
    Some(o)
}

pub fn hex(b: &[u8]) -> String {
    let mut o = String::new();
    for byte in b.iter().take(64) {
        let _ = write!(o, "{byte:02x}");
    }
    if b.len() > 64 {
        o.push_str("..");
    }
    o
}

/// What is fed, in one line.
pub fn step(s: &Step) -> String {
    let mut o = String::new();
    if s.delay_ms > 0 {
        let _ = write!(o, "after {}.{:03} s ", s.delay_ms / 1000, s.delay_ms % 1000);
    }
    let _ = write!(o, "{:?}", s.path);
    if s.flags & abi::HOLD != 0 {
        o += " hold";
    }
    if s.flags & abi::CSUM_OK != 0 {
        o += " csum-ok";
    }
    if usize::from(s.linear) < s.bytes.len() {
        let _ = write!(o, " linear={}", s.linear);
    }
    if s.mark != 0 {
        let _ = write!(o, " mark={}", s.mark);
    }
    if s.zone.0 != 0 {
        let _ = write!(o, " zone={:?}", s.zone);
    }
    if !s.bytes.is_empty() {
        let _ = write!(o, ": {}", packet(&s.bytes));
    }
    if !s.note.is_empty() {
        let _ = write!(o, "  ({})", s.note);
    }
    o
}

fn verdict(v: u32) -> String {
    match v {
        0 => "DROP".to_string(),
        1 => "ACCEPT".to_string(),
        2 => "STOLEN".to_string(),
        other => format!("{other:#x}"),
    }
}

fn info(state: u8, info: u8, id: u16) -> String {
    let name = [
        "ESTABLISHED",
        "RELATED",
        "NEW",
        "ESTABLISHED_REPLY",
        "RELATED_REPLY",
    ];
    match state {
        abi::STATE_ENTRY => format!("{} of #{id}", name.get(usize::from(info)).unwrap_or(&"?")),
        other => abi::STATES
            .get(usize::from(other))
            .unwrap_or(&"?")
            .to_string(),
    }
}

pub fn place(p: (u8, u8, u16)) -> String {
    info(p.0, p.1, p.2)
}

pub fn tuple(t: &Tuple) -> String {
    let (src, dst) = if t.l3num == 2 {
        (&t.src[..4], &t.dst[..4])
    } else {
        (&t.src[..], &t.dst[..])
    };
    format!(
        "{}:{} > {}:{} proto {}",
        host(src),
        t.sport,
        host(dst),
        t.dport,
        t.proto
    )
}

pub fn status(bits: u32) -> String {
    let mut o = Vec::new();
    for i in 0..32 {
        if bits & 1 << i != 0 {
            o.push(
                STATUS
                    .get(i)
                    .map_or_else(|| format!("bit{i}"), ToString::to_string),
            );
        }
    }
    o.join("|")
}

pub fn tcp_state(s: u8) -> &'static str {
    TCP_STATES.get(usize::from(s)).unwrap_or(&"?")
}

/// The fields of the protocol's own part that are there and how they are called.
pub fn proto_fields(e: &Entry) -> Vec<(String, u64)> {
    let b = &e.proto;
    let n32 = |at: usize| u64::from(u32::from_ne_bytes(b[at..at + 4].try_into().unwrap()));
    let n16 = |at: usize| u64::from(u16::from_ne_bytes(b[at..at + 2].try_into().unwrap()));
    let n8 = |at: usize| u64::from(b[at]);
    let mut o = Vec::new();
    let mut put = |name: &str, v: u64| o.push((name.to_string(), v));
    match e.tuple[0].proto {
        wire::TCP => {
            for dir in 0..2 {
                let at = 20 * dir;
                for (i, name) in ["end", "maxend", "maxwin", "maxack"].iter().enumerate() {
                    put(&format!("tcp.seen[{dir}].{name}"), n32(at + 4 * i));
                }
                put(&format!("tcp.seen[{dir}].scale"), n8(at + 16));
                put(&format!("tcp.seen[{dir}].flags"), n8(at + 17));
            }
            for (i, name) in ["state", "last_dir", "retrans", "last_index"]
                .iter()
                .enumerate()
            {
                put(&format!("tcp.{name}"), n8(40 + i));
            }
            put("tcp.last_seq", n32(44));
            put("tcp.last_ack", n32(48));
            put("tcp.last_end", n32(52));
            put("tcp.last_win", n16(56));
            put("tcp.last_wscale", n8(58));
            put("tcp.last_flags", n8(59));
        }
        wire::SCTP => {
            put("sctp.state", n32(0));
            for dir in 0..2 {
                put(
                    &format!("sctp.vtag[{dir}]"),
                    u64::from((n32(4 + 4 * dir) as u32).swap_bytes()),
                );
                put(&format!("sctp.init[{dir}]"), n8(12 + dir));
            }
            put("sctp.last_dir", n8(14));
            put("sctp.flags", n8(15));
        }
        wire::GRE => {
            put("gre.stream_timeout", n32(0));
            put("gre.timeout", n32(4));
        }
        _ => {}
    }
    o
}

fn entry(e: &Entry) -> String {
    if e.expired {
        return format!("#{} expired", e.id);
    }
    let mut o = format!(
        "#{} {} [{}] {} ticks left, used by {}",
        e.id,
        tuple(&e.tuple[0]),
        status(e.status),
        e.remaining,
        e.use_count
    );
    if let Some(s) = e.tcp_state() {
        let _ = write!(o, ", {}", tcp_state(s));
    }
    if e.zone != 0 {
        let _ = write!(o, ", zone {}/{}", e.zone, e.zone_dir);
    }
    o
}

/// A result in a few lines, indented.
pub fn outcome(r: &Outcome) -> String {
    let verdicts: Vec<String> = r.verdicts.iter().map(|v| verdict(*v)).collect();
    let mut o = format!(
        "      {} {}; {}",
        abi::OUTCOMES.get(usize::from(r.outcome)).unwrap_or(&"?"),
        verdicts.join(","),
        place(r.first)
    );
    if r.first != r.last {
        let _ = write!(o, ", then {}", place(r.last));
    }
    for (name, n) in abi::STATS.iter().zip(r.stat) {
        if n != 0 {
            let _ = write!(o, ", {name}+{n}");
        }
    }
    o.push('\n');
    for e in &r.entries {
        let _ = writeln!(
            o,
            "      {}{}",
            if e.current { "* " } else { "  " },
            entry(e)
        );
    }
    o
}
