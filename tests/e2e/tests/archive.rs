// SPDX-License-Identifier: Apache-2.0
//! The archive of a real server: images go and come back, and their bytes with them, also to another disk.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::churn::noise;
use e2e::client::skip;
use e2e::leftovers::{blob_files, examine_in};
use e2e::postgres::PostgresCluster;
use e2e::process::{Finished, run, wait_until};
use e2e::registry::digest;
use e2e::server::repository_path;
use e2e::{RegistryClient, Server, ServerOptions};
use serde_json::{Value, json};

/// Bytes of a blob that becomes a file.
const LARGE: usize = 3_000_000;
const PATIENCE: Duration = Duration::from_secs(90);
/// A file system that is always another one than that of temporary folders on a disk.
const MEMORY: &str = "/dev/shm";

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

/// Tells a test's archive from all others.
fn start(archive: &Path, more: &[&str]) -> Result<Server> {
    let path = archive.display().to_string();
    let arguments = [&["--archive-path", &path], more].concat();
    Server::start_with(ServerOptions {
        arguments: arguments.into_iter().map(str::to_owned).collect(),
        ..ServerOptions::default()
    })
}

fn image(server: &Server, repository: &str, digest: &str) -> Result<Value> {
    let path = format!("{}/images/{digest}", repository_path(repository));
    server.api("GET", &path, None)?.expect(200)?.json()
}

/// Where the server keeps what is not archived.
fn standard(server: &Server) -> PathBuf {
    server.data_folder().join("blobs")
}

/// Waits until the files of blobs are where they are wanted, and nowhere else.
fn wait_for_place(server: &Server, archive: &Path, blob: &str, is_archived: bool) -> Result<()> {
    let has = |folder: &Path| Ok::<_, anyhow::Error>(blob_files(&[folder])?.contains_key(blob));
    let waited = wait_until("the bytes are where they belong", PATIENCE, || {
        has(archive).ok() == Some(is_archived) && has(&standard(server)).ok() == Some(!is_archived)
    });
    waited.with_context(|| server.log())
}

fn wait_for_status(server: &Server, repository: &str, digest: &str, wanted: &str) -> Result<Value> {
    let mut last = Value::Null;
    wait_until("the image has its state", PATIENCE, || {
        last = image(server, repository, digest).unwrap_or_default();
        last["imageStatus"] == wanted
    })
    .with_context(|| last.to_string())?;
    Ok(last)
}

fn lists(server: &Server, status: &str, digest: &str) -> Result<bool> {
    let arguments = ["image", "list", "team-a/web", "--status", status, "--output", "json"];
    let listed = hythe(server, &arguments)?.ok()?.stdout;
    Ok(listed.contains(digest))
}

/// An image goes into the archive and comes back, first as asked for, then as it is pushed again.
fn an_image_goes_and_comes_back(server: &Server, archive: &Path) -> Result<()> {
    server.create_repository("team-a/web")?;
    let client = RegistryClient::new(server);
    let layer = noise("archived", LARGE);
    let pushed = client.push_image("team-a/web", "1.0", &layer)?;
    let other = client.push_image("team-a/web", "2.0", b"another")?;
    let layer = digest(&layer);

    let done = hythe(server, &["image", "archive", "team-a/web:1.0"])?.ok()?;
    ensure!(done.stdout.contains("is archived"), "{}", done.both());
    for reference in ["1.0", &pushed] {
        let refused = client.manifest("team-a/web", reference)?.expect(404)?;
        ensure!(refused.text().contains("MANIFEST_UNKNOWN"), "{}", refused.text());
    }
    let tags = client
        .call("GET", "/v2/team-a/web/tags/list", &[], &[])?
        .expect(200)?
        .json()?;
    ensure!(tags["tags"] == json!(["2.0"]), "{tags}");
    for (status, wanted) in [("active", false), ("archived", true), ("any", true)] {
        ensure!(lists(server, status, &pushed)? == wanted, "{status}");
    }
    let shown = image(server, "team-a/web", &pushed)?;
    ensure!(
        shown["storageClass"] == "ARCHIVE"
            && shown["imageTags"] == json!(["1.0"])
            && shown["lastArchivedAt"].is_string(),
        "{shown}"
    );
    wait_for_place(server, archive, &layer, true)?;
    // The other image has nothing to do with it.
    client.pull_image("team-a/web", &other)?;

    hythe(server, &["image", "unarchive", "team-a/web:1.0"])?.ok()?;
    let shown = wait_for_status(server, "team-a/web", &pushed, "ACTIVE")?;
    ensure!(shown["lastActivatedAt"].is_string(), "{shown}");
    wait_for_place(server, archive, &layer, false)?;
    ensure!(client.pull_image("team-a/web", "1.0")? > LARGE as u64);

    hythe(server, &["image", "archive", "team-a/web:1.0"])?.ok()?;
    wait_for_place(server, archive, &layer, true)?;
    // A client finds all blobs, so that the manifest is all it sends.
    let head = client.call("HEAD", &format!("/v2/team-a/web/blobs/{layer}"), &[], &[])?;
    ensure!(head.status == 200, "{}", head.status);
    client.push_image("team-a/web", "1.0", &noise("archived", LARGE))?;
    ensure!(image(server, "team-a/web", &pushed)?["imageStatus"] == "ACTIVE");
    client.pull_image("team-a/web", "1.0")?;
    wait_for_place(server, archive, &layer, false)?;
    client.pull_image("team-a/web", "1.0")?;
    let metrics = server.api("GET", "/metrics", None)?.expect(200)?.text();
    ensure!(
        metrics.contains("hythe_archive_blobs_moved_total{storage_class=\"ARCHIVE\"} 2"),
        "{metrics}"
    );
    Ok(())
}

