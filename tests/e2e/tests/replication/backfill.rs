// SPDX-License-Identifier: Apache-2.0
//! What was there before a rule is brought over, on request.

use anyhow::{Context as _, Result, ensure};
use e2e::process::{run, wait_until};
use e2e::{RegistryClient, Server, http};
use serde_json::{Value, json};

use crate::world::{LIMIT, deployment, destination, noise, push_index, push_untagged, rule, tag, wait_until_idle};

const BACKFILLS: &str = "/api/v1/registry/replication/backfills";

pub fn start(server: &Server) -> Result<String> {
    let body = json!({ "destination": { "region": "there" } });
    let started = server.api("POST", BACKFILLS, Some(&body))?.expect(201)?.json()?;
    let id = started["replicationBackfillId"].as_str().context("an id")?;
    Ok(id.to_owned())
}

fn report(server: &Server, id: &str) -> Result<Value> {
    server
        .api("GET", &format!("{BACKFILLS}/{id}"), None)?
        .expect(200)?
        .json()
}

pub fn wait_for(server: &Server, id: &str, status: &str) -> Result<Value> {
    let mut last = Value::Null;
    let waited = wait_until(&format!("the backfill is {status}"), LIMIT, || {
        last = report(server, id).unwrap_or_default();
        last["backfill"]["status"] == status
    });
    waited.with_context(|| format!("{last:#}\n{}", server.log()))?;
    Ok(last)
}

#[test]
fn what_was_there_before_a_rule_is_brought_over() -> Result<()> {
    let (here, there) = (deployment("here")?, deployment("there")?);
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    for name in ["team/web", "other"] {
        here.create_repository(name)?;
    }
    client.push_image("team/web", "1", &noise("one", 300_000))?;
    let child = push_untagged(&client, "team/web", &noise("child", 100_000), None)?;
    let index = push_index(&client, "team/web", "index", std::slice::from_ref(&child))?;
    push_untagged(&client, "team/web", b"signed", Some(&index))?;
    client.push_image("other", "1", b"not meant")?;
    destination(&here, "there", &there)?;
    let refused = here.api(
        "POST",
        BACKFILLS,
        Some(&json!({ "destination": { "region": "there" } })),
    )?;
    ensure!(refused.status == 400, "{}", refused.text());
    rule(
        &here,
        "team",
        "there",
        json!({ "repositoryFilters": [{ "filter": "team/" }] }),
    )?;

    let id = start(&here)?;
    let ended = wait_for(&here, &id, "COMPLETE")?;
    let progress = &ended["backfill"]["progress"];
    // Two tags and the signature; the child goes with its index.
    ensure!(progress["totalReplicationCount"] == 3, "{ended:#}");
    ensure!(progress["completedReplicationCount"] == 3, "{ended:#}");
    ensure!(ended["results"].as_array().is_some_and(|it| it.len() == 3), "{ended:#}");
    remote.pull_image("team/web", "1")?;
    let index = index["digest"].as_str().context("a digest")?;
    ensure!(tag(&remote, "team/web", "index")?.as_deref() == Some(index), "no index");
    ensure!(tag(&remote, "other", "1")?.is_none(), "no rule means it");
    let over = here.api("DELETE", &format!("{BACKFILLS}/{id}"), None)?;
    ensure!(
        over.status == 409 && over.text().contains("ReplicationBackfillInvalidStatusException"),
        "{}",
        over.text()
    );

    // A second one costs little, and the command line shows both.
    let hythe = |arguments: &[&str]| run(here.command(arguments)?.env("HOME", here.scratch()));
    let again = hythe(&["replication", "backfill", "start", "there"])?.ok()?;
    let again = again
        .stdout
        .split_whitespace()
        .nth(1)
        .context("an id")?
        .trim_end_matches(';')
        .to_owned();
    wait_for(&here, &again, "COMPLETE")?;
    let listed = hythe(&["replication", "backfill", "list"])?.ok()?.stdout;
    ensure!(listed.contains(&id) && listed.contains(&again), "{listed}");
    ensure!(listed.contains("3 of 3"), "{listed}");
    let shown = hythe(&["replication", "backfill", "show", &again])?.ok()?.stdout;
    ensure!(shown.contains("complete"), "{shown}");
    let metrics = http::request(here.credentials().control_address(), "GET", "/metrics", &[], &[])?;
    ensure!(
        metrics.text().contains("hythe_replication_backfill_queued_total 6"),
        "{}",
        metrics.text()
    );
    Ok(())
}

#[test]
fn a_backfill_survives_the_end_of_its_process_and_can_be_stopped() -> Result<()> {
    let mut there = deployment("there")?;
    let mut here = deployment("here")?;
    here.create_repository("web")?;
    let client = RegistryClient::new(&here);
    for number in 0..80 {
        client.push_image("web", &format!("v{number}"), format!("layer {number}").as_bytes())?;
    }
    destination(&here, "there", &there)?;
    rule(&here, "all", "there", json!({}))?;
    here.set_variable("HYTHE_TEST_FAIL_POINT", "replication.backfill.advanced:1");
    here.restart()?;
    let id = start(&here)?;
    wait_until("the process ends", LIMIT, || {
        here.exit_status().is_ok_and(|status| status.is_some())
    })?;
    here.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
    here.restart()?;
    let ended = wait_for(&here, &id, "COMPLETE")?;
    ensure!(
        ended["backfill"]["progress"]["completedReplicationCount"] == 80,
        "{ended:#}"
    );
    wait_until_idle(&here)?;
    let remote = RegistryClient::new(&there);
    for number in 0..80 {
        ensure!(
            tag(&remote, "web", &format!("v{number}"))?.is_some(),
            "v{number} is not there"
        );
    }

    // To a destination that is away, and stopped: what waits is dropped.
    there.kill9()?;
    let id = start(&here)?;
    wait_until("something waits", LIMIT, || {
        report(&here, &id).is_ok_and(|it| it["backfill"]["progress"]["totalReplicationCount"] != 0)
    })?;
    here.api("DELETE", &format!("{BACKFILLS}/{id}"), None)?.expect(200)?;
    let stopped = wait_for(&here, &id, "STOPPED")?;
    ensure!(
        stopped["backfill"]["progress"]["completedReplicationCount"] == 0,
        "{stopped:#}"
    );
    wait_until_idle(&here)
}
