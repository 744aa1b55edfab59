// SPDX-License-Identifier: Apache-2.0
//! Everything that `/metrics` shows.

mod collection;
mod lifecycle;
mod replication;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hythe_jobs::{CollectionMetrics, MirrorMetrics, ReplicationMetrics};
use hythe_meta::{CacheStats, ImageCounts};
use hythe_operations::{AbuseCounts, AuditQueue, LifecycleMetrics, ScrubMetrics};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use self::collection::CollectionCounts;
use self::lifecycle::LifecycleCounts;
use self::replication::ReplicationCounts;
use crate::listener::ConnectionMetrics;
use crate::passes::mirror::MirrorCounts;
use crate::passes::scrub::ScrubCounts;
use crate::verified::DamagedBlobs;

/// The registry of metrics.
pub struct Metrics {
    registry: Registry,
    queue_depth: Gauge,
    memory: Gauge,
    cache: CacheMetrics,
    abuse: AbuseMetrics,
    images: ImageMetrics,
    audit: Option<AuditCounts>,
    lifecycle: Option<LifecycleCounts>,
    replication: Option<ReplicationCounts>,
    collection: Option<CollectionCounts>,
    mirrors: Option<MirrorCounts>,
    scrub: Option<ScrubCounts>,
}

/// How the audit log does.
#[derive(Debug)]
struct AuditCounts {
    queue: Arc<AuditQueue>,
    waiting: Gauge,
    written: Counter,
    sealed: Counter,
    lost: Counter,
    expired: Counter,
}

/// Those who fail to log in, or ask too often.
#[derive(Debug, Default)]
struct AbuseMetrics {
    failed_logins: Counter,
    throttled_logins: Counter,
    throttled_requests: Family<ClassLabels, Counter>,
}

/// What became of images.
#[derive(Debug, Default)]
struct ImageMetrics {
    deleted: Family<ReasonLabels, Counter>,
    restored: Counter,
    purged: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

/// What of the metadata is read from memory.
#[derive(Debug, Default)]
struct CacheMetrics {
    hits: Counter,
    misses: Counter,
    bytes: Gauge,
    entries: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// An empty registry with what concerns the process itself.
    pub fn new(started_at: jiff::Timestamp) -> Self {
        let mut registry = Registry::default();
        registry.register(
            "hythe_build",
            "The program",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        let start: Gauge = Gauge::default();
        start.set(started_at.as_second());
        registry.register_with_unit(
            "hythe_process_start_time",
            "Start, in seconds since the epoch",
            Unit::Seconds,
            start,
        );
        let queue_depth = Gauge::default();
        registry.register(
            "hythe_metadata_waiting_writes",
            "Writes that wait for the metadata database",
            queue_depth.clone(),
        );
        let memory = Gauge::default();
        registry.register_with_unit(
            "hythe_process_resident_memory",
            "Resident memory",
            Unit::Bytes,
            memory.clone(),
        );
        let cache = CacheMetrics::default();
        cache.register(&mut registry);
        let abuse = AbuseMetrics::default();
        abuse.register(&mut registry);
        let images = ImageMetrics::default();
        images.register(&mut registry);
        Self {
            registry,
            queue_depth,
            memory,
            cache,
            audit: None,
            lifecycle: None,
            replication: None,
            collection: None,
            mirrors: None,
            scrub: None,
            abuse,
            images,
        }
    }

    /// The registry, for the planes to add theirs.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Adds the count of damaged blobs.
    pub fn add_damaged_blobs(&mut self, damaged: &DamagedBlobs) {
        self.registry.register(
            "hythe_blobs_damaged",
            "Blobs whose bytes did not match their digest when they were read",
            damaged.0.clone(),
        );
    }

    /// Adds the counts of the audit log.
    pub fn add_audit(&mut self, queue: &Arc<AuditQueue>) {
        let counts = AuditCounts {
            queue: Arc::clone(queue),
            waiting: Gauge::default(),
            written: Counter::default(),
            sealed: Counter::default(),
            lost: Counter::default(),
            expired: Counter::default(),
        };
        let registry = self.registry.sub_registry_with_prefix("hythe_audit");
        registry.register(
            "waiting_records",
            "Records of requests that wait to be written to the audit log",
            counts.waiting.clone(),
        );
        registry.register(
            "records",
            "Records that were written in batches",
            counts.written.clone(),
        );
        registry.register(
            "changes_sealed",
            "Records of changes that got their place in the chain",
            counts.sealed.clone(),
        );
        registry.register(
            "records_lost",
            "Reads that have no record, since too many came at once",
            counts.lost.clone(),
        );
        registry.register(
            "records_expired",
            "Records that were deleted because of their age",
            counts.expired.clone(),
        );
        self.audit = Some(counts);
    }

    /// Adds the counts of the runs of lifecycle policies.
    pub fn add_lifecycle(&mut self, counted: &Arc<LifecycleMetrics>) {
        self.lifecycle = Some(LifecycleCounts::new(&mut self.registry, counted));
    }

    /// Adds how replication goes.
    pub fn add_replication(&mut self, counted: &Arc<ReplicationMetrics>) {
        self.replication = Some(ReplicationCounts::new(&mut self.registry, counted));
    }

    /// Adds how collection goes.
    pub fn add_collection(&mut self, counted: &Arc<CollectionMetrics>) {
        self.collection = Some(CollectionCounts::register(&mut self.registry, counted));
    }

    /// Adds the counts of mirrors.
    pub fn add_mirrors(&mut self, counted: &Arc<MirrorMetrics>) {
        self.mirrors = Some(MirrorCounts::register(&mut self.registry, counted));
    }

    /// Adds the counts of scrubs.
    pub fn add_scrub(&mut self, counted: &Arc<ScrubMetrics>) {
        self.scrub = Some(ScrubCounts::register(&mut self.registry, counted));
    }

    /// Adds the counts of a listener.
    pub fn add_listener(&mut self, name: &'static str, metrics: &ConnectionMetrics) {
        let labels = [("listener".into(), name.into())].into_iter();
        let listener = self.registry.sub_registry_with_labels(labels);
        listener.register(
            "hythe_connections_open",
            "Connections that are open",
            metrics.open.clone(),
        );
        listener.register(
            "hythe_connections_accepted",
            "Connections that were accepted",
            metrics.accepted.clone(),
        );
        listener.register(
            "hythe_connections_limit",
            "The most connections at once",
            metrics.limit.clone(),
        );
        listener.register(
            "hythe_connections_refused",
            "Connections that were turned away because there were too many",
            metrics.refused.clone(),
        );
        listener.register(
            "hythe_connections_refused_by_address",
            "Those of them that were too many of one address",
            metrics.refused_by_address.clone(),
        );
        listener.register(
            "hythe_tls_handshakes_failed",
            "TLS handshakes that failed",
            metrics.failed_handshakes.clone(),
        );
    }

    /// Takes over what the gate has counted.
    pub fn set_abuse(&self, counts: &AbuseCounts) {
        self.abuse.set(counts);
    }

    /// Takes over how many images were deleted, restored and purged.
    pub fn set_images(&self, counts: &ImageCounts) {
        self.images.set(counts);
    }

    /// The text of `/metrics`.
    pub fn encode(&self, waiting_writes: usize, cache: CacheStats) -> Result<String, fmt::Error> {
        self.cache.set(cache);
        if let Some(counts) = &self.audit {
            counts.take();
        }
        if let Some(counts) = &self.lifecycle {
            counts.take();
        }
        if let Some(counts) = &self.replication {
            counts.take();
        }
        if let Some(counts) = &self.collection {
            counts.take();
        }
        if let Some(counts) = &self.mirrors {
            counts.take();
        }
        if let Some(counts) = &self.scrub {
            counts.take();
        }
        self.queue_depth.set(i64::try_from(waiting_writes).unwrap_or(i64::MAX));
        self.memory.set(resident_bytes().unwrap_or(0));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl ImageMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "hythe_images_deleted",
            "Images that were deleted, by reason",
            self.deleted.clone(),
        );
        registry.register(
            "hythe_images_restored",
            "Deleted images that were restored",
            self.restored.clone(),
        );
        registry.register(
            "hythe_images_purged",
            "Deleted images that cannot be restored any more",
            self.purged.clone(),
        );
    }

