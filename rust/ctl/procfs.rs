// SPDX-License-Identifier: GPL-2.0

//! `/proc/net/nf_conntrack`, the connections, and `/proc/net/stat/nf_conntrack`, the counters;
//! [`reclaim`](super::reclaim) is a third file.
//!
//! A read walks the table without locks. Entries that come and go meanwhile may be listed or not;
//! the others are listed once, unless the table is resized between two reads. Entries that are
//! over are not listed but removed.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_standalone.c`.

use core::mem::offset_of;
use core::ptr::without_provenance_mut;
use core::ptr::NonNull;
use kernel::cpu::nr_cpu_ids;
use kernel::fmt;
use kernel::fmt::Write;
use kernel::prelude::*;
use kernel::security::SecurityCtx;
use kernel::sync::atomic::Relaxed;
use pin_init::Zeroable;

use crate::bindings;
use crate::ctl::reclaim::Report;
use crate::engine::conn;
use crate::linux::conn::Candidate;
use crate::linux::conn::Conn;
use crate::linux::hashtable::Bucket;
use crate::linux::hashtable::Table;
use crate::linux::net::Net;
use crate::linux::once::read_once;
use crate::linux::procfs::File;
use crate::linux::procfs::Folder;
use crate::linux::procfs::Item;
use crate::linux::procfs::NetFile;
use crate::linux::procfs::Writer;
use crate::linux::rcu::Held;
use crate::linux::time;
use crate::linux::time::HZ;
use crate::linux::zone::Zone;
use crate::pure::l4::sctp;
use crate::pure::l4::tcp;
use crate::pure::num::Dir;
use crate::pure::status::Status;
use crate::pure::tuple::l3;
use crate::pure::tuple::proto;
use crate::pure::tuple::Family;
use crate::pure::tuple::Tuple;

/// A namespace's files.
pub(crate) struct Files {
    _reclaim: File,
    _counters: File,
    _connections: File,
}

impl Files {
    /// Makes them. CONTEXT: sleepable.
    ///
    /// The caller drops them before the namespace ends.
    pub(crate) fn new(net: &Net) -> Result<Self> {
        let connections = File::new::<Connections>(net, Folder::Net, c"nf_conntrack", 0o440)?;
        connections.give_to_root(net);
        let counters = File::new::<Counters>(net, Folder::Stat, c"nf_conntrack", 0o444)?;
        let reclaim = File::report::<Report>(net, Folder::Net, c"nf_conntrack_reclaim", 0o440)?;
        reclaim.give_to_root(net);
        Ok(Files {
            _reclaim: reclaim,
            _counters: counters,
            _connections: connections,
        })
    }
}

/// The connections of a namespace.
struct Connections;

/// Where a reader of [`Connections`] is.
#[derive(Zeroable)]
struct Place {
    /// The bucket.
    bucket: u32,
    /// How many entries of its chain have been listed, the current one included.
    listed: u32,
    /// When the read began, in nanoseconds since the epoch.
    now: u64,
}

impl Item for Candidate<'_> {
    fn into_ptr(self) -> NonNull<c_void> {
        // SAFETY: A node that was met is not null.
        unsafe { NonNull::new_unchecked(self.node().cast()) }
    }

    unsafe fn from_ptr(ptr: NonNull<c_void>) -> Self {
        // SAFETY: By this function's contract it was met in this read-side section.
        unsafe { Candidate::from_node(ptr.as_ptr().cast()) }
    }
}

impl NetFile for Connections {
    type Position = Place;
    type Item<'rcu> = Candidate<'rcu>;

