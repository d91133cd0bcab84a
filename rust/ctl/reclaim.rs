// SPDX-License-Identifier: GPL-2.0

//! `/proc/net/nf_conntrack_reclaim`: what a full table is made of, and what became of the rest.
//!
//! Lines of a key and a value. `Documentation/statistics.rst` describes them; a key is added
//! there when it is added here. Reading walks the table, and shows addresses: for root only.
//!
//! No C counterpart.

use kernel::fmt;
use kernel::fmt::Write;
use kernel::prelude::*;
use kernel::sync::rcu;

use crate::engine::survey::Survey;
use crate::engine::table;
use crate::linux::net::Net;
use crate::linux::procfs::NetReport;
use crate::linux::procfs::Writer;
use crate::linux::rcu::Held;
use crate::pure::policy::adaptive::Scale;
use crate::pure::policy::class::Class;
use crate::pure::policy::tally::Place;
use crate::pure::policy::tally::Reason;
use crate::pure::policy::tally::Tally;
use crate::pure::tuple::Family;

/// Of the format: a key keeps its meaning as long as this does.
const VERSION: u32 = 1;

/// How many sources are listed.
const SOURCES: usize = 16;

/// The file's contents.
pub(crate) struct Report;

impl NetReport for Report {
    type Snapshot = Survey;

    const SECTIONS: usize = 5;

    fn take(net: &Net, survey: &mut Survey) {
        survey.take(net);
    }

    fn print(net: &Net, survey: &Survey, section: usize, out: &mut Writer) {
        // The writer keeps note of what does not fit.
        let _ = match section {
            0 => print_state(net, out),
            1 => print_classes(survey, out),
            2 => print_tallies(net, out),
            3 => print_evictions(net, out),
            _ => print_sources(survey, out),
        };
    }
}

/// The limits, and how near they are.
fn print_state(net: &Net, out: &mut Writer) -> fmt::Result {
    let count = net.entries_now();
    let max = table::max();
    let (start, end) = (net.adaptive_start(), net.adaptive_end());
    let pressed = {
        let guard = rcu::read_lock();
        net.private().queues().get(Held::by(&guard)).is_some()
    };
    writeln!(out, "version {VERSION}")?;
    writeln!(out, "netns {}", net.inum())?;
    writeln!(out, "count {count}")?;
    writeln!(out, "max {max}")?;
    writeln!(out, "buckets {}", table::buckets())?;
    writeln!(out, "pressure {}", u32::from(pressed))?;
    writeln!(out, "adaptive_start {start}")?;
    writeln!(out, "adaptive_end {end}")?;
    let scale = Scale::new(count, max, start, end).of(1000);
    writeln!(out, "timeout_permille {scale}")
}

fn print_classes(survey: &Survey, out: &mut Writer) -> fmt::Result {
    for (class, count) in survey.classes() {
        writeln!(out, "class.{} {count}", text(class.name()))?;
    }
    Ok(())
}

fn print_tallies(net: &Net, out: &mut Writer) -> fmt::Result {
    for tally in Tally::ALL {
        let value = counted(net, tally.place());
        writeln!(out, "{} {value}", text(tally.name()))?;
    }
    Ok(())
}

fn print_evictions(net: &Net, out: &mut Writer) -> fmt::Result {
    for reason in Reason::ALL {
        // What is active goes to a smaller source, or if nobody is at an end any more.
        let goes = |class: &Class| {
            class.may_go() || matches!(reason, Reason::Fairness | Reason::Cap | Reason::Probe)
        };
        for class in Class::ALL.into_iter().filter(goes) {
            let value = counted(net, reason.place(class));
            let (reason, class) = (text(reason.name()), text(class.name()));
            writeln!(out, "evicted.{reason}.{class} {value}")?;
        }
    }
    Ok(())
}

fn print_sources(survey: &Survey, out: &mut Writer) -> fmt::Result {
    for (source, count) in survey.sources().take(SOURCES) {
        if let Some(family) = Family::from_number(source.l3) {
            let (addr, prefix) = (source.addr.display(family), source.prefix());
            writeln!(out, "source.{addr}/{prefix} {count}")?;
        }
    }
    Ok(())
}

fn counted(net: &Net, place: Place) -> usize {
    net.private().tallies().sum(place)
}

/// Names are ASCII.
fn text(name: &'static CStr) -> &'static str {
    name.to_str().unwrap_or_default()
}
