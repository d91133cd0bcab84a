// SPDX-License-Identifier: GPL-2.0

//! `net/netfilter/nf_conntrack.h` and `nf_conntrack_core.h`: entries, the table, the packet path.
//!
//! Also the functions behind `nf_ct_hook`, through which the kernel proper reaches the module.

use core::ptr::null_mut;
use core::ptr::NonNull;
use kernel::ffi::c_int;
use kernel::ffi::c_uint;
use kernel::ffi::c_ulong;
use kernel::prelude::*;
use kernel::sync::rcu;

use crate::abi::as_in_header;
use crate::bindings;
use crate::bindings::gfp_t;
use crate::bindings::ip_conntrack_info;
use crate::bindings::ip_conntrack_info_IP_CT_IS_REPLY;
use crate::bindings::net;
use crate::bindings::nf_conn;
use crate::bindings::nf_conntrack;
use crate::bindings::nf_conntrack_tuple;
use crate::bindings::nf_conntrack_tuple_hash;
use crate::bindings::nf_conntrack_zone;
use crate::bindings::nf_ct_hook;
use crate::bindings::nf_ct_iter_data;
use crate::bindings::nf_hook_state;
use crate::bindings::sk_buff;
use crate::bindings::spinlock_t;
use crate::datapath;
use crate::datapath::NoPlace;
use crate::engine::acct;
use crate::engine::confirm;
use crate::engine::conn;
use crate::engine::fair::Origin;
use crate::engine::gre_keymap;
use crate::engine::l4;
use crate::engine::l4::tcp;
use crate::engine::table;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::hashtable;
use crate::linux::hashtable::Hash;
use crate::linux::lock::BhOff;
use crate::linux::lock::CSpinLock;
use crate::linux::net::Net;
use crate::linux::once::write_once;
use crate::linux::rcu::synchronize_net;
use crate::linux::rcu::Held;
use crate::linux::siphash::SecretKey;
use crate::linux::skb::HookState;
use crate::linux::skb::Skb;
use crate::linux::slab;
use crate::linux::slab::Newborn;
use crate::linux::stats::Counter;
use crate::linux::time;
use crate::linux::verdict::Verdict;
use crate::linux::warn;
use crate::linux::zone::Zone;
use crate::pure::ctinfo::CtInfo;
use crate::pure::num::Dir;
use crate::pure::policy::proof::Marks;
use crate::pure::status::Bit;
use crate::pure::status::Status;
use crate::pure::tuple::proto;
use crate::pure::tuple::Family;
use crate::pure::tuple::Tuple;
use crate::pure::wire;

as_in_header! {
    __nf_conntrack_confirm, __nf_ct_change_status, __nf_ct_change_timeout, __nf_ct_refresh_acct,
    nf_confirm, nf_conntrack_alloc, nf_conntrack_find_get, nf_conntrack_free,
    nf_conntrack_hash_check_insert, nf_conntrack_in, nf_conntrack_lock, nf_conntrack_tuple_taken,
    nf_ct_alloc_hashtable, nf_ct_change_status_common, nf_ct_delete, nf_ct_destroy, nf_ct_get_id,
    nf_ct_get_tuplepr, nf_ct_invert_tuple, nf_ct_iterate_cleanup_net, nf_ct_iterate_destroy,
    nf_ct_kill_acct, nf_ct_tmpl_alloc, nf_ct_tmpl_free,
}

/// An entry's number must not tell where it is in the table, nor where in memory.
static ID_KEY: SecretKey = SecretKey::new();

/// `ERR_PTR(-ENOMEM)`.
fn no_memory<T>() -> *mut T {
    core::ptr::without_provenance_mut(ENOMEM.to_errno() as isize as usize)
}

/// # Safety
///
/// `tuple` points to a tuple for the call.
unsafe fn read_tuple(tuple: *const nf_conntrack_tuple) -> Tuple {
    // SAFETY: By this function's contract; same layout, without padding.
    unsafe { tuple.cast::<Tuple>().read() }
}

