// SPDX-License-Identifier: Apache-2.0
//! A data plane in this process, new for every input: its catalog is in memory, and inputs are too short for a blob to
//! leave it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hythe_access::{
    Action, AuthenticationError, Caller, Credentials, Decision, Gate, GateError, IssueError, IssuedToken, Principal,
    RequestContext, Resource, Secret, TokenScope,
};
use hythe_blobs::FsBlobStore;
use hythe_catalog::MemoryCatalog;
use hythe_distribution::{Limits, Metrics, Registry, RegistryConfig, router};
use hythe_model::{AccountId, Clock, ManualClock, Region, RepositoryPath, TagMutability, TagMutabilityMode};
use jiff::{SignedDuration, Timestamp};
use tower::ServiceExt as _;

/// The repository that inputs work in; `fixed/web` is another, whose tags do not move.
pub(crate) const REPOSITORY: &str = "team/web";

/// Everybody with credentials is the administrator of the only account; without any one may read.
#[derive(Debug)]
struct OpenGate(Arc<ManualClock>);

#[async_trait]
impl Gate for OpenGate {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Caller, AuthenticationError> {
        match credentials {
            Credentials::None => Ok(Caller::anonymous()),
            Credentials::Basic { .. } | Credentials::Bearer(_) => Ok(Caller::of(Principal::Root(AccountId::default()))),
        }
    }

    async fn decide(
        &self,
        caller: &Caller,
        action: Action,
        _: &Resource,
        _: &RequestContext,
    ) -> Result<Decision, GateError> {
        if matches!(caller.principal, Principal::Anonymous) && !Action::PULL.contains(&action) {
            return Ok(Decision::Denied("anonymous callers may read only".into()));
        }
        Ok(Decision::Allowed(None))
    }

    async fn issue(&self, _: &Caller, _: TokenScope) -> Result<IssuedToken, IssueError> {
        let issued_at = self.0.now();
        Ok(IssuedToken {
            token: Secret::new("token"),
            issued_at,
            expires_at: issued_at + SignedDuration::from_mins(5),
        })
    }
}

pub(crate) fn config() -> RegistryConfig {
    RegistryConfig {
        default_account: AccountId::default(),
        region: Region::default(),
        host_accounts: vec![("images.example.org".into(), "222222222222".parse().unwrap())],
        base_domain: Some("registry.example.com".into()),
        limits: Limits::default(),
        service: "registry.test".into(),
        public_url: None,
    }
}

/// A data plane, and what it stands on.
pub(crate) struct Plane {
    router: Router,
    pub(crate) catalog: Arc<MemoryCatalog>,
    pub(crate) blobs: FsBlobStore,
    pub(crate) now: Timestamp,
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Plane {
    fn new(blobs: FsBlobStore) -> Self {
        let catalog = Arc::new(MemoryCatalog::new());
        let immutable = TagMutability::new(TagMutabilityMode::Immutable, Vec::new()).unwrap();
        catalog.create_repository(path(REPOSITORY), TagMutability::default());
        catalog.create_repository(path("fixed/web"), immutable);
        let clock = Arc::new(ManualClock::new("2026-11-21T00:00:00Z".parse().unwrap()));
        let now = clock.now();
        let gate = Arc::new(OpenGate(Arc::clone(&clock)));
        let registry = Registry::new(
            config(),
            gate,
            Arc::clone(&catalog) as _,
            Arc::new(blobs.clone()),
            clock,
            Metrics::new(),
        );
        Self {
            router: router(registry),
            catalog,
            blobs,
            now,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body
            .collect()
            .await
            .expect("the body of the answer breaks off")
            .to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }
}

pub(crate) fn path(name: &str) -> RepositoryPath {
    RepositoryPath {
        account: AccountId::default(),
        name: name.parse().unwrap(),
    }
}

/// Runs `work` on a new plane.
pub(crate) fn on_plane(work: impl AsyncFnOnce(&Plane)) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Blobs of a size that inputs have stay in the catalog; what comes here all the same is taken out again.
        static BLOBS: (FsBlobStore, tempfile::TempDir) = {
            let folder = tempfile::tempdir().unwrap();
            (FsBlobStore::open(folder.path()).unwrap(), folder)
        };
    }
    let plane = Plane::new(BLOBS.with(|(blobs, _)| blobs.clone()));
    RUNTIME.with(|runtime| runtime.block_on(work(&plane)));
}
