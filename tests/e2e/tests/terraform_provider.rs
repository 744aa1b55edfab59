// SPDX-License-Identifier: Apache-2.0
//! The rest of the provider: how it is found and configured, data sources, the ephemeral token, the function.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::process::{Daemon, run};
use e2e::server::clean_environment;
use e2e::terraform::write_mirror;
use e2e::{RegistryClient, Server, Terraform, binary, client, http};
use serde_json::json;

fn stage() -> Result<Option<(Terraform, Server)>> {
    let server = Server::start()?;
    Ok(Terraform::new(server.credentials())?.map(|terraform| (terraform, server)))
}

#[test]
fn terraform_init_installs_the_provider_from_a_mirror() -> Result<()> {
    let Some((mut terraform, server)) = stage()? else {
        return Ok(());
    };
    let mirror = terraform.folder().join("mirror");
    write_mirror(&mirror, "0.1.0")?;
    let text = format!(
        "provider_installation {{\n  filesystem_mirror {{ path = \"{}\" }}\n}}\n",
        mirror.display()
    );
    terraform.set_cli_config(&text)?;
    terraform.configure("resource \"hythe_repository\" \"r\" { name = \"mirrored\" }")?;
    let printed = terraform.run(&["init", "-no-color"])?.ok()?.stdout;
    ensure!(printed.contains("hythe/hythe"), "{printed}");
    terraform.apply_and_settle()?;
    ensure!(server.repository("mirrored")?.is_some());
    terraform.destroy()?;
    ensure!(server.repository("mirrored")?.is_none());
    Ok(())
}

#[test]
fn the_provider_can_be_debugged_by_reattaching() -> Result<()> {
    let Some((mut terraform, server)) = stage()? else {
        return Ok(());
    };
    let log = terraform.folder().join("provider.log");
    let mut command = Command::new(binary::provider()?);
    clean_environment(&mut command);
    command.arg("--debug").envs(server.credentials().environment());
    let mut provider = Daemon::start("terraform-provider-hythe", &mut command, &log)?;
    let mut reattach = None;
    provider.wait_until("it says how to reattach", Duration::from_mins(1), || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        reattach = text.lines().find_map(|line| {
            let (_, value) = line.split_once("TF_REATTACH_PROVIDERS=")?;
            Some(value.trim().trim_matches('\'').to_owned())
        });
        reattach.is_some()
    })?;
    terraform.set("TF_REATTACH_PROVIDERS", &reattach.context("no line")?);
    terraform.set_cli_config("")?;
    terraform.configure("resource \"hythe_repository\" \"r\" { name = \"reattached\" }")?;
    terraform.run(&["init", "-no-color"])?.ok()?;
    terraform.apply_and_settle()?;
    ensure!(server.repository("reattached")?.is_some());
    ensure!(provider.exit_status()?.is_none(), "Terraform ended the provider");
    terraform.destroy()?;
    ensure!(provider.stop().is_some(), "the provider had to be killed");
    Ok(())
}

#[test]
fn outside_terraform_the_provider_says_what_it_is() -> Result<()> {
    let mut command = Command::new(binary::provider()?);
    let refused = run(&mut command)?.refused()?;
    ensure!(
        refused.status.code() == Some(1) && refused.stdout.is_empty(),
        "{}",
        refused.both()
    );
    ensure!(
        refused.stderr.to_lowercase().contains("terraform"),
        "{}",
        refused.stderr
    );
    Ok(())
}

#[test]
fn wrong_credentials_and_an_absent_server_are_said_plainly() -> Result<()> {
    let Some((terraform, server)) = stage()? else {
        return Ok(());
    };
    let endpoint = &server.credentials().endpoint;
    for (block, words) in [
        (
            format!("endpoint = \"{endpoint}\"\n  username = \"HYTHEAAAAAAAAAAAAAAA\"\n  password = \"wrong-secret\""),
            "key",
        ),
        (
            "endpoint = \"http://127.0.0.1:1\"\n  max_retries = 0".to_owned(),
            "127.0.0.1:1",
        ),
        ("endpoint = \"not a url\"".to_owned(), "endpoint"),
    ] {
        let body =
            format!("provider \"hythe\" {{\n  {block}\n}}\nresource \"hythe_repository\" \"r\" {{ name = \"xx\" }}\n");
        terraform.configure(&body)?;
        let found = terraform.diagnostics_of_failure(&["apply", "-auto-approve"])?;
        let text: String = found.iter().map(|it| it.text.clone()).collect();
        ensure!(text.contains(words), "`{block}` gave: {text}");
        ensure!(!text.contains("wrong-secret"), "the secret is in the message: {text}");
    }
    Ok(())
}

