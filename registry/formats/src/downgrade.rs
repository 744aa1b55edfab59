// SPDX-License-Identifier: Apache-2.0
//! Schema 2 as schema 1, for engines up to 1.9 (Docker Registry, "Image Manifest Version 2, Schema 2", "Backward
//! compatibility").
//!
//! Schema 1 has no configuration blob. Each entry of the configuration's history becomes a v1 image: the last one is the
//! configuration itself, those below it say only how they were made; entries without a layer get the empty one. The ids
//! chain upwards and are those that a Docker registry gives.

use aws_lc_rs::digest::{SHA256, SHA384, digest};
use hythe_model::{Algorithm, Digest, MAX_MANIFEST_BYTES, Manifest};
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

use crate::Untranslatable;

/// The longest configuration that is taken, in bytes.
pub const MAX_CONFIG_BYTES: usize = 4 * 1024 * 1024;
/// The most entries of a history: many times what an engine makes.
const MAX_HISTORY: usize = 1024;
/// The gzipped empty tar archive that stands for "no change" in schema 1.
pub const EMPTY_LAYER: &[u8] = &[
    31, 139, 8, 0, 0, 9, 110, 136, 0, 255, 98, 24, 5, 163, 96, 20, 140, 88, 0, 8, 0, 0, 255, 255, 46, 175, 181, 239, 0,
    4, 0, 0,
];
/// The digest of [`EMPTY_LAYER`].
pub const EMPTY_LAYER_DIGEST: &str = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";

const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYERS: [&str; 2] = [
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
];
/// The time of an entry that has none, as engines write it.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// A schema 1 manifest made of a schema 2 one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downgrade {
    /// The manifest, without signatures.
    pub manifest: Vec<u8>,
    /// Whether it names [`EMPTY_LAYER`], which then must be in the repository.
    pub has_empty_layer: bool,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    history: Vec<Entry>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
    #[serde(default)]
    base_layer: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    author: String,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    empty_layer: bool,
}

/// Members in the order, and with the omissions, of a Docker registry.
#[derive(Serialize)]
struct V1Image<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    parent: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
    created: &'a str,
    container_config: Value,
    #[serde(skip_serializing_if = "str::is_empty")]
    author: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    throwaway: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Schema1<'a> {
    schema_version: u8,
    name: &'a str,
    tag: &'a str,
    architecture: &'a str,
    fs_layers: Vec<Value>,
    history: Vec<Value>,
}

impl Downgrade {
    /// The schema 1 form of a schema 2 `manifest` with this configuration, as `name` and `tag`.
    pub fn new(manifest: &Manifest, config: &[u8], name: &str, tag: &str) -> Result<Self, Untranslatable> {
        check(manifest)?;
        if config.len() > MAX_CONFIG_BYTES {
            return Err(Untranslatable("its configuration is too large"));
        }
        let unreadable = |_| Untranslatable("its configuration is not that of an image with history");
        let text = std::str::from_utf8(config).map_err(|_| Untranslatable("its configuration is no text"))?;
        let parsed: Config = serde_json::from_str(text).map_err(unreadable)?;
        let members: Map<String, Value> = serde_json::from_str(text).map_err(unreadable)?;
        let chain = Chain::of(manifest, &parsed)?;

        let mut fs_layers = Vec::with_capacity(chain.0.len());
        let mut history = Vec::with_capacity(chain.0.len());
        let mut parent = String::new();
        let mut bytes = 0usize;
        for (index, (entry, layer)) in chain.0.iter().enumerate() {
            let is_top = index + 1 == chain.0.len();
            let own = if is_top { text } else { "" };
            let id = v1_id(layer, &parent, own);
            if !is_top && index == 0 && !parsed.rootfs.base_layer.is_empty() {
                parent = base_id(&parsed.rootfs.base_layer);
            }
            let image = if is_top {
                top_image(members.clone(), &id, &parent, entry.empty_layer)
            } else {
                serde_json::to_string(&V1Image {
                    id: &id,
                    parent: &parent,
                    comment: &entry.comment,
                    created: entry.created.as_deref().unwrap_or(NO_TIME),
                    container_config: json!({ "Cmd": [entry.created_by] }),
                    author: &entry.author,
                    throwaway: entry.empty_layer,
                })
            };
            let image = image.map_err(|_| Untranslatable("its history cannot be written"))?;
            bytes = bytes.saturating_add(image.len());
            if bytes > MAX_MANIFEST_BYTES {
                return Err(Untranslatable("it would be too large"));
            }
            history.push(json!({ "v1Compatibility": image }));
            fs_layers.push(json!({ "blobSum": layer }));
            parent = id;
        }
        // The top layer comes first.
        fs_layers.reverse();
        history.reverse();
        let document = Schema1 {
            schema_version: 1,
            name,
            tag,
            architecture: &parsed.architecture,
            fs_layers,
            history,
        };
        let manifest = indented(&document).ok_or(Untranslatable("it cannot be written"))?;
        if manifest.len() > MAX_MANIFEST_BYTES {
            return Err(Untranslatable("it would be too large"));
        }
        Ok(Self {
            manifest,
            has_empty_layer: parsed.history.iter().any(|entry| entry.empty_layer),
        })
    }
}

