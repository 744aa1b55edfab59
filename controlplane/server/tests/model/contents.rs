// SPDX-License-Identifier: Apache-2.0
//! What is pushed: few layers, of which few images are made, so that all of them meet often; indexes that list some of
//! them, and artifacts that refer to others.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bytes::Bytes;
use hythe_blobs::Hasher;
use hythe_model::{AccountId, Algorithm, Digest, MediaType, RepositoryPath};
use serde_json::json;

pub const REPOSITORIES: [&str; 3] = ["web", "api", "tools"];
pub const TAGS: [&str; 4] = ["v1", "v2", "latest", "stable"];
/// The layers of each image: those below [`LARGE`] are files, the others rows.
const IMAGES: [&[usize]; 7] = [&[0, 4], &[0, 1, 4], &[1, 2, 5], &[2, 3, 4, 5], &[3, 5], &[0, 3], &[4]];
/// What each index lists, by number of image. They come behind the images.
const INDEXES: [&[usize]; 2] = [&[0, 1], &[1, 2]];
/// What each artifact refers to, by number, and its layers. They come last.
const REFERRERS: [(usize, &[usize]); 2] = [(3, &[5]), (7, &[2, 4])];
const LARGE: usize = 4;
const BLOBS: usize = 6;
/// More than lies in a row.
const LARGE_BYTES: usize = 70_000;

#[derive(Debug)]
pub struct Blob {
    pub digest: Digest,
    pub bytes: Bytes,
    pub is_file: bool,
}

#[derive(Debug)]
pub struct Image {
    pub digest: Digest,
    pub manifest: Bytes,
    pub media_type: &'static str,
    /// Numbers of blobs.
    pub blobs: &'static [usize],
    /// Numbers of the images that an index lists.
    pub children: &'static [usize],
    /// The number of what an artifact refers to.
    pub subject: Option<usize>,
}

pub static BLOB: LazyLock<Vec<Blob>> = LazyLock::new(|| (0..BLOBS).map(blob).collect());
/// In an order in which they can be pushed; the other way round, nothing keeps them from being deleted.
pub static IMAGE: LazyLock<Vec<Image>> = LazyLock::new(|| {
    let mut images: Vec<Image> = IMAGES
        .iter()
        .enumerate()
        .map(|(number, blobs)| image(number, blobs, None))
        .collect();
    for children in INDEXES {
        let index = index(&images, children);
        images.push(index);
    }
    for (subject, blobs) in REFERRERS {
        let artifact = image(images.len(), blobs, Some((subject, &images[subject])));
        images.push(artifact);
    }
    images
});

pub fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

fn blob(number: usize) -> Blob {
    let is_file = number < LARGE;
    let text = format!("layer {number};");
    let times = if is_file { LARGE_BYTES / text.len() + 1 } else { 1 };
    let bytes = Bytes::from(text.repeat(times));
    Blob {
        digest: sha256(&bytes),
        bytes,
        is_file,
    }
}

fn image(number: usize, blobs: &'static [usize], subject: Option<(usize, &Image)>) -> Image {
    let descriptors: Vec<_> = blobs
        .iter()
        .map(|number| &BLOB[*number])
        .map(|blob| json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob.digest, "size": blob.bytes.len() }))
        .collect();
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": descriptors[0], "layers": descriptors,
        "annotations": { "number": number.to_string() },
    });
    if let Some((_, subject)) = subject {
        manifest["artifactType"] = "application/vnd.example.signature".into();
        manifest["subject"] = descriptor(subject);
    }
    let manifest = Bytes::from(manifest.to_string());
    Image {
        digest: sha256(&manifest),
        manifest,
        media_type: MediaType::OCI_MANIFEST,
        blobs,
        children: &[],
        subject: subject.map(|(number, _)| number),
    }
}

fn index(images: &[Image], children: &'static [usize]) -> Image {
    let listed: Vec<_> = children.iter().map(|number| descriptor(&images[*number])).collect();
    let manifest = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": listed });
    let manifest = Bytes::from(manifest.to_string());
    Image {
        digest: sha256(&manifest),
        manifest,
        media_type: MediaType::OCI_INDEX,
        blobs: &[],
        children,
        subject: None,
    }
}

fn descriptor(image: &Image) -> serde_json::Value {
    json!({ "mediaType": image.media_type, "digest": image.digest, "size": image.manifest.len() })
}

/// Whether an image is archived, brought back or deleted with others.
pub fn is_related(digest: &Digest) -> bool {
    let image = image_of(digest);
    let is = |number: &usize| IMAGE[*number].digest == *digest;
    !image.children.is_empty()
        || image.subject.is_some()
        || IMAGE
            .iter()
            .any(|other| other.children.iter().any(is) || other.subject.iter().any(is))
}

/// What is deleted and comes back with an image: what refers to it.
pub fn referrers_of(digest: &Digest) -> impl Iterator<Item = Digest> {
    let subject = *digest;
    let refers = move |image: &&Image| image.subject.is_some_and(|number| IMAGE[number].digest == subject);
    IMAGE.iter().filter(refers).map(|image| image.digest)
}

pub fn image_of(digest: &Digest) -> &'static Image {
    let found = IMAGE.iter().find(|image| image.digest == *digest);
    found.unwrap_or_else(|| panic!("nobody pushed {digest}"))
}

/// The blobs that images need, by number.
pub fn needed<'i>(images: impl IntoIterator<Item = &'i Digest>) -> BTreeSet<usize> {
    let blobs = images.into_iter().flat_map(|image| image_of(image).blobs);
    blobs.copied().collect()
}

pub fn path(name: &str) -> RepositoryPath {
    RepositoryPath {
        account: AccountId::default(),
        name: name.parse().unwrap(),
    }
}
