// SPDX-License-Identifier: GPL-2.0

//! Under pressure it is always known who goes next.
//!
//! ```text
//!   confirm ---------> unreplied ---+
//!   tracker ---> closing, closed ---+--> queues of hints --> evict: judge again, kill
//!   worker's walk ---> backlog -----+        (8 bytes each, none at rest)
//! ```
//!
//! A namespace has queues from [`evict::low_water`] on until it has been below [`evict::calm`] for
//! a while. Here is what packets do; the worker's part is `engine::reclaimer`. The order is
//! `policy::class`'s, and `Documentation/reclaim.rst` tells why all this is as it is.
//!
//! No C counterpart: mainline searches eight buckets.

use kernel::sync::rcu;

use crate::engine::account;
use crate::engine::cap;
use crate::engine::conn;
use crate::engine::fair;
use crate::engine::l4;
use crate::engine::reclaimer;
use crate::engine::table;
use crate::engine::table::Expect;
use crate::linux::conn::Conn;
use crate::linux::hashtable::Hash;
use crate::linux::net::Net;
use crate::linux::once::Word;
use crate::linux::queues::Place;
use crate::linux::queues::Queues;
use crate::linux::rcu::Held;
use crate::linux::stats::Counter;
use crate::pure::num::Dir;
use crate::pure::policy::class::Class;
use crate::pure::policy::class::Ending;
use crate::pure::policy::evict;
use crate::pure::policy::evict::Waiting;
use crate::pure::policy::proof::Marks;
use crate::pure::policy::ring;
use crate::pure::policy::ring::Fate;
use crate::pure::policy::ring::Hint;
use crate::pure::policy::soft;
use crate::pure::policy::tally::Limit;
use crate::pure::policy::tally::Reason;
use crate::pure::policy::tally::Tally;
use crate::pure::status::Status;

/// Hints that a packet looks at. More than one are needed only where hints have become stale, and
/// each does so once.
const LOOKS: u32 = 8192;

/// `make RECLAIM=n` leaves the search of buckets only: for comparison.
pub(crate) const BUILT_IN: bool = !cfg!(without_reclaim);

/// How many namespaces have queues. Changed by [`count_pressed`].
static PRESSED: Word<u32> = Word::new(0);

/// Whether any namespace has queues.
#[inline(always)]
pub(crate) fn is_pressed() -> bool {
    BUILT_IN && PRESSED.get() != 0
}

/// One namespace more has queues, or one less. CONTEXT: the worker's list locked.
pub(crate) fn count_pressed(by: i32) {
    PRESSED.set(PRESSED.get().saturating_add_signed(by));
}

/// An entry was confirmed, or inserted.
#[inline(always)]
pub(crate) fn confirmed(conn: &Conn, original: Hash, rcu: Held<'_>) {
    if is_pressed() {
        enrol(conn, original, Class::Unreplied, rcu);
    }
}

/// The tracker of an entry moved on to another state. CONTEXT: in an RCU read-side section.
#[inline(always)]
pub(crate) fn moved_on(conn: &Conn) {
    if is_pressed() {
        enrol_ending(conn);
    }
}

#[cold]
fn enrol_ending(conn: &Conn) {
    let class = judge(conn);
    if conn.is_confirmed() && matches!(class, Class::Closed | Class::Closing) {
        let guard = rcu::read_lock();
        let hash = conn::hash_of(conn, Dir::Original);
        // What the ring loses the backlog shall have.
        match enrol(conn, hash, class, Held::by(&guard)) {
            Some((queues, queue)) if queues.is_losing(queue) => queues.want_all(),
            _ => {}
        }
    }
}

/// Puts a hint to an entry behind all others of its class, if its namespace has queues: these, and
/// the number of the queue.
#[inline]
fn enrol<'rcu>(
    conn: &Conn,
    hash: Hash,
    class: Class,
    rcu: Held<'rcu>,
) -> Option<(&'rcu Queues, usize)> {
    let queues = conn.net().private().queues().get(rcu)?;
    let queue = class.queue()?;
    let place = queues.put(queue, Hint::new(hash.0, conn.address()));
    if let (Some(place), Class::Unreplied) = (place, class) {
        conn.set_hint_place(place);
    }
    Some((queues, queue))
}

