// SPDX-License-Identifier: GPL-2.0

//! What the kfuncs of `helpers/bpf.c` call: entries for BPF programs (XDP and tc).
//!
//! The kfuncs themselves are C, since the verifier knows functions by the type information of C.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_bpf.c`.

use core::mem::forget;
use core::mem::offset_of;
use core::mem::size_of;
use core::ptr::null_mut;
use core::ptr::NonNull;
use kernel::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::rcu;

use crate::abi::core::nf_conntrack_free;
use crate::bindings;
use crate::bindings::net;
use crate::bindings::nf_conn;
use crate::engine::confirm;
use crate::engine::conn;
use crate::engine::fair::Origin;
use crate::engine::table;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::hashtable::Hash;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::rcu::Held;
use crate::linux::time;
use crate::linux::zone::Zone;
use crate::pure::status::Status;
use crate::pure::wire::bpf::Purpose;
use crate::pure::wire::bpf::Raw;
use crate::pure::wire::bpf::Reject;
use crate::pure::wire::bpf::Request;
use crate::pure::wire::bpf::OLD_OPTIONS_SIZE;
use crate::pure::wire::bpf::OPTIONS_SIZE;

/// `struct bpf_ct_opts`, as programs have it. `helpers/bpf.c` asserts the layout.
#[repr(C)]
pub(crate) struct Options {
    netns: i32,
    error: i32,
    proto: u8,
    dir: u8,
    zone: u16,
    // Only in options of the full size:
    zone_dir: u8,
    reserved: [u8; 3],
}

const _: () = assert!(size_of::<Options>() == OPTIONS_SIZE as usize);
const _: () = assert!(offset_of!(Options, zone_dir) == OLD_OPTIONS_SIZE as usize);

/// How long an entry lives that a program made and gave no timeout, in seconds.
const LIFE: u32 = 10;

impl From<Reject> for Error {
    fn from(reject: Reject) -> Error {
        match reject {
            Reject::Invalid => EINVAL,
            Reject::Protocol => EPROTO,
            Reject::Family => EAFNOSUPPORT,
        }
    }
}

/// A namespace that was found by its number.
struct Found(NonNull<net>);

impl Drop for Found {
    fn drop(&mut self) {
        // SAFETY: The reference that `get_net_ns_by_id()` gave.
        unsafe { bindings::rct_put_net(self.0.as_ptr()) };
    }
}

/// Reads a program's wish and, with the namespace and the zone that it names, does as `act` says.
///
/// # Safety
///
/// As [`rct_bpf_lookup`].
unsafe fn serve<T>(
    net: *mut net,
    tuple: *const u8,
    tuple_size: u32,
    options: *mut Options,
    options_size: u32,
    purpose: Purpose,
    act: impl FnOnce(&Net, Zone, &Request) -> Result<T>,
) -> Result<T> {
    if options.is_null() || tuple.is_null() {
        return Err(EINVAL);
    }
    let full = options_size == OPTIONS_SIZE;
    if !full && options_size != OLD_OPTIONS_SIZE {
        return Err(EINVAL);
    }
    // SAFETY: By this function's contract there are as many bytes, of memory that other programs
    // may be writing to: each field is read once.
    let (raw, bytes) = unsafe {
        let raw = Raw {
            netns: read_once(&raw const (*options).netns),
            proto: read_once(&raw const (*options).proto),
            zone: read_once(&raw const (*options).zone),
            rest: if full {
                let reserved = read_once(&raw const (*options).reserved);
                Some((read_once(&raw const (*options).zone_dir), reserved))
            } else {
                None
            },
        };
        let mut bytes = [0u8; 36];
        let size = usize::try_from(tuple_size).unwrap_or(usize::MAX);
        if let Some(room) = bytes.get_mut(..size) {
            core::ptr::copy_nonoverlapping(tuple, room.as_mut_ptr(), size);
        }
        (raw, bytes)
    };
    let bytes = usize::try_from(tuple_size)
        .ok()
        .and_then(|size| bytes.get(..size))
        .unwrap_or_default();
    let request = Request::parse(&raw, bytes, purpose)?;

    let other = match request.netns {
        Some(number) => {
            // SAFETY: By this function's contract.
            let found = unsafe { bindings::rct_net_by_id(net, number) };
            Some(Found(NonNull::new(found).ok_or(ENONET)?))
        }
        None => None,
    };
    let zone = match request.zone {
        Some((number, dir)) => {
            // SAFETY: Options of the full size; the program learns which directions it has.
            unsafe { write_once(&raw mut (*options).zone_dir, dir) };
            Zone::new(number, dir)
        }
        None => Zone::DEFAULT,
    };
    // SAFETY: The packet's namespace lives by this function's contract, the other one is held.
    let net = unsafe { Net::from_raw(other.as_ref().map_or(net, |found| found.0.as_ptr())) };
    act(net, zone, &request)
}

