// SPDX-License-Identifier: GPL-2.0

//! Whether a segment lies where its sender may send.
//!
//! After Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter". A tracker sits
//! between the endpoints and sees neither of their windows; it infers bounds for the next segment
//! of each side from what it saw both send. Let *sender* be the side that the segment comes from,
//! *sack* the highest right edge of its selective acknowledgements or its acknowledgement, and
//! *end* the number behind its last byte:
//!
//! * **(I)** seq <= sender.max_end: no data beyond what the receiver offered room for.
//! * **(II)** end >= sender.end - receiver.max_win: no data so old that the receiver cannot have
//!   it in its window any more.
//! * **(III)** sack <= receiver.end: nothing acknowledged that was not sent.
//! * **(IV)** sack >= receiver.end - max(sender.max_win, [`ACK_WINDOW`]): no acknowledgement
//!   older than a window.
//!
//! A segment has to touch the window, not to lie within it: it may stick out on either side. Not
//! for the states of a connection (`super::table`).
//!
//! C counterpart: `tcp_in_window()` in `net/netfilter/nf_conntrack_proto_tcp.c`.

use super::flag;
use super::Dir;
use super::Flags;
use super::Kind;
use super::Log;
use super::Segment;
use super::Sender;
use super::Seq;
use super::State;
use super::Tracking;
use super::MAX_WINDOW_SCALE;

/// How far behind an acknowledgement may be in any case, in bytes: a window without scaling and
/// some.
pub(super) const ACK_WINDOW: u32 = 66_000;

/// What to do with a segment outside the window, and which bound it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// Let it pass without effect on the connection.
    Ignore(Log),
    /// It is no part of the connection.
    Invalid(Log),
}

impl Sender {
    #[inline]
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The shift of a window from this sender. The byte is written by others as well; more than
    /// the protocol allows counts as the most it allows.
    #[inline]
    fn shift(&self) -> u32 {
        u32::from(self.scale.min(MAX_WINDOW_SCALE))
    }

    /// The bound of (I): the first number beyond which the next byte may not lie.
    #[inline]
    fn beyond_room(&self) -> Seq {
        self.max_end.plus(1)
    }

    /// The bound of (II): the last number at which a segment of this sender ends too early.
    #[inline]
    fn too_old(&self, receiver: &Sender) -> Seq {
        self.end.minus(receiver.max_win).minus(1)
    }

    /// The bound of (III): the first number that the other side cannot acknowledge yet.
    #[inline]
    fn not_sent(&self) -> Seq {
        self.end.plus(1)
    }

    /// The bound of (IV) for the acknowledgements of `acker`: the last number that is too old.
    #[inline]
    fn long_acked(&self, acker: &Sender) -> Seq {
        self.end.minus(acker.max_win.max(ACK_WINDOW)).minus(1)
    }

    /// Takes over what the options of a SYN offer.
    pub(super) fn negotiate(&mut self, segment: &Segment<'_>) {
        let Some(offer) = segment.options.offer() else {
            return;
        };

        self.flags &= flag::BE_LIBERAL;
        if offer.sack_permitted {
            self.flags |= flag::SACK_PERM;
        }
        if offer.window_scale.is_some() {
            self.flags |= flag::WINDOW_SCALE;
        }
        self.scale = offer.window_scale.unwrap_or(0);
    }

    /// Starts over from a SYN or SYN-ACK.
    fn open(&mut self, receiver: &mut Sender, dir: Dir, segment: &Segment<'_>) {
        self.end = segment.end();
        self.max_end = segment.end();
        self.max_win = u32::from(segment.window).max(1);
        self.negotiate(segment);

        // RFC 7323, section 2.2: windows are scaled if both sides offered it.
        let scaling = self.has(flag::WINDOW_SCALE) && receiver.has(flag::WINDOW_SCALE);
        if dir == Dir::Reply && !scaling {
            self.scale = 0;
            receiver.scale = 0;
        }
    }

    /// Starts in the middle of a connection whose past is unknown.
    fn learn(&mut self, receiver: &mut Sender, segment: &Segment<'_>, sack: Seq) {
        self.end = segment.end();
        self.max_win = (u32::from(segment.window) << self.shift()).max(1);
        self.max_end = self.end.plus(self.max_win);

        if receiver.max_win == 0 {
            // Nothing from the other side so far: make (III) and (IV) hold until there is.
            receiver.end = sack;
            receiver.max_end = sack;
        } else if sack == receiver.not_sent() {
            // The answer to a keepalive, whose byte was not seen; for (III).
            receiver.end = sack;
        }
    }
}

