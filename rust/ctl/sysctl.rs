// SPDX-License-Identifier: GPL-2.0

//! The knobs below `/proc/sys/net`, each declared once.
//!
//! [`KNOBS`] is all there is to know of a knob: name, unit and range, the word that it sets, what
//! that word begins as in a new namespace, and the meaning. The files come from it, the first
//! values of a namespace do ([`begin`]), and `tools/docs/sysctl` makes
//! `Documentation/sysctl.rst` of it.
//!
//! A knob of all namespaces can be set in the first one only. What has a word in each namespace
//! points straight into `struct netns_ct`, where other modules read and write it too.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_standalone.c`.

use core::mem::offset_of;
use core::mem::size_of;
use kernel::ffi::c_int;
use kernel::prelude::*;

use crate::bindings;
use crate::ctl::params;
use crate::engine::cap;
use crate::engine::labels;
use crate::engine::probe;
use crate::engine::reclaimer;
use crate::engine::table;
use crate::linux::expect;
use crate::linux::hashtable::Table;
use crate::linux::hooks;
use crate::linux::net::Net;
use crate::linux::net::Own;
use crate::linux::once::write_once;
use crate::linux::sysctl;
use crate::linux::sysctl::Format;
use crate::linux::sysctl::Registration;
use crate::linux::sysctl::Row;
use crate::linux::sysctl::Variable;
use crate::linux::sysctl::Watch;
use crate::linux::time::HZ;
use crate::pure::policy::timeout;
use crate::pure::policy::timeout::Seconds;

/// A knob.
struct Knob {
    name: &'static CStr,
    format: Format,
    word: Word,
    first: First,
    mode: u16,
}

/// What a knob sets.
#[derive(Clone, Copy)]
enum Word {
    /// A word of all namespaces.
    Shared(fn() -> *mut c_void),
    /// A word at this offset in the `struct netns_ct` of each.
    Own(usize),
    /// A word at this offset in what we keep in each.
    Ours(usize),
    /// The number of entries of each.
    Entries,
    /// Nothing but code, and the same for all namespaces.
    Code,
}

/// What a new namespace begins with.
#[derive(Clone, Copy)]
enum First {
    /// Not the namespace's to say.
    Decided,
    /// A byte.
    Byte(u8),
    /// What a module parameter says.
    Parameter(fn() -> bool),
    /// A timeout.
    Timeout(Seconds),
    /// A number.
    Number(c_int),
}

const ANYBODY_READS: u16 = 0o444;
const ROOT_WRITES: u16 = 0o644;

static ZERO: c_int = 0;
static ONE: c_int = 1;
static TWO: c_int = 2;
static MOST: c_int = c_int::MAX;
static PERCENT: c_int = 1000;
static NONE: c_int = -1;
static LAST_LABEL: c_int = labels::LAST_FIRST;
static FULL: c_int = 100;
/// As many seconds as ticks fit into 31 bits for, at up to 1000 a second.
static LONGEST: c_int = 2_147_483;
/// The bounds of the options of a socket (`TCP_KEEPINTVL`, `TCP_KEEPCNT`).
static KEEPALIVE_INTERVAL: c_int = 32_767;
static KEEPALIVE_COUNT: c_int = 127;
static WHOLE: c_int = 100;
static BITS4: c_int = 32;
static BITS6: c_int = 128;

/// A limit of all namespaces: at least one.
const fn limit(name: &'static CStr, word: fn() -> *mut c_void) -> Knob {
    Knob {
        name,
        format: Format::Between(&ONE, &MOST),
        word: Word::Shared(word),
        first: First::Decided,
        mode: ROOT_WRITES,
    }
}

/// The number of entries.
const fn entries(name: &'static CStr) -> Knob {
    Knob {
        name,
        format: Format::Integer,
        word: Word::Entries,
        first: First::Decided,
        mode: ANYBODY_READS,
    }
}

/// The number of buckets of the table.
const fn buckets(name: &'static CStr) -> Knob {
    Knob {
        name,
        format: Format::Variable(Some(sysctl::variable::<Buckets>)),
        word: Word::Code,
        first: First::Decided,
        mode: ROOT_WRITES,
    }
}

