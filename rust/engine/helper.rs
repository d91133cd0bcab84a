// SPDX-License-Identifier: GPL-2.0

//! Helpers: their table, who finds them, who gets one, and what is left of one that goes.
//!
//! A helper that goes away is first taken out of the table and disabled; after a grace period no
//! packet is in its callback any more, and what it expected is unlinked. Its memory stays until the
//! last connection that has it is gone.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_helper.c`.

use core::mem::offset_of;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::ffi::c_char;
use kernel::prelude::*;
use kernel::sync::global_lock;
use kernel::sync::rcu;

use crate::bindings;
use crate::engine::expect;
use crate::engine::ext;
use crate::engine::gre_keymap;
use crate::linux;
use crate::linux::conn::Conn;
use crate::linux::expect::ExpectFn;
use crate::linux::gfp::Gfp;
use crate::linux::helper::Help;
use crate::linux::helper::Helper;
use crate::linux::helper::HelperRef;
use crate::linux::helper::HelperTable;
use crate::linux::helper::CLASSES;
use crate::linux::list::Node;
use crate::linux::list::StaticHead;
use crate::linux::rcu::Held;
use crate::linux::siphash::SecretKey;
use crate::linux::skb::Skb;
use crate::linux::verdict::Verdict;
use crate::linux::warn;
use crate::pure::ctinfo::CtInfo;
use crate::pure::policy::expect as policy;
use crate::pure::policy::helper::Identity;
use crate::pure::policy::helper::Name;
use crate::pure::status::Status;

global_lock! {
    // SAFETY: Initialised in `init`, before any helper can be registered.
    unsafe(uninit) static REGISTRY: Mutex<()> = ();
}

global_lock! {
    // SAFETY: As above.
    unsafe(uninit) static TRANSLATORS_LOCK: Mutex<()> = ();
}

/// A module that translates for a helper, `struct nf_conntrack_nat_helper`.
type Translator = bindings::nf_conntrack_nat_helper;

/// A callback of expectations that user space can name, `struct nf_ct_helper_expectfn`.
type Callback = bindings::nf_ct_helper_expectfn;

const _: () = {
    assert!(offset_of!(Translator, list) == 0);
    assert!(offset_of!(Callback, head) == 0);
};

// SAFETY: Asserted above; other modules give us nodes that are in no other list.
unsafe impl Node for Translator {}
// SAFETY: As above.
unsafe impl Node for Callback {}

/// Changed under `TRANSLATORS_LOCK`.
static TRANSLATORS: StaticHead<Translator> = StaticHead::new();

/// Changed under the expectation lock.
static CALLBACKS: StaticHead<Callback> = StaticHead::new();

/// What hides the chains of names from outsiders.
static KEY: SecretKey = SecretKey::new();

/// Sets up the table of helpers. CONTEXT: sleepable, once, while the module is loaded.
pub(crate) fn init() -> Result<HelperTable> {
    // SAFETY: Once, and nobody uses any of this before the module is loaded.
    unsafe {
        REGISTRY.init();
        TRANSLATORS_LOCK.init();
        TRANSLATORS.list().init();
        CALLBACKS.list().init();
        KEY.draw();
    }
    gre_keymap::init();
    HelperTable::new()
}

fn hash(name: &Name, proto: u8) -> u64 {
    let [a, b] = name.words();
    let words = [a, b, u64::from(proto)];
    KEY.get().hash(&words, size_of_val(&words))
}

/// The helper of that name for connections of this kind.
pub(crate) fn find<'r>(name: &CStr, l3: u16, proto: u8, rcu: Held<'r>) -> Option<&'r Helper> {
    let name = Name::new(name.to_bytes())?;
    linux::helper::chain(hash(&name, proto), rcu).find(|helper| {
        helper
            .identity()
            .is_some_and(|id| id.serves(&name, l3, proto))
    })
}

/// A helper whose module is held as well: what a rule has.
pub(crate) struct InUse(HelperRef);

impl InUse {
    fn new(helper: &Helper) -> Option<Self> {
        if !helper.hold_module() {
            return None;
        }
        let reference = helper.get();
        if reference.is_none() {
            // SAFETY: Held above.
            unsafe { helper.release_module() };
        }
        reference.map(InUse)
    }

    /// Both references become somebody else's.
    pub(crate) fn into_raw(self) -> *mut bindings::nf_conntrack_helper {
        ManuallyDrop::new(self).as_ptr()
    }

