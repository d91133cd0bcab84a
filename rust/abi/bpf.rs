// SPDX-License-Identifier: GPL-2.0

//! What the kfuncs of `helpers/bpf.c` call: entries for BPF programs (XDP and tc).
//!
//! The kfuncs themselves are C, since the verifier knows functions by the type information of C.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_bpf.c`.

use core::mem::forget;
use core::mem::offset_of;
use core::mem::size_of;
use core::ptr::copy_nonoverlapping;
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

/// What a kfunc was called with, but for the packet.
struct Call {
    /// The packet's namespace.
    net: *mut net,
    tuple: *const c_void,
    tuple_size: u32,
    options: *mut Options,
    options_size: u32,
}

impl Call {
    /// The entry that `act` has for the program; null, and the error where there is room for it, if
    /// it has none.
    ///
    /// # Safety
    ///
    /// As [`rct_bpf_lookup`].
    unsafe fn answer(
        self,
        purpose: Purpose,
        act: impl FnOnce(&Net, Zone, &Request) -> Result<NonNull<nf_conn>>,
    ) -> *mut nf_conn {
        const WITH_ERROR: u32 = 8;
        // SAFETY: By this function's contract.
        match unsafe { self.serve(purpose, act) } {
            Ok(ct) => ct.as_ptr(),
            Err(error) => {
                if !self.options.is_null() && self.options_size >= WITH_ERROR {
                    // SAFETY: By this function's contract there are as many bytes.
                    unsafe { write_once(&raw mut (*self.options).error, error.to_errno()) };
                }
                null_mut()
            }
        }
    }

    /// Reads what the program wishes and, with the namespace and the zone that it names, does as
    /// `act` says.
    ///
    /// # Safety
    ///
    /// As [`rct_bpf_lookup`].
    unsafe fn serve<T>(
        &self,
        purpose: Purpose,
        act: impl FnOnce(&Net, Zone, &Request) -> Result<T>,
    ) -> Result<T> {
        let options = self.options;
        if options.is_null() || self.tuple.is_null() {
            return Err(EINVAL);
        }
        let full = self.options_size == OPTIONS_SIZE;
        if !full && self.options_size != OLD_OPTIONS_SIZE {
            return Err(EINVAL);
        }
        let size = usize::try_from(self.tuple_size).unwrap_or(usize::MAX);
        let mut bytes = [0u8; 36];
        // SAFETY: By this function's contract there are as many bytes, of memory that other programs
        // may be writing to: each field is read once.
        let raw = unsafe {
            if let Some(room) = bytes.get_mut(..size) {
                copy_nonoverlapping(self.tuple.cast(), room.as_mut_ptr(), size);
            }
            Raw {
                netns: read_once(&raw const (*options).netns),
                proto: read_once(&raw const (*options).proto),
                zone: read_once(&raw const (*options).zone),
                rest: if full {
                    let reserved = read_once(&raw const (*options).reserved);
                    Some((read_once(&raw const (*options).zone_dir), reserved))
                } else {
                    None
                },
            }
        };
        let tuple = bytes.get(..size).unwrap_or_default();
        let request = Request::parse(&raw, tuple, purpose)?;

        let other = match request.netns {
            Some(number) => {
                // SAFETY: By this function's contract.
                let found = unsafe { bindings::rct_net_by_id(self.net, number) };
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
        let net = other.as_ref().map_or(self.net, |found| found.0.as_ptr());
        // SAFETY: The packet's namespace lives by this function's contract, the other one is held.
        act(unsafe { Net::from_raw(net) }, zone, &request)
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
    let call = Call {
        net,
        tuple,
        tuple_size,
        options,
        options_size,
    };
    let find = |net: &Net, zone, request: &Request| {
        let found = {
            let guard = rcu::read_lock();
            table::find_get(net, &request.tuple, zone, Held::by(&guard))
        };
        let (conn, dir) = found.ok_or(ENOENT)?;
        // SAFETY: Options that were read.
        unsafe { write_once(&raw mut (*options).dir, dir as u8) };
        let ct = NonNull::new(conn.as_ptr()).ok_or(ENOENT)?;
        // The program has the reference now; the verifier sees to it that it is put.
        forget(conn);
        Ok(ct)
    };
    // SAFETY: By this function's contract.
    unsafe { call.answer(Purpose::Lookup, find) }
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
    let call = Call {
        net,
        tuple,
        tuple_size,
        options,
        options_size,
    };
    let make = |net: &Net, zone, request: &Request| {
        let (tuple, hash) = (&request.tuple, Hash(0));
        let reply = tuple.invert().ok_or(EPROTO)?;
        let new = conn::alloc(
            net,
            net.private(),
            zone,
            [tuple, &reply],
            hash,
            Origin::Made,
            Gfp::ATOMIC,
        )
        .map_err(|_| ENOMEM)?;
        new.set_timeout(LIFE.saturating_mul(time::HZ));
        NonNull::new(new.into_raw()).ok_or(ENOMEM)
    };
    // SAFETY: By this function's contract.
    unsafe { call.answer(Purpose::Make, make) }
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