/// The entry, or null and the error where there is room for it.
///
/// # Safety
///
/// As [`rct_bpf_lookup`].
unsafe fn answer(
    result: Result<NonNull<nf_conn>>,
    options: *mut Options,
    options_size: u32,
) -> *mut nf_conn {
    const WITH_ERROR: u32 = 8;
    match result {
        Ok(ct) => ct.as_ptr(),
        Err(error) => {
            if !options.is_null() && options_size >= WITH_ERROR {
                // SAFETY: By this function's contract there are as many bytes.
                unsafe { write_once(&raw mut (*options).error, error.to_errno()) };
            }
            null_mut()
        }
    }
}

/// The entry of a tuple, with a reference; null and an error in the options if there is none.
///
/// Context: softirq or process, in an RCU read-side section.
///
/// # Safety
///
/// `net` is the packet's namespace. `tuple` and `options` are null or have the sizes that are
/// named, of memory that is the program's.
#[no_mangle]
pub(crate) unsafe extern "C" fn rct_bpf_lookup(
    net: *mut net,
    tuple: *const c_void,
    tuple_size: u32,
    options: *mut Options,
    options_size: u32,
) -> *mut nf_conn {
    // SAFETY: By this function's contract.
    unsafe {
        let found = serve(
            net,
            tuple.cast(),
            tuple_size,
            options,
            options_size,
            Purpose::Lookup,
            |net, zone, request| {
                let guard = rcu::read_lock();
                let found = table::find_get(net, &request.tuple, zone, Held::by(&guard));
                found.ok_or(ENOENT)
            },
        );
        let found = found.and_then(|(conn, dir)| {
            write_once(&raw mut (*options).dir, dir as u8);
            let ct = NonNull::new(conn.as_ptr()).ok_or(ENOENT)?;
            // The program has the reference now; the verifier sees to it that it is put.
            forget(conn);
            Ok(ct)
        });
        answer(found, options, options_size)
    }
}

/// A new entry for a tuple, without references and not in the table.
///
/// Context: softirq or process, in an RCU read-side section.
///
/// # Safety
///
/// As [`rct_bpf_lookup`].
#[no_mangle]
pub(crate) unsafe extern "C" fn rct_bpf_alloc(
    net: *mut net,
    tuple: *const c_void,
    tuple_size: u32,
    options: *mut Options,
    options_size: u32,
) -> *mut nf_conn {
    // SAFETY: By this function's contract.
    unsafe {
        let made = serve(
            net,
            tuple.cast(),
            tuple_size,
            options,
            options_size,
            Purpose::Make,
            |net, zone, request| {
                let reply = request.tuple.invert().ok_or(EPROTO)?;
                let new = conn::alloc(
                    net,
                    zone,
                    &request.tuple,
                    &reply,
                    Hash(0),
                    Origin::Made,
                    Gfp::ATOMIC,
                )
                .map_err(|_| ENOMEM)?;
                new.set_timeout(LIFE.saturating_mul(time::HZ));
                NonNull::new(new.into_raw()).ok_or(ENOMEM)
            },
        );
        answer(made, options, options_size)
    }
}

/// Takes a new entry into the table; null if it has no place there, then it is gone. The program
/// keeps a reference.
///
/// Context: softirq or process, in an RCU read-side section.
///
/// # Safety
///
/// `ct` comes from [`rct_bpf_alloc`] and is the program's.
#[no_mangle]
pub(crate) unsafe extern "C" fn rct_bpf_insert(ct: *mut nf_conn) -> *mut nf_conn {
    // SAFETY: By this function's contract.
    unsafe {
        let conn = Conn::from_raw(ct);
        // A program may have set the bit itself.
        if !conn.status().has(Status::CONFIRMED) {
            conn.set_timeout(time::now().0.wrapping_add(conn.timeout()));
        }
        conn.add_status(Status::CONFIRMED);
        match confirm::insert_made(conn) {
            Ok(()) => ct,
            Err(_) => {
                nf_conntrack_free(ct);
                null_mut()
            }
        }
    }
}
