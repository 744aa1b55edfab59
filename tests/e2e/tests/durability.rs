// SPDX-License-Identifier: Apache-2.0
//! `kill -9` under load: what was acknowledged is there afterwards, and nothing is half there.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::churn::{Churn, REPOSITORIES};
use e2e::client::{find, say};
use e2e::oracle::{self, Scope};
use e2e::process::wait_until;
use e2e::{Ledger, RegistryClient, Server, leftovers};

/// How many clients work at once.
const CLIENTS: usize = 4;

/// How long the server lives each time once it works, in milliseconds: sooner or later it is killed between any two steps.
const LIVES: [u64; 8] = [30, 75, 140, 260, 410, 55, 190, 320];

#[test]
fn everything_acknowledged_survives_kill_9_under_load() -> Result<()> {
    if find(&["sqlite3"])?.is_none() {
        return Ok(());
    }
    let mut server = Server::start()?;
    for repository in REPOSITORIES {
        server.create_repository(repository)?;
    }
    let ledger = Arc::new(Ledger::default());
    let folder = server.data_folder().to_owned();
    for (life, pause) in LIVES.into_iter().enumerate() {
        let registry = RegistryClient::new(&server);
        let churn = Churn::default();
        let before = ledger.acknowledged(ledger.position());
        scope(|threads| -> Result<()> {
            for client in 0..CLIENTS {
                let (churn, registry, ledger) = (&churn, &registry, &ledger);
                // It ends when the server does; what it was told before that is in the ledger.
                threads.spawn(move || churn.work(registry, ledger, client, life));
            }
            let waited = wait_until("an image is through", Duration::from_secs(90), || {
                churn.images.load(Ordering::SeqCst) > 0
            });
            // The moment is the point here, not a wait for something.
            sleep(Duration::from_millis(pause));
            server.kill9()?;
            waited
        })?;
        ensure!(ledger.acknowledged(ledger.position()) > before);
        let found = leftovers::examine(&folder, &folder.join("blobs"))?;
        ensure!(found.problems.is_empty(), "{}", found.problems.join("\n"));
        server.restart()?;
        ledger.restarted();
        oracle::examine(&RegistryClient::new(&server), &ledger.now(), Scope::All)?.clean()?;
    }
    say(&format!(
        "{} operations were acknowledged in {} lives",
        ledger.acknowledged(ledger.position()),
        LIVES.len()
    ));
    ensure!(server.stop().is_some_and(|status| status.success()));
    Ok(())
}
