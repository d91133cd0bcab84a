// SPDX-License-Identifier: GPL-2.0

//! The tunables of a namespace, where sysctls, ctnetlink and flow tables write them: plain words
//! in `struct netns_ct`, read while they may be written.

use core::marker::PhantomData;

use crate::bindings;
use crate::linux::net::Net;
use crate::linux::once::read_once;

/// A row of timeouts in ticks: a tracker's in a namespace, or those of a policy.
#[derive(Clone, Copy)]
pub(crate) struct Limits<'a> {
    words: *const u32,
    _lives: PhantomData<&'a Net>,
}

impl<'a> Limits<'a> {
    /// The row at `words`.
    ///
    /// # Safety
    ///
    /// As many words as the user's tracker has timeouts are there and live for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(words: *const u32) -> Self {
        Limits { words, _lives: PhantomData }
    }

    /// One of them, in ticks.
    ///
    /// INVARIANT: `index` is one of the tracker's that this row belongs to; indexes are constants
    /// or states that `pure` has checked.
    #[inline(always)]
    pub(crate) fn get(self, index: usize) -> u32 {
        // SAFETY: By the invariant.
        unsafe { read_once(self.words.add(index)) }
    }
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $($field:ident).+;)*) => {
        impl Net {
            $(
                $(#[$doc])*
                #[inline(always)]
                pub(crate) fn $name(&self) -> Limits<'_> {
                    // SAFETY: The words are part of the namespace.
                    unsafe {
                        Limits::from_raw((&raw const (*self.ct()).nf_ct_proto.$($field).+).cast())
                    }
                }
            )*
        }
    };
}

limits! {
    /// By `enum tcp_conntrack`.
    tcp_limits = tcp.timeouts;
    /// Unreplied, replied.
    udp_limits = udp.timeouts;
    /// One.
    icmp_limits = icmp.timeout;
    /// One.
    icmpv6_limits = icmpv6.timeout;
    /// By `enum sctp_conntrack`.
    sctp_limits = sctp.timeouts;
    /// Unreplied, replied.
    gre_limits = gre.timeouts;
    /// One.
    generic_limits = generic.timeout;
}

impl Net {
    #[inline(always)]
    fn tcp(&self) -> *const bindings::nf_tcp_net {
        // SAFETY: Part of the namespace; only an address.
        unsafe { &raw const (*self.ct()).nf_ct_proto.tcp }
    }

    /// Connections may be picked up in the middle (`nf_conntrack_tcp_loose`).
    #[inline]
    pub(crate) fn tcp_loose(&self) -> bool {
        // SAFETY: A byte that the sysctl writes whole.
        unsafe { read_once(&raw const (*self.tcp()).tcp_loose) != 0 }
    }

    /// Segments outside the window are valid (`nf_conntrack_tcp_be_liberal`).
    #[inline]
    pub(crate) fn tcp_be_liberal(&self) -> bool {
        // SAFETY: As above.
        unsafe { read_once(&raw const (*self.tcp()).tcp_be_liberal) != 0 }
    }

    /// Resets outside the window are valid (`nf_conntrack_tcp_ignore_invalid_rst`).
    #[inline]
    pub(crate) fn tcp_ignore_invalid_rst(&self) -> bool {
        // SAFETY: As above.
        unsafe { read_once(&raw const (*self.tcp()).tcp_ignore_invalid_rst) != 0 }
    }

    /// Retransmissions after which a connection hangs (`nf_conntrack_tcp_max_retrans`).
    #[inline]
    pub(crate) fn tcp_max_retrans(&self) -> u8 {
        // SAFETY: As above.
        unsafe { read_once(&raw const (*self.tcp()).tcp_max_retrans) }
    }
}

/// Whether checksums of incoming packets are verified (`nf_conntrack_checksum`).
#[inline]
pub(crate) fn checksum_wanted(net: &Net) -> bool {
    // SAFETY: A byte that the sysctl writes whole.
    unsafe { read_once(&raw const (*net.ct()).sysctl_checksum) != 0 }
}
