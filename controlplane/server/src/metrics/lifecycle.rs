// SPDX-License-Identifier: Apache-2.0
//! How runs and previews of lifecycle policies go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hythe_operations::LifecycleMetrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What is shown of it.
#[derive(Debug)]
pub(super) struct LifecycleCounts {
    counted: Arc<LifecycleMetrics>,
    waiting: Gauge,
    runs: Counter,
    previews: Counter,
    failed: Counter,
    evaluated: Counter,
    expired: Counter,
    archived: Counter,
    refused: Counter,
    evaluation: Counter<f64, AtomicU64>,
}

impl LifecycleCounts {
    pub(super) fn new(registry: &mut Registry, counted: &Arc<LifecycleMetrics>) -> Self {
        let counts = Self {
            counted: Arc::clone(counted),
            waiting: Gauge::default(),
            runs: Counter::default(),
            previews: Counter::default(),
            failed: Counter::default(),
            evaluated: Counter::default(),
            expired: Counter::default(),
            archived: Counter::default(),
            refused: Counter::default(),
            evaluation: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("hythe_lifecycle");
        registry.register(
            "open_runs",
            "Runs and previews of all nodes that wait or are under way",
            counts.waiting.clone(),
        );
        for (name, help, counter) in [
            ("runs", "Runs that this node finished", &counts.runs),
            ("previews", "Previews that this node finished", &counts.previews),
            (
                "runs_failed",
                "Runs and previews that this node gave up",
                &counts.failed,
            ),
            (
                "images_evaluated",
                "Images that runs and previews looked at",
                &counts.evaluated,
            ),
            ("images_expired", "Images that runs deleted", &counts.expired),
            (
                "images_archived",
                "Images that runs moved to the archive",
                &counts.archived,
            ),
            (
                "images_refused",
                "Images that a rule takes and that stayed nevertheless",
                &counts.refused,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register_with_unit(
            "evaluation",
            "Time that evaluations took",
            Unit::Seconds,
            counts.evaluation.clone(),
        );
        counts
    }

    /// Takes over what the workers have counted.
    pub(super) fn take(&self) {
        let counted = &self.counted;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.waiting.set(i64::try_from(read(&counted.open)).unwrap_or(i64::MAX));
        for (counter, count) in [
            (&self.runs, &counted.runs),
            (&self.previews, &counted.previews),
            (&self.failed, &counted.failures),
            (&self.evaluated, &counted.evaluated),
            (&self.expired, &counted.expired),
            (&self.archived, &counted.archived),
            (&self.refused, &counted.refused),
        ] {
            counter.inner().store(read(count), Ordering::Relaxed);
        }
        let seconds = std::time::Duration::from_millis(read(&counted.evaluation_millis)).as_secs_f64();
        self.evaluation.inner().store(seconds.to_bits(), Ordering::Relaxed);
    }
}
