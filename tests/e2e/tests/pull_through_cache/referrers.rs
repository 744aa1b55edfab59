// SPDX-License-Identifier: Apache-2.0
//! Signatures and other referrers of images that come from another registry.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::http::{self, Response};
use e2e::process::wait_until;
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, descriptor_of, digest};
use e2e::upstream::{Asked, Reply, ScriptedUpstream};
use e2e::{DockerRegistry, RegistryClient, Server, ServerOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{IMPORT_LIMIT, RULES, Shelf, cache, having_digest, imported, rule};

const SIGNATURE: &str = "application/vnd.example.signature";
const SBOM: &str = "application/spdx+json";
const HOUR: u64 = 3600;
const QUESTIONS: &str = "hythe_registry_cache_questions_total";

fn list(
    client: &RegistryClient,
    repository: &str,
    subject: &str,
    query: &str,
    headers: &[(&str, &str)],
) -> Result<Response> {
    let target = format!("/v2/{repository}/referrers/{subject}{query}");
    client.call("GET", &target, headers, &[])?.expect(200)
}

fn digests(answer: &Response) -> Result<Vec<String>> {
    let index = answer.json()?;
    let entries = index["manifests"].as_array().context("no index")?;
    let digests = entries.iter().map(|entry| entry["digest"].as_str().map(str::to_owned));
    digests.collect::<Option<_>>().context("no digest")
}

fn sorted(digests: &[&String]) -> Vec<String> {
    let mut digests: Vec<_> = digests.iter().map(|it| (*it).clone()).collect();
    digests.sort();
    digests
}

const NO_CACHE: (&str, &str) = ("Cache-Control", "no-cache");

#[test]
fn referrers_of_another_hythe_are_listed_with_those_from_here_and_pulled() -> Result<()> {
    let mut upstream = Server::start()?;
    upstream.create_repository("team/web")?;
    let there = RegistryClient::new(&upstream);
    let image = there.push_image("team/web", "v1", b"a layer")?;
    let subject = descriptor_of(&there.manifest("team/web", "v1")?.expect(200)?.body);
    let signature = there.push_artifact("team/web", &subject, SIGNATURE, "first")?;
    let sbom = there.push_artifact("team/web", &subject, SBOM, "parts")?;
    let key = upstream.credentials().clone();
    let credential = json!({ "username": key.access_key_id, "accessToken": key.secret_access_key });
    let mut server = cache(&[])?;
    let url = format!("http://{}", upstream.registry());
    rule(&server, "mirror", &url, json!({ "credential": credential }))?;
    let (here, name) = (RegistryClient::new(&server), "mirror/team/web");

    // Before anything was pulled: as a client does that verifies first.
    let first = list(&here, name, &image, "", &[])?;
    ensure!(first.header("hythe-cache") == Some("MISS"), "{first:?}");
    ensure!(digests(&first)? == sorted(&[&signature, &sbom]), "{}", first.text());
    let again = list(&here, name, &image, "", &[])?;
    ensure!(
        again.header("hythe-cache") == Some("HIT") && again.header("age").is_some(),
        "{again:?}"
    );
    ensure!(again.body == first.body, "{} {}", first.text(), again.text());
    ensure!(server.metric(QUESTIONS)? == 1);
    let filter = format!("?artifactType={}", http::percent_encode(SBOM));
    let filtered = list(&here, name, &image, &filter, &[])?;
    ensure!(
        filtered.header("oci-filters-applied") == Some("artifactType"),
        "{filtered:?}"
    );
    ensure!(digests(&filtered)? == [sbom.clone()], "{}", filtered.text());
    let entry = &filtered.json()?["manifests"][0];
    ensure!(
        entry["artifactType"] == SBOM && entry["annotations"]["text"] == "parts",
        "{entry}"
    );

    // What is listed can be pulled, and becomes an image as anything else does.
    here.pull_image(name, &signature)?;
    here.pull_image(name, "v1")?;
    ensure!(imported(&server, name, "v1")? == image);
    let path = format!("/api/v1/repositories/{}", http::percent_encode(name));
    wait_until("the signature is imported", IMPORT_LIMIT, || {
        let answer = server.api("GET", &format!("{path}/images/{signature}"), None);
        answer.is_ok_and(|answer| answer.status == 200)
    })?;
    let own = here.push_artifact(name, &subject, SIGNATURE, "our own")?;
    let all = sorted(&[&signature, &sbom, &own]);
    ensure!(digests(&list(&here, name, &image, "", &[])?)? == all);

    // Page by page, each once.
    let mut paged = Vec::new();
    let mut target = format!("/v2/{name}/referrers/{image}?n=1");
    loop {
        let page = here.call("GET", &target, &[], &[])?.expect(200)?;
        ensure!(digests(&page)?.len() == 1 && paged.len() < 3, "{}", page.text());
        paged.extend(digests(&page)?);
        let Some(link) = page.header("link") else { break };
        link.split(['<', '>'])
            .nth(1)
            .context("no link")?
            .clone_into(&mut target);
    }
    ensure!(paged == all, "{paged:?}");
    let listed = server
        .api("GET", &format!("{path}/referrers/{image}?maxResults=2"), None)?
        .expect(200)?
        .json()?;
    let rest = listed["referrers"].as_array().context("no list")?;
    ensure!(rest.len() == 2 && rest[0]["digest"] == all[0].as_str(), "{listed}");
    ensure!(listed["nextToken"].is_string(), "{listed}");

    // What is new there is seen by who asks for it.
    let later = there.push_artifact("team/web", &subject, SIGNATURE, "second")?;
    ensure!(digests(&list(&here, name, &image, "", &[])?)? == all);
    let all = sorted(&[&signature, &sbom, &own, &later]);
    let fresh = list(&here, name, &image, "", &[NO_CACHE])?;
    ensure!(fresh.header("hythe-cache") == Some("REVALIDATED"), "{fresh:?}");
    ensure!(digests(&fresh)? == all, "{}", fresh.text());
    let refreshed = server.metric(QUESTIONS)?;
    let tag = json!({ "imageTag": "v1" });
    server
        .api("POST", &format!("{path}/upstream-refreshes"), Some(&tag))?
        .expect(200)?;
    let asked = list(&here, name, &image, "", &[])?;
    ensure!(asked.header("hythe-cache") == Some("REVALIDATED"), "{asked:?}");
    ensure!(server.metric(QUESTIONS)? == refreshed + 1);

    // The upstream is gone, and so was this server for a moment.
    upstream.kill9()?;
    server.kill9()?;
    server.restart()?;
    let kept = list(&here, name, &image, "", &[])?;
    ensure!(kept.header("hythe-cache") == Some("HIT"), "{kept:?}");
    ensure!(digests(&kept)? == all, "{}", kept.text());
    let stale = list(&here, name, &image, "", &[NO_CACHE])?;
    ensure!(stale.header("hythe-cache") == Some("STALE"), "{stale:?}");
    ensure!(
        stale.header("warning").is_some_and(|it| it.starts_with("111")),
        "{stale:?}"
    );
    ensure!(digests(&stale)? == all, "{}", stale.text());

    // Without the rule there is what is here.
    server.api("DELETE", &format!("{RULES}/mirror"), None)?.expect(200)?;
    wait_until("the rule is forgotten", IMPORT_LIMIT, || {
        list(&here, name, &image, "", &[]).is_ok_and(|answer| {
            answer.header("hythe-cache").is_none()
                && digests(&answer).is_ok_and(|listed| listed == sorted(&[&signature, &own]))
        })
    })
}

#[test]
fn a_registry_without_the_list_is_asked_for_its_tag() -> Result<()> {
    let server = cache(&[])?;
    let Some(upstream) = DockerRegistry::start()? else {
        return Ok(());
    };
    let there = upstream.client();
    let image = there.push_image("library/thing", "v1", b"a layer")?;
    let subject = descriptor_of(&there.manifest("library/thing", "v1")?.expect(200)?.body);
    let signature = there.push_artifact("library/thing", &subject, SIGNATURE, "by tag")?;
    let size = there.manifest("library/thing", &signature)?.expect(200)?.body.len();
    let entry = json!({ "mediaType": OCI_MANIFEST, "digest": signature, "size": size, "artifactType": SIGNATURE });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] }).to_string();
    there
        .put_manifest("library/thing", &image.replace(':', "-"), OCI_INDEX, index.as_bytes())?
        .expect(201)?;
    rule(&server, "hub", &format!("http://{}", upstream.address()), json!({}))?;
    let here = RegistryClient::new(&server);
    let listed = list(&here, "hub/library/thing", &image, "", &[])?;
    ensure!(digests(&listed)? == [signature.clone()], "{}", listed.text());
    here.pull_image("hub/library/thing", &signature)?;
    Ok(())
}

