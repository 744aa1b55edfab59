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
        for range in ["bytes=0-1,x", "pages=1-2"] {
            let answer = plane
                .send(Ask::get(&path).by("admin").header(header::RANGE, range))
                .await;
            assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, size), "{range}");
        }
        let many: Vec<String> = (0..33).map(|n| format!("{n}-{n}")).collect();
        let many = format!("bytes={}", many.join(","));
        for range in ["bytes=700000-", "bytes=5-4", "bytes=0-1,5-4", "bytes=-0", &many] {
            let answer = plane
                .send(Ask::get(&path).by("admin").header(header::RANGE, range))
                .await;
            assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
            assert_eq!(answer.header(&header::CONTENT_RANGE), format!("bytes */{size}"));
        }
        // A HEAD has no ranges (RFC 9110, section 14.2).
        let head = Ask::head(&path).by("admin").header(header::RANGE, "bytes=0-1,500-501");
        let head = plane.send(head).await;
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.header(&header::CONTENT_LENGTH), size.to_string());
    }
}

#[tokio::test]
async fn several_parts_come_in_one_answer() {
    let plane = Plane::new();
    let small = plane.push_blob("team/web", &content(1000)).await;
    let get = Ask::get(&format!("/v2/team/web/blobs/{small}")).by("admin");
    let answer = plane.send(get.header(header::RANGE, "bytes=0-9, 500-509")).await;
    assert_eq!(answer.header(&header::CONTENT_LENGTH), answer.body.len().to_string());
    let large_content = content(700_000);
    let large = plane.push_blob("team/web", &large_content).await;
    let get = || Ask::get(&format!("/v2/team/web/blobs/{large}")).by("admin");
    // In the order in which they were asked for; what overlaps is joined.
    for (range, parts) in [
        (
            "bytes=300000-699999,0-99,1000-1000",
            vec![300_000..700_000, 0..100, 1000..1001],
        ),
        ("bytes=0-99,-10,50-199", vec![0..200, 699_990..700_000]),
    ] {
        let answer = plane.send(get().header(header::RANGE, range)).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(answer.header(&header::CONTENT_LENGTH), answer.body.len().to_string());
        let media_type = answer.header(&header::CONTENT_TYPE);
        let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let mut want = Vec::new();
        for part in parts {
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {}-{}/700000\r\n\r\n",
                part.start,
                part.end - 1
            );
            want.extend_from_slice(head.as_bytes());
            want.extend_from_slice(&large_content[part]);
        }
        want.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(answer.body == want, "{range}");
    }
    // For another version, the whole.
    let other = get()
        .header(header::RANGE, "bytes=0-1,500-501")
        .header(header::IF_RANGE, "\"other\"");
    assert_eq!(plane.send(other).await.status, StatusCode::OK);
    let weak = get()
        .header(header::RANGE, "bytes=0-1")
        .header(header::IF_RANGE, &format!("W/\"{large}\""));
    assert_eq!(plane.send(weak).await.status, StatusCode::OK);
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
    use hythe_blobs::delete_blob;
    let plane = Plane::new();
    let digest = plane.push_blob("team/web", &content(100_000)).await;
    delete_blob(&*plane.blobs, &digest).await.unwrap();
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
