// SPDX-License-Identifier: GPL-2.0

//! Entries: `struct nf_conn`, which dozens of modules read and write in place.
//!
//! The slab is type-safe by RCU: an entry that a reader holds no reference to may be freed and
//! reused under its eyes, but stays an entry. So there are two views:
//!
//! * [`Conn`] is reached through a reference (`&Conn` borrowed from an [`ARef<Conn>`], or from a C
//!   caller that holds one): what identifies the entry is constant.
//! * [`Candidate`] is what a walk under RCU meets: atomics only, until [`Candidate::get`] gives an
//!   [`ARef<Conn>`], after which the key has to be checked again.
//!
//! No Rust reference to the fields is ever made: other CPUs and other modules change them with
//! plain stores.
//!
//! C header: [`include/net/netfilter/nf_conntrack.h`](srctree/include/net/netfilter/nf_conntrack.h)

use core::marker::PhantomData;
use core::mem::offset_of;
use core::mem::size_of;
use core::ptr::NonNull;
use kernel::sync::aref::ARef;
use kernel::sync::aref::AlwaysRefCounted;
use kernel::sync::barrier;
use kernel::sync::barrier::smp_mb;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::lock::CSpinLock;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::prefetch;
use crate::linux::rcu::Held;
use crate::linux::time;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;
use crate::pure::num::Jiffies32;
use crate::pure::policy::proof::Marks;
use crate::pure::status::Bit;
use crate::pure::status::Status;
use crate::pure::tuple::Tuple;

const _: () = {
    // The layout that other modules were compiled against, and the one that `pure` mirrors.
    assert!(size_of::<Tuple>() == size_of::<bindings::nf_conntrack_tuple>());
    assert!(offset_of!(bindings::nf_conn, tuplehash) % 8 == 0);
    assert!(offset_of!(bindings::nf_conntrack_tuple_hash, tuple) % 8 == 0);
    assert!(size_of::<Tuple>() == 40);
};

/// A connection, or a template.
#[repr(transparent)]
pub(crate) struct Conn(Opaque<bindings::nf_conn>);

// SAFETY: References are given away and dropped on any CPU.
unsafe impl Send for Conn {}
// SAFETY: Every accessor is an atomic operation, or names the lock that it wants.
unsafe impl Sync for Conn {}

// SAFETY: `ct_general.use` counts references; the last one gone frees the entry
// (`nf_ct_destroy`). All entries and templates have it.
unsafe impl AlwaysRefCounted for Conn {
    #[inline]
    fn inc_ref(&self) {
        // SAFETY: `&self` is backed by a reference.
        unsafe { bindings::rct_nf_conn_get(self.as_ptr()) };
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up the reference that keeps the entry valid.
        unsafe { bindings::rct_nf_conn_put(obj.as_ptr().cast()) };
    }
}

impl PartialEq for Conn {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Conn {
    /// The entry at `ptr`.
    ///
    /// # Safety
    ///
    /// Somebody holds a reference to the entry at `ptr` for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(ptr: *const bindings::nf_conn) -> &'a Self {
        // SAFETY: By this function's contract; `Conn` is transparent.
        unsafe { &*ptr.cast() }
    }

