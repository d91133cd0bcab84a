// SPDX-License-Identifier: GPL-2.0

//! Packet sequences, each a function of the seed and its own number.
//!
//! The scripts come first, in every profile and both families; random sequences
//! follow. A sequence has addresses of its own, so what one leaves behind does
//! not meet the next.

mod other;
mod related;
mod script;
mod spoil;
mod tcp;
mod translate;

use std::ops::Range;

use fastrand::Rng;

use crate::abi::Path;
use crate::abi::Step;
use crate::abi::CLONE;
use crate::abi::CSUM_OK;
use crate::abi::HOLD;
use crate::wire;
use crate::wire::Addr;
use crate::wire::Ip;

/// Settings of a namespace.
pub struct Profile {
    pub name: &'static str,
    /// Below `net.netfilter.nf_conntrack_`.
    pub sysctls: &'static [(&'static str, &'static str)],
    /// What `nft` is told there.
    pub rules: &'static str,
    /// The rules translate the hosts' addresses, see [`translate`].
    pub translate: bool,
}

impl Profile {
    const PLAIN: Profile = Profile {
        name: "default",
        sysctls: &[],
        rules: "",
        translate: false,
    };
}

/// Each host by prefix, so that a port is chosen by chance only where two entries
/// would have the same reply. For the same reason nobody opens a connection to a
/// translated address, but for those that a helper expects.
const TRANSLATED: &str = "
table inet n {
    chain strangers {
        ip saddr 112.0.0.0/8 ct state new drop
        ip6 saddr 2001:db8:6600::/40 ct state new drop
    }
    chain strangers_in { type filter hook prerouting priority filter; jump strangers; }
    chain strangers_out { type filter hook output priority filter; jump strangers; }
    chain destination {
        dnat ip prefix to ip daddr map { 12.0.0.0/8 : 112.0.0.0/8 }
        dnat ip6 prefix to ip6 daddr map { 2001:db8:200::/40 : 2001:db8:6600::/40 }
    }
    ct helper ftp { type \"ftp\" protocol tcp; }
    ct helper tftp { type \"tftp\" protocol udp; }
    chain helpers {
        tcp dport 21 ct helper set \"ftp\"
        udp dport 69 ct helper set \"tftp\"
    }
    chain helpers_in { type filter hook prerouting priority filter; jump helpers; }
    chain helpers_out { type filter hook output priority filter; jump helpers; }
    chain source {
        snat ip prefix to ip saddr map { 11.0.0.0/8 : 111.0.0.0/8 }
        snat ip6 prefix to ip6 saddr map { 2001:db8:100::/40 : 2001:db8:6500::/40 }
    }
    chain pre { type nat hook prerouting priority dstnat; jump destination; }
    chain out { type nat hook output priority dstnat; jump destination; }
    chain post { type nat hook postrouting priority srcnat; jump source; }
    chain in { type nat hook input priority srcnat; jump source; }
}";

/// Nothing is translated, but everything is bound.
const BOUND: &str = "
table inet n {
    chain pre { type nat hook prerouting priority dstnat; }
    chain post { type nat hook postrouting priority srcnat; }
}";

/// Templates, policies, helpers, and connections that make others expected.
const POLICIES: &str = "
table inet p {
    ct timeout tcp4 { protocol tcp; l3proto ip; policy = { syn_sent : 17, established : 100, close : 4 }; }
    ct timeout tcp6 { protocol tcp; l3proto ip6; policy = { syn_recv : 18, established : 101 }; }
    ct timeout udp4 { protocol udp; l3proto ip; policy = { unreplied : 19, replied : 102 }; }
    ct helper ftp { type \"ftp\" protocol tcp; }
    ct helper tftp { type \"tftp\" protocol udp; }
    ct expectation data4 { protocol tcp; l3proto ip; dport 22; timeout 1m; size 2; }
    ct expectation data6 { protocol tcp; l3proto ip6; dport 22; timeout 1m; size 2; }
    chain raw {
        udp dport 123 notrack
        tcp dport 443 ct original zone set 3
        udp dport 5060 ct original zone set udp length & 3
    }
    chain policies {
        ip protocol tcp tcp dport 80 ct timeout set \"tcp4\"
        ip6 nexthdr tcp tcp dport 80 ct timeout set \"tcp6\"
        ip protocol udp udp dport 53 ct timeout set \"udp4\"
        tcp dport 21 ct helper set \"ftp\"
        udp dport 69 ct helper set \"tftp\"
        ip protocol tcp tcp dport 80 ct state new ct expectation set \"data4\"
        ip6 nexthdr tcp tcp dport 80 ct state new ct expectation set \"data6\"
        ct state new ct mark set 7
        ct state related ct mark set 9
    }
    chain raw_in { type filter hook prerouting priority raw; jump raw; }
    chain raw_out { type filter hook output priority raw; jump raw; }
    chain in { type filter hook prerouting priority filter; jump policies; }
    chain out { type filter hook output priority filter; jump policies; }
}";

pub const PROFILES: &[Profile] = &[
    Profile::PLAIN,
    Profile {
        name: "liberal",
        sysctls: &[("tcp_be_liberal", "1")],
        ..Profile::PLAIN
    },
    Profile {
        name: "strict-pickup",
        sysctls: &[("tcp_loose", "0")],
        ..Profile::PLAIN
    },
    Profile {
        name: "no-checksum",
        sysctls: &[("checksum", "0")],
        ..Profile::PLAIN
    },
    Profile {
        name: "ignore-rst",
        sysctls: &[("tcp_ignore_invalid_rst", "1")],
        ..Profile::PLAIN
    },
    Profile {
        name: "retrans",
        sysctls: &[
            ("tcp_max_retrans", "1"),
            ("tcp_timeout_max_retrans", "17"),
            ("tcp_timeout_unacknowledged", "23"),
        ],
        ..Profile::PLAIN
    },
    Profile {
        name: "accounting",
        sysctls: &[("acct", "1"), ("timestamp", "1"), ("events", "1")],
        ..Profile::PLAIN
    },
    Profile {
        name: "timeouts",
        sysctls: &[
            ("tcp_timeout_syn_sent", "7"),
            ("tcp_timeout_syn_recv", "8"),
            ("tcp_timeout_established", "90"),
            ("tcp_timeout_fin_wait", "11"),
            ("tcp_timeout_close_wait", "12"),
            ("tcp_timeout_last_ack", "13"),
            ("tcp_timeout_time_wait", "14"),
            ("tcp_timeout_close", "3"),
            ("tcp_timeout_max_retrans", "200"),
            ("tcp_timeout_unacknowledged", "45"),
            ("udp_timeout", "5"),
            ("udp_timeout_stream", "6"),
            ("icmp_timeout", "4"),
            ("icmpv6_timeout", "9"),
            ("generic_timeout", "31"),
            ("gre_timeout", "15"),
            ("gre_timeout_stream", "16"),
            ("sctp_timeout_closed", "2"),
            ("sctp_timeout_cookie_wait", "21"),
            ("sctp_timeout_cookie_echoed", "22"),
            ("sctp_timeout_established", "24"),
            ("sctp_timeout_shutdown_sent", "25"),
            ("sctp_timeout_shutdown_recd", "26"),
            ("sctp_timeout_shutdown_ack_sent", "27"),
            ("sctp_timeout_heartbeat_sent", "28"),
        ],
        ..Profile::PLAIN
    },
    Profile {
        name: "all-odd",
        sysctls: &[
            ("tcp_loose", "0"),
            ("tcp_be_liberal", "1"),
            ("tcp_ignore_invalid_rst", "1"),
            ("tcp_max_retrans", "0"),
            ("checksum", "0"),
            ("acct", "1"),
            ("events", "2"),
        ],
        ..Profile::PLAIN
    },
    Profile {
        name: "bound",
        rules: BOUND,
        ..Profile::PLAIN
    },
    Profile {
        name: "translated",
        rules: TRANSLATED,
        translate: true,
        ..Profile::PLAIN
    },
    Profile {
        name: "policies",
        rules: POLICIES,
        ..Profile::PLAIN
    },
];

pub struct Sequence {
    pub number: u64,
    pub profile: usize,
    pub title: String,
    pub steps: Vec<Step>,
}

/// What of a hundred sequences have announced connections.
const RELATED: Range<u8> = 45..50;

/// The number of the first random sequence.
pub const RANDOM: u64 = 1_000_000;

/// How far from a whole number of seconds apart packets are, at least.
pub const MARGIN_MS: u64 = 60;

/// How many sequences the scripts make.
pub fn scripted() -> u64 {
    (script::SCRIPTS.len() * PROFILES.len() * 2) as u64
}

/// The sequence with this number: scripts count from 0, random ones from
/// [`RANDOM`]; in between there is nothing, and a last script again.
///
/// Each `attempt` is the same but for the identifications of IP packets, so that
/// fragments left from an earlier attempt do not join in.
pub fn sequence(seed: u64, number: u64, attempt: u32) -> Sequence {
    if number < RANDOM {
        let n = number.min(scripted() - 1) as usize;
        let (which, rest) = (n / (PROFILES.len() * 2), n % (PROFILES.len() * 2));
        let (profile, v6) = (rest / 2, rest % 2 == 1);
        let mut g = Gen::new(Rng::with_seed(number), number, v6);
        g.ip_id += attempt * 1000;
        g.translate = PROFILES[profile].translate;
        g.noise = Noise::default();
        g.style = Style::ALL[which % Style::ALL.len()];
        let (name, text) = script::SCRIPTS[which];
        script::run(&mut g, text);
        return g.finish(number, profile, format!("script {name}"));
    }
    let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let kind = rng.u8(..100);
    let profile = if RELATED.contains(&kind) && rng.u8(..4) != 0 {
        // Those that have helpers.
        PROFILES.len() - 1 - rng.usize(..2)
    } else if rng.u8(..3) == 0 {
        0
    } else {
        rng.usize(..PROFILES.len())
    };
    let v6 = rng.u8(..5) < 2;
    let mut g = Gen::new(rng, number, v6);
    g.ip_id += attempt * 1000;
    g.translate = PROFILES[profile].translate;
    g.dress();
    let most = if g.rng.u8(..4) == 0 { 191 } else { 60 };
    let want = 10 + g.rng.usize(..most);
    let title = match kind {
        0..45 => tcp::random(&mut g, want),
        n if RELATED.contains(&n) => related::random(&mut g, want),
        50..60 => other::udp(&mut g, want),
        60..66 => other::echo(&mut g, want),
        66..76 => other::errors(&mut g, want),
        76..82 => other::sctp(&mut g, want),
        82..85 => other::portless(&mut g, want),
        85..90 => other::fragments(&mut g, want),
        90..94 => other::garbage(&mut g, want),
        94..96 => other::clashes(&mut g, want),
        _ => other::mix(&mut g, want),
    };
    g.finish(number, profile, title.to_string())
}

/// Which hooks the packets of each side pass.
#[derive(Clone, Copy)]
pub struct Style {
    to_server: Path,
    to_client: Path,
}

impl Style {
    const ALL: [Style; 4] = [
        Style {
            to_server: Path::Forward,
            to_client: Path::Forward,
        },
        Style {
            to_server: Path::In,
            to_client: Path::Out,
        },
        Style {
            to_server: Path::Out,
            to_client: Path::In,
        },
        Style {
            to_server: Path::Loop,
            to_client: Path::Loop,
        },
    ];
}

/// How often a thing happens to a packet, in thousandths.
#[derive(Clone, Copy, Default)]
pub struct Noise {
    nonlinear: u32,
    lost_inside: u32,
    hold: u32,
    spoil: u32,
    csum_ok: u32,
    ip_dress: u32,
    mark: u32,
}

pub struct Gen {
    pub rng: Rng,
    pub v6: bool,
    number: u32,
    steps: Vec<Step>,
    style: Style,
    noise: Noise,
    zone: (u16, u8, u8),
    zone_share: u32,
    zone_mix: bool,
    held: Vec<u16>,
    clock_ms: u64,
    delays: u64,
    pending_delay: u32,
    ip_id: u32,
    translate: bool,
}

impl Gen {
    fn new(rng: Rng, number: u64, v6: bool) -> Self {
        Gen {
            rng,
            v6,
            number: number as u32,
            steps: Vec::new(),
            style: Style::ALL[0],
            noise: Noise::default(),
            zone: (0, 0, 0),
            zone_share: 0,
            zone_mix: false,
            held: Vec::new(),
            clock_ms: 0,
            delays: 0,
            pending_delay: 0,
            ip_id: 1,
            translate: false,
        }
    }

    fn finish(mut self, number: u64, profile: usize, title: String) -> Sequence {
        while let Some(index) = self.held.pop() {
            self.release(index, 0);
        }
        if let Some(first) = self.steps.first_mut() {
            first.flags |= crate::abi::SEQ_START;
        }
        Sequence {
            number,
            profile,
            title,
            steps: self.steps,
        }
    }

    /// What is odd about this sequence as a whole.
    fn dress(&mut self) {
        self.style = Style::ALL[self.rng.usize(..Style::ALL.len())];
        let level = self.rng.u8(..4);
        let mut some = |most: u32, from: u8| {
            if level >= from {
                self.rng.u32(..=most)
            } else {
                0
            }
        };
        self.noise = Noise {
            nonlinear: some(400, 1),
            lost_inside: some(60, 2),
            hold: some(80, 2),
            spoil: some(80, 2),
            csum_ok: some(50, 3),
            ip_dress: some(200, 1),
            mark: some(100, 3),
        };
        if self.rng.u8(..12) == 0 {
            self.zone = (
                self.rng.u16(1..4),
                self.rng.u8(1..4),
                u8::from(self.rng.u8(..4) == 0),
            );
            self.zone_share = *self.rng.choice(&[1000, 1000, 500, 900]).unwrap_or(&1000);
        }
    }

    /// Packets of a flow meet before either is confirmed, in several zones that
    /// may share the reply's direction.
    pub fn clash(&mut self) {
        self.noise.hold = 500;
        self.noise.spoil = 0;
        self.zone = (1, *self.rng.choice(&[1, 1, 2, 3]).unwrap_or(&1), 0);
        self.zone_share = *self.rng.choice(&[0, 500, 700]).unwrap_or(&0);
        self.zone_mix = true;
    }

    pub fn chance(&mut self, thousandths: u32) -> bool {
        thousandths > 0 && self.rng.u32(..1000) < thousandths
    }

    pub fn addr(&self, host: u8) -> Addr {
        Addr {
            v6: self.v6,
            host,
            number: self.number,
        }
    }

    pub fn client(&self) -> Addr {
        self.addr(1)
    }

    pub fn server(&self) -> Addr {
        self.addr(2)
    }

    /// Whether the profile translates addresses.
    pub fn translates(&self) -> bool {
        self.translate
    }

    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Time passes before the next packet: about so long, but never so that two
    /// packets lie a whole number of seconds apart, as timeouts do. All steps are
    /// whole ticks with 50, 100, 250 and 1000 of them a second.
    pub fn delay(&mut self, about_ms: u64) {
        if self.delays >= 7 {
            return;
        }
        let phase = MARGIN_MS + 140 * self.delays;
        self.delays += 1;
        let mut at = self.clock_ms + about_ms;
        at += (1000 + phase - at % 1000) % 1000;
        self.pending_delay += u32::try_from(at - self.clock_ms).unwrap_or(u32::MAX / 2);
        self.clock_ms = at;
    }

    pub fn some_delay(&mut self) {
        const SECONDS: [u64; 22] = [
            0, 0, 1, 2, 3, 5, 8, 9, 10, 11, 15, 24, 29, 31, 58, 61, 118, 121, 179, 299, 305, 601,
        ];
        let s = match self.rng.u8(..40) {
            0 => 3590,
            1 => 432_001,
            _ => SECONDS[self.rng.usize(..SECONDS.len())],
        };
        self.delay(s * 1000);
    }

    /// A network header to go with the packet, plain most of the time.
    pub fn ip(&mut self) -> Ip {
        self.ip_id += 1;
        let mut ip = Ip {
            id: self.ip_id,
            dont_fragment: self.rng.bool(),
            ..Ip::default()
        };
        if self.chance(self.noise.ip_dress) {
            if self.v6 {
                for _ in 0..self.rng.u8(1..4) {
                    ip.ext.push(self.ext_header());
                }
            } else {
                ip.options = (0..self.rng.usize(1..10)).map(|_| 1).collect();
                if self.rng.bool() {
                    ip.options.extend([0x94, 4, 0, 0]);
                }
            }
        }
        ip
    }

    /// An IPv6 extension header, next header still open.
    pub fn ext_header(&mut self) -> (u8, Vec<u8>) {
        let kind = *self.rng.choice(&[0, 60, 60, 43, 51, 135]).unwrap_or(&60);
        let words = self.rng.usize(..3);
        let mut h = vec![0; 8 * (words + 1)];
        h[1] = words as u8;
        match kind {
            // Padding options of the right length.
            0 | 60 => {
                h[2] = 1;
                h[3] = (8 * (words + 1) - 4) as u8;
            }
            43 => {
                h[1] = (words & !1) as u8;
                h.truncate(8 * (usize::from(h[1]) + 1));
                h[3] = u8::from(self.rng.bool());
            }
            // An authentication header counts in words of 4, less 2.
            51 => h[1] = (2 * (words + 1) - 2) as u8,
            _ => {}
        }
        (kind, h)
    }

    /// A packet of the client or the server with what the sequence does to it.
    pub fn send(&mut self, from_client: bool, proto: u8, l4: &[u8], note: impl Into<String>) {
        let ip = self.ip();
        let (src, dst) = if from_client {
            (self.client(), self.server())
        } else {
            (self.server(), self.client())
        };
        let bytes = wire::packet(src, dst, proto, &ip, l4);
        self.send_raw(from_client, bytes, note);
    }

    pub fn send_raw(&mut self, from_client: bool, mut bytes: Vec<u8>, note: impl Into<String>) {
        let mut note = note.into();
        if self.translate && !from_client {
            translate::translate(&mut bytes, self.v6);
        }
        if self.chance(self.noise.spoil) {
            let how = spoil::spoil(&mut self.rng, &mut bytes);
            note = format!("{note} [{how}]");
        }
        let mut path = if from_client {
            self.style.to_server
        } else {
            self.style.to_client
        };
        if self.chance(self.noise.lost_inside) {
            path = match path {
                Path::In | Path::Forward => Path::Pre,
                _ => Path::LostOut,
            };
        }
        let mut step = Step::new(path, self.v6, bytes);
        step.note = note;
        step.delay_ms = std::mem::take(&mut self.pending_delay);
        if self.chance(self.noise.nonlinear) {
            let len = step.bytes.len() as u16;
            step.linear = match self.rng.u8(..4) {
                0 => 0,
                1 => {
                    if self.v6 {
                        40
                    } else {
                        20
                    }
                }
                2 => {
                    if self.v6 {
                        48
                    } else {
                        28
                    }
                }
                _ => self.rng.u16(..=len),
            };
        }
        if self.chance(self.noise.csum_ok) {
            step.flags |= CSUM_OK;
        }
        if self.chance(self.noise.mark) {
            step.mark = self.rng.u32(..4);
        }
        if self.zone.0 != 0 && self.chance(self.zone_share) {
            step.zone = self.zone;
            if self.zone_mix {
                step.zone.0 = self.rng.u16(1..4);
            }
            if step.mark == 0 && self.zone.2 == 1 {
                step.mark = u32::from(self.zone.0);
            }
        }
        if !matches!(path, Path::Pre | Path::LostOut)
            && self.held.len() < 8
            && self.chance(self.noise.hold)
        {
            step.flags |= HOLD;
            self.held.push(self.steps.len() as u16);
        }
        self.steps.push(step);
        while !self.held.is_empty() && self.chance(300) {
            let i = self.rng.usize(..self.held.len());
            let index = self.held[i];
            if self.chance(200) {
                self.release(index, CLONE);
            } else {
                self.held.remove(i);
                self.release(index, 0);
            }
        }
    }

    fn release(&mut self, index: u16, flags: u16) {
        let mut step = Step::new(Path::Release, self.v6, Vec::new());
        step.hold_ref = index;
        step.flags = flags;
        step.delay_ms = std::mem::take(&mut self.pending_delay);
        step.note = format!(
            "{} of {index} goes on",
            if flags == 0 { "the rest" } else { "a clone" }
        );
        self.steps.push(step);
    }

    /// The bytes of an earlier packet, none of those that were let go on.
    pub fn earlier(&mut self) -> Option<Vec<u8>> {
        for _ in 0..8 {
            if self.steps.is_empty() {
                break;
            }
            let i = self.rng.usize(..self.steps.len());
            if !self.steps[i].bytes.is_empty() {
                return Some(self.steps[i].bytes.clone());
            }
        }
        None
    }

    pub fn nth(&self, index: usize) -> Option<Vec<u8>> {
        self.steps.get(index).map(|s| s.bytes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_a_function_of_seed_and_number() {
        for n in (0..scripted()).chain(RANDOM..RANDOM + 300) {
            let (a, b) = (sequence(7, n, 0), sequence(7, n, 0));
            assert_eq!(a.profile, b.profile);
            assert_eq!(a.steps.len(), b.steps.len());
            for (x, y) in a.steps.iter().zip(&b.steps) {
                assert_eq!(x.bytes, y.bytes);
                assert_eq!(x.delay_ms, y.delay_ms);
            }
        }
    }

    #[test]
    fn lengths_are_as_promised() {
        for n in RANDOM..RANDOM + 500 {
            let s = sequence(1, n, 0);
            assert!(
                (10..=260).contains(&s.steps.len()),
                "{n}: {}",
                s.steps.len()
            );
        }
    }

    #[test]
    fn packets_are_never_whole_seconds_apart() {
        for n in (0..scripted()).chain(RANDOM..RANDOM + 300) {
            let mut at = 0u64;
            let mut seen = vec![0];
            for step in sequence(3, n, 0).steps {
                at += u64::from(step.delay_ms);
                if step.delay_ms > 0 {
                    assert!(
                        seen.iter()
                            .all(|t| (MARGIN_MS..=1000 - MARGIN_MS).contains(&((at - t) % 1000))),
                        "{n}"
                    );
                    seen.push(at);
                }
            }
        }
    }
}
