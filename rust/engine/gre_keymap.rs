// SPDX-License-Identifier: GPL-2.0

//! Keys of GRE flows that PPTP's control connections agreed on.
//!
//! A packet of PPTP's GRE carries the receiver's key only. The helper of the control connection
//! leaves here, per direction, which key the sender has, so that both directions of a call become
//! one connection.
//!
//! The addresses of a master's two entries are in its helper's data, which is laid out by PPTP's
//! header and changed by this file alone, under [`LOCK`].
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_proto_gre.c`.

use core::mem::offset_of;
use core::mem::size_of;
use core::ptr::null_mut;
use core::ptr::NonNull;
use kernel::sync::rcu;

use crate::bindings;
use crate::engine::conn;
use crate::engine::expect;
use crate::engine::table;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::list::List;
use crate::linux::list::Node;
use crate::linux::lock::StaticSpinLock;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::rcu::free_later;
use crate::linux::rcu::Held;
use crate::pure::l4::gre::Timers;
use crate::pure::num::Dir;
use crate::pure::tuple::proto;
use crate::pure::tuple::Tuple;

/// An entry: the key of whoever sends packets with a tuple is the source's `id` of the same tuple.
type Entry = bindings::nf_ct_gre_keymap;

/// What PPTP's helper keeps of a control connection.
type Master = bindings::nf_ct_pptp_master;

const _: () = assert!(offset_of!(Entry, list) == 0);

// SAFETY: Asserted above; in the lists of namespaces only.
unsafe impl Node for Entry {}

/// Guards the lists of all namespaces, and the entries' addresses in the masters' data.
static LOCK: StaticSpinLock = StaticSpinLock::new();

/// CONTEXT: once, while the module is loaded.
pub(crate) fn init() {
    // SAFETY: Nobody uses the lock yet.
    unsafe { LOCK.init() };
}

fn list(net: &Net) -> List<Entry> {
    // SAFETY: The head is in the namespace, which outlives its entries.
    unsafe { List::from_raw(&raw mut (*net.ct()).nf_ct_proto.gre.keymap_list) }
}

/// A namespace begins.
pub(crate) fn init_net(net: &Net) {
    // SAFETY: Nobody uses the namespace yet.
    unsafe { list(net).init() };
}

/// Whether a namespace that ends has no entry left.
pub(crate) fn is_empty(net: &Net) -> bool {
    list(net).is_empty()
}

/// # Safety
///
/// `entry` is valid.
unsafe fn tuple_of(entry: NonNull<Entry>) -> Tuple {
    // SAFETY: By this function's contract; same layout, and no padding. Constant once linked.
    unsafe { (&raw const (*entry.as_ptr()).tuple).cast::<Tuple>().read() }
}

/// Whether packets with `tuple` are the entry's: all counts but the sender's key.
fn is_for(entry: &Tuple, tuple: &Tuple) -> bool {
    entry.src.l3 == tuple.src.l3
        && entry.src.addr == tuple.src.addr
        && entry.same_destination(tuple)
}

/// The key of whoever sends packets with `tuple`, in network order; zero if nobody said.
#[inline]
pub(crate) fn lookup(net: &Net, tuple: &Tuple) -> u16 {
    let list = list(net);
    if list.is_empty() {
        return 0;
    }
    let guard = rcu::read_lock();
    let mut entries = list.nodes(Held::by(&guard));
    entries
        .find_map(|entry| {
            // SAFETY: Entries of the list stay for the read-side section.
            let entry = unsafe { tuple_of(entry) };
            is_for(&entry, tuple).then_some(entry.src.id)
        })
        .unwrap_or(0)
}

fn new_entry(tuple: &Tuple) -> Option<NonNull<Entry>> {
    // SAFETY: Fresh memory of the size; same layout.
    unsafe {
        let entry = bindings::rct_kzalloc(size_of::<Entry>(), Gfp::ATOMIC.0).cast::<Entry>();
        let entry = NonNull::new(entry)?;
        (&raw mut (*entry.as_ptr()).tuple)
            .cast::<Tuple>()
            .write(*tuple);
        Some(entry)
    }
}

/// The slot of a direction's entry.
///
/// # Safety
///
/// `master` is the data of a PPTP control connection.
unsafe fn slot(master: NonNull<Master>, dir: Dir) -> *mut *mut Entry {
    // SAFETY: By this function's contract; an array of two.
    unsafe {
        (&raw mut (*master.as_ptr()).keymap)
            .cast::<*mut Entry>()
            .add(dir.index())
    }
}

/// What a control connection may do with the entries that it asks for.
enum Request {
    /// It has none yet.
    New,
    /// It has the same already.
    Same,
    /// It has others.
    Other,
}

/// Remembers the keys of a call. False if the connection has remembered others, is no PPTP control
/// connection or ends, or there is no memory.
pub(crate) fn add(conn: &Conn, original: &Tuple, reply: &Tuple) -> bool {
    let Some(help) = conn.help() else {
        return false;
    };
    let (there, back) = match (new_entry(original), new_entry(reply)) {
        (Some(there), Some(back)) => (there, back),
        (there, back) => {
            for entry in [there, back].into_iter().flatten() {
                // SAFETY: Ours alone.
                unsafe { bindings::kfree(entry.as_ptr().cast()) };
            }
            return false;
        }
    };
    let master = help.data::<Master>();
    let known = {
        let _guard = LOCK.get().lock_bh();
        // SAFETY: The data are PPTP's, whose helper calls; the slots are the lock's.
        let (first, second) = unsafe { (slot(master, Dir::Original), slot(master, Dir::Reply)) };
        // SAFETY: Under the lock, nobody else has the slots.
        let request = match unsafe { (NonNull::new(*first), NonNull::new(*second)) } {
            (None, None) => Request::New,
            (Some(has_there), Some(has_back)) => {
                // SAFETY: The entries in the slots are alive under the lock.
                let same = unsafe {
                    is_for(&tuple_of(has_there), original) && is_for(&tuple_of(has_back), reply)
                };
                if same {
                    Request::Same
                } else {
                    Request::Other
                }
            }
            _ => Request::Other,
        };
        match request {
            // Whoever ends the connection has set the bit before it comes here for the entries.
            _ if conn.is_dying() => false,
            Request::Other => false,
            Request::Same => true,
            Request::New => {
                // SAFETY: The lock is held; freed a grace period after they are taken out.
                unsafe {
                    let list = list(conn.net());
                    list.add_tail(there);
                    list.add_tail(back);
                    first.write(there.as_ptr());
                    second.write(back.as_ptr());
                }
                return true;
            }
        }
    };
    // SAFETY: Not linked, so ours alone.
    unsafe {
        bindings::kfree(there.as_ptr().cast());
        bindings::kfree(back.as_ptr().cast());
    }
    known
}

/// Forgets the keys of a control connection.
pub(crate) fn forget(conn: &Conn) {
    let Some(help) = conn.help() else {
        return;
    };
    let master = help.data::<Master>();
    let _guard = LOCK.get().lock_bh();
    for dir in Dir::BOTH {
        // SAFETY: The data are PPTP's, by the contract of the callers; slots and list are the
        // lock's. Readers may look at an entry until a grace period has passed.
        unsafe {
            let slot = slot(master, dir);
            if let Some(entry) = NonNull::new(slot.read()) {
                list(conn.net()).remove(entry);
                free_later(&raw mut (*entry.as_ptr()).rcu, entry);
                slot.write(null_mut());
            }
        }
    }
}

/// A connection ends whose master may be PPTP's: a call's keys are of no use without the call.
pub(crate) fn master_lost(conn: &Conn) {
    let Some(master) = conn.master() else {
        return;
    };
    let guard = rcu::read_lock();
    let helper = master.help().and_then(|help| help.helper(Held::by(&guard)));
    // Only the helper of PPTP wants to know.
    if helper.is_some_and(|helper| helper.wants_the_end()) {
        forget(master);
    }
}

/// A control connection ends: so do its calls, those that are there and those that are expected.
///
/// CONTEXT: no lock held.
pub(crate) fn end_calls(control: &Conn) {
    let Some(help) = control.help() else {
        return;
    };
    forget(control);
    let master = help.data::<Master>().as_ptr();
    // SAFETY: The data are PPTP's, by the contract of the callers; halves, stored whole.
    let (server, client) = unsafe {
        (
            read_once(&raw const (*master).pac_call_id),
            read_once(&raw const (*master).pns_call_id),
        )
    };
    end_call(
        control,
        control.tuple(Dir::Original).with_ids(client, server),
    );
    end_call(control, control.tuple(Dir::Reply).with_ids(server, client));
}

fn end_call(control: &Conn, mut tuple: Tuple) {
    tuple.dst.proto = proto::GRE;
    let (net, zone) = (control.net(), control.zone());
    let guard = rcu::read_lock();
    let rcu = Held::by(&guard);
    if let Some((call, _)) = table::find_get(net, &tuple, zone, rcu) {
        // Packets that are on their way must not keep it alive.
        call.set_gre_timers(Timers {
            unreplied: 0,
            replied: 0,
        });
        conn::reap(&call);
    } else if let Some(expected) = expect::find_get(net, zone, &tuple, rcu) {
        expect::withdraw(&expected);
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_gre_keymap)]
mod tests {
    use kernel::prelude::*;

    use super::*;
    use crate::linux::fake::expect::Home;
    use crate::pure::status::Bit;
    use crate::pure::tuple::l3;
    use crate::pure::tuple::Addr;
    use crate::pure::tuple::Destination;
    use crate::pure::tuple::Source;

    fn gre(src: u16, dst: u16) -> Tuple {
        Tuple {
            src: Source {
                addr: Addr::v4([192, 0, 2, 1]),
                id: src,
                l3: l3::IPV4,
            },
            dst: Destination {
                addr: Addr::v4([192, 0, 2, 2]),
                id: dst,
                proto: proto::GRE,
                dir: 0,
            },
        }
    }

    #[test]
    fn keys_are_found_while_the_call_lasts() -> Result {
        let home = Home::new()?;
        init_net(&home);
        let control = home.master().ok_or(ENOMEM)?;
        let there = gre(1, 2);
        let back = there.invert().ok_or(EINVAL)?;
        assert_eq!(lookup(&home, &gre(0, 2)), 0);
        assert!(add(&control, &there, &back));
        assert_eq!(lookup(&home, &gre(0, 2)), 1);
        assert_eq!(lookup(&home, &back.with_ids(0, 1)), 2);
        assert_eq!(lookup(&home, &gre(0, 3)), 0);
        assert_eq!(lookup(&home, &gre(0, 1)), 0);
        // The same once more is fine, others are not.
        assert!(add(&control, &there, &back));
        assert!(!add(&control, &gre(1, 3), &back));
        assert!(!add(&control, &there, &gre(7, 8)));
        assert_eq!(lookup(&home, &gre(0, 3)), 0);
        forget(&control);
        forget(&control);
        assert!(is_empty(&home));
        assert_eq!(lookup(&home, &gre(0, 2)), 0);
        assert!(add(&control, &gre(1, 3), &back));
        forget(&control);
        Ok(())
    }

    #[test]
    fn who_ends_remembers_nothing() -> Result {
        let home = Home::new()?;
        init_net(&home);
        let (control, bare) = (home.master().ok_or(ENOMEM)?, home.conn().ok_or(ENOMEM)?);
        assert!(!add(&bare, &gre(1, 2), &gre(2, 1)));
        control.set_bit(Bit::Dying);
        assert!(!add(&control, &gre(1, 2), &gre(2, 1)));
        assert!(is_empty(&home));
        Ok(())
    }
}
