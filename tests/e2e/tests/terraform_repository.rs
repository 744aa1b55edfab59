// SPDX-License-Identifier: Apache-2.0
//! Acceptance tests of `hythe_repository`: every step ends with an empty plan, every test with nothing left on the server.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::proxy::SlowProxy;
use e2e::server::repository_path;
use e2e::terraform_life::interrupt_apply;
use e2e::{RegistryClient, Server, Terraform};
use serde_json::{Value, json};

const ADDRESS: &str = "hythe_repository.r";

/// What changes on the server, how, and which attributes show it.
type Drift<'a> = (&'a str, &'a dyn Fn() -> Result<()>, &'a [&'a str]);

struct Stage {
    // Order matters: the working folder goes before the server.
    terraform: Terraform,
    server: Server,
}

impl Stage {
    fn set() -> Result<Option<Self>> {
        let server = Server::start()?;
        let terraform = Terraform::new(server.credentials())?;
        Ok(terraform.map(|terraform| Self { terraform, server }))
    }

    /// Configures `hythe_repository.r` with these lines, applies, and insists that nothing is left to do.
    fn apply(&self, lines: &str) -> Result<()> {
        self.terraform.configure(&resource(lines))?;
        self.terraform.apply_and_settle()
    }

    fn attributes(&self) -> Result<Value> {
        self.terraform.attributes(ADDRESS)
    }

    /// Forgets the resource and imports it again; the plan must be empty and the attributes the same.
    fn verify_import(&self, id: &str) -> Result<()> {
        let before = self.attributes()?;
        self.terraform.run(&["state", "rm", ADDRESS])?.ok()?;
        self.terraform.run(&["import", "-no-color", ADDRESS, id])?.ok()?;
        let mut after = self.attributes()?;
        // The one argument that an import cannot know, and must not invent.
        after["force_delete"] = before["force_delete"].clone();
        ensure!(after == before, "import read\n{after:#}\ninstead of\n{before:#}");
        Ok(())
    }

    /// Destroys and insists that the server has nothing left.
    fn end(self) -> Result<()> {
        self.terraform.destroy()?;
        let left = self.server.repository_names("")?;
        ensure!(left.is_empty(), "left on the server: {left:?}");
        Ok(())
    }

    fn patch(&self, name: &str, body: &Value) -> Result<()> {
        self.server
            .api("PATCH", &repository_path(name), Some(body))?
            .expect(200)?;
        Ok(())
    }
}

fn resource(lines: &str) -> String {
    format!("resource \"hythe_repository\" \"r\" {{\n{lines}\n}}\n")
}

#[test]
fn a_minimal_repository_has_every_default_and_can_be_imported() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.apply("name = \"acc/basic\"")?;
    let attributes = stage.attributes()?;
    let server = stage
        .server
        .repository("acc/basic")?
        .context("the server has no such repository")?;
    for (attribute, wanted) in [
        ("name", json!("acc/basic")),
        ("image_tag_mutability", json!("MUTABLE")),
        ("scan_on_push", json!(false)),
        ("allow_sparse_indexes", json!(false)),
        ("arn", server["repositoryArn"].clone()),
        ("registry_id", json!("000000000000")),
        (
            "repository_url",
            json!(format!("{}/acc/basic", stage.server.registry())),
        ),
        ("created_at", server["createdAt"].clone()),
    ] {
        ensure!(
            attributes[attribute] == wanted,
            "{attribute} is {}, not {wanted}",
            attributes[attribute]
        );
    }
    ensure!(attributes["repository_url"] == server["repositoryUri"], "{server}");
    ensure!(attributes["encryption"]["type"] == "AES256", "{attributes:#}");
    stage.verify_import("acc/basic")?;
    stage.terraform.plan()?.expect_empty()?;
    stage.end()
}

