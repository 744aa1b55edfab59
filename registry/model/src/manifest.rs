// SPDX-License-Identifier: Apache-2.0
//! Manifests and indexes: the bytes as received, and what a registry has to know of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::object::{Object, inner, inners};
use crate::{Digest, MediaType, schema1};

/// The longest manifest, in bytes (ECR API, `ImageManifest`; OCI Distribution Specification 1.1 asks for at least this).
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// A content descriptor (OCI Image Specification 1.1, "Descriptors"), with the members a registry acts on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: MediaType,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content, in bytes.
    pub size: u64,
    /// Other places to fetch the content from; non-empty for layers that need not be in the registry.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Annotations.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// Type of the artifact that the content is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Platform of the content, in an index; kept as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<serde_json::Value>,
}

impl Descriptor {
    /// Whether the content need not be in the registry (OCI "Non-Distributable Layers", Docker "foreign layers").
    #[must_use]
    pub fn is_non_distributable(&self) -> bool {
        let kind = self.media_type.as_str();
        !self.urls.is_empty() || kind.contains(".nondistributable.") || kind.contains(".foreign.")
    }
}

/// Which of the two shapes a manifest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// One image or artifact: a configuration and layers.
    Image,
    /// A list of manifests, usually one for each platform.
    Index,
}

/// A manifest that was parsed and checked.
///
/// Invariants: at most [`MAX_MANIFEST_BYTES`]; of a media type that this registry takes; the body agrees
/// with the media type; every descriptor is well formed.
#[derive(Clone, Debug)]
pub struct Manifest {
    bytes: Bytes,
    media_type: MediaType,
    kind: ManifestKind,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    children: Vec<Descriptor>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
}

