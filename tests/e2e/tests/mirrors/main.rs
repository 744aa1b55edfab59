// SPDX-License-Identifier: Apache-2.0
//! Images that come from other registries on a schedule: another Hythe, Debian's `docker-registry`, and one that does what it
//! should not.
#![allow(clippy::indexing_slicing, reason = "test code")]

mod faults;
mod referrers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::nodes::TwoNodes;
use e2e::process::{Daemon, run, wait_until};
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, config_of, digest, manifest};
use e2e::upstream::{Asked, Reply, ScriptedUpstream};
use e2e::{DockerRegistry, RegistryClient, Server, ServerOptions, TestClock, http};
use rustix::process::Signal;
use serde_json::{Value, json};

const RULES: &str = "/api/v1/pull-through-cache-rules";
/// What a run may take: it waits for imports, and three times for an upstream that is gone.
const RUN_LIMIT: Duration = Duration::from_mins(2);

fn server_with(environment: &[(&str, &str)]) -> Result<Server> {
    Server::start_with(ServerOptions {
        arguments: ["--outgoing-allow", "127.0.0.0/8"].map(str::to_owned).to_vec(),
        environment: environment
            .iter()
            .map(|&(name, value)| (name.into(), value.into()))
            .collect(),
        ..ServerOptions::default()
    })
}

fn server() -> Result<Server> {
    server_with(&[])
}

/// Creates a rule whose mirror fetches these repositories once an hour.
fn mirror(server: &Server, prefix: &str, upstream: &str, repositories: &[&str], more: &Value) -> Result<()> {
    let mut mirror = json!({ "intervalMinutes": 60, "repositories": repositories });
    let mut body = json!({ "ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": upstream });
    for (name, value) in more.as_object().into_iter().flatten() {
        let is_of_rule = matches!(name.as_str(), "credential" | "upstreamRepositoryPrefix");
        (if is_of_rule { &mut body } else { &mut mirror })[name] = value.clone();
    }
    body["mirror"] = mirror;
    server.api("POST", RULES, Some(&body))?.expect(201)?;
    Ok(())
}

/// The runs of a rule, oldest first.
fn runs(server: &Server, prefix: &str) -> Result<Vec<Value>> {
    let path = format!("{RULES}/{prefix}/mirror-runs");
    let page = server.api("GET", &path, None)?.expect(200)?.json()?;
    let mut runs = page["mirrorRuns"].as_array().cloned().unwrap_or_default();
    runs.reverse();
    Ok(runs)
}

/// The report of the run with this number, counted from 1, when it has ended.
fn ended(server: &Server, prefix: &str, number: usize) -> Result<Value> {
    let mut id = String::new();
    wait_until(&format!("run {number} of {prefix} has ended"), RUN_LIMIT, || {
        let runs = runs(server, prefix).unwrap_or_default();
        let run = runs.get(number - 1).filter(|run| run["endedAt"].is_string());
        let found = run.and_then(|run| run["mirrorRunId"].as_str());
        found.unwrap_or_default().clone_into(&mut id);
        !id.is_empty()
    })
    .with_context(|| format!("{:?}\n{}", runs(server, prefix), server.log()))?;
    let path = format!("{RULES}/{prefix}/mirror-runs/{id}");
    server.api("GET", &path, None)?.expect(200)?.json()
}

/// Starts a run, and gives its report when it has ended.
fn again(server: &Server, prefix: &str) -> Result<Value> {
    let before = runs(server, prefix)?.len();
    let path = format!("{RULES}/{prefix}/mirror-runs");
    let started = server.api("POST", &path, None)?.expect(201)?.json()?;
    ensure!(
        started["status"] == "RUNNING" && started["cause"] == "REQUEST",
        "{started}"
    );
    ended(server, prefix, before + 1)
}

/// Status, and how many tags are new, moved, unchanged, skipped, failed and removed.
fn told(report: &Value) -> String {
    let run = &report["mirrorRun"];
    let counts = ["created", "moved", "unchanged", "skipped", "failed", "removed"];
    let counts: Vec<String> = counts.iter().map(|name| run["counts"][name].to_string()).collect();
    format!("{} {}", run["status"].as_str().unwrap_or_default(), counts.join(" "))
}

fn expect(report: &Value, wanted: &str) -> Result<()> {
    ensure!(told(report) == wanted, "not {wanted}: {} in {report:#}", told(report));
    Ok(())
}

/// Whether a note of this code is there.
fn has_note(report: &Value, kind: &str, code: &str, reference: &str) -> bool {
    report["notes"].as_array().into_iter().flatten().any(|note| {
        note["kind"] == kind && note["code"] == code && note["reference"].as_str().unwrap_or_default() == reference
    })
}

fn digest_of(server: &Server, repository: &str, tag: &str) -> Result<Option<String>> {
    let path = format!("/api/v1/repositories/{}/tags/{tag}", http::percent_encode(repository));
    let answer = server.api("GET", &path, None)?;
    Ok(match answer.status {
        200 => answer.json()?["imageDigest"].as_str().map(str::to_owned),
        _ => None,
    })
}

/// Media type and bytes of what is at a path.
type Files = BTreeMap<String, (String, Vec<u8>)>;

/// A registry of files, which lists its tags and repositories.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Files>>);

impl Shelf {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an image at a tag; gives its digest.
    fn put(&self, repository: &str, tag: &str, layer: &[u8]) -> String {
        let config = config_of(layer);
        let bytes = manifest(&digest(config.as_bytes()), config.len(), &digest(layer), layer.len());
        let name = digest(&bytes);
        let octets = "application/octet-stream".to_owned();
        let mut files = self.files();
        for (kind, name, media_type, body) in [
            ("manifests", tag.to_owned(), OCI_MANIFEST.to_owned(), bytes.clone()),
            ("manifests", name.clone(), OCI_MANIFEST.to_owned(), bytes),
            ("blobs", digest(config.as_bytes()), octets.clone(), config.into_bytes()),
            ("blobs", digest(layer), octets, layer.to_vec()),
        ] {
            files.insert(format!("/v2/{repository}/{kind}/{name}"), (media_type, body));
        }
        name
    }

