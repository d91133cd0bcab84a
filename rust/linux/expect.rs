// SPDX-License-Identifier: GPL-2.0

//! Expectations: announcements of connections to come, made by helpers.
//!
//! An expectation is in two lists: its master's, and a chain of the table. Both, and the counts of
//! both, change in [`Expectation::link`] and [`Expectation::unlink`] only, under one lock for all,
//! [`lock`]. Other modules take that lock too, and walk the table under RCU.
//!
//! An expectation has no reference to its master: whoever ends a connection unlinks, under the
//! lock, what it expects. So the master of a linked expectation is there for holders of the lock.
//!
//! # Invariants
//!
//! * A linked expectation is in both lists, is counted for its namespace and for its class, and
//!   its lists have a reference to it.
//! * Its memory goes a grace period after its last reference.
//!
//! C header: [`include/net/netfilter/nf_conntrack_expect.h`](srctree/include/net/netfilter/nf_conntrack_expect.h)

use core::marker::PhantomData;
use core::mem::align_of;
use core::mem::offset_of;
use core::mem::size_of;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::addr_of;
use core::ptr::addr_of_mut;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::hashtable;
use crate::linux::helper::Help;
use crate::linux::helper::Helper;
use crate::linux::lock::CSpinGuard;
use crate::linux::lock::CSpinLock;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::once::Word;
use crate::linux::rcu;
use crate::linux::rcu::Held;
use crate::linux::siphash::SecretKey;
use crate::linux::time;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;
use crate::pure::num::Jiffies32;
use crate::pure::policy::expect;
use crate::pure::policy::expect::Announced;
use crate::pure::policy::expect::Flags;
use crate::pure::tuple::Addr;
use crate::pure::tuple::Mask;
use crate::pure::tuple::Tuple;

const _: () = {
    assert!(size_of::<Mask>() == size_of::<bindings::nf_conntrack_tuple_mask>());
    assert!(size_of::<Addr>() == size_of::<bindings::nf_inet_addr>());
    assert!(Flags::PERMANENT.0 == bindings::NF_CT_EXPECT_PERMANENT);
    assert!(Flags::INACTIVE.0 == bindings::NF_CT_EXPECT_INACTIVE);
    assert!(Flags::USERSPACE.0 == bindings::NF_CT_EXPECT_USERSPACE);
    assert!(Flags::DEAD.0 == bindings::NF_CT_EXPECT_DEAD);
    assert!(expect::MOST_PER_CLASS == bindings::NF_CT_EXPECT_MAX_CNT);
};

/// The expectation lock is held while it lives, and bottom halves are off.
pub(crate) struct ExpectGuard(#[allow(dead_code)] CSpinGuard);

/// Proof that the expectation lock is held for `'l`.
///
/// It is a read-side section of RCU as well, as every spinlock's is with bottom halves off: the
/// memory of expectations met under it stays for `'l`, even unlinked and without references.
#[derive(Clone, Copy)]
pub(crate) struct ExpectLocked<'l>(PhantomData<&'l ExpectGuard>);

fn the_lock() -> CSpinLock {
    // SAFETY: A static that is initialised from the start.
    unsafe { CSpinLock::from_raw(addr_of_mut!(bindings::nf_conntrack_expect_lock)) }
}

/// Takes the expectation lock. In the order of locks it comes after those of buckets.
#[inline]
pub(crate) fn lock() -> ExpectGuard {
    ExpectGuard(the_lock().lock_bh())
}

impl ExpectGuard {
    /// The proof that the guard is.
    #[inline(always)]
    pub(crate) fn locked(&self) -> ExpectLocked<'_> {
        ExpectLocked(PhantomData)
    }
}

impl<'l> ExpectLocked<'l> {
    /// Takes the caller's word for it; lockdep does not.
    ///
    /// # Safety
    ///
    /// This CPU holds the expectation lock, with bottom halves off, for `'l`.
    #[inline]
    pub(crate) unsafe fn assume() -> Self {
        the_lock().assert_held();
        ExpectLocked(PhantomData)
    }

    /// The read-side section that holding the lock is.
    #[inline(always)]
    pub(crate) fn rcu(self) -> Held<'l> {
        // SAFETY: Bottom halves are off for `'l`, which grace periods wait for.
        unsafe { Held::assume() }
    }
}

