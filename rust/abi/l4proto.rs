// SPDX-License-Identifier: GPL-2.0

//! `net/netfilter/nf_conntrack_l4proto.h`: what other modules know of the trackers.
//!
//! A table per protocol: how ctnetlink writes and reads its tuples and state, how cttimeout and
//! nft write and read its timeouts, what `/proc` shows. Callers check attributes against the
//! policies beforehand, and pass tables as large as these say.

use core::ptr::addr_of;
use kernel::ffi::c_int;
use kernel::ffi::c_uint;
use kernel::ffi::c_void;
use kernel::prelude::*;

use crate::abi::as_in_header;
use crate::bindings;
use crate::bindings::net;
use crate::bindings::nf_conn;
use crate::bindings::nf_conntrack_l4proto;
use crate::bindings::nf_conntrack_tuple;
use crate::bindings::nlattr;
use crate::bindings::seq_file;
use crate::bindings::sk_buff;
use crate::ctl::procfs;
use crate::engine::l4;
use crate::linux::conn::Conn;
use crate::linux::limits::Limits;
use crate::linux::limits::Row;
use crate::linux::net::Net;
use crate::linux::netlink::size_of_attrs;
use crate::linux::netlink::Attrs;
use crate::linux::netlink::Message;
use crate::linux::netlink::NoRoom;
use crate::linux::pernet;
use crate::linux::procfs::Writer;
use crate::linux::time::HZ;
use crate::linux::timeout;
use crate::linux::timeout::Extras;
use crate::pure::l4::tcp;
use crate::pure::policy::adaptive::Span;
use crate::pure::policy::soft;
use crate::pure::policy::timeout::Seconds;
use crate::pure::tuple::proto;
use crate::pure::tuple::Tuple;
use crate::pure::wire::icmp;
use crate::pure::wire::sctp::Tag;

as_in_header! {
    nf_ct_l4proto_find, nf_ct_port_nlattr_to_tuple, nf_ct_port_nlattr_tuple_size,
    nf_ct_port_tuple_to_nlattr,
}

/// The table of a protocol; the generic one, whose number is 255, for those without a tracker.
///
/// # Safety
///
/// None.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_l4proto_find(l4proto: u8) -> *const nf_conntrack_l4proto {
    let table = match l4proto {
        proto::UDP => &UDP,
        proto::TCP => &TCP,
        proto::ICMP => &ICMP,
        proto::SCTP => &SCTP,
        proto::GRE => &GRE,
        proto::ICMPV6 => &ICMPV6,
        _ => &GENERIC,
    };
    &table.0
}

/// A protocol's table. Other modules keep pointers to it, and compare them.
#[repr(transparent)]
struct Table(nf_conntrack_l4proto);

// SAFETY: Constant.
unsafe impl Sync for Table {}

/// Bytes of a timeout of a policy.
const WORD: usize = size_of::<u32>();

/// What all tables have: no state of their own, tuples without protocol attributes.
const fn table<T: Timeouts>(number: u8) -> nf_conntrack_l4proto {
    nf_conntrack_l4proto {
        l4proto: number,
        allow_clash: l4::allows_clash(number),
        nlattr_size: 0,
        can_early_drop: None,
        to_nlattr: None,
        from_nlattr: None,
        tuple_to_nlattr: None,
        nlattr_tuple_size: None,
        nlattr_to_tuple: None,
        nla_policy: core::ptr::null(),
        ctnl_timeout: bindings::nf_conntrack_l4proto__bindgen_ty_1 {
            nlattr_to_obj: Some(timeouts_from_nlattr::<T>),
            obj_to_nlattr: Some(timeouts_to_nlattr::<T>),
            obj_size: (timeout::words(T::COUNT) * WORD) as u16,
            nlattr_max: bindings::RCT_TIMEOUT_MAX as u16,
            nla_policy: T::POLICY,
        },
        print_conntrack: None,
    }
}

/// As [`table`], with ports in its tuples.
const fn with_ports<T: Timeouts>(number: u8) -> nf_conntrack_l4proto {
    nf_conntrack_l4proto {
        tuple_to_nlattr: Some(nf_ct_port_tuple_to_nlattr),
        nlattr_tuple_size: Some(nf_ct_port_nlattr_tuple_size),
        nlattr_to_tuple: Some(nf_ct_port_nlattr_to_tuple),
        nla_policy: (&raw const bindings::nf_ct_port_nla_policy).cast(),
        ..table::<T>(number)
    }
}

