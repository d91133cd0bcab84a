// SPDX-License-Identifier: GPL-2.0

//! The slab that entries come from, and their birth in it.
//!
//! `SLAB_TYPESAFE_BY_RCU`: a page of the slab goes back to the system only after a grace period,
//! so memory that was an entry is one for every reader who met it. That is why an entry is set up
//! in place, field by field: a reader may still follow `hnnode.next`, and translation may still
//! walk `nat_bysource`; both keep their old values.

use core::mem::offset_of;
use core::mem::size_of;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::hashtable::Hash;
use crate::linux::net::Net;
use crate::linux::once::write_once;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;
use crate::pure::policy::probe::Stamps;
use crate::pure::tuple::Tuple;

/// Bytes of an entry: what C knows of it, and behind that what it does not, see
/// [`Conn::stamps`](crate::linux::conn::Conn::stamps). On 64-bit machines C's part leaves room for that
/// in its last cache line.
const SIZE: usize = STAMPS + size_of::<Stamps>();

/// Where the latter begins. While an entry is free nobody reads that, and the slab's own pointer lies
/// there; otherwise it would take eight bytes more, and with them another cache line.
const STAMPS: usize = size_of::<bindings::nf_conn>();

static mut CACHE: *mut bindings::kmem_cache = core::ptr::null_mut();

/// The slab while it exists.
///
/// Dropping it waits for a grace period; no entry may be left.
pub(crate) struct ConnCache(());

impl ConnCache {
    /// Makes the slab. CONTEXT: sleepable, once, while the module is loaded.
    pub(crate) fn new() -> Result<Self> {
        let flags = bindings::RCT_SLAB_FLAGS;
        // SAFETY: Called once, before anybody allocates.
        unsafe {
            let cache = bindings::rct_kmem_cache_create_linked(
                c"nf_conntrack".as_char_ptr(),
                SIZE as u32,
                bindings::NFCT_INFOMASK + 1,
                STAMPS as u32,
                flags,
            );
            if cache.is_null() {
                return Err(ENOMEM);
            }
            CACHE = cache;
        }
        Ok(ConnCache(()))
    }
}

impl Drop for ConnCache {
    fn drop(&mut self) {
        // SAFETY: Made by `new`; the owner says that no entry is left.
        unsafe { bindings::kmem_cache_destroy(CACHE) };
    }
}

/// An entry that nobody else knows: its count of references is zero.
///
/// Dropped unpublished, the caller frees it (`engine::conn` does, which also counts).
pub(crate) struct Newborn(NonNull<Conn>);

impl Newborn {
    /// An entry with these tuples. `hash` of the original one is kept for confirmation.
    #[inline]
    pub(crate) fn new(
        net: &Net,
        zone: Zone,
        original: &Tuple,
        reply: &Tuple,
        hash: Hash,
        gfp: Gfp,
    ) -> Option<Self> {
        // SAFETY: The slab exists while entries are made. The memory is ours, but for readers of
        // its former life: those fields that they read are written whole, and those that they
        // follow are left alone.
        unsafe {
            let ct = bindings::rct_nf_conn_alloc(CACHE, gfp.0);
            let conn = NonNull::new(ct)?;
            let hashes = (&raw mut (*ct).tuplehash).cast::<bindings::nf_conntrack_tuple_hash>();
            let nodes = [hashes, hashes.add(1)];
            (&raw mut (*nodes[0]).tuple)
                .cast::<Tuple>()
                .write(*original);
            (&raw mut (*nodes[0]).hnnode.pprev).write(core::ptr::null_mut());
            (&raw mut (*nodes[1]).tuple).cast::<Tuple>().write(*reply);
            write_saved_hash(ct, hash);
            write_once(&raw mut (*ct).status, 0);
            write_once(&raw mut (*ct).timeout, 0);
            (&raw mut (*ct).ct_net.net).write(net.as_ptr());
            let from = offset_of!(bindings::nf_conn, __nfct_init_offset);
            ct.cast::<u8>().add(from).write_bytes(0, SIZE - from);
            (&raw mut (*ct).zone).cast::<Zone>().write(zone.of_entry());
            Some(Newborn(conn.cast()))
        }
    }

