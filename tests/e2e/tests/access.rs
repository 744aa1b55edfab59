// SPDX-License-Identifier: Apache-2.0
//! Who gets in, with a real server: roles of other accounts, conditions on image tags, what refusals tell, and that each
//! node of a deployment hears of a change.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::http::{Response, request};
use e2e::process::{Finished, run, wait_until};
use e2e::registry::{OCI_MANIFEST, digest};
use e2e::{RegistryClient, Server, TwoNodes, http};
use serde_json::{Value, json};

/// How long something that was given may take to reach another node. On a busy machine more than a second is no failure.
const PATIENCE: Duration = Duration::from_secs(90);

/// What was taken away is refused by every node to whoever asks so long after that was answered.
const BOUND: Duration = Duration::from_secs(1);

/// An access key or a token, as a header.
fn basic(credentials: &Value) -> String {
    let member = |name: &str| credentials[name].as_str();
    let user = member("accessKeyId").or(member("userName")).unwrap_or_default();
    let password = member("secretAccessKey").or(member("password")).unwrap_or_default();
    http::basic(user, password)
}

/// Calls the REST API as somebody.
fn call(server: &Server, authorization: &str, method: &str, path: &str, body: &Value) -> Result<Response> {
    let headers = [("Authorization", authorization), ("Content-Type", "application/json")];
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    request(
        server.credentials().control_address(),
        method,
        path,
        &headers,
        body.as_bytes(),
    )
}

/// An answer of a call that succeeds.
fn done(server: &Server, authorization: &str, method: &str, path: &str, body: &Value) -> Result<Value> {
    let answer = call(server, authorization, method, path, body)?;
    ensure!(
        answer.status < 300,
        "{method} {path}: {} {}",
        answer.status,
        answer.text()
    );
    answer.json()
}

/// A new user of the caller's account with these policies: its key, as a header.
fn user(server: &Server, by: &str, name: &str, policies: &[&str]) -> Result<String> {
    let body = json!({ "userName": name, "policies": policies });
    done(server, by, "POST", "/api/v1/users", &body)?;
    let keys = format!("/api/v1/users/{name}/access-keys");
    Ok(basic(&done(server, by, "POST", &keys, &Value::Null)?))
}

fn policy(statement: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": statement }).to_string()
}

fn as_client(server: &Server, authorization: &str) -> RegistryClient {
    RegistryClient::with(server.registry(), Some(authorization.to_owned()))
}

fn status(client: &RegistryClient, repository: &str, reference: &str) -> Result<u16> {
    Ok(client.manifest(repository, reference)?.status)
}

