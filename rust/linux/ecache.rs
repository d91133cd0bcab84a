// SPDX-License-Identifier: GPL-2.0

//! What events need of C: an entry's cache of them, the listener of a namespace, and the list of
//! entries whose end it has not heard of.
//!
//! C headers: [`include/net/netfilter/nf_conntrack_ecache.h`](srctree/include/net/netfilter/nf_conntrack_ecache.h),
//! [`include/net/netfilter/nf_conntrack.h`](srctree/include/net/netfilter/nf_conntrack.h)

use core::marker::PhantomData;
use core::mem::offset_of;
use core::mem::size_of;
use core::ptr::addr_of;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Full;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::conn::Candidate;
use crate::linux::conn::Conn;
use crate::linux::lock::CSpinGuard;
use crate::linux::lock::CSpinLock;
use crate::linux::net::Net;
use crate::linux::net::Private;
use crate::linux::nulls::Link;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::rcu::Held;
use crate::pure::num::Dir;

const _: () = {
    // `local64_t` is a plain word; its accessors are plain loads and stores.
    assert!(size_of::<bindings::local64_t>() == size_of::<u64>());
    assert!(offset_of!(bindings::nf_conntrack_ecache, timestamp) % 8 == 0);
};

/// The events of an entry that are yet to be told. All of it is shared and without a lock.
#[derive(Clone, Copy)]
pub(crate) struct Ecache<'a> {
    raw: NonNull<bindings::nf_conntrack_ecache>,
    _conn: PhantomData<&'a Conn>,
}

/// The events that somebody wants to hear of, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Masks {
    /// Of the entry (`IPCT_*`).
    pub(crate) conn: u16,
    /// Of what it expects (`IPEXP_*`).
    pub(crate) expect: u16,
}

impl Masks {
    /// Nothing is wanted.
    pub(crate) const NONE: Masks = Masks { conn: 0, expect: 0 };
    /// Everything is.
    pub(crate) const ALL: Masks = Masks {
        conn: !0,
        expect: !0,
    };
}

impl Conn {
    /// Its cache of events, if it has one.
    #[inline]
    pub(crate) fn ecache(&self) -> Option<Ecache<'_>> {
        let raw = self.ext::<bindings::nf_conntrack_ecache>()?;
        Some(Ecache {
            raw,
            _conn: PhantomData,
        })
    }
}

impl Ecache<'_> {
    /// Which events are wanted.
    #[inline]
    pub(crate) fn masks(self) -> Masks {
        let raw = self.raw.as_ptr();
        // SAFETY: Valid while the entry is; rules write these words whole.
        unsafe {
            Masks {
                conn: read_once(&raw const (*raw).ctmask),
                expect: read_once(&raw const (*raw).expmask),
            }
        }
    }

    /// Says which events are wanted.
    pub(crate) fn set_masks(self, masks: Masks) {
        let raw = self.raw.as_ptr();
        // SAFETY: As in `masks`.
        unsafe {
            write_once(&raw mut (*raw).ctmask, masks.conn);
            write_once(&raw mut (*raw).expmask, masks.expect);
        }
    }

    #[inline]
    fn word(self) -> *mut usize {
        // SAFETY: Valid while the entry is; only an address.
        unsafe { &raw mut (*self.raw.as_ptr()).cache }
    }

    /// Whether no event waits.
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        // SAFETY: As in `masks`.
        unsafe { read_once(self.word()) == 0 }
    }

    /// Adds an event.
    #[inline]
    pub(crate) fn add(self, bit: u32) {
        // SAFETY: The word is a C bit map, changed by atomic operations only.
        unsafe { bindings::rct_set_bit(bit, self.word()) };
    }

    /// Takes all events, a bit each.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn take(self) -> u32 {
        // SAFETY: As in `add`, and aligned.
        let word = unsafe { Atomic::from_ptr(self.word()) };
        // There are fewer than 16 events.
        word.xchg(0, Full) as u32
    }

    /// Events that the listener could not take, a bit each.
    #[inline]
    pub(crate) fn missed(self) -> u32 {
        // SAFETY: As in `masks`.
        unsafe { read_once(&raw const (*self.raw.as_ptr()).missed) }
    }

    /// Changes what was missed by `f`, which may run several times.
    pub(crate) fn change_missed(self, f: impl Fn(u32) -> u32) {
        // SAFETY: Valid while the entry is; changed by compare-and-exchange only.
        let word = unsafe { Atomic::from_ptr(&raw mut (*self.raw.as_ptr()).missed) };
        let mut old = self.missed();
        while let Err(now) = word.cmpxchg(old, f(old), Full) {
            old = now;
        }
    }

    /// The netlink port of who removed the entry, while nobody could be told; zero before.
    #[inline]
    pub(crate) fn remover(self) -> u32 {
        // SAFETY: As in `masks`.
        unsafe { read_once(&raw const (*self.raw.as_ptr()).portid) }
    }

    /// Keeps the port of who removed the entry.
    pub(crate) fn set_remover(self, portid: u32) {
        // SAFETY: As in `masks`; only the one who removes the entry gets here.
        unsafe { write_once(&raw mut (*self.raw.as_ptr()).portid, portid) };
    }

    fn stamp_word(self) -> *mut u64 {
        // SAFETY: Valid while the entry is; only an address, of a word of that size.
        unsafe { (&raw mut (*self.raw.as_ptr()).timestamp).cast() }
    }

    /// When the first of the waiting events happened, in nanoseconds since the epoch; zero if
    /// nobody wants to know.
    #[inline]
    pub(crate) fn stamp(self) -> u64 {
        // SAFETY: As in `masks`.
        unsafe { read_once(self.stamp_word()) }
    }

    /// Sets that time.
    pub(crate) fn set_stamp(self, ns: u64) {
        // SAFETY: As in `masks`.
        unsafe { write_once(self.stamp_word(), ns) };
    }
}

