// SPDX-License-Identifier: Apache-2.0
//! Whole images: configuration, one layer, manifest. Pulls check every digest.

use anyhow::{Context, Result, ensure};
use e2e::registry::{OCI_MANIFEST, digest, manifest};
use serde_json::{Value, json};

use crate::load::body::{Bodies, Body};
use crate::load::connection::Connection;
use crate::load::push;

/// Bytes of a mebibyte.
pub const MEBIBYTE: usize = 1024 * 1024;
/// Bytes of the layer of a small image.
pub const SMALL_BYTES: usize = 64 * 1024;

/// How a layer is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// POST, and PUT with all bytes.
    Monolith,
    /// POST, PATCH in chunks of unknown number, PUT.
    Streamed,
}

/// How large the layer of an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// 64 KiB.
    Small,
    /// 1 MiB.
    One,
    /// 10 MiB.
    Ten,
    /// 100 MiB.
    Hundred,
}

impl Size {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Small, Self::One, Self::Ten, Self::Hundred];

    /// Its name, as it stands in tables and tags.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "64 KiB",
            Self::One => "1 MiB",
            Self::Ten => "10 MiB",
            Self::Hundred => "100 MiB",
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Small => SMALL_BYTES,
            Self::One => MEBIBYTE,
            Self::Ten => 10 * MEBIBYTE,
            Self::Hundred => 100 * MEBIBYTE,
        }
    }

    /// How many are there to be pulled.
    #[must_use]
    pub const fn seeded(self) -> u64 {
        match self {
            Self::Small | Self::One => 8,
            Self::Ten => 4,
            Self::Hundred => 2,
        }
    }

    /// The size of the image of that turn, of 20 % 1 MiB, 70 % 10 MiB and 10 % 100 MiB in an order that every server gets.
    #[must_use]
    pub const fn mixed(turn: u64) -> Self {
        match turn % 10 {
            0 | 5 => Self::One,
            7 => Self::Hundred,
            _ => Self::Ten,
        }
    }

    /// The tag of an image to be pulled.
    #[must_use]
    pub fn tag(self, number: u64) -> String {
        format!("{}-{}", self.name().replace(' ', ""), number % self.seeded())
    }
}

/// Bodies of layers, ready to be sent.
#[derive(Debug)]
pub struct Layers {
    of: Vec<(Size, Bodies)>,
}

impl Layers {
    /// Prepares them.
    #[must_use]
    pub fn new() -> Self {
        let of = Size::ALL.map(|size| (size, Bodies::new(size.bytes())));
        Self { of: of.into() }
    }

    /// Those of one size.
    pub fn of(&self, size: Size) -> Result<&Bodies> {
        let found = self.of.iter().find(|(own, _)| *own == size);
        found.map(|(_, bodies)| bodies).context("no layers of that size")
    }
}

/// What was pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The digest of the manifest.
    pub digest: String,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// Bytes that went over the wire, heads aside.
    pub bytes: u64,
}

/// Pushes an image with a new layer, and tags it.
pub fn push(connection: &mut Connection, repository: &str, tag: &str, layer: &Body<'_>, how: How) -> Result<Pushed> {
    match how {
        How::Monolith => push::monolith(connection, repository, layer)?,
        How::Streamed => push::streamed(connection, repository, layer)?,
    }
    let rootfs = json!({ "type": "layers", "diff_ids": [layer.digest] });
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs }).to_string();
    let config_digest = digest(config.as_bytes());
    let begun = push::begin(connection, repository)?;
    let target = e2e::registry::with_query(&begun, "digest", &config_digest);
    connection
        .call(
            "PUT",
            &target,
            "Content-Type: application/octet-stream\r\n",
            config.as_bytes(),
        )?
        .expect(201)?;
    let manifest = manifest(&config_digest, config.len(), &layer.digest, layer.bytes());
    put_manifest(connection, repository, tag, &manifest)?;
    Ok(Pushed {
        digest: digest(&manifest),
        bytes: (layer.bytes() + config.len() + manifest.len()) as u64,
        manifest,
    })
}

/// Puts a manifest under a tag.
pub fn put_manifest(connection: &mut Connection, repository: &str, tag: &str, manifest: &[u8]) -> Result<()> {
    let target = format!("/v2/{repository}/manifests/{tag}");
    let headers = format!("Content-Type: {OCI_MANIFEST}\r\n");
    connection.call("PUT", &target, &headers, manifest)?.expect(201)?;
    Ok(())
}

/// Pulls an image and checks every digest; answers its bytes.
pub fn pull(connection: &mut Connection, repository: &str, reference: &str) -> Result<u64> {
    let target = format!("/v2/{repository}/manifests/{reference}");
    let answer = connection
        .call("GET", &target, &format!("Accept: {OCI_MANIFEST}\r\n"), &[])?
        .expect(200)?;
    let told = answer.header("docker-content-digest").context("no digest")?;
    ensure!(
        told == digest(&answer.body),
        "the manifest of {reference} is not what its digest says"
    );
    if reference.starts_with("sha256:") {
        ensure!(told == reference, "{told} instead of {reference}");
    }
    let manifest: Value = serde_json::from_slice(&answer.body)?;
    let layers = manifest.get("layers").and_then(Value::as_array).into_iter().flatten();
    let mut bytes = answer.body.len() as u64;
    for blob in manifest.get("config").into_iter().chain(layers) {
        let wanted = blob.get("digest").and_then(Value::as_str).context("no digest")?;
        let (got, size) = connection.digest_of(&format!("/v2/{repository}/blobs/{wanted}"), "")?;
        ensure!(got == wanted, "blob {wanted} came back as {got}");
        bytes += size;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_images_are_one_fifth_small_and_one_tenth_large() {
        let sizes: Vec<Size> = (0..1000).map(Size::mixed).collect();
        let count = |size| sizes.iter().filter(|it| **it == size).count();
        assert_eq!(
            (count(Size::One), count(Size::Ten), count(Size::Hundred)),
            (200, 700, 100)
        );
    }
}
