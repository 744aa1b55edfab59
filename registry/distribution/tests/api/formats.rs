// SPDX-License-Identifier: Apache-2.0
//! Manifests of every form: Docker schema 1, and what people store as artifacts.

use std::fmt::Write as _;

use http::{StatusCode, header};
use hythe_model::MediaType;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Plane, sha256};

/// Two layers, and a schema 1 manifest of them that a Docker registry signed.
pub const LAYERS: [&[u8]; 2] = [
    include_bytes!("../../../formats/tests/fixtures/layer-a.tar.gz"),
    include_bytes!("../../../formats/tests/fixtures/layer-b.tar.gz"),
];
pub const SIGNED: &[u8] = include_bytes!("../../../formats/tests/fixtures/schema1-es256.json");

pub async fn put(plane: &Plane, reference: &str, content_type: Option<&str>, manifest: &[u8]) -> Answer {
    let put = Ask::put(&format!("/v2/team/web/manifests/{reference}"))
        .by("admin")
        .body(manifest.to_vec());
    let put = match content_type {
        Some(content_type) => put.header(header::CONTENT_TYPE, content_type),
        None => put,
    };
    plane.send(put).await
}

async fn push_layers(plane: &Plane) {
    for layer in LAYERS.into_iter().chain([hythe_formats::EMPTY_LAYER]) {
        plane.push_blob("team/web", layer).await;
    }
}

fn unsigned() -> Vec<u8> {
    let mut manifest: Value = serde_json::from_slice(SIGNED).unwrap();
    manifest.as_object_mut().unwrap().remove("signatures");
    serde_json::to_vec_pretty(&manifest).unwrap()
}

#[tokio::test]
async fn schema_1_is_kept_byte_for_byte() {
    let plane = Plane::new();
    push_layers(&plane).await;
    let unsigned = unsigned();
    let cases = [
        (
            "signed",
            Some(MediaType::DOCKER_SCHEMA1_SIGNED),
            SIGNED,
            MediaType::DOCKER_SCHEMA1_SIGNED,
        ),
        ("inferred", None, SIGNED, MediaType::DOCKER_SCHEMA1_SIGNED),
        (
            "json",
            Some("application/json"),
            SIGNED,
            MediaType::DOCKER_SCHEMA1_SIGNED,
        ),
        (
            "unsigned",
            Some(MediaType::DOCKER_SCHEMA1),
            &unsigned,
            MediaType::DOCKER_SCHEMA1,
        ),
        ("unsigned-inferred", None, &unsigned, MediaType::DOCKER_SCHEMA1),
    ];
    for (tag, content_type, manifest, want) in cases {
        // The name and the tag inside are others: an image may be copied and tagged anew.
        let pushed = put(&plane, tag, content_type, manifest).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{tag}: {pushed}");
        let digest = sha256(manifest);
        assert_eq!(
            pushed.header(&"docker-content-digest".parse().unwrap()),
            digest.to_string()
        );
        for reference in [tag.to_owned(), digest.to_string()] {
            let pulled = plane.get(&format!("/v2/team/web/manifests/{reference}")).await;
            assert_eq!(
                (pulled.status, &pulled.body[..]),
                (StatusCode::OK, manifest),
                "{reference}"
            );
            assert_eq!(pulled.header(&header::CONTENT_TYPE), want, "{reference}");
        }
    }
    insta::assert_snapshot!("schema1_push", put(&plane, "signed", None, SIGNED).await);
}

