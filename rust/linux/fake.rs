// SPDX-License-Identifier: GPL-2.0

//! Stand-ins for what the kernel makes, for tests.
//!
//! They have what the tests need and nothing else: a namespace that the module is not set up in,
//! entries that are in no table, packets without a device.

pub(crate) mod expect;

use core::mem::offset_of;
use core::mem::size_of;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::net::Net;
use crate::linux::skb::Skb;
use crate::linux::slab;
use crate::linux::timeout::words;
use crate::linux::timeout::Policy;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;

/// Zeroed memory of `size` bytes, freed when dropped.
struct Memory(NonNull<u8>);

impl Memory {
    fn new(size: usize) -> Result<Self> {
        // SAFETY: No requirements.
        let raw = unsafe { bindings::rct_kzalloc(size, Gfp::KERNEL.0) };
        Ok(Memory(NonNull::new(raw.cast()).ok_or(ENOMEM)?))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: From `rct_kzalloc()`.
        unsafe { bindings::kfree(self.0.as_ptr().cast()) };
    }
}

/// A namespace: its shared words only, all zero.
pub(crate) struct FakeNet(Memory);

impl FakeNet {
    /// A new one.
    pub(crate) fn new() -> Result<Self> {
        Ok(FakeNet(Memory::new(size_of::<bindings::net>())?))
    }

    /// A new entry in it: a template, so that its end takes nothing else along.
    pub(crate) fn conn(&self) -> Option<ARef<Conn>> {
        let conn = slab::new_template(self, Zone::DEFAULT, Gfp::KERNEL)?;
        // SAFETY: Ours alone, with one reference.
        unsafe {
            let raw = conn.as_ptr().cast::<bindings::nf_conn>();
            bindings::rct_conn_lock_init(&raw mut (*raw).lock);
            (*conn.as_ref().node(Dir::Reply)).tuple.dst.dir = 1;
            Some(ARef::from_raw(conn))
        }
    }
}

impl Deref for FakeNet {
    type Target = Net;

    fn deref(&self) -> &Net {
        // SAFETY: Memory of a namespace, for as long as `self`; tests ask for the shared words only.
        unsafe { Net::from_raw(self.0 .0.as_ptr().cast()) }
    }
}

/// A packet: bytes from its network header on.
pub(crate) struct FakeSkb(NonNull<bindings::sk_buff>);

impl FakeSkb {
    /// A packet of these bytes.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self> {
        let size = u32::try_from(bytes.len())?;
        // SAFETY: The packet gets room for the bytes, which are put in at its end.
        unsafe {
            let skb = bindings::__alloc_skb(size, Gfp::KERNEL.0, 0, -1);
            let skb = NonNull::new(skb).ok_or(ENOMEM)?;
            let at = bindings::skb_put(skb.as_ptr(), size).cast::<u8>();
            at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            Ok(FakeSkb(skb))
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: All of it is linear.
        unsafe {
            let skb = self.0.as_ptr();
            core::slice::from_raw_parts((*skb).data, (*skb).len as usize)
        }
    }
}

impl Deref for FakeSkb {
    type Target = Skb;

    fn deref(&self) -> &Skb {
        // SAFETY: Ours, for as long as `self`.
        unsafe { Skb::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for FakeSkb {
    fn drop(&mut self) {
        // SAFETY: Ours.
        unsafe { bindings::rct_kfree_skb(self.0.as_ptr()) };
    }
}

/// A timeout policy that a test holds a reference to.
pub(crate) struct FakePolicy {
    policy: Memory,
    _tracker: Memory,
}

impl FakePolicy {
    /// A policy with two deadlines that says nothing else.
    pub(crate) fn new(ticks: [u32; 2]) -> Result<Self> {
        let tracker = Memory::new(size_of::<bindings::nf_conntrack_l4proto>())?;
        let data = offset_of!(bindings::nf_ct_timeout, data);
        let size = size_of::<u32>() * words(ticks.len());
        let policy = Memory::new(data + size)?;
        // SAFETY: Fresh memory of that size.
        unsafe {
            let raw = tracker.0.as_ptr().cast::<bindings::nf_conntrack_l4proto>();
            (*raw).ctnl_timeout.obj_size = u16::try_from(size)?;
            let this = policy.0.as_ptr().cast::<bindings::nf_ct_timeout>();
            (*this).l4proto = raw;
            (*this).refcnt.refs.counter = 1;
            let words = policy.0.as_ptr().add(data).cast::<u32>();
            words.cast::<[u32; 2]>().write(ticks);
            words
                .add(ticks.len())
                .write_bytes(0xff, size / size_of::<u32>() - ticks.len());
        }
        Ok(FakePolicy {
            policy,
            _tracker: tracker,
        })
    }

    /// The policy.
    pub(crate) fn get(&self) -> Option<Policy<'_>> {
        // SAFETY: The test's reference keeps it, for as long as `self`.
        unsafe { Policy::from_raw(self.policy.0.as_ptr().cast()) }
    }

    /// Its references. The test's own keeps it from being freed.
    pub(crate) fn references(&self) -> i32 {
        // SAFETY: Ours.
        unsafe {
            let this = self.policy.0.as_ptr().cast::<bindings::nf_ct_timeout>();
            crate::linux::once::read_once(&raw const (*this).refcnt.refs.counter)
        }
    }
}
