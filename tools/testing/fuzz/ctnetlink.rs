// SPDX-License-Identifier: GPL-2.0

//! ctnetlink SEED MESSAGES [SECONDS]: sends that many netlink messages to conntrack, each
//! of a right structure and of hostile values, from a seed.
//!
//! All requests of the four subsystems that reach conntrack (entries, expectations, timeout
//! policies, user-space helpers), many in one datagram. Values come from small sets, so that
//! requests meet the entries of others, and from the ends of their ranges; now and then an
//! attribute is missing, given twice, too short, or without its nesting flag. Between them
//! go packets of the same tuples: what a message has set up has to survive them. Dumps are
//! read, broken off, and left.
//!
//! Its own last line is `N messages, ...` with what became of those whose answers it read.
//! Whether the kernel stayed sound is for the kernel's log to say.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::mem;
use std::time::Duration;
use std::time::Instant;

extern "C" {
    fn socket(domain: i32, kind: i32, protocol: i32) -> i32;
    fn close(fd: i32) -> i32;
    fn setsockopt(fd: i32, level: i32, name: i32, value: *const i32, size: u32) -> i32;
    fn send(fd: i32, data: *const u8, size: usize, flags: i32) -> isize;
    fn recv(fd: i32, data: *mut u8, size: usize, flags: i32) -> isize;
    fn sendto(fd: i32, data: *const u8, size: usize, flags: i32, to: *const u8, len: u32) -> isize;
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const AF_NETLINK: i32 = 16;
const NETLINK_NETFILTER: i32 = 12;
const DONTWAIT: i32 = 0x40;
const NESTED: u16 = 0x8000;
const DUMP: u16 = 0x300;

const CT: u8 = 1;
const EXP: u8 = 2;
const TIMEOUT: u8 = 8;
const HELPER: u8 = 9;

const PROTOCOLS: [u8; 10] = [6, 6, 6, 17, 17, 132, 47, 1, 58, 253];
const HELPERS: [&str; 14] = [
    "ftp",
    "tftp",
    "irc",
    "sip",
    "pptp",
    "Q.931",
    "RAS",
    "amanda",
    "sane",
    "snmp",
    "netbios-ns",
    "user0",
    "user1",
    "nosuch",
];

/// A socket that is closed when it goes.
struct Fd(i32);

impl Fd {
    fn open(domain: i32, kind: i32, protocol: i32) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        match unsafe { socket(domain, kind, protocol) } {
            fd if fd < 0 => Err(io::Error::last_os_error()),
            fd => Ok(Self(fd)),
        }
    }

    fn set(&self, level: i32, name: i32, value: i32) {
        // SAFETY: `value` lives for the call, and its size is given.
        unsafe { setsockopt(self.0, level, name, &value, 4) };
    }

    fn netlink() -> io::Result<Self> {
        let fd = Self::open(AF_NETLINK, 3, NETLINK_NETFILTER)?;
        // Answers that nobody reads are dropped, without an error for the sender.
        fd.set(270, 5, 1);
        fd.set(270, 11, 1);
        fd.set(1, 8, 1 << 18);
        Ok(fd)
    }

    fn send(&self, data: &[u8]) -> bool {
        // SAFETY: `data` lives for the call, and its size is given.
        unsafe { send(self.0, data.as_ptr(), data.len(), DONTWAIT) >= 0 }
    }

    /// One datagram, if there is one.
    fn recv<'a>(&self, into: &'a mut [u8]) -> Option<&'a [u8]> {
        // SAFETY: `into` is ours alone for the call, and its size is given.
        let n = unsafe { recv(self.0, into.as_mut_ptr(), into.len(), DONTWAIT) };
        usize::try_from(n).ok().map(|n| &into[..n])
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours.
        unsafe { close(self.0) };
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// A number that code likes to get wrong.
    fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => 1 << self.below(64),
            4 => (1u64 << self.below(64)).wrapping_sub(1),
            5 => 0x7fff_ffff,
            6 => self.below(16),
            _ => self.next(),
        }
    }
}

