// SPDX-License-Identifier: GPL-2.0

//! The table of all connections: look-up without locks, changes under two of them.
//!
//! Every connection is linked twice, by each of its tuples. 1024 locks are shared out among the
//! buckets; who changes a connection holds those of both of its buckets, the lower one first. A
//! resize takes them all. ctnetlink takes single ones while it dumps.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_core.c`.

use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::rcu;

use crate::bindings;
use crate::engine::conn;
use crate::linux::conn::Candidate;
use crate::linux::conn::Conn;
use crate::linux::conn::Key;
use crate::linux::hashtable;
use crate::linux::hashtable::bucket_lock;
use crate::linux::hashtable::Bucket;
use crate::linux::hashtable::Hash;
use crate::linux::hashtable::Table;
use crate::linux::hashtable::LOCKS;
use crate::linux::hashtable::PAGE_SIZE;
use crate::linux::lock::BhGuard;
use crate::linux::lock::BhOff;
use crate::linux::lock::CSpinGuard;
use crate::linux::lock::CSpinLock;
use crate::linux::lock::StaticSpinLock;
use crate::linux::memory;
use crate::linux::net::Net;
use crate::linux::once::Word;
use crate::linux::prefetch;
use crate::linux::rcu::synchronize_net;
use crate::linux::rcu::Held;
use crate::linux::siphash::SecretKey;
use crate::linux::stats::Counter;
use crate::linux::time;
use crate::linux::warn;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;
use crate::pure::policy::ring::Hint;
use crate::pure::policy::size::Sizes;
use crate::pure::status::Status;
use crate::pure::tuple::Tuple;

/// Where things are in the table must not be guessed from outside.
static HASH_KEY: SecretKey = SecretKey::new();

/// Guards [`ALL_LOCKED`], which is written under it only; held by whoever has, or waits for, all buckets.
static ALL: StaticSpinLock = StaticSpinLock::new();

/// Whether somebody has all buckets locked: a flag beside the locks, see [`lock_bucket`].
static ALL_LOCKED: Word<bool> = Word::new(false);

kernel::sync::global_lock! {
    // SAFETY: Initialised in `Owner::new`, before the first use.
    unsafe(uninit) static WALK: Mutex<()> = ();
}

/// The bytes of a tuple that are hashed: all but the direction.
const HASHED: usize = 39;

/// The table while the module is loaded. Dropping it frees the table.
pub(crate) struct Owner(());

impl Owner {
    /// Makes the table, of the size that the module parameter asks for, or that fits the memory.
    /// CONTEXT: sleepable, once, while the module is loaded.
    pub(crate) fn new() -> Result<Self> {
        let sizes = Sizes::at_load(memory::pages(), PAGE_SIZE, buckets()).ok_or(ENOMEM)?;
        let table = Table::new(sizes.buckets)?;
        // SAFETY: The module is being loaded; nobody uses any of this yet.
        unsafe {
            WALK.init();
            HASH_KEY.draw();
            ALL.init();
            hashtable::init_bucket_locks();
            Table::publish(table);
        }
        set_max(sizes.max);
        Ok(Owner(()))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: The module is being unloaded: no packet comes here any more.
        drop(unsafe { Table::withdraw() });
    }
}

/// The limit of entries a namespace (`nf_conntrack_max`).
#[inline]
pub(crate) fn max() -> u32 {
    Table::limit().get()
}

/// Sets the limit.
pub(crate) fn set_max(max: u32) {
    Table::limit().set(max);
}

/// How many buckets there are.
pub(crate) fn buckets() -> u32 {
    Table::size().get()
}

/// Whether there is a table yet.
pub(crate) fn exists() -> bool {
    Table::exists()
}

/// The hash of a tuple in a zone of a namespace, before scaling.
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn hash(tuple: &Tuple, zone_id: u16, net: &Net) -> Hash {
    let mut key = HASH_KEY.get();
    key.0[0] ^= u64::from(zone_id);
    key.0[1] ^= u64::from(net.hash_mix());
    Hash(key.hash(tuple, HASHED) as u32)
}

