// SPDX-License-Identifier: GPL-2.0

//! How large the hash tables are and how many entries they hold.
//!
//! C counterparts: `nf_conntrack_init_start`, `nf_ct_alloc_hashtable`, `nf_conntrack_expect_init`.

/// Bytes of a bucket's head: a pointer.
const HEAD: u32 = usize::BITS / 8;

/// Bytes of a table that C can count (`INT_MAX`).
const MAX_BYTES: u32 = 0x7fff_ffff;

const GIB: usize = 1 << 30;

/// The number of buckets that a table gets for which `wanted` are asked: whole pages of
/// `page_size` bytes; `None` if that is beyond what can be counted.
#[inline]
pub const fn buckets(wanted: u32, page_size: u32) -> Option<u32> {
    if wanted > MAX_BYTES / HEAD || page_size < HEAD {
        return None;
    }
    match wanted.checked_next_multiple_of(page_size / HEAD) {
        Some(whole) if whole <= MAX_BYTES / HEAD => Some(whole),
        _ => None,
    }
}

/// The sizes that loading decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Buckets of the table of connections.
    pub buckets: u32,
    /// Entries that each namespace may have (`nf_conntrack_max`).
    pub max: u32,
}

impl Sizes {
    /// The sizes for a machine with `pages` of `page_size` bytes, when the module parameter
    /// `hashsize` is `wanted`, zero meaning that it was not given.
    ///
    /// | memory | buckets |
    /// | --- | --- |
    /// | over 4 GiB, where words have 64 bits | 262,144 |
    /// | over 1 GiB | 65,536 |
    /// | less | a 16384th of it, at least 1,024 |
    ///
    /// As many entries as buckets are allowed, so that two of them, there and back, share a bucket
    /// on average; a given `hashsize` allows eight times as many.
    pub fn at_load(pages: usize, page_size: u32, wanted: u32) -> Option<Self> {
        let (wanted, factor) = match wanted {
            0 => (default_buckets(pages, page_size), 1u32),
            given => (given, 8),
        };
        buckets(wanted, page_size).map(|buckets| Sizes {
            buckets,
            max: factor.wrapping_mul(buckets),
        })
    }
}

fn default_buckets(pages: usize, page_size: u32) -> u32 {
    let page = page_size as usize;
    let gib = GIB.checked_div(page).unwrap_or(GIB);
    if usize::BITS >= 64 && pages > gib.saturating_mul(4) {
        262_144
    } else if pages > gib {
        65_536
    } else {
        let heads = pages.saturating_mul(page) / 16384 / size_of::<usize>();
        u32::try_from(heads).unwrap_or(u32::MAX).max(1024)
    }
}

/// The sizes of the table of expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectations {
    /// Buckets to ask for; [`buckets`] rounds them up.
    pub wanted: u32,
    /// Expectations that each namespace may have.
    pub max: u32,
}

impl Expectations {
    /// The sizes beside a table of `connections` buckets, when the module parameter
    /// `expect_hashsize` is `wanted`, zero meaning that it was not given.
    pub const fn at_load(connections: u32, wanted: u32) -> Self {
        let wanted = match (wanted, connections / 256) {
            (0, 0) => 1,
            (0, share) => share,
            (given, _) => given,
        };
        Expectations {
            wanted,
            max: wanted.wrapping_mul(4),
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_size)
)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn memory_decides() {
        const MIB: usize = 256; // in pages
        let table = [
            (1, 1024),
            (64 * MIB, 1024),
            (512 * MIB, 4096),
            (1024 * MIB, 8192),
            (1024 * MIB + 1, 65_536),
            (4096 * MIB, 65_536),
            (4096 * MIB + 1, 262_144),
            (usize::MAX, 262_144),
        ];
        for (pages, expected) in table {
            let sizes = Sizes {
                buckets: expected,
                max: expected,
            };
            assert_eq!(Sizes::at_load(pages, 4096, 0), Some(sizes));
        }
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn parameters_are_rounded_up_to_pages() {
        let table = [
            (1, Some((512, 4096))),
            (512, Some((512, 4096))),
            (513, Some((1024, 8192))),
            (0x0fff_fe00, Some((0x0fff_fe00, 0x7fff_f000))),
            (0x0fff_fe01, None),
            (0x0fff_ffff, None),
            (0x1000_0000, None),
            (u32::MAX, None),
        ];
        for (wanted, expected) in table {
            let sizes = Sizes::at_load(1, 4096, wanted);
            assert_eq!(sizes.map(|s| (s.buckets, s.max)), expected);
        }
    }

    #[test]
    fn expectations_follow() {
        let table = [
            (262_144, 0, (1024, 4096)),
            (512, 0, (2, 8)),
            (255, 0, (1, 4)),
            (262_144, 7, (7, 28)),
        ];
        for (connections, wanted, expected) in table {
            let sizes = Expectations::at_load(connections, wanted);
            assert_eq!((sizes.wanted, sizes.max), expected);
        }
    }
}