/// A registry with one image and what a test says refers to it.
fn upstream_with(shelf: &Shelf, referrers: Reply) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    let shelf = shelf.clone();
    move |asked| {
        if asked.target.contains("/referrers/") {
            referrers.clone()
        } else {
            shelf.reply(asked)
        }
    }
}

fn index_of(entries: &[Value]) -> Reply {
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
    Reply::new(200, &[("Content-Type", OCI_INDEX)], index.to_string())
}

fn told(text: &str, kind: &str) -> Value {
    json!({ "mediaType": OCI_MANIFEST, "digest": digest(text.as_bytes()), "size": 2, "artifactType": kind })
}

/// A cache, and the folder with the clock that a test sets.
fn cache_in_time() -> Result<(Server, TempDir)> {
    let folder = tempfile::tempdir()?;
    let clock = folder.path().join("offset");
    let server = Server::start_with(ServerOptions {
        arguments: vec!["--outgoing-allow".into(), "127.0.0.0/8".into()],
        environment: vec![
            ("HYTHE_TEST_CLOCK_OFFSET_FILE".into(), clock.display().to_string()),
            ("HYTHE_TEST_EXPIRY_MILLISECONDS".into(), "100".into()),
        ],
        ..ServerOptions::default()
    })?;
    Ok((server, folder))
}