/// Finds the connection of a tuple that is in the table.
///
/// The direction says which of its tuples it was.
#[inline]
pub(crate) fn find(
    tuple: &Tuple,
    zone: Zone,
    net: &Net,
    hash: Hash,
    rcu: Held<'_>,
) -> Option<(ARef<Conn>, Dir)> {
    let key = Key::new(tuple, zone, net);
    loop {
        let table = Table::current(rcu);
        let bucket = table.bucket(hash);
        let mut chain = table.chain(bucket, rcu);
        let now = time::now();
        for met in chain.by_ref() {
            if met.is_expired(now) {
                reap_expired(met);
                continue;
            }
            if met.matches(&key) {
                let conn = met.get()?;
                // Between the match and the reference it may have become another entry.
                return met.matches(&key).then(|| (conn, met.dir()));
            }
        }
        if !chain.strayed(bucket) {
            return None;
        }
        net.count(Counter::SEARCH_RESTART);
    }
}

/// Finds the connection of a tuple in a zone, whichever way the zone counts.
///
/// `first` is the hash of the tuple with the zone's number of the original direction.
#[inline]
pub(crate) fn find_both_ways(
    tuple: &Tuple,
    zone: Zone,
    net: &Net,
    first: Hash,
    rcu: Held<'_>,
) -> Option<(ARef<Conn>, Dir)> {
    if let Some(found) = find(tuple, zone, net, first, rcu) {
        return Some(found);
    }
    let reply = zone.id(Dir::Reply);
    if reply == zone.id(Dir::Original) {
        return None;
    }
    find(tuple, zone, net, hash(tuple, reply, net), rcu)
}

/// As [`find_both_ways`], computing the hash (`nf_conntrack_find_get`).
pub(crate) fn find_get(
    net: &Net,
    tuple: &Tuple,
    zone: Zone,
    rcu: Held<'_>,
) -> Option<(ARef<Conn>, Dir)> {
    let first = hash(tuple, zone.id(Dir::Original), net);
    find_both_ways(tuple, zone, net, first, rcu)
}

/// Whether a tuple is in use in the reply direction by another connection than `by`, so that
/// translation has to take another one (`nf_conntrack_tuple_taken`).
pub(crate) fn is_taken(tuple: &Tuple, by: &Conn, rcu: Held<'_>) -> bool {
    let (net, zone) = (by.net(), by.zone());
    let key = Key::new(tuple, zone, net);
    let original = Key::new(&by.tuple(Dir::Original), zone, net);
    let hash = hash(tuple, zone.id(Dir::Reply), net);
    loop {
        let table = Table::current(rcu);
        let bucket = table.bucket(hash);
        let mut chain = table.chain(bucket, rcu);
        let now = time::now();
        for met in chain.by_ref() {
            if met.is(by) {
                continue;
            }
            if met.is_expired(now) {
                reap_expired(met);
                continue;
            }
            if met.matches(&key) {
                // The same flow, opened twice at a time: confirmation will merge the two.
                if met.opened_by(&original) {
                    continue;
                }
                net.count(Counter::FOUND);
                return true;
            }
        }
        if !chain.strayed(bucket) {
            return false;
        }
        net.count(Counter::SEARCH_RESTART);
    }
}

/// The entry of a namespace that a hint names, if it is still in the table.
pub(crate) fn find_hinted(hint: Hint, net: &Net, rcu: Held<'_>) -> Option<ARef<Conn>> {
    let table = Table::current(rcu);
    let bucket = table.bucket(Hash(hint.hash()));
    let hinted = |met: &Candidate<'_>| {
        hint.may_be(met.address()) && met.dir() == Dir::Original && met.is_in(net)
    };
    let conn = table.chain(bucket, rcu).find(hinted)?.get()?;
    // Recycled in between, or only similar, it may be another one.
    let is_it = conn.is_confirmed()
        && !conn.is_dying()
        && conn.net() == net
        && conn::hash_of(&conn, Dir::Original) == Hash(hint.hash());
    is_it.then_some(conn)
}

