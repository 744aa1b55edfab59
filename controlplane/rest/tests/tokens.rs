// SPDX-License-Identifier: Apache-2.0
//! Authorization tokens: how they come to be, what they open, and how they end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hythe_access::{AuthenticationError, Caller, Credentials, Gate as _, IssueError, ScopeEntry, Secret, TokenScope};
use hythe_model::{AccountId, Clock, Region};
use hythe_operations::{AccessGate, BootstrapError, MasterKey, bootstrap};
use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{Auth, Reply, World, plane};

const TOKENS: &str = "/api/v1/authorization-tokens";

async fn token(world: &World, auth: &Auth, body: Value) -> (String, Auth) {
    let reply = world.call(auth, "POST", TOKENS).json(&body).send().await;
    reply.expect(201);
    (reply.text("/tokenId"), Auth::Bearer(reply.text("/password")))
}

async fn who(world: &World, auth: &Auth) -> Reply {
    world.call(auth, "GET", "/api/v1/caller-identity").send().await
}

#[tokio::test]
async fn a_token_is_a_password_for_twelve_hours() {
    let world = World::new().await;
    let reply = world.post(TOKENS, json!({})).await;
    let password = reply.expect(201).text("/password");
    assert_eq!(
        STANDARD.decode(reply.text("/authorizationToken")).unwrap(),
        format!("AWS:{password}").into_bytes()
    );
    assert_eq!(reply.text("/issuedAt"), "2026-11-01T00:00:00Z");
    assert_eq!(reply.text("/expiresAt"), "2026-11-01T12:00:00Z");
    assert_eq!(reply.text("/proxyEndpoint"), "http://127.0.0.1:5000");
    assert_eq!(reply.header("location"), format!("{TOKENS}/{}", reply.text("/tokenId")));
    let bearer = Auth::Bearer(password.clone());
    let basic = Auth::Basic("AWS".into(), password.clone());
    for auth in [&bearer, &basic] {
        assert_eq!(
            who(&world, auth).await.expect(200).text("/arn"),
            "arn:aws:iam::000000000000:root"
        );
    }
    who(&world, &Auth::Basic("aws".into(), password))
        .await
        .expect_code(401, "UnrecognizedClientException");
    world.clock.advance_seconds(12 * 3600 - 1);
    who(&world, &bearer).await.expect(200);
    world.clock.advance_seconds(1);
    who(&world, &bearer).await.expect_code(401, "ExpiredTokenException");
}

#[tokio::test]
async fn a_token_that_was_changed_or_made_elsewhere_opens_nothing() {
    let world = World::new().await;
    let (_, Auth::Bearer(text)) = token(&world, &world.root, json!({})).await else {
        panic!("a bearer token")
    };
    for at in (0..text.len()).step_by(7) {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = Auth::Bearer(String::from_utf8(changed).unwrap());
        who(&world, &changed)
            .await
            .expect_code(401, "UnrecognizedClientException");
    }
    let elsewhere = plane(&world.store, &world.clock, &MasterKey::new([8; 32]));
    let issued = elsewhere
        .gate()
        .issue(&Caller::anonymous(), TokenScope::default())
        .await
        .unwrap();
    let foreign = Auth::Bearer(issued.token.expose().to_owned());
    who(&world, &foreign)
        .await
        .expect_code(401, "UnrecognizedClientException");
}

#[tokio::test]
async fn durations_and_scopes_have_bounds() {
    let world = World::new().await;
    let entry = |repository: &str, action: &str| json!([{ "repositories": [repository], "actions": [action] }]);
    for (body, pointer) in [
        (json!({ "durationSeconds": 59 }), "/durationSeconds"),
        (json!({ "durationSeconds": 43_201 }), "/durationSeconds"),
        (json!({ "durationSeconds": -1 }), "/durationSeconds"),
        (json!({ "durationSeconds": "60" }), "/durationSeconds"),
        (json!({ "scope": [] }), "/scope"),
        (json!({ "scope": entry("Web", "ecr:*") }), "/scope/0/repositories/0"),
        (json!({ "scope": entry("*", "s3:*") }), "/scope/0/actions/0"),
        (json!({ "scope": [{ "repositories": ["*"] }] }), "/scope/0/actions"),
        (json!({ "duration": 60 }), "/duration"),
    ] {
        let reply = world.post(TOKENS, body.clone()).await;
        reply.expect(400);
        assert_eq!(reply.text("/pointer"), pointer, "{body}");
    }
    let long: Vec<String> = (0..100).map(|n| format!("{n:0>200}")).collect();
    let long = json!({ "scope": [{ "repositories": long, "actions": ["ecr:*"] }] });
    assert_eq!(world.post(TOKENS, long).await.expect(400).text("/pointer"), "/scope");
}

