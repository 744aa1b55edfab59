// SPDX-License-Identifier: Apache-2.0
//! What is pushed: few layers, of which few images are made, so that all of them meet often.

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
    /// Numbers of blobs.
    pub blobs: &'static [usize],
}

pub static BLOB: LazyLock<Vec<Blob>> = LazyLock::new(|| (0..BLOBS).map(blob).collect());
pub static IMAGE: LazyLock<Vec<Image>> = LazyLock::new(|| IMAGES.iter().enumerate().map(image).collect());

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

fn image((number, blobs): (usize, &&'static [usize])) -> Image {
    let descriptors: Vec<_> = blobs
        .iter()
        .map(|number| &BLOB[*number])
        .map(|blob| json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob.digest, "size": blob.bytes.len() }))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": descriptors[0], "layers": descriptors,
        "annotations": { "number": number.to_string() },
    });
    let manifest = Bytes::from(manifest.to_string());
    Image {
        digest: sha256(&manifest),
        manifest,
        blobs,
    }
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
