// SPDX-License-Identifier: GPL-2.0

//! Connection tracking outside the hooks: what Open vSwitch and `act_ct` do themselves.
//!
//! Their packets start at the network header.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_ovs.c`.

use core::mem::size_of;
use kernel::prelude::*;

use crate::bindings;
use crate::engine::helper;
use crate::engine::seqadj;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::helper::HelperRef;
use crate::linux::lock::BhGuard;
use crate::linux::net::Net;
use crate::linux::rcu::Held;
use crate::linux::skb::Skb;
use crate::linux::verdict::Verdict;
use crate::linux::warn;
use crate::pure::ctinfo::CtInfo;
use crate::pure::policy::helper::ANY_FAMILY;
use crate::pure::status::Status;
use crate::pure::tuple::Family;

/// The offset and the protocol of a packet's layer-4 header; `None` for later fragments of IPv6,
/// and where it cannot be found.
fn transport(skb: &Skb, family: Family) -> Option<(u32, u8)> {
    // SAFETY: Callers have pulled the network header.
    unsafe {
        match family {
            Family::V4 => Some((
                bindings::rct_ip_hdrlen(skb.as_ptr()),
                bindings::rct_ip_protocol(skb.as_ptr()),
            )),
            Family::V6 => {
                let mut proto = bindings::rct_ipv6_nexthdr(skb.as_ptr());
                let mut fragment = 0;
                let offset = bindings::ipv6_skip_exthdr(
                    skb.as_ptr(),
                    size_of::<bindings::ipv6hdr>() as i32,
                    &mut proto,
                    &mut fragment,
                );
                if u16::from_be(fragment) & !7 != 0 {
                    return None;
                }
                Some((u32::try_from(offset).ok()?, proto))
            }
        }
    }
}

/// Lets the connection's helper look into a packet of a family, and adjusts what it changed.
///
/// CONTEXT: no lock held; the network header is in the packet's linear part.
pub(crate) fn help(skb: &Skb, conn: &Conn, info: CtInfo, family: u16, rcu: Held<'_>) -> Verdict {
    // Helpers do not expect ICMP errors.
    if info == CtInfo::RelatedReply {
        return Verdict::ACCEPT;
    }
    let Some(helper) = conn.help().and_then(|help| help.helper(rcu)) else {
        return Verdict::ACCEPT;
    };
    if helper.family() != ANY_FAMILY && u16::from(helper.family()) != family {
        return Verdict::ACCEPT;
    }
    let Some(family) = Family::from_number(family) else {
        warn::warn_once!();
        return Verdict::DROP;
    };
    let Some((protoff, proto)) = transport(skb, family) else {
        return Verdict::ACCEPT;
    };
    if helper.proto() != proto {
        return Verdict::ACCEPT;
    }
    match helper.look_into(skb, protoff, conn, info, rcu) {
        None => return Verdict::ACCEPT,
        Some(Verdict::ACCEPT) => (),
        Some(other) => return other,
    }
    // Helpers that translate may change the length of what they read.
    if conn.has(Status::SEQ_ADJUST) && !seqadj::adjust(skb, conn, info, protoff) {
        return Verdict::DROP;
    }
    Verdict::ACCEPT
}

/// Gives a template a helper, and holds the module that translates for it if `nat`.
///
/// The result is the template's, and its owner's to put: freeing a template puts no helper. Errors:
/// `EINVAL` if there is no such helper; `ENOMEM`; `ENOENT` without the other module. CONTEXT:
/// sleepable.
pub(crate) fn add_helper(
    template: &Conn,
    name: &CStr,
    family: u8,
    proto: u8,
    nat: bool,
) -> Result<*mut bindings::nf_conntrack_helper> {
    let helper = helper::get(name, u16::from(family), proto).ok_or(EINVAL)?;
    let help = helper::ext_add(template, Gfp::KERNEL).ok_or(ENOMEM)?;
    if nat {
        helper::hold_translator(name, u16::from(family), proto)?;
    }
    let helper = helper.into_raw();
    if let Some(helper) = core::ptr::NonNull::new(helper) {
        // SAFETY: The reference of `helper`, which is the template's from now on.
        help.set_helper(unsafe { HelperRef::from_raw(helper) });
    }
    Ok(helper)
}

/// Cuts what a link layer added behind the network layer's packet.
///
/// Errors: those of the kernel's functions. CONTEXT: the network header is in the linear part.
pub(crate) fn trim(skb: &Skb, family: u16) -> Result {
    // SAFETY: Callers have pulled the network header.
    unsafe {
        let packet = skb.as_ptr();
        let len = match Family::from_number(family) {
            Some(Family::V4) => bindings::rct_skb_ip_totlen(packet),
            Some(Family::V6) => {
                let mut len = bindings::rct_skb_ipv6_payload_len(packet);
                if bindings::rct_ipv6_nexthdr(packet) == bindings::RCT_NEXTHDR_HOP {
                    kernel::error::to_result(bindings::nf_ip6_check_hbh_len(packet, &mut len))?;
                }
                len.wrapping_add(size_of::<bindings::ipv6hdr>() as u32)
            }
            None => skb.len(),
        };
        kernel::error::to_result(bindings::rct_pskb_trim_rcsum(packet, len))
    }
}

/// What became of a fragment.
pub(crate) struct Reassembled {
    /// The layer-4 protocol, if it was found anew.
    pub(crate) proto: Option<u8>,
    /// The size of the largest fragment.
    pub(crate) mru: u16,
}

/// Puts fragments together. The packet is the whole one afterwards.
///
/// Errors: `EINPROGRESS` if the packet was kept; with any other one it was freed.
///
/// # Safety
///
/// `skb` is a packet that the caller owns, and gives up in case of an error.
pub(crate) unsafe fn reassemble(
    net: &Net,
    skb: *mut bindings::sk_buff,
    zone: u16,
    family: u8,
) -> Result<Reassembled> {
    // SAFETY: By this function's contract. What a failing function did not keep or free is freed.
    unsafe {
        let done = match Family::from_number(u16::from(family)) {
            Some(Family::V4) => {
                let user = bindings::RCT_DEFRAG_USER_V4 + u32::from(zone);
                bindings::rct_ipcb_clear(skb);
                {
                    let _bh = BhGuard::new();
                    let result = bindings::ip_defrag(net.as_ptr(), skb, user);
                    kernel::error::to_result(result)
                }?;
                Reassembled {
                    proto: None,
                    mru: bindings::rct_ipcb_frag_max_size(skb),
                }
            }
            Some(Family::V6) => {
                let user = bindings::RCT_DEFRAG_USER_V6 + u32::from(zone);
                bindings::rct_ip6cb_clear(skb);
                let result = bindings::nf_ct_frag6_gather(net.as_ptr(), skb, user);
                kernel::error::to_result(result).inspect_err(|error| {
                    if *error != EINPROGRESS {
                        bindings::rct_kfree_skb(skb);
                    }
                })?;
                Reassembled {
                    proto: Some(bindings::rct_ipv6_nexthdr(skb)),
                    mru: bindings::rct_ip6cb_frag_max_size(skb),
                }
            }
            None => {
                bindings::rct_kfree_skb(skb);
                return Err(EPFNOSUPPORT);
            }
        };
        bindings::rct_skb_reassembled(skb);
        Ok(done)
    }
}
