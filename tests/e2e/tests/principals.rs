// SPDX-License-Identifier: Apache-2.0
//! Accounts, users, groups and roles through the command line, against a real server.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::process::{Finished, run};
use e2e::{RegistryClient, Server, binary};
use serde_json::Value;

const GUIDE: &str = include_str!("../../../docs/guides/accounts-users-groups-and-roles.md");

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

fn json(server: &Server, arguments: &[&str]) -> Result<Value> {
    let finished = hythe(server, &[arguments, &["--output", "json"]].concat())?.ok()?;
    serde_json::from_str(&finished.stdout).with_context(|| format!("not JSON:\n{}", finished.both()))
}

/// The registry, as whoever has this key.
fn registry(server: &Server, key: &Value) -> Result<RegistryClient> {
    let id = key["accessKeyId"].as_str().context("no access key")?;
    let secret = key["secretAccessKey"].as_str().context("no secret")?;
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    Ok(RegistryClient::with(server.registry(), Some(basic)))
}

#[test]
fn the_commands_of_the_guide_work_as_they_stand() -> Result<()> {
    let server = Server::start()?;
    let mut script = String::from("set -eu\n");
    let mut is_shell = false;
    for line in GUIDE.lines() {
        match line {
            "```shell" => is_shell = true,
            "```" => is_shell = false,
            _ if is_shell => script.extend([line, "\n"]),
            _ => {}
        }
    }
    ensure!(
        script.matches("\nhythe ").count() > 25,
        "the guide has lost its commands:\n{script}"
    );
    let program = binary::hythe()?;
    let folder = program.parent().context("no folder")?;
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
    let of_server = server.command(&[])?;
    let variables = of_server.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .env_clear()
        .envs(variables)
        .env("PATH", path)
        .env("HOME", server.scratch())
        .current_dir(server.scratch());
    let finished = run(&mut shell)?.ok()?;
    for words in [
        "builders",
        "resource tags:",
        "secret access key:",
        "expires in",
        "team b",
        "deleted deployer",
    ] {
        ensure!(finished.stdout.contains(words), "{words}: {}", finished.both());
    }
    Ok(())
}

#[test]
fn an_account_is_a_registry_of_its_own_until_it_is_closed() -> Result<()> {
    let server = Server::start()?;
    json(
        &server,
        &["account", "create", "--name", "team b", "--id", "222222222222"],
    )?;
    let key = json(&server, &["account", "create-key", "222222222222"])?;
    let basic = registry(&server, &key)?;
    let mut create = server.command(&["repository", "create", "web", "--output", "json"])?;
    create
        .env("HYTHE_ACCESS_KEY_ID", key["accessKeyId"].as_str().context("no id")?)
        .env(
            "HYTHE_SECRET_ACCESS_KEY",
            key["secretAccessKey"].as_str().context("no secret")?,
        )
        .env("HOME", server.scratch());
    let created: Value = serde_json::from_str(&run(&mut create)?.ok()?.stdout)?;
    ensure!(created["registryId"] == "222222222222", "{created}");
    ensure!(
        created["repositoryUri"]
            .as_str()
            .is_some_and(|uri| uri.ends_with("/222222222222/web")),
        "{created}"
    );

    basic.push_image("222222222222/web", "v1", b"of team b")?;
    basic.manifest("222222222222/web", "v1")?.expect(200)?;
    // A user of the default account sees nothing of it, and an account that is not there is as little served.
    hythe(&server, &["user", "create", "ada", "--policy", "full-access"])?.ok()?;
    let ada = registry(&server, &json(&server, &["access-key", "create", "ada"])?)?;
    for repository in ["222222222222/web", "333333333333/web"] {
        let refused = ada.manifest(repository, "v1")?;
        ensure!(
            matches!(refused.status, 401 | 403 | 404),
            "{repository}: {}",
            refused.status
        );
    }

    let refused = hythe(&server, &["account", "close", "222222222222", "--yes"])?.refused()?;
    ensure!(
        refused.status.code() == Some(5) && refused.stderr.contains("force"),
        "{}",
        refused.both()
    );
    hythe(&server, &["account", "close", "222222222222", "--yes", "--force"])?.ok()?;
    let refused = basic.manifest("222222222222/web", "v1")?;
    ensure!(
        matches!(refused.status, 401 | 403),
        "closed, and answers {}",
        refused.status
    );
    let refused = run(&mut create)?.refused()?;
    ensure!(refused.status.code() == Some(4), "{}", refused.both());

    hythe(&server, &["account", "reopen", "222222222222"])?.ok()?;
    basic.manifest("222222222222/web", "v1")?.expect(200)?;
    let refused = hythe(&server, &["account", "close", "000000000000", "--yes", "--force"])?.refused()?;
    ensure!(refused.stderr.contains("default account"), "{}", refused.both());
    Ok(())
}

#[test]
fn groups_and_service_accounts_decide_who_pulls() -> Result<()> {
    let server = Server::start()?;
    server.create_repository("web")?;
    RegistryClient::new(&server).push_image("web", "v1", b"content")?;
    hythe(&server, &["service-account", "create", "ci"])?.ok()?;
    let ci = registry(&server, &json(&server, &["access-key", "create", "ci"])?)?;
    let status = || ci.manifest("web", "v1").map(|answer| answer.status);
    ensure!(status()? == 403, "no rights yet");
    hythe(&server, &["group", "create", "pullers", "--policy", "pull-only"])?.ok()?;
    hythe(&server, &["group", "add", "pullers", "ci"])?.ok()?;
    ensure!(status()? == 200, "a member has the rights of the group");
    let refused = hythe(&server, &["group", "delete", "pullers", "--yes"])?.refused()?;
    ensure!(refused.status.code() == Some(5), "{}", refused.both());
    hythe(&server, &["service-account", "update", "ci", "--disabled", "true"])?.ok()?;
    ensure!(matches!(status()?, 401 | 403), "disabled");
    hythe(&server, &["service-account", "update", "ci", "--disabled", "false"])?.ok()?;
    ensure!(status()? == 200, "enabled again");
    let listed = hythe(&server, &["user", "list"])?.ok()?.stdout;
    ensure!(!listed.contains("ci"), "a service account among the users:\n{listed}");
    Ok(())
}