#[test]
fn an_image_goes_to_another_disk_and_comes_back() -> Result<()> {
    if !Path::new(MEMORY).is_dir() {
        return skip("not there: /dev/shm, a second file system that tests may write to");
    }
    let archive = tempfile::Builder::new().prefix("hythe-archive-").tempdir_in(MEMORY)?;
    let mut server = start(archive.path(), &[])?;
    an_image_goes_and_comes_back(&server, archive.path())?;
    ensure!(server.stop().context("it does not stop")?.success());
    let found = examine_in(server.data_folder(), &[&standard(&server), archive.path()])?;
    ensure!(found.problems.is_empty(), "{}", found.problems.join("\n"));
    Ok(())
}

#[test]
fn the_archive_works_on_postgresql() -> Result<()> {
    let Some(cluster) = PostgresCluster::find_or_start()? else {
        return Ok(());
    };
    let database = cluster.create_database()?;
    let archive = tempfile::tempdir()?;
    let server = start(archive.path(), &["--database", &database])?;
    an_image_goes_and_comes_back(&server, archive.path())
}

#[test]
fn a_server_whose_archive_is_not_mounted_does_not_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (archive, aside) = (folder.path().join("archive"), folder.path().join("aside"));
    let mut server = start(&archive, &[])?;
    server.create_repository("team-a/web")?;
    let client = RegistryClient::new(&server);
    let layer = noise("not mounted", LARGE);
    let pushed = client.push_image("team-a/web", "1.0", &layer)?;
    hythe(&server, &["image", "archive", "team-a/web:1.0"])?.ok()?;
    wait_for_place(&server, &archive, &digest(&layer), true)?;

    server.stop().context("it does not stop")?;
    std::fs::rename(&archive, &aside)?;
    std::fs::create_dir(&archive)?;
    ensure!(server.restart().is_err(), "it started without its archive");
    ensure!(server.log().contains("is its disk mounted"), "{}", server.log());
    std::fs::remove_dir(&archive)?;
    std::fs::rename(&aside, &archive)?;
    server.restart()?;
    hythe(&server, &["image", "unarchive", &format!("team-a/web@{pushed}")])?.ok()?;
    wait_for_status(&server, "team-a/web", &pushed, "ACTIVE")?;
    client.pull_image("team-a/web", "1.0")?;
    Ok(())
}

#[test]
fn an_index_takes_its_images_along_and_protects_them() -> Result<()> {
    let server = Server::start()?;
    server.create_repository("team-a/web")?;
    let client = RegistryClient::new(&server);
    let child = client.push_image("team-a/web", "amd64", b"for amd64")?;
    let size = client.manifest("team-a/web", &child)?.expect(200)?.body.len();
    let media_type = e2e::registry::OCI_MANIFEST;
    let index = json!({ "schemaVersion": 2, "mediaType": e2e::registry::OCI_INDEX,
        "manifests": [{ "mediaType": media_type, "digest": child, "size": size }] })
    .to_string();
    client
        .put_manifest("team-a/web", "all", e2e::registry::OCI_INDEX, index.as_bytes())?
        .expect(201)?;
    let refused = hythe(&server, &["image", "archive", "team-a/web:amd64"])?.refused()?;
    ensure!(
        refused.both().contains("referenced by manifest list") && refused.both().contains(&digest(index.as_bytes())),
        "{}",
        refused.both()
    );
    hythe(&server, &["image", "archive", "team-a/web:all"])?.ok()?;
    client.manifest("team-a/web", "amd64")?.expect(404)?;
    hythe(&server, &["image", "unarchive", "team-a/web:all"])?.ok()?;
    wait_for_status(&server, "team-a/web", &child, "ACTIVE")?;
    client.manifest("team-a/web", "amd64")?.expect(200)?;
    Ok(())
}
