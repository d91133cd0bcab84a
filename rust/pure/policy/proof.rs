// SPDX-License-Identifier: GPL-2.0

//! Proof before privilege: who has shown that it gets what is sent to it.
//!
//! A source address can be made up, and whoever makes one up does not see the answers. An assured
//! connection is safe from eviction only once its originator has shown that it does.
//!
//! | protocol | proof |
//! | --- | --- |
//! | TCP | each side has acknowledged the very last byte that the other had sent ([`l4::tcp`]): with the third segment of a handshake; after a pick-up, once both sides have done so |
//! | SCTP | it is assured: the cookie came back, or a tag that only the peer knew was answered |
//! | UDP, GRE | a stream in which the originator took its turn twice after an answer ([`Turns`]) |
//! | others | are never assured |
//!
//! What user space or a program made assured was proven by whoever asked for it. The numbers of a
//! TCP connection cannot be guessed; turns can be feigned by one who goes on sending blindly to a
//! peer that answers, and cost three packets instead of one. That the answers come from where they
//! say is up to the filter of reverse paths.
//!
//! [`l4::tcp`]: super::super::l4::tcp

use super::super::num::Dir;

/// How often the originator of a flow went on after an answer: three bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Turns(u8);

impl Turns {
    /// The originator's turn: the last packet was an answer.
    const ANSWERED: u8 = 4;
    /// So many turns are a proof: one alone may have been on its way when the answer came.
    const ENOUGH: u8 = 2;

    /// Of bits that were stored.
    #[inline]
    pub const fn from_raw(raw: u8) -> Self {
        Turns(raw & 7)
    }

    /// To be stored.
    #[inline]
    pub const fn raw(self) -> u8 {
        self.0
    }

    /// After a packet in direction `dir`. What is enough does not change any more.
    #[inline]
    pub const fn after(self, dir: Dir) -> Self {
        if self.are_enough() {
            return self;
        }
        match dir {
            Dir::Reply => Turns(self.0 | Self::ANSWERED),
            Dir::Original if self.0 & Self::ANSWERED != 0 => {
                Turns((self.0 & !Self::ANSWERED).wrapping_add(1))
            }
            Dir::Original => self,
        }
    }

    /// Whether they are a proof.
    #[inline]
    pub const fn are_enough(self) -> bool {
        self.0 & !Self::ANSWERED >= Self::ENOUGH
    }
}

/// Which sides of a connection have acknowledged all that the other had sent: two bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Acks(u8);

impl Acks {
    /// Of bits that were stored.
    #[inline]
    pub const fn from_raw(raw: u8) -> Self {
        Acks(raw & 3)
    }

    /// To be stored.
    #[inline]
    pub const fn raw(self) -> u8 {
        self.0
    }

    /// After the side that sends in direction `dir` has done so.
    #[inline]
    pub const fn after(self, dir: Dir) -> Self {
        match dir {
            Dir::Original => Acks(self.0 | 1),
            Dir::Reply => Acks(self.0 | 2),
        }
    }

    /// Whether both have, which is a proof.
    #[inline]
    pub const fn are_both(self) -> bool {
        self.0 == 3
    }
}

/// What is kept about an entry beside its status, which user space sees: a byte of the entry, of
/// which the lowest bit has another meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Marks(u8);

impl Marks {
    /// The originator gets what is sent to it.
    pub const PROVEN: Marks = Marks(2);
    /// The machine itself began it.
    pub const OWN: Marks = Marks(4);
    /// The machine itself is the other end.
    pub const TO_US: Marks = Marks(8);
    /// It is counted among those of the machine itself.
    pub const COUNTED: Marks = Marks(0x80);

    /// Where [`Turns`] or [`Acks`] are, of which an entry has one.
    const COURSE: u32 = 4;

    /// Of a byte that was stored.
    #[inline]
    pub const fn from_raw(raw: u8) -> Self {
        Marks(raw)
    }

