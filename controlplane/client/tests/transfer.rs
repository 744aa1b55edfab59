// SPDX-License-Identifier: Apache-2.0
//! Pushing and pulling against a small registry that breaks on demand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use hythe_client::registry::{
    Destination, PullOptions, RegistryClient, Source, TransferError, Transferred, Unobserved, pull, push,
};
use hythe_client::wire::Secret;
use hythe_client::{Credentials, RetryPolicy, Transport};
use hythe_model::{Algorithm, Digest, Reference};
use serde_json::{Value, json};
use sha2::Digest as _;
use tokio::task::JoinSet;

/// Prepares a path for a case.
type Make = fn(&Path);

/// A registry with one repository, in memory.
#[derive(Clone, Default)]
struct Registry(Arc<Contents>);

#[derive(Default)]
struct Contents {
    blobs: Mutex<HashMap<String, Bytes>>,
    manifests: Mutex<HashMap<String, (String, Bytes)>>,
    uploads: Mutex<HashMap<String, Vec<u8>>>,
    log: Mutex<Vec<String>>,
    begun: AtomicUsize,
    /// Uploads and downloads that break in the middle, still to come.
    breaks: AtomicUsize,
    /// How many bytes arrive before a break.
    break_after: AtomicUsize,
}

impl Registry {
    fn breaks_now(&self) -> bool {
        self.0
            .breaks
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok()
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.log.lock().unwrap())
    }

    async fn serve(self, tasks: &mut JoinSet<()>) -> RegistryClient {
        let app = Router::new().fallback(handle).with_state(self);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let credentials = Credentials::AccessKey {
            id: "K".into(),
            secret: Secret::new("s"),
        };
        let retry = RetryPolicy {
            attempts: 4,
            first_pause: Duration::from_millis(1),
            ..RetryPolicy::default()
        };
        RegistryClient::new(endpoint, &credentials, &Transport::default())
            .unwrap()
            .with_retries(retry)
    }
}

