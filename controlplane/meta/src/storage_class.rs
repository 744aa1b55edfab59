// SPDX-License-Identifier: Apache-2.0
//! Archiving images and bringing them back (ECR, "Archive storage class").
//!
//! The state of an image changes here, at once and in one transaction; the bytes of its blobs follow in the background
//! (`blob_tier.rs`). What belongs to an image goes with it: the images that an index lists, unless another index that
//! is not archived lists them too, and the referrers.
//!
//! INVARIANT: no image that is archived is listed by an index that is not.

use std::collections::VecDeque;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use hythe_access::{Facts, Trail};
use hythe_model::{Digest, ImageStatus, RepositoryName, RepositoryPath, StorageClass};
use jiff::Timestamp;
use serde_json::json;

use crate::cache::Fact;
use crate::session::{Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError, blob_tier, repository};

/// The most images that one transaction archives or restores because another one is. The rest follows in the
/// background.
const MAX_FOLLOWERS: usize = 1000;
/// How many followers are read at a time.
const PAGE: usize = 200;
/// The most images that one transaction is asked to archive or restore.
const MAX_AT_ONCE: usize = 100;
/// How many images are made active side by side, each in a transaction of its own, for its record in the audit log.
const ACTIVATIONS_AT_ONCE: usize = 16;
/// The most indexes that a refusal names.
const MAX_NAMED_INDEXES: usize = 100;

/// What came of the wish to change the storage class of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The image is in this state now.
    Done(ImageStatus),
    /// It was there already.
    Unchanged(ImageStatus),
    /// There is no such image.
    Unknown,
    /// Indexes list it that are not archived (ECR: an image must not be archived before its index).
    ReferencedByIndex(Vec<Digest>),
    /// It is on its way out of the archive.
    Activating,
}

impl Store {
    /// Archives images, or brings them back, each by itself; what came of it, in the order of `digests`. `None` if there
    /// is no such repository. An image that is brought back is ACTIVATING until its bytes are where they belong.
    pub async fn transition_images(
        &self,
        repository: &RepositoryPath,
        digests: &[Digest],
        target: StorageClass,
        at: Timestamp,
    ) -> Result<Option<Vec<Transition>>, StoreError> {
        let mut outcomes = Vec::with_capacity(digests.len());
        for chunk in digests.chunks(MAX_AT_ONCE) {
            let input = (repository.clone(), chunk.to_vec(), target, at);
            let done = self
                .write(Durability::Full, input, |session, (path, digests, target, at)| {
                    Box::pin(transition_all(session, path, digests, *target, *at))
                })
                .await?;
            match done {
                Some(done) => outcomes.extend(done),
                None => return Ok(None),
            }
        }
        Ok(Some(outcomes))
    }

    /// Archives or restores more of what belongs to an image that was too much for one transaction. Says whether there
    /// was anything to do.
    pub async fn continue_transitions(&self, now: Timestamp) -> Result<bool, StoreError> {
        if self.point(NEXT_FOLLOW, values![]).await?.is_empty() {
            return Ok(false);
        }
        self.write(Durability::Full, now, |session, now| {
            Box::pin(continue_one(session, *now))
        })
        .await
    }

    /// Makes images active whose blobs are all back in the first location, at most `limit` that come after `after`. The
    /// last that was looked at is where to go on; `None` at the end.
    pub async fn finish_activations(
        &self,
        after: Option<ActivatingImage>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Activated, StoreError> {
        let (id, digest) = after.map_or_else(Default::default, |after| (after.repository_id, after.digest));
        let rows = self.point(ACTIVATING, values![&id, &digest, limit]).await?;
        let is_last = rows.len() < limit;
        let mut activated = Activated::default();
        let mut ready = Vec::new();
        for row in rows {
            let image = ActivatingImage {
                repository_id: row.text(0)?,
                digest: row.text(1)?,
            };
            if row.bool(2)? {
                let path = RepositoryPath {
                    account: row.parsed(3)?,
                    name: row.parsed(4)?,
                };
                ready.push((image.clone(), path));
            }
            activated.last = Some(image);
        }
        if is_last {
            activated.last = None;
        }
        activated.count = stream::iter(ready)
            .map(|(image, path)| self.finish_activation(image, path, now))
            .buffer_unordered(ACTIVATIONS_AT_ONCE)
            .try_fold(0, async |count, is_done| Ok(count + u64::from(is_done)))
            .await?;
        Ok(activated)
    }

    /// One, with its record in the audit log (ECR, `ImageActivationEvent`); false if another node was faster.
    async fn finish_activation(
        &self,
        image: ActivatingImage,
        path: RepositoryPath,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let facts = Facts {
            operation: "image.activate",
            default_event: "ImageActivationEvent",
            is_change: true,
            account: Some(path.account),
            repository: Some(path.name.as_str().into()),
            digest: image.digest.parse().ok(),
            service_details: Some("{}".into()),
            ..Facts::default()
        };
        let input = (image, path.name, now);
        let activated = self.write(Durability::Full, input, |session, (image, name, now)| {
            Box::pin(activate(session, image, name, *now))
        });
        // No request has asked for it just now.
        Trail::without_id(now, facts).follow(activated).await
    }
}

/// An image on its way out of the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivatingImage {
    repository_id: String,
    digest: String,
}

