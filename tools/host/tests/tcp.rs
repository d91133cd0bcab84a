// SPDX-License-Identifier: GPL-2.0

//! Properties of the TCP tracker.
//!
//! * Whatever others write into an entry and whatever comes by, a step ends with a verdict, and
//!   the verdict keeps its promises.
//! * Sequence numbers have no origin: shifting all of a direction changes nothing but them.
//! * Two endpoints that do as TCP says are never told that a segment is invalid, whatever the
//!   network loses, repeats or delays, unless it delays by more than a window.

use proptest::prelude::*;
use rconntrack_pure::l4::tcp::flag;
use rconntrack_pure::l4::tcp::open;
use rconntrack_pure::l4::tcp::step;
use rconntrack_pure::l4::tcp::Entry;
use rconntrack_pure::l4::tcp::Env;
use rconntrack_pure::l4::tcp::Log;
use rconntrack_pure::l4::tcp::Policy;
use rconntrack_pure::l4::tcp::Sender;
use rconntrack_pure::l4::tcp::Slot;
use rconntrack_pure::l4::tcp::State;
use rconntrack_pure::l4::tcp::Step;
use rconntrack_pure::l4::tcp::Tracking;
use rconntrack_pure::l4::tcp::Verdict;
use rconntrack_pure::num::Dir;
use rconntrack_pure::num::Seq;
use rconntrack_pure::policy::probe::Notes;
use rconntrack_pure::wire::tcp::parse;
use rconntrack_pure::wire::tcp::Flags;
use rconntrack_pure::wire::tcp::Kind;
use rconntrack_pure::wire::tcp::Options;
use rconntrack_pure::wire::tcp::Segment;
use std::collections::BTreeMap;

const HZ: u32 = 250;

/// Ticks by slot, all different, in the order of mainline's.
const TIMEOUTS: [u32; Slot::COUNT] = [
    30_000,
    30_000,
    15_000,
    108_000_000,
    30_001,
    15_001,
    7_500,
    30_002,
    2_500,
    30_003,
    0,
    0,
    75_000,
    75_001,
];

/// A segment that owns its options.
#[derive(Clone, Debug)]
struct Owned {
    seq: u32,
    ack: u32,
    window: u16,
    flags: u8,
    payload: u32,
    options: Vec<u8>,
}

impl Owned {
    fn segment(&self) -> Segment<'_> {
        Segment {
            seq: Seq(self.seq),
            ack: Seq(self.ack),
            window: self.window,
            flags: Flags(self.flags),
            payload: self.payload,
            options: Options::new(&self.options),
        }
    }
}

fn dirs() -> impl Strategy<Value = Dir> {
    prop_oneof![Just(Dir::Original), Just(Dir::Reply)]
}

fn flags() -> impl Strategy<Value = u8> {
    prop_oneof![
        8 => prop::sample::select(vec![0x02u8, 0x12, 0x11, 0x10, 0x18, 0x04, 0x14, 0x22, 0x31]),
        1 => any::<u8>(),
    ]
}

/// Numbers near to each other, or not; with the landmarks of the number space.
fn numbers() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => (0u32..200_000).prop_map(|n| n.wrapping_sub(100_000)),
        1 => any::<u32>(),
        1 => prop::sample::select(vec![0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX]),
    ]
}

