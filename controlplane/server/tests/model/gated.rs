// SPDX-License-Identifier: Apache-2.0
//! The stores as one operation sees them: before each step it waits until the schedule lets it go on, and what it
//! has changed is noted in the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hythe_blobs::{Appended, BlobError, BlobStore, ByteStream, CommitError, DeletionLock, FsBlobStore, Progress};
use hythe_catalog::{
    BlobCatalog, BlobRecord, Catalog, CatalogError, DeleteImageError, DeletedImage, ImageCatalog, ImageRecord, NewBlob,
    NewImage, PutImageError, PutOutcome, Referrer, Unlinked, UploadCatalog, UploadRecord, UploadState,
};
use hythe_meta::Store;
use hythe_model::{
    AccountId, Algorithm, Digest, Reference, RepositoryName, RepositoryPath, StorageClass, Tag, UploadId,
};
use jiff::Timestamp;

use crate::harness::Database;
use crate::oracle::Oracle;
use crate::planted::Bug;
use crate::turnstile::{Pass, Step};

/// What a node remembers that has [`Bug::StaleCache`].
pub type Remembered = Mutex<BTreeSet<(RepositoryPath, Digest)>>;

#[derive(Debug)]
pub struct Gated {
    pub store: Store,
    pub files: Arc<FsBlobStore>,
    pub pass: Arc<Pass>,
    pub oracle: Arc<Oracle>,
    pub database: Arc<Database>,
    pub bug: Option<Bug>,
    pub remembered: Arc<Remembered>,
    /// What [`Bug::LateBytes`] has not published yet.
    pub late: Mutex<BTreeMap<Digest, (UploadId, Progress)>>,
}

impl Gated {
    async fn step(&self, name: &'static str) {
        self.pass.step(Step::new(name)).await;
    }
}

#[async_trait]
impl UploadCatalog for Gated {
    async fn begin_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        algorithm: Algorithm,
        expires_at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.step("begin upload").await;
        self.store.begin_upload(repository, upload, algorithm, expires_at).await
    }

    async fn upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        now: Timestamp,
    ) -> Result<Option<UploadRecord>, CatalogError> {
        self.store.upload(repository, upload, now).await
    }

    async fn advance_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        version: i64,
        state: UploadState,
        expires_at: Timestamp,
    ) -> Result<i64, CatalogError> {
        self.step("advance upload").await;
        self.store
            .advance_upload(repository, upload, version, state, expires_at)
            .await
    }

    async fn seal_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        version: i64,
        digest: &Digest,
        state: UploadState,
        expires_at: Timestamp,
    ) -> Result<i64, CatalogError> {
        self.step("seal upload").await;
        self.store
            .seal_upload(repository, upload, version, digest, state, expires_at)
            .await
    }

    async fn end_upload(&self, repository: &RepositoryPath, upload: UploadId) -> Result<bool, CatalogError> {
        self.step("end upload").await;
        self.store.end_upload(repository, upload).await
    }

    async fn expire_uploads(&self, now: Timestamp, limit: usize) -> Result<Vec<UploadId>, CatalogError> {
        self.step("expire uploads").await;
        self.store.expire_uploads(now, limit).await
    }

    async fn known_uploads(&self, uploads: &[UploadId]) -> Result<Vec<UploadId>, CatalogError> {
        self.step("known uploads").await;
        self.store.known_uploads(uploads).await
    }
}

#[async_trait]
impl BlobCatalog for Gated {
    async fn blob(&self, repository: &RepositoryPath, digest: &Digest) -> Result<Option<BlobRecord>, CatalogError> {
        self.step("look for blob").await;
        let found = self.store.blob(repository, digest).await?;
        let key = (repository.clone(), *digest);
        let is_remembered = {
            let mut remembered = self.remembered.lock().unwrap();
            if found.is_some() {
                remembered.insert(key.clone());
            }
            remembered.contains(&key)
        };
        if self.bug == Some(Bug::StaleCache) && found.is_none() && is_remembered {
            let size = 1;
            return Ok(Some(BlobRecord { size, inline: None }));
        }
        Ok(found)
    }

    async fn link_blob(&self, repository: &RepositoryPath, blob: NewBlob, now: Timestamp) -> Result<(), CatalogError> {
        self.step("link blob").await;
        let digest = blob.digest;
        self.store.link_blob(repository, blob, now).await?;
        let late = self.late.lock().unwrap().remove(&digest);
        if let Some((upload, progress)) = late {
            self.publishing("publish late", &digest).await;
            let published = self.files.commit(upload, progress, &digest).await;
            published.map_err(CatalogError::store)?;
        }
        Ok(())
    }

    async fn mount_blob(
        &self,
        from: &RepositoryPath,
        to: &RepositoryPath,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        self.step("mount blob").await;
        self.store.mount_blob(from, to, digest, now).await
    }

