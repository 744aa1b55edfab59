// SPDX-License-Identifier: Apache-2.0
//! What somebody may do, and who may do something, as a client is told.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Reply, World};

const SIMULATIONS: &str = "/api/v1/policy-simulations";
const WEB: &str = "arn:aws:ecr:local:000000000000:repository/team-a/web";
const ADA: &str = "arn:aws:iam::000000000000:user/ada";

async fn simulate(world: &World, body: Value) -> Value {
    world.post(SIMULATIONS, body).await.expect(200).json()["evaluations"].clone()
}

fn document(statement: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

async fn set_policy(world: &World, text: &str) {
    let body = json!({ "policyText": text, "force": true });
    let call = world.call(&world.root, "PUT", "/api/v1/repositories/team-a%2Fweb/policy");
    call.json(&body).send().await.expect(200);
}

#[tokio::test]
async fn decisions_come_with_the_statement_that_made_them() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    world.user("ada", &["ReadOnly"]).await;
    let ask = json!({
        "principalArn": ADA,
        "actions": ["ecr:batchgetimage", "ecr:PutImage"],
        "resourceArns": [WEB],
    });
    let answers = simulate(&world, ask.clone()).await;
    assert_eq!(
        answers[0],
        json!({
            "action": "ecr:BatchGetImage", "resourceArn": WEB, "decision": "allowed",
            "statement": { "policyType": "identity", "policyName": "ReadOnly", "index": 0, "sid": "ReadOnly", "effect": "Allow" },
            "matchedStatements": [
                { "policyType": "identity", "policyName": "ReadOnly", "index": 0, "sid": "ReadOnly", "effect": "Allow" },
            ],
            "reason": "statement 1 (`ReadOnly`) of the identity-based policy `ReadOnly` allows it",
        })
    );
    assert_eq!(
        answers[1],
        json!({
            "action": "ecr:PutImage", "resourceArn": WEB, "decision": "implicitDeny", "matchedStatements": [],
            "missing": "identity-based policy",
            "reason": format!(
                "User: {ADA} is not authorized to perform: ecr:PutImage on resource: {WEB} because no identity-based \
                 policy allows the ecr:PutImage action"
            ),
        })
    );

    // The policy of the repository has its say, and a condition is named that is not met.
    let guard = json!({
        "Sid": "Office", "Effect": "Deny", "Principal": "*", "Action": "*",
        "Condition": { "NotIpAddress": { "aws:SourceIp": "192.0.2.0/24" } },
    });
    set_policy(&world, &document(&guard)).await;
    let at = |address: &str| {
        let mut ask = ask.clone();
        ask["context"] = json!({ "AWS:sourceip": [address] });
        ask
    };
    let denied = simulate(&world, at("198.51.100.1")).await;
    assert_eq!(denied[0]["decision"], "explicitDeny");
    assert_eq!(denied[0]["statement"]["sid"], "Office");
    assert_eq!(denied[0]["statement"]["policyType"], "repository");
    let allowed = simulate(&world, at("192.0.2.1")).await;
    assert_eq!(allowed[0]["decision"], "allowed");
    assert_eq!(
        allowed[0]["unmetConditions"][0]["condition"],
        "NotIpAddress aws:sourceip"
    );
}

