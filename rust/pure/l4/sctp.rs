// SPDX-License-Identifier: GPL-2.0

//! The SCTP tracker.
//!
//! [`open`] makes of a first message what is known about an association, [`step`] takes it on with
//! every further one. A message has many chunks, and each may change the state; what one has
//! changed stays when a later one is refused. Tags are what numbers are to TCP: only the endpoints
//! know them, so whoever bears the right one is one of them. Not for sequence numbers nor for
//! further addresses of an endpoint, of which each makes a connection of its own (by HEARTBEAT).
//!
//! C counterpart: `net/netfilter/nf_conntrack_proto_sctp.c`.

use core::fmt;

use super::super::num::Dir;
use super::super::wire::sctp::Chunk;
use super::super::wire::sctp::Kind;
use super::super::wire::sctp::Message;
use super::super::wire::sctp::Tag;
use super::super::wire::Packet;

/// How many timeouts there are (`SCTP_CONNTRACK_MAX`): one per [`State`], and one without use.
pub const TIMEOUTS: usize = 10;

/// Where an association stands.
///
/// The discriminants are those of `enum sctp_conntrack`. In the lists below, "original" and
/// "reply" are the direction of the chunk; a chunk that a list does not mention leaves the state as
/// it is, and so does everywhere a chunk that opens or ends nothing, such as DATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// Nothing seen; the entry is being made.
    ///
    /// * original HEARTBEAT: [`State::HeartbeatSent`].
    /// * original SHUTDOWN ACK: [`State::ShutdownAckSent`].
    /// * original, any other, above all INIT: [`State::Closed`].
    /// * reply: invalid.
    None = 0,

    /// An INIT was seen, or the association is over.
    ///
    /// * reply INIT ACK: [`State::CookieWait`].
    Closed = 1,

    /// The INIT was answered.
    ///
    /// * COOKIE ECHO: [`State::CookieEchoed`].
    /// * ABORT: [`State::Closed`].
    CookieWait = 2,

    /// The cookie came back.
    ///
    /// * COOKIE ACK: [`State::Established`].
    /// * ABORT: [`State::Closed`].
    /// * reply ERROR: [`State::Closed`]; the cookie is stale.
    CookieEchoed = 3,

    /// Data flows.
    ///
    /// * original SHUTDOWN: [`State::ShutdownSent`].
    /// * reply SHUTDOWN: [`State::ShutdownRecd`].
    /// * ABORT: [`State::Closed`].
    Established = 4,

    /// A SHUTDOWN was seen in original direction.
    ///
    /// * SHUTDOWN ACK: [`State::ShutdownAckSent`].
    /// * original INIT, ABORT: [`State::Closed`].
    ShutdownSent = 5,

    /// A SHUTDOWN was seen in reply direction.
    ///
    /// * SHUTDOWN ACK: [`State::ShutdownAckSent`].
    /// * original INIT, ABORT: [`State::Closed`].
    ShutdownRecd = 6,

    /// The SHUTDOWN was answered.
    ///
    /// * SHUTDOWN COMPLETE, ABORT: [`State::Closed`].
    ShutdownAckSent = 7,

    /// A HEARTBEAT was seen between addresses that had nothing to do with each other so far.
    ///
    /// * original INIT: [`State::CookieWait`].
    /// * original SHUTDOWN ACK: [`State::ShutdownAckSent`].
    /// * original HEARTBEAT, original HEARTBEAT ACK: stays.
    /// * original, any other: [`State::Closed`].
    /// * reply HEARTBEAT: stays.
    /// * reply HEARTBEAT ACK: [`State::Established`].
    /// * reply, any other: invalid.
    HeartbeatSent = 8,
}

impl State {
    /// How many states there are.
    pub const COUNT: usize = 9;

    /// All states, in the order of their discriminants.
    pub const ALL: [State; State::COUNT] = [
        State::None,
        State::Closed,
        State::CookieWait,
        State::CookieEchoed,
        State::Established,
        State::ShutdownSent,
        State::ShutdownRecd,
        State::ShutdownAckSent,
        State::HeartbeatSent,
    ];

    /// The state that a word of `struct ip_ct_sctp` denotes, if it denotes one.
    #[inline]
    pub fn from_raw(raw: u32) -> Option<State> {
        State::ALL.get(usize::try_from(raw).ok()?).copied()
    }

    /// The word that `struct ip_ct_sctp` keeps.
    #[inline]
    pub const fn raw(self) -> u32 {
        // A discriminant; the enum is `repr(u32)`.
        self as u32
    }

    /// Its place in an array of [`TIMEOUTS`]; the timeout of [`State::None`] mirrors that of
    /// [`State::Closed`].
    #[inline]
    pub const fn index(self) -> usize {
        // A discriminant; fits into any size.
        self as usize
    }

    /// The name that procfs shows.
    pub const fn name(self) -> &'static str {
        match self {
            State::None => "NONE",
            State::Closed => "CLOSED",
            State::CookieWait => "COOKIE_WAIT",
            State::CookieEchoed => "COOKIE_ECHOED",
            State::Established => "ESTABLISHED",
            State::ShutdownSent => "SHUTDOWN_SENT",
            State::ShutdownRecd => "SHUTDOWN_RECD",
            State::ShutdownAckSent => "SHUTDOWN_ACK_SENT",
            State::HeartbeatSent => "HEARTBEAT_SENT",
        }
    }
}

/// The name of the state that a word of `struct ip_ct_sctp` denotes.
pub fn state_name(raw: u32) -> &'static str {
    State::from_raw(raw).map_or("UNKNOWN", State::name)
}

/// Whether little is lost if the entry of an association in this state goes early.
#[inline]
pub fn can_early_drop(raw_state: u32) -> bool {
    matches!(
        State::from_raw(raw_state),
        Some(State::ShutdownSent | State::ShutdownRecd | State::ShutdownAckSent)
    )
}

