// SPDX-License-Identifier: GPL-2.0

//! Labels: bits on entries that rules set and match.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_labels.c`.

use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Full;
use kernel::sync::atomic::Relaxed;

use crate::bindings;
use crate::engine::events;
use crate::engine::events::Event;
use crate::engine::ext;
use crate::engine::table;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::labels::BITS;
use crate::linux::net::Net;
use crate::linux::warn;
use crate::pure::policy::occupancy::Occupancy;
use crate::pure::policy::occupancy::LABELLED;

/// The greatest number that the first of the labels of occupancy can have.
pub(crate) const LAST_FIRST: i32 = BITS as i32 - LABELLED.len() as i32;

/// Gives a new entry room for labels, if a rule of its namespace looks at them. Whether it has.
#[inline]
pub(crate) fn add_ext(conn: &Conn) -> bool {
    conn.net().uses_labels() && ext::add_as::<bindings::nf_conn_labels>(conn, Gfp::ATOMIC).is_some()
}

/// Tells by a new entry's labels how full the table was when it began, if that is wanted.
///
/// CONTEXT: the entry is unconfirmed and one packet's.
#[inline]
pub(crate) fn tell_occupancy(conn: &Conn) {
    let net = conn.net();
    // Negative is none.
    if let Ok(first) = u32::try_from(net.occupancy_label()) {
        let entries = net.entries_now();
        set_levels(conn, first, Occupancy::new(entries, table::max()));
    }
}

/// Sets those of the labels from number `first` on that are due. CONTEXT: as above.
fn set_levels(conn: &Conn, first: u32, occupancy: Occupancy) {
    let Some(labels) = conn.labels() else {
        return;
    };
    for (step, percent) in (0..).zip(LABELLED) {
        if occupancy.reaches(percent) {
            labels.set_early(first.saturating_add(step));
        }
    }
}

/// Changes an entry's labels: those that `mask` has set are replaced by those of `data`, of the
/// words that `data` has; all without a mask. Words beyond it are cleared.
///
/// Errors: `ENOSPC` if the entry has no room for labels.
pub(crate) fn replace(conn: &Conn, data: &[u32], mask: Option<&[u32]>) -> Result {
    let labels = conn.labels().ok_or(ENOSPC)?;
    let mut changed = false;
    for (index, word) in labels.words().enumerate() {
        let Some(new) = data.get(index) else {
            // Only what was asked for makes an event.
            exchange(word, 0, 0);
            continue;
        };
        let keep = match mask {
            Some(mask) => !mask.get(index).copied().unwrap_or(0),
            None => 0,
        };
        changed |= exchange(word, keep, *new);
    }
    if changed {
        events::cache(conn, Event::Label);
    }
    Ok(())
}

/// Keeps the bits of `keep` and flips those of `flip` in what is left. Whether that changed it.
fn exchange(word: &Atomic<u32>, keep: u32, flip: u32) -> bool {
    let mut old = word.load(Relaxed);
    loop {
        let new = (old & keep) ^ flip;
        if new == old {
            return false;
        }
        match word.cmpxchg(old, new, Full) {
            Ok(_) => return true,
            Err(now) => old = now,
        }
    }
}

/// A rule looks at labels up to number `bit` from now on: new entries get room for them.
///
/// Errors: `ERANGE` for a number that no entry has room for.
pub(crate) fn get(net: &Net, bit: u32) -> Result {
    if bit >= BITS {
        return Err(ERANGE);
    }
    if net.label_users().fetch_add(1, Relaxed).wrapping_add(1) <= 0 {
        warn::warn_once!();
    }
    Ok(())
}

/// A rule that looked at labels is gone.
pub(crate) fn put(net: &Net) {
    if net.label_users().fetch_sub(1, Relaxed).wrapping_sub(1) < 0 {
        warn::warn_once!();
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_labels)]
mod tests {
    use super::*;
    use crate::linux::fake::FakeNet;

