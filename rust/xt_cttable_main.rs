// SPDX-License-Identifier: GPL-2.0

//! `-m cttable`: rules of iptables ask how full the connection tracking table is.
//!
//! A module of its own, `xt_cttable.ko`, so that `nf_conntrack.ko` does without x_tables. It asks
//! only what mainline's nf_conntrack exports, too (`nf_conntrack_count()`, `nf_conntrack_max`), so
//! it works with either. What the numbers of a rule mean and when they hold is in
//! `pure/policy/occupancy.rs`; the other half, which reads the command line, is
//! `tools/xtables/libxt_cttable.c`.
//!
//! No C counterpart: mainline has no such match.

use kernel::prelude::*;

mod bindings;

/// Decisions, shared with `nf_conntrack.ko`.
#[path = "pure/policy/occupancy.rs"]
pub mod occupancy;

/// Safe wrappers over the kernel's C.
#[path = "linux/xtables.rs"]
mod xtables;

use occupancy::Occupancy;
use occupancy::Question;
use xtables::Match;
use xtables::Net;

module! {
    type: CtTable,
    name: "xt_cttable",
    authors: ["The rconntrack developers"],
    description: "Xtables: match by how full the connection tracking table is",
    license: "GPL v2",
    alias: ["ipt_cttable", "ip6t_cttable"],
}

/// The module while it is loaded.
#[pin_data]
struct CtTable {
    #[pin]
    registered: xtables::Registration<Cttable>,
}

impl kernel::InPlaceModule for CtTable {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            registered <- xtables::Registration::new(module),
        })
    }
}

/// The match.
enum Cttable {}

/// The question in a rule, and the answer that it wants.
fn read(info: &bindings::xt_cttable_mtinfo) -> Option<(Question, bool)> {
    const INVERT: u8 = bindings::XT_CTTABLE_INVERT as u8;
    if info.flags & !INVERT != 0 {
        return None;
    }
    let question = Question::from_raw(info.mode, info.from, info.to)?;
    Some((question, info.flags & INVERT == 0))
}

// SAFETY: Bytes.
unsafe impl Match for Cttable {
    type Info = bindings::xt_cttable_mtinfo;

    const NAME: &'static CStr = c"cttable";
    const REVISION: u8 = 0;

    fn check(info: &Self::Info) -> Result {
        read(info).map(|_| ()).ok_or(EINVAL)
    }

    #[inline]
    fn holds(info: &Self::Info, net: Net) -> bool {
        // What `check` refused never gets here.
        read(info).is_some_and(|(question, wanted)| {
            question.holds(Occupancy::new(net.connections(), Net::limit())) == wanted
        })
    }
}

const _: () = {
    // As `Question::from_raw` counts.
    assert!(bindings::xt_cttable_mode_XT_CTTABLE_ABOVE == 0);
    assert!(bindings::xt_cttable_mode_XT_CTTABLE_BELOW == 1);
    assert!(bindings::xt_cttable_mode_XT_CTTABLE_RANGE == 2);
};
