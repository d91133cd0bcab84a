// SPDX-License-Identifier: GPL-2.0

//! Probing: what is asked of the two ends of an idle TCP connection, when, and what follows.
//!
//! A probe is the keepalive of RFC 1122, section 4.2.3.6, in the name of the other end: no data,
//! and a number that was acknowledged already, so that the receiver has to say where it is (RFC
//! 9293, section 3.10.7.4).
//!
//! * [`note`]: what is remembered of each segment, so that a probe can look like one.
//! * [`expect`], [`heard`]: a segment came; whom it proves alive, and whether it is an answer.
//! * [`visit`]: the walk came by an entry.
//! * [`Probe`]: the segment.
//!
//! Not for how probes get to an end (`engine::probe`). What is remembered lies in bytes that
//! `struct ip_ct_tcp` has no use for; any content is legal, all zero is nothing.
//!
//! No C counterpart.

use super::super::l4::tcp;
use super::super::l4::tcp::Tracking;
use super::super::num::Dir;
use super::super::num::Seq;
use super::super::wire::tcp::Flags;
use super::super::wire::tcp::Kind;
use super::super::wire::tcp::Segment;
use super::super::wire::tcp::Stamp;

/// What is remembered of a connection for probing it; the four bytes behind `struct ip_ct_tcp`.
/// Where the segments of each side come in is in [`tcp::Sender::ingress`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Notes {
    /// Bits of [`flag`].
    flags: u8,
    /// Rounds of probes since an end is waited for.
    rounds: u8,
    /// The last window of each side.
    windows: [Window; 2],
}

/// Bits of [`Notes::flags`]: those of the original side, and, one further on, of the other one.
mod flag {
    /// Its last segment had a timestamp.
    pub(super) const STAMPED: u8 = 0x01;
    /// It was asked, and has not been heard of since.
    pub(super) const AWAITED: u8 = 0x04;
    /// A probe to it is on its way through this machine.
    pub(super) const UNDER_WAY: u8 = 0x10;

    /// The bits of both sides.
    pub(super) const fn both(flag: u8) -> u8 {
        flag | flag << 1
    }
}

impl Notes {
    /// Nothing.
    pub const NONE: Notes = Notes {
        flags: 0,
        rounds: 0,
        windows: [Window(0); 2],
    };

    #[inline]
    const fn has(&self, flag: u8, side: Dir) -> bool {
        self.flags & (flag << side.index()) != 0
    }

    #[inline]
    fn set(&mut self, flag: u8, side: Dir, value: bool) {
        let bit = flag << side.index();
        if value {
            self.flags |= bit;
        } else {
            self.flags &= !bit;
        }
    }

    /// Whether an end was asked and has not been heard of since.
    #[inline]
    pub const fn awaits(&self, end: Dir) -> bool {
        self.has(flag::AWAITED, end)
    }

    #[inline]
    const fn awaits_any(&self) -> bool {
        self.flags & flag::both(flag::AWAITED) != 0
    }

    /// Rounds of probes since an end is waited for.
    #[inline]
    pub const fn rounds(&self) -> u8 {
        self.rounds
    }

    /// Whether a probe to `end` is on its way through this machine.
    #[inline]
    pub const fn is_under_way(&self, end: Dir) -> bool {
        self.has(flag::UNDER_WAY, end)
    }

    /// A segment to `end` has left this machine, for all that this machine has to say.
    #[inline]
    pub fn left(&mut self, end: Dir) {
        self.set(flag::UNDER_WAY, end, false);
    }

    /// No end is waited for.
    #[inline]
    fn rest(&mut self) {
        self.flags &= flag::both(flag::STAMPED);
        self.rounds = 0;
    }

    /// The window that a side offered last, or a bit less.
    #[inline]
    fn window(&self, side: Dir) -> Window {
        let [original, reply] = self.windows;
        match side {
            Dir::Original => original,
            Dir::Reply => reply,
        }
    }

    #[inline]
    fn set_window(&mut self, side: Dir, window: Window) {
        let [original, reply] = &mut self.windows;
        match side {
            Dir::Original => *original = window,
            Dir::Reply => *reply = window,
        }
    }
}

