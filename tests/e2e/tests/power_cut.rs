// SPDX-License-Identifier: Apache-2.0
//! Power cuts: what was acknowledged before a cut is there after it, and nothing is half there. The same harness finds a
//! missing fsync that is planted in the server.
//!
//! `HYTHE_TEST_POWER_CUTS=N` takes N cuts instead of a few.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::churn::{Churn, REPOSITORIES, noise};
use e2e::client::{say, variable};
use e2e::ledger::{Expectation, Ledger};
use e2e::loop_disk::is_possible;
use e2e::oracle::{self, Scope, Verdict};
use e2e::power_disk::{Cache, Cut, PROGRAMS, Pool, PowerDisk};
use e2e::process::wait_until;
use e2e::recorder::Way;
use e2e::{Recorder, RegistryClient, Server, ServerOptions, leftovers};

/// How many clients push while power is cut.
const CLIENTS: usize = 4;
/// How many cuts each disk gets unless `HYTHE_TEST_POWER_CUTS` says more.
const CUTS: usize = 6;
/// Longest time between two cuts, in milliseconds.
const MOST_MILLISECONDS: u64 = 500;
/// Most cuts that are looked at until a planted mistake has to be found.
const CUTS_FOR_A_PLANT: usize = 6;

#[test]
fn everything_acknowledged_before_a_power_cut_is_there_after_it() -> Result<()> {
    if !is_possible(PROGRAMS)? || !is_possible(&["sqlite3"])? {
        return Ok(());
    }
    let cuts = variable("HYTHE_TEST_POWER_CUTS").map_or(Ok(CUTS), |text| text.parse())?;
    for cache in [Cache::Kept, Cache::Volatile] {
        let pool = Pool::create()?;
        let run = cut_under_load(&pool, cache, cuts)?;
        let verdict = run.verdict;
        say(&format!(
            "{cuts} disks after a power cut ({cache:?} cache): {} images were pushed in {:.1} s, {} acknowledged things \
             were read back, {} tags were pulled, {} lost, {} half visible",
            run.images,
            run.took.as_secs_f64(),
            verdict.examined,
            verdict.pulled,
            verdict.lost.len(),
            verdict.half.len()
        ));
        verdict.clean()?;
        ensure!(run.images >= cuts, "only {} images were pushed", run.images);
    }
    Ok(())
}

#[test]
fn a_planted_missing_fsync_is_found() -> Result<()> {
    if !is_possible(PROGRAMS)? || !is_possible(&["sqlite3"])? {
        return Ok(());
    }
    ensure!(
        lost_right_after_the_answer(None)?.is_none(),
        "something is lost though nothing is planted"
    );
    for plant in ["file", "directory", "database"] {
        let found = lost_right_after_the_answer(Some(plant))?;
        let found = found.with_context(|| format!("a missing fsync ({plant}) is not found"))?;
        say(&format!("a missing fsync ({plant}) is found: {found}"));
    }
    Ok(())
}

/// What came of cuts at random instants.
struct Run {
    verdict: Verdict,
    images: usize,
    took: Duration,
}

/// A disk as it was at some instant between two positions of the ledger.
struct Taken {
    cut: Cut,
    expected: Expectation,
}

fn cut_under_load(pool: &Pool, cache: Cache, cuts: usize) -> Result<Run> {
    let disk = PowerDisk::create(pool, "disk", cache)?;
    let mut server = Server::start_with(on(&disk.path().join("hythe"), &[]))?;
    for repository in REPOSITORIES {
        server.create_repository(repository)?;
    }
    let ledger = Arc::new(Ledger::default());
    let churn = Churn::default();
    let registry = RegistryClient::new(&server);
    let began = Instant::now();
    let taken = scope(|threads| -> Result<Vec<Taken>> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (churn, registry, ledger) = (&churn, &registry, &ledger);
                threads.spawn(move || churn.work(registry, ledger, client, 0))
            })
            .collect();
        let taken = take_cuts(&disk, &ledger, &churn, cuts);
        churn.stop.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().unwrap().context("a client was refused")?;
        }
        taken
    })?;
    let took = began.elapsed();
    server.kill9()?;
    drop(server);
    let mut verdict = Verdict::default();
    for taken in taken {
        verdict.add(examine(&taken)?);
    }
    let images = churn.images.load(Ordering::SeqCst);
    Ok(Run { verdict, images, took })
}

