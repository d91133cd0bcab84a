// SPDX-License-Identifier: GPL-2.0

//! Helpers: what other modules register to look into the payload of control connections.
//!
//! A [`Helper`] is memory of whoever registered it, or of this module's copy; it goes a grace
//! period after its last reference ([`HelperRef`]). Its callbacks are text of another module: the
//! one that works on packets is withdrawn before that module goes, the others need a reference to
//! the module, or an entry that the module knows of.
//!
//! [`Help`] is a connection's view: which helper it has, and what it expects.
//!
//! C header: [`include/net/netfilter/nf_conntrack_helper.h`](srctree/include/net/netfilter/nf_conntrack_helper.h)

use core::marker::PhantomData;
use core::mem::align_of;
use core::mem::offset_of;
use core::mem::size_of;
use core::mem::ManuallyDrop;
use core::ptr::addr_of;
use core::ptr::addr_of_mut;
use core::ptr::null_mut;
use core::ptr::NonNull;
use kernel::ffi::c_char;
use kernel::prelude::*;
use kernel::types::Opaque;

use crate::bindings;
use crate::linux::conn::Conn;
use crate::linux::hashtable;
use crate::linux::once::read_once;
use crate::linux::once::write_once;
use crate::linux::rcu;
use crate::linux::rcu::Held;
use crate::linux::skb::Skb;
use crate::linux::verdict::Verdict;
use crate::pure::ctinfo::CtInfo;
use crate::pure::policy::helper::Identity;
use crate::pure::policy::helper::Name;
use crate::pure::policy::helper::NAME_SIZE;

const _: () = {
    assert!(offset_of!(bindings::nf_conntrack_helper, hnode) == 0);
    assert!(bindings::NF_CT_HELPER_NAME_LEN as usize == NAME_SIZE);
};

/// How many classes of expectations a helper may have.
pub(crate) const CLASSES: u32 = bindings::NF_CT_MAX_EXPECT_CLASSES;

/// A helper.
#[repr(transparent)]
pub(crate) struct Helper(Opaque<bindings::nf_conntrack_helper>);

// SAFETY: Shared by all CPUs; the accessors are atomic loads, or read what never changes.
unsafe impl Sync for Helper {}

impl PartialEq for Helper {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

/// What a helper allows one class of its expectations.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    /// How many a connection may have at once.
    pub(crate) most: u32,
    /// How long each lasts; zero if its maker decides.
    pub(crate) seconds: u32,
}

