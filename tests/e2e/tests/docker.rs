// SPDX-License-Identifier: Apache-2.0
//! A real Docker engine against a real server.
#![allow(clippy::unwrap_used, reason = "test code")]

use anyhow::{Context as _, Result, ensure};
use e2e::client;
use e2e::image::{ImageRecipe, static_busybox};
use e2e::proxy::SlowProxy;
use e2e::registry::{DOCKER_MANIFEST, OCI_MANIFEST, digest};
use e2e::{DockerEngine, RegistryClient, Server};
use serde_json::{Value, json};

/// The layer of schema 1 that changes nothing: an empty archive, compressed.
const EMPTY_LAYER: &str = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";

/// A server with one repository, an engine, and the repository's name as an image reference.
struct Stage {
    engine: DockerEngine,
    server: Server,
    image: String,
}

impl Stage {
    fn set(repository: &str) -> Result<Option<Self>> {
        if static_busybox().is_none() {
            client::skip("not installed: a static busybox (Debian: busybox-static)")?;
            return Ok(None);
        }
        let Some(engine) = DockerEngine::start()? else {
            return Ok(None);
        };
        let server = Server::start()?;
        server.create_repository(repository)?;
        let image = format!("{}/{repository}", server.registry());
        Ok(Some(Self { engine, server, image }))
    }

    fn logged_in(repository: &str) -> Result<Option<Self>> {
        let Some(stage) = Self::set(repository)? else {
            return Ok(None);
        };
        let (password, _) = stage.server.authorization_token(&json!({}))?;
        stage.engine.login(stage.server.registry(), "AWS", &password)?.ok()?;
        Ok(Some(stage))
    }

    fn tag(&self, tag: &str) -> String {
        format!("{}:{tag}", self.image)
    }

    /// The digest that `docker push` printed.
    fn push(&self, image: &str) -> Result<String> {
        let printed = self.engine.docker(&["push", image])?.stdout;
        let digest = printed.split_whitespace().find(|word| word.starts_with("sha256:"));
        Ok(digest.unwrap_or_default().to_owned())
    }
}

#[test]
fn docker_logs_in_builds_pushes_pulls_by_tag_and_digest_and_runs() -> Result<()> {
    let Some(stage) = Stage::logged_in("team-a/web")? else {
        return Ok(());
    };
    let (engine, one) = (&stage.engine, stage.tag("1.0"));

    engine.build(&one, "landed", &[])?;
    let digest = stage.push(&one)?;
    ensure!(digest.len() == 71, "docker printed no digest: `{digest}`");

    // Gone from the engine, so that the pull has to bring it.
    engine.docker(&["rmi", "--force", &one])?;
    engine.docker(&["pull", &one])?;
    ensure!(engine.docker(&["run", "--rm", "--network=none", &one])?.stdout.trim() == "landed");

    engine.docker(&["rmi", "--force", &one])?;
    let by_digest = format!("{}@{digest}", stage.image);
    engine.docker(&["pull", &by_digest])?;
    ensure!(
        engine
            .docker(&["run", "--rm", "--network=none", &by_digest])?
            .stdout
            .trim()
            == "landed"
    );

    let tag = stage
        .server
        .api("GET", "/api/v1/repositories/team-a%2Fweb/tags/1.0", None)?
        .expect(200)?
        .json()?;
    ensure!(tag["imageDigest"] == digest.as_str(), "the control plane says {tag}");
    Ok(())
}

#[test]
fn docker_pushes_and_pulls_through_the_credential_helper() -> Result<()> {
    let Some(stage) = Stage::set("helped")? else {
        return Ok(());
    };
    let Stage { engine, server, .. } = &stage;
    engine.install_credential_helper()?;
    let config = json!({ "credHelpers": { server.registry(): "hythe" } });
    std::fs::write(engine.config_file(), config.to_string())?;
    let docker = |arguments: &[&str]| {
        let mut command = engine.command(arguments);
        command.envs(server.credentials().environment());
        e2e::process::run(&mut command)?.ok()
    };

    let image = stage.tag("1");
    engine.build(&image, "helped", &[])?;
    docker(&["push", &image])?;
    engine.docker(&["rmi", "--force", &image])?;
    docker(&["pull", &image])?;

    let config: Value = serde_json::from_slice(&std::fs::read(engine.config_file())?)?;
    ensure!(
        config.pointer("/auths").is_none(),
        "a secret was left in docker's configuration: {config}"
    );
    Ok(())
}

#[test]
fn hythe_login_makes_docker_push_with_a_password_and_with_the_helper() -> Result<()> {
    let Some(stage) = Stage::set("entered")? else {
        return Ok(());
    };
    let Stage { engine, server, .. } = &stage;
    let image = stage.tag("1");
    engine.install_credential_helper()?;
    engine.build(&image, "entered", &[])?;
    for (login, logout) in [
        (["login", "docker"], ["logout", "docker"]),
        (["login", "--credential-helper"], ["logout", "docker"]),
    ] {
        engine.docker_refused(&["push", &image])?;
        // As a user would: the engine's own environment, and the server's credentials.
        let hythe = |arguments: &[&str]| {
            let mut command = server.command(arguments)?;
            command.envs(engine.environment());
            e2e::process::run(&mut command)?.ok()
        };
        hythe(&login)?;
        let mut push = engine.command(&["push", &image]);
        push.envs(server.credentials().environment());
        e2e::process::run(&mut push)?.ok()?;
        hythe(&logout)?;
    }
    Ok(())
}

