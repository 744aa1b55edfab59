// SPDX-License-Identifier: Apache-2.0
//! What bad input gets: one table, which is also the reference of messages.

use std::fmt::Write as _;
use std::time::Duration;

use http::{StatusCode, header};
use hythe_model::MediaType;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Plane, content, image, sha256};

/// Each case and its answer. The plane has a short patience and a small limit for blobs.
#[expect(clippy::too_many_lines, reason = "one table")]
async fn table(plane: &Plane) -> Vec<(&'static str, Answer)> {
    let (manifest, digest) = plane.push_image("team/web", "v1", "hello").await;
    let (fixed, _) = plane.push_image("fixed/web", "v1", "hello").await;
    let absent = sha256(b"absent");
    let blob = sha256(b"hello");
    let location = plane.begin("team/web").await;
    plane.send(Ask::patch(&location).by("admin").body("0123456789")).await;
    let oci = |ask: Ask| ask.by("admin").header(header::CONTENT_TYPE, MediaType::OCI_MANIFEST);
    let put = |reference: &str, body: Vec<u8>| oci(Ask::put(&format!("/v2/team/web/manifests/{reference}"))).body(body);
    let edited = |key: &str, value: Value| {
        let mut manifest: Value = serde_json::from_slice(&manifest).unwrap();
        manifest[key] = value;
        serde_json::to_vec(&manifest).unwrap()
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX,
        "manifests": [{ "mediaType": MediaType::OCI_MANIFEST, "digest": absent, "size": 2 }],
    });
    let index_of_present = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX,
        "manifests": [{ "mediaType": MediaType::OCI_MANIFEST, "digest": digest, "size": 2 }],
    });
    plane
        .put_manifest("team/web", "index", &serde_json::to_vec(&index_of_present).unwrap())
        .await;
    let uploads = "/v2/team/web/blobs/uploads/";
    let cases: Vec<(&'static str, Ask)> = vec![
        ("no credentials", Ask::get("/v2/team/web/manifests/v1")),
        ("wrong password", Ask::get("/v2/").basic("admin", "wrong")),
        (
            "garbled credentials",
            Ask::get("/v2/").header(header::AUTHORIZATION, "Basic ???"),
        ),
        ("expired token as password", Ask::get("/v2/").basic("AWS", "expired")),
        ("revoked token as password", Ask::get("/v2/").basic("AWS", "revoked")),
        ("inactive key", Ask::get("/v2/").basic("AWS", "inactive")),
        (
            "expired bearer token",
            Ask::get("/v2/team/web/manifests/v1").bearer("expired"),
        ),
        (
            "revoked bearer token",
            Ask::get("/v2/team/web/manifests/v1").bearer("revoked"),
        ),
        ("no permission", Ask::get("/v2/team/web/manifests/v1").by("stranger")),
        ("unknown route", Ask::get("/v2/team/web/unknown").by("admin")),
        (
            "unknown method",
            Ask::delete(&format!("/v2/team/web/blobs/{blob}")).by("admin"),
        ),
        (
            "unknown repository, pull",
            Ask::get("/v2/team/none/manifests/v1").by("admin"),
        ),
        (
            "unknown repository, push",
            Ask::post("/v2/team/none/blobs/uploads/").by("admin"),
        ),
        (
            "unknown repository, tags",
            Ask::get("/v2/team/none/tags/list").by("admin"),
        ),
        (
            "unknown repository, delete of a blob",
            Ask::delete(&format!("/v2/team/none/blobs/{blob}")).by("admin"),
        ),
        (
            "blob that an image needs, delete",
            Ask::delete(&format!("/v2/team/web/blobs/{blob}")).by("admin"),
        ),
        (
            "unknown repository, delete",
            Ask::delete("/v2/team/none/manifests/v1").by("admin"),
        ),
        (
            "unknown repository, manifest",
            oci(Ask::put("/v2/team/none/manifests/v1")).body(manifest.clone()),
        ),
        (
            "name against the grammar",
            Ask::get("/v2/Team/web/tags/list").by("admin"),
        ),
        (
            "name too long",
            Ask::get(&format!("/v2/{}/tags/list", "a".repeat(257))).by("admin"),
        ),
        (
            "tag against the grammar, pull",
            Ask::get("/v2/team/web/manifests/-v1").by("admin"),
        ),
        ("tag against the grammar, push", put("-v1", manifest.clone())),
        (
            "tag parameter against the grammar",
            put(&format!("{digest}?tag=-v1"), manifest.clone()),
        ),
        ("tag parameter beside a tag", put("v1?tag=v2", manifest.clone())),
        (
            "too many tag parameters",
            put(&format!("{digest}?{}", "tag=v1&".repeat(101)), manifest.clone()),
        ),
        ("unknown tag", Ask::get("/v2/team/web/manifests/none").by("admin")),
        (
            "unknown manifest",
            Ask::get(&format!("/v2/team/web/manifests/{absent}")).by("admin"),
        ),
        (
            "unknown tag, delete",
            Ask::delete("/v2/team/web/manifests/none").by("admin"),
        ),
        (
            "unknown blob",
            Ask::get(&format!("/v2/team/web/blobs/{absent}")).by("admin"),
        ),
        (
            "unknown blob, HEAD",
            Ask::head(&format!("/v2/team/web/blobs/{absent}")).by("admin"),
        ),
        (
            "malformed digest, blob",
            Ask::get("/v2/team/web/blobs/sha256:12").by("admin"),
        ),
        (
            "malformed digest, manifest",
            Ask::get("/v2/team/web/manifests/md5:12").by("admin"),
        ),
        (
            "malformed digest, referrers",
            Ask::get("/v2/team/web/referrers/v1").by("admin"),
        ),
        (
            "malformed digest, mount",
            Ask::post(&format!("{uploads}?mount=x")).by("admin"),
        ),
        (
            "unknown algorithm",
            Ask::post(&format!("{uploads}?digest-algorithm=md5")).by("admin"),
        ),
        ("page size", Ask::get("/v2/team/web/tags/list?n=-1").by("admin")),
        ("catalog page", Ask::get("/v2/_catalog?last=%2F").by("admin")),
        (
            "unknown upload",
            Ask::put(&format!("{uploads}01234567-89ab-7def-8123-456789abcdef?digest={blob}")).by("admin"),
        ),
        ("upload that is no UUID", Ask::get(&format!("{uploads}7")).by("admin")),
        ("digest absent", Ask::put(&location).by("admin").body("x")),
        (
            "digest does not match",
            Ask::put(&format!("{location}?digest={absent}")).by("admin").body("x"),
        ),
        (
            "digest does not match, one request",
            Ask::post(&format!("{uploads}?digest={absent}")).by("admin").body("x"),
        ),
        (
            "chunk that leaves a gap",
            Ask::patch(&location)
                .by("admin")
                .header(header::CONTENT_RANGE, "20-21")
                .body("ab"),
        ),
        (
            "chunk that comes again",
            Ask::patch(&location)
                .by("admin")
                .header(header::CONTENT_RANGE, "0-1")
                .body("ab"),
        ),
        (
            "last chunk out of order",
            Ask::put(&format!("{location}?digest={blob}"))
                .by("admin")
                .header(header::CONTENT_RANGE, "20-21")
                .body("ab"),
        ),
        (
            "malformed chunk range",
            Ask::patch(&location)
                .by("admin")
                .header(header::CONTENT_RANGE, "x")
                .body("ab"),
        ),
        (
            "chunk range and length differ",
            Ask::patch(&location)
                .by("admin")
                .header(header::CONTENT_RANGE, "10-19")
                .body("ab"),
        ),
        ("truncated upload", Ask::patch(&location).by("admin").broken_body("abc")),
        (
            "shorter than said",
            Ask {
                body: "de".into(),
                ..Ask::patch(&location).by("admin").header(header::CONTENT_LENGTH, "9")
            },
        ),
        (
            "truncated upload, one request",
            Ask::post(&format!("{uploads}?digest={blob}"))
                .by("admin")
                .broken_body("hel"),
        ),
        (
            "body that stalls",
            Ask::patch(&location).by("admin").stalled_body("fgh"),
        ),
        (
            "manifest that stalls",
            oci(Ask::put("/v2/team/web/manifests/v2")).stalled_body("{"),
        ),
        (
            "manifest that breaks off",
            oci(Ask::put("/v2/team/web/manifests/v2")).broken_body("{"),
        ),
        (
            "blob too large, by its length",
            Ask::patch(&location)
                .by("admin")
                .header(header::CONTENT_LENGTH, "999999999999"),
        ),
        (
            "blob too large",
            Ask {
                headers: Ask::get("/").by("admin").headers,
                ..Ask::patch(&location).body(content(400_000))
            },
        ),
        ("manifest of 5 MiB", put("v2", vec![b' '; 5 * 1024 * 1024])),
        (
            "manifest of 5 MiB, length unsaid",
            oci(Ask {
                body: vec![b' '; 5 * 1024 * 1024].into(),
                ..Ask::put("/v2/team/web/manifests/v2")
            }),
        ),
        ("manifest that is no JSON", put("v2", b"{".to_vec())),
        ("manifest without layers", put("v2", edited("layers", Value::Null))),
        (
            "manifest of another version",
            put("v2", edited("schemaVersion", json!(1))),
        ),
        (
            "media types differ",
            put("v2", edited("mediaType", json!(MediaType::OCI_INDEX))),
        ),
        ("manifest that names absent blobs", put("v2", image(&absent, &blob, 5))),
        (
            "index that names absent manifests",
            Ask::put("/v2/team/web/manifests/v2")
                .by("admin")
                .header(header::CONTENT_TYPE, MediaType::OCI_INDEX)
                .body(index.to_string()),
        ),
        (
            "manifest under another digest",
            put(&absent.to_string(), manifest.clone()),
        ),
        ("immutable tag", oci(Ask::put("/v2/fixed/web/manifests/v1")).body(fixed)),
        (
            "image that an index lists",
            Ask::delete(&format!("/v2/team/web/manifests/{digest}")).by("admin"),
        ),
        (
            "range beyond the end",
            Ask::get(&format!("/v2/team/web/blobs/{blob}"))
                .by("admin")
                .header(header::RANGE, "bytes=5-"),
        ),
        (
            "token with a wrong password",
            Ask::get("/token?scope=repository:team/web:pull").basic("admin", "wrong"),
        ),
        (
            "token with an expired password",
            Ask::get("/token").basic("AWS", "expired"),
        ),
        (
            "token form without a grant",
            Ask::post("/token").body("scope=repository:team/web:pull"),
        ),
        (
            "token form that is too large",
            Ask::post("/token").body("x".repeat(70_000)),
        ),
        (
            "too many scopes",
            Ask::get(&format!("/token?scope={}", "a+".repeat(101))).by("admin"),
        ),
    ];
    let mut answers = Vec::new();
    for (what, ask) in cases {
        answers.push((what, plane.send(ask).await));
    }
    answers
}

#[tokio::test]
async fn bad_input_gets_a_code_and_a_message_that_helps() {
    let plane = Plane::with(|config| {
        config.limits.body_stall_timeout = Duration::from_millis(80);
        config.limits.max_blob_bytes = 300_000;
    });
    let mut text = String::new();
    for (what, answer) in table(&plane).await {
        assert!(answer.status.is_client_error(), "{what}: {answer}");
        writeln!(text, "## {what}\n{answer}\n").unwrap();
    }
    insta::assert_snapshot!("bad_input", text);
    // None of it is to be seen.
    assert_eq!(
        plane.get("/v2/team/web/tags/list").await.json()["tags"],
        json!(["index", "v1"])
    );
    assert_eq!(
        plane.get("/v2/team/web/manifests/v2").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(plane.files(), Plane::new().files());
}
