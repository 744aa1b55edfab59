// SPDX-License-Identifier: Apache-2.0
//! Deleting, restoring, purging and rolling back with the command line, against a real server on both databases.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::postgres::PostgresCluster;
use e2e::process::{Finished, run, wait_until};
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, digest};
use e2e::{RegistryClient, Server, ServerOptions};
use serde_json::{Value, json};

/// How often the server looks for what to purge and what follows, in milliseconds.
const PASS: &str = "250";
const LIMIT: Duration = Duration::from_mins(1);

fn options() -> ServerOptions {
    ServerOptions {
        environment: vec![("HYTHE_TEST_EXPIRY_MILLISECONDS".into(), PASS.into())],
        ..ServerOptions::default()
    }
}

/// Runs a test on SQLite, and on PostgreSQL if that is installed.
fn on_each_database(test: impl Fn(&Server) -> Result<()>) -> Result<()> {
    test(&Server::start_with(options())?).context("on SQLite")?;
    let Some(cluster) = PostgresCluster::find_or_start()? else {
        return Ok(());
    };
    let mut options = options();
    options.arguments = vec!["--database".into(), cluster.create_database()?];
    test(&Server::start_with(options)?).context("on PostgreSQL")
}

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

fn json(server: &Server, arguments: &[&str]) -> Result<Value> {
    let finished = hythe(server, &[arguments, &["--output", "json"]].concat())?.ok()?;
    serde_json::from_str(&finished.stdout).with_context(|| format!("not JSON:\n{}", finished.both()))
}

/// Pushes an artifact that refers to an image; answers its digest.
fn push_referrer(client: &RegistryClient, repository: &str, subject: &str) -> Result<String> {
    let config = client.push_blob(repository, b"{}")?;
    let size = client.manifest(repository, subject)?.expect(200)?.body.len();
    let bytes = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example.signature",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 }],
        "subject": { "mediaType": OCI_MANIFEST, "digest": subject, "size": size },
    })
    .to_string();
    let referrer = digest(bytes.as_bytes());
    client
        .put_manifest(repository, &referrer, OCI_MANIFEST, bytes.as_bytes())?
        .expect(201)?;
    Ok(referrer)
}

#[test]
fn a_deleted_image_comes_back_with_its_tags_until_it_is_purged() -> Result<()> {
    on_each_database(|server| {
        server.create_repository("web")?;
        let client = RegistryClient::new(server);
        let image = client.push_image("web", "v1", b"to be missed")?;
        hythe(server, &["tag", "set", "web:stable", &image])?.ok()?;
        hythe(server, &["image", "delete", "web:v1", "--yes"])?.ok()?;
        for reference in ["v1", "stable", &image] {
            let status = client.manifest("web", reference)?.status;
            ensure!(status == 404, "{reference}: {status}");
        }
        let listed = json(server, &["image", "list-deleted", "web"])?;
        let entry = &listed["deletedImages"][0];
        ensure!(
            entry["imageDigest"] == *image && entry["imageTags"] == json!(["stable", "v1"]),
            "{listed}"
        );
        ensure!(entry["deletionReason"] == "REQUEST", "{listed}");

        let restored = json(server, &["image", "restore", "web:v1"])?;
        ensure!(restored["isRestored"] == true, "{restored}");
        for reference in ["v1", "stable", &image] {
            client.pull_image("web", reference).context(reference.to_owned())?;
        }

        // What was taken meanwhile stays where it is.
        hythe(server, &["image", "delete", &format!("web@{image}"), "--yes"])?.ok()?;
        let other = client.push_image("web", "v1", b"another")?;
        let finished = hythe(server, &["image", "restore", &format!("web@{image}")])?.ok()?;
        ensure!(finished.stderr.contains("tag v1"), "{}", finished.both());
        let now = json(server, &["tag", "show", "web:v1"])?;
        ensure!(now["imageDigest"] == *other, "{now}");
        client.pull_image("web", "stable")?;

        hythe(server, &["image", "delete", &format!("web@{image}"), "--yes"])?.ok()?;
        hythe(server, &["image", "purge", "web:stable", "--yes"])?.ok()?;
        let refused = hythe(server, &["image", "restore", &format!("web@{image}")])?.refused()?;
        ensure!(refused.status.code() == Some(3), "{}", refused.both());
        let refused = hythe(server, &["image", "restore", "web:stable"])?.refused()?;
        ensure!(refused.stderr.contains("list-deleted"), "{}", refused.both());
        Ok(())
    })
}

