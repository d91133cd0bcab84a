// SPDX-License-Identifier: GPL-2.0

//! Feeds the same packets to two conntrack engines and compares what they make
//! of each: verdicts, packet state, counters and entries.
//!
//! `feed` runs in a guest with `ct_feeder.ko` loaded, once for each engine;
//! `diff` runs anywhere. `tools/compare/run` does it all.

use std::process::ExitCode;

use clap::Args;
use clap::Parser;
use clap::Subcommand;

mod abi;
mod diff;
mod feed;
mod file;
mod gen;
mod show;
mod wire;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Which {
    /// What the random sequences grow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many random sequences to add to the scripts
    #[arg(long, default_value_t = 2000)]
    sequences: u64,
    /// Leave the scripts out
    #[arg(long)]
    no_scripts: bool,
    /// Just the sequence with this number
    #[arg(long)]
    only: Option<u64>,
}

impl Which {
    fn numbers(&self) -> Vec<std::ops::Range<u64>> {
        match self.only {
            Some(n) => std::iter::once(n..n + 1).collect(),
            None => {
                let scripts = if self.no_scripts { 0 } else { gen::scripted() };
                vec![0..scripts, gen::RANDOM..gen::RANDOM + self.sequences]
            }
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Feed sequences to the engine that is loaded
    Feed {
        #[command(flatten)]
        which: Which,
        /// File for the results
        #[arg(long)]
        out: String,
    },
    /// Compare two files of results
    Diff {
        a: String,
        b: String,
        /// Print the history of so many differing sequences
        #[arg(long, default_value_t = 3)]
        show: usize,
        /// Change one result first: the comparison must fail
        #[arg(long)]
        mutate: bool,
        /// Say which states and counters the packets reached
        #[arg(long)]
        coverage: bool,
        /// The command to name for seeing a sequence alone
        #[arg(long, default_value = "tools/compare/run")]
        reproduce: String,
    },
    /// Print sequences, without feeding them
    Print {
        #[command(flatten)]
        which: Which,
    },
    /// Print a file of results
    Show {
        file: String,
        #[arg(long)]
        only: Option<u64>,
    },
}

fn print(which: &Which) {
    for number in which.numbers().into_iter().flatten() {
        let s = gen::sequence(which.seed, number, 0);
        println!(
            "Sequence {} ({}, profile {}), {} packets",
            s.number,
            s.title,
            gen::PROFILES[s.profile].name,
            s.steps.len()
        );
        for (i, step) in s.steps.iter().enumerate() {
            println!("  {i:3} {}", show::step(step));
        }
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Feed { which, out } => {
            feed::run(which.seed, &which.numbers(), &out).map(|()| true)
        }
        Command::Diff {
            a,
            b,
            show,
            mutate,
            coverage,
            reproduce,
        } => diff::run(&diff::Options {
            a: &a,
            b: &b,
            show,
            mutate,
            coverage,
            reproduce: &reproduce,
        }),
        Command::Print { which } => {
            print(&which);
            Ok(true)
        }
        Command::Show { file, only } => diff::show_file(&file, only).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("ct-compare: {e}");
            ExitCode::from(2)
        }
    }
}
