// SPDX-License-Identifier: Apache-2.0
//! An image layout to pull into: a folder that grows, or an archive that appears when it is whole.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use hythe_model::{Descriptor, Digest};
use tempfile::{NamedTempFile, TempDir};

use super::error::file;
use super::layout::{INDEX, LayoutIndex, MARKER, MARKER_TEXT, REF_NAME, blob_path, ref_name};
use super::{BlobOutcome, RegistryClient, SharedProgress, TransferError, blob};

/// Where an image is pulled to.
#[derive(Debug)]
pub struct Destination {
    /// The folder that blobs are written to.
    folder: PathBuf,
    /// For an archive: its path, and the temporary folder that goes away with this value.
    archive: Option<(PathBuf, TempDir)>,
}

impl Destination {
    /// A layout in a folder, which is made if it is not there; images that are in it stay.
    pub async fn folder(path: &Path) -> Result<Self, TransferError> {
        tokio::fs::create_dir_all(path).await.map_err(file("create", path))?;
        let is_layout = tokio::fs::try_exists(path.join(MARKER))
            .await
            .map_err(file("read", path))?;
        let mut inside = tokio::fs::read_dir(path).await.map_err(file("read", path))?;
        let is_empty = inside.next_entry().await.map_err(file("read", path))?.is_none();
        if !is_layout && !is_empty {
            return Err(TransferError::Occupied(path.into()));
        }
        Ok(Self {
            folder: path.into(),
            archive: None,
        })
    }

    /// An archive, which replaces what is there once it is complete. Until then its parts are in a temporary folder beside it.
    pub async fn archive(path: &Path) -> Result<Self, TransferError> {
        let beside = parent(path);
        let folder =
            tokio::task::spawn_blocking(move || tempfile::Builder::new().prefix(".hythe-pull-").tempdir_in(beside))
                .await;
        let folder = folder
            .map_err(std::io::Error::other)
            .and_then(|made| made)
            .map_err(file("write", path))?;
        Ok(Self {
            folder: folder.path().into(),
            archive: Some((path.into(), folder)),
        })
    }

    /// Fetches a blob, unless it is there and intact.
    pub(super) async fn fetch(
        &self,
        client: &RegistryClient,
        repository: &str,
        descriptor: &Descriptor,
        progress: &SharedProgress,
    ) -> Result<BlobOutcome, TransferError> {
        let path = self.folder.join(blob_path(&descriptor.digest));
        if blob::is_intact(&path, &descriptor.digest, descriptor.size).await {
            return Ok(BlobOutcome::Present);
        }
        let folder = parent(&path);
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(file("create", &folder))?;
        // From the first blob on, so that a pull that was interrupted can go on in the same folder.
        self.write(MARKER, MARKER_TEXT.into()).await?;
        let part = tempfile::Builder::new().prefix(".part-").make_in(&folder, create_new);
        let part = part.map_err(file("write", &folder))?.into_temp_path(); // removed if this future is dropped
        blob::download(client, repository, descriptor, &part, progress).await?;
        part.persist(&path).map_err(|error| file("write", &path)(error.error))?;
        Ok(BlobOutcome::Transferred)
    }

    pub(super) async fn write_manifest(&self, digest: &Digest, bytes: &[u8]) -> Result<(), TransferError> {
        self.write(&blob_path(digest), bytes.to_vec()).await
    }

    /// Enters the image into the index; an archive becomes visible.
    pub(super) async fn finish(self, mut root: Descriptor, name: Option<&str>) -> Result<(), TransferError> {
        if let Some(name) = name {
            root.annotations.insert(REF_NAME.into(), name.into());
        }
        let index_path = self.folder.join(INDEX);
        let mut index = match tokio::fs::read(&index_path).await {
            Ok(bytes) => serde_json::from_slice::<LayoutIndex>(&bytes).map_err(|error| TransferError::NotALayout {
                path: self.folder.clone(),
                problem: format!("`index.json`: {error}"),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => LayoutIndex::default(),
            Err(error) => return Err(file("read", &index_path)(error)),
        };
        // A name stands for one image; an image without a name is listed once.
        index.manifests.retain(|old| match name {
            Some(name) => ref_name(old) != Some(name),
            None => !(old.digest == root.digest && ref_name(old).is_none()),
        });
        index.manifests.push(root);
        let text = serde_json::to_vec(&index).map_err(|error| file("write", &index_path)(error.into()))?;
        self.write(MARKER, MARKER_TEXT.into()).await?;
        self.write(INDEX, text).await?;
        match self.archive {
            Some((path, folder)) => pack(path, folder).await,
            None => Ok(()),
        }
    }

    /// Writes a small file of the layout, atomically.
    async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), TransferError> {
        let path = self.folder.join(name);
        let shown = path.clone();
        let written = tokio::task::spawn_blocking(move || {
            let folder = parent(&path);
            std::fs::create_dir_all(&folder)?;
            let part = tempfile::Builder::new().prefix(".part-").make_in(&folder, create_new)?;
            part.as_file().write_all(&bytes)?;
            part.as_file().sync_all()?;
            part.persist(&path).map(drop).map_err(|error| error.error)
        });
        written
            .await
            .map_err(std::io::Error::other)
            .and_then(|written| written)
            .map_err(file("write", &shown))
    }
}

/// Packs a layout into a temporary archive, and moves that to `path`.
async fn pack(path: PathBuf, folder: TempDir) -> Result<(), TransferError> {
    let beside = parent(&path);
    let packed = tokio::task::spawn_blocking(move || {
        let part = tempfile::Builder::new()
            .prefix(".hythe-pull-")
            .suffix(".tar")
            .make_in(&beside, create_new)?;
        let mut builder = tar::Builder::new(part.as_file());
        builder.follow_symlinks(false);
        // The marker first, so that a reader of the stream knows what it reads.
        for name in [MARKER, INDEX] {
            append(&mut builder, folder.path(), Path::new(name))?;
        }
        let mut names = Vec::new();
        for algorithm in std::fs::read_dir(folder.path().join("blobs"))? {
            let algorithm = algorithm?;
            for blob in std::fs::read_dir(algorithm.path())? {
                names.push(Path::new("blobs").join(algorithm.file_name()).join(blob?.file_name()));
            }
        }
        names.sort();
        for name in names {
            append(&mut builder, folder.path(), &name)?;
        }
        builder.into_inner()?;
        part.as_file().sync_all()?;
        Ok::<NamedTempFile, std::io::Error>(part)
    });
    let part = packed
        .await
        .map_err(std::io::Error::other)
        .and_then(|packed| packed)
        .map_err(file("write", &path))?;
    // Not on the blocking thread: if the pull was cancelled meanwhile, nothing may appear.
    part.persist(&path)
        .map(drop)
        .map_err(|error| file("write", &path)(error.error))
}

/// Appends a file with the same header wherever and whenever it was pulled.
fn append(builder: &mut tar::Builder<&std::fs::File>, folder: &Path, name: &Path) -> std::io::Result<()> {
    let mut content = std::fs::File::open(folder.join(name))?;
    let mut header = tar::Header::new_ustar();
    header.set_size(content.metadata()?.len());
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    builder.append_data(&mut header, name, &mut content)
}

/// Makes a file with the permissions that the user's umask leaves, unlike a temporary file's own.
fn create_new(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::File::create_new(path)
}

fn parent(path: &Path) -> PathBuf {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .to_path_buf()
}
