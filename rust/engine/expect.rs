// SPDX-License-Identifier: GPL-2.0

//! Expectations: who may announce what, who answers to it, and when an announcement ends.
//!
//! An expectation that is over is unlinked by whoever meets it with the lock held: a look-up for a
//! new connection, the making of another one, or the worker that collects garbage. Until then it
//! counts.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_expect.c`.

use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::rcu;

use crate::bindings;
use crate::engine::events;
use crate::engine::events::ExpectEvent;
use crate::engine::helper;
use crate::linux::conn::Conn;
use crate::linux::expect;
use crate::linux::expect::ExpectLocked;
use crate::linux::expect::ExpectRef;
use crate::linux::expect::Expectation;
use crate::linux::expect::Plan;
use crate::linux::gfp::Gfp;
use crate::linux::helper::Help;
use crate::linux::helper::CLASSES;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::rcu::Held;
use crate::linux::stats::Counter;
use crate::linux::time;
use crate::linux::warn;
use crate::linux::zone::Zone;
use crate::pure::policy::expect as policy;
use crate::pure::policy::expect::Flags;
use crate::pure::policy::expect::Oldest;
use crate::pure::policy::expect::Relation;
use crate::pure::policy::expect::MOST_PER_CLASS;
use crate::pure::status::Status;
use crate::pure::tuple::l3;
use crate::pure::tuple::Addr;
use crate::pure::tuple::Destination;
use crate::pure::tuple::Mask;
use crate::pure::tuple::Source;
use crate::pure::tuple::Tuple;

/// What a helper announces.
pub(crate) struct Announcement {
    /// The class of it, among those of the helper.
    pub(crate) class: u32,
    /// The network layer (`NFPROTO_*`).
    pub(crate) family: u8,
    /// The layer-4 protocol.
    pub(crate) proto: u8,
    /// The sender's address; `None` for any.
    pub(crate) sender: Option<Addr>,
    /// The sender's port, in network order; `None` for any.
    pub(crate) sender_port: Option<u16>,
    /// The receiver's address.
    pub(crate) receiver: Addr,
    /// The receiver's port, in network order.
    pub(crate) receiver_port: u16,
}

impl Announcement {
    fn plan(&self) -> Plan {
        let whole = match self.family {
            family if u16::from(family) == l3::IPV4 => Addr([u32::MAX, 0, 0, 0]),
            _ => Addr([u32::MAX; 4]),
        };
        let tuple = Tuple {
            src: Source {
                addr: self.sender.unwrap_or_default(),
                id: self.sender_port.unwrap_or(0),
                l3: u16::from(self.family),
            },
            dst: Destination {
                addr: self.receiver,
                id: self.receiver_port,
                proto: self.proto,
                dir: 0,
            },
        };
        let mask = Mask {
            addr: self.sender.map_or(Addr::default(), |_| whole),
            id: self.sender_port.map_or(0, |_| u16::MAX),
        };
        Plan {
            class: self.class,
            tuple,
            mask,
        }
    }
}

/// Fills in a new expectation.
///
/// # Safety
///
/// Nobody else knows it, and the caller has a reference to its master.
pub(crate) unsafe fn fill(exp: &Expectation, what: &Announcement) {
    let guard = rcu::read_lock();
    // SAFETY: By this function's contract. The extension's word is written whole.
    unsafe {
        let master = exp.own_master();
        let event_mask = master
            .ext::<bindings::nf_conntrack_ecache>()
            .map(|cache| read_once(&raw const (*cache.as_ptr()).expmask));
        exp.fill(master, &what.plan(), event_mask, Held::by(&guard));
    }
}

/// Ends an expectation: unlinked, and listeners told. Nothing if it was not linked.
///
/// `portid` and `report` say who asked for it, see `nlmsg_report()`.
pub(crate) fn unlink(exp: &Expectation, portid: u32, report: bool, locked: ExpectLocked<'_>) {
    let Some(unlinked) = exp.unlink(locked) else {
        return;
    };
    tell(ExpectEvent::Destroy, exp, portid, report, locked);
    exp.net().count(Counter::EXPECT_DELETE);
    drop(unlinked);
}

fn tell(
    event: ExpectEvent,
    exp: &Expectation,
    portid: u32,
    report: bool,
    _locked: ExpectLocked<'_>,
) {
    // SAFETY: The expectation is valid and its master is there, as the lock is held.
    unsafe { events::expect_event(event, exp.as_non_null(), portid, report) };
}

