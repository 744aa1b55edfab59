// SPDX-License-Identifier: Apache-2.0
//! Pushes of blobs as engines make them: POST, PATCH with the bytes, PUT with the digest. One thread per connection.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::body::{Bodies, Body};
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::fetch::Outcome;
use e2e::registry::with_query;

const OCTETS: &str = "Content-Type: application/octet-stream\r\n";

/// What to push, how often.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Where to.
    pub endpoint: Endpoint,
    /// Into which repository.
    pub repository: &'a str,
    /// What.
    pub bodies: &'a Bodies,
    /// How many connections push at once.
    pub connections: usize,
    /// When to begin no further push.
    pub length: Duration,
    /// How many pushes at most.
    pub most: u64,
}

/// Pushes one blob in three requests.
pub fn blob(connection: &mut Connection, repository: &str, body: &Body<'_>) -> Result<()> {
    let begun = begin(connection, repository)?;
    let sent = connection.call_with("PATCH", &begun, OCTETS, body)?.expect(202)?;
    finish(connection, sent.location()?, body)
}

/// Pushes one blob in two requests: all bytes come with the PUT.
pub fn monolith(connection: &mut Connection, repository: &str, body: &Body<'_>) -> Result<()> {
    let begun = begin(connection, repository)?;
    let target = with_query(&begun, "digest", &body.digest);
    connection.call_with("PUT", &target, OCTETS, body)?.expect(201)?;
    Ok(())
}

/// Pushes one blob in three requests, its bytes in chunks whose number is not said beforehand.
pub fn streamed(connection: &mut Connection, repository: &str, body: &Body<'_>) -> Result<()> {
    let begun = begin(connection, repository)?;
    let sent = connection.call_streamed("PATCH", &begun, OCTETS, body)?.expect(202)?;
    finish(connection, sent.location()?, body)
}

/// Begins an upload and answers where its bytes go.
pub fn begin(connection: &mut Connection, repository: &str) -> Result<String> {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let begun = connection.call("POST", &target, "", &[])?.expect(202)?;
    Ok(begun.location()?.to_owned())
}

fn finish(connection: &mut Connection, location: &str, body: &Body<'_>) -> Result<()> {
    let target = with_query(location, "digest", &body.digest);
    connection.call("PUT", &target, "", &[])?.expect(201)?;
    Ok(())
}

/// Carries out a plan.
pub fn run(plan: &Plan<'_>) -> Result<Outcome> {
    let bytes = plan.bodies.bytes() as u64;
    in_parallel(
        &plan.endpoint,
        plan.connections,
        plan.length,
        plan.most,
        |connection, _| {
            blob(connection, plan.repository, &plan.bodies.make())?;
            Ok(bytes)
        },
    )
}

/// Does the same work over and over on several connections at once; `work` gets the number of its turn and answers how
/// many bytes it moved.
pub fn in_parallel(
    endpoint: &Endpoint,
    connections: usize,
    length: Duration,
    most: u64,
    work: impl Fn(&mut Connection, u64) -> Result<u64> + Sync,
) -> Result<Outcome> {
    in_parallel_while(endpoint, connections, |took| took < length, most, work)
}

/// The same, for as long as a condition on the time that it took so far holds.
pub fn in_parallel_while(
    endpoint: &Endpoint,
    connections: usize,
    goes_on: impl Fn(Duration) -> bool + Sync,
    most: u64,
    work: impl Fn(&mut Connection, u64) -> Result<u64> + Sync,
) -> Result<Outcome> {
    let ready = Barrier::new(connections);
    let turn = AtomicU64::new(0);
    let one = || -> Result<(Outcome, Instant, Instant)> {
        let connection = Connection::open(endpoint);
        // Before the error is looked at: the others wait here for all.
        ready.wait();
        let mut connection = connection?;
        let mut outcome = Outcome::default();
        let begin = Instant::now();
        while goes_on(begin.elapsed()) {
            ensure!(!e2e::process::is_interrupted(), "interrupted");
            let number = turn.fetch_add(1, Ordering::Relaxed);
            if number >= most {
                break;
            }
            let asked = Instant::now();
            outcome.bytes += work(&mut connection, number)?;
            outcome.latencies.add(asked.elapsed());
            outcome.requests += 1;
        }
        Ok((outcome, begin, Instant::now()))
    };
    scope(|threads| {
        let running: Vec<_> = (0..connections).map(|_| threads.spawn(one)).collect();
        let mut whole = Outcome::default();
        let mut times: Option<(Instant, Instant)> = None;
        for thread in running {
            let (outcome, begin, end) = thread.join().map_err(|_| anyhow!("a client panicked"))??;
            whole.requests += outcome.requests;
            whole.bytes += outcome.bytes;
            whole.latencies.append(outcome.latencies);
            times = Some(times.map_or((begin, end), |(first, last)| (first.min(begin), last.max(end))));
        }
        let (first, last) = times.context("no connection")?;
        whole.took = last - first;
        Ok(whole)
    })
}
