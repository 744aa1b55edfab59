// SPDX-License-Identifier: Apache-2.0
//! Acceptance tests of who may do what: each resource through its whole life, and one team with all of them.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::http;
use e2e::process::wait_until;
use e2e::terraform_life::{Life, Stage, path};
use serde_json::{Value, json};

const TRUST: &str = r#"assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::000000000000:root" }, Action = ["sts:AssumeRole"] }] })"#;
const PULL: &str = r#"policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], Resource = "*" }] })"#;
const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnly";

#[test]
fn a_user_lives() -> Result<()> {
    Life {
        kind: "user",
        basic: "name = \"alice\"",
        full: "name = \"alice\"
            description = \"Alice\"
            permissions_boundary = \"arn:aws:iam::aws:policy/PowerUser\"
            expires_at = \"2090-01-01T00:00:00Z\"
            disabled = true
            tags = { team = \"a\" }",
        shown: &[
            ("arn", json!("arn:aws:iam::000000000000:user/alice")),
            ("registry_id", json!("000000000000")),
            ("kind", json!("USER")),
            ("disabled", json!(true)),
        ],
        changes: &[
            ("the description", "\"Alice\"", "\"A\"", "update", &["description"]),
            (
                "the boundary",
                "PowerUser",
                "FullAccess",
                "update",
                &["permissions_boundary"],
            ),
            ("the end", "2090", "2091", "update", &["expires_at"]),
            ("whether it is disabled", "true", "false", "update", &["disabled"]),
            ("a tag", "team = \"a\"", "team = \"b\"", "update", &["tags"]),
            (
                "the name",
                "name = \"alice\"",
                "name = \"bob\"",
                "delete,create",
                &["arn", "name"],
            ),
        ],
        same: &[
            ("2090-01-01T00:00:00Z", "2090-01-01T01:00:00+01:00"),
            ("policy/PowerUser", "policy/AmazonEC2ContainerRegistryPowerUser"),
            ("disabled = true", "disabled = true\nkind = \"USER\""),
        ],
        drift: &[
            (
                "the description",
                "PATCH",
                json!({ "description": "other" }),
                &["description"],
            ),
            (
                "the boundary",
                "PATCH",
                json!({ "permissionsBoundary": null }),
                &["permissions_boundary"],
            ),
            ("the end", "PATCH", json!({ "expiresAt": null }), &["expires_at"]),
            (
                "whether it is disabled",
                "PATCH",
                json!({ "isDisabled": false }),
                &["disabled"],
            ),
            (
                "a tag too many",
                "PATCH",
                json!({ "resourceTags": [{ "Key": "team", "Value": "a" }, { "Key": "x", "Value": "y" }] }),
                &["tags"],
            ),
            ("no tags", "PATCH", json!({ "resourceTags": [] }), &["tags"]),
        ],
        path: &path(&["users", "alice"]),
        id: "alice",
        ..Life::default()
    }
    .run()
}

#[test]
fn a_service_account_lives() -> Result<()> {
    Life {
        kind: "user",
        basic: "name = \"mirror\"\nkind = \"SERVICE_ACCOUNT\"",
        full: "name = \"mirror\"\nkind = \"SERVICE_ACCOUNT\"\nexpires_at = \"2090-01-01T00:00:00Z\"",
        shown: &[("kind", json!("SERVICE_ACCOUNT"))],
        changes: &[("the kind", "SERVICE_ACCOUNT", "USER", "delete,create", &["kind"])],
        path: &path(&["users", "mirror"]),
        id: "mirror",
        ..Life::default()
    }
    .run()
}

#[test]
fn a_group_lives() -> Result<()> {
    Life {
        kind: "group",
        basic: "name = \"developers\"",
        full: "name = \"developers\"\ndescription = \"They write\"",
        shown: &[("arn", json!("arn:aws:iam::000000000000:group/developers"))],
        changes: &[
            ("the description", "They write", "Others", "update", &["description"]),
            (
                "the name",
                "\"developers\"",
                "\"writers\"",
                "delete,create",
                &["arn", "name"],
            ),
        ],
        drift: &[(
            "the description",
            "PATCH",
            json!({ "description": "" }),
            &["description"],
        )],
        path: &path(&["groups", "developers"]),
        id: "developers",
        ..Life::default()
    }
    .run()
}

#[test]
fn a_role_lives() -> Result<()> {
    let other_trust = TRUST.replace("[\"sts:AssumeRole\"]", "\"sts:AssumeRole\"");
    let trust_text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}]}"#;
    Life {
        kind: "role",
        basic: &format!("name = \"ci\"\n{TRUST}"),
        full: &format!(
            "name = \"ci\"
             {TRUST}
             description = \"Builds\"
             max_session_duration = 7200
             permissions_boundary = \"arn:aws:iam::aws:policy/PowerUser\"
             tags = {{ team = \"a\" }}"
        ),
        shown: &[
            ("arn", json!("arn:aws:iam::000000000000:role/ci")),
            ("max_session_duration", json!(7200)),
        ],
        changes: &[
            ("the description", "Builds", "Tests", "update", &["description"]),
            ("the duration", "7200", "43200", "update", &["max_session_duration"]),
            (
                "the boundary",
                "PowerUser",
                "PullOnly",
                "update",
                &["permissions_boundary"],
            ),
            ("a tag", "team = \"a\"", "team = \"b\"", "update", &["tags"]),
            (
                "who may take it on",
                "\"Allow\"",
                "\"Deny\"",
                "update",
                &["assume_role_policy"],
            ),
            (
                "the name",
                "name = \"ci\"",
                "name = \"cd\"",
                "delete,create",
                &["arn", "name"],
            ),
        ],
        same: &[(TRUST, &other_trust)],
        drift: &[
            (
                "who may take it on",
                "PATCH",
                json!({ "assumeRolePolicyDocument": trust_text }),
                &["assume_role_policy"],
            ),
            (
                "the duration",
                "PATCH",
                json!({ "maxSessionDuration": 3600 }),
                &["max_session_duration"],
            ),
            (
                "the boundary",
                "PATCH",
                json!({ "permissionsBoundary": null }),
                &["permissions_boundary"],
            ),
            ("the tags", "PATCH", json!({ "resourceTags": [] }), &["tags"]),
        ],
        path: &path(&["roles", "ci"]),
        id: "ci",
        ..Life::default()
    }
    .run()
}

#[test]
fn a_policy_lives() -> Result<()> {
    let other = PULL.replace(
        "[\"ecr:BatchGetImage\", \"ecr:GetDownloadUrlForLayer\"]",
        "[\"ecr:GetDownloadUrlForLayer\", \"ecr:batchgetimage\"]",
    );
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecr:ListImages","Resource":"*"}}"#;
    Life {
        kind: "policy",
        basic: &format!("name = \"pull\"\n{PULL}"),
        full: &format!("name = \"pull\"\ndescription = \"Pull\"\ntags = {{ team = \"a\" }}\n{PULL}"),
        shown: &[("arn", json!("arn:aws:iam::000000000000:policy/pull"))],
        changes: &[
            ("the description", "\"Pull\"", "\"Get\"", "update", &["description"]),
            ("a tag", "team = \"a\"", "team = \"b\"", "update", &["tags"]),
            ("the document", "\"Allow\"", "\"Deny\"", "update", &["policy"]),
            (
                "the name",
                "name = \"pull\"",
                "name = \"get\"",
                "delete,create",
                &["arn", "name"],
            ),
        ],
        same: &[(PULL, &other)],
        drift: &[("the document", "PUT", json!({ "policyDocument": text }), &["policy"])],
        path: &path(&["policies", "pull"]),
        id: "pull",
        ..Life::default()
    }
    .run()
}

#[test]
fn a_repository_policy_lives() -> Result<()> {
    let document =
        |statement: &str| format!("policy = jsonencode({{ Version = \"2012-10-17\", Statement = {statement} }})");
    let statement = "{ Sid = \"A\", Effect = \"Allow\", Principal = { AWS = [\"000000000000\"] }, Action = [\"ecr:BatchGetImage\"] }";
    let basic = format!("repository = hythe_repository.around.name\n{}", document(statement));
    let text = r#"{"Version":"2012-10-17","Statement":[{"Sid":"B","Effect":"Allow","Principal":"*","Action":"ecr:BatchGetImage"}]}"#;
    Life {
        kind: "repository_policy",
        around: "resource \"hythe_repository\" \"around\" { name = \"team/web\" }",
        basic: &basic,
        full: &format!("{basic}\nforce = true"),
        shown: &[("registry_id", json!("000000000000")), ("repository", json!("team/web"))],
        changes: &[
            ("the document", "ecr:BatchGetImage", "ecr:ListImages", "update", &["policy"]),
            ("force", "force = true", "force = false", "update", &["force"]),
        ],
        same: &[
            (statement, "[{ Action = \"ecr:BatchGetImage\", Principal = { AWS = \"000000000000\" }, Effect = \"Allow\", Sid = \"A\" }]"),
        ],
        drift: &[("the document", "PUT", json!({ "policyText": text }), &["policy"])],
        path: &path(&["repositories", "team/web", "policy"]),
        id: "team/web",
        unread: &["force"],
    }
    .run()
}

#[test]
fn a_registry_policy_lives() -> Result<()> {
    let basic = "policy = jsonencode({ Version = \"2012-10-17\", Statement = [{ Sid = \"A\", Effect = \"Allow\", Principal = { AWS = \"000000000000\" }, Action = [\"ecr:BatchGetImage\"], Resource = \"*\" }] })";
    let text = r#"{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"ecr:PutImage","Resource":"*"}]}"#;
    Life {
        kind: "registry_policy",
        basic,
        full: &format!("{basic}\nforce = true"),
        shown: &[("registry_id", json!("000000000000"))],
        changes: &[(
            "the document",
            "ecr:BatchGetImage",
            "ecr:ListImages",
            "update",
            &["policy"],
        )],
        same: &[("[\"ecr:BatchGetImage\"]", "\"ecr:BatchGetImage\"")],
        drift: &[("the document", "PUT", json!({ "policyText": text }), &["policy"])],
        path: &path(&["registry", "policy"]),
        id: "000000000000",
        unread: &["force"],
        ..Life::default()
    }
    .run()
}

#[test]
fn a_registry_policy_statement_lives() -> Result<()> {
    let basic = "sid = \"TeamB\"
        statement = jsonencode({ Effect = \"Allow\", Principal = { AWS = \"000000000000\" }, Action = [\"ecr:BatchGetImage\"], Resource = \"*\" })";
    let text =
        r#"{"Sid":"TeamB","Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"ecr:PutImage","Resource":"*"}"#;
    Life {
        kind: "registry_policy_statement",
        around: "resource \"hythe_registry_policy_statement\" \"other\" {
            sid       = \"Other\"
            statement = jsonencode({ Effect = \"Allow\", Principal = { AWS = \"000000000000\" }, Action = \"ecr:ListImages\", Resource = \"*\" })
        }",
        basic,
        full: &format!("{basic}\nforce = true"),
        shown: &[("registry_id", json!("000000000000"))],
        changes: &[
            ("the statement", "ecr:BatchGetImage", "ecr:DescribeImages", "update", &["statement"]),
            ("the name", "\"TeamB\"", "\"TeamC\"", "delete,create", &["sid"]),
        ],
        same: &[
            ("[\"ecr:BatchGetImage\"]", "\"ecr:BatchGetImage\""),
            ("jsonencode({ Effect", "jsonencode({ Sid = \"TeamB\", Effect"),
        ],
        drift: &[("the statement", "PUT", json!({ "statement": text }), &["statement"])],
        path: &path(&["registry", "policy", "statements", "TeamB"]),
        id: "TeamB",
        // The server writes the name into the statement, which is no difference.
        unread: &["force", "statement"],
    }
    .run()
}

#[test]
fn the_settings_of_a_registry_live() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, .. } = &stage;
    let (address, path) = ("hythe_registry_settings.r", path(&["registry", "settings"]));
    let days = || -> Result<Value> {
        let answer = stage.server.api("GET", &path, None)?.expect(200)?.json()?;
        Ok(answer["deletedImageRetentionDays"].clone())
    };
    let configure = |days: &str| {
        let found = "data \"hythe_registry_settings\" \"d\" {\n  depends_on = [hythe_registry_settings.r]\n}";
        terraform.configure(&format!(
            "resource \"hythe_registry_settings\" \"r\" {{\n  {days}\n}}\n{found}\n
             output \"found\" {{ value = data.hythe_registry_settings.d.deleted_image_retention_days }}\n"
        ))
    };
    // What somebody has set is not taken over by a create.
    stage.send("PUT", &path, &json!({ "deletedImageRetentionDays": 3 }))?;
    configure("")?;
    let refused = terraform.diagnostics_of_failure(&["apply", "-auto-approve"])?;
    let text: String = refused.iter().map(|it| it.text.clone()).collect();
    ensure!(
        text.contains("exists") && text.contains("terraform import") && text.contains("000000000000"),
        "{text}"
    );
    ensure!(days()? == 3, "{}", days()?);
    stage.send("PUT", &path, &json!({ "deletedImageRetentionDays": 7 }))?;
    terraform.apply_and_settle().context("defaults")?;

    configure("deleted_image_retention_days = 30")?;
    let plan = terraform.plan()?;
    ensure!(
        plan.changes().contains(&format!("{address} update")),
        "{:?}",
        plan.changes()
    );
    ensure!(!plan.text.contains("gone at once"), "{}", plan.text);
    terraform.apply_and_settle().context("30 days")?;
    ensure!(days()? == 30, "{}", days()?);
    ensure!(terraform.output("found")? == 30, "{}", terraform.output("found")?);

    // Changed by somebody else.
    stage.send("PUT", &path, &json!({ "deletedImageRetentionDays": 1 }))?;
    let changed = terraform.plan()?.changed_attributes(address);
    ensure!(changed == ["deleted_image_retention_days"], "{changed:?}");
    terraform.apply_and_settle().context("drift")?;

    // Forgotten and imported.
    let before = terraform.attributes(address)?;
    ensure!(before["registry_id"] == "000000000000", "{before}");
    terraform.run(&["state", "rm", address])?.ok()?;
    terraform.run(&["import", "-no-color", address, "000000000000"])?.ok()?;
    let after = terraform.attributes(address)?;
    ensure!(after == before, "import read\n{after:#}\ninstead of\n{before:#}");
    terraform.plan()?.expect_empty().context("imported")?;

    configure("deleted_image_retention_days = 0")?;
    let plan = terraform.plan()?;
    ensure!(
        plan.text.contains("Deleted images will be gone at once"),
        "{}",
        plan.text
    );
    terraform.apply_and_settle().context("0 days")?;
    ensure!(!terraform.plan()?.text.contains("gone at once"), "it is warned of once");
    configure("deleted_image_retention_days = 366")?;
    let refused = terraform.diagnostics_of_failure(&["plan"])?;
    let text: String = refused.iter().map(|it| it.text.clone()).collect();
    ensure!(text.contains("0 to 365"), "{text}");

    configure("deleted_image_retention_days = 30")?;
    terraform.apply_and_settle()?;
    terraform.destroy()?;
    ensure!(days()? == 7, "a destroy brings back the default, not {}", days()?);
    Ok(())
}

#[test]
fn an_identity_provider_lives() -> Result<()> {
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let full = format!(
        "url = \"https://issuer.example.com/x\"
         client_ids = [\"a\", \"b\"]
         signing_algorithms = [\"EdDSA\", \"RS256\"]
         jwks = {key:?}
         description = \"Issuer\""
    );
    Life {
        kind: "identity_provider",
        basic: "url = \"https://issuer.example.com/x\"\nclient_ids = [\"a\"]",
        full: &full,
        shown: &[
            ("name", json!("issuer.example.com/x")),
            (
                "arn",
                json!("arn:aws:iam::000000000000:oidc-provider/issuer.example.com/x"),
            ),
        ],
        changes: &[
            (
                "the audiences",
                "[\"a\", \"b\"]",
                "[\"a\", \"c\"]",
                "update",
                &["client_ids"],
            ),
            (
                "the algorithms",
                "\"RS256\"",
                "\"ES256\"",
                "update",
                &["signing_algorithms"],
            ),
            ("the description", "\"Issuer\"", "\"Other\"", "update", &["description"]),
            ("the URL", ".com/x", ".com/y", "delete,create", &["arn", "name", "url"]),
        ],
        same: &[
            ("[\"a\", \"b\"]", "[\"b\", \"a\"]"),
            ("[\"EdDSA\", \"RS256\"]", "[\"RS256\", \"EdDSA\"]"),
        ],
        drift: &[
            (
                "the audiences",
                "PATCH",
                json!({ "clientIdList": ["a"] }),
                &["client_ids"],
            ),
            (
                "the description",
                "PATCH",
                json!({ "description": "" }),
                &["description"],
            ),
        ],
        path: &path(&["identity-providers", "issuer.example.com/x"]),
        id: "issuer.example.com/x",
        ..Life::default()
    }
    .run()
}

/// A membership or attachment: two required arguments, and no path of its own to ask.
fn link_lives(kind: &str, around: &str, lines: &str, id: &str, link: &str, holder: &str) -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, .. } = &stage;
    let address = format!("hythe_{kind}.r");
    let config = format!("{around}\nresource \"hythe_{kind}\" \"r\" {{\n{lines}\n}}\n");
    terraform.configure(&config)?;
    terraform.apply_and_settle()?;
    let before = terraform.attributes(&address)?;
    terraform.run(&["state", "rm", &address])?.ok()?;
    terraform.run(&["import", "-no-color", &address, id])?.ok()?;
    ensure!(terraform.attributes(&address)? == before, "import read something else");
    // What is there already is taken over.
    terraform.run(&["state", "rm", &address])?.ok()?;
    terraform.apply_and_settle()?;
    // It disappears by itself, and with what it hangs on.
    stage.send("DELETE", link, &Value::Null)?;
    let plan = terraform.plan()?;
    ensure!(plan.changes() == [format!("{address} create")], "{:?}", plan.changes());
    terraform.apply_and_settle()?;
    stage.send("DELETE", link, &Value::Null)?;
    terraform.apply_and_settle()?;
    terraform.configure(around)?;
    terraform.apply_and_settle()?;
    let left = stage.server.api("GET", holder, None)?.expect(200)?.json()?;
    for member in ["policies", "groups"] {
        let is_empty = left.get(member).and_then(Value::as_array).is_none_or(Vec::is_empty);
        ensure!(is_empty, "{left}");
    }
    terraform.destroy()?;
    ensure!(stage.status(holder)? == 404);
    Ok(())
}

#[test]
fn a_membership_lives() -> Result<()> {
    link_lives(
        "group_membership",
        "resource \"hythe_user\" \"u\" { name = \"alice\" }\nresource \"hythe_group\" \"g\" { name = \"developers\" }",
        "user = hythe_user.u.name\ngroup = hythe_group.g.name",
        "developers/alice",
        &path(&["groups", "developers", "members", "alice"]),
        &path(&["users", "alice"]),
    )
}

#[test]
fn a_pull_time_update_exclusion_lives() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, .. } = &stage;
    let (address, arn) = (
        "hythe_pull_time_update_exclusion.r",
        "arn:aws:iam::000000000000:user/scanner",
    );
    let around = "resource \"hythe_user\" \"u\" { name = \"scanner\" }";
    let config =
        format!("{around}\nresource \"hythe_pull_time_update_exclusion\" \"r\" {{\nprincipal = hythe_user.u.arn\n}}\n");
    terraform.configure(&config)?;
    terraform.apply_and_settle()?;
    let before = terraform.attributes(address)?;
    ensure!(before["principal"] == arn, "{before}");
    terraform.run(&["state", "rm", address])?.ok()?;
    let refused = terraform.run(&["apply", "-no-color", "-auto-approve"])?.refused()?;
    ensure!(refused.both().contains("import"), "{}", refused.both());
    terraform.run(&["import", "-no-color", address, arn])?.ok()?;
    ensure!(terraform.attributes(address)? == before, "import read something else");
    // Somebody else lets the pulls count again.
    let exclusions = path(&["registry", "pull-time-exclusions"]);
    stage.send(
        "DELETE",
        &path(&["registry", "pull-time-exclusions", arn]),
        &Value::Null,
    )?;
    let plan = terraform.plan()?;
    ensure!(plan.changes() == [format!("{address} create")], "{:?}", plan.changes());
    terraform.apply_and_settle()?;
    let other = config.replace("hythe_user.u.arn", "\"arn:aws:iam::111111111111:role/mirror\"");
    terraform.configure(&other)?;
    let plan = terraform.plan()?;
    ensure!(
        plan.changes() == [format!("{address} delete,create")],
        "{:?}",
        plan.changes()
    );
    terraform.apply_and_settle()?;
    terraform.configure(&config.replace("hythe_user.u.arn", "\"scanner\""))?;
    let refused = terraform.run(&["validate", "-no-color"])?.refused()?;
    ensure!(
        refused.both().contains("is not the ARN of a user or a role"),
        "{}",
        refused.both()
    );
    terraform.configure(&other)?;
    terraform.destroy()?;
    let left = stage.server.api("GET", &exclusions, None)?.expect(200)?.json()?;
    ensure!(left["pullTimeUpdateExclusions"] == json!([]), "{left}");
    Ok(())
}

