// SPDX-License-Identifier: Apache-2.0
//! Upload sessions.

use async_trait::async_trait;
use bytes::Bytes;
use hythe_catalog::{CatalogError, UploadCatalog, UploadRecord, UploadState};
use hythe_model::{Algorithm, RepositoryPath, UploadId};
use jiff::Timestamp;

use crate::session::{Row, Session, values};
use crate::{Store, StoreError, repository};

const BEGIN: &str = "
    INSERT INTO upload (id, repository_id, algorithm, bytes, content, version, expires_ms)
    SELECT $3, id, $4, 0, $5, 0, $6 FROM repository WHERE account_id = $1 AND name = $2
 RETURNING version";
const SELECT: &str = "
    SELECT u.algorithm, u.content, u.bytes, u.hash_state, u.version, u.expires_ms
      FROM repository r JOIN upload u ON u.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2 AND u.id = $3 AND u.expires_ms > $4";
const ADVANCE: &str = "
    UPDATE upload SET content = $4, bytes = $5, hash_state = $6, expires_ms = $7, version = version + 1
     WHERE id = $3 AND version = $8
       AND repository_id = (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING version";
const END: &str = "
    DELETE FROM upload
     WHERE id = $3 AND repository_id = (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING id";
const EXPIRE: &str = "
    DELETE FROM upload
     WHERE id IN (SELECT id FROM upload WHERE expires_ms <= $1 ORDER BY expires_ms, id LIMIT $2)
 RETURNING id";

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
        if self.write_one(BEGIN, values).await?.is_empty() {
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
        let row = self.reader().await?.fetch_optional(SELECT, values).await?;
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
        let (content, hash_state): (Option<&[u8]>, Option<&[u8]>) = match &state {
            UploadState::Buffered(content) => (Some(content), None),
            UploadState::Stored { hash_state, .. } => (None, Some(hash_state)),
        };
        let RepositoryPath { account, name } = repository;
        let values = values![
            account,
            name,
            upload,
            content,
            state.bytes(),
            hash_state,
            expires_at,
            version
        ];
        match self.write_one(ADVANCE, values).await?.first() {
            Some(row) => Ok(row.int(0)?),
            None if repository::find_id(&mut self.reader().await?, repository)
                .await?
                .is_none() =>
            {
                Err(CatalogError::RepositoryUnknown(repository.clone()))
            }
            None => Err(CatalogError::Conflict),
        }
    }

    async fn end_upload(&self, repository: &RepositoryPath, upload: UploadId) -> Result<bool, CatalogError> {
        let values = values![&repository.account, &repository.name, upload];
        Ok(!self.write_one(END, values).await?.is_empty())
    }

    async fn expire_uploads(&self, now: Timestamp, limit: usize) -> Result<Vec<UploadId>, CatalogError> {
        let rows = self.write_one(EXPIRE, values![now, limit]).await?;
        Ok(rows
            .iter()
            .map(|row| row.parsed(0))
            .collect::<Result<_, StoreError>>()?)
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
    })
}

const FINISH: &str = "DELETE FROM upload WHERE id = $1 AND repository_id = $2 RETURNING id";
/// Ends a session as a part of a larger transaction; says whether there was one.
pub(crate) async fn finish(session: &mut Session, repository_id: &str, upload: UploadId) -> Result<bool, StoreError> {
    Ok(session
        .fetch_optional(FINISH, values![upload, repository_id])
        .await?
        .is_some())
}
