// SPDX-License-Identifier: GPL-2.0

//! State and concurrency.
//!
//! Files own what they say: hash links, counts and references of an entry change in
//! [`table`] and [`conn`] only. Lock order: a bucket's lock, then the expectation lock, then an
//! entry's own (`Documentation/locking.rst`).

pub(crate) mod account;
pub(crate) mod acct;
pub(crate) mod cap;
pub(crate) mod confirm;
pub(crate) mod conn;
pub(crate) mod events;
pub(crate) mod expect;
pub(crate) mod ext;
pub(crate) mod fair;
pub(crate) mod gc;
pub(crate) mod gre_keymap;
pub(crate) mod helper;
pub(crate) mod l4;
pub(crate) mod labels;
pub(crate) mod ovs;
pub(crate) mod pressure;
pub(crate) mod probe;
pub(crate) mod reclaim;
pub(crate) mod reclaimer;
pub(crate) mod seqadj;
pub(crate) mod survey;
pub(crate) mod synproxy;
pub(crate) mod table;
pub(crate) mod timeout;
pub(crate) mod tstamp;
