// SPDX-License-Identifier: GPL-2.0

//! The table: an array of chains, walked without locks and changed under the bucket's.
//!
//! Only what touches memory is here; who may do it when is `engine::table`.
//!
//! The array and its size hang together in a [`Table`], which readers get with one load. While a
//! table is being replaced there is none, and readers wait, as the C side does by a sequence
//! counter. `nf_conntrack_hash` and `nf_conntrack_htable_size`, which ctnetlink reads with a
//! bucket's lock held, are kept equal.
//!
//! # Invariants
//!
//! * Chain `i` of a table ends in nulls value `i`.
//! * Nodes in a chain are `nf_conntrack_tuple_hash::hnnode` of live entries.
//! * Chains change under their bucket's lock only.

use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr::addr_of;
use core::ptr::addr_of_mut;
use core::ptr::NonNull;
use kernel::prelude::*;

use crate::bindings;
use crate::linux::conn::Candidate;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::lock::CSpinLock;
use crate::linux::nulls::Link;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::once::Word;
use crate::linux::prefetch;
use crate::linux::rcu::Held;
use crate::pure::num::Dir;

const _: () = assert!(offset_of!(bindings::nf_conntrack_tuple_hash, hnnode) == 0);

/// Bytes of a page.
pub(crate) const PAGE_SIZE: u32 = kernel::page::PAGE_SIZE as u32;

/// How many bucket locks there are; ctnetlink has the number compiled in.
pub(crate) const LOCKS: usize = 1024;

const _: () = assert!(LOCKS.is_power_of_two());

/// The keyed hash of a tuple, before it is scaled to a table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) u32);

/// A table's array and size.
pub(crate) struct Table {
    heads: NonNull<bindings::hlist_nulls_head>,
    buckets: u32,
}

// SAFETY: Chains are changed under locks and read by atomic loads.
unsafe impl Send for Table {}
// SAFETY: As above.
unsafe impl Sync for Table {}

/// The table in use, or null while it is being replaced. The pointee is a leaked `KBox<Table>`.
static mut CURRENT: *mut Table = core::ptr::null_mut();

impl Table {
    /// A table of empty chains. CONTEXT: sleepable. `buckets` is rounded up to whole pages; see
    /// `nf_ct_alloc_hashtable`.
    pub(crate) fn new(buckets: u32) -> Result<KBox<Table>> {
        let mut rounded = buckets;
        let heads = allocate(&mut rounded, true).ok_or(ENOMEM)?;
        let table = Table {
            heads: heads.cast(),
            buckets: rounded,
        };
        // Without memory for the box, dropping the table frees the heads.
        Ok(KBox::new(table, GFP_KERNEL)?)
    }

    /// The table in use.
    #[inline(always)]
    pub(crate) fn current(_rcu: Held<'_>) -> &Table {
        loop {
            // SAFETY: The slot is static; a published table stays until a grace period after its
            // replacement.
            let table = unsafe { read_once(addr_of!(CURRENT)).as_ref() };
            match table {
                Some(table) => return table,
                None => relax(),
            }
        }
    }

    /// Whether this is still the table in use. CONTEXT: bucket lock held, which keeps it so.
    #[inline(always)]
    pub(crate) fn is_current(&self) -> bool {
        // SAFETY: The slot is static.
        core::ptr::eq(unsafe { read_once(addr_of!(CURRENT)) }.cast_const(), self)
    }

    /// Takes the table in use away from the readers, who wait for the next [`Table::publish`].
    ///
    /// # Safety
    ///
    /// All bucket locks are taken, or no packet can arrive yet or any more.
    pub(crate) unsafe fn withdraw() -> Option<KBox<Table>> {
        // SAFETY: By this function's contract nobody else changes the slot.
        unsafe {
            let table = addr_of_mut!(CURRENT).replace(core::ptr::null_mut());
            write_once(addr_of_mut!(CURRENT), core::ptr::null_mut());
            bindings::rct_smp_wmb();
            NonNull::new(table).map(|table| KBox::from_raw(table.as_ptr()))
        }
    }

