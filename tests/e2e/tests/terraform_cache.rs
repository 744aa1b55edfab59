// SPDX-License-Identifier: Apache-2.0
//! Pull-through cache rules, with the real Terraform and a pull through one.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::process::wait_until;
use e2e::terraform_life::{Life, Stage, path};
use e2e::{RegistryClient, Server, ServerOptions, Terraform};
use serde_json::json;

const HUB: &str = "/api/v1/pull-through-cache-rules/hub";
const SECRETS: [&str; 2] = ["the-first-token-of-all", "the-second-token-of-all"];

#[test]
fn a_rule_lives() -> Result<()> {
    Life {
        kind: "pull_through_cache_rule",
        basic: "ecr_repository_prefix = \"hub\"\nupstream_registry_url = \"registry-1.docker.io\"",
        full: "ecr_repository_prefix = \"hub\"
             upstream_registry_url = \"registry-1.docker.io\"
             upstream_repository_prefix = \"library\"
             upstream_registry = \"docker-hub\"
             username = \"somebody\"
             access_token_wo = \"the-first-token-of-all\"
             access_token_wo_version = 1
             tag_freshness_seconds = 60
             mirror = {
               interval_minutes = 720
               repositories = [\"library/alpine\", \"library/py*\"]
               exclude_tags = [\"*-rc*\"]
               newest_tags = 3
             }",
        shown: &[
            ("registry_id", json!("000000000000")),
            ("tag_freshness_seconds", json!(60)),
            ("access_token_wo", json!(null)),
        ],
        changes: &[
            (
                "the freshness",
                "tag_freshness_seconds = 60",
                "tag_freshness_seconds = 120",
                "update",
                &["tag_freshness_seconds", "updated_at"],
            ),
            (
                "the interval",
                "interval_minutes = 720",
                "interval_minutes = 60",
                "update",
                &["mirror", "updated_at"],
            ),
            (
                "which tags come",
                "newest_tags = 3",
                "tags = [\"3*\"]\nremove_vanished = true",
                "update",
                &["mirror", "updated_at"],
            ),
            (
                "the token",
                "access_token_wo_version = 1",
                "access_token_wo_version = 2",
                "update",
                &["access_token_wo_version", "updated_at"],
            ),
            (
                "the user",
                "username = \"somebody\"",
                "username = \"another\"",
                "update",
                &["updated_at", "username"],
            ),
            (
                "the upstream",
                "registry-1.docker.io",
                "mirror.example.com",
                "delete,create",
                &["upstream_registry_url"],
            ),
            (
                "the prefix there",
                "upstream_repository_prefix = \"library\"",
                "",
                "delete,create",
                &["upstream_repository_prefix"],
            ),
        ],
        drift: &[
            (
                "the freshness",
                "PATCH",
                json!({ "tagFreshnessSeconds": 5 }),
                &["tag_freshness_seconds", "updated_at"],
            ),
            (
                "the mirror",
                "PATCH",
                json!({ "removeMirror": true }),
                &["mirror", "updated_at"],
            ),
            (
                "the credential",
                "PATCH",
                json!({ "removeCredential": true }),
                &["updated_at", "username"],
            ),
        ],
        path: &path(&["pull-through-cache-rules", "hub"]),
        id: "hub",
        unread: &["access_token_wo_version"],
        ..Life::default()
    }
    .run()
}

#[test]
fn a_credential_comes_and_goes_in_place_and_leaves_no_trace() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let rule = |credential: &str| {
        format!(
            "resource \"hythe_pull_through_cache_rule\" \"r\" {{\n  ecr_repository_prefix = \"hub\"\n  \
             upstream_registry_url = \"registry-1.docker.io\"\n{credential}\n}}\n"
        )
    };
    let username = || -> Result<serde_json::Value> {
        let rule = stage.server.api("GET", HUB, None)?.expect(200)?.json()?;
        Ok(rule.pointer("/credential/username").cloned().unwrap_or_default())
    };
    let with = |token: &str, version: u32| {
        rule(&format!(
            "  username = \"somebody\"\n  access_token_wo = \"{token}\"\n  access_token_wo_version = {version}"
        ))
    };
    for (config, is_there) in [
        (rule(""), false),
        (with(SECRETS[0], 1), true),
        (with(SECRETS[1], 2), true),
        (rule(""), false),
        (with(SECRETS[1], 3), true),
    ] {
        stage.terraform.configure(&config)?;
        if stage.status(HUB)? == 200 {
            let changes = stage.terraform.plan()?.changes();
            ensure!(changes == ["hythe_pull_through_cache_rule.r update"], "{changes:?}");
        }
        stage.terraform.apply_and_settle()?;
        let expected = if is_there { json!("somebody") } else { json!(null) };
        ensure!(username()? == expected, "{config}");
        let written = stage.terraform.state_text()?;
        ensure!(
            !SECRETS.iter().any(|secret| written.contains(secret)),
            "it is in the state"
        );
    }
    stage.terraform.destroy()?;
    Ok(())
}

#[test]
fn what_terraform_makes_is_pulled_through() -> Result<()> {
    let upstream = Server::start()?;
    upstream.create_repository("library/web")?;
    RegistryClient::new(&upstream).push_image("library/web", "1", b"from upstream")?;
    upstream.create_repository("library/mirrored")?;
    RegistryClient::new(&upstream).push_image("library/mirrored", "1", b"without a pull")?;
    let server = Server::start_with(ServerOptions {
        arguments: ["--outgoing-allow", "127.0.0.0/8"].map(Into::into).into(),
        ..ServerOptions::default()
    })?;
    let Some(terraform) = Terraform::new(server.credentials())? else {
        return Ok(());
    };
    let key = upstream.credentials();
    terraform.configure(&format!(
        "resource \"hythe_pull_through_cache_rule\" \"hub\" {{
  ecr_repository_prefix   = \"hub\"
  upstream_registry_url   = \"http://{}\"
  username                = \"{}\"
  access_token_wo         = \"{}\"
  access_token_wo_version = 1
  mirror = {{
    interval_minutes = 60
    repositories     = [\"library/mirrored\"]
    remove_vanished  = true
  }}
}}
data \"hythe_pull_through_cache_rule\" \"hub\" {{
  ecr_repository_prefix = hythe_pull_through_cache_rule.hub.ecr_repository_prefix
}}
output \"user\" {{
  value = data.hythe_pull_through_cache_rule.hub.username
}}
output \"mirrored\" {{
  value = data.hythe_pull_through_cache_rule.hub.mirror.repositories
}}
",
        upstream.registry(),
        key.access_key_id,
        key.secret_access_key
    ))?;
    terraform.apply_and_settle()?;
    ensure!(terraform.output("user")? == json!(key.access_key_id));
    ensure!(terraform.output("mirrored")? == json!(["library/mirrored"]));
    let tag = "/api/v1/repositories/hub%2Flibrary%2Fmirrored/tags/1";
    wait_until("the mirror has fetched", Duration::from_mins(1), || {
        server.api("GET", tag, None).is_ok_and(|answer| answer.status == 200)
    })?;
    ensure!(
        !terraform.state_text()?.contains(&key.secret_access_key),
        "it is in the state"
    );
    ensure!(RegistryClient::new(&server).pull_image("hub/library/web", "1")? > 0);
    terraform.destroy()?;
    ensure!(
        RegistryClient::new(&server)
            .pull_image("hub/library/absent", "1")
            .is_err()
    );
    Ok(())
}

