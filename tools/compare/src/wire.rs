// SPDX-License-Identifier: GPL-2.0

//! Bytes of packets: well-formed ones first, each then open to being spoilt.

/// An address of either family; `host` tells the roles of a sequence apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addr {
    pub v6: bool,
    /// Role of the host in its sequence, 1 to 200.
    pub host: u8,
    /// The sequence, so that no two sequences share a flow.
    pub number: u32,
}

impl Addr {
    pub fn bytes(self) -> Vec<u8> {
        let n = self.number.to_be_bytes();
        if self.v6 {
            let mut a = [0; 16];
            a[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            a[4] = self.host;
            a[8..12].copy_from_slice(&n);
            a[15] = 1;
            a.to_vec()
        } else {
            vec![10 + self.host, n[1], n[2], n[3]]
        }
    }
}

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const GRE: u8 = 47;
pub const ESP: u8 = 50;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;
pub const UDPLITE: u8 = 136;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;

fn sum(mut acc: u64, bytes: &[u8]) -> u64 {
    for pair in bytes.chunks(2) {
        acc += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    acc
}

fn fold(mut acc: u64) -> u16 {
    while acc > 0xffff {
        acc = (acc & 0xffff) + (acc >> 16);
    }
    !(acc as u16)
}

fn pseudo(src: Addr, dst: Addr, proto: u8, len: usize) -> u64 {
    let mut acc = sum(0, &src.bytes());
    acc = sum(acc, &dst.bytes());
    acc + u64::from(proto) + len as u64
}

/// Options of a TCP header, before padding.
#[derive(Clone, Debug, Default)]
pub struct TcpOptions {
    pub mss: Option<u16>,
    pub wscale: Option<u8>,
    pub sack_perm: bool,
    pub timestamp: Option<(u32, u32)>,
    pub sack: Vec<(u32, u32)>,
    pub raw: Vec<u8>,
}

impl TcpOptions {
    fn bytes(&self) -> Vec<u8> {
        let mut o = Vec::new();
        if let Some(mss) = self.mss {
            o.extend([2, 4]);
            o.extend(mss.to_be_bytes());
        }
        if self.sack_perm {
            o.extend([4, 2]);
        }
        if let Some((value, echo)) = self.timestamp {
            // As stacks write it in segments that carry nothing else.
            o.extend([1, 1]);
            o.extend([8, 10]);
            o.extend(value.to_be_bytes());
            o.extend(echo.to_be_bytes());
        }
        if let Some(shift) = self.wscale {
            o.extend([3, 3, shift]);
        }
        if !self.sack.is_empty() {
            o.extend([1, 1, 5, (2 + 8 * self.sack.len().min(4)) as u8]);
            for (from, to) in self.sack.iter().take(4) {
                o.extend(from.to_be_bytes());
                o.extend(to.to_be_bytes());
            }
        }
        o.extend(&self.raw);
        o.truncate(40);
        while o.len() % 4 != 0 {
            o.push(if self.raw.is_empty() { 1 } else { 0 });
        }
        o
    }
}

#[derive(Clone, Debug, Default)]
pub struct Segment {
    pub sport: u16,
    pub dport: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub win: u16,
    pub options: TcpOptions,
    pub len: u16,
}

pub fn tcp(src: Addr, dst: Addr, s: &Segment) -> Vec<u8> {
    tcp_saying(src, dst, s, &vec![0x5a; usize::from(s.len)])
}

/// As [`tcp`], but with this payload whatever the segment's length says.
pub fn tcp_saying(src: Addr, dst: Addr, s: &Segment, payload: &[u8]) -> Vec<u8> {
    let options = s.options.bytes();
    let mut b = Vec::with_capacity(20 + options.len() + payload.len());
    b.extend(s.sport.to_be_bytes());
    b.extend(s.dport.to_be_bytes());
    b.extend(s.seq.to_be_bytes());
    b.extend(s.ack.to_be_bytes());
    b.push(((5 + options.len() / 4) << 4) as u8);
    b.push(s.flags);
    b.extend(s.win.to_be_bytes());
    b.extend([0; 4]);
    b.extend(options);
    b.extend(payload);
    let check = fold(sum(pseudo(src, dst, TCP, b.len()), &b));
    b[16..18].copy_from_slice(&check.to_be_bytes());
    b
}

pub fn udp(src: Addr, dst: Addr, sport: u16, dport: u16, len: usize) -> Vec<u8> {
    udp_saying(src, dst, sport, dport, &vec![0x33; len])
}

pub fn udp_saying(src: Addr, dst: Addr, sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    let mut b = Vec::with_capacity(8 + len);
    b.extend(sport.to_be_bytes());
    b.extend(dport.to_be_bytes());
    b.extend(((8 + len) as u16).to_be_bytes());
    b.extend([0; 2]);
    b.extend(payload);
    let check = match fold(sum(pseudo(src, dst, UDP, b.len()), &b)) {
        0 => 0xffff,
        c => c,
    };
    b[6..8].copy_from_slice(&check.to_be_bytes());
    b
}

/// An ICMP or ICMPv6 message; `rest` is the second word of the header.
pub fn icmp(src: Addr, dst: Addr, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut b = vec![kind, code, 0, 0];
    b.extend(rest);
    b.extend(body);
    let start = if src.v6 {
        pseudo(src, dst, ICMPV6, b.len())
    } else {
        0
    };
    let check = fold(sum(start, &b));
    b[2..4].copy_from_slice(&check.to_be_bytes());
    b
}

/// One SCTP chunk: type, flags, body.
pub type Chunk = (u8, u8, Vec<u8>);

pub fn sctp(sport: u16, dport: u16, vtag: u32, chunks: &[Chunk]) -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(sport.to_be_bytes());
    b.extend(dport.to_be_bytes());
    b.extend(vtag.to_be_bytes());
    b.extend([0; 4]);
    for (kind, flags, body) in chunks {
        b.push(*kind);
        b.push(*flags);
        b.extend(((4 + body.len()) as u16).to_be_bytes());
        b.extend(body);
        b.resize(b.len().next_multiple_of(4), 0);
    }
    let crc = crc32c(&b);
    b[8..12].copy_from_slice(&crc.to_le_bytes());
    b
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// What lies between addresses and transport header.
#[derive(Clone, Debug, Default)]
pub struct Ip {
    /// Identification, v4 and the fragment header of v6.
    pub id: u32,
    pub dont_fragment: bool,
    /// Offset in units of 8 bytes, and whether more follow.
    pub fragment: Option<(u16, bool)>,
    /// IPv4 options, padded here to 4 bytes.
    pub options: Vec<u8>,
    /// IPv6 extension headers: type and whole bytes but for the first, the
    /// next header, which is filled in here.
    pub ext: Vec<(u8, Vec<u8>)>,
}

/// A packet with `l4` as it is behind the network header.
pub fn packet(src: Addr, dst: Addr, proto: u8, ip: &Ip, l4: &[u8]) -> Vec<u8> {
    if src.v6 {
        v6(src, dst, proto, ip, l4)
    } else {
        v4(src, dst, proto, ip, l4)
    }
}

fn v4(src: Addr, dst: Addr, proto: u8, ip: &Ip, l4: &[u8]) -> Vec<u8> {
    let mut options = ip.options.clone();
    options.truncate(40);
    options.resize(options.len().next_multiple_of(4), 0);
    let header = 20 + options.len();
    let frag = match ip.fragment {
        Some((offset, more)) => offset & 0x1fff | u16::from(more) << 13,
        None => u16::from(ip.dont_fragment) << 14,
    };
    let mut b = Vec::with_capacity(header + l4.len());
    b.push(0x40 | (header / 4) as u8);
    b.push(0);
    b.extend(((header + l4.len()) as u16).to_be_bytes());
    b.extend((ip.id as u16).to_be_bytes());
    b.extend(frag.to_be_bytes());
    b.extend([64, proto, 0, 0]);
    b.extend(src.bytes());
    b.extend(dst.bytes());
    b.extend(options);
    fix_v4_checksum(&mut b);
    b.extend(l4);
    b
}

/// Makes the header checksum right again, if there is a header to speak of.
pub fn fix_v4_checksum(b: &mut [u8]) {
    let header = usize::from(b.first().map_or(0, |v| v & 15)) * 4;
    if header < 20 || b.len() < header {
        return;
    }
    b[10..12].fill(0);
    let check = fold(sum(0, &b[..header]));
    b[10..12].copy_from_slice(&check.to_be_bytes());
}

fn v6(src: Addr, dst: Addr, proto: u8, ip: &Ip, l4: &[u8]) -> Vec<u8> {
    let mut ext = ip.ext.clone();
    if let Some((offset, more)) = ip.fragment {
        let mut h = vec![0, 0];
        h.extend((offset << 3 | u16::from(more)).to_be_bytes());
        h.extend(ip.id.to_be_bytes());
        ext.push((44, h));
    }
    let payload: usize = ext.iter().map(|(_, h)| h.len()).sum::<usize>() + l4.len();
    let mut b = Vec::with_capacity(40 + payload);
    b.extend([0x60, 0, 0, 0]);
    b.extend((payload as u16).to_be_bytes());
    b.push(ext.first().map_or(proto, |(kind, _)| *kind));
    b.push(64);
    b.extend(src.bytes());
    b.extend(dst.bytes());
    for (i, (_, header)) in ext.iter().enumerate() {
        let at = b.len();
        b.extend(header);
        if at < b.len() {
            b[at] = ext.get(i + 1).map_or(proto, |(kind, _)| *kind);
        }
    }
    b.extend(l4);
    b
}

/// Cuts a packet into fragments of `piece` bytes of payload, a multiple of 8.
pub fn fragments(
    src: Addr,
    dst: Addr,
    proto: u8,
    ip: &Ip,
    l4: &[u8],
    piece: usize,
) -> Vec<Vec<u8>> {
    let piece = (piece / 8 * 8).max(8);
    let count = l4.len().div_ceil(piece).max(1);
    (0..count)
        .map(|i| {
            let from = i * piece;
            let to = (from + piece).min(l4.len());
            let ip = Ip {
                fragment: Some(((from / 8) as u16, i + 1 < count)),
                ..ip.clone()
            };
            packet(src, dst, proto, &ip, &l4[from..to])
        })
        .collect()
}

/// Where the transport header starts and which one it is, for well-formed
/// packets; extension headers are walked.
pub fn transport(b: &[u8]) -> Option<(u8, usize)> {
    match b.first()? >> 4 {
        4 => {
            let at = usize::from(b[0] & 15) * 4;
            (b.len() >= 20.max(at)).then(|| (b[9], at))
        }
        6 => {
            let mut next = *b.get(6)?;
            let mut at = 40;
            while matches!(next, 0 | 43 | 44 | 60) {
                let len = if next == 44 {
                    8
                } else {
                    (usize::from(*b.get(at + 1)?) + 1) * 8
                };
                next = *b.get(at)?;
                at += len;
            }
            (b.len() >= at).then_some((next, at))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_add_up() {
        for v6 in [false, true] {
            let a = Addr {
                v6,
                host: 1,
                number: 77,
            };
            let b = Addr {
                v6,
                host: 2,
                number: 77,
            };
            for len in [0, 1, 100] {
                let u = udp(a, b, 1, 2, len);
                assert_eq!(fold(sum(pseudo(a, b, UDP, u.len()), &u)), 0);
                let s = Segment {
                    len: len as u16,
                    ..Default::default()
                };
                let t = tcp(a, b, &s);
                assert_eq!(fold(sum(pseudo(a, b, TCP, t.len()), &t)), 0);
                let p = packet(a, b, UDP, &Ip::default(), &u);
                assert_eq!(transport(&p), Some((UDP, if v6 { 40 } else { 20 })));
            }
        }
    }

    #[test]
    fn crc_of_nine_digits() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn extension_headers_are_walked() {
        let a = Addr {
            v6: true,
            host: 1,
            number: 1,
        };
        let ip = Ip {
            ext: vec![
                (0, vec![0, 0, 1, 4, 0, 0, 0, 0]),
                (60, vec![0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ],
            fragment: Some((0, false)),
            ..Default::default()
        };
        let p = packet(a, a, UDP, &ip, &[0; 8]);
        assert_eq!(transport(&p), Some((UDP, 40 + 8 + 16 + 8)));
    }
}
