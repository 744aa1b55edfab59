// SPDX-License-Identifier: Apache-2.0
//! Makes images of manifests that came from upstream: fetches what they list and nobody has pulled, then stores them as a push
//! does, with the tags that point to them upstream.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use hythe_access::{Facts, Trail};
use hythe_catalog::{CatalogError, ImageRecord, NewImage, PutImageError};
use hythe_model::{Manifest, ManifestKind, Reference, RepositoryPath, Tag, UPSTREAM_IMPORTER, fail_point};
use hythe_upstream::{PullPath, UpstreamError};
use jiff::{SignedDuration, Timestamp};

use super::fetch::Failure;
use super::trouble::About;
use super::{CacheError, Import, PullThrough, Upstream};
use crate::Registry;

/// The first pause after a failure; each further one is twice as long, up to the longest.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(6);
/// The longest that an import waits at once for an upstream that wants fewer requests, and that it does not count as a failure. It
/// asks nobody to find out whether it has to wait for longer.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(10);
/// How often it is tried to note how an import goes while the store is busy, and after which pause again.
const MAX_NOTES: u32 = 10;
const NOTE_PAUSE: Duration = Duration::from_secs(3);
/// How long an import waits for clients that pull from the same repository.
const POLITE_PAUSE: SignedDuration = SignedDuration::from_secs(2);
/// How often more tags are put at an image when it had too many for once (ECR: 1000 tags per image).
const MAX_ROUNDS_OF_TAGS: usize = 10;
/// For how long an import is worked on, and how many images it brings, before others have their turn.
const TURN: Duration = Duration::from_mins(10);
const MAX_IMAGES_OF_TURN: usize = 32;
/// How deep indexes may list indexes.
const MAX_DEPTH: usize = 3;
/// The most images that an index brings.
const MAX_CHILDREN: usize = 256;

/// Why an image was not made.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("{0}")]
    Invalid(String),
    /// The upstream is left alone for so long.
    #[error("the upstream wants fewer requests")]
    Later(Duration),
    /// It goes on where it is when others have had their turn.
    #[error("other imports have their turn")]
    Turn,
    /// The repository was deleted, or somebody else has brought the image.
    #[error("nobody waits for the image any more")]
    Gone,
    #[error("cannot store the image: {0}")]
    Put(#[from] PutImageError),
}

impl From<CatalogError> for ImportError {
    fn from(error: CatalogError) -> Self {
        Self::Cache(error.into())
    }
}

impl From<Failure> for ImportError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::RepositoryUnknown(_) => Self::Gone,
            failure @ (Failure::Upstream(_) | Failure::Storage(_) | Failure::Full | Failure::Busy) => {
                Self::Cache(failure.into())
            }
        }
    }
}

impl Registry {
    /// How many blobs come from upstream now.
    #[must_use]
    pub fn upstream_fetches(&self) -> usize {
        self.cache().fetches.len()
    }

    /// What is known to go wrong with all that comes by a rule, which is to be left alone until it is forgotten.
    #[must_use]
    pub fn upstream_trouble(&self, rule: &str) -> Option<UpstreamError> {
        self.cache().troubles.of_rule(rule)
    }

    /// Remembers what went wrong with the upstream of a rule, if it is about all that comes by it.
    pub fn note_upstream_trouble(&self, rule: &str, error: &UpstreamError) {
        self.cache().troubles.note_of_rule(rule, error);
    }

