// SPDX-License-Identifier: GPL-2.0

//! Timeout policies: deadlines by state that a rule chose for a connection.
//!
//! A policy belongs to the module that made it (`nfnetlink_cttimeout`, `nft_ct`) and is freed, by
//! whoever puts its last reference, after a grace period.
//!
//! C header: [`include/net/netfilter/nf_conntrack_timeout.h`](srctree/include/net/netfilter/nf_conntrack_timeout.h)

use core::marker::PhantomData;
use core::mem::offset_of;
use core::mem::size_of;
use core::ptr::addr_of;
use core::ptr::NonNull;
use kernel::prelude::*;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::limits::Limits;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::rcu::Held;
use crate::pure::policy::adaptive::Span;
use crate::pure::policy::soft::UNSET;

const _: () = assert!(offset_of!(bindings::nf_ct_timeout, data) % size_of::<u32>() == 0);

/// How many words a policy has beside two rows of timeouts: the span of fillings in which it scales
/// them.
const SPAN_WORDS: usize = 2;

/// The words of a policy for a protocol with `count` timeouts: those, as mainline lays them out,
/// then as many soft timeouts, then the span. Only this module looks at what comes after the first
/// row.
pub(crate) const fn words(count: usize) -> usize {
    2 * count + SPAN_WORDS
}

/// The number of timeouts in a policy of so many words.
const fn count_of(words: usize) -> usize {
    words.saturating_sub(SPAN_WORDS) / 2
}

/// A policy, found under RCU.
#[derive(Clone, Copy)]
pub(crate) struct Policy<'rcu> {
    raw: NonNull<bindings::nf_ct_timeout>,
    _rcu: PhantomData<Held<'rcu>>,
}

impl<'rcu> Policy<'rcu> {
    /// The policy at `raw`, if any.
    ///
    /// # Safety
    ///
    /// `raw` is null, or was found in an entry or got from the hook, and a read-side section that
    /// began before is open for `'rcu`, or a reference is held.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: *mut bindings::nf_ct_timeout) -> Option<Self> {
        Some(Policy {
            raw: NonNull::new(raw)?,
            _rcu: PhantomData,
        })
    }

    /// As C knows it.
    pub(crate) fn as_ptr(self) -> *mut bindings::nf_ct_timeout {
        self.raw.as_ptr()
    }

    /// Its timeouts in ticks; `None` for a policy of a protocol that has none.
    #[inline]
    pub(crate) fn limits(self) -> Option<Limits<'rcu>> {
        let (words, count) = self.words();
        // SAFETY: There are as many words, for as long as the policy.
        (count != 0).then(|| unsafe { Limits::from_raw(words, count) })
    }

    /// Its words, and how many of them are timeouts.
    #[inline]
    fn words(self) -> (*const u32, usize) {
        // SAFETY: RCU keeps the policy; what it is made for is a table of this module's. Its data
        // are an array of words of that size, aligned as asserted above.
        unsafe {
            let bytes = (*(*self.raw.as_ptr()).l4proto).ctnl_timeout.obj_size;
            let words = (&raw const (*self.raw.as_ptr()).data).cast::<u32>();
            (words, count_of(usize::from(bytes) / size_of::<u32>()))
        }
    }

    /// What it says beside its timeouts.
    #[inline]
    pub(crate) fn extras(self) -> Option<Extras<'rcu>> {
        let (words, count) = self.words();
        // SAFETY: As above.
        (count != 0).then(|| unsafe { Extras::from_raw(words.cast_mut(), count) })
    }

    /// The layer-3 protocol that it is for.
    pub(crate) fn l3(self) -> u16 {
        // SAFETY: RCU keeps the policy; constant.
        unsafe { (*self.raw.as_ptr()).l3num }
    }

    /// The layer-4 protocol that it is for; 255 for those without a tracker.
    pub(crate) fn l4(self) -> u8 {
        // SAFETY: As in `count`.
        unsafe { (*(*self.raw.as_ptr()).l4proto).l4proto }
    }

    /// Whether it is the one at `raw`.
    pub(crate) fn is(self, raw: *const bindings::nf_ct_timeout) -> bool {
        core::ptr::eq(self.raw.as_ptr(), raw)
    }

    /// Takes a reference, unless the policy is going.
    fn hold(self) -> bool {
        // SAFETY: RCU keeps the memory.
        unsafe { bindings::rct_timeout_hold(self.raw.as_ptr()) }
    }

    /// Puts a reference; the last one frees the policy after a grace period.
    ///
    /// # Safety
    ///
    /// The caller has the reference, and gives it up.
    pub(crate) unsafe fn release(self) {
        // SAFETY: By this function's contract.
        unsafe { bindings::rct_timeout_release(self.raw.as_ptr()) };
    }
}

/// What a policy says beside its timeouts: soft timeouts, and the span in which it scales all.
#[derive(Clone, Copy)]
pub(crate) struct Extras<'a> {
    words: *mut u32,
    count: usize,
    _lives: PhantomData<&'a ()>,
}

impl<'a> Extras<'a> {
    /// Those of the policy with these words, of which `count` are timeouts.
    ///
    /// # Safety
    ///
    /// There are [`words(count)`](words) of them for `'a`, written whole by whoever writes them.
    #[inline]
    pub(crate) unsafe fn from_raw(words: *mut u32, count: usize) -> Self {
        Extras {
            words,
            count,
            _lives: PhantomData,
        }
    }

    #[inline]
    fn get(self, index: usize) -> Option<u32> {
        // SAFETY: Callers stay within what `from_raw` was promised.
        Some(unsafe { read_once(self.words.add(index)) }).filter(|word| *word != UNSET)
    }