fn options() -> impl Strategy<Value = Vec<u8>> {
    let one = prop_oneof![
        Just(vec![1u8]),
        Just(vec![4, 2]),
        (0u8..20).prop_map(|shift| vec![3, 3, shift]),
        Just(vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
        (numbers(), numbers()).prop_map(|(left, right)| {
            let mut sack = vec![5, 10];
            sack.extend(left.to_be_bytes());
            sack.extend(right.to_be_bytes());
            sack
        }),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(one, 0..4).prop_map(|parts| {
        let mut all = parts.concat();
        all.truncate(40);
        all
    })
}

prop_compose! {
    fn segments()(
        seq in numbers(),
        ack in numbers(),
        window in prop_oneof![Just(0u16), any::<u16>()],
        flags in flags(),
        payload in prop_oneof![Just(0u32), 0u32..3_000, any::<u32>()],
        options in options(),
    ) -> Owned {
        Owned { seq, ack, window, flags, payload, options }
    }
}

prop_compose! {
    fn senders()(
        end in numbers(),
        room in prop_oneof![0u32..100_000, any::<u32>()],
        max_win in prop_oneof![Just(0u32), 1u32..100_000, any::<u32>()],
        max_ack in numbers(),
        scale in prop_oneof![0u8..15, any::<u8>()],
        flags in any::<u8>(),
        ingress in any::<u16>(),
    ) -> Sender {
        Sender {
            end: Seq(end),
            max_end: Seq(end).plus(room),
            max_win,
            max_ack: Seq(max_ack),
            scale,
            flags,
            ingress,
        }
    }
}

prop_compose! {
    fn trackings()(
        seen in [senders(), senders()],
        (state, last_dir, last_index) in prop_oneof![
            8 => (0u8..10, 0u8..2, 0u8..6),
            1 => any::<(u8, u8, u8)>(),
        ],
        retrans in prop_oneof![0u8..5, any::<u8>()],
        (last_seq, last_ack, last_end) in (numbers(), numbers(), numbers()),
        last_win in prop_oneof![Just(0u16), any::<u16>()],
        (last_wscale, last_flags) in any::<(u8, u8)>(),
    ) -> Tracking {
        Tracking {
            seen,
            state,
            last_dir,
            retrans,
            last_index,
            last_seq: Seq(last_seq),
            last_ack: Seq(last_ack),
            last_end: Seq(last_end),
            last_win,
            last_wscale,
            last_flags,
            probing: Notes::NONE,
        }
    }
}

prop_compose! {
    fn policies()(
        (liberal, ignore_invalid_rst) in any::<(bool, bool)>(),
        max_retrans in prop_oneof![0u8..5, any::<u8>()],
    ) -> Policy {
        Policy { liberal, ignore_invalid_rst, max_retrans }
    }
}

prop_compose! {
    fn entries()(
        (seen_reply, assured, fixed_timeout, synproxy) in any::<(bool, bool, bool, bool)>(),
        remaining in prop_oneof![Just(0u32), 29_999u32..30_002, any::<u32>()],
    ) -> Entry {
        Entry { seen_reply, assured, fixed_timeout, synproxy, remaining }
    }
}

fn env(policy: Policy, entry: Entry, seq_offset: i32) -> Env<impl Fn(Slot) -> u32> {
    Env {
        policy,
        entry,
        seq_offset,
        hz: HZ,
        timeout: |slot: Slot| TIMEOUTS[slot.index()],
    }
}

/// Numbers of the log, moved with the numbers that they are.
fn moved(step: Step, dir: Dir, by: [u32; 2]) -> Step {
    let mine = by[dir.index()];
    let theirs = by[dir.opposite().index()];
    let log = step.log.map(|log| match log {
        Log::SeqOver(bound) => Log::SeqOver(bound.wrapping_add(mine)),
        Log::SeqUnder(bound) => Log::SeqUnder(bound.wrapping_add(mine)),
        Log::AckOver(bound) => Log::AckOver(bound.wrapping_add(theirs)),
        Log::AckUnder(bound) => Log::AckUnder(bound.wrapping_add(theirs)),
        log => log,
    });
    Step { log, ..step }
}

/// The same connection with other origins of the numbers.
fn shifted(mut tracking: Tracking, by: [u32; 2]) -> Tracking {
    for dir in Dir::BOTH {
        let side = &mut tracking.seen[dir.index()];
        side.end = side.end.plus(by[dir.index()]);
        side.max_end = side.max_end.plus(by[dir.index()]);
        side.max_ack = side.max_ack.plus(by[dir.opposite().index()]);
    }
    let last = Dir::from_raw(tracking.last_dir);
    tracking.last_seq = tracking.last_seq.plus(by[last.index()]);
    tracking.last_end = tracking.last_end.plus(by[last.index()]);
    tracking.last_ack = tracking.last_ack.plus(by[last.opposite().index()]);
    tracking
}

/// Less what has no meaning: an acknowledgement that was never seen, and the note about the last
/// segment, in which a liberal tracker mixes directions.
fn meaning(mut tracking: Tracking) -> Tracking {
    for side in &mut tracking.seen {
        if side.flags & flag::MAXACK_SET == 0 {
            side.max_ack = Seq(0);
        }
    }
    tracking.last_seq = Seq(0);
    tracking.last_ack = Seq(0);
    tracking.last_end = Seq(0);
    tracking
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn any_bytes_are_a_segment_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80), l4_len: u32) {
        if let Ok(segment) = parse(&bytes, l4_len) {
            prop_assert!(bytes.len() >= 20);
            prop_assert!(segment.payload <= l4_len - 20);
            let _ = segment.options.offer();
            let _ = segment.options.highest_sack(segment.ack);
            prop_assert!(!segment.flags_valid() || segment.kind() != Kind::None);
        }
    }

    #[test]
    fn what_was_written_is_read(segment in segments()) {
        let mut options = segment.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let len = 20 + options.len();
        let mut bytes = vec![0; 4];
        bytes.extend(segment.seq.to_be_bytes());
        bytes.extend(segment.ack.to_be_bytes());
        bytes.extend([u8::try_from(len / 4 * 16).unwrap(), segment.flags]);
        bytes.extend(segment.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&options);
        bytes.extend([0xff; 8]);

        let l4_len = segment.payload.checked_add(u32::try_from(len).unwrap());
        prop_assume!(l4_len.is_some());
        let owned = Owned { options, ..segment };
        prop_assert_eq!(parse(&bytes, l4_len.unwrap()), Ok(owned.segment()));
    }

    #[test]
    fn verdicts_keep_their_promises(
        before in trackings(),
        dir in dirs(),
        segment in segments(),
        policy in policies(),
        entry in entries(),
        seq_offset in prop_oneof![Just(0i32), any::<i32>()],
    ) {
        let mut tracking = before;
        let step = step(&mut tracking, dir, &segment.segment(), &env(policy, entry, seq_offset));

        let state = State::from_raw(tracking.state);
        match step.verdict {
            Verdict::Refresh(ticks) => {
                // A shorter one than usual if anything, and never that of a place without one.
                let usual = TIMEOUTS[Slot::of(state.unwrap()).index()];
                prop_assert!(ticks == usual || (ticks < usual && ticks >= 75_000));
                prop_assert!(step.log.is_none());
            }
            Verdict::Pass => prop_assert!(!step.assured),
            Verdict::KillAndPass => {
                prop_assert!(!entry.seen_reply && Flags(segment.flags).has(Flags::RST));
            }
            Verdict::KillAndRepeat => {
                prop_assert_eq!(tracking, before);
                prop_assert!(Flags(segment.flags).kind() == Kind::Syn);
            }
            Verdict::Invalid { shorten } => {
                prop_assert_eq!(tracking.state, before.state);
                prop_assert!(!step.protoinfo && !step.assured && step.log.is_some());
                if let Some(ticks) = shorten {
                    prop_assert!(ticks < entry.remaining && entry.assured && !entry.fixed_timeout);
                }
            }
        }
        if State::from_raw(before.state).is_none() {
            prop_assert_eq!(step.verdict, Verdict::Invalid { shorten: None });
        }
        if step.assured {
            prop_assert!(!entry.assured && entry.seen_reply && state == Some(State::Established));
        }
        if let Some(log) = step.log {
            prop_assert!(!log.to_string().is_empty());
        }
    }

    #[test]
    fn numbers_have_no_origin(
        before in trackings(),
        dir in dirs(),
        segment in segments(),
        policy in policies(),
        entry in entries(),
        by in any::<[u32; 2]>(),
    ) {
        // Resets know a zero. Selective acknowledgements are numbers inside of bytes, and count
        // where options count.
        let flags = segment.flags & !Flags::RST.0;
        let near = Owned {
            flags,
            options: match flags & Flags::SYN.0 {
                0 => vec![],
                _ => segment.options.into_iter().map(|byte| if byte == 5 { 6 } else { byte }).collect(),
            },
            ..segment
        };
        let far = Owned {
            seq: near.seq.wrapping_add(by[dir.index()]),
            ack: near.ack.wrapping_add(by[dir.opposite().index()]),
            ..near.clone()
        };

        let mut here = before;
        let mut there = shifted(before, by);
        let env = env(policy, entry, 0);
        let expected = step(&mut here, dir, &near.segment(), &env);
        let found = step(&mut there, dir, &far.segment(), &env);
        prop_assert_eq!(found, moved(expected, dir, by));
        prop_assert_eq!(meaning(there), meaning(shifted(here, by)));
    }

    #[test]
    fn first_segments(segment in segments(), loose: bool) {
        // No packet is as long as half the numbers there are.
        let segment = Owned { payload: segment.payload >> 2, ..segment };
        let first = open(&segment.segment(), loose);
        let kind = segment.segment().kind();
        let fits = kind == Kind::Syn || (kind == Kind::Ack && loose);
        prop_assert_eq!(first.is_ok(), fits);
        if let Ok(mut tracking) = first {
            let entry = Entry::default();
            let env = env(Policy::default(), entry, 0);
            let step = step(&mut tracking, Dir::Original, &segment.segment(), &env);
            let limit = TIMEOUTS[Slot::UNACK.index()];
            prop_assert!(matches!(step.verdict, Verdict::Refresh(ticks) if ticks <= limit));
            prop_assert!(step.protoinfo && !step.assured);
        }
    }
}