#[test]
fn mistakes_are_found_by_validate() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let cases = [
        ("Hub", "registry-1.docker.io", "", "ecr_repository_prefix"),
        ("hub", "not a host", "", "upstream_registry_url"),
        ("hub", "https://quay.io", "", "https://"),
        ("hub", "quay.io", "username = \"me\"", "access_token_wo"),
        (
            "hub",
            "quay.io",
            "access_token_wo = \"secret-without-user\"",
            "username",
        ),
        (
            "hub",
            "quay.io",
            "mirror = {\n interval_minutes = 0\n repositories = [\"a/b\"]\n}",
            "interval_minutes",
        ),
        (
            "hub",
            "quay.io",
            "mirror = {\n interval_minutes = 60\n repositories = []\n}",
            "repositories",
        ),
        (
            "hub",
            "quay.io",
            "mirror = {\n interval_minutes = 60\n repositories = [\"a/b\"]\n exclude_tags = [\"a b\"]\n}",
            "exclude_tags",
        ),
        (
            "hub",
            "quay.io",
            "upstream_registry = \"somewhere\"",
            "upstream_registry",
        ),
        (
            "hub",
            "quay.io",
            "tag_freshness_seconds = 31536001",
            "tag_freshness_seconds",
        ),
        (
            "ROOT",
            "quay.io",
            "upstream_repository_prefix = \"x\"",
            "upstream_repository_prefix",
        ),
    ];
    for (prefix, url, more, place) in cases {
        stage.terraform.configure(&format!(
            "resource \"hythe_pull_through_cache_rule\" \"r\" {{\n  ecr_repository_prefix = \"{prefix}\"\n  \
             upstream_registry_url = \"{url}\"\n  {more}\n}}\n"
        ))?;
        let found = stage.terraform.validate()?;
        ensure!(found.iter().any(|it| it.severity == "error"), "{prefix} {url} {more}");
        let text: String = found.iter().map(|it| it.text.clone()).collect();
        ensure!(text.contains(place), "{prefix} {url} {more}: {text}");
        ensure!(!text.contains("secret-without-user"), "{text}");
    }
    Ok(())
}
