// SPDX-License-Identifier: Apache-2.0
//! Stores that fail at the worst moment: nothing half-stored is to be seen, and trying again helps.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use hythe_blobs::{AppendError, Appended, BlobError, BlobStore, ByteStream, CommitError, DeletionLock, Progress};
use hythe_catalog::{
    BlobCatalog, BlobRecord, Catalog, CatalogError, DeleteImageError, DeletedImage, ImageCatalog, ImageRecord, NewBlob,
    NewImage, PutImageError, PutOutcome, Referrer, Unlinked, UploadCatalog, UploadRecord, UploadState,
};
use hythe_model::{
    AccountId, Algorithm, Digest, Reference, RepositoryName, RepositoryPath, StorageClass, Tag, UploadId,
};
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::support::{Ask, Plane, content, digest_of, sha256};

/// What shall fail, and how often.
#[derive(Debug, Default)]
struct Faults(Mutex<Vec<&'static str>>, Pause);

/// A commit that waits after its work is done.
#[derive(Debug, Default)]
struct Pause {
    reached: Notify,
    over: Notify,
}

impl Faults {
    fn plan(&self, fault: &'static str, times: usize) {
        self.0.lock().unwrap().extend(std::iter::repeat_n(fault, times));
    }

    fn is_due(&self, fault: &str) -> bool {
        let mut planned = self.0.lock().unwrap();
        let at = planned.iter().position(|planned| *planned == fault);
        at.map(|at| planned.remove(at)).is_some()
    }
}

#[derive(Debug)]
struct FaultyCatalog(Arc<dyn Catalog>, Arc<Faults>);

#[derive(Debug)]
struct FaultyBlobs(Arc<dyn BlobStore>, Arc<Faults>);

fn plane() -> (Plane, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let (of_catalog, of_blobs) = (Arc::clone(&faults), Arc::clone(&faults));
    let plane = Plane::over(
        |_| {},
        |catalog| Arc::new(FaultyCatalog(catalog, of_catalog)),
        |blobs| Arc::new(FaultyBlobs(blobs, of_blobs)),
    );
    (plane, faults)
}

#[tokio::test]
async fn a_blob_that_could_not_be_linked_is_linked_by_the_next_try() {
    for size in [100, 100_000] {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let (plane, faults) = plane();
            let content = content(size);
            let digest = digest_of(algorithm, &content);
            let location = plane.begin("team/web").await;
            plane
                .send(Ask::patch(&location).by("admin").body(content.clone()))
                .await;
            faults.plan("link", 1);
            let put = || Ask::put(&format!("{location}?digest={digest}")).by("admin");
            let busy = plane.send(put()).await;
            assert_eq!(
                (busy.status, busy.code().as_str()),
                (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE")
            );
            let blob = format!("/v2/team/web/blobs/{digest}");
            assert_eq!(plane.get(&blob).await.status, StatusCode::NOT_FOUND);
            let done = plane.send(put()).await;
            assert_eq!(done.status, StatusCode::CREATED, "{size} {algorithm:?}: {done}");
            assert!(plane.get(&blob).await.body == content);
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_after_the_commit_leaves_a_linked_blob() {
    let (plane, faults) = plane();
    let content = content(100_000);
    let digest = sha256(&content);
    let location = plane.begin("team/web").await;
    plane
        .send(Ask::patch(&location).by("admin").body(content.clone()))
        .await;
    faults.plan("pause", 1);
    tokio::select! {
        answer = plane.send(Ask::put(&format!("{location}?digest={digest}")).by("admin")) => panic!("{answer}"),
        () = faults.1.reached.notified() => {} // the request is dropped here
    }
    faults.1.over.notify_one();
    let blob = format!("/v2/team/web/blobs/{digest}");
    while plane.get(&blob).await.status != StatusCode::OK {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_chunk_that_could_not_be_recorded_does_not_count() {
    let (plane, faults) = plane();
    let content = content(200_000);
    let location = plane.begin("team/web").await;
    faults.plan("advance", 1);
    let patch = || Ask::patch(&location).by("admin").body(content.clone());
    assert_eq!(plane.send(patch()).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(plane.get(&location).await.header(&http::header::RANGE), "0-0");
    assert_eq!(plane.send(patch()).await.status, StatusCode::ACCEPTED);
    let put = Ask::put(&format!("{location}?digest={}", sha256(&content))).by("admin");
    assert_eq!(plane.send(put).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_full_store_says_so_and_goes_on_when_there_is_room() {
    let (plane, faults) = plane();
    let content = content(100_000);
    let location = plane.begin("team/web").await;
    plane
        .send(Ask::patch(&location).by("admin").body(content[..500].to_vec()))
        .await;
    faults.plan("full", 1);
    let full = plane
        .send(Ask::patch(&location).by("admin").body(content[500..].to_vec()))
        .await;
    insta::assert_snapshot!("store_full", full);
    assert_eq!(plane.get(&location).await.header(&http::header::RANGE), "0-499");
    let put = Ask::put(&format!("{location}?digest={}", sha256(&content))).by("admin");
    assert_eq!(
        plane.send(put.body(content[500..].to_vec())).await.status,
        StatusCode::CREATED
    );
    // In one request nothing stays.
    faults.plan("full", 1);
    let files = plane.files();
    let post = Ask::post(&format!("/v2/team/web/blobs/uploads/?digest={}", sha256(&content))).by("admin");
    assert_eq!(
        plane.send(post.body(content)).await.status,
        StatusCode::INSUFFICIENT_STORAGE
    );
    assert_eq!(plane.files(), files);
}

#[tokio::test]
async fn an_upload_that_ends_under_its_last_request_is_unknown() {
    for size in [100, 100_000] {
        let (plane, faults) = plane();
        let content = content(size);
        let location = plane.begin("team/web").await;
        plane
            .send(Ask::patch(&location).by("admin").body(content.clone()))
            .await;
        faults.plan("conflict", 1);
        let lost = plane
            .send(Ask::put(&format!("{location}?digest={}", sha256(&content))).by("admin"))
            .await;
        assert_eq!(
            (lost.status, lost.code().as_str()),
            (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN")
        );
        assert_eq!(
            plane
                .get(&format!("/v2/team/web/blobs/{}", sha256(&content)))
                .await
                .status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn tags_that_move_at_the_same_time_are_tried_again_a_few_times() {
    let (plane, faults) = plane();
    let (manifest, _) = plane.push_image("team/web", "v1", "hello").await;
    faults.plan("put", 3);
    assert_eq!(
        plane.put_manifest("team/web", "v2", &manifest).await.status,
        StatusCode::CREATED
    );
    faults.plan("put", 4);
    assert_eq!(
        plane.put_manifest("team/web", "v3", &manifest).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        plane.get("/v2/team/web/manifests/v3").await.status,
        StatusCode::NOT_FOUND
    );
    faults.plan("delete", 3);
    let deleted = plane.send(Ask::delete("/v2/team/web/manifests/v2").by("admin")).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
}

#[async_trait]
impl BlobStore for FaultyBlobs {
    async fn size(&self, blob: &Digest) -> Result<Option<u64>, BlobError> {
        self.0.size(blob).await
    }

    async fn read(&self, blob: &Digest, bytes: Range<u64>) -> Result<Option<ByteStream>, BlobError> {
        self.0.read(blob, bytes).await
    }

    async fn append(&self, upload: UploadId, from: Progress, body: ByteStream, max_bytes: u64) -> Appended {
        if self.1.is_due("full") {
            let full = AppendError::Full(io::ErrorKind::StorageFull.into());
            return Appended {
                progress: from,
                failure: Some(full),
            };
        }
        self.0.append(upload, from, body, max_bytes).await
    }

    async fn commit(&self, upload: UploadId, progress: Progress, expected: &Digest) -> Result<u64, CommitError> {
        let done = self.0.commit(upload, progress, expected).await;
        if self.1.is_due("pause") {
            self.1.1.reached.notify_one();
            self.1.1.over.notified().await;
        }
        done
    }

    async fn abandon(&self, upload: UploadId) -> Result<(), BlobError> {
        self.0.abandon(upload).await
    }

    async fn stale_uploads(&self, untouched_for: Duration, limit: usize) -> Result<Vec<UploadId>, BlobError> {
        self.0.stale_uploads(untouched_for, limit).await
    }

    fn distrust(&self, blob: &Digest) {
        self.0.distrust(blob);
    }

    async fn lock_deletion(&self, blob: &Digest) -> Result<DeletionLock, BlobError> {
        self.0.lock_deletion(blob).await
    }

    async fn delete(&self, lock: DeletionLock) -> Result<(), BlobError> {
        self.0.delete(lock).await
    }

    async fn place(&self, blob: &Digest, class: StorageClass) -> Result<Option<u64>, BlobError> {
        self.0.place(blob, class).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.0.check().await
    }
}

#[async_trait]
impl Catalog for FaultyCatalog {
    async fn repository_exists(&self, repository: &RepositoryPath) -> Result<bool, CatalogError> {
        self.0.repository_exists(repository).await
    }

    async fn repository_names(
        &self,
        account: &AccountId,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, CatalogError> {
        self.0.repository_names(account, after, limit).await
    }
}

#[async_trait]
impl UploadCatalog for FaultyCatalog {
    async fn begin_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        algorithm: Algorithm,
        expires_at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.0.begin_upload(repository, upload, algorithm, expires_at).await
    }

    async fn upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        now: Timestamp,
    ) -> Result<Option<UploadRecord>, CatalogError> {
        self.0.upload(repository, upload, now).await
    }

    async fn advance_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        version: i64,
        state: UploadState,
        expires_at: Timestamp,
    ) -> Result<i64, CatalogError> {
        if self.1.is_due("advance") {
            return Err(CatalogError::Busy);
        }
        self.0
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
        self.0
            .seal_upload(repository, upload, version, digest, state, expires_at)
            .await
    }

    async fn end_upload(&self, repository: &RepositoryPath, upload: UploadId) -> Result<bool, CatalogError> {
        self.0.end_upload(repository, upload).await
    }

    async fn expire_uploads(&self, now: Timestamp, limit: usize) -> Result<Vec<UploadId>, CatalogError> {
        self.0.expire_uploads(now, limit).await
    }

    async fn known_uploads(&self, uploads: &[UploadId]) -> Result<Vec<UploadId>, CatalogError> {
        self.0.known_uploads(uploads).await
    }
}

#[async_trait]
impl BlobCatalog for FaultyCatalog {
    async fn blob(&self, repository: &RepositoryPath, digest: &Digest) -> Result<Option<BlobRecord>, CatalogError> {
        self.0.blob(repository, digest).await
    }

    async fn link_blob(&self, repository: &RepositoryPath, blob: NewBlob, now: Timestamp) -> Result<(), CatalogError> {
        if self.1.is_due("link") {
            return Err(CatalogError::Busy);
        }
        if self.1.is_due("conflict") {
            return Err(CatalogError::Conflict);
        }
        self.0.link_blob(repository, blob, now).await
    }

    async fn mount_blob(
        &self,
        from: &RepositoryPath,
        to: &RepositoryPath,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        self.0.mount_blob(from, to, digest, now).await
    }

    async fn unlink_blob(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Unlinked, CatalogError> {
        self.0.unlink_blob(repository, digest, now).await
    }

    async fn blob_sources(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<RepositoryPath>, CatalogError> {
        self.0.blob_sources(repository, digest, limit).await
    }
}

#[async_trait]
impl ImageCatalog for FaultyCatalog {
    async fn put_image(&self, repository: &RepositoryPath, image: NewImage) -> Result<PutOutcome, PutImageError> {
        if self.1.is_due("put") {
            return Err(CatalogError::Conflict.into());
        }
        self.0.put_image(repository, image).await
    }

    async fn image(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
    ) -> Result<Option<ImageRecord>, CatalogError> {
        self.0.image(repository, reference).await
    }

    async fn delete_image(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
        deleted_at: Timestamp,
        deleted_by: &str,
    ) -> Result<Option<DeletedImage>, DeleteImageError> {
        if self.1.is_due("delete") {
            return Err(CatalogError::Conflict.into());
        }
        self.0.delete_image(repository, reference, deleted_at, deleted_by).await
    }

    async fn tags(
        &self,
        repository: &RepositoryPath,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<Tag>>, CatalogError> {
        self.0.tags(repository, after, limit).await
    }

    async fn referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Referrer>, CatalogError> {
        self.0.referrers(repository, subject, artifact_type, after, limit).await
    }
}
