// SPDX-License-Identifier: Apache-2.0
//! Listing, checking and putting aside the files of blobs.

use std::collections::{BinaryHeap, HashSet};
use std::fs::Metadata;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use hythe_model::{Algorithm, Digest, StorageClass, fail_point};

use super::content::{self, Form};
use super::{FsBlobStore, Inner};
use crate::{BlobError, BlobIdentity, BlobInventory, StoredBlob};

/// The most blobs that are remembered as put aside; of others, who asks is told that they are there.
const MAX_QUARANTINED: usize = 4096;
/// Where files of blobs are.
const CLASSES: [StorageClass; 2] = [StorageClass::Standard, StorageClass::Archive];
/// The most files of one blob that are put aside.
const MAX_COPIES: u32 = 1000;

/// Blobs that were put aside, so that a client that asks before it sends is told to send them again.
#[derive(Debug, Default)]
pub(super) struct Quarantined(Mutex<HashSet<Digest>>);

impl Quarantined {
    /// Those of an earlier process. Nothing but what was put aside is in the folders.
    pub(super) fn load(dirs: [&Path; 2]) -> io::Result<Self> {
        let mut found = HashSet::new();
        for dir in dirs {
            match std::fs::read_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(entries) => {
                    for entry in entries {
                        let name = entry?.file_name();
                        let digest = |name: &str| name.split('.').next()?.replacen('-', ":", 1).parse::<Digest>().ok();
                        found.extend(name.to_str().and_then(digest));
                        if found.len() >= MAX_QUARANTINED {
                            break;
                        }
                    }
                }
            }
        }
        Ok(Self(Mutex::new(found)))
    }

    pub(super) fn contains(&self, blob: &Digest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(blob)
    }

    fn insert(&self, blob: Digest) {
        let mut blobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if blobs.len() < MAX_QUARANTINED {
            blobs.insert(blob);
        }
    }
}

#[async_trait]
impl BlobInventory for FsBlobStore {
    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<Digest>, BlobError> {
        let after = after.copied();
        Ok(self.blocking(move |inner| inner.list(after, limit)).await??)
    }

    async fn identity(&self, blob: &Digest) -> Result<Option<BlobIdentity>, BlobError> {
        let blob = *blob;
        Ok(self
            .blocking(move |inner| identity(&inner.layout.blob_in(&blob, inner.class_of(&blob)?)))
            .await??)
    }

    async fn classes(&self, blob: &Digest) -> Result<Vec<StorageClass>, BlobError> {
        let blob = *blob;
        Ok(self.blocking(move |inner| inner.classes_of(&blob)).await??)
    }

    async fn open(&self, blob: &Digest) -> Result<Option<StoredBlob>, BlobError> {
        let blob = *blob;
        // Not one that is open for readers: its file may be gone.
        let file = self.blocking(move |inner| inner.find(&blob)).await??;
        Ok(file.map(|file| {
            let size = file.size();
            let buffers = Arc::clone(&self.inner.buffers);
            let bytes = content::stream(Arc::new(file), 0..size, buffers, Form::Copied);
            StoredBlob {
                size,
                bytes: Box::pin(bytes),
            }
        }))
    }

    async fn quarantine(&self, blob: &Digest, identity: &BlobIdentity) -> Result<bool, BlobError> {
        let (blob, identity) = (*blob, identity.clone());
        Ok(self.blocking(move |inner| inner.quarantine(&blob, &identity)).await??)
    }
}

