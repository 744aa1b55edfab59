// SPDX-License-Identifier: Apache-2.0
//! A store, files, a clock and a collector.

use std::sync::Arc;

use bytes::Bytes;
use hythe_blobs::faults::{Faults, FaultyBlobStore};
use hythe_blobs::{BlobStore, FsBlobStore, Hasher, Progress};
use hythe_catalog::{
    BlobCatalog, CatalogError, ImageCatalog, NewBlob, NewImage, PutImageError, UploadCatalog, UploadState,
};
use hythe_jobs::{Collected, Collector, CollectorSettings};
use hythe_meta::{BlobDeletion, CollectionRules, Store};
use hythe_model::{Algorithm, Clock, Digest, ManualClock, MediaType, Reference, UploadId};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::contents::{self, create, path, tag};
use crate::harness::Database;

/// In seconds.
pub const GRACE: i64 = 3600;
pub const CONDEMNED: i64 = 600;
pub const EXPIRY: i64 = 1800;

pub struct World {
    pub store: Store,
    pub blobs: Arc<dyn BlobStore>,
    pub clock: Arc<ManualClock>,
    collector: Collector,
    settings: CollectorSettings,
    folder: Arc<TempDir>,
}

/// More than a row holds.
pub fn bytes(seed: &str) -> Bytes {
    Bytes::from(seed.repeat(70_000 / seed.len() + 1))
}

fn hasher(bytes: &[u8]) -> Hasher {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    hasher(bytes).finish()
}

/// An image whose configuration is its first layer.
pub fn image_of(layers: &[&Bytes], name: &str) -> NewImage {
    let descriptor = |layer: &&Bytes| json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(layer), "size": layer.len() });
    let all: Vec<_> = layers.iter().map(descriptor).collect();
    let body = json!({ "schemaVersion": 2, "config": all[0], "layers": all, "annotations": { "name": name } });
    let mut image = contents::image_of(0, &body, MediaType::OCI_MANIFEST, &[name]);
    image.digest = digest_of(body.to_string().as_bytes());
    image
}

impl World {
    pub async fn new(database: &Database) -> Self {
        Self::with(database, None).await
    }

    /// One that fails as planned.
    pub async fn with(database: &Database, faults: Option<&Arc<Faults>>) -> Self {
        let settings = CollectorSettings {
            grace: SignedDuration::from_secs(GRACE),
            condemned_for: SignedDuration::from_secs(CONDEMNED),
            max_blobs_per_second: 0,
            concurrency: 4,
        };
        Self::of(database, faults, settings).await
    }

    /// One whose collector spares nothing.
    pub async fn hasty(database: &Database) -> Self {
        let settings = CollectorSettings {
            grace: SignedDuration::ZERO,
            condemned_for: SignedDuration::ZERO,
            max_blobs_per_second: 0,
            concurrency: 4,
        };
        Self::of(database, None, settings).await
    }