fn check(manifest: &Manifest) -> Result<(), Untranslatable> {
    if manifest
        .config()
        .is_none_or(|config| config.media_type.as_str() != CONFIG)
    {
        return Err(Untranslatable("its configuration is not of an image"));
    }
    let mut layers = manifest.layers().iter();
    if layers.all(|layer| LAYERS.contains(&layer.media_type.as_str()) && layer.urls.is_empty()) {
        Ok(())
    } else {
        Err(Untranslatable("a layer is of a type that schema 1 does not have"))
    }
}

/// The entries of the history, each with its layer, from the bottom to the top.
struct Chain<'a>(Vec<(&'a Entry, Digest)>);

impl<'a> Chain<'a> {
    fn of(manifest: &Manifest, config: &'a Config) -> Result<Self, Untranslatable> {
        if config.history.is_empty() || config.history.len() > MAX_HISTORY {
            return Err(Untranslatable("its configuration has no history, or too much"));
        }
        let with_layer = config.history.iter().filter(|entry| !entry.empty_layer).count();
        if manifest.layers().len() != config.rootfs.diff_ids.len() || manifest.layers().len() != with_layer {
            return Err(Untranslatable("its history and its layers do not agree"));
        }
        let empty = EMPTY_LAYER_DIGEST
            .parse()
            .map_err(|_| Untranslatable("the empty layer has no digest"))?;
        let mut layers = manifest.layers().iter().map(|layer| layer.digest);
        let mut place = |entry: &'a Entry| {
            let layer = if entry.empty_layer { Some(empty) } else { layers.next() };
            // Engines of that time know one algorithm.
            let layer = layer.filter(|layer| layer.algorithm() == Algorithm::Sha256);
            layer.map(|layer| (entry, layer))
        };
        let chain = config.history.iter().map(&mut place).collect::<Option<_>>();
        chain.map(Self).ok_or(Untranslatable("a layer has no SHA-256 digest"))
    }
}

/// The configuration as the v1 image of the top layer: without what schema 1 says elsewhere, by name of member.
fn top_image(
    mut members: Map<String, Value>,
    id: &str,
    parent: &str,
    is_throwaway: bool,
) -> serde_json::Result<String> {
    members.remove("rootfs");
    members.remove("history");
    members.insert("id".into(), id.into());
    if !parent.is_empty() {
        members.insert("parent".into(), parent.into());
    }
    if is_throwaway {
        members.insert("throwaway".into(), true.into());
    }
    members.sort_keys();
    serde_json::to_string(&members)
}

fn v1_id(layer: &Digest, parent: &str, config: &str) -> String {
    let mut text = format!("{} {parent}", layer.hex());
    if !config.is_empty() {
        text.push(' ');
        text.push_str(config);
    }
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

/// The id of the base layer that Windows images have and do not carry.
fn base_id(base_layer: &str) -> String {
    hex(digest(&SHA384, base_layer.as_bytes()).as_ref())
}

/// The first 32 bytes in hexadecimal.
fn hex(hash: &[u8]) -> String {
    let first = hash.get(..Algorithm::Sha256.hash_bytes()).unwrap_or_default();
    Digest::new(Algorithm::Sha256, first)
        .map(|digest| digest.hex())
        .unwrap_or_default()
}

/// A document with three spaces a level, as engines and registries write schema 1.
pub(crate) fn indented(document: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"   "));
    document.serialize(&mut serializer).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;
