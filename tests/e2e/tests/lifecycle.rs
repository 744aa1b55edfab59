// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies with real processes: from the command line to images that can be pulled, or not any more.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::churn::noise;
use e2e::process::{Finished, run, wait_until};
use e2e::registry::{OCI_MANIFEST, config_of, digest, manifest};
use e2e::{RegistryClient, Server, ServerOptions};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(90);
const POLICY: &str = r#"{"rules": [
    {"rulePriority": 1, "description": "releases", "selection": {"tagStatus": "tagged", "tagPatternList": ["v*"],
        "countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}},
    {"rulePriority": 2, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed",
        "countUnit": "days", "countNumber": 5}, "action": {"type": "expire"}}
]}"#;
const PATH: &str = "/api/v1/repositories/web/lifecycle-policy";
/// After every lease and every age in the policy, in seconds.
const LATER: i64 = 10 * 24 * 3600;

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

/// The answer of a command as JSON.
fn answer(server: &Server, arguments: &[&str]) -> Result<Value> {
    let finished = hythe(server, &[arguments, &["--output", "json"]].concat())?.ok()?;
    serde_json::from_str(&finished.stdout).with_context(|| format!("not JSON:\n{}", finished.both()))
}

/// A server whose clock a file moves.
fn start(more: &[(&str, &str)]) -> Result<(tempfile::TempDir, Server)> {
    let folder = tempfile::tempdir()?;
    let clock = folder.path().join("clock").display().to_string();
    let variables = [
        ("HYTHE_TEST_CLOCK_OFFSET_FILE", clock.as_str()),
        ("HYTHE_TEST_EXPIRY_MILLISECONDS", "250"),
    ];
    let server = Server::start_with(ServerOptions {
        environment: variables
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..ServerOptions::default()
    })?;
    server.create_repository("web")?;
    Ok((folder, server))
}

fn set_clock(folder: &tempfile::TempDir, seconds: i64) -> Result<()> {
    // All at once: the server reads it at any time.
    let new = folder.path().join("new");
    std::fs::write(&new, seconds.to_string())?;
    Ok(std::fs::rename(new, folder.path().join("clock"))?)
}

/// An image without a tag; answers its digest.
fn push_untagged(client: &RegistryClient, content: &[u8]) -> Result<String> {
    let config = client.push_blob("web", config_of(content).as_bytes())?;
    let layer = client.push_blob("web", content)?;
    let bytes = manifest(&config, config_of(content).len(), &layer, content.len());
    let digest = digest(&bytes);
    client.put_manifest("web", &digest, OCI_MANIFEST, &bytes)?.expect(201)?;
    Ok(digest)
}

fn put_policy(server: &Server, text: &str) -> Result<()> {
    let body = json!({ "lifecyclePolicyText": text });
    server.api("PUT", PATH, Some(&body))?.expect(200).map(drop)
}

/// The run that was started last, when it is complete.
fn completed(server: &Server, limit: Duration) -> Result<Value> {
    let mut last = Value::Null;
    wait_until("the run is complete", limit, || {
        let read = || -> Result<Value> {
            let runs = server.api("GET", &format!("{PATH}/runs"), None)?.expect(200)?.json()?;
            let id = runs["runs"][0]["runId"].as_str().context("no run")?.to_owned();
            let path = format!("{PATH}/runs/{id}?maxResults=1000");
            server.api("GET", &path, None)?.expect(200)?.json()
        };
        last = read().unwrap_or_default();
        last["status"] == "COMPLETE"
    })
    .with_context(|| last.to_string())?;
    Ok(last)
}

