// SPDX-License-Identifier: Apache-2.0
//! Where a tag pointed, and pointing it there again.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Auth, Reply, World};

const WEB: &str = "/api/v1/repositories/team-a%2Fweb";
const STABLE: &str = "/api/v1/repositories/team-a%2Fweb/tags/stable";

async fn roll_back(world: &World, to: Value) -> Reply {
    world.post(&format!("{STABLE}/rollback"), to).await
}

async fn delete(world: &World, path: &str) {
    world.call(&world.root, "DELETE", path).send().await.expect(200);
}

#[tokio::test]
async fn a_tag_is_shown_as_of_a_time_and_rolled_back() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    let one = world.image(&path, "one", &["stable"]).await.to_string();
    let between = {
        world.clock.advance_seconds(60);
        world.get(STABLE).await.expect(200);
        let at = hythe_model::Clock::now(&*world.clock);
        world.clock.advance_seconds(60);
        at
    };
    world.image(&path, "two", &["stable"]).await;
    world.clock.advance_seconds(60);
    let then = format!("{STABLE}?asOf={between}");
    let mut shown = vec![world.get(&then).await.show(), world.get(STABLE).await.show()];
    shown.push(roll_back(&world, json!({})).await.show());
    shown.push(roll_back(&world, json!({ "asOf": between })).await.show());
    shown.push(roll_back(&world, json!({ "sequence": 2 })).await.show());

    // Deleted: the past is still known, and comes back.
    delete(&world, &format!("{WEB}/images/{one}")).await;
    assert_eq!(world.get(&then).await.text("/imageDigest"), one);
    shown.push(roll_back(&world, json!({ "sequence": 1 })).await.show());
    shown.push(world.get(&format!("{STABLE}/history")).await.show());
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn what_a_tag_cannot_go_back_to_is_refused() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    roll_back(&world, json!({}))
        .await
        .expect_code(404, "ImageNotFoundException");
    let one = world.image(&path, "one", &["stable"]).await;
    let long_ago = format!("{STABLE}?asOf=2000-01-01T00:00:00Z");
    world.get(&long_ago).await.expect_code(404, "ImageNotFoundException");
    world
        .get(&format!("{STABLE}?asOf=yesterday"))
        .await
        .expect_code(400, "InvalidParameterException");
    for to in [
        json!({}),
        json!({ "sequence": 9 }),
        json!({ "asOf": "2000-01-01T00:00:00Z" }),
    ] {
        roll_back(&world, to).await.expect_code(404, "ImageNotFoundException");
    }
    let both = roll_back(&world, json!({ "sequence": 1, "asOf": "2000-01-01T00:00:00Z" })).await;
    both.expect_code(400, "InvalidParameterException");
    assert_eq!(both.text("/pointer"), "/asOf");
    delete(&world, STABLE).await;
    delete(&world, &format!("{WEB}/deleted-images/{one}")).await;
    let gone = roll_back(&world, json!({})).await;
    gone.expect_code(404, "ImageNotFoundException");
    assert!(
        gone.text("/detail").contains("cannot be restored any more"),
        "{:?}",
        gone.body
    );
    world
        .post("/api/v1/repositories/absent/tags/stable/rollback", json!({}))
        .await
        .expect_code(404, "RepositoryNotFoundException");
}

#[tokio::test]
async fn only_a_rollback_that_restores_needs_the_right_to_restore() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    let one = world.image(&path, "one", &["stable"]).await;
    world.image(&path, "two", &["stable"]).await;
    let document = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "ecr:PutImage", "Resource": "*",
          "Condition": { "StringEquals": { "ecr:ImageTag": "stable" } } },
    ] });
    let policy = json!({ "policyName": "tagger", "policyDocument": document.to_string() });
    world.post("/api/v1/policies", policy).await.expect(201);
    let eve = world.user("eve", &["tagger"]).await;
    let ask = async |auth: &Auth, tag: &str| {
        let path = format!("{WEB}/tags/{tag}/rollback");
        world.call(auth, "POST", &path).json(&json!({})).send().await
    };
    ask(&eve, "stable").await.expect(200);
    ask(&eve, "other").await.expect_code(403, "AccessDeniedException");
    ask(&eve, "stable").await.expect(200);
    delete(&world, &format!("{WEB}/images/{one}")).await;
    let refused = ask(&eve, "stable").await;
    refused.expect_code(403, "AccessDeniedException");
    assert!(
        refused.text("/detail").contains("ecr:RestoreImage"),
        "{:?}",
        refused.body
    );
    assert_eq!(
        ask(&world.root, "stable").await.expect(200).json()["isImageRestored"],
        true
    );
}
