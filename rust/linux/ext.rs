// SPDX-License-Identifier: GPL-2.0

//! Extensions: what an entry carries only when somebody asked for it.
//!
//! One block beside the entry, with a table of offsets. Freed at once with the entry, so it may be
//! looked at by holders of a reference only; grown (and moved) only while the entry is one
//! packet's. Their fields are shared with other modules and read in place.
//!
//! C header: [`include/net/netfilter/nf_conntrack_extend.h`](srctree/include/net/netfilter/nf_conntrack_extend.h)

use core::ptr::NonNull;

use crate::bindings;
use crate::linux::conn::Conn;

/// Types that an extension's area holds.
///
/// # Safety
///
/// `ID` is the extension whose area C lays out as this type.
pub(crate) unsafe trait Extension {
    /// Which extension.
    const ID: bindings::nf_ct_ext_id;
}

macro_rules! extensions {
    ($($type:ident = $id:ident;)*) => {
        $(
            // SAFETY: As the header of the extension has it.
            unsafe impl Extension for bindings::$type {
                const ID: bindings::nf_ct_ext_id = bindings::$id;
            }
        )*
    };
}

extensions! {
    nf_conn_help = nf_ct_ext_id_NF_CT_EXT_HELPER;
    nf_conn_nat = nf_ct_ext_id_NF_CT_EXT_NAT;
    nf_conn_seqadj = nf_ct_ext_id_NF_CT_EXT_SEQADJ;
    nf_conn_acct = nf_ct_ext_id_NF_CT_EXT_ACCT;
    nf_conntrack_ecache = nf_ct_ext_id_NF_CT_EXT_ECACHE;
    nf_conn_tstamp = nf_ct_ext_id_NF_CT_EXT_TSTAMP;
    nf_conn_timeout = nf_ct_ext_id_NF_CT_EXT_TIMEOUT;
    nf_conn_labels = nf_ct_ext_id_NF_CT_EXT_LABELS;
    nf_conn_synproxy = nf_ct_ext_id_NF_CT_EXT_SYNPROXY;
    nf_conn_act_ct_ext = nf_ct_ext_id_NF_CT_EXT_ACT_CT;
}

impl Conn {
    /// The area of an extension, if the entry has it. Valid while the reference is held and the
    /// entry gets no further extension.
    #[inline(always)]
    pub(crate) fn ext<T: Extension>(&self) -> Option<NonNull<T>> {
        // SAFETY: Valid by the type: the holder of a reference may look at the block, whose table
        // has an entry for every extension.
        unsafe {
            let ext = (*self.as_ptr()).ext;
            if ext.is_null() {
                return None;
            }
            let offset = (&raw const (*ext).offset).cast::<u8>().add(T::ID as usize).read();
            if offset == 0 {
                return None;
            }
            NonNull::new(ext.cast::<u8>().add(usize::from(offset)).cast::<T>())
        }
    }
}
