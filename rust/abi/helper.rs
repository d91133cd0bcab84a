// SPDX-License-Identifier: GPL-2.0

//! `net/netfilter/nf_conntrack_helper.h`: helpers, and the callbacks of expectations.
//!
//! `nf_ct_helper_log()`, which takes any number of arguments, is in `helpers/log.c`.

use core::ptr::null_mut;
use core::ptr::NonNull;
use kernel::ffi::c_char;
use kernel::ffi::c_int;
use kernel::ffi::c_uint;
use kernel::ffi::c_void;
use kernel::prelude::*;

use crate::abi::as_in_header;
use crate::bindings::*;
use crate::engine::helper;
use crate::engine::helper::InUse;
use crate::linux;
use crate::linux::conn::Conn;
use crate::linux::gfp::Gfp;
use crate::linux::helper::Help;
use crate::linux::helper::Helper;
use crate::linux::rcu::Held;
use crate::linux::warn;

as_in_header! {
    __nf_conntrack_helper_find, __nf_conntrack_helper_register, __nf_ct_try_assign_helper,
    nf_conntrack_helper_put, nf_conntrack_helper_register, nf_conntrack_helper_release,
    nf_conntrack_helper_try_module_get, nf_conntrack_helper_unregister,
    nf_conntrack_helpers_register, nf_conntrack_helpers_unregister, nf_ct_helper_expectfn_destroy,
    nf_ct_helper_expectfn_find_by_name, nf_ct_helper_expectfn_find_by_symbol,
    nf_ct_helper_expectfn_register, nf_ct_helper_expectfn_unregister, nf_ct_helper_ext_add,
    nf_ct_helper_init, nf_nat_helper_put, nf_nat_helper_register, nf_nat_helper_try_module_get,
    nf_nat_helper_unregister,
}

fn errno(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// The helper of that name for connections of this kind, or null.
///
/// # Safety
///
/// As the header says; the caller is in an RCU read-side section, and the result valid as long.
#[no_mangle]
pub(crate) unsafe extern "C" fn __nf_conntrack_helper_find(
    name: *const c_char,
    l3num: u16,
    protonum: u8,
) -> *mut nf_conntrack_helper {
    // SAFETY: By this function's contract.
    unsafe {
        helper::find(CStr::from_char_ptr(name), l3num, protonum, Held::assume())
            .map_or(null_mut(), Helper::as_ptr)
    }
}

/// The helper of that name, with references to it and its module for the caller, after the module
/// was loaded if need be; or null. CONTEXT: sleepable.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_helper_try_module_get(
    name: *const c_char,
    l3num: u16,
    protonum: u8,
) -> *mut nf_conntrack_helper {
    // SAFETY: By this function's contract.
    let name = unsafe { CStr::from_char_ptr(name) };
    helper::get(name, l3num, protonum).map_or(null_mut(), InUse::into_raw)
}

/// Gives up what [`nf_conntrack_helper_try_module_get`] gave.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_helper_put(helper: *mut nf_conntrack_helper) {
    if let Some(helper) = NonNull::new(helper) {
        // SAFETY: By this function's contract.
        drop(unsafe { InUse::from_raw(helper) });
    }
}

/// Holds the module that translates for the helper of that name, after it was loaded if need be.
///
/// Errors: `ENOENT`. CONTEXT: sleepable.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_nat_helper_try_module_get(
    name: *const c_char,
    l3num: u16,
    protonum: u8,
) -> c_int {
    // SAFETY: By this function's contract.
    let name = unsafe { CStr::from_char_ptr(name) };
    errno(helper::hold_translator(name, l3num, protonum))
}

/// Gives up what [`nf_nat_helper_try_module_get`] took.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_nat_helper_put(helper: *mut nf_conntrack_helper) {
    // SAFETY: By this function's contract.
    unsafe { helper::release_translator(Helper::from_raw(helper)) };
}

