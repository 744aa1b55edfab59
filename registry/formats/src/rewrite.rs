// SPDX-License-Identifier: Apache-2.0
//! Schema 2 as OCI and back: the same document under other media types.
//!
//! The configuration and the layers keep their digests, since their bytes are the same in both worlds (OCI Image
//! Specification 1.1, "Compatibility matrix"). Members that neither world knows stay.

use hythe_model::{MAX_MANIFEST_BYTES, MediaType};
use serde_json::{Map, Value};

use crate::Untranslatable;

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// The types of layers, Docker's and OCI's, and whether the pair holds both ways: engines that know no OCI know no zstd.
const LAYERS: &[(&str, &str, bool)] = &[
    (
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        true,
    ),
    (
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.oci.image.layer.v1.tar",
        true,
    ),
    (
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        false,
    ),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        true,
    ),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        true,
    ),
];

/// Makes an OCI image manifest of a Docker manifest of schema 2.
pub fn to_oci(manifest: &[u8]) -> Result<Vec<u8>, Untranslatable> {
    let layer = |from: &str| {
        LAYERS
            .iter()
            .find(|(docker, _, _)| *docker == from)
            .map(|(_, oci, _)| *oci)
    };
    rewrite(manifest, MediaType::OCI_MANIFEST, (DOCKER_CONFIG, OCI_CONFIG), layer)
}

/// Makes a Docker manifest of schema 2 of an OCI image manifest. An artifact has no such form.
pub fn to_docker(manifest: &[u8]) -> Result<Vec<u8>, Untranslatable> {
    let layer = |from: &str| {
        let known = LAYERS.iter().find(|(_, oci, is_mutual)| *oci == from && *is_mutual);
        known.map(|(docker, _, _)| *docker)
    };
    rewrite(manifest, MediaType::DOCKER_MANIFEST, (OCI_CONFIG, DOCKER_CONFIG), layer)
}

fn rewrite(
    manifest: &[u8],
    media_type: &str,
    (config_from, config_to): (&str, &str),
    layer: impl Fn(&str) -> Option<&'static str>,
) -> Result<Vec<u8>, Untranslatable> {
    let Ok(Value::Object(mut manifest)) = serde_json::from_slice(manifest) else {
        return Err(Untranslatable("it is no JSON object"));
    };
    if manifest.values().any(has_inexact_number) {
        return Err(Untranslatable("it has a number that would be rounded"));
    }
    if manifest.contains_key("subject") || manifest.contains_key("artifactType") {
        return Err(Untranslatable("it is an artifact"));
    }
    let config = manifest
        .get_mut("config")
        .and_then(|config| config.get_mut("mediaType"));
    match config {
        Some(kind) if kind == config_from => *kind = config_to.into(),
        Some(_) | None => return Err(Untranslatable("its configuration is not of an image")),
    }
    let Some(Value::Array(layers)) = manifest.get_mut("layers") else {
        return Err(Untranslatable("it has no layers"));
    };
    for descriptor in layers {
        let kind = descriptor.get_mut("mediaType");
        match kind.as_ref().and_then(|kind| kind.as_str()).and_then(&layer).zip(kind) {
            Some((to, kind)) => *kind = to.into(),
            None => return Err(Untranslatable("a layer is of a type that the other form does not have")),
        }
    }
    // The first two members in the order that every encoder writes them.
    let mut translated = Map::new();
    translated.extend(manifest.shift_remove_entry("schemaVersion"));
    translated.insert("mediaType".into(), media_type.into());
    manifest.shift_remove("mediaType");
    translated.extend(manifest);
    let bytes = serde_json::to_vec(&translated).map_err(|_| Untranslatable("it cannot be written"))?;
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(Untranslatable("it would be too large"));
    }
    Ok(bytes)
}

