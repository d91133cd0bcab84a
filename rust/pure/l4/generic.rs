// SPDX-License-Identifier: GPL-2.0

//! The tracker for protocols without one of their own: addresses and protocol number make the
//! flow, every packet is welcome and keeps it for the same time. Such entries are never proven.
//!
//! C counterpart: `generic_packet`.

/// What a packet does to its entry: the ticks that it stays from now on.
#[inline]
pub const fn step(timeout: u32) -> u32 {
    timeout
}
