// SPDX-License-Identifier: Apache-2.0
//! Takes one sample of one server.

use std::cell::Cell;

use anyhow::Result;

use crate::figures::{Sample, metric};
use crate::load::fetch::{self, Outcome};
use crate::load::latency::Latencies;
use crate::process::{Tree, Usage};

/// Fewer bytes than this say nothing about the cost of a GB.
const MIN_BYTES_PER_GB: u64 = 10_000_000;

/// Asks over and over, from one thread.
pub fn fetch(tree: &Tree, plan: &fetch::Plan) -> Result<Sample> {
    let (before, after) = (Cell::new(Usage::default()), Cell::new(Usage::default()));
    let started = || {
        tree.reset_peak()?;
        before.set(tree.usage()?);
        Ok(())
    };
    let ended = || {
        after.set(tree.usage()?);
        Ok(())
    };
    let outcome = fetch::run(plan, started, ended)?;
    sample(outcome, after.get().since(before.get()), tree)
}

/// Measures work that keeps its own time.
pub fn work(tree: &Tree, work: impl FnOnce() -> Result<Outcome>) -> Result<Sample> {
    tree.reset_peak()?;
    let before = tree.usage()?;
    let outcome = work()?;
    sample(outcome, tree.usage()?.since(before), tree)
}

fn sample(outcome: Outcome, usage: Usage, tree: &Tree) -> Result<Sample> {
    let seconds = outcome.took.as_secs_f64();
    let mut sample = Sample::from([
        (metric::SECONDS, seconds),
        (metric::REQUESTS, as_f64(outcome.requests)),
        (metric::MB_PER_S, as_f64(outcome.bytes) / 1e6 / seconds),
        (metric::PER_S, as_f64(outcome.requests) / seconds),
        (metric::CPU, usage.cpu_seconds),
        (metric::PEAK, tree.peak_mib()?),
        (metric::DESCRIPTORS, as_f64(tree.descriptors()? as u64)),
        (metric::READ, mebibytes(usage.read_bytes)),
        (metric::WRITTEN, mebibytes(usage.written_bytes)),
        (metric::DISK_READ, mebibytes(usage.disk_read_bytes)),
        (metric::DISK_WRITTEN, mebibytes(usage.disk_written_bytes)),
    ]);
    tree.settle()?;
    if outcome.bytes >= MIN_BYTES_PER_GB {
        sample.insert(metric::CPU_PER_GB, usage.cpu_seconds / (as_f64(outcome.bytes) / 1e9));
    }
    if outcome.requests > 0 {
        sample.insert(metric::CPU_EACH, usage.cpu_seconds * 1e6 / as_f64(outcome.requests));
    }
    add_latencies(&mut sample, outcome.latencies);
    Ok(sample)
}

/// Adds the percentiles, if any request was answered whole.
pub fn add_latencies(sample: &mut Sample, latencies: Latencies) {
    if let Some(percentiles) = latencies.percentiles() {
        sample.extend([
            (metric::P50, percentiles.p50),
            (metric::P90, percentiles.p90),
            (metric::P99, percentiles.p99),
            (metric::P999, percentiles.p999),
        ]);
    }
}

/// A count as a floating point number.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts and sizes here are far below 2^53")]
pub fn as_f64(number: u64) -> f64 {
    number as f64
}

fn mebibytes(bytes: u64) -> f64 {
    as_f64(bytes) / 1_048_576.0
}
