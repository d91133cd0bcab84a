// SPDX-License-Identifier: GPL-2.0

//! The status word of an entry: a snapshot to decide on.
//!
//! Not for changing it: other modules set bits of the same word at the same time, so changes are
//! atomic operations on the entry. The numbers are user API (`enum ip_conntrack_status`).
//!
//! C header: [`include/uapi/linux/netfilter/nf_conntrack_common.h`](srctree/include/uapi/linux/netfilter/nf_conntrack_common.h)

use core::ops;

/// The number of a bit in the status word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bit {
    /// An expectation announced this connection.
    Expected = 0,
    /// Packets were seen in both directions.
    SeenReply = 1,
    /// Proven: not to be evicted early.
    Assured = 2,
    /// In the table.
    Confirmed = 3,
    /// Source translation applies to the original direction.
    SrcNat = 4,
    /// Destination translation applies to the original direction.
    DstNat = 5,
    /// TCP sequence numbers are being adjusted.
    SeqAdjust = 6,
    /// Source translation was decided.
    SrcNatDone = 7,
    /// Destination translation was decided.
    DstNatDone = 8,
    /// Unlinked or about to be: never to be used again.
    Dying = 9,
    /// Packets do not move the deadline.
    FixedTimeout = 10,
    /// Not a connection but a template for new ones.
    Template = 11,
    /// Inserted in the reply direction only, see [`clash`](super::policy::clash).
    NatClash = 12,
    /// The entry has a helper extension.
    Helper = 13,
    /// A flow table carries its packets.
    Offload = 14,
    /// A network card carries its packets.
    HwOffload = 15,
}

/// The status word at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(pub usize);

impl Bit {
    /// The bits that user space may set and clear; the others are decided here or by translation.
    pub const CHANGEABLE: [Bit; 4] = [Bit::SeenReply, Bit::Assured, Bit::FixedTimeout, Bit::Helper];
}

impl Status {
    /// See [`Bit::Expected`].
    pub const EXPECTED: Status = Status::of(Bit::Expected);
    /// See [`Bit::SeenReply`].
    pub const SEEN_REPLY: Status = Status::of(Bit::SeenReply);
    /// See [`Bit::Assured`].
    pub const ASSURED: Status = Status::of(Bit::Assured);
    /// See [`Bit::Confirmed`].
    pub const CONFIRMED: Status = Status::of(Bit::Confirmed);
    /// See [`Bit::SrcNat`].
    pub const SRC_NAT: Status = Status::of(Bit::SrcNat);
    /// See [`Bit::DstNat`].
    pub const DST_NAT: Status = Status::of(Bit::DstNat);
    /// See [`Bit::SeqAdjust`].
    pub const SEQ_ADJUST: Status = Status::of(Bit::SeqAdjust);
    /// See [`Bit::SrcNatDone`].
    pub const SRC_NAT_DONE: Status = Status::of(Bit::SrcNatDone);
    /// See [`Bit::DstNatDone`].
    pub const DST_NAT_DONE: Status = Status::of(Bit::DstNatDone);
    /// See [`Bit::Dying`].
    pub const DYING: Status = Status::of(Bit::Dying);
    /// See [`Bit::FixedTimeout`].
    pub const FIXED_TIMEOUT: Status = Status::of(Bit::FixedTimeout);
    /// See [`Bit::Template`].
    pub const TEMPLATE: Status = Status::of(Bit::Template);
    /// See [`Bit::NatClash`].
    pub const NAT_CLASH: Status = Status::of(Bit::NatClash);
    /// See [`Bit::Helper`].
    pub const HELPER: Status = Status::of(Bit::Helper);
    /// See [`Bit::Offload`].
    pub const OFFLOAD: Status = Status::of(Bit::Offload);
    /// See [`Bit::HwOffload`].
    pub const HW_OFFLOAD: Status = Status::of(Bit::HwOffload);

    /// The word with only this bit set.
    #[inline]
    pub const fn of(bit: Bit) -> Self {
        Status(1 << bit as usize)
    }

    /// Whether all bits of `bits` are set.
    #[inline]
    pub const fn has(self, bits: Status) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Whether at least one bit of `bits` is set.
    #[inline]
    pub const fn any(self, bits: Status) -> bool {
        self.0 & bits.0 != 0
    }

    /// Whether user space may ask for `wanted` instead: what happened once stays.
    #[inline]
    pub const fn may_become(self, wanted: Status) -> bool {
        let frozen = Status::EXPECTED.0 | Status::CONFIRMED.0 | Status::DYING.0;
        let only_set = Status::SEEN_REPLY.0 | Status::ASSURED.0;
        (self.0 ^ wanted.0) & frozen == 0 && self.0 & !wanted.0 & only_set == 0
    }

    /// This word with `bits` set too.
    #[inline]
    pub const fn with(self, bits: Status) -> Self {
        Status(self.0 | bits.0)
    }
}

impl ops::BitOr for Status {
    type Output = Status;

    #[inline]
    fn bitor(self, other: Status) -> Status {
        self.with(other)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_status)
)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_the_numbers_of_the_user_api() {
        let table = [
            (Status::EXPECTED, 0x1),
            (Status::SEEN_REPLY, 0x2),
            (Status::ASSURED, 0x4),
            (Status::CONFIRMED, 0x8),
            (Status::SRC_NAT, 0x10),
            (Status::DST_NAT, 0x20),
            (Status::SEQ_ADJUST, 0x40),
            (Status::SRC_NAT_DONE, 0x80),
            (Status::DST_NAT_DONE, 0x100),
            (Status::DYING, 0x200),
            (Status::FIXED_TIMEOUT, 0x400),
            (Status::TEMPLATE, 0x800),
            (Status::NAT_CLASH, 0x1000),
            (Status::HELPER, 0x2000),
            (Status::OFFLOAD, 0x4000),
            (Status::HW_OFFLOAD, 0x8000),
        ];
        for (status, bits) in table {
            assert_eq!(status, Status(bits));
        }
    }

    #[test]
    fn user_space_may_not_undo_what_happened() {
        let was = Status::CONFIRMED | Status::SEEN_REPLY;
        assert!(was.may_become(was));
        assert!(was.may_become(was | Status::ASSURED));
        assert!(was.may_become(was | Status::FIXED_TIMEOUT));
        assert!(!was.may_become(Status::CONFIRMED));
        assert!(!was.may_become(Status::SEEN_REPLY));
        assert!(!was.may_become(was | Status::DYING));
        assert!(!(was | Status::ASSURED).may_become(was));
    }

    #[test]
    fn has_wants_all_and_any_wants_one() {
        let both = Status::ASSURED | Status::DYING;
        assert!(both.has(Status::ASSURED));
        assert!(both.has(both));
        assert!(!Status::ASSURED.has(both));
        assert!(Status::ASSURED.any(both));
        assert!(!Status::HELPER.any(both));
        assert!(!both.any(Status(0)));
    }
}