#[tokio::test]
async fn schema_1_that_is_not_what_was_signed_is_refused() {
    let plane = Plane::new();
    push_layers(&plane).await;
    let signed = std::str::from_utf8(SIGNED).unwrap();
    let altered = signed.replace("\"arm64\"", "\"amd64\"");
    // Its first two characters are others: still base64url, of the same length.
    let (before, after) = signed.split_once("\"signature\": \"").unwrap();
    let first = if after.starts_with("AA") { "BB" } else { "AA" };
    let signature = format!("{before}\"signature\": \"{first}{}", &after[2..]);
    let short = signed.replacen("{\n         \"blobSum\"", "{\n         \"blobSum\": \"x\", \"old\"", 1);
    let unsigned = String::from_utf8(unsigned()).unwrap();
    let cases = [
        ("altered", Some(MediaType::DOCKER_SCHEMA1_SIGNED), altered.as_str()),
        (
            "altered, of the unsigned type",
            Some(MediaType::DOCKER_SCHEMA1),
            &altered,
        ),
        ("another signature", None, &signature),
        ("no signature", Some(MediaType::DOCKER_SCHEMA1_SIGNED), &unsigned),
        ("no digest", None, &short),
        ("schema 2 in name", Some(MediaType::DOCKER_MANIFEST), signed),
    ];
    let mut table = String::new();
    for (what, content_type, manifest) in cases {
        let answer = put(&plane, "v1", content_type, manifest.as_bytes()).await;
        write!(table, "{what}: {answer}\n\n").unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "MANIFEST_INVALID".into()),
            "{what}"
        );
    }
    insta::assert_snapshot!("schema1_refused", table);
    assert_eq!(
        plane.get("/v2/team/web/manifests/v1").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn schema_1_needs_its_layers() {
    let plane = Plane::new();
    plane.push_blob("team/web", LAYERS[0]).await;
    plane.push_blob("team/other", LAYERS[1]).await;
    let answer = put(&plane, "v1", None, SIGNED).await;
    insta::assert_snapshot!("schema1_without_layers", answer);
}

#[tokio::test]
async fn manifests_of_drafts_are_refused_with_what_to_do() {
    let plane = Plane::new();
    let blob = plane.push_blob("team/web", b"{}").await;
    for kind in [MediaType::OCI_ARTIFACT, MediaType::ORAS_ARTIFACT] {
        let manifest = json!({ "mediaType": kind, "schemaVersion": 2, "artifactType": "application/x", "blobs": [{ "digest": blob }] });
        let answer = plane
            .put_manifest("team/web", "v1", manifest.to_string().as_bytes())
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "MANIFEST_INVALID".into())
        );
        assert!(answer.to_string().contains("artifactType"), "{answer}");
    }
}

/// A tag, a configuration and layers, each a type and a content, and further members.
type Artifact<'a> = (&'a str, (&'a str, &'a str), &'a [(&'a str, &'a str)], Value);