/// A window as it stands in a header, in one byte: rounded down by up to one part in 16. A probe
/// must not offer more than its supposed sender did, and less is not believed from an old number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
struct Window(u8);

impl Window {
    /// Binary digits that are kept behind the first one.
    const DIGITS: u32 = 4;
    /// Numbers from here on have more digits than are kept.
    const EXACT: u16 = 1 << Self::DIGITS;

    #[inline]
    fn new(window: u16) -> Self {
        // Numbers below are their own code; the others have an exponent from one on and the digits
        // behind the first one.
        let dropped = u16::BITS
            .saturating_sub(window.leading_zeros())
            .saturating_sub(Self::DIGITS + 1);
        if window < Self::EXACT {
            return Window(u8::try_from(window).unwrap_or(0));
        }
        let digits = (window >> dropped) & (Self::EXACT - 1);
        let exponent = u16::try_from(dropped).unwrap_or(0).saturating_add(1);
        let code = exponent.saturating_mul(Self::EXACT).saturating_add(digits);
        Window(u8::try_from(code).unwrap_or(0))
    }

    #[inline]
    fn get(self) -> u16 {
        let code = u32::from(self.0);
        let exponent = code >> Self::DIGITS;
        let digits = code & u32::from(Self::EXACT - 1);
        let window = match exponent.checked_sub(1) {
            None => digits,
            Some(dropped) => (digits | u32::from(Self::EXACT)) << dropped,
        };
        u16::try_from(window).unwrap_or(u16::MAX)
    }
}

/// The timestamps that the two sides sent last, where [`Notes`] says that they did.
pub type Stamps = [u32; 2];

/// Remembers what a segment of side `dir` says that a probe in that side's name has to say as well.
/// To be called with the window checked, and with the segment taken.
///
/// `ingress` is the number of the device by which it came in, or zero if it cannot be said how
/// further ones of this side would.
#[inline]
pub fn note(
    tracking: &mut Tracking,
    stamps: &mut Stamps,
    dir: Dir,
    segment: &Segment<'_>,
    ingress: u16,
) {
    let side = tracking.side_mut(dir);
    let stamp = segment.options.stamp();
    side.ingress = match stamp {
        // Nobody else can make such a segment.
        Stamp::Signed => 0,
        _ => ingress,
    };
    let scale = u32::from(side.scale.min(15));
    // The window of a SYN is not scaled; those of a probe are.
    let window = if segment.flags.has(Flags::SYN) {
        segment.window >> scale
    } else {
        segment.window
    };
    let notes = &mut tracking.probing;
    notes.set_window(dir, Window::new(window));
    let [original, reply] = stamps;
    let last = match dir {
        Dir::Original => original,
        Dir::Reply => reply,
    };
    match stamp {
        Stamp::At(time) => {
            // The highest one: segments overtake each other. They wrap as sequence numbers do.
            if !notes.has(flag::STAMPED, dir) || Seq(time).after(Seq(*last)) {
                *last = time;
            }
            notes.set(flag::STAMPED, dir, true);
        }
        // A reset may go without, whatever was agreed (RFC 7323, section 3.2).
        _ if segment.flags.has(Flags::RST) => {}
        _ => notes.set(flag::STAMPED, dir, false),
    }
}

/// Forgets all: segments went by without [`note`].
pub fn forget(tracking: &mut Tracking) {
    tracking.probing = Notes::NONE;
    for side in Dir::BOTH {
        tracking.side_mut(side).ingress = 0;
    }
}

/// What came from an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something that nobody asked for.
    Traffic,
    /// The answer to a probe and nothing else.
    Answer,
    /// A reset, after a probe.
    Reset,
}

/// A segment in direction `dir` is about to be judged: to its sender, what it got last was a probe,
/// which stood for a segment of the other end. So its answer is no repetition of what it said
/// before.
#[inline]
pub fn expect(tracking: &mut Tracking, dir: Dir, segment: &Segment<'_>) {
    if tracking.probing.awaits(dir) && segment.kind() == Kind::Ack && segment.payload == 0 {
        tracking.set_last_dir(dir.opposite());
    }
}

