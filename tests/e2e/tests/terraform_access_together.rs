// SPDX-License-Identifier: Apache-2.0
//! Acceptance tests of all resources of access alike: what is there already is taken over with a configuration that Terraform writes,
//! deletes that are refused, applies that fail half-way, and many objects at once.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use e2e::terraform::Terraform;
use e2e::terraform_life::{Stage, path};
use e2e::{Server, ServerOptions};
use serde_json::{Value, json};

const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnly";

fn document(statement: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

fn pull() -> String {
    document(&json!({ "Effect": "Allow", "Action": ["ecr:BatchGetImage"], "Resource": "*" }))
}

/// Something that was made without Terraform.
struct Found {
    kind: &'static str,
    /// What makes it.
    made_by: (&'static str, String, Value),
    /// What an import is given.
    id: String,
    /// An attribute and what it is then; the data source of the kind, if there is one, says the same.
    shows: (&'static str, Value),
    /// The arguments of the data source; none without one.
    data: &'static str,
}

impl Found {
    fn data_source(&self) -> String {
        let Self { kind, data, .. } = self;
        format!("data \"hythe_{kind}\" \"r\" {{\n{data}\n}}\n")
    }
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn found() -> Vec<Found> {
    let trust = document(
        &json!({ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::000000000000:user/ada" }, "Action": "sts:AssumeRole" }),
    );
    let of_repository = document(
        &json!({ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::000000000000:user/ada" }, "Action": "ecr:ListImages" }),
    );
    let statement = json!({ "Effect": "Deny", "Principal": { "AWS": "arn:aws:iam::000000000000:user/ada" },
                            "Action": "ecr:DeleteRepository", "Resource": "*" });
    let of_role = |policy: &str| format!("ci/{policy}");
    vec![
        Found {
            kind: "user",
            made_by: (
                "POST",
                path(&["users"]),
                json!({ "userName": "ada", "description": "Ada", "resourceTags": [{ "Key": "team", "Value": "a" }] }),
            ),
            id: "ada".into(),
            shows: ("tags", json!({ "team": "a" })),
            data: "name = \"ada\"",
        },
        Found {
            kind: "group",
            made_by: (
                "POST",
                path(&["groups"]),
                json!({ "groupName": "team", "description": "All" }),
            ),
            id: "team".into(),
            shows: ("description", json!("All")),
            data: "name = \"team\"",
        },
        Found {
            kind: "policy",
            made_by: (
                "POST",
                path(&["policies"]),
                json!({ "policyName": "pull", "description": "Pulls", "policyDocument": pull() }),
            ),
            id: "pull".into(),
            shows: ("arn", json!("arn:aws:iam::000000000000:policy/pull")),
            data: "name = \"pull\"",
        },
        Found {
            kind: "role",
            made_by: (
                "POST",
                path(&["roles"]),
                json!({ "roleName": "ci", "assumeRolePolicyDocument": trust, "maxSessionDuration": 7200,
                        "permissionsBoundary": "PowerUser" }),
            ),
            id: "ci".into(),
            shows: ("max_session_duration", json!(7200)),
            data: "name = \"ci\"",
        },
        Found {
            kind: "identity_provider",
            made_by: (
                "POST",
                path(&["identity-providers"]),
                json!({ "url": "https://issuer.example.com", "clientIdList": ["hythe"] }),
            ),
            id: "issuer.example.com".into(),
            shows: ("client_ids", json!(["hythe"])),
            data: "name = \"issuer.example.com\"",
        },
        Found {
            kind: "group_membership",
            made_by: ("PUT", path(&["groups", "team", "members", "ada"]), Value::Null),
            id: "team/ada".into(),
            shows: ("user", json!("ada")),
            data: "",
        },
        Found {
            kind: "user_policy_attachment",
            made_by: ("PUT", path(&["users", "ada", "policies", "pull"]), Value::Null),
            id: "ada/arn:aws:iam::000000000000:policy/pull".into(),
            shows: ("policy_arn", json!("arn:aws:iam::000000000000:policy/pull")),
            data: "",
        },
        Found {
            kind: "group_policy_attachment",
            made_by: ("PUT", path(&["groups", "team", "policies", "ReadOnly"]), Value::Null),
            id: format!("team/{READ_ONLY}"),
            shows: ("group", json!("team")),
            data: "",
        },
        Found {
            kind: "role_policy_attachment",
            made_by: ("PUT", path(&["roles", "ci", "policies", "ReadOnly"]), Value::Null),
            id: of_role(READ_ONLY),
            shows: ("role", json!("ci")),
            data: "",
        },
        Found {
            kind: "repository_policy",
            made_by: (
                "PUT",
                path(&["repositories", "web", "policy"]),
                json!({ "policyText": of_repository }),
            ),
            id: "web".into(),
            shows: ("registry_id", json!("000000000000")),
            data: "repository = \"web\"",
        },
        Found {
            kind: "registry_policy_statement",
            made_by: (
                "PUT",
                path(&["registry", "policy", "statements", "Keep"]),
                json!({ "statement": statement.to_string() }),
            ),
            id: "Keep".into(),
            shows: ("sid", json!("Keep")),
            data: "",
        },
        Found {
            kind: "account",
            made_by: (
                "POST",
                path(&["accounts"]),
                json!({ "accountId": "111111111111", "accountName": "other" }),
            ),
            id: "111111111111".into(),
            shows: ("name", json!("other")),
            data: "account_id = \"111111111111\"",
        },
    ]
}

#[test]
fn what_is_there_is_taken_over_with_a_configuration_that_terraform_writes() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, server } = &stage;
    server.create_repository("web")?;
    let all = found();
    let mut imports = String::new();
    for Found { kind, made_by, id, .. } in &all {
        let (method, at, body) = made_by;
        stage.send(method, at, body).with_context(|| (*kind).to_owned())?;
        write!(imports, "import {{\n  to = hythe_{kind}.r\n  id = \"{id}\"\n}}\n")?;
    }
    terraform.configure(&imports)?;
    let plan = terraform.plan_with(&["-generate-config-out=generated.tf"])?;
    ensure!(plan.changes().is_empty(), "{:?}\n{}", plan.changes(), plan.text);
    terraform.apply_and_settle()?;

    // The data sources say what the resources say.
    let with_data = all.iter().filter(|it| !it.data.is_empty());
    let data: Vec<String> = with_data.clone().map(Found::data_source).collect();
    terraform.configure(&data.concat())?;
    terraform.apply_and_settle()?;
    for Found { kind, shows, .. } in &all {
        let (name, want) = shows;
        let managed = terraform.attributes(&format!("hythe_{kind}.r"))?;
        ensure!(managed[*name] == *want, "{kind}: {managed:#}");
    }
    for Found { kind, shows, .. } in with_data {
        let read = terraform.attributes(&format!("data.hythe_{kind}.r"))?;
        ensure!(read[shows.0] == shows.1, "data {kind}: {read:#}");
    }

    // Whatever is not there is an error that says so.
    terraform.configure("")?;
    std::fs::remove_file(terraform.folder().join("generated.tf"))?;
    // What Terraform writes names everything by its text, so that it does not know what hangs on what: a group may be
    // refused while its member is still there.
    terraform.run(&["destroy", "-auto-approve", "-no-color"])?;
    terraform.destroy()?;
    // A closed account is still there.
    let gone = all.iter().filter(|it| !it.data.is_empty() && it.kind != "account");
    let absent: Vec<String> = gone.map(Found::data_source).collect();
    terraform.configure(&absent.concat())?;
    let told = terraform.diagnostics_of_failure(&["plan"])?;
    let errors = told.iter().filter(|it| it.severity == "error");
    let text: Vec<&str> = errors.map(|it| it.text.as_str()).collect();
    ensure!(
        text.len() == absent.len() && text.iter().all(|it| it.contains("There is no")),
        "{text:#?}"
    );
    Ok(())
}

/// A delete that something outside is in the way of.
struct Refused {
    kind: &'static str,
    lines: String,
    /// What somebody else does.
    obstacles: Vec<(&'static str, String, Value)>,
    /// What the error says to do.
    words: &'static [&'static str],
    /// What takes the obstacle away.
    cure: (&'static str, String),
}

#[test]
fn a_delete_that_is_refused_says_what_to_do_and_keeps_the_state() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, .. } = &stage;
    let user = |name: &str| ("POST", path(&["users"]), json!({ "userName": name }));
    let attached = |of: &str, name: &str| ("PUT", path(&[of, name, "policies", "mine"]), Value::Null);
    let policy = || format!("name = \"mine\"\npolicy = {:?}", pull());
    let cases = [
        Refused {
            kind: "group",
            lines: "name = \"team\"".into(),
            obstacles: vec![
                user("ada"),
                ("PUT", path(&["groups", "team", "members", "ada"]), Value::Null),
            ],
            words: &["has 1 members", "remove them from it first"],
            cure: ("DELETE", path(&["groups", "team", "members", "ada"])),
        },
        Refused {
            kind: "policy",
            lines: policy(),
            obstacles: vec![user("bob"), attached("users", "bob")],
            words: &["is attached to 1 users, groups and roles", "detach it first"],
            cure: ("DELETE", path(&["users", "bob", "policies", "mine"])),
        },
        Refused {
            kind: "policy",
            lines: policy(),
            obstacles: vec![
                ("POST", path(&["groups"]), json!({ "groupName": "others" })),
                attached("groups", "others"),
            ],
            words: &["detach it first"],
            cure: ("DELETE", path(&["groups", "others"])),
        },
        Refused {
            kind: "policy",
            lines: policy(),
            obstacles: vec![(
                "POST",
                path(&["users"]),
                json!({ "userName": "eve", "permissionsBoundary": "mine" }),
            )],
            words: &["detach it first"],
            cure: ("DELETE", path(&["users", "eve"])),
        },
    ];
    for Refused {
        kind,
        lines,
        obstacles,
        words,
        cure,
    } in cases
    {
        let address = format!("hythe_{kind}.r");
        terraform.configure(&format!("resource \"hythe_{kind}\" \"r\" {{\n{lines}\n}}\n"))?;
        terraform.apply_and_settle()?;
        for (method, at, body) in obstacles {
            stage.send(method, &at, &body)?;
        }
        let told = terraform.diagnostics_of_failure(&["destroy", "-auto-approve"])?;
        let text: String = told
            .iter()
            .map(|it| it.text.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        ensure!(words.iter().all(|word| text.contains(word)), "{kind}: {text}");
        ensure!(terraform.addresses()? == [address.as_str()], "the state forgot it");
        stage.send(cure.0, &cure.1, &Value::Null)?;
        terraform.destroy()?;
    }

    // A user and a role go with all that hangs on them, whoever has put it there.
    let trust =
        document(&json!({ "Effect": "Allow", "Principal": { "AWS": "000000000000" }, "Action": "sts:AssumeRole" }));
    terraform.configure(&format!(
        "resource \"hythe_user\" \"r\" {{ name = \"carol\" }}
         resource \"hythe_role\" \"r\" {{\nname = \"ci\"\nassume_role_policy = {trust:?}\n}}"
    ))?;
    terraform.apply_and_settle()?;
    stage.send("POST", &path(&["users", "carol", "access-keys"]), &Value::Null)?;
    stage.send("POST", &path(&["groups"]), &json!({ "groupName": "team" }))?;
    stage.send("PUT", &path(&["groups", "team", "members", "carol"]), &Value::Null)?;
    for (of, name) in [("users", "carol"), ("roles", "ci")] {
        stage.send("PUT", &path(&[of, name, "policies", "ReadOnly"]), &Value::Null)?;
    }
    terraform.destroy()?;
    ensure!(stage.status(&path(&["users", "carol"]))? == 404 && stage.status(&path(&["roles", "ci"]))? == 404);
    Ok(())
}

#[test]
fn an_apply_that_fails_half_way_keeps_what_was_made_and_goes_on_from_there() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, .. } = &stage;
    let config = |policy: &str, trusted: &str| {
        let trust = document(
            &json!({ "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::000000000000:user/{trusted}") },
                     "Action": "sts:AssumeRole" }),
        );
        format!(
            "resource \"hythe_user\" \"u\" {{ name = \"ada\" }}
             resource \"hythe_user_policy_attachment\" \"a\" {{
               user = hythe_user.u.name
               policy_arn = \"arn:aws:iam::{policy}\"
             }}
             resource \"hythe_role\" \"r\" {{
               depends_on = [hythe_user.u]
               name = \"ci\"
               assume_role_policy = {trust:?}
             }}
             resource \"hythe_role_policy_attachment\" \"a\" {{
               role = hythe_role.r.name
               policy_arn = \"{READ_ONLY}\"
             }}"
        )
    };
    terraform.configure(&config("000000000000:policy/absent", "nobody"))?;
    let told = terraform.diagnostics_of_failure(&["apply", "-auto-approve"])?;
    let text: String = told.iter().map(|it| it.text.clone()).collect();
    ensure!(
        text.contains("absent") && text.contains("Principal not found") && text.contains("user/nobody"),
        "{text}"
    );
    ensure!(
        terraform.addresses()? == ["hythe_user.u"],
        "{:?}",
        terraform.addresses()?
    );
    // What was made is not made again, and not replaced.
    terraform.configure(&config("aws:policy/ReadOnly", "ada"))?;
    let mut changes = terraform.plan()?.changes();
    changes.sort();
    ensure!(
        changes
            == [
                "hythe_role.r create",
                "hythe_role_policy_attachment.a create",
                "hythe_user_policy_attachment.a create",
            ],
        "{changes:?}"
    );
    terraform.apply_and_settle()?;
    terraform.destroy()?;
    Ok(())
}