#[test]
fn a_policy_of_a_user_lives() -> Result<()> {
    link_lives(
        "user_policy_attachment",
        &format!(
            "resource \"hythe_user\" \"u\" {{ name = \"alice\" }}\nresource \"hythe_policy\" \"p\" {{\nname = \"pull\"\n{PULL}\n}}"
        ),
        "user = hythe_user.u.name\npolicy_arn = hythe_policy.p.arn",
        "alice/arn:aws:iam::000000000000:policy/pull",
        &path(&["users", "alice", "policies", "pull"]),
        &path(&["users", "alice"]),
    )
}

#[test]
fn a_policy_of_a_group_lives() -> Result<()> {
    link_lives(
        "group_policy_attachment",
        "resource \"hythe_group\" \"g\" { name = \"developers\" }",
        &format!("group = hythe_group.g.name\npolicy_arn = \"{READ_ONLY}\""),
        &format!("developers/{READ_ONLY}"),
        &path(&["groups", "developers", "policies", "ReadOnly"]),
        &path(&["groups", "developers"]),
    )
}

#[test]
fn a_policy_of_a_role_lives() -> Result<()> {
    link_lives(
        "role_policy_attachment",
        &format!("resource \"hythe_role\" \"r\" {{\nname = \"ci\"\n{TRUST}\n}}"),
        &format!("role = hythe_role.r.name\npolicy_arn = \"{READ_ONLY}\""),
        &format!("ci/{READ_ONLY}"),
        &path(&["roles", "ci", "policies", "ReadOnly"]),
        &path(&["roles", "ci"]),
    )
}

