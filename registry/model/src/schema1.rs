// SPDX-License-Identifier: Apache-2.0
//! Docker schema 1: what a registry has to know of it (Docker Registry, "Image Manifest Version 2, Schema 1").

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::manifest::ManifestError;
use crate::object::Object;
use crate::{Descriptor, Digest, MediaType, RepositoryName, Tag};

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    name: String,
    #[serde(default)]
    tag: String,
    // Informative, and empty in some images: only its type is checked.
    #[serde(default, rename = "architecture")]
    _architecture: String,
    fs_layers: Vec<Object<FsLayer>>,
    history: Vec<Object<History>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FsLayer {
    blob_sum: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    v1_compatibility: String,
}

/// The v1 image of a layer: any object.
#[derive(Deserialize)]
struct Compatibility {}

/// Checks a schema 1 manifest, except for its signatures, and lists its layers from the bottom to the top.
///
/// `name` and `tag` must be well formed, and need not be those that it is pushed to: an image that is copied or tagged
/// anew keeps its bytes.
pub(crate) fn layers(bytes: &[u8], schema_version: u64) -> Result<Vec<Descriptor>, ManifestError> {
    if schema_version != 1 {
        return Err(ManifestError::Shape("`schemaVersion` must be 1 in a schema 1 manifest"));
    }
    let syntax = |error: serde_json::Error| ManifestError::Syntax(error.to_string());
    let Object(body) = serde_json::from_slice::<Object<Body>>(bytes).map_err(syntax)?;
    if !is_name(&body.name) {
        return Err(ManifestError::Shape("`name` must be the name of a repository"));
    }
    if !(body.tag.is_empty() || body.tag.parse::<Tag>().is_ok()) {
        return Err(ManifestError::Shape("`tag` must be a tag, or empty"));
    }
    if body.fs_layers.is_empty() {
        return Err(ManifestError::Shape("a schema 1 manifest must have `fsLayers`"));
    }
    if body.fs_layers.len() != body.history.len() {
        return Err(ManifestError::Shape(
            "`fsLayers` and `history` must be of the same length",
        ));
    }
    for (index, Object(history)) in body.history.iter().enumerate() {
        serde_json::from_str::<Object<Compatibility>>(&history.v1_compatibility)
            .map_err(|error| ManifestError::History(index, error.to_string()))?;
    }
    let media_type: MediaType = MediaType::DOCKER_SCHEMA1_LAYER
        .parse()
        .map_err(|_| ManifestError::Shape("the type of a layer is not a media type"))?;
    let describe = |Object(layer): &Object<FsLayer>| Descriptor {
        media_type: media_type.clone(),
        digest: layer.blob_sum,
        size: 0,
        urls: Vec::new(),
        annotations: BTreeMap::new(),
        artifact_type: None,
        platform: None,
    };
    Ok(body.fs_layers.iter().rev().map(describe).collect())
}

/// Docker's names may be of one character; ours have two at least.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && format!("{text}0").parse::<RepositoryName>().is_ok()
        && !text.ends_with(['.', '_', '-', '/'])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Manifest, ManifestKind};

    fn manifest() -> Value {
        let layer = |n: &str| json!({ "blobSum": format!("sha256:{}", n.repeat(64)) });
        json!({
            "schemaVersion": 1, "name": "team/web", "tag": "v1", "architecture": "amd64",
            "fsLayers": [layer("2"), layer("1"), layer("1")],
            "history": [{ "v1Compatibility": "{\"id\":\"c\"}" }, { "v1Compatibility": "{}" }, { "v1Compatibility": "{}" }],
        })
    }

    fn parse(value: &Value, content_type: Option<&str>) -> Result<Manifest, ManifestError> {
        Manifest::parse(Bytes::from(value.to_string()), content_type)
    }

    #[test]
    fn the_layers_of_schema_1_are_needed_and_nothing_else() {
        let manifest = parse(&manifest(), Some(MediaType::DOCKER_SCHEMA1)).unwrap();
        assert_eq!((manifest.kind(), manifest.is_schema1()), (ManifestKind::Image, true));
        let needed: Vec<_> = manifest.required_blobs().map(|blob| blob.digest.hex()).collect();
        assert_eq!(needed, ["1".repeat(64), "1".repeat(64), "2".repeat(64)]);
        assert_eq!(
            (manifest.config(), manifest.artifact_type(), manifest.image_bytes()),
            (None, None, 0)
        );
    }

    #[test]
    fn the_type_is_inferred_where_nobody_says_it() {
        let unsigned = manifest();
        let mut signed = manifest();
        signed["signatures"] = json!([]);
        for content_type in [
            None,
            Some(""),
            Some("application/json"),
            Some("application/octet-stream"),
        ] {
            for (body, want) in [
                (&unsigned, MediaType::DOCKER_SCHEMA1),
                (&signed, MediaType::DOCKER_SCHEMA1_SIGNED),
            ] {
                assert_eq!(
                    parse(body, content_type).unwrap().media_type().as_str(),
                    want,
                    "{content_type:?}"
                );
            }
        }
        // What is said counts.
        let said = parse(&signed, Some(MediaType::DOCKER_SCHEMA1)).unwrap();
        assert_eq!(said.media_type().as_str(), MediaType::DOCKER_SCHEMA1);
    }

    #[test]
    fn bodies_that_are_not_schema_1_are_refused() {
        let with = |key: &str, value: Value| {
            let mut changed = manifest();
            changed[key] = value;
            changed
        };
        let cases = [
            ("schema version 2", with("schemaVersion", json!(2))),
            ("no name", with("name", json!(null))),
            ("a name that is none", with("name", json!("Team//web"))),
            ("a tag that is none", with("tag", json!("v 1"))),
            ("architecture is no text", with("architecture", json!(64))),
            ("no layers", with("fsLayers", json!([]))),
            (
                "a digest that is none",
                with(
                    "fsLayers",
                    json!([{ "blobSum": "x" }, { "blobSum": "x" }, { "blobSum": "x" }]),
                ),
            ),
            (
                "fewer histories than layers",
                with("history", json!([{ "v1Compatibility": "{}" }])),
            ),
            (
                "history that is no object",
                with(
                    "history",
                    json!([{ "v1Compatibility": "{}" }, { "v1Compatibility": "[]" }, { "v1Compatibility": "{}" }]),
                ),
            ),
            (
                "history that is no JSON",
                with(
                    "history",
                    json!([{ "v1Compatibility": "{}" }, { "v1Compatibility": "{" }, { "v1Compatibility": "{}" }]),
                ),
            ),
            ("an index as well", with("manifests", json!([]))),
            ("schema 2 as well", with("layers", json!([]))),
            (
                "another type inside",
                with("mediaType", json!(MediaType::DOCKER_MANIFEST)),
            ),
        ];
        for (what, body) in cases {
            assert!(parse(&body, Some(MediaType::DOCKER_SCHEMA1)).is_err(), "{what}");
        }
        assert!(parse(&manifest(), Some(MediaType::DOCKER_MANIFEST)).is_err());
    }

    #[test]
    fn names_are_those_of_docker() {
        for (name, is_good) in [
            ("a", true),
            ("a/b", true),
            ("a-b.c", true),
            ("", false),
            ("a-", false),
            ("a/", false),
            ("A", false),
        ] {
            assert_eq!(is_name(name), is_good, "{name}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\{(\"[a-zA-Z0-9]{1,12}\":(1|\\[\\]|\"x\"|\\{\\}),?){0,6}\\}") {
            let _ = Manifest::parse(Bytes::from(text), None);
        }
    }
}
