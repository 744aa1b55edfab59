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
