// SPDX-License-Identifier: Apache-2.0
//! Pointing a tag to an image that it pointed to before, which is restored if it was deleted.

use hythe_catalog::{CatalogError, MAX_TAGS_PER_IMAGE, PutImageError};
use hythe_model::{Digest, RepositoryPath, Tag};
use jiff::Timestamp;

use crate::cache::Fact;
use crate::image_restore::{Restoration, restore};
use crate::session::{Session, values};
use crate::tag::Mover;
use crate::writer::Durability;
use crate::{RestoreImageError, Store, StoreError, TagDetail, replication, repository, storage_class, tag};

/// Where a tag is to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackTo {
    /// The image that it pointed to before the present one, or last if the tag is gone.
    Previous,
    /// The image that the move with this number pointed it to.
    Sequence(i64),
    /// The image that it pointed to at this time.
    Time(Timestamp),
}

/// How a tag is rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// Where to.
    pub to: RollbackTo,
    /// Whether the image may be restored if it was deleted.
    pub may_restore: bool,
    /// When.
    pub at: Timestamp,
    /// The ARN of who does it.
    pub by: String,
}

/// What a rollback did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBackTag {
    /// The tag as it is now.
    pub tag: TagDetail,
    /// The image that it pointed to before; the same as now if nothing was to do.
    pub from: Option<Digest>,
    /// Whether the image had been deleted.
    pub is_image_restored: bool,
}