/// An endpoint that does as RFC 9293 says, as far as a tracker could notice. Numbers are counted
/// from its first one, in 64 bits, and wrap around on the wire only.
#[derive(Debug)]
struct Endpoint {
    dir: Dir,
    /// Its first sequence number, and that of the other side.
    origin: u32,
    peer_origin: u32,
    /// Sent and not acknowledged from here; not sent from there.
    unacked: u64,
    next: u64,
    /// How far the other side has offered room.
    room: u64,
    /// All before this was received; what was received beyond, as starts and ends.
    received: u64,
    beyond: BTreeMap<u64, u64>,
    /// How far room was offered to the other side; never taken back.
    offered: u64,
    /// The shift of its windows, and of the other side's.
    shift: u8,
    peer_shift: u8,
    /// Number of its FIN, once sent; and of the other side's.
    fin: Option<u64>,
    peer_fin: Option<u64>,
    sacks: bool,
}

impl Endpoint {
    fn segment(&self, flags: Flags, seq: u64, payload: u64) -> Owned {
        let mut options = vec![];
        if let Some((start, end)) = self.beyond.last_key_value().filter(|_| self.sacks) {
            options.extend([1, 1, 5, 10]);
            options.extend(wire(self.peer_origin, *start).to_be_bytes());
            options.extend(wire(self.peer_origin, *end).to_be_bytes());
        }
        let window = (self.offered - self.received) >> self.shift;
        Owned {
            seq: wire(self.origin, seq),
            ack: wire(self.peer_origin, self.received),
            window: u16::try_from(window).unwrap_or(u16::MAX),
            flags: flags.with(Flags::ACK).0,
            payload: u32::try_from(payload).unwrap(),
            options,
        }
    }