    fn start<'rcu>(
        net: &Net,
        at: &mut Place,
        pos: &mut i64,
        rcu: Held<'rcu>,
    ) -> Option<Candidate<'rcu>> {
        at.now = time::real_ns();
        if *pos == 0 {
            at.bucket = 0;
            at.listed = 0;
        } else {
            // The last one was looked up, but it did not fit.
            at.listed = at.listed.saturating_sub(1);
        }
        advance(net, at, rcu)
    }

    fn next<'rcu>(
        net: &Net,
        at: &mut Place,
        pos: &mut i64,
        rcu: Held<'rcu>,
    ) -> Option<Candidate<'rcu>> {
        *pos = pos.wrapping_add(1);
        advance(net, at, rcu)
    }

    fn show<'rcu>(
        net: &Net,
        at: &mut Place,
        met: Candidate<'rcu>,
        _rcu: Held<'rcu>,
        out: &mut Writer,
    ) {
        let Some(conn) = met.get() else {
            return;
        };
        if conn.should_gc() {
            // The others of its chain move up.
            at.listed = at.listed.saturating_sub(1);
            conn::kill(&conn, 0, false);
            return;
        }
        // Between the walk and the reference it may have become another entry.
        if met.dir() == Dir::Original && conn.net() == net {
            // The writer keeps note of what does not fit.
            let _ = print(out, &conn, at.now);
        }
    }
}

/// The next entry to be listed.
fn advance<'rcu>(net: &Net, at: &mut Place, rcu: Held<'rcu>) -> Option<Candidate<'rcu>> {
    let table = Table::current(rcu);
    while let Some(bucket) = table.nth(at.bucket) {
        if let Some(met) = nth_of_chain(table, bucket, net, at.listed, rcu) {
            at.listed = at.listed.saturating_add(1);
            return Some(met);
        }
        at.listed = 0;
        at.bucket = at.bucket.saturating_add(1);
    }
    None
}

/// The entry of `net` in a chain that follows `skip` others of that kind. An entry stands for
/// itself in the chain of its original tuple.
fn nth_of_chain<'rcu>(
    table: &'rcu Table,
    bucket: Bucket,
    net: &Net,
    skip: u32,
    rcu: Held<'rcu>,
) -> Option<Candidate<'rcu>> {
    loop {
        let mut chain = table.chain(bucket, rcu);
        let mut wanted = skip;
        let found = chain.by_ref().find(|met| {
            if met.dir() != Dir::Original || !met.is_in(net) {
                return false;
            }
            let skipped = wanted.checked_sub(1);
            wanted = skipped.unwrap_or(0);
            skipped.is_none()
        });
        // Only the end tells which chain this was.
        chain.by_ref().for_each(drop);
        if !chain.strayed(bucket) {
            return found;
        }
    }
}

fn l3_name(number: u16) -> &'static str {
    match number {
        l3::IPV4 => "ipv4",
        l3::IPV6 => "ipv6",
        _ => "unknown",
    }
}

fn l4_name(number: u8) -> &'static str {
    match number {
        proto::ICMP => "icmp",
        proto::TCP => "tcp",
        proto::UDP => "udp",
        proto::GRE => "gre",
        proto::SCTP => "sctp",
        proto::ICMPV6 => "icmpv6",
        _ => "unknown",
    }
}

/// A connection's line.
fn print(out: &mut Writer, conn: &Conn, now: u64) -> fmt::Result {
    let (family, protocol, zone) = (conn.l3(), conn.proto(), conn.zone());
    write!(
        out,
        "{:<8} {family} {:<8} {protocol} ",
        l3_name(family),
        l4_name(protocol)
    )?;
    if !conn.has(Status::OFFLOAD) {
        write!(out, "{} ", conn.remaining() / HZ)?;
    }
    tracker_text(out, conn)?;
    print_tuple(out, &conn.tuple(Dir::Original), protocol)?;
    print_zone(out, "zone-orig", zone, ORIGINAL_WAY)?;
    print_counters(out, conn, Dir::Original)?;
    if !conn.has(Status::SEEN_REPLY) {
        out.write_str("[UNREPLIED] ")?;
    }
    print_tuple(out, &conn.tuple(Dir::Reply), protocol)?;
    print_zone(out, "zone-reply", zone, REPLY_WAY)?;
    print_counters(out, conn, Dir::Reply)?;
    out.write_str(mood(conn.status()))?;
    write!(out, "mark={} ", conn.mark())?;
    print_secctx(out, conn);
    print_zone(out, "zone", zone, Zone::BOTH_WAYS)?;
    print_age(out, conn, now)?;
    writeln!(out, "use={}", conn.references())
}

