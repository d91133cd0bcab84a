// SPDX-License-Identifier: GPL-2.0

//! What `net/netfilter/nf_conntrack_helper.h` and `nf_conntrack.h` declare for Open vSwitch and
//! `act_ct`.

use kernel::ffi::c_char;
use kernel::ffi::c_int;
use kernel::prelude::*;

use crate::abi::as_in_header;
use crate::bindings::*;
use crate::engine::ovs;
use crate::linux::conn::Conn;
use crate::linux::net::Net;
use crate::linux::rcu::Held;
use crate::linux::skb::Skb;
use crate::linux::verdict::Verdict;
use crate::pure::ctinfo::CtInfo;

as_in_header! {
    nf_ct_add_helper, nf_ct_handle_fragments, nf_ct_helper, nf_ct_skb_network_trim,
}

/// Lets the connection's helper look into a packet that starts at its network header.
///
/// The verdict. CONTEXT: in an RCU read-side section, no lock held.
///
/// # Safety
///
/// As the header says; the network header is in the packet's linear part.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_helper(
    skb: *mut sk_buff,
    ct: *mut nf_conn,
    ctinfo: ip_conntrack_info,
    proto: u16,
) -> c_int {
    let info = u8::try_from(ctinfo).ok().and_then(CtInfo::from_raw);
    // SAFETY: By this function's contract; the caller is in a read-side section.
    let verdict = unsafe {
        match info {
            Some(info) => ovs::help(
                Skb::from_raw(skb),
                Conn::from_raw(ct),
                info,
                proto,
                Held::assume(),
            ),
            None => Verdict::ACCEPT,
        }
    };
    c_int::from_ne_bytes(verdict.0.to_ne_bytes())
}

/// Gives a template a helper, by name. `hp` becomes what the template's owner puts later.
///
/// Errors: see [`ovs::add_helper`]. CONTEXT: sleepable.
///
/// # Safety
///
/// As the header says; `ct` is a template of the caller.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_add_helper(
    ct: *mut nf_conn,
    name: *const c_char,
    family: u8,
    proto: u8,
    nat: bool,
    hp: *mut *mut nf_conntrack_helper,
) -> c_int {
    // SAFETY: By this function's contract.
    unsafe {
        match ovs::add_helper(
            Conn::from_raw(ct),
            CStr::from_char_ptr(name),
            family,
            proto,
            nat,
        ) {
            Ok(helper) => {
                hp.write(helper);
                0
            }
            Err(error) => error.to_errno(),
        }
    }
}

/// Cuts what a link layer added behind the network layer's packet.
///
/// # Safety
///
/// As the header says; the packet is the caller's, and starts at its network header.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_skb_network_trim(skb: *mut sk_buff, family: c_int) -> c_int {
    // SAFETY: By this function's contract.
    let skb = unsafe { Skb::from_raw(skb) };
    match ovs::trim(skb, u16::try_from(family).unwrap_or(0)) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Puts fragments together.
///
/// Errors: `EINPROGRESS` if the packet was kept for later; with any other one it was freed.
///
/// # Safety
///
/// As the header says; the packet is the caller's.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_handle_fragments(
    net: *mut net,
    skb: *mut sk_buff,
    zone: u16,
    family: u8,
    proto: *mut u8,
    mru: *mut u16,
) -> c_int {
    // SAFETY: By this function's contract.
    unsafe {
        match ovs::reassemble(Net::from_raw(net), skb, zone, family) {
            Ok(whole) => {
                if let Some(found) = whole.proto {
                    proto.write(found);
                }
                mru.write(whole.mru);
                0
            }
            Err(error) => error.to_errno(),
        }
    }
}
