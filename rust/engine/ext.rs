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
        warn::warn_once!();
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

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_extend)]
mod tests {
    use kernel::prelude::*;

    use super::*;
    use crate::linux::fake::FakeNet;

    #[test]
    fn areas_are_aligned_and_fit() {
        let table = [
            (None, 8, Some((16, 24))),
            (Some(24), 12, Some((24, 36))),
            (Some(36), 8, Some((40, 48))),
            (Some(248), 7, Some((248, 255))),
            (Some(248), 8, None),
            (Some(255), 1, None),
            (None, usize::MAX, None),
        ];
        for (length, size, expected) in table {
            let place = place(length, size).map(|place| (place.offset, place.end));
            assert_eq!(place, expected);
        }
    }

    /// The byte that fills an area.
    fn mark(id: usize) -> u8 {
        u8::try_from(id).map_or(0xff, |id| id.wrapping_add(0xa0))
    }

    #[test]
    fn growth_keeps_what_is_there() -> Result {
        let net = FakeNet::new()?;
        let conn = net.conn().ok_or(ENOMEM)?;
        assert!(conn.ext_len().is_none());
        // Every other one first, so that areas are in another order than their numbers.
        let (even, odd) = ((0..SIZES.len()).step_by(2), (1..SIZES.len()).step_by(2));
        let order = Iterator::chain(even, odd);
        let mut offsets = [0u8; SIZES.len()];
        for id in order {
            let raw = Id::try_from(id)?;
            assert!(!conn.has_ext(raw));
            let area = add(&conn, raw, Gfp::KERNEL).ok_or(ENOMEM)?;
            let size = *SIZES.get(id).ok_or(EINVAL)?;
            // SAFETY: The area is that large, and nobody else's.
            let area = unsafe { core::slice::from_raw_parts_mut(area.as_ptr(), size) };
            assert!(area.iter().all(|byte| *byte == 0));
            area.fill(mark(id));

            assert!(conn.has_ext(raw));
            // There is one of each.
            assert!(add(&conn, raw, Gfp::KERNEL).is_none());

            let block = conn.ext_bytes().ok_or(EINVAL)?;
            for (other, offset) in offsets.iter_mut().enumerate() {
                let now = *block.get(other).ok_or(EINVAL)?;
                if other == id {
                    *offset = now;
                }
                assert_eq!(now, *offset);
                let start = usize::from(now);
                if start != 0 {
                    assert_eq!(start % ALIGN, 0);
                    let size = *SIZES.get(other).ok_or(EINVAL)?;
                    let area = block.get(start..start + size).ok_or(EINVAL)?;
                    assert!(area.iter().all(|byte| *byte == mark(other)));
                }
            }
        }
        assert!(add(&conn, Id::try_from(SIZES.len())?, Gfp::KERNEL).is_none());
        assert!(!conn.has_ext(Id::MAX));
        Ok(())
    }
}