    fn remove(&self, repository: &str, reference: &str) {
        let mut files = self.files();
        files.remove(&format!("/v2/{repository}/manifests/{reference}"));
    }

    /// The tags of each repository.
    fn tags(&self) -> BTreeMap<String, Vec<String>> {
        let files = self.files();
        let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for target in files.keys() {
            let named = target.strip_prefix("/v2/").and_then(|it| it.split_once("/manifests/"));
            if let Some((repository, tag)) = named.filter(|(_, tag)| !tag.contains(':')) {
                tags.entry(repository.to_owned()).or_default().push(tag.to_owned());
            }
        }
        tags
    }

    fn reply(&self, asked: &Asked) -> Reply {
        let path = asked.target.split('?').next().unwrap_or_default();
        let json = |body: Value| Reply::new(200, &[("Content-Type", "application/json")], body.to_string());
        if path == "/v2/_catalog" {
            return json(json!({ "repositories": self.tags().keys().collect::<Vec<_>>() }));
        }
        let listed = path.strip_prefix("/v2/").and_then(|it| it.strip_suffix("/tags/list"));
        if let Some(repository) = listed {
            return match self.tags().get(repository) {
                Some(tags) => json(json!({ "name": repository, "tags": tags })),
                None => Reply::new(404, &[], "{}"),
            };
        }
        match self.files().get(path) {
            Some((media_type, body)) => {
                let name = digest(body);
                let headers = [("Content-Type", media_type.as_str()), ("Docker-Content-Digest", &name)];
                Reply::new(200, &headers, body.clone())
            }
            None => Reply::new(404, &[], "{}"),
        }
    }

    fn serve(&self) -> Result<ScriptedUpstream> {
        let shown = self.clone();
        ScriptedUpstream::start(move |asked| shown.reply(asked))
    }
}

#[test]
fn images_of_another_hythe_come_without_a_pull_and_follow() -> Result<()> {
    let mut upstream = Server::start()?;
    let there = RegistryClient::new(&upstream);
    for name in ["team/web", "team/tool", "other/thing"] {
        upstream.create_repository(name)?;
    }
    let first = there.push_image("team/web", "1.9", &vec![7; 300_000])?;
    there.push_image("team/web", "1.10", b"ten")?;
    there.push_image("team/web", "1.2", b"two")?;
    there.push_image("team/web", "dev", b"dev")?;
    let latest = there.push_image("team/web", "latest", b"latest")?;
    there.push_image("team/tool", "latest", b"tool")?;
    there.push_image("other/thing", "latest", b"thing")?;
    let key = upstream.credentials().clone();
    let credential = json!({ "username": key.access_key_id, "accessToken": key.secret_access_key });
    let mut server = server()?;
    let more = json!({
        "credential": credential, "newestTags": 2, "excludeTags": ["dev*"],
        "upstreamRepositoryPrefix": "team",
    });
    let url = format!("http://{}", upstream.registry());
    mirror(&server, "hub", &url, &["team/*"], &more)?;
    let report = ended(&server, "hub", 1)?;
    expect(&report, "COMPLETE 4 0 0 0 0 0")?;
    ensure!(report["mirrorRun"]["cause"] == "SCHEDULE", "{report}");
    ensure!(
        server.repository_names("")? == ["hub/tool", "hub/web"],
        "{:?}",
        server.repository_names("")
    );
    ensure!(digest_of(&server, "hub/web", "1.9")? == Some(first.clone()));
    ensure!(digest_of(&server, "hub/web", "1.2")?.is_none() && digest_of(&server, "hub/web", "dev")?.is_none());
    let rule = server.api("GET", &format!("{RULES}/hub"), None)?.expect(200)?.json()?;
    ensure!(rule["mirrorStatus"]["succeededAt"].is_string(), "{rule}");
    ensure!(rule["mirror"]["newestTags"] == 2, "{rule}");

    // Nothing is to be done; then a tag moves, and one vanishes, which stays here.
    expect(&again(&server, "hub")?, "COMPLETE 0 0 4 0 0 0")?;
    let second = there.push_image("team/web", "1.9", b"moved")?;
    upstream
        .api("DELETE", "/api/v1/repositories/team%2Fweb/tags/latest", None)?
        .expect(200)?;
    expect(&again(&server, "hub")?, "COMPLETE 0 1 2 0 0 0")?;
    ensure!(digest_of(&server, "hub/web", "1.9")? == Some(second));
    ensure!(digest_of(&server, "hub/web", "latest")? == Some(latest.clone()));

    // With another setting it goes, as soon as that is set.
    let mirror = json!({ "mirror": {
        "intervalMinutes": 60, "repositories": ["team/*"], "newestTags": 2, "excludeTags": ["dev*"], "removeVanished": true,
    } });
    server
        .api("PATCH", &format!("{RULES}/hub"), Some(&mirror))?
        .expect(200)?;
    let report = ended(&server, "hub", 4)?;
    expect(&report, "COMPLETE 0 0 3 0 0 1")?;
    ensure!(has_note(&report, "REMOVED", "TAG_REMOVED", "latest"), "{report}");
    ensure!(digest_of(&server, "hub/web", "latest")?.is_none());
    ensure!(server.metric("hythe_mirror_tags_total{result=\"created\"}")? == 4);
    ensure!(server.metric("hythe_mirror_runs_total{status=\"complete\"}")? == 4);

    // All of it can be pulled when the upstream is gone, also after a crash.
    upstream.kill9()?;
    server.kill9()?;
    server.restart()?;
    let here = RegistryClient::new(&server);
    for image in ["1.9", "1.10", &first] {
        here.pull_image("hub/web", image)?;
    }
    here.pull_image("hub/tool", "latest")?;

    // The upstream stays gone: that is said, and nothing is lost.
    let report = again(&server, "hub")?;
    ensure!(told(&report).starts_with("FAILED"), "{report:#}");
    let why = report["mirrorRun"]["failureReason"].as_str().unwrap_or_default();
    ensure!(why.contains("cannot be reached"), "{why}");
    here.pull_image("hub/web", "1.10")?;

    // Everything is in the audit log: what was asked for, and what the server did by itself.
    for event in [
        "StartMirrorRun",
        "PullThroughCacheMirrorRun",
        "PullThroughCacheMirrorRemoval",
        "PullThroughCacheImport",
        "CreateRepository",
    ] {
        let path = format!("/api/v1/audit-events?eventName={event}&maxResults=100");
        let records = server.api("GET", &path, None)?.expect(200)?.text();
        ensure!(
            records.contains(&format!("\"eventName\":\"{event}\"")),
            "no {event}: {records}"
        );
        ensure!(!records.contains(&key.secret_access_key), "{event}");
    }
    Ok(())
}

