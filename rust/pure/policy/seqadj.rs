// SPDX-License-Identifier: GPL-2.0

//! Sequence numbers after a translation changed the length of a payload.
//!
//! Each direction has an offset for numbers up to the place of its last change, and another one for
//! those after it; older changes are forgotten. Numbers that go out in a direction are moved by its
//! offsets, and what acknowledges them in the other direction is moved back.
//!
//! C counterpart: `nf_conntrack_seqadj.c`.

use super::super::num::Seq;

/// The offsets of one direction. Same layout as `struct nf_ct_seqadj`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Way {
    /// Where the last change is, in the sender's numbers.
    pub correction_pos: u32,
    /// Added to numbers up to there.
    pub before: i32,
    /// Added to numbers behind it.
    pub after: i32,
}

impl Way {
    /// Offsets that are the same everywhere, from the first number on (`nf_ct_seqadj_init`).
    #[inline]
    pub fn start(&mut self, offset: i32) {
        self.before = offset;
        self.after = offset;
    }

    /// The payload at `seq` changed its length by `offset` (`nf_ct_seqadj_set`). Ignored for a
    /// place at or before the last change, which is a retransmission, unless there was none.
    #[inline]
    pub fn note(&mut self, seq: Seq, offset: i32) {
        if self.before == self.after || Seq(self.correction_pos).before(seq) {
            self.correction_pos = seq.0;
            self.before = self.after;
            self.after = self.after.wrapping_add(offset);
        }
    }

    /// What is added to the sender's number `seq` (`nf_ct_seq_offset`).
    #[inline]
    pub const fn offset(&self, seq: Seq) -> i32 {
        if seq.after(Seq(self.correction_pos)) {
            self.after
        } else {
            self.before
        }
    }

    /// A number of this direction as the receiver is to see it.
    #[inline]
    pub const fn outgoing(&self, seq: Seq) -> Seq {
        Seq(seq.0.wrapping_add_signed(self.offset(seq)))
    }

    /// A number that the receiver acknowledges, as the sender of this direction knows it.
    #[inline]
    pub const fn incoming(&self, ack: Seq) -> Seq {
        // The change's place is in the sender's numbers, so the older offset comes off first.
        let old = Seq(ack.0.wrapping_add_signed(self.before.wrapping_neg()));
        if old.after(Seq(self.correction_pos)) {
            Seq(ack.0.wrapping_add_signed(self.after.wrapping_neg()))
        } else {
            old
        }
    }
}

/// TCP options (IANA "TCP Option Kind Numbers").
mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const SACK: u8 = 5;
}

/// Bytes of a selectively acknowledged block: two sequence numbers.
const BLOCK: usize = 8;

/// Moves the numbers in the selective acknowledgements among `options`, the bytes between a TCP
/// header and its payload; `acknowledged` is the way that they acknowledge.
///
/// `changed` hears the old and the new bytes of every number, in network order, for the checksum.
/// `false` if an option is cut off; what was changed before it stays so.
pub fn adjust_sack(
    mut options: &mut [u8],
    acknowledged: &Way,
    mut changed: impl FnMut([u8; 4], [u8; 4]),
) -> bool {
    loop {
        let length = match *options {
            [] | [option::END, ..] => return true,
            [option::NOP, ..] => 1,
            [_, length, ..] if length >= 2 => usize::from(length),
            _ => return false,
        };
        let Some((this, rest)) = options.split_at_mut_checked(length) else {
            return false;
        };
        if let [option::SACK, _, blocks @ ..] = this {
            if blocks.len() % BLOCK == 0 {
                for number in blocks.chunks_exact_mut(4) {
                    adjust_number(number, acknowledged, &mut changed);
                }
            }
        }
        options = rest;
    }
}

fn adjust_number(
    number: &mut [u8],
    acknowledged: &Way,
    changed: &mut impl FnMut([u8; 4], [u8; 4]),
) {
    if let Some(bytes) = number.first_chunk_mut::<4>() {
        let old = *bytes;
        let new = acknowledged.incoming(Seq(u32::from_be_bytes(old)));
        *bytes = new.0.to_be_bytes();
        changed(old, *bytes);
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_seqadj)
)]
mod tests {
    use super::*;

