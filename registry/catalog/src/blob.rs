// SPDX-License-Identifier: Apache-2.0
//! Blobs, and through which repositories they may be read.

use async_trait::async_trait;
use bytes::Bytes;
use hythe_model::{Digest, RepositoryPath, UploadId};
use jiff::Timestamp;

use crate::CatalogError;

/// Blobs up to this size, in bytes, live in the metadata store beside their row: one commit, no file.
pub const MAX_INLINE_BLOB_BYTES: usize = 64 * 1024;

/// A blob that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRecord {
    /// Its size, in bytes.
    pub size: u64,
    /// Its bytes, if they are kept here; `None` if the blob store has them.
    pub inline: Option<Bytes>,
}

/// A blob to record, whose bytes are durable already (in `inline`, or in the blob store).
#[derive(Clone, Debug)]
pub struct NewBlob {
    /// Its digest, which was checked.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
    /// Its bytes if there are at most [`MAX_INLINE_BLOB_BYTES`]; `None` if the blob store has them.
    pub inline: Option<Bytes>,
    /// The session that brought it, which ends with this.
    pub upload: Option<UploadId>,
}

/// What came of taking a blob out of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlinked {
    /// The repository does not link it any more. The bytes are queued for review: others may link them.
    Done,
    /// The repository did not link it.
    Unknown,
    /// An image of the repository needs it; it stays.
    Needed,
}

/// Blobs and their links to repositories.
#[async_trait]
pub trait BlobCatalog {
    /// The blob, if the repository links it.
    async fn blob(&self, repository: &RepositoryPath, digest: &Digest) -> Result<Option<BlobRecord>, CatalogError>;

    /// Records a blob, links it to the repository, and ends its session. A blob that is known already is
    /// only linked: its first bytes stay where they are. If these were kept here and have become others, `inline`
    /// replaces them.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] if `upload` is named and no longer there.
    async fn link_blob(&self, repository: &RepositoryPath, blob: NewBlob, now: Timestamp) -> Result<(), CatalogError>;

    /// Links a blob that `from` links to `to` as well; says whether `from` links it.
    async fn mount_blob(
        &self,
        from: &RepositoryPath,
        to: &RepositoryPath,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, CatalogError>;

    /// Takes the link of a blob out of the repository, unless an image of the repository needs it.
    async fn unlink_blob(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Unlinked, CatalogError>;

    /// Links a blob that any of the account's repositories links (automatic content discovery, OCI
    /// Distribution Specification 1.1, "Mounting a blob from another repository"): the repositories of the
    /// account that link it, at most `limit` of them, whichever. The operation decides which the caller may read.
    async fn blob_sources(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<RepositoryPath>, CatalogError>;
}
