// SPDX-License-Identifier: GPL-2.0

//! Sharing among sources, and the machine's own part: `pure::policy::fair` carried out.
//!
//! ```text
//!   worker's walk --> records --> plan        when nearly all entries are proven
//!   a tracker ------> joins ---------> evict  one more is proven, and too few places are left for
//!                                             the unproven: the largest source pays
//!   a full table ---> evict                   nothing of a lower class is left
//! ```
//!
//! No C counterpart.

use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;

use crate::engine::account;
use crate::engine::reclaim;
use crate::engine::reclaimer;
use crate::engine::table;
use crate::linux::conn::Conn;
use crate::linux::memory;
use crate::linux::net::Net;
use crate::linux::plan::Choice;
use crate::linux::queues::Queues;
use crate::linux::rcu::Held;
use crate::linux::siphash::SecretKey;
use crate::linux::stats::Counter;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;
use crate::pure::policy::fair;
use crate::pure::policy::fair::Floor;
use crate::pure::policy::fair::Record;
use crate::pure::policy::proof::Marks;
use crate::pure::policy::ring::Hint;
use crate::pure::policy::tally::Limit;
use crate::pure::policy::tally::Reason;
use crate::pure::status::Status;
use crate::pure::tuple::Addr;
use crate::pure::tuple::Family;
use crate::pure::tuple::Tuple;

/// Victims that a packet looks at: more than one only where entries went since the plan was made.
const LOOKS: u32 = 16;

/// Who is who must not be guessed, or sources could be made to count as one.
static KEY: SecretKey = SecretKey::new();

/// Draws the key by which sources are told apart.
///
/// # Safety
///
/// The module is being loaded.
pub(crate) unsafe fn draw_key() {
    // SAFETY: By this function's contract.
    unsafe { KEY.draw() };
}

/// Where a new entry comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A packet that came in.
    Outside,
    /// A packet of the machine itself.
    Us,
    /// No packet: user space or a program.
    Made,
}

/// A source, as plans know it.
#[derive(Clone, Copy)]
pub(crate) struct Source(u64);

impl Source {
    /// One that has nothing, so that everybody gives to it.
    pub(crate) const NOBODY: Source = Source(0);

    fn new(net: &Net, addr: Addr, l3: u16, zone: Zone) -> Self {
        let Some(family) = Family::from_number(l3) else {
            return Source::NOBODY;
        };
        let bits = match family {
            Family::V4 => net.fair_prefix(),
            Family::V6 => net.fair_prefix6(),
        };
        let [a, b, c, d] = fair::network(addr.only(family), family, bits)
            .0
            .map(u64::from);
        let rest = u64::from(l3) << 16 | u64::from(zone.id(Dir::Original));
        let words = [a << 32 | b, c << 32 | d, rest];
        Source(KEY.get().hash(&words, size_of_val(&words)))
    }

    /// Of an entry that is not made yet.
    pub(crate) fn of_new(net: &Net, tuple: &Tuple, zone: Zone, origin: Origin) -> Self {
        let addr = match origin {
            Origin::Us => tuple.dst.addr,
            Origin::Outside | Origin::Made => tuple.src.addr,
        };
        Source::new(net, addr, tuple.src.l3, zone)
    }

    /// Who pays for an entry: the source of the first of its masters. What the machine itself began
    /// is charged to the other end.
    fn of(conn: &Conn) -> Self {
        let mut first = conn;
        for _ in 0..reclaim::MASTERS {
            match first.master() {
                Some(master) => first = master,
                None => break,
            }
        }
        let tuple = first.tuple(Dir::Original);
        let origin = if first.marks().any(Marks::OWN) {
            Origin::Us
        } else {
            Origin::Outside
        };
        Source::of_new(first.net(), &tuple, first.zone(), origin)
    }
}

/// What came of asking a plan for a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Payment {
    /// A proven entry has gone.
    Made,
    /// Nobody has to give one.
    Needless,
    /// There is no plan, or it has no more to say.
    Late,
}

/// Evicts a proven entry for another one of `source`, but not `newcomer`, of those that pay for such
/// a `floor`.
fn evict(
    net: &Net,
    queues: &Queues,
    source: Source,
    newcomer: Option<&Conn>,
    floor: Floor,
    limit: Limit,
    rcu: Held<'_>,
) -> Payment {
    let Some(plan) = queues.plan().get(rcu) else {
        want_plan(queues);
        return Payment::Late;
    };
    for _ in 0..LOOKS {
        let hint = match plan.take(source.0, floor) {
            Choice::Of(hint) => hint,
            Choice::Nobody => return Payment::Needless,
            Choice::Spent => break,
        };
        let Some(conn) = table::find_hinted(hint, net, rcu) else {
            continue;
        };
        if plan.is_worn() {
            want_plan(queues);
        }
        let spared = conn.has(Status::OFFLOAD) || newcomer.is_some_and(|new| *new == *conn);
        let reason = limit.reason(Reason::Fairness);
        if !spared && account::evict(&conn, reclaim::judge(&conn), reason) {
            net.count(Counter::EARLY_DROP);
            return Payment::Made;
        }
    }
    want_plan(queues);
    Payment::Late
}

fn want_plan(queues: &Queues) {
    queues.want_plan();
    reclaimer::call();
}

