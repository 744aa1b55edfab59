// SPDX-License-Identifier: Apache-2.0
//! The audit log of a real server: who pulled what, what a crash leaves, and what is found when somebody tampers.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::churn::{Churn, REPOSITORIES};
use e2e::client::find;
use e2e::image::static_busybox;
use e2e::leftovers::query;
use e2e::postgres::psql;
use e2e::process::{Daemon, Finished, run, wait_until};
use e2e::{DockerEngine, Ledger, RegistryClient, Server, http};
use rustix::process::Signal;
use serde_json::{Value, json};

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

/// The records that fit, newest first.
fn records(server: &Server, filter: &[&str]) -> Result<Vec<Value>> {
    let arguments = [&["audit", "list", "--limit", "100000", "--output", "json"], filter].concat();
    let finished = hythe(server, &arguments)?.ok()?;
    let page: Value = serde_json::from_str(&finished.stdout).with_context(|| finished.both())?;
    Ok(page["auditEvents"].as_array().cloned().unwrap_or_default())
}

/// A user with this policy, and a client of the registry as that user.
fn user(server: &Server, name: &str, policy: &str) -> Result<RegistryClient> {
    let body = json!({ "userName": name, "policies": [policy] });
    server.api("POST", "/api/v1/users", Some(&body))?.expect(201)?;
    let key = server
        .api("POST", &format!("/api/v1/users/{name}/access-keys"), None)?
        .expect(201)?
        .json()?;
    let text = |member: &str| key[member].as_str().unwrap_or_default().to_owned();
    let basic = http::basic(&text("accessKeyId"), &text("secretAccessKey"));
    Ok(RegistryClient::with(server.registry(), Some(basic)))
}

#[test]
fn the_log_says_who_pushed_and_who_pulled_which_digest() -> Result<()> {
    let server = Server::start()?;
    server.create_repository("team-a/web")?;
    let root = RegistryClient::new(&server);
    let old = root.push_image("team-a/web", "1.0", b"the first")?;
    let new = root.push_image("team-a/web", "1.0", b"the second")?;
    let ada = user(&server, "ada", "ReadOnly")?;
    ada.pull_image("team-a/web", "1.0")?;
    let refused = ada.call("DELETE", &format!("/v2/team-a/web/manifests/{new}"), &[], &[])?;
    ensure!(refused.status == 403);
    let id = refused.header("x-request-id").context("a refusal has no id")?;

    let pulls = records(
        &server,
        &["--digest", &new, "--principal", "ada", "--event", "BatchGetImage"],
    )?;
    ensure!(
        !pulls.is_empty() && pulls.iter().all(|pull| pull["readOnly"] == true),
        "{pulls:?}"
    );
    ensure!(
        pulls[0]["imageTag"] == "1.0" && pulls[0]["sourceIPAddress"] == "127.0.0.1",
        "{}",
        pulls[0]
    );
    let layers = records(&server, &["--principal", "ada", "--event", "GetDownloadUrlForLayer"])?;
    ensure!(layers.len() == 2, "configuration and layer: {layers:?}");
    let pushes = records(&server, &["--repository", "team-a/web", "--event", "PutImage"])?;
    ensure!(pushes.len() == 2, "{pushes:?}");
    let moved = json!([{ "imageTag": "1.0", "fromDigest": old, "toDigest": new }]);
    ensure!(pushes[0]["tagMoves"] == moved, "{}", pushes[0]);
    let denied = records(&server, &["--principal", "ada", "--errors"])?;
    ensure!(denied.len() == 1 && denied[0]["requestID"] == id, "{denied:?}");
    ensure!(
        records(&server, &["--request-id", id])? == denied,
        "the id finds the record"
    );
    let of_old = records(&server, &["--digest", &old, "--event", "PutImage"])?;
    ensure!(
        of_old == pushes,
        "who looks for a digest finds the push that has moved its tag, too"
    );
    let reason = denied[0]["errorMessage"].as_str().unwrap_or_default();
    ensure!(
        reason.contains("is not authorized to perform: ecr:BatchDeleteImage"),
        "{reason}"
    );
    let table = hythe(&server, &["audit", "list", "--principal", "ada"])?.ok()?.stdout;
    ensure!(table.contains("BatchGetImage") && table.contains("DENIED"), "{table}");

    // Two exports, the second of what came since, and the check of both as one file.
    let first = hythe(&server, &["audit", "export"])?.ok()?.stdout;
    let last: Value = serde_json::from_str(first.lines().last().context("an empty export")?)?;
    let after = last["integrity"]["sequence"].to_string();
    let second = hythe(&server, &["audit", "export", "--after-sequence", &after])?
        .ok()?
        .stdout;
    let file = server.scratch().join("audit.jsonl");
    std::fs::write(&file, [first.as_str(), second.as_str()].concat())?;
    let path = file.display().to_string();
    hythe(&server, &["audit", "verify", "--file", &path])?.ok()?;
    std::fs::write(&file, first.replacen("user/ada", "user/eve", 1))?;
    let found = hythe(&server, &["audit", "verify", "--file", &path])?.refused()?;
    ensure!(found.both().contains("is not as it was written"), "{}", found.both());

    let settings = hythe(&server, &["audit", "settings", "--retention-days", "7"])?.ok()?;
    ensure!(settings.stdout.contains("7 days"), "{}", settings.stdout);
    Ok(())
}