#[test]
fn a_tag_goes_back_to_where_it_was() -> Result<()> {
    on_each_database(|server| {
        server.create_repository("web")?;
        let client = RegistryClient::new(server);
        let one = client.push_image("web", "stable", b"one")?;
        let then = json(server, &["tag", "show", "web:stable"])?["movedAt"].clone();
        let then = then.as_str().context("no time")?;
        let two = client.push_image("web", "stable", b"two")?;
        let shown = json(server, &["tag", "show", "web:stable", "--as-of", then])?;
        // Both pushes may have come within one millisecond.
        ensure!(shown["imageDigest"] == *one || shown["imageDigest"] == *two, "{shown}");
        let refused = hythe(
            server,
            &["tag", "show", "web:stable", "--as-of", "2000-01-01T00:00:00Z"],
        )?
        .refused()?;
        ensure!(refused.status.code() == Some(3), "{}", refused.both());

        let done = json(server, &["tag", "rollback", "web:stable"])?;
        ensure!(
            done["imageDigest"] == *one && done["previousImageDigest"] == *two && done["isImageRestored"] == false,
            "{done}"
        );
        ensure!(digest(&client.manifest("web", "stable")?.expect(200)?.body) == one);

        // The image is gone, and comes back with the tag.
        hythe(server, &["image", "delete", &format!("web@{two}"), "--yes"])?.ok()?;
        let text = hythe(server, &["tag", "rollback", "web:stable", "--sequence", "2"])?
            .ok()?
            .stdout;
        ensure!(text.contains(&two) && text.contains("restored"), "{text}");
        client.pull_image("web", "stable")?;
        ensure!(digest(&client.manifest("web", "stable")?.expect(200)?.body) == two);
        let history = hythe(server, &["tag", "history", "web:stable"])?.ok()?.stdout;
        for words in ["NUMBER", &one, &two, "root"] {
            ensure!(history.contains(words), "{words} is not in:\n{history}");
        }

        hythe(server, &["image", "delete", "web:stable", "--yes"])?.ok()?;
        hythe(server, &["image", "purge", "web:stable", "--yes"])?.ok()?;
        let refused = hythe(server, &["tag", "rollback", "web:stable"])?.refused()?;
        ensure!(
            refused.status.code() == Some(3) && refused.stderr.contains("cannot be restored any more"),
            "{}",
            refused.both()
        );
        // Each move is in the audit log, with where the tag pointed before and after.
        let events = json(server, &["audit", "list", "--repository", "web", "--event", "PutImage"])?.to_string();
        ensure!(events.contains("RollBackTag"), "{events}");
        Ok(())
    })
}