/// What a tuple is made of.
#[derive(Clone, Copy)]
struct Flow {
    family: u8,
    proto: u8,
    src: u8,
    dst: u8,
    sport: u16,
    dport: u16,
}

impl Flow {
    fn swapped(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
            ..self
        }
    }

    fn address(family: u8, host: u8) -> ([u8; 16], usize) {
        let mut a = [0; 16];
        if family == AF_INET {
            a[..4].copy_from_slice(&[10, 9, 0, host]);
            (a, 4)
        } else {
            a[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            a[15] = host;
            (a, 16)
        }
    }
}

/// Messages under construction.
struct Writer {
    data: Vec<u8>,
    dice: Dice,
}

impl Writer {
    /// One attribute; its payload is what `fill` appends. One in four hundred is damaged.
    fn attr(&mut self, kind: u16, nested: bool, fill: impl Fn(&mut Self)) {
        let damage = self.dice.below(3000);
        if damage == 0 {
            return;
        }
        for _ in 0..if damage == 1 { 2 } else { 1 } {
            let at = self.data.len();
            self.data.extend_from_slice(&[0; 4]);
            fill(self);
            match damage {
                2 => self.data.truncate(at + 4 + (self.data.len() - at - 4) / 2),
                3 => self.data.extend_from_slice(&[0xff; 5]),
                _ => (),
            }
            let mut size = (self.data.len() - at) as u16;
            if damage == 4 {
                size = self.dice.number() as u16;
            }
            let mut kind = if nested && damage != 5 {
                kind | NESTED
            } else {
                kind
            };
            if damage == 6 {
                kind = self.dice.number() as u16;
            }
            self.data[at..at + 2].copy_from_slice(&size.to_ne_bytes());
            self.data[at + 2..at + 4].copy_from_slice(&kind.to_ne_bytes());
            while self.data.len() % 4 != 0 {
                self.data.push(0);
            }
        }
    }

    fn nest(&mut self, kind: u16, fill: impl Fn(&mut Self)) {
        self.attr(kind, true, fill);
    }

    fn bytes(&mut self, kind: u16, bytes: &[u8]) {
        self.attr(kind, false, |w| w.data.extend_from_slice(bytes));
    }

    fn be16(&mut self, kind: u16, n: u16) {
        self.bytes(kind, &n.to_be_bytes());
    }

    fn be32(&mut self, kind: u16, n: u32) {
        self.bytes(kind, &n.to_be_bytes());
    }

    fn text(&mut self, kind: u16, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        if !self.dice.one_in(50) {
            bytes.push(0);
        }
        self.bytes(kind, &bytes);
    }

    /// True in one of `n` cases: for attributes that are not always there.
    fn maybe(&mut self, n: u64) -> bool {
        self.dice.one_in(n)
    }

    /// A hostile 32-bit value, or one of `usual`.
    fn value(&mut self, usual: &[u32]) -> u32 {
        if self.dice.one_in(4) {
            self.dice.number() as u32
        } else {
            self.dice.pick(usual)
        }
    }

    fn flow(&mut self) -> Flow {
        let family = if self.dice.one_in(3) {
            AF_INET6
        } else {
            AF_INET
        };
        let proto = if self.dice.one_in(100) {
            self.dice.number() as u8
        } else {
            self.dice.pick(&PROTOCOLS)
        };
        let port = |d: &mut Dice| {
            if d.one_in(40) {
                d.number() as u16
            } else {
                d.pick(&[21, 69, 1000, 1001, 5060, 1723])
            }
        };
        Flow {
            family,
            proto,
            src: self.dice.below(3) as u8 + 1,
            dst: self.dice.below(3) as u8 + 1,
            sport: port(&mut self.dice),
            dport: port(&mut self.dice),
        }
    }