/// # Safety
///
/// `to` is valid for a write.
unsafe fn write_tuple(to: *mut nf_conntrack_tuple, tuple: &Tuple) {
    // SAFETY: By this function's contract; same layout, without padding.
    unsafe { to.cast::<Tuple>().write(*tuple) };
}

/// Takes a bucket's lock. CONTEXT: bottom halves off.
///
/// # Safety
///
/// `lock` is one of `nf_conntrack_locks`; the caller unlocks it.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_lock(lock: *mut spinlock_t) {
    // SAFETY: By this function's contract, as the guard is left to the caller.
    let guard = unsafe { table::lock_bucket(CSpinLock::from_raw(lock), BhOff::assume()) };
    core::mem::forget(guard);
}

/// The tuple of the packet whose network header is at `nhoff`; false if it has none.
///
/// # Safety
///
/// All pointers are valid for the call; the caller owns the packet.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_get_tuplepr(
    skb: *const sk_buff,
    nhoff: c_uint,
    l3num: u16,
    net: *mut net,
    tuple: *mut nf_conntrack_tuple,
) -> bool {
    let Some(family) = Family::from_number(l3num) else {
        return false;
    };
    // SAFETY: By this function's contract.
    unsafe {
        let net = Net::from_raw(net);
        let found = wire::tuple_at(Skb::from_raw(skb), nhoff, family, |tuple| {
            gre_keymap::lookup(net, tuple)
        });
        match found {
            Some(found) => {
                write_tuple(tuple, &found);
                true
            }
            None => false,
        }
    }
}

/// The tuple of the answers; false if nobody answers such packets.
///
/// # Safety
///
/// Both pointers are valid for the call.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_invert_tuple(
    inverse: *mut nf_conntrack_tuple,
    orig: *const nf_conntrack_tuple,
) -> bool {
    // SAFETY: By this function's contract.
    unsafe {
        match read_tuple(orig).invert() {
            Some(inverted) => {
                write_tuple(inverse, &inverted);
                true
            }
            None => false,
        }
    }
}

/// The entry's number: constant for its life, almost unique.
///
/// # Safety
///
/// The caller has a reference to `ct`, or holds its bucket's lock.
#[no_mangle]
#[allow(clippy::cast_possible_truncation)]
pub(crate) unsafe extern "C" fn nf_ct_get_id(ct: *const nf_conn) -> u32 {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    let key = ID_KEY.get();
    let tuple = key.hash(&conn.tuple(Dir::Original), size_of::<Tuple>());
    let master = conn
        .master()
        .map_or(0, |master| master.as_ptr().addr() as u64);
    let words = [
        ct.addr() as u64,
        master,
        conn.net().as_ptr().addr() as u64,
        tuple,
    ];
    key.hash(&words, size_of_val(&words)) as u32
}

/// A template with one reference, or null.
///
/// # Safety
///
/// The namespace and the zone are valid for the call.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_tmpl_alloc(
    net: *mut net,
    zone: *const nf_conntrack_zone,
    flags: gfp_t,
) -> *mut nf_conn {
    // SAFETY: By this function's contract.
    let (net, zone) = unsafe { (Net::from_raw(net), Zone::read(zone)) };
    slab::new_template(net, zone, Gfp(flags)).map_or(null_mut(), |tmpl| tmpl.as_ptr().cast())
}

/// Frees a template; what rules attached to it was put before.
///
/// # Safety
///
/// `tmpl` is a template that nobody else uses.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_tmpl_free(tmpl: *mut nf_conn) {
    // SAFETY: By this function's contract.
    unsafe { slab::free_template(tmpl) };
}

/// Ends an entry whose last reference is gone. CONTEXT: any, also RCU callbacks.
///
/// # Safety
///
/// `nfct` is an entry or template; its count of references just became zero.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_destroy(nfct: *mut nf_conntrack) {
    if let Some(conn) = NonNull::new(nfct.cast::<Conn>()) {
        conn::destroy(conn);
    }
}