/// Gives an entry a helper extension, or null.
///
/// # Safety
///
/// As the header says; the entry is unconfirmed and the caller's, or a template.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_helper_ext_add(
    ct: *mut nf_conn,
    gfp: gfp_t,
) -> *mut nf_conn_help {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    helper::ext_add(conn, Gfp(gfp)).map_or(null_mut(), Help::as_ptr)
}

/// Gives a new entry the helper of its template. Errors: `ENOMEM`.
///
/// # Safety
///
/// As the header says; `ct` is unconfirmed and the caller's.
#[no_mangle]
pub(crate) unsafe extern "C" fn __nf_ct_try_assign_helper(
    ct: *mut nf_conn,
    tmpl: *mut nf_conn,
    flags: gfp_t,
) -> c_int {
    // SAFETY: By this function's contract.
    let conn = unsafe { Conn::from_raw(ct) };
    if tmpl.is_null() {
        if !conn.has(crate::pure::status::Status::HELPER) {
            warn::warn_once!();
        }
        return 0;
    }
    // SAFETY: By this function's contract.
    let template = unsafe { Conn::from_raw(tmpl) };
    errno(helper::try_assign(conn, template, Gfp(flags)))
}

/// Lists a callback of expectations that user space can name. CONTEXT: takes the expectation lock.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_helper_expectfn_register(n: *mut nf_ct_helper_expectfn) {
    if let Some(n) = NonNull::new(n) {
        // SAFETY: By this function's contract.
        unsafe { helper::add_callback(n) };
    }
}

/// Takes a callback off the list. CONTEXT: takes the expectation lock.
///
/// # Safety
///
/// As the header says; the caller waits for a grace period before `n` goes.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_helper_expectfn_unregister(n: *mut nf_ct_helper_expectfn) {
    if let Some(n) = NonNull::new(n) {
        // SAFETY: By this function's contract.
        unsafe { helper::remove_callback(n) };
    }
}

/// Ends the expectations with that callback. CONTEXT: takes the expectation lock, a grace period
/// after the callback was taken off the list.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_helper_expectfn_destroy(n: *const nf_ct_helper_expectfn) {
    // SAFETY: By this function's contract.
    helper::end_callback(unsafe { (*n).expectfn });
}

/// The callback of that name, or null.
///
/// # Safety
///
/// As the header says; the caller is in an RCU read-side section, and the result valid as long.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_helper_expectfn_find_by_name(
    name: *const c_char,
) -> *mut nf_ct_helper_expectfn {
    // SAFETY: By this function's contract.
    let found = unsafe { helper::callback_by_name(CStr::from_char_ptr(name), Held::assume()) };
    found.map_or(null_mut(), NonNull::as_ptr)
}

/// The callback with that function, or null.
///
/// # Safety
///
/// As the header says; the caller is in an RCU read-side section, and the result valid as long.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_helper_expectfn_find_by_symbol(
    symbol: *const c_void,
) -> *mut nf_ct_helper_expectfn {
    // SAFETY: By this function's contract.
    let found = unsafe { helper::callback_by_address(symbol.addr(), Held::assume()) };
    found.map_or(null_mut(), NonNull::as_ptr)
}

/// Registers a helper as it is. Errors: see [`helper::register`]. CONTEXT: sleepable.
///
/// # Safety
///
/// As the header says; the memory is from `kmalloc()`, and freed with the last reference.
#[no_mangle]
pub(crate) unsafe extern "C" fn __nf_conntrack_helper_register(
    me: *mut nf_conntrack_helper,
) -> c_int {
    // SAFETY: By this function's contract.
    errno(unsafe { helper::register(Helper::from_raw(me)) })
}

/// Registers a copy of `me`, whose address `helper_ptr` gets. Errors: see
/// [`helper::register_copy`]. CONTEXT: sleepable.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_helper_register(
    me: *mut nf_conntrack_helper,
    helper_ptr: *mut *mut nf_conntrack_helper,
) -> c_int {
    // SAFETY: By this function's contract.
    errno(unsafe { helper::register_copy(me, helper_ptr) })
}

