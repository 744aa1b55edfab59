// SPDX-License-Identifier: Apache-2.0
//! Deleted images that can be restored: listing them, and purging them when their time is over or somebody asks for it.

use hythe_model::{Digest, MediaType, RepositoryPath, Tag};
use jiff::Timestamp;

use crate::repository::find_id;
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{DeletionReason, Store, StoreError};

/// A deleted image that can be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedImageRecord {
    /// Its digest.
    pub digest: Digest,
    /// The tags that went with it, sorted.
    pub tags: Vec<Tag>,
    /// The media type of the manifest.
    pub media_type: MediaType,
    /// The type of artifact it is.
    pub artifact_type: Option<String>,
    /// The image it refers to.
    pub subject: Option<Digest>,
    /// The size of what it consists of, in bytes.
    pub image_bytes: u64,
    /// When it was first pushed.
    pub pushed_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// The ARN of who deleted it.
    pub deleted_by: String,
    /// Why.
    pub reason: DeletionReason,
    /// Until when it can be restored.
    pub purge_at: Timestamp,
}

impl DeletedImageRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let mut tags: Vec<Tag> = serde_json::from_str(&row.text(1)?)?;
        tags.sort();
        Ok(Self {
            digest: row.parsed(0)?,
            tags,
            media_type: row.parsed(2)?,
            artifact_type: row.optional_text(3)?,
            subject: row.optional_parsed(4)?,
            image_bytes: row.size(5)?,
            pushed_at: row.time(6)?,
            deleted_at: row.time(7)?,
            deleted_by: row.text(8)?,
            reason: row.parsed(9)?,
            purge_at: row.time(10)?,
        })
    }
}

pub(crate) const LIST: &str = "
    SELECT digest, tags, media_type, artifact_type, subject, image_bytes, pushed_ms, deleted_ms, deleted_by, reason,
           purge_ms
      FROM deleted_image
     WHERE repository_id = $1 AND (deleted_ms, digest) < ($2, $3)
     ORDER BY deleted_ms DESC, digest DESC LIMIT $4";
const SELECT: &str = "
    SELECT digest, tags, media_type, artifact_type, subject, image_bytes, pushed_ms, deleted_ms, deleted_by, reason,
           purge_ms, id
      FROM deleted_image WHERE repository_id = $1 AND digest = $2";

impl Store {
    /// The deleted images of a repository, the last deleted first, from those on that come after `after`; `None` if there
    /// is no repository.
    pub async fn deleted_images(
        &self,
        repository: &RepositoryPath,
        after: Option<(Timestamp, Digest)>,
        limit: usize,
    ) -> Result<Option<Vec<DeletedImageRecord>>, StoreError> {
        let mut session = self.reader().await?;
        let Some(id) = find_id(&mut session, repository).await? else {
            return Ok(None);
        };
        let (before, digest) = match after {
            Some((at, digest)) => (at, digest.to_string()),
            None => (Timestamp::MAX, String::new()),
        };
        let rows = session.fetch_all(LIST, values![&id, before, &digest, limit]).await?;
        rows.iter()
            .map(DeletedImageRecord::read)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A deleted image that can be restored.
    pub async fn deleted_image(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<DeletedImageRecord>, StoreError> {
        let mut session = self.reader().await?;
        let Some(id) = find_id(&mut session, repository).await? else {
            return Ok(None);
        };
        let row = session.fetch_optional(SELECT, values![&id, digest]).await?;
        row.as_ref().map(DeletedImageRecord::read).transpose()
    }

    /// Takes away the possibility to restore a deleted image, and queues its blobs for review.
    pub async fn purge_image(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Option<DeletedImageRecord>, StoreError> {
        let input = (repository.clone(), *digest, now);
        let purged = self
            .write(Durability::Full, input, |session, (path, digest, now)| {
                Box::pin(async move {
                    let Some(id) = find_id(session, path).await? else {
                        return Ok::<_, StoreError>(None);
                    };
                    let Some(row) = session.fetch_optional(SELECT, values![&id, digest]).await? else {
                        return Ok(None);
                    };
                    let record = DeletedImageRecord::read(&row)?;
                    let key = row.text(11)?;
                    session.execute(REVIEW_ONE, values![&key, *now]).await?;
                    session.execute(PURGE_ONE, values![&key]).await?;
                    session.note_digest(digest);
                    Ok(Some(record))
                })
            })
            .await?;
        self.counts().purged(usize::from(purged.is_some()));
        Ok(purged)
    }

    /// Purges at most `limit` images whose time is over; returns how many there were. May run on several nodes at once.
    pub async fn purge_images(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        // Nearly always there is none, and nothing to write.
        if self
            .reader()
            .await?
            .fetch_optional(IS_DUE, values![now])
            .await?
            .is_none()
        {
            return Ok(0);
        }
        let purged = self
            .write(Durability::Full, (now, limit), |session, (now, limit)| {
                Box::pin(purge_due(session, *now, *limit))
            })
            .await?;
        self.counts().purged(purged);
        Ok(purged)
    }
}

const REVIEW_ONE: &str = "
    INSERT INTO blob_review (repository_id, digest, due_ms)
    SELECT repository_id, blob_digest, $2 FROM deleted_image_blob WHERE deleted_id = $1
    ON CONFLICT (repository_id, digest) DO UPDATE SET due_ms = excluded.due_ms";
const PURGE_ONE: &str = "DELETE FROM deleted_image WHERE id = $1";
const IS_DUE: &str = "SELECT id FROM deleted_image WHERE purge_ms <= $1 LIMIT 1";
/// Each pair once: no statement may change a row twice.
const REVIEW_DUE: &str = "
    INSERT INTO blob_review (repository_id, digest, due_ms)
    SELECT DISTINCT repository_id, blob_digest, $1 FROM deleted_image_blob
     WHERE deleted_id IN (SELECT id FROM deleted_image WHERE purge_ms <= $1 ORDER BY purge_ms, id LIMIT $2)
    ON CONFLICT (repository_id, digest) DO UPDATE SET due_ms = excluded.due_ms";
pub(crate) const PURGE_DUE: &str = "
    DELETE FROM deleted_image
     WHERE id IN (SELECT id FROM deleted_image WHERE purge_ms <= $1 ORDER BY purge_ms, id LIMIT $2)
 RETURNING id";

async fn purge_due(session: &mut Session, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
    session.execute(REVIEW_DUE, values![now, limit]).await?;
    Ok(session.fetch_all(PURGE_DUE, values![now, limit]).await?.len())
}
