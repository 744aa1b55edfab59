// SPDX-License-Identifier: Apache-2.0
//! Upload sessions.

use async_trait::async_trait;
use bytes::Bytes;
use hythe_access::Trail;
use hythe_catalog::{CatalogError, NewBlob, UploadCatalog, UploadRecord, UploadState};
use hythe_model::{Algorithm, Digest, RepositoryPath, UploadId};
use jiff::Timestamp;

use crate::blob::{Patience, later};
use crate::session::{Row, Session, Value, values};
use crate::writer::Durability;
use crate::{Store, StoreError, collection, repository, review};

const BEGIN: &str = "
    INSERT INTO upload (id, repository_id, algorithm, bytes, content, version, expires_ms)
    SELECT $3, id, $4, 0, $5, 0, $6 FROM repository WHERE account_id = $1 AND name = $2
 RETURNING version";
const SELECT: &str = "
    SELECT u.algorithm, u.content, u.bytes, u.hash_state, u.version, u.expires_ms, u.sealed_digest
      FROM repository r JOIN upload u ON u.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2 AND u.id = $3 AND u.expires_ms > $4";
const ADVANCE: &str = "
    UPDATE upload SET content = $4, bytes = $5, hash_state = $6, expires_ms = $7, version = version + 1
     WHERE id = $3 AND version = $8
       AND repository_id = (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING version";
const SEALED_AS: &str = "
    SELECT sealed_digest, repository_id FROM upload
     WHERE id = $3 AND version = $4
       AND repository_id = (SELECT id FROM repository WHERE account_id = $1 AND name = $2)";
const SEAL: &str = "UPDATE upload SET sealed_digest = $2 WHERE id = $1";
const END: &str = "
    DELETE FROM upload
     WHERE id = $3 AND repository_id = (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING id, repository_id, sealed_digest, expires_ms";
pub(crate) const EXPIRE: &str = "
    DELETE FROM upload
     WHERE id IN (SELECT id FROM upload WHERE expires_ms <= $1 ORDER BY expires_ms, id LIMIT $2)
 RETURNING id, repository_id, sealed_digest";
/// How many ids [`KNOWN`] takes. A shorter list repeats its last one, so that the text is always the same.
const KNOWN_CHUNK: usize = 32;
const KNOWN: &str = "
    SELECT id FROM upload
     WHERE id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                  $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)";

#[async_trait]
impl UploadCatalog for Store {
    async fn begin_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        algorithm: Algorithm,
        expires_at: Timestamp,
    ) -> Result<(), CatalogError> {
        let nothing: &[u8] = &[];
        let values = values![
            &repository.account,
            &repository.name,
            upload,
            algorithm.as_str(),
            nothing,
            expires_at
        ];
        if self.write_one(Durability::Relaxed, BEGIN, values).await?.is_empty() {
            return Err(CatalogError::RepositoryUnknown(repository.clone()));
        }
        Ok(())
    }

    async fn upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        now: Timestamp,
    ) -> Result<Option<UploadRecord>, CatalogError> {
        let values = values![&repository.account, &repository.name, upload, now];
        let row = self.point(SELECT, values).await?.into_iter().next();
        Ok(row.map(|row| read(upload, &row)).transpose()?)
    }

    async fn advance_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        version: i64,
        state: UploadState,
        expires_at: Timestamp,
    ) -> Result<i64, CatalogError> {
        let change = Advance {
            repository,
            upload,
            version,
            state: &state,
            expires_at,
        };
        let rows = self.write_one(Durability::Relaxed, ADVANCE, &change.values()).await?;
        match rows.first() {
            Some(row) => Ok(row.int(0)?),
            None => Err(not_advanced(&mut self.reader().await?, repository).await?),
        }
    }

    async fn seal_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        version: i64,
        digest: &Digest,
        state: UploadState,
        expires_at: Timestamp,
    ) -> Result<i64, CatalogError> {
        let patience = Patience::new(self.deletion_wait());
        loop {
            let input = (repository.clone(), upload, version, *digest, state.clone(), expires_at);
            // Nothing has changed yet but what the session is about to become.
            let sealed = self.write(
                Durability::Full,
                input,
                |session, (repository, upload, version, digest, state, expires_at)| {
                    let change = Advance {
                        repository,
                        upload: *upload,
                        version: *version,
                        state,
                        expires_at: *expires_at,
                    };
                    Box::pin(seal(session, change, digest))
                },
            );
            match Trail::aside(sealed).await? {
                Some(version) => return Ok(version),
                None => patience.pause().await?,
            }
        }
    }

    async fn end_upload(&self, repository: &RepositoryPath, upload: UploadId) -> Result<bool, CatalogError> {
        self.write(
            Durability::Relaxed,
            (repository.clone(), upload),
            |session, (repository, upload)| {
                Box::pin(async move {
                    let values = values![&repository.account, &repository.name, *upload];
                    let Some(row) = session.fetch_optional(END, values).await? else {
                        return Ok(false);
                    };
                    // Whoever ends a session cannot say what time it is; it would have ended by then anyway.
                    review_sealed(session, &row, row.time(3)?).await?;
                    Ok(true)
                })
            },
        )
        .await
    }

    async fn expire_uploads(&self, now: Timestamp, limit: usize) -> Result<Vec<UploadId>, CatalogError> {
        // A request that is just publishing the bytes is done by then.
        let due = later(now, self.link_grace());
        self.write(Durability::Relaxed, (now, limit, due), |session, (now, limit, due)| {
            Box::pin(async move {
                let rows = session.fetch_all(EXPIRE, values![*now, *limit]).await?;
                let mut expired = Vec::with_capacity(rows.len());
                for row in &rows {
                    expired.push(row.parsed(0)?);
                    review_sealed(session, row, *due).await?;
                }
                Ok(expired)
            })
        })
        .await
    }

    async fn known_uploads(&self, uploads: &[UploadId]) -> Result<Vec<UploadId>, CatalogError> {
        let mut known = Vec::new();
        for chunk in uploads.chunks(KNOWN_CHUNK) {
            let padded = chunk.iter().chain(chunk.last().into_iter().cycle()).take(KNOWN_CHUNK);
            let values: Vec<_> = padded.map(|upload| Value::from(*upload)).collect();
            for row in self.reader().await?.fetch_all(KNOWN, &values).await? {
                known.push(row.parsed(0)?);
            }
        }
        Ok(known)
    }
}

