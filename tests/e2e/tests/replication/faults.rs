// SPDX-License-Identifier: Apache-2.0
//! What goes wrong: either end dies, the destination is away or lets nobody in, rules go while there is work.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use e2e::process::{run, wait_until};
use e2e::registry::{OCI_MANIFEST, digest};
use e2e::upstream::{Asked, Reply};
use e2e::{DockerRegistry, RegistryClient, ScriptedUpstream, TestClock, http};
use serde_json::json;

use crate::world::{
    ACCOUNT, LIMIT, deployment, deployment_with, destination, destination_as, noise, pair, push_index, rule, rule_to,
    statuses, tag, tasks, wait_for, wait_until_idle,
};

/// Where the sender ends; the second time for those that come by with the small configuration first.
const POINTS: &[&str] = &[
    "replication.task.claimed:1",
    "replication.blob.begun:1",
    "replication.blob.begun:2",
    "replication.chunk.sent:1",
    "replication.chunk.sent:2",
    "replication.blob.sent:1",
    "replication.blob.sent:2",
    "replication.manifest.sent:1",
    "replication.task.sent:1",
    "replication.task.ended:1",
];

#[test]
fn the_sender_dies_at_every_step_and_the_image_arrives() -> Result<()> {
    let there = deployment("there")?;
    let remote = RegistryClient::new(&there);
    let mut here = deployment("here")?;
    destination(&here, "there", &there)?;
    rule(&here, "all", "there", json!({}))?;
    here.create_repository("web")?;
    let client = RegistryClient::new(&here);
    for (number, point) in POINTS.iter().enumerate() {
        here.set_variable("HYTHE_TEST_FAIL_POINT", point);
        here.restart()?;
        let tag_name = format!("v{number}");
        // The push itself may meet the end of the process: its tag was put, or the client tries again.
        let pushed = client.push_image("web", &tag_name, &noise(point, 20 * 1024 * 1024));
        wait_until(&format!("the sender ends at {point}"), LIMIT, || {
            here.exit_status().is_ok_and(|status| status.is_some())
        })
        .with_context(|| here.log())?;
        here.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
        here.restart()?;
        let image = match pushed {
            Ok(image) => image,
            Err(_) => client.push_image("web", &tag_name, &noise(point, 20 * 1024 * 1024))?,
        };
        wait_for(&here, "web", &image).with_context(|| (*point).to_owned())?;
        remote.pull_image("web", &tag_name)?;
    }
    wait_until_idle(&here)
}

#[test]
fn a_deletion_that_was_sent_and_not_noted_is_sent_again() -> Result<()> {
    let (mut here, there) = pair()?;
    let deletes = json!({ "deleteReplication": { "enabled": true } });
    rule(&here, "all", "there", deletes)?;
    here.create_repository("web")?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    let mut images = Vec::new();
    for name in ["tagged", "whole", "stays"] {
        images.push(client.push_image("web", name, name.as_bytes())?);
        client.push_image("web", &format!("{name}-too"), name.as_bytes())?;
    }
    wait_until_idle(&here)?;
    // One tag of two, and an image with both.
    for (gone, left) in [("tagged", Some("tagged-too")), (images[1].as_str(), None)] {
        here.set_variable("HYTHE_TEST_FAIL_POINT", "replication.deletion.sent:1");
        here.restart()?;
        // The answer may be lost with the server; what it was for is done.
        drop(client.call("DELETE", &format!("/v2/web/manifests/{gone}"), &[], &[]));
        wait_until("the sender ends", LIMIT, || {
            here.exit_status().is_ok_and(|status| status.is_some())
        })
        .with_context(|| here.log())?;
        ensure!(tag(&remote, "web", gone)?.is_none(), "{gone} was not deleted");
        here.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
        here.restart()?;
        wait_until_idle(&here)?;
        ensure!(tasks(&here, "?isFailed=true")? == json!([]), "the second time failed");
        ensure!(tag(&remote, "web", gone)?.is_none(), "{gone} is back");
        if let Some(left) = left {
            ensure!(tag(&remote, "web", left)?.is_some(), "{left} is gone too");
        }
    }
    for left in ["tagged-too", "stays", "stays-too"] {
        remote.pull_image("web", left)?;
    }
    ensure!(
        tag(&remote, "web", "whole-too")?.is_none(),
        "a tag of the image is left"
    );
    Ok(())
}