    /// As C knows it.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut bindings::nf_conn {
        self.0.get()
    }

    /// One of its tuples. The reply one changes until the entry is confirmed, by its owner only.
    #[inline(always)]
    pub(crate) fn tuple(&self, dir: Dir) -> Tuple {
        // SAFETY: Valid by the type; same size and no padding, asserted above.
        unsafe { self.tuple_ptr(dir).cast::<Tuple>().read() }
    }

    #[inline(always)]
    fn tuple_ptr(&self, dir: Dir) -> *const bindings::nf_conntrack_tuple {
        // SAFETY: Valid by the type; only an address.
        unsafe { &raw const (*self.node(dir)).tuple }
    }

    /// Its node in the table for `dir`.
    #[inline(always)]
    pub(crate) fn node(&self, dir: Dir) -> *mut bindings::nf_conntrack_tuple_hash {
        // SAFETY: Valid by the type; only an address.
        unsafe {
            (&raw mut (*self.as_ptr()).tuplehash)
                .cast::<bindings::nf_conntrack_tuple_hash>()
                .add(dir.index())
        }
    }

    /// The layer-4 protocol.
    #[inline(always)]
    pub(crate) fn proto(&self) -> u8 {
        // SAFETY: Constant while the reference is held.
        unsafe { (*self.tuple_ptr(Dir::Original)).dst.protonum }
    }

    /// The layer-3 protocol (`NFPROTO_*`).
    #[inline(always)]
    pub(crate) fn l3(&self) -> u16 {
        // SAFETY: Constant while the reference is held.
        unsafe { (*self.tuple_ptr(Dir::Original)).src.l3num }
    }

    /// Its namespace.
    #[inline(always)]
    pub(crate) fn net(&self) -> &Net {
        // SAFETY: Constant while the reference is held; a namespace outlives its entries.
        unsafe { Net::from_raw((*self.as_ptr()).ct_net.net) }
    }

    /// Its zone.
    #[inline(always)]
    pub(crate) fn zone(&self) -> Zone {
        // SAFETY: Valid by the type.
        unsafe { Zone::read(&raw const (*self.as_ptr()).zone) }
    }

    /// The flags of its zone. Only templates have flags for others; in entries nobody reads the byte
    /// (its copies in expectations neither) nor shows it to user space, and it is there whatever the
    /// protocol is. So it has our marks.
    #[inline(always)]
    fn marks_at(&self) -> *mut u8 {
        // SAFETY: Within the zone; only an address.
        unsafe {
            (&raw mut (*self.as_ptr()).zone)
                .cast::<u8>()
                .add(Zone::FLAGS)
        }
    }

    /// What is kept beside the status.
    #[inline(always)]
    pub(crate) fn marks(&self) -> Marks {
        // SAFETY: A byte of the entry that is written whole.
        Marks::from_raw(unsafe { read_once(self.marks_at()) })
    }

    /// Stores it. Of racing changes one may be lost; each is such that it is made again, or that
    /// the proof comes later.
    #[inline]
    pub(crate) fn set_marks(&self, marks: Marks) {
        // SAFETY: As above.
        unsafe { write_once(self.marks_at(), marks.raw()) };
    }

    /// Adds marks.
    #[inline]
    pub(crate) fn add_marks(&self, marks: Marks) {
        self.set_marks(self.marks().with(marks));
    }

    /// Its lock, which guards the trackers' state. Innermost: no event, log or kill under it.
    #[inline(always)]
    pub(crate) fn lock(&self) -> CSpinLock {
        // SAFETY: Initialised when the entry was allocated, valid while a reference is held.
        unsafe { CSpinLock::from_raw(&raw mut (*self.as_ptr()).lock) }
    }

    /// A snapshot of its status bits.
    #[inline(always)]
    pub(crate) fn status(&self) -> Status {
        // SAFETY: Valid by the type.
        Status(unsafe { read_once(&raw const (*self.as_ptr()).status) })
    }

    /// Whether a status bit is set.
    #[inline(always)]
    pub(crate) fn has(&self, bits: Status) -> bool {
        self.status().any(bits)
    }

    /// Sets a bit, after everything written before became visible.
    #[inline]
    pub(crate) fn set_bit(&self, bit: Bit) {
        // SAFETY: A bit number of the status word.
        unsafe { bindings::rct_set_bit(bit as u32, &raw mut (*self.as_ptr()).status) };
    }

    /// Clears a bit.
    #[inline]
    pub(crate) fn clear_bit(&self, bit: Bit) {
        // SAFETY: A bit number of the status word.
        unsafe { bindings::rct_clear_bit(bit as u32, &raw mut (*self.as_ptr()).status) };
    }

    /// Sets a bit; whether it was set already. Fully ordered.
    #[inline]
    pub(crate) fn test_and_set_bit(&self, bit: Bit) -> bool {
        // SAFETY: A bit number of the status word.
        unsafe { bindings::rct_test_and_set_bit(bit as u32, &raw mut (*self.as_ptr()).status) }
    }

    /// Adds bits with a plain store, as C does before confirmation.
    ///
    /// CONTEXT: nobody else changes the status: the entry is unconfirmed and one packet's, or the
    /// table's locks keep the others out.
    #[inline]
    pub(crate) fn add_status(&self, bits: Status) {
        // SAFETY: Valid by the type.
        unsafe { write_once(&raw mut (*self.as_ptr()).status, self.status().0 | bits.0) };
    }

    /// Where it is, as a number.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        self.as_ptr().addr()
    }

    /// The raw timeout word: relative ticks before confirmation, a deadline after.
    #[inline(always)]
    pub(crate) fn timeout(&self) -> u32 {
        // SAFETY: Valid by the type.
        unsafe { read_once(&raw const (*self.as_ptr()).timeout) }
    }

    /// Stores the raw timeout word.
    #[inline(always)]
    pub(crate) fn set_timeout(&self, raw: u32) {
        // SAFETY: Valid by the type.
        unsafe { write_once(&raw mut (*self.as_ptr()).timeout, raw) };
    }

    /// Ticks until the deadline, zero once it has passed.
    #[inline]
    pub(crate) fn remaining(&self) -> u32 {
        u32::try_from(time::now().until(Jiffies32(self.timeout()))).unwrap_or(0)
    }

    /// Whether the deadline has passed.
    #[inline]
    pub(crate) fn is_expired(&self) -> bool {
        time::now().reached(Jiffies32(self.timeout()))
    }

    /// Whether it is or was in the table.
    #[inline(always)]
    pub(crate) fn is_confirmed(&self) -> bool {
        self.has(Status::CONFIRMED)
    }

    /// Whether somebody has begun to remove it.
    #[inline(always)]
    pub(crate) fn is_dying(&self) -> bool {
        self.has(Status::DYING)
    }

    /// Whether it is no connection but a rule's wish for one.
    #[inline(always)]
    pub(crate) fn is_template(&self) -> bool {
        self.has(Status::TEMPLATE)
    }

    /// Whether a walk should remove it: expired, in the table, and nobody removes it yet.
    ///
    /// ORDERING: the reference was acquired before, and the status is read before the deadline;
    /// confirmation writes them in the opposite order.
    #[inline]
    pub(crate) fn should_gc(&self) -> bool {
        if !self.is_confirmed() {
            return false;
        }
        smp_mb(barrier::Read);
        self.is_expired() && !self.is_dying()
    }

    /// The connection that expected this one. Constant from birth to death.
    #[inline]
    pub(crate) fn master(&self) -> Option<&Conn> {
        // SAFETY: The entry holds a reference to its master.
        unsafe { (*self.as_ptr()).master.cast::<Conn>().as_ref() }
    }

    /// The mark.
    #[inline]
    pub(crate) fn mark(&self) -> u32 {
        // SAFETY: Valid by the type.
        unsafe { read_once(&raw const (*self.as_ptr()).mark) }
    }

    /// The number of references.
    pub(crate) fn references(&self) -> u32 {
        // SAFETY: Valid by the type.
        unsafe { bindings::rct_nf_conn_use(self.as_ptr()) }
    }

    /// The storage that trackers share.
    #[inline(always)]
    pub(crate) fn private(&self) -> *mut bindings::nf_conntrack_proto {
        // SAFETY: Valid by the type; only an address.
        unsafe { &raw mut (*self.as_ptr()).proto }
    }

    /// Another reference.
    #[inline]
    pub(crate) fn to_ref(&self) -> ARef<Conn> {
        ARef::from(self)
    }
}

