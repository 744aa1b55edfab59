// SPDX-License-Identifier: Apache-2.0
//! The second location of blobs: those that only archived images need.
//!
//! A blob is read from wherever it is, so that nothing depends on which location that should be. A move gives the blob its
//! name in the new location, durably, before it takes away the old one: at every moment it has one, and after a crash the
//! move is done again. Within a file system the new name is a link; to another disk the bytes are copied, and hashed on
//! the way.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hythe_model::{Algorithm, Digest, StorageClass, fail_point};

use super::Inner;
use super::content::BlobFile;
use super::disk::Disk;
use super::header::HEADER_BYTES;
use super::inventory;
use super::layout::Layout;
use crate::Hasher;

/// How many bytes are copied at a time.
const COPY_BYTES: usize = 1024 * 1024;
/// So many locks, so that blobs rarely wait for each other.
const LOCKS: usize = 64;
/// Marks an archive that is in use, and a store that uses one.
const MARK: &str = "archive.in-use";

/// Moves under way.
#[derive(Debug)]
pub(super) struct Moves {
    /// Whoever takes a name of a blob away holds its lock, and whoever found it under neither looks again with it.
    locks: [Mutex<()>; LOCKS],
    under_way: Mutex<HashSet<Digest>>,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            locks: std::array::from_fn(|_| Mutex::default()),
            under_way: Mutex::default(),
        }
    }
}

impl Moves {
    pub(super) fn hold(&self, blob: &Digest) -> Option<MutexGuard<'_, ()>> {
        let at = blob.hash().first().copied().map_or(0, usize::from) % LOCKS;
        let lock = self.locks.get(at)?;
        Some(lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn claim(&self, blob: &Digest) -> Option<Claim<'_>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(*blob).then_some(Claim {
            moves: self,
            blob: *blob,
        })
    }
}

/// Somebody moves this blob until it is dropped.
struct Claim<'m> {
    moves: &'m Moves,
    blob: Digest,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut under_way = self.moves.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.blob);
    }
}

