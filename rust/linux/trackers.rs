// SPDX-License-Identifier: GPL-2.0

//! The trackers' state inside an entry: a union that flow tables, `act_ct`, Open vSwitch and
//! ctnetlink write as well, some of them without the entry's lock.
//!
//! State is copied out, changed by `pure`, and copied back. What others change without a lock (the
//! TCP flags) is stored only where it differs from what was loaded.

use core::mem::align_of;
use core::mem::offset_of;
use core::mem::size_of;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::pure::l4::gre::Timers;
use crate::pure::l4::sctp::Tracking as Association;
use crate::pure::l4::tcp;
use crate::pure::l4::tcp::Sender;
use crate::pure::l4::tcp::Tracking;
use crate::pure::num::Dir;
use crate::pure::num::Jiffies;
use crate::pure::policy::probe::Notes;
use crate::pure::policy::probe::Stamps;
use crate::pure::policy::soft;
use crate::pure::tuple::proto;

const _: () = {
    // What is ours lies where C has nothing.
    assert!(offset_of!(Tracking, probing) == size_of::<bindings::ip_ct_tcp>());
    assert!(PLACE % align_of::<u32>() == 0 && PLACE >= size_of::<bindings::ip_ct_sctp>());
    assert!(PLACE >= size_of::<bindings::nf_ct_udp>() && PLACE >= size_of::<bindings::nf_ct_gre>());
    assert!(PLACE + size_of::<u32>() <= size_of::<bindings::nf_conntrack_proto>());
    assert!(size_of::<Tracking>() <= size_of::<bindings::nf_conntrack_proto>());
    assert!(offset_of!(Sender, ingress) == offset_of!(bindings::ip_ct_tcp_state, flags) + 1);
    assert!(size_of::<bindings::nf_conn>() % align_of::<Stamps>() == 0);
    assert!(offset_of!(Tracking, state) == offset_of!(bindings::ip_ct_tcp, state));
    assert!(offset_of!(Tracking, last_index) == offset_of!(bindings::ip_ct_tcp, last_index));
    assert!(offset_of!(Tracking, last_end) == offset_of!(bindings::ip_ct_tcp, last_end));
    assert!(offset_of!(Tracking, last_flags) == offset_of!(bindings::ip_ct_tcp, last_flags));
    assert!(size_of::<Sender>() == size_of::<bindings::ip_ct_tcp_state>());
    assert!(offset_of!(Sender, max_win) == offset_of!(bindings::ip_ct_tcp_state, td_maxwin));
    assert!(offset_of!(Sender, scale) == offset_of!(bindings::ip_ct_tcp_state, td_scale));
    assert!(size_of::<Association>() == size_of::<bindings::ip_ct_sctp>());
    assert!(offset_of!(Association, tag) == offset_of!(bindings::ip_ct_sctp, vtag));
    assert!(offset_of!(Association, flags) == offset_of!(bindings::ip_ct_sctp, flags));
    assert!(offset_of!(Sender, flags) == offset_of!(bindings::ip_ct_tcp_state, flags));
};

/// Where in the union the other trackers' entries have what TCP's need for probing.
const PLACE: usize = size_of::<bindings::ip_ct_tcp>();

impl Conn {
    /// The word for the place of a hint, if it is not TCP's.
    #[inline(always)]
    fn place(&self) -> Option<*mut u32> {
        let is_free = self.proto() != proto::TCP;
        is_free.then(|| self.private().cast::<u8>().wrapping_add(PLACE).cast())
    }

    /// The place that was remembered of an entry's hint; `None` also for TCP, which needs all of its
    /// memory.
    #[inline]
    pub(crate) fn hint_place(&self) -> Option<u32> {
        // SAFETY: An aligned word inside the union and behind what the other trackers have there, as
        // asserted above; valid by the type, zero in a new entry, and read and written whole.
        unsafe { read_once(self.place()?) }.checked_sub(1)
    }

    /// Remembers it.
    #[inline]
    pub(crate) fn set_hint_place(&self, place: u32) {
        if let Some(word) = self.place() {
            // SAFETY: As in `hint_place`.
            unsafe { write_once(word, place.wrapping_add(1)) };
        }
    }

    #[inline(always)]
    fn tcp(&self) -> *mut Tracking {
        self.private().cast()
    }

    /// A copy of the TCP state. CONTEXT: the entry's lock held, or the entry unshared.
    #[inline]
    pub(crate) fn load_tcp(&self) -> Tracking {
        // SAFETY: Same layout, asserted above; every bit pattern is a value.
        unsafe { self.tcp().read() }
    }

    /// Stores what a step changed. CONTEXT: as for [`Conn::load_tcp`].
    #[inline]
    pub(crate) fn store_tcp(&self, before: &Tracking, after: &Tracking) {
        // SAFETY: Same layout; the lock keeps all writers out but those of `flags`.
        unsafe {
            let at = self.tcp();
            for dir in Dir::BOTH {
                let i = dir.index();
                let (old, new) = (&before.seen[i], &after.seen[i]);
                let slot = &raw mut (*at).seen[i];
                if old.flags != new.flags {
                    write_once(&raw mut (*slot).flags, new.flags);
                }
                (&raw mut (*slot).end).write(new.end);
                (&raw mut (*slot).max_end).write(new.max_end);
                (&raw mut (*slot).max_win).write(new.max_win);
                (&raw mut (*slot).max_ack).write(new.max_ack);
                (&raw mut (*slot).scale).write(new.scale);
                (&raw mut (*slot).ingress).write(new.ingress);
            }
            let from = offset_of!(Tracking, state);
            core::ptr::copy_nonoverlapping(
                core::ptr::from_ref(after).cast::<u8>().add(from),
                at.cast::<u8>().add(from),
                size_of::<Tracking>() - from,
            );
        }
    }

