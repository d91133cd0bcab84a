// SPDX-License-Identifier: GPL-2.0

//! Which state follows which.
//!
//! A tracker between two endpoints does not know which segments arrive; it assumes that what it
//! has not seen cannot have arrived. [`State`] tells for every state what leads out of it, the
//! table holds the same in a form that code can look up. Not for sequence numbers: a transition
//! counts only once the segment has passed the window (`super::window`).
//!
//! C counterpart: `tcp_conntracks[][][]` in `net/netfilter/nf_conntrack_proto_tcp.c`.

use super::Dir;
use super::Kind;

/// Where a connection stands.
///
/// The discriminants are those of `enum tcp_conntrack`. In the lists below, "original" and
/// "reply" are the direction of the segment; what a list does not mention is invalid, and
/// *ignored* means: let pass without effect on the state, because the endpoints may know better.
/// A segment without SYN, FIN, RST and ACK is invalid everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nothing seen; the entry is being made.
    ///
    /// * original SYN: [`State::SynSent`].
    /// * original ACK: [`State::Established`], picking up a connection that was there before.
    None = 0,

    /// The opening SYN was seen.
    ///
    /// * original SYN: stays; sent again.
    /// * reply SYN: [`State::SynSent2`]; simultaneous open.
    /// * reply SYN-ACK: [`State::SynRecv`]; the usual way.
    /// * reply ACK: ignored; may come from a half-open connection of old.
    /// * RST: [`State::Close`].
    SynSent = 1,

    /// The SYN was answered.
    ///
    /// * original SYN: ignored.
    /// * original SYN-ACK: stays; sent again in a simultaneous open.
    /// * reply SYN-ACK: ignored; sent again.
    /// * original ACK: [`State::Established`].
    /// * reply ACK: stays, may answer a late SYN; but [`State::Established`] after a simultaneous
    ///   open.
    /// * FIN: [`State::FinWait`].
    /// * RST: [`State::Close`].
    SynRecv = 2,

    /// Data flows.
    ///
    /// * original SYN: ignored; either side may have forgotten the connection.
    /// * reply SYN-ACK: ignored; late.
    /// * ACK: stays.
    /// * FIN: [`State::FinWait`].
    /// * RST: [`State::Close`], or stays if the number is not the one expected (RFC 5961).
    Established = 3,

    /// One side has sent a FIN.
    ///
    /// * original SYN, reply SYN-ACK: ignored.
    /// * ACK: [`State::CloseWait`].
    /// * FIN: [`State::LastAck`].
    /// * RST: [`State::Close`].
    FinWait = 4,

    /// The FIN was acknowledged.
    ///
    /// * original SYN, reply SYN-ACK: ignored.
    /// * ACK: stays.
    /// * FIN: [`State::LastAck`].
    /// * RST: [`State::Close`].
    CloseWait = 5,

    /// A FIN was seen after a FIN.
    ///
    /// * original SYN, reply SYN-ACK: ignored.
    /// * ACK: [`State::TimeWait`], unless it is a challenge (RFC 5961) to a SYN ignored here.
    /// * FIN: stays; sent again.
    /// * RST: [`State::Close`].
    LastAck = 6,

    /// The last FIN was acknowledged.
    ///
    /// * SYN: [`State::SynSent`], as a new connection in place of this one.
    /// * reply SYN-ACK: ignored.
    /// * ACK, FIN: stays; sent again.
    /// * RST: [`State::Close`].
    TimeWait = 7,

    /// The connection was aborted.
    ///
    /// * original SYN: [`State::SynSent`], as a new connection in place of this one.
    /// * reply SYN-ACK: ignored.
    /// * ACK, FIN, RST: stays.
    Close = 8,

    /// A SYN was seen from both sides, none answered yet.
    ///
    /// * SYN: stays; sent again.
    /// * SYN-ACK: [`State::SynRecv`].
    /// * reply ACK: ignored.
    /// * RST: [`State::Close`].
    SynSent2 = 9,
}

impl State {
    /// How many states there are.
    pub const COUNT: usize = 10;

