// SPDX-License-Identifier: Apache-2.0
//! The images of a repository as a policy looks at them, page after page of one state.

use std::collections::HashSet;

use hythe_model::{Digest, ImageStatus, RepositoryPath, Tag};
use jiff::Timestamp;

use crate::repository::find_id;
use crate::session::{Row, Session, Value, corrupt, values};
use crate::{Store, StoreError};

/// How many rows of references are looked at in one go.
const REFERENCES: usize = 10_000;
/// How many digests one statement takes; a shorter list repeats its last one.
const CHUNK: usize = 16;

/// What a policy may ask about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleRow {
    /// The image.
    pub digest: Digest,
    /// Its tags, sorted.
    pub tags: Vec<Tag>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// The size of what it consists of, in bytes; of an index, that of its largest image.
    pub image_bytes: u64,
    /// The size of the manifest itself, in bytes.
    pub manifest_bytes: u64,
    /// The image that it refers to.
    pub subject: Option<Digest>,
    /// Whether an index of the repository lists it.
    pub is_in_index: bool,
    /// Whether it can be pulled.
    pub status: ImageStatus,
    /// When it was archived last.
    pub archived_at: Option<Timestamp>,
    /// When it came back from the archive last.
    pub activated_at: Option<Timestamp>,
    /// When it was pulled last, as far as is known.
    pub last_pulled_at: Option<Timestamp>,
}

/// One state of a repository, however long it is looked at.
pub struct LifecycleSnapshot {
    session: Session,
    id: String,
    after: String,
}

impl std::fmt::Debug for LifecycleSnapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LifecycleSnapshot")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

pub(crate) const LIST: &str = "
    SELECT i.digest, i.pushed_ms, i.image_bytes, i.manifest_bytes, i.subject,
           EXISTS (SELECT 1 FROM image_child c WHERE c.repository_id = i.repository_id AND c.child_digest = i.digest),
           i.status, i.archived_ms, i.activated_ms, i.last_pulled_ms
      FROM image i
     WHERE i.repository_id = $1 AND i.digest > $2
     ORDER BY i.digest LIMIT $3";
const TAGS: &str = "
    SELECT digest, name FROM tag WHERE repository_id = $1 AND digest > $2 AND digest <= $3 ORDER BY digest, name";
/// By blob, so that all images that need one come together.
const REFERENCES_BY_BLOB: &str = "
    SELECT blob_digest, image_digest FROM image_blob
     WHERE repository_id = $1 AND (blob_digest, image_digest) > ($2, $3)
     ORDER BY blob_digest, image_digest LIMIT $4";
/// Without what another repository links too.
const SIZES: &str = "
    SELECT b.digest, b.size FROM blob b
     WHERE b.digest IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
       AND NOT EXISTS (SELECT 1 FROM repository_blob o WHERE o.digest = b.digest AND o.repository_id <> $1)";

impl Store {
    /// The present state of a repository, to be looked at as a whole; `None` if there is no such repository.
    pub async fn lifecycle_snapshot(&self, path: &RepositoryPath) -> Result<Option<LifecycleSnapshot>, StoreError> {
        let mut session = self.snapshot().await?;
        let Some(id) = find_id(&mut session, path).await? else {
            session.end_snapshot().await?;
            return Ok(None);
        };
        Ok(Some(LifecycleSnapshot {
            session,
            id,
            after: String::new(),
        }))
    }
}