    /// Begins the TCP state anew. CONTEXT: the entry is unconfirmed and one packet's.
    #[inline]
    pub(crate) fn replace_tcp(&self, fresh: &Tracking) {
        // SAFETY: Same layout; nobody else looks.
        unsafe { self.tcp().write(*fresh) };
    }

    /// The TCP state's number, without a lock; any byte.
    #[inline]
    pub(crate) fn tcp_state(&self) -> u8 {
        // SAFETY: Same layout.
        unsafe { read_once(&raw const (*self.tcp()).state) }
    }

    /// What may have a soft timeout in the TCP connection, without a lock: what is seen may be out
    /// of date by a segment.
    #[inline]
    pub(crate) fn tcp_soft_slots(&self, max_retrans: u8) -> (tcp::Slot, tcp::Slot) {
        // SAFETY: Same layout; bytes that are written whole.
        let (state, retrans, flags) = unsafe {
            let at = self.tcp();
            let seen = (&raw const (*at).seen).cast::<Sender>();
            (
                read_once(&raw const (*at).state),
                read_once(&raw const (*at).retrans),
                read_once(&raw const (*seen).flags) | read_once(&raw const (*seen.add(1)).flags),
            )
        };
        let unacknowledged = flags & tcp::flag::DATA_UNACKNOWLEDGED != 0;
        soft::of_tcp(state, retrans, max_retrans, unacknowledged)
    }

    /// What is remembered for probing, without a lock.
    #[inline]
    pub(crate) fn probing(&self) -> Notes {
        // SAFETY: Same layout; bytes that are written whole.
        unsafe { read_once(&raw const (*self.tcp()).probing) }
    }

    /// Where the segments of a side come in, without a lock.
    #[inline]
    pub(crate) fn tcp_ingress(&self, side: Dir) -> u16 {
        // SAFETY: Same layout.
        unsafe { read_once(&raw const (*self.tcp()).seen[side.index()].ingress) }
    }

    fn stamps_at(&self) -> *mut Stamps {
        // SAFETY: Entries and templates have room for them behind what C knows, see `slab::SIZE`.
        unsafe { self.as_ptr().add(1).cast() }
    }

    /// The timestamps that the sides of a TCP connection sent last, as far as `probing` says that
    /// they did. CONTEXT: as for [`Conn::load_tcp`].
    #[inline]
    pub(crate) fn stamps(&self) -> Stamps {
        // SAFETY: Ours; every bit pattern is a value.
        unsafe { self.stamps_at().read() }
    }

    /// Stores them. CONTEXT: as for [`Conn::load_tcp`].
    #[inline]
    pub(crate) fn set_stamps(&self, stamps: Stamps) {
        // SAFETY: Ours.
        unsafe { self.stamps_at().write(stamps) };
    }

    #[inline(always)]
    fn udp(&self) -> *mut bindings::nf_ct_udp {
        self.private().cast()
    }

    #[inline(always)]
    fn gre(&self) -> *mut bindings::nf_ct_gre {
        self.private().cast()
    }

    /// When a UDP flow counts as a stream.
    #[inline]
    pub(crate) fn udp_stream(&self) -> Jiffies {
        // SAFETY: A word of the union.
        Jiffies(unsafe { read_once(&raw const (*self.udp()).stream_ts) })
    }

    /// Stores it.
    #[inline]
    pub(crate) fn set_udp_stream(&self, at: Jiffies) {
        // SAFETY: A word of the union.
        unsafe { write_once(&raw mut (*self.udp()).stream_ts, at.0) };
    }

    /// A GRE connection's own timeouts.
    #[inline]
    pub(crate) fn gre_timers(&self) -> Timers {
        // SAFETY: Words of the union.
        unsafe {
            Timers {
                unreplied: read_once(&raw const (*self.gre()).timeout),
                replied: read_once(&raw const (*self.gre()).stream_timeout),
            }
        }
    }

    /// Stores them.
    #[inline]
    pub(crate) fn set_gre_timers(&self, timers: Timers) {
        // SAFETY: Words of the union.
        unsafe {
            write_once(&raw mut (*self.gre()).timeout, timers.unreplied);
            write_once(&raw mut (*self.gre()).stream_timeout, timers.replied);
        }
    }

    #[inline(always)]
    fn sctp(&self) -> *mut Association {
        self.private().cast()
    }

    /// A copy of the SCTP state. CONTEXT: as for [`Conn::load_tcp`].
    #[inline]
    pub(crate) fn load_sctp(&self) -> Association {
        // SAFETY: Same layout, asserted above; every bit pattern is a value.
        unsafe { self.sctp().read() }
    }

    /// Stores the SCTP state. CONTEXT: as for [`Conn::load_tcp`].
    #[inline]
    pub(crate) fn store_sctp(&self, association: &Association) {
        // SAFETY: Same layout; all writers take the lock.
        unsafe { self.sctp().write(*association) };
    }

    /// The SCTP state's number, without a lock; any word.
    #[inline]
    pub(crate) fn sctp_state(&self) -> u32 {
        // SAFETY: Same layout.
        unsafe { read_once(&raw const (*self.sctp()).state) }
    }
}
