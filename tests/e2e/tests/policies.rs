// SPDX-License-Identifier: Apache-2.0
//! Policies through the command line, and the guide about them.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::process::{Finished, run, run_with_input};
use e2e::{Server, binary};
use serde_json::{Value, json};

/// What a shell runs of the guide: all blocks in their order.
fn commands_of(guide: &str) -> String {
    let mut blocks = guide.split("```shell\n").skip(1);
    let mut script = String::from("set -eu\nhythe() { \"$PROGRAM\" \"$@\"; }\n");
    for block in &mut blocks {
        script.push_str(block.split("```").next().unwrap_or_default());
    }
    script
}

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

/// The answer of a command as JSON.
fn answer(server: &Server, arguments: &[&str]) -> Result<Value> {
    let finished = hythe(server, &[arguments, &["--output", "json"]].concat())?.ok()?;
    serde_json::from_str(&finished.stdout).with_context(|| format!("not JSON:\n{}", finished.both()))
}

fn document(server: &Server, name: &str, content: &Value) -> Result<PathBuf> {
    let path = server.scratch().join(name);
    std::fs::write(&path, content.to_string())?;
    Ok(path)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

#[test]
fn the_commands_of_the_guide_about_sharing_work() -> Result<()> {
    let server = Server::start()?;
    let guide = include_str!("../../../docs/sharing-a-repository.md");
    let mut shell = Command::new("sh");
    e2e::server::clean_environment(&mut shell);
    shell
        .args(["-c", &commands_of(guide)])
        .current_dir(server.scratch())
        .envs(server.credentials().environment())
        .env("HOME", server.scratch())
        .env("PROGRAM", binary::hythe()?);
    let printed = run(&mut shell)?.ok()?.stdout;
    // What `get` prints is what was written.
    ensure!(printed.contains("      \"Sid\": \"PublicPull\",\n"), "{printed}");
    ensure!(
        printed.contains("push-team-a") && printed.contains("ShareTeamA"),
        "{printed}"
    );

    let closed = answer(&server, &["repository", "policy", "get", "team-a/web"])?;
    ensure!(
        closed["policyText"].as_str().is_some_and(|text| text.contains("Deny")),
        "{closed}"
    );
    let gone = hythe(&server, &["registry", "policy", "get"])?.refused()?;
    ensure!(gone.status.code() == Some(3), "{}", gone.both());
    let policies = answer(&server, &["policy", "list", "--scope", "local"])?;
    ensure!(policies["policies"][0]["policyName"] == "push-team-a", "{policies}");
    Ok(())
}

#[test]
fn a_document_comes_from_a_file_or_standard_input_and_comes_back_as_it_was() -> Result<()> {
    let server = Server::start()?;
    server.create_repository("web")?;
    let written = "{ \"Version\": \"2012-10-17\",\n  \"Statement\": [{ \"Effect\": \"Deny\", \"Principal\": \"*\",\n\t\"Action\": \"ecr:DeleteRepository\" }] }\n";
    let mut set = server.command(&["repository", "policy", "set", "web", "-"])?;
    run_with_input(set.env("HOME", server.scratch()), written.as_bytes())?.ok()?;
    let got = hythe(&server, &["repository", "policy", "get", "web"])?.ok()?.stdout;
    ensure!(got == written, "{got}");

    // Nothing is there twice, and what is not there is not found.
    hythe(&server, &["repository", "policy", "delete", "web", "--yes"])?.ok()?;
    let gone = hythe(&server, &["repository", "policy", "delete", "web", "--yes"])?.refused()?;
    ensure!(gone.status.code() == Some(3), "{}", gone.both());
    ensure!(
        gone.stderr.contains("Repository policy does not exist"),
        "{}",
        gone.stderr
    );
    let nothing = hythe(&server, &["repository", "policy", "get", "api"])?.refused()?;
    ensure!(nothing.status.code() == Some(3), "{}", nothing.both());
    let missing = hythe(&server, &["registry", "policy", "set", "no-such-file"])?.refused()?;
    ensure!(
        missing.stderr.contains("cannot read `no-such-file`"),
        "{}",
        missing.stderr
    );
    Ok(())
}

#[test]
fn a_document_that_is_none_is_refused_with_its_place() -> Result<()> {
    let server = Server::start()?;
    server.create_repository("web")?;
    let statement =
        |principal: &str| json!([{ "Effect": "Allow", "Principal": principal, "Action": "ecr:ListImages" }]);
    let misspelt = json!({ "Version": "2012-10-17", "Statements": statement("*") });
    let path = document(&server, "misspelt.json", &misspelt)?;
    let refused = hythe(&server, &["repository", "policy", "set", "web", text(&path)?])?.refused()?;
    ensure!(
        refused.stderr.contains("Invalid repository policy provided"),
        "{}",
        refused.stderr
    );
    ensure!(refused.stderr.contains("/Statements"), "{}", refused.stderr);

    let nobody = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "ecr:ListImages",
        "Principal": { "AWS": "arn:aws:iam::000000000000:user/nobody" } }] });
    let path = document(&server, "nobody.json", &nobody)?;
    let refused = hythe(&server, &["repository", "policy", "set", "web", text(&path)?])?.refused()?;
    ensure!(refused.stderr.contains("Principal not found"), "{}", refused.stderr);

    let closed =
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Deny", "Principal": "*", "Action": "*" }] });
    let path = document(&server, "closed.json", &closed)?;
    let refused = hythe(&server, &["repository", "policy", "set", "web", text(&path)?])?.refused()?;
    ensure!(
        refused.stderr.contains("would not let you set another one"),
        "{}",
        refused.stderr
    );
    hythe(
        &server,
        &["repository", "policy", "set", "web", text(&path)?, "--force"],
    )?
    .ok()?;
    Ok(())
}

