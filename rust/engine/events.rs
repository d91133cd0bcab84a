// SPDX-License-Identifier: GPL-2.0

//! Events: telling a listener what happens to connections.
//!
//! ```text
//!   packet path: cache() sets a bit -------> deliver(), without locks -----> listener
//!                                               | no room: `missed`            |
//!                                               +------- next deliver() -------+
//!   end: report_destroy() ----------------------------------------------------> listener
//!            | no room: park() on the dying list                               |
//!            +------------- redeliver(), a work, until it was told ------------+
//! ```
//!
//! No other event may be lost for good without a bit in `missed`, and an entry's end is never
//! lost: it stays until the listener heard of it.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_ecache.c`.

use kernel::prelude::*;
use kernel::sync::rcu;

use core::ptr::NonNull;

use crate::bindings;
use crate::engine::ext;
use crate::linux::conn::Conn;
use crate::linux::ecache::Dying;
use crate::linux::ecache::Ecache;
use crate::linux::ecache::Masks;
use crate::linux::ecache::Told;
use crate::linux::gfp::Gfp;
use crate::linux::net::Net;
use crate::linux::rcu::Held;
use crate::linux::time;
use crate::linux::time::HZ;
use crate::linux::warn;

/// What happened to a connection; the numbers are user API (`enum ip_conntrack_events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Event {
    /// Confirmed.
    New = bindings::ip_conntrack_events_IPCT_NEW,
    /// Confirmed, and expected.
    Related = bindings::ip_conntrack_events_IPCT_RELATED,
    /// Ended.
    Destroy = bindings::ip_conntrack_events_IPCT_DESTROY,
    /// Packets were seen in both directions.
    Reply = bindings::ip_conntrack_events_IPCT_REPLY,
    /// Proven: not to be evicted early.
    Assured = bindings::ip_conntrack_events_IPCT_ASSURED,
    /// Its protocol's state changed.
    Protoinfo = bindings::ip_conntrack_events_IPCT_PROTOINFO,
    /// It got a helper.
    Helper = bindings::ip_conntrack_events_IPCT_HELPER,
    /// Its mark changed.
    Mark = bindings::ip_conntrack_events_IPCT_MARK,
    /// Its sequence numbers move by another offset.
    SeqAdj = bindings::ip_conntrack_events_IPCT_SEQADJ,
    /// Its security mark changed.
    Secmark = bindings::ip_conntrack_events_IPCT_SECMARK,
    /// Its labels changed.
    Label = bindings::ip_conntrack_events_IPCT_LABEL,
    /// A SYN proxy answered for it.
    Synproxy = bindings::ip_conntrack_events_IPCT_SYNPROXY,
}

impl Event {
    /// Its bit in a mask.
    #[inline]
    pub(crate) const fn mask(self) -> u32 {
        1 << self as u32
    }
}

// Masks are 16 bits wide.
const _: () = assert!(bindings::ip_conntrack_events___IPCT_MAX < 16);

/// What happened to an expectation (`enum ip_conntrack_expect_events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum ExpectEvent {
    /// Inserted.
    New = bindings::ip_conntrack_expect_events_IPEXP_NEW,
    /// Unlinked.
    Destroy = bindings::ip_conntrack_expect_events_IPEXP_DESTROY,
}

/// Values of `nf_conntrack_events`.
mod setting {
    /// Only entries whose rule asks for events have them.
    pub(super) const OFF: u8 = 0;
    /// All entries have events.
    pub(super) const ON: u8 = 1;
    /// As `ON` while user space listens.
    pub(super) const AUTO: u8 = 2;
}

/// What a new entry's cache of events is to be like. `asked` is what its rule wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// There is none.
    Without,
    /// It wants these.
    With(Masks),
    /// The setting has no meaning.
    Unknown,
}

fn plan(setting: u8, asked: Masks, user_space_listens: impl FnOnce() -> bool) -> Plan {
    let nothing_asked = asked == Masks::NONE;
    match setting {
        setting::OFF if nothing_asked => Plan::Without,
        setting::OFF => Plan::With(asked),
        setting::AUTO if !user_space_listens() => Plan::Without,
        setting::ON | setting::AUTO if nothing_asked => Plan::With(Masks::ALL),
        setting::ON | setting::AUTO => Plan::With(asked),
        _ => Plan::Unknown,
    }
}

/// Gives a new entry a cache of events, if it is to have one (`nf_ct_ecache_ext_add`).
///
/// `ctmask` and `expmask` are what its rule wants, zero both if it says nothing.
/// Errors: `ENOMEM`. CONTEXT: as [`ext::add`].
pub(crate) fn add_ext(conn: &Conn, ctmask: u16, expmask: u16, gfp: Gfp) -> Result {
    let asked = Masks {
        conn: ctmask,
        expect: expmask,
    };
    match plan(conn.net().events_setting(), asked, Net::user_space_listens) {
        Plan::Without => Ok(()),
        Plan::With(masks) => {
            ext::add_as::<bindings::nf_conntrack_ecache>(conn, gfp).ok_or(ENOMEM)?;
            let cache = conn.ecache().ok_or(ENOMEM)?;
            if conn.times().is_some() {
                cache.set_stamp(time::real_ns());
            }
            cache.set_masks(masks);
            Ok(())
        }
        Plan::Unknown => {
            warn::warn_once();
            Ok(())
        }
    }
}

