// SPDX-License-Identifier: Apache-2.0
//! Every operation as nobody, as a stranger and as the owner, by construction from the table.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

#[path = "access/matrix.rs"]
mod matrix;
mod support;

use axum::body::Body;
use hythe_rest::{Access, MAX_CONCURRENT_REQUESTS, OperationInfo, operations};
use serde_json::{Value, json};
use support::{Auth, World, operation};
use tower::ServiceExt as _;

/// Gives nobody anything that is not the owner's already.
const STATEMENT: &str = r#"{ "Sid": "Share", "Effect": "Allow", "Principal": { "AWS": "000000000000" },
    "Action": "ecr:BatchGetImage", "Resource": "*" }"#;
const RESOURCE_POLICY: &str = r#"{ "Version": "2012-10-17", "Statement": { "Sid": "Share", "Effect": "Allow",
    "Principal": { "AWS": "000000000000" }, "Action": "ecr:BatchGetImage", "Resource": "*" } }"#;
const IDENTITY_POLICY: &str = r#"{ "Version": "2012-10-17", "Statement": {
    "Effect": "Allow", "Action": "ecr:BatchGetImage", "Resource": "*" } }"#;

const LIFECYCLE_POLICY: &str = r#"{ "rules": [{ "rulePriority": 1, "selection": { "tagStatus": "any",
    "countType": "imageCountMoreThan", "countNumber": 9 }, "action": { "type": "expire" } }] }"#;

/// Whatever an example may be about, but images, users and tokens.
async fn furnish(world: &World) {
    let put = async |path: &str, body: Value| {
        world
            .call(&world.root, "PUT", path)
            .json(&body)
            .send()
            .await
            .expect(200);
    };
    put(
        "/api/v1/repositories/team-a%2Fweb/policy",
        json!({ "policyText": RESOURCE_POLICY }),
    )
    .await;
    put("/api/v1/registry/policy", json!({ "policyText": RESOURCE_POLICY })).await;
    let policy = json!({ "policyName": "deploy", "policyDocument": IDENTITY_POLICY });
    world.post("/api/v1/policies", policy).await.expect(201);
}

