// SPDX-License-Identifier: GPL-2.0

//! [`include/net/netfilter/nf_conntrack_seqadj.h`](srctree/include/net/netfilter/nf_conntrack_seqadj.h)

use kernel::ffi::c_int;
use kernel::ffi::c_uint;

use crate::abi::as_in_header;
use crate::bindings;
use crate::engine::seqadj;
use crate::linux::conn::Conn;
use crate::linux::skb::Skb;
use crate::pure::num::Dir;
use crate::pure::num::Seq;

as_in_header!(
    nf_ct_seq_adjust,
    nf_ct_seq_offset,
    nf_ct_seqadj_init,
    nf_ct_seqadj_set,
    nf_ct_tcp_seqadj_set,
);

/// The direction of packets with this state (`CTINFO2DIR`).
fn dir_of(info: bindings::ip_conntrack_info) -> Dir {
    if info >= bindings::ip_conntrack_info_IP_CT_IS_REPLY {
        Dir::Reply
    } else {
        Dir::Original
    }
}

/// Numbers of the packets' direction move by `off` from the beginning. Always zero.
///
/// # Safety
///
/// The caller has a reference to `ct`, and does not hold its lock.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_seqadj_init(
    ct: *mut bindings::nf_conn,
    ctinfo: bindings::ip_conntrack_info,
    off: i32,
) -> c_int {
    // SAFETY: By this function's contract.
    seqadj::init(unsafe { Conn::from_raw(ct) }, dir_of(ctinfo), off);
    0
}

/// Numbers of the packets' direction move by another `off` behind `seq`, network order. Always
/// zero.
///
/// # Safety
///
/// As for [`nf_ct_seqadj_init`].
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_seqadj_set(
    ct: *mut bindings::nf_conn,
    ctinfo: bindings::ip_conntrack_info,
    seq: bindings::__be32,
    off: i32,
) -> c_int {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    seqadj::set(conn, dir_of(ctinfo), Seq(u32::from_be(seq)), off);
    0
}

/// As [`nf_ct_seqadj_set`] behind the packet's own number, if it is TCP.
///
/// # Safety
///
/// As for [`nf_ct_seqadj_init`]; if the connection is TCP, the packet is TCP over IPv4 with both
/// headers in its linear part.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_tcp_seqadj_set(
    skb: *mut bindings::sk_buff,
    ct: *mut bindings::nf_conn,
    ctinfo: bindings::ip_conntrack_info,
    off: i32,
) {
    // SAFETY: By this function's contract.
    unsafe {
        seqadj::set_by_packet(Skb::from_raw(skb), Conn::from_raw(ct), dir_of(ctinfo), off);
    }
}

/// Changes the numbers in a TCP packet. Zero: it is to be dropped.
///
/// # Safety
///
/// As for [`nf_ct_seqadj_init`]; the packet is the caller's, its TCP header at `protoff`.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_seq_adjust(
    skb: *mut bindings::sk_buff,
    ct: *mut bindings::nf_conn,
    ctinfo: bindings::ip_conntrack_info,
    protoff: c_uint,
) -> c_int {
    // SAFETY: By this function's contract.
    let (skb, conn) = unsafe { (Skb::from_raw(skb), Conn::from_raw(ct)) };
    c_int::from(seqadj::adjust_in(skb, conn, dir_of(ctinfo), protoff))
}

/// What is added to number `seq` of a direction.
///
/// # Safety
///
/// The caller has a reference to `ct`.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_seq_offset(
    ct: *const bindings::nf_conn,
    dir: bindings::ip_conntrack_dir,
    seq: u32,
) -> i32 {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    let dir = if dir == 0 { Dir::Original } else { Dir::Reply };
    seqadj::offset(conn, dir, seq)
}