    async fn unlink_blob(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Unlinked, CatalogError> {
        self.step("unlink blob").await;
        self.store.unlink_blob(repository, digest, now).await
    }

    async fn blob_sources(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<RepositoryPath>, CatalogError> {
        self.step("look for sources").await;
        self.store.blob_sources(repository, digest, limit).await
    }
}

#[async_trait]
impl ImageCatalog for Gated {
    async fn put_image(&self, repository: &RepositoryPath, mut image: NewImage) -> Result<PutOutcome, PutImageError> {
        self.pass.step(Step::changing("put image", repository)).await;
        let (digest, tags) = (image.digest, image.tags.clone());
        if self.bug == Some(Bug::LostTag) {
            image.tags.clear();
        }
        let outcome = self.store.put_image(repository, image).await?;
        self.oracle.put(repository, digest, &tags);
        if self.bug == Some(Bug::LostWish) {
            self.database
                .execute("UPDATE blob_tier SET due_ms = NULL".to_owned())
                .await;
        }
        Ok(outcome)
    }

    async fn image(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
    ) -> Result<Option<ImageRecord>, CatalogError> {
        self.step("look for image").await;
        self.store.image(repository, reference).await
    }

    async fn delete_image(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
        deleted_at: Timestamp,
        deleted_by: &str,
    ) -> Result<Option<DeletedImage>, DeleteImageError> {
        self.pass.step(Step::changing("delete image", repository)).await;
        let deleted = self
            .store
            .delete_image(repository, reference, deleted_at, deleted_by)
            .await?;
        if let Some(deleted) = &deleted {
            self.oracle.deleted(repository, deleted, deleted_at);
            if self.bug == Some(Bug::ForgottenReferrers) {
                self.database.execute("DELETE FROM subject_change".to_owned()).await;
            }
        }
        Ok(deleted)
    }

    async fn tags(
        &self,
        repository: &RepositoryPath,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<Tag>>, CatalogError> {
        self.store.tags(repository, after, limit).await
    }

    async fn referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Referrer>, CatalogError> {
        self.store
            .referrers(repository, subject, artifact_type, after, limit)
            .await
    }
}

#[async_trait]
impl Catalog for Gated {
    async fn repository_exists(&self, repository: &RepositoryPath) -> Result<bool, CatalogError> {
        self.store.repository_exists(repository).await
    }

    async fn repository_names(
        &self,
        account: &AccountId,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, CatalogError> {
        self.store.repository_names(account, after, limit).await
    }
}

#[async_trait]
impl BlobStore for Gated {
    async fn size(&self, blob: &Digest) -> Result<Option<u64>, BlobError> {
        self.files.size(blob).await
    }

    async fn read(&self, blob: &Digest, bytes: Range<u64>) -> Result<Option<ByteStream>, BlobError> {
        self.step("read bytes").await;
        self.files.read(blob, bytes).await
    }

    async fn append(&self, upload: UploadId, from: Progress, body: ByteStream, max_bytes: u64) -> Appended {
        self.step("append bytes").await;
        self.files.append(upload, from, body, max_bytes).await
    }

    async fn commit(&self, upload: UploadId, progress: Progress, expected: &Digest) -> Result<u64, CommitError> {
        self.publishing("publish bytes", expected).await;
        if self.bug == Some(Bug::LateBytes) {
            let bytes = progress.bytes;
            self.late.lock().unwrap().insert(*expected, (upload, progress));
            return Ok(bytes);
        }
        self.files.commit(upload, progress, expected).await
    }

    async fn abandon(&self, upload: UploadId) -> Result<(), BlobError> {
        self.step("abandon bytes").await;
        self.files.abandon(upload).await
    }

    fn distrust(&self, blob: &Digest) {
        self.files.distrust(blob);
    }

    async fn place(&self, blob: &Digest, class: StorageClass) -> Result<Option<u64>, BlobError> {
        // It has the lock meanwhile, and gives it back.
        let step = Step {
            wants: Some(lock_of(blob)),
            ..Step::new("move bytes")
        };
        self.pass.step(step).await;
        if self.bug == Some(Bug::ForgottenMove) {
            return self.files.size(blob).await;
        }
        self.files.place(blob, class).await
    }

    async fn stale_uploads(&self, untouched_for: Duration, limit: usize) -> Result<Vec<UploadId>, BlobError> {
        self.step("look for stale bytes").await;
        self.files.stale_uploads(untouched_for, limit).await
    }

    async fn lock_deletion(&self, blob: &Digest) -> Result<DeletionLock, BlobError> {
        let lock = lock_of(blob);
        let step = Step {
            wants: Some(lock),
            ..Step::new("lock deletion")
        };
        self.pass.step(step).await;
        let held = self.files.lock_deletion(blob).await?;
        self.pass.locked(lock);
        self.keeping("deletion is locked").await;
        Ok(held)
    }

    async fn delete(&self, lock: DeletionLock) -> Result<(), BlobError> {
        self.keeping("delete bytes").await;
        if self.bug == Some(Bug::ForgetfulDelete) {
            return Ok(());
        }
        self.files.delete(lock).await?;
        self.step("bytes are deleted").await;
        Ok(())
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.files.check().await
    }
}

/// There is one for all blobs whose hash begins with the same byte.
fn lock_of(blob: &Digest) -> u8 {
    blob.hash()[0]
}

impl Gated {
    /// A step for which nobody may be taking names of the blob away.
    async fn publishing(&self, name: &'static str, blob: &Digest) {
        let wants = Some(lock_of(blob));
        self.pass
            .step(Step {
                wants,
                ..Step::new(name)
            })
            .await;
    }

    /// A step of whoever holds a lock.
    async fn keeping(&self, name: &'static str) {
        let keeps = true;
        let step = Step {
            keeps,
            ..Step::new(name)
        };
        self.pass.step(step).await;
    }
}
