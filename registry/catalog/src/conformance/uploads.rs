// SPDX-License-Identifier: Apache-2.0
//! Upload sessions.

use super::*;
use crate::{CatalogError, UploadRecord, UploadState};

/// Runs every case of this module.
pub async fn all(fixture: &dyn Fixture) {
    sessions_start_empty(fixture).await;
    sessions_need_a_repository(fixture).await;
    sessions_advance_from_the_version_read(fixture).await;
    sessions_are_bound_to_their_repository(fixture).await;
    ended_sessions_are_gone(fixture).await;
    expired_sessions_are_not_found_and_collected(fixture).await;
    a_sealed_session_names_its_digest(fixture).await;
    sessions_are_known_whatever_their_repository(fixture).await;
}

/// A new session has no bytes and keeps its algorithm and expiry.
pub async fn sessions_start_empty(fixture: &dyn Fixture) {
    let (catalog, repository) = (fixture.catalog(), repository(fixture).await);
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let id = UploadId::generate();
        assert_eq!(catalog.upload(&repository, id, at(0)).await.unwrap(), None);
        catalog.begin_upload(&repository, id, algorithm, at(60)).await.unwrap();
        let record = catalog.upload(&repository, id, at(0)).await.unwrap().unwrap();
        let state = UploadState::Buffered(Bytes::new());
        let version = record.version; // any number will do
        assert_eq!(
            record,
            UploadRecord {
                id,
                algorithm,
                state,
                version,
                expires_at: at(60),
                sealed: None,
            }
        );
    }
}

/// There are no sessions without a repository.
pub async fn sessions_need_a_repository(fixture: &dyn Fixture) {
    let (catalog, nowhere, id) = (fixture.catalog(), path("000000000000"), UploadId::generate());
    let begun = catalog.begin_upload(&nowhere, id, Algorithm::Sha256, at(60)).await;
    assert!(
        matches!(&begun, Err(CatalogError::RepositoryUnknown(path)) if *path == nowhere),
        "{begun:?}"
    );
    assert_eq!(catalog.upload(&nowhere, id, at(0)).await.unwrap(), None);
    let state = UploadState::Buffered(Bytes::new());
    let advanced = catalog.advance_upload(&nowhere, id, 0, state, at(60)).await;
    assert!(
        matches!(
            advanced,
            Err(CatalogError::RepositoryUnknown(_) | CatalogError::Conflict)
        ),
        "{advanced:?}"
    );
    let ended = catalog.end_upload(&nowhere, id).await;
    assert!(
        matches!(ended, Ok(false) | Err(CatalogError::RepositoryUnknown(_))),
        "{ended:?}"
    );
}

/// Each change needs the version before it, and every later read sees it.
pub async fn sessions_advance_from_the_version_read(fixture: &dyn Fixture) {
    let (catalog, repository, id) = (fixture.catalog(), repository(fixture).await, UploadId::generate());
    catalog
        .begin_upload(&repository, id, Algorithm::Sha512, at(60))
        .await
        .unwrap();
    let mut record = catalog.upload(&repository, id, at(0)).await.unwrap().unwrap();
    let hash_state = Bytes::from_static(b"\0\xffnot text\x01");
    let states = [
        UploadState::Buffered(Bytes::from_static(b"\0\xfffirst")),
        UploadState::Buffered(Bytes::from(vec![7; crate::MAX_INLINE_BLOB_BYTES])),
        UploadState::Stored {
            bytes: 5_000_000_000,
            hash_state: hash_state.clone(),
        },
        UploadState::Stored {
            bytes: 5_000_000_001,
            hash_state,
        },
    ];
    for (state, expires_in) in states.into_iter().zip(61..) {
        let before = record.version;
        let version = catalog
            .advance_upload(&repository, id, before, state.clone(), at(expires_in))
            .await
            .unwrap();
        assert_ne!(version, before);
        let stale = UploadState::Buffered(Bytes::from_static(b"too late"));
        let stale = catalog.advance_upload(&repository, id, before, stale, at(90)).await;
        assert!(matches!(stale, Err(CatalogError::Conflict)), "{stale:?}");
        record = catalog.upload(&repository, id, at(0)).await.unwrap().unwrap();
        assert_eq!(
            record,
            UploadRecord {
                id,
                algorithm: Algorithm::Sha512,
                state,
                version,
                expires_at: at(expires_in),
                sealed: None,
            }
        );
    }
}