#[test]
fn an_index_of_docker_registry_comes_whole() -> Result<()> {
    let server = server()?;
    let Some(mut upstream) = DockerRegistry::start()? else {
        return Ok(());
    };
    let there = upstream.client();
    let mut children = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let child = there.push_image("library/thing", architecture, architecture.as_bytes())?;
        let size = there.manifest("library/thing", &child)?.expect(200)?.body.len();
        children.push(json!({
            "mediaType": OCI_MANIFEST, "digest": child, "size": size,
            "platform": { "os": "linux", "architecture": architecture },
        }));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children }).to_string();
    // More tags than one page of this registry has, all but one of which are the index.
    for number in 0..120 {
        let tag = format!("n{number}");
        there
            .put_manifest("library/thing", &tag, OCI_INDEX, index.as_bytes())?
            .expect(201)?;
    }
    let more = json!({ "tags": ["n*"] });
    mirror(
        &server,
        "hub",
        &format!("http://{}", upstream.address()),
        &["library/*"],
        &more,
    )?;
    expect(&ended(&server, "hub", 1)?, "COMPLETE 120 0 0 0 0 0")?;
    upstream.kill9()?;
    let here = RegistryClient::new(&server);
    for tag in ["n0", "n119", "n99"] {
        ensure!(digest_of(&server, "hub/library/thing", tag)? == Some(digest(index.as_bytes())));
        let pulled = here.manifest("hub/library/thing", tag)?.expect(200)?;
        ensure!(pulled.body == index.as_bytes(), "{}", pulled.text());
    }
    for child in &children {
        here.pull_image("hub/library/thing", child["digest"].as_str().unwrap_or_default())?;
    }
    Ok(())
}

#[test]
fn what_somebody_did_here_stays() -> Result<()> {
    let shelf = Shelf::default();
    shelf.put("a/b", "pushed", b"pushed there");
    shelf.put("a/b", "deleted", b"deleted here");
    shelf.put("a/b", "fixed", b"first");
    shelf.put("a/b", "same", b"same");
    let upstream = shelf.serve()?;
    let server = server()?;
    server.create_repository_with(&json!({
        "repositoryName": "up/a/b", "imageTagMutability": "MUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [{ "filterType": "WILDCARD", "filter": "fix*" }],
    }))?;
    let here = RegistryClient::new(&server);
    let own = here.push_image("up/a/b", "pushed", b"pushed here")?;
    mirror(
        &server,
        "up",
        &upstream.url(),
        &["a/b"],
        &json!({ "removeVanished": true }),
    )?;
    let report = ended(&server, "up", 1)?;
    expect(&report, "COMPLETE 3 0 0 1 0 0")?;
    ensure!(has_note(&report, "SKIPPED", "TAG_SET_HERE", "pushed"), "{report}");
    ensure!(digest_of(&server, "up/a/b", "pushed")? == Some(own.clone()));

    let fixed = digest_of(&server, "up/a/b", "fixed")?;
    server
        .api("DELETE", "/api/v1/repositories/up%2Fa%2Fb/tags/deleted", None)?
        .expect(200)?;
    shelf.put("a/b", "fixed", b"second");
    let report = again(&server, "up")?;
    expect(&report, "COMPLETE 0 0 1 3 0 0")?;
    ensure!(has_note(&report, "SKIPPED", "DELETED_HERE", "deleted"), "{report}");
    ensure!(has_note(&report, "SKIPPED", "TAG_IMMUTABLE", "fixed"), "{report}");
    ensure!(digest_of(&server, "up/a/b", "fixed")? == fixed);

    // What moves there comes again; what vanishes there goes, but for what somebody set here and what cannot be moved.
    shelf.put("a/b", "deleted", b"anew");
    for tag in ["pushed", "fixed", "same"] {
        shelf.remove("a/b", tag);
    }
    let report = again(&server, "up")?;
    expect(&report, "COMPLETE 1 0 0 1 0 1")?;
    ensure!(has_note(&report, "REMOVED", "TAG_REMOVED", "same"), "{report}");
    ensure!(digest_of(&server, "up/a/b", "pushed")? == Some(own));
    ensure!(digest_of(&server, "up/a/b", "fixed")? == fixed);
    // One that a list left out and that is still there is not gone.
    let (hidden, shown) = (shelf.clone(), shelf.clone());
    shelf.put("a/b", "same", b"same");
    expect(&again(&server, "up")?, "COMPLETE 1 0 1 1 0 0")?;
    upstream.answer_with(move |asked| {
        if asked.target.contains("/tags/list") {
            hidden.remove("a/b", "same");
            let reply = hidden.reply(asked);
            hidden.put("a/b", "same", b"same");
            return reply;
        }
        shown.reply(asked)
    });
    expect(&again(&server, "up")?, "COMPLETE 0 0 1 1 0 0")?;
    ensure!(digest_of(&server, "up/a/b", "same")?.is_some());
    Ok(())
}

