// SPDX-License-Identifier: Apache-2.0
//! The seam between the data plane and where bytes are kept.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use hythe_model::{Digest, StorageClass, UploadId};

use crate::Hasher;

/// The most bytes that [`BlobStore::read_pending`] answers.
pub const MAX_PENDING_BYTES: usize = 256 * 1024;

/// A body, chunk by chunk.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// How far an upload has come: how many bytes, and the hash over them. Whoever drives the upload keeps it
/// between calls (it can be serialised), so that the store itself remembers nothing but bytes.
#[derive(Clone, Debug)]
pub struct Progress {
    /// How many bytes count.
    pub bytes: u64,
    /// The hash over these bytes.
    pub hasher: Hasher,
}

/// What an append achieved. Bytes before a failure count: the client may go on behind them.
#[derive(Debug)]
pub struct Appended {
    /// How far the upload is now.
    pub progress: Progress,
    /// Why it stopped before the end of the body, if it did.
    pub failure: Option<AppendError>,
}

/// Why an append stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The body broke off: the client went away, or sent less than it said.
    #[error("the body broke off")]
    Body(#[source] io::Error),
    /// The upload would pass `max_bytes`.
    #[error("the blob is larger than {0} bytes")]
    TooLarge(u64),
    /// Another request writes to the same upload.
    #[error("another request is writing to this upload")]
    Busy,
    /// The store does not have the bytes of this upload, or fewer than its progress says, as after a power cut.
    #[error("the upload is not there")]
    UploadUnknown,
    /// There is no room for the bytes.
    #[error("the blob store is full")]
    Full(#[source] io::Error),
    /// The store failed.
    #[error("cannot write the upload")]
    Store(#[source] io::Error),
}

/// Why an upload was not published.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The bytes hash to something else; the upload stays as it is.
    #[error("the bytes hash to `{actual}`, not to `{expected}`")]
    DigestMismatch {
        /// What the client said.
        expected: Digest,
        /// What the bytes are.
        actual: Digest,
    },
    /// The store does not have the bytes of this upload, or fewer than its progress says.
    #[error("the upload is not there")]
    UploadUnknown,
    /// Another request writes to the same upload.
    #[error("another request is writing to this upload")]
    Busy,
    /// There is no room for the bytes.
    #[error("the blob store is full")]
    Full(#[source] io::Error),
    /// The store failed.
    #[error("cannot publish the upload")]
    Store(#[source] io::Error),
}

/// The store failed; this is never said of a blob that is just absent.
#[derive(Debug, thiserror::Error)]
#[error("the blob store failed")]
pub struct BlobError(#[from] pub io::Error);

/// The right to delete a blob, which nobody else has meanwhile: see [`BlobStore::lock_deletion`].
#[derive(Debug)]
#[must_use = "the right ends when this is dropped"]
pub struct DeletionLock {
    blob: Digest,
    _held: Option<File>,
}

impl DeletionLock {
    /// A right that ends when `held` is closed.
    pub(crate) fn new(blob: Digest, held: Option<File>) -> Self {
        Self { blob, _held: held }
    }

    /// The blob that may be deleted.
    #[must_use]
    pub fn blob(&self) -> &Digest {
        &self.blob
    }
}

/// Throws a blob away, if it is there, for somebody who need not look anywhere before.
pub async fn delete_blob(store: &dyn BlobStore, blob: &Digest) -> Result<(), BlobError> {
    let lock = store.lock_deletion(blob).await?;
    store.delete(lock).await
}

/// Content-addressed bytes. Knows digests; knows no repositories, tags or HTTP.
#[async_trait]
pub trait BlobStore: Debug + Send + Sync {
    /// The size of a blob, in bytes.
    async fn size(&self, blob: &Digest) -> Result<Option<u64>, BlobError>;

    /// A part of a blob, as a stream of chunks of at most 128 KiB. A range past the end is cut at the end.
    async fn read(&self, blob: &Digest, bytes: Range<u64>) -> Result<Option<ByteStream>, BlobError>;

    /// As [`Self::read`], for a connection that lets the kernel send files: chunks may be parts of a file that only
    /// [`crate::file_part`] should look at. For those who need to see the bytes, `read` is right.
    async fn read_to_send(&self, blob: &Digest, bytes: Range<u64>) -> Result<Option<ByteStream>, BlobError> {
        self.read(blob, bytes).await
    }

    /// Appends a body to an upload that has come as far as `from`; the first append creates it. Whatever the
    /// store holds behind `from` is overwritten. At most `max_bytes` in all.
    async fn append(&self, upload: UploadId, from: Progress, body: ByteStream, max_bytes: u64) -> Appended;

    /// Bytes behind `from` of an upload that a request of this process is writing now, as many as are there and at most
    /// [`MAX_PENDING_BYTES`]; nobody has checked them yet. Nothing if they are still to come; `None` if nobody writes, or
    /// the store cannot tell.
    async fn read_pending(&self, _upload: UploadId, _from: u64) -> Result<Option<Bytes>, BlobError> {
        Ok(None)
    }

    /// Publishes the first `progress.bytes` bytes of the upload as `expected`, atomically and durably, if
    /// they hash to it, and forgets the upload. A blob that is there already stays as it is. If an earlier call
    /// published these bytes, and nobody came to know, this one succeeds as well.
    async fn commit(&self, upload: UploadId, progress: Progress, expected: &Digest) -> Result<u64, CommitError>;

    /// Throws the bytes of an upload away, if there are any.
    async fn abandon(&self, upload: UploadId) -> Result<(), BlobError>;

    /// Up to `limit` uploads whose bytes nobody has touched for so long, those first that were left first. None
    /// that a request is writing to. To be thrown away if nobody knows them any more.
    async fn stale_uploads(&self, untouched_for: Duration, limit: usize) -> Result<Vec<UploadId>, BlobError>;

    /// The bytes of a blob turned out to be wrong: the next commit of it shall put its own in their place, in one step,
    /// rather than keep what is there. Until then nothing changes.
    fn distrust(&self, blob: &Digest);

    /// Moves the bytes of a blob to where a storage class has them, durably, and so that they can be read at every
    /// moment; says how many there are, or `None` if there is no such blob. If they are there already it sees to it that
    /// they are nowhere else. All other methods find a blob wherever it is.
    async fn place(&self, blob: &Digest, class: StorageClass) -> Result<Option<u64>, BlobError>;

    /// Waits, for a bounded time, until nobody else has the right to delete this blob, and takes it: whoever decides by
    /// what a database says that a blob shall be deleted looks there again while he has it, so that one who was held up
    /// between looking and deleting is never overtaken by another one, and by what comes after that one. The right ends
    /// when it is dropped, and with the process. A store that is used by one process only need not have more than this.
    ///
    /// # Errors
    /// Also if somebody has the right for too long.
    async fn lock_deletion(&self, blob: &Digest) -> Result<DeletionLock, BlobError> {
        Ok(DeletionLock::new(*blob, None))
    }

    /// Throws a blob away, if it is there, wherever it is, durably. The right ends when that is over, even if this future is dropped.
    async fn delete(&self, lock: DeletionLock) -> Result<(), BlobError>;

    /// Checks bytes of a blob that are kept elsewhere, if this store verifies what it reads; see [`crate::VerifyingBlobStore`].
    fn check_bytes(&self, _blob: &Digest, _bytes: &[u8]) -> Result<(), BlobError> {
        Ok(())
    }

    /// Whether a blob that the metadata store lists, with its bytes if it keeps them, may be called present. A store that
    /// verifies what it reads says no of one that it knows to be damaged, or that is not there: who asks before sending
    /// then sends it again. Others take the metadata store's word.
    async fn is_sound(&self, _blob: &Digest, _inline: Option<&[u8]>) -> Result<bool, BlobError> {
        Ok(true)
    }

    /// Whether the store can be read and written now; for readiness.
    async fn check(&self) -> Result<(), BlobError>;
}
