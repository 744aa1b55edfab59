// SPDX-License-Identifier: Apache-2.0
//! Acceptance tests of lifecycle policies and images in Terraform, with the real one.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::process::wait_until;
use e2e::proxy::SlowProxy;
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, digest};
use e2e::terraform_life::{Life, Stage, interrupt_apply, path};
use e2e::{RegistryClient, Server, ServerOptions, Terraform};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(90);
const REPOSITORIES: &str = "resource \"hythe_repository\" \"web\" { name = \"web\" }
resource \"hythe_repository\" \"api\" { name = \"api\" }";
/// Keeps one image.
const KEEP_ONE: &str = r#"policy = jsonencode({ rules = [{ rulePriority = 1, selection = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 1 }, action = { type = "expire" } }] })"#;
const KEEP_ONE_JSON: &str = r#"{"rules":[{"action":{"type":"expire"},"rulePriority":1,"selection":{"countNumber":1,"countType":"imageCountMoreThan","tagStatus":"any"}}]}"#;

const POLICY: &str = r#"policy = jsonencode({ rules = [
    { rulePriority = 1, description = "builds", selection = { tagStatus = "tagged", tagPatternList = ["dev-*", "*-rc"], countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }, action = { type = "expire" } },
    { rulePriority = 9, selection = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 1 }, action = { type = "expire" } },
  ] })"#;
const RULES: &str = r#"rules = [
    { priority = 1, description = "builds", selection = { tag_status = "tagged", tag_patterns = ["dev-*", "*-rc"], count_type = "sinceImagePushed", count_number = 14 } },
    { priority = 9, selection = { tag_status = "untagged", count_type = "sinceImagePushed", count_number = 1 } },
  ]"#;
const REORDERED: &str = r#"rules = [
    { priority = 9, action = "expire", selection = { tag_status = "untagged", count_type = "sinceImagePushed", count_unit = "days", count_number = 1 } },
    { priority = 1, description = "builds", selection = { tag_status = "tagged", storage_class = "standard", tag_patterns = ["*-rc", "dev-*"], count_type = "sinceImagePushed", count_number = 14 } },
  ]"#;
/// What a change of the document changes.
const SHOWN: &[&str] = &["canonical_json", "policy", "rules"];

/// A policy in each of its forms, through the same life.
fn life(form: &str, others: &[&str], number: (&str, &str)) -> Result<()> {
    let policy_path = path(&["repositories", "web", "lifecycle-policy"]);
    let head = "repository = hythe_repository.web.name\n";
    let same: Vec<(&str, &str)> = others.iter().map(|other| (form, *other)).collect();
    Life {
        kind: "lifecycle_policy",
        around: REPOSITORIES,
        basic: &format!("{head}{KEEP_ONE}"),
        full: &format!("{head}{form}"),
        shown: &[("registry_id", json!("000000000000")), ("repository", json!("web"))],
        changes: &[
            ("an age", number.0, number.1, "update", SHOWN),
            ("a description", "\"builds\"", "\"of branches\"", "update", SHOWN),
            ("a pattern", "\"*-rc\"", "\"*-beta\"", "update", SHOWN),
            (
                "the repository",
                "hythe_repository.web",
                "hythe_repository.api",
                "delete,create",
                &["repository"],
            ),
        ],
        same: &same,
        drift: &[(
            "the policy",
            "PUT",
            json!({ "lifecyclePolicyText": KEEP_ONE_JSON }),
            SHOWN,
        )],
        path: &policy_path,
        id: "web",
        ..Life::default()
    }
    .run()
}

