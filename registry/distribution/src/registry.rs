// SPDX-License-Identifier: Apache-2.0
//! The data plane as a value: what it is configured with and what it stands on.

use std::sync::Arc;

use hythe_access::Gate;
use hythe_blobs::BlobStore;
use hythe_catalog::Catalog;
use hythe_model::{AccountId, Clock, Region};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::oci_error::Overload;
use crate::upload::Writers;
use crate::{Limits, Metrics};

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
    requests: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    manifest_pushes: Arc<Semaphore>,
    tasks: TaskTracker,
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
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let requests = semaphore(config.limits.max_concurrent_requests);
        let uploads = semaphore(config.limits.max_concurrent_uploads);
        let manifest_pushes = semaphore(config.limits.max_concurrent_manifest_pushes);
        let writers = Writers::default();
        let parts = Inner {
            config,
            gate,
            catalog,
            blobs,
            clock,
            metrics,
            writers,
            requests,
            uploads,
            manifest_pushes,
            tasks: TaskTracker::new(),
        };
        Self(Arc::new(parts))
    }

    /// Waits for what goes on although its request is gone; to be called when no more requests come.
    pub async fn drain(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Runs `work` to its end even if the request that asked for it goes away. `None` if it panicked.
    pub(crate) async fn finish<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
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

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// When a session that received bytes now is given up.
    pub(crate) fn upload_expiry(&self) -> Timestamp {
        let idle = SignedDuration::try_from(self.limits().upload_idle_timeout).unwrap_or(SignedDuration::MAX);
        self.now().checked_add(idle).unwrap_or(Timestamp::MAX)
    }

    /// A place among the requests that are answered now.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, Overload> {
        Arc::clone(&self.0.requests)
            .try_acquire_owned()
            .map_err(|_| Overload::Requests)
    }

    /// A turn to receive the bytes of a blob.
    pub(crate) async fn upload_turn(&self) -> Result<OwnedSemaphorePermit, Overload> {
        self.turn(&self.0.uploads).await
    }

    /// A turn to receive and check a manifest.
    pub(crate) async fn manifest_turn(&self) -> Result<OwnedSemaphorePermit, Overload> {
        self.turn(&self.0.manifest_pushes).await
    }

    // The queue is bounded too: everybody in it holds a place among the requests.
    async fn turn(&self, of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Overload> {
        match tokio::time::timeout(self.limits().max_wait, Arc::clone(of).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Overload::Pushes),
        }
    }
}
