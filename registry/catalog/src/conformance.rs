// SPDX-License-Identifier: Apache-2.0
//! The suite that every [`Catalog`] passes: `all`, or case by case. A case panics if the catalog fails it.
//!
//! Every case makes its own repositories, under names that are new in each run, so that cases may run at
//! the same time and a store may keep what they leave.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "support for tests: panicking is how a case fails"
)]

pub mod blobs;
pub mod concurrency;
pub mod deletions;
pub mod images;
pub mod listings;
pub mod sparse;
pub mod uploads;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hythe_model::{
    AccountId, Algorithm, Digest, Manifest, MediaType, Reference, RepositoryPath, Tag, TagMutability, UploadId,
    from_millis,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{Catalog, ImageRecord, NewBlob, NewImage, PutImageError, PutOutcome};

/// A catalog under test, with what a [`Catalog`] itself cannot do.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The catalog; each call gives the same one, or another node's view of the same store.
    fn catalog(&self) -> Arc<dyn Catalog>;

    /// Creates a repository, and its account if the store wants one. The suite uses the accounts
    /// `000000000000` and `111111111111`.
    async fn create_repository(&self, repository: &RepositoryPath, mutability: TagMutability);

    /// Makes a repository take indexes whose children are not all there, or not.
    async fn allow_sparse_indexes(&self, repository: &RepositoryPath, is_allowed: bool);
}

#[async_trait]
impl Fixture for Arc<crate::MemoryCatalog> {
    fn catalog(&self) -> Arc<dyn Catalog> {
        Self::clone(self)
    }

    async fn create_repository(&self, repository: &RepositoryPath, mutability: TagMutability) {
        crate::MemoryCatalog::create_repository(self, repository.clone(), mutability);
    }

    async fn allow_sparse_indexes(&self, repository: &RepositoryPath, is_allowed: bool) {
        crate::MemoryCatalog::allow_sparse_indexes(self, repository, is_allowed);
    }
}

/// Runs every case.
pub async fn all(fixture: &dyn Fixture) {
    uploads::all(fixture).await;
    blobs::all(fixture).await;
    images::all(fixture).await;
    deletions::all(fixture).await;
    sparse::all(fixture).await;
    listings::all(fixture).await;
    concurrency::all(fixture).await;
}

const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
const PUSHER: &str = "arn:aws:iam::000000000000:user/conformance";

/// A time in seconds after the suite's beginning of time.
fn at(seconds: i64) -> Timestamp {
    from_millis(1_750_000_000_000 + seconds * 1000)
}

/// A repository path that nobody has used.
fn path(account: &str) -> RepositoryPath {
    let account: AccountId = account.parse().unwrap();
    RepositoryPath {
        account,
        name: format!("conformance/{}", UploadId::generate()).parse().unwrap(),
    }
}

/// A new repository whose tags may move.
async fn repository(fixture: &dyn Fixture) -> RepositoryPath {
    let path = path("000000000000");
    fixture.create_repository(&path, TagMutability::default()).await;
    path
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn by_tag(text: &str) -> Reference {
    Reference::Tag(tag(text))
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::new(Algorithm::Sha256, &Sha256::digest(bytes)).unwrap()
}

/// A content that nobody has seen, of few bytes.
fn new_blob() -> NewBlob {
    let bytes = Bytes::from(UploadId::generate().to_string());
    NewBlob {
        digest: digest_of(&bytes),
        size: bytes.len() as u64,
        inline: Some(bytes),
        upload: None,
    }
}

/// Links a new blob and returns its digest.
async fn linked_blob(fixture: &dyn Fixture, repository: &RepositoryPath) -> Digest {
    let blob = new_blob();
    let digest = blob.digest;
    fixture.catalog().link_blob(repository, blob, at(0)).await.unwrap();
    digest
}

fn descriptor(media_type: &str, digest: &Digest) -> Value {
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": 36 })
}

/// An image manifest unlike any other, with these blobs: the configuration first.
fn manifest(blobs: &[Digest]) -> Value {
    let config = blobs.first().expect("a configuration");
    let layers: Vec<_> = blobs
        .iter()
        .skip(1)
        .map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor(EMPTY_CONFIG, config),
        "layers": layers,
        "annotations": { "conformance": UploadId::generate().to_string() },
    })
}

/// An index unlike any other, with these children.
fn index(children: &[Digest]) -> Value {
    let children: Vec<_> = children
        .iter()
        .map(|child| descriptor(MediaType::OCI_MANIFEST, child))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": children,
        "annotations": { "conformance": UploadId::generate().to_string() },
    })
}

/// An image to put.
fn new_image(manifest: &Value, tags: &[&str]) -> NewImage {
    let bytes = Bytes::from(manifest.to_string());
    NewImage {
        digest: digest_of(&bytes),
        manifest: Manifest::parse(bytes, None).unwrap(),
        tags: tags.iter().map(|text| tag(text)).collect(),
        pushed_at: at(0),
        pushed_by: PUSHER.into(),
    }
}

async fn put(
    fixture: &dyn Fixture,
    repository: &RepositoryPath,
    manifest: &Value,
    tags: &[&str],
) -> Result<PutOutcome, PutImageError> {
    fixture.catalog().put_image(repository, new_image(manifest, tags)).await
}

/// Stores a new image with a blob of its own, and returns its manifest and its digest.
async fn stored_image(fixture: &dyn Fixture, repository: &RepositoryPath, tags: &[&str]) -> (Value, Digest) {
    let manifest = manifest(&[linked_blob(fixture, repository).await]);
    let outcome = put(fixture, repository, &manifest, tags).await.unwrap();
    assert!(outcome.is_new);
    let digest = digest_of(manifest.to_string().as_bytes());
    (manifest, digest)
}

/// Stores a new index of `children`, and returns its digest.
async fn stored_index(
    fixture: &dyn Fixture,
    repository: &RepositoryPath,
    children: &[Digest],
    tags: &[&str],
) -> Digest {
    let index = index(children);
    put(fixture, repository, &index, tags).await.unwrap();
    digest_of(index.to_string().as_bytes())
}

async fn image(fixture: &dyn Fixture, repository: &RepositoryPath, reference: &Reference) -> Option<ImageRecord> {
    fixture.catalog().image(repository, reference).await.unwrap()
}

/// What a tag points to.
async fn target(fixture: &dyn Fixture, repository: &RepositoryPath, tag: &str) -> Option<Digest> {
    image(fixture, repository, &by_tag(tag))
        .await
        .map(|record| record.digest)
}

async fn is_stored(fixture: &dyn Fixture, repository: &RepositoryPath, digest: &Digest) -> bool {
    image(fixture, repository, &Reference::Digest(*digest)).await.is_some()
}

/// All tags, in the order of the catalog.
async fn all_tags(fixture: &dyn Fixture, repository: &RepositoryPath) -> Vec<String> {
    let tags = fixture
        .catalog()
        .tags(repository, None, 10_000)
        .await
        .unwrap()
        .expect("the repository exists");
    tags.iter().map(ToString::to_string).collect()
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<_> = items.into_iter().collect();
    items.sort();
    items
}