    /// Makes it the table in use.
    ///
    /// # Safety
    ///
    /// As for [`Table::withdraw`], and there is no table in use.
    pub(crate) unsafe fn publish(table: KBox<Table>) {
        // SAFETY: By this function's contract; the barrier makes the chains visible first.
        unsafe {
            write_once(
                addr_of_mut!(bindings::nf_conntrack_hash),
                table.heads.as_ptr(),
            );
            write_once(
                addr_of_mut!(bindings::nf_conntrack_htable_size),
                table.buckets,
            );
            bindings::rct_smp_wmb();
            write_once(addr_of_mut!(CURRENT), KBox::into_raw(table));
        }
    }

    /// Whether there is one: module parameters are set before.
    pub(crate) fn exists() -> bool {
        // SAFETY: A pointer that is written whole.
        !unsafe { read_once(addr_of!(bindings::nf_conntrack_hash)) }.is_null()
    }

    /// How many buckets the one in use has.
    #[inline(always)]
    pub(crate) fn size() -> &'static Word<u32> {
        // SAFETY: A static of C's, which a resize and a module parameter write whole.
        unsafe { Word::from_ptr(addr_of_mut!(bindings::nf_conntrack_htable_size)) }
    }

    /// How many entries a namespace may have.
    #[inline(always)]
    pub(crate) fn limit() -> &'static Word<u32> {
        // SAFETY: A static of C's, which a sysctl writes whole.
        unsafe { Word::from_ptr(addr_of_mut!(bindings::nf_conntrack_max)) }
    }

    /// How many buckets it has.
    #[inline(always)]
    pub(crate) fn buckets(&self) -> u32 {
        self.buckets
    }

    /// The bucket of a hash.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn bucket(&self, hash: Hash) -> Bucket {
        // A product of two 32-bit numbers fits, and its upper half is below the second one.
        Bucket(((u64::from(hash.0) * u64::from(self.buckets)) >> 32) as u32)
    }

    /// The bucket of that number, if there are so many.
    #[inline]
    pub(crate) fn nth(&self, bucket: u32) -> Option<Bucket> {
        (bucket < self.buckets).then_some(Bucket(bucket))
    }

    /// INVARIANT: a `Bucket` comes from `bucket` or `nth` of a table of this size.
    #[inline(always)]
    fn head(&self, bucket: Bucket) -> *mut bindings::hlist_nulls_head {
        // SAFETY: Within the array by the invariant of `Bucket`.
        unsafe { self.heads.as_ptr().add(bucket.0 as usize) }
    }

    /// A chain will be walked and changed soon.
    #[inline]
    pub(crate) fn prefetch(&self, bucket: Bucket) {
        prefetch::for_writing(self.head(bucket).addr(), size_of::<*const ()>());
    }

    /// Walks a chain under RCU.
    #[inline(always)]
    pub(crate) fn chain<'rcu>(&self, bucket: Bucket, _rcu: Held<'rcu>) -> Chain<'rcu> {
        Chain {
            // SAFETY: The head is initialised.
            link: unsafe { Link::first(self.head(bucket)) },
            _rcu: PhantomData,
        }
    }

    /// Walks a chain under RCU without reading an entry before the walk goes past it.
    #[inline(always)]
    pub(crate) fn glance<'rcu>(&self, bucket: Bucket, rcu: Held<'rcu>) -> Glance<'rcu> {
        Glance::Before(self.chain(bucket, rcu).link, rcu)
    }

    /// Walks a chain with its lock held.
    ///
    /// # Safety
    ///
    /// The lock of `bucket` is held for `'a`, and the chain does not change during the walk.
    #[inline(always)]
    pub(crate) unsafe fn locked_chain<'a>(&self, bucket: Bucket) -> Chain<'a> {
        Chain {
            // SAFETY: The head is initialised.
            link: unsafe { Link::first(self.head(bucket)) },
            _rcu: PhantomData,
        }
    }

    /// Whether a chain is empty at a glance, without its lock.
    #[inline]
    pub(crate) fn is_empty(&self, bucket: Bucket) -> bool {
        // SAFETY: The head is initialised.
        matches!(unsafe { Link::first(self.head(bucket)) }, Link::End(_))
    }

    /// Links an entry's node of one direction into a chain, at its front.
    ///
    /// # Safety
    ///
    /// The lock of `bucket` is held, and the node is in no chain.
    #[inline]
    pub(crate) unsafe fn link(&self, conn: &Conn, dir: Dir, bucket: Bucket) {
        // SAFETY: By this function's contract.
        unsafe {
            let node = &raw mut (*conn.node(dir)).hnnode;
            bindings::rct_hlist_nulls_add_head_rcu(node, self.head(bucket));
        }
    }

    /// Links both of an entry's nodes, each at the front of its chain.
    ///
    /// # Safety
    ///
    /// As for [`Table::link`], for both.
    #[inline]
    pub(crate) unsafe fn link_both(&self, conn: &Conn, original: Bucket, reply: Bucket) {
        let (original, reply) = (self.head(original), self.head(reply));
        // SAFETY: By this function's contract.
        unsafe {
            let node = |dir| &raw mut (*conn.node(dir)).hnnode;
            let [first, second] = [node(Dir::Original), node(Dir::Reply)];
            bindings::rct_hlist_nulls_add_pair_rcu(first, original, second, reply);
        }
    }

    /// Moves all entries of `old` into `self`; `bucket_of` says where.
    ///
    /// # Safety
    ///
    /// All bucket locks are taken, neither table is in use, and `self` is known to nobody.
    pub(crate) unsafe fn take_all(&self, old: &Table, bucket_of: impl Fn(&Conn, Dir) -> Hash) {
        for bucket in 0..old.buckets {
            let head = old.head(Bucket(bucket));
            // SAFETY: By this function's contract nobody else changes the chains, and entries in
            // them are alive.
            unsafe {
                while let Link::Node(node) = Link::first(head) {
                    let met = Candidate::from_node(node);
                    let conn = met.locked();
                    let to = self.bucket(bucket_of(conn, met.dir()));
                    bindings::rct_hlist_nulls_del_rcu(node);
                    bindings::rct_hlist_nulls_add_head_rcu(node, self.head(to));
                }
            }
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: Allocated by `new`; not in use any more, and readers are gone (the owner of the
        // box waited for them).
        unsafe { bindings::kvfree(self.heads.as_ptr().cast()) };
    }
}

/// The number of a chain in a table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket(u32);

impl Bucket {
    /// The number.
    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// Which of the bucket locks is its.
    #[inline(always)]
    pub(crate) fn lock_index(self) -> usize {
        self.0 as usize % LOCKS
    }
}

/// A walk of a chain.
pub(crate) struct Chain<'rcu> {
    link: Link,
    _rcu: PhantomData<Held<'rcu>>,
}

