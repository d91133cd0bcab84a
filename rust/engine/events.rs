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

use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::rcu;

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
#[allow(dead_code)] // Other modules make the rest of them.
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
            warn::warn_once!();
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

/// Tells the listener at once about events that `portid` asked for, a bit each
/// (`nf_conntrack_eventmask_report`).
///
/// Errors: what the listener says; the events are kept as missed. CONTEXT: no lock of the module
/// held.
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
        warn::warn_once!();
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

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_events)]
mod tests {
    use core::mem::size_of;
    use kernel::sync::aref::ARef;
    use kernel::sync::atomic::Atomic;
    use kernel::sync::atomic::Relaxed;

    use super::*;
    use crate::linux::fake::FakeNet;
    use crate::pure::status::Bit;

    // A listener that writes down what it hears, and answers as it is told.
    static CALLS: Atomic<i32> = Atomic::new(0);
    static EVENTS: Atomic<u32> = Atomic::new(0);
    static PORTID: Atomic<u32> = Atomic::new(0);
    /// How many calls are answered well before it is out of room.
    static ROOM: Atomic<i32> = Atomic::new(0);

    static LISTENER: bindings::nf_ct_event_notifier = bindings::nf_ct_event_notifier {
        ct_event: Some(hear),
        exp_event: None,
    };

    /// # Safety
    ///
    /// `item` is an event.
    unsafe extern "C" fn hear(
        events: kernel::ffi::c_uint,
        item: *const bindings::nf_ct_event,
    ) -> kernel::ffi::c_int {
        CALLS.add(1, Relaxed);
        EVENTS.store(events, Relaxed);
        // SAFETY: By this function's contract.
        PORTID.store(unsafe { (*item).portid }, Relaxed);
        if ROOM.fetch_sub(1, Relaxed) > 0 {
            0
        } else {
            ENOBUFS.to_errno()
        }
    }

    /// The listener has room for `room` events from now on.
    fn reset(room: i32) {
        CALLS.store(0, Relaxed);
        EVENTS.store(0, Relaxed);
        PORTID.store(0, Relaxed);
        ROOM.store(room, Relaxed);
    }

    /// Calls since the last time, and the events of the last one.
    fn heard() -> (i32, u32) {
        let heard = (CALLS.load(Relaxed), EVENTS.load(Relaxed));
        CALLS.store(0, Relaxed);
        EVENTS.store(0, Relaxed);
        heard
    }

    /// A confirmed entry that wants `masks`, in a namespace with the listener.
    fn entry(net: &FakeNet, masks: Masks) -> Option<ARef<Conn>> {
        net.set_events_setting(setting::ON);
        let conn = net.conn()?;
        add_ext(&conn, masks.conn, masks.expect, Gfp::KERNEL).ok()?;
        conn.set_bit(Bit::Confirmed);
        // SAFETY: A static.
        unsafe { net.set_listener(&LISTENER) };
        Some(conn)
    }

    #[test]
    fn setting_and_rule_decide_who_has_events() {
        let some = Masks { conn: 4, expect: 0 };
        let table = [
            (setting::OFF, Masks::NONE, true, Plan::Without),
            (setting::OFF, some, false, Plan::With(some)),
            (setting::ON, Masks::NONE, false, Plan::With(Masks::ALL)),
            (setting::ON, some, false, Plan::With(some)),
            (setting::AUTO, Masks::NONE, true, Plan::With(Masks::ALL)),
            (setting::AUTO, some, true, Plan::With(some)),
            (setting::AUTO, Masks::NONE, false, Plan::Without),
            (setting::AUTO, some, false, Plan::Without),
            (3, some, true, Plan::Unknown),
        ];
        for (setting, asked, listens, expected) in table {
            assert!(plan(setting, asked, || listens) == expected);
        }
    }

