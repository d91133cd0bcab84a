// SPDX-License-Identifier: GPL-2.0

//! Network namespaces, and what connection tracking keeps in each.
//!
//! `struct netns_ct` is part of `struct net` and shared with other modules, which read and write
//! its words without locks; so does this file.
//!
//! C headers: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h),
//! [`include/net/netns/conntrack.h`](srctree/include/net/netns/conntrack.h)

use core::ptr::addr_of;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::queues::Queues;
use crate::linux::rcu::Held;
use crate::linux::slot::Slot;
use crate::linux::tallies::Tallies;
use crate::pure::l4::tcp;
use crate::pure::tuple::Addr;

/// A network namespace.
#[repr(transparent)]
pub(crate) struct Net(Opaque<bindings::net>);

// SAFETY: A namespace is shared by all of its tasks and packets.
unsafe impl Send for Net {}
// SAFETY: As above; the accessors are atomic loads and stores.
unsafe impl Sync for Net {}

impl PartialEq for Net {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Net {
    /// The namespace at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` points to a namespace that lives for `'a` and in which the module is set up.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(ptr: *const bindings::net) -> &'a Self {
        // SAFETY: By this function's contract; `Net` is transparent.
        unsafe { &*ptr.cast() }
    }

    /// As C knows it.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut bindings::net {
        self.0.get()
    }

    /// The first namespace of the machine.
    pub(crate) fn init() -> &'static Self {
        // SAFETY: `init_net` lives forever.
        unsafe { Self::from_raw(addr_of!(bindings::init_net)) }
    }

    /// Whether it is the first namespace of the machine.
    #[inline]
    pub(crate) fn is_init(&self) -> bool {
        self.as_ptr().cast_const() == addr_of!(bindings::init_net)
    }

    /// A number that keys hashes per namespace.
    #[inline]
    pub(crate) fn hash_mix(&self) -> u32 {
        // SAFETY: Valid by the type; constant for its life.
        unsafe { (*self.as_ptr()).hash_mix }
    }

    /// The part of the namespace that is connection tracking's and shared with other modules.
    #[inline(always)]
    pub(crate) fn ct(&self) -> *mut bindings::netns_ct {
        // SAFETY: Valid by the type; only the address is taken.
        unsafe { &raw mut (*self.as_ptr()).ct }
    }

    /// The number of the namespace as user space sees it.
    pub(crate) fn inum(&self) -> u32 {
        // SAFETY: Valid by the type; constant for its life.
        unsafe { (*self.as_ptr()).ns.inum }
    }

    /// How many entries the namespace has, as [`Private::entries`] counts them.
    #[inline]
    pub(crate) fn entries_now(&self) -> u32 {
        self.private().entries().load(Relaxed).unsigned_abs()
    }

    /// Whether an address of this family (`NFPROTO_*`) is one of the namespace's own.
    pub(crate) fn is_local(&self, l3: u16, addr: &Addr, _rcu: Held<'_>) -> bool {
        // SAFETY: The namespace lives by the type, the proof is of a read-side section, and an
        // address has room for that of each family.
        unsafe { bindings::rct_is_local(self.as_ptr(), l3, addr.0.as_ptr().cast()) }
    }

    /// What the module keeps in the namespace for itself.
    #[inline]
    pub(crate) fn private(&self) -> &Private {
        // SAFETY: `pernet` registered this size under this number, and the memory lives as long
        // as the namespace; `Private` is transparent over what the header declares.
        unsafe {
            let id = read_once(addr_of!(PRIVATE_ID));
            &*bindings::rct_net_generic(self.as_ptr(), id).cast::<Private>()
        }
    }

    /// The same for who is in a read-side section already: two loads instead of a call.
    #[inline]
    pub(crate) fn private_in(&self, _rcu: Held<'_>) -> &Private {
        // SAFETY: As in `private`. The array of all modules' memory, which begins with that of the
        // first, is replaced under RCU, and the proof is of a read-side section.
        unsafe {
            let id = read_once(addr_of!(PRIVATE_ID));
            let all = read_once(&raw const (*self.as_ptr()).gen);
            &*read_once(all.cast::<*const Private>().add(id as usize))
        }
    }
}

/// Set by `register_pernet_subsys()` before any namespace is set up, constant from then on.
pub(crate) static mut PRIVATE_ID: u32 = 0;

