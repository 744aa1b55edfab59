// SPDX-License-Identifier: Apache-2.0
//! Rules that change or go while images come by them, and repositories that do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use e2e::client::find;
use e2e::http::basic;
use e2e::process::wait_until;
use e2e::registry::digest;
use e2e::server::repository_path;
use e2e::upstream::{Asked, Reply, ScriptedUpstream};
use e2e::{RegistryClient, leftovers};
use serde_json::json;

use super::shares::{MOST_OF_ONE, TAKEN};
use super::{IMPORT_LIMIT, RULES, Shelf, cache, having_digest, imported, rule};

/// A registry with tokens for whoever has the secret of the day. Tokens end with their secret.
fn guarded(shelf: &Shelf, secret: &Arc<Mutex<String>>) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    let (shelf, secret) = (shelf.clone(), Arc::clone(secret));
    move |asked| {
        let secret = secret.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let header = |name: &str| {
            let found = asked.headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let authorization = header("authorization");
        if asked.target.starts_with("/token") {
            if authorization != basic("somebody", &secret) {
                return Reply::new(401, &[], "{}");
            }
            let token = json!({ "token": format!("for-{secret}"), "expires_in": 300 });
            return Reply::new(200, &[("Content-Type", "application/json")], token.to_string());
        }
        if authorization != format!("Bearer for-{secret}") {
            let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", header("host"));
            return Reply::new(401, &[("WWW-Authenticate", &challenge)], "{}");
        }
        if asked.target == "/v2/" {
            return Reply::new(200, &[], "{}");
        }
        shelf.reply(asked)
    }
}

#[test]
fn credentials_can_be_rotated_there_and_then_here() -> Result<()> {
    let mut files = (*Shelf::of("a/b", "v1", b"one").0).clone();
    files.extend((*Shelf::of("a/b", "v2", b"two").0).clone());
    let shelf = Shelf(Arc::new(files));
    let secret = Arc::new(Mutex::new("first-secret".to_owned()));
    let upstream = ScriptedUpstream::start(guarded(&shelf, &secret))?;
    let server = cache(&[])?;
    let credential = |secret: &str| json!({ "username": "somebody", "accessToken": secret });
    let more = json!({ "credential": credential("first-secret"), "tagFreshnessSeconds": 0 });
    rule(&server, "up", &upstream.url(), more)?;
    let is_valid = || -> Result<bool> {
        let path = format!("{RULES}/up/validation");
        let valid = server.api("POST", &path, None)?.expect(200)?.json()?;
        Ok(valid["isValid"] == true)
    };
    let here = RegistryClient::new(&server);
    here.pull_image("up/a/b", "v1")?;
    let image = imported(&server, "up/a/b", "v1")?;

    "second-secret".clone_into(&mut secret.lock().unwrap_or_else(PoisonError::into_inner));
    let stale = here.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(
        stale.header("hythe-cache") == Some("STALE")
            && stale.header("warning").is_some_and(|it| it.contains("refuses access")),
        "{stale:?}"
    );
    here.pull_image("up/a/b", &image)?;
    let refused = here.manifest("up/a/b", "v2")?;
    ensure!(
        refused.status == 403 && refused.text().contains("DENIED"),
        "{} {}",
        refused.status,
        refused.text()
    );
    ensure!(!is_valid()?, "it does not let these in any more");

    // From then on it is asked at once: what was refused before was refused to another.
    let change = json!({ "credential": credential("second-secret") });
    server
        .api("PATCH", &format!("{RULES}/up"), Some(&change))?
        .expect(200)?;
    ensure!(is_valid()?);
    let second = here.manifest("up/a/b", "v2")?.expect(200)?;
    ensure!(second.header("hythe-cache") == Some("MISS"), "{second:?}");
    here.pull_image("up/a/b", "v2")?;
    let first = here.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(first.header("hythe-cache") == Some("REVALIDATED"), "{first:?}");
    imported(&server, "up/a/b", "v2")?;
    let log = server.log();
    ensure!(!log.contains("-secret"), "{log}");
    Ok(())
}

