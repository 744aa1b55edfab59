// SPDX-License-Identifier: Apache-2.0
//! Blobs that are hashed when they are read, so that a disk that has changed bytes is found out.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use hythe_model::{Digest, StorageClass, UploadId};
use tokio::time::Instant;

use crate::{Appended, BlobError, BlobStore, ByteStream, CommitError, DeletionLock, Hasher, Progress};

/// The most blobs of which is remembered when they were found whole; of others, ranges are checked again.
const MAX_VERIFIED: usize = 16 * 1024;
/// The most damaged blobs that are remembered; others are found damaged again when they are read.
const MAX_DAMAGED: usize = 1024;

/// Is told of each blob that is found damaged, to count it for instance.
pub trait DamageListener: Debug + Send + Sync {
    /// The bytes of `blob` do not match its digest.
    fn damaged(&self, blob: &Digest);
}

/// Somebody who does not care.
impl DamageListener for () {
    fn damaged(&self, _blob: &Digest) {}
}

/// The cause of a [`BlobError`] about a blob that must not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes of blob `{0}` do not match their digest; a push of the blob repairs it")]
pub struct DamagedBlob(pub Digest);

impl From<DamagedBlob> for io::Error {
    fn from(error: DamagedBlob) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// A [`BlobStore`] that never serves a blob as good whose bytes do not match its digest.
///
/// A whole blob is hashed while it is streamed, and its last chunk is kept back until the digest agrees: a
/// damaged one ends with an error, short of its length. Before a part is served the whole is read and hashed,
/// unless that was done a short time ago. A damaged blob is refused at once from then on, until a push replaces
/// it. What is remembered is bounded, and lost with the process: then the next read finds out again.
#[derive(Clone, Debug)]
pub struct VerifyingBlobStore {
    inner: Arc<dyn BlobStore>,
    checks: Arc<Checks>,
}

#[derive(Debug)]
struct Checks {
    valid_for: Duration,
    listener: Arc<dyn DamageListener>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    verified: Recent<Instant>,
    damaged: Recent<()>,
    /// Counts replacements, so that who reads a file that is replaced meanwhile does not blame the new one.
    repairs: u64,
    /// Checks under way, so that many requests for parts of a blob wait for one check of it.
    under_way: HashMap<Digest, Weak<tokio::sync::Mutex<()>>>,
}

/// A map that forgets its oldest entries.
#[derive(Debug)]
struct Recent<V> {
    entries: HashMap<Digest, V>,
    order: VecDeque<Digest>,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<V> Recent<V> {
    /// Whether it is new.
    fn put(&mut self, blob: Digest, value: V, max: usize) -> bool {
        if self.entries.insert(blob, value).is_some() {
            return false;
        }
        self.order.push_back(blob);
        while self.order.len() > max {
            let Some(oldest) = self.order.pop_front() else { break };
            self.entries.remove(&oldest);
        }
        true
    }

    fn remove(&mut self, blob: &Digest) {
        if self.entries.remove(blob).is_some() {
            self.order.retain(|other| other != blob);
        }
    }
}

impl VerifyingBlobStore {
    /// Checks what `inner` reads. A blob that was found whole counts as whole for `valid_for` when parts of it are
    /// read; zero checks it each time.
    pub fn new(inner: Arc<dyn BlobStore>, valid_for: Duration, listener: Arc<dyn DamageListener>) -> Self {
        let checks = Checks {
            valid_for,
            listener,
            memory: Mutex::default(),
        };
        Self {
            inner,
            checks: Arc::new(checks),
        }
    }

    /// Whether the blob is known to be damaged.
    #[must_use]
    pub fn is_damaged(&self, blob: &Digest) -> bool {
        self.checks.memory().damaged.entries.contains_key(blob)
    }

    fn refuse_damaged(&self, blob: &Digest) -> Result<(), BlobError> {
        if self.is_damaged(blob) {
            Err(BlobError(DamagedBlob(*blob).into()))
        } else {
            Ok(())
        }
    }

