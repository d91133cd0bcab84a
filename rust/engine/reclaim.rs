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
//! a while. The order is `policy::class`'s, and `Documentation/reclaim.rst` tells why all this is
//! as it is.
//!
//! No C counterpart: mainline searches eight buckets.

use kernel::prelude::*;
use kernel::static_lock_class;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::sync::rcu;

use crate::engine::account;
use crate::engine::cap;
use crate::engine::conn;
use crate::engine::fair;
use crate::engine::fair::Census;
use crate::engine::l4;
use crate::engine::table;
use crate::engine::table::Expect;
use crate::linux::conn::Conn;
use crate::linux::hashtable::Hash;
use crate::linux::members::Locked;
use crate::linux::members::Members;
use crate::linux::members::Owner;
use crate::linux::net::Net;
use crate::linux::once::Word;
use crate::linux::plan::Plan;
use crate::linux::queues::Place;
use crate::linux::queues::Queues;
use crate::linux::rcu::Held;
use crate::linux::stats::Counter;
use crate::linux::time;
use crate::linux::time::HZ;
use crate::linux::warn;
use crate::linux::work::StaticWork;
use crate::linux::work::Task;
use crate::pure::num::Dir;
use crate::pure::num::Jiffies32;
use crate::pure::policy::adaptive;
use crate::pure::policy::adaptive::Scale;
use crate::pure::policy::class::Class;
use crate::pure::policy::class::Ending;
use crate::pure::policy::evict;
use crate::pure::policy::evict::Sample;
use crate::pure::policy::evict::Waiting;
use crate::pure::policy::fair::needs_plan;
use crate::pure::policy::fair::probation;
use crate::pure::policy::proof::Marks;
use crate::pure::policy::ring;
use crate::pure::policy::ring::Fate;
use crate::pure::policy::ring::Hint;
use crate::pure::policy::soft;
use crate::pure::policy::tally::Limit;
use crate::pure::policy::tally::Reason;
use crate::pure::policy::tally::Tally;
use crate::pure::policy::tidy;
use crate::pure::policy::tidy::Tidy;
use crate::pure::status::Status;

/// Hints that a packet looks at. More than one are needed only where hints have become stale, and
/// each does so once.
const LOOKS: u32 = 8192;

/// Ticks between two runs of the worker while there are queues.
const BETWEEN_RUNS: u32 = HZ.div_ceil(10);

/// Ticks for which a namespace keeps its queues without need.
const CALM: u32 = HZ * 10;

/// Ticks between two fillings of a namespace's backlog.
const BETWEEN_FILLS: u32 = HZ.div_ceil(10);

/// Ticks for which a plan of whom to take is good, at least, if nobody wants another one.
const PLAN_LASTS: u32 = HZ;

/// Making plans may take the worker this part of its time, one in so many: while the table fills,
/// and while it is full of proven entries that have to go.
const PLANS_AHEAD: u32 = 50;
const PLANS_NOW: u32 = 1;

/// `make RECLAIM=n` leaves the search of buckets only: for comparison.
const BUILT_IN: bool = !cfg!(without_reclaim);

/// How many namespaces have queues. Changed under [`MEMBERS`].
static PRESSED: Word<u32> = Word::new(0);

/// Whether the worker is on its way.
static CALLED: Atomic<bool> = Atomic::<bool>::new(false);

static WORK: StaticWork<Reclaimer> = StaticWork::new(());

static MEMBERS: Members<Member> = Members::new();

/// What the worker remembers of a namespace.
struct Member {
    /// When it was last above the mark of calm.
    busy: Jiffies32,
    /// When its queues were made: what is younger has a hint of its own.
    born: Jiffies32,
    /// When its backlog was filled last.
    filled: Jiffies32,
    /// Ticks from then until more of it may be idle.
    until_idle: u32,
    /// How many hints its backlog is getting; `None` while it gets none.
    filling: Option<Filling>,
    /// The proven entries that are being written down for a plan.
    census: Option<Census>,
    /// The backlog had no place for all that there was.
    overflowed: bool,
    /// What is dead is being taken from it.
    tidying: Option<Tidying>,
    /// When what is dead was taken last.
    tidied: Jiffies32,
    /// Ticks from then until it is looked for again.
    until_tidied: u32,
    /// When a plan was made, or tried, last.
    planned: Jiffies32,
    /// How many ticks that took.
    plan_took: u32,
}

