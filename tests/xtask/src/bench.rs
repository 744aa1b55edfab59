// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench`: installs what is measured beside ours, builds with optimisation, and runs the load harness.

use anyhow::Result;
use clap::Args;

use crate::command::{cargo, in_workspace, show};
use crate::{install, say};

/// What to measure.
#[derive(Debug, Args)]
// `--help` is the harness's own, which says more.
#[command(disable_help_flag = true)]
pub struct Options {
    /// Arguments for the harness; `cargo xtask bench --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    harness: Vec<String>,
}

/// Builds and runs the harness.
pub fn run(options: &Options) -> Result<()> {
    build()?;
    if !options.harness.iter().any(|word| word == "--help" || word == "-h") {
        say::step("what is measured beside ours", install::peers)?;
    }
    harness("measure", "run", &options.harness)
}

/// Builds server and harness as they are measured.
pub fn build() -> Result<()> {
    say::step("build with optimisation", || {
        show(&mut cargo(&[
            "build",
            "--quiet",
            "--release",
            "-p",
            "hythe",
            "-p",
            "bench",
        ]))
    })
}

/// Runs one of the harness's commands.
pub fn harness(what: &str, command: &str, options: &[String]) -> Result<()> {
    let words: Vec<&str> = std::iter::once(command)
        .chain(options.iter().map(String::as_str))
        .collect();
    // Not through `cargo run`, which would select other features and build once more.
    say::step(what, || show(&mut in_workspace("target/release/bench", &words)))
}
