// SPDX-License-Identifier: Apache-2.0
//! Runs and previews of lifecycle policies. Each kind has a task of its own, so that who waits for a preview does not
//! wait for the end of a long run.

use std::sync::Arc;
use std::time::Duration;

use hythe_operations::{ControlPlane, LifecycleKind, LifecycleMetrics, LifecycleWorker};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts both; returns what they count.
pub(crate) fn start(
    background: &TaskTracker,
    stop: &CancellationToken,
    plane: &ControlPlane,
    period: Duration,
) -> Arc<LifecycleMetrics> {
    let worker = Arc::new(LifecycleWorker::new(plane.clone(), stop.clone()));
    let settings = plane.lifecycle();
    for (kind, nudge) in [
        (LifecycleKind::Run, &settings.runs),
        (LifecycleKind::Preview, &settings.previews),
    ] {
        let (worker, nudge, stop) = (Arc::clone(&worker), Arc::clone(nudge), stop.clone());
        background.spawn(async move { work(&worker, kind, &nudge, &stop, period).await });
    }
    Arc::clone(worker.metrics())
}

/// Does what is ready whenever somebody asks, and every `period`: other nodes make work too.
async fn work(
    worker: &LifecycleWorker,
    kind: LifecycleKind,
    nudge: &Notify,
    stop: &CancellationToken,
    period: Duration,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = nudge.notified() => {}
            () = tokio::time::sleep(period) => {}
        }
        if let Err(error) = worker.pass(kind).await {
            tracing::warn!(task = "lifecycle", ?kind, %error, "background pass failed; the next one tries again");
        }
    }
}
