// SPDX-License-Identifier: Apache-2.0
//! Two of our own servers, one of which sends everything to the other: how long it takes from the end of a push to a
//! pull there.

use std::sync::mpsc;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use e2e::{Server, ServerOptions};
use serde_json::json;

use super::large::known;
use super::{Content, Plan};
use crate::figures::{Figures, Sample, Section, metric};
use crate::load::body::Bodies;
use crate::load::connection::Connection;
use crate::load::endpoint::Endpoint;
use crate::load::latency::Latencies;
use crate::measure::{add_latencies, as_f64};
use crate::process::Tree;
use crate::report::terminal::Progress;
use crate::subject::{Kind, REPOSITORY};
use crate::work::image::{self, How, MEBIBYTE, Pushed, Size};

/// One after the other.
pub const LARGE_ROW: &str = "from a push of a 20 MiB image to its pull elsewhere";
const SMALL_ROW: &str = "from a push of a 64 KiB image to its pull elsewhere, 10/s";

const LARGE_BYTES: usize = 20 * MEBIBYTE;
/// Of each round.
const LARGE_PUSHES: usize = 5;
const SMALL_PUSHES: usize = 50;
const BETWEEN: Duration = Duration::from_millis(100);
/// How often it is asked whether an image has arrived.
const POLL: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(30);
const THERE: &str = "there";

/// How many steps this is in the progress.
pub fn steps(plan: &Plan) -> usize {
    if is_wanted(plan) { 2 * plan.rounds } else { 0 }
}

fn is_wanted(plan: &Plan) -> bool {
    plan.wants(Section::Replication) && plan.kinds.contains(&Kind::Hythe)
}

struct Pair {
    here: Endpoint,
    there: Endpoint,
    sender: Tree,
    receiver: Tree,
    _servers: [Server; 2],
}

/// Measures.
pub fn run(plan: &Plan, content: &Content, figures: &mut Figures, progress: &mut Progress) -> Result<()> {
    if !is_wanted(plan) {
        return Ok(());
    }
    let pair = Pair::start()?;
    let large = Bodies::new(LARGE_BYTES);
    for round in 0..plan.rounds {
        for (name, bodies, count, between) in [
            (LARGE_ROW, &large, LARGE_PUSHES, None),
            (SMALL_ROW, content.layers.of(Size::Small)?, SMALL_PUSHES, Some(BETWEEN)),
        ] {
            progress.step(round, Kind::Hythe.name(), name);
            let sample = pair.lags(bodies, round, count, between)?;
            figures.add(
                Section::Replication,
                name,
                metric::P50,
                Kind::Hythe.name(),
                round,
                sample,
            );
        }
    }
    Ok(())
}

impl Pair {
    fn start() -> Result<Self> {
        let start = |region: &str| {
            let arguments = ["--region", region, "--outgoing-allow", "127.0.0.0/8"];
            Server::start_with(ServerOptions {
                arguments: arguments.map(Into::into).into(),
                ..ServerOptions::default()
            })
        };
        let (here, there) = (start("here")?, start(THERE)?);
        for server in [&here, &there] {
            server.create_repository(REPOSITORY)?;
        }
        let known_there = there.credentials();
        let destination = json!({
            "destinationName": THERE,
            "kind": "HYTHE",
            "endpoint": format!("http://{}", there.registry()),
            "credential": {
                "username": known_there.access_key_id,
                "password": known_there.secret_access_key,
            },
        });
        here.api("POST", "/api/v1/replication-destinations", Some(&destination))?
            .expect(201)?;
        let rule = json!({ "rule": { "destinations": [{ "region": THERE, "registryId": "000000000000" }] } });
        here.api("PUT", "/api/v1/registry/replication/rules/all", Some(&rule))?
            .expect(200)?;
        Ok(Self {
            here: known(&here)?,
            there: known(&there)?,
            sender: Tree::of(&[here.pid()])?,
            receiver: Tree::of(&[there.pid()])?,
            _servers: [here, there],
        })
    }

    /// Pushes images, at fixed times or each when the one before has arrived.
    fn lags(&self, bodies: &Bodies, round: usize, count: usize, between: Option<Duration>) -> Result<Sample> {
        for tree in [&self.sender, &self.receiver] {
            tree.settle()?;
            tree.reset_peak()?;
        }
        let before = self.sender.usage()?.cpu_seconds + self.receiver.usage()?.cpu_seconds;
        let mut connection = Connection::open(&self.here)?;
        let push = |connection: &mut Connection, number: usize| -> Result<(Pushed, Instant)> {
            let tag = format!("{}-{round}-{number}", bodies.bytes());
            let pushed = image::push(connection, REPOSITORY, &tag, &bodies.make(), How::Monolith)?;
            Ok((pushed, Instant::now()))
        };
        let began = Instant::now();
        let lags = if let Some(between) = between {
            scope(|threads| -> Result<Latencies> {
                let (sender, receiver) = mpsc::channel::<(Pushed, Instant)>();
                let watcher = threads.spawn(|| -> Result<Latencies> {
                    let mut there = Connection::open(&self.there)?;
                    let mut lags = Latencies::default();
                    for (pushed, at) in receiver {
                        lags.add(arrival(&mut there, &pushed, at)?);
                    }
                    Ok(lags)
                });
                for number in 0..count {
                    // A watcher that failed has its own error to tell.
                    if sender.send(push(&mut connection, number)?).is_err() {
                        break;
                    }
                    let next = between * u32::try_from(number + 1)?;
                    sleep(next.saturating_sub(began.elapsed()));
                }
                drop(sender);
                watcher.join().map_err(|_| anyhow!("the watcher panicked"))?
            })?
        } else {
            let mut there = Connection::open(&self.there)?;
            let mut lags = Latencies::default();
            for number in 0..count {
                let (pushed, at) = push(&mut connection, number)?;
                lags.add(arrival(&mut there, &pushed, at)?);
            }
            lags
        };
        ensure!(lags.count() == count, "{} of {count} images arrived", lags.count());
        let used = self.sender.usage()?.cpu_seconds + self.receiver.usage()?.cpu_seconds - before;
        let mut sample = Sample::from([
            (metric::CPU, used),
            (metric::CPU_EACH, used * 1e6 / as_f64(count as u64)),
            (metric::REQUESTS, as_f64(count as u64)),
            (metric::PEAK, self.sender.peak_mib()?.max(self.receiver.peak_mib()?)),
        ]);
        add_latencies(&mut sample, lags);
        Ok(sample)
    }
}

/// Waits until an image can be pulled there, and says how long that was after its push.
fn arrival(there: &mut Connection, pushed: &Pushed, at: Instant) -> Result<Duration> {
    let target = format!("/v2/{REPOSITORY}/manifests/{}", pushed.digest);
    loop {
        ensure!(!e2e::process::is_interrupted(), "interrupted");
        match there.call("HEAD", &target, "", &[])?.status {
            200 => return Ok(at.elapsed()),
            404 => {}
            status => anyhow::bail!("{status} for an image that is to come"),
        }
        ensure!(at.elapsed() < LIMIT, "an image did not arrive within {LIMIT:?}");
        sleep(POLL);
    }
}
