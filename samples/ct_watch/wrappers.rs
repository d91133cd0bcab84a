// SPDX-License-Identifier: GPL-2.0

//! The wrappers that the sample needs, where they are.

#[path = "../../rust/linux/conn.rs"]
pub(crate) mod conn;
#[path = "../../rust/linux/gfp.rs"]
pub(crate) mod gfp;
#[path = "../../rust/linux/hooks.rs"]
pub(crate) mod hooks;
#[path = "../../rust/linux/lock.rs"]
pub(crate) mod lock;
#[path = "../../rust/linux/net.rs"]
pub(crate) mod net;
#[path = "../../rust/linux/once.rs"]
pub(crate) mod once;
#[path = "../../rust/linux/plan.rs"]
pub(crate) mod plan;
#[path = "../../rust/linux/procfs.rs"]
pub(crate) mod procfs;
#[path = "../../rust/linux/queues.rs"]
pub(crate) mod queues;
#[path = "../../rust/linux/rcu.rs"]
pub(crate) mod rcu;
#[path = "../../rust/linux/skb.rs"]
pub(crate) mod skb;
#[path = "../../rust/linux/sort.rs"]
pub(crate) mod sort;
#[path = "../../rust/linux/tallies.rs"]
pub(crate) mod tallies;
#[path = "../../rust/linux/time.rs"]
pub(crate) mod time;
#[path = "../../rust/linux/verdict.rs"]
pub(crate) mod verdict;
#[path = "../../rust/linux/zone.rs"]
pub(crate) mod zone;
