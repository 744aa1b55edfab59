// SPDX-License-Identifier: Apache-2.0
//! Fetches from other registries on a schedule.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hythe_jobs::{MirrorHost, MirrorMetrics, Mirrorer};
use hythe_meta::Store;
use hythe_model::Clock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts it; returns what it counts.
pub(crate) fn start(
    background: &TaskTracker,
    stop: &CancellationToken,
    store: &Store,
    clock: &Arc<dyn Clock>,
    host: Arc<dyn MirrorHost>,
) -> Arc<MirrorMetrics> {
    let mirrorer = Mirrorer::new(store.clone(), Arc::clone(clock), host);
    let metrics = Arc::clone(mirrorer.metrics());
    let stop = stop.clone();
    background.spawn(async move { mirrorer.run(stop).await });
    metrics
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// What `/metrics` shows of mirrors.
#[derive(Debug)]
pub struct MirrorCounts {
    source: Arc<MirrorMetrics>,
    running: Gauge,
    lag: Gauge,
    runs: Family<StatusLabels, Counter>,
    tags: Family<ResultLabels, Counter>,
    referrers: Counter,
}

impl MirrorCounts {
    /// Registers the counts of what works on mirrors.
    pub fn register(registry: &mut Registry, source: &Arc<MirrorMetrics>) -> Self {
        let counts = Self {
            source: Arc::clone(source),
            running: Gauge::default(),
            lag: Gauge::default(),
            runs: Family::default(),
            tags: Family::default(),
            referrers: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("hythe_mirror");
        registry.register(
            "runs_running",
            "Runs of mirrors that this node works on",
            counts.running.clone(),
        );
        registry.register_with_unit(
            "lag",
            "Since when the mirror that is the furthest behind has not been brought up to date",
            Unit::Seconds,
            counts.lag.clone(),
        );
        registry.register(
            "runs",
            "Runs of mirrors that ended on this node, by status",
            counts.runs.clone(),
        );
        registry.register(
            "tags",
            "Tags that mirrors looked at on this node, by what became of them",
            counts.tags.clone(),
        );
        registry.register(
            "referrers",
            "Signatures and other referrers of images that mirrors brought on this node",
            counts.referrers.clone(),
        );
        counts
    }

    /// Takes over what was counted.
    pub fn take(&self) {
        let source = &self.source;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let gauge = |count: &AtomicU64| i64::try_from(read(count)).unwrap_or(i64::MAX);
        self.running.set(gauge(&source.running));
        self.lag.set(gauge(&source.lag_seconds));
        for (status, count) in [
            ("complete", &source.complete),
            ("incomplete", &source.incomplete),
            ("failed", &source.failed),
        ] {
            let counter = self.runs.get_or_create(&StatusLabels { status });
            counter.inner().store(read(count), Ordering::Relaxed);
        }
        self.referrers.inner().store(read(&source.referrers), Ordering::Relaxed);
        for (result, count) in [
            ("created", &source.tags_created),
            ("moved", &source.tags_moved),
            ("unchanged", &source.tags_unchanged),
            ("skipped", &source.tags_skipped),
            ("failed", &source.tags_failed),
            ("removed", &source.tags_removed),
        ] {
            let counter = self.tags.get_or_create(&ResultLabels { result });
            counter.inner().store(read(count), Ordering::Relaxed);
        }
    }
}
