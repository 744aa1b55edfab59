// SPDX-License-Identifier: Apache-2.0
//! Settings, policies and resource tags of repositories that go along, and repositories that are deleted.

use anyhow::{Context as _, Result, ensure};
use e2e::process::{run, wait_until};
use e2e::server::repository_path;
use e2e::{RegistryClient, Server, http};
use serde_json::{Value, json};

use crate::world::{
    ACCOUNT, LIMIT, deployment, destination, destination_as, noise, push_index, push_untagged, rule, tag, tasks,
    wait_for, wait_until_idle,
};
use crate::{backfill, user};

pub const ALL: [&str; 4] = [
    "REPOSITORY_SETTINGS",
    "REPOSITORY_POLICY",
    "LIFECYCLE_POLICY",
    "RESOURCE_TAGS",
];

/// Says where the control plane of a destination is, and that the administrator of `to` logs in there.
pub fn control(from: &Server, name: &str, to: &Server) -> Result<()> {
    control_at(from, name, &to.credentials().endpoint, to)
}

/// The same for a control plane elsewhere.
pub fn control_at(from: &Server, name: &str, endpoint: &str, to: &Server) -> Result<()> {
    let credentials = to.credentials();
    let credential = json!({ "username": credentials.access_key_id, "password": credentials.secret_access_key });
    control_as(from, name, endpoint, &credential)
}

fn control_as(from: &Server, name: &str, endpoint: &str, credential: &Value) -> Result<()> {
    let body = json!({ "controlEndpoint": endpoint, "credential": credential });
    from.api(
        "PATCH",
        &format!("/api/v1/replication-destinations/{name}"),
        Some(&body),
    )?
    .expect(200)?;
    Ok(())
}

/// Two deployments, `here` with a rule that brings these settings.
pub fn pair(settings: &[&str], more: Value) -> Result<(Server, Server)> {
    let (here, there) = (deployment("here")?, deployment("there")?);
    destination(&here, "there", &there)?;
    control(&here, "there", &there)?;
    let mut body = json!({ "replicatedSettings": settings });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    rule(&here, "all", "there", body)?;
    Ok((here, there))
}

pub fn policy(action: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Sid": "pull", "Effect": "Allow", "Principal": "*", "Action": action }] })
    .to_string()
}

pub fn lifecycle(count: u64) -> String {
    json!({ "rules": [{ "rulePriority": 1, "action": { "type": "expire" },
        "selection": { "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": count } }] })
    .to_string()
}

/// What of a repository goes along, as a server has it; null where there is none.
pub fn shown(server: &Server, name: &str) -> Result<Value> {
    let Some(repository) = server.repository(name)? else {
        return Ok(Value::Null);
    };
    let read = |what: &str, member: &str| -> Result<Value> {
        let answer = server.api("GET", &format!("{}/{what}", repository_path(name)), None)?;
        if answer.status == 404 {
            return Ok(Value::Null);
        }
        Ok(answer.expect(200)?.json()?[member].clone())
    };
    Ok(json!({
        "mutability": repository["imageTagMutability"],
        "exclusions": repository["imageTagMutabilityExclusionFilters"],
        "scan": repository["imageScanningConfiguration"],
        "sparse": repository["allowSparseIndexes"],
        "tags": repository["tags"],
        "policy": read("policy", "policyText")?,
        "lifecycle": read("lifecycle-policy", "lifecyclePolicyText")?,
    }))
}

/// Waits until a repository is there as it is here.
pub fn wait_until_same(here: &Server, there: &Server, name: &str) -> Result<()> {
    let mut last = (Value::Null, Value::Null);
    let waited = wait_until(&format!("{name} is there as it is here"), LIMIT, || {
        let (Ok(one), Ok(other)) = (shown(here, name), shown(there, name)) else {
            return false;
        };
        last = (one, other);
        last.0 == last.1
    });
    waited.with_context(|| format!("{}\n{}\n{:?}\n{}", last.0, last.1, tasks(here, ""), here.log()))
}

pub fn put(server: &Server, name: &str, what: &str, body: &Value) -> Result<()> {
    let path = format!("{}/{what}", repository_path(name));
    let answer = server.api("PUT", &path, Some(body))?;
    ensure!(answer.status < 300, "{}: {}", answer.status, answer.text());
    Ok(())
}