/// Evicts a proven entry for a new one, if sources share and nothing else can go, as far as is
/// known: `is_sure` if it is known that nothing can.
#[cold]
pub(crate) fn make_room(
    net: &Net,
    source: Source,
    is_sure: bool,
    limit: Limit,
    rcu: Held<'_>,
) -> bool {
    if net.fair() == 0 {
        return false;
    }
    let Some(queues) = net.private().queues().get(rcu) else {
        return false;
    };
    let floor = queues.floor().for_newcomer(is_sure);
    if is_sure {
        queues.hold_floor(floor);
    }
    evict(net, queues, source, None, floor, limit, rcu) == Payment::Made
}

/// An entry of a namespace with queues wants to be one of the proven. If these are too many, the
/// largest source pays: once for this one, and once more while there are too few places for the
/// unproven. False if its own source is one of the largest, and nobody pays, or if it is not known yet
/// who is: it stays unproven.
pub(crate) fn joins(conn: &Conn, queues: &Queues, rcu: Held<'_>) -> bool {
    let net = conn.net();
    if net.fair() == 0 {
        return true;
    }
    let max = table::max();
    let count = net.entries_now();
    let spare = queues.spare(rcu);
    let floor = queues.floor().once_joined(count, spare, max);
    queues.hold_floor(floor);
    let is_held = floor != Floor::Unheld;
    let Some(plan) = queues.plan().get(rcu) else {
        if fair::needs_plan(count, spare, max) {
            want_plan(queues);
        }
        return !is_held;
    };
    let source = Source::of(conn);
    if is_held {
        let pay = || {
            evict(
                net,
                queues,
                source,
                Some(conn),
                floor,
                Limit::Namespace,
                rcu,
            )
        };
        match pay() {
            Payment::Made if queues.spare(rcu) < fair::probation(max) => {
                pay();
            }
            Payment::Late if plan.is_large(source.0, floor) => return false,
            _ => {}
        }
    }
    plan.joined(source.0);
    true
}

/// An entry is the machine's own: it began it ([`Marks::OWN`]), or is its other end. Counted only
/// under pressure.
#[inline]
pub(crate) fn mark(conn: &Conn, mark: Marks) {
    let mut marks = mark;
    if reclaim::is_pressed() {
        marks = marks.with(Marks::COUNTED);
        counter(conn.net(), mark).add(1, Relaxed);
    }
    conn.add_marks(marks);
}

/// An entry is freed.
#[inline]
pub(crate) fn unmark(conn: &Conn) {
    let marks = conn.marks();
    if marks.any(Marks::COUNTED) {
        counter(conn.net(), marks).add(-1, Relaxed);
    }
}

fn counter(net: &Net, marks: Marks) -> &Atomic<i32> {
    let [own, others] = net.private().local();
    if marks.any(Marks::OWN) {
        own
    } else {
        others
    }
}

/// Whether an entry is the machine's own and within the part that is reserved for these.
pub(crate) fn is_reserved(conn: &Conn) -> bool {
    let marks = conn.marks();
    if !marks.any(Marks::COUNTED) {
        return false;
    }
    let net = conn.net();
    let counted = |counter: &Atomic<i32>| u32::try_from(counter.load(Relaxed)).unwrap_or(0);
    let [own, others] = net.private().local();
    let reserve = fair::reserve(table::max(), net.reserved());
    fair::is_reserved(
        marks.any(Marks::OWN),
        counted(own),
        counted(others),
        reserve,
    )
}

/// Whether the machine itself is an end of a new connection.
pub(crate) fn is_own(net: &Net, tuple: &Tuple, origin: Origin, rcu: Held<'_>) -> bool {
    match origin {
        Origin::Us => true,
        Origin::Made => false,
        Origin::Outside => net.is_local(tuple.src.l3, &tuple.dst.addr, rcu),
    }
}

/// Proven entries, while the worker writes them down.
pub(crate) struct Census {
    records: KVVec<Record>,
    /// The machine's own, as long as they are within their part.
    own: KVVec<Record>,
    reserve: usize,
    /// There were more than there was room for: no plan can be made of this.
    is_short: bool,
}

impl Census {
    /// Room for the entries of a namespace. CONTEXT: sleepable.
    pub(crate) fn new(net: &Net, max: u32) -> Result<Self> {
        let count = net.entries_now();
        let room = usize::try_from(count.saturating_add(count / 8).saturating_add(64))?;
        let reserve = usize::try_from(fair::reserve(max, net.reserved()))?;
        Ok(Census {
            records: KVVec::with_capacity(room, memory::much())?,
            own: KVVec::with_capacity(reserve.min(room), memory::much())?,
            reserve,
            is_short: false,
        })
    }

    /// Notes an entry that is active. CONTEXT: may be atomic.
    pub(crate) fn note(&mut self, conn: &Conn, hint: Hint) {
        if conn.has(Status::OFFLOAD) {
            return;
        }
        let record = Record::new(Source::of(conn).0, hint);
        if conn.marks().any(Marks::OWN.with(Marks::TO_US)) && self.reserve > 0 {
            if self.own.len() < self.reserve && push(&mut self.own, record) {
                return;
            }
            // They have more than their part: they are like all others.
            self.reserve = 0;
            for at in 0..self.own.len() {
                if let Some(own) = self.own.get(at).copied() {
                    self.is_short |= !push(&mut self.records, own);
                }
            }
        }
        self.is_short |= !push(&mut self.records, record);
    }

    /// All of them, if there was room for all.
    pub(crate) fn records(&mut self) -> Option<&mut [Record]> {
        (!self.is_short).then_some(&mut self.records)
    }
}

/// Whether there was room.
fn push(records: &mut KVVec<Record>, record: Record) -> bool {
    records.len() < records.capacity() && records.push_within_capacity(record).is_ok()
}