/// A segment in direction `dir` was taken, and moved the connection on from `before`: its sender is
/// alive.
#[inline]
pub fn heard(tracking: &mut Tracking, before: &Tracking, dir: Dir, segment: &Segment<'_>) -> Heard {
    if !before.probing.awaits(dir) {
        return Heard::Traffic;
    }
    tracking.probing.set(flag::AWAITED, dir, false);
    if !tracking.probing.awaits_any() {
        tracking.probing.rest();
    }
    let (old, new) = (before.side(dir), tracking.side(dir));
    match segment.kind() {
        Kind::Rst => Heard::Reset,
        // Neither sends nor acknowledges anything new.
        Kind::Ack
            if segment.payload == 0 && segment.seq == old.end && new.max_ack == old.max_ack =>
        {
            Heard::Answer
        }
        _ => Heard::Traffic,
    }
}

/// What to do about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Leave,
    /// Probe those ends, by direction, that are to be answered for. They are marked so.
    Probe([bool; 2]),
    /// Nothing, because what was sent did not leave this machine: it says nothing about the ends.
    Blocked,
    /// An end was silent: it is gone, and with it the connection.
    Dead,
}

/// What a walk knows of an entry beside its tracker's state.
#[derive(Clone, Copy, Debug)]
pub struct Visit<G> {
    /// It has been idle for long enough to begin, and there are enough entries.
    pub begin: bool,
    /// Rounds without an answer after which an end is gone.
    pub rounds: u8,
    /// A `Fn(u16) -> bool`: the device of this number does not exist any more.
    pub is_gone: G,
}

/// The walk comes by an entry, an interval after it came by last, or more.
///
/// An end is gone if it has not been heard of after [`Visit::rounds`] probes. A probe counts if it
/// left this machine, or could not because the device that leads to that end has vanished.
pub fn visit<G: Fn(u16) -> bool>(tracking: &mut Tracking, visit: &Visit<G>) -> Next {
    if !is_known(tracking) {
        tracking.probing.rest();
        return Next::Leave;
    }
    if !tracking.probing.awaits_any() {
        if !visit.begin {
            return Next::Leave;
        }
        tracking.probing.rest();
        for end in Dir::BOTH {
            tracking.probing.set(flag::AWAITED, end, true);
        }
    } else {
        for end in Dir::BOTH {
            let gone = (visit.is_gone)(tracking.side(end).ingress);
            let notes = &mut tracking.probing;
            if notes.is_under_way(end) && !gone {
                notes.set(flag::AWAITED, end, false);
            }
        }
        if !tracking.probing.awaits_any() {
            tracking.probing.rest();
            return Next::Blocked;
        }
        if tracking.probing.rounds >= visit.rounds {
            tracking.probing.rest();
            return Next::Dead;
        }
    }
    let notes = &mut tracking.probing;
    notes.rounds = notes.rounds.saturating_add(1);
    let ends = Dir::BOTH.map(|end| notes.awaits(end));
    for end in Dir::BOTH {
        let asked = notes.awaits(end);
        notes.set(flag::UNDER_WAY, end, asked);
    }
    Next::Probe(ends)
}

/// Whether enough is known to make probes for both ends: a segment of each was noted, and each has
/// acknowledged something since flow tables had the connection.
fn is_known(tracking: &Tracking) -> bool {
    Dir::BOTH.into_iter().all(|end| {
        let side = tracking.side(end);
        side.ingress != 0 && side.flags & tcp::flag::MAXACK_SET != 0
    })
}

/// A probe to one end, in the name of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The number before the one that the end expects, as its supposed sender counts.
    pub seq: Seq,
    /// What the supposed sender has acknowledged, as the end counts.
    pub ack: Seq,
    /// The device by which it comes in.
    pub ingress: u16,
    window: u16,
    /// Timestamps, if both ends use them: the supposed sender's, and the end's.
    stamps: Option<(u32, u32)>,
}

/// Bytes of the longest probe's header.
pub const MAX_HEADER: usize = 32;

