// SPDX-License-Identifier: GPL-2.0

//! Expectations: who may announce what, who answers to it, and when an announcement ends.
//!
//! An expectation that is over is unlinked by whoever meets it with the lock held: a look-up for a
//! new connection, the making of another one, or the worker that collects garbage. Until then it
//! counts.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_expect.c`.

use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::rcu;

use crate::bindings;
use crate::engine::events;
use crate::engine::events::ExpectEvent;
use crate::engine::helper;
use crate::linux::conn::Conn;
use crate::linux::expect;
use crate::linux::expect::ExpectLocked;
use crate::linux::expect::ExpectRef;
use crate::linux::expect::Expectation;
use crate::linux::expect::Plan;
use crate::linux::gfp::Gfp;
use crate::linux::helper::Help;
use crate::linux::helper::CLASSES;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::rcu::Held;
use crate::linux::stats::Counter;
use crate::linux::time;
use crate::linux::warn;
use crate::linux::zone::Zone;
use crate::pure::policy::expect as policy;
use crate::pure::policy::expect::Flags;
use crate::pure::policy::expect::Oldest;
use crate::pure::policy::expect::Relation;
use crate::pure::policy::expect::MOST_PER_CLASS;
use crate::pure::status::Status;
use crate::pure::tuple::l3;
use crate::pure::tuple::Addr;
use crate::pure::tuple::Destination;
use crate::pure::tuple::Mask;
use crate::pure::tuple::Source;
use crate::pure::tuple::Tuple;

/// What a helper announces.
pub(crate) struct Announcement {
    /// The class of it, among those of the helper.
    pub(crate) class: u32,
    /// The network layer (`NFPROTO_*`).
    pub(crate) family: u8,
    /// The layer-4 protocol.
    pub(crate) proto: u8,
    /// The sender's address; `None` for any.
    pub(crate) sender: Option<Addr>,
    /// The sender's port, in network order; `None` for any.
    pub(crate) sender_port: Option<u16>,
    /// The receiver's address.
    pub(crate) receiver: Addr,
    /// The receiver's port, in network order.
    pub(crate) receiver_port: u16,
}

impl Announcement {
    fn plan(&self) -> Plan {
        let whole = match self.family {
            family if u16::from(family) == l3::IPV4 => Addr([u32::MAX, 0, 0, 0]),
            _ => Addr([u32::MAX; 4]),
        };
        let tuple = Tuple {
            src: Source {
                addr: self.sender.unwrap_or_default(),
                id: self.sender_port.unwrap_or(0),
                l3: u16::from(self.family),
            },
            dst: Destination {
                addr: self.receiver,
                id: self.receiver_port,
                proto: self.proto,
                dir: 0,
            },
        };
        let mask = Mask {
            addr: self.sender.map_or(Addr::default(), |_| whole),
            id: self.sender_port.map_or(0, |_| u16::MAX),
        };
        Plan {
            class: self.class,
            tuple,
            mask,
        }
    }
}

/// Fills in a new expectation.
///
/// # Safety
///
/// Nobody else knows it, and the caller has a reference to its master.
pub(crate) unsafe fn fill(exp: &Expectation, what: &Announcement) {
    let guard = rcu::read_lock();
    // SAFETY: By this function's contract. The extension's word is written whole.
    unsafe {
        let master = exp.own_master();
        let event_mask = master
            .ext::<bindings::nf_conntrack_ecache>()
            .map(|cache| read_once(&raw const (*cache.as_ptr()).expmask));
        exp.fill(master, &what.plan(), event_mask, Held::by(&guard));
    }
}

/// Ends an expectation: unlinked, and listeners told. Nothing if it was not linked.
///
/// `portid` and `report` say who asked for it, see `nlmsg_report()`.
pub(crate) fn unlink(exp: &Expectation, portid: u32, report: bool, locked: ExpectLocked<'_>) {
    let Some(unlinked) = exp.unlink(locked) else {
        return;
    };
    tell(ExpectEvent::Destroy, exp, portid, report, locked);
    exp.net().count(Counter::EXPECT_DELETE);
    drop(unlinked);
}

fn tell(
    event: ExpectEvent,
    exp: &Expectation,
    portid: u32,
    report: bool,
    _locked: ExpectLocked<'_>,
) {
    // SAFETY: The expectation is valid and its master is there, as the lock is held.
    unsafe { events::expect_event(event, exp.as_non_null(), portid, report) };
}

/// The expectation that announces a packet.
pub(crate) fn find<'r>(
    net: &Net,
    zone: Zone,
    tuple: &Tuple,
    rcu: Held<'r>,
) -> Option<&'r Expectation> {
    if net.private().expectations() == 0 {
        return None;
    }
    expect::chain_of(net, tuple, rcu)
        .find(|exp| !exp.is_over() && exp.announced().is(tuple, zone.number()) && exp.net() == net)
}

