// SPDX-License-Identifier: GPL-2.0

//! The life of an entry.
//!
//! ```text
//!   alloc ----> Newborn ----> publish ----> one packet's ----> confirm ----> in the table
//!                  |                             |                               |
//!                  |                        packet dropped                     kill
//!                  v                             v                               v
//!                 free <---------------------- destroy <---- last reference <- unlinked
//! ```
//!
//! The table's count is taken in [`alloc`] and given back in [`free`], the table's reference in
//! confirmation and [`kill`]; nowhere else.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_core.c`.

use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::atomic::Full;
use kernel::sync::atomic::Relaxed;

use crate::bindings;
use crate::engine::cap;
use crate::engine::events;
use crate::engine::expect;
use crate::engine::fair;
use crate::engine::fair::Origin;
use crate::engine::gre_keymap;
use crate::engine::helper;
use crate::engine::pressure;
use crate::engine::pressure::Wanted;
use crate::engine::reclaim;
use crate::engine::table;
use crate::engine::timeout;
use crate::engine::tstamp;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::hashtable::Hash;
use crate::linux::lock::BhGuard;
use crate::linux::net::Net;
use crate::linux::net::Private;
use crate::linux::slab;
use crate::linux::slab::Newborn;
use crate::linux::warn;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;
use crate::pure::status::Bit;
use crate::pure::status::Status;
use crate::pure::tuple::proto;
use crate::pure::tuple::Tuple;

/// An entry that nobody else knows yet. Dropping it frees it and gives its place back.
pub(crate) struct Unconfirmed(ManuallyDrop<Newborn>);

impl Unconfirmed {
    /// Makes the first reference: the entry may go on a packet.
    #[inline]
    pub(crate) fn publish(self) -> ARef<Conn> {
        self.into_newborn().publish()
    }

    /// As C knows it; the caller owns it now.
    pub(crate) fn into_raw(self) -> *mut bindings::nf_conn {
        self.into_newborn().into_raw()
    }

    #[inline]
    fn into_newborn(self) -> Newborn {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped nor used again, so the value is moved, not copied.
        unsafe { core::ptr::read(&*this.0) }
    }
}

impl Deref for Unconfirmed {
    type Target = Conn;

