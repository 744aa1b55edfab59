// SPDX-License-Identifier: Apache-2.0
//! How long it takes from a push to a pull at another deployment. The figures are said, not judged: a test machine is no
//! measure; see docs/benchmarks.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::RegistryClient;
use e2e::client::say;

use crate::world::{LIMIT, noise, pair, tag, wait_until_idle};

const IMAGES: usize = 10;
const IMAGE_BYTES: usize = 20 * 1024 * 1024;
const PUSHES: usize = 100;
const BETWEEN: Duration = Duration::from_millis(100);

/// Waits until an image can be pulled there, and says for how long.
fn arrival(remote: &RegistryClient, name: &str, image: &str, pushed: Instant) -> Result<Duration> {
    loop {
        if tag(remote, "web", name)?.as_deref() == Some(image) {
            return Ok(pushed.elapsed());
        }
        ensure!(pushed.elapsed() < LIMIT, "{name} does not arrive");
        sleep(Duration::from_millis(5));
    }
}

fn figures(what: &str, mut lags: Vec<Duration>) {
    lags.sort();
    let at = |percent: usize| {
        lags.get(lags.len() * percent / 100)
            .or(lags.last())
            .copied()
            .unwrap_or_default()
    };
    say(&format!(
        "{what}: p50 {:?}, p99 {:?}, longest {:?}",
        at(50),
        at(99),
        lags.last().copied().unwrap_or_default()
    ));
}

#[test]
fn images_arrive_one_by_one_and_ten_in_a_second() -> Result<()> {
    let (here, there) = pair()?;
    here.create_repository("web")?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    let mut lags = Vec::new();
    for number in 0..IMAGES {
        let name = format!("large-{number}");
        let image = client.push_image("web", &name, &noise(&name, IMAGE_BYTES))?;
        lags.push(arrival(&remote, &name, &image, Instant::now())?);
        wait_until_idle(&here)?;
    }
    figures("push to pullable, 20 MiB, one at a time", lags);

    let destination_client = remote.clone();
    let (sender, receiver) = std::sync::mpsc::channel::<(String, String, Instant)>();
    let watcher = std::thread::spawn(move || -> Result<Vec<Duration>> {
        let mut lags = Vec::new();
        for (name, image, pushed) in receiver {
            lags.push(arrival(&destination_client, &name, &image, pushed)?);
        }
        Ok(lags)
    });
    let began = Instant::now();
    for number in 0..PUSHES {
        let name = format!("small-{number}");
        let image = client.push_image("web", &name, &noise(&name, 64 * 1024))?;
        sender.send((name, image, Instant::now()))?;
        let next = BETWEEN * u32::try_from(number + 1)?;
        sleep(next.saturating_sub(began.elapsed()));
    }
    drop(sender);
    let took = began.elapsed();
    let lags = watcher.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
    ensure!(lags.len() == PUSHES, "{} arrived", lags.len());
    figures(&format!("push to pullable, 64 KiB, {PUSHES} pushes in {took:?}"), lags);
    Ok(())
}