/// What is left when something that others hang on is deleted elsewhere, and what the next plan makes anew.
struct Loss<'a> {
    config: &'a str,
    /// What is deleted.
    path: &'a str,
    makes: &'a [&'a str],
}

#[test]
fn what_hangs_on_something_that_was_deleted_elsewhere_is_made_anew() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, .. } = &stage;
    let user = "resource \"hythe_user\" \"u\" { name = \"alice\" }";
    let group = "resource \"hythe_group\" \"g\" { name = \"developers\" }";
    let role = format!("resource \"hythe_role\" \"r\" {{\nname = \"ci\"\n{TRUST}\n}}");
    let attachment = |holder: &str, reference: &str| {
        format!(
            "resource \"hythe_{holder}_policy_attachment\" \"a\" {{\n{holder} = {reference}\npolicy_arn = \"{READ_ONLY}\"\n}}"
        )
    };
    let membership =
        "resource \"hythe_group_membership\" \"m\" {\nuser = hythe_user.u.name\ngroup = hythe_group.g.name\n}";
    let key = "resource \"hythe_access_key\" \"k\" {\nuser = hythe_user.u.name\nsecret_access_key_wo = \"0123456789012345678901234567890123456789\"\nsecret_access_key_wo_version = 1\n}";
    let statement = |sid: &str| {
        format!(
            "resource \"hythe_registry_policy_statement\" \"{sid}\" {{
               sid       = \"{sid}\"
               statement = jsonencode({{ Effect = \"Allow\", Principal = {{ AWS = \"000000000000\" }}, Action = \"ecr:ListImages\", Resource = \"*\" }})
             }}"
        )
    };
    let repository_policy = "resource \"hythe_repository\" \"r\" { name = \"team/web\" }
        resource \"hythe_repository_policy\" \"p\" {
          repository = hythe_repository.r.name
          policy     = jsonencode({ Version = \"2012-10-17\", Statement = { Effect = \"Allow\", Principal = { AWS = \"000000000000\" }, Action = \"ecr:BatchGetImage\" } })
        }";
    let losses = [
        Loss {
            config: &format!("{user}\n{}\n{key}", attachment("user", "hythe_user.u.name")),
            path: &path(&["users", "alice"]),
            makes: &["hythe_access_key.k", "hythe_user.u", "hythe_user_policy_attachment.a"],
        },
        Loss {
            config: &format!("{user}\n{group}\n{membership}"),
            path: &path(&["users", "alice"]),
            makes: &["hythe_group_membership.m", "hythe_user.u"],
        },
        Loss {
            config: &format!("{group}\n{}", attachment("group", "hythe_group.g.name")),
            path: &path(&["groups", "developers"]),
            makes: &["hythe_group.g", "hythe_group_policy_attachment.a"],
        },
        Loss {
            config: &format!("{role}\n{}", attachment("role", "hythe_role.r.name")),
            path: &path(&["roles", "ci"]),
            makes: &["hythe_role.r", "hythe_role_policy_attachment.a"],
        },
        Loss {
            config: &[statement("A"), statement("B")].join("\n"),
            path: &path(&["registry", "policy"]),
            makes: &["hythe_registry_policy_statement.A", "hythe_registry_policy_statement.B"],
        },
        Loss {
            config: repository_policy,
            path: &path(&["repositories", "team/web"]),
            makes: &["hythe_repository.r", "hythe_repository_policy.p"],
        },
    ];
    for Loss { config, path, makes } in losses {
        terraform.configure(config)?;
        terraform.apply_and_settle()?;
        stage.send("DELETE", path, &Value::Null)?;
        let plan = terraform.plan()?;
        let mut changes = plan.changes();
        changes.sort_unstable();
        let expected: Vec<_> = makes.iter().map(|address| format!("{address} create")).collect();
        ensure!(changes == expected, "{path}: {changes:?}\n{}", plan.text);
        terraform.apply_and_settle().context(path.to_owned())?;
        // What is gone already is no obstacle to a destroy.
        stage.send("DELETE", path, &Value::Null)?;
        terraform.destroy().context(path.to_owned())?;
    }
    Ok(())
}

#[test]
fn a_session_of_a_role_works_while_it_is_open_and_leaves_no_trace() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, server } = &stage;
    let role = format!(
        "resource \"hythe_role\" \"ci\" {{\nname = \"ci\"\n{TRUST}\n}}
         resource \"hythe_role_policy_attachment\" \"ci\" {{\nrole = hythe_role.ci.name\npolicy_arn = \"{READ_ONLY}\"\n}}"
    );
    terraform.configure(&role)?;
    terraform.apply_and_settle()?;
    // A provisioner may see ephemeral values: it writes down what the session was.
    terraform.configure(&format!(
        "{role}
         ephemeral \"hythe_role_session\" \"ci\" {{
           role_arn     = hythe_role.ci.arn
           session_name = \"run-7\"
         }}
         resource \"terraform_data\" \"echo\" {{
           provisioner \"local-exec\" {{
             command     = \"printf '%s %s' \\\"$ARN\\\" \\\"$PASSWORD\\\" > session\"
             environment = {{
               ARN      = ephemeral.hythe_role_session.ci.arn
               PASSWORD = ephemeral.hythe_role_session.ci.password
             }}
           }}
         }}"
    ))?;
    terraform.run(&["apply", "-auto-approve", "-no-color"])?.ok()?;
    let noted = std::fs::read_to_string(terraform.folder().join("session"))?;
    let (arn, password) = noted.split_once(' ').context("the provisioner saw no session")?;
    ensure!(arn == "arn:aws:sts::000000000000:assumed-role/ci/run-7", "{arn}");
    ensure!(!terraform.state_text()?.contains(password), "the token is in the state");
    ensure!(!server.log().contains(password), "the token is in the server's log");
    // Closed: revoked, by itself.
    let bearer = format!("Bearer {password}");
    let address = server.credentials().control_address();
    let answer = http::request(
        address,
        "GET",
        "/api/v1/caller-identity",
        &[("Authorization", &bearer)],
        &[],
    )?;
    ensure!(answer.status == 401, "the session outlived its run: {}", answer.status);
    let events = |name: &str| -> Result<usize> {
        let path = format!("/api/v1/audit-events?eventName={name}&maxResults=1000");
        let page = server.api("GET", &path, None)?.expect(200)?.json()?;
        Ok(page["auditEvents"].as_array().map_or(0, Vec::len))
    };
    let (opened, closed) = (events("AssumeRole")?, events("RevokeAuthorizationToken")?);
    ensure!(
        opened >= 1 && opened == closed,
        "{opened} sessions were opened and {closed} closed"
    );
    terraform.plan()?.expect_empty()
}