    /// Takes both references over.
    ///
    /// # Safety
    ///
    /// `ptr` comes from [`InUse::into_raw`], once.
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::nf_conntrack_helper>) -> Self {
        // SAFETY: By this function's contract.
        InUse(unsafe { HelperRef::from_raw(ptr) })
    }
}

impl Deref for InUse {
    type Target = Helper;

    fn deref(&self) -> &Helper {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        // SAFETY: Held by `new`; the memory stays until the field is dropped.
        unsafe { self.0.release_module() };
    }
}

/// The helper of that name for a rule, after its module was loaded if need be.
///
/// CONTEXT: sleepable.
pub(crate) fn get(name: &CStr, l3: u16, proto: u8) -> Option<InUse> {
    let attempt = || {
        let guard = rcu::read_lock();
        find(name, l3, proto, Held::by(&guard)).map(InUse::new)
    };
    match attempt() {
        Some(found) => found,
        None if load(c"nfct-helper-%s", name) => attempt().flatten(),
        None => None,
    }
}

/// Loads a module, by a format for its name with one `%s`.
fn load(format: &'static CStr, name: &CStr) -> bool {
    // SAFETY: The format takes one string, and both have an end.
    unsafe { bindings::__request_module(true, format.as_char_ptr(), name.as_char_ptr()) == 0 }
}

fn find_translator(name: &CStr, rcu: Held<'_>) -> Option<NonNull<Translator>> {
    TRANSLATORS.list().nodes(rcu).find(|translator| {
        // SAFETY: In the list, so it stays for the read-side section; an array with an end.
        let its_name = unsafe {
            CStr::from_char_ptr((&raw const (*translator.as_ptr()).mod_name).cast::<c_char>())
        };
        its_name == name
    })
}

/// Holds the module that translates for the helper of that name, after it was loaded if need be.
///
/// Errors: `ENOENT` if there is no such helper or no such module. CONTEXT: sleepable.
pub(crate) fn hold_translator(name: &CStr, l3: u16, proto: u8) -> Result {
    let module = {
        let guard = rcu::read_lock();
        let helper = find(name, l3, proto, Held::by(&guard)).ok_or(ENOENT)?;
        helper.nat_name()
    };
    let attempt = || {
        let guard = rcu::read_lock();
        find_translator(module.as_c_str(), Held::by(&guard)).map(|translator| {
            // SAFETY: In the list, so its module is there or going away, which the call checks.
            unsafe { bindings::try_module_get((*translator.as_ptr()).module) }
        })
    };
    let held = match attempt() {
        Some(held) => held,
        None => {
            load(c"%s", module.as_c_str());
            attempt().unwrap_or(false)
        }
    };
    if held {
        Ok(())
    } else {
        Err(ENOENT)
    }
}

/// Gives back what [`hold_translator`] took.
///
/// # Safety
///
/// Once for each.
pub(crate) unsafe fn release_translator(helper: &Helper) {
    let guard = rcu::read_lock();
    match find_translator(helper.nat_name().as_c_str(), Held::by(&guard)) {
        // SAFETY: By this function's contract.
        Some(translator) => unsafe { bindings::module_put((*translator.as_ptr()).module) },
        None => warn::warn_once!(),
    }
}

/// Lists a module that translates for helpers. CONTEXT: sleepable.
///
/// # Safety
///
/// `translator` is in no list, and stays until a grace period after it was removed.
pub(crate) unsafe fn add_translator(translator: NonNull<Translator>) {
    let _guard = TRANSLATORS_LOCK.lock();
    // SAFETY: By this function's contract; the lock is held.
    unsafe { TRANSLATORS.list().add(translator) };
}

/// Takes a module off the list. CONTEXT: sleepable.
///
/// # Safety
///
/// It was added before.
pub(crate) unsafe fn remove_translator(translator: NonNull<Translator>) {
    let _guard = TRANSLATORS_LOCK.lock();
    // SAFETY: By this function's contract; the lock is held.
    unsafe { TRANSLATORS.list().remove(translator) };
}

/// Gives the connection a helper extension. `None` if it has one, or there is no memory.
///
/// CONTEXT: the entry is unconfirmed and nobody else's, or a template.
pub(crate) fn ext_add(conn: &Conn, gfp: Gfp) -> Option<Help<'_>> {
    ext::add_as::<bindings::nf_conn_help>(conn, gfp)?;
    conn.add_status(Status::HELPER);
    conn.help()
}