#[test]
fn tags_of_one_image_are_minded_one_by_one() -> Result<()> {
    let shelf = Shelf::default();
    for tag in ["pushed-over", "deleted", "late"] {
        shelf.put("a/b", tag, b"one image");
    }
    shelf.put("a/b", "other", b"another image");
    let upstream = shelf.serve()?;
    let server = server()?;
    mirror(
        &server,
        "up",
        &upstream.url(),
        &["a/b"],
        &json!({ "excludeTags": ["late"] }),
    )?;
    expect(&ended(&server, "up", 1)?, "COMPLETE 3 0 0 0 0 0")?;
    let own = RegistryClient::new(&server).push_image("up/a/b", "pushed-over", b"own image")?;
    server
        .api("DELETE", "/api/v1/repositories/up%2Fa%2Fb/tags/deleted", None)?
        .expect(200)?;
    let all = json!({ "mirror": { "intervalMinutes": 60, "repositories": ["a/b"] } });
    server.api("PATCH", &format!("{RULES}/up"), Some(&all))?.expect(200)?;
    expect(&ended(&server, "up", 2)?, "COMPLETE 1 0 1 2 0 0")?;
    ensure!(digest_of(&server, "up/a/b", "late")?.is_some());
    ensure!(digest_of(&server, "up/a/b", "pushed-over")? == Some(own));
    ensure!(digest_of(&server, "up/a/b", "deleted")?.is_none());
    Ok(())
}

