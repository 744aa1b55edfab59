// SPDX-License-Identifier: Apache-2.0
//! What the data plane counts.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use hythe_access::Action;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::cache::Note;
use crate::route::{Route, routes};
use crate::turns::Counts;

/// The status that stands for "the client went away before it was answered", which is never sent.
const CLIENT_GONE: u16 = 499;

/// The counters of the data plane. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Counters>);

/// The counters themselves.
#[derive(Debug)]
pub struct Counters {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// The counters of each known route, found once; the last are of those that are not known.
    routes: Box<[RouteCounters]>,
    active_requests: Gauge,
    active_uploads: Gauge,
    pub(crate) received_bytes: Counter<u64, AtomicU64>,
    pub(crate) sent_bytes: Counter<u64, AtomicU64>,
    pub(crate) pushes: Counter,
    pub(crate) pulls: Counter,
    pub(crate) manifests_translated: Counter,
    pub(crate) blobs_received: Counter,
    pub(crate) blobs_mounted: Counter,
    virtual_reads: Family<OutcomeLabels, Counter>,
    cache_answers: Family<CacheLabels, Counter>,
    cache_referrer_lists: Family<CacheLabels, Counter>,
    pub(crate) cache_questions: Counter,
    pub(crate) cache_fetches: Counter,
    pub(crate) cache_bytes: Counter<u64, AtomicU64>,
    pub(crate) cache_failures: Counter,
    pub(crate) cache_loops: Counter,
    pub(crate) cache_imports: Counter,
    denied: Family<ActionLabels, Counter>,
    taken: Family<BoundLabels, Gauge>,
    bounds: Family<BoundLabels, Gauge>,
    refused: Family<BoundLabels, Counter>,
}

/// What is counted of one route, so that a request looks nothing up by its labels.
#[derive(Debug, Default)]
struct RouteCounters {
    duration: OnceLock<Histogram>,
    statuses: [OnceLock<Counter>; COMMON_STATUSES.len()],
}

/// Statuses whose counters are kept at hand.
const COMMON_STATUSES: [u16; 12] = [200, 201, 202, 204, 206, 304, 401, 403, 404, 429, 503, CLIENT_GONE];

/// Something that there is only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Requests that are answered at once.
    Requests,
    /// The same, by what one account may take of them.
    TenantRequests,
    /// Uploads that receive bytes at once.
    Uploads,
    /// Manifests that are received at once.
    ManifestPushes,
    /// Memory for bodies, in bytes.
    Bytes,
    /// Blobs that come from other registries at once.
    Fetches,
}

impl Bound {
    fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::TenantRequests => "tenant_requests",
            Self::Uploads => "uploads",
            Self::ManifestPushes => "manifest_pushes",
            Self::Bytes => "bytes_in_flight",
            Self::Fetches => "upstream_fetches",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BoundLabels {
    bound: &'static str,
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
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    answer: &'static str,
}

impl CacheLabels {
    fn of(note: Note) -> Self {
        let answer = match note {
            Note::Miss => "miss",
            Note::Hit(_) => "hit",
            Note::Revalidated => "revalidated",
            Note::Stale(..) => "stale",
        };
        Self { answer }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: &'static str,
}

impl std::ops::Deref for Metrics {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.0
    }
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
        Self(Arc::new(Counters {
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            routes: (0..=routes().len()).map(|_| RouteCounters::default()).collect(),
            active_requests: Gauge::default(),
            active_uploads: Gauge::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            pushes: Counter::default(),
            pulls: Counter::default(),
            manifests_translated: Counter::default(),
            blobs_received: Counter::default(),
            blobs_mounted: Counter::default(),
            virtual_reads: Family::default(),
            cache_answers: Family::default(),
            cache_referrer_lists: Family::default(),
            cache_questions: Counter::default(),
            cache_fetches: Counter::default(),
            cache_bytes: Counter::default(),
            cache_failures: Counter::default(),
            cache_loops: Counter::default(),
            cache_imports: Counter::default(),
            denied: Family::default(),
            taken: Family::default(),
            bounds: Family::default(),
            refused: Family::default(),
        }))
    }