#[tokio::test]
async fn drafts_take_the_place_of_what_is_stored() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    world.user("ada", &["FullAccess"]).await;
    let pull = json!({ "Effect": "Allow", "Action": "ecr:BatchGetImage", "Resource": "*" });
    let ask = |principal: &str| {
        json!({
            "principalArn": principal, "actions": ["ecr:BatchGetImage", "ecr:PutImage"], "resourceArns": [WEB],
            "policyDocuments": [document(&pull)],
        })
    };
    let decisions = |answers: &Value| {
        let all = answers.as_array().unwrap().iter();
        all.map(|one| one["decision"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        decisions(&simulate(&world, ask(ADA)).await),
        ["allowed", "implicitDeny"]
    );
    // For somebody who is yet to come, and for somebody of another account, whom the repository does not know.
    let new = "arn:aws:iam::000000000000:role/new";
    assert_eq!(
        decisions(&simulate(&world, ask(new)).await),
        ["allowed", "implicitDeny"]
    );
    let eve = "arn:aws:iam::222222222222:user/eve";
    let refused = simulate(&world, ask(eve)).await;
    assert_eq!(refused[0]["missing"], "resource-based policy");
    let mut both = ask(eve);
    let share = json!({ "Effect": "Allow", "Principal": { "AWS": "222222222222" }, "Action": "ecr:*" });
    both["resourcePolicy"] = json!(document(&share));
    assert_eq!(decisions(&simulate(&world, both).await), ["allowed", "implicitDeny"]);
    // Every tag that is named counts.
    let dev = json!({
        "Effect": "Allow", "Action": "ecr:PutImage", "Resource": "*",
        "Condition": { "StringLike": { "ecr:ImageTag": "dev-*" } },
    });
    for (tags, want) in [(json!(["dev-1"]), "allowed"), (json!(["dev-1", "v1"]), "implicitDeny")] {
        let ask = json!({
            "principalArn": ADA, "actions": ["ecr:PutImage"], "resourceArns": [WEB],
            "policyDocuments": [document(&dev)], "context": { "ecr:ImageTag": tags },
        });
        assert_eq!(decisions(&simulate(&world, ask).await), [want]);
    }
}

#[tokio::test]
async fn roles_trust_whom_they_trust() {
    let world = World::new().await;
    world.user("ada", &[]).await;
    let trust = json!({ "Effect": "Allow", "Principal": { "AWS": ADA }, "Action": "sts:AssumeRole" });
    let role = json!({ "roleName": "ci", "assumeRolePolicyDocument": document(&trust), "policies": ["PowerUser"] });
    world.post("/api/v1/roles", role).await.expect(201);
    let arn = "arn:aws:iam::000000000000:role/ci";
    let assume = json!({ "principalArn": ADA, "actions": ["sts:AssumeRole"], "resourceArns": [arn] });
    assert_eq!(simulate(&world, assume).await[0]["statement"]["policyType"], "trust");
    let push =
        json!({ "principalArn": arn, "actions": ["ecr:PutImage", "ecr:DeleteRepository"], "resourceArns": [WEB] });
    let answers = simulate(&world, push).await;
    assert_eq!(
        (&answers[0]["decision"], &answers[1]["decision"]),
        (&json!("allowed"), &json!("implicitDeny"))
    );
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_with_their_place() {
    let world = World::new().await;
    let good = || json!({ "actions": ["ecr:BatchGetImage"] });
    let with = |name: &str, value: Value| {
        let mut body = good();
        body[name] = value;
        body
    };
    world.post(SIMULATIONS, good()).await.expect(200);
    let cases = [
        (with("actions", json!([])), "/actions"),
        (with("actions", json!(["ecr:Nothing"])), "/actions/0"),
        (with("actions", json!(vec!["ecr:PutImage"; 1001])), "/actions"),
        (with("principalArn", json!("ada")), "/principalArn"),
        (
            with("principalArn", json!("arn:aws:iam::222222222222:user/eve")),
            "/principalArn",
        ),
        (with("resourceArns", json!(["*", "web"])), "/resourceArns/1"),
        (
            with("resourceArns", json!(["arn:aws:ecr:local:222222222222:repository/web"])),
            "/resourceArns",
        ),
        (with("policyDocuments", json!(["{}"])), "/policyDocuments/0"),
        (with("policyDocuments", json!(vec!["{}"; 11])), "/policyDocuments"),
        (with("resourcePolicy", json!("[]")), "/resourcePolicy"),
    ];
    for (body, pointer) in cases {
        let reply = world.post(SIMULATIONS, body.clone()).await;
        reply.expect_code(400, "InvalidParameterException");
        assert_eq!(reply.text("/pointer"), pointer, "{body}");
    }
    let nobody = with("principalArn", json!("arn:aws:iam::000000000000:user/nobody"));
    let reply = world.post(SIMULATIONS, nobody).await;
    assert_eq!(reply.status, 404, "{}", reply.show());
}

#[tokio::test]
async fn those_who_may_pull_are_listed_with_what_lets_them() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    world.user("ada", &["ReadOnly"]).await;
    world.user("bob", &[]).await;
    world.user("carl", &["FullAccess"]).await;
    let off = json!({ "isDisabled": true });
    let call = world.call(&world.root, "PATCH", "/api/v1/users/carl").json(&off);
    call.send().await.expect(200);
    let access = |reply: Reply| {
        let answer = reply.expect(200).json();
        let entries = answer["principals"].as_array().unwrap().clone();
        let arn = |entry: &Value| entry["arn"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        (
            answer["anyone"].clone(),
            entries.iter().map(arn).collect::<Vec<_>>(),
            entries,
        )
    };
    let path = "/api/v1/repositories/team-a%2Fweb/access";
    let (anyone, arns, entries) = access(world.get(path).await);
    assert_eq!(
        (anyone, arns),
        (json!(false), vec!["root".to_owned(), "user/ada".to_owned()])
    );
    assert_eq!(entries[0]["via"], "administrator of the account");
    assert_eq!(
        entries[1]["via"],
        "statement 1 (`ReadOnly`) of the identity-based policy `ReadOnly`"
    );
    let (_, arns, _) = access(world.get(&format!("{path}?action=ecr:DeleteRepository")).await);
    assert_eq!(arns, ["root"]);

    let other = json!({ "accountId": "222222222222", "accountName": "other" });
    world.post("/api/v1/accounts", other).await.expect(201);
    // The repository names a user, another account, and everybody from one network.
    let text = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": ["arn:aws:iam::000000000000:user/bob", "222222222222"] }, "Action": "ecr:*" },
        { "Effect": "Deny", "Principal": { "AWS": ADA }, "Action": "ecr:PutImage" },
    ]});
    set_policy(&world, &text.to_string()).await;
    let (anyone, arns, entries) = access(world.get(path).await);
    assert_eq!(anyone, false);
    assert_eq!(arns, ["root", "user/ada", "user/bob", "root"]);
    assert_eq!(entries[3]["arn"], "arn:aws:iam::222222222222:root");
    assert_eq!(entries[3]["provided"], "as far as its own account allows");
    let everybody = json!({ "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage" });
    set_policy(&world, &document(&everybody)).await;
    let (anyone, arns, _) = access(world.get(path).await);
    assert_eq!(
        (anyone, arns),
        (json!(true), vec!["root".into(), "user/ada".into(), "user/bob".into()])
    );
    let office = json!({
        "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage",
        "Condition": { "IpAddress": { "aws:SourceIp": "192.0.2.0/24" } },
    });
    set_policy(&world, &document(&office)).await;
    let (anyone, arns, entries) = access(world.get(path).await);
    assert_eq!((anyone, arns.len()), (json!(false), 3));
    assert_eq!(entries[2]["provided"], "if `IpAddress aws:sourceip`");

    world
        .get("/api/v1/repositories/absent/access")
        .await
        .expect_code(404, "RepositoryNotFoundException");
    let odd = world.get(&format!("{path}?action=fly")).await;
    odd.expect_code(400, "InvalidParameterException");
}