/// A change of what a session has received.
struct Advance<'a> {
    repository: &'a RepositoryPath,
    upload: UploadId,
    version: i64,
    state: &'a UploadState,
    expires_at: Timestamp,
}

impl<'a> Advance<'a> {
    /// For [`ADVANCE`].
    fn values(&self) -> [Value<'a>; 8] {
        let (content, hash_state): (Option<&[u8]>, Option<&[u8]>) = match self.state {
            UploadState::Buffered(content) => (Some(content), None),
            UploadState::Stored { hash_state, .. } => (None, Some(hash_state)),
        };
        [
            (&self.repository.account).into(),
            (&self.repository.name).into(),
            self.upload.into(),
            content.into(),
            self.state.bytes().into(),
            hash_state.into(),
            self.expires_at.into(),
            self.version.into(),
        ]
    }
}

/// Why no row was advanced.
async fn not_advanced(session: &mut Session, repository: &RepositoryPath) -> Result<CatalogError, StoreError> {
    let is_known = repository::find_id(session, repository).await?.is_some();
    Ok(if is_known {
        CatalogError::Conflict
    } else {
        CatalogError::RepositoryUnknown(repository.clone())
    })
}

const KEEP_SEAL: &str = "
    INSERT INTO upload_seal (digest, upload_id) VALUES ($1, $2) ON CONFLICT (digest, upload_id) DO NOTHING";
/// `None` while bytes of the digest are being deleted: none may be published meanwhile.
async fn seal(session: &mut Session, change: Advance<'_>, digest: &Digest) -> Result<Option<i64>, CatalogError> {
    if collection::is_claimed(session, digest).await? {
        return Ok(None);
    }
    let RepositoryPath { account, name } = change.repository;
    let values = values![account, name, change.upload, change.version];
    let Some(row) = session.fetch_optional(SEALED_AS, values).await? else {
        return Err(not_advanced(session, change.repository).await?);
    };
    if let Some(before) = row.optional_parsed::<Digest>(0)?
        && before != *digest
    {
        // Its bytes may have been published, and somebody may be about to link them.
        session.execute(KEEP_SEAL, values![&before, change.upload]).await?;
        review::link(session, &row.text(1)?, &before, change.expires_at).await?;
    }
    session.execute(SEAL, values![change.upload, digest]).await?;
    Ok(Some(session.fetch_one(ADVANCE, &change.values()).await?.int(0)?))
}

/// Queues what an ended session was sealed as; `row` is one of [`END`] or [`EXPIRE`].
async fn review_sealed(session: &mut Session, row: &Row, due: Timestamp) -> Result<(), StoreError> {
    match row.optional_parsed::<Digest>(2)? {
        Some(digest) => review::link(session, &row.text(1)?, &digest, due).await,
        None => Ok(()),
    }
}

fn read(id: UploadId, row: &Row) -> Result<UploadRecord, StoreError> {
    let state = match row.optional_bytes(3)? {
        Some(hash_state) => UploadState::Stored {
            bytes: row.size(2)?,
            hash_state,
        },
        None => UploadState::Buffered(row.optional_bytes(1)?.unwrap_or_else(Bytes::new)),
    };
    Ok(UploadRecord {
        id,
        algorithm: row.parsed(0)?,
        state,
        version: row.int(4)?,
        expires_at: row.time(5)?,
        sealed: row.optional_parsed(6)?,
    })
}

const WAS_SEALED: &str = "SELECT 1 FROM upload_seal WHERE digest = $1 AND upload_id = $2";

/// Ends the session that brought `blob`, as a part of a larger transaction; gives the key of the repository.
///
/// Bytes of the blob store count only if the session was sealed as them, which kept them from being deleted since.
pub(crate) async fn finish(
    session: &mut Session,
    repository: &RepositoryPath,
    upload: UploadId,
    blob: &NewBlob,
    now: Timestamp,
) -> Result<String, CatalogError> {
    let values = values![&repository.account, &repository.name, upload];
    let Some(row) = session.fetch_optional(END, values).await? else {
        return Err(not_advanced(session, repository).await?);
    };
    let sealed = row.optional_parsed::<Digest>(2)?;
    if sealed != Some(blob.digest) {
        let values = values![&blob.digest, upload];
        if blob.inline.is_none() && session.fetch_optional(WAS_SEALED, values).await?.is_none() {
            return Err(CatalogError::Conflict);
        }
        review_sealed(session, &row, now).await?;
    }
    Ok(row.text(1)?)
}