/// Kills an entry; see [`conn::kill`].
///
/// # Safety
///
/// The caller has a reference to `ct`.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_delete(ct: *mut nf_conn, portid: u32, report: c_int) -> bool {
    // SAFETY: By this function's contract.
    conn::kill(unsafe { Conn::from_raw(ct) }, portid, report != 0)
}

/// Kills an entry and counts the packet that is the reason.
///
/// # Safety
///
/// The caller has a reference to `ct` and owns the packet.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_kill_acct(
    ct: *mut nf_conn,
    ctinfo: ip_conntrack_info,
    skb: *const sk_buff,
) -> bool {
    // SAFETY: By this function's contract.
    let (conn, skb) = unsafe { (Conn::from_raw(ct), Skb::from_raw(skb)) };
    acct::update(conn, dir_of(ctinfo), 1, skb.len());
    conn::reap(conn)
}

/// The direction of a raw `ctinfo` (`CTINFO2DIR`).
fn dir_of(ctinfo: ip_conntrack_info) -> Dir {
    if ctinfo >= ip_conntrack_info_IP_CT_IS_REPLY {
        Dir::Reply
    } else {
        Dir::Original
    }
}

/// The entry of a tuple, with a reference; null if there is none.
///
/// # Safety
///
/// All pointers are valid for the call.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_find_get(
    net: *mut net,
    zone: *const nf_conntrack_zone,
    tuple: *const nf_conntrack_tuple,
) -> *mut nf_conntrack_tuple_hash {
    let guard = rcu::read_lock();
    // SAFETY: By this function's contract.
    let (net, zone, tuple) = unsafe { (Net::from_raw(net), Zone::read(zone), read_tuple(tuple)) };
    match table::find_get(net, &tuple, zone, Held::by(&guard)) {
        Some((conn, dir)) => {
            let node = conn.node(dir);
            // The caller puts the reference.
            core::mem::forget(conn);
            node
        }
        None => null_mut(),
    }
}

/// Inserts an entry that the caller made; see [`confirm::insert_made`].
///
/// # Safety
///
/// `ct` comes from `nf_conntrack_alloc()`, complete, without references.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_hash_check_insert(ct: *mut nf_conn) -> c_int {
    // SAFETY: By this function's contract.
    match confirm::insert_made(unsafe { Conn::from_raw(ct) }) {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// Confirms the packet's entry: `NF_ACCEPT` or `NF_DROP`. The packet may have another one after.
///
/// # Safety
///
/// The caller owns the packet, which has an entry; in an RCU read-side section.
#[no_mangle]
pub(crate) unsafe extern "C" fn __nf_conntrack_confirm(skb: *mut sk_buff) -> c_int {
    // SAFETY: By this function's contract.
    let result = unsafe { confirm::confirm(Skb::from_raw(skb), Held::assume()) };
    to_int(match result {
        Ok(()) => Verdict::ACCEPT,
        Err(confirm::Refused) => Verdict::DROP,
    })
}

/// A verdict as the functions that return `int` give it.
fn to_int(verdict: Verdict) -> c_int {
    c_int::from_ne_bytes(verdict.0.to_ne_bytes())
}

/// Whether the tuple is in use by another connection than the given one.
///
/// # Safety
///
/// The pointers are valid; the caller has a reference to the entry.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_tuple_taken(
    tuple: *const nf_conntrack_tuple,
    ignored_conntrack: *const nf_conn,
) -> c_int {
    let guard = rcu::read_lock();
    // SAFETY: By this function's contract.
    let (tuple, by) = unsafe { (read_tuple(tuple), Conn::from_raw(ignored_conntrack)) };
    c_int::from(table::is_taken(&tuple, by, Held::by(&guard)))
}

