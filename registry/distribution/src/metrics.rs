// SPDX-License-Identifier: Apache-2.0
//! What the data plane counts.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use hythe_access::Action;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The status that stands for "the client went away before it was answered", which is never sent.
const CLIENT_GONE: u16 = 499;

/// The counters of the data plane. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    active_requests: Gauge,
    active_uploads: Gauge,
    pub(crate) received_bytes: Counter<u64, AtomicU64>,
    pub(crate) sent_bytes: Counter<u64, AtomicU64>,
    pub(crate) pushes: Counter,
    pub(crate) pulls: Counter,
    pub(crate) blobs_received: Counter,
    pub(crate) blobs_mounted: Counter,
    denied: Family<ActionLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            active_requests: Gauge::default(),
            active_uploads: Gauge::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            pushes: Counter::default(),
            pulls: Counter::default(),
            blobs_received: Counter::default(),
            blobs_mounted: Counter::default(),
            denied: Family::default(),
        }
    }

    /// Adds the counters to `registry`, below `hythe_registry_`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("hythe_registry");
        registry.register(
            "requests",
            "Requests by method, route and status; 499 if the client went away",
            self.requests.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "Time to the last byte of the answer",
            self.durations.clone(),
        );
        registry.register(
            "active_requests",
            "Requests being answered",
            self.active_requests.clone(),
        );
        registry.register(
            "active_uploads",
            "Requests that are receiving a blob",
            self.active_uploads.clone(),
        );
        registry.register("received_bytes", "Bytes of request bodies", self.received_bytes.clone());
        registry.register("sent_bytes", "Bytes of answers", self.sent_bytes.clone());
        registry.register("pushes", "Manifests stored", self.pushes.clone());
        registry.register("pulls", "Manifests read, not counting HEAD", self.pulls.clone());
        registry.register(
            "blobs_received",
            "Blobs stored by an upload",
            self.blobs_received.clone(),
        );
        registry.register(
            "blobs_mounted",
            "Blobs linked from another repository",
            self.blobs_mounted.clone(),
        );
        registry.register(
            "denied",
            "Requests that were refused permission, by action",
            self.denied.clone(),
        );
    }

    pub(crate) fn deny(&self, action: Action) {
        self.denied
            .get_or_create(&ActionLabels {
                action: action.as_str(),
            })
            .inc();
    }

    /// Counts an upload as active until the guard is dropped.
    pub(crate) fn upload(&self) -> ActiveUpload {
        self.active_uploads.inc();
        ActiveUpload(self.active_uploads.clone())
    }

    /// Follows a request until the observation is dropped with the last byte of its answer.
    pub(crate) fn observe(&self, method: &http::Method, route: &'static str) -> Observation {
        self.active_requests.inc();
        let method = method_label(method);
        Observation {
            metrics: self.clone(),
            labels: RouteLabels { method, route },
            status: CLIENT_GONE,
            started: Instant::now(),
        }
    }
}

// From a cached manifest to a large layer over a slow line, in seconds.
fn durations() -> Histogram {
    Histogram::new([
        0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
    ])
}

// A client may invent methods; a label may not grow with them.
fn method_label(method: &http::Method) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    KNOWN
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

/// An upload that is counted as active.
#[derive(Debug)]
pub(crate) struct ActiveUpload(Gauge);

impl Drop for ActiveUpload {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Observation {
    metrics: Metrics,
    labels: RouteLabels,
    status: u16,
    started: Instant,
}

impl Observation {
    pub(crate) fn answered(&mut self, status: http::StatusCode) {
        self.status = status.as_u16();
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.metrics.sent_bytes.inc_by(bytes as u64);
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let RouteLabels { method, route } = self.labels;
        let labels = RequestLabels {
            method,
            route,
            status: self.status.into(),
        };
        self.metrics.active_requests.dec();
        self.metrics.requests.get_or_create(&labels).inc();
        self.metrics
            .durations
            .get_or_create(&self.labels)
            .observe(self.started.elapsed().as_secs_f64());
    }
}