/// Who is told about events in a namespace: ctnetlink.
#[derive(Clone, Copy)]
pub(crate) struct Listener<'rcu>(&'rcu bindings::nf_ct_event_notifier);

impl Net {
    /// Whether anybody listens.
    #[inline(always)]
    pub(crate) fn has_listener(&self) -> bool {
        // SAFETY: A pointer that is written whole; it is not followed.
        !unsafe { read_once(&raw const (*self.ct()).nf_conntrack_event_cb) }.is_null()
    }

    /// Who listens.
    #[inline]
    pub(crate) fn listener<'rcu>(&self, _rcu: Held<'rcu>) -> Option<Listener<'rcu>> {
        // SAFETY: RCU-protected: a listener leaves its table of functions for a grace period after
        // it was taken out.
        unsafe {
            let raw = read_once(&raw const (*self.ct()).nf_conntrack_event_cb);
            raw.cast::<bindings::nf_ct_event_notifier>()
                .as_ref()
                .map(Listener)
        }
    }

    /// Puts a listener in, or null; whether there was one.
    ///
    /// # Safety
    ///
    /// `listener` is null, or stays for a grace period after it was taken out.
    pub(crate) unsafe fn set_listener(
        &self,
        listener: *const bindings::nf_ct_event_notifier,
    ) -> bool {
        // SAFETY: Valid by the type, and a word that all change whole.
        unsafe {
            let slot = (&raw mut (*self.ct()).nf_conntrack_event_cb)
                .cast::<*const bindings::nf_ct_event_notifier>();
            // ORDERING: full, so that readers who see the pointer see the table behind it.
            !Atomic::from_ptr(slot).xchg(listener, Full).is_null()
        }
    }

    /// Whether user space listens to events, in any namespace.
    #[inline]
    pub(crate) fn user_space_listens() -> bool {
        // SAFETY: A byte of the kernel proper, written whole.
        unsafe { read_once(addr_of!(bindings::nf_ctnetlink_has_listener)) != 0 }
    }

    /// Whether an entry's end waits to be told.
    #[inline(always)]
    pub(crate) fn is_redelivery_pending(&self) -> bool {
        // SAFETY: Valid by the type; a byte that is written whole.
        unsafe { read_once(&raw const (*self.ct()).ecache_dwork_pending) }
    }

    /// Says whether an entry's end waits to be told.
    pub(crate) fn set_redelivery_pending(&self, pending: bool) {
        // SAFETY: As in `is_redelivery_pending`.
        unsafe { write_once(&raw mut (*self.ct()).ecache_dwork_pending, pending) };
    }
}

