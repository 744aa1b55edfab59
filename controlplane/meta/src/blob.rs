// SPDX-License-Identifier: Apache-2.0
//! Blobs, and through which repositories they may be read.

use async_trait::async_trait;
use hythe_catalog::{BlobCatalog, BlobRecord, CatalogError, NewBlob, Unlinked};
use hythe_model::{Digest, RepositoryPath, millis};
use jiff::Timestamp;

use crate::cache::{Fact, Known};
use crate::session::{Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError, repository, review, upload};

const SELECT: &str = "
    SELECT b.size, b.content
      FROM repository r
      JOIN repository_blob l ON l.repository_id = r.id
      JOIN blob b ON b.digest = l.digest
     WHERE r.account_id = $1 AND r.name = $2 AND l.digest = $3";
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
        let input = (repository.clone(), blob, now);
        self.write(Durability::Full, input, |session, (repository, blob, now)| {
            Box::pin(link(session, repository, blob, *now))
        })
        .await
    }

    async fn mount_blob(
        &self,
        from: &RepositoryPath,
        to: &RepositoryPath,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        let input = (from.clone(), to.clone(), *digest, now);
        self.write(Durability::Full, input, |session, (from, to, digest, now)| {
            Box::pin(mount(session, from, to, digest, *now))
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

/// The first bytes stay where they are; but if they are other bytes than the digest's, as damage makes them, the new
/// ones, which were checked, replace them. Gives when the blob was first recorded, if it wrote.
const INSERT: &str = "
    INSERT INTO blob (digest, size, created_ms, content) VALUES ($1, $2, $3, $4)
    ON CONFLICT (digest) DO UPDATE SET size = excluded.size, content = excluded.content
     WHERE blob.content <> excluded.content
 RETURNING created_ms";
const LINKED_BY: &str = "
    SELECT r.account_id, r.name FROM repository_blob l JOIN repository r ON r.id = l.repository_id WHERE l.digest = $1";
const LINK: &str = "
    INSERT INTO repository_blob (repository_id, digest, linked_ms) VALUES ($1, $2, $3)
    ON CONFLICT (repository_id, digest) DO NOTHING";
async fn link(
    session: &mut Session,
    repository: &RepositoryPath,
    blob: &NewBlob,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let id = match blob.upload {
        Some(upload) => upload::finish(session, repository, upload, &blob.digest, now).await?,
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
    review::link(session, &id, &blob.digest, now).await?;
    Ok(())
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
    ON CONFLICT (repository_id, digest) DO UPDATE SET linked_ms = repository_blob.linked_ms
 RETURNING digest";
async fn mount(
    session: &mut Session,
    from: &RepositoryPath,
    to: &RepositoryPath,
    digest: &Digest,
    now: Timestamp,
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
        review::link(session, &id, digest, now).await?;
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
