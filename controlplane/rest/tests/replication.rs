// SPDX-License-Identifier: Apache-2.0
//! Destinations of replication, and changes that come from another deployment, as a client sees them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Reply, World};

const DESTINATIONS: &str = "/api/v1/replication-destinations";

async fn change(world: &World, body: Value) -> Reply {
    let path = format!("{DESTINATIONS}/eu");
    world.call(&world.root, "PATCH", &path).json(&body).send().await
}

/// The password as it would be sent, if it would.
async fn password(world: &World) -> Option<String> {
    let (account, name) = ("000000000000".parse().unwrap(), "eu".parse().unwrap());
    let destination = world
        .store
        .replication_destination(&account, &name)
        .await
        .unwrap()
        .unwrap();
    let password = world.plane.destination_password(&destination)?;
    Some(password.expose().to_owned())
}

#[tokio::test]
async fn a_stored_password_goes_only_where_it_was_given_for() {
    let world = World::new().await;
    let credential = json!({ "username": "robot", "password": "very-secret" });
    let body = json!({
        "destinationName": "eu", "kind": "HYTHE", "endpoint": "registry.example.com",
        "controlEndpoint": "control.example.com", "credential": credential,
    });
    world.post(DESTINATIONS, body).await.expect(201);
    for (moved, origin) in [
        (
            json!({ "endpoint": "mine.example.net" }),
            "https://mine.example.net:443",
        ),
        (
            json!({ "endpoint": "registry.example.com:444" }),
            "https://registry.example.com:444",
        ),
        (
            json!({ "endpoint": "http://registry.example.com:443" }),
            "http://registry.example.com:443",
        ),
        (
            json!({ "controlEndpoint": "mine.example.net" }),
            "https://mine.example.net:443",
        ),
    ] {
        let refused = change(&world, moved.clone()).await;
        refused.expect_code(400, "InvalidParameterException");
        assert_eq!(refused.text("/pointer"), "/credential");
        let detail = refused.text("/detail");
        assert!(
            detail.contains(origin) && detail.contains("together with the address"),
            "{detail}"
        );
    }
    assert_eq!(password(&world).await.as_deref(), Some("very-secret"));
    // The same place written otherwise, less than before, and what is no address, need nothing.
    for same in [
        json!({ "endpoint": "https://registry.example.com:443" }),
        json!({ "description": "far away" }),
        json!({ "controlEndpoint": "" }),
    ] {
        change(&world, same.clone()).await.expect(200);
        assert_eq!(password(&world).await.as_deref(), Some("very-secret"), "{same}");
    }
    // A control plane that was never named, or not any more, is another place.
    let control = json!({ "controlEndpoint": "control.example.com" });
    change(&world, control.clone())
        .await
        .expect_code(400, "InvalidParameterException");
    let with = |mut body: Value, credential: Value| {
        body["credential"] = credential;
        body
    };
    let again = json!({ "username": "robot", "password": "given-again" });
    let moved = json!({ "endpoint": "other.example.com", "controlEndpoint": "control.example.com" });
    change(&world, with(moved, again)).await.expect(200);
    assert_eq!(password(&world).await.as_deref(), Some("given-again"));
    // Whoever writes to the database cannot have it sent elsewhere.
    let (account, name) = ("000000000000".parse().unwrap(), "eu".parse().unwrap());
    let mut destination = world
        .store
        .replication_destination(&account, &name)
        .await
        .unwrap()
        .unwrap();
    destination.settings.endpoint = "mine.example.net".into();
    assert!(world.plane.destination_password(&destination).is_none());
    // Without a login there is nothing to keep.
    let open = with(json!({ "endpoint": "mine.example.net" }), Value::Null);
    change(&world, open).await.expect(200);
    assert_eq!(password(&world).await, None);
    change(&world, json!({ "endpoint": "yours.example.net" }))
        .await
        .expect(200);
}

#[tokio::test]
async fn who_may_not_replicate_may_not_say_that_a_change_was_replicated() {
    let world = World::new().await;
    world.repository("web").await;
    let policy = |name: &str, actions: &[&str]| {
        let document = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": actions, "Resource": "*" }] });
        json!({ "policyName": name, "policyDocument": document.to_string() })
    };
    for body in [
        policy("tagger", &["ecr:TagResource"]),
        policy("replicator", &["ecr:TagResource", "ecr:ReplicateImage"]),
    ] {
        world.post("/api/v1/policies", body).await.expect(201);
    }
    let tagger = world.user("tagger", &["tagger"]).await;
    let replicator = world.user("replicator", &["replicator"]).await;
    let tag = |auth, value: &str| {
        world
            .call(auth, "POST", "/api/v1/repositories/web/resource-tags")
            .json(&json!({ "tags": [{ "Key": "team", "Value": value }] }))
    };
    let header = ("hythe-replication", "us/000000000000");
    tag(&tagger, "a").send().await.expect(200);
    let refused = tag(&tagger, "b").header(header.0, header.1).send().await;
    refused.expect_code(403, "AccessDeniedException");
    assert!(
        refused.text("/detail").contains("ecr:ReplicateImage"),
        "{}",
        refused.json()
    );
    tag(&replicator, "c")
        .header(header.0, header.1)
        .send()
        .await
        .expect(200);
    tag(&replicator, "d")
        .header(header.0, "nonsense")
        .send()
        .await
        .expect(400);

    let events = world
        .get("/api/v1/audit-events?eventName=TagResource&maxResults=100")
        .await;
    let events = events.expect(200).json();
    let sources: Vec<_> = events["auditEvents"].as_array().unwrap().iter().collect();
    let replicated = |event: &&&Value| !event["replication"].is_null();
    let named: Vec<_> = sources.iter().filter(replicated).collect();
    assert_eq!(named.len(), 1, "{events}");
    assert_eq!(
        named[0]["replication"]["source"],
        json!({ "region": "us", "registryId": "000000000000" })
    );
}