const NO: Option<State> = Some(State::None);
const CL: Option<State> = Some(State::Closed);
const CW: Option<State> = Some(State::CookieWait);
const CE: Option<State> = Some(State::CookieEchoed);
const ES: Option<State> = Some(State::Established);
const SS: Option<State> = Some(State::ShutdownSent);
const SR: Option<State> = Some(State::ShutdownRecd);
const SA: Option<State> = Some(State::ShutdownAckSent);
const HS: Option<State> = Some(State::HeartbeatSent);
const IV: Option<State> = None;

/// What follows a state, original direction first; `IV` is invalid.
type Row = [[Option<State>; State::COUNT]; 2];

/// The row of a type of chunk; none for those that leave every state as it is.
const fn row(kind: Kind) -> Option<&'static Row> {
    // From:
    //   NO  CL  CW  CE  ES  SS  SR  SA  HS
    match kind {
        Kind::INIT => Some(&[
            [CL, CL, CW, CE, ES, CL, CL, SA, CW],
            [IV, CL, CW, CE, ES, SS, SR, SA, IV],
        ]),
        Kind::INIT_ACK => Some(&[
            [CL, CL, CW, CE, ES, SS, SR, SA, CL],
            [IV, CW, CW, CE, ES, SS, SR, SA, IV],
        ]),
        Kind::ABORT => Some(&[
            [CL, CL, CL, CL, CL, CL, CL, CL, CL],
            [IV, CL, CL, CL, CL, CL, CL, CL, IV],
        ]),
        Kind::SHUTDOWN => Some(&[
            [CL, CL, CW, CE, SS, SS, SR, SA, CL],
            [IV, CL, CW, CE, SR, SS, SR, SA, IV],
        ]),
        Kind::SHUTDOWN_ACK => Some(&[
            [SA, CL, CW, CE, ES, SA, SA, SA, SA],
            [IV, CL, CW, CE, ES, SA, SA, SA, IV],
        ]),
        Kind::ERROR => Some(&[
            [CL, CL, CW, CE, ES, SS, SR, SA, CL],
            [IV, CL, CW, CL, ES, SS, SR, SA, IV],
        ]),
        Kind::COOKIE_ECHO => Some(&[
            [CL, CL, CE, CE, ES, SS, SR, SA, CL],
            [IV, CL, CE, CE, ES, SS, SR, SA, IV],
        ]),
        Kind::COOKIE_ACK => Some(&[
            [CL, CL, CW, ES, ES, SS, SR, SA, CL],
            [IV, CL, CW, ES, ES, SS, SR, SA, IV],
        ]),
        Kind::SHUTDOWN_COMPLETE => Some(&[
            [CL, CL, CW, CE, ES, SS, SR, CL, CL],
            [IV, CL, CW, CE, ES, SS, SR, CL, IV],
        ]),
        Kind::HEARTBEAT => Some(&[
            [HS, CL, CW, CE, ES, SS, SR, SA, HS],
            [IV, CL, CW, CE, ES, SS, SR, SA, HS],
        ]),
        Kind::HEARTBEAT_ACK => Some(&[
            [CL, CL, CW, CE, ES, SS, SR, SA, HS],
            [IV, CL, CW, CE, ES, SS, SR, SA, ES],
        ]),
        _ => None,
    }
}

/// Looks up what follows `state`; `None` is invalid.
#[inline]
fn next(dir: Dir, kind: Kind, state: State) -> Option<State> {
    match row(kind) {
        Some(row) => *row.get(dir.index())?.get(state.index())?,
        None => Some(state),
    }
}

/// In [`Tracking::flags`]: a HEARTBEAT bore a tag that was not the one expected.
const HEARTBEAT_TAG_FAILED: u8 = 1;

/// What is known about an association. Same layout as `struct ip_ct_sctp`.
///
/// ctnetlink writes into it, so any content is legal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tracking {
    /// See [`State`].
    pub state: u32,
    /// The tag that messages bear, by their direction; zero if not known.
    pub tag: [Tag; 2],
    /// Whether an INIT that counts was seen, by direction.
    pub init: [u8; 2],
    /// The direction of the last HEARTBEAT with an unexpected tag.
    pub last_dir: u8,
    /// Whether there was such a one.
    pub flags: u8,
}

impl Tracking {
    #[inline]
    fn tag(&self, dir: Dir) -> Tag {
        let [original, reply] = self.tag;
        match dir {
            Dir::Original => original,
            Dir::Reply => reply,
        }
    }

    #[inline]
    fn set_tag(&mut self, dir: Dir, tag: Tag) {
        let [original, reply] = &mut self.tag;
        match dir {
            Dir::Original => *original = tag,
            Dir::Reply => *reply = tag,
        }
    }

    #[inline]
    fn init(&self, dir: Dir) -> bool {
        let [original, reply] = self.init;
        match dir {
            Dir::Original => original != 0,
            Dir::Reply => reply != 0,
        }
    }

    #[inline]
    fn set_init(&mut self, dir: Dir, seen: bool) {
        let [original, reply] = &mut self.init;
        match dir {
            Dir::Original => *original = u8::from(seen),
            Dir::Reply => *reply = u8::from(seen),
        }
    }

    fn note_failed_tag(&mut self, dir: Dir) {
        self.flags |= HEARTBEAT_TAG_FAILED;
        self.last_dir = match dir {
            Dir::Original => 0,
            Dir::Reply => 1,
        };
    }

    #[inline]
    fn forget_failed_tag(&mut self) {
        self.flags &= !HEARTBEAT_TAG_FAILED;
    }

    /// Whether the other side sent a HEARTBEAT with an unexpected tag, not answered yet.
    fn failed_tag_of_peer(&self, dir: Dir) -> bool {
        self.flags & HEARTBEAT_TAG_FAILED != 0 && Dir::from_raw(self.last_dir) != dir
    }
}

/// What a step depends on besides the association and the message.
#[derive(Clone, Copy, Debug)]
pub struct Env<T> {
    /// The entry is in the table (`IPS_CONFIRMED`).
    pub confirmed: bool,
    /// The association has proved itself (`IPS_ASSURED`).
    pub assured: bool,
    /// A `Fn(State) -> u32`: timeouts in ticks.
    pub timeout: T,
}