/// A reference to the expectation that announces a packet.
pub(crate) fn find_get(net: &Net, zone: Zone, tuple: &Tuple, rcu: Held<'_>) -> Option<ExpectRef> {
    find(net, zone, tuple, rcu)?.get()
}

/// An expectation that a new connection answers to, and its master.
pub(crate) struct Claim {
    exp: ExpectRef,
    master: ARef<Conn>,
}

/// The expectation that announces the first packet of a new connection. If `consume`, it announces
/// no other one, unless it is permanent.
pub(crate) fn claim(
    net: &Net,
    zone: Zone,
    tuple: &Tuple,
    consume: bool,
    locked: ExpectLocked<'_>,
) -> Option<Claim> {
    let mut found = None;
    for exp in expect::chain_of(net, tuple, locked.rcu()) {
        if exp.is_over() {
            unlink(exp, 0, false, locked);
        } else if !exp.flags().any(Flags::INACTIVE)
            && exp.announced().is(tuple, zone.number())
            && exp.net() == net
        {
            found = exp.get();
            break;
        }
    }
    let exp = found?;
    let master = exp.get_master(locked)?;
    if !policy::outlives_match(exp.flags(), consume) {
        unlink(&exp, 0, false, locked);
    }
    Some(Claim { exp, master })
}

/// What remains to be done for a connection that was expected, once it has its first reference.
#[must_use = "the helper that expected the connection has not seen it yet"]
pub(crate) struct Expected(ExpectRef);

/// Makes `new` the child of the connection that expects it, if there is one.
///
/// CONTEXT: nobody else knows `new`, which has all its other extensions.
#[inline]
pub(crate) fn inherit(
    new: &Conn,
    net: &Net,
    zone: Zone,
    tuple: &Tuple,
    consume: bool,
) -> Option<Expected> {
    if net.private().expectations() == 0 {
        return None;
    }
    inherit_locked(new, net, zone, tuple, consume)
}

#[cold]
fn inherit_locked(
    new: &Conn,
    net: &Net,
    zone: Zone,
    tuple: &Tuple,
    consume: bool,
) -> Option<Expected> {
    let guard = expect::lock();
    let locked = guard.locked();
    if net.private().expectations() == 0 {
        return None;
    }
    let Claim { exp, master } = claim(net, zone, tuple, consume, locked)?;
    new.add_status(Status::EXPECTED);
    new.become_child(master);
    if let Some(assign) = exp.helper_to_assign(locked.rcu()) {
        if let Some(help) = helper::ext_add(new, Gfp::ATOMIC) {
            if let Some(assign) = assign.get() {
                help.set_helper(assign);
            }
        }
    }
    net.count(Counter::EXPECT_NEW);
    Some(Expected(exp))
}

impl Expected {
    /// Hands the connection to whoever expected it, who may translate it.
    ///
    /// CONTEXT: the caller has the only reference, no packet has the connection yet, no lock held.
    pub(crate) fn run(self, conn: &Conn) {
        if let Some(callback) = self.0.callback() {
            // SAFETY: Both are valid, and the expectation's master is held by `conn`; the callback
            // is text of a module that unlinks its expectations and waits for packets before it
            // goes.
            unsafe { callback(conn.as_ptr(), self.0.as_ptr()) };
        }
    }
}

/// Ends all that a connection expects.
pub(crate) fn remove_all(conn: &Conn) {
    // Most connections never expect any.
    let Some(help) = conn.help() else {
        return;
    };
    let guard = expect::lock();
    for exp in help.expectations(guard.locked()) {
        unlink(exp, 0, false, guard.locked());
    }
}

/// Unlinks what a connection expected and what is over.
pub(crate) fn collect_garbage(conn: &Conn) {
    let Some(help) = conn.help() else {
        return;
    };
    if help.expects_nothing() {
        return;
    }
    let guard = expect::lock();
    for exp in help.expectations(guard.locked()) {
        if exp.is_over() {
            unlink(exp, 0, false, guard.locked());
        }
    }
}

/// Withdraws an expectation. It stays linked, and counts, until somebody comes by: the caller may
/// be in the middle of a list.
pub(crate) fn withdraw(exp: &Expectation) {
    let guard = expect::lock();
    exp.add_flags(Flags::DEAD, guard.locked());
}

