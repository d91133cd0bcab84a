// SPDX-License-Identifier: GPL-2.0

//! [`include/net/netfilter/nf_conntrack_timeout.h`](srctree/include/net/netfilter/nf_conntrack_timeout.h)

use kernel::ffi::c_char;
use kernel::ffi::c_int;
use kernel::prelude::*;

use crate::abi::as_in_header;
use crate::bindings;
use crate::engine::timeout;
use crate::linux::conn::Conn;
use crate::linux::net::Net;

as_in_header!(nf_ct_untimeout, nf_ct_set_timeout, nf_ct_destroy_timeout);

/// Takes a policy that goes, all if it is null, from the entries of a namespace.
///
/// CONTEXT: sleepable.
///
/// # Safety
///
/// `net` is a namespace in which the module is set up. `timeout` is not looked into.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_untimeout(
    net: *mut bindings::net,
    timeout: *mut bindings::nf_ct_timeout,
) {
    // SAFETY: By this function's contract.
    timeout::withdraw(unsafe { Net::from_raw(net) }, timeout);
}

/// Gives a template the policy of that name, for those protocols.
///
/// `-ENOENT`: no such policy; `-EINVAL`: it is for other protocols; `-ENOMEM`. CONTEXT: any.
///
/// # Safety
///
/// `net` is a namespace, `ct` a template that is the caller's alone, `timeout_name` a C string.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_set_timeout(
    net: *mut bindings::net,
    ct: *mut bindings::nf_conn,
    l3num: u8,
    l4num: u8,
    timeout_name: *const c_char,
) -> c_int {
    // SAFETY: By this function's contract.
    let (net, conn, name) = unsafe {
        (
            Net::from_raw(net),
            Conn::from_raw(ct),
            CStr::from_char_ptr(timeout_name),
        )
    };
    match timeout::set(net, conn, l3num, l4num, name) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Puts a template's policy. CONTEXT: any.
///
/// # Safety
///
/// `ct` is a template that nobody uses any more.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_destroy_timeout(ct: *mut bindings::nf_conn) {
    // SAFETY: By this function's contract.
    timeout::destroy(unsafe { Conn::from_raw(ct) });
}