#[test]
fn docker_push_and_pull_are_in_the_log() -> Result<()> {
    if static_busybox().is_none() {
        return e2e::client::skip("not installed: a static busybox (Debian: busybox-static)");
    }
    let Some(engine) = DockerEngine::start()? else {
        return Ok(());
    };
    let server = Server::start()?;
    server.create_repository("team-a/web")?;
    let (password, _) = server.authorization_token(&json!({}))?;
    engine.login(server.registry(), "AWS", &password)?.ok()?;
    let image = format!("{}/team-a/web:1.0", server.registry());
    engine.build(&image, "landed", &[])?;
    let printed = engine.docker(&["push", &image])?.stdout;
    let digest = printed.split_whitespace().find(|word| word.starts_with("sha256:"));
    let digest = digest.context("docker printed no digest")?.to_owned();
    engine.docker(&["rmi", "--force", &image])?;
    engine.docker(&["pull", &image])?;

    let of_image = records(&server, &["--digest", &digest])?;
    let has = |event: &str| of_image.iter().any(|record| record["eventName"] == event);
    ensure!(has("PutImage") && has("BatchGetImage"), "{of_image:?}");
    let agents: Vec<_> = of_image
        .iter()
        .filter_map(|record| record["userAgent"].as_str())
        .collect();
    ensure!(agents.iter().any(|agent| agent.contains("docker")), "{agents:?}");
    ensure!(
        of_image.iter().all(|record| record["userIdentity"]["type"] == "Root"),
        "{of_image:?}"
    );
    // What an engine asks before it is logged in is there, too.
    ensure!(!records(&server, &["--event", "Ping", "--errors"])?.is_empty());
    hythe(&server, &["audit", "verify"])?.ok()?;
    Ok(())
}

/// Moves of tags as rows and as records: repository, tag, from, to.
fn moves(database: &Path) -> Result<[BTreeSet<[String; 4]>; 2]> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let rows = query(
        database,
        "SELECT r.name AS repository, m.name AS tag, from_digest, to_digest
           FROM tag_move m JOIN repository r ON r.id = m.repository_id",
    )?;
    let rows = rows
        .iter()
        .map(|row| ["repository", "tag", "from_digest", "to_digest"].map(|name| text(&row[name])));
    let mut recorded = BTreeSet::new();
    for row in query(
        database,
        "SELECT shared FROM audit_event WHERE shared LIKE '%tagMoves%'",
    )? {
        let record: Value = serde_json::from_str(&text(&row["shared"]))?;
        let repository = text(&record["requestParameters"]["repositoryName"]);
        for moved in record["tagMoves"].as_array().context("no moves")? {
            let [tag, from, to] = ["imageTag", "fromDigest", "toDigest"].map(|name| text(&moved[name]));
            recorded.insert([repository.clone(), tag, from, to]);
        }
    }
    Ok([rows.collect(), recorded])
}

#[test]
fn kill_9_leaves_neither_a_change_without_a_record_nor_a_record_without_a_change() -> Result<()> {
    if find(&["sqlite3"])?.is_none() {
        return Ok(());
    }
    let mut server = Server::start()?;
    for repository in REPOSITORIES {
        server.create_repository(repository)?;
    }
    let ledger = Arc::new(Ledger::default());
    let database = server.data_folder().join("hythe.db");
    for (life, pause) in [40, 150, 700, 90].into_iter().enumerate() {
        let registry = RegistryClient::new(&server);
        let churn = Churn::default();
        scope(|threads| -> Result<()> {
            for client in 0..3 {
                let (churn, registry, ledger) = (&churn, &registry, &ledger);
                threads.spawn(move || churn.work(registry, ledger, client, life));
            }
            let waited = wait_until("an image is through", Duration::from_secs(90), || {
                churn.images.load(std::sync::atomic::Ordering::SeqCst) > 0
            });
            // The moment is the point here, not a wait for something.
            sleep(Duration::from_millis(pause));
            server.kill9()?;
            waited
        })?;
        let [rows, recorded] = moves(&database)?;
        let lost: Vec<_> = rows.difference(&recorded).collect();
        let made_up: Vec<_> = recorded.difference(&rows).collect();
        ensure!(
            lost.is_empty() && made_up.is_empty() && !rows.is_empty(),
            "lost {lost:?}, made up {made_up:?}"
        );
        server.restart()?;
        ledger.restarted();
        hythe(&server, &["audit", "verify"])?.ok()?;
    }
    Ok(())
}