#[tokio::test]
async fn a_scope_limits_and_never_adds() {
    let world = World::new().await;
    for name in ["team-a/web", "team-b/web"] {
        world.repository(name).await;
    }
    let scope =
        json!({ "scope": [{ "repositories": ["team-a/*"], "actions": ["ecr:Describe*", "ecr:DeleteRepository"] }] });
    let (_, limited) = token(&world, &world.root, scope.clone()).await;
    let call = |auth: &Auth, method: &str, name: &str| {
        world.call(auth, method, &format!("/api/v1/repositories/team-{name}%2Fweb"))
    };
    call(&limited, "GET", "a").send().await.expect(200);
    call(&limited, "GET", "b")
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
    let listed = world.call(&limited, "GET", "/api/v1/repositories").send().await.json();
    assert_eq!(listed["repositories"].as_array().unwrap().len(), 1);
    // The registry itself is not in the scope: no further tokens, no users.
    world
        .call(&limited, "POST", TOKENS)
        .json(&json!({}))
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
    // Nor are repositories of other accounts, whatever their names.
    let scope_of = |account: Option<&str>| {
        let mut entry = json!({ "repositories": ["team-a/*"], "actions": ["ecr:Describe*"] });
        if let Some(account) = account {
            entry["registryId"] = account.into();
        }
        json!({ "scope": [entry] })
    };
    for (account, status) in [(None, 200), (Some("000000000000"), 200), (Some("111111111111"), 403)] {
        let (_, bound) = token(&world, &world.root, scope_of(account)).await;
        let answer = call(&bound, "GET", "a").send().await;
        assert_eq!(answer.status, status, "{account:?}");
    }
    // A reader's token with a wide scope still only reads.
    let reader = world.user("reader", &["ReadOnly"]).await;
    let (_, wide) = token(
        &world,
        &reader,
        json!({ "scope": [{ "repositories": ["*"], "actions": ["ecr:*"] }] }),
    )
    .await;
    call(&wide, "GET", "b").send().await.expect(200);
    call(&wide, "DELETE", "b")
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
    // A token made with a limited token has both limits.
    let (_, wide) = token(
        &world,
        &world.root,
        json!({ "scope": [{ "repositories": ["*"], "actions": ["ecr:Get*", "ecr:Describe*"] }] }),
    )
    .await;
    let (_, both) = token(&world, &wide, scope).await;
    call(&both, "GET", "a").send().await.expect(200);
    call(&both, "GET", "b")
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
    call(&both, "DELETE", "a")
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
}

#[tokio::test]
async fn a_revoked_token_ends_at_once_and_with_it_what_was_made_with_it() {
    let world = World::new().await;
    let (id, parent) = token(&world, &world.root, json!({})).await;
    let (_, child) = token(&world, &parent, json!({})).await;
    let caller = world.plane.gate().authenticate(&bearer(&parent)).await.unwrap();
    let flow = world.plane.gate().issue(&caller, TokenScope::default()).await.unwrap();
    let flow = Auth::Bearer(flow.token.expose().to_owned());
    let other_node = plane(&world.store, &world.clock, &MasterKey::new(support::MASTER));
    for auth in [&parent, &child, &flow] {
        who(&world, auth).await.expect(200);
        assert!(other_node.gate().authenticate(&bearer(auth)).await.is_ok());
    }
    let path = format!("{TOKENS}/{id}");
    world.call(&world.root, "DELETE", &path).send().await.expect(200);
    for auth in [&parent, &child, &flow] {
        who(&world, auth).await.expect_code(401, "ExpiredTokenException");
    }
    other_node.gate().refresh().await.unwrap();
    assert!(other_node.gate().authenticate(&bearer(&parent)).await.is_err());
    world.plane.gate().refresh().await.unwrap();
    world.plane.gate().refresh().await.unwrap();
    who(&world, &parent).await.expect_code(401, "ExpiredTokenException");
    // Again: done already.
    world.call(&world.root, "DELETE", &path).send().await.expect(200);
    world
        .call(&world.root, "DELETE", &format!("{TOKENS}/{}", "x".repeat(200)))
        .send()
        .await
        .expect(400);
}

