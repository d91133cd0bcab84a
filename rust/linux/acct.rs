// SPDX-License-Identifier: GPL-2.0

//! Packets and bytes of an entry, and its times.
//!
//! C headers: [`include/net/netfilter/nf_conntrack_acct.h`](srctree/include/net/netfilter/nf_conntrack_acct.h),
//! [`include/net/netfilter/nf_conntrack_timestamp.h`](srctree/include/net/netfilter/nf_conntrack_timestamp.h)

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::pure::num::Dir;

/// What an entry counted.
#[derive(Clone, Copy)]
pub(crate) struct Acct<'a> {
    raw: NonNull<bindings::nf_conn_acct>,
    _conn: PhantomData<&'a Conn>,
}

/// When an entry came and went.
#[derive(Clone, Copy)]
pub(crate) struct Times<'a> {
    raw: NonNull<bindings::nf_conn_tstamp>,
    _conn: PhantomData<&'a Conn>,
}

impl Conn {
    /// What it counted, if it counts.
    #[inline(always)]
    pub(crate) fn acct(&self) -> Option<Acct<'_>> {
        let raw = self.ext::<bindings::nf_conn_acct>()?;
        Some(Acct {
            raw,
            _conn: PhantomData,
        })
    }

    /// When it came and went, if it keeps that.
    #[inline]
    pub(crate) fn times(&self) -> Option<Times<'_>> {
        let raw = self.ext::<bindings::nf_conn_tstamp>()?;
        Some(Times {
            raw,
            _conn: PhantomData,
        })
    }
}

impl Acct<'_> {
    #[inline(always)]
    fn counter(self, dir: Dir) -> *mut bindings::nf_conn_counter {
        // SAFETY: An array of two; only an address.
        unsafe {
            (&raw mut (*self.raw.as_ptr()).counter)
                .cast::<bindings::nf_conn_counter>()
                .add(dir.index())
        }
    }

    /// Adds to what a direction counted.
    #[inline]
    pub(crate) fn add(self, dir: Dir, packets: u32, bytes: u32) {
        // SAFETY: Valid while the entry is; C atomics.
        unsafe { bindings::rct_acct_add(self.counter(dir), packets, bytes) };
    }

    /// The packets and bytes of a direction.
    pub(crate) fn read(self, dir: Dir) -> (u64, u64) {
        let counter = self.counter(dir);
        // SAFETY: Valid while the entry is; words that are written whole.
        unsafe {
            (
                read_once((&raw const (*counter).packets).cast()),
                read_once((&raw const (*counter).bytes).cast()),
            )
        }
    }
}

impl Times<'_> {
    /// The time of birth, in nanoseconds since the epoch.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn start(self) -> u64 {
        // SAFETY: Valid while the entry is.
        unsafe { read_once(&raw const (*self.raw.as_ptr()).start) }
    }

    /// Sets the time of birth, in nanoseconds since the epoch.
    pub(crate) fn set_start(self, ns: u64) {
        // SAFETY: Valid while the entry is.
        unsafe { write_once(&raw mut (*self.raw.as_ptr()).start, ns) };
    }

    /// The time of death, likewise.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn stop(self) -> u64 {
        // SAFETY: Valid while the entry is.
        unsafe { read_once(&raw const (*self.raw.as_ptr()).stop) }
    }

    /// Sets the time of death, likewise.
    pub(crate) fn set_stop(self, ns: u64) {
        // SAFETY: Valid while the entry is.
        unsafe { write_once(&raw mut (*self.raw.as_ptr()).stop, ns) };
    }
}

/// `jiffies_to_nsecs()`.
pub(crate) fn ticks_to_ns(ticks: u32) -> u64 {
    // SAFETY: No requirements.
    unsafe { bindings::rct_jiffies_to_nsecs(ticks as usize) }
}

impl Net {
    /// Whether new entries count (`nf_conntrack_acct`).
    #[inline]
    pub(crate) fn counts(&self) -> bool {
        // SAFETY: Valid by the type; a byte that is written whole.
        unsafe { read_once(&raw const (*self.ct()).sysctl_acct) != 0 }
    }

    /// Says whether new entries count.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn set_counts(&self, on: bool) {
        // SAFETY: As in `counts`.
        unsafe { write_once(&raw mut (*self.ct()).sysctl_acct, u8::from(on)) };
    }

    /// Whether new entries keep their times (`nf_conntrack_timestamp`).
    #[inline]
    pub(crate) fn keeps_times(&self) -> bool {
        // SAFETY: As in `counts`.
        unsafe { read_once(&raw const (*self.ct()).sysctl_tstamp) != 0 }
    }

    /// Says whether new entries keep their times.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn set_keeps_times(&self, on: bool) {
        // SAFETY: As in `counts`.
        unsafe { write_once(&raw mut (*self.ct()).sysctl_tstamp, u8::from(on)) };
    }

    /// Which entries get a cache of events (`nf_conntrack_events`).
    #[inline]
    pub(crate) fn events_setting(&self) -> u8 {
        // SAFETY: As in `counts`.
        unsafe { read_once(&raw const (*self.ct()).sysctl_events) }
    }

    /// Sets which.
    pub(crate) fn set_events_setting(&self, setting: u8) {
        // SAFETY: As in `counts`.
        unsafe { write_once(&raw mut (*self.ct()).sysctl_events, setting) };
    }
}
