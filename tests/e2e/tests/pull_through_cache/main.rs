// SPDX-License-Identifier: Apache-2.0
//! Repositories that come from other registries: another Hythe, Debian's `docker-registry`, and one that does what it
//! should not.
#![allow(clippy::indexing_slicing, reason = "test code")]

mod chains;
mod clocks;
mod docker;
mod limits;
mod nodes;
mod referrers;
mod rules;
mod shares;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::image::ImageRecipe;
use e2e::process::{run, wait_until};
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, config_of, digest, digest_text, manifest};
use e2e::upstream::{Asked, Reply, ScriptedUpstream};
use e2e::{DockerRegistry, RegistryClient, Server, ServerOptions, client, http};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const RULES: &str = "/api/v1/pull-through-cache-rules";
const IMPORT_LIMIT: Duration = Duration::from_secs(40);

fn cache(arguments: &[&str]) -> Result<Server> {
    let own = ["--outgoing-allow", "127.0.0.0/8"];
    Server::start_with(ServerOptions {
        arguments: own.iter().chain(arguments).map(|it| (*it).to_owned()).collect(),
        ..ServerOptions::default()
    })
}

fn rule(server: &Server, prefix: &str, upstream: &str, more: Value) -> Result<()> {
    let mut body = json!({ "ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": upstream });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    server.api("POST", RULES, Some(&body))?.expect(201)?;
    Ok(())
}

/// Waits until an image that was pulled through is an image of the repository.
fn imported(server: &Server, repository: &str, tag: &str) -> Result<String> {
    let path = format!("/api/v1/repositories/{}/tags/{tag}", http::percent_encode(repository));
    let mut found = None;
    wait_until(&format!("{repository}:{tag} is imported"), IMPORT_LIMIT, || {
        let answer = server
            .api("GET", &path, None)
            .ok()
            .filter(|answer| answer.status == 200);
        found = answer.and_then(|answer| Some(answer.json().ok()?["imageDigest"].as_str()?.to_owned()));
        found.is_some()
    })
    .with_context(|| server.log())?;
    found.context("no digest")
}

/// One image, as files of a registry.
#[derive(Clone)]
struct Shelf(Arc<BTreeMap<String, (String, Vec<u8>)>>);

impl Shelf {
    /// `repository` with one image at `tag`.
    fn of(repository: &str, tag: &str, layer: &[u8]) -> Self {
        let config = config_of(layer);
        let bytes = manifest(&digest(config.as_bytes()), config.len(), &digest(layer), layer.len());
        let octets = "application/octet-stream".to_owned();
        let mut files = BTreeMap::new();
        for (kind, name, media_type, body) in [
            ("manifests", tag.to_owned(), OCI_MANIFEST.to_owned(), bytes.clone()),
            ("manifests", digest(&bytes), OCI_MANIFEST.to_owned(), bytes),
            ("blobs", digest(config.as_bytes()), octets.clone(), config.into_bytes()),
            ("blobs", digest(layer), octets, layer.to_vec()),
        ] {
            files.insert(format!("/v2/{repository}/{kind}/{name}"), (media_type, body));
        }
        Self(Arc::new(files))
    }

    /// Digest and size of its manifest.
    fn manifest(&self) -> (String, usize) {
        let manifest = self.0.values().find(|(media_type, _)| media_type == OCI_MANIFEST);
        manifest
            .map(|(_, bytes)| (digest(bytes), bytes.len()))
            .unwrap_or_default()
    }

    fn reply(&self, asked: &Asked) -> Reply {
        match self.0.get(&asked.target) {
            Some((media_type, body)) => {
                let name = digest(body);
                Reply::new(
                    200,
                    &[("Content-Type", media_type), ("Docker-Content-Digest", &name)],
                    body.clone(),
                )
            }
            None => Reply::new(404, &[], "{}"),
        }
    }
}

