// SPDX-License-Identifier: Apache-2.0
//! What a policy forbids is forbidden on every way to it, and a refusal tells no more than it has to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod support;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hythe_model::Clock as _;
use serde_json::{Value, json};
use support::{Auth, Reply, World};

const WEB: &str = "/api/v1/repositories/team-a%2Fweb";

fn document(statements: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// A user whose only policy has these statements.
async fn user_with(world: &World, name: &str, statements: &Value) -> Auth {
    let policy = json!({ "policyName": name, "policyDocument": document(statements) });
    world.post("/api/v1/policies", policy).await.expect(201);
    world.user(name, &[name]).await
}

async fn create_role(world: &World, name: &str, trust: &Value, policies: &[&str]) {
    let body = json!({ "roleName": name, "assumeRolePolicyDocument": document(trust), "policies": policies });
    world.post("/api/v1/roles", body).await.expect(201);
}

async fn send(world: &World, auth: &Auth, method: &str, path: &str, body: &Value) -> Reply {
    let call = world.call(auth, method, path);
    if body.is_null() { call } else { call.json(body) }.send().await
}

fn bearer(reply: &Reply) -> Auth {
    Auth::Bearer(reply.expect(201).text("/password"))
}

#[tokio::test]
async fn a_tag_that_must_not_be_removed_is_not_removed_by_a_replacement() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let tags = |pairs: &[(&str, &str)]| {
        let tag = |(key, value): &(&str, &str)| json!({ "Key": key, "Value": value });
        json!({ "tags": pairs.iter().map(tag).collect::<Vec<_>>() })
    };
    let path = format!("{WEB}/resource-tags");
    let both = tags(&[("stage", "x"), ("team", "a")]);
    send(&world, &world.root, "PUT", &path, &both).await.expect(200);
    let statements = json!([
        { "Effect": "Allow", "Action": ["ecr:TagResource", "ecr:UntagResource"], "Resource": "*" },
        { "Effect": "Deny", "Action": "ecr:UntagResource", "Resource": "*",
          "Condition": { "ForAnyValue:StringEquals": { "aws:TagKeys": "team" } } },
    ]);
    let ada = user_with(&world, "ada", &statements).await;
    let put = async |pairs: &[(&str, &str)]| send(&world, &ada, "PUT", &path, &tags(pairs)).await;

    put(&[("stage", "y")]).await.expect_code(403, "AccessDeniedException");
    assert_eq!(world.get(&path).await.json(), both, "nothing was changed");
    put(&[("team", "b")]).await.expect(200);
    assert_eq!(world.get(&path).await.json(), tags(&[("team", "b")]));
    // The tags that are gone are those that were asked about: of another version, none is replaced.
    let stale = world.call(&ada, "PUT", &path).header("if-match", "\"1\"");
    let stale = stale.json(&tags(&[("team", "c")])).send().await;
    stale.expect_code(412, "PreconditionFailedException");
}

#[tokio::test]
async fn a_repository_is_not_created_with_a_tag_that_must_not_be_set() {
    let world = World::new().await;
    let statements = json!([
        { "Effect": "Allow", "Action": "ecr:*", "Resource": "*" },
        { "Effect": "Deny", "Action": "ecr:TagResource", "Resource": "*",
          "Condition": { "StringEquals": { "aws:RequestTag/team": "admin" } } },
    ]);
    let ada = user_with(&world, "ada", &statements).await;
    for (team, status) in [("admin", 403), ("a", 201)] {
        let body = json!({ "repositoryName": "team-a/web", "tags": [{ "Key": "team", "Value": team }] });
        send(&world, &ada, "POST", "/api/v1/repositories", &body)
            .await
            .expect(status);
    }
}

