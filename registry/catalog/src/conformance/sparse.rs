// SPDX-License-Identifier: Apache-2.0
//! Indexes whose children are not all there, in repositories that take them.

use super::*;
use crate::DeleteImageError;

/// Runs every case of this module.
pub async fn all(fixture: &dyn Fixture) {
    a_sparse_index_is_taken_where_it_is_allowed(fixture).await;
    children_that_come_later_are_protected(fixture).await;
    what_a_deleted_index_missed_is_forgotten(fixture).await;
    blobs_are_needed_all_the_same(fixture).await;
}

/// A new repository that takes sparse indexes.
async fn sparse(fixture: &dyn Fixture) -> RepositoryPath {
    let path = repository(fixture).await;
    fixture.allow_sparse_indexes(&path, true).await;
    path
}

async fn delete(
    fixture: &dyn Fixture,
    repository: &RepositoryPath,
    digest: Digest,
) -> Result<Option<crate::DeletedImage>, DeleteImageError> {
    fixture
        .catalog()
        .delete_image(repository, &Reference::Digest(digest), at(10), PUSHER)
        .await
}

/// Asserts that `child` is not deleted because of `index`.
async fn assert_protected(fixture: &dyn Fixture, repository: &RepositoryPath, child: Digest, index: Digest) {
    let refused = delete(fixture, repository, child).await;
    let Err(DeleteImageError::ReferencedByIndex(indexes)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(indexes, [index]);
    assert!(is_stored(fixture, repository, &child).await);
}

/// Only the setting of the repository counts, at the time of the push.
pub async fn a_sparse_index_is_taken_where_it_is_allowed(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let (_, there) = stored_image(fixture, &repository, &[]).await;
    // More than one statement takes.
    let mut children: Vec<_> = (0..70).map(|_| new_blob().digest).collect();
    children.push(there);
    let list = index(&children);
    for is_allowed in [false, true, false] {
        fixture.allow_sparse_indexes(&repository, is_allowed).await;
        let stored = put(fixture, &repository, &list, &["list"]).await;
        let digest = digest_of(list.to_string().as_bytes());
        if is_allowed {
            assert!(stored.unwrap().is_new);
            assert_eq!(target(fixture, &repository, "list").await, Some(digest));
            assert_protected(fixture, &repository, there, digest).await;
        } else if is_stored(fixture, &repository, &digest).await {
            assert!(!stored.unwrap().is_new, "what is stored stays");
        } else {
            let Err(PutImageError::ChildrenUnknown(missing)) = stored else {
                panic!("{stored:?}")
            };
            assert_eq!(missing.len(), 70);
        }
    }
    let refused = put(fixture, &repository, &index(&[new_blob().digest]), &[]).await;
    assert!(matches!(refused, Err(PutImageError::ChildrenUnknown(_))), "{refused:?}");
}

/// From its push on, a child is like one that was there before the index, also an index itself.
pub async fn children_that_come_later_are_protected(fixture: &dyn Fixture) {
    let (repository, other) = (sparse(fixture).await, sparse(fixture).await);
    let image = manifest(&[linked_blob(fixture, &repository).await]);
    let child = digest_of(image.to_string().as_bytes());
    let inner_list = index(&[child]);
    let inner = digest_of(inner_list.to_string().as_bytes());
    let outer = stored_index(fixture, &repository, &[inner], &["outer"]).await;
    put(fixture, &repository, &inner_list, &[]).await.unwrap();
    assert!(!is_stored(fixture, &repository, &child).await);
    put(fixture, &repository, &image, &["v1"]).await.unwrap();

    assert_protected(fixture, &repository, inner, outer).await;
    assert_protected(fixture, &repository, child, inner).await;
    let untagged = fixture
        .catalog()
        .delete_image(&repository, &by_tag("v1"), at(10), PUSHER)
        .await;
    assert!(
        matches!(&untagged, Err(DeleteImageError::ReferencedByIndex(indexes)) if *indexes == [inner]),
        "{untagged:?}"
    );
    // In another repository nothing lists it.
    let (_, free) = stored_image(fixture, &other, &[]).await;
    assert!(delete(fixture, &other, free).await.unwrap().is_some());

    for digest in [outer, inner, child] {
        assert!(
            delete(fixture, &repository, digest)
                .await
                .unwrap()
                .unwrap()
                .is_image_gone
        );
    }
}

/// A child that comes after its index went is not protected by it.
pub async fn what_a_deleted_index_missed_is_forgotten(fixture: &dyn Fixture) {
    let repository = sparse(fixture).await;
    let image = manifest(&[linked_blob(fixture, &repository).await]);
    let child = digest_of(image.to_string().as_bytes());
    let gone = stored_index(fixture, &repository, &[child], &[]).await;
    assert!(delete(fixture, &repository, gone).await.unwrap().is_some());
    put(fixture, &repository, &image, &[]).await.unwrap();
    assert!(delete(fixture, &repository, child).await.unwrap().is_some());

    // Deleted and pushed again, with an index that missed it in between.
    let list = stored_index(fixture, &repository, &[child], &["list"]).await;
    put(fixture, &repository, &image, &[]).await.unwrap();
    assert_protected(fixture, &repository, child, list).await;
}

/// The setting is about children, not about blobs.
pub async fn blobs_are_needed_all_the_same(fixture: &dyn Fixture) {
    let repository = sparse(fixture).await;
    let stored = put(fixture, &repository, &manifest(&[new_blob().digest]), &["v1"]).await;
    assert!(matches!(stored, Err(PutImageError::BlobsUnknown(_))), "{stored:?}");
}
