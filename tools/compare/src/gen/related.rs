// SPDX-License-Identifier: GPL-2.0

//! Connections that announce others: FTP and TFTP as far as helpers read them, and
//! those of which a rule expects more.

use super::tcp;
use super::translate;
use super::Gen;
use crate::wire;
use crate::wire::Addr;
use crate::wire::Segment;
use crate::wire::ACK;
use crate::wire::FIN;
use crate::wire::PSH;
use crate::wire::RST;
use crate::wire::SYN;
use crate::wire::UDP;

/// An FTP control connection; each side counts its bytes as it knows them.
struct Control {
    ports: [u16; 2],
    next: [u32; 2],
}

impl Control {
    fn say(&mut self, g: &mut Gen, who: usize, flags: u8, text: &str) {
        let (src, dst) = sides(g, who == 0);
        // With or without what a helper made longer or shorter.
        let off = if g.chance(300) { g.rng.u32(..3) } else { 1 };
        let s = Segment {
            sport: self.ports[who],
            dport: self.ports[1 - who],
            seq: self.next[who],
            ack: if flags & ACK != 0 {
                self.next[1 - who].wrapping_add(off).wrapping_sub(1)
            } else {
                0
            },
            flags,
            win: 65000,
            ..Default::default()
        };
        let l4 = wire::tcp_saying(src, dst, &s, text.as_bytes());
        if !g.chance(50) {
            let counts = u32::from(flags & (SYN | FIN) != 0) + text.len() as u32;
            self.next[who] = self.next[who].wrapping_add(counts);
        }
        g.send(who == 0, wire::TCP, &l4, text.trim_end());
    }
}

fn sides(g: &Gen, from_client: bool) -> (Addr, Addr) {
    if from_client {
        (g.client(), g.server())
    } else {
        (g.server(), g.client())
    }
}

/// An address as the side that has it would write it.
fn own(g: &Gen, client: bool) -> Addr {
    match (client, g.translates()) {
        (true, _) => g.client(),
        (false, false) => g.server(),
        (false, true) => g.addr(g.server().host + translate::SHIFT),
    }
}

/// `PORT`'s argument, or `EPRT`'s, of an address of FTP.
fn written(addr: Addr, port: u16, extended: bool) -> String {
    let b = addr.bytes();
    if addr.v6 {
        let groups: Vec<String> = b
            .chunks(2)
            .map(|p| format!("{:02x}{:02x}", p[0], p[1]))
            .collect();
        format!("|2|{}|{port}|", groups.join(":"))
    } else if extended {
        format!("|1|{}.{}.{}.{}|{port}|", b[0], b[1], b[2], b[3])
    } else {
        let (high, low) = (port >> 8, port & 0xff);
        format!("{},{},{},{},{high},{low}", b[0], b[1], b[2], b[3])
    }
}

/// One end of the data connection is announced, mostly as it ought to be.
fn announce(g: &mut Gen, c: &mut Control) -> (bool, u16) {
    let mut port = g.rng.u16(1024..);
    let active = g.rng.bool();
    let extended = g.v6 || g.rng.bool();
    let mut of = own(g, active);
    if g.chance(60) {
        // Somebody else's, which no helper takes.
        of = g.addr(9);
    }
    let text = match (active, extended) {
        (true, false) => format!("PORT {}\r\n", written(of, port, false)),
        (true, true) => format!("EPRT {}\r\n", written(of, port, true)),
        (false, false) => format!(
            "227 Entering Passive Mode ({}).\r\n",
            written(of, port, false)
        ),
        (false, true) => format!("229 Entering Extended Passive Mode (|||{port}|)\r\n"),
    };
    let text = match g.rng.u8(..20) {
        0 => text[..g.rng.usize(..text.len())].to_string(),
        1 => text.replace("\r\n", ""),
        2 => text.replace(',', "."),
        _ => text,
    };
    c.say(g, usize::from(!active), ACK | PSH, &text);
    if g.chance(80) {
        port = port.wrapping_add(1);
    }
    (active, port)
}