/// Decides whether `exp` may be linked, and makes room for it: unlinks what it replaces and what is
/// over, and the oldest of its class if that is full.
///
/// `pending` more of its class are about to be linked first. Errors: `EINVAL` if it was withdrawn or
/// is of no class; `EALREADY` if another master or class has announced the same; `EBUSY` if it
/// overlaps with another one; `EMFILE` if the namespace has as many as it may have.
fn make_room(
    exp: &Expectation,
    help: Help<'_>,
    pending: u32,
    any_master: bool,
    locked: ExpectLocked<'_>,
) -> Result {
    if exp.flags().any(Flags::DEAD) || exp.class() >= CLASSES {
        return Err(EINVAL);
    }
    let (net, tuple) = (exp.net(), exp.tuple());
    let announced = exp.announced();
    for present in expect::chain_of(net, &tuple, locked.rcu()) {
        if present.is_over() {
            unlink(present, 0, false, locked);
            continue;
        }
        if present.net() != net {
            continue;
        }
        let relation = policy::relation(
            &present.announced(),
            &announced,
            present.same_master(exp),
            present.class() == exp.class(),
            any_master,
        );
        match relation {
            Relation::Apart => (),
            Relation::Replaces => {
                unlink(present, 0, false, locked);
                break;
            }
            Relation::Taken => return Err(EALREADY),
            Relation::Clashes => return Err(EBUSY),
        }
    }
    let most = match help.helper(locked.rcu()) {
        Some(helper) => helper.policy(exp.class()).ok_or(EINVAL)?.most,
        None => MOST_PER_CLASS,
    };
    if policy::is_full(
        help.count(exp.class(), locked).saturating_add(pending),
        most,
    ) {
        evict(help, exp.class(), pending, most, locked);
    }
    if net.private().expectations() >= expect::max() {
        if warn::net_ratelimit() {
            pr_warn!("expectation table full\n");
        }
        return Err(EMFILE);
    }
    Ok(())
}

/// Unlinks what is over and, if the class is still full then, the oldest of it.
fn evict(help: Help<'_>, class: u32, pending: u32, most: u32, locked: ExpectLocked<'_>) {
    let mut oldest = Oldest::default();
    for exp in help.expectations(locked) {
        if exp.is_over() {
            unlink(exp, 0, false, locked);
        } else if exp.class() == class {
            oldest.older(exp);
        }
    }
    let count = help.count(class, locked).saturating_add(pending);
    if let Some(victim) = oldest.victim(count, most) {
        unlink(victim, 0, false, locked);
    }
}

/// Links an expectation for which there is room.
fn insert(
    exp: &Expectation,
    help: Help<'_>,
    portid: u32,
    report: bool,
    locked: ExpectLocked<'_>,
) -> Result {
    let policy = help
        .helper(locked.rcu())
        .and_then(|helper| helper.policy(exp.class()));
    if let Some(policy) = policy {
        let deadline = policy::deadline(exp.deadline(), policy.seconds, time::HZ);
        exp.set_deadline(deadline, locked);
    }
    if !exp.link(help, locked) {
        warn::warn_once();
        return Err(EINVAL);
    }
    exp.net().count(Counter::EXPECT_CREATE);
    tell(ExpectEvent::New, exp, portid, report, locked);
    Ok(())
}

/// Announces a connection.
///
/// With `any_master`, the same announcement of another master gives `EALREADY` instead of `EBUSY`.
/// Errors: `ESHUTDOWN` if the master has no helper extension; those of [`make_room`].
///
/// # Safety
///
/// The caller has references to the expectation and its master.
pub(crate) unsafe fn announce(
    exp: &Expectation,
    portid: u32,
    report: bool,
    any_master: bool,
) -> Result {
    let guard = expect::lock();
    let locked = guard.locked();
    let help = exp.master(locked).help().ok_or(ESHUTDOWN)?;
    make_room(exp, help, 0, any_master, locked)?;
    insert(exp, help, portid, report, locked)
}

/// Announces two connections, or none.
///
/// Errors: `EINVAL` if the master has no helper extension, or they have different masters; those
/// of [`make_room`].
///
/// # Safety
///
/// As for [`announce`].
pub(crate) unsafe fn announce_pair(
    first: &Expectation,
    second: &Expectation,
    any_master: bool,
) -> Result {
    let guard = expect::lock();
    let locked = guard.locked();
    let help = first.master(locked).help().ok_or(EINVAL)?;
    if second.master(locked).help() != Some(help) {
        return Err(EINVAL);
    }
    make_room(first, help, 0, any_master, locked)?;
    let pending = u32::from(first.class() == second.class());
    make_room(second, help, pending, any_master, locked)?;
    insert(first, help, 0, false, locked)?;
    insert(second, help, 0, false, locked)
}

/// Ends the expectations that `pick` wants ended, in one namespace or in all.
///
/// `pick` is called with the expectation lock held.
pub(crate) fn iterate(
    net: Option<&Net>,
    portid: u32,
    report: bool,
    mut pick: impl FnMut(&Expectation) -> bool,
) {
    let guard = expect::lock();
    let locked = guard.locked();
    for bucket in 0..expect::buckets() {
        for exp in expect::chain(bucket, locked.rcu()) {
            if net.is_some_and(|net| exp.net() != net) {
                continue;
            }
            if pick(exp) {
                unlink(exp, portid, report, locked);
            }
        }
    }
}