#[test]
fn an_image_of_another_hythe_comes_through_and_stays() -> Result<()> {
    let mut upstream = Server::start()?;
    upstream.create_repository("team/web")?;
    let there = RegistryClient::new(&upstream);
    let layer = vec![7; 300_000];
    let wanted = there.push_image("team/web", "v1", &layer)?;
    let key = upstream.credentials().clone();
    let credential = json!({ "username": key.access_key_id, "accessToken": key.secret_access_key });
    let mut server = cache(&[])?;
    let url = format!("http://{}", upstream.registry());
    rule(
        &server,
        "mirror",
        &url,
        json!({ "credential": credential, "tagFreshnessSeconds": 0 }),
    )?;
    let shown = server.api("GET", &format!("{RULES}/mirror"), None)?.expect(200)?.text();
    ensure!(!shown.contains(&key.secret_access_key), "{shown}");
    let valid = server
        .api("POST", &format!("{RULES}/mirror/validation"), None)?
        .expect(200)?
        .json()?;
    ensure!(valid["isValid"] == true, "{valid}");

    let here = RegistryClient::new(&server);
    // A HEAD brings what it says and no layers.
    let head = here
        .call(
            "HEAD",
            "/v2/mirror/team/web/manifests/v1",
            &[("Accept", OCI_MANIFEST)],
            &[],
        )?
        .expect(200)?;
    ensure!(
        head.header("docker-content-digest") == Some(wanted.as_str()),
        "{head:?}"
    );
    ensure!(server.metric("hythe_registry_cache_fetches_total")? == 0);
    let first = here.manifest("mirror/team/web", "v1")?.expect(200)?;
    ensure!(first.header("hythe-cache") == Some("MISS"), "{first:?}");
    here.pull_image("mirror/team/web", "v1")?;
    ensure!(imported(&server, "mirror/team/web", "v1")? == wanted);
    ensure!(server.metric("hythe_registry_cache_fetches_total")? == 2);

    // The tag moves.
    let second = there.push_image("team/web", "v1", &vec![8; 100_000])?;
    let moved = here.manifest("mirror/team/web", "v1")?.expect(200)?;
    ensure!(
        moved.header("docker-content-digest") == Some(second.as_str()),
        "{moved:?}"
    );
    wait_until("the tag has moved here, too", IMPORT_LIMIT, || {
        imported(&server, "mirror/team/web", "v1").is_ok_and(|digest| digest == second)
    })?;
    let same = here.manifest("mirror/team/web", "v1")?.expect(200)?;
    ensure!(same.header("hythe-cache") == Some("REVALIDATED"), "{same:?}");

    // What is here stays here when the upstream is gone, also after a crash.
    upstream.kill9()?;
    let stale = here.manifest("mirror/team/web", "v1")?.expect(200)?;
    ensure!(
        stale.header("hythe-cache") == Some("STALE") && stale.header("age").is_some(),
        "{stale:?}"
    );
    ensure!(
        stale.header("warning").is_some_and(|it| it.starts_with("111")),
        "{stale:?}"
    );
    server.kill9()?;
    server.restart()?;
    here.pull_image("mirror/team/web", "v1")?;
    here.pull_image("mirror/team/web", &wanted)?;
    let absent = here.manifest("mirror/team/web", "v2")?;
    ensure!(
        absent.status == 503 && absent.header("retry-after").is_some(),
        "{absent:?}"
    );
    Ok(())
}

