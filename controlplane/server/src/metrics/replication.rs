// SPDX-License-Identifier: Apache-2.0
//! How replication goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use hythe_jobs::ReplicationMetrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What is shown of it.
#[derive(Debug)]
pub(super) struct ReplicationCounts {
    counted: Arc<ReplicationMetrics>,
    counters: [Counter; 10],
    lag: Counter<f64, AtomicU64>,
    waiting: Family<DestinationLabels, Gauge>,
    given_up: Family<DestinationLabels, Gauge>,
    oldest: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DestinationLabels {
    destination: String,
}

impl ReplicationCounts {
    pub(super) fn new(registry: &mut Registry, counted: &Arc<ReplicationMetrics>) -> Self {
        let counts = Self {
            counted: Arc::clone(counted),
            counters: std::array::from_fn(|_| Counter::default()),
            lag: Counter::default(),
            waiting: Family::default(),
            given_up: Family::default(),
            oldest: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("hythe_replication");
        for (counter, (name, help)) in counts.counters.iter().zip([
            ("tasks_done", "Tags and images that this node brought to a destination"),
            ("tasks_failed", "Attempts that failed, and are made again"),
            ("tasks_given_up", "Tags and images that this node gave up"),
            ("images_sent", "Manifests that were sent"),
            ("blobs_sent", "Blobs that were sent"),
            ("blobs_known", "Blobs that a destination had"),
            ("sent_bytes", "Bytes of blobs that were sent"),
            ("backfill_queued", "Tags and images that backfills queued on this node"),
            ("backfills_ended", "Backfills that ended on this node"),
            (
                "settings_changed",
                "Settings, policies and resource tags of repositories that this node changed at a destination",
            ),
        ]) {
            registry.register(name, help, counter.clone());
        }
        registry.register_with_unit(
            "lag",
            "Time from each change to its arrival, in all; with tasks_done it gives the mean",
            Unit::Seconds,
            counts.lag.clone(),
        );
        registry.register(
            "waiting",
            "Tags and images of all nodes that wait or are being sent, by destination",
            counts.waiting.clone(),
        );
        registry.register(
            "given_up",
            "Tags and images of all nodes that were given up, by destination",
            counts.given_up.clone(),
        );
        registry.register_with_unit(
            "oldest_waiting",
            "For how long the oldest of those waits",
            Unit::Seconds,
            counts.oldest.clone(),
        );
        counts
    }

    /// Takes over what the worker has counted.
    pub(super) fn take(&self) {
        let counted = &self.counted;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = [
            &counted.done,
            &counted.failed,
            &counted.dead,
            &counted.images,
            &counted.blobs,
            &counted.blobs_known,
            &counted.bytes,
            &counted.backfill_queued,
            &counted.backfills_ended,
            &counted.settings,
        ];
        for (counter, count) in self.counters.iter().zip(counts) {
            counter.inner().store(read(count), Ordering::Relaxed);
        }
        let seconds = std::time::Duration::from_millis(read(&counted.lag_millis)).as_secs_f64();
        self.lag.inner().store(seconds.to_bits(), Ordering::Relaxed);
        self.oldest
            .set(i64::try_from(read(&counted.oldest_seconds)).unwrap_or(i64::MAX));
        let backlog = counted.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.clear();
        self.given_up.clear();
        for waiting in backlog.iter() {
            let labels = DestinationLabels {
                destination: waiting.place.region.to_string(),
            };
            let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            self.waiting.get_or_create(&labels).inc_by(count(waiting.waiting));
            self.given_up.get_or_create(&labels).inc_by(count(waiting.dead));
        }
    }
}
