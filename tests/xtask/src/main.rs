// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask`: the project's own chores. Each says in plain words what it does and how long it took.

mod bench;
mod command;
mod debian;
mod demo;
mod docs;
mod fuzz;
mod install;
mod model;
mod say;
#[cfg(test)]
mod shape;
mod soak;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the Hythe workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what is missing, then check and test everything.
    Test(test::Options),
    /// Show the whole thing at work: server, Terraform, push, pull; then clean up.
    Demo(demo::Options),
    /// Measure Hythe beside Debian's docker-registry, nginx and others.
    Bench(bench::Options),
    /// Fuzz everything that reads what clients send.
    Fuzz(fuzz::Options),
    /// Run random histories of images against a model of them.
    Model(model::Options),
    /// Keep a server under mixed load with restarts, and watch for what grows.
    Soak(soak::Options),
    /// Generate the reference pages from the binaries.
    Docs(docs::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Model(options) => model::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Docs(options) => docs::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if e2e::process::is_interrupted() => {
            say::problem("interrupted; everything that was started is stopped and cleaned up");
            ExitCode::from(130)
        }
        Err(error) => {
            say::problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