#[test]
fn real_clients_pull_an_index_of_docker_registry() -> Result<()> {
    let Some(programs) = client::find(&["skopeo"])? else {
        return Ok(());
    };
    let server = cache(&[])?;
    let Some(upstream) = DockerRegistry::start()? else {
        return Ok(());
    };
    let skopeo = |arguments: &[&str]| run(Command::new(&programs[0]).args(arguments).env("HOME", server.scratch()));
    let layout = server.scratch().join("layout");
    let recipes = [ImageRecipe::text("one"), ImageRecipe::text("two")];
    ImageRecipe::write_index(&recipes, &layout, "v1")?;
    let from = format!("oci:{}:v1", layout.display());
    let to = format!("docker://{}/library/thing:v1", upstream.address());
    skopeo(&["copy", "--all", "--dest-tls-verify=false", &from, &to])?.ok()?;
    let there = RegistryClient::with(upstream.address(), None)
        .manifest("library/thing", "v1")?
        .expect(200)?;
    let index = digest(&there.body);
    rule(&server, "hub", &format!("http://{}", upstream.address()), json!({}))?;

    let key = server.credentials();
    let credentials = format!("{}:{}", key.access_key_id, key.secret_access_key);
    let image = format!("docker://{}/hub/library/thing:v1", server.registry());
    let out = format!("oci:{}:v1", server.scratch().join("out").display());
    skopeo(&[
        "copy",
        "--all",
        "--src-tls-verify=false",
        "--src-creds",
        &credentials,
        &image,
        &out,
    ])?
    .ok()?;
    ensure!(imported(&server, "hub/library/thing", "v1")? == index);
    let images = server
        .api("GET", "/api/v1/repositories/hub%2Flibrary%2Fthing/images", None)?
        .expect(200)?
        .json()?;
    ensure!(
        images["imageDetails"]
            .as_array()
            .or(images["images"].as_array())
            .is_some_and(|it| it.len() == 3),
        "{images}"
    );
    let here = RegistryClient::new(&server);
    let manifest = here.manifest("hub/library/thing", "v1")?.expect(200)?;
    ensure!(manifest.header("content-type") == Some(OCI_INDEX), "{manifest:?}");
    ensure!(manifest.header("hythe-cache") == Some("HIT"), "{manifest:?}");
    Ok(())
}

#[test]
fn a_hundred_cold_pulls_ask_once_for_each_blob() -> Result<()> {
    let layer: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let shelf = Shelf::of("a/b", "v1", &layer);
    let upstream = ScriptedUpstream::start(move |asked| shelf.reply(asked))?;
    let server = cache(&[])?;
    rule(&server, "up", &upstream.url(), json!({}))?;
    let start = Arc::new(Barrier::new(100));
    let pulls: Vec<_> = (0..100)
        .map(|_| {
            let (here, start) = (RegistryClient::new(&server), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                here.pull_image("up/a/b", "v1")
            })
        })
        .collect();
    for pull in pulls {
        pull.join().map_err(|_| anyhow::anyhow!("a pull panicked"))??;
    }
    imported(&server, "up/a/b", "v1")?;
    ensure!(upstream.count("/blobs/") == 2, "{:?}", upstream.asked());
    ensure!(upstream.count("GET /v2/a/b/manifests/") == 1, "{:?}", upstream.asked());
    Ok(())
}

/// Counts what it is given, and hashes it.
struct Counted(Arc<AtomicUsize>, Sha256);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.update(bytes);
        self.0.fetch_add(bytes.len(), Ordering::SeqCst);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn who_comes_late_reads_what_has_come_while_the_rest_is_on_its_way() -> Result<()> {
    let layer: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (shelf, name) = (Shelf::of("a/b", "v1", &layer), digest(&layer));
    let may_go_on = Arc::new(AtomicBool::new(false));
    let (wanted, gate) = (name.clone(), Arc::clone(&may_go_on));
    let upstream = ScriptedUpstream::start(move |asked| Reply {
        held: asked.target.ends_with(&wanted).then(|| (9_000_000, Arc::clone(&gate))),
        ..shelf.reply(asked)
    })?;
    let server = cache(&[])?;
    rule(&server, "up", &upstream.url(), json!({}))?;
    RegistryClient::new(&server).manifest("up/a/b", "v1")?.expect(200)?;
    let key = server.credentials();
    let authorization = http::basic(&key.access_key_id, &key.secret_access_key);
    let target = format!("/v2/up/a/b/blobs/{name}");
    let pull = || {
        let (address, authorization, target) = (server.registry().to_owned(), authorization.clone(), target.clone());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let thread = std::thread::spawn(move || -> Result<String> {
            let mut connection = http::Connection::open(&address)?;
            connection.send_head("GET", &target, &[("Authorization", &authorization)])?;
            let mut sink = Counted(counted, Sha256::new());
            connection.receive_to(false, &mut sink)?.expect(200)?;
            Ok(digest_text(&sink.1.finalize()))
        });
        (count, thread)
    };
    let (first_count, first) = pull();
    wait_until("the first client has what has come", IMPORT_LIMIT, || {
        first_count.load(Ordering::SeqCst) > 7_000_000
    })?;
    let (late_count, late) = pull();
    // All but what may still wait to be written, and far more than is kept in memory.
    wait_until("the late client has what is written", IMPORT_LIMIT, || {
        late_count.load(Ordering::SeqCst) > 5_000_000
    })?;
    ensure!(!may_go_on.load(Ordering::SeqCst) && late_count.load(Ordering::SeqCst) < layer.len());
    may_go_on.store(true, Ordering::SeqCst);
    for pulled in [first, late] {
        let got = pulled.join().map_err(|_| anyhow::anyhow!("a pull panicked"))??;
        ensure!(got == name, "{got} came through");
    }
    ensure!(upstream.count(&name) == 1, "{:?}", upstream.asked());
    Ok(())
}

