// SPDX-License-Identifier: Apache-2.0
//! The life of images against a model of it: random histories of pushes, mounts, moves of tags and back, deletions of images and
//! repositories, restorations, runs of lifecycle policies, archiving and crashes, step by step in a random order, on SQLite and on PostgreSQL.
//!
//! Nothing that was acknowledged is ever lost, what can be restored is, a scrub finds nothing at any moment, and in the end
//! nothing is left that no image needs. A history follows from its seed; one that fails is told with its seed and made
//! shorter. In odd seeds several steps happen at once, so that those may need more than one try.
//!
//! | variable | what it does |
//! |---|---|
//! | `HYTHE_MODEL_SEED` | runs this seed only, or begins with it |
//! | `HYTHE_MODEL_SECONDS` | goes on with further seeds for so long |
//! | `HYTHE_MODEL_STEPS` | how long a history is |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::print_stderr,
    dead_code,
    unused_macros,
    unused_imports,
    reason = "test code, of which the harness of the metadata store is a part"
)]

mod contents;
mod door;
mod gated;
#[path = "../../../meta/tests/store/harness.rs"]
mod harness;
mod node;
mod operation;
mod oracle;
mod planted;
mod random;
mod regressions;
mod schedule;
#[path = "../../../meta/tests/store/contents.rs"]
mod store_contents;
mod turnstile;
mod world;

use std::time::{Duration, Instant};

use harness::Engine;
use planted::Bug;
use schedule::{Failure, run};

/// How many steps each has.
const STEPS: usize = 200;
/// Within how many histories a planted fault is found.
const PATIENCE: u64 = 40;

/// How many histories run unless somebody says otherwise: on PostgreSQL, with two nodes, each takes several times as long.
fn count_of_histories(engine: Engine) -> u64 {
    match engine {
        Engine::Sqlite => 12,
        Engine::Postgres => 4,
    }
}

#[allow(clippy::disallowed_methods, reason = "how whoever runs the test says for how long")]
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("`{name}` is no number: {text}")))
}

/// The shortest history of this seed that fails, as far as some tries tell.
async fn shorten(engine: Engine, seed: u64, steps: usize, first: Failure) -> Failure {
    let mut shortest = first;
    for part in [16, 8, 4, 2] {
        if let Err(failure) = run(engine, seed, steps / part, None).await {
            shortest = failure;
            break;
        }
    }
    shortest
}

async fn histories(engine: Engine) {
    let first = variable("HYTHE_MODEL_SEED");
    let steps = variable("HYTHE_MODEL_STEPS").map_or(STEPS, |steps| usize::try_from(steps).unwrap());
    let seconds = variable("HYTHE_MODEL_SECONDS").map(Duration::from_secs);
    let started = Instant::now();
    let mut seed = first.unwrap_or(1);
    let count = if first.is_some() { 1 } else { count_of_histories(engine) };
    let last = seed.saturating_add(count);
    let mut events = 0;
    while seconds.map_or(seed < last, |seconds| started.elapsed() < seconds) {
        match run(engine, seed, steps, None).await {
            Ok(Some(done)) => events += done,
            Ok(None) => return,
            Err(failure) => {
                let failure = shorten(engine, seed, steps, failure).await;
                panic!("{engine:?}, HYTHE_MODEL_SEED={seed}: {failure}");
            }
        }
        seed += 1;
    }
    eprintln!(
        "{engine:?}: {events} events of {} histories, {:?}",
        seed - first.unwrap_or(1),
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_is_left_on_sqlite() {
    histories(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_is_left_on_postgres() {
    histories(Engine::Postgres).await;
}

async fn planted_faults(engine: Engine) {
    // What comes at the end of a history finds most of them. The rest would take many minutes on PostgreSQL; the oracle that
    // finds them is the same.
    let (steps, has_time) = match engine {
        Engine::Sqlite => (STEPS, true),
        Engine::Postgres => (STEPS / 4, false),
    };
    let mut missed = Vec::new();
    for bug in Bug::ALL.iter().filter(|bug| has_time || !bug.shows_late()) {
        let mut found = None;
        for seed in 1..=PATIENCE {
            match run(engine, seed, steps, Some(*bug)).await {
                Ok(Some(_)) => {}
                // There is no such database here.
                Ok(None) => return,
                Err(failure) => {
                    found = Some((seed, failure));
                    break;
                }
            }
        }
        match found {
            Some((seed, failure)) => eprintln!("{engine:?}: {bug:?} is found with seed {seed}: {}", failure.what),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "nobody notices {missed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_that_are_planted_are_found_on_sqlite() {
    planted_faults(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_that_are_planted_are_found_on_postgres() {
    planted_faults(Engine::Postgres).await;
}