/// An expectation.
///
/// What it announces is its maker's until it is linked, and constant from then on.
#[repr(transparent)]
pub(crate) struct Expectation(Opaque<bindings::nf_conntrack_expect>);

// SAFETY: Shared by all CPUs; accessors are atomic, read what is constant, or want the lock.
unsafe impl Sync for Expectation {}

impl PartialEq for Expectation {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

/// The callback that a new connection is handed to, with the expectation that it answers to.
pub(crate) type ExpectFn =
    unsafe extern "C" fn(*mut bindings::nf_conn, *mut bindings::nf_conntrack_expect);

impl Expectation {
    /// The expectation at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` points to an expectation that stays for `'a`: a reference is held, or it was met
    /// under the lock or in a read-side section that `'a` is part of.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *const bindings::nf_conntrack_expect) -> &'a Self {
        // SAFETY: By this function's contract; `Expectation` is transparent.
        unsafe { &*ptr.cast() }
    }

    /// As C knows it.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::nf_conntrack_expect {
        self.0.get()
    }

    /// Its address as events want it.
    #[inline]
    pub(crate) fn as_non_null(&self) -> NonNull<bindings::nf_conntrack_expect> {
        NonNull::from(self).cast()
    }

    /// The tuple of the packets that it announces.
    #[inline]
    pub(crate) fn tuple(&self) -> Tuple {
        // SAFETY: Valid by the type; same size and no padding.
        unsafe { (&raw const (*self.as_ptr()).tuple).cast::<Tuple>().read() }
    }

    /// What it announces.
    #[inline]
    pub(crate) fn announced(&self) -> Announced {
        // SAFETY: Valid by the type; same layouts, asserted above.
        let (mask, zone) = unsafe {
            let raw = self.as_ptr();
            (
                (&raw const (*raw).mask).cast::<Mask>().read(),
                Zone::read(&raw const (*raw).zone),
            )
        };
        Announced {
            tuple: self.tuple(),
            mask,
            zone: zone.number(),
        }
    }

    /// Its namespace.
    #[inline]
    pub(crate) fn net(&self) -> &Net {
        // SAFETY: Constant once it can be met; a namespace outlives its expectations.
        unsafe { Net::from_raw((*self.as_ptr()).net.net) }
    }

    /// Its flags at this moment.
    #[inline]
    pub(crate) fn flags(&self) -> Flags {
        // SAFETY: Valid by the type.
        Flags(unsafe { read_once(&raw const (*self.as_ptr()).flags) })
    }

    /// Adds flags.
    pub(crate) fn add_flags(&self, flags: Flags, _locked: ExpectLocked<'_>) {
        // SAFETY: Valid by the type; writers hold the lock.
        unsafe { write_once(&raw mut (*self.as_ptr()).flags, self.flags().with(flags).0) };
    }

    /// Its class among those of its helper.
    #[inline]
    pub(crate) fn class(&self) -> u32 {
        // SAFETY: Valid by the type; constant once it can be met.
        unsafe { (*self.as_ptr()).class }
    }

    /// When it ends.
    #[inline]
    pub(crate) fn deadline(&self) -> Jiffies32 {
        // SAFETY: Valid by the type.
        Jiffies32(unsafe { read_once(&raw const (*self.as_ptr()).timeout) })
    }

    /// Moves its end.
    pub(crate) fn set_deadline(&self, deadline: Jiffies32, _locked: ExpectLocked<'_>) {
        // SAFETY: Valid by the type; writers hold the lock.
        unsafe { write_once(&raw mut (*self.as_ptr()).timeout, deadline.0) };
    }

    /// Whether it announces nothing any more.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        expect::is_over(self.flags(), self.deadline(), time::now())
    }

    /// The connection whose helper made it.
    ///
    /// Of expectations that are linked, or whose maker is the caller and has a reference to the
    /// master.
    #[inline]
    pub(crate) fn master<'l>(&self, _locked: ExpectLocked<'l>) -> &'l Conn {
        // SAFETY: While it is linked the master is there, and cannot end while the lock is held:
        // it would unlink this first. Constant.
        unsafe { Conn::from_raw((*self.as_ptr()).master) }
    }

    /// Whether both have the same master.
    #[inline]
    pub(crate) fn same_master(&self, other: &Expectation) -> bool {
        // SAFETY: Valid by the type; constant.
        unsafe { (*self.as_ptr()).master == (*other.as_ptr()).master }
    }

    /// Holds the master, if it is in the table and nobody removes it.
    pub(crate) fn get_master(&self, locked: ExpectLocked<'_>) -> Option<ARef<Conn>> {
        let master = self.master(locked);
        // Before its first packet has left, nobody can know what it expects.
        if !master.is_confirmed() || master.is_dying() {
            return None;
        }
        // SAFETY: Memory that is an entry while the lock is held; the count is zero if it ends
        // right now.
        unsafe {
            if bindings::rct_nf_conn_try_get(master.as_ptr()) {
                Some(ARef::from_raw(NonNull::from(master)))
            } else {
                None
            }
        }
    }

    /// The helper that made it.
    #[inline]
    pub(crate) fn helper<'r>(&self, rcu: Held<'r>) -> Option<&'r Helper> {
        // SAFETY: Valid by the type. A helper unlinks its expectations before it goes, and goes a
        // grace period later.
        unsafe {
            let slot = &raw const (*self.as_ptr()).helper;
            rcu::dereference(slot, rcu).cast::<Helper>().as_ref()
        }
    }

    /// The helper that the connection to come shall have.
    #[inline]
    pub(crate) fn helper_to_assign<'r>(&self, rcu: Held<'r>) -> Option<&'r Helper> {
        // SAFETY: As in `helper`.
        unsafe {
            let slot = &raw const (*self.as_ptr()).assign_helper;
            rcu::dereference(slot, rcu).cast::<Helper>().as_ref()
        }
    }

    /// Whether that helper made it, or shall be given to the connection to come.
    pub(crate) fn names(&self, helper: &Helper) -> bool {
        // SAFETY: Valid by the type; pointers that are stored whole, for comparison only.
        unsafe {
            let raw = self.as_ptr();
            read_once(&raw const (*raw).helper) == helper.as_ptr()
                || read_once(&raw const (*raw).assign_helper) == helper.as_ptr()
        }
    }

    /// The callback that the connection to come is handed to.
    #[inline]
    pub(crate) fn callback(&self) -> Option<ExpectFn> {
        // SAFETY: Valid by the type; constant once it can be met.
        unsafe { (*self.as_ptr()).expectfn }
    }

    /// A reference, unless the last one is gone.
    #[inline]
    pub(crate) fn get(&self) -> Option<ExpectRef> {
        // SAFETY: Valid by the type.
        if unsafe { bindings::rct_refcount_inc_not_zero(&raw mut (*self.as_ptr()).use_) } {
            Some(ExpectRef(NonNull::from(self)))
        } else {
            None
        }
    }

    /// How many references there are.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn references(&self) -> i32 {
        // SAFETY: Valid by the type.
        unsafe { read_once(&raw const (*self.as_ptr()).use_.refs.counter) }
    }

    /// Whether it is in its lists.
    #[inline]
    pub(crate) fn is_linked(&self, _locked: ExpectLocked<'_>) -> bool {
        // SAFETY: Valid by the type; `unlink` clears the back link.
        !unsafe { (*self.as_ptr()).hnode.pprev }.is_null()
    }

    /// Puts it into the lists and the counts. False, and nothing done, if it is there already or
    /// its helper has no such class.
    ///
    /// `help` is its master's.
    pub(crate) fn link(&self, help: Help<'_>, locked: ExpectLocked<'_>) -> bool {
        if self.is_linked(locked) {
            return false;
        }
        let Some(count) = help.count_ptr(self.class()) else {
            return false;
        };
        // SAFETY: Valid by the types, and the lists change under the lock, which is held. INVARIANT:
        // both lists, both counts, and their reference.
        unsafe {
            let raw = self.as_ptr();
            bindings::rct_refcount_inc(&raw mut (*raw).use_);
            bindings::rct_hlist_add_head_rcu(&raw mut (*raw).lnode, help.list());
            bindings::rct_hlist_add_head_rcu(&raw mut (*raw).hnode, head(self.bucket()));
            count.write((*count).wrapping_add(1));
        }
        self.net().add_expectations(1, locked);
        true
    }

    /// Takes it out of the lists and the counts, once: whoever gets the lists' reference did it.
    pub(crate) fn unlink(&self, locked: ExpectLocked<'_>) -> Option<ExpectRef> {
        if !self.is_linked(locked) {
            return None;
        }
        let help = self.master(locked).help();
        // SAFETY: Valid by the types, and the lists change under the lock, which is held. INVARIANT:
        // both lists, both counts; the reference is handed out.
        unsafe {
            let raw = self.as_ptr();
            bindings::rct_hlist_del_init_rcu(&raw mut (*raw).hnode);
            bindings::rct_hlist_del_init_rcu(&raw mut (*raw).lnode);
            if let Some(count) = help.and_then(|help| help.count_ptr(self.class())) {
                count.write((*count).wrapping_sub(1));
            }
        }
        self.net().add_expectations(u32::MAX, locked);
        Some(ExpectRef(NonNull::from(self)))
    }

    fn bucket(&self) -> u32 {
        bucket(self.net(), &self.tuple())
    }
}

