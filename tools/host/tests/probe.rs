// SPDX-License-Identifier: GPL-2.0

//! Properties of probing: walks, packets and what becomes of probes in any order.
//!
//! * A connection both of whose ends have been heard of since they were asked is never ended.
//! * It is ended only after as many probes to a silent end left this machine, or found its device
//!   gone, as the administrator said.
//! * An end that is silent from some time on is found out, whatever the other one does.
//! * A probe acknowledges nothing that was not, and its number was acknowledged.

use proptest::prelude::*;
use rconntrack_pure::l4::tcp::flag;
use rconntrack_pure::l4::tcp::State;
use rconntrack_pure::l4::tcp::Tracking;
use rconntrack_pure::num::Dir;
use rconntrack_pure::num::Seq;
use rconntrack_pure::policy::probe;
use rconntrack_pure::policy::probe::Allowance;
use rconntrack_pure::policy::probe::Heard;
use rconntrack_pure::policy::probe::Next;
use rconntrack_pure::policy::probe::Probe;
use rconntrack_pure::policy::probe::Visit;
use rconntrack_pure::wire::tcp::parse;
use rconntrack_pure::wire::tcp::Flags;
use rconntrack_pure::wire::tcp::Options;
use rconntrack_pure::wire::tcp::Segment;
use rconntrack_pure::wire::tcp::Stamp;

fn connection(original: u32, reply: u32) -> Tracking {
    let mut tracking = Tracking {
        state: State::Established.raw(),
        ..Tracking::default()
    };
    let numbers = [(Seq(original), Seq(reply)), (Seq(reply), Seq(original))];
    for (at, (end, ack)) in numbers.into_iter().enumerate() {
        let side = &mut tracking.seen[at];
        side.end = end;
        side.max_ack = ack;
        side.flags = flag::MAXACK_SET;
        side.ingress = u16::try_from(at).unwrap() + 1;
    }
    tracking
}

fn ack(tracking: &Tracking, dir: Dir) -> Segment<'static> {
    Segment {
        seq: tracking.seen[dir.index()].end,
        ack: tracking.seen[dir.index()].max_ack,
        window: 1,
        flags: Flags::ACK,
        payload: 0,
        options: Options::default(),
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A walk; whether the entry is idle enough to begin.
    Walk(bool),
    /// The probe to an end leaves.
    Left(Dir),
    /// An end answers.
    Answer(Dir),
    /// The device of an end vanishes, or is there again.
    Device(Dir, bool),
}

fn dirs() -> impl Strategy<Value = Dir> {
    prop_oneof![Just(Dir::Original), Just(Dir::Reply)]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => any::<bool>().prop_map(Event::Walk),
        4 => dirs().prop_map(Event::Left),
        1 => dirs().prop_map(Event::Answer),
        1 => (dirs(), any::<bool>()).prop_map(|(end, there)| Event::Device(end, there)),
    ];
    prop::collection::vec(event, 0..120)
}