static TCP: Table = Table(nf_conntrack_l4proto {
    nlattr_size: size_of_attrs(&[1, 1, 2, 2]),
    can_early_drop: Some(can_early_drop),
    to_nlattr: Some(tcp_to_nlattr),
    from_nlattr: Some(tcp_from_nlattr),
    print_conntrack: Some(print),
    ..with_ports::<TcpTimeouts>(proto::TCP)
});

static UDP: Table = Table(with_ports::<UdpTimeouts>(proto::UDP));

static SCTP: Table = Table(nf_conntrack_l4proto {
    nlattr_size: size_of_attrs(&[1, 4, 4]),
    can_early_drop: Some(can_early_drop),
    to_nlattr: Some(sctp_to_nlattr),
    from_nlattr: Some(sctp_from_nlattr),
    print_conntrack: Some(print),
    ..with_ports::<SctpTimeouts>(proto::SCTP)
});

static GRE: Table = Table(nf_conntrack_l4proto {
    print_conntrack: Some(print),
    ..with_ports::<GreTimeouts>(proto::GRE)
});

static ICMP: Table = Table(nf_conntrack_l4proto {
    tuple_to_nlattr: Some(icmp_tuple_to_nlattr::<Icmp>),
    nlattr_tuple_size: Some(icmp_nlattr_tuple_size::<Icmp>),
    nlattr_to_tuple: Some(icmp_nlattr_to_tuple::<Icmp>),
    nla_policy: (&raw const bindings::rct_icmp_policy).cast(),
    ..table::<IcmpTimeouts>(proto::ICMP)
});

static ICMPV6: Table = Table(nf_conntrack_l4proto {
    tuple_to_nlattr: Some(icmp_tuple_to_nlattr::<Icmpv6>),
    nlattr_tuple_size: Some(icmp_nlattr_tuple_size::<Icmpv6>),
    nlattr_to_tuple: Some(icmp_nlattr_to_tuple::<Icmpv6>),
    nla_policy: (&raw const bindings::rct_icmpv6_policy).cast(),
    ..table::<Icmpv6Timeouts>(proto::ICMPV6)
});

static GENERIC: Table = Table(table::<GenericTimeouts>(255));

/// Whether the worker may evict an assured entry.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn can_early_drop(ct: *const nf_conn) -> bool {
    // SAFETY: The caller has a reference.
    l4::is_closing(unsafe { Conn::from_raw(ct) })
}

/// Shows the state of an entry in `/proc`.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn print(s: *mut seq_file, ct: *mut nf_conn) {
    // SAFETY: The caller is showing the entry, to which it has a reference.
    unsafe {
        if let Some(s) = core::ptr::NonNull::new(s) {
            // A file that is full is read again with a larger buffer.
            let _ = procfs::tracker_text(&mut Writer::from_raw(s), Conn::from_raw(ct));
        }
    }
}

// Ports ------------------------------------------------------------------------------------------

/// Whether the caller wants this attribute. A filter's bits are in ctnetlink's own order:
/// addresses, zone and protocol first, and an ICMP id after its type and code.
fn wants(flags: u32, attr: u32) -> bool {
    let bit = match attr {
        bindings::ctattr_l4proto_CTA_PROTO_SRC_PORT => 1 << 4,
        bindings::ctattr_l4proto_CTA_PROTO_DST_PORT => 1 << 5,
        bindings::ctattr_l4proto_CTA_PROTO_ICMP_TYPE => 1 << 6,
        bindings::ctattr_l4proto_CTA_PROTO_ICMP_CODE => 1 << 7,
        bindings::ctattr_l4proto_CTA_PROTO_ICMP_ID => 1 << 8,
        bindings::ctattr_l4proto_CTA_PROTO_ICMPV6_TYPE => 1 << 9,
        bindings::ctattr_l4proto_CTA_PROTO_ICMPV6_CODE => 1 << 10,
        bindings::ctattr_l4proto_CTA_PROTO_ICMPV6_ID => 1 << 11,
        _ => 0,
    };
    flags & bit != 0
}

