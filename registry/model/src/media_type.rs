// SPDX-License-Identifier: Apache-2.0
//! Media types of manifests, configurations and layers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ParseError;
use crate::text::parsed_text;

/// A media type without parameters, such as `application/vnd.oci.image.manifest.v1+json`.
///
/// Invariant: `type/subtype` of at most 255 characters, each part as in RFC 6838, section 4.2.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaType(Arc<str>);

impl MediaType {
    /// An OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// A Docker image manifest, version 2, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// A Docker image manifest, version 2, schema 1, without signatures.
    pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
    /// A Docker image manifest, version 2, schema 1, with signatures over its text.
    pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// The layers of a schema 1 manifest, which does not say itself.
    pub const DOCKER_SCHEMA1_LAYER: &str = "application/vnd.docker.container.image.rootfs.diff+x-gtar";
    /// The artifact manifest of drafts of OCI 1.1, which the specification does not have.
    pub const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
    /// The artifact manifest of ORAS, from before OCI 1.1.
    pub const ORAS_ARTIFACT: &str = "application/vnd.cncf.oras.artifact.manifest.v1+json";
    /// JSON of which nothing else is known.
    pub const JSON: &str = "application/json";
    /// The media type of a blob of which nothing else is known.
    pub const OCTET_STREAM: &str = "application/octet-stream";

    fn check(text: &str) -> Result<(), ParseError> {
        let is_name = |part: &str| {
            let mut bytes = part.bytes();
            part.len() <= 127
                && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        match text.split_once('/') {
            Some((kind, subtype)) if is_name(kind) && is_name(subtype) => Ok(()),
            _ => Err(ParseError::new(
                "media type",
                text,
                "it must be `type/subtype` without parameters",
            )),
        }
    }
}

parsed_text!(
    MediaType,
    "media type",
    "^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$"
);