#[test]
fn a_lifecycle_policy_as_json_lives() -> Result<()> {
    let other = POLICY.replace("rulePriority = 1,", "rulePriority = 1 ,");
    let heredoc = r#"policy = <<-JSON
      {"rules": [
        {"rulePriority": 9, "action": {"type": "expire"},
         "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1}},
        {"rulePriority": 1, "description": "builds", "action": {"type": "expire"},
         "selection": {"tagPatternList": ["*-rc", "dev-*"], "tagStatus": "tagged", "storageClass": "standard",
                       "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}}
      ]}
    JSON"#;
    life(
        POLICY,
        &[&other, heredoc, RULES, REORDERED],
        ("countNumber = 14", "countNumber = 15"),
    )
}

#[test]
fn a_lifecycle_policy_of_rules_lives() -> Result<()> {
    life(RULES, &[REORDERED, POLICY], ("count_number = 14", "count_number = 15"))
}

#[test]
fn a_policy_of_what_is_known_after_apply_only_is_applied_once() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, .. } = &stage;
    let number = |number: u32| {
        terraform.configure(&format!(
            "{REPOSITORIES}
             resource \"terraform_data\" \"later\" {{ input = {{ number = {number}, name = \"web\" }} }}
             resource \"hythe_lifecycle_policy\" \"r\" {{
               repository = hythe_repository.web.name
               rules = [{{
                 priority  = 1
                 selection = {{
                   tag_status   = \"any\"
                   count_type   = \"imageCountMoreThan\"
                   count_number = terraform_data.later.output.number
                 }}
               }}]
             }}
             resource \"hythe_lifecycle_policy\" \"s\" {{
               repository = hythe_repository.api.name
               policy     = jsonencode({{ rules = [{{
                 rulePriority = 1
                 selection    = {{ tagStatus = \"any\", countType = \"imageCountMoreThan\", countNumber = terraform_data.later.output.number }}
                 action       = {{ type = \"expire\" }}
               }}] }})
             }}"
        ))
    };
    for count in [1, 5] {
        number(count)?;
        terraform.apply_and_settle()?;
        for address in ["hythe_lifecycle_policy.r", "hythe_lifecycle_policy.s"] {
            let found = terraform.attributes(address)?;
            ensure!(found["rules"][0]["selection"]["count_number"] == count, "{found:#}");
        }
    }
    terraform.destroy()?;
    Ok(())
}

/// Pushes images with these tags; answers their digests.
fn push(server: &Server, tags: &[String]) -> Result<Vec<String>> {
    let client = RegistryClient::new(server);
    tags.iter()
        .map(|tag| client.push_image("web", tag, tag.as_bytes()))
        .collect()
}

/// What the server's own preview of a policy says.
fn preview(server: &Server, text: &str) -> Result<Value> {
    let at = path(&["repositories", "web", "lifecycle-policy", "preview"]);
    let body = json!({ "lifecyclePolicyText": text });
    server.api("POST", &at, Some(&body))?.expect(202)?;
    let mut last = Value::Null;
    wait_until("the preview is complete", LIMIT, || {
        last = match server.api("GET", &at, None).and_then(|answer| answer.json()) {
            Ok(found) => found,
            Err(_) => Value::Null,
        };
        last["status"] == "COMPLETE"
    })?;
    Ok(last)
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_plan_says_which_images_a_policy_would_expire() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, server } = &stage;
    let config = |policy: &str| {
        terraform.configure(&format!(
            "{REPOSITORIES}\nresource \"hythe_lifecycle_policy\" \"r\" {{\n  repository = hythe_repository.web.name\n  {policy}\n}}\n"
        ))
    };
    // A repository of the same run has no images yet.
    config(KEEP_ONE)?;
    let plan = terraform.plan()?;
    ensure!(!plan.text.contains("policy would"), "{}", plan.text);
    terraform.configure(REPOSITORIES)?;
    terraform.apply_and_settle()?;

    let tags: Vec<String> = (0..13).map(|number| format!("v{number}")).collect();
    push(server, &tags)?;
    let expected = preview(server, KEEP_ONE_JSON)?;
    let summary = &expected["summary"];
    ensure!(summary["expiringImageTotalCount"] == 12, "{expected:#}");

    config(KEEP_ONE)?;
    let plan = terraform.plan()?;
    let text = folded(&plan.text);
    ensure!(
        text.contains("Warning: The lifecycle policy would expire 12 images (") && text.contains("Of the 13 images"),
        "{}",
        plan.text
    );
    let taken = expected["previewResults"].as_array().context("no images")?;
    let mut from = 0;
    for image in &taken[..10] {
        let wanted = image["imageDigest"].as_str().context("no digest")?;
        let at = text[from..].find(wanted);
        from += at.with_context(|| format!("{wanted} is not named in its place:\n{}", plan.text))?;
    }
    for image in &taken[10..] {
        let other = image["imageDigest"].as_str().context("no digest")?;
        ensure!(!text.contains(other), "{other} is named:\n{}", plan.text);
    }
    ensure!(text.contains("and 2 more"), "{}", plan.text);
    let bytes = summary["expiringImageTotalBytes"].as_u64().context("no bytes")?;
    let size = format!("({}.{} KiB)", bytes / 1024, bytes % 1024 * 10 / 1024);
    ensure!(
        text.contains(&format!("12 images {size}")) && !text.contains("present policy"),
        "{size}: {}",
        plan.text
    );
    // It is in the plan and nowhere else.
    terraform.apply()?;
    let plan = terraform.plan()?;
    plan.expect_empty()?;
    ensure!(!plan.text.contains("would expire"), "{}", plan.text);

    // A policy that takes less than the one that is there.
    config(&KEEP_ONE.replace("countNumber = 1 ", "countNumber = 11 "))?;
    let text = folded(&terraform.plan()?.text);
    ensure!(
        text.contains("would expire 2 images") && text.contains("The present policy would take 2 of them too"),
        "{text}"
    );
    config(&KEEP_ONE.replace("countNumber = 1 ", "countNumber = 99 "))?;
    let text = terraform.plan()?.text;
    ensure!(!text.contains("policy would"), "{text}");

    // The rules say the same.
    config(
        r#"rules = [{ priority = 1, selection = { tag_status = "any", count_type = "imageCountMoreThan", count_number = 3 } }]"#,
    )?;
    let text = folded(&terraform.plan()?.text);
    ensure!(
        text.contains("would expire 10 images") && !text.contains("more"),
        "{text}"
    );

    // Whoever may change the policy, but not preview it, is told that the plan cannot say.
    let denied = json!({ "policyText": json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Deny", "Principal": "*", "Action": "ecr:StartLifecyclePolicyPreview" }],
    }).to_string() });
    stage.send("PUT", &path(&["repositories", "web", "policy"]), &denied)?;
    let text = folded(&terraform.plan()?.text);
    ensure!(
        text.contains("It is not known which images the lifecycle policy would take"),
        "{text}"
    );
    stage.send("DELETE", &path(&["repositories", "web", "policy"]), &Value::Null)?;

    // A destroy of the repository says what it takes along.
    let plan = terraform.plan_with(&["-destroy"])?;
    ensure!(folded(&plan.text).contains("13 images"), "{}", plan.text);
    Ok(())
}

