// SPDX-License-Identifier: GPL-2.0

//! Idle TCP connections are asked whether their ends are still there.
//!
//! ```text
//!   a packet -----> note          what a probe will have to look like
//!   worker's walk -> visit ------> probe -----> comes in, as if from one end
//!                                                 |  all the rules and translations
//!                     left <----------------------+---> goes to the other end
//!   its answer ---> heard
//! ```
//!
//! `policy::probe` decides, `Documentation/probing.rst` tells why so. Off, it costs a look at one
//! word a packet.
//!
//! No C counterpart.

use kernel::prelude::*;
use kernel::static_lock_class;
use kernel::sync::aref::ARef;
use kernel::sync::rcu;

use crate::engine::account;
use crate::engine::reclaim;
use crate::engine::table;
use crate::linux::conn::Candidate;
use crate::linux::conn::Conn;
use crate::linux::hashtable::Table;
use crate::linux::members::Locked;
use crate::linux::members::Members;
use crate::linux::members::Owner;
use crate::linux::net::Net;
use crate::linux::once::Word;
use crate::linux::rcu::Held;
use crate::linux::skb::HookState;
use crate::linux::skb::Skb;
use crate::linux::time;
use crate::linux::time::HZ;
use crate::linux::trace;
use crate::linux::warn;
use crate::linux::work::StaticWork;
use crate::linux::work::Task;
use crate::linux::xmit;
use crate::pure::ctinfo::CtInfo;
use crate::pure::l4::tcp;
use crate::pure::l4::tcp::Step;
use crate::pure::l4::tcp::Tracking;
use crate::pure::l4::tcp::Verdict;
use crate::pure::num::Dir;
use crate::pure::num::Jiffies32;
use crate::pure::policy::probe;
use crate::pure::policy::probe::Allowance;
use crate::pure::policy::probe::Heard;
use crate::pure::policy::probe::Next;
use crate::pure::policy::probe::Probe;
use crate::pure::policy::tally::Reason;
use crate::pure::policy::tally::Tally;
use crate::pure::status::Status;
use crate::pure::tuple::proto;
use crate::pure::wire::tcp::Segment;

/// Ticks until a walk that has spent its allowance goes on.
const PAUSE: u32 = HZ.div_ceil(20);

/// How many namespaces probe. Changed under [`MEMBERS`].
static PROBING: Word<u32> = Word::new(0);

static WORK: StaticWork<Prober> = StaticWork::new(());

static MEMBERS: Members<Member> = Members::new();

/// What the worker remembers of a namespace.
struct Member {
    /// It probes.
    on: bool,
    /// Where its walk is.
    walk: Option<Walk>,
    /// When the next walk may begin.
    next: Jiffies32,
    allowance: Allowance,
    /// When that grew last.
    grown: Jiffies32,
}

#[derive(Clone, Copy)]
struct Walk {
    /// The bucket to go on with.
    bucket: u32,
    /// The size of the table.
    buckets: u32,
}

/// The worker while it works.
pub(crate) struct Worker {
    _members: Owner<Member>,
}