/// What of an entry that will be evicted is brought into the cache.
#[derive(Clone, Copy)]
pub(crate) enum Expect {
    /// Its bucket, and the entry itself, which is where entries are, such as the one at this address:
    /// see [`Hint::address`].
    Guess(usize),
    /// Its bucket.
    Bucket,
    /// The entry, if it is among the first so many of its chain, or the last one of those.
    Among(usize),
    /// Its neighbours in both chains.
    Neighbours,
}

/// The entry that a hint names will be evicted soon. Nothing is changed: what is met may be gone, or
/// another one.
#[inline]
pub(crate) fn expect(hint: Hint, step: Expect, rcu: Held<'_>) {
    let table = Table::current(rcu);
    let bucket = table.bucket(Hash(hint.hash()));
    // An entry's nodes are in its first 128 bytes, of which the hint tells where they are.
    let is_it = |met: &Candidate<'_>| hint.may_be(met.node().addr());
    match step {
        Expect::Guess(near) => {
            table.prefetch(bucket);
            prefetch::for_writing(hint.address(near), size_of::<bindings::nf_conn>());
        }
        Expect::Bucket => table.prefetch(bucket),
        Expect::Among(count) => expect_among(table, bucket, count, is_it, rcu),
        Expect::Neighbours => {
            if let Some(met) = table.glance(bucket, rcu).find(is_it) {
                met.expect_unlinking();
            }
        }
    }
}

/// Brings the entry that is meant into the cache, if it is among the first so many of its chain, or
/// the node of the last one of those.
#[inline]
fn expect_among(
    table: &Table,
    bucket: Bucket,
    count: usize,
    is_it: impl Fn(&Candidate<'_>) -> bool,
    rcu: Held<'_>,
) {
    let mut last = None;
    for met in table.glance(bucket, rcu).take(count) {
        if is_it(&met) {
            prefetch::for_writing(met.node().addr(), size_of::<bindings::nf_conn>());
            return;
        }
        last = Some(met);
    }
    if let Some(met) = last {
        prefetch::for_writing(met.node().addr(), 1);
    }
}

/// The chain of this hash will be walked: its bucket is brought into the cache.
#[inline]
pub(crate) fn expect_walk(hash: Hash, rcu: Held<'_>) {
    let table = Table::current(rcu);
    table.prefetch(table.bucket(hash));
}

/// The chain of this hash will be walked next: its first entry is brought into the cache.
#[inline]
pub(crate) fn expect_walk_next(hash: Hash, rcu: Held<'_>) {
    let table = Table::current(rcu);
    expect_among(table, table.bucket(hash), 1, |_| false, rcu);
}

/// Removes an entry that was met expired, if it still is.
#[cold]
pub(crate) fn reap_expired(met: Candidate<'_>) {
    if let Some(conn) = met.get() {
        if conn.should_gc() {
            conn::reap(&conn);
        }
    }
}

/// Takes a bucket's lock, unless somebody has all of them: then waits (`nf_conntrack_lock`).
///
/// ORDERING: the flag is read after the lock is taken, with acquire; who takes all sets the flag
/// first and then passes through each lock, and clears it with release. So either we see the flag,
/// or the other one waits for us.
#[inline]
pub(crate) fn lock_bucket(lock: CSpinLock, bh: BhOff<'_>) -> CSpinGuard {
    let (guard, are_all_locked) = lock.lock_beside(&ALL_LOCKED, bh);
    if !are_all_locked {
        return guard;
    }
    drop(guard);
    let all = ALL.get().lock(bh);
    let guard = lock.lock(bh);
    drop(all);
    guard
}

/// Both buckets of a connection, locked: the right to link and unlink it.
pub(crate) struct LockedPair<'a> {
    table: &'a Table,
    original: Bucket,
    reply: Bucket,
    // Unlocked in this order.
    _first: CSpinGuard,
    _second: Option<CSpinGuard>,
}

