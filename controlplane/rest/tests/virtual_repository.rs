// SPDX-License-Identifier: Apache-2.0
//! Virtual repositories, as a client sees them.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Auth, World};

const VIRTUAL: &str = "/api/v1/virtual-repositories";

fn of(name: &str, prefixes: &[&str]) -> Value {
    let sources: Vec<_> = prefixes
        .iter()
        .map(|prefix| json!({ "repositoryPrefix": prefix }))
        .collect();
    json!({ "virtualRepositoryName": name, "sources": sources })
}

async fn patch(world: &World, auth: &Auth, name: &str, body: Value) -> support::Reply {
    let path = format!("{VIRTUAL}/{name}");
    world.call(auth, "PATCH", &path).json(&body).send().await
}

#[tokio::test]
async fn a_virtual_repository_is_created_described_changed_listed_and_deleted() {
    let world = World::new().await;
    let body = json!({
        "virtualRepositoryName": "team-a/all", "description": "d",
        "sources": [
            { "repositoryPrefix": "team-b" },
            { "repositoryPrefix": "hub", "includes": ["library/*"], "excludes": ["library/web"] },
        ],
    });
    let created = world.post(VIRTUAL, body.clone()).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), format!("{VIRTUAL}/team-a%2Fall"));
    assert_eq!(
        created.json(),
        json!({
            "registryId": "000000000000", "virtualRepositoryName": "team-a/all", "description": "d",
            "sources": body["sources"],
            "createdAt": "2026-11-01T00:00:00Z", "updatedAt": "2026-11-01T00:00:00Z",
        })
    );
    let again = world.post(VIRTUAL, body.clone()).await;
    again.expect_code(409, "VirtualRepositoryAlreadyExistsException");
    world.post(VIRTUAL, of("any", &["ROOT"])).await.expect(201);

    let page = world.get(&format!("{VIRTUAL}?maxResults=1")).await.json();
    assert_eq!(page["virtualRepositories"][0]["virtualRepositoryName"], "any");
    let next = page["nextToken"].as_str().unwrap();
    let page = world
        .get(&format!("{VIRTUAL}?maxResults=1&nextToken={next}"))
        .await
        .json();
    assert_eq!(page["virtualRepositories"][0]["virtualRepositoryName"], "team-a/all");
    assert_eq!(page.get("nextToken"), None);

    let changed = patch(&world, &world.root, "team-a%2Fall", json!({ "description": "" })).await;
    let tag = changed.header("etag").to_owned();
    let changed = changed.expect(200).json();
    assert_eq!(
        (changed.get("description"), &changed["sources"]),
        (None, &body["sources"])
    );
    let path = format!("{VIRTUAL}/team-a%2Fall");
    let stale = world
        .call(&world.root, "PATCH", &path)
        .header("if-match", created.header("etag"))
        .json(&json!({ "description": "x" }))
        .send()
        .await;
    stale.expect_code(412, "PreconditionFailedException");
    let empty = patch(&world, &world.root, "team-a%2Fall", json!({})).await;
    empty.expect_code(400, "InvalidParameterException");

    let deleted = world
        .call(&world.root, "DELETE", &path)
        .header("if-match", &tag)
        .send()
        .await;
    assert_eq!(deleted.expect(200).json()["virtualRepositoryName"], "team-a/all");
    for method in ["GET", "DELETE"] {
        let gone = world.call(&world.root, method, &path).send().await;
        gone.expect_code(404, "VirtualRepositoryNotFoundException");
    }
    let gone = patch(&world, &world.root, "team-a%2Fall", json!({ "description": "x" })).await;
    gone.expect_code(404, "VirtualRepositoryNotFoundException");
}

#[tokio::test]
async fn what_is_wrong_with_a_virtual_repository_is_said() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    world.post(VIRTUAL, of("all", &["team-a"])).await.expect(201);
    let overlap = "VirtualRepositoryOverlapException";
    for (name, prefixes) in [
        ("team-a", &["hub"][..]),
        ("team-a/web", &["hub"]),
        ("all/more", &["hub"]),
        ("new", &["all"]),
        ("new", &["new"]),
    ] {
        world.post(VIRTUAL, of(name, prefixes)).await.expect_code(409, overlap);
    }
    let changed = patch(
        &world,
        &world.root,
        "all",
        json!({ "sources": [{ "repositoryPrefix": "all/x" }] }),
    )
    .await;
    changed.expect_code(409, overlap);
    for name in ["all", "all/web", "all/deep/web"] {
        let created = world
            .post("/api/v1/repositories", json!({ "repositoryName": name }))
            .await;
        created.expect_code(409, overlap);
    }
    world.repository("allx/web").await;

    let long = "x".repeat(257);
    let eleven: Vec<String> = (0..11).map(|number| format!("s{number}")).collect();
    let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
    let mut described = of("new", &["hub"]);
    described["description"] = json!(long);
    for body in [
        of("ROOT", &["hub"]),
        described,
        of("new", &[]),
        of("new", &eleven),
        of("new", &["hub", "hub"]),
        of("new/", &["hub"]),
    ] {
        let refused = world.post(VIRTUAL, body).await;
        refused.expect_code(400, "InvalidParameterException");
    }
}
