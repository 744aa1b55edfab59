// SPDX-License-Identifier: Apache-2.0
//! From an upload to a blob, durably.
#![allow(
    clippy::result_large_err,
    reason = "two digests in an error that is returned once for each upload"
)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use hythe_model::{Digest, UploadId};

use super::Inner;
use super::content::BlobFile;
use super::disk::is_full;
use super::header::{HEADER_BYTES, Header};
use super::uploads::Claim;
use crate::{CommitError, Hasher, Progress};

/// How many bytes are read at a time to hash a file again.
const REHASH_BYTES: usize = 1024 * 1024;

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
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(CommitError::UploadUnknown),
            Err(error) => return Err(failed(error)),
        };
        let length = file.metadata().map_err(failed)?.len();
        let end = progress
            .bytes
            .checked_add(HEADER_BYTES)
            .ok_or(CommitError::UploadUnknown)?;
        if length < end {
            return Err(CommitError::UploadUnknown);
        }

        let is_known = progress.hasher.algorithm() == expected.algorithm() && self.uploads.vouches(upload, progress);
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
        if is_published(&target, expected)? {
            // Whoever published it may not have come to this yet, and may fail at it.
            self.disk.sync_dir(dir).map_err(failed)?;
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
        if let Err(error) = self.disk.sync_file(&file) {
            // The kernel may have dropped the bytes that it could not write, and would report the next
            // attempt as a success (fsync(2)). They cannot be trusted any more.
            self.discard(upload, &path);
            return Err(failed(error));
        }
        drop(file);
        self.disk.rename(&path, &target).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CommitError::UploadUnknown, // abandoned in the meantime
            _ => failed(error),
        })?;
        self.disk.sync_dir(dir).map_err(failed)?;
        self.uploads.forget(upload);
        Ok(progress.bytes)
    }

    fn discard(&self, upload: UploadId, path: &Path) {
        self.uploads.forget(upload);
        if let Err(error) = self.disk.remove(path) {
            // The file is garbage that the collector finds by its expired session.
            tracing::warn!(upload.id = %upload, error = &error as &dyn std::error::Error, "cannot remove an upload");
        }
    }
}

/// Whether the blob is there and its header says so. A damaged file counts as absent, so that the next push repairs it.
fn is_published(path: &Path, digest: &Digest) -> Result<bool, CommitError> {
    match BlobFile::open(path, digest) {
        Ok(found) => Ok(found.is_some()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!(blob.digest = %digest, error = &error as &dyn std::error::Error, "replaces a damaged blob");
            Ok(false)
        }
        Err(error) => Err(failed(error)),
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