    fn tuple(&mut self, kind: u16, f: Flow) {
        self.nest(kind, |w| {
            w.nest(1, |w| {
                let (first, size) = (
                    if f.family == AF_INET { 1 } else { 3 },
                    Flow::address(f.family, 0).1,
                );
                w.bytes(first, &Flow::address(f.family, f.src).0[..size]);
                w.bytes(first + 1, &Flow::address(f.family, f.dst).0[..size]);
            });
            w.nest(2, |w| {
                w.bytes(1, &[f.proto]);
                match f.proto {
                    1 | 58 => {
                        let first = if f.proto == 1 { 4 } else { 7 };
                        w.be16(first, f.sport);
                        let echo = if f.proto == 1 {
                            [8, 0, 13, 14]
                        } else {
                            [128, 129, 139, 140]
                        };
                        let kind = if w.maybe(20) {
                            w.dice.number() as u8
                        } else {
                            w.dice.pick(&echo)
                        };
                        w.bytes(first + 1, &[kind]);
                        w.bytes(first + 2, &[0]);
                    }
                    6 | 17 | 33 | 47 | 132 | 136 => {
                        w.be16(2, f.sport);
                        w.be16(3, f.dport);
                    }
                    _ => (),
                }
            });
            if w.maybe(20) {
                let zone = w.value(&[0, 1, 2, 65535]) as u16;
                w.be16(3, zone);
            }
        });
    }

    fn tuples(&mut self, f: Flow) {
        if !self.maybe(30) {
            self.tuple(1, f);
        }
        if !self.maybe(10) {
            let back = if self.maybe(8) {
                self.flow()
            } else {
                f.swapped()
            };
            self.tuple(2, back);
        }
    }

    fn nat(&mut self, kind: u16, f: Flow) {
        self.nest(kind, |w| {
            let (low, size) = (
                if f.family == AF_INET { 1 } else { 4 },
                Flow::address(f.family, 0).1,
            );
            if !w.maybe(5) {
                let first = w.dice.below(4) as u8;
                w.bytes(low, &Flow::address(f.family, first).0[..size]);
                if !w.maybe(3) {
                    let last = w.dice.below(8) as u8;
                    w.bytes(low + 1, &Flow::address(f.family, last).0[..size]);
                }
            }
            if w.maybe(2) {
                w.nest(3, |w| {
                    let (a, b) = (w.value(&[1000, 2000]) as u16, w.value(&[1000, 2100]) as u16);
                    w.be16(1, a);
                    w.be16(2, b);
                });
            }
        });
    }

    fn protoinfo(&mut self, f: Flow) {
        self.nest(4, |w| {
            let which = if w.maybe(20) {
                w.dice.below(4) as u16
            } else if f.proto == 132 {
                3
            } else {
                1
            };
            w.nest(which, |w| {
                let state = if w.maybe(10) {
                    w.dice.number() as u8
                } else {
                    w.dice.below(11) as u8
                };
                w.bytes(1, &[state]);
                if which == 3 {
                    let (a, b) = (w.value(&[0, 7, 9]), w.value(&[0, 7, 9]));
                    w.be32(2, a);
                    w.be32(3, b);
                } else {
                    for kind in [2, 3] {
                        if w.maybe(2) {
                            let scale = w.value(&[0, 7, 14, 15]) as u8;
                            w.bytes(kind, &[scale]);
                        }
                    }
                    for kind in [4, 5] {
                        if w.maybe(2) {
                            let flags = [w.dice.number() as u8, w.dice.number() as u8];
                            w.bytes(kind, &flags);
                        }
                    }
                }
            });
        });
    }

