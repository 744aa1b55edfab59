// SPDX-License-Identifier: Apache-2.0
//! Every request leaves one record that says who did what, and no secret; every change a line in the log, too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::{Auth, World};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn audit(&self) -> Vec<Value> {
        let lines = self.text();
        let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events
            .filter(|event| event["target"] == "hythe::audit")
            .map(|event| event["fields"].clone())
            .collect()
    }
}

#[tokio::test]
async fn changes_are_recorded_and_secrets_are_not() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new().await;
    world.repository("team-a/web").await;
    let eve = world.user("eve", &[]).await;
    let reply = world.post("/api/v1/authorization-tokens", json!({})).await;
    let (id, password) = (reply.text("/tokenId"), reply.text("/password"));
    let path = "/api/v1/repositories/team-a%2Fweb";
    world.call(&eve, "DELETE", path).send().await.expect(403);
    world
        .call(&Auth::Bearer(password.clone()), "DELETE", path)
        .send()
        .await
        .expect(200);
    world.get("/api/v1/repositories").await.expect(200);

    let events = log.audit();
    let operations: Vec<&str> = events
        .iter()
        .map(|event| event["operation"].as_str().unwrap())
        .collect();
    let expected = [
        "CreateRepository",
        "CreateUser",
        "CreateAccessKey",
        "CreateAuthorizationToken",
        "DeleteRepository",
        "DeleteRepository",
    ];
    assert_eq!(operations, expected, "changes only, one event each");
    let Auth::Basic(root_key, root_secret) = &world.root else {
        panic!("an access key")
    };
    let Auth::Basic(eve_key, eve_secret) = &eve else {
        panic!("an access key")
    };
    let [.., token, refused, done] = events.as_slice() else {
        panic!("six events")
    };
    assert_eq!(token["resource"], format!("authorization-token/{id}"));
    assert_eq!(refused["user.arn"], "arn:aws:iam::000000000000:user/eve");
    assert_eq!(refused["user.access_key_id"], eve_key.as_str());
    assert_eq!(
        (&refused["http.status"], &refused["error.code"]),
        (&json!(403), &json!("AccessDeniedException"))
    );
    assert_eq!(done["resource"], "arn:aws:ecr:local:000000000000:repository/team-a/web");
    assert_eq!(
        done["user.access_key_id"],
        root_key.as_str(),
        "a token leads back to its key"
    );
    assert_eq!(
        (&done["http.status"], &done["request.id"]),
        (&json!(200), &json!("test"))
    );
    for secret in [root_secret, eve_secret, &password] {
        assert!(!log.text().contains(secret.as_str()), "a secret is in the log");
    }
}

/// All records, oldest first, as the administrator of the deployment sees them.
async fn records(world: &World) -> Vec<Value> {
    let path = "/api/v1/audit-events?maxResults=1000&allAccounts=true";
    let mut found = world.get(path).await.expect(200).json()["auditEvents"]
        .as_array()
        .unwrap()
        .clone();
    found.reverse();
    found
}

fn short(record: &Value) -> (&str, &str, &str, &str) {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    (
        text("/eventName"),
        text("/userIdentity/type"),
        text("/decision/effect"),
        text("/errorCode"),
    )
}

#[tokio::test]
async fn every_request_has_a_record() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let eve = world.user("eve", &[]).await;
    let path = "/api/v1/repositories/team-a%2Fweb";
    world.clock.advance_seconds(1);
    world.call(&eve, "DELETE", path).send().await.expect(403);
    world.call(&Auth::Nobody, "GET", path).send().await.expect(401);
    let wrong = Auth::Basic("HYTHEAAAAAAAAAAAAAAA".into(), "wrong".into());
    world.call(&wrong, "GET", path).send().await.expect(401);
    world.get("/api/v1/nothing").await.expect(404);
    world.clock.advance_seconds(1);
    world.call(&world.root, "DELETE", path).send().await.expect(200);

    let found = records(&world).await;
    let mut seen: Vec<_> = found.iter().map(short).collect();
    let (first, rest) = seen.split_at_mut(3);
    first.sort_unstable();
    let ok = |event| (event, "Root", "Allow", "-");
    assert_eq!(first, [ok("CreateAccessKey"), ok("CreateRepository"), ok("CreateUser")]);
    let (last, refused) = rest.split_last_mut().unwrap();
    refused.sort_unstable();
    assert_eq!(
        refused,
        [
            ("DeleteRepository", "IAMUser", "Deny", "AccessDeniedException"),
            (
                "DescribeRepositories",
                "Anonymous",
                "Deny",
                "MissingAuthenticationTokenException"
            ),
            (
                "DescribeRepositories",
                "Unknown",
                "NotAsked",
                "UnrecognizedClientException"
            ),
            ("Unknown", "Unknown", "NotAsked", "ResourceNotFoundException"),
        ]
    );
    assert_eq!(*last, ok("DeleteRepository"));

    let denied = found
        .iter()
        .find(|record| record["userIdentity"]["userName"] == "eve")
        .unwrap();
    let reason = denied["errorMessage"].as_str().unwrap();
    assert!(
        reason.contains("is not authorized to perform: ecr:DeleteRepository"),
        "{reason}"
    );
    assert_eq!(denied["requestID"], "test");
    assert_eq!(
        denied["resources"][0]["ARN"],
        "arn:aws:ecr:local:000000000000:repository/team-a/web"
    );
    assert_eq!(denied["requestParameters"]["repositoryName"], "team-a/web");
    let Auth::Basic(key, secret) = &eve else {
        panic!("an access key")
    };
    assert_eq!(denied["userIdentity"]["accessKeyId"], key.as_str());
    let text = serde_json::to_string(&found).unwrap();
    let Auth::Basic(_, root_secret) = &world.root else {
        panic!("an access key")
    };
    assert!(
        !text.contains(secret.as_str()) && !text.contains(root_secret.as_str()),
        "a secret is in the log"
    );

    // The typed form loses nothing, or a client that passes records on would break their hashes.
    for record in &found {
        let typed: hythe_wire::AuditEvent = serde_json::from_value(record.clone()).unwrap();
        assert_eq!(serde_json::to_string(&typed).unwrap(), record.to_string());
    }
}

