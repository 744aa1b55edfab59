// SPDX-License-Identifier: Apache-2.0
//! Signatures and what else refers to images comes with them.

use anyhow::{Result, ensure};
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, artifact, descriptor_of, digest};
use e2e::upstream::{Reply, ScriptedUpstream};
use e2e::{DockerRegistry, RegistryClient, Server, http};
use serde_json::{Value, json};

use super::{Shelf, again, ended, expect, has_note, mirror, server};

const SIGNATURE: &str = "application/vnd.example.signature";
const SBOM: &str = "application/spdx+json";

fn referrers(report: &Value) -> u64 {
    report["mirrorRun"]["counts"]["referrers"].as_u64().unwrap_or(u64::MAX)
}

/// What refers to an image, by digest.
fn listed(client: &RegistryClient, repository: &str, subject: &str) -> Result<Vec<String>> {
    let target = format!("/v2/{repository}/referrers/{subject}");
    let index = client.call("GET", &target, &[], &[])?.expect(200)?.json()?;
    let entries = index["manifests"].as_array().cloned().unwrap_or_default();
    let digests = entries.iter().filter_map(|entry| entry["digest"].as_str());
    Ok(digests.map(str::to_owned).collect())
}

fn descriptor(client: &RegistryClient, repository: &str, reference: &str) -> Result<Value> {
    Ok(descriptor_of(
        &client.manifest(repository, reference)?.expect(200)?.body,
    ))
}

#[test]
fn signatures_come_with_the_image_and_later() -> Result<()> {
    let mut upstream = Server::start()?;
    upstream.create_repository("team/web")?;
    let there = RegistryClient::new(&upstream);
    let image = there.push_image("team/web", "v1", b"layer")?;
    let subject = descriptor(&there, "team/web", "v1")?;
    let sbom = there.push_artifact("team/web", &subject, SBOM, "parts")?;
    let of_sbom = descriptor(&there, "team/web", &sbom)?;
    there.push_artifact("team/web", &of_sbom, SIGNATURE, "of the parts")?;
    let key = upstream.credentials();
    let credential = json!({ "username": key.access_key_id, "accessToken": key.secret_access_key });
    let server = server()?;
    let url = format!("http://{}", upstream.registry());
    mirror(
        &server,
        "hub",
        &url,
        &["team/web"],
        &json!({ "credential": credential }),
    )?;
    let report = ended(&server, "hub", 1)?;
    expect(&report, "COMPLETE 1 0 0 0 0 0")?;
    ensure!(referrers(&report) == 2, "{report:#}");
    ensure!(server.metric("hythe_mirror_referrers_total")? == 2);
    // A signature of an image that is here already; nothing comes twice.
    let signature = there.push_artifact("team/web", &subject, SIGNATURE, "later")?;
    let report = again(&server, "hub")?;
    expect(&report, "COMPLETE 0 0 1 0 0 0")?;
    ensure!(referrers(&report) == 1, "{report:#}");
    ensure!(referrers(&again(&server, "hub")?) == 0);
    // What is deleted here does not come again.
    let path = format!(
        "/api/v1/repositories/{}/images/{sbom}",
        http::percent_encode("hub/team/web")
    );
    server.api("DELETE", &path, None)?.expect(200)?;
    ensure!(referrers(&again(&server, "hub")?) == 0);
    // All of it is here when the other registry is not.
    upstream.kill9()?;
    let here = RegistryClient::new(&server);
    let found = listed(&here, "hub/team/web", &image)?;
    ensure!(found == [signature.as_str()], "{found:?}");
    here.pull_image("hub/team/web", &signature)?;
    Ok(())
}