#[test]
fn what_a_hostile_upstream_sends_is_cut_off_and_never_kept() -> Result<()> {
    let layer = vec![5_u8; 400_000];
    let shelf = Shelf::of("a/b", "v1", &layer);
    let upstream = ScriptedUpstream::start(|_| Reply::new(500, &[], ""))?;
    let server = cache(&["--max-blob-mib", "8"])?;
    rule(&server, "up", &upstream.url(), json!({}))?;
    let here = RegistryClient::new(&server);
    let other = vec![6_u8; 400_000];
    let name = digest(&layer);
    let blob = |reply: Reply| {
        let (shelf, name) = (shelf.clone(), name.clone());
        move |asked: &Asked| {
            if asked.target.contains("/blobs/") && asked.target.ends_with(&name) {
                reply.clone()
            } else {
                shelf.reply(asked)
            }
        }
    };
    let wrong = Reply::new(200, &[], other);
    let short = Reply {
        length: Some(400_000),
        ..Reply::new(200, &[], vec![5_u8; 300_000])
    };
    let long = Reply::new(200, &[], vec![5_u8; 400_001]);
    let endless = Reply {
        is_endless: true,
        ..Reply::new(200, &[], vec![5_u8; 100_000])
    };
    let html = Reply::new(200, &[("Content-Type", "text/html")], "<html>");
    let stolen = Reply::new(307, &[("Location", "http://169.254.169.254/latest/meta-data")], "");
    let cases = [
        ("wrong", wrong),
        ("short", short),
        ("long", long),
        ("endless", endless),
        ("html", html),
        ("stolen", stolen),
    ];
    for (index, (what, reply)) in cases.into_iter().enumerate() {
        // A rule of its own: what went wrong with one is remembered.
        let prefix = format!("up{index}");
        rule(&server, &prefix, &upstream.url(), json!({}))?;
        upstream.answer_with(blob(reply));
        let repository = format!("{prefix}/a/b");
        here.manifest(&repository, "v1")?.expect(200)?;
        let got = here.call("GET", &format!("/v2/{repository}/blobs/{name}"), &[], &[]);
        let is_whole = got
            .as_ref()
            .is_ok_and(|got| got.status == 200 && digest(&got.body) == name);
        let is_cut = got.as_ref().map_or(true, |got| got.status >= 400);
        ensure!(
            is_cut && !is_whole,
            "{what}: {:?}",
            got.map(|got| (got.status, got.body.len()))
        );
        // It is not asked for at once again, and nothing of it is here.
        let again = here.call("GET", &format!("/v2/{repository}/blobs/{name}"), &[], &[])?;
        ensure!(again.status >= 400, "{what}: {}", again.status);
        ensure!(!again.text().contains("169.254"), "{what}: {}", again.text());
        // When it is mended, another rule finds what is right.
        upstream.answer_with(blob(Reply::new(200, &[], layer.clone())));
        let mended = format!("mended{index}");
        rule(&server, &mended, &upstream.url(), json!({}))?;
        here.pull_image(&format!("{mended}/a/b"), "v1").context(what)?;
    }
    Ok(())
}