/// The two sides as seen from a segment in direction `dir`: its sender and its receiver.
#[inline]
fn sides(seen: &mut [Sender; 2], dir: Dir) -> (&mut Sender, &mut Sender) {
    let [original, reply] = seen;
    match dir {
        Dir::Original => (original, reply),
        Dir::Reply => (reply, original),
    }
}

/// Checks (I) to (IV) and learns from a segment that meets them.
///
/// `seq_offset` is by how much NAT has shifted the numbers that the segment acknowledges. With
/// `liberal`, or if the sender is marked so, breaking a bound has no consequence. What is known of
/// the two sides may change with any outcome.
#[inline]
pub(super) fn check(
    tracking: &mut Tracking,
    dir: Dir,
    kind: Kind,
    segment: &Segment<'_>,
    seq_offset: i32,
    liberal: bool,
) -> Result<(), Outside> {
    let state = tracking.state;
    let (sender, receiver) = sides(&mut tracking.seen, dir);

    let mut seq = segment.seq;
    let mut end = segment.end();
    let mut ack = segment.ack;
    let mut sack = ack;
    if receiver.has(flag::SACK_PERM) {
        sack = segment.options.highest_sack(sack);
    }
    ack = untranslated(ack, seq_offset);
    sack = untranslated(sack, seq_offset);

    let syn = segment.flags.has(Flags::SYN);
    let acks = segment.flags.has(Flags::ACK);
    let rst = segment.flags.has(Flags::RST);

    if sender.max_win == 0 {
        if syn {
            sender.open(receiver, dir, segment);
            if !acks {
                // A simultaneous open: nothing to compare with.
                return Ok(());
            }
        } else {
            sender.learn(receiver, segment, sack);
        }
    } else if syn
        && end.after(sender.end)
        && (state == State::SynSent.raw() || state == State::SynRecv.raw())
    {
        // Another attempt to open, with numbers of its own (RFC 9293, section 3.4.3).
        sender.open(receiver, dir, segment);
        if dir == Dir::Reply && !acks {
            return Ok(());
        }
    }

    // Without ACK flag the number means nothing. Some stacks reset with the flag and a zero.
    if !acks || (rst && ack == Seq(0)) {
        ack = receiver.end;
        sack = receiver.end;
    }
    if rst && seq == Seq(0) && state == State::SynSent.raw() {
        // The answer to a SYN by one that has no numbers to use.
        seq = sender.end;
        end = sender.end;
    }

    // (I)
    if !seq.before(sender.beyond_room()) {
        return over_room(sender, receiver, end, sack, liberal);
    }
    // (III)
    if !sack.before(receiver.not_sent()) {
        let log = Log::AckOver(receiver.not_sent().0);
        return outside(sender, liberal, Outside::Invalid(log));
    }
    // (II), as far as the receiver's window is known
    if receiver.max_win != 0 && !end.after(sender.too_old(receiver)) {
        let log = Log::SeqUnder(sender.too_old(receiver).0);
        return outside(sender, liberal, Outside::Ignore(log));
    }
    // (IV)
    if !sack.after(receiver.long_acked(sender)) {
        let log = Log::AckUnder(receiver.long_acked(sender).0);
        return outside(sender, liberal, Outside::Ignore(log));
    }

    let mut window = u32::from(segment.window);
    if !syn {
        window <<= sender.shift();
    }

    // What the segment says about its sender.
    sender.max_win = sender.max_win.max(window.wrapping_add(sack.since(ack)));
    if end.after(sender.end) {
        sender.end = end;
        sender.flags |= flag::DATA_UNACKNOWLEDGED;
    }
    if acks && (!sender.has(flag::MAXACK_SET) || ack.after(sender.max_ack)) {
        sender.max_ack = ack;
        sender.flags |= flag::MAXACK_SET;
    }

    // What it says about the receiver.
    if receiver.max_win != 0 && end.after(sender.max_end) {
        receiver.max_win = receiver.max_win.wrapping_add(end.since(sender.max_end));
    }
    let room = sack.plus(window);
    if room.after(receiver.max_end.minus(1)) {
        // A probe of one byte is allowed into a closed window.
        receiver.max_end = if window == 0 { room.plus(1) } else { room };
    }
    if ack == receiver.end {
        receiver.flags &= !flag::DATA_UNACKNOWLEDGED;
    }

    if kind == Kind::Ack {
        count_repetition(tracking, dir, seq, ack, end, segment.window);
    }
    Ok(())
}