/// What [`Store::finish_activations`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activated {
    /// How many images became active.
    pub count: u64,
    /// Where to go on; `None` at the end.
    pub last: Option<ActivatingImage>,
}

async fn transition_all(
    session: &mut Session,
    path: &RepositoryPath,
    digests: &[Digest],
    target: StorageClass,
    at: Timestamp,
) -> Result<Option<Vec<Transition>>, StoreError> {
    let Some(id) = repository::find_id(session, path).await? else {
        return Ok(None);
    };
    let place = Place { path, id: &id };
    let mut outcomes = Vec::with_capacity(digests.len());
    for digest in digests {
        outcomes.push(transition(session, place, digest, target, at).await?);
    }
    Ok(Some(outcomes))
}

/// A repository by its two names.
#[derive(Clone, Copy)]
struct Place<'p> {
    path: &'p RepositoryPath,
    id: &'p str,
}

const STATUS: &str = "SELECT status FROM image WHERE repository_id = $1 AND digest = $2";
/// The indexes that list an image and are not archived.
const LISTING_INDEXES: &str = "
    SELECT c.image_digest
      FROM image_child c JOIN image i ON i.repository_id = c.repository_id AND i.digest = c.image_digest
     WHERE c.repository_id = $1 AND c.child_digest = $2 AND i.status <> 'ARCHIVED'
     ORDER BY c.image_digest LIMIT $3";
async fn transition(
    session: &mut Session,
    place: Place<'_>,
    digest: &Digest,
    target: StorageClass,
    at: Timestamp,
) -> Result<Transition, StoreError> {
    let Some(row) = session.fetch_optional(STATUS, values![place.id, digest]).await? else {
        return Ok(Transition::Unknown);
    };
    let status: ImageStatus = row.parsed(0)?;
    session.note_digest(digest);
    let to = match (target, status) {
        (StorageClass::Archive, ImageStatus::Archived) | (StorageClass::Standard, ImageStatus::Active) => {
            return Ok(Transition::Unchanged(status));
        }
        (_, ImageStatus::Activating) => return Ok(Transition::Activating),
        (StorageClass::Standard, ImageStatus::Archived) => ImageStatus::Activating,
        (StorageClass::Archive, ImageStatus::Active) => {
            let values = values![place.id, digest, MAX_NAMED_INDEXES];
            let rows = session.fetch_all(LISTING_INDEXES, values).await?;
            if !rows.is_empty() {
                let indexes = rows.iter().map(|row| row.parsed(0)).collect::<Result<_, _>>()?;
                return Ok(Transition::ReferencedByIndex(indexes));
            }
            ImageStatus::Archived
        }
    };
    set(session, place, digest, to, at).await?;
    follow_or_queue(session, place, digest, to, at).await?;
    Ok(Transition::Done(to))
}

/// Archives an image with what belongs to it, as a part of something larger.
pub(crate) async fn archive(
    session: &mut Session,
    path: &RepositoryPath,
    id: &str,
    digest: &Digest,
    at: Timestamp,
) -> Result<Transition, StoreError> {
    transition(session, Place { path, id }, digest, StorageClass::Archive, at).await
}

/// Makes an image active at once, with what belongs to it: it was pushed again.
pub(crate) async fn revive(
    session: &mut Session,
    path: &RepositoryPath,
    id: &str,
    digest: &Digest,
    at: Timestamp,
) -> Result<(), StoreError> {
    let place = Place { path, id };
    set(session, place, digest, ImageStatus::Active, at).await?;
    follow_or_queue(session, place, digest, ImageStatus::Active, at).await
}

/// Makes an image active at once that is to be pulled again: it got a tag.
pub(crate) async fn wake(
    session: &mut Session,
    path: &RepositoryPath,
    id: &str,
    digest: &Digest,
    at: Timestamp,
) -> Result<(), StoreError> {
    match session.fetch_optional(STATUS, values![id, digest]).await? {
        Some(row) if row.parsed::<ImageStatus>(0)? != ImageStatus::Active => {
            revive(session, path, id, digest, at).await
        }
        _ => Ok(()),
    }
}

const INACTIVE_CHILDREN: &str = "
    SELECT c.child_digest
      FROM image_child c JOIN image i ON i.repository_id = c.repository_id AND i.digest = c.child_digest
     WHERE c.repository_id = $1 AND c.image_digest = $2 AND i.status <> 'ACTIVE'
     ORDER BY c.child_digest";
