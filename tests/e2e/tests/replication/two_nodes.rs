// SPDX-License-Identifier: Apache-2.0
//! Two nodes of one deployment on PostgreSQL replicate together.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::process::wait_until;
use e2e::{RegistryClient, Server, TwoNodes};
use serde_json::json;

use crate::world::{LIMIT, arrivals_of, deployment, destination, noise, rule, tag, tasks, wait_for, wait_until_idle};

const MEBIBYTE: usize = 1024 * 1024;
/// How long the claim of a node that is gone may last, and then some.
const LEASE_LIMIT: Duration = Duration::from_mins(2);

/// Two nodes that replicate everything to a deployment; `None` without PostgreSQL.
fn nodes() -> Result<Option<(TwoNodes, Server)>> {
    let environment = [("HYTHE_REGION", "here"), ("HYTHE_OUTGOING_ALLOW", "127.0.0.0/8")];
    let Some(nodes) = TwoNodes::start(&environment)? else {
        return Ok(None);
    };
    let there = deployment("there")?;
    destination(&nodes.first, "there", &there)?;
    rule(
        &nodes.first,
        "all",
        "there",
        json!({ "deleteReplication": { "enabled": true } }),
    )?;
    nodes.first.create_repository("web")?;
    Ok(Some((nodes, there)))
}

#[test]
fn each_image_is_sent_by_one_of_two_nodes() -> Result<()> {
    const IMAGES: usize = 30;
    let Some((nodes, there)) = nodes()? else {
        return Ok(());
    };
    let clients = [RegistryClient::new(&nodes.first), RegistryClient::new(&nodes.second)];
    std::thread::scope(|threads| -> Result<()> {
        let pushing: Vec<_> = clients
            .iter()
            .enumerate()
            .map(|(node, client)| {
                threads.spawn(move || -> Result<()> {
                    for number in (node..IMAGES).step_by(2) {
                        let name = format!("n{number}");
                        client.push_image("web", &name, &noise(&name, 200_000))?;
                    }
                    Ok(())
                })
            })
            .collect();
        pushing
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })?;
    wait_until_idle(&nodes.first)?;
    let counted = |metric: &str| -> Result<u64> { Ok(nodes.first.metric(metric)? + nodes.second.metric(metric)?) };
    for metric in [
        "hythe_replication_tasks_done_total",
        "hythe_replication_images_sent_total",
    ] {
        ensure!(counted(metric)? == IMAGES as u64, "{metric}: {}", counted(metric)?);
    }
    let arrived = arrivals_of(&there, "web")?;
    ensure!(
        arrived.len() == IMAGES,
        "{} were stored there: {arrived:?}",
        arrived.len()
    );
    let remote = RegistryClient::new(&there);
    for number in 0..IMAGES {
        remote.pull_image("web", &format!("n{number}"))?;
    }
    Ok(())
}

#[test]
fn a_node_goes_on_where_the_other_was_killed() -> Result<()> {
    const LAYER: usize = 40 * MEBIBYTE;
    let Some((mut nodes, there)) = nodes()? else {
        return Ok(());
    };
    // One node ends after two chunks; the other is as it was.
    nodes
        .first
        .set_variable("HYTHE_TEST_FAIL_POINT", "replication.chunk.sent:2");
    nodes.first.restart()?;
    let client = RegistryClient::new(&nodes.second);
    let mut attempts = 0;
    let image = loop {
        attempts += 1;
        ensure!(attempts < 20, "the first node never sends anything");
        let before = there.metric("hythe_registry_received_bytes_total")?;
        let name = format!("n{attempts}");
        // By the first node, which is told of it at once: but whoever comes first sends it.
        let pushed = RegistryClient::new(&nodes.first).push_image("web", &name, &noise(&name, LAYER));
        let image = match pushed {
            Ok(image) => image,
            Err(_) => client.push_image("web", &name, &noise(&name, LAYER))?,
        };
        let mut has_ended = false;
        wait_until("it is sent, or its sender is killed", LIMIT, || {
            has_ended = nodes.first.exit_status().is_ok_and(|status| status.is_some());
            has_ended || tasks(&nodes.second, "").is_ok_and(|tasks| tasks == json!([]))
        })?;
        if has_ended {
            let there_before = there.metric("hythe_registry_received_bytes_total")? - before;
            ensure!(
                (16 * MEBIBYTE as u64..24 * MEBIBYTE as u64).contains(&there_before),
                "killed after {there_before} bytes"
            );
            let mut last = String::new();
            wait_until("the other node sends it", LEASE_LIMIT, || {
                last = format!("{:?}", tasks(&nodes.second, ""));
                tasks(&nodes.second, "").is_ok_and(|tasks| tasks == json!([]))
            })
            .with_context(|| last.clone())?;
            let received = there.metric("hythe_registry_received_bytes_total")? - before;
            ensure!(
                received < (LAYER + MEBIBYTE) as u64,
                "{received} bytes were sent for a layer of {LAYER}"
            );
            let of_name = arrivals_of(&there, "web")?
                .into_iter()
                .filter(|tag| *tag == name)
                .count();
            ensure!(of_name == 1, "it was stored {of_name} times");
            break image;
        }
    };
    wait_for(&nodes.second, "web", &image)?;
    RegistryClient::new(&there).pull_image("web", &image)?;
    Ok(())
}

#[test]
fn a_node_that_is_killed_after_it_has_deleted_does_no_harm() -> Result<()> {
    let Some((mut nodes, there)) = nodes()? else {
        return Ok(());
    };
    let (client, remote) = (RegistryClient::new(&nodes.second), RegistryClient::new(&there));
    for name in ["goes", "stays"] {
        let image = client.push_image("web", name, name.as_bytes())?;
        wait_for(&nodes.second, "web", &image)?;
    }
    wait_until_idle(&nodes.second)?;
    // Both end there: whoever sends the deletion does not live to take note of it.
    for node in [&mut nodes.first, &mut nodes.second] {
        node.set_variable("HYTHE_TEST_FAIL_POINT", "replication.deletion.sent:1");
        node.restart()?;
    }
    // The answer may be lost with the node.
    drop(client.call("DELETE", "/v2/web/manifests/goes", &[], &[]));
    let mut ended = (false, false);
    wait_until("a node ends", LIMIT, || {
        let has_ended = |node: &mut Server| node.exit_status().is_ok_and(|status| status.is_some());
        ended = (has_ended(&mut nodes.first), has_ended(&mut nodes.second));
        ended.0 || ended.1
    })?;
    ensure!(tag(&remote, "web", "goes")?.is_none(), "it was not deleted");
    for node in [&mut nodes.first, &mut nodes.second] {
        node.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
        node.restart()?;
    }
    wait_until("nothing waits", LEASE_LIMIT, || {
        tasks(&nodes.second, "").is_ok_and(|tasks| tasks == json!([]))
    })?;
    ensure!(
        tag(&remote, "web", "goes")?.is_none() && tag(&remote, "web", "stays")?.is_some(),
        "too much or too little"
    );
    Ok(())
}
