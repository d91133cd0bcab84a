// SPDX-License-Identifier: GPL-2.0

//! The TCP tracker.
//!
//! [`open`] makes of a first segment what is known about a connection, [`step`] takes it on with
//! every further one. A segment passes the [`table`] first, which names the state that would
//! follow, then the window (`window`), and only then does the state change. Not for offloaded
//! connections, whose segments do not come by; after offload the windows are zero and are learned
//! anew.
//!
//! C counterpart: `net/netfilter/nf_conntrack_proto_tcp.c`.

use core::ffi::CStr;
use core::fmt;

use super::super::num::Dir;
use super::super::num::Seq;
use super::super::policy::probe::Notes;
use super::super::wire::tcp::Flags;
use super::super::wire::tcp::Kind;
use super::super::wire::tcp::Segment;
use super::super::wire::tcp::MAX_WINDOW_SCALE;

pub mod table;
mod window;

pub use table::State;

use table::Next;
use window::Outside;

/// Bits of [`Sender::flags`] and [`Tracking::last_flags`] (`IP_CT_TCP_FLAG_*`).
pub mod flag {
    /// This side offered window scaling.
    pub const WINDOW_SCALE: u8 = 0x01;
    /// This side may be sent selective acknowledgements.
    pub const SACK_PERM: u8 = 0x02;
    /// This side sent its FIN first.
    pub const CLOSE_INIT: u8 = 0x04;
    /// Segments of this side pass whatever the window says; set by others, too, without a lock.
    pub const BE_LIBERAL: u8 = 0x08;
    /// This side sent data that is not acknowledged.
    pub const DATA_UNACKNOWLEDGED: u8 = 0x10;
    /// [`super::Sender::max_ack`] has a meaning.
    pub const MAXACK_SET: u8 = 0x20;
    /// In [`super::Tracking::last_flags`]: the next acknowledgement may be a challenge (RFC 5961)
    /// to the SYN that was let through.
    pub const EXP_CHALLENGE_ACK: u8 = 0x40;
    /// In [`super::Tracking::last_flags`]: both sides sent a SYN.
    pub const SIMULTANEOUS_OPEN: u8 = 0x80;
}

/// What is known of one side as a sender. Same layout as `struct ip_ct_tcp_state`.
///
/// Any content is legal; all zero is a side from which nothing was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sender {
    /// The number behind all that it sent.
    pub end: Seq,
    /// The number behind all that the other side offered room for.
    pub max_end: Seq,
    /// The largest window it ever advertised, in bytes; zero if the windows of this side are to
    /// be learned from its next segment.
    pub max_win: u32,
    /// The highest number it acknowledged.
    pub max_ack: Seq,
    /// The shift of its windows.
    pub scale: u8,
    /// See [`flag`].
    pub flags: u8,
    /// The number of the device by which its last segment came in, for probing, or zero. C has
    /// nothing there.
    pub ingress: u16,
}

impl Sender {
    /// Forgets all but the order to be liberal.
    fn reset(&mut self) {
        *self = Sender {
            flags: self.flags & flag::BE_LIBERAL,
            ..Sender::default()
        };
    }
}

/// What is known about a connection. Same layout as `struct ip_ct_tcp`, and a word behind it.
///
/// Others write into it (flow tables, ctnetlink, synproxy), so any content is legal: each byte
/// that stands for something is checked when it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tracking {
    /// The sides, by direction.
    pub seen: [Sender; 2],
    /// See [`State`].
    pub state: u8,
    /// The direction of the last segment that counted.
    pub last_dir: u8,
    /// How many times the last acknowledgement came again.
    pub retrans: u8,
    /// The kind of the last segment that counted.
    pub last_index: u8,
    /// Its sequence number.
    pub last_seq: Seq,
    /// The number that it acknowledged.
    pub last_ack: Seq,
    /// The number behind it.
    pub last_end: Seq,
    /// Its window as advertised, not scaled.
    pub last_win: u16,
    /// The shift that a SYN which was let through offered.
    pub last_wscale: u8,
    /// What else that SYN offered, see [`flag`].
    pub last_flags: u8,
    /// For probing. C has nothing there.
    pub probing: Notes,
}

impl Tracking {
    #[inline]
    fn last_dir(&self) -> Dir {
        Dir::from_raw(self.last_dir)
    }

    #[inline]
    pub(in super::super) fn set_last_dir(&mut self, dir: Dir) {
        self.last_dir = match dir {
            Dir::Original => 0,
            Dir::Reply => 1,
        };
    }

    #[inline]
    fn last_is(&self, kind: Kind) -> bool {
        self.last_index == kind.raw()
    }

    #[inline]
    fn set_last(&mut self, kind: Kind, dir: Dir) {
        self.last_index = kind.raw();
        self.set_last_dir(dir);
    }

    /// What is known of the side that sends in direction `dir`.
    #[inline]
    pub fn side(&self, dir: Dir) -> &Sender {
        let [original, reply] = &self.seen;
        match dir {
            Dir::Original => original,
            Dir::Reply => reply,
        }
    }

    /// As [`Tracking::side`], to change it.
    #[inline]
    pub fn side_mut(&mut self, dir: Dir) -> &mut Sender {
        let [original, reply] = &mut self.seen;
        match dir {
            Dir::Original => original,
            Dir::Reply => reply,
        }
    }

    /// The flags that at least one side has.
    #[inline]
    fn any_flags(&self) -> u8 {
        self.side(Dir::Original).flags | self.side(Dir::Reply).flags
    }

    /// Ends the connection at the order of one who knows, such as a load balancer that saw the
    /// reset. Whether the timeout is to become that of [`State::Close`], with an event about the
    /// change of state.
    pub fn set_closing(&mut self, fixed_timeout: bool) -> bool {
        let before = self.state;
        self.state = State::Close.raw();
        before != State::Close.raw() && !fixed_timeout
    }

    /// Lets an established connection learn its windows anew: segments may have gone by while
    /// nobody looked.
    pub fn forget_windows(&mut self) {
        if self.state == State::Established.raw() {
            self.side_mut(Dir::Original).max_win = 0;
            self.side_mut(Dir::Reply).max_win = 0;
        }
    }

    /// Applies an order from ctnetlink.
    pub fn edit(&mut self, edit: &Edit) {
        if let Some(state) = edit.state {
            self.state = state;
        }

        for dir in Dir::BOTH {
            let [original, reply] = edit.flags;
            let order = match dir {
                Dir::Original => original,
                Dir::Reply => reply,
            };
            if let Some((flags, mask)) = order {
                let side = self.side_mut(dir);
                side.flags = (side.flags & !mask) | (flags & mask);
            }
        }

        let both = self.side(Dir::Original).flags & self.side(Dir::Reply).flags;
        if let [Some(original), Some(reply)] = edit.scale {
            if both & flag::WINDOW_SCALE != 0 {
                self.side_mut(Dir::Original).scale = original;
                self.side_mut(Dir::Reply).scale = reply;
            }
        }
    }
}

/// An order to change what is known (`CTA_PROTOINFO_TCP_*`), as far as it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// The state, at most [`State::SynSent2`] by netlink policy.
    pub state: Option<u8>,
    /// Flags and which of them to change, by direction.
    pub flags: [Option<(u8, u8)>; 2],
    /// Shifts, at most 14 by netlink policy; taken if both are given and both sides scale.
    pub scale: [Option<u8>; 2],
}

/// Which timeout: those of the states, and two more. The number is that of
/// `enum tcp_conntrack`, where the one of [`State::None`] mirrors that of [`State::SynSent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u8);

impl Slot {
    /// How many slots there are (`TCP_CONNTRACK_TIMEOUT_MAX`).
    pub const COUNT: usize = 14;

    /// After [`Policy::max_retrans`] repetitions, or a closed window.
    pub const RETRANS: Slot = Slot(12);

    /// While data is not acknowledged, or too little is known to trust.
    pub const UNACK: Slot = Slot(13);

    /// That of a state.
    #[inline]
    pub const fn of(state: State) -> Slot {
        Slot(state.raw())
    }

    /// Its place in an array of [`Slot::COUNT`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How strict to be; from sysctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The window decides about resets only (`nf_conntrack_tcp_be_liberal`).
    pub liberal: bool,
    /// Resets with old numbers are taken (`nf_conntrack_tcp_ignore_invalid_rst`).
    pub ignore_invalid_rst: bool,
    /// Repetitions from which on [`Slot::RETRANS`] counts (`nf_conntrack_tcp_max_retrans`).
    pub max_retrans: u8,
}

impl Default for Policy {
    /// What a network namespace begins with.
    fn default() -> Self {
        Policy {
            liberal: false,
            ignore_invalid_rst: false,
            max_retrans: 3,
        }
    }
}

/// What the entry of the connection says besides [`Tracking`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The other side has answered (`IPS_SEEN_REPLY`), before this segment.
    pub seen_reply: bool,
    /// The connection has proved itself (`IPS_ASSURED`).
    pub assured: bool,
    /// Nobody but ctnetlink changes the timeout (`IPS_FIXED_TIMEOUT`).
    pub fixed_timeout: bool,
    /// A synproxy stands between the sides.
    pub synproxy: bool,
    /// Ticks until the entry expires; zero if it has.
    pub remaining: u32,
}