impl Helper {
    /// The helper at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` points to a helper that stays for `'a`: a reference to it is held, or the caller met
    /// it in the read-side section that `'a` is part of.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *const bindings::nf_conntrack_helper) -> &'a Self {
        // SAFETY: By this function's contract; `Helper` is transparent.
        unsafe { &*ptr.cast() }
    }

    /// As C knows it.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut bindings::nf_conntrack_helper {
        self.0.get()
    }

    /// What tells it apart; `None` if its name has no end.
    pub(crate) fn identity(&self) -> Option<Identity> {
        // SAFETY: Valid by the type; constant once the helper can be met.
        let (name, family, proto) = unsafe {
            let raw = self.as_ptr();
            let name = (&raw const (*raw).name).cast::<[u8; NAME_SIZE]>().read();
            (name, (*raw).nfproto, (*raw).l4proto)
        };
        let name = Name::new(until_zero(&name)?)?;
        Some(Identity {
            name,
            family,
            proto,
        })
    }

    /// What it allows a class of its expectations; `None` if it has no such class.
    #[inline]
    pub(crate) fn policy(&self, class: u32) -> Option<Policy> {
        let policy = self.policy_ptr(class)?;
        // SAFETY: Within the helper. User space may change the words of its helpers at any time.
        unsafe {
            Some(Policy {
                most: read_once(&raw const (*policy).max_expected),
                seconds: read_once(&raw const (*policy).timeout),
            })
        }
    }

    #[inline]
    fn policy_ptr(&self, class: u32) -> Option<*mut bindings::nf_conntrack_expect_policy> {
        if class >= CLASSES {
            return None;
        }
        // SAFETY: An array of `CLASSES` policies.
        unsafe {
            let first = &raw mut (*self.as_ptr()).expect_policy;
            Some(
                first
                    .cast::<bindings::nf_conntrack_expect_policy>()
                    .add(class as usize),
            )
        }
    }

    /// Changes how many expectations of a class a connection may have.
    ///
    /// # Safety
    ///
    /// Nobody else knows the helper yet.
    pub(crate) unsafe fn set_limit(&self, class: u32, most: u32) {
        if let Some(policy) = self.policy_ptr(class) {
            // SAFETY: Within the helper, and exclusive by this function's contract.
            unsafe { (*policy).max_expected = most };
        }
    }

    /// The number of the last class that it uses.
    pub(crate) fn last_class(&self) -> u32 {
        // SAFETY: Valid by the type; constant.
        unsafe { (*self.as_ptr()).expect_class_max }
    }

    /// Its name, for printing.
    pub(crate) fn name(&self) -> Text<NAME_SIZE> {
        // SAFETY: Valid by the type; constant once the helper can be met.
        Text(unsafe {
            (&raw const (*self.as_ptr()).name)
                .cast::<[u8; NAME_SIZE]>()
                .read()
        })
    }

    /// The name of a class of its expectations, which may be empty.
    pub(crate) fn class_name(&self, class: u32) -> Text<NAME_SIZE> {
        let Some(policy) = self.policy_ptr(class) else {
            return Text([0; NAME_SIZE]);
        };
        // SAFETY: Within the helper; constant once the helper can be met.
        Text(unsafe { (&raw const (*policy).name).cast::<[u8; NAME_SIZE]>().read() })
    }

    /// The name of the module that translates for it.
    pub(crate) fn nat_name(&self) -> Text<NAME_SIZE> {
        // SAFETY: Valid by the type; constant once the helper can be met.
        Text(unsafe {
            (&raw const (*self.as_ptr()).nat_mod_name)
                .cast::<[u8; NAME_SIZE]>()
                .read()
        })
    }

    /// Whether it lives in user space, which gets the packets queued.
    #[inline]
    pub(crate) fn is_in_user_space(&self) -> bool {
        // SAFETY: Valid by the type.
        let flags = unsafe { read_once(&raw const (*self.as_ptr()).flags) };
        flags & bindings::nf_ct_helper_flags_NF_CT_HELPER_F_USERSPACE != 0
    }

    /// The family that it serves (`NFPROTO_*`), zero meaning all.
    #[inline]
    pub(crate) fn family(&self) -> u8 {
        // SAFETY: Valid by the type; constant.
        unsafe { (*self.as_ptr()).nfproto }
    }

    /// The layer-4 protocol that it serves.
    #[inline]
    pub(crate) fn proto(&self) -> u8 {
        // SAFETY: Valid by the type; constant.
        unsafe { (*self.as_ptr()).l4proto }
    }

    /// Whether both look into packets with the same function.
    pub(crate) fn works_like(&self, other: &Helper) -> bool {
        // SAFETY: Valid by the type; a pointer, which unregistering clears.
        let address = |helper: &Helper| unsafe {
            read_once((&raw const (*helper.as_ptr()).help).cast::<usize>())
        };
        address(self) == address(other)
    }

    /// Lets it look into a packet, whose layer-4 header is at `protoff`; `None` if it has been
    /// unregistered. CONTEXT: no lock held.
    #[inline]
    pub(crate) fn look_into(
        &self,
        skb: &Skb,
        protoff: u32,
        conn: &Conn,
        info: CtInfo,
        _rcu: Held<'_>,
    ) -> Option<Verdict> {
        // SAFETY: Valid by the type. Unregistering clears the pointer and waits for a grace period
        // before the module's text goes. The arguments are what the callback wants.
        unsafe {
            let help = read_once(&raw const (*self.as_ptr()).help)?;
            let verdict = help(skb.as_ptr(), protoff, conn.as_ptr(), info as u32);
            Some(Verdict(u32::from_ne_bytes(verdict.to_ne_bytes())))
        }
    }

    /// Whether it wants to know when its connections end; only the one of PPTP does.
    #[inline]
    pub(crate) fn wants_the_end(&self) -> bool {
        // SAFETY: Valid by the type; constant.
        unsafe { (*self.as_ptr()).destroy.is_some() }
    }

    /// Tells it that its connection ends. CONTEXT: no lock held; it may kill other connections.
    pub(crate) fn end(&self, conn: &Conn, _rcu: Held<'_>) {
        // SAFETY: Valid by the type; the callback is text that stays while the helper does.
        unsafe {
            if let Some(destroy) = (*self.as_ptr()).destroy {
                destroy(conn.as_ptr());
            }
        }
    }

    /// A reference, unless the last one is gone.
    #[inline]
    pub(crate) fn get(&self) -> Option<HelperRef> {
        // SAFETY: Valid by the type.
        if unsafe { bindings::rct_refcount_inc_not_zero(&raw mut (*self.as_ptr()).ct_refcnt) } {
            Some(HelperRef(NonNull::from(self)))
        } else {
            None
        }
    }

    /// Makes the first reference.
    ///
    /// # Safety
    ///
    /// Nobody else knows the helper yet. The reference is the one of its registration: whoever
    /// ends that puts it.
    pub(crate) unsafe fn publish(&self) {
        // SAFETY: By this function's contract.
        unsafe { bindings::rct_refcount_set(&raw mut (*self.as_ptr()).ct_refcnt, 1) };
    }

    /// Holds the module that it is part of, unless that one is going away.
    pub(crate) fn hold_module(&self) -> bool {
        // SAFETY: Valid by the type; a helper that can be met keeps its module's structure.
        unsafe { bindings::try_module_get((*self.as_ptr()).me) }
    }

    /// Gives back what [`Helper::hold_module`] took.
    ///
    /// # Safety
    ///
    /// Once for each.
    pub(crate) unsafe fn release_module(&self) {
        // SAFETY: By this function's contract.
        unsafe { bindings::module_put((*self.as_ptr()).me) };
    }

    /// Withdraws the callback that works on packets. Packets that are being worked on may still be
    /// in it until a grace period has passed.
    pub(crate) fn disable(&self) {
        // SAFETY: Valid by the type; a pointer, stored whole.
        unsafe {
            let help = (&raw mut (*self.as_ptr()).help).cast::<*mut c_void>();
            bindings::rct_rcu_assign_pointer(help, null_mut());
        }
    }
}