    /// New data, as much as there is room for.
    fn send(&mut self, want: u64) -> Option<Owned> {
        let len = want.min(self.room.saturating_sub(self.next));
        if len == 0 || self.fin.is_some() {
            return None;
        }
        let segment = self.segment(Flags::PSH, self.next, len);
        self.next += len;
        Some(segment)
    }

    /// The oldest data that was not acknowledged, or the FIN.
    fn resend(&self, want: u64) -> Option<Owned> {
        let data_end = self.fin.unwrap_or(self.next);
        let len = want.min(data_end.saturating_sub(self.unacked));
        match self.fin {
            _ if len > 0 => Some(self.segment(Flags::PSH, self.unacked, len)),
            Some(fin) if self.unacked <= fin => Some(self.segment(Flags::FIN, fin, 0)),
            _ => None,
        }
    }

    fn finish(&mut self) -> Option<Owned> {
        if self.fin.is_some() || self.next >= self.room {
            return None;
        }
        self.fin = Some(self.next);
        let segment = self.segment(Flags::FIN, self.next, 0);
        self.next += 1;
        Some(segment)
    }

    fn receive(&mut self, segment: &Owned, buffer: u64) {
        let ack = unwire(self.origin, segment.ack, self.next);
        self.unacked = self.unacked.max(ack.min(self.next));
        let window = u64::from(segment.window) << self.peer_shift;
        self.room = self.room.max(ack + window);

        let start = unwire(self.peer_origin, segment.seq, self.received);
        let mut end = start + u64::from(segment.payload);
        if Flags(segment.flags).has(Flags::FIN) {
            self.peer_fin = Some(end);
            end += 1;
        }
        if end > self.received && end <= self.offered + 1 {
            let known = self.beyond.entry(start).or_insert(end);
            *known = end.max(*known);
        }
        while let Some(entry) = self.beyond.first_entry() {
            if *entry.key() > self.received {
                break;
            }
            self.received = self.received.max(entry.remove());
        }
        self.offered = self.offered.max(self.received + buffer);
    }
}

