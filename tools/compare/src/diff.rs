// SPDX-License-Identifier: GPL-2.0

//! Two files of results, compared packet by packet.
//!
//! Everything must be equal but two clocks: a timeout or a stream mark may
//! differ by as many ticks as passed since the sequence began in either run,
//! and one more.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::io::Read;

use fastrand::Rng;

use crate::abi;
use crate::abi::Entry;
use crate::abi::Outcome;
use crate::abi::Step;
use crate::file::Record;
use crate::file::Results;
use crate::gen;
use crate::show;

/// One field that differs, and how.
pub struct Difference {
    /// The number of the packet, counting from 0.
    pub packet: usize,
    pub field: String,
    /// Transport protocol of the entry, 0 where there is none.
    pub proto: u8,
    pub a: String,
    pub b: String,
}

/// The source port, or number of an ICMP query, that answers go to.
fn answered_at(e: &Entry) -> u16 {
    if is_icmp(e) {
        e.tuple[1].sport
    } else {
        e.tuple[1].dport
    }
}

/// Whether address translation took another source port, or number of an ICMP query, which it does by
/// chance where an entry with the same reply is there already.
fn by_chance(e: &Entry) -> bool {
    const SRC_NAT_DONE: u32 = 1 << 7;
    e.status & SRC_NAT_DONE != 0 && answered_at(e) != e.tuple[0].sport
}

/// What translation took by chance up to a packet: ports, and numbers of ICMP queries.
fn taken(all: &[Outcome], upto: usize) -> BTreeSet<u16> {
    let entries = all.iter().take(upto).flat_map(|o| &o.entries);
    let taken = entries.filter(|e| !e.expired && by_chance(e));
    taken.map(answered_at).collect()
}

/// Whether a packet goes to or from a port that translation took by chance in one of both runs only: it
/// belongs to a connection there, and to none in the other.
fn meets_chance(step: &Step, a: &[Outcome], b: &[Outcome], packet: usize) -> bool {
    let (a, b) = (taken(a, packet), taken(b, packet));
    let mut odd = a.symmetric_difference(&b);
    odd.any(|port| step.ports().contains(port))
}

/// Both sides of an ICMP query have its number in their source port.
fn is_icmp(e: &Entry) -> bool {
    matches!(e.tuple[0].proto, 1 | 58)
}

struct Differ {
    packet: usize,
    proto: u8,
    found: Vec<Difference>,
}

impl Differ {
    fn field<T: PartialEq>(&mut self, name: &str, a: &T, b: &T, show: impl Fn(&T) -> String) {
        if a != b {
            self.found.push(Difference {
                packet: self.packet,
                field: name.to_string(),
                proto: self.proto,
                a: show(a),
                b: show(b),
            });
        }
    }

    fn near(&mut self, name: &str, a: i32, b: i32, ticks: u32) {
        if a.abs_diff(b) > ticks {
            self.field(name, &a, &b, |t| format!("{t} ticks"));
        }
    }

    fn entry(&mut self, a: &Entry, b: &Entry, ticks: u32) {
        self.field("entry.expired", &a.expired, &b.expired, bool::to_string);
        if a.expired || b.expired {
            return;
        }
        self.proto = a.tuple[0].proto;
        self.field("entry.current", &a.current, &b.current, bool::to_string);
        self.field("entry.status", &a.status, &b.status, |s| show::status(*s));
        let chance = by_chance(a) && by_chance(b);
        for dir in 0..2 {
            let name = ["entry.original", "entry.reply"][dir];
            let (mut x, mut y) = (a.tuple[dir].clone(), b.tuple[dir].clone());
            if dir == 1 && chance {
                if is_icmp(a) {
                    (x.sport, y.sport) = (0, 0);
                } else {
                    (x.dport, y.dport) = (0, 0);
                }
            }
            self.field(name, &x, &y, |t| {
                format!("{} dir {}", show::tuple(t), t.dir)
            });
        }
        self.field(
            "entry.zone",
            &(a.zone, a.zone_dir),
            &(b.zone, b.zone_dir),
            |z| format!("{z:?}"),
        );
        self.field("entry.ext", &a.ext, &b.ext, |e| format!("{e:#b}"));
        self.field("entry.mark", &a.mark, &b.mark, u32::to_string);
        self.field("entry.acct", &a.acct, &b.acct, |c| format!("{c:?}"));
        self.field("entry.master", &a.master, &b.master, u16::to_string);
        self.field("entry.use", &a.use_count, &b.use_count, i32::to_string);
        self.near("entry.timeout", a.remaining, b.remaining, ticks);
        self.near("entry.udp_stream", a.stream, b.stream, ticks);
        if a.proto != b.proto {
            for ((name, x), (_, y)) in show::proto_fields(a).iter().zip(&show::proto_fields(b)) {
                self.field(name, x, y, u64::to_string);
            }
        }
        self.proto = 0;
    }

