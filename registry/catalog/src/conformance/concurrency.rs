// SPDX-License-Identifier: Apache-2.0
//! Many writers at once. A store may answer [`CatalogError::Busy`] or [`CatalogError::Conflict`]; then nothing
//! was written and trying again must succeed in the end.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;
use crate::{CatalogError, DeleteImageError, UploadState};

const WRITERS: usize = 16;
const ROUNDS: usize = 20;
const MAX_ATTEMPTS: usize = 1000;

/// Runs every case of this module.
pub async fn all(fixture: &dyn Fixture) {
    no_concurrent_tag_is_lost(fixture).await;
    a_contended_tag_points_to_one_of_its_images(fixture).await;
    one_writer_advances_a_session(fixture).await;
    one_commit_ends_a_session(fixture).await;
    no_index_lists_a_deleted_child(fixture).await;
    no_tag_points_to_a_deleted_image(fixture).await;
}

/// Tries again while the store is busy.
async fn patiently<T, F: Future<Output = Result<T, PutImageError>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, PutImageError> {
    for _ in 0..MAX_ATTEMPTS {
        match attempt().await {
            Err(PutImageError::Catalog(CatalogError::Busy | CatalogError::Conflict)) => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            done => return done,
        }
    }
    panic!("the store was busy {MAX_ATTEMPTS} times");
}

/// Each of many writers pushes its own image with its own tag: all are there in the end.
pub async fn no_concurrent_tag_is_lost(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let blob = linked_blob(fixture, &repository).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (catalog, repository) = (fixture.catalog(), repository.clone());
        writers.spawn(async move {
            for round in 0..4 {
                let image = new_image(&manifest(&[blob]), &[&format!("w{writer:02}-{round}"), "shared"]);
                let outcome = patiently(|| catalog.put_image(&repository, image.clone()))
                    .await
                    .unwrap();
                assert!(outcome.is_new);
                // What was acknowledged is seen at once, whatever others do.
                let own = Reference::Tag(image.tags.first().unwrap().clone());
                let read = catalog
                    .image(&repository, &own)
                    .await
                    .unwrap()
                    .expect("read your writes");
                assert_eq!(read.digest, image.digest);
            }
        });
    }
    finished(writers).await;
    let mut want: Vec<_> = (0..WRITERS)
        .flat_map(|writer| (0..4).map(move |round| format!("w{writer:02}-{round}")))
        .collect();
    want.insert(0, "shared".into());
    assert_eq!(all_tags(fixture, &repository).await, want);
}

/// Many writers move one tag: it points to one of their images, and none of the images is lost.
pub async fn a_contended_tag_points_to_one_of_its_images(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let blob = linked_blob(fixture, &repository).await;
    let images: Vec<_> = (0..WRITERS)
        .map(|_| new_image(&manifest(&[blob]), &["latest"]))
        .collect();
    let mut writers = JoinSet::new();
    for image in images.clone() {
        let (catalog, repository) = (fixture.catalog(), repository.clone());
        writers.spawn(async move {
            patiently(|| catalog.put_image(&repository, image.clone()))
                .await
                .unwrap();
        });
    }
    finished(writers).await;
    let latest = target(fixture, &repository, "latest").await.unwrap();
    assert!(images.iter().any(|image| image.digest == latest));
    for image in images {
        assert!(is_stored(fixture, &repository, &image.digest).await);
    }
    assert_eq!(all_tags(fixture, &repository).await, ["latest"]);
}

