// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies: kept, previewed, run, and what is told of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod support;

use hythe_model::{Clock as _, Digest};
use hythe_operations::{LifecycleKind, LifecycleSettings, LifecycleWorker};
use serde_json::{Value, json};
use support::{Reply, World};
use tokio_util::sync::CancellationToken;

const WEB: &str = "/api/v1/repositories/team-a%2Fweb";
const POLICY: &str = "/api/v1/repositories/team-a%2Fweb/lifecycle-policy";
const DAY: i64 = 24 * 3600;

/// Expires untagged images after five days, and all releases but the newest.
const DOCUMENT: &str = r#"{"rules": [
    {"rulePriority": 1, "description": "leftovers", "selection": {"tagStatus": "untagged",
        "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 5}, "action": {"type": "expire"}},
    {"rulePriority": 2, "selection": {"tagStatus": "tagged", "tagPatternList": ["v*"],
        "countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}}
]}"#;

/// Expires all images after five days.
const OTHER: &str = r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any",
    "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 5}, "action": {"type": "expire"}}]}"#;

async fn put(world: &World, text: &str) -> Reply {
    let body = json!({ "lifecyclePolicyText": text });
    world.call(&world.root, "PUT", POLICY).json(&body).send().await
}

async fn work(world: &World, kind: LifecycleKind) {
    let worker = LifecycleWorker::new(world.plane.clone(), CancellationToken::new());
    worker.pass(kind).await.unwrap();
}

/// Images, the oldest first: an untagged one, two releases, an index with an untagged image, another tag, and one that
/// is young.
async fn images(world: &World) -> [Digest; 7] {
    let path = world.repository("team-a/web").await;
    let mut made = Vec::new();
    for (text, tags) in [
        ("untagged", &[][..]),
        ("first", &["v1"]),
        ("second", &["v2", "stable"]),
        ("child", &[]),
    ] {
        made.push(world.image(&path, text, tags).await);
        world.clock.advance_seconds(60);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": made[3], "size": 2 }],
    });
    made.push(world.put(&path, &index, &["all"]).await);
    made.push(world.image(&path, "dev", &["dev"]).await);
    world.clock.advance_seconds(10 * DAY);
    made.push(world.image(&path, "young", &[]).await);
    made.try_into().unwrap()
}

/// Starts a preview, makes it and reads it.
async fn preview(world: &World, body: Value, query: &str) -> Reply {
    world.post(&format!("{POLICY}/preview"), body).await.expect(202);
    work(world, LifecycleKind::Preview).await;
    let reply = world.get(&format!("{POLICY}/preview?{query}")).await;
    reply.expect(200);
    reply
}

/// Digest, action, rule and reason of each image of an answer.
fn shown(reply: &Reply, member: &str, rule: &str) -> Vec<(String, String, Value, String)> {
    let images = reply.json()[member].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    images
        .iter()
        .map(|image| {
            (
                text(&image["imageDigest"]),
                text(&image["action"]["type"]),
                image[rule].clone(),
                text(&image["reason"]),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_preview_counts_what_goes_with_an_image() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    let old = world.image(&path, "old", &["v1"]).await;
    let refer = async |subject: &Digest, text: &str| {
        let config = world.blob(&path, text.as_bytes()).await;
        let described = json!({ "mediaType": "application/x", "digest": config.to_string(), "size": text.len() });
        let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/x", "config": described, "layers": [],
            "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject.to_string(), "size": 2 } });
        world.put(&path, &manifest, &[]).await
    };
    let signature = refer(&old, "a signature of it").await;
    refer(&signature, "and one of that").await;
    world.clock.advance_seconds(10 * DAY);
    let young = world.image(&path, "young", &["v2"]).await;
    refer(&young, "this one stays").await;
    let document = r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan",
                                  "countNumber": 1}, "action": {"type": "expire"}}]}"#;
    let preview = preview(&world, json!({ "lifecyclePolicyText": document }), "outcome=TAKEN").await;
    let taken = shown(&preview, "previewResults", "appliedRulePriority");
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0].0, old.to_string());
    let summary = &preview.json()["summary"];
    let count = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!(count("imageTotalCount"), 5);
    assert_eq!(count("expiringImageTotalCount"), 1);
    assert_eq!(count("followingImageTotalCount"), 2);
    assert_eq!(count("followingImageTotalBytes"), 32);
    assert_eq!(count("keptImageTotalCount"), 2);
    // What is freed is what is there no more: the blobs, and the manifests themselves.
    assert!(count("freedBytes") > 35, "{summary}");
    put(&world, document).await.expect(200);
    world.post(&format!("{POLICY}/runs"), json!({})).await.expect(202);
    work(&world, LifecycleKind::Run).await;
    while world
        .store
        .follow_subjects(world.clock.now(), 10)
        .await
        .unwrap()
        .subjects
        > 0
    {}
    let left = world.get("/api/v1/repositories/team-a%2Fweb/images").await;
    assert_eq!(left.expect(200).json()["images"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_policy_lives_from_put_to_delete() {
    let world = World::new().await;
    put(&world, DOCUMENT)
        .await
        .expect_code(404, "RepositoryNotFoundException");
    world.repository("team-a/web").await;
    let mut told = vec![world.get(POLICY).await.show()];
    let refused = put(&world, &DOCUMENT.replace("expire", "explode")).await;
    refused.expect_code(400, "InvalidParameterException");
    assert_eq!(refused.text("/pointer"), "/lifecyclePolicyText/rules/0/action/type");
    told.push(refused.show());

    let stored = put(&world, DOCUMENT).await;
    stored.expect(200);
    let tag = stored.header("etag").to_owned();
    let found = world.get(POLICY).await;
    assert_eq!(
        (found.header("etag"), found.text("/lifecyclePolicyText").as_str()),
        (tag.as_str(), DOCUMENT)
    );
    put(&world, OTHER).await.expect(200);
    let stale = json!({ "lifecyclePolicyText": DOCUMENT });
    let stale = world
        .call(&world.root, "PUT", POLICY)
        .json(&stale)
        .header("if-match", &tag);
    told.push(stale.send().await.show());
    let delete = || world.call(&world.root, "DELETE", POLICY);
    delete().header("if-match", &tag).send().await.expect(412);
    assert_eq!(delete().send().await.expect(200).text("/lifecyclePolicyText"), OTHER);
    delete()
        .send()
        .await
        .expect_code(404, "LifecyclePolicyNotFoundException");
    for path in [format!("{POLICY}/preview"), format!("{POLICY}/runs")] {
        let refused = world.post(&path, json!({})).await;
        refused.expect_code(404, "LifecyclePolicyNotFoundException");
    }
    insta::assert_snapshot!(told.join("\n\n"));
}

#[tokio::test]
async fn a_strict_server_takes_what_ecr_takes() {
    let world = World::new().await;
    world.plane.set_lifecycle(LifecycleSettings {
        is_strict: true,
        ..LifecycleSettings::default()
    });
    world.repository("team-a/web").await;
    put(&world, &DOCUMENT.replace("days", "weeks"))
        .await
        .expect_code(400, "InvalidParameterException");
    put(&world, DOCUMENT).await.expect(200);
}

#[tokio::test]
async fn a_preview_says_of_each_image_which_rule_takes_or_keeps_it() {
    let world = World::new().await;
    let made = images(&world).await;
    let [untagged, first, second, child, index, dev, young] = made.map(|digest| digest.to_string());
    world
        .get(&format!("{POLICY}/preview"))
        .await
        .expect_code(404, "LifecyclePolicyPreviewNotFoundException");
    let body = json!({ "lifecyclePolicyText": DOCUMENT });
    let started = world.post(&format!("{POLICY}/preview"), body.clone()).await;
    assert_eq!(started.expect(202).text("/status"), "IN_PROGRESS");
    world
        .post(&format!("{POLICY}/preview"), body.clone())
        .await
        .expect_code(409, "LifecyclePolicyPreviewInProgressException");
    work(&world, LifecycleKind::Preview).await;

    let taken = world.get(&format!("{POLICY}/preview")).await;
    assert_eq!(taken.expect(200).text("/status"), "COMPLETE");
    let leftover = "rule 1 (leftovers): pushed more than 5 days ago";
    assert_eq!(
        shown(&taken, "previewResults", "appliedRulePriority"),
        [
            (untagged.clone(), "EXPIRE".into(), json!(1), leftover.into()),
            (
                first.clone(),
                "EXPIRE".into(),
                json!(2),
                "rule 2: not the newest image".into()
            ),
        ]
    );
    let summary = &taken.json()["summary"];
    assert_eq!(
        [
            "imageTotalCount",
            "expiringImageTotalCount",
            "keptImageTotalCount",
            "protectedImageTotalCount"
        ]
        .map(|name| summary[name].as_u64().unwrap()),
        [7, 2, 5, 1]
    );
    // Two configurations that nothing else needs, and two manifests.
    let configurations = ("untagged".len() + "first".len()) as u64;
    assert_eq!(summary["expiringImageTotalBytes"].as_u64(), Some(configurations));
    assert!(summary["freedBytes"].as_u64().unwrap() > configurations, "{summary}");
    let comparison = &summary["comparison"];
    assert_eq!(comparison["newlyTakenImageCount"], 2, "nothing is stored: {comparison}");

    let kept = world.get(&format!("{POLICY}/preview?outcome=KEPT")).await;
    assert_eq!(
        shown(&kept, "previewResults", "claimedByRulePriority"),
        [
            (second.clone(), json!(2), "rule 2 claims it, and spares it"),
            (
                child.clone(),
                json!(1),
                "rule 1 (leftovers) would take it, but an index lists it"
            ),
            (index.clone(), Value::Null, "no rule selects it"),
            (dev.clone(), Value::Null, "no rule selects it"),
            (young.clone(), json!(1), "rule 1 (leftovers) claims it, and spares it"),
        ]
        .map(|(digest, rule, reason)| (digest, "KEEP".into(), rule, reason.into()))
    );

    let count = async |query: &str| {
        let reply = world.get(&format!("{POLICY}/preview?{query}")).await;
        reply.expect(200).json()["previewResults"].as_array().unwrap().len()
    };
    assert_eq!(count("outcome=ANY").await, 7);
    assert_eq!(count("outcome=ANY&imageTag=stable").await, 1);
    assert_eq!(count(&format!("outcome=ANY&imageDigest={child}")).await, 1);
    assert_eq!(count("outcome=ANY&tagStatus=UNTAGGED").await, 3);
    world
        .get(&format!("{POLICY}/preview?previewId=other"))
        .await
        .expect_code(404, "LifecyclePolicyPreviewNotFoundException");

    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = world
            .get(&format!("{POLICY}/preview?outcome=ANY&maxResults=3{next}"))
            .await;
        all.extend(
            shown(&page, "previewResults", "reason")
                .into_iter()
                .map(|image| image.0),
        );
        let Some(following) = page.json()["nextToken"].as_str().map(str::to_owned) else {
            break;
        };
        next = format!("&nextToken={following}");
    }
    assert_eq!(all, [untagged, first, second, child, index, dev, young]);
    // Another preview has other images.
    preview(&world, body, "").await;
    world
        .get(&format!("{POLICY}/preview?outcome=ANY&maxResults=3{next}"))
        .await
        .expect_code(404, "LifecyclePolicyPreviewNotFoundException");
}

#[tokio::test]
async fn a_preview_tells_the_proposed_from_the_stored_policy() {
    let world = World::new().await;
    let made = images(&world).await;
    let [_, first, second, _, index, dev, _] = made.map(|digest| digest.to_string());
    put(&world, DOCUMENT).await.expect(200);
    let stored = preview(&world, json!({}), "").await;
    assert_eq!(stored.json()["summary"].get("comparison"), None);
    let proposed = preview(&world, json!({ "lifecyclePolicyText": OTHER }), "compare=stored").await;
    let images = proposed.json()["previewResults"].as_array().unwrap().clone();
    let told: Vec<_> = images
        .iter()
        .map(|image| {
            (
                image["imageDigest"].as_str().unwrap(),
                image["storedAction"]["type"].as_str().unwrap(),
            )
        })
        .collect();
    // The first release goes with either.
    assert_eq!(told, [(second.as_str(), "KEEP"), (&index, "KEEP"), (&dev, "KEEP")]);
    assert_eq!(images[0]["storedRulePriority"], 2);
    let comparison = &proposed.json()["summary"]["comparison"];
    assert_eq!(
        (
            &comparison["newlyTakenImageCount"],
            &comparison["noLongerTakenImageCount"]
        ),
        (&json!(3), &json!(0))
    );
    let back = preview(
        &world,
        json!({ "lifecyclePolicyText": DOCUMENT.replace("\"v*\"", "\"w*\"") }),
        "compare=stored",
    )
    .await;
    assert_eq!(back.json()["previewResults"][0]["imageDigest"], first);
    assert_eq!(back.json()["summary"]["comparison"]["noLongerTakenImageCount"], 1);
}

#[tokio::test]
async fn a_run_expires_what_the_preview_said_and_leaves_a_record() {
    let world = World::new().await;
    let made = images(&world).await;
    let [untagged, first, second, child, ..] = made.map(|digest| digest.to_string());
    put(&world, DOCUMENT).await.expect(200);
    preview(&world, json!({}), "").await;
    let started = world.call(&world.root, "POST", &format!("{POLICY}/runs")).send().await;
    let run = started.expect(202).text("/runId");
    assert_eq!(
        (started.text("/status"), started.text("/trigger")),
        ("PENDING".into(), "REQUEST".into())
    );
    let again = world.call(&world.root, "POST", &format!("{POLICY}/runs")).send().await;
    assert_eq!(again.expect(202).text("/runId"), run, "the one that waits");
    work(&world, LifecycleKind::Run).await;

    let record = world.get(&format!("{POLICY}/runs/{run}")).await;
    assert_eq!(record.expect(200).text("/status"), "COMPLETE");
    let counts = ["evaluatedImageCount", "expiredImageCount", "failedImageCount"];
    assert_eq!(counts.map(|name| record.json()[name].as_u64().unwrap()), [7, 2, 1]);
    let leftover = "rule 1 (leftovers): pushed more than 5 days ago";
    assert_eq!(
        shown(&record, "images", "result"),
        [
            (untagged.clone(), json!("DONE"), leftover),
            (first.clone(), json!("DONE"), "rule 2: not the newest image"),
            (child, json!("FAILED"), leftover),
        ]
        .map(|(digest, result, reason)| (digest, "EXPIRE".into(), result, reason.into()))
    );
    assert_eq!(record.text("/images/2/failureCode"), "ImageReferencedByManifestList");
    let page = world.get(&format!("{POLICY}/runs/{run}?maxResults=2")).await;
    let next = format!("{POLICY}/runs/{run}?maxResults=2&nextToken={}", page.text("/nextToken"));
    let last = world.get(&next).await;
    assert_eq!(last.json()["images"], json!([record.json()["images"][2]]));
    let listed = world.get(&format!("{POLICY}/runs")).await;
    assert_eq!(
        (
            listed.text("/runs/0/runId"),
            listed.json()["runs"].as_array().unwrap().len()
        ),
        (run.clone(), 1)
    );
    world
        .get(&format!("{POLICY}/runs/{run}0"))
        .await
        .expect_code(404, "ResourceNotFoundException");
    assert!(world.get(POLICY).await.json()["lastEvaluatedAt"].is_string());

    // What is gone can be restored, and says which rule it was.
    world.get(&format!("{WEB}/images/{first}")).await.expect(404);
    world.get(&format!("{WEB}/images/{second}")).await.expect(200);
    let deleted = world.get(&format!("{WEB}/deleted-images")).await.json()["deletedImages"].clone();
    let by_rule = |image: &Value| {
        let reason = image["deletionReason"].as_str().unwrap().to_owned();
        (reason, image["lifecycleRulePriority"].as_u64().unwrap())
    };
    let mut told: Vec<_> = deleted.as_array().unwrap().iter().map(by_rule).collect();
    told.sort_unstable();
    assert_eq!(told, [1, 2].map(|rule| ("LIFECYCLE".to_owned(), rule)));
    world
        .post(&format!("{WEB}/deleted-images/{first}/restoration"), json!({}))
        .await
        .expect(200);
    world.get(&format!("{WEB}/tags/v1")).await.expect(200);
    let back = world.get(&format!("{WEB}/images/{first}")).await;
    assert!(back.json()["lastActivatedAt"].is_string(), "{}", back.json());

    // The audit log knows of the dry run and of the run, in ECR's form.
    let events = async |name: &str| {
        let path = format!("/api/v1/audit-events?eventName={name}");
        world.get(&path).await.expect(200).json()["auditEvents"].clone()
    };
    let dry = events("DryRunEvent").await;
    assert_eq!(dry.as_array().unwrap().len(), 1, "{dry}");
    let done = events("PolicyExecutionEvent").await;
    let done = done.as_array().unwrap();
    let acted: Vec<_> = [&dry[0]]
        .into_iter()
        .chain(done)
        .flat_map(|event| {
            assert_eq!(
                (&event["eventType"], &event["readOnly"]),
                (&json!("AwsServiceEvent"), &json!(true)),
                "{event}"
            );
            assert_eq!(event["userIdentity"]["type"], "AWSService");
            assert_eq!(event["serviceEventDetails"]["repositoryName"], "team-a/web");
            let rules = &event["serviceEventDetails"]["lifecycleEventPolicy"]["lifecycleEventRules"];
            assert_eq!(
                rules[1]["lifecycleEventSelection"]["countType"],
                "Image count more than"
            );
            let actions = event["serviceEventDetails"]["lifecycleEventImageActions"]
                .as_array()
                .unwrap()
                .clone();
            actions.into_iter().map(|action| {
                (
                    action["lifecycleEventImage"]["digest"].clone(),
                    action["rulePriority"].clone(),
                )
            })
        })
        .collect();
    let named = [(json!(untagged), json!(1)), (json!(first), json!(2))];
    assert_eq!(acted, [named.clone(), named].concat());
    let refused = done
        .iter()
        .map(|event| &event["serviceEventDetails"]["lifecycleEventFailureDetails"]);
    let refused: Vec<_> = refused
        .filter_map(|failures| failures[0]["failureCode"].as_str())
        .collect();
    assert_eq!(refused, ["ImageReferencedByManifestList"]);
}

#[tokio::test]
async fn a_rule_moves_images_to_the_archive_and_another_deletes_them_there() {
    const ARCHIVE: &str = r#"{"rules": [
        {"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days",
            "countNumber": 5}, "action": {"type": "transition", "targetStorageClass": "archive"}},
        {"rulePriority": 2, "selection": {"tagStatus": "any", "storageClass": "archive",
            "countType": "sinceImageTransitioned", "countUnit": "days", "countNumber": 90}, "action": {"type": "expire"}}
    ]}"#;
    let world = World::new().await;
    let made = images(&world).await;
    put(&world, ARCHIVE).await.expect(200);
    let taken = preview(&world, json!({}), "").await;
    let summary = &taken.json()["summary"];
    assert_eq!(
        summary["transitioningImageTotalCounts"],
        json!([{ "targetStorageClass": "ARCHIVE", "imageTotalCount": 5 }])
    );
    assert_eq!(summary["freedBytes"], 0);
    assert_eq!(
        taken.json()["previewResults"][0]["action"],
        json!({ "type": "TRANSITION", "targetStorageClass": "ARCHIVE" })
    );
    let run = async || {
        let started = world.call(&world.root, "POST", &format!("{POLICY}/runs")).send().await;
        work(&world, LifecycleKind::Run).await;
        let id = started.expect(202).text("/runId");
        world.get(&format!("{POLICY}/runs/{id}")).await.json()
    };
    let moved = run().await;
    assert_eq!(
        (&moved["transitionedImageCount"], &moved["failedImageCount"]),
        (&json!(5), &json!(0)),
        "{moved}"
    );
    let archived = async || {
        let listed = world.get(&format!("{WEB}/images?imageStatus=ARCHIVED")).await;
        listed.expect(200).json()["images"].as_array().unwrap().len()
    };
    // The child goes with its index.
    assert_eq!(archived().await, 6);
    world.get(&format!("{WEB}/images/{}", made[6])).await.expect(200);
    let again = run().await;
    assert_eq!(again["transitionedImageCount"], 0, "{again}");
    world.clock.advance_seconds(91 * DAY);
    let deleted = run().await;
    assert_eq!(
        (&deleted["expiredImageCount"], &deleted["transitionedImageCount"]),
        (&json!(5), &json!(1)),
        "{deleted}"
    );
}