fn take_cuts(disk: &PowerDisk<'_>, ledger: &Ledger, churn: &Churn, cuts: usize) -> Result<Vec<Taken>> {
    wait_until("images are pushed", Duration::from_secs(90), || {
        churn.images.load(Ordering::SeqCst) >= CLIENTS
    })?;
    let random = noise("the instants of the cuts", cuts * 8);
    let mut taken = Vec::new();
    for (number, random) in random.chunks_exact(8).enumerate() {
        let random = u64::from_le_bytes(random.try_into()?);
        // The instant is the point here, not a wait for something.
        sleep(Duration::from_millis(random % MOST_MILLISECONDS));
        let first = ledger.position();
        let cut = disk.cut(number)?;
        let second = ledger.position();
        let expected = ledger.between(first, second);
        taken.push(Taken { cut, expected });
    }
    Ok(taken)
}

/// Switches the power on again and reads everything back.
fn examine(taken: &Taken) -> Result<Verdict> {
    let recovered = taken.cut.mount()?;
    let folder = recovered.path().join("hythe");
    let mut server = match Server::start_with(on(&folder, &[])) {
        Ok(server) => server,
        Err(error) => {
            let lost = vec![format!("the server does not start: {error:#}")];
            return Ok(Verdict {
                lost,
                ..Verdict::default()
            });
        }
    };
    let mut verdict = oracle::examine(&RegistryClient::new(&server), &taken.expected, Scope::Finished)?;
    server.kill9()?;
    let leftovers = leftovers::examine(&folder, &folder.join("blobs"))?;
    verdict.half.extend(leftovers.problems);
    Ok(verdict)
}

/// Pushes one image after the other and cuts the power as soon as the last answer is there, when nothing else brings
/// bytes to the disk. Answers the first thing that was lost. Blobs are on a disk of their own, so that no commit of the
/// database brings them along.
fn lost_right_after_the_answer(plant: Option<&str>) -> Result<Option<String>> {
    let pool = Pool::create()?;
    let rows = PowerDisk::create(&pool, "rows", Cache::Kept)?;
    let files = PowerDisk::create(&pool, "files", Cache::Kept)?;
    let plant: Vec<(&str, &str)> = plant.iter().map(|it| ("HYTHE_TEST_SKIP_FSYNC", *it)).collect();
    let server = Server::start_with(on_two(rows.path(), files.path(), &plant))?;
    server.create_repository("web")?;
    let ledger = Arc::new(Ledger::default());
    let recorder = Recorder::new(RegistryClient::new(&server), &ledger);
    for number in 0..CUTS_FOR_A_PLANT {
        let tag = format!("t{number}");
        recorder.push_image("web", &tag, &noise(&tag, 150_000), Way::Session)?;
        let expected = ledger.now();
        let (rows, files) = (rows.cut(number)?, files.cut(number)?);
        let (rows, files) = (rows.mount()?, files.mount()?);
        let after = match Server::start_with(on_two(rows.path(), files.path(), &[])) {
            Ok(server) => server,
            Err(error) => return Ok(Some(format!("the server does not start: {error:#}"))),
        };
        let verdict = oracle::examine(&RegistryClient::new(&after), &expected, Scope::Finished)?;
        if let Some(found) = verdict.lost.iter().chain(&verdict.half).next() {
            return Ok(Some(found.clone()));
        }
    }
    Ok(None)
}

fn on(folder: &Path, environment: &[(&str, &str)]) -> ServerOptions {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    ServerOptions {
        data_folder: Some(folder.to_owned()),
        environment: environment.collect(),
        ..ServerOptions::default()
    }
}

fn on_two(rows: &Path, files: &Path, environment: &[(&str, &str)]) -> ServerOptions {
    let blobs = files.join("blobs").display().to_string();
    ServerOptions {
        arguments: vec!["--blobs-path".into(), blobs],
        ..on(&rows.join("hythe"), environment)
    }
}
