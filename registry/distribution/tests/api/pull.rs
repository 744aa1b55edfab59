// SPDX-License-Identifier: Apache-2.0
//! Pulling: whole and partial blobs, conditional requests, HEAD.

use http::{StatusCode, header};

use crate::support::{Ask, Plane, content};

#[tokio::test]
async fn a_blob_is_described() {
    let plane = Plane::new();
    let digest = plane.push_blob("team/web", b"hello").await;
    let path = format!("/v2/team/web/blobs/{digest}");
    insta::assert_snapshot!("blob_get", plane.get(&path).await);
    let head = plane.send(Ask::head(&path).by("admin")).await;
    assert_eq!(head.header(&header::CONTENT_LENGTH), "5");
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn parts_of_blobs_are_read_from_memory_and_from_disk() {
    let plane = Plane::new();
    for size in [1000, 700_000] {
        let content = content(size);
        let digest = plane.push_blob("team/web", &content).await;
        let path = format!("/v2/team/web/blobs/{digest}");
        for (range, start, end) in [
            ("bytes=0-0", 0, 1),
            ("bytes=10-99", 10, 100),
            ("bytes=500-", 500, size),
            ("bytes=-7", size - 7, size),
            ("bytes=900-99999999", 900, size),
        ] {
            let answer = plane
                .send(Ask::get(&path).by("admin").header(header::RANGE, range))
                .await;
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
            assert!(answer.body == content[start..end], "{range}");
            assert_eq!(
                answer.header(&header::CONTENT_RANGE),
                format!("bytes {start}-{}/{size}", end - 1)
            );
            assert_eq!(answer.header(&header::CONTENT_LENGTH), (end - start).to_string());
        }
        for range in ["bytes=0-1,5-6", "bytes=5-4", "pages=1-2"] {
            let answer = plane
                .send(Ask::get(&path).by("admin").header(header::RANGE, range))
                .await;
            assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, size), "{range}");
        }
        let beyond = plane
            .send(Ask::get(&path).by("admin").header(header::RANGE, "bytes=700000-"))
            .await;
        assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(beyond.header(&header::CONTENT_RANGE), format!("bytes */{size}"));
    }
}

#[tokio::test]
async fn a_range_for_another_version_is_void() {
    let plane = Plane::new();
    let digest = plane.push_blob("team/web", b"hello").await;
    let ranged = |tag: &str| {
        let get = Ask::get(&format!("/v2/team/web/blobs/{digest}")).by("admin");
        get.header(header::RANGE, "bytes=1-2").header(header::IF_RANGE, tag)
    };
    assert_eq!(plane.send(ranged(&format!("\"{digest}\""))).await.body, "el");
    assert_eq!(plane.send(ranged("\"other\"")).await.body, "hello");
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let plane = Plane::new();
    let (_, digest) = plane.push_image("team/web", "v1", "hello").await;
    let layer = plane.push_blob("team/web", b"hello").await;
    for (path, digest) in [("manifests/v1".to_owned(), digest), (format!("blobs/{layer}"), layer)] {
        let path = format!("/v2/team/web/{path}");
        for (tag, is_same) in [
            (format!("\"{digest}\""), true),
            (format!("\"x\", W/\"{digest}\""), true),
            ("*".into(), true),
            ("\"x\"".into(), false),
        ] {
            for ask in [Ask::get(&path), Ask::head(&path)] {
                let answer = plane.send(ask.by("admin").header(header::IF_NONE_MATCH, &tag)).await;
                let want = if is_same {
                    StatusCode::NOT_MODIFIED
                } else {
                    StatusCode::OK
                };
                assert_eq!(answer.status, want, "{path} {tag}");
                assert_eq!(answer.header(&header::ETAG), format!("\"{digest}\""));
                assert!(!is_same || answer.body.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_manifest_is_described() {
    let plane = Plane::new();
    plane.push_image("team/web", "v1", "hello").await;
    insta::assert_snapshot!("manifest_get", plane.get("/v2/team/web/manifests/v1").await);
    let head = plane.send(Ask::head("/v2/team/web/manifests/v1").by("admin")).await;
    insta::assert_snapshot!("manifest_head", head);
}

#[tokio::test]
async fn accept_is_taken_leniently() {
    let plane = Plane::new();
    plane.push_image("team/web", "v1", "hello").await;
    for accept in [
        "application/json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "*/*",
        "nonsense",
    ] {
        let get = Ask::get("/v2/team/web/manifests/v1")
            .by("admin")
            .header(header::ACCEPT, accept);
        assert_eq!(plane.send(get).await.status, StatusCode::OK, "{accept}");
    }
}

#[tokio::test]
async fn a_blob_without_its_bytes_is_a_failure_of_ours_not_a_wrong_answer() {
    use hythe_blobs::BlobStore as _;
    let plane = Plane::new();
    let digest = plane.push_blob("team/web", &content(100_000)).await;
    plane.blobs.delete(&digest).await.unwrap();
    insta::assert_snapshot!(
        "blob_without_bytes",
        plane.get(&format!("/v2/team/web/blobs/{digest}")).await
    );
}

#[tokio::test]
async fn what_happened_is_counted() {
    let plane = Plane::new();
    plane.push_image("team/web", "v1", "hello").await;
    plane.get("/v2/team/web/manifests/v1").await;
    plane.send(Ask::get("/v2/team/web/manifests/v1").by("stranger")).await;
    plane.get("/nowhere").await;
    let text = plane.metrics_text();
    for line in [
        "hythe_registry_pushes_total 1",
        "hythe_registry_pulls_total 1",
        "hythe_registry_blobs_received_total 2",
        "hythe_registry_active_uploads 0",
        "hythe_registry_active_requests 0",
        "hythe_registry_denied_total{action=\"ecr:BatchGetImage\"} 1",
        "hythe_registry_requests_total{method=\"GET\",route=\"/v2/<name>/manifests/<reference>\",status=\"200\"} 1",
        "hythe_registry_requests_total{method=\"GET\",route=\"/v2/<name>/manifests/<reference>\",status=\"403\"} 1",
        "hythe_registry_requests_total{method=\"GET\",route=\"unknown\",status=\"404\"} 1",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}
