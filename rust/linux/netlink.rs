// SPDX-License-Identifier: GPL-2.0

//! Netlink attributes: reading those that were validated, and adding some to a message.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h)

use core::mem::size_of;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;

use crate::bindings;

/// Attributes by type, as `nla_parse()` leaves them: each null, or of the shape that the policy
/// asks for.
#[derive(Clone, Copy)]
pub(crate) struct Attrs {
    table: *const *const bindings::nlattr,
    max: usize,
}

impl Attrs {
    /// The table at `table`, of attributes up to number `max`.
    ///
    /// # Safety
    ///
    /// There are `max + 1` of them, checked against a policy that makes the attributes as long as
    /// the numbers that the user of the result reads from them.
    pub(crate) unsafe fn from_raw(table: *const *const bindings::nlattr, max: u32) -> Self {
        Attrs {
            table,
            max: max as usize,
        }
    }

    /// The attribute's content.
    fn data(self, attr: u32) -> Option<*const u8> {
        let index = attr as usize;
        if index > self.max {
            return None;
        }
        // SAFETY: Within the table.
        unsafe {
            let nla = *self.table.add(index);
            if nla.is_null() {
                return None;
            }
            Some(bindings::rct_nla_data(nla).cast::<u8>().cast_const())
        }
    }

    /// The first `N` bytes of the attribute, which the policy says it has.
    fn bytes<const N: usize>(self, attr: u32) -> Option<[u8; N]> {
        self.data(attr).map(|data| {
            // SAFETY: By the contract of `from_raw`.
            unsafe { data.cast::<[u8; N]>().read() }
        })
    }

    /// A byte.
    pub(crate) fn u8(self, attr: u32) -> Option<u8> {
        self.bytes(attr).map(|[byte]| byte)
    }

    /// Two bytes.
    pub(crate) fn pair(self, attr: u32) -> Option<[u8; 2]> {
        self.bytes(attr)
    }

    /// A number that stays in network order.
    pub(crate) fn raw_be16(self, attr: u32) -> Option<u16> {
        self.bytes(attr).map(u16::from_ne_bytes)
    }

    /// A number that stays in network order.
    pub(crate) fn raw_be32(self, attr: u32) -> Option<u32> {
        self.bytes(attr).map(u32::from_ne_bytes)
    }

    /// A number.
    pub(crate) fn be32(self, attr: u32) -> Option<u32> {
        self.bytes(attr).map(u32::from_be_bytes)
    }

    /// The attributes inside of one, checked against `policy`; `N` is their highest number plus
    /// one. `Ok(None)` without the attribute.
    pub(crate) fn nested<const N: usize>(
        self,
        attr: u32,
        policy: &'static [bindings::nla_policy; N],
    ) -> Result<Option<Nested<N>>> {
        let index = attr as usize;
        if index > self.max {
            return Ok(None);
        }
        // SAFETY: Within the table.
        let Some(nla) = NonNull::new(unsafe { *self.table.add(index) }.cast_mut()) else {
            return Ok(None);
        };
        let mut nested = Nested {
            table: [core::ptr::null_mut(); N],
        };
        let max = i32::try_from(N).unwrap_or(1).wrapping_sub(1);
        // SAFETY: The table has room for all numbers up to `max`, and so has the policy.
        to_result(unsafe {
            bindings::rct_nla_parse_nested(
                nested.table.as_mut_ptr(),
                max,
                nla.as_ptr(),
                policy.as_ptr(),
            )
        })?;
        Ok(Some(nested))
    }
}

/// The attributes inside of another one.
pub(crate) struct Nested<const N: usize> {
    table: [*mut bindings::nlattr; N],
}

impl<const N: usize> Nested<N> {
    /// By type.
    pub(crate) fn attrs(&self) -> Attrs {
        Attrs {
            table: self.table.as_ptr().cast(),
            max: N.wrapping_sub(1),
        }
    }
}

/// There is no room in the message.
#[derive(Clone, Copy)]
pub(crate) struct NoRoom;

/// A message that is being written.
#[derive(Clone, Copy)]
pub(crate) struct Message(*mut bindings::sk_buff);

impl Message {
    /// The message in `skb`.
    ///
    /// # Safety
    ///
    /// `skb` is a message that the caller is writing.
    pub(crate) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        Message(skb)
    }

    /// Adds an attribute.
    pub(crate) fn put<const N: usize>(self, attr: u32, bytes: [u8; N]) -> Result<(), NoRoom> {
        let (Ok(attr), Ok(len)) = (i32::try_from(attr), i32::try_from(N)) else {
            return Err(NoRoom);
        };
        // SAFETY: By the contract of `from_raw`.
        match unsafe { bindings::nla_put(self.0, attr, len, bytes.as_ptr().cast()) } {
            0 => Ok(()),
            _ => Err(NoRoom),
        }
    }

    /// Adds an attribute that has attributes inside.
    pub(crate) fn nest(
        self,
        attr: u32,
        inside: impl FnOnce(Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        let attr = i32::try_from(attr).map_err(|_| NoRoom)?;
        // SAFETY: By the contract of `from_raw`; the nest is ended if it could be filled, and the
        // caller gives up the message else.
        unsafe {
            let start = bindings::rct_nla_nest_start(self.0, attr);
            if start.is_null() {
                return Err(NoRoom);
            }
            inside(self)?;
            bindings::rct_nla_nest_end(self.0, start);
        }
        Ok(())
    }
}

/// Bytes that attributes of these sizes take in a message.
pub(crate) const fn size_of_attrs(payloads: &[usize]) -> u16 {
    const HEADER: usize = size_of::<bindings::nlattr>();
    let (mut total, mut i) = (0, 0);
    while i < payloads.len() {
        total += (HEADER + payloads[i]).next_multiple_of(4);
        i += 1;
    }
    assert!(total < 0x1_0000);
    total as u16
}
