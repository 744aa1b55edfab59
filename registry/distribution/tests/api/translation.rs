// SPDX-License-Identifier: Apache-2.0
//! Pulling in another form than was pushed: by tag, as `Accept` says.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use hythe_blobs::delete_blob;
use hythe_model::{Digest, MediaType};
use serde_json::Value;

use crate::formats::{LAYERS, SIGNED, put};
use crate::support::{Answer, Ask, OWNER, Plane, sha256};

const SCHEMA2: &[u8] = include_bytes!("../../../formats/tests/fixtures/schema2.json");
const CONFIG: &[u8] = include_bytes!("../../../formats/tests/fixtures/config.json");
const OCI: &str = MediaType::OCI_MANIFEST;
const DOCKER: &str = MediaType::DOCKER_MANIFEST;
const JWS: &str = MediaType::DOCKER_SCHEMA1_SIGNED;
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A repository with the schema 2 image of the fixtures as `v1`.
async fn plane() -> Plane {
    let plane = Plane::new();
    for blob in LAYERS.into_iter().chain([CONFIG]) {
        plane.push_blob("team/web", blob).await;
    }
    let pushed = put(&plane, "v1", Some(DOCKER), SCHEMA2).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{pushed}");
    plane
}

fn get(reference: &str, accept: &[&str]) -> Ask {
    let mut ask = Ask::get(&format!("/v2/team/web/manifests/{reference}")).by("admin");
    for value in accept {
        ask.headers
            .append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
    }
    ask
}

/// What GET gives, after a look that HEAD says the same of it.
async fn pull(plane: &Plane, reference: &str, accept: &[&str]) -> Answer {
    let answer = plane.send(get(reference, accept)).await;
    let mut head = get(reference, accept);
    head.method = http::Method::HEAD;
    let head = plane.send(head).await;
    assert_eq!((head.status, &head.headers), (answer.status, &answer.headers));
    if answer.status == StatusCode::OK {
        assert_eq!(answer.header(&header::CONTENT_LENGTH), answer.body.len().to_string());
        let digest = sha256(&answer.body).to_string();
        assert_eq!(answer.header(&DOCKER_CONTENT_DIGEST), digest);
        assert_eq!(answer.header(&header::ETAG), format!("\"{digest}\""));
    }
    answer
}