/// Of many that have read the same version of a session, one advances it.
pub async fn one_writer_advances_a_session(fixture: &dyn Fixture) {
    let (catalog, repository, id) = (fixture.catalog(), repository(fixture).await, UploadId::generate());
    catalog
        .begin_upload(&repository, id, Algorithm::Sha256, at(60))
        .await
        .unwrap();
    let version = catalog.upload(&repository, id, at(0)).await.unwrap().unwrap().version;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (catalog, repository) = (fixture.catalog(), repository.clone());
        writers.spawn(async move {
            let state = UploadState::Buffered(Bytes::from(vec![0; writer + 1]));
            loop {
                match catalog
                    .advance_upload(&repository, id, version, state.clone(), at(60))
                    .await
                {
                    Ok(_) => break Some(state),
                    Err(CatalogError::Conflict) => break None,
                    Err(CatalogError::Busy) => tokio::task::yield_now().await,
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    let winners: Vec<_> = finished(writers).await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let state = catalog.upload(&repository, id, at(0)).await.unwrap().unwrap().state;
    assert_eq!([state], winners[..]);
}

/// Of many that finish the same session, one links its blob.
pub async fn one_commit_ends_a_session(fixture: &dyn Fixture) {
    let (catalog, repository, id) = (fixture.catalog(), repository(fixture).await, UploadId::generate());
    catalog
        .begin_upload(&repository, id, Algorithm::Sha256, at(60))
        .await
        .unwrap();
    let blob = NewBlob {
        upload: Some(id),
        ..new_blob()
    };
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (catalog, repository, blob) = (fixture.catalog(), repository.clone(), blob.clone());
        writers.spawn(async move {
            loop {
                match catalog.link_blob(&repository, blob.clone(), at(0)).await {
                    Ok(()) => break true,
                    Err(CatalogError::Conflict) => break false,
                    Err(CatalogError::Busy) => tokio::task::yield_now().await,
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    assert_eq!(
        finished(writers).await.into_iter().filter(|has_won| *has_won).count(),
        1
    );
    assert!(catalog.blob(&repository, &blob.digest).await.unwrap().is_some());
}

/// An index is pushed while its child is deleted: one of the two is refused.
pub async fn no_index_lists_a_deleted_child(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    for round in 0..ROUNDS {
        let (_, child) = stored_image(fixture, &repository, &[]).await;
        let list = new_image(&index(&[child]), &[]);
        let (putting, deleting) = race(fixture, &repository, list.clone(), child).await;
        let is_child_there = is_stored(fixture, &repository, &child).await;
        let is_list_there = is_stored(fixture, &repository, &list.digest).await;
        match (putting, deleting) {
            (Ok(_), Err(DeleteImageError::ReferencedByIndex(indexes))) => {
                assert_eq!(indexes, [list.digest]);
                assert!(is_list_there && is_child_there, "round {round}");
            }
            (Err(PutImageError::ChildrenUnknown(missing)), Ok(Some(_))) => {
                assert_eq!(missing, [child]);
                assert!(!is_list_there && !is_child_there, "round {round}");
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
}

/// An image gets a tag while it is deleted: the tag goes with it or brings it back, but never dangles.
pub async fn no_tag_points_to_a_deleted_image(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    for round in 0..ROUNDS {
        let name = format!("round-{round}");
        let (manifest, digest) = stored_image(fixture, &repository, &[]).await;
        let (putting, deleting) = race(fixture, &repository, new_image(&manifest, &[&name]), digest).await;
        let outcome = putting.unwrap();
        let deleted = deleting.unwrap().expect("the image was there");
        let is_listed = all_tags(fixture, &repository).await.contains(&name);
        assert_eq!(
            is_listed,
            is_stored(fixture, &repository, &digest).await,
            "round {round}"
        );
        assert_eq!(
            target(fixture, &repository, &name).await,
            is_listed.then_some(digest),
            "round {round}"
        );
        // The order in which they happened explains everything.
        let was_put_last = outcome.is_new;
        assert_eq!(is_listed, was_put_last, "round {round}");
        assert_eq!(deleted.tags.is_empty(), was_put_last, "round {round}");
    }
}

async fn race(
    fixture: &dyn Fixture,
    repository: &RepositoryPath,
    image: NewImage,
    deleted: Digest,
) -> (
    Result<PutOutcome, PutImageError>,
    Result<Option<crate::DeletedImage>, DeleteImageError>,
) {
    let (catalog, path) = (fixture.catalog(), repository.clone());
    let mut putting = JoinSet::new();
    putting.spawn(async move { patiently(|| catalog.put_image(&path, image.clone())).await });
    let (catalog, path) = (fixture.catalog(), repository.clone());
    let mut deleting = JoinSet::new();
    deleting.spawn(async move {
        let reference = Reference::Digest(deleted);
        for _ in 0..MAX_ATTEMPTS {
            match catalog.delete_image(&path, &reference, at(1), PUSHER).await {
                Err(DeleteImageError::Catalog(CatalogError::Busy | CatalogError::Conflict)) => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                done => return done,
            }
        }
        panic!("the store was busy {MAX_ATTEMPTS} times");
    });
    (finished(putting).await.remove(0), finished(deleting).await.remove(0))
}

/// The results of all tasks; a panic in one of them is the case's.
async fn finished<T: 'static>(mut tasks: JoinSet<T>) -> Vec<T> {
    let mut results = Vec::new();
    while let Some(result) = tasks.join_next().await {
        results.push(result.unwrap());
    }
    results
}
