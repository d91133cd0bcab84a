// SPDX-License-Identifier: GPL-2.0

//! Netfilter hooks, defragmentation, and modules that are asked for by name.
//!
//! C header: [`include/linux/netfilter.h`](srctree/include/linux/netfilter.h)

use core::mem::zeroed;
use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::ffi::c_uint;
use kernel::prelude::*;

use crate::bindings;
use crate::linux::net::Net;
use crate::linux::skb::Skb;

/// A function that packets pass, as netfilter calls it.
pub(crate) type Function = unsafe extern "C" fn(
    *mut c_void,
    *mut bindings::sk_buff,
    *const bindings::nf_hook_state,
) -> c_uint;

/// Functions for packets to pass, by the names that `nft list hooks` shows.
///
/// CONTEXT: bottom halves may be on or off; inside an RCU read-side section.
macro_rules! functions {
    ($($(#[$doc:meta])* fn $name:ident($skb:ident, $state:ident) $body:block)+) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            ///
            /// Called by netfilter with a packet that is this CPU's, and with where it is.
            #[no_mangle]
            unsafe extern "C" fn $name(
                _private: *mut kernel::ffi::c_void,
                skb: *mut $crate::bindings::sk_buff,
                state: *const $crate::bindings::nf_hook_state,
            ) -> kernel::ffi::c_uint {
                // Like functions are made one by the compiler, unless they differ: the name in here
                // keeps each its own address, by which it is shown.
                // SAFETY: A comment for the assembler.
                unsafe {
                    core::arch::asm!(
                        concat!("/* ", stringify!($name), " */"),
                        options(nomem, nostack, preserves_flags)
                    )
                };
                // SAFETY: By this function's contract.
                let ($skb, $state) = unsafe {
                    (
                        $crate::linux::skb::Skb::from_raw(skb),
                        $crate::linux::skb::HookState::from_raw(state),
                    )
                };
                let verdict: $crate::linux::verdict::Verdict = $body;
                verdict.0
            }
        )+
    };
}
pub(crate) use functions;

/// Hooks that are registered together.
pub(crate) struct Hooks<const N: usize>([bindings::nf_hook_ops; N]);

// SAFETY: Never written; netfilter takes it as a constant.
unsafe impl<const N: usize> Sync for Hooks<N> {}

/// The hook that runs `function` for packets of `family` at `hook`, in ascending order of
/// `priority`.
pub(crate) const fn hook(
    function: Function,
    family: u8,
    hook: bindings::nf_inet_hooks,
    priority: c_int,
) -> bindings::nf_hook_ops {
    // SAFETY: Zeros are valid: numbers, and pointers that may be null.
    let mut ops: bindings::nf_hook_ops = unsafe { zeroed() };
    ops.hook = Some(function);
    ops.pf = family;
    ops.hooknum = hook;
    ops.priority = priority;
    ops
}

impl<const N: usize> Hooks<N> {
    /// These.
    pub(crate) const fn new(hooks: [bindings::nf_hook_ops; N]) -> Self {
        Hooks(hooks)
    }

    /// Registers them in a namespace, all or none. CONTEXT: sleepable.
    pub(crate) fn register(&'static self, net: &Net) -> Result {
        // SAFETY: Static, and so is the code; the caller unregisters before the namespace ends.
        to_result(unsafe {
            bindings::nf_register_net_hooks(net.as_ptr(), self.0.as_ptr(), Self::COUNT)
        })
    }

    /// Unregisters them. CONTEXT: sleepable. Packets may still be in the functions until a grace
    /// period has passed.
    pub(crate) fn unregister(&'static self, net: &Net) {
        // SAFETY: Registered before, in the same namespace.
        unsafe { bindings::nf_unregister_net_hooks(net.as_ptr(), self.0.as_ptr(), Self::COUNT) };
    }

    const COUNT: c_uint = N as c_uint;
}

/// Hooks that another module brings: those for bridges.
#[derive(Clone, Copy)]
pub(crate) struct ForeignHooks(*const bindings::nf_ct_bridge_info);

// SAFETY: What it points to is constant while it is registered.
unsafe impl Send for ForeignHooks {}

/// A reference to the module that brings [`ForeignHooks`].
pub(crate) struct ModuleUse(*mut bindings::module);

impl ForeignHooks {
    /// The hooks at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` and what it points to stay until the result and its copies are no longer used.
    pub(crate) unsafe fn from_raw(ptr: *const bindings::nf_ct_bridge_info) -> Self {
        ForeignHooks(ptr)
    }

    /// Keeps the module that brings them from being unloaded, unless it is about to be.
    pub(crate) fn hold(self) -> Option<ModuleUse> {
        // SAFETY: Registered, by the contract of `from_raw`.
        unsafe {
            let module = (*self.0).me;
            bindings::try_module_get(module).then_some(ModuleUse(module))
        }
    }

    /// The reference that a [`ModuleUse`] was which has been forgotten.
    pub(crate) fn held(self) -> ModuleUse {
        // SAFETY: Registered, by the contract of `from_raw`.
        ModuleUse(unsafe { (*self.0).me })
    }

    /// As [`Hooks::register`].
    pub(crate) fn register(self, net: &Net) -> Result {
        // SAFETY: Registered, by the contract of `from_raw`; the module is held.
        to_result(unsafe {
            bindings::nf_register_net_hooks(net.as_ptr(), (*self.0).ops, (*self.0).ops_size)
        })
    }

    /// As [`Hooks::unregister`].
    pub(crate) fn unregister(self, net: &Net) {
        // SAFETY: As in `register`, before which this is not called.
        unsafe {
            bindings::nf_unregister_net_hooks(net.as_ptr(), (*self.0).ops, (*self.0).ops_size)
        };
    }
}

impl Drop for ModuleUse {
    fn drop(&mut self) {
        // SAFETY: The reference that `try_module_get()` gave.
        unsafe { bindings::module_put(self.0) };
    }
}

/// Defragmentation of a family's packets in a namespace, while somebody wants it.
pub(crate) struct Defrag<'a> {
    net: &'a Net,
    disable: unsafe extern "C" fn(*mut bindings::net),
}

