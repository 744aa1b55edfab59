// SPDX-License-Identifier: Apache-2.0
//! What one account may take of what all of them fetch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use e2e::RegistryClient;
use e2e::http;
use e2e::process::wait_until;
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, digest};
use e2e::upstream::{Reply, ScriptedUpstream};
use serde_json::{Value, json};

use super::{IMPORT_LIMIT, RULES, Shelf, cache, imported, rule};

/// How many blobs are fetched now.
pub const TAKEN: &str = "hythe_registry_bound_taken{bound=\"upstream_fetches\"}";
/// The most that are fetched for one account while it is alone.
pub const MOST_OF_ONE: u64 = 28;
/// More than are fetched at once.
const MANY: u32 = 40;

#[test]
fn an_account_that_fetches_slow_blobs_leaves_places_for_another() -> Result<()> {
    let slow = Shelf::of("a/b", "v1", b"one layer");
    let gate = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&gate);
    let upstream = ScriptedUpstream::start(move |asked| {
        if asked.target.contains("/blobs/") {
            let mut reply = Reply::new(200, &[], vec![7; 1000]);
            reply.held = Some((1, Arc::clone(&opened)));
            return reply;
        }
        slow.reply(asked)
    })?;
    let server = cache(&["--max-wait-seconds=2"])?;
    rule(&server, "slow", &upstream.url(), json!({}))?;
    let here = RegistryClient::new(&server);
    here.manifest("slow/a/b", "v1")?.expect(200)?;
    let pulls: Vec<_> = (0..MANY)
        .map(|number| {
            let (client, name) = (here.clone(), digest(&number.to_le_bytes()));
            std::thread::spawn(move || client.call("GET", &format!("/v2/slow/a/b/blobs/{name}"), &[], &[]))
        })
        .collect();
    // Alone, it gets nearly all of the places, and never all.
    wait_until("nearly all places are taken", IMPORT_LIMIT, || {
        server.metric(TAKEN).is_ok_and(|taken| taken == MOST_OF_ONE)
    })
    .with_context(|| format!("{:?}", server.metric(TAKEN)))?;

    // Another account finds room at once.
    let authorization = server.create_account("111111111111")?;
    let quick = Shelf::of("c/d", "v1", b"another layer");
    let other = ScriptedUpstream::start(move |asked| quick.reply(asked))?;
    let body = json!({ "ecrRepositoryPrefix": "quick", "upstreamRegistryUrl": other.url() }).to_string();
    http::request(
        server.credentials().control_address(),
        "POST",
        RULES,
        &[("Authorization", &authorization), ("Content-Type", "application/json")],
        body.as_bytes(),
    )?
    .expect(201)?;
    let theirs = RegistryClient::with(server.registry(), Some(authorization));
    theirs.pull_image("111111111111/quick/c/d", "v1")?;

    gate.store(true, Ordering::SeqCst);
    for pull in pulls {
        let answer = pull.join().map_err(|_| anyhow::anyhow!("a pull panicked"))?;
        let status = answer.map(|answer| answer.status).unwrap_or_default();
        ensure!(status != 500, "a server error");
    }
    wait_until("the places are free again", IMPORT_LIMIT, || {
        server.metric(TAKEN).is_ok_and(|taken| taken == 0)
    })
}

#[test]
fn an_index_of_many_images_comes_in_turns() -> Result<()> {
    let shelves: Vec<Shelf> = (0..MANY)
        .map(|number| Shelf::of("a/b", "none", &number.to_le_bytes()))
        .collect();
    let children: Vec<Value> = shelves
        .iter()
        .map(|shelf| {
            let (name, bytes) = shelf.manifest();
            json!({ "mediaType": OCI_MANIFEST, "digest": name, "size": bytes })
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children }).to_string();
    let (name, shown) = (digest(index.as_bytes()), index.clone());
    let upstream = ScriptedUpstream::start(move |asked| {
        if asked.target.ends_with("/manifests/all") || asked.target.ends_with(&digest(shown.as_bytes())) {
            let name = digest(shown.as_bytes());
            let headers = [("Content-Type", OCI_INDEX), ("Docker-Content-Digest", name.as_str())];
            return Reply::new(200, &headers, shown.clone());
        }
        let replies = shelves.iter().map(|shelf| shelf.reply(asked));
        let found = replies.into_iter().find(|reply| reply.status == 200);
        found.unwrap_or_else(|| Reply::new(404, &[], "{}"))
    })?;
    let server = cache(&[])?;
    rule(&server, "hub", &upstream.url(), json!({}))?;
    let here = RegistryClient::new(&server);
    here.manifest("hub/a/b", "all")?.expect(200)?;
    ensure!(imported(&server, "hub/a/b", "all")? == name);
    // Each image once, though it took more than one turn.
    for child in &children {
        let child = child["digest"].as_str().unwrap_or_default();
        here.pull_image("hub/a/b", child)?;
        let asked = upstream.count(&format!("GET /v2/a/b/manifests/{child}"));
        ensure!(asked == 1, "{child} was asked for {asked} times");
    }
    Ok(())
}
