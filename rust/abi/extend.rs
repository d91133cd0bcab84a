// SPDX-License-Identifier: GPL-2.0

//! [`include/net/netfilter/nf_conntrack_extend.h`](srctree/include/net/netfilter/nf_conntrack_extend.h),
//! and what [`nf_conntrack_acct.h`](srctree/include/net/netfilter/nf_conntrack_acct.h) has.

use core::ptr::NonNull;
use kernel::ffi::c_uint;
use kernel::ffi::c_void;

use crate::abi::as_in_header;
use crate::bindings;
use crate::engine::acct;
use crate::engine::ext;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::pure::num::Dir;

as_in_header!(nf_ct_ext_add, nf_ct_acct_add);

/// Gives an entry an extension's area, zeroed. Null if it has it, or without memory.
///
/// CONTEXT: any, as `gfp` says. Pointers to other areas of the entry are stale afterwards.
///
/// # Safety
///
/// `ct` is an entry or template that is the caller's alone.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_ext_add(
    ct: *mut bindings::nf_conn,
    id: bindings::nf_ct_ext_id,
    gfp: bindings::gfp_t,
) -> *mut c_void {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    ext::add(conn, id, Gfp(gfp))
        .map_or(core::ptr::null_mut(), NonNull::as_ptr)
        .cast()
}

/// Adds to what an entry counted, if it counts. CONTEXT: any.
///
/// # Safety
///
/// The caller has a reference to `ct`.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_acct_add(
    ct: *mut bindings::nf_conn,
    dir: u32,
    packets: c_uint,
    bytes: c_uint,
) {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    let dir = if dir == 0 { Dir::Original } else { Dir::Reply };
    acct::update(conn, dir, packets, bytes);
}
