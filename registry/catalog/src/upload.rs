// SPDX-License-Identifier: Apache-2.0
//! Upload sessions: rows, so that they survive a restart and can go on at another node.

use async_trait::async_trait;
use bytes::Bytes;
use hythe_model::{Algorithm, Digest, RepositoryPath, UploadId};
use jiff::Timestamp;

use crate::CatalogError;

/// What a session has received so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// Few bytes (at most [`crate::MAX_INLINE_BLOB_BYTES`]), kept in the row itself.
    Buffered(Bytes),
    /// More bytes, which the blob store holds under the session's id.
    Stored {
        /// How many bytes count. The blob store may hold more, from a request that was cut off; they are overwritten.
        bytes: u64,
        /// The state of the hash over these bytes, as the blob store serialised it.
        hash_state: Bytes,
    },
}

impl UploadState {
    /// How many bytes the session has received.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Buffered(bytes) => bytes.len() as u64,
            Self::Stored { bytes, .. } => *bytes,
        }
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRecord {
    /// Its id.
    pub id: UploadId,
    /// The algorithm that is hashed while bytes arrive.
    pub algorithm: Algorithm,
    /// What has arrived.
    pub state: UploadState,
    /// Counts the changes of `state`; a writer names the one it read.
    pub version: i64,
    /// When the session is given up if nothing more arrives.
    pub expires_at: Timestamp,
    /// What its bytes were about to be published as, if a request came that far.
    pub sealed: Option<Digest>,
}

/// Upload sessions. A session belongs to one repository and is not found through another.
///
/// A store may forget the latest changes of a session in a power cut, but for [`UploadCatalog::seal_upload`];
/// it never forgets them if only the process ends. Whoever finds that the row knows less than was
/// acknowledged tells the client where to go on.
#[async_trait]
pub trait UploadCatalog {
    /// Opens an empty session.
    async fn begin_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        algorithm: Algorithm,
        expires_at: Timestamp,
    ) -> Result<(), CatalogError>;

    /// The session, unless it is unknown, finished, cancelled or expired at `now`.
    async fn upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        now: Timestamp,
    ) -> Result<Option<UploadRecord>, CatalogError>;

    /// Records what has arrived, if nobody changed the session since `version`; returns the new version.
    /// [`CatalogError::Conflict`] if somebody did, or if the session is gone.
    async fn advance_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        version: i64,
        state: UploadState,
        expires_at: Timestamp,
    ) -> Result<i64, CatalogError>;

    /// Records what has arrived, as [`UploadCatalog::advance_upload`] does, and that the bytes are about to be
    /// published as `digest`: durably, so that a crash between publishing and [`crate::BlobCatalog::link_blob`]
    /// leaves bytes that a row names. Of a session that is sealed already, the digest it had is queued for review.
    async fn seal_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        version: i64,
        digest: &Digest,
        state: UploadState,
        expires_at: Timestamp,
    ) -> Result<i64, CatalogError>;

    /// Forgets the session; says whether there was one. Its bytes in the blob store are then garbage; what it
    /// was sealed as is queued for review.
    async fn end_upload(&self, repository: &RepositoryPath, upload: UploadId) -> Result<bool, CatalogError>;

    /// Forgets up to `limit` sessions that expired at `now` and returns their ids. What they were sealed as is
    /// queued for review in the same step.
    async fn expire_uploads(&self, now: Timestamp, limit: usize) -> Result<Vec<UploadId>, CatalogError>;

    /// Those of `uploads` that are sessions, of whatever repository, expired or not; in no order.
    async fn known_uploads(&self, uploads: &[UploadId]) -> Result<Vec<UploadId>, CatalogError>;
}