    /// Reads and hashes a whole blob; `None` if it is not there.
    async fn check_whole(&self, blob: &Digest) -> Result<Option<()>, BlobError> {
        let turn = self.checks.turn(blob);
        let _turn = turn.lock().await;
        self.refuse_damaged(blob)?;
        if self.checks.is_fresh(blob) {
            return Ok(Some(()));
        }
        let check = Check::new(&self.checks, blob);
        let Some(stream) = self
            .inner
            .read(blob, 0..u64::MAX)
            .await
            .map_err(|error| check.read_error(error))?
        else {
            return Ok(None);
        };
        let mut stream = check.stream(stream);
        while stream.try_next().await?.is_some() {
            // What is in memory is read without waiting: others want to go on too.
            tokio::task::yield_now().await;
        }
        Ok(Some(()))
    }
}

impl Checks {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, blob: &Digest) -> bool {
        let memory = self.memory();
        let verified = memory.verified.entries.get(blob);
        verified.is_some_and(|at| at.elapsed() < self.valid_for)
    }

    fn turn(&self, blob: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut memory = self.memory();
        if let Some(turn) = memory.under_way.get(blob).and_then(Weak::upgrade) {
            return turn;
        }
        // Bounded by the requests that are under way.
        memory.under_way.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        memory.under_way.insert(*blob, Arc::downgrade(&turn));
        turn
    }

    fn replaced(&self, blob: &Digest) {
        let mut memory = self.memory();
        memory.repairs += 1;
        memory.damaged.remove(blob);
        memory.verified.remove(blob);
    }
}

/// One reading of a whole blob.
#[derive(Clone)]
struct Check {
    checks: Arc<Checks>,
    blob: Digest,
    repairs: u64,
}

impl Check {
    fn new(checks: &Arc<Checks>, blob: &Digest) -> Self {
        Self {
            checks: Arc::clone(checks),
            blob: *blob,
            repairs: checks.memory().repairs,
        }
    }

    fn passed(&self) {
        let mut memory = self.checks.memory();
        if memory.repairs == self.repairs {
            memory.verified.put(self.blob, Instant::now(), MAX_VERIFIED);
        }
    }

    fn failed(&self, actual: &dyn Debug) -> io::Error {
        let mut memory = self.checks.memory();
        // If some blob was replaced meanwhile it may have been this, and what was read its old file.
        if memory.repairs == self.repairs && memory.damaged.put(self.blob, (), MAX_DAMAGED) {
            memory.verified.remove(&self.blob);
            drop(memory);
            tracing::error!(blob.digest = %self.blob, actual = ?actual, "a blob is damaged");
            self.checks.listener.damaged(&self.blob);
        }
        DamagedBlob(self.blob).into()
    }

    /// A file that is not even formed like the blob is damaged as well; other errors may pass.
    fn read_error(&self, error: BlobError) -> BlobError {
        match error.0.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => BlobError(self.failed(&error.0)),
            _ => error,
        }
    }

    /// The chunks of `inner`, the last of them only if all of them together hash to the digest.
    fn stream(self, inner: ByteStream) -> ByteStream {
        let hasher = Hasher::new(self.blob.algorithm());
        let start = (inner, hasher, None::<Bytes>, self);
        Box::pin(
            futures::stream::try_unfold(Some(start), |state| async move {
                let Some((mut inner, mut hasher, held, check)) = state else {
                    return Ok(None);
                };
                match inner.next().await {
                    Some(Ok(chunk)) => {
                        hasher.update(&chunk);
                        Ok(Some((held, Some((inner, hasher, Some(chunk), check)))))
                    }
                    Some(Err(error)) => Err(check.read_error(BlobError(error)).0),
                    None => {
                        let actual = hasher.finish();
                        if actual != check.blob {
                            return Err(check.failed(&actual));
                        }
                        check.passed();
                        Ok(Some((held, None)))
                    }
                }
            })
            .try_filter_map(|chunk| async move { Ok(chunk) }),
        )
    }
}

#[async_trait]
impl BlobStore for VerifyingBlobStore {
    async fn size(&self, blob: &Digest) -> Result<Option<u64>, BlobError> {
        self.refuse_damaged(blob)?;
        let check = Check::new(&self.checks, blob);
        let size = self.inner.size(blob).await;
        size.map_err(|error| check.read_error(error))
    }