/// A hint to an entry of this class, idle for so long, that goes into a backlog or a plan.
pub(crate) fn ranked(conn: &Conn, class: Class, idle: u32) -> Hint {
    let hash = conn::hash_of(conn, Dir::Original);
    Hint::new(hash.0, conn.address()).ranked(class, idle)
}

/// What an entry is worth now. CONTEXT: a reference held.
pub(crate) fn judge(conn: &Conn) -> Class {
    judge_below(conn, MASTERS)
}

/// How many masters above each other are asked. H.323 has three.
pub(crate) const MASTERS: u32 = 4;

fn judge_below(conn: &Conn, masters: u32) -> Class {
    let class = Class::of(
        conn.status(),
        conn.is_expired(),
        || match l4::ending(conn) {
            // Such as a download whose request was closed.
            Ending::Closing if is_spared(conn) => Ending::NotYet,
            ending => ending,
        },
        || l4::is_proven(conn),
        || is_idle(conn),
    );
    let class = class.unless(|| fair::is_reserved(conn));
    match conn.master() {
        Some(master) if masters > 0 && !master.is_dying() => {
            class.of_child(|| judge_below(master, masters.wrapping_sub(1)))
        }
        _ => class,
    }
}

/// The originator of an entry has shown that it gets what is sent to it: from now on the entry is
/// privileged, unless its source has too many such. Then it may ask again with its next packet.
#[inline]
pub(crate) fn proven(conn: &Conn) {
    if !conn.marks().any(Marks::PROVEN) && (!is_pressed() || joins(conn)) {
        conn.add_marks(Marks::PROVEN);
    }
}

#[cold]
fn joins(conn: &Conn) -> bool {
    let guard = rcu::read_lock();
    let rcu = Held::by(&guard);
    let Some(queues) = conn.net().private().queues().get(rcu) else {
        return true;
    };
    if !fair::joins(conn, queues, rcu) {
        return false;
    }
    let class = if conn.has(Status::ASSURED) {
        Class::Answered
    } else {
        Class::Unreplied
    };
    if let Some(queue) = class.queue() {
        queues.count_stale(queue, 1);
        // Whoever leaves a hint that leads nowhere looks for two such.
        queues.tend(queue, |hint| is_stale(hint, class, conn.net(), rcu));
    }
    true
}

/// An entry has been assured. Without a proof it stays one of those that may go, but its hint is not
/// among those of the unreplied any more, or who is still to be answered would have to look like one
/// of many. CONTEXT: in an RCU read-side section, after [`proven`].
#[inline]
pub(crate) fn assured(conn: &Conn) {
    if is_pressed() && !conn.marks().any(Marks::PROVEN) {
        enrol_assured(conn);
    }
}

#[cold]
fn enrol_assured(conn: &Conn) {
    let guard = rcu::read_lock();
    if conn.is_confirmed() {
        let hash = conn::hash_of(conn, Dir::Original);
        let enrolled = enrol(conn, hash, Class::Answered, Held::by(&guard));
        if let (Some((queues, _)), Some(left)) = (enrolled, Class::Unreplied.queue()) {
            if let Some(place) = conn.hint_place() {
                queues.replace(left, place, conn.address(), |_| None);
            }
            queues.count_stale(left, 1);
        }
    }
}

/// The first answer to an entry has come. Its hint says so from now on, where it is known, so that
/// nobody need look at the entry for that. CONTEXT: any.
#[inline]
pub(crate) fn answered(conn: &Conn) {
    if is_pressed() {
        mark_answered(conn);
    }
}

#[cold]
fn mark_answered(conn: &Conn) {
    let (Some(place), Some(queue)) = (conn.hint_place(), Class::Unreplied.queue()) else {
        return;
    };
    let guard = rcu::read_lock();
    if let Some(queues) = conn.net().private().queues().get(Held::by(&guard)) {
        let answered = |hint: Hint| Some(hint.answered());
        queues.replace(queue, place, conn.address(), answered);
    }
}

