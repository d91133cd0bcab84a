// SPDX-License-Identifier: GPL-2.0

//! Runs inside the guest: makes the sequences and feeds them to `/dev/ct_feeder`.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Write;
use std::ops::Range;
use std::process::Command;

use crate::abi;
use crate::file::Writer;
use crate::gen;
use crate::gen::Profile;

const DEVICE: &str = "/dev/ct_feeder";

/// A sequence that takes longer is fed again: entries might end in it that
/// should not.
const PATIENCE_MS: u64 = gen::MARGIN_MS - 15;
const ATTEMPTS: u32 = 20;

/// Fragments that wait for ever must not crowd out those that do not.
const ROOM: [(&str, &str); 2] = [
    ("ipv4/ipfrag_high_thresh", "536870912"),
    ("netfilter/nf_conntrack_frag6_high_thresh", "536870912"),
];

fn tell(program: &str, args: &[&str]) -> Result<(), String> {
    let done = Command::new(program)
        .args(args)
        .status()
        .map_err(|e| format!("{program}: {e}"))?;
    if !done.success() {
        return Err(format!("{program} refuses {args:?}"));
    }
    Ok(())
}

/// A namespace of its own with the profile's settings, and the device in it.
fn namespace(p: &Profile) -> Result<File, String> {
    // SAFETY: no pointers are passed, and no other thread is there to be surprised.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(format!("unshare: {}", io::Error::last_os_error()));
    }
    let dev = OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(|e| format!("{DEVICE}: {e}"))?;
    let own = p
        .sysctls
        .iter()
        .map(|(name, value)| (format!("netfilter/nf_conntrack_{name}"), *value));
    let common = ROOM.iter().map(|(name, value)| (name.to_string(), *value));
    for (name, value) in common.chain(own) {
        let path = format!("/proc/sys/net/{name}");
        fs::write(&path, value).map_err(|e| format!("{path} = {value}: {e}"))?;
    }
    if !p.rules.is_empty() {
        tell("nft", &[p.rules])?;
    }
    if p.translate {
        // What is sent from here is routed again to its translated address.
        tell("ip", &["link", "set", "lo", "up"])?;
        tell("ip", &["route", "add", "default", "dev", "lo"])?;
        tell("ip", &["-6", "route", "add", "default", "dev", "lo"])?;
    }
    Ok(dev)
}

/// Stays on one CPU, so that counters and timers do too.
fn stay() {
    // SAFETY: `set` is a plain bit set, valid when zeroed and alive for the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set);
    }
}

fn feed(dev: &mut File, input: &[u8], results: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 20];
    let mut done = 0;
    while done < input.len() {
        done += dev.write(&input[done..])?;
        loop {
            let n = dev.read(&mut chunk)?;
            if n == 0 {
                break;
            }
            results.extend_from_slice(&chunk[..n]);
        }
    }
    Ok(())
}

/// How long the host let the guest take for it, beyond the time that is asked for.
fn took_ms(results: &[u8]) -> Result<u64, String> {
    Ok(abi::decode_results(results)?
        .last()
        .map_or(0, abi::Outcome::elapsed_ms))
}

/// Feeds the sequences with these numbers and writes the results to `out`.
///
/// # Errors
///
/// Says what failed and where.
pub fn run(seed: u64, numbers: &[Range<u64>], out: &str) -> Result<(), String> {
    stay();
    let mut devices = Vec::new();
    for p in gen::PROFILES {
        devices.push(namespace(p)?);
    }
    let mut file = Writer::create(out, seed).map_err(|e| format!("{out}: {e}"))?;
    let (mut input, mut results) = (Vec::new(), Vec::new());
    let mut slow = 0;
    let total: u64 = numbers.iter().map(|r| r.end - r.start).sum();
    for (done, number) in (1u64..).zip(numbers.iter().cloned().flatten()) {
        for attempt in 0.. {
            let s = gen::sequence(seed, number, attempt);
            input.clear();
            results.clear();
            for step in &s.steps {
                step.encode(&mut input);
            }
            feed(&mut devices[s.profile], &input, &mut results)
                .map_err(|e| format!("sequence {number}: {e}"))?;
            if took_ms(&results).map_err(|e| format!("sequence {number}: {e}"))? < PATIENCE_MS {
                break;
            }
            if attempt == ATTEMPTS {
                slow += 1;
                break;
            }
        }
        file.put(number, &results)
            .map_err(|e| format!("{out}: {e}"))?;
        if done % 10_000 == 0 {
            eprintln!("{done} of {total} sequences");
        }
    }
    if slow > 0 {
        eprintln!("{slow} sequences took longer than {PATIENCE_MS} ms each of {ATTEMPTS} times");
    }
    file.finish().map_err(|e| format!("{out}: {e}"))
}