const fn byte(name: &'static CStr, format: Format, word: usize, first: First) -> Knob {
    Knob {
        name,
        format,
        word: Word::Own(word),
        first,
        mode: ROOT_WRITES,
    }
}

/// A byte that is zero or one.
const fn flag(name: &'static CStr, word: usize, first: u8) -> Knob {
    byte(name, Format::ByteUpTo(&ONE), word, First::Byte(first))
}

/// A byte that is zero or one, and what a module parameter says at first.
const fn flag_as_loaded(name: &'static CStr, word: usize, first: fn() -> bool) -> Knob {
    byte(name, Format::ByteUpTo(&ONE), word, First::Parameter(first))
}

/// A byte up to two.
const fn choice(name: &'static CStr, word: usize, first: u8) -> Knob {
    byte(name, Format::ByteUpTo(&TWO), word, First::Byte(first))
}

/// A byte.
const fn number(name: &'static CStr, word: usize, first: u8) -> Knob {
    byte(name, Format::Byte, word, First::Byte(first))
}

/// The number of a protocol whose invalid packets are logged. The word is that of the namespace's
/// last life in here, which is zero for all but a module that is loaded again.
const fn protocol(name: &'static CStr, word: usize) -> Knob {
    byte(
        name,
        Format::Watched(Some(sysctl::watched::<LogInvalid>)),
        word,
        First::Decided,
    )
}

/// A timeout in seconds, kept in ticks.
const fn seconds(name: &'static CStr, word: usize, first: Seconds) -> Knob {
    Knob {
        name,
        format: Format::Seconds,
        word: Word::Own(word),
        first: First::Timeout(first),
        mode: ROOT_WRITES,
    }
}

/// Something at `word` of what we keep in each namespace, which mainline does not have.
const fn own(name: &'static CStr, format: Format, word: usize, first: First) -> Knob {
    Knob {
        name,
        format,
        word: Word::Ours(word),
        first,
        mode: ROOT_WRITES,
    }
}

/// A choice of three that mainline does not have.
const fn own_choice(name: &'static CStr, word: usize, first: u8) -> Knob {
    Knob {
        word: Word::Ours(word),
        ..choice(name, 0, first)
    }
}

/// Seconds that mainline does not have, and not negative ones.
const fn own_seconds(name: &'static CStr, word: usize, first: Seconds) -> Knob {
    Knob {
        format: Format::Span,
        word: Word::Ours(word),
        ..seconds(name, 0, first)
    }
}

/// Percent of the limit, up to ten times of it; zero at first. Mainline does not have it.
const fn own_percent(name: &'static CStr, word: usize) -> Knob {
    own(name, Format::Between(&ZERO, &PERCENT), word, First::Decided)
}

/// The number of the first of our labels, or -1, as at first. Mainline does not have it.
const fn own_label(name: &'static CStr, word: usize) -> Knob {
    let format = Format::Between(&NONE, &LAST_LABEL);
    own(name, format, word, First::Number(-1))
}

/// A number of the prober's, between bounds.
const fn probing(
    name: &'static CStr,
    word: usize,
    least: &'static c_int,
    most: &'static c_int,
    first: c_int,
) -> Knob {
    let format = Format::WatchedBetween(Some(sysctl::watched::<Prober>), least, most);
    own(name, format, word, First::Number(first))
}

/// A limit of all namespaces together, which mainline does not have; zero is none.
const fn own_limit(name: &'static CStr, word: fn() -> *mut c_void) -> Knob {
    Knob {
        format: Format::WatchedBetween(Some(sysctl::watched::<TotalMax>), &ZERO, &MOST),
        ..limit(name, word)
    }
}

/// Zero or one, which mainline does not have.
const fn own_flag(name: &'static CStr, word: usize, first: u8) -> Knob {
    Knob {
        word: Word::Ours(word),
        ..flag(name, 0, first)
    }
}

const fn own_number(name: &'static CStr, most: &'static c_int, word: usize, first: c_int) -> Knob {
    let format = Format::Between(&ZERO, most);
    own(name, format, word, First::Number(first))
}