#[test]
fn a_rule_that_goes_while_an_image_comes_leaves_nothing_half() -> Result<()> {
    if find(&["sqlite3"])?.is_none() {
        return Ok(());
    }
    let layer: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (shelf, name) = (Shelf::of("a/b", "v1", &layer), digest(&layer));
    let image = having_digest(&shelf)?;
    for is_by_client in [true, false] {
        let may_go_on = Arc::new(AtomicBool::new(false));
        let (held, gate, wanted) = (shelf.clone(), Arc::clone(&may_go_on), name.clone());
        let upstream = ScriptedUpstream::start(move |asked| Reply {
            held: asked.target.ends_with(&wanted).then(|| (9_000_000, Arc::clone(&gate))),
            ..held.reply(asked)
        })?;
        let mut server = cache(&[])?;
        rule(&server, "up", &upstream.url(), json!({}))?;
        let here = RegistryClient::new(&server);
        here.manifest("up/a/b", "v1")?.expect(200)?;
        let target = format!("/v2/up/a/b/blobs/{name}");
        // Without a client, the import fetches it.
        let pull = is_by_client.then(|| {
            let (client, target) = (here.clone(), target.clone());
            std::thread::spawn(move || client.call("GET", &target, &[], &[]))
        });
        wait_until("the layer is on its way", IMPORT_LIMIT, || {
            server
                .metric("hythe_registry_cache_received_bytes_total")
                .is_ok_and(|bytes| bytes > 8_000_000)
        })?;
        server.api("DELETE", &format!("{RULES}/up"), None)?.expect(200)?;
        for gone in [here.manifest("up/a/b", "v1")?, here.manifest("up/a/b", &image)?] {
            ensure!(gone.status == 404, "{} {}", gone.status, gone.text());
        }
        here.call("HEAD", &target, &[], &[])?.expect(404)?;
        may_go_on.store(true, Ordering::SeqCst);
        if let Some(pull) = pull {
            // All of it, as somebody may have it who began while the rule was there.
            let got = pull.join().map_err(|_| anyhow::anyhow!("a pull panicked"))??;
            ensure!(
                got.status == 200 && digest(&got.body) == name,
                "{} {}",
                got.status,
                got.body.len()
            );
            server.wait_for_log("its rule is gone")?;
            here.manifest("up/a/b", "v1")?.expect(404)?;
        } else {
            // What had come so far that it needed nothing more is an image.
            ensure!(imported(&server, "up/a/b", "v1")? == image);
            here.pull_image("up/a/b", "v1")?;
            wait_until("the import has ended", IMPORT_LIMIT, || {
                server
                    .metric("hythe_registry_cache_imports_total")
                    .is_ok_and(|imports| imports > 0)
            })?;
        }
        server.kill9()?;
        let database = server.data_folder().join("hythe.db");
        let rows = leftovers::query(&database, "SELECT digest FROM upstream_manifest")?;
        ensure!(rows.is_empty(), "{rows:?}");
        server.restart()?;
        // With a rule again, all of it comes.
        rule(&server, "up", &upstream.url(), json!({}))?;
        here.pull_image("up/a/b", "v1")?;
        ensure!(imported(&server, "up/a/b", "v1")? == image);
    }
    Ok(())
}

