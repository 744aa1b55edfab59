// SPDX-License-Identifier: Apache-2.0
//! Bounds: what waits, for how long, and what happens to those who come too many.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt as _, StreamExt as _};
use http::{StatusCode, header};
use hythe_model::MediaType;
use tokio::task::JoinSet;

use crate::support::{Ask, Plane, content, sha256};

/// A body that sends what it is told to.
fn fed_body() -> (mpsc::Sender<io::Result<Bytes>>, Body) {
    let (feed, body) = mpsc::channel(1);
    (feed, Body::from_stream(body))
}

#[tokio::test]
async fn a_session_has_one_writer() {
    let plane = Arc::new(Plane::new());
    let location = plane.begin("team/web").await;
    let (mut feed, body) = fed_body();
    let mut tasks = JoinSet::new();
    let first = Ask {
        body,
        ..Ask::patch(&location).by("admin")
    };
    let shared = Arc::clone(&plane);
    tasks.spawn(async move { shared.send(first).await });
    feed.send(Ok(Bytes::from_static(b"abc"))).await.unwrap();
    feed.send(Ok(Bytes::from_static(b"def"))).await.unwrap(); // the first chunk is out of the channel now
    for ask in [
        Ask::patch(&location).body("x"),
        Ask::put(&format!("{location}?digest={}", sha256(b"x"))).body("x"),
        Ask::delete(&location),
    ] {
        let answer = plane.send(ask.by("admin")).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert_eq!(answer.header(&header::RETRY_AFTER), "1");
        assert_eq!(answer.header(&header::LOCATION), location);
    }
    drop(feed);
    assert_eq!(tasks.join_next().await.unwrap().unwrap().status, StatusCode::ACCEPTED);
    let done = plane
        .send(Ask::put(&format!("{location}?digest={}", sha256(b"abcdef"))).by("admin"))
        .await;
    assert_eq!(done.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_session_that_goes_on() {
    let plane = Plane::new();
    let bytes = content(300_000);
    for already in [0, 1000, 100_000] {
        let location = plane.begin("team/web").await;
        if already > 0 {
            plane
                .send(Ask::patch(&location).by("admin").body(bytes[..already].to_vec()))
                .await;
        }
        // The request is dropped in the middle of its body.
        let (mut feed, body) = fed_body();
        let patch = Ask {
            body,
            ..Ask::patch(&location).by("admin")
        };
        let feeding = async {
            feed.send(Ok(Bytes::copy_from_slice(&bytes[already..200_000])))
                .await
                .unwrap();
            feed.send(Ok(Bytes::new())).await.unwrap();
            feed.send(Ok(Bytes::new())).await.unwrap();
        };
        tokio::select! {
            answer = plane.send(patch) => panic!("{answer}"),
            () = feeding => {}
        }
        drop(feed);
        // Whatever is still being written by then is waited out.
        let mut status = plane.get(&location).await;
        let range = format!("0-{}", already.max(1) - 1);
        for _ in 0..200 {
            if status.status == StatusCode::NO_CONTENT {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            status = plane.get(&location).await;
        }
        assert_eq!(status.header(&header::RANGE), range);
        let put = || {
            let put = Ask::put(&format!("{location}?digest={}", sha256(&bytes))).by("admin");
            put.body(bytes[already..].to_vec())
        };
        let mut done = plane.send(put()).await;
        for _ in 0..200 {
            if done.status != StatusCode::CONFLICT {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            done = plane.send(put()).await;
        }
        assert_eq!(done.status, StatusCode::CREATED, "{already}: {done}");
    }
    assert_eq!(plane.files(), Plane::new().files() + 1);
    assert!(plane.metrics_text().contains("status=\"499\"} 3"));
    assert!(plane.metrics_text().contains("hythe_registry_active_uploads 0"));
}

#[tokio::test]
async fn a_small_upload_after_a_large_one_was_cut_off_leaves_no_bytes_behind() {
    let plane = Plane::new();
    let before = plane.files();
    let location = plane.begin("team/web").await;
    let (mut feed, body) = fed_body();
    let patch = Ask {
        body,
        ..Ask::patch(&location).by("admin")
    };
    tokio::select! {
        answer = plane.send(patch) => panic!("{answer}"),
        () = async {
            feed.send(Ok(Bytes::from(content(100_000)))).await.unwrap();
            feed.send(Ok(Bytes::new())).await.unwrap();
            feed.send(Ok(Bytes::new())).await.unwrap();
        } => {}
    }
    let put = || {
        Ask::put(&format!("{location}?digest={}", sha256(b"x")))
            .by("admin")
            .body("x")
    };
    let mut done = plane.send(put()).await;
    for _ in 0..200 {
        if done.status == StatusCode::CREATED {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        done = plane.send(put()).await;
    }
    assert_eq!(done.status, StatusCode::CREATED, "{done}");
    assert_eq!(plane.files(), before);
}

#[tokio::test]
async fn a_slow_body_goes_through_and_a_dripping_one_does_not() {
    // At least 200 bytes in each 100 ms of waiting.
    let plane = Plane::with(|config| {
        config.limits.body_stall_timeout = Duration::from_millis(100);
        config.limits.min_body_bytes_per_second = 2000;
    });
    let location = plane.begin("team/web").await;
    let drip = |chunk: usize| {
        let chunks = futures::stream::iter(0..20).then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, io::Error>(Bytes::from(vec![b'x'; chunk]))
        });
        Ask {
            body: Body::from_stream(chunks),
            ..Ask::patch(&location).by("admin")
        }
    };
    let slow = plane.send(drip(1000)).await;
    assert_eq!(slow.status, StatusCode::ACCEPTED, "{slow}");
    let dripping = plane.send(drip(1)).await;
    assert_eq!(dripping.status, StatusCode::REQUEST_TIMEOUT, "{dripping}");
    // What came is kept.
    let received: u64 = dripping
        .header(&header::RANGE)
        .trim_start_matches("0-")
        .parse()
        .unwrap();
    assert!((20_000..20_020).contains(&received), "{received}");
}

#[tokio::test]
async fn uploads_beyond_the_limit_wait_and_are_then_turned_away() {
    let plane = Arc::new(Plane::with(|config| {
        config.limits.max_concurrent_uploads = 1;
        config.limits.max_concurrent_manifest_pushes = 1;
        config.limits.max_wait = Duration::from_millis(50);
    }));
    let location = plane.begin("team/web").await;
    let other = plane.begin("team/web").await;
    let (mut feed, body) = fed_body();
    let (manifest_feed, manifest_body) = fed_body();
    let mut tasks = JoinSet::new();
    let patch = Ask {
        body,
        ..Ask::patch(&location).by("admin")
    };
    let manifest = Ask {
        body: manifest_body,
        ..Ask::put("/v2/team/web/manifests/v1").by("admin")
    };
    for ask in [patch, manifest.header(header::CONTENT_TYPE, MediaType::OCI_MANIFEST)] {
        let shared = Arc::clone(&plane);
        tasks.spawn(async move { shared.send(ask).await });
    }
    feed.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
    feed.send(Ok(Bytes::from_static(b"b"))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let full = plane.send(Ask::patch(&other).by("admin").body("x")).await;
    insta::assert_snapshot!("uploads_full", full);
    let full = plane
        .send(Ask::put("/v2/team/web/manifests/v2").by("admin").body("{}"))
        .await;
    assert_eq!(
        (full.status, full.code().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS")
    );
    drop((feed, manifest_feed));
    while tasks.join_next().await.is_some() {}
    assert_eq!(
        plane.send(Ask::patch(&other).by("admin").body("x")).await.status,
        StatusCode::ACCEPTED
    );
}

#[tokio::test]
async fn requests_beyond_the_limit_are_turned_away_until_an_answer_is_sent() {
    use tower::ServiceExt as _;
    let plane = Plane::with(|config| config.limits.max_concurrent_requests = 1);
    let digest = plane.push_blob("team/web", &content(1_000_000)).await;
    // The answer's body is not read yet, and keeps its place.
    let get = Ask::get(&format!("/v2/team/web/blobs/{digest}"))
        .by("admin")
        .into_request();
    let answer = plane.router.clone().oneshot(get).await.unwrap();
    insta::assert_snapshot!("requests_full", plane.get("/v2/").await);
    drop(answer);
    assert_eq!(plane.get("/v2/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_account_that_uploads_much_leaves_turns_to_others() {
    let plane = Arc::new(Plane::with(|config| {
        config.limits.max_concurrent_uploads = 4;
        config.limits.tenant_share_percent = 50;
        config.limits.max_wait = Duration::from_millis(50);
    }));
    let mut feeds = Vec::new();
    let mut tasks = JoinSet::new();
    // Alone, it gets nearly all.
    for _ in 0..3 {
        let location = plane.begin("team/web").await;
        let (mut feed, body) = fed_body();
        let patch = Ask {
            body,
            ..Ask::patch(&location).by("admin")
        };
        let shared = Arc::clone(&plane);
        tasks.spawn(async move { shared.send(patch).await });
        feed.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
        feed.send(Ok(Bytes::from_static(b"b"))).await.unwrap(); // the first is being received
        feeds.push(feed);
    }
    let location = plane.begin("team/web").await;
    let full = plane.send(Ask::patch(&location).by("admin").body("x")).await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS, "{full}");
    assert_eq!(full.header(&header::RETRY_AFTER), "1");
    let begun = plane
        .send(Ask::post("/v2/999999999999/stranger/web/blobs/uploads/").by("stranger"))
        .await;
    let patch = Ask::patch(&begun.header(&header::LOCATION)).by("stranger").body("x");
    assert_eq!(plane.send(patch).await.status, StatusCode::ACCEPTED);
    let text = plane.metrics_text();
    for line in [
        "hythe_registry_bound_taken{bound=\"uploads\"} 3",
        "hythe_registry_bound_limit{bound=\"uploads\"} 4",
        "hythe_registry_bound_refused_total{bound=\"uploads\"} 1",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    drop(feeds);
    while tasks.join_next().await.is_some() {}
    assert!(
        plane
            .metrics_text()
            .contains("hythe_registry_bound_taken{bound=\"uploads\"} 0")
    );
}

#[tokio::test]
async fn an_account_that_asks_much_leaves_requests_to_others() {
    use tower::ServiceExt as _;
    let plane = Plane::with(|config| {
        config.limits.max_concurrent_requests = 4;
        config.limits.tenant_share_percent = 50;
    });
    let digest = plane.push_blob("team/web", &content(1_000_000)).await;
    let mut answers = Vec::new();
    // Alone, it gets nearly all.
    for _ in 0..3 {
        let get = Ask::get(&format!("/v2/team/web/blobs/{digest}")).by("admin");
        answers.push(plane.router.clone().oneshot(get.into_request()).await.unwrap());
    }
    let full = plane.get("/v2/").await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(full.code(), "TOOMANYREQUESTS");
    assert_eq!(full.header(&header::RETRY_AFTER), "1");
    let other = plane.send(Ask::get("/v2/").by("stranger")).await;
    assert_eq!(other.status, StatusCode::OK);
    drop(answers);
    assert_eq!(plane.get("/v2/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn answers_that_are_not_read_do_not_take_more_memory_than_they_may() {
    use tower::ServiceExt as _;
    // Room for four chunks of what is on disk; one account that is alone may have nine tenths.
    let plane = Plane::with(|config| {
        config.limits.max_bytes_in_flight = 2 * 1024 * 1024;
        config.limits.max_wait = Duration::from_millis(20);
    });
    let large = plane.push_blob("team/web", &content(3_000_000)).await;
    let small = plane.push_blob("team/web", b"hello").await;
    let path = format!("/v2/team/web/blobs/{large}");
    let mut answers = Vec::new();
    for _ in 0..3 {
        let get = Ask::get(&path).by("admin").into_request();
        answers.push(plane.router.clone().oneshot(get).await.unwrap());
    }
    let full = plane.get(&path).await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE, "{full}");
    assert_eq!(
        (full.code().as_str(), full.header(&header::RETRY_AFTER)),
        ("UNAVAILABLE", "1".into())
    );
    // What is in memory anyway, and small, goes on.
    assert_eq!(plane.get(&format!("/v2/team/web/blobs/{small}")).await.body, "hello");
    drop(answers);
    assert_eq!(plane.get(&path).await.body.len(), 3_000_000);
    let text = plane.metrics_text();
    assert!(
        text.contains("hythe_registry_bound_taken{bound=\"bytes_in_flight\"} 0"),
        "{text}"
    );
}

#[tokio::test]
async fn many_large_requests_do_not_grow_memory() {
    const REQUESTS: usize = 200;
    // One byte short of what a manifest may be, for all at once: 800 MiB if they were all taken in.
    let plane = Arc::new(Plane::with(|config| {
        config.limits.max_bytes_in_flight = 64 * 1024 * 1024;
        config.limits.max_concurrent_manifest_pushes = 100;
        config.limits.max_wait = Duration::from_millis(20);
    }));
    let before = resident_bytes();
    let chunk = Bytes::from(vec![b' '; 4 * 1024 * 1024 - 1]);
    let mut tasks = JoinSet::new();
    let mut feeds = Vec::new();
    for number in 0..REQUESTS {
        let (mut feed, body) = fed_body();
        feed.try_send(Ok(chunk.clone())).unwrap();
        feeds.push(feed);
        let put = Ask {
            body,
            ..Ask::put(&format!("/v2/team/web/manifests/v{number}")).by("admin")
        };
        let put = put.header(header::CONTENT_TYPE, MediaType::OCI_MANIFEST);
        let shared = Arc::clone(&plane);
        tasks.spawn(async move { shared.send(put).await });
    }
    // All but those that fit are turned away while those wait for the rest of their bodies.
    let fitting = 64 * 90 / 100 / 8;
    for _ in 0..REQUESTS - fitting {
        let refused = tasks.join_next().await.unwrap().unwrap();
        let statuses = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        assert!(statuses.contains(&refused.status), "{refused}");
        assert_eq!(refused.header(&header::RETRY_AFTER), "1");
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 200 * 1024 * 1024, "{grown}");
    drop(feeds);
    while tasks.join_next().await.is_some() {}
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