    #[test]
    fn what_is_told_is_missed_no_more() {
        // Told: only what was told goes; another CPU's stays.
        assert_eq!(still_missed(0b1110, 0b0001, 0b0110, true), 0b1000);
        // Refused: everything stays, and the new ones come to it.
        assert_eq!(still_missed(0b0110, 0b0001, 0b0110, false), 0b0111);
        assert_eq!(still_missed(0, 0, 0, false), 0);
    }

    #[test]
    fn nobody_listens() -> Result {
        let net = FakeNet::new()?;
        let conn = entry(&net, Masks::ALL).ok_or(ENOMEM)?;
        unregister(&net);
        cache(&conn, Event::Mark);
        assert!(conn.ecache().is_some_and(Ecache::is_empty));
        // SAFETY: A static.
        unsafe { register(&net, &LISTENER) };
        reset(9);
        deliver(&conn);
        assert_eq!(heard(), (0, 0));
        unregister(&net);
        // Events that came while somebody listened are gone with him.
        conn.ecache().ok_or(EINVAL)?.add(1);
        deliver(&conn);
        assert!(conn.ecache().is_some_and(Ecache::is_empty));
        assert_eq!(heard(), (0, 0));
        Ok(())
    }

    #[test]
    fn events_are_told_once() -> Result {
        let net = FakeNet::new()?;
        let conn = entry(&net, Masks::ALL).ok_or(ENOMEM)?;
        reset(9);
        cache(&conn, Event::New);
        cache(&conn, Event::Assured);
        cache(&conn, Event::New);
        deliver(&conn);
        assert_eq!(heard(), (1, Event::New.mask() | Event::Assured.mask()));
        deliver(&conn);
        assert_eq!(heard(), (0, 0));
        Ok(())
    }

    #[test]
    fn unwanted_events_are_not_told() -> Result {
        let net = FakeNet::new()?;
        let wanted = Masks {
            conn: 1 << (Event::Mark as u32),
            expect: 0,
        };
        let conn = entry(&net, wanted).ok_or(ENOMEM)?;
        reset(9);
        cache(&conn, Event::Assured);
        deliver(&conn);
        assert_eq!(heard(), (0, 0));
        // Along with a wanted one, the others are.
        cache(&conn, Event::Reply);
        cache(&conn, Event::Mark);
        deliver(&conn);
        assert_eq!(heard(), (1, Event::Mark.mask() | Event::Reply.mask()));
        Ok(())
    }

    #[test]
    fn unconfirmed_and_dying_entries_tell_nothing() -> Result {
        let net = FakeNet::new()?;
        let conn = entry(&net, Masks::ALL).ok_or(ENOMEM)?;
        reset(9);
        conn.clear_bit(Bit::Confirmed);
        cache(&conn, Event::New);
        deliver(&conn);
        assert!(report_mask(&conn, Event::Mark.mask(), 0, false).is_ok());
        assert_eq!(heard(), (0, 0));
        conn.set_bit(Bit::Confirmed);
        conn.set_bit(Bit::Dying);
        deliver(&conn);
        assert_eq!(heard(), (0, 0));
        // Their end is told.
        assert!(report_destroy(&conn, 7, true).is_ok());
        assert_eq!(heard(), (1, Event::Destroy.mask()));
        assert_eq!(PORTID.load(Relaxed), 7);
        Ok(())
    }

    #[test]
    fn refused_events_are_told_later() -> Result {
        let net = FakeNet::new()?;
        let conn = entry(&net, Masks::ALL).ok_or(ENOMEM)?;
        let missed = || conn.ecache().map_or(!0, Ecache::missed);
        let (new, reply, mark) = (Event::New.mask(), Event::Reply.mask(), Event::Mark.mask());
        reset(0);
        cache(&conn, Event::New);
        deliver(&conn);
        assert_eq!(heard(), (1, new));
        assert_eq!(missed(), new);
        // Every packet tries again.
        deliver(&conn);
        assert_eq!(heard(), (1, new));
        cache(&conn, Event::Reply);
        deliver(&conn);
        assert_eq!(heard(), (1, new | reply));
        assert_eq!(missed(), new | reply);
        reset(1);
        cache(&conn, Event::Mark);
        deliver(&conn);
        assert_eq!(heard(), (1, new | reply | mark));
        assert_eq!(missed(), 0);
        // What somebody asked for is kept likewise.
        assert!(report_mask(&conn, Event::Mark.mask(), 3, true).is_err());
        assert_eq!(missed(), mark);
        Ok(())
    }