/// # Safety
///
/// `tuple` is valid for the result's life, and nobody else uses it meanwhile.
unsafe fn tuple_mut<'a>(tuple: *mut nf_conntrack_tuple) -> &'a mut Tuple {
    // SAFETY: By this function's contract; same layout.
    unsafe { &mut *tuple.cast() }
}

/// # Safety
///
/// `tuple` points to a tuple for the call.
unsafe fn read_tuple(tuple: *const nf_conntrack_tuple) -> Tuple {
    // SAFETY: By this function's contract; same layout.
    unsafe { tuple.cast::<Tuple>().read() }
}

/// What functions return that add attributes of tuples and states.
fn sent(result: Result<(), NoRoom>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(NoRoom) => -1,
    }
}

/// What functions return that read attributes.
fn got(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// Adds a tuple's ports. Errors: -1 without room.
///
/// # Safety
///
/// The caller writes the message `skb`; `tuple` is valid for the call.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_port_tuple_to_nlattr(
    skb: *mut sk_buff,
    tuple: *const nf_conntrack_tuple,
) -> c_int {
    // SAFETY: By this function's contract.
    let (message, tuple) = unsafe { (Message::from_raw(skb), read_tuple(tuple)) };
    let put = || {
        message.put(
            bindings::ctattr_l4proto_CTA_PROTO_SRC_PORT,
            tuple.src.id.to_ne_bytes(),
        )?;
        message.put(
            bindings::ctattr_l4proto_CTA_PROTO_DST_PORT,
            tuple.dst.id.to_ne_bytes(),
        )
    };
    sent(put())
}

/// Reads a tuple's ports. Errors: `EINVAL` without one that is wanted.
///
/// # Safety
///
/// `tb` was parsed with `nf_ct_port_nla_policy`; `t` is valid for the call.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_port_nlattr_to_tuple(
    tb: *mut *mut nlattr,
    t: *mut nf_conntrack_tuple,
    flags: u32,
) -> c_int {
    // SAFETY: By this function's contract.
    let (attrs, tuple) = unsafe {
        (
            Attrs::from_raw(tb.cast_const().cast(), bindings::CTA_PROTO_MAX_NUMBER),
            tuple_mut(t),
        )
    };
    let mut read = || -> Result {
        let (src, dst) = (
            bindings::ctattr_l4proto_CTA_PROTO_SRC_PORT,
            bindings::ctattr_l4proto_CTA_PROTO_DST_PORT,
        );
        if wants(flags, src) {
            tuple.src.id = attrs.raw_be16(src).ok_or(EINVAL)?;
        }
        if wants(flags, dst) {
            tuple.dst.id = attrs.raw_be16(dst).ok_or(EINVAL)?;
        }
        Ok(())
    };
    got(read())
}

/// Bytes that a tuple's ports take in a message.
///
/// # Safety
///
/// None.
#[no_mangle]
pub(crate) unsafe extern "C" fn nf_ct_port_nlattr_tuple_size() -> c_uint {
    c_uint::from(const { size_of_attrs(&[2, 2]) })
}

// ICMP -------------------------------------------------------------------------------------------

/// The attributes of a tuple, and the types that have an answer.
trait Kind {
    const ID: u32;
    const TYPE: u32;
    const CODE: u32;
    fn is_known(kind: u8) -> bool;
}

enum Icmp {}

impl Kind for Icmp {
    const ID: u32 = bindings::ctattr_l4proto_CTA_PROTO_ICMP_ID;
    const TYPE: u32 = bindings::ctattr_l4proto_CTA_PROTO_ICMP_TYPE;
    const CODE: u32 = bindings::ctattr_l4proto_CTA_PROTO_ICMP_CODE;
    fn is_known(kind: u8) -> bool {
        icmp::v4::counterpart(kind).is_some()
    }
}

enum Icmpv6 {}

impl Kind for Icmpv6 {
    const ID: u32 = bindings::ctattr_l4proto_CTA_PROTO_ICMPV6_ID;
    const TYPE: u32 = bindings::ctattr_l4proto_CTA_PROTO_ICMPV6_TYPE;
    const CODE: u32 = bindings::ctattr_l4proto_CTA_PROTO_ICMPV6_CODE;
    fn is_known(kind: u8) -> bool {
        icmp::v6::counterpart(kind).is_some()
    }
}

