// SPDX-License-Identifier: Apache-2.0
//! Blobs, and through which repositories they may be read.

use std::time::Duration;

use async_trait::async_trait;
use hythe_access::Trail;
use hythe_catalog::{BlobCatalog, BlobRecord, CatalogError, NewBlob, Unlinked};
use hythe_model::{Digest, RepositoryPath, from_millis, millis};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use crate::cache::{Fact, Known};
use crate::session::{Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError, collection, repository, review, upload};

/// How long a request waits for bytes to be gone that are being deleted, before it is told to come back.
pub(crate) const MAX_DELETION_WAIT: Duration = Duration::from_secs(5);
/// How often it looks.
const DELETION_POLL: Duration = Duration::from_millis(20);

/// What a request has that waits for the bytes of a blob to be gone.
pub(crate) struct Patience {
    since: Instant,
    most: Duration,
}

impl Patience {
    pub(crate) fn new(most: Duration) -> Self {
        Self {
            since: Instant::now(),
            most,
        }
    }

    /// Waits for a moment; [`StoreError::Busy`] if that was long enough.
    pub(crate) async fn pause(&self) -> Result<(), StoreError> {
        if self.since.elapsed() >= self.most {
            return Err(StoreError::Busy);
        }
        sleep(DELETION_POLL).await;
        Ok(())
    }
}

/// A link that is about to be collected is told of no more, unless an image has come that needs it: whoever asks sends the
/// blob again.
const SELECT: &str = "
    SELECT b.size, b.content
      FROM repository r
      JOIN repository_blob l ON l.repository_id = r.id
      JOIN blob b ON b.digest = l.digest
     WHERE r.account_id = $1 AND r.name = $2 AND l.digest = $3
       AND (l.condemned_ms IS NULL
            OR EXISTS (SELECT 1 FROM image_blob n WHERE n.repository_id = l.repository_id AND n.blob_digest = l.digest))";
/// In the order of the index: sorted by name, a blob that every repository links would have to be sorted anew for
/// each question.
pub(crate) const SOURCES: &str = "
    SELECT r.name FROM repository_blob l JOIN repository r ON r.id = l.repository_id
     WHERE l.digest = $1 AND r.account_id = $2 ORDER BY l.repository_id LIMIT $3";

#[async_trait]
impl BlobCatalog for Store {
    async fn blob(&self, repository: &RepositoryPath, digest: &Digest) -> Result<Option<BlobRecord>, CatalogError> {
        let fact = Fact::Blob(digest);
        let cached = self.cache().map(|cache| (cache, cache.get(repository, fact)));
        if let Some((_, Ok(Known::Blob(blob)))) = cached {
            return Ok(Some(blob));
        }
        let values = values![&repository.account, &repository.name, digest];
        let Some(row) = self.point(SELECT, values).await?.into_iter().next() else {
            return Ok(None);
        };
        let blob = BlobRecord {
            size: row.size(0)?,
            inline: row.optional_bytes(1)?,
        };
        if let Some((cache, Err(ticket))) = cached {
            cache.put(ticket, repository, fact, Known::Blob(blob.clone()));
        }
        Ok(Some(blob))
    }

