// SPDX-License-Identifier: Apache-2.0
//! Deleting softly, restoring, purging, and what follows a subject.

use hythe_catalog::{BlobCatalog, CatalogError, ImageCatalog, Unlinked};
use hythe_meta::{
    Deletion, DeletionReason, ImageDetail, ImageIdentifier, ImageNotDeleted, PutRegistrySettingsError,
    RestoreImageError, Store, TagNotRestored,
};
use hythe_model::{Digest, Reference};

use crate::contents::{account, after, artifact, create, digest, image, index, link, new_repository, path, push, tag};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_batch_says_of_each_image_what_became_of_it,
    a_deleted_image_comes_back_with_its_tags,
    tags_that_were_taken_stay_where_they_are,
    an_image_that_was_pushed_again_gets_its_tags_back,
    an_index_brings_back_what_it_lists,
    a_sparse_index_comes_back_sparse,
    blobs_that_were_unlinked_come_back,
    what_is_purged_is_gone,
    purging_takes_those_whose_time_is_over,
    without_a_window_images_are_gone_at_once,
    referrers_follow_their_subject,
    referrers_stay_if_the_subject_comes_back_first,
    referrers_come_back_if_the_subject_does_meanwhile,
    referrers_follow_although_the_clock_went_back,
    settings_are_changed_once,
    a_repository_goes_with_its_deleted_images,
);

const DAY: i64 = 24 * 60 * 60;

fn deletion(seconds: i64) -> Deletion {
    Deletion {
        at: after(seconds),
        by: "arn:me".into(),
        reason: DeletionReason::Request,
    }
}

async fn delete(store: &Store, number: u64) {
    let image = [ImageIdentifier::Digest(digest(number))];
    let deletions = store.delete_images(&path("web"), &image, &deletion(1)).await.unwrap();
    deletions[0].as_ref().unwrap();
}

async fn is_there(store: &Store, number: u64) -> bool {
    let reference = Reference::Digest(digest(number));
    store.image(&path("web"), &reference).await.unwrap().is_some()
}

async fn target(store: &Store, name: &str) -> Option<Digest> {
    let reference = Reference::Tag(tag(name));
    let found = store.image(&path("web"), &reference).await.unwrap();
    found.map(|found| found.digest)
}

async fn deleted(store: &Store) -> Vec<Digest> {
    let records = store.deleted_images(&path("web"), None, 100).await.unwrap().unwrap();
    records.into_iter().map(|record| record.digest).collect()
}

async fn restore(store: &Store, number: u64) -> Result<hythe_meta::RestoredImage, RestoreImageError> {
    store
        .restore_image(&path("web"), &digest(number), None, after(2), "arn:you")
        .await
}

async fn a_batch_says_of_each_image_what_became_of_it(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["a", "b"])).await;
    push(store, "web", image(11, &[1], &["child"])).await;
    push(store, "web", index(12, &[11], &["list"])).await;
    push(store, "web", image(13, &[1], &["c", "d"])).await;
    let images = [
        ImageIdentifier::Tag(tag("a")),
        ImageIdentifier::Tag(tag("none")),
        ImageIdentifier::Digest(digest(99)),
        ImageIdentifier::TagOfImage(tag("b"), digest(11)),
        ImageIdentifier::TagOfImage(tag("b"), digest(10)),
        // The index goes, and what it lists stays for this time.
        ImageIdentifier::Digest(digest(12)),
        ImageIdentifier::Digest(digest(11)),
        ImageIdentifier::Tag(tag("child")),
        ImageIdentifier::Digest(digest(13)),
    ];
    let deletions = store.delete_images(&path("web"), &images, &deletion(1)).await.unwrap();
    let shown: Vec<_> = deletions
        .iter()
        .map(|deletion| {
            deletion
                .as_ref()
                .map(|it| (it.digest, it.tags.clone(), it.is_image_gone))
                .map_err(Clone::clone)
        })
        .collect();
    let listed = || Err(ImageNotDeleted::ReferencedByIndex(vec![digest(12)]));
    assert_eq!(
        shown,
        [
            Ok((digest(10), vec![tag("a")], false)),
            Err(ImageNotDeleted::Unknown),
            Err(ImageNotDeleted::Unknown),
            Err(ImageNotDeleted::TagDoesNotMatchDigest(digest(10))),
            Ok((digest(10), vec![tag("b")], true)),
            Ok((digest(12), vec![tag("list")], true)),
            listed(),
            listed(),
            Ok((digest(13), vec![tag("c"), tag("d")], true)),
        ]
    );
    assert!(is_there(store, 11).await);
    assert_eq!(store.image_counts().deleted_by_request, 3);
    let nowhere = store.delete_images(&path("no"), &images, &deletion(1)).await;
    assert!(
        matches!(nowhere, Err(CatalogError::RepositoryUnknown(_))),
        "{nowhere:?}"
    );
}

