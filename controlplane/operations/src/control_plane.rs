// SPDX-License-Identifier: Apache-2.0
//! What every operation works with.

use std::sync::{Arc, OnceLock};

use hythe_meta::Store;
use hythe_model::{AccountId, Clock, Region, RepositoryArn, RepositoryPath};

use crate::cache_rule::{UpstreamProbe, UpstreamReferrers, UpstreamRule};
use crate::gate::Fresh;
use crate::web_identity::{IssuerDocuments, Issuers, NoDocuments};
use crate::{AccessGate, AuditQueue, CollectionSettings, LifecycleSettings, VirtualNames};

/// The control plane: its store, its gate, its clock and its settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ControlPlane(Arc<Parts>, Arc<Issuers>);

#[derive(Debug)]
struct Parts {
    store: Store,
    gate: Arc<AccessGate>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    audit: OnceLock<Arc<AuditQueue>>,
    lifecycle: OnceLock<LifecycleSettings>,
    collection: OnceLock<CollectionSettings>,
    virtual_names: VirtualNames,
    upstreams: Fresh<AccountId, Arc<[Arc<UpstreamRule>]>>,
    upstream_probe: OnceLock<Arc<dyn UpstreamProbe>>,
    upstream_referrers: OnceLock<Arc<dyn UpstreamReferrers>>,
}

impl ControlPlane {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Store, gate: Arc<AccessGate>, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        let virtual_names = VirtualNames::new(store.clone(), Arc::clone(&clock));
        let parts = Parts {
            store,
            gate,
            clock,
            settings,
            audit: OnceLock::new(),
            lifecycle: OnceLock::new(),
            collection: OnceLock::new(),
            virtual_names,
            upstreams: Fresh::new(),
            upstream_probe: OnceLock::new(),
            upstream_referrers: OnceLock::new(),
        };
        Self(Arc::new(parts), Arc::new(Issuers::new(Arc::new(NoDocuments))))
    }

    /// The same, with the means to fetch the keys of identity providers; without, only those count that providers bring along.
    #[must_use]
    pub fn with_issuer_documents(self, documents: Arc<dyn IssuerDocuments>) -> Self {
        Self(self.0, Arc::new(Issuers::new(documents)))
    }

    /// The gate that decides about every operation; the data plane uses the same.
    #[must_use]
    pub fn gate(&self) -> &Arc<AccessGate> {
        &self.0.gate
    }

    /// From now on, requests are recorded. The first queue stays.
    pub fn set_audit(&self, queue: Arc<AuditQueue>) {
        let _ = self.0.audit.set(queue);
    }

    /// Where records go; `None` if nobody wants any.
    #[must_use]
    pub fn audit(&self) -> Option<&Arc<AuditQueue>> {
        self.0.audit.get()
    }

    /// What the operator decided about lifecycle policies. The first decision stays.
    pub fn set_lifecycle(&self, settings: LifecycleSettings) {
        let _ = self.0.lifecycle.set(settings);
    }

    /// The same; the defaults if nobody has decided.
    #[must_use]
    pub fn lifecycle(&self) -> &LifecycleSettings {
        self.0.lifecycle.get_or_init(LifecycleSettings::default)
    }

    /// Says how this process collects blobs that nobody needs. The first word stays.
    pub fn set_collection(&self, settings: CollectionSettings) {
        let _ = self.0.collection.set(settings);
    }

    /// How this process collects blobs that nobody needs; not at all if nobody said so.
    pub(crate) fn collection(&self) -> CollectionSettings {
        self.0.collection.get().copied().unwrap_or_default()
    }

    /// The virtual repositories of accounts, for the data plane.
    #[must_use]
    pub fn virtual_names(&self) -> &VirtualNames {
        &self.0.virtual_names
    }

    /// Says by which means other registries are asked whether they can be used. The first word stays.
    pub fn set_upstream_probe(&self, probe: Arc<dyn UpstreamProbe>) {
        let _ = self.0.upstream_probe.set(probe);
    }

    /// Says who knows what refers to images in other registries. The first word stays.
    pub fn set_upstream_referrers(&self, referrers: Arc<dyn UpstreamReferrers>) {
        let _ = self.0.upstream_referrers.set(referrers);
    }

    pub(crate) fn upstream_referrers(&self) -> Option<&dyn UpstreamReferrers> {
        self.0.upstream_referrers.get().map(|referrers| &**referrers)
    }

    pub(crate) fn upstream_probe(&self) -> Option<&dyn UpstreamProbe> {
        self.0.upstream_probe.get().map(|probe| &**probe)
    }

    pub(crate) fn upstreams(&self) -> &Fresh<AccountId, Arc<[Arc<UpstreamRule>]>> {
        &self.0.upstreams
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.0.clock.now()
    }

    /// What the operator decided.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The ARN of a repository.
    #[must_use]
    pub fn arn(&self, repository: &RepositoryPath) -> RepositoryArn {
        RepositoryArn {
            region: self.0.settings.region.clone(),
            repository: repository.clone(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn issuers(&self) -> &Issuers {
        &self.1
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }
}

/// What the operator decided about the deployment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region that the deployment is.
    pub region: Region,
    /// The account of requests that name none.
    pub default_account: AccountId,
    /// Where the registry is.
    pub registry: RegistryAddress,
    /// The URL of the control plane.
    pub control_endpoint: String,
    /// The version of the server.
    pub version: String,
    /// Whether a first push makes a repository also if no template is for it; whoever pushes needs the right to create it.
    pub create_on_push: bool,
}

/// Where clients find the registry.
#[derive(Clone, Debug)]
pub struct RegistryAddress {
    /// Whether it is served over TLS.
    pub is_tls: bool,
    /// `host` or `host:port`.
    pub authority: String,
    /// How the account stands in the name of a repository.
    pub style: AddressStyle,
}

/// How the account stands in the name of a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressStyle {
    /// Not at all for the default account; as in `Path` for others.
    #[default]
    Default,
    /// `host/<account>/name`.
    Path,
    /// `<account>.host/name`.
    Host,
}