/// A node that a walk of the table met: an entry that may be gone or another by now.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'rcu> {
    node: *mut bindings::nf_conntrack_tuple_hash,
    _rcu: PhantomData<Held<'rcu>>,
}

impl<'rcu> Candidate<'rcu> {
    /// The entry whose node `node` is.
    ///
    /// # Safety
    ///
    /// `node` was met in the table or another list of entries, in the read-side section or under
    /// the lock that `'rcu` stands for.
    #[inline(always)]
    pub(crate) unsafe fn from_node(node: *mut bindings::hlist_nulls_node) -> Self {
        // `hnnode` is the first member (asserted by the table).
        Candidate {
            node: node.cast(),
            _rcu: PhantomData,
        }
    }

    /// Which direction's node it is.
    #[inline(always)]
    pub(crate) fn dir(self) -> Dir {
        // SAFETY: The slab keeps the memory an entry during the read-side section.
        Dir::from_raw(unsafe { read_once(&raw const (*self.node).tuple.dst.dir) })
    }

    /// The whole entry, still without a reference: atomics only.
    #[inline(always)]
    fn raw(self) -> *mut bindings::nf_conn {
        let back = offset_of!(bindings::nf_conn, tuplehash)
            + self.dir().index() * size_of::<bindings::nf_conntrack_tuple_hash>();
        // The node stands at that offset in its entry: `dst.dir` never changes for a node.
        self.node.cast::<u8>().wrapping_sub(back).cast()
    }

