// SPDX-License-Identifier: Apache-2.0
//! What a store keeps, for whoever checks it.

use std::fmt::Debug;

use async_trait::async_trait;
use hythe_model::{Digest, StorageClass};

use crate::{BlobError, ByteStream};

/// Which bytes lie under the name of a blob: other ones, put there later, have another identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobIdentity(pub(crate) Box<str>);

/// A blob as it is kept now.
pub struct StoredBlob {
    /// The size that the store says it has, in bytes.
    pub size: u64,
    /// All of its bytes.
    pub bytes: ByteStream,
}

impl Debug for StoredBlob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StoredBlob")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// A store that can be checked from end to end while others use it.
///
/// What it says is of the place where bytes are kept, not of anything that is remembered or held open for readers.
#[async_trait]
pub trait BlobInventory: Debug + Send + Sync {
    /// The blobs after `after`, in the order of their digests, at most `limit` of them. What is put there or
    /// thrown away meanwhile may be in it or not.
    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<Digest>, BlobError>;

    /// Which bytes lie under the name of a blob now, whether or not they are its own; `None` if there are none.
    async fn identity(&self, blob: &Digest) -> Result<Option<BlobIdentity>, BlobError>;

    /// The storage classes that have bytes of a blob now: none, one, or both of them while it is moved.
    async fn classes(&self, blob: &Digest) -> Result<Vec<StorageClass>, BlobError>;

    /// The bytes of a blob, read anew.
    ///
    /// # Errors
    /// With [`std::io::ErrorKind::InvalidData`] or [`std::io::ErrorKind::UnexpectedEof`], also of the stream, if what
    /// is kept is not even formed like the blob. Other errors say nothing about the bytes.
    async fn open(&self, blob: &Digest) -> Result<Option<StoredBlob>, BlobError>;

    /// Puts the bytes of a blob aside, durably, if they are still those of `identity`; says whether they were. Nobody
    /// reads them any more, the next push of the blob brings new ones, and none of them is thrown away.
    async fn quarantine(&self, blob: &Digest, identity: &BlobIdentity) -> Result<bool, BlobError>;
}