/// Why a first message makes no association; nothing is logged about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It belongs to an association that there is not ("out of the blue", RFC 9260, section 8.4).
    OutOfTheBlue,
    /// An INIT that bears a tag (section 8.5.1), or whose own tag is cut off.
    BadInit,
}

/// What a step amounts to.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What becomes of the message and the entry.
    pub verdict: Verdict,
    /// Listeners want to know that the state has changed (`IPCT_PROTOINFO`).
    pub protoinfo: bool,
    /// The association has just proved itself: set `IPS_ASSURED` and tell (`IPCT_ASSURED`).
    pub assured: bool,
    /// What the log of invalid packets says.
    pub log: Option<Log>,
}

/// What becomes of a message and the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass; count it, the entry expires so many ticks from now.
    Refresh(u32),
    /// Pass; neither counted nor a reason for the entry to live on.
    Pass,
    /// No part of the association. Chunks before the one that made it so may have changed the
    /// state.
    Invalid,
}

/// Why a message is invalid; the text is for the log of invalid packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// It bears another tag than expected.
    Tag {
        /// The one that it bears.
        found: Tag,
        /// The one expected.
        expected: Tag,
        /// Its direction.
        dir: Dir,
    },
    /// A chunk may not come in this state.
    Transition {
        /// The state, as stored.
        state: u32,
        /// The direction of the chunk.
        dir: Dir,
        /// Its type.
        kind: Kind,
    },
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Log::Tag {
                found,
                expected,
                dir,
            } => write!(
                f,
                "verification tag check failed {:x} vs {:x} for dir {}",
                found.0,
                expected.0,
                dir.index(),
            ),
            Log::Transition { state, dir, kind } => write!(
                f,
                "Invalid, old_state {}, dir {}, type {}",
                state,
                dir.index(),
                kind.0,
            ),
        }
    }
}

/// Makes an association of its first message; [`step`] with the same message comes next.
///
/// # Errors
///
/// Those of [`Refused`]; the message is no part of any association then.
pub fn open<P: Packet + ?Sized>(message: &Message<'_, P>) -> Result<Tracking, Refused> {
    const NEVER_FIRST: [Kind; 3] = [Kind::ABORT, Kind::SHUTDOWN_COMPLETE, Kind::COOKIE_ACK];

    if message.kinds.has_any(&NEVER_FIRST) {
        return Err(Refused::OutOfTheBlue);
    }

    let mut tracking = Tracking::default();
    for chunk in message.chunks() {
        match next(Dir::Original, chunk.kind, State::None) {
            NO | IV => return Err(Refused::OutOfTheBlue),
            Some(_) => {}
        }
        match chunk.kind {
            Kind::INIT => {
                let announced = message.announced(&chunk).ok_or(Refused::BadInit)?;
                if message.tag != Tag::ZERO {
                    return Err(Refused::BadInit);
                }
                tracking.set_tag(Dir::Reply, announced);
            }
            // A further path of an association that is known elsewhere.
            Kind::HEARTBEAT => tracking.set_tag(Dir::Original, message.tag),
            // What answers is a SHUTDOWN COMPLETE with the same tag (sections 8.4 and 8.5.1).
            Kind::SHUTDOWN_ACK => tracking.set_tag(Dir::Reply, message.tag),
            _ => {}
        }
    }
    Ok(tracking)
}

/// What the tag of the message means for one of its chunks.
enum Fit {
    /// It is the right one.
    Right,
    /// It is not, but the chunk is allowed to find out; it changes no state.
    Tolerated,
    /// It is not.
    Wrong,
}

impl Fit {
    #[inline]
    const fn right_if(right: bool) -> Fit {
        if right {
            Fit::Right
        } else {
            Fit::Wrong
        }
    }
}

/// Takes an association on by a message in direction `dir`.
///
/// `tracking` may change whatever the verdict is.
pub fn step<P: Packet + ?Sized, T: Fn(State) -> u32>(
    tracking: &mut Tracking,
    dir: Dir,
    message: &Message<'_, P>,
    env: &Env<T>,
) -> Step {
    /// Types with rules of their own (RFC 9260, section 8.5.1).
    const SPECIAL: [Kind; 7] = [
        Kind::INIT,
        Kind::SHUTDOWN_COMPLETE,
        Kind::COOKIE_ECHO,
        Kind::ABORT,
        Kind::SHUTDOWN_ACK,
        Kind::HEARTBEAT,
        Kind::HEARTBEAT_ACK,
    ];

    let mut step = Step {
        verdict: Verdict::Invalid,
        protoinfo: false,
        assured: false,
        log: None,
    };

    let expected = tracking.tag(dir);
    if !message.kinds.has_any(&SPECIAL) && message.tag != expected {
        step.log = Some(Log::Tag {
            found: message.tag,
            expected,
            dir,
        });
        return step;
    }

    let mut reached = State::None;
    let mut keep = false;
    for chunk in message.chunks() {
        match fits(tracking, dir, message, &chunk, keep) {
            Fit::Right => {}
            Fit::Tolerated => {
                keep = true;
                continue;
            }
            Fit::Wrong => return step,
        }

        let transition = State::from_raw(tracking.state)
            .and_then(|from| next(dir, chunk.kind, from).map(|to| (from, to)));
        let Some((from, to)) = transition else {
            step.log = Some(Log::Transition {
                state: tracking.state,
                dir,
                kind: chunk.kind,
            });
            return step;
        };

        let taken = match chunk.kind {
            Kind::INIT => init(tracking, dir, message, &chunk, from),
            Kind::INIT_ACK => init_ack(tracking, dir, message, &chunk),
            _ => true,
        };
        if !taken {
            return step;
        }
        // An INIT that is sent again does not keep the entry: else the same ports with a new INIT
        // each could keep it, and its NAT binding, for ever.
        keep |= chunk.kind == Kind::INIT
            && env.confirmed
            && from == State::Closed
            && to == State::Closed;

        tracking.state = to.raw();
        reached = to;
        if from != to {
            step.protoinfo = true;
            step.assured |= to == State::Established && !env.assured;
        }
    }

    step.verdict = if keep {
        Verdict::Pass
    } else {
        Verdict::Refresh((env.timeout)(reached))
    };
    step
}

