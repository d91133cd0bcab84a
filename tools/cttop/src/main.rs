// SPDX-License-Identifier: GPL-2.0

//! Shows what a connection table is made of, and what becomes of the rest.

mod app;
mod rate;
mod sample;
mod spaces;
mod text;
mod view;

use std::collections::BTreeMap;
use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;

use crate::sample::NoTable;
use crate::sample::Sample;
use crate::spaces::Space;

/// Watch a connection table: what it is made of, what goes, what is refused, and who fills it.
///
/// Reads /proc/net/nf_conntrack_reclaim, which is for root, and with mainline's module what that
/// has. Without a terminal it prints what --once prints.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The network namespace: a name of `ip netns`, a process, or a path
    #[arg(short = 'N', long, value_name = "NAME|PID|PATH")]
    netns: Option<String>,

    /// Read files in a folder, as copied from another machine, instead of those in /proc
    #[arg(long, value_name = "FOLDER", conflicts_with = "netns")]
    files: Option<String>,

    /// Seconds between two looks
    #[arg(short, long, default_value_t = 1.0, value_parser = seconds)]
    interval: f64,

    /// Print one report as text, and end
    #[arg(long)]
    once: bool,

    /// Print JSON, an object a line; with --once a single one
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds from 0.1 to 3600".into()),
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let space = match (options.netns, options.files) {
        (Some(name), _) => Space::Of(name),
        (None, Some(folder)) => Space::Folder(folder),
        (None, None) => Space::Own,
    };
    let interval = Duration::from_secs_f64(options.interval);
    let result = if options.json {
        print(&space, interval, options.once, text::json)
    } else if options.once || !io::stdout().is_terminal() {
        print(&space, interval, true, text::lines)
    } else {
        app::run(space, interval)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cttop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a report, or one each interval.
fn print(
    space: &Space,
    interval: Duration,
    once: bool,
    report: impl Fn(&Space, &Sample, &BTreeMap<String, f64>) -> String,
) -> io::Result<()> {
    let failed = |error: NoTable| io::Error::other(error.0);
    let mut old = space.read().map_err(failed)?;
    loop {
        thread::sleep(interval);
        let new = space.read().map_err(failed)?;
        let text = report(space, &new, &rate::rates(&old, &new));
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.trim_end())?;
        out.flush()?;
        if once {
            return Ok(());
        }
        old = new;
    }
}
