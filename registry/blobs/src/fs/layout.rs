// SPDX-License-Identifier: Apache-2.0
//! Where everything lies below the root.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hythe_model::{Algorithm, Digest, StorageClass, UploadId};

use super::disk::Disk;

/// The directories of a store: `blobs/<algorithm>/<first two digits>/<hex>`, `uploads/<id>` and
/// `quarantine/<algorithm>-<hex>`; the same below the root of the archive, and `moving/<hex>-<id>` for blobs that are being
/// copied to either place.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    archive: PathBuf,
    /// The directories below `blobs/<algorithm>` whose own entry is known to be on the disk. At most 256
    /// for each algorithm.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Layout {
    /// Creates what is missing at the top. Its cost does not depend on what is stored.
    pub(super) fn create(root: &Path, archive: Option<&Path>, disk: &dyn Disk) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        let layout = Self {
            archive: archive.map_or_else(|| Ok(root.join("archive")), std::path::absolute)?,
            root,
            durable: Mutex::default(),
        };
        let was_there = layout.root.exists();
        let blobs = layout.root.join("blobs");
        let mut dirs = vec![layout.root.clone(), blobs.clone(), layout.root.join("uploads")];
        dirs.extend([Algorithm::Sha256, Algorithm::Sha512].map(|algorithm| blobs.join(algorithm.as_str())));
        for dir in &dirs {
            disk.create_dir(dir)?;
        }
        // Also if they were there: a crash may have come between their creation and this.
        for parent in [&layout.root, &blobs] {
            disk.sync_dir(parent)?;
        }
        match disk.sync_dir(layout.root.parent().unwrap_or(&layout.root)) {
            // The operator made the root, in a folder that this process may not open.
            Err(error) if was_there && error.kind() == io::ErrorKind::PermissionDenied => {}
            result => result?,
        }
        Ok(layout)
    }

    /// The file of a blob.
    pub(super) fn blob(&self, blob: &Digest) -> PathBuf {
        below(&self.root, blob)
    }

    /// The root of a storage class.
    pub(super) fn root_of(&self, class: StorageClass) -> &Path {
        match class {
            StorageClass::Standard => &self.root,
            StorageClass::Archive => &self.archive,
        }
    }

    /// The file of a blob in a storage class.
    pub(super) fn blob_in(&self, blob: &Digest, class: StorageClass) -> PathBuf {
        match class {
            StorageClass::Standard => self.blob(blob),
            StorageClass::Archive => below(&self.archive, blob),
        }
    }

    /// Where a blob is written that is being copied to a storage class: another file each time, since a copy that was
    /// given up may go on for a moment.
    pub(super) fn moving(&self, blob: &Digest, class: StorageClass) -> PathBuf {
        let name = format!("{}-{}", blob.hex(), UploadId::generate());
        self.root_of(class).join("moving").join(name)
    }

    /// The directory of blobs of a storage class whose hash begins with this byte.
    pub(super) fn fan_out(&self, class: StorageClass, algorithm: Algorithm, first: u8) -> PathBuf {
        self.root_of(class)
            .join("blobs")
            .join(algorithm.as_str())
            .join(format!("{first:02x}"))
    }

    /// The directory of what was put aside of a storage class; it may not be there.
    pub(super) fn quarantine(&self, class: StorageClass) -> PathBuf {
        self.root_of(class).join("quarantine")
    }

    /// The directory of the files that whoever deletes blobs locks.
    pub(super) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// The file of an upload.
    pub(super) fn upload(&self, upload: UploadId) -> PathBuf {
        self.root.join("uploads").join(upload.to_string())
    }

    /// The directory of the uploads.
    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// The file that [`check`](crate::BlobStore::check) writes to.
    pub(super) fn probe(&self) -> PathBuf {
        self.root.join("probe")
    }

    /// Makes sure that the directory of a blob is there, and durably so.
    pub(super) fn prepare(&self, dir: &Path, disk: &dyn Disk) -> io::Result<()> {
        if self
            .durable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(dir)
        {
            return Ok(());
        }
        disk.create_dir(dir)?;
        // Also if it was there: whoever created it may not have come as far as this.
        if let Some(parent) = dir.parent() {
            disk.sync_dir(parent)?;
        }
        self.durable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(dir.into());
        Ok(())
    }
}

fn below(root: &Path, blob: &Digest) -> PathBuf {
    let hex = blob.hex();
    let fan_out = hex.get(..2).unwrap_or_default();
    root.join("blobs")
        .join(blob.algorithm().as_str())
        .join(fan_out)
        .join(&hex)
}
