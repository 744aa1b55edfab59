// SPDX-License-Identifier: Apache-2.0
//! Templates of repositories that the server creates, as a client sees them.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Auth, World};

const TEMPLATES: &str = "/api/v1/repository-creation-templates";
const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:BatchGetImage"}]}"#;
const LIFECYCLE: &str = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":5},"action":{"type":"expire"}}]}"#;

async fn patch(world: &World, prefix: &str, body: Value) -> support::Reply {
    let path = format!("{TEMPLATES}/{prefix}");
    world.call(&world.root, "PATCH", &path).json(&body).send().await
}

#[tokio::test]
async fn a_template_is_created_described_changed_listed_and_deleted() {
    let world = World::new().await;
    let body = json!({
        "prefix": "team-a/prod", "appliedFor": ["REPLICATION", "CREATE_ON_PUSH"], "description": "d",
        "imageTagMutability": "IMMUTABLE", "resourceTags": [{ "Key": "team", "Value": "a" }],
        "repositoryPolicy": POLICY, "lifecyclePolicy": LIFECYCLE,
    });
    let created = world.post(TEMPLATES, body.clone()).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), format!("{TEMPLATES}/team-a%2Fprod"));
    assert_eq!(
        created.json(),
        json!({
            "registryId": "000000000000", "prefix": "team-a/prod", "description": "d",
            "appliedFor": ["CREATE_ON_PUSH", "REPLICATION"], "imageTagMutability": "IMMUTABLE",
            "allowSparseIndexes": false, "encryptionConfiguration": { "encryptionType": "AES256" },
            "resourceTags": [{ "Key": "team", "Value": "a" }], "repositoryPolicy": POLICY, "lifecyclePolicy": LIFECYCLE,
            "createdAt": "2026-11-01T00:00:00Z", "updatedAt": "2026-11-01T00:00:00Z",
        })
    );
    world
        .post(TEMPLATES, body)
        .await
        .expect_code(409, "TemplateAlreadyExistsException");
    let root = json!({ "prefix": "ROOT", "appliedFor": ["CREATE_ON_PUSH"] });
    world.post(TEMPLATES, root).await.expect(201);

    let page = world.get(&format!("{TEMPLATES}?maxResults=1")).await.json();
    assert_eq!(page["repositoryCreationTemplates"][0]["prefix"], "ROOT");
    let next = page["nextToken"].as_str().unwrap();
    let page = world.get(&format!("{TEMPLATES}?maxResults=1&nextToken={next}")).await;
    assert_eq!(page.json()["repositoryCreationTemplates"][0]["prefix"], "team-a/prod");
    assert_eq!(page.json().get("nextToken"), None);

    let changed = patch(
        &world,
        "team-a%2Fprod",
        json!({ "description": "", "repositoryPolicy": "", "appliedFor": ["PULL_THROUGH_CACHE"], "resourceTags": [] }),
    )
    .await;
    let changed = changed.expect(200).json();
    assert_eq!(
        (changed.get("description"), changed.get("repositoryPolicy")),
        (None, None)
    );
    assert_eq!(changed["appliedFor"], json!(["PULL_THROUGH_CACHE"]));
    assert_eq!(changed["lifecyclePolicy"], LIFECYCLE, "what is absent stays");
    let path = format!("{TEMPLATES}/team-a%2Fprod");
    let stale = world
        .call(&world.root, "PATCH", &path)
        .header("if-match", created.header("etag"));
    let stale = stale.json(&json!({ "description": "x" })).send().await;
    stale.expect_code(412, "PreconditionFailedException");
    patch(&world, "team-a%2Fprod", json!({}))
        .await
        .expect_code(400, "InvalidParameterException");

    world.call(&world.root, "DELETE", &path).send().await.expect(200);
    for gone in [
        world.get(&path).await,
        patch(&world, "team-a%2Fprod", json!({ "description": "x" })).await,
        world.call(&world.root, "DELETE", &path).send().await,
    ] {
        gone.expect_code(404, "TemplateNotFoundException");
    }
}

