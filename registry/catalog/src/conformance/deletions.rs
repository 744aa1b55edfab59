// SPDX-License-Identifier: Apache-2.0
//! Deleting images and tags.

use super::*;
use crate::{CatalogError, DeleteImageError, DeletedImage};

/// Runs every case of this module.
pub async fn all(fixture: &dyn Fixture) {
    absent_images_are_none(fixture).await;
    deleting_a_tag_keeps_the_image_until_its_last(fixture).await;
    deleting_a_digest_takes_all_tags(fixture).await;
    children_of_an_index_are_protected(fixture).await;
    deleted_images_can_be_pushed_again(fixture).await;
    deleting_a_subject_keeps_its_referrers(fixture).await;
}

async fn delete(
    fixture: &dyn Fixture,
    repository: &RepositoryPath,
    reference: &Reference,
) -> Result<Option<DeletedImage>, DeleteImageError> {
    fixture
        .catalog()
        .delete_image(repository, reference, at(10), PUSHER)
        .await
}

/// What is not there cannot be deleted, and that is no error of the store.
pub async fn absent_images_are_none(fixture: &dyn Fixture) {
    let (repository, other) = (repository(fixture).await, self::repository(fixture).await);
    let (_, digest) = stored_image(fixture, &repository, &["v1"]).await;
    for reference in [
        by_tag("v1"),
        by_tag("v2"),
        Reference::Digest(digest),
        Reference::Digest(new_blob().digest),
    ] {
        assert_eq!(delete(fixture, &other, &reference).await.unwrap(), None);
    }
    assert_eq!(target(fixture, &repository, "v1").await, Some(digest));
    let nowhere = path("000000000000");
    let deleted = delete(fixture, &nowhere, &by_tag("v1")).await;
    let Err(DeleteImageError::Catalog(CatalogError::RepositoryUnknown(path))) = deleted else {
        panic!("{deleted:?}")
    };
    assert_eq!(path, nowhere);
}

/// By tag, only the tag goes; with the last tag goes the image (ECR, "Deleting an image").
pub async fn deleting_a_tag_keeps_the_image_until_its_last(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let (_, digest) = stored_image(fixture, &repository, &["a", "b"]).await;
    let deleted = delete(fixture, &repository, &by_tag("a")).await.unwrap();
    assert_eq!(
        deleted,
        Some(DeletedImage {
            digest,
            tags: vec![tag("a")],
            is_image_gone: false
        })
    );
    assert_eq!(all_tags(fixture, &repository).await, ["b"]);
    assert_eq!(target(fixture, &repository, "b").await, Some(digest));
    assert_eq!(delete(fixture, &repository, &by_tag("a")).await.unwrap(), None);

    let deleted = delete(fixture, &repository, &by_tag("b")).await.unwrap();
    assert_eq!(
        deleted,
        Some(DeletedImage {
            digest,
            tags: vec![tag("b")],
            is_image_gone: true
        })
    );
    assert!(!is_stored(fixture, &repository, &digest).await);
    assert!(all_tags(fixture, &repository).await.is_empty());
}

/// By digest, everything goes, and nothing else.
pub async fn deleting_a_digest_takes_all_tags(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let (_, digest) = stored_image(fixture, &repository, &["a", "c", "e"]).await;
    let (_, other) = stored_image(fixture, &repository, &["b", "d"]).await;
    let deleted = delete(fixture, &repository, &Reference::Digest(digest))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((deleted.digest, deleted.is_image_gone), (digest, true));
    assert_eq!(sorted(deleted.tags), ["a", "c", "e"].map(tag));
    assert!(!is_stored(fixture, &repository, &digest).await);
    assert_eq!(all_tags(fixture, &repository).await, ["b", "d"]);
    assert_eq!(target(fixture, &repository, "b").await, Some(other));

    let (_, untagged) = stored_image(fixture, &repository, &[]).await;
    let deleted = delete(fixture, &repository, &Reference::Digest(untagged))
        .await
        .unwrap();
    assert_eq!(
        deleted,
        Some(DeletedImage {
            digest: untagged,
            tags: Vec::new(),
            is_image_gone: true
        })
    );
}

