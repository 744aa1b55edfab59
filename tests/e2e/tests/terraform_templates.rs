// SPDX-License-Identifier: Apache-2.0
//! Templates of repositories, with the real Terraform and a push.

use anyhow::{Result, ensure};
use e2e::terraform_life::{Life, Stage, path};
use e2e::{RegistryClient, http};
use serde_json::json;

const LIFECYCLE: &str = r#"lifecycle_policy = jsonencode({ rules = [{ rulePriority = 1, selection = { tagStatus = "untagged", countType = "imageCountMoreThan", countNumber = 5 }, action = { type = "expire" } }] })"#;
const POLICY: &str = r#"repository_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::000000000000:root" }, Action = ["ecr:BatchGetImage"] }] })"#;

#[test]
fn a_template_lives() -> Result<()> {
    Life {
        kind: "repository_creation_template",
        basic: "prefix = \"team/a\"\napplied_for = [\"CREATE_ON_PUSH\"]",
        full: &format!(
            "prefix = \"team/a\"
             applied_for = [\"CREATE_ON_PUSH\", \"REPLICATION\"]
             description = \"For team A\"
             image_tag_mutability = \"IMMUTABLE_WITH_EXCLUSION\"
             image_tag_mutability_exclusion_filter = [{{ filter = \"dev-*\" }}]
             allow_sparse_indexes = true
             encryption = {{ type = \"AES256\" }}
             resource_tags = {{ team = \"a\" }}
             {POLICY}
             {LIFECYCLE}"
        ),
        shown: &[
            ("registry_id", json!("000000000000")),
            ("applied_for", json!(["CREATE_ON_PUSH", "REPLICATION"])),
            ("resource_tags", json!({ "team": "a" })),
        ],
        changes: &[
            (
                "the description",
                "For team A",
                "For others",
                "update",
                &["description", "updated_at"],
            ),
            (
                "the occasions",
                "[\"CREATE_ON_PUSH\", \"REPLICATION\"]",
                "[\"PULL_THROUGH_CACHE\"]",
                "update",
                &["applied_for", "updated_at"],
            ),
            (
                "the filter",
                "dev-*",
                "test-*",
                "update",
                &["image_tag_mutability_exclusion_filter", "updated_at"],
            ),
            (
                "sparse indexes",
                "allow_sparse_indexes = true",
                "",
                "update",
                &["allow_sparse_indexes", "updated_at"],
            ),
            (
                "a tag",
                "team = \"a\"",
                "team = \"b\"",
                "update",
                &["resource_tags", "updated_at"],
            ),
            (
                "the lifecycle policy",
                "countNumber = 5",
                "countNumber = 6",
                "update",
                &["lifecycle_policy", "updated_at"],
            ),
            ("no policy", POLICY, "", "update", &["repository_policy", "updated_at"]),
            (
                "the prefix",
                "prefix = \"team/a\"",
                "prefix = \"ROOT\"",
                "delete,create",
                &["prefix"],
            ),
        ],
        same: &[
            (
                "[\"CREATE_ON_PUSH\", \"REPLICATION\"]",
                "[\"REPLICATION\", \"CREATE_ON_PUSH\"]",
            ),
            ("encryption = { type = \"AES256\" }", ""),
            ("[\"ecr:BatchGetImage\"]", "\"ecr:BatchGetImage\""),
        ],
        drift: &[
            (
                "the description",
                "PATCH",
                json!({ "description": "" }),
                &["description", "updated_at"],
            ),
            (
                "the tags",
                "PATCH",
                json!({ "resourceTags": [{ "Key": "other", "Value": "b" }] }),
                &["resource_tags", "updated_at"],
            ),
            (
                "the mode",
                "PATCH",
                json!({ "imageTagMutability": "MUTABLE" }),
                &[
                    "image_tag_mutability",
                    "image_tag_mutability_exclusion_filter",
                    "updated_at",
                ],
            ),
        ],
        path: &path(&["repository-creation-templates", "team/a"]),
        id: "team/a",
        ..Life::default()
    }
    .run()
}

#[test]
fn a_push_creates_what_the_template_says() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.terraform.configure(include_str!(
        "../../../examples/resources/hythe_repository_creation_template/resource.tf"
    ))?;
    stage.terraform.apply_and_settle()?;
    let client = RegistryClient::new(&stage.server);
    client.begin_upload("team-a/web")?;
    client.begin_upload("other")?;
    let repository = |name: &str| stage.server.repository(name).map(Option::unwrap_or_default);
    let made = repository("team-a/web")?;
    ensure!(
        made.pointer("/imageTagMutability") == Some(&json!("IMMUTABLE_WITH_EXCLUSION")),
        "{made}"
    );
    let lifecycle = format!(
        "/api/v1/repositories/{}/lifecycle-policy",
        http::percent_encode("team-a/web")
    );
    ensure!(stage.status(&lifecycle)? == 200);
    let made = repository("other")?;
    ensure!(made.pointer("/imageTagMutability") == Some(&json!("MUTABLE")), "{made}");
    stage.terraform.destroy()?;
    ensure!(client.begin_upload("team-a/new").is_err(), "the template is gone");
    ensure!(stage.server.repository("team-a/web")?.is_some(), "what was made stays");
    Ok(())
}

#[test]
fn mistakes_are_found_by_validate() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let cases = [
        ("prefix = \"team/\"\napplied_for = [\"CREATE_ON_PUSH\"]", "prefix"),
        ("prefix = \"team\"\napplied_for = [\"PUSH\"]", "applied_for"),
        ("prefix = \"team\"\napplied_for = []", "applied_for"),
        (
            "prefix = \"team\"\napplied_for = [\"REPLICATION\"]\nlifecycle_policy = \"{}\"",
            "lifecycle_policy",
        ),
        (
            "prefix = \"team\"\napplied_for = [\"REPLICATION\"]\nimage_tag_mutability = \"MUTABLE_WITH_EXCLUSION\"",
            "image_tag_mutability",
        ),
    ];
    for (lines, place) in cases {
        stage.terraform.configure(&format!(
            "resource \"hythe_repository_creation_template\" \"r\" {{\n{lines}\n}}\n"
        ))?;
        let found = stage.terraform.validate()?;
        ensure!(found.iter().any(|it| it.severity == "error"), "{lines}");
        let text: String = found.iter().map(|it| it.text.clone()).collect();
        ensure!(text.contains(place), "{lines}: {text}");
    }
    Ok(())
}