/// The expectation that announces a packet.
pub(crate) fn find<'r>(
    net: &Net,
    zone: Zone,
    tuple: &Tuple,
    rcu: Held<'r>,
) -> Option<&'r Expectation> {
    if net.private().expectations() == 0 {
        return None;
    }
    expect::chain_of(net, tuple, rcu)
        .find(|exp| !exp.is_over() && exp.announced().is(tuple, zone.number()) && exp.net() == net)
}

/// A reference to the expectation that announces a packet.
pub(crate) fn find_get(net: &Net, zone: Zone, tuple: &Tuple, rcu: Held<'_>) -> Option<ExpectRef> {
    find(net, zone, tuple, rcu)?.get()
}

/// An expectation that a new connection answers to, and its master.
pub(crate) struct Claim {
    exp: ExpectRef,
    master: ARef<Conn>,
}

/// The expectation that announces the first packet of a new connection. If `consume`, it announces
/// no other one, unless it is permanent.
pub(crate) fn claim(
    net: &Net,
    zone: Zone,
    tuple: &Tuple,
    consume: bool,
    locked: ExpectLocked<'_>,
) -> Option<Claim> {
    let mut found = None;
    for exp in expect::chain_of(net, tuple, locked.rcu()) {
        if exp.is_over() {
            unlink(exp, 0, false, locked);
        } else if !exp.flags().any(Flags::INACTIVE)
            && exp.announced().is(tuple, zone.number())
            && exp.net() == net
        {
            found = exp.get();
            break;
        }
    }
    let exp = found?;
    let master = exp.get_master(locked)?;
    if !policy::outlives_match(exp.flags(), consume) {
        unlink(&exp, 0, false, locked);
    }
    Some(Claim { exp, master })
}

/// What remains to be done for a connection that was expected, once it has its first reference.
#[must_use = "the helper that expected the connection has not seen it yet"]
pub(crate) struct Expected(ExpectRef);

/// Makes `new` the child of the connection that expects it, if there is one.
///
/// CONTEXT: nobody else knows `new`, which has all its other extensions.
#[inline]
pub(crate) fn inherit(
    new: &Conn,
    net: &Net,
    zone: Zone,
    tuple: &Tuple,
    consume: bool,
) -> Option<Expected> {
    if net.private().expectations() == 0 {
        return None;
    }
    inherit_locked(new, net, zone, tuple, consume)
}

#[cold]
fn inherit_locked(
    new: &Conn,
    net: &Net,
    zone: Zone,
    tuple: &Tuple,
    consume: bool,
) -> Option<Expected> {
    let guard = expect::lock();
    let locked = guard.locked();
    if net.private().expectations() == 0 {
        return None;
    }
    let Claim { exp, master } = claim(net, zone, tuple, consume, locked)?;
    new.add_status(Status::EXPECTED);
    new.become_child(master);
    if let Some(assign) = exp.helper_to_assign(locked.rcu()) {
        if let Some(help) = helper::ext_add(new, Gfp::ATOMIC) {
            if let Some(assign) = assign.get() {
                help.set_helper(assign);
            }
        }
    }
    net.count(Counter::EXPECT_NEW);
    Some(Expected(exp))
}

impl Expected {
    /// Hands the connection to whoever expected it, who may translate it.
    ///
    /// CONTEXT: the caller has the only reference, no packet has the connection yet, no lock held.
    pub(crate) fn run(self, conn: &Conn) {
        if let Some(callback) = self.0.callback() {
            // SAFETY: Both are valid, and the expectation's master is held by `conn`; the callback
            // is text of a module that unlinks its expectations and waits for packets before it
            // goes.
            unsafe { callback(conn.as_ptr(), self.0.as_ptr()) };
        }
    }
}

/// Ends all that a connection expects.
pub(crate) fn remove_all(conn: &Conn) {
    // Most connections never expect any.
    let Some(help) = conn.help() else {
        return;
    };
    let guard = expect::lock();
    for exp in help.expectations(guard.locked()) {
        unlink(exp, 0, false, guard.locked());
    }
}

/// Unlinks what a connection expected and what is over.
pub(crate) fn collect_garbage(conn: &Conn) {
    let Some(help) = conn.help() else {
        return;
    };
    if help.expects_nothing() {
        return;
    }
    let guard = expect::lock();
    for exp in help.expectations(guard.locked()) {
        if exp.is_over() {
            unlink(exp, 0, false, guard.locked());
        }
    }
}