impl Probe {
    /// The probe to `end`.
    pub fn new(tracking: &Tracking, stamps: &Stamps, end: Dir) -> Self {
        let sender = end.opposite();
        let notes = &tracking.probing;
        let stamped = Dir::BOTH
            .into_iter()
            .all(|side| notes.has(flag::STAMPED, side));
        let [original, reply] = *stamps;
        let stamps = match sender {
            Dir::Original => (original, reply),
            Dir::Reply => (reply, original),
        };
        Probe {
            seq: tracking.side(end).max_ack.minus(1),
            ack: tracking.side(sender).max_ack,
            ingress: tracking.side(sender).ingress,
            window: notes.window(sender).get(),
            stamps: stamped.then_some(stamps),
        }
    }

    /// The header, from port `from` to port `to`, both in network order, without a checksum; and
    /// how many bytes of it count.
    pub fn header(&self, from: [u8; 2], to: [u8; 2]) -> ([u8; MAX_HEADER], usize) {
        const NOP: u8 = 1;
        const TIMESTAMP: [u8; 2] = [8, 10];
        let length = match self.stamps {
            Some(_) => MAX_HEADER,
            None => 20,
        };
        let mut header = [0; MAX_HEADER];
        let mut rest = header.iter_mut();
        let mut put = |bytes: &[u8]| {
            for (byte, place) in bytes.iter().zip(&mut rest) {
                *place = *byte;
            }
        };
        put(&from);
        put(&to);
        put(&self.seq.0.to_be_bytes());
        put(&self.ack.0.to_be_bytes());
        // The length in words of four bytes is the high half of a byte.
        put(&[if length == MAX_HEADER { 0x80 } else { 0x50 }, Flags::ACK.0]);
        put(&self.window.to_be_bytes());
        // Checksum and urgent pointer.
        put(&[0; 4]);
        if let Some((value, echo)) = self.stamps {
            put(&[NOP, NOP]);
            put(&TIMESTAMP);
            put(&value.to_be_bytes());
            put(&echo.to_be_bytes());
        }
        (header, length)
    }
}

/// How many probes may be sent: so many a second, and what was not used of a tenth of it at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// What is left, in probes times ticks a second; negative if the last took more.
    left: i64,
}

impl Allowance {
    /// Time went on by `ticks`.
    pub fn grow(&mut self, ticks: u32, rate: u32, hz: u32) {
        let (rate, hz) = (i64::from(rate), i64::from(hz));
        let most = (rate / 10).saturating_mul(hz).max(hz);
        let more = rate.saturating_mul(i64::from(ticks));
        self.left = self.left.saturating_add(more).min(most);
    }

    /// Whether there is one to send.
    pub fn any(&self, hz: u32) -> bool {
        self.left >= i64::from(hz)
    }

    /// So many were sent.
    pub fn take(&mut self, probes: u32, hz: u32) {
        let used = i64::from(probes).saturating_mul(i64::from(hz));
        self.left = self.left.saturating_sub(used);
    }
}

/// Whether `count` entries of at most `max` are at least `percent` of that; zero percent always is.
#[inline]
pub const fn is_filled(count: u32, max: u32, percent: u32) -> bool {
    // Lossless: wider.
    (count as u64) * 100 >= (max as u64) * (percent as u64)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_probe)
)]
mod tests {
    use super::super::super::l4::tcp::State;
    use super::super::super::wire::tcp::Options;
    use super::*;

    const ETH: [u16; 2] = [3, 4];

    /// An established connection in which each side sent up to, and acknowledged, a round number;
    /// the original one's numbers wrap around.
    fn connection() -> Tracking {
        let mut tracking = Tracking {
            state: State::Established.raw(),
            ..Tracking::default()
        };
        for (side, end, ack) in [
            (Dir::Original, Seq(0), Seq(5000)),
            (Dir::Reply, Seq(5000), Seq(0)),
        ] {
            let sender = tracking.side_mut(side);
            sender.end = end;
            sender.max_ack = ack;
            sender.flags = tcp::flag::MAXACK_SET;
            sender.ingress = ETH[side.index()];
        }
        tracking
    }