fn patch(server: &Server, name: &str, body: &Value) -> Result<()> {
    server.api("PATCH", &repository_path(name), Some(body))?.expect(200)?;
    Ok(())
}

/// What became of the settings of a repository.
pub fn status(server: &Server, name: &str) -> Result<Value> {
    let path = format!("{}/replication-status", repository_path(name));
    Ok(server.api("GET", &path, None)?.expect(200)?.json()?["replicationStatuses"].clone())
}

#[test]
fn a_repository_is_there_as_it_is_here() -> Result<()> {
    let (here, there) = pair(&ALL, json!({}))?;
    let name = "team/web";
    here.create_repository_with(&json!({
        "repositoryName": name, "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [{ "filterType": "WILDCARD", "filter": "dev-*" }],
        "tags": [{ "Key": "team", "Value": "a" }],
    }))?;
    put(
        &here,
        name,
        "policy",
        &json!({ "policyText": policy("ecr:BatchGetImage") }),
    )?;
    put(
        &here,
        name,
        "lifecycle-policy",
        &json!({ "lifecyclePolicyText": lifecycle(5) }),
    )?;
    // Without images it is not there, and nothing waits.
    wait_until_idle(&here)?;
    ensure!(there.repository(name)?.is_none(), "an empty repository went");
    ensure!(status(&here, name)? == json!([]), "{}", status(&here, name)?);
    let image = RegistryClient::new(&here).push_image(name, "1", b"first")?;
    wait_for(&here, name, &image)?;
    wait_until_same(&here, &there, name)?;
    wait_until_idle(&here)?;
    let found = status(&here, name)?;
    ensure!(
        found[0]["status"] == "COMPLETE" && found[0]["region"] == "there",
        "{found}"
    );

    // Each change goes, and what is taken away is taken away there.
    patch(&here, name, &json!({ "imageTagMutability": "MUTABLE" }))?;
    patch(
        &here,
        name,
        &json!({ "imageScanningConfiguration": { "scanOnPush": true }, "allowSparseIndexes": true }),
    )?;
    put(
        &here,
        name,
        "resource-tags",
        &json!({ "tags": [{ "Key": "cost", "Value": "7" }] }),
    )?;
    wait_until_same(&here, &there, name)?;
    put(
        &here,
        name,
        "policy",
        &json!({ "policyText": policy("ecr:GetDownloadUrlForLayer") }),
    )?;
    put(
        &here,
        name,
        "lifecycle-policy",
        &json!({ "lifecyclePolicyText": lifecycle(9) }),
    )?;
    wait_until_same(&here, &there, name)?;
    for what in ["policy", "lifecycle-policy"] {
        here.api("DELETE", &format!("{}/{what}", repository_path(name)), None)?
            .expect(200)?;
    }
    put(&here, name, "resource-tags", &json!({ "tags": [] }))?;
    wait_until_same(&here, &there, name)?;
    wait_until_idle(&here)?;
    ensure!(
        here.metric("hythe_replication_settings_changed_total")? >= 10,
        "not counted"
    );

    // While the other is away, changes wait and become one.
    let mut there = there;
    there.kill9()?;
    for number in 1..6 {
        put(
            &here,
            name,
            "lifecycle-policy",
            &json!({ "lifecyclePolicyText": lifecycle(number) }),
        )?;
    }
    wait_until("a failure is noted", LIMIT, || {
        tasks(&here, "").is_ok_and(|tasks| tasks[0]["failureCode"] == "DestinationUnavailable")
    })?;
    let waiting = tasks(&here, "")?;
    ensure!(waiting.as_array().is_some_and(|tasks| tasks.len() == 1), "{waiting}");
    ensure!(
        waiting[0]["subject"] == "SETTINGS" && waiting[0]["reference"].is_null(),
        "{waiting}"
    );
    there.restart()?;
    wait_until_same(&here, &there, name)
}

