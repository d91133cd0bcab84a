// SPDX-License-Identifier: GPL-2.0

//! What BPF programs ask for: options and a tuple, as bytes of the program's memory.
//!
//! Only TCP and UDP are served. Where two things are wrong, the order of the checks decides which
//! error the program sees; looking up and making an entry differ in it, as in Linux.
//!
//! C counterpart's behaviour: `net/netfilter/nf_conntrack_bpf.c`.

use super::super::tuple::l3;
use super::super::tuple::proto;
use super::super::tuple::Addr;
use super::super::tuple::Destination;
use super::super::tuple::Source;
use super::super::tuple::Tuple;

/// Options of the full size, `struct bpf_ct_opts`.
pub const OPTIONS_SIZE: u32 = 16;
/// Options without a zone, as older programs have them.
pub const OLD_OPTIONS_SIZE: u32 = 12;
/// The namespace number that stands for the one of the packet.
const CURRENT: i32 = -1;
/// A zone for both directions.
const BOTH_WAYS: u8 = 3;

/// Why a request is refused; the program sees an errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// `EINVAL`: a size, a reserved byte, a namespace that cannot be.
    Invalid,
    /// `EPROTO`: neither TCP nor UDP.
    Protocol,
    /// `EAFNOSUPPORT`: a tuple of another size than those of IPv4 and IPv6.
    Family,
}

/// The fields of a program's options, as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw {
    /// Which namespace.
    pub netns: i32,
    /// Which protocol.
    pub proto: u8,
    /// Which zone.
    pub zone: u16,
    /// What only options of [`OPTIONS_SIZE`] have: the directions of the zone, and bytes for later.
    pub rest: Option<(u8, [u8; 3])>,
}

/// What an entry is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be found.
    Lookup,
    /// To be made.
    Make,
}

/// A valid request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number of the namespace; `None` for the packet's own.
    pub netns: Option<u32>,
    /// The zone's number and directions; `None` for the default one.
    pub zone: Option<(u16, u8)>,
    /// The original direction.
    pub tuple: Tuple,
}

impl Request {
    /// The request that options `raw` and the bytes of a tuple make.
    ///
    /// ```text
    ///            lookup              make
    /// 1   reserved bytes, a zone without room for one   EINVAL
    /// 2   protocol  EPROTO           namespace EINVAL
    /// 3   namespace EINVAL           protocol  EPROTO
    /// 4   size of the tuple                             EAFNOSUPPORT
    /// ```
    pub fn parse(raw: &Raw, tuple: &[u8], purpose: Purpose) -> Result<Self, Reject> {
        let zone = match raw.rest {
            Some((_, reserved)) if reserved != [0; 3] => return Err(Reject::Invalid),
            Some((0, _)) => Some((raw.zone, BOTH_WAYS)),
            Some((dir, _)) => Some((raw.zone, dir)),
            None if raw.zone != 0 => return Err(Reject::Invalid),
            None => None,
        };
        let known = raw.proto == proto::TCP || raw.proto == proto::UDP;
        if purpose == Purpose::Lookup && !known {
            return Err(Reject::Protocol);
        }
        let netns = match raw.netns {
            CURRENT => None,
            number => Some(u32::try_from(number).map_err(|_| Reject::Invalid)?),
        };
        if !known {
            return Err(Reject::Protocol);
        }
        Ok(Request {
            netns,
            zone,
            tuple: tuple_of(tuple, raw.proto).ok_or(Reject::Family)?,
        })
    }
}

/// The original tuple in `struct bpf_sock_tuple`: addresses, then ports, in network order.
fn tuple_of(bytes: &[u8], proto: u8) -> Option<Tuple> {
    let (l3, src, dst, ports) = match bytes.len() {
        12 => {
            let (src, rest) = bytes.split_first_chunk::<4>()?;
            let (dst, ports) = rest.split_first_chunk::<4>()?;
            (l3::IPV4, Addr::v4(*src), Addr::v4(*dst), ports)
        }
        36 => {
            let (src, rest) = bytes.split_first_chunk::<16>()?;
            let (dst, ports) = rest.split_first_chunk::<16>()?;
            (l3::IPV6, Addr::v6(*src), Addr::v6(*dst), ports)
        }
        _ => return None,
    };
    let (sport, rest) = ports.split_first_chunk::<2>()?;
    let (dport, _) = rest.split_first_chunk::<2>()?;
    Some(Tuple {
        src: Source {
            addr: src,
            id: u16::from_ne_bytes(*sport),
            l3,
        },
        dst: Destination {
            addr: dst,
            id: u16::from_ne_bytes(*dport),
            proto,
            dir: 0,
        },
    })
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_wire_bpf)
)]
mod tests {
    use super::*;