    /// To be stored.
    #[inline]
    pub const fn raw(self) -> u8 {
        self.0
    }

    /// These and those.
    #[inline]
    pub const fn with(self, marks: Marks) -> Self {
        Marks(self.0 | marks.0)
    }

    /// The turns of a flow.
    #[inline]
    pub const fn turns(self) -> Turns {
        Turns::from_raw(self.0 >> Self::COURSE)
    }

    /// With other turns.
    #[inline]
    pub const fn with_turns(self, turns: Turns) -> Self {
        self.with_course(turns.raw())
    }

    /// The acknowledgements of a connection.
    #[inline]
    pub const fn acks(self) -> Acks {
        Acks::from_raw(self.0 >> Self::COURSE)
    }

    /// With other acknowledgements.
    #[inline]
    pub const fn with_acks(self, acks: Acks) -> Self {
        self.with_course(acks.raw())
    }

    #[inline]
    const fn with_course(self, course: u8) -> Self {
        Marks(self.0 & 0x8f | course << Self::COURSE)
    }

    /// Whether at least one of `marks` is there.
    #[inline]
    pub const fn any(self, marks: Marks) -> bool {
        self.0 & marks.0 != 0
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_proof)
)]
mod tests {
    use super::*;

    #[test]
    fn two_turns_after_answers() {
        use Dir::Original as O;
        use Dir::Reply as R;
        // (packets, whether they are a proof)
        let table: [(&[Dir], bool); 8] = [
            (&[O], false),
            (&[O, O, O, O], false),
            (&[O, R, R, R], false),
            // A name look-up, and one that was sent again.
            (&[O, R], false),
            (&[O, O, R, R, O], false),
            (&[O, R, O, R, O], true),
            (&[O, R, R, O, O, R, O], true),
            (&[R, O, R, O], true),
        ];
        for (packets, proof) in table {
            let turns = packets
                .iter()
                .fold(Turns::default(), |turns, dir| turns.after(*dir));
            assert_eq!(turns.are_enough(), proof);
            // And so it stays.
            let later = turns.after(R).after(O);
            assert!(!proof || later == turns);
            assert_eq!(Turns::from_raw(turns.raw()), turns);
        }
    }

    #[test]
    fn any_byte_is_some_turns() {
        for raw in 0..=u8::MAX {
            let mut turns = Marks::from_raw(raw).turns();
            for _ in 0..4 {
                turns = turns.after(Dir::Reply).after(Dir::Original);
            }
            assert!(turns.are_enough());
        }
    }

    #[test]
    fn marks_add_up() {
        let both = Marks::PROVEN.with(Marks::OWN);
        assert!(!both.any(Marks::COUNTED));
        assert!(both.any(Marks::PROVEN) && both.any(Marks::OWN) && !both.any(Marks::TO_US));
        assert!(!Marks::default().any(both));
        assert_eq!(Marks::from_raw(both.raw()), both);
        for raw in 0..8 {
            let marks = both.with(Marks::COUNTED).with_turns(Turns::from_raw(raw));
            assert!(marks.any(Marks::COUNTED));
            assert_eq!(marks.turns(), Turns::from_raw(raw));
            assert!(marks.any(Marks::OWN) && !marks.any(Marks::TO_US));
            assert_eq!(
                both.with_turns(marks.turns()).with_turns(Turns::default()),
                both
            );
        }
        // The lowest bit is not ours.
        assert_eq!(both.raw() & 1, 0);
    }

    #[test]
    fn both_sides_have_to_acknowledge() {
        let none = Acks::default();
        for dir in Dir::BOTH {
            let one = none.after(dir).after(dir);
            assert!(!one.are_both());
            let both = one.after(dir.opposite());
            assert!(both.are_both());
            assert_eq!(both.after(dir), both);
            assert_eq!(Marks::default().with_acks(one).acks(), one);
        }
    }
}
