// SPDX-License-Identifier: Apache-2.0
//! Repositories whose images come from another registry (docs/adr/0043).
//!
//! What is here is served from here, as of any repository. What is not, or may be out of date, is asked for upstream, on
//! behalf of a caller who may import. Manifests are kept as they came and served at once; a background import makes
//! images of them when all that they list is here. Blobs reach clients while they are fetched.
//!
//! Invariants:
//! - Nothing that was fetched is linked, or told to be whole, before its digest was compared: the last bytes of a blob leave
//!   when it is stored.
//! - A blob that others have is never linked because an upstream says that it has it too: each repository fetches its own.
//! - However many ask for the same at the same time, the upstream is asked once.
//! - What went wrong is remembered for a while, so that neither clients nor the upstream are kept busy with it.

mod blob;
mod fetch;
mod flight;
mod import;
mod manifest;
mod referrers;
mod trouble;

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, header};
use hythe_access::Caller;
use hythe_catalog::{CatalogError, ImageRecord, Referrer};
use hythe_model::{Digest, RepositoryPath, Tag};
use hythe_upstream::{PullPath, PullPathError, PullStep, Remote, UpstreamError};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Registry;
use crate::creation::CreationError;
use crate::response::Answer;
use crate::turns::Turns;

pub(crate) use blob::{cold_blob, cold_size};
pub(crate) use manifest::{Found, Request, find};
pub(crate) use referrers::listed;

/// The most blobs that one process fetches at once.
pub(crate) const MAX_FETCHES: usize = 32;
/// How long an upstream may take when there is something to serve without it.
const REVALIDATION_TIMEOUT: Duration = Duration::from_secs(4);

/// Where a repository comes from.
#[derive(Debug)]
pub struct Upstream {
    /// The other registry.
    pub remote: Arc<Remote>,
    /// What the repository is called there.
    pub repository: String,
    /// What names the rule as it is now among all rules, for what goes wrong with it.
    pub rule: String,
    /// For how long an answer about a tag counts.
    pub freshness: Duration,
    /// What the repository here is called in the path of a question.
    pub step: PullStep,
}

impl Upstream {
    /// The same, asked on behalf of a question that came by `path`.
    pub(crate) fn asked_along(&self, path: &PullPath) -> Result<Arc<Self>, PullPathError> {
        let path = path.then(self.step)?;
        Ok(Arc::new(Self {
            remote: Arc::new(Remote::clone(&self.remote).asked_along(&path)),
            repository: self.repository.clone(),
            rule: self.rule.clone(),
            freshness: self.freshness,
            step: self.step,
        }))
    }
}

/// What a tag pointed to upstream when it was last asked.
#[derive(Clone, Debug)]
pub struct UpstreamTag {
    /// What it pointed to.
    pub digest: Digest,
    /// When that was.
    pub validated_at: Timestamp,
    /// The manifest, if it is not an image yet.
    pub manifest: Option<ImageRecord>,
}

/// What referred to an image upstream when that was last asked.
#[derive(Clone, Debug)]
pub struct UpstreamReferrers {
    /// The referrers, by digest, each once.
    pub referrers: Vec<Referrer>,
    /// When that was.
    pub validated_at: Timestamp,
}

/// A manifest to be made an image of.
#[derive(Clone, Debug)]
pub struct Import {
    /// The repository.
    pub repository: RepositoryPath,
    /// The manifest.
    pub manifest: ImageRecord,
    /// The failed attempts before this one.
    pub attempts: u64,
    /// Until when nobody else is given it; another time if it was queued anew since.
    pub leased_until: Timestamp,
}

/// What pull-through caches need of the control plane: the rules, and what is known of upstreams.
#[async_trait]
pub trait PullThrough: Debug + Send + Sync {
    /// Where a repository comes from, if that can be said at once.
    fn remembered(&self, repository: &RepositoryPath) -> Option<Option<Arc<Upstream>>>;

    /// Where a repository comes from, if it does.
    async fn upstream(&self, repository: &RepositoryPath) -> Result<Option<Arc<Upstream>>, CatalogError>;

    /// Creates the repository if `caller` may create it; says whether it is there now.
    async fn create_repository(&self, caller: &Caller, repository: &RepositoryPath) -> Result<bool, CreationError>;

    /// Whether a tag that is there may be moved.
    async fn may_move(&self, repository: &RepositoryPath, tag: &Tag) -> Result<bool, CatalogError>;

    /// What is known of a tag.
    async fn tag(&self, repository: &RepositoryPath, tag: &Tag) -> Result<Option<UpstreamTag>, CatalogError>;

    /// A manifest that is not an image yet.
    async fn manifest(&self, repository: &RepositoryPath, digest: &Digest)
    -> Result<Option<ImageRecord>, CatalogError>;

    /// Whether a repository has manifests that are not images yet: only then may something that they list be absent.
    async fn is_importing(&self, repository: &RepositoryPath) -> Result<bool, CatalogError>;

    /// Records what a tag points to, and a manifest to be imported from `due` on. False without such a repository.
    async fn keep(
        &self,
        repository: &RepositoryPath,
        tag: Option<(Tag, Digest)>,
        manifest: Option<ImageRecord>,
        due: Timestamp,
    ) -> Result<bool, CatalogError>;

    /// The tags that point to an image upstream and do not here, some of them; without those that somebody has set or deleted here
    /// since the upstream was asked.
    async fn tags_of(&self, repository: &RepositoryPath, digest: &Digest) -> Result<Vec<Tag>, CatalogError>;