#[test]
fn a_rule_brings_what_it_names_and_nothing_else() -> Result<()> {
    let (here, there) = pair(&["LIFECYCLE_POLICY"], json!({}))?;
    here.create_repository("web")?;
    let image = RegistryClient::new(&here).push_image("web", "1", b"named")?;
    wait_for(&here, "web", &image)?;
    put(
        &here,
        "web",
        "lifecycle-policy",
        &json!({ "lifecyclePolicyText": lifecycle(3) }),
    )?;
    put(
        &here,
        "web",
        "policy",
        &json!({ "policyText": policy("ecr:BatchGetImage") }),
    )?;
    patch(&here, "web", &json!({ "imageTagMutability": "IMMUTABLE" }))?;
    wait_until("the lifecycle policy is there", LIMIT, || {
        shown(&there, "web").is_ok_and(|it| it["lifecycle"] == lifecycle(3))
    })?;
    wait_until_idle(&here)?;
    let found = shown(&there, "web")?;
    ensure!(found["policy"].is_null() && found["mutability"] == "MUTABLE", "{found}");
    // What was there of its own stays.
    there
        .api(
            "PATCH",
            &repository_path("web"),
            Some(&json!({ "allowSparseIndexes": true })),
        )?
        .expect(200)?;
    let again = RegistryClient::new(&here).push_image("web", "2", b"named again")?;
    wait_for(&here, "web", &again)?;
    wait_until_idle(&here)?;
    ensure!(shown(&there, "web")?["sparse"] == true, "changed back");
    Ok(())
}

#[test]
fn settings_need_a_control_plane_and_rights_there() -> Result<()> {
    let (here, there) = (deployment("here")?, deployment("there")?);
    let actions = json!([
        "ecr:GetAuthorizationToken",
        "ecr:ReplicateImage",
        "ecr:CreateRepository",
        "ecr:DescribeRepositories"
    ]);
    let credential = user(&there, "replicator", &actions)?;
    destination_as(
        &here,
        "there",
        "HYTHE",
        there.registry(),
        Some(credential.clone()),
        None,
    )?;
    destination_as(&here, "other", "OCI", there.registry(), None, None)?;
    // A rule cannot bring settings where no control plane is known, and one that is needed cannot be taken away.
    let path = "/api/v1/registry/replication/rules/all";
    for region in ["there", "other"] {
        let body =
            json!({ "rule": { "destinations": [{ "region": region }], "replicatedSettings": ["RESOURCE_TAGS"] } });
        let refused = here.api("PUT", path, Some(&body))?;
        ensure!(
            refused.status == 400 && refused.text().contains("controlEndpoint"),
            "{}",
            refused.text()
        );
    }
    let refused = here.api(
        "PATCH",
        "/api/v1/replication-destinations/other",
        Some(&json!({ "controlEndpoint": "control.example.com" })),
    )?;
    ensure!(
        refused.status == 400 && refused.text().contains("HYTHE"),
        "{}",
        refused.text()
    );
    control_as(&here, "there", &there.credentials().endpoint, &credential)?;
    rule(
        &here,
        "all",
        "there",
        json!({ "replicatedSettings": ["RESOURCE_TAGS"] }),
    )?;
    let refused = here.api(
        "PATCH",
        "/api/v1/replication-destinations/there",
        Some(&json!({ "controlEndpoint": "" })),
    )?;
    ensure!(
        refused.status == 400 && refused.text().contains("rules"),
        "{}",
        refused.text()
    );

    // Without the right to set tags the image arrives, and the tags are given up.
    here.create_repository_with(&json!({ "repositoryName": "web", "tags": [{ "Key": "team", "Value": "a" }] }))?;
    let image = RegistryClient::new(&here).push_image("web", "1", b"no rights")?;
    wait_for(&here, "web", &image)?;
    wait_until("it is given up", LIMIT, || {
        tasks(&here, "?isFailed=true").is_ok_and(|tasks| tasks[0]["failureCode"] == "DestinationAccessDenied")
    })
    .with_context(|| here.log())?;
    let dead = tasks(&here, "?isFailed=true")?;
    let reason = dead[0]["failureReason"].as_str().unwrap_or_default();
    ensure!(reason.contains("ecr:TagResource"), "{reason}");
    ensure!(
        status(&here, "web")?[0]["status"] == "FAILED",
        "{}",
        status(&here, "web")?
    );
    let hythe = |arguments: &[&str]| run(here.command(arguments)?.env("HOME", here.scratch()));
    let listed = hythe(&["replication", "tasks", "--failed"])?.ok()?.stdout;
    ensure!(listed.contains("settings"), "{listed}");
    let said = hythe(&["replication", "settings", "web"])?.ok()?.stdout;
    ensure!(said.contains("failed") && said.contains("ecr:TagResource"), "{said}");
    let body = json!({ "policyName": "tagger", "policyDocument": json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "ecr:TagResource", "Resource": "*" }] }).to_string() });
    there.api("POST", "/api/v1/policies", Some(&body))?.expect(201)?;
    let attached = there.api("PUT", "/api/v1/users/replicator/policies/tagger", None)?;
    ensure!(attached.status < 300, "{}", attached.text());
    // Before the new right counts, which may take a second, it is given up again.
    hythe(&["replication", "retry"])?.ok()?;
    wait_until_same(&here, &there, "web")?;
    wait_until_idle(&here)
}