    const V4: [u8; 12] = [10, 0, 1, 2, 10, 0, 2, 2, 0x04, 0xd2, 0, 80];

    fn raw() -> Raw {
        Raw {
            netns: -1,
            proto: proto::TCP,
            zone: 0,
            rest: Some((0, [0; 3])),
        }
    }

    fn refused(raw: &Raw, tuple: &[u8], purpose: Purpose) -> Option<Reject> {
        Request::parse(raw, tuple, purpose).err()
    }

    #[test]
    fn a_request_of_either_family() {
        let request = Request::parse(&raw(), &V4, Purpose::Lookup).ok();
        let tuple = request.map(|request| request.tuple).unwrap_or_default();
        assert_eq!(tuple.src.l3, l3::IPV4);
        assert_eq!(tuple.src.id, 1234u16.to_be());
        assert_eq!(tuple.dst.id, 80u16.to_be());
        let dst = Addr::v4([10, 0, 2, 2]);
        assert_eq!(tuple.dst.addr, dst);
        let mut v6 = [0; 36];
        v6[0] = 0x20;
        v6[31] = 9;
        v6[35] = 53;
        let request = Request::parse(&raw(), &v6, Purpose::Make).ok();
        let tuple = request.map(|request| request.tuple).unwrap_or_default();
        assert_eq!(tuple.src.l3, l3::IPV6);
        assert_eq!(tuple.dst.addr.bytes()[15], 9);
        assert_eq!(tuple.dst.id, 53u16.to_be());
    }

    #[test]
    fn zones() {
        let zone = |raw: &Raw| Request::parse(raw, &V4, Purpose::Make).map(|r| r.zone);
        let mut wish = raw();
        wish.zone = 7;
        assert_eq!(zone(&wish), Ok(Some((7, 3))));
        wish.rest = Some((1, [0; 3]));
        assert_eq!(zone(&wish), Ok(Some((7, 1))));
        wish.rest = None;
        assert_eq!(zone(&wish), Err(Reject::Invalid));
        wish.zone = 0;
        assert_eq!(zone(&wish), Ok(None));
    }

    #[test]
    fn namespaces() {
        let netns = |number| {
            let wish = Raw {
                netns: number,
                ..raw()
            };
            Request::parse(&wish, &V4, Purpose::Lookup).map(|r| r.netns)
        };
        assert_eq!(netns(-1), Ok(None));
        assert_eq!(netns(0), Ok(Some(0)));
        assert_eq!(netns(i32::MAX), Ok(Some(0x7fff_ffff)));
        assert_eq!(netns(-2), Err(Reject::Invalid));
        assert_eq!(netns(i32::MIN), Err(Reject::Invalid));
    }

    #[test]
    fn the_order_of_errors() {
        let mut wish = raw();
        wish.proto = proto::ICMP;
        wish.netns = -5;
        let (lookup, make) = (Purpose::Lookup, Purpose::Make);
        assert_eq!(refused(&wish, &[], lookup), Some(Reject::Protocol));
        assert_eq!(refused(&wish, &[], make), Some(Reject::Invalid));
        wish.netns = -1;
        assert_eq!(refused(&wish, &[], make), Some(Reject::Protocol));
        wish.proto = proto::UDP;
        for size in [0usize, 11, 13, 35] {
            let bytes = [0; 36];
            let part = bytes.get(..size).unwrap_or_default();
            assert_eq!(refused(&wish, part, lookup), Some(Reject::Family));
            assert_eq!(refused(&wish, part, make), Some(Reject::Family));
        }
        wish.rest = Some((0, [0, 1, 0]));
        assert_eq!(refused(&wish, &[], lookup), Some(Reject::Invalid));
    }
}