#[test]
fn a_large_layer_goes_on_where_the_sender_was_killed() -> Result<()> {
    const MEBIBYTE: usize = 1024 * 1024;
    const LAYER: usize = 40 * MEBIBYTE;
    let there = deployment("there")?;
    let mut here = deployment("here")?;
    destination(&here, "there", &there)?;
    rule(&here, "all", "there", json!({}))?;
    here.create_repository("web")?;
    here.set_variable("HYTHE_TEST_FAIL_POINT", "replication.chunk.sent:3");
    here.restart()?;
    let received = || there.metric("hythe_registry_received_bytes_total");
    let image = RegistryClient::new(&here).push_image("web", "1", &noise("resumed", LAYER))?;
    wait_until("the sender ends", LIMIT, || {
        here.exit_status().is_ok_and(|status| status.is_some())
    })?;
    let first = received()?;
    ensure!(
        (24 * MEBIBYTE as u64..32 * MEBIBYTE as u64).contains(&first),
        "killed after {first} bytes"
    );
    here.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
    here.restart()?;
    wait_for(&here, "web", &image)?;
    RegistryClient::new(&there).pull_image("web", "1")?;
    let all = received()?;
    ensure!(
        all < (LAYER + MEBIBYTE) as u64,
        "{all} bytes were sent for a layer of {LAYER}"
    );
    Ok(())
}

#[test]
fn the_destination_dies_in_the_middle_and_comes_back() -> Result<()> {
    // It ends when the first bytes of the large layer are there, and when the layer is stored and not yet linked.
    for point in ["upload.append.received:1", "upload.finish.published:1"] {
        let mut there = deployment_with("there", &[("HYTHE_TEST_FAIL_POINT", point)])?;
        let here = deployment("here")?;
        destination(&here, "there", &there)?;
        rule(&here, "all", "there", json!({}))?;
        here.create_repository("web")?;
        let image = RegistryClient::new(&here).push_image("web", "1", &noise(point, 30 * 1024 * 1024))?;
        let died = wait_until("the destination ends", std::time::Duration::from_secs(10), || {
            there.exit_status().is_ok_and(|status| status.is_some())
        });
        if died.is_err() {
            there.kill9()?;
        }
        there.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
        there.restart()?;
        wait_for(&here, "web", &image)?;
        RegistryClient::new(&there).pull_image("web", "1")?;
    }
    let Some(mut registry) = DockerRegistry::start()? else {
        return Ok(());
    };
    let here = deployment("here")?;
    destination_as(&here, "copy", "OCI", registry.address(), None, None)?;
    rule(&here, "all", "copy", json!({}))?;
    here.create_repository("web")?;
    registry.kill9()?;
    let image = RegistryClient::new(&here).push_image("web", "1", &noise("away", 20 * 1024 * 1024))?;
    wait_until("a failure is noted", LIMIT, || {
        tasks(&here, "").is_ok_and(|tasks| tasks[0]["failureCode"] == "DestinationUnavailable")
    })?;
    ensure!(
        statuses(&here, "web", &image)?[0]["status"] == "IN_PROGRESS",
        "given up too soon"
    );
    registry.restart()?;
    wait_for(&here, "web", &image)?;
    registry.client().pull_image("web", "1")?;
    Ok(())
}

