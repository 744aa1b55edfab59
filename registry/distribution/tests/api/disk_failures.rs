// SPDX-License-Identifier: Apache-2.0
//! Disks and blob stores that fail, full disks, and disks that changed what they hold: what the client is told is
//! true, nothing half-done is to be seen, and trying again helps.

use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use hythe_blobs::faults::{EIO, ENOSPC, Fault, Faults, FaultyBlobStore};
use hythe_blobs::{BlobStore, FsBlobStore, Hasher, Progress, VerifyingBlobStore};
use hythe_catalog::UploadCatalog as _;
use hythe_distribution::{discard_stale_uploads, expire_uploads};
use hythe_model::{Algorithm, Clock as _, Digest, UploadId};
use tower::ServiceExt as _;

use crate::support::{Ask, OWNER, Plane, content, path, sha256};

const INTERNAL: (StatusCode, &str) = (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN");
const FULL: (StatusCode, &str) = (StatusCode::INSUFFICIENT_STORAGE, "UNAVAILABLE");
const GONE: (StatusCode, &str) = (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");

/// A plane on a disk that fails by plan.
fn on_faulty_disk() -> (Plane, Arc<Faults>, tempfile::TempDir) {
    let (faults, folder) = (Arc::new(Faults::default()), tempfile::tempdir().unwrap());
    let store = FsBlobStore::open_faulty(folder.path(), Arc::clone(&faults)).unwrap();
    let plane = Plane::over(|_| {}, |catalog| catalog, |_| Arc::new(store));
    (plane, faults, folder)
}

fn on_faulty_store() -> (Plane, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let given = Arc::clone(&faults);
    let plane = Plane::over(
        |_| {},
        |catalog| catalog,
        |blobs| Arc::new(FaultyBlobStore::new(blobs, given)),
    );
    (plane, faults)
}

async fn patch(plane: &Plane, location: &str, bytes: &[u8]) -> (StatusCode, String) {
    let answer = plane.send(Ask::patch(location).by("admin").body(bytes.to_vec())).await;
    let code = if answer.status.is_success() {
        String::new()
    } else {
        answer.code()
    };
    (answer.status, code)
}

async fn finish(plane: &Plane, location: &str, digest: &Digest) -> (StatusCode, String) {
    let answer = plane
        .send(Ask::put(&format!("{location}?digest={digest}")).by("admin"))
        .await;
    let code = if answer.status.is_success() {
        String::new()
    } else {
        answer.code()
    };
    (answer.status, code)
}

async fn received(plane: &Plane, location: &str) -> usize {
    let range = plane.get(location).await.header(&header::RANGE);
    match range.trim_start_matches("0-").parse::<usize>().unwrap() {
        0 => 0,
        last => last + 1,
    }
}

fn blob(digest: &Digest) -> String {
    format!("/v2/team/web/blobs/{digest}")
}

/// As a client sees the body of a GET: `Err` if it breaks off.
async fn body_of(plane: &Plane, path: &str) -> (StatusCode, Result<Bytes, ()>) {
    let response = plane
        .router
        .clone()
        .oneshot(Ask::get(path).by("admin").into_request())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|_| ());
    (parts.status, body)
}

#[tokio::test]
async fn a_write_that_fails_keeps_what_was_written_before() {
    // In one buffer and in several.
    for (size, skip) in [(100_000, 0), (3_000_000, 2)] {
        for fault in [Fault::DiskWrite, Fault::DiskShortWrite] {
            for (errno, want) in [(EIO, INTERNAL), (ENOSPC, FULL)] {
                let (plane, faults, _folder) = on_faulty_disk();
                let content = content(size);
                let location = plane.begin("team/web").await;
                faults.plan(fault, skip, errno);
                let (status, code) = patch(&plane, &location, &content).await;
                assert_eq!((status, code.as_str()), want, "{size} {fault:?}");
                assert!(faults.is_over());
                let arrived = received(&plane, &location).await;
                assert_eq!(arrived, skip * 512 * 1024);
                let rest = patch(&plane, &location, &content[arrived..]).await;
                assert_eq!(rest.0, StatusCode::ACCEPTED, "{rest:?}");
                let digest = sha256(&content);
                assert_eq!(finish(&plane, &location, &digest).await.0, StatusCode::CREATED);
                assert!(plane.get(&blob(&digest)).await.body == content);
            }
        }
    }
}

#[tokio::test]
async fn publishing_that_fails_acknowledges_nothing_and_a_failed_sync_is_not_forgotten() {
    // (what fails, which time, whether the bytes can still be trusted)
    let cases = [
        (Fault::DiskCreateDir, 0, true),
        (Fault::DiskSyncDir, 0, true),
        (Fault::DiskWrite, 0, true),
        (Fault::DiskSyncFile, 0, false),
        (Fault::DiskRename, 0, true),
        (Fault::DiskSyncDir, 1, false),
    ];
    for (fault, skip, is_kept) in cases {
        for (errno, want) in [(EIO, INTERNAL), (ENOSPC, FULL)] {
            let (plane, faults, _folder) = on_faulty_disk();
            let content = content(100_000);
            let digest = sha256(&content);
            let location = plane.begin("team/web").await;
            assert_eq!(patch(&plane, &location, &content).await.0, StatusCode::ACCEPTED);
            faults.plan(fault, skip, errno);
            let (status, code) = finish(&plane, &location, &digest).await;
            assert_eq!((status, code.as_str()), want, "{fault:?} {skip}");
            assert!(faults.is_over());
            assert_eq!(plane.get(&blob(&digest)).await.status, StatusCode::NOT_FOUND);
            let (status, code) = finish(&plane, &location, &digest).await;
            if is_kept {
                assert_eq!(status, StatusCode::CREATED, "{fault:?} {skip} {code}");
            } else {
                // The system would call the next sync a success without having written what it lost.
                assert_eq!((status, code.as_str()), GONE, "{fault:?} {skip}");
                assert_eq!(plane.push_blob("team/web", &content).await, digest);
            }
            assert!(plane.get(&blob(&digest)).await.body == content);
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_is_told_and_trying_again_helps() {
    let (plane, faults) = on_faulty_store();
    let content = content(100_000);
    let digest = sha256(&content);
    for fault in [Fault::Append, Fault::AppendMidway] {
        let location = plane.begin("team/web").await;
        for (errno, want) in [(EIO, INTERNAL), (ENOSPC, FULL)] {
            faults.plan(fault, 0, errno);
            let arrived = received(&plane, &location).await;
            let (status, code) = patch(&plane, &location, &content[arrived..]).await;
            assert_eq!((status, code.as_str()), want, "{fault:?}");
            if received(&plane, &location).await == content.len() {
                break; // all of it was in the first chunk
            }
        }
        let arrived = received(&plane, &location).await;
        assert_eq!(
            patch(&plane, &location, &content[arrived..]).await.0,
            StatusCode::ACCEPTED
        );
        faults.plan(Fault::Abandon, 0, EIO);
        let cancel = || plane.send(Ask::delete(&location).by("admin"));
        assert_eq!(cancel().await.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(received(&plane, &location).await, content.len(), "it is still there");
        assert_eq!(cancel().await.status, StatusCode::NO_CONTENT);
    }
    for (fault, errno, want) in [
        (Fault::Commit, EIO, INTERNAL),
        (Fault::Commit, ENOSPC, FULL),
        (Fault::CommitDone, EIO, INTERNAL),
    ] {
        let location = plane.begin("team/web").await;
        assert_eq!(patch(&plane, &location, &content).await.0, StatusCode::ACCEPTED);
        faults.plan(fault, 0, errno);
        let (status, code) = finish(&plane, &location, &digest).await;
        assert_eq!((status, code.as_str()), want, "{fault:?}");
        assert_eq!(
            finish(&plane, &location, &digest).await.0,
            StatusCode::CREATED,
            "{fault:?}"
        );
    }
    faults.plan(Fault::Read, 0, EIO);
    assert_eq!(
        body_of(&plane, &blob(&digest)).await.0,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    let large = crate::support::content(1_000_000);
    let digest = plane.push_blob("team/web", &large).await;
    faults.plan(Fault::ReadMidway, 0, EIO);
    assert_eq!(body_of(&plane, &blob(&digest)).await, (StatusCode::OK, Err(())));
    assert!(plane.get(&blob(&digest)).await.body == large);
}

#[tokio::test]
async fn a_blob_that_rotted_is_not_served_and_a_push_repairs_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = Arc::new(FsBlobStore::open(folder.path()).unwrap());
    let verifying = VerifyingBlobStore::new(files, Duration::from_mins(1), Arc::new(()));
    let plane = Plane::over(|_| {}, |catalog| catalog, |_| Arc::new(verifying));
    for size in [100_000, 1_000_000] {
        let content = content(size);
        let digest = plane.push_blob("team/web", &content).await;
        let hex = digest.hex();
        let file = folder.path().join("blobs/sha256").join(&hex[..2]).join(&hex);
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.write_all_at(&[!content[5000]], 4096 + 5000).unwrap();

        // First its length is promised and not kept, then it is refused at once, in part as well.
        assert_eq!(body_of(&plane, &blob(&digest)).await, (StatusCode::OK, Err(())));
        assert_eq!(
            body_of(&plane, &blob(&digest)).await.0,
            StatusCode::INTERNAL_SERVER_ERROR
        );
        let part = Ask::get(&blob(&digest)).by("admin").header(header::RANGE, "bytes=0-9");
        assert_eq!(plane.send(part).await.status, StatusCode::INTERNAL_SERVER_ERROR);

        assert_eq!(plane.push_blob("team/web", &content).await, digest);
        assert!(plane.get(&blob(&digest)).await.body == content);
    }
}

/// A plane whose sessions are extended often.
fn with_short_sessions() -> Plane {
    Plane::with(|config| {
        config.limits.upload_idle_timeout = Duration::from_millis(400);
        config.limits.body_stall_timeout = Duration::from_hours(10);
    })
}

async fn version(plane: &Plane, id: UploadId) -> i64 {
    let repository = path(OWNER, "team/web");
    let record = plane.catalog.upload(&repository, id, plane.clock.now()).await.unwrap();
    record.expect("the session is there").version
}

#[tokio::test]
async fn a_session_is_extended_while_a_patch_is_slow_and_goes_on_afterwards() {
    let plane = with_short_sessions();
    let location = plane.begin("team/web").await;
    let id: UploadId = location.rsplit('/').next().unwrap().parse().unwrap();
    let content = content(200_000);
    let (mut sender, receiver) = futures::channel::mpsc::channel::<Result<Bytes, std::io::Error>>(0);
    let mut ask = Ask::patch(&location).by("admin");
    ask.body = axum::body::Body::from_stream(receiver);
    let slowly = async {
        for part in content.chunks(50_000) {
            sender.send(Ok(Bytes::copy_from_slice(part))).await.unwrap();
            let before = version(&plane, id).await;
            while version(&plane, id).await < before + 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        sender.close_channel();
    };
    let (answer, ()) = futures::join!(plane.send(ask), slowly);
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer}");
    let extended = version(&plane, id).await;
    assert!((8..100).contains(&extended), "{extended} writes");
    assert_eq!(
        finish(&plane, &location, &sha256(&content)).await.0,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn extending_a_session_moves_its_expiry_and_ends_when_it_is_gone() {
    let plane = Plane::with(|config| {
        config.limits.upload_idle_timeout = Duration::from_secs(2);
        config.limits.body_stall_timeout = Duration::from_hours(10);
    });
    let location = plane.begin("team/web").await;
    let id: UploadId = location.rsplit('/').next().unwrap().parse().unwrap();
    let stalled = plane.send(Ask::patch(&location).by("admin").stalled_body(content(100_000)));
    let watched = async {
        for _ in 0..3 {
            let before = version(&plane, id).await;
            plane.clock.advance_seconds(1);
            while version(&plane, id).await == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // Without the extension it would be over by now.
            let expired = expire_uploads(&*plane.catalog, &*plane.blobs, plane.clock.now(), 10).await;
            assert_eq!(expired.unwrap(), 0);
        }
        assert!(plane.catalog.end_upload(&path(OWNER, "team/web"), id).await.unwrap());
    };
    let (answer, ()) = futures::join!(stalled, watched);
    assert_eq!((answer.status, answer.code().as_str()), GONE);
}

#[tokio::test]
async fn bytes_that_no_session_leads_to_are_thrown_away_and_others_are_not() {
    let plane = Plane::new();
    let location = plane.begin("team/web").await;
    let content = content(100_000);
    assert_eq!(patch(&plane, &location, &content).await.0, StatusCode::ACCEPTED);
    let start = || Progress {
        bytes: 0,
        hasher: Hasher::new(Algorithm::Sha256),
    };
    let orphan = UploadId::generate();
    let body = Bytes::from(content.clone());
    let body = Box::pin(futures::stream::once(async { Ok(body) }));
    assert!(
        plane
            .blobs
            .append(orphan, start(), body, u64::MAX)
            .await
            .failure
            .is_none()
    );
    // One that a request writes to just now, before its row can be seen.
    let working = UploadId::generate();
    let head = Bytes::from(content.clone());
    let (mut sender, receiver) = futures::channel::mpsc::channel(0);
    let appending = plane.blobs.append(working, start(), receiver.boxed(), u64::MAX);
    let pass = async |untouched_for| {
        discard_stale_uploads(&*plane.catalog, &*plane.blobs, untouched_for, 10)
            .await
            .unwrap()
    };
    let passes = async {
        sender.send(Ok(head)).await.unwrap();
        sender.send(Ok(Bytes::from_static(b"more"))).await.unwrap();
        assert_eq!(pass(Duration::from_hours(1)).await, 0, "too young");
        assert_eq!(pass(Duration::ZERO).await, 1);
        assert_eq!(pass(Duration::ZERO).await, 0);
        sender.close_channel();
    };
    let (appended, ()) = futures::join!(appending, passes);
    assert!(appended.failure.is_none(), "{appended:?}");
    assert_eq!(pass(Duration::ZERO).await, 1);
    assert_eq!(
        finish(&plane, &location, &sha256(&content)).await.0,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_pass_over_stale_uploads_reports_a_store_that_fails() {
    let (plane, faults) = on_faulty_store();
    let store = FaultyBlobStore::new(Arc::clone(&plane.blobs) as _, Arc::clone(&faults));
    faults.plan(Fault::StaleUploads, 0, EIO);
    let pass = || discard_stale_uploads(&*plane.catalog, &store, Duration::ZERO, 10);
    assert!(pass().await.is_err());
    assert_eq!(pass().await.unwrap(), 0);
    faults.plan(Fault::Check, 0, EIO);
    let error = store.check().await.unwrap_err();
    assert_ne!(error.0.kind(), ErrorKind::NotFound);
}
