// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench`: builds with optimisation and runs the load harness.

use anyhow::Result;
use clap::Args;

use crate::command::{cargo, in_workspace, show};
use crate::say;

/// What to measure.
#[derive(Debug, Args)]
pub struct Options {
    /// Arguments for the harness; `cargo xtask bench -- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    harness: Vec<String>,
}

/// Builds and runs the harness.
pub fn run(options: &Options) -> Result<()> {
    say::step("build with optimisation", || {
        show(&mut cargo(&[
            "build",
            "--quiet",
            "--release",
            "-p",
            "hythe",
            "-p",
            "hythe-provider",
            "-p",
            "bench",
        ]))
    })?;
    let harness: Vec<&str> = options.harness.iter().map(String::as_str).collect();
    // Not through `cargo run`, which would select other features and build once more.
    say::step("measure", || show(&mut in_workspace("target/release/bench", &harness)))
}