/// The clock of the cache jumps to so many seconds from now.
fn jump(clock: &TempDir, seconds: u64) -> Result<()> {
    // In one step: it never reads half a number.
    let next = clock.path().join("next");
    std::fs::write(&next, seconds.to_string())?;
    Ok(std::fs::rename(next, clock.path().join("offset"))?)
}

#[test]
fn an_upstream_is_asked_for_referrers_every_six_hours() -> Result<()> {
    let shelf = Shelf::of("a/b", "v1", b"a layer");
    let image = having_digest(&shelf)?;
    let entries = [told("one", SIGNATURE)];
    let upstream = ScriptedUpstream::start(upstream_with(&shelf, index_of(&entries)))?;
    let (server, clock) = cache_in_time()?;
    rule(&server, "up", &upstream.url(), json!({ "tagFreshnessSeconds": 0 }))?;
    let here = RegistryClient::new(&server);
    let count = || upstream.count("/referrers/");

    // Many at once.
    let start = Arc::new(Barrier::new(20));
    let lists: Vec<_> = (0..20)
        .map(|_| {
            let (here, start, image) = (here.clone(), Arc::clone(&start), image.clone());
            std::thread::spawn(move || {
                start.wait();
                digests(&list(&here, "up/a/b", &image, "", &[])?)
            })
        })
        .collect();
    for listed in lists {
        let listed = listed.join().map_err(|_| anyhow::anyhow!("a list panicked"))??;
        ensure!(listed == [digest(b"one")], "{listed:?}");
    }
    ensure!(count() == 1, "{:?}", upstream.asked());
    jump(&clock, 6 * HOUR - 600)?;
    let hit = list(&here, "up/a/b", &image, "", &[])?;
    ensure!(hit.header("hythe-cache") == Some("HIT") && count() == 1, "{hit:?}");
    let more = [told("one", SIGNATURE), told("two", SIGNATURE)];
    upstream.answer_with(upstream_with(&shelf, index_of(&more)));
    jump(&clock, 6 * HOUR + 600)?;
    let asked = list(&here, "up/a/b", &image, "", &[])?;
    ensure!(
        asked.header("hythe-cache") == Some("REVALIDATED") && count() == 2,
        "{asked:?}"
    );
    ensure!(digests(&asked)?.len() == 2, "{}", asked.text());

    // One that limits is left alone for as long as it says, and what is here is served.
    let limited = Reply::new(429, &[("Retry-After", "3600")], "{}");
    upstream.answer_with(upstream_with(&shelf, limited));
    jump(&clock, 13 * HOUR)?;
    for _ in 0..3 {
        let stale = list(&here, "up/a/b", &image, "", &[NO_CACHE])?;
        ensure!(stale.header("hythe-cache") == Some("STALE"), "{stale:?}");
        ensure!(stale.header("age") != Some("0"), "{stale:?}");
        ensure!(digests(&stale)?.len() == 2, "{}", stale.text());
    }
    ensure!(count() == 3, "{:?}", upstream.asked());

    // In the end it is forgotten.
    jump(&clock, 45 * 24 * HOUR)?;
    wait_until("the list is forgotten", IMPORT_LIMIT, || {
        list(&here, "up/a/b", &image, "", &[])
            .and_then(|answer| digests(&answer))
            .is_ok_and(|listed| listed.is_empty())
    })?;
    ensure!(count() == 3, "{:?}", upstream.asked());
    Ok(())
}