/// Whether the tag of the message suits the chunk (RFC 9260, section 8.5.1). `probed` tells that a
/// chunk before has been tolerated already.
fn fits<P: Packet + ?Sized>(
    tracking: &mut Tracking,
    dir: Dir,
    message: &Message<'_, P>,
    chunk: &Chunk,
    probed: bool,
) -> Fit {
    let tag = message.tag;
    let expected = tracking.tag(dir);
    match chunk.kind {
        Kind::INIT => Fit::right_if(tag == Tag::ZERO),
        Kind::ABORT | Kind::SHUTDOWN_COMPLETE => {
            let reflected = tracking.tag(dir.opposite());
            Fit::right_if(tag == if chunk.reflected { reflected } else { expected })
        }
        Kind::COOKIE_ECHO => Fit::right_if(tag == expected),
        Kind::COOKIE_ACK => {
            // Whatever INITs have met, they are settled.
            tracking.init = [0; 2];
            Fit::Right
        }
        Kind::HEARTBEAT | Kind::HEARTBEAT_ACK if expected == Tag::ZERO => {
            tracking.set_tag(dir, tag);
            Fit::Right
        }
        Kind::HEARTBEAT | Kind::HEARTBEAT_ACK if tag == expected => {
            tracking.forget_failed_tag();
            Fit::Right
        }
        Kind::HEARTBEAT | Kind::HEARTBEAT_ACK if probed || message.kinds.has(Kind::DATA) => {
            Fit::Wrong
        }
        Kind::HEARTBEAT => {
            // The endpoints may have a new association. If so, the other side answers.
            tracking.note_failed_tag(dir);
            Fit::Tolerated
        }
        Kind::HEARTBEAT_ACK if tracking.failed_tag_of_peer(dir) => {
            // It does; what the other side bears is to be learned from it.
            tracking.forget_failed_tag();
            tracking.set_tag(dir, tag);
            tracking.set_tag(dir.opposite(), Tag::ZERO);
            Fit::Right
        }
        Kind::HEARTBEAT_ACK => Fit::Wrong,
        _ => Fit::Right,
    }
}

/// Notes what an INIT announces; false if it is cut off.
fn init<P: Packet + ?Sized>(
    tracking: &mut Tracking,
    dir: Dir,
    message: &Message<'_, P>,
    chunk: &Chunk,
    from: State,
) -> bool {
    let peer = dir.opposite();
    let Some(announced) = message.announced(chunk) else {
        return false;
    };

    // One that is sent again, or is left over, announces what is known.
    if from == State::None || tracking.tag(peer) != announced {
        if tracking.init(dir) && tracking.init(peer) {
            tracking.set_init(peer, false);
        }
        tracking.set_init(dir, true);
    }
    tracking.set_tag(peer, announced);
    true
}

/// Notes what an INIT ACK announces; false if it is cut off or answers no INIT that counts.
fn init_ack<P: Packet + ?Sized>(
    tracking: &mut Tracking,
    dir: Dir,
    message: &Message<'_, P>,
    chunk: &Chunk,
) -> bool {
    let peer = dir.opposite();
    let Some(announced) = message.announced(chunk) else {
        return false;
    };

    let known = tracking.tag(peer);
    // No INIT to answer, and not what is known.
    let unasked = !tracking.init(peer) && known != Tag::ZERO && known != announced;
    // INITs have met (section 5.2.1), and the side that answers has announced something else.
    let collides = tracking.init(dir) && tracking.init(peer) && known != announced;
    if unasked || collides {
        return false;
    }
    tracking.set_tag(peer, announced);
    true
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_sctp)
)]
mod tests {
    use super::super::super::wire::sctp::read;
    use super::*;
    use core::mem::offset_of;
    use core::mem::size_of;

    const ORIGINAL: Dir = Dir::Original;
    const REPLY: Dir = Dir::Reply;

    /// What the two sides want to be addressed by.
    const CLIENT: Tag = Tag(0x1111_1111);
    const SERVER: Tag = Tag(0x2222_2222);
    const OTHER: Tag = Tag(0x3333_3333);

    /// Types with a row of their own.
    const MEANINGFUL: [Kind; 11] = [
        Kind::INIT,
        Kind::INIT_ACK,
        Kind::ABORT,
        Kind::SHUTDOWN,
        Kind::SHUTDOWN_ACK,
        Kind::ERROR,
        Kind::COOKIE_ECHO,
        Kind::COOKIE_ACK,
        Kind::SHUTDOWN_COMPLETE,
        Kind::HEARTBEAT,
        Kind::HEARTBEAT_ACK,
    ];

    /// The T flag.
    const REFLECTED: u8 = 1;

    /// A chunk: type, flags, and what it announces if it is an INIT or INIT ACK.
    type Build = (Kind, u8, Tag);

    const fn plain(kind: Kind) -> Build {
        (kind, 0, Tag::ZERO)
    }

    /// A packet with the given tag and chunks, and its length.
    fn packet(tag: Tag, chunks: &[Build]) -> ([u8; 128], usize) {
        let mut bytes = [0; 128];
        bytes[4..8].copy_from_slice(&tag.0.to_ne_bytes());
        let mut end = 12;
        for (kind, flags, announced) in chunks {
            let long = matches!(*kind, Kind::INIT | Kind::INIT_ACK);
            let len = if long { 20 } else { 4 };
            bytes[end] = kind.0;
            bytes[end + 1] = *flags;
            bytes[end + 3] = if long { 20 } else { 4 };
            if long {
                bytes[end + 4..end + 8].copy_from_slice(&announced.0.to_ne_bytes());
            }
            end += len;
        }
        (bytes, end)
    }

    /// A tracker and what its caller remembers.
    #[derive(Clone, Copy)]
    struct Conn {
        tracking: Tracking,
        confirmed: bool,
        assured: bool,
    }

