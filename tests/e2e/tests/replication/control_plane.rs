// SPDX-License-Identifier: Apache-2.0
//! Control planes of destinations that do not answer, refuse something, or die.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::process::wait_until;
use e2e::upstream::Reply;
use e2e::{RegistryClient, ScriptedUpstream};
use serde_json::{Value, json};

use crate::settings::{ALL, control, control_at, lifecycle, pair, policy, put, shown, status, wait_until_same};
use crate::user;
use crate::world::{ACCOUNT, LIMIT, deployment, deployment_with, destination, rule, tasks, wait_for, wait_until_idle};

fn put_lifecycle(server: &e2e::Server, name: &str, count: u64) -> Result<()> {
    let body = json!({ "lifecyclePolicyText": lifecycle(count) });
    put(server, name, "lifecycle-policy", &body)
}

#[test]
fn images_go_on_beside_a_control_plane_that_does_not_answer() -> Result<()> {
    const REPOSITORIES: u64 = 24;
    let (here, there, other) = (deployment("here")?, deployment("there")?, deployment("other")?);
    destination(&here, "there", &there)?;
    destination(&here, "other", &other)?;
    rule(&here, "there", "there", json!({}))?;
    rule(&here, "other", "other", json!({}))?;
    let names: Vec<String> = (0..REPOSITORIES).map(|number| format!("r{number}")).collect();
    let client = RegistryClient::new(&here);
    let push_all = |tag: &str| -> Result<()> {
        let push = |name: &String| client.push_image(name, tag, format!("{name} {tag}").as_bytes());
        let images: Vec<String> = names.iter().map(push).collect::<Result<_>>()?;
        for (name, image) in names.iter().zip(&images) {
            ensure!(
                wait_for(&here, name, image)?.len() == 2,
                "{name} has not gone everywhere"
            );
        }
        Ok(())
    };
    for name in &names {
        here.create_repository(name)?;
    }
    push_all("0")?;
    // The control plane accepts connections and says nothing.
    let silent = ScriptedUpstream::start(|_| Reply {
        before: Duration::from_hours(1),
        ..Reply::new(503, &[], "")
    })?;
    control_at(&here, "there", &silent.url(), &there)?;
    rule(
        &here,
        "settings",
        "there",
        json!({ "replicatedSettings": ["LIFECYCLE_POLICY"] }),
    )?;
    for name in &names {
        put_lifecycle(&here, name, 7)?;
    }
    wait_until("it is asked", LIMIT, || !silent.asked().is_empty()).with_context(|| here.log())?;
    push_all("1")?;
    // All images went before all settings were asked for once.
    let waiting = tasks(&here, "?maxResults=1000")?;
    let waiting = waiting.as_array().context("no list")?;
    ensure!(waiting.len() as u64 == REPOSITORIES, "{waiting:?}");
    ensure!(waiting.iter().all(|task| task["subject"] == "SETTINGS"), "{waiting:?}");
    let is_asked = |name: &String| silent.count(&format!("/{name}?")) > 0;
    ensure!(
        names.iter().any(is_asked) && !names.iter().all(is_asked),
        "{:?}",
        silent.asked()
    );
    // What waits goes when it answers.
    control(&here, "there", &there)?;
    for name in &names {
        wait_until_same(&here, &there, name)?;
    }
    wait_until_idle(&here)?;
    ensure!(tasks(&here, "?isFailed=true")? == json!([]), "something was given up");
    Ok(())
}