#[test]
fn what_a_preview_shows_a_run_expires_and_a_restore_brings_back() -> Result<()> {
    let (folder, server) = start(&[])?;
    let client = RegistryClient::new(&server);
    let untagged = push_untagged(&client, b"left over")?;
    let old = client.push_image("web", "v1", b"the first release")?;
    let new = client.push_image("web", "v2", b"the second release")?;
    let other = client.push_image("web", "dev", b"something else")?;
    set_clock(&folder, LATER)?;
    let file = server.scratch().join("policy.json");
    std::fs::write(&file, POLICY)?;
    let file = file.to_str().context("not UTF-8")?;

    hythe(&server, &["lifecycle", "validate", file])?.ok()?;
    let refused = hythe(&server, &["lifecycle", "preview", "web"])?.refused()?;
    ensure!(refused.status.code() == Some(3), "no policy: {}", refused.both());
    // A policy can be tried before it is set.
    let tried = answer(&server, &["lifecycle", "preview", "web", file])?;
    hythe(&server, &["lifecycle", "set", "web", file])?.ok()?;
    let printed = hythe(&server, &["lifecycle", "get", "web"])?.ok()?.stdout;
    ensure!(printed.trim_end() == POLICY, "{printed}");

    let preview = answer(&server, &["lifecycle", "preview", "web"])?;
    let shown = |preview: &Value| -> Vec<(String, String, u64, u64)> {
        let images = preview["previewResults"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let image = |it: &Value| {
            let rule = it["appliedRulePriority"]
                .as_u64()
                .unwrap_or(number(&it["claimedByRulePriority"]));
            let size = number(&it["imageSizeInBytes"]);
            (text(&it["imageDigest"]), text(&it["action"]["type"]), rule, size)
        };
        images.iter().map(image).collect()
    };
    let size = |content: &[u8]| (content.len() + config_of(content).len()) as u64;
    let sizes = [size(b"left over"), size(b"the first release")];
    let taken = vec![
        (untagged.clone(), "EXPIRE".to_owned(), 2, sizes[0]),
        (old.clone(), "EXPIRE".to_owned(), 1, sizes[1]),
    ];
    ensure!(shown(&preview) == taken && shown(&tried) == taken, "{preview} {tried}");
    let freed = preview["summary"]["freedBytes"].as_u64().unwrap_or_default();
    ensure!(freed > sizes.iter().sum(), "the manifests too: {freed}");
    let kept = answer(&server, &["lifecycle", "preview", "web", "--kept"])?;
    let kept: Vec<_> = shown(&kept)
        .into_iter()
        .map(|(digest, action, rule, _)| (digest, action, rule))
        .collect();
    ensure!(
        kept == [
            (new.clone(), "KEEP".to_owned(), 1),
            (other.clone(), "KEEP".to_owned(), 0)
        ],
        "{kept:?}"
    );
    let table = hythe(&server, &["lifecycle", "preview", "web"])?.ok()?;
    ensure!(
        table.stdout.contains("rule 1 (releases): not the newest image"),
        "{}",
        table.both()
    );
    ensure!(table.stderr.contains("of 4 images, 2 would expire"), "{}", table.both());
    client.pull_image("web", "v1").context("a preview changes nothing")?;

    let run = answer(&server, &["lifecycle", "run", "web", "--wait"])?;
    ensure!(
        run["expiredImageCount"] == 2 && run["evaluatedImageCount"] == 4,
        "{run}"
    );
    for gone in ["v1", untagged.as_str(), old.as_str()] {
        ensure!(client.manifest("web", gone)?.status == 404, "{gone} is still there");
    }
    for there in ["v2", "dev"] {
        client.pull_image("web", there)?;
    }
    let id = run["runId"].as_str().context("no id")?;
    let record = answer(&server, &["lifecycle", "runs", "web", id])?;
    let told: Vec<_> = record["images"].as_array().into_iter().flatten().collect();
    ensure!(
        told.len() == 2 && told.iter().all(|image| image["result"] == "DONE"),
        "{record}"
    );
    ensure!(
        told[1]["imageDigest"] == *old && told[1]["imageTags"] == json!(["v1"]),
        "{record}"
    );
    ensure!(told[1]["rulePriority"] == 1, "{record}");
    ensure!(
        told[1]["reason"] == "rule 1 (releases): not the newest image",
        "{record}"
    );
    let listed = hythe(&server, &["lifecycle", "runs", "web"])?.ok()?.stdout;
    ensure!(listed.contains(id), "{listed}");

    let deleted = hythe(&server, &["image", "list-deleted", "web"])?.ok()?.stdout;
    ensure!(deleted.contains("lifecycle rule 1"), "{deleted}");
    hythe(&server, &["image", "restore", "web:v1"])?.ok()?;
    ensure!(client.manifest("web", "v1")?.header("docker-content-digest") == Some(old.as_str()));
    client.pull_image("web", "v1")?;

    let audit = answer(&server, &["audit", "list", "--event", "PolicyExecutionEvent"])?.to_string();
    ensure!(audit.contains(&old), "{audit}");
    let metrics = server.api("GET", "/metrics", None)?.text();
    for line in ["hythe_lifecycle_runs_total 1", "hythe_lifecycle_images_expired_total 2"] {
        ensure!(metrics.contains(line), "no `{line}`");
    }
    hythe(&server, &["lifecycle", "delete", "web", "--yes"])?.ok()?;
    let gone = hythe(&server, &["lifecycle", "get", "web"])?.refused()?;
    ensure!(gone.status.code() == Some(3), "{}", gone.both());
    Ok(())
}

/// What one pulls stays; what nobody pulled goes to the archive, and what comes back from there is as new.
#[test]
fn a_policy_archives_what_nobody_pulls() -> Result<()> {
    const ARCHIVE: &str = r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any",
        "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 5},
        "action": {"type": "transition", "targetStorageClass": "archive"}}]}"#;
    let (folder, server) = start(&[])?;
    let client = RegistryClient::new(&server);
    let cold = client.push_image("web", "cold", &noise("nobody pulls this", 1_000_000))?;
    let warm = client.push_image("web", "warm", b"somebody pulls this")?;
    set_clock(&folder, LATER)?;
    let image = |digest: &str| -> Result<Value> {
        let path = format!("/api/v1/repositories/web/images/{digest}");
        server.api("GET", &path, None)?.expect(200)?.json()
    };
    client.pull_image("web", "warm")?;
    wait_until("the pull is recorded", LIMIT, || {
        image(&warm).is_ok_and(|image| image["lastRecordedPullTime"].is_string())
    })?;
    put_policy(&server, ARCHIVE)?;
    let run = answer(&server, &["lifecycle", "run", "web", "--wait"])?;
    ensure!(
        run["transitionedImageCount"] == 1 && run["failedImageCount"] == 0,
        "{run}"
    );
    client.manifest("web", "cold")?.expect(404)?;
    client.pull_image("web", "warm")?;
    ensure!(image(&cold)?["imageStatus"] == "ARCHIVED");
    let id = run["runId"].as_str().context("no id")?;
    let record = answer(&server, &["lifecycle", "runs", "web", id])?;
    let told = &record["images"][0];
    ensure!(
        told["imageDigest"] == *cold && told["action"]["type"] == "TRANSITION" && told["result"] == "DONE",
        "{record}"
    );

    hythe(&server, &["image", "unarchive", "web:cold"])?.ok()?;
    wait_until("the image is back", LIMIT, || {
        image(&cold).is_ok_and(|image| image["imageStatus"] == "ACTIVE")
    })?;
    client.pull_image("web", "cold")?;
    let again = answer(&server, &["lifecycle", "run", "web", "--wait"])?;
    ensure!(
        again["transitionedImageCount"] == 0 && again["evaluatedImageCount"] == 2,
        "{again}"
    );
    client.pull_image("web", "cold")?;
    let told = answer(&server, &["audit", "list", "--event", "ImageActivationEvent"])?.to_string();
    ensure!(told.contains(&cold), "{told}");
    Ok(())
}