/// A session is not found, changed or ended through another repository.
pub async fn sessions_are_bound_to_their_repository(fixture: &dyn Fixture) {
    let (catalog, id) = (fixture.catalog(), UploadId::generate());
    let (repository, other) = (repository(fixture).await, self::repository(fixture).await);
    let namesake = RepositoryPath {
        account: "111111111111".parse().unwrap(),
        name: repository.name.clone(),
    };
    fixture.create_repository(&namesake, TagMutability::default()).await;
    catalog
        .begin_upload(&repository, id, Algorithm::Sha256, at(60))
        .await
        .unwrap();
    let record = catalog.upload(&repository, id, at(0)).await.unwrap().unwrap();
    for other in [other, namesake] {
        assert_eq!(catalog.upload(&other, id, at(0)).await.unwrap(), None);
        let state = UploadState::Buffered(Bytes::from_static(b"intruder"));
        let advanced = catalog.advance_upload(&other, id, record.version, state, at(90)).await;
        assert!(matches!(advanced, Err(CatalogError::Conflict)), "{advanced:?}");
        assert!(!catalog.end_upload(&other, id).await.unwrap());
        let linked = catalog
            .link_blob(
                &other,
                NewBlob {
                    upload: Some(id),
                    ..new_blob()
                },
                at(0),
            )
            .await;
        assert!(matches!(linked, Err(CatalogError::Conflict)), "{linked:?}");
    }
    assert_eq!(catalog.upload(&repository, id, at(0)).await.unwrap(), Some(record));
}

/// An ended session is not found and cannot go on.
pub async fn ended_sessions_are_gone(fixture: &dyn Fixture) {
    let (catalog, repository, id) = (fixture.catalog(), repository(fixture).await, UploadId::generate());
    catalog
        .begin_upload(&repository, id, Algorithm::Sha256, at(60))
        .await
        .unwrap();
    let version = catalog.upload(&repository, id, at(0)).await.unwrap().unwrap().version;
    assert!(catalog.end_upload(&repository, id).await.unwrap());
    assert!(!catalog.end_upload(&repository, id).await.unwrap());
    assert_eq!(catalog.upload(&repository, id, at(0)).await.unwrap(), None);
    let state = UploadState::Buffered(Bytes::new());
    let advanced = catalog.advance_upload(&repository, id, version, state, at(60)).await;
    assert!(matches!(advanced, Err(CatalogError::Conflict)), "{advanced:?}");
}

/// An expired session is as good as gone, and is handed out once to be collected.
pub async fn expired_sessions_are_not_found_and_collected(fixture: &dyn Fixture) {
    let (catalog, repository) = (fixture.catalog(), repository(fixture).await);
    // Long before any other case's sessions expire, so that only these are due.
    let past = |seconds: i64| at(seconds - 1_000_000);
    let mut due = Vec::new();
    for seconds in [10, 20, 30] {
        let id = UploadId::generate();
        catalog
            .begin_upload(&repository, id, Algorithm::Sha256, past(seconds))
            .await
            .unwrap();
        due.push(id);
    }
    let alive = UploadId::generate();
    catalog
        .begin_upload(&repository, alive, Algorithm::Sha256, past(100))
        .await
        .unwrap();
    assert!(catalog.upload(&repository, alive, past(50)).await.unwrap().is_some());
    let [first, ..] = due[..] else { panic!("three sessions") };
    assert!(catalog.upload(&repository, first, past(5)).await.unwrap().is_some());
    assert_eq!(catalog.upload(&repository, first, past(15)).await.unwrap(), None);

    let mut collected = Vec::new();
    loop {
        let batch = catalog.expire_uploads(past(50), 2).await.unwrap();
        assert!(batch.len() <= 2, "{batch:?}");
        if batch.is_empty() {
            break;
        }
        collected.extend(batch);
    }
    for id in &due {
        assert_eq!(
            collected.iter().filter(|found| *found == id).count(),
            1,
            "{collected:?}"
        );
        assert!(!catalog.end_upload(&repository, *id).await.unwrap());
    }
    assert!(!collected.contains(&alive));
    assert!(catalog.upload(&repository, alive, past(50)).await.unwrap().is_some());
    assert!(catalog.end_upload(&repository, alive).await.unwrap());
}

