// SPDX-License-Identifier: GPL-2.0

//! What a namespace consists of: entries by class, and by source.
//!
//! Found by a walk for whoever asks, so that it costs nothing while nobody does. Not for
//! decisions: entries that come and go meanwhile are in it or not, and a resize may show some
//! twice.

use pin_init::Zeroable;

use crate::engine::reclaim;
use crate::engine::table;
use crate::linux::conn::Conn;
use crate::linux::net::Net;
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
        let mut walk = table::Walk::new();
        while walk.step(|met| {
            if let Some(conn) = table::hold(met, Some(net), evict::is_settled) {
                self.note(&conn);
            }
        }) {}
        let _ = self.sources.sorted();
    }

    fn note(&mut self, conn: &Conn) {
        if let Some(count) = self.classes.get_mut(reclaim::judge(conn).index()) {
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