    fn words(conn: &Conn) -> [u32; 4] {
        let mut words = [!0; 4];
        if let Some(labels) = conn.labels() {
            for (to, from) in words.iter_mut().zip(labels.words()) {
                *to = from.load(Relaxed);
            }
        }
        words
    }

    #[test]
    fn rules_are_counted() -> Result {
        let net = FakeNet::new()?;
        let early = net.conn().ok_or(ENOMEM)?;
        assert!(!add_ext(&early));
        assert!(early.labels().is_none());
        assert!(get(&net, 0).is_ok());
        assert!(get(&net, 127).is_ok());
        assert!(get(&net, 128) == Err(ERANGE));
        assert!(get(&net, u32::MAX) == Err(ERANGE));
        assert_eq!(net.label_users().load(Relaxed), 2);
        let conn = net.conn().ok_or(ENOMEM)?;
        assert!(add_ext(&conn));
        assert_eq!(words(&conn), [0; 4]);
        put(&net);
        assert!(net.uses_labels());
        put(&net);
        assert!(!net.uses_labels());
        assert!(replace(&early, &[1], None) == Err(ENOSPC));
        Ok(())
    }

    #[test]
    fn masked_bits_are_replaced() -> Result {
        let net = FakeNet::new()?;
        get(&net, 0)?;
        let conn = net.conn().ok_or(ENOMEM)?;
        assert!(add_ext(&conn));
        replace(&conn, &[1, 2, 3, 4], None)?;
        assert_eq!(words(&conn), [1, 2, 3, 4]);
        replace(&conn, &[0x10, 0, 8, 0], Some(&[0xf0, 2, !0, 0]))?;
        assert_eq!(words(&conn), [0x11, 0, 8, 4]);
        // What lies beyond is cleared.
        replace(&conn, &[0x80], Some(&[0xff]))?;
        assert_eq!(words(&conn), [0x80, 0, 0, 0]);
        // Data outside of the mask flip: the caller masks them, or wants that.
        replace(&conn, &[0x81], Some(&[0]))?;
        assert_eq!(words(&conn), [1, 0, 0, 0]);
        replace(&conn, &[], None)?;
        assert_eq!(words(&conn), [0; 4]);
        Ok(())
    }

    #[test]
    fn occupancy_leaves_other_labels_alone() -> Result {
        let net = FakeNet::new()?;
        get(&net, 127)?;
        let conn = net.conn().ok_or(ENOMEM)?;
        set_levels(&conn, 0, Occupancy::new(100, 100));
        assert!(conn.labels().is_none());
        assert!(add_ext(&conn));
        replace(&conn, &[1, 0, 0, 0x8000_0000], None)?;
        // Across the words, as user space has them on a little-endian machine.
        let table = [
            (49, [1, 0, 0, 0x8000_0000]),
            (50, [1, 0x8000_0000, 0, 0x8000_0000]),
            (75, [1, 0x8000_0000, 1, 0x8000_0000]),
            (90, [1, 0x8000_0000, 3, 0x8000_0000]),
        ];
        for (percent, expected) in table {
            set_levels(&conn, 63, Occupancy::new(percent, 100));
            if cfg!(target_endian = "little") {
                assert_eq!(words(&conn), expected);
            }
        }
        set_levels(&conn, u32::try_from(LAST_FIRST)?, Occupancy::new(100, 100));
        set_levels(&conn, u32::MAX, Occupancy::new(100, 100));
        if cfg!(target_endian = "little") {
            assert_eq!(words(&conn), [1, 0x8000_0000, 3, 0xe000_0000]);
        }
        Ok(())
    }

    #[test]
    fn changes_are_told_of() {
        let word = Atomic::new(5);
        assert!(!exchange(&word, !0, 0));
        assert!(!exchange(&word, 0, 5));
        assert!(exchange(&word, !1, 0));
        assert_eq!(word.load(Relaxed), 4);
    }
}
