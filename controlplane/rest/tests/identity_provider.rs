// SPDX-License-Identifier: Apache-2.0
//! Identity providers, as a client sees them.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Auth, Reply, World};

const PROVIDERS: &str = "/api/v1/identity-providers";
const GITHUB: &str = "/api/v1/identity-providers/token.actions.githubusercontent.com";

async fn patch(world: &World, body: Value) -> Reply {
    world.call(&world.root, "PATCH", GITHUB).json(&body).send().await
}

#[tokio::test]
async fn a_provider_is_created_described_changed_listed_and_deleted() {
    let world = World::new().await;
    let created = world
        .identity_provider("https://token.actions.githubusercontent.com")
        .await;
    assert_eq!(created.header("location"), GITHUB);
    assert_eq!(created.header("etag"), "\"1\"");
    assert_eq!(
        created.json(),
        json!({
            "providerName": "token.actions.githubusercontent.com",
            "arn": "arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com",
            "url": "https://token.actions.githubusercontent.com",
            "clientIdList": ["hythe"],
            "signingAlgorithms": ["RS256", "ES256"],
            "createdAt": "2026-11-01T00:00:00Z",
            "updatedAt": "2026-11-01T00:00:00Z",
        })
    );
    let again = json!({ "url": "https://token.actions.githubusercontent.com", "clientIdList": ["hythe"] });
    world
        .post(PROVIDERS, again)
        .await
        .expect_code(409, "ResourceAlreadyExistsException");

    world.identity_provider("https://gitlab.example:8443/a/b").await;
    let page = world.get(&format!("{PROVIDERS}?maxResults=1")).await.json();
    assert_eq!(page["identityProviders"][0]["providerName"], "gitlab.example:8443/a/b");
    let next = page["nextToken"].as_str().unwrap();
    let page = world
        .get(&format!("{PROVIDERS}?maxResults=1&nextToken={next}"))
        .await
        .json();
    assert_eq!(
        page["identityProviders"][0]["url"],
        "https://token.actions.githubusercontent.com"
    );
    assert_eq!(page.get("nextToken"), None);
    let deep = format!("{PROVIDERS}/gitlab.example%3A8443%2Fa%2Fb");
    assert_eq!(world.get(&deep).await.json()["url"], "https://gitlab.example:8443/a/b");

    let changed = patch(
        &world,
        json!({ "clientIdList": ["a", "b"], "description": "CI", "signingAlgorithms": ["EdDSA"] }),
    )
    .await;
    assert_eq!(changed.header("etag"), "\"2\"");
    assert_eq!(changed.json()["signingAlgorithms"], json!(["EdDSA"]));
    let cleared = patch(&world, json!({ "description": "" })).await.json();
    assert_eq!(
        (cleared.get("description"), &cleared["clientIdList"]),
        (None, &json!(["a", "b"]))
    );
    let stale = world
        .call(&world.root, "PATCH", GITHUB)
        .header("if-match", "\"2\"")
        .json(&json!({ "description": "x" }));
    stale.send().await.expect_code(412, "PreconditionFailedException");
    patch(&world, json!({}))
        .await
        .expect_code(400, "InvalidParameterException");

    world.call(&world.root, "DELETE", GITHUB).send().await.expect(200);
    world.get(GITHUB).await.expect_code(404, "ResourceNotFoundException");
    patch(&world, json!({ "description": "x" }))
        .await
        .expect_code(404, "ResourceNotFoundException");
    let gone = world.call(&world.root, "DELETE", GITHUB).send().await;
    gone.expect_code(404, "ResourceNotFoundException");
}

/// What it shows, what differs from a good request, and where the answer points.
#[tokio::test]
async fn settings_that_cannot_work_are_refused_where_they_are() {
    let world = World::new().await;
    let private = r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}]}"#;
    let cases = [
        ("plain http", json!({ "url": "http://ci.example" }), "/url"),
        ("a query", json!({ "url": "https://ci.example?x=1" }), "/url"),
        ("a user", json!({ "url": "https://root@ci.example" }), "/url"),
        ("no URL", json!({ "url": "ci.example" }), "/url"),
        ("no audience", json!({ "clientIdList": [] }), "/clientIdList"),
        ("an empty audience", json!({ "clientIdList": [""] }), "/clientIdList"),
        (
            "an audience twice",
            json!({ "clientIdList": ["a", "a"] }),
            "/clientIdList",
        ),
        ("no algorithm", json!({ "signingAlgorithms": [] }), "/signingAlgorithms"),
        (
            "the algorithm none",
            json!({ "signingAlgorithms": ["none"] }),
            "/signingAlgorithms/0",
        ),
        (
            "a symmetric algorithm",
            json!({ "signingAlgorithms": ["HS256"] }),
            "/signingAlgorithms/0",
        ),
        ("keys that are none", json!({ "jwks": "x" }), "/jwks"),
        ("private keys", json!({ "jwks": private }), "/jwks"),
        (
            "a long description",
            json!({ "description": "x".repeat(1001) }),
            "/description",
        ),
        ("an unknown member", json!({ "thumbprintList": [] }), "/thumbprintList"),
    ];
    for (what, change, pointer) in cases {
        let mut body = json!({ "url": "https://ci.example", "clientIdList": ["hythe"] });
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let reply = world.post(PROVIDERS, body).await;
        assert_eq!(
            (reply.status, reply.text("/pointer").as_str()),
            (400, pointer),
            "{what}"
        );
    }
    world
        .get(&format!("{PROVIDERS}/ci.example%3Fx"))
        .await
        .expect_code(400, "InvalidParameterException");
}

#[tokio::test]
async fn an_issuer_on_the_servers_machine_is_for_the_operator() {
    let world = World::new().await;
    world.identity_provider("http://127.0.0.1:4444").await;
    let there = format!("{PROVIDERS}?registryId=111111111111");
    let body = json!({ "url": "http://127.0.0.1:4444", "clientIdList": ["hythe"] });
    let foreign = world.call(&Auth::Nobody, "POST", &there).json(&body).send().await;
    foreign.expect_code(401, "MissingAuthenticationTokenException");
}
