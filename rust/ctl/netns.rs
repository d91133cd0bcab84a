// SPDX-License-Identifier: GPL-2.0

//! The life of a namespace, as connection tracking sees it.
//!
//! A namespace is set up in this order, and torn down in the opposite one:
//!
//! 1. state: counters, first values of all knobs, events, trackers' lists;
//! 2. the knobs' files, and those below `/proc/net`, which show the state;
//! 3. hooks, if the module wants them in all namespaces.
//!
//! Namespaces that end do so in batches. When no file is left and no packet can arrive any more,
//! all of their connections are killed, again and again until none is counted: somebody may still
//! hold a reference, such as a packet in a queue.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_standalone.c` and, for the state,
//! `nf_conntrack_core.c`. It makes the files before the state, so that there is a moment in which
//! they show nothing or what is set through them is lost.

use kernel::prelude::*;
use kernel::sync::atomic::Relaxed;

use crate::ctl::expect;
use crate::ctl::hooks::InetUse;
use crate::ctl::params;
use crate::ctl::procfs;
use crate::ctl::sysctl;
use crate::engine::events;
use crate::engine::gre_keymap;
use crate::engine::probe;
use crate::engine::reclaimer;
use crate::engine::table;
use crate::linux::net::Net;
use crate::linux::pernet::Batch;
use crate::linux::pernet::Subsystem;
use crate::linux::procfs::File;
use crate::linux::rcu::synchronize_expedited;
use crate::linux::stats;
use crate::linux::sysctl::Registration;
use crate::linux::time;
use crate::linux::time::HZ;
use crate::linux::warn;

/// Namespaces, as they come and go.
pub(crate) struct Namespaces;

/// What is registered in a namespace, in the order of its end.
pub(crate) struct Tenant {
    _hooks: Option<InetUse>,
    _expectations: File,
    _files: procfs::Files,
    _knobs: Registration,
}

// SAFETY: `clear` has the prober and the reclaimer forget its namespaces before it waits for a grace
// period.
unsafe impl Subsystem for Namespaces {
    type Tenant = Tenant;

    fn enter(net: &Net) -> Result<KBox<Tenant>> {
        let state = State::new(net)?;
        let tenant = KBox::new(Tenant::new(net)?, GFP_KERNEL)?;
        state.keep();
        Ok(tenant)
    }

    fn leave(nets: Batch<'_>) {
        clear(nets);
    }
}

impl Tenant {
    fn new(net: &Net) -> Result<Self> {
        let knobs = sysctl::register(net)?;
        let files = procfs::Files::new(net)?;
        let expectations = expect::file(net)?;
        let hooks = if params::enable_hooks() {
            Some(InetUse::new(net)?)
        } else {
            None
        };
        Ok(Tenant {
            _hooks: hooks,
            _expectations: expectations,
            _files: files,
            _knobs: knobs,
        })
    }
}

/// A namespace's state, until it is kept.
struct State<'a>(&'a Net);

impl<'a> State<'a> {
    fn new(net: &'a Net) -> Result<Self> {
        net.private().entries().store(0, Relaxed);
        // SAFETY: The namespace begins: nobody counts yet.
        unsafe { stats::begin(net)? };
        sysctl::begin(net);
        events::init_net(net);
        gre_keymap::init_net(net);
        let state = State(net);
        reclaimer::enter(net)?;
        probe::enter(net)?;
        Ok(state)
    }

    /// [`Namespaces::leave`] will clear it.
    fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for State<'_> {
    fn drop(&mut self) {
        clear(core::iter::once(self.0));
    }
}

/// Ends the state of namespaces that no packet can reach any more. CONTEXT: sleepable.
fn clear<'a>(nets: impl Iterator<Item = &'a Net> + Clone) {
    for net in nets.clone() {
        probe::leave(net);
        reclaimer::withdraw(net);
    }
    // Packets that are on their way have passed the hooks, which are gone.
    synchronize_expedited();
    kill_all(nets.clone());
    for net in nets {
        if !gre_keymap::is_empty(net) {
            warn::warn_once!();
        }
        reclaimer::leave(net);
        events::exit_net(net);
        // SAFETY: They were made when the namespace began; nobody is left who counts.
        unsafe { stats::end(net) };
    }
}

/// Kills connections until there are none.
fn kill_all<'a>(nets: impl Iterator<Item = &'a Net> + Clone) {
    let late = time::jiffies().plus(HZ.saturating_mul(60));
    loop {
        let mut busy = false;
        for net in nets.clone() {
            let left = || net.private().entries().load(Relaxed) != 0;
            if left() {
                table::iterate(Some(net), 0, false, |_| true);
                busy |= left();
            }
        }
        if !busy {
            return;
        }
        warn::debug_net_warn_once(time::jiffies().after(late));
        warn::schedule();
    }
}
