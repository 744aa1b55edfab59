// SPDX-License-Identifier: Apache-2.0
//! One run of a mirror, from where it was left.

mod bring;
mod outcome;
mod vanished;

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::time::Instant;

use futures::future::join_all;
use hythe_catalog::CatalogError;
use hythe_meta::{MirrorNote, MirrorProgress, MirrorRunRecord, MirrorRunStatus, StoreError};
use hythe_model::{Descriptor, Digest, NamePattern, Reference, RepositoryPath, Tag, UPSTREAM_IMPORTER, fail_point};
use hythe_rules::mirror::{MirrorStep, TagHere, selected, step};
use hythe_upstream::{Remote, RemoteHead, RemoteManifest, UpstreamError};
use jiff::SignedDuration;

use self::outcome::code;
use super::{MirrorRefusal, MirrorSource, Parts};
use crate::add;

/// The most repositories of one run.
const MAX_REPOSITORIES: usize = 10_000;
/// How many tags are asked about at the same time.
const QUESTIONS_AT_ONCE: usize = 8;
/// Behind every tag, by bytes: the repository is done.
const DONE: &str = "~";

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
        let here = source.record.name_here(there).map(|name| RepositoryPath {
            account: self.record.account.clone(),
            name,
        });
        let is_of_rule = match &here {
            Some(here) => self.parts.host.comes_by(here, &self.record.prefix).await?,
            None => false,
        };
        let Some(here) = here.filter(|_| is_of_rule) else {
            let reason = "the repository has no name here, or another rule is for that name";
            self.skip(there.to_owned(), None, "NOT_OF_THIS_RULE", reason);
            return Ok(false);
        };
        let mut place = self.place(source, there, here).await?;
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
        here: RepositoryPath,
    ) -> Result<Place<'s>, Interrupt> {
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
}

fn unavailable(error: CatalogError) -> StoreError {
    match error {
        CatalogError::Busy | CatalogError::Conflict => StoreError::Busy,
        CatalogError::Full => StoreError::Full,
        error => StoreError::Corrupt(error.to_string()),
    }
}
