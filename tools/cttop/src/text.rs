// SPDX-License-Identifier: GPL-2.0

//! Samples for scripts: lines of text, or JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::sample::Sample;
use crate::sample::CLASSES;
use crate::spaces::Space;

/// A number with its thousands set apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at != 0 && (digits.len() - at) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A rate: small ones with a decimal, so that one in ten seconds is not nothing.
pub fn rate(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 {
        format!("{rate:.1}")
    } else {
        grouped(rate.round() as u64)
    }
}

/// What one sample says, and what happened in a second before it, as lines.
pub fn lines(space: &Space, sample: &Sample, rates: &BTreeMap<String, f64>) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<34} {value}");
    };
    line("namespace", space.name().into());
    if let Some(limited) = &sample.limited {
        line("note", limited.to_string());
    }
    for name in ["count", "max", "buckets", "pressure", "timeout_permille"] {
        if let Some(value) = sample.get(name) {
            line(name, value.to_string());
        }
    }
    if let Some(fullness) = sample.fullness() {
        line("full_percent", format!("{:.1}", fullness * 100.0));
    }
    for class in CLASSES {
        if let Some(value) = sample.class(class) {
            line(&format!("class.{class}"), value.to_string());
        }
    }
    for (name, rate) in rates {
        if *rate != 0.0 || ["opened", "refused"].contains(&name.as_str()) {
            line(&format!("{name}/s"), format!("{rate:.1}"));
        }
    }
    for (source, count) in &sample.sources {
        line(&format!("source.{source}"), count.to_string());
    }
    out
}

/// The same as a JSON object, on one line.
pub fn json(space: &Space, sample: &Sample, rates: &BTreeMap<String, f64>) -> String {
    let mut out = format!("{{\"namespace\":{}", quoted(space.name()));
    if let Some(limited) = &sample.limited {
        let _ = write!(out, ",\"note\":{}", quoted(&limited.to_string()));
    }
    let values = sample.values.iter().map(|(n, v)| (n, v.to_string()));
    let _ = write!(out, ",\"values\":{}", object(values));
    let rates = rates.iter().map(|(n, r)| (n, format!("{r:.3}")));
    let _ = write!(out, ",\"rates\":{}", object(rates));
    let sources = sample.sources.iter().map(|(n, v)| (n, v.to_string()));
    let _ = write!(out, ",\"sources\":{}}}", object(sources));
    out
}

fn object<'a>(members: impl Iterator<Item = (&'a String, String)>) -> String {
    let members: Vec<_> = members
        .map(|(name, value)| format!("{}:{value}", quoted(name)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if char < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Limited;
    use std::time::Duration;
    use std::time::Instant;

    fn sample() -> Sample {
        let values = [("count", 50), ("max", 200), ("class.active", 7)];
        Sample {
            at: Instant::now(),
            cost: Duration::ZERO,
            values: values.map(|(n, v)| (n.to_string(), v)).into(),
            sources: vec![("192.0.2.1".into(), 9)],
            limited: None,
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1 000");
        assert_eq!(grouped(12_345_678), "12 345 678");
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(0.25), "0.2");
        assert_eq!(rate(9.96), "10");
        assert_eq!(rate(1234.5), "1 235");
    }

    #[test]
    fn json_is_json() {
        let rates = [("opened".to_string(), 1.5)].into();
        let text = json(&Space::Of("a\"b\\c\n".into()), &sample(), &rates);
        let expected = "{\"namespace\":\"a\\\"b\\\\c\\u000a\",\
            \"values\":{\"class.active\":7,\"count\":50,\"max\":200},\
            \"rates\":{\"opened\":1.500},\"sources\":{\"192.0.2.1\":9}}";
        assert_eq!(text, expected);
    }

    #[test]
    fn lines_are_names_and_values() {
        let mut sample = sample();
        sample.limited = Some(Limited::Missing);
        let rates = [("opened".to_string(), 0.0), ("x".into(), 0.0)].into();
        let text = lines(&Space::Own, &sample, &rates);
        for expected in [
            "note                               mainline's module: counters only\n",
            "full_percent                       25.0\n",
            "opened/s                           0.0\n",
            "source.192.0.2.1                   9\n",
        ] {
            assert!(text.contains(expected), "{text}");
        }
        assert!(!text.contains("x/s"));
    }
}