/// A request that would be good for the owner, for each row of the table.
fn example(info: &OperationInfo, digest: &str, key: &str, token: &str) -> (String, Option<Value>) {
    let is_of_users = info.path.starts_with("/api/v1/users");
    let is_of_policies = info.path.starts_with("/api/v1/policies");
    let policy = if is_of_policies { "deploy" } else { "ReadOnly" };
    let path = info
        .path
        .replace("{repositoryName}", "team-a%2Fweb")
        .replace("{imageDigest}", digest)
        .replace("{imageTag}", "v1")
        .replace("{tokenId}", if is_of_users { key } else { token })
        .replace("{userName}", "ada")
        .replace("{sid}", "Share")
        .replace("{principalArn}", &EXCLUDED.replace(':', "%3A").replace('/', "%2F"))
        .replace("{groupName}", "builders")
        .replace("{roleName}", "deployer")
        .replace("{accountId}", OTHER_ACCOUNT)
        .replace("{policyName}", policy)
        .replace("{providerName}", "ci.example")
        .replace("{prefix}", "team-a")
        .replace("{destinationName}", "eu-west-1")
        .replace("{ruleName}", "nightly")
        .replace("{virtualRepositoryName}", "virtual")
        .replace("{runId}", key)
        .replace("{accessKeyId}", key)
        .replace("{backfillId}", key)
        .replace("{mirrorRunId}", key)
        .replace("{scrubId}", key);
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": "000000000000" } }],
    })
    .to_string();
    let tags = || json!({ "tags": [{ "Key": "a", "Value": "b" }] });
    let body = match info.name {
        "CreateRepository" => json!({ "repositoryName": "new", "tags": [{ "Key": "a", "Value": "b" }] }),
        "UpdateRepository" => json!({ "imageTagMutability": "MUTABLE", "imageScanningConfiguration": {} }),
        "ReplaceResourceTags" | "AddResourceTags" => tags(),
        "RemoveResourceTags" => return (format!("{path}?tagKeys=a"), None),
        "UpdateImageStorageClass" => json!({ "targetStorageClass": "STANDARD" }),
        "RegisterPullTimeUpdateExclusion" => json!({ "principalArn": "arn:aws:iam::000000000000:role/new" }),
        "PutTag" => json!({ "imageDigest": digest }),
        "CreateAuthorizationToken"
        | "CreateUserAuthorizationToken"
        | "RenewAuthorizationToken"
        | "RenewUserAuthorizationToken"
        | "RestoreImage"
        | "RollBackTag"
        | "StartLifecyclePolicyPreview"
        | "StartScrub"
        | "VerifyAuditEvents" => json!({}),
        "SetRepositoryPolicy" | "PutRegistryPolicy" => json!({ "policyText": RESOURCE_POLICY }),
        "PutRegistryPolicyStatement" => json!({ "statement": STATEMENT }),
        "CreatePolicy" => json!({ "policyName": "new", "policyDocument": IDENTITY_POLICY }),
        "UpdatePolicy" => json!({ "policyDocument": IDENTITY_POLICY }),
        "SimulatePolicy" => json!({ "actions": ["ecr:BatchGetImage"] }),
        "AssumeRole" => json!({ "roleSessionName": "run-7" }),
        "CreateWebIdentitySession" => json!({
            "roleArn": "arn:aws:iam::000000000000:role/ci", "roleSessionName": "run", "webIdentityToken": "x.y.z",
        }),
        "CreateIdentityProvider" => json!({ "url": "https://new.example", "clientIdList": ["hythe"] }),
        "UpdateIdentityProvider" => json!({ "clientIdList": ["other"] }),
        "CreateUser" => json!({
            "userName": "bob", "policies": ["ReadOnly"], "permissionsBoundary": "FullAccess",
            "resourceTags": [{ "Key": "a", "Value": "b" }],
        }),
        "UpdateUser" => json!({
            "policies": [], "permissionsBoundary": null, "isDisabled": false, "resourceTags": [{ "Key": "a", "Value": "b" }],
        }),
        "CreateGroup" => json!({ "groupName": "new", "policies": ["ReadOnly"] }),
        "UpdateGroup" => json!({ "description": "x", "policies": [] }),
        "CreateRole" => json!({
            "roleName": "new", "assumeRolePolicyDocument": trust, "policies": ["ReadOnly"],
            "permissionsBoundary": "FullAccess", "resourceTags": [{ "Key": "a", "Value": "b" }],
        }),
        "UpdateRole" => json!({
            "description": "x", "assumeRolePolicyDocument": trust, "policies": [], "permissionsBoundary": null,
            "resourceTags": [{ "Key": "a", "Value": "b" }],
        }),
        "CreateAccount" => json!({ "accountName": "new" }),
        "UpdateAccount" => json!({ "accountName": "new", "status": "CLOSED" }),
        "UpdateAccessKey" => json!({ "status": "Active" }),
        "BatchDeleteImage" => json!({ "imageIds": [{ "imageDigest": digest }] }),
        "PutRegistrySettings" => json!({ "deletedImageRetentionDays": 30 }),
        "PutLifecyclePolicy" => json!({ "lifecyclePolicyText": LIFECYCLE_POLICY }),
        "CreateRepositoryCreationTemplate" => json!({
            "prefix": "new", "appliedFor": ["CREATE_ON_PUSH"], "resourceTags": [{ "Key": "a", "Value": "b" }],
            "repositoryPolicy": RESOURCE_POLICY, "lifecyclePolicy": LIFECYCLE_POLICY,
        }),
        "UpdateRepositoryCreationTemplate" => json!({
            "resourceTags": [{ "Key": "a", "Value": "b" }], "repositoryPolicy": RESOURCE_POLICY,
            "lifecyclePolicy": LIFECYCLE_POLICY,
        }),
        "CreateReplicationDestination" => json!({
            "destinationName": "us-east-1", "kind": "OCI", "endpoint": "registry.example.com",
            "credential": { "username": "u", "password": "p" },
        }),
        "UpdateReplicationDestination" => json!({ "description": "x" }),
        "PutReplicationConfiguration" => json!({ "replicationConfiguration": { "rules": [replication_rule()] } }),
        "StartReplicationBackfill" => json!({ "destination": { "region": "eu-west-1" } }),
        "PutReplicationRule" => json!({ "rule": replication_rule() }),
        "CreateVirtualRepository" => {
            json!({ "virtualRepositoryName": "new", "sources": [{ "repositoryPrefix": "team-a" }] })
        }
        "UpdateVirtualRepository" => json!({ "description": "x", "sources": [{ "repositoryPrefix": "team-b" }] }),
        "CreatePullThroughCacheRule" => json!({
            "ecrRepositoryPrefix": "new", "upstreamRegistryUrl": "registry.example.com",
            "credential": { "username": "u", "accessToken": "t" },
        }),
        "UpdatePullThroughCacheRule" => json!({ "tagFreshnessSeconds": 60 }),
        "RefreshPullThroughCache" => json!({ "imageTag": "v1" }),
        "PutAuditSettings" => json!({ "retentionDays": 30 }),
        "DeleteRepository" => return (format!("{path}?force=true"), None),
        _ => return (path, None),
    };
    (path, Some(body))
}

