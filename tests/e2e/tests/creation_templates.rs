// SPDX-License-Identifier: Apache-2.0
//! Repositories that a first push creates: with a real Docker engine, and as somebody with fewer rights.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::image::static_busybox;
use e2e::process::{Finished, run};
use e2e::registry::digest;
use e2e::{DockerEngine, RegistryClient, Server, ServerOptions, binary, client, http};
use serde_json::{Value, json};

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

/// The answer of a command as JSON.
fn answer(server: &Server, arguments: &[&str]) -> Result<Value> {
    let finished = hythe(server, &[arguments, &["--output", "json"]].concat())?.ok()?;
    serde_json::from_str(&finished.stdout).with_context(|| format!("not JSON:\n{}", finished.both()))
}

/// A new user with some policies, as a client of the registry.
fn user(server: &Server, name: &str, policies: &[&str]) -> Result<RegistryClient> {
    let body = json!({ "userName": name, "policies": policies });
    server.api("POST", "/api/v1/users", Some(&body))?.expect(201)?;
    let key = server
        .api("POST", &format!("/api/v1/users/{name}/access-keys"), None)?
        .expect(201)?
        .json()?;
    let part = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
    let basic = http::basic(&part("accessKeyId"), &part("secretAccessKey"));
    Ok(RegistryClient::with(server.registry(), Some(basic)))
}

/// Pushes a blob by one of the three ways to begin, and answers the status of the first request.
fn first_request(client: &RegistryClient, repository: &str, query: &str, body: &[u8]) -> Result<u16> {
    let target = format!("/v2/{repository}/blobs/uploads/{query}");
    let octets = ("Content-Type", "application/octet-stream");
    Ok(client.call("POST", &target, &[octets], body)?.status)
}

