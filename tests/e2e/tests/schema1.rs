// SPDX-License-Identifier: Apache-2.0
//! skopeo, as a client that knows nothing but schema 1, pulls what is stored as schema 2, while blobs are collected: the layer
//! that schema 1 has for steps that changed nothing is needed by no image, and comes back with each pull.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::image::ImageRecipe;
use e2e::process::{run, wait_until};
use e2e::proxy::SlowProxy;
use e2e::registry::{DOCKER_MANIFEST, OCI_MANIFEST};
use e2e::{PostgresCluster, RegistryClient, Server, ServerOptions, client};
use serde_json::Value;

/// The layer of schema 1 that changes nothing: an empty archive, compressed.
const EMPTY_LAYER: &str = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";
/// How often the layer comes and goes.
const ROUNDS: usize = 3;
const LIMIT: Duration = Duration::from_mins(2);
/// Two thousand times as fast as it is.
const TICK: Duration = Duration::from_millis(50);
const SECONDS_EACH_TICK: u64 = 100;

/// Lets the clock run, until `stop`, so that what is young is old soon.
fn hurry(clock: &Path, stop: &AtomicBool) -> Result<()> {
    let mut seconds = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        seconds += SECONDS_EACH_TICK;
        let next = clock.with_extension("next");
        std::fs::write(&next, seconds.to_string())?;
        std::fs::rename(next, clock)?;
        sleep(TICK);
    }
    Ok(())
}

fn skopeo(server: &Server, arguments: &[&str]) -> Result<()> {
    let policy = server.scratch().join("policy.json");
    std::fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    let mut command = Command::new("skopeo");
    command.arg("--policy").arg(policy).args(arguments);
    run(command.env("TMPDIR", server.scratch()).current_dir(server.scratch()))?.ok()?;
    Ok(())
}

fn pulls_of_schema_1(database: Option<String>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clock = folder.path().join("clock");
    let mut arguments = vec!["--collection-grace-minutes=1".to_owned()];
    arguments.extend(database.map(|url| format!("--database={url}")));
    let server = Server::start_with(ServerOptions {
        arguments,
        environment: vec![
            ("HYTHE_TEST_CLOCK_OFFSET_FILE".to_owned(), clock.display().to_string()),
            ("HYTHE_TEST_EXPIRY_MILLISECONDS".to_owned(), "50".to_owned()),
        ],
        ..ServerOptions::default()
    })?;
    server.create_repository("web")?;
    let layout = server.scratch().join("layout");
    ImageRecipe::text("for old clients").write(&layout, "1")?;
    let credentials = server.credentials();
    let user = format!("{}:{}", credentials.access_key_id, credentials.secret_access_key);
    let (source, target) = (
        format!("oci:{}:1", layout.display()),
        format!("docker://{}/web:1", server.registry()),
    );
    let push = [
        "copy",
        "--dest-tls-verify=false",
        "--format=v2s2",
        "--dest-creds",
        &user,
        &source,
        &target,
    ];
    skopeo(&server, &push)?;

    let client = RegistryClient::new(&server);
    let stored = client.manifest("web", "1")?.expect(200)?;
    ensure!(
        stored.header("content-type") == Some(DOCKER_MANIFEST),
        "{:?}",
        stored.headers
    );
    let layer = stored
        .json()?
        .pointer("/layers/0/digest")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let layer = layer.context("no layer")?;
    let is_told = |status: u16| {
        let head = client.call("HEAD", &format!("/v2/web/blobs/{EMPTY_LAYER}"), &[], &[]);
        head.is_ok_and(|head| head.status == status)
    };
    ensure!(is_told(404), "the layer is there before anybody needs it");
    let relay = SlowProxy::hiding(server.registry(), &[DOCKER_MANIFEST, OCI_MANIFEST])?;
    let source = format!("docker://{}/web:1", relay.address());
    for round in 0..ROUNDS {
        for to in [format!("dir:as-it-is-{round}"), format!("oci:converted-{round}:1")] {
            skopeo(
                &server,
                &["copy", "--src-tls-verify=false", "--src-creds", &user, &source, &to],
            )?;
        }
        let pulled = server.scratch().join(format!("as-it-is-{round}"));
        let manifest: Value = serde_json::from_slice(&std::fs::read(pulled.join("manifest.json"))?)?;
        ensure!(manifest["schemaVersion"] == 1 && manifest["tag"] == "1", "{manifest}");
        ensure!(manifest["signatures"].is_array(), "it is not signed: {manifest}");
        for wanted in [EMPTY_LAYER, layer.as_str()] {
            let file = pulled.join(wanted.trim_start_matches("sha256:"));
            ensure!(file.is_file(), "{wanted} was not pulled in round {round}");
        }
        ensure!(is_told(200), "the layer has gone at once");
        // No image needs it: the collector, which runs all the time, takes it away.
        let stop = AtomicBool::new(false);
        scope(|threads| {
            let hurrying = threads.spawn(|| hurry(&clock, &stop));
            let gone = wait_until("the layer is collected", LIMIT, || is_told(404));
            stop.store(true, Ordering::SeqCst);
            hurrying.join().map_err(|_| anyhow::anyhow!("the clock stopped"))??;
            gone
        })?;
    }
    client.pull_image("web", "1")?;
    Ok(())
}

#[test]
fn a_client_of_schema_1_pulls_beside_the_collector() -> Result<()> {
    if client::find(&["skopeo"])?.is_none() {
        return Ok(());
    }
    pulls_of_schema_1(None)
}

#[test]
fn a_client_of_schema_1_pulls_beside_the_collector_on_postgresql() -> Result<()> {
    if client::find(&["skopeo"])?.is_none() {
        return Ok(());
    }
    let Some(cluster) = PostgresCluster::find_or_start()? else {
        return Ok(());
    };
    pulls_of_schema_1(Some(cluster.create_database()?))
}