impl Worker {
    /// Makes it ready. CONTEXT: once, while the module is loaded.
    pub(crate) fn start() -> Self {
        WORK.begin();
        Worker {
            _members: MEMBERS.begin(c"nf_conntrack_probe", static_lock_class!()),
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
        on: false,
        walk: None,
        next: now,
        allowance: Allowance::default(),
        grown: now,
    };
    MEMBERS.enter(net, member)
}

/// A namespace ends. CONTEXT: sleepable.
pub(crate) fn leave(net: &Net) {
    let Some(mut members) = MEMBERS.lock() else {
        return;
    };
    if let Some(member) = members.of(net) {
        switch(net, member, false);
    }
    members.leave(net);
}

/// Somebody has set one of a namespace's knobs.
pub(crate) fn changed() {
    WORK.requeue(0);
}

/// Whether a namespace probes.
#[inline(always)]
pub(crate) fn is_on(net: &Net) -> bool {
    PROBING.get() != 0 && net.is_probing()
}

/// CONTEXT: [`MEMBERS`] locked.
fn switch(net: &Net, member: &mut Member, on: bool) {
    if member.on == on {
        return;
    }
    member.on = on;
    member.walk = None;
    member.next = time::now();
    let by = if on { 1 } else { -1 };
    PROBING.set(PROBING.get().saturating_add_signed(by));
    net.set_probing(on);
}

/// A segment is about to be judged. CONTEXT: the entry's lock held.
#[inline]
pub(crate) fn expect(tracking: &mut Tracking, dir: Dir, segment: &Segment<'_>) {
    probe::expect(tracking, dir, segment);
}

/// A segment was judged: `step` is what the tracker says, which moved on from `before`. Whether the
/// segment is an answer and nothing else. CONTEXT: the entry's lock held.
pub(crate) fn judged(
    conn: &Conn,
    tracking: &mut Tracking,
    before: &Tracking,
    skb: &Skb,
    segment: &Segment<'_>,
    step: &Step,
    (dir, state): (Dir, HookState<'_>),
) -> bool {
    if !matches!(step.verdict, Verdict::Refresh(_)) {
        return false;
    }
    let mut stamps = conn.stamps();
    let ingress = xmit::ingress(skb, state);
    probe::note(tracking, &mut stamps, dir, segment, ingress);
    conn.set_stamps(stamps);
    let round = u32::from(before.probing.rounds());
    match probe::heard(tracking, before, dir, segment) {
        Heard::Traffic => false,
        Heard::Answer => {
            account::count(conn.net(), Tally::ProbesAnswered);
            trace::probe(conn, c"answer", round);
            true
        }
        Heard::Reset => {
            account::count(conn.net(), Tally::ProbesReset);
            trace::probe(conn, c"reset", round);
            false
        }
    }
}

/// A packet of a connection leaves.
pub(crate) fn left(conn: &Conn, skb: &Skb, info: CtInfo) {
    // An error about a segment, also about a probe, is not one itself.
    let is_error = matches!(info, CtInfo::Related | CtInfo::RelatedReply);
    if conn.proto() != proto::TCP || is_error {
        return;
    }
    let dir = info.dir();
    // What a bridge carries cannot be sent by routes.
    let bridged = xmit::is_bridged(skb);
    let end = dir.opposite();
    if !conn.probing().is_under_way(end) && !bridged {
        return;
    }
    let _locked = conn.lock().lock_bh();
    let before = conn.load_tcp();
    let mut after = before;
    after.probing.left(end);
    if bridged {
        probe::forget(&mut after);
    }
    conn.store_tcp(&before, &after);
}

/// What the worker does.
struct Prober;

impl Task for Prober {
    type Notes = ();

    fn run((): &mut ()) {
        let Some(mut members) = MEMBERS.lock() else {
            return;
        };
        let mut found = KVec::new();
        arrange(&mut members, &mut found);
        let mut delay = None;
        for (net, member) in members.iter_mut().filter(|(_, member)| member.on) {
            let wait = advance(net, member, &mut found);
            delay = Some(delay.map_or(wait, |other: u32| other.min(wait)));
        }
        if let Some(delay) = delay {
            WORK.queue(delay);
        }
    }
}

/// Begins and ends probing where that is wanted.
fn arrange(members: &mut Locked<Member>, found: &mut KVec<ARef<Conn>>) {
    let mut began = false;
    for (net, member) in members.iter_mut() {
        let on = net.probe_time() != 0;
        began |= on && !member.on;
        if on != member.on {
            switch(net, member, on);
            // Marks those that begin now.
            member.grown = time::now();
            member.allowance = Allowance::default();
            member.walk = on.then_some(Walk {
                bucket: 0,
                buckets: 0,
            });
        }
    }
    if !began {
        return;
    }
    // From now on no packet passes that is not noted; of what passed before, nothing is known.
    rcu::synchronize_rcu();
    for (net, member) in members.iter_mut() {
        if member.walk.is_none_or(|walk| walk.buckets != 0) {
            continue;
        }
        member.walk = None;
        let mut bucket = 0u32;
        while collect(net, bucket, found).is_some() {
            while let Some(conn) = found.pop() {
                let _locked = conn.lock().lock_bh();
                let before = conn.load_tcp();
                let mut after = before;
                probe::forget(&mut after);
                conn.store_tcp(&before, &after);
            }
            warn::cond_resched();
            bucket = bucket.wrapping_add(1);
        }
    }
}

/// Goes on with a namespace's walk, or begins the next one. In how many ticks there is more to do.
fn advance(net: &Net, member: &mut Member, found: &mut KVec<ARef<Conn>>) -> u32 {
    let now = time::now();
    let walk = match member.walk {
        Some(walk) => walk,
        None if now.reached(member.next) => Walk {
            bucket: 0,
            buckets: table::buckets(),
        },
        None => return now.left(member.next).max(1),
    };
    let mut walk = walk;
    let passed = member.grown.until(now).unsigned_abs();
    member.allowance.grow(passed, net.probe_rate(), HZ);
    member.grown = now;
    let settings = Settings::of(net);
    loop {
        // In a table of another size, entries could be met twice in a walk.
        if walk.buckets != table::buckets() {
            break;
        }
        if !member.allowance.any(HZ) {
            member.walk = Some(walk);
            return PAUSE;
        }
        if collect(net, walk.bucket, found).is_none() {
            break;
        }
        while let Some(conn) = found.pop() {
            let sent = visit(&conn, &settings);
            member.allowance.take(sent, HZ);
        }
        warn::cond_resched();
        walk.bucket = walk.bucket.wrapping_add(1);
    }
    found.clear();
    member.walk = None;
    let interval = net.probe_interval().saturating_mul(HZ);
    member.next = time::now().plus(interval);
    interval
}

/// What a walk goes by.
struct Settings {
    /// Ticks.
    time: u32,
    rounds: u8,
    filled: bool,
}

impl Settings {
    fn of(net: &Net) -> Self {
        let count = net.entries_now();
        Settings {
            time: net.probe_time().saturating_mul(HZ),
            rounds: u8::try_from(net.probe_probes()).unwrap_or(u8::MAX),
            filled: probe::is_filled(count, table::max(), net.probe_above()),
        }
    }
}

/// Whether it is an entry that may be probed, as far as its status tells.
fn may_be(status: Status) -> bool {
    status.has(Status::CONFIRMED | Status::ASSURED)
        && !status.any(Status::DYING | Status::OFFLOAD | Status::HW_OFFLOAD)
        // Such a deadline says nothing about packets.
        && !status.any(Status::FIXED_TIMEOUT | Status::TEMPLATE)
}

/// References to the entries of a bucket that may be probed; `None` if there is no such bucket.
/// CONTEXT: sleepable.
fn collect(net: &Net, bucket: u32, found: &mut KVec<ARef<Conn>>) -> Option<()> {
    loop {
        let mut more = 0usize;
        {
            let guard = rcu::read_lock();
            let rcu = Held::by(&guard);
            let table = Table::current(rcu);
            let bucket = table.nth(bucket)?;
            let mut chain = table.chain(bucket, rcu);
            let wanted = |met: &Candidate<'_>| {
                met.dir() == Dir::Original && met.is_in(net) && may_be(met.status())
            };
            for met in chain.by_ref().filter(wanted) {
                if found.len() == found.capacity() {
                    more = more.saturating_add(1);
                    continue;
                }
                let conn = table::hold(met, Some(net), may_be);
                if let Some(conn) = conn.filter(|conn| conn.proto() == proto::TCP) {
                    let _ = found.push_within_capacity(conn);
                }
            }
            if chain.strayed(bucket) {
                more = 1;
            }
        }
        if more == 0 {
            return Some(());
        }
        found.clear();
        // Without memory these have to wait.
        found.reserve(more.saturating_add(8), GFP_KERNEL).ok()?;
    }
}

/// Looks at one entry. How many probes were sent. CONTEXT: sleepable.
fn visit(conn: &Conn, settings: &Settings) -> u32 {
    let begin = settings.filled && reclaim::idle(conn) >= settings.time;
    let net = conn.net();
    let mut probes = [None; 2];
    let (next, round) = {
        let notes = conn.probing();
        if !begin && !Dir::BOTH.iter().any(|end| notes.awaits(*end)) {
            return 0;
        }
        // Looked up before the lock is taken.
        let gone = Dir::BOTH.map(|end| {
            let ingress = conn.tcp_ingress(end);
            (ingress, !xmit::has_device(net, ingress))
        });
        let _locked = conn.lock().lock_bh();
        let before = conn.load_tcp();
        let mut after = before;
        let next = if tcp::is_established(after.state, true) {
            probe::visit(
                &mut after,
                &probe::Visit {
                    begin,
                    rounds: settings.rounds,
                    is_gone: |ingress| gone.contains(&(ingress, true)),
                },
            )
        } else {
            Next::Leave
        };
        conn.store_tcp(&before, &after);
        if let Next::Probe(ends) = next {
            let stamps = conn.stamps();
            for (end, probe) in Dir::BOTH.into_iter().zip(&mut probes) {
                let [original, reply] = ends;
                let asked = match end {
                    Dir::Original => original,
                    Dir::Reply => reply,
                };
                *probe = asked.then(|| {
                    let mut probe = Probe::new(&after, &stamps, end);
                    if let Some(ways) = conn.ways() {
                        // On its way it is adjusted like all of its sender's.
                        probe.ack = ways.get(end).outgoing(probe.ack);
                    }
                    (end, probe)
                });
            }
        }
        let round = before.probing.rounds().max(after.probing.rounds());
        (next, u32::from(round))
    };
    match next {
        Next::Leave | Next::Probe(_) => {}
        Next::Blocked => {
            account::count(net, Tally::ProbesBlocked);
            trace::probe(conn, c"blocked", round);
        }
        Next::Dead => {
            if account::evict(conn, reclaim::judge(conn), Reason::Probe) {
                account::count(net, Tally::ProbesGivenUp);
                trace::probe(conn, c"gone", round);
            }
        }
    }
    let mut sent = 0u32;
    for (end, probe) in probes.into_iter().flatten() {
        let step = match end {
            Dir::Original => c"ask original",
            Dir::Reply => c"ask reply",
        };
        trace::probe(conn, step, round);
        if send(conn, end, &probe).is_ok() {
            account::count(net, Tally::ProbesSent);
            sent = sent.saturating_add(1);
        }
    }
    sent
}

/// Sends a probe to an end: it comes in where the other end's segments do.
fn send(conn: &Conn, end: Dir, probe: &Probe) -> Result {
    let dir = end.opposite();
    let tuple = conn.tuple(dir);
    let (header, length) = probe.header(tuple.src.id.to_ne_bytes(), tuple.dst.id.to_ne_bytes());
    let header = header.get(..length).ok_or(EINVAL)?;
    xmit::receive(conn, dir, probe.ingress, header)
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(nf_conntrack_probe)]
mod tests {
    use super::*;
    use crate::linux::fake::FakeNet;