#[tokio::test]
async fn tags_of_users_and_roles_take_permissions_of_their_own() {
    let world = World::new().await;
    let trust = json!([{ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": "000000000000" } }]);
    create_role(&world, "ci", &trust, &[]).await;
    world.user("bob", &[]).await;
    let tags = |pairs: &[(&str, &str)]| {
        let tag = |(key, value): &(&str, &str)| json!({ "Key": key, "Value": value });
        Value::from(pairs.iter().map(tag).collect::<Vec<_>>())
    };
    let paths = ["/api/v1/users/bob", "/api/v1/roles/ci"];
    for path in paths {
        let body = json!({ "resourceTags": tags(&[("team", "a"), ("stage", "x")]) });
        send(&world, &world.root, "PATCH", path, &body).await.expect(200);
    }
    let update = json!({ "Effect": "Allow", "Action": ["iam:Update*", "iam:Create*"], "Resource": "*" });
    let tagging = json!({ "Effect": "Allow", "Action": ["iam:Tag*", "iam:Untag*"], "Resource": "*" });
    let not_admin = json!({ "Effect": "Deny", "Action": ["iam:Tag*", "iam:Create*"], "Resource": "*",
                            "Condition": { "StringEquals": { "aws:RequestTag/team": "admin" } } });
    let keep_team = json!({ "Effect": "Deny", "Action": "iam:Untag*", "Resource": "*",
                            "Condition": { "ForAnyValue:StringEquals": { "aws:TagKeys": "team" } } });
    let updater = user_with(&world, "updater", &json!([update])).await;
    let tagger = user_with(&world, "tagger", &json!([update, tagging, not_admin, keep_team])).await;

    for path in paths {
        let set = async |auth: &Auth, pairs: &[(&str, &str)]| {
            send(&world, auth, "PATCH", path, &json!({ "resourceTags": tags(pairs) })).await
        };
        set(&updater, &[("team", "b")])
            .await
            .expect_code(403, "AccessDeniedException");
        send(&world, &updater, "PATCH", path, &json!({ "description": "x" }))
            .await
            .expect(200);
        set(&tagger, &[("team", "admin")])
            .await
            .expect_code(403, "AccessDeniedException");
        set(&tagger, &[("stage", "x")])
            .await
            .expect_code(403, "AccessDeniedException");
        let shown = set(&tagger, &[("team", "b")]).await;
        assert_eq!(shown.expect(200).json()["resourceTags"], tags(&[("team", "b")]));
        let stale = world.call(&tagger, "PATCH", path).header("if-match", "\"1\"");
        let stale = stale
            .json(&json!({ "resourceTags": tags(&[("team", "c")]) }))
            .send()
            .await;
        stale.expect_code(412, "PreconditionFailedException");
    }
    let new_user = |team: &str| json!({ "userName": "eve", "resourceTags": tags(&[("team", team)]) });
    let create = async |auth: &Auth, body: Value| send(&world, auth, "POST", "/api/v1/users", &body).await.status;
    assert_eq!(create(&updater, new_user("b")).await, 403);
    assert_eq!(create(&tagger, new_user("admin")).await, 403);
    assert_eq!(create(&tagger, new_user("b")).await, 201);
    assert_eq!(
        create(&updater, json!({ "userName": "max" })).await,
        201,
        "without tags"
    );
}

#[tokio::test]
async fn a_policy_about_one_user_is_about_that_user() {
    let world = World::new().await;
    world.user("admin", &[]).await;
    world.user("bob", &[]).await;
    let everything = json!({ "Effect": "Allow", "Action": "iam:*", "Resource": "*" });
    let about = |kind: &str| format!("arn:aws:iam::*:{kind}");
    let not_these = json!({ "Effect": "Deny", "Action": "iam:*", "Resource": [
        about("user/admin"), about("group/ops"), about("role/prod"), about("policy/limit"), about("oidc-provider/ci.example"),
    ] });
    let denied = user_with(&world, "denied", &json!([everything, not_these])).await;
    let all_but = json!([{ "Effect": "Allow", "Action": "iam:*", "NotResource": about("user/admin") }]);
    let all_but = user_with(&world, "allbut", &all_but).await;
    let only = json!([{ "Effect": "Allow", "Action": "iam:*", "Resource": about("user/bob") }]);
    let only = user_with(&world, "only", &only).await;

    let look = async |auth: &Auth, name: &str| {
        let path = format!("/api/v1/users/{name}");
        send(&world, auth, "GET", &path, &Value::Null).await.status
    };
    for (auth, of_admin, of_bob, of_other) in [
        (&denied, 403, 200, 200),
        (&all_but, 403, 200, 200),
        (&only, 403, 200, 403),
    ] {
        let seen = (
            look(auth, "admin").await,
            look(auth, "bob").await,
            look(auth, "denied").await,
        );
        assert_eq!(seen, (of_admin, of_bob, of_other), "{auth:?}");
    }

    let trust =
        document(&json!([{ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": "000000000000" } }]));
    let policy = document(&json!([{ "Effect": "Allow", "Action": "ecr:*", "Resource": "*" }]));
    let no_body = Value::Null;
    for (method, path, body) in [
        ("PATCH", "/api/v1/users/admin", json!({ "description": "x" })),
        ("PUT", "/api/v1/users/admin/policies/FullAccess", no_body.clone()),
        ("POST", "/api/v1/users/admin/access-keys", json!({})),
        ("GET", "/api/v1/users/admin/access-keys", no_body.clone()),
        ("DELETE", "/api/v1/users/admin", no_body.clone()),
        ("POST", "/api/v1/users", json!({ "userName": "admin" })),
        ("POST", "/api/v1/groups", json!({ "groupName": "ops" })),
        ("PUT", "/api/v1/groups/ops/members/bob", no_body.clone()),
        (
            "POST",
            "/api/v1/roles",
            json!({ "roleName": "prod", "assumeRolePolicyDocument": trust }),
        ),
        ("PATCH", "/api/v1/roles/prod", json!({ "description": "x" })),
        (
            "POST",
            "/api/v1/policies",
            json!({ "policyName": "limit", "policyDocument": policy }),
        ),
        ("DELETE", "/api/v1/policies/limit", no_body.clone()),
        (
            "POST",
            "/api/v1/identity-providers",
            json!({ "url": "https://ci.example", "clientIdList": ["x"] }),
        ),
        (
            "PATCH",
            "/api/v1/identity-providers/ci.example",
            json!({ "clientIdList": ["x"] }),
        ),
    ] {
        let refused = send(&world, &denied, method, path, &body).await;
        refused.expect_code(403, "AccessDeniedException");
        let reason = refused.text("/detail");
        assert!(
            reason.contains("with an explicit deny in an identity-based policy"),
            "{reason}"
        );
        assert!(reason.contains("on resource: arn:aws:iam::000000000000:"), "{reason}");
    }
    let others = [
        ("/api/v1/users", json!({ "userName": "eve" })),
        ("/api/v1/groups", json!({ "groupName": "dev" })),
        (
            "/api/v1/roles",
            json!({ "roleName": "test", "assumeRolePolicyDocument": trust }),
        ),
        (
            "/api/v1/policies",
            json!({ "policyName": "other", "policyDocument": policy }),
        ),
        (
            "/api/v1/identity-providers",
            json!({ "url": "https://other.example", "clientIdList": ["x"] }),
        ),
    ];
    for (path, body) in &others {
        send(&world, &denied, "POST", path, body).await.expect(201);
    }

    let ask = json!({
        "principalArn": "arn:aws:iam::000000000000:user/denied",
        "actions": ["iam:DeleteUser"],
        "resourceArns": ["arn:aws:iam::000000000000:user/admin", "arn:aws:iam::000000000000:user/bob"],
    });
    let answer = world.post("/api/v1/policy-simulations", ask).await;
    assert_eq!(answer.expect(200).text("/evaluations/0/decision"), "explicitDeny");
    assert_eq!(
        answer.text("/evaluations/0/resourceArn"),
        "arn:aws:iam::000000000000:user/admin"
    );
    assert_eq!(answer.text("/evaluations/1/decision"), "allowed");
}

#[tokio::test]
async fn a_session_ends_with_its_role_even_if_another_takes_its_name() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let trust = json!([{ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": "000000000000" } }]);
    let open = async || {
        let body = json!({ "roleSessionName": "run-7" });
        bearer(&send(&world, &world.root, "POST", "/api/v1/roles/ci/sessions", &body).await)
    };
    let look = async |auth: &Auth| send(&world, auth, "GET", WEB, &Value::Null).await;

    create_role(&world, "ci", &trust, &["FullAccess"]).await;
    let session = open().await;
    let made_with_it = send(&world, &session, "POST", "/api/v1/authorization-tokens", &json!({})).await;
    let made_with_it = bearer(&made_with_it);
    for auth in [&session, &made_with_it] {
        look(auth).await.expect(200);
    }
    send(&world, &world.root, "DELETE", "/api/v1/roles/ci", &Value::Null)
        .await
        .expect(200);
    look(&session).await.expect_code(403, "AccessDeniedException");
    world.clock.advance_seconds(1);
    create_role(&world, "ci", &trust, &["FullAccess"]).await;
    for auth in [&session, &made_with_it] {
        look(auth).await.expect(401);
    }
    look(&open().await).await.expect(200);
}

#[tokio::test]
async fn policies_ask_when_a_session_began_and_what_it_is_called() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let deny_older = json!([
        { "Effect": "Allow", "Action": "ecr:*", "Resource": "*" },
        { "Effect": "Deny", "Action": "*", "Resource": "*",
          "Condition": { "DateLessThan": { "aws:TokenIssueTime": "2026-11-01T00:00:10Z" } } },
    ]);
    let policy = json!({ "policyName": "young", "policyDocument": document(&deny_older) });
    world.post("/api/v1/policies", policy).await.expect(201);
    let trust = json!([{ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": "000000000000" },
                         "Condition": { "StringLike": { "sts:RoleSessionName": "run-*" } } }]);
    create_role(&world, "ci", &trust, &["young"]).await;
    let open = async |name: &str| {
        let body = json!({ "roleSessionName": name });
        send(&world, &world.root, "POST", "/api/v1/roles/ci/sessions", &body).await
    };
    let look = async |auth: &Auth| send(&world, auth, "GET", WEB, &Value::Null).await.status;
    let exchange =
        async |auth: &Auth| bearer(&send(&world, auth, "POST", "/api/v1/authorization-tokens", &json!({})).await);

    open("other").await.expect_code(403, "AccessDeniedException");
    let old = bearer(&open("run-1").await);
    assert_eq!(look(&old).await, 403);
    world.clock.advance_seconds(20);
    assert_eq!(look(&old).await, 403);
    let young = bearer(&open("run-2").await);
    assert_eq!(look(&young).await, 200);
    // Neither does a token that is made with the session later make it younger, nor does an access key have such a time.
    let grandchild = {
        let root = bearer(&send(&world, &world.root, "POST", "/api/v1/authorization-tokens", &json!({})).await);
        world.clock.advance_seconds(20);
        exchange(&root).await
    };
    let user = world.user("ada", &["young"]).await;
    assert_eq!(look(&user).await, 200);
    let began = |auth: &Auth| {
        let Auth::Bearer(token) = auth.clone() else {
            panic!("{auth:?}")
        };
        let credentials = hythe_access::Credentials::Bearer(hythe_access::Secret::new(token));
        let gate = world.plane.gate().clone();
        async move {
            use hythe_access::Gate as _;
            gate.authenticate(&credentials)
                .await
                .unwrap()
                .lineage
                .issued_at
                .unwrap()
                .to_string()
        }
    };
    assert_eq!(began(&grandchild).await, "2026-11-01T00:00:20Z");
    assert_eq!(began(&exchange(&young).await).await, "2026-11-01T00:00:20Z");
}

#[tokio::test]
async fn a_denial_about_tags_does_not_tell_which_repositories_there_are() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let tag = json!({ "tags": [{ "Key": "secret", "Value": "yes" }] });
    send(&world, &world.root, "PUT", &format!("{WEB}/resource-tags"), &tag)
        .await
        .expect(200);
    let deny = json!({ "Effect": "Deny", "Action": "ecr:*", "Resource": "*",
                       "Condition": { "StringEquals": { "aws:ResourceTag/secret": "yes" } } });
    let allow = json!({ "Effect": "Allow", "Action": "ecr:*", "Resource": "*" });
    let eve = user_with(&world, "eve", &json!([deny])).await;
    let ada = user_with(&world, "ada", &json!([allow, deny])).await;
    let look = async |auth: &Auth, name: &str| {
        let reply = send(&world, auth, "GET", &WEB.replace("web", name), &Value::Null).await;
        (reply.status, String::from_utf8_lossy(&reply.body).replace(name, "…"))
    };
    assert_eq!(look(&eve, "web").await, look(&eve, "nothing").await);
    let (status, told) = look(&ada, "web").await;
    assert!(
        status == 403 && told.contains("explicit deny in an identity-based policy"),
        "{told}"
    );
    assert_eq!(
        look(&ada, "nothing").await.0,
        404,
        "who may read everything may know what there is"
    );
    // The same with a denial for everybody in the registry.
    let everybody = json!([{ "Effect": "Deny", "Principal": "*", "Action": "ecr:DescribeRepositories",
                             "Condition": { "StringEquals": { "aws:ResourceTag/secret": "yes" } } }]);
    let body = json!({ "policyText": document(&everybody), "force": true });
    send(&world, &world.root, "PUT", "/api/v1/registry/policy", &body)
        .await
        .expect(200);
    let max = world.user("max", &[]).await;
    for auth in [&max, &Auth::Nobody] {
        assert_eq!(look(auth, "web").await, look(auth, "nothing").await);
    }
}

#[tokio::test]
async fn a_list_shows_what_may_be_read_one_by_one() {
    let world = World::new().await;
    let names: Vec<String> = (0..250).map(|number| format!("many/{number:03}")).collect();
    let at = |name: &str| format!("/api/v1/repositories/{}", name.replace('/', "%2F"));
    for name in &names {
        world.repository(name).await;
    }
    // By an identity policy that asks about tags, but for what a policy of the repository says: let in, or kept out.
    let by_tag = json!([{ "Effect": "Allow", "Action": "ecr:DescribeRepositories", "Resource": "*",
                          "Condition": { "StringEquals": { "aws:ResourceTag/team": "a" } } }]);
    let ada = user_with(&world, "ada", &by_tag).await;
    let policy = |effect: &str| {
        let statement = json!({ "Effect": effect, "Action": "ecr:DescribeRepositories",
                                "Principal": { "AWS": "arn:aws:iam::000000000000:user/ada" } });
        json!({ "policyText": document(&json!([statement])), "force": true })
    };
    let tag = json!({ "tags": [{ "Key": "team", "Value": "a" }] });
    for (number, name) in names.iter().enumerate() {
        if number % 3 == 0 {
            let path = format!("{}/resource-tags", at(name));
            send(&world, &world.root, "PUT", &path, &tag).await.expect(200);
        }
        if number % 10 == 1 || number % 10 == 2 {
            let body = policy(if number % 10 == 1 { "Allow" } else { "Deny" });
            let path = format!("{}/policy", at(name));
            send(&world, &world.root, "PUT", &path, &body).await.expect(200);
        }
    }
    let listed = async |max: usize| {
        let (mut found, mut page) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/repositories?maxResults={max}{page}");
            let reply = send(&world, &ada, "GET", &path, &Value::Null).await.expect(200).json();
            let shown = reply["repositories"].as_array().unwrap();
            found.extend(shown.iter().map(|it| it["repositoryName"].as_str().unwrap().to_owned()));
            match reply["nextToken"].as_str() {
                Some(next) => page = format!("&nextToken={next}"),
                None => return found,
            }
        }
    };
    let mut readable = Vec::new();
    for name in &names {
        if send(&world, &ada, "GET", &at(name), &Value::Null).await.status == 200 {
            readable.push(name.clone());
        }
    }
    assert_eq!(readable.len(), 93);
    // What was read one by one is forgotten first.
    send(
        &world,
        &world.root,
        "DELETE",
        &format!("{}/policy", at(&names[249])),
        &Value::Null,
    )
    .await;
    for max in [1000, 100, 7] {
        assert_eq!(listed(max).await, readable, "{max}");
    }
    // What changes on this node counts at once.
    send(
        &world,
        &world.root,
        "DELETE",
        &format!("{}/policy", at("many/001")),
        &Value::Null,
    )
    .await
    .expect(200);
    assert_eq!(
        listed(1000).await,
        readable
            .iter()
            .filter(|name| *name != "many/001")
            .cloned()
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn the_page_of_a_list_does_not_tell_what_was_passed_over() {
    let world = World::new().await;
    for name in ["open/a", "open/b", "secret/payroll"] {
        world.repository(name).await;
    }
    let page = world
        .get("/api/v1/repositories?maxResults=2")
        .await
        .expect(200)
        .text("/nextToken");
    let read = URL_SAFE_NO_PAD.decode(&page).unwrap();
    assert!(!read.windows(4).any(|window| window == b"open"), "{page}");
    let next = world
        .get(&format!("/api/v1/repositories?maxResults=2&nextToken={page}"))
        .await;
    assert_eq!(
        next.expect(200).text("/repositories/0/repositoryName"),
        "secret/payroll"
    );
}

#[tokio::test]
async fn the_records_of_all_accounts_are_for_the_administrator_of_the_deployment() {
    let world = World::new().await;
    let reading = json!([{ "Effect": "Allow", "Action": "cloudtrail:*", "Resource": "*" }]);
    let reader = user_with(&world, "reader", &reading).await;
    let path = "/api/v1/audit-events?allAccounts=true";
    let list = async |auth: &Auth, path: &str| send(&world, auth, "GET", path, &Value::Null).await;
    list(&reader, "/api/v1/audit-events").await.expect(200);
    list(&reader, path).await.expect_code(403, "AccessDeniedException");
    list(&reader, &format!("{path}&afterSequence=0"))
        .await
        .expect_code(403, "AccessDeniedException");
    list(&world.root, path).await.expect(200);
}

/// A signed token of an issuer whose key is the other half.
fn web_identity(issuer: &str, now: i64) -> (Value, String) {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let jwks =
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "x": text(x), "y": text(y) }] });
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "k" }).to_string();
    let claims = json!({ "iss": issuer, "aud": "hythe", "sub": "repo:web", "iat": now, "exp": now + 600 }).to_string();
    let signed = format!("{}.{}", text(header.as_bytes()), text(claims.as_bytes()));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    (jwks, format!("{signed}.{}", text(signature.as_ref())))
}

#[tokio::test]
async fn a_closed_account_opens_no_sessions_for_web_identities() {
    const OTHER: &str = "222222222222";
    let world = World::new().await;
    world.account(OTHER).await;
    let (jwks, token) = web_identity("https://ci.example", world.clock.now().as_second());
    let provider = json!({
        "url": "https://ci.example", "clientIdList": ["hythe"], "jwks": jwks.to_string(), "signingAlgorithms": ["ES256"],
    });
    let in_other = |path: &str| format!("/api/v1/{path}?registryId={OTHER}");
    world.post(&in_other("identity-providers"), provider).await.expect(201);
    let trust = json!([{ "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
                         "Principal": { "Federated": format!("arn:aws:iam::{OTHER}:oidc-provider/ci.example") },
                         "Condition": { "StringEquals": { "ci.example:sub": "repo:web", "sts:RoleSessionName": "run-7" } } }]);
    let role = json!({ "roleName": "ci", "assumeRolePolicyDocument": document(&trust) });
    world.post(&in_other("roles"), role).await.expect(201);
    let open = async || {
        let body = json!({ "roleArn": format!("arn:aws:iam::{OTHER}:role/ci"), "roleSessionName": "run-7",
                           "webIdentityToken": token });
        send(&world, &Auth::Nobody, "POST", "/api/v1/web-identity-sessions", &body).await
    };
    open().await.expect(201);
    let close = json!({ "status": "CLOSED" });
    send(
        &world,
        &world.root,
        "PATCH",
        &format!("/api/v1/accounts/{OTHER}"),
        &close,
    )
    .await
    .expect(200);
    open().await.expect_code(403, "AccessDeniedException");
}

#[tokio::test]
async fn policies_ask_which_setting_of_the_registry_it_is_about() {
    let world = World::new().await;
    let statement = |effect: &str, operator: &str, key: &str, value: &str| {
        json!({ "Effect": effect, "Action": ["ecr:GetAccountSetting", "ecr:PutAccountSetting"], "Resource": "*",
                "Condition": { operator: { key: value } } })
    };
    let of = |name: &str| statement("Allow", "StringEquals", "ecr:AccountSetting", name);
    // Nobody here is a service of AWS, and a denial can say so.
    let services = statement("Deny", "Bool", "aws:PrincipalIsAWSService", "false");
    let cases = [
        ("right", vec![of("DELETED_IMAGE_RETENTION_DAYS")], 200),
        ("wrong", vec![of("BLOB_MOUNTING")], 403),
        ("denied", vec![of("DELETED_IMAGE_RETENTION_DAYS"), services], 403),
    ];
    for (name, statements, status) in cases {
        let user = user_with(&world, name, &json!(statements)).await;
        let path = "/api/v1/registry/settings";
        send(&world, &user, "GET", path, &Value::Null).await.expect(status);
        let body = json!({ "deletedImageRetentionDays": 3 });
        send(&world, &user, "PUT", path, &body).await.expect(status);
    }
}
