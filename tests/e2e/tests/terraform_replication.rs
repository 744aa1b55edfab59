// SPDX-License-Identifier: Apache-2.0
//! Replication, with the real Terraform: each kind of resource through its life, and two deployments with two provider
//! configurations.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::process::wait_until;
use e2e::terraform_life::{Life, Stage, path};
use e2e::{RegistryClient, Server, ServerOptions, Terraform};
use serde_json::json;

const LIMIT: Duration = Duration::from_mins(1);
const DESTINATIONS: &str = "resource \"hythe_replication_destination\" \"eu\" {\n  name = \"eu\"\n  endpoint = \"registry.eu.example.com\"\n  control_endpoint = \"control.eu.example.com\"\n}\n
resource \"hythe_replication_destination\" \"us\" {\n  name = \"us\"\n  endpoint = \"registry.us.example.com\"\n  control_endpoint = \"control.us.example.com\"\n}\n";

#[test]
fn a_destination_lives() -> Result<()> {
    Life {
        kind: "replication_destination",
        basic: "name = \"eu\"\nendpoint = \"registry.example.com\"",
        full: "name = \"eu\"
             kind = \"OCI\"
             endpoint = \"registry.example.com\"
             description = \"Far away\"
             username = \"robot\"
             password_wo = \"first-secret\"
             password_wo_version = 1
             repository_prefix = \"copies\"
             bandwidth_bytes_per_second = 1000000",
        shown: &[("registry_id", json!("000000000000")), ("kind", json!("OCI"))],
        changes: &[
            (
                "the address",
                "endpoint = \"registry.example.com\"",
                "endpoint = \"other.example.com\"",
                "update",
                &["endpoint", "updated_at"],
            ),
            (
                "the password",
                "password_wo_version = 1",
                "password_wo_version = 2",
                "update",
                &["password_wo_version", "updated_at"],
            ),
            (
                "no bandwidth",
                "bandwidth_bytes_per_second = 1000000",
                "",
                "update",
                &["bandwidth_bytes_per_second", "updated_at"],
            ),
            ("the name", "name = \"eu\"", "name = \"us\"", "delete,create", &["name"]),
        ],
        same: &[(
            "endpoint = \"registry.example.com\"",
            "endpoint = \"https://registry.example.com\"",
        )],
        drift: &[(
            "the description",
            "PATCH",
            json!({ "description": "" }),
            &["description", "updated_at"],
        )],
        path: &path(&["replication-destinations", "eu"]),
        id: "eu",
        unread: &["password_wo_version"],
        ..Life::default()
    }
    .run()
}

#[test]
fn a_destination_with_a_control_plane_lives() -> Result<()> {
    Life {
        kind: "replication_destination",
        basic: "name = \"eu\"\nendpoint = \"registry.example.com\"",
        full: "name = \"eu\"
             endpoint = \"registry.example.com\"
             control_endpoint = \"control.example.com\"",
        shown: &[("kind", json!("HYTHE"))],
        changes: &[(
            "the control plane",
            "control.example.com",
            "control.example.com:8443",
            "update",
            &["control_endpoint", "updated_at"],
        )],
        same: &[(
            "control_endpoint = \"control.example.com\"",
            "control_endpoint = \"https://control.example.com\"",
        )],
        path: &path(&["replication-destinations", "eu"]),
        id: "eu",
        ..Life::default()
    }
    .run()
}

