// SPDX-License-Identifier: GPL-2.0

//! The C symbols that other modules link to: one file per public header.
//!
//! A function here checks, converts and calls `engine`; it decides nothing. Its pointers come from
//! C callers, who keep the contract of the function in the header: what is `# Safety` in there is
//! the contract of the C function, named in its doc. `helpers/exports.c` has the export records.

/// Checks at build time that functions have the types that the kernel's headers declare.
macro_rules! as_in_header {
    ($($function:ident),+ $(,)?) => {
        $(const _: () = {
            // The arms of one `if` have one type.
            let _ = if true { crate::bindings::$function } else { $function };
        };)+
    };
}
use as_in_header;

#[cfg(CONFIG_DEBUG_INFO_BTF_MODULES = "y")]
mod bpf;
pub(crate) mod core;
mod ecache;
mod expect;
mod extend;
mod gre;
mod helper;
mod hooks;
mod l4proto;
mod labels;
mod ovs;
mod seqadj;
mod standalone;
mod timeout;
