// SPDX-License-Identifier: GPL-2.0

//! Two entries for one flow: what becomes of the packet that lost the race to confirm.
//!
//! Two packets of a new flow on two CPUs each make an entry; the second to confirm finds the
//! tuple taken. Dropping its packet would cost the user a retransmission, so:
//!
//! | protocol allows it | the entry in the way is | the holder of our reply tuple is | result |
//! | --- | --- | --- | --- |
//! | no | any | any | drop |
//! | yes | the same flow | any | merge with it |
//! | yes | another flow | nobody | insert the reply direction only |
//! | yes | another flow | the same flow | merge with that one |
//! | yes | another flow | another flow | drop |
//!
//! C counterpart: `nf_ct_resolve_clash`.

use super::super::num::Dir;
use super::super::status::Status;
use super::super::tuple::Tuple;
use super::timeout::Seconds;

/// What tells one entry of a namespace from the others.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The tuple of the original direction.
    pub original: &'a Tuple,
    /// The tuple of the reply direction.
    pub reply: &'a Tuple,
    /// The zone's number as far as it counts in each direction (`nf_ct_zone_id`), by
    /// [`Dir::index`].
    pub zone: [u16; 2],
}

impl Ends<'_> {
    /// The same entry seen by the other end.
    const fn reversed(&self) -> Self {
        let [original, reply] = self.zone;
        Ends {
            original: self.reply,
            reply: self.original,
            zone: [reply, original],
        }
    }

    fn same(&self, other: &Ends<'_>) -> bool {
        self.original.same_flow(other.original)
            && self.reply.same_flow(other.reply)
            && Dir::BOTH.map(|dir| self.zone.get(dir.index()))
                == Dir::BOTH.map(|dir| other.zone.get(dir.index()))
    }
}

/// Whether both are the same flow, seen from the same end or from opposite ends; entries of
/// different namespaces never meet.
#[inline]
pub fn mergeable(a: &Ends<'_>, b: &Ends<'_>) -> bool {
    a.same(b) || a.same(&b.reversed())
}

/// What becomes of the losing entry and its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution<W> {
    /// The packet changes over to this entry, which takes the loser's packet and byte counts too.
    Merge(W),
    /// The loser goes into the table for its reply direction only, with [`REPLY_ONLY_STATUS`] and
    /// [`REPLY_ONLY_TIMEOUT`]: packets of the original direction keep finding the winner.
    InsertReplyOnly,
    /// No way; the packet is dropped.
    Drop,
}

/// Status bits of an entry inserted for its reply direction only: its deadline stands, and it is
/// never proven.
pub const REPLY_ONLY_STATUS: Status = Status::FIXED_TIMEOUT.with(Status::NAT_CLASH);

/// How long such an entry stays.
pub const REPLY_ONLY_TIMEOUT: Seconds = Seconds(1);

/// Resolves a clash with the entry `winner`, which holds one of the loser's tuples.
///
/// `allowed` tells whether the protocol permits it (all but TCP and SCTP); `mergeable` whether an
/// entry is the loser's flow, see [`mergeable`]; `reply_holder` finds the entry in the bucket of
/// the loser's reply tuple that holds that tuple, and is asked last.
#[inline]
pub fn resolve<W>(
    allowed: bool,
    winner: W,
    mergeable: impl Fn(&W) -> bool,
    reply_holder: impl FnOnce() -> Option<W>,
) -> Resolution<W> {
    if !allowed {
        return Resolution::Drop;
    }
    if mergeable(&winner) {
        return Resolution::Merge(winner);
    }
    match reply_holder() {
        None => Resolution::InsertReplyOnly,
        Some(holder) if mergeable(&holder) => Resolution::Merge(holder),
        Some(_) => Resolution::Drop,
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_clash)
)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_the_table() {
        // (allowed, winner is the same flow, holder of the reply tuple is, result)
        let (ours, other) = (Some(true), Some(false));
        let table = [
            (false, true, ours, Resolution::Drop),
            (false, true, None, Resolution::Drop),
            (true, true, None, Resolution::Merge(1)),
            (true, true, other, Resolution::Merge(1)),
            (true, false, None, Resolution::InsertReplyOnly),
            (true, false, ours, Resolution::Merge(2)),
            (true, false, other, Resolution::Drop),
        ];
        for (allowed, winner, holder, expected) in table {
            let same = |who: &i32| match who {
                1 => winner,
                _ => holder == Some(true),
            };
            let found = resolve(allowed, 1, same, || holder.map(|_| 2));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn flows_are_the_same_from_either_end() {
        let mut there = Tuple::default();
        there.src.id = 1;
        there.dst.id = 2;
        let mut back = Tuple::default().with_dir(Dir::Reply);
        back.src.id = 2;
        back.dst.id = 1;
        let mut translated = back;
        translated.dst.id = 3;

        let ends = |original, reply, zone| Ends {
            original,
            reply,
            zone,
        };
        let a = ends(&there, &back, [0, 0]);
        assert!(mergeable(&a, &a));
        assert!(mergeable(&a, &ends(&back, &there, [0, 0])));
        assert!(!mergeable(&a, &ends(&there, &translated, [0, 0])));
        assert!(!mergeable(&a, &ends(&translated, &there, [0, 0])));
        // A zone that counts in one direction only must count in the same one.
        let zoned = ends(&there, &back, [7, 0]);
        assert!(!mergeable(&a, &zoned));
        assert!(mergeable(&zoned, &ends(&back, &there, [0, 7])));
        assert!(!mergeable(&zoned, &ends(&back, &there, [7, 0])));
    }
}