/// Why a tag was not rolled back.
#[derive(Debug, thiserror::Error)]
pub enum RollbackTagError {
    /// The repository never had such a tag.
    #[error("there is no such tag")]
    Unknown,
    /// It never pointed to another image.
    #[error("the tag pointed to no other image before")]
    NoPrevious,
    /// It has no move with this number.
    #[error("the history of the tag has no move {0}")]
    UnknownMove(i64),
    /// It was deleted by that move, or was not there at that time.
    #[error("the tag pointed to no image then")]
    NoImageThen,
    /// The image was deleted, and may not be restored by whoever asks.
    #[error("image {0} was deleted, and would have to be restored")]
    NeedsRestoration(Digest),
    /// The image was deleted and cannot be restored any more.
    #[error("image {0} was deleted, and cannot be restored any more")]
    ImageGone(Digest),
    /// The image was deleted and cannot be restored as it is.
    #[error(transparent)]
    NotRestored(RestoreImageError),
    /// The tag may not be moved, or the image has too many.
    #[error(transparent)]
    Refused(#[from] PutImageError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Points a tag to an image that it pointed to before, in one transaction; changes nothing if it points there already.
    pub async fn roll_back_tag(
        &self,
        repository: &RepositoryPath,
        tag: &Tag,
        rollback: Rollback,
    ) -> Result<RolledBackTag, RollbackTagError> {
        let input = (repository.clone(), tag.clone(), rollback);
        let (done, restored) = self
            .write(Durability::Full, input, |session, (path, tag, rollback)| {
                Box::pin(roll_back(session, path, tag, rollback))
            })
            .await?;
        self.counts().restored(restored);
        Ok(done)
    }
}

const SELECT_MUTABILITY: &str = "
    SELECT id, tag_mutability, tag_mutability_filters FROM repository WHERE account_id = $1 AND name = $2";

/// Also says how many images were restored.
async fn roll_back(
    session: &mut Session,
    path: &RepositoryPath,
    name: &Tag,
    rollback: &Rollback,
) -> Result<(RolledBackTag, usize), RollbackTagError> {
    let row = session
        .fetch_optional(SELECT_MUTABILITY, values![&path.account, &path.name])
        .await?;
    let Some(row) = row else {
        return Err(PutImageError::from(CatalogError::RepositoryUnknown(path.clone())).into());
    };
    let (id, mutability) = (row.text(0)?, repository::read_mutability(&row, 1)?);
    let present = tag::detail(session, &id, name).await?;
    let from = present.as_ref().map(|present| present.digest);
    let digest = wanted(session, &id, name, from.as_ref(), rollback.to).await?;
    if let Some(tag) = present {
        if tag.digest == digest {
            let is_image_restored = false;
            return Ok((
                RolledBackTag {
                    tag,
                    from,
                    is_image_restored,
                },
                0,
            ));
        }
        if !mutability.may_move(name) {
            let refused = PutImageError::TagImmutable {
                tag: name.clone(),
                repository: path.name.to_string(),
            };
            return Err(refused.into());
        }
        session.touch(path, Fact::Tag(name));
    }
    let mover = Mover {
        at: rollback.at,
        by: &rollback.by,
    };
    let restored = bring_back(session, &id, &digest, mover, rollback.may_restore).await?;
    storage_class::wake(session, path, &id, &digest, rollback.at).await?;
    tag::point(session, &id, name, from.as_ref(), &digest, mover).await?;
    if tag::count(session, &id, &digest).await? > MAX_TAGS_PER_IMAGE as u64 {
        return Err(PutImageError::TooManyTags.into());
    }
    let tags = std::slice::from_ref(name);
    replication::enqueue_present(session, &id, Some(path), &digest, tags, false, rollback.at).await?;
    session.note_digest(&digest);
    let tag = tag::detail(session, &id, name).await?;
    let tag = tag.ok_or_else(|| StoreError::Corrupt(format!("tag {name} is not where it was put")))?;
    Ok((
        RolledBackTag {
            tag,
            from,
            is_image_restored: restored > 0,
        },
        restored,
    ))
}

const PREVIOUS: &str = "
    SELECT to_digest FROM tag_move
     WHERE repository_id = $1 AND name = $2 AND to_digest IS NOT NULL AND ($3 IS NULL OR to_digest <> $3)
     ORDER BY sequence DESC LIMIT 1";

/// The image that the tag is to point to.
async fn wanted(
    session: &mut Session,
    id: &str,
    name: &Tag,
    present: Option<&Digest>,
    to: RollbackTo,
) -> Result<Digest, RollbackTagError> {
    let Some(newest) = tag::last_move(session, id, name, i64::MAX).await? else {
        return Err(RollbackTagError::Unknown);
    };
    let chosen = match to {
        RollbackTo::Previous => {
            let row = session.fetch_optional(PREVIOUS, values![id, name, present]).await?;
            let row = row.ok_or(RollbackTagError::NoPrevious)?;
            return Ok(row.parsed(0)?);
        }
        RollbackTo::Sequence(sequence) if sequence == newest.sequence => newest,
        RollbackTo::Sequence(sequence) => tag::last_move(session, id, name, sequence)
            .await?
            .filter(|chosen| chosen.sequence == sequence)
            .ok_or(RollbackTagError::UnknownMove(sequence))?,
        RollbackTo::Time(at) => tag::last_move_until(session, id, name, at)
            .await?
            .ok_or(RollbackTagError::NoImageThen)?,
    };
    chosen.to.ok_or(RollbackTagError::NoImageThen)
}

const IS_THERE: &str = "
    SELECT EXISTS (SELECT 1 FROM image WHERE repository_id = $1 AND digest = $2),
           EXISTS (SELECT 1 FROM deleted_image WHERE repository_id = $1 AND digest = $2)";

/// Restores the image if it is not there, without the tags that it had; says how many images came back with it.
async fn bring_back(
    session: &mut Session,
    id: &str,
    digest: &Digest,
    mover: Mover<'_>,
    may_restore: bool,
) -> Result<usize, RollbackTagError> {
    let row = session.fetch_one(IS_THERE, values![id, digest]).await?;
    match (row.bool(0)?, row.bool(1)?) {
        (true, _) => Ok(0),
        (false, false) => Err(RollbackTagError::ImageGone(*digest)),
        (false, true) if !may_restore => Err(RollbackTagError::NeedsRestoration(*digest)),
        (false, true) => {
            let restoration = Restoration {
                id,
                mover,
                tags: Some(&[]),
            };
            match restore(session, &restoration, digest).await {
                Ok(restored) => Ok(1 + restored.children.len()),
                Err(RestoreImageError::Store(error)) => Err(error.into()),
                Err(error) => Err(RollbackTagError::NotRestored(error)),
            }
        }
    }
}