/// A new entry without references, or `ERR_PTR(-ENOMEM)`.
///
/// # Safety
///
/// All pointers are valid for the call.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_alloc(
    net: *mut net,
    zone: *const nf_conntrack_zone,
    orig: *const nf_conntrack_tuple,
    repl: *const nf_conntrack_tuple,
    gfp: gfp_t,
) -> *mut nf_conn {
    // SAFETY: By this function's contract.
    let (net, zone, orig, repl) = unsafe {
        (
            Net::from_raw(net),
            Zone::read(zone),
            read_tuple(orig),
            read_tuple(repl),
        )
    };
    let made = conn::alloc(
        net,
        net.private(),
        zone,
        [&orig, &repl],
        Hash(0),
        Origin::Made,
        Gfp(gfp),
    );
    match made {
        Ok(new) => new.into_raw(),
        Err(_) => no_memory(),
    }
}

/// Frees an entry without references.
///
/// # Safety
///
/// `ct` has no references and nobody uses it; its master and expectations are put already.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_free(ct: *mut nf_conn) {
    if let Some(ct) = NonNull::new(ct) {
        // SAFETY: By this function's contract.
        conn::free(unsafe { Newborn::from_raw(ct) });
    }
}

/// A packet enters; see [`datapath::track_for`].
///
/// # Safety
///
/// The caller owns the packet; in an RCU read-side section.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_in(
    skb: *mut sk_buff,
    state: *const nf_hook_state,
) -> c_uint {
    // SAFETY: By this function's contract.
    let (skb, state) = unsafe { (Skb::from_raw(skb), HookState::from_raw(state)) };
    match datapath::track_for(skb, state) {
        Ok(verdict) => verdict.0,
        // Whether the caller translates is not known here: it does not pass.
        Err(NoPlace) => {
            state.net().count(Counter::DROP);
            Verdict::DROP.0
        }
    }
}

/// A packet leaves; see [`datapath::leave`].
///
/// # Safety
///
/// As for [`nf_conntrack_in`].
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_confirm(
    _priv: *mut c_void,
    skb: *mut sk_buff,
    state: *const nf_hook_state,
) -> c_uint {
    // SAFETY: By this function's contract.
    unsafe { datapath::leave(Skb::from_raw(skb), HookState::from_raw(state)).0 }
}

/// Moves the deadline and counts; `bytes` zero counts nothing.
///
/// # Safety
///
/// The caller has a reference to `ct`.
#[no_mangle]
pub(crate) unsafe extern "C" fn __nf_ct_refresh_acct(
    ct: *mut nf_conn,
    ctinfo: ip_conntrack_info,
    extra_jiffies: u32,
    bytes: c_uint,
) {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    let info = match dir_of(ctinfo) {
        Dir::Original => CtInfo::Established,
        Dir::Reply => CtInfo::EstablishedReply,
    };
    l4::refresh(conn, info, extra_jiffies, bytes);
}

/// Kills the entries of a namespace that `iter` chooses. CONTEXT: sleepable.
///
/// # Safety
///
/// `iter_data` is valid for the call; `iter` may be called with its data under a bucket's lock.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_iterate_cleanup_net(
    iter: Option<unsafe extern "C" fn(i: *mut nf_conn, data: *mut c_void) -> c_int>,
    iter_data: *const nf_ct_iter_data,
) {
    warn::might_sleep();
    // SAFETY: By this function's contract.
    let (net, data, portid, report) = unsafe {
        let it = &*iter_data;
        (Net::from_raw(it.net), it.data, it.portid, it.report != 0)
    };
    let Some(iter) = iter else {
        return;
    };
    if net.private().entries().load(kernel::sync::atomic::Relaxed) == 0 {
        return;
    }
    // SAFETY: By this function's contract.
    table::iterate(Some(net), portid, report, |conn| unsafe {
        iter(conn.as_ptr(), data) != 0
    });
}