    async fn link_blob(&self, repository: &RepositoryPath, blob: NewBlob, now: Timestamp) -> Result<(), CatalogError> {
        let (due, patience) = (self.link_review_due(now), Patience::new(self.deletion_wait()));
        loop {
            let input = (repository.clone(), blob.clone(), now, due);
            let linked = self.write(Durability::Full, input, |session, (repository, blob, now, due)| {
                Box::pin(link(session, repository, blob, *now, *due))
            });
            match linked.await {
                Ok(Linked::Done) => return Ok(()),
                Ok(Linked::IsBeingDeleted) => patience.pause().await?,
                Err(error) => {
                    if blob.inline.is_none() && blob.upload.is_some() && matches!(error, CatalogError::Conflict) {
                        Trail::aside(self.review_unlinked(repository, &blob.digest, due)).await?;
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn mount_blob(
        &self,
        from: &RepositoryPath,
        to: &RepositoryPath,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        let input = (from.clone(), to.clone(), *digest, now, self.link_review_due(now));
        self.write(Durability::Full, input, |session, (from, to, digest, now, due)| {
            Box::pin(mount(session, from, to, digest, *now, *due))
        })
        .await
    }

    async fn unlink_blob(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Unlinked, CatalogError> {
        let input = (repository.clone(), *digest, now);
        self.write(Durability::Full, input, |session, (repository, digest, now)| {
            Box::pin(unlink(session, repository, digest, *now))
        })
        .await
    }

    async fn blob_sources(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<RepositoryPath>, CatalogError> {
        let account = &repository.account;
        let rows = self
            .reader()
            .await?
            .fetch_all(SOURCES, values![digest, account, limit])
            .await?;
        let path = |name| RepositoryPath {
            account: account.clone(),
            name,
        };
        Ok(rows
            .iter()
            .map(|row| row.parsed(0).map(path))
            .collect::<Result<_, StoreError>>()?)
    }
}

impl Store {
    /// When a link that is made at `now` is looked at, should nothing need it by then.
    fn link_review_due(&self, now: Timestamp) -> Timestamp {
        later(now, self.link_grace())
    }

    /// Queues bytes that were published for a session that has ended meanwhile: they may have come after those who
    /// looked when it ended.
    async fn review_unlinked(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let input = (repository.clone(), *digest, due);
        self.write(Durability::Full, input, |session, (repository, digest, due)| {
            Box::pin(async move {
                match repository::find_id(session, repository).await? {
                    Some(id) => review::link(session, &id, digest, *due).await,
                    None => Ok(()),
                }
            })
        })
        .await
    }
}

/// `time` and so long, or the end of the calendar.
pub(crate) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    from_millis(millis(time).saturating_add(by))
}

/// The first bytes stay where they are; but if they are other bytes than the digest's, as damage makes them, the new
/// ones, which were checked, replace them. Gives when the blob was first recorded, if it wrote.
const INSERT: &str = "
    INSERT INTO blob (digest, size, created_ms, content) VALUES ($1, $2, $3, $4)
    ON CONFLICT (digest) DO UPDATE SET size = excluded.size, content = excluded.content
     WHERE blob.content <> excluded.content
 RETURNING created_ms";
const LINKED_BY: &str = "
    SELECT r.account_id, r.name FROM repository_blob l JOIN repository r ON r.id = l.repository_id WHERE l.digest = $1";
/// Whoever is told that the blob is there now may rely on it as long as if it were new.
const LINK: &str = "
    INSERT INTO repository_blob (repository_id, digest, linked_ms) VALUES ($1, $2, $3)
    ON CONFLICT (repository_id, digest) DO UPDATE SET linked_ms = excluded.linked_ms, condemned_ms = NULL";
/// What came of linking.
enum Linked {
    Done,
    /// Not yet: the bytes of an earlier blob of this digest are being deleted.
    IsBeingDeleted,
}
async fn link(
    session: &mut Session,
    repository: &RepositoryPath,
    blob: &NewBlob,
    now: Timestamp,
    due: Timestamp,
) -> Result<Linked, CatalogError> {
    // Bytes in the row are not in the way of those that are being deleted, and what a session was sealed as is not deleted.
    if blob.inline.is_none() && blob.upload.is_none() && collection::is_claimed(session, &blob.digest).await? {
        return Ok(Linked::IsBeingDeleted);
    }
    let id = match blob.upload {
        Some(upload) => upload::finish(session, repository, upload, blob, now).await?,
        None => repository::find_id(session, repository)
            .await?
            .ok_or_else(|| CatalogError::RepositoryUnknown(repository.clone()))?,
    };
    session.note_digest(&blob.digest);
    let values = values![&blob.digest, blob.size, now, blob.inline.as_deref()];
    let written = session.fetch_optional(INSERT, values).await?;
    if written
        .map(|row| row.time(0))
        .transpose()?
        .is_some_and(|first| millis(first) != millis(now))
    {
        repaired(session, &blob.digest).await?;
    }
    session.execute(LINK, values![&id, &blob.digest, now]).await?;
    review::link(session, &id, &blob.digest, due).await?;
    Ok(Linked::Done)
}

/// Nobody reads the damaged bytes from memory any more.
async fn repaired(session: &mut Session, digest: &Digest) -> Result<(), StoreError> {
    tracing::warn!(blob.digest = %digest, "a push replaces a damaged blob in the metadata store");
    for row in session.fetch_all(LINKED_BY, values![digest]).await? {
        let repository = RepositoryPath {
            account: row.parsed(0)?,
            name: row.parsed(1)?,
        };
        session.touch(&repository, Fact::Blob(digest));
    }
    Ok(())
}

/// Gives a row if the source links the blob, whether or not the target did before.
const MOUNT: &str = "
    INSERT INTO repository_blob (repository_id, digest, linked_ms)
    SELECT $1, l.digest, $5
      FROM repository r JOIN repository_blob l ON l.repository_id = r.id
     WHERE r.account_id = $2 AND r.name = $3 AND l.digest = $4
    ON CONFLICT (repository_id, digest) DO UPDATE SET linked_ms = excluded.linked_ms, condemned_ms = NULL
 RETURNING digest";
async fn mount(
    session: &mut Session,
    from: &RepositoryPath,
    to: &RepositoryPath,
    digest: &Digest,
    now: Timestamp,
    due: Timestamp,
) -> Result<bool, CatalogError> {
    let Some(id) = repository::find_id(session, to).await? else {
        return Err(CatalogError::RepositoryUnknown(to.clone()));
    };
    let is_linked = session
        .fetch_optional(MOUNT, values![&id, &from.account, &from.name, digest, now])
        .await?
        .is_some();
    if is_linked {
        session.note_digest(digest);
        review::link(session, &id, digest, due).await?;
    }
    Ok(is_linked)
}

const NEEDED: &str = "SELECT image_digest FROM image_blob WHERE repository_id = $1 AND blob_digest = $2 LIMIT 1";
const UNLINK: &str = "DELETE FROM repository_blob WHERE repository_id = $1 AND digest = $2 RETURNING digest";
async fn unlink(
    session: &mut Session,
    repository: &RepositoryPath,
    digest: &Digest,
    now: Timestamp,
) -> Result<Unlinked, CatalogError> {
    let Some(id) = repository::find_id(session, repository).await? else {
        return Err(CatalogError::RepositoryUnknown(repository.clone()));
    };
    if session.fetch_optional(NEEDED, values![&id, digest]).await?.is_some() {
        return Ok(Unlinked::Needed);
    }
    if session.fetch_optional(UNLINK, values![&id, digest]).await?.is_none() {
        return Ok(Unlinked::Unknown);
    }
    review::link(session, &id, digest, now).await?;
    session.touch(repository, Fact::Blob(digest));
    session.note_digest(digest);
    Ok(Unlinked::Done)
}