/// What a step depends on besides the connection and the segment.
#[derive(Clone, Copy, Debug)]
pub struct Env<T> {
    /// How strict to be.
    pub policy: Policy,
    /// What the entry says.
    pub entry: Entry,
    /// By how much NAT shifted the numbers that this segment acknowledges: the offset of the
    /// opposite direction at the number before [`Segment::ack`].
    pub seq_offset: i32,
    /// Ticks per second.
    pub hz: u32,
    /// A `Fn(Slot) -> u32`: timeouts in ticks.
    pub timeout: T,
}

/// Why a first segment makes no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Connections do not begin like this.
    InvalidNew,
    /// It may belong to a connection that was there before, but such are not picked up.
    NotPickedUp,
}

impl Refused {
    /// The text for the log of invalid packets, if there is one.
    pub const fn text(self) -> Option<&'static CStr> {
        match self {
            Refused::InvalidNew => Some(c"invalid new"),
            Refused::NotPickedUp => None,
        }
    }
}

/// What a step amounts to.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What becomes of the segment and the entry.
    pub verdict: Verdict,
    /// Listeners want to know that the state has changed (`IPCT_PROTOINFO`).
    pub protoinfo: bool,
    /// The connection has just proved itself: set `IPS_ASSURED` and tell (`IPCT_ASSURED`).
    pub assured: bool,
    /// The sender has acknowledged all that was seen of the other side, by a number that it could
    /// not choose (see [`policy::proof`](super::super::policy::proof)).
    pub acked: bool,
    /// What the log of invalid packets says.
    pub log: Option<Log>,
}

/// What becomes of a segment and the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass; count it, the entry expires so many ticks from now.
    Refresh(u32),
    /// Pass; neither counted nor a reason for the entry to live on.
    Pass,
    /// Pass; count it and delete the entry.
    KillAndPass,
    /// Delete the entry and begin again; if somebody else is deleting it already, drop.
    KillAndRepeat,
    /// No part of the connection.
    Invalid {
        /// The entry expires so many ticks from now, which is earlier than before; for the log,
        /// [`Log::LoweredTimeout`] comes after [`Step::log`].
        shorten: Option<u32>,
    },
}

impl Step {
    #[inline]
    const fn pass(log: Option<Log>) -> Step {
        Step {
            verdict: Verdict::Pass,
            protoinfo: false,
            assured: false,
            acked: false,
            log,
        }
    }

    #[inline]
    const fn invalid(log: Log, shorten: Option<u32>) -> Step {
        Step {
            verdict: Verdict::Invalid { shorten },
            protoinfo: false,
            assured: false,
            acked: false,
            log: Some(log),
        }
    }
}

/// Why a segment was not taken for what it says; the text is for the log of invalid packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// (I) is broken by that many bytes, and nothing else.
    Overshot(u32),
    /// (I) is broken; with the bound.
    SeqOver(u32),
    /// (II) is broken; with the bound.
    SeqUnder(u32),
    /// (III) is broken; with the bound.
    AckOver(u32),
    /// (IV) is broken; with the bound.
    AckUnder(u32),
    /// The table has it ignored.
    Ignored(Cell),
    /// The table has it invalid.
    Invalid(Cell),
    /// An answer to a SYN that should not have come (RFC 5961).
    ChallengeAck,
    /// A reset with an old number.
    InvalidRst,
    /// The entry expires earlier.
    LoweredTimeout,
}

/// A place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    kind: Kind,
    dir: Dir,
    state: u8,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "packet (index {}) in dir {}",
            self.kind.raw(),
            self.dir.index()
        )
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Log::Overshot(bytes) => write!(f, "{bytes} bytes more than expected"),
            Log::SeqOver(bound) => write!(
                f,
                "SEQ is over upper bound {bound} (over the window of the receiver)"
            ),
            Log::SeqUnder(bound) => write!(
                f,
                "SEQ is under lower bound {bound} (already ACKed data retransmitted)"
            ),
            Log::AckOver(bound) => write!(
                f,
                "ACK is over upper bound {bound} (ACKed data not seen yet)"
            ),
            Log::AckUnder(bound) => write!(
                f,
                "ignored ACK under lower bound {bound} (possible overly delayed)"
            ),
            Log::Ignored(cell) => write!(f, "{cell} ignored, state {}", state_name(cell.state)),
            Log::Invalid(cell) => write!(f, "{cell} invalid, state {}", state_name(cell.state)),
            Log::ChallengeAck => f.write_str("challenge-ack ignored"),
            Log::InvalidRst => f.write_str("invalid rst"),
            Log::LoweredTimeout => f.write_str("lowered timeout to UNACK"),
        }
    }
}

/// The name of the state that a byte of `struct ip_ct_tcp` denotes.
pub fn state_name(raw: u8) -> &'static str {
    State::from_raw(raw).map_or("UNKNOWN", State::name)
}

/// Whether little is lost if the entry of a connection in this state goes early.
#[inline]
pub fn can_early_drop(raw_state: u8) -> bool {
    State::from_raw(raw_state).is_some_and(State::closing)
}

/// Whether both sides have agreed to the connection, and neither to its end.
#[inline]
pub const fn is_established(raw_state: u8, assured: bool) -> bool {
    raw_state == State::Established.raw() && assured
}

/// Makes a connection of its first segment; [`step`] with the same segment comes next.
///
/// `loose` allows to pick up connections that were there before (`nf_conntrack_tcp_loose`).
///
/// # Errors
///
/// Those of [`Refused`]; the segment is no part of any connection then.
pub fn open(segment: &Segment<'_>, loose: bool) -> Result<Tracking, Refused> {
    let Next::To(state) = table::next(Dir::Original, segment.kind(), State::None) else {
        return Err(Refused::InvalidNew);
    };

    let mut tracking = Tracking {
        last_index: Kind::None.raw(),
        ..Tracking::default()
    };
    let [original, reply] = &mut tracking.seen;

    original.end = segment.end();
    original.max_end = segment.end();
    original.max_win = u32::from(segment.window).max(1);

    if state == State::SynSent {
        original.negotiate(segment);
    } else if loose {
        original.max_end = original.end.plus(original.max_win);
        // What was offered is not known: assume selective acknowledgements, and that the windows
        // are scaled by an unknown shift.
        original.flags = flag::SACK_PERM | flag::BE_LIBERAL;
        reply.flags = original.flags;
    } else {
        return Err(Refused::NotPickedUp);
    }
    Ok(tracking)
}

/// Takes a connection on by a segment in direction `dir`.
///
/// `tracking` may change whatever the verdict is. The segment's flags are to be valid, see
/// [`Segment::flags_valid`].
#[inline]
pub fn step<T: Fn(Slot) -> u32>(
    tracking: &mut Tracking,
    dir: Dir,
    segment: &Segment<'_>,
    env: &Env<T>,
) -> Step {
    let kind = segment.kind();
    let Passage { from, to, window } = match passage(tracking, dir, kind, segment, env) {
        Ok(passage) => passage,
        Err(step) => return step,
    };

    if window {
        let checked = window::check(
            tracking,
            dir,
            kind,
            segment,
            env.seq_offset,
            env.policy.liberal,
        );
        match checked {
            Ok(()) => {}
            Err(Outside::Ignore(log)) => return Step::pass(Some(log)),
            Err(Outside::Invalid(log)) => {
                return Step::invalid(log, shorten(tracking, dir, kind, env));
            }
        }
    }

    tracking.set_last(kind, dir);
    tracking.state = to.raw();
    if from != to && to == State::FinWait {
        tracking.side_mut(dir).flags |= flag::CLOSE_INIT;
    }
    let acked = window::acknowledges_all(tracking, dir, segment, env.seq_offset);
    Step {
        acked,
        ..conclude(tracking, kind, segment, env, from, to)
    }
}

/// A transition that the table allows.
struct Passage {
    /// The state before.
    from: State,
    /// The state that follows.
    to: State,
    /// Whether the window is to be asked.
    window: bool,
}

/// Asks the table, and knows the cases for which a table is too simple.
#[inline]
fn passage<T>(
    tracking: &mut Tracking,
    dir: Dir,
    kind: Kind,
    segment: &Segment<'_>,
    env: &Env<T>,
) -> Result<Passage, Step> {
    let Some(from) = State::from_raw(tracking.state) else {
        return Err(invalid_cell(tracking, dir, kind));
    };
    let mut passage = match table::next(dir, kind, from) {
        Next::To(to) => Passage {
            from,
            to,
            window: true,
        },
        Next::Ignore => return ignored(tracking, dir, kind, segment, from),
        Next::Invalid => return Err(not_in_table(tracking, dir, kind, segment, env, from)),
    };

    match passage.to {
        State::SynSent if matches!(from, State::TimeWait | State::Close | State::SynSent2) => {
            if reopens(tracking, dir) {
                return Err(Step {
                    verdict: Verdict::KillAndRepeat,
                    ..Step::pass(None)
                });
            }
            return ignored(tracking, dir, kind, segment, from);
        }
        State::TimeWait
            if from == State::LastAck && kind == Kind::Ack && take_challenge(tracking, dir) =>
        {
            return Err(Step::pass(Some(Log::ChallengeAck)));
        }
        State::SynSent2 => tracking.last_flags |= flag::SIMULTANEOUS_OPEN,
        State::SynRecv
            if dir == Dir::Reply
                && kind == Kind::Ack
                && tracking.last_flags & flag::SIMULTANEOUS_OPEN != 0 =>
        {
            // The table does not know that the SYN-ACK of this side was seen before.
            passage.to = State::Established;
        }
        State::Close if kind == Kind::Rst => {
            return reset(tracking, dir, segment, env, from);
        }
        _ => {}
    }
    Ok(passage)
}

