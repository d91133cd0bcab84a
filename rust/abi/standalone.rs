// SPDX-License-Identifier: GPL-2.0

//! Counting and printing, and the module parameter that runs code when it is set.
//!
//! C headers: [`include/net/netfilter/nf_conntrack.h`](srctree/include/net/netfilter/nf_conntrack.h),
//! [`include/net/netfilter/nf_conntrack_core.h`](srctree/include/net/netfilter/nf_conntrack_core.h)

use core::ptr::NonNull;
use kernel::error::from_result;
use kernel::ffi::c_char;
use kernel::ffi::c_int;
use kernel::sync::atomic::Relaxed;

use crate::abi::as_in_header;
use crate::bindings;
use crate::ctl::params;
use crate::ctl::procfs;
use crate::linux::net::Net;
use crate::linux::procfs::Writer;
use crate::pure::tuple::Tuple;

as_in_header!(nf_conntrack_count, nf_conntrack_set_hashsize, print_tuple);

/// How many connections a namespace has, confirmed or not.
///
/// Context: any.
///
/// # Safety
///
/// The contract of the C function: `net` is a namespace with a life.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_count(net: *const bindings::net) -> u32 {
    // SAFETY: By this function's contract.
    let net = unsafe { Net::from_raw(net) };
    u32::from_ne_bytes(net.private().entries().load(Relaxed).to_ne_bytes())
}

/// Prints a tuple of a protocol, with a space behind each part.
///
/// Context: an operation of the file.
///
/// # Safety
///
/// The contract of the C function: all three pointers are valid, the file this task's.
#[no_mangle]
pub(crate) unsafe extern "C" fn print_tuple(
    file: *mut bindings::seq_file,
    tuple: *const bindings::nf_conntrack_tuple,
    l4proto: *const bindings::nf_conntrack_l4proto,
) {
    let Some(file) = NonNull::new(file) else {
        return;
    };
    // SAFETY: By this function's contract; a tuple has one layout.
    unsafe {
        let mut out = Writer::from_raw(file);
        let tuple = tuple.cast::<Tuple>().read_unaligned();
        // The writer keeps note of what does not fit.
        let _ = procfs::print_tuple(&mut out, &tuple, (*l4proto).l4proto);
    }
}

/// Sets the module parameter `hashsize`: the number of buckets.
///
/// Not exported: `helpers/params.c` names it. Context: sleepable. Errors: see
/// [`params::set_hashsize`].
///
/// # Safety
///
/// The contract of the C function: the kernel's parameter code calls.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_set_hashsize(
    text: *const c_char,
    param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: By this function's contract.
    from_result(|| unsafe { params::set_hashsize(text, param) }.map(|()| 0))
}