/// More than a page of each, with the request rates of principals limited.
#[test]
fn hundreds_of_users_and_policies_are_made_in_one_apply() -> Result<()> {
    const COUNT: usize = 200;
    let server = Server::start_with(ServerOptions {
        arguments: vec!["--limit-request-rates".into()],
        ..ServerOptions::default()
    })?;
    let Some(terraform) = Terraform::new(server.credentials())? else {
        return Ok(());
    };
    let stage = Stage { terraform, server };
    let Stage { terraform, server } = &stage;
    terraform.configure(&format!(
        "resource \"hythe_user\" \"u\" {{
           count = {COUNT}
           name = \"user-${{count.index}}\"
         }}
         resource \"hythe_policy\" \"p\" {{
           count = {COUNT}
           name = \"policy-${{count.index}}\"
           policy = {:?}
         }}
         resource \"hythe_user_policy_attachment\" \"a\" {{
           count = {COUNT}
           user = hythe_user.u[count.index].name
           policy_arn = hythe_policy.p[count.index].arn
         }}",
        pull()
    ))?;
    terraform.apply_and_settle()?;
    let count = |list: &str, member: &str, more: &str| -> Result<usize> {
        let (mut total, mut token) = (0, String::new());
        loop {
            let at = format!("{}?maxResults=70{more}{token}", path(&[list]));
            let page = server.api("GET", &at, None)?.expect(200)?.json()?;
            total += page[member].as_array().map_or(0, Vec::len);
            match page["nextToken"].as_str() {
                Some(next) => token = format!("&nextToken={next}"),
                None => return Ok(total),
            }
        }
    };
    ensure!(count("users", "users", "")? == COUNT);
    ensure!(count("policies", "policies", "&scope=Local")? == COUNT);
    terraform.destroy()?;
    ensure!(count("users", "users", "")? + count("policies", "policies", "&scope=Local")? == 0);
    Ok(())
}