#[test]
fn settings_end_in_a_ring_and_go_on_by_chains() -> Result<()> {
    let servers = [deployment("one")?, deployment("two")?, deployment("three")?];
    let [one, two, three] = &servers;
    for (from, name, to) in [(one, "two", two), (two, "one", one), (two, "three", three)] {
        destination(from, name, to)?;
        control(from, name, to)?;
    }
    let chain = json!({ "replicatedSettings": ALL, "replicaReplication": { "enabled": true } });
    rule(one, "all", "two", json!({ "replicatedSettings": ALL }))?;
    rule(two, "back", "one", chain.clone())?;
    let mut only = chain;
    if let Some(only) = only.as_object_mut() {
        only.insert("repositoryFilters".into(), json!([{ "filter": "chain" }]));
    }
    rule(two, "on", "three", only)?;
    rule(
        two,
        "mine",
        "three",
        json!({ "repositoryFilters": [{ "filter": "single" }], "replicatedSettings": ALL }),
    )?;
    let client = RegistryClient::new(one);
    for name in ["chain", "single"] {
        one.create_repository(name)?;
        let image = client.push_image(name, "1", name.as_bytes())?;
        wait_for(one, name, &image)?;
        put(
            one,
            name,
            "lifecycle-policy",
            &json!({ "lifecyclePolicyText": lifecycle(4) }),
        )?;
        put(
            one,
            name,
            "resource-tags",
            &json!({ "tags": [{ "Key": "from", "Value": "one" }] }),
        )?;
        wait_until_same(one, two, name)?;
        for server in &servers {
            wait_until_idle(server)?;
        }
    }
    wait_until_same(one, three, "chain")?;
    ensure!(
        three.repository("single")?.is_none(),
        "what came from elsewhere went on"
    );
    // What is changed at the second goes to the first, and no further round.
    put(
        two,
        "chain",
        "resource-tags",
        &json!({ "tags": [{ "Key": "from", "Value": "two" }] }),
    )?;
    wait_until_same(one, two, "chain")?;
    wait_until_same(three, two, "chain")?;
    for server in &servers {
        wait_until_idle(server)?;
    }
    ensure!(shown(one, "chain")?["tags"][0]["Value"] == "two", "changed back");
    let counts: Vec<u64> = servers
        .iter()
        .map(|server| server.metric("hythe_replication_settings_changed_total"))
        .collect::<Result<_>>()?;
    for server in &servers {
        wait_until_idle(server)?;
    }
    let after: Vec<u64> = servers
        .iter()
        .map(|server| server.metric("hythe_replication_settings_changed_total"))
        .collect::<Result<_>>()?;
    ensure!(counts == after, "it goes round: {counts:?} {after:?}");
    Ok(())
}