/// Brings back the images that a new index lists.
pub(crate) async fn revive_children(
    session: &mut Session,
    path: &RepositoryPath,
    id: &str,
    index: &Digest,
    at: Timestamp,
) -> Result<(), StoreError> {
    for row in session.fetch_all(INACTIVE_CHILDREN, values![id, index]).await? {
        revive(session, path, id, &row.parsed(0)?, at).await?;
    }
    Ok(())
}

/// Brings together what belongs together after a deleted image came back in the state that it had: what lists it may be
/// active by now, and what it lists may be archived. Its blobs may be anywhere.
pub(crate) async fn restored(
    session: &mut Session,
    id: &str,
    digest: &Digest,
    at: Timestamp,
) -> Result<(), StoreError> {
    let (Some(row), Some(path)) = (
        session.fetch_optional(STATUS, values![id, digest]).await?,
        path_of(session, id).await?,
    ) else {
        return Ok(());
    };
    let status: ImageStatus = row.parsed(0)?;
    if status == ImageStatus::Active {
        blob_tier::look_again(session, id, digest).await?;
        return revive_children(session, &path, id, digest, at).await;
    }
    let listing = session
        .fetch_optional(LISTING_INDEXES, values![id, digest, 1_i64])
        .await?;
    if listing.is_some() {
        revive(session, &path, id, digest, at).await
    } else if status == ImageStatus::Archived {
        blob_tier::queue(session, id, digest, at).await
    } else {
        blob_tier::look_again(session, id, digest).await
    }
}

const ARCHIVE: &str = "
    UPDATE image SET status = 'ARCHIVED', storage_class = 'ARCHIVE', archived_ms = $3
     WHERE repository_id = $1 AND digest = $2";
const BEGIN_ACTIVATION: &str = "
    UPDATE image SET status = 'ACTIVATING', storage_class = 'STANDARD' WHERE repository_id = $1 AND digest = $2";
const ACTIVATE: &str = "
    UPDATE image SET status = 'ACTIVE', storage_class = 'STANDARD', activated_ms = $3
     WHERE repository_id = $1 AND digest = $2";
const TAGS: &str = "SELECT name FROM tag WHERE repository_id = $1 AND digest = $2";
async fn set(
    session: &mut Session,
    place: Place<'_>,
    digest: &Digest,
    to: ImageStatus,
    at: Timestamp,
) -> Result<(), StoreError> {
    let Place { path, id } = place;
    match to {
        ImageStatus::Archived => session.execute(ARCHIVE, values![id, digest, at]).await?,
        ImageStatus::Activating => session.execute(BEGIN_ACTIVATION, values![id, digest]).await?,
        ImageStatus::Active => session.execute(ACTIVATE, values![id, digest, at]).await?,
    };
    if to == ImageStatus::Archived {
        blob_tier::queue(session, id, digest, at).await?;
        // It may be in memory under each of its names.
        session.touch(path, Fact::Image(digest));
        for row in session.fetch_all(TAGS, values![id, digest]).await? {
            session.touch(path, Fact::Tag(&row.parsed(0)?));
        }
    } else {
        blob_tier::look_again(session, id, digest).await?;
    }
    Ok(())
}

const FOLLOW: &str = "
    INSERT INTO image_follow (repository_id, image_digest, storage_class) VALUES ($1, $2, $3)
    ON CONFLICT (repository_id, image_digest) DO UPDATE SET storage_class = excluded.storage_class";
async fn follow_or_queue(
    session: &mut Session,
    place: Place<'_>,
    digest: &Digest,
    to: ImageStatus,
    at: Timestamp,
) -> Result<(), StoreError> {
    for unfinished in follow(session, place, *digest, to, at).await? {
        let values = values![place.id, &unfinished, to.storage_class().as_str()];
        session.execute(FOLLOW, values).await?;
    }
    Ok(())
}

/// `$4` is the state of those that are wanted, `$5` how many.
const CHILDREN: &str = "
    SELECT c.child_digest
      FROM image_child c JOIN image i ON i.repository_id = c.repository_id AND i.digest = c.child_digest
     WHERE c.repository_id = $1 AND c.image_digest = $2 AND c.child_digest > $3 AND i.status = $4
     ORDER BY c.child_digest LIMIT $5";
const REFERRERS: &str = "
    SELECT digest FROM image
     WHERE repository_id = $1 AND subject = $2 AND digest > $3 AND status = $4
     ORDER BY digest LIMIT $5";