#[cold]
fn invalid_cell(tracking: &Tracking, dir: Dir, kind: Kind) -> Step {
    let cell = Cell {
        kind,
        dir,
        state: tracking.state,
    };
    Step::invalid(Log::Invalid(cell), None)
}

/// A segment that the table has invalid.
#[cold]
fn not_in_table<T>(
    tracking: &Tracking,
    dir: Dir,
    kind: Kind,
    segment: &Segment<'_>,
    env: &Env<T>,
    from: State,
) -> Step {
    // If the SYN from a synproxy to the server or its answer is lost, the keepalive of the client,
    // whose own handshake is done, is what makes the proxy send it again.
    if env.entry.synproxy
        && from == State::SynSent
        && kind == Kind::Ack
        && dir == Dir::Original
        && tracking.last_dir() == Dir::Original
        && tracking.side(dir).end.minus(1) == segment.seq
    {
        return Step::pass(None);
    }
    invalid_cell(tracking, dir, kind)
}

/// Whether a SYN to a connection that is over makes a new one in its place: if it was closed in
/// order, or if the sender of the SYN has aborted it.
///
/// RFC 9293, section 3.6.1, has conditions for this; they do not matter here, because the
/// endpoint, not the tracker, is in TIME-WAIT.
fn reopens(tracking: &Tracking, dir: Dir) -> bool {
    tracking.any_flags() & flag::CLOSE_INIT != 0
        || (tracking.last_dir() == dir && tracking.last_is(Kind::Rst))
}

/// Whether an ACK that seems to be the last one is a challenge (RFC 5961) to a SYN that was let
/// through, in which case it says nothing about the FIN. There is one challenge per SYN.
fn take_challenge(tracking: &mut Tracking, dir: Dir) -> bool {
    let challenge = tracking.last_dir() != dir
        && tracking.last_is(Kind::Syn)
        && tracking.last_flags & flag::EXP_CHALLENGE_ACK != 0;
    if challenge {
        tracking.last_flags &= !flag::EXP_CHALLENGE_ACK;
    }
    challenge
}

/// A segment that is to pass because what is known may be wrong: a SYN in original direction, a
/// SYN-ACK in reply to what may have been such a SYN, or an ACK that may answer one.
///
/// Notes what the answer can be recognised by. If this is the answer, a SYN-ACK to the noted SYN,
/// the endpoints are opening a connection and the tracker follows.
#[cold]
fn ignored(
    tracking: &mut Tracking,
    dir: Dir,
    kind: Kind,
    segment: &Segment<'_>,
    from: State,
) -> Result<Passage, Step> {
    if kind == Kind::SynAck
        && tracking.last_is(Kind::Syn)
        && tracking.last_dir() != dir
        && segment.ack == tracking.last_end
    {
        resync(tracking, dir);
        return Ok(Passage {
            from: State::SynSent,
            to: State::SynRecv,
            window: true,
        });
    }

    tracking.set_last(kind, dir);
    tracking.last_seq = segment.seq;
    tracking.last_end = segment.end();
    tracking.last_win = segment.window;

    if kind == Kind::Syn && dir == Dir::Original {
        let offer = segment.options.offer().unwrap_or_default();
        tracking.last_wscale = offer.window_scale.unwrap_or(0);
        tracking.last_flags = 0;
        if offer.window_scale.is_some() {
            tracking.last_flags |= flag::WINDOW_SCALE;
        }
        if offer.sack_permitted {
            tracking.last_flags |= flag::SACK_PERM;
        }
        if from == State::LastAck {
            tracking.last_flags |= flag::EXP_CHALLENGE_ACK;
        }
    }
    if kind == Kind::Ack && dir == Dir::Reply && from == State::SynSent {
        // If it was a challenge, the reset that answers it bears this number.
        tracking.last_ack = segment.ack;
    }

    let cell = Cell {
        kind,
        dir,
        state: from.raw(),
    };
    Err(Step::pass(Some(Log::Ignored(cell))))
}

/// Starts over from the SYN that was let through, now that a SYN-ACK in direction `dir` has
/// answered it. The side that answers is learned from that answer.
fn resync(tracking: &mut Tracking, dir: Dir) {
    tracking.last_flags &= !flag::EXP_CHALLENGE_ACK;

    let noted = *tracking;
    let opener = tracking.side_mut(dir.opposite());
    opener.end = noted.last_end;
    opener.max_end = noted.last_end;
    opener.max_win = u32::from(noted.last_win).max(1);
    opener.scale = noted.last_wscale;
    opener.flags = noted.last_flags;

    tracking.side_mut(dir).reset();
}

/// A reset; decides whether it is one, whether it ends the connection, and whether the window has
/// a say.
#[cold]
fn reset<T>(
    tracking: &Tracking,
    dir: Dir,
    segment: &Segment<'_>,
    env: &Env<T>,
    from: State,
) -> Result<Passage, Step> {
    let close = |window| Passage {
        from,
        to: State::Close,
        window,
    };
    let mut passage = close(true);

    // The ports of a connection that is over may be in use again, and then all that is known is
    // out of date. Its entry can go at any time anyway.
    if from.closing() {
        return Ok(close(false));
    }

    let peer = tracking.side(dir.opposite());
    // After a SYN that was let through, the highest number may be out of date.
    if peer.flags & flag::MAXACK_SET != 0 && !tracking.last_is(Kind::Syn) {
        let established = is_established(from.raw(), env.entry.assured);

        // Most likely the answer to a SYN that was let through, even if an ACK came in between.
        if segment.seq == Seq(0) && !established {
            return Ok(passage);
        }
        if segment.seq.before(peer.max_ack) && !env.policy.ignore_invalid_rst {
            return Err(Step::invalid(Log::InvalidRst, None));
        }
        if !established || segment.seq == peer.max_ack {
            return Ok(passage);
        }
        // Right behind the data of the same sender.
        if tracking.last_is(Kind::Ack)
            && tracking.last_dir() == dir
            && segment.seq == tracking.last_end
        {
            return Ok(passage);
        }
        // Not the number that the receiver expects, so it may answer with a challenge (RFC 5961)
        // and go on.
        passage.to = from;
    }

    // The answer to a SYN or, while half open, to an ACK that was let through. It may acknowledge
    // what the window does not know of.
    let answers_syn =
        env.entry.seen_reply && tracking.last_is(Kind::Syn) && tracking.last_dir() != dir;
    let answers_ack = !env.entry.assured && tracking.last_is(Kind::Ack);
    if (answers_syn || answers_ack) && segment.ack == tracking.last_end {
        passage.window = false;
    }

    // The answer to a challenge that was let through.
    if from == State::SynSent
        && tracking.last_is(Kind::Ack)
        && tracking.last_dir() == Dir::Reply
        && segment.seq == tracking.last_ack
    {
        passage.window = false;
    }
    Ok(passage)
}

/// What becomes of the timeout of an assured connection when a FIN or RST missed the window.
///
/// If the other side has tried to end the connection as well, what is known about the window is
/// most likely wrong and the connection over: it should not stay for days.
#[cold]
fn shorten<T: Fn(Slot) -> u32>(
    tracking: &mut Tracking,
    dir: Dir,
    kind: Kind,
    env: &Env<T>,
) -> Option<u32> {
    const SECONDS_NOT_WORTH_IT: u32 = 120;

    if !env.entry.assured || env.entry.fixed_timeout || !matches!(kind, Kind::Rst | Kind::Fin) {
        return None;
    }

    let other_side_too =
        tracking.last_dir() != dir && (tracking.last_is(Kind::Fin) || tracking.last_is(Kind::Rst));
    if !other_side_too {
        tracking.set_last(kind, dir);
        return None;
    }

    let remaining = env.entry.remaining;
    if remaining < SECONDS_NOT_WORTH_IT.saturating_mul(env.hz) {
        return None;
    }
    let unack = (env.timeout)(Slot::UNACK);
    (remaining > unack).then_some(unack)
}

