// SPDX-License-Identifier: GPL-2.0

//! The table from outside: entries of the first namespace, in a zone of the test's own.

use kernel::prelude::*;

use super::*;
use crate::engine::account;
use crate::engine::confirm;
use crate::engine::conn::Unconfirmed;
use crate::engine::fair::Origin;
use crate::engine::reclaim;
use crate::engine::survey::Survey;
use crate::linux::gfp::Gfp;
use crate::pure::policy::class::Class;
use crate::pure::policy::tally::Reason;
use crate::pure::status::Status;
use crate::pure::tuple::proto;
use crate::pure::tuple::Addr;
use crate::pure::tuple::Family;
use kernel::sync::atomic::Relaxed;

/// A zone that no packet is in while the module is being loaded.
fn zone() -> Zone {
    Zone::DEFAULT.numbered_by(0xfffe)
}

fn tuple(port: u16) -> Tuple {
    let mut tuple = Tuple::default();
    tuple.src.addr = Addr::v4([192, 0, 2, 1]);
    tuple.dst.addr = Addr::v4([192, 0, 2, 2]);
    tuple.src.l3 = Family::V4.number();
    tuple.dst.proto = proto::UDP;
    tuple.with_ids(port.to_be(), 53u16.to_be())
}

fn count() -> i32 {
    Net::init().private().entries().load(Relaxed)
}

/// An entry in the table, with the caller's reference.
fn insert(port: u16, ticks: u32) -> Result<ARef<Conn>> {
    insert_in(zone(), port, ticks)
}

/// An entry that nobody has confirmed.
fn make(zone: Zone, port: u16, hash: Hash) -> Result<Unconfirmed> {
    let original = tuple(port);
    let reply = original.invert().ok_or(EINVAL)?;
    let net = Net::init();
    conn::alloc(
        net,
        net.private(),
        zone,
        [&original, &reply],
        hash,
        Origin::Made,
        Gfp::KERNEL,
    )
}

fn insert_in(zone: Zone, port: u16, ticks: u32) -> Result<ARef<Conn>> {
    let new = make(zone, port, Hash(0))?;
    new.add_status(Status::CONFIRMED);
    new.set_timeout(time::now().plus(ticks).0);
    confirm::insert_made(&new)?;
    // Inserted, it has two references, of which one is the maker's.
    // SAFETY: The maker's reference, handed out once.
    Ok(unsafe { ARef::from_raw(core::ptr::NonNull::new(new.into_raw().cast()).ok_or(EINVAL)?) })
}

fn find_port(zone: Zone, port: u16, dir: Dir) -> Option<(ARef<Conn>, Dir)> {
    let tuple = match dir {
        Dir::Original => tuple(port),
        Dir::Reply => tuple(port).invert()?,
    };
    let guard = rcu::read_lock();
    find_get(Net::init(), &tuple, zone, Held::by(&guard))
}

