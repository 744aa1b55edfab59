// SPDX-License-Identifier: Apache-2.0
//! Who may do what: roles that are taken on, accounts that meet, and what is open to everybody.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use hythe_access::{
    Action, Caller, Credentials, Decision, Gate as _, Principal, RequestContext, Resource, RolePath, RoleSession,
    Secret,
};
use hythe_model::{AccountId, Clock as _, RepositoryPath};
use serde_json::{Value, json};
use support::{Auth, Reply, World};

const OTHER: &str = "222222222222";

fn trust(principal: &Value) -> String {
    let statement = json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal });
    json!({ "Version": "2012-10-17", "Statement": statement }).to_string()
}

fn allow(principal: &Value, actions: &Value) -> String {
    let statement = json!({ "Effect": "Allow", "Action": actions, "Principal": principal });
    json!({ "Version": "2012-10-17", "Statement": statement }).to_string()
}

async fn role(world: &World, name: &str, account: &str, trust: &str, policies: &[&str]) {
    let body = json!({ "roleName": name, "assumeRolePolicyDocument": trust, "policies": policies });
    world
        .post(&format!("/api/v1/roles?registryId={account}"), body)
        .await
        .expect(201);
}

async fn assume(world: &World, auth: &Auth, path: &str, extra: &Value) -> Reply {
    let mut body = json!({ "roleSessionName": "run-7" });
    let members = extra.as_object().cloned().unwrap_or_default();
    body.as_object_mut().unwrap().extend(members);
    let path = format!("/api/v1/roles/{path}");
    world.call(auth, "POST", &path).json(&body).send().await
}

fn bearer(reply: &Reply) -> Auth {
    Auth::Bearer(reply.expect(201).text("/password"))
}

async fn caller(world: &World, auth: &Auth) -> Caller {
    let credentials = match auth {
        Auth::Nobody => Credentials::None,
        Auth::Bearer(token) => Credentials::Bearer(Secret::new(token.clone())),
        Auth::Basic(user, password) => Credentials::Basic {
            user: user.clone(),
            password: Secret::new(password.clone()),
        },
    };
    world.plane.gate().authenticate(&credentials).await.unwrap()
}

async fn may(world: &World, caller: &Caller, action: Action, path: &RepositoryPath, named: &RequestContext) -> String {
    let resource = Resource::Repository(path.clone());
    match world
        .plane
        .gate()
        .decide(caller, action, &resource, named)
        .await
        .unwrap()
    {
        Decision::Allowed(_) => String::new(),
        Decision::Denied(denial) => denial.reason,
    }
}

async fn may_pull(world: &World, caller: &Caller, path: &RepositoryPath) -> String {
    may(world, caller, Action::BatchGetImage, path, &RequestContext::default()).await
}

fn default_path(name: &str) -> RepositoryPath {
    RepositoryPath {
        account: AccountId::default(),
        name: name.parse().unwrap(),
    }
}

async fn open_account(world: &World) {
    let body = json!({ "accountId": OTHER, "accountName": "other" });
    world.post("/api/v1/accounts", body).await.expect(201);
}