#[test]
fn what_the_server_would_refuse_is_refused_in_the_plan() -> Result<()> {
    let server = Server::start_with(ServerOptions {
        environment: vec![("HYTHE_STRICT_LIFECYCLE_POLICIES".into(), "true".into())],
        ..ServerOptions::default()
    })?;
    let Some(terraform) = Terraform::new(server.credentials())? else {
        return Ok(());
    };
    terraform.configure(REPOSITORIES)?;
    terraform.apply_and_settle()?;
    let rule = r#"{ priority = 1, action = "retain", selection = { tag_status = "tagged", tag_patterns = ["v*"] } }"#;
    terraform.configure(&format!(
        "{REPOSITORIES}\nresource \"hythe_lifecycle_policy\" \"r\" {{\n  repository = \"web\"\n  rules = [{rule}]\n}}\n"
    ))?;
    let mut found = terraform.validate()?;
    found.retain(|it| it.severity == "error");
    ensure!(found.is_empty(), "{found:?}");
    let found = terraform.diagnostics_of_failure(&["plan"])?;
    ensure!(
        found
            .iter()
            .any(|it| it.text.contains("Cannot use the lifecycle policy") && it.code.contains("rules")),
        "{found:?}"
    );
    Ok(())
}

#[test]
fn mistakes_in_lifecycle_policies_are_found_offline() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let any = |priority: u32, more: &str| {
        format!(
            "{{ priority = {priority}, selection = {{ tag_status = \"any\", count_type = \"imageCountMoreThan\", {more} }} }}"
        )
    };
    let one = any(1, "count_number = 1");
    // The arguments, what is said, and the line that is shown.
    let cases = [
        (String::new(), "missing", "hythe_lifecycle_policy"),
        ("rules = []".to_owned(), "too short", "rules = []"),
        (format!("rules = [\n{one},\n{one}\n]"), "priorit", "priority = 1"),
        (
            format!("rules = [\n{one},\n{}\n]", any(2, "count_number = 0")),
            "minimum",
            "count_number = 0",
        ),
        (
            "rules = [{ priority = 1, selection = { tag_status = \"tagged\", count_type = \"imageCountMoreThan\", count_number = 1 } }]".to_owned(),
            "tag",
            "tag_status",
        ),
        ("policy = \"{\"".to_owned(), "JSON", "policy"),
        (
            r"policy = jsonencode({ rules = [{ rulePriority = 0 }] })".to_owned(),
            "/rules/0",
            "policy",
        ),
        (
            format!("{KEEP_ONE}\nrules = [{}]", any(1, "count_number = 2")),
            "does not say the same",
            "rules",
        ),
    ];
    for (arguments, words, place) in cases {
        stage.terraform.configure(&format!(
            "resource \"hythe_lifecycle_policy\" \"r\" {{\n  repository = \"web\"\n  {arguments}\n}}\n"
        ))?;
        let found = stage.terraform.validate()?;
        ensure!(
            found
                .iter()
                .any(|it| it.text.contains(words) && it.code.contains(place)),
            "{arguments}: {found:?}"
        );
    }
    // What says the same may stand beside it.
    stage.terraform.configure(&format!(
        "resource \"hythe_lifecycle_policy\" \"r\" {{\n  repository = \"web\"\n  {KEEP_ONE}\n  rules = [{one}]\n}}\n"
    ))?;
    let mut found = stage.terraform.validate()?;
    found.retain(|it| it.severity == "error");
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

