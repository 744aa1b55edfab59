// SPDX-License-Identifier: Apache-2.0
//! The data plane alone, in this process, over a memory catalog, with a gate that lets everybody do everything.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use conformance::{Login, Mode, Target};
use hythe_access::{
    Action, AuthenticationError, Caller, Credentials, Decision, Gate, GateError, IssueError, IssuedToken,
    RequestContext, Resource, TokenScope,
};
use hythe_blobs::FsBlobStore;
use hythe_catalog::MemoryCatalog;
use hythe_distribution::{Limits, Metrics, Registry, RegistryConfig, router};
use hythe_model::{AccountId, ManualClock, Region, RepositoryPath, TagMutability};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Knows nobody and says yes.
#[derive(Debug)]
struct OpenGate;

#[async_trait]
impl Gate for OpenGate {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Caller, AuthenticationError> {
        match credentials {
            Credentials::None => Ok(Caller::anonymous()),
            Credentials::Basic { .. } | Credentials::Bearer(_) => Err(AuthenticationError::Rejected),
        }
    }

    async fn decide(&self, _: &Caller, _: Action, _: &Resource, _: &RequestContext) -> Result<Decision, GateError> {
        Ok(Decision::Allowed(None))
    }

    async fn issue(&self, _: &Caller, _: TokenScope) -> Result<IssuedToken, IssueError> {
        Err(GateError("this gate makes no tokens".into()).into())
    }
}

pub struct Plane {
    address: SocketAddr,
    catalog: Arc<MemoryCatalog>,
    // Order matters: the server stops before its folder goes.
    _server: Runtime,
    _folder: tempfile::TempDir,
}

impl Plane {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Arc::new(MemoryCatalog::new());
        let config = RegistryConfig {
            default_account: AccountId::default(),
            region: Region::default(),
            host_accounts: Vec::new(),
            base_domain: None,
            limits: Limits::default(),
            service: "registry.test".into(),
            public_url: None,
        };
        let registry = Registry::new(
            config,
            Arc::new(OpenGate),
            Arc::clone(&catalog) as _,
            Arc::new(FsBlobStore::open(folder.path()).unwrap()),
            Arc::new(ManualClock::new("2026-11-21T00:00:00Z".parse().unwrap())),
            Metrics::new(),
        );
        let server = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = server.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let _task = server
            .handle()
            .spawn(async move { axum::serve(listener, router(registry)).await });
        Self {
            address,
            catalog,
            _server: server,
            _folder: folder,
        }
    }

    pub fn target(&self) -> Target {
        let catalog = Arc::clone(&self.catalog);
        Target {
            address: self.address.to_string(),
            mode: Mode::Anonymous,
            credentials: Login::Nobody,
            keeper: Login::Nobody,
            create_repository: Box::new(move |name, options| {
                let path = RepositoryPath {
                    account: AccountId::default(),
                    name: name.parse()?,
                };
                catalog.create_repository(path.clone(), TagMutability::default());
                catalog.allow_sparse_indexes(&path, options.allows_sparse_indexes);
                Ok(())
            }),
        }
    }
}
