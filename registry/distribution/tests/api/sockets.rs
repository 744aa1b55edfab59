// SPDX-License-Identifier: Apache-2.0
//! The same over real connections, where only they make a difference: framing, and clients that vanish.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{PASSWORD, Plane, content, sha256};

async fn listen(plane: &Plane) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = plane.router.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, tasks)
}

fn head(method: &str, path: &str, rest: &str) -> String {
    let credentials = STANDARD.encode(format!("admin:{PASSWORD}"));
    format!("{method} {path} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Basic {credentials}\r\n{rest}\r\n")
}

/// Sends a request on a connection of its own and reads until the server closes it.
async fn talk(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn head_tells_the_length_without_a_body() {
    let plane = Plane::new();
    let digest = plane.push_blob("team/web", &content(100_000)).await;
    let (manifest, _) = plane.push_image("team/web", "v1", "hello").await;
    let (address, _server) = listen(&plane).await;
    for (path, length) in [
        (format!("blobs/{digest}"), 100_000),
        ("manifests/v1".into(), manifest.len()),
    ] {
        let request = head("HEAD", &format!("/v2/team/web/{path}"), "Connection: close\r\n");
        let answer = talk(address, request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        assert!(answer.contains(&format!("content-length: {length}\r\n")), "{answer}");
    }
    let missing = head(
        "HEAD",
        &format!("/v2/team/web/blobs/{}", sha256(b"none")),
        "Connection: close\r\n",
    );
    let answer = talk(address, missing.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 404") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_blob_is_sent_with_its_length() {
    let plane = Plane::new();
    let digest = plane.push_blob("team/web", &content(100_000)).await;
    let (address, _server) = listen(&plane).await;
    let request = head(
        "GET",
        &format!("/v2/team/web/blobs/{digest}"),
        "Range: bytes=10-19\r\nConnection: close\r\n",
    );
    let answer = talk(address, request.as_bytes()).await;
    assert!(
        answer.contains("content-length: 10\r\n") && !answer.contains("transfer-encoding"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_client_that_vanishes_can_come_back() {
    let plane = Plane::new();
    let (address, _server) = listen(&plane).await;
    let bytes = content(200_000);
    let location = plane.begin("team/web").await;
    // Half of the announced body, and the connection is gone.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = head("PATCH", &location, &format!("Content-Length: {}\r\n", bytes.len()));
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(&bytes[..100_000]).await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    // The server notices when it reads on. What it kept is a beginning of what was sent.
    let mut from = None;
    for _ in 0..500 {
        let is_idle = plane.metrics_text().contains("hythe_registry_active_uploads 0");
        let seen = plane.metrics_text().contains("<id>\",status=\"4");
        if is_idle && seen {
            let received = plane.get(&location).await.header(&header::RANGE);
            from = Some(received.trim_start_matches("0-").parse::<usize>().unwrap());
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let received = from.expect("the server did not notice that the client is gone");
    let start = if received == 0 { 0 } else { received + 1 };
    assert!(start <= 100_000);
    let put = crate::support::Ask::put(&format!("{location}?digest={}", sha256(&bytes))).by("admin");
    let done = plane.send(put.body(bytes[start..].to_vec())).await;
    assert_eq!(done.status, StatusCode::CREATED, "{done}");
}

#[tokio::test]
async fn a_client_that_stalls_is_told_so() {
    let plane = Plane::with(|config| config.limits.body_stall_timeout = Duration::from_millis(100));
    let (address, _server) = listen(&plane).await;
    let location = plane.begin("team/web").await;
    let request = head("PATCH", &location, "Content-Length: 100\r\n") + "only this";
    let answer = talk(address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(
        answer.contains("BLOB_UPLOAD_INVALID") && answer.contains("range: 0-8\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_manifest_of_5_mib_gets_to_see_its_answer() {
    let plane = Plane::new();
    let (address, _server) = listen(&plane).await;
    let length = 5 * 1024 * 1024;
    let rest = format!(
        "Content-Length: {length}\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nConnection: close\r\n"
    );
    let mut request = head("PUT", "/v2/team/web/manifests/v1", &rest).into_bytes();
    request.resize(request.len() + length, b' ');
    let answer = talk(address, &request).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("SIZE_INVALID"),
        "{answer}"
    );
}