#[test]
fn a_lifecycle_policy_is_imported_with_its_configuration_and_goes_with_its_repository() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, server } = &stage;
    server.create_repository("web")?;
    let at = path(&["repositories", "web", "lifecycle-policy"]);
    stage.send("PUT", &at, &json!({ "lifecyclePolicyText": KEEP_ONE_JSON }))?;
    terraform.configure("import {\n  to = hythe_lifecycle_policy.r\n  id = \"web\"\n}\n")?;
    let plan = terraform.plan_with(&["-generate-config-out=generated.tf"])?;
    ensure!(plan.changes().is_empty(), "{}", plan.text);
    terraform.apply_and_settle()?;
    let found = terraform.attributes("hythe_lifecycle_policy.r")?;
    ensure!(
        found["canonical_json"] == KEEP_ONE_JSON && found["rules"][0]["selection"]["count_number"] == 1,
        "{found:#}"
    );
    let refused = terraform.run(&["import", "-no-color", "hythe_lifecycle_policy.r", "api"])?;
    ensure!(!refused.status.success(), "{}", refused.both());

    // The repository is deleted by somebody else.
    std::fs::remove_file(terraform.folder().join("generated.tf"))?;
    let both = format!(
        "resource \"hythe_repository\" \"w\" {{ name = \"web\" }}\n
         resource \"hythe_lifecycle_policy\" \"r\" {{\n  repository = hythe_repository.w.name\n  {KEEP_ONE}\n}}\n"
    );
    terraform.configure(&both)?;
    terraform
        .run(&["import", "-no-color", "hythe_repository.w", "web"])?
        .ok()?;
    terraform.apply_and_settle()?;
    stage.send("DELETE", &path(&["repositories", "web"]), &Value::Null)?;
    let plan = terraform.plan()?;
    let mut changes = plan.changes();
    changes.sort();
    ensure!(
        changes == ["hythe_lifecycle_policy.r create", "hythe_repository.w create"],
        "{changes:?}"
    );
    terraform.apply_and_settle()?;
    terraform.destroy()?;
    ensure!(server.repository("web")?.is_none());
    Ok(())
}

#[test]
fn a_document_is_written_offline_and_asked_what_it_matches() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, .. } = &stage;
    terraform.configure(&format!(
        "{REPOSITORIES}
         data \"hythe_lifecycle_policy_document\" \"d\" {{\n  {RULES}\n}}
         resource \"hythe_lifecycle_policy\" \"r\" {{
           repository = hythe_repository.web.name
           policy     = data.hythe_lifecycle_policy_document.d.json
         }}
         locals {{ p = data.hythe_lifecycle_policy_document.d.json }}
         output \"same\" {{ value = hythe_lifecycle_policy.r.canonical_json == local.p }}
         output \"matches\" {{
           value = [
             provider::hythe::lifecycle_policy_matches(local.p, [\"dev-1\"]),
             provider::hythe::lifecycle_policy_matches(local.p, [\"dev-1-rc\"]),
             provider::hythe::lifecycle_policy_matches(local.p, []),
             provider::hythe::lifecycle_policy_matches(local.p, [], 1),
           ]
         }}"
    ))?;
    terraform.apply_and_settle()?;
    ensure!(terraform.output("same")? == true);
    let matches = terraform.output("matches")?;
    ensure!(matches == json!([false, true, true, false]), "{matches}");
    terraform.destroy()?;
    Ok(())
}

