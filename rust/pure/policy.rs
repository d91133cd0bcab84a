// SPDX-License-Identifier: GPL-2.0

//! What is not about one protocol: how long, how many, who goes first.
//!
//! * [`timeout`]: the defaults of every protocol.
//! * [`size`]: how large the tables are.
//! * [`chain`]: how long a bucket may become.
//! * [`clash`]: two entries for one flow.
//! * [`pace`]: when the worker that clears expired entries runs, and for how long.
//! * [`class`]: what an entry is worth; [`evict`]: who may take whom, and from where; [`ring`]:
//!   hints at those that may go.
//! * [`proof`]: who gets what is sent to it, without which nobody is safe from eviction.
//! * [`fair`]: who pays when only proven entries are left.
//! * [`occupancy`]: how full a table is, and what rules ask about it.
//! * [`tidy`]: what goes before its place is needed.
//! * [`soft`]: when an idle connection may go; [`adaptive`]: timeouts that shrink as a table fills.
//! * [`tally`]: what is counted of all this, and by which names; [`top`]: who has the most.
//! * [`probe`]: asking the ends of an idle connection whether they are still there.
//! * [`expect`], [`helper`]: what is announced by whom, and what may exist side by side.
//! * [`seqadj`]: sequence numbers after a translation changed the length of a payload.

pub mod adaptive;
pub mod chain;
pub mod clash;
pub mod class;
pub mod evict;
pub mod expect;
pub mod fair;
pub mod helper;
pub mod occupancy;
pub mod pace;
pub mod probe;
pub mod proof;
pub mod ring;
pub mod seqadj;
pub mod size;
pub mod soft;
pub mod tally;
pub mod tidy;
pub mod timeout;
pub mod top;
