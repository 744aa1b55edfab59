// SPDX-License-Identifier: Apache-2.0
//! What a client sees from the first repository to the last.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use hythe_model::Clock as _;
use serde_json::json;
use support::World;

const WEB: &str = "/api/v1/repositories/team-a%2Fweb";

#[tokio::test]
async fn a_repository_lives_from_create_to_delete() {
    let world = World::new().await;
    let create = json!({
        "repositoryName": "team-a/web",
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [{ "filterType": "WILDCARD", "filter": "dev-*" }],
        "imageScanningConfiguration": { "scanOnPush": true },
        "allowSparseIndexes": true,
        "encryptionConfiguration": { "encryptionType": "AES256" },
        "tags": [{ "Key": "team", "Value": "a" }],
    });
    let mut shown = vec![world.post("/api/v1/repositories", create.clone()).await.show()];
    shown.push(world.post("/api/v1/repositories", create).await.show());
    shown.push(world.get(WEB).await.show());
    let update = json!({ "imageTagMutability": "MUTABLE", "imageScanningConfiguration": { "scanOnPush": false } });
    shown.push(world.call(&world.root, "PATCH", WEB).json(&update).send().await.show());
    let update = json!({ "allowSparseIndexes": false });
    shown.push(world.call(&world.root, "PATCH", WEB).json(&update).send().await.show());
    shown.push(world.get(&format!("{WEB}/usage")).await.show());
    shown.push(world.call(&world.root, "DELETE", WEB).send().await.show());
    shown.push(world.get(WEB).await.show());
    shown.push(world.get("/api/v1/repositories").await.show());
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_with_their_place() {
    let world = World::new().await;
    let filter = json!([{ "filterType": "WILDCARD", "filter": "dev-*" }]);
    let cases = [
        (json!({}), "/repositoryName", "ValidationException"),
        (
            json!({ "repositoryName": "A" }),
            "/repositoryName",
            "InvalidParameterException",
        ),
        (
            json!({ "repositoryName": "ab", "imageTagMutability": "ODD" }),
            "/imageTagMutability",
            "InvalidParameterException",
        ),
        (
            json!({ "repositoryName": "ab", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION" }),
            "/imageTagMutabilityExclusionFilters",
            "InvalidParameterException",
        ),
        (
            json!({ "repositoryName": "ab", "imageTagMutabilityExclusionFilters": filter }),
            "/imageTagMutabilityExclusionFilters",
            "InvalidParameterException",
        ),
        (
            json!({ "repositoryName": "ab", "imageTagMutability": "MUTABLE_WITH_EXCLUSION",
                    "imageTagMutabilityExclusionFilters": [{ "filterType": "WILDCARD", "filter": "a*b*c*" }] }),
            "/imageTagMutabilityExclusionFilters/0/filter",
            "InvalidParameterException",
        ),
        (
            json!({ "repositoryName": "ab", "encryptionConfiguration": { "encryptionType": "AES256", "kmsKey": "k" } }),
            "/encryptionConfiguration/kmsKey",
            "InvalidParameterException",
        ),
        (
            json!({ "repositoryName": "ab", "encryptionConfiguration": { "encryptionType": "KMS" } }),
            "/encryptionConfiguration/encryptionType",
            "InvalidParameterException",
        ),
        (
            json!({ "repositoryName": "ab", "tags": [{ "Key": "aws:x", "Value": "" }] }),
            "/tags",
            "InvalidTagParameterException",
        ),
        (
            json!({ "repositoryName": "ab", "tags": (0..51).map(|n| json!({ "Key": n.to_string(), "Value": "" })).collect::<Vec<_>>() }),
            "/tags",
            "TooManyTagsException",
        ),
    ];
    for (body, pointer, code) in cases {
        let reply = world.post("/api/v1/repositories", body.clone()).await;
        reply.expect_code(400, code);
        assert_eq!(reply.text("/pointer"), pointer, "{body}");
    }
    world.repository("ab").await;
    let cases = [
        (json!({}), "InvalidParameterException"),
        (
            json!({ "imageTagMutabilityExclusionFilters": filter }),
            "InvalidParameterException",
        ),
        (
            json!({ "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION" }),
            "InvalidParameterException",
        ),
        (json!({ "repositoryName": "cd" }), "ValidationException"),
    ];
    for (body, code) in cases {
        world
            .call(&world.root, "PATCH", "/api/v1/repositories/ab")
            .json(&body)
            .send()
            .await
            .expect_code(400, code);
    }
    world
        .get("/api/v1/repositories/A")
        .await
        .expect_code(400, "InvalidParameterException");
    world
        .get("/api/v1/repositories/ab/images/sha256:00")
        .await
        .expect_code(400, "InvalidParameterException");
}

#[tokio::test]
async fn a_change_of_a_state_that_is_gone_is_refused() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let stale = world.get(WEB).await.header("etag").to_owned();
    let patch = |etag: &str| {
        let body = json!({ "imageScanningConfiguration": { "scanOnPush": true } });
        world
            .call(&world.root, "PATCH", WEB)
            .json(&body)
            .header("if-match", etag)
    };
    let fresh = patch(&stale).send().await.expect(200).header("etag").to_owned();
    assert_ne!(stale, fresh);
    for wrong in [stale.as_str(), "\"x\"", "5", "W/\"2\"", ""] {
        patch(wrong)
            .send()
            .await
            .expect_code(412, "PreconditionFailedException");
    }
    patch("\"1\", \"2\"")
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
    patch("*").send().await.expect(200);
    let tags = json!({ "tags": [] });
    let put = world
        .call(&world.root, "PUT", &format!("{WEB}/resource-tags"))
        .json(&tags)
        .header("if-match", &stale);
    put.send().await.expect(412);
    world
        .call(&world.root, "DELETE", WEB)
        .header("if-match", &stale)
        .send()
        .await
        .expect(412);
    let now = world.get(WEB).await.header("etag").to_owned();
    world
        .call(&world.root, "DELETE", WEB)
        .header("if-match", &now)
        .send()
        .await
        .expect(200);
    // A header that would be passed over is refused.
    let users = world
        .call(&world.root, "POST", "/api/v1/users")
        .json(&json!({ "userName": "ada" }));
    users
        .header("if-match", "*")
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
}

#[tokio::test]
async fn a_create_that_is_sent_twice_takes_effect_once() {
    let world = World::new().await;
    let create = |name: &str, key: &str| {
        let body = json!({ "repositoryName": name });
        world
            .call(&world.root, "POST", "/api/v1/repositories")
            .json(&body)
            .header("idempotency-key", key)
    };
    let first = create("web", "k1").send().await;
    let second = create("web", "k1").send().await;
    assert_eq!(
        (first.expect(201).json(), second.expect(201).status),
        (second.json(), 201)
    );
    create("other", "k1")
        .send()
        .await
        .expect_code(409, "IdempotentParameterMismatchException");
    create("web", "k2")
        .send()
        .await
        .expect_code(409, "RepositoryAlreadyExistsException");
    create("ab", &"k".repeat(129))
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
    create("ab", "")
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
    let user = world
        .call(&world.root, "POST", "/api/v1/users")
        .json(&json!({ "userName": "ada" }));
    user.header("idempotency-key", "k3")
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new().await;
    for name in ["a1", "b1", "b2", "b3", "c1"] {
        world.repository(name).await;
    }
    let mut names = Vec::new();
    let mut next = String::new();
    let mut pages = 0;
    loop {
        let page = world
            .get(&format!("/api/v1/repositories?prefix=b&maxResults=2{next}"))
            .await
            .expect(200)
            .json();
        pages += 1;
        for repository in page["repositories"].as_array().unwrap() {
            names.push(repository["repositoryName"].as_str().unwrap().to_owned());
        }
        match page["nextToken"].as_str() {
            Some(token) => next = format!("&nextToken={token}"),
            None => break,
        }
    }
    assert_eq!((names.join(" ").as_str(), pages), ("b1 b2 b3", 2));
    // A token is good for its own list only, and only as it was made.
    let token = next.trim_start_matches("&nextToken=").to_owned();
    let tampered = format!("{}A", &token[..token.len() - 1]);
    for query in [
        format!("prefix=c&nextToken={token}"),
        format!("nextToken={token}"),
        format!("prefix=b&nextToken={tampered}"),
        "nextToken=".into(),
        "nextToken=AAAA".into(),
        format!("nextToken={}", "A".repeat(2000)),
        "maxResults=0".into(),
        "maxResults=1001".into(),
        "maxResults=-1".into(),
        "maxResults=ten".into(),
        "maxResults=1&maxResults=2".into(),
        "limit=5".into(),
        "registryId=1".into(),
        format!("prefix={}", "a".repeat(257)),
    ] {
        world
            .get(&format!("/api/v1/repositories?{query}"))
            .await
            .expect_code(400, "InvalidParameterException");
    }
    world
        .get(&format!("/api/v1/users?nextToken={token}"))
        .await
        .expect_code(400, "InvalidParameterException");
    assert_eq!(
        world.get("/api/v1/repositories?maxResults=5").await.json()["nextToken"],
        json!(null)
    );
}

#[tokio::test]
async fn resource_tags_are_replaced_merged_and_removed() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let path = format!("{WEB}/resource-tags");
    let tags = |pairs: &[(&str, &str)]| json!({ "tags": pairs.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect::<Vec<_>>() });
    let put = world
        .call(&world.root, "PUT", &path)
        .json(&tags(&[("a", "1"), ("b", "2")]))
        .send()
        .await;
    assert_eq!(put.expect(200).json(), tags(&[("a", "1"), ("b", "2")]));
    let post = world.post(&path, tags(&[("b", "3"), ("c", "4")])).await;
    assert_eq!(post.expect(200).json(), tags(&[("a", "1"), ("b", "3"), ("c", "4")]));
    let delete = world
        .call(&world.root, "DELETE", &format!("{path}?tagKeys=a&tagKeys=c&tagKeys=x"))
        .send()
        .await;
    assert_eq!(delete.expect(200).json(), tags(&[("b", "3")]));
    assert_eq!(world.get(&path).await.json(), tags(&[("b", "3")]));
    assert_eq!(world.get(WEB).await.json()["tags"], tags(&[("b", "3")])["tags"]);
    world
        .call(&world.root, "DELETE", &path)
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
    world
        .call(&world.root, "DELETE", &format!("{path}?keys=a"))
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
    world
        .post(&path, tags(&[("d", "1"), ("d", "2")]))
        .await
        .expect_code(400, "InvalidTagParameterException");
    let many: Vec<String> = (0..50).map(|n| format!("k{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "")).collect();
    world
        .post(&path, tags(&many))
        .await
        .expect_code(400, "TooManyTagsException");
    world
        .get("/api/v1/repositories/ab/resource-tags")
        .await
        .expect_code(404, "RepositoryNotFoundException");
}

#[tokio::test]
async fn images_and_tags_are_shown_moved_and_deleted() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    let one = world.image(&path, "one", &["v1", "latest"]).await;
    world.clock.advance_seconds(60);
    let two = world.image(&path, "two", &[]).await;
    let mut shown = Vec::new();
    for query in [
        "images",
        "images?tagStatus=TAGGED",
        "images?tagStatus=UNTAGGED",
        "tags",
        "tags?maxResults=1",
        "tags/v1",
    ] {
        let reply = world.get(&format!("{WEB}/{query}")).await;
        // Tokens carry a MAC of a fixed key, so they may be shown.
        shown.push(reply.expect(200).show());
    }
    shown.push(
        world
            .get(&format!("{WEB}/images/{}", one.to_string().replace(':', "%3A")))
            .await
            .show(),
    );
    shown.push(world.get(&format!("{WEB}/images/{one}/manifest")).await.show());
    let put = world
        .call(&world.root, "PUT", &format!("{WEB}/tags/latest"))
        .json(&json!({ "imageDigest": two }));
    shown.push(put.send().await.show());
    shown.push(world.get(&format!("{WEB}/tags/latest/history")).await.show());
    shown.push(world.get(&format!("{WEB}/usage")).await.show());
    shown.push(world.call(&world.root, "DELETE", WEB).send().await.show());
    shown.push(
        world
            .call(&world.root, "DELETE", &format!("{WEB}/tags/latest"))
            .send()
            .await
            .show(),
    );
    shown.push(
        world
            .call(&world.root, "DELETE", &format!("{WEB}/images/{one}"))
            .send()
            .await
            .show(),
    );
    shown.push(world.get(&format!("{WEB}/images/{one}")).await.show());
    shown.push(world.get(&format!("{WEB}/tags/v1")).await.show());
    shown.push(world.get(&format!("{WEB}/tags/v1/history?maxResults=1")).await.show());
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn an_immutable_tag_stays_and_an_index_protects_its_images() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    let one = world.image(&path, "one", &["v1"]).await;
    let two = world.image(&path, "two", &[]).await;
    let size = world.get(&format!("{WEB}/images/{two}/manifest")).await.body.len();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": hythe_model::MediaType::OCI_INDEX,
        "manifests": [{ "mediaType": hythe_model::MediaType::OCI_MANIFEST, "digest": two, "size": size }],
    });
    let index = world.put(&path, &index, &["multi"]).await;
    let immutable = json!({ "imageTagMutability": "IMMUTABLE" });
    world
        .call(&world.root, "PATCH", WEB)
        .json(&immutable)
        .send()
        .await
        .expect(200);
    let put = |tag: &str, digest| {
        let body = json!({ "imageDigest": digest });
        world.call(&world.root, "PUT", &format!("{WEB}/tags/{tag}")).json(&body)
    };
    let refused = put("v1", two).send().await;
    refused.expect_code(409, "ImageTagAlreadyExistsException");
    assert_eq!(
        refused.text("/detail"),
        "The image tag 'v1' already exists in the 'team-a/web' repository and cannot be overwritten because the tag is immutable."
    );
    put("v2", one).send().await.expect(200);
    put("v3", support::sha256(b"absent"))
        .send()
        .await
        .expect_code(404, "ImageNotFoundException");
    put(".bad", one)
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
    let delete = |what: String| world.call(&world.root, "DELETE", &format!("{WEB}/{what}"));
    delete(format!("images/{two}"))
        .send()
        .await
        .expect_code(409, "ImageReferencedByManifestListException");
    delete(format!("images/{index}")).send().await.expect(200);
    delete(format!("images/{two}")).send().await.expect(200);
    delete("tags/v9".into())
        .send()
        .await
        .expect_code(404, "ImageNotFoundException");
    let forced = world
        .call(&world.root, "DELETE", &format!("{WEB}?force=true"))
        .send()
        .await;
    forced.expect(200);
    world
        .get(&format!("{WEB}/images"))
        .await
        .expect_code(404, "RepositoryNotFoundException");
}