#[tokio::test]
async fn a_restored_image_is_as_new_for_the_next_run() {
    let world = World::new().await;
    let [untagged, ..] = images(&world).await;
    put(&world, OTHER).await.expect(200);
    let run = async || {
        let started = world.call(&world.root, "POST", &format!("{POLICY}/runs")).send().await;
        work(&world, LifecycleKind::Run).await;
        let id = started.expect(202).text("/runId");
        world.get(&format!("{POLICY}/runs/{id}")).await.json()["expiredImageCount"].clone()
    };
    assert_eq!(run().await, 5);
    world
        .post(&format!("{WEB}/deleted-images/{untagged}/restoration"), json!({}))
        .await
        .expect(200);
    // What the index protected goes; what was restored stays for as long as a new image would.
    assert_eq!(run().await, 1);
    world.get(&format!("{WEB}/images/{untagged}")).await.expect(200);
    world.clock.advance_seconds(5 * DAY);
    assert_eq!(run().await, 0);
    world.clock.advance_seconds(1);
    assert_eq!(run().await, 2, "with the one that was new then");
    world.get(&format!("{WEB}/images/{untagged}")).await.expect(404);
}

#[tokio::test]
async fn a_policy_is_evaluated_when_it_is_due() {
    let world = World::new().await;
    let made = images(&world).await;
    put(&world, OTHER).await.expect(200);
    work(&world, LifecycleKind::Run).await;
    let runs = async || {
        world.get(&format!("{POLICY}/runs")).await.json()["runs"]
            .as_array()
            .unwrap()
            .clone()
    };
    assert_eq!(runs().await.len(), 0, "it is not time yet");
    world.clock.advance_seconds(3601);
    work(&world, LifecycleKind::Run).await;
    let first = runs().await;
    assert_eq!((first.len(), &first[0]["trigger"]), (1, &json!("SCHEDULE")));
    // The child of the index goes when the index is gone: at the next time.
    world.get(&format!("{WEB}/images/{}", made[3])).await.expect(200);
    world.clock.advance_seconds(2 * 3600);
    work(&world, LifecycleKind::Run).await;
    world.get(&format!("{WEB}/images/{}", made[3])).await.expect(404);
    world.get(&format!("{WEB}/images/{}", made[6])).await.expect(200);
    assert_eq!(runs().await.len(), 2);
}