/// Withdraws an expectation. It stays linked, and counts, until somebody comes by: the caller may
/// be in the middle of a list.
pub(crate) fn withdraw(exp: &Expectation) {
    let guard = expect::lock();
    exp.add_flags(Flags::DEAD, guard.locked());
}

/// Decides whether `exp` may be linked, and makes room for it: unlinks what it replaces and what is
/// over, and the oldest of its class if that is full.
///
/// `pending` more of its class are about to be linked first. Errors: `EINVAL` if it was withdrawn or
/// is of no class; `EALREADY` if another master or class has announced the same; `EBUSY` if it
/// overlaps with another one; `EMFILE` if the namespace has as many as it may have.
fn make_room(
    exp: &Expectation,
    help: Help<'_>,
    pending: u32,
    any_master: bool,
    locked: ExpectLocked<'_>,
) -> Result {
    if exp.flags().any(Flags::DEAD) || exp.class() >= CLASSES {
        return Err(EINVAL);
    }
    let (net, tuple) = (exp.net(), exp.tuple());
    let announced = exp.announced();
    for present in expect::chain_of(net, &tuple, locked.rcu()) {
        if present.is_over() {
            unlink(present, 0, false, locked);
            continue;
        }
        if present.net() != net {
            continue;
        }
        let relation = policy::relation(
            &present.announced(),
            &announced,
            present.same_master(exp),
            present.class() == exp.class(),
            any_master,
        );
        match relation {
            Relation::Apart => (),
            Relation::Replaces => {
                unlink(present, 0, false, locked);
                break;
            }
            Relation::Taken => return Err(EALREADY),
            Relation::Clashes => return Err(EBUSY),
        }
    }
    let most = match help.helper(locked.rcu()) {
        Some(helper) => helper.policy(exp.class()).ok_or(EINVAL)?.most,
        None => MOST_PER_CLASS,
    };
    if policy::is_full(
        help.count(exp.class(), locked).saturating_add(pending),
        most,
    ) {
        evict(help, exp.class(), pending, most, locked);
    }
    if net.private().expectations() >= expect::limit().get() {
        if warn::net_ratelimit() {
            pr_warn!("expectation table full\n");
        }
        return Err(EMFILE);
    }
    Ok(())
}

/// Unlinks what is over and, if the class is still full then, the oldest of it.
fn evict(help: Help<'_>, class: u32, pending: u32, most: u32, locked: ExpectLocked<'_>) {
    let mut oldest = Oldest::default();
    for exp in help.expectations(locked) {
        if exp.is_over() {
            unlink(exp, 0, false, locked);
        } else if exp.class() == class {
            oldest.older(exp);
        }
    }
    let count = help.count(class, locked).saturating_add(pending);
    if let Some(victim) = oldest.victim(count, most) {
        unlink(victim, 0, false, locked);
    }
}

/// Links an expectation for which there is room.
fn insert(
    exp: &Expectation,
    help: Help<'_>,
    portid: u32,
    report: bool,
    locked: ExpectLocked<'_>,
) -> Result {
    let policy = help
        .helper(locked.rcu())
        .and_then(|helper| helper.policy(exp.class()));
    if let Some(policy) = policy {
        let deadline = policy::deadline(exp.deadline(), policy.seconds, time::HZ);
        exp.set_deadline(deadline, locked);
    }
    if !exp.link(help, locked) {
        warn::warn_once!();
        return Err(EINVAL);
    }
    exp.net().count(Counter::EXPECT_CREATE);
    tell(ExpectEvent::New, exp, portid, report, locked);
    Ok(())
}

/// Announces a connection.
///
/// With `any_master`, the same announcement of another master gives `EALREADY` instead of `EBUSY`.
/// Errors: `ESHUTDOWN` if the master has no helper extension; those of [`make_room`].
///
/// # Safety
///
/// The caller has references to the expectation and its master.
pub(crate) unsafe fn announce(
    exp: &Expectation,
    portid: u32,
    report: bool,
    any_master: bool,
) -> Result {
    let guard = expect::lock();
    let locked = guard.locked();
    let help = exp.master(locked).help().ok_or(ESHUTDOWN)?;
    make_room(exp, help, 0, any_master, locked)?;
    insert(exp, help, portid, report, locked)
}