#[test]
fn every_argument_changes_in_place_or_replaces_as_documented() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let full = "
        name                 = \"acc/full\"
        image_tag_mutability = \"IMMUTABLE_WITH_EXCLUSION\"
        image_tag_mutability_exclusion_filter = [
          { filter = \"latest*\", filter_type = \"WILDCARD\" },
          { filter = \"dev-*\", filter_type = \"WILDCARD\" },
        ]
        encryption   = { type = \"AES256\" }
        scan_on_push = true
        allow_sparse_indexes = true
        force_delete = true
        tags         = { team = \"a\", stage = \"test\" }";
    stage.apply(full)?;
    let server = stage
        .server
        .repository("acc/full")?
        .context("the server has no such repository")?;
    ensure!(server["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION", "{server}");
    ensure!(
        server["imageTagMutabilityExclusionFilters"]
            .as_array()
            .is_some_and(|it| it.len() == 2),
        "{server}"
    );
    ensure!(server["imageScanningConfiguration"]["scanOnPush"] == true, "{server}");
    ensure!(server["allowSparseIndexes"] == true, "{server}");
    ensure!(server["tags"].as_array().is_some_and(|it| it.len() == 2), "{server}");
    stage.verify_import("acc/full")?;
    stage.apply(full)?;

    // What, the text that changes, the new text, what the plan says, which attributes change.
    let steps: &[(&str, &str, &str, &str, &[&str])] = &[
        (
            "a filter",
            "dev-*",
            "test-*",
            "update",
            &["image_tag_mutability_exclusion_filter"],
        ),
        (
            "scanning",
            "scan_on_push = true",
            "scan_on_push = false",
            "update",
            &["scan_on_push"],
        ),
        (
            "sparse indexes",
            "allow_sparse_indexes = true",
            "allow_sparse_indexes = false",
            "update",
            &["allow_sparse_indexes"],
        ),
        ("a tag", "team = \"a\"", "team = \"b\"", "update", &["tags", "tags_all"]),
        (
            "force_delete",
            "force_delete = true",
            "force_delete = false",
            "update",
            &["force_delete"],
        ),
        (
            "the name",
            "acc/full",
            "acc/other",
            "delete,create",
            &["arn", "created_at", "name", "repository_url"],
        ),
    ];
    for (what, old, new, action, affected) in steps {
        stage.terraform.configure(&resource(&full.replace(old, new)))?;
        let plan = stage.terraform.plan()?;
        ensure!(
            plan.changes() == [format!("{ADDRESS} {action}")],
            "{what}: {:?}\n{}",
            plan.changes(),
            plan.text
        );
        let changed = plan.changed_attributes(ADDRESS);
        for attribute in *affected {
            ensure!(
                changed.iter().any(|it| it == attribute),
                "{what}: {attribute} does not change, only {changed:?}"
            );
        }
        if *action == "update" {
            ensure!(
                changed == *affected,
                "{what}: the plan changes {changed:?}, not only {affected:?}"
            );
        }
        stage.terraform.apply_and_settle()?;
        stage.apply(full)?;
    }
    stage.apply("name = \"acc/full\"\nforce_delete = true")?;
    let attributes = stage.attributes()?;
    ensure!(
        attributes["image_tag_mutability"] == "MUTABLE" && attributes["scan_on_push"] == false,
        "{attributes:#}"
    );
    stage.end()
}

#[test]
fn a_repository_deleted_on_the_server_is_made_again() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.apply("name = \"acc/gone\"")?;
    stage
        .server
        .api("DELETE", &repository_path("acc/gone"), None)?
        .expect(200)?;
    let plan = stage.terraform.plan()?;
    ensure!(plan.changes() == [format!("{ADDRESS} create")], "{:?}", plan.changes());
    ensure!(plan.drift() == [format!("{ADDRESS} delete")], "{:?}", plan.drift());
    stage.terraform.apply_and_settle()?;
    // Deleting what is already gone is no failure.
    stage
        .server
        .api("DELETE", &repository_path("acc/gone"), None)?
        .expect(200)?;
    stage.end()
}

#[test]
fn every_change_on_the_server_is_seen_and_repaired() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.apply("name = \"acc/drift\"\ntags = { team = \"a\" }")?;
    let tags = format!("{}/resource-tags", repository_path("acc/drift"));
    let put_tags = |tags_now: Value| {
        stage
            .server
            .api("PUT", &tags, Some(&json!({ "tags": tags_now })))?
            .expect(200)
    };
    let cases: [Drift; 5] = [
        (
            "mutability",
            &|| stage.patch("acc/drift", &json!({ "imageTagMutability": "IMMUTABLE" })),
            &["image_tag_mutability"],
        ),
        (
            "scanning",
            &|| {
                stage.patch(
                    "acc/drift",
                    &json!({ "imageScanningConfiguration": { "scanOnPush": true } }),
                )
            },
            &["scan_on_push"],
        ),
        (
            "a tag's value",
            &|| put_tags(json!([{ "Key": "team", "Value": "b" }])).map(drop),
            &["tags", "tags_all"],
        ),
        (
            "a tag too many",
            &|| put_tags(json!([{ "Key": "team", "Value": "a" }, { "Key": "x", "Value": "" }])).map(drop),
            &["tags", "tags_all"],
        ),
        ("no tags", &|| put_tags(json!([])).map(drop), &["tags", "tags_all"]),
    ];
    for (what, change, affected) in cases {
        change()?;
        let plan = stage.terraform.plan()?;
        ensure!(
            plan.changes() == [format!("{ADDRESS} update")],
            "{what}: {:?}",
            plan.changes()
        );
        let changed = plan.changed_attributes(ADDRESS);
        ensure!(
            changed == affected,
            "{what}: the plan changes {changed:?}, not {affected:?}\n{}",
            plan.text
        );
        stage.terraform.apply_and_settle()?;
    }
    stage.end()
}

#[test]
fn other_spellings_of_the_same_thing_change_nothing() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.apply("name = \"acc/same\"")?;
    for (what, lines) in [
        (
            "a default spelt out",
            "name = \"acc/same\"\nimage_tag_mutability = \"MUTABLE\"\nscan_on_push = false",
        ),
        (
            "the default encryption",
            "name = \"acc/same\"\nencryption = { type = \"AES256\" }",
        ),
        ("an encryption without type", "name = \"acc/same\"\nencryption = {}"),
        ("force_delete off", "name = \"acc/same\"\nforce_delete = false"),
    ] {
        stage.terraform.configure(&resource(lines))?;
        stage.terraform.plan()?.expect_empty().context(what)?;
    }
    let filters = |list: &str| {
        format!(
            "name = \"acc/same\"\nimage_tag_mutability = \"MUTABLE_WITH_EXCLUSION\"\nimage_tag_mutability_exclusion_filter = [{list}]"
        )
    };
    stage.apply(&filters("{ filter = \"a*\" }, { filter = \"b*\" }"))?;
    for list in [
        "{ filter = \"b*\" }, { filter = \"a*\" }",
        "{ filter = \"a*\", filter_type = \"WILDCARD\" }, { filter = \"b*\", filter_type = \"WILDCARD\" }",
    ] {
        stage.terraform.configure(&resource(&filters(list)))?;
        stage.terraform.plan()?.expect_empty().context(list.to_owned())?;
    }
    stage.end()
}

#[test]
fn values_from_another_resource_of_the_same_run_work() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.terraform.configure(
        "
        resource \"terraform_data\" \"later\" { input = { name = \"acc/later\", tag = \"v\" } }
        resource \"hythe_repository\" \"r\" {
          name         = terraform_data.later.output.name
          scan_on_push = terraform_data.later.output.tag == \"v\"
          tags         = { known = \"k\", unknown = terraform_data.later.output.tag }
        }
        output \"url\" { value = hythe_repository.r.repository_url }",
    )?;
    stage.terraform.apply_and_settle()?;
    ensure!(stage.terraform.output("url")? == format!("{}/acc/later", stage.server.registry()));
    stage.end()
}