impl Inner {
    /// Reads one directory after the other, each whole: its memory follows the limit.
    fn list(&self, after: Option<Digest>, limit: usize) -> io::Result<Vec<Digest>> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for fan_out in 0..=u8::MAX {
                let is_passed = after.is_some_and(|after| {
                    let first = after.hash().first().copied().unwrap_or_default();
                    (algorithm, fan_out) < (after.algorithm(), first)
                });
                if is_passed {
                    continue;
                }
                let mut in_both = Vec::new();
                for class in CLASSES {
                    let dir = self.layout.fan_out(class, algorithm, fan_out);
                    in_both.extend(first_of(&dir, algorithm, fan_out, after, limit - found.len())?);
                }
                // One that is being moved is in both.
                in_both.sort_unstable();
                in_both.dedup();
                in_both.truncate(limit - found.len());
                found.extend(in_both);
                if found.len() >= limit {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// Where there are files of a blob; where it is read is the first.
    fn classes_of(&self, blob: &Digest) -> io::Result<Vec<StorageClass>> {
        let _held = self.moves.hold(blob);
        let mut found = Vec::new();
        for class in CLASSES {
            if identity(&self.layout.blob_in(blob, class))?.is_some() {
                found.push(class);
            }
        }
        Ok(found)
    }

    /// Where the file of a blob is read, if it is anywhere.
    fn class_of(&self, blob: &Digest) -> io::Result<StorageClass> {
        Ok(self.classes_of(blob)?.first().copied().unwrap_or_default())
    }

    fn quarantine(&self, blob: &Digest, expected: &BlobIdentity) -> io::Result<bool> {
        let class = self.class_of(blob)?;
        let source = self.layout.blob_in(blob, class);
        // In the same file system.
        let dir = self.layout.quarantine(class);
        self.disk.create_dir(&dir)?;
        if let Some(root) = dir.parent() {
            self.disk.sync_dir(root)?;
        }
        // Whoever publishes the blob now waits, on whatever node, so that nothing else is moved than what was looked at.
        let lock = self.lock_deletion(blob)?;
        let publishing = self.publishing.write().unwrap_or_else(PoisonError::into_inner);
        if identity(&source)?.as_ref() != Some(expected) {
            return Ok(false);
        }
        let name = format!("{}-{}", blob.algorithm().as_str(), blob.hex());
        let target = (0..MAX_COPIES)
            .map(|copy| {
                dir.join(if copy == 0 {
                    name.clone()
                } else {
                    format!("{name}.{copy}")
                })
            })
            .find(|path| !path.exists())
            .ok_or_else(|| {
                io::Error::other("too many files of this blob were put aside: look at them and remove some")
            })?;
        self.quarantined.insert(*blob);
        self.disk.rename(&source, &target)?;
        self.open_blobs.remove(blob);
        drop((publishing, lock));
        fail_point("blob.quarantine.renamed");
        self.disk.sync_dir(&dir)?;
        if let Some(dir) = source.parent() {
            self.disk.sync_dir(dir)?;
        }
        fail_point("blob.quarantine.dirs_synced");
        Ok(true)
    }
}

/// The first `limit` blobs of a directory after `after`, in order.
fn first_of(
    dir: &Path,
    algorithm: Algorithm,
    fan_out: u8,
    after: Option<Digest>,
    limit: usize,
) -> io::Result<Vec<Digest>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let wanted = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
    let mut first: BinaryHeap<Digest> = BinaryHeap::new();
    for entry in entries {
        let name = entry?.file_name();
        let digest: Option<Digest> = name
            .to_str()
            .and_then(|hex| format!("{}:{hex}", algorithm.as_str()).parse().ok());
        // Whatever else an operator put there is no blob.
        let Some(digest) = digest.filter(|digest| digest.hash().first() == Some(&fan_out)) else {
            continue;
        };
        if std::ops::RangeBounds::contains(&wanted, &digest) {
            first.push(digest);
            if first.len() > limit {
                first.pop();
            }
        }
    }
    Ok(first.into_sorted_vec())
}

pub(super) fn identity(path: &Path) -> io::Result<Option<BlobIdentity>> {
    let name = |found: Metadata| {
        let changed = (found.mtime(), found.mtime_nsec());
        BlobIdentity(format!("{}/{}/{}/{changed:?}", found.dev(), found.ino(), found.len()).into())
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(name(found))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::TryStreamExt as _;
    use hythe_model::UploadId;

    use super::*;
    use crate::{BlobStore, Hasher, Progress};

    async fn push(store: &FsBlobStore, algorithm: Algorithm, content: &[u8]) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        let from = Progress {
            bytes: 0,
            hasher: hasher.clone(),
        };
        hasher.update(content);
        let upload = UploadId::generate();
        let body = Box::pin(futures::stream::iter([Ok(Bytes::copy_from_slice(content))]));
        let appended = store.append(upload, from, body, u64::MAX).await;
        store.commit(upload, appended.progress, &hasher.finish()).await.unwrap();
        hasher.finish()
    }

    fn damage(store: &FsBlobStore, blob: &Digest) {
        let path = store.inner.layout.blob(blob);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }

    async fn read(store: &FsBlobStore, blob: &Digest) -> Option<Vec<u8>> {
        let opened = BlobInventory::open(store, blob).await.unwrap()?;
        let chunks: Vec<Bytes> = opened.bytes.try_collect().await.unwrap();
        assert_eq!(chunks.iter().map(Bytes::len).sum::<usize>() as u64, opened.size);
        Some(chunks.concat())
    }

    #[tokio::test]
    async fn pages_of_any_length_list_every_blob_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let store = FsBlobStore::open(folder.path()).unwrap();
        let mut pushed = Vec::new();
        for number in 0..40_u8 {
            let algorithm = if number % 4 == 0 {
                Algorithm::Sha512
            } else {
                Algorithm::Sha256
            };
            pushed.push(push(&store, algorithm, &[number; 10]).await);
        }
        pushed.sort();
        // No blobs.
        let dir = store.inner.layout.fan_out(StorageClass::Standard, Algorithm::Sha256, 0);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("README"), "mine").unwrap();
        std::fs::write(dir.join("ff".repeat(32)), "in the wrong place").unwrap();
        for limit in [1, 3, 39, 40, 41] {
            let mut listed: Vec<Digest> = Vec::new();
            loop {
                let page = store.list(listed.last(), limit).await.unwrap();
                assert!(page.len() <= limit);
                if page.is_empty() {
                    break;
                }
                listed.extend(page);
            }
            assert_eq!(listed, pushed, "{limit}");
        }
    }

    #[tokio::test]
    async fn what_is_opened_is_what_lies_there_now() {
        let folder = tempfile::tempdir().unwrap();
        let store = FsBlobStore::open(folder.path()).unwrap();
        let content = vec![7; 300_000];
        let blob = push(&store, Algorithm::Sha256, &content).await;
        assert_eq!(
            store.size(&blob).await.unwrap(),
            Some(300_000),
            "and is open from now on"
        );
        assert_eq!(read(&store, &blob).await.unwrap(), content);
        damage(&store, &blob);
        assert_ne!(read(&store, &blob).await.unwrap(), content);
        std::fs::write(store.inner.layout.blob(&blob), "short").unwrap();
        let refused = BlobInventory::open(&store, &blob).await.unwrap_err();
        assert_eq!(refused.0.kind(), io::ErrorKind::InvalidData);
        std::fs::remove_file(store.inner.layout.blob(&blob)).unwrap();
        assert!(BlobInventory::open(&store, &blob).await.unwrap().is_none());
        assert!(store.identity(&blob).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn it_is_told_where_the_bytes_of_a_blob_are() {
        use StorageClass::{Archive, Standard};
        let folder = tempfile::tempdir().unwrap();
        let store = FsBlobStore::open(folder.path()).unwrap();
        let content = vec![7; 100_000];
        let blob = push(&store, Algorithm::Sha256, &content).await;
        assert_eq!(store.classes(&blob).await.unwrap(), [Standard]);
        store.place(&blob, Archive).await.unwrap();
        assert_eq!(store.classes(&blob).await.unwrap(), [Archive]);
        push(&store, Algorithm::Sha256, &content).await;
        assert_eq!(store.classes(&blob).await.unwrap(), [Standard, Archive]);
        crate::store::delete_blob(&store, &blob).await.unwrap();
        assert!(store.classes(&blob).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_put_aside_is_kept_and_the_next_push_brings_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = FsBlobStore::open(folder.path()).unwrap();
        let content = vec![7; 100_000];
        let blob = push(&store, Algorithm::Sha256, &content).await;
        let before = store.identity(&blob).await.unwrap().unwrap();
        damage(&store, &blob);
        assert!(
            !store.quarantine(&blob, &before).await.unwrap(),
            "these are other bytes"
        );
        let identity = store.identity(&blob).await.unwrap().unwrap();
        assert!(store.is_sound(&blob, None).await.unwrap());
        assert!(store.quarantine(&blob, &identity).await.unwrap());
        assert!(!store.quarantine(&blob, &identity).await.unwrap());
        assert_eq!(store.size(&blob).await.unwrap(), None);
        assert!(
            !store.is_sound(&blob, None).await.unwrap(),
            "a client is told to send it"
        );
        let aside = store.inner.layout.quarantine(StorageClass::Standard);
        assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 1);

        // Another process knows as well.
        let store = FsBlobStore::open(folder.path()).unwrap();
        assert!(!store.is_sound(&blob, None).await.unwrap());
        push(&store, Algorithm::Sha256, &content).await;
        assert!(store.is_sound(&blob, None).await.unwrap());
        assert_eq!(read(&store, &blob).await.unwrap(), content);
        let identity = store.identity(&blob).await.unwrap().unwrap();
        assert!(store.quarantine(&blob, &identity).await.unwrap());
        assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 2, "nothing is written over");
    }
}