fn replication_rule() -> Value {
    json!({ "destinations": [{ "region": "eu-west-1", "registryId": "000000000000" }] })
}

/// Operations that are about an image that was deleted.
const OF_DELETED_IMAGES: [&str; 3] = ["PurgeImage", "RestoreImage", "RollBackTag"];
const OTHER_ACCOUNT: &str = "222222222222";
/// Somebody whose pulls do not count.
const EXCLUDED: &str = "arn:aws:iam::000000000000:role/scanner";

/// What the requests of the rows about deleted images, groups, roles, accounts, lifecycle policies, collections and scrubs
/// need; the id of a key of the other account's administrator, of a run or of a scrub comes back where a row asks for one.
async fn prepare(world: &World, info: &OperationInfo, digest: &str) -> Option<String> {
    if OF_DELETED_IMAGES.contains(&info.name) {
        let image = format!("/api/v1/repositories/team-a%2Fweb/images/{digest}");
        world.call(&world.root, "DELETE", &image).send().await.expect(200);
    }
    if info.path.contains("{principalArn}") {
        let exclusion = json!({ "principalArn": EXCLUDED });
        let path = "/api/v1/registry/pull-time-exclusions";
        world.post(path, exclusion).await.expect(201);
    }
    if info.path.contains("{groupName}") {
        world
            .post("/api/v1/groups", json!({ "groupName": "builders" }))
            .await
            .expect(201);
    }
    if info.path.contains("{roleName}") {
        let trust = r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"000000000000"}}}"#;
        let role = json!({ "roleName": "deployer", "assumeRolePolicyDocument": trust });
        world.post("/api/v1/roles", role).await.expect(201);
    }
    if info.path.contains("/pull-through-cache-rules/") || info.name == "RefreshPullThroughCache" {
        let rule = json!({
            "ecrRepositoryPrefix": "team-a", "upstreamRegistryUrl": "registry.example.com",
            "mirror": { "intervalMinutes": 60, "repositories": ["library/alpine"] },
        });
        world.post("/api/v1/pull-through-cache-rules", rule).await.expect(201);
        if info.path.ends_with("{mirrorRunId}") {
            let path = "/api/v1/pull-through-cache-rules/team-a/mirror-runs";
            let run = world.call(&world.root, "POST", path).send().await;
            return Some(run.expect(201).text("/mirrorRunId"));
        }
    } else if info.path.contains("{prefix}") {
        let template = json!({ "prefix": "team-a", "appliedFor": ["CREATE_ON_PUSH"] });
        world
            .post("/api/v1/repository-creation-templates", template)
            .await
            .expect(201);
    }
    if info.path.contains("/replication") {
        let destination = json!({ "destinationName": "eu-west-1", "kind": "HYTHE", "endpoint": "http://127.0.0.1:9" });
        let made = world.post("/api/v1/replication-destinations", destination).await;
        made.expect(201);
    }
    if info.path.contains("{ruleName}") || info.path.contains("/backfills") {
        let rule = json!({ "rule": replication_rule() });
        let path = "/api/v1/registry/replication/rules/nightly";
        world
            .call(&world.root, "PUT", path)
            .json(&rule)
            .send()
            .await
            .expect(200);
    }
    if info.path.contains("{backfillId}") {
        let backfill = json!({ "destination": { "region": "eu-west-1" } });
        let started = world.post("/api/v1/registry/replication/backfills", backfill).await;
        return Some(started.expect(201).text("/replicationBackfillId"));
    }
    if info.path.contains("{virtualRepositoryName}") {
        let body = json!({ "virtualRepositoryName": "virtual", "sources": [{ "repositoryPrefix": "team-a" }] });
        world.post("/api/v1/virtual-repositories", body).await.expect(201);
    }
    if info.path.contains("{accountId}") {
        let account = json!({ "accountId": OTHER_ACCOUNT, "accountName": "other" });
        world.post("/api/v1/accounts", account).await.expect(201);
    }
    if info.path.contains("/lifecycle-policy") {
        let path = "/api/v1/repositories/team-a%2Fweb/lifecycle-policy";
        let policy = json!({ "lifecyclePolicyText": LIFECYCLE_POLICY });
        world
            .call(&world.root, "PUT", path)
            .json(&policy)
            .send()
            .await
            .expect(200);
        if info.name == "GetLifecyclePolicyPreview" {
            world.post(&format!("{path}/preview"), json!({})).await.expect(202);
        }
        if info.path.ends_with("{runId}") {
            let run = world.call(&world.root, "POST", &format!("{path}/runs")).send().await;
            return Some(run.expect(202).text("/runId"));
        }
    }
    if info.path.starts_with("/api/v1/users") && info.path.contains("{tokenId}") {
        let made = world
            .post("/api/v1/users/ada/authorization-tokens", json!({ "renewable": true }))
            .await;
        return Some(made.expect(201).text("/tokenId"));
    }
    if info.path.contains("{scrubId}") {
        let scrub = world.post("/api/v1/scrubs", json!({})).await;
        // As collections are.
        return (scrub.status == 201).then(|| scrub.text("/scrubId"));
    }
    if info.path.ends_with("/administrator-keys/{accessKeyId}") {
        let path = format!("/api/v1/accounts/{OTHER_ACCOUNT}/administrator-keys");
        let key = world.call(&world.root, "POST", &path).send().await;
        return Some(key.expect(201).text("/accessKeyId"));
    }
    if info.path == "/api/v1/garbage-collection/runs/{runId}" {
        let run = world.call(&world.root, "POST", "/api/v1/garbage-collection/runs");
        let run = run.send().await;
        // Of the deployment's default account only.
        return (run.status == 201).then(|| run.text("/runId"));
    }
    None
}