#[test]
fn data_sources_read_one_repository_and_many() -> Result<()> {
    let Some((terraform, server)) = stage()? else {
        return Ok(());
    };
    for name in ["team-a/web", "team-a/api", "team-b/web"] {
        server.create_repository_with(&json!({ "repositoryName": name, "tags": [{ "Key": "n", "Value": name }] }))?;
    }
    terraform.configure(
        "
        data \"hythe_repository\" \"one\" { name = \"team-a/web\" }
        data \"hythe_repositories\" \"some\" { name_prefix = \"team-a/\" }
        data \"hythe_repositories\" \"all\" {}
        output \"url\" { value = data.hythe_repository.one.repository_url }
        output \"tag\" { value = data.hythe_repository.one.tags[\"n\"] }
        output \"some\" { value = [for it in data.hythe_repositories.some.repositories : it.name] }
        output \"all\" { value = length(data.hythe_repositories.all.repositories) }
        data \"hythe_registry\" \"current\" {}
        data \"hythe_caller_identity\" \"current\" {}
        output \"registry\" { value = data.hythe_registry.current.registry_uri }
        output \"caller\" { value = data.hythe_caller_identity.current.arn }",
    )?;
    terraform.apply_and_settle()?;
    ensure!(terraform.output("url")? == format!("{}/team-a/web", server.registry()));
    ensure!(terraform.output("tag")? == "team-a/web");
    ensure!(
        terraform.output("some")? == json!(["team-a/api", "team-a/web"]),
        "{}",
        terraform.output("some")?
    );
    ensure!(terraform.output("all")? == 3);
    ensure!(terraform.output("registry")? == server.registry());
    ensure!(terraform.output("caller")? == "arn:aws:iam::000000000000:root");

    terraform.configure("data \"hythe_repository\" \"one\" { name = \"absent\" }")?;
    let found = terraform.diagnostics_of_failure(&["plan"])?;
    ensure!(
        found
            .iter()
            .any(|it| it.text.contains("absent") && it.text.contains("does not exist")),
        "{found:?}"
    );
    Ok(())
}

