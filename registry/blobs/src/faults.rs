// SPDX-License-Identifier: Apache-2.0
//! Stores and disks that fail when a test wants them to.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use hythe_model::{Digest, StorageClass, UploadId};
use rustix::io::Errno;
use tokio::sync::Semaphore;

use crate::fs::{BLOCK_BYTES, Disk, SystemDisk};
use crate::{
    AppendError, Appended, BlobError, BlobStore, ByteStream, CommitError, DeletionLock, FsBlobStore, Progress,
};

/// The error number of a device that failed.
pub const EIO: i32 = Errno::IO.raw_os_error();
/// The error number of a full disk.
pub const ENOSPC: i32 = Errno::NOSPC.raw_os_error();

/// What can fail: first the operations of a [`FaultyBlobStore`], then the calls of a store that was opened with
/// [`FsBlobStore::open_faulty`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// [`BlobStore::size`].
    Size,
    /// [`BlobStore::read`], before the first byte.
    Read,
    /// A stream of [`BlobStore::read`], after its first chunk.
    ReadMidway,
    /// [`BlobStore::append`], before the first byte.
    Append,
    /// [`BlobStore::append`], after the first chunk of its body.
    AppendMidway,
    /// [`BlobStore::commit`], before anything is done.
    Commit,
    /// [`BlobStore::commit`], after everything is done.
    CommitDone,
    /// [`BlobStore::abandon`].
    Abandon,
    /// [`BlobStore::stale_uploads`].
    StaleUploads,
    /// [`BlobStore::lock_deletion`].
    LockDeletion,
    /// [`BlobStore::delete`].
    Delete,
    /// [`BlobStore::place`].
    Place,
    /// [`BlobStore::check`].
    Check,
    /// A write, before the first byte.
    DiskWrite,
    /// A write, after the first half of its bytes.
    DiskShortWrite,
    /// The kernel tells that it could not write what it had taken before.
    DiskWriteBack,
    /// A sync of a file.
    DiskSyncFile,
    /// A rename.
    DiskRename,
    /// A further name for a file.
    DiskLink,
    /// The creation of a directory.
    DiskCreateDir,
    /// A sync of a directory.
    DiskSyncDir,
    /// The removal of a file.
    DiskRemove,
}

/// The plan of what fails when, and who is held up. Each entry is used up when it is due.
#[derive(Debug, Default)]
pub struct Faults {
    planned: Mutex<Vec<Planned>>,
    gates: Mutex<Vec<(Fault, Arc<Gate>)>>,
}

/// Holds up the first who comes by, until it is opened.
#[derive(Debug)]
pub struct Gate {
    reached: Semaphore,
    opened: Semaphore,
}

impl Gate {
    /// Waits until somebody has come by.
    pub async fn reached(&self) {
        drop(self.reached.acquire().await);
    }

    /// Lets him go.
    pub fn open(&self) {
        self.opened.add_permits(1);
    }
}

#[derive(Debug)]
struct Planned {
    fault: Fault,
    skip: usize,
    errno: i32,
}

impl Faults {
    /// Lets `fault` happen once, after `skip` times at which it could have happened, with this error number.
    pub fn plan(&self, fault: Fault, skip: usize, errno: i32) {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.push(Planned { fault, skip, errno });
    }

    /// Holds up the next who does this in a [`FaultyBlobStore`], before it is done: of [`Fault::LockDeletion`] and
    /// [`Fault::Delete`].
    pub fn hold(&self, fault: Fault) -> Arc<Gate> {
        let gate = Arc::new(Gate {
            reached: Semaphore::new(0),
            opened: Semaphore::new(0),
        });
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.push((fault, Arc::clone(&gate)));
        gate
    }

    /// Waits at a gate, if there is one here, and fails if that was planned.
    async fn pass(&self, fault: Fault) -> io::Result<()> {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            let at = gates.iter().position(|(of, _)| *of == fault);
            at.map(|at| gates.remove(at).1)
        };
        if let Some(gate) = gate {
            gate.reached.add_permits(1);
            drop(gate.opened.acquire().await);
        }
        self.check(fault)
    }

    /// Whether everything that was planned has happened.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn due(&self, fault: Fault) -> Option<io::Error> {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let at = planned.iter().position(|planned| planned.fault == fault)?;
        let found = planned.get_mut(at)?;
        if found.skip > 0 {
            found.skip -= 1;
            return None;
        }
        Some(io::Error::from_raw_os_error(planned.remove(at).errno))
    }

    fn check(&self, fault: Fault) -> io::Result<()> {
        self.due(fault).map_or(Ok(()), Err)
    }
}

/// A store that fails by plan, and otherwise does what the one behind it does.
#[derive(Debug)]
pub struct FaultyBlobStore {
    inner: Arc<dyn BlobStore>,
    faults: Arc<Faults>,
}

impl FaultyBlobStore {
    /// Lets `inner` fail as `faults` says.
    pub fn new(inner: Arc<dyn BlobStore>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ENOSPC)
}

fn append_error(error: io::Error) -> AppendError {
    if is_full(&error) {
        AppendError::Full(error)
    } else {
        AppendError::Store(error)
    }
}

