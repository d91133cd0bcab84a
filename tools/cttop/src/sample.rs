// SPDX-License-Identifier: GPL-2.0

//! What the kernel says at one moment.
//!
//! With our module that is `/proc/net/nf_conntrack_reclaim` beside what every kernel has; with
//! mainline's only the latter. Numbers are kept by the names under which they were found, so that
//! what a newer module has to say is at hand as well.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::time::Duration;
use std::time::Instant;

/// The classes of entries, in the order in which they may go.
pub const CLASSES: [&str; 7] = [
    "expired",
    "closed",
    "closing",
    "unreplied",
    "answered",
    "idle",
    "active",
];

/// What makes the name of a number of `/proc/net/stat/nf_conntrack`.
pub const STAT: &str = "stat.";

/// One moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// How long the kernel took to tell.
    pub cost: Duration,
    /// Numbers by name.
    pub values: BTreeMap<String, u64>,
    /// Sources with the most entries, most first.
    pub sources: Vec<(String, u64)>,
    /// Why there is no more than what mainline tells.
    pub limited: Option<Limited>,
}

/// Why our file was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limited {
    /// It is not there: mainline's module, most likely.
    Missing,
    /// It is for root.
    Denied,
    /// It cannot be read, or is of a format to come.
    Unreadable(String),
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limited::Missing => f.write_str("mainline's module: counters only"),
            Limited::Denied => f.write_str("classes and sources are for root: counters only"),
            Limited::Unreadable(why) => write!(f, "nf_conntrack_reclaim: {why}"),
        }
    }
}

/// There is nothing to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTable(pub String);

impl fmt::Display for NoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Sample {
    /// Reads all files of the namespace that this thread is in.
    pub fn read() -> Result<Self, NoTable> {
        // Not `/proc/net`, which is the main thread's.
        Self::read_from("/proc/thread-self/net", "/proc/sys/net/netfilter")
    }

    /// The same, from other folders.
    pub fn read_from(net: &str, sys: &str) -> Result<Self, NoTable> {
        let at = Instant::now();
        let number = |name: &str| {
            let text = fs::read_to_string(format!("{sys}/nf_conntrack_{name}")).ok()?;
            text.trim().parse().ok()
        };
        let mut sample = Sample {
            at,
            cost: Duration::ZERO,
            values: BTreeMap::new(),
            sources: Vec::new(),
            limited: None,
        };
        for name in ["count", "max", "buckets"] {
            if let Some(value) = number(name) {
                sample.values.insert(name.into(), value);
            }
        }
        if let Ok(text) = fs::read_to_string(format!("{net}/stat/nf_conntrack")) {
            sample.values.extend(parse_stat(&text));
        }
        match fs::read_to_string(format!("{net}/nf_conntrack_reclaim")) {
            Ok(text) => match parse_reclaim(&text) {
                Ok((values, sources)) => {
                    sample.values.extend(values);
                    sample.sources = sources;
                }
                Err(why) => sample.limited = Some(Limited::Unreadable(why)),
            },
            Err(error) => {
                sample.limited = Some(match error.kind() {
                    io::ErrorKind::NotFound => Limited::Missing,
                    io::ErrorKind::PermissionDenied => Limited::Denied,
                    _ => Limited::Unreadable(error.to_string()),
                });
            }
        }
        if sample.get("count").is_none() {
            return Err(NoTable(
                "no connection tracking here: is nf_conntrack loaded?".into(),
            ));
        }
        sample.cost = at.elapsed();
        Ok(sample)
    }

    /// A number.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.values.get(name).copied()
    }

    /// The entries of a class, if the kernel knows classes.
    pub fn class(&self, class: &str) -> Option<u64> {
        self.get(&format!("class.{class}"))
    }

    /// How full the table is, from 0 to 1 and, if the limit was lowered, beyond.
    pub fn fullness(&self) -> Option<f64> {
        let (count, max) = (self.get("count")?, self.get("max")?);
        (max != 0).then(|| count as f64 / max as f64)
    }
}

/// The columns of `/proc/net/stat/nf_conntrack`, summed over the CPUs. The first one is no counter.
pub fn parse_stat(text: &str) -> BTreeMap<String, u64> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or("").split_whitespace().collect();
    let mut values = BTreeMap::new();
    for line in lines {
        let numbers = line.split_whitespace().map(|n| u64::from_str_radix(n, 16));
        for (name, number) in names.iter().zip(numbers).skip(1) {
            if let Ok(number) = number {
                *values.entry(format!("{STAT}{name}")).or_insert(0) += number;
            }
        }
    }
    values
}