/// Of pulls, a crash takes the records of at most the last second. On a busy machine the server may once be late to write them; one
/// that always is loses some in each round.
#[test]
fn kill_9_takes_no_record_of_a_pull_that_is_older_than_a_second() -> Result<()> {
    const BOUND: Duration = Duration::from_secs(1);
    const OLDER: usize = 10;
    let mut server = Server::start()?;
    server.create_repository("web")?;
    let registry = RegistryClient::new(&server);
    let digest = registry.push_image("web", "v1", b"something")?;
    let (mut before, mut losses) = (0, Vec::new());
    for round in 0..4 {
        if round == 3 && losses.is_empty() {
            break;
        }
        for _ in 0..OLDER {
            registry.manifest("web", &digest)?.expect(200)?;
        }
        // The moment is the point here, not a wait for something.
        sleep(BOUND);
        for _ in 0..round {
            registry.manifest("web", &digest)?.expect(200)?;
        }
        server.kill9()?;
        server.restart()?;
        let pulls = records(&server, &["--digest", &digest, "--event", "BatchGetImage"])?;
        // Those of the last second may be there or not; what has survived a crash stays.
        let left = pulls
            .len()
            .checked_sub(before)
            .context("records of earlier pulls are gone")?;
        ensure!(left <= OLDER + round, "{left} records of {OLDER} and {round} pulls");
        if left < OLDER {
            losses.push(format!(
                "round {round}: {left} of {OLDER} pulls, and {round} that may be lost"
            ));
        }
        ensure!(losses.len() < 2, "{losses:?}");
        before = pulls.len();
        hythe(&server, &["audit", "verify"])?.ok()?;
    }
    Ok(())
}

#[test]
fn who_follows_the_log_is_told_each_record_once() -> Result<()> {
    const LIMIT: Duration = Duration::from_mins(1);
    let server = Server::start()?;
    server.create_repository("web")?;
    let registry = RegistryClient::new(&server);
    let follow = |name: &str, arguments: &[&str]| {
        let log = server.scratch().join(name);
        let mut command = server.command(arguments)?;
        Daemon::start(name, command.env("HOME", server.scratch()), &log)
    };
    let mut list = follow("list", &["audit", "list", "--follow", "--repository", "web"])?;
    let mut export = follow("export", &["audit", "export", "--follow"])?;
    // `list` begins where the log ends: from some push on it tells all.
    let mut pushes = 0;
    let mut digest = String::new();
    list.wait_until("a push is told", LIMIT, || {
        pushes += 1;
        let text = format!("content {pushes}");
        let answer = registry.push_image("web", &format!("v{pushes}"), text.as_bytes());
        digest = answer.unwrap_or_default();
        let until = std::time::Instant::now() + Duration::from_secs(2);
        while std::time::Instant::now() < until && !server_log_has(&server, "list", "PutImage") {
            sleep(Duration::from_millis(20));
        }
        server_log_has(&server, "list", "PutImage")
    })?;
    registry.manifest("web", &digest)?.expect(200)?;
    list.wait_until("the pull is told", LIMIT, || {
        server_log_has(&server, "list", "BatchGetImage")
    })?;
    let is_exported = || {
        let text = std::fs::read_to_string(server.scratch().join("export")).unwrap_or_default();
        text.lines()
            .any(|line| line.contains("BatchGetImage") && line.contains(&digest))
    };
    export.wait_until("the pull is exported", LIMIT, is_exported)?;
    for follower in [&mut list, &mut export] {
        follower.signal(Signal::INT)?;
        wait_until("it ends", LIMIT, || {
            follower.exit_status().is_ok_and(|status| status.is_some())
        })?;
    }
    // Every record from the first on, each once, in order: a file without gaps.
    let file = server.scratch().join("export");
    let text = std::fs::read_to_string(&file)?;
    let whole: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
    let numbers = whole
        .iter()
        .map(|line| Ok(serde_json::from_str::<Value>(line)?["integrity"]["sequence"].as_u64()))
        .collect::<Result<Vec<_>>>()?;
    let want: Vec<_> = (1..=whole.len() as u64).map(Some).collect();
    ensure!(numbers == want, "{numbers:?}");
    std::fs::write(&file, format!("{}\n", whole.join("\n")))?;
    hythe(&server, &["audit", "verify", "--file", &file.display().to_string()])?.ok()?;
    Ok(())
}