fn wire(origin: u32, number: u64) -> u32 {
    origin.wrapping_add((number & 0xffff_ffff) as u32)
}

/// The number next to `near` that stands for `number` on the wire.
fn unwire(origin: u32, number: u32, near: u64) -> u64 {
    let low = u64::from(number.wrapping_sub(origin));
    let base = near & !0xffff_ffff;
    [base.wrapping_sub(1 << 32), base, base + (1 << 32)]
        .into_iter()
        .map(|base| base.wrapping_add(low))
        .min_by_key(|candidate| candidate.abs_diff(near))
        .unwrap()
}

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    /// A side sends so many bytes, sends some again, acknowledges, or ends.
    Send(bool, u64),
    Resend(bool, u64),
    Acknowledge(bool),
    Finish(bool),
    /// One of the segments under way comes to the tracker, and then to the other side or not; it
    /// may come a second time.
    Arrive {
        reply: bool,
        which: usize,
        lost: bool,
        again: bool,
    },
    /// One is lost before the tracker.
    Lose(bool, usize),
}

fn events(finishes: bool) -> impl Strategy<Value = Vec<Event>> {
    let bytes = prop_oneof![1u64..10, 1u64..1_500, 1u64..70_000];
    let event = prop_oneof![
        6 => (any::<bool>(), bytes.clone()).prop_map(|(reply, len)| Event::Send(reply, len)),
        2 => (any::<bool>(), bytes).prop_map(|(reply, len)| Event::Resend(reply, len)),
        3 => any::<bool>().prop_map(Event::Acknowledge),
        1 => any::<bool>().prop_map(move |reply| {
            if finishes {
                Event::Finish(reply)
            } else {
                Event::Acknowledge(reply)
            }
        }),
        12 => (any::<bool>(), prop_oneof![Just(0usize), 0usize..6], 0u8..8, 0u8..8).prop_map(
            |(reply, which, lost, again)| Event::Arrive {
                reply,
                which,
                lost: lost == 0,
                again: again == 0,
            }
        ),
        1 => (any::<bool>(), 0usize..6).prop_map(|(reply, which)| Event::Lose(reply, which)),
    ];
    prop::collection::vec(event, 1..200)
}

/// The tracker and what its caller remembers.
#[derive(Debug)]
struct Tracker {
    tracking: Tracking,
    entry: Entry,
}

impl Tracker {
    fn see(&mut self, dir: Dir, segment: &Owned) -> Step {
        let env = env(Policy::default(), self.entry, 0);
        let step = step(&mut self.tracking, dir, &segment.segment(), &env);
        if !matches!(step.verdict, Verdict::Invalid { .. }) {
            self.entry.seen_reply |= dir == Dir::Reply;
            self.entry.assured |= step.assured;
        }
        step
    }
}

prop_compose! {
    /// How two endpoints begin: numbers, shifts if both offer them, buffers, whether they
    /// acknowledge selectively.
    fn beginnings()(
        origins in prop_oneof![
            any::<[u32; 2]>(),
            Just([u32::MAX, 0x7fff_ffff]),
            Just([0xffff_0000, 0x7fff_0000]),
        ],
        shifts in [prop::option::of(0u8..=14), prop::option::of(0u8..=14)],
        buffers in [1u64..2_000_000, 1u64..2_000_000],
        sacks in any::<bool>(),
    ) -> ([u32; 2], [Option<u8>; 2], [u64; 2], bool) {
        (origins, shifts, buffers, sacks)
    }
}

