// SPDX-License-Identifier: Apache-2.0
//! Our own server in front of another registry: first pulls beside pulls straight from there, many first pulls of one
//! blob at once, and what was pulled before beside what was pushed here.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::process::wait_until;
use e2e::proxy::SlowProxy;
use e2e::{Server, ServerOptions, http};
use serde_json::json;

use super::{Content, Plan};
use crate::figures::{Figures, Sample, Section, metric};
use crate::load::body::{Bodies, Body};
use crate::load::connection::Connection;
use crate::load::endpoint::Endpoint;
use crate::load::{fetch, push};
use crate::measure::{self, as_f64};
use crate::process::Tree;
use crate::report::terminal::Progress;
use crate::subject::{Kind, REPOSITORY, Subject, hythe};
use crate::work::image::{self, How, MEBIBYTE, Pushed};

/// The first byte of a large blob.
pub const FIRST_BYTE_ROW: &str = "first byte of a blob of 256 MiB, first pull";
/// All of it.
pub const FIRST_PULL_ROW: &str = "blob of 256 MiB, first pull";
/// The same over a line on which the upstream, and not the machine that all three share, sets the pace.
pub const LINE_ROW: &str = "blob of 64 MiB over a line of 1 Gbit/s, first pull";
const LINE_FIRST_BYTE_ROW: &str = "first byte of a blob of 64 MiB over a line of 1 Gbit/s, first pull";
/// Clients that want a blob at once which nobody wanted before.
pub const CROWD_ROW: &str = "100 clients pull one blob of 1 MiB for the first time";
const CACHED_ROW: &str = "GET 1 MiB that was pulled through before, 16 connections";
const OWN_ROW: &str = "GET 1 MiB that was pushed here, 16 connections";

const PREFIX: &str = "upstream";
const LINE_PREFIX: &str = "line";
const LARGE_BYTES: usize = 256 * MEBIBYTE;
const LINE_BYTES: usize = 64 * MEBIBYTE;
const LINE_BYTES_PER_SECOND: u64 = 125_000_000;
const CROWD: usize = 100;
const CONNECTIONS: usize = 16;
/// How long what was pulled may take to become an image.
const IMPORT_LIMIT: Duration = Duration::from_mins(1);

/// How many steps this is in the progress.
pub fn steps(plan: &Plan) -> usize {
    if plan.wants(Section::Cache) && is_possible(plan) {
        7 * plan.rounds
    } else {
        0
    }
}

fn is_possible(plan: &Plan) -> bool {
    plan.kinds.contains(&Kind::Hythe) && plan.kinds.contains(&Kind::DockerRegistry)
}

/// A registry, and ours in front of it.
struct Pair {
    upstream: Subject,
    line: SlowProxy,
    server: Server,
    tree: Tree,
    cache: Endpoint,
}

/// A way to the same registry, and the large blobs that are pulled on it.
struct Way<'a> {
    repository: String,
    straight: Endpoint,
    bodies: &'a Bodies,
    first_byte_row: &'static str,
    row: &'static str,
}

/// Measures.
pub fn run(plan: &Plan, content: &Content, figures: &mut Figures, progress: &mut Progress) -> Result<()> {
    if !is_possible(plan) {
        progress.note("the cache is measured in front of docker-registry, which is not there");
        return Ok(());
    }
    let pair = Pair::start(content)?;
    let line = Bodies::new(LINE_BYTES);
    let ways = [
        Way {
            repository: through(PREFIX),
            straight: pair.upstream.endpoint.clone(),
            bodies: large(content)?,
            first_byte_row: FIRST_BYTE_ROW,
            row: FIRST_PULL_ROW,
        },
        Way {
            repository: through(LINE_PREFIX),
            straight: Endpoint::plain(&pair.line.address())?,
            bodies: &line,
            first_byte_row: LINE_FIRST_BYTE_ROW,
            row: LINE_ROW,
        },
    ];
    for round in 0..plan.rounds {
        for way in &ways {
            first_pulls(&pair, way, round, figures, progress)?;
        }
        crowd(&pair, content, round, figures, progress)?;
        warm(plan, &pair, content, round, figures, progress)?;
    }
    Ok(())
}

