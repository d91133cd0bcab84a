// SPDX-License-Identifier: GPL-2.0

//! TCP between two model endpoints, over a network that loses, reorders and
//! doubles, with a stranger who injects.
//!
//! The endpoints keep to the protocol as far as an exchange needs to go on in
//! all its turns; they are no implementation of TCP.

use fastrand::Rng;

use super::Gen;
use crate::wire;
use crate::wire::Segment;
use crate::wire::TcpOptions;
use crate::wire::ACK;
use crate::wire::FIN;
use crate::wire::PSH;
use crate::wire::RST;
use crate::wire::SYN;
use crate::wire::URG;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Open,
}

#[derive(Clone, Debug)]
struct End {
    phase: Phase,
    port: u16,
    una: u32,
    nxt: u32,
    rcv_nxt: u32,
    window: u32,
    /// The shift that this end offers, and what holds once both have.
    offer: Option<u8>,
    shift: u8,
    peer_window: u32,
    sack: bool,
    stamps: bool,
    clock: u32,
    peer_clock: u32,
    fin_sent: bool,
    out_of_order: Vec<(u32, u32)>,
}

fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl End {
    fn new(rng: &mut Rng, port: u16, phase: Phase) -> Self {
        let iss = match rng.u8(..5) {
            0 => rng.u32(..4),
            1 | 2 => u32::MAX - rng.u32(..6000),
            3 => 0x8000_0000u32
                .wrapping_add(rng.u32(..6000))
                .wrapping_sub(3000),
            _ => rng.u32(..),
        };
        End {
            phase,
            port,
            una: iss,
            nxt: iss,
            rcv_nxt: 0,
            window: *rng
                .choice(&[65535, 29200, 64240, 1460, 5840, 250_000, 1 << 20])
                .unwrap_or(&65535),
            offer: match rng.u8(..4) {
                0 => None,
                1 => Some(0),
                2 => Some(7),
                _ => Some(rng.u8(..16)),
            },
            shift: 0,
            peer_window: 65535,
            sack: rng.bool(),
            stamps: rng.bool(),
            clock: rng.u32(..),
            peer_clock: 0,
            fin_sent: false,
            out_of_order: Vec::new(),
        }
    }

    fn segment(&mut self, peer_port: u16, flags: u8, seq: u32, len: u16) -> Segment {
        let syn = flags & SYN != 0;
        let shift = if syn { 0 } else { self.shift.min(14) };
        let mut options = TcpOptions::default();
        if syn {
            options.mss = Some(1460);
            options.wscale = self.offer;
            options.sack_perm = self.sack;
        } else if self.sack {
            options.sack = self.out_of_order.clone();
        }
        if self.stamps && flags & RST == 0 {
            self.clock = self.clock.wrapping_add(3);
            options.timestamp = Some((self.clock, self.peer_clock));
        }
        Segment {
            sport: self.port,
            dport: peer_port,
            seq,
            ack: if flags & ACK != 0 { self.rcv_nxt } else { 0 },
            flags,
            win: (self.window >> shift).min(65535) as u16,
            options,
            len,
        }
    }
}

struct Exchange {
    /// 0 the client, 1 the server.
    end: [End; 2],
    flight: Vec<(usize, Segment)>,
    last: [Option<Segment>; 2],
}

impl Exchange {
    fn emit(&mut self, who: usize, flags: u8, seq: u32, len: u16) {
        let port = self.end[1 - who].port;
        let s = self.end[who].segment(port, flags, seq, len);
        self.flight.push((who, s));
    }

    fn ack(&mut self, who: usize) {
        let seq = self.end[who].nxt;
        self.emit(who, ACK, seq, 0);
    }

    fn open(&mut self, who: usize) {
        let seq = self.end[who].nxt;
        self.end[who].phase = Phase::SynSent;
        self.end[who].una = seq;
        self.end[who].nxt = seq.wrapping_add(1);
        self.emit(who, SYN, seq, 0);
    }