async fn a_deleted_image_comes_back_with_its_tags(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    link(store, "web", 2).await;
    push(store, "web", image(10, &[1, 2], &["v1", "v2"])).await;
    database.execute("DELETE FROM blob_review").await;
    let before = store
        .image_detail(&path("web"), &Reference::Digest(digest(10)))
        .await
        .unwrap()
        .unwrap();
    delete(store, 10).await;
    assert!(!is_there(store, 10).await);
    for table in ["image", "image_blob", "tag", "blob_review"] {
        assert_eq!(database.count(table).await, 0, "{table}");
    }
    let record = store.deleted_image(&path("web"), &digest(10)).await.unwrap().unwrap();
    assert_eq!(record.tags, [tag("v1"), tag("v2")]);
    assert_eq!((record.deleted_at, record.purge_at), (after(1), after(1 + 7 * DAY)));
    assert_eq!(
        (record.deleted_by.as_str(), record.reason),
        ("arn:me", DeletionReason::Request)
    );

    let restored = restore(store, 10).await.unwrap();
    assert!(restored.is_restored);
    assert_eq!(restored.tags, [(tag("v1"), Ok(())), (tag("v2"), Ok(()))]);
    let now_there = store
        .image_detail(&path("web"), &Reference::Digest(digest(10)))
        .await
        .unwrap()
        .unwrap();
    assert!(now_there.activated_at.is_some(), "its age begins anew");
    let but_for_that = ImageDetail {
        activated_at: None,
        ..now_there
    };
    assert_eq!(but_for_that, before);
    assert_eq!(database.count("image_blob").await, 2);
    assert_eq!(database.count("deleted_image_blob").await, 0);
    assert!(deleted(store).await.is_empty());
    let moves = store.tag_history(&path("web"), &tag("v1"), None, 10).await.unwrap();
    let shown: Vec<_> = moves.iter().map(|it| (it.moved_by.as_str(), it.to)).collect();
    assert_eq!(shown[..2], [("arn:you", Some(digest(10))), ("arn:me", None)]);

    // Once more changes nothing.
    let again = restore(store, 10).await.unwrap();
    assert!(!again.is_restored && again.tags.is_empty());
    assert!(matches!(restore(store, 99).await, Err(RestoreImageError::Unknown)));
}

async fn tags_that_were_taken_stay_where_they_are(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["a", "b", "c"])).await;
    delete(store, 10).await;
    push(store, "web", image(11, &[1], &["b"])).await;
    let wanted = [tag("a"), tag("b"), tag("odd")];
    let restored = store
        .restore_image(&path("web"), &digest(10), Some(&wanted), after(2), "arn:you")
        .await
        .unwrap();
    assert_eq!(
        restored.tags,
        [
            (tag("a"), Ok(())),
            (tag("b"), Err(TagNotRestored::Taken(digest(11)))),
            (tag("odd"), Err(TagNotRestored::NotItsTag)),
        ]
    );
    assert_eq!(target(store, "a").await, Some(digest(10)));
    assert_eq!(target(store, "b").await, Some(digest(11)));
    assert_eq!(target(store, "c").await, None);
}

async fn an_image_that_was_pushed_again_gets_its_tags_back(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    delete(store, 10).await;
    push(store, "web", image(10, &[1], &["new"])).await;
    let restored = restore(store, 10).await.unwrap();
    assert!(!restored.is_restored);
    assert_eq!(target(store, "v1").await, Some(digest(10)));
    assert_eq!(target(store, "new").await, Some(digest(10)));
    // The last deletion counts.
    delete(store, 10).await;
    let record = store.deleted_image(&path("web"), &digest(10)).await.unwrap().unwrap();
    assert_eq!(record.tags, [tag("new"), tag("v1")]);
    assert_eq!(database.count("deleted_image").await, 1);
}

