// SPDX-License-Identifier: Apache-2.0
//! Manifests that come from upstream, or may have changed there.

use std::sync::Arc;
use std::time::Duration;

use hythe_access::{Granted, kinds};
use hythe_catalog::ImageRecord;
use hythe_model::{Digest, Manifest, MediaType, Reference, RepositoryPath, Tag, in_millis};
use hythe_upstream::{PullPathError, RemoteHead, RemoteManifest, UpstreamError};
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::trouble::{About, used_up};
use super::{
    CacheError, Note, PullThrough, REVALIDATION_TIMEOUT, Upstream, UpstreamTag, label, path_label, refuse_to_pass_on,
};
use crate::Registry;
use crate::account::Named;
use crate::auth::Visitor;

/// How long after a pull the import begins: the client pulls its layers first, and those need not be fetched then.
const IMPORT_DELAY: SignedDuration = SignedDuration::from_secs(5);

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'r> {
    pub(crate) named: &'r Named,
    pub(crate) reference: &'r Reference,
    /// Whether the client wants no manifest, only what is to be said of it.
    pub(crate) is_head: bool,
    /// Whether the client wants the upstream to be asked (`Cache-Control: no-cache`).
    pub(crate) is_fresh_wanted: bool,
}

/// What there is.
#[derive(Debug)]
pub(crate) enum Found {
    /// An image of the repository, or a manifest that will be one.
    Image(ImageRecord, Note),
    /// What the upstream says of a manifest that nobody has fetched.
    Head(Digest, MediaType, u64),
}

/// What a repository that has a rule gives out for `request`; `local` is the image that it has by that reference. `None`
/// if the repository has no rule, or neither it nor its upstream has anything.
pub(crate) async fn find(
    visitor: &Visitor,
    granted: &Granted<kinds::BatchGetImage>,
    request: Request<'_>,
    local: Option<ImageRecord>,
) -> Result<Option<Found>, CacheError> {
    let Some((through, upstream)) = visitor.registry.upstream(granted.resource()).await? else {
        return Ok(None);
    };
    let question = Question {
        visitor,
        registry: &visitor.registry,
        repository: granted.resource(),
        request,
        through,
        upstream,
    };
    let found = match request.reference {
        Reference::Digest(digest) => question.by_digest(digest).await,
        Reference::Tag(tag) => question.by_tag(tag, local).await,
    };
    let metrics = visitor.registry.metrics();
    match &found {
        Ok(Some(Found::Image(_, note))) => metrics.cached(*note),
        Ok(Some(Found::Head(..)) | None) => metrics.cached(Note::Miss),
        Err(_) => {
            metrics.cache_failures.inc();
        }
    }
    found
}

struct Question<'q> {
    visitor: &'q Visitor,
    registry: &'q Registry,
    repository: &'q RepositoryPath,
    request: Request<'q>,
    through: Arc<dyn PullThrough>,
    upstream: Arc<Upstream>,
}

/// What is here of a tag.
struct Known {
    image: Option<ImageRecord>,
    /// How long ago the upstream said so; `None` if it never did, or shall be asked anew.
    age: Option<Duration>,
}