#[test]
fn images_are_found() -> Result<()> {
    // Each push is some seconds after the one before.
    let folder = tempfile::tempdir()?;
    let clock = folder.path().join("clock");
    let server = Server::start_with(ServerOptions {
        environment: vec![("HYTHE_TEST_CLOCK_OFFSET_FILE".into(), clock.display().to_string())],
        ..ServerOptions::default()
    })?;
    let Some(terraform) = Terraform::new(server.credentials())? else {
        return Ok(());
    };
    let later = |seconds: i64| -> Result<()> {
        let new = folder.path().join("new");
        std::fs::write(&new, seconds.to_string())?;
        Ok(std::fs::rename(new, &clock)?)
    };
    server.create_repository("web")?;
    server.create_repository("empty")?;
    let client = RegistryClient::new(&server);
    let mut pushed = Vec::new();
    for (seconds, tag) in [(10, "v1"), (20, "v2"), (30, "dev-1")] {
        later(seconds)?;
        pushed.push(client.push_image("web", tag, tag.as_bytes())?);
    }
    let size = client.manifest("web", "v2")?.expect(200)?.body.len();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{
            "mediaType": OCI_MANIFEST, "digest": pushed[1], "size": size,
            "platform": { "os": "linux", "architecture": "arm64", "variant": "v8" },
        }],
    })
    .to_string();
    later(40)?;
    client
        .put_manifest("web", "all", OCI_INDEX, index.as_bytes())?
        .expect(201)?;
    let index = digest(index.as_bytes());

    terraform.configure(&format!(
        "data \"hythe_image\" \"tag\" {{\n  repository = \"web\"\n  tag = \"v1\"\n}}
         data \"hythe_image\" \"digest\" {{\n  repository = \"web\"\n  digest = \"{}\"\n}}
         data \"hythe_image\" \"newest\" {{\n  repository = \"web\"\n  most_recent = true\n}}
         data \"hythe_image\" \"absent\" {{\n  repository = \"web\"\n  tag = \"v9\"\n  allow_missing = true\n}}
         data \"hythe_image\" \"none\" {{\n  repository = \"empty\"\n  most_recent = true\n  allow_missing = true\n}}
         data \"hythe_images\" \"all\" {{ repository = \"web\" }}
         data \"hythe_images\" \"two\" {{\n  repository = \"web\"\n  limit = 2\n}}
         data \"hythe_images\" \"oldest\" {{\n  repository = \"web\"\n  tag_pattern = \"v*\"\n  newest_first = false\n}}
         data \"hythe_images\" \"untagged\" {{\n  repository = \"web\"\n  tag_status = \"UNTAGGED\"\n}}
         data \"hythe_images\" \"nowhere\" {{\n  repository = \"nowhere\"\n  allow_missing = true\n}}
         output \"tag\" {{ value = data.hythe_image.tag }}
         output \"digest\" {{ value = data.hythe_image.digest.tags }}
         output \"newest\" {{ value = data.hythe_image.newest }}
         output \"found\" {{ value = [data.hythe_image.tag.found, data.hythe_image.absent.found, data.hythe_image.none.found] }}
         output \"null\" {{ value = data.hythe_image.absent.uri == null }}
         output \"lists\" {{ value = [
           data.hythe_images.all.digests, data.hythe_images.two.digests, data.hythe_images.oldest.digests,
           data.hythe_images.untagged.digests, data.hythe_images.nowhere.digests,
         ] }}
         output \"first\" {{ value = data.hythe_images.all.images[0].tags }}
         ",
        pushed[1]
    ))?;
    terraform.apply_and_settle()?;
    let tag = terraform.output("tag")?;
    ensure!(
        tag["digest"] == pushed[0]
            && tag["tags"] == json!(["v1"])
            && tag["uri"] == format!("{}/web@{}", server.registry(), pushed[0])
            && tag["media_type"] == OCI_MANIFEST
            && tag["platforms"] == json!([]),
        "{tag:#}"
    );
    ensure!(terraform.output("digest")? == json!(["v2"]));
    let newest = terraform.output("newest")?;
    ensure!(
        newest["digest"] == index
            && newest["platforms"]
                == json!([{ "os": "linux", "architecture": "arm64", "variant": "v8", "digest": pushed[1] }]),
        "{newest:#}"
    );
    ensure!(terraform.output("found")? == json!([true, false, false]));
    ensure!(terraform.output("null")? == true);
    ensure!(terraform.output("first")? == json!(["all"]));
    let lists = terraform.output("lists")?;
    let expected = json!([
        [index, pushed[2], pushed[1], pushed[0]],
        [index, pushed[2]],
        [pushed[0], pushed[1]],
        [],
        [],
    ]);
    ensure!(lists == expected, "{lists:#}\ninstead of\n{expected:#}");

    // An image that cannot be pulled says so, and is not the one to deploy.
    let path = format!("/api/v1/repositories/web/images/{index}/storage-class");
    let body = json!({ "targetStorageClass": "ARCHIVE" });
    server.api("PUT", &path, Some(&body))?.expect(200)?;
    let path = format!("/api/v1/repositories/web/images/{}", pushed[2]);
    client.manifest("web", "dev-1")?.expect(200)?;
    let is_recorded = || -> Result<bool> {
        let image = server.api("GET", &path, None)?.expect(200)?.json()?;
        Ok(!image["lastRecordedPullTime"].is_null())
    };
    wait_until("the pull is recorded", LIMIT, || is_recorded().unwrap_or(false))?;
    terraform.configure(
        "data \"hythe_image\" \"all\" {\n  repository = \"web\"\n  tag = \"all\"\n}
         data \"hythe_image\" \"newest\" {\n  repository = \"web\"\n  most_recent = true\n}
         output \"all\" { value = [data.hythe_image.all.status, data.hythe_image.all.storage_class, data.hythe_image.all.last_pull_at] }
         output \"newest\" { value = [data.hythe_image.newest.digest, data.hythe_image.newest.status] }
         output \"pulled\" { value = data.hythe_image.newest.last_pull_at != null }",
    )?;
    terraform.apply_and_settle()?;
    ensure!(terraform.output("all")? == json!(["ARCHIVED", "ARCHIVE", null]));
    ensure!(terraform.output("newest")? == json!([pushed[2], "ACTIVE"]));
    ensure!(terraform.output("pulled")? == true);

    Ok(())
}