proptest! {
    #[test]
    fn only_silence_ends_it(events in events(), rounds in 1u8..5) {
        let mut tracking = connection(7, u32::MAX);
        let mut there = [true; 2];
        // Probes to each end that it could have answered, since it was heard of.
        let mut unanswered = [0u32; 2];
        let mut under_way = [false; 2];
        for event in events {
            match event {
                Event::Walk(begin) => {
                    for end in Dir::BOTH {
                        let i = end.index();
                        if tracking.probing.awaits(end) && (!under_way[i] || !there[i]) {
                            unanswered[i] += 1;
                        }
                    }
                    let next = probe::visit(&mut tracking, &Visit {
                        begin,
                        rounds,
                        is_gone: |ingress: u16| !there[usize::from(ingress) - 1],
                    });
                    match next {
                        Next::Dead => {
                            let most = unanswered.into_iter().max().unwrap();
                            prop_assert!(most >= u32::from(rounds));
                            return Ok(());
                        }
                        Next::Probe(ends) => {
                            prop_assert!(ends[0] || ends[1]);
                            for end in Dir::BOTH {
                                prop_assert_eq!(ends[end.index()], tracking.probing.awaits(end));
                                under_way[end.index()] = ends[end.index()];
                            }
                        }
                        Next::Leave | Next::Blocked => {}
                    }
                    for end in Dir::BOTH {
                        if !tracking.probing.awaits(end) {
                            unanswered[end.index()] = 0;
                        }
                    }
                }
                Event::Left(end) => {
                    tracking.probing.left(end);
                    under_way[end.index()] = false;
                }
                Event::Answer(end) => {
                    let before = tracking;
                    let asked = tracking.probing.awaits(end);
                    let heard = probe::heard(&mut tracking, &before, end, &ack(&before, end));
                    prop_assert_eq!(heard == Heard::Answer, asked);
                    prop_assert!(!tracking.probing.awaits(end));
                    unanswered[end.index()] = 0;
                }
                Event::Device(end, is_there) => there[end.index()] = is_there,
            }
        }
    }

    #[test]
    fn who_is_silent_is_found_out(
        events in events(),
        rounds in 1u8..=127,
        silent in dirs(),
        other_answers in any::<[bool; 3]>(),
    ) {
        let mut tracking = connection(0, 0);
        // Whatever was before.
        for event in events {
            match event {
                Event::Walk(begin) => {
                    let next = probe::visit(&mut tracking, &Visit { begin, rounds, is_gone: |_| false });
                    if next == Next::Dead {
                        return Ok(());
                    }
                }
                Event::Left(end) => tracking.probing.left(end),
                Event::Answer(end) => {
                    let before = tracking;
                    let _ = probe::heard(&mut tracking, &before, end, &ack(&before, end));
                }
                Event::Device(..) => {}
            }
        }
        let mut walks = 0;
        loop {
            walks += 1;
            // Rounds of before may have to end first, and one probe may not have left.
            prop_assert!(walks <= u32::from(rounds) * 2 + 4);
            let next = probe::visit(&mut tracking, &Visit { begin: true, rounds, is_gone: |_| false });
            if next == Next::Dead {
                break;
            }
            for end in Dir::BOTH {
                tracking.probing.left(end);
            }
            if other_answers[walks as usize % 3] {
                let before = tracking;
                let other = silent.opposite();
                let _ = probe::heard(&mut tracking, &before, other, &ack(&before, other));
            }
        }
    }

    #[test]
    fn a_probe_is_a_keepalive(
        original in any::<u32>(),
        reply in any::<u32>(),
        stamps in any::<[Option<u32>; 2]>(),
        window in any::<u16>(),
        end in dirs(),
        ports in any::<[[u8; 2]; 2]>(),
    ) {
        let mut tracking = connection(original, reply);
        let mut kept = [0; 2];
        for dir in Dir::BOTH {
            let mut options = vec![];
            if let Some(stamp) = stamps[dir.index()] {
                options = vec![1, 1, 8, 10];
                options.extend(stamp.to_be_bytes());
                options.extend([0; 4]);
            }
            let segment = Segment {
                window,
                options: Options::new(&options),
                ..ack(&tracking, dir)
            };
            probe::note(&mut tracking, &mut kept, dir, &segment, 9);
        }
        let made = Probe::new(&tracking, &kept, end);
        let (header, length) = made.header(ports[0], ports[1]);
        prop_assert_eq!(&header[..2], &ports[0]);
        prop_assert_eq!(&header[2..4], &ports[1]);
        let segment = parse(&header[..length], u32::try_from(length).unwrap()).unwrap();
        prop_assert!(segment.flags_valid());
        prop_assert_eq!(segment.flags, Flags::ACK);
        prop_assert_eq!(segment.payload, 0);
        prop_assert_eq!(segment.seq.plus(1), tracking.seen[end.index()].max_ack);
        prop_assert_eq!(segment.ack, tracking.seen[end.opposite().index()].max_ack);
        prop_assert!(segment.window <= window);
        prop_assert!(u32::from(window - segment.window) * 16 <= u32::from(window));
        match (stamps[end.opposite().index()], stamps[end.index()]) {
            (Some(value), Some(echo)) => {
                prop_assert_eq!(segment.options.stamp(), Stamp::At(value));
                prop_assert_eq!(&header[length - 4..length], &echo.to_be_bytes());
            }
            _ => prop_assert_eq!(length, 20),
        }
    }

    #[test]
    fn no_more_than_allowed(steps in prop::collection::vec(0u32..300, 1..200), rate in 1u32..5000, hz in 100u32..1001) {
        let mut allowance = Allowance::default();
        let (mut sent, mut ticks) = (0u64, 0u64);
        for step in steps {
            allowance.grow(step, rate, hz);
            ticks += u64::from(step);
            while allowance.any(hz) {
                allowance.take(2, hz);
                sent += 2;
            }
            // The one that may be owed.
            prop_assert!((sent - sent.min(1)) * u64::from(hz) <= ticks * u64::from(rate));
        }
    }
}
