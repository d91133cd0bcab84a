// SPDX-License-Identifier: GPL-2.0

//! Packets, as a hook sees them.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::net::Net;
use crate::linux::rcu::Held;
use crate::pure::ctinfo::CtInfo;
use crate::pure::tuple::Family;
use crate::pure::wire::sctp;
use crate::pure::wire::Packet;

/// A packet that this CPU is working on.
#[repr(transparent)]
pub(crate) struct Skb(Opaque<bindings::sk_buff>);

impl Skb {
    const INFO_MASK: usize = bindings::NFCT_INFOMASK as usize;

    /// The packet at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` points to a packet that lives for `'a` and that nobody else changes meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(ptr: *const bindings::sk_buff) -> &'a Self {
        // SAFETY: By this function's contract; `Skb` is transparent.
        unsafe { &*ptr.cast() }
    }

    /// As C knows it.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut bindings::sk_buff {
        self.0.get()
    }

    /// Its length in bytes, from the layer that is being worked on.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: Valid by the type.
        unsafe { (*self.as_ptr()).len }
    }

    /// Where the layer-3 header is. Negative only for broken packets.
    #[inline(always)]
    pub(crate) fn network_offset(&self) -> u32 {
        // SAFETY: Valid by the type.
        let offset = unsafe { bindings::rct_skb_network_offset(self.as_ptr()) };
        u32::try_from(offset).unwrap_or(0)
    }

    /// Its mark.
    #[inline]
    pub(crate) fn mark(&self) -> u32 {
        // SAFETY: Valid by the type.
        unsafe { bindings::rct_skb_mark(self.as_ptr()) }
    }

    /// Copies `buffer.len()` bytes from `offset`: all or nothing.
    #[inline(always)]
    fn copy_to(&self, offset: u32, buffer: &mut [MaybeUninit<u8>]) -> bool {
        let (Ok(start), Ok(from), Ok(size)) = (
            usize::try_from(offset),
            i32::try_from(offset),
            u32::try_from(buffer.len()),
        ) else {
            return false;
        };
        // SAFETY: Valid by the type; the linear part has `len - data_len` bytes from `data` on, and
        // `skb_copy_bits()` checks its bounds.
        unsafe {
            let skb = self.as_ptr();
            let linear = (*skb).len.wrapping_sub((*skb).data_len);
            match offset.checked_add(size) {
                Some(end) if end <= linear => {
                    core::ptr::copy_nonoverlapping(
                        (*skb).data.add(start),
                        buffer.as_mut_ptr().cast::<u8>(),
                        buffer.len(),
                    );
                    true
                }
                Some(_) => {
                    let size = i32::try_from(size).unwrap_or(i32::MAX);
                    let to = buffer.as_mut_ptr().cast::<c_void>();
                    bindings::skb_copy_bits(skb, from, to, size) == 0
                }
                None => false,
            }
        }
    }

    /// Up to `N` bytes from `offset`, as many as there are: in place where they are linear, else
    /// copied to `buffer`.
    #[inline]
    pub(crate) fn header<'a, const N: usize>(
        &'a self,
        offset: u32,
        buffer: &'a mut [u8; N],
    ) -> &'a [u8] {
        let (Ok(start), Ok(there)) = (
            usize::try_from(offset),
            usize::try_from(self.len().saturating_sub(offset)),
        ) else {
            return &[];
        };
        let want = there.min(N);
        // SAFETY: Valid by the type; the linear part has `len - data_len` bytes from `data` on.
        unsafe {
            let skb = self.as_ptr();
            let linear = (*skb).len.wrapping_sub((*skb).data_len) as usize;
            if start + want <= linear {
                return core::slice::from_raw_parts((*skb).data.add(start), want);
            }
        }
        let Some(part) = buffer.get_mut(..want) else {
            return &[];
        };
        // SAFETY: Same layout; only initialised bytes are written.
        let raw = unsafe {
            core::slice::from_raw_parts_mut(part.as_mut_ptr().cast::<MaybeUninit<u8>>(), want)
        };
        if self.copy_to(offset, raw) {
            part
        } else {
            &[]
        }
    }

    /// The word that says whose packet it is: an entry's address and a [`CtInfo`].
    #[inline(always)]
    fn nfct(&self) -> usize {
        // SAFETY: Valid by the type.
        unsafe { (*self.as_ptr())._nfct }
    }

    /// How the packet relates to its connection; `None` for a number that has no name.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn ctinfo(&self) -> Option<CtInfo> {
        CtInfo::from_raw((self.nfct() & Self::INFO_MASK) as u8)
    }

    /// The packet's entry, or template.
    #[inline(always)]
    pub(crate) fn conn(&self) -> Option<&Conn> {
        let ptr = (self.nfct() & !Self::INFO_MASK) as *const bindings::nf_conn;
        if ptr.is_null() {
            None
        } else {
            // SAFETY: The packet holds a reference to it.
            Some(unsafe { Conn::from_raw(ptr) })
        }
    }

    /// Whether the packet says nothing about connections at all.
    #[inline(always)]
    pub(crate) fn is_unseen(&self) -> bool {
        self.nfct() == 0
    }

    /// Gives the packet an entry, which it must not have yet.
    #[inline(always)]
    pub(crate) fn attach(&self, conn: ARef<Conn>, info: CtInfo) {
        let ptr = ARef::into_raw(conn);
        // SAFETY: Valid by the type; the packet owns the reference from now on.
        unsafe {
            bindings::rct_skb_set_nfct(
                self.as_ptr(),
                ptr.as_ptr() as usize | usize::from(info as u8),
            )
        };
    }

    /// As [`Skb::attach`] with another reference; without an entry only the number is stored.
    pub(crate) fn attach_shared(&self, conn: Option<&Conn>, info: CtInfo) {
        match conn {
            Some(conn) => self.attach(conn.to_ref(), info),
            // SAFETY: Valid by the type.
            None => unsafe { bindings::rct_skb_set_nfct(self.as_ptr(), usize::from(info as u8)) },
        }
    }

    /// Marks the packet as one that is not to be tracked.
    #[inline]
    pub(crate) fn set_untracked(&self) {
        // SAFETY: Valid by the type.
        unsafe { bindings::rct_skb_set_nfct(self.as_ptr(), usize::from(CtInfo::Untracked as u8)) };
    }

    /// Takes the packet's entry, or template, away from it.
    #[inline(always)]
    pub(crate) fn detach(&self) -> Option<ARef<Conn>> {
        let ptr = (self.nfct() & !Self::INFO_MASK) as *mut Conn;
        // SAFETY: Valid by the type; the reference that the packet held is handed out, once.
        unsafe {
            (*self.as_ptr())._nfct = 0;
            NonNull::new(ptr).map(|ptr| ARef::from_raw(ptr))
        }
    }

    /// Whether it came in through a loopback device.
    #[inline]
    pub(crate) fn is_loopback(&self) -> bool {
        // SAFETY: Valid by the type.
        unsafe { bindings::rct_skb_is_loopback(self.as_ptr()) }
    }

    /// The namespace of its device.
    ///
    /// # Safety
    ///
    /// The packet has a device.
    pub(crate) unsafe fn dev_net(&self) -> &Net {
        // SAFETY: By this function's contract; the device and its namespace outlive the packet.
        unsafe { Net::from_raw(bindings::rct_skb_dev_net(self.as_ptr())) }
    }
}