/// Locks the buckets of two hashes, which `hashes` computes anew whenever the table changed.
#[inline]
pub(crate) fn lock_pair<'a>(
    hashes: impl Fn() -> (Hash, Hash),
    rcu: Held<'a>,
    bh: BhOff<'a>,
) -> LockedPair<'a> {
    let (hash_original, hash_reply) = hashes();
    loop {
        let table = Table::current(rcu);
        let original = table.bucket(hash_original);
        let reply = table.bucket(hash_reply);
        let (a, b) = (original.lock_index(), reply.lock_index());
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        let first = lock_bucket(bucket_lock(low), bh);
        let second = (low != high).then(|| bucket_lock(high).lock_nested(bh));
        if table.is_current() {
            return LockedPair {
                table,
                original,
                reply,
                _first: first,
                _second: second,
            };
        }
    }
}

/// Locks both buckets of a connection, the hash of whose original tuple is given.
///
/// CONTEXT: the bottom halves being off keeps the table, like a read-side section.
pub(crate) fn lock_both<'a>(conn: &Conn, original: Hash, bh: BhOff<'a>) -> LockedPair<'a> {
    let hashes = (original, conn::hash_of(conn, Dir::Reply));
    lock_pair(|| hashes, Held::under(bh), bh)
}

impl LockedPair<'_> {
    /// The entries of one of the two chains.
    #[inline]
    pub(crate) fn chain(&self, dir: Dir) -> hashtable::Chain<'_> {
        let bucket = match dir {
            Dir::Original => self.original,
            Dir::Reply => self.reply,
        };
        // SAFETY: Its lock is held for as long as `self` is borrowed.
        unsafe { self.table.locked_chain(bucket) }
    }

    /// Links a connection by both of its tuples.
    #[inline]
    pub(crate) fn link(&self, conn: &Conn) {
        // SAFETY: Both locks are held; the caller says that it is in no chain by being the one who
        // confirms or inserts it.
        unsafe {
            self.table.link_both(conn, self.original, self.reply);
        }
    }

    /// Links a connection by its reply tuple only: the original one belongs to another.
    pub(crate) fn link_reply_only(&self, conn: &Conn) {
        // SAFETY: As in `link`.
        unsafe {
            hashtable::link_nowhere(conn, Dir::Original);
            self.table.link(conn, Dir::Reply, self.reply);
        }
    }

    /// Unlinks a connection from both of its chains.
    pub(crate) fn unlink(&self, conn: &Conn) {
        // SAFETY: Both locks are held, and it is linked: whoever kills an entry is the only one.
        unsafe {
            hashtable::unlink(conn, Dir::Original);
            hashtable::unlink(conn, Dir::Reply);
        }
    }
}

/// Runs `f` with all buckets locked.
fn with_all_locked<R>(f: impl FnOnce() -> R) -> R {
    let bh = BhGuard::new();
    let all = ALL.get().lock(bh.off());
    ALL_LOCKED.set(true);
    for index in 0..LOCKS {
        // Whoever takes this lock after us sees the flag.
        drop(bucket_lock(index).lock(bh.off()));
    }
    let result = f();
    kernel::sync::barrier::smp_mb(kernel::sync::barrier::Full);
    ALL_LOCKED.set(false);
    drop(all);
    result
}

/// Gives the table another number of buckets. CONTEXT: sleepable.
///
/// Errors: `EINVAL` for none, `ENOMEM`. Look-ups wait while entries are moved.
pub(crate) fn resize(buckets: u32) -> Result {
    if buckets == 0 {
        return Err(EINVAL);
    }
    let new = Table::new(buckets)?;
    let walk = WALK.lock();
    if new.buckets() == self::buckets() {
        return Ok(());
    }
    let old = with_all_locked(|| {
        // SAFETY: All buckets are locked; the new table is known to nobody yet.
        unsafe {
            let old = Table::withdraw();
            if let Some(old) = &old {
                new.take_all(old, conn::hash_of);
            }
            Table::publish(new);
            old
        }
    });
    drop(walk);
    // Readers may still be walking the old chains.
    synchronize_net();
    drop(old);
    Ok(())
}

