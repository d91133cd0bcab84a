// SPDX-License-Identifier: GPL-2.0

//! What an entry is worth when the table is full.
//!
//! The order of the classes is the order in which they may go; who may take which is in
//! [`evict`](super::evict).

use super::super::status::Status;

/// What an entry is worth; what may go first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Not assured: no proof that the other end exists or goes on talking.
    Unproven,
    /// Assured, but its protocol is past the end of the connection.
    Closing,
    /// Assured and alive.
    Proven,
}

impl Class {
    /// The class of an entry with this `status`; `closing` tells whether its protocol's tracker
    /// finds it past the end of the connection (TCP and SCTP only).
    #[inline]
    pub fn of(status: Status, closing: impl FnOnce() -> bool) -> Self {
        if !status.has(Status::ASSURED) {
            Class::Unproven
        } else if closing() {
            Class::Closing
        } else {
            Class::Proven
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

    #[test]
    fn assured_and_closing_decide() {
        let table = [
            (Status(0), false, Class::Unproven),
            (Status(0), true, Class::Unproven),
            (Status::SEEN_REPLY, true, Class::Unproven),
            (Status::ASSURED, true, Class::Closing),
            (Status::ASSURED, false, Class::Proven),
        ];
        for (status, closing, expected) in table {
            assert_eq!(Class::of(status, || closing), expected);
        }
        assert!(Class::Unproven < Class::Closing && Class::Closing < Class::Proven);
    }
}
