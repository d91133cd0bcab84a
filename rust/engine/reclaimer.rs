// SPDX-License-Identifier: GPL-2.0

//! The worker of reclaim, which sees to it that there always is somebody to go.
//!
//! ```text
//!   arrange:        who is under pressure gets queues, who is not any more loses them
//!   fill backlogs:  what was there before the queues were
//!   sweep:          hints that lead nowhere
//!   tidy up:        what is dead, or over by scaled timeouts
//!   plan:           whom to take when only proven entries are left
//! ```
//!
//! It runs when a packet calls it, and ten times a second while there are queues. The packets' part
//! is `engine::reclaim`; the decisions are in `pure::policy`.

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
use crate::engine::reclaim;
use crate::engine::reclaim::idle;
use crate::engine::reclaim::is_stale;
use crate::engine::reclaim::judge;
use crate::engine::reclaim::ranked;
use crate::engine::reclaim::until_idle;
use crate::engine::table;
use crate::linux::backlog::Backlog;
use crate::linux::backlog::Draft;
use crate::linux::conn::Conn;
use crate::linux::members::Locked;
use crate::linux::members::Members;
use crate::linux::members::Owner;
use crate::linux::net::Net;
use crate::linux::plan::Plan;
use crate::linux::queues::Queues;
use crate::linux::rcu::Held;
use crate::linux::slot::Changes;
use crate::linux::time;
use crate::linux::time::HZ;
use crate::linux::warn;
use crate::linux::work::StaticWork;
use crate::linux::work::Task;
use crate::pure::num::Jiffies32;
use crate::pure::policy::adaptive;
use crate::pure::policy::adaptive::Scale;
use crate::pure::policy::class::Class;
use crate::pure::policy::evict;
use crate::pure::policy::evict::Sample;
use crate::pure::policy::fair::is_mostly_proven;
use crate::pure::policy::fair::needs_plan;
use crate::pure::policy::fair::next_plan_at;
use crate::pure::policy::fair::probation;
use crate::pure::policy::soft;
use crate::pure::policy::tally::Reason;
use crate::pure::policy::tally::Tally;
use crate::pure::policy::tidy;
use crate::pure::policy::tidy::Tidy;
use crate::pure::status::Status;

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

/// Whether the worker is on its way.
static CALLED: Atomic<bool> = Atomic::<bool>::new(false);

static WORK: StaticWork<Reclaimer> = StaticWork::new(());

static MEMBERS: Members<Member> = Members::new();

/// The list, locked, and what may be changed by whoever has locked it.
struct Shift {
    // They settle before the list is unlocked.
    queues: Changes<Queues>,
    backlogs: Changes<Backlog>,
    plans: Changes<Plan>,
    members: Locked<Member>,
}

impl Shift {
    /// Locks the list; none before the worker is ready. CONTEXT: sleepable.
    fn begin() -> Option<Self> {
        let members = MEMBERS.lock()?;
        // SAFETY: Only a shift has them, and the lock admits one at a time.
        let (queues, backlogs, plans) =
            unsafe { (Changes::assume(), Changes::assume(), Changes::assume()) };
        Some(Shift {
            queues,
            backlogs,
            plans,
            members,
        })
    }
}

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
    /// The backlog that it is getting.
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
    /// When a plan was made, or tried, last. `None` if none was since the queues were made.
    planned: Option<Jiffies32>,
    /// How many ticks that took.
    plan_took: u32,
}

impl Member {
    /// Ticks since a plan was made, or tried.
    fn since_planned(&self) -> u32 {
        self.planned
            .map_or(u32::MAX, |then| then.until(time::now()).unsigned_abs())
    }

    /// Whether a plan has served for as long as it is good.
    fn plan_is_over(&self) -> bool {
        let good = self.plan_took.saturating_mul(PLANS_AHEAD);
        self.since_planned() >= good.max(PLAN_LASTS)
    }
}