    fn packet(&mut self, a: &Outcome, b: &Outcome) {
        self.field("verdicts", &a.verdicts, &b.verdicts, |v| format!("{v:?}"));
        self.field("outcome", &a.outcome, &b.outcome, |o| {
            abi::OUTCOMES[usize::from(*o).min(4)].to_string()
        });
        self.field("state.first", &a.first, &b.first, |p| show::place(*p));
        self.field("state.last", &a.last, &b.last, |p| show::place(*p));
        self.field("ip_summed", &a.ip_summed, &b.ip_summed, u8::to_string);
        self.field("skb_len", &a.skb_len, &b.skb_len, u32::to_string);
        // So many tries were in vain before a port was free.
        let packet = self.packet;
        let tries = |o: &Outcome| {
            // A packet that was held back tries later than the one that made the entry.
            let is_its = |e: &&Entry| e.current || usize::from(e.id) == packet;
            o.entries.iter().filter(is_its).any(by_chance)
        };
        let chance = tries(a) && tries(b);
        for (i, name) in abi::STATS.iter().enumerate() {
            if i != abi::STAT_SEARCH_RESTART && !(chance && *name == "found") {
                self.field(&format!("stat.{name}"), &a.stat[i], &b.stat[i], |n| {
                    format!("+{n}")
                });
            }
        }
        let ids = |o: &Outcome| o.entries.iter().map(|e| e.id).collect::<Vec<_>>();
        let (ia, ib) = (ids(a), ids(b));
        self.field("entries", &ia, &ib, |i| format!("{i:?}"));
        let ticks = a.elapsed.max(b.elapsed) + 1;
        for e in &a.entries {
            if let Some(f) = b.entries.iter().find(|f| f.id == e.id) {
                self.entry(e, f, ticks);
            }
        }
    }
}

/// All differences between two results of a sequence.
pub fn differences(a: &[Outcome], b: &[Outcome]) -> Vec<Difference> {
    let mut d = Differ {
        packet: 0,
        proto: 0,
        found: Vec::new(),
    };
    d.field("packets", &a.len(), &b.len(), usize::to_string);
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        d.packet = i;
        d.packet(x, y);
    }
    d.found
}

/// Changes one thing in a result such that the comparison has to see it.
pub fn mutate(rng: &mut Rng, all: &mut [Outcome]) -> Option<String> {
    for _ in 0..100 {
        let i = rng.usize(..all.len());
        let r = &mut all[i];
        let what = match rng.u8(..9) {
            0 => r.verdicts.first_mut().map(|v| {
                *v ^= 1;
                "a verdict"
            }),
            1 => {
                r.last.1 ^= 1;
                Some("ctinfo")
            }
            2 => {
                r.stat[1] ^= 1;
                Some("a counter")
            }
            3 => {
                r.skb_len ^= 4;
                Some("a length")
            }
            n => {
                let live: Vec<usize> = (0..r.entries.len())
                    .filter(|e| !r.entries[*e].expired)
                    .collect();
                let ticks = r.elapsed as i32 + 2;
                rng.choice(live).and_then(|e| {
                    let e = &mut r.entries[e];
                    match n {
                        4 => {
                            e.remaining += 2 * ticks;
                            Some("a timeout")
                        }
                        5 => {
                            e.status ^= 2;
                            Some("a status bit")
                        }
                        6 => {
                            e.tuple[1].sport ^= 1;
                            Some("a reply tuple")
                        }
                        7 => {
                            e.use_count += 1;
                            Some("a use count")
                        }
                        _ if e.tuple[0].proto == 6 => {
                            let at = *rng.choice(&[
                                0, 5, 9, 14, 16, 17, 20, 29, 36, 37, 40, 41, 42, 43, 44, 55, 59,
                            ])?;
                            e.proto[at] ^= 1 << rng.u8(..8);
                            Some("a field of TCP")
                        }
                        _ => None,
                    }
                })
            }
        };
        if let Some(what) = what {
            return Some(format!("{what} of packet {i}"));
        }
    }
    None
}

/// Which states the packets reached, to see that the input is worth its time.
#[derive(Default)]
struct Coverage {
    counts: BTreeMap<String, u64>,
    tcp: BTreeMap<u16, u8>,
}

