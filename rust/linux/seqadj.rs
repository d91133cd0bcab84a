// SPDX-License-Identifier: GPL-2.0

//! Where an entry keeps how its sequence numbers move, and the TCP header that is changed by it.
//!
//! C header: [`include/net/netfilter/nf_conntrack_seqadj.h`](srctree/include/net/netfilter/nf_conntrack_seqadj.h)

use core::marker::PhantomData;
use core::mem::offset_of;
use core::mem::size_of;
use core::ptr::NonNull;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::skb::Skb;
use crate::pure::num::Dir;
use crate::pure::num::Seq;
use crate::pure::policy::seqadj::Way;

const _: () = {
    // One layout, two names.
    assert!(size_of::<Way>() == size_of::<bindings::nf_ct_seqadj>());
    assert!(offset_of!(Way, correction_pos) == offset_of!(bindings::nf_ct_seqadj, correction_pos));
    assert!(offset_of!(Way, before) == offset_of!(bindings::nf_ct_seqadj, offset_before));
    assert!(offset_of!(Way, after) == offset_of!(bindings::nf_ct_seqadj, offset_after));
};

/// How both directions of an entry move. Changed under the entry's lock, read without.
#[derive(Clone, Copy)]
pub(crate) struct Ways<'a> {
    raw: NonNull<bindings::nf_conn_seqadj>,
    _conn: PhantomData<&'a Conn>,
}

impl Conn {
    /// How its sequence numbers move, if it has room for that.
    #[inline]
    pub(crate) fn ways(&self) -> Option<Ways<'_>> {
        let raw = self.ext::<bindings::nf_conn_seqadj>()?;
        Some(Ways {
            raw,
            _conn: PhantomData,
        })
    }
}

impl Ways<'_> {
    fn way(self, dir: Dir) -> *mut Way {
        // SAFETY: An array of two; only an address.
        unsafe {
            (&raw mut (*self.raw.as_ptr()).seq)
                .cast::<Way>()
                .add(dir.index())
        }
    }

    /// How a direction moves. Without the entry's lock it may be half of a change.
    #[inline]
    pub(crate) fn get(self, dir: Dir) -> Way {
        let way = self.way(dir);
        // SAFETY: Valid while the entry is; words that are written whole.
        unsafe {
            Way {
                correction_pos: read_once(&raw const (*way).correction_pos),
                before: read_once(&raw const (*way).before),
                after: read_once(&raw const (*way).after),
            }
        }
    }

    /// Changes how a direction moves. CONTEXT: the entry's lock is held.
    pub(crate) fn set(self, dir: Dir, new: Way) {
        let way = self.way(dir);
        // SAFETY: As in `get`.
        unsafe {
            write_once(&raw mut (*way).correction_pos, new.correction_pos);
            write_once(&raw mut (*way).before, new.before);
            write_once(&raw mut (*way).after, new.after);
        }
    }
}

impl Skb {
    /// The sequence number of the TCP header behind its IPv4 header.
    ///
    /// # Safety
    ///
    /// The packet is TCP over IPv4 with both headers in its linear part.
    pub(crate) unsafe fn ipv4_tcp_seq(&self) -> Seq {
        // SAFETY: By this function's contract.
        let raw = unsafe { bindings::rct_skb_ipv4_tcp_seq(self.as_ptr()) };
        Seq(u32::from_be(raw))
    }
}

/// A TCP header that may be written to: in the linear part of a packet, and not shared.
pub(crate) struct TcpHeader<'a> {
    skb: &'a Skb,
    /// INVARIANT: the packet's linear part has [`Self::SIZE`] bytes from there on, and is ours.
    offset: u32,
}

impl<'a> TcpHeader<'a> {
    /// Bytes without options.
    const SIZE: u32 = 20;

    const SEQ: usize = 4;
    const ACK_SEQ: usize = 8;
    const DATA_OFFSET: usize = 12;
    const FLAGS: usize = 13;
    const CHECK: usize = 16;