/// Why some bytes are not a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MAX_MANIFEST_BYTES`].
    #[error("a manifest may have at most {MAX_MANIFEST_BYTES} bytes")]
    TooLarge,
    /// Not JSON, or not of the shape of its media type; the text says where.
    #[error("Invalid JSON syntax: {0}")]
    Syntax(String),
    /// A media type that no manifest has, or with parameters.
    #[error(
        "media type `{0}` is not one of a manifest: push an OCI image manifest or index, or a Docker manifest or list"
    )]
    MediaType(String),
    /// An artifact manifest from before OCI 1.1.
    #[error(
        "media type `{0}` is of a draft that OCI 1.1 does not have: push the artifact as an OCI image manifest with `artifactType`"
    )]
    ArtifactManifest(String),
    /// The `mediaType` member and the `Content-Type` differ.
    #[error("the manifest says it is `{body}`, the request says it is `{header}`")]
    MediaTypeMismatch {
        /// The member of the body.
        body: String,
        /// The header of the request.
        header: String,
    },
    /// A member that the media type needs is absent, or one that it excludes is there.
    #[error("{0}")]
    Shape(&'static str),
    /// A schema 1 manifest whose history cannot be read; the number counts from the top layer, which is 0.
    #[error("`history[{0}].v1Compatibility` is not the text of a JSON object: {1}")]
    History(usize, String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Object<Descriptor>>,
    #[serde(default)]
    layers: Option<Vec<Object<Descriptor>>>,
    #[serde(default)]
    manifests: Option<Vec<Object<Descriptor>>>,
    #[serde(default)]
    subject: Option<Object<Descriptor>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    /// Of schema 1 only; elsewhere an unknown member like any other.
    #[serde(default)]
    signatures: Option<IgnoredAny>,
}

impl Manifest {
    /// Reads a manifest that was sent as `content_type` (none or empty: its own `mediaType` decides, or, for schema 1,
    /// its form). The signatures of schema 1 are not looked at: that is `hythe-formats`' work.
    pub fn parse(bytes: Bytes, content_type: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        // JSON is UTF-8 (RFC 8259, section 8.1), also in members that are passed over, which serde does not look at.
        let text = std::str::from_utf8(&bytes).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        let Object(body) =
            serde_json::from_str::<Object<Body>>(text).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        let named = name_type(&body, content_type)?;
        let kind = match named {
            MediaType::OCI_MANIFEST
            | MediaType::DOCKER_MANIFEST
            | MediaType::DOCKER_SCHEMA1
            | MediaType::DOCKER_SCHEMA1_SIGNED => ManifestKind::Image,
            MediaType::OCI_INDEX | MediaType::DOCKER_LIST => ManifestKind::Index,
            MediaType::OCI_ARTIFACT | MediaType::ORAS_ARTIFACT => {
                return Err(ManifestError::ArtifactManifest(named.to_owned()));
            }
            other => return Err(ManifestError::MediaType(quoted(other))),
        };
        let media_type: MediaType = named.parse().map_err(|_| ManifestError::MediaType(quoted(named)))?;
        let layers = if matches!(named, MediaType::DOCKER_SCHEMA1 | MediaType::DOCKER_SCHEMA1_SIGNED) {
            if body.config.is_some() || body.layers.is_some() || body.manifests.is_some() || body.subject.is_some() {
                return Err(ManifestError::Shape(
                    "a schema 1 manifest must not have `config`, `layers`, `manifests` or `subject`",
                ));
            }
            schema1::layers(&bytes, body.schema_version)?
        } else {
            check_shape(&body, kind)?;
            inners(body.layers)
        };
        Ok(Self {
            bytes,
            media_type,
            kind,
            config: inner(body.config),
            layers,
            children: inners(body.manifests),
            subject: inner(body.subject),
            artifact_type: body.artifact_type.filter(|text| !text.is_empty()),
            annotations: body.annotations.unwrap_or_default(),
        })
    }

    /// The bytes, exactly as received.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The media type of the manifest itself.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Image or index.
    #[must_use]
    pub fn kind(&self) -> ManifestKind {
        self.kind
    }

    /// Whether it is Docker schema 1: its layers are known by digest alone, their size and type are not.
    #[must_use]
    pub fn is_schema1(&self) -> bool {
        matches!(
            self.media_type.as_str(),
            MediaType::DOCKER_SCHEMA1 | MediaType::DOCKER_SCHEMA1_SIGNED
        )
    }

    /// The configuration; none in an index and in schema 1.
    #[must_use]
    pub fn config(&self) -> Option<&Descriptor> {
        self.config.as_ref()
    }

    /// The layers, from the bottom to the top; none in an index.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// The blobs that must be in the repository before the manifest: the configuration and all distributable layers.
    pub fn required_blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config
            .iter()
            .chain(&self.layers)
            .filter(|descriptor| !descriptor.is_non_distributable())
    }

    /// The manifests that an index lists.
    #[must_use]
    pub fn children(&self) -> &[Descriptor] {
        &self.children
    }

    /// The manifest that this one refers to, which need not exist.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// The type as a referrer: `artifactType`, else for images the media type of the configuration
    /// (OCI Distribution Specification 1.1, "Listing Referrers").
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        let config = || self.config.as_ref().map(|config| config.media_type.as_str());
        self.artifact_type.as_deref().or_else(config)
    }

    /// Annotations of the manifest.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// The size of the image as ECR counts it: the sum of its layers' sizes, in bytes; 0 for an index, and for schema 1,
    /// which does not say it.
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        self.config
            .iter()
            .chain(&self.layers)
            .fold(0, |sum, descriptor| sum.saturating_add(descriptor.size))
    }
}

/// The media type, of the header and the member that should agree, or as the form shows it.
fn name_type<'a>(body: &'a Body, content_type: Option<&'a str>) -> Result<&'a str, ManifestError> {
    // Engines up to 1.9 say nothing, others that it is JSON (ECR, `PutImage`: schema 1 is inferred).
    let is_old = body.schema_version == 1;
    let says_nothing =
        |text: &str| text.is_empty() || text == MediaType::OCTET_STREAM || is_old && text == MediaType::JSON;
    let header = content_type.filter(|text| !says_nothing(text));
    match (header, body.media_type.as_deref()) {
        (Some(header), Some(member)) if header != member => Err(ManifestError::MediaTypeMismatch {
            body: quoted(member),
            header: quoted(header),
        }),
        (Some(text), _) | (None, Some(text)) => Ok(text),
        (None, None) if is_old && body.signatures.is_some() => Ok(MediaType::DOCKER_SCHEMA1_SIGNED),
        (None, None) if is_old => Ok(MediaType::DOCKER_SCHEMA1),
        (None, None) => Err(ManifestError::Shape(
            "the manifest has no `mediaType` and the request no usable `Content-Type`: send one of them",
        )),
    }
}

