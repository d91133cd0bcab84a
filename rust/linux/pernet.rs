// SPDX-License-Identifier: GPL-2.0

//! What a module keeps in every namespace, those to come included.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use core::marker::PhantomData;
use core::mem::offset_of;
use core::mem::size_of;
use core::ptr::addr_of;
use core::ptr::addr_of_mut;
use kernel::error::from_result;
use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::prelude::*;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::net;
use crate::linux::net::Net;
use crate::linux::once::read_once;

/// A module's part in the life of namespaces.
///
/// # Safety
///
/// `Area` begins with `struct nf_conntrack_net` and is valid as zeros.
pub(crate) unsafe trait Subsystem {
    /// What the kernel allocates for it in each namespace, as zeros, before [`Self::enter`], and
    /// frees after [`Self::leave`].
    type Area;

    /// A namespace begins, or the module is loaded. CONTEXT: sleepable. After an error the
    /// namespace is not left.
    fn enter(net: &Net) -> Result;

    /// Namespaces end, or the module is unloaded. CONTEXT: sleepable.
    fn leave(nets: Batch<'_>);
}

/// A subsystem's registration. Dropping it leaves all namespaces.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<S: Subsystem> {
    #[pin]
    ops: Opaque<bindings::pernet_operations>,
    _subsystem: PhantomData<S>,
}

// SAFETY: May be registered and unregistered by any task.
unsafe impl<S: Subsystem> Send for Registration<S> {}
// SAFETY: There is nothing to do with a shared one.
unsafe impl<S: Subsystem> Sync for Registration<S> {}

impl<S: Subsystem> Registration<S> {
    /// Enters all namespaces. CONTEXT: sleepable. Once, since there is one area a namespace.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            ops <- Opaque::try_ffi_init(|ops: *mut bindings::pernet_operations| {
                let wanted = bindings::pernet_operations {
                    init: Some(enter::<S>),
                    exit_batch: Some(leave::<S>),
                    id: addr_of_mut!(net::PRIVATE_ID),
                    size: size_of::<S::Area>(),
                    ..Default::default()
                };
                // SAFETY: The slot is ours to write, and pinned until `drop` unregisters it.
                unsafe {
                    ops.write(wanted);
                    to_result(bindings::register_pernet_subsys(ops))
                }
            }),
            _subsystem: PhantomData,
        })
    }
}

#[pinned_drop]
impl<S: Subsystem> PinnedDrop for Registration<S> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered by `new`.
        unsafe { bindings::unregister_pernet_subsys(self.ops.get()) };
    }
}

/// # Safety
///
/// Called by the kernel, for a namespace that it sets up or ends.
unsafe extern "C" fn enter<S: Subsystem>(net: *mut bindings::net) -> c_int {
    // SAFETY: The kernel calls with a namespace that has its area.
    from_result(|| S::enter(unsafe { Net::from_raw(net) }).map(|()| 0))
}

/// # Safety
///
/// Called by the kernel, for a namespace that it sets up or ends.
unsafe extern "C" fn leave<S: Subsystem>(list: *mut bindings::list_head) {
    S::leave(Batch {
        list,
        at: list,
        _nets: PhantomData,
    });
}

/// The area of a subsystem in a namespace that it has entered. Only an address.
pub(crate) fn area<S: Subsystem>(net: &Net) -> *mut S::Area {
    // SAFETY: Set by the registration before the namespace was entered.
    unsafe {
        let id = read_once(addr_of!(net::PRIVATE_ID));
        bindings::rct_net_generic(net.as_ptr(), id).cast()
    }
}

/// Whether an address is that of a word in a namespace's `struct net`.
pub(crate) fn is_in_a_namespace(at: *const c_void) -> bool {
    // SAFETY: Only compares addresses.
    unsafe { bindings::rct_is_in_a_net(at) }
}

/// Namespaces that end together, as an iterator that can be begun anew by cloning it.
#[derive(Clone)]
pub(crate) struct Batch<'a> {
    list: *mut bindings::list_head,
    at: *mut bindings::list_head,
    _nets: PhantomData<&'a Net>,
}

impl<'a> Iterator for Batch<'a> {
    type Item = &'a Net;

    fn next(&mut self) -> Option<&'a Net> {
        // SAFETY: The kernel's list of namespaces, linked by `exit_list`; it stays as it is, and
        // they stay alive, while `leave` runs.
        unsafe {
            self.at = (*self.at).next;
            if self.at == self.list {
                // The next call begins anew, as the list is a ring.
                return None;
            }
            let net = self
                .at
                .cast::<u8>()
                .sub(offset_of!(bindings::net, exit_list));
            Some(Net::from_raw(net.cast()))
        }
    }
}
