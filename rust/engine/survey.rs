// SPDX-License-Identifier: GPL-2.0

//! What a namespace consists of: entries by class, and by source.
//!
//! Found by a walk for whoever asks, so that it costs nothing while nobody does. Not for
//! decisions: entries that come and go meanwhile are in it or not, and a resize may show some
//! twice.

use kernel::sync::rcu;
use pin_init::Zeroable;

use crate::engine::reclaim;
use crate::linux::conn::Candidate;
use crate::linux::hashtable::Table;
use crate::linux::net::Net;
use crate::linux::rcu::Held;
use crate::linux::warn;
use crate::pure::num::Dir;
use crate::pure::policy::class::Class;
use crate::pure::policy::evict;
use crate::pure::policy::top::Source;
use crate::pure::policy::top::Top;

/// How many sources are followed.
const SOURCES: usize = 64;

/// What was found.
#[derive(Zeroable)]
pub(crate) struct Survey {
    classes: [u32; Class::ALL.len()],
    sources: Top<SOURCES>,
}

impl Survey {
    /// Walks the table. CONTEXT: sleepable.
    pub(crate) fn take(&mut self, net: &Net) {
        self.classes = Default::default();
        self.sources = Top::new();
        let mut number = 0u32;
        loop {
            {
                let guard = rcu::read_lock();
                let rcu = Held::by(&guard);
                let table = Table::current(rcu);
                let Some(bucket) = table.nth(number) else {
                    break;
                };
                for met in table.chain(bucket, rcu) {
                    self.note(met, net);
                }
            }
            warn::cond_resched();
            number = number.wrapping_add(1);
        }
        let _ = self.sources.sorted();
    }

    fn note(&mut self, met: Candidate<'_>, net: &Net) {
        // Each entry once. One inserted after a clash is linked by its reply only, and is missed.
        if met.dir() != Dir::Original || !met.is_in(net) || evict::worker_skips(met.status()) {
            return;
        }
        let Some(conn) = met.get() else {
            return;
        };
        // Recycled in between, it may be another namespace's.
        if conn.net() != net || evict::worker_skips(conn.status()) {
            return;
        }
        if let Some(count) = self.classes.get_mut(reclaim::judge(&conn).index()) {
            *count = count.wrapping_add(1);
        }
        let source = conn.tuple(Dir::Original).src;
        self.sources.add(Source::of(source.addr, source.l3));
    }

    /// How many entries there are of each class.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (Class, u32)> + '_ {
        Class::ALL.into_iter().zip(self.classes)
    }

    /// Those with the most entries, and how many these are at least.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (Source, u32)> + '_ {
        self.sources
            .rows()
            .map(|row| (row.source(), row.at_least()))
    }
}