#[test]
fn docker_pushes_to_a_repository_that_a_template_creates() -> Result<()> {
    if static_busybox().is_none() {
        return client::skip("not installed: a static busybox (Debian: busybox-static)");
    }
    let Some(engine) = DockerEngine::start()? else {
        return Ok(());
    };
    let server = Server::start()?;
    let (password, _) = server.authorization_token(&json!({}))?;
    engine.login(server.registry(), "AWS", &password)?.ok()?;
    let image = format!("{}/team-a/web:1.0", server.registry());
    engine.build(&image, "made by a push", &[])?;
    let refused = engine.docker_refused(&["push", &image])?;
    ensure!(refused.both().contains("does not exist"), "{}", refused.both());

    let lifecycle = server.scratch().join("lifecycle.json");
    let rules = json!({ "rules": [{
        "rulePriority": 1,
        "selection": { "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5 },
        "action": { "type": "expire" },
    }] });
    std::fs::write(&lifecycle, rules.to_string())?;
    let lifecycle = lifecycle.to_str().context("a path that is not UTF-8")?;
    hythe(
        &server,
        &[
            "repository",
            "template",
            "create",
            "team-a",
            "--applied-for",
            "create-on-push",
            "--tag-mutability",
            "immutable",
            "--resource-tag",
            "team=a",
            "--lifecycle-policy-file",
            lifecycle,
        ],
    )?
    .ok()?;
    engine.docker(&["push", &image])?;
    engine.docker(&["rmi", "--force", &image])?;
    engine.docker(&["pull", &image])?;

    let made = answer(&server, &["repository", "describe", "team-a/web"])?;
    ensure!(made["imageTagMutability"] == "IMMUTABLE", "{made}");
    ensure!(made["tags"] == json!([{ "Key": "team", "Value": "a" }]), "{made}");
    let policy = answer(&server, &["lifecycle", "get", "team-a/web"])?;
    let text = policy["lifecyclePolicyText"].as_str().unwrap_or_default();
    ensure!(serde_json::from_str::<Value>(text)? == rules, "{policy}");
    engine.build(&image, "another image", &[])?;
    engine.docker_refused(&["push", &image]).context("the tag has moved")?;

    // One record of the repository, beside those of the push, with the same person in it.
    let events = answer(&server, &["audit", "list", "--event", "CreateRepository"])?;
    let events = events["auditEvents"].as_array().cloned().unwrap_or_default();
    ensure!(events.len() == 1, "{events:?}");
    let event = &events[0];
    ensure!(
        event["requestParameters"]["trigger"] == "CREATE_ON_PUSH"
            && event["requestParameters"]["templatePrefix"] == "team-a"
            && event["userIdentity"]["type"] == "Root",
        "{event}"
    );
    Ok(())
}

#[test]
fn a_first_push_needs_the_right_to_create_the_repository() -> Result<()> {
    let server = Server::start()?;
    let template = json!({
        "prefix": "ROOT", "appliedFor": ["CREATE_ON_PUSH"], "resourceTags": [{ "Key": "team", "Value": "a" }],
    });
    server
        .api("POST", "/api/v1/repository-creation-templates", Some(&template))?
        .expect(201)?;
    // Of PowerUser, ECR's managed policy, creating a repository is no part.
    let pusher = user(&server, "ada", &["PowerUser"])?;
    let statement = json!({ "Effect": "Allow", "Action": "ecr:CreateRepository", "Resource": "*" });
    let document = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
    let policy = json!({ "policyName": "create", "policyDocument": document });
    server.api("POST", "/api/v1/policies", Some(&policy))?.expect(201)?;
    let creator = user(&server, "bob", &["PowerUser", "create"])?;
    for client in [&pusher, &creator] {
        // The template has tags, and neither may set tags.
        let answer = client.call("POST", "/v2/team/web/blobs/uploads/", &[], &[])?;
        ensure!(answer.status == 404, "{} {}", answer.status, answer.text());
        ensure!(answer.text().contains("NAME_UNKNOWN"), "{}", answer.text());
    }
    ensure!(server.repository("team/web")?.is_none());

    let untagged = json!({ "resourceTags": [] });
    server
        .api("PATCH", "/api/v1/repository-creation-templates/ROOT", Some(&untagged))?
        .expect(200)?;
    ensure!(first_request(&pusher, "team/web", "", &[])? == 404);
    ensure!(first_request(&creator, "team/web", "", &[])? == 202);
    ensure!(server.repository("team/web")?.is_some());
    // Now it is there for everybody who may push.
    ensure!(first_request(&pusher, "team/web", "", &[])? == 202);
    Ok(())
}

#[test]
fn every_way_to_begin_a_push_creates_the_repository() -> Result<()> {
    let server = Server::start_with(ServerOptions {
        arguments: vec!["--create-on-push".into()],
        ..ServerOptions::default()
    })?;
    let client = RegistryClient::new(&server);
    let bytes = b"a blob";
    let named = digest(bytes);
    ensure!(first_request(&client, "way/session", "", &[])? == 202);
    ensure!(first_request(&client, "way/whole", &format!("?digest={named}"), bytes)? == 201);
    let mount = format!("?mount={named}&from=way/whole");
    ensure!(first_request(&client, "way/mount", &mount, &[])? == 201);
    for repository in ["way/session", "way/whole", "way/mount"] {
        ensure!(server.repository(repository)?.is_some(), "{repository}");
    }
    // A pull creates nothing.
    let pulled = client.call("GET", "/v2/way/pull/manifests/latest", &[], &[])?;
    ensure!(pulled.status == 404 && server.repository("way/pull")?.is_none());
    Ok(())
}

#[test]
fn the_commands_of_the_guide_work_as_they_stand() -> Result<()> {
    let server = Server::start()?;
    let guide = include_str!("../../../docs/guides/repositories-made-by-a-push.md");
    let mut script = String::from("set -eu\nhythe() { \"$PROGRAM\" \"$@\"; }\n");
    for block in guide.split("```shell\n").skip(1) {
        script.push_str(block.split("```").next().unwrap_or_default());
    }
    let mut shell = Command::new("sh");
    e2e::server::clean_environment(&mut shell);
    shell
        .args(["-c", &script])
        .current_dir(server.scratch())
        .envs(server.credentials().environment())
        .env("HOME", server.scratch())
        .env("PROGRAM", binary::hythe()?);
    let printed = run(&mut shell)?.ok()?.stdout;
    ensure!(printed.contains("CREATE_ON_PUSH"), "{printed}");
    Ok(())
}
