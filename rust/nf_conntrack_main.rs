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

use core::pin::Pin;
use kernel::prelude::*;

mod bindings;
pub mod pure;

mod linux;

mod engine;

mod abi;
mod ctl;
mod datapath;

use engine::gc;
use engine::helper;
use engine::probe;
use engine::reclaimer;
use engine::table;
use linux::expect::ExpectTable;
use linux::helper::HelperTable;
use linux::slab::ConnCache;

module! {
    type: Conntrack,
    name: "nf_conntrack",
    authors: ["The rconntrack developers"],
    description: "Connection tracking for netfilter, in Rust",
    license: "GPL v2",
    alias: ["nf_conntrack-2", "nf_conntrack-10", "ip_conntrack"],
}

/// The module while it is loaded. Fields are dropped from top to bottom: first nobody can call
/// us any more, then what they called goes.
#[pin_data(PinnedDrop)]
struct Conntrack {
    #[pin]
    registered: ctl::Registered,
    hook: abi::core::Hook,
    worker: gc::Worker,
    reclaimer: reclaimer::Worker,
    prober: probe::Worker,
    helpers: HelperTable,
    expectations: ExpectTable,
    table: table::Owner,
    // Destroying the slab waits for the readers of its last entries.
    slab: ConnCache,
}

impl kernel::InPlaceModule for Conntrack {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            slab: ConnCache::new()?,
            table: table::Owner::new()?,
            expectations: ExpectTable::new(table::buckets())?,
            helpers: helper::init()?,
            worker: gc::Worker::start(),
            reclaimer: reclaimer::Worker::start(),
            prober: probe::Worker::start(),
            hook: abi::core::Hook::set(),
            registered <- ctl::Registered::new(module),
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Conntrack {
    fn drop(self: Pin<&mut Self>) {
        gc::Worker::wind_down();
        // They look into namespaces, whose areas are about to go.
        reclaimer::Worker::wind_down();
        probe::Worker::wind_down();
    }
}