/// Announces two connections, or none.
///
/// Errors: `EINVAL` if the master has no helper extension, or they have different masters; those
/// of [`make_room`].
///
/// # Safety
///
/// As for [`announce`].
pub(crate) unsafe fn announce_pair(
    first: &Expectation,
    second: &Expectation,
    any_master: bool,
) -> Result {
    let guard = expect::lock();
    let locked = guard.locked();
    let help = first.master(locked).help().ok_or(EINVAL)?;
    if second.master(locked).help() != Some(help) {
        return Err(EINVAL);
    }
    make_room(first, help, 0, any_master, locked)?;
    let pending = u32::from(first.class() == second.class());
    make_room(second, help, pending, any_master, locked)?;
    insert(first, help, 0, false, locked)?;
    insert(second, help, 0, false, locked)
}

/// Ends the expectations that `pick` wants ended, in one namespace or in all.
///
/// `pick` is called with the expectation lock held.
pub(crate) fn iterate(
    net: Option<&Net>,
    portid: u32,
    report: bool,
    mut pick: impl FnMut(&Expectation) -> bool,
) {
    let guard = expect::lock();
    let locked = guard.locked();
    for bucket in 0..expect::buckets() {
        for exp in expect::chain(bucket, locked.rcu()) {
            if net.is_some_and(|net| exp.net() != net) {
                continue;
            }
            if pick(exp) {
                unlink(exp, portid, report, locked);
            }
        }
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_expect)]
mod tests {
    use kernel::sync::atomic::Atomic;
    use kernel::sync::atomic::Relaxed;

    use super::*;
    use crate::linux::fake::expect::helper as new_helper;
    use crate::linux::fake::expect::Home;
    use crate::linux::helper::HelperRef;
    use crate::pure::num::Jiffies32;
    use crate::pure::status::Bit;
    use crate::pure::tuple::proto;

    const ANY_MASTER: bool = true;

    // A listener that writes down what it hears: two bits an event, the last one lowest.
    static HEARD: Atomic<u32> = Atomic::new(0);
    static PORTID: Atomic<u32> = Atomic::new(0);

    static LISTENER: bindings::nf_ct_event_notifier = bindings::nf_ct_event_notifier {
        ct_event: None,
        exp_event: Some(hear),
    };

    const NEW: u32 = 1 << ExpectEvent::New as u32;
    const DESTROY: u32 = 1 << ExpectEvent::Destroy as u32;

    /// # Safety
    ///
    /// `item` is an event.
    unsafe extern "C" fn hear(
        events: kernel::ffi::c_uint,
        item: *const bindings::nf_exp_event,
    ) -> kernel::ffi::c_int {
        HEARD.store((HEARD.load(Relaxed) << 2) | events, Relaxed);
        // SAFETY: By this function's contract.
        PORTID.store(unsafe { (*item).portid }, Relaxed);
        0
    }

    /// The limit of namespaces, which follows the machine's memory, is another one until this goes;
    /// others expect nothing meanwhile.
    struct Limit(u32);

    impl Limit {
        fn of(limit: u32) -> Self {
            let before = expect::limit().get();
            expect::limit().set(limit);
            Self(before)
        }
    }

    impl Drop for Limit {
        fn drop(&mut self) {
            expect::limit().set(self.0);
        }
    }

    fn heard(events: &[u32]) -> bool {
        let expected = events.iter().fold(0, |all, event| (all << 2) | event);
        let same = HEARD.load(Relaxed) == expected;
        HEARD.store(0, Relaxed);
        same
    }

    /// A connection of a helper, in a namespace with the listener. Dropping it ends what it expects.
    struct Master(ARef<Conn>);

    impl Master {
        /// Its helper allows `most` expectations a class, which last `seconds`.
        fn new(home: &Home, most: u32, seconds: u32) -> Result<Self> {
            let master = Self::without_helper(home)?;
            let helper = new_helper(b"test", most, seconds).ok_or(ENOMEM)?;
            master.help().ok_or(EINVAL)?.set_helper(helper);
            Ok(master)
        }

        fn without_helper(home: &Home) -> Result<Self> {
            HEARD.store(0, Relaxed);
            // SAFETY: A static.
            unsafe { home.set_listener(&LISTENER) };
            Ok(Master(home.master().ok_or(ENOMEM)?))
        }

        /// A new expectation of connections to `port`, not announced.
        fn plan(&self, class: u32, port: u16) -> Result<ExpectRef> {
            let exp = ExpectRef::new(&self.0, Gfp::KERNEL).ok_or(ENOMEM)?;
            let what = Announcement {
                class,
                family: 2,
                proto: proto::TCP,
                sender: None,
                sender_port: None,
                receiver: Addr::v4([192, 0, 2, 1]),
                receiver_port: port.to_be(),
            };
            // SAFETY: New, and the master is held. Listeners want all of its events.
            unsafe {
                fill(&exp, &what);
                (*exp.as_ptr()).event_mask = u16::MAX;
            }
            Ok(exp)
        }