#[test]
fn a_role_of_another_account_pulls_if_both_sides_allow() -> Result<()> {
    let server = Server::start()?;
    let (here, there) = (
        server.create_account("111111111111")?,
        server.create_account("222222222222")?,
    );
    let web = json!({ "repositoryName": "team/web" });
    done(&server, &here, "POST", "/api/v1/repositories", &web)?;
    let repository = "111111111111/team/web";
    let pushed = as_client(&server, &here).push_image(repository, "v1", b"for both")?;

    // Over there: a role that its users may take on.
    let trust = json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": "222222222222" } });
    let role = json!({ "roleName": "release", "assumeRolePolicyDocument": policy(&trust) });
    done(&server, &there, "POST", "/api/v1/roles", &role)?;
    let take_on = json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*" });
    let take_on = json!({ "policyName": "take-on", "policyDocument": policy(&take_on) });
    done(&server, &there, "POST", "/api/v1/policies", &take_on)?;
    let ada = user(&server, &there, "ada", &["take-on"])?;
    let session = json!({ "roleSessionName": "ada" });
    let session = done(&server, &ada, "POST", "/api/v1/roles/release/sessions", &session)?;
    let client = as_client(&server, &basic(&session));

    // What each side may say, and what comes of it.
    let pull = json!([
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchCheckLayerAvailability"
    ]);
    let own =
        json!({ "Effect": "Allow", "Action": pull, "Resource": "arn:aws:ecr:*:111111111111:repository/team/web" });
    let own = json!({ "policyName": "pull-web", "policyDocument": policy(&own) });
    done(&server, &there, "POST", "/api/v1/policies", &own)?;
    let names = |principal: &str| {
        let statement = json!({ "Effect": "Allow", "Action": pull, "Principal": { "AWS": principal } });
        json!({ "policyText": policy(&statement) })
    };
    let resource = "/api/v1/repositories/team%2Fweb/policy";
    let attached = "/api/v1/roles/release/policies/pull-web";
    let refused = |what: &str| -> Result<()> {
        let answer = client.manifest(repository, "v1")?;
        ensure!(answer.status == 403, "{what}: {} {}", answer.status, answer.text());
        Ok(())
    };

    refused("neither side allows")?;
    done(&server, &there, "PUT", attached, &Value::Null)?;
    refused("only the role's own account allows")?;
    for principal in ["222222222222", "arn:aws:iam::222222222222:role/release"] {
        done(&server, &here, "PUT", resource, &names(principal))?;
        client.pull_image(repository, "v1")?;
        client.pull_image(repository, &pushed)?;
        let push = client.call("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], &[])?;
        ensure!(push.status == 403, "a pull was allowed: {}", push.text());
        done(&server, &there, "DELETE", attached, &Value::Null)?;
        refused(&format!("only the repository allows, naming {principal}"))?;
        done(&server, &there, "PUT", attached, &Value::Null)?;
    }
    // The user who took it on has no such right, and neither has another role.
    ensure!(status(&as_client(&server, &ada), repository, "v1")? == 403);
    let other = json!({ "roleName": "other", "assumeRolePolicyDocument": policy(&trust), "policies": ["pull-web"] });
    done(&server, &there, "POST", "/api/v1/roles", &other)?;
    let session = json!({ "roleSessionName": "ada" });
    let session = done(&server, &ada, "POST", "/api/v1/roles/other/sessions", &session)?;
    ensure!(status(&as_client(&server, &basic(&session)), repository, "v1")? == 403);
    // A denial of either side stops it.
    let deny = json!([
        { "Effect": "Allow", "Action": pull, "Principal": { "AWS": "222222222222" } },
        { "Effect": "Deny", "Action": "ecr:BatchGetImage", "Principal": { "AWS": "arn:aws:iam::222222222222:role/release" } },
    ]);
    let body = json!({ "policyText": policy(&deny) });
    done(&server, &here, "PUT", resource, &body)?;
    refused("the repository denies")?;
    Ok(())
}

#[test]
fn conditions_on_image_tags_decide_pushes_pulls_and_deletions_by_tag() -> Result<()> {
    let server = Server::start()?;
    let root = server.credentials().basic();
    server.create_repository("web")?;
    let owner = RegistryClient::new(&server);
    let released = owner.push_image("web", "v1", b"released")?;
    owner.push_image("web", "dev-0", b"in the making")?;

    let layers = json!([
        "ecr:BatchCheckLayerAvailability",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload"
    ]);
    let tagged = json!(["ecr:PutImage", "ecr:BatchGetImage", "ecr:BatchDeleteImage"]);
    let statements = json!([
        { "Effect": "Allow", "Action": layers, "Resource": "*" },
        { "Effect": "Allow", "Action": tagged, "Resource": "*",
          "Condition": { "StringLike": { "ecr:ImageTag": "dev-*" } } },
    ]);
    let dev = json!({ "policyName": "dev-only", "policyDocument": policy(&statements) });
    done(&server, &root, "POST", "/api/v1/policies", &dev)?;
    let ada_key = user(&server, &root, "ada", &["dev-only"])?;
    let ada = as_client(&server, &ada_key);

    let made = ada.push_image("web", "dev-1", b"by ada")?;
    let bytes = ada.manifest("web", "dev-1")?.expect(200)?.body;
    ada.pull_image("web", "dev-0")?;
    let put = |reference: &str| ada.put_manifest("web", reference, OCI_MANIFEST, &bytes);
    let refused = put("v2")?;
    ensure!(refused.status == 403, "{}", refused.text());
    ensure!(
        refused.text().contains("is not authorized to perform: ecr:PutImage"),
        "{}",
        refused.text()
    );
    // A request by digest names no tag, so that nothing allows it, and of several tags each must be allowed.
    ensure!(put(&digest(&bytes))?.status == 403);
    ensure!(put(&format!("{made}?tag=dev-2&tag=dev-3"))?.status == 201);
    ensure!(put(&format!("{made}?tag=dev-4&tag=v2"))?.status == 403);
    let tags = owner.call("GET", "/v2/web/tags/list", &[], &[])?.json()?["tags"].clone();
    ensure!(tags == json!(["dev-0", "dev-1", "dev-2", "dev-3", "v1"]), "{tags}");
    ensure!(status(&ada, "web", "v1")? == 403);
    ensure!(status(&ada, "web", &released)? == 403);
    let head = ada.call("HEAD", "/v2/web/manifests/v1", &[], &[])?;
    ensure!(head.status == 403, "{}", head.status);
    let delete = |reference: &str| ada.call("DELETE", &format!("/v2/web/manifests/{reference}"), &[], &[]);
    ensure!(delete("v1")?.status == 403);
    ensure!(delete(&made)?.status == 403);
    ensure!(delete("dev-2")?.status == 202);
    // The control plane asks the same.
    let tag = |name: &str| format!("/api/v1/repositories/web/tags/{name}");
    let move_to = json!({ "imageDigest": made });
    ensure!(call(&server, &ada_key, "PUT", &tag("v1"), &move_to)?.status == 403);
    done(&server, &ada_key, "PUT", &tag("dev-0"), &move_to)?;
    ensure!(call(&server, &ada_key, "DELETE", &tag("v1"), &Value::Null)?.status == 403);
    done(&server, &ada_key, "DELETE", &tag("dev-3"), &Value::Null)?;
    let released_still = owner.manifest("web", "v1")?.expect(200)?;
    ensure!(digest(&released_still.body) == released, "the release has moved");

    // A denial of releases does not keep anybody from what names none.
    let deny = json!([
        { "Effect": "Deny", "Principal": "*", "Action": ["ecr:PutImage", "ecr:BatchDeleteImage"],
          "Condition": { "StringLike": { "ecr:ImageTag": "v*" } } },
    ]);
    let body = json!({ "policyText": policy(&deny) });
    done(&server, &root, "PUT", "/api/v1/repositories/web/policy", &body)?;
    let forced = owner.put_manifest("web", "v9", OCI_MANIFEST, &bytes)?;
    ensure!(
        forced.status == 403
            && forced
                .text()
                .contains("with an explicit deny in a resource-based policy"),
        "{}",
        forced.text()
    );
    ensure!(owner.call("DELETE", "/v2/web/manifests/v1", &[], &[])?.status == 403);
    owner.put_manifest("web", "latest", OCI_MANIFEST, &bytes)?.expect(201)?;
    owner.pull_image("web", "v1")?;
    Ok(())
}

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

#[test]
fn a_refusal_has_the_id_that_finds_its_record() -> Result<()> {
    let server = Server::start()?;
    let root = server.credentials().basic();
    server.create_repository("web")?;
    let ada = user(&server, &root, "ada", &[])?;
    let requests = [
        ("GET", "/v2/web/manifests/v1", "ecr:BatchGetImage"),
        ("GET", "/v2/absent/manifests/v1", "ecr:BatchGetImage"),
        ("POST", "/v2/web/blobs/uploads/", "ecr:InitiateLayerUpload"),
    ];
    for (method, path, action) in requests {
        for (client, want, arn) in [
            (
                as_client(&server, &ada),
                403,
                Some("arn:aws:iam::000000000000:user/ada"),
            ),
            (RegistryClient::with(server.registry(), None), 401, None),
        ] {
            let refused = client.call(method, path, &[], &[])?.expect(want)?;
            let error = refused.json()?["errors"][0].clone();
            let id = error["detail"]["requestId"]
                .as_str()
                .context("a refusal without an id")?;
            ensure!(refused.header("x-request-id") == Some(id), "{error}");
            let found = hythe(&server, &["audit", "list", "--errors", "--output", "json"])?.ok()?;
            let found: Value = serde_json::from_str(&found.stdout)?;
            let records = found["auditEvents"].as_array().context("no records")?;
            let of_request: Vec<_> = records.iter().filter(|it| it["requestID"] == id).collect();
            ensure!(of_request.len() == 1, "{id}: {found}");
            let record = of_request[0];
            let who = if arn.is_some() { "IAMUser" } else { "Anonymous" };
            ensure!(record["userIdentity"]["type"] == who, "{record}");
            ensure!(
                arn.is_none() || record["userIdentity"]["arn"].as_str() == arn,
                "{record}"
            );
            let said = record.to_string();
            ensure!(said.contains(action.split(':').nth(1).unwrap_or_default()), "{record}");
            ensure!(said.contains("is not authorized to perform") || want == 401, "{record}");
        }
    }
    // Who may not know learns the same of what is there and of what is not.
    let text = |path: &str| -> Result<String> {
        let refused = as_client(&server, &ada).call("GET", path, &[], &[])?.expect(403)?;
        let id = refused.header("x-request-id").unwrap_or_default().to_owned();
        Ok(refused.text().replace(&id, "ID").replace("absent", "web"))
    };
    ensure!(text("/v2/web/manifests/v1")? == text("/v2/absent/manifests/v1")?);
    Ok(())
}

#[test]
fn what_one_node_changes_counts_on_the_other() -> Result<()> {
    let Some(nodes) = TwoNodes::start(&[])? else {
        return Ok(());
    };
    let (first, second) = (&nodes.first, &nodes.second);
    let root = first.credentials().basic();
    for name in ["web", "shared"] {
        first.create_repository(name)?;
        RegistryClient::new(first).push_image(name, "v1", b"content")?;
    }
    let pulls = |client: &RegistryClient, repository: &str| status(client, repository, "v1").unwrap_or_default();
    let becomes = |what: &str, client: &RegistryClient, repository: &str, want: &[u16]| {
        wait_until(&format!("the other node hears of {what}"), PATIENCE, || {
            want.contains(&pulls(client, repository))
        })
    };

    // The first request after the bound: a node that has not heard of it by then has to ask.
    let stops = |what: &str, client: &RegistryClient, repository: &str, want: &[u16]| -> Result<()> {
        // The moment is the point here, not a wait for something.
        sleep(BOUND);
        let answer = pulls(client, repository);
        ensure!(want.contains(&answer), "{what}: {answer} after {BOUND:?}");
        Ok(())
    };

    // What a user may do: policies of the user, of a group, of the repository, and of everybody.
    let ada_key = user(first, &root, "ada", &["ReadOnly"])?;
    let ada = as_client(second, &ada_key);
    becomes("the user", &ada, "web", &[200])?;
    let none = json!({ "policies": [] });
    done(first, &root, "PATCH", "/api/v1/users/ada", &none)?;
    stops("a policy taken away", &ada, "web", &[403])?;
    let group = json!({ "groupName": "pullers", "policies": ["PullOnly"] });
    done(first, &root, "POST", "/api/v1/groups", &group)?;
    let member = "/api/v1/groups/pullers/members/ada";
    done(first, &root, "PUT", member, &Value::Null)?;
    becomes("a membership", &ada, "web", &[200])?;
    let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage" });
    let deny = json!({ "policyText": policy(&deny) });
    let of_web = "/api/v1/repositories/web/policy";
    done(first, &root, "PUT", of_web, &deny)?;
    stops("a denial of the repository", &ada, "web", &[403])?;
    done(first, &root, "DELETE", of_web, &Value::Null)?;
    becomes("a repository without a policy", &ada, "web", &[200])?;
    let nobody = RegistryClient::with(second.registry(), None);
    ensure!(pulls(&nobody, "shared") == 401);
    let open = json!({ "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage" });
    let open = json!({ "policyText": policy(&open) });
    let of_shared = "/api/v1/repositories/shared/policy";
    done(first, &root, "PUT", of_shared, &open)?;
    becomes("an open repository", &nobody, "shared", &[200])?;
    done(first, &root, "DELETE", of_shared, &Value::Null)?;
    stops("a repository that was closed", &nobody, "shared", &[401])?;
    let own = json!({ "Effect": "Allow", "Action": "ecr:BatchGetImage", "Resource": "*" });
    let own = json!({ "policyName": "own", "policyDocument": policy(&own) });
    done(first, &root, "POST", "/api/v1/policies", &own)?;
    let bob = as_client(second, &user(first, &root, "bob", &["own"])?);
    becomes("a policy of the account", &bob, "web", &[200])?;
    let other = json!({ "Effect": "Allow", "Action": "ecr:ListImages", "Resource": "*" });
    let other = json!({ "policyDocument": policy(&other) });
    done(first, &root, "PUT", "/api/v1/policies/own", &other)?;
    stops("another document", &bob, "web", &[403])?;

    // A token, and the key behind it.
    let token = done(first, &root, "POST", "/api/v1/authorization-tokens", &json!({}))?;
    let with_token = as_client(second, &basic(&token));
    becomes("the token", &with_token, "web", &[200])?;
    let id = token["tokenId"].as_str().context("no id")?;
    let revoke = format!("/api/v1/authorization-tokens/{id}");
    done(first, &root, "DELETE", &revoke, &Value::Null)?;
    stops("a revoked token", &with_token, "web", &[401, 403])?;
    done(
        first,
        &root,
        "PATCH",
        "/api/v1/users/ada",
        &json!({ "isDisabled": true }),
    )?;
    stops("a disabled user", &ada, "web", &[401, 403])?;
    Ok(())
}

#[test]
fn an_account_that_one_node_closes_is_served_by_none() -> Result<()> {
    let Some(nodes) = TwoNodes::start(&[])? else {
        return Ok(());
    };
    let (first, second) = (&nodes.first, &nodes.second);
    let root = first.credentials().basic();
    let there = first.create_account("222222222222")?;
    let body = json!({ "repositoryName": "web" });
    done(first, &there, "POST", "/api/v1/repositories", &body)?;
    let open = json!({ "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage" });
    let open = json!({ "policyText": policy(&open) });
    done(first, &there, "PUT", "/api/v1/repositories/web/policy", &open)?;
    let repository = "222222222222/web";
    as_client(first, &there).push_image(repository, "v1", b"of two")?;
    let token = done(first, &there, "POST", "/api/v1/authorization-tokens", &json!({}))?;

    let clients = [
        ("the administrator", as_client(second, &there)),
        ("a token of the administrator", as_client(second, &basic(&token))),
        ("nobody", RegistryClient::with(second.registry(), None)),
        ("the administrator of the deployment", as_client(second, &root)),
    ];
    let all = |is_good: &dyn Fn(u16) -> bool| {
        wait_until("the other node hears of the account", PATIENCE, || {
            let answers = clients.iter().map(|(_, client)| status(client, repository, "v1"));
            answers.into_iter().all(|status| status.is_ok_and(is_good))
        })
    };
    all(&|status| status == 200)?;
    done(
        first,
        &root,
        "DELETE",
        "/api/v1/accounts/222222222222?force=true",
        &Value::Null,
    )?;
    all(&|status| matches!(status, 401 | 403))?;
    let asked = call(second, &there, "GET", "/api/v1/repositories", &Value::Null)?;
    ensure!(matches!(asked.status, 401 | 403), "{}", asked.text());
    let body = json!({ "status": "ACTIVE" });
    done(first, &root, "PATCH", "/api/v1/accounts/222222222222", &body)?;
    all(&|status| status == 200)?;
    Ok(())
}

#[test]
fn a_new_signing_key_counts_on_every_node_and_logs_nobody_out() -> Result<()> {
    let Some(nodes) = TwoNodes::start(&[])? else {
        return Ok(());
    };
    let (first, second) = (&nodes.first, &nodes.second);
    let root = first.credentials().basic();
    first.create_repository("web")?;
    RegistryClient::new(first).push_image("web", "v1", b"content")?;
    let token_of = |server: &Server| done(server, &root, "POST", "/api/v1/authorization-tokens", &json!({}));
    let old = token_of(first)?;
    let keys = |server: &Server| -> Result<Vec<Value>> {
        let list = done(server, &root, "GET", "/api/v1/token-signing-keys", &Value::Null)?;
        Ok(list["signingKeys"].as_array().cloned().unwrap_or_default())
    };
    let made = done(first, &root, "POST", "/api/v1/token-signing-keys", &Value::Null)?;
    let signs = |server: &Server| {
        let is_it = |key: &Value| key["keyId"] == made["keyId"] && key["status"] == "ACTIVE";
        keys(server).is_ok_and(|keys| keys.iter().any(is_it))
    };
    wait_until("both nodes sign with the new key", PATIENCE, || {
        signs(first) && signs(second)
    })?;
    // Of the old key and of the new one, made here and made there: each is good on each node.
    let tokens = [
        ("the old key", old),
        ("the first node", token_of(first)?),
        ("the second node", token_of(second)?),
    ];
    for (what, token) in &tokens {
        for server in [first, second] {
            let answer = as_client(server, &basic(token)).manifest("web", "v1")?;
            ensure!(answer.status == 200, "a token of {what}: {}", answer.text());
        }
    }
    // `hyt1.<key>.<payload>.<mac>`
    let key_of = |token: &Value| Some(token["password"].as_str()?.split('.').nth(1)?.to_owned());
    ensure!(key_of(&tokens[0].1).is_some(), "tokens do not name their keys");
    ensure!(
        key_of(&tokens[0].1) != key_of(&tokens[1].1),
        "the new key does not sign"
    );
    ensure!(
        key_of(&tokens[1].1) == key_of(&tokens[2].1),
        "the nodes sign with different keys"
    );
    Ok(())
}