#[test]
fn that_nothing_refers_to_an_image_is_remembered() -> Result<()> {
    let shelf = Shelf::of("a/b", "v1", b"a layer");
    let image = having_digest(&shelf)?;
    // It has neither the list nor the tag.
    let upstream = ScriptedUpstream::start(upstream_with(&shelf, Reply::new(404, &[], "{}")))?;
    let (server, clock) = cache_in_time()?;
    rule(&server, "up", &upstream.url(), json!({}))?;
    let here = RegistryClient::new(&server);
    let (count, tag) = (|| upstream.count("/referrers/"), image.replace(':', "-"));
    for _ in 0..5 {
        let empty = list(&here, "up/a/b", &image, "", &[])?;
        ensure!(digests(&empty)?.is_empty(), "{}", empty.text());
    }
    // For a moment, since the image is not here; no repository is made for that.
    ensure!(count() == 1 && upstream.count(&tag) == 1, "{:?}", upstream.asked());
    ensure!(server.repository("up/a/b")?.is_none());
    here.pull_image("up/a/b", "v1")?;
    list(&here, "up/a/b", &image, "", &[NO_CACHE])?;
    ensure!(count() == 2, "{:?}", upstream.asked());
    jump(&clock, 6 * HOUR - 600)?;
    let hit = list(&here, "up/a/b", &image, "", &[])?;
    ensure!(hit.header("hythe-cache") == Some("HIT") && count() == 2, "{hit:?}");
    Ok(())
}

#[test]
fn a_hostile_list_of_referrers_does_no_harm() -> Result<()> {
    let shelf = Shelf::of("a/b", "v1", b"a layer");
    let image = having_digest(&shelf)?;
    let upstream = ScriptedUpstream::start(|_| Reply::new(500, &[], ""))?;
    let server = cache(&[])?;
    let here = RegistryClient::new(&server);
    let entry = told("one", SIGNATURE);
    let trickle = Reply {
        per_byte: Duration::from_secs(1),
        ..index_of(std::slice::from_ref(&entry))
    };
    let endless = Reply {
        is_endless: true,
        ..Reply::new(200, &[], vec![b' '; 100_000])
    };
    let elsewhere = Reply::new(307, &[("Location", "http://169.254.169.254/latest/meta-data")], "");
    let cases = [
        ("fails", Reply::new(500, &[], "")),
        ("refuses", Reply::new(403, &[], "")),
        ("html", Reply::new(200, &[("Content-Type", "text/html")], "<html>")),
        (
            "no digests",
            index_of(&[json!({ "mediaType": OCI_MANIFEST, "digest": "sha256:1", "size": 2 })]),
        ),
        ("huge", Reply::new(200, &[], vec![b'['; 5_000_000])),
        ("endless", endless),
        ("slow", trickle),
        ("elsewhere", elsewhere),
    ];
    for (index, (what, reply)) in cases.into_iter().enumerate() {
        // A rule of its own: what went wrong with one is remembered.
        let prefix = format!("up{index}");
        rule(&server, &prefix, &upstream.url(), json!({}))?;
        let repository = format!("{prefix}/a/b");
        server.create_repository(&repository)?;
        let own = json!({ "mediaType": OCI_MANIFEST, "digest": image, "size": 2 });
        let own = here.push_artifact(&repository, &own, SIGNATURE, "our own")?;
        upstream.answer_with(upstream_with(&shelf, reply));
        let answer = list(&here, &repository, &image, "", &[]).context(what)?;
        ensure!(answer.header("hythe-cache") == Some("STALE"), "{what}: {answer:?}");
        ensure!(digests(&answer)? == [own], "{what}: {}", answer.text());
        ensure!(
            !answer.text().contains("169.254") && !format!("{answer:?}").contains("127.0.0.1"),
            "{answer:?}"
        );
    }

    // Of very many there are as many as are kept.
    let many: Vec<_> = (0..3000).map(|number| told(&number.to_string(), SIGNATURE)).collect();
    rule(&server, "many", &upstream.url(), json!({}))?;
    upstream.answer_with(upstream_with(&shelf, index_of(&many)));
    let answer = list(&here, "many/a/b", &image, "", &[])?;
    ensure!(digests(&answer)?.len() == 1000, "{}", digests(&answer)?.len());

    // What is here is described by what is here.
    rule(&server, "forged", &upstream.url(), json!({}))?;
    server.create_repository("forged/a/b")?;
    let subject = json!({ "mediaType": OCI_MANIFEST, "digest": image, "size": 2 });
    let own = here.push_artifact("forged/a/b", &subject, SIGNATURE, "our own")?;
    let forged = json!({ "mediaType": OCI_MANIFEST, "digest": own, "size": 2, "artifactType": SBOM });
    upstream.answer_with(upstream_with(&shelf, index_of(&[forged.clone(), forged])));
    let answer = list(&here, "forged/a/b", &image, "", &[])?;
    ensure!(digests(&answer)? == [own], "{}", answer.text());
    ensure!(
        answer.json()?["manifests"][0]["artifactType"] == SIGNATURE,
        "{}",
        answer.text()
    );
    let filter = format!("?artifactType={}", http::percent_encode(SBOM));
    ensure!(digests(&list(&here, "forged/a/b", &image, &filter, &[])?)?.is_empty());
    Ok(())
}