/// What a new expectation shall be.
pub(crate) struct Plan {
    /// Its class among those of its helper.
    pub(crate) class: u32,
    /// What it announces, without the sender's address and port where they do not matter.
    pub(crate) tuple: Tuple,
    /// Which bits of the sender matter.
    pub(crate) mask: Mask,
}

/// A reference to an expectation. Dropping the last one frees it, a grace period later.
pub(crate) struct ExpectRef(NonNull<Expectation>);

impl ExpectRef {
    /// A new expectation of `master`, all zeros otherwise; it ends now. It is not linked, and must
    /// not outlive the master.
    pub(crate) fn new(master: &Conn, gfp: Gfp) -> Option<Self> {
        // SAFETY: The slab exists; fresh and zeroed memory, which nobody else knows. The lists'
        // back links are null: not linked.
        unsafe {
            let raw = bindings::rct_kmem_cache_zalloc(CACHE, gfp.0)
                .cast::<bindings::nf_conntrack_expect>();
            let new = NonNull::new(raw)?;
            (*raw).timeout = time::now().0;
            (*raw).master = master.as_ptr();
            bindings::rct_refcount_set(&raw mut (*raw).use_, 1);
            Some(ExpectRef(new.cast()))
        }
    }

    /// The reference becomes somebody else's.
    pub(crate) fn into_raw(self) -> *mut bindings::nf_conntrack_expect {
        ManuallyDrop::new(self).as_ptr()
    }

