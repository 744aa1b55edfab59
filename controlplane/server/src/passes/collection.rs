// SPDX-License-Identifier: Apache-2.0
//! When blobs are collected that nobody needs.

use std::error::Error;
use std::time::{Duration, Instant};

use hythe_jobs::{CollectError, Collector};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often it is looked whether somebody asks for a collection.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked whether anything is due.
const PERIOD: Duration = Duration::from_secs(10);

/// Collects from time to time, and when somebody asks, until `stop`; what goes on then is finished. Unless `is_enabled`,
/// only when somebody asks.
pub(crate) fn start(tasks: &TaskTracker, stop: &CancellationToken, collector: Collector, is_enabled: bool) {
    let stop = stop.clone();
    tasks.spawn(async move {
        let (tick, period) = periods();
        let mut is_started = false;
        let mut last: Option<Instant> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(tick) => {}
            }
            let is_due = last.is_none_or(|last| last.elapsed() >= period);
            let worked = async {
                if !is_started {
                    collector.start().await?;
                    is_started = true;
                }
                if is_due && is_enabled || collector.is_asked_for().await? {
                    let collected = collector.pass(&stop).await?;
                    if collected.totals.blobs > 0 {
                        tracing::info!(
                            blobs = collected.totals.blobs,
                            bytes = collected.totals.bytes,
                            links = collected.totals.links,
                            "took away blobs that nobody needed"
                        );
                    }
                } else if is_due {
                    collector.recover().await?;
                }
                Ok::<(), CollectError>(())
            };
            if let Err(error) = worked.await {
                tracing::warn!(
                    task = "collection",
                    error = &error as &dyn Error,
                    "background pass failed; the next one tries again"
                );
            }
            if is_due {
                last = Some(Instant::now());
            }
        }
    });
}

/// A test may be in a hurry.
fn periods() -> (Duration, Duration) {
    #[cfg(debug_assertions)]
    if let Some(period) = crate::test_hooks::expiry_period() {
        return (period, period);
    }
    (TICK, PERIOD)
}
