// SPDX-License-Identifier: Apache-2.0
//! Replication between deployments on this machine, and to a registry that is not ours.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod backfill;
mod clock;
mod control_plane;
mod destination;
mod faults;
mod lag;
mod moving;
mod overlap;
mod settings;
mod two_nodes;
mod world;

use anyhow::{Context as _, Result, ensure};
use e2e::process::{run, wait_until};
use e2e::{DockerRegistry, RegistryClient, Server, http};
use serde_json::{Value, json};

use world::{
    ACCOUNT, LIMIT, deployment, destination, destination_as, noise, pair, push_index, push_untagged, rule, rule_to,
    statuses, tag, wait_for, wait_until_idle,
};

#[test]
fn what_is_pushed_here_is_pulled_there() -> Result<()> {
    let (here, there) = pair()?;
    here.create_repository("team/web")?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    let image = client.push_image("team/web", "1", &noise("one", 20 * 1024 * 1024))?;
    wait_for(&here, "team/web", &image)?;
    ensure!(
        remote.pull_image("team/web", "1")? > 20 * 1024 * 1024,
        "too little came"
    );

    // A tag moves, and keeps moving faster than it is sent.
    let mut last = String::new();
    for number in 0..10 {
        last = client.push_image("team/web", "latest", &noise(&format!("move {number}"), 4096))?;
    }
    wait_for(&here, "team/web", &last)?;
    wait_until_idle(&here)?;
    ensure!(
        tag(&remote, "team/web", "latest")?.as_deref() == Some(&*last),
        "the tag is elsewhere"
    );

    // An index with what it lists, an image that two of these share, and a signature of the index.
    let one = push_untagged(&client, "team/web", &noise("child one", 100_000), None)?;
    let two = push_untagged(&client, "team/web", &noise("child two", 100_000), None)?;
    let inner = push_index(&client, "team/web", "inner", std::slice::from_ref(&one))?;
    let index = push_index(&client, "team/web", "index", &[one, two, inner])?;
    let signature = push_untagged(&client, "team/web", b"signed", Some(&index))?;
    wait_for(&here, "team/web", signature["digest"].as_str().unwrap())?;
    wait_until_idle(&here)?;
    let index = index["digest"].as_str().unwrap();
    ensure!(tag(&remote, "team/web", "index")?.as_deref() == Some(index), "no index");
    let referrers = remote.call("GET", &format!("/v2/team/web/referrers/{index}"), &[], &[])?;
    let referrers = referrers.expect(200)?.json()?;
    ensure!(
        referrers["manifests"][0]["digest"] == signature["digest"],
        "{referrers}"
    );

    let metrics = http::request(here.credentials().control_address(), "GET", "/metrics", &[], &[])?;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for name in [
        "hythe_replication_tasks_done_total",
        "hythe_replication_lag_seconds_total",
    ] {
        ensure!(metrics.contains(name), "{name} is not among the metrics");
    }
    Ok(())
}

#[test]
fn an_immutable_tag_stays_and_the_image_comes_without_it() -> Result<()> {
    let (here, there) = pair()?;
    let template = json!({
        "prefix": "ROOT", "appliedFor": ["REPLICATION"], "imageTagMutability": "IMMUTABLE",
        "resourceTags": [{ "Key": "from", "Value": "here" }],
    });
    there
        .api("POST", "/api/v1/repository-creation-templates", Some(&template))?
        .expect(201)?;
    here.create_repository("web")?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    let first = client.push_image("web", "1", b"first")?;
    wait_for(&here, "web", &first)?;
    let made = there.repository("web")?.context("no repository")?;
    ensure!(made["imageTagMutability"] == "IMMUTABLE", "{made}");
    ensure!(made["tags"][0]["Value"] == "here", "{made}");
    let second = client.push_image("web", "1", b"second")?;
    let went = wait_for(&here, "web", &second)?;
    ensure!(went[0]["failureCode"] == "TagRefused", "{went:?}");
    ensure!(
        tag(&remote, "web", "1")?.as_deref() == Some(&*first),
        "the tag has moved"
    );
    remote.pull_image("web", &second)?;
    Ok(())
}