/// Ends what a helper expects, and puts the caller's reference to it. CONTEXT: takes the
/// expectation lock.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_helper_release(me: *mut nf_conntrack_helper) {
    if let Some(me) = NonNull::new(me) {
        // SAFETY: By this function's contract.
        unsafe { helper::release(me) };
    }
}

/// Unregisters a helper. CONTEXT: sleepable, for a grace period.
///
/// # Safety
///
/// As the header says; `me` is registered.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_helper_unregister(me: *mut nf_conntrack_helper) {
    // SAFETY: By this function's contract.
    unsafe { helper::unregister(Helper::from_raw(me)) };
}

/// Fills in a helper that is to be registered.
///
/// # Safety
///
/// As the header says; `exp_pol` is an array of `expect_class_max + 1`.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_helper_init(
    helper: *mut nf_conntrack_helper,
    l3num: u8,
    protonum: u16,
    name: *const c_char,
    exp_pol: *const nf_conntrack_expect_policy,
    expect_class_max: u32,
    help: Option<
        unsafe extern "C" fn(*mut sk_buff, c_uint, *mut nf_conn, ip_conntrack_info) -> c_int,
    >,
    from_nlattr: Option<unsafe extern "C" fn(*mut nlattr, *mut nf_conn) -> c_int>,
    module: *mut module,
) {
    // SAFETY: By this function's contract; nobody else knows the helper.
    unsafe {
        helper.write_bytes(0, 1);
        (*helper).nfproto = l3num;
        let [low, _] = protonum.to_le_bytes();
        (*helper).l4proto = low;
        (*helper).help = help;
        (*helper).from_nlattr = from_nlattr;
        (*helper).me = module;
        let name = CStr::from_char_ptr(name).to_bytes();
        linux::helper::write_text(&raw mut (*helper).nat_mod_name, &[b"ip_nat_", name]);
        linux::helper::write_text(&raw mut (*helper).name, &[name]);
        if expect_class_max >= linux::helper::CLASSES {
            warn::warn_once!();
            return;
        }
        (&raw mut (*helper).expect_policy)
            .cast::<nf_conntrack_expect_policy>()
            .copy_from_nonoverlapping(exp_pol, expect_class_max as usize + 1);
        (*helper).expect_class_max = expect_class_max;
    }
}

/// Registers copies of `n` helpers, or none. Errors: see [`helper::register_copies`]. CONTEXT:
/// sleepable.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_helpers_register(
    helper: *mut nf_conntrack_helper,
    n: c_uint,
    helper_ptr: *mut *mut nf_conntrack_helper,
) -> c_int {
    // SAFETY: By this function's contract.
    errno(unsafe { helper::register_copies(helper, helper_ptr, n as usize) })
}

/// Unregisters `n` helpers, and clears the array. CONTEXT: sleepable.
///
/// # Safety
///
/// As the header says; all of them are registered.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_conntrack_helpers_unregister(
    helper: *mut *mut nf_conntrack_helper,
    n: c_uint,
) {
    // SAFETY: By this function's contract.
    unsafe { helper::unregister_all(helper, n as usize) };
}

/// Lists a module that translates for helpers. CONTEXT: sleepable.
///
/// # Safety
///
/// As the header says.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_nat_helper_register(nat: *mut nf_conntrack_nat_helper) {
    if let Some(nat) = NonNull::new(nat) {
        // SAFETY: By this function's contract.
        unsafe { helper::add_translator(nat) };
    }
}

/// Takes a module off the list. CONTEXT: sleepable.
///
/// # Safety
///
/// As the header says; the caller waits for a grace period before `nat` goes.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_nat_helper_unregister(nat: *mut nf_conntrack_nat_helper) {
    if let Some(nat) = NonNull::new(nat) {
        // SAFETY: By this function's contract.
        unsafe { helper::remove_translator(nat) };
    }
}
