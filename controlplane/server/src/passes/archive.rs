// SPDX-License-Identifier: Apache-2.0
//! Brings the bytes of blobs to where the images that need them want them, and ends the restoring of images.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hythe_blobs::{BlobError, BlobStore};
use hythe_meta::{ActivatingImage, BlobMove, BlobMoveLimit, MAX_BLOB_MOVE_WAIT, Store, StoreError};
use hythe_model::{Clock, StorageClass, UploadId, fail_point};
use jiff::{SignedDuration, Timestamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tasks;

/// How often there is a look whether anything is to be done.
const PERIOD: Duration = Duration::from_secs(1);
/// What is claimed at a time; the blobs are moved one after the other, so that requests have the disk. What an image waits
/// for that is brought back meanwhile waits until these are done.
const BATCH: BlobMoveLimit = BlobMoveLimit {
    blobs: 16,
    bytes: 64 << 20,
};
/// The most claims of one pass.
const MAX_CLAIMS: usize = 64;
/// How long a claim lasts; it is renewed while a blob is moved.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
const RENEWAL: Duration = Duration::from_secs(20);
/// How long a blob waits that could not be moved: twice as long after each failure.
const FIRST_PAUSE_SECONDS: i64 = 1;
const MAX_DOUBLINGS: u32 = 9;
const _: () = assert!((FIRST_PAUSE_SECONDS << MAX_DOUBLINGS) < MAX_BLOB_MOVE_WAIT.as_secs());
/// The most images on their way out of the archive that one look takes in.
const ACTIVATIONS: usize = 200;
/// Up to how many blobs are counted for the metrics.
const MAX_COUNTED: usize = 100_000;

/// What the pass counts.
#[derive(Debug, Default)]
struct ArchiveMetrics {
    moved: Family<ClassLabels, Counter>,
    moved_bytes: Family<ClassLabels, Counter<u64, AtomicU64>>,
    failed: Counter,
    activated: Counter,
    waiting: Gauge,
    archived: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    storage_class: &'static str,
}

impl ArchiveMetrics {
    /// Shows the counts.
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("hythe_archive");
        registry.register("blobs_moved", "Blobs that were moved, by where to", self.moved.clone());
        registry.register("bytes_moved", "Bytes of these", self.moved_bytes.clone());
        registry.register(
            "moves_failed",
            "Moves that failed, and are tried again",
            self.failed.clone(),
        );
        registry.register(
            "images_activated",
            "Images that came back from the archive",
            self.activated.clone(),
        );
        registry.register("blobs_waiting", "Blobs that wait for a look", self.waiting.clone());
        registry.register("blobs_archived", "Blobs that are in the archive", self.archived.clone());
    }
}

/// Moves blobs between the locations of the blob store.
#[derive(Debug)]
struct Mover {
    store: Store,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    metrics: ArchiveMetrics,
    stop: CancellationToken,
    /// Whose claims these are: this process's.
    owner: String,
    /// Where the look at images on their way out goes on; `None` before the first pass and after the last page.
    cursor: Mutex<Option<ActivatingImage>>,
    abandoned: Mutex<Abandoned>,
}

/// Claims that nobody works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Abandoned {
    /// Maybe those of processes that are gone.
    #[default]
    OfOthers,
    /// Maybe some of this process: the store failed.
    OfThis,
    /// None.
    Nothing,
}

/// Starts the pass, and shows what it counts in `registry`.
pub fn start(
    background: &TaskTracker,
    stop: &CancellationToken,
    store: &Store,
    blobs: &Arc<dyn BlobStore>,
    clock: &Arc<dyn Clock>,
    registry: &mut Registry,
) {
    let metrics = ArchiveMetrics::default();
    metrics.register(registry);
    let mover = Arc::new(Mover {
        store: store.clone(),
        blobs: Arc::clone(blobs),
        clock: Arc::clone(clock),
        metrics,
        stop: stop.clone(),
        owner: UploadId::generate().to_string(),
        cursor: Mutex::default(),
        abandoned: Mutex::default(),
    });
    tasks::every(background, stop, "archive", PERIOD, move || {
        let mover = Arc::clone(&mover);
        async move { mover.pass().await }
    });
}

