// SPDX-License-Identifier: GPL-2.0

//! Labels of an entry: 128 bits that rules set and match.
//!
//! C header: [`include/net/netfilter/nf_conntrack_labels.h`](srctree/include/net/netfilter/nf_conntrack_labels.h)

use core::marker::PhantomData;
use core::mem::size_of;
use core::ptr::NonNull;
use kernel::sync::atomic::Atomic;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::net::Net;
use crate::linux::once::read_once;

/// Bits that an entry has.
pub(crate) const BITS: u32 = 128;

/// The same in words, as user space hands them over.
pub(crate) const WORDS: usize = size_of::<bindings::nf_conn_labels>() / size_of::<u32>();

const _: () = assert!(WORDS * 32 == BITS as usize);

/// The labels of an entry.
#[derive(Clone, Copy)]
pub(crate) struct Labels<'a> {
    raw: NonNull<bindings::nf_conn_labels>,
    _conn: PhantomData<&'a Conn>,
}

impl Conn {
    /// Its labels, if it has room for them.
    #[inline]
    pub(crate) fn labels(&self) -> Option<Labels<'_>> {
        let raw = self.ext::<bindings::nf_conn_labels>()?;
        Some(Labels {
            raw,
            _conn: PhantomData,
        })
    }
}

impl<'a> Labels<'a> {
    /// Each of the words, first to last.
    pub(crate) fn words(self) -> impl Iterator<Item = &'a Atomic<u32>> {
        let first = self.raw.as_ptr().cast::<u32>();
        // SAFETY: The area is `WORDS` words, which lives while the entry does; all change single
        // words by compare-and-exchange, or the entry is one packet's.
        (0..WORDS).map(move |index| unsafe { Atomic::from_ptr(first.add(index)) })
    }
}

impl Labels<'_> {
    /// Sets one. CONTEXT: the entry is unconfirmed and one packet's.
    #[inline]
    pub(crate) fn set_early(self, bit: u32) {
        if bit >= BITS {
            return;
        }
        let (index, mask) = (bit / usize::BITS, 1usize << (bit % usize::BITS));
        // SAFETY: Labels are an array of longs, and `bit` is one of theirs. By the context, nobody
        // else looks at them.
        unsafe {
            let word = self.raw.as_ptr().cast::<usize>().add(index as usize);
            word.write(word.read() | mask);
        }
    }
}

impl Net {
    /// Whether a rule looks at labels.
    #[inline]
    pub(crate) fn uses_labels(&self) -> bool {
        // SAFETY: A word that is written whole.
        unsafe { read_once(&raw const (*self.ct()).labels_used.counter) != 0 }
    }

    /// How many rules look at labels.
    #[inline]
    pub(crate) fn label_users(&self) -> &Atomic<i32> {
        // SAFETY: A C atomic that lives as long as the namespace.
        unsafe { Atomic::from_ptr(&raw mut (*self.ct()).labels_used.counter) }
    }
}