async fn handle(State(registry): State<Registry>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts
        .headers
        .get("authorization")
        .is_none_or(|value| value != "Basic Szpz")
    {
        return (
            StatusCode::UNAUTHORIZED,
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}"#,
        )
            .into_response();
    }
    let path = parts.uri.path().to_owned();
    if path.starts_with("/v2/forbidden/") {
        return (
            StatusCode::FORBIDDEN,
            r#"{"errors":[{"code":"DENIED","message":"you may not push"}]}"#,
        )
            .into_response();
    }
    let Some(rest) = path.strip_prefix("/v2/team/web/") else {
        return (
            StatusCode::NOT_FOUND,
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no repository"}]}"#,
        )
            .into_response();
    };
    let shown = rest.split(':').next().unwrap().to_owned();
    registry.0.log.lock().unwrap().push(format!("{} {shown}", parts.method));
    match rest.split('/').collect::<Vec<_>>().as_slice() {
        ["blobs", "uploads", ""] => {
            let id = format!("u{}", registry.0.begun.fetch_add(1, Ordering::SeqCst));
            registry.0.uploads.lock().unwrap().insert(id.clone(), Vec::new());
            accepted(&id, 0)
        }
        ["blobs", "uploads", id] => upload(&registry, &parts.method, id, parts.uri.query(), &parts.headers, body).await,
        ["blobs", digest] => {
            let found = registry.0.blobs.lock().unwrap().get(*digest).cloned();
            let Some(blob) = found else {
                return StatusCode::NOT_FOUND.into_response();
            };
            if parts.method == Method::HEAD {
                ().into_response()
            } else {
                download(&registry, &parts.headers, &blob)
            }
        }
        ["manifests", reference] if parts.method == Method::PUT => {
            let kind = parts.headers["content-type"].to_str().unwrap().to_owned();
            let bytes = axum::body::to_bytes(body, 1 << 22).await.unwrap();
            let digest = digest(&bytes).to_string();
            for name in [(*reference).to_owned(), digest.clone()] {
                registry
                    .0
                    .manifests
                    .lock()
                    .unwrap()
                    .insert(name, (kind.clone(), bytes.clone()));
            }
            (StatusCode::CREATED, [("docker-content-digest", digest)]).into_response()
        }
        ["manifests", reference] => match registry.0.manifests.lock().unwrap().get(*reference).cloned() {
            Some((kind, bytes)) => {
                let digest = digest(&bytes).to_string();
                ([("content-type", kind), ("docker-content-digest", digest)], bytes).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn accepted(id: &str, bytes: usize) -> Response {
    let range = format!("0-{}", bytes.saturating_sub(1));
    (
        StatusCode::ACCEPTED,
        [
            ("location", format!("/v2/team/web/blobs/uploads/{id}?state=x")),
            ("range", range),
        ],
    )
        .into_response()
}

async fn upload(
    registry: &Registry,
    method: &Method,
    id: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let so_far = registry.0.uploads.lock().unwrap().get(id).map(Vec::len);
    let Some(so_far) = so_far else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if *method == Method::GET {
        let response = accepted(id, so_far);
        return (StatusCode::NO_CONTENT, response.headers().clone()).into_response();
    }
    if let Some(range) = headers.get("content-range") {
        let start: usize = range.to_str().unwrap().split('-').next().unwrap().parse().unwrap();
        if start != so_far {
            return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
        }
    }
    let breaks = *method == Method::PATCH && registry.breaks_now();
    let mut body = body.into_data_stream();
    let mut received = 0;
    let limit = registry.0.break_after.load(Ordering::SeqCst);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.unwrap();
        received += chunk.len();
        registry
            .0
            .uploads
            .lock()
            .unwrap()
            .get_mut(id)
            .unwrap()
            .extend_from_slice(&chunk);
        if breaks && received > limit {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response(); // with the rest unread, which closes the connection
        }
    }
    if *method == Method::PATCH {
        return accepted(id, so_far + received);
    }
    let bytes = Bytes::from(registry.0.uploads.lock().unwrap().remove(id).unwrap());
    let digest = digest(&bytes).to_string();
    if !query.unwrap().contains(&digest.replace(':', "%3A")) {
        return (
            StatusCode::BAD_REQUEST,
            r#"{"errors":[{"code":"DIGEST_INVALID","message":"other bytes"}]}"#,
        )
            .into_response();
    }
    registry.0.blobs.lock().unwrap().insert(digest, bytes);
    StatusCode::CREATED.into_response()
}

fn download(registry: &Registry, headers: &HeaderMap, blob: &Bytes) -> Response {
    let start = headers.get("range").map_or(0, |range| {
        range
            .to_str()
            .unwrap()
            .trim_start_matches("bytes=")
            .trim_end_matches('-')
            .parse()
            .unwrap()
    });
    let rest = blob.slice(start..);
    let status = if start > 0 {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let range = format!("bytes {start}-{}/{}", blob.len().max(1) - 1, blob.len());
    let length = rest.len().to_string();
    let limit = registry.0.break_after.load(Ordering::SeqCst);
    let body = if rest.len() > limit && rest.len() > 1000 && registry.breaks_now() {
        let part = rest.slice(..limit);
        Body::from_stream(futures::stream::iter([Ok(part), Err(std::io::Error::other("broken"))]))
    } else {
        Body::from(rest)
    };
    (status, [("content-range", range), ("content-length", length)], body).into_response()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::new(Algorithm::Sha256, &sha2::Sha256::digest(bytes)).unwrap()
}

/// Writes an image layout with an index of two images that share a layer of 3 MB; returns the digest of the index.
fn layout(folder: &Path) -> Digest {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        let digest = digest(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": kind, "digest": digest.to_string(), "size": bytes.len() })
    };
    let layer: Vec<u8> = (0..3_000_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    let layer = put("application/vnd.oci.image.layer.v1.tar", &layer);
    let image = |architecture: &str| {
        let config = put("application/vnd.oci.image.config.v1+json", architecture.as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer],
        });
        let mut manifest = put(
            "application/vnd.oci.image.manifest.v1+json",
            manifest.to_string().as_bytes(),
        );
        manifest["platform"] = json!({ "os": "linux", "architecture": architecture });
        manifest
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [image("amd64"), image("arm64")],
    });
    // Bytes that no serialiser would write again: they must travel as they are.
    let bytes = format!("{index:#}\n\n");
    let mut root = put("application/vnd.oci.image.index.v1+json", bytes.as_bytes());
    root["annotations"] = json!({ "org.opencontainers.image.ref.name": "v1" });
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    std::fs::write(
        folder.join("index.json"),
        json!({ "schemaVersion": 2, "manifests": [root] }).to_string(),
    )
    .unwrap();
    root["digest"].as_str().unwrap().parse().unwrap()
}

async fn push_from(client: &RegistryClient, path: &Path, reference: &str) -> Result<Transferred, TransferError> {
    let source = Source::open(path).await?;
    let root = source.select(None)?;
    push(
        client,
        "team/web",
        &source,
        root,
        &reference.parse().unwrap(),
        Arc::new(Unobserved),
    )
    .await
}

async fn pull_into(
    client: &RegistryClient,
    reference: &Reference,
    destination: Destination,
    platform: Option<&str>,
) -> Result<Transferred, TransferError> {
    let options = PullOptions {
        platform: platform.map(|text| text.parse().unwrap()),
        name: Some("v1".into()),
    };
    pull(
        client,
        "team/web",
        reference,
        destination,
        &options,
        Arc::new(Unobserved),
    )
    .await
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                all.push(path.strip_prefix(folder).unwrap().to_path_buf());
            }
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn an_index_travels_there_and_back_with_every_byte_as_it_was() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let (from, to, archive) = (
        folder.path().join("from"),
        folder.path().join("to"),
        folder.path().join("image.tar"),
    );
    let root = layout(&from);
    let registry = Registry::default();
    let client = registry.clone().serve(&mut tasks).await;

    let pushed = push_from(&client, &from, "v1").await.unwrap();
    assert_eq!((pushed.digest, pushed.manifests, pushed.blobs), (root, 3, 3));
    let puts: Vec<_> = registry
        .log()
        .into_iter()
        .filter(|line| line.starts_with("PUT manifests"))
        .collect();
    assert_eq!(
        puts,
        ["PUT manifests/sha256", "PUT manifests/sha256", "PUT manifests/v1"],
        "children first, the tag last"
    );

    let pulled = pull_into(
        &client,
        &"v1".parse().unwrap(),
        Destination::folder(&to).await.unwrap(),
        None,
    )
    .await
    .unwrap();
    assert_eq!((pulled.digest, pulled.blobs, pulled.present_blobs), (root, 3, 0));
    assert_eq!(files(&to), files(&from));
    for file in files(&from).iter().filter(|file| file.starts_with("blobs")) {
        assert_eq!(
            std::fs::read(from.join(file)).unwrap(),
            std::fs::read(to.join(file)).unwrap(),
            "{}",
            file.display()
        );
    }

    let again = pull_into(
        &client,
        &Reference::Digest(root),
        Destination::folder(&to).await.unwrap(),
        None,
    )
    .await
    .unwrap();
    assert_eq!((again.blobs, again.present_blobs), (0, 3));
    let index: Value = serde_json::from_slice(&std::fs::read(to.join("index.json")).unwrap()).unwrap();
    assert_eq!(
        index["manifests"].as_array().unwrap().len(),
        1,
        "a name stands for one image"
    );

    let destination = Destination::archive(&archive).await.unwrap();
    let pulled = pull_into(&client, &"v1".parse().unwrap(), destination, Some("linux/arm64"))
        .await
        .unwrap();
    assert_eq!((pulled.manifests, pulled.blobs), (1, 2));
    let registry = Registry::default();
    let client = registry.clone().serve(&mut tasks).await;
    let pushed = push_from(&client, &archive, "arm").await.unwrap();
    assert_eq!((pushed.digest, pushed.blobs), (pulled.digest, 2));
    let again = push_from(&client, &archive, "arm").await.unwrap();
    assert_eq!((again.blobs, again.present_blobs, again.bytes), (0, 2, 0));
    let left: Vec<_> = files(folder.path())
        .into_iter()
        .filter(|file| file.components().count() == 1)
        .collect();
    assert_eq!(left, [PathBuf::from("image.tar")], "no temporary file is left");
}

