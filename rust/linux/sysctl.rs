// SPDX-License-Identifier: GPL-2.0

//! Files below `/proc/sys` that belong to a namespace.
//!
//! A [`Registration`] owns its rows and its files. The rows point to words elsewhere, which is why
//! [`Registration::new`] is unsafe; formats for which the kernel has a handler use it.
//!
//! C header: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h)

use core::mem::size_of;
use core::ptr::from_ref;
use core::ptr::NonNull;
use kernel::error::from_result;
use kernel::ffi::c_int;
use kernel::prelude::*;

use crate::bindings;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::time::HZ;

/// How a file shows its word and what it accepts.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    /// A signed number, whatever it is.
    Integer,
    /// A signed number within bounds; others are refused with `EINVAL`.
    Between(&'static c_int, &'static c_int),
    /// A byte.
    Byte,
    /// A byte that is at most this.
    ByteUpTo(&'static c_int),
    /// Whole seconds, kept in ticks.
    Seconds,
    /// The same, and negative ones are refused.
    Span,
    /// A word that is read and set by code.
    Variable(bindings::proc_handler),
    /// A byte with something to do after it was set.
    Watched(bindings::proc_handler),
    /// As [`Format::Between`], with something to do after it was set.
    WatchedBetween(bindings::proc_handler, &'static c_int, &'static c_int),
}

static ZERO: c_int = 0;
/// The most whole seconds whose ticks fit 31 bits.
static MOST_SECONDS: c_int = c_int::MAX / HZ as c_int;

impl Format {
    fn handler(self) -> bindings::proc_handler {
        match self {
            Format::Integer => Some(bindings::proc_dointvec),
            Format::Between(..) => Some(bindings::proc_dointvec_minmax),
            Format::Byte | Format::ByteUpTo(_) => Some(bindings::proc_dou8vec_minmax),
            Format::Seconds => Some(bindings::proc_dointvec_jiffies),
            Format::Span => Some(span),
            Format::Variable(handler)
            | Format::Watched(handler)
            | Format::WatchedBetween(handler, ..) => handler,
        }
    }

    fn size(self) -> usize {
        match self {
            Format::Byte | Format::ByteUpTo(_) | Format::Watched(_) => size_of::<u8>(),
            _ => size_of::<c_int>(),
        }
    }

    fn bounds(self) -> Option<(&'static c_int, &'static c_int)> {
        match self {
            Format::Between(least, most) | Format::WatchedBetween(_, least, most) => {
                Some((least, most))
            }
            Format::ByteUpTo(most) => Some((&ZERO, most)),
            Format::Span => Some((&ZERO, &MOST_SECONDS)),
            _ => None,
        }
    }
}

/// A row of a table of files.
pub(crate) type Row = bindings::ctl_table;

/// The row of a file that shows `word`.
pub(crate) fn row(name: &'static CStr, format: Format, word: *mut c_void, mode: u16) -> Row {
    let bound = |of: Option<&'static c_int>| {
        of.map_or(core::ptr::null_mut(), |at| from_ref(at).cast_mut().cast())
    };
    let bounds = format.bounds();
    Row {
        procname: name.as_char_ptr(),
        data: word,
        maxlen: c_int::try_from(format.size()).unwrap_or(0),
        mode,
        proc_handler: format.handler(),
        poll: core::ptr::null_mut(),
        // The handlers only read the bounds.
        extra1: bound(bounds.map(|(least, _)| least)),
        extra2: bound(bounds.map(|(_, most)| most)),
    }
}

/// A table's files while they exist.
pub(crate) struct Registration {
    header: NonNull<bindings::ctl_table_header>,
    // Freed after the files are gone, see `drop`.
    _rows: KVec<Row>,
}

// SAFETY: Files may be removed by any task.
unsafe impl Send for Registration {}
// SAFETY: There is nothing to do with a shared one.
unsafe impl Sync for Registration {}

