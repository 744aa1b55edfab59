// SPDX-License-Identifier: Apache-2.0
//! Virtual repositories with real clients: Docker, skopeo, the command line.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::image::{ImageRecipe, static_busybox};
use e2e::process::{Finished, run};
use e2e::{DockerEngine, RegistryClient, Server, binary, client, http};
use serde_json::{Value, json};

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

/// The answer of a command as JSON.
fn answer(server: &Server, arguments: &[&str]) -> Result<Value> {
    let finished = hythe(server, &[arguments, &["--output", "json"]].concat())?.ok()?;
    serde_json::from_str(&finished.stdout).with_context(|| format!("not JSON:\n{}", finished.both()))
}

/// A new user who may only read what is below a name, as user and password of the registry.
fn reader(server: &Server, name: &str, below: &str) -> Result<(String, String)> {
    let statement = json!({
        "Effect": "Allow", "Resource": format!("arn:aws:ecr:*:*:repository/{below}/*"),
        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages"],
    });
    let document = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
    let policy = json!({ "policyName": name, "policyDocument": document });
    server.api("POST", "/api/v1/policies", Some(&policy))?.expect(201)?;
    let body = json!({ "userName": name, "policies": [name] });
    server.api("POST", "/api/v1/users", Some(&body))?.expect(201)?;
    let key = server.api("POST", &format!("/api/v1/users/{name}/access-keys"), None)?;
    let key = key.expect(201)?.json()?;
    let part = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
    Ok((part("accessKeyId"), part("secretAccessKey")))
}

#[test]
fn docker_pulls_what_the_first_source_has_and_cannot_push() -> Result<()> {
    if static_busybox().is_none() {
        return client::skip("not installed: a static busybox (Debian: busybox-static)");
    }
    let Some(engine) = DockerEngine::start()? else {
        return Ok(());
    };
    let server = Server::start()?;
    let (password, _) = server.authorization_token(&json!({}))?;
    engine.login(server.registry(), "AWS", &password)?.ok()?;
    for name in ["team/web", "hub/web", "hub/tool"] {
        server.create_repository(name)?;
        let image = format!("{}/{name}:1", server.registry());
        engine.build(&image, &format!("from {name}"), &[])?;
        engine.docker(&["push", &image])?;
        engine.docker(&["rmi", "--force", &image])?;
    }
    let create = [
        "virtual-repository",
        "create",
        "all",
        "--source",
        "team",
        "--source",
        "hub",
    ];
    hythe(&server, &create)?.ok()?;
    for (name, words) in [("all/web", "from team/web"), ("all/tool", "from hub/tool")] {
        let image = format!("{}/{name}:1", server.registry());
        engine.docker(&["pull", &image])?;
        let ran = engine.docker(&["run", "--rm", "--network=none", &image])?;
        ensure!(ran.stdout.contains(words), "{}", ran.both());
    }
    let image = format!("{}/all/web:2", server.registry());
    engine.build(&image, "not to be pushed", &[])?;
    let refused = engine.docker_refused(&["push", &image])?;
    ensure!(refused.both().contains("virtual repository"), "{}", refused.both());

    let update = [
        "virtual-repository",
        "update",
        "all",
        "--source",
        "hub",
        "--source",
        "team",
    ];
    hythe(&server, &update)?.ok()?;
    let image = format!("{}/all/web:1", server.registry());
    engine.docker(&["rmi", "--force", &image])?;
    engine.docker(&["pull", &image])?;
    let ran = engine.docker(&["run", "--rm", "--network=none", &image])?;
    ensure!(
        ran.stdout.contains("from hub/web"),
        "the order has changed: {}",
        ran.both()
    );
    Ok(())
}