impl Pair {
    fn start(content: &Content) -> Result<Self> {
        let upstream = Subject::start(&Kind::DockerRegistry)?;
        let server = Server::start_with(ServerOptions {
            arguments: vec!["--outgoing-allow".to_owned(), "127.0.0.0/8".to_owned()],
            ..ServerOptions::default()
        })?;
        server.create_repository(REPOSITORY)?;
        let line = SlowProxy::limited(&upstream.endpoint.address.to_string(), LINE_BYTES_PER_SECOND)?;
        for (prefix, address) in [
            (PREFIX, upstream.endpoint.address.to_string()),
            (LINE_PREFIX, line.address()),
        ] {
            let rule = json!({
                "ecrRepositoryPrefix": prefix,
                "upstreamRegistryUrl": format!("http://{address}"),
            });
            server
                .api("POST", "/api/v1/pull-through-cache-rules", Some(&rule))?
                .expect(201)?;
        }
        let (password, _) = server.authorization_token(&json!({}))?;
        let own = Endpoint::plain(server.registry())?.with(http::basic("AWS", &password));
        let token = hythe::bearer(&own, &[REPOSITORY, &through(PREFIX), &through(LINE_PREFIX)])?;
        let pair = Self {
            tree: Tree::of(&[server.pid()])?,
            cache: own.with(token),
            upstream,
            line,
            server,
        };
        // The repositories are made by the first pulls, which are not what is measured.
        for prefix in [PREFIX, LINE_PREFIX] {
            let layer = content.layers.of(image::Size::Small)?.make();
            pair.image(&through(prefix), &format!("first-{prefix}"), &layer)?;
        }
        Ok(pair)
    }

    /// Pushes an image upstream, and pulls its manifest through.
    fn image(&self, repository: &str, tag: &str, layer: &Body<'_>) -> Result<Pushed> {
        let mut there = Connection::open(&self.upstream.endpoint)?;
        let pushed = image::push(&mut there, REPOSITORY, tag, layer, How::Monolith)?;
        let target = format!("/v2/{repository}/manifests/{tag}");
        let headers = format!("Accept: {}\r\n", e2e::registry::OCI_MANIFEST);
        let answer = Connection::open(&self.cache)?
            .call("GET", &target, &headers, &[])?
            .expect(200)?;
        ensure!(answer.body == pushed.manifest, "another manifest came through");
        Ok(pushed)
    }

    fn fetches(&self) -> Result<u64> {
        self.server.metric("hythe_registry_cache_fetches_total")
    }
}

/// A large blob that nobody has pulled yet, through the cache and straight; in odd rounds the other way about.
fn first_pulls(pair: &Pair, way: &Way<'_>, round: usize, figures: &mut Figures, progress: &mut Progress) -> Result<()> {
    let (layer, size) = (way.bodies.make(), way.bodies.bytes() as u64);
    pair.image(&way.repository, &format!("large-{round}-{size}"), &layer)?;
    let straight = (
        Kind::DockerRegistry.name(),
        &way.straight,
        REPOSITORY,
        &pair.upstream.tree,
    );
    let through = (Kind::Hythe.name(), &pair.cache, way.repository.as_str(), &pair.tree);
    let mut order = [through, straight];
    if !round.is_multiple_of(2) {
        order.reverse();
    }
    for (name, endpoint, repository, tree) in order {
        progress.step(round, name, way.row);
        let mut connection = Connection::open(endpoint)?;
        tree.settle()?;
        tree.reset_peak()?;
        let (before, began) = (tree.usage()?, Instant::now());
        let pulled = connection.timed(&format!("/v2/{repository}/blobs/{}", layer.digest))?;
        let took = began.elapsed().as_secs_f64();
        ensure!(pulled.bytes == size, "{} bytes from {name}", pulled.bytes);
        let used = tree.usage()?.since(before).cpu_seconds;
        let first = Sample::from([(metric::MILLISECONDS, pulled.first_byte.as_secs_f64() * 1000.0)]);
        figures.add(
            Section::Cache,
            way.first_byte_row,
            metric::MILLISECONDS,
            name,
            round,
            first,
        );
        let whole = Sample::from([
            (metric::MB_PER_S, as_f64(size) / 1e6 / took),
            (metric::SECONDS, took),
            (metric::CPU, used),
            (metric::CPU_PER_GB, used / (as_f64(size) / 1e9)),
            (metric::P50, took * 1e6),
            (metric::PEAK, tree.peak_mib()?),
        ]);
        figures.add(Section::Cache, way.row, metric::MB_PER_S, name, round, whole);
    }
    let target = format!("/v2/{}/blobs/{}", way.repository, layer.digest);
    let (got, _) = Connection::open(&pair.cache)?.digest_of(&target, "")?;
    ensure!(got == layer.digest, "blob {} came through as {got}", layer.digest);
    Ok(())
}