#[test]
fn a_policy_is_evaluated_when_it_is_due() -> Result<()> {
    let (folder, server) = start(&[("HYTHE_LIFECYCLE_PERIOD_MINUTES", "30")])?;
    let client = RegistryClient::new(&server);
    for tag in ["v1", "v2"] {
        client.push_image("web", tag, tag.as_bytes())?;
    }
    put_policy(&server, POLICY)?;
    set_clock(&folder, 31 * 60)?;
    let run = completed(&server, LIMIT)?;
    ensure!(run["trigger"] == "SCHEDULE" && run["expiredImageCount"] == 1, "{run}");
    ensure!(client.manifest("web", "v1")?.status == 404);
    client.pull_image("web", "v2")?;
    Ok(())
}

#[test]
fn a_crash_at_any_step_leaves_each_image_there_or_recorded() -> Result<()> {
    // More than one batch.
    const IMAGES: usize = 13;
    for point in [
        "lifecycle.run.claimed",
        "lifecycle.batch.before",
        "lifecycle.batch.after",
        "lifecycle.run.finish.before",
        "lifecycle.preview.page",
    ] {
        let (folder, mut server) = start(&[("HYTHE_TEST_FAIL_POINT", &format!("{point}:1"))])?;
        let client = RegistryClient::new(&server);
        let mut pushed = Vec::new();
        for number in 0..IMAGES {
            pushed.push(client.push_image("web", &format!("v{number}"), format!("release {number}").as_bytes())?);
        }
        put_policy(&server, POLICY)?;
        let is_preview = point == "lifecycle.preview.page";
        let what = if is_preview { "preview" } else { "runs" };
        let body = is_preview.then(|| json!({}));
        // It may have ended before the answer was written.
        if let Ok(answer) = server.api("POST", &format!("{PATH}/{what}"), body.as_ref()) {
            answer.expect(202)?;
        }
        wait_until("the server has ended", LIMIT, || {
            server.exit_status().is_ok_and(|status| status.is_some())
        })
        .context(point)?;
        // Another node takes the job when the lease is over.
        set_clock(&folder, 5 * 60)?;
        server.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
        server.restart()?;
        let client = RegistryClient::new(&server);
        let (last, old) = pushed.split_last().context("no images")?;
        if is_preview {
            let mut preview = Value::Null;
            wait_until("the preview is complete", LIMIT, || {
                let read = || server.api("GET", &format!("{PATH}/preview"), None)?.expect(200)?.json();
                preview = read().unwrap_or_default();
                preview["status"] == "COMPLETE"
            })
            .with_context(|| format!("{preview}"))?;
            ensure!(preview["summary"]["expiringImageTotalCount"] == old.len(), "{preview}");
            client.pull_image("web", "v0")?;
            continue;
        }
        let run = completed(&server, LIMIT).context(point)?;
        ensure!(run["expiredImageCount"] == old.len(), "{point}: {run}");
        let images = run["images"].as_array().context("no images")?;
        let named: BTreeSet<&str> = images
            .iter()
            .filter_map(|image| image["imageDigest"].as_str())
            .collect();
        ensure!(named == old.iter().map(String::as_str).collect(), "{point}: {run}");
        ensure!(images.len() == old.len(), "{point}: an image is recorded twice: {run}");
        for gone in old {
            ensure!(
                client.manifest("web", gone)?.status == 404,
                "{point}: {gone} is still there"
            );
        }
        client.pull_image("web", last)?;
    }
    Ok(())
}

