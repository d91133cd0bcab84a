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