/// What differs from a good request, and where the answer points.
#[tokio::test]
async fn a_wrong_setting_is_named() {
    let world = World::new().await;
    let cases = [
        (json!({ "prefix": "prod/" }), "/prefix"),
        (json!({ "appliedFor": [] }), "/appliedFor"),
        (json!({ "appliedFor": ["REPLICATION", "REPLICATION"] }), "/appliedFor"),
        (json!({ "description": "x".repeat(257) }), "/description"),
        (
            json!({ "imageTagMutabilityExclusionFilters": [{ "filterType": "WILDCARD", "filter": "a*" }] }),
            "/imageTagMutabilityExclusionFilters",
        ),
        (
            json!({ "repositoryPolicy": r#"{"Version":"2012-10-17","Statement":[{"Effect":"Permit"}]}"# }),
            "/repositoryPolicy/Statement/0/Effect",
        ),
        (
            json!({ "lifecyclePolicy": r#"{"rules":[]}"# }),
            "/lifecyclePolicy/rules",
        ),
        (
            json!({ "encryptionConfiguration": { "encryptionType": "KMS" } }),
            "/encryptionConfiguration/encryptionType",
        ),
    ];
    for (difference, pointer) in cases {
        let mut body = json!({ "prefix": "prod", "appliedFor": ["CREATE_ON_PUSH"] });
        for (name, value) in difference.as_object().unwrap() {
            body[name] = value.clone();
        }
        let refused = world.post(TEMPLATES, body).await;
        assert_eq!(refused.status, 400, "{difference}");
        assert_eq!(refused.text("/pointer"), pointer, "{}", refused.json());
    }
}

#[tokio::test]
async fn who_sets_a_template_up_needs_the_rights_that_it_uses() {
    let world = World::new().await;
    let statement =
        |actions: Value, resource: &str| json!({ "Effect": "Allow", "Action": actions, "Resource": resource });
    let document = json!({
        "Version": "2012-10-17",
        "Statement": [
            statement(json!("ecr:CreateRepositoryCreationTemplate"), "*"),
            statement(
                json!(["ecr:CreateRepository", "ecr:PutLifecyclePolicy"]),
                "arn:aws:ecr:*:*:repository/team-a/*",
            ),
        ],
    });
    let policy = json!({ "policyName": "templates", "policyDocument": document.to_string() });
    world.post("/api/v1/policies", policy).await.expect(201);
    let ada: Auth = world.user("ada", &["templates"]).await;
    let create = |body: Value| world.call(&ada, "POST", TEMPLATES).json(&body).send();
    let template = |prefix: &str, more: Value| {
        let mut body = json!({ "prefix": prefix, "appliedFor": ["CREATE_ON_PUSH"] });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let refused = [
        template("ROOT", json!({})),
        template("team-b", json!({})),
        template("team-a", json!({ "repositoryPolicy": POLICY })),
        template("team-a", json!({ "resourceTags": [{ "Key": "a", "Value": "b" }] })),
    ];
    for body in refused {
        create(body).await.expect_code(403, "AccessDeniedException");
    }
    create(template("team-a", json!({ "lifecyclePolicy": LIFECYCLE })))
        .await
        .expect(201);
}

/// A template is for all repositories below its prefix, so that a denial for one of them is in its way.
#[tokio::test]
async fn a_template_takes_the_rights_on_all_that_it_is_for() {
    let world = World::new().await;
    let all = json!({ "Effect": "Allow", "Action": ["ecr:*"], "Resource": "*" });
    let denied = |resource: &str| {
        let deny = json!({ "Effect": "Deny", "Action": "ecr:CreateRepository",
            "Resource": format!("arn:aws:ecr:*:*:repository/{resource}") });
        json!({ "Version": "2012-10-17", "Statement": [all, deny] })
    };
    let only = |resource: &str| {
        let template = json!({ "Effect": "Allow", "Action": "ecr:*RepositoryCreationTemplate*", "Resource": "*" });
        let create = json!({ "Effect": "Allow", "Action": "ecr:CreateRepository",
            "Resource": format!("arn:aws:ecr:*:*:repository/{resource}") });
        json!({ "Version": "2012-10-17", "Statement": [template, create] })
    };
    let cases = [
        ("a", denied("prod/secret"), 403),
        ("b", denied("prod/*/secret"), 403),
        ("c", denied("*secret"), 403),
        ("d", denied("prod"), 201),
        ("e", denied("production/*"), 201),
        ("f", only("prod/*"), 201),
        ("g", only("*"), 201),
        ("h", only("prod/?"), 403),
        ("i", only("prod/team-*"), 403),
    ];
    for (name, document, status) in cases {
        let body = json!({ "policyName": name, "policyDocument": document.to_string() });
        world.post("/api/v1/policies", body).await.expect(201);
        let user = world.user(name, &[name]).await;
        let body = json!({ "prefix": "prod", "appliedFor": ["CREATE_ON_PUSH"] });
        let reply = world.call(&user, "POST", TEMPLATES).json(&body).send().await;
        assert_eq!(reply.status, status, "{document}");
        if status == 201 {
            let path = format!("{TEMPLATES}/prod");
            world.call(&world.root, "DELETE", &path).send().await.expect(200);
        }
    }
}