impl Mover {
    async fn pass(&self) -> Result<(), StoreError> {
        self.release().await?;
        self.store.recall_blob_moves(self.clock.now()).await?;
        while self.store.continue_transitions(self.clock.now()).await? {
            if self.stop.is_cancelled() {
                return Ok(());
            }
        }
        for _ in 0..MAX_CLAIMS {
            if !self.move_batch().await? || self.stop.is_cancelled() {
                break;
            }
        }
        let counts = self.store.tier_counts(MAX_COUNTED).await?;
        self.metrics
            .waiting
            .set(i64::try_from(counts.waiting).unwrap_or(i64::MAX));
        self.metrics
            .archived
            .set(i64::try_from(counts.archived).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Moves what is due next, and makes images active whose bytes are back. Says whether there was anything to move.
    async fn move_batch(&self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let claimed = self
            .store
            .claim_blob_moves(&self.owner, now, later(now, LEASE), BATCH)
            .await?;
        let is_anything_claimed = !claimed.is_empty();
        if is_anything_claimed {
            fail_point("archive.move.claimed");
        }
        for blob in claimed {
            if self.stop.is_cancelled() {
                self.store.release_blob_moves(Some(&self.owner)).await?;
                return Ok(true);
            }
            if let Err(error) = self.move_one(&blob).await {
                tracing::warn!(blob.digest = %blob.digest, %error, "cannot record the move of a blob; it is moved again");
                *self.abandoned.lock().await = Abandoned::OfThis;
            }
        }
        let mut cursor = self.cursor.lock().await;
        let now = self.clock.now();
        let activated = self.store.finish_activations(cursor.take(), ACTIVATIONS, now).await?;
        *cursor = activated.last;
        if activated.count > 0 {
            self.metrics.activated.inc_by(activated.count);
        }
        Ok(is_anything_claimed)
    }

    /// Ends the claims that nobody works on. Between two passes these are all of this process.
    async fn release(&self) -> Result<(), StoreError> {
        let mut abandoned = self.abandoned.lock().await;
        match *abandoned {
            Abandoned::OfOthers => self.store.release_blob_moves(None).await?,
            Abandoned::OfThis => self.store.release_blob_moves(Some(&self.owner)).await?,
            Abandoned::Nothing => {}
        }
        *abandoned = Abandoned::Nothing;
        Ok(())
    }

    async fn move_one(&self, blob: &BlobMove) -> Result<(), StoreError> {
        // Others may have waited for this claim.
        if !self.renew(blob).await? {
            return Ok(());
        }
        let moving = self.blobs.place(&blob.digest, blob.to);
        tokio::pin!(moving);
        let outcome = loop {
            tokio::select! {
                outcome = &mut moving => break outcome,
                () = self.stop.cancelled() => return Ok(()),
                // Another node has it now; where it moves the blob may not be where this one would.
                () = tokio::time::sleep(RENEWAL) => {
                    if !self.renew(blob).await? {
                        return Ok(());
                    }
                }
            }
        };
        fail_point("archive.move.placed");
        self.record(blob, outcome).await
    }

    async fn record(&self, blob: &BlobMove, outcome: Result<Option<u64>, BlobError>) -> Result<(), StoreError> {
        match outcome {
            Ok(bytes) => {
                if bytes.is_none() && blob.to == StorageClass::Standard {
                    tracing::error!(blob.digest = %blob.digest, "a blob is in neither location of the blob store");
                }
                self.store.complete_blob_move(&self.owner, blob).await?;
                fail_point("archive.move.completed");
                let labels = ClassLabels {
                    storage_class: blob.to.as_str(),
                };
                self.metrics.moved.get_or_create(&labels).inc();
                self.metrics
                    .moved_bytes
                    .get_or_create(&labels)
                    .inc_by(bytes.unwrap_or(0));
                Ok(())
            }
            Err(error) => {
                self.metrics.failed.inc();
                tracing::warn!(blob.digest = %blob.digest, to = %blob.to, error = %error.0, "cannot move a blob; it is tried again");
                let pause = FIRST_PAUSE_SECONDS << blob.attempts.min(MAX_DOUBLINGS);
                let again_at = later(self.clock.now(), SignedDuration::from_secs(pause));
                self.store.fail_blob_move(&self.owner, blob, again_at).await
            }
        }
    }

    async fn renew(&self, blob: &BlobMove) -> Result<bool, StoreError> {
        let until = later(self.clock.now(), LEASE);
        self.store.renew_blob_move(&self.owner, blob, until).await
    }
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hythe_blobs::faults::{EIO, Fault, Faults, FaultyBlobStore};
    use hythe_blobs::{FsBlobStore, Hasher, Progress};
    use hythe_catalog::{BlobCatalog as _, ImageCatalog as _, NewBlob, NewImage};
    use hythe_meta::{NewPolicies, NewRepository, StoreConfig};
    use hythe_model::{
        Algorithm, Digest, Encryption, ImageStatus, Manifest, ManualClock, MediaType, Reference, RepositoryPath,
        ResourceTags, TagMutability,
    };

    use sqlx::{ConnectOptions as _, Connection as _};

    use super::*;

    /// An image whose layer is a file.
    struct Pushed {
        image: Digest,
        layer: Digest,
    }

    /// A repository with an image.
    struct World {
        mover: Mover,
        clock: Arc<ManualClock>,
        faults: Arc<Faults>,
        folder: tempfile::TempDir,
        path: RepositoryPath,
        image: Pushed,
    }

    impl World {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock = Arc::new(ManualClock::new("2026-11-01T00:00:00Z".parse().unwrap()));
            let path = folder.path().join("meta.db");
            let store = Store::open(&StoreConfig::Sqlite { path }).await.unwrap();
            let faults = Arc::new(Faults::default());
            let files = Arc::new(FsBlobStore::open(&folder.path().join("blobs")).unwrap());
            let mover = Mover {
                store: store.clone(),
                blobs: Arc::new(FaultyBlobStore::new(files, Arc::clone(&faults))),
                clock: Arc::<ManualClock>::clone(&clock),
                metrics: ArchiveMetrics::default(),
                stop: CancellationToken::new(),
                owner: "this".into(),
                cursor: Mutex::default(),
                abandoned: Mutex::default(),
            };
            let path = RepositoryPath {
                account: "000000000000".parse().unwrap(),
                name: "team-a/web".parse().unwrap(),
            };
            let repository = NewRepository {
                path: path.clone(),
                tag_mutability: TagMutability::default(),
                scan_on_push: false,
                allow_sparse_indexes: false,
                encryption: Encryption::default(),
                tags: ResourceTags::default(),
                created_at: clock.now(),
                idempotency: None,
                policies: NewPolicies::default(),
            };
            store.create_repository(repository).await.unwrap();
            let image = push_image(&mover, &path, clock.now(), 7).await;
            Self {
                mover,
                clock,
                faults,
                folder,
                path,
                image,
            }
        }

        /// Another image, of other bytes.
        async fn push(&self, content: u8) -> Pushed {
            push_image(&self.mover, &self.path, self.clock.now(), content).await
        }

        async fn change(&self, target: StorageClass) {
            self.change_one(&self.image, target).await;
        }

        async fn change_one(&self, pushed: &Pushed, target: StorageClass) {
            let (store, now) = (&self.mover.store, self.clock.now());
            let changed = store.transition_images(&self.path, &[pushed.image], target, now).await;
            assert_eq!(changed.unwrap().unwrap().len(), 1);
        }

        async fn status(&self) -> ImageStatus {
            let reference = Reference::Digest(self.image.image);
            let detail = self.mover.store.image_detail(&self.path, &reference).await;
            detail.unwrap().unwrap().status
        }

        fn is_archived(&self) -> bool {
            self.is_one_archived(&self.image)
        }

        fn is_one_archived(&self, pushed: &Pushed) -> bool {
            let hex = pushed.layer.hex();
            let archive = self.folder.path().join("blobs/archive/blobs/sha256");
            archive.join(&hex[..2]).join(&hex).exists()
        }
    }

    fn sha256(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    async fn push(blobs: &dyn BlobStore, content: &[u8]) -> Digest {
        let (upload, digest) = (UploadId::generate(), sha256(content));
        let from = Progress {
            bytes: 0,
            hasher: Hasher::new(Algorithm::Sha256),
        };
        let body = Box::pin(futures::stream::iter([Ok(Bytes::copy_from_slice(content))]));
        let appended = blobs.append(upload, from, body, u64::MAX).await;
        blobs.commit(upload, appended.progress, &digest).await.unwrap();
        digest
    }

    async fn push_image(mover: &Mover, path: &RepositoryPath, now: Timestamp, content: u8) -> Pushed {
        let layer = push(&*mover.blobs, &vec![content; 100_000]).await;
        let blob = NewBlob {
            digest: layer,
            size: 100_000,
            inline: None,
            upload: None,
        };
        mover.store.link_blob(path, blob, now).await.unwrap();
        let manifest = format!(
            r#"{{"schemaVersion":2,"layers":[],"config":{{"mediaType":"a/b","digest":"{layer}","size":100000}}}}"#
        );
        let image = sha256(manifest.as_bytes());
        let new = NewImage {
            manifest: Manifest::parse(Bytes::from(manifest), Some(MediaType::OCI_MANIFEST)).unwrap(),
            digest: image,
            tags: Vec::new(),
            pushed_at: now,
            pushed_by: "arn:aws:iam::000000000000:root".into(),
        };
        mover.store.put_image(path, new).await.unwrap();
        Pushed { image, layer }
    }

    #[tokio::test]
    async fn a_move_that_fails_is_tried_again_later() {
        let world = World::new().await;
        world.change(StorageClass::Archive).await;
        for _ in 0..2 {
            world.faults.plan(Fault::Place, 0, EIO);
        }
        world.mover.pass().await.unwrap();
        world.mover.pass().await.unwrap();
        assert_eq!(world.mover.metrics.failed.get(), 1, "it waits before the next attempt");
        assert_eq!(world.mover.metrics.waiting.get(), 1);
        world.clock.advance_seconds(1);
        world.mover.pass().await.unwrap();
        assert_eq!(world.mover.metrics.failed.get(), 2);
        world.clock.advance_seconds(1);
        world.mover.pass().await.unwrap();
        assert!(!world.is_archived(), "and twice as long before the one after it");
        world.clock.advance_seconds(1);
        world.mover.pass().await.unwrap();
        assert!(world.faults.is_over() && world.is_archived());
        assert_eq!(
            (world.mover.metrics.waiting.get(), world.mover.metrics.archived.get()),
            (0, 1)
        );
    }

    #[tokio::test]
    async fn an_image_is_active_when_its_bytes_are_back() {
        let world = World::new().await;
        world.change(StorageClass::Archive).await;
        world.mover.pass().await.unwrap();
        assert!(world.is_archived());
        world.change(StorageClass::Standard).await;
        world.faults.plan(Fault::Place, 0, EIO);
        world.mover.pass().await.unwrap();
        assert_eq!(world.status().await, ImageStatus::Activating);
        world.clock.advance_seconds(1);
        world.mover.pass().await.unwrap();
        assert_eq!(world.status().await, ImageStatus::Active);
        assert_eq!(world.mover.metrics.activated.get(), 1);
        assert!(!world.is_archived());
    }

    #[tokio::test]
    async fn an_image_that_is_brought_back_does_not_wait_for_all_that_are_archived() {
        let world = World::new().await;
        world.change(StorageClass::Archive).await;
        world.mover.pass().await.unwrap();
        let mut others = Vec::new();
        for content in 20..40 {
            let other = world.push(content).await;
            world.change_one(&other, StorageClass::Archive).await;
            others.push(other);
        }
        world.clock.advance_seconds(1);
        world.change(StorageClass::Standard).await;
        assert!(world.mover.move_batch().await.unwrap());
        assert_eq!(world.status().await, ImageStatus::Active);
        assert!(!others.iter().all(|other| world.is_one_archived(other)));
        world.mover.pass().await.unwrap();
        assert!(others.iter().all(|other| world.is_one_archived(other)));
    }

    #[tokio::test]
    async fn what_a_process_that_is_gone_has_claimed_is_moved_at_the_next_start() {
        let world = World::new().await;
        world.change(StorageClass::Archive).await;
        let (store, now) = (&world.mover.store, world.clock.now());
        let claimed = store.claim_blob_moves("gone", now, later(now, LEASE), BATCH).await;
        assert_eq!(claimed.unwrap().len(), 1);
        world.mover.pass().await.unwrap();
        assert!(world.is_archived());
    }

    #[tokio::test]
    async fn a_store_that_fails_for_one_blob_holds_up_no_other() {
        let world = World::new().await;
        let others = [world.push(8).await, world.push(9).await];
        world.change(StorageClass::Archive).await;
        for other in &others {
            world.change_one(other, StorageClass::Archive).await;
        }
        // No claim of the first one can be made longer.
        let path = world.folder.path().join("meta.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = options.connect().await.unwrap();
        let fail = format!(
            "CREATE TRIGGER busy BEFORE UPDATE OF lease_ms ON blob_tier
               WHEN OLD.digest = '{}' AND OLD.owner = NEW.owner BEGIN SELECT RAISE(ABORT, 'busy'); END",
            world.image.layer
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(fail))
            .execute(&mut connection)
            .await
            .unwrap();
        world.mover.pass().await.unwrap();
        assert!(others.iter().all(|other| world.is_one_archived(other)));
        assert!(!world.is_archived());
        sqlx::raw_sql("DROP TRIGGER busy")
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        world.mover.pass().await.unwrap();
        assert!(world.is_archived(), "its claim was ended");
    }

    #[tokio::test]
    async fn a_pass_that_is_stopped_begins_no_move() {
        let world = World::new().await;
        world.change(StorageClass::Archive).await;
        world.mover.stop.cancel();
        world.mover.pass().await.unwrap();
        assert!(!world.is_archived());
    }
}