    const ACK: u8 = 0x10;

    /// The header at `offset`, if it is all there and can be made writable.
    ///
    /// CONTEXT: pointers into the packet are not to be used any more.
    pub(crate) fn writable(skb: &'a Skb, offset: u32) -> Option<Self> {
        let end = offset.checked_add(Self::SIZE)?;
        ensure_writable(skb, end)?;
        Some(TcpHeader { skb, offset })
    }

    fn base(&self) -> *mut u8 {
        // SAFETY: By the invariant; the data move when more of them are made writable.
        unsafe { (*self.skb.as_ptr()).data.add(self.offset as usize) }
    }

    fn byte(&self, at: usize) -> u8 {
        // SAFETY: By the invariant; callers stay below `SIZE`.
        unsafe { self.base().add(at).read() }
    }

    fn number(&self, at: usize) -> Seq {
        // SAFETY: As in `byte`.
        let bytes = unsafe { self.base().add(at).cast::<[u8; 4]>().read() };
        Seq(u32::from_be_bytes(bytes))
    }

    fn set_number(&self, at: usize, new: Seq) {
        let (old, new) = (self.number(at).0.to_be_bytes(), new.0.to_be_bytes());
        self.correct_checksum(old, new);
        // SAFETY: As in `byte`.
        unsafe { self.base().add(at).cast::<[u8; 4]>().write(new) };
    }

    /// Makes up for a change of four bytes.
    fn correct_checksum(&self, old: [u8; 4], new: [u8; 4]) {
        // SAFETY: By the invariant the checksum is there; it and the packet's own are changed.
        unsafe {
            bindings::inet_proto_csum_replace4(
                self.base().add(Self::CHECK).cast(),
                self.skb.as_ptr(),
                u32::from_ne_bytes(old),
                u32::from_ne_bytes(new),
                false,
            );
        }
    }

    /// Its sequence number.
    pub(crate) fn seq(&self) -> Seq {
        self.number(Self::SEQ)
    }

    /// Changes it.
    pub(crate) fn set_seq(&self, seq: Seq) {
        self.set_number(Self::SEQ, seq);
    }

    /// What it acknowledges, if it does.
    pub(crate) fn ack(&self) -> Option<Seq> {
        let acks = self.byte(Self::FLAGS) & Self::ACK != 0;
        acks.then(|| self.number(Self::ACK_SEQ))
    }

    /// Changes what it acknowledges.
    pub(crate) fn set_ack(&self, ack: Seq) {
        self.set_number(Self::ACK_SEQ, ack);
    }

    /// Lets `edit` change the options; it gets them, and a function to call with the old and new
    /// bytes of every number that it changes. `None` if they are cut off.
    pub(crate) fn edit_options<R>(
        &self,
        edit: impl FnOnce(&mut [u8], &mut dyn FnMut([u8; 4], [u8; 4])) -> R,
    ) -> Option<R> {
        let length = u32::from(self.byte(Self::DATA_OFFSET) >> 4) * 4;
        ensure_writable(self.skb, self.offset.checked_add(length)?)?;
        let size = length.saturating_sub(Self::SIZE) as usize;
        // SAFETY: The bytes from the header's end to `length` are in the linear part and ours, as
        // just made sure. The checksum lies before them, and nobody else looks at the packet.
        let options =
            unsafe { core::slice::from_raw_parts_mut(self.base().add(Self::SIZE as usize), size) };
        Some(edit(options, &mut |old, new| {
            self.correct_checksum(old, new)
        }))
    }
}

/// Has the first `length` bytes of a packet in its linear part, and for itself.
fn ensure_writable(skb: &Skb, length: u32) -> Option<()> {
    // SAFETY: Valid by the type.
    let error = unsafe { bindings::skb_ensure_writable(skb.as_ptr(), length) };
    (error == 0).then_some(())
}
