// SPDX-License-Identifier: GPL-2.0

//! [`include/net/netfilter/nf_conntrack_ecache.h`](srctree/include/net/netfilter/nf_conntrack_ecache.h)

use kernel::ffi::c_int;
use kernel::ffi::c_uint;

use crate::abi::as_in_header;
use crate::bindings;
use crate::engine::events;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::net::Net;

as_in_header!(
    nf_conn_pernet_ecache,
    nf_conntrack_eventmask_report,
    nf_conntrack_register_notifier,
    nf_conntrack_unregister_notifier,
    nf_ct_deliver_cached_events,
    nf_ct_ecache_ext_add,
);

/// The list of a namespace's entries whose end is not told, which ctnetlink walks under its lock.
///
/// # Safety
///
/// `net` is a namespace in which the module is set up.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conn_pernet_ecache(
    net: *const bindings::net,
) -> *mut bindings::nf_conntrack_net_ecache {
    // SAFETY: By this function's contract.
    unsafe { Net::from_raw(net) }.private().dying().as_ptr()
}

/// Tells the listener at once about events, a bit each. Negative if it could not take them.
///
/// CONTEXT: no lock of the module held.
///
/// # Safety
///
/// The caller has a reference to `ct`.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_eventmask_report(
    eventmask: c_uint,
    ct: *mut bindings::nf_conn,
    portid: u32,
    report: c_int,
) -> c_int {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    match events::report_mask(conn, eventmask, portid, report != 0) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Tells the listener what happened to an entry since the last time.
///
/// CONTEXT: bottom halves are off; no lock of the module held.
///
/// # Safety
///
/// The caller has a reference to `ct`.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_deliver_cached_events(ct: *mut bindings::nf_conn) {
    // SAFETY: By this function's contract.
    events::deliver(unsafe { Conn::from_raw(ct) });
}

/// Puts the namespace's one listener in. CONTEXT: sleepable.
///
/// # Safety
///
/// `net` is a namespace, and `nb` stays for a grace period after it was taken out.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_register_notifier(
    net: *mut bindings::net,
    nb: *const bindings::nf_ct_event_notifier,
) {
    // SAFETY: By this function's contract.
    unsafe { events::register(Net::from_raw(net), nb) };
}

/// Takes it out; does not wait for those who are just being told. CONTEXT: sleepable.
///
/// # Safety
///
/// `net` is a namespace.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_unregister_notifier(net: *mut bindings::net) {
    // SAFETY: By this function's contract.
    events::unregister(unsafe { Net::from_raw(net) });
}

/// Gives a new entry or a template a cache of events, if it is to have one. `false`: no memory.
///
/// # Safety
///
/// As for `nf_ct_ext_add()`.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_ecache_ext_add(
    ct: *mut bindings::nf_conn,
    ctmask: u16,
    expmask: u16,
    gfp: bindings::gfp_t,
) -> bool {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    events::add_ext(conn, ctmask, expmask, Gfp(gfp)).is_ok()
}