/// A walk over all entries, for looking only.
///
/// What comes and goes meanwhile is met or not, and what a resize moves may be met twice. An entry that
/// was inserted after a clash is linked by its reply only, and missed.
pub(crate) struct Walk {
    next: u32,
}

impl Walk {
    /// From the first bucket on.
    pub(crate) fn new() -> Self {
        Walk { next: 0 }
    }

    /// Shows the entries of the next bucket, in a read-side section. Whether there was one. CONTEXT:
    /// sleepable.
    pub(crate) fn step(&mut self, look: impl FnMut(Candidate<'_>)) -> bool {
        {
            let guard = rcu::read_lock();
            let rcu = Held::by(&guard);
            let table = Table::current(rcu);
            let Some(bucket) = table.nth(self.next) else {
                return false;
            };
            let nodes = table.chain(bucket, rcu);
            nodes
                .filter(|met| met.dir() == Dir::Original)
                .for_each(look);
        }
        warn::cond_resched();
        self.next = self.next.wrapping_add(1);
        true
    }
}

/// A reference to an entry that a walk has met, if it is of this namespace, where one is named, and
/// its status is `wanted`.
pub(crate) fn hold(
    met: Candidate<'_>,
    net: Option<&Net>,
    wanted: impl Fn(Status) -> bool,
) -> Option<ARef<Conn>> {
    if net.is_some_and(|net| !met.is_in(net)) || !wanted(met.status()) {
        return None;
    }
    let conn = met.get()?;
    // Recycled in between, it may be another one.
    let is_it = net.is_none_or(|net| net == conn.net()) && wanted(conn.status());
    is_it.then_some(conn)
}

/// Kills the connections that `pick` chooses (`nf_ct_iterate_cleanup`). CONTEXT: sleepable.
///
/// `pick` is called for every connection of the namespace, or of all, with its bucket's lock held and
/// bottom halves off, and again for what shares a bucket with one that it chose.
pub(crate) fn iterate(
    net: Option<&Net>,
    portid: u32,
    report: bool,
    mut pick: impl FnMut(&Conn) -> bool,
) {
    let _walk = WALK.lock();
    let mut number = 0;
    while let Some(conn) = next_picked(net, &mut number, &mut pick) {
        conn::kill(&conn, portid, report);
        drop(conn);
        warn::cond_resched();
    }
}

/// The next connection from bucket `number` on that `pick` chooses.
fn next_picked(
    net: Option<&Net>,
    number: &mut u32,
    pick: &mut impl FnMut(&Conn) -> bool,
) -> Option<ARef<Conn>> {
    loop {
        let guard = rcu::read_lock();
        // The mutex of the walk keeps the table.
        let table = Table::current(Held::by(&guard));
        let bucket = table.nth(*number)?;
        if !table.is_empty(bucket) {
            let bh = BhGuard::new();
            let _locked = lock_bucket(bucket_lock(bucket.lock_index()), bh.off());
            // SAFETY: The bucket's lock is held.
            for met in unsafe { table.locked_chain(bucket) } {
                // Each connection once. One inserted after a clash is linked by its reply only.
                if met.dir() != Dir::Reply {
                    continue;
                }
                // SAFETY: The bucket's lock is held while the reference is in use.
                let conn = unsafe { met.locked() };
                if net.is_none_or(|net| net == conn.net()) && pick(conn) {
                    return Some(conn.to_ref());
                }
            }
        }
        drop(guard);
        warn::cond_resched();
        *number = number.wrapping_add(1);
    }
}

#[cfg(CONFIG_KUNIT = "y")]
mod tests;