#[tokio::test]
async fn who_can_names_sessions_and_the_administrator_of_the_deployment() {
    let world = World::administered_by(&"999999999999".parse().unwrap()).await;
    let owner = world.account("000000000000").await;
    let send = async |method: &str, path: &str, body: Value| {
        let call = world.call(&owner, method, path);
        if body.is_null() { call } else { call.json(&body) }.send().await
    };
    let repository = json!({ "repositoryName": "team-a/web" });
    send("POST", "/api/v1/repositories", repository).await.expect(201);
    let trust =
        document(&json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": "000000000000" } }));
    let role = json!({ "roleName": "ci", "assumeRolePolicyDocument": trust });
    send("POST", "/api/v1/roles", role).await.expect(201);
    let session = "arn:aws:sts::000000000000:assumed-role/ci/run-7";
    let text = document(&json!({
        "Effect": "Allow", "Action": "ecr:BatchGetImage", "Principal": { "AWS": session },
    }));
    let policy = json!({ "policyText": text, "force": true });
    send("PUT", "/api/v1/repositories/team-a%2Fweb/policy", policy)
        .await
        .expect(200);
    let access = send("GET", "/api/v1/repositories/team-a%2Fweb/access", Value::Null).await;
    let access = access.expect(200).json();
    let entries = access["principals"].as_array().unwrap().iter();
    let shown: Vec<_> = entries
        .map(|entry| (entry["arn"].as_str().unwrap(), entry["via"].as_str().unwrap()))
        .collect();
    assert_eq!(
        shown,
        [
            ("arn:aws:iam::000000000000:root", "administrator of the account"),
            ("arn:aws:iam::999999999999:root", "administrator of the deployment"),
            (session, "statement 1 of the repository policy"),
        ]
    );
}

#[tokio::test]
async fn a_token_of_an_identity_provider_is_explained_by_its_claims() {
    let world = World::new().await;
    let provider = "arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com";
    let key = "token.actions.githubusercontent.com:sub";
    let trust = document(&json!({
        "Sid": "Main", "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Principal": { "Federated": provider },
        "Condition": { "StringLike": { key: "repo:octo/*" }, "StringEquals": { "sts:RoleSessionName": "run" } },
    }));
    let role = json!({ "roleName": "ci", "assumeRolePolicyDocument": trust });
    world.post("/api/v1/roles", role).await.expect(201);
    let ask = |claims: Value| {
        json!({
            "principalArn": provider, "actions": ["sts:AssumeRoleWithWebIdentity"],
            "resourceArns": ["arn:aws:iam::000000000000:role/ci"],
            "context": { "sts:RoleSessionName": ["run"] }, "claims": claims,
        })
    };
    let absent = world.post(SIMULATIONS, ask(json!({}))).await;
    assert_eq!(absent.status, 404, "{}", absent.json());
    world
        .identity_provider("https://token.actions.githubusercontent.com")
        .await;

    let good = simulate(&world, ask(json!({ "sub": ["repo:octo/app"], "aud": ["hythe"] }))).await;
    assert_eq!(
        (
            &good[0]["decision"],
            &good[0]["statement"]["sid"],
            &good[0]["statement"]["policyType"]
        ),
        (&json!("allowed"), &json!("Main"), &json!("trust"))
    );
    for claims in [json!({ "sub": ["repo:other/app"] }), json!({})] {
        let refused = simulate(&world, ask(claims)).await;
        assert_eq!(refused[0]["decision"], "implicitDeny");
        assert_eq!(refused[0]["missing"], "role trust policy");
        assert_eq!(
            refused[0]["unmetConditions"][0]["condition"],
            format!("StringLike {key}")
        );
    }

    let with = |member: &str, value: Value| {
        let mut body = ask(json!({}));
        body[member] = value;
        body
    };
    let odd = [
        (with("sessionPolicy", json!("{}")), "/sessionPolicy"),
        (with("policyDocuments", json!([])), "/policyDocuments"),
        (
            with(
                "principalArn",
                json!("arn:aws:iam::222222222222:oidc-provider/x.example"),
            ),
            "/principalArn",
        ),
        (
            json!({ "principalArn": ADA, "actions": ["ecr:PutImage"], "claims": { "sub": ["x"] } }),
            "/claims",
        ),
    ];
    for (body, pointer) in odd {
        let refused = world.post(SIMULATIONS, body).await;
        assert_eq!(refused.expect(400).text("/pointer"), pointer);
    }
}

#[tokio::test]
async fn a_session_policy_limits_what_is_explained() {
    let world = World::new().await;
    world.repository("team-a/web").await;
    let trust =
        document(&json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": "000000000000" } }));
    let role = json!({ "roleName": "ci", "assumeRolePolicyDocument": trust, "policies": ["PowerUser"] });
    world.post("/api/v1/roles", role).await.expect(201);
    let limit = document(&json!({ "Effect": "Allow", "Action": "ecr:BatchGetImage", "Resource": "*" }));
    let ask = json!({
        "principalArn": "arn:aws:iam::000000000000:role/ci", "actions": ["ecr:BatchGetImage", "ecr:PutImage"],
        "resourceArns": [WEB], "sessionPolicy": limit,
    });
    let answers = simulate(&world, ask.clone()).await;
    assert_eq!(answers[0]["decision"], "allowed");
    assert_eq!(
        (&answers[1]["decision"], &answers[1]["missing"]),
        (&json!("implicitDeny"), &json!("session policy"))
    );
    let mut free = ask;
    free.as_object_mut().unwrap().remove("sessionPolicy");
    assert_eq!(simulate(&world, free.clone()).await[1]["decision"], "allowed");
    free["sessionPolicy"] = json!("{}");
    let refused = world.post(SIMULATIONS, free).await;
    assert_eq!(refused.expect(400).text("/pointer"), "/sessionPolicy");
}
