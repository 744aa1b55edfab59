// SPDX-License-Identifier: Apache-2.0
//! What tests put into a store.

use bytes::Bytes;
use hythe_catalog::{BlobCatalog, ImageCatalog, NewBlob, NewImage};
use hythe_meta::{NewPolicies, NewRepository, RepositoryRecord, Store};
use hythe_model::{
    AccountId, Algorithm, Digest, Encryption, Manifest, MediaType, RepositoryPath, ResourceTags, Tag, TagMutability,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

pub fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

pub fn account() -> AccountId {
    AccountId::default()
}

pub fn path(name: &str) -> RepositoryPath {
    RepositoryPath {
        account: account(),
        name: name.parse().unwrap(),
    }
}

pub fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

/// A digest of its own for each number. Nothing here checks that bytes hash to it.
pub fn digest(number: u64) -> Digest {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    Digest::new(Algorithm::Sha256, &hash).unwrap()
}

pub fn new_repository(name: &str) -> NewRepository {
    NewRepository {
        path: path(name),
        tag_mutability: TagMutability::default(),
        scan_on_push: false,
        allow_sparse_indexes: false,
        encryption: Encryption::default(),
        tags: ResourceTags::default(),
        created_at: now(),
        idempotency: None,
        policies: NewPolicies::default(),
    }
}

pub async fn create(store: &Store, name: &str) -> RepositoryRecord {
    store.create_repository(new_repository(name)).await.unwrap()
}

pub fn blob(number: u64, bytes: &[u8]) -> NewBlob {
    let inline = Some(Bytes::copy_from_slice(bytes));
    NewBlob {
        digest: digest(number),
        size: bytes.len() as u64,
        inline,
        upload: None,
    }
}

pub async fn link(store: &Store, repository: &str, number: u64) {
    store
        .link_blob(&path(repository), blob(number, b"blob"), now())
        .await
        .unwrap();
}

fn descriptor(number: u64, size: u64) -> Value {
    json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(number), "size": size })
}

pub fn image_of(number: u64, body: &Value, media_type: &str, tags: &[&str]) -> NewImage {
    NewImage {
        manifest: Manifest::parse(Bytes::from(body.to_string()), Some(media_type)).unwrap(),
        digest: digest(number),
        tags: tags.iter().map(|name| tag(name)).collect(),
        pushed_at: now(),
        pushed_by: "arn:aws:iam::000000000000:root".into(),
    }
}

/// An image with a configuration and layers, 10 bytes each.
pub fn image(number: u64, blobs: &[u64], tags: &[&str]) -> NewImage {
    let layers: Vec<_> = blobs.iter().skip(1).map(|number| descriptor(*number, 10)).collect();
    let body = json!({ "schemaVersion": 2, "config": descriptor(blobs[0], 10), "layers": layers });
    image_of(number, &body, MediaType::OCI_MANIFEST, tags)
}

pub fn index(number: u64, children: &[u64], tags: &[&str]) -> NewImage {
    let manifests: Vec<_> = children.iter().map(|number| descriptor(*number, 10)).collect();
    image_of(
        number,
        &json!({ "schemaVersion": 2, "manifests": manifests }),
        MediaType::OCI_INDEX,
        tags,
    )
}

pub fn artifact(number: u64, config: u64, subject: u64, kind: &str) -> NewImage {
    let body = json!({
        "schemaVersion": 2, "artifactType": kind, "config": descriptor(config, 2), "layers": [],
        "subject": descriptor(subject, 2), "annotations": { "number": number.to_string() },
    });
    image_of(number, &body, MediaType::OCI_MANIFEST, &[])
}

pub async fn push(store: &Store, repository: &str, image: NewImage) {
    store.put_image(&path(repository), image).await.unwrap();
}
