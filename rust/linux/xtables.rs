// SPDX-License-Identifier: GPL-2.0

//! Matches of x_tables about connection tracking: what rules of iptables ask of a packet.
//!
//! Not for targets, nor for matches that do without connection tracking: a rule with one of these
//! keeps tracking switched on in its namespace. Of a module of its own; `nf_conntrack.ko` does
//! without x_tables.
//!
//! C header: [`include/linux/netfilter/x_tables.h`](srctree/include/linux/netfilter/x_tables.h)

use core::marker::PhantomData;
use core::mem::size_of;
use core::ptr::addr_of;
use kernel::error::from_result;
use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::prelude::*;
use kernel::types::Opaque;

use crate::bindings;

/// A match.
///
/// # Safety
///
/// Any content is legal for `Info`: it is what user space wrote.
pub(crate) unsafe trait Match {
    /// What a rule holds, as the plugin of iptables lays it out.
    type Info: 'static;

    /// Its name on the command line.
    const NAME: &'static CStr;

    /// Its revision.
    const REVISION: u8;

    /// Whether a rule may have this. CONTEXT: sleepable.
    fn check(info: &Self::Info) -> Result;

    /// Whether a packet in this namespace matches. CONTEXT: softirq, or process context.
    fn holds(info: &Self::Info, net: Net) -> bool;
}

/// The namespace of a packet that rules look at.
#[derive(Clone, Copy)]
pub(crate) struct Net(*const bindings::net);

impl Net {
    /// How many connections it has.
    #[inline]
    pub(crate) fn connections(self) -> u32 {
        // SAFETY: Only made of a packet's namespace, in which a rule keeps tracking switched on.
        unsafe { bindings::nf_conntrack_count(self.0) }
    }

    /// How many connections a namespace may have.
    #[inline]
    pub(crate) fn limit() -> u32 {
        // SAFETY: A word that sysctls write whole; alignment as of any static.
        unsafe { addr_of!(bindings::nf_conntrack_max).read_volatile() }
    }
}

/// A match's registration. Dropping it takes the match back; rules that have it keep the module.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<M: Match> {
    #[pin]
    raw: Opaque<bindings::xt_match>,
    _match: PhantomData<M>,
}

// SAFETY: May be registered and unregistered by any task.
unsafe impl<M: Match> Send for Registration<M> {}
// SAFETY: There is nothing to do with a shared one.
unsafe impl<M: Match> Sync for Registration<M> {}

impl<M: Match> Registration<M> {
    /// Offers the match to all families. CONTEXT: sleepable.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(move |raw: *mut bindings::xt_match| {
                let wanted = bindings::xt_match {
                    name: name_of(M::NAME),
                    revision: M::REVISION,
                    // x_tables tells families apart by numbers of 16 bits here.
                    family: const { bindings::NFPROTO_UNSPEC as u16 },
                    matchsize: const { size_of::<M::Info>() as u32 },
                    match_: Some(matches::<M>),
                    checkentry: Some(begin::<M>),
                    destroy: Some(end),
                    me: module.as_ptr(),
                    ..Default::default()
                };
                // SAFETY: The slot is ours to write, and pinned until `drop` takes the match back.
                unsafe {
                    raw.write(wanted);
                    to_result(bindings::xt_register_match(raw))
                }
            }),
            _match: PhantomData,
        })
    }
}

#[pinned_drop]
impl<M: Match> PinnedDrop for Registration<M> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered by `new`.
        unsafe { bindings::xt_unregister_match(self.raw.get()) };
    }
}

/// The room that x_tables has for a name, with its NUL.
const NAME_LENGTH: usize = bindings::XT_EXTENSION_MAXNAMELEN as usize;

/// A name as it stands in the table. One that is too long is cut.
fn name_of(name: &CStr) -> [kernel::ffi::c_char; NAME_LENGTH] {
    let mut room = [0; NAME_LENGTH];
    let places = room.iter_mut().take(const { NAME_LENGTH - 1 });
    for (place, byte) in places.zip(name.to_bytes()) {
        *place = *byte;
    }
    room
}

/// What a rule holds.
///
/// # Safety
///
/// `info` is the data of a rule with match `M`, for which x_tables made room as `matchsize` says,
/// and the rule lives for `'a`.
#[inline]
unsafe fn info<'a, M: Match>(info: *const c_void) -> &'a M::Info {
    // SAFETY: By this function's contract. x_tables aligns data by eight; a rule does not change.
    unsafe { &*info.cast::<M::Info>() }
}

/// # Safety
///
/// Called by x_tables for a rule with the match and a packet.
unsafe extern "C" fn matches<M: Match>(
    _skb: *const bindings::sk_buff,
    par: *mut bindings::xt_action_param,
) -> bool {
    // SAFETY: By this function's contract: the parameters, the rule and the state of the hook live
    // during the call.
    unsafe {
        let net = Net((*(*par).state).net);
        M::holds(info::<M>((*par).__bindgen_anon_2.matchinfo), net)
    }
}

/// A rule begins.
///
/// # Safety
///
/// Called by x_tables for a rule with the match.
unsafe extern "C" fn begin<M: Match>(par: *const bindings::xt_mtchk_param) -> c_int {
    // SAFETY: By this function's contract the parameters live during the call.
    let (net, family, info) = unsafe { ((*par).net, (*par).family, info::<M>((*par).matchinfo)) };
    from_result(|| {
        M::check(info)?;
        // SAFETY: A namespace that the rule is made in; `end` puts it.
        to_result(unsafe { bindings::nf_ct_netns_get(net, family) })?;
        Ok(0)
    })
}

/// A rule ends.
///
/// # Safety
///
/// Called by x_tables for a rule that [`begin`] let through.
unsafe extern "C" fn end(par: *const bindings::xt_mtdtor_param) {
    // SAFETY: The parameters live during the call; `begin` got it.
    unsafe { bindings::nf_ct_netns_put((*par).net, (*par).family) };
}