impl LifecycleSnapshot {
    /// The next images by digest, at most `limit` of them; none after the last.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<LifecycleRow>, StoreError> {
        let rows = self
            .session
            .fetch_all(LIST, values![&self.id, &self.after, limit])
            .await?;
        let Some(last) = rows.last() else { return Ok(Vec::new()) };
        let last = last.text(0)?;
        let tags = self
            .session
            .fetch_all(TAGS, values![&self.id, &self.after, &last])
            .await?;
        self.after = last;
        let mut tags = tags.iter().peekable();
        rows.iter()
            .map(|row| {
                let digest = row.text(0)?;
                let mut own = Vec::new();
                // Both lists are sorted by digest, and each tag points to an image.
                while let Some(tag) = tags.peek() {
                    if tag.text(0)? != digest {
                        break;
                    }
                    own.push(tag.parsed(1)?);
                    tags.next();
                }
                read(row, &digest, own)
            })
            .collect()
    }

    /// How many bytes nothing needs any more when these images are gone: those of their manifests, and those of blobs
    /// that no other image and no other repository needs. Memory does not grow with the repository.
    pub async fn freed_bytes(&mut self, gone: &HashSet<Digest>, manifests: u64) -> Result<u64, StoreError> {
        let mut freed = manifests;
        let (mut blob, mut image, mut is_needed) = (String::new(), String::new(), true);
        let mut unneeded = Vec::with_capacity(CHUNK);
        loop {
            let values = values![&self.id, &blob, &image, REFERENCES];
            let rows = self.session.fetch_all(REFERENCES_BY_BLOB, values).await?;
            for row in &rows {
                let next = row.text(0)?;
                if next != blob {
                    if !is_needed {
                        unneeded.push(std::mem::take(&mut blob));
                    }
                    if unneeded.len() == CHUNK {
                        freed += self.sizes(&unneeded).await?;
                        unneeded.clear();
                    }
                    (blob, is_needed) = (next, false);
                }
                image = row.text(1)?;
                is_needed |= !gone.contains(&image.parse().map_err(corrupt)?);
            }
            if rows.len() < REFERENCES {
                break;
            }
        }
        if !is_needed {
            unneeded.push(blob);
        }
        Ok(freed + self.sizes(&unneeded).await?)
    }

    async fn sizes(&mut self, digests: &[String]) -> Result<u64, StoreError> {
        let Some(last) = digests.last() else { return Ok(0) };
        let padded = digests.iter().chain(std::iter::repeat(last)).take(CHUNK);
        let values: Vec<_> = [Value::from(&self.id)]
            .into_iter()
            .chain(padded.map(Value::from))
            .collect();
        let rows = self.session.fetch_all(SIZES, &values).await?;
        rows.iter().map(|row| row.size(1)).sum()
    }

    /// Ends it; what is dropped without this costs a connection.
    pub async fn end(self) -> Result<(), StoreError> {
        self.session.end_snapshot().await
    }
}

fn read(row: &Row, digest: &str, tags: Vec<Tag>) -> Result<LifecycleRow, StoreError> {
    Ok(LifecycleRow {
        digest: digest.parse().map_err(corrupt)?,
        tags,
        pushed_at: row.time(1)?,
        image_bytes: row.size(2)?,
        manifest_bytes: row.size(3)?,
        subject: row.optional_parsed(4)?,
        is_in_index: row.bool(5)?,
        status: row.parsed(6)?,
        archived_at: row.optional_time(7)?,
        activated_at: row.optional_time(8)?,
        last_pulled_at: row.optional_time(9)?,
    })
}

impl LifecycleRow {
    /// Whether a rule would see the same. Whether an index lists the image is asked by what is done to it. That it was
    /// pulled matters only if the rule counts from there: else nobody could be rid of what is pulled all the time.
    pub(super) fn is_as_evaluated(&self, evaluated: &Self, counts_pulls: bool) -> bool {
        Self {
            is_in_index: evaluated.is_in_index,
            last_pulled_at: if counts_pulls {
                self.last_pulled_at
            } else {
                evaluated.last_pulled_at
            },
            ..self.clone()
        } == *evaluated
    }
}

const BY_DIGEST: &str = "
    SELECT i.digest, i.pushed_ms, i.image_bytes, i.manifest_bytes, i.subject,
           EXISTS (SELECT 1 FROM image_child c WHERE c.repository_id = i.repository_id AND c.child_digest = i.digest),
           i.status, i.archived_ms, i.activated_ms, i.last_pulled_ms
      FROM image i WHERE i.repository_id = $1 AND i.digest = $2";
const TAGS_OF: &str = "SELECT name FROM tag WHERE repository_id = $1 AND digest = $2 ORDER BY name";
/// One image as it is now, within a transaction.
pub(super) async fn find(session: &mut Session, id: &str, digest: &Digest) -> Result<Option<LifecycleRow>, StoreError> {
    let Some(row) = session.fetch_optional(BY_DIGEST, values![id, digest]).await? else {
        return Ok(None);
    };
    let tags = session.fetch_all(TAGS_OF, values![id, digest]).await?;
    let tags = tags.iter().map(|row| row.parsed(0)).collect::<Result<_, _>>()?;
    read(&row, &row.text(0)?, tags).map(Some)
}
