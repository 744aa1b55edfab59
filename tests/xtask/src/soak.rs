// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask soak`: builds with optimisation and keeps the server under load.

use anyhow::Result;
use clap::Args;

use crate::bench::{build, harness};

/// How long, and where the report goes.
#[derive(Debug, Args)]
// `--help` is the harness's own, which says more.
#[command(disable_help_flag = true)]
pub struct Options {
    /// Arguments for the harness, such as `--minutes 60`; `cargo xtask soak --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    harness: Vec<String>,
}

/// Builds and soaks.
pub fn run(options: &Options) -> Result<()> {
    build()?;
    harness("soak", "soak", &options.harness)
}
