// SPDX-License-Identifier: Apache-2.0
//! Blobs as files of a local file system.

mod append;
mod archive;
mod buffer;
mod content;
mod deletion;
mod disk;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod header;
mod inventory;
mod layout;
mod mapping;
mod open_blobs;
mod publish;
mod stale;
mod sys;
#[cfg(test)]
mod tests;
mod uploads;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hythe_model::{Digest, StorageClass, UploadId, fail_point};
use tokio::sync::Semaphore;

use crate::{
    AppendError, Appended, BlobError, BlobStore, ByteStream, CommitError, DeletionLock, MAX_PENDING_BYTES, Progress,
};
use append::{Means, Writer};
use archive::Moves;
#[cfg(any(test, feature = "test-support"))]
pub(crate) use buffer::BLOCK_BYTES;
use content::{BlobFile, Buffers, Form};
pub(crate) use disk::{Disk, SystemDisk};
use inventory::Quarantined;
use layout::Layout;
use open_blobs::OpenBlobs;
use publish::Doubtful;
use uploads::Uploads;

pub use content::CHUNK_BYTES;
pub use mapping::{FilePart, file_part};

/// A [`BlobStore`] in a folder of its own: one file for each blob, one for each upload.
///
/// An upload is renamed to its blob, so both must be in one file system; the folder must not be shared with
/// another process that writes to it. Blob files begin with a header page that says plain or sealed, so that
/// encryption at rest needs no other layout.
#[derive(Clone, Debug)]
pub struct FsBlobStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    disk: Arc<dyn Disk>,
    uploads: Arc<Uploads>,
    open_blobs: OpenBlobs,
    buffers: Arc<Buffers>,
    means: Means,
    /// Blobs whose name may not be on the disk.
    doubtful: Doubtful,
    /// Blobs whose bytes were put aside.
    quarantined: Quarantined,
    /// Read while a blob gets its name, written while one is put aside.
    publishing: RwLock<()>,
    moves: Moves,
    /// The permit to read ahead in a new blob.
    warming: Arc<Semaphore>,
}

impl FsBlobStore {
    /// Opens the store below `root`, and creates it (mode 0700) if it is not there. What it costs does not
    /// depend on what is stored.
    pub fn open(root: &Path) -> io::Result<Self> {
        Self::open_on(root, None, Arc::new(SystemDisk))
    }

    /// The same, with archived blobs below `archive`, which may be on another disk; it is created if it is not there. A
    /// store that has archived blobs wants the same folder each time.
    pub fn open_with_archive(root: &Path, archive: &Path) -> io::Result<Self> {
        Self::open_on(root, Some(archive), Arc::new(SystemDisk))
    }