        /// A new expectation, announced.
        fn expect(&self, class: u32, port: u16) -> Result<ExpectRef> {
            let exp = self.plan(class, port)?;
            announce_for(&exp, !ANY_MASTER)?;
            Ok(exp)
        }

        /// How many it expects in both classes.
        fn counts(&self) -> [u32; 2] {
            let guard = expect::lock();
            [0, 1].map(|class| {
                self.0
                    .help()
                    .map_or(9, |help| help.count(class, guard.locked()))
            })
        }

        /// How many there are in its list.
        fn listed(&self) -> usize {
            let guard = expect::lock();
            self.0
                .help()
                .map_or(9, |help| help.expectations(guard.locked()).count())
        }
    }

    impl core::ops::Deref for Master {
        type Target = Conn;

        fn deref(&self) -> &Conn {
            &self.0
        }
    }

    impl Drop for Master {
        fn drop(&mut self) {
            remove_all(&self.0);
            helper::put(&self.0);
        }
    }

    fn announce_for(exp: &Expectation, any_master: bool) -> Result {
        // SAFETY: Tests hold both.
        unsafe { announce(exp, 7, true, any_master) }
    }

    fn announce_both(first: &Expectation, second: &Expectation) -> Result {
        // SAFETY: Tests hold all.
        unsafe { announce_pair(first, second, !ANY_MASTER) }
    }

    fn linked(exp: &Expectation) -> bool {
        exp.is_linked(expect::lock().locked())
    }

    fn packet(port: u16) -> Tuple {
        Tuple {
            src: Source {
                addr: Addr::v4([198, 51, 100, 9]),
                id: 4,
                l3: l3::IPV4,
            },
            dst: Destination {
                addr: Addr::v4([192, 0, 2, 1]),
                id: port.to_be(),
                proto: proto::TCP,
                dir: 0,
            },
        }
    }

    fn finds(home: &Home, port: u16) -> bool {
        let guard = rcu::read_lock();
        find(home, Zone::DEFAULT, &packet(port), Held::by(&guard)).is_some()
    }

    /// Claims the expectation of a packet: whether there was one, and the master's references.
    fn claims(home: &Home, port: u16, consume: bool) -> Option<u32> {
        let guard = expect::lock();
        let claim = claim(home, Zone::DEFAULT, &packet(port), consume, guard.locked())?;
        Some(claim.master.references())
    }

    #[test]
    fn linked_once_and_counted() -> Result {
        let home = Home::new()?;
        let master = Master::new(&home, 3, 60)?;
        let exp = master.expect(1, 80)?;
        assert_eq!((exp.references(), linked(&exp)), (2, true));
        assert_eq!(
            (
                home.private().expectations(),
                master.counts(),
                master.listed()
            ),
            (1, [0, 1], 1)
        );
        assert!(heard(&[NEW]));
        assert_eq!(PORTID.load(Relaxed), 7);
        assert!(finds(&home, 80));
        assert!(!finds(&home, 81));
        {
            let guard = expect::lock();
            unlink(&exp, 5, false, guard.locked());
            unlink(&exp, 6, false, guard.locked());
        }
        assert_eq!((exp.references(), linked(&exp)), (1, false));
        assert_eq!(
            (
                home.private().expectations(),
                master.counts(),
                master.listed()
            ),
            (0, [0, 0], 0)
        );
        assert!(heard(&[DESTROY]));
        assert_eq!(PORTID.load(Relaxed), 5);
        assert!(!finds(&home, 80));
        Ok(())
    }

    #[test]
    fn the_same_once_more_replaces() -> Result {
        let home = Home::new()?;
        let master = Master::new(&home, 3, 60)?;
        let first = master.expect(0, 80)?;
        let second = master.expect(0, 80)?;
        assert_eq!((linked(&first), linked(&second)), (false, true));
        assert_eq!((first.references(), second.references()), (1, 2));
        assert_eq!(
            (home.private().expectations(), master.counts()),
            (1, [1, 0])
        );
        assert!(heard(&[NEW, DESTROY, NEW]));
        // Even itself, with a later end.
        assert_eq!(announce_for(&second, !ANY_MASTER), Ok(()));
        assert_eq!(
            (linked(&second), second.references(), master.counts()),
            (true, 2, [1, 0])
        );
        assert!(heard(&[DESTROY, NEW]));
        Ok(())
    }