    #[test]
    fn a_refused_end_keeps_its_requester() -> Result {
        let net = FakeNet::new()?;
        let conn = entry(&net, Masks::ALL).ok_or(ENOMEM)?;
        reset(0);
        assert!(report_mask(&conn, Event::Mark.mask(), 0, false).is_err());
        assert!(report_destroy(&conn, 42, true).is_err());
        assert_eq!(conn.ecache().map_or(0, Ecache::remover), 42);
        reset(1);
        assert!(report_destroy(&conn, 0, false).is_ok());
        // In the requester's name, and about the end alone.
        assert_eq!(heard(), (1, Event::Destroy.mask()));
        assert_eq!(PORTID.load(Relaxed), 42);
        Ok(())
    }

    #[test]
    fn ends_wait_until_they_are_told() -> Result {
        const ENTRIES: i32 = 50;

        let net = FakeNet::new()?;
        let mut memory = KBox::<bindings::nf_conntrack_net_ecache>::new_uninit(GFP_KERNEL)?;
        assert!(size_of::<Dying>() == size_of::<bindings::nf_conntrack_net_ecache>());
        // SAFETY: Fresh memory that outlives the entries; nobody queues the work.
        let dying = unsafe {
            let dying = Dying::from_raw(memory.as_mut_ptr());
            dying.init(redeliver);
            dying
        };
        let mut entries = KVec::new();
        for _ in 0..ENTRIES {
            let conn = entry(&net, Masks::ALL).ok_or(ENOMEM)?;
            conn.set_bit(Bit::Dying);
            // The table's reference.
            core::mem::forget(conn.clone());
            // SAFETY: The entry is in no table, and that reference is given away.
            unsafe { dying.lock().add(&conn) };
            entries.push(conn, GFP_KERNEL)?;
        }
        let waiting = || entries.iter().filter(|conn| conn.references() == 2).count();
        assert_eq!(waiting(), 50);

        reset(0);
        assert!(redeliver_round(dying) == Round::Congested);
        assert_eq!(heard(), (1, Event::Destroy.mask()));
        assert_eq!(waiting(), 50);

        reset(20);
        assert!(redeliver_round(dying) == Round::Congested);
        assert_eq!(heard().0, 21);
        assert_eq!(waiting(), 30);
        assert!(!dying.is_empty());

        // One entry before time is up.
        reset(99);
        let mut told = Told::new();
        assert!(redeliver_batch(dying, &mut told, || true) == Some(Round::OutOfTime));
        assert_eq!(told.count(), 1);
        assert_eq!(waiting(), 29);

        // A batch leaves the rest for the next.
        let mut told = Told::new();
        assert!(redeliver_batch(dying, &mut told, || false).is_none());
        drop(told);
        assert_eq!(waiting(), 11);

        let mut rounds = 0;
        while redeliver_round(dying) != Round::Done && rounds < 100 {
            rounds += 1;
        }
        assert_eq!(waiting(), 0);
        assert!(dying.is_empty());
        assert!(entries.iter().all(|conn| conn.references() == 1));
        Ok(())
    }

    #[test]
    fn rounds_come_again() {
        assert!(ROUND > 0);
        assert_eq!(Round::Congested.delay(), Some(ROUND));
        assert_eq!(Round::OutOfTime.delay(), Some(0));
        assert_eq!(Round::Done.delay(), None);
    }
}
