// SPDX-License-Identifier: Apache-2.0
use bytes::Bytes;
use hythe_model::MediaType;
use proptest::prelude::*;

use super::*;
use crate::{Signer, verify};

const SCHEMA2: &[u8] = include_bytes!("../../tests/fixtures/schema2.json");
const CONFIG_BLOB: &[u8] = include_bytes!("../../tests/fixtures/config.json");
/// What a Docker registry (Distribution 2.8) made of the same image.
const THEIRS: &[u8] = include_bytes!("../../tests/fixtures/schema1-es256.json");

fn manifest(value: &Value) -> Manifest {
    Manifest::parse(Bytes::from(value.to_string()), Some(MediaType::DOCKER_MANIFEST)).unwrap()
}

fn schema2() -> Manifest {
    Manifest::parse(Bytes::from_static(SCHEMA2), None).unwrap()
}

/// A manifest with the v1 images as values, and without signatures.
fn opened(bytes: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(bytes).unwrap();
    value.as_object_mut().unwrap().remove("signatures");
    for entry in value["history"].as_array_mut().unwrap() {
        *entry = serde_json::from_str(entry["v1Compatibility"].as_str().unwrap()).unwrap();
    }
    value
}

#[test]
fn it_is_what_a_docker_registry_makes() {
    let made = Downgrade::new(&schema2(), CONFIG_BLOB, "team/web", "v1").unwrap();
    assert!(made.has_empty_layer);
    assert_eq!(opened(&made.manifest), opened(THEIRS));
    // The outer text is the same byte for byte; inside, Go writes `<`, `>` and `&` as escapes.
    let plain = String::from_utf8(THEIRS.to_vec()).unwrap();
    let plain = plain
        .replace(r"\\u003c", "<")
        .replace(r"\\u003e", ">")
        .replace(r"\\u0026", "&");
    let end = plain.find(",\n   \"signatures\"").unwrap();
    assert_eq!(
        String::from_utf8(made.manifest).unwrap(),
        format!("{}\n}}", &plain[..end])
    );
}

#[test]
fn a_signed_one_is_valid_and_always_the_same() {
    let key = Signer::generate().unwrap();
    let made = Downgrade::new(&schema2(), CONFIG_BLOB, "team/web", "v1").unwrap();
    let signed = key.sign(&made.manifest).unwrap();
    assert_eq!(signed, key.sign(&made.manifest).unwrap());
    assert_eq!(verify(&signed, true), Ok(1));
    assert_eq!(opened(&signed), opened(&made.manifest));
    let parsed = Manifest::parse(Bytes::from(signed.clone()), None).unwrap();
    assert_eq!(parsed.media_type().as_str(), MediaType::DOCKER_SCHEMA1_SIGNED);
    assert_eq!(parsed.layers().len(), 4);
    // A different key signs differently, and as validly.
    let other = Signer::generate().unwrap().sign(&made.manifest).unwrap();
    assert_ne!(other, signed);
    assert_eq!(verify(&other, true), Ok(1));
}

#[test]
fn the_empty_layer_is_the_one_everybody_knows() {
    let hash = digest(&SHA256, EMPTY_LAYER);
    assert_eq!(
        Digest::new(Algorithm::Sha256, hash.as_ref()).unwrap().to_string(),
        EMPTY_LAYER_DIGEST
    );
}

#[test]
fn the_base_of_windows_images_is_a_parent() {
    let mut config: Value = serde_json::from_slice(CONFIG_BLOB).unwrap();
    config["rootfs"]["base_layer"] = json!("microsoft/windowsservercore");
    let made = Downgrade::new(&schema2(), config.to_string().as_bytes(), "a", "b").unwrap();
    let bottom = &opened(&made.manifest)["history"][3];
    let theirs = &opened(THEIRS)["history"][3];
    assert_eq!(bottom["id"], theirs["id"]);
    assert_eq!(bottom["parent"].as_str().unwrap().len(), 64);
    assert_eq!(theirs["parent"], Value::Null);
}

#[test]
fn what_schema_1_cannot_say_is_not_translated() {
    let stored: Value = serde_json::from_slice(SCHEMA2).unwrap();
    let config: Value = serde_json::from_slice(CONFIG_BLOB).unwrap();
    let with = |of: &Value, pointer: &str, new: Value| {
        let mut changed = of.clone();
        *changed.pointer_mut(pointer).unwrap() = new;
        changed
    };
    let layer_type = |kind: &str| with(&stored, "/layers/0/mediaType", json!(kind));
    let mut foreign = stored.clone();
    foreign["layers"][0]["urls"] = json!(["https://example.com/layer"]);
    let mut many = config.clone();
    many["history"] = json!(vec![json!({ "empty_layer": true }); MAX_HISTORY + 1]);
    let long = with(
        &config,
        "/history/0/created_by",
        json!("\"".repeat(MAX_MANIFEST_BYTES / 3)),
    );
    let cases = [
        (
            "a zstd layer",
            layer_type("application/vnd.docker.image.rootfs.diff.tar.zstd"),
            config.clone(),
        ),
        (
            "a foreign layer",
            layer_type("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
            config.clone(),
        ),
        ("a layer from elsewhere", foreign, config.clone()),
        (
            "a plugin",
            with(
                &stored,
                "/config/mediaType",
                json!("application/vnd.docker.plugin.v1+json"),
            ),
            config.clone(),
        ),
        (
            "fewer layers than history",
            with(&stored, "/layers", json!([])),
            config.clone(),
        ),
        ("no history", stored.clone(), with(&config, "/history", json!([]))),
        ("too much history", stored.clone(), many),
        (
            "history of fewer layers",
            stored.clone(),
            with(&config, "/history/0", json!({ "empty_layer": true })),
        ),
        ("a document that grows too large", stored.clone(), long),
        ("no configuration of an image", stored.clone(), json!({})),
        ("a list for a configuration", stored.clone(), json!([])),
    ];
    for (what, stored, config) in cases {
        let outcome = Downgrade::new(&manifest(&stored), config.to_string().as_bytes(), "a", "b");
        assert!(outcome.is_err(), "{what}");
    }
    assert!(Downgrade::new(&schema2(), &vec![b' '; MAX_CONFIG_BYTES + 1], "a", "b").is_err());
}

proptest! {
    #[test]
    fn any_configuration_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Downgrade::new(&schema2(), &bytes, "a", "b");
    }

    #[test]
    fn any_history_makes_a_manifest_that_parses(entries in proptest::collection::vec((".{0,20}", any::<bool>()), 1..12)) {
        let layers = entries.iter().filter(|(_, is_empty)| !is_empty).count();
        let digest = |n: usize| format!("sha256:{n:064x}");
        let stored = json!({
            "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
            "config": { "mediaType": CONFIG, "size": 1, "digest": digest(0) },
            "layers": (0..layers).map(|n| json!({ "mediaType": LAYERS[n % 2], "size": 1, "digest": digest(n) })).collect::<Vec<_>>(),
        });
        let history: Vec<_> = entries.iter().map(|(by, is_empty)| json!({ "created_by": by, "empty_layer": is_empty })).collect();
        let config = json!({ "architecture": "amd64", "history": history, "rootfs": { "diff_ids": (0..layers).map(digest).collect::<Vec<_>>() } });
        let made = Downgrade::new(&manifest(&stored), config.to_string().as_bytes(), "team/web", "v1").unwrap();
        let parsed = Manifest::parse(Bytes::from(made.manifest), None).unwrap();
        prop_assert_eq!(parsed.layers().len(), entries.len());
        prop_assert_eq!(made.has_empty_layer, layers < entries.len());
    }
}