    /// Makes an image of one manifest that came from upstream; says whether one was due.
    pub async fn import_one(&self) -> Result<bool, CatalogError> {
        let Some(through) = self.pull_through() else {
            return Ok(false);
        };
        let Some(import) = through.claim_import().await? else {
            return Ok(false);
        };
        let path = &import.repository;
        let Some(upstream) = self.noted(&import, || through.upstream(path)).await? else {
            // The rule is gone, and with it the way to the rest.
            tracing::info!(repository.name = %path.name, manifest.digest = %import.manifest.digest,
                "an image does not come from upstream: its rule is gone");
            self.noted(&import, || through.end_import(&import)).await?;
            return Ok(true);
        };
        if self.cache().fetches.is_busy(path) {
            self.put_off(&import, POLITE_PAUSE, None).await?;
            return Ok(true);
        }
        // Nobody asked before this repository does.
        let upstream = upstream.asked_along(&PullPath::default()).unwrap_or(upstream);
        let work = Work {
            registry: self,
            through,
            upstream,
            import: &import,
            leased_until: Mutex::new(import.leased_until),
            begun: Instant::now(),
            images: AtomicUsize::new(0),
        };
        match work.run().await {
            Ok(()) => {
                fail_point("cache.import.stored");
                let held = work.held();
                self.noted(&held, || through.end_import(&held)).await?;
                self.metrics().cache_imports.inc();
                tracing::info!(repository.name = %path.name, manifest.digest = %import.manifest.digest, "an image came from upstream");
            }
            // Nor is there anything to put off.
            Err(ImportError::Gone) => {
                tracing::info!(repository.name = %path.name, manifest.digest = %import.manifest.digest,
                    "an image does not come from upstream: nobody waits for it any more");
            }
            Err(ImportError::Turn) => {
                self.put_off(&work.held(), POLITE_PAUSE, None).await?;
            }
            Err(ImportError::Later(wait)) => {
                let wait = SignedDuration::try_from(wait).unwrap_or(LONGEST_WAIT);
                let pause = wait.clamp(POLITE_PAUSE, LONGEST_WAIT);
                let why = "the other registry wants fewer requests";
                tracing::info!(repository.name = %path.name, manifest.digest = %import.manifest.digest,
                    "an image waits until its upstream takes more requests");
                self.put_off(&work.held(), pause, Some(why)).await?;
            }
            Err(error) => {
                let attempts = import.attempts.saturating_add(1);
                let doublings = u32::try_from(attempts.min(16)).unwrap_or(16) - 1;
                let pause = FIRST_PAUSE
                    .checked_mul(1 << doublings)
                    .unwrap_or(LONGEST_PAUSE)
                    .min(LONGEST_PAUSE);
                tracing::warn!(repository.name = %path.name, manifest.digest = %import.manifest.digest, attempts, error = %error,
                    "an image could not be brought from upstream; it is served as far as it came");
                let import = Import {
                    attempts,
                    ..work.held()
                };
                self.put_off(&import, pause, Some(&error.to_string())).await?;
            }
        }
        Ok(true)
    }

    /// Gives a manifest back that is claimed, to be tried again after a pause.
    async fn put_off(&self, import: &Import, pause: SignedDuration, error: Option<&str>) -> Result<(), CatalogError> {
        let Some(through) = self.pull_through() else {
            return Ok(());
        };
        let put_off = || through.put_off_import(import, self.later(pause), error);
        self.noted(import, put_off).await.map(drop)
    }

    /// Does what the store has to do for an import, and again while it is busy and nobody else can be given the import: until the
    /// claim ends, nobody would go on.
    async fn noted<T, F>(&self, import: &Import, note: impl Fn() -> F) -> Result<T, CatalogError>
    where
        F: Future<Output = Result<T, CatalogError>>,
    {
        let is_ours_then = || {
            let then = self.now().checked_add(NOTE_PAUSE);
            then.is_ok_and(|then| then < import.leased_until)
        };
        for _ in 1..MAX_NOTES {
            match note().await {
                Err(CatalogError::Busy) if is_ours_then() => {}
                noted => return noted,
            }
            tokio::time::sleep(NOTE_PAUSE).await;
        }
        note().await
    }

    fn later(&self, pause: SignedDuration) -> Timestamp {
        self.now().checked_add(pause).unwrap_or(Timestamp::MAX)
    }
}

