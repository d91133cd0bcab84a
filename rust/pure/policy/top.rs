// SPDX-License-Identifier: GPL-2.0

//! Which sources have the most connections, found in one walk with little memory.
//!
//! The space-saving algorithm (Metwally, Agrawal, El Abbadi, 2005): a source that is not among
//! those that are counted takes the place of the smallest, and inherits its count as what it may
//! have too much. Of `n` connections, each source with more than `n / N` of them is among the `N`
//! at the end, and none is credited with more than `n / N` too much.

use super::super::tuple::l3;
use super::super::tuple::Addr;

/// A source: an IPv4 address, or the upper half of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address; what does not count is zero.
    pub addr: Addr,
    /// Its layer-3 protocol.
    pub l3: u16,
}

impl Source {
    /// Nobody.
    const NONE: Source = Source {
        addr: Addr([0; 4]),
        l3: 0,
    };

    /// The source that an address belongs to.
    #[inline]
    pub const fn of(addr: Addr, l3: u16) -> Self {
        let [a, b, c, d] = addr.0;
        let addr = match l3 {
            l3::IPV4 => Addr([a, 0, 0, 0]),
            l3::IPV6 => Addr([a, b, 0, 0]),
            _ => Addr([a, b, c, d]),
        };
        Source { addr, l3 }
    }

    /// How many bits of the address count.
    pub const fn prefix(self) -> u32 {
        match self.l3 {
            l3::IPV4 => 32,
            l3::IPV6 => 64,
            _ => 128,
        }
    }
}

/// A source that is counted.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    source: Source,
    count: u32,
    /// How much of the count may be somebody else's.
    inherited: u32,
}

impl Row {
    /// Who.
    pub const fn source(&self) -> Source {
        self.source
    }

    /// How many connections it has at least.
    pub const fn at_least(&self) -> u32 {
        self.count.saturating_sub(self.inherited)
    }
}

/// The `N` sources that seem to have the most connections. Valid as zeros, which is nobody.
#[derive(Clone, Copy, Debug)]
pub struct Top<const N: usize>([Row; N]);

impl<const N: usize> Default for Top<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Top<N> {
    /// Nobody yet.
    pub const fn new() -> Self {
        let nobody = Row {
            source: Source::NONE,
            count: 0,
            inherited: 0,
        };
        Top([nobody; N])
    }

    /// Counts a connection of a source.
    pub fn add(&mut self, source: Source) {
        let mut least: Option<&mut Row> = None;
        for row in &mut self.0 {
            if row.source == source && row.count != 0 {
                row.count = row.count.saturating_add(1);
                return;
            }
            if least.as_ref().is_none_or(|least| row.count < least.count) {
                least = Some(row);
            }
        }
        if let Some(least) = least {
            *least = Row {
                source,
                count: least.count.saturating_add(1),
                inherited: least.count,
            };
        }
    }

    /// The sources that are known to have any, most first.
    pub fn sorted(&mut self) -> impl Iterator<Item = &Row> {
        // By insertion: they are few, and the library's sort wants much of a kernel's stack.
        for end in 1..N {
            for at in (0..end).rev() {
                let next = at.wrapping_add(1);
                let Some([a, b]) = self.0.get_mut(at..=next) else {
                    break;
                };
                if a.at_least() >= b.at_least() {
                    break;
                }
                core::mem::swap(a, b);
            }
        }
        self.rows()
    }

    /// The same, in the order in which they are.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().filter(|row| row.at_least() != 0)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(nf_conntrack_pure_top)
)]
mod tests {
    use super::*;

    fn v4(last: u8) -> Source {
        Source::of(Addr::v4([10, 0, 0, last]), l3::IPV4)
    }

    #[test]
    fn few_sources_are_counted_exactly() {
        let mut top = Top::<4>::new();
        assert!(top.rows().next().is_none());
        for (last, times) in [(1, 3), (2, 7), (3, 1), (4, 5)] {
            for _ in 0..times {
                top.add(v4(last));
            }
        }
        let mut rows = top.sorted().map(|row| (row.source(), row.at_least()));
        for (last, times) in [(2, 7), (4, 5), (1, 3), (3, 1)] {
            assert!(rows.next() == Some((v4(last), times)));
        }
        assert!(rows.next().is_none());
    }

    #[test]
    fn a_heavy_source_stands_out_of_a_flood() {
        let mut top = Top::<8>::new();
        for n in 0..4000u32 {
            // Every fourth is the heavy one's; no other comes twice.
            let addr = if n % 4 == 0 {
                Addr::v4([192, 0, 2, 1])
            } else {
                Addr([n, 0, 0, 0])
            };
            top.add(Source::of(addr, l3::IPV4));
        }
        let first = top
            .sorted()
            .next()
            .map(|row| (row.source(), row.at_least()));
        let Some((source, at_least)) = first else {
            assert!(first.is_some());
            return;
        };
        assert_eq!(source, Source::of(Addr::v4([192, 0, 2, 1]), l3::IPV4));
        assert!(at_least > 1000 - 4000 / 8 && at_least <= 1000);
    }

    #[test]
    fn what_counts_of_an_address() {
        let addr = Addr::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9]);
        let net = Addr::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Source::of(addr, l3::IPV6).addr, net);
        assert_eq!(Source::of(addr, l3::IPV6).prefix(), 64);
        // Whatever stands behind an IPv4 address.
        assert_eq!(Source::of(addr, l3::IPV4).addr, Addr([addr.0[0], 0, 0, 0]));
        assert_eq!(Source::of(addr, l3::IPV4).prefix(), 32);
    }
}