    /// At 1000 three bytes were inserted, where five had been inserted before.
    const WAY: Way = Way {
        correction_pos: 1000,
        before: 5,
        after: 8,
    };

    #[test]
    fn numbers_move_there_and_back() {
        let table = [
            (999, 1004),
            (1000, 1005),
            (1001, 1009),
            (1000 + 0x7fff_0000, 1008 + 0x7fff_0000),
        ];
        for (sent, seen) in table {
            assert_eq!(WAY.outgoing(Seq(sent)), Seq(seen));
            assert_eq!(WAY.incoming(Seq(seen)), Seq(sent));
        }
        let shrunk = Way {
            correction_pos: 2,
            before: 0,
            after: -4,
        };
        assert_eq!(shrunk.outgoing(Seq(3)), Seq(u32::MAX));
        assert_eq!(shrunk.outgoing(Seq(1)), Seq(1));
    }

    #[test]
    fn extreme_offsets_wrap() {
        let way = Way {
            correction_pos: 0,
            before: i32::MIN,
            after: i32::MIN,
        };
        assert_eq!(way.outgoing(Seq(0)), Seq(1 << 31));
        assert_eq!(way.incoming(Seq(1 << 31)), Seq(0));
    }

    #[test]
    fn only_new_places_count() {
        let mut way = Way::default();
        way.note(Seq(100), 4);
        assert_eq!((way.correction_pos, way.before, way.after), (100, 0, 4));
        // Sent again.
        way.note(Seq(100), 4);
        assert_eq!((way.correction_pos, way.before, way.after), (100, 0, 4));
        way.note(Seq(50), 4);
        assert_eq!((way.correction_pos, way.before, way.after), (100, 0, 4));
        way.note(Seq(200), -6);
        assert_eq!((way.correction_pos, way.before, way.after), (200, 4, -2));
        // Two changes that cancel out: any place counts again.
        way.note(Seq(300), 0);
        way.note(Seq(10), 1);
        assert_eq!((way.correction_pos, way.before, way.after), (10, -2, -1));
        way.start(7);
        assert_eq!((way.before, way.after), (7, 7));
    }

    #[test]
    fn sack_blocks_move_back() {
        let mut options = [
            1, 1, 5, 18, //
            0, 0, 0x03, 0xec, 0, 0, 0x03, 0xf1, // 1004, 1009
            0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, //
            0, 0xff,
        ];
        let mut heard = 0;
        assert!(adjust_sack(&mut options, &WAY, |old, new| {
            if old != new {
                heard += 1;
            }
        }));
        assert_eq!(heard, 4);
        assert_eq!(options[4..8], 999u32.to_be_bytes());
        assert_eq!(options[8..12], 1001u32.to_be_bytes());
        assert_eq!(options[12..16], 0u32.to_be_bytes());
        assert_eq!(options[20..22], [0, 0xff]);
    }

    /// The result for some options, and whether they changed.
    fn of<const N: usize>(options: [u8; N]) -> (bool, bool) {
        let mut bytes = options;
        let whole = adjust_sack(&mut bytes, &WAY, |_, _| ());
        (whole, bytes != options)
    }

    #[test]
    fn cut_options_are_refused() {
        assert_eq!(of([]), (true, false));
        assert_eq!(of([1, 1, 1]), (true, false));
        assert_eq!(of([2]), (false, false));
        assert_eq!(of([2, 0]), (false, false));
        assert_eq!(of([2, 1]), (false, false));
        assert_eq!(of([2, 2]), (true, false));
        assert_eq!(of([2, 3]), (false, false));
        assert_eq!(of([0, 2]), (true, false));
        // Not a whole number of blocks.
        assert_eq!(of([5, 2]), (true, false));
        assert_eq!(of([5, 6, 0, 0, 9, 9]), (true, false));
        // What comes before a cut option was changed already.
        assert_eq!(of([5, 10, 0, 0, 9, 9, 0, 0, 9, 9, 8]), (false, true));
    }
}