/// What the line says of a connection's standing.
fn mood(status: Status) -> &'static str {
    if status.any(Status::HW_OFFLOAD) {
        "[HW_OFFLOAD] "
    } else if status.any(Status::OFFLOAD) {
        "[OFFLOAD] "
    } else if status.any(Status::ASSURED) {
        "[ASSURED] "
    } else {
        ""
    }
}

/// What the tracker has to say: a state, or a flow's own timeouts.
pub(crate) fn tracker_text(out: &mut Writer, conn: &Conn) -> fmt::Result {
    match conn.proto() {
        // A flow table keeps the state to itself.
        proto::TCP if conn.has(Status::OFFLOAD) => Ok(()),
        proto::TCP => write!(out, "{} ", tcp::state_name(conn.tcp_state())),
        proto::SCTP => write!(out, "{} ", sctp::state_name(conn.sctp_state())),
        proto::GRE => {
            let timers = conn.gre_timers();
            let (timeout, stream) = (timers.unreplied / HZ, timers.replied / HZ);
            write!(out, "timeout={timeout}, stream_timeout={stream} ")
        }
        _ => Ok(()),
    }
}

/// A tuple, with a space behind each part.
pub(crate) fn print_tuple(out: &mut Writer, tuple: &Tuple, protocol: u8) -> fmt::Result {
    if let Some(family) = Family::from_number(tuple.src.l3) {
        let (src, dst) = (
            tuple.src.addr.display(family),
            tuple.dst.addr.display(family),
        );
        write!(out, "src={src} dst={dst} ")?;
    }
    let (src, dst) = (u16::from_be(tuple.src.id), u16::from_be(tuple.dst.id));
    match protocol {
        proto::TCP | proto::UDP | proto::SCTP => write!(out, "sport={src} dport={dst} "),
        proto::ICMP | proto::ICMPV6 => {
            let (kind, code) = tuple.icmp_type_code();
            write!(out, "type={kind} code={code} id={src} ")
        }
        proto::GRE => write!(out, "srckey=0x{src:x} dstkey=0x{dst:x} "),
        _ => Ok(()),
    }
}

/// A zone that counts for the original direction only, as its mask says it.
const ORIGINAL_WAY: u8 = 1;
/// A zone that counts for the reply direction only.
const REPLY_WAY: u8 = 2;

/// The zone, where it counts in the directions `way`.
fn print_zone(out: &mut Writer, name: &str, zone: Zone, way: u8) -> fmt::Result {
    if zone.dir_mask() == way {
        write!(out, "{name}={} ", zone.number())?;
    }
    Ok(())
}

fn print_counters(out: &mut Writer, conn: &Conn, dir: Dir) -> fmt::Result {
    let Some(acct) = conn.ext::<bindings::nf_conn_acct>() else {
        return Ok(());
    };
    // SAFETY: The reference keeps the extension; it has a counter for each direction.
    let (packets, bytes) = unsafe {
        let counter = (&raw const (*acct.as_ptr()).counter)
            .cast::<bindings::nf_conn_counter>()
            .add(dir.index());
        // The same words as unsigned ones, which is how they count.
        (
            read_once((&raw const (*counter).packets.counter).cast::<u64>()),
            read_once((&raw const (*counter).bytes.counter).cast::<u64>()),
        )
    };
    write!(out, "packets={packets} bytes={bytes} ")
}

fn print_secctx(out: &mut Writer, conn: &Conn) {
    // SAFETY: A word of the entry, whose reference is held.
    let mark = unsafe { read_once(&raw const (*conn.as_ptr()).secmark) };
    if let Ok(context) = SecurityCtx::from_secid(mark) {
        out.bytes(b"secctx=");
        out.bytes(context.as_bytes());
        out.bytes(b" ");
    }
}

/// For how long the connection has been there, in seconds.
fn print_age(out: &mut Writer, conn: &Conn, now: u64) -> fmt::Result {
    const NANOSECONDS: u64 = 1_000_000_000;
    let Some(tstamp) = conn.ext::<bindings::nf_conn_tstamp>() else {
        return Ok(());
    };
    // SAFETY: The reference keeps the extension.
    let began = unsafe { read_once(&raw const (*tstamp.as_ptr()).start) };
    // The wall clock may have been set back.
    let age = now.saturating_sub(began) / NANOSECONDS;
    write!(out, "delta-time={age} ")
}

