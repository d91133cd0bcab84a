// SPDX-License-Identifier: GPL-2.0

//! Places where something hangs that comes and goes under readers, such as a namespace's queues.

use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::rcu::synchronize_rcu;

use crate::bindings;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::rcu::Held;

/// A place for a `T`. Zero is none.
///
/// INVARIANT: What hangs there came from a box, and leaves through [`Changes`].
#[repr(transparent)]
pub(crate) struct Slot<T>(UnsafeCell<*mut T>);

// SAFETY: The pointer is read and written whole.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}
// SAFETY: It owns what hangs there.
unsafe impl<T: Send> Send for Slot<T> {}

impl<T> Slot<T> {
    /// With nothing in it.
    pub(crate) const fn new() -> Self {
        Slot(UnsafeCell::new(null_mut()))
    }

    /// What hangs there.
    #[inline(always)]
    pub(crate) fn get<'rcu>(&self, _rcu: Held<'rcu>) -> Option<&'rcu T> {
        // SAFETY: It is freed a grace period after it left the slot; the address dependency orders
        // what is read through the pointer.
        unsafe { read_once(self.0.get()).as_ref() }
    }

    /// The same, for whoever alone may change it.
    pub(crate) fn look<'a>(&'a self, _changes: &'a Changes<T>) -> Option<&'a T> {
        // SAFETY: Nobody else takes it away, and neither does the caller while it borrows the changes.
        unsafe { read_once(self.0.get()).as_ref() }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        // SAFETY: By the invariant; nobody has the slot any more, and whoever drops it answers for
        // those who read what hangs there.
        drop(NonNull::new(*self.0.get_mut()).map(|last| unsafe { KBox::from_raw(last.as_ptr()) }));
    }
}

/// The right to change what hangs in slots of `T`. What was taken away goes a grace period later.
pub(crate) struct Changes<T> {
    old: KVec<KBox<T>>,
}

impl<T> Changes<T> {
    /// Takes the caller's word for it.
    ///
    /// # Safety
    ///
    /// As long as it lives nobody else has one for slots of `T`.
    pub(crate) unsafe fn assume() -> Self {
        Changes { old: KVec::new() }
    }

    /// Puts something else into a slot, or nothing. Whether there was something before. CONTEXT:
    /// sleepable.
    pub(crate) fn replace(&mut self, slot: &Slot<T>, new: Option<KBox<T>>) -> bool {
        let new = new.map_or(null_mut(), KBox::into_raw);
        // SAFETY: Nobody else writes the slot. What is in it came from a box. The barrier makes it
        // visible before the pointer.
        let old = unsafe {
            let old = read_once(slot.0.get());
            bindings::rct_smp_wmb();
            write_once(slot.0.get(), new);
            NonNull::new(old).map(|old| KBox::from_raw(old.as_ptr()))
        };
        let Some(old) = old else {
            return false;
        };
        if self.old.reserve(1, GFP_KERNEL).is_err() {
            // There is no place to keep it in.
            synchronize_rcu();
        } else {
            // There is, so that this does not fail.
            let _ = self.old.push(old, GFP_KERNEL);
        }
        true
    }

    /// Waits until nobody reads what was taken away, and frees it. CONTEXT: sleepable.
    pub(crate) fn settle(&mut self) {
        if !self.old.is_empty() {
            synchronize_rcu();
            self.old.clear();
        }
    }
}

impl<T> Drop for Changes<T> {
    fn drop(&mut self) {
        self.settle();
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_slot)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU32;
    use core::sync::atomic::Ordering;

    struct Counted<'a>(&'a AtomicU32);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_was_taken_away_goes_once_and_later() -> Result {
        let gone = AtomicU32::new(0);
        let count = || gone.load(Ordering::Relaxed);
        let counted = || KBox::new(Counted(&gone), GFP_KERNEL).map(Some);
        let slot = Slot::new();
        // SAFETY: Nobody else knows of such slots.
        let mut changes = unsafe { Changes::assume() };
        assert!(!changes.replace(&slot, counted()?));
        assert!(slot.look(&changes).is_some());
        assert!(changes.replace(&slot, counted()?));
        assert_eq!(count(), 0);
        changes.settle();
        assert_eq!(count(), 1);
        assert!(changes.replace(&slot, None));
        assert!(slot.look(&changes).is_none());
        assert!(!changes.replace(&slot, counted()?));
        drop(changes);
        assert_eq!(count(), 2);
        drop(slot);
        assert_eq!(count(), 3);
        Ok(())
    }
}