/// Numbers and sources of `/proc/net/nf_conntrack_reclaim`.
#[allow(clippy::type_complexity)]
pub fn parse_reclaim(text: &str) -> Result<(BTreeMap<String, u64>, Vec<(String, u64)>), String> {
    let mut values = BTreeMap::new();
    let mut sources = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some((key, number)) = line.split_once(' ') else {
            return Err(format!("line {}: no number", at + 1));
        };
        let Ok(number) = number.trim().parse::<u64>() else {
            return Err(format!("line {}: `{number}` is no number", at + 1));
        };
        if at == 0 && (key, number) != ("version", 1) {
            return Err(format!("a format that this program does not know: {line}"));
        }
        match key.strip_prefix("source.") {
            Some(source) => sources.push((shorten(source), number)),
            None => {
                values.insert(key.to_string(), number);
            }
        }
    }
    if values.is_empty() {
        return Err("empty".into());
    }
    Ok((values, sources))
}

/// A source as people write it: IPv6 addresses with their zeros left out.
fn shorten(source: &str) -> String {
    let Some((addr, length)) = source.split_once('/') else {
        return source.to_string();
    };
    match addr.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(addr)) if length == "32" => addr.to_string(),
        Ok(addr) => format!("{addr}/{length}"),
        Err(_) => source.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT_TEXT: &str = "entries  clashres found new invalid ignore delete chainlength insert \
        insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n\
        00000014  00000000 00000001 00000000 0000000a 00000000 00000000 00000000 00000000 00000000 00000002 00000028 00000000  00000000 00000000 00000000 00000000\n\
        00000014  00000000 00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 ffffffff 00000000  00000000 00000000 00000000 00000000\n";

    #[test]
    fn stat_is_summed_over_the_cpus() {
        let values = parse_stat(STAT_TEXT);
        assert_eq!(values["stat.found"], 3);
        assert_eq!(values["stat.invalid"], 10);
        assert_eq!(values["stat.drop"], 3);
        assert_eq!(values["stat.early_drop"], 0x28 + 0xffff_ffff);
        assert_eq!(values["stat.search_restart"], 0);
        // It is the same on every line, and no counter.
        assert!(!values.contains_key("stat.entries"));
        assert!(parse_stat("").is_empty());
        assert!(parse_stat("entries found\nzz zz\n").is_empty());
    }

    #[test]
    fn reclaim_is_read_by_keys() {
        let text = "version 1\ncount 20\nclass.active 7\nsomething.new 5\n\
            source.192.0.2.1/32 9\nsource.2001:0db8:0000:0000:0000:0000:0000:0000/64 3\n";
        let (values, sources) = parse_reclaim(text).unwrap();
        assert_eq!(values["count"], 20);
        assert_eq!(values["class.active"], 7);
        assert_eq!(values["something.new"], 5);
        let expected = [("192.0.2.1".to_string(), 9), ("2001:db8::/64".into(), 3)];
        assert_eq!(sources, expected);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let table = [
            ("", "empty"),
            ("version 2\n", "does not know"),
            ("count 1\n", "does not know"),
            ("version 1\ncount\n", "line 2: no number"),
            ("version 1\ncount x\n", "line 2: `x`"),
            ("version 1\ncount -1\n", "line 2: `-1`"),
        ];
        for (text, expected) in table {
            let why = parse_reclaim(text).unwrap_err();
            assert!(why.contains(expected), "{text:?}: {why}");
        }
    }

    #[test]
    fn a_folder_without_files_has_no_table() {
        assert!(Sample::read_from("/nonexistent", "/nonexistent").is_err());
    }

    #[test]
    fn files_are_read() {
        let dir = std::env::temp_dir().join(format!("cttop-{}", std::process::id()));
        fs::create_dir_all(dir.join("stat")).unwrap();
        fs::write(dir.join("nf_conntrack_count"), "5\n").unwrap();
        fs::write(dir.join("nf_conntrack_max"), "10\n").unwrap();
        fs::write(dir.join("stat/nf_conntrack"), STAT_TEXT).unwrap();
        let path = dir.to_str().unwrap();
        let sample = Sample::read_from(path, path).unwrap();
        assert_eq!(sample.limited, Some(Limited::Missing));
        assert_eq!(sample.fullness(), Some(0.5));
        assert_eq!(sample.class("active"), None);
        fs::write(
            dir.join("nf_conntrack_reclaim"),
            "version 1\nclass.active 4\n",
        )
        .unwrap();
        let sample = Sample::read_from(path, path).unwrap();
        assert_eq!(sample.limited, None);
        assert_eq!(sample.class("active"), Some(4));
        assert_eq!(sample.get("stat.found"), Some(3));
        fs::remove_dir_all(dir).unwrap();
    }
}