    /// All states, in the order of their discriminants.
    pub const ALL: [State; State::COUNT] = [
        State::None,
        State::SynSent,
        State::SynRecv,
        State::Established,
        State::FinWait,
        State::CloseWait,
        State::LastAck,
        State::TimeWait,
        State::Close,
        State::SynSent2,
    ];

    /// The state that a byte of `struct ip_ct_tcp` denotes, if it denotes one.
    #[inline]
    pub fn from_raw(raw: u8) -> Option<State> {
        State::ALL.get(usize::from(raw)).copied()
    }

    /// The byte that `struct ip_ct_tcp` keeps.
    #[inline]
    pub const fn raw(self) -> u8 {
        // A discriminant; the enum is `repr(u8)`.
        self as u8
    }

    /// The name that procfs and the log of invalid packets show.
    pub const fn name(self) -> &'static str {
        match self {
            State::None => "NONE",
            State::SynSent => "SYN_SENT",
            State::SynRecv => "SYN_RECV",
            State::Established => "ESTABLISHED",
            State::FinWait => "FIN_WAIT",
            State::CloseWait => "CLOSE_WAIT",
            State::LastAck => "LAST_ACK",
            State::TimeWait => "TIME_WAIT",
            State::Close => "CLOSE",
            State::SynSent2 => "SYN_SENT2",
        }
    }

    /// Whether the connection is over or about to be: nothing is lost if its entry is.
    #[inline]
    pub const fn closing(self) -> bool {
        matches!(
            self,
            State::FinWait | State::CloseWait | State::LastAck | State::TimeWait | State::Close
        )
    }
}

/// What the table says about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The state that follows, if the segment is in the window.
    To(State),
    /// Let it pass, the endpoints may know better.
    Ignore,
    /// No part of this connection.
    Invalid,
}

/// Looks up what follows `state` when a segment of `kind` arrives in direction `dir`.
#[inline]
pub(super) fn next(dir: Dir, kind: Kind, state: State) -> Next {
    TABLE
        .get(dir.index())
        .and_then(|kinds| kinds.get(usize::from(kind.raw())))
        .and_then(|states| states.get(usize::from(state.raw())))
        .copied()
        .unwrap_or(Next::Invalid)
}

const SS: Next = Next::To(State::SynSent);
const SR: Next = Next::To(State::SynRecv);
const ES: Next = Next::To(State::Established);
const FW: Next = Next::To(State::FinWait);
const CW: Next = Next::To(State::CloseWait);
const LA: Next = Next::To(State::LastAck);
const TW: Next = Next::To(State::TimeWait);
const CL: Next = Next::To(State::Close);
const S2: Next = Next::To(State::SynSent2);
const IG: Next = Next::Ignore;
const IV: Next = Next::Invalid;

/// By direction, kind of segment and state.
static TABLE: [[[Next; State::COUNT]; Kind::COUNT]; 2] = [
    // Original; from:
    // NO  SS  SR  ES  FW  CW  LA  TW  CL  S2
    [
        [SS, SS, IG, IG, IG, IG, IG, SS, SS, S2], // SYN
        [IV, IV, SR, IV, IV, IV, IV, IV, IV, SR], // SYN-ACK
        [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV], // FIN
        [ES, IV, ES, ES, CW, CW, TW, TW, CL, IV], // ACK
        [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL], // RST
        [IV, IV, IV, IV, IV, IV, IV, IV, IV, IV], // none
    ],
    // Reply; from:
    // NO  SS  SR  ES  FW  CW  LA  TW  CL  S2
    [
        [IV, S2, IV, IV, IV, IV, IV, SS, IV, S2], // SYN
        [IV, SR, IG, IG, IG, IG, IG, IG, IG, SR], // SYN-ACK
        [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV], // FIN
        [IV, IG, SR, ES, CW, CW, TW, TW, CL, IG], // ACK
        [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL], // RST
        [IV, IV, IV, IV, IV, IV, IV, IV, IV, IV], // none
    ],
];

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_tcp_table)
)]
mod tests {
    use super::*;