    /// Takes a reference over.
    ///
    /// # Safety
    ///
    /// `ptr` points to an expectation, and the caller has a reference to it, which it gives away.
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::nf_conntrack_expect>) -> Self {
        ExpectRef(ptr.cast())
    }
}

impl Deref for ExpectRef {
    type Target = Expectation;

    #[inline]
    fn deref(&self) -> &Expectation {
        // SAFETY: A reference is held.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for ExpectRef {
    fn drop(&mut self) {
        let raw = self.as_ptr();
        // SAFETY: The reference is given up; readers may still look at the memory until a grace
        // period has passed, which the callback waits for.
        unsafe {
            if bindings::rct_refcount_dec_and_test(&raw mut (*raw).use_) {
                bindings::call_rcu(&raw mut (*raw).rcu, Some(free));
            }
        }
    }
}

/// # Safety
///
/// For `call_rcu()`: `head` is that of an expectation without references.
unsafe extern "C" fn free(head: *mut bindings::callback_head) {
    // SAFETY: By this function's contract; the module waits for these callbacks before the slab
    // goes.
    unsafe {
        let exp = head.byte_sub(offset_of!(bindings::nf_conntrack_expect, rcu));
        bindings::kmem_cache_free(CACHE, exp.cast());
    }
}

impl Expectation {
    /// Makes it what `plan` says, and its maker's: the helper of `master`.
    ///
    /// # Safety
    ///
    /// Nobody else knows the expectation yet, whose master is `master`.
    pub(crate) unsafe fn fill(
        &self,
        master: &Conn,
        plan: &Plan,
        event_mask: Option<u16>,
        rcu: Held<'_>,
    ) {
        let helper = master.help().and_then(|help| help.helper(rcu));
        let zone = master.zone();
        let master_tuple = master.tuple(Dir::Original);
        // SAFETY: Exclusive by this function's contract; same layouts, asserted above.
        unsafe {
            let raw = self.as_ptr();
            (*raw).flags = 0;
            (*raw).class = plan.class;
            (*raw).expectfn = None;
            if let Some(mask) = event_mask {
                (*raw).event_mask = mask;
            }
            (*raw).helper = helper.map_or(core::ptr::null_mut(), Helper::as_ptr);
            (*raw).assign_helper = core::ptr::null_mut();
            (*raw).net.net = master.net().as_ptr();
            (&raw mut (*raw).zone).cast::<Zone>().write(zone);
            (&raw mut (*raw).tuple).cast::<Tuple>().write(plan.tuple);
            (&raw mut (*raw).mask).cast::<Mask>().write(plan.mask);
            (&raw mut (*raw).master_tuple)
                .cast::<Tuple>()
                .write(master_tuple);
            (&raw mut (*raw).saved_addr).write_bytes(0, 1);
            (&raw mut (*raw).saved_proto).write_bytes(0, 1);
            (*raw).dir = bindings::ip_conntrack_dir_IP_CT_DIR_ORIGINAL;
        }
    }

