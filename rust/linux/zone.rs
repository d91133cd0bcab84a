// SPDX-License-Identifier: GPL-2.0

//! Zones: numbered tables in one table.
//!
//! C header: [`include/net/netfilter/nf_conntrack_zones.h`](srctree/include/net/netfilter/nf_conntrack_zones.h)

use core::mem::size_of;

use crate::bindings;
use crate::pure::num::Dir;

/// A zone and the directions that it is part of the key of.
///
/// Same layout as `struct nf_conntrack_zone`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Zone {
    id: u16,
    flags: u8,
    dir: u8,
}

const _: () = assert!(size_of::<Zone>() == size_of::<bindings::nf_conntrack_zone>());

impl Zone {
    /// Zone 0, both ways.
    pub(crate) const DEFAULT: Zone = Zone {
        id: 0,
        flags: 0,
        dir: Self::BOTH_WAYS,
    };

    /// The direction mask of a zone that counts both ways.
    pub(crate) const BOTH_WAYS: u8 = 3;

    /// Zone `id`, part of the key of the directions in `dir`.
    #[cfg(CONFIG_DEBUG_INFO_BTF_MODULES = "y")]
    pub(crate) fn new(id: u16, dir: u8) -> Self {
        Zone { id, flags: 0, dir }
    }

    /// The zone at `raw`.
    ///
    /// # Safety
    ///
    /// `raw` points to an initialised zone.
    #[inline]
    pub(crate) unsafe fn read(raw: *const bindings::nf_conntrack_zone) -> Self {
        // SAFETY: By this function's contract.
        unsafe { crate::linux::once::read_once(raw.cast()) }
    }

    /// The same zone with the marks of a new entry: none. Of a template's flags, the only one speaks
    /// of packets.
    #[inline]
    pub(crate) fn of_entry(self) -> Self {
        Zone { flags: 0, ..self }
    }

    /// Where in a zone its flags are.
    pub(crate) const FLAGS: usize = core::mem::offset_of!(Zone, flags);

    /// Its number as part of the key of `dir`.
    #[inline]
    pub(crate) fn id(self, dir: Dir) -> u16 {
        let bit = match dir {
            Dir::Original => 1,
            Dir::Reply => 2,
        };
        if self.dir & bit != 0 {
            self.id
        } else {
            0
        }
    }

    /// Its number.
    #[inline]
    pub(crate) fn number(self) -> u16 {
        self.id
    }

    /// The directions that it counts in, as C writes them.
    #[inline]
    pub(crate) fn dir_mask(self) -> u8 {
        self.dir
    }

    /// Whether packets get their zone's number from their mark (a template's zone only).
    #[inline]
    pub(crate) fn is_by_mark(self) -> bool {
        u32::from(self.flags) & bindings::NF_CT_FLAG_MARK != 0
    }

    /// The same directions with another number.
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn numbered_by(self, mark: u32) -> Self {
        Zone {
            id: mark as u16,
            flags: 0,
            dir: self.dir,
        }
    }
}
