// SPDX-License-Identifier: GPL-2.0

//! Module parameters, which `helpers/params.c` declares.
//!
//! `acct` and `tstamp` are what new namespaces begin with; `hashsize` is the table's size.

use core::ptr::addr_of;
use kernel::error::to_result;
use kernel::ffi::c_char;
use kernel::prelude::*;

use crate::bindings;
use crate::engine::table;
use crate::linux::once::read_once;

/// Whether new namespaces count packets and bytes (`acct`).
pub(crate) fn acct() -> bool {
    // SAFETY: A byte that is written whole.
    unsafe { read_once(addr_of!(bindings::rct_param_acct)) }
}

/// Whether new namespaces note when connections begin and end (`tstamp`).
pub(crate) fn tstamp() -> bool {
    // SAFETY: As in `acct`.
    unsafe { read_once(addr_of!(bindings::rct_param_tstamp)) }
}

/// Whether namespaces are tracked without anybody asking for it (`enable_hooks`).
pub(crate) fn enable_hooks() -> bool {
    // SAFETY: Constant after the module was loaded.
    unsafe { read_once(addr_of!(bindings::rct_param_enable_hooks)) }
}

/// Sets `hashsize`: keeps the wish until there is a table, and resizes that from then on.
///
/// Errors: `EOPNOTSUPP` outside of the first namespace, those of the number's format, `EINVAL` for
/// zero, `ENOMEM`.
///
/// # Safety
///
/// A task sets the parameter `param`, which is the table's size, to `text`.
pub(crate) unsafe fn set_hashsize(
    text: *const c_char,
    param: *const bindings::kernel_param,
) -> Result {
    // SAFETY: By this function's contract.
    unsafe {
        if !bindings::rct_current_is_in_init_net() {
            return Err(EOPNOTSUPP);
        }
        if !table::exists() {
            return to_result(bindings::param_set_uint(text, param));
        }
        let mut buckets = 0;
        to_result(bindings::kstrtouint(text, 0, &mut buckets))?;
        table::resize(buckets)
    }
}