#[test]
fn nodes_share_the_work_without_doing_it_twice() -> Result<()> {
    const IMAGES: usize = 24;
    let Some(nodes) = e2e::TwoNodes::start(&[("HYTHE_TEST_EXPIRY_MILLISECONDS", "50")])? else {
        return Ok(());
    };
    let (first, second) = (&nodes.first, &nodes.second);
    first.create_repository("web")?;
    let client = RegistryClient::new(first);
    for number in 0..IMAGES {
        client.push_image("web", &format!("v{number}"), format!("release {number}").as_bytes())?;
    }
    put_policy(first, POLICY)?;
    let mut ids = BTreeSet::new();
    for server in [first, second] {
        let started = server.api("POST", &format!("{PATH}/runs"), None)?.expect(202)?.json()?;
        ids.insert(started["runId"].as_str().context("no id")?.to_owned());
    }
    completed(second, LIMIT)?;
    let mut named = Vec::new();
    for id in &ids {
        let path = format!("{PATH}/runs/{id}?maxResults=1000");
        let run = first.api("GET", &path, None)?.expect(200)?.json()?;
        ensure!(run["failedImageCount"] == 0, "{run}");
        let images = run["images"].as_array().cloned().unwrap_or_default();
        named.extend(images.iter().map(|image| image["imageDigest"].to_string()));
    }
    let different: BTreeSet<_> = named.iter().collect();
    ensure!(different.len() == IMAGES - 1 && named.len() == IMAGES - 1, "{named:?}");
    client.pull_image("web", &format!("v{}", IMAGES - 1))?;
    Ok(())
}
