// SPDX-License-Identifier: Apache-2.0
//! Runs of mirrors under clocks that jump, nodes that die, and registries that change their mind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::nodes::TwoNodes;
use e2e::process::wait_until;
use e2e::upstream::{Reply, ScriptedUpstream};
use e2e::{RegistryClient, TestClock};
use serde_json::{Value, json};

use super::{RUN_LIMIT, Shelf, ended, expect, has_note, mirror, runs, server, server_with};

/// Longer than a claim on a run counts.
const LEASE_AND_MORE: i64 = 90;

/// A registry with 40 tags of `a/b`, each of which it takes a while to say where it points.
fn slow_shelf() -> Result<(Shelf, ScriptedUpstream)> {
    let shelf = Shelf::default();
    for number in 0..40 {
        shelf.put("a/b", &format!("v{number}"), format!("layer {number}").as_bytes());
    }
    let shown = shelf.clone();
    let upstream = ScriptedUpstream::start(move |asked| Reply {
        before: Duration::from_millis(if asked.method == "HEAD" { 500 } else { 0 }),
        ..shown.reply(asked)
    })?;
    Ok((shelf, upstream))
}

/// Whether a run that went from one worker to another has each tag of the [`slow_shelf`]. What the first one had queued, and was
/// fetched before the second one came by, is as it is there.
fn all_are_there(report: &Value) -> Result<()> {
    let counts = &report["mirrorRun"]["counts"];
    let (created, unchanged) = (counts["created"].as_u64(), counts["unchanged"].as_u64());
    ensure!(
        report["mirrorRun"]["status"] == "COMPLETE" && counts["tags"] == 40 && counts["failed"] == 0,
        "{report:#}"
    );
    ensure!(
        created.zip(unchanged).is_some_and(|(new, old)| new + old == 40),
        "{report:#}"
    );
    Ok(())
}

#[test]
fn a_clock_that_jumps_during_a_run_lets_one_worker_go_on() -> Result<()> {
    let (_shelf, upstream) = slow_shelf()?;
    let clock = TestClock::new()?;
    clock.jump(0)?;
    let (name, value) = clock.variable();
    let server = server_with(&[(&name, &value)])?;
    mirror(&server, "up", &upstream.url(), &["a/b"], &json!({}))?;
    wait_until("tags are asked about", RUN_LIMIT, || upstream.count("HEAD ") >= 9)?;
    clock.jump(LEASE_AND_MORE)?;
    all_are_there(&ended(&server, "up", 1)?)?;
    // Back again, further than anything waits: what was due by the other time is due now.
    clock.jump(-86_400)?;
    wait_until("another run has ended", RUN_LIMIT, || {
        let runs = runs(&server, "up").unwrap_or_default();
        runs.len() == 2 && runs.iter().all(|run| run["endedAt"].is_string())
    })
    .with_context(|| format!("{:?}", runs(&server, "up")))?;
    // Runs are in the order of their clocks.
    expect(&ended(&server, "up", 1)?, "COMPLETE 0 0 40 0 0 0")?;
    for tag in ["v0", "v39"] {
        RegistryClient::new(&server).pull_image("up/a/b", tag)?;
    }
    Ok(())
}

#[test]
fn a_node_goes_on_with_the_run_of_one_that_died() -> Result<()> {
    let (_shelf, upstream) = slow_shelf()?;
    let clock = TestClock::new()?;
    clock.jump(0)?;
    let (name, value) = clock.variable();
    let environment = [(name.as_str(), value.as_str()), ("HYTHE_OUTGOING_ALLOW", "127.0.0.0/8")];
    let Some(mut nodes) = TwoNodes::start(&environment)? else {
        return Ok(());
    };
    mirror(&nodes.first, "up", &upstream.url(), &["a/b"], &json!({}))?;
    wait_until("tags are asked about", RUN_LIMIT, || upstream.count("HEAD ") >= 9)?;
    // Whichever node has it dies.
    let works = |node: &e2e::Server| {
        node.metric("hythe_mirror_runs_running")
            .is_ok_and(|running| running > 0)
    };
    let mut is_first = false;
    wait_until("a node says that it has the run", RUN_LIMIT, || {
        is_first = works(&nodes.first);
        is_first || works(&nodes.second)
    })?;
    let (dead, alive) = if is_first {
        (&mut nodes.first, &nodes.second)
    } else {
        (&mut nodes.second, &nodes.first)
    };
    dead.kill9()?;
    clock.jump(LEASE_AND_MORE)?;
    all_are_there(&ended(alive, "up", 1)?)?;
    for tag in ["v0", "v39"] {
        RegistryClient::new(alive).pull_image("up/a/b", tag)?;
    }
    Ok(())
}