struct Filling {
    count: usize,
    /// Ticks until the first of those that are active may be idle.
    until_idle: u32,
    /// Without regard to who has a hint already.
    everything: bool,
}

/// The worker while it works.
pub(crate) struct Worker {
    _members: Owner<Member>,
}

impl Worker {
    /// Makes it ready. CONTEXT: once, while the module is loaded.
    pub(crate) fn start() -> Self {
        // SAFETY: The module is being loaded.
        unsafe { fair::draw_key() };
        WORK.begin();
        Worker {
            _members: MEMBERS.begin(c"nf_conntrack_reclaim", static_lock_class!()),
        }
    }

    /// It does not run any more, and never will again. CONTEXT: sleepable.
    pub(crate) fn wind_down() {
        WORK.disable();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        Self::wind_down();
    }
}

/// A namespace begins. CONTEXT: sleepable.
pub(crate) fn enter(net: &Net) -> Result {
    let now = time::now();
    let member = Member {
        busy: now,
        born: now,
        filled: now,
        until_idle: 0,
        filling: None,
        census: None,
        tidying: None,
        overflowed: false,
        tidied: now,
        until_tidied: 0,
        planned: now,
        plan_took: 0,
    };
    MEMBERS.enter(net, member)
}

/// A namespace is about to end: other namespaces' packets find it no more, once a grace period has
/// passed. CONTEXT: sleepable.
pub(crate) fn withdraw(net: &Net) {
    if let Some(mut members) = MEMBERS.lock() {
        members.leave(net);
        cap::forget(net);
    }
}

/// A namespace ends: no packet can come any more. CONTEXT: sleepable, after [`withdraw`].
pub(crate) fn leave(net: &Net) {
    let Some(_members) = MEMBERS.lock() else {
        return;
    };
    // SAFETY: The list is locked, and nobody reads the slot any more.
    let queues = unsafe { net.private().queues().replace(None) };
    if queues.is_some() {
        count_pressed(-1);
    }
}

/// Whether any namespace has queues.
#[inline(always)]
pub(crate) fn is_pressed() -> bool {
    BUILT_IN && PRESSED.get() != 0
}

