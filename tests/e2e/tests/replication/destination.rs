// SPDX-License-Identifier: Apache-2.0
//! A destination that cannot take what it is sent: its disk is full or read-only, or it lets nobody in.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::loop_disk::{Mount, is_possible};
use e2e::process::{run, wait_until};
use e2e::server::repository_path;
use e2e::upstream::Reply;
use e2e::{RegistryClient, ScriptedUpstream, Server, ServerOptions};
use serde_json::{Value, json};

use crate::user;
use crate::world::{
    LIMIT, deployment, destination, destination_as, noise, rule, statuses, tag, tasks, wait_for, wait_until_idle,
};

/// A deployment whose data are on this disk.
fn on(disk: &Mount) -> Result<Server> {
    Server::start_with(ServerOptions {
        arguments: ["--region", "there"].map(Into::into).into(),
        data_folder: Some(disk.path().join("hythe")),
        ..ServerOptions::default()
    })
}

/// A deployment that replicates everything to another one.
fn source_for(there: &Server) -> Result<Server> {
    let here = deployment("here")?;
    destination(&here, "there", there)?;
    rule(&here, "all", "there", json!({}))?;
    here.create_repository("web")?;
    Ok(here)
}

/// Waits until the destination has failed twice, so that there was a pause in between.
fn wait_for_failures(here: &Server) -> Result<()> {
    wait_until("it was tried more than once", LIMIT, || {
        tasks(here, "").is_ok_and(|tasks| {
            tasks[0]["failureCode"] == "DestinationUnavailable" && tasks[0]["attempts"].as_u64() >= Some(2)
        })
    })
    .with_context(|| format!("{:?}\n{}", tasks(here, ""), here.log()))
}

/// The digest of the layer that an image of these bytes has.
fn layer(bytes: &[u8]) -> String {
    e2e::registry::digest(bytes)
}

#[test]
fn an_image_waits_for_room_on_a_full_disk() -> Result<()> {
    const MEBIBYTES: usize = 48;
    if !is_possible(&["mount"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let disk = Mount::tmpfs(&folder.path().join("disk"), MEBIBYTES)?;
    let mut there = on(&disk)?;
    let here = source_for(&there)?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    let small = client.push_image("web", "small", &noise("small", 200_000))?;
    wait_for(&here, "web", &small)?;

    // More than there is room for: the disk runs full in the middle of the layer.
    let content = noise("large", (MEBIBYTES + 16) * 1024 * 1024);
    let large = client.push_image("web", "large", &content)?;
    wait_for_failures(&here)?;
    ensure!(
        statuses(&here, "web", &large)?[0]["status"] == "IN_PROGRESS",
        "given up too soon"
    );
    // Nothing of it can be seen, by tag, by digest or by layer; what was there is there.
    for reference in ["large", large.as_str()] {
        ensure!(
            remote.manifest("web", reference)?.status == 404,
            "{reference} is half there"
        );
    }
    let half = remote.call("HEAD", &format!("/v2/web/blobs/{}", layer(&content)), &[], &[])?;
    ensure!(half.status == 404, "half a layer: {}", half.status);
    remote.pull_image("web", "small")?;

    disk.remount(&format!("size={}m", 6 * MEBIBYTES))?;
    wait_for(&here, "web", &large)?;
    wait_until_idle(&here)?;
    ensure!(
        remote.pull_image("web", "large")? > content.len() as u64,
        "too little came"
    );
    ensure!(tasks(&here, "?isFailed=true")? == json!([]), "something was given up");
    there.stop().context("the destination does not stop")?;
    Ok(())
}

#[test]
fn an_image_waits_for_a_disk_that_is_read_only() -> Result<()> {
    if !is_possible(&["mount"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let disk = Mount::tmpfs(&folder.path().join("disk"), 64)?;
    let mut there = Server::start_with(ServerOptions {
        arguments: vec![
            "--region".into(),
            "there".into(),
            "--blobs-path".into(),
            disk.path().join("blobs").display().to_string(),
        ],
        ..ServerOptions::default()
    })?;
    let here = source_for(&there)?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    let before = client.push_image("web", "1", &noise("before", 300_000))?;
    wait_for(&here, "web", &before)?;
    // Refused while a file is open for writing: then again a moment later.
    wait_until("the disk is read-only", LIMIT, || disk.remount("ro").is_ok())?;
    let after = client.push_image("web", "1", &noise("after", 20 * 1024 * 1024))?;
    wait_for_failures(&here)?;
    ensure!(
        tag(&remote, "web", "1")?.as_deref() == Some(&*before),
        "the tag has moved"
    );
    disk.remount("rw")?;
    wait_for(&here, "web", &after)?;
    remote.pull_image("web", "1")?;
    there.stop().context("the destination does not stop")?;
    Ok(())
}

#[test]
fn what_a_policy_there_refuses_is_given_up_and_goes_when_it_is_tried_again() -> Result<()> {
    let (here, there) = (deployment("here")?, deployment("there")?);
    let actions = json!([
        "ecr:GetAuthorizationToken",
        "ecr:ReplicateImage",
        "ecr:CreateRepository"
    ]);
    let credential = user(&there, "replicator", &actions)?;
    destination_as(&here, "there", "HYTHE", there.registry(), Some(credential), None)?;
    rule(&here, "all", "there", json!({}))?;
    there.create_repository("web")?;
    here.create_repository("web")?;
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "ecr:ReplicateImage" }] });
    let policy_path = format!("{}/policy", repository_path("web"));
    let body = json!({ "policyText": policy.to_string() });
    there.api("PUT", &policy_path, Some(&body))?.expect(200)?;

    let client = RegistryClient::new(&here);
    let image = client.push_image("web", "1", b"kept out")?;
    let is_given_up = |tasks: &Value| tasks[0]["failureCode"] == "DestinationAccessDenied";
    let wait_until_given_up = || {
        wait_until("it is given up", LIMIT, || {
            tasks(&here, "?isFailed=true").is_ok_and(|tasks| is_given_up(&tasks))
        })
        .with_context(|| here.log())
    };
    wait_until_given_up()?;
    let hythe = |arguments: &[&str]| run(here.command(arguments)?.env("HOME", here.scratch()));
    let listed = hythe(&["replication", "tasks", "--failed"])?.ok()?.stdout;
    ensure!(
        listed.contains("web:1") && listed.contains("given up") && listed.contains("refuses access"),
        "{listed}"
    );
    ensure!(
        listed.contains("image") && listed.contains("DestinationAccessDenied"),
        "{listed}"
    );
    let status = &statuses(&here, "web", &image)?[0];
    ensure!(
        status["status"] == "FAILED" && status["failureCode"] == "DestinationAccessDenied",
        "{status}"
    );
    // One repository that refuses does not hold up the others.
    here.create_repository("free")?;
    let free = client.push_image("free", "1", b"let in")?;
    wait_for(&here, "free", &free)?;

    // Tried again too early, it is given up again.
    hythe(&["replication", "retry"])?.ok()?;
    wait_until("it is tried again", LIMIT, || {
        tasks(&here, "?isFailed=true").is_ok_and(|tasks| tasks == json!([]))
    })?;
    wait_until_given_up()?;
    there.api("DELETE", &policy_path, None)?.expect(200)?;
    hythe(&["replication", "retry"])?.ok()?;
    wait_for(&here, "web", &image)?;
    RegistryClient::new(&there).pull_image("web", "1")?;
    Ok(())
}

