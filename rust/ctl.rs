// SPDX-License-Identifier: GPL-2.0

//! What an administrator touches: sysctls, procfs, module parameters; and where the module is
//! wired up: hooks, socket options, the life of a namespace.
//!
//! What is registered is owned: [`Registered`] is everything that the kernel may call us by, but
//! for the functions of `abi`, and dropping it takes it all back.
//!
//! The module begins with the engine (table, slab, expectations, helpers, the worker) and the hook
//! pointer by which the kernel knows it. Then come socket options, the limit's old name, and
//! namespaces, each of which sets itself up ([`netns`]). It ends in the opposite order; only then
//! may the engine go, when no namespace is left that has connections.

pub(crate) mod expect;
pub(crate) mod hooks;
pub(crate) mod netns;
pub(crate) mod params;
pub(crate) mod procfs;
pub(crate) mod reclaim;
pub(crate) mod sockopt;
pub(crate) mod sysctl;

use kernel::prelude::*;

use crate::linux::pernet;

/// All registrations of the module, in the order of teardown.
#[pin_data]
pub(crate) struct Registered {
    #[cfg(CONFIG_DEBUG_INFO_BTF_MODULES = "y")]
    programs: crate::linux::bpf::Functions,
    #[pin]
    namespaces: pernet::Registration<netns::Namespaces>,
    max: crate::linux::sysctl::Registration,
    #[pin]
    original_v6: sockopt::Registered<sockopt::OriginalV6>,
    #[pin]
    original_v4: sockopt::Registered<sockopt::OriginalV4>,
}

impl Registered {
    /// Registers everything; packets come in from now on. CONTEXT: sleepable, once, while the
    /// module is loaded, after the engine has been set up.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // SAFETY: Once, by this function's contract.
        unsafe { hooks::init() };
        try_pin_init!(Self {
            original_v4 <- sockopt::Registered::new(module),
            original_v6 <- sockopt::Registered::new(module),
            max: sysctl::register_max()?,
            namespaces <- pernet::Registration::new(),
            #[cfg(CONFIG_DEBUG_INFO_BTF_MODULES = "y")]
            programs: crate::linux::bpf::Functions::register()?,
        })
    }
}