struct Filling {
    draft: Draft,
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
        planned: None,
        plan_took: 0,
    };
    MEMBERS.enter(net, member)
}

/// A namespace is about to end: other namespaces' packets find it no more, once a grace period has
/// passed. CONTEXT: sleepable.
pub(crate) fn withdraw(net: &Net) {
    if let Some(mut shift) = Shift::begin() {
        shift.members.leave(net);
        cap::forget(net);
    }
}

/// A namespace ends: no packet can come any more. CONTEXT: sleepable, after [`withdraw`].
pub(crate) fn leave(net: &Net) {
    let Some(mut shift) = Shift::begin() else {
        return;
    };
    if shift.queues.replace(net.private().queues(), None) {
        reclaim::count_pressed(-1);
    }
}

/// Calls the worker, once until it begins.
pub(crate) fn call() {
    if reclaim::BUILT_IN && !CALLED.load(Relaxed) && !CALLED.xchg(true, kernel::sync::atomic::Full)
    {
        WORK.requeue(0);
    }
}

/// What the worker does.
struct Reclaimer;

impl Task for Reclaimer {
    type Notes = ();

    fn run((): &mut ()) {
        let Some(mut shift) = Shift::begin() else {
            return;
        };
        let mut short_of_memory = arrange(&mut shift, Arrange::All);
        // Who calls from now on is heard.
        CALLED.store(false, Relaxed);
        let filled = fill_backlogs(&mut shift);
        short_of_memory |= filled.short_of_memory;
        sweep(&shift);
        tidy_up(&mut shift);
        let plan_later = plan(&mut shift);
        // Queues that were given during a walk.
        let pending = shift.members.iter().any(|(net, _)| {
            let queues = net.private().queues().look(&shift.queues);
            queues.is_some_and(|queues| !queues.was_filled())
        });
        drop(shift);
        let put_off = filled.put_off.then_some(BETWEEN_FILLS);
        let no_memory = short_of_memory.then_some(HZ);
        let later = [put_off, no_memory, plan_later].into_iter().flatten().min();
        if pending && !short_of_memory {
            call();
        } else if let Some(later) = later {
            // Until then nobody need call.
            CALLED.store(true, Relaxed);
            WORK.requeue(later);
        } else if reclaim::is_pressed() {
            WORK.queue(BETWEEN_RUNS);
        }
    }
}

/// Drops the hints of entries that rose, or went, where there are many, so that no packet need look
/// at them and nobody counts on them.
fn sweep(shift: &Shift) {
    for (net, _) in shift.members.iter() {
        let Some(queues) = net.private().queues().look(&shift.queues) else {
            continue;
        };
        for class in Class::QUEUED {
            let Some(queue) = class.queue() else { continue };
            let sample = sample(queues, net, class, queue);
            let left = if sample.wants_sweep() {
                sweep_queue(queues, net, class, queue)
            } else {
                sample.live()
            };
            queues.swept(queue, left);
        }
    }
}

/// What is seen of the hints of a queue.
fn sample(queues: &Queues, net: &Net, class: Class, queue: usize) -> Sample {
    let guard = rcu::read_lock();
    let rcu = Held::by(&guard);
    queues.sample(queue, |hint| is_stale(hint, class, net, rcu))
}

/// Sweeps one queue. How many hints are left.
fn sweep_queue(queues: &Queues, net: &Net, class: Class, queue: usize) -> u32 {
    let (mut left, mut swept) = (0u32, 0usize);
    let mut from = Some(0);
    while let Some(next) = from {
        {
            let guard = rcu::read_lock();
            let rcu = Held::by(&guard);
            from = queues.sweep(queue, next, |hint| {
                let stale = is_stale(hint, class, net, rcu);
                left = left.saturating_add(u32::from(!stale));
                swept = swept.wrapping_add(usize::from(stale));
                stale
            });
        }
        warn::cond_resched();
    }
    account::count_many(net, Tally::HintsSwept, swept);
    left
}