    /// Its master, for its maker.
    ///
    /// # Safety
    ///
    /// The caller has a reference to the master for `'a`.
    pub(crate) unsafe fn own_master<'a>(&self) -> &'a Conn {
        // SAFETY: By this function's contract; constant.
        unsafe { Conn::from_raw((*self.as_ptr()).master) }
    }
}

impl Net {
    /// Adds `n` to the number of expectations, modulo 2^32.
    fn add_expectations(&self, n: u32, _locked: ExpectLocked<'_>) {
        let now = self.private().expectations().wrapping_add(n);
        // SAFETY: Valid by the type; writers hold the lock.
        unsafe { write_once(&raw mut (*self.private().as_ptr()).expect_count, now) };
    }
}

impl Conn {
    /// Becomes what `master` expected: its child, with its marks.
    ///
    /// CONTEXT: nobody else knows the entry yet.
    pub(crate) fn become_child(&self, master: ARef<Conn>) {
        // SAFETY: Valid by the types; the entry owns the reference to its master from now on.
        unsafe {
            let (child, parent) = (self.as_ptr(), master.as_ptr());
            write_once(&raw mut (*child).mark, read_once(&raw const (*parent).mark));
            write_once(
                &raw mut (*child).secmark,
                read_once(&raw const (*parent).secmark),
            );
            (*child).master = ARef::into_raw(master).as_ptr().cast();
        }
    }
}

/// The slab, while the table exists.
static mut CACHE: *mut bindings::kmem_cache = core::ptr::null_mut();

/// What hides the buckets of tuples from outsiders.
static KEY: SecretKey = SecretKey::new();

/// The table of expectations and their slab while they exist.
///
/// The table keeps its size. Dropping this waits until all expectations are freed, which are
/// unlinked and without references.
pub(crate) struct ExpectTable(());

impl ExpectTable {
    /// Makes the table and the slab. `connections` is the number of buckets of the table of
    /// connections. CONTEXT: sleepable, once, while the module is loaded.
    pub(crate) fn new(connections: u32) -> Result<Self> {
        // SAFETY: Nobody uses the variables yet.
        unsafe {
            let sizes = crate::pure::policy::size::Expectations::at_load(
                connections,
                read_once(addr_of!(bindings::nf_ct_expect_hsize)),
            );
            KEY.draw();
            let cache = bindings::rct_kmem_cache_create(
                c"nf_conntrack_expect".as_char_ptr(),
                size_of::<bindings::nf_conntrack_expect>() as u32,
                align_of::<bindings::nf_conntrack_expect>() as u32,
                0,
            );
            if cache.is_null() {
                return Err(ENOMEM);
            }
            let mut buckets = sizes.wanted;
            let Some(heads) = hashtable::allocate(&mut buckets, false) else {
                bindings::kmem_cache_destroy(cache);
                return Err(ENOMEM);
            };
            CACHE = cache;
            limit().set(sizes.max);
            write_once(addr_of_mut!(bindings::nf_ct_expect_hsize), buckets);
            write_once(
                addr_of_mut!(bindings::nf_ct_expect_hash),
                heads.as_ptr().cast(),
            );
        }
        Ok(ExpectTable(()))
    }
}

impl Drop for ExpectTable {
    fn drop(&mut self) {
        // SAFETY: Made by `new`. The callbacks that free expectations are this module's text and
        // use the slab: both wait for them.
        unsafe {
            bindings::rcu_barrier();
            bindings::kmem_cache_destroy(CACHE);
            bindings::kvfree(read_once(addr_of!(bindings::nf_ct_expect_hash)).cast());
        }
    }
}

/// How many expectations a namespace may have (`nf_conntrack_expect_max`).
pub(crate) fn limit() -> &'static Word<u32> {
    // SAFETY: A static of C's, which a sysctl writes whole.
    unsafe { Word::from_ptr(addr_of_mut!(bindings::nf_ct_expect_max)) }
}