/// Adds a tuple's identifier, type and code.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn icmp_tuple_to_nlattr<K: Kind>(
    skb: *mut sk_buff,
    tuple: *const nf_conntrack_tuple,
) -> c_int {
    // SAFETY: ctnetlink writes the message, and the tuple is valid.
    let (message, tuple) = unsafe { (Message::from_raw(skb), read_tuple(tuple)) };
    let (kind, code) = tuple.icmp_type_code();
    let put = || {
        message.put(K::ID, tuple.src.id.to_ne_bytes())?;
        message.put(K::TYPE, [kind])?;
        message.put(K::CODE, [code])
    };
    sent(put())
}

/// Reads a tuple's identifier, type and code. Errors: `EINVAL` without one that is wanted, and for a
/// type without an answer.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn icmp_nlattr_to_tuple<K: Kind>(
    tb: *mut *mut nlattr,
    t: *mut nf_conntrack_tuple,
    flags: u32,
) -> c_int {
    // SAFETY: ctnetlink parsed the attributes with this protocol's policy; the tuple is its own.
    let (attrs, tuple) = unsafe {
        (
            Attrs::from_raw(tb.cast_const().cast(), bindings::CTA_PROTO_MAX_NUMBER),
            tuple_mut(t),
        )
    };
    let mut read = || -> Result {
        let (mut kind, mut code) = tuple.icmp_type_code();
        if wants(flags, K::TYPE) {
            kind = attrs.u8(K::TYPE).ok_or(EINVAL)?;
            tuple.dst.id = u16::from_ne_bytes([kind, code]);
            if !K::is_known(kind) {
                return Err(EINVAL);
            }
        }
        if wants(flags, K::CODE) {
            code = attrs.u8(K::CODE).ok_or(EINVAL)?;
            tuple.dst.id = u16::from_ne_bytes([kind, code]);
        }
        if wants(flags, K::ID) {
            tuple.src.id = attrs.raw_be16(K::ID).ok_or(EINVAL)?;
        }
        Ok(())
    };
    got(read())
}

/// Bytes that a tuple's attributes take in a message.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn icmp_nlattr_tuple_size<K: Kind>() -> c_uint {
    c_uint::from(const { size_of_attrs(&[1, 1, 2]) })
}

// States -----------------------------------------------------------------------------------------

/// Adds the state of a TCP connection. On its end nobody wants more than the last state.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn tcp_to_nlattr(
    skb: *mut sk_buff,
    _nla: *mut nlattr,
    ct: *mut nf_conn,
    destroy: bool,
) -> c_int {
    // SAFETY: ctnetlink writes the message, and has a reference to the entry.
    let (message, conn) = unsafe { (Message::from_raw(skb), Conn::from_raw(ct)) };
    let now = {
        let _locked = conn.lock().lock_bh();
        conn.load_tcp()
    };
    let [original, reply] = now.seen;
    sent(
        message.nest(bindings::ctattr_protoinfo_CTA_PROTOINFO_TCP, |nest| {
            nest.put(
                bindings::ctattr_protoinfo_tcp_CTA_PROTOINFO_TCP_STATE,
                [now.state],
            )?;
            if destroy {
                return Ok(());
            }
            let scale = bindings::ctattr_protoinfo_tcp_CTA_PROTOINFO_TCP_WSCALE_ORIGINAL;
            nest.put(scale, [original.scale])?;
            let scale = bindings::ctattr_protoinfo_tcp_CTA_PROTOINFO_TCP_WSCALE_REPLY;
            nest.put(scale, [reply.scale])?;
            // Flags and an empty mask.
            let flags = bindings::ctattr_protoinfo_tcp_CTA_PROTOINFO_TCP_FLAGS_ORIGINAL;
            nest.put(flags, [original.flags, 0])?;
            let flags = bindings::ctattr_protoinfo_tcp_CTA_PROTOINFO_TCP_FLAGS_REPLY;
            nest.put(flags, [reply.flags, 0])
        }),
    )
}

