// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask model`: random histories of images against a model of them, for as long as somebody wants.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::command::{cargo, show};

/// How long, and which.
#[derive(Debug, Args)]
pub struct Options {
    /// How long each database gets, in seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Run the history of this seed only, such as one that has failed.
    #[arg(long)]
    seed: Option<u64>,
    /// The first of the seeds that run.
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    from: u64,
    /// How many steps each history has.
    #[arg(long, default_value_t = 400)]
    steps: u64,
    /// On which database; on both otherwise.
    #[arg(long, value_enum)]
    database: Option<Database>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
}

/// Runs the test.
pub fn run(options: &Options) -> Result<()> {
    let name = match options.database {
        None => "nothing_is_lost_and_nothing_is_left",
        Some(Database::Sqlite) => "nothing_is_lost_and_nothing_is_left_on_sqlite",
        Some(Database::Postgres) => "nothing_is_lost_and_nothing_is_left_on_postgres",
    };
    let test = [
        "test",
        "--package",
        "hythe-server",
        "--test",
        "model",
        "--",
        "--nocapture",
        name,
    ];
    let mut command = cargo(&test);
    command.env("HYTHE_MODEL_STEPS", options.steps.to_string());
    match options.seed {
        Some(seed) => command.env("HYTHE_MODEL_SEED", seed.to_string()),
        None => command
            .env("HYTHE_MODEL_SEED", options.from.to_string())
            .env("HYTHE_MODEL_SECONDS", options.seconds.to_string()),
    };
    show(&mut command)
}