#[test]
fn several_images_are_deleted_at_once_with_what_an_index_lists() -> Result<()> {
    on_each_database(|server| {
        server.create_repository("web")?;
        let client = RegistryClient::new(server);
        let image = client.push_image("web", "amd64", b"a platform")?;
        let size = client.manifest("web", &image)?.expect(200)?.body.len();
        let index = json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [{ "mediaType": OCI_MANIFEST, "digest": image, "size": size }],
        })
        .to_string();
        client
            .put_manifest("web", "all", OCI_INDEX, index.as_bytes())?
            .expect(201)?;
        let kept = client.push_image("web", "kept", b"listed by another index")?;
        let size = client.manifest("web", &kept)?.expect(200)?.body.len();
        let other = json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [{ "mediaType": OCI_MANIFEST, "digest": kept, "size": size }],
        })
        .to_string();
        client
            .put_manifest("web", "other", OCI_INDEX, other.as_bytes())?
            .expect(201)?;

        // The image comes first and can only go after its index; one stays, and the command says so.
        let refused = hythe(
            server,
            &["image", "delete", "web:amd64", "web:kept", "web:all", "--yes"],
        )?
        .refused()?;
        ensure!(
            refused.status.code() == Some(1) && refused.stderr.contains("1 of 3 images were not deleted"),
            "{}",
            refused.both()
        );
        let listed = json(server, &["image", "list", "web"])?.to_string();
        ensure!(listed.contains(&kept) && !listed.contains(&image), "{listed}");

        server.create_repository("api")?;
        let refused = hythe(server, &["image", "delete", "web:kept", "api:v1", "--yes"])?.refused()?;
        ensure!(refused.status.code() == Some(2), "{}", refused.both());
        // The index brings back what it lists.
        hythe(server, &["image", "restore", "web:all"])?.ok()?;
        client.pull_image("web", "amd64")?;
        Ok(())
    })
}

#[test]
fn what_refers_to_an_image_goes_and_comes_back_with_it() -> Result<()> {
    on_each_database(|server| {
        server.create_repository("web")?;
        let client = RegistryClient::new(server);
        let image = client.push_image("web", "v1", b"signed")?;
        let referrer = push_referrer(&client, "web", &image)?;
        hythe(server, &["image", "delete", "web:v1", "--yes"])?.ok()?;
        let is_gone = || {
            client
                .manifest("web", &referrer)
                .is_ok_and(|answer| answer.status == 404)
        };
        wait_until("the referrer has followed its subject", LIMIT, is_gone)?;
        let listed = json(server, &["image", "list-deleted", "web"])?.to_string();
        ensure!(listed.contains("SUBJECT_DELETED"), "{listed}");

        hythe(server, &["image", "restore", "web:v1"])?.ok()?;
        client.manifest("web", &referrer)?.expect(200)?;
        let events = json(server, &["audit", "list", "--event", "ReferrersFollowedEvent"])?;
        let events = events["auditEvents"].as_array().context("no events")?;
        ensure!(events.len() == 2, "{events:?}");
        for event in events {
            let details = &event["serviceEventDetails"];
            ensure!(
                details["imageDigests"] == json!([referrer]) && details["subjectDigest"] == *image,
                "{event}"
            );
        }
        Ok(())
    })
}

#[test]
fn the_window_is_kept_and_ends() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("hythe-window-").tempdir()?;
    let clock = folder.path().join("clock");
    let mut options = options();
    options
        .environment
        .push(("HYTHE_TEST_CLOCK_OFFSET_FILE".into(), clock.display().to_string()));
    let server = Server::start_with(options)?;
    server.create_repository("web")?;
    let client = RegistryClient::new(&server);
    let deleted = || -> Result<usize> {
        let listed = json(&server, &["image", "list-deleted", "web"])?;
        Ok(listed["deletedImages"].as_array().context("no list")?.len())
    };
    client.push_image("web", "v1", b"for a week")?;
    hythe(&server, &["image", "delete", "web:v1", "--yes"])?.ok()?;
    hythe(
        &server,
        &["registry", "settings", "--deleted-image-retention-days", "30"],
    )?
    .ok()?;
    client.push_image("web", "v2", b"for a month")?;
    hythe(&server, &["image", "delete", "web:v2", "--yes"])?.ok()?;
    ensure!(deleted()? == 2);
    std::fs::write(&clock, (8 * 24 * 3600).to_string())?;
    wait_until("the first is purged", LIMIT, || deleted().is_ok_and(|left| left == 1))?;
    hythe(&server, &["image", "restore", "web:v2"])?.ok()?;
    client.pull_image("web", "v2")?;

    hythe(
        &server,
        &["registry", "settings", "--deleted-image-retention-days", "0"],
    )?
    .ok()?;
    hythe(&server, &["image", "delete", "web:v2", "--yes"])?.ok()?;
    ensure!(deleted()? == 0, "nothing is kept");
    Ok(())
}
