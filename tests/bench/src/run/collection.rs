// SPDX-License-Identifier: Apache-2.0
//! What it costs our own server to take away a blob that nothing needs, beside few live ones and many; and whether
//! those who pull notice it.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::{Server, ServerOptions};
use serde_json::Value;

use super::large::{grouped, known};
use super::{Content, Plan};
use crate::figures::{Figures, Sample, Section, metric};
use crate::load::connection::Connection;
use crate::load::schedule::Schedule;
use crate::measure::{add_latencies, as_f64};
use crate::process::Tree;
use crate::report::terminal::Progress;
use crate::subject::{Kind, REPOSITORY};
use crate::work::image::{self, How, Size};
use crate::work::{garbage, open_loop};

/// Rounds at most: each has to make its garbage anew.
const MAX_ROUNDS: usize = 3;
/// How long a collection may take.
const LIMIT: Duration = Duration::from_mins(15);
const POLL: Duration = Duration::from_millis(20);
/// Pulls per second, far below what the server can do: waiting for each other would hide everything else.
const PULLS_PER_SECOND: f64 = 200.0;
/// So many times as long as other measurements: the target is about the slowest of a hundred.
const PULL_LENGTHS: u32 = 10;
/// Blobs per second that a server deletes at most, as it comes.
const BLOBS_PER_SECOND: u64 = 200;
/// More of them than are needed for that long, in seconds.
const MARGIN_SECONDS: u64 = 10;
const SCHEDULE_SEED: u64 = 20_260_102;

/// How much there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Blobs that an image needs, in stores of their own.
    pub live: Vec<u64>,
    /// Blobs that nothing needs.
    pub garbage: u64,
}

/// How many steps this is in the progress.
pub fn steps(plan: &Plan) -> usize {
    if plan.wants(Section::Collection) {
        rounds(plan) * (plan.collection.live.len() + 2)
    } else {
        0
    }
}

fn rounds(plan: &Plan) -> usize {
    plan.rounds.min(MAX_ROUNDS)
}

/// The row of what a blob costs.
#[must_use]
pub fn collect_row(live: u64) -> String {
    format!("collect a blob beside {} live", grouped(live))
}

/// The row of pulls.
#[must_use]
pub fn pull_row(is_collecting: bool) -> &'static str {
    if is_collecting {
        "pull 64 KiB images, 200/s, collecting"
    } else {
        "pull 64 KiB images, 200/s, not collecting"
    }
}

/// Measures.
pub fn run(plan: &Plan, content: &Content, figures: &mut Figures, progress: &mut Progress) -> Result<()> {
    let ours = Kind::Hythe.name();
    let last = plan.collection.live.last().copied();
    for live in plan.collection.live.iter().copied() {
        let folder = tempfile::Builder::new().prefix("hythe-bench-").tempdir()?;
        let data = folder.path().join("data");
        progress.note(&format!("filling a store with {} live blobs", grouped(live)));
        seed(&data, content, live)?;
        for round in 0..rounds(plan) {
            progress.step(round, ours, &collect_row(live));
            let sample = cost(&data, round, plan.collection.garbage)?;
            figures.add(
                Section::Collection,
                &collect_row(live),
                metric::EACH,
                ours,
                round,
                sample,
            );
        }
        if last == Some(live) {
            for round in 0..rounds(plan) {
                pulls(plan, &data, round, figures, progress)?;
            }
        }
    }
    Ok(())
}

/// Some images, and many blobs that one of them needs.
fn seed(data: &Path, content: &Content, live: u64) -> Result<()> {
    let mut server = start(data, true)?;
    server.create_repository(REPOSITORY)?;
    let mut connection = Connection::open(&known(&server)?)?;
    for number in 0..Size::Small.seeded() {
        let layer = content.layers.of(Size::Small)?.make();
        image::push(
            &mut connection,
            REPOSITORY,
            &Size::Small.tag(number),
            &layer,
            How::Monolith,
        )?;
    }
    server.stop();
    garbage::add_live(&data.join("hythe.db"), live)
}

/// Collects only when it is asked to; as fast as it can, or as it comes.
fn start(data: &Path, is_fast: bool) -> Result<Server> {
    let mut arguments = vec!["--collection=false".to_owned()];
    if is_fast {
        arguments.extend(["--collection-max-blobs-per-second".to_owned(), "0".to_owned()]);
    }
    Server::start_with(ServerOptions {
        data_folder: Some(data.to_owned()),
        arguments,
        ..ServerOptions::default()
    })
}

