// SPDX-License-Identifier: GPL-2.0

//! Labels: bits on entries that rules set and match.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_labels.c`.

use kernel::prelude::*;
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
    if conn.net().label_users().load(Relaxed) != 0 {
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
fn exchange(word: &kernel::sync::atomic::Atomic<u32>, keep: u32, flip: u32) -> bool {
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
        warn::warn_once();
    }
    Ok(())
}

/// A rule that looked at labels is gone.
pub(crate) fn put(net: &Net) {
    if net.label_users().fetch_sub(1, Relaxed).wrapping_sub(1) < 0 {
        warn::warn_once();
    }
}