    #[test]
    fn refusals_change_nothing() -> Result {
        let home = Home::new()?;
        let (here, there) = (Master::new(&home, 3, 60)?, Master::new(&home, 3, 60)?);
        let present = here.expect(0, 80)?;
        let other = there.plan(0, 80)?;
        assert_eq!(announce_for(&other, !ANY_MASTER), Err(EBUSY));
        assert_eq!(announce_for(&other, ANY_MASTER), Err(EALREADY));
        assert_eq!(here.expect(1, 80).err(), Some(EALREADY));
        let nowhere = here.plan(4, 81)?;
        assert_eq!(announce_for(&nowhere, !ANY_MASTER), Err(EINVAL));
        let dead = here.plan(0, 82)?;
        withdraw(&dead);
        assert_eq!(announce_for(&dead, !ANY_MASTER), Err(EINVAL));
        assert_eq!(
            (home.private().expectations(), here.counts(), there.counts()),
            (1, [1, 0], [0, 0])
        );
        assert_eq!(
            (linked(&present), other.references(), there.listed()),
            (true, 1, 0)
        );
        assert!(heard(&[NEW]));
        Ok(())
    }

    #[test]
    fn a_master_needs_the_extension() -> Result {
        let home = Home::new()?;
        let bare = Master(home.conn().ok_or(ENOMEM)?);
        let master = Master::new(&home, 3, 60)?;
        let (of_bare, of_master) = (bare.plan(0, 80)?, master.plan(0, 80)?);
        assert_eq!(announce_for(&of_bare, !ANY_MASTER), Err(ESHUTDOWN));
        assert_eq!(announce_both(&of_bare, &of_bare), Err(EINVAL));
        assert_eq!(announce_both(&of_master, &of_bare), Err(EINVAL));
        assert_eq!(
            (home.private().expectations(), master.counts()),
            (0, [0, 0])
        );
        Ok(())
    }

    #[test]
    fn a_full_class_loses_its_oldest() -> Result {
        let home = Home::new()?;
        let master = Master::new(&home, 2, 60)?;
        let other = master.expect(1, 79)?;
        let old = master.expect(0, 80)?;
        let mid = master.expect(0, 81)?;
        assert!(heard(&[NEW, NEW, NEW]));
        let new = master.expect(0, 82)?;
        assert!(heard(&[DESTROY, NEW]));
        assert_eq!(
            [&other, &old, &mid, &new].map(|exp| linked(exp)),
            [true, false, true, true]
        );
        assert_eq!(
            (
                home.private().expectations(),
                master.counts(),
                master.listed()
            ),
            (3, [2, 1], 3)
        );
        // One that is over goes first, of any class.
        withdraw(&other);
        withdraw(&new);
        let newest = master.expect(0, 83)?;
        assert_eq!(
            [&other, &mid, &new, &newest].map(|exp| linked(exp)),
            [false, true, false, true]
        );
        assert_eq!(
            (
                home.private().expectations(),
                master.counts(),
                master.listed()
            ),
            (2, [2, 0], 2)
        );
        Ok(())
    }

    #[test]
    fn without_helper_255_fit() -> Result {
        let home = Home::new()?;
        let limit = Limit::of(1000);
        let master = Master::without_helper(&home)?;
        let first = master.plan(0, 1)?;
        {
            let guard = expect::lock();
            first.set_deadline(time::now().plus(60 * time::HZ), guard.locked());
        }
        announce_for(&first, !ANY_MASTER)?;
        let mut kept = Ok(());
        for port in 2..=256 {
            let exp = master.plan(0, port)?;
            exp.set_deadline(time::now().plus(60 * time::HZ), expect::lock().locked());
            if port == 256 {
                kept = if linked(&first) { Ok(()) } else { Err(EINVAL) };
            }
            announce_for(&exp, !ANY_MASTER)?;
        }
        drop(limit);
        assert_eq!(kept, Ok(()));
        assert!(!linked(&first));
        assert_eq!(
            (home.private().expectations(), master.counts()),
            (255, [255, 0])
        );
        Ok(())
    }

    #[test]
    fn a_full_namespace_takes_none() -> Result {
        let home = Home::new()?;
        let master = Master::new(&home, 9, 60)?;
        let _first = master.expect(0, 80)?;
        let limit = Limit::of(1);
        let result = master.expect(0, 81).err();
        let replaced = master.expect(0, 80).err();
        drop(limit);
        assert_eq!((result, replaced), (Some(EMFILE), None));
        assert_eq!(
            (home.private().expectations(), master.counts()),
            (1, [1, 0])
        );
        Ok(())
    }