/// Whether the members are those of the kind. A document that is both could be read as one by a scanner and as the
/// other by an engine (CVE-2021-41190).
fn check_shape(body: &Body, kind: ManifestKind) -> Result<(), ManifestError> {
    let wrong = if body.schema_version == 2 {
        match kind {
            ManifestKind::Image if body.manifests.is_some() => "an image manifest must not have `manifests`",
            ManifestKind::Image if body.config.is_none() => "an image manifest must have `config`",
            ManifestKind::Image if body.layers.is_none() => "an image manifest must have `layers`",
            ManifestKind::Index if body.config.is_some() || body.layers.is_some() => {
                "an index must not have `config` or `layers`"
            }
            ManifestKind::Index if body.manifests.is_none() => "an index must have `manifests`",
            ManifestKind::Image | ManifestKind::Index => return Ok(()),
        }
    } else {
        "`schemaVersion` must be 2"
    };
    Err(ManifestError::Shape(wrong))
}

fn quoted(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(128).collect()
}

/// Go clients write an absent list or map as `null`.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn descriptor() -> Value {
        json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{}", "0".repeat(64)), "size": 2 })
    }

    fn parse(value: &Value, content_type: Option<&str>) -> Result<Manifest, ManifestError> {
        Manifest::parse(Bytes::from(value.to_string()), content_type)
    }

    #[test]
    fn an_image_lists_the_blobs_it_needs() {
        let mut foreign = descriptor();
        foreign["mediaType"] = json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let image = json!({ "schemaVersion": 2, "config": descriptor(), "layers": [descriptor(), foreign], "annotations": null });
        let manifest = parse(&image, Some(MediaType::OCI_MANIFEST)).unwrap();
        assert_eq!(manifest.kind(), ManifestKind::Image);
        assert_eq!(manifest.required_blobs().count(), 2);
        assert_eq!(manifest.image_bytes(), 6);
        assert_eq!(
            manifest.artifact_type(),
            Some("application/vnd.oci.image.config.v1+json")
        );
        assert_eq!(manifest.bytes(), image.to_string().as_bytes());
    }

    #[test]
    fn bodies_that_do_not_fit_are_refused() {
        let image = json!({ "schemaVersion": 2, "config": descriptor(), "layers": [] });
        let with = |key: &str, value: Value| {
            let mut changed = image.clone();
            changed[key] = value;
            changed
        };
        let oci = Some(MediaType::OCI_MANIFEST);
        let cases = [
            ("no media type at all", image.clone(), None),
            ("unknown media type", image.clone(), Some("application/json")),
            (
                "media type with parameters",
                image.clone(),
                Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
            ),
            (
                "the two media types differ",
                with("mediaType", json!(MediaType::OCI_INDEX)),
                oci,
            ),
            ("schema version 1", with("schemaVersion", json!(1)), oci),
            ("image that is an index too", with("manifests", json!([])), oci),
            ("layers are no list", with("layers", json!({})), oci),
            (
                "negative size",
                with("config", {
                    let mut d = descriptor();
                    d["size"] = json!(-1);
                    d
                }),
                oci,
            ),
            (
                "bad digest",
                with("config", {
                    let mut d = descriptor();
                    d["digest"] = json!("sha256:x");
                    d
                }),
                oci,
            ),
            ("image as an index", image.clone(), Some(MediaType::OCI_INDEX)),
            ("not an object", json!([]), oci),
            ("members without names", json!([2, null, null, descriptor(), []]), oci),
            (
                "a descriptor without names",
                with("config", json!(["a/b", format!("sha256:{}", "0".repeat(64)), 2])),
                oci,
            ),
            ("a draft's artifact", image.clone(), Some(MediaType::OCI_ARTIFACT)),
            ("ORAS's artifact", image.clone(), Some(MediaType::ORAS_ARTIFACT)),
        ];
        for (what, body, content_type) in cases {
            assert!(parse(&body, content_type).is_err(), "{what}");
        }
        let large = Bytes::from(vec![b' '; MAX_MANIFEST_BYTES + 1]);
        assert_eq!(Manifest::parse(large, oci).unwrap_err(), ManifestError::TooLarge);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_in_every_member() {
        let whole = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [], "unknown": "?" });
        let mut bytes = serde_json::to_vec(&whole).unwrap();
        assert!(Manifest::parse(bytes.clone().into(), None).is_ok());
        let at = bytes.iter().rposition(|byte| *byte == b'?').unwrap();
        bytes[at] = 0xff;
        let error = Manifest::parse(bytes.into(), None).unwrap_err();
        assert!(matches!(error, ManifestError::Syntax(_)), "{error}");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = Manifest::parse(Bytes::from(bytes), Some(MediaType::OCI_MANIFEST));
        }
    }
}