#[test]
fn a_token_of_a_service_account_is_extended_while_it_is_open_and_leaves_no_trace() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, server } = &stage;
    let user = "resource \"hythe_user\" \"ci\" {\nname = \"ci\"\nkind = \"SERVICE_ACCOUNT\"\n}";
    terraform.configure(user)?;
    terraform.apply_and_settle()?;
    // The shortest life is a minute, and two thirds of it pass before it is extended: the provisioner waits until the server
    // has extended a token.
    terraform.configure(&format!(
        "{user}
         ephemeral \"hythe_service_account_token\" \"ci\" {{
           service_account = hythe_user.ci.name
           ttl             = 60
         }}
         resource \"terraform_data\" \"echo\" {{
           provisioner \"local-exec\" {{
             command     = \"printf %s \\\"$PASSWORD\\\" > password; for i in $(seq 600); do [ -e extended ] && exit; sleep 0.2; done; exit 1\"
             environment = {{ PASSWORD = ephemeral.hythe_service_account_token.ci.password }}
           }}
         }}"
    ))?;
    let events = |name: &str| -> Result<Vec<Value>> {
        // All three are the same action.
        let path = "/api/v1/audit-events?eventName=CreateUserToken&maxResults=1000";
        let page = server.api("GET", path, None)?.expect(200)?.json()?;
        let all = page["auditEvents"].as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().filter(|event| event["operation"] == name).collect())
    };
    let mut command = terraform.command(&["apply", "-auto-approve", "-no-color"]);
    let applied = std::thread::scope(|threads| -> Result<String> {
        let apply = threads.spawn(move || e2e::process::run_within(&mut command, Duration::from_mins(4)));
        let extended = wait_until("a token is extended", Duration::from_mins(3), || {
            apply.is_finished() || events("RenewUserAuthorizationToken").is_ok_and(|events| !events.is_empty())
        });
        std::fs::write(terraform.folder().join("extended"), "")?;
        let applied = apply.join().map_err(|_| anyhow::anyhow!("terraform panicked"))??;
        extended?;
        Ok(applied.ok()?.both())
    })?;
    let password = std::fs::read_to_string(terraform.folder().join("password"))?;
    ensure!(password.starts_with("hyt1."), "the provisioner saw no token");
    for (what, text) in [
        ("state", terraform.state_text()?),
        ("server's log", server.log()),
        ("output", applied),
    ] {
        ensure!(!text.contains(&password), "the token is in the {what}");
    }
    // Closed: revoked.
    let bearer = format!("Bearer {password}");
    let address = server.credentials().control_address();
    let path = "/api/v1/caller-identity";
    let answer = http::request(address, "GET", path, &[("Authorization", &bearer)], &[])?;
    ensure!(answer.status == 401, "the token outlived its run: {}", answer.status);
    let (opened, closed) = (
        events("CreateUserAuthorizationToken")?,
        events("RevokeUserAuthorizationToken")?,
    );
    ensure!(
        !opened.is_empty() && opened.len() == closed.len(),
        "{} tokens were opened and {} closed",
        opened.len(),
        closed.len()
    );
    // Each record says who made it, and for whom.
    for record in opened.iter().chain(&closed) {
        let (by, whose) = (&record["userIdentity"]["arn"], &record["requestParameters"]["userName"]);
        ensure!(by == "arn:aws:iam::000000000000:root" && whose == "ci", "{record:#}");
    }
    let plan = terraform.plan()?;
    let shown = terraform.run(&["show", "-json", "tfplan"])?.ok()?.stdout;
    ensure!(!shown.contains("hyt1."), "a token is in the plan");
    plan.expect_empty()
}

