// SPDX-License-Identifier: Apache-2.0
//! `terraform-provider-hythe`: Terraform starts it; people only for debugging.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hythe_client::Environment;
use hythe_provider::{HytheProvider, SOURCE, pages};

/// The Terraform provider of Hythe. Terraform starts it by itself.
///
/// In a configuration:
///
///     terraform {
///       required_providers {
///         hythe = { source = "hythe/hythe" }
///       }
///     }
#[derive(Debug, Parser)]
#[command(name = "terraform-provider-hythe", version, verbatim_doc_comment)]
struct Arguments {
    /// Serve until interrupted, and print the variable with which Terraform finds this process.
    #[arg(long)]
    debug: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the pages of the documentation.
    #[command(hide = true)]
    Docs {
        /// The folder for the pages.
        #[arg(long)]
        out: PathBuf,
        /// The folder with the examples; `examples` beside the folder for the pages, unless set.
        #[arg(long)]
        examples: Option<PathBuf>,
        /// Write nothing, and fail if a page is missing, stale or left over.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let provider = HytheProvider::new(Environment::of_process());
    match arguments.command {
        None => tfplugin::serve(provider, SOURCE),
        Some(Command::Docs { out, examples, check }) => {
            let examples = examples.unwrap_or_else(|| out.join("..").join("examples"));
            match pages::make(&provider, &examples, &out, check) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    // Nothing is left to do when standard error is closed.
                    writeln!(std::io::stderr(), "error: {error}").ok();
                    ExitCode::FAILURE
                }
            }
        }
    }
}