#[test]
fn another_registry_gets_images_too() -> Result<()> {
    let Some(registry) = DockerRegistry::start()? else {
        return Ok(());
    };
    let here = deployment("here")?;
    destination_as(&here, "archive", "OCI", registry.address(), None, Some("copies"))?;
    rule(
        &here,
        "all",
        "archive",
        json!({ "repositoryFilters": [{ "filter": "team/" }], "deleteReplication": { "enabled": true } }),
    )?;
    for name in ["team/web", "other"] {
        here.create_repository(name)?;
    }
    let (client, remote) = (RegistryClient::new(&here), registry.client());
    client.push_image("other", "1", b"stays")?;
    let image = client.push_image("team/web", "1", &noise("large", 20 * 1024 * 1024))?;
    wait_for(&here, "team/web", &image)?;
    ensure!(
        remote.pull_image("copies/team/web", "1")? > 20 * 1024 * 1024,
        "too little came"
    );
    let child = push_untagged(&client, "team/web", &noise("child", 100_000), None)?;
    let index = push_index(&client, "team/web", "index", &[child])?;
    wait_for(&here, "team/web", index["digest"].as_str().unwrap())?;
    let (expected, found) = (index["digest"].as_str(), tag(&remote, "copies/team/web", "index")?);
    ensure!(found.as_deref() == expected, "{found:?}");
    ensure!(
        remote.manifest("copies/other", "1")?.status == 404,
        "what no rule is for was sent"
    );
    ensure!(
        statuses(&here, "other", &client.push_image("other", "2", b"stays too")?)?.is_empty(),
        "a status"
    );
    // What is deleted here is deleted there, where tags cannot be deleted.
    client
        .call("DELETE", "/v2/team/web/manifests/1", &[], &[])?
        .expect(202)?;
    wait_until("the image is gone there too", LIMIT, || {
        remote
            .manifest("copies/team/web", "1")
            .is_ok_and(|answer| answer.status == 404)
    })?;
    wait_until_idle(&here)
}

#[test]
fn deletions_and_restorations_follow_if_a_rule_says_so() -> Result<()> {
    let (here, there) = pair()?;
    let deletes = json!({ "repositoryFilters": [{ "filter": "mirror" }], "deleteReplication": { "enabled": true } });
    rule(&here, "mirror", "there", deletes)?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    for name in ["mirror", "keep"] {
        here.create_repository(name)?;
        let image = client.push_image(name, "1", name.as_bytes())?;
        wait_for(&here, name, &image)?;
        for more in ["2", "3"] {
            client.push_image(name, more, name.as_bytes())?;
        }
        wait_until_idle(&here)?;
        ensure!(tag(&remote, name, "3")? == Some(image.clone()), "a tag did not come");
        client
            .call("DELETE", &format!("/v2/{name}/manifests/3"), &[], &[])?
            .expect(202)?;
        wait_until_idle(&here)?;
        let goes = name == "mirror";
        ensure!(tag(&remote, name, "3")?.is_none() == goes, "{name}: one tag");
        ensure!(tag(&remote, name, "1")?.is_some(), "{name}: the others stay");
        client
            .call("DELETE", &format!("/v2/{name}/manifests/{image}"), &[], &[])?
            .expect(202)?;
        wait_until_idle(&here)?;
        ensure!(tag(&remote, name, &image)?.is_none() == goes, "{name}: the image");
        let restore = format!(
            "/api/v1/repositories/{name}/deleted-images/{}/restoration",
            http::percent_encode(&image)
        );
        let restored = here.api("POST", &restore, Some(&json!({})))?;
        ensure!(restored.status == 200, "{}", String::from_utf8_lossy(&restored.body));
        wait_for(&here, name, &image)?;
        wait_until_idle(&here)?;
        ensure!(tag(&remote, name, "1")? == Some(image), "{name}: not restored there");
    }
    Ok(())
}