#[test]
fn a_backfill_brings_settings_and_the_sender_may_die() -> Result<()> {
    let there = deployment("there")?;
    let mut here = deployment("here")?;
    here.create_repository_with(&json!({ "repositoryName": "old", "tags": [{ "Key": "age", "Value": "old" }] }))?;
    put(
        &here,
        "old",
        "lifecycle-policy",
        &json!({ "lifecyclePolicyText": lifecycle(2) }),
    )?;
    put(
        &here,
        "old",
        "policy",
        &json!({ "policyText": policy("ecr:BatchGetImage") }),
    )?;
    let image = RegistryClient::new(&here).push_image("old", "1", b"from before")?;
    destination(&here, "there", &there)?;
    control(&here, "there", &there)?;
    rule(&here, "all", "there", json!({ "replicatedSettings": ALL }))?;
    // It ends between two of the settings.
    here.set_variable("HYTHE_TEST_FAIL_POINT", "replication.setting.sent:2");
    here.restart()?;
    let start = json!({ "destination": { "region": "there", "registryId": ACCOUNT } });
    here.api("POST", "/api/v1/registry/replication/backfills", Some(&start))?
        .expect(201)?;
    wait_until("the sender ends", LIMIT, || {
        here.exit_status().is_ok_and(|status| status.is_some())
    })?;
    here.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
    here.restart()?;
    wait_for(&here, "old", &image)?;
    wait_until_same(&here, &there, "old")?;
    // What somebody changed there is brought back by the next.
    put(&there, "old", "resource-tags", &json!({ "tags": [] }))?;
    wait_until_idle(&here)?;
    wait_until("the next begins", LIMIT, || {
        here.api("POST", "/api/v1/registry/replication/backfills", Some(&start))
            .is_ok_and(|answer| answer.status == 201)
    })?;
    wait_until_same(&here, &there, "old")
}

#[test]
fn a_deleted_repository_is_emptied_there() -> Result<()> {
    for settings in [&[][..], &ALL[..]] {
        let (here, there) = pair(settings, json!({ "deleteReplication": { "enabled": true } }))?;
        let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
        for name in ["gone", "shared", "stays"] {
            here.create_repository(name)?;
            for number in 0..12 {
                client.push_image(name, &format!("v{number}"), &noise(&format!("{name} {number}"), 2000))?;
            }
            let child = push_untagged(&client, name, &noise(name, 3000), None)?;
            push_index(&client, name, "index", &[child])?;
        }
        wait_until_idle(&here)?;
        // This one has an image of its own there.
        let own = remote.push_image("shared", "own", b"pushed there")?;
        for name in ["gone", "shared"] {
            here.api("DELETE", &format!("{}?force=true", repository_path(name)), None)?
                .expect(200)?;
        }
        wait_until_idle(&here)?;
        ensure!(
            tasks(&here, "?isFailed=true")? == json!([]),
            "{}",
            tasks(&here, "?isFailed=true")?
        );
        // Where settings are replicated, an empty repository goes; otherwise it stays, as in ECR.
        let gone = there.repository("gone")?;
        ensure!(gone.is_some() == settings.is_empty(), "{settings:?}: {gone:?}");
        if gone.is_some() {
            let listed = there.api("GET", &format!("{}/images", repository_path("gone")), None)?;
            let listed = listed.expect(200)?.json()?;
            ensure!(listed["images"].as_array().is_some_and(Vec::is_empty), "{listed}");
        }
        ensure!(
            tag(&remote, "shared", "own")? == Some(own),
            "an image of its own is gone"
        );
        ensure!(tag(&remote, "shared", "v3")?.is_none(), "an image is left");
        remote.pull_image("stays", "v3")?;
        // A repository that comes back under the name is brought there again.
        here.create_repository("gone")?;
        let image = client.push_image("gone", "new", b"again")?;
        wait_for(&here, "gone", &image)?;
        remote.pull_image("gone", "new")?;
    }
    Ok(())
}