fn server_log_has(server: &Server, name: &str, text: &str) -> bool {
    std::fs::read_to_string(server.scratch().join(name)).is_ok_and(|log| log.contains(text))
}

#[test]
fn a_clean_end_loses_no_record_and_tampering_is_found() -> Result<()> {
    let Some(sqlite3) = find(&["sqlite3"])? else {
        return Ok(());
    };
    let mut server = Server::start()?;
    server.create_repository("team-a/web")?;
    let registry = RegistryClient::new(&server);
    let digest = registry.push_image("team-a/web", "1.0", b"something")?;
    for _ in 0..20 {
        registry.manifest("team-a/web", &digest)?.expect(200)?;
    }
    server.stop();
    server.restart()?;
    let pulls = records(&server, &["--digest", &digest, "--event", "BatchGetImage"])?;
    ensure!(pulls.len() == 20, "{} of 20 pulls", pulls.len());
    let verified = hythe(&server, &["audit", "verify"])?.ok()?.stdout;
    let noted = verified
        .split_whitespace()
        .find(|word| word.len() > 65 && word.contains(':'));
    let noted = noted.context("no place to note")?.to_owned();
    hythe(&server, &["audit", "verify", "--expect", &noted])?.ok()?;

    let database = server.data_folder().join("hythe.db");
    let sql = "UPDATE audit_event SET shared = REPLACE(shared, '\"readOnly\":false', '\"readOnly\":true') WHERE event_name = 'PutImage'";
    server.stop();
    run(Command::new(&sqlite3[0]).arg(&database).arg(sql))?.ok()?;
    server.restart()?;
    let found = hythe(&server, &["audit", "verify"])?.refused()?;
    ensure!(found.both().contains("is not as it was written"), "{}", found.both());

    // The whole log thrown away and begun anew: only what was noted elsewhere tells.
    let zeros = "0".repeat(64);
    let sql = format!(
        "DELETE FROM audit_event; DELETE FROM audit_anchor; UPDATE audit_chain SET head_sequence = 0, head_hash = '{zeros}', head_mac = ''"
    );
    server.stop();
    run(Command::new(&sqlite3[0]).arg(&database).arg(sql))?.ok()?;
    server.restart()?;
    hythe(&server, &["audit", "verify"])?.ok()?;
    let found = hythe(&server, &["audit", "verify", "--expect", &noted])?.refused()?;
    ensure!(found.both().contains("expected"), "{}", found.both());
    Ok(())
}

#[test]
fn two_nodes_write_one_chain() -> Result<()> {
    let Some(mut nodes) = e2e::TwoNodes::start(&[])? else {
        return Ok(());
    };
    nodes.first.create_repository("shared")?;
    let work = |server: &Server, name: &str| -> Result<()> {
        let registry = RegistryClient::new(server);
        for round in 0..20 {
            let digest = registry.push_image(
                "shared",
                &format!("{name}-{round}"),
                format!("{name} {round}").as_bytes(),
            )?;
            registry.pull_image("shared", &digest)?;
        }
        Ok(())
    };
    scope(|threads| -> Result<()> {
        let other = threads.spawn(|| work(&nodes.second, "second"));
        work(&nodes.first, "first")?;
        other.join().unwrap()
    })?;
    nodes.first.kill9()?;
    let pushes = records(&nodes.second, &["--event", "PutImage"])?;
    ensure!(pushes.len() == 40, "{} of 40 pushes", pushes.len());
    let verified = hythe(&nodes.second, &["audit", "verify"])?.ok()?;
    let moved = psql(&nodes.database, "SELECT COUNT(*) FROM tag_move")?;
    ensure!(moved == "40", "{moved} {}", verified.stdout);
    psql(
        &nodes.database,
        "UPDATE audit_event SET digest = NULL WHERE sequence = (SELECT MIN(sequence) FROM audit_event WHERE event_name = 'PutImage')",
    )?;
    hythe(&nodes.second, &["audit", "verify"])?.refused()?;
    Ok(())
}