fn commit_error(error: io::Error) -> CommitError {
    if is_full(&error) {
        CommitError::Full(error)
    } else {
        CommitError::Store(error)
    }
}

#[async_trait]
impl BlobStore for FaultyBlobStore {
    async fn size(&self, blob: &Digest) -> Result<Option<u64>, BlobError> {
        self.faults.check(Fault::Size)?;
        self.inner.size(blob).await
    }

    async fn read(&self, blob: &Digest, bytes: Range<u64>) -> Result<Option<ByteStream>, BlobError> {
        self.faults.check(Fault::Read)?;
        let stream = self.inner.read(blob, bytes).await?;
        Ok(match (stream, self.faults.due(Fault::ReadMidway)) {
            (Some(stream), Some(error)) => {
                let broken = futures::stream::once(async { Err(error) });
                Some(Box::pin(stream.take(1).chain(broken)))
            }
            (stream, _) => stream,
        })
    }

    async fn append(&self, upload: UploadId, from: Progress, body: ByteStream, max_bytes: u64) -> Appended {
        if let Some(error) = self.faults.due(Fault::Append) {
            return Appended {
                progress: from,
                failure: Some(append_error(error)),
            };
        }
        let Some(error) = self.faults.due(Fault::AppendMidway) else {
            return self.inner.append(upload, from, body, max_bytes).await;
        };
        let appended = self.inner.append(upload, from, Box::pin(body.take(1)), max_bytes).await;
        Appended {
            failure: Some(append_error(error)),
            ..appended
        }
    }

    async fn read_pending(&self, upload: UploadId, from: u64) -> Result<Option<Bytes>, BlobError> {
        self.inner.read_pending(upload, from).await
    }

    async fn commit(&self, upload: UploadId, progress: Progress, expected: &Digest) -> Result<u64, CommitError> {
        self.faults.check(Fault::Commit).map_err(commit_error)?;
        let size = self.inner.commit(upload, progress, expected).await?;
        self.faults.check(Fault::CommitDone).map_err(commit_error)?;
        Ok(size)
    }

    async fn abandon(&self, upload: UploadId) -> Result<(), BlobError> {
        self.faults.check(Fault::Abandon)?;
        self.inner.abandon(upload).await
    }

    async fn stale_uploads(&self, untouched_for: Duration, limit: usize) -> Result<Vec<UploadId>, BlobError> {
        self.faults.check(Fault::StaleUploads)?;
        self.inner.stale_uploads(untouched_for, limit).await
    }

    fn distrust(&self, blob: &Digest) {
        self.inner.distrust(blob);
    }

    async fn lock_deletion(&self, blob: &Digest) -> Result<DeletionLock, BlobError> {
        self.faults.pass(Fault::LockDeletion).await?;
        self.inner.lock_deletion(blob).await
    }

    async fn delete(&self, lock: DeletionLock) -> Result<(), BlobError> {
        self.faults.pass(Fault::Delete).await?;
        self.inner.delete(lock).await
    }

    async fn place(&self, blob: &Digest, class: StorageClass) -> Result<Option<u64>, BlobError> {
        self.faults.check(Fault::Place)?;
        self.inner.place(blob, class).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.faults.check(Fault::Check)?;
        self.inner.check().await
    }
}

impl FsBlobStore {
    /// Opens a store whose disk fails as `faults` says.
    pub fn open_faulty(root: &Path, faults: Arc<Faults>) -> io::Result<Self> {
        Self::open_on(root, None, Arc::new(FaultyDisk(faults)))
    }
}

#[derive(Debug)]
struct FaultyDisk(Arc<Faults>);

impl FaultyDisk {
    /// How many bytes of a write are written before it fails, if it does.
    fn cut(&self, length: usize) -> Option<(usize, io::Error)> {
        let whole = self.0.due(Fault::DiskWrite).map(|error| (0, error));
        whole.or_else(|| self.0.due(Fault::DiskShortWrite).map(|error| (length / 2, error)))
    }
}

impl Disk for FaultyDisk {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Some((cut, error)) = self.cut(bytes.len()) else {
            return SystemDisk.write(file, bytes, offset);
        };
        SystemDisk.write(file, bytes.get(..cut).unwrap_or_default(), offset)?;
        Err(error)
    }

    fn write_past_cache(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Some((cut, error)) = self.cut(bytes.len()) else {
            return SystemDisk.write_past_cache(file, bytes, offset);
        };
        let blocks = bytes.get(..cut - cut % BLOCK_BYTES).unwrap_or_default();
        SystemDisk.write(file, blocks, offset)?;
        Err(error)
    }

    fn start_write_back(&self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        self.0.check(Fault::DiskWriteBack)?;
        SystemDisk.start_write_back(file, offset, length)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.0.check(Fault::DiskSyncFile)?;
        SystemDisk.sync_file(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.check(Fault::DiskRename)?;
        SystemDisk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.check(Fault::DiskLink)?;
        SystemDisk.link(from, to)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.check(Fault::DiskCreateDir)?;
        SystemDisk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.check(Fault::DiskSyncDir)?;
        SystemDisk.sync_dir(dir)
    }

    fn remove(&self, file: &Path) -> io::Result<bool> {
        self.0.check(Fault::DiskRemove)?;
        SystemDisk.remove(file)
    }
}
