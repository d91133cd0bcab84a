// SPDX-License-Identifier: GPL-2.0

//! A namespace in which connections can expect others, and helpers that allow it.

use core::mem::size_of;
use core::ops::Deref;
use core::ptr::addr_of;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

use super::FakeNet;
use super::Memory;
use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::helper::write_text;
use crate::linux::helper::HelperRef;
use crate::linux::net::PRIVATE_ID;
use crate::linux::once::read_once;

/// A namespace with the module's private part and counters, which knows no other module's.
pub(crate) struct Home {
    net: FakeNet,
    _areas: Memory,
    _private: Memory,
}

impl Home {
    /// A new one.
    pub(crate) fn new() -> Result<Self> {
        let net = FakeNet::new()?;
        let private = Memory::new(size_of::<bindings::nf_conntrack_net>())?;
        // SAFETY: Constant while the module is loaded.
        let id = unsafe { read_once(addr_of!(PRIVATE_ID)) } as usize;
        let areas = Memory::new((id + 1) * size_of::<*mut u8>())?;
        // SAFETY: The array has a place for the number, and the namespace is nobody else's.
        unsafe {
            areas
                .0
                .as_ptr()
                .cast::<*mut u8>()
                .add(id)
                .write(private.0.as_ptr());
            (*net.as_ptr()).gen = areas.0.as_ptr().cast();
            let counters = bindings::rct_stat_alloc();
            if counters.is_null() {
                return Err(ENOMEM);
            }
            (*net.ct()).stat = counters;
        }
        Ok(Home {
            net,
            _areas: areas,
            _private: private,
        })
    }

    /// A connection that may expect others, as if it were in the table.
    pub(crate) fn master(&self) -> Option<ARef<Conn>> {
        let conn = self.net.conn()?;
        crate::engine::helper::ext_add(&conn, Gfp::KERNEL)?;
        conn.set_bit(crate::pure::status::Bit::Confirmed);
        Some(conn)
    }
}

impl Deref for Home {
    type Target = FakeNet;

    fn deref(&self) -> &FakeNet {
        &self.net
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // SAFETY: Allocated by `new`.
        unsafe { bindings::rct_stat_free((*self.net.ct()).stat) };
    }
}

/// A helper that nobody registered, with two classes of `most` expectations, which last `seconds`.
pub(crate) fn helper(name: &[u8], most: u32, seconds: u32) -> Option<HelperRef> {
    // SAFETY: Fresh memory of that size, with one reference; zeros are a helper without callbacks.
    unsafe {
        let size = size_of::<bindings::nf_conntrack_helper>();
        let raw = bindings::rct_kzalloc(size, Gfp::KERNEL.0);
        let new = NonNull::new(raw.cast::<bindings::nf_conntrack_helper>())?;
        let this = new.as_ptr();
        write_text(&raw mut (*this).name, &[name]);
        (*this).expect_class_max = 1;
        for policy in &mut (*this).expect_policy {
            policy.max_expected = most;
            policy.timeout = seconds;
        }
        bindings::rct_refcount_set(&raw mut (*this).ct_refcnt, 1);
        Some(HelperRef::from_raw(new))
    }
}