#[test]
fn skopeo_reads_what_the_policies_of_the_sources_allow() -> Result<()> {
    if client::find(&["skopeo"])?.is_none() {
        return Ok(());
    }
    let server = Server::start()?;
    let folder = server.scratch().join("skopeo");
    std::fs::create_dir_all(&folder)?;
    let policy = folder.join("policy.json");
    std::fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    let skopeo = |arguments: &[&str]| {
        let mut command = Command::new("skopeo");
        command
            .arg("--policy")
            .arg(&policy)
            .args(arguments)
            .current_dir(&folder);
        run(command.env("HOME", &folder).env("TMPDIR", &folder))
    };
    let root = {
        let (password, _) = server.authorization_token(&json!({}))?;
        format!("AWS:{password}")
    };
    let mut digests = Vec::new();
    for name in ["team/web", "hub/web"] {
        server.create_repository(name)?;
        let layout = folder.join(name.replace('/', "-"));
        let recipe = ImageRecipe::text(name);
        recipe.write(&layout, "1")?;
        let (from, to) = (
            format!("oci:{}:1", layout.display()),
            format!("docker://{}/{name}:1", server.registry()),
        );
        skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", &root, &from, &to])?.ok()?;
        // skopeo compresses layers on their way.
        let inspect = [
            "inspect",
            "--tls-verify=false",
            "--creds",
            &root,
            "--format",
            "{{.Digest}}",
            &to,
        ];
        digests.push(skopeo(&inspect)?.ok()?.stdout.trim().to_owned());
        let other = format!("docker://{}/{name}:{}", server.registry(), name.replace('/', "-"));
        skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", &root, &from, &other])?.ok()?;
    }
    let body = json!({
        "virtualRepositoryName": "all",
        "sources": [{ "repositoryPrefix": "team" }, { "repositoryPrefix": "hub" }],
    });
    server
        .api("POST", "/api/v1/virtual-repositories", Some(&body))?
        .expect(201)?;

    let (key, secret) = reader(&server, "hubber", "hub")?;
    let image = format!("docker://{}/all/web:1", server.registry());
    for (credentials, digest) in [(&root, &digests[0]), (&format!("{key}:{secret}"), &digests[1])] {
        let inspect = [
            "inspect",
            "--tls-verify=false",
            "--creds",
            credentials,
            "--format",
            "{{.Digest}}",
            &image,
        ];
        let found = skopeo(&inspect)?.ok()?;
        ensure!(found.stdout.trim() == digest, "{} is not {digest}", found.stdout);
        let to = format!("oci:{}:1", folder.join(digest.replace(':', "-")).display());
        let copy = [
            "copy",
            "--src-tls-verify=false",
            "--src-creds",
            credentials,
            &image,
            &to,
        ];
        skopeo(&copy)?.ok()?;
    }
    let name = format!("docker://{}/all/web", server.registry());
    let tags = ["list-tags", "--tls-verify=false", "--creds", &root, &name];
    let tags: Value = serde_json::from_str(&skopeo(&tags)?.ok()?.stdout)?;
    ensure!(tags["Tags"] == json!(["1", "hub-web", "team-web"]), "{tags}");
    let anonymous = skopeo(&["inspect", "--tls-verify=false", "--no-creds", &image])?;
    anonymous.refused()?;

    // The record names the repository that answered, and the name that was asked for.
    let events = answer(
        &server,
        &["audit", "list", "--event", "BatchGetImage", "--repository", "hub/web"],
    )?;
    let events = events["auditEvents"].as_array().cloned().unwrap_or_default();
    let is_it = |event: &Value| {
        event["userIdentity"]["userName"] == "hubber"
            && event["requestParameters"]["virtualRepositoryName"] == "all"
            && event["errorCode"].is_null()
    };
    ensure!(events.iter().any(is_it), "{events:#?}");
    Ok(())
}

#[test]
fn a_restart_changes_nothing_and_names_stay_apart() -> Result<()> {
    let mut server = Server::start()?;
    let pushed = {
        server.create_repository("team/web")?;
        RegistryClient::new(&server).push_image("team/web", "v1", b"a layer")?
    };
    let body = json!({ "virtualRepositoryName": "all", "sources": [{ "repositoryPrefix": "team" }] });
    server
        .api("POST", "/api/v1/virtual-repositories", Some(&body))?
        .expect(201)?;
    server.kill9()?;
    server.restart()?;
    let client = RegistryClient::new(&server);
    ensure!(client.pull_image("all/web", "v1")? > 0);
    ensure!(client.pull_image("all/web", &pushed)? > 0);
    let new = json!({ "repositoryName": "all/web" });
    let refused = server.api("POST", "/api/v1/repositories", Some(&new))?;
    ensure!(refused.status == 409, "{} {}", refused.status, refused.text());

    let path = "/api/v1/virtual-repositories/all";
    server.api("DELETE", path, None)?.expect(200)?;
    ensure!(client.call("GET", "/v2/all/web/manifests/v1", &[], &[])?.status == 404);
    // The name is free again, at once.
    server.create_repository("all/web")?;
    client.push_image("all/web", "v2", b"another layer")?;
    let refused = server.api("POST", "/api/v1/virtual-repositories", Some(&body))?;
    ensure!(refused.status == 409, "{} {}", refused.status, refused.text());
    let basic = http::basic("nobody", "x");
    let stranger = RegistryClient::with(server.registry(), Some(basic));
    ensure!(stranger.call("GET", "/v2/all/web/manifests/v2", &[], &[])?.status == 401);
    Ok(())
}

#[test]
fn the_commands_of_the_guide_work_as_they_stand() -> Result<()> {
    let server = Server::start()?;
    let guide = include_str!("../../../docs/guides/virtual-repositories.md");
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
    ensure!(printed.contains("docker-hub,include=library/*"), "{printed}");
    Ok(())
}