/// Whether a segment that was let through acknowledges all that was seen of its receiver, which is
/// known from a segment of that side's own.
#[inline]
pub(super) fn acknowledges_all(
    tracking: &Tracking,
    dir: Dir,
    segment: &Segment<'_>,
    seq_offset: i32,
) -> bool {
    let receiver = tracking.side(dir.opposite());
    segment.flags.has(Flags::ACK)
        && !segment.flags.has(Flags::RST)
        && receiver.max_win != 0
        && untranslated(segment.ack, seq_offset) == receiver.end
}

/// A number of the other direction, as it was before NAT shifted it by `offset`.
#[inline]
fn untranslated(number: Seq, offset: i32) -> Seq {
    Seq(number.0.wrapping_add_signed(offset.wrapping_neg()))
}

#[inline]
fn outside(sender: &Sender, liberal: bool, outside: Outside) -> Result<(), Outside> {
    if liberal || sender.has(flag::BE_LIBERAL) {
        Ok(())
    } else {
        Err(outside)
    }
}

/// A segment that breaks (I).
///
/// Some stacks send a bit more than the receiver offered. If only that is wrong, the data may
/// well arrive and be acknowledged, so remember its end; else (III) would fail from then on.
#[cold]
fn over_room(
    sender: &mut Sender,
    receiver: &Sender,
    end: Seq,
    sack: Seq,
    liberal: bool,
) -> Result<(), Outside> {
    let overshot = end.since(sender.max_end).wrapping_add(1);

    if receiver.max_win != 0
        && end.after(sender.too_old(receiver))
        && sack.after(receiver.long_acked(sender))
        && sack.before(receiver.not_sent())
        && overshot <= receiver.max_win
    {
        sender.end = end;
        sender.flags |= flag::DATA_UNACKNOWLEDGED;
        return outside(sender, liberal, Outside::Ignore(Log::Overshot(overshot)));
    }

    let log = Log::SeqOver(sender.beyond_room().0);
    outside(sender, liberal, Outside::Invalid(log))
}

/// Counts acknowledgements that say exactly what the one before said.
#[inline]
fn count_repetition(tracking: &mut Tracking, dir: Dir, seq: Seq, ack: Seq, end: Seq, window: u16) {
    if tracking.last_dir() == dir
        && tracking.last_seq == seq
        && tracking.last_ack == ack
        && tracking.last_end == end
        && tracking.last_win == window
    {
        // Wraps around like the byte that it is; the limit is a byte, too.
        tracking.retrans = tracking.retrans.wrapping_add(1);
    } else {
        tracking.set_last_dir(dir);
        tracking.last_seq = seq;
        tracking.last_ack = ack;
        tracking.last_end = end;
        tracking.last_win = window;
        tracking.retrans = 0;
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_tcp_window)
)]
mod tests {
    use super::super::super::super::wire::tcp::Options;
    use super::*;

    /// Where the numbers of the sender begin: at both ends of the number space, where the sign of
    /// differences changes, and so that every bound of [`connection`] wraps around once.
    const BASES: [u32; 8] = [
        0,
        1,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX,
        u32::MAX - 9_000,
        u32::MAX - 11_000,
        u32::MAX - 100_500,
    ];

    /// Numbers of one side of [`connection`], relative to its base.
    const SENT: u32 = 100_000;
    const ROOM: u32 = 102_000;
    /// The largest windows seen.
    const SENDER_WINDOW: u32 = 5_000;
    const RECEIVER_WINDOW: u32 = 3_000;

    /// An established connection in which the sender in direction `dir` began at `base`, and the
    /// other side at `other`.
    fn connection(dir: Dir, base: u32, other: u32) -> Tracking {
        let side = |base: u32, max_win| Sender {
            end: Seq(base).plus(SENT),
            max_end: Seq(base).plus(ROOM),
            max_win,
            ..Sender::default()
        };
        let mut tracking = Tracking {
            state: State::Established.raw(),
            last_index: Kind::None.raw(),
            ..Tracking::default()
        };
        let (sender, receiver) = sides(&mut tracking.seen, dir);
        *sender = side(base, SENDER_WINDOW);
        *receiver = side(other, RECEIVER_WINDOW);
        tracking
    }