/// Sets the state of a TCP connection, as far as it is given.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn tcp_from_nlattr(cda: *mut *mut nlattr, ct: *mut nf_conn) -> c_int {
    // SAFETY: ctnetlink parsed `CTA_PROTOINFO_*`, and has a reference to the entry.
    let (attrs, conn) = unsafe {
        (
            Attrs::from_raw(cda.cast_const().cast(), bindings::CTA_PROTOINFO_MAX_NUMBER),
            Conn::from_raw(ct),
        )
    };
    let read = || -> Result {
        // SAFETY: Constant.
        let policy = unsafe { &*addr_of!(bindings::rct_tcp_policy) };
        let nested = attrs.nested(bindings::ctattr_protoinfo_CTA_PROTOINFO_TCP, policy)?;
        let Some(nested) = nested else {
            return Ok(());
        };
        let tcp = nested.attrs();
        let flags = |attr| tcp.pair(attr).map(|[flags, mask]| (flags, mask));
        let edit = tcp::Edit {
            state: tcp.u8(bindings::ctattr_protoinfo_tcp_CTA_PROTOINFO_TCP_STATE),
            flags: [
                flags(bindings::ctattr_protoinfo_tcp_CTA_PROTOINFO_TCP_FLAGS_ORIGINAL),
                flags(bindings::ctattr_protoinfo_tcp_CTA_PROTOINFO_TCP_FLAGS_REPLY),
            ],
            scale: [
                tcp.u8(bindings::ctattr_protoinfo_tcp_CTA_PROTOINFO_TCP_WSCALE_ORIGINAL),
                tcp.u8(bindings::ctattr_protoinfo_tcp_CTA_PROTOINFO_TCP_WSCALE_REPLY),
            ],
        };
        let _locked = conn.lock().lock_bh();
        let before = conn.load_tcp();
        let mut after = before;
        after.edit(&edit);
        conn.store_tcp(&before, &after);
        Ok(())
    };
    got(read())
}

/// Adds the state of an SCTP association.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn sctp_to_nlattr(
    skb: *mut sk_buff,
    _nla: *mut nlattr,
    ct: *mut nf_conn,
    destroy: bool,
) -> c_int {
    // SAFETY: ctnetlink writes the message, and has a reference to the entry.
    let (message, conn) = unsafe { (Message::from_raw(skb), Conn::from_raw(ct)) };
    let now = {
        let _locked = conn.lock().lock_bh();
        conn.load_sctp()
    };
    let [original, reply] = now.tag;
    let [state, ..] = now.state.to_le_bytes();
    sent(
        message.nest(bindings::ctattr_protoinfo_CTA_PROTOINFO_SCTP, |nest| {
            nest.put(
                bindings::ctattr_protoinfo_sctp_CTA_PROTOINFO_SCTP_STATE,
                [state],
            )?;
            if destroy {
                return Ok(());
            }
            let tag = bindings::ctattr_protoinfo_sctp_CTA_PROTOINFO_SCTP_VTAG_ORIGINAL;
            nest.put(tag, original.0.to_ne_bytes())?;
            let tag = bindings::ctattr_protoinfo_sctp_CTA_PROTOINFO_SCTP_VTAG_REPLY;
            nest.put(tag, reply.0.to_ne_bytes())
        }),
    )
}

/// Sets the state of an SCTP association, which has to be complete. Errors: `EINVAL`.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn sctp_from_nlattr(cda: *mut *mut nlattr, ct: *mut nf_conn) -> c_int {
    // SAFETY: ctnetlink parsed `CTA_PROTOINFO_*`, and has a reference to the entry.
    let (attrs, conn) = unsafe {
        (
            Attrs::from_raw(cda.cast_const().cast(), bindings::CTA_PROTOINFO_MAX_NUMBER),
            Conn::from_raw(ct),
        )
    };
    let read = || -> Result {
        // SAFETY: Constant.
        let policy = unsafe { &*addr_of!(bindings::rct_sctp_policy) };
        let nested = attrs.nested(bindings::ctattr_protoinfo_CTA_PROTOINFO_SCTP, policy)?;
        let Some(nested) = nested else {
            return Ok(());
        };
        let sctp = nested.attrs();
        let tag = |attr| sctp.raw_be32(attr).map(Tag).ok_or(EINVAL);
        let state = sctp
            .u8(bindings::ctattr_protoinfo_sctp_CTA_PROTOINFO_SCTP_STATE)
            .ok_or(EINVAL)?;
        let tags = [
            tag(bindings::ctattr_protoinfo_sctp_CTA_PROTOINFO_SCTP_VTAG_ORIGINAL)?,
            tag(bindings::ctattr_protoinfo_sctp_CTA_PROTOINFO_SCTP_VTAG_REPLY)?,
        ];
        let _locked = conn.lock().lock_bh();
        let mut tracking = conn.load_sctp();
        tracking.state = u32::from(state);
        tracking.tag = tags;
        conn.store_sctp(&tracking);
        Ok(())
    };
    got(read())
}