/// What tools push today: each a configuration and layers with their types, and what they say of it.
#[tokio::test]
async fn artifacts_of_every_kind_are_stored_and_served_as_they_are() {
    const EMPTY: (&str, &str) = ("application/vnd.oci.empty.v1+json", "{}");
    let plane = Plane::new();
    let (_, image) = plane.push_image("team/web", "image", "hello").await;
    let subject = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": image, "size": 1 });
    let cosign_tag = format!("sha256-{}.sig", image.hex());
    let cases: [Artifact<'_>; 8] = [
        (
            "chart",
            ("application/vnd.cncf.helm.config.v1+json", "{\"name\":\"web\"}"),
            &[
                ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "chart"),
                ("application/vnd.cncf.helm.chart.provenance.v1.prov", "prov"),
            ],
            json!({ "annotations": { "org.opencontainers.image.title": "web" } }),
        ),
        (
            "wasm",
            ("application/vnd.wasm.config.v0+json", "{\"os\":\"wasip2\"}"),
            &[("application/wasm", "\0asm")],
            json!({}),
        ),
        (
            &cosign_tag,
            ("application/vnd.oci.image.config.v1+json", "{\"config\":{}}"),
            &[("application/vnd.dev.cosign.simplesigning.v1+json", "payload")],
            json!({}),
        ),
        (
            "signature",
            EMPTY,
            &[("application/vnd.dev.sigstore.bundle.v0.3+json", "bundle")],
            json!({ "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json", "subject": subject }),
        ),
        (
            "notation",
            ("application/vnd.cncf.notary.signature", "{}"),
            &[("application/jose+json", "jws")],
            json!({ "subject": subject }),
        ),
        (
            "sbom",
            EMPTY,
            &[("application/spdx+json", "{\"spdxVersion\":\"SPDX-2.3\"}")],
            json!({ "artifactType": "application/spdx+json", "subject": subject }),
        ),
        (
            "annotations-only",
            EMPTY,
            &[EMPTY],
            json!({ "artifactType": "application/vnd.example.note", "annotations": { "note": "é" } }),
        ),
        (
            "encrypted",
            ("application/vnd.oci.image.config.v1+json", "{}"),
            &[("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "sealed")],
            json!({}),
        ),
    ];
    for (tag, (config_type, config), layers, more) in cases {
        let describe = |kind: &str, content: &str| json!({ "mediaType": kind, "digest": sha256(content.as_bytes()), "size": content.len() });
        for (_, content) in layers.iter().chain([&(config_type, config)]) {
            plane.push_blob("team/web", content.as_bytes()).await;
        }
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": describe(config_type, config),
            "layers": layers.iter().map(|(kind, content)| describe(kind, content)).collect::<Vec<_>>(),
        });
        manifest
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let manifest = manifest.to_string();
        let pushed = plane.put_manifest("team/web", tag, manifest.as_bytes()).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{tag}: {pushed}");
        // No client gets an artifact as a Docker image, whatever it takes.
        for accept in [MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST, "*/*"] {
            let get = Ask::get(&format!("/v2/team/web/manifests/{tag}"))
                .by("admin")
                .header(header::ACCEPT, accept);
            let pulled = plane.send(get).await;
            assert_eq!(
                (pulled.status, pulled.body),
                (StatusCode::OK, manifest.clone().into()),
                "{tag} {accept}"
            );
            assert_eq!(pulled.headers[header::CONTENT_TYPE], MediaType::OCI_MANIFEST);
        }
    }
    let referrers = plane.get(&format!("/v2/team/web/referrers/{image}")).await.json();
    let mut types: Vec<_> = referrers["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["artifactType"].as_str().unwrap())
        .collect();
    types.sort_unstable();
    assert_eq!(
        types,
        [
            "application/spdx+json",
            "application/vnd.cncf.notary.signature",
            "application/vnd.dev.sigstore.bundle.v0.3+json"
        ]
    );
}

#[tokio::test]
async fn oci_1_0_manifests_need_no_type_inside_and_data_stays() {
    let plane = Plane::new();
    let config = plane.push_blob("team/web", b"{}").await;
    // OCI 1.0 wrote no `mediaType`; 1.1 may carry small contents along.
    let descriptor =
        json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2, "data": "e30=" });
    let manifest = json!({ "schemaVersion": 2, "config": descriptor, "layers": [] }).to_string();
    let pushed = put(&plane, "v1", Some(MediaType::OCI_MANIFEST), manifest.as_bytes()).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{pushed}");
    assert_eq!(plane.get("/v2/team/web/manifests/v1").await.body, manifest);
    assert_eq!(
        put(&plane, "v2", None, manifest.as_bytes()).await.code(),
        "MANIFEST_INVALID"
    );
}

#[tokio::test]
async fn layers_that_need_not_be_here_may_be_elsewhere() {
    let plane = Plane::new();
    let config = plane.push_blob("team/web", b"{}").await;
    let elsewhere = sha256(b"elsewhere");
    let layer = |kind: &str| json!({ "mediaType": kind, "digest": elsewhere, "size": 9, "urls": ["https://example.com/layer"] });
    let docker = json!({
        "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
        "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "digest": config, "size": 2 },
        "layers": [layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")],
    });
    let oci = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")],
    });
    for manifest in [docker, oci] {
        let answer = plane
            .put_manifest("team/web", "v1", manifest.to_string().as_bytes())
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer}");
    }
}