/// What a command prints on a terminal with so many columns.
fn on_a_terminal(server: &Server, columns: u16, arguments: &[&str]) -> Result<Option<String>> {
    let Some(programs) = e2e::client::find(&["script", "stty"])? else {
        return Ok(None);
    };
    let script = programs.first().context("script")?;
    let words: Vec<_> = arguments.iter().map(|word| format!("'{word}'")).collect();
    let line = format!(
        "stty cols {columns}; exec {} {}",
        binary::hythe()?.display(),
        words.join(" ")
    );
    let mut command = Command::new(script);
    e2e::server::clean_environment(&mut command);
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(server.scratch())
        .envs(server.credentials().environment())
        .env("HOME", server.scratch())
        .env("TERM", "xterm");
    Ok(Some(run_with_input(&mut command, b"")?.ok()?.stdout))
}

#[test]
fn explain_says_what_a_request_is_answered_and_who_can_says_who() -> Result<()> {
    let server = Server::start()?;
    server.create_repository("team-a/a-rather-long-name-of-a-repository")?;
    let repository = "team-a/a-rather-long-name-of-a-repository";
    let arn = "arn:aws:iam::000000000000:user/ada";
    let statement = json!({ "Sid": "DevOnly", "Effect": "Allow", "Action": "ecr:*", "Resource": "*",
                            "Condition": { "StringLike": { "ecr:ImageTag": "dev-*" } } });
    let dev = json!({ "Version": "2012-10-17", "Statement": statement });
    let path = document(&server, "dev.json", &dev)?;
    hythe(&server, &["policy", "create", "dev-only", text(&path)?])?.ok()?;
    hythe(&server, &["user", "create", "ada", "--policy", "dev-only"])?.ok()?;
    let key = answer(&server, &["access-key", "create", "ada"])?;
    let member = |name: &str| key[name].as_str().unwrap_or_default();
    let basic = e2e::http::basic(member("accessKeyId"), member("secretAccessKey"));
    let ada = e2e::RegistryClient::with(server.registry(), Some(basic));

    // What it says is what happens, in the same words.
    let explain = |more: &[&str]| {
        let asked = ["policy", "explain", repository, "--principal", arn];
        answer(&server, &[&asked[..], more].concat())
    };
    let refused = ada.manifest(repository, "v1")?.expect(403)?.json()?;
    let denied = explain(&["--context", "ecr:ImageTag=v1"])?;
    let denied = &denied["evaluations"][0];
    ensure!(denied["decision"] == "implicitDeny", "{denied}");
    ensure!(
        denied["reason"] == refused["errors"][0]["message"],
        "{denied}, but {refused}"
    );
    ensure!(
        denied["unmetConditions"][0]["statement"]["sid"] == "DevOnly",
        "{denied}"
    );
    ada.manifest(repository, "dev-1")?.expect(404)?;
    let allowed = explain(&["--context", "ecr:ImageTag=dev-1"])?;
    let allowed = &allowed["evaluations"][0];
    let by = allowed["statement"]["policyName"].as_str();
    ensure!(
        allowed["decision"] == "allowed" && by == Some("arn:aws:iam::000000000000:policy/dev-only"),
        "{allowed}"
    );
    // A draft in the place of what there is.
    let closed = json!({ "Version": "2012-10-17",
                         "Statement": { "Effect": "Deny", "Principal": "*", "Action": "ecr:*" } });
    let closed = document(&server, "closed.json", &closed)?;
    let draft = explain(&["--context", "ecr:ImageTag=dev-1", "--repository-policy", text(&closed)?])?;
    ensure!(draft["evaluations"][0]["decision"] == "explicitDeny", "{draft}");
    ada.manifest(repository, "dev-1")?.expect(404)?;

    // For people: as wide as their terminal.
    let asked = [
        "policy",
        "explain",
        repository,
        "--principal",
        arn,
        "--action",
        "ecr:PutImage",
    ];
    let printed = hythe(&server, &asked)?.ok()?.stdout;
    for words in ["implicitDeny", "not met:", "dev-only/DevOnly", "identity-based policy"] {
        ensure!(printed.contains(words), "{words}: {printed}");
    }
    if let Some(printed) = on_a_terminal(&server, 80, &asked)? {
        let widest = printed.lines().map(|line| line.trim_end().chars().count()).max();
        ensure!(
            widest.is_some_and(|widest| (41..=80).contains(&widest)),
            "{widest:?}:\n{printed}"
        );
        ensure!(printed.contains("implicitDeny"), "{printed}");
    }

    let who = |arguments: &[&str]| answer(&server, &[&["policy", "who-can", repository][..], arguments].concat());
    let pullers = who(&[])?;
    let list = pullers["principals"].to_string();
    ensure!(
        list.contains(arn) && list.contains("dev-only") && pullers["anyone"] == false,
        "{pullers}"
    );
    server.open_to_everybody(repository)?;
    let pullers = who(&[])?;
    ensure!(pullers["anyone"] == true, "{pullers}");
    let nobody = e2e::RegistryClient::with(server.registry(), None);
    nobody.manifest(repository, "v1")?.expect(404)?;
    let pushers = who(&["--action", "ecr:PutImage"])?;
    ensure!(pushers["anyone"] == false, "{pushers}");
    let table = hythe(&server, &["policy", "who-can", repository])?.ok()?.stdout;
    ensure!(table.contains("everybody, also without logging in"), "{table}");
    let unknown = hythe(&server, &["policy", "who-can", "absent"])?.refused()?;
    ensure!(unknown.status.code() == Some(3), "{}", unknown.both());
    Ok(())
}

