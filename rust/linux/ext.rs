// SPDX-License-Identifier: GPL-2.0

//! Extensions: what an entry carries only when somebody asked for it.
//!
//! One block beside the entry, with a table of offsets. Freed at once with the entry, so it may be
//! looked at by holders of a reference only; grown (and moved) only while the entry is one
//! packet's. Their fields are shared with other modules and read in place.
//!
//! C header: [`include/net/netfilter/nf_conntrack_extend.h`](srctree/include/net/netfilter/nf_conntrack_extend.h)

use core::mem::align_of;
use core::mem::size_of;
use core::ptr::NonNull;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;

/// Types that an extension's area holds.
///
/// # Safety
///
/// `ID` is the extension whose area C lays out as this type.
pub(crate) unsafe trait Extension {
    /// Which extension.
    const ID: bindings::nf_ct_ext_id;
}

/// The number of an extension: an index into the table of offsets.
pub(crate) type Id = bindings::nf_ct_ext_id;

/// How many extensions there are.
const COUNT: usize = bindings::nf_ct_ext_id_NF_CT_EXT_NUM as usize;

/// Where a block's first area begins: after the table of offsets.
pub(crate) const FIRST: usize = size_of::<bindings::nf_ct_ext>();

/// Areas begin at multiples of this.
pub(crate) const ALIGN: usize = align_of::<bindings::nf_ct_ext>();

macro_rules! extensions {
    ($($type:ident = $id:ident;)*) => {
        /// The size of each extension's area, in bytes, as the headers have it.
        pub(crate) const SIZES: [usize; COUNT] = {
            let mut sizes = [0; COUNT];
            $(sizes[bindings::$id as usize] = size_of::<bindings::$type>();)*
            sizes
        };

        const _: () = {
            // Other modules were compiled for these places.
            $(assert!(align_of::<bindings::$type>() <= ALIGN);)*
        };

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

const _: () = {
    // Offsets and lengths are bytes: an entry with every extension must still fit, in whatever
    // order it got them.
    let mut whole = FIRST;
    let mut id = 0;
    while id < COUNT {
        assert!(SIZES[id] != 0);
        whole += SIZES[id].next_multiple_of(ALIGN);
        id += 1;
    }
    assert!(whole <= u8::MAX as usize);
    // An offset of zero says that there is no such extension.
    assert!(FIRST != 0 && FIRST % ALIGN == 0 && ALIGN == 8);
    // A helper's scratch area, which its module lays out for itself.
    assert!(core::mem::offset_of!(bindings::nf_conn_help, data) % 8 == 0);
};

/// Where a new area goes in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Bytes from the block's beginning.
    pub(crate) offset: u8,
    /// The first byte behind it, which is the block's new length.
    pub(crate) end: u8,
}

impl Conn {
    /// The length of its block of extensions in bytes, if it has one.
    pub(crate) fn ext_len(&self) -> Option<u8> {
        // SAFETY: As in `ext`.
        unsafe { (*self.as_ptr()).ext.as_ref().map(|ext| ext.len) }
    }

    /// Whether it has an extension.
    #[inline]
    pub(crate) fn has_ext(&self, id: Id) -> bool {
        let ext = self.ext_block();
        // SAFETY: As in `ext`; the offset is in the table or not read.
        !ext.is_null() && (id as usize) < COUNT && unsafe { Self::ext_offset(ext, id) != 0 }
    }

    /// Makes the block `capacity` bytes, with a zeroed area at `place` for extension `id`.
    ///
    /// Moves the block: areas found before are not to be used any more. `None` without memory, or
    /// for an area beyond the capacity.
    ///
    /// CONTEXT: nobody else looks at the entry's extensions: it is unconfirmed and one packet's, or
    /// its owner has it for himself.
    pub(crate) fn grow_ext(
        &self,
        id: Id,
        place: Place,
        capacity: usize,
        gfp: Gfp,
    ) -> Option<NonNull<u8>> {
        let index = id as usize;
        let size = place.end.checked_sub(place.offset)?;
        if index >= COUNT || capacity < usize::from(place.end) || usize::from(place.offset) < FIRST
        {
            return None;
        }
        let old = self.ext_block();
        // SAFETY: The block is from `krealloc()` or null, and the entry's alone, by the context.
        // Everything written lies below `capacity`, checked above.
        unsafe {
            let new = bindings::rct_krealloc(old.cast(), capacity, gfp.0);
            let base = NonNull::new(new.cast::<u8>())?;
            let ext = base.as_ptr().cast::<bindings::nf_ct_ext>();
            let table = (&raw mut (*ext).offset).cast::<u8>();
            if old.is_null() {
                table.write_bytes(0, COUNT);
            }
            table.add(index).write(place.offset);
            (&raw mut (*ext).len).write(place.end);
            let area = base.add(usize::from(place.offset));
            area.write_bytes(0, usize::from(size));
            (*self.as_ptr()).ext = ext;
            Some(area)
        }
    }

    /// The whole block, for a look in tests.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn ext_bytes(&self) -> Option<&[u8]> {
        let len = usize::from(self.ext_len()?);
        // SAFETY: The block has that length, and stays until the entry gets an extension.
        Some(unsafe { core::slice::from_raw_parts(self.ext_block().cast(), len) })
    }

    #[inline(always)]
    fn ext_block(&self) -> *mut bindings::nf_ct_ext {
        // SAFETY: Valid by the type.
        unsafe { (*self.as_ptr()).ext }
    }

    /// What the table of offsets says.
    ///
    /// # Safety
    ///
    /// `ext` is a block of extensions, and `id` is one of them.
    #[inline(always)]
    unsafe fn ext_offset(ext: *const bindings::nf_ct_ext, id: Id) -> u8 {
        // SAFETY: By this function's contract; only addresses are formed.
        unsafe {
            (&raw const (*ext).offset)
                .cast::<u8>()
                .add(id as usize)
                .read()
        }
    }

    /// The area of an extension, if the entry has it. Valid while the reference is held and the
    /// entry gets no further extension.
    #[inline(always)]
    pub(crate) fn ext<T: Extension>(&self) -> Option<NonNull<T>> {
        let ext = self.ext_block();
        if ext.is_null() {
            return None;
        }
        // SAFETY: The holder of a reference may look at the block, whose table has an entry for
        // every extension.
        unsafe {
            let offset = Self::ext_offset(ext, T::ID);
            if offset == 0 {
                return None;
            }
            NonNull::new(ext.cast::<u8>().add(usize::from(offset)).cast::<T>())
        }
    }
}