/// The path of an example, about things that are not there.
fn of_absent(path: &str) -> String {
    path.replace("team-a%2Fweb", "absent")
        .replace("/ada", "/nobody")
        .replace("/ci.example", "/no.example")
        .replace("/builders", "/nobody")
        .replace("/deployer", "/nobody")
        .replace("templates/team-a", "templates/absent")
        .replace("/eu-west-1", "/nowhere")
        .replace("/nightly", "/never")
        .replace("repositories/virtual", "repositories/absent")
        .replace(OTHER_ACCOUNT, "333333333333")
}

/// An answer, without the names by which what is there and what is not differ.
fn without_names(reply: &support::Reply) -> (u16, String) {
    let text = String::from_utf8_lossy(&reply.body).replace("team-a/web", "absent");
    let text = text.replace("/builders", "/nobody").replace("/deployer", "/nobody");
    let text = text.replace("/ci.example", "/no.example");
    let text = text.replace("templates/team-a", "templates/absent");
    let text = text.replace("/eu-west-1", "/nowhere").replace("/nightly", "/never");
    let text = text.replace("repositories/virtual", "repositories/absent");
    (
        reply.status,
        text.replace("/ada", "/nobody").replace(OTHER_ACCOUNT, "333333333333"),
    )
}

async fn send(world: &World, auth: &Auth, info: &OperationInfo, request: &(String, Option<Value>)) -> support::Reply {
    let call = world.call(auth, info.method.as_str(), &request.0);
    match &request.1 {
        Some(body) => call.json(body).send().await,
        None => call.send().await,
    }
}

