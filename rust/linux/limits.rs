// SPDX-License-Identifier: GPL-2.0

//! The tunables of a namespace, where sysctls, ctnetlink and flow tables write them: plain words
//! in `struct netns_ct`, read while they may be written.

use core::marker::PhantomData;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;

use crate::bindings;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::rcu::Held;
use crate::pure::policy::adaptive::Span;
use crate::pure::policy::evict::WhenFull;

/// A row of timeouts in ticks: a tracker's in a namespace, or those of a policy.
#[derive(Clone, Copy)]
pub(crate) struct Limits<'a> {
    words: *const u32,
    count: usize,
    _lives: PhantomData<&'a Net>,
}

impl<'a> Limits<'a> {
    /// The row of `count` words at `words`.
    ///
    /// # Safety
    ///
    /// The words are there and live for `'a`; `count` is not zero.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(words: *const u32, count: usize) -> Self {
        Limits {
            words,
            count,
            _lives: PhantomData,
        }
    }

    /// One of them, in ticks. For an index that the row does not have, the first one.
    #[inline(always)]
    pub(crate) fn get(self, index: usize) -> u32 {
        let index = if index < self.count { index } else { 0 };
        // SAFETY: Within the row.
        unsafe { read_once(self.words.add(index)) }
    }

    /// All timeouts of the row.
    pub(crate) fn iter(self) -> impl Iterator<Item = u32> + use<'a> {
        (0..self.count).map(move |index| self.get(index))
    }
}

impl Limits<'_> {
    /// The same row, to write.
    pub(crate) fn row(self) -> Row {
        Row(self.words.cast_mut())
    }
}

/// A row of timeouts that is being written, a word at a time, under the eyes of readers.
#[derive(Clone, Copy)]
pub(crate) struct Row(*mut u32);

impl Row {
    /// The row at `words`, unless that is null.
    ///
    /// # Safety
    ///
    /// As many words are there as the user of the result touches.
    pub(crate) unsafe fn from_raw(words: *mut u32) -> Option<Self> {
        (!words.is_null()).then_some(Row(words))
    }

    /// One of them, in ticks.
    pub(crate) fn get(self, index: usize) -> u32 {
        // SAFETY: By the contract of `from_raw`.
        unsafe { read_once(self.0.add(index)) }
    }

    /// Sets one.
    pub(crate) fn set(self, index: usize, ticks: u32) {
        // SAFETY: By the contract of `from_raw`.
        unsafe { write_once(self.0.add(index), ticks) };
    }
}

/// How many words a row is.
const fn words_of<T>(_row: *const T) -> usize {
    size_of::<T>() / size_of::<u32>()
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
                        let row = &raw const (*self.ct()).nf_ct_proto.$($field).+;
                        Limits::from_raw(row.cast(), words_of(row))
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

macro_rules! own {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        impl Net {
            $(
                $(#[$doc])*
                #[inline]
                pub(crate) fn $name(&self) -> $type {
                    // SAFETY: A word of the namespace that the sysctl writes whole.
                    unsafe { read_once(&raw const (*self.private().own()).$name) }
                }
            )*
        }
    };
}

own! {
    /// Percent of the limit from which on timeouts are scaled; zero is never.
    adaptive_start: u32;
    /// Percent of the limit at which they are zero.
    adaptive_end: u32;
    /// Bits of an IPv4 address that make a source.
    fair_prefix: u32;
    /// Bits of an IPv6 address that make a source.
    fair_prefix6: u32;
    /// Percent of the limit that the machine's own connections have beyond it.
    reserved: u32;
    /// Whether sources share when only proven entries are left.
    fair: u8;
    /// The lowest percentage from which on a policy scales timeouts; zero if none does.
    policies_start: u32;
    /// What becomes of packets whose connection finds no place.
    full_policy: u8;
    /// The first of the labels that tell how full the table was; negative is none.
    occupancy_label: i32;
    /// Seconds after which an idle TCP connection is probed; zero is never.
    probe_time: u32;
    /// Seconds between two probes.
    probe_interval: u32;
    /// Probes without an answer after which an end is gone.
    probe_probes: u32;
    /// Percent of the limit from which on probing begins.
    probe_above: u32;
    /// Probes a second.
    probe_rate: u32;
}

macro_rules! soft {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        impl Net {
            $(
                $(#[$doc])*
                #[inline]
                pub(crate) fn $name(&self) -> Limits<'_> {
                    // SAFETY: The words are part of what we keep in the namespace.
                    unsafe {
                        let row = &raw const (*self.private().own()).$name;
                        Limits::from_raw(row.cast(), words_of(row))
                    }
                }
            )*
        }
    };
}

soft! {
    /// Ticks after which an idle TCP connection may go when the table is full; zero is never.
    tcp_soft;
    /// The same for UDP flows.
    udp_soft;
    /// The same for SCTP associations.
    sctp_soft;
    /// The same for GRE flows.
    gre_soft;
}

impl Net {
    /// Between which fillings timeouts are scaled.
    pub(crate) fn adaptive(&self) -> Span {
        Span {
            start: self.adaptive_start(),
            end: self.adaptive_end(),
        }
    }

    /// A policy was made that scales timeouts from `start` percent on.
    pub(crate) fn note_policies_start(&self, start: u32) {
        // SAFETY: A word of the namespace, changed here only, and read whole elsewhere.
        let lowest: &Atomic<u32> =
            unsafe { Atomic::from_ptr(&raw mut (*self.private().own()).policies_start) };
        let mut before = lowest.load(Relaxed);
        while start != 0 && (before == 0 || start < before) {
            match lowest.cmpxchg(before, start, Relaxed) {
                Ok(_) => return,
                Err(now) => before = now,
            }
        }
    }

    /// What becomes of packets whose connection finds no place.
    pub(crate) fn when_full(&self, _rcu: Held<'_>) -> WhenFull {
        let setting = self.full_policy();
        // SAFETY: The hooks are read in a read-side section.
        let translates = || unsafe { bindings::rct_net_translates(self.as_ptr()) };
        WhenFull::of(setting, setting != 0 && translates())
    }
}

/// Whether checksums of incoming packets are verified (`nf_conntrack_checksum`).
#[inline]
pub(crate) fn checksum_wanted(net: &Net) -> bool {
    // SAFETY: A byte that the sysctl writes whole.
    unsafe { read_once(&raw const (*net.ct()).sysctl_checksum) != 0 }
}