    const NONE: Step = Step {
        verdict: Verdict::Invalid,
        protoinfo: false,
        assured: false,
        log: None,
    };

    impl Conn {
        const NEW: Conn = Conn {
            tracking: Tracking {
                state: 0,
                tag: [Tag::ZERO; 2],
                init: [0; 2],
                last_dir: 0,
                flags: 0,
            },
            confirmed: false,
            assured: false,
        };

        fn in_state(state: State) -> Conn {
            let mut conn = Conn::NEW;
            conn.tracking.state = state.raw();
            conn.tracking.tag = [SERVER, CLIENT];
            conn.confirmed = true;
            conn
        }

        /// Does what the caller of the tracker does; timeouts are the numbers of the states.
        fn send(&mut self, dir: Dir, tag: Tag, chunks: &[Build]) -> Step {
            let (bytes, len) = packet(tag, chunks);
            let Ok(message) = read(&bytes[..len], 0) else {
                return NONE;
            };
            if !self.confirmed {
                match open(&message) {
                    Ok(tracking) => self.tracking = tracking,
                    Err(_) => return NONE,
                }
            }
            let env = Env {
                confirmed: self.confirmed,
                assured: self.assured,
                timeout: |state: State| state.raw(),
            };
            let step = step(&mut self.tracking, dir, &message, &env);
            self.confirmed |= step.verdict != Verdict::Invalid;
            self.assured |= step.assured;
            step
        }

        fn is(&self, state: State) -> bool {
            self.tracking.state == state.raw()
        }

        /// After the four messages of the beginning.
        fn established() -> Conn {
            let mut conn = Conn::NEW;
            let _ = conn.send(ORIGINAL, Tag::ZERO, &[(Kind::INIT, 0, CLIENT)]);
            let _ = conn.send(REPLY, CLIENT, &[(Kind::INIT_ACK, 0, SERVER)]);
            let _ = conn.send(ORIGINAL, SERVER, &[plain(Kind::COOKIE_ECHO)]);
            let _ = conn.send(REPLY, CLIENT, &[plain(Kind::COOKIE_ACK)]);
            conn
        }
    }

    fn refresh(state: State) -> Verdict {
        Verdict::Refresh(state.raw())
    }

    /// What the documentation of the states says.
    fn documented(dir: Dir, kind: Kind, state: State) -> Option<State> {
        let original = dir == ORIGINAL;
        match (state, kind) {
            (State::None, _) if !original => None,
            (State::None, Kind::HEARTBEAT) => Some(State::HeartbeatSent),
            (State::None, Kind::SHUTDOWN_ACK) => Some(State::ShutdownAckSent),
            (State::None, _) => Some(State::Closed),

            (State::Closed, Kind::INIT_ACK) if !original => Some(State::CookieWait),

            (State::CookieWait, Kind::COOKIE_ECHO) => Some(State::CookieEchoed),
            (State::CookieWait, Kind::ABORT) => Some(State::Closed),

            (State::CookieEchoed, Kind::COOKIE_ACK) => Some(State::Established),
            (State::CookieEchoed, Kind::ABORT) => Some(State::Closed),
            (State::CookieEchoed, Kind::ERROR) if !original => Some(State::Closed),

            (State::Established, Kind::SHUTDOWN) if original => Some(State::ShutdownSent),
            (State::Established, Kind::SHUTDOWN) => Some(State::ShutdownRecd),
            (State::Established, Kind::ABORT) => Some(State::Closed),

            (State::ShutdownSent | State::ShutdownRecd, Kind::SHUTDOWN_ACK) => {
                Some(State::ShutdownAckSent)
            }
            (State::ShutdownSent | State::ShutdownRecd, Kind::ABORT) => Some(State::Closed),
            (State::ShutdownSent | State::ShutdownRecd, Kind::INIT) if original => {
                Some(State::Closed)
            }

            (State::ShutdownAckSent, Kind::SHUTDOWN_COMPLETE | Kind::ABORT) => Some(State::Closed),

            (State::HeartbeatSent, Kind::HEARTBEAT) => Some(state),
            (State::HeartbeatSent, Kind::HEARTBEAT_ACK) if original => Some(state),
            (State::HeartbeatSent, Kind::HEARTBEAT_ACK) => Some(State::Established),
            (State::HeartbeatSent, _) if !original => None,
            (State::HeartbeatSent, Kind::INIT) => Some(State::CookieWait),
            (State::HeartbeatSent, Kind::SHUTDOWN_ACK) => Some(State::ShutdownAckSent),
            (State::HeartbeatSent, _) => Some(State::Closed),

            (state, _) => Some(state),
        }
    }

    #[test]
    fn every_cell() {
        for dir in Dir::BOTH {
            for state in State::ALL {
                for kind in MEANINGFUL {
                    assert!(next(dir, kind, state) == documented(dir, kind, state));
                }
            }
        }
    }

    #[test]
    fn other_chunks_leave_the_state() {
        for raw in 0..=255 {
            let kind = Kind(raw);
            if !MEANINGFUL.contains(&kind) {
                for dir in Dir::BOTH {
                    for state in State::ALL {
                        assert!(next(dir, kind, state) == Some(state));
                    }
                }
            }
        }
    }

    #[test]
    fn layout() {
        // include/linux/netfilter/nf_conntrack_sctp.h
        assert_eq!(size_of::<Tracking>(), 16);
        assert_eq!(offset_of!(Tracking, tag), 4);
        assert_eq!(offset_of!(Tracking, init), 12);
        assert_eq!(offset_of!(Tracking, last_dir), 14);
        assert_eq!(offset_of!(Tracking, flags), 15);
    }

    #[test]
    fn states() {
        for (raw, state) in (0..).zip(State::ALL) {
            assert!(State::from_raw(raw) == Some(state));
            assert_eq!(state.raw(), raw);
            assert_eq!(usize::try_from(raw), Ok(state.index()));
            assert!(state_name(raw) == state.name());
            assert_eq!(can_early_drop(raw), (5..=7).contains(&raw));
        }
        for raw in [9, 10, u32::MAX] {
            assert!(State::from_raw(raw).is_none());
            assert!(state_name(raw) == "UNKNOWN");
            assert!(!can_early_drop(raw));
        }
    }

