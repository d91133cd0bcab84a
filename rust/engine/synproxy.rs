// SPDX-License-Identifier: GPL-2.0

//! What a connection gets because a SYN proxy answers for it.
//!
//! C counterpart's behaviour: `nf_ct_add_synproxy()` in
//! `include/net/netfilter/nf_conntrack_synproxy.h`.

use kernel::prelude::*;

use crate::bindings;
use crate::engine::ext;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;

/// Gives a new entry room for the proxy's numbers if its template has that, and for the adjustment
/// of its sequence numbers.
///
/// Errors: `ENOMEM`.
#[inline]
pub(crate) fn inherit(conn: &Conn, template: Option<&Conn>) -> Result {
    match template {
        Some(template) if has_ext(template) => {
            ext::add_as::<bindings::nf_conn_seqadj>(conn, Gfp::ATOMIC).ok_or(ENOMEM)?;
            ext::add_as::<bindings::nf_conn_synproxy>(conn, Gfp::ATOMIC).ok_or(ENOMEM)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether a SYN proxy answers for the connection.
#[inline]
pub(crate) fn has_ext(conn: &Conn) -> bool {
    conn.ext::<bindings::nf_conn_synproxy>().is_some()
}
