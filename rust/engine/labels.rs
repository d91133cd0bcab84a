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
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::labels::BITS;
use crate::linux::net::Net;
use crate::linux::warn;

/// Gives a new entry room for labels, if a rule of its namespace looks at them.
#[inline]
pub(crate) fn add_ext(conn: &Conn) {
    if conn.net().uses_labels() {
        let _ = ext::add_as::<bindings::nf_conn_labels>(conn, Gfp::ATOMIC);
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
        add_ext(&early);
        assert!(early.labels().is_none());
        assert!(get(&net, 0).is_ok());
        assert!(get(&net, 127).is_ok());
        assert!(get(&net, 128) == Err(ERANGE));
        assert!(get(&net, u32::MAX) == Err(ERANGE));
        assert_eq!(net.label_users().load(Relaxed), 2);
        let conn = net.conn().ok_or(ENOMEM)?;
        add_ext(&conn);
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
        add_ext(&conn);
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
    fn changes_are_told_of() {
        let word = Atomic::new(5);
        assert!(!exchange(&word, !0, 0));
        assert!(!exchange(&word, 0, 5));
        assert!(exchange(&word, !1, 0));
        assert_eq!(word.load(Relaxed), 4);
    }
}