#[test]
fn a_destination_is_left_alone_for_as_long_as_it_wants() -> Result<()> {
    const PAUSE: i64 = 1200;
    let clock = TestClock::new()?;
    clock.jump(0)?;
    let (name, value) = clock.variable();
    let (here, other) = (deployment_with("here", &[(&name, &value)])?, deployment("other")?);
    let busy = ScriptedUpstream::start(|_| Reply::new(429, &[("Retry-After", &PAUSE.to_string())], ""))?;
    let address = busy.url().replace("http://", "");
    destination_as(&here, "busy", "OCI", &address, None, None)?;
    destination(&here, "other", &other)?;
    let place = |region: &str| json!({ "region": region, "registryId": ACCOUNT });
    rule_to(&here, "all", &json!([place("busy"), place("other")]), json!({}))?;
    here.create_repository("web")?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&other));
    let mut images = vec![("0".to_owned(), client.push_image("web", "0", b"first")?)];
    wait_until("the refusal is noted", LIMIT, || {
        tasks(&here, "?region=busy").is_ok_and(|tasks| tasks[0]["failureCode"] == "DestinationUnavailable")
    })
    .with_context(|| here.log())?;
    let asked = busy.asked().len();
    ensure!(asked > 0, "it was not asked");
    // What comes meanwhile goes to others, and waits here: also when most of the time is over.
    for (name, time) in [("1", 0), ("2", PAUSE / 2)] {
        clock.jump(time)?;
        images.push((name.to_owned(), client.push_image("web", name, name.as_bytes())?));
        wait_until("it is at the other destination", LIMIT, || {
            tag(&remote, "web", name).is_ok_and(|found| found.is_some())
        })?;
        ensure!(busy.asked().len() == asked, "{:?}", busy.asked());
    }
    let known = images.clone();
    busy.answer_with(move |request: &Asked| {
        let tag = request.target.rsplit('/').next().unwrap_or_default();
        match known.iter().find(|(name, _)| name == tag) {
            Some((_, digest)) => Reply::new(200, &[("Docker-Content-Digest", digest)], ""),
            None => Reply::new(404, &[], ""),
        }
    });
    clock.jump(PAUSE + 60)?;
    for (_, image) in &images {
        ensure!(wait_for(&here, "web", image)?.len() == 2, "not everywhere");
    }
    wait_until_idle(&here)
}

#[test]
fn credentials_are_rotated_and_what_failed_goes_at_once() -> Result<()> {
    let (here, there) = (deployment("here")?, deployment("there")?);
    let wrong = json!({ "username": there.credentials().access_key_id, "password": "not the secret" });
    destination_as(&here, "there", "HYTHE", there.registry(), Some(wrong), None)?;
    rule(&here, "all", "there", json!({}))?;
    here.create_repository("web")?;
    let image = RegistryClient::new(&here).push_image("web", "1", b"locked out")?;
    wait_until("it is given up", LIMIT, || {
        tasks(&here, "?isFailed=true").is_ok_and(|tasks| tasks[0]["failureCode"] == "DestinationAccessDenied")
    })?;
    let credentials = there.credentials();
    let right =
        json!({ "credential": { "username": credentials.access_key_id, "password": credentials.secret_access_key } });
    here.api("PATCH", "/api/v1/replication-destinations/there", Some(&right))?
        .expect(200)?;
    wait_for(&here, "web", &image)?;
    let shown = here
        .api("GET", "/api/v1/replication-destinations/there", None)?
        .expect(200)?;
    let shown = String::from_utf8_lossy(&shown.body).into_owned();
    ensure!(!shown.contains(&credentials.secret_access_key), "{shown}");
    let database = std::fs::read(here.data_folder().join("hythe.db"))?;
    let secret = credentials.secret_access_key.as_bytes();
    ensure!(
        !database.windows(secret.len()).any(|part| part == secret),
        "the password lies open in the database"
    );
    Ok(())
}

#[test]
fn a_stored_password_is_not_sent_to_another_host() -> Result<()> {
    let (here, there) = (deployment("here")?, deployment("there")?);
    destination(&here, "there", &there)?;
    rule(&here, "all", "there", json!({}))?;
    here.create_repository("web")?;
    let client = RegistryClient::new(&here);
    let first = client.push_image("web", "1", b"first")?;
    wait_for(&here, "web", &first)?;
    // Whoever may change destinations listens on a port of his own, which counts whoever comes.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let mine = format!("http://{}", listener.local_addr()?);
    let path = "/api/v1/replication-destinations/there";
    for member in ["endpoint", "controlEndpoint"] {
        let refused = here.api("PATCH", path, Some(&json!({ member: mine })))?;
        ensure!(
            refused.status == 400 && refused.text().contains("together with the address"),
            "{}",
            refused.text()
        );
    }
    let hythe = |arguments: &[&str]| run(here.command(arguments)?.env("HOME", here.scratch()));
    let update = ["replication", "destination", "update", "there", "--url", &mine];
    let refused = hythe(&update)?;
    ensure!(
        !refused.status.success() && refused.both().contains("--password-file"),
        "{}",
        refused.both()
    );
    let second = client.push_image("web", "2", b"second")?;
    wait_for(&here, "web", &second)?;
    ensure!(listener.accept().is_err(), "somebody came");
    // With a login of its own, the address changes, and nothing is sent of the one before.
    let secret = here.scratch().join("secret");
    std::fs::write(&secret, "another")?;
    let secret = secret.to_str().context("UTF-8")?;
    hythe(&[&update[..], &["--username", "me", "--password-file", secret]].concat())?.ok()?;
    let shown = here.api("GET", path, None)?.expect(200)?.json()?;
    ensure!(shown["endpoint"] == mine && shown["username"] == "me", "{shown}");
    Ok(())
}