/// Percent of the limit, up to all of it. Mainline does not have it.
const fn own_share(name: &'static CStr, word: usize, first: c_int) -> Knob {
    own_number(name, &WHOLE, word, first)
}

/// The length of an IPv4 prefix. Mainline does not have it.
const fn own_prefix4(name: &'static CStr, word: usize, first: c_int) -> Knob {
    own_number(name, &BITS4, word, first)
}

/// The length of an IPv6 prefix. Mainline does not have it.
const fn own_prefix6(name: &'static CStr, word: usize, first: c_int) -> Knob {
    own_number(name, &BITS6, word, first)
}

/// The offset of a word of `struct netns_ct`, or of one in an array of its.
macro_rules! word {
    ($($field:ident).+) => { offset_of!(bindings::netns_ct, $($field).+) };
    ($($field:ident).+, $index:expr) => { word!($($field).+) + $index * size_of::<u32>() };
}

/// The offset of a soft timeout in what we keep in each namespace.
macro_rules! soft {
    ($field:ident, $index:expr) => {
        offset_of!(Own, $field) + $index * size_of::<u32>()
    };
}

/// Names for indices of arrays of timeouts, as user space counts states.
macro_rules! indices {
    ($($prefix:ident { $($name:ident)+ })+) => {
        ::kernel::macros::paste! { $($(
            const $name: usize = bindings::[<$prefix $name>] as usize;
        )+)+ }
    };
}

indices! {
    tcp_conntrack_TCP_CONNTRACK_ {
        SYN_SENT SYN_RECV FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE RETRANS UNACK
    }
    sctp_conntrack_SCTP_CONNTRACK_ {
        CLOSED COOKIE_WAIT COOKIE_ECHOED SHUTDOWN_SENT SHUTDOWN_RECD SHUTDOWN_ACK_SENT
        HEARTBEAT_SENT
    }
    udp_conntrack_UDP_CT_ { UNREPLIED REPLIED }
}
/// TCP's.
const ESTABLISHED: usize = bindings::tcp_conntrack_TCP_CONNTRACK_ESTABLISHED as usize;
/// SCTP's.
const SCTP_ESTABLISHED: usize = bindings::sctp_conntrack_SCTP_CONNTRACK_ESTABLISHED as usize;