    fn helper_name(&mut self) -> &'static str {
        self.dice.pick(&HELPERS)
    }

    fn numbers(&mut self, kind: u16, count: u16) {
        self.nest(kind, |w| {
            for i in 1..=count {
                let n = w.value(&[0, 1, 1000]);
                w.be32(i, n);
            }
        });
    }

    /// What an entry can be asked to have.
    fn properties(&mut self, f: Flow) {
        if !self.maybe(10) {
            let n = self.value(&[1, 30, 600, 86400]);
            self.be32(7, n);
        }
        if self.maybe(2) {
            let n = self.value(&[
                0, 2, 4, 6, 0xe, 0x40e, 0x4e, 0x18e, 0x80, 0x100, 0x200, 0x800, 0x2000, 0x4000,
                0x8000,
            ]);
            self.be32(3, n);
        }
        if self.maybe(if matches!(f.proto, 6 | 132) { 2 } else { 20 }) {
            self.protoinfo(f);
        }
        if self.maybe(6) {
            self.nest(5, |w| {
                let name = w.helper_name();
                w.text(1, name);
                if w.maybe(4) {
                    let junk = w.dice.next().to_ne_bytes();
                    w.bytes(2, &junk);
                }
            });
        }
        for kind in [6, 13] {
            if self.maybe(7) {
                self.nat(kind, f);
            }
        }
        for kind in [8, 21] {
            if self.maybe(5) {
                let n = self.value(&[0, 1, 0xff]);
                self.be32(kind, n);
            }
        }
        if self.maybe(12) {
            let master = self.flow();
            self.tuple(14, master);
        }
        for kind in [15, 16] {
            if self.maybe(10) {
                self.numbers(kind, 3);
            }
        }
        self.zone(18, 10);
        for kind in [22, 23] {
            if self.maybe(8) {
                let size = self.value(&[16, 16, 4, 8, 12]) % 40;
                let labels = vec![self.dice.number() as u8; size as usize];
                self.bytes(kind, &labels);
            }
        }
        if self.maybe(15) {
            self.numbers(24, 3);
        }
    }

    fn zone(&mut self, kind: u16, odds: u64) {
        if self.maybe(odds) {
            let zone = self.value(&[0, 1, 2, 65535]) as u16;
            self.be16(kind, zone);
        }
    }

    fn filter(&mut self, f: Flow) {
        for (kind, odds) in [(8, 3), (21, 3), (3, 4), (26, 4)] {
            if self.maybe(odds) {
                let n = self.value(&[0, 1, 0xff, 8]);
                self.be32(kind, n);
            }
        }
        self.zone(18, 4);
        if self.maybe(3) {
            self.tuples(f);
            self.nest(25, |w| {
                for kind in [1, 2] {
                    let n = if w.maybe(3) {
                        w.dice.number() as u32
                    } else {
                        w.dice.below(1024) as u32
                    };
                    w.bytes(kind, &n.to_ne_bytes());
                }
            });
        }
    }

    fn entry(&mut self, kind: u8, dump: bool) {
        let f = self.flow();
        match kind {
            0 => {
                self.tuples(f);
                self.properties(f);
            }
            _ if dump => self.filter(f),
            1 | 2 => {
                if !self.maybe(20) {
                    self.tuples(f);
                }
                self.zone(18, 10);
                if self.maybe(6) {
                    let n = self.value(&[0, 1]);
                    self.be32(12, n);
                }
                if self.maybe(10) {
                    self.filter(f);
                }
            }
            _ => self.tuples(f),
        }
    }

    fn expectation(&mut self, kind: u8) {
        let (master, expected) = (self.flow(), self.flow());
        if !self.maybe(20) {
            self.tuple(1, master);
        }
        if kind == 0 || !self.maybe(5) {
            let expected = Flow {
                family: if self.maybe(20) {
                    expected.family
                } else {
                    master.family
                },
                ..expected
            };
            self.tuple(2, expected);
        }
        if kind == 0 && !self.maybe(20) {
            self.nest(3, |w| {
                w.nest(1, |w| {
                    let (first, size) = if master.family == AF_INET {
                        (1, 4)
                    } else {
                        (3, 16)
                    };
                    for kind in [first, first + 1] {
                        let byte = w.dice.pick(&[0xff, 0xff, 0, 0xf0]);
                        w.bytes(kind, &[byte; 16][..size]);
                    }
                });
                w.nest(2, |w| {
                    w.bytes(1, &[expected.proto]);
                    let (a, b) = (w.value(&[0, 0xffff]) as u16, w.value(&[0xffff]) as u16);
                    w.be16(2, a);
                    w.be16(3, b);
                });
            });
        }
        if !self.maybe(10) {
            let n = self.value(&[1, 300]);
            self.be32(4, n);
        }
        if self.maybe(6) {
            let n = self.value(&[1]);
            self.be32(5, n);
        }
        if self.maybe(4) {
            let name = self.helper_name();
            self.text(6, name);
        }
        self.zone(7, 10);
        for kind in [8, 9] {
            if self.maybe(3) {
                let n = self.value(&[0, 0, 1, 2, 3, 4, 7]);
                self.be32(kind, n);
            }
        }
        if self.maybe(5) {
            self.nest(10, |w| {
                let n = w.value(&[0, 1]);
                w.be32(1, n);
                let to = Flow {
                    family: master.family,
                    ..w.flow()
                };
                w.tuple(2, to);
            });
        }
        if self.maybe(6) {
            let name = self.dice.pick(&[
                "nat-follow-master",
                "Q.931",
                "callforwarding",
                "sip",
                "nosuch",
                "",
            ]);
            self.text(11, name);
        }
    }

    fn policy(&mut self) {
        if !self.maybe(10) {
            let name = self
                .dice
                .pick(&["a", "b", "c", "policy-with-a-rather-long-name"]);
            self.text(1, name);
        }
        if !self.maybe(10) {
            let n = self.value(&[2, 10]) as u16;
            self.be16(2, n);
        }
        if !self.maybe(10) {
            let f = self.flow();
            self.bytes(3, &[f.proto]);
        }
        if !self.maybe(4) {
            self.nest(4, |w| {
                for i in 0..w.dice.below(16) as u16 {
                    let n = w.value(&[1, 30, 600]);
                    w.be32(i, n);
                }
            });
        }
    }

    fn user_helper(&mut self) {
        if !self.maybe(10) {
            let name =
                self.dice
                    .pick(&["user0", "user1", "user2", "ftp", "a-name-that-is-too-long"]);
            self.text(1, name);
        }
        if !self.maybe(10) {
            self.nest(2, |w| {
                let (family, proto) = (w.value(&[2, 10]) as u16, w.flow().proto);
                w.be16(1, family);
                w.bytes(2, &[proto]);
            });
        }
        if !self.maybe(10) {
            let n = self.value(&[0, 1]);
            self.be32(3, n);
        }
        if !self.maybe(5) {
            self.nest(4, |w| {
                let count = w.value(&[1, 1, 2, 4]);
                w.be32(1, count);
                for i in 0..count.min(6) as u16 {
                    w.nest(2 + i, |w| {
                        w.text(1, "class");
                        let (a, b) = (w.value(&[1, 10]), w.value(&[60]));
                        w.be32(2, a);
                        w.be32(3, b);
                    });
                }
            });
        }
        for kind in [5, 6] {
            if self.maybe(2) {
                let n = self.value(&[0, 1, 16, 128]);
                self.be32(kind, n);
            }
        }
    }

    /// One whole message; true if it asks for a dump.
    fn message(&mut self, ack: bool) -> bool {
        let at = self.data.len();
        let (subsys, kind) = match self.dice.below(100) {
            0..=39 => (CT, 0),
            40..=54 => (CT, 1),
            55..=62 => (CT, 2),
            63..=66 => (CT, self.dice.below(9) as u8),
            67..=80 => (EXP, 0),
            81..=84 => (EXP, self.dice.below(5) as u8),
            85..=91 => (TIMEOUT, self.dice.below(6) as u8),
            92..=95 => (HELPER, self.dice.below(4) as u8),
            96 => (CT, 1),
            _ => (EXP, self.dice.below(3) as u8),
        };
        let dump = kind != 0 && self.dice.one_in(150)
            || (subsys == CT && kind >= 3 && self.dice.one_in(2));
        let mut flags = 1 | if ack { 4 } else { 0 };
        if dump {
            flags |= DUMP;
        } else if kind == 0 {
            flags |= self.dice.pick(&[0x600u16, 0x400, 0, 0x500, 0x100, 0x408]);
        }
        if self.dice.one_in(200) {
            flags |= self.dice.number() as u16 & !DUMP;
        }
        self.data.extend_from_slice(&[0; 16]);
        let family = if self.dice.one_in(40) {
            self.dice.number() as u8
        } else {
            self.dice.pick(&[AF_INET, AF_INET, AF_INET6, 0])
        };
        self.data.extend_from_slice(&[family, 0, 0, 0]);
        match subsys {
            CT => self.entry(kind, dump),
            EXP => self.expectation(kind),
            TIMEOUT => self.policy(),
            _ => self.user_helper(),
        }
        // The family of a request is that of its addresses, mostly.
        if let Some(first) = self.data.get(at + 24) {
            if self.dice.below(20) != 0 && subsys <= EXP && !dump {
                self.data[at + 16] = if *first == 20 {
                    AF_INET
                } else if *first == 44 {
                    AF_INET6
                } else {
                    family
                };
            }
        }
        let size = (self.data.len() - at) as u32;
        let mut head = [0u8; 16];
        head[..4].copy_from_slice(&size.to_ne_bytes());
        head[4..6].copy_from_slice(&[kind, subsys]);
        head[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.data[at..at + 16].copy_from_slice(&head);
        dump
    }

    /// Begin or end of a batch, which only other subsystems know.
    fn batch(&mut self, kind: u8) {
        let subsys = self.dice.pick(&[CT, EXP, TIMEOUT, HELPER]);
        self.data.extend_from_slice(&20u32.to_ne_bytes());
        self.data.extend_from_slice(&[kind, 0, 1, 0]);
        self.data.extend_from_slice(&[0; 8]);
        self.data.extend_from_slice(&[0, 0, 0, subsys]);
    }

    /// A packet of one of the flows, with its IP header.
    fn packet(&mut self) -> (Flow, Vec<u8>) {
        let f = self.flow();
        let mut body = Vec::new();
        let random = self.dice.next().to_ne_bytes();
        match f.proto {
            1 | 58 => {
                let kind = if f.proto == 1 {
                    self.dice.pick(&[8, 0, 3, 5, 11])
                } else {
                    self.dice.pick(&[128, 129, 1, 2, 3])
                };
                body.extend_from_slice(&[kind, 0, 0, 0]);
                body.extend_from_slice(&f.sport.to_be_bytes());
                body.extend_from_slice(&[0, 1]);
                body.extend_from_slice(&[
                    0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2,
                ]);
                body.extend_from_slice(&random);
            }
            47 => body.extend_from_slice(&[0x20, 1, 0x88, 0x0b, 0, 0, 3, 232]),
            _ => {
                body.extend_from_slice(&f.sport.to_be_bytes());
                body.extend_from_slice(&f.dport.to_be_bytes());
                match f.proto {
                    6 => {
                        body.extend_from_slice(&random);
                        let flags = self.dice.pick(&[2, 0x12, 0x10, 0x11, 4, 0x14, 0x18, 0]);
                        body.extend_from_slice(&[0x50, flags, random[0], random[1], 0, 0, 0, 0]);
                    }
                    132 => {
                        body.extend_from_slice(&random[..4]);
                        body.extend_from_slice(&[0; 4]);
                        let chunk = self.dice.below(15) as u8;
                        body.extend_from_slice(&[chunk, random[0] & 1, 0, 20]);
                        body.extend_from_slice(&random);
                        body.extend_from_slice(&random);
                    }
                    _ => body.extend_from_slice(&[0, 16, 0, 0]),
                }
                body.extend_from_slice(&random);
            }
        }
        let mut packet = Vec::new();
        let (size, src, dst) = (
            body.len() as u16,
            Flow::address(f.family, f.src).0,
            Flow::address(f.family, f.dst).0,
        );
        if f.family == AF_INET {
            packet.extend_from_slice(&[0x45, 0]);
            packet.extend_from_slice(&(size + 20).to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0, 0, 64, f.proto, 0, 0]);
            packet.extend_from_slice(&src[..4]);
            packet.extend_from_slice(&dst[..4]);
        } else {
            packet.extend_from_slice(&[0x60, 0, 0, 0]);
            packet.extend_from_slice(&size.to_be_bytes());
            packet.extend_from_slice(&[f.proto, 64]);
            packet.extend_from_slice(&src);
            packet.extend_from_slice(&dst);
        }
        packet.extend_from_slice(&body);
        (f, packet)
    }
}