struct Work<'w> {
    registry: &'w Registry,
    through: &'w Arc<dyn PullThrough>,
    upstream: Arc<Upstream>,
    import: &'w Import,
    /// As the row says, which is kept from others while this goes on.
    leased_until: Mutex<Timestamp>,
    begun: Instant,
    /// How many of what it lists were stored.
    images: AtomicUsize,
}

impl Work<'_> {
    async fn run(&self) -> Result<(), ImportError> {
        let manifest = &self.import.manifest;
        let parsed = self.complete(manifest, 0).await?;
        fail_point("cache.import.complete");
        self.put_with_tags(manifest, parsed).await
    }

    /// Stores an image with the tags that point to it upstream.
    async fn put_with_tags(&self, manifest: &ImageRecord, parsed: Manifest) -> Result<(), ImportError> {
        let path = &self.import.repository;
        let mut tags = self.through.tags_of(path, &manifest.digest).await?;
        for _ in 0..MAX_ROUNDS_OF_TAGS {
            self.put(manifest, parsed.clone(), tags.clone()).await?;
            let left = self.through.tags_of(path, &manifest.digest).await?;
            // Those that cannot be moved stay.
            if left.is_empty() || left == tags {
                break;
            }
            tags = left;
        }
        Ok(())
    }

    /// Brings everything that a manifest lists.
    fn complete<'c>(&'c self, manifest: &'c ImageRecord, depth: usize) -> BoxFuture<'c, Result<Manifest, ImportError>> {
        Box::pin(async move {
            let parsed = Manifest::parse(manifest.bytes.clone(), Some(manifest.media_type.as_str()));
            let parsed = parsed.map_err(|error| ImportError::Invalid(error.to_string()))?;
            match parsed.kind() {
                ManifestKind::Image => self.blobs(&parsed).await?,
                ManifestKind::Index if depth >= MAX_DEPTH => {
                    return Err(ImportError::Invalid("indexes within indexes, too deep".into()));
                }
                ManifestKind::Index => self.children(&parsed, depth).await?,
            }
            Ok(parsed)
        })
    }

    async fn blobs(&self, manifest: &Manifest) -> Result<(), ImportError> {
        let (registry, path) = (self.registry, &self.import.repository);
        for descriptor in manifest.required_blobs() {
            if registry.catalog().blob(path, &descriptor.digest).await?.is_some() {
                continue;
            }
            let fetches = &registry.cache().fetches;
            let fetch = fetches.join(registry, self.through, &self.upstream, path, descriptor.digest);
            let mut done = std::pin::pin!(fetch.done());
            loop {
                tokio::select! {
                    biased;
                    done = &mut done => break done?,
                    // Nobody else begins while this goes on.
                    () = tokio::time::sleep(Duration::from_secs(30)) => {
                        self.go_on().await?;
                        self.check_turn()?;
                    }
                }
            }
            self.go_on().await?;
        }
        Ok(())
    }

    async fn children(&self, index: &Manifest, depth: usize) -> Result<(), ImportError> {
        let (registry, path) = (self.registry, &self.import.repository);
        if index.children().len() > MAX_CHILDREN {
            return Err(ImportError::Invalid(format!(
                "an index with more than {MAX_CHILDREN} images"
            )));
        }
        for child in index.children() {
            let reference = Reference::Digest(child.digest);
            if registry.catalog().image(path, &reference).await?.is_some() {
                continue;
            }
            self.check_turn()?;
            self.images.fetch_add(1, Ordering::Relaxed);
            // It may wait as one of its own, with tags.
            if let Some(waiting) = self.through.waiting_import(path, &child.digest).await? {
                let parsed = self.complete(&waiting.manifest, depth + 1).await?;
                self.put_with_tags(&waiting.manifest, parsed).await?;
                self.through.end_import(&waiting).await?;
                continue;
            }
            let manifest = self.fetch(&reference).await?;
            let parsed = self.complete(&manifest, depth + 1).await?;
            self.put(&manifest, parsed, Vec::new()).await?;
        }
        Ok(())
    }

    /// What is stored by now is found when it goes on.
    fn check_turn(&self) -> Result<(), ImportError> {
        let is_over = self.begun.elapsed() > TURN || self.images.load(Ordering::Relaxed) >= MAX_IMAGES_OF_TURN;
        if is_over { Err(ImportError::Turn) } else { Ok(()) }
    }

    async fn fetch(&self, reference: &Reference) -> Result<ImageRecord, ImportError> {
        let troubles = &self.registry.cache().troubles;
        let about = About::Manifest(self.import.repository.clone(), reference.clone());
        if let Some(UpstreamError::TooManyRequests { retry_after }) = troubles.of(&self.upstream, &about) {
            return Err(ImportError::Later(retry_after.unwrap_or_default()));
        }
        self.registry.metrics().cache_questions.inc();
        let fetched = self
            .upstream
            .remote
            .manifest(&self.upstream.repository, reference)
            .await;
        let fetched = fetched.map_err(|error| {
            troubles.note_of_rule(&self.upstream.rule, &error);
            CacheError::Upstream(error)
        })?;
        Ok(ImageRecord {
            digest: fetched.digest,
            media_type: fetched.media_type,
            bytes: fetched.bytes,
        })
    }

    async fn go_on(&self) -> Result<(), ImportError> {
        let again_at = self.registry.later(SignedDuration::from_mins(2));
        let held = self.held();
        let kept = || self.through.put_off_import(&held, again_at, None);
        if self.registry.noted(&held, kept).await? {
            *self.leased_until.lock().unwrap_or_else(PoisonError::into_inner) = again_at;
            return Ok(());
        }
        // What was queued anew is for whoever comes when it is due, and stays in his way no longer than this takes.
        let Import {
            repository, manifest, ..
        } = self.import;
        match self.through.waiting_import(repository, &manifest.digest).await? {
            Some(_) => Ok(()),
            None => Err(ImportError::Gone),
        }
    }

    /// The manifest as it is leased now.
    fn held(&self) -> Import {
        Import {
            leased_until: *self.leased_until.lock().unwrap_or_else(PoisonError::into_inner),
            ..self.import.clone()
        }
    }

    /// Stores an image, with those of its tags that may be moved.
    async fn put(&self, manifest: &ImageRecord, parsed: Manifest, mut tags: Vec<Tag>) -> Result<(), ImportError> {
        loop {
            let image = NewImage {
                manifest: parsed.clone(),
                digest: manifest.digest,
                tags: tags.clone(),
                pushed_at: self.registry.now(),
                pushed_by: UPSTREAM_IMPORTER.into(),
            };
            match self.recorded(&self.import.repository, image).await {
                Ok(()) => return Ok(()),
                // A repository that is gone needs no images.
                Err(PutImageError::Catalog(CatalogError::RepositoryUnknown(_))) => return Err(ImportError::Gone),
                // Somebody made it immutable since it was looked at: it stays where it is.
                Err(PutImageError::TagImmutable { tag, .. }) => tags.retain(|other| *other != tag),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn recorded(&self, path: &RepositoryPath, image: NewImage) -> Result<(), PutImageError> {
        let registry = self.registry;
        let facts = Facts {
            operation: "cache.import",
            event: Some("PullThroughCacheImport"),
            default_event: "PullThroughCacheImport",
            is_change: true,
            account: Some(path.account.clone()),
            repository: Some(path.name.as_str().into()),
            digest: Some(image.digest),
            service_details: Some(Arc::from("{}")),
            ..Facts::default()
        };
        let put = registry.catalog().put_image(path, image);
        let put = match registry.audit_log() {
            Some(log) => {
                let now = registry.now();
                Trail::new(now, log.next_request(now), facts).follow(put).await
            }
            None => put.await,
        };
        put.map(drop)
    }
}