/// How long a connection may now be idle.
#[inline]
fn idle_limit<T: Fn(Slot) -> u32>(tracking: &Tracking, kind: Kind, env: &Env<T>, to: State) -> u32 {
    let usual = (env.timeout)(Slot::of(to));
    // A limit that is to be lowered but is not higher than the lower one leaves the decision to
    // the next rule.
    let lower = |slot: Slot| Some((env.timeout)(slot)).filter(|ticks| usual > *ticks);

    if tracking.retrans >= env.policy.max_retrans {
        if let Some(ticks) = lower(Slot::RETRANS) {
            return ticks;
        }
    }
    if (kind == Kind::Rst && to == State::Established)
        || tracking.any_flags() & flag::DATA_UNACKNOWLEDGED != 0
    {
        if let Some(ticks) = lower(Slot::UNACK) {
            return ticks;
        }
    }
    if tracking.last_win == 0 {
        if let Some(ticks) = lower(Slot::RETRANS) {
            return ticks;
        }
    }
    usual
}

/// The verdict on a segment that has moved the connection from one state to another.
#[inline]
fn conclude<T: Fn(Slot) -> u32>(
    tracking: &Tracking,
    kind: Kind,
    segment: &Segment<'_>,
    env: &Env<T>,
    from: State,
    to: State,
) -> Step {
    let mut ticks = idle_limit(tracking, kind, env, to);
    let mut step = Step {
        verdict: Verdict::Pass,
        protoinfo: from != to,
        assured: false,
        acked: false,
        log: None,
    };

    if !env.entry.seen_reply {
        // A reset is all the answer there is: nothing was ever established.
        if segment.flags.has(Flags::RST) {
            step.verdict = Verdict::KillAndPass;
            return step;
        }
        // Or the same ports with a new SYN each could keep the entry, and its NAT binding, for
        // ever.
        if kind == Kind::Syn && from == State::SynSent {
            return step;
        }
        // Picked up, and nothing known about the other side.
        if to == State::Established {
            ticks = ticks.min((env.timeout)(Slot::UNACK));
        }
    } else if !env.entry.assured
        && matches!(from, State::SynRecv | State::Established)
        && to == State::Established
    {
        // An acknowledgement after the answer to the SYN, or an answer after being picked up.
        step.assured = true;
    }

    step.verdict = Verdict::Refresh(ticks);
    step
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_tcp)
)]
mod tests {
    use super::super::super::policy::proof::Acks;
    use super::super::super::wire::tcp::Options;
    use super::*;
    use core::mem::offset_of;
    use core::mem::size_of;

    const SYN: Flags = Flags::SYN;
    const ACK: Flags = Flags::ACK;
    const RST: Flags = Flags::RST;
    const SYN_ACK: Flags = SYN.with(ACK);
    const FIN_ACK: Flags = Flags::FIN.with(ACK);

    const ORIGINAL: Dir = Dir::Original;
    const REPLY: Dir = Dir::Reply;

    const HZ: u32 = 250;
    const MINUTE: u32 = 60 * HZ;
    const DAY: u32 = 24 * 60 * MINUTE;

    /// What mainline begins with, in ticks, but for the last one, which there equals the one before.
    const TIMEOUTS: [u32; Slot::COUNT] = [
        2 * MINUTE,
        2 * MINUTE,
        MINUTE,
        5 * DAY,
        2 * MINUTE,
        MINUTE,
        MINUTE / 2,
        2 * MINUTE,
        10 * HZ,
        2 * MINUTE,
        0,
        0,
        5 * MINUTE,
        4 * MINUTE,
    ];

    /// Numbers at which the two sides begin.
    const CLIENT: u32 = 0xffff_fff0;
    const SERVER: u32 = 0x7fff_fff8;

    /// A tracker and what its caller remembers.
    #[derive(Clone, Copy)]
    struct Conn {
        tracking: Tracking,
        entry: Entry,
        policy: Policy,
        confirmed: bool,
        loose: bool,
        acks: Acks,
    }

