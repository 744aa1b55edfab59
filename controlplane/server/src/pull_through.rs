// SPDX-License-Identifier: Apache-2.0
//! Repositories that come from other registries: what the data plane needs of rules and rows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hythe_access::{Caller, Granted, Trail, kinds};
use hythe_catalog::{CatalogError, ImageRecord, Referrer};
use hythe_distribution::{CreationError, Import, PullThrough, Registry, Upstream, UpstreamReferrers, UpstreamTag};
use hythe_jobs::{MirrorHost, MirrorRefusal, MirrorSource};
use hythe_meta::{FetchClaim, Store, StoreError, UpstreamImport};
use hythe_model::{
    AccountId, Clock, CreationTrigger, Descriptor, Digest, RegistryUrl, RepositoryName, RepositoryPath,
    RepositoryPrefix, Tag, UploadId,
};
use hythe_operations::{
    ControlPlane, CreateFromTemplateError, CreateRepositoryError, UpstreamCredential, UpstreamProbe, UpstreamRule,
};
use hythe_upstream::{Outgoing, PullPath, PullStep, Remote, UpstreamError};
use jiff::{SignedDuration, Timestamp};
use prometheus_client::registry::Registry as Metrics;

use crate::creation::refused_or_failed;
use crate::remotes::{RemoteLimits, Remotes, told};

/// For how long a process may fetch a blob without saying that it still does.
const FETCH_LEASE: SignedDuration = SignedDuration::from_secs(30);
/// For how long a process may import an image without saying that it still does.
const IMPORT_LEASE: SignedDuration = SignedDuration::from_mins(2);
/// For how long it is kept what referred to an image upstream, after that was asked last.
const REFERRERS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Asks rules and rows on behalf of the data plane.
#[derive(Debug)]
struct Through {
    plane: ControlPlane,
    store: Store,
    clock: Arc<dyn Clock>,
    remotes: Arc<Remotes>,
    owner: String,
    /// The id of the deployment: random, and the same on all nodes.
    deployment: String,
}

/// The name of the setting with the id of the deployment.
const DEPLOYMENT_ID: &str = "deployment-id";

/// Lets repositories come from other registries. A process that serves the registry is also where mirrors can be worked on.
pub(crate) async fn connect(
    registry: Option<&Registry>,
    plane: &ControlPlane,
    store: &Store,
    clock: &Arc<dyn Clock>,
    outgoing: Outgoing,
    metrics: &mut Metrics,
) -> Result<Option<Arc<dyn MirrorHost>>, StoreError> {
    let deployment = if let Some(id) = store.setting(DEPLOYMENT_ID).await? {
        id
    } else {
        let new = UploadId::generate().to_string();
        store.put_setting_if_absent(DEPLOYMENT_ID, &new).await?
    };
    plane.set_upstream_probe(Arc::new(Probe(outgoing.clone())));
    let through = Through::new(plane.clone(), store.clone(), Arc::clone(clock), outgoing, deployment);
    let through = Arc::new(through);
    let Some(registry) = registry else {
        plane.set_upstream_referrers(Arc::new(Remembering(through)));
        return Ok(None);
    };
    registry.set_pull_through(Arc::clone(&through) as Arc<dyn PullThrough>);
    plane.set_upstream_referrers(Arc::new(Asking(registry.clone())));
    metrics.register_collector(Box::new(RemoteLimits(Arc::clone(&through.remotes))));
    let host = Host {
        registry: registry.clone(),
        through,
    };
    Ok(Some(Arc::new(host)))
}

impl Through {
    fn new(plane: ControlPlane, store: Store, clock: Arc<dyn Clock>, outgoing: Outgoing, deployment: String) -> Self {
        Self {
            plane,
            store,
            clock,
            remotes: Arc::new(Remotes::new(outgoing)),
            owner: UploadId::generate().to_string(),
            deployment,
        }
    }

    /// The rule as the data plane has it.
    fn upstream_of(&self, rule: &UpstreamRule, repository: &RepositoryPath) -> Option<Arc<Upstream>> {
        let name = rule.name_upstream(&repository.name)?;
        let (remote, key) = self.remotes.of(rule);
        Some(Arc::new(Upstream {
            remote,
            repository: name,
            rule: key,
            freshness: Duration::from_secs(rule.record.tag_freshness_seconds),
            step: PullStep::of(&self.deployment, repository),
        }))
    }

    fn until(&self, lease: SignedDuration) -> Timestamp {
        self.clock.now().checked_add(lease).unwrap_or(Timestamp::MAX)
    }
}

#[async_trait]
impl PullThrough for Through {
    fn remembered(&self, repository: &RepositoryPath) -> Option<Option<Arc<Upstream>>> {
        let rule = self.plane.remembered_upstream(repository)?;
        Some(rule.and_then(|rule| self.upstream_of(&rule, repository)))
    }

