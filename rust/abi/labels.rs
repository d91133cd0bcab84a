// SPDX-License-Identifier: GPL-2.0

//! [`include/net/netfilter/nf_conntrack_labels.h`](srctree/include/net/netfilter/nf_conntrack_labels.h)

use kernel::error::Result;
use kernel::ffi::c_int;
use kernel::ffi::c_uint;

use crate::abi::as_in_header;
use crate::bindings;
use crate::engine::labels;
use crate::linux::conn::Conn;
use crate::linux::labels::WORDS;
use crate::linux::net::Net;

as_in_header!(nf_connlabels_replace, nf_connlabels_get, nf_connlabels_put);

fn errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Replaces the labels that `mask` has set, all if it is null, by those of `data`; clears what is
/// beyond `words` words. `-ENOSPC` if the entry has no room for labels. CONTEXT: any.
///
/// # Safety
///
/// The caller has a reference to `ct`; `data`, and `mask` unless null, are that many words.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_connlabels_replace(
    ct: *mut bindings::nf_conn,
    data: *const u32,
    mask: *const u32,
    words: c_uint,
) -> c_int {
    let words = usize::try_from(words).map_or(WORDS, |words| words.min(WORDS));
    if words == 0 {
        // No pointer is looked at.
        // SAFETY: By this function's contract.
        return errno(labels::replace(unsafe { Conn::from_raw(ct) }, &[], None));
    }
    // SAFETY: By this function's contract; `words` is at least one.
    unsafe {
        let data = core::slice::from_raw_parts(data, words);
        let mask = (!mask.is_null()).then(|| core::slice::from_raw_parts(mask, words));
        errno(labels::replace(Conn::from_raw(ct), data, mask))
    }
}

/// A rule looks at labels up to number `bit` from now on. `-ERANGE` for a number too high.
///
/// # Safety
///
/// `net` is a namespace.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_connlabels_get(net: *mut bindings::net, bit: c_uint) -> c_int {
    // SAFETY: By this function's contract.
    errno(labels::get(unsafe { Net::from_raw(net) }, bit))
}

/// A rule that looked at labels is gone.
///
/// # Safety
///
/// `net` is a namespace.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_connlabels_put(net: *mut bindings::net) {
    // SAFETY: By this function's contract.
    labels::put(unsafe { Net::from_raw(net) });
}