#[test]
fn docker_selects_its_platform_from_an_index() -> Result<()> {
    let Some(stage) = Stage::logged_in("multi")? else {
        return Ok(());
    };
    let engine = &stage.engine;
    let own = e2e::image::architecture();
    let other = if own == "arm64" { "amd64" } else { "arm64" };
    for (architecture, words) in [(own, "mine"), (other, "not mine")] {
        let image = stage.tag(architecture);
        engine.build(&image, words, &["--platform", &format!("linux/{architecture}")])?;
        stage.push(&image)?;
    }
    let (index, own, other) = (stage.tag("all"), stage.tag(own), stage.tag(other));
    engine.docker(&["manifest", "create", "--insecure", &index, &own, &other])?;
    engine.docker(&["manifest", "push", "--insecure", &index])?;

    for image in [&own, &other] {
        engine.docker(&["rmi", "--force", image])?;
    }
    engine.docker(&["pull", &index])?;
    ensure!(engine.docker(&["run", "--rm", "--network=none", &index])?.stdout.trim() == "mine");

    let manifest = RegistryClient::new(&stage.server)
        .manifest("multi", "all")?
        .expect(200)?
        .json()?;
    ensure!(
        manifest["manifests"]
            .as_array()
            .is_some_and(|children| children.len() == 2),
        "{manifest}"
    );
    Ok(())
}

#[test]
fn docker_is_refused_with_a_wrong_password_and_without_one() -> Result<()> {
    let Some(stage) = Stage::set("closed")? else {
        return Ok(());
    };
    let registry = stage.server.registry();
    let refused = stage.engine.login(registry, "AWS", "not-the-password")?.refused()?;
    ensure!(
        refused.stderr.to_lowercase().contains("unauthorized"),
        "{}",
        refused.stderr
    );
    stage.engine.build(&stage.tag("1"), "closed", &[])?;
    let refused = stage.engine.docker_refused(&["push", &stage.tag("1")])?;
    let text = refused.stderr.to_lowercase();
    ensure!(
        text.contains("authentication") || text.contains("unauthorized") || text.contains("denied"),
        "{text}"
    );
    Ok(())
}

#[test]
fn docker_pulls_what_is_open_to_everybody_without_a_login() -> Result<()> {
    let Some(stage) = Stage::set("team/open")? else {
        return Ok(());
    };
    let (engine, server) = (&stage.engine, &stage.server);
    server.create_repository("team/closed")?;
    let registry = server.registry();
    let (open, closed) = (stage.tag("1"), format!("{registry}/team/closed:1"));
    engine.build(&open, "opened", &[])?;
    engine.docker(&["tag", &open, &closed])?;
    let (password, _) = server.authorization_token(&json!({}))?;
    engine.login(registry, "AWS", &password)?.ok()?;
    for image in [&open, &closed] {
        stage.push(image)?;
    }
    engine.docker(&["logout", registry])?;
    engine.docker(&["rmi", "--force", &open, &closed])?;

    for image in [&open, &closed] {
        engine.docker_refused(&["pull", image])?;
    }
    server.open_to_everybody("team/open")?;
    engine.docker(&["pull", &open])?;
    ensure!(engine.docker(&["run", "--rm", "--network=none", &open])?.stdout.trim() == "opened");
    // A repository that is closed and one that is not there look the same, and to pull is all that is open.
    let refused = |image: &str| -> Result<String> {
        let refused = engine.docker_refused(&["pull", image])?.stderr;
        Ok(refused.replace("team/absent", "team/closed"))
    };
    ensure!(refused(&closed)? == refused(&format!("{registry}/team/absent:1"))?);
    engine.docker(&["tag", &open, &stage.tag("2")])?;
    engine.docker_refused(&["push", &stage.tag("2")])?;
    Ok(())
}