impl Coverage {
    fn add(&mut self, name: String) {
        *self.counts.entry(name).or_default() += 1;
    }

    fn sequence(&mut self, title: &str, profile: usize, all: &[Outcome]) {
        self.add(format!(
            "kind      {}",
            if title.starts_with("script") {
                "script"
            } else {
                title
            }
        ));
        self.add(format!("profile   {}", gen::PROFILES[profile].name));
        self.tcp.clear();
        for r in all {
            self.add(format!(
                "packet    {}",
                show::place((r.last.0, r.last.1, 0)).replace(" of #0", "")
            ));
            for (name, n) in abi::STATS.iter().zip(r.stat) {
                if n != 0 {
                    *self.counts.entry(format!("counter   {name}")).or_default() += u64::from(n);
                }
            }
            for e in r.entries.iter().filter(|e| e.current) {
                self.add(format!("protocol  {}", e.tuple[0].proto));
                for bit in (0..32).filter(|bit| !e.expired && e.status & 1 << bit != 0) {
                    self.add(format!("status    {}", show::status(1 << bit)));
                }
                if let (132, false) = (e.tuple[0].proto, e.expired) {
                    self.add(format!("sctp      state {}", e.proto[0]));
                }
                if let Some(s) = e.tcp_state() {
                    let before = self.tcp.insert(e.id, s).unwrap_or(0);
                    self.add(format!(
                        "tcp       {} to {}",
                        show::tcp_state(before),
                        show::tcp_state(s)
                    ));
                }
            }
        }
    }
}

pub struct Options<'a> {
    pub a: &'a str,
    pub b: &'a str,
    pub show: usize,
    pub mutate: bool,
    pub coverage: bool,
    /// What to call with a sequence number to see one alone.
    pub reproduce: &'a str,
}

fn history(record: &Record, seed: u64, b: &[Outcome], a: &[Outcome], upto: usize) {
    let s = gen::sequence(seed, record.number, 0);
    for (i, step) in s.steps.iter().enumerate().take(upto + 1) {
        println!("  {i:3} {}", show::step(step));
        if let Some(r) = a.get(i) {
            print!("{}", show::outcome(r));
        }
        if i == upto {
            if let Some(r) = b.get(i) {
                print!("   but B:\n{}", show::outcome(r));
            }
        }
    }
}

/// Compares; `Ok(true)` when nothing differs.
///
/// # Errors
///
/// Says what is wrong with the files.
pub fn run(o: &Options<'_>) -> Result<bool, String> {
    let mut a = Results::open(o.a)?;
    let mut b = Results::open(o.b)?;
    if a.seed != b.seed {
        return Err(format!("other seeds: {} and {}", a.seed, b.seed));
    }
    let seed = a.seed;
    let mut rng = Rng::with_seed(seed);
    let (mut sequences, mut packets, mut differing, mut shown, mut by_chance) =
        (0u64, 0u64, 0u64, 0, 0u64);
    let mut by_field: BTreeMap<String, u64> = BTreeMap::new();
    let mut coverage = Coverage::default();
    let mut mutated = !o.mutate;
    loop {
        let (ra, rb) = match (a.next()?, b.next()?) {
            (Some(ra), Some(rb)) => (ra, rb),
            (None, None) => break,
            _ => return Err(format!("one file ends after {sequences} sequences")),
        };
        if ra.number != rb.number {
            return Err(format!("sequence {} beside {}", ra.number, rb.number));
        }
        sequences += 1;
        let xa = abi::decode_results(&ra.bytes)
            .map_err(|e| format!("{}: sequence {}: {e}", o.a, ra.number))?;
        let mut xb = abi::decode_results(&rb.bytes)
            .map_err(|e| format!("{}: sequence {}: {e}", o.b, rb.number))?;
        packets += xa.len() as u64;
        if !mutated && rng.u8(..40) == 0 {
            if let Some(what) = mutate(&mut rng, &mut xb) {
                println!("mutated: {what} in sequence {}", ra.number);
                mutated = true;
            }
        }
        if o.coverage {
            let s = gen::sequence(seed, ra.number, 0);
            coverage.sequence(&s.title, s.profile, &xa);
        }
        let found = differences(&xa, &xb);
        let Some(first) = found.first() else {
            continue;
        };
        let s = gen::sequence(seed, ra.number, 0);
        let step = s.steps.get(first.packet);
        if step.is_some_and(|step| meets_chance(step, &xa, &xb, first.packet)) {
            by_chance += 1;
            continue;
        }
        differing += 1;
        for d in found.iter().filter(|d| d.packet == first.packet) {
            *by_field
                .entry(format!("{} (protocol {})", d.field, d.proto))
                .or_default() += 1;
        }
        if shown < o.show {
            shown += 1;
            println!(
                "\nSequence {} ({}, profile {}) differs at packet {}; alone: {} --seed {seed} --only {}",
                ra.number,
                s.title,
                gen::PROFILES[s.profile].name,
                first.packet,
                o.reproduce,
                ra.number
            );
            history(&ra, seed, &xb, &xa, first.packet);
            for d in found.iter().filter(|d| d.packet == first.packet) {
                println!("   != {:24} A {}   B {}", d.field, d.a, d.b);
            }
        }
    }
    if !mutated {
        return Err("too few sequences to change one".to_string());
    }
    if o.coverage {
        for (name, n) in &coverage.counts {
            println!("{n:10}  {name}");
        }
    }
    if !by_field.is_empty() {
        println!("\nFirst differing fields, over all sequences:");
        for (field, n) in &by_field {
            println!("{n:8}  {field}");
        }
    }
    if by_chance != 0 {
        println!(
            "{by_chance:8}  go on with a port that translation took by chance in one run only: left there"
        );
    }
    println!("{sequences} sequences, {packets} packets, seed {seed}: {differing} sequences differ");
    Ok(differing == 0)
}

