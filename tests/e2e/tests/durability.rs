// SPDX-License-Identifier: Apache-2.0
//! What was acknowledged is there after a power cut, and nothing is half there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::process::run;
use e2e::registry::{OCI_MANIFEST, config_of, digest, manifest, with_query};
use e2e::{RegistryClient, Server, ServerOptions, client};

/// How many clients push at once.
const PUSHERS: usize = 4;

/// Some bytes that no other call makes; large ones become files, small ones rows.
fn content(pusher: usize, round: usize) -> Vec<u8> {
    let size = [100, 70_000, 400_000][round % 3];
    let seed = format!("{pusher}/{round}/{}", std::process::id());
    seed.bytes().cycle().take(size).collect()
}

#[test]
fn everything_acknowledged_survives_kill_9_in_mid_push() -> Result<()> {
    let mut server = Server::start()?;
    server.create_repository("web")?;
    let acknowledged = Mutex::new(Vec::new());

    // Killed after another while each time: sooner or later between any two steps of a push.
    for (life, pause) in [30, 75, 140, 260, 410].into_iter().enumerate() {
        let client = RegistryClient::new(&server);
        let done = AtomicUsize::new(0);
        scope(|threads| -> Result<()> {
            for pusher in 0..PUSHERS {
                let (client, acknowledged, done) = (&client, &acknowledged, &done);
                threads.spawn(move || {
                    for round in 0.. {
                        let tag = format!("t{life}-{pusher}-{round}");
                        let Ok(digest) = client.push_image("web", &tag, &content(pusher, life * 1000 + round)) else {
                            return;
                        };
                        acknowledged.lock().unwrap().push((tag, digest));
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            e2e::process::wait_until("a push is through", Duration::from_secs(30), || {
                done.load(Ordering::SeqCst) > 0
            })?;
            // The moment of the cut is the point here, not a wait for something.
            sleep(Duration::from_millis(pause));
            server.kill9()
        })?;
        server.restart()?;
    }

    let acknowledged = acknowledged.into_inner()?;
    ensure!(
        acknowledged.len() >= 5,
        "only {} pushes got through",
        acknowledged.len()
    );
    let client = RegistryClient::new(&server);
    for (tag, digest) in &acknowledged {
        let got = client
            .manifest("web", tag)?
            .expect(200)
            .with_context(|| format!("tag {tag} is lost"))?;
        ensure!(
            e2e::registry::digest(&got.body) == *digest,
            "tag {tag} names another image"
        );
        client
            .pull_image("web", digest)
            .with_context(|| format!("image {tag} cannot be pulled"))?;
    }
    // Nothing half there: whatever is listed can be pulled, acknowledged or not.
    let tags = client
        .call("GET", "/v2/web/tags/list?n=1000", &[], &[])?
        .expect(200)?
        .json()?;
    for tag in tags["tags"].as_array().context("no tags")? {
        let tag = tag.as_str().context("not a tag")?;
        client
            .pull_image("web", tag)
            .with_context(|| format!("tag {tag} dangles"))?;
    }
    Ok(())
}

#[test]
fn an_upload_goes_on_after_a_restart() -> Result<()> {
    let mut server = Server::start()?;
    server.create_repository("web")?;
    let client = RegistryClient::new(&server);
    let bytes: Vec<u8> = (0..900_000_u32).map(|n| (n % 241) as u8).collect();
    let upload = client.begin_upload("web")?;
    let octets = ("Content-Type", "application/octet-stream");
    client
        .call(
            "PATCH",
            &upload,
            &[octets, ("Content-Range", "0-499999")],
            &bytes[..500_000],
        )?
        .expect(202)?;
    server.kill9()?;
    server.restart()?;

    let client = RegistryClient::new(&server);
    let status = client.call("GET", &upload, &[], &[])?.expect(204)?;
    ensure!(status.header("range") == Some("0-499999"), "{:?}", status.headers);
    client
        .call(
            "PATCH",
            &upload,
            &[octets, ("Content-Range", "500000-899999")],
            &bytes[500_000..],
        )?
        .expect(202)?;
    let layer = digest(&bytes);
    client
        .call("PUT", &with_query(&upload, "digest", &layer), &[], &[])?
        .expect(201)?;
    let config = client.push_blob("web", config_of(&bytes).as_bytes())?;
    let image = manifest(&config, config_of(&bytes).len(), &layer, bytes.len());
    client.put_manifest("web", "1", OCI_MANIFEST, &image)?.expect(201)?;
    client.pull_image("web", "1")?;
    Ok(())
}

#[test]
fn a_full_disk_refuses_the_push_and_loses_nothing() -> Result<()> {
    const DISK_MEBIBYTES: usize = 48;
    if !client::is_root() {
        return client::skip("a small file system of our own needs root");
    }
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::mount(folder.path(), DISK_MEBIBYTES)?;
    let options = ServerOptions {
        data_folder: Some(disk.0.join("hythe-data")),
        ..Default::default()
    };
    let mut server = Server::start_with(options)?;
    server.create_repository("web")?;
    let client = RegistryClient::new(&server);
    let before = client.push_image("web", "before", &vec![1; 300_000])?;

    let large = vec![7_u8; DISK_MEBIBYTES * 1024 * 1024];
    let upload = client.begin_upload("web")?;
    let end = with_query(&upload, "digest", &digest(&large));
    let refused = client.call("PUT", &end, &[("Content-Type", "application/octet-stream")], &large)?;
    ensure!(
        refused.status == 507,
        "a full disk is {} {}",
        refused.status,
        refused.text()
    );
    ensure!(
        client
            .call("HEAD", &format!("/v2/web/blobs/{}", digest(&large)), &[], &[])?
            .status
            == 404
    );
    client.pull_image("web", &before)?;

    // Giving the upload up gives its bytes back, and then there is room again.
    client.call("DELETE", &upload, &[], &[])?;
    let after = client.push_image("web", "after", &vec![2; 300_000])?;
    server.kill9()?;
    server.restart()?;
    let client = RegistryClient::new(&server);
    for digest in [before, after] {
        client.pull_image("web", &digest)?;
    }
    ensure!(server.stop().is_some_and(|status| status.success()));
    drop(disk);
    Ok(())
}

/// A file system in memory that is soon full. Dropping it unmounts it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, mebibytes: usize) -> Result<Self> {
        let size = format!("size={mebibytes}m,mode=0755");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder))?
        .ok()?;
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        e2e::docker::unmount_below(&self.0);
    }
}