#[test]
fn an_account_is_closed_when_it_is_destroyed_and_opened_again_when_it_is_imported() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, .. } = &stage;
    let config = |name: &str| {
        format!("resource \"hythe_account\" \"r\" {{\naccount_id = \"111111111111\"\nname = \"{name}\"\n}}")
    };
    let (address, place) = ("hythe_account.r", path(&["accounts", "111111111111"]));
    let status =
        || Ok::<_, anyhow::Error>(stage.server.api("GET", &place, None)?.expect(200)?.json()?["status"].clone());
    terraform.configure(&config("B"))?;
    terraform.apply_and_settle()?;
    let attributes = terraform.attributes(address)?;
    ensure!(
        attributes["arn"] == "arn:aws:iam::111111111111:root" && attributes["status"] == "ACTIVE",
        "{attributes:#}"
    );
    terraform.configure(&config("Team B"))?;
    let plan = terraform.plan()?;
    ensure!(plan.changed_attributes(address) == ["name"], "{}", plan.text);
    terraform.apply_and_settle()?;

    // Closed elsewhere: the plan opens it again.
    stage.send("PATCH", &place, &json!({ "status": "CLOSED" }))?;
    let plan = terraform.plan()?;
    ensure!(plan.changed_attributes(address) == ["status"], "{}", plan.text);
    terraform.apply_and_settle()?;
    ensure!(status()? == "ACTIVE");

    let plan = terraform.plan_with(&["-destroy"])?;
    ensure!(plan.text.contains("Account will be closed"), "{}", plan.text);
    terraform.destroy()?;
    ensure!(status()? == "CLOSED");
    let found = terraform.diagnostics_of_failure(&["apply", "-auto-approve"])?;
    let text: String = found.iter().map(|it| it.text.clone()).collect();
    ensure!(text.contains("already exists") && text.contains("import"), "{text}");
    terraform.run(&["import", "-no-color", address, "111111111111"])?.ok()?;
    terraform.apply_and_settle()?;
    ensure!(status()? == "ACTIVE");
    terraform.destroy()?;
    Ok(())
}

