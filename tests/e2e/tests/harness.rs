// SPDX-License-Identifier: Apache-2.0
//! The harness itself: what it starts works, and is gone afterwards.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::image::{ImageRecipe, static_busybox};
use e2e::process::{Daemon, run, run_within};
use e2e::{DockerEngine, PostgresCluster, client, postgres};

#[test]
fn a_docker_engine_runs_containers_and_leaves_nothing_mounted_or_running() -> Result<()> {
    let Some(engine) = DockerEngine::start()? else {
        return Ok(());
    };
    if static_busybox().is_none() {
        return client::skip("not installed: a static busybox (Debian: busybox-static)");
    }
    engine.build("harness:1", "it works", &[])?;
    let ran = engine.docker(&["run", "--rm", "--network=none", "harness:1"])?;
    ensure!(ran.stdout.trim() == "it works", "{}", ran.both());

    let folder = engine.scratch().to_owned();
    drop(engine);
    ensure!(!folder.exists(), "its folder is still there");
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let name = folder.display().to_string();
    ensure!(!mounts.contains(&name), "something is still mounted:\n{mounts}");
    ensure!(
        processes_that_name(&name)?.is_empty(),
        "still running: {:?}",
        processes_that_name(&name)?
    );
    Ok(())
}

/// Command lines that hold `text`.
fn processes_that_name(text: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // Processes come and go while we look.
        let Ok(bytes) = std::fs::read(entry?.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
        if line.contains(text) {
            found.push(line);
        }
    }
    Ok(found)
}

#[test]
fn a_postgres_cluster_sorts_names_by_bytes() -> Result<()> {
    if postgres::programs().is_none() {
        return client::skip("not installed: PostgreSQL");
    }
    let cluster = PostgresCluster::start()?;
    let database = cluster.create_database()?;
    let sorted = postgres::psql(
        &database,
        "SELECT string_agg(n, '') FROM (SELECT unnest(ARRAY['b','B','_','a']) n ORDER BY 1) t",
    )?;
    ensure!(sorted == "B_ab", "{sorted}");
    ensure!(cluster.create_database()? != database, "two databases have one name");
    Ok(())
}

#[test]
fn a_program_that_does_not_end_is_stopped_and_named() -> Result<()> {
    let mut sleeper = std::process::Command::new("sleep");
    let error = run_within(sleeper.arg("60"), Duration::from_millis(50))
        .err()
        .context("it waited for a minute")?;
    ensure!(error.to_string().contains("sleep 60"), "{error}");
    let failed = run(std::process::Command::new("sh").args(["-c", "echo why >&2; exit 3"]))?;
    ensure!(failed.ok().is_err_and(|error| error.to_string().contains("why")));
    Ok(())
}

#[test]
fn a_daemon_that_ends_early_shows_its_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "echo cannot start >&2; exit 1"]);
    let mut daemon = Daemon::start("sh", &mut command, &folder.path().join("log"))?;
    let error = daemon
        .wait_until("it is ready", Duration::from_secs(15), || false)
        .err()
        .context("it was ready")?;
    ensure!(error.to_string().contains("cannot start"), "{error:#}");
    Ok(())
}

#[test]
fn an_index_of_two_images_is_a_whole_layout() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let images = ["amd64", "arm64"].map(|it| ImageRecipe {
        architecture: it.into(),
        ..ImageRecipe::text(it)
    });
    let digest = ImageRecipe::write_index(&images, folder.path(), "all")?;
    let blob = |digest: &str| {
        folder
            .path()
            .join("blobs/sha256")
            .join(digest.trim_start_matches("sha256:"))
    };
    let read =
        |path: &Path| Ok::<_, anyhow::Error>(serde_json::from_slice::<serde_json::Value>(&std::fs::read(path)?)?);
    let index = read(&blob(&digest))?;
    let children = index
        .get("manifests")
        .and_then(serde_json::Value::as_array)
        .context("no children")?;
    ensure!(children.len() == 2);
    for child in children {
        let digest = child
            .get("digest")
            .and_then(serde_json::Value::as_str)
            .context("no digest")?;
        let bytes = std::fs::read(blob(digest))?;
        ensure!(
            e2e::registry::digest(&bytes) == digest,
            "a blob has another name than its bytes"
        );
    }
    Ok(())
}