impl Settings {
    /// What stands before the name of a repository of `account` in the name of an image.
    #[must_use]
    pub fn registry_uri(&self, account: &AccountId) -> String {
        let authority = &self.registry.authority;
        match self.registry.style {
            AddressStyle::Default if *account == self.default_account => authority.clone(),
            AddressStyle::Default | AddressStyle::Path => format!("{authority}/{account}"),
            AddressStyle::Host => format!("{account}.{authority}"),
        }
    }

    /// What to give to `docker pull`, before the tag (ECR, `repositoryUri`).
    #[must_use]
    pub fn repository_uri(&self, repository: &RepositoryPath) -> String {
        format!("{}/{}", self.registry_uri(&repository.account), repository.name)
    }

    /// The URL to log in to (ECR, `proxyEndpoint`).
    #[must_use]
    pub fn proxy_endpoint(&self, account: &AccountId) -> String {
        let scheme = if self.registry.is_tls { "https" } else { "http" };
        match self.registry.style {
            AddressStyle::Default | AddressStyle::Path => format!("{scheme}://{}", self.registry.authority),
            AddressStyle::Host => format!("{scheme}://{account}.{}", self.registry.authority),
        }
    }
}

/// Some entries of a list, in order, and where the next ones start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, K> {
    /// The entries.
    pub items: Vec<T>,
    /// The last key that was looked at; `None` if there is nothing after it.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// Makes a page of at most `limit` entries out of a query that asked for one more.
    pub(crate) fn of(mut items: Vec<T>, limit: usize, key: impl FnOnce(&T) -> K) -> Self {
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = if has_more { items.last().map(key) } else { None };
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_follow_the_style() {
        let mut settings = Settings {
            region: Region::default(),
            default_account: AccountId::default(),
            registry: RegistryAddress {
                is_tls: true,
                authority: "registry.example.com".into(),
                style: AddressStyle::Default,
            },
            control_endpoint: String::new(),
            version: String::new(),
            create_on_push: false,
        };
        let path = |account: &str| RepositoryPath {
            account: account.parse().unwrap(),
            name: "team-a/web".parse().unwrap(),
        };
        let cases = [
            (
                AddressStyle::Default,
                "000000000000",
                "registry.example.com/team-a/web",
                "https://registry.example.com",
            ),
            (
                AddressStyle::Default,
                "111111111111",
                "registry.example.com/111111111111/team-a/web",
                "https://registry.example.com",
            ),
            (
                AddressStyle::Path,
                "000000000000",
                "registry.example.com/000000000000/team-a/web",
                "https://registry.example.com",
            ),
            (
                AddressStyle::Host,
                "000000000000",
                "000000000000.registry.example.com/team-a/web",
                "https://000000000000.registry.example.com",
            ),
        ];
        for (style, account, uri, endpoint) in cases {
            settings.registry.style = style;
            assert_eq!(settings.repository_uri(&path(account)), uri, "{style:?}");
            assert_eq!(
                settings.proxy_endpoint(&account.parse().unwrap()),
                endpoint,
                "{style:?}"
            );
        }
    }

    #[test]
    fn a_page_knows_whether_there_is_more() {
        let page = |items: &[u8]| Page::of(items.to_vec(), 2, |last| *last);
        assert_eq!(
            page(&[]),
            Page {
                items: vec![],
                next: None
            }
        );
        assert_eq!(
            page(&[1, 2]),
            Page {
                items: vec![1, 2],
                next: None
            }
        );
        assert_eq!(
            page(&[1, 2, 3]),
            Page {
                items: vec![1, 2],
                next: Some(2)
            }
        );
    }
}