async fn an_index_brings_back_what_it_lists(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["amd64"])).await;
    push(store, "web", image(11, &[1], &[])).await;
    push(store, "web", index(12, &[10, 11], &[])).await;
    push(store, "web", index(13, &[10, 12], &["list"])).await;
    for number in [13, 12, 10] {
        delete(store, number).await;
    }
    let restored = restore(store, 13).await.unwrap();
    let mut children = restored.children;
    children.sort();
    assert_eq!(children, [digest(10), digest(12)]);
    assert_eq!(target(store, "amd64").await, Some(digest(10)));
    assert_eq!(database.count("image_child").await, 4);
    assert_eq!(database.count("image_missing_child").await, 0);
    let refused = store
        .delete_images(&path("web"), &[ImageIdentifier::Digest(digest(10))], &deletion(3))
        .await
        .unwrap();
    assert_eq!(
        refused,
        [Err(ImageNotDeleted::ReferencedByIndex(vec![digest(12), digest(13)]))]
    );

    for number in [13, 12, 10] {
        delete(store, number).await;
    }
    store
        .purge_image(&path("web"), &digest(10), after(3))
        .await
        .unwrap()
        .unwrap();
    let refused = restore(store, 13).await;
    assert!(
        matches!(&refused, Err(RestoreImageError::ChildrenGone(gone)) if *gone == [digest(10)]),
        "{refused:?}"
    );
    assert!(!is_there(store, 12).await, "as a whole or not at all");
}

async fn a_sparse_index_comes_back_sparse(database: &Database) {
    let store = &database.store;
    let repository = hythe_meta::NewRepository {
        allow_sparse_indexes: true,
        ..new_repository("web")
    };
    store.create_repository(repository).await.unwrap();
    link(store, "web", 1).await;
    push(store, "web", index(12, &[10, 11], &["list"])).await;
    delete(store, 12).await;
    push(store, "web", image(10, &[1], &[])).await;
    restore(store, 12).await.unwrap();
    assert_eq!(database.count("image_child").await, 1);
    assert_eq!(database.count("image_missing_child").await, 1);
    push(store, "web", image(11, &[1], &[])).await;
    assert_eq!(database.count("image_missing_child").await, 0);
}

async fn blobs_that_were_unlinked_come_back(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    delete(store, 10).await;
    let unlinked = store.unlink_blob(&path("web"), &digest(1), after(2)).await.unwrap();
    assert_eq!(unlinked, Unlinked::Done);
    assert!(store.blob(&path("web"), &digest(1)).await.unwrap().is_none());
    restore(store, 10).await.unwrap();
    assert!(store.blob(&path("web"), &digest(1)).await.unwrap().is_some());
}

async fn what_is_purged_is_gone(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    database.execute("DELETE FROM blob_review").await;
    delete(store, 10).await;
    let purged = store.purge_image(&path("web"), &digest(10), after(2)).await.unwrap();
    assert_eq!(purged.unwrap().tags, [tag("v1")]);
    assert_eq!(database.count("blob_review").await, 1);
    assert_eq!(database.count("deleted_image_blob").await, 0);
    let again = store.purge_image(&path("web"), &digest(10), after(2)).await.unwrap();
    assert_eq!(again, None);
    assert!(matches!(restore(store, 10).await, Err(RestoreImageError::Unknown)));
}

async fn purging_takes_those_whose_time_is_over(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    for number in 10..15 {
        push(store, "web", image(number, &[1], &[])).await;
        delete(store, number).await;
    }
    store.put_registry_settings(&account(), 30, None).await.unwrap();
    push(store, "web", image(15, &[1], &[])).await;
    delete(store, 15).await;
    database.execute("DELETE FROM blob_review").await;
    let end = 1 + 7 * DAY;
    assert_eq!(store.purge_images(after(end - 1), 10).await.unwrap(), 0);
    assert_eq!(store.purge_images(after(end), 3).await.unwrap(), 3);
    assert_eq!(store.purge_images(after(end), 3).await.unwrap(), 2);
    assert_eq!(deleted(store).await, [digest(15)]);
    assert_eq!(database.count("blob_review").await, 1);
    assert_eq!(store.image_counts().purged, 5);
}

async fn without_a_window_images_are_gone_at_once(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    database.execute("DELETE FROM blob_review").await;
    store.put_registry_settings(&account(), 0, None).await.unwrap();
    delete(store, 10).await;
    assert!(deleted(store).await.is_empty());
    assert_eq!(database.count("blob_review").await, 1);
}

