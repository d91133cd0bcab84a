// SPDX-License-Identifier: GPL-2.0

//! Tracepoints `nf_conntrack:nf_ct_evict`, `nf_ct_full` and `nf_ct_probe`.
//!
//! While nobody listens, one costs a branch that is patched away where the architecture can do
//! that. A kernel without tracepoints has none of it.
//!
//! `kernel::declare_trace!` looks for tracepoints in the kernel crate's bindings, where a module's
//! own are not.
//!
//! C header: `rust/helpers/nf_ct_trace.h`

use kernel::prelude::*;

use crate::linux::conn::Conn;
use crate::linux::net::Net;
use crate::linux::time::HZ;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;
use crate::pure::policy::class::Class;
use crate::pure::policy::tally::Reason;
use crate::pure::tuple::Tuple;

/// Calls a tracepoint; arguments are computed only if somebody listens.
macro_rules! trace {
    ($point:ident, $function:ident, $($value:expr),+ $(,)?) => {{
        #[cfg(CONFIG_TRACEPOINTS)]
        // SAFETY: The key of a tracepoint of ours; the arguments are what its prototype wants, and
        // live for the call.
        unsafe {
            if kernel::jump_label::static_branch_unlikely!(
                crate::bindings::$point,
                kernel::bindings::tracepoint,
                key
            ) {
                crate::bindings::$function($($value),+);
            }
        }
        #[cfg(not(CONFIG_TRACEPOINTS))]
        if false {
            $(let _ = $value;)+
        }
    }};
}

fn tuple_of(conn: &Conn) -> *const crate::bindings::nf_conntrack_tuple {
    // SAFETY: Valid by the type; only an address.
    unsafe { &raw const (*conn.node(Dir::Original)).tuple }
}

/// An entry went before its time, after so many ticks without a packet.
#[inline]
pub(crate) fn evicted(conn: &Conn, class: Class, reason: Reason, idle: impl FnOnce() -> u32) {
    trace!(
        __tracepoint_nf_ct_evict,
        rust_do_trace_nf_ct_evict,
        conn.net().as_ptr().cast_const(),
        tuple_of(conn),
        conn.zone().number(),
        class.name().as_char_ptr(),
        reason.name().as_char_ptr(),
        milliseconds(idle())
    );
}

/// A connection found no place among `count` others, of which `max` may be. `fate` is a word for
/// what becomes of the packet.
#[inline]
pub(crate) fn full(
    net: &Net,
    original: &Tuple,
    zone: Zone,
    count: u32,
    max: u32,
    fate: &'static CStr,
) {
    trace!(
        __tracepoint_nf_ct_full,
        rust_do_trace_nf_ct_full,
        net.as_ptr().cast_const(),
        core::ptr::from_ref(original).cast::<crate::bindings::nf_conntrack_tuple>(),
        zone.number(),
        count,
        max,
        fate.as_char_ptr()
    );
}

/// A step of asking a connection's ends whether they are still there; `number` counts probes.
#[inline]
pub(crate) fn probe(conn: &Conn, step: &'static CStr, number: u32) {
    trace!(
        __tracepoint_nf_ct_probe,
        rust_do_trace_nf_ct_probe,
        conn.net().as_ptr().cast_const(),
        tuple_of(conn),
        conn.zone().number(),
        step.as_char_ptr(),
        number
    );
}

/// Ticks as milliseconds, at most.
#[allow(dead_code)] // Without tracepoints.
fn milliseconds(ticks: u32) -> u32 {
    let ms = u64::from(ticks).saturating_mul(1000) / u64::from(HZ);
    u32::try_from(ms).unwrap_or(u32::MAX)
}
