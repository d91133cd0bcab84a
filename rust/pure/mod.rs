// SPDX-License-Identifier: GPL-2.0

//! Decisions of connection tracking, as functions of their arguments.
//!
//! Nothing in here knows a kernel: no allocation, no lock, no clock, no `unsafe`. The module links
//! this folder as `pub mod pure`; `tools/host` compiles the same files as a crate of their own, so
//! paths inside are relative (`super::`), never `crate::`.
//!
//! * [`num`]: the number domains (sequence numbers, ticks, directions).
//! * [`status`]: the bits of an entry's status word.
//! * [`ctinfo`]: how a packet relates to its connection.
//! * [`tuple`]: what identifies one direction of a connection.
//! * [`wire`]: bytes become small valid values; after this edge nobody holds bytes.
//! * [`l4`]: the trackers: a state and a packet give the next state, a verdict and a timeout.
//! * [`policy`]: timeouts, the pace of garbage collection, clashes, what may be evicted.
//!
//! Where a rule looks odd, the doc comment says which program relies on it. The yardstick is the
//! behaviour of `nf_conntrack.ko` in Linux 7.3.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![cfg_attr(not(CONFIG_RUST), forbid(unsafe_code))]
// What outside data could turn into a panic, or into another number. The kernel's clippy run has
// these off; the host's has them on, but for tests.
#![cfg_attr(
    not(any(CONFIG_RUST, test)),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

pub mod ctinfo;
pub mod l4;
pub mod num;
pub mod policy;
pub mod status;
pub mod tuple;
pub mod wire;