    #[test]
    fn the_end_and_who_sweeps() -> Result {
        let home = Home::new()?;
        let master = Master::new(&home, 9, 60)?;
        let exp = master.expect(0, 80)?;
        let left = time::now().until(exp.deadline());
        assert!(left > 59 * time::HZ as i32 && left <= 60 * time::HZ as i32);
        exp.set_deadline(time::now(), expect::lock().locked());
        // Not to be found, but still counted.
        assert!(!finds(&home, 80));
        assert_eq!(
            (linked(&exp), home.private().expectations(), master.counts()),
            (true, 1, [1, 0])
        );
        collect_garbage(&master);
        assert_eq!(
            (linked(&exp), home.private().expectations(), master.counts()),
            (false, 0, [0, 0])
        );
        assert!(heard(&[NEW, DESTROY]));
        // A claim sweeps as well.
        let exp = master.expect(0, 80)?;
        withdraw(&exp);
        assert_eq!(claims(&home, 80, true), None);
        assert_eq!(
            (linked(&exp), home.private().expectations(), master.counts()),
            (false, 0, [0, 0])
        );
        // And so does the next one for the same receiver.
        let exp = master.expect(0, 80)?;
        withdraw(&exp);
        let next = master.expect(1, 80)?;
        assert_eq!(
            (linked(&exp), linked(&next), master.counts()),
            (false, true, [0, 1])
        );
        Ok(())
    }

    #[test]
    fn a_deadline_of_its_makers() -> Result {
        let home = Home::new()?;
        let master = Master::new(&home, 9, 0)?;
        let exp = master.plan(0, 80)?;
        let deadline = time::now().plus(1000);
        exp.set_deadline(deadline, expect::lock().locked());
        announce_for(&exp, !ANY_MASTER)?;
        assert!(exp.deadline() == deadline);
        assert!(exp.deadline() != Jiffies32(0));
        Ok(())
    }

    #[test]
    fn claims_consume() -> Result {
        let home = Home::new()?;
        let master = Master::new(&home, 9, 60)?;
        let exp = master.expect(0, 80)?;
        // Whoever only asks leaves it.
        assert_eq!(claims(&home, 80, false), Some(2));
        assert!(linked(&exp));
        exp.add_flags(Flags::INACTIVE, expect::lock().locked());
        assert_eq!(claims(&home, 80, true), None);
        assert!(finds(&home, 80));
        // SAFETY: The test's own.
        unsafe { (*exp.as_ptr()).flags = Flags::PERMANENT.0 };
        assert_eq!(claims(&home, 80, true), Some(2));
        assert!(linked(&exp));
        // SAFETY: The test's own.
        unsafe { (*exp.as_ptr()).flags = 0 };
        assert_eq!(claims(&home, 81, true), None);
        assert_eq!(claims(&home, 80, true), Some(2));
        assert_eq!(
            (linked(&exp), exp.references(), master.references()),
            (false, 1, 1)
        );
        assert_eq!(
            (home.private().expectations(), master.counts()),
            (0, [0, 0])
        );
        assert!(heard(&[NEW, DESTROY]));
        Ok(())
    }

    #[test]
    fn masters_that_cannot_have_children() -> Result {
        let home = Home::new()?;
        let master = Master::new(&home, 9, 60)?;
        let exp = master.expect(0, 80)?;
        master.clear_bit(Bit::Confirmed);
        assert_eq!(claims(&home, 80, true), None);
        master.set_bit(Bit::Confirmed);
        master.set_bit(Bit::Dying);
        assert_eq!(claims(&home, 80, true), None);
        master.clear_bit(Bit::Dying);
        assert_eq!(
            (linked(&exp), exp.references(), master.references()),
            (true, 2, 1)
        );
        Ok(())
    }

    static CALLED: Atomic<usize> = Atomic::new(0);

    /// # Safety
    ///
    /// None.
    unsafe extern "C" fn call(_: *mut bindings::nf_conn, exp: *mut bindings::nf_conntrack_expect) {
        CALLED.store(CALLED.load(Relaxed).wrapping_add(exp.addr()), Relaxed);
    }

