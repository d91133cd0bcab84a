// SPDX-License-Identifier: GPL-2.0

//! What changed between two moments, and how that went over time.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use crate::sample::Sample;
use crate::sample::STAT;

/// Names that say how things are, not how often something happened.
const GAUGES: [&str; 9] = [
    "version",
    "netns",
    "count",
    "max",
    "buckets",
    "pressure",
    "adaptive_start",
    "adaptive_end",
    "timeout_permille",
];

/// Whether a number only grows.
pub fn is_counter(name: &str) -> bool {
    !GAUGES.contains(&name) && !name.starts_with("class.")
}

/// By how much a counter grew. One that was reset, as by a new module, did not.
pub fn growth(name: &str, old: u64, new: u64) -> u64 {
    match new.checked_sub(old) {
        Some(growth) => growth,
        // A column has 32 bits, and goes on at zero.
        None if name.starts_with(STAT) => {
            let growth = new.wrapping_sub(old) & 0xffff_ffff;
            if growth < 1 << 31 {
                growth
            } else {
                0
            }
        }
        None => 0,
    }
}

/// Everything that counters did in a second, between two samples.
pub fn rates(old: &Sample, new: &Sample) -> BTreeMap<String, f64> {
    let seconds = new.at.saturating_duration_since(old.at).as_secs_f64();
    if seconds <= 0.0 {
        return BTreeMap::new();
    }
    let counters = new.values.iter().filter(|(name, _)| is_counter(name));
    counters
        .filter_map(|(name, new)| {
            let old = old.get(name)?;
            Some((name.clone(), growth(name, old, *new) as f64 / seconds))
        })
        .collect()
}

/// Rates of the last while.
#[derive(Default)]
pub struct History {
    kept: VecDeque<BTreeMap<String, f64>>,
}

impl History {
    /// More is not kept.
    const MOST: usize = 600;

    /// Adds the latest.
    pub fn push(&mut self, rates: BTreeMap<String, f64>) {
        self.kept.push_back(rates);
        while self.kept.len() > Self::MOST {
            self.kept.pop_front();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The latest rate of all that `pick` chooses, together; `None` if there is no such number.
    pub fn latest(&self, pick: impl Fn(&str) -> bool) -> Option<f64> {
        sum(self.kept.back()?, pick)
    }

    /// The last `count` rates of all that `pick` chooses, latest last.
    pub fn last(&self, count: usize, pick: impl Fn(&str) -> bool) -> Vec<f64> {
        let skip = self.kept.len().saturating_sub(count);
        let kept = self.kept.iter().skip(skip);
        kept.map(|rates| sum(rates, &pick).unwrap_or(0.0)).collect()
    }
}

fn sum(rates: &BTreeMap<String, f64>, pick: impl Fn(&str) -> bool) -> Option<f64> {
    let picked = rates.iter().filter(|(name, _)| pick(name));
    picked
        .map(|(_, rate)| *rate)
        .fold(None, |sum, rate| Some(sum.unwrap_or(0.0) + rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use std::time::Instant;

    fn sample(at: Instant, values: &[(&str, u64)]) -> Sample {
        Sample {
            at,
            cost: Duration::ZERO,
            values: values.iter().map(|(n, v)| (n.to_string(), *v)).collect(),
            sources: Vec::new(),
            limited: None,
        }
    }

    #[test]
    fn counters_grow_and_begin_anew() {
        let table = [
            ("opened", 5, 9, 4),
            ("opened", 9, 5, 0),
            ("stat.drop", 0xffff_ffff, 1, 2),
            ("stat.drop", 900, 1, 0),
            // Two CPUs: the sum has more bits.
            ("stat.drop", 0x1_0000_0001, 2, 1),
        ];
        for (name, old, new, expected) in table {
            assert_eq!(growth(name, old, new), expected, "{name} {old} {new}");
        }
    }

    #[test]
    fn rates_are_for_a_second() {
        let now = Instant::now();
        let old = sample(now, &[("opened", 100), ("count", 5), ("class.idle", 2)]);
        let later = now + Duration::from_millis(500);
        let new = sample(
            later,
            &[("opened", 110), ("count", 9), ("class.idle", 9), ("new", 3)],
        );
        let rates = rates(&old, &new);
        assert_eq!(rates.len(), 1);
        assert!((rates["opened"] - 20.0).abs() < 1e-9);
        assert!(super::rates(&new, &new).is_empty());
    }

    #[test]
    fn history_keeps_the_last() {
        let mut history = History::default();
        assert!(history.latest(|_| true).is_none());
        for n in 0..700u32 {
            let rate = |name: &str, rate: f64| (name.to_string(), rate);
            history.push([rate("a.x", f64::from(n)), rate("a.y", 1.0)].into());
        }
        assert_eq!(history.latest(|name| name.starts_with("a.")), Some(700.0));
        assert_eq!(history.latest(|name| name == "b"), None);
        assert_eq!(history.last(3, |name| name == "a.x"), [697.0, 698.0, 699.0]);
        assert_eq!(history.last(10_000, |_| true).len(), History::MOST);
        history.clear();
        assert!(history.last(1, |_| true).is_empty());
    }
}
