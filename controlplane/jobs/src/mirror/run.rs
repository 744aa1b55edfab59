// SPDX-License-Identifier: Apache-2.0
//! One run of a mirror, from where it was left.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use futures::future::join_all;
use hythe_catalog::{CatalogError, ImageCatalog as _, ImageRecord};
use hythe_meta::{
    Deletion, DeletionReason, ImageIdentifier, ImageNotDeleted, MirrorNote, MirrorNoteKind, MirrorProgress,
    MirrorRunRecord, MirrorRunStatus, MirroredManifest, StoreError,
};
use hythe_model::{
    Descriptor, Digest, Manifest, NamePattern, Reference, RepositoryName, RepositoryPath, Tag, UPSTREAM_IMPORTER,
    fail_point,
};
use hythe_rules::mirror::{MirrorStep, SkipReason, TagHere, selected, step};
use hythe_upstream::{RateLimit, Remote, RemoteHead, RemoteManifest, UpstreamError};
use jiff::{SignedDuration, Timestamp};

use super::{MAX_RUN, MirrorRefusal, MirrorSource, Parts, add};

/// The most repositories of one run.
const MAX_REPOSITORIES: usize = 10_000;
/// How many tags are asked about at the same time.
const QUESTIONS_AT_ONCE: usize = 8;
/// The most images of a run that wait to be fetched; pulls wait behind no more than these.
const MAX_AHEAD: u64 = 32;
/// The most signatures and other referrers of one image, with what refers to those, that are looked at.
const MAX_REFERRERS: usize = 100;
/// How often it is looked whether images have been fetched.
const WAIT: Duration = Duration::from_millis(500);
/// After how many failures an image is no longer waited for; it is still tried, less and less often.
const MAX_IMPORT_ATTEMPTS: u64 = 3;
/// How often the other registry may fail, or not be there, without any progress between.
const MAX_ATTEMPTS: u64 = 3;
/// The pause after the first of these failures; each further one is twice as long. Longer than pulls leave it alone.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(6);
/// For how long a registry that wants fewer requests is left alone if it does not say for how long.
const LIMITED_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// The part of an upstream's limit of requests that is left for pulls: one in so many.
const SHARE_FOR_PULLS: u64 = 10;
/// When it is looked again whether more than that is left.
const SHARE_PAUSE: SignedDuration = SignedDuration::from_mins(15);
/// How many tags of a repository are read at once.
const TAG_PAGE: usize = 1000;
/// Behind every tag, by bytes: the repository is done.
const DONE: &str = "~";
/// Before a tag that was looked at for whether it is gone at the other registry: behind every tag, and before [`DONE`].
const VANISHED: &str = "}";
/// For how long a run is worked on before others have their turn.
const TURN: Duration = Duration::from_mins(10);
/// When a run that waits for its images is looked at again, after its turn.
const NEXT_LOOK: SignedDuration = SignedDuration::from_secs(10);
/// The longest reason that is noted, in characters.
const MAX_REASON: usize = 500;
/// What the audit log calls a tag that is removed since it is gone at the other registry.
const REMOVAL_EVENT: &str = "PullThroughCacheMirrorRemoval";

/// Why a run does not go on here and now.
#[derive(Debug)]
pub(super) enum Interrupt {
    /// It has ended, or is another node's.
    Lost,
    /// It goes on later.
    Later {
        pause: SignedDuration,
        /// The failures since it last came further.
        attempts: u64,
        why: String,
    },
    /// It cannot go on.
    Failed(String),
    Store(StoreError),
}

impl From<StoreError> for Interrupt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The repository that is looked at.
struct Place<'s> {
    source: &'s MirrorSource,
    /// The other registry, told that it is asked for this repository.
    remote: Remote,
    /// As the other registry calls it.
    there: &'s str,
    here: RepositoryPath,
    is_here: bool,
    mutability: hythe_model::TagMutability,
    /// The images for whose referrers the other registry was asked.
    subjects: BTreeSet<Digest>,
}