/// Gives a new entry what its template and its namespace want.
///
/// Errors: `ENOMEM`.
#[inline]
pub(crate) fn inherit(conn: &Conn, template: Option<&Conn>) -> Result {
    match template.and_then(Conn::ecache) {
        Some(cache) => {
            let masks = cache.masks();
            add_ext(conn, masks.conn, masks.expect, Gfp::ATOMIC)
        }
        None if conn.net().events_setting() != setting::OFF => add_ext(conn, 0, 0, Gfp::ATOMIC),
        None => Ok(()),
    }
}

/// Something happened; whoever ends the packet's work delivers it. CONTEXT: any.
#[inline]
pub(crate) fn cache(conn: &Conn, event: Event) {
    if conn.net().has_listener() {
        remember(conn, event);
    }
}

#[cold]
fn remember(conn: &Conn, event: Event) {
    let Some(cache) = conn.ecache() else {
        return;
    };
    // The time is that of the first event that waits.
    if cache.stamp() != 0 && cache.is_empty() {
        cache.set_stamp(time::real_ns());
    }
    cache.add(event as u32);
}

/// Tells the listener what happened to an entry (`nf_ct_deliver_cached_events`).
///
/// CONTEXT: no lock of the module held; bottom halves are off, or in a hook.
#[inline]
pub(crate) fn deliver(conn: &Conn) {
    if let Some(cache) = conn.ecache() {
        // Most packets change nothing.
        if !cache.is_empty() || cache.missed() != 0 {
            deliver_some(conn, cache);
        }
    }
}

#[cold]
fn deliver_some(conn: &Conn, cache: Ecache<'_>) {
    if !conn.is_confirmed() || conn.is_dying() {
        return;
    }
    let events = cache.take();
    // Another CPU may tell what was missed as well: twice is better than never.
    let _ = tell(conn, cache, events, cache.missed(), 0, false);
}

/// Tells the listener about `events` and those `missed` before, and keeps what it could not take.
///
/// Errors: what the listener says.
fn tell(
    conn: &Conn,
    cache: Ecache<'_>,
    events: u32,
    missed: u32,
    portid: u32,
    report: bool,
) -> Result {
    let all = events | missed;
    if all & u32::from(cache.masks().conn) == 0 {
        return Ok(());
    }
    let result = {
        let guard = rcu::read_lock();
        let Some(listener) = conn.net().listener(Held::by(&guard)) else {
            return Ok(());
        };
        listener.connection(all, conn, portid, report)
    };
    if result.is_err() || missed != 0 {
        let told = result.is_ok();
        cache.change_missed(|old| still_missed(old, events, missed, told));
    }
    result
}

/// What is missed once the listener was told about `events` and `missed`, or refused both. `old` is
/// what is missed by now.
const fn still_missed(old: u32, events: u32, missed: u32, told: bool) -> u32 {
    if told {
        old & !missed
    } else {
        old | events
    }
}

/// Tells the listener at once about an event that `portid` asked for
/// (`nf_conntrack_event_report`).
///
/// Errors: what the listener says; the event is kept as missed. CONTEXT: no lock of the module
/// held.
pub(crate) fn report(conn: &Conn, event: Event, portid: u32, report: bool) -> Result {
    report_mask(conn, event.mask(), portid, report)
}

/// As [`report()`], for several, a bit each (`nf_conntrack_eventmask_report`).
pub(crate) fn report_mask(conn: &Conn, events: u32, portid: u32, report: bool) -> Result {
    if !conn.is_confirmed() {
        return Ok(());
    }
    let Some(cache) = conn.ecache() else {
        return Ok(());
    };
    let remover = cache.remover();
    let (portid, missed) = if remover != 0 {
        // An end that is told again, in the remover's name: only that counts now.
        (remover, 0)
    } else {
        (portid, cache.missed())
    };
    if cache.stamp() != 0 {
        cache.set_stamp(time::real_ns());
    }
    let result = tell(conn, cache, events, missed, portid, report);
    if result.is_err() && events & Event::Destroy.mask() != 0 && remover == 0 && portid != 0 {
        cache.set_remover(portid);
    }
    result
}

/// Tells the listener that an entry ends, by the wish of `portid`.
///
/// Errors: what the listener says: the entry is to be parked.
#[inline]
pub(crate) fn report_destroy(conn: &Conn, portid: u32, report: bool) -> Result {
    if conn.ecache().is_none() {
        return Ok(());
    }
    report_mask(conn, Event::Destroy.mask(), portid, report)
}

