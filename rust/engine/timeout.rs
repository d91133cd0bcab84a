// SPDX-License-Identifier: GPL-2.0

//! Timeout policies: a rule's deadlines instead of the namespace's.
//!
//! An entry has a reference to its policy, a template two: one like any entry, and one from who
//! keeps policies by name.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_timeout.c`.

use kernel::prelude::*;
use kernel::sync::rcu;

use crate::bindings;
use crate::engine::ext;
use crate::engine::table;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::net::Net;
use crate::linux::rcu::Held;
use crate::linux::timeout::complain;
use crate::linux::timeout::Complaint;
use crate::linux::timeout::Registry;
use crate::linux::timeout::Slot;
use crate::linux::warn;

pub(crate) use crate::linux::timeout::Policy;

/// The policy of an entry. CONTEXT: in a read-side section, which keeps it.
#[inline]
pub(crate) fn lookup(conn: &Conn) -> Option<Policy<'_>> {
    let slot = conn.timeout_slot()?;
    // SAFETY: By the context, which trackers and hooks always run in.
    slot.policy(unsafe { Held::assume() })
}

/// Gives a new entry its template's policy. Without memory it has none.
///
/// CONTEXT: in a read-side section.
#[inline]
pub(crate) fn inherit(conn: &Conn, template: &Conn, gfp: Gfp) {
    if let Some(policy) = lookup(template) {
        let _ = attach(conn, policy, gfp);
    }
}

/// Gives an entry room for a policy, and the policy with a reference (`nf_ct_timeout_ext_add`).
fn attach(conn: &Conn, policy: Policy<'_>, gfp: Gfp) -> Option<()> {
    let area = ext::add_as::<bindings::nf_conn_timeout>(conn, gfp)?;
    // SAFETY: Just added; it stays until the next one is.
    let slot = unsafe { Slot::from_area(area) };
    slot.set(policy).then_some(())
}

/// Puts the policy of an entry that is being freed. CONTEXT: in a read-side section.
#[inline]
pub(crate) fn put(conn: &Conn) {
    if let Some(policy) = lookup(conn) {
        // SAFETY: The entry's own reference; nobody looks at the entry any more.
        unsafe { policy.release() };
    }
}

/// Gives a template the policy of that name (`nf_ct_set_timeout`).
///
/// Errors: `ENOENT` if there is none, or nobody to ask; `EINVAL` if it is for other protocols;
/// `ENOMEM`. CONTEXT: any.
pub(crate) fn set(net: &Net, template: &Conn, l3: u8, l4: u8, name: &CStr) -> Result {
    warn_unless_template(template);
    let guard = rcu::read_lock();
    let Some(registry) = Registry::get(Held::by(&guard)) else {
        drop(guard);
        complain(name, Complaint::NoRegistry);
        return Err(ENOENT);
    };
    let Some(policy) = registry.find(net, name) else {
        complain(name, Complaint::Unknown);
        return Err(ENOENT);
    };
    let result = match unfit(policy.l3(), policy.l4(), l3, l4) {
        Some(complaint) => {
            complain(name, complaint);
            Err(EINVAL)
        }
        None => attach(template, policy, Gfp::ATOMIC).ok_or(ENOMEM),
    };
    if result.is_err() {
        // SAFETY: From `find`, and kept by nobody.
        unsafe { registry.put(policy) };
    }
    result
}

/// Why a policy is not for these protocols.
fn unfit(policy_l3: u16, policy_l4: u8, l3: u8, l4: u8) -> Option<Complaint> {
    if policy_l3 != u16::from(l3) {
        Some(Complaint::L3(policy_l3))
    } else if policy_l4 != l4 {
        Some(Complaint::L4(policy_l4))
    } else {
        None
    }
}

/// Puts a template's policy, with both references (`nf_ct_destroy_timeout`). CONTEXT: any.
pub(crate) fn destroy(template: &Conn) {
    warn_unless_template(template);
    let guard = rcu::read_lock();
    let rcu = Held::by(&guard);
    let Some(registry) = Registry::get(rcu) else {
        return;
    };
    let Some(slot) = template.timeout_slot() else {
        return;
    };
    let policy = slot.policy(rcu);
    slot.clear();
    if let Some(policy) = policy {
        // SAFETY: The one from `Registry::find` and the slot's own, which was just emptied.
        unsafe {
            registry.put(policy);
            policy.release();
        }
    }
}