/// What the other registry said refers to images, which nobody has looked at yet.
type Referrers = HashMap<Digest, Result<Vec<Descriptor>, UpstreamError>>;

impl Place<'_> {
    fn may_move(&self, tag: &Tag) -> bool {
        self.mutability.may_move(tag)
    }

    fn name(&self) -> String {
        self.here.name.to_string()
    }
}

pub(super) struct Run<'p> {
    parts: &'p Parts,
    /// Whose claim it is.
    owner: &'p str,
    /// Since when this process works on it.
    taken: Instant,
    record: MirrorRunRecord,
    progress: MirrorProgress,
    notes: Vec<MirrorNote>,
    attempts: u64,
    /// Whether something is not written down yet.
    is_ahead: bool,
    /// Whether this process has asked for a manifest.
    has_fetched: bool,
    /// Images that were queued since it was last looked how many wait.
    queued: u64,
}

impl<'p> Run<'p> {
    pub(super) fn new(parts: &'p Parts, owner: &'p str, record: MirrorRunRecord) -> Self {
        Self {
            parts,
            owner,
            taken: Instant::now(),
            progress: record.progress.clone(),
            attempts: record.attempts,
            record,
            notes: Vec::new(),
            is_ahead: false,
            has_fetched: false,
            queued: 0,
        }
    }

    /// Goes on until all is seen and fetched, or something is in the way. What was done is written down in either case.
    pub(super) async fn go(mut self) -> Result<MirrorRunStatus, Interrupt> {
        let gone = self.walk().await;
        if let Err(Interrupt::Later { .. } | Interrupt::Failed(_)) = &gone {
            self.write().await?;
        }
        gone?;
        Ok(if self.progress.counts.failed > 0 {
            MirrorRunStatus::Incomplete
        } else {
            MirrorRunStatus::Complete
        })
    }

    async fn walk(&mut self) -> Result<(), Interrupt> {
        let host = &self.parts.host;
        let Some(source) = host.source(&self.record.account, &self.record.prefix).await? else {
            return Err(Interrupt::Lost);
        };
        for there in self.repositories(&source).await? {
            if there < self.progress.repository {
                continue;
            }
            if there > self.progress.repository {
                self.progress.repository.clone_from(&there);
                self.progress.tag.clear();
            }
            if self.progress.tag == DONE {
                continue;
            }
            if self.repository(&source, &there).await? {
                self.progress.counts.repositories += 1;
            }
            DONE.clone_into(&mut self.progress.tag);
            self.is_ahead = true;
            self.advance().await?;
            fail_point("mirror.repository.seen");
        }
        self.await_imports(0).await
    }

    /// The repositories that are meant, as the other registry calls them.
    async fn repositories(&mut self, source: &MirrorSource) -> Result<BTreeSet<String>, Interrupt> {
        let settings = &source.settings;
        let mut names: BTreeSet<String> = settings.named().map(str::to_owned).collect();
        let is_pattern = |pattern: &NamePattern| pattern.as_str().contains('*');
        if !settings.repositories.iter().any(is_pattern) {
            return Ok(names);
        }
        self.check_trouble(source)?;
        let listed = source
            .remote
            .repositories(|name| settings.means_repository(name), MAX_REPOSITORIES)
            .await;
        match listed {
            Ok(listed) => names.extend(listed),
            Err(error) => {
                let code = code(&error);
                let reason = self.judge(source, &error)?;
                let reason = format!("the repositories that match patterns cannot be listed: {reason}");
                self.fail(String::new(), None, code, &reason);
            }
        }
        Ok(names)
    }

