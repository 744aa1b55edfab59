// SPDX-License-Identifier: Apache-2.0
//! Writes when images were pulled.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hythe_meta::Store;
use hythe_operations::PullTimes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tasks;

/// How often; what a process that is killed may lose.
const PERIOD: Duration = Duration::from_secs(1);

/// What the pass counts. Clones share it.
#[derive(Clone, Debug, Default)]
struct PullTimeMetrics {
    recorded: Counter,
    excluded: Counter,
    lost: Counter,
}

impl PullTimeMetrics {
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("hythe_pull_times");
        registry.register("recorded", "Times of pulls that were written", self.recorded.clone());
        registry.register(
            "excluded",
            "Pulls of principals whose pulls do not count",
            self.excluded.clone(),
        );
        registry.register(
            "lost",
            "Pulls whose time is not known, since too many came at once",
            self.lost.clone(),
        );
    }

    /// Takes over what was counted.
    fn set(&self, pull_times: &PullTimes) {
        let counts = pull_times.counts();
        for (counter, count) in [
            (&self.recorded, counts.recorded),
            (&self.excluded, counts.excluded),
            (&self.lost, counts.lost),
        ] {
            counter.inner().store(count, Ordering::Relaxed);
        }
    }
}

/// Lets pulls from a data plane be noted, and starts the pass. What is noted after its end is for [`finish`].
pub fn start(
    background: &TaskTracker,
    stop: &CancellationToken,
    store: &Store,
    plane: Option<&hythe_distribution::Registry>,
    registry: &mut Registry,
) -> Arc<PullTimes> {
    let started = Arc::new(PullTimes::new(store.clone()));
    if let Some(plane) = plane {
        plane.set_pull_log(Arc::<PullTimes>::clone(&started));
    }
    let metrics = PullTimeMetrics::default();
    metrics.register(registry);
    let pull_times = Arc::clone(&started);
    tasks::every(background, stop, "pull times", PERIOD, move || {
        let (pull_times, metrics) = (Arc::clone(&pull_times), metrics.clone());
        async move {
            let flushed = pull_times.flush().await;
            metrics.set(&pull_times);
            flushed
        }
    });
    started
}

/// Writes what is left when nobody pulls any more.
pub async fn finish(pull_times: &PullTimes) {
    if let Err(error) = pull_times.flush().await {
        tracing::warn!(error = %error, "cannot write when images were pulled last");
    }
}