#[tokio::test]
async fn a_role_is_taken_on_by_whom_it_trusts_for_as_long_as_the_credentials_last() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", &[]).await, world.user("bob", &["FullAccess"]).await);
    world.repository("team/web").await;
    let named = json!({ "AWS": "arn:aws:iam::000000000000:user/ada" });
    role(&world, "ci", "000000000000", &trust(&named), &["ReadOnly"]).await;

    let opened = assume(&world, &ada, "ci/sessions", &json!({})).await;
    assert_eq!(
        opened.expect(201).text("/assumedRoleUser/arn"),
        "arn:aws:sts::000000000000:assumed-role/ci/run-7"
    );
    assert_eq!(opened.text("/expiresAt"), "2026-11-01T01:00:00Z");
    let session = bearer(&opened);
    let path = "/api/v1/repositories/team%2Fweb";
    world.call(&session, "GET", path).send().await.expect(200);
    world
        .call(&ada, "GET", path)
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
    let denied = world.call(&session, "DELETE", path).send().await;
    denied.expect_code(403, "AccessDeniedException");
    assert_eq!(
        denied.text("/detail"),
        "User: arn:aws:sts::000000000000:assumed-role/ci/run-7 is not authorized to perform: ecr:DeleteRepository on \
         resource: arn:aws:ecr:local:000000000000:repository/team/web because no identity-based policy allows the \
         ecr:DeleteRepository action"
    );
    assert_eq!(denied.text("/requestId"), "test");

    // Nobody else, not even who may do everything; and a role that is not there is not told from one that is.
    let refused = assume(&world, &bob, "ci/sessions", &json!({})).await;
    refused.expect_code(403, "AccessDeniedException");
    let absent = assume(&world, &bob, "absent/sessions", &json!({})).await;
    absent.expect_code(403, "AccessDeniedException");
    assert_eq!(
        refused.text("/detail").replace("role/ci", "role/absent"),
        absent.text("/detail")
    );
    assume(&world, &Auth::Nobody, "ci/sessions", &json!({}))
        .await
        .expect_code(401, "MissingAuthenticationTokenException");

    for (extra, pointer) in [
        (json!({ "durationSeconds": 899 }), "/durationSeconds"),
        (json!({ "durationSeconds": 3601 }), "/durationSeconds"),
        (json!({ "roleSessionName": "x" }), "/roleSessionName"),
        (json!({ "policy": "{}" }), "/policy"),
        (json!({ "policy": " ".repeat(2049) }), "/policy"),
    ] {
        let reply = assume(&world, &ada, "ci/sessions", &extra).await;
        assert_eq!(reply.expect(400).text("/pointer"), pointer, "{extra}");
    }

    // A session policy takes away and never adds.
    let read = json!({ "Effect": "Allow", "Action": "ecr:ListImages", "Resource": "*" });
    let limit = json!({ "Version": "2012-10-17", "Statement": read }).to_string();
    let limited = bearer(&assume(&world, &ada, "ci/sessions", &json!({ "policy": limit })).await);
    let denied = world.call(&limited, "GET", path).send().await;
    denied.expect_code(403, "AccessDeniedException");
    assert!(
        denied
            .text("/detail")
            .ends_with("because no session policy allows the ecr:DescribeRepositories action")
    );
    let tags = format!("{path}/tags");
    world.call(&limited, "GET", &tags).send().await.expect(200);

    // What is made with the session is of the session, and all of it ends with the access key.
    let token = world
        .call(&session, "POST", "/api/v1/authorization-tokens")
        .json(&json!({}))
        .send()
        .await;
    let token = bearer(&token);
    let who = world.call(&token, "GET", "/api/v1/caller-identity").send().await;
    assert_eq!(
        who.expect(200).text("/arn"),
        "arn:aws:sts::000000000000:assumed-role/ci/run-7"
    );
    world
        .call(&world.root, "DELETE", "/api/v1/users/ada")
        .send()
        .await
        .expect(200);
    for auth in [&session, &limited, &token] {
        world.call(auth, "GET", path).send().await.expect(401);
    }
}

#[tokio::test]
async fn a_right_that_was_taken_away_stops_at_once() {
    let world = World::new().await;
    world.repository("team/web").await;
    let anybody = json!({ "AWS": "000000000000" });
    role(&world, "ci", "000000000000", &trust(&anybody), &["ReadOnly"]).await;
    let session = bearer(&assume(&world, &world.root, "ci/sessions", &json!({})).await);
    let path = "/api/v1/repositories/team%2Fweb";
    world.call(&session, "GET", path).send().await.expect(200);
    world
        .call(&world.root, "DELETE", "/api/v1/roles/ci/policies/ReadOnly")
        .send()
        .await
        .expect(200);
    world.call(&session, "GET", path).send().await.expect(403);
    world
        .call(&world.root, "DELETE", "/api/v1/roles/ci")
        .send()
        .await
        .expect(200);
    world.call(&session, "GET", path).send().await.expect(403);
}

