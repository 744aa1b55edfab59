// SPDX-License-Identifier: Apache-2.0
//! Images as the control plane shows them.

use std::collections::HashMap;

use hythe_model::{Digest, ImageStatus, MediaType, Reference, RepositoryPath, StorageClass, Tag};
use jiff::Timestamp;

use crate::repository::find_id;
use crate::session::{Row, Session, values};
use crate::{Store, StoreError};

/// Which images to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagStatus {
    /// All.
    #[default]
    Any,
    /// Those with a tag.
    Tagged,
    /// Those without.
    Untagged,
}

impl TagStatus {
    fn as_int(self) -> i64 {
        match self {
            Self::Any => 0,
            Self::Tagged => 1,
            Self::Untagged => 2,
        }
    }
}

/// Which images a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFilter {
    /// By whether they have a tag.
    pub tags: TagStatus,
    /// By their state; `None` for any. ECR lists only those that are active unless it is asked for others.
    pub status: Option<ImageStatus>,
}

impl Default for ImageFilter {
    fn default() -> Self {
        Self {
            tags: TagStatus::Any,
            status: Some(ImageStatus::Active),
        }
    }
}

/// What there is to know about an image, but its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDetail {
    /// Its digest.
    pub digest: Digest,
    /// Its tags, sorted.
    pub tags: Vec<Tag>,
    /// When it was first pushed.
    pub pushed_at: Timestamp,
    /// The media type of the manifest.
    pub media_type: MediaType,
    /// The type of artifact it is.
    pub artifact_type: Option<String>,
    /// The size of what it consists of, in bytes; of an index, that of its largest image.
    pub image_bytes: u64,
    /// The size of the manifest itself, in bytes.
    pub manifest_bytes: u64,
    /// The image it refers to.
    pub subject: Option<Digest>,
    /// Whether it can be pulled.
    pub status: ImageStatus,
    /// When it was archived last.
    pub archived_at: Option<Timestamp>,
    /// When it came back last, from the archive or from being deleted.
    pub activated_at: Option<Timestamp>,
    /// When it was pulled last, as far as is known: pulls take some seconds to be seen here.
    pub last_pulled_at: Option<Timestamp>,
}

impl ImageDetail {
    fn read(row: &Row, tags: Vec<Tag>) -> Result<Self, StoreError> {
        Ok(Self {
            digest: row.parsed(1)?,
            tags,
            pushed_at: row.time(2)?,
            media_type: row.parsed(3)?,
            artifact_type: row.optional_text(4)?,
            image_bytes: row.size(5)?,
            manifest_bytes: row.size(6)?,
            subject: row.optional_parsed(7)?,
            status: row.parsed(8)?,
            archived_at: row.optional_time(9)?,
            activated_at: row.optional_time(10)?,
            last_pulled_at: row.optional_time(11)?,
        })
    }

    /// Where its bytes belong.
    #[must_use]
    pub fn storage_class(&self) -> StorageClass {
        self.status.storage_class()
    }
}

/// `$4` is a [`TagStatus`], `$5` a state or `ANY`.
pub(crate) const LIST: &str = "
    SELECT i.repository_id, i.digest, i.pushed_ms, i.media_type, i.artifact_type, i.image_bytes, i.manifest_bytes, i.subject,
           i.status, i.archived_ms, i.activated_ms, i.last_pulled_ms
      FROM image i
     WHERE i.repository_id = $1 AND i.digest > $2
       AND ($4 = 0 OR $4 = CASE WHEN EXISTS (SELECT 1 FROM tag t WHERE t.repository_id = i.repository_id AND t.digest = i.digest)
                                THEN 1 ELSE 2 END)
       AND ($5 = 'ANY' OR i.status = $5)
     ORDER BY i.digest LIMIT $3";
const BY_DIGEST: &str = "
    SELECT r.id, i.digest, i.pushed_ms, i.media_type, i.artifact_type, i.image_bytes, i.manifest_bytes, i.subject,
           i.status, i.archived_ms, i.activated_ms, i.last_pulled_ms
      FROM repository r JOIN image i ON i.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2 AND i.digest = $3";
const BY_TAG: &str = "
    SELECT r.id, i.digest, i.pushed_ms, i.media_type, i.artifact_type, i.image_bytes, i.manifest_bytes, i.subject,
           i.status, i.archived_ms, i.activated_ms, i.last_pulled_ms
      FROM repository r
      JOIN tag t ON t.repository_id = r.id
      JOIN image i ON i.repository_id = t.repository_id AND i.digest = t.digest
     WHERE r.account_id = $1 AND r.name = $2 AND t.name = $3";

impl Store {
    /// The images of a repository after `after`, by digest, at most `limit` of them; `None` if there is no repository.
    pub async fn image_details(
        &self,
        repository: &RepositoryPath,
        filter: ImageFilter,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Option<Vec<ImageDetail>>, StoreError> {
        let after = after.map(ToString::to_string).unwrap_or_default();
        let status = filter.status.map_or("ANY", ImageStatus::as_str);
        let mut session = self.snapshot().await?;
        let Some(id) = find_id(&mut session, repository).await? else {
            session.end_snapshot().await?;
            return Ok(None);
        };
        let rows = session
            .fetch_all(LIST, values![&id, after, limit, filter.tags.as_int(), status])
            .await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            session.end_snapshot().await?;
            return Ok(Some(Vec::new()));
        };
        let mut tags = tags_between(&mut session, &first.text(0)?, &first.text(1)?, &last.text(1)?).await?;
        session.end_snapshot().await?;
        let read = |row: &Row| ImageDetail::read(row, tags.remove(&row.text(1)?).unwrap_or_default());
        rows.iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// The image that `reference` names.
    pub async fn image_detail(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
    ) -> Result<Option<ImageDetail>, StoreError> {
        let RepositoryPath { account, name } = repository;
        let mut session = self.snapshot().await?;
        let row = match reference {
            Reference::Tag(tag) => session.fetch_optional(BY_TAG, values![account, name, tag]).await?,
            Reference::Digest(digest) => {
                session
                    .fetch_optional(BY_DIGEST, values![account, name, digest])
                    .await?
            }
        };
        let Some(row) = row else {
            session.end_snapshot().await?;
            return Ok(None);
        };
        let digest = row.text(1)?;
        let mut tags = tags_between(&mut session, &row.text(0)?, &digest, &digest).await?;
        session.end_snapshot().await?;
        ImageDetail::read(&row, tags.remove(&digest).unwrap_or_default()).map(Some)
    }
}

const TAGS_BETWEEN: &str = "
    SELECT digest, name FROM tag WHERE repository_id = $1 AND digest >= $2 AND digest <= $3 ORDER BY digest, name";
/// The tags of the images from one digest to another, by digest.
async fn tags_between(
    session: &mut Session,
    id: &str,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<Tag>>, StoreError> {
    let mut tags: HashMap<_, Vec<_>> = HashMap::new();
    for row in session.fetch_all(TAGS_BETWEEN, values![id, first, last]).await? {
        tags.entry(row.text(0)?).or_default().push(row.parsed(1)?);
    }
    Ok(tags)
}
