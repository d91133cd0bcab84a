// SPDX-License-Identifier: GPL-2.0

//! `SO_ORIGINAL_DST`: where a connection was going before its destination was translated.
//!
//! A proxy asks with the socket that it accepted. What the socket knows is the reply's tuple; the
//! connection that has it knows the original one.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_proto.c`.

use kernel::ffi::c_int;
use kernel::prelude::*;
use kernel::sync::rcu;

use crate::bindings;
use crate::engine::table;
use crate::linux::rcu::Held;
use crate::linux::sockopt;
use crate::linux::sockopt::Answer;
use crate::linux::sockopt::Ends;
use crate::linux::sockopt::ReadOption;
use crate::linux::sockopt::Registration;
use crate::linux::sockopt::Socket;
use crate::linux::zone::Zone;
use crate::pure::num::Dir;
use crate::pure::tuple::proto;
use crate::pure::tuple::Destination;
use crate::pure::tuple::Family;

/// The option on IPv4 sockets.
pub(crate) struct OriginalV4;

/// The option on IPv6 sockets.
pub(crate) struct OriginalV6;

/// A registered option.
pub(crate) type Registered<O> = Registration<O>;

const SOCKADDR_IN: usize = 16;
const SOCKADDR_IN6: usize = 28;

impl ReadOption for OriginalV4 {
    const FAMILY: Family = Family::V4;
    const NUMBER: c_int = bindings::SO_ORIGINAL_DST as c_int;

    fn get(socket: Socket<'_>, answer: Answer) -> Result {
        let (to, _) = original(socket, answer.room(), SOCKADDR_IN)?;
        answer.give(&sockaddr_in(&to))
    }
}

impl ReadOption for OriginalV6 {
    const FAMILY: Family = Family::V6;
    // `IP6T_SO_ORIGINAL_DST`, the same number.
    const NUMBER: c_int = bindings::SO_ORIGINAL_DST as c_int;

    fn get(socket: Socket<'_>, answer: Answer) -> Result {
        let (to, ends) = original(socket, answer.room(), SOCKADDR_IN6)?;
        let scope = sockopt::scope_id(&to.addr.bytes(), ends.device);
        answer.give(&sockaddr_in6(&to, ends.flow_label, scope))
    }
}

/// The original destination of the socket's connection.
fn original(socket: Socket<'_>, room: c_int, wanted: usize) -> Result<(Destination, Ends)> {
    let ends = socket.ends();
    if !matches!(ends.tuple.dst.proto, proto::TCP | proto::SCTP) {
        return Err(ENOPROTOOPT);
    }
    if usize::try_from(room).map_or(true, |room| room < wanted) {
        return Err(EINVAL);
    }
    let guard = rcu::read_lock();
    let found = table::find_get(socket.net(), &ends.tuple, Zone::DEFAULT, Held::by(&guard));
    drop(guard);
    let (conn, _) = found.ok_or(ENOENT)?;
    Ok((conn.tuple(Dir::Original).dst, ends))
}

/// `struct sockaddr_in`: family, port, address, eight zeros.
fn sockaddr_in(to: &Destination) -> [u8; SOCKADDR_IN] {
    let f = (bindings::AF_INET as u16).to_ne_bytes();
    let p = to.id.to_ne_bytes();
    let a = to.addr.bytes();
    [
        f[0], f[1], p[0], p[1], a[0], a[1], a[2], a[3], 0, 0, 0, 0, 0, 0, 0, 0,
    ]
}

/// `struct sockaddr_in6`: family, port, flow label, address, scope. The label in network order.
fn sockaddr_in6(to: &Destination, flow_label: u32, scope: u32) -> [u8; SOCKADDR_IN6] {
    let mut bytes = [0; SOCKADDR_IN6];
    let family = (bindings::AF_INET6 as u16).to_ne_bytes();
    let port = to.id.to_ne_bytes();
    let parts: [&[u8]; 5] = [
        &family,
        &port,
        &flow_label.to_ne_bytes(),
        &to.addr.bytes(),
        &scope.to_ne_bytes(),
    ];
    for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    bytes
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(nf_conntrack_sockopt)]
mod tests {
    use super::*;
    use crate::pure::tuple::Addr;

    fn to(addr: Addr) -> Destination {
        Destination {
            addr,
            id: 8080u16.to_be(),
            proto: proto::TCP,
            dir: 0,
        }
    }

    #[test]
    fn an_ipv4_answer_is_a_sockaddr_in() {
        let bytes = sockaddr_in(&to(Addr::v4([192, 0, 2, 7])));
        assert_eq!(bytes[2..8], [0x1f, 0x90, 192, 0, 2, 7]);
        assert_eq!(bytes[8..], [0; 8]);
    }

    #[test]
    fn an_ipv6_answer_is_a_sockaddr_in6() {
        let mut addr = [0; 16];
        addr[0] = 0xfe;
        addr[1] = 0x80;
        addr[15] = 9;
        let bytes = sockaddr_in6(&to(Addr::v6(addr)), 0x12345u32.to_be(), 3);
        assert_eq!(bytes[2..8], [0x1f, 0x90, 0, 1, 0x23, 0x45]);
        assert_eq!(bytes[8..24], addr);
        assert_eq!(bytes[24..], 3u32.to_ne_bytes());
    }
}
