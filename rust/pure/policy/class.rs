// SPDX-License-Identifier: GPL-2.0

//! What an entry is worth when the table is full: the declared order of victims.
//!
//! The order of the classes is the order in which they may go. Nothing else decides it; who looks
//! for victims where is in [`evict`](super::evict), how they are remembered in
//! [`ring`](super::ring).

use core::ffi::CStr;

use super::super::l4::sctp;
use super::super::l4::tcp;
use super::super::status::Status;

/// What an entry is worth; what may go first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Its time is over, only nobody has come by.
    Expired,
    /// Its protocol is done with it.
    Closed,
    /// One side has said goodbye. A peer that ignores it does not keep the entry.
    Closing,
    /// Nobody answered yet.
    Unreplied,
    /// Answered, or assured, but without a proof that the originator gets the answers (see
    /// [`proof`](super::proof)).
    Answered,
    /// Assured, and idle for longer than its soft timeout.
    Idle,
    /// Assured, proven and alive, or carried by a flow table, or expected by one of these: evicted
    /// for another one of these only, see [`fair`](super::fair).
    Active,
}

/// How far a connection is past its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is not.
    NotYet,
    /// One side has ended it.
    Closing,
    /// Nothing more is to come.
    Closed,
}

impl Class {
    /// All classes, by number.
    pub const ALL: [Class; 7] = [
        Class::Expired,
        Class::Closed,
        Class::Closing,
        Class::Unreplied,
        Class::Answered,
        Class::Idle,
        Class::Active,
    ];

    /// Its number, an index into [`Self::ALL`].
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// What it is called in files and traces.
    pub const fn name(self) -> &'static CStr {
        match self {
            Class::Expired => c"expired",
            Class::Closed => c"closed",
            Class::Closing => c"closing",
            Class::Unreplied => c"unreplied",
            Class::Answered => c"answered",
            Class::Idle => c"idle",
            Class::Active => c"active",
        }
    }

    /// The classes that entries are queued by, in the order in which they go.
    pub const QUEUED: [Class; 5] = [
        Class::Closed,
        Class::Closing,
        Class::Unreplied,
        Class::Answered,
        Class::Idle,
    ];

    /// The class of an entry with this `status` for itself; `ending`, `proven` and `idle`, whether
    /// it is idle beyond its soft timeout, are asked only where they matter.
    #[inline]
    pub fn of(
        status: Status,
        expired: bool,
        ending: impl FnOnce() -> Ending,
        proven: impl FnOnce() -> bool,
        idle: impl FnOnce() -> bool,
    ) -> Self {
        if expired {
            return Class::Expired;
        }
        if status.any(Status::OFFLOAD) {
            return Class::Active;
        }
        match ending() {
            Ending::Closed => Class::Closed,
            Ending::Closing => Class::Closing,
            Ending::NotYet if status.any(Status::ASSURED) => {
                if !proven() {
                    Class::Answered
                } else if idle() {
                    Class::Idle
                } else {
                    Class::Active
                }
            }
            Ending::NotYet if status.any(Status::SEEN_REPLY) => Class::Answered,
            Ending::NotYet => Class::Unreplied,
        }
    }

    /// The class of an entry that another one expected, whose class is asked where it matters: what
    /// has not ended stays with an active master. It keeps what it has earned itself when that goes.
    #[inline]
    pub fn of_child(self, master: impl FnOnce() -> Class) -> Self {
        self.unless(|| master() == Class::Active)
    }

    /// The class of an entry that has not ended and may go, unless something protects it.
    #[inline]
    pub fn unless(self, is_protected: impl FnOnce() -> bool) -> Self {
        let may = matches!(self, Class::Unreplied | Class::Answered | Class::Idle);
        if may && is_protected() {
            Class::Active
        } else {
            self
        }
    }

    /// The number of the queue of this class, an index into [`Class::QUEUED`].
    #[inline]
    pub const fn queue(self) -> Option<usize> {
        match self {
            Class::Closed => Some(0),
            Class::Closing => Some(1),
            Class::Unreplied => Some(2),
            Class::Answered => Some(3),
            Class::Idle => Some(4),
            Class::Expired | Class::Active => None,
        }
    }

    /// Whether a packet that needs room may take an entry of this class.
    #[inline]
    pub const fn may_go(self) -> bool {
        !matches!(self, Class::Active)
    }
}