#[tokio::test]
async fn an_account_sees_its_own_and_the_chain_is_the_deployments() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let reader = world.user("ada", &["ReadOnly"]).await;
    world
        .call(&reader, "GET", "/api/v1/audit-events")
        .send()
        .await
        .expect(403);
    let of = |query: &str| format!("/api/v1/audit-events?{query}");
    let count = async |query: &str| {
        world.get(&of(query)).await.expect(200).json()["auditEvents"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count("eventName=CreateRepository").await, 1);
    assert_eq!(count("principal=ada").await, 1);
    assert_eq!(count("errorCode=AccessDeniedException&principal=ada").await, 1);
    assert_eq!(
        count("repository=team-a%2Fweb&startTime=2026-11-01T00:00:00Z&endTime=2026-11-01T00:00:01Z").await,
        1
    );
    for bad in [
        "startTime=soon",
        "digest=x",
        "repository=X",
        "nextToken=x",
        "maxResults=0",
        "allAccounts=true&repository=team-a%2Fweb",
    ] {
        world.get(&of(bad)).await.expect_code(400, "InvalidParameterException");
    }
    // A token is good for the question that it was made for.
    let page = world.get(&of("maxResults=1")).await.json();
    let token = page["nextToken"].as_str().unwrap();
    world
        .get(&of(&format!("maxResults=1&nextToken={token}")))
        .await
        .expect(200);
    world
        .get(&of(&format!("principal=ada&nextToken={token}")))
        .await
        .expect_code(400, "InvalidParameterException");

    let tail = world.get(&of("afterSequence=0&maxResults=2")).await.json();
    assert_eq!((&tail["lastSequence"], &tail["hasMore"]), (&json!(2), &json!(true)));
    assert_eq!(tail["auditEvents"][1]["integrity"]["sequence"], 2);

    let verified = world
        .post("/api/v1/audit-verifications", json!({}))
        .await
        .expect(200)
        .json();
    assert_eq!(verified["isComplete"], true);
    let noted = verified["through"].clone();
    let expected = |position: &Value| json!({ "expected": position });
    let again = world
        .post("/api/v1/audit-verifications", expected(&noted))
        .await
        .expect(200)
        .json();
    assert_eq!(again["isComplete"], true);
    let mut other = noted;
    other["hash"] = "0".repeat(64).into();
    let found = world
        .post("/api/v1/audit-verifications", expected(&other))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&found["isComplete"], &found["finding"]["sequence"]),
        (&json!(false), &other["sequence"])
    );
}

#[tokio::test]
async fn the_record_of_a_change_has_its_answer_and_what_allowed_it() {
    let world = World::new().await;
    let ada = world.user("ada", &["FullAccess"]).await;
    let body = json!({ "repositoryName": "team-a/web" });
    let made = world
        .call(&ada, "POST", "/api/v1/repositories")
        .json(&body)
        .send()
        .await;
    let made = made.expect(201).json();
    let newest = async |query: &str| {
        let page = world.get(&format!("/api/v1/audit-events?{query}")).await;
        page.expect(200).json()["auditEvents"][0].clone()
    };
    let record = newest("eventName=CreateRepository").await;
    assert_eq!(
        (
            &record["httpStatus"],
            &record["readOnly"],
            &record["decision"]["effect"]
        ),
        (&json!(201), &json!(false), &json!("Allow"))
    );
    for member in ["repositoryArn", "repositoryUri", "createdAt", "imageTagMutability"] {
        assert_eq!(record["responseElements"][member], made[member], "{member}");
    }
    let statement = record["decision"]["statement"].as_str().unwrap();
    assert!(statement.contains("FullAccess"), "{statement}");

    // What is secret in an answer is not in the record, and administrators need no statement.
    // She has a key from the same instant, and what is of one instant has no order.
    world.clock.advance_seconds(1);
    let keys = "/api/v1/users/ada/access-keys";
    let key = world.call(&world.root, "POST", keys).send().await;
    let record = newest("eventName=CreateAccessKey").await;
    assert_eq!(record["responseElements"]["accessKeyId"], key.text("/accessKeyId"));
    assert_eq!(record["httpStatus"], 201);
    assert!(record["decision"].get("statement").is_none());
    assert!(!record.to_string().contains(&key.text("/secretAccessKey")));

    // What was refused has changed nothing, and has the status that was told.
    let again = world
        .call(&ada, "POST", "/api/v1/repositories")
        .json(&body)
        .send()
        .await;
    again.expect(409);
    world.clock.advance_seconds(1);
    let refused = newest("errorCode=RepositoryAlreadyExistsException").await;
    assert_eq!(
        (&refused["httpStatus"], &refused["responseElements"]),
        (&json!(409), &Value::Null)
    );
}