fn value(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[tokio::test]
async fn accept_decides_on_the_form() {
    let plane = plane().await;
    let cases: [(&[&str], &str); 12] = [
        (&[], DOCKER),
        (&["*/*"], DOCKER),
        (&["application/json"], DOCKER),
        (&[OCI, DOCKER], DOCKER),
        (
            &["application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json;q=0.1"],
            DOCKER,
        ),
        (&[OCI], OCI),
        (&[MediaType::OCI_INDEX, OCI], OCI),
        (&["text/html, application/vnd.oci.image.manifest.v1+json;q=0.5"], OCI),
        (&["application/vnd.docker.distribution.manifest.v2+json;q=0, */*"], OCI),
        (&[JWS], JWS),
        (&[JWS, OCI], OCI),
        (&[MediaType::DOCKER_SCHEMA1], MediaType::DOCKER_SCHEMA1),
    ];
    for (accept, want) in cases {
        let answer = pull(&plane, "v1", accept).await;
        assert_eq!(answer.header(&header::CONTENT_TYPE), want, "{accept:?}");
        assert_eq!(answer.header(&header::VARY), "Accept, User-Agent");
        assert_eq!(
            value(&answer.body)["schemaVersion"],
            if want.contains(".v1+") && want != OCI { 1 } else { 2 }
        );
        assert_eq!(answer.body == SCHEMA2, want == DOCKER, "{accept:?}");
    }
    // By digest, the stored form is all there is.
    let digest = sha256(SCHEMA2).to_string();
    for accept in [OCI, JWS, "text/html"] {
        let answer = pull(&plane, &digest, &[accept]).await;
        assert_eq!(
            (answer.header(&header::CONTENT_TYPE).as_str(), &answer.body[..]),
            (DOCKER, SCHEMA2)
        );
        assert!(!answer.headers.contains_key(header::VARY));
    }
}

#[tokio::test]
async fn schema_2_and_oci_differ_in_media_types_alone() {
    let plane = plane().await;
    let oci = pull(&plane, "v1", &[OCI]).await;
    insta::assert_snapshot!("schema2_as_oci", oci);
    // And what was pushed as OCI comes as schema 2.
    let pushed = put(&plane, "oci", Some(OCI), &oci.body).await;
    assert_eq!(pushed.status, StatusCode::CREATED);
    let docker = pull(&plane, "oci", &[DOCKER, JWS]).await;
    assert_eq!(docker.header(&header::CONTENT_TYPE), DOCKER);
    assert_eq!(docker.header(&header::VARY), "Accept");
    assert_eq!(value(&docker.body), serde_json::from_slice::<Value>(SCHEMA2).unwrap());
    // Not to schema 1: ECR has no such translation.
    assert_eq!(pull(&plane, "oci", &[JWS]).await.body, oci.body);
}

#[tokio::test]
async fn a_digest_that_was_given_out_leads_back() {
    let plane = plane().await;
    for accept in [OCI, JWS, MediaType::DOCKER_SCHEMA1] {
        let by_tag = plane.send(get("v1", &[accept])).await;
        let digest = by_tag.header(&DOCKER_CONTENT_DIGEST);
        // Whatever it accepts now.
        let by_digest = pull(&plane, &digest, &[DOCKER]).await;
        assert_eq!((by_digest.status, &by_digest.body), (StatusCode::OK, &by_tag.body));
        assert_eq!(by_digest.header(&header::CONTENT_TYPE), accept);
        // Only there, and only for those who may.
        let elsewhere = Ask::get(&format!("/v2/team/other/manifests/{digest}")).by("admin");
        assert_eq!(plane.send(elsewhere).await.status, StatusCode::NOT_FOUND);
        let stranger = Ask::get(&format!("/v2/team/web/manifests/{digest}")).by("stranger");
        assert_eq!(plane.send(stranger).await.status, StatusCode::FORBIDDEN);
    }
    // It is as gone as its image.
    let digest = plane.send(get("v1", &[OCI])).await.header(&DOCKER_CONTENT_DIGEST);
    let delete = Ask::delete(&format!("/v2/team/web/manifests/{}", sha256(SCHEMA2))).by("admin");
    assert_eq!(plane.send(delete).await.status, StatusCode::ACCEPTED);
    assert_eq!(plane.send(get(&digest, &[OCI])).await.code(), "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn translations_are_the_same_everywhere() {
    let (one, other) = (plane().await, plane().await);
    for accept in [OCI, MediaType::DOCKER_SCHEMA1] {
        assert_eq!(
            pull(&one, "v1", &[accept]).await.body,
            pull(&other, "v1", &[accept]).await.body
        );
    }
    // Signed schema 1 has the key of the process in it, and is the same for that.
    let signed = pull(&one, "v1", &[JWS]).await.body;
    assert_eq!(pull(&one, "v1", &[JWS]).await.body, signed);
    assert_eq!(hythe_formats::verify(&signed, true), Ok(1));
}

#[tokio::test]
async fn what_the_client_has_in_this_form_is_not_sent_again() {
    let plane = plane().await;
    let tag = pull(&plane, "v1", &[OCI]).await.header(&header::ETAG);
    let cached = plane.send(get("v1", &[OCI]).header(header::IF_NONE_MATCH, &tag)).await;
    insta::assert_snapshot!("translated_not_modified", cached);
    let other = plane
        .send(get("v1", &[DOCKER]).header(header::IF_NONE_MATCH, &tag))
        .await;
    assert_eq!((other.status, &other.body[..]), (StatusCode::OK, SCHEMA2));
}

#[tokio::test]
async fn old_engines_get_schema_1_with_all_its_layers() {
    let plane = plane().await;
    let old = get("v1", &[]).header(header::USER_AGENT, "docker/1.9.1 go/go1.4.3 os/linux arch/amd64");
    let answer = plane.send(old).await;
    assert_eq!(answer.header(&header::CONTENT_TYPE), JWS);
    let manifest = value(&answer.body);
    assert_eq!(
        (&manifest["name"], &manifest["tag"]),
        (&"team/web".into(), &"v1".into())
    );
    // The layers and the ids that a Docker registry gives.
    let theirs: Value = serde_json::from_slice(SIGNED).unwrap();
    assert_eq!(manifest["fsLayers"], theirs["fsLayers"]);
    for layer in manifest["fsLayers"].as_array().unwrap() {
        let digest: Digest = layer["blobSum"].as_str().unwrap().parse().unwrap();
        for ask in [Ask::head, Ask::get] {
            let blob = plane
                .send(ask(&format!("/v2/team/web/blobs/{digest}")).by("puller"))
                .await;
            assert_eq!(blob.status, StatusCode::OK, "{digest}");
            assert!(blob.body.is_empty() || sha256(&blob.body) == digest);
        }
    }
    // What was made can be pushed: it is valid in every respect.
    let pushed = put(&plane, "again", Some(JWS), &answer.body).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{pushed}");
    assert_eq!(pull(&plane, "again", &[DOCKER]).await.body, answer.body);
}

#[tokio::test]
async fn a_large_configuration_is_read_from_the_blob_store() {
    let plane = plane().await;
    let mut config: Value = serde_json::from_slice(CONFIG).unwrap();
    config["config"]["Labels"]["long"] = "x".repeat(200_000).into();
    let config = config.to_string();
    let digest = plane.push_blob("team/web", config.as_bytes()).await;
    let mut manifest: Value = serde_json::from_slice(SCHEMA2).unwrap();
    manifest["config"]["digest"] = digest.to_string().into();
    manifest["config"]["size"] = config.len().into();
    let manifest = manifest.to_string();
    assert_eq!(
        put(&plane, "large", Some(DOCKER), manifest.as_bytes()).await.status,
        StatusCode::CREATED
    );
    let answer = pull(&plane, "large", &[JWS]).await;
    assert_eq!(answer.header(&header::CONTENT_TYPE), JWS);
    assert!(answer.body.len() > 200_000);
    // Without its bytes, that is a failure of ours.
    delete_blob(&*plane.blobs, &digest).await.unwrap();
    assert_eq!(
        plane.send(get("large", &[JWS])).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert_eq!(plane.send(get("large", &[DOCKER])).await.body, manifest);
}

#[tokio::test]
async fn what_has_no_other_form_is_served_as_it_is() {
    let plane = plane().await;
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::DOCKER_LIST,
        "manifests": [{ "mediaType": DOCKER, "digest": sha256(SCHEMA2), "size": SCHEMA2.len() }],
    });
    let index = index.to_string();
    let zstd = String::from_utf8(pull(&plane, "v1", &[OCI]).await.body.to_vec())
        .unwrap()
        .replace("tar+gzip", "tar+zstd");
    // Two images whose configuration is none: nothing to make a history of.
    let bare = String::from_utf8(SCHEMA2.to_vec())
        .unwrap()
        .replace(&sha256(CONFIG).to_string(), &sha256(LAYERS[0]).to_string());
    plane.push_blob("team/web", hythe_formats::EMPTY_LAYER).await;
    let cases = [
        ("a list", MediaType::DOCKER_LIST, index.as_str(), &[OCI, DOCKER][..]),
        ("zstd layers", OCI, &zstd, &[DOCKER, JWS]),
        ("no history", DOCKER, &bare, &[JWS]),
        ("schema 1", JWS, std::str::from_utf8(SIGNED).unwrap(), &[DOCKER, OCI]),
    ];
    for (what, media_type, manifest, accept) in cases {
        let pushed = put(&plane, "it", Some(media_type), manifest.as_bytes()).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{what}: {pushed}");
        let answer = pull(&plane, "it", accept).await;
        assert_eq!(answer.header(&header::CONTENT_TYPE), media_type, "{what}");
        assert_eq!(answer.body, manifest, "{what}");
    }
}

#[tokio::test]
async fn translations_are_counted() {
    let plane = plane().await;
    plane.send(get("v1", &[OCI])).await;
    plane.send(get("v1", &[DOCKER])).await;
    let text = plane.metrics_text();
    assert!(text.contains("hythe_registry_manifests_translated_total 1"), "{text}");
}

#[tokio::test]
async fn a_read_manifest_is_a_pull_of_what_is_stored() {
    let plane = plane().await;
    assert_eq!(plane.pulls.take(), [], "a push is no pull");
    let stored = sha256(SCHEMA2);
    let pulled = |by: &str| (by.to_owned(), format!("{OWNER}/team/web"), stored);
    let root = format!("arn:aws:iam::{OWNER}:root");
    let translated = plane.send(get("v1", &[OCI])).await.header(&DOCKER_CONTENT_DIGEST);
    assert_ne!(translated, stored.to_string());
    for reference in ["v1", &stored.to_string(), &translated] {
        let answer = plane.send(get(reference, &[DOCKER])).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(plane.pulls.take(), vec![pulled(&root); 4]);
    // The client has the bytes and uses them.
    let cached = get("v1", &[DOCKER]).header(header::IF_NONE_MATCH, &format!("\"{stored}\""));
    assert_eq!(plane.send(cached).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(plane.pulls.take(), [pulled(&root)]);

    let mut head = get("v1", &[DOCKER]);
    head.method = http::Method::HEAD;
    assert_eq!(plane.send(head).await.status, StatusCode::OK);
    assert_eq!(plane.send(get("v9", &[DOCKER])).await.status, StatusCode::NOT_FOUND);
    let refused = plane.send(get("v1", &[DOCKER]).by("stranger")).await;
    assert!(refused.status.is_client_error(), "{refused}");
    assert_eq!(plane.pulls.take(), []);
}
