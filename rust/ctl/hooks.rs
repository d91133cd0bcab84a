// SPDX-License-Identifier: GPL-2.0

//! Where packets come in: netfilter hooks, registered while somebody wants connections tracked.
//!
//! Whoever needs tracking in a namespace says so by family ([`get`]) and takes it back ([`put`]).
//! The first user of a family switches defragmentation on and registers the hooks, the last one
//! undoes both. IPv4 and IPv6 are ours; those for bridges belong to another module, which is
//! loaded when it is wanted.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_proto.c`.

use core::mem::forget;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::atomic::Relaxed;

use crate::abi::core::nf_confirm;
use crate::bindings;
use crate::datapath;
use crate::engine::l4;
use crate::engine::table;
use crate::linux::hooks;
use crate::linux::hooks::hook;
use crate::linux::hooks::Defrag;
use crate::linux::hooks::ForeignHooks;
use crate::linux::hooks::Hooks;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::verdict::Verdict;
use crate::linux::warn;

kernel::sync::global_lock! {
    // SAFETY: Initialised in `init`, before anybody can be a user.
    unsafe(uninit) static USERS: Mutex<Option<ForeignHooks>> = None;
}

/// Makes [`USERS`] usable.
///
/// # Safety
///
/// Called once, while the module is loaded, before anything else in this file.
pub(crate) unsafe fn init() {
    // SAFETY: By this function's contract.
    unsafe { USERS.init() };
}

hooks::functions! {
    /// A packet comes in: its connection is looked up, or begun.
    fn ipv4_conntrack_in(skb, state) {
        datapath::track(skb, state)
    }

    /// As [`ipv4_conntrack_in`], for packets of this machine. Fragments come here if a socket wants
    /// its packets not to be put together (`IP_NODEFRAG`); those pass.
    fn ipv4_conntrack_local(skb, state) {
        if skb.is_fragment_v4() {
            // What is not tracked has no wishes either: later rules shall not see any.
            if skb.conn().is_some_and(|conn| conn.is_template()) {
                drop(skb.detach());
            }
            Verdict::ACCEPT
        } else {
            datapath::track(skb, state)
        }
    }

    /// As [`ipv4_conntrack_in`].
    fn ipv6_conntrack_in(skb, state) {
        datapath::track(skb, state)
    }

    /// As [`ipv4_conntrack_in`], for packets of this machine.
    fn ipv6_conntrack_local(skb, state) {
        datapath::track(skb, state)
    }
}

const PRE_ROUTING: bindings::nf_inet_hooks = bindings::nf_inet_hooks_NF_INET_PRE_ROUTING;
const LOCAL_IN: bindings::nf_inet_hooks = bindings::nf_inet_hooks_NF_INET_LOCAL_IN;
const LOCAL_OUT: bindings::nf_inet_hooks = bindings::nf_inet_hooks_NF_INET_LOCAL_OUT;
const POST_ROUTING: bindings::nf_inet_hooks = bindings::nf_inet_hooks_NF_INET_POST_ROUTING;

const IPV4: u8 = bindings::NFPROTO_IPV4 as u8;
const IPV6: u8 = bindings::NFPROTO_IPV6 as u8;
const INET: u8 = bindings::NFPROTO_INET as u8;
const BRIDGE: u8 = bindings::NFPROTO_BRIDGE as u8;

/// Before all that looks at connections.
const EARLY: i32 = bindings::nf_ip_hook_priorities_NF_IP_PRI_CONNTRACK;
const EARLY_V6: i32 = bindings::nf_ip6_hook_priorities_NF_IP6_PRI_CONNTRACK;
/// After everybody who may drop the packet.
const LAST: i32 = bindings::nf_ip_hook_priorities_NF_IP_PRI_CONNTRACK_CONFIRM;
const LAST_V6: i32 = bindings::nf_ip6_hook_priorities_NF_IP6_PRI_LAST;