/// What one file of results says, sequence by sequence.
///
/// # Errors
///
/// Says what is wrong with the file.
pub fn show_file(path: &str, only: Option<u64>) -> Result<(), String> {
    let mut f = Results::open(path)?;
    while let Some(r) = f.next()? {
        if only.is_some_and(|n| n != r.number) {
            continue;
        }
        let x = abi::decode_results(&r.bytes)?;
        let s = gen::sequence(f.seed, r.number, 0);
        println!(
            "Sequence {} ({}, profile {})",
            r.number,
            s.title,
            gen::PROFILES[s.profile].name
        );
        history(&r, f.seed, &[], &x, x.len());
    }
    Ok(())
}

/// Reads exactly as much as asked for, or nothing at the end of the file.
pub fn read_or_end(r: &mut impl Read, buf: &mut [u8]) -> io::Result<bool> {
    let mut at = 0;
    while at < buf.len() {
        match r.read(&mut buf[at..])? {
            0 if at == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => at += n,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_results() -> Vec<Outcome> {
        let mut record = vec![0u8; abi::RESULT_SIZE + abi::ENTRY_SIZE];
        let size = (record.len() as u32).to_ne_bytes();
        record[..4].copy_from_slice(&size);
        record[10] = 1;
        record[32] = 2;
        record[16] = 1;
        record[20] = 1;
        record[abi::RESULT_SIZE + 16 + 36] = 6;
        abi::decode_results(&[record.clone(), record].concat()).unwrap()
    }

    #[test]
    fn equal_results_do_not_differ() {
        assert!(differences(&some_results(), &some_results()).is_empty());
    }

    #[test]
    fn every_mutation_is_seen() {
        let mut rng = Rng::with_seed(1);
        for _ in 0..5000 {
            let a = some_results();
            let mut b = a.clone();
            let what = mutate(&mut rng, &mut b).unwrap();
            assert!(!differences(&a, &b).is_empty(), "{what}");
        }
    }

    #[test]
    fn chance_is_met_at_ports_that_one_run_took() {
        let translated = |port: u16| {
            let mut all = some_results();
            let e = &mut all[0].entries[0];
            e.status |= 1 << 7;
            e.tuple[0].sport = 1000;
            e.tuple[1].dport = port;
            all
        };
        let mut packet = vec![0u8; 40];
        packet[0] = 0x45;
        packet[9] = 6;
        packet[22..24].copy_from_slice(&2000u16.to_be_bytes());
        let step = Step::new(crate::abi::Path::Forward, false, packet);
        let meets = |a, b, packet| meets_chance(&step, &translated(a), &translated(b), packet);
        assert!(meets(2000, 3000, 1) && meets(3000, 2000, 1));
        // Both took it; it is taken later; nobody took it.
        assert!(!meets(2000, 2000, 1) && !meets(2000, 3000, 0) && !meets(3000, 4000, 1));
    }

    #[test]
    fn timeouts_may_differ_by_the_time_that_passed() {
        let a = some_results();
        let mut b = a.clone();
        b[1].elapsed = 3;
        b[1].entries[0].remaining += 4;
        assert!(differences(&a, &b).is_empty());
        b[1].entries[0].remaining += 1;
        assert_eq!(differences(&a, &b).len(), 1);
    }
}