#[tokio::test]
async fn an_archived_image_is_listed_on_request_and_comes_back() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    let one = world.image(&path, "one", &["v1"]).await;
    let two = world.image(&path, "two", &["v2"]).await;
    let change = async |digest, class: &str| {
        let body = json!({ "targetStorageClass": class });
        let target = format!("{WEB}/images/{digest}/storage-class");
        world.call(&world.root, "PUT", &target).json(&body).send().await
    };
    let listed = async |query: &str| {
        let page = world.get(&format!("{WEB}/images{query}")).await.expect(200).json();
        let images = page["images"].as_array().unwrap().iter();
        images
            .map(|image| image["imageDigest"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let both = {
        let mut both = [one.to_string(), two.to_string()];
        both.sort();
        both
    };
    assert_eq!(listed("").await, both);
    let archived = change(one, "ARCHIVE").await;
    assert_eq!(archived.expect(200).text("/imageStatus"), "ARCHIVED");
    assert_eq!(
        change(one, "ARCHIVE").await.expect(200).text("/imageStatus"),
        "ARCHIVED"
    );
    assert_eq!(listed("").await, [two.to_string()]);
    assert_eq!(listed("?imageStatus=ARCHIVED").await, [one.to_string()]);
    assert_eq!(listed("?imageStatus=ANY").await, both);
    assert_eq!(listed("?imageStatus=ARCHIVED&tagStatus=UNTAGGED").await, [""; 0]);
    // A token of one list is none of another.
    let page = world.get(&format!("{WEB}/images?imageStatus=ANY&maxResults=1")).await;
    let token = page.expect(200).text("/nextToken");
    world
        .get(&format!("{WEB}/images?maxResults=1&nextToken={token}"))
        .await
        .expect_code(400, "InvalidParameterException");
    let detail = world.get(&format!("{WEB}/images/{one}")).await;
    assert_eq!(detail.expect(200).text("/storageClass"), "ARCHIVE");
    assert!(!detail.text("/lastArchivedAt").is_empty());
    world.get(&format!("{WEB}/tags/v1")).await.expect(200);
    world
        .get(&format!("{WEB}/images/{one}/manifest"))
        .await
        .expect_code(404, "ImageNotFoundException");

    let restored = change(one, "STANDARD").await;
    assert_eq!(restored.expect(200).text("/imageStatus"), "ACTIVATING");
    for class in ["STANDARD", "ARCHIVE"] {
        change(one, class)
            .await
            .expect_code(409, "ImageStorageClassUpdateNotSupportedException");
    }
    assert_eq!(listed("?imageStatus=ACTIVATING").await, [one.to_string()]);
    world.image(&path, "one", &["v1"]).await;
    assert_eq!(listed("").await, both, "a push restores at once");
    for class in ["ARCHIVE", "STANDARD"] {
        change(one, class).await.expect(200);
    }
    let finished = world.store.finish_activations(None, 9, world.clock.now()).await;
    assert_eq!(finished.unwrap().count, 1);
    assert_eq!(listed("").await, both);
    // Nobody asked for it just now: the server says so, as ECR does.
    let events = world
        .get("/api/v1/audit-events?eventName=ImageActivationEvent")
        .await
        .expect(200)
        .json();
    let events = events["auditEvents"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["eventType"], &events[0]["userIdentity"]["type"]),
        (&json!("AwsServiceEvent"), &json!("AWSService"))
    );
    assert_eq!(
        events[0]["serviceEventDetails"],
        json!({
            "repositoryName": "team-a/web", "imageDigest": one, "targetStorageClass": "STANDARD",
            "result": "SUCCESS", "imageStatus": "ACTIVE"
        })
    );
    change(one, "GLACIER")
        .await
        .expect_code(400, "InvalidParameterException");
    change(support::sha256(b"absent"), "ARCHIVE")
        .await
        .expect_code(404, "ImageNotFoundException");
}

#[tokio::test]
async fn referrers_are_listed_by_kind() {
    let world = World::new().await;
    let path = world.repository("team-a/web").await;
    let subject = world.image(&path, "one", &["v1"]).await;
    let config = support::sha256(b"one");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": hythe_model::MediaType::OCI_MANIFEST,
        "artifactType": "application/vnd.example.sbom",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 3 },
        "layers": [],
        "subject": { "mediaType": hythe_model::MediaType::OCI_MANIFEST, "digest": subject, "size": 1 },
        "annotations": { "made": "here" },
    });
    let referrer = world.put(&path, &manifest, &[]).await;
    let list = |query: &str| format!("{WEB}/referrers/{subject}{query}");
    let found = world.get(&list("")).await.expect(200).json();
    assert_eq!(found["referrers"][0]["digest"], json!(referrer));
    assert_eq!(found["referrers"][0]["annotations"], json!({ "made": "here" }));
    let none = world.get(&list("?artifactType=application/x")).await.expect(200).json();
    assert_eq!(none["referrers"], json!([]));
    world
        .get(&list("?artifactType="))
        .await
        .expect_code(400, "InvalidParameterException");
    let elsewhere = format!("/api/v1/repositories/ab/referrers/{subject}");
    world
        .get(&elsewhere)
        .await
        .expect_code(404, "RepositoryNotFoundException");
}