    fn set(self, index: usize, word: Option<u32>) {
        // SAFETY: As above.
        unsafe { write_once(self.words.add(index), word.unwrap_or(UNSET)) };
    }

    /// The soft timeout at a place in the row, in ticks, if it has one of its own.
    #[inline]
    pub(crate) fn soft(self, slot: usize) -> Option<u32> {
        (slot < self.count)
            .then(|| self.get(self.count + slot))
            .flatten()
    }

    /// Sets it.
    pub(crate) fn set_soft(self, slot: usize, ticks: Option<u32>) {
        if slot < self.count {
            self.set(self.count + slot, ticks);
        }
    }

    /// The span in which it scales timeouts, if it has one of its own.
    #[inline]
    pub(crate) fn span(self) -> Option<Span> {
        Some(Span {
            start: self.get(2 * self.count)?,
            end: self.get(2 * self.count + 1)?,
        })
    }

    /// Sets it.
    pub(crate) fn set_span(self, span: Option<Span>) {
        self.set(2 * self.count, span.map(|span| span.start));
        self.set(2 * self.count + 1, span.map(|span| span.end));
    }
}

/// Where an entry keeps its policy.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'a> {
    raw: NonNull<bindings::nf_conn_timeout>,
    _conn: PhantomData<&'a Conn>,
}

impl Conn {
    /// Where it keeps its policy, if it has room for one.
    #[inline]
    pub(crate) fn timeout_slot(&self) -> Option<Slot<'_>> {
        let raw = self.ext::<bindings::nf_conn_timeout>()?;
        // SAFETY: Just found in the entry.
        Some(unsafe { Slot::from_area(raw) })
    }
}

impl<'a> Slot<'a> {
    /// The slot that an area is.
    ///
    /// # Safety
    ///
    /// `raw` is the area of an entry whose block stays for `'a`.
    pub(crate) unsafe fn from_area(raw: NonNull<bindings::nf_conn_timeout>) -> Self {
        Slot {
            raw,
            _conn: PhantomData,
        }
    }

    /// The policy in it.
    #[inline]
    pub(crate) fn policy<'rcu>(self, _rcu: Held<'rcu>) -> Option<Policy<'rcu>> {
        // SAFETY: RCU-protected; a policy lives for a grace period after it was taken out.
        unsafe { Policy::from_raw(read_once(&raw const (*self.raw.as_ptr()).timeout)) }
    }

    /// Puts a policy in, with a reference of its own. `false` if there is one, or if it is going.
    pub(crate) fn set(self, policy: Policy<'_>) -> bool {
        // SAFETY: Valid for `'a`; the entry is one packet's, or a template that is being made.
        unsafe {
            let slot = &raw mut (*self.raw.as_ptr()).timeout;
            if !read_once(slot).is_null() || !policy.hold() {
                return false;
            }
            // ORDERING: the policy was whole before a reference to it could be got.
            write_once(slot, policy.as_ptr());
            true
        }
    }

    /// Takes the policy out. Its reference is to be released by the caller.
    pub(crate) fn clear(self) {
        // SAFETY: Valid for `'a`, written whole.
        unsafe { write_once(&raw mut (*self.raw.as_ptr()).timeout, core::ptr::null_mut()) };
    }
}

/// Who keeps policies by name: `nfnetlink_cttimeout`.
#[derive(Clone, Copy)]
pub(crate) struct Registry<'rcu>(&'rcu bindings::nf_ct_timeout_hooks);

impl<'rcu> Registry<'rcu> {
    /// The registry, if its module is there.
    pub(crate) fn get(_rcu: Held<'rcu>) -> Option<Self> {
        // SAFETY: RCU-protected: its module waits for a grace period after taking it out.
        unsafe {
            read_once(addr_of!(bindings::nf_ct_timeout_hook))
                .as_ref()
                .map(Registry)
        }
    }

    /// A policy by name. Comes with a reference, which keeps the registry's module too.
    pub(crate) fn find(self, net: &Net, name: &CStr) -> Option<Policy<'rcu>> {
        let find = self.0.timeout_find_get?;
        // SAFETY: RCU keeps the registry; what it returns has a reference.
        unsafe { Policy::from_raw(find(net.as_ptr(), name.as_char_ptr())) }
    }

    /// Puts the reference that [`Self::find`] gave.
    ///
    /// # Safety
    ///
    /// The caller has it, and gives it up.
    pub(crate) unsafe fn put(self, policy: Policy<'_>) {
        if let Some(put) = self.0.timeout_put {
            // SAFETY: By this function's contract.
            unsafe { put(policy.as_ptr()) };
        }
    }
}

/// Says in the log, now and then, why a rule did not get its policy.
pub(crate) fn complain(name: &CStr, why: Complaint) {
    let name = name.as_char_ptr();
    // SAFETY: A name is a C string, which the log copies.
    unsafe {
        match why {
            Complaint::NoRegistry => bindings::rct_log_no_timeout_base(),
            Complaint::Unknown => bindings::rct_log_no_timeout(name),
            Complaint::L3(number) => bindings::rct_log_timeout_l3(name, u32::from(number)),
            Complaint::L4(number) => bindings::rct_log_timeout_l4(name, u32::from(number)),
        }
    }
}

/// Why a rule did not get its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// Nobody keeps policies.
    NoRegistry,
    /// No policy has that name.
    Unknown,
    /// It is for this layer-3 protocol.
    L3(u16),
    /// It is for this layer-4 protocol.
    L4(u8),
}