/// Counts the answers in a datagram by their error; false when a dump has ended.
fn count(data: &[u8], seen: &mut BTreeMap<i32, u64>) -> bool {
    let (mut rest, mut more) = (data, true);
    while rest.len() >= 20 {
        let size = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        let kind = u16::from_ne_bytes([rest[4], rest[5]]);
        if kind == 2 || kind == 3 {
            let code = i32::from_ne_bytes([rest[16], rest[17], rest[18], rest[19]]);
            *seen.entry(-code).or_default() += u64::from(kind == 2);
            more &= kind != 3;
        }
        rest = rest.get((size.max(16) + 3) & !3..).unwrap_or(&[]);
    }
    more
}

fn transmit(raw: &[Fd; 2], f: Flow, packet: &[u8]) {
    let mut to = [0u8; 28];
    to[..2].copy_from_slice(&u16::from(f.family).to_ne_bytes());
    let (address, size) = Flow::address(f.family, f.dst);
    let at = if f.family == AF_INET { 4 } else { 8 };
    to[at..at + size].copy_from_slice(&address[..size]);
    let (fd, len) = if f.family == AF_INET {
        (raw[0].0, 16)
    } else {
        (raw[1].0, 28)
    };
    // SAFETY: packet and address live for the call, and their sizes are given.
    unsafe {
        sendto(
            fd,
            packet.as_ptr(),
            packet.len(),
            DONTWAIT,
            to.as_ptr(),
            len,
        )
    };
}