#[test]
fn a_ring_ends_and_a_chain_goes_on() -> Result<()> {
    let servers = [deployment("one")?, deployment("two")?, deployment("three")?];
    let [one, two, three] = &servers;
    for (from, name, to) in [(one, "two", two), (two, "one", one), (two, "three", three)] {
        destination(from, name, to)?;
    }
    rule(one, "all", "two", json!({}))?;
    rule(two, "back", "one", json!({ "replicaReplication": { "enabled": true } }))?;
    rule(
        two,
        "on",
        "three",
        json!({ "replicaReplication": { "enabled": true }, "repositoryFilters": [{ "filter": "chain" }] }),
    )?;
    rule(
        two,
        "mine",
        "three",
        json!({ "repositoryFilters": [{ "filter": "single" }] }),
    )?;
    let client = RegistryClient::new(one);
    for name in ["chain", "single"] {
        one.create_repository(name)?;
        let image = client.push_image(name, "1", name.as_bytes())?;
        wait_for(one, name, &image)?;
        wait_until_idle(two)?;
        wait_until_idle(one)?;
        let onward = statuses(two, name, &image)?;
        let regions: Vec<_> = onward
            .iter()
            .map(|it| it["region"].as_str().unwrap_or_default())
            .collect();
        ensure!(
            regions == if name == "chain" { vec!["three"] } else { vec![] },
            "{name}: {onward:?}"
        );
    }
    RegistryClient::new(three).pull_image("chain", "1")?;
    // What says that it came by here is refused: it would go round for ever.
    let path = ("Hythe-Replication", "three/000000000000, one/000000000000");
    let looped = client.call("POST", "/v2/chain/blobs/uploads/", &[path], &[])?;
    ensure!(looped.status == 409, "{}", looped.status);
    let broken = client.call(
        "POST",
        "/v2/chain/blobs/uploads/",
        &[("Hythe-Replication", "nonsense")],
        &[],
    )?;
    ensure!(broken.status == 400, "{}", broken.status);
    Ok(())
}

/// A user of the default account, with a policy of its own and a key.
fn user(server: &Server, name: &str, actions: &Value) -> Result<Value> {
    let policy =
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }] });
    let body = json!({ "policyName": name, "policyDocument": policy.to_string() });
    server.api("POST", "/api/v1/policies", Some(&body))?.expect(201)?;
    let body = json!({ "userName": name, "policies": [name] });
    server.api("POST", "/api/v1/users", Some(&body))?.expect(201)?;
    let key = server
        .api("POST", &format!("/api/v1/users/{name}/access-keys"), None)?
        .expect(201)?
        .json()?;
    Ok(json!({ "username": key["accessKeyId"], "password": key["secretAccessKey"] }))
}

#[test]
fn another_account_lets_images_in_by_its_registry_policy() -> Result<()> {
    const OTHER: &str = "111111111111";
    let (here, there) = (deployment("here")?, deployment("there")?);
    let account = json!({ "accountId": OTHER, "accountName": "other" });
    there.api("POST", "/api/v1/accounts", Some(&account))?.expect(201)?;
    let credential = user(
        &there,
        "replicator",
        &json!([
            "ecr:ReplicateImage",
            "ecr:CreateRepository",
            "ecr:GetAuthorizationToken"
        ]),
    )?;
    destination_as(
        &here,
        "there",
        "HYTHE",
        there.registry(),
        Some(credential.clone()),
        None,
    )?;
    rule_to(
        &here,
        "all",
        &json!([{ "region": "there", "registryId": OTHER }]),
        json!({}),
    )?;
    here.create_repository("web")?;
    let client = RegistryClient::new(&here);
    let image = client.push_image("web", "1", b"for others")?;
    wait_until("the other account refuses it", LIMIT, || {
        world::tasks(&here, "?isFailed=true").is_ok_and(|tasks| tasks[0]["failureCode"] == "DestinationAccessDenied")
    })
    .with_context(|| here.log())?;
    ensure!(statuses(&here, "web", &image)?[0]["status"] == "FAILED", "not given up");
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{ACCOUNT}:root") },
        "Action": ["ecr:ReplicateImage", "ecr:CreateRepository"],
        "Resource": format!("arn:aws:ecr:there:{OTHER}:repository/*"),
    }] });
    let body = json!({ "policyText": policy.to_string(), "force": true });
    there
        .api(
            "PUT",
            &format!("/api/v1/registry/policy?registryId={OTHER}"),
            Some(&body),
        )?
        .expect(200)?;
    let retried = here
        .api("POST", "/api/v1/registry/replication/tasks/retries", None)?
        .expect(200)?
        .json()?;
    ensure!(retried["count"] == 1, "{retried}");
    wait_for(&here, "web", &image)?;
    // Who may bring images there may not read them, nor push.
    let name = |member: &str| credential[member].as_str().unwrap_or_default().to_owned();
    let replicator = RegistryClient::with(
        there.registry(),
        Some(http::basic(&name("username"), &name("password"))),
    );
    let there_named = format!("{OTHER}/web");
    ensure!(
        replicator.manifest(&there_named, "1")?.status == 403,
        "the replicator reads"
    );
    let path = ("Hythe-Replication", "here/000000000000");
    let read = replicator.call("GET", &format!("/v2/{there_named}/manifests/1"), &[path], &[])?;
    ensure!(
        read.status == 403,
        "the replicator reads with a header: {}",
        read.status
    );
    let push = replicator.call("POST", &format!("/v2/{there_named}/blobs/uploads/"), &[], &[])?;
    ensure!(push.status == 403, "the replicator pushes");
    let administrator = RegistryClient::new(&there);
    administrator.pull_image(&there_named, "1")?;
    Ok(())
}