#[test]
fn an_image_is_found_by_its_version() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, server } = &stage;
    server.create_repository("web")?;
    let tags = ["v1.2.3", "1.10.0", "v1.11.0-rc.1", "2.0.0", "1.99", "latest"];
    let pushed = push(server, &tags.map(str::to_owned))?;
    let image = |name: &str, constraint: &str| {
        format!(
            "data \"hythe_image\" \"{name}\" {{\n  repository = \"web\"\n  semver = \"{constraint}\"\n  allow_missing = true\n}}
             output \"{name}\" {{ value = [data.hythe_image.{name}.tag, data.hythe_image.{name}.digest] }}\n"
        )
    };
    let all = [
        image("near", "~> 1.2"),
        image("patch", "~> 1.2.0"),
        image("exact", "1.11.0-rc.1"),
        image("any", ">= 0.1"),
        image("none", "> 2.0"),
    ];
    terraform.configure(&all.concat())?;
    terraform.apply_and_settle()?;
    for (name, expected) in [
        ("near", json!(["1.10.0", pushed[1]])),
        ("patch", json!(["v1.2.3", pushed[0]])),
        ("exact", json!(["v1.11.0-rc.1", pushed[2]])),
        ("any", json!(["2.0.0", pushed[3]])),
        ("none", json!([null, null])),
    ] {
        let found = terraform.output(name)?;
        ensure!(found == expected, "{name}: {found}");
    }
    Ok(())
}

#[test]
fn it_is_said_which_image_is_not_there() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let Stage { terraform, server } = &stage;
    server.create_repository("web")?;
    server.create_repository("empty")?;
    push(server, &["v1".to_owned()])?;
    // The arguments and what is said about them.
    let cases = [
        (
            "data \"hythe_image\" \"x\" {\n  repository = \"web\"\n  tag = \"v9\"\n}",
            "web:v9",
        ),
        (
            "data \"hythe_image\" \"x\" {\n  repository = \"nowhere\"\n  tag = \"v9\"\n}",
            "no repository `nowhere`",
        ),
        (
            "data \"hythe_image\" \"x\" {\n  repository = \"empty\"\n  most_recent = true\n}",
            "has no images",
        ),
        (
            "data \"hythe_image\" \"x\" {\n  repository = \"web\"\n}",
            "Set `tag`, `digest`, `semver`",
        ),
        (
            "data \"hythe_image\" \"x\" {\n  repository = \"web\"\n  tag = \"v1\"\n  most_recent = true\n}",
            "not several",
        ),
        (
            "data \"hythe_image\" \"x\" {\n  repository = \"web\"\n  semver = \"> 9\"\n}",
            "no such version",
        ),
        (
            "data \"hythe_image\" \"x\" {\n  repository = \"web\"\n  semver = \"^1\"\n}",
            "no constraint",
        ),
        (
            "data \"hythe_images\" \"x\" {\n  repository = \"nowhere\"\n}",
            "no repository `nowhere`",
        ),
        (
            "data \"hythe_images\" \"x\" {\n  repository = \"web\"\n  limit = 0\n}",
            "1 to 1000",
        ),
    ];
    for (config, words) in cases {
        terraform.configure(config)?;
        let found = terraform.diagnostics_of_failure(&["plan"])?;
        ensure!(found.iter().any(|it| it.text.contains(words)), "{config}: {found:?}");
    }
    Ok(())
}

