// SPDX-License-Identifier: Apache-2.0
//! An image layout to push from: a folder or a `.tar` archive, which is read in place and never unpacked.

use std::collections::HashMap;
use std::fs::File;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hythe_model::{Descriptor, Digest, MAX_MANIFEST_BYTES};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _};

use super::error::file;
use super::layout::{INDEX, LayoutIndex, MARKER, blob_path, ref_name};
use super::{TransferError, digester};

/// The most entries of an archive that are looked at.
const MAX_ARCHIVE_ENTRIES: usize = 100_000;

/// An image layout that is there.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    /// Where each file of an archive is in it (offset and bytes); `None` for a folder.
    entries: Option<HashMap<String, (u64, u64)>>,
    index: LayoutIndex,
}

impl Source {
    /// Opens a folder or an archive.
    pub async fn open(path: &Path) -> Result<Self, TransferError> {
        let facts = tokio::fs::metadata(path).await.map_err(file("open", path))?;
        let entries = if facts.is_dir() {
            None
        } else {
            Some(list_archive(path.to_path_buf()).await?)
        };
        let mut source = Self {
            path: path.into(),
            entries,
            index: LayoutIndex::default(),
        };
        let fail = |problem: &str| TransferError::NotALayout {
            path: path.into(),
            problem: problem.into(),
        };
        let Some(index) = source.read_small(INDEX).await? else {
            let is_docker_archive = source.read_small("manifest.json").await?.is_some();
            return Err(fail(if is_docker_archive {
                "it is a docker-archive"
            } else {
                "there is no `index.json` in it"
            }));
        };
        if source.read_small(MARKER).await?.is_none() {
            return Err(fail("there is no `oci-layout` in it"));
        }
        source.index = serde_json::from_slice(&index).map_err(|error| fail(&format!("`index.json`: {error}")))?;
        Ok(source)
    }

    /// The image of this name, or the only one.
    pub fn select(&self, name: Option<&str>) -> Result<&Descriptor, TransferError> {
        let images = &self.index.manifests;
        let is_wanted = |image: &&Descriptor| name.is_none_or(|name| ref_name(image) == Some(name));
        let mut wanted = images.iter().filter(is_wanted);
        match (wanted.next(), wanted.next()) {
            (Some(image), None) => Ok(image),
            // The same image under two names is no question.
            (Some(image), Some(_))
                if images
                    .iter()
                    .filter(is_wanted)
                    .all(|other| other.digest == image.digest) =>
            {
                Ok(image)
            }
            (None, _) if images.is_empty() => Err(TransferError::NotALayout {
                path: self.path.clone(),
                problem: "there is no image in it".into(),
            }),
            _ => Err(TransferError::Ambiguous {
                path: self.path.clone(),
                names: images
                    .iter()
                    .map(|image| ref_name(image).map_or_else(|| image.digest.to_string(), str::to_owned))
                    .collect(),
            }),
        }
    }

    /// A manifest, checked against its digest; `None` if it is not in the layout.
    pub(super) async fn manifest(&self, digest: &Digest) -> Result<Option<Bytes>, TransferError> {
        let Some(bytes) = self.read_small(&blob_path(digest)).await? else {
            return Ok(None);
        };
        if !digester::has_digest(&bytes, digest) {
            return Err(TransferError::Damaged {
                expected: *digest,
                found: "another digest".into(),
            });
        }
        Ok(Some(bytes))
    }

    /// The bytes of a blob in the layout; `None` if it is not there.
    pub(super) async fn blob_bytes(&self, digest: &Digest) -> Result<Option<u64>, TransferError> {
        let name = blob_path(digest);
        match &self.entries {
            Some(entries) => Ok(entries.get(&name).map(|(_, bytes)| *bytes)),
            None => match tokio::fs::metadata(self.path.join(&name)).await {
                Ok(facts) => Ok(facts.is_file().then_some(facts.len())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(file("read", &self.path.join(&name))(error)),
            },
        }
    }

    /// A blob from `offset` on.
    pub(super) async fn open_blob(
        &self,
        digest: &Digest,
        offset: u64,
    ) -> Result<impl AsyncRead + Send + use<>, TransferError> {
        let name = blob_path(digest);
        let (path, start, bytes) = match &self.entries {
            Some(entries) => {
                let (start, bytes) = entries.get(&name).copied().ok_or(TransferError::Missing(*digest))?;
                (self.path.clone(), start, bytes)
            }
            None => (self.path.join(&name), 0, u64::MAX),
        };
        let mut opened = tokio::fs::File::open(&path).await.map_err(file("open", &path))?;
        opened
            .seek(SeekFrom::Start(start.saturating_add(offset)))
            .await
            .map_err(file("read", &path))?;
        Ok(opened.take(bytes.saturating_sub(offset)))
    }

    /// A file of at most [`MAX_MANIFEST_BYTES`]; `None` if it is not there.
    async fn read_small(&self, name: &str) -> Result<Option<Bytes>, TransferError> {
        let (path, start, bytes) = match &self.entries {
            Some(entries) => match entries.get(name) {
                Some((start, bytes)) => (self.path.clone(), *start, *bytes),
                None => return Ok(None),
            },
            None => (self.path.join(name), 0, u64::MAX),
        };
        let mut opened = match tokio::fs::File::open(&path).await {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file("open", &path)(error)),
        };
        opened.seek(SeekFrom::Start(start)).await.map_err(file("read", &path))?;
        let mut content = Vec::new();
        let limit = bytes.min(MAX_MANIFEST_BYTES as u64 + 1);
        opened
            .take(limit)
            .read_to_end(&mut content)
            .await
            .map_err(file("read", &path))?;
        if content.len() > MAX_MANIFEST_BYTES {
            return Err(TransferError::NotALayout {
                path: self.path.clone(),
                problem: format!("`{name}` is longer than 4 MiB"),
            });
        }
        Ok(Some(content.into()))
    }
}

async fn list_archive(path: PathBuf) -> Result<HashMap<String, (u64, u64)>, TransferError> {
    let shown = path.clone();
    let listed = tokio::task::spawn_blocking(move || {
        let mut entries = HashMap::new();
        let mut archive = tar::Archive::new(File::open(&path)?);
        for entry in archive.entries_with_seek()?.take(MAX_ARCHIVE_ENTRIES) {
            let entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            entries.insert(name, (entry.raw_file_position(), entry.size()));
        }
        Ok::<_, std::io::Error>(entries)
    });
    match listed.await {
        Ok(Ok(entries)) => Ok(entries),
        Ok(Err(error)) => Err(TransferError::NotALayout {
            path: shown,
            problem: format!("it is neither a folder nor an uncompressed tar archive ({error})"),
        }),
        Err(_) => Err(TransferError::NotALayout {
            path: shown,
            problem: "it could not be read".into(),
        }),
    }
}