    /// Checks bytes that the metadata store holds, and reports them if they are damaged. They are few, so that
    /// this is done each time.
    ///
    /// # Errors
    /// With [`DamagedBlob`] as its cause if the bytes do not hash to `blob`.
    fn check_bytes(&self, blob: &Digest, bytes: &[u8]) -> Result<(), BlobError> {
        let mut hasher = Hasher::new(blob.algorithm());
        hasher.update(bytes);
        let actual = hasher.finish();
        if actual == *blob {
            return Ok(());
        }
        tracing::error!(blob.digest = %blob, actual.digest = %actual, "a blob in the metadata store is damaged");
        self.checks.listener.damaged(blob);
        Err(BlobError(DamagedBlob(*blob).into()))
    }

    /// Bytes of the metadata store are hashed each time. Of a file, what its header shows is looked at, and whether
    /// it was found damaged before.
    async fn is_sound(&self, blob: &Digest, inline: Option<&[u8]>) -> Result<bool, BlobError> {
        if let Some(bytes) = inline {
            return Ok(self.check_bytes(blob, bytes).is_ok());
        }
        match self.size(blob).await {
            Ok(size) => Ok(size.is_some()),
            Err(_) if self.is_damaged(blob) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, blob: &Digest, bytes: Range<u64>) -> Result<Option<ByteStream>, BlobError> {
        let Some(size) = self.size(blob).await? else {
            return Ok(None);
        };
        if bytes.start == 0 && bytes.end >= size {
            let check = Check::new(&self.checks, blob);
            let stream = self.inner.read(blob, bytes).await;
            return Ok(stream
                .map_err(|error| check.read_error(error))?
                .map(|stream| check.stream(stream)));
        }
        let is_nothing = bytes.start >= bytes.end.min(size);
        if !is_nothing && !self.checks.is_fresh(blob) && self.check_whole(blob).await?.is_none() {
            return Ok(None);
        }
        self.inner.read(blob, bytes).await
    }

    async fn append(&self, upload: UploadId, from: Progress, body: ByteStream, max_bytes: u64) -> Appended {
        self.inner.append(upload, from, body, max_bytes).await
    }

    async fn read_pending(&self, upload: UploadId, from: u64) -> Result<Option<Bytes>, BlobError> {
        self.inner.read_pending(upload, from).await
    }

    async fn commit(&self, upload: UploadId, progress: Progress, expected: &Digest) -> Result<u64, CommitError> {
        // A store keeps a blob that is there. Bytes that are known to be right take the place of damaged ones.
        let is_right = progress.hasher.algorithm() == expected.algorithm() && progress.hasher.finish() == *expected;
        let is_repair = is_right && self.is_damaged(expected);
        if is_repair {
            self.inner.distrust(expected);
        }
        let bytes = self.inner.commit(upload, progress, expected).await?;
        if is_repair {
            self.checks.replaced(expected);
            tracing::warn!(blob.digest = %expected, "a push has replaced a damaged blob");
        }
        Ok(bytes)
    }

    fn distrust(&self, blob: &Digest) {
        self.inner.distrust(blob);
    }

    async fn abandon(&self, upload: UploadId) -> Result<(), BlobError> {
        self.inner.abandon(upload).await
    }

    async fn stale_uploads(&self, untouched_for: Duration, limit: usize) -> Result<Vec<UploadId>, BlobError> {
        self.inner.stale_uploads(untouched_for, limit).await
    }

    async fn lock_deletion(&self, blob: &Digest) -> Result<DeletionLock, BlobError> {
        self.inner.lock_deletion(blob).await
    }

    async fn delete(&self, lock: DeletionLock) -> Result<(), BlobError> {
        let blob = *lock.blob();
        self.inner.delete(lock).await?;
        self.checks.replaced(&blob);
        Ok(())
    }

    async fn place(&self, blob: &Digest, class: StorageClass) -> Result<Option<u64>, BlobError> {
        self.inner.place(blob, class).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.inner.check().await
    }
}

#[cfg(test)]
mod tests;