// `nf_confirm` takes a packet's new connection into the table: the packet got through.
static HOOKS_V4: Hooks<4> = Hooks::new([
    hook(ipv4_conntrack_in, IPV4, PRE_ROUTING, EARLY),
    hook(ipv4_conntrack_local, IPV4, LOCAL_OUT, EARLY),
    hook(nf_confirm, IPV4, POST_ROUTING, LAST),
    hook(nf_confirm, IPV4, LOCAL_IN, LAST),
]);

static HOOKS_V6: Hooks<4> = Hooks::new([
    hook(ipv6_conntrack_in, IPV6, PRE_ROUTING, EARLY_V6),
    hook(ipv6_conntrack_local, IPV6, LOCAL_OUT, EARLY_V6),
    hook(nf_confirm, IPV6, POST_ROUTING, LAST_V6),
    hook(nf_confirm, IPV6, LOCAL_IN, LAST_V6 - 1),
]);

/// A family with hooks of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    Bridge,
}

impl Family {
    fn from_number(number: u8) -> Option<Self> {
        match number {
            IPV4 => Some(Family::V4),
            IPV6 => Some(Family::V6),
            BRIDGE => Some(Family::Bridge),
            _ => None,
        }
    }
}

/// How many users a family has in a namespace, for the holder of [`USERS`].
struct Count<'a>(&'a Net, Family);

impl Count<'_> {
    fn word(&self) -> *mut u32 {
        let private = self.0.private().as_ptr();
        // SAFETY: Valid by the type; only an address.
        unsafe {
            match self.1 {
                Family::V4 => &raw mut (*private).users4,
                Family::V6 => &raw mut (*private).users6,
                Family::Bridge => &raw mut (*private).users_bridge,
            }
        }
    }

    fn get(&self) -> u32 {
        // SAFETY: A word of the namespace.
        unsafe { read_once(self.word()) }
    }

    fn set(&self, users: u32) {
        // SAFETY: As in `get`; the mutex keeps others from writing.
        unsafe { write_once(self.word(), users) };
    }
}

/// One more user of `family` (`NFPROTO_*`) in a namespace. CONTEXT: sleepable.
///
/// `NFPROTO_INET` stands for IPv4 and IPv6, and `NFPROTO_BRIDGE` for both and bridges.
pub(crate) fn get(net: &Net, family: u8) -> Result {
    match family {
        INET => get_inet(net),
        BRIDGE => {
            let bridge = Use::new(net, Family::Bridge)?;
            get_inet(net)?;
            bridge.keep();
            Ok(())
        }
        _ => {
            let family = Family::from_number(family).ok_or(EPROTO)?;
            Use::new(net, family)?.keep();
            Ok(())
        }
    }
}

fn get_inet(net: &Net) -> Result {
    let v4 = Use::new(net, Family::V4)?;
    Use::new(net, Family::V6)?.keep();
    v4.keep();
    Ok(())
}

/// One user less, as [`get`] counted them. CONTEXT: sleepable.
pub(crate) fn put(net: &Net, family: u8) {
    match family {
        INET | BRIDGE => {
            if family == BRIDGE {
                end_use(net, Family::Bridge);
            }
            end_use(net, Family::V4);
            end_use(net, Family::V6);
        }
        _ => {
            if let Some(family) = Family::from_number(family) {
                end_use(net, family);
            }
        }
    }
}

/// A user of one family, until it is kept.
struct Use<'a>(&'a Net, Family);

impl<'a> Use<'a> {
    fn new(net: &'a Net, family: Family) -> Result<Self> {
        begin_use(net, family)?;
        Ok(Use(net, family))
    }

    /// [`put`] will end it.
    fn keep(self) {
        forget(self);
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        end_use(self.0, self.1);
    }
}

/// Tracking of IPv4 and IPv6 in a namespace, wanted by the module itself.
pub(crate) struct InetUse(NonNull<bindings::net>);

// SAFETY: Any task may end it.
unsafe impl Send for InetUse {}