impl Listener<'_> {
    /// Tells about events of a connection, a bit each.
    ///
    /// Errors: what the listener says, most often `ENOBUFS`: tell again later.
    /// CONTEXT: no lock of the module held; bottom halves may be on or off.
    pub(crate) fn connection(self, events: u32, conn: &Conn, portid: u32, report: bool) -> Result {
        let item = bindings::nf_ct_event {
            ct: conn.as_ptr(),
            portid,
            report: i32::from(report),
        };
        match self.0.ct_event {
            // SAFETY: A reference keeps the entry for the call; RCU keeps the listener.
            Some(tell) => to_result(unsafe { tell(events, &item) }),
            None => Ok(()),
        }
    }

    /// Tells about events of an expectation, a bit each.
    ///
    /// # Safety
    ///
    /// `exp` and its master live for the call, and the expectation lock is held.
    pub(crate) unsafe fn expectation(
        self,
        events: u32,
        exp: NonNull<bindings::nf_conntrack_expect>,
        portid: u32,
        report: bool,
    ) {
        let item = bindings::nf_exp_event {
            exp: exp.as_ptr(),
            portid,
            report: i32::from(report),
        };
        if let Some(tell) = self.0.exp_event {
            // SAFETY: By this function's contract; RCU keeps the listener.
            unsafe { tell(events, &item) };
        }
    }
}

/// Entries of a namespace that are out of the table, but whose end a listener could not be told,
/// and the work that tries again. ctnetlink walks the list under its lock.
#[repr(transparent)]
pub(crate) struct Dying(Opaque<bindings::nf_conntrack_net_ecache>);

// SAFETY: The list has a lock, and queueing is atomic.
unsafe impl Sync for Dying {}

impl Private {
    /// The namespace's entries whose end is not told.
    #[inline]
    pub(crate) fn dying(&self) -> &Dying {
        // SAFETY: Part of the namespace's memory; `Dying` is transparent.
        unsafe { Dying::from_raw(&raw mut (*self.as_ptr()).ecache) }
    }
}

/// The mark at the end of lists that are not of the table; buckets have lower numbers.
const END: usize = (1 << 30) + 1;

/// The link that ends a list.
fn end() -> *mut bindings::hlist_nulls_node {
    core::ptr::without_provenance_mut((END << 1) | 1)
}

impl Dying {
    /// The list at `raw`.
    ///
    /// # Safety
    ///
    /// `raw` lives for `'a`, and is initialised by [`Self::init`] before anything else is called.
    pub(crate) unsafe fn from_raw<'a>(raw: *mut bindings::nf_conntrack_net_ecache) -> &'a Self {
        // SAFETY: By this function's contract.
        unsafe { &*raw.cast() }
    }

    /// As C knows it.
    pub(crate) fn as_ptr(&self) -> *mut bindings::nf_conntrack_net_ecache {
        self.0.get()
    }

    /// Makes it empty; `work` is what is run later.
    ///
    /// # Safety
    ///
    /// Nobody uses it yet.
    pub(crate) unsafe fn init(&self, work: unsafe extern "C" fn(*mut bindings::work_struct)) {
        // SAFETY: By this function's contract.
        unsafe {
            let raw = self.as_ptr();
            bindings::rct_init_redelivery(&raw mut (*raw).dwork, Some(work));
            (*raw).dying_list.first = end();
            bindings::rct_dying_lock_init(&raw mut (*raw).dying_lock);
        }
    }

    /// The list that a work belongs to.
    ///
    /// # Safety
    ///
    /// `work` is what the function given to [`Self::init`] was called with.
    pub(crate) unsafe fn of_work<'a>(work: *mut bindings::work_struct) -> &'a Self {
        let back = offset_of!(bindings::nf_conntrack_net_ecache, dwork)
            + offset_of!(bindings::delayed_work, work);
        // SAFETY: By this function's contract; the list's owner cancels the work before it goes.
        unsafe { Self::from_raw(work.byte_sub(back).cast()) }
    }

    fn work(&self) -> *mut bindings::delayed_work {
        // SAFETY: Valid by the type; only an address.
        unsafe { &raw mut (*self.as_ptr()).dwork }
    }

    /// Runs the work `delay` ticks from now, unless it is queued already.
    pub(crate) fn schedule(&self, delay: u32) {
        // SAFETY: Initialised.
        unsafe { bindings::rct_schedule_delayed_work(self.work(), delay as usize) };
    }

    /// Runs the work now, whenever it was queued for.
    pub(crate) fn schedule_now(&self) {
        // SAFETY: Initialised.
        unsafe { bindings::rct_mod_delayed_work(self.work(), 0) };
    }