fn warn_unless_template(conn: &Conn) {
    if !conn.is_template() {
        warn::warn_once!();
    }
}

/// Takes a policy that goes, or all if null, from the entries of a namespace that have it
/// (`nf_ct_untimeout`). CONTEXT: sleepable.
pub(crate) fn withdraw(net: &Net, policy: *const bindings::nf_ct_timeout) {
    table::iterate(Some(net), 0, false, |conn| {
        withdraw_from(conn, policy);
        // None of them ends for it.
        false
    });
}

/// The same for one entry. CONTEXT: its bucket's lock is held, so that it cannot be freed.
fn withdraw_from(conn: &Conn, policy: *const bindings::nf_ct_timeout) {
    let Some(slot) = conn.timeout_slot() else {
        return;
    };
    let guard = rcu::read_lock();
    let Some(found) = slot.policy(Held::by(&guard)) else {
        return;
    };
    if policy.is_null() || found.is(policy) {
        slot.clear();
        // SAFETY: The slot's reference, which was just emptied.
        unsafe { found.release() };
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_timeout)]
mod tests {
    use super::*;
    use crate::linux::fake::FakeNet;
    use crate::linux::fake::FakePolicy;
    use crate::pure::policy::adaptive::Span;

    #[test]
    fn policies_fit_their_protocols() {
        assert_eq!(unfit(2, 6, 2, 6), None);
        assert_eq!(unfit(10, 6, 2, 6), Some(Complaint::L3(10)));
        assert_eq!(unfit(2, 255, 2, 6), Some(Complaint::L4(255)));
        assert_eq!(unfit(258, 6, 2, 6), Some(Complaint::L3(258)));
    }

    #[test]
    fn entries_inherit_and_give_back() -> Result {
        let net = FakeNet::new()?;
        let (template, conn) = (net.conn().ok_or(ENOMEM)?, net.conn().ok_or(ENOMEM)?);
        let policy = FakePolicy::new([30, 180])?;
        inherit(&conn, &template, Gfp::KERNEL);
        assert!(lookup(&conn).is_none() && conn.timeout_slot().is_none());

        attach(&template, policy.get().ok_or(EINVAL)?, Gfp::KERNEL).ok_or(ENOMEM)?;
        assert_eq!(policy.references(), 2);
        inherit(&conn, &template, Gfp::KERNEL);
        assert_eq!(policy.references(), 3);
        let rcu = rcu::read_lock();
        let found = lookup(&conn)
            .and_then(Policy::limits)
            .map(|limits| (limits.get(0), limits.get(1), limits.get(2)));
        drop(rcu);
        assert_eq!(found, Some((30, 180, 30)));

        // What it says beside that, and what it does not.
        let extras = policy.get().and_then(Policy::extras).ok_or(EINVAL)?;
        assert!(extras.soft(0).is_none() && extras.soft(1).is_none() && extras.span().is_none());
        let span = Span { start: 60, end: 90 };
        extras.set_soft(1, Some(0));
        extras.set_span(Some(span));
        let rcu = rcu::read_lock();
        let found = lookup(&conn).and_then(Policy::extras).map(|extras| {
            (
                extras.soft(0),
                extras.soft(1),
                extras.soft(2),
                extras.span(),
            )
        });
        let limits = lookup(&conn)
            .and_then(Policy::limits)
            .map(|limits| (limits.get(0), limits.get(1), limits.get(2)));
        drop(rcu);
        assert!(found == Some((None, Some(0), None, Some(span))));
        assert_eq!(limits, Some((30, 180, 30)));
        extras.set_soft(2, Some(7));
        assert!(extras.soft(0).is_none() && extras.span() == Some(span));
        extras.set_span(None);
        assert!(extras.span().is_none());

        // Another policy goes: nothing happens.
        let other = FakePolicy::new([1, 2])?;
        withdraw_from(&conn, other.get().ok_or(EINVAL)?.as_ptr());
        assert_eq!(policy.references(), 3);
        withdraw_from(&conn, policy.get().ok_or(EINVAL)?.as_ptr());
        assert_eq!(policy.references(), 2);
        assert!(lookup(&conn).is_none());
        // It is not given back twice.
        withdraw_from(&conn, core::ptr::null());
        put(&conn);
        assert_eq!(policy.references(), 2);
        withdraw_from(&template, core::ptr::null());
        assert_eq!(policy.references(), 1);
        Ok(())
    }
}
