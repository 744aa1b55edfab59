// SPDX-License-Identifier: Apache-2.0
//! Blobs are collected while others push, mount and delete the same ones: what was acknowledged can be pulled, a scrub finds
//! nothing at any moment, and in the end nothing is left.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::churn::noise;
use e2e::process::wait_until;
use e2e::registry::{OCI_MANIFEST, config_of, digest, manifest, with_query};
use e2e::{RegistryClient, Server, ServerOptions, leftovers, process};
use serde_json::json;

/// How often each client pushes, pulls and deletes.
const ROUNDS: usize = 15;
/// How often a client sends again what the registry says is missing.
const MAX_ATTEMPTS: usize = 200;
/// Layers that all clients share, so that they come and go all the time.
const LAYERS: usize = 3;
const LIMIT: Duration = Duration::from_mins(1);

/// Servers on one database and one folder, whose clock goes fast.
struct Deployment {
    servers: Vec<Server>,
    blobs: PathBuf,
    clock: PathBuf,
    _folder: tempfile::TempDir,
}

impl Deployment {
    fn start(database: Option<&str>, nodes: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut arguments = vec![
            "--blobs-path".to_owned(),
            path("blobs"),
            "--master-key-file".to_owned(),
            path("master.key"),
            "--collection-grace-minutes".to_owned(),
            "1".to_owned(),
            "--collection-max-blobs-per-second".to_owned(),
            "0".to_owned(),
        ];
        if let Some(database) = database {
            arguments.extend(["--database".to_owned(), database.to_owned()]);
        }
        let options = ServerOptions {
            arguments,
            environment: vec![
                ("HYTHE_TEST_CLOCK_OFFSET_FILE".to_owned(), path("clock")),
                ("HYTHE_TEST_EXPIRY_MILLISECONDS".to_owned(), "50".to_owned()),
                ("HYTHE_SCRUB_SECOND_LOOK_SECONDS".to_owned(), "1".to_owned()),
            ],
            ..ServerOptions::default()
        };
        let first = Server::start_with(options.clone())?;
        let credentials = first.credentials().clone();
        let mut servers = vec![first];
        while servers.len() < nodes {
            let credentials = Some(credentials.clone());
            servers.push(Server::start_with(ServerOptions {
                credentials,
                ..options.clone()
            })?);
        }
        let server = &servers[0];
        for repository in ["web", "other"] {
            server.create_repository(repository)?;
        }
        let settings = json!({ "deletedImageRetentionDays": 0 });
        server
            .api("PUT", "/api/v1/registry/settings", Some(&settings))?
            .expect(200)?;
        Ok(Self {
            servers,
            blobs: folder.path().join("blobs"),
            clock: folder.path().join("clock"),
            _folder: folder,
        })
    }