/// Makes plans of whom to take for namespaces of which nearly all entries are proven. In how many
/// ticks one that is wanted may be made, if it has to wait.
fn plan(shift: &mut Shift) -> Option<u32> {
    let (mut any, mut later) = (false, None);
    for (net, member) in shift.members.iter_mut() {
        member.census = None;
        let queues = net.private().queues().look(&shift.queues);
        let Some(queues) = queues.filter(|_| net.fair() != 0) else {
            continue;
        };
        let (wanted, wait) = wants_plan(net, member, queues, &shift.plans);
        if wanted && wait > 0 {
            queues.want_plan();
            later = Some(later.unwrap_or(wait).min(wait));
        } else if wanted {
            member.planned = Some(time::now());
            // Without memory there is another try later.
            member.census = Census::new(net, table::max()).ok();
            any |= member.census.is_some();
        } else if member.plan_is_over() {
            shift.plans.replace(queues.plan(), None);
        }
    }
    if any {
        walk(shift, take_census);
    }
    for (net, member) in shift.members.iter_mut() {
        let Some(mut census) = member.census.take() else {
            continue;
        };
        let made = census.records().map(|all| Plan::new(all, table::max()));
        drop(census);
        let queues = net.private().queues().look(&shift.queues);
        if let (Some(Ok(made)), Some(queues)) = (made, queues) {
            shift.plans.replace(queues.plan(), Some(made));
            member.plan_took = member.since_planned();
            member.planned = Some(time::now());
        }
    }
    shift.plans.settle();
    later
}

