// SPDX-License-Identifier: GPL-2.0

//! Timestamps: when an entry was confirmed, and when it ended.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_timestamp.c`, and `nf_ct_delete()` in
//! `net/netfilter/nf_conntrack_core.c`.

use crate::bindings;
use crate::engine::ext;
use crate::linux::acct::ticks_to_ns;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::time;
use crate::pure::num::Jiffies32;

/// Has a new entry keep its times, if its namespace wants that. Without memory it does not.
#[inline]
pub(crate) fn add_ext(conn: &Conn, gfp: Gfp) {
    if conn.net().keeps_times() {
        let _ = ext::add_as::<bindings::nf_conn_tstamp>(conn, gfp);
    }
}

/// The entry enters the table.
#[inline]
pub(crate) fn start(conn: &Conn) {
    if let Some(times) = conn.times() {
        times.set_start(time::real_ns());
    }
}

/// The entry ends. One that was found expired ended when its time was over.
#[inline]
pub(crate) fn stop(conn: &Conn) {
    if let Some(times) = conn.times() {
        let left = time::now().until(Jiffies32(conn.timeout()));
        times.set_stop(end(time::real_ns(), left, ticks_to_ns));
    }
}

/// The end of an entry with `left` ticks to live at `now`, a time in nanoseconds.
fn end(now: u64, left: i32, ns: impl FnOnce(u32) -> u64) -> u64 {
    if left < 0 {
        now.wrapping_sub(ns(left.unsigned_abs()))
    } else {
        now
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_timestamp)]
mod tests {
    use kernel::prelude::*;

    use super::*;
    use crate::linux::fake::FakeNet;

    #[test]
    fn late_removal_does_not_count() {
        let ns = |ticks: u32| u64::from(ticks) * 10;
        assert_eq!(end(1000, 5, ns), 1000);
        assert_eq!(end(1000, 0, ns), 1000);
        assert_eq!(end(1000, -7, ns), 930);
        assert_eq!(end(0, i32::MIN, |_| 1), u64::MAX);
    }

    #[test]
    fn times_are_kept_if_wanted() -> Result {
        let net = FakeNet::new()?;
        let conn = net.conn().ok_or(ENOMEM)?;
        add_ext(&conn, Gfp::KERNEL);
        start(&conn);
        assert!(conn.times().is_none());
        net.set_keeps_times(true);
        add_ext(&conn, Gfp::KERNEL);
        start(&conn);
        conn.set_timeout(time::now().plus(100 * time::HZ).0);
        stop(&conn);
        let times = conn.times().ok_or(EINVAL)?;
        assert!(times.start() != 0 && times.start() <= times.stop());
        Ok(())
    }
}
