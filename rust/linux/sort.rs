// SPDX-License-Identifier: GPL-2.0

//! Sorting by the kernel's own `sort_nonatomic()`, which takes no memory and lets others run.
//!
//! Not `core`'s: its sorts end in functions that do not return and that objtool does not know.
//!
//! C header: [`include/linux/sort.h`](srctree/include/linux/sort.h)

use core::cmp::Ordering;
use kernel::ffi::c_int;
use kernel::ffi::c_void;

use crate::bindings;
use crate::pure::policy::fair::Record;

/// Sorts words, lowest first. CONTEXT: sleepable; it takes `n log n` steps.
pub(crate) fn words(words: &mut [u64]) {
    // SAFETY: That many elements of that size, which are the caller's alone. Without a function of
    // its own for it, it swaps whole words.
    unsafe {
        bindings::sort_nonatomic(
            words.as_mut_ptr().cast(),
            words.len(),
            size_of::<u64>(),
            Some(compare::<u64>),
            None,
        );
    }
}

/// Sorts records, lowest first. CONTEXT: as for [`words`].
pub(crate) fn records(records: &mut [Record]) {
    // SAFETY: As in `words`; records are pairs of words without padding.
    unsafe {
        bindings::sort_nonatomic(
            records.as_mut_ptr().cast(),
            records.len(),
            size_of::<Record>(),
            Some(compare::<Record>),
            None,
        );
    }
}

/// # Safety
///
/// Both point to a `T`.
unsafe extern "C" fn compare<T: Ord>(a: *const c_void, b: *const c_void) -> c_int {
    // SAFETY: By this function's contract.
    let (a, b) = unsafe { (&*a.cast::<T>(), &*b.cast::<T>()) };
    match a.cmp(b) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_sort)]
mod tests {
    use super::Record;

    #[test]
    fn lowest_first() {
        let mut some = [3, u64::MAX, 1 << 63, 0, 3, u64::MAX - 1, 1];
        super::words(&mut some);
        assert_eq!(some, [0, 1, 3, 3, 1 << 63, u64::MAX - 1, u64::MAX]);
        let mut none: [u64; 0] = [];
        super::words(&mut none);
        let mut one = [7];
        super::words(&mut one);
        assert_eq!(one, [7]);
        let mut pairs = [[2, 0], [1, 9], [2, u64::MAX], [1, 3]].map(Record);
        super::records(&mut pairs);
        assert_eq!(pairs, [[1, 3], [1, 9], [2, 0], [2, u64::MAX]].map(Record));
    }
}