async fn referrers_follow_their_subject(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    // More than one transaction takes along, and a signature of the first of them.
    for number in 1000..1150 {
        push(store, "web", artifact(number, 1, 10, "a/b")).await;
    }
    push(store, "web", artifact(2000, 1, 1000, "a/b")).await;
    push(store, "web", artifact(3000, 1, 10, "a/b")).await;
    push(store, "web", index(3001, &[3000], &[])).await;
    assert_eq!(store.follow_subjects(after(1), 10).await.unwrap().subjects, 0);
    delete(store, 10).await;
    let followed = store.follow_subjects(after(1), 10).await.unwrap();
    assert_eq!((followed.subjects, followed.deleted), (1, 150));
    assert!(is_there(store, 3000).await, "an index lists it");
    let followed = store.follow_subjects(after(1), 10).await.unwrap();
    assert_eq!((followed.subjects, followed.deleted), (1, 1), "the signature of one");
    assert_eq!(store.follow_subjects(after(1), 10).await.unwrap().subjects, 0);
    let record = store.deleted_image(&path("web"), &digest(1000)).await.unwrap().unwrap();
    assert_eq!(record.reason, DeletionReason::SubjectDeleted(digest(10)));
    assert_eq!(record.deleted_by, "arn:me");

    // One that somebody deleted before stays deleted.
    restore(store, 10).await.unwrap();
    let followed = store.follow_subject(&path("web"), &digest(10), after(2)).await.unwrap();
    assert_eq!(followed.restored, 150);
    let followed = store.follow_subjects(after(2), 10).await.unwrap();
    assert_eq!((followed.subjects, followed.restored), (1, 1));
    assert!(is_there(store, 2000).await);
    assert!(deleted(store).await.is_empty());
    assert_eq!(database.count("subject_change").await, 0);
}

async fn referrers_stay_if_the_subject_comes_back_first(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    push(store, "web", artifact(20, 1, 10, "a/b")).await;
    delete(store, 10).await;
    push(store, "web", image(10, &[1], &[])).await;
    assert_eq!(store.follow_subjects(after(1), 10).await.unwrap().deleted, 0);
    assert!(is_there(store, 20).await);
    delete(store, 10).await;
    restore(store, 10).await.unwrap();
    assert_eq!(store.follow_subjects(after(2), 10).await.unwrap().subjects, 0);
    assert!(is_there(store, 20).await);
}

async fn referrers_come_back_if_the_subject_does_meanwhile(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    // Three transactions, so that the restoration comes between two of them.
    for number in 1000..1250 {
        push(store, "web", artifact(number, 1, 10, "a/b")).await;
    }
    for round in 0..8 {
        let at = 10 * round;
        delete(store, 10).await;
        let restoring = async {
            while deleted(store).await.len() < 2 {
                tokio::task::yield_now().await;
            }
            restore(store, 10).await.unwrap();
        };
        let (followed, ()) = tokio::join!(store.follow_subjects(after(at + 2), 10), restoring);
        followed.unwrap();
        // What was not finished is due when its lease has ended.
        store.follow_subjects(after(at + 1000), 10).await.unwrap();
        assert_eq!(deleted(store).await, [], "round {round}");
        assert_eq!(database.count("subject_change").await, 0);
    }
}

async fn referrers_follow_although_the_clock_went_back(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    push(store, "web", artifact(20, 1, 10, "a/b")).await;
    // By a clock that is a day ahead.
    let images = [ImageIdentifier::Digest(digest(10))];
    store
        .delete_images(&path("web"), &images, &deletion(DAY))
        .await
        .unwrap();
    // As one of another node that is a little behind sees it.
    let waiting = store.follow_subjects(after(DAY - 60), 10).await.unwrap();
    assert_eq!(waiting.subjects, 0);
    let followed = store.follow_subjects(after(60), 10).await.unwrap();
    assert_eq!((followed.subjects, followed.deleted), (1, 1));
    assert!(!is_there(store, 20).await);
}

async fn settings_are_changed_once(database: &Database) {
    let store = &database.store;
    let settings = store.registry_settings(&account()).await.unwrap();
    assert_eq!((settings.deleted_image_retention_days, settings.version), (7, 0));
    let changed = store.put_registry_settings(&account(), 30, Some(0)).await.unwrap();
    assert_eq!((changed.deleted_image_retention_days, changed.version), (30, 1));
    let lost = store.put_registry_settings(&account(), 1, Some(0)).await;
    assert!(
        matches!(lost, Err(PutRegistrySettingsError::VersionMismatch)),
        "{lost:?}"
    );
    assert_eq!(store.registry_settings(&account()).await.unwrap(), changed);
}

async fn a_repository_goes_with_its_deleted_images(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    link(store, "web", 2).await;
    push(store, "web", image(10, &[1], &[])).await;
    push(store, "web", artifact(20, 2, 10, "a/b")).await;
    delete(store, 10).await;
    delete(store, 20).await;
    store.unlink_blob(&path("web"), &digest(2), after(2)).await.unwrap();
    database.execute("DELETE FROM blob_review").await;
    store
        .delete_repository(&path("web"), false, None, after(3))
        .await
        .unwrap();
    for table in ["deleted_image", "deleted_image_blob", "subject_change"] {
        assert_eq!(database.count(table).await, 0, "{table}");
    }
    assert_eq!(database.count("blob_review").await, 2);
}