/// An image that an index lists cannot be deleted, nor can its last tag; another tag can. When the index is gone, it
/// can be deleted.
pub async fn children_of_an_index_are_protected(fixture: &dyn Fixture) {
    let (repository, other) = (repository(fixture).await, self::repository(fixture).await);
    let (child_manifest, child) = stored_image(fixture, &repository, &["child", "other"]).await;
    let one = stored_index(fixture, &repository, &[child, child], &["one"]).await;
    let two = stored_index(fixture, &repository, &[child], &[]).await;
    let by_digest = Reference::Digest(child);

    let deleted = delete(fixture, &repository, &by_digest).await;
    let Err(DeleteImageError::ReferencedByIndex(indexes)) = deleted else {
        panic!("{deleted:?}")
    };
    assert_eq!(sorted(indexes), sorted([one, two]));
    assert_eq!(target(fixture, &repository, "child").await, Some(child));

    let deleted = delete(fixture, &repository, &by_tag("other")).await.unwrap();
    assert_eq!(
        deleted,
        Some(DeletedImage {
            digest: child,
            tags: vec![tag("other")],
            is_image_gone: false
        })
    );
    let deleted = delete(fixture, &repository, &by_tag("child")).await;
    assert!(
        matches!(&deleted, Err(DeleteImageError::ReferencedByIndex(_))),
        "{deleted:?}"
    );
    assert_eq!(target(fixture, &repository, "child").await, Some(child));
    assert_eq!(all_tags(fixture, &repository).await, ["child", "one"]);

    // An index of another repository protects nothing here.
    for blob in Manifest::parse(child_manifest.to_string().into(), None)
        .unwrap()
        .required_blobs()
    {
        assert!(
            fixture
                .catalog()
                .mount_blob(&repository, &other, &blob.digest, at(0))
                .await
                .unwrap()
        );
    }
    put(fixture, &other, &child_manifest, &["copy"]).await.unwrap();
    assert!(delete(fixture, &other, &by_digest).await.unwrap().is_some());

    assert!(
        delete(fixture, &repository, &Reference::Digest(two))
            .await
            .unwrap()
            .unwrap()
            .is_image_gone
    );
    let deleted = delete(fixture, &repository, &by_digest).await;
    assert!(
        matches!(&deleted, Err(DeleteImageError::ReferencedByIndex(left)) if *left == [one]),
        "{deleted:?}"
    );
    assert!(
        delete(fixture, &repository, &by_tag("one"))
            .await
            .unwrap()
            .unwrap()
            .is_image_gone
    );
    assert!(
        is_stored(fixture, &repository, &child).await,
        "children outlive their index"
    );
    assert!(
        delete(fixture, &repository, &by_digest)
            .await
            .unwrap()
            .unwrap()
            .is_image_gone
    );
}

/// Deleting is no memory: the same image comes back as a new one, under its own tags only.
pub async fn deleted_images_can_be_pushed_again(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let (manifest, digest) = stored_image(fixture, &repository, &["old"]).await;
    delete(fixture, &repository, &Reference::Digest(digest)).await.unwrap();
    let stored = put(fixture, &repository, &index(&[digest]), &[]).await;
    assert!(
        matches!(&stored, Err(PutImageError::ChildrenUnknown(missing)) if *missing == [digest]),
        "{stored:?}"
    );
    assert!(put(fixture, &repository, &manifest, &["new"]).await.unwrap().is_new);
    assert_eq!(all_tags(fixture, &repository).await, ["new"]);
    assert_eq!(target(fixture, &repository, "new").await, Some(digest));
    put(fixture, &repository, &index(&[digest]), &[]).await.unwrap();
}

/// A signature is still listed when what it signs is gone (it may come back).
pub async fn deleting_a_subject_keeps_its_referrers(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let (_, subject) = stored_image(fixture, &repository, &["v1"]).await;
    let mut signature = manifest(&[linked_blob(fixture, &repository).await]);
    signature["subject"] = descriptor(MediaType::OCI_MANIFEST, &subject);
    put(fixture, &repository, &signature, &[]).await.unwrap();
    delete(fixture, &repository, &Reference::Digest(subject)).await.unwrap();
    let referrers = fixture
        .catalog()
        .referrers(&repository, &subject, None, None, 10)
        .await
        .unwrap();
    let signature = digest_of(signature.to_string().as_bytes());
    assert_eq!(
        referrers.iter().map(|referrer| referrer.digest).collect::<Vec<_>>(),
        [signature]
    );
    delete(fixture, &repository, &Reference::Digest(signature))
        .await
        .unwrap();
    assert!(
        fixture
            .catalog()
            .referrers(&repository, &subject, None, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}