#[test]
fn an_ephemeral_token_works_while_it_is_open_and_leaves_no_trace() -> Result<()> {
    if client::find(&["curl"])?.is_none() {
        return Ok(());
    }
    let Some((terraform, server)) = stage()? else {
        return Ok(());
    };
    server.create_repository("team-a/web")?;
    server.create_repository("team-b/web")?;
    RegistryClient::new(&server).push_image("team-a/web", "1", b"for the token")?;
    // A provisioner may see ephemeral values: it is the echo that writes down what the token was and what it was good for.
    terraform.configure(
        "
        ephemeral \"hythe_authorization_token\" \"t\" {
          scope = [{ repositories = [\"team-a/*\"], actions = [\"ecr:BatchGetImage\"] }]
          ttl   = 300
        }
        resource \"terraform_data\" \"echo\" {
          provisioner \"local-exec\" {
            command = <<-SH
              ask() { curl -s -o /dev/null -w '%%{http_code}\\n' -u \"$USER_NAME:$PASSWORD\" \"$REGISTRY/v2/$1/manifests/1\"; }
              printf '%s' \"$PASSWORD\" > password
              { ask team-a/web; ask team-b/web; } > answers
            SH
            environment = {
              USER_NAME = ephemeral.hythe_authorization_token.t.user_name
              PASSWORD  = ephemeral.hythe_authorization_token.t.password
              REGISTRY  = ephemeral.hythe_authorization_token.t.proxy_endpoint
            }
          }
        }",
    )?;
    let mut command = terraform.command(&["apply", "-auto-approve", "-no-color"]);
    command.env("TF_LOG_PROVIDER", "TRACE");
    let printed = e2e::process::run_within(&mut command, Duration::from_mins(2))?
        .ok()?
        .both();
    let read = |name: &str| std::fs::read_to_string(terraform.folder().join(name));
    ensure!(
        read("answers")? == "200\n403\n",
        "the token was good for: {}",
        read("answers")?
    );

    let password = read("password")?;
    ensure!(
        !terraform.state_text()?.contains(&password),
        "the password is in the state"
    );
    ensure!(
        !printed.contains(&password),
        "the password is in what Terraform and the provider printed"
    );
    ensure!(!server.log().contains(&password), "the password is in the server's log");
    // Closed: revoked.
    let late = RegistryClient::with(server.registry(), Some(http::basic("AWS", &password)));
    let answer = late.call("GET", "/v2/team-a/web/manifests/1", &[], &[])?;
    ensure!(
        [401, 403].contains(&answer.status),
        "the token outlived its run: {}",
        answer.status
    );
    // Opened and closed in the plan and in the apply, each time with a token of its own.
    let log = server.log();
    let count = |operation: &str| {
        log.lines()
            .filter(|line| line.contains(&format!("\"operation\":\"{operation}\"")))
            .count()
    };
    let (opened, closed) = (count("CreateAuthorizationToken"), count("RevokeAuthorizationToken"));
    ensure!(
        opened >= 2 && opened == closed,
        "the server saw {opened} tokens opened and {closed} closed:\n{log}"
    );
    terraform.plan()?.expect_empty()
}

#[test]
fn functions_take_names_apart_and_put_them_together() -> Result<()> {
    let Some((terraform, _server)) = stage()? else {
        return Ok(());
    };
    let digest = format!("sha256:{}", "0a".repeat(32));
    terraform.configure(&format!(
        "
        output \"tagged\" {{ value = provider::hythe::parse_image_uri(\"registry.example.com:5000/team-a/web:1.0\") }}
        output \"pinned\" {{ value = provider::hythe::parse_image_uri(\"127.0.0.1:5000/team-a/web@{digest}\") }}
        output \"built\" {{ value = provider::hythe::build_image_uri(\"127.0.0.1:5000/team-a/web\", \"1.0\") }}
        output \"arn\" {{ value = provider::hythe::parse_arn(\"arn:aws:ecr:local:000000000000:repository/a/b\") }}"
    ))?;
    terraform.apply_and_settle()?;
    let tagged = terraform.output("tagged")?;
    ensure!(tagged["registry"] == "registry.example.com:5000", "{tagged:#}");
    ensure!(
        tagged["repository"] == "team-a/web" && tagged["tag"] == "1.0" && tagged["digest"].is_null(),
        "{tagged:#}"
    );
    let pinned = terraform.output("pinned")?;
    ensure!(
        pinned["digest"] == digest.as_str() && pinned["tag"].is_null(),
        "{pinned:#}"
    );

    ensure!(terraform.output("built")? == "127.0.0.1:5000/team-a/web:1.0");
    ensure!(
        terraform.output("arn")?["repository"] == "a/b",
        "{}",
        terraform.output("arn")?
    );

    terraform
        .configure("output \"bad\" { value = provider::hythe::parse_image_uri(\"registry.example.com/Team:1\") }")?;
    let found = terraform.validate()?;
    ensure!(
        found
            .iter()
            .any(|it| it.severity == "error" && it.text.contains("Team")),
        "{found:?}"
    );
    Ok(())
}

#[test]
fn every_example_is_valid() -> Result<()> {
    let Some((terraform, _server)) = stage()? else {
        return Ok(());
    };
    let mut folders = vec![binary::workspace_folder().join("examples")];
    let mut checked = 0;
    while let Some(folder) = folders.pop() {
        let mut texts = String::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "tf") && name != "import-by-identity.tf" {
                // An import by identity needs Terraform 1.12.
                texts.push_str(&std::fs::read_to_string(&path)?);
                texts.push('\n');
            }
        }
        if texts.is_empty() {
            continue;
        }
        terraform.configure(&texts)?;
        if texts.contains("required_providers") {
            std::fs::write(terraform.folder().join("main.tf"), &texts)?;
        }
        let errors: Vec<_> = terraform
            .validate()?
            .into_iter()
            .filter(|it| it.severity == "error")
            .collect();
        ensure!(errors.is_empty(), "{}: {errors:#?}", folder.display());
        let formatted = terraform.run(&["fmt", "-check", "-diff"])?;
        ensure!(
            formatted.status.success(),
            "{} is not formatted:\n{}",
            folder.display(),
            formatted.both()
        );
        checked += 1;
    }
    ensure!(checked >= 8, "only {checked} examples were found");
    Ok(())
}
