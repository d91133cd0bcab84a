// SPDX-License-Identifier: GPL-2.0

//! Files below `/proc/net` that list something of a namespace.
//!
//! A [`NetFile`] says what there is to list; a [`File`] is its registration. A read walks inside
//! an RCU read-side section; between two reads of one open file only its `Position` is kept.
//!
//! C headers: [`include/linux/proc_fs.h`](srctree/include/linux/proc_fs.h),
//! [`include/linux/seq_file_net.h`](srctree/include/linux/seq_file_net.h)

use core::marker::PhantomData;
use core::mem::size_of;
use core::ptr::null_mut;
use core::ptr::without_provenance_mut;
use core::ptr::NonNull;
use kernel::ffi::c_int;
use kernel::fmt;
use kernel::prelude::*;
use pin_init::Zeroable;

use crate::bindings;
use crate::linux::net::Net;
use crate::linux::rcu::Held;
use crate::pure::policy::top::Top;

/// A list that can be read from a file.
///
/// Items are kept as pointers by the kernel between the calls of one read. The kernel asks for an
/// item's successor before it knows whether the item fitted, and then begins the next read with
/// [`NetFile::start`]: the position has to be able to go back by one.
pub(crate) trait NetFile {
    /// Where an open file is. Begins as zeros; no destructor runs.
    type Position: Zeroable;

    /// What is listed, as long as the read-side section lasts.
    type Item<'rcu>: Item;

    /// A read begins. `pos` is the index of the wanted item, zero after a rewind.
    fn start<'rcu>(
        net: &Net,
        at: &mut Self::Position,
        pos: &mut i64,
        rcu: Held<'rcu>,
    ) -> Option<Self::Item<'rcu>>;

    /// The next item. Advances `pos` even if there is none.
    fn next<'rcu>(
        net: &Net,
        at: &mut Self::Position,
        pos: &mut i64,
        rcu: Held<'rcu>,
    ) -> Option<Self::Item<'rcu>>;

    /// Prints an item. What does not fit is printed again, into more room.
    fn show<'rcu>(
        net: &Net,
        at: &mut Self::Position,
        item: Self::Item<'rcu>,
        rcu: Held<'rcu>,
        out: &mut Writer,
    );
}

/// A text of some sections that shows one moment: what a reader meets is found out when it begins,
/// and stays what it is until it begins anew.
pub(crate) trait NetReport {
    /// What is kept of the moment. Begins as zeros; no destructor runs.
    type Snapshot: Zeroable;

    /// How many sections there are. Each fits in memory as a whole.
    const SECTIONS: usize;

    /// A read begins. CONTEXT: sleepable.
    fn take(net: &Net, snapshot: &mut Self::Snapshot);

    /// Prints a section. What does not fit is printed again, into more room. CONTEXT: sleepable.
    fn print(net: &Net, snapshot: &Self::Snapshot, section: usize, out: &mut Writer);
}

// SAFETY: Numbers.
unsafe impl<const N: usize> Zeroable for Top<N> {}

/// Something that the kernel can carry from one call to the next.
pub(crate) trait Item: Copy {
    /// As the kernel carries it. Neither null nor an error pointer.
    fn into_ptr(self) -> NonNull<c_void>;

    /// Back again.
    ///
    /// # Safety
    ///
    /// `ptr` comes from [`Item::into_ptr`] in the same read-side section.
    unsafe fn from_ptr(ptr: NonNull<c_void>) -> Self;
}

/// A file's buffer, to be written to with `write!`.
///
/// Formatting comes in small pieces; they are put together before they go into the file. What does
/// not fit there is noted by the file, and printed again.
pub(crate) struct Writer {
    file: NonNull<bindings::seq_file>,
    pieces: [u8; Self::ROOM],
    len: usize,
}

impl Writer {
    /// Room for a line in most cases.
    const ROOM: usize = 256;

    /// The buffer of the file that C is being asked to print to.
    ///
    /// # Safety
    ///
    /// `file` points to a file that this task is printing to for as long as the result is in use.
    pub(crate) unsafe fn from_raw(file: NonNull<bindings::seq_file>) -> Self {
        Writer {
            file,
            pieces: [0; Self::ROOM],
            len: 0,
        }
    }

