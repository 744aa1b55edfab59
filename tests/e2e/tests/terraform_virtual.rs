// SPDX-License-Identifier: Apache-2.0
//! Virtual repositories, with the real Terraform and a pull.

use anyhow::{Result, ensure};
use e2e::RegistryClient;
use e2e::terraform_life::{Life, Stage, path};
use serde_json::json;

#[test]
fn a_virtual_repository_lives() -> Result<()> {
    Life {
        kind: "virtual_repository",
        basic: "name = \"all/of\"\nsources = [{ repository_prefix = \"team\" }]",
        full: "name = \"all/of\"
             description = \"Everything\"
             sources = [
               { repository_prefix = \"team\" },
               { repository_prefix = \"hub\", includes = [\"library/*\", \"bitnami/*\"], excludes = [\"library/web\"] },
             ]",
        shown: &[
            ("registry_id", json!("000000000000")),
            (
                "sources",
                json!([
                    { "repository_prefix": "team", "includes": null, "excludes": null },
                    { "repository_prefix": "hub", "includes": ["bitnami/*", "library/*"], "excludes": ["library/web"] },
                ]),
            ),
        ],
        changes: &[
            (
                "the description",
                "Everything",
                "Something",
                "update",
                &["description", "updated_at"],
            ),
            (
                "the order",
                "{ repository_prefix = \"team\" },",
                "{ repository_prefix = \"first\" }, { repository_prefix = \"team\" },",
                "update",
                &["sources", "updated_at"],
            ),
            (
                "a pattern",
                "excludes = [\"library/web\"]",
                "excludes = [\"library/*-web\"]",
                "update",
                &["sources", "updated_at"],
            ),
            (
                "the name",
                "name = \"all/of\"",
                "name = \"all/from\"",
                "delete,create",
                &["name"],
            ),
        ],
        same: &[
            ("[\"library/*\", \"bitnami/*\"]", "[\"bitnami/*\", \"library/*\"]"),
            (
                "{ repository_prefix = \"team\" }",
                "{ repository_prefix = \"team\", includes = null }",
            ),
        ],
        drift: &[
            (
                "the description",
                "PATCH",
                json!({ "description": "" }),
                &["description", "updated_at"],
            ),
            (
                "the sources",
                "PATCH",
                json!({ "sources": [{ "repositoryPrefix": "hub", "excludes": ["x"] }, { "repositoryPrefix": "team" }] }),
                &["sources", "updated_at"],
            ),
        ],
        path: &path(&["virtual-repositories", "all/of"]),
        id: "all/of",
        ..Life::default()
    }
    .run()
}

#[test]
fn what_terraform_makes_is_read_through() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.terraform.configure(include_str!(
        "../../../examples/resources/hythe_virtual_repository/resource.tf"
    ))?;
    stage.terraform.apply_and_settle()?;
    let client = RegistryClient::new(&stage.server);
    for name in ["docker-hub/library/nginx", "docker-hub/library/internal-x"] {
        stage.server.create_repository(name)?;
        client.push_image(name, "1", b"a layer")?;
    }
    ensure!(client.pull_image("all/library/nginx", "1")? > 0);
    ensure!(
        client.pull_image("all/library/internal-x", "1").is_err(),
        "it is excluded"
    );
    stage.terraform.destroy()?;
    ensure!(client.pull_image("all/library/nginx", "1").is_err(), "it is gone");
    ensure!(client.pull_image("docker-hub/library/nginx", "1")? > 0);
    Ok(())
}

#[test]
fn mistakes_are_found_by_validate() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let cases = [
        ("name = \"all/\"\nsources = [{ repository_prefix = \"team\" }]", "name"),
        ("name = \"ROOT\"\nsources = [{ repository_prefix = \"team\" }]", "name"),
        ("name = \"all\"\nsources = []", "sources"),
        (
            "name = \"all\"\nsources = [{ repository_prefix = \"team\" }, { repository_prefix = \"team\" }]",
            "sources",
        ),
        (
            "name = \"all\"\nsources = [{ repository_prefix = \"Team\" }]",
            "repository_prefix",
        ),
        (
            "name = \"all\"\nsources = [{ repository_prefix = \"team\", includes = [\"A b\"] }]",
            "pattern",
        ),
    ];
    for (lines, place) in cases {
        stage.terraform.configure(&format!(
            "resource \"hythe_virtual_repository\" \"r\" {{\n{lines}\n}}\n"
        ))?;
        let found = stage.terraform.validate()?;
        ensure!(found.iter().any(|it| it.severity == "error"), "{lines}");
        let text: String = found.iter().map(|it| it.text.clone()).collect();
        ensure!(text.contains(place), "{lines}: {text}");
    }
    Ok(())
}