fn cost(data: &Path, round: usize, count: u64) -> Result<Sample> {
    garbage::add_garbage(data, REPOSITORY, round, count)?;
    let mut server = start(data, true)?;
    let tree = Tree::of(&[server.pid()])?;
    tree.settle()?;
    tree.reset_peak()?;
    let (before, began) = (tree.usage()?, Instant::now());
    let done = wait(&server, &ask(&server)?)?;
    let (took, used) = (began.elapsed().as_secs_f64(), tree.usage()?.since(before));
    let deleted = done.pointer("/done/deletedBlobs").and_then(Value::as_u64);
    ensure!(deleted == Some(count), "of {count} blobs went: {done}");
    for number in [0, count - 1] {
        ensure!(
            !garbage::file(data, round, number).exists(),
            "bytes of a deleted blob are there"
        );
    }
    let sample = Sample::from([
        (metric::EACH, took * 1e6 / as_f64(count)),
        (metric::CPU_EACH, used.cpu_seconds * 1e6 / as_f64(count)),
        (metric::CPU, used.cpu_seconds),
        (metric::PER_S, as_f64(count) / took),
        (metric::SECONDS, took),
        (metric::REQUESTS, as_f64(count)),
        (metric::PEAK, tree.peak_mib()?),
    ]);
    server.stop();
    Ok(sample)
}

/// Pulls at a fixed rate, without a collection and beside one that takes as much as it may; in odd rounds the other way
/// about.
fn pulls(plan: &Plan, data: &Path, round: usize, figures: &mut Figures, progress: &mut Progress) -> Result<()> {
    let length = plan.length * PULL_LENGTHS;
    let count = (length.as_secs() + MARGIN_SECONDS) * BLOBS_PER_SECOND;
    garbage::add_garbage(data, REPOSITORY, MAX_ROUNDS + round, count)?;
    let mut server = start(data, false)?;
    let endpoint = known(&server)?;
    let tree = Tree::of(&[server.pid()])?;
    tree.settle()?;
    let mut sample = |is_collecting: bool| -> Result<()> {
        progress.step(round, Kind::Hythe.name(), pull_row(is_collecting));
        let schedule = Schedule::poisson(PULLS_PER_SECOND, length, SCHEDULE_SEED);
        let before = tree.usage()?;
        let outcome = open_loop::run(&endpoint, &schedule, |connection, turn| {
            image::pull(connection, REPOSITORY, &Size::Small.tag(turn))
        })?;
        ensure!(
            outcome.kept_up,
            "the server does not keep up with {PULLS_PER_SECOND} pulls a second"
        );
        let requests = as_f64(outcome.latencies.count() as u64);
        let mut sample = Sample::from([
            (metric::OFFERED, PULLS_PER_SECOND),
            (metric::PER_S, requests / outcome.took.as_secs_f64()),
            (metric::CPU, tree.usage()?.since(before).cpu_seconds),
            (metric::REQUESTS, requests),
        ]);
        add_latencies(&mut sample, outcome.latencies);
        let name = pull_row(is_collecting);
        figures.add(
            Section::Collection,
            name,
            metric::P99,
            Kind::Hythe.name(),
            round,
            sample,
        );
        Ok(())
    };
    if round.is_multiple_of(2) {
        sample(false)?;
    }
    let id = ask(&server)?;
    sample(true)?;
    let state = look(&server, &id)?;
    ensure!(
        !is_complete(&state),
        "the collection was over before the pulls: {state}"
    );
    if !round.is_multiple_of(2) {
        wait(&server, &id)?;
        tree.settle()?;
        sample(false)?;
    }
    server.stop();
    Ok(())
}

/// Asks for a collection; answers its id.
fn ask(server: &Server) -> Result<String> {
    let run = server
        .api("POST", "/api/v1/garbage-collection/runs", None)?
        .expect(201)?
        .json()?;
    let id = run.get("runId").and_then(Value::as_str).context("no run")?;
    Ok(id.to_owned())
}

fn look(server: &Server, id: &str) -> Result<Value> {
    let path = format!("/api/v1/garbage-collection/runs/{id}");
    server.api("GET", &path, None)?.expect(200)?.json()
}

fn is_complete(run: &Value) -> bool {
    run.get("status").and_then(Value::as_str) == Some("COMPLETE")
}

fn wait(server: &Server, id: &str) -> Result<Value> {
    let began = Instant::now();
    loop {
        ensure!(!e2e::process::is_interrupted(), "interrupted");
        let run = look(server, id)?;
        if is_complete(&run) {
            return Ok(run);
        }
        ensure!(began.elapsed() < LIMIT, "not collected after {LIMIT:?}: {run}");
        sleep(POLL);
    }
}
