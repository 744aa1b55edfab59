// SPDX-License-Identifier: Apache-2.0
//! A disk whose power can be cut at any instant.
//!
//! The data is on ext4 over a loop device whose image file lies on btrfs. A reflink copy of that file is the disk at one
//! instant: btrfs copies the extents of a file in one step, with everything that was written to the device before and
//! nothing that came after. What ext4 still held in memory is not in it, which is what a cut loses.
//!
//! With a volatile cache there is one more ext4 between device and image, and *its* memory is the cache of the disk: what
//! was written to the device stays in it until the device is told to flush. A copy of the image below is then the disk
//! after a cut that took the cache along, written back in any order.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::loop_disk::{Mount, make_btrfs, make_ext4};
use crate::process::run;

/// Size of the file system under test, in MiB. The images have holes: only what is written takes room.
const DATA_MEBIBYTES: u64 = 768;
/// Size of the one that plays the cache.
const CACHE_MEBIBYTES: u64 = 1024;
/// Size of the one that all copies lie on.
const POOL_MEBIBYTES: u64 = 8 * 1024;

/// What [`PowerDisk`] needs.
pub const PROGRAMS: &[&str] = &["mkfs.btrfs", "mkfs.ext4", "losetup", "mount"];

/// What the disk does with what it was given and not told to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Keeps it: a disk with a battery, or without cache.
    Kept,
    /// Loses it.
    Volatile,
}

/// Where copies lie.
#[derive(Debug)]
pub struct Pool {
    // Order matters: unmounted before its folder goes.
    mount: Mount,
    _folder: TempDir,
}

impl Pool {
    /// Makes a btrfs in the temporary folder.
    pub fn create() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hythe-power-").tempdir()?;
        let image = folder.path().join("btrfs.img");
        make_btrfs(&image, POOL_MEBIBYTES)?;
        let mount = Mount::image(&image, &folder.path().join("pool"), "noatime")?;
        Ok(Self { mount, _folder: folder })
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }
}

/// The disk under power.
#[derive(Debug)]
pub struct PowerDisk<'a> {
    // Order matters: the upper mount goes first.
    data: Mount,
    _lower: Option<Mount>,
    pool: &'a Pool,
    name: String,
    cache: Cache,
}

impl<'a> PowerDisk<'a> {
    /// Makes a disk in `pool`.
    pub fn create(pool: &'a Pool, name: &str, cache: Cache) -> Result<Self> {
        let folder = pool.folder(name);
        std::fs::create_dir_all(&folder)?;
        let outer = folder.join("disk.img");
        let (lower, image) = match cache {
            Cache::Kept => (None, outer),
            Cache::Volatile => {
                make_ext4(&outer, CACHE_MEBIBYTES, &[])?;
                let lower = Mount::image(&outer, &folder.join("lower"), "noatime")?;
                let image = lower.path().join("disk.img");
                (Some(lower), image)
            }
        };
        make_ext4(&image, DATA_MEBIBYTES, &[])?;
        let data = Mount::image(&image, &folder.join("data"), "noatime")?;
        Ok(Self {
            data,
            _lower: lower,
            pool,
            name: name.to_owned(),
            cache,
        })
    }

    /// Where its file system is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.data.path()
    }

    /// Cuts its power: the disk as it is at some instant while this runs. The disk itself goes on.
    pub fn cut(&self, number: usize) -> Result<Cut> {
        let folder = self.pool.folder(&format!("{}-cut-{number}", self.name));
        std::fs::create_dir_all(&folder)?;
        let image = folder.join("disk.img");
        run(Command::new("cp")
            .arg("--reflink=always")
            .arg(self.pool.folder(&self.name).join("disk.img"))
            .arg(&image))?
        .ok()?;
        let cache = self.cache;
        Ok(Cut { folder, cache })
    }
}

/// A disk after a cut. Dropping it forgets the copy.
#[derive(Debug)]
pub struct Cut {
    folder: PathBuf,
    cache: Cache,
}

impl Cut {
    /// Power is back: the file system recovers its journal and is there again.
    pub fn mount(&self) -> Result<Recovered> {
        let outer = self.folder.join("disk.img");
        let (lower, image) = match self.cache {
            Cache::Kept => (None, outer),
            Cache::Volatile => {
                let lower = Mount::image(&outer, &self.folder.join("lower"), "noatime")?;
                let image = lower.path().join("disk.img");
                (Some(lower), image)
            }
        };
        let data = Mount::image(&image, &self.folder.join("data"), "noatime")?;
        Ok(Recovered { data, _lower: lower })
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // A mount that is still there keeps its own; the rest goes with the pool.
        let _ = std::fs::remove_file(self.folder.join("disk.img"));
    }
}

/// The file system of a disk after a cut.
#[derive(Debug)]
pub struct Recovered {
    data: Mount,
    _lower: Option<Mount>,
}

impl Recovered {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.data.path()
    }
}
