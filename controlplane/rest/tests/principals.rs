// SPDX-License-Identifier: Apache-2.0
//! Accounts, users, groups and roles, as a client sees them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod support;

use hythe_access::{
    Action, ActionKind, AuthenticationError, Caller, Credentials, Decision, Gate, GateError, Granted, IssueError,
    IssuedToken, Principal, RequestContext, Resource, TokenScope, authorize,
};
use hythe_model::{AccountId, ResourceTags};
use hythe_operations::{
    AttachmentChange, CreateAccessKeyError, CreateIdentityProviderError, CreatePrincipalError, GroupUpdate,
    IdentityProviderChange, MembershipError, NewUser, PolicyRef, RoleUpdate, TagReplacement, TrustPolicy,
    UpdateIdentityProviderError, UpdatePrincipalError, UserKind, UserUpdate,
};
use serde_json::{Value, json};
use support::{Auth, Reply, World};

const ADA: &str = "/api/v1/users/ada";
const BUILDERS: &str = "/api/v1/groups/builders";
const CI: &str = "/api/v1/roles/ci";
const OTHER: &str = "/api/v1/accounts/222222222222";

fn trust() -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": "000000000000" } }],
    })
    .to_string()
}

async fn send(world: &World, method: &str, path: &str) -> Reply {
    world.call(&world.root, method, path).send().await
}

async fn patch(world: &World, path: &str, body: Value) -> Reply {
    world.call(&world.root, "PATCH", path).json(&body).send().await
}

