// SPDX-License-Identifier: GPL-2.0

//! The records of `/dev/ct_feeder`, as `tools/feeder/ct_feeder.h` lays them out.
//!
//! Reading and writing of bytes only; what the numbers mean to a reader of a
//! report is in `show`, which of them must agree is in `diff`.

/// The hooks that a packet goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Path {
    /// PRE_ROUTING, LOCAL_IN.
    In,
    /// PRE_ROUTING, FORWARD, POST_ROUTING.
    Forward,
    /// LOCAL_OUT, POST_ROUTING.
    Out,
    /// LOCAL_OUT, POST_ROUTING, PRE_ROUTING, LOCAL_IN.
    Loop,
    /// PRE_ROUTING, then lost.
    Pre,
    /// LOCAL_OUT, then lost.
    LostOut,
    /// No packet: a held one goes on.
    Release,
}

pub const SEQ_START: u16 = 0x01;
pub const HOLD: u16 = 0x02;
pub const CLONE: u16 = 0x04;
pub const CSUM_OK: u16 = 0x08;

pub const RESULT_SIZE: usize = 64;
pub const ENTRY_SIZE: usize = 216;
pub const MAX_LEN: usize = 9000;
pub const MAX_NONLINEAR: usize = 4096;

pub const OUTCOMES: [&str; 5] = ["done", "rejected", "held", "missing", "no-zone"];
pub const STATES: [&str; 5] = ["none", "untracked", "template", "entry", "gone"];
pub const STATE_ENTRY: u8 = 3;
pub const STATS: [&str; 13] = [
    "found",
    "invalid",
    "insert",
    "insert_failed",
    "clash_resolve",
    "drop",
    "early_drop",
    "error",
    "expect_new",
    "expect_create",
    "expect_delete",
    "search_restart",
    "chaintoolong",
];
/// Counts lost races of lock-free lookups: no property of the packets.
pub const STAT_SEARCH_RESTART: usize = 11;

/// One packet as it is fed, with why it is there.
#[derive(Clone, Debug)]
pub struct Step {
    pub path: Path,
    pub v6: bool,
    pub flags: u16,
    /// Bytes in the head of the skb; the rest lies in a fragment page.
    pub linear: u16,
    pub delay_ms: u32,
    pub mark: u32,
    pub hold_ref: u16,
    /// Zone id, 0 for none; direction bits; 1 for "id from mark".
    pub zone: (u16, u8, u8),
    pub bytes: Vec<u8>,
    pub note: String,
}

impl Step {
    /// The ports of its transport header, or the number of an ICMP query, which stands where ports of
    /// others do not. Zeros of what has none.
    pub fn ports(&self) -> [u16; 3] {
        let head = match self.bytes.first() {
            _ if self.v6 => 40,
            Some(first) => usize::from(first & 15) * 4,
            None => 0,
        };
        [0, 2, 4].map(|at| match self.bytes.get(head + at..head + at + 2) {
            Some(two) => u16::from_be_bytes([two[0], two[1]]),
            None => 0,
        })
    }

    pub fn new(path: Path, v6: bool, bytes: Vec<u8>) -> Self {
        Step {
            path,
            v6,
            flags: 0,
            linear: u16::MAX,
            delay_ms: 0,
            mark: 0,
            hold_ref: 0,
            zone: (0, 0, 0),
            bytes,
            note: String::new(),
        }
    }

    /// Appends the record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let len = self.bytes.len().min(MAX_LEN);
        let linear = usize::from(self.linear).max(len.saturating_sub(MAX_NONLINEAR));
        out.extend_from_slice(&(len as u16).to_ne_bytes());
        out.extend_from_slice(&(linear.min(usize::from(u16::MAX)) as u16).to_ne_bytes());
        out.push(if self.v6 { 6 } else { 4 });
        out.push(self.path as u8);
        out.extend_from_slice(&self.flags.to_ne_bytes());
        out.extend_from_slice(&self.delay_ms.to_ne_bytes());
        out.extend_from_slice(&self.mark.to_ne_bytes());
        out.extend_from_slice(&self.hold_ref.to_ne_bytes());
        out.extend_from_slice(&self.zone.0.to_ne_bytes());
        out.push(self.zone.1);
        out.push(self.zone.2);
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.bytes[..len]);
        out.resize(out.len().next_multiple_of(8), 0);
    }
}

/// Reads fixed-size numbers from a record at given places.
#[derive(Clone, Copy)]
struct At<'a>(&'a [u8]);

