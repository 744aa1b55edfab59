// SPDX-License-Identifier: Apache-2.0
//! `hythe scrub` against a real server: nothing is wrong with a healthy store, whatever goes on in it; what is damaged
//! is found, put aside when asked for, and mended by a push; and a crash in the middle of that does no harm.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{ScopedJoinHandle, scope};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::churn::{Churn, REPOSITORIES, noise};
use e2e::process::{Finished, run, wait_until};
use e2e::registry::digest;
use e2e::{Ledger, RegistryClient, Server, ServerOptions, TwoNodes};
use serde_json::Value;

/// How many clients push, move, mount and delete.
const CLIENTS: usize = 3;
/// How many scrubs run beside them, one after the other.
const SCRUBS: usize = 3;
/// Larger than what lies in the database.
const BYTES: usize = 300_000;
const LIMIT: Duration = Duration::from_mins(1);

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

fn answer(finished: &Finished) -> Result<Value> {
    serde_json::from_str(&finished.stdout).with_context(|| finished.both())
}

/// What `hythe scrub` says, which ends well only if it finds nothing.
fn scrub(server: &Server, more: &[&str]) -> Result<Value> {
    let finished = hythe(server, &[&["scrub", "--output", "json"], more].concat())?;
    let report = answer(&finished)?;
    let is_clean = report["scrub"]["findingCount"] == 0 && report["scrub"]["status"] == "COMPLETE";
    ensure!(is_clean == finished.status.success(), "{}", finished.both());
    Ok(report)
}

/// The kinds of what a scrub has found.
fn kinds(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().into_iter().flatten();
    findings.filter_map(|finding| finding["kind"].as_str()).collect()
}

fn quick() -> Vec<(String, String)> {
    vec![("HYTHE_SCRUB_SECOND_LOOK_SECONDS".to_owned(), "1".to_owned())]
}

/// A server with one blob, and the file of it.
fn with_blob(environment: Vec<(String, String)>) -> Result<(Server, Vec<u8>, PathBuf)> {
    let server = Server::start_with(ServerOptions {
        environment,
        ..ServerOptions::default()
    })?;
    server.create_repository("web")?;
    let bytes = noise("a blob to check", BYTES);
    RegistryClient::new(&server).push_image("web", "v1", &bytes)?;
    let digest = digest(&bytes);
    let hex = digest.strip_prefix("sha256:").context("not a digest")?;
    let folder = server.data_folder().join("blobs/blobs/sha256");
    let file = folder.join(&hex[..2]).join(hex);
    ensure!(file.exists(), "{} is not there", file.display());
    Ok((server, bytes, file))
}

fn damage(file: &PathBuf) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    *bytes.last_mut().context("an empty file")? ^= 1;
    Ok(std::fs::write(file, bytes)?)
}

/// Clients work through all servers, which share a store, while it is scrubbed.
fn beside_load(servers: &[&Server]) -> Result<()> {
    let first = servers[0];
    for repository in REPOSITORIES {
        first.create_repository(repository)?;
    }
    let (ledger, churn) = (Arc::new(Ledger::default()), Churn::default());
    scope(|threads| -> Result<()> {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let registry = RegistryClient::new(servers[client % servers.len()]);
                let (churn, ledger) = (&churn, &ledger);
                threads.spawn(move || churn.work(&registry, ledger, client, 0))
            })
            .collect();
        let scrubbed = (0..SCRUBS).try_for_each(|round| {
            let goal = churn.images.load(Ordering::SeqCst) + 2 * CLIENTS;
            wait_until("some images are through", LIMIT, || {
                churn.images.load(Ordering::SeqCst) >= goal || workers.iter().any(ScopedJoinHandle::is_finished)
            })?;
            let report = scrub(servers[round % servers.len()], &[])?;
            ensure!(report["scrub"]["findingCount"] == 0, "beside load: {report:#}");
            ensure!(report["scrub"]["checked"]["blobs"].as_u64() > Some(0), "{report:#}");
            Ok(())
        });
        churn.stop.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        scrubbed
    })?;
    let report = scrub(first, &[])?;
    ensure!(report["scrub"]["findingCount"] == 0, "when all is quiet: {report:#}");
    for member in ["blobs", "bytes", "files", "images", "references", "tags"] {
        ensure!(
            report["scrub"]["checked"][member].as_u64() > Some(0),
            "no {member}: {report:#}"
        );
    }
    Ok(())
}

#[test]
fn a_scrub_of_a_healthy_store_under_load_finds_nothing() -> Result<()> {
    let server = Server::start_with(ServerOptions {
        environment: quick(),
        ..ServerOptions::default()
    })?;
    beside_load(&[&server])
}

#[test]
fn a_scrub_of_two_nodes_under_load_finds_nothing() -> Result<()> {
    let environment = quick();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
    let Some(nodes) = TwoNodes::start(&environment)? else {
        return Ok(());
    };
    beside_load(&[&nodes.first, &nodes.second])
}

