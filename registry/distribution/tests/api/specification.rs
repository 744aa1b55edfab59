// SPDX-License-Identifier: Apache-2.0
//! Sentences of the OCI Distribution Specification 1.1 with MUST and SHOULD that no other test shows.

use http::{HeaderName, Method, StatusCode, header};
use hythe_distribution::routes;

use crate::support::{Ask, Plane, content, sha256};

#[tokio::test]
async fn every_answer_says_which_api_it_is_of() {
    let plane = Plane::new();
    for ask in [
        Ask::get("/v2/"),
        Ask::get("/v2/").by("admin"),
        Ask::get("/nowhere"),
        Ask::get("/token").by("admin"),
    ] {
        let answer = plane.send(ask).await;
        assert_eq!(
            answer.header(&HeaderName::from_static("docker-distribution-api-version")),
            "registry/2.0"
        );
        assert_eq!(answer.header(&header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    }
}

#[tokio::test]
async fn errors_are_documents_and_head_has_none() {
    let plane = Plane::new();
    // Referrers are never 404.
    let can_fail = |template: &str| template.contains("<name>") && !template.contains("referrers");
    for route in routes().iter().filter(|route| can_fail(route.template)) {
        let sha = sha256(b"none").to_string();
        let path = route
            .template
            .replace("<name>", "team/none")
            .replace("<digest>", &sha)
            .replace("<reference>", "v1");
        let path = path.replace("<id>", "01234567-89ab-7def-8123-456789abcdef");
        let answer = plane
            .send(
                Ask::new(route.method.clone(), &format!("{path}?digest={sha}"))
                    .by("admin")
                    .body("{}"),
            )
            .await;
        assert!(answer.status.is_client_error(), "{} {path}: {answer}", route.method);
        if route.method == Method::HEAD {
            assert!(answer.body.is_empty());
        } else {
            assert_eq!(answer.header(&header::CONTENT_TYPE), "application/json");
            assert!(
                !answer.code().is_empty() && answer.json()["errors"][0]["message"].is_string(),
                "{answer}"
            );
        }
    }
}

/// "A GET request to an existing blob or manifest URL MUST provide the expected blob or manifest, with a response
/// code that MUST be `200 OK`"; the same for the `Location` of a push.
#[tokio::test]
async fn locations_lead_to_what_was_pushed() {
    let plane = Plane::new();
    let blob = content(70_000);
    let digest = sha256(&blob);
    let post = Ask::post(&format!("/v2/team/web/blobs/uploads/?digest={digest}"))
        .by("admin")
        .body(blob.clone());
    let location = plane.send(post).await.header(&header::LOCATION);
    assert!(plane.get(&location).await.body == blob);
    let (manifest, _) = plane.push_image("team/web", "v1", "hello").await;
    let location = plane
        .put_manifest("team/web", "v2", &manifest)
        .await
        .header(&header::LOCATION);
    assert!(plane.get(&location).await.body == manifest);
}

/// "The process remains unchanged for chunked upload, except that the post request MUST include `Content-Length: 0`";
/// "the registry SHOULD provide `OCI-Chunk-Min-Length`" where it has one.
#[tokio::test]
async fn a_session_starts_with_its_headers() {
    let plane = Plane::new();
    let answer = plane.send(Ask::post("/v2/team/web/blobs/uploads/").by("admin")).await;
    insta::assert_snapshot!("upload_begin", answer);
    let id = answer.header(&HeaderName::from_static("docker-upload-uuid"));
    assert!(answer.header(&header::LOCATION).ends_with(&id));
}

/// "If the blob is not found in the registry, the response code MUST be `404 Not Found`"; the same for a
/// manifest, whatever the reference looks like.
#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let plane = Plane::new();
    let sha = sha256(b"none");
    for path in [
        format!("blobs/{sha}"),
        format!("manifests/{sha}"),
        "manifests/none".into(),
        "manifests/.INVALID".into(),
    ] {
        for ask in [
            Ask::get(&format!("/v2/team/web/{path}")),
            Ask::head(&format!("/v2/team/web/{path}")),
        ] {
            assert_eq!(
                plane.send(ask.by("admin")).await.status,
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }
}

/// "Deleting tags": "the registry MUST respond with `202 Accepted`", and the digest of other tags stays readable.
#[tokio::test]
async fn deleting_a_tag_keeps_the_others() {
    let plane = Plane::new();
    let (manifest, digest) = plane.push_image("team/web", "v1", "hello").await;
    plane.put_manifest("team/web", "v2", &manifest).await;
    let deleted = plane.send(Ask::delete("/v2/team/web/manifests/v1").by("admin")).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    assert_eq!(
        plane.get("/v2/team/web/manifests/v1").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(plane.get("/v2/team/web/manifests/v2").await.status, StatusCode::OK);
    let deleted = plane
        .send(Ask::delete(&format!("/v2/team/web/manifests/{digest}")).by("admin"))
        .await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    assert_eq!(
        plane.get("/v2/team/web/manifests/v2").await.status,
        StatusCode::NOT_FOUND
    );
}

/// "Out of order chunks": "the response MUST be `416`", and the upload's location and range tell how to go on.
#[tokio::test]
async fn an_out_of_order_chunk_tells_where_to_go_on() {
    let plane = Plane::new();
    let location = plane.begin("team/web").await;
    plane.send(Ask::patch(&location).by("admin").body("0123")).await;
    let answer = plane
        .send(
            Ask::patch(&location)
                .by("admin")
                .header(header::CONTENT_RANGE, "9-9")
                .body("x"),
        )
        .await;
    assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        (answer.header(&header::LOCATION), answer.header(&header::RANGE)),
        (location, "0-3".into())
    );
}
