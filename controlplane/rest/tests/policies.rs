// SPDX-License-Identifier: Apache-2.0
//! Policies of repositories, registries and accounts, from the first to the last.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Auth, Reply, World};

const WEB: &str = "/api/v1/repositories/team-a%2Fweb/policy";
const REGISTRY: &str = "/api/v1/registry/policy";
const STATEMENTS: &str = "/api/v1/registry/policy/statements";
const POLICIES: &str = "/api/v1/policies";

/// As somebody writes it: it comes back with all its white space.
const PULL: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    { "Sid": "Pull", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::000000000000:root" },
      "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] }
  ]
}
"#;

impl World {
    async fn send_put(&self, path: &str, body: Value) -> Reply {
        self.call(&self.root, "PUT", path).json(&body).send().await
    }

    async fn send_delete(&self, path: &str) -> Reply {
        self.call(&self.root, "DELETE", path).send().await
    }
}

/// Entity tags are random.
fn show(reply: &Reply) -> String {
    let tag = reply.header("etag");
    if tag.is_empty() {
        reply.show()
    } else {
        reply.show().replace(tag, "\"…\"")
    }
}

fn document(statements: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn denying(principal: &str, action: &str) -> Value {
    json!([{ "Effect": "Deny", "Principal": principal, "Action": action }])
}

#[tokio::test]
async fn a_repository_policy_lives_from_set_to_delete() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let mut shown = vec![show(&world.get(WEB).await)];
    shown.push(show(&world.send_put(WEB, json!({ "policyText": PULL })).await));
    shown.push(show(&world.get(WEB).await));
    shown.push(show(&world.send_delete(WEB).await));
    shown.push(show(&world.get(WEB).await));
    shown.push(show(&world.get(&WEB.replace("web", "api")).await));
    shown.push(show(
        &world
            .send_put(&WEB.replace("web", "api"), json!({ "policyText": PULL }))
            .await,
    ));
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn a_registry_policy_lives_from_put_to_delete_and_by_statement() {
    let world = World::new().await;
    let mut shown = vec![show(&world.get(REGISTRY).await), show(&world.get(STATEMENTS).await)];
    shown.push(show(
        &world
            .send_put(REGISTRY, json!({ "policyText": registry_policy() }))
            .await,
    ));
    shown.push(show(&world.get(REGISTRY).await));
    let share = |action: &str| {
        let statement = json!({ "Effect": "Allow", "Principal": { "AWS": "000000000000" }, "Action": action,
                                "Resource": "arn:aws:ecr:*:000000000000:repository/shared/*" });
        json!({ "statement": statement.to_string() })
    };
    let path = format!("{STATEMENTS}/Share%20it");
    shown.push(show(&world.send_put(&path, share("ecr:BatchGetImage")).await));
    shown.push(show(&world.send_put(&path, share("ecr:PutImage")).await));
    shown.push(show(&world.get(&path).await));
    shown.push(show(&world.get(STATEMENTS).await));
    shown.push(show(&world.get(REGISTRY).await));
    shown.push(show(&world.send_delete(&path).await));
    shown.push(show(&world.send_delete(&path).await));
    shown.push(show(&world.send_delete(&format!("{STATEMENTS}/Create")).await));
    shown.push(show(&world.get(REGISTRY).await));
    world
        .send_put(REGISTRY, json!({ "policyText": registry_policy() }))
        .await
        .expect(200);
    shown.push(show(&world.send_delete(REGISTRY).await));
    shown.push(show(&world.send_delete(REGISTRY).await));
    insta::assert_snapshot!(shown.join("\n\n"));
}

fn registry_policy() -> String {
    document(
        &json!([{ "Sid": "Create", "Effect": "Allow", "Principal": { "AWS": "000000000000" },
                       "Action": "ecr:CreateRepository", "Resource": "*" }]),
    )
}

#[tokio::test]
async fn a_policy_lives_from_create_to_delete() {
    let world = World::new().await;
    let text = |action: &str| document(&json!([{ "Effect": "Allow", "Action": action, "Resource": "*" }]));
    let create = json!({ "policyName": "deploy", "description": "For the machines that deploy",
                         "policyDocument": text("ecr:BatchGetImage"), "resourceTags": [{ "Key": "team", "Value": "a" }] });
    let path = format!("{POLICIES}/deploy");
    let mut shown = vec![show(&world.post(POLICIES, create.clone()).await)];
    shown.push(show(&world.post(POLICIES, create).await));
    world.clock.advance_seconds(60);
    shown.push(show(
        &world.send_put(&path, json!({ "policyDocument": text("ecr:*") })).await,
    ));
    shown.push(show(&world.get(&path).await));
    shown.push(show(
        &world
            .get(&format!("{POLICIES}/AmazonEC2ContainerRegistryPullOnly"))
            .await,
    ));
    shown.push(show(&world.send_delete(&path).await));
    shown.push(show(&world.get(&path).await));
    shown.push(show(&world.send_delete(&format!("{POLICIES}/PullOnly")).await));
    let reserved = json!({ "policyName": "PullOnly", "policyDocument": text("ecr:*") });
    shown.push(show(&world.post(POLICIES, reserved).await));
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn policies_are_listed_page_by_page() {
    let world = World::new().await;
    let text = document(&json!([{ "Effect": "Allow", "Action": "ecr:*", "Resource": "*" }]));
    for name in ["a", "Read", "Z"] {
        let create = json!({ "policyName": name, "policyDocument": text });
        world.post(POLICIES, create).await.expect(201);
    }
    world.user("ann", &["ReadOnly"]).await;
    for (query, wanted) in [
        ("", "FullAccess PowerUser PullOnly ReadOnly+1 Read Z a"),
        ("scope=AWS", "FullAccess PowerUser PullOnly ReadOnly+1"),
        ("scope=Local", "Read Z a"),
    ] {
        for size in [1, 2, 3, 4, 7] {
            let mut names = Vec::new();
            let mut next = String::new();
            loop {
                let page = world
                    .get(&format!("{POLICIES}?{query}&maxResults={size}{next}").replace("?&", "?"))
                    .await
                    .expect(200)
                    .json();
                let policies = page["policies"].as_array().unwrap();
                assert!(policies.len() <= size);
                names.extend(policies.iter().map(|policy| {
                    let name = policy["policyName"].as_str().unwrap();
                    match policy["attachmentCount"].as_u64().unwrap() {
                        0 => name.to_owned(),
                        count => format!("{name}+{count}"),
                    }
                }));
                match page["nextToken"].as_str() {
                    Some(token) => next = format!("&nextToken={token}"),
                    None => break,
                }
            }
            assert_eq!(names.join(" "), wanted, "{query} {size}");
        }
    }
    world
        .get(&format!("{POLICIES}?scope=mine"))
        .await
        .expect_code(400, "InvalidParameterException");
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table of cases")]
async fn documents_that_are_none_are_refused_with_their_place() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let allow = |more: Value| {
        let mut statement = json!({ "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage" });
        statement
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        document(&json!([statement]))
    };
    let cases = [
        ("{".to_owned(), "", "Invalid repository policy provided"),
        (" ".repeat(10_241), "", "Invalid repository policy provided"),
        (
            allow(json!({ "Effect": "allow" })),
            "/Statement/0/Effect",
            "Invalid repository policy provided",
        ),
        (
            allow(json!({ "Actions": "x" })),
            "/Statement/0/Actions",
            "Invalid repository policy provided",
        ),
        (
            allow(json!({ "Principal": { "AWS": ["000000000000", "arn:aws:iam::000000000000:user/nobody"] } })),
            "/Statement/0/Principal/AWS/1",
            "Principal not found",
        ),
        (
            allow(json!({ "Principal": { "AWS": "arn:aws:iam::000000000000:role/nobody" } })),
            "/Statement/0/Principal/AWS",
            "Principal not found",
        ),
        (
            allow(json!({ "Principal": { "AWS": "arn:aws:sts::000000000000:assumed-role/nobody/me" } })),
            "/Statement/0/Principal/AWS",
            "Principal not found",
        ),
        (
            allow(json!({ "Principal": { "AWS": "111111111111" } })),
            "/Statement/0/Principal/AWS",
            "Principal not found",
        ),
    ];
    for (text, place, constraint) in cases {
        let refused = world.send_put(WEB, json!({ "policyText": text })).await;
        refused.expect_code(400, "InvalidParameterException");
        assert_eq!(refused.text("/pointer"), format!("/policyText{place}"), "{text}");
        let start = format!("Invalid parameter at 'PolicyText' failed to satisfy constraint: '{constraint}': ");
        assert!(
            refused.text("/detail").starts_with(&start),
            "{}",
            refused.text("/detail")
        );
        let refused = world.send_put(REGISTRY, json!({ "policyText": text })).await;
        refused.expect_code(400, "InvalidParameterException");
        let constraint = constraint.replace("repository", "registry");
        assert!(
            refused.text("/detail").contains(&format!("'{constraint}'")),
            "{}",
            refused.text("/detail")
        );
    }
    world
        .get(WEB)
        .await
        .expect_code(404, "RepositoryPolicyNotFoundException");
    world
        .get(REGISTRY)
        .await
        .expect_code(404, "RegistryPolicyNotFoundException");

    let statements = [
        ("[]", ""),
        (r#"{"Sid":"Other"}"#, "/Sid"),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"x","Resource":"*"}"#,
            "/Action",
        ),
        (
            r#"{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"ecr:*","Resource":"*"}"#,
            "/Principal/AWS",
        ),
    ];
    for (statement, place) in statements {
        let refused = world
            .send_put(&format!("{STATEMENTS}/Mine"), json!({ "statement": statement }))
            .await;
        refused.expect_code(400, "InvalidParameterException");
        assert_eq!(refused.text("/pointer"), format!("/statement{place}"), "{statement}");
        let detail = refused.text("/detail");
        assert!(!detail.contains("/Statement/0"), "{detail}");
    }

    let long = "x".repeat(6144);
    let documents = [
        ("{".to_owned(), ""),
        (
            document(&json!([{ "Effect": "Allow", "Action": "ecr:*" }])),
            "/Statement/0/Resource",
        ),
        (
            document(&json!([{ "Effect": "Allow", "Action": "ecr:*",
                               "Resource": format!("arn:aws:ecr:*:*:repository/{long}") }])),
            "",
        ),
    ];
    for (text, place) in documents {
        let create = json!({ "policyName": "p", "policyDocument": text });
        let refused = world.post(POLICIES, create).await;
        refused.expect_code(400, "InvalidParameterException");
        assert_eq!(refused.text("/pointer"), format!("/policyDocument{place}"), "{text}");
    }
    let good = document(&json!([{ "Effect": "Allow", "Action": "ecr:*", "Resource": "*" }]));
    for (member, value, code) in [
        ("policyName", json!("a b"), "InvalidParameterException"),
        ("description", json!("x".repeat(1001)), "InvalidParameterException"),
        (
            "resourceTags",
            json!([{ "Key": "", "Value": "" }]),
            "InvalidTagParameterException",
        ),
    ] {
        let mut create = json!({ "policyName": "p", "policyDocument": good });
        create[member] = value;
        let refused = world.post(POLICIES, create).await;
        refused.expect_code(400, code);
        assert_eq!(refused.text("/pointer"), format!("/{member}"));
    }
}

#[tokio::test]
async fn who_would_be_locked_out_has_to_insist() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let texts = [
        document(&denying("*", "ecr:SetRepositoryPolicy")),
        document(&denying("*", "ecr:Set*")),
        document(
            &json!([{ "Effect": "Deny", "NotPrincipal": { "AWS": "arn:aws:iam::000000000000:user/ann" },
                           "Action": "ecr:*" }]),
        ),
    ];
    world.user("ann", &["FullAccess"]).await;
    for text in &texts {
        let refused = world.send_put(WEB, json!({ "policyText": text })).await;
        refused.expect_code(400, "InvalidParameterException");
        assert!(refused.text("/detail").contains("would not let you set another one"));
        assert_eq!(refused.text("/pointer"), "/policyText");
    }
    // Somebody else is none of the caller's concern, and neither is another action.
    let ann = json!([{ "Effect": "Deny", "Principal": { "AWS": "arn:aws:iam::000000000000:user/ann" },
                       "Action": "ecr:SetRepositoryPolicy" },
                     { "Effect": "Deny", "Principal": "*", "Action": "ecr:DeleteRepository" }]);
    world
        .send_put(WEB, json!({ "policyText": document(&ann) }))
        .await
        .expect(200);
    world
        .send_put(WEB, json!({ "policyText": texts[0], "force": true }))
        .await
        .expect(200);

    let text = document(
        &json!([{ "Effect": "Deny", "Principal": "*", "Action": "ecr:PutRegistryPolicy",
                                  "Resource": "*" }]),
    );
    world
        .send_put(REGISTRY, json!({ "policyText": text }))
        .await
        .expect_code(400, "InvalidParameterException");
    let statement = json!({ "Effect": "Deny", "Principal": "*", "Action": "ecr:*", "Resource": "*" }).to_string();
    let refused = world
        .send_put(&format!("{STATEMENTS}/Closed"), json!({ "statement": statement }))
        .await;
    refused.expect_code(400, "InvalidParameterException");
    assert_eq!(refused.text("/pointer"), "/statement");
    world
        .get(REGISTRY)
        .await
        .expect_code(404, "RegistryPolicyNotFoundException");
    world
        .send_put(REGISTRY, json!({ "policyText": text, "force": true }))
        .await
        .expect(200);
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_not_written_over() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let policy = document(&json!([{ "Effect": "Allow", "Action": "ecr:*", "Resource": "*" }]));
    let create = json!({ "policyName": "p", "policyDocument": policy });
    world.post(POLICIES, create).await.expect(201);
    let statement =
        |action: &str| json!({ "Effect": "Allow", "Principal": "*", "Action": action, "Resource": "*" }).to_string();
    for (path, one, other) in [
        (
            WEB.to_owned(),
            json!({ "policyText": PULL }),
            json!({ "policyText": PULL.replace("Pull", "Other") }),
        ),
        (
            REGISTRY.to_owned(),
            json!({ "policyText": registry_policy() }),
            json!({ "policyText": registry_policy().replace("Create\"", "Other\"") }),
        ),
        (
            format!("{STATEMENTS}/Mine"),
            json!({ "statement": statement("ecr:BatchGetImage") }),
            json!({ "statement": statement("ecr:ListImages") }),
        ),
        (
            format!("{POLICIES}/p"),
            json!({ "policyDocument": policy }),
            json!({ "policyDocument": policy.replace("ecr:*", "ecr:ListImages") }),
        ),
    ] {
        let first = world.send_put(&path, one.clone()).await;
        let first = first.expect(200).header("etag");
        assert_eq!(world.get(&path).await.header("etag"), first);
        let change = |etag: &str, body: &Value| {
            world
                .call(&world.root, "PUT", &path)
                .header("if-match", etag)
                .json(body)
        };
        let changed = change(first, &other).send().await;
        let second = changed.expect(200).header("etag");
        assert_ne!(first, second);
        let stale = change(first, &one).send().await;
        stale.expect_code(412, "PreconditionFailedException");
        let stale = world.call(&world.root, "DELETE", &path).header("if-match", first);
        stale.send().await.expect_code(412, "PreconditionFailedException");
        let last = world.call(&world.root, "DELETE", &path).header("if-match", second);
        last.send().await.expect(200);
        world.get(&path).await.expect(404);
    }
}

#[tokio::test]
async fn statements_that_are_put_at_once_are_all_there() {
    let world = World::new().await;
    let put = |number: usize| {
        let statement = json!({ "Effect": "Allow", "Principal": "*", "Action": "ecr:ListImages", "Resource": "*" });
        let path = format!("{STATEMENTS}/S{number}");
        let body = json!({ "statement": statement.to_string() });
        let world = &world;
        async move { world.send_put(&path, body).await.expect(200).status }
    };
    futures::future::join_all((0..20).map(put)).await;
    let listed = world.get(STATEMENTS).await.json();
    assert_eq!(listed["statements"].as_array().unwrap().len(), 20);
    let drop = |number: usize| {
        let path = format!("{STATEMENTS}/S{number}");
        let world = &world;
        async move { world.send_delete(&path).await.expect(200).status }
    };
    futures::future::join_all((1..20).map(drop)).await;
    let listed = world.get(STATEMENTS).await.json();
    assert_eq!(listed["statements"][0]["sid"], "S0");
    assert_eq!(listed["statements"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn whether_there_is_a_policy_is_told_to_those_only_who_may_read_it() {
    let world = World::new().await;
    for name in ["team-a/web", "team-a/api"] {
        world.repository(name).await;
    }
    world.send_put(WEB, json!({ "policyText": PULL })).await.expect(200);
    let eve = world.user("eve", &[]).await;
    for auth in [&eve, &Auth::Nobody] {
        let mut answers = Vec::new();
        for name in ["web", "api", "nothing"] {
            let reply = world.call(auth, "GET", &WEB.replace("web", name)).send().await;
            answers.push((reply.status, String::from_utf8_lossy(&reply.body).replace(name, "…")));
        }
        assert!(answers[0].0 == 401 || answers[0].0 == 403);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
}

#[tokio::test]
async fn a_user_does_not_inherit_what_the_one_before_of_its_name_was_given() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let ann = world.user("ann", &[]).await;
    let statements = json!([{ "Effect": "Allow", "Action": "ecr:DescribeRepositories",
                              "Principal": { "AWS": "arn:aws:iam::000000000000:user/ann" } }]);
    let body = json!({ "policyText": document(&statements) });
    let look = async |auth: &Auth| {
        let call = world.call(auth, "GET", "/api/v1/repositories/team-a%2Fweb");
        call.send().await.status
    };
    assert_eq!(look(&ann).await, 403);
    world.send_put(WEB, body.clone()).await.expect(200);
    assert_eq!(look(&ann).await, 200);
    world.send_delete("/api/v1/users/ann").await.expect(200);
    world.clock.advance_seconds(1);
    let next = world.user("ann", &[]).await;
    assert_eq!(look(&next).await, 403, "the document is from before");
    world.send_put(WEB, body).await.expect(200);
    assert_eq!(look(&next).await, 200, "and names her now");
}

#[tokio::test]
async fn a_statement_that_is_put_revives_no_other() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let statement = |sid: &str, user: &str| {
        json!({ "Sid": sid, "Effect": "Allow", "Action": "ecr:DescribeRepositories",
                "Resource": "*", "Principal": { "AWS": format!("arn:aws:iam::000000000000:user/{user}") } })
    };
    let put = async |sid: &str, user: &str| {
        let body = json!({ "statement": statement(sid, user).to_string(), "force": true });
        let path = format!("{REGISTRY}/statements/{sid}");
        world.send_put(&path, body).await.expect(200);
    };
    let look = async |auth: &Auth| {
        let call = world.call(auth, "GET", "/api/v1/repositories/team-a%2Fweb");
        call.send().await.status
    };
    let ann = world.user("ann", &[]).await;
    let body = json!({ "policyText": document(&json!([statement("ann", "ann")])), "force": true });
    world.send_put(REGISTRY, body).await.expect(200);
    assert_eq!(look(&ann).await, 200);
    world.send_delete("/api/v1/users/ann").await.expect(200);
    world.clock.advance_seconds(1);
    let next = world.user("ann", &[]).await;
    let bob = world.user("bob", &[]).await;
    world.clock.advance_seconds(1);
    for (sid, user) in [("bob", "bob"), ("more", "bob"), ("more", "bob")] {
        put(sid, user).await;
        assert_eq!(look(&next).await, 403, "the statement about ann is from before: {sid}");
        assert_eq!(look(&bob).await, 200);
    }
    world
        .send_delete(&format!("{REGISTRY}/statements/more"))
        .await
        .expect(200);
    assert_eq!(look(&next).await, 403);
    assert_eq!(look(&bob).await, 200);
    put("ann", "ann").await;
    assert_eq!(look(&next).await, 200, "and names her now");
}

/// ECR takes an action that there is not; whoever sets it is told.
#[tokio::test]
async fn a_misspelt_action_is_stored_and_told() {
    let world = World::new().await;
    world.repository("web").await;
    world.user("ada", &[]).await;
    let text = |body: Value| json!({ "Version": "2012-10-17", "Statement": body }).to_string();
    let principal = json!({ "AWS": "arn:aws:iam::000000000000:user/ada" });
    let action = "ecr:GetDownloadUrlForLayers";
    let of_resource = json!({ "Effect": "Allow", "Principal": principal, "Action": ["ecr:BatchGetImage", action] });
    let of_identity = json!({ "Effect": "Allow", "Action": action, "Resource": "*" });
    let trust = json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumesRole" });
    let statement = json!({ "Effect": "Deny", "Principal": principal, "Action": action, "Resource": "*" });
    let cases = [
        (
            "PUT",
            "/api/v1/repositories/web/policy",
            json!({ "policyText": text(of_resource.clone()) }),
            "/Statement/Action/1",
        ),
        (
            "PUT",
            "/api/v1/registry/policy",
            json!({ "policyText": text(of_resource) }),
            "/Statement/Action/1",
        ),
        (
            "PUT",
            "/api/v1/registry/policy/statements/Slip",
            json!({ "statement": statement.to_string() }),
            "/Action",
        ),
        (
            "POST",
            "/api/v1/policies",
            json!({ "policyName": "p", "policyDocument": text(of_identity.clone()) }),
            "/Statement/Action",
        ),
        (
            "PUT",
            "/api/v1/policies/p",
            json!({ "policyDocument": text(json!([of_identity])) }),
            "/Statement/0/Action",
        ),
        (
            "POST",
            "/api/v1/roles",
            json!({ "roleName": "r", "assumeRolePolicyDocument": text(trust.clone()) }),
            "/Statement/Action",
        ),
        (
            "PATCH",
            "/api/v1/roles/r",
            json!({ "assumeRolePolicyDocument": text(trust) }),
            "/Statement/Action",
        ),
    ];
    for (method, path, body, pointer) in cases {
        let reply = world.call(&world.root, method, path).json(&body).send().await;
        assert!(
            reply.status == 200 || reply.status == 201,
            "{method} {path}: {}",
            reply.json()
        );
        let warnings = reply.json()["warnings"].clone();
        assert_eq!(warnings[0]["pointer"], pointer, "{path}: {warnings}");
        assert!(
            warnings[0]["message"].as_str().unwrap().contains("meant?"),
            "{warnings}"
        );
        assert_eq!(warnings.as_array().unwrap().len(), 1, "{path}");
    }
    for path in [
        "/api/v1/repositories/web/policy",
        "/api/v1/roles/r",
        "/api/v1/policies/p",
    ] {
        assert_eq!(world.get(path).await.json().get("warnings"), None, "{path}");
    }
}