#[test]
fn damage_is_told_put_aside_on_request_and_mended_by_a_push() -> Result<()> {
    let (server, bytes, file) = with_blob(quick())?;
    ensure!(scrub(&server, &[])?["scrub"]["findingCount"] == 0);
    damage(&file)?;
    ensure!(
        kinds(&scrub(&server, &["--sample", "0"])?).is_empty(),
        "nothing was hashed"
    );
    let report = scrub(&server, &[])?;
    ensure!(kinds(&report) == ["BLOB_DAMAGED"], "{report:#}");
    ensure!(file.exists(), "nobody asked to put it aside");

    let table = hythe(&server, &["scrub", "--quarantine"])?.refused()?;
    for word in ["BLOB_DAMAGED", "put aside", &digest(&bytes)] {
        ensure!(table.stdout.contains(word), "no `{word}`: {}", table.both());
    }
    ensure!(table.stderr.contains("1 finding"), "{}", table.both());
    ensure!(!file.exists() && server.data_folder().join("blobs/quarantine").exists());
    RegistryClient::new(&server).push_image("web", "v1", &bytes)?;
    let report = scrub(&server, &[])?;
    ensure!(report["scrub"]["findingCount"] == 0, "{report:#}");
    RegistryClient::new(&server).pull_image("web", "v1")?;

    // What there is about those that ran.
    let list = answer(&hythe(&server, &["scrub", "list", "--output", "json"])?.ok()?)?;
    ensure!(list["scrubs"].as_array().map(Vec::len) == Some(5), "{list:#}");
    let id = list["scrubs"][1]["scrubId"].as_str().context("no id")?;
    let shown = hythe(&server, &["scrub", "show", id])?.refused()?;
    ensure!(shown.stdout == table.stdout, "{}", shown.both());
    let started = answer(&hythe(&server, &["scrub", "--no-wait", "--output", "json"])?.ok()?)?;
    let id = started["scrubId"].as_str().context("no id")?;
    hythe(&server, &["scrub", "cancel", id])?.ok()?;
    let shown = answer(&hythe(&server, &["scrub", "show", id, "--output", "json"])?.ok()?)?;
    ensure!(
        shown["scrub"]["status"] == "CANCELLED" || shown["scrub"]["status"] == "COMPLETE",
        "{shown:#}"
    );
    hythe(&server, &["scrub", "show", "0199"])?.refused()?;
    Ok(())
}

#[test]
fn archived_images_are_checked_where_they_are() -> Result<()> {
    let (server, bytes, file) = with_blob(quick())?;
    hythe(&server, &["image", "archive", "web:v1"])?.ok()?;
    wait_until("the bytes are in the archive", LIMIT, || !file.exists())?;
    let report = scrub(&server, &[])?;
    ensure!(report["scrub"]["findingCount"] == 0, "{report:#}");
    ensure!(
        report["scrub"]["checked"]["bytes"].as_u64() >= Some(bytes.len() as u64),
        "{report:#}"
    );
    let digest = digest(&bytes);
    let hex = digest.strip_prefix("sha256:").context("not a digest")?;
    let archived = server
        .data_folder()
        .join("blobs/archive/blobs/sha256")
        .join(&hex[..2])
        .join(hex);
    damage(&archived).with_context(|| archived.display().to_string())?;
    let report = scrub(&server, &[])?;
    ensure!(kinds(&report) == ["BLOB_DAMAGED"], "{report:#}");
    // A push brings the image back, and mends it.
    RegistryClient::new(&server).push_image("web", "v1", &bytes)?;
    wait_until("the bytes are out of the archive", LIMIT, || !archived.exists())?;
    let report = scrub(&server, &[])?;
    ensure!(report["scrub"]["findingCount"] == 0, "{report:#}");
    RegistryClient::new(&server).pull_image("web", "v1").map(drop)
}

#[test]
fn a_scrub_that_is_ended_while_it_puts_a_file_aside_is_gone_on_with() -> Result<()> {
    for point in [
        "blob.quarantine.renamed",
        "blob.quarantine.dirs_synced",
        "scrub.finding.quarantined",
    ] {
        let mut environment = quick();
        environment.push(("HYTHE_TEST_FAIL_POINT".to_owned(), format!("{point}:1")));
        let (mut server, bytes, file) = with_blob(environment)?;
        damage(&file)?;
        let started = hythe(&server, &["scrub", "--quarantine", "--no-wait", "--output", "json"])?.ok()?;
        let started = answer(&started)?;
        let id = started["scrubId"].as_str().context("no id")?;
        let mut status = None;
        wait_until("the server has ended", LIMIT, || {
            status = server.exit_status().ok().flatten();
            status.is_some()
        })?;
        let signal = status.and_then(|it| std::os::unix::process::ExitStatusExt::signal(&it));
        ensure!(signal == Some(6), "{point}: not ended by the fail point");
        server.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
        server.restart()?;

        // Its file is aside, and that it is not in its place is still said.
        let shown = hythe(&server, &["scrub", "show", id, "--wait", "--output", "json"])?.refused()?;
        let report = answer(&shown)?;
        ensure!(report["scrub"]["status"] == "COMPLETE", "{point}: {report:#}");
        ensure!(kinds(&report) == ["BLOB_MISSING"], "{point}: {report:#}");
        let aside = std::fs::read_dir(server.data_folder().join("blobs/quarantine"))?.count();
        ensure!(!file.exists() && aside == 1, "{point}");
        RegistryClient::new(&server).push_image("web", "v1", &bytes)?;
        let report = scrub(&server, &["--quarantine"])?;
        ensure!(report["scrub"]["findingCount"] == 0, "{point}: {report:#}");
    }
    Ok(())
}