    /// What is known of the referrers of an image.
    async fn referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
    ) -> Result<Option<UpstreamReferrers>, CatalogError>;

    /// Records what refers to an image. False without such a repository, and if nothing refers to an image that is not here.
    async fn keep_referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        referrers: &[Referrer],
    ) -> Result<bool, CatalogError>;

    /// A manifest that is due, which nobody else is given for a while.
    async fn claim_import(&self) -> Result<Option<Import>, CatalogError>;

    /// A manifest that waits to be made an image of, if it does, whoever has it.
    async fn waiting_import(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<Import>, CatalogError>;

    /// Forgets a manifest that is an image now, unless it was queued anew since: then it is due again.
    async fn end_import(&self, import: &Import) -> Result<(), CatalogError>;

    /// Gives a manifest back, to be tried at `again_at`, or keeps it until then. False if it was queued anew since: then it stays
    /// as it was queued.
    async fn put_off_import(
        &self,
        import: &Import,
        again_at: Timestamp,
        error: Option<&str>,
    ) -> Result<bool, CatalogError>;

    /// Makes it this process's for a while to fetch a blob, or keeps it so; false if another process does. Without such a
    /// repository it is [`CatalogError::RepositoryUnknown`]: then nobody does.
    async fn claim_fetch(&self, repository: &RepositoryPath, digest: &Digest) -> Result<bool, CatalogError>;

    /// Ends that.
    async fn end_fetch(&self, repository: &RepositoryPath, digest: &Digest) -> Result<(), CatalogError>;
}

/// What this process is doing for repositories that come from elsewhere.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) fetches: fetch::Fetches,
    pub(crate) flights: flight::Flights,
    pub(crate) troubles: trouble::Troubles,
    /// Places for blobs that are fetched, shared out by account.
    pub(crate) places: Turns,
    pub(crate) stop: CancellationToken,
}

impl Cache {
    pub(crate) fn new(places: Turns) -> Self {
        Self {
            fetches: fetch::Fetches::default(),
            flights: flight::Flights::default(),
            troubles: trouble::Troubles::default(),
            places,
            stop: CancellationToken::new(),
        }
    }
}

/// Why something did not come from upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// The repository is absent, and may not be created.
    #[error("the repository `{0}` does not exist")]
    RepositoryUnknown(RepositoryPath),
    /// The upstream has none, or the caller may not ask there.
    #[error("the blob `{0}` does not exist in the repository")]
    BlobUnknown(Digest),
    /// The question came from another registry, and would go round.
    #[error("the image comes from another registry, and {}", path_label(*.0))]
    Path(#[from] PullPathError),
    /// The upstream failed.
    #[error("the image comes from another registry, and {}", label(.0))]
    Upstream(#[source] UpstreamError),
    /// It could not be stored.
    #[error("what comes from another registry cannot be stored: {0}")]
    Storage(String),
    /// There is no room for it.
    #[error("the registry has no room for what comes from another one: ask its operator to make some")]
    Full,
    /// As many blobs are fetched as there may be.
    #[error("the registry is fetching as much as it can: try again")]
    Busy,
    #[error(transparent)]
    Creation(#[from] CreationError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What a client may know of a failure: neither addresses nor what is behind them.
pub(crate) fn label(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Unreachable(_) => "that one cannot be reached",
        UpstreamError::Timeout(_) => "that one takes too long",
        UpstreamError::Denied => "that one refuses access",
        UpstreamError::NotFound => "that one does not have it",
        UpstreamError::TooManyRequests { .. } => "that one wants fewer requests",
        UpstreamError::Server { .. } => "that one fails",
        UpstreamError::Invalid(_) => "what that one sends is not valid",
        UpstreamError::Blocked(_) => "that one may not be reached from here",
    }
}

/// What a client is told of a question that is not passed on, in a few words.
pub(crate) fn path_label(error: PullPathError) -> &'static str {
    match error {
        PullPathError::Loop => "that one asked for it",
        PullPathError::TooLong => "too many registries stand one behind the other",
    }
}

/// Notes that a question is not passed on.
fn refuse_to_pass_on(registry: &Registry, repository: &RepositoryPath, error: PullPathError) -> PullPathError {
    registry.metrics().cache_loops.inc();
    tracing::warn!(repository.name = %repository.name, error = %error, "a question of another registry is not passed on");
    error
}

/// How an answer came about, for its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// From upstream, now.
    Miss,
    /// From here; the upstream said so this long ago.
    Hit(Duration),
    /// From here; the upstream said so now.
    Revalidated,
    /// From here, though the upstream should have been asked; what it said last is as old as this.
    Stale(Duration, &'static str),
}

pub(crate) const HYTHE_CACHE: http::HeaderName = http::HeaderName::from_static("hythe-cache");

impl Note {
    /// Tells the client.
    pub(crate) fn tell(self, answer: Answer) -> Answer {
        let answer = answer.with(HYTHE_CACHE, self);
        match self {
            Self::Miss | Self::Revalidated => answer,
            Self::Hit(age) => answer.with(http::header::AGE, age.as_secs()),
            // RFC 9111 has no `Warning` any more; those who know RFC 7234 know 111 as "Revalidation Failed".
            Self::Stale(age, why) => answer.with(http::header::AGE, age.as_secs()).with(
                http::header::WARNING,
                format_args!("111 hythe \"the image comes from another registry, and {why}\""),
            ),
        }
    }
}

/// Whether the client wants no answer from memory (RFC 9111, section 5.2.1.4; `Pragma` is what those of old say).
pub(crate) fn wants_fresh(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .chain(headers.get_all(header::PRAGMA));
    values.filter_map(|value| value.to_str().ok()).any(|text| {
        let mut parts = text.split(',').map(str::trim);
        parts.any(|part| part.eq_ignore_ascii_case("no-cache"))
    })
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Miss => "MISS",
            Self::Hit(_) => "HIT",
            Self::Revalidated => "REVALIDATED",
            Self::Stale(..) => "STALE",
        })
    }
}
