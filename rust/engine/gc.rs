// SPDX-License-Identifier: GPL-2.0

//! The worker that removes what has expired, for tables that no packet looks into.
//!
//! `policy::pace` decides how far it walks and when it comes back.
//!
//! C counterpart's behaviour: `gc_worker()` in `net/netfilter/nf_conntrack_core.c`.

use kernel::sync::rcu;

use crate::engine::account;
use crate::engine::expect;
use crate::engine::pressure;
use crate::engine::reclaim;
use crate::engine::table;
use crate::linux::conn::Candidate;
use crate::linux::hashtable::Table;
use crate::linux::once::Word;
use crate::linux::rcu::Held;
use crate::linux::time;
use crate::linux::time::HZ;
use crate::linux::warn;
use crate::linux::work::StaticWork;
use crate::linux::work::Task;
use crate::pure::num::Jiffies32;
use crate::pure::policy::evict;
use crate::pure::policy::pace;
use crate::pure::policy::pace::Budget;
use crate::pure::policy::pace::Resume;
use crate::pure::policy::pace::Round;
use crate::pure::policy::pace::Stop;
use crate::pure::policy::pace::Walk;
use crate::pure::policy::tally::Reason;
use crate::pure::status::Status;

static WORK: StaticWork<Collector> = StaticWork::new(Resume {
    bucket: 0,
    average: 0,
    count: 0,
    started: Jiffies32(0),
});

/// No more rounds: the module is being unloaded.
static ENDING: Word<bool> = Word::new(false);

/// The worker while it works. Dropping it waits for its end.
pub(crate) struct Worker(());

impl Worker {
    /// Starts the worker.
    pub(crate) fn start() -> Self {
        WORK.begin();
        WORK.queue(pace::first_delay(HZ));
        Worker(())
    }

    /// No further round begins.
    pub(crate) fn wind_down() {
        ENDING.set(true);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        Self::wind_down();
        WORK.cancel();
    }
}

/// What the worker does, round after round.
struct Collector;

impl Task for Collector {
    /// Where the last round stopped.
    type Notes = Resume;

    fn run(resume: &mut Resume) {
        let mut round = Round::begin(*resume, time::now(), Budget::new(HZ));
        // Above this many entries a namespace is under pressure; none is unless a packet was refused.
        let crowded = pressure::worker_wanted().then(|| evict::pressure_mark(table::max()));
        let stop = walk(&mut round, crowded);
        let delay;
        (*resume, delay) = round.end(time::now(), stop);
        if ENDING.get() {
            return;
        }
        if delay > 0 {
            pressure::worker_done();
        }
        WORK.queue(delay);
    }
}

fn walk(round: &mut Round, crowded: Option<u32>) -> Stop {
    loop {
        let buckets;
        {
            let guard = rcu::read_lock();
            let rcu = Held::by(&guard);
            let table = Table::current(rcu);
            buckets = table.buckets();
            // The table may have shrunk since the last round.
            let Some(bucket) = table.nth(round.bucket()) else {
                return Stop::Done;
            };
            for met in table.chain(bucket, rcu) {
                if round.exhausted() {
                    return Stop::Exhausted;
                }
                visit(met, round, crowded);
            }
            // A chain that the walk strayed into is as good as its own: the next cycle sees both.
        }
        warn::cond_resched();
        match round.next_bucket(time::now(), buckets) {
            Walk::Continue => {}
            Walk::OutOfTime => return Stop::OutOfTime,
            Walk::Done => return Stop::Done,
        }
    }
}

fn visit(met: Candidate<'_>, round: &mut Round, crowded: Option<u32>) {
    let left = time::now().until(met.deadline());
    let Ok(left @ 1..) = u32::try_from(left) else {
        table::reap_expired(met);
        round.reclaimed();
        return;
    };
    round.seen(left);
    let helped = met.status().any(Status::HELPER);
    let crowded = crowded.is_some_and(|mark| met.entries_of_net() >= mark);
    if !helped && !crowded {
        return;
    }
    let Some(conn) = table::hold(met, None, evict::is_settled) else {
        return;
    };
    if conn.has(Status::HELPER) {
        expect::collect_garbage(&conn);
    }
    if !crowded {
        return;
    }
    let class = reclaim::judge(&conn);
    if evict::collector_takes(class) {
        account::evict(&conn, class, Reason::Collector);
        round.reclaimed();
    }
}