#[test]
fn an_upstream_that_fails_is_left_alone_for_a_while() -> Result<()> {
    let upstream = ScriptedUpstream::start(|_| Reply::new(500, &[], ""))?;
    let server = cache(&[])?;
    let here = RegistryClient::new(&server);
    let limited = Reply::new(429, &[("Retry-After", "77")], "");
    // Its clock is another one.
    let dated = Reply::new(
        429,
        &[
            ("Retry-After", "Sun, 06 Nov 1994 08:50:37 GMT"),
            ("Date", "Sun, 06 Nov 1994 08:49:20 GMT"),
        ],
        "",
    );
    let html = Reply::new(200, &[("Content-Type", "text/html")], "<html>login</html>");
    let realm = Reply::new(
        401,
        &[("WWW-Authenticate", "Bearer realm=\"http://127.0.0.2:1/token\"")],
        "",
    );
    let cases = [
        ("500", Reply::new(500, &[], ""), 503),
        ("429", limited, 429),
        ("429-dated", dated, 429),
        ("403", Reply::new(403, &[], ""), 403),
        ("404", Reply::new(404, &[], ""), 404),
        ("html", html, 502),
        ("realm", realm, 502),
    ];
    for (what, reply, status) in cases {
        let prefix = format!("up{what}");
        rule(&server, &prefix, &upstream.url(), json!({}))?;
        upstream.answer_with(move |_| reply.clone());
        let target = format!("{prefix}/a/b");
        let before = upstream.asked().len();
        let first = here.manifest(&target, "v1")?;
        ensure!(first.status == status, "{what}: {} {}", first.status, first.text());
        let asked = upstream.asked().len();
        ensure!(asked > before, "{what}: it was not asked");
        let second = here.manifest(&target, "v1")?;
        ensure!(second.status == status, "{what}: {} {}", second.status, second.text());
        ensure!(upstream.asked().len() == asked, "{what}: it was asked again");
        if status == 429 {
            let after: u64 = second.header("retry-after").context("no Retry-After")?.parse()?;
            // More than is taken for granted where nothing is said.
            ensure!((31..=77).contains(&after), "{after}");
        }
        ensure!(server.repository(&target)?.is_none(), "{what}: a repository of nothing");
    }
    // Who wants it asked again has what was absent asked for.
    let shelf = Shelf::of("a/b", "v1", b"layer");
    upstream.answer_with(move |asked| shelf.reply(asked));
    let fresh = here.call(
        "GET",
        "/v2/up404/a/b/manifests/v1",
        &[("Cache-Control", "no-cache"), ("Accept", OCI_MANIFEST)],
        &[],
    )?;
    ensure!(fresh.status == 200, "{}", fresh.text());
    Ok(())
}

#[test]
fn addresses_that_the_operator_does_not_allow_are_not_reached() -> Result<()> {
    let shelf = Shelf::of("a/b", "v1", b"layer");
    let upstream = ScriptedUpstream::start(move |asked| shelf.reply(asked))?;
    let server = Server::start()?;
    let here = RegistryClient::new(&server);
    for (index, url) in [
        upstream.url(),
        upstream.url().replace("http://", ""),
        upstream.url().replace("127.0.0.1", "localhost"),
    ]
    .iter()
    .enumerate()
    {
        let prefix = format!("up{index}");
        rule(&server, &prefix, url, json!({}))?;
        let answer = here.manifest(&format!("{prefix}/a/b"), "v1")?;
        ensure!(
            answer.status == 502 && !answer.text().contains("127.0.0.1"),
            "{url}: {}",
            answer.text()
        );
        let valid = server
            .api("POST", &format!("{RULES}/{prefix}/validation"), None)?
            .expect(200)?
            .json()?;
        ensure!(valid["isValid"] == false, "{valid}");
    }
    ensure!(upstream.asked().is_empty(), "{:?}", upstream.asked());
    Ok(())
}