    #[test]
    fn a_child_inherits() -> Result {
        let home = Home::new()?;
        let master = Master::new(&home, 9, 60)?;
        let helper: HelperRef = new_helper(b"child", 1, 1).ok_or(ENOMEM)?;
        let exp = master.plan(0, 80)?;
        // SAFETY: Not announced yet, and the helper outlives it.
        unsafe {
            (*exp.as_ptr()).expectfn = Some(call);
            (*exp.as_ptr()).assign_helper = helper.as_ptr();
            (*master.as_ptr()).mark = 77;
        }
        announce_for(&exp, !ANY_MASTER)?;
        CALLED.store(0, Relaxed);
        let child = home.conn().ok_or(ENOMEM)?;
        assert!(inherit(&child, &home, Zone::DEFAULT, &packet(81), true).is_none());
        let expected = inherit(&child, &home, Zone::DEFAULT, &packet(80), true).ok_or(EINVAL)?;
        assert_eq!(
            (CALLED.load(Relaxed), linked(&exp), exp.references()),
            (0, false, 2)
        );
        expected.run(&child);
        assert_eq!(
            (CALLED.load(Relaxed), exp.references()),
            (exp.as_ptr().addr(), 1)
        );
        assert!(child.has(Status::EXPECTED) && child.has(Status::HELPER));
        assert_eq!((child.mark(), master.references()), (77, 2));
        assert!(child.master() == Some(&*master));
        let guard = rcu::read_lock();
        let given = child.help().and_then(|help| help.helper(Held::by(&guard)));
        let given = given.is_some_and(|given| given == &*helper);
        drop(guard);
        helper::put(&child);
        // SAFETY: The reference that the child has; a template's end does not put it.
        drop(unsafe { ARef::<Conn>::from_raw(core::ptr::NonNull::from(&*master)) });
        assert!(given);
        Ok(())
    }

    #[test]
    fn pairs_come_together_or_not_at_all() -> Result {
        let home = Home::new()?;
        let (here, there) = (Master::new(&home, 1, 60)?, Master::new(&home, 9, 60)?);
        let taken = there.expect(0, 81)?;
        let (first, second) = (here.plan(0, 80)?, here.plan(1, 81)?);
        assert_eq!(announce_both(&first, &second), Err(EBUSY));
        assert_eq!(
            (home.private().expectations(), here.counts(), here.listed()),
            (1, [0, 0], 0)
        );
        assert_eq!((first.references(), second.references()), (1, 1));
        drop(taken);
        remove_all(&there);
        assert!(heard(&[NEW, DESTROY]));
        assert_eq!(announce_both(&first, &second), Ok(()));
        assert_eq!(
            (home.private().expectations(), here.counts(), here.listed()),
            (2, [1, 1], 2)
        );
        assert!(heard(&[NEW, NEW]));
        // The first of a pair counts for the second: the class is full, and its oldest goes.
        let (third, fourth) = (here.plan(0, 82)?, here.plan(0, 83)?);
        assert_eq!(announce_both(&third, &fourth), Ok(()));
        assert!(heard(&[DESTROY, NEW, NEW]));
        assert_eq!(
            [&first, &second, &third, &fourth].map(|exp| linked(exp)),
            [false, true, true, true]
        );
        assert_eq!(
            (home.private().expectations(), here.counts(), here.listed()),
            (3, [2, 1], 3)
        );
        Ok(())
    }

    #[test]
    fn one_namespace_or_all() -> Result {
        let (home, away) = (Home::new()?, Home::new()?);
        let (here, there) = (Master::new(&home, 9, 60)?, Master::new(&away, 9, 60)?);
        let _a = here.expect(0, 80)?;
        let _b = here.expect(0, 81)?;
        // The same announcement is no clash: it is for packets of another namespace.
        let _c = there.expect(0, 80)?;
        assert!(heard(&[NEW, NEW, NEW]));
        let of_port = |port: u16| move |exp: &Expectation| exp.tuple().dst.id == port.to_be();
        iterate(Some(&home), 12, true, of_port(80));
        assert_eq!((here.counts(), there.counts()), ([1, 0], [1, 0]));
        assert!(heard(&[DESTROY]));
        assert_eq!(PORTID.load(Relaxed), 12);
        assert!(!finds(&home, 80) && finds(&home, 81) && finds(&away, 80));
        let ours = |exp: &Expectation| exp.net() == &**home || exp.net() == &**away;
        iterate(None, 0, false, ours);
        assert_eq!(
            (home.private().expectations(), away.private().expectations()),
            (0, 0)
        );
        Ok(())
    }
}