/// How many buckets the table has.
pub(crate) fn buckets() -> u32 {
    // SAFETY: Constant while the table exists.
    unsafe { read_once(addr_of!(bindings::nf_ct_expect_hsize)) }
}

/// The first pointer of chain number `bucket`, which is below [`buckets`].
fn head(bucket: u32) -> *mut bindings::hlist_head {
    // SAFETY: Constant while the table exists; within the array by this function's contract.
    unsafe { read_once(addr_of!(bindings::nf_ct_expect_hash)).wrapping_add(bucket as usize) }
}

/// The chain for packets to where `tuple` goes: senders may be masked out.
#[allow(clippy::cast_possible_truncation)]
fn bucket(net: &Net, tuple: &Tuple) -> u32 {
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let [a0, a1, a2, a3] = tuple.dst.addr.0;
    let rest = u32::from(tuple.dst.id)
        | u32::from(tuple.src.l3 as u8) << 16
        | u32::from(tuple.dst.proto) << 24;
    let words = [join(a0, a1), join(a2, a3), join(net.hash_mix(), rest)];
    let hash = KEY.get().hash(&words, size_of_val(&words)) as u32;
    // The upper half of the product of two 32-bit numbers is below the second one.
    ((u64::from(hash) * u64::from(buckets())) >> 32) as u32
}

/// Expectations of one list, one after the other.
///
/// The one that was met last may be unlinked.
pub(crate) struct Chain<'a> {
    next: *mut bindings::hlist_node,
    /// Where in an expectation the nodes of this list are.
    at: usize,
    _stays: PhantomData<Held<'a>>,
}

impl<'a> Iterator for Chain<'a> {
    type Item = &'a Expectation;

    #[inline]
    fn next(&mut self) -> Option<&'a Expectation> {
        if self.next.is_null() {
            return None;
        }
        let node = self.next;
        // SAFETY: Nodes of this list are those of expectations, which stay for `'a`: it is a
        // read-side section. ORDERING: the address dependency orders later reads.
        unsafe {
            self.next = read_once(&raw const (*node).next);
            Some(Expectation::from_raw(node.byte_sub(self.at).cast()))
        }
    }
}

/// All expectations of the chain for packets to where `tuple` goes.
#[inline]
pub(crate) fn chain_of<'r>(net: &Net, tuple: &Tuple, rcu: Held<'r>) -> Chain<'r> {
    chain(bucket(net, tuple), rcu)
}

/// All expectations of a chain; none if there is no such chain.
pub(crate) fn chain<'r>(bucket: u32, _rcu: Held<'r>) -> Chain<'r> {
    let next = if bucket < buckets() {
        // SAFETY: Within the table, whose heads are pointers.
        unsafe { read_once(&raw const (*head(bucket)).first) }
    } else {
        core::ptr::null_mut()
    };
    let at = offset_of!(bindings::nf_conntrack_expect, hnode);
    Chain {
        next,
        at,
        _stays: PhantomData,
    }
}

impl Help<'_> {
    /// Whether the connection expects nothing, at a glance.
    #[inline]
    pub(crate) fn expects_nothing(self) -> bool {
        // SAFETY: Valid by the type.
        unsafe { read_once(&raw const (*self.list()).first) }.is_null()
    }

    /// What the connection expects, newest first.
    #[inline]
    pub(crate) fn expectations<'l>(self, _locked: ExpectLocked<'l>) -> Chain<'l> {
        // SAFETY: Valid by the type; the list changes under the lock.
        let next = unsafe { read_once(&raw const (*self.list()).first) };
        let at = offset_of!(bindings::nf_conntrack_expect, lnode);
        Chain {
            next,
            at,
            _stays: PhantomData,
        }
    }

    /// How many expectations of a class the connection has; none in classes that there are not.
    #[inline]
    pub(crate) fn count(self, class: u32, _locked: ExpectLocked<'_>) -> u32 {
        self.count_ptr(class).map_or(0, |count| {
            // SAFETY: Within the array; writers hold the lock.
            u32::from(unsafe { read_once(count) })
        })
    }
}