/// Many clients that want the same blob at once.
fn crowd(pair: &Pair, content: &Content, round: usize, figures: &mut Figures, progress: &mut Progress) -> Result<()> {
    progress.step(round, Kind::Hythe.name(), CROWD_ROW);
    let layer = middle(content)?.make();
    let repository = through(PREFIX);
    pair.image(&repository, &format!("crowd-{round}"), &layer)?;
    let target = format!("/v2/{repository}/blobs/{}", layer.digest);
    let before = pair.fetches()?;
    let mut sample = measure::work(&pair.tree, || {
        push::in_parallel(&pair.cache, CROWD, Duration::MAX, CROWD as u64, |connection, _| {
            let pulled = connection.timed(&target)?;
            ensure!(pulled.bytes == MEBIBYTE as u64, "{} bytes", pulled.bytes);
            Ok(pulled.bytes)
        })
    })?;
    sample.insert(metric::FETCHES, as_f64(pair.fetches()? - before));
    figures.add(
        Section::Cache,
        CROWD_ROW,
        metric::PER_S,
        Kind::Hythe.name(),
        round,
        sample,
    );
    Ok(())
}

/// What was pulled through before, beside what was pushed here.
fn warm(
    plan: &Plan,
    pair: &Pair,
    content: &Content,
    round: usize,
    figures: &mut Figures,
    progress: &mut Progress,
) -> Result<()> {
    let ours = Kind::Hythe.name();
    let (tag, layer, own) = (
        format!("warm-{round}"),
        middle(content)?.make(),
        middle(content)?.make(),
    );
    let repository = through(PREFIX);
    pair.image(&repository, &tag, &layer)?;
    let path = format!("/api/v1/repositories/{}/tags/{tag}", http::percent_encode(&repository));
    wait_until("what was pulled is an image", IMPORT_LIMIT, || {
        let answer = pair.server.api("GET", &path, None);
        answer.is_ok_and(|answer| answer.status == 200)
    })
    .with_context(|| pair.server.log())?;
    push::monolith(&mut Connection::open(&pair.cache)?, REPOSITORY, &own)?;
    let mut order = [
        (CACHED_ROW, repository.as_str(), &layer.digest),
        (OWN_ROW, REPOSITORY, &own.digest),
    ];
    if !round.is_multiple_of(2) {
        order.reverse();
    }
    for (name, repository, digest) in order {
        progress.step(round, ours, name);
        let target = format!("/v2/{repository}/blobs/{digest}");
        Connection::open(&pair.cache)?.timed(&target)?;
        let asked = fetch::Plan {
            endpoint: pair.cache.clone(),
            method: "GET",
            target,
            headers: String::new(),
            bytes: MEBIBYTE as u64,
            connections: CONNECTIONS,
            length: plan.length,
        };
        let sample = measure::fetch(&pair.tree, &asked)?;
        figures.add(Section::Cache, name, metric::MB_PER_S, ours, round, sample);
    }
    Ok(())
}

fn large(content: &Content) -> Result<&Bodies> {
    let found = content.blobs.iter().find(|bodies| bodies.bytes() == LARGE_BYTES);
    found.context("no large blobs")
}

/// The repository of what comes through a rule.
fn through(prefix: &str) -> String {
    format!("{prefix}/{REPOSITORY}")
}

fn middle(content: &Content) -> Result<&Bodies> {
    content.layers.of(image::Size::One)
}