    fn segment(flags: Flags, seq: Seq, ack: Seq, payload: u32) -> Segment<'static> {
        Segment {
            seq,
            ack,
            window: 1_000,
            flags,
            payload,
            options: Options::default(),
        }
    }

    fn strictly(tracking: &mut Tracking, dir: Dir, segment: &Segment<'_>) -> Result<(), Outside> {
        check(tracking, dir, segment.kind(), segment, 0, false)
    }

    /// Runs a data segment through a fresh [`connection`]: `seq` relative to the sender's base,
    /// `ack` to the receiver's.
    fn probe(dir: Dir, base: u32, seq: u32, payload: u32, ack: u32) -> Result<(), Outside> {
        let other = base.rotate_left(7).wrapping_add(12_345);
        let mut tracking = connection(dir, base, other);
        let segment = segment(
            Flags::ACK,
            Seq(base).plus(seq),
            Seq(other).plus(ack),
            payload,
        );
        strictly(&mut tracking, dir, &segment)
    }

    /// A bound as the log shows it.
    fn bound(base: u32, relative: u32) -> u32 {
        base.wrapping_add(relative)
    }

    #[test]
    fn bound_1_seq() {
        for dir in Dir::BOTH {
            for base in BASES {
                // On the bound, with and without data beyond it.
                assert!(probe(dir, base, ROOM, 0, SENT).is_ok());
                assert!(probe(dir, base, ROOM, 500, SENT).is_ok());
                // One beyond: tolerated up to a window of the receiver.
                let over = Outside::Ignore(Log::Overshot(2));
                assert!(probe(dir, base, ROOM + 1, 0, SENT) == Err(over));
                let most = Outside::Ignore(Log::Overshot(RECEIVER_WINDOW));
                let payload = RECEIVER_WINDOW - 2;
                assert!(probe(dir, base, ROOM + 1, payload, SENT) == Err(most));
                // One more byte.
                let over = Outside::Invalid(Log::SeqOver(bound(base, ROOM + 1)));
                assert!(probe(dir, base, ROOM + 1, payload + 1, SENT) == Err(over));
                // Or another bound broken as well.
                assert!(probe(dir, base, ROOM + 1, 0, SENT + 1) == Err(over));
                assert!(probe(dir, base, ROOM + 1, 0, SENT - ACK_WINDOW - 1) == Err(over));
            }
        }
    }

    #[test]
    fn bound_2_end() {
        const OLDEST: u32 = SENT - RECEIVER_WINDOW;
        for dir in Dir::BOTH {
            for base in BASES {
                assert!(probe(dir, base, OLDEST, 0, SENT).is_ok());
                assert!(probe(dir, base, OLDEST - 1, 1, SENT).is_ok());
                let under = Outside::Ignore(Log::SeqUnder(bound(base, OLDEST - 1)));
                assert!(probe(dir, base, OLDEST - 1, 0, SENT) == Err(under));
                assert!(probe(dir, base, OLDEST - 11, 10, SENT) == Err(under));
                assert!(probe(dir, base, OLDEST - 11, 11, SENT).is_ok());
            }
        }
    }

    #[test]
    fn bound_3_sack() {
        for dir in Dir::BOTH {
            for base in BASES {
                let other = base.rotate_left(7).wrapping_add(12_345);
                assert!(probe(dir, base, SENT, 10, SENT).is_ok());
                let over = Outside::Invalid(Log::AckOver(bound(other, SENT + 1)));
                assert!(probe(dir, base, SENT, 10, SENT + 1) == Err(over));
            }
        }
    }

    #[test]
    fn bound_4_sack() {
        for dir in Dir::BOTH {
            for base in BASES {
                let other = base.rotate_left(7).wrapping_add(12_345);
                assert!(probe(dir, base, SENT, 10, SENT - ACK_WINDOW).is_ok());
                let bound = bound(other, SENT - ACK_WINDOW - 1);
                let under = Outside::Ignore(Log::AckUnder(bound));
                assert!(probe(dir, base, SENT, 10, SENT - ACK_WINDOW - 1) == Err(under));
            }
        }
    }

    #[test]
    fn bound_4_with_a_larger_window() {
        for dir in Dir::BOTH {
            for base in BASES {
                for (window, oldest) in [(ACK_WINDOW, ACK_WINDOW), (ACK_WINDOW + 1, ACK_WINDOW + 1)]
                {
                    let mut tracking = connection(dir, base, base);
                    tracking.side_mut(dir).max_win = window;
                    let seq = Seq(base).plus(SENT);
                    let old = seq.minus(oldest);
                    let mut copy = tracking;
                    let good = segment(Flags::ACK, seq, old, 0);
                    assert!(strictly(&mut copy, dir, &good).is_ok());
                    let bad = segment(Flags::ACK, seq, old.minus(1), 0);
                    let under = Outside::Ignore(Log::AckUnder(old.minus(1).0));
                    assert!(strictly(&mut tracking, dir, &bad) == Err(under));
                }
            }
        }
    }

    #[test]
    fn bounds_are_asked_in_order() {
        // (I), (III), (II), (IV); a segment that breaks two is called after the first.
        let dir = Dir::Original;
        let first = probe(dir, 0, ROOM + 1, 0, SENT + 1);
        assert!(matches!(first, Err(Outside::Invalid(Log::SeqOver(_)))));
        let third = probe(dir, 0, 0, 0, SENT + 1);
        assert!(matches!(third, Err(Outside::Invalid(Log::AckOver(_)))));
        let second = probe(dir, 0, 0, 0, SENT - ACK_WINDOW - 1);
        assert!(matches!(second, Err(Outside::Ignore(Log::SeqUnder(_)))));
    }

    #[test]
    fn liberal() {
        let outside = [
            (ROOM + 1, 0, SENT),
            (ROOM + 1, RECEIVER_WINDOW, SENT),
            (0, 0, SENT),
            (SENT, 0, SENT + 1),
            (SENT, 0, SENT - ACK_WINDOW - 1),
        ];
        for dir in Dir::BOTH {
            for (seq, payload, ack) in outside {
                let segment = segment(Flags::ACK, Seq(seq), Seq(ack), payload);
                let mut strict = connection(dir, 0, 0);
                assert!(strictly(&mut strict, dir, &segment).is_err());

                let mut policy = connection(dir, 0, 0);
                assert!(check(&mut policy, dir, Kind::Ack, &segment, 0, true).is_ok());
                // It passes, but nothing is learned from it.
                assert!(policy == strict);

                let mut marked = connection(dir, 0, 0);
                marked.side_mut(dir).flags |= flag::BE_LIBERAL;
                assert!(strictly(&mut marked, dir, &segment).is_ok());

                // The mark counts for the side that bears it.
                let mut other = connection(dir, 0, 0);
                other.side_mut(dir.opposite()).flags |= flag::BE_LIBERAL;
                assert!(strictly(&mut other, dir, &segment).is_err());
            }
        }
    }

    #[test]
    fn overshooting_data_may_be_acknowledged() {
        for dir in Dir::BOTH {
            for base in BASES {
                let mut tracking = connection(dir, base, 7);
                let from = Seq(base).plus(ROOM + 1);
                let data = segment(Flags::ACK, from, Seq(7).plus(SENT), 100);
                assert!(strictly(&mut tracking, dir, &data).is_err());
                assert_eq!(tracking.side(dir).end, from.plus(100));
                assert!(tracking.side(dir).has(flag::DATA_UNACKNOWLEDGED));

                let ack = segment(Flags::ACK, Seq(7).plus(SENT), from.plus(100), 0);
                assert!(strictly(&mut tracking, dir.opposite(), &ack).is_ok());
                assert!(!tracking.side(dir).has(flag::DATA_UNACKNOWLEDGED));
            }
        }
    }

    #[test]
    fn without_ack_flag_the_number_means_nothing() {
        for dir in Dir::BOTH {
            let mut tracking = connection(dir, 0, 0);
            let odd = segment(Flags::RST, Seq(SENT), Seq(SENT + 99_999), 0);
            assert!(strictly(&mut tracking, dir, &odd).is_ok());
            // A reset with the flag and a zero counts as one without; a zero otherwise does not.
            let zero = segment(Flags::RST.with(Flags::ACK), Seq(SENT), Seq(0), 0);
            assert!(strictly(&mut tracking, dir, &zero).is_ok());
            let zero = segment(Flags::ACK, Seq(SENT), Seq(0), 0);
            assert!(strictly(&mut tracking, dir, &zero).is_err());
        }
    }

    #[test]
    fn reset_without_a_number() {
        // The answer to a SYN may have none; any other reset has to.
        for dir in Dir::BOTH {
            for state in State::ALL {
                let mut tracking = connection(dir, 0, 0);
                tracking.state = state.raw();
                let reset = segment(Flags::RST.with(Flags::ACK), Seq(0), Seq(SENT), 0);
                let taken = strictly(&mut tracking, dir, &reset).is_ok();
                assert!(taken == (state == State::SynSent));
                let acknowledgement = segment(Flags::ACK, Seq(0), Seq(SENT), 0);
                assert!(strictly(&mut tracking, dir, &acknowledgement).is_err());
            }
        }
    }

    #[test]
    fn translated_numbers() {
        for dir in Dir::BOTH {
            for offset in [1, -1, 1_000, i32::MAX, i32::MIN] {
                let mut tracking = connection(dir, 0, 0);
                let shifted = Seq(SENT.wrapping_add_signed(offset));
                let data = segment(Flags::ACK, Seq(SENT), shifted, 10);
                assert!(check(&mut tracking, dir, Kind::Ack, &data, offset, false).is_ok());
                assert_eq!(tracking.side(dir).max_ack, Seq(SENT));
                assert_eq!(tracking.last_ack, Seq(SENT));
                let beyond = segment(Flags::ACK, Seq(SENT), shifted.plus(1), 10);
                assert!(check(&mut tracking, dir, Kind::Ack, &beyond, offset, false).is_err());
            }
        }
    }

    #[test]
    fn selective_acknowledgements() {
        // One block that ends at `SENT` (0x186a0), while the acknowledgement is 80000 behind.
        let options = [1, 1, 5, 10, 0, 1, 0x80, 0, 0, 1, 0x86, 0xa0];
        for dir in Dir::BOTH {
            let mut data = segment(Flags::ACK, Seq(SENT), Seq(20_000), 10);
            data.options = Options::new(&options);

            // Not negotiated by the receiver: (IV) is broken.
            let mut without = connection(dir, 0, 0);
            let result = strictly(&mut without, dir, &data);
            assert!(matches!(result, Err(Outside::Ignore(Log::AckUnder(_)))));

            let mut with = connection(dir, 0, 0);
            with.side_mut(dir.opposite()).flags |= flag::SACK_PERM;
            assert!(strictly(&mut with, dir, &data).is_ok());
            // What is reported beyond the acknowledgement lies in the window.
            assert_eq!(with.side(dir).max_win, 1_000 + 80_000);
            assert_eq!(with.side(dir).max_ack, Seq(20_000));
            assert_eq!(with.side(dir.opposite()).max_end, Seq(ROOM));
        }
    }

    #[test]
    fn data_and_its_acknowledgement() {
        for dir in Dir::BOTH {
            for base in BASES {
                let peer = dir.opposite();
                let start = Seq(base).plus(SENT);
                let mut tracking = connection(dir, base, base);

                let data = segment(Flags::ACK, start, start, 100);
                assert!(strictly(&mut tracking, dir, &data).is_ok());
                assert_eq!(tracking.side(dir).end, start.plus(100));
                assert!(tracking.side(dir).has(flag::DATA_UNACKNOWLEDGED));
                assert!(tracking.side(dir).has(flag::MAXACK_SET));
                assert_eq!(tracking.side(dir).max_ack, start);

                // A part of it.
                let ack = segment(Flags::ACK, start, start.plus(50), 0);
                assert!(strictly(&mut tracking, peer, &ack).is_ok());
                assert!(tracking.side(dir).has(flag::DATA_UNACKNOWLEDGED));
                assert_eq!(tracking.side(peer).max_ack, start.plus(50));

                // All, with a window that reaches further than the one before.
                let mut ack = segment(Flags::ACK, start, start.plus(100), 0);
                ack.window = 3_000;
                assert!(strictly(&mut tracking, peer, &ack).is_ok());
                assert!(!tracking.side(dir).has(flag::DATA_UNACKNOWLEDGED));
                assert_eq!(tracking.side(dir).max_end, start.plus(3_100));

                // An old one changes nothing of that.
                let old = segment(Flags::ACK, start, start.plus(50), 0);
                assert!(strictly(&mut tracking, peer, &old).is_ok());
                assert_eq!(tracking.side(peer).max_ack, start.plus(100));
                assert_eq!(tracking.side(dir).max_end, start.plus(3_100));
            }
        }
    }

    #[test]
    fn data_beyond_the_room_widens_the_window() {
        for dir in Dir::BOTH {
            let mut tracking = connection(dir, 0, 0);
            let data = segment(Flags::ACK, Seq(ROOM), Seq(SENT), 700);
            assert!(strictly(&mut tracking, dir, &data).is_ok());
            assert_eq!(tracking.side(dir.opposite()).max_win, RECEIVER_WINDOW + 700);
            assert_eq!(tracking.side(dir).end, Seq(ROOM + 700));
        }
    }

    #[test]
    fn closed_window_has_room_for_a_probe() {
        for dir in Dir::BOTH {
            let peer = dir.opposite();
            let mut tracking = connection(dir, 0, 0);
            let mut ack = segment(Flags::ACK, Seq(SENT), Seq(SENT), 0);
            ack.window = 0;
            tracking.side_mut(dir).max_end = Seq(SENT);
            assert!(strictly(&mut tracking, peer, &ack).is_ok());
            assert_eq!(tracking.side(dir).max_end, Seq(SENT + 1));
        }
    }

    #[test]
    fn windows_are_scaled_except_in_a_syn() {
        for dir in Dir::BOTH {
            for (scale, window) in [(0, 1_000), (7, 128_000), (14, 16_384_000), (99, 16_384_000)] {
                let mut tracking = connection(dir, 0, 0);
                tracking.side_mut(dir).scale = scale;
                let ack = segment(Flags::ACK, Seq(SENT), Seq(SENT), 0);
                assert!(strictly(&mut tracking, dir, &ack).is_ok());
                assert_eq!(tracking.side(dir).max_win, SENDER_WINDOW.max(window));
                let peer = tracking.side(dir.opposite());
                assert_eq!(peer.max_end, Seq(ROOM.max(SENT + window)));

                let mut tracking = connection(dir, 0, 0);
                tracking.side_mut(dir).scale = scale;
                let syn = segment(Flags::SYN.with(Flags::ACK), Seq(SENT - 1), Seq(SENT), 0);
                assert!(strictly(&mut tracking, dir, &syn).is_ok());
                assert_eq!(tracking.side(dir).max_win, SENDER_WINDOW);
            }
        }
    }

    #[test]
    fn repetitions() {
        for dir in Dir::BOTH {
            let mut tracking = connection(dir, 0, 0);
            let data = segment(Flags::ACK, Seq(SENT), Seq(SENT), 100);
            for expected in 0..4 {
                assert!(strictly(&mut tracking, dir, &data).is_ok());
                assert_eq!(tracking.retrans, expected);
            }
            tracking.retrans = 255;
            assert!(strictly(&mut tracking, dir, &data).is_ok());
            assert_eq!(tracking.retrans, 0);

            // Whatever differs ends the series.
            let differing = [
                segment(Flags::ACK, Seq(SENT + 1), Seq(SENT), 99),
                segment(Flags::ACK, Seq(SENT), Seq(SENT - 1), 100),
                segment(Flags::ACK, Seq(SENT), Seq(SENT), 99),
                Segment {
                    window: 999,
                    ..data
                },
            ];
            for other in differing {
                assert!(strictly(&mut tracking, dir, &other).is_ok());
                assert!(strictly(&mut tracking, dir, &data).is_ok());
                assert!(strictly(&mut tracking, dir, &data).is_ok());
                assert_eq!(tracking.retrans, 1);
                assert!(strictly(&mut tracking, dir, &other).is_ok());
                assert_eq!(tracking.retrans, 0);
            }
            // The other direction, with the same numbers, too.
            assert!(strictly(&mut tracking, dir, &data).is_ok());
            assert!(strictly(&mut tracking, dir, &data).is_ok());
            assert!(strictly(&mut tracking, dir.opposite(), &data).is_ok());
            assert_eq!(tracking.retrans, 0);
            assert_eq!(tracking.last_dir(), dir.opposite());
        }
    }

    #[test]
    fn only_acknowledgements_repeat() {
        for dir in Dir::BOTH {
            let mut tracking = connection(dir, 0, 0);
            let fin = segment(Flags::FIN.with(Flags::ACK), Seq(SENT), Seq(SENT), 0);
            assert!(strictly(&mut tracking, dir, &fin).is_ok());
            assert!(strictly(&mut tracking, dir, &fin).is_ok());
            assert_eq!(tracking.retrans, 0);
            assert_eq!(tracking.last_seq, Seq(0));
        }
    }

    #[test]
    fn windows_are_learned_anew() {
        for dir in Dir::BOTH {
            for base in BASES {
                let peer = dir.opposite();
                let start = Seq(base).plus(5_000_000);
                let mut tracking = connection(dir, base, base);
                tracking.side_mut(dir).max_win = 0;
                tracking.side_mut(dir).scale = 2;
                tracking.side_mut(peer).max_win = 0;

                // Far away from all that was known.
                let data = segment(Flags::ACK, start, start, 100);
                assert!(strictly(&mut tracking, dir, &data).is_ok());
                let sender = *tracking.side(dir);
                assert_eq!(sender.end, start.plus(100));
                assert_eq!(sender.max_end, start.plus(100 + 4_000));
                assert_eq!(sender.max_win, 4_000);
                assert_eq!(tracking.side(peer).end, start);
                assert_eq!(tracking.side(peer).max_end, start.plus(4_000));

                // Then the other side.
                let ack = segment(Flags::ACK, start, start.plus(100), 0);
                assert!(strictly(&mut tracking, peer, &ack).is_ok());
                assert_eq!(tracking.side(peer).max_win, 1_000);
                assert_eq!(tracking.side(peer).end, start);
            }
        }
    }

    #[test]
    fn keepalive_answered_by_one_who_is_learned() {
        for dir in Dir::BOTH {
            for (beyond, passes) in [(0, true), (1, true), (2, false)] {
                let mut tracking = connection(dir, 0, 0);
                tracking.side_mut(dir).max_win = 0;
                let ack = segment(Flags::ACK, Seq(SENT), Seq(SENT + beyond), 0);
                assert_eq!(strictly(&mut tracking, dir, &ack).is_ok(), passes);
            }
        }
    }

    #[test]
    fn scaling_takes_two() {
        const SCALE: &[u8] = &[3, 3, 7, 0];
        for (mine, theirs, scales) in [
            (SCALE, SCALE, [7, 7]),
            (SCALE, &[][..], [0, 0]),
            (&[][..], SCALE, [0, 0]),
            (&[][..], &[][..], [0, 0]),
        ] {
            let mut tracking = Tracking {
                state: State::SynSent.raw(),
                ..Tracking::default()
            };
            let mut syn = segment(Flags::SYN, Seq(10), Seq(0), 0);
            syn.options = Options::new(mine);
            assert!(strictly(&mut tracking, Dir::Original, &syn).is_ok());
            let mut answer = segment(Flags::SYN.with(Flags::ACK), Seq(90), Seq(11), 0);
            answer.options = Options::new(theirs);
            assert!(strictly(&mut tracking, Dir::Reply, &answer).is_ok());
            assert_eq!(tracking.side(Dir::Original).scale, scales[0]);
            assert_eq!(tracking.side(Dir::Reply).scale, scales[1]);
        }
    }

    #[test]
    fn another_attempt_to_open() {
        for (state, starts_over) in [
            (State::SynSent, true),
            (State::SynRecv, true),
            (State::Established, false),
        ] {
            let mut tracking = connection(Dir::Original, 0, 0);
            tracking.state = state.raw();
            let syn = segment(Flags::SYN, Seq(SENT), Seq(0), 0);
            assert!(strictly(&mut tracking, Dir::Original, &syn).is_ok());
            let sender = tracking.side(Dir::Original);
            assert_eq!(sender.end, Seq(SENT + 1));
            assert!((sender.max_win == 1_000) == starts_over);
            assert!((sender.max_end == Seq(SENT + 1)) == starts_over);
        }
        // An answer is checked all the same, an opening from the other side has nothing to check.
        for (flags, passes) in [(Flags::SYN.with(Flags::ACK), false), (Flags::SYN, true)] {
            let mut tracking = connection(Dir::Reply, 0, 0);
            tracking.state = State::SynSent.raw();
            let answer = segment(flags, Seq(SENT), Seq(SENT + 9), 0);
            assert!(strictly(&mut tracking, Dir::Reply, &answer).is_ok() == passes);
            assert_eq!(tracking.side(Dir::Reply).max_win, 1_000);
        }
        // Not with a number that was used.
        let mut tracking = connection(Dir::Original, 0, 0);
        tracking.state = State::SynSent.raw();
        let syn = segment(Flags::SYN, Seq(SENT - 1), Seq(0), 0);
        assert!(strictly(&mut tracking, Dir::Original, &syn).is_ok());
        assert_eq!(tracking.side(Dir::Original).max_win, SENDER_WINDOW);
    }

    #[test]
    fn any_bytes_are_legal() {
        // Every byte of the two sides and the rest that others may write.
        for raw in 0..=255 {
            for dir in Dir::BOTH {
                let mut tracking = connection(dir, 0, 0);
                for side in Dir::BOTH {
                    tracking.side_mut(side).scale = raw;
                    tracking.side_mut(side).flags = raw;
                }
                tracking.state = raw;
                tracking.last_dir = raw;
                tracking.last_index = raw;
                tracking.retrans = raw;
                for flags in [
                    Flags::SYN,
                    Flags::ACK,
                    Flags::RST,
                    Flags::FIN.with(Flags::ACK),
                ] {
                    let data = segment(flags, Seq(SENT), Seq(SENT), u32::MAX);
                    let _ = strictly(&mut tracking, dir, &data);
                }
            }
        }
    }
}