    /// Whether the work is queued.
    pub(crate) fn is_scheduled(&self) -> bool {
        // SAFETY: Initialised.
        unsafe { bindings::rct_delayed_work_pending(self.work()) }
    }

    /// Takes the work off the queue and waits until it does not run. CONTEXT: sleepable.
    pub(crate) fn cancel(&self) {
        // SAFETY: Initialised.
        unsafe { bindings::cancel_delayed_work_sync(self.work()) };
    }

    fn head(&self) -> *mut bindings::hlist_nulls_head {
        // SAFETY: Valid by the type; only an address.
        unsafe { &raw mut (*self.as_ptr()).dying_list }
    }

    /// Whether no entry is in the list, at this moment.
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: Initialised.
        matches!(unsafe { Link::first(self.head()) }, Link::End(_))
    }

    /// The list, locked. CONTEXT: below a bucket's lock nobody gets here.
    pub(crate) fn lock(&self) -> DyingGuard<'_> {
        // SAFETY: Initialised, and lives as long as `self`.
        let lock = unsafe { CSpinLock::from_raw(&raw mut (*self.as_ptr()).dying_lock) };
        DyingGuard {
            list: self,
            _lock: lock.lock_bh(),
        }
    }
}

/// The locked list of [`Dying`] entries.
///
/// INVARIANT: the list has a reference to each of its entries, which it is linked to by their
/// original node.
pub(crate) struct DyingGuard<'a> {
    list: &'a Dying,
    _lock: CSpinGuard,
}

impl DyingGuard<'_> {
    /// Puts an entry first. The table's reference becomes the list's.
    ///
    /// # Safety
    ///
    /// The entry is unlinked from the table, whose reference the caller has, and gives away.
    pub(crate) unsafe fn add(&mut self, conn: &Conn) {
        // SAFETY: The list is locked; the node is in no other, by this function's contract.
        unsafe {
            let node = &raw mut (*conn.node(Dir::Original)).hnnode;
            bindings::rct_hlist_nulls_add_head_rcu(node, self.list.head());
        }
    }

    /// The entry that is first.
    pub(crate) fn first(&self) -> Option<&Conn> {
        // SAFETY: The list is locked, and what is in it is linked by nodes of entries that it has
        // a reference to.
        unsafe {
            match Link::first(self.list.head()) {
                Link::Node(node) => Some(Candidate::from_node(node).locked()),
                Link::End(_) => None,
            }
        }
    }

    /// Takes the first entry out.
    pub(crate) fn pop(&mut self) -> Option<ARef<Conn>> {
        let conn = NonNull::from(self.first()?);
        // SAFETY: It is in the list, whose reference is handed out with it.
        unsafe {
            let node = &raw mut (*conn.as_ref().node(Dir::Original)).hnnode;
            bindings::rct_hlist_nulls_del_rcu(node);
            Some(ARef::from_raw(conn))
        }
    }
}

/// Entries to be put once no lock is held, linked by their reply nodes: there may be too many to
/// allocate room for.
pub(crate) struct Told {
    /// INVARIANT: the end, or the reply node of an entry that the list has a reference to.
    first: *mut bindings::hlist_nulls_node,
}

impl Told {
    /// None yet.
    pub(crate) fn new() -> Self {
        Told { first: end() }
    }

    /// Adds an entry that is in no list any more.
    pub(crate) fn push(&mut self, conn: ARef<Conn>) {
        let conn = ARef::into_raw(conn);
        // SAFETY: The entry is ours alone but for readers that still stand on the node; they end
        // at a mark that is no bucket's, and start again.
        unsafe {
            let node = &raw mut (*conn.as_ref().node(Dir::Reply)).hnnode;
            write_once(&raw mut (*node).next, self.first);
            self.first = node;
        }
    }
}

impl Iterator for Told {
    type Item = ARef<Conn>;

    fn next(&mut self) -> Option<ARef<Conn>> {
        if self.first.addr() & 1 != 0 {
            return None;
        }
        // SAFETY: By the invariant; the reference is handed out.
        unsafe {
            let conn = Candidate::from_node(self.first).locked();
            self.first = read_once(&raw const (*self.first).next);
            Some(ARef::from_raw(NonNull::from(conn)))
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        while self.next().is_some() {}
    }
}