#[tokio::test]
async fn every_operation_answers_nobody_strangers_and_the_owner_as_its_row_says() {
    for info in operations() {
        // A world for each row, as the owner's request may change it.
        let world = World::new().await;
        let path = world.repository("team-a/web").await;
        furnish(&world).await;
        let digest = world.image(&path, "one", &["v1"]).await.to_string();
        let ada = world.user("ada", &["FullAccess"]).await;
        let stranger = world.user("eve", &[]).await;
        let Auth::Basic(key, _) = &ada else {
            panic!("an access key")
        };
        let token = world
            .post("/api/v1/authorization-tokens", json!({ "renewable": true }))
            .await
            .text("/tokenId");
        world.identity_provider("https://ci.example").await;
        let other_key = prepare(&world, info, &digest).await;
        let request = example(info, &digest, other_key.as_deref().unwrap_or(key), &token);
        let absent = (of_absent(&request.0), request.1.clone());
        for (auth, is_known) in [(Auth::Nobody, false), (stranger, true)] {
            let (here, there) = (
                send(&world, &auth, info, &request).await,
                send(&world, &auth, info, &absent).await,
            );
            let name = info.name;
            match info.access {
                Access::Open => assert_eq!(here.status, 200, "{name}"),
                Access::Proof => {
                    here.expect_code(400, "InvalidIdentityTokenException");
                }
                _ if !is_known => {
                    here.expect_code(401, "MissingAuthenticationTokenException");
                }
                Access::Filtered(_) => assert_eq!(here.expect(200).json(), json!({ "repositories": [] }), "{name}"),
                Access::Authenticated if name == "RevokeAuthorizationToken" => {
                    here.expect_code(403, "AccessDeniedException");
                }
                Access::Authenticated => assert_eq!(here.status, 200, "{name}"),
                Access::Actions(actions) => {
                    here.expect_code(403, "AccessDeniedException");
                    let detail = here.text("/detail");
                    let names =
                        |action: &hythe_access::Action| detail.contains(&format!("perform: {action} on resource"));
                    assert!(actions.iter().any(names), "{name}: {detail}");
                    assert!(
                        detail.starts_with("User: arn:aws:iam::000000000000:user/eve is not authorized"),
                        "{detail}"
                    );
                }
            }
            // What is there and what is not look the same to those who may not know.
            assert_eq!(without_names(&here), without_names(&there), "{name}");
        }
        if info.access == Access::Proof {
            continue; // the end-to-end tests of federation have proofs
        }
        let owner = send(&world, &world.root, info, &request).await;
        assert_eq!(
            owner.status,
            info.answer.status.as_u16(),
            "{}: {:?}",
            info.name,
            owner.body
        );
        // The body of an answer is what the document says, and unknown parameters are refused everywhere.
        let odd = format!(
            "{}{}bogus=1",
            request.0,
            if request.0.contains('?') { '&' } else { '?' }
        );
        if info.access != Access::Open {
            send(&world, &world.root, info, &(odd, request.1))
                .await
                .expect_code(400, "InvalidParameterException");
        }
    }
}

#[tokio::test]
async fn every_action_of_a_row_is_asked_for() {
    // A scope that lacks one of the actions is refused for just that one.
    for info in operations() {
        let Access::Actions(actions) = info.access else {
            continue;
        };
        for lacking in actions {
            let world = World::new().await;
            let path = world.repository("team-a/web").await;
            furnish(&world).await;
            let digest = world.image(&path, "one", &["v1"]).await.to_string();
            let Auth::Basic(key, _) = world.user("ada", &[]).await else {
                panic!("an access key")
            };
            let other_key = prepare(&world, info, &digest).await;
            let key = other_key.unwrap_or(key);
            let renewable = world
                .post("/api/v1/authorization-tokens", json!({ "renewable": true }))
                .await
                .text("/tokenId");
            let others: Vec<&str> = hythe_access::Action::ALL
                .iter()
                .filter(|action| *action != lacking)
                .map(|action| action.as_str())
                .collect();
            let scope = json!({ "scope": [{ "repositories": ["*"], "actions": others }] });
            let token = world
                .post("/api/v1/authorization-tokens", scope)
                .await
                .text("/password");
            let reply = send(
                &world,
                &Auth::Bearer(token),
                info,
                &example(info, &digest, &key, &renewable),
            )
            .await;
            reply.expect_code(403, "AccessDeniedException");
            let expected = format!("because no session policy allows the {lacking} action");
            assert!(
                reply.text("/detail").ends_with(&expected),
                "{}: {}",
                info.name,
                reply.text("/detail")
            );
        }
    }
}

