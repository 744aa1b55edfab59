// SPDX-License-Identifier: Apache-2.0
//! A registry that behaves, and one that does not.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, StatusCode, header};
use hythe_model::{Digest, Reference};
use hythe_upstream::{Credential, Outgoing, Remote, UpstreamError};
use tokio::task::JoinSet;

const MANIFEST: &str = r#"{"schemaVersion":2}"#;
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const BLOB: &str = "0123456789";
const BLOB_DIGEST: &str = "sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
const OTHER_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// Status, headers, body, and what becomes of it.
type Case = (u16, Vec<(&'static str, &'static str)>, String, &'static str);
type Answer = Arc<dyn Fn(&str, &HeaderMap) -> Response + Send + Sync>;

/// A server that answers as a test says, and remembers what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Shared {
    answer: Answer,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn respond(State(shared): State<Shared>, request: Request) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.map_or("-", |it| it.to_str().unwrap()).to_owned();
    let path = request.uri().path_and_query().unwrap().to_string();
    shared.asked.lock().unwrap().push(format!("{path} {authorization}"));
    (shared.answer)(&path, request.headers())
}

impl Server {
    async fn start(answer: impl Fn(&str, &HeaderMap) -> Response + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared {
            answer: Arc::new(answer),
            asked: Arc::clone(&asked),
        };
        let app = Router::new().fallback(respond).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            asked,
            _tasks: tasks,
        }
    }

    fn remote(&self) -> Remote {
        let credential = Credential {
            username: "user".into(),
            secret: "password".into(),
        };
        Remote::new(loopback(), self.url.parse().unwrap(), Some(credential))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn loopback() -> Outgoing {
    Outgoing::new(&["127.0.0.0/8".parse().unwrap()], None).unwrap()
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn digest(text: &str) -> Digest {
    text.parse().unwrap()
}

fn with(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_sent_to_the_registry_only() {
    let elsewhere = Server::start(|_, _| with(200, &[], BLOB)).await;
    let place = elsewhere.url.clone();
    let server = Server::start(move |path, headers| {
        let host = headers.get(header::HOST).unwrap().to_str().unwrap();
        if path.starts_with("/token") {
            return with(200, &[], r#"{"token":"abc","expires_in":300}"#);
        }
        if headers.get(header::AUTHORIZATION).is_none_or(|it| it != "Bearer abc") {
            let challenge = format!(r#"Bearer realm="http://{host}/token",service="s",scope="repository:a/b:pull""#);
            return with(401, &[("www-authenticate", &challenge)], "");
        }
        match path.rsplit('/').nth(1) {
            Some("blobs") => with(307, &[("location", &format!("{place}/kept?signed=1"))], ""),
            _ => with(
                200,
                &[("content-type", MANIFEST_TYPE), ("ratelimit-remaining", "9;w=60")],
                MANIFEST,
            ),
        }
    })
    .await;
    let remote = server.remote();
    let manifest = remote.manifest("a/b", &reference("v1")).await.unwrap();
    assert_eq!(
        (&manifest.bytes[..], manifest.media_type.as_str()),
        (MANIFEST.as_bytes(), MANIFEST_TYPE)
    );
    assert_eq!(remote.rate_limit().unwrap().remaining, Some(9));
    let blob = remote.blob("a/b", &digest(BLOB_DIGEST), 0).await.unwrap();
    assert_eq!(blob.length, Some(10));
    let chunks: Vec<_> = blob.bytes.try_collect().await.unwrap();
    assert_eq!(chunks.concat(), BLOB.as_bytes());
    let basic = "Basic dXNlcjpwYXNzd29yZA==";
    let wanted = [
        "/v2/a/b/manifests/v1 -".to_owned(),
        format!("/token?service=s&scope=repository%3Aa%2Fb%3Apull {basic}"),
        "/v2/a/b/manifests/v1 Bearer abc".to_owned(),
        format!("/v2/a/b/blobs/{BLOB_DIGEST} Bearer abc"),
    ];
    assert_eq!(server.asked(), wanted);
    assert_eq!(elsewhere.asked(), ["/kept?signed=1 -"]);
}

#[tokio::test]
async fn a_hostile_realm_gets_nothing() {
    let thief = Server::start(|_, _| with(200, &[], r#"{"token":"abc"}"#)).await;
    let port = thief.url.rsplit(':').next().unwrap();
    for realm in [
        format!("http://127.0.0.2:{port}/token"),
        format!("http://localhost:{port}/token"),
        "http://169.254.169.254/token".to_owned(),
        "file:///etc/passwd".to_owned(),
        "nothing".to_owned(),
    ] {
        let challenge = format!(r#"Bearer realm="{realm}""#);
        let server = Server::start(move |_, _| with(401, &[("www-authenticate", &challenge)], "")).await;
        let error = server.remote().manifest("a/b", &reference("v1")).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Invalid(_)), "{realm}: {error}");
        assert_eq!(server.asked().len(), 1);
    }
    assert!(thief.asked().is_empty());
}

#[tokio::test]
async fn a_token_server_that_sends_elsewhere_or_talks_nonsense_is_not_followed() {
    let thief = Server::start(|_, _| with(200, &[], r#"{"token":"abc"}"#)).await;
    let away = format!("{}/token", thief.url);
    let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(64 * 1024));
    let cases: Vec<(u16, String, String)> = vec![
        (302, away, String::new()),
        (200, String::new(), "<html></html>".into()),
        (200, String::new(), "{}".into()),
        (200, String::new(), r#"{"token":"a\nb"}"#.into()),
        (200, String::new(), long),
        (404, String::new(), String::new()),
    ];
    for (status, location, body) in cases {
        let server = Server::start(move |path, headers| {
            let host = headers.get(header::HOST).unwrap().to_str().unwrap();
            if path.starts_with("/token") {
                return with(status, &[("location", &location)], body.clone());
            }
            with(
                401,
                &[("www-authenticate", &format!(r#"Bearer realm="http://{host}/token""#))],
                "",
            )
        })
        .await;
        let error = server.remote().manifest("a/b", &reference("v1")).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Invalid(_) | UpstreamError::Server { .. }),
            "{status}: {error}"
        );
    }
    assert!(thief.asked().is_empty());
}

#[tokio::test]
async fn basic_is_sent_when_it_is_asked_for_and_not_again_when_it_is_refused() {
    let server = Server::start(|path, headers| {
        if headers.contains_key(header::AUTHORIZATION) && path.ends_with("v1") {
            return with(200, &[("content-type", MANIFEST_TYPE)], MANIFEST);
        }
        with(401, &[("www-authenticate", "Basic realm=x")], "")
    })
    .await;
    let remote = server.remote();
    remote.manifest("a/b", &reference("v1")).await.unwrap();
    assert_eq!(
        remote.manifest("a/b", &reference("v2")).await.unwrap_err(),
        UpstreamError::Denied
    );
    let nobody = Remote::new(loopback(), server.url.parse().unwrap(), None);
    assert_eq!(
        nobody.manifest("a/b", &reference("v1")).await.unwrap_err(),
        UpstreamError::Denied
    );
    assert_eq!(nobody.ping().await.unwrap_err(), UpstreamError::Denied);
}

#[tokio::test]
async fn redirects_are_bounded_and_looked_at() {
    // Where to, and what becomes of it.
    let cases = [
        ("/v2/a/b/manifests/v1", "too many redirects"),
        ("http://169.254.169.254/latest/meta-data", "may not be reached"),
        ("http://10.0.0.1/", "may not be reached"),
        ("http://[::1]:1/", "may not be reached"),
        ("http://0x7f000001:1/", "cannot be reached"),
        ("https://user:pw@127.0.0.1/", "a URL with a user"),
        ("file:///etc/passwd", "scheme `file`"),
        ("gopher://127.0.0.1/", "scheme `gopher`"),
        ("http://", "nowhere"),
    ];
    for (location, wanted) in cases {
        let server = Server::start(move |_, _| with(307, &[("location", location)], "")).await;
        let error = server.remote().manifest("a/b", &reference("v1")).await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{location}: {error}");
    }
}

#[tokio::test]
async fn only_allowed_networks_are_reached_and_only_those_without_tls() {
    let server = Server::start(|_, _| with(200, &[("content-type", MANIFEST_TYPE)], MANIFEST)).await;
    let port = server.url.rsplit(':').next().unwrap();
    let nothing = Outgoing::new(&[], None).unwrap();
    for url in [
        server.url.clone(),
        format!("https://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("https://localhost:{port}"),
        // A public address, but plain HTTP.
        "http://192.0.2.1".to_owned(),
    ] {
        let remote = Remote::new(nothing.clone(), url.parse().unwrap(), None);
        let error = remote.manifest("a/b", &reference("v1")).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Blocked(_)), "{url}: {error:?}");
    }
    assert!(server.asked().is_empty());
    let remote = Remote::new(loopback(), format!("http://localhost:{port}").parse().unwrap(), None);
    remote.manifest("a/b", &reference("v1")).await.unwrap();
}

#[tokio::test]
async fn a_manifest_that_is_none_is_refused() {
    let huge = "x".repeat(4 * 1024 * 1024 + 1);
    let cases: Vec<Case> = vec![
        (
            200,
            vec![("content-type", "text/html")],
            "<html>".into(),
            "`text/html` instead",
        ),
        (200, vec![], "{}".into(), "without a media type"),
        (200, vec![("content-type", MANIFEST_TYPE)], huge, "more than"),
        (
            200,
            vec![("content-type", MANIFEST_TYPE), ("docker-content-digest", OTHER_DIGEST)],
            MANIFEST.into(),
            "do not have its digest",
        ),
        (
            200,
            vec![("content-type", MANIFEST_TYPE), ("docker-content-digest", "md5:00")],
            MANIFEST.into(),
            "a digest that is none",
        ),
        (404, vec![], String::new(), "does not have it"),
        (403, vec![], String::new(), "refuses access"),
        (429, vec![("retry-after", "30")], String::new(), "fewer requests"),
        (503, vec![], String::new(), "status 503"),
        (304, vec![], String::new(), "status 304"),
    ];
    for (status, headers, body, wanted) in cases {
        let headers: Vec<(String, String)> = headers.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        let server = Server::start(move |_, _| {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            with(status, &headers, body.clone())
        })
        .await;
        let error = server.remote().manifest("a/b", &reference("v1")).await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{status}: {error}");
    }
    let server = Server::start(|_, _| with(200, &[("content-type", MANIFEST_TYPE)], MANIFEST)).await;
    let error = server
        .remote()
        .manifest("a/b", &reference(OTHER_DIGEST))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("do not have its digest"), "{error}");
}

#[tokio::test]
async fn an_endless_manifest_is_cut_off() {
    let server = Server::start(|_, _| {
        let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 65_536]));
        with(200, &[("content-type", MANIFEST_TYPE)], Body::from_stream(endless))
    })
    .await;
    let error = server.remote().manifest("a/b", &reference("v1")).await.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}

#[tokio::test]
async fn blobs_go_on_where_they_stopped_and_a_short_one_is_an_error() {
    let server = Server::start(|path, headers| {
        if path.contains("short") {
            let half = futures::stream::iter([Ok("01234"), Err(std::io::Error::other("gone"))]);
            return with(200, &[("content-length", "10")], Body::from_stream(half));
        }
        if path.contains("html") {
            return with(200, &[("content-type", "text/html; charset=utf-8")], "<html>");
        }
        match headers.get(header::RANGE).map(|it| it.to_str().unwrap()) {
            Some("bytes=4-") if path.contains("ranges") => with(206, &[("content-range", "bytes 4-9/10")], &BLOB[4..]),
            Some(_) if path.contains("wrong") => with(206, &[("content-range", "bytes 0-9/10")], BLOB),
            _ => with(200, &[], BLOB),
        }
    })
    .await;
    let remote = server.remote();
    let digest = digest(BLOB_DIGEST);
    let read = async |repository: &str, offset| {
        let blob = remote.blob(repository, &digest, offset).await?;
        let (at, length) = (blob.offset, blob.length);
        let chunks: Vec<_> = blob.bytes.try_collect().await?;
        Ok::<_, UpstreamError>((at, length, String::from_utf8(chunks.concat()).unwrap()))
    };
    assert_eq!(read("ranges", 4).await.unwrap(), (4, Some(6), "456789".into()));
    assert_eq!(read("none", 4).await.unwrap(), (0, Some(10), BLOB.into()));
    assert!(
        read("wrong", 4)
            .await
            .unwrap_err()
            .to_string()
            .contains("another range")
    );
    assert!(read("html", 0).await.unwrap_err().to_string().contains("text/html"));
    assert!(matches!(
        read("short", 0).await.unwrap_err(),
        UpstreamError::Unreachable(_)
    ));
}

#[tokio::test]
async fn a_head_tells_without_the_manifest() {
    let server = Server::start(|_, _| {
        let headers = [("content-type", MANIFEST_TYPE), ("docker-content-digest", BLOB_DIGEST)];
        with(200, &headers, "")
    })
    .await;
    let remote = server.remote();
    let head = remote.head_manifest("a/b", &reference("v1")).await.unwrap();
    assert_eq!(head.digest, Some(digest(BLOB_DIGEST)));
    let error = remote.head_manifest("a/b", &reference(OTHER_DIGEST)).await.unwrap_err();
    assert!(error.to_string().contains("another digest"), "{error}");
}

#[tokio::test]
async fn referrers_are_read_page_by_page_or_from_their_tag() {
    let entry = |digest: &str| format!(r#"{{"mediaType":"{MANIFEST_TYPE}","digest":"{digest}","size":2}}"#);
    let (one, two) = (entry(BLOB_DIGEST), entry(OTHER_DIGEST));
    let server = Server::start(move |path, _| {
        let list = |entry: &str| format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
        if path.contains("/tagged/referrers/") {
            return StatusCode::NOT_FOUND.into_response();
        }
        if path.contains("/tagged/manifests/sha256-") {
            return with(
                200,
                &[("content-type", "application/vnd.oci.image.index.v1+json")],
                list(&two),
            );
        }
        if path.ends_with("page=2") {
            return with(200, &[("link", r#"<http://127.0.0.1:1/more>; rel="next""#)], list(&two));
        }
        with(200, &[("link", r#"<?page=2>; rel="next""#)], list(&one))
    })
    .await;
    let remote = server.remote();
    assert_eq!(remote.referrers("a/b", &digest(BLOB_DIGEST)).await.unwrap().len(), 2);
    assert_eq!(remote.referrers("tagged", &digest(BLOB_DIGEST)).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_stops_is_given_up() {
    let server = Server::start(|_, _| {
        let stuck = futures::stream::iter([Ok::<_, std::io::Error>("01")]).chain(futures::stream::pending());
        with(200, &[("content-length", "10")], Body::from_stream(stuck))
    })
    .await;
    let blob = server.remote().blob("a/b", &digest(BLOB_DIGEST), 0).await.unwrap();
    let error = blob.bytes.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn names_that_are_too_long_are_left_out_of_lists() {
    let long = "x".repeat(257);
    let names = format!(r#"{{"repositories":["{long}","a/b","{}"]}}"#, "y".repeat(256));
    let server = Server::start(move |_, _| (StatusCode::OK, names.clone()).into_response()).await;
    let found = server.remote().repositories(|_| true, 10).await.unwrap();
    let lengths: Vec<usize> = found.iter().map(String::len).collect();
    assert_eq!(lengths, [3, 256]);
}