async fn create_user(world: &World, name: &str) {
    world
        .post("/api/v1/users", json!({ "userName": name }))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_user_lives_from_create_to_delete() {
    let world = World::new().await;
    let create = json!({
        "userName": "ada",
        "userKind": "SERVICE_ACCOUNT",
        "description": "builds of team a",
        "policies": ["arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser", "PullOnly", "PowerUser"],
        "permissionsBoundary": "FullAccess",
        "resourceTags": [{ "Key": "team", "Value": "a" }],
        "expiresAt": "2027-01-01T00:00:00.123456789Z",
    });
    let mut shown = vec![world.post("/api/v1/users", create).await.show()];
    shown.push(world.post("/api/v1/users", json!({ "userName": "ADA" })).await.show());
    world
        .post("/api/v1/groups", json!({ "groupName": "builders" }))
        .await
        .expect(201);
    send(&world, "PUT", &format!("{BUILDERS}/members/ada"))
        .await
        .expect(200);
    shown.push(world.get(ADA).await.show());
    let update = json!({ "description": "", "permissionsBoundary": null, "expiresAt": null, "resourceTags": [] });
    shown.push(patch(&world, ADA, update).await.show());
    shown.push(send(&world, "PUT", &format!("{ADA}/policies/ReadOnly")).await.show());
    shown.push(
        send(
            &world,
            "DELETE",
            &format!("{ADA}/policies/arn:aws:iam::aws:policy%2FPullOnly"),
        )
        .await
        .show(),
    );
    shown.push(world.get("/api/v1/users").await.show());
    shown.push(send(&world, "DELETE", ADA).await.show());
    shown.push(world.get(ADA).await.show());
    assert_eq!(world.get(BUILDERS).await.json()["members"], json!([]));
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn a_group_lives_from_create_to_delete() {
    let world = World::new().await;
    create_user(&world, "ada").await;
    let create = json!({ "groupName": "builders", "description": "who builds", "policies": ["ReadOnly"] });
    let mut shown = vec![world.post("/api/v1/groups", create).await.show()];
    shown.push(send(&world, "PUT", &format!("{BUILDERS}/members/ada")).await.show());
    shown.push(send(&world, "PUT", &format!("{BUILDERS}/members/nobody")).await.show());
    shown.push(send(&world, "DELETE", BUILDERS).await.show());
    shown.push(
        patch(&world, BUILDERS, json!({ "policies": ["PowerUser"] }))
            .await
            .show(),
    );
    shown.push(patch(&world, BUILDERS, json!({})).await.show());
    shown.push(world.get("/api/v1/groups").await.show());
    shown.push(send(&world, "DELETE", &format!("{BUILDERS}/members/ada")).await.show());
    shown.push(send(&world, "DELETE", BUILDERS).await.show());
    shown.push(world.get(BUILDERS).await.show());
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn a_role_lives_from_create_to_delete() {
    let world = World::new().await;
    let create = json!({
        "roleName": "ci",
        "assumeRolePolicyDocument": trust(),
        "policies": ["PowerUser"],
        "maxSessionDuration": 7200,
        "resourceTags": [{ "Key": "team", "Value": "a" }],
    });
    let mut shown = vec![world.post("/api/v1/roles", create).await.show()];
    shown.push(
        patch(
            &world,
            CI,
            json!({ "permissionsBoundary": "ReadOnly", "description": "x" }),
        )
        .await
        .show(),
    );
    shown.push(patch(&world, CI, json!({ "maxSessionDuration": 3599 })).await.show());
    shown.push(
        patch(&world, CI, json!({ "assumeRolePolicyDocument": "{}" }))
            .await
            .show(),
    );
    shown.push(send(&world, "PUT", &format!("{CI}/policies/PullOnly")).await.show());
    shown.push(world.get("/api/v1/roles").await.show());
    shown.push(send(&world, "DELETE", CI).await.show());
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn an_account_is_created_closed_and_opened_again() {
    let world = World::new().await;
    let create = json!({ "accountId": "222222222222", "accountName": "team b" });
    let mut shown = vec![world.post("/api/v1/accounts", create.clone()).await.show()];
    shown.push(world.post("/api/v1/accounts", create).await.show());
    let key = send(&world, "POST", &format!("{OTHER}/administrator-keys")).await;
    let root = Auth::Basic(key.expect(201).text("/accessKeyId"), key.text("/secretAccessKey"));
    let create = json!({ "repositoryName": "web" });
    let made = world
        .call(&root, "POST", "/api/v1/repositories")
        .json(&create)
        .send()
        .await;
    assert_eq!(made.expect(201).text("/registryId"), "222222222222");
    world
        .call(&root, "GET", "/api/v1/accounts")
        .send()
        .await
        .expect_code(403, "AccessDeniedException");
    let own_keys = world
        .call(&root, "POST", &format!("{OTHER}/administrator-keys"))
        .send()
        .await;
    own_keys.expect_code(403, "AccessDeniedException");
    let token = world
        .call(&root, "POST", "/api/v1/authorization-tokens")
        .send()
        .await
        .text("/password");

    shown.push(send(&world, "DELETE", OTHER).await.show());
    shown.push(send(&world, "DELETE", &format!("{OTHER}?force=true")).await.show());
    for auth in [root.clone(), Auth::Bearer(token.clone())] {
        let refused = world.call(&auth, "GET", "/api/v1/repositories/web").send().await;
        assert!(matches!(refused.status, 401 | 403), "{}", refused.status);
    }
    // Not even for the administrator of the deployment, and nothing can be made there.
    let there = "registryId=222222222222";
    let path = format!("/api/v1/repositories/web?{there}");
    world.get(&path).await.expect_code(403, "AccessDeniedException");
    let path = format!("/api/v1/users?{there}");
    world
        .post(&path, json!({ "userName": "x" }))
        .await
        .expect_code(403, "AccessDeniedException");
    let key = send(&world, "POST", &format!("{OTHER}/administrator-keys")).await;
    key.expect_code(409, "AccountAlreadyClosedException");

    shown.push(
        patch(&world, OTHER, json!({ "accountName": "team c", "status": "ACTIVE" }))
            .await
            .show(),
    );
    for auth in [root, Auth::Bearer(token)] {
        world
            .call(&auth, "GET", "/api/v1/repositories/web")
            .send()
            .await
            .expect(200);
    }
    shown.push(world.get("/api/v1/accounts").await.show());
    shown.push(
        send(&world, "DELETE", "/api/v1/accounts/000000000000?force=true")
            .await
            .show(),
    );
    shown.push(patch(&world, OTHER, json!({ "accountName": "" })).await.show());
    shown.push(world.get("/api/v1/accounts/333333333333").await.show());
    insta::assert_snapshot!(shown.join("\n\n"));

    let random = world.post("/api/v1/accounts", json!({ "accountName": "x" })).await;
    assert_eq!(random.expect(201).text("/accountId").len(), 12);
}

#[tokio::test]
async fn a_key_is_replaced_and_the_old_one_is_off() {
    let world = World::new().await;
    let Auth::Basic(old, secret) = world.user("ada", &["ReadOnly"]).await else {
        panic!("an access key")
    };
    let keys = format!("{ADA}/access-keys");
    let new = send(&world, "POST", &format!("{keys}/{old}/rotation")).await;
    new.expect(201);
    let new = Auth::Basic(new.text("/accessKeyId"), new.text("/secretAccessKey"));
    let old_key = Auth::Basic(old.clone(), secret);
    world
        .call(&new, "GET", "/api/v1/caller-identity")
        .send()
        .await
        .expect(200);
    let refused = world.call(&old_key, "GET", "/api/v1/caller-identity").send().await;
    refused.expect_code(401, "UnrecognizedClientException");
    let full = send(&world, "POST", &format!("{keys}/{old}/rotation")).await;
    full.expect_code(409, "LimitExceededException");
    let unknown = send(&world, "POST", &format!("{keys}/HYTHEX/rotation")).await;
    unknown.expect_code(404, "ResourceNotFoundException");

    // Lists of keys come in pages, as all lists do.
    let first = world.get(&format!("{keys}?maxResults=1")).await;
    assert_eq!(first.expect(200).json()["accessKeys"].as_array().unwrap().len(), 1);
    let second = world
        .get(&format!("{keys}?maxResults=1&nextToken={}", first.text("/nextToken")))
        .await;
    assert_ne!(
        second.expect(200).text("/accessKeys/0/accessKeyId"),
        first.text("/accessKeys/0/accessKeyId")
    );
    assert!(second.json().get("nextToken").is_none());
}

#[tokio::test]
async fn members_have_the_rights_of_their_groups_at_once() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let ada = world.user("ada", &[]).await;
    let see = async || {
        world
            .call(&ada, "GET", "/api/v1/repositories/team-a%2Fweb")
            .send()
            .await
            .status
    };
    assert_eq!(see().await, 403);
    let group = json!({ "groupName": "builders", "policies": ["ReadOnly"] });
    world.post("/api/v1/groups", group).await.expect(201);
    assert_eq!(see().await, 403);
    send(&world, "PUT", &format!("{BUILDERS}/members/ada"))
        .await
        .expect(200);
    assert_eq!(see().await, 200);
    patch(&world, BUILDERS, json!({ "policies": ["PullOnly"] }))
        .await
        .expect(200);
    assert_eq!(see().await, 403);
    patch(&world, BUILDERS, json!({ "policies": ["ReadOnly"] }))
        .await
        .expect(200);
    assert_eq!(see().await, 200);
    send(&world, "DELETE", &format!("{BUILDERS}/members/ada"))
        .await
        .expect(200);
    assert_eq!(see().await, 403);
}

#[tokio::test]
async fn disabled_and_expired_users_are_refused_at_once() {
    let world = World::new().await;
    let ada = world.user("ada", &["ReadOnly"]).await;
    let token = world
        .call(&ada, "POST", "/api/v1/authorization-tokens")
        .send()
        .await
        .text("/password");
    world.repository("web").await;
    let token = Auth::Bearer(token);
    let see = async || {
        let path = "/api/v1/repositories/web";
        let with_key = world.call(&ada, "GET", path).send().await.status;
        (with_key, world.call(&token, "GET", path).send().await.status)
    };
    let are_refused = |(one, other): (u16, u16)| matches!(one, 401 | 403) && matches!(other, 401 | 403);
    assert_eq!(see().await, (200, 200));
    patch(&world, ADA, json!({ "isDisabled": true })).await.expect(200);
    assert!(are_refused(see().await));
    patch(
        &world,
        ADA,
        json!({ "isDisabled": false, "expiresAt": "2026-11-01T00:10:00Z" }),
    )
    .await
    .expect(200);
    assert_eq!(see().await, (200, 200));
    world.clock.advance_seconds(600);
    assert!(are_refused(see().await));
    patch(&world, ADA, json!({ "expiresAt": null })).await.expect(200);
    assert_eq!(see().await, (200, 200));
}

#[tokio::test]
async fn changes_of_a_state_that_is_gone_are_refused() {
    let world = World::new().await;
    create_user(&world, "ada").await;
    world
        .post("/api/v1/groups", json!({ "groupName": "builders" }))
        .await
        .expect(201);
    world
        .post(
            "/api/v1/roles",
            json!({ "roleName": "ci", "assumeRolePolicyDocument": trust() }),
        )
        .await
        .expect(201);
    world
        .post(
            "/api/v1/accounts",
            json!({ "accountId": "222222222222", "accountName": "b" }),
        )
        .await
        .expect(201);
    for (path, change) in [
        (ADA, json!({ "description": "x" })),
        (BUILDERS, json!({ "description": "x" })),
        (CI, json!({ "description": "x" })),
        (OTHER, json!({ "accountName": "x" })),
    ] {
        let stale = world.get(path).await.header("etag").to_owned();
        let with = |method: &str, etag: &str| world.call(&world.root, method, path).header("if-match", etag);
        let fresh = with("PATCH", &stale).json(&change).send().await;
        let fresh = fresh.expect(200).header("etag").to_owned();
        assert_ne!(fresh, stale, "{path}");
        let refused = with("PATCH", &stale).json(&change).send().await;
        refused.expect_code(412, "PreconditionFailedException");
        let refused = with("DELETE", &stale).send().await;
        refused.expect_code(412, "PreconditionFailedException");
        with("DELETE", &fresh).send().await.expect(200);
    }
}

/// A gate that says yes: what a boundary forbids, it forbids to those who are otherwise permitted.
#[derive(Debug)]
struct Yes;

#[async_trait::async_trait]
impl Gate for Yes {
    async fn authenticate(&self, _: &Credentials) -> Result<Caller, AuthenticationError> {
        Err(AuthenticationError::Rejected)
    }

    async fn decide(&self, _: &Caller, _: Action, _: &Resource, _: &RequestContext) -> Result<Decision, GateError> {
        Ok(Decision::Allowed(None))
    }

    async fn issue(&self, _: &Caller, _: TokenScope) -> Result<IssuedToken, IssueError> {
        Err(IssueError::TooLong)
    }
}

async fn granted<A: ActionKind<Resource = AccountId>>(caller: &Caller) -> Granted<A> {
    authorize::<A>(&Yes, caller, AccountId::default()).await.unwrap()
}

#[tokio::test]
async fn a_boundary_cannot_be_got_around() {
    let world = World::new().await;
    let limit = || "PowerUser".parse::<PolicyRef>().unwrap();
    for (name, boundary) in [("deputy", "PowerUser"), ("other", "ReadOnly")] {
        let user = json!({ "userName": name, "policies": ["FullAccess"], "permissionsBoundary": boundary });
        world.post("/api/v1/users", user).await.expect(201);
    }
    create_user(&world, "free").await;
    for (name, boundary) in [("free", Value::Null), ("bounded", json!("PowerUser"))] {
        let mut role = json!({ "roleName": name, "assumeRolePolicyDocument": trust() });
        if !boundary.is_null() {
            role["permissionsBoundary"] = boundary;
        }
        world.post("/api/v1/roles", role).await.expect(201);
    }
    let deputy = Caller::of(Principal::User(AccountId::default(), "deputy".parse().unwrap()));
    let create = async |name: &str, boundary: Option<PolicyRef>| {
        let new = NewUser {
            name: name.parse().unwrap(),
            kind: UserKind::User,
            description: String::new(),
            tags: None,
            expires_at: None,
            is_disabled: false,
            policies: None,
            boundary: match boundary {
                Some(boundary) => Some((granted(&deputy).await, boundary)),
                None => None,
            },
        };
        world.plane.create_user(&granted(&deputy).await, new).await
    };
    for boundary in [None, Some("FullAccess".parse().unwrap())] {
        let refused = create("ada", boundary).await;
        assert!(matches!(refused, Err(CreatePrincipalError::Bounded(_))), "{refused:?}");
    }
    create("ada", Some(limit())).await.unwrap();

    let key = async |name: &str| {
        let user = name.parse().unwrap();
        world.plane.create_access_key(&granted(&deputy).await, &user).await
    };
    for name in ["free", "other"] {
        let refused = key(name).await;
        assert!(matches!(refused, Err(CreateAccessKeyError::Bounded(_))), "{refused:?}");
    }
    for name in ["ada", "deputy"] {
        key(name).await.unwrap();
    }

    let bound = async |name: &str, boundary: Option<PolicyRef>| {
        let update = UserUpdate {
            boundary: Some((granted(&deputy).await, boundary)),
            ..UserUpdate::default()
        };
        world.plane.update_user(&name.parse().unwrap(), update, None).await
    };
    for (name, boundary) in [("deputy", Some(limit())), ("deputy", None), ("ada", None)] {
        let refused = bound(name, boundary).await;
        assert!(matches!(refused, Err(UpdatePrincipalError::Bounded(_))), "{refused:?}");
    }
    bound("free", Some(limit())).await.unwrap();

    let open = async |name: &str| {
        let update = RoleUpdate {
            trust_policy: Some((granted(&deputy).await, TrustPolicy::parse(trust()).unwrap())),
            ..RoleUpdate::default()
        };
        world.plane.update_role(&name.parse().unwrap(), update, None).await
    };
    let refused = open("free").await;
    assert!(matches!(refused, Err(UpdatePrincipalError::Bounded(_))), "{refused:?}");
    open("bounded").await.unwrap();
}

#[tokio::test]
async fn a_boundary_is_not_got_around_through_policies_tags_groups_and_providers() {
    let world = World::new().await;
    for (name, boundary) in [("deputy", "PowerUser"), ("ada", "PowerUser"), ("other", "ReadOnly")] {
        let user = json!({ "userName": name, "policies": ["FullAccess"], "permissionsBoundary": boundary });
        world.post("/api/v1/users", user).await.expect(201);
    }
    let role = json!({ "roleName": "free", "assumeRolePolicyDocument": trust() });
    world.post("/api/v1/roles", role).await.expect(201);
    let role =
        json!({ "roleName": "bounded", "assumeRolePolicyDocument": trust(), "permissionsBoundary": "PowerUser" });
    world.post("/api/v1/roles", role).await.expect(201);
    let group = json!({ "groupName": "builders" });
    world.post("/api/v1/groups", group).await.expect(201);
    world.identity_provider("https://ci.example").await;
    let deputy = Caller::of(Principal::User(AccountId::default(), "deputy".parse().unwrap()));

    let everything = || AttachmentChange::Attach("FullAccess".parse().unwrap());
    let nothing = || AttachmentChange::Replace(Vec::new());
    for change in [everything, nothing] {
        let of_role = async |name: &str| {
            let policies = Some((granted(&deputy).await, change()));
            let update = RoleUpdate {
                policies,
                ..RoleUpdate::default()
            };
            world.plane.update_role(&name.parse().unwrap(), update, None).await
        };
        let refused = of_role("free").await;
        assert!(matches!(refused, Err(UpdatePrincipalError::Bounded(_))), "{refused:?}");
        of_role("bounded").await.unwrap();
        let of_user = async |name: &str| {
            let policies = Some((granted(&deputy).await, change()));
            let update = UserUpdate {
                policies,
                ..UserUpdate::default()
            };
            world.plane.update_user(&name.parse().unwrap(), update, None).await
        };
        let refused = of_user("other").await;
        assert!(matches!(refused, Err(UpdatePrincipalError::Bounded(_))), "{refused:?}");
        of_user("ada").await.unwrap();
        let update = GroupUpdate {
            policies: Some((granted(&deputy).await, change())),
            ..GroupUpdate::default()
        };
        let refused = world
            .plane
            .update_group(&"builders".parse().unwrap(), update, None)
            .await;
        assert!(matches!(refused, Err(UpdatePrincipalError::Bounded(_))), "{refused:?}");
    }

    let tag = async |name: &str| {
        let role = name.parse().unwrap();
        let tags = ResourceTags::new([("team".to_owned(), "a".to_owned())]).unwrap();
        let tagging = granted(&deputy).await;
        let replaced = world.plane.replaced_role_tags(&tagging, &role, &tags).await.unwrap();
        let update = RoleUpdate {
            tags: Some(TagReplacement {
                tagging,
                untagging: granted(&deputy).await,
                tags,
                version: replaced.version,
            }),
            ..RoleUpdate::default()
        };
        world.plane.update_role(&role, update, None).await
    };
    let refused = tag("free").await;
    assert!(matches!(refused, Err(UpdatePrincipalError::Bounded(_))), "{refused:?}");
    tag("bounded").await.unwrap();

    let join = async |name: &str| {
        let (group, user) = ("builders".parse().unwrap(), name.parse().unwrap());
        world
            .plane
            .add_group_member(&granted(&deputy).await, &group, &user)
            .await
    };
    let refused = join("other").await;
    assert!(matches!(refused, Err(MembershipError::Bounded(_))), "{refused:?}");
    join("ada").await.unwrap();

    let settings = || IdentityProviderChange {
        client_ids: Some(vec!["x".into()]),
        ..IdentityProviderChange::default()
    };
    let granted_all = granted(&deputy).await;
    let url = "https://new.example".parse().unwrap();
    let refused = world
        .plane
        .create_identity_provider(&granted_all, url, settings())
        .await;
    assert!(
        matches!(refused, Err(CreateIdentityProviderError::Bounded(_))),
        "{refused:?}"
    );
    let (granted_all, name) = (granted(&deputy).await, "ci.example".parse().unwrap());
    let refused = world
        .plane
        .update_identity_provider(&granted_all, &name, settings(), None)
        .await;
    assert!(
        matches!(refused, Err(UpdateIdentityProviderError::Bounded(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_place() {
    let world = World::new().await;
    let long = "x".repeat(1001);
    let many: Vec<String> = (0..101).map(|index| format!("p{index}")).collect();
    let cases = [
        ("users", json!({ "userName": "a b" }), Some("/userName")),
        (
            "users",
            json!({ "userName": "a", "policies": ["arn:aws:iam::111111111111:policy/x"] }),
            Some("/policies/0"),
        ),
        ("users", json!({ "userName": "a", "policies": many }), Some("/policies")),
        ("users", json!({ "userName": "a", "policies": ["none"] }), None),
        (
            "users",
            json!({ "userName": "a", "permissionsBoundary": "a b" }),
            Some("/permissionsBoundary"),
        ),
        (
            "users",
            json!({ "userName": "a", "description": long }),
            Some("/description"),
        ),
        (
            "users",
            json!({ "userName": "a", "description": "a\u{7}" }),
            Some("/description"),
        ),
        (
            "users",
            json!({ "userName": "a", "userKind": "ROBOT" }),
            Some("/userKind"),
        ),
        ("groups", json!({ "groupName": "" }), Some("/groupName")),
        (
            "roles",
            json!({ "roleName": "a", "assumeRolePolicyDocument": "[" }),
            Some("/assumeRolePolicyDocument"),
        ),
        (
            "roles",
            json!({ "roleName": "a", "assumeRolePolicyDocument": trust(), "maxSessionDuration": 43201 }),
            Some("/maxSessionDuration"),
        ),
        ("accounts", json!({ "accountName": "a\nb" }), Some("/accountName")),
        (
            "accounts",
            json!({ "accountName": "a", "accountId": "1" }),
            Some("/accountId"),
        ),
    ];
    for (noun, body, pointer) in cases {
        let reply = world.post(&format!("/api/v1/{noun}"), body.clone()).await;
        reply.expect_code(400, "InvalidParameterException");
        assert_eq!(reply.json().get("pointer").and_then(Value::as_str), pointer, "{body}");
    }
    let tags = json!({ "userName": "a", "resourceTags": [{ "Key": "aws:x", "Value": "" }] });
    let reply = world.post("/api/v1/users", tags).await;
    reply.expect_code(400, "InvalidTagParameterException");
    assert_eq!(reply.text("/pointer"), "/resourceTags");
    let default = send(&world, "DELETE", "/api/v1/accounts/000000000000").await;
    default.expect_code(409, "AccountInUseException");
}