#[tokio::test]
async fn users_may_what_their_policies_say() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let reader = world.user("reader", &["ReadOnly"]).await;
    let power = world.user("power", &["PowerUser"]).await;
    let full = world.user("full", &["FullAccess"]).await;
    let create = |auth: &Auth, name: &str| {
        world
            .call(auth, "POST", "/api/v1/repositories")
            .json(&json!({ "repositoryName": name }))
    };
    world
        .call(&reader, "GET", "/api/v1/repositories/team-a%2Fweb")
        .send()
        .await
        .expect(200);
    assert_eq!(
        world.call(&reader, "GET", "/api/v1/repositories").send().await.json()["repositories"][0]["repositoryName"],
        "team-a/web"
    );
    create(&reader, "ab")
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
    create(&power, "ab")
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
    create(&full, "ab").send().await.expect(201);
    world
        .call(&full, "GET", "/api/v1/users")
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
    // A right that is taken away is gone with the next request.
    let none = json!({ "policies": [] });
    world
        .call(&world.root, "PATCH", "/api/v1/users/full")
        .json(&none)
        .send()
        .await
        .expect(200);
    create(&full, "cd")
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
}

#[tokio::test]
async fn another_account_is_closed() {
    let world = World::new().await;
    let there = "registryId=111111111111";
    world
        .get(&format!("/api/v1/repositories/web?{there}"))
        .await
        .expect_code(403, "AccessDeniedException");
    world
        .get(&format!("/api/v1/registry?{there}"))
        .await
        .expect_code(403, "AccessDeniedException");
    let create = json!({ "repositoryName": "web" });
    world
        .post(&format!("/api/v1/repositories?{there}"), create.clone())
        .await
        .expect_code(403, "AccessDeniedException");
    world
        .post(&format!("/api/v1/users?{there}"), json!({ "userName": "ada" }))
        .await
        .expect_code(403, "AccessDeniedException");
    assert_eq!(
        world.get(&format!("/api/v1/repositories?{there}")).await.json(),
        json!({ "repositories": [] })
    );
    world
        .post("/api/v1/repositories?registryId=000000000000", create)
        .await
        .expect(201);
}

#[tokio::test]
async fn headers_that_are_no_credentials_are_refused() {
    let world = World::new().await;
    let call = |value: &str| {
        world
            .call(&Auth::Nobody, "GET", "/api/v1/registry")
            .header("authorization", value)
    };
    for value in [
        "",
        "Basic",
        "Basic !",
        "Basic eA==",
        "Digest x",
        "Bearer",
        "Bearer x",
        "Basic YTpi",
        "Basic //8=",
    ] {
        call(value).send().await.expect_code(401, "UnrecognizedClientException");
    }
    let Auth::Basic(id, _) = &world.root else {
        panic!("an access key")
    };
    let wrong = Auth::Basic(id.clone(), "x".repeat(40));
    world
        .call(&wrong, "GET", "/api/v1/registry")
        .send()
        .await
        .expect_code(401, "UnrecognizedClientException");
    let twice = call("Bearer x").header("authorization", "Bearer y");
    twice.send().await.expect_code(401, "UnrecognizedClientException");
}

#[test]
fn rows_are_told_apart() {
    let mut names: Vec<_> = operations().iter().map(|info| info.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), operations().len());
    for info in operations() {
        let found = operation(info.method.as_str(), info.path).unwrap();
        assert_eq!(found.name, info.name);
    }
}

#[tokio::test]
async fn more_requests_at_once_than_there_are_places_get_503() {
    let world = World::new().await;
    let stuck = || {
        let body = Body::from_stream(futures::stream::pending::<std::io::Result<bytes::Bytes>>());
        let request = http::Request::post("/api/v1/repositories").header("content-type", "application/json");
        Box::pin(world.router.clone().oneshot(request.body(body).unwrap()))
    };
    let mut held: Vec<_> = (0..MAX_CONCURRENT_REQUESTS).map(|_| stuck()).collect();
    for request in &mut held {
        assert!(futures::poll!(request).is_pending());
    }
    let refused = world.get("/api/v1/registry").await;
    refused.expect_code(503, hythe_wire::code::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "1");
    held.clear();
    world.get("/api/v1/registry").await.expect(200);
}