    async fn upstream(&self, repository: &RepositoryPath) -> Result<Option<Arc<Upstream>>, CatalogError> {
        let rule = self.plane.upstream_rule(repository).await?;
        Ok(rule.and_then(|rule| self.upstream_of(&rule, repository)))
    }

    async fn create_repository(&self, caller: &Caller, repository: &RepositoryPath) -> Result<bool, CreationError> {
        let trigger = CreationTrigger::PullThroughCache;
        let created = self.plane.create_repository_for(caller, repository, trigger).await;
        created.map_err(refused_or_failed)
    }

    async fn may_move(&self, repository: &RepositoryPath, tag: &Tag) -> Result<bool, CatalogError> {
        let found = self.store.repository(repository).await?;
        Ok(found.is_none_or(|found| found.tag_mutability.may_move(tag)))
    }

    async fn tag(&self, repository: &RepositoryPath, tag: &Tag) -> Result<Option<UpstreamTag>, CatalogError> {
        let found = self.store.upstream_tag(repository, tag).await?;
        Ok(found.map(|found| UpstreamTag {
            digest: found.digest,
            validated_at: found.validated_at,
            manifest: found.manifest,
        }))
    }

    async fn manifest(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<ImageRecord>, CatalogError> {
        Ok(self.store.upstream_manifest(repository, digest).await?)
    }

    async fn is_importing(&self, repository: &RepositoryPath) -> Result<bool, CatalogError> {
        Ok(self.store.has_upstream_imports(repository).await?)
    }

    async fn keep(
        &self,
        repository: &RepositoryPath,
        tag: Option<(Tag, Digest)>,
        manifest: Option<ImageRecord>,
        due: Timestamp,
    ) -> Result<bool, CatalogError> {
        let now = self.clock.now();
        Ok(self.store.keep_upstream(repository, tag, manifest, now, due).await?)
    }

    async fn tags_of(&self, repository: &RepositoryPath, digest: &Digest) -> Result<Vec<Tag>, CatalogError> {
        Ok(self.store.upstream_tags_of(repository, digest).await?)
    }

    async fn referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
    ) -> Result<Option<UpstreamReferrers>, CatalogError> {
        let found = self.store.upstream_referrers(repository, subject).await?;
        Ok(found.map(|found| UpstreamReferrers {
            referrers: found.referrers.into_iter().map(referrer).collect(),
            validated_at: found.validated_at,
        }))
    }

    async fn keep_referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        referrers: &[Referrer],
    ) -> Result<bool, CatalogError> {
        let (now, until) = (self.clock.now(), self.until(REFERRERS_KEPT));
        let descriptors: Vec<_> = referrers.iter().map(descriptor).collect();
        let kept = self
            .store
            .keep_upstream_referrers(repository, subject, &descriptors, now, until);
        Ok(kept.await?)
    }

    async fn claim_import(&self) -> Result<Option<Import>, CatalogError> {
        let (now, until) = (self.clock.now(), self.until(IMPORT_LEASE));
        let claimed = self.store.claim_upstream_import(now, until).await?;
        Ok(claimed.map(import))
    }

    async fn waiting_import(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<Import>, CatalogError> {
        let found = self.store.waiting_upstream_import(repository, digest).await?;
        Ok(found.map(import))
    }

    async fn end_import(&self, import: &Import) -> Result<(), CatalogError> {
        Ok(self.store.end_upstream_import(&record(import)).await?)
    }

    async fn put_off_import(
        &self,
        import: &Import,
        again_at: Timestamp,
        error: Option<&str>,
    ) -> Result<bool, CatalogError> {
        let import = record(import);
        Ok(self.store.put_off_upstream_import(&import, again_at, error).await?)
    }

    async fn claim_fetch(&self, repository: &RepositoryPath, digest: &Digest) -> Result<bool, CatalogError> {
        let (now, until) = (self.clock.now(), self.until(FETCH_LEASE));
        let claim = self
            .store
            .claim_upstream_fetch(repository, digest, &self.owner, now, until);
        match claim.await? {
            FetchClaim::Made => Ok(true),
            FetchClaim::Elsewhere => Ok(false),
            FetchClaim::RepositoryUnknown => Err(CatalogError::RepositoryUnknown(repository.clone())),
        }
    }

    async fn end_fetch(&self, repository: &RepositoryPath, digest: &Digest) -> Result<(), CatalogError> {
        Ok(self.store.end_upstream_fetch(repository, digest, &self.owner).await?)
    }
}

/// What mirrors ask rules, rows and the data plane for.
#[derive(Debug)]
struct Host {
    registry: Registry,
    through: Arc<Through>,
}