/// Takes what belongs to an image to the same storage class, and what belongs to that. What it had no time for comes
/// back: these images have more that belongs to them.
async fn follow(
    session: &mut Session,
    place: Place<'_>,
    root: Digest,
    to: ImageStatus,
    at: Timestamp,
) -> Result<VecDeque<Digest>, StoreError> {
    let from = match to {
        ImageStatus::Archived => ImageStatus::Active,
        ImageStatus::Activating | ImageStatus::Active => ImageStatus::Archived,
    };
    let mut waiting = VecDeque::from([root]);
    let mut changed = 0;
    while let Some(&next) = waiting.front() {
        for statement in [CHILDREN, REFERRERS] {
            let mut after = String::new();
            loop {
                if changed >= MAX_FOLLOWERS {
                    return Ok(waiting);
                }
                let values = values![place.id, &next, &after, from.as_str(), PAGE];
                let rows = session.fetch_all(statement, values).await?;
                for row in &rows {
                    after = row.text(0)?;
                    let digest: Digest = row.parsed(0)?;
                    let is_held = to == ImageStatus::Archived
                        && session
                            .fetch_optional(LISTING_INDEXES, values![place.id, &digest, 1_i64])
                            .await?
                            .is_some();
                    if !is_held {
                        set(session, place, &digest, to, at).await?;
                        waiting.push_back(digest);
                        changed += 1;
                    }
                }
                if rows.len() < PAGE {
                    break;
                }
            }
        }
        waiting.pop_front();
    }
    Ok(waiting)
}

const NEXT_FOLLOW: &str = "
    SELECT f.repository_id, f.image_digest, i.status
      FROM image_follow f LEFT JOIN image i ON i.repository_id = f.repository_id AND i.digest = f.image_digest
     ORDER BY f.repository_id, f.image_digest LIMIT 1";
const END_FOLLOW: &str =
    "DELETE FROM image_follow WHERE repository_id = $1 AND image_digest = $2 RETURNING image_digest";
const PATH: &str = "SELECT account_id, name FROM repository WHERE id = $1";
async fn continue_one(session: &mut Session, now: Timestamp) -> Result<bool, StoreError> {
    let Some(row) = session.fetch_optional(NEXT_FOLLOW, values![]).await? else {
        return Ok(false);
    };
    let (id, digest) = (row.text(0)?, row.text(1)?);
    // Another node may have taken it meanwhile.
    if session
        .fetch_optional(END_FOLLOW, values![&id, &digest])
        .await?
        .is_none()
    {
        return Ok(true);
    }
    // What belongs to an image goes where the image is now, whatever was wished for before.
    let (Some(path), Some(to)) = (path_of(session, &id).await?, row.optional_parsed(2)?) else {
        return Ok(true);
    };
    let place = Place { path: &path, id: &id };
    follow_or_queue(session, place, &row.parsed(1)?, to, now).await?;
    Ok(true)
}

async fn path_of(session: &mut Session, id: &str) -> Result<Option<RepositoryPath>, StoreError> {
    let row = session.fetch_optional(PATH, values![id]).await?;
    let read = |row: crate::session::Row| {
        Ok(RepositoryPath {
            account: row.parsed(0)?,
            name: row.parsed(1)?,
        })
    };
    row.map(read).transpose()
}

/// Also whether no blob of the image may be in the archive any more.
const ACTIVATING: &str = "
    SELECT i.repository_id, i.digest,
           NOT EXISTS (SELECT 1 FROM image_blob u JOIN blob_tier t ON t.digest = u.blob_digest
                        WHERE u.repository_id = i.repository_id AND u.image_digest = i.digest AND t.is_archived),
           r.account_id, r.name
      FROM image i JOIN repository r ON r.id = i.repository_id
     WHERE i.status = 'ACTIVATING' AND (i.repository_id, i.digest) > ($1, $2)
     ORDER BY i.repository_id, i.digest LIMIT $3";
const STILL_ACTIVATING: &str = "
    SELECT digest FROM image i
     WHERE repository_id = $1 AND digest = $2 AND status = 'ACTIVATING'
       AND NOT EXISTS (SELECT 1 FROM image_blob u JOIN blob_tier t ON t.digest = u.blob_digest
                        WHERE u.repository_id = i.repository_id AND u.image_digest = i.digest AND t.is_archived)";
async fn activate(
    session: &mut Session,
    image: &ActivatingImage,
    name: &RepositoryName,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (id, digest) = (&image.repository_id, &image.digest);
    let ready = session.fetch_optional(STILL_ACTIVATING, values![id, digest]).await?;
    if ready.is_none() {
        return Ok(false);
    }
    session.execute(ACTIVATE, values![id, digest, now]).await?;
    session.note_details(json!({
        "repositoryName": name,
        "imageDigest": digest,
        "targetStorageClass": StorageClass::Standard.as_str(),
        "result": "SUCCESS",
        "imageStatus": ImageStatus::Active.as_str(),
    }));
    Ok(true)
}
