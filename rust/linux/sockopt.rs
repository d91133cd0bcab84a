// SPDX-License-Identifier: GPL-2.0

//! Socket options that netfilter modules answer.
//!
//! C header: [`include/linux/netfilter.h`](srctree/include/linux/netfilter.h)

use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::from_result;
use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::prelude::*;
use kernel::types::Opaque;
use kernel::uaccess::UserPtr;
use kernel::uaccess::UserSlice;

use crate::bindings;
use crate::linux::net::Net;
use crate::pure::tuple::Family;
use crate::pure::tuple::Tuple;

/// An option that can be read.
pub(crate) trait ReadOption {
    /// The family of its sockets.
    const FAMILY: Family;
    /// Its number.
    const NUMBER: c_int;

    /// Answers. CONTEXT: sleepable, the socket is not locked.
    fn get(socket: Socket<'_>, answer: Answer) -> Result;
}

/// An option's registration.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<O: ReadOption> {
    #[pin]
    ops: Opaque<bindings::nf_sockopt_ops>,
    _option: PhantomData<O>,
}

// SAFETY: May be registered and unregistered by any task.
unsafe impl<O: ReadOption> Send for Registration<O> {}
// SAFETY: There is nothing to do with a shared one.
unsafe impl<O: ReadOption> Sync for Registration<O> {}

impl<O: ReadOption> Registration<O> {
    /// Answers the option from now on. CONTEXT: sleepable. `module` is the one with the code.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            ops <- Opaque::try_ffi_init(|ops: *mut bindings::nf_sockopt_ops| {
                let wanted = bindings::nf_sockopt_ops {
                    pf: u8::try_from(O::FAMILY.number()).map_err(|_| EINVAL)?,
                    get_optmin: O::NUMBER,
                    // The first one that is not meant any more.
                    get_optmax: O::NUMBER.saturating_add(1),
                    get: Some(get::<O>),
                    owner: module.as_ptr(),
                    ..Default::default()
                };
                // SAFETY: The slot is ours to write, and pinned until `drop` unregisters it.
                unsafe {
                    ops.write(wanted);
                    to_result(bindings::nf_register_sockopt(ops))
                }
            }),
            _option: PhantomData,
        })
    }
}

#[pinned_drop]
impl<O: ReadOption> PinnedDrop for Registration<O> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered by `new`.
        unsafe { bindings::nf_unregister_sockopt(self.ops.get()) };
    }
}

/// # Safety
///
/// Called by the kernel, for a socket that a task asks about.
unsafe extern "C" fn get<O: ReadOption>(
    sock: *mut bindings::sock,
    _number: c_int,
    user: *mut c_void,
    len: *mut c_int,
) -> c_int {
    from_result(|| {
        let sock = NonNull::new(sock).ok_or(EINVAL)?;
        // SAFETY: The length was read from user space into kernel memory by the caller.
        let room = unsafe { len.read() };
        let answer = Answer {
            user: UserPtr::from_ptr(user),
            room,
        };
        // INVARIANT: The caller has a reference to the socket, which is of the option's family.
        O::get(
            Socket {
                sock,
                family: O::FAMILY,
                _life: PhantomData,
            },
            answer,
        )
        .map(|()| 0)
    })
}

/// A socket whose option is being read.
#[derive(Clone, Copy)]
pub(crate) struct Socket<'a> {
    sock: NonNull<bindings::sock>,
    family: Family,
    _life: PhantomData<&'a ()>,
}

/// What a socket says of its connection, all of one moment.
pub(crate) struct Ends {
    /// From the local end to the remote one.
    pub(crate) tuple: Tuple,
    /// The device that the socket is bound to, zero for none.
    pub(crate) device: c_int,
    /// The flow label (IPv6), in network order.
    pub(crate) flow_label: u32,
}

impl<'a> Socket<'a> {
    /// Its namespace.
    pub(crate) fn net(self) -> &'a Net {
        // SAFETY: A socket keeps its namespace.
        unsafe { Net::from_raw(bindings::rct_sock_net(self.sock.as_ptr())) }
    }

    /// Its ends. CONTEXT: sleepable.
    pub(crate) fn ends(self) -> Ends {
        let mut tuple = Tuple::default();
        let at = (&raw mut tuple).cast::<bindings::nf_conntrack_tuple>();
        let sock = self.sock.as_ptr();
        let (mut device, mut flow_label) = (0, 0);
        tuple.src.l3 = self.family.number();
        // SAFETY: Valid by the type, and of that family; a tuple is one of C's.
        unsafe {
            bindings::rct_lock_sock(sock);
            match self.family {
                Family::V4 => bindings::rct_sock_ends_v4(sock, at),
                Family::V6 => {
                    bindings::rct_sock_ends_v6(sock, at);
                    device = bindings::rct_sock_bound_device(sock);
                    flow_label = bindings::rct_sock_flow_label(sock);
                }
            }
            bindings::rct_release_sock(sock);
        }
        Ends {
            tuple,
            device,
            flow_label,
        }
    }
}

/// The number of the device that an IPv6 address needs to be said with, given the socket's.
pub(crate) fn scope_id(address: &[u8; 16], device: c_int) -> u32 {
    // SAFETY: 16 bytes, which is all that the function looks at.
    unsafe { bindings::rct_ipv6_scope_id(address.as_ptr(), device) }
}

/// Where an option's value goes.
pub(crate) struct Answer {
    user: UserPtr,
    room: c_int,
}

impl Answer {
    /// The room that the reader has, in bytes. Negative if the reader says nonsense.
    pub(crate) fn room(&self) -> c_int {
        self.room
    }

    /// Hands the value over. The caller has looked at the room.
    pub(crate) fn give(self, value: &[u8]) -> Result {
        UserSlice::new(self.user, value.len())
            .writer()
            .write_slice(value)
    }
}
