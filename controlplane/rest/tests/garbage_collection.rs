// SPDX-License-Identifier: Apache-2.0
//! How the collection of blobs goes, and asking for one.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::World;

const STATE: &str = "/api/v1/garbage-collection";
const RUNS: &str = "/api/v1/garbage-collection/runs";

async fn run(world: &World) -> support::Reply {
    world.call(&world.root, "POST", RUNS).send().await
}

#[tokio::test]
async fn a_run_is_asked_for_once_and_shown_until_it_ends() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    world.image(&path, "one", &["v1"]).await;
    let state = world.get(STATE).await.expect(200).json();
    assert_eq!(state["runs"], json!([]));
    let first = run(&world).await;
    assert_eq!(first.expect(201).text("/status"), "IN_PROGRESS");
    assert_eq!(first.text("/requestedBy"), "arn:aws:iam::000000000000:root");
    let id = first.text("/runId");
    assert_eq!(first.header("location"), format!("{RUNS}/{id}"));
    assert_eq!(run(&world).await.expect(201).text("/runId"), id);

    // Nobody collects here: what is due is taken away behind its back.
    let due = first.json()["dueLinks"].as_u64().unwrap();
    let store = &world.store;
    let reviews = store
        .lease_reviews(world.plane.now(), world.plane.now(), 100)
        .await
        .unwrap();
    assert_eq!(reviews.len() as u64, due);
    let rules = hythe_meta::CollectionRules {
        grace: jiff::SignedDuration::ZERO,
        condemned_for: jiff::SignedDuration::ZERO,
        token: "test".into(),
        lease: jiff::SignedDuration::from_secs(60),
    };
    let reviewed = store.review_blobs(reviews, &rules, world.plane.now()).await.unwrap();
    assert_eq!(reviewed.kept, due);
    let totals = hythe_meta::CollectionTotals {
        reviewed: due,
        kept: due,
        ..Default::default()
    };
    store.add_collection_totals(totals, 60).await.unwrap();
    assert!(store.end_collection_run(world.plane.now()).await.unwrap());
    let ended = world.get(&format!("{RUNS}/{id}")).await;
    assert_eq!(ended.expect(200).text("/status"), "COMPLETE");
    assert_eq!(ended.json()["done"]["keptLinks"], json!(due));
    let state = world.get(STATE).await.expect(200).json();
    assert_eq!(state["runs"], Value::Array(vec![ended.json()]));
    assert_eq!(state["dueLinks"], json!(0));
    assert_eq!(state["remainingSeconds"], json!(0));
    assert_ne!(run(&world).await.expect(201).text("/runId"), id);
}

#[tokio::test]
async fn collection_belongs_to_the_default_account() {
    let world = World::new().await;
    let other = world.account("222222222222").await;
    for (method, path) in [("GET", STATE), ("POST", RUNS)] {
        let mine = world.call(&other, method, path).send().await;
        assert!(mine.status >= 400, "{method} {path}");
        let theirs = format!("{path}?registryId=222222222222");
        let named = world.call(&other, method, &theirs).send().await;
        named.expect_code(400, "InvalidParameterException");
    }
    world
        .get(&format!("{RUNS}/none"))
        .await
        .expect_code(404, "ResourceNotFoundException");
}