    /// The raw node.
    #[inline(always)]
    pub(crate) fn node(self) -> *mut bindings::nf_conntrack_tuple_hash {
        self.node
    }

    /// Where the entry is, as a number.
    #[inline(always)]
    pub(crate) fn address(self) -> usize {
        self.raw().addr()
    }

    /// Brings into the cache what has to be written when the entry is taken out of its chains.
    #[inline]
    pub(crate) fn expect_unlinking(self) {
        for dir in Dir::BOTH {
            // SAFETY: As in `dir`. What the links lead to is not read.
            let (next, previous) = unsafe {
                let first = (&raw const (*self.raw()).tuplehash)
                    .cast::<bindings::nf_conntrack_tuple_hash>();
                let node = &raw const (*first.add(dir.index())).hnnode;
                (
                    read_once(&raw const (*node).next),
                    read_once(&raw const (*node).pprev),
                )
            };
            prefetch::for_writing(next.addr(), 1);
            prefetch::for_writing(previous.addr(), 1);
        }
    }

    /// Its namespace's address, for comparison only.
    #[inline(always)]
    pub(crate) fn is_in(self, net: &Net) -> bool {
        // SAFETY: As in `dir`.
        let raw = unsafe { read_once(&raw const (*self.raw()).ct_net.net) };
        raw == net.as_ptr()
    }

    /// How many entries its namespace has.
    pub(crate) fn entries_of_net(self) -> u32 {
        // SAFETY: As in `dir`; a namespace outlives its entries by a grace period.
        let net: *mut bindings::net = unsafe { read_once(&raw const (*self.raw()).ct_net.net) };
        // SAFETY: As above.
        unsafe { Net::from_raw(net) }.entries_now()
    }

    /// A snapshot of the status.
    #[inline(always)]
    pub(crate) fn status(self) -> Status {
        // SAFETY: As in `dir`.
        Status(unsafe { read_once(&raw const (*self.raw()).status) })
    }

    /// Whether the deadline has passed.
    #[inline(always)]
    pub(crate) fn is_expired(self, now: Jiffies32) -> bool {
        now.reached(self.deadline())
    }

    /// The deadline.
    #[inline(always)]
    pub(crate) fn deadline(self) -> Jiffies32 {
        // SAFETY: As in `dir`.
        Jiffies32(unsafe { read_once(&raw const (*self.raw()).timeout) })
    }

