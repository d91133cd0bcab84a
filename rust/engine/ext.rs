// SPDX-License-Identifier: GPL-2.0

//! Extensions: giving an entry one more area.
//!
//! Not for finding one: `Conn::ext` and what `linux/` builds on it.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_extend.c`.

use core::ptr::NonNull;

use crate::linux::conn::Conn;
use crate::linux::ext::Extension;
use crate::linux::ext::Id;
use crate::linux::ext::Place;
use crate::linux::ext::ALIGN;
use crate::linux::ext::FIRST;
use crate::linux::ext::SIZES;
use crate::linux::gfp::Gfp;
use crate::linux::warn;

/// Bytes that a block gets at least: room for what most entries have, without moving.
const ROOM: usize = 128;

/// Where an area of `size` bytes goes in a block that is `length` bytes long, or does not exist.
fn place(length: Option<u8>, size: usize) -> Option<Place> {
    let offset = length.map_or(FIRST, usize::from).next_multiple_of(ALIGN);
    let end = offset.checked_add(size)?;
    Some(Place {
        offset: u8::try_from(offset).ok()?,
        end: u8::try_from(end).ok()?,
    })
}

/// Gives an entry an area, zeroed (`nf_ct_ext_add`).
///
/// `None` if it has that one, and without memory. Areas found before have moved.
/// CONTEXT: any; `gfp` says. The entry is not confirmed yet and nobody else looks at its areas.
pub(crate) fn add(conn: &Conn, id: Id, gfp: Gfp) -> Option<NonNull<u8>> {
    if conn.is_confirmed() {
        // Others may be looking at the block that is about to move.
        warn::warn_once();
    }
    if conn.has_ext(id) {
        return None;
    }
    let size = *SIZES.get(usize::try_from(id).ok()?)?;
    let place = place(conn.ext_len(), size)?;
    conn.grow_ext(id, place, usize::from(place.end).max(ROOM), gfp)
}

/// As [`add`], by type.
pub(crate) fn add_as<T: Extension>(conn: &Conn, gfp: Gfp) -> Option<NonNull<T>> {
    add(conn, T::ID, gfp).map(NonNull::cast)
}