impl Packet for Skb {
    #[inline(always)]
    fn size(&self) -> u32 {
        self.len()
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut buffer = [const { MaybeUninit::uninit() }; N];
        if self.copy_to(offset, &mut buffer) {
            // SAFETY: `copy_to` filled it all.
            Some(unsafe { core::mem::transmute_copy(&buffer) })
        } else {
            None
        }
    }
}

/// Where in the stack a hook function is being called.
#[derive(Clone, Copy)]
pub(crate) struct HookState<'a>(&'a bindings::nf_hook_state);

impl<'a> HookState<'a> {
    /// The state at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` points to a hook state that lives for `'a` and whose namespace does, and an RCU
    /// read-side section is open for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *const bindings::nf_hook_state) -> Self {
        // SAFETY: By this function's contract.
        HookState(unsafe { &*ptr })
    }

    /// As C knows it.
    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *const bindings::nf_hook_state {
        self.0
    }

    /// The namespace.
    #[inline(always)]
    pub(crate) fn net(self) -> &'a Net {
        // SAFETY: Lives for `'a` by the contract of `from_raw`.
        unsafe { Net::from_raw(self.0.net) }
    }

    /// The protocol family (`NFPROTO_*`).
    #[inline(always)]
    pub(crate) fn family(self) -> u8 {
        self.0.pf
    }

    /// Which hook (`NF_INET_*`).
    #[inline(always)]
    pub(crate) fn hook(self) -> u32 {
        u32::from(self.0.hook)
    }

    /// Netfilter calls hook functions in a read-side section, and so do the other callers.
    #[inline(always)]
    pub(crate) fn rcu(self) -> Held<'a> {
        // SAFETY: By the contract of `from_raw`.
        unsafe { Held::assume() }
    }

    /// Whether the packet is about to enter the same hook again through its VRF's lower device.
    pub(crate) fn is_vrf_postrouting(self) -> bool {
        self.hook() == bindings::nf_inet_hooks_NF_INET_POST_ROUTING
            // SAFETY: The device of a packet that leaves, as the state of that hook has it.
            && unsafe { bindings::rct_is_l3_master(self.0.out) }
    }

    /// Whether the packet is the machine's own.
    #[inline(always)]
    pub(crate) fn is_local_out(self) -> bool {
        self.hook() == bindings::nf_inet_hooks_NF_INET_LOCAL_OUT
    }

    /// Whether the packet is for the machine itself.
    #[inline(always)]
    pub(crate) fn is_local_in(self) -> bool {
        self.hook() == bindings::nf_inet_hooks_NF_INET_LOCAL_IN
    }

    /// Whether the packet comes from outside, which is when its checksum is worth a look.
    #[inline(always)]
    pub(crate) fn is_prerouting(self) -> bool {
        self.hook() == bindings::nf_inet_hooks_NF_INET_PRE_ROUTING
    }
}