    #[inline]
    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl Drop for Unconfirmed {
    fn drop(&mut self) {
        // SAFETY: Dropped once, and not used afterwards.
        free(unsafe { ManuallyDrop::take(&mut self.0) });
    }
}

/// A new entry with these tuples, the original one first, if its namespace has a place for it or can
/// make one. `private` is the namespace's.
///
/// Errors: `ENOMEM` without memory or place. CONTEXT: any; `gfp` says.
#[inline]
pub(crate) fn alloc(
    net: &Net,
    private: &Private,
    zone: Zone,
    [original, reply]: [&Tuple; 2],
    hash: Hash,
    origin: Origin,
    gfp: Gfp,
) -> Result<Unconfirmed> {
    let entries = private.entries();
    // Counted first: racing packets must not all see the last place free.
    let count = entries.fetch_add(1, Full).wrapping_add(1).unsigned_abs();
    let max = table::max();
    let wanted = || Wanted {
        tuple: original,
        reply,
        zone,
        hash,
        origin,
    };
    let total = cap::count();
    let is_pressed = reclaim::concerns(count, max) || cap::is_near(total);
    let newborn = if is_pressed && !pressure::admit(net, &wanted(), count, max, total) {
        None
    } else {
        Newborn::new(net, zone, original, reply, hash, gfp)
    };
    match newborn {
        Some(newborn) => Ok(Unconfirmed(ManuallyDrop::new(newborn))),
        None => {
            entries.add(-1, Relaxed);
            cap::give_back();
            Err(ENOMEM)
        }
    }
}

/// Frees an entry without references, with all that it owns except its master and expectations.
pub(crate) fn free(newborn: Newborn) {
    let net = newborn.net();
    if newborn.references() != 0 {
        warn::warn_once!();
    }
    {
        let _rcu = kernel::sync::rcu::read_lock();
        if newborn.has(Status::SRC_NAT_DONE) {
            slab::forget_translation(&newborn);
        }
        helper::put(&newborn);
        timeout::put(&newborn);
    }
    fair::unmark(&newborn);
    // The namespace lives until the count is back.
    // SAFETY: A namespace outlives its entries, and this one still counts.
    let entries = unsafe { Net::from_raw(net.as_ptr()) }.private().entries();
    // SAFETY: Nobody has a reference; everything else that the entry owned was put above.
    unsafe {
        slab::free_extensions(&newborn);
        newborn.free();
    }
    // ORDERING: whoever sees the lower count finds the entry gone.
    entries.fetch_sub(1, Full);
    cap::give_back();
}

/// Ends an entry or template whose last reference is gone (`nf_ct_destroy`).
///
/// CONTEXT: any, bottom halves included; no lock of this module held.
pub(crate) fn destroy(last: NonNull<Conn>) {
    // SAFETY: The caller had the last reference: nobody else knows the entry.
    let conn = unsafe { last.as_ref() };
    if conn.references() != 0 {
        warn::warn_once!();
    }
    if conn.is_template() {
        // SAFETY: As above, and it is a template.
        unsafe { slab::free_template(last.as_ptr().cast()) };
        return;
    }
    if conn.proto() == proto::GRE {
        gre_keymap::master_lost(conn);
    }
    // A helper may expect something of a connection that is never confirmed.
    expect::remove_all(conn);
    // SAFETY: The entry owns a reference to its master, and is gone after this.
    unsafe {
        let master = (*conn.as_ptr()).master;
        if let Some(master) = NonNull::new(master.cast::<Conn>()) {
            drop(ARef::from_raw(master));
        }
        free(Newborn::from_raw(last.cast()));
    }
}

/// Removes an entry from the table and tells listeners (`nf_ct_delete`).
///
/// True for the one caller who removed it and whose event was delivered. The table's reference is
/// put, the caller's stays. CONTEXT: any, but no lock of this module held; helpers may come back
/// here with another entry.
pub(crate) fn kill(conn: &Conn, portid: u32, report: bool) -> bool {
    kill_hashed(conn, hash_of(conn, Dir::Original), portid, report)
}

/// Kills without a requester an entry the hash of whose original tuple is known.
pub(crate) fn reap_hashed(conn: &Conn, original: Hash) -> bool {
    kill_hashed(conn, original, 0, false)
}

fn kill_hashed(conn: &Conn, original: Hash, portid: u32, report: bool) -> bool {
    if conn.test_and_set_bit(Bit::Dying) {
        return false;
    }
    tstamp::stop(conn);
    if events::report_destroy(conn, portid, report).is_err() {
        // A listener wants it again later: the dying list inherits the table's reference.
        helper::destroyed(conn);
        {
            let bh = BhGuard::new();
            unlink(conn, original, &bh);
            events::park(conn);
        }
        events::retry_later(conn.net());
        return false;
    }
    events::delivered_again(conn.net());
    helper::destroyed(conn);
    {
        let bh = BhGuard::new();
        unlink(conn, original, &bh);
    }
    // SAFETY: The table's reference: the entry was in it, and only the first killer gets here.
    drop(unsafe { ARef::from_raw(NonNull::from(conn)) });
    true
}

/// Kills without a requester.
pub(crate) fn reap(conn: &Conn) -> bool {
    kill(conn, 0, false)
}

/// Takes an entry out of its chains, with all that it expects.
fn unlink(conn: &Conn, original: Hash, bh: &BhGuard) {
    let locked = table::lock_both(conn, original, bh.off());
    locked.unlink(conn);
    expect::remove_all(conn);
}

/// The zone that packets of a template are in.
#[inline]
pub(crate) fn zone_of(template: Option<&Conn>, mark: impl FnOnce() -> u32) -> Zone {
    match template {
        None => Zone::DEFAULT,
        Some(template) => {
            let zone = template.zone();
            if zone.is_by_mark() {
                zone.numbered_by(mark())
            } else {
                zone
            }
        }
    }
}

/// The hash of one of an entry's tuples.
#[inline]
pub(crate) fn hash_of(conn: &Conn, dir: Dir) -> Hash {
    table::hash(&conn.tuple(dir), conn.zone().id(dir), conn.net())
}