impl Chain<'_> {
    /// Whether the walk ended in another chain than it began in. Asked after the end.
    #[inline(always)]
    pub(crate) fn strayed(&self, from: Bucket) -> bool {
        match self.link {
            Link::End(number) => number != from.0 as usize,
            Link::Node(_) => false,
        }
    }
}

impl<'rcu> Iterator for Chain<'rcu> {
    type Item = Candidate<'rcu>;

    #[inline(always)]
    fn next(&mut self) -> Option<Candidate<'rcu>> {
        match self.link {
            Link::End(_) => None,
            Link::Node(node) => {
                // SAFETY: A node of a chain, in the read-side section or under the lock that
                // `'rcu` stands for; the slab keeps its memory an entry.
                unsafe {
                    self.link = Link::after(node);
                    Some(Candidate::from_node(node))
                }
            }
        }
    }
}

/// A walk of a chain that reads an entry only to go past it.
pub(crate) enum Glance<'rcu> {
    /// Before this link.
    Before(Link, Held<'rcu>),
    /// On an entry.
    On(Candidate<'rcu>, Held<'rcu>),
}

impl<'rcu> Iterator for Glance<'rcu> {
    type Item = Candidate<'rcu>;

    #[inline(always)]
    fn next(&mut self) -> Option<Candidate<'rcu>> {
        let (link, rcu) = match *self {
            Glance::Before(link, rcu) => (link, rcu),
            // SAFETY: As in `Chain::next`.
            Glance::On(met, rcu) => (unsafe { Link::after(&raw const (*met.node()).hnnode) }, rcu),
        };
        let Link::Node(node) = link else {
            *self = Glance::Before(link, rcu);
            return None;
        };
        // SAFETY: As in `Chain::next`.
        let met = unsafe { Candidate::from_node(node) };
        *self = Glance::On(met, rcu);
        Some(met)
    }
}

