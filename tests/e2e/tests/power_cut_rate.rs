// SPDX-License-Identifier: Apache-2.0
//! How many whole small images are pushed per second while power cuts are taken, beside Debian's `docker-registry` on a
//! disk of the same kind; and what either loses. A measurement, so not a part of the tests:
//!
//! ```text
//! cargo build --release -p hythe
//! HYTHE_TEST_PROGRAM=target/release/hythe cargo nextest run -p e2e --run-ignored only --no-capture --test power_cut_rate
//! ```
//!
//! `HYTHE_TEST_POWER_CUTS=N` takes N cuts of each; `HYTHE_TEST_ROUNDS=N` takes turns so often.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "test code")]

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::churn::noise;
use e2e::client::{find, path_of, say, variable};
use e2e::http::Connection;
use e2e::loop_disk::is_possible;
use e2e::power_disk::{Cache, Cut, PROGRAMS, Pool, PowerDisk};
use e2e::process::Daemon;
use e2e::registry::{OCI_MANIFEST, config_of, digest, location, manifest, with_query};
use e2e::{RegistryClient, Server, ServerOptions};

const CLIENTS: usize = 4;
const REPOSITORY: &str = "rate";
/// Bytes of the one layer of an image.
const LAYER_BYTES: usize = 1024;
/// Time between two cuts.
const PAUSE: Duration = Duration::from_millis(700);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hythe,
    DockerRegistry,
}

enum Running {
    Hythe(Box<Server>),
    // Held only to be stopped when it goes.
    DockerRegistry { _daemon: Daemon },
}

struct Subject {
    running: Running,
    client: RegistryClient,
}

impl Subject {
    fn start(kind: Kind, disk: &Path) -> Result<Self> {
        match kind {
            Kind::Hythe => {
                let server = Server::start_with(ServerOptions {
                    data_folder: Some(disk.join("hythe")),
                    program: variable("HYTHE_TEST_PROGRAM").map(|path| e2e::binary::workspace_folder().join(path)),
                    ..ServerOptions::default()
                })?;
                let client = RegistryClient::new(&server);
                let running = Running::Hythe(Box::new(server));
                Ok(Self { running, client })
            }
            Kind::DockerRegistry => {
                let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
                let config = disk.join("config.yml");
                let text = format!(
                    "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
                     rootdirectory: {}\n  cache:\n    blobdescriptor: inmemory\nhttp:\n  addr: {address}\n",
                    disk.join("registry").display()
                );
                std::fs::write(&config, text)?;
                let program = path_of("docker-registry").context("docker-registry is not installed")?;
                let mut command = Command::new(program);
                command.arg("serve").arg(&config);
                let mut daemon = Daemon::start("docker-registry", &mut command, &disk.join("log"))?;
                let client = RegistryClient::with(&address, None);
                daemon.wait_until("it answers", Duration::from_secs(30), || {
                    client.call("GET", "/v2/", &[], &[]).is_ok_and(|it| it.status == 200)
                })?;
                let running = Running::DockerRegistry { _daemon: daemon };
                Ok(Self { running, client })
            }
        }
    }
}

/// What came of one turn of one registry.
struct Turn {
    images: usize,
    per_second: f64,
    lost: usize,
    checked: usize,
}

#[test]
#[ignore = "a measurement: see the head of this file"]
fn whole_small_images_per_second_while_power_cuts_are_taken() -> Result<()> {
    if !is_possible(PROGRAMS)? || find(&["docker-registry"])?.is_none() {
        return Ok(());
    }
    let number = |name: &str, otherwise: usize| variable(name).map_or(Ok(otherwise), |text| text.parse());
    let cuts = number("HYTHE_TEST_POWER_CUTS", 12)?;
    let mut ratios = Vec::new();
    for round in 0..number("HYTHE_TEST_ROUNDS", 3)? {
        let mut rates = Vec::new();
        for kind in [Kind::Hythe, Kind::DockerRegistry] {
            let turn = turn(kind, round, cuts)?;
            say(&format!(
                "{kind:?}: {} images, {:.0} per second; {cuts} cuts, {} of {} acknowledged images lost",
                turn.images, turn.per_second, turn.lost, turn.checked
            ));
            ensure!(kind != Kind::Hythe || turn.lost == 0, "images are lost");
            rates.push(turn.per_second);
        }
        ratios.extend(rates.first().zip(rates.last()).map(|(ours, theirs)| ours / theirs));
    }
    ratios.sort_by(f64::total_cmp);
    say(&format!(
        "median ratio {:.1}",
        ratios.get(ratios.len() / 2).copied().unwrap_or_default()
    ));
    Ok(())
}

fn turn(kind: Kind, round: usize, cuts: usize) -> Result<Turn> {
    let pool = Pool::create()?;
    let disk = PowerDisk::create(&pool, "disk", Cache::Kept)?;
    let subject = Subject::start(kind, disk.path())?;
    if let Running::Hythe(server) = &subject.running {
        server.create_repository(REPOSITORY)?;
    }
    let stop = AtomicBool::new(false);
    let acknowledged: Mutex<Vec<String>> = Mutex::default();
    let began = Instant::now();
    let taken = scope(|threads| -> Result<Vec<(Cut, usize)>> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (stop, acknowledged, subject) = (&stop, &acknowledged, &subject);
                threads.spawn(move || -> Result<()> {
                    let mut connection = subject.client.connect()?;
                    for number in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let tag = format!("t{round}-{client}-{number}");
                        push(&mut connection, &subject.client, &tag)?;
                        acknowledged.lock().unwrap().push(tag);
                    }
                    Ok(())
                })
            })
            .collect();
        let taken = (0..cuts)
            .map(|number| {
                sleep(PAUSE);
                let before = acknowledged.lock().unwrap().len();
                Ok((disk.cut(number)?, before))
            })
            .collect();
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().unwrap()?;
        }
        taken
    })?;
    let took = began.elapsed();
    drop(subject);
    let acknowledged = acknowledged.into_inner()?;
    let (mut lost, mut checked) = (0, 0);
    for (cut, before) in taken {
        let recovered = cut.mount()?;
        let after = Subject::start(kind, recovered.path())?;
        let tags = acknowledged.get(..before).unwrap_or_default();
        checked += tags.len();
        lost += tags
            .iter()
            .filter(|tag| after.client.pull_image(REPOSITORY, tag).is_err())
            .count();
    }
    let images = acknowledged.len();
    Ok(Turn {
        images,
        per_second: images as f64 / took.as_secs_f64(),
        lost,
        checked,
    })
}

/// Pushes configuration, layer and manifest over one connection, as an engine does.
fn push(connection: &mut Connection, client: &RegistryClient, tag: &str) -> Result<()> {
    let layer = noise(tag, LAYER_BYTES);
    let config = config_of(&layer);
    let octets = client.headers(&[("Content-Type", "application/octet-stream")]);
    for blob in [config.as_bytes(), &layer] {
        let target = format!("/v2/{REPOSITORY}/blobs/uploads/");
        let begun = connection
            .send("POST", &target, &client.headers(&[]), &[])?
            .expect(202)?;
        let target = with_query(&location(&begun)?, "digest", &digest(blob));
        connection.send("PUT", &target, &octets, blob)?.expect(201)?;
    }
    let config_digest = digest(config.as_bytes());
    let image = manifest(&config_digest, config.len(), &digest(&layer), layer.len());
    let headers = client.headers(&[("Content-Type", OCI_MANIFEST)]);
    let target = format!("/v2/{REPOSITORY}/manifests/{tag}");
    connection.send("PUT", &target, &headers, &image)?.expect(201)?;
    Ok(())
}
