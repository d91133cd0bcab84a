// SPDX-License-Identifier: GPL-2.0

//! What a module keeps in every namespace, those to come included.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use core::marker::PhantomData;
use core::mem::offset_of;
use core::mem::size_of;
use core::ptr::addr_of;
use core::ptr::addr_of_mut;
use core::ptr::null;
use kernel::error::from_result;
use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::prelude::*;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::net;
use crate::linux::net::Net;
use crate::linux::net::Private;
use crate::linux::once::read_once;
use crate::linux::once::Word;
use crate::linux::rcu::Held;

/// A module's part in the life of namespaces.
///
/// # Safety
///
/// When [`Self::leave`] returns, its namespaces are in no [`Members`] and nobody's [`Known`] any more,
/// and a grace period has passed since.
///
/// [`Members`]: crate::linux::members::Members
pub(crate) unsafe trait Subsystem {
    /// What is registered in a namespace.
    type Tenant;

    /// A namespace begins, or the module is loaded. CONTEXT: sleepable. After an error the
    /// namespace is not left.
    fn enter(net: &Net) -> Result<KBox<Self::Tenant>>;

    /// Namespaces end, or the module is unloaded; their tenants are gone. CONTEXT: sleepable.
    fn leave(nets: Batch<'_>);
}

/// What the kernel allocates in each namespace, as zeros: no tenant, and what [`Private`] says.
#[repr(C)]
struct Area<T> {
    private: Private,
    tenant: Option<KBox<T>>,
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
                    size: size_of::<Area<S::Tenant>>(),
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
    let net = unsafe { Net::from_raw(net) };
    from_result(|| {
        let tenant = S::enter(net)?;
        // SAFETY: Nobody else uses this part of the area, which is of zeros.
        unsafe { (&raw mut (*area::<S>(net)).tenant).write(Some(tenant)) };
        Ok(0)
    })
}

/// # Safety
///
/// Called by the kernel, for a namespace that it sets up or ends.
unsafe extern "C" fn leave<S: Subsystem>(list: *mut bindings::list_head) {
    let nets = Batch {
        list,
        at: list,
        _nets: PhantomData,
    };
    for net in nets.clone() {
        // SAFETY: As in `enter`.
        drop(unsafe { (*area::<S>(net)).tenant.take() });
    }
    S::leave(nets);
}

/// The area of a subsystem in a namespace. Only an address.
fn area<S: Subsystem>(net: &Net) -> *mut Area<S::Tenant> {
    // SAFETY: Set by the registration before the namespace was entered.
    unsafe {
        let id = read_once(addr_of!(net::PRIVATE_ID));
        bindings::rct_net_generic(net.as_ptr(), id).cast()
    }
}

/// A namespace that the packets of all may look at, or none. It changes under a lock of its user's.
///
/// INVARIANT: It has been entered, and has not been left for longer than a grace period.
pub(crate) struct Known(Word<Address>);

#[derive(Clone, Copy)]
struct Address(*const bindings::net);

// SAFETY: Only an address.
unsafe impl Send for Address {}

impl Known {
    /// None.
    pub(crate) const fn new() -> Self {
        Known(Word::new(Address(null())))
    }

    /// Makes it this one, which is not about to be left.
    pub(crate) fn set(&self, net: Option<&Net>) {
        // INVARIANT: By the contract of `Subsystem` it is forgotten in time.
        let at = net.map_or(null(), |net| net.as_ptr().cast_const());
        self.0.set(Address(at));
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, net: &Net) -> bool {
        self.0.get().0 == net.as_ptr().cast_const()
    }

    /// Forgets it if it is this one.
    pub(crate) fn forget(&self, net: &Net) {
        if self.is(net) {
            self.set(None);
        }
    }

    /// It, if there is one.
    pub(crate) fn get<'rcu>(&self, _rcu: Held<'rcu>) -> Option<&'rcu Net> {
        let Address(at) = self.0.get();
        // SAFETY: By the type it stays until a grace period after it was forgotten.
        (!at.is_null()).then(|| unsafe { Net::from_raw(at) })
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
