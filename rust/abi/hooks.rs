// SPDX-License-Identifier: GPL-2.0

//! Who wants connections to be tracked, and where.
//!
//! C headers: [`include/net/netfilter/nf_conntrack.h`](srctree/include/net/netfilter/nf_conntrack.h),
//! [`include/net/netfilter/nf_conntrack_bridge.h`](srctree/include/net/netfilter/nf_conntrack_bridge.h)

use kernel::error::from_result;
use kernel::ffi::c_int;

use crate::abi::as_in_header;
use crate::bindings;
use crate::ctl::hooks;
use crate::linux::net::Net;

as_in_header!(
    nf_ct_netns_get,
    nf_ct_netns_put,
    nf_ct_bridge_register,
    nf_ct_bridge_unregister,
);

/// Connections of a family are tracked in a namespace until [`nf_ct_netns_put`].
///
/// Context: sleepable. Errors: `EPROTO` for a family that is not tracked or whose module is not
/// there, and those of the registrations.
///
/// # Safety
///
/// The contract of the C function: `net` is a namespace with a life.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_netns_get(net: *mut bindings::net, nfproto: u8) -> c_int {
    // SAFETY: By this function's contract.
    from_result(|| hooks::get(unsafe { Net::from_raw(net) }, nfproto).map(|()| 0))
}

/// Takes an [`nf_ct_netns_get`] that succeeded back.
///
/// Context: sleepable.
///
/// # Safety
///
/// The contract of the C function, as above.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_netns_put(net: *mut bindings::net, nfproto: u8) {
    // SAFETY: By this function's contract.
    hooks::put(unsafe { Net::from_raw(net) }, nfproto);
}

/// Says which hooks bridges have.
///
/// Context: sleepable.
///
/// # Safety
///
/// The contract of the C function: `info` stays until [`nf_ct_bridge_unregister`].
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_bridge_register(info: *mut bindings::nf_ct_bridge_info) {
    // SAFETY: By this function's contract.
    unsafe { hooks::register_bridge(info) };
}

/// Bridges have no hooks any more.
///
/// Context: sleepable.
///
/// # Safety
///
/// The contract of the C function: nobody uses the hooks any more.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_bridge_unregister(_info: *mut bindings::nf_ct_bridge_info) {
    hooks::unregister_bridge();
}