#[test]
fn an_access_key_works_with_the_secret_that_was_chosen() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, server } = &stage;
    let config = |secret: &str, version: u32| {
        format!(
            "resource \"hythe_user\" \"u\" {{\nname = \"mirror\"\nkind = \"SERVICE_ACCOUNT\"\n}}
             resource \"hythe_access_key\" \"k\" {{
               user                         = hythe_user.u.name
               secret_access_key_wo         = \"{secret}\"
               secret_access_key_wo_version = {version}
               lifecycle {{ create_before_destroy = true }}
             }}
             data \"hythe_access_key\" \"k\" {{
               user          = hythe_access_key.k.user
               access_key_id = hythe_access_key.k.access_key_id
             }}
             output \"id\" {{ value = data.hythe_access_key.k.access_key_id }}"
        )
    };
    let log_in = |id: &str, secret: &str| {
        let basic = http::basic(id, secret);
        let address = server.credentials().control_address();
        let answer = http::request(
            address,
            "GET",
            "/api/v1/caller-identity",
            &[("Authorization", &basic)],
            &[],
        )?;
        Ok::<_, anyhow::Error>(answer.status)
    };
    let (first, second) = ("first0".repeat(7), "second".repeat(7));
    terraform.configure(&config(&first, 1))?;
    terraform.apply_and_settle()?;
    let old = terraform.output("id")?.as_str().context("no id")?.to_owned();
    ensure!(log_in(&old, &first)? == 200, "the chosen secret does not work");
    ensure!(log_in(&old, &second)? == 401);

    terraform.configure(&config(&second, 2))?;
    terraform.apply_and_settle()?;
    let new = terraform.output("id")?.as_str().context("no id")?.to_owned();
    ensure!(
        new != old && log_in(&new, &second)? == 200,
        "the new secret does not work"
    );
    ensure!(log_in(&old, &first)? == 401, "the old key works still");
    let recorded = terraform.state_text()?;
    ensure!(
        !recorded.contains(&first) && !recorded.contains(&second),
        "a secret is in the state"
    );
    ensure!(!server.log().contains(&second), "a secret is in the server's log");
    terraform.destroy()?;
    ensure!(log_in(&new, &second)? == 401);
    Ok(())
}