#[test]
fn a_backlog_for_one_destination_holds_up_no_other() -> Result<()> {
    const BACKLOG: usize = 30;
    /// A little less than after what time a registry that does not answer is given up.
    const VAIN: Duration = Duration::from_secs(18);
    let (here, there) = (deployment("here")?, deployment("there")?);
    let client = RegistryClient::new(&here);
    // It takes requests, and answers none.
    let silent = ScriptedUpstream::start(|_| Reply {
        before: Duration::from_hours(1),
        ..Reply::new(503, &[], "")
    })?;
    let address = silent.url();
    let address = address.strip_prefix("http://").context("an address")?;
    destination_as(&here, "silent", "OCI", address, None, None)?;
    destination(&here, "there", &there)?;
    for name in ["old", "web"] {
        here.create_repository(name)?;
    }
    for number in 0..BACKLOG {
        client.push_image("old", &number.to_string(), format!("old {number}").as_bytes())?;
    }
    let only = |name: &str| json!({ "repositoryFilters": [{ "filter": name, "filterType": "PREFIX_MATCH" }] });
    rule(&here, "old", "silent", only("old"))?;
    rule(&here, "web", "there", only("web"))?;
    let body = json!({ "destination": { "region": "silent" } });
    here.api("POST", "/api/v1/registry/replication/backfills", Some(&body))?
        .expect(201)?;
    let begun_at = Instant::now();
    wait_until("it has all that it may have", LIMIT, || silent.asked().len() >= 8)?;
    let image = client.push_image("web", "1", b"new")?;
    wait_for(&here, "web", &image)?;
    ensure!(RegistryClient::new(&there).pull_image("web", "1")? > 0, "nothing came");
    let waiting = tasks(&here, "?maxResults=1000")?;
    let waiting = waiting.as_array().context("no list")?;
    ensure!(waiting.len() == BACKLOG, "{waiting:?}");
    // The other one did not wait until a question had ended in vain. On a machine that is as slow as that this says nothing.
    if begun_at.elapsed() < VAIN {
        ensure!(waiting.iter().all(|task| task["attempts"] == 0), "{waiting:?}");
        ensure!(silent.asked().len() == 8, "{} questions", silent.asked().len());
    }
    Ok(())
}