/// Opens a connection between two endpoints.
fn handshake(
    origins: [u32; 2],
    shifts: [Option<u8>; 2],
    buffers: [u64; 2],
    sacks: bool,
) -> (Tracker, [Endpoint; 2]) {
    let offer = |shift: Option<u8>| {
        let mut options = vec![2, 4, 5, 180];
        options.extend(shift.map(|shift| [1, 3, 3, shift]).into_iter().flatten());
        if sacks {
            options.extend([1, 1, 4, 2]);
        }
        options
    };
    let window = |buffer: u64| u16::try_from(buffer).unwrap_or(u16::MAX);
    let syn = Owned {
        seq: origins[0],
        ack: 0,
        window: window(buffers[0]),
        flags: Flags::SYN.0,
        payload: 0,
        options: offer(shifts[0]),
    };
    let syn_ack = Owned {
        seq: origins[1],
        ack: wire(origins[0], 1),
        window: window(buffers[1]),
        flags: Flags::SYN.with(Flags::ACK).0,
        payload: 0,
        options: offer(shifts[1]),
    };

    let both = shifts[0].zip(shifts[1]);
    let shift = both.map_or([0, 0], |(original, reply)| [original, reply]);
    let endpoint = |dir: Dir| {
        let (me, peer) = (dir.index(), dir.opposite().index());
        Endpoint {
            dir,
            origin: origins[me],
            peer_origin: origins[peer],
            unacked: 1,
            next: 1,
            room: 1 + u64::from(window(buffers[peer])),
            received: 1,
            beyond: BTreeMap::new(),
            offered: 1 + u64::from(window(buffers[me])),
            shift: shift[me],
            peer_shift: shift[peer],
            fin: None,
            peer_fin: None,
            sacks,
        }
    };
    let endpoints = [endpoint(Dir::Original), endpoint(Dir::Reply)];

    let mut tracker = Tracker {
        tracking: open(&syn.segment(), false).unwrap(),
        entry: Entry::default(),
    };
    for (dir, segment) in [(Dir::Original, &syn), (Dir::Reply, &syn_ack)] {
        let step = tracker.see(dir, segment);
        assert!(matches!(step.verdict, Verdict::Refresh(_)), "{step:?}");
    }
    let ack = endpoints[0].segment(Flags::ACK, 1, 0);
    let step = tracker.see(Dir::Original, &ack);
    assert!(step.assured, "{step:?}");
    (tracker, endpoints)
}

