// SPDX-License-Identifier: GPL-2.0

//! Who may evict whom, and where victims are looked for.
//!
//! Two parties evict: the packet that finds the table full looks through a few buckets from its
//! own on and takes all it may of the first bucket where there is something; the worker, once a
//! packet was refused, takes on its walk what it may in namespaces that are nearly full.
//!
//! C counterparts: `early_drop`, `early_drop_list`, `gc_worker_can_early_drop`.

use super::super::status::Status;
use super::class::Class;

/// Buckets that a packet looks through for a victim.
pub const RANGE: u32 = 8;

/// The bucket after `bucket` in a table of `size` buckets.
#[inline]
pub const fn next_bucket(bucket: u32, size: u32) -> u32 {
    match bucket.wrapping_add(1).checked_rem(size) {
        Some(next) => next,
        None => 0,
    }
}

/// Who evicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The packet that finds the table full.
    Packet,
    /// The worker, under pressure.
    Worker,
}

impl Reach {
    /// Whether this party takes entries of this class.
    #[inline]
    pub const fn takes(self, class: Class) -> bool {
        match class {
            Class::Unproven => true,
            Class::Closing => matches!(self, Reach::Worker),
            Class::Proven => false,
        }
    }
}

/// Whether a packet's search should take a reference to an entry, to judge it again under it with
/// [`still_evictable`]; `same_net` tells whether both are of one namespace.
#[inline]
pub const fn worth_a_reference(status: Status, same_net: bool) -> bool {
    same_net && !status.any(Status::ASSURED.with(Status::DYING))
}

/// Whether an entry may go now that a reference keeps it from being recycled.
///
/// It may have become assured in between; taking it all the same is what mainline does.
#[inline]
pub const fn still_evictable(status: Status, same_net: bool) -> bool {
    same_net && status.has(Status::CONFIRMED)
}

/// Whether the worker passes over an entry: not in the table any more, or not yet.
#[inline]
pub const fn worker_skips(status: Status) -> bool {
    !status.has(Status::CONFIRMED) || status.has(Status::DYING)
}

/// The number of entries in a namespace from which on the worker evicts, of at most `max`: 95 in
/// 100. Zero, for a `max` under 100, means never.
#[inline]
pub const fn pressure_mark(max: u32) -> u32 {
    max / 100 * 95
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_evict)
)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_reaches_further() {
        let table = [
            (Class::Unproven, true, true),
            (Class::Closing, false, true),
            (Class::Proven, false, false),
        ];
        for (class, packet, worker) in table {
            assert_eq!(Reach::Packet.takes(class), packet);
            assert_eq!(Reach::Worker.takes(class), worker);
        }
    }

    #[test]
    fn candidates() {
        let here = Status::CONFIRMED;
        let table = [
            (here, true, true, true),
            (here, false, false, false),
            (here | Status::ASSURED, true, false, true),
            (here | Status::DYING, true, false, true),
            (Status(0), true, true, false),
        ];
        for (status, same_net, before, after) in table {
            assert_eq!(worth_a_reference(status, same_net), before);
            assert_eq!(still_evictable(status, same_net), after);
        }
    }

    #[test]
    fn the_worker_skips_what_is_not_in_the_table() {
        assert!(worker_skips(Status(0)));
        assert!(!worker_skips(Status::CONFIRMED));
        assert!(worker_skips(Status::CONFIRMED | Status::DYING));
    }

    #[test]
    fn marks_and_buckets() {
        assert_eq!(pressure_mark(262_144), 248_995);
        assert_eq!(pressure_mark(99), 0);
        assert_eq!(pressure_mark(u32::MAX), 42_949_672 * 95);
        assert_eq!(next_bucket(6, 8), 7);
        assert_eq!(next_bucket(7, 8), 0);
        assert_eq!(next_bucket(u32::MAX, 8), 0);
        assert_eq!(next_bucket(0, 0), 0);
    }
}