/// Keeps an entry whose end could not be told. The table's reference goes to the list.
///
/// CONTEXT: the entry is unlinked, by the caller, who does not put the reference; no lock held.
pub(crate) fn park(conn: &Conn) {
    let mut list = conn.net().private().dying().lock();
    // SAFETY: By the context.
    unsafe { list.add(conn) };
}

/// An end could not be told: try again soon.
pub(crate) fn retry_later(net: &Net) {
    let dying = net.private().dying();
    if !dying.is_scheduled() {
        dying.schedule(HZ);
        net.set_redelivery_pending(true);
    }
}

/// An end could be told: those that wait may be, too.
#[inline]
pub(crate) fn delivered_again(net: &Net) {
    if net.is_redelivery_pending() {
        retry_now(net);
    }
}

#[cold]
fn retry_now(net: &Net) {
    let dying = net.private().dying();
    if dying.is_empty() {
        net.set_redelivery_pending(false);
    } else {
        dying.schedule_now();
    }
}

/// Ticks that a round of the work takes at most, and that it waits for a listener without room.
const ROUND: u32 = (10 * HZ).div_ceil(1000);

/// Entries that a round takes with the list locked once.
const BATCH: u32 = 18;

/// How a round of redelivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// The listener has no room.
    Congested,
    /// Time is up.
    OutOfTime,
    /// The list is empty.
    Done,
}

impl Round {
    /// Ticks until the next round, if there is to be one.
    fn delay(self) -> Option<u32> {
        match self {
            Round::Congested => Some(ROUND),
            Round::OutOfTime => Some(0),
            Round::Done => None,
        }
    }
}

/// The work: tells the ends that wait.
///
/// # Safety
///
/// Called by the work queue with the work of a [`Dying`] list.
unsafe extern "C" fn redeliver(work: *mut bindings::work_struct) {
    // SAFETY: By this function's contract; `exit_net` waits for us.
    let dying = unsafe { Dying::of_work(work) };
    if let Some(delay) = redeliver_round(dying).delay() {
        dying.schedule(delay);
    }
}

/// Tells the ends that wait until the listener has no room or time is up.
///
/// CONTEXT: sleepable.
fn redeliver_round(dying: &Dying) -> Round {
    let stop = time::jiffies().plus(ROUND);
    let mut told = Told::new();
    let round = loop {
        let batch = redeliver_batch(dying, &mut told, || time::jiffies().after(stop));
        match batch {
            Some(round) => break round,
            None => warn::cond_resched(),
        }
    };
    // The last references; what they free wants no lock held.
    for conn in told {
        drop(conn);
        warn::cond_resched();
    }
    round
}

/// One batch, with the list locked; how the round ended, if it did.
fn redeliver_batch(dying: &Dying, told: &mut Told, time_is_up: impl Fn() -> bool) -> Option<Round> {
    let mut list = dying.lock();
    for _ in 0..BATCH {
        let Some(conn) = list.first() else {
            return Some(Round::Done);
        };
        if report_destroy(conn, 0, false).is_err() {
            return Some(Round::Congested);
        }
        if let Some(conn) = list.pop() {
            told.push(conn);
        }
        if time_is_up() {
            return Some(Round::OutOfTime);
        }
    }
    None
}

/// Tells the listener about an expectation, if the master's rule wants that
/// (`nf_ct_expect_event_report`).
///
/// # Safety
///
/// The expectation lock is held, and the expectation's master and namespace live.
pub(crate) unsafe fn expect_event(
    event: ExpectEvent,
    exp: NonNull<bindings::nf_conntrack_expect>,
    portid: u32,
    report: bool,
) {
    let mask = 1u32 << event as u32;
    let guard = rcu::read_lock();
    // SAFETY: By this function's contract.
    unsafe {
        let raw = exp.as_ptr();
        let net = Net::from_raw((*raw).net.net);
        let Some(listener) = net.listener(Held::by(&guard)) else {
            return;
        };
        if u32::from((*raw).event_mask) & mask != 0 {
            listener.expectation(mask, exp, portid, report);
        }
    }
}

/// Puts the namespace's listener in (`nf_conntrack_register_notifier`). There is one at most.
///
/// # Safety
///
/// The listener stays for a grace period after [`unregister`].
pub(crate) unsafe fn register(net: &Net, listener: *const bindings::nf_ct_event_notifier) {
    // SAFETY: By this function's contract.
    if unsafe { net.set_listener(listener) } {
        warn::warn_once();
    }
}

/// Takes the namespace's listener out. Who calls waits for a grace period, as the end of a
/// namespace does anyway.
pub(crate) fn unregister(net: &Net) {
    // SAFETY: Nobody.
    unsafe { net.set_listener(core::ptr::null()) };
}

/// Sets events up in a new namespace.
pub(crate) fn init_net(net: &Net) {
    net.set_events_setting(setting::AUTO);
    // SAFETY: A new namespace, in which nobody ends entries yet.
    unsafe { net.private().dying().init(redeliver) };
}

/// Stops redelivery in a namespace that goes, whose entries are gone. CONTEXT: sleepable.
pub(crate) fn exit_net(net: &Net) {
    net.private().dying().cancel();
}
