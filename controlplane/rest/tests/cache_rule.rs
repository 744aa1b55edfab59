// SPDX-License-Identifier: Apache-2.0
//! Rules of pull-through caches, as a client sees them.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::json;
use support::World;

const RULES: &str = "/api/v1/pull-through-cache-rules";

#[tokio::test]
async fn a_rule_is_created_described_changed_listed_and_deleted() {
    let world = World::new().await;
    let body = json!({
        "ecrRepositoryPrefix": "ghcr", "upstreamRegistryUrl": "https://ghcr.io",
        "upstreamRegistry": "github-container-registry", "upstreamRepositoryPrefix": "team",
        "credential": { "username": "octocat", "accessToken": "very-secret" },
    });
    let created = world.post(RULES, body.clone()).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), format!("{RULES}/ghcr"));
    assert_eq!(
        created.json(),
        json!({
            "registryId": "000000000000", "ecrRepositoryPrefix": "ghcr", "upstreamRegistryUrl": "ghcr.io",
            "upstreamRegistry": "github-container-registry", "upstreamRepositoryPrefix": "team",
            "credential": { "username": "octocat" }, "tagFreshnessSeconds": 86_400,
            "createdAt": "2026-11-01T00:00:00Z", "updatedAt": "2026-11-01T00:00:00Z",
        })
    );
    world
        .post(RULES, body)
        .await
        .expect_code(409, "PullThroughCacheRuleAlreadyExistsException");
    let path = format!("{RULES}/ghcr");
    let described = world.get(&path).await;
    assert_eq!(described.header("etag"), created.header("etag"));
    let change = async |body| world.call(&world.root, "PATCH", &path).json(&body).send().await;
    let changed = change(json!({ "tagFreshnessSeconds": 0 })).await.expect(200).json();
    assert_eq!(
        (&changed["tagFreshnessSeconds"], &changed["credential"]["username"]),
        (&json!(0), &json!("octocat"))
    );
    let changed = change(json!({ "removeCredential": true })).await.expect(200).json();
    assert_eq!(changed.get("credential"), None);
    change(json!({})).await.expect_code(400, "InvalidParameterException");
    let both = json!({ "removeCredential": true, "credential": { "username": "u", "accessToken": "t" } });
    change(both).await.expect_code(400, "InvalidParameterException");
    let stale = world
        .call(&world.root, "PATCH", &path)
        .header("if-match", created.header("etag"));
    let stale = stale.json(&json!({ "tagFreshnessSeconds": 1 })).send().await;
    stale.expect_code(412, "PreconditionFailedException");
    let mirror = json!({ "intervalMinutes": 60, "repositories": ["team/web"], "removeVanished": false });
    let changed = change(json!({ "mirror": mirror })).await.expect(200).json();
    assert_eq!(changed["mirror"], mirror);
    assert_eq!(changed["mirrorStatus"], json!({ "nextRunAt": "2026-11-01T00:00:00Z" }));
    let run = world
        .call(&world.root, "POST", &format!("{path}/mirror-runs"))
        .send()
        .await;
    let run = run.expect(201).json();
    let shown = world
        .get(&format!("{path}/mirror-runs/{}", run["mirrorRunId"].as_str().unwrap()))
        .await
        .json();
    assert_eq!((&shown["mirrorRun"], &shown["notes"]), (&run, &json!([])));
    let second = world
        .call(&world.root, "POST", &format!("{path}/mirror-runs"))
        .send()
        .await;
    second.expect_code(409, "MirrorRunInProgressException");
    let changed = change(json!({ "removeMirror": true })).await.expect(200).json();
    assert_eq!(changed.get("mirror"), None);
    let runs = world.get(&format!("{path}/mirror-runs")).await.json();
    assert_eq!(runs["mirrorRuns"][0]["status"], "CANCELLED");
    let page = world.get(RULES).await.json();
    assert_eq!(page["pullThroughCacheRules"].as_array().unwrap().len(), 1);
    world.call(&world.root, "DELETE", &path).send().await.expect(200);
    world
        .get(&path)
        .await
        .expect_code(404, "PullThroughCacheRuleNotFoundException");
}

#[tokio::test]
async fn a_rule_that_cannot_be_meant_is_refused() {
    let world = World::new().await;
    let cases = [
        (
            json!({ "upstreamRegistryUrl": "user:pw@ghcr.io" }),
            "/upstreamRegistryUrl",
        ),
        (json!({ "upstreamRegistryUrl": "ghcr.io/path" }), "/upstreamRegistryUrl"),
        (json!({ "upstreamRegistryUrl": "0x7f000001" }), "/upstreamRegistryUrl"),
        (json!({ "upstreamRegistry": "nobody" }), "/upstreamRegistry"),
        (
            json!({ "ecrRepositoryPrefix": "ROOT", "upstreamRepositoryPrefix": "team" }),
            "/upstreamRepositoryPrefix",
        ),
        (
            json!({ "credential": { "username": "", "accessToken": "t" } }),
            "/credential",
        ),
        (
            json!({ "credential": { "username": "a:b", "accessToken": "t" } }),
            "/credential",
        ),
        (
            json!({ "credential": { "username": "a", "accessToken": "t\n" } }),
            "/credential",
        ),
        (json!({ "tagFreshnessSeconds": 31_536_001 }), "/tagFreshnessSeconds"),
    ];
    for (change, pointer) in cases {
        let mut body = json!({ "ecrRepositoryPrefix": "up", "upstreamRegistryUrl": "registry.example.com" });
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let refused = world.post(RULES, body.clone()).await;
        assert_eq!(
            (refused.status, &refused.json()["pointer"]),
            (400, &json!(pointer)),
            "{body}"
        );
    }
    let repository = json!({ "repositoryName": "other/web" });
    world.post("/api/v1/repositories", repository).await.expect(201);
    let refresh = world
        .post("/api/v1/repositories/other%2Fweb/upstream-refreshes", json!({}))
        .await;
    refresh.expect_code(404, "PullThroughCacheRuleNotFoundException");
}