#[test]
fn what_cannot_be_sent_says_why_and_when_it_is_tried_next() -> Result<()> {
    let here = deployment("here")?;
    destination_as(&here, "away", "HYTHE", "127.0.0.1:1", None, None)?;
    rule(&here, "all", "away", json!({}))?;
    here.create_repository("web")?;
    let image = RegistryClient::new(&here).push_image("web", "1", b"kept here")?;
    let mut status = Value::Null;
    wait_until("it was tried", LIMIT, || {
        let found = statuses(&here, "web", &image).unwrap_or_default();
        status = found.first().cloned().unwrap_or_default();
        status["attempts"].as_u64() >= Some(1)
    })
    .with_context(|| format!("{status}"))?;
    ensure!(
        status["status"] == "IN_PROGRESS"
            && status["failureCode"] == "DestinationUnavailable"
            && status["nextAttemptAt"].is_string(),
        "{status}"
    );
    let hythe = |arguments: &[&str]| run(here.command(arguments)?.env("HOME", here.scratch()));
    for words in [&["status", "web:1"][..], &["tasks"]] {
        let shown = hythe(&[&["replication"], words].concat())?.ok()?.stdout;
        ensure!(
            shown.contains("DestinationUnavailable") && shown.contains("cannot be reached"),
            "{shown}"
        );
    }
    Ok(())
}