#[test]
fn the_audit_log_there_tells_replicas_from_pushes() -> Result<()> {
    let servers = [deployment("one")?, deployment("two")?, deployment("three")?];
    let [one, two, three] = &servers;
    for (from, name, to) in [(one, "two", two), (two, "three", three)] {
        destination(from, name, to)?;
        control(from, name, to)?;
        rule(
            from,
            "all",
            name,
            json!({ "replicaReplication": { "enabled": true }, "deleteReplication": { "enabled": true },
                    "replicatedSettings": ["RESOURCE_TAGS"] }),
        )?;
    }
    one.create_repository_with(&json!({ "repositoryName": "web", "tags": [{ "Key": "team", "Value": "a" }] }))?;
    let client = RegistryClient::new(one);
    let image = client.push_image("web", "1", b"far")?;
    wait_for(one, "web", &image)?;
    wait_for(two, "web", &image)?;
    wait_until_same(one, three, "web")?;
    let own = RegistryClient::new(three).push_image("web", "own", b"near")?;
    let events = |server: &Server, query: &str| -> Result<Vec<Value>> {
        let answer = server.api("GET", &format!("/api/v1/audit-events?repository=web&{query}"), None)?;
        let answer = answer.expect(200)?.json()?;
        Ok(answer["auditEvents"].as_array().cloned().unwrap_or_default())
    };
    let place = |region: &str| json!({ "region": region, "registryId": ACCOUNT });
    let of = |event: &str, digest: &str| format!("eventName={event}&digest={}", http::percent_encode(digest));
    for (server, via) in [(two, json!([])), (three, json!([place("two")]))] {
        let mut arrived = events(server, &of("ReplicateImage", &image))?;
        arrived.retain(|event| event["operation"] == "manifest.put");
        ensure!(arrived.len() == 1, "{arrived:?}");
        let expected = json!({ "source": place("one"), "via": via });
        ensure!(arrived[0]["replication"] == expected, "{}", arrived[0]);
        ensure!(
            arrived[0]["decision"]["action"] == "ecr:ReplicateImage",
            "{}",
            arrived[0]
        );
        let tagged = events(server, "eventName=TagResource")?;
        ensure!(
            tagged.iter().any(|event| event["replication"] == expected),
            "{tagged:?}"
        );
    }
    let pushed = events(three, &of("PutImage", &own))?;
    ensure!(pushed.len() == 1 && pushed[0]["replication"].is_null(), "{pushed:?}");
    ensure!(
        events(one, &of("PutImage", &image))?[0]["replication"].is_null(),
        "a push as a replica"
    );
    // Deletions too, and the command line can ask for them.
    client
        .call("DELETE", &format!("/v2/web/manifests/{image}"), &[], &[])?
        .expect(202)?;
    wait_until("it is deleted there", LIMIT, || {
        tag(&RegistryClient::new(two), "web", "1").is_ok_and(|found| found.is_none())
    })?;
    let deleted = events(two, "eventName=BatchDeleteImage")?;
    ensure!(
        deleted
            .iter()
            .any(|event| event["replication"]["source"] == place("one")),
        "{deleted:?}"
    );
    let hythe = |arguments: &[&str]| run(three.command(arguments)?.env("HOME", three.scratch()));
    let found = hythe(&["audit", "list", "--event", "ReplicateImage", "--output", "json"])?.ok()?;
    ensure!(found.stdout.contains("\"replication\""), "{}", found.stdout);
    Ok(())
}

#[test]
fn what_did_not_come_from_here_is_left_alone_there() -> Result<()> {
    let (here, there) = pair(&ALL, json!({ "deleteReplication": { "enabled": true } }))?;
    // Somebody made these there, with nothing in them.
    for name in ["web", "empty"] {
        there.create_repository_with(&json!({
            "repositoryName": name, "imageTagMutability": "IMMUTABLE", "tags": [{ "Key": "owner", "Value": "somebody" }],
        }))?;
        put(
            &there,
            name,
            "policy",
            &json!({ "policyText": policy("ecr:BatchGetImage") }),
        )?;
    }
    let before = shown(&there, "web")?;
    here.create_repository("web")?;
    patch(
        &here,
        "web",
        &json!({ "imageScanningConfiguration": { "scanOnPush": true } }),
    )?;
    here.create_repository("empty")?;
    here.api("DELETE", &repository_path("empty"), None)?.expect(200)?;
    // A backfill walks over it, and finds no image that has arrived.
    let id = backfill::start(&here)?;
    backfill::wait_for(&here, &id, "COMPLETE")?;
    wait_until_idle(&here)?;
    ensure!(shown(&there, "web")? == before, "{}", shown(&there, "web")?);
    ensure!(
        there.repository("empty")?.is_some(),
        "what somebody else made was deleted"
    );
    ensure!(status(&here, "web")? == json!([]), "{}", status(&here, "web")?);
    // With the first image it is one that came from here.
    let image = RegistryClient::new(&here).push_image("web", "1", b"first")?;
    wait_for(&here, "web", &image)?;
    wait_until_same(&here, &there, "web")?;
    // Another one of its name, without an image, is not the one that came.
    here.api("DELETE", &format!("{}?force=true", repository_path("web")), None)?
        .expect(200)?;
    wait_until_idle(&here)?;
    ensure!(there.repository("web")?.is_none(), "it stays");
    there.create_repository("web")?;
    here.create_repository("web")?;
    patch(&here, "web", &json!({ "imageTagMutability": "IMMUTABLE" }))?;
    here.api("DELETE", &repository_path("web"), None)?.expect(200)?;
    wait_until_idle(&here)?;
    ensure!(
        there.repository("web")?.is_some(),
        "what somebody else made was deleted"
    );
    Ok(())
}