    #[test]
    fn life() {
        let mut conn = Conn::NEW;
        let steps: [(Dir, Tag, Build, State, bool); 8] = [
            (
                ORIGINAL,
                Tag::ZERO,
                (Kind::INIT, 0, CLIENT),
                State::Closed,
                true,
            ),
            (
                REPLY,
                CLIENT,
                (Kind::INIT_ACK, 0, SERVER),
                State::CookieWait,
                true,
            ),
            (
                ORIGINAL,
                SERVER,
                plain(Kind::COOKIE_ECHO),
                State::CookieEchoed,
                true,
            ),
            (
                REPLY,
                CLIENT,
                plain(Kind::COOKIE_ACK),
                State::Established,
                true,
            ),
            (
                ORIGINAL,
                SERVER,
                plain(Kind::DATA),
                State::Established,
                false,
            ),
            (
                ORIGINAL,
                SERVER,
                plain(Kind::SHUTDOWN),
                State::ShutdownSent,
                true,
            ),
            (
                REPLY,
                CLIENT,
                plain(Kind::SHUTDOWN_ACK),
                State::ShutdownAckSent,
                true,
            ),
            (
                ORIGINAL,
                SERVER,
                plain(Kind::SHUTDOWN_COMPLETE),
                State::Closed,
                true,
            ),
        ];
        for (dir, tag, chunk, state, tells) in steps {
            let was_assured = conn.assured;
            let step = conn.send(dir, tag, &[chunk]);
            assert!(step.verdict == refresh(state));
            assert!(conn.is(state));
            assert_eq!(step.protoinfo, tells);
            let proves = state == State::Established && !was_assured;
            assert_eq!(step.assured, proves);
            assert!(step.log.is_none());
        }
        assert!(conn.tracking.tag == [SERVER, CLIENT]);
    }

    #[test]
    fn shutdown_by_the_server() {
        let mut conn = Conn::established();
        assert!(conn.send(REPLY, CLIENT, &[plain(Kind::SHUTDOWN)]).protoinfo);
        assert!(conn.is(State::ShutdownRecd));
        assert!(
            conn.send(ORIGINAL, SERVER, &[plain(Kind::SHUTDOWN_ACK)])
                .protoinfo
        );
        assert!(conn.is(State::ShutdownAckSent));
        assert!(
            conn.send(REPLY, CLIENT, &[plain(Kind::SHUTDOWN_COMPLETE)])
                .protoinfo
        );
        assert!(conn.is(State::Closed));
    }

    #[test]
    fn first_messages() {
        let cases: [(Tag, &[Build], Option<State>); 12] = [
            (Tag::ZERO, &[(Kind::INIT, 0, CLIENT)], Some(State::Closed)),
            // An INIT bears no tag.
            (SERVER, &[(Kind::INIT, 0, CLIENT)], None),
            (
                SERVER,
                &[plain(Kind::HEARTBEAT)],
                Some(State::HeartbeatSent),
            ),
            (
                SERVER,
                &[plain(Kind::SHUTDOWN_ACK)],
                Some(State::ShutdownAckSent),
            ),
            (SERVER, &[plain(Kind::DATA)], None),
            (SERVER, &[plain(Kind::HEARTBEAT), plain(Kind::DATA)], None),
            (SERVER, &[plain(Kind::ABORT)], None),
            (SERVER, &[plain(Kind::HEARTBEAT), plain(Kind::ABORT)], None),
            (SERVER, &[plain(Kind::SHUTDOWN_COMPLETE)], None),
            (SERVER, &[plain(Kind::COOKIE_ACK)], None),
            // Bears a tag that cannot be known.
            (SERVER, &[plain(Kind::COOKIE_ECHO)], None),
            (SERVER, &[], None),
        ];
        for (tag, chunks, state) in cases {
            let mut conn = Conn::NEW;
            let step = conn.send(ORIGINAL, tag, chunks);
            match state {
                Some(state) => {
                    assert!(step.verdict == refresh(state));
                    assert!(conn.is(state));
                    assert!(step.protoinfo);
                    // What the answer bears, or what further ones bear.
                    let tags = match state {
                        State::Closed => [Tag::ZERO, CLIENT],
                        State::HeartbeatSent => [SERVER, Tag::ZERO],
                        _ => [Tag::ZERO, SERVER],
                    };
                    assert!(conn.tracking.tag == tags);
                }
                None => assert!(step.verdict == Verdict::Invalid),
            }
        }
    }

    #[test]
    fn tags() {
        // (type, flags, tag of the message, passes); from the client, who is to bear SERVER.
        let cases = [
            (Kind::DATA, 0, SERVER, true),
            (Kind::DATA, 0, CLIENT, false),
            (Kind::SHUTDOWN, 0, OTHER, false),
            (Kind::ERROR, 0, Tag::ZERO, false),
            (Kind::INIT, 0, Tag::ZERO, true),
            (Kind::INIT, 0, SERVER, false),
            (Kind::ABORT, 0, SERVER, true),
            (Kind::ABORT, 0, CLIENT, false),
            (Kind::ABORT, REFLECTED, SERVER, false),
            (Kind::ABORT, REFLECTED, CLIENT, true),
            (Kind::SHUTDOWN_COMPLETE, 0, SERVER, true),
            (Kind::SHUTDOWN_COMPLETE, 0, CLIENT, false),
            (Kind::SHUTDOWN_COMPLETE, REFLECTED, CLIENT, true),
            (Kind::SHUTDOWN_COMPLETE, REFLECTED, SERVER, false),
            (Kind::COOKIE_ECHO, 0, SERVER, true),
            (Kind::COOKIE_ECHO, 0, CLIENT, false),
            (Kind::COOKIE_ACK, 0, CLIENT, false),
            // Any tag, since it may be out of the blue.
            (Kind::SHUTDOWN_ACK, 0, OTHER, true),
            (Kind::HEARTBEAT, 0, SERVER, true),
            (Kind::HEARTBEAT, 0, OTHER, true),
            (Kind::HEARTBEAT_ACK, 0, SERVER, true),
            (Kind::HEARTBEAT_ACK, 0, OTHER, false),
        ];
        for (kind, flags, tag, passes) in cases {
            let mut conn = Conn::in_state(State::Established);
            let step = conn.send(ORIGINAL, tag, &[(kind, flags, OTHER)]);
            assert!((step.verdict != Verdict::Invalid) == passes);

            // The same from the server, with the tags exchanged.
            let tag = match tag {
                SERVER => CLIENT,
                CLIENT => SERVER,
                tag => tag,
            };
            let mut conn = Conn::in_state(State::Established);
            let step = conn.send(REPLY, tag, &[(kind, flags, OTHER)]);
            assert!((step.verdict != Verdict::Invalid) == passes);
        }
    }