#[tokio::test]
async fn a_request_between_two_accounts_is_the_business_of_both() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let [visitor, bystander] = [world.account("111111111111").await, world.account("222222222222").await];
    let path = "/api/v1/repositories/team-a%2Fweb?registryId=000000000000";
    world.call(&visitor, "GET", path).send().await.expect(403);
    let seen = async |by: &Auth| {
        let query = "/api/v1/audit-events?eventName=DescribeRepositories";
        let page = world.call(by, "GET", query).send().await;
        page.expect(200).json()["auditEvents"].as_array().unwrap().clone()
    };
    let (owners, visitors) = (seen(&world.root).await, seen(&visitor).await);
    assert_eq!(owners.len(), 1);
    assert_eq!(owners, visitors);
    assert_eq!(
        (
            &owners[0]["recipientAccountId"],
            &owners[0]["userIdentity"]["accountId"]
        ),
        (&json!("000000000000"), &json!("111111111111"))
    );
    assert_eq!(seen(&bystander).await, Vec::<Value>::new());
    let verified = world.post("/api/v1/audit-verifications", json!({})).await.json();
    assert_eq!(verified["isComplete"], true);
}

#[tokio::test]
async fn the_id_of_a_refusal_finds_its_record() {
    let world = World::new().await;
    let refused = async |id: Option<&str>| {
        let request = http::Request::get("/api/v1/repositories/team-a%2Fweb");
        let request = id
            .iter()
            .fold(request, |request, id| request.header("x-request-id", *id));
        let response =
            tower::ServiceExt::oneshot(world.router.clone(), request.body(axum::body::Body::empty()).unwrap());
        let response = response.await.unwrap();
        assert_eq!(response.status().as_u16(), 401);
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    let uuid = "f81d4fae7dec11d0a76500a0c91e6bf6";
    let mut ids = vec![refused(None).await, refused(None).await];
    world.clock.advance_seconds(20);
    ids.extend([
        refused(None).await,
        refused(Some("mine")).await,
        refused(Some(uuid)).await,
    ]);
    world.clock.advance_seconds(20);
    for id in &ids {
        let page = world.get(&format!("/api/v1/audit-events?requestId={id}")).await;
        let found = page.expect(200).json()["auditEvents"].as_array().unwrap().clone();
        assert_eq!((found.len(), &found[0]["requestID"]), (1, &json!(id)), "{id}");
        let tail = world
            .get(&format!("/api/v1/audit-events?requestId={id}&afterSequence=0"))
            .await;
        assert_eq!(
            tail.expect(200).json()["auditEvents"].as_array().unwrap().len(),
            1,
            "{id}"
        );
    }
    assert_eq!(ids[3..], ["mine", uuid]);
    let none = world.get("/api/v1/audit-events?requestId=other").await.json();
    assert_eq!(none["auditEvents"], json!([]));
    let long = format!("/api/v1/audit-events?requestId={}", "x".repeat(513));
    world.get(&long).await.expect_code(400, "InvalidParameterException");
}

#[tokio::test]
async fn settings_are_changed_once() {
    let world = World::new().await;
    let path = "/api/v1/audit-settings";
    let read = world.get(path).await;
    assert_eq!(read.expect(200).json(), json!({ "retentionDays": 90 }));
    let put = |days: u64| {
        world
            .call(&world.root, "PUT", path)
            .header("if-match", "\"1\"")
            .json(&json!({ "retentionDays": days }))
    };
    put(30).send().await.expect(200);
    put(40).send().await.expect_code(412, "PreconditionFailedException");
    let huge = world
        .call(&world.root, "PUT", path)
        .json(&json!({ "retentionDays": 40_000 }));
    huge.send().await.expect_code(400, "InvalidParameterException");
    let newest = world
        .get("/api/v1/audit-events?eventName=PutEventSettings")
        .await
        .json();
    assert_eq!(newest["auditEvents"].as_array().unwrap().len(), 3);
}
