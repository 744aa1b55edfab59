// SPDX-License-Identifier: Apache-2.0
//! The system calls whose order makes a blob durable, behind a trait so that a test can watch the order
//! and let any one of them fail.

use std::fmt::Debug;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;

use super::sys;

/// What changes the disk.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Writes all of `bytes` at `offset`, into the page cache.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, past the page cache: memory, offset and length are multiples of
    /// [`BLOCK_BYTES`](super::buffer::BLOCK_BYTES). Nobody else may use the descriptor meanwhile. The bytes still
    /// need [`Disk::sync_file`].
    fn write_past_cache(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Lets the kernel begin to write what is in the page cache. An error means that bytes were lost.
    fn start_write_back(&self, file: &File, offset: u64, length: u64) -> io::Result<()>;
    /// Brings a file's bytes and its length to the disk.
    fn sync_file(&self, file: &File) -> io::Result<()>;
    /// Renames within the file system, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a further name, in the same file system. Fails if the name is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Creates a directory, if it is not there, for its owner only.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Brings the entries of a directory to the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes a file; says whether there was one.
    fn remove(&self, file: &Path) -> io::Result<bool>;
}

/// The disk itself.
#[derive(Debug)]
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    #[cfg(target_os = "linux")]
    fn write_past_cache(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
        let flags = fcntl_getfl(file)?;
        fcntl_setfl(file, flags | OFlags::DIRECT)?;
        let written = file.write_all_at(bytes, offset);
        fcntl_setfl(file, flags)?;
        written
    }

    #[cfg(not(target_os = "linux"))]
    fn write_past_cache(&self, _file: &File, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn start_write_back(&self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        match sys::start_write_back(file, offset, length) {
            // A hint that is not understood is not needed either.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            result => result,
        }
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        // fdatasync: also flushes the length, which is needed to read the bytes back; not the times.
        if hythe_model::Sync::File.is_missing() {
            return Ok(());
        }
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if hythe_model::Sync::Directory.is_missing() {
            return Ok(());
        }
        File::open(dir)?.sync_all()
    }

    fn remove(&self, file: &Path) -> io::Result<bool> {
        match std::fs::remove_file(file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether a failure means that there is no room: the disk or the owner's share of it is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