#[test]
fn importing_needs_its_own_right_and_immutable_tags_stay() -> Result<()> {
    let upstream = ScriptedUpstream::start(|_| Reply::new(500, &[], ""))?;
    let shelf = Shelf::of("a/b", "v1", b"first");
    upstream.answer_with(move |asked| shelf.reply(asked));
    let server = cache(&[])?;
    rule(&server, "up", &upstream.url(), json!({ "tagFreshnessSeconds": 0 }))?;
    let template = json!({ "prefix": "up", "appliedFor": ["PULL_THROUGH_CACHE"], "imageTagMutability": "IMMUTABLE" });
    server
        .api("POST", "/api/v1/repository-creation-templates", Some(&template))?
        .expect(201)?;
    let user = |name: &str, policies: &[&str]| -> Result<RegistryClient> {
        let body = json!({ "userName": name, "policies": policies });
        server.api("POST", "/api/v1/users", Some(&body))?.expect(201)?;
        let key = server
            .api("POST", &format!("/api/v1/users/{name}/access-keys"), None)?
            .expect(201)?
            .json()?;
        let part = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
        let basic = http::basic(&part("accessKeyId"), &part("secretAccessKey"));
        Ok(RegistryClient::with(server.registry(), Some(basic)))
    };
    // One who reads, one who imports into what is there, and one who may do all.
    let reader = user("reader", &["ReadOnly"])?;
    let puller = user("puller", &["PullOnly"])?;
    for somebody in [&reader, &puller] {
        let answer = somebody.manifest("up/a/b", "v1")?;
        ensure!(
            answer.status == 404 && answer.text().contains("NAME_UNKNOWN"),
            "{}",
            answer.text()
        );
    }
    ensure!(upstream.count("/manifests/") == 1, "{:?}", upstream.asked());
    RegistryClient::new(&server).pull_image("up/a/b", "v1")?;
    let first = imported(&server, "up/a/b", "v1")?;
    ensure!(server.repository("up/a/b")?.context("no repository")?["imageTagMutability"] == "IMMUTABLE");
    let answer = reader.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(answer.header("hythe-cache") == Some("STALE"), "{answer:?}");
    let answer = reader.manifest("up/a/b", "v2")?;
    ensure!(
        answer.status == 404 && answer.text().contains("MANIFEST_UNKNOWN"),
        "{}",
        answer.text()
    );

    // Upstream the tag moves; here it is immutable.
    let moved = Shelf::of("a/b", "v1", b"second");
    upstream.answer_with(move |asked| moved.reply(asked));
    let answer = puller.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(
        answer.header("docker-content-digest") == Some(first.as_str()),
        "{answer:?}"
    );
    ensure!(imported(&server, "up/a/b", "v1")? == first);
    Ok(())
}

#[test]
fn what_was_pushed_stays_its_own_below_a_rule() -> Result<()> {
    let shelf = Shelf::of("team/web", "v1", b"of somebody else");
    let upstream = ScriptedUpstream::start(move |asked| shelf.reply(asked))?;
    let server = cache(&[])?;
    rule(&server, "ROOT", &upstream.url(), json!({ "tagFreshnessSeconds": 0 }))?;
    server.create_repository("team/web")?;
    let here = RegistryClient::new(&server);
    let own = here.push_image("team/web", "v1", b"our own")?;
    let absent = format!("/v2/team/web/blobs/{}", digest(b"absent"));
    here.call("HEAD", &absent, &[], &[])?.expect(404)?;
    let answer = here.manifest("team/web", "v1")?.expect(200)?;
    ensure!(
        answer.header("docker-content-digest") == Some(own.as_str()),
        "{answer:?}"
    );
    ensure!(answer.header("hythe-cache").is_none(), "{answer:?}");
    ensure!(upstream.asked().is_empty(), "{:?}", upstream.asked());
    Ok(())
}