    /// Appends bytes as they are.
    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room_for(bytes.len()) {
            room.copy_from_slice(bytes);
            return;
        }
        self.flush();
        match self.room_for(bytes.len()) {
            Some(room) => room.copy_from_slice(bytes),
            None => self.append(bytes),
        }
    }

    /// The next `len` bytes, if there are as many.
    #[inline]
    fn room_for(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.len.checked_add(len)?;
        let room = self.pieces.get_mut(self.len..end)?;
        self.len = end;
        Some(room)
    }

    /// Hands what was put together over.
    fn flush(&mut self) {
        if let Some(bytes) = self.pieces.get(..self.len) {
            self.append(bytes);
        }
        self.len = 0;
    }

    fn append(&self, bytes: &[u8]) {
        // SAFETY: Valid by the contract of `from_raw`.
        unsafe { bindings::seq_write(self.file.as_ptr(), bytes.as_ptr().cast(), bytes.len()) };
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Write for Writer {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// What the kernel allocates for an open file.
#[repr(C)]
struct Open<P> {
    net: bindings::seq_net_private,
    position: P,
}

/// Where in a namespace a file is.
#[derive(Clone, Copy)]
pub(crate) enum Folder {
    /// `/proc/net`
    Net,
    /// `/proc/net/stat`
    Stat,
}

impl Folder {
    fn of(self, net: &Net) -> *mut bindings::proc_dir_entry {
        // SAFETY: Valid by the type; constant while anybody is set up in the namespace.
        unsafe {
            match self {
                Folder::Net => (*net.as_ptr()).proc_net,
                Folder::Stat => (*net.as_ptr()).proc_net_stat,
            }
        }
    }
}

/// A file, while it exists.
pub(crate) struct File {
    entry: NonNull<bindings::proc_dir_entry>,
    folder: NonNull<bindings::proc_dir_entry>,
    name: &'static CStr,
}

// SAFETY: Files may be removed by any task.
unsafe impl Send for File {}
// SAFETY: Changes of the owner are single stores, made before the module lets go of it.
unsafe impl Sync for File {}

struct Operations<F>(PhantomData<F>);

impl<F: NetFile> Operations<F> {
    const TABLE: bindings::seq_operations = bindings::seq_operations {
        start: Some(start::<F>),
        stop: Some(stop::<F>),
        next: Some(next::<F>),
        show: Some(show::<F>),
    };
}

struct ReportOperations<R>(PhantomData<R>);

impl<R: NetReport> ReportOperations<R> {
    const TABLE: bindings::seq_operations = bindings::seq_operations {
        start: Some(report_start::<R>),
        stop: Some(report_stop),
        next: Some(report_next::<R>),
        show: Some(report_show::<R>),
    };
}

impl File {
    /// Makes the file of a list. CONTEXT: sleepable.
    ///
    /// The caller drops it before the namespace goes.
    pub(crate) fn new<F: NetFile>(
        net: &Net,
        folder: Folder,
        name: &'static CStr,
        mode: u16,
    ) -> Result<Self> {
        Self::make::<F::Position>(net, folder, name, mode, &Operations::<F>::TABLE)
    }

    /// Makes the file of a report. CONTEXT: sleepable.
    ///
    /// The caller drops it before the namespace goes.
    pub(crate) fn report<R: NetReport>(
        net: &Net,
        folder: Folder,
        name: &'static CStr,
        mode: u16,
    ) -> Result<Self> {
        Self::make::<R::Snapshot>(net, folder, name, mode, &ReportOperations::<R>::TABLE)
    }

    /// The operations are made for a private part of `Open<P>`.
    fn make<P>(
        net: &Net,
        folder: Folder,
        name: &'static CStr,
        mode: u16,
        operations: &'static bindings::seq_operations,
    ) -> Result<Self> {
        let folder = NonNull::new(folder.of(net)).ok_or(ENOMEM)?;
        // SAFETY: The table is static and fits the size, which begins with `seq_net_private`.
        let entry = unsafe {
            bindings::proc_create_net_data(
                name.as_char_ptr(),
                mode,
                folder.as_ptr(),
                operations,
                u32::try_from(size_of::<Open<P>>()).map_err(|_| EINVAL)?,
                null_mut(),
            )
        };
        let entry = NonNull::new(entry).ok_or(ENOMEM)?;
        Ok(File {
            entry,
            folder,
            name,
        })
    }

    /// Gives the file to the namespace's root, if it has one.
    pub(crate) fn give_to_root(&self, net: &Net) {
        const NOBODY: u32 = u32::MAX;
        // SAFETY: The namespace has its user namespace for life; the entry exists while `self`
        // does.
        unsafe {
            let users = (*net.as_ptr()).user_ns;
            let uid = bindings::make_kuid(users, 0);
            let gid = bindings::make_kgid(users, 0);
            if uid.val != NOBODY && gid.val != NOBODY {
                bindings::proc_set_user(self.entry.as_ptr(), uid, gid);
            }
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: Made by `new` in this folder, which is still there. Waits for readers.
        unsafe { bindings::remove_proc_entry(self.name.as_char_ptr(), self.folder.as_ptr()) };
    }
}

/// The namespace and the position of an open file.
///
/// # Safety
///
/// `file` is an open file whose private part is an `Open<P>`, and this task is in one of its operations.
unsafe fn opened<'a, P>(file: *mut bindings::seq_file) -> (&'a Net, &'a mut P) {
    // SAFETY: The kernel allocated this for the open file, as zeros, and filled in the namespace;
    // it holds the file's mutex during operations. An open file keeps its namespace.
    unsafe {
        let open = (*file).private.cast::<Open<P>>();
        (Net::from_raw((*open).net.net), &mut (*open).position)
    }
}

fn carry(item: Option<impl Item>) -> *mut c_void {
    item.map_or(null_mut(), |item| item.into_ptr().as_ptr())
}

/// # Safety
///
/// Called by the kernel, for a file that is being read.
unsafe extern "C" fn start<F: NetFile>(
    file: *mut bindings::seq_file,
    pos: *mut bindings::loff_t,
) -> *mut c_void {
    // SAFETY: The kernel calls `stop` after each `start`, in the same task; see `opened`.
    unsafe {
        bindings::rcu_read_lock();
        let (net, at) = opened::<F::Position>(file);
        carry(F::start(net, at, &mut *pos, Held::assume()))
    }
}

/// # Safety
///
/// Called by the kernel, for a file that is being read.
unsafe extern "C" fn next<F: NetFile>(
    file: *mut bindings::seq_file,
    _item: *mut c_void,
    pos: *mut bindings::loff_t,
) -> *mut c_void {
    // SAFETY: Between `start` and `stop`; see `opened`.
    unsafe {
        let (net, at) = opened::<F::Position>(file);
        carry(F::next(net, at, &mut *pos, Held::assume()))
    }
}

/// # Safety
///
/// Called by the kernel, for a file that is being read.
unsafe extern "C" fn stop<F: NetFile>(_file: *mut bindings::seq_file, _item: *mut c_void) {
    // SAFETY: Opened by `start`.
    unsafe { bindings::rcu_read_unlock() };
}

/// # Safety
///
/// Called by the kernel, for a file that is being read.
unsafe extern "C" fn show<F: NetFile>(file: *mut bindings::seq_file, item: *mut c_void) -> c_int {
    // SAFETY: Between `start` and `stop`; see `opened`. The item is what one of the two gave.
    unsafe {
        let (Some(out), Some(item)) = (NonNull::new(file), NonNull::new(item)) else {
            return 0;
        };
        let (net, at) = opened::<F::Position>(file);
        let item = F::Item::from_ptr(item);
        F::show(net, at, item, Held::assume(), &mut Writer::from_raw(out));
    }
    0
}

/// Sections are carried as their numbers, from one on.
fn carry_section<R: NetReport>(pos: bindings::loff_t) -> *mut c_void {
    match usize::try_from(pos) {
        Ok(section) if section < R::SECTIONS => without_provenance_mut(section.wrapping_add(1)),
        _ => null_mut(),
    }
}

/// # Safety
///
/// Called by the kernel, for a file that is being read.
unsafe extern "C" fn report_start<R: NetReport>(
    file: *mut bindings::seq_file,
    pos: *mut bindings::loff_t,
) -> *mut c_void {
    // SAFETY: See `opened`; the position is the file's.
    unsafe {
        if *pos == 0 {
            let (net, snapshot) = opened::<R::Snapshot>(file);
            R::take(net, snapshot);
        }
        carry_section::<R>(*pos)
    }
}

/// # Safety
///
/// Called by the kernel, for a file that is being read.
unsafe extern "C" fn report_next<R: NetReport>(
    _file: *mut bindings::seq_file,
    _section: *mut c_void,
    pos: *mut bindings::loff_t,
) -> *mut c_void {
    // SAFETY: The position is the file's.
    unsafe {
        *pos = (*pos).wrapping_add(1);
        carry_section::<R>(*pos)
    }
}

/// # Safety
///
/// Called by the kernel, for a file that is being read.
unsafe extern "C" fn report_stop(_file: *mut bindings::seq_file, _section: *mut c_void) {}

/// # Safety
///
/// Called by the kernel, for a file that is being read.
unsafe extern "C" fn report_show<R: NetReport>(
    file: *mut bindings::seq_file,
    section: *mut c_void,
) -> c_int {
    // SAFETY: See `opened`; the file is being printed to.
    unsafe {
        if let Some(out) = NonNull::new(file) {
            let (net, snapshot) = opened::<R::Snapshot>(file);
            let section = section.addr().wrapping_sub(1);
            R::print(net, snapshot, section, &mut Writer::from_raw(out));
        }
    }
    0
}
