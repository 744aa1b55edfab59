// SPDX-License-Identifier: Apache-2.0
//! Options that every command has.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options that every command has.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct GlobalOptions {
    /// The form of the answer
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: OutputFormat,
    /// The URL of the control plane, such as `https://hythe.example.com:8080`; else `HYTHE_ENDPOINT`
    #[arg(long, global = true, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The profile of the configuration file to use; else `HYTHE_PROFILE`
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// A PEM file with certificate authorities to trust beside the system's; else `HYTHE_CA_BUNDLE`
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
    /// Print the answer and nothing else: no notes, no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Whether messages are coloured
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorChoice,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Table,
    /// The API's answer
    Json,
}

/// Whether messages are coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Yes
    Always,
    /// No
    Never,
}