#[test]
fn what_is_refused_keeps_nothing_else_away() -> Result<()> {
    let (here, there) = pair(&ALL, json!({}))?;
    user(&here, "alice", &json!(["ecr:GetAuthorizationToken"]))?;
    let tags = json!([{ "Key": "team", "Value": "a" }]);
    here.create_repository_with(
        &json!({ "repositoryName": "web", "imageTagMutability": "IMMUTABLE", "tags": tags.clone() }),
    )?;
    let statement = json!({ "Version": "2012-10-17", "Statement": [{
        "Sid": "alice", "Effect": "Allow", "Action": "ecr:BatchGetImage",
        "Principal": { "AWS": format!("arn:aws:iam::{ACCOUNT}:user/alice") } }] });
    put(&here, "web", "policy", &json!({ "policyText": statement.to_string() }))?;
    put_lifecycle(&here, "web", 4)?;
    let image = RegistryClient::new(&here).push_image("web", "1", b"refused")?;
    wait_for(&here, "web", &image)?;
    // Who is named is not there.
    wait_until("the policy is given up", LIMIT, || {
        tasks(&here, "?isFailed=true").is_ok_and(|tasks| tasks[0]["failureCode"] == "DestinationRefused")
    })
    .with_context(|| here.log())?;
    let found = shown(&there, "web")?;
    ensure!(found["policy"] == Value::Null, "{found}");
    ensure!(found["lifecycle"] == lifecycle(4), "{found}");
    ensure!(found["tags"] == tags && found["mutability"] == "IMMUTABLE", "{found}");
    let status = &status(&here, "web")?[0];
    let reason = status["failureReason"].as_str().unwrap_or_default();
    ensure!(
        status["status"] == "FAILED" && reason.contains("change the policy") && reason.contains("alice"),
        "{status}"
    );
    ensure!(!reason.contains("lifecycle") && !reason.contains("tags"), "{status}");
    user(&there, "alice", &json!(["ecr:GetAuthorizationToken"]))?;
    here.api("POST", "/api/v1/registry/replication/tasks/retries", None)?
        .expect(200)?;
    wait_until_same(&here, &there, "web")?;
    wait_until_idle(&here)
}

#[test]
fn a_destination_that_dies_while_settings_come_has_all_of_them_in_the_end() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let points = folder.path().to_str().context("UTF-8")?;
    let here = deployment("here")?;
    let mut there = deployment_with("there", &[("HYTHE_TEST_FAIL_POINTS", points)])?;
    destination(&here, "there", &there)?;
    control(&here, "there", &there)?;
    rule(&here, "all", "there", json!({ "replicatedSettings": ALL }))?;
    here.create_repository("web")?;
    let image = RegistryClient::new(&here).push_image("web", "1", b"dies")?;
    wait_for(&here, "web", &image)?;
    wait_until_same(&here, &there, "web")?;
    wait_until_idle(&here)?;
    let armed = folder.path().join("armed");
    for (number, point) in ["before:1", "after:1", "after:2", "before:3", "after:3"]
        .into_iter()
        .enumerate()
    {
        // As `kill -9`, before or after a change is committed; what was answered may be lost.
        std::fs::write(&armed, format!("meta.commit.{point}"))?;
        let mutability = ["IMMUTABLE", "MUTABLE"][number % 2];
        let body = json!({ "imageTagMutability": mutability });
        here.api("PATCH", "/api/v1/repositories/web", Some(&body))?
            .expect(200)?;
        let action = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"][number % 2];
        put(&here, "web", "policy", &json!({ "policyText": policy(action) }))?;
        put_lifecycle(&here, "web", 10 + number as u64)?;
        let tags = json!({ "tags": [{ "Key": "point", "Value": number.to_string() }] });
        put(&here, "web", "resource-tags", &tags)?;
        wait_until(&format!("the destination ends at {point}"), LIMIT, || {
            there.exit_status().is_ok_and(|status| status.is_some())
        })
        .with_context(|| here.log())?;
        std::fs::remove_file(&armed)?;
        there.restart()?;
        wait_until_same(&here, &there, "web").with_context(|| point.to_owned())?;
        wait_until_idle(&here)?;
        ensure!(tasks(&here, "?isFailed=true")? == json!([]), "{point}: given up");
        ensure!(status(&here, "web")?[0]["status"] == "COMPLETE", "{point}");
    }
    Ok(())
}