// Timeouts ---------------------------------------------------------------------------------------

/// A tracker's row of timeouts, and the attributes that set them.
trait Timeouts {
    /// How many there are.
    const COUNT: usize;
    /// Which of them attribute `i + 1` sets.
    const SLOTS: &'static [usize];
    /// Which of them index zero repeats, for who asks for a new connection's timeout.
    const REPEATED: Option<usize> = None;
    /// Which of them have a soft timeout.
    const SOFT: &'static [usize];
    /// What the attributes must look like.
    const POLICY: *const bindings::nla_policy;

    /// The namespace's.
    fn of(net: &Net) -> Limits<'_>;
}

macro_rules! timeouts {
    ($($name:ident: $count:expr, $slots:expr, $repeated:expr, $soft:expr, $policy:ident, $of:ident;)*) => {
        $(
            enum $name {}

            impl Timeouts for $name {
                const COUNT: usize = $count;
                const SLOTS: &'static [usize] = &$slots;
                const REPEATED: Option<usize> = $repeated;
                const SOFT: &'static [usize] = $soft;
                const POLICY: *const bindings::nla_policy =
                    (&raw const bindings::$policy).cast();

                fn of(net: &Net) -> Limits<'_> {
                    net.$of()
                }
            }
        )*
    };
}

timeouts! {
    TcpTimeouts: tcp::Slot::COUNT, [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13], Some(1),
        &soft::TCP, rct_timeout_policy_tcp, tcp_limits;
    UdpTimeouts: 2, [0, 1], None, &[1], rct_timeout_policy_2, udp_limits;
    SctpTimeouts: 10, [1, 2, 3, 4, 5, 6, 7, 8, 9], Some(1),
        &[4], rct_timeout_policy_sctp, sctp_limits;
    GreTimeouts: 2, [0, 1], None, &[1], rct_timeout_policy_2, gre_limits;
    IcmpTimeouts: 1, [0], None, &[], rct_timeout_policy_1, icmp_limits;
    Icmpv6Timeouts: 1, [0], None, &[], rct_timeout_policy_1, icmpv6_limits;
    GenericTimeouts: 1, [0], None, &[], rct_timeout_policy_1, generic_limits;
}

/// The attribute of the soft timeout of a state, by that of its timeout.
const fn soft_attr(attr: u32) -> u32 {
    bindings::RCT_TIMEOUT_SOFT + attr
}

/// What attributes give beside timeouts, of those that mainline does not have.
struct Given {
    anything: bool,
    span: Option<Span>,
}

/// Checks them. Errors: `EOPNOTSUPP` for a state without a soft timeout; `EINVAL` for seconds that
/// do not fit and spans that make no sense.
fn check_extras<T: Timeouts>(attrs: Attrs) -> Result<Given> {
    let (start, end) = (
        attrs.be32(bindings::RCT_TIMEOUT_ADAPTIVE_START),
        attrs.be32(bindings::RCT_TIMEOUT_ADAPTIVE_END),
    );
    let span = Span::of_policy(start, end).map_err(|_| EINVAL)?;
    let mut anything = span.is_some();
    for (attr, slot) in (1..).zip(T::SLOTS) {
        if let Some(seconds) = attrs.be32(soft_attr(attr)) {
            if !T::SOFT.contains(slot) {
                return Err(EOPNOTSUPP);
            }
            soft::ticks(Seconds(seconds), HZ).ok_or(EINVAL)?;
            anything = true;
        }
    }
    Ok(Given { anything, span })
}