impl Ending {
    /// Of a TCP connection in this state, as it stands in the entry.
    #[inline]
    pub fn of_tcp(raw_state: u8) -> Self {
        use tcp::State;
        match State::from_raw(raw_state) {
            Some(State::LastAck | State::TimeWait | State::Close) => Ending::Closed,
            Some(State::FinWait | State::CloseWait) => Ending::Closing,
            _ => Ending::NotYet,
        }
    }

    /// Of an SCTP association. One that begins is in the state of one that was aborted, but not
    /// `assured`.
    #[inline]
    pub fn of_sctp(raw_state: u32, assured: bool) -> Self {
        use sctp::State;
        match State::from_raw(raw_state) {
            Some(State::ShutdownAckSent) => Ending::Closed,
            Some(State::Closed) if assured => Ending::Closed,
            Some(State::ShutdownSent | State::ShutdownRecd) => Ending::Closing,
            _ => Ending::NotYet,
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_class)
)]
mod tests {
    use super::*;

    const ASSURED: Status = Status(Status::ASSURED.0 | Status::SEEN_REPLY.0);
    const CARRIED: Status = Status(ASSURED.0 | Status::OFFLOAD.0);

    #[test]
    fn what_makes_a_class() {
        use Ending::*;
        let table = [
            (Status(0), true, NotYet, false, Class::Expired),
            (CARRIED, true, NotYet, false, Class::Expired),
            (Status(0), false, Closed, false, Class::Closed),
            (ASSURED, false, Closed, true, Class::Closed),
            (ASSURED, false, Closing, false, Class::Closing),
            (Status(0), false, Ending::Closing, false, Class::Closing),
            (Status(0), false, NotYet, true, Class::Unreplied),
            (Status::SEEN_REPLY, false, NotYet, true, Class::Answered),
            (ASSURED, false, NotYet, true, Class::Idle),
            (ASSURED, false, NotYet, false, Class::Active),
            (Status::ASSURED, false, NotYet, false, Class::Active),
            (CARRIED, false, Closed, true, Class::Active),
        ];
        for (status, expired, ending, idle, expected) in table {
            let of = |proven| Class::of(status, expired, || ending, || proven, || idle);
            assert!(of(true) == expected);
            // Without proof it is no more than answered, wherever it would be more.
            let carried = status.any(Status::OFFLOAD);
            assert!(carried || of(false) == expected.min(Class::Answered));
        }
    }

    #[test]
    fn children_follow_an_active_master() {
        use Class::*;
        let all = Class::QUEUED.into_iter().chain([Expired, Active]);
        for own in all.clone() {
            let stays = matches!(own, Unreplied | Answered | Idle);
            for master in all.clone() {
                let expected = if stays && master == Active {
                    Active
                } else {
                    own
                };
                assert!(own.of_child(|| master) == expected);
            }
        }
    }

    #[test]
    fn the_order() {
        let order = Class::QUEUED;
        assert!(order.windows(2).all(|pair| pair[0] < pair[1]));
        for (index, class) in order.into_iter().enumerate() {
            assert_eq!(class.queue(), Some(index));
            assert!(Class::Expired < class && class < Class::Active && class.may_go());
        }
        assert!(Class::Expired.queue().is_none() && Class::Expired.may_go());
        assert!(Class::Active.queue().is_none() && !Class::Active.may_go());
    }

    #[test]
    fn endings() {
        use Ending::*;
        let tcp = [
            NotYet, NotYet, NotYet, NotYet, Closing, Closing, Closed, Closed, Closed, NotYet,
        ];
        for (raw, expected) in (0..).zip(tcp) {
            assert_eq!(Ending::of_tcp(raw), expected);
            // Whatever the collector evicts is past its end.
            assert_eq!(tcp::can_early_drop(raw), expected != NotYet);
        }
        assert_eq!(Ending::of_tcp(255), NotYet);
        let sctp = [
            NotYet, Closed, NotYet, NotYet, NotYet, Closing, Closing, Closed, NotYet,
        ];
        for (raw, expected) in (0..).zip(sctp) {
            assert_eq!(Ending::of_sctp(raw, true), expected);
        }
        assert_eq!(Ending::of_sctp(1, false), NotYet);
        assert_eq!(Ending::of_sctp(u32::MAX, true), NotYet);
    }
}