    #[test]
    fn what_is_kept_is_beside_what_others_know() -> Result {
        let net = FakeNet::new()?;
        let conn = net.conn().ok_or(ENOMEM)?;
        let before = conn.load_tcp();
        let mut after = before;
        for (side, ingress) in Dir::BOTH.into_iter().zip([7, u16::MAX]) {
            after.side_mut(side).ingress = ingress;
            after.side_mut(side).flags = tcp::flag::MAXACK_SET;
        }
        let visit = probe::Visit {
            begin: true,
            rounds: 1,
            is_gone: |_| false,
        };
        assert!(probe::visit(&mut after, &visit) == Next::Probe([true, true]));
        conn.store_tcp(&before, &after);
        conn.set_stamps([1, u32::MAX]);
        assert!(conn.load_tcp() == after);
        assert!(conn.probing() == after.probing);
        assert_eq!(conn.tcp_ingress(Dir::Original), 7);
        assert_eq!(conn.tcp_ingress(Dir::Reply), u16::MAX);
        assert!(conn.stamps() == [1, u32::MAX]);
        // What C calls the tracker's state is what it was, but for the flags.
        let mut shown = conn.load_tcp();
        probe::forget(&mut shown);
        for side in Dir::BOTH {
            shown.side_mut(side).flags = 0;
        }
        assert!(shown == before);
        Ok(())
    }

    #[test]
    fn who_may_be_probed() {
        let good = Status::CONFIRMED | Status::ASSURED | Status::SEEN_REPLY | Status::SRC_NAT;
        assert!(may_be(good));
        assert!(!may_be(Status::CONFIRMED | Status::SEEN_REPLY));
        assert!(!may_be(Status::ASSURED | Status::SEEN_REPLY));
        for bad in [
            Status::DYING,
            Status::OFFLOAD,
            Status::HW_OFFLOAD,
            Status::FIXED_TIMEOUT,
            Status::TEMPLATE,
        ] {
            assert!(!may_be(good | bad));
        }
    }
}