/// Gives a new connection the helper of its template.
///
/// A helper that a rule gave to the connection itself stays. Errors: `ENOMEM`. CONTEXT: any, so `gfp`
/// must not sleep.
pub(crate) fn try_assign(conn: &Conn, template: &Conn, gfp: Gfp) -> Result {
    if conn.has(Status::HELPER) {
        return Ok(());
    }
    let guard = rcu::read_lock();
    let rcu = Held::by(&guard);
    let Some(wanted) = template.help().and_then(|help| help.helper(rcu)) else {
        if let Some(help) = conn.help() {
            drop(help.take_helper());
        }
        return Ok(());
    };
    let help = match conn.help() {
        None => ext_add(conn, gfp).ok_or(ENOMEM)?,
        Some(help) => {
            // The area cannot be given to a helper of another kind.
            if let Some(present) = help.helper(rcu) {
                if !present.works_like(wanted) {
                    drop(help.take_helper());
                }
                return Ok(());
            }
            help
        }
    };
    if let Some(wanted) = wanted.get() {
        help.set_helper(wanted);
    }
    Ok(())
}

/// Whether the connection may have a helper.
#[inline]
pub(crate) fn has_ext(conn: &Conn) -> bool {
    conn.help().is_some()
}

/// Whether the connection has a helper.
#[inline]
pub(crate) fn assigned(conn: &Conn) -> bool {
    conn.help().is_some_and(Help::has_helper)
}

/// Whether the connection's helper lives in user space.
#[inline]
pub(crate) fn is_user_space(conn: &Conn, rcu: Held<'_>) -> bool {
    let helper = conn.help().and_then(|help| help.helper(rcu));
    helper.is_some_and(Helper::is_in_user_space)
}

/// Lets the connection's helper look into a packet, whose layer-4 header is at `protoff`.
///
/// CONTEXT: no lock held.
pub(crate) fn run(skb: &Skb, protoff: u32, conn: &Conn, info: CtInfo, rcu: Held<'_>) -> Verdict {
    conn.help()
        .and_then(|help| help.helper(rcu))
        .and_then(|helper| helper.look_into(skb, protoff, conn, info, rcu))
        .unwrap_or(Verdict::ACCEPT)
}

/// Tells the connection's helper that it ends. CONTEXT: no lock held; the helper may kill others.
pub(crate) fn destroyed(conn: &Conn) {
    if let Some(help) = conn.help() {
        let guard = rcu::read_lock();
        let rcu = Held::by(&guard);
        if let Some(helper) = help.helper(rcu) {
            helper.end(conn, rcu);
        }
    }
}

/// Puts the connection's reference to its helper. CONTEXT: nobody has a reference to the entry.
pub(crate) fn put(conn: &Conn) {
    if let Some(help) = conn.help() {
        drop(help.take_helper());
    }
}

/// Registers a helper as it is.
///
/// Errors: `EINVAL` for limits, classes or names out of range; `ENOENT` before the table is made;
/// `EBUSY` if there is one for the same. CONTEXT: sleepable.
///
/// # Safety
///
/// Nobody else knows the helper. It stays until its last reference is gone, and is then freed with
/// `kfree_rcu()`.
pub(crate) unsafe fn register(new: &Helper) -> Result {
    let last = new.last_class();
    let identity = match new.identity() {
        Some(identity) if last < CLASSES => identity,
        _ => {
            warn::warn_once!();
            return Err(EINVAL);
        }
    };
    for class in 0..=last {
        let wanted = new.policy(class).ok_or(EINVAL)?.most;
        let limit = policy::limit(wanted).ok_or(EINVAL)?;
        // SAFETY: By this function's contract.
        unsafe { new.set_limit(class, limit) };
    }
    let hash = hash(&identity.name, identity.proto);
    let _registry = REGISTRY.lock();
    if is_taken(&identity, hash) {
        return Err(EBUSY);
    }
    // SAFETY: By this function's contract; the registry is locked.
    unsafe {
        new.publish();
        new.link(hash)
    }
}

fn is_taken(new: &Identity, hash: u64) -> bool {
    let guard = rcu::read_lock();
    linux::helper::chain(hash, Held::by(&guard)).any(|present| {
        present
            .identity()
            .is_some_and(|present| present.excludes(new))
    })
}