impl InetUse {
    /// Begins. CONTEXT: sleepable.
    ///
    /// The caller drops it before the namespace ends.
    pub(crate) fn new(net: &Net) -> Result<Self> {
        let ptr = NonNull::new(net.as_ptr()).ok_or(EINVAL)?;
        get(net, INET)?;
        Ok(InetUse(ptr))
    }
}

impl Drop for InetUse {
    fn drop(&mut self) {
        // SAFETY: The namespace is still there, by the contract of `new`.
        put(unsafe { Net::from_raw(self.0.as_ptr()) }, INET);
    }
}

fn begin_use(net: &Net, family: Family) -> Result {
    let first = match family {
        Family::V4 => begin_inet(net, family, Defrag::v4, &HOOKS_V4)?,
        Family::V6 => begin_inet(net, family, Defrag::v6, &HOOKS_V6)?,
        Family::Bridge => begin_bridge(net)?,
    };
    if first {
        catch_up(net, family);
    }
    Ok(())
}

/// Whether it is the first user.
fn begin_inet<'a>(
    net: &'a Net,
    family: Family,
    defrag: fn(&'a Net) -> Result<Defrag<'a>>,
    hooks: &'static Hooks<4>,
) -> Result<bool> {
    let _lock = USERS.lock();
    let count = Count(net, family);
    let users = count.get();
    if users == 0 {
        let defrag = defrag(net)?;
        hooks.register(net)?;
        forget(defrag);
    }
    count.set(users.saturating_add(1));
    Ok(users == 0)
}

fn begin_bridge(net: &Net) -> Result<bool> {
    let mut lock = USERS.lock();
    if lock.is_none() {
        drop(lock);
        hooks::request_module(c"nf_conntrack_bridge");
        lock = USERS.lock();
    }
    let hooks = lock.ok_or(EPROTO)?;
    let module = hooks.hold().ok_or(EPROTO)?;
    let count = Count(net, Family::Bridge);
    let users = count.get();
    if users == 0 {
        hooks.register(net)?;
    }
    count.set(users.saturating_add(1));
    // Each user holds the module.
    forget(module);
    Ok(users == 0)
}

fn end_use(net: &Net, family: Family) {
    let lock = USERS.lock();
    let count = Count(net, family);
    let users = count.get();
    let last = users == 1;
    match family {
        Family::Bridge => {
            let Some(hooks) = *lock else {
                return;
            };
            if last {
                hooks.unregister(net);
            }
            drop(hooks.held());
        }
        Family::V4 if last => {
            HOOKS_V4.unregister(net);
            drop(Defrag::v4_enabled(net));
        }
        Family::V6 if last => {
            HOOKS_V6.unregister(net);
            drop(Defrag::v6_enabled(net));
        }
        Family::V4 | Family::V6 => {}
    }
    count.set(users.saturating_sub(1));
}

/// Packets went by unseen while a family had no hooks: established TCP connections that are still
/// in the table have other windows by now. They learn them anew.
fn catch_up(net: &Net, family: Family) {
    let l3 = match family {
        Family::V4 => u16::from(IPV4),
        Family::V6 => u16::from(IPV6),
        // No connection is a bridge's.
        Family::Bridge => return,
    };
    if net.private().entries().load(Relaxed) == 0 {
        return;
    }
    table::iterate(Some(net), 0, false, |conn| {
        if conn.l3() == l3 {
            l4::tcp::forget_windows(conn);
        }
        false
    });
}

/// The module for bridges is there.
///
/// # Safety
///
/// `info` and what it points to stay until [`unregister_bridge`].
pub(crate) unsafe fn register_bridge(info: *const bindings::nf_ct_bridge_info) {
    let mut lock = USERS.lock();
    let twice = lock.is_some();
    // SAFETY: By this function's contract.
    *lock = Some(unsafe { ForeignHooks::from_raw(info) });
    drop(lock);
    if twice {
        warn::warn_once!();
    }
}

/// The module for bridges goes.
pub(crate) fn unregister_bridge() {
    let none = USERS.lock().take().is_none();
    if none {
        warn::warn_once!();
    }
}