/// Tells a copy that nobody waits for it any more, when it is dropped.
#[derive(Debug, Default)]
pub(super) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    pub(super) fn mark(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes what of the archive was asked for, or sees that an archive that was in use is there: one whose disk is not
/// mounted would look like one without blobs.
pub(super) fn check_at_start(layout: &Layout, is_wanted: bool, disk: &dyn Disk) -> io::Result<()> {
    let archive = layout.root_of(StorageClass::Archive);
    if layout.root_of(StorageClass::Standard).join(MARK).exists() {
        check_mark(archive)?;
    } else if is_wanted {
        disk.create_dir(archive)?;
    }
    // What a crash left of copies; they are made anew.
    for class in [StorageClass::Standard, StorageClass::Archive] {
        match std::fs::read_dir(layout.root_of(class).join("moving")) {
            Ok(entries) => {
                for entry in entries {
                    disk.remove(&entry?.path())?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn check_mark(archive: &Path) -> io::Result<()> {
    if archive.join(MARK).try_exists()? {
        return Ok(());
    }
    let text = format!(
        "the archive of this blob store is not in `{}`: is its disk mounted, and is the archive path the one of before?",
        archive.display()
    );
    Err(io::Error::other(text))
}

impl Inner {
    /// The file of a blob, wherever it is.
    pub(super) fn find(&self, blob: &Digest) -> io::Result<Option<BlobFile>> {
        let standard = self.layout.blob(blob);
        if let Some(file) = BlobFile::open(&standard, blob)? {
            return Ok(Some(file));
        }
        let _held = self.moves.hold(blob);
        if let Some(file) = BlobFile::open(&self.layout.blob_in(blob, StorageClass::Archive), blob)? {
            return Ok(Some(file));
        }
        // It may have come back before the lock was taken.
        let found = BlobFile::open(&standard, blob)?;
        if found.is_none() && self.has_archive()? {
            check_mark(self.layout.root_of(StorageClass::Archive))?;
        }
        Ok(found)
    }

    fn has_archive(&self) -> io::Result<bool> {
        self.layout.root_of(StorageClass::Standard).join(MARK).try_exists()
    }

    /// Removes a blob from the archive. The caller holds its lock.
    pub(super) fn delete_archived(&self, blob: &Digest) -> io::Result<()> {
        if !self.has_archive()? {
            return Ok(());
        }
        check_mark(self.layout.root_of(StorageClass::Archive))?;
        let path = self.layout.blob_in(blob, StorageClass::Archive);
        self.disk.remove(&path)?;
        fail_point("blob.delete.archive_removed");
        self.sync_removal(&path)?;
        fail_point("blob.delete.archive_dir_synced");
        Ok(())
    }

    /// Moves a blob; see [`crate::BlobStore::place`].
    pub(super) fn place(&self, blob: &Digest, class: StorageClass, given_up: &AtomicBool) -> io::Result<Option<u64>> {
        let Some(_claim) = self.moves.claim(blob) else {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the blob is being moved"));
        };
        self.prepare_archive()?;
        let (from, to) = (
            self.layout.blob_in(blob, other(class)),
            self.layout.blob_in(blob, class),
        );
        let dir = to.parent().unwrap_or(&to);
        let is_there =
            !self.doubtful.contains(blob) && open_sound(&to, blob)?.is_some() && !has_newer_bytes(&from, &to, class)?;
        // Held from the new name to the end of the old one: nobody on another node takes the blob away in between, moves
        // it the other way, or publishes bytes that would go with the old name.
        let mut deletion = None;
        if !is_there {
            let Some(source) = BlobFile::open(&from, blob)? else {
                return Ok(open_sound(&to, blob)?.map(|file| file.size()));
            };
            self.layout.prepare(dir, &*self.disk)?;
            fail_point("blob.place.prepared");
            match self.name(&source, blob, class, given_up)? {
                Some(named) => deletion = Some(named),
                None => return Ok(open_sound(&to, blob)?.map(|file| file.size())),
            }
            fail_point("blob.place.named");
        }
        // Also if it was there: whoever gave it this name may not have come to this.
        if let Err(error) = self.disk.sync_dir(dir) {
            // The next sync may succeed without having written anything, so that the name is made anew.
            self.doubtful.insert(*blob);
            return Err(error);
        }
        self.doubtful.remove(blob);
        fail_point("blob.place.dir_synced");

        let (_deletion, is_copied) = match deletion {
            Some(Named { lock, is_copied }) => (lock, is_copied),
            None => (self.lock_deletion(blob)?, false),
        };
        let _held = self.moves.hold(blob);
        let Some(placed) = BlobFile::open(&to, blob)? else {
            if from.try_exists()? {
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    "somebody moved the blob the other way",
                ));
            }
            return Ok(None); // deleted in the meantime
        };
        if self.end_name(&from, &to, class, is_copied)? {
            fail_point("blob.place.removed");
            self.open_blobs.remove(blob);
            self.disk.sync_dir(from.parent().unwrap_or(&from))?;
            fail_point("blob.place.removal_synced");
        }
        Ok(Some(placed.size()))
    }

    /// Takes the old name of a blob away, if it has one. The caller holds the blob's locks. `is_copied`: the bytes under
    /// the new name were hashed a moment ago, so that no others are better.
    fn end_name(&self, from: &Path, to: &Path, class: StorageClass, is_copied: bool) -> io::Result<bool> {
        if !is_copied && has_newer_bytes(from, to, class)? {
            return match self.disk.rename(from, to) {
                Ok(()) => {
                    self.disk.sync_dir(to.parent().unwrap_or(to))?;
                    Ok(true)
                }
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    "somebody pushed the blob meanwhile: its new bytes have to be copied",
                )),
                Err(error) => Err(error),
            };
        }
        self.disk.remove(from)
    }

    /// Marks the archive as one that is in use. The store's own mark comes last: without it, nobody looks for the other.
    fn prepare_archive(&self) -> io::Result<()> {
        let (root, archive) = (
            self.layout.root_of(StorageClass::Standard),
            self.layout.root_of(StorageClass::Archive),
        );
        if self.has_archive()? {
            return check_mark(archive);
        }
        self.disk.create_dir(archive)?;
        for folder in [archive, root] {
            self.disk.create_dir(&folder.join("moving"))?;
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                self.disk.create_dir(&folder.join("blobs").join(algorithm.as_str()))?;
            }
            self.disk.sync_dir(&folder.join("blobs"))?;
            self.disk.sync_dir(folder)?;
        }
        self.disk.sync_dir(archive.parent().unwrap_or(archive))?;
        for folder in [archive, root] {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(folder.join(MARK))?;
            self.disk.sync_file(&file)?;
            self.disk.sync_dir(folder)?;
        }
        Ok(())
    }

    /// Gives a blob a further name. The caller holds its lock.
    fn link(&self, blob: &Digest, class: StorageClass) -> io::Result<Linked> {
        let (from, to) = (
            &*self.layout.blob_in(blob, other(class)),
            &*self.layout.blob_in(blob, class),
        );
        // Nobody puts the bytes aside while they get a name.
        let _publishing = self.publishing.read().unwrap_or_else(PoisonError::into_inner);
        let mut linked = self.disk.link(from, to);
        if linked
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
        {
            // A push came meanwhile, and its bytes are the newer ones.
            let is_pushed = class == StorageClass::Standard && inventory::identity(to)? != inventory::identity(from)?;
            if is_pushed && open_sound(to, blob)?.is_some() {
                return Ok(Linked::Done);
            }
            // Damaged, older, or not known to be on the disk.
            self.disk.remove(to)?;
            linked = self.disk.link(from, to);
        }
        match linked {
            Ok(()) => Ok(Linked::Done),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => Ok(Linked::Gone),
                // Another file system, or one that knows no links.
                io::ErrorKind::CrossesDevices | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied => {
                    Ok(Linked::OtherDisk)
                }
                _ => Err(error),
            },
        }
    }

    /// Gives a blob its name in a storage class; `None` if somebody took the other one away meanwhile, else with the
    /// right to delete the blob.
    fn name(
        &self,
        source: &BlobFile,
        blob: &Digest,
        class: StorageClass,
        given_up: &AtomicBool,
    ) -> io::Result<Option<Named>> {
        let (from, to) = (
            self.layout.blob_in(blob, other(class)),
            self.layout.blob_in(blob, class),
        );
        let lock = self.lock_deletion(blob)?;
        match self.link(blob, class)? {
            Linked::Done => return Ok(Some(Named { lock, is_copied: false })),
            Linked::Gone => return Ok(None),
            Linked::OtherDisk => drop(lock), // a copy takes its time
        }
        let temporary = self.layout.moving(blob, class);
        let copied = self.copy_bytes(source, blob, &temporary, given_up);
        let renamed = copied.and_then(|()| {
            let lock = self.lock_deletion(blob)?;
            let _publishing = self.publishing.read().unwrap_or_else(PoisonError::into_inner);
            let _held = self.moves.hold(blob);
            if !from.try_exists()? {
                return Ok(None);
            }
            self.disk.rename(&temporary, &to)?;
            Ok(Some(Named { lock, is_copied: true }))
        });
        if !matches!(renamed, Ok(Some(_))) {
            let _ = self.disk.remove(&temporary); // else the next start does it
        }
        renamed
    }

    fn copy_bytes(&self, source: &BlobFile, blob: &Digest, temporary: &Path, given_up: &AtomicBool) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(temporary)?;
        let header = usize::try_from(HEADER_BYTES).map_err(io::Error::other)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut hasher = Hasher::new(blob.algorithm());
        let part = buffer.get_mut(..header).unwrap_or_default();
        source.read_raw(part, 0)?;
        self.disk.write(&file, part, 0)?;
        while hasher.bytes() < source.size() {
            if given_up.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let at = HEADER_BYTES + hasher.bytes();
            let left = usize::try_from(source.size() - hasher.bytes()).unwrap_or(COPY_BYTES);
            let part = buffer.get_mut(..left.min(COPY_BYTES)).unwrap_or_default();
            source.read_raw(part, at)?;
            self.disk.write(&file, part, at)?;
            hasher.update(part);
        }
        let actual = hasher.finish();
        if actual != *blob {
            let text = format!("the bytes of blob `{blob}` hash to `{actual}`: it stays where it is");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        fail_point("blob.place.copied");
        self.disk.sync_file(&file)?;
        fail_point("blob.place.synced");
        Ok(())
    }
}

/// A blob has its new name.
struct Named {
    /// The blob's lock.
    lock: File,
    /// Whether it is a copy, whose bytes were hashed.
    is_copied: bool,
}

/// What came of giving a file a further name.
enum Linked {
    Done,
    /// The file is not there any more.
    Gone,
    /// There is no such thing between these two places.
    OtherDisk,
}

fn other(class: StorageClass) -> StorageClass {
    match class {
        StorageClass::Standard => StorageClass::Archive,
        StorageClass::Archive => StorageClass::Standard,
    }
}

/// Whether a blob that goes to the archive has other bytes in the first location than there. A push puts its own into the
/// first location: they are the ones to keep, since it may have been sent to replace damaged ones.
fn has_newer_bytes(from: &Path, to: &Path, class: StorageClass) -> io::Result<bool> {
    if class != StorageClass::Archive {
        return Ok(false);
    }
    let newer = inventory::identity(from)?;
    Ok(newer.is_some() && newer != inventory::identity(to)?)
}

/// A file that is there and looks whole; a damaged one is replaced.
fn open_sound(path: &Path, blob: &Digest) -> io::Result<Option<BlobFile>> {
    match BlobFile::open(path, blob) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        result => result,
    }
}
