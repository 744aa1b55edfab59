// SPDX-License-Identifier: Apache-2.0
//! Nodes on PostgreSQL, and PostgreSQL itself, that are killed under load: what was acknowledged is there afterwards,
//! nothing is half there, and whoever is still there goes on.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Error, Result, ensure};
use e2e::churn::{Churn, REPOSITORIES, noise};
use e2e::client::say;
use e2e::oracle::{self, Scope};
use e2e::process::wait_until;
use e2e::recorder::{Refused, Way};
use e2e::{Ledger, PostgresCluster, Recorder, RegistryClient, Server, TwoNodes};

/// How many clients work at each node.
const CLIENTS: usize = 2;

/// How long the nodes work before one is killed, in milliseconds.
const LIVES: [u64; 6] = [30, 140, 260, 75, 410, 190];

const LIMIT: Duration = Duration::from_secs(90);

fn examine(nodes: &TwoNodes, ledger: &Ledger, scope: Scope) -> Result<()> {
    for node in [&nodes.first, &nodes.second] {
        oracle::examine(&RegistryClient::new(node), &ledger.now(), scope)?.clean()?;
    }
    Ok(())
}

fn wait_until_ready(node: &Server, is_ready: bool) -> Result<()> {
    let status = if is_ready { 200 } else { 503 };
    wait_until(&format!("/readyz says {status}"), LIMIT, || {
        node.readiness().is_ok_and(|answer| answer.status == status)
    })
}

#[test]
fn a_node_that_is_killed_loses_nothing_and_the_other_goes_on() -> Result<()> {
    let Some(mut nodes) = TwoNodes::start(&[])? else {
        return Ok(());
    };
    for repository in REPOSITORIES {
        nodes.first.create_repository(repository)?;
    }
    let ledger = Arc::new(Ledger::default());
    for (life, pause) in LIVES.into_iter().enumerate() {
        let TwoNodes { first, second, .. } = &mut nodes;
        let (victim, survivor) = if life % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let registries = [RegistryClient::new(victim), RegistryClient::new(survivor)];
        let [doomed, lasting] = [Churn::default(), Churn::default()];
        let failed: Mutex<Vec<Error>> = Mutex::default();
        let before = ledger.acknowledged(ledger.position());
        scope(|threads| -> Result<()> {
            for client in 0..CLIENTS {
                let ([of_victim, of_survivor], ledger, failed) = (&registries, &ledger, &failed);
                let (doomed, lasting) = (&doomed, &lasting);
                // It ends when the server does; what it was told before that is in the ledger.
                threads.spawn(move || doomed.work(of_victim, ledger, client, life));
                threads.spawn(move || {
                    if let Err(error) = lasting.work(of_survivor, ledger, CLIENTS + client, life) {
                        failed.lock().unwrap().push(error);
                    }
                });
            }
            let is_through = |churn: &Churn, goal| churn.images.load(Ordering::SeqCst) >= goal;
            let outcome = wait_until("an image is through", LIMIT, || {
                is_through(&doomed, 1) && is_through(&lasting, 1)
            })
            .and_then(|()| {
                // The moment is the point here, not a wait for something.
                sleep(Duration::from_millis(pause));
                victim.kill9()?;
                let goal = lasting.images.load(Ordering::SeqCst) + 2 * CLIENTS;
                wait_until("the other node takes images", LIMIT, || {
                    is_through(&lasting, goal) || !failed.lock().unwrap().is_empty()
                })
            });
            lasting.stop.store(true, Ordering::SeqCst);
            doomed.stop.store(true, Ordering::SeqCst);
            outcome
        })?;
        if let Some(error) = failed.into_inner()?.pop() {
            return Err(error.context("the node that was not killed refused something"));
        }
        ensure!(ledger.acknowledged(ledger.position()) > before);
        victim.restart()?;
        ledger.restarted();
        examine(&nodes, &ledger, Scope::All)?;
    }
    say(&format!(
        "{} operations were acknowledged in {} lives",
        ledger.acknowledged(ledger.position()),
        LIVES.len()
    ));
    Ok(())
}

#[test]
fn a_database_that_crashes_under_load_loses_nothing_and_nodes_are_ready_when_it_is_back() -> Result<()> {
    const CRASHES: usize = 3;
    let Some(cluster) = PostgresCluster::start_own()? else {
        return Ok(());
    };
    let mut nodes = TwoNodes::start_on(cluster, &[])?;
    for repository in REPOSITORIES {
        nodes.first.create_repository(repository)?;
    }
    let ledger = Arc::new(Ledger::default());
    for life in 0..CRASHES {
        let registries = [&nodes.first, &nodes.second].map(RegistryClient::new);
        let churn = Churn::default();
        let ends = scope(|threads| -> Result<Vec<Error>> {
            let clients: Vec<_> = (0..2 * CLIENTS)
                .map(|client| {
                    let (churn, [first, second], ledger) = (&churn, &registries, &ledger);
                    let registry = if client % 2 == 0 { first } else { second };
                    threads.spawn(move || churn.work(registry, ledger, client, life))
                })
                .collect();
            let outcome = wait_until("images are pushed", LIMIT, || {
                churn.images.load(Ordering::SeqCst) >= 2 * CLIENTS
            })
            .and_then(|()| nodes.cluster.crash())
            .and_then(|()| wait_until_ready(&nodes.first, false))
            .and_then(|()| wait_until_ready(&nodes.second, false));
            // Each client ends with its first error.
            if outcome.is_err() {
                churn.stop.store(true, Ordering::SeqCst);
            }
            let ends = clients.into_iter().filter_map(|client| client.join().unwrap().err());
            let ends = ends.collect();
            outcome.map(|()| ends)
        })?;
        ensure!(ends.len() == 2 * CLIENTS, "nodes without a database take pushes");
        for error in ends {
            // A client that was reading says so in other words.
            if let Ok(Refused { response, .. }) = error.downcast::<Refused>() {
                ensure!(response.status >= 500, "{} {}", response.status, response.text());
                let code = response.json()?.pointer("/errors/0/code").cloned();
                ensure!(code.is_some_and(|code| code.is_string()), "{}", response.text());
            }
        }
        nodes.cluster.restart()?;
        wait_until_ready(&nodes.first, true)?;
        wait_until_ready(&nodes.second, true)?;
        examine(&nodes, &ledger, Scope::All)?;
        let recorder = Recorder::new(RegistryClient::new(&nodes.second), &ledger);
        let layer = noise(&format!("after {life}"), 90_000);
        recorder.push_image(REPOSITORIES[0], &format!("after-{life}"), &layer, Way::Session)?;
        examine(&nodes, &ledger, Scope::All)?;
    }
    Ok(())
}