/// The counters of a namespace, a line a CPU.
struct Counters;

/// A line of [`Counters`].
#[derive(Clone, Copy)]
enum Line {
    Heading,
    Cpu(u32),
}

impl Item for Line {
    fn into_ptr(self) -> NonNull<c_void> {
        let number = match self {
            Line::Heading => 1,
            Line::Cpu(cpu) => usize::try_from(cpu).unwrap_or(0).saturating_add(2),
        };
        NonNull::new(without_provenance_mut(number)).unwrap_or(NonNull::dangling())
    }

    unsafe fn from_ptr(ptr: NonNull<c_void>) -> Self {
        match ptr.addr().get().checked_sub(2) {
            None => Line::Heading,
            Some(cpu) => Line::Cpu(u32::try_from(cpu).unwrap_or(0)),
        }
    }
}

impl Line {
    /// The line at index `pos`: the heading, then the possible CPUs. `pos` becomes the index of
    /// the line that was found, as if CPUs that cannot be had lines.
    fn at(pos: &mut i64) -> Option<Self> {
        let Some(first) = pos.checked_sub(1).and_then(|cpu| u32::try_from(cpu).ok()) else {
            return Some(Line::Heading);
        };
        // SAFETY: Any number may be asked for below the limit.
        let possible = |cpu: &u32| unsafe { bindings::rct_cpu_possible(*cpu) };
        let cpu = (first..nr_cpu_ids()).find(possible);
        *pos = cpu.map_or(i64::from(first), i64::from).saturating_add(1);
        cpu.map(Line::Cpu)
    }
}

impl NetFile for Counters {
    type Position = ();
    type Item<'rcu> = Line;

    fn start<'rcu>(_: &Net, (): &mut (), pos: &mut i64, _: Held<'rcu>) -> Option<Line> {
        Line::at(pos)
    }

    fn next<'rcu>(_: &Net, (): &mut (), pos: &mut i64, _: Held<'rcu>) -> Option<Line> {
        *pos = pos.wrapping_add(1);
        Line::at(pos)
    }

    fn show<'rcu>(net: &Net, (): &mut (), line: Line, _: Held<'rcu>, out: &mut Writer) {
        // The writer keeps note of what does not fit.
        let _ = match line {
            Line::Heading => out.write_str(HEADING),
            Line::Cpu(cpu) => print_cpu(out, net, cpu),
        };
    }
}

/// Kept as it is for those who parse it, with names of counters that are no more.
const HEADING: &str = "entries  clashres found new invalid ignore delete chainlength insert \
                       insert_failed drop early_drop icmp_error  expect_new expect_create \
                       expect_delete search_restart\n";

/// A column of [`Counters`] after the number of entries: a counter, or one that is no more.
type Column = Option<usize>;

macro_rules! columns {
    (@ -) => { None };
    (@ $name:ident) => { Some(offset_of!(bindings::ip_conntrack_stat, $name)) };
    ($($name:tt)*) => { [$(columns!(@ $name)),*] };
}

const COLUMNS: [Column; 16] = columns! {
    clash_resolve found - invalid - - chaintoolong insert insert_failed drop early_drop error
    expect_new expect_create expect_delete search_restart
};

/// The columns that begin a group: an extra space stands before them.
const GROUPS: [usize; 2] = [0, 12];

fn print_cpu(out: &mut Writer, net: &Net, cpu: u32) -> fmt::Result {
    write!(out, "{:08x}", net.private().entries().load(Relaxed))?;
    // SAFETY: A possible CPU; the namespace has its counters while it has files.
    let counters = unsafe { bindings::rct_stat_of_cpu(net.as_ptr(), cpu) }.cast::<u8>();
    for (at, column) in COLUMNS.iter().enumerate() {
        let value = column.map_or(0, |offset| {
            // SAFETY: The offset of a counter.
            unsafe { read_once(counters.add(offset).cast::<u32>()) }
        });
        let space = if GROUPS.contains(&at) { "  " } else { " " };
        write!(out, "{space}{value:08x}")?;
    }
    out.write_str("\n")
}