    fn data(&mut self, who: usize, rng: &mut Rng) {
        let e = &mut self.end[who];
        let used = e.nxt.wrapping_sub(e.una);
        let room = e.peer_window.saturating_sub(used).min(1448);
        if room == 0 {
            // Probe of a closed window.
            let seq = e.una.wrapping_sub(u32::from(rng.bool()));
            return self.emit(who, ACK, seq, u16::from(rng.bool()));
        }
        let len = rng.u32(1..=room) as u16;
        let seq = e.nxt;
        e.nxt = e.nxt.wrapping_add(u32::from(len));
        let push = if rng.bool() { PSH } else { 0 };
        self.emit(who, ACK | push, seq, len);
    }

    fn again(&mut self, who: usize, rng: &mut Rng) {
        let (una, nxt, phase) = {
            let e = &self.end[who];
            (e.una, e.nxt, e.phase)
        };
        match phase {
            Phase::SynSent => self.emit(who, SYN, una, 0),
            Phase::SynReceived => self.emit(who, SYN | ACK, una, 0),
            _ => {
                let fin = if self.end[who].fin_sent { FIN } else { 0 };
                let len = nxt
                    .wrapping_sub(una)
                    .wrapping_sub(u32::from(fin != 0))
                    .min(1448);
                if len == 0 && fin == 0 {
                    // Nothing to repeat: a keepalive.
                    return self.emit(who, ACK, nxt.wrapping_sub(1), u16::from(rng.bool()));
                }
                self.emit(who, ACK | fin, una, len as u16);
            }
        }
    }

    fn close(&mut self, who: usize) {
        let e = &mut self.end[who];
        if e.fin_sent {
            return;
        }
        e.fin_sent = true;
        let seq = e.nxt;
        e.nxt = e.nxt.wrapping_add(1);
        self.emit(who, FIN | ACK, seq, 0);
    }

    fn abort(&mut self, who: usize, rng: &mut Rng) {
        let seq = self.end[who].nxt;
        self.emit(who, if rng.bool() { RST } else { RST | ACK }, seq, 0);
        self.end[who].phase = Phase::Closed;
    }

