// SPDX-License-Identifier: Apache-2.0
//! Blobs that are checked when they are read, if the operator wants that, and the count of those that are damaged.

use std::sync::Arc;
use std::time::Duration;

use hythe_blobs::{BlobStore, DamageListener, VerifyingBlobStore};
use hythe_model::Digest;
use prometheus_client::metrics::counter::Counter;

use crate::config::Blobs;

/// How many blobs were found damaged. Readiness does not depend on it: the other blobs are as good as before.
#[derive(Clone, Debug, Default)]
pub struct DamagedBlobs(pub Counter);

impl DamageListener for DamagedBlobs {
    fn damaged(&self, _blob: &Digest) {
        self.0.inc();
    }
}

/// `store`, with reads that are verified if `config` says so.
pub fn over(store: Arc<dyn BlobStore>, config: &Blobs, damaged: &DamagedBlobs) -> Arc<dyn BlobStore> {
    if !config.verify_reads {
        return store;
    }
    let valid_for = Duration::from_secs(config.verified_for_seconds);
    Arc::new(VerifyingBlobStore::new(store, valid_for, Arc::new(damaged.clone())))
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;
    use hythe_blobs::{FsBlobStore, Hasher, Progress};
    use hythe_model::{Algorithm, UploadId};

    use super::*;

    /// Changes the last byte of every file below `folder` that is longer than a page: the blobs, not the probe.
    fn damage(folder: &std::path::Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                damage(&path);
            } else {
                let mut bytes = std::fs::read(&path).unwrap();
                if bytes.len() > 4096 {
                    *bytes.last_mut().unwrap() ^= 1;
                    std::fs::write(&path, bytes).unwrap();
                }
            }
        }
    }

    #[tokio::test]
    async fn a_damaged_blob_is_counted_and_not_served_if_reads_are_verified() {
        for verify_reads in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let damaged = DamagedBlobs::default();
            let config = Blobs {
                verify_reads,
                ..Blobs::default()
            };
            let files = Arc::new(FsBlobStore::open(folder.path()).unwrap());
            let store = over(files, &config, &damaged);
            let content = vec![7; 100_000];
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(&content);
            let digest = hasher.finish();
            let from = Progress {
                bytes: 0,
                hasher: Hasher::new(Algorithm::Sha256),
            };
            let upload = UploadId::generate();
            let body = Box::pin(futures::stream::iter([Ok(content.into())]));
            let appended = store.append(upload, from, body, u64::MAX).await;
            store.commit(upload, appended.progress, &digest).await.unwrap();
            damage(folder.path());
            let stream = store.read_to_send(&digest, 0..100_000).await.unwrap().unwrap();
            let read: Result<Vec<_>, _> = stream.try_collect().await;
            assert_eq!(read.is_err(), verify_reads);
            assert_eq!(damaged.0.get(), u64::from(verify_reads));
            assert!(store.check().await.is_ok());
        }
    }
}
