// SPDX-License-Identifier: GPL-2.0

//! The log of invalid packets, `nf_conntrack_log_invalid`.
//!
//! C header: [`include/net/netfilter/nf_log.h`](srctree/include/net/netfilter/nf_log.h)

use core::fmt::Display;
use kernel::fmt;
use kernel::prelude::*;

use crate::bindings;
use crate::linux::once::read_once;
use crate::linux::skb::HookState;
use crate::linux::skb::Skb;

/// Writes why a packet of protocol `proto` is invalid, if the administrator wants to know.
///
/// The reasons come from `pure`, which knows core's trait only.
///
/// CONTEXT: no lock of an entry held; a listener may ask the entry for its state.
#[inline]
pub(crate) fn invalid(skb: &Skb, state: HookState<'_>, proto: u8, why: &dyn Display) {
    // SAFETY: A byte that the sysctl writes whole.
    let wanted = unsafe { read_once(&raw const (*state.net().ct()).sysctl_log_invalid) };
    if wanted != 0 {
        write(skb, state, proto, format_args!("{why}"));
    }
}

/// As [`invalid`], with a constant text.
pub(crate) fn invalid_text(skb: &Skb, state: HookState<'_>, proto: u8, why: &CStr) {
    invalid(skb, state, proto, &Text(why));
}

/// A text of ours, which is ASCII.
struct Text<'a>(&'a CStr);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

#[cold]
fn write(skb: &Skb, state: HookState<'_>, proto: u8, why: fmt::Arguments<'_>) {
    // SAFETY: The packet and the state are valid by their types; `%pA` takes a pointer to
    // formatting arguments.
    unsafe {
        bindings::nf_l4proto_log_invalid(
            skb.as_ptr(),
            state.as_ptr(),
            proto,
            c"%pA".as_char_ptr(),
            core::ptr::from_ref(&why).cast::<c_void>(),
        );
    }
}
