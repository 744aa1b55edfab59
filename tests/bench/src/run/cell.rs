// SPDX-License-Identifier: Apache-2.0
//! The measurements: what is asked of each server, how often, for how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::registry::OCI_MANIFEST;

use super::seed::{Seeded, TAG};
use super::{BLOB_SIZES, Content, Plan};
use crate::figures::{Metric, Sample, Section, metric};
use crate::load::body::Bodies;
use crate::load::connection::Connection;
use crate::load::schedule::Schedule;
use crate::load::{fetch, push};
use crate::measure::{self, add_latencies, as_f64};
use crate::subject::{CATALOG_REPOSITORIES, Kind, REPOSITORY, Subject};
use crate::work::image::{self, How, MEBIBYTE, Size};
use crate::work::open_loop;

/// Clients of the whole-image workloads.
const IMAGE_CLIENTS: usize = 4;
/// Bytes that one measurement of pushes may write at most.
const MAX_PUSHED_BYTES: usize = 1024 * MEBIBYTE;
/// Pushes of one measurement at most.
const MAX_PUSHES: usize = 20_000;
/// Arrivals of an open loop come at the same times for everyone.
const SCHEDULE_SEED: u64 = 20_260_101;

/// One measurement.
#[derive(Debug)]
pub struct Cell {
    pub section: Section,
    pub name: String,
    pub lead: &'static Metric,
    pub is_tls: bool,
    length: Duration,
    work: Work,
}

#[derive(Clone, Debug)]
enum Work {
    Blob {
        bytes: usize,
        connections: usize,
    },
    Manifest {
        method: &'static str,
        by_tag: bool,
        connections: usize,
    },
    Push {
        size: usize,
        connections: usize,
    },
    PushImages {
        how: How,
        size: Option<Size>,
    },
    PullImages {
        size: Option<Size>,
    },
    MixedImages,
    Catalog,
    OpenPull {
        rate: f64,
    },
    OpenPush {
        rate: f64,
    },
}

/// All measurements of a plan.
pub fn cells(plan: &Plan) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut add = |section, name: String, lead, work: Work| {
        cells.push(Cell {
            section,
            is_tls: name.starts_with("HTTPS"),
            name,
            lead,
            length: plan.length,
            work,
        });
    };
    if plan.wants(Section::Get) {
        for (bytes, size) in BLOB_SIZES {
            for connections in [1, 16, 64] {
                let name = format!("GET {size}, {}", at_once(connections));
                add(Section::Get, name, lead(bytes), Work::Blob { bytes, connections });
            }
        }
    } else if plan.wants(Section::Memory) {
        let (bytes, connections) = (256 * MEBIBYTE, 64);
        let name = format!("GET 256 MiB, {}", at_once(connections));
        add(Section::Get, name, metric::MB_PER_S, Work::Blob { bytes, connections });
    }
    if plan.wants(Section::Manifest) {
        for (what, method, by_tag) in [
            ("GET manifest by tag", "GET", true),
            ("HEAD manifest by tag", "HEAD", true),
            ("GET manifest by digest", "GET", false),
        ] {
            for connections in [1, 16] {
                let name = format!("{what}, {}", at_once(connections));
                let work = Work::Manifest {
                    method,
                    by_tag,
                    connections,
                };
                add(Section::Manifest, name, metric::PER_S, work);
            }
        }
    }
    if plan.wants(Section::Push) {
        for (at, connections) in [(0, 1), (0, 8), (0, 32), (2, 1), (2, 8), (3, 1), (3, 4)] {
            let Some((size, text)) = BLOB_SIZES.get(at).copied() else {
                continue;
            };
            let name = format!("push {text}, {}", at_once(connections));
            add(Section::Push, name, lead(size), Work::Push { size, connections });
        }
    }
    if plan.wants(Section::Images) {
        let sizes = [Some(Size::One), Some(Size::Ten), Some(Size::Hundred), None];
        let small = Work::PushImages {
            how: How::Monolith,
            size: Some(Size::Small),
        };
        add(
            Section::Images,
            "push images of 64 KiB, 4 clients".to_owned(),
            metric::PER_S,
            small,
        );
        for (what, how) in [("Push Monolith", How::Monolith), ("Push Chunk Streamed", How::Streamed)] {
            for size in sizes {
                let name = format!("{what} {}", size.map_or("mixed 20/70/10", Size::name));
                add(Section::Images, name, metric::PER_S, Work::PushImages { how, size });
            }
        }
        for size in sizes {
            let name = format!("Pull {}", size.map_or("mixed 20/70/10", Size::name));
            add(Section::Images, name, metric::PER_S, Work::PullImages { size });
        }
        add(
            Section::Images,
            "Pull 75 %, push 25 %, 1 MiB".to_owned(),
            metric::PER_S,
            Work::MixedImages,
        );
        let name = format!("Catalog of {CATALOG_REPOSITORIES}");
        add(Section::Images, name, metric::PER_S, Work::Catalog);
        for rate in plan.rates.iter().copied() {
            let name = format!("open loop: pull 1 MiB images, {rate}/s");
            add(Section::Images, name, metric::P99, Work::OpenPull { rate });
        }
        // A push costs about five times what a pull does: the same sweep lower down.
        for rate in plan.rates.iter().map(|rate| rate / 5.0) {
            let name = format!("open loop: push 64 KiB images, {rate}/s");
            add(Section::Images, name, metric::P99, Work::OpenPush { rate });
        }
    }
    // At the end: every server starts anew for these.
    if plan.wants(Section::Get) {
        for (bytes, size) in BLOB_SIZES {
            let connections: &[usize] = if bytes > MEBIBYTE { &[1, 16] } else { &[16] };
            for connections in connections.iter().copied() {
                let name = format!("HTTPS GET {size}, {}", at_once(connections));
                add(Section::Get, name, lead(bytes), Work::Blob { bytes, connections });
            }
        }
    }
    cells
}