#[test]
fn a_team_with_roles_policies_users_and_groups_is_made_changed_and_destroyed() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, server } = &stage;
    let config = |members: &str, branch: &str, tags: &str| {
        format!(
            r#"
            locals {{ people = toset([{members}]) }}
            resource "hythe_group" "team" {{ name = "team-a" }}
            resource "hythe_user" "people" {{
              for_each = local.people
              name     = each.key
              tags     = {{ team = "a" }}
            }}
            resource "hythe_group_membership" "team" {{
              for_each = hythe_user.people
              group    = hythe_group.team.name
              user     = each.value.name
            }}
            data "hythe_policy_document" "push" {{
              statement {{
                actions   = ["ecr:GetAuthorizationToken"]
                resources = ["*"]
              }}
              statement {{
                sid       = "OwnRepositories"
                actions   = ["ecr:*"]
                resources = ["arn:aws:ecr:*:*:repository/team-&{{aws:PrincipalTag/team}}/*"]
              }}
            }}
            resource "hythe_policy" "push" {{
              name   = "push-own"
              policy = data.hythe_policy_document.push.json
            }}
            resource "hythe_group_policy_attachment" "push" {{
              group      = hythe_group.team.name
              policy_arn = hythe_policy.push.arn
            }}
            resource "hythe_identity_provider" "ci" {{
              url        = "https://ci.example.com"
              client_ids = ["hythe"]
            }}
            data "hythe_policy_document" "trust" {{
              statement {{
                actions = ["sts:AssumeRoleWithWebIdentity"]
                principals {{
                  type        = "Federated"
                  identifiers = [hythe_identity_provider.ci.arn]
                }}
                condition {{
                  test     = "StringEquals"
                  variable = "${{hythe_identity_provider.ci.name}}:sub"
                  values   = ["{branch}"]
                }}
              }}
            }}
            resource "hythe_role" "ci" {{
              name               = "ci"
              assume_role_policy = data.hythe_policy_document.trust.json
            }}
            resource "hythe_role_policy_attachment" "ci" {{
              role       = hythe_role.ci.name
              policy_arn = "arn:aws:iam::aws:policy/PowerUser"
            }}
            resource "hythe_repository" "apps" {{
              for_each = toset(["web", "api"])
              name     = "team-a/${{each.key}}"
            }}
            data "hythe_policy_document" "releases" {{
              statement {{
                sid     = "OnlyCiTagsReleases"
                effect  = "Deny"
                actions = ["ecr:PutImage"]
                not_principals {{
                  type        = "AWS"
                  identifiers = [hythe_role.ci.arn, "arn:aws:iam::000000000000:root"]
                }}
                condition {{
                  test     = "StringLike"
                  variable = "ecr:ImageTag"
                  values   = [{tags}]
                }}
              }}
            }}
            resource "hythe_repository_policy" "apps" {{
              for_each   = hythe_repository.apps
              repository = each.value.name
              policy     = data.hythe_policy_document.releases.json
            }}
            resource "hythe_registry_policy_statement" "guard" {{
              sid       = "KeepReleases"
              statement = jsonencode({{ Effect = "Deny", Principal = {{ AWS = hythe_role.ci.arn }}, Action = "ecr:BatchDeleteImage", Resource = "*" }})
            }}
            data "hythe_group" "team" {{
              name       = hythe_group.team.name
              depends_on = [hythe_group_membership.team]
            }}
            output "members" {{ value = data.hythe_group.team.members }}
            "#
        )
    };
    terraform.configure(&config("\"alice\", \"bob\"", "main", "\"v*\""))?;
    let plan = terraform.plan()?;
    // ARNs are known before anything exists, and with them the documents that name them.
    ensure!(plan.text.contains("arn:aws:iam::000000000000:role/ci"), "{}", plan.text);
    terraform.apply_and_settle()?;
    ensure!(
        terraform.output("members")? == json!(["alice", "bob"]),
        "{}",
        terraform.output("members")?
    );

    terraform.configure(&config("\"alice\", \"carol\"", "release", "\"r*\", \"v*\""))?;
    let changes = terraform.plan()?.changes();
    for change in [
        "hythe_group_membership.team[\"bob\"] delete",
        "hythe_group_membership.team[\"carol\"] create",
        "hythe_repository_policy.apps[\"web\"] update",
        "hythe_role.ci update",
        "hythe_user.people[\"bob\"] delete",
    ] {
        ensure!(changes.iter().any(|it| it == change), "{change} is not in {changes:?}");
    }
    terraform.apply_and_settle()?;
    ensure!(
        terraform.output("members")? == json!(["alice", "carol"]),
        "{}",
        terraform.output("members")?
    );
    terraform.destroy()?;
    for gone in [
        &["users", "alice"][..],
        &["groups", "team-a"],
        &["roles", "ci"],
        &["policies", "push-own"],
        &["identity-providers", "ci.example.com"],
        &["registry", "policy"],
        &["repositories", "team-a/web"],
    ] {
        ensure!(stage.status(&path(gone))? == 404, "{gone:?} is left on the server");
    }
    ensure!(server.repository_names("")?.is_empty());
    Ok(())
}
