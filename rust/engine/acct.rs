// SPDX-License-Identifier: GPL-2.0

//! Accounting: packets and bytes of each direction.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_acct.c`, and `nf_ct_acct_add()` in
//! `net/netfilter/nf_conntrack_core.c`.

use crate::bindings;
use crate::engine::ext;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::pure::num::Dir;

/// Has a new entry count, if its namespace wants that. Without memory it does not.
#[inline]
pub(crate) fn add_ext(conn: &Conn, gfp: Gfp) {
    if conn.net().counts() {
        let _ = ext::add_as::<bindings::nf_conn_acct>(conn, gfp);
    }
}

/// Counts packets of a direction, if the entry counts.
#[inline]
pub(crate) fn update(conn: &Conn, dir: Dir, packets: u32, bytes: u32) {
    if let Some(acct) = conn.acct() {
        acct.add(dir, packets, bytes);
    }
}

/// Counts the one packet that `loser` saw for `winner`, which it goes on with.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn merge(winner: &Conn, dir: Dir, loser: &Conn) {
    if let Some(acct) = loser.acct() {
        let (_, bytes) = acct.read(dir);
        // One packet's bytes fit.
        update(winner, dir, 1, bytes as u32);
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_acct)]
mod tests {
    use kernel::prelude::*;

    use super::*;
    use crate::linux::fake::FakeNet;

    #[test]
    fn directions_count_apart() -> Result {
        let net = FakeNet::new()?;
        let (conn, loser) = (net.conn().ok_or(ENOMEM)?, net.conn().ok_or(ENOMEM)?);
        // Nobody counts.
        update(&conn, Dir::Original, 1, 1);
        add_ext(&conn, Gfp::KERNEL);
        assert!(conn.acct().is_none());
        net.set_counts(true);
        for conn in [&conn, &loser] {
            add_ext(conn, Gfp::KERNEL);
        }
        for _ in 0..2 {
            update(&conn, Dir::Original, 3, u32::MAX);
        }
        update(&loser, Dir::Reply, 1, 99);
        merge(&conn, Dir::Reply, &loser);
        let acct = conn.acct().ok_or(EINVAL)?;
        assert!(acct.read(Dir::Original) == (6, 2 * u64::from(u32::MAX)));
        assert!(acct.read(Dir::Reply) == (1, 99));
        Ok(())
    }
}