    /// Lets the clock go a hundred times as fast, until `stop`: a client that waits for half a second finds its layers gone.
    fn hurry(&self, stop: &AtomicBool) -> Result<()> {
        let mut seconds = 0;
        while !stop.load(Ordering::SeqCst) {
            seconds += 5;
            set(&self.clock, seconds)?;
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn files(&self) -> Result<usize> {
        Ok(leftovers::blob_files(&[&self.blobs])?.len())
    }
}

/// In one step: nobody reads half a number.
fn set(clock: &Path, seconds: u64) -> Result<()> {
    let next = clock.with_extension("next");
    std::fs::write(&next, seconds.to_string())?;
    Ok(std::fs::rename(next, clock)?)
}

/// As clients do it: ask, send what is missing, and once more if it has gone meanwhile.
fn push(client: &RegistryClient, repository: &str, tag: &str, config: &[u8], layer: &[u8]) -> Result<()> {
    let (config_digest, layer_digest) = (digest(config), digest(layer));
    let image = manifest(&config_digest, config.len(), &layer_digest, layer.len());
    for _ in 0..MAX_ATTEMPTS {
        let mut is_complete = true;
        for (digest, bytes) in [(&config_digest, config), (&layer_digest, layer)] {
            let target = format!("/v2/{repository}/blobs/{digest}");
            if client.call("HEAD", &target, &[], &[])?.status == 200 {
                continue;
            }
            let end = with_query(&client.begin_upload(repository)?, "digest", digest);
            let octets = [("Content-Type", "application/octet-stream")];
            match client.call("PUT", &end, &octets, bytes)?.status {
                201 => {}
                // Its bytes are just being deleted, or the session has expired while the clock went on.
                503 | 404 => is_complete = false,
                status => bail!("{status} for the end of an upload"),
            }
        }
        if !is_complete {
            continue;
        }
        let answer = client.put_manifest(repository, tag, OCI_MANIFEST, &image)?;
        match answer.status {
            201 => return Ok(()),
            503 => {}
            // A layer has gone between the question and the manifest.
            400 if answer.text().contains("MANIFEST_BLOB_UNKNOWN") => {}
            status => bail!("{status} for a manifest: {}", answer.text()),
        }
    }
    bail!("{tag} could not be pushed in {MAX_ATTEMPTS} attempts")
}

/// Pushes and deletes images of its own, with layers that others have as well.
fn work(client: &RegistryClient, number: usize) -> Result<()> {
    for round in 0..ROUNDS {
        let repository = if (number + round).is_multiple_of(2) {
            "web"
        } else {
            "other"
        };
        let layer = noise(&format!("shared {}", (number + round) % LAYERS), 90_000);
        let config = config_of(&noise(&format!("{number}/{round}"), 10));
        let tag = format!("t{number}");
        push(client, repository, &tag, config.as_bytes(), &layer)
            .and_then(|()| client.pull_image(repository, &tag).map(drop))
            .with_context(|| format!("client {number}, round {round}"))?;
        let target = format!("/v2/{repository}/manifests/{tag}");
        client.call("DELETE", &target, &[], &[])?.expect(202)?;
    }
    Ok(())
}

/// Scrubs once, and again until `stop`. It says so itself if it finds anything.
fn scrub(server: &Server, stop: &AtomicBool) -> Result<()> {
    loop {
        process::run(&mut server.command(&["scrub"])?)?.ok()?;
        if stop.load(Ordering::SeqCst) {
            return Ok(());
        }
    }
}

fn collect_beside_pushes(deployment: &Deployment) -> Result<()> {
    let (stop, stop_scrubbing) = (AtomicBool::new(false), AtomicBool::new(false));
    scope(|threads| {
        let clock = threads.spawn(|| deployment.hurry(&stop));
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let server = &deployment.servers[number % deployment.servers.len()];
                let client = RegistryClient::new(server);
                threads.spawn(move || work(&client, number))
            })
            .collect();
        // Where the clock goes so fast, several nodes take a scrub from each other before they come anywhere.
        let scrubbing = match &*deployment.servers {
            [only] => Some(threads.spawn(|| scrub(only, &stop_scrubbing))),
            _ => None,
        };
        let worked: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        stop_scrubbing.store(true, Ordering::SeqCst);
        let scrubbed = scrubbing.map_or(Ok(()), |scrubbing| scrubbing.join().unwrap());
        // Everything is deleted: what is left goes in a few minutes of this clock.
        let emptied = if worked.iter().all(Result::is_ok) {
            wait_until("nothing is left", LIMIT, || {
                deployment.files().is_ok_and(|files| files == 0)
            })
            .with_context(|| format!("{:?} files", deployment.files()))
        } else {
            Ok(())
        };
        stop.store(true, Ordering::SeqCst);
        clock.join().unwrap()?;
        worked.into_iter().collect::<Result<Vec<()>>>()?;
        scrubbed?;
        emptied
    })?;
    let state = deployment.servers[0].api("GET", "/api/v1/garbage-collection", None)?;
    let state = state.expect(200)?.json()?;
    let deleted = state
        .pointer("/totals/deletedBlobs")
        .and_then(serde_json::Value::as_u64);
    ensure!(deleted > Some(0), "{state}");
    ensure!(
        state.pointer("/totals/failures").and_then(serde_json::Value::as_u64) == Some(0),
        "{state}"
    );
    Ok(())
}

#[test]
fn one_node_collects_beside_pushes_of_the_same_layers() -> Result<()> {
    collect_beside_pushes(&Deployment::start(None, 1)?)
}

#[test]
fn two_nodes_collect_beside_pushes_of_the_same_layers() -> Result<()> {
    let Some(cluster) = e2e::PostgresCluster::find_or_start()? else {
        return Ok(());
    };
    collect_beside_pushes(&Deployment::start(Some(&cluster.create_database()?), 2)?)
}

#[test]
fn the_command_line_runs_a_collection_and_says_how_it_goes() -> Result<()> {
    let server = Server::start()?;
    server.create_repository("web")?;
    let client = RegistryClient::new(&server);
    let blob = client.push_blob("web", &noise("nobody needs this", 90_000))?;
    client
        .call("DELETE", &format!("/v2/web/blobs/{blob}"), &[], &[])?
        .expect(202)?;
    let run = process::run(&mut server.command(&["gc", "run", "--wait"])?)?.ok()?;
    ensure!(run.stdout.contains("complete"), "{}", run.stdout);
    ensure!(leftovers::blob_files(&[&server.data_folder().join("blobs")])?.is_empty());
    let status = process::run(&mut server.command(&["gc", "status"])?)?.ok()?;
    for word in ["blobs deleted", "all the time", "last run"] {
        ensure!(status.stdout.contains(word), "{}", status.stdout);
    }
    let target = server.credentials().control_address().to_owned();
    let metrics = e2e::http::request(&target, "GET", "/metrics", &[], &[])?
        .expect(200)?
        .text();
    for name in ["hythe_collection_blobs_deleted_total 1", "hythe_collection_links_due 0"] {
        ensure!(metrics.contains(name), "{name} is not in {metrics}");
    }
    Ok(())
}