    /// Whether the node has this key and is in the table.
    #[inline(always)]
    pub(crate) fn matches(self, key: &Key<'_>) -> bool {
        // SAFETY: As in `dir`.
        if !unsafe { key.is_of(self.node) } {
            return false;
        }
        // SAFETY: As in `dir`.
        let zone = unsafe { Zone::read(&raw const (*self.raw()).zone) };
        let dir = self.dir();
        zone.id(dir) == key.zone.id(dir)
            && self.status().any(Status::CONFIRMED)
            && self.is_in(key.net)
    }

    /// Whether it is this entry.
    #[inline(always)]
    pub(crate) fn is(self, conn: &Conn) -> bool {
        core::ptr::eq(self.raw(), conn.as_ptr())
    }

    /// Whether the entry's original tuple is that of `key`, in the same zone.
    pub(crate) fn opened_by(self, key: &Key<'_>) -> bool {
        // SAFETY: As in `dir`; the original node comes first.
        unsafe {
            let node =
                (&raw mut (*self.raw()).tuplehash).cast::<bindings::nf_conntrack_tuple_hash>();
            let zone = Zone::read(&raw const (*self.raw()).zone);
            key.is_of(node) && zone.id(Dir::Original) == key.zone.id(Dir::Original)
        }
    }

    /// A reference, unless the entry is free. The entry may be another one by then: check again.
    #[inline(always)]
    pub(crate) fn get(self) -> Option<ARef<Conn>> {
        let raw = self.raw();
        // SAFETY: The slab keeps the memory an entry; the count is zero when it is free, and the
        // helper acquires what the owner released by making it one.
        unsafe {
            if bindings::rct_nf_conn_try_get(raw) {
                Some(ARef::from_raw(NonNull::new_unchecked(raw.cast())))
            } else {
                None
            }
        }
    }

    /// The entry, for holders of its bucket's lock.
    ///
    /// # Safety
    ///
    /// The lock of the bucket that the node is in is held for `'a`: then the table's reference
    /// keeps the entry.
    #[inline(always)]
    pub(crate) unsafe fn locked<'a>(self) -> &'a Conn {
        // SAFETY: By this function's contract.
        unsafe { Conn::from_raw(self.raw()) }
    }
}

/// What a look-up asks for.
pub(crate) struct Key<'a> {
    words: [u64; 5],
    zone: Zone,
    net: &'a Net,
}

impl<'a> Key<'a> {
    /// The bits of a tuple's last word that count: all but the direction's.
    const TAIL: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);

    /// The key of `tuple` in a zone of a namespace.
    #[inline(always)]
    pub(crate) fn new(tuple: &Tuple, zone: Zone, net: &'a Net) -> Self {
        // SAFETY: Same size, and a tuple has no padding.
        let words = unsafe { core::mem::transmute_copy::<Tuple, [u64; 5]>(tuple) };
        Key { words, zone, net }
    }

    /// Whether the node's tuple is this one.
    ///
    /// # Safety
    ///
    /// `node` is a node of an entry, dead or alive, whose memory stays for the call.
    #[inline(always)]
    unsafe fn is_of(&self, node: *const bindings::nf_conntrack_tuple_hash) -> bool {
        let wanted = self.words;
        // SAFETY: By this function's contract; 8-byte aligned, asserted above.
        unsafe {
            let words = (&raw const (*node).tuple).cast::<u64>();
            // The source first: the original tuple's end lies in another cache line, which most
            // entries that are only passed by need not be fetched for.
            if (read_once(words) ^ wanted[0]) | (read_once(words.add(1)) ^ wanted[1]) != 0 {
                return false;
            }
            // The fifth word ends with the direction, which is no part of the key.
            let tail = (read_once(words.add(4)) ^ wanted[4]) & Key::TAIL;
            let rest =
                (read_once(words.add(2)) ^ wanted[2]) | (read_once(words.add(3)) ^ wanted[3]);
            rest | tail == 0
        }
    }
}