#[tokio::test]
async fn users_and_their_keys_are_kept() {
    let world = World::new().await;
    let create = json!({ "userName": "ada", "policies": ["ReadOnly"] });
    let mut shown = vec![world.post("/api/v1/users", create.clone()).await.show()];
    shown.push(world.post("/api/v1/users", create).await.show());
    let patch = |body| world.call(&world.root, "PATCH", "/api/v1/users/ada").json(&body);
    shown.push(
        patch(json!({ "policies": ["PowerUser", "PullOnly"] }))
            .send()
            .await
            .show(),
    );
    patch(json!({ "policies": [] }))
        .header("if-match", "\"1\"")
        .send()
        .await
        .expect(412);
    patch(json!({}))
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
    patch(json!({ "policies": ["Nope"] }))
        .send()
        .await
        .expect_code(400, "InvalidParameterException");
    shown.push(world.get("/api/v1/users").await.show());
    let keys = "/api/v1/users/ada/access-keys";
    let key = world.call(&world.root, "POST", keys).send().await;
    let id = key.expect(201).text("/accessKeyId");
    assert_eq!(key.text("/secretAccessKey").len(), 40);
    assert_eq!(key.header("location"), format!("{keys}/{id}"));
    world.call(&world.root, "POST", keys).send().await.expect(201);
    world
        .call(&world.root, "POST", keys)
        .send()
        .await
        .expect_code(409, "LimitExceededException");
    let listed = world.get(keys).await.expect(200).json();
    assert_eq!(listed["accessKeys"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("secret"), "{listed}");
    let off = world
        .call(&world.root, "PATCH", &format!("{keys}/{id}"))
        .json(&json!({ "status": "Inactive" }))
        .send()
        .await;
    assert_eq!(off.expect(200).text("/status"), "Inactive");
    world
        .call(&world.root, "DELETE", &format!("{keys}/{id}"))
        .send()
        .await
        .expect(200);
    world
        .call(&world.root, "DELETE", &format!("{keys}/{id}"))
        .send()
        .await
        .expect_code(404, "ResourceNotFoundException");
    shown.push(
        world
            .call(&world.root, "DELETE", "/api/v1/users/ada")
            .send()
            .await
            .show(),
    );
    shown.push(world.get("/api/v1/users/ada").await.show());
    world.get(keys).await.expect_code(404, "ResourceNotFoundException");
    world
        .call(&world.root, "POST", keys)
        .send()
        .await
        .expect_code(404, "ResourceNotFoundException");
    world
        .post("/api/v1/users", json!({ "userName": "a b" }))
        .await
        .expect_code(400, "InvalidParameterException");
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn the_registry_and_the_caller_are_described() {
    let world = World::new().await;
    let ada = world.user("ada", &[]).await;
    let shown = [
        world.get("/api/v1/registry").await.show(),
        world.get("/api/v1/caller-identity").await.show(),
        world.call(&ada, "GET", "/api/v1/caller-identity").send().await.show(),
    ];
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn requests_that_are_none_get_problems() {
    let world = World::new().await;
    let mut shown = vec![
        world.get("/api/v1/nothing").await.show(),
        world.get("/api/v1").await.show(),
        world.get("/api/v1/repositories/ab/nothing").await.show(),
        world
            .call(&world.root, "PUT", "/api/v1/repositories")
            .send()
            .await
            .show(),
        world
            .call(&world.root, "HEAD", "/api/v1/repositories")
            .send()
            .await
            .show(),
        world
            .call(&world.root, "HEAD", "/api/v1/repositories/ab")
            .send()
            .await
            .show(),
        world.get("/api/v1/repositories/%FF").await.show(),
        world.get("/api/v1/users/ada?x=1").await.show(),
    ];
    let post = |content_type: Option<&str>, body: Vec<u8>| {
        world
            .call(&world.root, "POST", "/api/v1/repositories")
            .body(content_type, body)
    };
    let json = Some("application/json; charset=utf-8");
    shown.push(post(Some("text/plain"), b"{}".to_vec()).send().await.show());
    shown.push(post(None, b"{}".to_vec()).send().await.show());
    shown.push(post(json, b"{".to_vec()).send().await.show());
    shown.push(post(json, vec![b'['; 2000]).send().await.show());
    shown.push(post(json, vec![b' '; 1024 * 1024 + 1]).send().await.show());
    shown.push(post(None, Vec::new()).send().await.show());
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn a_request_without_an_id_gets_one() {
    let world = World::new().await;
    let bare = |id: Option<&str>| {
        let mut request = http::Request::get("/api/v1/registry");
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        tower::ServiceExt::oneshot(world.router.clone(), request.body(axum::body::Body::empty()).unwrap())
    };
    let id =
        |response: http::Response<axum::body::Body>| response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let (one, two) = (id(bare(None).await.unwrap()), id(bare(None).await.unwrap()));
    assert!(one.len() == 32 && one != two);
    let long = "x".repeat(129);
    assert_ne!(id(bare(Some(&long)).await.unwrap()), long);
    assert_eq!(id(bare(Some("mine")).await.unwrap()), "mine");
}

#[tokio::test]
async fn requests_are_counted_by_operation() {
    let world = World::new().await;
    let metrics = hythe_rest::Metrics::default();
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let router = hythe_rest::router(world.plane.clone(), metrics);
    let request = http::Request::get("/api/v1/registry")
        .body(axum::body::Body::empty())
        .unwrap();
    tower::ServiceExt::oneshot(router, request).await.unwrap();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(
        text.contains("hythe_control_requests_total{operation=\"DescribeRegistry\",status=\"401\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("hythe_control_request_duration_seconds_count{operation=\"DescribeRegistry\"} 1"),
        "{text}"
    );
}