#[async_trait]
impl MirrorHost for Host {
    async fn source(&self, account: &AccountId, prefix: &RepositoryPrefix) -> Result<Option<MirrorSource>, StoreError> {
        let rule = self.through.plane.stored_upstream_rule(account, prefix).await?;
        Ok(rule.and_then(|found| {
            let settings = found.record.mirror.as_ref()?.settings.clone();
            let (remote, rule) = self.through.remotes.of(&found);
            Some(MirrorSource {
                remote,
                settings,
                record: found.record,
                rule,
            })
        }))
    }

    async fn comes_by(&self, repository: &RepositoryPath, prefix: &RepositoryPrefix) -> Result<bool, StoreError> {
        let found = self.through.plane.upstream_rule(repository).await?;
        Ok(found.is_some_and(|found| found.record.prefix == *prefix))
    }

    fn on_behalf_of(&self, repository: &RepositoryPath, remote: &Remote) -> Remote {
        let step = PullStep::of(&self.through.deployment, repository);
        let remote = remote.clone();
        match PullPath::default().then(step) {
            Ok(path) => remote.asked_along(&path),
            // The first step never is one too many.
            Err(_) => remote,
        }
    }

    async fn create_repository(&self, repository: &RepositoryPath) -> Result<(), MirrorRefusal> {
        let created = self.through.plane.create_mirrored_repository(repository).await;
        created.map_err(|error| match error {
            CreateFromTemplateError::Store(error)
            | CreateFromTemplateError::Create(CreateRepositoryError::Store(error)) => MirrorRefusal::Store(error),
            error => MirrorRefusal::Refused(error.to_string()),
        })
    }

    fn trouble(&self, rule: &str) -> Option<UpstreamError> {
        let retry_after = || self.through.remotes.used_up_for(rule);
        self.registry.upstream_trouble(rule).or_else(|| {
            Some(UpstreamError::TooManyRequests {
                retry_after: Some(retry_after()?),
            })
        })
    }

    fn note(&self, rule: &str, error: &UpstreamError) {
        self.registry.note_upstream_trouble(rule, error);
    }

    fn trail(&self, event: &'static str, account: &AccountId, repository: Option<&RepositoryName>) -> Trail {
        self.through.plane.service_trail(event, account, repository)
    }
}

/// Asks another registry whether it can be used.
#[derive(Debug)]
struct Probe(Outgoing);

#[async_trait]
impl UpstreamProbe for Probe {
    async fn probe(&self, upstream: &RegistryUrl, credential: Option<&UpstreamCredential>) -> Result<(), String> {
        let remote = Remote::new(self.0.clone(), upstream.clone(), credential.map(told));
        remote.ping().await.map_err(|error| error.to_string())
    }
}

/// Knows referrers of other registries by way of the data plane, which asks there.
#[derive(Debug)]
struct Asking(Registry);

#[async_trait]
impl hythe_operations::UpstreamReferrers for Asking {
    async fn list(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        granted: Option<&Granted<kinds::BatchImportUpstreamImage>>,
    ) -> Result<Vec<Referrer>, CatalogError> {
        self.0.upstream_referrers(repository, subject, granted).await
    }
}

/// Knows of them what processes with a data plane have written down.
#[derive(Debug)]
struct Remembering(Arc<Through>);

#[async_trait]
impl hythe_operations::UpstreamReferrers for Remembering {
    async fn list(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        _granted: Option<&Granted<kinds::BatchImportUpstreamImage>>,
    ) -> Result<Vec<Referrer>, CatalogError> {
        if self.0.upstream(repository).await?.is_none() {
            return Ok(Vec::new());
        }
        let found = self.0.referrers(repository, subject).await?;
        Ok(found.map(|found| found.referrers).unwrap_or_default())
    }
}

fn import(claimed: UpstreamImport) -> Import {
    let UpstreamImport {
        repository,
        manifest,
        attempts,
        leased_until,
    } = claimed;
    Import {
        repository,
        manifest,
        attempts,
        leased_until,
    }
}

fn record(import: &Import) -> UpstreamImport {
    UpstreamImport {
        repository: import.repository.clone(),
        manifest: import.manifest.clone(),
        attempts: import.attempts,
        leased_until: import.leased_until,
    }
}

fn referrer(descriptor: Descriptor) -> Referrer {
    Referrer {
        digest: descriptor.digest,
        media_type: descriptor.media_type,
        size: descriptor.size,
        artifact_type: descriptor.artifact_type,
        annotations: descriptor.annotations,
    }
}

fn descriptor(referrer: &Referrer) -> Descriptor {
    Descriptor {
        media_type: referrer.media_type.clone(),
        digest: referrer.digest,
        size: referrer.size,
        urls: Vec::new(),
        annotations: referrer.annotations.clone(),
        artifact_type: referrer.artifact_type.clone(),
        platform: None,
    }
}