#[tokio::test]
async fn a_transfer_that_breaks_goes_on_where_it_stood() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let from = folder.path().join("from");
    let root = layout(&from);
    let registry = Registry::default();
    let client = registry.clone().serve(&mut tasks).await;
    registry.0.break_after.store(600_000, Ordering::SeqCst);
    registry.0.breaks.store(2, Ordering::SeqCst);
    push_from(&client, &from, "v1").await.unwrap();
    let log = registry.log();
    let count = |what: &str| log.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("PATCH"), count("GET blobs/uploads/")), (3, 2), "{log:?}");
    assert_eq!(count("POST"), 3, "an upload that broke is not begun anew: {log:?}");

    registry.0.breaks.store(2, Ordering::SeqCst);
    let to = folder.path().join("to");
    let pulled = pull_into(
        &client,
        &"v1".parse().unwrap(),
        Destination::folder(&to).await.unwrap(),
        None,
    )
    .await
    .unwrap();
    assert_eq!((pulled.digest, registry.0.breaks.load(Ordering::SeqCst)), (root, 0));
}

#[tokio::test]
async fn a_transfer_that_keeps_breaking_ends() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    layout(&from);
    let registry = Registry::default();
    let client = registry.clone().serve(&mut tasks).await;
    registry.0.breaks.store(usize::MAX, Ordering::SeqCst);
    let refused = push_from(&client, &from, "v1").await.unwrap_err();
    assert!(
        matches!(refused, TransferError::Refused { .. } | TransferError::Client(_)),
        "{refused}"
    );
    assert!(
        registry.0.manifests.lock().unwrap().is_empty(),
        "no manifest without its blobs"
    );

    registry.0.breaks.store(0, Ordering::SeqCst);
    push_from(&client, &from, "v1").await.unwrap();
    registry.0.breaks.store(usize::MAX, Ordering::SeqCst);
    let broken = pull_into(
        &client,
        &"v1".parse().unwrap(),
        Destination::folder(&to).await.unwrap(),
        None,
    )
    .await
    .unwrap_err();
    assert!(matches!(broken, TransferError::Client(_)), "{broken}");
    assert!(
        !to.join("index.json").exists(),
        "an image that is not whole is not in the index"
    );
    assert!(
        files(&to).iter().all(|file| !file.to_string_lossy().contains(".part-")),
        "nothing half there is left"
    );
}

