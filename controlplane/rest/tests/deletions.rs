// SPDX-License-Identifier: Apache-2.0
//! Deleting several images at once, restoring and purging them, and the window in which that works.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Reply, World};

const WEB: &str = "/api/v1/repositories/team-a%2Fweb";
const SETTINGS: &str = "/api/v1/registry/settings";

async fn delete(world: &World, ids: Value) -> Reply {
    let body = json!({ "imageIds": ids });
    world.post(&format!("{WEB}/image-deletions"), body).await
}

#[tokio::test]
async fn a_batch_deletes_what_it_can() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    let one = world.image(&path, "one", &["v1", "v2"]).await;
    let two = world.image(&path, "two", &["v3"]).await;
    let untagged = world.image(&path, "three", &[]).await;
    let reply = delete(
        &world,
        json!([
            { "imageTag": "v1" },
            { "imageTag": "v2", "imageDigest": two },
            { "imageTag": "none" },
            { "imageTag": ".bad" },
            { "imageDigest": "sha256:bad" },
            {},
            { "imageDigest": two },
            { "imageDigest": untagged },
        ]),
    )
    .await;
    reply.expect(200);
    let gone = json!([
        { "imageDigest": one, "imageTag": "v1" },
        { "imageDigest": two, "imageTag": "v3" },
        { "imageDigest": untagged },
    ]);
    assert_eq!(reply.json()["imageIds"], gone);
    let failures: Vec<_> = (0..5)
        .map(|at| reply.text(&format!("/failures/{at}/failureCode")))
        .collect();
    assert_eq!(
        failures,
        [
            "ImageTagDoesNotMatchDigest",
            "ImageNotFound",
            "InvalidImageTag",
            "InvalidImageDigest",
            "MissingDigestAndTag"
        ]
    );
    assert_eq!(reply.json()["failures"].as_array().unwrap().len(), 5);
    for ids in [json!([]), Value::Array(vec![json!({ "imageTag": "v2" }); 101])] {
        let refused = delete(&world, ids).await;
        refused.expect_code(400, "InvalidParameterException");
        assert_eq!(refused.text("/pointer"), "/imageIds");
    }
    world.get(&format!("{WEB}/images/{one}")).await.expect(200);
}

#[tokio::test]
async fn a_denial_of_one_tag_stops_the_batch() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    world.image(&path, "one", &["v1", "prod"]).await;
    let document = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "ecr:*", "Resource": "*" },
        { "Effect": "Deny", "Action": "ecr:BatchDeleteImage", "Resource": "*",
          "Condition": { "StringEquals": { "ecr:ImageTag": "prod" } } },
    ] });
    let policy = json!({ "policyName": "careful", "policyDocument": document.to_string() });
    world.post("/api/v1/policies", policy).await.expect(201);
    let eve = world.user("eve", &["careful"]).await;
    let ask = async |tags: &[&str]| {
        let ids: Vec<_> = tags.iter().map(|tag| json!({ "imageTag": tag })).collect();
        let body = json!({ "imageIds": ids });
        let path = format!("{WEB}/image-deletions");
        world.call(&eve, "POST", &path).json(&body).send().await
    };
    ask(&["v1", "prod"]).await.expect_code(403, "AccessDeniedException");
    world.get(&format!("{WEB}/tags/v1")).await.expect(200);
    ask(&["v1"]).await.expect(200);
}

#[tokio::test]
async fn a_deleted_image_is_listed_restored_and_purged() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    let one = world.image(&path, "one", &["v1", "v2"]).await;
    world.clock.advance_seconds(60);
    let deleted = world
        .call(&world.root, "DELETE", &format!("{WEB}/images/{one}"))
        .send()
        .await;
    deleted.expect(200);
    world.clock.advance_seconds(60);
    let two = world.image(&path, "two", &["v2"]).await;
    world
        .call(&world.root, "DELETE", &format!("{WEB}/images/{two}"))
        .send()
        .await
        .expect(200);
    world.image(&path, "three", &["v2"]).await;
    let mut shown = vec![world.get(&format!("{WEB}/deleted-images")).await.show()];
    let first = world.get(&format!("{WEB}/deleted-images?maxResults=1")).await;
    let next = format!(
        "{WEB}/deleted-images?maxResults=1&nextToken={}",
        first.text("/nextToken")
    );
    assert_eq!(
        world.get(&next).await.text("/deletedImages/0/imageDigest"),
        one.to_string()
    );

    let restore = format!("{WEB}/deleted-images/{one}/restoration");
    shown.push(world.post(&restore, json!({})).await.show());
    world.get(&format!("{WEB}/tags/v1")).await.expect(200);
    // Once more is no error.
    shown.push(world.post(&restore, json!({})).await.show());
    let purge = format!("{WEB}/deleted-images/{two}");
    shown.push(world.call(&world.root, "DELETE", &purge).send().await.show());
    shown.push(world.call(&world.root, "DELETE", &purge).send().await.show());
    shown.push(world.post(&format!("{purge}/restoration"), json!({})).await.show());
    shown.push(world.get(&format!("{WEB}/deleted-images")).await.show());
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn the_window_is_a_setting_of_the_registry() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    let image = world.image(&path, "one", &[]).await;
    let put = |days: u32| {
        let body = json!({ "deletedImageRetentionDays": days });
        world.call(&world.root, "PUT", SETTINGS).json(&body)
    };
    let before = world.get(SETTINGS).await;
    let defaults = json!({ "registryId": "000000000000", "deletedImageRetentionDays": 7 });
    assert_eq!(before.expect(200).json(), defaults);
    let tag = before.header("etag").to_owned();
    let refused = put(366).send().await;
    refused.expect_code(400, "InvalidParameterException");
    assert_eq!(refused.text("/pointer"), "/deletedImageRetentionDays");
    put(0).header("if-match", &tag).send().await.expect(200);
    put(1)
        .header("if-match", &tag)
        .send()
        .await
        .expect_code(412, "PreconditionFailedException");
    delete(&world, json!([{ "imageDigest": image }])).await.expect(200);
    let listed = world.get(&format!("{WEB}/deleted-images")).await;
    assert_eq!(listed.json(), json!({ "deletedImages": [] }));
}