/// How a collection goes, by each of the three that tell.
#[derive(Debug)]
struct Told {
    deleted: u64,
    due: u64,
    remaining: u64,
}

fn told_by_rest(server: &Server) -> Result<Option<Told>> {
    let state = server
        .api("GET", "/api/v1/garbage-collection", None)?
        .expect(200)?
        .json()?;
    let number = |place: &str| state.pointer(place).and_then(serde_json::Value::as_u64);
    let (Some(deleted), Some(due)) = (number("/totals/deletedBlobs"), number("/dueLinks")) else {
        bail!("{state}");
    };
    Ok(number("/remainingSeconds").map(|remaining| Told {
        deleted,
        due,
        remaining,
    }))
}

/// Waits until a collection is on its way: some blobs are gone, more of them than `than`, and others are still due.
fn on_its_way(server: &Server, than: u64) -> Result<Told> {
    let mut last = None;
    let waited = wait_until("a collection is on its way", LIMIT, || {
        last = told_by_rest(server).ok().flatten();
        last.as_ref().is_some_and(|told| told.deleted > than && told.due > 0)
    });
    waited.with_context(|| format!("{last:?}"))?;
    last.context("nothing was told")
}

#[test]
fn a_collection_that_is_held_back_says_how_long_it_will_take_and_hurries_when_it_may() -> Result<()> {
    /// Four batches of the collector, with a pause of eight seconds after each.
    const BLOBS: u64 = 128;
    let mut server = Server::start_with(ServerOptions {
        environment: vec![
            ("HYTHE_COLLECTION".to_owned(), "false".to_owned()),
            ("HYTHE_COLLECTION_MAX_BLOBS_PER_SECOND".to_owned(), "4".to_owned()),
            ("HYTHE_TEST_EXPIRY_MILLISECONDS".to_owned(), "50".to_owned()),
        ],
        ..ServerOptions::default()
    })?;
    server.create_repository("web")?;
    let client = RegistryClient::new(&server);
    for number in 0..BLOBS {
        let blob = client.push_blob("web", &noise(&format!("nobody needs {number}"), 70_000))?;
        let target = format!("/v2/web/blobs/{blob}");
        client.call("DELETE", &target, &[], &[])?.expect(202)?;
    }
    process::run(&mut server.command(&["gc", "run"])?)?.ok()?;
    let first = on_its_way(&server, 0)?;
    ensure!(first.remaining > 0, "{first:?}");
    // The command line and the metrics tell the same while it goes on.
    let status = process::run(&mut server.command(&["gc", "status"])?)?.ok()?.stdout;
    ensure!(status.contains("at most 4 blobs a second"), "{status}");
    ensure!(
        status
            .lines()
            .any(|line| line.contains("remaining time") && line.contains("about")),
        "{status}"
    );
    wait_until("the metrics tell it too", LIMIT, || {
        let told = |name: &str| server.metric(name).unwrap_or_default();
        let due = told("hythe_collection_links_due");
        due > 0
            && due < BLOBS
            && told("hythe_collection_remaining_seconds") > 0
            && told("hythe_collection_blobs_deleted_total") > 0
    })?;
    let second = on_its_way(&server, first.deleted)?;
    ensure!(
        second.remaining < first.remaining && second.due < first.due,
        "{first:?}, then {second:?}"
    );
    ensure!(second.remaining > 0, "{second:?}");

    // Without a bound it comes to its end at once, and goes on where it was.
    server.set_variable("HYTHE_COLLECTION_MAX_BLOBS_PER_SECOND", "0");
    server.restart()?;
    wait_until("the collection ends", LIMIT, || {
        told_by_rest(&server).is_ok_and(|told| told.is_some_and(|told| told.due == 0 && told.deleted == BLOBS))
    })?;
    let status = process::run(&mut server.command(&["gc", "status"])?)?.ok()?.stdout;
    ensure!(status.contains("no bound"), "{status}");
    ensure!(leftovers::blob_files(&[&server.data_folder().join("blobs")])?.is_empty());
    Ok(())
}