#[tokio::test]
async fn bytes_that_are_not_what_their_digest_says_are_refused() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let from = folder.path().join("from");
    let root = layout(&from);
    let registry = Registry::default();
    let client = registry.clone().serve(&mut tasks).await;
    push_from(&client, &from, "v1").await.unwrap();
    for blob in registry.0.blobs.lock().unwrap().values_mut() {
        *blob = blob.iter().map(|byte| byte ^ 1).collect();
    }
    let archive = folder.path().join("image.tar");
    let damaged = pull_into(
        &client,
        &"v1".parse().unwrap(),
        Destination::archive(&archive).await.unwrap(),
        None,
    )
    .await;
    assert!(matches!(damaged, Err(TransferError::Damaged { .. })), "{damaged:?}");
    assert!(!archive.exists());
    assert_eq!(
        files(folder.path()).len(),
        files(&from).len(),
        "nothing of the broken pull is left"
    );

    let to = folder.path().join("to");
    let destination = Destination::folder(&to).await.unwrap();
    let damaged = pull_into(&client, &"v1".parse().unwrap(), destination, None).await;
    assert!(matches!(damaged, Err(TransferError::Damaged { .. })), "{damaged:?}");
    Destination::folder(&to).await.expect("a pull that broke can go on");

    std::fs::write(from.join("blobs/sha256").join(root.hex()), "{}").unwrap();
    let damaged = push_from(&client, &from, "v2").await;
    assert!(
        matches!(damaged, Err(TransferError::Damaged { expected, .. }) if expected == root),
        "{damaged:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_pushed_is_explained() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let client = Registry::default().serve(&mut tasks).await;
    let path = folder.path().join("x");
    let cases: [(&str, Make, &str); 6] = [
        ("nothing there", |_| {}, "cannot open"),
        (
            "an empty folder",
            |path| std::fs::create_dir(path).unwrap(),
            "there is no `index.json` in it",
        ),
        (
            "some file",
            |path| std::fs::write(path, "x".repeat(2000)).unwrap(),
            "neither a folder nor an uncompressed tar archive",
        ),
        (
            "no marker",
            |path| {
                layout(path);
                std::fs::remove_file(path.join("oci-layout")).unwrap();
            },
            "there is no `oci-layout` in it",
        ),
        (
            "an empty index",
            |path| {
                layout(path);
                std::fs::write(path.join("index.json"), r#"{"schemaVersion":2}"#).unwrap();
            },
            "there is no image in it",
        ),
        (
            "a layer is gone",
            |path| {
                layout(path);
                let layer = files(path)
                    .into_iter()
                    .find(|file| std::fs::metadata(path.join(file)).unwrap().len() == 3_000_000)
                    .unwrap();
                std::fs::remove_file(path.join(layer)).unwrap();
            },
            "` is missing",
        ),
    ];
    for (what, make, want) in cases {
        make(&path);
        let error = push_from(&client, &path, "v1").await.unwrap_err();
        assert!(error.to_string().contains(want), "{what}: {error}");
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
    }
}

#[tokio::test]
async fn a_refusal_carries_the_registrys_words() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let client = Registry::default().serve(&mut tasks).await;
    let destination = Destination::folder(&folder.path().join("to")).await.unwrap();
    let refused = pull(
        &client,
        "other",
        &"v1".parse().unwrap(),
        destination,
        &PullOptions::default(),
        Arc::new(Unobserved),
    )
    .await;
    assert!(
        matches!(&refused, Err(TransferError::Refused { code, message, .. }) if code == "NAME_UNKNOWN" && message == "no repository"),
        "{refused:?}"
    );
    let from = folder.path().join("from");
    layout(&from);
    let source = Source::open(&from).await.unwrap();
    let root = source.select(None).unwrap();
    let tag = "v1".parse().unwrap();
    let refused = push(&client, "forbidden", &source, root, &tag, Arc::new(Unobserved)).await;
    assert!(
        matches!(&refused, Err(TransferError::Refused { message, .. }) if message == "you may not push"),
        "{refused:?}"
    );
    std::fs::write(folder.path().join("file"), "x").unwrap();
    assert!(
        matches!(
            Destination::folder(folder.path()).await,
            Err(TransferError::Occupied(_))
        ),
        "a folder of other things"
    );
}