    /// Looks at the rest of a repository; says whether its tags could be listed.
    async fn repository(&mut self, source: &MirrorSource, there: &str) -> Result<bool, Interrupt> {
        let (host, record) = (&self.parts.host, &self.record);
        let named = host.name_here(&record.account, &record.prefix, there).await?;
        let Some(name) = named else {
            let reason = "the repository has no name here, or another rule is for that name";
            self.skip(there.to_owned(), None, "NOT_OF_THIS_RULE", reason);
            return Ok(false);
        };
        let mut place = self.place(source, there, name).await?;
        self.check_trouble(source)?;
        let listed = match place.remote.tags(there).await {
            Ok(listed) => listed,
            Err(error) => {
                let code = code(&error);
                let reason = self.judge(source, &error)?;
                self.fail(place.name(), None, code, &reason);
                return Ok(false);
            }
        };
        let chosen = selected(&source.settings, &listed);
        let is_left = |tag: &&&Tag| tag.as_str() > self.progress.tag.as_str();
        let left: Vec<Tag> = chosen.iter().filter(is_left).map(|tag| (*tag).clone()).collect();
        for tags in left.chunks(QUESTIONS_AT_ONCE) {
            if self.tags(&mut place, tags).await?.is_break() {
                return Ok(true);
            }
            self.advance().await?;
            fail_point("mirror.tags.seen");
        }
        if source.settings.remove_vanished && place.is_here {
            self.remove_vanished(&place, &listed).await?;
        }
        Ok(true)
    }