#[test]
fn docker_is_told_why_an_immutable_tag_cannot_move() -> Result<()> {
    let Some(stage) = Stage::logged_in("open")? else {
        return Ok(());
    };
    let body = json!({ "repositoryName": "fixed", "imageTagMutability": "IMMUTABLE" });
    stage.server.create_repository_with(&body)?;
    let image = format!("{}/fixed:1", stage.server.registry());
    stage.engine.build(&image, "first", &[])?;
    let first = stage.push(&image)?;
    // As with ECR, the same image again is refused as well as another one.
    let why = "The image tag '1' already exists in the 'fixed' repository and cannot be overwritten";
    for words in ["first", "second"] {
        stage.engine.build(&image, words, &[])?;
        let refused = stage.engine.docker_refused(&["push", &image])?;
        ensure!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    let tag = stage
        .server
        .api("GET", "/api/v1/repositories/fixed/tags/1", None)?
        .expect(200)?
        .json()?;
    ensure!(
        tag["imageDigest"] == first.as_str(),
        "the tag moved all the same: {tag}"
    );
    Ok(())
}

#[test]
fn docker_is_told_that_a_repository_does_not_exist() -> Result<()> {
    let Some(stage) = Stage::logged_in("there")? else {
        return Ok(());
    };
    let image = format!("{}/not/there:1", stage.server.registry());
    stage.engine.build(&image, "lost", &[])?;
    let refused = stage.engine.docker_refused(&["push", &image])?;
    ensure!(
        refused
            .stderr
            .contains("The repository with name 'not/there' does not exist"),
        "{}",
        refused.stderr
    );
    Ok(())
}

#[test]
fn docker_shares_layers_between_repositories_by_mounting() -> Result<()> {
    let Some(stage) = Stage::logged_in("from")? else {
        return Ok(());
    };
    stage.server.create_repository("into")?;
    let (from, into) = (stage.tag("1"), format!("{}/into:1", stage.server.registry()));
    stage.engine.build(&from, "shared", &[])?;
    stage.push(&from)?;
    stage.engine.docker(&["tag", &from, &into])?;
    let printed = stage.engine.docker(&["push", &into])?.stdout;
    ensure!(printed.contains("Mounted from from"), "nothing was mounted:\n{printed}");
    stage.engine.docker(&["rmi", "--force", &from, &into])?;
    stage.engine.docker(&["pull", &into])?;
    Ok(())
}

/// Pulls `tag` through a relay that keeps media types from the registry, and runs it.
fn pull_and_run_without(stage: &Stage, tag: &str, hidden: &'static [&'static str]) -> Result<String> {
    let relay = SlowProxy::hiding(stage.server.registry(), hidden)?;
    let (password, _) = stage.server.authorization_token(&json!({}))?;
    stage.engine.login(&relay.address(), "AWS", &password)?.ok()?;
    let repository = stage.image.split_once('/').map_or("", |(_, name)| name);
    let image = format!("{}/{repository}:{tag}", relay.address());
    let printed = stage.engine.docker(&["pull", &image])?.stdout;
    let said = stage.engine.docker(&["run", "--rm", "--network=none", &image])?.stdout;
    ensure!(said.trim() == tag, "the image says `{said}`");
    stage.engine.docker(&["rmi", "--force", &image])?;
    let digest = printed.split_whitespace().find(|word| word.starts_with("sha256:"));
    Ok(digest.unwrap_or_default().to_owned())
}

#[test]
fn docker_pulls_images_of_either_format_by_tag_also_in_the_other_one() -> Result<()> {
    let Some(stage) = Stage::logged_in("forms")? else {
        return Ok(());
    };
    let engine = &stage.engine;
    // The engine pushes schema 2, `hythe` what the layout holds.
    engine.build(&stage.tag("docker"), "docker", &[])?;
    stage.push(&stage.tag("docker"))?;
    let layout = stage.server.scratch().join("layout");
    let recipe = ImageRecipe::busybox("oci")?.context("a static busybox")?;
    recipe.write(&layout, "1")?;
    let (layout, target) = (layout.display().to_string(), "forms:oci");
    e2e::process::run(&mut stage.server.command(&["image", "push", &layout, target])?)?.ok()?;
    engine.docker(&["rmi", "--force", &stage.tag("docker")])?;

    let client = RegistryClient::new(&stage.server);
    for (tag, own, other) in [
        ("docker", &[DOCKER_MANIFEST], &[OCI_MANIFEST]),
        ("oci", &[OCI_MANIFEST], &[DOCKER_MANIFEST]),
    ] {
        let manifest = client.manifest("forms", tag)?.expect(200)?;
        ensure!(
            manifest.header("content-type") == Some(own[0]),
            "{tag} is stored as {manifest:?}"
        );
        let stored = digest(&manifest.body);
        // An engine that knows both gets what was pushed; one that knows only the other form gets a translation.
        let as_it_is = pull_and_run_without(&stage, tag, other)?;
        ensure!(as_it_is == stored, "{tag}: {as_it_is} was pulled, {stored} is stored");
        let translated = pull_and_run_without(&stage, tag, own)?;
        ensure!(translated.len() == 71 && translated != stored, "{tag}: {translated}");
    }
    // An engine that knows neither gets schema 1, with the layer for steps that changed nothing.
    let oldest = pull_and_run_without(&stage, "docker", &[DOCKER_MANIFEST, OCI_MANIFEST])?;
    ensure!(oldest.len() == 71, "{oldest}");
    let metrics = e2e::http::request(
        stage.server.credentials().control_address(),
        "GET",
        "/metrics",
        &[],
        &[],
    )?;
    let metrics = metrics.expect(200)?.text();
    ensure!(
        metrics.contains("\nhythe_registry_manifests_translated_total 3\n"),
        "{metrics}"
    );
    let empty = format!("/v2/forms/blobs/{EMPTY_LAYER}");
    client.call("HEAD", &empty, &[], &[])?.expect(200)?;
    Ok(())
}