#[test]
fn what_a_rule_wanted_is_not_sent_when_it_is_deleted() -> Result<()> {
    let (here, mut there) = pair()?;
    here.create_repository("web")?;
    there.kill9()?;
    let client = RegistryClient::new(&here);
    let images: Vec<String> = (0..5)
        .map(|number| client.push_image("web", &format!("{number}"), &noise(&number.to_string(), 200_000)))
        .collect::<Result<_>>()?;
    ensure!(!statuses(&here, "web", &images[0])?.is_empty(), "nothing is queued");
    here.api("DELETE", "/api/v1/registry/replication/rules/all", None)?
        .expect(200)?;
    wait_until_idle(&here)?;
    for image in &images {
        ensure!(statuses(&here, "web", image)?.is_empty(), "a status is left");
    }
    there.restart()?;
    let remote = RegistryClient::new(&there);
    ensure!(tag(&remote, "web", "0")?.is_none(), "it was sent");
    // A repository that goes with work under way takes its work along.
    rule(&here, "all", "there", json!({}))?;
    there.kill9()?;
    here.create_repository("short")?;
    client.push_image("short", "1", b"gone soon")?;
    here.api("DELETE", "/api/v1/repositories/short?force=true", None)?
        .expect(200)?;
    there.restart()?;
    wait_until_idle(&here)?;
    ensure!(tag(&remote, "short", "1")?.is_none(), "what is gone was sent");
    Ok(())
}

#[test]
fn nothing_is_sent_to_addresses_that_the_operator_has_not_allowed() -> Result<()> {
    let here = e2e::Server::start()?;
    let there = deployment("there")?;
    destination(&here, "there", &there)?;
    rule(&here, "all", "there", json!({}))?;
    here.create_repository("web")?;
    let client = RegistryClient::new(&here);
    let image = client.push_image("web", "1", b"kept in")?;
    wait_until("it is refused", LIMIT, || {
        tasks(&here, "").is_ok_and(|tasks| tasks[0]["failureCode"] == "DestinationAddressBlocked")
    })
    .with_context(|| here.log())?;
    ensure!(statuses(&here, "web", &image)?[0]["status"] != "COMPLETE", "it went");
    let listed = http::request(there.registry(), "GET", "/v2/web/manifests/1", &[], &[])?;
    ensure!(listed.status != 200, "it is there");
    Ok(())
}

#[test]
fn an_index_of_large_manifests_is_not_held_in_memory() -> Result<()> {
    const IMAGES: usize = 48;
    const MANIFEST_BYTES: usize = 3_900_000;
    let (here, there) = pair()?;
    here.create_repository("web")?;
    let client = RegistryClient::new(&here);
    let config = client.push_blob("web", b"{}")?;
    let mut children = Vec::new();
    // No rule brings them before they are listed: the first of them waits for nothing.
    rule(
        &here,
        "all",
        "there",
        json!({ "repositoryFilters": [{ "filter": "other" }] }),
    )?;
    for number in 0..IMAGES {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
            "annotations": { "number": number.to_string(), "padding": "x".repeat(MANIFEST_BYTES) },
        });
        let bytes = manifest.to_string().into_bytes();
        let digest = digest(&bytes);
        let put = client.put_manifest("web", &digest, OCI_MANIFEST, &bytes)?;
        ensure!(put.status == 201, "{}", put.status);
        children.push(json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": bytes.len() }));
    }
    rule(&here, "all", "there", json!({}))?;
    here.reset_peak_memory()?;
    let before = here.memory_kib("VmRSS")?;
    let index = push_index(&client, "web", "index", &children)?;
    wait_for(&here, "web", index["digest"].as_str().context("a digest")?)?;
    let grown = here.memory_kib("VmHWM")?.saturating_sub(before);
    let all = (IMAGES * MANIFEST_BYTES / 1024) as u64;
    ensure!(grown < all / 2, "{grown} KiB more, of {all} KiB of manifests");
    let there = RegistryClient::new(&there);
    for child in &children {
        let found = there.manifest("web", child["digest"].as_str().context("a digest")?)?;
        ensure!(found.status == 200, "{child}");
    }
    Ok(())
}