#[tokio::test]
async fn callers_revoke_their_own_tokens_and_the_administrator_any() {
    let world = World::new().await;
    let (ada, bob) = (
        world.user("ada", &["PullOnly"]).await,
        world.user("bob", &["PullOnly"]).await,
    );
    let (id, of_ada) = token(&world, &ada, json!({})).await;
    let revoke = |auth: &Auth, id: &str| world.call(auth, "DELETE", &format!("{TOKENS}/{id}"));
    revoke(&bob, &id).send().await.expect_code(403, "AccessDeniedException");
    who(&world, &of_ada).await.expect(200);
    revoke(&world.root, &id).send().await.expect(200);
    who(&world, &of_ada).await.expect(401);
    // A limited token ends itself, and nothing else.
    let (other, _) = token(&world, &ada, json!({})).await;
    let (own, limited) = token(
        &world,
        &ada,
        json!({ "scope": [{ "repositories": ["ab"], "actions": ["ecr:*"] }] }),
    )
    .await;
    revoke(&limited, &other)
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
    revoke(&limited, &own).send().await.expect(200);
    who(&world, &limited).await.expect(401);
}

#[tokio::test]
async fn a_renewable_token_lives_as_long_as_its_lease() {
    let world = World::new().await;
    let body = json!({ "renewable": true, "durationSeconds": 60 });
    let reply = world.post(TOKENS, body).await;
    assert_eq!(reply.expect(201).text("/expiresAt"), "2026-11-01T00:01:00Z");
    let (id, auth) = (reply.text("/tokenId"), Auth::Bearer(reply.text("/password")));
    let renew = |auth: &Auth, body: Value| world.call(auth, "POST", &format!("{TOKENS}/{id}/renewals")).json(&body);
    world.clock.advance_seconds(50);
    let renewed = renew(&world.root, json!({})).send().await;
    assert_eq!(
        renewed.expect(200).json(),
        json!({ "tokenId": id, "expiresAt": "2026-11-01T00:01:50Z" })
    );
    world.clock.advance_seconds(50);
    who(&world, &auth).await.expect(200);
    // Another node has not heard of the lease, and looks it up.
    let other_node = plane(&world.store, &world.clock, &MasterKey::new(support::MASTER));
    assert!(other_node.gate().authenticate(&bearer(&auth)).await.is_ok());
    let renewed = renew(&auth, json!({ "durationSeconds": 3600 })).send().await;
    assert_eq!(renewed.expect(200).text("/expiresAt"), "2026-11-01T01:01:40Z");
    // The other node remembers the old end, and finds the new one.
    world.clock.advance_seconds(60);
    assert!(other_node.gate().authenticate(&bearer(&auth)).await.is_ok());
    renew(&world.root, json!({ "durationSeconds": 59 }))
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
    world.clock.advance_seconds(3600);
    world.plane.gate().refresh().await.unwrap();
    who(&world, &auth).await.expect_code(401, "ExpiredTokenException");
    renew(&world.root, json!({}))
        .send()
        .await
        .expect_code(404, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_renewal_ends_at_twelve_hours_and_only_for_its_owner() {
    let world = World::new().await;
    let (ada, bob) = (
        world.user("ada", &["PullOnly"]).await,
        world.user("bob", &["PullOnly"]).await,
    );
    let (id, auth) = token(&world, &ada, json!({ "renewable": true })).await;
    let renew = |auth: &Auth, id: &str| world.call(auth, "POST", &format!("{TOKENS}/{id}/renewals"));
    world.clock.advance_seconds(3600);
    let renewed = renew(&ada, &id).send().await;
    assert_eq!(renewed.expect(200).text("/expiresAt"), "2026-11-01T12:00:00Z");
    renew(&bob, &id).send().await.expect_code(403, "AccessDeniedException");
    let (fixed, _) = token(&world, &ada, json!({})).await;
    renew(&ada, &fixed)
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
    // Renewing does not bring back what was revoked.
    world
        .call(&ada, "DELETE", &format!("{TOKENS}/{id}"))
        .send()
        .await
        .expect(200);
    renew(&ada, &id)
        .send()
        .await
        .expect_code(404, "ResourceNotFoundException");
    who(&world, &auth).await.expect(401);
}

#[tokio::test]
async fn a_token_never_outlives_the_one_it_was_made_with() {
    let world = World::new().await;
    let (_, short) = token(&world, &world.root, json!({ "durationSeconds": 60 })).await;
    let reply = world
        .call(&short, "POST", TOKENS)
        .json(&json!({ "renewable": true }))
        .send()
        .await;
    assert_eq!(reply.expect(201).text("/expiresAt"), "2026-11-01T00:01:00Z");
    let caller = world.plane.gate().authenticate(&bearer(&short)).await.unwrap();
    let flow = world.plane.gate().issue(&caller, TokenScope::default()).await.unwrap();
    assert_eq!(flow.expires_at.to_string(), "2026-11-01T00:01:00Z");
    // Nor can a row of them go on without end.
    let mut auth = world.root.clone();
    for _ in 0..7 {
        auth = token(&world, &auth, json!({})).await.1;
    }
    world
        .call(&auth, "POST", TOKENS)
        .send()
        .await
        .expect_code(409, "LimitExceededException");
    // The registry's own tokens do, for as long as the first of the row lives.
    let first = world
        .plane
        .gate()
        .authenticate(&bearer(&auth))
        .await
        .unwrap()
        .lineage
        .token_ids[0]
        .clone();
    let mut flow = bearer(&auth);
    for _ in 0..20 {
        let caller = world.plane.gate().authenticate(&flow).await.unwrap();
        let issued = world.plane.gate().issue(&caller, TokenScope::default()).await.unwrap();
        flow = Credentials::Bearer(issued.token);
    }
    world
        .call(&world.root, "DELETE", &format!("{TOKENS}/{first}"))
        .send()
        .await
        .expect(200);
    assert!(world.plane.gate().authenticate(&flow).await.is_err());
}

#[tokio::test]
async fn tokens_end_with_their_access_key_and_with_their_user() {
    let world = World::new().await;
    for end in ["deactivate", "delete key", "delete user"] {
        let ada = world.user("ada", &["PullOnly"]).await;
        let Auth::Basic(key, _) = &ada else {
            panic!("an access key")
        };
        let (_, auth) = token(&world, &ada, json!({})).await;
        who(&world, &auth).await.expect(200);
        let path = format!("/api/v1/users/ada/access-keys/{key}");
        let off = json!({ "status": "Inactive" });
        let done = match end {
            "deactivate" => world.call(&world.root, "PATCH", &path).json(&off).send().await,
            "delete key" => world.call(&world.root, "DELETE", &path).send().await,
            _ => world.call(&world.root, "DELETE", "/api/v1/users/ada").send().await,
        };
        done.expect(200);
        for auth in [&auth, &ada] {
            who(&world, auth).await.expect(401);
        }
        if end == "deactivate" {
            let on = json!({ "status": "Active" });
            world
                .call(&world.root, "PATCH", &path)
                .json(&on)
                .send()
                .await
                .expect(200);
            who(&world, &auth).await.expect(200);
        }
        if end != "delete user" {
            world
                .call(&world.root, "DELETE", "/api/v1/users/ada")
                .send()
                .await
                .expect(200);
        }
    }
}

#[tokio::test]
async fn another_node_notices_within_a_second_what_was_taken_away() {
    let world = World::new().await;
    let ada = world.user("ada", &["PullOnly"]).await;
    let (_, auth) = token(&world, &ada, json!({})).await;
    let other_node = plane(&world.store, &world.clock, &MasterKey::new(support::MASTER));
    assert!(other_node.gate().authenticate(&bearer(&auth)).await.is_ok());
    world
        .call(&world.root, "DELETE", "/api/v1/users/ada")
        .send()
        .await
        .expect(200);
    who(&world, &auth).await.expect(401);
    world.clock.advance_seconds(1);
    assert!(other_node.gate().authenticate(&bearer(&auth)).await.is_err());
}

#[tokio::test]
async fn nobody_gets_a_short_token_that_is_nobody() {
    let world = World::new().await;
    let issued = world
        .plane
        .gate()
        .issue(&Caller::anonymous(), TokenScope::default())
        .await
        .unwrap();
    assert_eq!((issued.expires_at.as_second() - issued.issued_at.as_second()), 300);
    let caller = world
        .plane
        .gate()
        .authenticate(&Credentials::Bearer(issued.token))
        .await
        .unwrap();
    assert!(caller.principal.is_anonymous());
}

#[tokio::test]
async fn the_last_use_of_a_key_is_written_in_batches() {
    let world = World::new().await;
    let ada = world.user("ada", &[]).await;
    world.clock.advance_seconds(3600);
    who(&world, &ada).await.expect(200);
    let last_used =
        async || world.get("/api/v1/users/ada/access-keys").await.json()["accessKeys"][0]["lastUsedAt"].clone();
    assert_eq!(last_used().await, Value::Null);
    world.plane.gate().refresh().await.unwrap();
    assert_eq!(last_used().await, "2026-11-01T01:00:00Z");
}

#[tokio::test]
async fn a_deployment_starts_with_its_own_key_only_and_makes_its_administrator_once() {
    let world = World::new().await;
    let clock: Arc<dyn Clock> = Arc::clone(&world.clock) as _;
    let account = AccountId::default();
    let again = bootstrap(&world.store, &clock, &MasterKey::new(support::MASTER), &account)
        .await
        .unwrap();
    assert!(again.is_none());
    let wrong = bootstrap(&world.store, &clock, &MasterKey::new([9; 32]), &account).await;
    assert!(matches!(wrong, Err(BootstrapError::WrongMasterKey)));
    let master = MasterKey::new(support::MASTER);
    let another = hythe_operations::create_administrator_key(&world.store, &clock, &master, &account);
    let another = another.await.unwrap();
    let auth = Auth::Basic(another.access_key_id, another.secret_access_key.expose().to_owned());
    assert_eq!(
        who(&world, &auth).await.expect(200).text("/arn"),
        "arn:aws:iam::000000000000:root"
    );
}

fn bearer(auth: &Auth) -> Credentials {
    match auth {
        Auth::Bearer(token) => Credentials::Bearer(Secret::new(token.clone())),
        Auth::Basic(user, password) => Credentials::Basic {
            user: user.clone(),
            password: Secret::new(password.clone()),
        },
        Auth::Nobody => Credentials::None,
    }
}

#[tokio::test]
async fn a_token_of_the_flow_that_would_be_too_long_says_so() {
    let world = World::new().await;
    let entry = |n| ScopeEntry {
        repositories: vec![format!("team/{}{n}", "x".repeat(200))],
        actions: vec!["ecr:BatchGetImage".into()],
        account: None,
    };
    let issue = |entries: usize| {
        let scope = TokenScope((0..entries).map(entry).collect());
        async { world.plane.gate().issue(&Caller::anonymous(), scope).await }
    };
    assert!(issue(10).await.is_ok());
    assert!(matches!(issue(100).await, Err(IssueError::TooLong)));
}

const SIGNING_KEYS: &str = "/api/v1/token-signing-keys";

/// Which key a token names.
fn key_of(auth: &Auth) -> String {
    let Auth::Bearer(text) = auth else {
        panic!("a bearer token")
    };
    text.split('.').nth(1).unwrap().to_owned()
}

async fn key_statuses(world: &World) -> Vec<(String, String)> {
    let keys = world.get(SIGNING_KEYS).await;
    let keys = keys.expect(200).json().pointer("/signingKeys").cloned().unwrap();
    let text = |key: &Value, name: &str| key.get(name).and_then(Value::as_str).unwrap().to_owned();
    keys.as_array()
        .unwrap()
        .iter()
        .map(|key| (text(key, "keyId"), text(key, "status")))
        .collect()
}

#[tokio::test]
async fn a_new_signing_key_logs_nobody_out() {
    let world = World::new().await;
    let other_node = plane(&world.store, &world.clock, &MasterKey::new(support::MASTER));
    other_node.gate().refresh().await.unwrap();
    let (_, old) = token(&world, &world.root, json!({})).await;
    let first = key_of(&old);
    assert_eq!(key_statuses(&world).await, [(first.clone(), "ACTIVE".into())]);

    let second = world.post(SIGNING_KEYS, json!({})).await.expect(201).text("/keyId");
    assert_ne!(second, first);
    world
        .post(SIGNING_KEYS, json!({}))
        .await
        .expect_code(409, "LimitExceededException");
    let expected = [(first.clone(), "ACTIVE".into()), (second.clone(), "PENDING".into())];
    assert_eq!(key_statuses(&world).await, expected);
    let (_, still_old) = token(&world, &world.root, json!({})).await;
    assert_eq!(key_of(&still_old), first, "other nodes may not know the new one yet");

    other_node.gate().refresh().await.unwrap();
    world.clock.advance_seconds(10);
    let (_, new) = token(&world, &world.root, json!({})).await;
    assert_eq!(key_of(&new), second);
    let expected = [(first.clone(), "VERIFYING".into()), (second.clone(), "ACTIVE".into())];
    assert_eq!(key_statuses(&world).await, expected);
    for auth in [&old, &still_old, &new] {
        who(&world, auth).await.expect(200);
        let Auth::Bearer(text) = auth else {
            panic!("a bearer token")
        };
        let credentials = Credentials::Bearer(Secret::new(text.clone()));
        other_node.gate().authenticate(&credentials).await.unwrap();
    }
    let keys = world.get(SIGNING_KEYS).await.json();
    let until = |at: usize| keys.pointer(&format!("/signingKeys/{at}/verifiesUntil"));
    assert_eq!(until(0), Some(&json!("2026-11-01T12:01:10Z")));
    assert_eq!(until(1), None);

    // Nobody has a token of the first key any more.
    world.clock.advance_seconds(13 * 3600);
    world.plane.gate().refresh().await.unwrap();
    assert_eq!(key_statuses(&world).await, [(second, "ACTIVE".into())]);
    let restarted = plane(&world.store, &world.clock, &MasterKey::new(support::MASTER));
    restarted.gate().refresh().await.unwrap();
    let Auth::Bearer(text) = &old else {
        panic!("a bearer token")
    };
    let credentials = Credentials::Bearer(Secret::new(text.clone()));
    let refused = restarted.gate().authenticate(&credentials).await;
    assert!(matches!(refused, Err(AuthenticationError::Rejected)), "{refused:?}");
}

#[tokio::test]
async fn signing_keys_rotate_by_themselves_and_belong_to_the_deployment() {
    let world = World::new().await;
    let clock: Arc<dyn Clock> = Arc::clone(&world.clock) as _;
    let master = MasterKey::new(support::MASTER);
    let gate = AccessGate::new(world.store.clone(), clock, &master, Region::default()).unwrap();
    let gate = gate.with_key_rotation(SignedDuration::from_hours(24));
    for (hours, count) in [(0, 1), (23, 1), (1, 2), (1, 2), (23, 2)] {
        world.clock.advance_seconds(hours * 3600);
        gate.refresh().await.unwrap();
        assert_eq!(world.store.signing_keys().await.unwrap().len(), count, "{hours}");
    }
    let ada = world.user("ada", &["FullAccess"]).await;
    for method in ["GET", "POST"] {
        world
            .call(&ada, method, SIGNING_KEYS)
            .send()
            .await
            .expect_code(403, "AccessDeniedException");
    }
}

#[tokio::test]
async fn what_is_no_id_of_a_token_is_not_taken_for_one() {
    let world = World::new().await;
    let path = format!("{TOKENS}/nonsense");
    let reply = world.call(&world.root, "DELETE", &path).send().await;
    reply.expect_code(400, "InvalidParameterException");
    let renewal = world.post(&format!("{path}/renewals"), json!({})).await;
    renewal.expect_code(400, "InvalidParameterException");
}

const CI: &str = "/api/v1/users/ci/authorization-tokens";

async fn token_of_ci(world: &World, auth: &Auth, body: Value) -> Reply {
    world.call(auth, "POST", CI).json(&body).send().await
}

/// Somebody who may make tokens of one user, and nothing else.
async fn maker(world: &World, boundary: Option<&str>) -> Auth {
    let policy = json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Action": "hythe:CreateUserToken", "Resource": "arn:aws:iam::000000000000:user/ci" } });
    let policy = json!({ "policyName": "make", "policyDocument": policy.to_string() });
    world.post("/api/v1/policies", policy).await;
    let maker = world.user("maker", &["make"]).await;
    if let Some(boundary) = boundary {
        let change = json!({ "permissionsBoundary": boundary });
        let path = "/api/v1/users/maker";
        world
            .call(&world.root, "PATCH", path)
            .json(&change)
            .send()
            .await
            .expect(200);
    }
    maker
}

#[tokio::test]
async fn a_token_for_a_user_may_what_the_user_may() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    world.user("ci", &["ReadOnly"]).await;
    let maker = maker(&world, None).await;
    let made = token_of_ci(&world, &maker, json!({ "durationSeconds": 60 })).await;
    let id = made.expect(201).text("/tokenId");
    assert_eq!(made.header("location"), format!("{CI}/{id}"));
    let bearer = Auth::Bearer(made.text("/password"));
    assert_eq!(
        who(&world, &bearer).await.text("/arn"),
        "arn:aws:iam::000000000000:user/ci"
    );
    let repository = "/api/v1/repositories/team-a%2Fweb";
    world.call(&bearer, "GET", repository).send().await.expect(200);
    let delete = world.call(&bearer, "DELETE", repository).send().await;
    delete.expect_code(403, "AccessDeniedException");
    // The maker itself may not even look.
    let look = world.call(&maker, "GET", repository).send().await;
    look.expect_code(403, "AccessDeniedException");
    // A token of the user's makes others, which are as those of the maker are.
    world.clock.advance_seconds(59);
    who(&world, &bearer).await.expect(200);
    world.clock.advance_seconds(1);
    who(&world, &bearer).await.expect_code(401, "ExpiredTokenException");

    // Of one user, and of none that is not there.
    for (user, status) in [("maker", 403), ("nobody", 403)] {
        let path = format!("/api/v1/users/{user}/authorization-tokens");
        let refused = world.call(&maker, "POST", &path).json(&json!({})).send().await;
        refused.expect(status);
    }
    let unknown = "/api/v1/users/nobody/authorization-tokens";
    let unknown = world.post(unknown, json!({})).await;
    unknown.expect_code(404, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_token_for_a_user_ends_with_whoever_made_it_and_with_the_user() {
    let world = World::new().await;
    world.user("ci", &["ReadOnly"]).await;
    let maker = maker(&world, None).await;
    let Auth::Basic(key, _) = &maker else {
        panic!("an access key")
    };
    let bearer = async |auth: &Auth| {
        let made = token_of_ci(&world, auth, json!({})).await;
        Auth::Bearer(made.expect(201).text("/password"))
    };
    let change = async |path: &str, body: Value| {
        let changed = world.call(&world.root, "PATCH", path).json(&body).send().await;
        changed.expect(200);
    };
    let token = bearer(&maker).await;
    let (_, inner) = token_from(&world, &token).await;

    // With the key that it was made with, and with the maker; what was made with it ends, too.
    let key = format!("/api/v1/users/maker/access-keys/{key}");
    change(&key, json!({ "status": "Inactive" })).await;
    for auth in [&token, &inner] {
        who(&world, auth).await.expect(401);
    }
    change(&key, json!({ "status": "Active" })).await;
    for auth in [&token, &inner] {
        who(&world, auth).await.expect(200);
    }
    for user in ["maker", "ci"] {
        let path = format!("/api/v1/users/{user}");
        change(&path, json!({ "isDisabled": true })).await;
        who(&world, &token).await.expect(401);
        change(&path, json!({ "isDisabled": false })).await;
        who(&world, &token).await.expect(200);
    }
    // Another user of the same name is another user.
    let path = "/api/v1/users/ci";
    world.call(&world.root, "DELETE", path).send().await.expect(200);
    world.clock.advance_seconds(1);
    world.user("ci", &["FullAccess"]).await;
    for auth in [&token, &inner] {
        who(&world, auth).await.expect(401);
    }
    who(&world, &bearer(&maker).await).await.expect(200);
}

async fn token_from(world: &World, auth: &Auth) -> (String, Auth) {
    token(world, auth, json!({})).await
}

#[tokio::test]
async fn nobody_gets_more_rights_by_a_token_for_a_user() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    world.user("ci", &["FullAccess"]).await;
    // What limits the credentials limits what is made with them.
    let scope = json!({ "scope": [{ "repositories": ["*"], "actions": ["hythe:CreateUserToken", "ecr:DescribeRepositories"] }] });
    let (_, limited) = token(&world, &world.root, scope).await;
    let made = token_of_ci(&world, &limited, json!({})).await;
    let made = Auth::Bearer(made.expect(201).text("/password"));
    let repository = "/api/v1/repositories/team-a%2Fweb";
    world.call(&made, "GET", repository).send().await.expect(200);
    let delete = world.call(&made, "DELETE", repository).send().await;
    delete.expect_code(403, "AccessDeniedException");
    // And ends no later.
    let (_, short) = token(&world, &world.root, json!({ "durationSeconds": 60 })).await;
    let made = token_of_ci(&world, &short, json!({ "durationSeconds": 3600 })).await;
    assert_eq!(made.text("/expiresAt"), "2026-11-01T00:01:00Z");
    // Whoever is limited by a boundary makes none for somebody who is not.
    let bounded = maker(&world, Some("FullAccess")).await;
    let refused = token_of_ci(&world, &bounded, json!({})).await;
    refused.expect_code(403, "AccessDeniedException");
    assert!(refused.text("/detail").contains("boundary"), "{:?}", refused.body);
}

#[tokio::test]
async fn whoever_may_make_tokens_of_a_user_extends_and_revokes_them() {
    let world = World::new().await;
    world.user("ci", &[]).await;
    let maker = maker(&world, None).await;
    let lease = json!({ "durationSeconds": 60, "renewable": true });
    let made = token_of_ci(&world, &maker, lease).await;
    let (id, bearer) = (made.text("/tokenId"), Auth::Bearer(made.text("/password")));
    world.clock.advance_seconds(50);
    // Not as one of the maker's own.
    let renewals = |base: &str| format!("{base}/{id}/renewals");
    let own = world
        .call(&maker, "POST", &renewals(TOKENS))
        .json(&json!({}))
        .send()
        .await;
    own.expect_code(403, "AccessDeniedException");
    let renewed = world.call(&maker, "POST", &renewals(CI)).json(&json!({})).send().await;
    assert_eq!(renewed.expect(200).text("/expiresAt"), "2026-11-01T00:01:50Z");
    world.clock.advance_seconds(50);
    who(&world, &bearer).await.expect(200);
    // Nor as one of somebody else's.
    let (foreign, _) = token(&world, &world.root, json!({ "renewable": true })).await;
    for (method, path) in [
        ("POST", format!("{CI}/{foreign}/renewals")),
        ("DELETE", format!("{CI}/{foreign}")),
    ] {
        let call = world.call(&world.root, method, &path);
        let refused = if method == "POST" {
            call.json(&json!({})).send().await
        } else {
            call.send().await
        };
        refused.expect_code(403, "AccessDeniedException");
    }
    for _ in 0..2 {
        let revoked = world.call(&maker, "DELETE", &format!("{CI}/{id}")).send().await;
        assert_eq!(revoked.expect(200).text("/tokenId"), id);
    }
    who(&world, &bearer).await.expect(401);
}