#[test]
fn the_command_line_makes_rules_and_asks_again() -> Result<()> {
    let shelf = Shelf::of("a/b", "v1", b"first");
    let upstream = ScriptedUpstream::start(move |asked| shelf.reply(asked))?;
    let server = cache(&[])?;
    let hythe = |arguments: &[&str]| run(server.command(arguments)?.env("HOME", server.scratch()));
    let token = server.scratch().join("token");
    std::fs::write(&token, "very-secret-token\n")?;
    let token = token.to_str().context("a path that is not UTF-8")?;
    let url = upstream.url();
    let made = hythe(&[
        "pull-through-cache",
        "create",
        "up",
        "--upstream",
        &url,
        "--username",
        "somebody",
        "--token-file",
        token,
    ])?
    .ok()?;
    ensure!(
        made.stdout.contains("somebody") && !made.both().contains("very-secret"),
        "{}",
        made.both()
    );
    ensure!(hythe(&["pull-through-cache", "list"])?.ok()?.stdout.contains(&url));
    let here = RegistryClient::new(&server);
    here.pull_image("up/a/b", "v1")?;
    let before = upstream.count("/manifests/");
    here.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(
        upstream.count("/manifests/") == before,
        "it was asked though the answer was fresh"
    );
    let refreshed = hythe(&["pull-through-cache", "refresh", "up/a/b", "v1"])?.ok()?;
    ensure!(refreshed.stdout.contains("1 tag "), "{}", refreshed.both());
    let answer = here.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(answer.header("hythe-cache") == Some("REVALIDATED"), "{answer:?}");
    hythe(&[
        "pull-through-cache",
        "update",
        "up",
        "--no-credential",
        "--tag-freshness",
        "60",
    ])?
    .ok()?;
    let shown = hythe(&["pull-through-cache", "show", "up"])?.ok()?;
    ensure!(
        !shown.stdout.contains("somebody") && shown.stdout.contains("60 s"),
        "{}",
        shown.both()
    );
    imported(&server, "up/a/b", "v1")?;
    hythe(&["pull-through-cache", "delete", "up", "--yes"])?.ok()?;
    // What came by the rule stays.
    here.pull_image("up/a/b", "v1")?;
    hythe(&["pull-through-cache", "refresh", "up/a/b"])?.refused()?;
    Ok(())
}

#[test]
fn an_import_that_a_crash_cuts_off_is_begun_again() -> Result<()> {
    for point in [
        "upload.finish.published",
        "cache.import.complete",
        "cache.import.stored",
    ] {
        let shelf = Shelf::of("a/b", "v1", &vec![9_u8; 200_000]);
        let wanted = shelf
            .0
            .get("/v2/a/b/manifests/v1")
            .map(|(_, bytes)| digest(bytes))
            .context("no manifest")?;
        let upstream = ScriptedUpstream::start(move |asked| shelf.reply(asked))?;
        let mut server = Server::start_with(ServerOptions {
            arguments: vec!["--outgoing-allow".into(), "127.0.0.0/8".into()],
            environment: vec![("HYTHE_TEST_FAIL_POINT".into(), format!("{point}:1"))],
            ..ServerOptions::default()
        })?;
        rule(&server, "up", &upstream.url(), json!({}))?;
        let here = RegistryClient::new(&server);
        // The manifest alone: the import has everything else to fetch.
        here.manifest("up/a/b", "v1")?.expect(200)?;
        wait_until(&format!("the server has ended at {point}"), IMPORT_LIMIT, || {
            server.exit_status().is_ok_and(|status| status.is_some())
        })?;
        server.set_variable("HYTHE_TEST_FAIL_POINT", "none:1");
        server.restart()?;
        here.pull_image("up/a/b", "v1").context(point)?;
        ensure!(imported(&server, "up/a/b", "v1")? == wanted, "{point}");
    }
    Ok(())
}

