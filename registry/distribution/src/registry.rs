// SPDX-License-Identifier: Apache-2.0
//! The data plane as a value: what it is configured with and what it stands on.

use std::sync::{Arc, OnceLock};

use hythe_access::{AuditLog, Gate, PullLog, Trail};
use hythe_blobs::BlobStore;
use hythe_catalog::{Catalog, CatalogError};
use hythe_model::{AccountId, Clock, Region, RepositoryPath};
use jiff::{SignedDuration, Timestamp};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::cache::{Cache, MAX_FETCHES, PullThrough, Upstream};
use crate::limits::UPLOAD_BYTES;
use crate::manifest::Translations;
use crate::metrics::Bound;
use crate::oci_error::Overload;
use crate::turns::{Counts, Size, Tenant, Turn, Turns};
use crate::upload::Writers;
use crate::{Limits, Metrics, RepositoryCreator, VirtualRepositories};

/// How many wait for a turn of uploads, manifests or bytes each, for each that has one.
const WAITING_PER_TURN: usize = 2;
/// The most that wait for bytes.
const MAX_WAITING_FOR_BYTES: usize = 1024;

/// How the data plane presents itself.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// The account of requests that name none.
    pub default_account: AccountId,
    /// The name of this deployment.
    pub region: Region,
    /// Host names that belong to one account each.
    pub host_accounts: Vec<(String, AccountId)>,
    /// The domain under which `<account>.<domain>` names an account.
    pub base_domain: Option<String>,
    /// The bounds.
    pub limits: Limits,
    /// The name of this service in challenges and token requests.
    pub service: String,
    /// The URL that clients reach this registry by, if it stands behind a proxy; names the token endpoint in
    /// challenges. Otherwise the request's host and whether it came over TLS decide. `Location` headers are
    /// always relative, so that clients stay with the host, the scheme and the style they came with.
    pub public_url: Option<String>,
}

/// The data plane. Clones share everything.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: RegistryConfig,
    gate: Arc<dyn Gate>,
    catalog: Arc<dyn Catalog>,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    writers: Writers,
    translations: Translations,
    requests: Arc<Semaphore>,
    request_counts: Counts,
    tenant_requests: Turns,
    uploads: Turns,
    manifest_pushes: Turns,
    bytes: Turns,
    tasks: TaskTracker,
    audit_log: OnceLock<Arc<dyn AuditLog>>,
    creator: OnceLock<Arc<dyn RepositoryCreator>>,
    pull_log: OnceLock<Arc<dyn PullLog>>,
    virtual_repositories: OnceLock<Arc<dyn VirtualRepositories>>,
    pull_through: OnceLock<Arc<dyn PullThrough>>,
    cache: Cache,
}

/// A place among the requests that are answered now, until it is dropped.
#[derive(Debug)]
pub(crate) struct RequestPlace {
    _permit: OwnedSemaphorePermit,
    taken: Gauge,
}

impl Drop for RequestPlace {
    fn drop(&mut self) {
        self.taken.dec();
    }
}

impl Registry {
    /// A data plane over these parts.
    #[must_use]
    pub fn new(
        config: RegistryConfig,
        gate: Arc<dyn Gate>,
        catalog: Arc<dyn Catalog>,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let limits = &config.limits;
        let share_percent = limits.tenant_share_percent.clamp(1, 100);
        let turns = |bound, units: u64, max_waiting| {
            let size = Size {
                units,
                share_percent,
                max_waiting,
            };
            Turns::new(size, metrics.bound(bound, units))
        };
        let waiting = |turns: usize| turns.saturating_mul(WAITING_PER_TURN);
        let max_requests = limits.max_concurrent_requests.clamp(1, Semaphore::MAX_PERMITS);
        let (max_uploads, max_manifests) = (limits.max_concurrent_uploads, limits.max_concurrent_manifest_pushes);
        let requests = Arc::new(Semaphore::new(max_requests));
        let request_counts = metrics.bound(Bound::Requests, max_requests as u64);
        let tenant_requests = turns(Bound::TenantRequests, max_requests as u64, 0);
        let uploads = turns(Bound::Uploads, max_uploads as u64, waiting(max_uploads));
        let manifest_pushes = turns(Bound::ManifestPushes, max_manifests as u64, waiting(max_manifests));
        let bytes = turns(Bound::Bytes, limits.max_bytes_in_flight, MAX_WAITING_FOR_BYTES);
        let fetches = turns(Bound::Fetches, MAX_FETCHES as u64, waiting(MAX_FETCHES));
        let writers = Writers::default();
        let parts = Inner {
            config,
            gate,
            catalog,
            blobs,
            clock,
            metrics,
            writers,
            translations: Translations::default(),
            requests,
            request_counts,
            tenant_requests,
            uploads,
            manifest_pushes,
            bytes,
            tasks: TaskTracker::new(),
            audit_log: OnceLock::new(),
            creator: OnceLock::new(),
            pull_log: OnceLock::new(),
            virtual_repositories: OnceLock::new(),
            pull_through: OnceLock::new(),
            cache: Cache::new(fetches),
        };
        Self(Arc::new(parts))
    }

    /// From now on, every request is recorded. The first log stays.
    pub fn set_audit_log(&self, log: Arc<dyn AuditLog>) {
        let _ = self.0.audit_log.set(log);
    }

    /// From now on, a first push may create its repository. The first creator stays.
    pub fn set_repository_creator(&self, creator: Arc<dyn RepositoryCreator>) {
        let _ = self.0.creator.set(creator);
    }

    pub(crate) fn creator(&self) -> Option<&dyn RepositoryCreator> {
        self.0.creator.get().map(|creator| &**creator)
    }

