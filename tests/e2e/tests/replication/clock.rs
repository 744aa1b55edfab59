// SPDX-License-Identifier: Apache-2.0
//! Deployments that believe in different times, and clocks that jump while there is work.

use anyhow::{Context as _, Result, ensure};
use e2e::process::wait_until;
use e2e::{RegistryClient, Server, TestClock};
use serde_json::{Value, json};

use crate::world::{LIMIT, deployment_with, destination, noise, rule, statuses, tag, tasks, wait_for, wait_until_idle};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A deployment with a clock that is so many seconds off.
fn deployment_at(region: &str, seconds: i64) -> Result<(Server, TestClock)> {
    let clock = TestClock::new()?;
    clock.jump(seconds)?;
    let (name, value) = clock.variable();
    Ok((deployment_with(region, &[(&name, &value)])?, clock))
}

fn wait_for_a_failure(here: &Server) -> Result<()> {
    wait_until("a failure is noted", LIMIT, || {
        tasks(here, "").is_ok_and(|tasks| tasks[0]["failureCode"] == "DestinationUnavailable")
    })
    .with_context(|| here.log())
}

#[test]
fn deployments_whose_clocks_are_hours_apart_replicate() -> Result<()> {
    for (source, target) in [(6 * HOUR, 0), (-6 * HOUR, 0), (0, 30 * DAY), (-DAY, DAY)] {
        let (here, _clock) = deployment_at("here", source)?;
        let (mut there, _their_clock) = deployment_at("there", target)?;
        destination(&here, "there", &there)?;
        rule(
            &here,
            "all",
            "there",
            json!({ "deleteReplication": { "enabled": true } }),
        )?;
        here.create_repository("web")?;
        let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
        let context = || format!("{source} s here, {target} s there");
        let image = client.push_image("web", "1", &noise("apart", 10 * 1024 * 1024))?;
        wait_for(&here, "web", &image).with_context(context)?;
        remote.pull_image("web", "1").with_context(context)?;
        // Pauses between attempts are as long as ever.
        there.kill9()?;
        let image = client.push_image("web", "2", b"while they are away")?;
        wait_for_a_failure(&here).with_context(context)?;
        there.restart()?;
        wait_for(&here, "web", &image).with_context(context)?;
        client
            .call("DELETE", "/v2/web/manifests/1", &[], &[])?
            .expect(202)
            .with_context(context)?;
        wait_until_idle(&here).with_context(context)?;
        ensure!(tag(&remote, "web", "1")?.is_none(), "not deleted: {}", context());
    }
    Ok(())
}

#[test]
fn work_goes_on_when_the_clock_here_jumps() -> Result<()> {
    let (here, clock) = deployment_at("here", 0)?;
    let (mut there, _their_clock) = deployment_at("there", 0)?;
    destination(&here, "there", &there)?;
    rule(&here, "all", "there", json!({}))?;
    here.create_repository("web")?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    // Back to before the next attempt was to be, and to when everything looks as if it had waited for days.
    for (number, seconds) in [5 * HOUR, -5 * HOUR, 3 * DAY, -3 * DAY, 0].into_iter().enumerate() {
        let name = format!("waits-{number}");
        there.kill9()?;
        let image = client.push_image("web", &name, &noise(&name, 100_000))?;
        wait_for_a_failure(&here)?;
        clock.jump(seconds)?;
        there.restart()?;
        wait_for(&here, "web", &image).with_context(|| format!("{seconds} s from now"))?;
        wait_until_idle(&here)?;
        ensure!(tag(&remote, "web", &name)? == Some(image), "{name} is not there");
    }
    Ok(())
}

#[test]
fn what_is_being_sent_is_sent_once_when_the_clock_here_jumps() -> Result<()> {
    let (here, clock) = deployment_at("here", 0)?;
    let (there, _their_clock) = deployment_at("there", 0)?;
    destination(&here, "there", &there)?;
    let slow = json!({ "bandwidthBytesPerSecond": 1024 * 1024 });
    here.api("PATCH", "/api/v1/replication-destinations/there", Some(&slow))?
        .expect(200)?;
    rule(&here, "all", "there", json!({}))?;
    here.create_repository("web")?;
    let client = RegistryClient::new(&here);
    for (number, seconds) in [5 * HOUR, -5 * HOUR, 0].into_iter().enumerate() {
        let before = there.metric("hythe_registry_received_bytes_total")?;
        let name = format!("slow-{number}");
        let image = client.push_image("web", &name, &noise(&name, 4 * 1024 * 1024))?;
        wait_until("it is being sent", LIMIT, || {
            let received = there.metric("hythe_registry_received_bytes_total");
            received.is_ok_and(|received| received > before + 1024 * 1024)
        })?;
        clock.jump(seconds)?;
        wait_for(&here, "web", &image).with_context(|| format!("{seconds} s from now"))?;
        wait_until_idle(&here)?;
        ensure!(
            there.metric("hythe_registry_pushes_total")? == number as u64 + 1,
            "it was sent again"
        );
        let received = there.metric("hythe_registry_received_bytes_total")? - before;
        ensure!(received < 5 * 1024 * 1024, "{received} bytes were sent");
    }
    Ok(())
}

#[test]
fn a_login_goes_on_when_the_clock_there_jumps() -> Result<()> {
    let (here, _clock) = deployment_at("here", 0)?;
    let (there, clock) = deployment_at("there", 0)?;
    destination(&here, "there", &there)?;
    rule(&here, "all", "there", json!({}))?;
    here.create_repository("web")?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    for (number, seconds) in [0, DAY, -DAY, 400 * DAY, 0].into_iter().enumerate() {
        clock.jump(seconds)?;
        let name = format!("n{number}");
        let image = client.push_image("web", &name, &noise(&name, 100_000))?;
        wait_for(&here, "web", &image).with_context(|| format!("{seconds} s from now"))?;
        let status = &statuses(&here, "web", &image)?[0];
        ensure!(status["failureCode"] == Value::Null, "{status}");
        ensure!(tag(&remote, "web", &name)? == Some(image), "{name} is not there");
    }
    Ok(())
}
