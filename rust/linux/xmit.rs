// SPDX-License-Identifier: GPL-2.0

//! Segments that this machine makes in the name of an end of a connection, and where such come in.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use kernel::error::to_result;
use kernel::prelude::*;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::net::Net;
use crate::linux::skb::HookState;
use crate::linux::skb::Skb;
use crate::pure::ctinfo::CtInfo;
use crate::pure::num::Dir;

/// The number of the device by which a packet came in, and by which further ones of its sender
/// will; zero if there is none, or if the number does not fit.
pub(crate) fn ingress(skb: &Skb, state: HookState<'_>) -> u16 {
    // SAFETY: Valid by the types.
    let number = unsafe { bindings::rct_ingress(skb.as_ptr(), state.as_ptr()) };
    u16::try_from(number).unwrap_or(0)
}

/// Whether a packet that leaves was bridged, not routed.
pub(crate) fn is_bridged(skb: &Skb) -> bool {
    // SAFETY: Valid by the type.
    unsafe { bindings::rct_skb_is_bridged(skb.as_ptr()) }
}

/// Whether a namespace has a device of this number.
pub(crate) fn has_device(net: &Net, number: u16) -> bool {
    // SAFETY: Valid by the type.
    unsafe { bindings::rct_dev_exists(net.as_ptr(), u32::from(number)) }
}

/// Has a segment of a TCP connection in direction `dir` come in by device `ingress`: it goes all the
/// way from there on, known to be of this connection. `header` is its TCP header without a checksum.
///
/// CONTEXT: sleepable, no lock held: the packet comes back here.
pub(crate) fn receive(conn: &Conn, dir: Dir, ingress: u16, header: &[u8]) -> Result {
    let info = match dir {
        Dir::Original => CtInfo::Established,
        Dir::Reply => CtInfo::EstablishedReply,
    };
    // SAFETY: Valid by the types; the tuple and the header are read only.
    to_result(unsafe {
        bindings::rct_receive_tcp(
            u32::from(ingress),
            conn.as_ptr(),
            u32::from(info as u8),
            &raw const (*conn.node(dir)).tuple,
            header.as_ptr().cast(),
            header.len(),
        )
    })
}