impl At<'_> {
    fn u8(self, at: usize) -> u8 {
        self.0[at]
    }
    fn u16(self, at: usize) -> u16 {
        u16::from_ne_bytes(self.0[at..at + 2].try_into().unwrap())
    }
    fn u32(self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().unwrap())
    }
    fn i32(self, at: usize) -> i32 {
        self.u32(at) as i32
    }
    fn u64(self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().unwrap())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuple {
    pub src: [u8; 16],
    pub dst: [u8; 16],
    pub sport: u16,
    pub dport: u16,
    pub proto: u8,
    pub dir: u8,
    pub l3num: u16,
}

impl Tuple {
    fn decode(at: At<'_>, o: usize) -> Self {
        Tuple {
            src: at.0[o..o + 16].try_into().unwrap(),
            dst: at.0[o + 16..o + 32].try_into().unwrap(),
            sport: u16::from_be(at.u16(o + 32)),
            dport: u16::from_be(at.u16(o + 34)),
            proto: at.u8(o + 36),
            dir: at.u8(o + 37),
            l3num: at.u16(o + 38),
        }
    }
}

/// An entry as it was after a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: u16,
    pub current: bool,
    pub expired: bool,
    pub zone: u16,
    pub zone_dir: u8,
    pub ext: u16,
    pub status: u32,
    pub mark: u32,
    pub tuple: [Tuple; 2],
    pub acct: [u64; 4],
    pub proto: [u8; 64],
    pub master: u16,
    pub remaining: i32,
    pub stream: i32,
    pub use_count: i32,
}

impl Entry {
    fn decode(b: &[u8]) -> Self {
        let at = At(b);
        let flags = at.u8(2);
        Entry {
            id: at.u16(0),
            current: flags & 1 != 0,
            expired: flags & 2 != 0,
            zone_dir: at.u8(3),
            zone: at.u16(4),
            ext: at.u16(6),
            status: at.u32(8),
            mark: at.u32(12),
            tuple: [Tuple::decode(at, 16), Tuple::decode(at, 56)],
            acct: std::array::from_fn(|i| at.u64(96 + 8 * i)),
            proto: b[128..192].try_into().unwrap(),
            master: at.u16(192),
            remaining: at.i32(200),
            stream: at.i32(204),
            use_count: at.i32(208),
        }
    }

    /// The TCP state of the entry, if it is one of TCP.
    pub fn tcp_state(&self) -> Option<u8> {
        (!self.expired && self.tuple[0].proto == 6).then_some(self.proto[40])
    }
}

/// What the engine made of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub index: u16,
    /// Ticks since the sequence began, and how many make a second.
    pub elapsed: u32,
    pub hz: u16,
    pub verdicts: Vec<u32>,
    pub outcome: u8,
    pub first: (u8, u8, u16),
    pub last: (u8, u8, u16),
    pub ip_summed: u8,
    pub skb_len: u32,
    pub stat: [u8; 13],
    pub entries: Vec<Entry>,
}

impl Outcome {
    /// Milliseconds since the sequence began that nobody asked for.
    pub fn elapsed_ms(&self) -> u64 {
        u64::from(self.elapsed) * 1000 / u64::from(self.hz.max(1))
    }
}

/// Splits what one sequence left behind into packets.
///
/// # Errors
///
/// Says which record does not hold together.
pub fn decode_results(mut b: &[u8]) -> Result<Vec<Outcome>, String> {
    let mut all = Vec::new();
    while !b.is_empty() {
        let n = all.len();
        let size = b
            .first_chunk::<4>()
            .map_or(0, |s| u32::from_ne_bytes(*s) as usize);
        if size < RESULT_SIZE || size > b.len() {
            return Err(format!("record {n}: {size} bytes of {}", b.len()));
        }
        let (record, rest) = b.split_at(size);
        let at = At(record);
        let nentries = usize::from(at.u16(10));
        if size != RESULT_SIZE + nentries * ENTRY_SIZE {
            return Err(format!("record {n}: {size} bytes with {nentries} entries"));
        }
        let nverdicts = usize::from(at.u8(32)).min(4);
        all.push(Outcome {
            index: at.u16(8),
            elapsed: at.u32(12),
            hz: at.u16(62),
            verdicts: (0..nverdicts).map(|i| at.u32(16 + 4 * i)).collect(),
            outcome: at.u8(33),
            first: (at.u8(34), at.u8(35), at.u16(36)),
            last: (at.u8(40), at.u8(41), at.u16(38)),
            ip_summed: at.u8(42),
            skb_len: at.u32(44),
            stat: record[48..61].try_into().unwrap(),
            entries: record[RESULT_SIZE..]
                .chunks_exact(ENTRY_SIZE)
                .map(Entry::decode)
                .collect(),
        });
        b = rest;
    }
    Ok(all)
}