/// Whether a hint in the queue of `class` is of no use: its entry is gone or proven, or has a hint in
/// a higher queue.
pub(crate) fn is_stale(hint: Hint, class: Class, net: &Net, rcu: Held<'_>) -> bool {
    table::find_hinted(hint, net, rcu).is_none_or(|conn| has_left(&conn, class, judge(&conn)))
}

/// Whether an entry that is of class `now` is not to be found by the queue of `class` any more.
fn has_left(conn: &Conn, class: Class, now: Class) -> bool {
    now == Class::Active
        || class == Class::Unreplied && now == Class::Answered && conn.has(Status::ASSURED)
}

/// How long an entry has been idle, in ticks.
pub(crate) fn idle(conn: &Conn) -> u32 {
    let left = conn.remaining();
    // Policies are read under RCU.
    let _guard = rcu::read_lock();
    soft::idle(l4::timeout_now(conn, left), left)
}

/// Whether it is idle beyond its soft timeout.
fn is_idle(conn: &Conn) -> bool {
    has_been_idle(conn) == Some(true)
}

/// Whether it has a soft timeout, and is not idle beyond it.
fn is_spared(conn: &Conn) -> bool {
    has_been_idle(conn) == Some(false)
}

/// Whether it has been idle for its soft timeout, if it has one.
fn has_been_idle(conn: &Conn) -> Option<bool> {
    soft_timeout(conn).map(|soft| soft::is_over(idle(conn), soft))
}

/// In how many ticks it will be idle beyond its soft timeout, if nothing comes. `None` if it never
/// will be.
pub(crate) fn until_idle(conn: &Conn) -> Option<u32> {
    soft_timeout(conn).map(|soft| soft.saturating_sub(idle(conn)))
}

/// The soft timeout of an entry that has one, and of which it can be told how long it has been idle.
fn soft_timeout(conn: &Conn) -> Option<u32> {
    if !soft::can_tell_idle(conn.status()) {
        return None;
    }
    // Policies are read under RCU.
    let _guard = rcu::read_lock();
    Some(l4::soft_timeout(conn)).filter(|soft| *soft != 0)
}

/// Whether a namespace has queues, but nobody has written down yet what is older than they are.
pub(crate) fn is_young(net: &Net, rcu: Held<'_>) -> bool {
    net.private()
        .queues()
        .get(rcu)
        .is_some_and(|queues| !queues.was_filled())
}

/// What came of an attempt to evict.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is a place.
    Evicted,
    /// There is none, and a walk has just found out that nothing may go.
    Barren,
    /// Hints have run out.
    Dry,
    /// There are more hints than were looked at.
    Unfinished,
}

/// Evicts the first of the namespace's queues. What is stale is dropped on the way, up to [`LOOKS`]
/// of it.
pub(crate) fn evict(net: &Net, limit: Limit, rcu: Held<'_>) -> Outcome {
    let Some(queues) = net.private().queues().get(rcu) else {
        reclaimer::call();
        return Outcome::Dry;
    };
    let (mut looks, mut passed_on) = (LOOKS, 0u32);
    while let Some((class, hint)) = next_hint(queues, passed_on, rcu) {
        match follow(hint, class, queues, net, limit, rcu) {
            Followed::Evicted => {
                net.count(Counter::EARLY_DROP);
                return Outcome::Evicted;
            }
            Followed::PassedOn => passed_on = passed_on.saturating_add(1),
            Followed::Stale => account::count(net, Tally::HintsStale),
        }
        looks = looks.saturating_sub(1);
        if looks == 0 {
            return Outcome::Unfinished;
        }
    }
    let barren = queues.is_barren();
    queues.want_all();
    reclaimer::call();
    if barren {
        Outcome::Barren
    } else {
        Outcome::Dry
    }
}