/// What the module keeps in each namespace: `struct nf_conntrack_net`, of which other modules know
/// the event part, and what is ours alone.
///
/// Valid as zeros.
#[repr(C)]
pub(crate) struct Private {
    shared: Opaque<bindings::nf_conntrack_net>,
    queues: Slot<Queues>,
    tallies: Tallies,
    local: [Atomic<i32>; 2],
    own: Opaque<Own>,
}

/// Knobs that mainline does not have. Words that sysctls write.
#[repr(C)]
pub(crate) struct Own {
    /// Soft timeouts in ticks, zero for none, in the order of each protocol's timeouts.
    pub(crate) tcp_soft: [u32; tcp::Slot::COUNT],
    /// UDP's.
    pub(crate) udp_soft: [u32; 2],
    /// SCTP's.
    pub(crate) sctp_soft: [u32; 10],
    /// GRE's.
    pub(crate) gre_soft: [u32; 2],
    /// The lowest percentage from which on a policy that was made here scales timeouts; zero if
    /// none did yet.
    pub(crate) policies_start: u32,
    /// Percent of the limit from which on timeouts are scaled.
    pub(crate) adaptive_start: u32,
    /// Percent of the limit at which timeouts are zero.
    pub(crate) adaptive_end: u32,
    /// The first of the labels that tell how full the table was; negative is none.
    pub(crate) occupancy_label: i32,
    /// Bits of an IPv4 address that make a source.
    pub(crate) fair_prefix: u32,
    /// Bits of an IPv6 address that make a source.
    pub(crate) fair_prefix6: u32,
    /// Percent of the limit that the machine's own connections have beyond it.
    pub(crate) reserved: u32,
    /// What becomes of packets whose connection finds no place.
    pub(crate) full_policy: u8,
    /// Seconds after which an idle TCP connection is probed; zero is never.
    pub(crate) probe_time: u32,
    /// Seconds between two probes.
    pub(crate) probe_interval: u32,
    /// Probes without an answer after which an end is gone.
    pub(crate) probe_probes: u32,
    /// Percent of the limit from which on probing begins.
    pub(crate) probe_above: u32,
    /// Probes a second.
    pub(crate) probe_rate: u32,
    /// Whether segments are noted for probing. No knob: the prober's.
    pub(crate) probing: bool,
    /// Whether sources share when only proven entries are left.
    pub(crate) fair: u8,
}

// SAFETY: Shared like its namespace; fields are atomic, or have a lock named at the accessor.
unsafe impl Sync for Private {}

impl Private {
    /// As C knows it.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::nf_conntrack_net {
        self.shared.get()
    }

    /// The namespace's queues of entries that may go, while it is under pressure.
    #[inline(always)]
    pub(crate) fn queues(&self) -> &Slot<Queues> {
        &self.queues
    }

    /// What is counted of reclaim.
    #[inline(always)]
    pub(crate) fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// How many entries the machine itself began while it was under pressure, and how many others
    /// began with it.
    #[inline]
    pub(crate) fn local(&self) -> &[Atomic<i32>; 2] {
        &self.local
    }

    /// Our own knobs.
    #[inline(always)]
    pub(crate) fn own(&self) -> *mut Own {
        self.own.get()
    }

    /// How many entries the namespace has, confirmed or not.
    #[inline]
    pub(crate) fn entries(&self) -> &Atomic<i32> {
        // SAFETY: The field is a C atomic, used as one by everybody, and lives as long as `self`.
        unsafe { Atomic::from_ptr(&raw mut (*self.as_ptr()).count.counter) }
    }

    /// How many expectations the namespace has. Written under the expectation lock.
    #[inline]
    pub(crate) fn expectations(&self) -> u32 {
        // SAFETY: Valid by the type.
        unsafe { read_once(&raw const (*self.as_ptr()).expect_count) }
    }
}

impl Net {
    /// Whether segments are noted for probing.
    #[inline]
    pub(crate) fn is_probing(&self) -> bool {
        // SAFETY: A byte that is written whole.
        unsafe { read_once(&raw const (*self.private().own()).probing) }
    }

    /// Sets it.
    pub(crate) fn set_probing(&self, on: bool) {
        // SAFETY: A byte of the namespace.
        unsafe { write_once(&raw mut (*self.private().own()).probing, on) };
    }
}