#[tokio::test]
async fn from_another_account_both_sides_must_allow() {
    let world = World::new().await;
    let shared = world.repository("shared/web").await;
    open_account(&world).await;
    let trusts_root = trust(&json!({ "AWS": "arn:aws:iam::000000000000:root" }));
    role(&world, "puller", OTHER, &trusts_root, &["PullOnly"]).await;
    role(&world, "idle", OTHER, &trusts_root, &[]).await;
    let session = |name: &str| format!("{name}/sessions?registryId={OTHER}");
    let puller = bearer(&assume(&world, &world.root, &session("puller"), &json!({})).await);
    let idle = bearer(&assume(&world, &world.root, &session("idle"), &json!({})).await);
    let (puller, idle) = (caller(&world, &puller).await, caller(&world, &idle).await);

    let refused = may_pull(&world, &puller, &shared).await;
    assert!(
        refused.ends_with("because no resource-based policy allows the ecr:BatchGetImage action"),
        "{refused}"
    );
    // The same as for a repository that is not there.
    assert_eq!(
        may_pull(&world, &puller, &default_path("absent"))
            .await
            .replace("absent", "shared/web"),
        refused
    );

    let policy = allow(
        &json!({ "AWS": format!("arn:aws:iam::{OTHER}:root") }),
        &json!(["ecr:BatchGetImage"]),
    );
    set_policy(&world, &shared, &policy).await;
    assert_eq!(may_pull(&world, &puller, &shared).await, "");
    let refused = may_pull(&world, &idle, &shared).await;
    assert!(
        refused.ends_with("because no identity-based policy allows the ecr:BatchGetImage action"),
        "{refused}"
    );
    let refused = may(&world, &puller, Action::PutImage, &shared, &RequestContext::default()).await;
    assert!(
        refused.ends_with("because no identity-based policy allows the ecr:PutImage action"),
        "{refused}"
    );
    let now = world.clock.now();
    world.store.delete_repository_policy(&shared, None, now).await.unwrap();
    world.clock.advance_seconds(1);
    assert_ne!(may_pull(&world, &puller, &shared).await, "");

    // A policy of the registry does as well.
    let registry = json!({
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": { "AWS": OTHER },
            "Action": "ecr:BatchGetImage",
            "Resource": "arn:aws:ecr:local:000000000000:repository/shared/*",
        },
    });
    set_registry_policy(&world, &registry.to_string()).await;
    assert_eq!(may_pull(&world, &puller, &shared).await, "");
    assert_ne!(may_pull(&world, &puller, &default_path("team/web")).await, "");

    // Nothing of a closed account is good.
    let close = world
        .call(&world.root, "DELETE", &format!("/api/v1/accounts/{OTHER}"))
        .send()
        .await;
    close.expect(200);
    let refused = may_pull(&world, &puller, &shared).await;
    assert!(refused.ends_with("disabled"), "{refused}");
}

/// Behind the back of the gate, as another node does: it counts a second later.
async fn set_policy(world: &World, path: &RepositoryPath, text: &str) {
    let now = world.clock.now();
    world.store.set_repository_policy(path, text, now, None).await.unwrap();
    world.clock.advance_seconds(1);
}

async fn set_registry_policy(world: &World, text: &str) {
    let now = world.clock.now();
    let text = text.to_owned();
    let edit: hythe_meta::EditPolicy<hythe_operations::StoreError> =
        std::sync::Arc::new(move |_| Ok(Some(hythe_meta::PolicyText::Whole(text.clone()))));
    let edited = world.store.edit_registry_policy(&AccountId::default(), now, edit).await;
    edited.unwrap();
    world.clock.advance_seconds(1);
}

#[tokio::test]
async fn what_is_open_to_everybody_is_open_without_credentials_and_nothing_else_is() {
    let world = World::new().await;
    let (open, closed) = (world.repository("open/web").await, world.repository("closed/web").await);
    let pull = json!(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]);
    set_policy(&world, &open, &allow(&json!("*"), &pull)).await;
    let nobody = Caller::anonymous();
    assert_eq!(may_pull(&world, &nobody, &open).await, "");
    for (action, path) in [
        (Action::BatchGetImage, &closed),
        (Action::BatchGetImage, &default_path("absent")),
        (Action::PutImage, &open),
        (Action::ListImages, &open),
        (Action::BatchDeleteImage, &open),
    ] {
        let refused = may(&world, &nobody, action, path, &RequestContext::default()).await;
        assert!(
            refused.starts_with("User: anonymous is not authorized to perform: ecr:"),
            "{refused}"
        );
    }
    // Nobody takes on a role, whomever it trusts.
    role(&world, "all", "000000000000", &trust(&json!("*")), &["FullAccess"]).await;
    assume(&world, &Auth::Nobody, "all/sessions", &json!({}))
        .await
        .expect(401);
}

#[tokio::test]
async fn a_denial_does_not_tell_that_there_is_a_repository() {
    let world = World::new().await;
    let secret = world.repository("secret/web").await;
    let deny = json!({
        "Version": "2012-10-17",
        "Statement": { "Effect": "Deny", "Action": "ecr:*", "Principal": "*" },
    });
    set_policy(&world, &secret, &deny.to_string()).await;
    let ada = world.user("ada", &[]).await;
    let reader = world.user("reader", &["ReadOnly"]).await;
    let (ada, reader) = (caller(&world, &ada).await, caller(&world, &reader).await);
    for who in [&ada, &Caller::anonymous()] {
        let there = may_pull(&world, who, &secret).await;
        let absent = may_pull(&world, who, &default_path("absent")).await;
        assert_eq!(there.replace("secret/web", "absent"), absent);
    }
    // Who would be allowed to know is told why not.
    let told = may_pull(&world, &reader, &secret).await;
    assert!(
        told.ends_with("with an explicit deny in a resource-based policy"),
        "{told}"
    );
    // The administrator of the account is stopped as well.
    let root = Caller::of(Principal::Root(AccountId::default()));
    assert_ne!(may_pull(&world, &root, &secret).await, "");
}