impl<'a> Defrag<'a> {
    /// For IPv4. CONTEXT: sleepable.
    pub(crate) fn v4(net: &'a Net) -> Result<Self> {
        // SAFETY: Valid by the type.
        to_result(unsafe { bindings::nf_defrag_ipv4_enable(net.as_ptr()) })?;
        Ok(Self::v4_enabled(net))
    }

    /// For IPv6. CONTEXT: sleepable.
    pub(crate) fn v6(net: &'a Net) -> Result<Self> {
        // SAFETY: Valid by the type.
        to_result(unsafe { bindings::nf_defrag_ipv6_enable(net.as_ptr()) })?;
        Ok(Self::v6_enabled(net))
    }

    /// What [`Defrag::v4`] gave and has been forgotten.
    pub(crate) fn v4_enabled(net: &'a Net) -> Self {
        Defrag {
            net,
            disable: bindings::nf_defrag_ipv4_disable,
        }
    }

    /// What [`Defrag::v6`] gave and has been forgotten.
    pub(crate) fn v6_enabled(net: &'a Net) -> Self {
        Defrag {
            net,
            disable: bindings::nf_defrag_ipv6_disable,
        }
    }
}

impl Drop for Defrag<'_> {
    fn drop(&mut self) {
        // SAFETY: Enabled before.
        unsafe { (self.disable)(self.net.as_ptr()) };
    }
}

/// Asks user space to load a module, and waits. CONTEXT: sleepable, nothing held.
pub(crate) fn request_module(name: &'static CStr) {
    // SAFETY: The format wants one string. Whether it worked shows in what the module registers.
    unsafe { bindings::__request_module(true, c"%s".as_char_ptr(), name.as_char_ptr()) };
}

/// Whether anybody takes log messages of any family.
pub(crate) fn has_logger() -> bool {
    (0..bindings::NFPROTO_NUMPROTO).any(|family| {
        u8::try_from(family).is_ok_and(|family| {
            // SAFETY: The argument is a family.
            unsafe { bindings::nf_log_is_registered(family) }
        })
    })
}

impl Skb {
    /// Whether it is a fragment. CONTEXT: a hook of IPv4, where the header is in place.
    #[inline]
    pub(crate) fn is_fragment_v4(&self) -> bool {
        // SAFETY: Valid by the type; the header is there, by the context.
        unsafe { bindings::rct_skb_is_fragment_v4(self.as_ptr()) }
    }
}