    #[test]
    fn wrong_tag_is_logged() {
        let mut conn = Conn::in_state(State::Established);
        let before = conn.tracking;
        let step = conn.send(REPLY, OTHER, &[plain(Kind::DATA)]);
        let log = Log::Tag {
            found: OTHER,
            expected: CLIENT,
            dir: REPLY,
        };
        assert!(step.log == Some(log));
        assert!(conn.tracking == before);
    }

    #[test]
    fn wrong_transition_is_logged() {
        let mut conn = Conn::in_state(State::HeartbeatSent);
        let step = conn.send(REPLY, CLIENT, &[plain(Kind::SHUTDOWN)]);
        let log = Log::Transition {
            state: 8,
            dir: REPLY,
            kind: Kind::SHUTDOWN,
        };
        assert!(step.verdict == Verdict::Invalid && step.log == Some(log));
    }

    #[test]
    fn init_sent_again() {
        let init = [(Kind::INIT, 0, CLIENT)];
        let mut conn = Conn::NEW;
        assert!(conn.send(ORIGINAL, Tag::ZERO, &init).verdict == refresh(State::Closed));
        // Does not keep the entry.
        assert!(conn.send(ORIGINAL, Tag::ZERO, &init).verdict == Verdict::Pass);
        let other = [(Kind::INIT, 0, OTHER)];
        assert!(conn.send(ORIGINAL, Tag::ZERO, &other).verdict == Verdict::Pass);
        // But it counts: the answer bears the new tag.
        let answer = [(Kind::INIT_ACK, 0, SERVER)];
        assert!(conn.send(REPLY, CLIENT, &answer).verdict == Verdict::Invalid);
        assert!(conn.send(REPLY, OTHER, &answer).verdict == refresh(State::CookieWait));
    }

    #[test]
    fn answer_to_no_init() {
        let mut conn = Conn::established();
        let before = conn.tracking;
        // The tag that is known: passes. Another one: somebody wants to take over.
        let known = [(Kind::INIT_ACK, 0, SERVER)];
        assert!(conn.send(REPLY, CLIENT, &known).verdict == refresh(State::Established));
        let other = [(Kind::INIT_ACK, 0, OTHER)];
        assert!(conn.send(REPLY, CLIENT, &other).verdict == Verdict::Invalid);
        assert!(conn.tracking == before);
    }

    #[test]
    fn inits_that_meet() {
        // Section 5.2.1: both sides send an INIT, and each answers the other's with the tag that
        // its own INIT announced.
        let mut conn = Conn::NEW;
        let _ = conn.send(ORIGINAL, Tag::ZERO, &[(Kind::INIT, 0, CLIENT)]);
        let _ = conn.send(REPLY, Tag::ZERO, &[(Kind::INIT, 0, SERVER)]);
        assert!(conn.tracking.init == [1, 1]);

        let mut other = conn;
        let wrong = [(Kind::INIT_ACK, 0, OTHER)];
        assert!(other.send(REPLY, CLIENT, &wrong).verdict == Verdict::Invalid);

        let right = [(Kind::INIT_ACK, 0, SERVER)];
        assert!(conn.send(REPLY, CLIENT, &right).verdict == refresh(State::CookieWait));
        let _ = conn.send(ORIGINAL, SERVER, &[plain(Kind::COOKIE_ECHO)]);
        let step = conn.send(REPLY, CLIENT, &[plain(Kind::COOKIE_ACK)]);
        assert!(step.verdict == refresh(State::Established) && step.assured);
        assert!(conn.tracking.init == [0, 0]);
    }

    #[test]
    fn third_init_starts_over() {
        let mut conn = Conn::NEW;
        let _ = conn.send(ORIGINAL, Tag::ZERO, &[(Kind::INIT, 0, CLIENT)]);
        let _ = conn.send(REPLY, Tag::ZERO, &[(Kind::INIT, 0, SERVER)]);
        let _ = conn.send(ORIGINAL, Tag::ZERO, &[(Kind::INIT, 0, OTHER)]);
        assert!(conn.tracking.init == [1, 0]);
        // One that announces what is known changes nothing.
        let _ = conn.send(REPLY, Tag::ZERO, &[(Kind::INIT, 0, SERVER)]);
        assert!(conn.tracking.init == [1, 0]);
    }

    #[test]
    fn cut_off_announcement() {
        for kind in [Kind::INIT, Kind::INIT_ACK] {
            let tag = if kind == Kind::INIT {
                Tag::ZERO
            } else {
                CLIENT
            };
            let (bytes, len) = packet(tag, &[(kind, 0, OTHER)]);
            let mut conn = Conn::in_state(State::Closed);
            let before = conn.tracking;
            let message = read(&bytes[..len - 1], 0);
            assert!(message.is_ok());
            if let Ok(message) = message {
                let env = Env {
                    confirmed: true,
                    assured: false,
                    timeout: |_: State| 1,
                };
                let step = step(&mut conn.tracking, REPLY, &message, &env);
                assert!(step == NONE);
                assert_eq!(open(&message).is_err(), kind == Kind::INIT);
            }
            assert!(conn.tracking == before);
        }
    }

