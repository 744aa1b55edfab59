// SPDX-License-Identifier: Apache-2.0
//! Deployments that replicate to each other.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::process::wait_until;
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, config_of, digest};
use e2e::server::repository_path;
use e2e::{RegistryClient, Server, ServerOptions, http};
use serde_json::{Value, json};

pub const ACCOUNT: &str = "000000000000";
pub const LIMIT: Duration = Duration::from_mins(1);

/// A deployment that may speak to others on this machine.
pub fn deployment(region: &str) -> Result<Server> {
    deployment_with(region, &[])
}

pub fn deployment_with(region: &str, environment: &[(&str, &str)]) -> Result<Server> {
    let arguments = ["--region", region, "--outgoing-allow", "127.0.0.0/8"];
    Server::start_with(ServerOptions {
        arguments: arguments.map(Into::into).into(),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..ServerOptions::default()
    })
}

/// Makes `to` a destination of `from`, as its administrator.
pub fn destination(from: &Server, name: &str, to: &Server) -> Result<()> {
    let credentials = to.credentials();
    let credential = json!({ "username": credentials.access_key_id, "password": credentials.secret_access_key });
    destination_as(from, name, "HYTHE", to.registry(), Some(credential), None)
}

pub fn destination_as(
    from: &Server,
    name: &str,
    kind: &str,
    address: &str,
    credential: Option<Value>,
    prefix: Option<&str>,
) -> Result<()> {
    let mut body = json!({ "destinationName": name, "kind": kind, "endpoint": format!("http://{address}") });
    let members = body.as_object_mut().context("an object")?;
    members.extend(credential.map(|it| ("credential".to_owned(), it)));
    members.extend(prefix.map(|it| ("repositoryPrefix".to_owned(), it.into())));
    from.api("POST", "/api/v1/replication-destinations", Some(&body))?
        .expect(201)?;
    Ok(())
}

/// Puts a rule of this name.
pub fn rule(from: &Server, name: &str, region: &str, more: Value) -> Result<()> {
    rule_to(from, name, &json!([{ "region": region, "registryId": ACCOUNT }]), more)
}

pub fn rule_to(from: &Server, name: &str, destinations: &Value, more: Value) -> Result<()> {
    let mut rule = json!({ "destinations": destinations });
    if let (Some(rule), Value::Object(more)) = (rule.as_object_mut(), more) {
        rule.extend(more);
    }
    let path = format!("/api/v1/registry/replication/rules/{name}");
    from.api("PUT", &path, Some(&json!({ "rule": rule })))?.expect(200)?;
    Ok(())
}

/// Two deployments, `here` with a rule for all repositories.
pub fn pair() -> Result<(Server, Server)> {
    let (here, there) = (deployment("here")?, deployment("there")?);
    destination(&here, "there", &there)?;
    rule(&here, "all", "there", json!({}))?;
    Ok((here, there))
}

/// What became of an image at its destinations.
pub fn statuses(server: &Server, repository: &str, image: &str) -> Result<Vec<Value>> {
    let path = format!(
        "{}/images/{}/replication-status",
        repository_path(repository),
        http::percent_encode(image)
    );
    let answer = server.api("GET", &path, None)?.expect(200)?.json()?;
    Ok(answer["replicationStatuses"].as_array().cloned().unwrap_or_default())
}

/// Waits until an image is everywhere; what it went without comes back.
pub fn wait_for(server: &Server, repository: &str, image: &str) -> Result<Vec<Value>> {
    let mut last = Vec::new();
    let waited = wait_until(&format!("{repository}@{image} is replicated"), LIMIT, || {
        last = statuses(server, repository, image).unwrap_or_default();
        !last.is_empty() && last.iter().all(|status| status["status"] == "COMPLETE")
    });
    waited.with_context(|| format!("{last:?}\n{}", server.log()))?;
    Ok(last)
}

/// Waits until nothing waits.
pub fn wait_until_idle(server: &Server) -> Result<()> {
    let mut last = Value::Null;
    let waited = wait_until("nothing waits for replication", LIMIT, || {
        last = tasks(server, "").unwrap_or_default();
        last == json!([])
    });
    waited.with_context(|| format!("{last}\n{}", server.log()))
}

/// What waits, or was given up.
pub fn tasks(server: &Server, query: &str) -> Result<Value> {
    let path = format!("/api/v1/registry/replication/tasks{query}");
    Ok(server.api("GET", &path, None)?.expect(200)?.json()?["replicationTasks"].clone())
}

/// The digest that a tag has, if there is one.
pub fn tag(client: &RegistryClient, repository: &str, tag: &str) -> Result<Option<String>> {
    let answer = client.manifest(repository, tag)?;
    Ok((answer.status == 200).then(|| digest(&answer.body)))
}

/// The tags, or digests, of the replicas that a repository was given, from the audit log; the oldest comes last.
pub fn arrivals_of(server: &Server, repository: &str) -> Result<Vec<String>> {
    let path = format!("/api/v1/audit-events?eventName=ReplicateImage&repository={repository}&maxResults=1000");
    let answer = server.api("GET", &path, None)?.expect(200)?.json()?;
    let events = answer["auditEvents"].as_array().context("no events")?;
    let name = |event: &Value| {
        let name = event["imageTag"].as_str().or(event["imageDigest"].as_str());
        name.unwrap_or_default().to_owned()
    };
    let is_arrival = |event: &&Value| event["operation"] == "manifest.put" && event["errorCode"].is_null();
    Ok(events.iter().filter(is_arrival).map(name).collect())
}

/// Bytes that look like no others.
pub fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

/// Pushes an image without a tag; answers its descriptor.
pub fn push_untagged(
    client: &RegistryClient,
    repository: &str,
    content: &[u8],
    subject: Option<&Value>,
) -> Result<Value> {
    let config = config_of(content);
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": client.push_blob(repository, config.as_bytes())?, "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar",
                     "digest": client.push_blob(repository, content)?, "size": content.len() }],
    });
    if let (Some(subject), Some(members)) = (subject, manifest.as_object_mut()) {
        members.insert("subject".into(), subject.clone());
        members.insert("artifactType".into(), "application/vnd.example.signature".into());
    }
    put(client, repository, None, OCI_MANIFEST, &manifest)
}

/// Pushes an index of some images.
pub fn push_index(client: &RegistryClient, repository: &str, tag: &str, children: &[Value]) -> Result<Value> {
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children });
    put(client, repository, Some(tag), OCI_INDEX, &index)
}

fn put(
    client: &RegistryClient,
    repository: &str,
    tag: Option<&str>,
    media_type: &str,
    manifest: &Value,
) -> Result<Value> {
    let bytes = manifest.to_string().into_bytes();
    let digest = digest(&bytes);
    let reference = tag.unwrap_or(&digest);
    let answer = client.put_manifest(repository, reference, media_type, &bytes)?;
    ensure!(
        answer.status == 201,
        "{}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
}