#[test]
fn what_is_on_its_way_to_a_repository_that_is_deleted_is_given_up() -> Result<()> {
    let layer: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let (shelf, name) = (Shelf::of("a/b", "v1", &layer), digest(&layer));
    let image = having_digest(&shelf)?;
    let (held, wanted) = (shelf.clone(), name.clone());
    // The rest never comes.
    let never = Arc::new(AtomicBool::new(false));
    let upstream = ScriptedUpstream::start(move |asked| Reply {
        held: asked.target.ends_with(&wanted).then(|| (900_000, Arc::clone(&never))),
        ..held.reply(asked)
    })?;
    let server = cache(&[])?;
    rule(&server, "up", &upstream.url(), json!({}))?;
    let here = RegistryClient::new(&server);
    here.manifest("up/a/b", "v1")?.expect(200)?;
    wait_until("the import fetches the layer", IMPORT_LIMIT, || {
        let received = server.metric("hythe_registry_cache_received_bytes_total");
        received.is_ok_and(|bytes| bytes >= 900_000) && server.metric(TAKEN).is_ok_and(|taken| taken == 1)
    })?;
    let path = format!("{}?force=true", repository_path("up/a/b"));
    server.api("DELETE", &path, None)?.expect(200)?;
    wait_until("nothing is fetched", IMPORT_LIMIT, || {
        server.metric(TAKEN).is_ok_and(|taken| taken == 0)
    })?;
    server.wait_for_log("an image does not come from upstream: nobody waits for it any more")?;
    here.call("GET", &format!("/v2/up/a/b/blobs/{name}"), &[], &[])?
        .expect(404)?;

    // Nothing of it is in the way of the next one.
    upstream.answer_with(move |asked| shelf.reply(asked));
    here.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(imported(&server, "up/a/b", "v1")? == image);
    here.pull_image("up/a/b", "v1")?;
    Ok(())
}

#[test]
fn a_pull_that_waits_for_its_turn_ends_when_its_repository_is_deleted() -> Result<()> {
    const ACTIVE: &str = "hythe_registry_active_requests";
    let (slow, other) = (
        Shelf::of("a/b", "v1", b"layer"),
        Shelf::of("c/d", "v1", b"another layer"),
    );
    let gate = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&gate);
    let upstream = ScriptedUpstream::start(move |asked| {
        if asked.target.starts_with("/v2/a/b/blobs/") {
            let mut reply = Reply::new(200, &[], vec![7; 1000]);
            reply.held = Some((1, Arc::clone(&opened)));
            return reply;
        }
        [&slow, &other]
            .map(|shelf| shelf.reply(asked))
            .into_iter()
            .find(|reply| reply.status == 200)
            .unwrap_or_else(|| Reply::new(404, &[], "{}"))
    })?;
    let server = cache(&["--max-wait-seconds=60"])?;
    rule(&server, "up", &upstream.url(), json!({}))?;
    let here = RegistryClient::new(&server);
    for name in ["up/a/b", "up/c/d"] {
        here.manifest(name, "v1")?.expect(200)?;
    }
    let pull = |target: String| {
        let client = here.clone();
        std::thread::spawn(move || client.call("GET", &target, &[], &[]))
    };
    let slow: Vec<_> = (0..MOST_OF_ONE)
        .map(|number| pull(format!("/v2/up/a/b/blobs/{}", digest(&number.to_le_bytes()))))
        .collect();
    wait_until("all places are taken", IMPORT_LIMIT, || {
        server.metric(TAKEN).is_ok_and(|taken| taken == MOST_OF_ONE)
    })?;
    let waiting = pull(format!("/v2/up/c/d/blobs/{}", digest(b"another layer")));
    wait_until("one more is asked for", IMPORT_LIMIT, || {
        server.metric(ACTIVE).is_ok_and(|active| active == MOST_OF_ONE + 1)
    })?;
    let path = format!("{}?force=true", repository_path("up/c/d"));
    server.api("DELETE", &path, None)?.expect(200)?;
    gate.store(true, Ordering::SeqCst);
    for pull in slow {
        // They have bytes that are none of theirs.
        let _ = pull.join().map_err(|_| anyhow::anyhow!("a pull panicked"))?;
    }
    wait_until("the pull is answered", IMPORT_LIMIT, || waiting.is_finished())?;
    let answer = waiting.join().map_err(|_| anyhow::anyhow!("a pull panicked"))??;
    ensure!(answer.status == 404, "{} {}", answer.status, answer.text());
    wait_until("the places are free again", IMPORT_LIMIT, || {
        server.metric(TAKEN).is_ok_and(|taken| taken == 0)
    })
}
