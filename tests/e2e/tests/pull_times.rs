// SPDX-License-Identifier: Apache-2.0
//! When images were pulled, as a real server tells: who counts, what counts, and what a stop leaves.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::postgres::PostgresCluster;
use e2e::process::{Finished, run, wait_until};
use e2e::server::repository_path;
use e2e::{RegistryClient, Server, ServerOptions, http};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(90);
const SCANNER: &str = "arn:aws:iam::000000000000:user/scanner";
const EXCLUSIONS: &str = "/api/v1/registry/pull-time-exclusions";

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

fn pulled(server: &Server, digest: &str) -> Result<Option<String>> {
    let path = format!("{}/images/{digest}", repository_path("team-a/web"));
    let image = server.api("GET", &path, None)?.expect(200)?.json()?;
    Ok(image["lastRecordedPullTime"].as_str().map(str::to_owned))
}

/// Waits until the time of the last pull is another one.
fn wait_for_pull(server: &Server, digest: &str, before: Option<&str>) -> Result<String> {
    let mut last = None;
    wait_until("the pull is recorded", PATIENCE, || {
        last = pulled(server, digest).ok().flatten();
        last.is_some() && last.as_deref() != before
    })
    .with_context(|| server.log())?;
    last.context("no time")
}

/// A client of the registry as a new user who may pull.
fn user(server: &Server, name: &str) -> Result<RegistryClient> {
    let body = json!({ "userName": name, "policies": ["ReadOnly"] });
    server.api("POST", "/api/v1/users", Some(&body))?.expect(201)?;
    let path = format!("/api/v1/users/{name}/access-keys");
    let key = server.api("POST", &path, None)?.expect(201)?.json()?;
    let text = |member: &str| key[member].as_str().unwrap_or_default().to_owned();
    let basic = http::basic(&text("accessKeyId"), &text("secretAccessKey"));
    Ok(RegistryClient::with(server.registry(), Some(basic)))
}

fn pulls_count_but_those_of_the_excluded(server: &Server) -> Result<()> {
    server.create_repository("team-a/web")?;
    let root = RegistryClient::new(server);
    let (image, other) = (
        root.push_image("team-a/web", "1.0", b"one")?,
        root.push_image("team-a/web", "2.0", b"two")?,
    );
    let (scanner, ada) = (user(server, "scanner")?, user(server, "ada")?);
    let head = root.call("HEAD", "/v2/team-a/web/manifests/1.0", &[], &[])?;
    ensure!(head.status == 200, "{}", head.status);
    ada.pull_image("team-a/web", "2.0")?;
    let first = wait_for_pull(server, &other, None)?;
    ensure!(pulled(server, &image)?.is_none(), "a push and a HEAD are no pulls");

    let added = hythe(server, &["registry", "pull-time-exclusion", "add", SCANNER])?.ok()?;
    ensure!(added.stdout.contains("do not count"), "{}", added.both());
    hythe(server, &["registry", "pull-time-exclusion", "add", SCANNER])?.refused()?;
    let listed = hythe(server, &["registry", "pull-time-exclusion", "list"])?.ok()?;
    ensure!(listed.stdout.contains(SCANNER), "{}", listed.both());
    // The first pull after the registration does not count, and what comes after it is recorded with or after it.
    scanner.pull_image("team-a/web", "1.0")?;
    scanner.pull_image("team-a/web", "2.0")?;
    ada.pull_image("team-a/web", &other)?;
    wait_for_pull(server, &other, Some(&first))?;
    ensure!(pulled(server, &image)?.is_none(), "the scanner's pull counted");

    hythe(server, &["registry", "pull-time-exclusion", "remove", SCANNER])?.ok()?;
    hythe(server, &["registry", "pull-time-exclusion", "remove", SCANNER])?.refused()?;
    scanner.pull_image("team-a/web", "1.0")?;
    wait_for_pull(server, &image, None)?;

    for name in ["RegisterPullTimeUpdateExclusion", "DeregisterPullTimeUpdateExclusion"] {
        let listed = hythe(server, &["audit", "list", "--event", name, "--output", "json"])?.ok()?;
        let listed: Value = serde_json::from_str(&listed.stdout)?;
        ensure!(listed["auditEvents"][0]["eventName"] == name, "{listed}");
    }
    Ok(())
}

#[test]
fn pulls_count_on_sqlite() -> Result<()> {
    let server = Server::start()?;
    pulls_count_but_those_of_the_excluded(&server)?;
    let refused = server
        .api("POST", EXCLUSIONS, Some(&json!({ "principalArn": "scanner" })))?
        .expect(400)?;
    ensure!(refused.json()?["pointer"] == "/principalArn", "{}", refused.text());
    let metrics = server.api("GET", "/metrics", None)?.expect(200)?.text();
    ensure!(metrics.contains("hythe_pull_times_excluded_total 2"), "{metrics}");
    Ok(())
}

#[test]
fn pulls_count_on_postgresql() -> Result<()> {
    let Some(cluster) = PostgresCluster::find_or_start()? else {
        return Ok(());
    };
    let server = Server::start_with(ServerOptions {
        arguments: vec!["--database".into(), cluster.create_database()?],
        ..ServerOptions::default()
    })?;
    pulls_count_but_those_of_the_excluded(&server)
}

#[test]
fn a_server_that_stops_writes_what_it_noted() -> Result<()> {
    let mut server = Server::start()?;
    server.create_repository("team-a/web")?;
    let client = RegistryClient::new(&server);
    let image = client.push_image("team-a/web", "1.0", b"one")?;
    client.pull_image("team-a/web", "1.0")?;
    ensure!(server.stop().context("it does not stop")?.success());
    server.restart()?;
    ensure!(pulled(&server, &image)?.is_some(), "the pull is forgotten");
    Ok(())
}
