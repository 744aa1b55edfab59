// SPDX-License-Identifier: Apache-2.0
//! Works on the scrub that somebody has started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hythe_operations::{FindingKind, ScrubMetrics, Verifier};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tasks;

/// How often it is looked whether there is one. Of several nodes, one takes it.
const PERIOD: Duration = Duration::from_secs(1);

/// Takes up scrubs until `stop`; one that is under way then is left for the next start, or another node.
pub fn start(background: &TaskTracker, stop: &CancellationToken, verifier: Verifier) {
    let token = stop.clone();
    tasks::every(background, stop, "scrub", PERIOD, move || {
        let (verifier, token) = (verifier.clone(), token.clone());
        async move { verifier.pass(&token).await.map(drop) }
    });
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// What `/metrics` shows of scrubs.
#[derive(Debug)]
pub struct ScrubCounts {
    source: Arc<ScrubMetrics>,
    running: Gauge,
    rows: Counter,
    bytes: Counter,
    dismissed: Counter,
    quarantined: Counter,
    completed: Counter,
    findings: Family<KindLabels, Counter>,
}

impl ScrubCounts {
    /// Registers the counts of a verifier.
    pub fn register(registry: &mut Registry, source: &Arc<ScrubMetrics>) -> Self {
        let counts = Self {
            source: Arc::clone(source),
            running: Gauge::default(),
            rows: Counter::default(),
            bytes: Counter::default(),
            dismissed: Counter::default(),
            quarantined: Counter::default(),
            completed: Counter::default(),
            findings: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("hythe_scrub");
        registry.register("running", "1 while this node works on a scrub", counts.running.clone());
        registry.register("rows", "Rows and files that scrubs looked at", counts.rows.clone());
        registry.register_with_unit("hashed", "What scrubs hashed", Unit::Bytes, counts.bytes.clone());
        registry.register(
            "dismissed",
            "What looked wrong to a scrub once, and right the second time",
            counts.dismissed.clone(),
        );
        registry.register(
            "quarantined",
            "Damaged files that scrubs put aside",
            counts.quarantined.clone(),
        );
        registry.register("completed", "Scrubs that saw everything", counts.completed.clone());
        registry.register("findings", "What scrubs found wrong, by kind", counts.findings.clone());
        counts
    }

    /// Takes over what the verifier has counted.
    pub fn take(&self) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.running
            .set(i64::try_from(read(&self.source.running)).unwrap_or(i64::MAX));
        for (counter, count) in [
            (&self.rows, &self.source.rows),
            (&self.bytes, &self.source.bytes),
            (&self.dismissed, &self.source.dismissed),
            (&self.quarantined, &self.source.quarantined),
            (&self.completed, &self.source.completed),
        ] {
            counter.inner().store(read(count), Ordering::Relaxed);
        }
        for (kind, count) in FindingKind::ALL.iter().zip(&self.source.findings) {
            let labels = KindLabels { kind: kind.as_str() };
            let counter = self.findings.get_or_create(&labels);
            counter.inner().store(read(count), Ordering::Relaxed);
        }
    }
}
