// SPDX-License-Identifier: Apache-2.0
//! Two nodes of one deployment, on PostgreSQL, that have images from another registry.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use anyhow::{Context as _, Result, ensure};
use e2e::http::{self, Response};
use e2e::nodes::TwoNodes;
use e2e::process::wait_until;
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, digest};
use e2e::upstream::{Reply, ScriptedUpstream};
use e2e::{RegistryClient, Server};
use serde_json::json;

use super::{IMPORT_LIMIT, Shelf, having_digest, imported, rule};

const OUTGOING: (&str, &str) = ("HYTHE_OUTGOING_ALLOW", "127.0.0.0/8");
const QUESTIONS: &str = "hythe_registry_cache_questions_total";
/// More than the leases of fetches and imports, in seconds.
const OVER: u64 = 200;

fn large() -> Vec<u8> {
    (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn clients_of_both_nodes_have_each_blob_fetched_once() -> Result<()> {
    const CLIENTS: usize = 12;
    let Some(nodes) = TwoNodes::start(&[OUTGOING])? else {
        return Ok(());
    };
    let shelf = Shelf::of("a/b", "v1", &large());
    let image = having_digest(&shelf)?;
    let upstream = ScriptedUpstream::start(move |asked| shelf.reply(asked))?;
    rule(&nodes.first, "up", &upstream.url(), json!({}))?;
    wait_until("the other node knows of the rule", IMPORT_LIMIT, || {
        nodes
            .second
            .api("GET", "/api/v1/pull-through-cache-rules/up", None)
            .is_ok_and(|answer| answer.status == 200)
    })?;
    let start = Arc::new(Barrier::new(2 * CLIENTS));
    let pulls: Vec<_> = [&nodes.first, &nodes.second]
        .into_iter()
        .flat_map(|node| vec![RegistryClient::new(node); CLIENTS])
        .map(|client| {
            let start = Arc::clone(&start);
            std::thread::spawn(move || {
                start.wait();
                client.pull_image("up/a/b", "v1")
            })
        })
        .collect();
    for pull in pulls {
        // Each is compared with its digest.
        let bytes = pull.join().map_err(|_| anyhow::anyhow!("a pull panicked"))??;
        ensure!(bytes > 12_000_000, "{bytes}");
    }
    for node in [&nodes.first, &nodes.second] {
        ensure!(imported(node, "up/a/b", "v1")? == image);
    }
    ensure!(upstream.count("/blobs/") == 2, "{:?}", upstream.asked());
    // Each node may ask for the manifest. Whether the tag has moved, which costs nothing, it may ask again.
    ensure!(upstream.count("GET /v2/a/b/manifests/") <= 2, "{:?}", upstream.asked());
    Ok(())
}

/// A pull of a blob by a thread of its own.
fn pull(node: &Server, target: &str) -> std::thread::JoinHandle<Result<Response>> {
    let (client, target) = (RegistryClient::new(node), target.to_owned());
    std::thread::spawn(move || client.call("GET", &target, &[], &[]))
}

#[test]
fn a_node_goes_on_where_another_one_died_in_the_middle_of_a_blob() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clock = folder.path().join("offset");
    let clock_text = clock.display().to_string();
    let variables = [OUTGOING, ("HYTHE_TEST_CLOCK_OFFSET_FILE", clock_text.as_str())];
    let Some(mut nodes) = TwoNodes::start(&variables)? else {
        return Ok(());
    };
    let layer = large();
    let (shelf, name) = (Shelf::of("a/b", "v1", &layer), digest(&layer));
    let image = having_digest(&shelf)?;
    let may_go_on = Arc::new(AtomicBool::new(false));
    let (held, gate, wanted) = (shelf.clone(), Arc::clone(&may_go_on), name.clone());
    let upstream = ScriptedUpstream::start(move |asked| Reply {
        held: asked.target.ends_with(&wanted).then(|| (9_000_000, Arc::clone(&gate))),
        ..held.reply(asked)
    })?;
    rule(&nodes.first, "up", &upstream.url(), json!({}))?;
    let first = RegistryClient::new(&nodes.first);
    let second = RegistryClient::new(&nodes.second);
    first.manifest("up/a/b", "v1")?.expect(200)?;
    wait_until("the other node knows of the rule", IMPORT_LIMIT, || {
        second.manifest("up/a/b", "v1").is_ok_and(|answer| answer.status == 200)
    })?;

    let target = format!("/v2/up/a/b/blobs/{name}");
    let cut = pull(&nodes.first, &target);
    wait_until("the first node receives the blob", IMPORT_LIMIT, || {
        nodes
            .first
            .metric("hythe_registry_cache_received_bytes_total")
            .is_ok_and(|bytes| bytes > 8_000_000)
    })?;
    let waiting = pull(&nodes.second, &target);
    wait_until("the second node waits", IMPORT_LIMIT, || {
        nodes
            .second
            .metric("hythe_registry_active_requests")
            .is_ok_and(|active| active > 0)
    })?;
    ensure!(upstream.count(&name) == 1, "{:?}", upstream.asked());
    nodes.first.kill9()?;
    let cut = cut.join().map_err(|_| anyhow::anyhow!("a pull panicked"))?;
    let is_whole = cut.as_ref().is_ok_and(|got| got.status == 200);
    ensure!(!is_whole, "nobody can have the rest of it");
    // It is still that node's to fetch, as far as anybody knows.
    second.call("HEAD", "/v2/up/a/b/manifests/v1", &[("Accept", OCI_MANIFEST)], &[])?;
    ensure!(upstream.count(&name) == 1, "{:?}", upstream.asked());

    upstream.answer_with({
        let shelf = shelf.clone();
        move |asked| shelf.reply(asked)
    });
    std::fs::write(&clock, OVER.to_string())?;
    let got = waiting.join().map_err(|_| anyhow::anyhow!("a pull panicked"))??;
    ensure!(
        got.status == 200 && digest(&got.body) == name,
        "{} {}",
        got.status,
        got.body.len()
    );
    ensure!(upstream.count(&name) == 2, "{:?}", upstream.asked());
    may_go_on.store(true, Ordering::SeqCst);
    ensure!(imported(&nodes.second, "up/a/b", "v1")? == image);
    nodes.first.restart()?;
    first.pull_image("up/a/b", "v1")?;
    second.pull_image("up/a/b", "v1")?;
    ensure!(upstream.count(&name) == 2, "{:?}", upstream.asked());
    Ok(())
}

#[test]
fn what_one_node_was_told_the_other_one_knows() -> Result<()> {
    let Some(nodes) = TwoNodes::start(&[OUTGOING])? else {
        return Ok(());
    };
    let (old, new) = (Shelf::of("a/b", "v1", b"old"), Shelf::of("a/b", "v1", b"new"));
    let (old_image, new_image) = (having_digest(&old)?, having_digest(&new)?);
    let entry = json!({ "mediaType": OCI_MANIFEST, "digest": digest(b"signature"), "size": 2 });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] }).to_string();
    let with = |shelf: Shelf| {
        let index = index.clone();
        move |asked: &e2e::upstream::Asked| {
            if asked.target.contains("/referrers/") {
                Reply::new(200, &[("Content-Type", OCI_INDEX)], index.clone())
            } else {
                shelf.reply(asked)
            }
        }
    };
    let upstream = ScriptedUpstream::start(with(old))?;
    rule(&nodes.first, "up", &upstream.url(), json!({}))?;
    let clients = [RegistryClient::new(&nodes.first), RegistryClient::new(&nodes.second)];
    for client in &clients {
        wait_until("the node knows of the rule", IMPORT_LIMIT, || {
            client
                .manifest("up/a/b", "v1")
                .is_ok_and(|answer| digest(&answer.body) == old_image)
        })?;
    }
    // A tag that one of them was asked to look at again.
    upstream.answer_with(with(new));
    let target = "/v2/up/a/b/manifests/v1";
    let headers = [("Cache-Control", "no-cache"), ("Accept", OCI_MANIFEST)];
    let moved = clients[0].call("GET", target, &headers, &[])?.expect(200)?;
    ensure!(digest(&moved.body) == new_image, "{moved:?}");
    let before = upstream.asked().len();
    let seen = clients[1].manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(
        digest(&seen.body) == new_image && seen.header("hythe-cache") == Some("HIT"),
        "{seen:?}"
    );
    ensure!(upstream.asked().len() == before, "{:?}", upstream.asked());

    // The same of referrers, and of a refresh.
    let list = |client: &RegistryClient| -> Result<Response> {
        client
            .call("GET", &format!("/v2/up/a/b/referrers/{new_image}"), &[], &[])?
            .expect(200)
    };
    let first = list(&clients[0])?;
    ensure!(first.header("hythe-cache") == Some("MISS"), "{first:?}");
    let other = list(&clients[1])?;
    ensure!(
        other.header("hythe-cache") == Some("HIT") && other.body == first.body,
        "{other:?}"
    );
    let questions = nodes.first.metric(QUESTIONS)?;
    let path = format!(
        "/api/v1/repositories/{}/upstream-refreshes",
        http::percent_encode("up/a/b")
    );
    let refreshed = nodes.second.api("POST", &path, Some(&json!({})))?.expect(200)?;
    ensure!(refreshed.json()?.to_string().contains('1'), "{}", refreshed.text());
    ensure!(list(&clients[0])?.header("hythe-cache") == Some("REVALIDATED"));
    let again = clients[0].manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(again.header("hythe-cache") == Some("REVALIDATED"), "{again:?}");
    ensure!(nodes.first.metric(QUESTIONS)? == questions + 2);
    let known = clients[1]
        .manifest("up/a/b", "v1")
        .context("the other node")?
        .expect(200)?;
    ensure!(known.header("hythe-cache") == Some("HIT"), "{known:?}");
    Ok(())
}