    /// The counts of a bound of `limit` units.
    pub(crate) fn bound(&self, bound: Bound, limit: u64) -> Counts {
        let labels = BoundLabels { bound: bound.as_str() };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.bounds.get_or_create(&labels).set(limit);
        Counts {
            taken: self.taken.get_or_create(&labels).clone(),
            refused: self.refused.get_or_create(&labels).clone(),
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
            "manifests_translated",
            "Manifests given out in another form than they are stored in",
            self.manifests_translated.clone(),
        );
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
            "virtual_reads",
            "Reads of virtual repositories: found in a source, in none of them, or failed",
            self.virtual_reads.clone(),
        );
        registry.register(
            "cache_answers",
            "Manifests of repositories that come from another registry, by how the answer came about",
            self.cache_answers.clone(),
        );
        registry.register(
            "cache_referrer_lists",
            "Lists of referrers of repositories that come from another registry, by how what that one has came about",
            self.cache_referrer_lists.clone(),
        );
        registry.register(
            "cache_questions",
            "Questions about manifests and referrers to other registries",
            self.cache_questions.clone(),
        );
        registry.register(
            "cache_fetches",
            "Blobs that were fetched from other registries",
            self.cache_fetches.clone(),
        );
        registry.register(
            "cache_received_bytes",
            "Bytes of blobs from other registries",
            self.cache_bytes.clone(),
        );
        registry.register(
            "cache_failures",
            "Manifests, blobs and lists of referrers that did not come from another registry",
            self.cache_failures.clone(),
        );
        registry.register(
            "cache_loops",
            "Questions that came by this registry before, or by too many, and were not passed on to another one",
            self.cache_loops.clone(),
        );
        registry.register(
            "cache_imports",
            "Manifests from other registries of which images were made",
            self.cache_imports.clone(),
        );
        registry.register(
            "denied",
            "Requests that were refused permission, by action",
            self.denied.clone(),
        );
        registry.register("bound_taken", "What is taken of each bound", self.taken.clone());
        registry.register("bound_limit", "How much there is of each bound", self.bounds.clone());
        registry.register(
            "bound_refused",
            "Requests that were turned away because a bound was reached",
            self.refused.clone(),
        );
    }

    pub(crate) fn read_virtually(&self, outcome: &'static str) {
        self.virtual_reads.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts an answer about a manifest of a repository that comes from another registry.
    pub(crate) fn cached(&self, note: Note) {
        self.cache_answers.get_or_create(&CacheLabels::of(note)).inc();
    }

    /// The same of a list of referrers.
    pub(crate) fn cached_referrers(&self, note: Note) {
        self.cache_referrer_lists.get_or_create(&CacheLabels::of(note)).inc();
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
    pub(crate) fn observe(&self, method: &http::Method, route: Option<&'static Route>) -> Observation {
        self.active_requests.inc();
        Observation {
            metrics: self.clone(),
            route: route.map_or(routes().len(), Route::index),
            labels: RouteLabels {
                method: method_label(method),
                route: route.map_or("unknown", |route| route.template),
            },
            status: CLIENT_GONE,
            started: Instant::now(),
        }
    }

    fn count(&self, route: usize, labels: &RouteLabels, status: u16, seconds: f64) {
        let find = || {
            let RouteLabels { method, route } = *labels;
            let status = status.into();
            let labels = RequestLabels { method, route, status };
            self.requests.get_or_create(&labels).clone()
        };
        let find_duration = || self.durations.get_or_create(labels).clone();
        // Methods of an unknown route differ, so that its counters have no one place.
        let counters = self.routes.get(route).filter(|_| route < routes().len());
        let slot = COMMON_STATUSES.iter().position(|common| *common == status);
        let at_hand = counters
            .zip(slot)
            .and_then(|(counters, slot)| counters.statuses.get(slot));
        match at_hand {
            Some(counter) => counter.get_or_init(find).inc(),
            None => find().inc(),
        };
        match counters {
            Some(counters) => counters.duration.get_or_init(find_duration).observe(seconds),
            None => find_duration().observe(seconds),
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
    route: usize,
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
        self.metrics.active_requests.dec();
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics.count(self.route, &self.labels, self.status, seconds);
    }
}