/// The next hint, and the class whose queue it stood in. [`evict::answered_first`] has the order of
/// those without a proof.
#[inline]
fn next_hint(queues: &Queues, passed_on: u32, rcu: Held<'_>) -> Option<(Class, Hint)> {
    let take = |class: Class| Some((class, queues.take(class.queue()?, rcu)?));
    let waiting = |class: Class| {
        class
            .queue()
            .map_or((0, 0), |queue| queues.waiting(queue, rcu))
    };
    let unproven = || {
        let (answered, put) = waiting(Class::Answered);
        let waiting = Waiting {
            unreplied: waiting(Class::Unreplied).0,
            answered,
            overflows: put >= ring::capacity(Class::Answered, queues.max()),
        };
        if evict::answered_first(waiting, passed_on, queues.max()) {
            take(Class::Answered).or_else(|| take(Class::Unreplied))
        } else {
            take(Class::Unreplied).or_else(|| take(Class::Answered))
        }
    };
    take(Class::Closed)
        .or_else(|| take(Class::Closing))
        .or_else(unproven)
        .or_else(|| take(Class::Idle))
}

/// What came of following a hint.
enum Followed {
    /// Its entry was evicted.
    Evicted,
    /// Its entry has risen, and so did the hint.
    PassedOn,
    /// It was of no use.
    Stale,
}

/// Puts a hint that was taken behind those of a higher class.
fn pass_on(hint: Hint, to: Class, queues: &Queues) {
    if let Some(queue) = to.queue() {
        queues.put(queue, hint);
    }
}

/// Follows a hint from the queue of `class`.
#[inline]
fn follow(
    hint: Hint,
    class: Class,
    queues: &Queues,
    net: &Net,
    limit: Limit,
    rcu: Held<'_>,
) -> Followed {
    // It says so itself, and nobody need look at its entry.
    if class == Class::Unreplied && hint.is_answered() {
        pass_on(hint, Class::Answered, queues);
        return Followed::PassedOn;
    }
    let Some(conn) = table::find_hinted(hint, net, rcu) else {
        return Followed::Stale;
    };
    expect_next(class, conn.address(), queues, rcu);
    let now = judge(&conn);
    let hash = Hash(hint.hash());
    let reason = limit.reason(Reason::Hint);
    match ring::fate(class, now) {
        Fate::Evict if account::evict_hashed(&conn, hash, now, reason) => Followed::Evicted,
        Fate::Move(to) if !has_left(&conn, class, now) => {
            pass_on(hint, to, queues);
            Followed::PassedOn
        }
        Fate::Drop | Fate::Move(_) => {
            if let Some(queue) = class.queue() {
                queues.count_stale(queue, -1);
            }
            Followed::Stale
        }
        Fate::Evict => Followed::Stale,
    }
}

/// How many evictions ahead something is brought into the cache that the next packets will want, and
/// would wait for. Each step needs what the ones before have brought.
const AHEAD: [(u32, Expect); 4] = [
    (4, Expect::Bucket),
    (2, Expect::Among(1)),
    (1, Expect::Among(2)),
    (0, Expect::Neighbours),
];

/// The next hints of the queue of `class` will be followed, after the one to the entry at `near`.
#[inline]
fn expect_next(class: Class, near: usize, queues: &Queues, rcu: Held<'_>) {
    let Some(queue) = class.queue() else { return };
    for (ahead, step) in AHEAD {
        match (queues.peek(queue, ahead, rcu), step) {
            (Some((hint, Place::Told)), Expect::Bucket) => {
                table::expect(hint, Expect::Guess(near), rcu);
            }
            (Some((hint, _)), step) => table::expect(hint, step, rcu),
            (None, _) => {}
        }
    }
}

/// Whether a namespace with so many entries wants to be looked at before it takes another one.
#[inline(always)]
pub(crate) fn concerns(count: u32, max: u32) -> bool {
    count > if BUILT_IN { evict::low_water(max) } else { max }
}

/// A namespace is more than half full, with so many entries.
#[inline]
pub(crate) fn rising(net: &Net, count: u32, rcu: Held<'_>) {
    let queues = net.private().queues().get(rcu);
    if queues.is_none_or(|queues| count >= queues.plan_at()) {
        reclaimer::call();
    }
}

/// The machine has more than half of the entries that it may have.
#[inline]
pub(crate) fn rising_together(rcu: Held<'_>) {
    if cap::largest(rcu).is_none() {
        reclaimer::call();
    }
}