/// What tells most about moving blobs of a size.
fn lead(bytes: usize) -> &'static Metric {
    if bytes < MEBIBYTE {
        metric::PER_S
    } else {
        metric::MB_PER_S
    }
}

fn at_once(connections: usize) -> String {
    if connections == 1 {
        "1 connection".to_owned()
    } else {
        format!("{connections} connections")
    }
}

impl Cell {
    /// Measures one server; `None` if it cannot do that.
    pub fn sample(&self, subject: &Subject, seeded: &Seeded, content: &Content) -> Result<Option<Sample>> {
        if subject.kind == Kind::Nginx && self.section != Section::Get {
            return Ok(None);
        }
        let tree = &subject.tree;
        let endpoint = subject.endpoint.clone();
        let clients = |most: u64, work: &(dyn Fn(&mut Connection, u64) -> Result<u64> + Sync)| {
            sync(content);
            measure::work(tree, || {
                push::in_parallel(&subject.endpoint, IMAGE_CLIENTS, self.length, most, work)
            })
        };
        let next_tag = |turn: u64| format!("p{}-{turn}", next());
        let sample = match self.work {
            Work::Blob { bytes, connections } => {
                let blob = seeded.blobs.iter().find(|(own, _)| *own == bytes);
                let (_, digest) = blob.context("this blob was not pushed")?;
                let plan = fetch::Plan {
                    endpoint,
                    method: "GET",
                    target: format!("/v2/{REPOSITORY}/blobs/{digest}"),
                    headers: String::new(),
                    bytes: bytes as u64,
                    connections,
                    length: self.length,
                };
                measure::fetch(tree, &plan)?
            }
            Work::Manifest {
                method,
                by_tag,
                connections,
            } => {
                let (digest, length) = seeded.manifest.as_ref().context("no manifest was pushed")?;
                let reference = if by_tag { TAG } else { digest };
                let plan = fetch::Plan {
                    endpoint,
                    method,
                    target: format!("/v2/{REPOSITORY}/manifests/{reference}"),
                    headers: format!("Accept: {OCI_MANIFEST}\r\n"),
                    bytes: *length as u64,
                    connections,
                    length: self.length,
                };
                measure::fetch(tree, &plan)?
            }
            Work::Push { size, connections } => {
                let at = BLOB_SIZES.iter().position(|(own, _)| *own == size);
                let bodies = at.and_then(|at| content.blobs.get(at)).context("no bodies")?;
                let plan = push::Plan {
                    endpoint,
                    repository: REPOSITORY,
                    bodies,
                    connections,
                    length: self.length,
                    most: (MAX_PUSHED_BYTES / size).clamp(1, MAX_PUSHES) as u64,
                };
                sync(content);
                measure::work(tree, || push::run(&plan))?
            }
            Work::PushImages { how, size } => {
                let bytes = size.map_or(17 * MEBIBYTE, |size| content.layers.of(size).map_or(1, Bodies::bytes));
                let most = (MAX_PUSHED_BYTES / bytes).clamp(1, MAX_PUSHES) as u64;
                clients(most, &|connection, turn| {
                    let layer = content.layers.of(size.unwrap_or(Size::mixed(turn)))?.make();
                    Ok(image::push(connection, REPOSITORY, &next_tag(turn), &layer, how)?.bytes)
                })?
            }
            Work::PullImages { size } => clients(u64::MAX, &|connection, turn| {
                image::pull(connection, REPOSITORY, &size.unwrap_or(Size::mixed(turn)).tag(turn))
            })?,
            Work::MixedImages => clients(MAX_PUSHES as u64, &|connection, turn| {
                if turn % 4 != 3 {
                    return image::pull(connection, REPOSITORY, &Size::One.tag(turn));
                }
                let layer = content.layers.of(Size::One)?.make();
                Ok(image::push(connection, REPOSITORY, &next_tag(turn), &layer, How::Monolith)?.bytes)
            })?,
            Work::Catalog => clients(u64::MAX, &|connection, _| {
                let target = format!("/v2/_catalog?n={}", CATALOG_REPOSITORIES + 1);
                let answer = connection.call("GET", &target, "", &[])?.expect(200)?;
                let page: serde_json::Value = serde_json::from_slice(&answer.body)?;
                let names = page.get("repositories").and_then(serde_json::Value::as_array);
                let count = names.map_or(0, Vec::len);
                ensure!(count > CATALOG_REPOSITORIES, "{count} repositories in the catalog");
                Ok(answer.body.len() as u64)
            })?,
            Work::OpenPull { rate } => open(subject, rate, self.length * 2, &|connection, turn| {
                image::pull(connection, REPOSITORY, &Size::One.tag(turn))
            })?,
            Work::OpenPush { rate } => {
                sync(content);
                open(subject, rate, self.length * 2, &|connection, turn| {
                    let layer = content.layers.of(Size::Small)?.make();
                    Ok(image::push(connection, REPOSITORY, &next_tag(turn), &layer, How::Monolith)?.bytes)
                })?
            }
        };
        Ok(Some(sample))
    }
}

fn open(
    subject: &Subject,
    rate: f64,
    length: Duration,
    work: &(dyn Fn(&mut Connection, u64) -> Result<u64> + Sync),
) -> Result<Sample> {
    let schedule = Schedule::poisson(rate, length, SCHEDULE_SEED);
    let before = subject.tree.usage()?;
    let outcome = open_loop::run(&subject.endpoint, &schedule, work)?;
    let used = subject.tree.usage()?.since(before);
    let count = as_f64(outcome.latencies.count() as u64);
    let mut sample = Sample::from([
        (metric::OFFERED, rate),
        (metric::PER_S, count / outcome.took.as_secs_f64()),
        (metric::KEPT_UP, if outcome.kept_up { 1.0 } else { 0.0 }),
        (metric::CPU, used.cpu_seconds),
        (metric::REQUESTS, count),
    ]);
    add_latencies(&mut sample, outcome.latencies);
    Ok(sample)
}

/// A number that no tag had before.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Before pushes are measured, what others have left to be written is written: else the next server pays for it.
fn sync(content: &Content) {
    if let Ok(file) = std::fs::File::open(&content.identity.key) {
        // A file system that cannot do this only makes the figures noisier.
        let _ = rustix::fs::syncfs(file);
    }
}
