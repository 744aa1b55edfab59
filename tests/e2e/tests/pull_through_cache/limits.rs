// SPDX-License-Identifier: Apache-2.0
//! An upstream that counts requests for manifests as Docker Hub does, and says how many are left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use e2e::process::wait_until;
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, digest};
use e2e::upstream::{Asked, Reply, ScriptedUpstream};
use e2e::{RegistryClient, Server};
use serde_json::json;

use super::{IMPORT_LIMIT, Shelf, cache, having_digest, imported, rule};

const REMAINING: &str = "hythe_registry_cache_requests_remaining";
const LIMIT: &str = "hythe_registry_cache_requests_limit";

/// How many requests are left, and how many there were when nothing was.
#[derive(Clone, Default)]
struct Quota {
    left: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Quota {
    /// A limit of `left` requests in a window that makes a client pause for 30 s. A HEAD costs nothing.
    fn of(left: usize) -> Self {
        let quota = Self::default();
        quota.left.store(left, Ordering::SeqCst);
        quota
    }

    fn answer(&self, asked: &Asked, reply: Reply) -> Reply {
        if !asked.target.contains("/manifests/") {
            return reply;
        }
        let take = |left: usize| left.checked_sub(1);
        let is_refused = asked.method == "GET"
            && self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_err();
        let mut reply = if is_refused {
            self.refused.fetch_add(1, Ordering::SeqCst);
            Reply::new(429, &[], "{}")
        } else {
            reply
        };
        let left = format!("{};w=60", self.left.load(Ordering::SeqCst));
        reply.headers.push(("RateLimit-Limit".into(), "2;w=60".into()));
        reply.headers.push(("RateLimit-Remaining".into(), left));
        reply
    }

    fn on(&self, images: &Shelf) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
        let (quota, images) = (self.clone(), images.clone());
        move |asked| quota.answer(asked, images.reply(asked))
    }
}

fn heads(upstream: &ScriptedUpstream) -> usize {
    upstream.count("HEAD /v2/a/b/manifests/")
}

#[test]
fn an_upstream_that_has_nothing_left_is_not_asked_for_a_while() -> Result<()> {
    let (old, new) = (Shelf::of("a/b", "v1", b"old"), Shelf::of("a/b", "v1", b"new"));
    let (old_image, new_image) = (having_digest(&old)?, having_digest(&new)?);
    let quota = Quota::of(1);
    let upstream = ScriptedUpstream::start(quota.on(&old))?;
    let server = cache(&[])?;
    rule(&server, "up", &upstream.url(), json!({ "tagFreshnessSeconds": 0 }))?;
    let here = RegistryClient::new(&server);
    let first = here.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(first.header("hythe-cache") == Some("MISS"), "{first:?}");
    let asked = upstream.count("/manifests/");

    // That was the last one. What is here is served, with its layers, which are not counted.
    let stale = here.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(stale.header("hythe-cache") == Some("STALE"), "{stale:?}");
    ensure!(
        stale.header("age").is_some() && stale.header("warning").is_some_and(|it| it.contains("fewer requests")),
        "{stale:?}"
    );
    here.pull_image("up/a/b", "v1")?;
    here.pull_image("up/a/b", &old_image)?;
    let fresh = [("Cache-Control", "no-cache"), ("Accept", OCI_MANIFEST)];
    let fresh = here.call("GET", "/v2/up/a/b/manifests/v1", &fresh, &[])?.expect(200)?;
    ensure!(fresh.header("hythe-cache") == Some("STALE"), "{fresh:?}");
    // What is not here is not to be had.
    for absent in ["v2", &new_image] {
        let absent = here.manifest("up/a/b", absent)?;
        ensure!(
            absent.status == 429 && absent.text().contains("TOOMANYREQUESTS"),
            "{} {}",
            absent.status,
            absent.text()
        );
        let after: u64 = absent.header("retry-after").context("no Retry-After")?.parse()?;
        ensure!((1..=30).contains(&after), "{after}");
    }
    ensure!(upstream.count("/manifests/") == asked, "{:?}", upstream.asked());
    ensure!(server.metric(REMAINING)? == 0 && server.metric(LIMIT)? == 2);

    // After a while it is asked what costs nothing: the tag has moved, and the rest is left for later.
    upstream.answer_with(quota.on(&new));
    wait_until("it is asked again", IMPORT_LIMIT * 2, || {
        let stale = here.manifest("up/a/b", "v1");
        heads(&upstream) > 0 || !stale.is_ok_and(|stale| stale.header("hythe-cache") == Some("STALE"))
    })?;
    let stale = here.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(
        stale.header("hythe-cache") == Some("STALE") && digest(&stale.body) == old_image,
        "{stale:?}"
    );
    ensure!(heads(&upstream) == 1, "{:?}", upstream.asked());

    // The window has moved.
    quota.left.store(5, Ordering::SeqCst);
    wait_until("what the tag is now comes", IMPORT_LIMIT * 2, || {
        here.manifest("up/a/b", "v1")
            .is_ok_and(|answer| digest(&answer.body) == new_image)
    })?;
    ensure!(server.metric(REMAINING)? == 4, "{}", server.metric(REMAINING)?);
    ensure!(quota.refused.load(Ordering::SeqCst) == 0, "{:?}", upstream.asked());
    Ok(())
}

#[test]
fn an_index_waits_for_its_images_until_there_is_something_left() -> Result<()> {
    let child = Shelf::of("a/b", "child", b"layer");
    let image = having_digest(&child)?;
    let size = child
        .0
        .get("/v2/a/b/manifests/child")
        .map_or(0, |(_, bytes)| bytes.len());
    let entry = json!({ "mediaType": OCI_MANIFEST, "digest": image, "size": size });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] }).to_string();
    let mut files = (*child.0).clone();
    let file = (OCI_INDEX.to_owned(), index.clone().into_bytes());
    files.insert("/v2/a/b/manifests/v1".into(), file);
    let quota = Quota::of(1);
    let upstream = ScriptedUpstream::start(quota.on(&Shelf(Arc::new(files))))?;
    let server: Server = cache(&[])?;
    rule(&server, "up", &upstream.url(), json!({}))?;
    RegistryClient::new(&server).manifest("up/a/b", "v1")?.expect(200)?;
    wait_until("the import waits", IMPORT_LIMIT, || {
        server
            .log()
            .contains("an image waits until its upstream takes more requests")
    })?;
    quota.left.store(5, Ordering::SeqCst);
    // As long as the pause takes, and then some.
    let limit = IMPORT_LIMIT * 2;
    wait_until("the index is an image", limit, || {
        server
            .metric("hythe_registry_cache_imports_total")
            .is_ok_and(|imports| imports > 0)
    })?;
    ensure!(imported(&server, "up/a/b", "v1")? == digest(index.as_bytes()));
    ensure!(quota.refused.load(Ordering::SeqCst) == 0, "{:?}", upstream.asked());
    RegistryClient::new(&server).pull_image("up/a/b", &image)?;
    Ok(())
}