impl Question<'_> {
    async fn by_digest(&self, digest: &Digest) -> Result<Option<Found>, CacheError> {
        if let Some(image) = self.through.manifest(self.repository, digest).await? {
            return Ok(Some(Found::Image(image, Note::Hit(Duration::ZERO))));
        }
        if !self.may_import().await {
            return Ok(None);
        }
        self.asked_as()?;
        if let Some(error) = self.trouble() {
            return none_or(error);
        }
        let flights = &self.registry.cache().flights;
        let entered = flights.enter(self.about(), &self.visitor.pull_path).await;
        let _flight = entered.map_err(CacheError::Upstream)?;
        // Whoever was first may have brought it.
        if let Some(image) = self.here(digest).await? {
            return Ok(Some(Found::Image(image, Note::Hit(Duration::ZERO))));
        }
        // Or have asked in vain.
        if let Some(error) = self.trouble_by_now() {
            return none_or(error);
        }
        match self.fetch(None).await {
            Ok(found) => Ok(Some(found)),
            Err(CacheError::Upstream(error)) => none_or(error),
            Err(error) => Err(error),
        }
    }

    async fn by_tag(&self, tag: &Tag, local: Option<ImageRecord>) -> Result<Option<Found>, CacheError> {
        // In whole milliseconds, as answers are.
        let asked_at = in_millis(self.registry.now());
        let state = self.through.tag(self.repository, tag).await?;
        // A tag that never came from there is the repository's own, and nobody upstream can take its place.
        if state.is_none() && local.is_some() {
            return Ok(None);
        }
        let known = self.known_from(state, local.clone()).await?;
        if let Some(found) = self.fresh(&known) {
            return Ok(Some(found));
        }
        if !self.may_import().await {
            return Ok(known.stale("the caller may not ask it"));
        }
        if let Err(error) = self.asked_as() {
            return match known.stale(path_label(error)) {
                Some(found) => Ok(Some(found)),
                None => Err(error.into()),
            };
        }
        if let Some(error) = self.trouble() {
            return known.stale_or(error);
        }
        let flights = &self.registry.cache().flights;
        let _flight = match flights.enter(self.about(), &self.visitor.pull_path).await {
            Ok(flight) => flight,
            Err(error) => return known.stale_or(error),
        };
        // Whoever was first may have asked for us, too.
        let state = self.through.tag(self.repository, tag).await?;
        // What a clock wrote that was ahead is no answer to this question.
        let since = asked_at..=self.registry.now();
        let is_answered = state.as_ref().is_some_and(|state| since.contains(&state.validated_at));
        let known = self.known_from(state, local.clone()).await?;
        if is_answered && let Some(image) = known.image {
            return Ok(Some(Found::Image(image, Note::Revalidated)));
        }
        if let Some(error) = self.trouble_by_now() {
            return known.stale_or(error);
        }
        let asked = self.ask(tag, &known, local.as_ref());
        let answer = if known.image.is_some() {
            let answer = timeout(REVALIDATION_TIMEOUT, asked).await;
            answer.unwrap_or_else(|_| {
                let error = UpstreamError::Timeout("no answer about a tag in time");
                self.note(&error);
                Err(CacheError::Upstream(error))
            })
        } else {
            asked.await
        };
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(CacheError::Upstream(error)) => known.stale_or(error),
            Err(error) => Err(error),
        }
    }

    /// Asks the upstream what a tag points to, and for the manifest if that is not here.
    async fn ask(&self, tag: &Tag, known: &Known, local: Option<&ImageRecord>) -> Result<Found, CacheError> {
        if known.image.is_some() || self.request.is_head {
            let upstream = self.asked_as()?;
            let head = self.asked(
                upstream
                    .remote
                    .head_manifest(&upstream.repository, self.request.reference),
            );
            let head = head.await?;
            if let (Some(digest), Some(image)) = (head.digest, &known.image)
                && digest == image.digest
            {
                self.keep(Some((tag, digest)), None).await?;
                return Ok(Found::Image(image.clone(), Note::Revalidated));
            }
            if let Some(found) = self.answer_to_head(tag, head, local).await? {
                return Ok(found);
            }
            // That one may be for free, and what comes next is not.
            if let Some(error) = used_up(&upstream) {
                return Err(CacheError::Upstream(error));
            }
        }
        self.fetch(Some((tag, local))).await
    }

    /// What can be said to a HEAD without fetching a manifest.
    async fn answer_to_head(
        &self,
        tag: &Tag,
        head: RemoteHead,
        local: Option<&ImageRecord>,
    ) -> Result<Option<Found>, CacheError> {
        let RemoteHead {
            digest: Some(digest),
            media_type: Some(media_type),
            size: Some(size),
        } = head
        else {
            return Ok(None);
        };
        if !self.request.is_head || self.kept_in_place(tag, digest, local).await?.is_some() {
            return Ok(None);
        }
        self.ensure_repository().await?;
        // If the image is here already, its tag follows.
        let image = self.here(&digest).await?;
        self.keep(Some((tag, digest)), image).await?;
        Ok(Some(Found::Head(digest, media_type, size)))
    }

    /// Fetches the manifest, and keeps it.
    async fn fetch(&self, tag: Option<(&Tag, Option<&ImageRecord>)>) -> Result<Found, CacheError> {
        let upstream = self.asked_as()?;
        let (remote, name) = (&upstream.remote, &upstream.repository);
        if tag.is_none() && self.request.is_head {
            let head = self.asked(remote.head_manifest(name, self.request.reference)).await?;
            if let (Reference::Digest(digest), Some(media_type), Some(size)) =
                (self.request.reference, head.media_type, head.size)
            {
                return Ok(Found::Head(*digest, media_type, size));
            }
        }
        let fetched = self.asked(remote.manifest(name, self.request.reference)).await?;
        let RemoteManifest {
            digest,
            media_type,
            bytes,
        } = fetched;
        if let Err(error) = Manifest::parse(bytes.clone(), Some(media_type.as_str())) {
            let error = UpstreamError::Invalid(format!("a manifest that is none: {error}"));
            self.note(&error);
            return Err(CacheError::Upstream(error));
        }
        if let Some((tag, local)) = tag
            && let Some(image) = self.kept_in_place(tag, digest, local).await?
        {
            return Ok(Found::Image(image, Note::Revalidated));
        }
        let image = ImageRecord {
            digest,
            media_type,
            bytes,
        };
        self.ensure_repository().await?;
        // A HEAD brings no layers.
        let import = (!self.request.is_head).then(|| image.clone());
        self.keep(tag.map(|(tag, _)| (tag, digest)), import).await?;
        Ok(Found::Image(image, Note::Miss))
    }

    /// The image that an immutable tag stays at, though it has moved upstream.
    async fn kept_in_place(
        &self,
        tag: &Tag,
        digest: Digest,
        local: Option<&ImageRecord>,
    ) -> Result<Option<ImageRecord>, CacheError> {
        let Some(image) = local.filter(|image| image.digest != digest) else {
            return Ok(None);
        };
        if self.through.may_move(self.repository, tag).await? {
            return Ok(None);
        }
        self.keep(Some((tag, image.digest)), None).await?;
        Ok(Some(image.clone()))
    }

    async fn known_from(&self, state: Option<UpstreamTag>, local: Option<ImageRecord>) -> Result<Known, CacheError> {
        let Some(state) = state else {
            return Ok(Known {
                image: local,
                age: None,
            });
        };
        let is_asked = state.validated_at > Timestamp::UNIX_EPOCH;
        let age = self.registry.now().duration_since(state.validated_at);
        // A clock that went back makes it as old as can be.
        let age = Duration::try_from(age).ok().filter(|_| is_asked);
        let image = match (state.manifest, local) {
            (Some(manifest), _) => Some(manifest),
            (None, Some(local)) if local.digest == state.digest => Some(local),
            // What it said has not come, or the tag was moved here since: it has to be asked again.
            (None, Some(local)) => {
                return Ok(Known {
                    image: Some(local),
                    age: None,
                });
            }
            (None, None) => match self.here(&state.digest).await? {
                Some(image) => Some(image),
                None => return Ok(Known { image: None, age: None }),
            },
        };
        Ok(Known { image, age })
    }

    /// What needs no question.
    fn fresh(&self, known: &Known) -> Option<Found> {
        let (image, age) = (known.image.as_ref()?, known.age?);
        let is_fresh = age < self.upstream.freshness && !self.request.is_fresh_wanted;
        is_fresh.then(|| Found::Image(image.clone(), Note::Hit(age)))
    }

    async fn here(&self, digest: &Digest) -> Result<Option<ImageRecord>, CacheError> {
        if let Some(image) = self.through.manifest(self.repository, digest).await? {
            return Ok(Some(image));
        }
        let reference = Reference::Digest(*digest);
        Ok(self.registry.catalog().image(self.repository, &reference).await?)
    }

    /// The upstream as it is asked, unless the question would go round.
    fn asked_as(&self) -> Result<Arc<Upstream>, PullPathError> {
        let asked = self.upstream.asked_along(&self.visitor.pull_path);
        asked.map_err(|error| refuse_to_pass_on(self.registry, self.repository, error))
    }

    async fn may_import(&self) -> bool {
        self.visitor.asks_upstream
            && self
                .visitor
                .may::<kinds::BatchImportUpstreamImage>(self.request.named)
                .await
                .is_some()
    }

    async fn ensure_repository(&self) -> Result<(), CacheError> {
        if self.registry.catalog().repository_exists(self.repository).await? {
            return Ok(());
        }
        let (caller, repository) = (&self.visitor.caller, self.repository);
        if self.through.create_repository(caller, repository).await? {
            Ok(())
        } else {
            Err(CacheError::RepositoryUnknown(repository.clone()))
        }
    }

    async fn keep(&self, tag: Option<(&Tag, Digest)>, manifest: Option<ImageRecord>) -> Result<(), CacheError> {
        let due = self.registry.now().checked_add(IMPORT_DELAY).unwrap_or(Timestamp::MAX);
        let tag = tag.map(|(tag, digest)| (tag.clone(), digest));
        // A repository that was deleted meanwhile keeps nothing, and the client gets what it asked for.
        self.through.keep(self.repository, tag, manifest, due).await?;
        Ok(())
    }

    /// Awaits an answer, and remembers if it is a failure.
    async fn asked<T>(&self, answer: impl Future<Output = Result<T, UpstreamError>>) -> Result<T, CacheError> {
        self.registry.metrics().cache_questions.inc();
        answer.await.map_err(|error| {
            self.note(&error);
            CacheError::Upstream(error)
        })
    }

    fn about(&self) -> About {
        About::Manifest(self.repository.clone(), self.request.reference.clone())
    }

    fn note(&self, error: &UpstreamError) {
        if *error != UpstreamError::NotFound {
            tracing::warn!(repository.name = %self.repository.name, manifest.reference = %self.request.reference,
                upstream = %self.upstream.remote.registry(), error = %error, "an upstream did not answer as it should");
        }
        // What is absent for another registry that asks by way of this one may be there for those who ask here.
        if *error == UpstreamError::NotFound && !self.visitor.pull_path.is_empty() {
            return;
        }
        self.registry.cache().troubles.note(&self.upstream, self.about(), error);
    }

    /// What is known to go wrong. Who wants an answer that is fresh may have what was absent asked for again.
    fn trouble(&self) -> Option<UpstreamError> {
        if self.request.is_fresh_wanted {
            self.registry.cache().troubles.forget(&self.about());
        }
        self.trouble_by_now()
    }

    /// The same when others may have asked since the question came: what they were told is fresh.
    fn trouble_by_now(&self) -> Option<UpstreamError> {
        self.registry.cache().troubles.of(&self.upstream, &self.about())
    }
}

impl Known {
    fn stale(self, why: &'static str) -> Option<Found> {
        let age = self.age.unwrap_or_default();
        self.image.map(|image| Found::Image(image, Note::Stale(age, why)))
    }

    fn stale_or(self, error: UpstreamError) -> Result<Option<Found>, CacheError> {
        match self.stale(label(&error)) {
            Some(found) => Ok(Some(found)),
            None => none_or(error),
        }
    }
}

/// That the upstream does not have it is no failure.
fn none_or(error: UpstreamError) -> Result<Option<Found>, CacheError> {
    match error {
        UpstreamError::NotFound => Ok(None),
        error => Err(CacheError::Upstream(error)),
    }
}