/// Lets events happen; the first segment that is called invalid ends it.
fn exchange(
    tracker: &mut Tracker,
    sides: &mut [Endpoint; 2],
    buffers: [u64; 2],
    events: &[Event],
) -> Result<(), TestCaseError> {
    let mut under_way: [Vec<Owned>; 2] = [vec![], vec![]];
    for event in events {
        let sent = match *event {
            Event::Send(reply, len) => sides[usize::from(reply)].send(len).map(|s| (reply, s)),
            Event::Resend(reply, len) => sides[usize::from(reply)].resend(len).map(|s| (reply, s)),
            Event::Acknowledge(reply) => {
                let side = &sides[usize::from(reply)];
                Some((reply, side.segment(Flags::ACK, side.next, 0)))
            }
            Event::Finish(reply) => sides[usize::from(reply)].finish().map(|s| (reply, s)),
            Event::Lose(reply, which) => {
                let queue = &mut under_way[usize::from(reply)];
                if which < queue.len() {
                    queue.remove(which);
                }
                None
            }
            Event::Arrive {
                reply,
                which,
                lost,
                again,
            } => {
                let from = usize::from(reply);
                let queue = &mut under_way[from];
                if which >= queue.len() {
                    continue;
                }
                let segment = if again {
                    queue[which].clone()
                } else {
                    queue.remove(which)
                };

                let dir = sides[from].dir;
                let end = tracker.tracking.seen[dir.index()].end;
                let step = tracker.see(dir, &segment);
                let passes = matches!(step.verdict, Verdict::Refresh(_) | Verdict::Pass);
                prop_assert!(
                    passes,
                    "{:?} {:?}\n{:?}\n{:?}\n{:#?}",
                    dir,
                    segment,
                    step,
                    tracker,
                    sides
                );
                // A segment beyond the window sets the end of what was sent, even back if it comes late
                // (mainline's does, too): an acknowledgement of the rest may be refused after that.
                if tracker.tracking.seen[dir.index()].end.before(end) {
                    return Ok(());
                }
                // What is more than a window late, the tracker lets pass and does not follow; if the
                // receiver takes it, what it then acknowledges looks as if it was never sent. So
                // this network does not deliver it.
                if !lost && step.log.is_none() {
                    sides[1 - from].receive(&segment, buffers[1 - from]);
                }
                None
            }
        };
        if let Some((reply, segment)) = sent {
            under_way[usize::from(reply)].push(segment);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn endpoints_are_never_refused((origins, shifts, buffers, sacks) in beginnings(), events in events(false)) {
        let (mut tracker, mut sides) = handshake(origins, shifts, buffers, sacks);
        exchange(&mut tracker, &mut sides, buffers, &events)?;
        prop_assert_eq!(tracker.tracking.state, State::Established.raw());
    }

    #[test]
    fn nor_are_those_that_end((origins, shifts, buffers, sacks) in beginnings(), events in events(true)) {
        let (mut tracker, mut sides) = handshake(origins, shifts, buffers, sacks);
        exchange(&mut tracker, &mut sides, buffers, &events)?;
        let state = State::from_raw(tracker.tracking.state);
        prop_assert!(state.is_some_and(|state| state == State::Established || state.closing()));
        if sides.iter().all(|side| side.peer_fin.is_some()) {
            prop_assert!(matches!(state, Some(State::LastAck | State::TimeWait)));
        }
    }

    /// Segments went by unseen, as when hooks are registered late or a flow table gives a
    /// connection back.
    #[test]
    fn nor_are_those_whose_windows_were_forgotten(
        (origins, shifts, buffers, sacks) in beginnings(),
        unseen in events(false),
        first in dirs(),
    ) {
        let (mut tracker, mut sides) = handshake(origins, shifts, buffers, sacks);
        let known = tracker.tracking;
        exchange(&mut tracker, &mut sides, buffers, &unseen)?;

        tracker.tracking = known;
        tracker.tracking.forget_windows();
        // All data has arrived in the meantime; an acknowledgement of each side shows it.
        for dir in Dir::BOTH {
            sides[dir.index()].received = sides[dir.opposite().index()].next;
            let side = &mut sides[dir.index()];
            side.offered = side.offered.max(side.received);
            side.beyond.clear();
        }
        for dir in [first, first.opposite()] {
            let side = &sides[dir.index()];
            let step = tracker.see(dir, &side.segment(Flags::ACK, side.next, 0));
            prop_assert!(matches!(step.verdict, Verdict::Refresh(_)), "{:?}", step);
        }
        for (dir, origin) in Dir::BOTH.into_iter().zip(origins) {
            let end = tracker.tracking.seen[dir.index()].end;
            prop_assert_eq!(end, Seq(wire(origin, sides[dir.index()].next)));
        }
        prop_assert_eq!(tracker.tracking.state, State::Established.raw());
    }

    /// An exact reset ends it, one ahead does not, and the exact one still does afterwards.
    #[test]
    fn resets((origins, shifts, buffers, sacks) in beginnings(), events in events(false), dir in dirs(), ahead in 1u64..1_000) {
        let (mut tracker, mut sides) = handshake(origins, shifts, buffers, sacks);
        exchange(&mut tracker, &mut sides, buffers, &events)?;

        let peer = tracker.tracking.seen[dir.opposite().index()];
        prop_assume!(peer.flags & flag::MAXACK_SET != 0);
        // One that is further ahead moves the window away.
        prop_assume!(ahead < u64::from(peer.max_win));
        let side = &sides[dir.index()];
        let exact = unwire(side.origin, peer.max_ack.0, side.unacked);
        prop_assume!(tracker.tracking.last_end.0 != wire(side.origin, exact + ahead));
        let reset = |seq: u64| Owned {
            flags: Flags::RST.0,
            options: vec![],
            ..side.segment(Flags::ACK, seq, 0)
        };

        let old = tracker.see(dir, &reset(exact - 1));
        prop_assert_eq!(old.verdict, Verdict::Invalid { shorten: None });
        prop_assert_eq!(old.log, Some(Log::InvalidRst));
        let _ = tracker.see(dir, &reset(exact + ahead));
        prop_assert_eq!(tracker.tracking.state, State::Established.raw());
        let step = tracker.see(dir, &reset(exact));
        prop_assert_eq!(step.verdict, Verdict::Refresh(TIMEOUTS[8]));
        prop_assert_eq!(tracker.tracking.state, State::Close.raw());
    }
}