    /// What the receiver makes of a segment that reached it.
    fn receive(&mut self, who: usize, s: &Segment, rng: &mut Rng) {
        let end_seq = s
            .seq
            .wrapping_add(u32::from(s.len))
            .wrapping_add(u32::from(s.flags & SYN != 0) + u32::from(s.flags & FIN != 0));
        let peer_shift = self.end[1 - who].shift.min(14);
        let e = &mut self.end[who];
        if let Some((value, _)) = s.options.timestamp {
            e.peer_clock = value;
        }
        if s.flags & RST != 0 {
            let exact = match e.phase {
                Phase::SynSent => s.flags & ACK != 0 && s.ack == e.nxt,
                _ => s.seq == e.rcv_nxt,
            };
            if exact {
                e.phase = Phase::Closed;
            } else if matches!(e.phase, Phase::Open) && rng.bool() {
                self.ack(who);
            }
            return;
        }
        match e.phase {
            Phase::Closed => {
                if rng.bool() {
                    let (flags, seq) = if s.flags & ACK != 0 {
                        (RST, s.ack)
                    } else {
                        (RST | ACK, 0)
                    };
                    e.rcv_nxt = end_seq;
                    self.emit(who, flags, seq, 0);
                }
            }
            Phase::Listen => {
                if s.flags & (SYN | ACK) == SYN {
                    self.accept(who, s);
                    let seq = self.end[who].nxt;
                    self.end[who].nxt = seq.wrapping_add(1);
                    self.end[who].phase = Phase::SynReceived;
                    self.emit(who, SYN | ACK, seq, 0);
                }
            }
            Phase::SynSent => {
                if s.flags & (SYN | ACK) == SYN | ACK && s.ack == e.nxt {
                    e.una = s.ack;
                    e.phase = Phase::Open;
                    self.accept(who, s);
                    self.ack(who);
                } else if s.flags & (SYN | ACK) == SYN {
                    e.phase = Phase::SynReceived;
                    self.accept(who, s);
                    let seq = self.end[who].una;
                    self.emit(who, SYN | ACK, seq, 0);
                } else if s.flags & ACK != 0 && s.ack != e.nxt {
                    self.emit(who, RST, s.ack, 0);
                }
            }
            Phase::SynReceived | Phase::Open => {
                if s.flags & SYN != 0 && e.phase == Phase::Open {
                    return self.ack(who);
                }
                if s.flags & ACK != 0 && !after(s.ack, e.nxt) {
                    if after(s.ack, e.una) {
                        e.una = s.ack;
                        e.phase = Phase::Open;
                    }
                    e.peer_window = u32::from(s.win) << peer_shift;
                }
                let e = &mut self.end[who];
                if s.len == 0 && s.flags & FIN == 0 {
                    return;
                }
                if s.seq == e.rcv_nxt {
                    e.rcv_nxt = end_seq;
                    while let Some(i) = e
                        .out_of_order
                        .iter()
                        .position(|(a, _)| !after(*a, e.rcv_nxt))
                    {
                        let (_, to) = e.out_of_order.remove(i);
                        if after(to, e.rcv_nxt) {
                            e.rcv_nxt = to;
                        }
                    }
                } else if after(s.seq, e.rcv_nxt) && e.out_of_order.len() < 4 {
                    e.out_of_order.insert(0, (s.seq, end_seq));
                }
                if rng.u8(..4) != 0 {
                    self.ack(who);
                }
            }
        }
    }

    /// The options of a peer's SYN, and its first sequence number.
    fn accept(&mut self, who: usize, s: &Segment) {
        let both = s.options.wscale.is_some() && self.end[who].offer.is_some();
        let e = &mut self.end[who];
        e.rcv_nxt = s.seq.wrapping_add(1).wrapping_add(u32::from(s.len));
        e.sack &= s.options.sack_perm;
        e.stamps &= s.options.timestamp.is_some();
        e.peer_window = u32::from(s.win);
        e.shift = if both { e.offer.unwrap_or(0) } else { 0 };
    }
}

fn send(g: &mut Gen, who: usize, s: &Segment, note: &str) {
    let (src, dst) = if who == 0 {
        (g.client(), g.server())
    } else {
        (g.server(), g.client())
    };
    let l4 = wire::tcp(src, dst, s);
    g.send(who == 0, wire::TCP, &l4, note);
}

