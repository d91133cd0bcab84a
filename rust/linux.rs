// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers over the kernel's C.
//!
//! Paths mirror `rust/kernel` where a file could be sent upstream one day. A wrapper checks nothing
//! that its type already guarantees, and decides nothing.

pub(crate) mod acct;
pub(crate) mod backlog;
#[cfg(CONFIG_DEBUG_INFO_BTF_MODULES = "y")]
pub(crate) mod bpf;
pub(crate) mod conn;
pub(crate) mod ecache;
pub(crate) mod expect;
pub(crate) mod ext;
#[cfg(CONFIG_KUNIT = "y")]
pub(crate) mod fake;
pub(crate) mod gfp;
pub(crate) mod hashtable;
pub(crate) mod helper;
pub(crate) mod hooks;
pub(crate) mod labels;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod members;
pub(crate) mod memory;
pub(crate) mod net;
pub(crate) mod netlink;
pub(crate) mod nulls;
pub(crate) mod once;
pub(crate) mod pernet;
pub(crate) mod plan;
pub(crate) mod prefetch;
pub(crate) mod procfs;
pub(crate) mod queues;
pub(crate) mod random;
pub(crate) mod rcu;
pub(crate) mod seqadj;
pub(crate) mod siphash;
pub(crate) mod skb;
pub(crate) mod slab;
pub(crate) mod slot;
pub(crate) mod sockopt;
pub(crate) mod sort;
pub(crate) mod stats;
pub(crate) mod sysctl;
pub(crate) mod tallies;
pub(crate) mod time;
pub(crate) mod timeout;
pub(crate) mod trace;
pub(crate) mod trackers;
pub(crate) mod verdict;
pub(crate) mod warn;
pub(crate) mod work;
pub(crate) mod xmit;
pub(crate) mod zone;
