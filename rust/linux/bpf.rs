// SPDX-License-Identifier: GPL-2.0

//! Functions that BPF programs may call. They are in `helpers/bpf.c`.
//!
//! C header: [`include/linux/btf.h`](srctree/include/linux/btf.h)

use kernel::error::to_result;
use kernel::prelude::*;

extern "C" {
    fn rct_bpf_register() -> kernel::ffi::c_int;
    fn rct_bpf_unregister();
}

/// What programs may call, and the part of an entry that they may write, while it exists.
///
/// Programs that are loaded hold the module, so none is left when it is dropped.
pub(crate) struct Functions(());

impl Functions {
    /// Makes them known; none if the module was built without type information. CONTEXT: sleepable,
    /// while the module is loaded and what they work on is there.
    pub(crate) fn register() -> Result<Self> {
        // SAFETY: The sets and the functions in them are static.
        to_result(unsafe { rct_bpf_register() })?;
        Ok(Functions(()))
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        // SAFETY: Registered. The verifier asks with the mutex held that this takes.
        unsafe { rct_bpf_unregister() };
    }
}