/// Registers a copy of `template`, whose address `slot` gets before anybody can meet it.
///
/// Errors: `ENOMEM`, and those of [`register`], after which `slot` is null. CONTEXT: sleepable.
///
/// # Safety
///
/// Both point to what they say, for the call.
pub(crate) unsafe fn register_copy(
    template: *const bindings::nf_conntrack_helper,
    slot: *mut *mut bindings::nf_conntrack_helper,
) -> Result {
    // SAFETY: By this function's contract; the copy is nobody else's until it is registered.
    unsafe {
        let size = size_of::<bindings::nf_conntrack_helper>();
        let copy = bindings::rct_kzalloc(size, bindings::GFP_KERNEL_ACCOUNT)
            .cast::<bindings::nf_conntrack_helper>();
        if copy.is_null() {
            return Err(ENOMEM);
        }
        copy.copy_from_nonoverlapping(template, 1);
        slot.write(copy);
        let result = register(Helper::from_raw(copy));
        if result.is_err() {
            slot.write(core::ptr::null_mut());
            bindings::kfree(copy.cast());
        }
        result
    }
}

/// Registers copies of all `templates`, or none.
///
/// # Safety
///
/// `templates` and `slots` are arrays of `n`, for the call.
pub(crate) unsafe fn register_copies(
    templates: *const bindings::nf_conntrack_helper,
    slots: *mut *mut bindings::nf_conntrack_helper,
    n: usize,
) -> Result {
    for at in 0..n {
        // SAFETY: By this function's contract.
        unsafe {
            if let Err(error) = register_copy(templates.add(at), slots.add(at)) {
                unregister_all(slots, at);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Unregisters a helper: no packet is in its callback afterwards, nothing that it expected is left,
/// and the reference of the registration is gone. CONTEXT: sleepable, for a grace period.
///
/// # Safety
///
/// It is registered.
pub(crate) unsafe fn unregister(helper: &Helper) {
    {
        let _registry = REGISTRY.lock();
        // SAFETY: By this function's contract; the registry is locked.
        unsafe { helper.unlink() };
    }
    helper.disable();
    rcu::synchronize_rcu();
    // SAFETY: The reference of the registration, which is over.
    unsafe { release(NonNull::from(helper).cast()) };
}

/// Unregisters the helpers in an array, last one first, and clears it.
///
/// # Safety
///
/// `slots` is an array of `n` registered helpers.
pub(crate) unsafe fn unregister_all(slots: *mut *mut bindings::nf_conntrack_helper, n: usize) {
    for at in (0..n).rev() {
        // SAFETY: By this function's contract.
        unsafe {
            let slot = slots.add(at);
            unregister(Helper::from_raw(slot.read()));
            slot.write(core::ptr::null_mut());
        }
    }
}

/// Ends what a helper expects, or what shall be given to it, and puts a reference to it.
///
/// # Safety
///
/// The caller gives that reference up.
pub(crate) unsafe fn release(helper: NonNull<bindings::nf_conntrack_helper>) {
    // SAFETY: By this function's contract.
    let helper = unsafe { HelperRef::from_raw(helper) };
    expect::iterate(None, 0, false, |exp| exp.names(&helper));
}

/// Lists a callback that user space can name.
///
/// # Safety
///
/// `callback` is in no list, and stays until a grace period after it was removed.
pub(crate) unsafe fn add_callback(callback: NonNull<Callback>) {
    let _guard = linux::expect::lock();
    // SAFETY: By this function's contract; the lock is held.
    unsafe { CALLBACKS.list().add(callback) };
}

/// Takes a callback off the list.
///
/// # Safety
///
/// It was added before.
pub(crate) unsafe fn remove_callback(callback: NonNull<Callback>) {
    let _guard = linux::expect::lock();
    // SAFETY: By this function's contract; the lock is held.
    unsafe { CALLBACKS.list().remove(callback) };
}

/// Ends the expectations that would call `callback`, whose text is about to go.
pub(crate) fn end_callback(callback: Option<ExpectFn>) {
    expect::iterate(None, 0, false, |exp| {
        address(exp.callback()) == address(callback)
    });
}

/// The callback of that name.
pub(crate) fn callback_by_name(name: &CStr, rcu: Held<'_>) -> Option<NonNull<Callback>> {
    CALLBACKS.list().nodes(rcu).find(|callback| {
        // SAFETY: In the list, so it and its name stay for the read-side section.
        unsafe { CStr::from_char_ptr((*callback.as_ptr()).name) == name }
    })
}

/// The callback with that function.
pub(crate) fn callback_by_address(wanted: usize, rcu: Held<'_>) -> Option<NonNull<Callback>> {
    CALLBACKS.list().nodes(rcu).find(|callback| {
        // SAFETY: In the list, so it stays for the read-side section.
        address(unsafe { (*callback.as_ptr()).expectfn }) == wanted
    })
}

fn address(function: Option<ExpectFn>) -> usize {
    function.map_or(0, |function| function as usize)
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(nf_conntrack_helper)]
mod tests {
    use core::mem::size_of;

    use super::*;
    use crate::linux::fake::expect::helper as new_helper;
    use crate::linux::fake::expect::Home;
    use crate::linux::once::read_once;
    use crate::pure::status::Bit;

    const TCP: u8 = 6;
    const V4: u16 = 2;
    const V6: u16 = 10;

    type Slot = *mut bindings::nf_conntrack_helper;

    /// A template for `family`, to be copied.
    fn template(name: &[u8], family: u8, most: u32) -> Option<HelperRef> {
        let helper = new_helper(name, most, 1)?;
        // SAFETY: The test's own.
        unsafe {
            (*helper.as_ptr()).nfproto = family;
            (*helper.as_ptr()).l4proto = TCP;
        }
        Some(helper)
    }

    fn register_one(template: &Helper, slot: &mut Slot) -> Result {
        // SAFETY: Both are the test's own.
        unsafe { register_copy(template.as_ptr(), slot) }
    }

    fn is_found(name: &CStr, l3: u16) -> bool {
        let guard = rcu::read_lock();
        find(name, l3, TCP, Held::by(&guard)).is_some()
    }

    fn references(helper: &Helper) -> i32 {
        // SAFETY: A word that is read whole.
        unsafe { read_once(&raw const (*helper.as_ptr()).ct_refcnt.refs.counter) }
    }

    #[test]
    fn copies_are_found_by_name_and_kind() -> Result {
        let helper = template(b"kunit-1", 2, 0).ok_or(ENOMEM)?;
        let mut slot: Slot = core::ptr::null_mut();
        register_one(&helper, &mut slot)?;
        let same = slot == helper.as_ptr();
        // SAFETY: Registered.
        let copy = unsafe { Helper::from_raw(slot) };
        let most = copy.policy(0).map(|policy| policy.most);
        let found = [
            is_found(c"kunit-1", V4),
            is_found(c"kunit-1", V6),
            is_found(c"kunit-2", V4),
        ];
        let mut second: Slot = core::ptr::null_mut();
        let again = register_one(&helper, &mut second);
        // SAFETY: Registered.
        unsafe { unregister(copy) };
        assert!(!same);
        assert_eq!(most, Some(255));
        assert_eq!(found, [true, false, false]);
        assert_eq!(again, Err(EBUSY));
        assert!(second.is_null());
        assert!(!is_found(c"kunit-1", V4));
        Ok(())
    }

    #[test]
    fn limits_are_checked() -> Result {
        let helper = template(b"kunit-3", 2, 256).ok_or(ENOMEM)?;
        let mut slot: Slot = core::ptr::null_mut();
        let result = register_one(&helper, &mut slot);
        assert_eq!(result, Err(EINVAL));
        assert!(slot.is_null());
        assert!(!is_found(c"kunit-3", V4));
        Ok(())
    }

    #[test]
    fn arrays_come_together_or_not_at_all() -> Result {
        let (v4, v6) = (
            template(b"kunit-4", 2, 1).ok_or(ENOMEM)?,
            template(b"kunit-4", 10, 1).ok_or(ENOMEM)?,
        );
        let size = size_of::<bindings::nf_conntrack_helper>();
        // SAFETY: Room for three, freed below.
        let all = unsafe { bindings::rct_kzalloc(3 * size, Gfp::KERNEL.0) };
        let all = all.cast::<bindings::nf_conntrack_helper>();
        if all.is_null() {
            return Err(ENOMEM);
        }
        let mut slots: [Slot; 3] = [core::ptr::null_mut(); 3];
        // SAFETY: Arrays of three, of which two and three are used. The third one is the first
        // once more.
        let (good, bad) = unsafe {
            all.copy_from_nonoverlapping(v4.as_ptr(), 1);
            all.add(1).copy_from_nonoverlapping(v6.as_ptr(), 1);
            all.add(2).copy_from_nonoverlapping(v4.as_ptr(), 1);
            let good = register_copies(all, slots.as_mut_ptr(), 2);
            let found = [is_found(c"kunit-4", V4), is_found(c"kunit-4", V6)];
            if good.is_ok() {
                unregister_all(slots.as_mut_ptr(), 2);
            }
            (
                good.map(|()| found),
                register_copies(all, slots.as_mut_ptr(), 3),
            )
        };
        // SAFETY: Ours.
        unsafe { bindings::kfree(all.cast()) };
        assert_eq!(good, Ok([true, true]));
        assert_eq!(bad, Err(EBUSY));
        assert_eq!(slots.map(|slot| slot.is_null()), [true; 3]);
        assert!(!is_found(c"kunit-4", V4) && !is_found(c"kunit-4", V6));
        Ok(())
    }

    #[test]
    fn who_gets_the_helper_of_a_template() -> Result {
        let home = Home::new()?;
        let (template, bare) = (home.master().ok_or(ENOMEM)?, home.conn().ok_or(ENOMEM)?);
        let helper = new_helper(b"test", 1, 1).ok_or(ENOMEM)?;
        let new = || home.conn().ok_or(ENOMEM);
        // The template has none.
        let conn = new()?;
        assert_eq!(try_assign(&conn, &bare, Gfp::ATOMIC), Ok(()));
        assert_eq!(try_assign(&conn, &template, Gfp::ATOMIC), Ok(()));
        assert_eq!((has_ext(&conn), assigned(&conn)), (false, false));
        // It has one.
        template
            .help()
            .ok_or(EINVAL)?
            .set_helper(helper.get().ok_or(EINVAL)?);
        assert_eq!(references(&helper), 2);
        assert_eq!(try_assign(&conn, &template, Gfp::ATOMIC), Ok(()));
        assert_eq!(
            (has_ext(&conn), assigned(&conn), references(&helper)),
            (true, true, 3)
        );
        assert!(conn.has(Status::HELPER));
        // A rule gave the connection none, on purpose.
        let decided = home.master().ok_or(ENOMEM)?;
        assert_eq!(try_assign(&decided, &template, Gfp::ATOMIC), Ok(()));
        assert_eq!((assigned(&decided), references(&helper)), (false, 3));
        // It stays where the area is used already, and goes if the template's is of another kind.
        conn.clear_bit(Bit::Helper);
        assert_eq!(try_assign(&conn, &template, Gfp::ATOMIC), Ok(()));
        assert_eq!((assigned(&conn), references(&helper)), (true, 3));
        // SAFETY: The test's own; nobody calls it.
        unsafe { (*helper.as_ptr()).help = Some(look) };
        let other = new_helper(b"other", 1, 1).ok_or(ENOMEM)?;
        put(&template);
        template.help().ok_or(EINVAL)?.set_helper(other);
        assert_eq!(try_assign(&conn, &template, Gfp::ATOMIC), Ok(()));
        assert_eq!((assigned(&conn), references(&helper)), (false, 1));
        put(&template);
        assert_eq!((assigned(&conn), references(&helper)), (false, 1));
        Ok(())
    }

    /// # Safety
    ///
    /// None.
    unsafe extern "C" fn look(
        _: *mut bindings::sk_buff,
        _: kernel::ffi::c_uint,
        _: *mut bindings::nf_conn,
        _: bindings::ip_conntrack_info,
    ) -> kernel::ffi::c_int {
        0
    }

    /// # Safety
    ///
    /// None.
    unsafe extern "C" fn callback(
        _: *mut bindings::nf_conn,
        _: *mut bindings::nf_conntrack_expect,
    ) {
    }

    #[test]
    fn callbacks_have_names() {
        let mut entry = Callback {
            name: c"kunit-callback".as_char_ptr(),
            expectfn: Some(callback),
            ..Default::default()
        };
        let node = NonNull::from(&mut entry);
        // SAFETY: In no other list, and taken out before it goes.
        unsafe { add_callback(node) };
        let (by_name, by_address, unknown) = {
            let guard = rcu::read_lock();
            let rcu = Held::by(&guard);
            (
                callback_by_name(c"kunit-callback", rcu),
                callback_by_address(callback as usize, rcu),
                callback_by_name(c"kunit-other", rcu),
            )
        };
        // SAFETY: Added above; nobody looks at it after the grace period.
        unsafe { remove_callback(node) };
        rcu::synchronize_rcu();
        assert!(by_name == Some(node) && by_address == Some(node) && unknown.is_none());
    }
}