impl Skb {
    /// Whether its layer-4 checksum is wrong, as `nf_checksum()` sees it.
    pub(crate) fn checksum_is_bad(&self, state: HookState<'_>, dataoff: u32, proto: u8) -> bool {
        // SAFETY: Valid by the types.
        unsafe {
            bindings::nf_checksum(
                self.as_ptr(),
                state.hook(),
                dataoff,
                proto,
                u16::from(state.family()),
            ) != 0
        }
    }

    /// Verifies the checksum of an SCTP packet, unless hardware has done so.
    pub(crate) fn verify_sctp_checksum(&self, dataoff: u32) -> Result<(), sctp::Reject> {
        // SAFETY: Valid by the type.
        match unsafe { bindings::rct_sctp_checksum(self.as_ptr(), dataoff) } {
            0 => Ok(()),
            1 => Err(sctp::Reject::Unreadable),
            _ => Err(sctp::Reject::BadChecksum),
        }
    }

    /// Where the payload of the network header begins, for a packet of a connection over `family`.
    /// `None` for an IPv6 fragment other than the first, and for broken headers.
    pub(crate) fn transport_offset(&self, family: Family) -> Option<u32> {
        // SAFETY: Valid by the type; a tracked packet has its network header in the linear part.
        let offset = unsafe {
            match family {
                Family::V4 => bindings::rct_ipv4_transport_offset(self.as_ptr()),
                Family::V6 => bindings::rct_ipv6_transport_offset(self.as_ptr()),
            }
        };
        u32::try_from(offset).ok()
    }

    /// Whether it stands for several segments that hardware will cut.
    #[inline]
    pub(crate) fn is_gso(&self) -> bool {
        // SAFETY: Valid by the type.
        unsafe { bindings::rct_skb_is_gso(self.as_ptr()) }
    }
}