/// Makes a policy of attributes, in seconds; what is not given is the namespace's: of timeouts what
/// it is now, of soft timeouts and scaling what it will be. Without a policy the namespace's
/// timeouts are set.
///
/// Errors: as `check_extras`, and `EOPNOTSUPP` for what only policies have; nothing is changed.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn timeouts_from_nlattr<T: Timeouts>(
    tb: *mut *mut nlattr,
    net: *mut net,
    data: *mut c_void,
) -> c_int {
    // SAFETY: The caller parsed the attributes with this protocol's policy.
    let (attrs, net) = unsafe {
        (
            Attrs::from_raw(tb.cast_const().cast(), bindings::RCT_TIMEOUT_MAX),
            Net::from_raw(net),
        )
    };
    let given = match check_extras::<T>(attrs) {
        // Sysctls are for those.
        Ok(given) if given.anything && data.is_null() => return EOPNOTSUPP.to_errno(),
        Ok(given) => given,
        Err(error) => return error.to_errno(),
    };
    let own = T::of(net);
    // SAFETY: `data` is null or has room for `obj_size` bytes; the namespace's words are there for
    // everybody to write.
    let row = unsafe { Row::from_raw(data.cast()).unwrap_or_else(|| own.row()) };
    for slot in 0..T::COUNT {
        row.set(slot, own.get(slot));
    }
    for (attr, slot) in (1..).zip(T::SLOTS) {
        if let Some(seconds) = attrs.be32(attr) {
            row.set(*slot, seconds.wrapping_mul(HZ));
        }
    }
    if let Some(slot) = T::REPEATED {
        row.set(0, row.get(slot));
    }
    if data.is_null() {
        return 0;
    }
    // SAFETY: As above; `obj_size` is that of as many words.
    let extras = unsafe { Extras::from_raw(data.cast(), T::COUNT) };
    for slot in 0..T::COUNT {
        let attr = (1..).zip(T::SLOTS).find(|(_, of)| **of == slot);
        let seconds = attr.and_then(|(attr, _)| attrs.be32(soft_attr(attr)));
        extras.set_soft(slot, seconds.and_then(|n| soft::ticks(Seconds(n), HZ)));
    }
    extras.set_span(given.span);
    if let Some(span) = given.span {
        net.note_policies_start(span.start);
    }
    0
}

/// Adds a policy's timeouts in seconds, and what it says beside them. Errors: `ENOSPC` without room.
///
/// # Safety
///
/// Called through the table, with what its declaration passes.
unsafe extern "C" fn timeouts_to_nlattr<T: Timeouts>(
    skb: *mut sk_buff,
    data: *const c_void,
) -> c_int {
    // SAFETY: The caller writes the message; `data` is a policy's or a namespace's row.
    let (message, row) = unsafe {
        (
            Message::from_raw(skb),
            Limits::from_raw(data.cast(), T::COUNT),
        )
    };
    let put = || {
        for (attr, slot) in (1..).zip(T::SLOTS) {
            message.put(attr, (row.get(*slot) / HZ).to_be_bytes())?;
        }
        if pernet::is_in_a_namespace(data) {
            return Ok(());
        }
        // SAFETY: What is in no namespace is a policy, which has `obj_size` bytes.
        let extras = unsafe { Extras::from_raw(data.cast_mut().cast(), T::COUNT) };
        for (attr, slot) in (1..).zip(T::SLOTS) {
            if let Some(ticks) = extras.soft(*slot) {
                message.put(soft_attr(attr), (ticks / HZ).to_be_bytes())?;
            }
        }
        if let Some(span) = extras.span() {
            let (start, end) = (span.start.to_be_bytes(), span.end.to_be_bytes());
            message.put(bindings::RCT_TIMEOUT_ADAPTIVE_START, start)?;
            message.put(bindings::RCT_TIMEOUT_ADAPTIVE_END, end)?;
        }
        Ok(())
    };
    match put() {
        Ok(()) => 0,
        Err(NoRoom) => ENOSPC.to_errno(),
    }
}

const _: () = {
    assert!(TcpTimeouts::SLOTS.len() == bindings::CTA_TIMEOUT_TCP_MAX_NUMBER as usize);
    assert!(SctpTimeouts::SLOTS.len() == bindings::CTA_TIMEOUT_SCTP_MAX_NUMBER as usize);
    assert!(UdpTimeouts::SLOTS.len() == bindings::CTA_TIMEOUT_UDP_MAX_NUMBER as usize);
    assert!(TcpTimeouts::COUNT == bindings::tcp_conntrack_TCP_CONNTRACK_TIMEOUT_MAX as usize);
    assert!(SctpTimeouts::COUNT == bindings::sctp_conntrack_SCTP_CONNTRACK_MAX as usize);
};
