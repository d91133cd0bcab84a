// SPDX-License-Identifier: GPL-2.0

//! The trackers, one per layer-4 protocol.
//!
//! A tracker is a function of what is known about a connection, a packet and an environment; it
//! returns a verdict, what to do with the timeout and what to tell others, and changes nothing
//! but the state that it is given. Times are in ticks and come in from outside. Which packet
//! belongs to which connection is decided before (`tuple`), whether its bytes are a packet at all
//! as well (`wire`).
//!
//! C counterparts: `net/netfilter/nf_conntrack_proto_*.c`.

pub mod generic;
pub mod gre;
pub mod icmp;
pub mod sctp;
pub mod tcp;
pub mod udp;