#[test]
fn urls_and_arns_are_known_while_planning() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.terraform.configure(&resource("name = \"acc/known\""))?;
    let plan = stage.terraform.plan()?;
    let after = &plan.json["resource_changes"][0]["change"]["after"];
    ensure!(
        after["repository_url"] == format!("{}/acc/known", stage.server.registry()),
        "{after:#}"
    );
    ensure!(
        after["arn"] == "arn:aws:ecr:local:000000000000:repository/acc/known",
        "{after:#}"
    );
    stage.end()
}

#[test]
fn import_writes_a_configuration_that_plans_nothing() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.server.create_repository_with(&json!({
        "repositoryName": "acc/found",
        "imageTagMutability": "IMMUTABLE",
        "tags": [{ "Key": "team", "Value": "a" }],
    }))?;
    stage
        .terraform
        .configure(&format!("import {{\n  to = {ADDRESS}\n  id = \"acc/found\"\n}}\n"))?;
    stage.terraform.plan_with(&["-generate-config-out=generated.tf"])?;
    stage.terraform.apply_and_settle()?;
    let attributes = stage.attributes()?;
    ensure!(
        attributes["image_tag_mutability"] == "IMMUTABLE" && attributes["tags"]["team"] == "a",
        "{attributes:#}"
    );

    let refused = stage
        .terraform
        .run(&["import", "-no-color", "hythe_repository.other", "acc/absent"])?
        .refused()?;
    // Without such a resource in the configuration Terraform refuses by itself; with one the provider has to.
    ensure!(!refused.stderr.is_empty());
    stage
        .terraform
        .configure("resource \"hythe_repository\" \"other\" { name = \"acc/absent\" }")?;
    let refused = stage
        .terraform
        .run(&["import", "-no-color", "hythe_repository.other", "acc/absent"])?
        .refused()?;
    ensure!(refused.stderr.contains("acc/absent"), "{}", refused.stderr);
    stage.end()
}

