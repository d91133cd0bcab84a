// SPDX-License-Identifier: GPL-2.0

//! `linux/netfilter/nf_conntrack_proto_gre.h` and `nf_conntrack_pptp.h`: keys of PPTP's calls.
//!
//! All three are for the helper of PPTP: the entry is one of its control connections.

use crate::abi::as_in_header;
use crate::bindings::*;
use crate::engine::gre_keymap;
use crate::linux::conn::Conn;
use crate::pure::tuple::Tuple;

as_in_header! {
    gre_pptp_destroy_siblings, nf_ct_gre_keymap_add, nf_ct_gre_keymap_destroy,
}

/// Remembers the keys of a call, which are the ids of the tuples' sources. See [`gre_keymap::add`].
///
/// # Safety
///
/// As the header says; the helper of `ct` is PPTP's.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_gre_keymap_add(
    ct: *mut nf_conn,
    orig: *const nf_conntrack_tuple,
    repl: *const nf_conntrack_tuple,
) -> bool {
    // SAFETY: By this function's contract; a tuple has the same layout and no padding.
    unsafe {
        let (orig, repl) = (orig.cast::<Tuple>().read(), repl.cast::<Tuple>().read());
        gre_keymap::add(Conn::from_raw(ct), &orig, &repl)
    }
}

/// Forgets the keys of a control connection.
///
/// # Safety
///
/// As the header says; the helper of `ct` is PPTP's.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_gre_keymap_destroy(ct: *mut nf_conn) {
    // SAFETY: By this function's contract.
    gre_keymap::forget(unsafe { Conn::from_raw(ct) });
}

/// Ends the calls of a control connection that ends. CONTEXT: no lock held.
///
/// The helper's `destroy` callback, which outlives the helper's module: that is why it is here.
///
/// # Safety
///
/// As the header says; the helper of `ct` is PPTP's.
#[no_mangle]
pub(crate) unsafe extern "C" fn gre_pptp_destroy_siblings(ct: *mut nf_conn) {
    // SAFETY: By this function's contract.
    gre_keymap::end_calls(unsafe { Conn::from_raw(ct) });
}
