// SPDX-License-Identifier: Apache-2.0
//! Requests at their times, however the server fares: see [`crate::load::schedule`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::load::connection::Connection;
use crate::load::endpoint::Endpoint;
use crate::load::latency::Latencies;
use crate::load::schedule::Schedule;

/// How many requests may be under way at once; those that are due while all are taken wait, and their wait counts.
pub const CONNECTIONS: usize = 32;
/// A server that is so far behind its schedule does not keep up: the rest is not sent.
pub const MAX_BEHIND: Duration = Duration::from_secs(2);

/// What came of a schedule.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From the time when each was due.
    pub latencies: Latencies,
    /// Whether all were sent, none of them later than [`MAX_BEHIND`].
    pub kept_up: bool,
    /// From the first to the last answer.
    pub took: Duration,
}

/// Does `work` at the times of a schedule.
pub fn run(
    endpoint: &Endpoint,
    schedule: &Schedule,
    work: impl Fn(&mut Connection, u64) -> Result<u64> + Sync,
) -> Result<Outcome> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS.min(schedule.count()) {
        connections.push(Connection::open(endpoint)?);
    }
    let next = AtomicUsize::new(0);
    let (next, work) = (&next, &work);
    let begin = Instant::now();
    let one = |mut connection: Connection| -> Result<(Latencies, bool)> {
        let mut latencies = Latencies::default();
        loop {
            ensure!(!e2e::process::is_interrupted(), "interrupted");
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(due) = schedule.due(number) else {
                return Ok((latencies, true));
            };
            if let Some(early) = due.checked_sub(begin.elapsed()) {
                sleep(early);
            } else if begin.elapsed().saturating_sub(due) > MAX_BEHIND {
                return Ok((latencies, false));
            }
            work(&mut connection, number as u64)?;
            latencies.add(begin.elapsed().saturating_sub(due));
        }
    };
    scope(|threads| {
        let running: Vec<_> = connections
            .into_iter()
            .map(|connection| threads.spawn(move || one(connection)))
            .collect();
        let mut outcome = Outcome {
            kept_up: true,
            ..Outcome::default()
        };
        for thread in running {
            let (latencies, kept_up) = thread.join().map_err(|_| anyhow!("a client panicked"))??;
            outcome.latencies.append(latencies);
            outcome.kept_up &= kept_up;
        }
        outcome.took = begin.elapsed();
        Ok(outcome)
    })
}