#[tokio::test]
async fn conditions_ask_about_tags_addresses_and_sessions() {
    let world = World::new().await;
    let path = world.repository("team/web").await;
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Principal": "*", "Action": "ecr:PutImage",
              "Condition": { "StringLike": { "ecr:ImageTag": "dev-*" } } },
            { "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage",
              "Condition": { "IpAddress": { "aws:SourceIp": "10.0.0.0/8" }, "Bool": { "aws:SecureTransport": "true" } } },
            { "Effect": "Allow", "Principal": "*", "Action": "ecr:ListImages",
              "Condition": { "StringEquals": { "aws:ResourceTag/open": "yes" } } },
            { "Effect": "Allow", "Principal": "*", "Action": "ecr:DescribeImages",
              "Condition": { "DateLessThan": { "aws:CurrentTime": "2026-11-01T00:10:00Z" } } },
        ],
    });
    set_policy(&world, &path, &policy.to_string()).await;
    let nobody = Caller::anonymous();
    let none = RequestContext::default();
    let is_allowed = async |caller: &Caller, action, named: &RequestContext| {
        may(&world, caller, action, &path, named).await.is_empty()
    };
    let tag = RequestContext::of_image_tag;
    assert!(is_allowed(&nobody, Action::PutImage, &tag("dev-1")).await);
    assert!(!is_allowed(&nobody, Action::PutImage, &tag("v1")).await);
    assert!(
        !is_allowed(&nobody, Action::PutImage, &none).await,
        "by digest, no tag is named"
    );
    let several = RequestContext {
        image_tags: vec!["dev-1".into(), "v1".into()],
        ..RequestContext::default()
    };
    assert!(
        !is_allowed(&nobody, Action::PutImage, &several).await,
        "each of them must be allowed"
    );

    let from = |ip: &str, is_secure| Caller {
        source_ip: Some(ip.parse().unwrap()),
        is_secure,
        ..Caller::anonymous()
    };
    assert!(is_allowed(&from("10.1.2.3", true), Action::BatchGetImage, &none).await);
    assert!(!is_allowed(&from("10.1.2.3", false), Action::BatchGetImage, &none).await);
    assert!(!is_allowed(&from("11.1.2.3", true), Action::BatchGetImage, &none).await);

    assert!(!is_allowed(&nobody, Action::ListImages, &none).await);
    let tags = "/api/v1/repositories/team%2Fweb/resource-tags";
    let body = json!({ "tags": [{ "Key": "open", "Value": "yes" }] });
    let put = world.call(&world.root, "PUT", tags).json(&body).send().await;
    assert!(put.status < 300, "{}", put.show());
    assert!(is_allowed(&nobody, Action::ListImages, &none).await, "at once");

    assert!(is_allowed(&nobody, Action::DescribeImages, &none).await);
    world.clock.advance_seconds(600);
    assert!(!is_allowed(&nobody, Action::DescribeImages, &none).await);
}

#[tokio::test]
async fn claims_of_a_session_are_in_its_token() {
    let world = World::new().await;
    let path = world.repository("team/web").await;
    role(
        &world,
        "ci",
        "000000000000",
        &trust(&json!({ "AWS": "000000000000" })),
        &[],
    )
    .await;
    let statement = json!({
        "Effect": "Allow",
        "Action": "ecr:BatchGetImage",
        "Principal": { "AWS": "arn:aws:iam::000000000000:role/ci" },
        "Condition": { "StringEquals": { "aws:PrincipalTag/repo": "web" } },
    });
    let policy = json!({ "Version": "2012-10-17", "Statement": statement });
    set_policy(&world, &path, &policy.to_string()).await;
    let stored = world.store.role(&AccountId::default(), &"ci".parse().unwrap()).await;
    let role_created_at = stored.unwrap().unwrap().created_at;
    let open = |tag: &str| hythe_operations::NewRoleSession {
        role: "arn:aws:iam::000000000000:role/ci".parse::<RolePath>().unwrap(),
        role_created_at,
        session: "run-7".parse().unwrap(),
        duration: jiff::SignedDuration::from_mins(15),
        policy: None,
        attributes: [("aws:PrincipalTag/repo".to_owned(), vec![tag.to_owned()])].into(),
        lineage: hythe_access::Lineage::default(),
        scopes: std::sync::Arc::default(),
    };
    for (tag, is_allowed) in [("web", true), ("other", false)] {
        let token = world.plane.gate().open_role_session(open(tag)).unwrap();
        let caller = caller(&world, &Auth::Bearer(token.token.expose().to_owned())).await;
        let session = RoleSession {
            account: AccountId::default(),
            role: "ci".parse().unwrap(),
            session: "run-7".parse().unwrap(),
        };
        assert_eq!(caller.principal, Principal::Role(session));
        assert_eq!(may_pull(&world, &caller, &path).await.is_empty(), is_allowed, "{tag}");
    }
    assert!(world.plane.gate().open_role_session(open(&"x".repeat(1024))).is_err());
}