#[test]
fn an_upstream_that_does_what_it_should_not_leaves_a_record_and_no_damage() -> Result<()> {
    let shelf = Shelf::default();
    let kept = shelf.put("a/b", "v1", b"layer");
    let upstream = shelf.serve()?;
    let server = server()?;
    mirror(
        &server,
        "good",
        &upstream.url(),
        &["a/b"],
        &json!({ "removeVanished": true }),
    )?;
    expect(&ended(&server, "good", 1)?, "COMPLETE 1 0 0 0 0 0")?;
    let tags = |body: &str, headers: &[(&str, &str)]| Reply::new(200, headers, body);
    let one = r#"{"name":"a/b","tags":["v1"]}"#;
    let link = |target: &str| format!("<{target}>; rel=\"next\"");
    let many: Vec<String> = (0..60_000).map(|number| format!("t{number}")).collect();
    let stolen = link("http://169.254.169.254/v2/a/b/tags/list");
    let itself = link("/v2/a/b/tags/list?n=1000");
    let more = link("?last=x&n=1");
    let html = [("Content-Type", "text/html")];
    // What the list of tags is, and the code and a part of the reason of the note.
    let cases = [
        (
            "denied",
            Reply::new(403, &[], ""),
            "UPSTREAM_ACCESS_DENIED",
            "refuses access",
        ),
        (
            "absent",
            Reply::new(404, &[], ""),
            "UPSTREAM_NOT_FOUND",
            "does not have it",
        ),
        (
            "html",
            tags("<html>login</html>", &html),
            "UPSTREAM_ANSWER_INVALID",
            "a list of tags that is none",
        ),
        (
            "link",
            tags(one, &[("Link", &stolen)]),
            "UPSTREAM_ANSWER_INVALID",
            "another place",
        ),
        (
            "itself",
            tags(one, &[("Link", &itself)]),
            "UPSTREAM_ANSWER_INVALID",
            "does not end",
        ),
        (
            "nothing",
            tags(r#"{"tags":[]}"#, &[("Link", &more)]),
            "UPSTREAM_ANSWER_INVALID",
            "does not end",
        ),
        (
            "many",
            tags(&json!({ "tags": many }).to_string(), &[]),
            "UPSTREAM_ANSWER_INVALID",
            "more than 50000",
        ),
        ("500", Reply::new(500, &[], ""), "UPSTREAM_FAILURE", "status 500"),
    ];
    for (what, reply, code, reason) in cases {
        let shown = shelf.clone();
        upstream.answer_with(move |asked| {
            if asked.target.contains("/tags/list") {
                reply.clone()
            } else {
                shown.reply(asked)
            }
        });
        let report = again(&server, "good").context(what)?;
        expect(&report, "INCOMPLETE 0 0 0 0 1 0").context(what)?;
        ensure!(has_note(&report, "FAILED", code, ""), "{what}: {report:#}");
        let noted = report["notes"][0]["reason"].as_str().unwrap_or_default();
        ensure!(noted.contains(reason), "{what}: {noted}");
        ensure!(digest_of(&server, "good/a/b", "v1")? == Some(kept.clone()), "{what}");
    }
    // An endless list, each page of which has new names.
    let (shown, count) = (shelf.clone(), Mutex::new(0));
    upstream.answer_with(move |asked| {
        if !asked.target.contains("/tags/list") {
            return shown.reply(asked);
        }
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<String> = (0..900).map(|number| format!("t{}-{number}", *count)).collect();
        *count += 1;
        let next = format!("</v2/a/b/tags/list?page={}>; rel=\"next\"", *count);
        Reply::new(200, &[("Link", &next)], json!({ "tags": names }).to_string())
    });
    expect(&again(&server, "good")?, "INCOMPLETE 0 0 0 0 1 0")?;
    ensure!(upstream.count("/tags/list?page=") < 100);
    Ok(())
}

#[test]
fn what_is_beside_a_wrong_image_comes() -> Result<()> {
    let shelf = Shelf::default();
    shelf.put("a/b", "v1", b"layer");
    let upstream = shelf.serve()?;
    let server = server()?;
    mirror(&server, "good", &upstream.url(), &["a/b"], &json!({}))?;
    expect(&ended(&server, "good", 1)?, "COMPLETE 1 0 0 0 0 0")?;
    // A manifest that is none, and a layer that is another one.
    shelf.put("a/b", "v2", b"second layer");
    shelf.put("a/b", "bad-layer", b"a layer that is wrong");
    shelf.put("a/b", "bad-manifest", b"x");
    let (shown, wrong) = (shelf.clone(), digest(b"a layer that is wrong"));
    upstream.answer_with(move |asked| {
        if asked.target.ends_with(&wrong) {
            return Reply::new(200, &[], "another layer".as_bytes());
        }
        if asked.target.ends_with("/manifests/bad-manifest") {
            return Reply::new(200, &[("Content-Type", "text/html")], "<html>");
        }
        shown.reply(asked)
    });
    let report = again(&server, "good")?;
    expect(&report, "INCOMPLETE 2 0 1 0 2 0")?;
    ensure!(
        has_note(&report, "FAILED", "IMAGE_NOT_FETCHED", "bad-layer"),
        "{report:#}"
    );
    ensure!(
        has_note(&report, "FAILED", "UPSTREAM_ANSWER_INVALID", "bad-manifest"),
        "{report:#}"
    );
    RegistryClient::new(&server).pull_image("good/a/b", "v2")?;
    // When all is well again, what failed comes.
    let shown = shelf.clone();
    upstream.answer_with(move |asked| shown.reply(asked));
    expect(&again(&server, "good")?, "COMPLETE 2 0 2 0 0 0")?;
    RegistryClient::new(&server).pull_image("good/a/b", "bad-layer")?;
    // A catalog that there is not keeps patterns from being known, and names come.
    let shown = shelf.clone();
    upstream.answer_with(move |asked| {
        if asked.target.contains("_catalog") {
            Reply::new(401, &[], "")
        } else {
            shown.reply(asked)
        }
    });
    mirror(&server, "partly", &upstream.url(), &["a/b", "c/*"], &json!({}))?;
    let report = ended(&server, "partly", 1)?;
    expect(&report, "INCOMPLETE 4 0 0 0 1 0")?;
    ensure!(has_note(&report, "FAILED", "UPSTREAM_ACCESS_DENIED", ""), "{report:#}");
    Ok(())
}

#[test]
fn an_upstream_that_wants_fewer_requests_gets_them_later() -> Result<()> {
    let shelf = Shelf::default();
    for number in 0..20 {
        shelf.put("a/b", &format!("v{number}"), format!("layer {number}").as_bytes());
    }
    let (shown, count) = (shelf.clone(), Mutex::new(0));
    let upstream = ScriptedUpstream::start(move |asked| {
        // So that registries that fetch from each other do not go on in circles.
        if !asked.headers.iter().any(|(name, _)| name == "hythe-pull-path") {
            return Reply::new(500, &[], "who asks?");
        }
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += u32::from(asked.method == "HEAD");
        if asked.method == "HEAD" && *count == 12 {
            return Reply::new(429, &[("Retry-After", "3")], "");
        }
        shown.reply(asked)
    })?;
    let server = server()?;
    mirror(&server, "up", &upstream.url(), &["a/b"], &json!({}))?;
    let mut waited = false;
    wait_until("the run waits, and ends", RUN_LIMIT, || {
        let runs = runs(&server, "up").unwrap_or_default();
        waited |= runs.first().is_some_and(|run| run["resumesAt"].is_string());
        runs.first().is_some_and(|run| run["endedAt"].is_string())
    })
    .with_context(|| server.log())?;
    ensure!(waited, "it did not wait");
    expect(&ended(&server, "up", 1)?, "COMPLETE 20 0 0 0 0 0")?;
    Ok(())
}

#[test]
fn wrong_credentials_are_told_and_right_ones_are_used_at_once() -> Result<()> {
    let upstream = Server::start()?;
    upstream.create_repository("team/web")?;
    RegistryClient::new(&upstream).push_image("team/web", "v1", b"layer")?;
    let key = upstream.credentials();
    let wrong = json!({ "username": key.access_key_id, "accessToken": "not-the-secret" });
    let server = server()?;
    let url = format!("http://{}", upstream.registry());
    mirror(
        &server,
        "hub",
        &url,
        &["team/web", "team/*"],
        &json!({ "credential": wrong }),
    )?;
    let report = ended(&server, "hub", 1)?;
    expect(&report, "INCOMPLETE 0 0 0 0 2 0")?;
    ensure!(has_note(&report, "FAILED", "UPSTREAM_ACCESS_DENIED", ""), "{report:#}");
    ensure!(!report.to_string().contains("not-the-secret"));
    ensure!(server.repository("hub/team/web")?.is_none(), "a repository of nothing");
    let right = json!({ "username": key.access_key_id, "accessToken": key.secret_access_key });
    server
        .api("PATCH", &format!("{RULES}/hub"), Some(&json!({ "credential": right })))?
        .expect(200)?;
    expect(&ended(&server, "hub", 2)?, "COMPLETE 1 0 0 0 0 0")?;
    Ok(())
}

#[test]
fn a_run_goes_on_after_a_crash_at_any_step() -> Result<()> {
    let shelf = Shelf::default();
    for number in 0..12 {
        shelf.put("a/b", &format!("v{number}"), format!("layer {number}").as_bytes());
        shelf.put("c/d", &format!("v{number}"), format!("other {number}").as_bytes());
    }
    let upstream = shelf.serve()?;
    for point in [
        "mirror.run.claimed:1",
        "mirror.image.queued:5",
        "mirror.tags.seen:1",
        "mirror.repository.seen:1",
        "cache.import.stored:3",
        "mirror.run.seen:1",
    ] {
        let mut server = server_with(&[("HYTHE_TEST_FAIL_POINT", point)])?;
        mirror(&server, "up", &upstream.url(), &["a/b", "c/d"], &json!({}))?;
        wait_until(&format!("the server ends at {point}"), RUN_LIMIT, || {
            server.exit_status().is_ok_and(|status| status.is_some())
        })?;
        server.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
        server.restart()?;
        let report = ended(&server, "up", 1).context(point)?;
        ensure!(report["mirrorRun"]["status"] == "COMPLETE", "{point}: {report:#}");
        ensure!(report["mirrorRun"]["counts"]["failed"] == 0, "{point}: {report:#}");
        expect(&again(&server, "up")?, "COMPLETE 0 0 24 0 0 0").context(point)?;
        let here = RegistryClient::new(&server);
        for number in 0..12 {
            here.pull_image("up/a/b", &format!("v{number}"))?;
            here.pull_image("up/c/d", &format!("v{number}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_rule_that_is_deleted_ends_its_run() -> Result<()> {
    let shelf = Shelf::default();
    for number in 0..40 {
        shelf.put("a/b", &format!("v{number}"), format!("layer {number}").as_bytes());
    }
    let shown = shelf.clone();
    let upstream = ScriptedUpstream::start(move |asked| Reply {
        before: Duration::from_millis(if asked.method == "HEAD" { 200 } else { 0 }),
        ..shown.reply(asked)
    })?;
    let server = server()?;
    mirror(&server, "up", &upstream.url(), &["a/b"], &json!({}))?;
    wait_until("tags are asked about", RUN_LIMIT, || upstream.count("HEAD ") > 0)?;
    let open = server.api("POST", &format!("{RULES}/up/mirror-runs"), None)?;
    ensure!(open.status == 409, "{}", open.text());
    ensure!(
        open.json()?["code"] == "MirrorRunInProgressException",
        "{}",
        open.text()
    );
    server.api("DELETE", &format!("{RULES}/up"), None)?.expect(200)?;
    let gone = server.api("GET", &format!("{RULES}/up/mirror-runs"), None)?;
    ensure!(gone.status == 404, "{}", gone.text());
    wait_until("nobody works on it", RUN_LIMIT, || {
        server
            .metric("hythe_mirror_runs_running")
            .is_ok_and(|running| running == 0)
    })?;
    // What was half there is forgotten, and a rule of the same name begins anew.
    mirror(&server, "up", &upstream.url(), &["a/b"], &json!({ "tags": ["v1*"] }))?;
    let report = ended(&server, "up", 1)?;
    ensure!(report["mirrorRun"]["status"] == "COMPLETE", "{report:#}");
    ensure!(report["mirrorRun"]["counts"]["tags"] == 11, "{report:#}");
    RegistryClient::new(&server).pull_image("up/a/b", "v19")?;
    Ok(())
}

#[test]
fn runs_are_made_when_they_are_due_and_of_two_nodes_by_one() -> Result<()> {
    let shelf = Shelf::default();
    for number in 0..30 {
        shelf.put("a/b", &format!("v{number}"), format!("layer {number}").as_bytes());
    }
    let upstream = shelf.serve()?;
    let clock = TestClock::new()?;
    let (variable, file) = clock.variable();
    let environment = [
        (variable.as_str(), file.as_str()),
        ("HYTHE_OUTGOING_ALLOW", "127.0.0.0/8"),
    ];
    let Some(nodes) = TwoNodes::start(&environment)? else {
        return Ok(());
    };
    let server = &nodes.first;
    mirror(server, "up", &upstream.url(), &["a/b"], &json!({}))?;
    expect(&ended(server, "up", 1)?, "COMPLETE 30 0 0 0 0 0")?;
    let heads = upstream.count("HEAD ");
    ensure!(heads == 30, "{heads} questions: two nodes asked");
    // An hour and a tenth later the next one is due, on whichever node.
    for round in 1..=3 {
        clock.jump(4000 * i64::try_from(round)?)?;
        expect(&ended(&nodes.second, "up", round + 1)?, "COMPLETE 0 0 30 0 0 0")?;
    }
    let all = runs(server, "up")?;
    ensure!(
        all.len() == 4 && all.iter().all(|run| run["cause"] == "SCHEDULE"),
        "{all:?}"
    );
    let heads = upstream.count("HEAD ");
    ensure!(heads == 4 * 30, "{heads} questions: two nodes asked");
    for node in [&nodes.first, &nodes.second] {
        RegistryClient::new(node).pull_image("up/a/b", "v7")?;
    }
    Ok(())
}

#[test]
fn templates_and_more_specific_rules_are_minded() -> Result<()> {
    let shelf = Shelf::default();
    for name in ["a/b", "a/c", "deep/x"] {
        shelf.put(name, "v1", name.as_bytes());
    }
    let upstream = shelf.serve()?;
    let server = server()?;
    let template = json!({
        "prefix": "up", "appliedFor": ["PULL_THROUGH_CACHE"], "imageTagMutability": "IMMUTABLE",
        "resourceTags": [{ "Key": "from", "Value": "upstream" }],
    });
    server
        .api("POST", "/api/v1/repository-creation-templates", Some(&template))?
        .expect(201)?;
    let other = json!({ "ecrRepositoryPrefix": "up/deep", "upstreamRegistryUrl": "registry.example.com" });
    server.api("POST", RULES, Some(&other))?.expect(201)?;
    let all = json!({ "virtualRepositoryName": "up/a/c", "sources": [{ "repositoryPrefix": "team" }] });
    server
        .api("POST", "/api/v1/virtual-repositories", Some(&all))?
        .expect(201)?;
    mirror(&server, "up", &upstream.url(), &["*"], &json!({}))?;
    let report = ended(&server, "up", 1)?;
    expect(&report, "INCOMPLETE 1 0 0 1 1 0")?;
    ensure!(has_note(&report, "SKIPPED", "NOT_OF_THIS_RULE", ""), "{report:#}");
    ensure!(has_note(&report, "FAILED", "REPOSITORY_NOT_CREATED", ""), "{report:#}");
    let repository = server.repository("up/a/b")?.context("no repository")?;
    ensure!(repository["imageTagMutability"] == "IMMUTABLE", "{repository}");
    Ok(())
}

#[test]
fn what_cannot_be_meant_is_refused() -> Result<()> {
    let server = server()?;
    let good = json!({ "intervalMinutes": 60, "repositories": ["a/b"] });
    let cases = [
        ("intervalMinutes", json!(0), "/mirror/intervalMinutes"),
        ("intervalMinutes", json!(43_201), "/mirror/intervalMinutes"),
        ("intervalMinutes", json!(-5), "/mirror/intervalMinutes"),
        ("intervalMinutes", json!("hourly"), "/mirror/intervalMinutes"),
        ("intervalMinutes", json!(1.5), "/mirror/intervalMinutes"),
        (
            "intervalMinutes",
            json!(1_000_000_000_000_000_000_u64),
            "/mirror/intervalMinutes",
        ),
        ("repositories", json!([]), "/mirror/repositories"),
        ("repositories", json!(["A/B"]), "/mirror/repositories/0"),
        ("repositories", json!(["*a*b*c*d*"]), "/mirror/repositories/0"),
        ("repositories", json!(["elsewhere/b"]), "/mirror/repositories"),
        ("repositories", json!(["a/"]), "/mirror/repositories"),
        ("tags", json!(["a b"]), "/mirror/tags/0"),
        ("excludeTags", json!(vec!["x"; 51]), "/mirror/excludeTags"),
        ("newestTags", json!(0), "/mirror/newestTags"),
        ("every", json!("hour"), "/mirror"),
    ];
    let rule = |mirror: &Value| {
        json!({
            "ecrRepositoryPrefix": "up", "upstreamRegistryUrl": "registry.example.com",
            "upstreamRepositoryPrefix": "a", "mirror": mirror,
        })
    };
    for (name, value, pointer) in cases {
        let mut mirror = good.clone();
        mirror[name] = value;
        let refused = server.api("POST", RULES, Some(&rule(&mirror)))?;
        let pointed = refused.json()?["pointer"].as_str().unwrap_or_default().to_owned();
        ensure!(
            refused.status == 400 && pointed.starts_with(pointer),
            "{mirror}: {} {}",
            refused.status,
            refused.text()
        );
    }
    server.api("POST", RULES, Some(&rule(&good)))?.expect(201)?;
    let both = json!({ "mirror": good, "removeMirror": true });
    let refused = server.api("PATCH", &format!("{RULES}/up"), Some(&both))?;
    ensure!(refused.status == 400, "{}", refused.text());
    let removed = server
        .api("PATCH", &format!("{RULES}/up"), Some(&json!({ "removeMirror": true })))?
        .expect(200)?
        .json()?;
    ensure!(removed.get("mirror").is_none(), "{removed}");
    let refused = server.api("POST", &format!("{RULES}/up/mirror-runs"), None)?;
    ensure!(refused.status == 400, "{}", refused.text());
    let unknown = server.api("GET", &format!("{RULES}/up/mirror-runs/none"), None)?;
    ensure!(
        unknown.json()?["code"] == "MirrorRunNotFoundException",
        "{}",
        unknown.text()
    );
    Ok(())
}

#[test]
fn the_command_line_starts_waits_and_tells() -> Result<()> {
    let shelf = Shelf::default();
    shelf.put("a/b", "v1", b"layer");
    let upstream = shelf.serve()?;
    let server = server()?;
    let hythe = |arguments: &[&str]| -> Result<_> { run(&mut server.command(arguments)?) };
    let created = hythe(&[
        "pull-through-cache",
        "create",
        "up",
        "--upstream",
        &upstream.url(),
        "--mirror",
        "a/b",
        "--mirror",
        "c/*",
        "--mirror-every",
        "30",
        "--mirror-tag",
        "v*",
        "--mirror-exclude",
        "*-rc*",
        "--mirror-newest",
        "5",
        "--mirror-remove-vanished",
        "--output",
        "json",
    ])?
    .ok()?;
    let rule: Value = serde_json::from_str(&created.stdout)?;
    let wanted = json!({
        "intervalMinutes": 30, "repositories": ["a/b", "c/*"], "tags": ["v*"], "excludeTags": ["*-rc*"], "newestTags": 5,
        "removeVanished": true,
    });
    ensure!(rule["mirror"] == wanted, "{rule}");
    ended(&server, "up", 1)?;
    let up_to_date = hythe(&["pull-through-cache", "mirror-run", "start", "up", "--wait"])?.ok()?;
    ensure!(up_to_date.stdout.contains("complete"), "{}", up_to_date.stdout);
    let listed = hythe(&["pull-through-cache", "mirror-runs", "list", "up"])?.ok()?;
    ensure!(
        listed.stdout.contains("request") && listed.stdout.contains("schedule"),
        "{}",
        listed.stdout
    );
    upstream.answer_with(|_| Reply::new(403, &[], ""));
    let failed = hythe(&["pull-through-cache", "mirror-run", "start", "up", "--wait"])?;
    ensure!(
        failed.status.code() == Some(1) && failed.stderr.contains("not up to date"),
        "{failed:?}"
    );
    let shown = hythe(&["pull-through-cache", "mirror-run", "show", "up"])?.ok()?;
    ensure!(
        shown.stdout.contains("up/a/b: the registry refuses access"),
        "{}",
        shown.stdout
    );
    let json = hythe(&["pull-through-cache", "mirror-run", "show", "up", "--output", "json"])?.ok()?;
    let report: Value = serde_json::from_str(&json.stdout)?;
    ensure!(report["mirrorRun"]["status"] == "INCOMPLETE", "{report}");
    let partly = hythe(&["pull-through-cache", "update", "up", "--mirror-tag", "v*"])?;
    ensure!(partly.status.code() == Some(2), "{partly:?}");
    let off = hythe(&["pull-through-cache", "update", "up", "--no-mirror"])?.ok()?;
    ensure!(!off.stdout.contains("every 30 min"), "{}", off.stdout);
    Ok(())
}

#[test]
fn whoever_waits_joins_the_run_that_goes_on() -> Result<()> {
    let shelf = Shelf::default();
    shelf.put("a/b", "v1", b"layer");
    let upstream = shelf.serve()?;
    let server = server()?;
    let runs_of = |words: &str| -> Result<_> {
        let arguments: Vec<_> = ["pull-through-cache", "mirror-run"]
            .into_iter()
            .chain(words.split(' '))
            .collect();
        run(&mut server.command(&arguments)?)
    };
    // Right after its creation a mirror has no run, or one that somebody else has started.
    mirror(&server, "up", &upstream.url(), &["a/b"], &json!({}))?;
    let shown = runs_of("show up --wait")?.ok()?;
    ensure!(shown.stdout.contains("complete"), "{}", shown.stdout);
    // A run is held up as long as its registry wants fewer requests.
    upstream.answer_with(|_| Reply::new(429, &[("Retry-After", "1")], ""));
    runs_of("start up")?.ok()?;
    let refused = runs_of("start up")?.refused()?;
    ensure!(
        refused.status.code() == Some(5) && refused.stderr.contains("mirror-run show up --wait"),
        "{refused:?}"
    );
    let join = |name: &str| -> Result<Daemon> {
        let mut command = server.command(&["pull-through-cache", "mirror-run", "start", "up", "--wait"])?;
        let mut joined = Daemon::start(name, &mut command, &server.scratch().join(name))?;
        let log = server.scratch().join(name);
        let waits = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("waiting for it"));
        joined.wait_until("it waits", RUN_LIMIT, waits)?;
        Ok(joined)
    };
    let mut interrupted = join("interrupted")?;
    interrupted.signal(Signal::INT)?;
    ensure!(
        code_of(&mut interrupted)? == Some(130) && interrupted.log().contains("mirror-run show up --wait"),
        "{}",
        interrupted.log()
    );
    let mut joined = join("joined")?;
    upstream.answer_with(|_| Reply::new(404, &[], ""));
    ensure!(
        code_of(&mut joined)? == Some(1) && joined.log().contains("mirror-run show up 0"),
        "{}",
        joined.log()
    );
    ensure!(runs(&server, "up")?.len() == 2, "{:?}", runs(&server, "up")?);
    Ok(())
}

/// With what code a command ends.
fn code_of(command: &mut Daemon) -> Result<Option<i32>> {
    let mut ended = None;
    wait_until("the command has ended", RUN_LIMIT, || {
        ended = command.exit_status().ok().flatten();
        ended.is_some()
    })?;
    Ok(ended.and_then(|status| status.code()))
}

#[test]
fn mirrors_of_each_other_come_to_rest() -> Result<()> {
    let (one, other) = (server()?, server()?);
    for (server, name) in [(&one, "shared/api"), (&other, "shared/app")] {
        server.create_repository(name)?;
        RegistryClient::new(server).push_image(name, "v1", name.as_bytes())?;
    }
    for (from, to) in [(&one, &other), (&other, &one)] {
        let key = to.credentials();
        let rule = json!({
            "ecrRepositoryPrefix": "shared", "upstreamRegistryUrl": format!("http://{}", to.registry()),
            "upstreamRepositoryPrefix": "shared",
            "credential": { "username": key.access_key_id, "accessToken": key.secret_access_key },
            "mirror": { "intervalMinutes": 60, "repositories": ["*"], "removeVanished": true },
        });
        from.api("POST", RULES, Some(&rule))?.expect(201)?;
        ended(from, "shared", 1)?;
    }
    // Each has what the other has, and what came is not taken for something new or something that has vanished.
    for _ in 0..2 {
        for server in [&one, &other] {
            expect(&again(server, "shared")?, "COMPLETE 0 0 2 0 0 0")?;
        }
    }
    for server in [&one, &other] {
        let client = RegistryClient::new(server);
        client.pull_image("shared/api", "v1")?;
        client.pull_image("shared/app", "v1")?;
    }
    // Where a tag comes from, it moves; the other one follows, and nothing goes back.
    let moved = RegistryClient::new(&one).push_image("shared/api", "v1", b"second")?;
    expect(&again(&one, "shared")?, "COMPLETE 0 0 1 1 0 0")?;
    expect(&again(&other, "shared")?, "COMPLETE 0 1 1 0 0 0")?;
    expect(&again(&one, "shared")?, "COMPLETE 0 0 2 0 0 0")?;
    ensure!(digest_of(&one, "shared/api", "v1")? == Some(moved.clone()));
    ensure!(digest_of(&other, "shared/api", "v1")? == Some(moved));
    Ok(())
}
