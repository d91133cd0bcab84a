// SPDX-License-Identifier: GPL-2.0

//! Connection tracking for netfilter: `nf_conntrack.ko`, in Rust.
//!
//! Where things are:
//!
//! * [`datapath`]: a packet's way through the module, top to bottom. Start here.
//! * [`pure`]: decisions. No kernel, no `unsafe`, no clock; compiled on the host too.
//! * [`engine`]: state and concurrency: the table, confirmation, garbage, events.
//! * [`linux`]: safe wrappers over the kernel's C. The unsafe code is here,
//! * [`abi`]: and here: the C symbols that other modules link to, one file per header.
//! * [`ctl`]: sysctl, procfs, module parameters, hook registration, lifetime of a namespace.
//!
//! Dependencies go one way: `pure` <- `engine` -> `linux`; `abi`, `ctl`, `datapath` on top.

use kernel::prelude::*;

mod bindings;
mod pure;

mod linux;

mod engine;

mod abi;
mod ctl;
mod datapath;

module! {
    type: Conntrack,
    name: "nf_conntrack",
    authors: ["The rconntrack developers"],
    description: "Connection tracking for netfilter, in Rust",
    license: "GPL v2",
    alias: ["nf_conntrack-2", "nf_conntrack-10", "ip_conntrack"],
}

/// The module while it is loaded. Fields are dropped from top to bottom, which is the order of
/// teardown.
struct Conntrack;

impl kernel::Module for Conntrack {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Conntrack)
    }
}