#[tokio::test]
async fn the_administrator_of_the_deployment_is_that_of_every_account() {
    let world = World::new().await;
    open_account(&world).await;
    let repositories = format!("/api/v1/repositories?registryId={OTHER}");
    let repository = world.post(&repositories, json!({ "repositoryName": "web" }));
    repository.await.expect(201);
    let path = RepositoryPath {
        account: OTHER.parse().unwrap(),
        name: "web".parse().unwrap(),
    };
    let root = Caller::of(Principal::Root(AccountId::default()));
    assert_eq!(may_pull(&world, &root, &path).await, "");
    let other = Caller::of(Principal::Root(OTHER.parse().unwrap()));
    assert_eq!(may_pull(&world, &other, &path).await, "");
    world.repository("team/web").await;
    assert_ne!(may_pull(&world, &other, &default_path("team/web")).await, "");
}

/// A name in a trust policy means who had it when the policy was stored.
#[tokio::test]
async fn a_trust_policy_names_those_who_are_there() {
    let world = World::new().await;
    let named = json!({ "AWS": ["arn:aws:iam::000000000000:user/ada", "arn:aws:iam::000000000000:role/other"] });
    let body = |name: &str| json!({ "roleName": name, "assumeRolePolicyDocument": trust(&named) });
    let refused = world.post("/api/v1/roles", body("ci")).await;
    refused.expect_code(400, "InvalidParameterException");
    assert_eq!(
        refused.text("/pointer"),
        "/assumeRolePolicyDocument/Statement/Principal/AWS/0"
    );
    assert_eq!(
        refused.text("/detail"),
        "Invalid parameter at 'AssumeRolePolicyDocument' failed to satisfy constraint: 'Principal not found': \
         arn:aws:iam::000000000000:user/ada"
    );
    let ada = world.user("ada", &[]).await;
    let trusts_ada = trust(&json!({ "AWS": "arn:aws:iam::000000000000:user/ada" }));
    role(&world, "other", "000000000000", &trusts_ada, &[]).await;
    role(&world, "ci", "000000000000", &trust(&named), &["ReadOnly"]).await;
    let put = |name: &'static str, document: String| {
        let body = json!({ "assumeRolePolicyDocument": document });
        let path = format!("/api/v1/roles/{name}");
        let world = &world;
        async move { world.call(&world.root, "PATCH", &path).json(&body).send().await }
    };
    let nobody = trust(&json!({ "AWS": "arn:aws:iam::000000000000:user/bob" }));
    put("ci", nobody).await.expect_code(400, "InvalidParameterException");

    assume(&world, &ada, "ci/sessions", &json!({})).await.expect(201);
    let other = bearer(&assume(&world, &ada, "other/sessions", &json!({})).await);
    assume(&world, &other, "ci/sessions", &json!({})).await.expect(201);

    // The next of that name is somebody else.
    for path in ["/api/v1/users/ada", "/api/v1/roles/other"] {
        world.call(&world.root, "DELETE", path).send().await.expect(200);
    }
    world.clock.advance_seconds(2);
    let ada = world.user("ada", &[]).await;
    role(&world, "other", "000000000000", &trusts_ada, &[]).await;
    assume(&world, &ada, "ci/sessions", &json!({}))
        .await
        .expect_code(403, "AccessDeniedException");
    let other = bearer(&assume(&world, &ada, "other/sessions", &json!({})).await);
    assume(&world, &other, "ci/sessions", &json!({}))
        .await
        .expect_code(403, "AccessDeniedException");
    // Other changes of the role say nothing about whom it trusts.
    let path = "/api/v1/roles/ci";
    let described = world
        .call(&world.root, "PATCH", path)
        .json(&json!({ "description": "x" }));
    described.send().await.expect(200);
    assume(&world, &ada, "ci/sessions", &json!({})).await.expect(403);

    put("ci", trust(&named)).await.expect(200);
    assume(&world, &ada, "ci/sessions", &json!({})).await.expect(201);
    assume(&world, &other, "ci/sessions", &json!({})).await.expect(201);
}