/// Whether a plan should be made, and after how many ticks that may be.
fn wants_plan(net: &Net, member: &Member, queues: &Queues, plans: &Changes<Plan>) -> (bool, u32) {
    let at_once = queues.wanted_plan();
    let plan = queues.plan().look(plans);
    let is_due = plan.is_none_or(|plan| member.plan_is_over() || plan.is_worn());
    let (count, spare, max) = (net.entries_now(), spare(net, queues), table::max());
    let at = queues.plan_at();
    queues.set_plan_at(next_plan_at(at, count, max));
    // While it fills they come early: the table may be full before the worker is here again.
    let is_early = count >= at && is_mostly_proven(count, spare);
    let is_needed = is_due && needs_plan(count, spare, max);
    let rest = member.plan_took.saturating_mul(PLANS_NOW).max(1);
    let wait = rest.saturating_sub(member.since_planned());
    (at_once || is_early || is_needed, wait)
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
fn tidy_up(shift: &mut Shift) {
    let mut any = false;
    for (net, member) in shift.members.iter_mut() {
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
    walk(shift, take_dead);
    for (net, member) in shift.members.iter_mut() {
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
fn arrange(shift: &mut Shift, what: Arrange) -> bool {
    let now = time::now();
    let max = table::max();
    let mut short_of_memory = false;
    find_largest(&shift.members);
    for (net, member) in shift.members.iter_mut() {
        let slot = net.private().queues();
        let count = net.entries_now();
        let is_largest = cap::is_largest(net);
        let made_for = slot.look(&shift.queues).map(Queues::max);
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
        let new = match wanted.then(|| Queues::new(size)).transpose() {
            Ok(new) => new,
            Err(_) => {
                short_of_memory = true;
                continue;
            }
        };
        reclaim::count_pressed(i32::from(new.is_some()) - i32::from(made_for.is_some()));
        member.born = now;
        member.overflowed = false;
        member.planned = None;
        shift.queues.replace(slot, new);
    }
    shift.queues.settle();
    short_of_memory
}

/// The limit of all namespaces together has been set: its count is right from now on, and whoever is
/// the largest gets queues. CONTEXT: sleepable.
pub(crate) fn count_all() {
    if let Some(shift) = Shift::begin() {
        find_largest(&shift.members);
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

/// What came of filling backlogs.
#[derive(Default)]
struct Filled {
    /// Somebody has to wait.
    put_off: bool,
    short_of_memory: bool,
}

/// Fills the backlogs of namespaces that want it, in one walk.
fn fill_backlogs(shift: &mut Shift) -> Filled {
    let now = time::now();
    let (mut any, mut filled) = (false, Filled::default());
    for (net, member) in shift.members.iter_mut() {
        member.filling = None;
        let Some(queues) = net.private().queues().look(&shift.queues) else {
            continue;
        };
        let everything = queues.wants_all();
        let again = member.filled.until(now).unsigned_abs() >= BETWEEN_FILLS;
        let first = !queues.was_filled();
        if is_backlog_void(net, queues) {
            shift.backlogs.replace(queues.backlog(), None);
        }
        let old = queues.backlog().look(&shift.backlogs);
        let is_empty = old.is_none_or(|old| old.all_left() == 0);
        let rest = member.overflowed && is_empty;
        let early = is_empty && runs_short(net, member, queues, now);
        if !(first || (again && (everything || rest)) || early) {
            filled.put_off |= everything || rest;
            continue;
        }
        let Ok(draft) = Draft::new(queues.max()) else {
            filled.short_of_memory = true;
            continue;
        };
        // What is written down now shall not go meanwhile.
        shift.backlogs.replace(queues.backlog(), None);
        account::count(net, Tally::Walks);
        member.overflowed = false;
        member.filling = Some(Filling {
            draft,
            until_idle: u32::MAX,
            everything: everything && !first,
        });
        any = true;
    }
    if !any {
        return filled;
    }
    walk(shift, note);
    for (net, member) in shift.members.iter_mut() {
        let Some(filling) = member.filling.take() else {
            continue;
        };
        member.filled = time::now();
        member.until_idle = filling.until_idle;
        if let Some(queues) = net.private().queues().look(&shift.queues) {
            let (backlog, count) = filling.draft.finish();
            shift.backlogs.replace(queues.backlog(), Some(backlog));
            queues.filled(count);
        }
    }
    filled
}

/// Whether all hints of the backlog have become stale, as they do when the table is flushed.
fn is_backlog_void(net: &Net, queues: &Queues) -> bool {
    is_filling_up(net) && {
        let sample = sample_backlog(net, queues);
        sample.hints > 0 && sample.is_void()
    }
}

/// What is seen of the backlog, which has each entry once.
fn sample_backlog(net: &Net, queues: &Queues) -> Sample {
    let guard = rcu::read_lock();
    let rcu = Held::by(&guard);
    let is_stale = |hint| is_stale(hint, Class::Idle, net, rcu);
    let backlog = queues.backlog().get(rcu);
    backlog.map_or(Sample::default(), |backlog| backlog.sample(is_stale))
}

/// About how many entries may go, as far as is known.
fn known_spare(queues: &Queues) -> u32 {
    let guard = rcu::read_lock();
    queues.spare(Held::by(&guard))
}

/// The same, without what has become stale in the backlog.
fn spare(net: &Net, queues: &Queues) -> u32 {
    let stale = sample_backlog(net, queues).dead();
    known_spare(queues).saturating_sub(stale)
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
        && known_spare(queues) < probation(table::max())
        && waited >= soft::next_look(member.until_idle.min(newest), HZ)
}

/// Shows all entries of the table to `note`, with what is remembered of their namespaces.
fn walk(shift: &mut Shift, note: impl Fn(&Conn, &mut Member)) {
    let mut walk = table::Walk::new();
    loop {
        let there_was_one = walk.step(|met| {
            let Some(conn) = table::hold(met, None, evict::is_settled) else {
                return;
            };
            if let Some(member) = shift.members.of(conn.net()) {
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
            arrange(shift, Arrange::Missing);
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
    if !filling.draft.note(ranked(conn, class, idle)) {
        member.overflowed = true;
    }
}