#[test]
fn who_may_not_import_causes_no_question_about_referrers() -> Result<()> {
    let shelf = Shelf::of("a/b", "v1", b"a layer");
    let image = having_digest(&shelf)?;
    let upstream = ScriptedUpstream::start(upstream_with(&shelf, index_of(&[told("one", SIGNATURE)])))?;
    let server = cache(&[])?;
    rule(&server, "up", &upstream.url(), json!({}))?;
    let body = json!({ "userName": "reader", "policies": ["ReadOnly"] });
    server.api("POST", "/api/v1/users", Some(&body))?.expect(201)?;
    let key = server
        .api("POST", "/api/v1/users/reader/access-keys", None)?
        .expect(201)?
        .json()?;
    let part = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
    let basic = http::basic(&part("accessKeyId"), &part("secretAccessKey"));
    let reader = RegistryClient::with(server.registry(), Some(basic.clone()));
    let usual: &[(&str, &str)] = &[];
    for headers in [usual, &[NO_CACHE]] {
        let answer = list(&reader, "up/a/b", &image, "", headers)?;
        ensure!(digests(&answer)?.is_empty(), "{}", answer.text());
        ensure!(answer.header("hythe-cache") == Some("STALE"), "{answer:?}");
    }
    ensure!(upstream.asked().is_empty(), "{:?}", upstream.asked());
    list(&RegistryClient::new(&server), "up/a/b", &image, "", &[])?;
    // What others asked for is here.
    let answer = list(&reader, "up/a/b", &image, "", &[NO_CACHE])?;
    ensure!(digests(&answer)? == [digest(b"one")], "{}", answer.text());
    let control = server.credentials().control_address().to_owned();
    let path = format!("/api/v1/repositories/up%2Fa%2Fb/referrers/{image}");
    let rest = http::request(&control, "GET", &path, &[("Authorization", &basic)], &[])?.expect(200)?;
    ensure!(
        rest.json()?["referrers"][0]["digest"] == digest(b"one").as_str(),
        "{}",
        rest.text()
    );
    ensure!(upstream.count("/referrers/") == 1, "{:?}", upstream.asked());
    // Nobody at all learns nothing.
    let target = format!("/v2/up/a/b/referrers/{image}");
    let nobody = RegistryClient::with(server.registry(), None).call("GET", &target, &[], &[])?;
    ensure!(nobody.status == 401, "{}", nobody.text());
    Ok(())
}
