// SPDX-License-Identifier: Apache-2.0
//! From an upload to a blob, durably.
#![allow(
    clippy::result_large_err,
    reason = "two digests in an error that is returned once for each upload"
)]

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hythe_model::{Digest, UploadId, fail_point};

use super::Inner;
use super::content::BlobFile;
use super::disk::is_full;
use super::header::{HEADER_BYTES, Header};
use super::uploads::Claim;
use crate::{CommitError, Hasher, Progress};

/// How many bytes are read at a time to hash a file again.
const REHASH_BYTES: usize = 1024 * 1024;
/// How much of a new blob is brought into the page cache, in bytes. More would cost large pushes what writing past
/// the cache saves.
const MAX_WARM_BYTES: u64 = 16 * 1024 * 1024;
/// How many bytes are asked for at a time: the kernel takes no more of one hint than its read-ahead allows.
const WARM_STEP_BYTES: u64 = 1024 * 1024;
/// The most blobs that are remembered as doubtful.
const MAX_DOUBTFUL: usize = 1024;

impl Inner {
    /// Publishes an upload. The order is what makes it durable: bytes and header to the disk, the name, then
    /// the name to the disk. At every point before the last, a crash leaves an upload or an unnoticed blob.
    pub(super) fn publish(
        &self,
        upload: UploadId,
        progress: &Progress,
        expected: &Digest,
        _claim: Claim,
    ) -> Result<u64, CommitError> {
        let path = self.layout.upload(upload);
        let known = self.uploads.vouched(upload, progress);
        let is_known = known.is_some() && progress.hasher.algorithm() == expected.algorithm();
        let file = match known {
            Some(file) => file,
            None => match OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => Arc::new(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return self.join(progress, expected),
                Err(error) => return Err(failed(error)),
            },
        };
        let length = file.metadata().map_err(failed)?.len();
        let end = progress
            .bytes
            .checked_add(HEADER_BYTES)
            .ok_or(CommitError::UploadUnknown)?;
        if length < end && progress.bytes > 0 {
            return Err(CommitError::UploadUnknown);
        }

        let actual = if is_known {
            progress.hasher.finish()
        } else {
            rehash(&file, progress.bytes, Hasher::new(expected.algorithm())).map_err(failed)?
        };
        if actual != *expected {
            return Err(CommitError::DigestMismatch {
                expected: *expected,
                actual,
            });
        }

        let target = self.layout.blob(expected);
        let dir = target.parent().unwrap_or(&target);
        self.layout.prepare(dir, &*self.disk).map_err(failed)?;
        fail_point("blob.publish.prepared");
        if !self.doubtful.contains(expected) && published(&target, expected)?.is_some() {
            // Whoever published it may not have come to this yet, and may fail at it.
            self.disk.sync_dir(dir).map_err(failed)?;
            fail_point("blob.publish.joined");
            self.discard(upload, &path);
            return Ok(progress.bytes);
        }

        if length > end {
            file.set_len(end).map_err(failed)?;
        }
        let header = Header {
            digest: *expected,
            size: progress.bytes,
        }
        .encode();
        self.disk.write(&file, &header, 0).map_err(failed)?;
        fail_point("blob.publish.written");
        if let Err(error) = self.disk.sync_file(&file) {
            // The kernel may have dropped the bytes that it could not write, and would report the next
            // attempt as a success (fsync(2)). They cannot be trusted any more.
            self.discard(upload, &path);
            return Err(failed(error));
        }
        fail_point("blob.publish.synced");
        // Who moves the blob, or puts it aside, compares two files and takes one away. That may be another node.
        let lock = self.lock_publication(expected).map_err(failed)?;
        fail_point("blob.publish.locked");
        let publishing = self.publishing.read().unwrap_or_else(PoisonError::into_inner);
        let held = self.moves.hold(expected);
        self.disk.rename(&path, &target).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CommitError::UploadUnknown, // abandoned in the meantime
            _ => failed(error),
        })?;
        drop((held, publishing, lock));
        fail_point("blob.publish.renamed");
        if self.open_blobs.get(expected).is_some() {
            // Of a file that was damaged while it was open for readers.
            self.open_blobs.remove(expected);
        }
        self.uploads.forget(upload);
        if let Err(error) = self.disk.sync_dir(dir) {
            // As with the file: the next attempt may succeed without having written anything.
            self.doubtful.insert(*expected);
            return Err(failed(error));
        }
        self.doubtful.remove(expected);
        fail_point("blob.publish.dir_synced");
        self.warm(file, progress.bytes);
        Ok(progress.bytes)
    }

    /// Brings the beginning of a new blob into the page cache, past which it was written: who pushes is often
    /// followed by who pulls. One at a time, on a thread that nobody waits for; only a hint, so that it is left out
    /// while another one is under way.
    #[cfg(target_os = "linux")]
    fn warm(&self, file: Arc<File>, bytes: u64) {
        let Ok(permit) = Arc::clone(&self.warming).try_acquire_owned() else {
            return;
        };
        let end = bytes.min(MAX_WARM_BYTES) + HEADER_BYTES;
        let advise = move || {
            let mut at = 0;
            while at < end {
                let length = std::num::NonZeroU64::new(WARM_STEP_BYTES);
                let _ = rustix::fs::fadvise(&file, at, length, rustix::fs::Advice::WillNeed);
                at += WARM_STEP_BYTES;
            }
            drop(permit);
        };
        drop(tokio::task::spawn_blocking(advise));
    }

    #[cfg(not(target_os = "linux"))]
    fn warm(&self, _file: Arc<File>, _bytes: u64) {}

    /// An earlier request may have published the bytes, and come no further. The progress says what they were.
    fn join(&self, progress: &Progress, expected: &Digest) -> Result<u64, CommitError> {
        let is_same = progress.hasher.bytes() == progress.bytes
            && progress.hasher.algorithm() == expected.algorithm()
            && progress.hasher.finish() == *expected;
        if !is_same || self.doubtful.contains(expected) {
            return Err(CommitError::UploadUnknown);
        }
        let target = self.layout.blob(expected);
        if published(&target, expected)? != Some(progress.bytes) {
            // It may be in the archive, where nothing is named that is not on the disk.
            let found = self.find(expected).map_err(failed)?;
            return match found {
                Some(file) if file.size() == progress.bytes => Ok(progress.bytes),
                _ => Err(CommitError::UploadUnknown),
            };
        }
        let dir = target.parent().unwrap_or(&target);
        self.layout.prepare(dir, &*self.disk).map_err(failed)?;
        self.disk.sync_dir(dir).map_err(failed)?;
        fail_point("blob.publish.joined");
        Ok(progress.bytes)
    }

    pub(super) fn discard(&self, upload: UploadId, path: &Path) {
        self.uploads.forget(upload);
        if let Err(error) = self.disk.remove(path) {
            // The file is garbage that the collector finds by its expired session.
            tracing::warn!(upload.id = %upload, error = &error as &dyn std::error::Error, "cannot remove an upload");
        }
    }
}