    /// From now on, names may be virtual. The first source of such names stays.
    pub fn set_virtual_repositories(&self, names: Arc<dyn VirtualRepositories>) {
        let _ = self.0.virtual_repositories.set(names);
    }

    pub(crate) fn virtual_repositories(&self) -> Option<&dyn VirtualRepositories> {
        self.0.virtual_repositories.get().map(|names| &**names)
    }

    /// From now on, repositories may come from other registries. The first word stays.
    pub fn set_pull_through(&self, through: Arc<dyn PullThrough>) {
        let _ = self.0.pull_through.set(through);
    }

    pub(crate) fn pull_through(&self) -> Option<&Arc<dyn PullThrough>> {
        self.0.pull_through.get()
    }

    /// Where a repository comes from, if it does. Nearly always that is known without asking.
    pub(crate) async fn upstream(
        &self,
        repository: &RepositoryPath,
    ) -> Result<Option<(Arc<dyn PullThrough>, Arc<Upstream>)>, CatalogError> {
        let Some(through) = self.pull_through() else {
            return Ok(None);
        };
        let upstream = match through.remembered(repository) {
            Some(upstream) => upstream,
            None => through.upstream(repository).await?,
        };
        Ok(upstream.map(|upstream| (Arc::clone(through), upstream)))
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.0.cache
    }

    /// Runs `work` beside all requests; [`Registry::drain`] waits for it.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(work.in_current_span());
    }

    pub(crate) fn audit_log(&self) -> Option<&Arc<dyn AuditLog>> {
        self.0.audit_log.get()
    }

    /// From now on, every pull is told to `log`. The first log stays.
    pub fn set_pull_log(&self, log: Arc<dyn PullLog>) {
        let _ = self.0.pull_log.set(log);
    }

    pub(crate) fn pull_log(&self) -> Option<&dyn PullLog> {
        self.0.pull_log.get().map(|log| &**log)
    }

    /// Waits for what goes on although its request is gone; to be called when no more requests come.
    pub async fn drain(&self) {
        self.0.cache.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Runs `work` to its end even if the request that asked for it goes away. `None` if it panicked.
    pub(crate) async fn finish<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let trail = Trail::current();
        let work = async move {
            match trail {
                Some(trail) => trail.follow(work).await,
                None => work.await,
            }
        };
        self.0.tasks.spawn(work.in_current_span()).await.ok()
    }

    pub(crate) fn config(&self) -> &RegistryConfig {
        &self.0.config
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.config.limits
    }

    pub(crate) fn gate(&self) -> &dyn Gate {
        &*self.0.gate
    }

    pub(crate) fn catalog(&self) -> &dyn Catalog {
        &*self.0.catalog
    }

    pub(crate) fn blobs(&self) -> &dyn BlobStore {
        &*self.0.blobs
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn writers(&self) -> &Writers {
        &self.0.writers
    }

    pub(crate) fn translations(&self) -> &Translations {
        &self.0.translations
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// When a session that received bytes now is given up.
    pub(crate) fn upload_expiry(&self) -> Timestamp {
        let idle = SignedDuration::try_from(self.limits().upload_idle_timeout).unwrap_or(SignedDuration::MAX);
        self.now().checked_add(idle).unwrap_or(Timestamp::MAX)
    }

    /// A place among the requests that are answered now.
    pub(crate) fn enter(&self) -> Result<RequestPlace, Overload> {
        let counts = &self.0.request_counts;
        let permit = Arc::clone(&self.0.requests).try_acquire_owned();
        let permit = permit.map_err(|_| {
            counts.refused.inc();
            Overload::Requests
        })?;
        counts.taken.inc();
        Ok(RequestPlace {
            _permit: permit,
            taken: counts.taken.clone(),
        })
    }

    /// A place among those of a tenant, as soon as it is known whose the request is.
    pub(crate) fn enter_as(&self, tenant: &Tenant) -> Result<Turn, Overload> {
        let turn = self.0.tenant_requests.try_take(tenant, 1);
        turn.map_err(|_| Overload::TenantRequests)
    }

    /// A turn to receive bytes of a blob, `length` if that is known.
    pub(crate) async fn upload_turn(&self, tenant: &Tenant, length: Option<u64>) -> Result<[Turn; 2], Overload> {
        let bytes = length.unwrap_or(UPLOAD_BYTES).min(UPLOAD_BYTES);
        self.turn(&self.0.uploads, tenant, bytes).await
    }

    /// A turn to receive and check a manifest of at most `bytes` bytes.
    pub(crate) async fn manifest_turn(&self, tenant: &Tenant, bytes: u64) -> Result<[Turn; 2], Overload> {
        // As it came, and parsed.
        self.turn(&self.0.manifest_pushes, tenant, bytes.saturating_mul(2))
            .await
    }

    /// Memory for an answer that is read piece by piece.
    pub(crate) async fn reserve(&self, tenant: &Tenant, bytes: u64) -> Result<Turn, Overload> {
        let turn = self.0.bytes.take(tenant, bytes, self.limits().max_wait).await;
        turn.map_err(|_| Overload::Bytes)
    }

    /// Memory for an answer that takes it already: now, or the answer is given up.
    pub(crate) fn reserve_now(&self, tenant: &Tenant, bytes: u64) -> Result<Turn, Overload> {
        self.0.bytes.try_take(tenant, bytes).map_err(|_| Overload::Bytes)
    }

    async fn turn(&self, of: &Turns, tenant: &Tenant, bytes: u64) -> Result<[Turn; 2], Overload> {
        let turn = of.take(tenant, 1, self.limits().max_wait).await;
        let turn = turn.map_err(|_| Overload::Pushes)?;
        Ok([turn, self.reserve(tenant, bytes).await?])
    }
}