/// Text with a zero byte at its end, in a field of fixed size.
#[derive(Clone, Copy)]
pub(crate) struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    /// Without the end; the whole field if it has none.
    pub(crate) fn bytes(&self) -> &[u8] {
        until_zero(&self.0).unwrap_or(&self.0)
    }

    /// As C has it; empty if it has no end.
    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }
}

/// Writes the parts one after the other into a field, cut so that there is an end.
///
/// # Safety
///
/// The field is valid for writes.
pub(crate) unsafe fn write_text<const N: usize>(field: *mut [c_char; N], parts: &[&[u8]]) {
    let mut text = [0; N];
    let bytes = parts.iter().flat_map(|part| part.iter());
    for (to, from) in text.iter_mut().take(N.saturating_sub(1)).zip(bytes) {
        *to = *from;
    }
    // SAFETY: By this function's contract; same size.
    unsafe { field.cast::<[u8; N]>().write(text) };
}

fn until_zero(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    bytes.get(..end)
}

/// A reference to a helper. Dropping the last one frees it, a grace period later.
pub(crate) struct HelperRef(NonNull<Helper>);

// SAFETY: The count is atomic; the last reference may be dropped anywhere.
unsafe impl Send for HelperRef {}

impl HelperRef {
    /// The reference becomes somebody else's.
    pub(crate) fn into_raw(self) -> *mut bindings::nf_conntrack_helper {
        ManuallyDrop::new(self).as_ptr()
    }

    /// Takes a reference over.
    ///
    /// # Safety
    ///
    /// `ptr` points to a helper, and the caller has a reference to it, which it gives away.
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::nf_conntrack_helper>) -> Self {
        HelperRef(ptr.cast())
    }
}