    pub(crate) fn open_on(root: &Path, archive: Option<&Path>, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let layout = Layout::create(root, archive, &*disk)?;
        archive::check_at_start(&layout, archive.is_some(), &*disk)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let means = Means {
            disk: Arc::clone(&disk),
            buffers: Arc::default(),
            hashers: Arc::new(Semaphore::new(cores - 1)),
            can_bypass: Arc::new(AtomicBool::new(true)),
        };
        let quarantined = Quarantined::load(
            [StorageClass::Standard, StorageClass::Archive]
                .map(|class| layout.quarantine(class))
                .each_ref()
                .map(|dir| &**dir),
        )?;
        let inner = Inner {
            layout,
            disk,
            uploads: Arc::default(),
            open_blobs: OpenBlobs::default(),
            buffers: Arc::default(),
            means,
            doubtful: Doubtful::default(),
            quarantined,
            publishing: RwLock::default(),
            moves: Moves::default(),
            warming: Arc::new(Semaphore::new(1)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs something that waits for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, io::Error> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(io::Error::other)
    }

    async fn blob(&self, blob: &Digest) -> io::Result<Option<Arc<BlobFile>>> {
        if let Some(file) = self.inner.open_blobs.get(blob) {
            return Ok(Some(file));
        }
        let blob = *blob;
        self.blocking(move |inner| {
            let ticket = inner.open_blobs.ticket();
            let file = inner.find(&blob)?.map(Arc::new);
            if let Some(file) = &file {
                inner.open_blobs.keep(blob, file, ticket);
            }
            Ok(file)
        })
        .await?
    }
}

#[async_trait]
impl BlobStore for FsBlobStore {
    async fn size(&self, blob: &Digest) -> Result<Option<u64>, BlobError> {
        Ok(self.blob(blob).await?.map(|file| file.size()))
    }

    async fn read(&self, blob: &Digest, bytes: Range<u64>) -> Result<Option<ByteStream>, BlobError> {
        let Some(file) = self.blob(blob).await? else {
            return Ok(None);
        };
        let buffers = Arc::clone(&self.inner.buffers);
        Ok(Some(Box::pin(content::stream(file, bytes, buffers, Form::Copied))))
    }

    async fn read_to_send(&self, blob: &Digest, bytes: Range<u64>) -> Result<Option<ByteStream>, BlobError> {
        let Some(file) = self.blob(blob).await? else {
            return Ok(None);
        };
        let buffers = Arc::clone(&self.inner.buffers);
        Ok(Some(Box::pin(content::stream(file, bytes, buffers, Form::MayBeMapped))))
    }

    async fn append(&self, upload: UploadId, from: Progress, body: ByteStream, max_bytes: u64) -> Appended {
        let inner = &self.inner;
        let Some(claim) = inner.uploads.claim(upload) else {
            return Appended {
                progress: from,
                failure: Some(AppendError::Busy),
            };
        };
        // Bytes before `from` stay as they are, so whoever was vouched for up to there still is.
        let known = inner.uploads.vouched(upload, &from);
        let is_vouched = from.bytes == 0 && from.hasher.bytes() == 0 || known.is_some();
        let path = inner.layout.upload(upload);
        let writer = match Writer::open(inner.means.clone(), &path, &from, known, claim) {
            Ok(writer) => writer,
            Err(error) => {
                inner.uploads.forget(upload);
                let failure = match error.kind() {
                    // Begun, so that there was a file; what is left of it is of no use.
                    io::ErrorKind::NotFound if from.bytes > 0 => AppendError::UploadUnknown,
                    _ if disk::is_full(&error) => AppendError::Full(error),
                    _ => AppendError::Store(error),
                };
                return Appended {
                    progress: from,
                    failure: Some(failure),
                };
            }
        };
        if is_vouched {
            let (hasher, file) = (from.hasher.clone(), Arc::clone(writer.file()));
            inner.uploads.vouch(upload, hasher, file);
        } else {
            inner.uploads.forget(upload);
        }
        let received = writer.receive(body, max_bytes).await;
        if received.is_tainted {
            inner.discard(upload, &path);
            return Appended {
                progress: from,
                failure: received.appended.failure,
            };
        }
        // While the claim is held: afterwards somebody else may have written something else.
        if is_vouched && let Some((file, _claim)) = received.rest {
            inner
                .uploads
                .vouch(upload, received.appended.progress.hasher.clone(), file);
        }
        received.appended
    }

    async fn read_pending(&self, upload: UploadId, from: u64) -> Result<Option<Bytes>, BlobError> {
        let Some(written) = self.inner.uploads.written(upload) else {
            return Ok(None);
        };
        let wanted = usize::try_from(written.saturating_sub(from)).unwrap_or(MAX_PENDING_BYTES);
        if wanted == 0 {
            return Ok(Some(Bytes::new()));
        }
        let read = move |inner: &Inner| {
            let file = match File::open(inner.layout.upload(upload)) {
                Ok(file) => file,
                // It has become a blob, or was given up.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut bytes = vec![0; wanted.min(MAX_PENDING_BYTES)];
            file.read_exact_at(&mut bytes, header::HEADER_BYTES + from)?;
            Ok(Some(bytes.into()))
        };
        Ok(self.blocking(read).await??)
    }

    async fn commit(&self, upload: UploadId, progress: Progress, expected: &Digest) -> Result<u64, CommitError> {
        let claim = self.inner.uploads.claim(upload).ok_or(CommitError::Busy)?;
        let expected = *expected;
        #[allow(
            clippy::result_large_err,
            reason = "two digests in an error that is returned once for each upload"
        )]
        // The claim goes along: if this future is dropped, publishing goes on and nobody may write meanwhile.
        let publish = move |inner: &Inner| inner.publish(upload, &progress, &expected, claim);
        self.blocking(publish).await.map_err(CommitError::Store)?
    }

    async fn abandon(&self, upload: UploadId) -> Result<(), BlobError> {
        self.blocking(move |inner| {
            inner.uploads.forget(upload);
            inner.disk.remove(&inner.layout.upload(upload))?;
            fail_point("blob.abandon.removed");
            Ok::<(), io::Error>(())
        })
        .await??;
        Ok(())
    }

    fn distrust(&self, blob: &Digest) {
        self.inner.doubtful.insert(*blob);
    }

    async fn lock_deletion(&self, blob: &Digest) -> Result<DeletionLock, BlobError> {
        let blob = *blob;
        let file = self.blocking(move |inner| inner.lock_deletion(&blob)).await??;
        Ok(DeletionLock::new(blob, Some(file)))
    }

    async fn delete(&self, lock: DeletionLock) -> Result<(), BlobError> {
        // The lock goes along: if this future is dropped, deleting goes on, and nobody may think that it is over.
        Ok(self.blocking(move |inner| inner.delete(lock.blob())).await??)
    }

    async fn place(&self, blob: &Digest, class: StorageClass) -> Result<Option<u64>, BlobError> {
        let (blob, given_up) = (*blob, archive::GivenUp::default());
        let mark = given_up.mark();
        // If this future is dropped, a copy under way ends at its next step.
        let placed = self.blocking(move |inner| inner.place(&blob, class, &mark)).await?;
        drop(given_up);
        Ok(placed?)
    }

    async fn stale_uploads(&self, untouched_for: Duration, limit: usize) -> Result<Vec<UploadId>, BlobError> {
        let work = move |inner: &Inner| inner.stale_uploads(untouched_for, limit);
        Ok(self.blocking(work).await??)
    }

    /// What was put aside is not there until it is pushed again.
    async fn is_sound(&self, blob: &Digest, inline: Option<&[u8]>) -> Result<bool, BlobError> {
        if inline.is_some() || !self.inner.quarantined.contains(blob) {
            return Ok(true);
        }
        Ok(self.blob(blob).await?.is_some())
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.blocking(|inner| {
            // One file, written again each time: creating and removing costs more than all the rest.
            let probe = inner.layout.probe();
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(probe)?;
            inner.disk.write(&file, b"hythe\n", 0)?;
            inner.disk.sync_file(&file)
        })
        .await??;
        Ok(())
    }
}