    /// What leads out of a state, read from its documentation and not from the table: per
    /// direction the successors for SYN, SYN-ACK, FIN, ACK and RST.
    type Row = (State, [Next; 5], [Next; 5]);

    const fn to(state: State) -> Next {
        Next::To(state)
    }

    const LISTING: [Row; State::COUNT] = {
        use Next::Ignore;
        use Next::Invalid;
        use State::*;

        [
            (
                None,
                [to(SynSent), Invalid, Invalid, to(Established), Invalid],
                [Invalid, Invalid, Invalid, Invalid, Invalid],
            ),
            (
                SynSent,
                [to(SynSent), Invalid, Invalid, Invalid, to(Close)],
                [to(SynSent2), to(SynRecv), Invalid, Ignore, to(Close)],
            ),
            (
                SynRecv,
                [Ignore, to(SynRecv), to(FinWait), to(Established), to(Close)],
                [Invalid, Ignore, to(FinWait), to(SynRecv), to(Close)],
            ),
            (
                Established,
                [Ignore, Invalid, to(FinWait), to(Established), to(Close)],
                [Invalid, Ignore, to(FinWait), to(Established), to(Close)],
            ),
            (
                FinWait,
                [Ignore, Invalid, to(LastAck), to(CloseWait), to(Close)],
                [Invalid, Ignore, to(LastAck), to(CloseWait), to(Close)],
            ),
            (
                CloseWait,
                [Ignore, Invalid, to(LastAck), to(CloseWait), to(Close)],
                [Invalid, Ignore, to(LastAck), to(CloseWait), to(Close)],
            ),
            (
                LastAck,
                [Ignore, Invalid, to(LastAck), to(TimeWait), to(Close)],
                [Invalid, Ignore, to(LastAck), to(TimeWait), to(Close)],
            ),
            (
                TimeWait,
                [to(SynSent), Invalid, to(TimeWait), to(TimeWait), to(Close)],
                [to(SynSent), Ignore, to(TimeWait), to(TimeWait), to(Close)],
            ),
            (
                Close,
                [to(SynSent), Invalid, to(Close), to(Close), to(Close)],
                [Invalid, Ignore, to(Close), to(Close), to(Close)],
            ),
            (
                SynSent2,
                [to(SynSent2), to(SynRecv), Invalid, Invalid, to(Close)],
                [to(SynSent2), to(SynRecv), Invalid, Ignore, to(Close)],
            ),
        ]
    };

    #[test]
    fn every_cell() {
        let kinds = [Kind::Syn, Kind::SynAck, Kind::Fin, Kind::Ack, Kind::Rst];
        let mut cells = 0;
        for (state, original, reply) in LISTING {
            for (kind, (original, reply)) in kinds.into_iter().zip(original.into_iter().zip(reply))
            {
                assert!(next(Dir::Original, kind, state) == original);
                assert!(next(Dir::Reply, kind, state) == reply);
                cells += 2;
            }
            for dir in Dir::BOTH {
                assert!(next(dir, Kind::None, state) == Next::Invalid);
                cells += 1;
            }
        }
        assert_eq!(cells, 2 * Kind::COUNT * State::COUNT);
    }

    #[test]
    fn bytes() {
        for (index, state) in State::ALL.iter().enumerate() {
            assert_eq!(usize::from(state.raw()), index);
            assert!(State::from_raw(state.raw()) == Some(*state));
        }
        for raw in 10..=255 {
            assert!(State::from_raw(raw).is_none());
        }
    }

    #[test]
    fn closing() {
        let raw = State::ALL
            .iter()
            .filter(|state| state.closing())
            .map(|state| state.raw());
        assert!(raw.eq([4, 5, 6, 7, 8]));
    }

    #[test]
    fn no_state_is_a_trap() {
        // From every state but the first an abort leads to the end, from both sides.
        for state in State::ALL.into_iter().skip(1) {
            for dir in Dir::BOTH {
                assert!(next(dir, Kind::Rst, state) == Next::To(State::Close));
            }
        }
    }
}
