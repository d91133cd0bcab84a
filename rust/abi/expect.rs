// SPDX-License-Identifier: GPL-2.0

//! `net/netfilter/nf_conntrack_expect.h`: expectations.

use core::ptr::null_mut;
use core::ptr::NonNull;
use kernel::ffi::c_int;
use kernel::ffi::c_uint;
use kernel::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::rcu;

use crate::abi::as_in_header;
use crate::bindings::*;
use crate::engine::expect;
use crate::linux::conn::Conn;
use crate::linux::expect::ExpectLocked;
use crate::linux::expect::ExpectRef;
use crate::linux::expect::Expectation;
use crate::linux::gfp::Gfp;
use crate::linux::net::Net;
use crate::linux::rcu::Held;
use crate::linux::zone::Zone;
use crate::pure::tuple::Addr;
use crate::pure::tuple::Tuple;

as_in_header! {
    __nf_ct_expect_find, nf_ct_expect_alloc, nf_ct_expect_find_get, nf_ct_expect_init,
    nf_ct_expect_iterate_destroy, nf_ct_expect_iterate_net, nf_ct_expect_put,
    nf_ct_expect_related_pair, nf_ct_expect_related_report, nf_ct_remove_expectations,
    nf_ct_unexpect_related, nf_ct_unlink_expect_report,
}

/// The callback of [`nf_ct_expect_iterate_net`] and [`nf_ct_expect_iterate_destroy`].
type Pick = unsafe extern "C" fn(*mut nf_conntrack_expect, *mut c_void) -> bool;

fn errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Ends an expectation, and tells listeners who asked for it.
///
/// # Safety
///
/// The caller holds the expectation lock, under which it met `exp` linked.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_unlink_expect_report(
    exp: *mut nf_conntrack_expect,
    portid: u32,
    report: c_int,
) {
    // SAFETY: By this function's contract.
    unsafe {
        expect::unlink(
            Expectation::from_raw(exp),
            portid,
            report != 0,
            ExpectLocked::assume(),
        );
    }
}

/// The expectation that announces a packet, or null.
///
/// # Safety
///
/// As the header says. The caller is in an RCU read-side section, or holds the expectation lock;
/// the result is valid as long.
#[no_mangle]
pub(crate) unsafe extern "C" fn __nf_ct_expect_find(
    net: *mut net,
    zone: *const nf_conntrack_zone,
    tuple: *const nf_conntrack_tuple,
) -> *mut nf_conntrack_expect {
    // SAFETY: By this function's contract; a tuple has the same layout and no padding.
    unsafe {
        let tuple = tuple.cast::<Tuple>().read();
        expect::find(Net::from_raw(net), Zone::read(zone), &tuple, Held::assume())
            .map_or(null_mut(), Expectation::as_ptr)
    }
}

/// The expectation that announces a packet, with a reference for the caller, or null.
///
/// # Safety
///
/// As the header says. The caller may hold the expectation lock.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_expect_find_get(
    net: *mut net,
    zone: *const nf_conntrack_zone,
    tuple: *const nf_conntrack_tuple,
) -> *mut nf_conntrack_expect {
    let guard = rcu::read_lock();
    // SAFETY: By this function's contract; a tuple has the same layout and no padding.
    unsafe {
        let tuple = tuple.cast::<Tuple>().read();
        expect::find_get(
            Net::from_raw(net),
            Zone::read(zone),
            &tuple,
            Held::by(&guard),
        )
        .map_or(null_mut(), ExpectRef::into_raw)
    }
}

/// Ends all that a connection expects. CONTEXT: takes the expectation lock.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_remove_expectations(ct: *mut nf_conn) {
    // SAFETY: By this function's contract.
    expect::remove_all(unsafe { Conn::from_raw(ct) });
}

/// Withdraws an expectation; it is unlinked by whoever comes by. CONTEXT: takes the expectation
/// lock.
///
/// # Safety
///
/// As the header says; the caller has a reference.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_unexpect_related(exp: *mut nf_conntrack_expect) {
    // SAFETY: By this function's contract.
    expect::withdraw(unsafe { Expectation::from_raw(exp) });
}

/// A new expectation of a connection, to be filled in and announced, with a reference for the
/// caller; null without memory. CONTEXT: any.
///
/// # Safety
///
/// As the header says; `me` outlives the result.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_expect_alloc(me: *mut nf_conn) -> *mut nf_conntrack_expect {
    // SAFETY: By this function's contract.
    let master = unsafe { Conn::from_raw(me) };
    ExpectRef::new(master, Gfp::ATOMIC).map_or(null_mut(), ExpectRef::into_raw)
}