impl core::ops::Deref for HelperRef {
    type Target = Helper;

    #[inline]
    fn deref(&self) -> &Helper {
        // SAFETY: A reference is held.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for HelperRef {
    fn drop(&mut self) {
        let raw = self.as_ptr();
        // SAFETY: The reference is given up; the last one frees memory that came from `kmalloc`,
        // whoever allocated it.
        unsafe {
            if bindings::rct_refcount_dec_and_test(&raw mut (*raw).ct_refcnt) {
                rcu::free_later(&raw mut (*raw).rcu, self.0);
            }
        }
    }
}

/// What a connection has of helpers: its own, and what it expects.
///
/// Valid while the entry gets no further extension.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Help<'a> {
    raw: NonNull<bindings::nf_conn_help>,
    _conn: PhantomData<&'a Conn>,
}

impl Conn {
    /// What it has of helpers.
    #[inline(always)]
    pub(crate) fn help(&self) -> Option<Help<'_>> {
        let raw = self.ext::<bindings::nf_conn_help>()?;
        Some(Help {
            raw,
            _conn: PhantomData,
        })
    }
}

impl<'a> Help<'a> {
    /// As C knows it.
    #[inline]
    pub(crate) fn as_ptr(self) -> *mut bindings::nf_conn_help {
        self.raw.as_ptr()
    }

    #[inline]
    fn slot(self) -> *mut *mut bindings::nf_conntrack_helper {
        // SAFETY: Valid by the type; only an address.
        unsafe { &raw mut (*self.as_ptr()).helper }
    }

    /// The connection's helper.
    #[inline]
    pub(crate) fn helper<'r>(self, rcu: Held<'r>) -> Option<&'r Helper> {
        // SAFETY: Valid by the type. A helper goes a grace period after its last reference, one of
        // which the connection has.
        unsafe { rcu::dereference(self.slot(), rcu).cast::<Helper>().as_ref() }
    }

    /// Whether the connection has a helper.
    #[inline]
    pub(crate) fn has_helper(self) -> bool {
        // SAFETY: Valid by the type.
        !unsafe { read_once(self.slot()) }.is_null()
    }

    /// Gives the connection a helper. It had none.
    pub(crate) fn set_helper(self, helper: HelperRef) {
        // SAFETY: Valid by the type; the slot owns the reference now.
        unsafe { bindings::rct_rcu_assign_pointer(self.slot().cast(), helper.into_raw().cast()) };
    }

    /// Takes the connection's helper away.
    ///
    /// CONTEXT: nobody else does so at the same time: the entry is unconfirmed, or nobody has a
    /// reference to it.
    pub(crate) fn take_helper(self) -> Option<HelperRef> {
        // SAFETY: Valid by the type; what was in the slot owned a reference, which moves out.
        unsafe {
            let helper = NonNull::new(read_once(self.slot()))?;
            self.slot().write_volatile(null_mut());
            Some(HelperRef::from_raw(helper))
        }
    }

    /// The helper's own data of the connection, as the type that the helper lays out there.
    ///
    /// The helper synchronises access to it.
    pub(crate) fn data<T>(self) -> NonNull<T> {
        const {
            assert!(size_of::<T>() <= DATA_SIZE);
            assert!(align_of::<T>() <= 8);
        }
        // SAFETY: Within the area, which is not null.
        unsafe { NonNull::new_unchecked(&raw mut (*self.as_ptr()).data).cast() }
    }

    /// The first pointer of the list of what the connection expects, newest first.
    #[inline]
    pub(crate) fn list(self) -> *mut bindings::hlist_head {
        // SAFETY: Valid by the type; only an address.
        unsafe { &raw mut (*self.as_ptr()).expectations }
    }

    /// The count of what the connection expects in a class; `None` if there is no such class.
    #[inline]
    pub(crate) fn count_ptr(self, class: u32) -> Option<*mut u8> {
        if class >= CLASSES {
            return None;
        }
        // SAFETY: An array of `CLASSES` counts.
        unsafe {
            let first = (&raw mut (*self.as_ptr()).expecting).cast::<u8>();
            Some(first.add(class as usize))
        }
    }
}