impl Registration {
    /// Makes the files of `rows` in the folder `path` of a namespace. CONTEXT: sleepable.
    ///
    /// # Safety
    ///
    /// Each row's word has the size and alignment of its format, may be read and written at any
    /// time as that, and outlives the result.
    pub(crate) unsafe fn new(net: &Net, path: &'static CStr, rows: KVec<Row>) -> Result<Self> {
        // SAFETY: The rows live as long as the files; the rest is this function's contract.
        let header = unsafe {
            bindings::register_net_sysctl_sz(
                net.as_ptr(),
                path.as_char_ptr(),
                rows.as_ptr(),
                rows.len(),
            )
        };
        let header = NonNull::new(header).ok_or(ENOMEM)?;
        Ok(Registration {
            header,
            _rows: rows,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: Registered by `new`, and once only. Waits for whoever is using a file.
        unsafe { bindings::unregister_net_sysctl_table(self.header.as_ptr()) };
    }
}

/// A number that code reads and sets, behind [`Format::Variable`].
pub(crate) trait Variable {
    /// Its value.
    fn get() -> u32;
    /// Sets it, or says why not.
    fn set(value: u32) -> Result;
}

/// Lets the kernel show, or set, a number at `word` as it would the row's own.
///
/// # Safety
///
/// Called by a handler, with what it was called with and a word of its own.
unsafe fn in_place_of(
    word: *mut c_void,
    row: *const Row,
    write: c_int,
    buffer: *mut c_void,
    len: *mut usize,
    pos: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: By this function's contract the row is one, and the word is as large as it says and
    // alive during the call. The row's bounds are two numbers, or none.
    unsafe {
        let mut row = row.read();
        row.data = word;
        bindings::proc_dointvec_minmax(&row, write, buffer, len, pos)
    }
}

/// The handler of a [`Variable`].
///
/// # Safety
///
/// Called by the kernel for a row of [`Format::Variable`].
pub(crate) unsafe extern "C" fn variable<V: Variable>(
    row: *const Row,
    write: c_int,
    buffer: *mut c_void,
    len: *mut usize,
    pos: *mut bindings::loff_t,
) -> c_int {
    let mut value = V::get();
    // SAFETY: By this function's contract.
    let done = unsafe { in_place_of((&raw mut value).cast(), row, write, buffer, len, pos) };
    if done < 0 || write == 0 {
        return done;
    }
    from_result(|| V::set(value).map(|()| 0))
}

/// The handler of [`Format::Span`].
///
/// # Safety
///
/// Called by the kernel for a row of that format.
unsafe extern "C" fn span(
    row: *const Row,
    write: c_int,
    buffer: *mut c_void,
    len: *mut usize,
    pos: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: By this function's contract the row is one, and its word counts ticks.
    unsafe {
        let word = (*row).data.cast::<u32>();
        let mut seconds = c_int::try_from(read_once(word) / HZ).unwrap_or(MOST_SECONDS);
        let done = in_place_of((&raw mut seconds).cast(), row, write, buffer, len, pos);
        if done >= 0 && write != 0 {
            write_once(word, seconds.unsigned_abs().saturating_mul(HZ));
        }
        done
    }
}

/// What the kernel calls to show or set a word.
type Handler = unsafe extern "C" fn(
    *const Row,
    c_int,
    *mut c_void,
    *mut usize,
    *mut bindings::loff_t,
) -> c_int;

/// A word that the kernel shows, and sets within bounds.
pub(crate) trait Bounded: Copy {
    /// What does so.
    const HANDLER: Handler;
}

impl Bounded for u8 {
    const HANDLER: Handler = bindings::proc_dou8vec_minmax;
}

impl Bounded for c_int {
    const HANDLER: Handler = bindings::proc_dointvec_minmax;
}

/// What is to be done after a word was set, behind [`Format::Watched`] if it is a byte and
/// [`Format::WatchedBetween`] if it is a number.
pub(crate) trait Watch {
    /// The word.
    type Word: Bounded;

    /// It is `value` now.
    fn written(value: Self::Word);
}

/// The handler of a word with a [`Watch`].
///
/// # Safety
///
/// Called by the kernel for a row of the format for the word.
pub(crate) unsafe extern "C" fn watched<W: Watch>(
    row: *const Row,
    write: c_int,
    buffer: *mut c_void,
    len: *mut usize,
    pos: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: By this function's contract, and the row's word is a `W::Word`.
    unsafe {
        let done = W::Word::HANDLER(row, write, buffer, len, pos);
        if done >= 0 && write != 0 {
            W::written(read_once((*row).data.cast::<W::Word>()));
        }
        done
    }
}