/// Sealing is an advance that also names the digest; later changes of the state keep it.
pub async fn a_sealed_session_names_its_digest(fixture: &dyn Fixture) {
    let (catalog, repository, id) = (fixture.catalog(), repository(fixture).await, UploadId::generate());
    let (first, second) = (new_blob().digest, new_blob().digest);
    catalog
        .begin_upload(&repository, id, Algorithm::Sha256, at(60))
        .await
        .unwrap();
    let version = catalog.upload(&repository, id, at(0)).await.unwrap().unwrap().version;
    let state = UploadState::Stored {
        bytes: 70_000,
        hash_state: Bytes::from_static(b"state"),
    };
    let sealed = catalog
        .seal_upload(&repository, id, version, &first, state.clone(), at(61))
        .await
        .unwrap();
    assert_ne!(sealed, version);
    let late = catalog
        .seal_upload(&repository, id, version, &second, state.clone(), at(62))
        .await;
    assert!(matches!(late, Err(CatalogError::Conflict)), "{late:?}");
    let record = |version, digest, expires_in| UploadRecord {
        id,
        algorithm: Algorithm::Sha256,
        state: state.clone(),
        version,
        expires_at: at(expires_in),
        sealed: Some(digest),
    };
    let read = async || catalog.upload(&repository, id, at(0)).await.unwrap().unwrap();
    assert_eq!(read().await, record(sealed, first, 61));
    let again = catalog
        .seal_upload(&repository, id, sealed, &second, state.clone(), at(63))
        .await
        .unwrap();
    assert_eq!(read().await, record(again, second, 63));
    let advanced = catalog
        .advance_upload(&repository, id, again, state.clone(), at(64))
        .await
        .unwrap();
    assert_eq!(read().await, record(advanced, second, 64));

    let blob = NewBlob {
        digest: second,
        upload: Some(id),
        ..new_blob()
    };
    catalog.link_blob(&repository, blob, at(0)).await.unwrap();
    let gone = catalog
        .seal_upload(&repository, id, advanced, &second, state.clone(), at(65))
        .await;
    assert!(matches!(gone, Err(CatalogError::Conflict)), "{gone:?}");
    let nowhere = catalog
        .seal_upload(&path("000000000000"), id, 0, &second, state, at(65))
        .await;
    assert!(
        matches!(
            nowhere,
            Err(CatalogError::RepositoryUnknown(_) | CatalogError::Conflict)
        ),
        "{nowhere:?}"
    );
}

/// Which of many ids are sessions, in any repository; also of more than one statement takes.
pub async fn sessions_are_known_whatever_their_repository(fixture: &dyn Fixture) {
    let catalog = fixture.catalog();
    let repositories = [repository(fixture).await, repository(fixture).await];
    let mut known = Vec::new();
    for number in 0..40 {
        let id = UploadId::generate();
        catalog
            .begin_upload(&repositories[number % 2], id, Algorithm::Sha256, at(60))
            .await
            .unwrap();
        known.push(id);
    }
    assert!(catalog.end_upload(&repositories[0], known[0]).await.unwrap());
    let mut asked = vec![UploadId::generate(), known[0]];
    asked.extend(&known[1..]);
    let found = catalog.known_uploads(&asked).await.unwrap();
    let text = |ids: &[UploadId]| sorted(ids.iter().map(ToString::to_string));
    assert_eq!(text(&found), text(&known[1..]));
    assert_eq!(text(&catalog.known_uploads(&asked[..2]).await.unwrap()), text(&[]));
    assert_eq!(text(&catalog.known_uploads(&[]).await.unwrap()), text(&[]));
    for (number, id) in known.iter().enumerate().skip(1) {
        assert!(catalog.end_upload(&repositories[number % 2], *id).await.unwrap());
    }
}