#[test]
fn mistakes_are_found_by_validate_and_point_at_their_line() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let six: String = ["a", "b", "c", "d", "e", "f"]
        .map(|it| format!("{{ filter = \"{it}\" }},"))
        .concat();
    let exclusion = "name = \"ok\"\nimage_tag_mutability = \"MUTABLE_WITH_EXCLUSION\"\n";
    for (lines, words, code) in [
        ("name = \"Not/Good\"".to_owned(), "Not/Good", "name"),
        ("name = \"a\"".to_owned(), "2", "name"),
        (
            "name = \"ok\"\nimage_tag_mutability = \"MAYBE\"".to_owned(),
            "MAYBE",
            "image_tag_mutability",
        ),
        (
            "name = \"ok\"\nencryption = { type = \"ROT13\" }".to_owned(),
            "ROT13",
            "encryption",
        ),
        ("name = \"ok\"\ntags = { \"aws:x\" = \"y\" }".to_owned(), "aws:", "tags"),
        (exclusion.to_owned(), "image_tag_mutability_exclusion_filter", ""),
        (
            format!("{exclusion}image_tag_mutability_exclusion_filter = [{six}]"),
            "5",
            "filter",
        ),
        (
            format!("{exclusion}image_tag_mutability_exclusion_filter = [{{ filter = \"a*b*c*\" }}]"),
            "a*b*c*",
            "filter",
        ),
        (
            "name = \"ok\"\nimage_tag_mutability_exclusion_filter = [{ filter = \"a\" }]".to_owned(),
            "_WITH_EXCLUSION",
            "",
        ),
    ] {
        stage.terraform.configure(&resource(&lines))?;
        let found = stage.terraform.validate()?;
        let fits = found
            .iter()
            .any(|it| it.severity == "error" && it.text.contains(words) && it.code.contains(code));
        ensure!(fits, "`{lines}` gave {found:#?}, nothing with `{words}` at `{code}`");
    }
    stage.terraform.configure("")?;
    stage.end()
}

#[test]
fn a_repository_that_exists_is_not_taken_over_silently() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.server.create_repository("acc/theirs")?;
    stage.terraform.configure(&resource("name = \"acc/theirs\""))?;
    let found = stage.terraform.diagnostics_of_failure(&["apply", "-auto-approve"])?;
    let text: String = found.iter().map(|it| it.text.clone()).collect();
    ensure!(text.contains("already exists") && text.contains("import"), "{text}");
    ensure!(
        stage.terraform.addresses()?.is_empty(),
        "it is in the state all the same"
    );
    stage
        .server
        .api("DELETE", &repository_path("acc/theirs"), None)?
        .expect(200)?;
    stage.end()
}