/// Takes an entry's node of one direction out of its chain. Readers on it go on.
///
/// # Safety
///
/// The lock of the node's bucket is held, and the node is in a chain.
#[inline]
pub(crate) unsafe fn unlink(conn: &Conn, dir: Dir) {
    // SAFETY: By this function's contract.
    unsafe { bindings::rct_hlist_nulls_del_rcu(&raw mut (*conn.node(dir)).hnnode) };
}

/// Makes an entry's node look linked, so that [`unlink`] may be called on it.
///
/// # Safety
///
/// The node is in no chain.
#[inline]
pub(crate) unsafe fn link_nowhere(conn: &Conn, dir: Dir) {
    // SAFETY: By this function's contract.
    unsafe { bindings::rct_hlist_nulls_add_fake(&raw mut (*conn.node(dir)).hnnode) };
}

/// One of the exported bucket locks. The caller stays below [`LOCKS`]; higher numbers wrap.
#[inline(always)]
pub(crate) fn bucket_lock(index: usize) -> CSpinLock {
    // SAFETY: Static, initialised when the module was loaded.
    unsafe {
        let locks = addr_of_mut!(bindings::nf_conntrack_locks).cast::<bindings::spinlock_t>();
        CSpinLock::from_raw(locks.add(index % LOCKS))
    }
}

/// Initialises the bucket locks.
///
/// # Safety
///
/// The module is being loaded: nobody uses the locks.
pub(crate) unsafe fn init_bucket_locks() {
    for index in 0..LOCKS {
        // SAFETY: By this function's contract.
        unsafe { bindings::rct_bucket_lock_init(bucket_lock(index).as_ptr()) };
    }
}

/// An array of list heads for a hash table, to be freed with `kvfree()`. CONTEXT: sleepable.
///
/// Rounds `buckets` up to whole pages, as all users of `nf_ct_alloc_hashtable()` expect.
pub(crate) fn allocate(buckets: &mut u32, nulls: bool) -> Option<NonNull<c_void>> {
    let rounded = crate::pure::policy::size::buckets(*buckets, PAGE_SIZE)?;
    let bytes = (rounded as usize).checked_mul(size_of::<bindings::hlist_nulls_head>())?;
    *buckets = rounded;
    // SAFETY: No requirements; the result is checked.
    let heads = NonNull::new(unsafe { bindings::rct_kvzalloc(bytes, Gfp::KERNEL.0) })?;
    if nulls {
        let first = heads.as_ptr().cast::<*mut bindings::hlist_nulls_node>();
        for bucket in 0..rounded as usize {
            // SAFETY: Within the allocation; a head is one pointer, whose odd values are ends.
            unsafe {
                first
                    .add(bucket)
                    .write(core::ptr::without_provenance_mut(1 | bucket << 1))
            };
        }
    }
    Some(heads)
}

/// Waits a moment for another CPU.
#[cold]
fn relax() {
    // SAFETY: No requirements.
    unsafe { bindings::rct_cpu_relax() };
}