    async fn place<'s>(
        &self,
        source: &'s MirrorSource,
        there: &'s str,
        name: RepositoryName,
    ) -> Result<Place<'s>, Interrupt> {
        let here = RepositoryPath {
            account: self.record.account.clone(),
            name,
        };
        let found = self.parts.store.repository(&here).await?;
        Ok(Place {
            source,
            remote: self.parts.host.on_behalf_of(&here, &source.remote),
            there,
            here,
            is_here: found.is_some(),
            mutability: found.map(|found| found.tag_mutability).unwrap_or_default(),
            subjects: BTreeSet::new(),
        })
    }

    /// Looks at some tags. A break says that the rest of the repository is not worth it.
    async fn tags(&mut self, place: &mut Place<'_>, tags: &[Tag]) -> Result<ControlFlow<()>, Interrupt> {
        self.check_trouble(place.source)?;
        let seen_at = self.now();
        let references: Vec<Reference> = tags.iter().map(|tag| Reference::Tag(tag.clone())).collect();
        let remote = &place.remote;
        let heads = references.iter().map(|it| remote.head_manifest(place.there, it));
        let heads = join_all(heads).await;
        let subjects: BTreeSet<Digest> = heads.iter().flatten().filter_map(|head| head.digest).collect();
        let subjects: Vec<Digest> = subjects.difference(&place.subjects).copied().collect();
        let listed = join_all(subjects.iter().map(|it| remote.referrers(place.there, it))).await;
        let mut referrers: Referrers = subjects.into_iter().zip(listed).collect();
        let mut same = Vec::new();
        let mut flow = Ok(ControlFlow::Continue(()));
        for (tag, head) in tags.iter().zip(heads) {
            flow = self.tag(place, tag, head, &mut same, &mut referrers).await;
            if flow.is_ok() {
                self.progress.counts.tags += 1;
                tag.as_str().clone_into(&mut self.progress.tag);
                self.is_ahead = true;
            }
            if !matches!(flow, Ok(ControlFlow::Continue(()))) {
                break;
            }
        }
        if !same.is_empty() {
            let store = &self.parts.store;
            store.note_upstream_tags(&place.here, same, seen_at).await?;
        }
        flow
    }

    async fn tag(
        &mut self,
        place: &mut Place<'_>,
        tag: &Tag,
        head: Result<RemoteHead, UpstreamError>,
        same: &mut Vec<(Tag, Digest)>,
        referrers: &mut Referrers,
    ) -> Result<ControlFlow<()>, Interrupt> {
        let (digest, fetched) = match self.ask(place, tag, head).await {
            Ok((digest, fetched)) => (digest, fetched),
            Err(UpstreamError::NotFound) => {
                let reason = "the tag has gone since the other registry listed it";
                self.skip(place.name(), Some(tag.to_string()), "TAG_GONE", reason);
                return Ok(ControlFlow::Continue(()));
            }
            Err(error) => {
                self.fail_about(place, tag, &error)?;
                return Ok(ControlFlow::Continue(()));
            }
        };
        // Whatever somebody does to the tag from now on counts for more than what the other registry has said.
        let seen_at = self.now();
        let here = self.here(place, tag).await?;
        let what = step(here, &digest, place.may_move(tag));
        match what {
            MirrorStep::Keep => {
                if let TagHere::Present { is_imported: true, .. } = here {
                    same.push((tag.clone(), digest));
                    self.referrers(place, tag, digest, referrers).await?;
                }
                self.progress.counts.unchanged += 1;
                add(&self.parts.metrics.tags_unchanged, 1);
                Ok(ControlFlow::Continue(()))
            }
            MirrorStep::Skip(reason) => {
                self.skip(place.name(), Some(tag.to_string()), reason.code(), reason.reason());
                Ok(ControlFlow::Continue(()))
            }
            MirrorStep::Create | MirrorStep::Move => {
                if !self.ensure_repository(place).await? {
                    return Ok(ControlFlow::Break(()));
                }
                if self.bring(place, Some(tag), digest, fetched, seen_at).await? {
                    self.referrers(place, tag, digest, referrers).await?;
                    let (counts, metrics) = (&mut self.progress.counts, &self.parts.metrics);
                    if what == MirrorStep::Create {
                        counts.created += 1;
                        add(&metrics.tags_created, 1);
                    } else {
                        counts.moved += 1;
                        add(&metrics.tags_moved, 1);
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    /// Where a tag points at the other registry. One that does not say it is asked for the manifest.
    async fn ask(
        &self,
        place: &Place<'_>,
        tag: &Tag,
        head: Result<RemoteHead, UpstreamError>,
    ) -> Result<(Digest, Option<RemoteManifest>), UpstreamError> {
        if let Some(digest) = head?.digest {
            return Ok((digest, None));
        }
        let reference = Reference::Tag(tag.clone());
        let fetched = place.remote.manifest(place.there, &reference).await?;
        Ok((fetched.digest, Some(fetched)))
    }

    /// What is known here of a tag.
    async fn here(&self, place: &Place<'_>, tag: &Tag) -> Result<TagHere, Interrupt> {
        let history = self.parts.store.tag_history(&place.here, tag, None, 1).await?;
        let Some(last) = history.into_iter().next() else {
            return Ok(TagHere::Never);
        };
        let is_ours = last.moved_by == UPSTREAM_IMPORTER;
        Ok(match (last.to, last.from) {
            (Some(digest), _) => TagHere::Present {
                digest,
                is_imported: is_ours,
            },
            (None, Some(digest)) => TagHere::Deleted {
                digest,
                is_by_mirror: is_ours,
            },
            (None, None) => TagHere::Never,
        })
    }

    /// Creates the repository if need be; says whether it is there.
    async fn ensure_repository(&mut self, place: &mut Place<'_>) -> Result<bool, Interrupt> {
        if place.is_here {
            return Ok(true);
        }
        match self.parts.host.create_repository(&place.here).await {
            Ok(()) => {
                // The template may say how its tags move.
                let found = self.parts.store.repository(&place.here).await?;
                place.is_here = found.is_some();
                place.mutability = found.map(|found| found.tag_mutability).unwrap_or_default();
                Ok(place.is_here)
            }
            Err(MirrorRefusal::Refused(reason)) => {
                self.fail(place.name(), None, "REPOSITORY_NOT_CREATED", &reason);
                Ok(false)
            }
            Err(MirrorRefusal::Store(error)) => Err(error.into()),
        }
    }

    /// Queues what refers to an image and is not here: signatures, SBOMs, attestations; and what refers to those.
    async fn referrers(
        &mut self,
        place: &mut Place<'_>,
        tag: &Tag,
        image: Digest,
        listed: &mut Referrers,
    ) -> Result<(), Interrupt> {
        if !place.subjects.insert(image) {
            return Ok(());
        }
        let (mut subjects, mut left) = (VecDeque::from([image]), MAX_REFERRERS);
        while let Some(subject) = subjects.pop_front() {
            let found = match listed.remove(&subject) {
                Some(found) => found,
                None => place.remote.referrers(place.there, &subject).await,
            };
            let found = match found {
                Ok(found) => found,
                // It knows none, or has no such list.
                Err(UpstreamError::NotFound) => continue,
                Err(UpstreamError::Server { status }) if status < 500 => continue,
                Err(error) => return self.fail_about(place, tag, &error),
            };
            for referrer in found {
                if left == 0 {
                    let reason = format!("it has more than {MAX_REFERRERS} signatures and other referrers");
                    self.skip(place.name(), Some(tag.to_string()), "TOO_MANY_REFERRERS", &reason);
                    return Ok(());
                }
                left -= 1;
                if self.bring_referrer(place, &subject, referrer.digest).await? {
                    subjects.push_back(referrer.digest);
                }
            }
        }
        Ok(())
    }

    /// Queues a referrer, unless it is here or was deleted here; says whether it is queued.
    async fn bring_referrer(&mut self, place: &Place<'_>, subject: &Digest, digest: Digest) -> Result<bool, Interrupt> {
        let is_known = self.known(place, &digest).await?.is_some();
        if is_known || self.parts.store.deleted_image(&place.here, &digest).await?.is_some() {
            return Ok(false);
        }
        let fetched = match place.remote.manifest(place.there, &Reference::Digest(digest)).await {
            Ok(fetched) => fetched,
            // The list is older than what it lists.
            Err(UpstreamError::NotFound) => return Ok(false),
            Err(error) => {
                self.fail_about(place, &digest, &error)?;
                return Ok(false);
            }
        };
        let parsed = Manifest::parse(fetched.bytes.clone(), Some(fetched.media_type.as_str()));
        let is_of_it = parsed.is_ok_and(|manifest| manifest.subject().is_some_and(|of| of.digest == *subject));
        if !is_of_it {
            let error = UpstreamError::Invalid(format!(
                "a list of referrers of {subject} with what does not refer to it"
            ));
            self.fail_about(place, &digest, &error)?;
            return Ok(false);
        }
        let is_queued = self.bring(place, None, digest, Some(fetched), self.now()).await?;
        if is_queued {
            self.progress.counts.referrers += 1;
            add(&self.parts.metrics.referrers, 1);
        }
        Ok(is_queued)
    }

    /// Queues an image, at a tag or as one that refers to another, to be fetched; says whether it is queued.
    async fn bring(
        &mut self,
        place: &Place<'_>,
        tag: Option<&Tag>,
        digest: Digest,
        fetched: Option<RemoteManifest>,
        seen_at: Timestamp,
    ) -> Result<bool, Interrupt> {
        let reference = tag.map_or_else(|| digest.to_string(), ToString::to_string);
        let known = self.known(place, &digest).await?;
        if known.is_none() && fetched.is_none() {
            self.leave_share(place)?;
        }
        let manifest = match known {
            Some(manifest) => manifest,
            None => match self.fetch(place, digest, fetched).await {
                Ok(manifest) => manifest,
                Err(error) => {
                    self.fail_about(place, &reference, &error)?;
                    return Ok(false);
                }
            },
        };
        if let Err(error) = Manifest::parse(manifest.bytes.clone(), Some(manifest.media_type.as_str())) {
            let error = UpstreamError::Invalid(format!("a manifest that is none: {error}"));
            self.fail_about(place, &reference, &error)?;
            return Ok(false);
        }
        let mirrored = MirroredManifest {
            tag: tag.cloned(),
            manifest,
        };
        let queued = self
            .parts
            .store
            .queue_mirrored(&place.here, &self.record.id, mirrored, seen_at)
            .await?;
        if !queued {
            let reason = "the repository was deleted here meanwhile";
            self.skip(place.name(), Some(reference), "REPOSITORY_GONE", reason);
            return Ok(false);
        }
        fail_point("mirror.image.queued");
        self.queued += 1;
        if self.queued >= MAX_AHEAD {
            self.await_imports(MAX_AHEAD / 2).await?;
        }
        Ok(true)
    }

    /// Waits for later if the other registry has said that few of the requests that it counts are left: those are for pulls.
    fn leave_share(&mut self, place: &Place<'_>) -> Result<(), Interrupt> {
        // What was said before this turn may be old: the first request brings something newer.
        let is_first = !std::mem::replace(&mut self.has_fetched, true);
        let Some(RateLimit {
            limit: Some(limit),
            remaining: Some(remaining),
            ..
        }) = place.remote.rate_limit()
        else {
            return Ok(());
        };
        if is_first || remaining.saturating_mul(SHARE_FOR_PULLS) > limit {
            return Ok(());
        }
        Err(Interrupt::Later {
            pause: SHARE_PAUSE,
            attempts: self.attempts,
            why: format!("{remaining} of {limit} requests are left, which are for pulls"),
        })
    }

    /// An image, or a manifest that waits to become one, that the repository has.
    async fn known(&self, place: &Place<'_>, digest: &Digest) -> Result<Option<ImageRecord>, Interrupt> {
        let (store, reference) = (&self.parts.store, Reference::Digest(*digest));
        if let Some(manifest) = store.upstream_manifest(&place.here, digest).await? {
            return Ok(Some(manifest));
        }
        match store.image(&place.here, &reference).await {
            Ok(image) => Ok(image),
            Err(CatalogError::RepositoryUnknown(_)) => Ok(None),
            Err(error) => Err(Interrupt::Store(unavailable(error))),
        }
    }

    async fn fetch(
        &self,
        place: &Place<'_>,
        digest: Digest,
        fetched: Option<RemoteManifest>,
    ) -> Result<ImageRecord, UpstreamError> {
        let fetched = if let Some(fetched) = fetched {
            fetched
        } else {
            let reference = Reference::Digest(digest);
            place.remote.manifest(place.there, &reference).await?
        };
        Ok(ImageRecord {
            digest: fetched.digest,
            media_type: fetched.media_type,
            bytes: fetched.bytes,
        })
    }

    /// Removes tags that came from the other registry and are gone there. A list may be old, so that each is asked about.
    async fn remove_vanished(&mut self, place: &Place<'_>, listed: &BTreeSet<Tag>) -> Result<(), Interrupt> {
        if listed.is_empty() {
            let reason = "the other registry lists no tags, so that none is taken for gone";
            self.skip(place.name(), None, "EMPTY_LIST", reason);
            return Ok(());
        }
        let mut after: Option<Tag> = self
            .progress
            .tag
            .strip_prefix(VANISHED)
            .and_then(|tag| tag.parse().ok());
        loop {
            let page = self
                .parts
                .store
                .tag_details(&place.here, after.as_ref(), TAG_PAGE)
                .await?;
            let page = page.unwrap_or_default();
            let is_last = page.len() < TAG_PAGE;
            after = page.last().map(|last| last.tag.clone());
            for detail in page {
                if !listed.contains(&detail.tag) && place.source.settings.means_tag(&detail.tag) {
                    self.remove_if_vanished(place, &detail.tag).await?;
                    self.progress.tag = format!("{VANISHED}{}", detail.tag);
                    self.is_ahead = true;
                }
            }
            self.advance().await?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn remove_if_vanished(&mut self, place: &Place<'_>, tag: &Tag) -> Result<(), Interrupt> {
        let TagHere::Present {
            digest,
            is_imported: true,
        } = self.here(place, tag).await?
        else {
            return Ok(());
        };
        self.check_trouble(place.source)?;
        let reference = Reference::Tag(tag.clone());
        match place.remote.head_manifest(place.there, &reference).await {
            Err(UpstreamError::NotFound) => {}
            Ok(_) => return Ok(()),
            Err(error) => return self.fail_about(place, tag, &error),
        }
        if !place.may_move(tag) {
            let reason = "the tag is gone at the other registry, and tags of the repository cannot be moved";
            self.skip(
                place.name(),
                Some(tag.to_string()),
                SkipReason::Immutable.code(),
                reason,
            );
            return Ok(());
        }
        let deletion = Deletion {
            at: self.now(),
            by: UPSTREAM_IMPORTER.to_owned(),
            reason: DeletionReason::Request,
        };
        let images = [ImageIdentifier::TagOfImage(tag.clone(), digest)];
        let trail = self
            .parts
            .host
            .trail(REMOVAL_EVENT, &place.here.account, Some(&place.here.name));
        let deleted = trail.follow(self.parts.store.delete_images(&place.here, &images, &deletion));
        let deleted = match Box::pin(deleted).await {
            Ok(deleted) => deleted.into_iter().next(),
            Err(CatalogError::RepositoryUnknown(_)) => None,
            Err(error) => return Err(Interrupt::Store(unavailable(error))),
        };
        match deleted {
            Some(Ok(_)) => {
                self.progress.counts.removed += 1;
                add(&self.parts.metrics.tags_removed, 1);
                let reason = "the tag is gone at the other registry";
                let tag = Some(tag.to_string());
                self.note(MirrorNoteKind::Removed, place.name(), tag, "TAG_REMOVED", reason);
            }
            Some(Err(error @ ImageNotDeleted::ReferencedByIndex(_))) => {
                let tag = Some(tag.to_string());
                self.skip(place.name(), tag, "IMAGE_REFERENCED", &error.to_string());
            }
            // Somebody else was faster.
            Some(Err(ImageNotDeleted::Unknown | ImageNotDeleted::TagDoesNotMatchDigest(_))) | None => {}
        }
        Ok(())
    }

    /// Waits until no more than `limit` images wait to be fetched.
    async fn await_imports(&mut self, limit: u64) -> Result<(), Interrupt> {
        self.advance().await?;
        loop {
            let store = &self.parts.store;
            let (id, now, leased) = (&self.record.id, self.now(), self.parts.leased());
            let awaited = store
                .await_mirrored(id, self.owner, MAX_IMPORT_ATTEMPTS, now, leased)
                .await?;
            let awaited = awaited.ok_or(Interrupt::Lost)?;
            self.progress.counts.failed += awaited.failed;
            add(&self.parts.metrics.tags_failed, awaited.failed);
            self.queued = awaited.waiting;
            if awaited.waiting <= limit {
                return Ok(());
            }
            if now.duration_since(self.record.started_at) > MAX_RUN {
                return Err(Interrupt::Failed(
                    "images could not be fetched within seven days".into(),
                ));
            }
            self.check_turn(NEXT_LOOK)?;
            tokio::time::sleep(WAIT).await;
        }
    }

    /// Writes down how far the run is, and gives its place to another run after a while.
    async fn advance(&mut self) -> Result<(), Interrupt> {
        self.write().await?;
        if self.now().duration_since(self.record.started_at) > MAX_RUN {
            return Err(Interrupt::Failed("it took longer than seven days".into()));
        }
        self.check_turn(SignedDuration::ZERO)
    }

    fn check_turn(&self, pause: SignedDuration) -> Result<(), Interrupt> {
        if self.taken.elapsed() < TURN {
            return Ok(());
        }
        Err(Interrupt::Later {
            pause,
            attempts: self.attempts,
            why: "other runs have their turn".into(),
        })
    }

    /// Writes down how far the run is, if that is not written yet.
    async fn write(&mut self) -> Result<(), Interrupt> {
        if !self.is_ahead {
            return Ok(());
        }
        let store = &self.parts.store;
        let notes = std::mem::take(&mut self.notes);
        let (id, now, leased) = (&self.record.id, self.now(), self.parts.leased());
        let written = store.advance_mirror_run(id, self.owner, &self.progress, notes, now, leased);
        if !written.await? {
            return Err(Interrupt::Lost);
        }
        self.is_ahead = false;
        self.attempts = 0;
        Ok(())
    }

    /// What is known to go wrong with the other registry, so that it is left alone.
    fn check_trouble(&self, source: &MirrorSource) -> Result<(), Interrupt> {
        match self.parts.host.trouble(&source.rule) {
            Some(error) => self.interrupt(&error),
            None => Ok(()),
        }
    }

    /// What an error says about one thing; an interruption if it is about the other registry.
    fn judge(&self, source: &MirrorSource, error: &UpstreamError) -> Result<String, Interrupt> {
        self.parts.host.note(&source.rule, error);
        self.interrupt(error)?;
        Ok(error.to_string())
    }

    fn interrupt(&self, error: &UpstreamError) -> Result<(), Interrupt> {
        // What came further since does not count against it.
        let before = if self.is_ahead { 0 } else { self.attempts };
        let attempts = before + 1;
        let is_over = attempts >= MAX_ATTEMPTS;
        let again = || Interrupt::Later {
            pause: FIRST_PAUSE.checked_mul(1 << before.min(8)).unwrap_or(FIRST_PAUSE),
            attempts,
            why: error.to_string(),
        };
        match error {
            UpstreamError::TooManyRequests { retry_after } => {
                let asked_for = retry_after.and_then(|pause| SignedDuration::try_from(pause).ok());
                Err(Interrupt::Later {
                    pause: asked_for.unwrap_or(LIMITED_PAUSE),
                    attempts: before,
                    why: error.to_string(),
                })
            }
            UpstreamError::Blocked(_) => Err(Interrupt::Failed(error.to_string())),
            UpstreamError::Unreachable(_) | UpstreamError::Timeout(_) if is_over => {
                Err(Interrupt::Failed(error.to_string()))
            }
            UpstreamError::Unreachable(_) | UpstreamError::Timeout(_) => Err(again()),
            // One thing that makes the other registry fail shall not keep the rest from coming.
            UpstreamError::Server { status } if *status >= 500 && !is_over => Err(again()),
            UpstreamError::Server { .. }
            | UpstreamError::Denied
            | UpstreamError::NotFound
            | UpstreamError::Invalid(_) => Ok(()),
        }
    }

    fn fail_about(
        &mut self,
        place: &Place<'_>,
        reference: &impl ToString,
        error: &UpstreamError,
    ) -> Result<(), Interrupt> {
        let code = code(error);
        let reason = self.judge(place.source, error)?;
        self.fail(place.name(), Some(reference.to_string()), code, &reason);
        Ok(())
    }

    fn fail(&mut self, repository: String, tag: Option<String>, code: &str, reason: &str) {
        self.progress.counts.failed += 1;
        add(&self.parts.metrics.tags_failed, 1);
        self.note(MirrorNoteKind::Failed, repository, tag, code, reason);
    }

    fn skip(&mut self, repository: String, tag: Option<String>, code: &str, reason: &str) {
        self.progress.counts.skipped += 1;
        add(&self.parts.metrics.tags_skipped, 1);
        self.note(MirrorNoteKind::Skipped, repository, tag, code, reason);
    }

    fn note(&mut self, kind: MirrorNoteKind, repository: String, tag: Option<String>, code: &str, reason: &str) {
        self.is_ahead = true;
        self.notes.push(MirrorNote {
            kind,
            repository,
            tag,
            code: code.to_owned(),
            reason: reason.chars().take(MAX_REASON).collect(),
        });
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }
}

/// What went wrong, for programs.
fn code(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Unreachable(_) => "UPSTREAM_UNREACHABLE",
        UpstreamError::Timeout(_) => "UPSTREAM_TIMEOUT",
        UpstreamError::Denied => "UPSTREAM_ACCESS_DENIED",
        UpstreamError::NotFound => "UPSTREAM_NOT_FOUND",
        UpstreamError::TooManyRequests { .. } => "UPSTREAM_TOO_MANY_REQUESTS",
        UpstreamError::Server { .. } => "UPSTREAM_FAILURE",
        UpstreamError::Invalid(_) => "UPSTREAM_ANSWER_INVALID",
        UpstreamError::Blocked(_) => "UPSTREAM_BLOCKED",
    }
}

fn unavailable(error: CatalogError) -> StoreError {
    match error {
        CatalogError::Busy | CatalogError::Conflict => StoreError::Busy,
        CatalogError::Full => StoreError::Full,
        error => StoreError::Corrupt(error.to_string()),
    }
}