/// A segment that neither end sent, made from what they might have sent.
fn injected(x: &mut Exchange, rng: &mut Rng) -> (usize, Segment, &'static str) {
    let who = rng.usize(..2);
    let port = x.end[1 - who].port;
    let (una, nxt, window) = {
        let e = &x.end[who];
        (e.una, e.nxt, e.peer_window)
    };
    let mut s = match (&x.last[who], rng.bool()) {
        (Some(last), true) => last.clone(),
        _ => x.end[who].segment(port, ACK, nxt, 0),
    };
    let far = [
        1,
        2,
        window,
        window + 1,
        window.wrapping_mul(2),
        65535,
        66000,
        66001,
        1 << 20,
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0001,
    ];
    let mut off = || {
        let d = *rng.choice(&far).unwrap_or(&1);
        if rng.bool() {
            d
        } else {
            d.wrapping_neg()
        }
    };
    let (d1, d2) = (off(), off());
    let note = match rng.u8(..14) {
        0..3 => {
            s.flags = if rng.bool() { RST } else { RST | ACK };
            s.len = 0;
            s.seq = match rng.u8(..7) {
                0 => 0,
                1 => nxt,
                2 => x.end[1 - who].rcv_nxt,
                3 => una,
                4 => nxt.wrapping_add(d1),
                5 => x.end[1 - who].rcv_nxt.wrapping_add(1),
                _ => rng.u32(..),
            };
            s.ack = match rng.u8(..4) {
                0 => 0,
                1 => s.ack.wrapping_add(d2),
                _ => x.end[who].rcv_nxt,
            };
            "injected reset"
        }
        3 | 4 => {
            s.seq = s.seq.wrapping_add(d1);
            "injected, other seq"
        }
        5 | 6 => {
            s.ack = s.ack.wrapping_add(d1);
            s.flags |= ACK;
            "injected, other ack"
        }
        7 => {
            s.flags = rng.u8(..);
            "injected, any flags"
        }
        8 => {
            s.flags = *rng
                .choice(&[
                    0,
                    SYN | FIN,
                    SYN | RST,
                    FIN | RST,
                    FIN,
                    URG,
                    PSH,
                    FIN | PSH | URG,
                    SYN | PSH,
                    SYN | ACK | FIN,
                    0x3f,
                    SYN | ACK | URG,
                    SYN | 0xc0,
                ])
                .unwrap_or(&0);
            "injected, odd flags"
        }
        9 => {
            s.flags = SYN;
            s.ack = 0;
            s.options.mss = Some(536);
            s.options.wscale = if rng.bool() { Some(rng.u8(..)) } else { None };
            s.options.sack_perm = rng.bool();
            s.seq = if rng.bool() {
                nxt.wrapping_add(d1)
            } else {
                rng.u32(..)
            };
            "injected SYN"
        }
        10 => {
            s.flags = SYN | ACK;
            s.seq = s.seq.wrapping_add(d1);
            if rng.bool() {
                s.ack = s.ack.wrapping_add(d2);
            }
            "injected SYN-ACK"
        }
        11 => {
            s.win = *rng.choice(&[0, 1, 65535, 255]).unwrap_or(&0);
            "injected window"
        }
        12 => {
            let kinds = rng.usize(1..40);
            s.options.raw = (0..kinds)
                .map(|_| *rng.choice(&[0, 1, 2, 3, 4, 5, 8, 10, 2, 255]).unwrap_or(&1))
                .collect();
            "injected, odd options"
        }
        _ => {
            let to = x.end[who].rcv_nxt;
            s.options.sack = (0..rng.usize(1..5))
                .map(|_| {
                    (
                        to.wrapping_add(rng.u32(..5000)),
                        to.wrapping_add(rng.u32(..90000)),
                    )
                })
                .collect();
            "injected SACK"
        }
    };
    (who, s, note)
}

fn start(x: &mut Exchange, rng: &mut Rng) -> &'static str {
    match rng.u8(..10) {
        0 => {
            // Both are long since connected.
            for who in 0..2 {
                x.end[who].phase = Phase::Open;
                x.end[who].rcv_nxt = x.end[1 - who].nxt;
                x.end[who].shift = x.end[who].offer.unwrap_or(0);
            }
            "tcp, picked up"
        }
        1 => {
            x.open(0);
            x.open(1);
            "tcp, simultaneous open"
        }
        2 => {
            // Picked up with the handshake's last part.
            x.end[1].phase = Phase::Listen;
            x.open(0);
            let (_, syn) = x.flight.remove(0);
            x.receive(1, &syn, rng);
            "tcp, first SYN unseen"
        }
        _ => {
            x.end[1].phase = Phase::Listen;
            x.open(0);
            "tcp"
        }
    }
}

pub fn random(g: &mut Gen, want: usize) -> &'static str {
    let ports = (
        g.rng.u16(1024..),
        *g.rng.choice(&[80, 443, 22, 5001]).unwrap_or(&80),
    );
    run(g, want, ports)
}

