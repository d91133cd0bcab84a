// SPDX-License-Identifier: GPL-2.0

//! What a hook function tells netfilter to do with a packet.

use crate::bindings;

/// `NF_ACCEPT` and its like; helpers in user space return queue numbers in the upper bits.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Verdict(pub(crate) u32);

impl Verdict {
    /// Go on.
    pub(crate) const ACCEPT: Verdict = Verdict(bindings::NF_ACCEPT);
    /// Free it.
    pub(crate) const DROP: Verdict = Verdict(bindings::NF_DROP);
}