    async fn of(database: &Database, faults: Option<&Arc<Faults>>, settings: CollectorSettings) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let blobs: Arc<dyn BlobStore> = match faults {
            None => Arc::new(FsBlobStore::open(folder.path()).unwrap()),
            Some(faults) => {
                let files = FsBlobStore::open_faulty(folder.path(), Arc::clone(faults)).unwrap();
                Arc::new(FaultyBlobStore::new(Arc::new(files), Arc::clone(faults)))
            }
        };
        let clock = Arc::new(ManualClock::new(contents::now()));
        create(&database.store, "web").await;
        Self::on(database.store.clone(), blobs, clock, settings, folder)
    }

    fn on(
        store: Store,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<ManualClock>,
        settings: CollectorSettings,
        folder: Arc<TempDir>,
    ) -> Self {
        store.set_link_grace(settings.grace);
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let collector = Collector::new(store.clone(), Arc::clone(&blobs), shared, settings);
        Self {
            store,
            blobs,
            clock,
            collector,
            settings,
            folder,
        }
    }

    /// Another node on the same database and the same files.
    pub async fn another(&self, database: &Database) -> Self {
        let blobs = Arc::new(FsBlobStore::open(self.folder.path()).unwrap());
        let (clock, folder) = (Arc::clone(&self.clock), Arc::clone(&self.folder));
        Self::on(database.another().await, blobs, clock, self.settings, folder)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn collect(&self) -> Collected {
        self.collector.pass(&CancellationToken::new()).await.unwrap()
    }

    /// Collects everything that nothing needs now.
    pub async fn settle(&self) {
        for seconds in [GRACE + 1, CONDEMNED + 1] {
            self.clock.advance_seconds(seconds);
            self.collect().await;
        }
    }

    pub async fn has(&self, repository: &str, layer: &Bytes) -> bool {
        let found = self.store.blob(&path(repository), &digest_of(layer)).await;
        found.unwrap().is_some()
    }

    pub async fn has_file(&self, layer: &Bytes) -> bool {
        self.blobs.size(&digest_of(layer)).await.unwrap().is_some()
    }

    pub async fn push(&self, repository: &str, layer: &Bytes) {
        self.try_push(repository, layer).await.unwrap();
    }

    pub async fn try_push(&self, repository: &str, layer: &Bytes) -> Result<(), CatalogError> {
        let session = Session::begin(self, repository, layer).await;
        session.seal().await?;
        session.publish().await;
        session.link().await
    }

    pub async fn push_until_done(&self, repository: &str, layer: &Bytes) {
        while let Err(error) = self.try_push(repository, layer).await {
            assert!(matches!(error, CatalogError::Busy), "{error:?}");
        }
    }

    pub async fn put(&self, repository: &str, layers: &[&Bytes], name: &str) {
        let stored = self.store.put_image(&path(repository), image_of(layers, name)).await;
        stored.unwrap();
    }

    /// As a client does that sends again what the registry says is missing.
    pub async fn push_image_until_done(&self, repository: &str, layer: &Bytes, name: &str) {
        loop {
            if !self.has(repository, layer).await {
                match self.try_push(repository, layer).await {
                    Ok(()) | Err(CatalogError::Busy) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            match self.store.put_image(&path(repository), image_of(&[layer], name)).await {
                Ok(_) => return,
                Err(PutImageError::BlobsUnknown(_) | PutImageError::Catalog(CatalogError::Busy)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    pub async fn delete(&self, repository: &str, name: &str) {
        let reference = Reference::Tag(tag(name));
        let deleted = self
            .store
            .delete_image(&path(repository), &reference, self.now(), "me")
            .await;
        assert!(deleted.unwrap().is_some());
    }

    /// Lets a deleted image be restored no more.
    pub async fn purge(&self, repository: &str, image: &Digest) {
        let purged = self.store.purge_image(&path(repository), image, self.now()).await;
        purged.unwrap();
    }

    pub async fn restore(&self, repository: &str, image: &Digest) {
        let restored = self
            .store
            .restore_image(&path(repository), image, None, self.now(), "me")
            .await;
        assert!(restored.unwrap().is_restored);
    }

    pub fn rules(&self, token: &str) -> CollectionRules {
        CollectionRules {
            grace: self.settings.grace,
            condemned_for: self.settings.condemned_for,
            token: token.into(),
            lease: SignedDuration::from_secs(60),
        }
    }

    /// What a node does that is held up before it deletes.
    pub async fn claim(&self, token: &str) -> Vec<BlobDeletion> {
        let rules = self.rules(token);
        let until = self.now() + rules.lease;
        let due = self.store.lease_reviews(self.now(), until, 10).await.unwrap();
        self.store
            .review_blobs(due, &rules, self.now())
            .await
            .unwrap()
            .deletions
    }

    /// No row and no file of any blob is left.
    pub async fn assert_empty(&self) {
        assert_eq!(self.find_leftovers().await, None);
    }

    /// What is left of blobs.
    pub async fn find_leftovers(&self) -> Option<String> {
        let backlog = self.store.collection_backlog(self.now()).await.unwrap();
        if (backlog.due, backlog.waiting, backlog.deleting) != (0, 0, 0) {
            return Some(format!("{backlog:?}"));
        }
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().join("blobs")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        (!files.is_empty()).then(|| format!("{files:?}"))
    }
}

/// A push, step by step.
pub struct Session<'w> {
    world: &'w World,
    repository: String,
    bytes: Bytes,
    upload: UploadId,
}

impl<'w> Session<'w> {
    pub async fn begin(world: &'w World, repository: &str, bytes: &Bytes) -> Self {
        let upload = UploadId::generate();
        let expires_at = world.now() + SignedDuration::from_secs(EXPIRY);
        let repository_path = path(repository);
        let begun = world
            .store
            .begin_upload(&repository_path, upload, Algorithm::Sha256, expires_at);
        begun.await.unwrap();
        Self {
            world,
            repository: repository.into(),
            bytes: bytes.clone(),
            upload,
        }
    }

    pub async fn seal(&self) -> Result<i64, CatalogError> {
        self.seal_as(&digest_of(&self.bytes), 0).await
    }

    /// `version` is what sealing it the last time has answered.
    pub async fn seal_as(&self, digest: &Digest, version: i64) -> Result<i64, CatalogError> {
        let state = UploadState::Stored {
            bytes: self.bytes.len() as u64,
            hash_state: hasher(&self.bytes).to_state(),
        };
        let expires_at = self.world.now() + SignedDuration::from_secs(EXPIRY);
        let repository = path(&self.repository);
        let sealed = self
            .world
            .store
            .seal_upload(&repository, self.upload, version, digest, state, expires_at);
        sealed.await
    }

    pub async fn publish(&self) {
        let from = Progress {
            bytes: 0,
            hasher: Hasher::new(Algorithm::Sha256),
        };
        let bytes = self.bytes.clone();
        let body = Box::pin(futures::stream::iter([Ok(bytes)]));
        let appended = self.world.blobs.append(self.upload, from, body, u64::MAX).await;
        assert!(appended.failure.is_none(), "{appended:?}");
        let digest = digest_of(&self.bytes);
        self.world
            .blobs
            .commit(self.upload, appended.progress, &digest)
            .await
            .unwrap();
    }

    pub async fn link(&self) -> Result<(), CatalogError> {
        self.link_with(Some(self.upload)).await
    }

    pub async fn link_without(&self) -> Result<(), CatalogError> {
        self.link_with(None).await
    }

    async fn link_with(&self, upload: Option<UploadId>) -> Result<(), CatalogError> {
        let blob = NewBlob {
            digest: digest_of(&self.bytes),
            size: self.bytes.len() as u64,
            inline: None,
            upload,
        };
        self.world
            .store
            .link_blob(&path(&self.repository), blob, self.world.now())
            .await
    }
}
