// SPDX-License-Identifier: GPL-2.0

//! C declarations: the kernel crate's bindings and, for what these lack, our own.
//!
//! Raw material for `linux/` and `abi/`; nothing else uses it. Made by `bindings/generate` from
//! `bindings/bindings_helper.h`; `Kbuild` names the file.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    improper_ctypes
)]

pub(crate) use kernel::bindings::*;

mod generated {
    #[allow(unused_imports)] // Which are used depends on the configuration.
    use kernel::{bindings::*, ffi, prelude::*};
    use pin_init::MaybeZeroable;

    type __kernel_size_t = usize;
    type __kernel_ssize_t = isize;
    type __kernel_ptrdiff_t = isize;

    include!(env!("RCONNTRACK_BINDINGS"));
}
pub(crate) use generated::*;
// The kernel crate knows these by name only. Not each of our crates uses them.
#[allow(unused_imports)]
pub(crate) use generated::nf_conntrack_ecache;
#[allow(unused_imports)]
pub(crate) use generated::nf_ct_event_notifier;
#[allow(unused_imports)]
pub(crate) use generated::sock;