/// Kills the entries of all namespaces that `iter` chooses, also those that packets in queues
/// carry. CONTEXT: sleepable, while a module is being unloaded.
///
/// # Safety
///
/// `iter` may be called with `data` under a bucket's lock.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_iterate_destroy(
    iter: Option<unsafe extern "C" fn(i: *mut nf_conn, data: *mut c_void) -> c_int>,
    data: *mut c_void,
) {
    let Some(iter) = iter else {
        return;
    };
    // SAFETY: Sleepable. Packets that user space holds come back or are dropped, so that their
    // entries are in the table; a namespace that goes away at the same time is waited for.
    unsafe {
        bindings::rct_drop_queued_of_all_nets();
        bindings::net_ns_barrier();
    }
    synchronize_net();
    // SAFETY: By this function's contract.
    table::iterate(None, 0, false, |conn| unsafe {
        iter(conn.as_ptr(), data) != 0
    });
    // Readers may still use what `iter` took away from entries.
    rcu::synchronize_rcu();
}

/// An array of `*sizep` or more list heads, to be freed with `kvfree()`. CONTEXT: sleepable.
///
/// # Safety
///
/// `sizep` is valid for the call.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_alloc_hashtable(
    sizep: *mut c_uint,
    nulls: c_int,
) -> *mut c_void {
    // SAFETY: By this function's contract.
    let size = unsafe { &mut *sizep };
    hashtable::allocate(size, nulls != 0).map_or(null_mut(), NonNull::as_ptr)
}

/// Sets the remaining time. Errors: `EPERM` for a fixed one, `ETIME` if the entry is dying.
///
/// # Safety
///
/// The caller has a reference to `ct`.
#[no_mangle]
pub(crate) unsafe extern "C" fn __nf_ct_change_timeout(
    ct: *mut nf_conn,
    cta_timeout: u64,
) -> c_int {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    if conn.has(Status::FIXED_TIMEOUT) {
        return EPERM.to_errno();
    }
    let ticks = u32::try_from(cta_timeout).map_or(i32::MAX.unsigned_abs(), |ticks| {
        ticks.min(i32::MAX.unsigned_abs())
    });
    if conn.is_confirmed() {
        conn.set_timeout(time::now().plus(ticks).0);
    } else {
        conn.set_timeout(ticks);
    }
    if conn.is_dying() {
        return ETIME.to_errno();
    }
    0
}

/// Sets and clears status bits, but for those that only the module may change.
///
/// # Safety
///
/// The caller has a reference to `ct`.
#[no_mangle]
pub(crate) unsafe extern "C" fn __nf_ct_change_status(ct: *mut nf_conn, on: c_ulong, off: c_ulong) {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    for bit in Bit::CHANGEABLE {
        let mask = Status::of(bit).0;
        if on & mask != 0 {
            conn.set_bit(bit);
            if bit == Bit::Assured {
                // Whoever asks for it vouches for it.
                conn.add_marks(Marks::PROVEN);
            }
        } else if off & mask != 0 {
            conn.clear_bit(bit);
        }
    }
}

/// Makes the status what user space wants. Errors: `EBUSY` for a change that is not its to make.
///
/// # Safety
///
/// The caller has a reference to `ct`.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_change_status_common(
    ct: *mut nf_conn,
    status: c_uint,
) -> c_int {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    let wanted = Status(status as usize);
    if !conn.status().may_become(wanted) {
        return EBUSY.to_errno();
    }
    // SAFETY: As above.
    unsafe { __nf_ct_change_status(ct, wanted.0 as c_ulong, 0) };
    0
}

/// # Safety
///
/// Called by the kernel through `nf_ct_hook`, with what that hook passes.
unsafe extern "C" fn hook_update(_net: *mut net, skb: *mut sk_buff) -> c_int {
    let guard = rcu::read_lock();
    // SAFETY: nfnetlink_queue owns the packet.
    let skb = unsafe { Skb::from_raw(skb) };
    to_int(datapath::resume(skb, Held::by(&guard)))
}