/// The size of the blob, if it is there and its header says so. A damaged file counts as absent, so that the next
/// push repairs it.
fn published(path: &Path, digest: &Digest) -> Result<Option<u64>, CommitError> {
    match BlobFile::open(path, digest) {
        Ok(found) => Ok(found.map(|file| file.size())),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!(blob.digest = %digest, error = &error as &dyn std::error::Error, "a damaged blob is replaced");
            Ok(None)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Blobs whose directory could not be synced after they were renamed into it. Their bytes are right, but their name
/// may vanish in a power cut, so that nobody may rely on them until they were renamed and synced again.
#[derive(Debug, Default)]
pub(super) struct Doubtful(Mutex<HashSet<Digest>>);

impl Doubtful {
    pub(super) fn contains(&self, blob: &Digest) -> bool {
        let blobs = self.lock();
        // Beyond the bound, which takes a disk that fails for long, every blob is doubtful.
        blobs.len() >= MAX_DOUBTFUL || blobs.contains(blob)
    }

    pub(super) fn insert(&self, blob: Digest) {
        let mut blobs = self.lock();
        if blobs.len() < MAX_DOUBTFUL {
            blobs.insert(blob);
        }
    }

    pub(super) fn remove(&self, blob: &Digest) {
        self.lock().remove(blob);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rehash(file: &File, bytes: u64, mut hasher: Hasher) -> io::Result<Digest> {
    let mut buffer = vec![0; REHASH_BYTES];
    while hasher.bytes() < bytes {
        let wanted = usize::try_from(bytes - hasher.bytes())
            .unwrap_or(REHASH_BYTES)
            .min(REHASH_BYTES);
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(part, HEADER_BYTES + hasher.bytes())?;
        hasher.update(part);
    }
    Ok(hasher.finish())
}

fn failed(error: io::Error) -> CommitError {
    if is_full(&error) {
        CommitError::Full(error)
    } else {
        CommitError::Store(error)
    }
}