/// One exchange, until `g` has `want` packets.
pub fn run(g: &mut Gen, want: usize, ports: (u16, u16)) -> &'static str {
    let mut rng = g.rng.fork();
    let mut x = Exchange {
        end: [
            End::new(&mut rng, ports.0, Phase::Closed),
            End::new(&mut rng, ports.1, Phase::Closed),
        ],
        flight: Vec::new(),
        last: [None, None],
    };
    let title = start(&mut x, &mut rng);
    let loss = *rng.choice(&[0, 20, 100, 300]).unwrap_or(&0);
    let reorder = *rng.choice(&[0, 0, 100, 500]).unwrap_or(&0);
    let double = *rng.choice(&[0, 20, 150]).unwrap_or(&0);
    let inject = *rng.choice(&[0, 30, 100, 400]).unwrap_or(&0);
    let slow = *rng.choice(&[0, 10, 60]).unwrap_or(&0);
    let mut idle = 0;

    while g.len() < want {
        if g.chance(slow) {
            g.some_delay();
        }
        if g.chance(inject) {
            let (who, s, note) = injected(&mut x, &mut rng);
            send(g, who, &s, note);
            if rng.u8(..3) == 0 {
                x.receive(1 - who, &s, &mut rng);
            }
            continue;
        }
        if !x.flight.is_empty() && rng.u8(..8) != 0 {
            let i = if g.chance(reorder) {
                rng.usize(..x.flight.len())
            } else {
                0
            };
            let (who, s) = x.flight.remove(i);
            if g.chance(double) {
                x.flight.push((who, s.clone()));
            }
            // Lost before it gets to us, or behind us, or not at all.
            if g.chance(loss / 2) {
                continue;
            }
            send(g, who, &s, "");
            if !g.chance(loss / 2) {
                x.receive(1 - who, &s, &mut rng);
            }
            x.last[who] = Some(s);
            if x.flight.len() > 40 {
                x.flight.truncate(20);
            }
            idle = 0;
            continue;
        }
        idle += 1;
        let who = rng.usize(..2);
        let both_closed = x
            .end
            .iter()
            .all(|e| matches!(e.phase, Phase::Closed | Phase::Listen));
        let done = x.end.iter().all(|e| e.fin_sent && e.una == e.nxt);
        if both_closed || done || idle > 60 {
            idle = 0;
            // The same ports again, by either side.
            if rng.bool() {
                g.some_delay();
            }
            let again = rng.usize(..2);
            for e in &mut x.end {
                let old = e.nxt;
                *e = End::new(&mut rng, e.port, Phase::Closed);
                match rng.u8(..4) {
                    0 => e.nxt = old.wrapping_add(rng.u32(1..100_000)),
                    1 => e.nxt = old.wrapping_sub(rng.u32(1..100_000)),
                    2 => e.nxt = old,
                    _ => {}
                }
                e.una = e.nxt;
            }
            if rng.u8(..6) != 0 {
                x.end[1 - again].phase = Phase::Listen;
            }
            x.flight.clear();
            x.open(again);
            continue;
        }
        match x.end[who].phase {
            Phase::Open => match rng.u8(..24) {
                0..9 => x.data(who, &mut rng),
                9..11 => x.again(who, &mut rng),
                11..13 => x.ack(who),
                13 => {
                    // The window moves, also to nothing.
                    x.end[who].window = *rng.choice(&[0, 0, 500, 65535, 300_000]).unwrap_or(&0);
                    x.ack(who);
                }
                14 if rng.u8(..3) == 0 => x.abort(who, &mut rng),
                15..17 => x.close(who),
                _ => {}
            },
            Phase::SynSent | Phase::SynReceived if rng.u8(..3) == 0 => x.again(who, &mut rng),
            Phase::SynSent if rng.u8(..12) == 0 => {
                // The same SYN with another number.
                x.end[who].nxt = rng.u32(..);
                x.open(who);
            }
            _ => {}
        }
    }
    title
}
