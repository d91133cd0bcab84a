// SPDX-License-Identifier: GPL-2.0

//! What a firewall rule `ct state` would see, counted: a sample of the wrappers in `rust/linux`.
//!
//! The module puts a hook of its own behind connection tracking, where packets come in, and shows
//! how they relate to their connections in `/proc/net/ct_watch` of the first namespace:
//!
//! ```text
//! state          IPv4     IPv6
//! new               3        1
//! ...
//! ```
//!
//! It works on our `nf_conntrack` and on mainline's. It does not track anything by itself: that
//! begins with the first rule that asks for it.
//!
//! There is no unsafe block in this file. It is what a module looks like that is built on wrappers:
//! values that own what they registered, and functions for packets to pass.

use core::fmt::Write;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;

#[path = "../../rust/bindings.rs"]
#[allow(unused_imports)]
mod bindings;
#[path = "wrappers.rs"]
#[allow(dead_code)] // The module proper uses all of it.
mod linux;
#[path = "../../rust/pure/mod.rs"]
pub mod pure;

use linux::hooks;
use linux::hooks::hook;
use linux::hooks::Hooks;
use linux::net::Net;
use linux::procfs::File;
use linux::procfs::Folder;
use linux::procfs::Item;
use linux::procfs::NetFile;
use linux::procfs::Writer;
use linux::rcu::Held;
use linux::skb::HookState;
use linux::skb::Skb;
use linux::verdict::Verdict;
use pure::ctinfo::CtInfo;

module! {
    type: Watch,
    name: "ct_watch",
    authors: ["The rconntrack developers"],
    description: "Counts how packets relate to their connections",
    license: "GPL v2",
}

/// What is counted, in the order in which it is shown.
#[derive(Clone, Copy)]
enum State {
    New,
    Established,
    Related,
    Invalid,
    Untracked,
}

impl State {
    const ALL: [(State, &'static str); 5] = [
        (State::New, "new"),
        (State::Established, "established"),
        (State::Related, "related"),
        (State::Invalid, "invalid"),
        (State::Untracked, "untracked"),
    ];

    /// As `ct state` has it: a packet without a connection that was not excepted is invalid.
    fn of(skb: &Skb) -> State {
        match skb.ctinfo() {
            Some(CtInfo::Untracked) => State::Untracked,
            _ if skb.conn().is_none() => State::Invalid,
            Some(CtInfo::New) => State::New,
            Some(CtInfo::Established | CtInfo::EstablishedReply) => State::Established,
            Some(CtInfo::Related | CtInfo::RelatedReply) => State::Related,
            None => State::Invalid,
        }
    }
}

/// Packets by state and family.
static PACKETS: [[Atomic<i64>; 2]; State::ALL.len()] =
    [const { [const { Atomic::new(0) }; 2] }; State::ALL.len()];

fn count(skb: &Skb, state: HookState<'_>) -> Verdict {
    let family = usize::from(state.family() == IPV6);
    // State::ALL is as long as PACKETS.
    if let Some(counter) = PACKETS
        .get(State::of(skb) as usize)
        .and_then(|pair| pair.get(family))
    {
        counter.fetch_add(1, Relaxed);
    }
    Verdict::ACCEPT
}

hooks::functions! {
    /// An IPv4 packet has come in.
    fn ct_watch_ipv4(skb, state) {
        count(skb, state)
    }

    /// An IPv6 packet has come in.
    fn ct_watch_ipv6(skb, state) {
        count(skb, state)
    }
}

const IPV4: u8 = bindings::NFPROTO_IPV4 as u8;
const IPV6: u8 = bindings::NFPROTO_IPV6 as u8;
const PRE_ROUTING: bindings::nf_inet_hooks = bindings::nf_inet_hooks_NF_INET_PRE_ROUTING;

/// Behind connection tracking, in front of what changes packets.
static HOOKS: Hooks<2> = Hooks::new([
    hook(
        ct_watch_ipv4,
        IPV4,
        PRE_ROUTING,
        bindings::nf_ip_hook_priorities_NF_IP_PRI_MANGLE - 1,
    ),
    hook(
        ct_watch_ipv6,
        IPV6,
        PRE_ROUTING,
        bindings::nf_ip6_hook_priorities_NF_IP6_PRI_MANGLE - 1,
    ),
]);

/// The file. It has one item, which prints all of it.
struct Table;

#[derive(Clone, Copy)]
struct Whole;

impl Item for Whole {
    fn into_ptr(self) -> NonNull<c_void> {
        NonNull::dangling()
    }

    unsafe fn from_ptr(_ptr: NonNull<c_void>) -> Self {
        Whole
    }
}

impl NetFile for Table {
    type Position = ();
    type Item<'rcu> = Whole;

    fn start<'rcu>(_: &Net, _: &mut (), pos: &mut i64, _: Held<'rcu>) -> Option<Whole> {
        (*pos == 0).then_some(Whole)
    }

    fn next<'rcu>(_: &Net, _: &mut (), pos: &mut i64, _: Held<'rcu>) -> Option<Whole> {
        *pos += 1;
        None
    }

    fn show<'rcu>(_: &Net, _: &mut (), _: Whole, _: Held<'rcu>, out: &mut Writer) {
        // What does not fit is asked for again, so errors need no answer.
        let _ = writeln!(out, "{:<11} {:>10} {:>10}", "state", "IPv4", "IPv6");
        for ((_, name), [v4, v6]) in State::ALL.iter().zip(&PACKETS) {
            let (v4, v6) = (v4.load(Relaxed), v6.load(Relaxed));
            let _ = writeln!(out, "{name:<11} {v4:>10} {v6:>10}");
        }
    }
}

/// Hooks of the first namespace; dropping it takes them back.
struct Hooked;

impl Hooked {
    fn new() -> Result<Self> {
        HOOKS.register(Net::init())?;
        Ok(Hooked)
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        HOOKS.unregister(Net::init());
    }
}

/// The module while it is loaded: first packets no longer come, then the file goes.
struct Watch {
    _hooked: Hooked,
    _file: File,
}

impl kernel::Module for Watch {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Watch {
            _file: File::new::<Table>(Net::init(), Folder::Net, c"ct_watch", 0o444)?,
            _hooked: Hooked::new()?,
        })
    }
}