macro_rules! knobs {
    ($($(#[doc = $meaning:literal])+ $name:ident = $make:ident($($argument:expr),*);)+) => {
        const KNOBS: &[Knob] = &[$($make(name(concat!(stringify!($name), "\0")), $($argument),*)),+];
    };
}

/// A name that ends in NUL. Evaluated while compiling.
const fn name(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(name) => name,
        Err(_) => c"",
    }
}

knobs! {
    /// Whether packets and bytes of new connections are counted, by direction. 64 bits each.
    nf_conntrack_acct = flag_as_loaded(word!(sysctl_acct), params::acct);

    /// The filling, in percent of ``nf_conntrack_max``, at which all timeouts are zero. Between
    /// ``nf_conntrack_adaptive_start`` and this they are scaled down linearly; both have to be set.
    nf_conntrack_adaptive_end = own_percent(offset_of!(Own, adaptive_end));

    /// The filling, in percent of ``nf_conntrack_max``, from which on timeouts are scaled down, but
    /// not below half of it. 0 turns scaling off.
    nf_conntrack_adaptive_start = own_percent(offset_of!(Own, adaptive_start));

    /// The number of buckets of the table. Begins as the module parameter ``hashsize``, or else as
    /// 262144 on machines with more than 4 GiB, 65536 with more than 1 GiB, and one for each
    /// 16384 times the size of a pointer on smaller ones, but 1024 at least. Rounded up to fill
    /// whole pages. Setting it moves all connections to a new table; look-ups wait meanwhile.
    nf_conntrack_buckets = buckets();

    /// Whether checksums of packets from outside are verified. Packets with a bad one are invalid.
    nf_conntrack_checksum = flag(word!(sysctl_checksum), 1);

    /// The number of connections of the namespace, those included that no packet has confirmed
    /// yet.
    nf_conntrack_count = entries();

    /// Whether user space is told about connections through ctnetlink: 0 never, 1 about all of
    /// them, 2 about those that begin while somebody listens.
    nf_conntrack_events = choice(word!(sysctl_events), 2);

    /// The greatest number of expected connections a namespace. Begins as four times the number of
    /// buckets of their table, which is the module parameter ``expect_hashsize``, or else one for
    /// each 256 of ``nf_conntrack_buckets``.
    nf_conntrack_expect_max = limit(expect_max);

    /// Whether sources share when only proven connections are left: the one with the most of them
    /// loses its longest idle one to one that has fewer.
    nf_conntrack_fair = own_flag(offset_of!(Own, fair), 1);

    /// The bits of an IPv4 address that tell one source from another.
    nf_conntrack_fair_prefix = own_prefix4(offset_of!(Own, fair_prefix), 32);

    /// The bits of an IPv6 address that tell one source from another.
    nf_conntrack_fair_prefix6 = own_prefix6(offset_of!(Own, fair_prefix6), 64);

    /// What becomes of packets whose connection finds no place, because the table is full and
    /// nothing may go, or there is no memory: 0 they are dropped, 1 they go on as invalid, 2 they go
    /// on untracked. While hooks of translation are registered they are dropped whatever is set.
    nf_conntrack_full_policy = own_choice(offset_of!(Own, full_policy), 0);

    /// How long connections live of which only the addresses are known, because their protocol
    /// has no tracker.
    nf_conntrack_generic_timeout = seconds(word!(nf_ct_proto.generic.timeout), timeout::GENERIC);

    /// For how long a GRE flow that was answered, and is assured, may be idle before it can be
    /// evicted from a full table. 0 for ever.
    nf_conntrack_gre_soft_timeout_stream = own_seconds(soft!(gre_soft, REPLIED), Seconds(0));

    /// How long GRE flows live that were not answered yet.
    nf_conntrack_gre_timeout =
        seconds(word!(nf_ct_proto.gre.timeouts, UNREPLIED), timeout::GRE[UNREPLIED]);

    /// How long GRE flows live that were answered.
    nf_conntrack_gre_timeout_stream =
        seconds(word!(nf_ct_proto.gre.timeouts, REPLIED), timeout::GRE[REPLIED]);

    /// How long an ICMP query waits for its answer.
    nf_conntrack_icmp_timeout = seconds(word!(nf_ct_proto.icmp.timeout), timeout::ICMP);

    /// How long an ICMPv6 query waits for its answer.
    nf_conntrack_icmpv6_timeout = seconds(word!(nf_ct_proto.icmpv6.timeout), timeout::ICMPV6);

    /// The number of the protocol whose invalid packets are logged: 0 for none, 255 for all of
    /// them. Loads a module that logs, unless there is one.
    nf_conntrack_log_invalid = protocol(word!(sysctl_log_invalid));

    /// The greatest number of connections a namespace. Begins as the number of buckets; if that
    /// was given as ``hashsize``, as eight times of it. Also known as ``net.nf_conntrack_max``.
    nf_conntrack_max = limit(max);

    /// The number of the first of three labels (see ``connlabel.conf``) that new connections get
    /// by how full the table is: the first from 50 percent of ``nf_conntrack_max`` on, the next one
    /// from 75 and the third from 90 percent on. Set only where a rule looks at labels. -1 for
    /// none.
    nf_conntrack_occupancy_label = own_label(offset_of!(Own, occupancy_label));

    /// Places beyond ``nf_conntrack_max`` for connections from or to the machine itself, for which
    /// no other can go, in percent of it, but at least 16. As many of these connections are not
    /// taken when sources share. 0 for none.
    nf_conntrack_reserved = own_share(offset_of!(Own, reserved), 1);

    /// For how long an SCTP association may be idle before it can be evicted from a full table. 0
    /// for ever.
    nf_conntrack_sctp_soft_timeout_established =
        own_seconds(soft!(sctp_soft, SCTP_ESTABLISHED), Seconds(0));

    /// How long an SCTP association lives in state CLOSED.
    nf_conntrack_sctp_timeout_closed =
        seconds(word!(nf_ct_proto.sctp.timeouts, CLOSED), timeout::SCTP[CLOSED]);

    /// How long an SCTP association lives in state COOKIE_ECHOED.
    nf_conntrack_sctp_timeout_cookie_echoed =
        seconds(word!(nf_ct_proto.sctp.timeouts, COOKIE_ECHOED), timeout::SCTP[COOKIE_ECHOED]);

    /// How long an SCTP association lives in state COOKIE_WAIT.
    nf_conntrack_sctp_timeout_cookie_wait =
        seconds(word!(nf_ct_proto.sctp.timeouts, COOKIE_WAIT), timeout::SCTP[COOKIE_WAIT]);

    /// How long an SCTP association lives in state ESTABLISHED: the interval of heartbeats times
    /// the retransmissions a path, and the greatest retransmission timeout.
    nf_conntrack_sctp_timeout_established = seconds(
        word!(nf_ct_proto.sctp.timeouts, SCTP_ESTABLISHED),
        timeout::SCTP[SCTP_ESTABLISHED]
    );

    /// How long an SCTP association lives in state HEARTBEAT_SENT, which is how it begins on a
    /// further path: the interval of heartbeats.
    nf_conntrack_sctp_timeout_heartbeat_sent =
        seconds(word!(nf_ct_proto.sctp.timeouts, HEARTBEAT_SENT), timeout::SCTP[HEARTBEAT_SENT]);

    /// How long an SCTP association lives in state SHUTDOWN_ACK_SENT.
    nf_conntrack_sctp_timeout_shutdown_ack_sent = seconds(
        word!(nf_ct_proto.sctp.timeouts, SHUTDOWN_ACK_SENT),
        timeout::SCTP[SHUTDOWN_ACK_SENT]
    );

    /// How long an SCTP association lives in state SHUTDOWN_RECD.
    nf_conntrack_sctp_timeout_shutdown_recd =
        seconds(word!(nf_ct_proto.sctp.timeouts, SHUTDOWN_RECD), timeout::SCTP[SHUTDOWN_RECD]);

    /// How long an SCTP association lives in state SHUTDOWN_SENT.
    nf_conntrack_sctp_timeout_shutdown_sent =
        seconds(word!(nf_ct_proto.sctp.timeouts, SHUTDOWN_SENT), timeout::SCTP[SHUTDOWN_SENT]);

    /// Whether only resets out of the window make a TCP segment invalid, and other segments out of
    /// it pass.
    nf_conntrack_tcp_be_liberal = flag(word!(nf_ct_proto.tcp.tcp_be_liberal), 0);

    /// Whether TCP resets out of the window are not invalid either.
    nf_conntrack_tcp_ignore_invalid_rst = flag(word!(nf_ct_proto.tcp.tcp_ignore_invalid_rst), 0);

    /// Whether TCP connections whose opening nobody saw are picked up.
    nf_conntrack_tcp_loose = flag(word!(nf_ct_proto.tcp.tcp_loose), 1);

    /// How often a TCP segment may be retransmitted without an acknowledgement before
    /// ``nf_conntrack_tcp_timeout_max_retrans`` is the connection's timeout.
    nf_conntrack_tcp_max_retrans = number(word!(nf_ct_proto.tcp.tcp_max_retrans), 3);

    /// The filling, in percent of ``nf_conntrack_max``, below which no idle TCP connection begins to
    /// be probed.
    nf_conntrack_tcp_probe_above =
        probing(offset_of!(Own, probe_above), &ZERO, &FULL, 0);

    /// Seconds between two probes of an idle TCP connection, and between two walks in search of such.
    nf_conntrack_tcp_probe_interval =
        probing(offset_of!(Own, probe_interval), &ONE, &KEEPALIVE_INTERVAL, 75);

    /// Probes without an answer after which an end of a TCP connection is gone, and the connection
    /// ends.
    nf_conntrack_tcp_probe_probes =
        probing(offset_of!(Own, probe_probes), &ONE, &KEEPALIVE_COUNT, 9);

    /// The most probes a second.
    nf_conntrack_tcp_probe_rate = probing(offset_of!(Own, probe_rate), &ONE, &MOST, 100);

    /// Seconds for which an established TCP connection has been idle when its two ends are asked,
    /// by a keepalive, whether they are still there. 0 turns probing off. See
    /// ``Documentation/probing.rst``.
    nf_conntrack_tcp_probe_time = probing(offset_of!(Own, probe_time), &ZERO, &LONGEST, 0);

    /// For how long a TCP connection in state CLOSE_WAIT may be idle and still count as alive when
    /// the table is full, as one does that goes on in one direction. A peer that sends its FIN
    /// again and again keeps it alive, too. 0 for not at all: it can be evicted at once.
    nf_conntrack_tcp_soft_timeout_close_wait =
        own_seconds(soft!(tcp_soft, CLOSE_WAIT), Seconds(0));

    /// For how long an assured TCP connection may be idle before it can be evicted from a full
    /// table. 0 for ever.
    nf_conntrack_tcp_soft_timeout_established =
        own_seconds(soft!(tcp_soft, ESTABLISHED), Seconds(0));

    /// As ``nf_conntrack_tcp_soft_timeout_close_wait``, for state FIN_WAIT.
    nf_conntrack_tcp_soft_timeout_fin_wait = own_seconds(soft!(tcp_soft, FIN_WAIT), Seconds(0));

    /// As ``nf_conntrack_tcp_soft_timeout_established``, for connections whose segments were sent
    /// again ``nf_conntrack_tcp_max_retrans`` times. 0 for as long as others.
    nf_conntrack_tcp_soft_timeout_max_retrans = own_seconds(soft!(tcp_soft, RETRANS), Seconds(0));

    /// As ``nf_conntrack_tcp_soft_timeout_established``, for connections with data on their way
    /// that were not acknowledged. 0 for as long as others.
    nf_conntrack_tcp_soft_timeout_unacknowledged =
        own_seconds(soft!(tcp_soft, UNACK), Seconds(0));

    /// How long a TCP connection lives in state CLOSE.
    nf_conntrack_tcp_timeout_close =
        seconds(word!(nf_ct_proto.tcp.timeouts, CLOSE), timeout::TCP[CLOSE]);

    /// How long a TCP connection lives in state CLOSE_WAIT.
    nf_conntrack_tcp_timeout_close_wait =
        seconds(word!(nf_ct_proto.tcp.timeouts, CLOSE_WAIT), timeout::TCP[CLOSE_WAIT]);

    /// How long a TCP connection lives in state ESTABLISHED.
    nf_conntrack_tcp_timeout_established =
        seconds(word!(nf_ct_proto.tcp.timeouts, ESTABLISHED), timeout::TCP[ESTABLISHED]);

    /// How long a TCP connection lives in state FIN_WAIT.
    nf_conntrack_tcp_timeout_fin_wait =
        seconds(word!(nf_ct_proto.tcp.timeouts, FIN_WAIT), timeout::TCP[FIN_WAIT]);

    /// How long a TCP connection lives in state LAST_ACK.
    nf_conntrack_tcp_timeout_last_ack =
        seconds(word!(nf_ct_proto.tcp.timeouts, LAST_ACK), timeout::TCP[LAST_ACK]);

    /// How long a TCP connection lives at most, in whichever state, after
    /// ``nf_conntrack_tcp_max_retrans`` retransmissions.
    nf_conntrack_tcp_timeout_max_retrans =
        seconds(word!(nf_ct_proto.tcp.timeouts, RETRANS), timeout::TCP[RETRANS]);

    /// How long a TCP connection lives in state SYN_RECV.
    nf_conntrack_tcp_timeout_syn_recv =
        seconds(word!(nf_ct_proto.tcp.timeouts, SYN_RECV), timeout::TCP[SYN_RECV]);

    /// How long a TCP connection lives in state SYN_SENT.
    nf_conntrack_tcp_timeout_syn_sent =
        seconds(word!(nf_ct_proto.tcp.timeouts, SYN_SENT), timeout::TCP[SYN_SENT]);

    /// How long a TCP connection lives in state TIME_WAIT.
    nf_conntrack_tcp_timeout_time_wait =
        seconds(word!(nf_ct_proto.tcp.timeouts, TIME_WAIT), timeout::TCP[TIME_WAIT]);

    /// How long a TCP connection lives at most, in whichever state, while data is on its way that
    /// was not acknowledged.
    nf_conntrack_tcp_timeout_unacknowledged =
        seconds(word!(nf_ct_proto.tcp.timeouts, UNACK), timeout::TCP[UNACK]);

    /// Whether it is noted when new connections begin and end.
    nf_conntrack_timestamp = flag_as_loaded(word!(sysctl_tstamp), params::tstamp);

    /// The greatest number of connections of all namespaces together; 0 for none. At it, a new
    /// connection takes the place of one of the largest namespace.
    nf_conntrack_total_max = own_limit(cap::word);

    /// For how long an assured UDP flow may be idle before it can be evicted from a full table. 0
    /// for ever.
    nf_conntrack_udp_soft_timeout_stream = own_seconds(soft!(udp_soft, REPLIED), Seconds(0));

    /// How long UDP flows live that were not answered yet.
    nf_conntrack_udp_timeout =
        seconds(word!(nf_ct_proto.udp.timeouts, UNREPLIED), timeout::UDP[UNREPLIED]);

    /// How long UDP flows live that were answered, and go on for more than two seconds.
    nf_conntrack_udp_timeout_stream =
        seconds(word!(nf_ct_proto.udp.timeouts, REPLIED), timeout::UDP[REPLIED]);

    /// How long a TCP connection lives after a flow table has handed it back.
    nf_flowtable_tcp_timeout =
        seconds(word!(nf_ct_proto.tcp.offload_timeout), timeout::TCP_OFFLOAD);

    /// How long a UDP flow lives after a flow table has handed it back.
    nf_flowtable_udp_timeout =
        seconds(word!(nf_ct_proto.udp.offload_timeout), timeout::UDP_OFFLOAD);
}

fn max() -> *mut c_void {
    Table::limit().as_ptr()
}

fn expect_max() -> *mut c_void {
    expect::limit().as_ptr()
}

/// The table's size, as a file.
struct Buckets;

impl Variable for Buckets {
    fn get() -> u32 {
        table::buckets()
    }

    fn set(buckets: u32) -> Result {
        table::resize(buckets)
    }
}

/// Logging of invalid packets wants somebody who logs.
struct LogInvalid;

impl Watch for LogInvalid {
    type Word = u8;

    fn written(protocol: u8) {
        if protocol != 0 && !hooks::has_logger() {
            hooks::request_module(c"nf_log_syslog");
        }
    }
}

/// A limit for all namespaces together begins with a count.
struct TotalMax;

impl Watch for TotalMax {
    type Word = c_int;

    fn written(_: c_int) {
        reclaimer::count_all();
    }
}

/// The prober wants to know what it is to do.
struct Prober;

impl Watch for Prober {
    type Word = c_int;

    fn written(_: c_int) {
        probe::changed();
    }
}

impl Knob {
    fn word_in(&self, net: &Net) -> *mut c_void {
        match self.word {
            Word::Shared(word) => word(),
            // SAFETY: An offset of a member.
            Word::Own(offset) => unsafe { net.ct().cast::<u8>().add(offset).cast() },
            // SAFETY: An offset of a member.
            Word::Ours(offset) => unsafe { net.private().own().cast::<u8>().add(offset).cast() },
            Word::Entries => core::ptr::from_ref(net.private().entries())
                .cast_mut()
                .cast(),
            Word::Code => core::ptr::null_mut(),
        }
    }

    fn row(&self, net: &Net) -> Row {
        let shared = matches!(self.word, Word::Shared(_) | Word::Code);
        let mode = mode(shared, net.is_init(), self.mode);
        sysctl::row(self.name, self.format, self.word_in(net), mode)
    }

    fn begin(&self, net: &Net) {
        let word = self.word_in(net);
        // SAFETY: A word of the namespace, as large as its format says.
        unsafe {
            match self.first {
                First::Decided => {}
                First::Byte(value) => write_once(word.cast(), value),
                First::Parameter(value) => write_once(word.cast(), u8::from(value())),
                First::Timeout(value) => write_once(word.cast(), value.ticks(HZ)),
                First::Number(value) => write_once(word.cast(), value),
            }
        }
    }
}

/// The mode of a knob's file: what is shared by all namespaces can be set in the first only.
const fn mode(shared: bool, in_first: bool, mode: u16) -> u16 {
    if shared && !in_first {
        ANYBODY_READS
    } else {
        mode
    }
}

/// Gives all words of a namespace their first values, those included that have no knob: timeouts
/// of no state, which stand for those of new flows.
pub(crate) fn begin(net: &Net) {
    let tcp = timeout::ticks(&timeout::TCP, HZ);
    let sctp = timeout::ticks(&timeout::SCTP, HZ);
    // SAFETY: Words of the namespace; nobody is in it yet.
    unsafe {
        let protocols = &raw mut (*net.ct()).nf_ct_proto;
        (*protocols).tcp.timeouts = tcp;
        (*protocols).sctp.timeouts = sctp;
    }
    for knob in KNOBS {
        knob.begin(net);
    }
}

/// Makes the files of a namespace. CONTEXT: sleepable.
///
/// The caller drops them before the namespace ends.
pub(crate) fn register(net: &Net) -> Result<Registration> {
    let mut rows = KVec::with_capacity(KNOBS.len(), GFP_KERNEL)?;
    for knob in KNOBS {
        rows.push(knob.row(net), GFP_KERNEL)?;
    }
    // SAFETY: Each row points to a word of its format, of the namespace or of the module.
    unsafe { Registration::new(net, c"net/netfilter", rows) }
}

/// Makes `net.nf_conntrack_max`, the limit's old name. CONTEXT: sleepable.
pub(crate) fn register_max() -> Result<Registration> {
    let net = Net::init();
    let mut rows = KVec::with_capacity(1, GFP_KERNEL)?;
    rows.push(limit(c"nf_conntrack_max", max).row(net), GFP_KERNEL)?;
    // SAFETY: As in `register`.
    unsafe { Registration::new(net, c"net", rows) }.inspect_err(|_| {
        pr_err!("can't register to sysctl.\n");
    })
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(nf_conntrack_sysctl)]
mod tests {
    use super::*;

    fn own(knob: &Knob) -> Option<(usize, usize)> {
        let size = match knob.format {
            Format::Seconds => size_of::<u32>(),
            _ => size_of::<u8>(),
        };
        match knob.word {
            Word::Own(offset) => Some((offset, offset + size)),
            _ => None,
        }
    }

    #[test]
    fn names_are_in_order_and_differ() {
        let ordered = KNOBS.windows(2).all(|pair| match pair {
            [a, b] => a.name.to_bytes() < b.name.to_bytes(),
            _ => false,
        });
        assert!(ordered);
        assert!(KNOBS.iter().all(|knob| !knob.name.to_bytes().is_empty()));
    }

    #[test]
    fn no_two_knobs_have_a_word_in_common() {
        let apart = |a: (usize, usize), b: (usize, usize)| a.1 <= b.0 || b.1 <= a.0;
        for (at, knob) in KNOBS.iter().enumerate() {
            let Some(word) = own(knob) else {
                continue;
            };
            assert!(word.1 <= size_of::<bindings::netns_ct>());
            let others = KNOBS.iter().skip(at + 1).filter_map(own);
            assert!(others.into_iter().all(|other| apart(word, other)));
        }
    }

    #[test]
    fn what_is_the_machines_is_read_only_elsewhere() {
        let shared = |knob: &&Knob| matches!(knob.word, Word::Shared(_) | Word::Code);
        assert_eq!(KNOBS.iter().filter(shared).count(), 4);
        assert!(KNOBS
            .iter()
            .filter(shared)
            .all(|knob| knob.mode == ROOT_WRITES));
        assert_eq!(mode(true, true, ROOT_WRITES), ROOT_WRITES);
        assert_eq!(mode(true, false, ROOT_WRITES), ANYBODY_READS);
        assert_eq!(mode(false, false, ROOT_WRITES), ROOT_WRITES);
        assert_eq!(mode(false, false, ANYBODY_READS), ANYBODY_READS);
    }
}