#[test]
fn a_file_is_checked_without_a_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let validate = |name: &str, content: &str, more: &[&str]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content)?;
        let mut command = Command::new(binary::hythe()?);
        e2e::server::clean_environment(&mut command);
        command.args(["policy", "validate", text(&path)?]).args(more);
        run(command.env("HOME", folder.path()))
    };
    let open = r#"{ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage" } }"#;
    let valid = validate("open.json", open, &[])?.ok()?;
    ensure!(
        valid.stdout.contains("kind `repository` with 1 statement"),
        "{}",
        valid.both()
    );
    ensure!(
        valid.stderr.contains("everybody, also without logging in"),
        "{}",
        valid.both()
    );
    let wrong = validate("open.json", open, &["--kind", "identity"])?.refused()?;
    ensure!(wrong.stderr.contains("/Statement"), "{}", wrong.both());
    let misspelt = open.replace("Action", "Acton");
    let wrong = validate("misspelt.json", &misspelt, &[])?.refused()?;
    ensure!(wrong.stderr.contains("/Statement/Acton"), "{}", wrong.both());
    Ok(())
}

#[test]
fn a_policy_is_made_given_and_taken_away() -> Result<()> {
    let server = Server::start()?;
    let policy = json!({ "Version": "2012-10-17",
                         "Statement": [{ "Effect": "Allow", "Action": "ecr:*", "Resource": "*" }] });
    let path = document(&server, "policy.json", &policy)?;
    let create = ["policy", "create", "all", text(&path)?, "--resource-tag", "team=a"];
    let created = answer(&server, &create)?;
    ensure!(created["arn"] == "arn:aws:iam::000000000000:policy/all", "{created}");
    let again = hythe(&server, &create)?.refused()?;
    ensure!(again.status.code() == Some(5), "{}", again.both());
    hythe(&server, &["user", "create", "ann"])?.ok()?;
    server.api("PUT", "/api/v1/users/ann/policies/all", None)?.expect(200)?;
    let described = answer(&server, &["policy", "describe", "all"])?;
    ensure!(described["attachmentCount"] == 1, "{described}");
    let kept = hythe(&server, &["policy", "delete", "all", "--yes"])?.refused()?;
    ensure!(kept.status.code() == Some(5), "{}", kept.both());
    server
        .api("DELETE", "/api/v1/users/ann/policies/all", None)?
        .expect(200)?;
    hythe(&server, &["policy", "delete", "all", "--yes"])?.ok()?;
    let managed = answer(&server, &["policy", "list", "--scope", "managed"])?;
    ensure!(
        managed["policies"].as_array().is_some_and(|all| all.len() == 4),
        "{managed}"
    );
    Ok(())
}