#[test]
fn who_may_not_replicate_is_not_believed_to_have_replicated() -> Result<()> {
    let (here, there) = pair(&["RESOURCE_TAGS"], json!({}))?;
    let image = {
        here.create_repository("web")?;
        RegistryClient::new(&here).push_image("web", "1", b"one")?
    };
    wait_for(&here, "web", &image)?;
    wait_until_same(&here, &there, "web")?;
    let credential = user(&here, "tagger", &json!(["ecr:TagResource"]))?;
    let name = |member: &str| credential[member].as_str().unwrap_or_default().to_owned();
    let authorization = http::basic(&name("username"), &name("password"));
    let path = format!("{}/resource-tags", repository_path("web"));
    let tag = |value: &str, more: &[(&str, &str)]| {
        let body = json!({ "tags": [{ "Key": "team", "Value": value }] }).to_string();
        let mut headers = vec![
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
        ];
        headers.extend(more);
        http::request(
            here.credentials().control_address(),
            "POST",
            &path,
            &headers,
            body.as_bytes(),
        )
    };
    // That it came from the destination would keep it from going there.
    let hidden = tag("hidden", &[("Hythe-Replication", "there/000000000000")])?;
    ensure!(
        hidden.status == 403 && hidden.text().contains("ecr:ReplicateImage"),
        "{}: {}",
        hidden.status,
        hidden.text()
    );
    ensure!(tag("told", &[])?.status == 200, "not set");
    wait_until_same(&here, &there, "web")?;
    ensure!(shown(&there, "web")?["tags"][0]["Value"] == "told", "not replicated");
    // Nor that it deletes what was deleted elsewhere.
    let client = RegistryClient::new(&here);
    let of_replica = [("Hythe-Replication", "there/000000000000")];
    let delete = |credential: &Value, target: &str, headers: &[(&str, &str)]| {
        let name = |member: &str| credential[member].as_str().unwrap_or_default();
        let authorization = http::basic(name("username"), name("password"));
        RegistryClient::with(here.registry(), Some(authorization)).call("DELETE", target, headers, &[])
    };
    let deleter = user(&here, "deleter", &json!(["ecr:BatchDeleteImage"]))?;
    let replicator = user(&here, "both", &json!(["ecr:BatchDeleteImage", "ecr:ReplicateImage"]))?;
    let blob = client.push_blob("web", b"in no image")?;
    for target in ["/v2/web/manifests/1", &format!("/v2/web/blobs/{blob}")] {
        let refused = delete(&deleter, target, &of_replica)?;
        ensure!(
            refused.status == 403 && refused.text().contains("ecr:ReplicateImage"),
            "{target}: {}: {}",
            refused.status,
            refused.text()
        );
    }
    delete(&deleter, &format!("/v2/web/blobs/{blob}"), &[])?.expect(202)?;
    delete(&replicator, "/v2/web/manifests/1", &of_replica)?.expect(202)?;
    let found = here.api("GET", "/api/v1/audit-events?eventName=BatchDeleteImage", None)?;
    let found = found.expect(200)?.json()?;
    let events = found["auditEvents"].as_array().context("no events")?;
    let told: Vec<_> = events
        .iter()
        .filter(|event| !event["replication"].is_null())
        .map(|event| &event["errorCode"])
        .collect();
    ensure!(told == [&Value::Null], "{events:?}");
    Ok(())
}