    #[test]
    fn further_path() {
        // A HEARTBEAT and its answer between addresses that are new.
        let mut conn = Conn::NEW;
        let step = conn.send(ORIGINAL, SERVER, &[plain(Kind::HEARTBEAT)]);
        assert!(step.verdict == refresh(State::HeartbeatSent));
        assert!(conn.tracking.tag == [SERVER, Tag::ZERO]);
        // A HEARTBEAT the other way, then the answer.
        let step = conn.send(REPLY, CLIENT, &[plain(Kind::HEARTBEAT)]);
        assert!(step.verdict == refresh(State::HeartbeatSent) && !step.protoinfo);
        assert!(conn.tracking.tag == [SERVER, CLIENT]);
        let step = conn.send(REPLY, CLIENT, &[plain(Kind::HEARTBEAT_ACK)]);
        assert!(step.verdict == refresh(State::Established) && step.assured);
        let step = conn.send(ORIGINAL, SERVER, &[plain(Kind::DATA)]);
        assert!(step.verdict == refresh(State::Established));
    }

    #[test]
    fn association_begun_anew_elsewhere() {
        // The endpoints have opened a new association over another path; this one learns by a
        // HEARTBEAT with a tag that is not known, once the other side answers.
        for dir in Dir::BOTH {
            let peer = dir.opposite();
            let mut conn = Conn::in_state(State::Established);
            let step = conn.send(dir, OTHER, &[plain(Kind::HEARTBEAT)]);
            assert!(step.verdict == Verdict::Pass && step.log.is_none());
            assert_eq!(conn.tracking.flags, HEARTBEAT_TAG_FAILED);
            // What comes along with it does not keep the entry either.
            let mut along = Conn::in_state(State::Established);
            let chunks = [plain(Kind::HEARTBEAT), plain(Kind::SHUTDOWN_ACK)];
            assert!(along.send(dir, OTHER, &chunks).verdict == Verdict::Pass);

            // Not by oneself.
            let mut own = conn;
            let step = own.send(dir, OTHER, &[plain(Kind::HEARTBEAT_ACK)]);
            assert!(step.verdict == Verdict::Invalid);

            let new = Tag(0x4444_4444);
            let step = conn.send(peer, new, &[plain(Kind::HEARTBEAT_ACK)]);
            assert!(step.verdict == refresh(State::Established));
            assert_eq!(conn.tracking.flags, 0);
            assert_eq!(conn.tracking.tag(peer), new);
            assert_eq!(conn.tracking.tag(dir), Tag::ZERO);
            // The other tag comes with the next one.
            let _ = conn.send(dir, OTHER, &[plain(Kind::HEARTBEAT)]);
            assert_eq!(conn.tracking.tag(dir), OTHER);
            let step = conn.send(dir, OTHER, &[plain(Kind::DATA)]);
            assert!(step.verdict == refresh(State::Established));
        }
    }

    #[test]
    fn the_right_tag_ends_the_search() {
        for kind in [Kind::HEARTBEAT, Kind::HEARTBEAT_ACK] {
            let mut conn = Conn::in_state(State::Established);
            let _ = conn.send(ORIGINAL, OTHER, &[plain(Kind::HEARTBEAT)]);
            let _ = conn.send(ORIGINAL, SERVER, &[plain(kind)]);
            assert_eq!(conn.tracking.flags, 0);
            let step = conn.send(REPLY, OTHER, &[plain(Kind::HEARTBEAT_ACK)]);
            assert!(step.verdict == Verdict::Invalid);
        }
    }

    #[test]
    fn no_data_along_with_an_unknown_tag() {
        let before = Conn::in_state(State::Established);
        let mixed: [&[Build]; 3] = [
            &[plain(Kind::HEARTBEAT), plain(Kind::DATA)],
            &[plain(Kind::DATA), plain(Kind::HEARTBEAT_ACK)],
            &[plain(Kind::HEARTBEAT), plain(Kind::HEARTBEAT)],
        ];
        for chunks in mixed {
            let mut conn = before;
            let step = conn.send(ORIGINAL, OTHER, chunks);
            assert!(step.verdict == Verdict::Invalid && step.log.is_none());
            assert!(conn.tracking.tag == before.tracking.tag);
        }
    }

    #[test]
    fn proved_and_closing_at_once() {
        let mut conn = Conn::in_state(State::CookieEchoed);
        let chunks = [plain(Kind::COOKIE_ACK), plain(Kind::SHUTDOWN)];
        let step = conn.send(REPLY, CLIENT, &chunks);
        assert!(step.verdict == refresh(State::ShutdownRecd));
        assert!(step.assured && step.protoinfo);
    }

    #[test]
    fn earlier_chunks_count() {
        // The second chunk is refused; the first has moved the state.
        let mut conn = Conn::in_state(State::Established);
        let chunks = [
            plain(Kind::SHUTDOWN_ACK),
            plain(Kind::SHUTDOWN),
            plain(Kind::ABORT),
        ];
        let step = conn.send(ORIGINAL, OTHER, &chunks);
        assert!(step.verdict == Verdict::Invalid && step.protoinfo);
        assert!(conn.is(State::ShutdownSent));
    }

    #[test]
    fn garbage_is_no_state() {
        for raw in [9, 10, 255, u32::MAX] {
            let mut conn = Conn::in_state(State::Established);
            conn.tracking.state = raw;
            conn.tracking.last_dir = 0xff;
            conn.tracking.flags = 0xff;
            conn.tracking.init = [0xff; 2];
            for dir in Dir::BOTH {
                for kind in MEANINGFUL {
                    let mut conn = conn;
                    for tag in [Tag::ZERO, SERVER, CLIENT] {
                        let step = conn.send(dir, tag, &[plain(kind)]);
                        let tolerated = kind == Kind::HEARTBEAT && step.verdict == Verdict::Pass;
                        assert!(step.verdict == Verdict::Invalid || tolerated);
                        assert_eq!(conn.tracking.state, raw);
                    }
                }
            }
        }
    }
}