#[test]
fn a_repository_with_images_is_only_destroyed_with_force_delete() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.apply("name = \"acc/held\"")?;
    RegistryClient::new(&stage.server).push_image("acc/held", "1", b"worth keeping")?;
    let plan = stage.terraform.plan_with(&["-destroy"])?;
    ensure!(
        plan.text.contains("force_delete"),
        "the plan does not warn:\n{}",
        plan.text
    );
    let found = stage.terraform.diagnostics_of_failure(&["destroy", "-auto-approve"])?;
    let text: String = found.iter().map(|it| it.text.clone()).collect();
    ensure!(text.contains("force_delete"), "{text}");
    ensure!(
        stage.terraform.addresses()? == [ADDRESS],
        "a refused delete must keep the state"
    );
    ensure!(stage.server.repository("acc/held")?.is_some());
    stage.apply("name = \"acc/held\"\nforce_delete = true")?;

    // What was deleted and can be restored goes too, and the plan says so.
    let client = RegistryClient::new(&stage.server);
    for tag in ["2", "3"] {
        client.push_image("acc/held", tag, tag.as_bytes())?;
        let target = format!("/v2/acc/held/manifests/{tag}");
        client.call("DELETE", &target, &[], &[])?.expect(202)?;
    }
    let told = |words: &[&str]| -> Result<()> {
        let plan = stage.terraform.plan_with(&["-destroy"])?.text;
        // Terraform breaks lines.
        let text = plan.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            ensure!(text.contains(word), "`{word}` is not in {plan}");
        }
        Ok(())
    };
    told(&[
        "holds 1 image,",
        "So will 2 images that were deleted and can still be restored",
    ])?;
    client
        .call("DELETE", "/v2/acc/held/manifests/1", &[], &[])?
        .expect(202)?;
    told(&["holds no images, but 3 images that were deleted and can still be restored"])?;
    stage.end()
}

#[test]
fn default_tags_are_merged_and_travel_with_the_create() -> Result<()> {
    let Some(stage) = Stage::set()? else { return Ok(()) };
    let provider = |tags: &str| format!("provider \"hythe\" {{\n  default_tags = {{ {tags} }}\n}}\n");
    let lines = resource("name = \"acc/tagged\"\ntags = { team = \"own\" }");
    stage
        .terraform
        .configure(&(provider("team = \"default\", cost = \"1\"") + &lines))?;
    stage.terraform.apply_and_settle()?;
    let attributes = stage.attributes()?;
    ensure!(attributes["tags"] == json!({ "team": "own" }), "{attributes:#}");
    ensure!(
        attributes["tags_all"] == json!({ "cost": "1", "team": "own" }),
        "{attributes:#}"
    );
    stage
        .terraform
        .configure(&(provider("team = \"default\", cost = \"2\"") + &lines))?;
    let plan = stage.terraform.plan()?;
    ensure!(
        plan.changed_attributes(ADDRESS) == ["tags_all"],
        "{:?}",
        plan.changed_attributes(ADDRESS)
    );
    stage.terraform.apply_and_settle()?;
    stage.end()
}

#[test]
fn an_interrupt_in_mid_apply_leaves_nothing_unrecorded() -> Result<()> {
    const COUNT: usize = 80;
    let Some(mut stage) = Stage::set()? else { return Ok(()) };
    // A slow line, so that the interrupt falls into calls in flight.
    let proxy = SlowProxy::start(stage.server.credentials().control_address(), Duration::from_millis(200))?;
    stage
        .terraform
        .set("HYTHE_ENDPOINT", &format!("http://{}", proxy.address()));
    stage.terraform.configure(&format!(
        "resource \"hythe_repository\" \"many\" {{\n  count = {COUNT}\n  name = \"acc/many-${{count.index}}\"\n}}\n"
    ))?;
    interrupt_apply(&stage.terraform, || {
        stage
            .server
            .repository_names("acc/")
            .is_ok_and(|names| names.len() >= 2)
    })?;

    let on_server = stage.server.repository_names("acc/")?;
    ensure!(
        on_server.len() < COUNT,
        "all {COUNT} were made before the interrupt: it came too late to show anything"
    );
    let mut in_state = Vec::new();
    for line in stage.terraform.addresses()? {
        in_state.push(line.replace("hythe_repository.many[", "acc/many-").replace(']', ""));
    }
    in_state.sort();
    ensure!(
        in_state == on_server,
        "the server has {on_server:?}, the state {in_state:?}"
    );
    stage.end()
}

#[test]
fn five_hundred_repositories_are_applied_and_planned_in_time() -> Result<()> {
    const COUNT: usize = 500;
    /// Many times what it takes.
    const LIMIT: Duration = Duration::from_mins(6);
    let Some(stage) = Stage::set()? else { return Ok(()) };
    stage.terraform.configure(&format!(
        "resource \"hythe_repository\" \"many\" {{\n  count = {COUNT}\n  name = \"acc/many-${{count.index}}\"\n}}\n"
    ))?;
    let started = Instant::now();
    stage.terraform.apply_and_settle()?;
    let took = started.elapsed();
    ensure!(took < LIMIT, "{COUNT} repositories took {took:?}");
    ensure!(stage.server.repository_names("acc/")?.len() == COUNT);
    stage.end()
}
