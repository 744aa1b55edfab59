// SPDX-License-Identifier: Apache-2.0
//! Blobs and manifests to push: bytes with their digests, and documents around them.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const OCI_LAYER_ELSEWHERE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub(crate) const OCTETS: &str = "application/octet-stream";
/// A type of artifact that nobody knows.
pub(crate) const ARTIFACT: &str = "application/vnd.example.conformance.v1";
/// Another one.
pub(crate) const OTHER_ARTIFACT: &str = "application/vnd.example.conformance.v2";

/// A hash function of digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    pub(crate) fn digest(self, bytes: &[u8]) -> String {
        let hash = match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        };
        let mut text = format!("{}:", self.name());
        for byte in hash {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// Bytes and what they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
    pub(crate) media_type: String,
}

impl Content {
    pub(crate) fn new(algorithm: Algorithm, media_type: &str, bytes: Vec<u8>) -> Self {
        Self {
            digest: algorithm.digest(&bytes),
            media_type: media_type.to_owned(),
            bytes,
        }
    }

    /// A manifest: a JSON document that names its own media type.
    pub(crate) fn manifest(algorithm: Algorithm, document: &Value) -> Self {
        let media_type = document
            .get("mediaType")
            .and_then(Value::as_str)
            .unwrap_or(OCI_MANIFEST);
        Self::new(algorithm, media_type, document.to_string().into_bytes())
    }

    pub(crate) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

/// An image manifest over some blobs; `more` adds members or replaces them.
pub(crate) fn image(config: &Content, layers: &[Content], more: &Value) -> Value {
    let layers: Vec<Value> = layers.iter().map(Content::descriptor).collect();
    let image = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": layers,
    });
    merged(&image, more)
}

/// An index over some manifests, each with a platform of its own.
pub(crate) fn index(children: &[Content], more: &Value) -> Value {
    let architectures = ["amd64", "arm64", "riscv64", "s390x"].into_iter().cycle();
    let children: Vec<Value> = children
        .iter()
        .zip(architectures)
        .map(|(child, architecture)| {
            let platform = json!({ "platform": { "os": "linux", "architecture": architecture } });
            merged(&child.descriptor(), &platform)
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children });
    merged(&index, more)
}

/// A document with the members of another one over its own.
pub(crate) fn merged(document: &Value, more: &Value) -> Value {
    let mut members: Map<String, Value> = document.as_object().cloned().unwrap_or_default();
    members.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(members)
}