#[test]
fn the_command_line_sets_it_up_and_says_how_it_goes() -> Result<()> {
    let (here, there) = (deployment("here")?, deployment("there")?);
    let hythe = |arguments: &[&str]| run(here.command(arguments)?.env("HOME", here.scratch()));
    let secret = here.scratch().join("secret");
    std::fs::write(&secret, format!("{}\n", there.credentials().secret_access_key))?;
    let endpoint = format!("http://{}", there.registry());
    let (key, secret) = (&there.credentials().access_key_id, secret.to_str().context("UTF-8")?);
    hythe(&[
        "replication",
        "destination",
        "create",
        "there",
        "--url",
        &endpoint,
        "--username",
        key,
        "--password-file",
        secret,
    ])?
    .ok()?;
    let listed = hythe(&["replication", "destination", "list"])?.ok()?;
    ensure!(
        listed.stdout.contains(&endpoint) && !listed.stdout.contains(&there.credentials().secret_access_key),
        "{}",
        listed.stdout
    );
    let document = here.scratch().join("replication.json");
    let rules = json!({ "rules": [{ "destinations": [{ "region": "there", "registryId": ACCOUNT }],
        "repositoryFilters": [{ "filter": "team/", "filterType": "PREFIX_MATCH" }] }] });
    std::fs::write(&document, rules.to_string())?;
    hythe(&["replication", "set", document.to_str().context("UTF-8")?])?.ok()?;
    let got = hythe(&["replication", "get"])?.ok()?;
    ensure!(serde_json::from_str::<Value>(&got.stdout)? == rules, "{}", got.stdout);
    here.create_repository("team/web")?;
    let image = RegistryClient::new(&here).push_image("team/web", "1", b"by command")?;
    wait_for(&here, "team/web", &image)?;
    let status = hythe(&["replication", "status", "team/web:1"])?.ok()?;
    ensure!(status.stdout.contains("complete"), "{}", status.stdout);
    // A destination that nothing waits for is listed, too.
    let progress = hythe(&["replication", "status"])?.ok()?;
    let line: Vec<_> = progress
        .stdout
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    ensure!(
        line == [format!("there/{ACCOUNT}").as_str(), "0", "0"],
        "{}",
        progress.stdout
    );
    // What is not there is not silently nothing.
    for words in [
        "tasks --region nowhere",
        "retry --region nowhere",
        "drop --yes --region nowhere",
        "retry --task nonsense",
        "drop --yes --task nonsense",
    ] {
        let arguments: Vec<_> = ["replication"].into_iter().chain(words.split(' ')).collect();
        let refused = hythe(&arguments)?.refused()?;
        ensure!(
            refused.status.code() == Some(3) && refused.stderr.contains("does not exist"),
            "{words}: {}",
            refused.both()
        );
    }
    let refused = hythe(&["replication", "destination", "delete", "there", "--yes"])?;
    ensure!(
        !refused.status.success() && refused.both().contains("(the document)"),
        "{}",
        refused.both()
    );
    // A rule says all that it is, and what is not said again is off.
    let put = |more: &[&str]| {
        let rule = ["replication", "rule", "put", "all", "--to", "there"];
        hythe(&[&rule, more].concat())
    };
    put(&["--deletions", "--repository-prefix", "team/"])?.ok()?;
    let listed = hythe(&["replication", "rule", "list"])?.ok()?;
    ensure!(
        listed.stdout.contains("team/*") && listed.stdout.contains("deletions"),
        "{}",
        listed.stdout
    );
    let replaced = put(&["--replicas"])?.ok()?;
    let said: Vec<_> = replaced.stdout.split_whitespace().collect();
    ensure!(
        said.join(" ")
            .contains("repositories: all deletions: false replicas: true settings: none"),
        "{}",
        replaced.stdout
    );
    hythe(&["replication", "rule", "delete", "all", "--yes"])?.ok()?;
    // The registry itself is no destination, and neither is what nobody set up.
    for (region, said) in [("here", "same as the source registry"), ("nowhere", "does not exist")] {
        std::fs::write(
            &document,
            json!({ "rules": [{ "destinations": [{ "region": region, "registryId": ACCOUNT }] }] }).to_string(),
        )?;
        let refused = hythe(&["replication", "set", document.to_str().context("UTF-8")?])?;
        ensure!(refused.both().contains(said), "{}", refused.both());
    }
    // Another registry has no accounts: everything would go there twice.
    let oci = [
        "replication",
        "destination",
        "create",
        "backup",
        "--kind",
        "oci",
        "--url",
        &endpoint,
    ];
    hythe(&oci)?.ok()?;
    let elsewhere = "backup/111111111111";
    let refused = hythe(&["replication", "rule", "put", "all", "--to", elsewhere])?.refused()?;
    ensure!(refused.stderr.contains("is of kind OCI"), "{}", refused.both());
    let target = json!([{ "region": "backup", "registryId": "111111111111" }]);
    std::fs::write(&document, json!({ "rules": [{ "destinations": target }] }).to_string())?;
    let refused = hythe(&["replication", "set", document.to_str().context("UTF-8")?])?.refused()?;
    ensure!(refused.stderr.contains("is of kind OCI"), "{}", refused.both());
    std::fs::write(&document, r#"{"rules":[]}"#)?;
    hythe(&["replication", "set", document.to_str().context("UTF-8")?])?.ok()?;
    hythe(&["replication", "destination", "delete", "there", "--yes"])?.ok()?;
    Ok(())
}