#[test]
fn repositories_that_can_no_longer_be_listed_are_not_taken_for_seen() -> Result<()> {
    let shelf = Shelf::default();
    for number in 0..10 {
        shelf.put("a/b", &format!("v{number}"), format!("layer {number}").as_bytes());
    }
    shelf.put("c/d", "v1", b"another");
    let (shown, heads, is_limited) = (shelf.clone(), AtomicU32::new(0), Arc::new(AtomicBool::new(false)));
    let limited = Arc::clone(&is_limited);
    let upstream = ScriptedUpstream::start(move |asked| {
        if asked.method == "HEAD" && heads.fetch_add(1, Ordering::SeqCst) == 8 {
            limited.store(true, Ordering::SeqCst);
            return Reply::new(429, &[("Retry-After", "1")], "");
        }
        if asked.target.contains("_catalog") && limited.load(Ordering::SeqCst) {
            return Reply::new(401, &[], "");
        }
        shown.reply(asked)
    })?;
    let server = server()?;
    mirror(&server, "up", &upstream.url(), &["*"], &json!({}))?;
    let report = ended(&server, "up", 1)?;
    ensure!(is_limited.load(Ordering::SeqCst), "it was not interrupted");
    ensure!(report["mirrorRun"]["status"] == "INCOMPLETE", "{report:#}");
    ensure!(has_note(&report, "FAILED", "UPSTREAM_ACCESS_DENIED", ""), "{report:#}");
    ensure!(server.repository("up/c/d")?.is_none(), "there was no way to know of it");
    Ok(())
}

#[test]
fn the_last_requests_of_an_upstream_are_left_for_pulls() -> Result<()> {
    let shelf = Shelf::default();
    for number in 0..20 {
        shelf.put("a/b", &format!("v{number}"), format!("layer {number}").as_bytes());
    }
    let shown = shelf.clone();
    // Each manifest that is fetched counts, as at Docker Hub; questions by HEAD do not, and tell.
    let (left, fetched) = (AtomicU32::new(15), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&fetched);
    let upstream = ScriptedUpstream::start(move |asked| {
        let mut reply = shown.reply(asked);
        if asked.target.contains("/manifests/") {
            if asked.method == "GET" && reply.status == 200 {
                left.fetch_sub(1, Ordering::SeqCst);
                counted.fetch_add(1, Ordering::SeqCst);
            }
            let remaining = format!("{};w=21600", left.load(Ordering::SeqCst));
            reply.headers.push(("RateLimit-Limit".into(), "100;w=21600".into()));
            reply.headers.push(("RateLimit-Remaining".into(), remaining));
        }
        reply
    })?;
    let server = server()?;
    mirror(&server, "up", &upstream.url(), &["a/b"], &json!({}))?;
    wait_until("the run waits", RUN_LIMIT, || {
        runs(&server, "up").is_ok_and(|runs| runs.first().is_some_and(|run| run["resumesAt"].is_string()))
    })
    .with_context(|| server.log())?;
    let fetched = fetched.load(Ordering::SeqCst);
    ensure!(
        fetched == 5,
        "{fetched} manifests were fetched, of which 10 were to be left"
    );
    // A pull takes what the run has left.
    RegistryClient::new(&server).pull_image("up/a/b", "v19")?;
    Ok(())
}