/// A statement that lets everybody pull, for policies of a kind whose texts the server keeps.
fn policy_text(actions: &[&str], resource: Option<&str>) -> String {
    let mut statement =
        json!({ "Sid": "s", "Effect": "Allow", "Principal": { "AWS": "000000000000" }, "Action": actions });
    if let Some(resource) = resource {
        statement["Resource"] = resource.into();
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// The kinds of policies that the AWS provider has too: type, arguments, path, and the members of a request.
fn policies() -> [(&'static str, String, String, Value); 3] {
    let repository = "repository = \"web\"\n";
    let pull = policy_text(&["ecr:BatchGetImage"], None);
    let replicate = policy_text(&["ecr:ReplicateImage"], Some("*"));
    [
        (
            "lifecycle_policy",
            format!("{repository}policy = {KEEP_ONE_JSON:?}"),
            path(&["repositories", "web", "lifecycle-policy"]),
            json!({ "lifecyclePolicyText": KEEP_ONE_JSON }),
        ),
        (
            "repository_policy",
            format!("{repository}policy = {pull:?}"),
            path(&["repositories", "web", "policy"]),
            json!({ "policyText": pull }),
        ),
        (
            "registry_policy",
            format!("policy = {replicate:?}"),
            path(&["registry", "policy"]),
            json!({ "policyText": replicate }),
        ),
    ]
}

fn version(stage: &Stage, path: &str) -> Result<String> {
    let answer = stage.server.api("GET", path, None)?.expect(200)?;
    Ok(answer.header("etag").context("no ETag")?.to_owned())
}

#[test]
fn policies_move_to_other_names() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let terraform = &stage.terraform;
    stage.server.create_repository("web")?;
    let all = policies();
    let resources = |name: &str| -> String {
        let one = |(kind, arguments, ..): &(&str, String, String, Value)| {
            format!("resource \"hythe_{kind}\" \"{name}\" {{\n{arguments}\n}}\n")
        };
        all.iter().map(one).collect()
    };
    terraform.configure(&resources("before"))?;
    terraform.apply_and_settle()?;
    let versions = |stage: &Stage| {
        all.iter()
            .map(|(_, _, path, _)| version(stage, path))
            .collect::<Result<Vec<_>>>()
    };
    let before = versions(&stage)?;
    let block = |(kind, ..): &(&str, String, String, Value)| {
        format!("moved {{\n  from = hythe_{kind}.before\n  to = hythe_{kind}.after\n}}")
    };
    let moved = all.iter().map(block).collect::<Vec<_>>().join("\n");
    terraform.configure(&(resources("after") + &moved))?;
    let plan = terraform.plan()?;
    ensure!(plan.changes().is_empty(), "{}", plan.text);
    terraform.apply_and_settle()?;
    let mut addresses = terraform.addresses()?;
    addresses.sort();
    ensure!(
        addresses
            == [
                "hythe_lifecycle_policy.after",
                "hythe_registry_policy.after",
                "hythe_repository_policy.after"
            ],
        "{addresses:?}"
    );
    ensure!(versions(&stage)? == before, "a move touches nothing on the server");
    terraform.destroy()?;
    Ok(())
}

#[test]
fn policies_of_amazon_ecr_are_taken_over_by_moved_blocks() -> Result<()> {
    let Some(mut stage) = Stage::set()? else { return Ok(()) };
    stage.server.create_repository("web")?;
    let all = policies();
    let mut instances = Vec::new();
    let mut configuration = Vec::new();
    for (kind, arguments, path, body) in &all {
        stage.send("PUT", path, body)?;
        let text = body
            .as_object()
            .and_then(|body| body.values().next())
            .context("no text")?;
        let mut attributes = json!({ "id": "web", "policy": text, "registry_id": "000000000000" });
        if *kind != "registry_policy" {
            attributes["repository"] = "web".into();
        }
        instances.push(json!({
            "mode": "managed", "type": format!("aws_ecr_{kind}"), "name": "before",
            "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
            "instances": [{ "schema_version": 0, "attributes": attributes, "sensitive_attributes": [] }],
        }));
        configuration.push(format!(
            "resource \"hythe_{kind}\" \"after\" {{\n{arguments}\n}}
             moved {{\n  from = aws_ecr_{kind}.before\n  to = hythe_{kind}.after\n}}"
        ));
    }
    let recorded = json!({ "version": 4, "terraform_version": "1.8.0", "serial": 1,
        "lineage": "7a1c7d38-4d0e-4b0c-9d5b-0b6a1c5b2c11", "outputs": {}, "resources": instances });
    std::fs::write(stage.terraform.folder().join("terraform.tfstate"), recorded.to_string())?;
    // Terraform wants the provider that the state names to be there, and asks it for nothing but its schema: the AWS
    // provider is not needed for it.
    let stand_in = stage.terraform.folder().join("stand-in");
    std::fs::create_dir(&stand_in)?;
    let provider = e2e::binary::provider()?;
    std::os::unix::fs::symlink(&provider, stand_in.join("terraform-provider-aws"))?;
    let ours = provider
        .parent()
        .context("the provider is in no folder")?
        .display()
        .to_string();
    stage.terraform.set_cli_config(&format!(
        "provider_installation {{\n  dev_overrides {{\n    \"{}\" = \"{ours}\"\n    \"hashicorp/aws\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
        e2e::terraform::SOURCE,
        stand_in.display()
    ))?;
    let versions = |stage: &Stage| {
        all.iter()
            .map(|(_, _, path, _)| version(stage, path))
            .collect::<Result<Vec<_>>>()
    };
    let before = versions(&stage)?;
    stage.terraform.configure(&configuration.join("\n"))?;
    stage.terraform.apply_and_settle()?;
    let mut addresses = stage.terraform.addresses()?;
    addresses.sort();
    ensure!(
        addresses
            == [
                "hythe_lifecycle_policy.after",
                "hythe_registry_policy.after",
                "hythe_repository_policy.after"
            ],
        "{addresses:?}"
    );
    ensure!(versions(&stage)? == before, "taking over touches nothing on the server");
    stage.terraform.destroy()?;
    for (_, _, path, _) in &all {
        ensure!(stage.status(path)? == 404, "{path} is left");
    }
    Ok(())
}

/// As many policies as repositories, which are made by somebody else.
fn many(stage: &Stage, count: usize) -> Result<Vec<String>> {
    let names: Vec<String> = (0..count).map(|number| format!("acc/many-{number}")).collect();
    for name in &names {
        stage.server.create_repository(name)?;
    }
    stage.terraform.configure(&format!(
        "resource \"hythe_lifecycle_policy\" \"many\" {{\n  count = {count}\n  repository = \"acc/many-${{count.index}}\"\n  {KEEP_ONE}\n}}\n"
    ))?;
    Ok(names)
}

/// The repositories of `names` that have a policy.
fn with_policy(server: &Server, names: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in names {
        let path = path(&["repositories", name, "lifecycle-policy"]);
        if server.api("GET", &path, None)?.status == 200 {
            found.push(name.clone());
        }
    }
    Ok(found)
}

#[test]
fn an_interrupt_in_mid_apply_leaves_no_policy_unrecorded() -> Result<()> {
    const COUNT: usize = 80;
    let Some(mut stage) = Stage::set()? else { return Ok(()) };
    let names = many(&stage, COUNT)?;
    // A slow line, so that the interrupt falls into calls in flight.
    let proxy = SlowProxy::start(stage.server.credentials().control_address(), Duration::from_millis(200))?;
    stage
        .terraform
        .set("HYTHE_ENDPOINT", &format!("http://{}", proxy.address()));
    // One question, not one for each name: it must be answered long before all are made.
    let made = || {
        let path = "/api/v1/audit-events?eventName=PutLifecyclePolicy&maxResults=1000";
        let page = stage.server.api("GET", path, None)?.expect(200)?.json()?;
        Ok::<_, anyhow::Error>(page["auditEvents"].as_array().map_or(0, Vec::len))
    };
    interrupt_apply(&stage.terraform, || made().is_ok_and(|made| made >= 2))?;
    let mut on_server = with_policy(&stage.server, &names)?;
    ensure!(
        on_server.len() < COUNT,
        "all {COUNT} were made before the interrupt: it came too late to show anything"
    );
    let mut in_state: Vec<String> = stage
        .terraform
        .addresses()?
        .iter()
        .map(|line| {
            line.replace("hythe_lifecycle_policy.many[", "acc/many-")
                .replace(']', "")
        })
        .collect();
    in_state.sort();
    on_server.sort();
    ensure!(
        in_state == on_server,
        "the server has {on_server:?}, the state {in_state:?}"
    );
    stage.terraform.destroy()?;
    ensure!(with_policy(&stage.server, &names)?.is_empty());
    Ok(())
}

#[test]
fn two_hundred_policies_are_applied_and_planned_in_time() -> Result<()> {
    const COUNT: usize = 200;
    /// Many times what it takes.
    const LIMIT: Duration = Duration::from_mins(4);
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let names = many(&stage, COUNT)?;
    let started = Instant::now();
    stage.terraform.apply_and_settle()?;
    let took = started.elapsed();
    ensure!(took < LIMIT, "{COUNT} policies took {took:?}");
    ensure!(with_policy(&stage.server, &names)? == names);
    stage.terraform.destroy()?;
    ensure!(with_policy(&stage.server, &names)?.is_empty());
    Ok(())
}
