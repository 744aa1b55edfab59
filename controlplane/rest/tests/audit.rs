// SPDX-License-Identifier: Apache-2.0
//! Every change leaves one event that says who did what, and no secret.
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
