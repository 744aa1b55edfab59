// SPDX-License-Identifier: Apache-2.0

use hythe_catalog::{BlobCatalog, UploadCatalog, UploadState};
use hythe_model::{Algorithm, UploadId};

use crate::contents::{after, blob, create, digest, now, path};
use crate::harness::{Database, on_each_engine};

on_each_engine!(what_was_sealed_and_not_linked_is_reviewed);

/// How a sealed session ends.
enum End {
    Linked(u64),
    Cancelled,
    Expired,
    RepositoryDeleted,
    SealedAgain,
}

/// Bytes that may have been published stay findable, however the session ends.
async fn what_was_sealed_and_not_linked_is_reviewed(database: &Database) {
    let store = &database.store;
    let state = || UploadState::Stored {
        bytes: 100_000,
        hash_state: "state".into(),
    };
    let cases = [
        ("linked as what it was sealed as", End::Linked(1), 1),
        ("linked as something else", End::Linked(2), 2),
        ("cancelled", End::Cancelled, 1),
        ("expired", End::Expired, 1),
        ("the repository is gone", End::RepositoryDeleted, 1),
        ("sealed as something else", End::SealedAgain, 1),
    ];
    for (what, end, reviews) in cases {
        create(store, "web").await;
        let upload = UploadId::generate();
        let repository = path("web");
        store
            .begin_upload(&repository, upload, Algorithm::Sha256, after(60))
            .await
            .unwrap();
        let version = store
            .seal_upload(&repository, upload, 0, &digest(1), state(), after(60))
            .await
            .unwrap();
        match end {
            End::Linked(number) => {
                let mut new = blob(number, b"blob");
                new.upload = Some(upload);
                store.link_blob(&repository, new, now()).await.unwrap();
            }
            End::Cancelled => assert!(store.end_upload(&repository, upload).await.unwrap()),
            End::Expired => assert_eq!(store.expire_uploads(after(60), 9).await.unwrap(), [upload]),
            End::RepositoryDeleted => {
                store.delete_repository(&repository, true, None, now()).await.unwrap();
                assert_eq!(store.expire_uploads(now(), 9).await.unwrap(), [upload]);
            }
            End::SealedAgain => {
                // The same digest again is no other.
                let version = store
                    .seal_upload(&repository, upload, version, &digest(1), state(), after(60))
                    .await
                    .unwrap();
                assert_eq!(database.count("blob_review").await, 0, "{what}");
                store
                    .seal_upload(&repository, upload, version, &digest(2), state(), after(60))
                    .await
                    .unwrap();
            }
        }
        let of_first = format!("blob_review WHERE digest = '{}'", digest(1));
        assert_eq!(database.count(&of_first).await, 1, "{what}");
        assert_eq!(database.count("blob_review").await, reviews, "{what}");
        if store.repository_usage(&repository).await.unwrap().is_some() {
            store.delete_repository(&repository, true, None, now()).await.unwrap();
        }
        database.execute("DELETE FROM upload").await;
        database.execute("DELETE FROM blob_review").await;
    }
}