/// The packet's tuple, as its connection has it if it has one; else that of the packet's answers,
/// as the connection found for it has it. IPv4 only.
///
/// # Safety
///
/// Called by the kernel through `nf_ct_hook`, with what that hook passes.
unsafe extern "C" fn hook_get_tuple_skb(
    dst_tuple: *mut nf_conntrack_tuple,
    skb: *const sk_buff,
) -> bool {
    // SAFETY: The callers in the kernel own the packet, which has a device.
    let (skb, net) = unsafe { (Skb::from_raw(skb), Skb::from_raw(skb).dev_net()) };
    if let (Some(conn), Some(info)) = (skb.conn(), skb.ctinfo()) {
        // SAFETY: The caller wants the tuple there.
        unsafe { write_tuple(dst_tuple, &conn.tuple(info.dir())) };
        return true;
    }
    let keymap = |tuple: &Tuple| gre_keymap::lookup(net, tuple);
    let Some(tuple) = wire::tuple_at(skb, skb.network_offset(), Family::V4, keymap) else {
        return false;
    };
    let guard = rcu::read_lock();
    match table::find_get(net, &tuple, Zone::DEFAULT, Held::by(&guard)) {
        Some((conn, dir)) => {
            // SAFETY: As above.
            unsafe { write_tuple(dst_tuple, &conn.tuple(dir.opposite())) };
            true
        }
        None => false,
    }
}

/// Gives a packet that a rule made in answer (a reset, an ICMP error) the connection of the packet
/// that it answers.
///
/// # Safety
///
/// Called by the kernel through `nf_ct_hook`, with what that hook passes.
unsafe extern "C" fn hook_attach(nskb: *mut sk_buff, skb: *const sk_buff) {
    // SAFETY: The callers in the kernel own both packets.
    let (new, old) = unsafe { (Skb::from_raw(nskb), Skb::from_raw(skb)) };
    let info = match old.ctinfo() {
        Some(info) if info.dir() == Dir::Original => CtInfo::RelatedReply,
        _ => CtInfo::Related,
    };
    // One that is not tracked has no connection to share.
    new.attach_shared(old.conn(), info);
}

/// # Safety
///
/// Called by the kernel through `nf_ct_hook`, with what that hook passes.
unsafe extern "C" fn hook_set_closing(nfct: *mut nf_conntrack) {
    // SAFETY: The caller has a reference.
    let conn = unsafe { Conn::from_raw(nfct.cast()) };
    if conn.proto() == proto::TCP {
        tcp::set_closing(conn);
    }
}

/// # Safety
///
/// Called by the kernel through `nf_ct_hook`, with what that hook passes.
unsafe extern "C" fn hook_get_id(nfct: *const nf_conntrack) -> u32 {
    // SAFETY: The caller has a reference.
    unsafe { nf_ct_get_id(nfct.cast()) }
}

static HOOK: nf_ct_hook = nf_ct_hook {
    update: Some(hook_update),
    destroy: Some(nf_ct_destroy),
    get_tuple_skb: Some(hook_get_tuple_skb),
    attach: Some(hook_attach),
    set_closing: Some(hook_set_closing),
    confirm: Some(__nf_conntrack_confirm),
    get_id: Some(hook_get_id),
};

/// `nf_ct_hook` while it is set: how the kernel proper reaches the module.
pub(crate) struct Hook(());

impl Hook {
    /// Sets it. Before any packet can get an entry.
    pub(crate) fn set() -> Self {
        // SAFETY: The pointee is static, and nobody else sets the pointer.
        unsafe {
            ID_KEY.draw();
            write_once(&raw mut bindings::nf_ct_hook, &HOOK);
        }
        Hook(())
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // SAFETY: No entry is left that anybody could want to put.
        unsafe { write_once(&raw mut bindings::nf_ct_hook, core::ptr::null()) };
    }
}
