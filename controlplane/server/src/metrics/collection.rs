// SPDX-License-Identifier: Apache-2.0
//! How collection goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hythe_jobs::CollectionMetrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the collector of this process has counted.
#[derive(Debug)]
pub(super) struct CollectionCounts {
    counted: Arc<CollectionMetrics>,
    reviewed: Counter,
    kept: Counter,
    postponed: Counter,
    unlinked: Counter,
    deleted: Counter,
    deleted_bytes: Counter,
    failures: Counter,
    due: Gauge,
    waiting: Gauge,
    deleting: Gauge,
    oldest_due_seconds: Gauge,
    remaining_seconds: Gauge,
}

impl CollectionCounts {
    pub(super) fn register(registry: &mut Registry, counted: &Arc<CollectionMetrics>) -> Self {
        let counts = Self {
            counted: Arc::clone(counted),
            reviewed: Counter::default(),
            kept: Counter::default(),
            postponed: Counter::default(),
            unlinked: Counter::default(),
            deleted: Counter::default(),
            deleted_bytes: Counter::default(),
            failures: Counter::default(),
            due: Gauge::default(),
            waiting: Gauge::default(),
            deleting: Gauge::default(),
            oldest_due_seconds: Gauge::default(),
            remaining_seconds: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("hythe_collection");
        for (name, help, counter) in [
            (
                "links_reviewed",
                "Links of blobs that this process has looked at again",
                &counts.reviewed,
            ),
            ("links_kept", "Those of them that were needed", &counts.kept),
            (
                "links_postponed",
                "Those of them that are to be looked at again later",
                &counts.postponed,
            ),
            ("links_removed", "Links that nothing needed", &counts.unlinked),
            ("blobs_deleted", "Blobs that nothing needed", &counts.deleted),
            ("deleted_bytes", "How large these blobs were", &counts.deleted_bytes),
            (
                "failures",
                "Looks and deletions that failed, and are tried again",
                &counts.failures,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, gauge) in [
            ("links_due", "Links that are due to be looked at again", &counts.due),
            ("links_waiting", "Links that will be due later", &counts.waiting),
            (
                "blobs_deleting",
                "Blobs whose bytes are being deleted",
                &counts.deleting,
            ),
            (
                "oldest_due_seconds",
                "For how long the oldest link that is due has been so",
                &counts.oldest_due_seconds,
            ),
            (
                "remaining_seconds",
                "When all that are due will have been looked at, as fast as it went lately",
                &counts.remaining_seconds,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        counts
    }

    /// Takes over what the collector has counted.
    pub(super) fn take(&self) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counted = &self.counted;
        for (counter, count) in [
            (&self.reviewed, &counted.reviewed),
            (&self.kept, &counted.kept),
            (&self.postponed, &counted.postponed),
            (&self.unlinked, &counted.unlinked),
            (&self.deleted, &counted.deleted),
            (&self.deleted_bytes, &counted.deleted_bytes),
            (&self.failures, &counted.failures),
        ] {
            counter.inner().store(read(count), Ordering::Relaxed);
        }
        let gauges = &counted.gauges;
        for (gauge, value) in [
            (&self.due, &gauges.due),
            (&self.waiting, &gauges.waiting),
            (&self.deleting, &gauges.deleting),
            (&self.oldest_due_seconds, &gauges.oldest_due_seconds),
            (&self.remaining_seconds, &gauges.remaining_seconds),
        ] {
            gauge.set(i64::try_from(read(value)).unwrap_or(i64::MAX));
        }
    }
}