#[test]
fn a_rule_lives() -> Result<()> {
    Life {
        kind: "replication_rule",
        around: DESTINATIONS,
        basic: "name = \"team-a\"\ndestination = [{ region = hythe_replication_destination.eu.name, registry_id = \"000000000000\" }]",
        full: "name = \"team-a\"
             destination = [{ region = hythe_replication_destination.eu.name, registry_id = \"000000000000\" }, { region = hythe_replication_destination.us.name, registry_id = \"000000000000\" }]
             repository_filter = [{ filter = \"team-a/\" }]
             replicated_settings = [\"RESOURCE_TAGS\", \"LIFECYCLE_POLICY\"]
             delete_replication = true",
        shown: &[("registry_id", json!("000000000000")), ("replica_replication", json!(false))],
        changes: &[
            ("the filter", "team-a/", "team-b/", "update", &["repository_filter", "updated_at"]),
            (
                "deletions",
                "delete_replication = true",
                "",
                "update",
                &["delete_replication", "updated_at"],
            ),
            (
                "settings",
                "\"RESOURCE_TAGS\", ",
                "\"REPOSITORY_POLICY\", ",
                "update",
                &["replicated_settings", "updated_at"],
            ),
        ],
        path: &path(&["registry", "replication", "rules", "team-a"]),
        id: "team-a",
        ..Life::default()
    }
    .run()
}

#[test]
fn the_document_lives() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let document = |filter: &str| {
        format!(
            "{DESTINATIONS}
resource \"hythe_replication_configuration\" \"this\" {{
  rule = [
    {{ destination = [{{ region = hythe_replication_destination.eu.name, registry_id = \"000000000000\" }}], repository_filter = [{{ filter = \"{filter}\" }}], replicated_settings = [\"REPOSITORY_SETTINGS\"] }},
    {{ destination = [{{ region = hythe_replication_destination.us.name, registry_id = \"000000000000\" }}], delete_replication = true }},
  ]
}}
data \"hythe_replication_configuration\" \"this\" {{
  depends_on = [hythe_replication_configuration.this]
}}
output \"rules\" {{
  value = length(data.hythe_replication_configuration.this.rule)
}}
"
        )
    };
    stage.terraform.configure(&document("prod"))?;
    stage.terraform.apply_and_settle()?;
    ensure!(stage.terraform.output("rules")? == json!(2));
    stage.terraform.configure(&document("test"))?;
    let changes = stage
        .terraform
        .plan()?
        .changed_attributes("hythe_replication_configuration.this");
    ensure!(changes == ["rule"], "{changes:?}");
    stage.terraform.apply_and_settle()?;
    let stored = stage
        .server
        .api("GET", "/api/v1/registry/replication", None)?
        .expect(200)?
        .json()?;
    let filter = stored.pointer("/replicationConfiguration/rules/0/repositoryFilters/0/filter");
    ensure!(filter == Some(&json!("test")), "{stored}");
    let settings = stored.pointer("/replicationConfiguration/rules/0/replicatedSettings");
    ensure!(settings == Some(&json!(["REPOSITORY_SETTINGS"])), "{stored}");
    stage.terraform.destroy()?;
    let stored = stage
        .server
        .api("GET", "/api/v1/registry/replication", None)?
        .expect(200)?
        .json()?;
    ensure!(
        stored.pointer("/replicationConfiguration/rules") == Some(&json!([])),
        "{stored}"
    );
    Ok(())
}

#[test]
fn what_is_pushed_to_one_deployment_is_pulled_from_the_other() -> Result<()> {
    let start = |region: &str| {
        let arguments = ["--region", region, "--outgoing-allow", "127.0.0.0/8"];
        Server::start_with(ServerOptions {
            arguments: arguments.map(Into::into).into(),
            ..ServerOptions::default()
        })
    };
    let (here, there) = (start("here")?, start("there")?);
    let Some(mut terraform) = Terraform::new(here.credentials())? else {
        return Ok(());
    };
    let credentials = there.credentials();
    let other = json!({
        "region": "there", "endpoint": credentials.endpoint, "registry": format!("http://{}", there.registry()),
        "access_key_id": credentials.access_key_id, "secret_access_key": credentials.secret_access_key,
    });
    let secret = "only-for-this-test".repeat(3);
    terraform.set("TF_VAR_there", &other.to_string());
    terraform.set("TF_VAR_replicator_secret", &secret);
    std::fs::write(
        terraform.folder().join("main.tf"),
        include_str!("../../../examples/multi-region/main.tf"),
    )?;
    terraform.apply_and_settle()?;
    ensure!(!terraform.state_text()?.contains(&secret), "the secret is in the state");
    let image = RegistryClient::new(&here).push_image("team-a/web", "1", b"from here")?;
    let remote = RegistryClient::new(&there);
    wait_until("the image is there", LIMIT, || {
        remote
            .manifest("team-a/web", "1")
            .is_ok_and(|answer| answer.status == 200)
    })?;
    remote.pull_image("team-a/web", &image)?;
    wait_until("the repository is there as it is here", LIMIT, || {
        there.repository("team-a/web").is_ok_and(|found| {
            found.is_some_and(|it| {
                it.get("imageTagMutability") == Some(&json!("IMMUTABLE"))
                    && it.pointer("/tags/0/Value") == Some(&json!("team-a"))
            })
        })
    })?;
    terraform.destroy()?;
    Ok(())
}

#[test]
fn a_destination_that_rules_name_gets_another_name() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    // The example, under another name.
    let example = include_str!("../../../examples/resources/hythe_replication_destination/resource.tf");
    let (destination, _) = example
        .split_once("# Any other registry")
        .context("the example has two")?;
    let destination = destination.replace("var.replicator_secret", "\"only-for-this-test\"");
    let named = |name: &str| {
        let destination = destination.replace("name     = \"eu\"", &format!("name     = \"{name}\""));
        format!(
            "{destination}
resource \"hythe_replication_rule\" \"r\" {{
  name        = \"r\"
  destination = [{{ region = hythe_replication_destination.eu.name, registry_id = \"000000000000\" }}]
}}"
        )
    };
    let stored = || -> Result<Vec<serde_json::Value>> {
        let found = stage.server.api("GET", "/api/v1/replication-destinations", None)?;
        let found = found.expect(200)?.json()?;
        let all = found["replicationDestinations"].as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().map(|it| it["destinationName"].clone()).collect())
    };
    stage.terraform.configure(&named("eu"))?;
    stage.terraform.apply_and_settle()?;
    ensure!(stored()? == ["eu"], "{:?}", stored()?);
    stage.terraform.configure(&named("eu-west-1"))?;
    stage.terraform.apply_and_settle()?;
    ensure!(stored()? == ["eu-west-1"], "{:?}", stored()?);
    stage.terraform.destroy()?;
    Ok(())
}