/// Whether there is a number that is no 64-bit integer, and so would not come back as it was written.
fn has_inexact_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_inexact_number),
        Value::Object(members) => members.values().any(has_inexact_number),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn digest(n: u8) -> String {
        format!("sha256:{}", format!("{n:02x}").repeat(32))
    }

    fn docker(layers: &[&str]) -> Value {
        let layer = |(n, kind): (usize, &&str)| json!({ "mediaType": kind, "size": n, "digest": digest(1) });
        json!({
            "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
            "config": { "mediaType": DOCKER_CONFIG, "size": 2, "digest": digest(0) },
            "layers": layers.iter().enumerate().map(layer).collect::<Vec<_>>(),
        })
    }

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn every_layer_type_has_its_pair() {
        for (from, to, is_mutual) in LAYERS {
            let stored = docker(&[from]);
            let oci = to_oci(stored.to_string().as_bytes()).unwrap();
            let translated = value(&oci);
            assert_eq!(translated["mediaType"], MediaType::OCI_MANIFEST);
            assert_eq!(translated["config"]["mediaType"], OCI_CONFIG);
            assert_eq!(translated["layers"][0]["mediaType"], *to);
            assert_eq!(translated["config"]["digest"], stored["config"]["digest"]);
            assert_eq!(to_docker(&oci).is_ok(), *is_mutual, "{to}");
        }
    }

    #[test]
    fn it_is_what_skopeo_makes() {
        let theirs = value(include_bytes!("../tests/fixtures/oci-skopeo.json"));
        let ours = value(&to_oci(include_bytes!("../tests/fixtures/schema2.json")).unwrap());
        // Skopeo writes the configuration anew, and so under another digest.
        for pointer in ["/schemaVersion", "/mediaType", "/config/mediaType", "/layers"] {
            assert_eq!(ours.pointer(pointer), theirs.pointer(pointer), "{pointer}");
        }
    }

    #[test]
    fn a_type_is_named_where_there_was_none() {
        let oci = format!(
            r#"{{"config":{{"digest":"{}","mediaType":"{OCI_CONFIG}","size":2}},"layers":[],"schemaVersion":2,"annotations":{{"a":"b"}}}}"#,
            digest(0)
        );
        let translated = String::from_utf8(to_docker(oci.as_bytes()).unwrap()).unwrap();
        let want = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","annotations":{{"a":"b"}},"config":{{"digest":"{}","mediaType":"{DOCKER_CONFIG}","size":2}},"layers":[]}}"#,
            MediaType::DOCKER_MANIFEST,
            digest(0)
        );
        assert_eq!(value(translated.as_bytes()), value(want.as_bytes()));
        assert!(
            translated.starts_with(r#"{"schemaVersion":2,"mediaType":"#),
            "{translated}"
        );
    }

    #[test]
    fn what_would_lose_is_not_translated() {
        let oci = value(&to_oci(docker(&[LAYERS[0].0]).to_string().as_bytes()).unwrap());
        let with = |path: &str, new: Value| {
            let mut changed = oci.clone();
            match path.split_once('/') {
                Some((member, inner)) => changed[member][inner] = new,
                None => changed[path] = new,
            }
            changed
        };
        let cases = [
            ("a subject", with("subject", json!({}))),
            ("an artifact", with("artifactType", json!("application/x"))),
            (
                "an empty configuration",
                with("config/mediaType", json!("application/vnd.oci.empty.v1+json")),
            ),
            (
                "a chart",
                with("config/mediaType", json!("application/vnd.cncf.helm.config.v1+json")),
            ),
            (
                "a zstd layer",
                with(
                    "layers",
                    json!([{ "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd" }]),
                ),
            ),
            (
                "an unknown layer",
                with("layers", json!([{ "mediaType": "application/wasm" }])),
            ),
            ("a layer without a type", with("layers", json!([{}]))),
            ("layers that are no list", with("layers", json!({}))),
            ("a number that would be rounded", with("x", json!({ "y": [1.5] }))),
        ];
        assert!(to_docker(oci.to_string().as_bytes()).is_ok());
        for (what, body) in cases {
            assert!(to_docker(body.to_string().as_bytes()).is_err(), "{what}");
        }
        for body in ["", "[]", "1", "{}", "{\"config\":1}"] {
            assert!(to_docker(body.as_bytes()).is_err(), "{body}");
            assert!(to_oci(body.as_bytes()).is_err(), "{body}");
        }
        let plugin = docker(&[])
            .to_string()
            .replace(DOCKER_CONFIG, "application/vnd.docker.plugin.v1+json");
        assert!(to_oci(plugin.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_document(
            layers in proptest::collection::vec(proptest::sample::select(vec![0, 1, 3, 4]), 0..8),
            name in "[ -~]{0,12}", number in any::<i64>(),
        ) {
            let layers: Vec<&str> = layers.into_iter().map(|index: usize| LAYERS[index].0).collect();
            let mut stored = docker(&layers);
            if let Some(layer) = stored["layers"].get_mut(0) {
                layer["urls"] = json!([name]);
                layer["annotations"] = json!({ name.clone(): "é\u{2028}\"" });
            }
            stored["unknown"] = json!({ "number": number, "list": [null, true, { "x": u64::MAX }] });
            let bytes = stored.to_string();
            let oci = to_oci(bytes.as_bytes()).unwrap();
            prop_assert_eq!(&oci, &to_oci(bytes.as_bytes()).unwrap());
            let back = to_docker(&oci).unwrap();
            prop_assert_eq!(value(&back), stored);
            prop_assert_eq!(to_oci(&back).unwrap(), oci);
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (to_oci(&bytes), to_docker(&bytes));
        }
    }
}