/// Bytes of a helper's own data of a connection.
const DATA_SIZE: usize =
    size_of::<bindings::nf_conn_help>() - offset_of!(bindings::nf_conn_help, data);

/// The chains of the table of helpers, which other modules walk as well.
///
/// Changed with the registry's mutex held.
pub(crate) struct HelperTable(());

impl HelperTable {
    /// Makes the table. CONTEXT: sleepable, once, while the module is loaded.
    pub(crate) fn new() -> Result<Self> {
        // Rounded up to a page.
        let mut buckets = 1;
        let heads = hashtable::allocate(&mut buckets, false).ok_or(ENOMEM)?;
        // SAFETY: Nobody uses the variables yet.
        unsafe {
            write_once(addr_of_mut!(bindings::nf_ct_helper_hsize), buckets);
            write_once(
                addr_of_mut!(bindings::nf_ct_helper_hash),
                heads.as_ptr().cast(),
            );
        }
        Ok(HelperTable(()))
    }
}

impl Drop for HelperTable {
    fn drop(&mut self) {
        // SAFETY: Made by `new`; no packet and no other module is left to look into it.
        unsafe {
            let heads = read_once(addr_of!(bindings::nf_ct_helper_hash));
            write_once(addr_of_mut!(bindings::nf_ct_helper_hash), null_mut());
            bindings::kvfree(heads.cast());
        }
    }
}

/// The first pointer of the chain for `hash`; `None` if there is no table.
#[allow(clippy::cast_possible_truncation)]
fn head(hash: u64) -> Option<*mut bindings::hlist_head> {
    // SAFETY: Constant while the table exists. The upper half of the product of two 32-bit numbers
    // is below the second one.
    unsafe {
        let heads = read_once(addr_of!(bindings::nf_ct_helper_hash));
        let buckets = u64::from(read_once(addr_of!(bindings::nf_ct_helper_hsize)));
        let bucket = ((hash & u64::from(u32::MAX)) * buckets) >> 32;
        (!heads.is_null()).then(|| heads.wrapping_add(bucket as usize))
    }
}

/// The helpers of one chain.
pub(crate) struct Chain<'r> {
    next: *mut bindings::hlist_node,
    _stays: PhantomData<Held<'r>>,
}

impl<'r> Iterator for Chain<'r> {
    type Item = &'r Helper;

    fn next(&mut self) -> Option<&'r Helper> {
        if self.next.is_null() {
            return None;
        }
        let node = self.next;
        // SAFETY: A helper begins with its node, asserted above, and stays for `'r`. ORDERING: the
        // address dependency orders later reads.
        unsafe {
            self.next = read_once(&raw const (*node).next);
            Some(Helper::from_raw(node.cast()))
        }
    }
}

/// The helpers of the chain for `hash`.
pub(crate) fn chain<'r>(hash: u64, _rcu: Held<'r>) -> Chain<'r> {
    // SAFETY: Within the table, whose heads are pointers.
    let next = head(hash).map_or(null_mut(), |head| unsafe {
        read_once(&raw const (*head).first)
    });
    Chain {
        next,
        _stays: PhantomData,
    }
}

impl Helper {
    /// Puts it into the chain for `hash`.
    ///
    /// # Safety
    ///
    /// The registry's mutex is held, and it is in no chain.
    pub(crate) unsafe fn link(&self, hash: u64) -> Result {
        let head = head(hash).ok_or(ENOENT)?;
        // SAFETY: By this function's contract; within the table.
        unsafe { bindings::rct_hlist_add_head_rcu(&raw mut (*self.as_ptr()).hnode, head) };
        Ok(())
    }

    /// Takes it out of its chain.
    ///
    /// # Safety
    ///
    /// The registry's mutex is held.
    pub(crate) unsafe fn unlink(&self) {
        // SAFETY: By this function's contract. Readers may still follow the node.
        unsafe { bindings::rct_hlist_del_init_rcu(&raw mut (*self.as_ptr()).hnode) };
    }
}