/// CONTEXT: [`MEMBERS`] locked.
fn count_pressed(by: i32) {
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
fn ranked(conn: &Conn, class: Class, idle: u32) -> Hint {
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
fn is_stale(hint: Hint, class: Class, net: &Net, rcu: Held<'_>) -> bool {
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
fn until_idle(conn: &Conn) -> Option<u32> {
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
        call();
        return Outcome::Dry;
    };
    let (mut looks, mut passed_on) = (LOOKS, 0u32);
    while let Some((class, hint)) = next_hint(queues, passed_on) {
        if class == Class::Unreplied && hint.is_answered() {
            pass_on(hint, Class::Answered, queues);
            passed_on = passed_on.saturating_add(1);
            continue;
        }
        match follow(hint, class, queues, net, limit, rcu) {
            Followed::Evicted => {
                net.count(Counter::EARLY_DROP);
                return Outcome::Evicted;
            }
            Followed::PassedOn => passed_on = passed_on.saturating_add(1),
            Followed::Stale => {}
        }
        account::count(net, Tally::HintsStale);
        looks = looks.saturating_sub(1);
        if looks == 0 {
            return Outcome::Unfinished;
        }
    }
    let barren = queues.is_barren();
    queues.want_all();
    call();
    if barren {
        Outcome::Barren
    } else {
        Outcome::Dry
    }
}

/// The next hint, and the class whose queue it stood in. [`evict::answered_first`] has the order of
/// those without a proof.
#[inline]
fn next_hint(queues: &Queues, passed_on: u32) -> Option<(Class, Hint)> {
    let take = |class: Class| Some((class, queues.take(class.queue()?)?));
    let waiting = |class: Class| class.queue().map_or((0, 0), |queue| queues.waiting(queue));
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
        match (queues.peek(queue, ahead), step) {
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

/// A namespace is more than half full.
#[inline]
pub(crate) fn rising(net: &Net, rcu: Held<'_>) {
    if net.private().queues().get(rcu).is_none() {
        call();
    }
}

/// The machine has more than half of the entries that it may have.
#[inline]
pub(crate) fn rising_together(rcu: Held<'_>) {
    if cap::largest(rcu).is_none() {
        call();
    }
}

/// Calls the worker, once until it begins.
pub(crate) fn call() {
    if BUILT_IN && !CALLED.load(Relaxed) && !CALLED.xchg(true, kernel::sync::atomic::Full) {
        WORK.requeue(0);
    }
}

/// What the worker does.
struct Reclaimer;

impl Task for Reclaimer {
    type Notes = ();

    fn run((): &mut ()) {
        let Some(mut members) = MEMBERS.lock() else {
            return;
        };
        let short_of_memory = arrange(&mut members, Arrange::All);
        // Who calls from now on is heard.
        CALLED.store(false, Relaxed);
        let put_off = fill_backlogs(&mut members);
        sweep(&members);
        tidy_up(&mut members);
        let plan_later = plan(&mut members);
        // Queues that were given during a walk.
        let mut pending = false;
        for (net, _) in members.iter() {
            with_queues(net, |queues, _| pending |= !queues.was_filled());
        }
        drop(members);
        let put_off = put_off.then_some(BETWEEN_FILLS);
        let no_memory = short_of_memory.then_some(HZ);
        let later = [put_off, no_memory, plan_later].into_iter().flatten().min();
        if pending {
            call();
        } else if let Some(later) = later {
            // Until then nobody need call.
            CALLED.store(true, Relaxed);
            WORK.requeue(later);
        } else if is_pressed() {
            WORK.queue(BETWEEN_RUNS);
        }
    }
}

/// Drops the hints of entries that rose, or went, where there are many, so that no packet need look
/// at them and nobody counts on them.
fn sweep(members: &Locked<Member>) {
    for (net, _) in members.iter() {
        for class in Class::QUEUED {
            let Some(queue) = class.queue() else { continue };
            let left = match sample(net, class, queue) {
                Some(sample) if sample.wants_sweep() => sweep_queue(net, class, queue),
                Some(sample) => sample.live(),
                None => continue,
            };
            with_queues(net, |queues, _| queues.swept(queue, left));
        }
    }
}

/// What is seen of the hints of a queue.
fn sample(net: &Net, class: Class, queue: usize) -> Option<Sample> {
    let guard = rcu::read_lock();
    let rcu = Held::by(&guard);
    let queues = net.private().queues().get(rcu)?;
    Some(queues.sample(queue, |hint| is_stale(hint, class, net, rcu)))
}

/// Sweeps one queue. How many hints are left.
fn sweep_queue(net: &Net, class: Class, queue: usize) -> u32 {
    let (mut left, mut swept) = (0u32, 0usize);
    let mut from = Some(0);
    while let Some(next) = from {
        {
            let guard = rcu::read_lock();
            let rcu = Held::by(&guard);
            let look = |hint| {
                let stale = is_stale(hint, class, net, rcu);
                left = left.saturating_add(u32::from(!stale));
                swept = swept.wrapping_add(usize::from(stale));
                stale
            };
            from = match net.private().queues().get(rcu) {
                Some(queues) => queues.sweep(queue, next, look),
                None => None,
            };
        }
        warn::cond_resched();
    }
    account::count_many(net, Tally::HintsSwept, swept);
    left
}

/// Makes plans of whom to take for namespaces of which nearly all entries are proven. In how many
/// ticks one that is wanted may be made, if it has to wait.
fn plan(members: &mut Locked<Member>) -> Option<u32> {
    let max = table::max();
    let (mut any, mut later) = (false, None);
    let mut old = KVec::new();
    for (net, member) in members.iter_mut() {
        member.census = None;
        // Room to remember plans comes first: they must not go before a grace period.
        if net.fair() == 0 || old.reserve(2, GFP_KERNEL).is_err() {
            continue;
        }
        let count = net.entries_now();
        let waited = member.planned.until(time::now()).unsigned_abs();
        let mut wanted = false;
        with_queues(net, |queues, held| {
            let at_once = queues.wanted_plan();
            let is_over = waited >= member.plan_took.saturating_mul(PLANS_AHEAD).max(PLAN_LASTS);
            let rest = member.plan_took.saturating_mul(PLANS_NOW).max(1);
            let is_due = queues
                .plan()
                .get(held)
                .is_none_or(|plan| is_over || plan.is_worn());
            wanted = at_once || is_due && needs_plan(count, spare(net, queues), max);
            if wanted && waited < rest {
                queues.want_plan();
                wanted = false;
                let left = rest.saturating_sub(waited);
                later = Some(later.unwrap_or(left).min(left));
            }
            if !wanted && is_over {
                // SAFETY: The list is locked; the old one is dropped after a grace period.
                let replaced = unsafe { queues.plan().replace(None) };
                if let Some(replaced) = replaced {
                    let _ = old.push(replaced, GFP_KERNEL);
                }
            }
        });
        if wanted {
            member.planned = time::now();
            // Without memory there is another try later.
            member.census = Census::new(net, max).ok();
            any |= member.census.is_some();
        }
    }
    if any {
        walk(members, take_census);
    }
    for (net, member) in members.iter_mut() {
        let Some(mut census) = member.census.take() else {
            continue;
        };
        let made = census.records().map(|all| Plan::new(all, max));
        drop(census);
        let Some(Ok(made)) = made else {
            continue;
        };
        with_queues(net, |queues, _| {
            // SAFETY: The list is locked; the old one is dropped after a grace period.
            let replaced = unsafe { queues.plan().replace(Some(made)) };
            if let Some(replaced) = replaced {
                let _ = old.push(replaced, GFP_KERNEL);
            }
        });
        member.plan_took = member.planned.until(time::now()).unsigned_abs();
        member.planned = time::now();
    }
    if !old.is_empty() {
        rcu::synchronize_rcu();
    }
    later
}

fn take_census(conn: &Conn, member: &mut Member) {
    let Some(census) = &mut member.census else {
        return;
    };
    if judge(conn) == Class::Active {
        census.note(conn, ranked(conn, Class::Active, idle(conn)));
    }
}

/// How full a namespace is, in the terms of what goes for that.
struct Fill {
    count: u32,
    max: u32,
    /// Somebody scales timeouts.
    scales: bool,
    tidy: Tidy,
}

impl Fill {
    fn of(net: &Net) -> Self {
        let count = net.entries_now();
        let max = table::max();
        Fill {
            count,
            max,
            scales: adaptive::is_due(count, max, net.adaptive(), net.policies_start()),
            tidy: Tidy::new(count, max),
        }
    }

    fn asks_for_nothing(&self) -> bool {
        !self.scales && !self.tidy.is_due()
    }

    /// Why an entry goes, and as what. CONTEXT: a reference held.
    fn reason(&self, conn: &Conn) -> Option<(Class, Reason)> {
        let status = conn.status();
        if status.any(Status::OFFLOAD | Status::DYING) {
            return None;
        }
        let class = judge(conn);
        let left = conn.remaining();
        // Policies are read under RCU.
        let _guard = rcu::read_lock();
        let timeout = l4::timeout_now(conn, left);
        let idle = soft::idle(timeout, left);
        if self.tidy.takes(class, status, idle, timeout, HZ) {
            return Some((class, Reason::Background));
        }
        if !self.scales || !soft::can_tell_idle(status) {
            return None;
        }
        let span = l4::adaptive(conn);
        Scale::new(self.count, self.max, span.start, span.end)
            .is_over(idle, timeout)
            .then_some((class, Reason::Scaled))
    }
}

/// What is dead, or over by scaled timeouts, is being taken from a namespace.
struct Tidying {
    fill: Fill,
    seen: u32,
    taken: u32,
}

/// Takes what is dead, or over by scaled timeouts, where there are so many entries: in one walk.
fn tidy_up(members: &mut Locked<Member>) {
    let mut any = false;
    for (net, member) in members.iter_mut() {
        member.tidying = None;
        let fill = Fill::of(net);
        if fill.asks_for_nothing() {
            member.until_tidied = 0;
            continue;
        }
        let since = member.tidied.until(time::now()).unsigned_abs();
        if since < member.until_tidied {
            continue;
        }
        account::count(net, Tally::Reapings);
        member.tidying = Some(Tidying {
            fill,
            seen: 0,
            taken: 0,
        });
        any = true;
    }
    if !any {
        return;
    }
    walk(members, take_dead);
    for (net, member) in members.iter_mut() {
        let Some(Tidying { seen, taken, .. }) = member.tidying.take() else {
            continue;
        };
        member.tidied = time::now();
        member.until_tidied = if Fill::of(net).scales {
            HZ.div_ceil(2)
        } else {
            tidy::next_walk(member.until_tidied, seen, taken, HZ)
        };
    }
}

fn take_dead(conn: &Conn, member: &mut Member) {
    let Some(tidying) = &mut member.tidying else {
        return;
    };
    tidying.seen = tidying.seen.wrapping_add(1);
    if tidying.fill.reason(conn).is_none() {
        return;
    }
    // As the table empties, less goes.
    tidying.fill = Fill::of(conn.net());
    let Some((class, reason)) = tidying.fill.reason(conn) else {
        return;
    };
    tidying.taken = tidying.taken.wrapping_add(1);
    // What is over did not go before its time.
    if class == Class::Expired {
        conn::reap(conn);
    } else {
        account::evict(conn, class, reason);
    }
}

/// For whom to [`arrange`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrange {
    /// All.
    All,
    /// Who has no queues and needs them: others' may be in use by the worker.
    Missing,
}

/// Gives queues to who needs them, and takes them from who does not. Whether memory was short.
fn arrange(members: &mut Locked<Member>, what: Arrange) -> bool {
    let now = time::now();
    let max = table::max();
    let mut short_of_memory = false;
    let mut old = KVec::new();
    find_largest(members);
    for (net, member) in members.iter_mut() {
        let count = net.entries_now();
        let is_largest = cap::is_largest(net);
        let made_for = {
            let guard = rcu::read_lock();
            let queues = net.private().queues().get(Held::by(&guard));
            queues.map(Queues::max)
        };
        if count >= evict::calm(max) || is_largest {
            member.busy = now;
        }
        let calm = member.busy.until(now).unsigned_abs() >= CALM;
        let size = evict::queues_for(count, max, is_largest);
        let wanted =
            size > 0 && made_for.is_none_or(|made| made < size && (size == max || made < count));
        if !(wanted || calm && made_for.is_some()) || what == Arrange::Missing && made_for.is_some()
        {
            continue;
        }
        // Room to remember the old ones comes first: they must not go before a grace period.
        if old.reserve(1, GFP_KERNEL).is_err() {
            short_of_memory = true;
            continue;
        }
        let new = match wanted.then(|| Queues::new(size)).transpose() {
            Ok(new) => new,
            Err(_) => {
                short_of_memory = true;
                continue;
            }
        };
        count_pressed(i32::from(new.is_some()) - i32::from(made_for.is_some()));
        member.born = now;
        member.overflowed = false;
        // SAFETY: The list is locked; the old ones are dropped after a grace period.
        let replaced = unsafe { net.private().queues().replace(new) };
        if let Some(replaced) = replaced {
            let _ = old.push(replaced, GFP_KERNEL);
        }
    }
    if !old.is_empty() {
        rcu::synchronize_rcu();
    }
    short_of_memory
}

/// The limit of all namespaces together has been set: its count is right from now on, and whoever is
/// the largest gets queues. CONTEXT: sleepable.
pub(crate) fn count_all() {
    if let Some(members) = MEMBERS.lock() {
        find_largest(&members);
    }
    call();
}

/// Counts the entries of all namespaces, if there is a limit to them, and finds the namespace that
/// has the most, if they are near it.
fn find_largest(members: &Locked<Member>) {
    if cap::limit().is_none() {
        cap::set_largest(None);
        return;
    }
    let nets = || members.iter().map(|(net, _)| net);
    let total = nets().map(Net::entries_now).fold(0, u32::saturating_add);
    cap::correct(total);
    let largest = nets().max_by_key(|net| net.entries_now());
    cap::set_largest(largest.filter(|_| cap::is_near(Some(total))));
}

/// Fills the backlogs of namespaces that want it, in one walk. Whether somebody has to wait.
fn fill_backlogs(members: &mut Locked<Member>) -> bool {
    let now = time::now();
    let (mut any, mut put_off) = (false, false);
    for (net, member) in members.iter_mut() {
        member.filling = None;
        with_queues(net, |queues, _| {
            let everything = queues.wants_all();
            let again = member.filled.until(now).unsigned_abs() >= BETWEEN_FILLS;
            let first = !queues.was_filled();
            drop_void_backlog(net, queues);
            let is_empty = queues.is_backlog_empty();
            let rest = member.overflowed && is_empty;
            let early = is_empty && runs_short(net, member, queues, now);
            if first || (again && (everything || rest)) || early {
                queues.close_backlog();
                account::count(net, Tally::Walks);
                member.filling = Some(Filling {
                    count: 0,
                    until_idle: u32::MAX,
                    everything: everything && !first,
                });
                any = true;
            } else {
                put_off |= everything || rest;
            }
        });
    }
    if !any {
        return put_off;
    }
    rcu::synchronize_rcu();
    for (_, member) in members.iter_mut() {
        if member.filling.is_some() {
            member.overflowed = false;
        }
    }
    walk(members, note);
    for (net, member) in members.iter_mut() {
        let Some(filling) = member.filling.take() else {
            continue;
        };
        member.filled = time::now();
        member.until_idle = filling.until_idle;
        with_queues(net, |queues, _| {
            // SAFETY: A grace period has passed since `close_backlog`, and the list is locked.
            unsafe { queues.open_backlog(filling.count) };
        });
    }
    put_off
}

/// Drops the backlog if all of its hints have become stale, as they do when the table is flushed.
fn drop_void_backlog(net: &Net, queues: &Queues) {
    let guard = rcu::read_lock();
    let is_stale = |hint| is_stale_in_backlog(hint, net, Held::by(&guard));
    if !queues.is_backlog_empty() && is_filling_up(net) && queues.sample_backlog(is_stale).is_void()
    {
        queues.close_backlog();
    }
}

/// Whether a hint in the backlog, which has each entry once, is of no use.
fn is_stale_in_backlog(hint: Hint, net: &Net, rcu: Held<'_>) -> bool {
    is_stale(hint, Class::Idle, net, rcu)
}

/// About how many entries may go, as far as is known: [`Queues::spare`] without what has become stale
/// in the backlog.
fn spare(net: &Net, queues: &Queues) -> u32 {
    let guard = rcu::read_lock();
    let is_stale = |hint| is_stale_in_backlog(hint, net, Held::by(&guard));
    let stale = queues.sample_backlog(is_stale).dead();
    queues.spare().saturating_sub(stale)
}

/// Whether what is known of victims should be kept in order. Before that there is time enough.
fn is_filling_up(net: &Net) -> bool {
    net.entries_now() >= table::max() / 4 * 3
}

/// Whether a namespace that is nearly full has next to nothing for its next packets, but may have by
/// now: a connection that was active when its backlog was filled may be idle beyond its soft timeout.
fn runs_short(net: &Net, member: &Member, queues: &Queues, now: Jiffies32) -> bool {
    let waited = member.filled.until(now).unsigned_abs();
    let newest = l4::shortest_soft(net).unwrap_or(u32::MAX);
    is_filling_up(net)
        && queues.spare() < probation(table::max())
        && waited >= soft::next_look(member.until_idle.min(newest), HZ)
}

/// CONTEXT: [`MEMBERS`] locked, under which alone queues and plans come and go. The proof is good
/// for these only.
fn with_queues(net: &Net, f: impl FnOnce(&Queues, Held<'_>)) {
    // SAFETY: Queues and plans stay while the list is locked, as in a read-side section.
    let held = unsafe { Held::assume() };
    if let Some(queues) = net.private().queues().get(held) {
        f(queues, held);
    }
}

/// Shows all entries of the table to `note`, with what is remembered of their namespaces.
fn walk(members: &mut Locked<Member>, note: impl Fn(&Conn, &mut Member)) {
    let mut walk = table::Walk::new();
    loop {
        let there_was_one = walk.step(|met| {
            let Some(conn) = table::hold(met, None, evict::is_settled) else {
                return;
            };
            if let Some(member) = members.of(conn.net()) {
                note(&conn, member);
            }
        });
        if !there_was_one {
            return;
        }
        // A namespace that fills meanwhile does not wait. Whoever called has made sure of another
        // run.
        if CALLED.load(Relaxed) {
            CALLED.store(false, Relaxed);
            arrange(members, Arrange::Missing);
        }
    }
}

/// Writes down an entry that may go.
fn note(conn: &Conn, member: &mut Member) {
    let Some(filling) = &mut member.filling else {
        return;
    };
    let class = judge(conn);
    if class.queue().is_none() {
        let until = until_idle(conn);
        filling.until_idle = filling.until_idle.min(until.unwrap_or(u32::MAX));
        return;
    }
    let idle = idle(conn);
    let age = member.born.until(time::now()).unsigned_abs();
    // It was confirmed after the queues were there.
    if class == Class::Unreplied && !filling.everything && idle < age {
        return;
    }
    let word = ranked(conn, class, idle).word();
    let mut full = true;
    with_queues(conn.net(), |queues, _| {
        // SAFETY: A grace period has passed since `close_backlog`, and the list is locked.
        if let Some(place) = unsafe { queues.backlog() }.get_mut(filling.count) {
            *place = word;
            full = false;
        }
    });
    if full {
        member.overflowed = true;
    } else {
        filling.count = filling.count.wrapping_add(1);
    }
}