    fn segment(flags: Flags, seq: u32, options: &[u8]) -> Segment<'_> {
        Segment {
            seq: Seq(seq),
            ack: Seq(0),
            window: 1000,
            flags,
            payload: 0,
            options: Options::new(options),
        }
    }

    fn walk(tracking: &mut Tracking, begin: bool, gone: u16) -> Next {
        visit(
            tracking,
            &Visit {
                begin,
                rounds: 2,
                is_gone: |ingress| ingress == gone,
            },
        )
    }

    fn sent(tracking: &mut Tracking) {
        for end in Dir::BOTH {
            tracking.probing.left(end);
        }
    }

    #[test]
    fn windows_lose_little_and_never_grow() {
        let mut last = 0;
        for window in 0..=u16::MAX {
            let kept = Window::new(window).get();
            let lost = window - kept;
            assert!(kept <= window && lost <= window / 16);
            assert!(kept >= last);
            last = kept;
        }
        for code in 0..=u8::MAX {
            let _ = Window(code).get();
        }
    }

    #[test]
    fn silence_ends_it_after_the_rounds() {
        let mut tracking = connection();
        assert_eq!(walk(&mut tracking, false, 0), Next::Leave);
        assert_eq!(tracking, connection());
        let both = Next::Probe([true, true]);
        assert_eq!(walk(&mut tracking, true, 0), both);
        sent(&mut tracking);
        // It goes on, whatever the filling is by now.
        assert_eq!(walk(&mut tracking, false, 0), both);
        sent(&mut tracking);
        assert_eq!(walk(&mut tracking, false, 0), Next::Dead);
    }

    #[test]
    fn one_silent_end_is_enough() {
        for alive in Dir::BOTH {
            let mut tracking = connection();
            let _ = walk(&mut tracking, true, 0);
            sent(&mut tracking);
            let before = tracking;
            let answer = segment(Flags::ACK, tracking.side(alive).end.0, &[]);
            assert!(heard(&mut tracking, &before, alive, &answer) == Heard::Answer);
            // Whom it asks next.
            let ends = Dir::BOTH.map(|end| end != alive);
            assert_eq!(walk(&mut tracking, false, 0), Next::Probe(ends));
            sent(&mut tracking);
            assert_eq!(walk(&mut tracking, false, 0), Next::Dead);
        }
    }

    #[test]
    fn answers_of_both_end_the_asking() {
        let mut tracking = connection();
        let _ = walk(&mut tracking, true, 0);
        sent(&mut tracking);
        for end in Dir::BOTH {
            let before = tracking;
            let answer = segment(Flags::ACK, tracking.side(end).end.0, &[]);
            assert!(heard(&mut tracking, &before, end, &answer) == Heard::Answer);
            let before = tracking;
            assert!(heard(&mut tracking, &before, end, &answer) == Heard::Traffic);
        }
        assert_eq!(tracking, connection());
        assert_eq!(walk(&mut tracking, false, 0), Next::Leave);
    }

    #[test]
    fn what_was_heard() {
        let data = |payload| Segment {
            payload,
            ..segment(Flags::ACK, 5000, &[])
        };
        let table = [
            (segment(Flags::ACK, 5000, &[]), Heard::Answer),
            (
                segment(Flags::ACK.with(Flags::PSH), 5000, &[]),
                Heard::Answer,
            ),
            (segment(Flags::RST, 5000, &[]), Heard::Reset),
            (segment(Flags::RST.with(Flags::ACK), 1, &[]), Heard::Reset),
            (
                segment(Flags::FIN.with(Flags::ACK), 5000, &[]),
                Heard::Traffic,
            ),
            // A keepalive of its own, and data.
            (segment(Flags::ACK, 4999, &[]), Heard::Traffic),
            (data(1), Heard::Traffic),
        ];
        for (segment, expected) in table {
            let mut before = connection();
            let _ = walk(&mut before, true, 0);
            let mut after = before;
            assert!(heard(&mut after, &before, Dir::Reply, &segment) == expected);
            // Alive, whatever it was.
            assert!(!after.probing.awaits(Dir::Reply) && after.probing.awaits(Dir::Original));
            // It acknowledged something.
            let mut after = before;
            after.side_mut(Dir::Reply).max_ack = Seq(1);
            let heard = heard(&mut after, &before, Dir::Reply, &segment);
            assert!(heard != Heard::Answer);
        }
    }

    #[test]
    fn an_answer_is_no_repetition() {
        let mut tracking = connection();
        let answer = segment(Flags::ACK, 0, &[]);
        tracking.set_last_dir(Dir::Original);
        let idle = tracking;
        expect(&mut tracking, Dir::Original, &answer);
        assert_eq!(tracking, idle);
        let _ = walk(&mut tracking, true, 0);
        expect(&mut tracking, Dir::Original, &answer);
        assert_eq!(tracking.last_dir, 1);
    }

    #[test]
    fn what_does_not_leave_proves_nothing() {
        let mut tracking = connection();
        let both = Next::Probe([true, true]);
        assert_eq!(walk(&mut tracking, true, 0), both);
        assert!(tracking.probing.is_under_way(Dir::Original));
        assert_eq!(walk(&mut tracking, true, 0), Next::Blocked);
        // Begins again while it is idle.
        assert_eq!(walk(&mut tracking, true, 0), both);
        // One got through.
        tracking.probing.left(Dir::Reply);
        assert_eq!(walk(&mut tracking, true, 0), Next::Probe([false, true]));
    }

    #[test]
    fn a_device_that_vanished_answers_for_its_end() {
        let mut tracking = connection();
        let _ = walk(&mut tracking, true, ETH[0]);
        // The original end's device is gone: nothing reaches it, nor in its name the other one.
        assert_eq!(
            walk(&mut tracking, true, ETH[0]),
            Next::Probe([true, false])
        );
        assert_eq!(walk(&mut tracking, true, ETH[0]), Next::Dead);
    }

    #[test]
    fn only_what_is_known_is_probed() {
        for spoilt in Dir::BOTH {
            let mut tracking = connection();
            tracking.side_mut(spoilt).flags = 0;
            assert_eq!(walk(&mut tracking, true, 0), Next::Leave);
            let mut tracking = connection();
            tracking.side_mut(spoilt).ingress = 0;
            assert_eq!(walk(&mut tracking, true, 0), Next::Leave);
            // In the midst of it, as when a flow table has taken the connection over.
            let mut tracking = connection();
            let _ = walk(&mut tracking, true, 0);
            sent(&mut tracking);
            tracking.side_mut(spoilt).flags = 0;
            assert_eq!(walk(&mut tracking, true, 0), Next::Leave);
            assert_eq!(tracking.probing, Notes::NONE);
        }
        let mut tracking = connection();
        forget(&mut tracking);
        assert_eq!(walk(&mut tracking, true, 0), Next::Leave);
    }

    #[test]
    fn any_notes_are_legal() {
        for raw in 0..=u8::MAX {
            let mut tracking = connection();
            tracking.probing = Notes {
                flags: raw,
                rounds: raw,
                windows: [Window(raw), Window(!raw)],
            };
            let _ = Probe::new(&tracking, &[0; 2], Dir::Original).header([0; 2], [0; 2]);
            let _ = walk(&mut tracking, true, u16::from(raw));
            let before = tracking;
            let answer = segment(Flags::ACK, 0, &[]);
            let _ = heard(&mut tracking, &before, Dir::Original, &answer);
        }
    }

    const STAMP: [u8; 12] = [1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 0, 9];

    #[test]
    fn a_probe_looks_like_its_sender() {
        let mut tracking = connection();
        let mut stamps = [0; 2];
        let ack = segment(Flags::ACK, 0, &STAMP);
        note(&mut tracking, &mut stamps, Dir::Original, &ack, 7);
        // Without the other side's timestamp there can be none.
        let (_, length) = Probe::new(&tracking, &stamps, Dir::Reply).header([0; 2], [0; 2]);
        assert_eq!(length, 20);
        let other = [8, 10, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
        let ack = segment(Flags::ACK, 0, &other);
        note(&mut tracking, &mut stamps, Dir::Reply, &ack, 8);
        let probe = Probe::new(&tracking, &stamps, Dir::Reply);
        assert_eq!(probe.ingress, 7);
        let (header, length) = probe.header([0xab, 0xcd], [0, 80]);
        assert_eq!(length, MAX_HEADER);
        // A window of 1000, rounded down; acknowledges 5000; the number before 0.
        let expected = [
            0xab, 0xcd, 0, 80, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x13, 0x88, 0x80, 0x10, 0x03,
            0xe0, //
            0, 0, 0, 0, 1, 1, 8, 10, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff,
        ];
        assert!(header == expected);
        // To the other end.
        let probe = Probe::new(&tracking, &stamps, Dir::Original);
        assert!((probe.seq, probe.ack, probe.ingress) == (Seq(4999), Seq(0), 8));
    }

    #[test]
    fn stamps_go_on_and_may_be_missing() {
        let mut tracking = connection();
        let mut stamps = [0; 2];
        let at = |time: u32| {
            let [a, b, c, d] = time.to_be_bytes();
            [1, 1, 8, 10, a, b, c, d, 0, 0, 0, 0]
        };
        for (time, kept) in [
            (u32::MAX - 1, u32::MAX - 1),
            (3, 3),
            // Overtaken.
            (u32::MAX, 3),
            (4, 4),
        ] {
            let options = at(time);
            let ack = segment(Flags::ACK, 0, &options);
            note(&mut tracking, &mut stamps, Dir::Reply, &ack, 1);
            assert_eq!(stamps, [0, kept]);
        }
        let reset = segment(Flags::RST, 0, &[]);
        note(&mut tracking, &mut stamps, Dir::Reply, &reset, 1);
        assert!(tracking.probing.has(flag::STAMPED, Dir::Reply));
        let bare = segment(Flags::ACK, 0, &[]);
        note(&mut tracking, &mut stamps, Dir::Reply, &bare, 1);
        assert!(!tracking.probing.has(flag::STAMPED, Dir::Reply));
    }

    #[test]
    fn signed_segments_cannot_be_made() {
        for kind in [19, 29] {
            let mut options = [0; 20];
            [options[0], options[1]] = [kind, 18];
            let mut tracking = connection();
            let ack = segment(Flags::ACK, 0, &options);
            note(&mut tracking, &mut [0; 2], Dir::Original, &ack, 7);
            assert_eq!(walk(&mut tracking, true, 0), Next::Leave);
        }
    }

    #[test]
    fn the_window_of_a_syn_is_scaled_down() {
        let mut tracking = connection();
        tracking.side_mut(Dir::Original).scale = 3;
        let syn = segment(Flags::SYN, 0, &[]);
        note(&mut tracking, &mut [0; 2], Dir::Original, &syn, 7);
        assert_eq!(tracking.probing.window(Dir::Original), Window::new(125));
    }

    #[test]
    fn so_many_a_second() {
        let mut allowance = Allowance::default();
        assert!(!allowance.any(100));
        // One a second at 100 ticks.
        for _ in 0..3 {
            allowance.grow(99, 1, 100);
            assert!(!allowance.any(100));
            allowance.grow(1, 1, 100);
            assert!(allowance.any(100));
            allowance.take(1, 100);
        }
        // What was not used is not saved up.
        allowance.grow(u32::MAX, 50, 100);
        let mut got = 0;
        while allowance.any(100) {
            allowance.take(1, 100);
            got += 1;
        }
        assert_eq!(got, 5);
        // Two at a time may be one too many, which is owed.
        allowance.grow(2, 50, 100);
        allowance.take(2, 100);
        allowance.grow(2, 50, 100);
        assert!(!allowance.any(100));
        allowance.grow(u32::MAX, u32::MAX, u32::MAX);
        allowance.take(u32::MAX, u32::MAX);
    }

    #[test]
    fn filling() {
        for (count, max, percent, filled) in [
            (0, 100, 0, true),
            (0, 100, 1, false),
            (75, 100, 75, true),
            (74, 100, 75, false),
            (u32::MAX, u32::MAX, 100, true),
            (u32::MAX, u32::MAX, 101, false),
        ] {
            assert_eq!(is_filled(count, max, percent), filled);
        }
    }
}