fn main() -> io::Result<()> {
    let args: Vec<u64> = env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (seed, wanted) = (
        args.first().copied().unwrap_or(1),
        args.get(1).copied().unwrap_or(100_000),
    );
    let limit = Duration::from_secs(args.get(2).copied().unwrap_or(86_400));
    let began = Instant::now();
    let mut w = Writer {
        data: Vec::with_capacity(1 << 16),
        dice: Dice(seed),
    };
    let raw = [Fd::open(2, 3, 255)?, Fd::open(10, 3, 255)?];
    raw[1].set(41, 36, 1);
    let mut netlink = Fd::netlink()?;
    let mut seen = BTreeMap::new();
    let mut buffer = vec![0; 1 << 17];
    let (mut sent, mut rounds, mut dumps, mut packets) = (0u64, 0u64, 0u64, 0u64);
    while sent < wanted && began.elapsed() < limit {
        rounds += 1;
        // Answers cost more than requests: most are not read.
        let ask = rounds % 64 == 0;
        let mut dump = false;
        w.data.clear();
        if w.dice.one_in(200) {
            w.batch(16);
        }
        for _ in 0..1 + w.dice.below(64) {
            sent += 1;
            if w.message(ask) {
                // The core takes one dump at a time of a socket.
                dump = true;
                break;
            }
            if w.data.len() > 12_000 {
                break;
            }
        }
        if w.dice.one_in(200) {
            w.batch(17);
        }
        let data = mem::take(&mut w.data);
        netlink.send(&data);
        w.data = data;
        if ask || dump {
            dumps += u64::from(dump);
            let patience = if dump && w.dice.one_in(4) { 2 } else { 300 };
            for _ in 0..patience {
                match netlink.recv(&mut buffer) {
                    Some(data) if !count(data, &mut seen) => break,
                    Some(_) => (),
                    None => break,
                }
            }
        }
        if rounds % 16 == 0 {
            for _ in 0..4 {
                let (f, packet) = w.packet();
                transmit(&raw, f, &packet);
                packets += 1;
            }
        }
        if rounds % 128 == 0 {
            // A dump that nobody finishes ends with its socket; a flush makes room.
            netlink = Fd::netlink()?;
            w.data.clear();
            w.data.extend_from_slice(&20u32.to_ne_bytes());
            w.data.extend_from_slice(&[2, CT, 1, 0]);
            w.data.extend_from_slice(&[0; 12]);
            netlink.send(&w.data);
            sent += 1;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    print!("{sent} messages, {dumps} dumps, {packets} packets, {seconds:.1} s, seed {seed}; answers read:");
    for (code, n) in seen {
        print!(" {code}={n}");
    }
    println!();
    Ok(())
}