/// Fills in a new expectation.
///
/// A sender's address or port that is null may be any. CONTEXT: the packet path: the master's helper
/// must not change meanwhile.
///
/// # Safety
///
/// As the header says; nobody else knows `exp`, and the caller has a reference to its master.
/// Addresses have 4 bytes if `family` is that of IPv4, 16 otherwise.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_expect_init(
    exp: *mut nf_conntrack_expect,
    class: c_uint,
    family: u8,
    saddr: *const nf_inet_addr,
    daddr: *const nf_inet_addr,
    proto: u8,
    src: *const u16,
    dst: *const u16,
) {
    // SAFETY: By this function's contract.
    unsafe {
        let address = |at: NonNull<nf_inet_addr>| {
            if u32::from(family) == NFPROTO_IPV4 {
                Addr([at.cast::<u32>().read_unaligned(), 0, 0, 0])
            } else {
                Addr(at.cast::<[u32; 4]>().read_unaligned())
            }
        };
        let (Some(daddr), Some(dst)) =
            (NonNull::new(daddr.cast_mut()), NonNull::new(dst.cast_mut()))
        else {
            return;
        };
        let announcement = expect::Announcement {
            class,
            family,
            proto,
            sender: NonNull::new(saddr.cast_mut()).map(address),
            sender_port: src.as_ref().copied(),
            receiver: address(daddr),
            receiver_port: dst.read(),
        };
        expect::fill(Expectation::from_raw(exp), &announcement);
    }
}

/// Gives up a reference; the last one frees the expectation, a grace period later.
///
/// # Safety
///
/// As the header says. The caller may hold the expectation lock.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_expect_put(exp: *mut nf_conntrack_expect) {
    if let Some(exp) = NonNull::new(exp) {
        // SAFETY: By this function's contract.
        drop(unsafe { ExpectRef::from_raw(exp) });
    }
}

/// Announces what an expectation says. Errors: see [`expect::announce`]. CONTEXT: takes the
/// expectation lock.
///
/// # Safety
///
/// As the header says; the caller has references to `expect` and to its master.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_expect_related_report(
    expect: *mut nf_conntrack_expect,
    portid: u32,
    report: c_int,
    flags: c_uint,
) -> c_int {
    let any_master = flags & NF_CT_EXP_F_SKIP_MASTER != 0;
    // SAFETY: By this function's contract.
    errno(unsafe {
        expect::announce(
            Expectation::from_raw(expect),
            portid,
            report != 0,
            any_master,
        )
    })
}

/// Announces what two expectations of one master say, or nothing. Errors: see
/// [`expect::announce_pair`]. CONTEXT: takes the expectation lock.
///
/// # Safety
///
/// As the header says; the caller has references to both and to their masters.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_expect_related_pair(
    expect: *mut *mut nf_conntrack_expect,
    flag: c_uint,
) -> c_int {
    let any_master = flag & NF_CT_EXP_F_SKIP_MASTER != 0;
    // SAFETY: By this function's contract, an array of two.
    errno(unsafe {
        let [first, second] = expect.cast::<[*mut nf_conntrack_expect; 2]>().read();
        expect::announce_pair(
            Expectation::from_raw(first),
            Expectation::from_raw(second),
            any_master,
        )
    })
}

/// Ends the expectations of all namespaces that `iter` is true for. CONTEXT: takes the expectation
/// lock, and calls `iter` with it held.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_expect_iterate_destroy(
    iter: Option<Pick>,
    data: *mut c_void,
) {
    let Some(iter) = iter else {
        return;
    };
    // SAFETY: By this function's contract.
    expect::iterate(None, 0, false, |exp| unsafe { iter(exp.as_ptr(), data) });
}

/// Ends the expectations of a namespace that `iter` is true for, and tells listeners who asked for
/// it. CONTEXT: takes the expectation lock, and calls `iter` with it held.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_expect_iterate_net(
    net: *mut net,
    iter: Option<Pick>,
    data: *mut c_void,
    portid: u32,
    report: c_int,
) {
    let Some(iter) = iter else {
        return;
    };
    // SAFETY: By this function's contract.
    unsafe {
        let net = Net::from_raw(net);
        expect::iterate(Some(net), portid, report != 0, |exp| {
            iter(exp.as_ptr(), data)
        });
    }
}
