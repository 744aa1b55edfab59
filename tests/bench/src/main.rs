// SPDX-License-Identifier: Apache-2.0
//! The load harness: Hythe and Debian's `docker-registry` in turn, in one run, with the same requests.
//!
//! It prints a table and writes JSON; it judges nothing. Client and server share the machine, the file system is whatever
//! holds the temporary folder, and pages are warm: read ratios, not figures.

mod load;
mod measure;
mod report;
mod subject;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use self::report::Report;
use self::subject::{Kind, Subject};

/// Measures Hythe beside Debian's docker-registry.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench --")]
struct Arguments {
    /// How often each measurement is made; the table has medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Size of the large layer, in MiB.
    #[arg(long, default_value_t = 256)]
    layer_mib: usize,
    /// Where to write the figures as JSON.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::line(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut report = Report::default();
    let kinds = Kind::available();
    for round in 0..arguments.rounds {
        report::line(&format!("round {} of {}", round + 1, arguments.rounds));
        // Whoever goes second finds a warmer or a busier machine: take turns at that too.
        let mut order = kinds.clone();
        if round % 2 == 1 {
            order.reverse();
        }
        for kind in order {
            let started = Subject::start(kind)?;
            measure::everything(&started, arguments.layer_mib, &mut report)?;
        }
    }
    if let Some(seconds) = measure::terraform_plan(arguments.rounds)? {
        for figure in seconds {
            report.add(Kind::Hythe, "terraform plan, one repository", "s", figure);
        }
    }
    report.print();
    std::fs::write(&arguments.json, report.json().to_string())?;
    report::line(&format!("\nall figures: {}", arguments.json.display()));
    Ok(())
}
