// SPDX-License-Identifier: GPL-2.0

//! What the table's users read or change in the TCP tracker's part of an entry.

use crate::linux::conn::Conn;
use crate::linux::lock::BhOff;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::pure::l4::tcp::State;

/// The state of an entry that is TCP's, as a number.
pub(crate) fn state(conn: &Conn) -> u8 {
    // SAFETY: A byte that is written whole; any value is legal.
    unsafe { read_once(&raw const (*conn.private()).tcp.state) }
}

/// Lets an established connection learn its windows anew.
pub(crate) fn forget_windows(conn: &Conn, bh: BhOff<'_>) {
    let _lock = conn.lock().lock(bh);
    if state(conn) == State::Established.raw() {
        // SAFETY: The entry is TCP's; its lock is held. Only these words are written: others set
        // the flags beside them without the lock.
        unsafe {
            let seen = (&raw mut (*conn.private()).tcp.seen).cast::<crate::bindings::ip_ct_tcp_state>();
            write_once(&raw mut (*seen).td_maxwin, 0);
            write_once(&raw mut (*seen.add(1)).td_maxwin, 0);
        }
    }
}