#[test]
fn a_registry_that_lists_them_by_tag_is_understood() -> Result<()> {
    let server = server()?;
    let Some(mut upstream) = DockerRegistry::start()? else {
        return Ok(());
    };
    let there = upstream.client();
    let image = there.push_image("library/thing", "v1", b"a layer")?;
    let subject = descriptor(&there, "library/thing", "v1")?;
    let signature = there.push_artifact("library/thing", &subject, SIGNATURE, "by tag")?;
    let mut entry = descriptor(&there, "library/thing", &signature)?;
    entry["artifactType"] = SIGNATURE.into();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] }).to_string();
    there
        .put_manifest("library/thing", &image.replace(':', "-"), OCI_INDEX, index.as_bytes())?
        .expect(201)?;
    let url = format!("http://{}", upstream.address());
    mirror(&server, "hub", &url, &["library/thing"], &json!({ "tags": ["v*"] }))?;
    let report = ended(&server, "hub", 1)?;
    expect(&report, "COMPLETE 1 0 0 0 0 0")?;
    ensure!(referrers(&report) == 1, "{report:#}");
    upstream.kill9()?;
    let here = RegistryClient::new(&server);
    here.pull_image("hub/library/thing", &signature)?;
    ensure!(listed(&here, "hub/library/thing", &image)? == [signature]);
    Ok(())
}

#[test]
fn lists_that_lie_bring_nothing() -> Result<()> {
    let shelf = Shelf::default();
    let image = shelf.put("a/b", "v1", b"layer");
    let other = shelf.put("a/b", "other", b"another layer");
    let subject = json!({ "mediaType": OCI_MANIFEST, "digest": image, "size": 2 });
    let entry = |digest: &str| json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": 2 });
    let many: Vec<Value> = (0..150_u32)
        .map(|number| entry(&digest(&number.to_le_bytes())))
        .collect();
    let real = artifact(&subject, SIGNATURE, "real");
    let index = |entries: &[Value]| {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        Reply::new(200, &[("Content-Type", OCI_INDEX)], index.to_string())
    };
    // What the list is, what becomes of the run, and the note.
    let cases = [
        ("not there", Reply::new(404, &[], ""), "COMPLETE", None),
        ("not known", Reply::new(400, &[], ""), "COMPLETE", None),
        ("gone since", index(&many[..3]), "COMPLETE", None),
        (
            "of another",
            index(&[entry(&other)]),
            "INCOMPLETE",
            Some(("FAILED", "UPSTREAM_ANSWER_INVALID")),
        ),
        (
            "html",
            Reply::new(200, &[], "<html>"),
            "INCOMPLETE",
            Some(("FAILED", "UPSTREAM_ANSWER_INVALID")),
        ),
        (
            "denied",
            Reply::new(403, &[], ""),
            "INCOMPLETE",
            Some(("FAILED", "UPSTREAM_ACCESS_DENIED")),
        ),
        (
            "too many",
            index(&many),
            "COMPLETE",
            Some(("SKIPPED", "TOO_MANY_REFERRERS")),
        ),
        ("one", index(&[entry(&digest(&real))]), "COMPLETE", None),
    ];
    for (what, list, status, note) in cases {
        let (shown, real) = (shelf.clone(), real.clone());
        let named = [format!("/referrers/{image}"), format!("/manifests/{}", digest(&real))];
        let upstream = ScriptedUpstream::start(move |asked| {
            if asked.target.ends_with(&named[0]) {
                list.clone()
            } else if asked.target.ends_with(&named[1]) {
                Reply::new(200, &[("Content-Type", OCI_MANIFEST)], real.clone())
            } else if asked.target.ends_with(&digest(b"{}")) {
                Reply::new(200, &[], "{}")
            } else {
                shown.reply(asked)
            }
        })?;
        let server = server()?;
        mirror(&server, "up", &upstream.url(), &["a/b"], &json!({ "tags": ["v1"] }))?;
        let report = ended(&server, "up", 1)?;
        ensure!(report["mirrorRun"]["status"] == status, "{what}: {report:#}");
        ensure!(report["mirrorRun"]["counts"]["created"] == 1, "{what}: {report:#}");
        ensure!(referrers(&report) == u64::from(what == "one"), "{what}: {report:#}");
        let notes = report["notes"].as_array().cloned().unwrap_or_default();
        ensure!(notes.is_empty() == note.is_none(), "{what}: {report:#}");
        if let Some((kind, code)) = note {
            let reference = if what == "of another" { other.as_str() } else { "v1" };
            ensure!(has_note(&report, kind, code, reference), "{what}: {report:#}");
        }
        RegistryClient::new(&server).pull_image("up/a/b", "v1")?;
        ensure!(upstream.count("GET ") < 200, "{what}");
    }
    Ok(())
}