    fn segment(flags: Flags, seq: Seq, ack: Seq, payload: u32) -> Segment<'static> {
        Segment {
            seq,
            ack,
            window: 8_000,
            flags,
            payload,
            options: Options::default(),
        }
    }

    impl Conn {
        const NEW: Conn = Conn {
            tracking: Tracking {
                seen: [Sender {
                    end: Seq(0),
                    max_end: Seq(0),
                    max_win: 0,
                    max_ack: Seq(0),
                    scale: 0,
                    flags: 0,
                    ingress: 0,
                }; 2],
                state: 0,
                last_dir: 0,
                retrans: 0,
                last_index: 0,
                last_seq: Seq(0),
                last_ack: Seq(0),
                last_end: Seq(0),
                last_win: 0,
                last_wscale: 0,
                last_flags: 0,
                probing: Notes::NONE,
            },
            entry: Entry {
                seen_reply: false,
                assured: false,
                fixed_timeout: false,
                synproxy: false,
                remaining: u32::MAX,
            },
            policy: Policy {
                liberal: false,
                ignore_invalid_rst: false,
                max_retrans: 3,
            },
            confirmed: false,
            loose: true,
            acks: Acks::from_raw(0),
        };

        /// Does what the caller of the tracker does.
        fn feed(&mut self, dir: Dir, segment: &Segment<'_>) -> Option<Step> {
            if !self.confirmed {
                self.tracking = open(segment, self.loose).ok()?;
            }
            let env = Env {
                policy: self.policy,
                entry: self.entry,
                seq_offset: 0,
                hz: HZ,
                timeout: |slot: Slot| TIMEOUTS[slot.index()],
            };
            let step = step(&mut self.tracking, dir, segment, &env);
            if !matches!(step.verdict, Verdict::Invalid { .. }) {
                self.confirmed = true;
                if step.acked {
                    self.acks = self.acks.after(dir);
                }
                self.entry.assured |= step.assured;
                self.entry.seen_reply |= dir == REPLY;
            }
            Some(step)
        }

        /// A segment with numbers relative to where the two sides began.
        fn send(&mut self, dir: Dir, flags: Flags, seq: u32, ack: u32, payload: u32) -> Step {
            let (mine, theirs) = match dir {
                Dir::Original => (CLIENT, SERVER),
                Dir::Reply => (SERVER, CLIENT),
            };
            let segment = segment(flags, Seq(mine).plus(seq), Seq(theirs).plus(ack), payload);
            self.feed(dir, &segment).unwrap_or(Step {
                verdict: Verdict::Invalid { shorten: None },
                protoinfo: false,
                assured: false,
                acked: false,
                log: None,
            })
        }

        fn is(&self, state: State) -> bool {
            self.tracking.state == state.raw()
        }

        /// A connection that has seen a SYN.
        fn syn_sent() -> Conn {
            let mut conn = Conn::NEW;
            let _ = conn.send(ORIGINAL, SYN, 0, 0, 0);
            conn
        }

        /// A connection that has seen the answer.
        fn syn_recv() -> Conn {
            let mut conn = Conn::syn_sent();
            let _ = conn.send(REPLY, SYN_ACK, 0, 1, 0);
            conn
        }

        /// A connection that has seen the handshake.
        fn established() -> Conn {
            let mut conn = Conn::syn_recv();
            let _ = conn.send(ORIGINAL, ACK, 1, 1, 0);
            conn
        }

        /// A connection that exchanged a hundred bytes each way, all acknowledged.
        fn busy() -> Conn {
            let mut conn = Conn::established();
            let _ = conn.send(ORIGINAL, ACK, 1, 1, 100);
            let _ = conn.send(REPLY, ACK, 1, 101, 100);
            let _ = conn.send(ORIGINAL, ACK, 101, 101, 0);
            conn
        }

        /// A connection that was closed in order; the client began.
        fn time_wait() -> Conn {
            let mut conn = Conn::established();
            let _ = conn.send(ORIGINAL, FIN_ACK, 1, 1, 0);
            let _ = conn.send(REPLY, ACK, 1, 2, 0);
            let _ = conn.send(REPLY, FIN_ACK, 1, 2, 0);
            let _ = conn.send(ORIGINAL, ACK, 2, 2, 0);
            conn
        }
    }

    const INVALID: Verdict = Verdict::Invalid { shorten: None };

    fn refresh(state: State) -> Verdict {
        Verdict::Refresh(TIMEOUTS[Slot::of(state).index()])
    }

    const UNACK: Verdict = Verdict::Refresh(4 * MINUTE);

    /// A line of the log.
    struct Text {
        bytes: [u8; 128],
        len: usize,
    }

    impl fmt::Write for Text {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            let end = self.len + s.len();
            self.bytes
                .get_mut(self.len..end)
                .ok_or(fmt::Error)?
                .copy_from_slice(s.as_bytes());
            self.len = end;
            Ok(())
        }
    }

    fn reads(log: Option<Log>, expected: &str) -> bool {
        let mut text = Text {
            bytes: [0; 128],
            len: 0,
        };
        log.is_some_and(|log| fmt::write(&mut text, format_args!("{log}")).is_ok())
            && text.bytes.get(..text.len) == Some(expected.as_bytes())
    }

    #[test]
    fn layout() {
        // include/linux/netfilter/nf_conntrack_tcp.h
        assert_eq!(size_of::<Sender>(), 20);
        assert_eq!(offset_of!(Sender, max_ack), 12);
        assert_eq!(offset_of!(Sender, scale), 16);
        assert_eq!(offset_of!(Sender, flags), 17);
        assert_eq!(offset_of!(Tracking, state), 40);
        assert_eq!(offset_of!(Tracking, last_dir), 41);
        assert_eq!(offset_of!(Tracking, retrans), 42);
        assert_eq!(offset_of!(Tracking, last_index), 43);
        assert_eq!(offset_of!(Tracking, last_seq), 44);
        assert_eq!(offset_of!(Tracking, last_ack), 48);
        assert_eq!(offset_of!(Tracking, last_end), 52);
        assert_eq!(offset_of!(Tracking, last_win), 56);
        assert_eq!(offset_of!(Tracking, last_wscale), 58);
        assert_eq!(offset_of!(Tracking, last_flags), 59);
        // Where C has nothing.
        assert_eq!(offset_of!(Sender, ingress), 18);
        assert_eq!(offset_of!(Tracking, probing), 60);
        assert_eq!(size_of::<Tracking>(), 64);
    }

    #[test]
    fn a_handshake_is_proof() {
        for conn in [Conn::NEW, Conn::syn_sent(), Conn::syn_recv()] {
            assert!(!conn.acks.are_both());
        }
        for conn in [Conn::established(), Conn::busy(), Conn::time_wait()] {
            assert!(conn.acks.are_both());
        }
    }

    #[test]
    fn a_guess_inside_the_window_is_no_proof() {
        // One who did not see the answer acknowledges what was not sent, or less than was.
        for guess in [0, 2, u32::MAX, 0u32.wrapping_sub(60_000)] {
            let mut conn = Conn::syn_recv();
            let _ = conn.send(ORIGINAL, ACK, 1, guess, 0);
            let _ = conn.send(ORIGINAL, ACK, 1, guess, 100);
            assert!(!conn.acks.are_both());
        }
        // Nor is a reset, even with the right number.
        let mut conn = Conn::syn_recv();
        let _ = conn.send(ORIGINAL, RST.with(ACK), 1, 1, 0);
        assert!(!conn.acks.are_both());
    }

    #[test]
    fn what_was_picked_up_is_proven_by_both_sides() {
        // One side alone, whatever it says and however long.
        let mut conn = Conn::NEW;
        for at in 0..9 {
            let _ = conn.send(ORIGINAL, ACK, 100 * at, 7, 100);
        }
        assert!(!conn.acks.are_both());
        // An answer makes it assured, but the first side has not shown that it sees it.
        let _ = conn.send(REPLY, ACK, 7, 900, 10);
        let _ = conn.send(ORIGINAL, ACK, 900, 7, 10);
        assert!(conn.entry.assured && !conn.acks.are_both());
        let _ = conn.send(ORIGINAL, ACK, 910, 17, 0);
        let _ = conn.send(REPLY, ACK, 17, 905, 0);
        assert!(!conn.acks.are_both());
        let _ = conn.send(REPLY, ACK, 17, 910, 0);
        assert!(conn.acks.are_both());

        // The other way round.
        let mut conn = Conn::NEW;
        let _ = conn.send(ORIGINAL, ACK, 0, 0, 100);
        let _ = conn.send(REPLY, ACK, 0, 50, 10);
        let _ = conn.send(ORIGINAL, ACK, 100, 10, 10);
        assert!(!conn.acks.are_both());
        let _ = conn.send(REPLY, ACK, 10, 110, 0);
        assert!(conn.acks.are_both());
    }

    #[test]
    fn handshake() {
        let mut conn = Conn::NEW;

        let step = conn.send(ORIGINAL, SYN, 0, 0, 0);
        assert!(step.verdict == refresh(State::SynSent));
        assert!(step.protoinfo && !step.assured && step.log.is_none());
        assert!(conn.is(State::SynSent));

        let step = conn.send(REPLY, SYN_ACK, 0, 1, 0);
        assert!(step.verdict == refresh(State::SynRecv));
        assert!(step.protoinfo && !step.assured && step.log.is_none());
        assert!(conn.is(State::SynRecv));

        let step = conn.send(ORIGINAL, ACK, 1, 1, 0);
        assert!(step.verdict == refresh(State::Established));
        assert!(step.protoinfo && step.assured && step.log.is_none());
        assert!(conn.is(State::Established));

        // From now on nothing new to tell.
        let step = conn.send(ORIGINAL, ACK, 1, 1, 0);
        assert!(!step.protoinfo && !step.assured && step.log.is_none());
    }

    #[test]
    fn data_shortens_the_timeout_until_acknowledged() {
        let mut conn = Conn::established();
        assert!(conn.send(ORIGINAL, ACK, 1, 1, 100).verdict == UNACK);
        assert!(conn.send(ORIGINAL, ACK, 101, 1, 100).verdict == UNACK);
        assert!(conn.send(REPLY, ACK, 1, 101, 0).verdict == UNACK);
        assert!(conn.send(REPLY, ACK, 1, 201, 0).verdict == refresh(State::Established));
        assert!(conn.send(REPLY, ACK, 1, 201, 50).verdict == UNACK);
        assert!(conn.send(ORIGINAL, ACK, 201, 51, 0).verdict == refresh(State::Established));
    }

    #[test]
    fn loss_and_reordering() {
        for dir in Dir::BOTH {
            let peer = dir.opposite();
            let mut conn = Conn::busy();
            // The segment before is lost after the tracker, or comes later.
            assert!(conn.send(dir, ACK, 201, 101, 100).verdict == UNACK);
            assert!(conn.send(peer, ACK, 101, 101, 0).verdict == UNACK);
            assert!(conn.send(dir, ACK, 101, 101, 100).verdict == UNACK);
            assert!(conn.send(dir, ACK, 201, 101, 100).verdict == UNACK);
            let step = conn.send(peer, ACK, 101, 301, 0);
            assert!(step.verdict == refresh(State::Established));
        }
    }

    #[test]
    fn repetition_shortens_the_timeout() {
        let mut conn = Conn::busy();
        let first = refresh(State::Established);
        let repeated = Verdict::Refresh(5 * MINUTE);
        // The last one of `busy` was the first of these.
        for expected in [first, first, repeated, repeated] {
            assert!(conn.send(ORIGINAL, ACK, 101, 101, 0).verdict == expected);
        }
        // Anything else ends it.
        assert!(conn.send(REPLY, ACK, 101, 101, 0).verdict == first);

        // A limit of zero is always reached.
        conn.policy.max_retrans = 0;
        assert!(conn.send(ORIGINAL, ACK, 101, 101, 0).verdict == repeated);
    }

    #[test]
    fn closed_window_shortens_the_timeout() {
        let mut conn = Conn::busy();
        let mut ack = segment(ACK, Seq(CLIENT).plus(101), Seq(SERVER).plus(101), 0);
        ack.window = 0;
        let step = conn.feed(ORIGINAL, &ack);
        assert!(step.is_some_and(|step| step.verdict == Verdict::Refresh(5 * MINUTE)));
    }

    #[test]
    fn shorter_timeouts_never_lengthen() {
        let entry = Entry {
            seen_reply: true,
            assured: true,
            ..Entry::default()
        };
        // Each rule applies, but its timeout is not less than that of the state.
        for state in State::ALL.into_iter().skip(1) {
            let tracking = Tracking {
                state: state.raw(),
                retrans: 200,
                last_win: 0,
                seen: [Sender {
                    flags: flag::DATA_UNACKNOWLEDGED,
                    ..Sender::default()
                }; 2],
                ..Tracking::default()
            };
            let env = Env {
                policy: Policy::default(),
                entry,
                seq_offset: 0,
                hz: HZ,
                timeout: |_: Slot| 77,
            };
            assert_eq!(idle_limit(&tracking, Kind::Rst, &env, state), 77);
        }
    }

    #[test]
    fn outside_the_window() {
        for dir in Dir::BOTH {
            let mut conn = Conn::busy();
            let before = conn.tracking;

            let step = conn.send(dir, ACK, 20_000, 101, 10);
            assert!(step.verdict == INVALID && !step.protoinfo && !step.assured);
            assert!(matches!(step.log, Some(Log::SeqOver(_))));
            let step = conn.send(dir, ACK, 101, 102, 10);
            assert!(step.verdict == INVALID);
            assert!(matches!(step.log, Some(Log::AckOver(_))));
            let step = conn.send(dir, ACK, 0u32.wrapping_sub(9_000), 101, 10);
            assert!(step.verdict == Verdict::Pass);
            assert!(matches!(step.log, Some(Log::SeqUnder(_))));
            let step = conn.send(dir, ACK, 101, 0u32.wrapping_sub(70_000), 10);
            assert!(step.verdict == Verdict::Pass);
            assert!(matches!(step.log, Some(Log::AckUnder(_))));

            assert!(conn.tracking == before);
            // An order to be liberal lets all of it count.
            conn.policy.liberal = true;
            let step = conn.send(dir, ACK, 20_000, 101, 10);
            assert!(step.verdict == refresh(State::Established) && step.log.is_none());
        }
    }

    #[test]
    fn simultaneous_open() {
        let mut conn = Conn::syn_sent();
        let step = conn.send(REPLY, SYN, 0, 0, 0);
        assert!(step.verdict == Verdict::Pass || step.verdict == refresh(State::SynSent2));
        assert!(conn.is(State::SynSent2));
        let step = conn.send(ORIGINAL, SYN_ACK, 0, 1, 0);
        assert!(step.verdict == refresh(State::SynRecv));
        assert!(conn.is(State::SynRecv));
        // The SYN-ACK of the other side is ignored, then one of the ACKs makes it.
        let step = conn.send(REPLY, SYN_ACK, 0, 1, 0);
        assert!(step.verdict == Verdict::Pass);
        let step = conn.send(REPLY, ACK, 1, 1, 0);
        assert!(step.assured);
        assert!(conn.is(State::Established));
    }

    #[test]
    fn simultaneous_open_the_other_way() {
        let mut conn = Conn::syn_sent();
        let _ = conn.send(REPLY, SYN, 0, 0, 0);
        let _ = conn.send(REPLY, SYN_ACK, 0, 1, 0);
        assert!(conn.is(State::SynRecv));
        // Sent again.
        let _ = conn.send(ORIGINAL, SYN_ACK, 0, 1, 0);
        assert!(conn.is(State::SynRecv));
        let _ = conn.send(ORIGINAL, ACK, 1, 1, 0);
        assert!(conn.is(State::Established));
    }

    #[test]
    fn late_ack_of_the_server_does_not_establish() {
        // Without a simultaneous open it may answer a SYN that was sent again.
        let mut conn = Conn::syn_recv();
        let step = conn.send(REPLY, ACK, 1, 1, 0);
        assert!(step.verdict == refresh(State::SynRecv) && !step.assured);
        assert!(conn.is(State::SynRecv));
    }

    /// A segment of the closing: direction, flags, sequence number, acknowledgement number, and
    /// the state afterwards.
    type Closing = (Dir, Flags, u32, u32, State);

    #[test]
    fn closing_in_all_orders() {
        let orders: [&[Closing]; 6] = [
            // Four segments, for either beginner.
            &[
                (ORIGINAL, FIN_ACK, 1, 1, State::FinWait),
                (REPLY, ACK, 1, 2, State::CloseWait),
                (REPLY, FIN_ACK, 1, 2, State::LastAck),
                (ORIGINAL, ACK, 2, 2, State::TimeWait),
            ],
            &[
                (REPLY, FIN_ACK, 1, 1, State::FinWait),
                (ORIGINAL, ACK, 1, 2, State::CloseWait),
                (ORIGINAL, FIN_ACK, 1, 2, State::LastAck),
                (REPLY, ACK, 2, 2, State::TimeWait),
            ],
            // Three.
            &[
                (ORIGINAL, FIN_ACK, 1, 1, State::FinWait),
                (REPLY, FIN_ACK, 1, 2, State::LastAck),
                (ORIGINAL, ACK, 2, 2, State::TimeWait),
            ],
            // At the same time.
            &[
                (ORIGINAL, FIN_ACK, 1, 1, State::FinWait),
                (REPLY, FIN_ACK, 1, 1, State::LastAck),
                (REPLY, ACK, 2, 2, State::TimeWait),
                (ORIGINAL, ACK, 2, 2, State::TimeWait),
            ],
            // With everything sent twice.
            &[
                (REPLY, FIN_ACK, 1, 1, State::FinWait),
                (ORIGINAL, ACK, 1, 2, State::CloseWait),
                (ORIGINAL, ACK, 1, 2, State::CloseWait),
                (ORIGINAL, FIN_ACK, 1, 2, State::LastAck),
                (ORIGINAL, FIN_ACK, 1, 2, State::LastAck),
                (REPLY, ACK, 2, 2, State::TimeWait),
                (REPLY, ACK, 2, 2, State::TimeWait),
                (ORIGINAL, FIN_ACK, 1, 2, State::TimeWait),
            ],
            // Ended by a reset.
            &[
                (ORIGINAL, FIN_ACK, 1, 1, State::FinWait),
                (REPLY, RST, 1, 0, State::Close),
                (ORIGINAL, ACK, 2, 1, State::Close),
            ],
        ];
        for order in orders {
            let mut conn = Conn::established();
            let mut beginner = None;
            for (dir, flags, seq, ack, state) in order.iter().copied() {
                let before = conn.tracking.state;
                let step = conn.send(dir, flags, seq, ack, 0);
                assert!(conn.is(state));
                assert!(step.verdict == refresh(state));
                assert!(step.protoinfo == (before != state.raw()));
                beginner = beginner.or(Some(dir));
            }
            // Only the one who began is marked.
            for dir in Dir::BOTH {
                let marked = conn.tracking.side(dir).flags & flag::CLOSE_INIT != 0;
                assert_eq!(marked, beginner == Some(dir));
            }
        }
    }

    #[test]
    fn closing_before_the_last_ack_of_the_handshake() {
        for dir in Dir::BOTH {
            let mut conn = Conn::syn_recv();
            assert!(conn.send(dir, FIN_ACK, 1, 1, 0).protoinfo);
            assert!(conn.is(State::FinWait));
        }
    }

    #[test]
    fn reset_of_an_unanswered_syn_deletes() {
        let mut conn = Conn::syn_sent();
        let step = conn.send(REPLY, RST.with(ACK), 0, 1, 0);
        assert!(step.verdict == Verdict::KillAndPass && step.protoinfo);

        // A zero instead of a number.
        let mut conn = Conn::syn_sent();
        let reset = segment(RST.with(ACK), Seq(0), Seq(CLIENT).plus(1), 0);
        let step = conn.feed(REPLY, &reset);
        assert!(step.is_some_and(|step| step.verdict == Verdict::KillAndPass));

        // One that acknowledges something else; one byte beyond might answer a keepalive.
        let mut conn = Conn::syn_sent();
        let step = conn.send(REPLY, RST.with(ACK), 0, 3, 0);
        assert!(step.verdict == INVALID);
        assert!(conn.is(State::SynSent));
    }

    #[test]
    fn resets_of_an_established_connection() {
        for dir in Dir::BOTH {
            let peer = dir.opposite();

            // The number that the receiver expects.
            let mut conn = Conn::busy();
            assert!(conn.send(dir, RST, 101, 0, 0).verdict == refresh(State::Close));
            assert!(conn.is(State::Close));

            // An old one.
            let mut conn = Conn::busy();
            let step = conn.send(dir, RST, 100, 0, 0);
            assert!(step.verdict == INVALID && reads(step.log, "invalid rst"));
            assert!(conn.is(State::Established));
            // By order it is taken, but not for exact.
            conn.policy.ignore_invalid_rst = true;
            assert!(conn.send(dir, RST, 100, 0, 0).verdict == UNACK);
            assert!(conn.is(State::Established));

            // One ahead: may be challenged, so it shortens the timeout only.
            let mut conn = Conn::busy();
            let step = conn.send(dir, RST, 150, 0, 0);
            assert!(step.verdict == UNACK && !step.protoinfo);
            assert!(conn.is(State::Established));
            // The answer to the challenge bears the expected number.
            assert!(conn.send(peer, ACK, 101, 101, 0).verdict == UNACK);
            assert!(conn.send(dir, RST, 101, 0, 0).protoinfo);
            assert!(conn.is(State::Close));

            // Right behind data that was not acknowledged.
            let mut conn = Conn::busy();
            let _ = conn.send(dir, ACK, 101, 101, 50);
            assert!(conn.send(dir, RST, 151, 0, 0).protoinfo);
            assert!(conn.is(State::Close));

            // Far ahead.
            let mut conn = Conn::busy();
            let step = conn.send(dir, RST, 50_000, 0, 0);
            assert!(step.verdict == INVALID && matches!(step.log, Some(Log::SeqOver(_))));
            assert!(conn.is(State::Established));
        }
    }

    #[test]
    fn resets_of_a_closing_connection_need_no_number() {
        for state in State::ALL.into_iter().filter(|state| state.closing()) {
            for dir in Dir::BOTH {
                let mut conn = Conn::busy();
                conn.tracking.state = state.raw();
                let step = conn.send(dir, RST, 1_000_000, 0, 0);
                assert!(step.verdict == refresh(State::Close));
                assert!(conn.is(State::Close));
            }
        }
    }

    #[test]
    fn half_open_connection_answers_a_syn() {
        // The server still has a connection of old and answers with an acknowledgement; the
        // client resets that.
        let mut conn = Conn::syn_sent();
        let step = conn.send(REPLY, ACK, 5_000, 70_000, 0);
        assert!(step.verdict == Verdict::Pass);
        assert!(reads(
            step.log,
            "packet (index 3) in dir 1 ignored, state SYN_SENT"
        ));
        let mut other = conn;
        let step = conn.send(ORIGINAL, RST, 70_000, 0, 0);
        assert!(step.verdict == refresh(State::Close) && step.protoinfo);
        // With another number it is not the answer to that.
        let step = other.send(ORIGINAL, RST, 70_001, 0, 0);
        assert!(step.verdict == INVALID);
        assert!(other.is(State::SynSent));
        // The next SYN is answered.
        assert!(other.send(ORIGINAL, SYN, 0, 0, 0).log.is_none());
        let step = other.send(REPLY, SYN_ACK, 0, 1, 0);
        assert!(step.verdict == refresh(State::SynRecv));
    }

    #[test]
    fn syn_sent_again() {
        // Unanswered: the entry does not live longer for it.
        let mut conn = Conn::syn_sent();
        for _ in 0..3 {
            let step = conn.send(ORIGINAL, SYN, 0, 0, 0);
            assert!(step == Step::pass(None) && !step.protoinfo && !step.assured);
        }
        // The same for another attempt from the same port.
        let step = conn.send(ORIGINAL, SYN, 500_000, 0, 0);
        assert!(step.verdict == Verdict::Pass);
        // Which then is the one that is answered.
        let step = conn.send(REPLY, SYN_ACK, 0, 500_001, 0);
        assert!(step.verdict == refresh(State::SynRecv));
    }

    #[test]
    fn new_connection_in_place_of_a_closed_one() {
        let mut conn = Conn::time_wait();
        assert!(conn.is(State::TimeWait));
        let step = conn.send(ORIGINAL, SYN, 90_000, 0, 0);
        assert!(step.verdict == Verdict::KillAndRepeat);
        assert!(conn.is(State::TimeWait));
        // The roles may be exchanged.
        let step = conn.send(REPLY, SYN, 90_000, 0, 0);
        assert!(step.verdict == Verdict::KillAndRepeat);

        // Aborted by the one who opens again.
        let mut conn = Conn::busy();
        let _ = conn.send(ORIGINAL, RST, 101, 0, 0);
        assert!(conn.send(ORIGINAL, SYN, 9_000, 0, 0).verdict == Verdict::KillAndRepeat);
        // By the other side: let through, and remembered.
        let mut conn = Conn::busy();
        let _ = conn.send(REPLY, RST, 101, 0, 0);
        let step = conn.send(ORIGINAL, SYN, 9_000, 0, 0);
        assert!(step.verdict == Verdict::Pass);
        assert!(conn.is(State::Close));
        // The answer makes it the connection.
        let step = conn.send(REPLY, SYN_ACK, 77_000, 9_001, 0);
        assert!(step.verdict == refresh(State::SynRecv) && step.protoinfo);
        assert!(conn.is(State::SynRecv));
    }

    #[test]
    fn resync() {
        for state in [
            State::SynRecv,
            State::Established,
            State::FinWait,
            State::CloseWait,
            State::LastAck,
        ] {
            let mut conn = Conn::busy();
            conn.tracking.state = state.raw();
            conn.tracking.side_mut(REPLY).flags |= flag::BE_LIBERAL | flag::CLOSE_INIT;

            // Numbers that have nothing to do with what was known.
            let mut syn = segment(SYN, Seq(0x1234_5678), Seq(0), 0);
            syn.options = Options::new(&[3, 3, 6, 1, 4, 2, 1, 1]);
            let step = conn.feed(ORIGINAL, &syn);
            assert!(step.is_some_and(|step| step.verdict == Verdict::Pass));
            assert!(conn.is(state));
            assert_eq!(conn.tracking.last_wscale, 6);

            let mut other = conn;
            let mut answer = segment(SYN_ACK, Seq(0x9abc_def0), Seq(0x1234_5679), 0);
            answer.options = Options::new(&[3, 3, 2, 1]);
            let step = conn.feed(REPLY, &answer);
            assert!(step.is_some_and(|step| step.verdict == refresh(State::SynRecv)));
            assert!(step.is_some_and(|step| step.protoinfo));
            assert!(conn.is(State::SynRecv));
            let client = conn.tracking.side(ORIGINAL);
            assert_eq!(client.scale, 6);
            assert_eq!(client.flags, flag::WINDOW_SCALE | flag::SACK_PERM);
            let server = conn.tracking.side(REPLY);
            assert_eq!(server.scale, 2);
            // A new connection, but the order to be liberal stays.
            let kept = flag::WINDOW_SCALE | flag::BE_LIBERAL | flag::MAXACK_SET;
            assert_eq!(server.flags & !flag::DATA_UNACKNOWLEDGED, kept);

            let ack = segment(ACK, Seq(0x1234_5679), Seq(0x9abc_def1), 10);
            assert!(conn.feed(ORIGINAL, &ack).is_some_and(|step| step.protoinfo));
            assert!(conn.is(State::Established));

            // An answer to something else is ignored.
            answer.ack = Seq(0x1234_5678);
            let step = other.feed(REPLY, &answer);
            assert!(step.is_some_and(|step| step.verdict == Verdict::Pass));
            assert!(other.is(state));
        }
    }

    #[test]
    fn windows_of_zero_count_as_one() {
        // Zero would mean that nothing is known.
        let zero = |flags, seq, ack| Segment {
            window: 0,
            ..segment(flags, Seq(seq), Seq(ack), 0)
        };
        let mut conn = Conn::NEW;
        let _ = conn.feed(ORIGINAL, &zero(SYN, 10, 0));
        assert_eq!(conn.tracking.side(ORIGINAL).max_win, 1);
        let _ = conn.feed(REPLY, &zero(SYN_ACK, 90, 11));
        assert_eq!(conn.tracking.side(REPLY).max_win, 1);
        let _ = conn.feed(ORIGINAL, &zero(ACK, 11, 91));
        assert!(conn.is(State::Established));

        let mut conn = Conn::busy();
        let _ = conn.feed(ORIGINAL, &zero(SYN, 10, 0));
        let _ = conn.feed(REPLY, &segment(SYN_ACK, Seq(90), Seq(11), 0));
        assert_eq!(conn.tracking.side(ORIGINAL).max_win, 1);
    }

    #[test]
    fn notes_about_ignored_segments() {
        let mut conn = Conn::busy();
        let acked = conn.tracking.last_ack;
        let _ = conn.send(REPLY, SYN_ACK, 7_000, 3, 0);
        let _ = conn.send(ORIGINAL, SYN, 5_000, 9, 20);
        assert!(conn.tracking.last_is(Kind::Syn));
        assert!(conn.tracking.last_dir() == ORIGINAL);
        assert_eq!(conn.tracking.last_seq, Seq(CLIENT).plus(5_000));
        assert_eq!(conn.tracking.last_end, Seq(CLIENT).plus(5_021));
        assert_eq!(conn.tracking.last_win, 8_000);
        assert_eq!(conn.tracking.last_flags, 0);
        // What was acknowledged matters only if it may be a challenge.
        assert_eq!(conn.tracking.last_ack, acked);
    }

    #[test]
    fn policy_to_begin_with() {
        let policy = Policy::default();
        assert!(!policy.liberal && !policy.ignore_invalid_rst);
        assert_eq!(policy.max_retrans, 3);
    }

    #[test]
    fn challenge_does_not_end_the_last_ack() {
        let mut conn = Conn::busy();
        let _ = conn.send(REPLY, FIN_ACK, 101, 101, 0);
        let _ = conn.send(ORIGINAL, FIN_ACK, 101, 102, 0);
        assert!(conn.is(State::LastAck));
        // The client begins anew; the server, waiting for the last ACK, challenges.
        assert!(conn.send(ORIGINAL, SYN, 9_000, 0, 0).verdict == Verdict::Pass);
        let step = conn.send(REPLY, ACK, 102, 101, 0);
        assert!(step.verdict == Verdict::Pass && reads(step.log, "challenge-ack ignored"));
        assert!(conn.is(State::LastAck));
        // One challenge per SYN.
        assert!(conn.send(REPLY, ACK, 102, 102, 0).protoinfo);
        assert!(conn.is(State::TimeWait));
    }

    #[test]
    fn answer_to_a_syn_that_was_let_through() {
        // The server has forgotten the connection and resets.
        let mut conn = Conn::busy();
        assert!(conn.send(ORIGINAL, SYN, 90_000, 0, 0).verdict == Verdict::Pass);
        let step = conn.send(REPLY, RST.with(ACK), 0u32.wrapping_sub(SERVER), 90_001, 0);
        assert!(step.verdict == refresh(State::Close));
        assert!(conn.is(State::Close));
    }

    #[test]
    fn keepalive_of_a_client_behind_a_synproxy() {
        let mut conn = Conn::syn_sent();
        conn.entry.synproxy = true;
        let mut other = conn;
        let step = conn.send(ORIGINAL, ACK, 0, 1, 0);
        assert!(step.verdict == Verdict::Pass && step.log.is_none());
        // Another number; or no proxy.
        assert!(conn.send(ORIGINAL, ACK, 1, 1, 0).verdict == INVALID);
        other.entry.synproxy = false;
        let step = other.send(ORIGINAL, ACK, 0, 1, 0);
        assert!(step.verdict == INVALID);
        assert!(reads(
            step.log,
            "packet (index 3) in dir 0 invalid, state SYN_SENT"
        ));
    }

    #[test]
    fn first_segments() {
        for (flags, loose, accepted, text) in [
            (SYN, true, true, None),
            (SYN, false, true, None),
            (ACK, true, true, None),
            (ACK, false, false, None),
            (SYN_ACK, true, false, Some(c"invalid new")),
            (SYN_ACK, false, false, Some(c"invalid new")),
            (FIN_ACK, true, false, Some(c"invalid new")),
            (RST, true, false, Some(c"invalid new")),
            (Flags::URG, true, false, Some(c"invalid new")),
        ] {
            let first = open(&segment(flags, Seq(1), Seq(2), 3), loose);
            assert_eq!(first.is_ok(), accepted);
            assert!(first.err().and_then(Refused::text) == text);
        }
    }

    #[test]
    fn picked_up() {
        let mut conn = Conn::NEW;
        // Windows scaled by an unknown shift: what they say must not matter.
        let step = conn.send(ORIGINAL, ACK, 0, 0, 500);
        assert!(step.verdict == UNACK && step.protoinfo && !step.assured);
        assert!(conn.is(State::Established));
        // Still nothing from the other side.
        conn.tracking.side_mut(ORIGINAL).flags &= !flag::DATA_UNACKNOWLEDGED;
        let step = conn.send(ORIGINAL, ACK, 500, 0, 0);
        assert!(step.verdict == UNACK && !step.assured);
        // Neither the first answer is enough nor a segment far outside invalid.
        let step = conn.send(REPLY, ACK, 0, 500, 0);
        assert!(step.verdict == UNACK && !step.assured);
        let step = conn.send(ORIGINAL, ACK, 3_000_000, 0, 10);
        assert!(matches!(step.verdict, Verdict::Refresh(_)) && step.assured);
        assert!(conn.is(State::Established));
    }

    #[test]
    fn pure_acknowledgement_without_reply_has_a_short_timeout() {
        let mut conn = Conn::NEW;
        let step = conn.send(ORIGINAL, ACK, 0, 0, 0);
        assert!(step.verdict == UNACK);
    }

    #[test]
    fn fin_outside_the_window_shortens_if_the_other_side_closes_too() {
        for (first, second) in [
            (FIN_ACK, FIN_ACK),
            (RST, FIN_ACK),
            (RST, RST),
            (FIN_ACK, RST),
        ] {
            for dir in Dir::BOTH {
                let peer = dir.opposite();
                let fresh = Conn::busy();

                let mut conn = fresh;
                let step = conn.send(dir, first, 50_000, 101, 0);
                assert!(step.verdict == INVALID);
                let remembered = conn;
                let step = conn.send(peer, second, 50_000, 101, 0);
                let shortened = Verdict::Invalid {
                    shorten: Some(4 * MINUTE),
                };
                assert!(step.verdict == shortened);
                assert!(reads(Some(Log::LoweredTimeout), "lowered timeout to UNACK"));

                // Only for assured connections, not against ctnetlink, not if it would lengthen.
                let entries = [
                    Entry {
                        assured: false,
                        ..fresh.entry
                    },
                    Entry {
                        fixed_timeout: true,
                        ..fresh.entry
                    },
                    Entry {
                        remaining: 4 * MINUTE,
                        ..fresh.entry
                    },
                    Entry {
                        remaining: 0,
                        ..fresh.entry
                    },
                ];
                for entry in entries {
                    let mut conn = remembered;
                    conn.entry = entry;
                    assert!(conn.send(peer, second, 50_000, 101, 0).verdict == INVALID);
                }
                let mut conn = remembered;
                conn.entry.remaining = 4 * MINUTE + 1;
                assert!(conn.send(peer, second, 50_000, 101, 0).verdict == shortened);

                // The same side twice, or data: no.
                let mut conn = remembered;
                assert!(conn.send(dir, second, 50_000, 101, 0).verdict == INVALID);
                let mut conn = remembered;
                assert!(conn.send(peer, ACK, 50_000, 101, 0).verdict == INVALID);
            }
        }
    }

    #[test]
    fn two_minutes_are_not_worth_shortening() {
        let mut conn = Conn::busy();
        let _ = conn.send(ORIGINAL, FIN_ACK, 50_000, 101, 0);
        let fin = segment(FIN_ACK, Seq(SERVER).plus(50_000), Seq(CLIENT).plus(101), 0);
        for (remaining, shorten) in [(120 * HZ - 1, None), (120 * HZ, Some(7))] {
            let env = Env {
                policy: conn.policy,
                entry: Entry {
                    remaining,
                    ..conn.entry
                },
                seq_offset: 0,
                hz: HZ,
                timeout: |_: Slot| 7,
            };
            let step = step(&mut conn.tracking, REPLY, &fin, &env);
            assert!(step.verdict == Verdict::Invalid { shorten });
        }
    }

    #[test]
    fn log_texts() {
        for (log, text) in [
            (Log::Overshot(7), "7 bytes more than expected"),
            (
                Log::SeqOver(4_294_967_295),
                "SEQ is over upper bound 4294967295 (over the window of the receiver)",
            ),
            (
                Log::SeqUnder(1),
                "SEQ is under lower bound 1 (already ACKed data retransmitted)",
            ),
            (
                Log::AckOver(2),
                "ACK is over upper bound 2 (ACKed data not seen yet)",
            ),
            (
                Log::AckUnder(0),
                "ignored ACK under lower bound 0 (possible overly delayed)",
            ),
        ] {
            assert!(reads(Some(log), text));
        }
    }

    #[test]
    fn garbage_is_no_state() {
        for raw in 10..=255 {
            let mut conn = Conn::busy();
            conn.tracking.state = raw;
            let before = conn.tracking;
            for dir in Dir::BOTH {
                for flags in [SYN, SYN_ACK, ACK, FIN_ACK, RST] {
                    assert!(conn.send(dir, flags, 101, 101, 0).verdict == INVALID);
                }
            }
            assert!(conn.tracking == before);
            assert!(!can_early_drop(raw));
            assert!(!is_established(raw, true));
            assert!(state_name(raw) == "UNKNOWN");
        }
        assert!(state_name(9) == "SYN_SENT2");
        assert!(can_early_drop(State::TimeWait.raw()));
        assert!(is_established(3, true) && !is_established(3, false));
    }

    #[test]
    fn closed_by_order() {
        let mut tracking = Conn::busy().tracking;
        let mut fixed = tracking;
        assert!(tracking.set_closing(false));
        assert!(tracking.state == State::Close.raw());
        assert!(!tracking.set_closing(false));
        assert!(!fixed.set_closing(true));
        assert!(fixed.state == State::Close.raw());
    }

    #[test]
    fn windows_are_forgotten_if_established() {
        let mut conn = Conn::syn_recv();
        let before = conn.tracking;
        conn.tracking.forget_windows();
        assert!(conn.tracking == before);

        let mut conn = Conn::busy();
        conn.tracking.forget_windows();
        // Megabytes later, from either side first.
        for dir in Dir::BOTH {
            let mut conn = conn;
            let step = conn.send(dir, ACK, 9_000_000, 7_000_000, 10);
            assert!(matches!(step.verdict, Verdict::Refresh(_)));
            let step = conn.send(dir.opposite(), ACK, 7_000_000, 9_000_010, 10);
            assert!(matches!(step.verdict, Verdict::Refresh(_)));
        }
    }

    #[test]
    fn edited_by_order() {
        let mut tracking = Conn::busy().tracking;
        let before = tracking;
        tracking.edit(&Edit::default());
        assert!(tracking == before);

        // Shifts are taken only together and if both sides scale.
        let shifts = [Some(3), Some(4)];
        tracking.edit(&Edit {
            scale: shifts,
            ..Edit::default()
        });
        assert!(tracking == before);
        let mut other = tracking;
        other.edit(&Edit {
            flags: [None, Some((0xff, flag::WINDOW_SCALE))],
            scale: shifts,
            ..Edit::default()
        });
        assert_eq!(other.side(REPLY).scale, 0);
        tracking.edit(&Edit {
            state: Some(5),
            flags: [Some((0xff, flag::WINDOW_SCALE | flag::BE_LIBERAL)), None],
            scale: shifts,
        });
        assert_eq!(tracking.state, 5);
        let kept = before.side(ORIGINAL).flags;
        let original = kept | flag::WINDOW_SCALE | flag::BE_LIBERAL;
        assert_eq!(tracking.side(ORIGINAL).flags, original);
        assert_eq!(tracking.side(ORIGINAL).scale, 0);
        // The flags of the same order count.
        let order = (flag::WINDOW_SCALE, flag::WINDOW_SCALE);
        tracking.edit(&Edit {
            state: None,
            flags: [Some((0, flag::BE_LIBERAL)), Some(order)],
            scale: shifts,
        });
        assert_eq!(tracking.side(ORIGINAL).flags, kept | flag::WINDOW_SCALE);
        assert_eq!(tracking.side(ORIGINAL).scale, 3);
        assert_eq!(tracking.side(REPLY).scale, 4);
        tracking.edit(&Edit {
            scale: [Some(9), None],
            ..Edit::default()
        });
        assert_eq!(tracking.side(ORIGINAL).scale, 3);
    }

    #[test]
    fn slots() {
        for (index, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(Slot::of(state).index(), index);
        }
        // include/uapi/linux/netfilter/nf_conntrack_tcp.h
        assert_eq!(Slot::RETRANS.index(), 12);
        assert_eq!(Slot::UNACK.index(), 13);
    }
}