    fn set(&self, counts: &ImageCounts) {
        for (reason, count) in [
            ("request", counts.deleted_by_request),
            ("lifecycle", counts.deleted_by_lifecycle),
            ("subject", counts.deleted_with_subject),
        ] {
            let counter = self.deleted.get_or_create(&ReasonLabels { reason });
            counter.inner().store(count, Ordering::Relaxed);
        }
        self.restored.inner().store(counts.restored, Ordering::Relaxed);
        self.purged.inner().store(counts.purged, Ordering::Relaxed);
    }
}

impl AbuseMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "hythe_logins_failed",
            "Logins with credentials that were wrong",
            self.failed_logins.clone(),
        );
        registry.register(
            "hythe_logins_throttled",
            "Logins that were told to wait because too many had failed",
            self.throttled_logins.clone(),
        );
        registry.register(
            "hythe_requests_throttled",
            "Requests that were told to wait because their principal asks too often, by class of actions",
            self.throttled_requests.clone(),
        );
    }

    fn set(&self, counts: &AbuseCounts) {
        self.failed_logins
            .inner()
            .store(counts.failed_logins, Ordering::Relaxed);
        self.throttled_logins
            .inner()
            .store(counts.throttled_logins, Ordering::Relaxed);
        for (class, count) in &counts.throttled_requests {
            let labels = ClassLabels { class: class.as_str() };
            let counter = self.throttled_requests.get_or_create(&labels);
            counter.inner().store(*count, Ordering::Relaxed);
        }
    }
}

impl CacheMetrics {
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("hythe_metadata_cache");
        registry.register(
            "hits",
            "Reads of metadata that were answered from memory",
            self.hits.clone(),
        );
        registry.register(
            "misses",
            "Reads of metadata that asked the database",
            self.misses.clone(),
        );
        registry.register_with_unit(
            "size",
            "What the cache of metadata takes",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register("entries", "Entries of the cache of metadata", self.entries.clone());
    }

    /// Takes over what the store has counted.
    fn set(&self, stats: CacheStats) {
        self.hits.inner().store(stats.hits, Ordering::Relaxed);
        self.misses.inner().store(stats.misses, Ordering::Relaxed);
        self.bytes.set(i64::try_from(stats.bytes).unwrap_or(i64::MAX));
        self.entries.set(i64::try_from(stats.entries).unwrap_or(i64::MAX));
    }
}

impl AuditCounts {
    /// Takes over what the queue has counted.
    fn take(&self) {
        let counted = self.queue.metrics();
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.waiting
            .set(i64::try_from(self.queue.waiting()).unwrap_or(i64::MAX));
        for (counter, count) in [
            (&self.written, &counted.written),
            (&self.sealed, &counted.sealed),
            (&self.lost, &counted.lost),
            (&self.expired, &counted.expired),
        ] {
            counter.inner().store(read(count), Ordering::Relaxed);
        }
    }
}

/// Resident memory of this process, where the system says it in `/proc`.
fn resident_bytes() -> Option<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(i64::try_from(rustix::param::page_size()).ok()?)
}
