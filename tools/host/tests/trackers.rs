// SPDX-License-Identifier: GPL-2.0

//! Properties of the UDP and GRE trackers.

use proptest::prelude::*;
use rconntrack_pure::ctinfo::CtInfo;
use rconntrack_pure::l4::gre;
use rconntrack_pure::l4::udp;
use rconntrack_pure::num::Dir;
use rconntrack_pure::num::Jiffies;
use rconntrack_pure::policy::proof::Turns;
use rconntrack_pure::status::Status;

/// An entry, kept as the engine keeps it.
struct Entry {
    status: Status,
    stream: Jiffies,
    timers: gre::Timers,
    turns: Turns,
}

impl Entry {
    fn new() -> Self {
        Entry {
            status: Status(0),
            // Nobody reads these before they are learned.
            stream: Jiffies(0xdead),
            timers: gre::Timers {
                unreplied: 1,
                replied: 2,
            },
            turns: Turns::default(),
        }
    }

    /// What the core does after a tracker accepted a packet.
    fn settle(&mut self, dir: Dir, assure: bool) {
        self.status = self.status | Status::CONFIRMED;
        if dir == Dir::Reply {
            self.status = self.status | Status::SEEN_REPLY;
        }
        if assure {
            self.status = self.status | Status::ASSURED;
        }
    }
}

/// Ticks to the next packet, and its direction.
fn packets() -> impl Strategy<Value = Vec<(u32, bool)>> {
    let gap = prop_oneof![0u32..3, 0u32..600, 490u32..510];
    prop::collection::vec((gap, any::<bool>()), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn udp_is_proven_by_a_packet_after_an_answer_and_two_seconds(start: usize, packets in packets(), clash: bool) {
        let limits = udp::Limits { unreplied: 30, replied: 120 };
        let hz = 250;
        let mut entry = Entry::new();
        let mut age = 0;
        let mut answered = false;
        let mut proven = false;
        let (mut turns, mut waiting) = (0, false);
        for (at, (gap, reply)) in packets.into_iter().enumerate() {
            let dir = if reply && at > 0 { Dir::Reply } else { Dir::Original };
            age += if at > 0 { gap } else { 0 };
            let now = Jiffies(start).plus(age);
            let memory = udp::Memory { stream: entry.stream, turns: entry.turns };
            let step = udp::step(entry.status, dir, memory, now, hz, &limits);

            let streaming = answered && age > 2 * hz;
            prop_assert_eq!(step.stream.is_some(), at == 0);
            prop_assert_eq!(step.timeout, if streaming { 120 } else { 30 });
            prop_assert_eq!(step.assure, streaming && !proven && !clash);
            if dir == Dir::Original && waiting {
                turns += 1;
            }
            waiting = dir == Dir::Reply || waiting && dir != Dir::Original;
            prop_assert_eq!(step.returns, streaming && turns >= 2);

            entry.turns = step.turns;
            entry.stream = step.stream.unwrap_or(entry.stream);
            entry.settle(dir, step.assure);
            if clash {
                entry.status = entry.status | Status::NAT_CLASH;
            }
            answered |= dir == Dir::Reply;
            proven |= step.assure;
        }
        prop_assert!(!(clash && proven));
    }

    #[test]
    fn gre_keeps_the_timeouts_of_its_first_packet(packets in packets(), first: (u32, u32), later: (u32, u32)) {
        let timers = |(unreplied, replied)| gre::Timers { unreplied, replied };
        let mut entry = Entry::new();
        let mut answered = false;
        for (at, (_, reply)) in packets.into_iter().enumerate() {
            let dir = if reply && at > 0 { Dir::Reply } else { Dir::Original };
            let limits = timers(if at == 0 { first } else { later });
            let memory = gre::Memory { timers: entry.timers, turns: entry.turns };
            let step = gre::step(entry.status, dir, memory, limits);
            prop_assert_eq!(step.timers.is_some(), at == 0);
            prop_assert_eq!(step.timeout, if answered { first.1 } else { first.0 });
            prop_assert_eq!(step.assure, answered && !entry.status.has(Status::ASSURED));
            entry.turns = step.turns;
            prop_assert!(!step.returns || answered);
            entry.timers = step.timers.unwrap_or(entry.timers);
            entry.settle(dir, step.assure);
            answered |= dir == Dir::Reply;
        }
    }

    #[test]
    fn a_packet_has_the_direction_of_the_tuple_that_it_matched(status: usize, reply: bool) {
        let dir = if reply { Dir::Reply } else { Dir::Original };
        let info = CtInfo::of(dir, Status(status));
        prop_assert_eq!(info.dir(), dir);
        prop_assert_eq!(info == CtInfo::New, !reply && status & 3 == 0);
    }
}