#[kunit_tests(nf_conntrack_table)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_lead_to_an_entry_until_it_is_killed() -> Result {
        let before = count();
        let conn = insert(1, 1000)?;
        assert_eq!(count(), before + 1);
        for dir in Dir::BOTH {
            let found = find_port(zone(), 1, dir);
            let right = found.is_some_and(|(found, at)| *found == *conn && at == dir);
            assert!(right);
        }
        assert_eq!(conn.references(), 2);
        assert!(conn::reap(&conn));
        assert!(!conn::reap(&conn));
        assert!(find_port(zone(), 1, Dir::Original).is_none());
        assert_eq!(conn.references(), 1);
        drop(conn);
        assert_eq!(count(), before);
        Ok(())
    }

    #[test]
    fn what_is_surveyed_and_evicted_is_counted_once() -> Result {
        let classes = || -> Result<u32> {
            let mut survey = KBox::<Survey>::zeroed(GFP_KERNEL)?;
            survey.take(Net::init());
            Ok(survey.classes().map(|(_, count)| count).sum())
        };
        let place = Reason::Hint.place(Class::Unreplied);
        let evicted = || Net::init().private().tallies().sum(place);
        let (before, there) = (evicted(), classes()?);
        let conn = insert(40, 1000)?;
        assert_eq!(classes()?, there + 1);
        assert!(account::evict(&conn, Class::Unreplied, Reason::Hint));
        assert!(!account::evict(&conn, Class::Unreplied, Reason::Hint));
        assert_eq!(evicted(), before + 1);
        assert_eq!(classes()?, there);
        Ok(())
    }

    #[test]
    fn privilege_wants_proof_and_children_follow() -> Result {
        let (conn, child) = (insert(20, 1000)?, insert(21, 1000)?);
        assert_eq!(reclaim::judge(&conn), Class::Unreplied);
        conn.add_status(Status::SEEN_REPLY | Status::ASSURED);
        assert_eq!(reclaim::judge(&conn), Class::Answered);
        reclaim::proven(&conn);
        assert_eq!(reclaim::judge(&conn), Class::Active);
        // The mark is no part of the key.
        for dir in Dir::BOTH {
            let found = find_port(zone(), 20, dir);
            assert!(found.is_some_and(|(found, at)| *found == *conn && at == dir));
        }
        assert_eq!(reclaim::judge(&child), Class::Unreplied);
        // SAFETY: The child gets a reference to its master, which its end puts.
        unsafe { (*child.as_ptr()).master = conn.as_ptr() };
        core::mem::forget(conn.to_ref());
        assert_eq!(reclaim::judge(&child), Class::Active);
        conn::reap(&conn);
        assert_eq!(reclaim::judge(&child), Class::Unreplied);
        conn::reap(&child);
        Ok(())
    }

    #[test]
    fn a_tuple_is_taken_once_in_a_zone() -> Result {
        let before = count();
        let conn = insert(2, 1000)?;
        assert_eq!(insert(2, 1000).err(), Some(EEXIST));
        assert_eq!(count(), before + 1);
        let other = insert_in(Zone::DEFAULT.numbered_by(0xfffd), 2, 1000)?;
        assert_eq!(count(), before + 2);
        let here = find_port(zone(), 2, Dir::Reply).is_some_and(|(found, _)| *found == *conn);
        assert!(here);
        conn::reap(&conn);
        conn::reap(&other);
        drop(conn);
        drop(other);
        assert_eq!(count(), before);
        Ok(())
    }

    #[test]
    fn an_expired_entry_goes_when_somebody_looks() -> Result {
        let before = count();
        let conn = insert(3, 0)?;
        assert!(find_port(zone(), 3, Dir::Original).is_none());
        assert!(conn.is_dying());
        drop(conn);
        assert_eq!(count(), before);
        Ok(())
    }

    #[test]
    fn translation_sees_taken_tuples_but_not_its_own() -> Result {
        let (one, two) = (insert(4, 1000)?, insert(5, 1000)?);
        let reply = tuple(4).invert().ok_or(EINVAL)?;
        let taken = |by: &Conn| {
            let guard = rcu::read_lock();
            is_taken(&reply, by, Held::by(&guard))
        };
        let (by_itself, by_another) = (taken(&one), taken(&two));
        conn::reap(&one);
        conn::reap(&two);
        assert!(!by_itself);
        assert!(by_another);
        Ok(())
    }

    #[test]
    fn entries_survive_a_resize() -> Result {
        let (before, size) = (count(), buckets());
        let mut conns = KVec::new();
        for port in 100..228 {
            conns.push(insert(port, 100_000)?, GFP_KERNEL)?;
        }
        assert_eq!(resize(0).err(), Some(EINVAL));
        for buckets in [512, 4096, size] {
            resize(buckets)?;
            let mut found = 0;
            for port in 100..228 {
                for dir in Dir::BOTH {
                    found += i32::from(find_port(zone(), port, dir).is_some());
                }
            }
            assert_eq!(found, 256);
        }
        assert_eq!(buckets(), size);
        for conn in &conns {
            conn::reap(conn);
        }
        drop(conns);
        assert_eq!(count(), before);
        Ok(())
    }

    #[test]
    fn a_walk_kills_what_it_picks() -> Result {
        let before = count();
        let mut conns = KVec::new();
        for port in 300..332 {
            conns.push(insert(port, 100_000)?, GFP_KERNEL)?;
        }
        let mut met = 0;
        iterate(Some(Net::init()), 0, false, |conn| {
            let ours = conn.zone().number() == zone().number();
            met += i32::from(ours);
            ours && conn.tuple(Dir::Original).src.id.to_be() % 2 == 0
        });
        // Killing begins a chain again, so an entry that stays may be met more than once.
        assert!(met >= 32);
        let dying = conns.iter().filter(|conn| conn.is_dying()).count();
        assert_eq!(dying, 16);
        for conn in &conns {
            conn::reap(conn);
        }
        drop(conns);
        assert_eq!(count(), before);
        Ok(())
    }

    #[test]
    fn nothing_is_left_of_an_entry_that_nobody_confirms() -> Result {
        let before = count();
        let new = make(zone(), 6, Hash(7))?;
        assert!(new.saved_hash() == Hash(7));
        assert_eq!(count(), before + 1);
        drop(new);
        assert_eq!(count(), before);
        let new = make(zone(), 6, Hash(7))?;
        drop(new.publish());
        assert_eq!(count(), before);
        Ok(())
    }
}