#[test]
fn behind_a_virtual_repository_what_is_here_is_asked_for_first() -> Result<()> {
    let shelf = Shelf::of("web", "v1", &vec![3; 100_000]);
    let failing = ScriptedUpstream::start(|_| Reply::new(500, &[], "{}"))?;
    let having = ScriptedUpstream::start({
        let shelf = shelf.clone();
        move |asked| shelf.reply(asked)
    })?;
    let server = cache(&[])?;
    rule(&server, "hub", &failing.url(), json!({}))?;
    rule(&server, "mirror", &having.url(), json!({}))?;
    let sources = ["hub", "mirror", "team"].map(|prefix| json!({ "repositoryPrefix": prefix }));
    let all = json!({ "virtualRepositoryName": "all", "sources": sources });
    server
        .api("POST", "/api/v1/virtual-repositories", Some(&all))?
        .expect(201)?;
    server.create_repository("team/web")?;
    let here = RegistryClient::new(&server);
    let own = here.push_image("team/web", "own", b"a layer of the team")?;

    // By digest, nobody elsewhere hears of what the last source has.
    here.pull_image("all/web", &own)?;
    ensure!(failing.asked().is_empty(), "{:?}", failing.asked());
    ensure!(having.asked().is_empty(), "{:?}", having.asked());
    // What only an upstream has comes from there, also when another one fails: a digest names the same everywhere.
    let wanted = having_digest(&shelf)?;
    here.pull_image("all/web", &wanted)?;
    ensure!(having.count("/blobs/") > 0, "{:?}", having.asked());
    // By tag the order counts: what is behind a source that fails may be another image.
    let refused = here.manifest("all/web", "own")?;
    ensure!(refused.status >= 500, "{}", refused.status);
    let gone = here.manifest("all/web", &digest(b"of no image"))?;
    ensure!(gone.status == 404 || gone.status >= 500, "{}", gone.status);
    Ok(())
}

/// The digest of the one manifest on a shelf.
fn having_digest(shelf: &Shelf) -> Result<String> {
    let found = shelf.0.keys().find_map(|path| path.split_once("/manifests/sha256:"));
    Ok(format!("sha256:{}", found.context("no manifest")?.1))
}

#[test]
fn an_upstream_that_sends_a_byte_a_second_is_cut_off() -> Result<()> {
    let layer = vec![8_u8; 300_000];
    let (old, new) = (
        Shelf::of("a/b", "v1", &layer),
        Shelf::of("a/b", "v1", b"what it is now"),
    );
    let trickle = |reply: Reply| Reply {
        per_byte: Duration::from_secs(1),
        ..reply
    };
    let upstream = ScriptedUpstream::start({
        let old = old.clone();
        move |asked| old.reply(asked)
    })?;
    let server = cache(&[])?;
    rule(&server, "kept", &upstream.url(), json!({ "tagFreshnessSeconds": 0 }))?;
    rule(&server, "cold", &upstream.url(), json!({}))?;
    let here = RegistryClient::new(&server);
    here.pull_image("kept/a/b", "v1")?;
    let image = imported(&server, "kept/a/b", "v1")?;

    // The tag has moved, and what it is now does not come: what is here is served, and says so.
    upstream.answer_with(move |asked| {
        let reply = new.reply(asked);
        if asked.method == "GET" { trickle(reply) } else { reply }
    });
    let stale = here.manifest("kept/a/b", "v1")?.expect(200)?;
    ensure!(digest(&stale.body) == image, "another image");
    ensure!(
        stale.header("hythe-cache") == Some("STALE"),
        "{:?}",
        stale.header("hythe-cache")
    );
    ensure!(stale.header("age").is_some(), "no age");

    // A layer that nobody has: the connection is cut, and nothing stays.
    let name = digest(&layer);
    upstream.answer_with(move |asked| {
        let reply = old.reply(asked);
        if asked.target.contains("/blobs/") {
            trickle(reply)
        } else {
            reply
        }
    });
    here.manifest("cold/a/b", "v1")?.expect(200)?;
    let path = format!("/v2/cold/a/b/blobs/{name}");
    let got = here.call("GET", &path, &[], &[]);
    let is_whole = got.as_ref().is_ok_and(|got| got.body.len() == layer.len());
    let is_cut = got.as_ref().map_or(true, |got| got.status >= 400);
    ensure!(is_cut && !is_whole, "{:?}", got.map(|got| (got.status, got.body.len())));
    ensure!(
        server.metric("hythe_registry_cache_failures_total")? > 0,
        "no failure was counted"
    );
    let again = here.call("GET", &path, &[], &[])?;
    ensure!(again.status >= 400, "{}", again.status);
    Ok(())
}