/// The announced connection, by the one who did not announce it.
fn data(g: &mut Gen, active: bool, port: u16) {
    let other = if g.rng.bool() { 20 } else { g.rng.u16(1024..) };
    let (src, dst) = sides(g, !active);
    let mut s = Segment {
        sport: other,
        dport: port,
        seq: g.rng.u32(..),
        flags: SYN,
        win: 65000,
        ..Default::default()
    };
    let l4 = wire::tcp(src, dst, &s);
    g.send(!active, wire::TCP, &l4, "data connection");
    if g.chance(700) {
        let first = s.seq;
        s = Segment {
            sport: port,
            dport: other,
            seq: g.rng.u32(..),
            ack: first.wrapping_add(1),
            flags: if g.chance(800) { SYN | ACK } else { RST | ACK },
            win: 65000,
            ..Default::default()
        };
        let l4 = wire::tcp(dst, src, &s);
        g.send(active, wire::TCP, &l4, "data connection");
    }
}

fn ftp(g: &mut Gen, want: usize) {
    let mut c = Control {
        ports: [g.rng.u16(1024..), 21],
        next: [g.rng.u32(..), u32::MAX - g.rng.u32(..60)],
    };
    c.say(g, 0, SYN, "");
    c.say(g, 1, SYN | ACK, "");
    c.say(g, 0, ACK, "");
    c.say(g, 1, ACK | PSH, "220 ready\r\n");
    let mut announced = (true, 0);
    while g.len() < want {
        if g.chance(40) {
            g.some_delay();
        }
        match g.rng.u8(..12) {
            0..4 => announced = announce(g, &mut c),
            4..7 => data(g, announced.0, announced.1),
            7 => c.say(g, 0, ACK, ""),
            8 => c.say(g, 1, ACK, ""),
            9 => c.say(g, 0, ACK | PSH, "NOOP\r\n"),
            10 => c.say(g, 1, ACK | PSH, "200 ok\r\n"),
            _ if g.chance(200) => c.say(g, 1, FIN | ACK, ""),
            _ => {}
        }
    }
}

fn tftp(g: &mut Gen, want: usize) {
    let mut port = g.rng.u16(1024..);
    while g.len() < want {
        if g.chance(60) {
            g.some_delay();
        }
        let kind = g.rng.u8(..6);
        let (src, dst) = sides(g, true);
        let text: &[u8] = match kind {
            0 | 1 => b"\0\x01file\0octet\0",
            2 => b"\0\x02file\0octet\0",
            _ => b"\0\x04\0\x01",
        };
        if kind < 3 || g.chance(200) {
            let l4 = wire::udp_saying(src, dst, port, 69, text);
            g.send(true, UDP, &l4, "tftp");
        }
        let from = if g.chance(100) { 69 } else { g.rng.u16(1024..) };
        for _ in 0..g.rng.u8(..4) {
            let out = g.rng.u8(..3) == 0;
            let (src, dst) = sides(g, out);
            let l4 = if out {
                wire::udp_saying(src, dst, port, from, b"\0\x04\0\x01")
            } else {
                wire::udp_saying(src, dst, from, port, b"\0\x03\0\x01some data")
            };
            g.send(out, UDP, &l4, "tftp data");
        }
        if g.chance(300) {
            port = g.rng.u16(1024..);
        }
    }
}

/// What the rules of a profile expect after a connection to port 80.
fn by_rule(g: &mut Gen, want: usize) {
    while g.len() < want {
        for port in [80, 22, 22] {
            let to = (g.len() + g.rng.usize(2..8)).min(want);
            let from = g.rng.u16(1024..);
            tcp::run(g, to, (from, port));
        }
    }
}

pub fn random(g: &mut Gen, want: usize) -> &'static str {
    match g.rng.u8(..5) {
        0 => tftp(g, want),
        1 => by_rule(g, want),
        _ => ftp(g, want),
    }
    "announced connections"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_ftp_does() {
        let addr = |v6| Addr {
            v6,
            host: 1,
            number: 0x01_0203,
        };
        assert_eq!(written(addr(false), 0x1234, false), "11,1,2,3,18,52");
        assert_eq!(written(addr(false), 80, true), "|1|11.1.2.3|80|");
        assert_eq!(
            written(addr(true), 80, true),
            "|2|2001:0db8:0100:0000:0001:0203:0000:0001|80|"
        );
    }
}