    /// The newborn at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` is an entry without references that the caller owns, as `nf_conntrack_alloc()` gives.
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::nf_conn>) -> Self {
        Newborn(ptr.cast())
    }

    /// As C knows it; the caller owns it now.
    pub(crate) fn into_raw(self) -> *mut bindings::nf_conn {
        self.0.as_ptr().cast()
    }

    /// The first reference. From now on readers of a former life may meet the entry alive.
    ///
    /// ORDERING: what was written before is visible to whoever gets a reference.
    #[inline]
    pub(crate) fn publish(self) -> ARef<Conn> {
        // SAFETY: The count is zero, and the one reference is handed out.
        unsafe {
            bindings::rct_nf_conn_publish(self.0.as_ptr().cast(), 1);
            ARef::from_raw(self.0)
        }
    }

    /// Gives the memory back.
    ///
    /// # Safety
    ///
    /// Extensions and whatever else the entry owns are gone.
    pub(crate) unsafe fn free(self) {
        // SAFETY: Ours, from this slab.
        unsafe { bindings::kmem_cache_free(CACHE, self.0.as_ptr().cast()) };
    }
}

impl core::ops::Deref for Newborn {
    type Target = Conn;

    #[inline]
    fn deref(&self) -> &Conn {
        // SAFETY: Owned, so it stays for as long as `self`.
        unsafe { self.0.as_ref() }
    }
}

/// The hash of the original tuple waits for confirmation where the reply node's back link will be.
///
/// # Safety
///
/// The entry is in no chain.
#[inline]
unsafe fn write_saved_hash(ct: *mut bindings::nf_conn, hash: Hash) {
    // SAFETY: By this function's contract.
    unsafe {
        let hashes = (&raw mut (*ct).tuplehash).cast::<bindings::nf_conntrack_tuple_hash>();
        (&raw mut (*hashes.add(Dir::Reply.index())).hnnode.pprev)
            .cast::<usize>()
            .write(hash.0 as usize);
    }
}

impl Conn {
    /// The hash that [`Newborn::new`] kept. Meaningless once the entry is confirmed.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn saved_hash(&self) -> Hash {
        // SAFETY: Valid by the type; a back link or a hash, a word either way.
        unsafe {
            let pprev = &raw const (*self.node(Dir::Reply)).hnnode.pprev;
            Hash(pprev.cast::<usize>().read() as u32)
        }
    }
}

/// A template: what a rule wishes for the connections of its packets. Not from the slab.
pub(crate) fn new_template(net: &Net, zone: Zone, gfp: Gfp) -> Option<NonNull<Conn>> {
    // SAFETY: Fresh and zeroed memory of the size of an entry; 8-byte aligned as all of kmalloc's,
    // so that the packet's low bits are free.
    unsafe {
        let ct = bindings::rct_kzalloc(SIZE, gfp.0).cast::<bindings::nf_conn>();
        let conn = NonNull::new(ct)?;
        (*ct).status = crate::pure::status::Status::TEMPLATE.0;
        (*ct).ct_net.net = net.as_ptr();
        (&raw mut (*ct).zone).cast::<Zone>().write(zone);
        bindings::rct_nf_conn_publish(ct, 1);
        Some(conn.cast())
    }
}

/// Frees a template. What else it owns was put by the owner before.
///
/// # Safety
///
/// `ptr` is a template that nobody uses any more.
pub(crate) unsafe fn free_template(ptr: *mut bindings::nf_conn) {
    // SAFETY: By this function's contract.
    unsafe {
        bindings::kfree((*ptr).ext.cast());
        bindings::kfree(ptr.cast());
    }
}

/// Frees an entry's extension block.
///
/// # Safety
///
/// Nobody has a reference to the entry.
pub(crate) unsafe fn free_extensions(conn: &Conn) {
    // SAFETY: By this function's contract.
    unsafe { bindings::kfree((*conn.as_ptr()).ext.cast()) };
}

/// Tells translation that an entry which it keeps in its own lists goes.
pub(crate) fn forget_translation(conn: &Conn) {
    // SAFETY: The hook is RCU-protected, and the caller is in a read-side section; the function
    // wants an entry whose original tuple, zone and namespace are still there.
    unsafe {
        let hook = core::ptr::addr_of!(bindings::nf_nat_hook).read_volatile();
        if let Some(hook) = hook.as_ref() {
            if let Some(remove) = hook.remove_nat_bysrc {
                remove(conn.as_ptr());
            }
        }
    }
}

/// Gives an entry that its owner made its first references.
///
/// ORDERING: as [`Newborn::publish`].
pub(crate) fn first_references(conn: &Conn, n: i32) {
    // SAFETY: The count is zero until now, by the contract of `nf_conntrack_hash_check_insert()`.
    unsafe {
        bindings::rct_nf_conn_publish(conn.as_ptr(), n);
    }
}
