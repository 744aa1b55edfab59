// SPDX-License-Identifier: Apache-2.0
//! Taking names of blobs away, by one process at a time, and never while somebody publishes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hythe_model::{Digest, fail_point};

use super::Inner;

/// How long somebody waits for a blob's lock, at most.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(10);
/// How often he tries.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// How a blob is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// To take a name away.
    Exclusive,
    /// To give it a name: many at a time.
    Shared,
}

impl Inner {
    /// Keeps everybody else, on whatever node, from giving names to the blob and from taking them away.
    ///
    /// It comes before `publishing`, and both before the locks of `moves`.
    pub(super) fn lock_deletion(&self, blob: &Digest) -> io::Result<File> {
        self.lock(blob, Mode::Exclusive)
    }

    /// Keeps everybody, on whatever node, from taking names of the blob away.
    pub(super) fn lock_publication(&self, blob: &Digest) -> io::Result<File> {
        self.lock(blob, Mode::Shared)
    }

    /// Locks the file for all blobs whose hash begins with the same byte. The lock is the kernel's (flock(2)): it ends
    /// when the file is closed, and so never before a call that its process is in the middle of.
    fn lock(&self, blob: &Digest, mode: Mode) -> io::Result<File> {
        let hex = blob.hex();
        let path = self.layout.locks().join(hex.get(..2).unwrap_or_default());
        let open = || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
        };
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.create_dir(&self.layout.locks())?;
                open()?
            }
            file => file?,
        };
        let start = Instant::now();
        loop {
            let locked = match mode {
                Mode::Exclusive => file.try_lock(),
                Mode::Shared => file.try_lock_shared(),
            };
            match locked {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if start.elapsed() > MAX_LOCK_WAIT => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "somebody else deletes or moves blobs and does not end",
                    ));
                }
                Err(TryLockError::WouldBlock) => sleep(LOCK_POLL),
            }
        }
    }

    /// Removes a blob's files, if there are any, and brings that to the disk.
    pub(super) fn delete(&self, blob: &Digest) -> io::Result<()> {
        // So that nobody looks for the blob while it goes from one place to the other.
        let _held = self.moves.hold(blob);
        let path = self.layout.blob(blob);
        let removed = self.disk.remove(&path);
        self.open_blobs.remove(blob);
        removed?;
        fail_point("blob.delete.removed");
        self.sync_removal(&path)?;
        fail_point("blob.delete.dir_synced");
        self.delete_archived(blob)
    }

    /// Brings to the disk that a file is gone, also if it was gone already: whoever removed it may not have come to this.
    pub(super) fn sync_removal(&self, path: &Path) -> io::Result<()> {
        match path.parent().map(|dir| self.disk.sync_dir(dir)) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
