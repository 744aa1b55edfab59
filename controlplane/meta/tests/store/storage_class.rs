// SPDX-License-Identifier: Apache-2.0
//! Images that are archived and come back, and where their blobs belong meanwhile.

use hythe_catalog::{BlobCatalog, ImageCatalog, NewBlob};
use hythe_meta::{
    AddExclusionError, BlobMove, BlobMoveLimit, Deletion, DeletionReason, ImageDetail, ImageFilter, ImageIdentifier,
    MAX_PULL_TIME_EXCLUSIONS, Pull, Rollback, RollbackTo, Store, TagStatus, Transition,
};
use hythe_model::{AccountId, Digest, ImageStatus, Reference, StorageClass};

use crate::contents::{after, artifact, create, digest, image, index, link, now, path, push, tag};
use crate::harness::{Database, on_each_engine};

use ImageStatus::{Activating, Active, Archived};
use StorageClass::{Archive, Standard};

on_each_engine!(
    archived_images_cannot_be_pulled_and_come_back,
    what_belongs_to_an_image_goes_with_it,
    an_image_of_an_active_index_is_not_archived,
    a_push_restores_at_once,
    a_rollback_to_an_archived_image_restores_it,
    blobs_follow_the_last_image_that_needs_them,
    a_wish_during_a_move_is_not_lost,
    a_wish_during_a_move_that_fails_does_not_wait_for_it,
    what_an_image_waits_for_that_comes_back_is_moved_first,
    a_claim_takes_so_many_blobs_and_bytes,
    claims_end_and_failures_come_again,
    moves_go_on_when_the_clock_goes_back,
    many_followers_follow_in_the_background,
    a_deleted_image_comes_back_as_it_was,
    blobs_follow_when_an_image_is_deleted_and_restored,
    blobs_follow_when_a_repository_is_deleted,
    what_lists_an_image_wakes_it_when_it_is_restored,
    pulls_are_folded_and_only_forward,
    exclusions_are_kept_once_and_up_to_a_limit,
);

async fn file(store: &Store, repository: &str, number: u64) {
    let blob = NewBlob {
        digest: digest(number),
        size: 100_000,
        inline: None,
        upload: None,
    };
    store.link_blob(&path(repository), blob, now()).await.unwrap();
}

async fn change(store: &Store, number: u64, target: StorageClass) -> Transition {
    change_at(store, number, target, 5).await
}

async fn change_at(store: &Store, number: u64, target: StorageClass, at: i64) -> Transition {
    let found = store
        .transition_images(&path("web"), &[digest(number)], target, after(at))
        .await;
    found.unwrap().unwrap().remove(0)
}

async fn status(store: &Store, number: u64) -> ImageStatus {
    let reference = Reference::Digest(digest(number));
    let found = store.image_detail(&path("web"), &reference).await.unwrap();
    found.unwrap().status
}

async fn can_pull(store: &Store, reference: &Reference) -> bool {
    store.image(&path("web"), reference).await.unwrap().is_some()
}

async fn claim(store: &Store, owner: &str, at: i64) -> Vec<BlobMove> {
    let limit = BlobMoveLimit {
        blobs: 100,
        bytes: u64::MAX,
    };
    claim_up_to(store, owner, at, limit).await
}

async fn claim_up_to(store: &Store, owner: &str, at: i64, limit: BlobMoveLimit) -> Vec<BlobMove> {
    store
        .claim_blob_moves(owner, after(at), after(at + 60), limit)
        .await
        .unwrap()
}

/// Moves what is due; what went where, by digest.
async fn move_all(store: &Store, at: i64) -> Vec<(Digest, StorageClass)> {
    let mut moved = Vec::new();
    for found in claim(store, "me", at).await {
        store.complete_blob_move("me", &found).await.unwrap();
        moved.push((found.digest, found.to));
    }
    moved.sort_by_key(|(digest, _)| *digest);
    moved
}

async fn activate(store: &Store) -> u64 {
    store.finish_activations(None, 100, after(9)).await.unwrap().count
}

async fn archived_images_cannot_be_pulled_and_come_back(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    file(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["a", "b"])).await;
    push(store, "web", image(11, &[1], &["c"])).await;
    let names = [
        Reference::Digest(digest(10)),
        Reference::Tag(tag("a")),
        Reference::Tag(tag("b")),
    ];
    for name in &names {
        assert!(can_pull(store, name).await);
    }
    assert_eq!(change(store, 10, Archive).await, Transition::Done(Archived));
    assert_eq!(change(store, 10, Archive).await, Transition::Unchanged(Archived));
    assert_eq!(change(store, 11, Standard).await, Transition::Unchanged(Active));
    assert_eq!(change(store, 99, Archive).await, Transition::Unknown);
    for name in &names {
        assert!(!can_pull(store, name).await, "{name}");
    }
    let absent = store
        .transition_images(&path("no"), &[digest(10)], Archive, now())
        .await;
    assert_eq!(absent.unwrap(), None);

    let list = async |wanted| {
        let filter = ImageFilter {
            tags: TagStatus::Any,
            status: wanted,
        };
        let found = store
            .image_details(&path("web"), filter, None, 9)
            .await
            .unwrap()
            .unwrap();
        found.into_iter().map(|detail| detail.digest).collect::<Vec<_>>()
    };
    assert_eq!(list(Some(Active)).await, [digest(11)]);
    assert_eq!(list(Some(Archived)).await, [digest(10)]);
    assert_eq!(list(None).await, [digest(10), digest(11)]);
    assert_eq!(store.tags(&path("web"), None, 9).await.unwrap().unwrap(), [tag("c")]);
    let detail = store
        .image_detail(&path("web"), &Reference::Tag(tag("a")))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((detail.storage_class(), detail.archived_at), (Archive, Some(after(5))));
    assert_eq!(detail.tags, [tag("a"), tag("b")]);

    assert_eq!(change(store, 10, Standard).await, Transition::Done(Activating));
    assert_eq!(change(store, 10, Standard).await, Transition::Activating);
    assert_eq!(change(store, 10, Archive).await, Transition::Activating);
    assert!(!can_pull(store, &names[0]).await);
    assert_eq!(activate(store).await, 1);
    assert_eq!(activate(store).await, 0);
    for name in &names {
        assert!(can_pull(store, name).await);
    }
    let detail = store.image_detail(&path("web"), &names[0]).await.unwrap().unwrap();
    assert_eq!((detail.status, detail.activated_at), (Active, Some(after(9))));
}

async fn what_belongs_to_an_image_goes_with_it(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    for number in [10, 11, 12] {
        push(store, "web", image(number, &[1], &[])).await;
    }
    push(store, "web", index(20, &[10, 11], &["i"])).await;
    push(store, "web", index(21, &[11, 12], &["j"])).await;
    push(store, "web", artifact(30, 1, 20, "a/signature")).await;
    push(store, "web", artifact(31, 1, 10, "a/signature")).await;
    push(store, "web", artifact(32, 1, 30, "a/signature")).await;
    assert_eq!(change(store, 20, Archive).await, Transition::Done(Archived));
    for (number, wanted) in [
        (10, Archived),
        (11, Active),
        (12, Active),
        (30, Archived),
        (31, Archived),
        (32, Archived),
    ] {
        assert_eq!(status(store, number).await, wanted, "{number}");
    }
    let referrers = store.referrers(&path("web"), &digest(20), None, None, 9).await.unwrap();
    assert!(referrers.is_empty());
    assert_eq!(change(store, 21, Archive).await, Transition::Done(Archived));
    assert_eq!(status(store, 11).await, Archived);
    assert_eq!(change(store, 20, Standard).await, Transition::Done(Activating));
    // Small blobs are in their rows, so that nothing has to be moved.
    assert_eq!(activate(store).await, 6);
    for (number, wanted) in [(10, Active), (11, Active), (12, Archived), (21, Archived), (32, Active)] {
        assert_eq!(status(store, number).await, wanted, "{number}");
    }
}

async fn an_image_of_an_active_index_is_not_archived(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["a"])).await;
    push(store, "web", index(20, &[10], &[])).await;
    let refused = Transition::ReferencedByIndex(vec![digest(20)]);
    assert_eq!(change(store, 10, Archive).await, refused);
    assert!(can_pull(store, &Reference::Tag(tag("a"))).await);
    // A new index brings back what it lists.
    change(store, 20, Archive).await;
    assert_eq!(status(store, 10).await, Archived);
    push(store, "web", index(21, &[10], &[])).await;
    assert_eq!(status(store, 10).await, Active);
    assert!(can_pull(store, &Reference::Tag(tag("a"))).await);
}

async fn a_push_restores_at_once(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    file(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["a"])).await;
    change(store, 10, Archive).await;
    assert_eq!(move_all(store, 6).await, [(digest(1), Archive)]);
    push(store, "web", image(10, &[1], &["a"])).await;
    assert_eq!(status(store, 10).await, Active);
    assert!(can_pull(store, &Reference::Tag(tag("a"))).await);
    assert_eq!(move_all(store, 6).await, [(digest(1), Standard)]);
    assert_eq!(store.tier_counts(9).await.unwrap(), hythe_meta::TierCounts::default());
}

async fn a_rollback_to_an_archived_image_restores_it(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    file(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["prod"])).await;
    push(store, "web", image(11, &[1], &["prod"])).await;
    change(store, 10, Archive).await;
    let rollback = Rollback {
        to: RollbackTo::Previous,
        may_restore: false,
        at: after(7),
        by: "arn:me".into(),
    };
    store.roll_back_tag(&path("web"), &tag("prod"), rollback).await.unwrap();
    let found = store.image(&path("web"), &Reference::Tag(tag("prod"))).await.unwrap();
    assert_eq!(found.unwrap().digest, digest(10));
}

async fn blobs_follow_the_last_image_that_needs_them(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    create(store, "other").await;
    for number in [1, 2, 3] {
        file(store, "web", number).await;
    }
    link(store, "web", 4).await;
    file(store, "other", 3).await;
    push(store, "web", image(10, &[4, 1, 2, 3], &[])).await;
    push(store, "web", image(11, &[4, 2], &[])).await;
    push(store, "other", image(12, &[3], &[])).await;
    change(store, 10, Archive).await;
    assert_eq!(move_all(store, 6).await, [(digest(1), Archive)]);
    assert!(claim(store, "me", 7).await.is_empty());
    change(store, 11, Archive).await;
    assert_eq!(move_all(store, 7).await, [(digest(2), Archive)]);
    // A new image that needs one of them brings it back, wherever it is.
    store
        .mount_blob(&path("web"), &path("other"), &digest(1), now())
        .await
        .unwrap();
    push(store, "other", image(13, &[1], &[])).await;
    assert_eq!(move_all(store, 8).await, [(digest(1), Standard)]);
    change(store, 10, Standard).await;
    assert_eq!(activate(store).await, 0, "a blob of it is in the archive");
    assert_eq!(move_all(store, 9).await, [(digest(2), Standard)]);
    assert_eq!(activate(store).await, 1);
}

async fn a_wish_during_a_move_is_not_lost(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    file(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    change(store, 10, Archive).await;
    let claimed = claim(store, "me", 6).await.remove(0);
    change(store, 10, Standard).await;
    assert!(claim(store, "another", 7).await.is_empty(), "one at a time");
    store.complete_blob_move("me", &claimed).await.unwrap();
    assert_eq!(activate(store).await, 0);
    assert_eq!(move_all(store, 7).await, [(digest(1), Standard)]);
    assert_eq!(activate(store).await, 1);
}

async fn a_wish_during_a_move_that_fails_does_not_wait_for_it(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    file(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    change(store, 10, Archive).await;
    let failed = claim(store, "me", 6).await.remove(0);
    change(store, 10, Standard).await;
    store.fail_blob_move("me", &failed, after(600)).await.unwrap();
    let again = claim(store, "me", 7).await.remove(0);
    assert_eq!((again.to, again.attempts), (Standard, 0));
    store.complete_blob_move("me", &again).await.unwrap();
    assert_eq!(activate(store).await, 1);
}

async fn what_an_image_waits_for_that_comes_back_is_moved_first(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    for number in 1..=3 {
        file(store, "web", number).await;
        push(store, "web", image(10 + number, &[number], &[])).await;
    }
    push(store, "web", image(20, &[1], &[])).await;
    change(store, 11, Archive).await;
    change(store, 20, Archive).await;
    assert_eq!(move_all(store, 5).await, [(digest(1), Archive)]);
    change(store, 12, Archive).await;
    change(store, 13, Archive).await;
    change_at(store, 11, Standard, 7).await;
    let next = async |at| {
        let one = BlobMoveLimit {
            blobs: 1,
            bytes: u64::MAX,
        };
        claim_up_to(store, "me", at, one).await.remove(0)
    };
    let first = next(8).await;
    assert_eq!((first.digest, first.to), (digest(1), Standard));
    // It waits after a failure; the others do not wait for it, and it comes before them again.
    store.fail_blob_move("me", &first, after(20)).await.unwrap();
    let other = next(19).await;
    assert_eq!(other.to, Archive);
    let again = next(20).await;
    assert_eq!((again.digest, again.to, again.attempts), (digest(1), Standard, 1));
    store.fail_blob_move("me", &again, after(600)).await.unwrap();
    // Whatever else is wished for it, it keeps its place, and is tried at once.
    change_at(store, 20, Standard, 30).await;
    push(store, "web", image(21, &[1], &[])).await;
    change_at(store, 21, Archive, 31).await;
    let again = next(32).await;
    assert_eq!((again.digest, again.to, again.attempts), (digest(1), Standard, 0));
    store.complete_blob_move("me", &again).await.unwrap();
    assert_eq!(activate(store).await, 2);
}

async fn a_claim_takes_so_many_blobs_and_bytes(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    for number in 1..=6 {
        file(store, "web", number).await;
    }
    push(store, "web", image(10, &[1, 2, 3, 4, 5, 6], &[])).await;
    change(store, 10, Archive).await;
    for (blobs, bytes, wanted) in [(9, 250_000, 2), (1, u64::MAX, 1), (9, 1, 1), (9, u64::MAX, 2)] {
        let claimed = claim_up_to(store, "me", 6, BlobMoveLimit { blobs, bytes }).await;
        assert_eq!(claimed.len(), wanted, "{blobs} {bytes}");
    }
}

async fn claims_end_and_failures_come_again(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    file(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    change(store, 10, Archive).await;
    let first = claim(store, "gone", 6).await.remove(0);
    assert!(store.renew_blob_move("gone", &first, after(100)).await.unwrap());
    assert!(claim(store, "me", 99).await.is_empty());
    let second = claim(store, "me", 101).await.remove(0);
    assert!(!store.renew_blob_move("gone", &first, after(200)).await.unwrap());
    store.complete_blob_move("gone", &first).await.unwrap();
    store.fail_blob_move("me", &second, after(120)).await.unwrap();
    assert!(claim(store, "me", 119).await.is_empty());
    let third = claim(store, "me", 120).await.remove(0);
    assert_eq!((third.to, third.attempts), (Archive, 1));
}

async fn moves_go_on_when_the_clock_goes_back(database: &Database) {
    const DAY: i64 = 86_400;
    let store = &database.store;
    create(store, "web").await;
    for number in 1..=3 {
        file(store, "web", number).await;
        push(store, "web", image(10 + number, &[number], &[])).await;
    }
    // A clock that is a day ahead: one blob waits, one after a failure, and one is somebody's.
    for number in 11..=13 {
        change_at(store, number, Archive, DAY).await;
    }
    let claimed = claim(store, "gone", DAY).await;
    assert_eq!(claimed.len(), 3);
    store.complete_blob_move("gone", &claimed[0]).await.unwrap();
    store
        .fail_blob_move("gone", &claimed[1], after(DAY + 512))
        .await
        .unwrap();
    let back = (1..=3).find(|number| digest(*number) == claimed[0].digest).unwrap();
    change_at(store, 10 + back, Standard, DAY).await;
    // What may wait so long waits.
    store.recall_blob_moves(after(DAY)).await.unwrap();
    assert_eq!(claim(store, "me", DAY + 59).await.len(), 1, "what is to come back");
    assert_eq!(claim(store, "me", DAY + 59).await.len(), 0);
    store.recall_blob_moves(after(7)).await.unwrap();
    assert_eq!(claim(store, "you", 7).await.len(), 3);
    assert_eq!(claim(store, "another", 8).await.len(), 0, "claims of now hold");
}

async fn many_followers_follow_in_the_background(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    let count: u64 = 1100;
    for number in 0..count {
        push(store, "web", artifact(1000 + number, 1, 10, "a/b")).await;
    }
    change(store, 10, Archive).await;
    let last = 1000 + count - 1;
    assert_eq!(status(store, last).await, Active);
    while store.continue_transitions(after(6)).await.unwrap() {}
    assert_eq!(status(store, last).await, Archived);
}

async fn delete(store: &Store, number: u64) {
    let deletion = Deletion {
        at: after(6),
        by: "arn:aws:iam::000000000000:root".into(),
        reason: DeletionReason::Request,
    };
    let images = [ImageIdentifier::Digest(digest(number))];
    let deleted = store.delete_images(&path("web"), &images, &deletion).await.unwrap();
    assert!(deleted[0].is_ok(), "{deleted:?}");
}

async fn restore(store: &Store, number: u64) {
    let by = "arn:aws:iam::000000000000:root";
    let restored = store
        .restore_image(&path("web"), &digest(number), None, after(7), by)
        .await;
    assert!(restored.unwrap().is_restored);
}

async fn a_deleted_image_comes_back_as_it_was(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    file(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["a"])).await;
    let pull = Pull {
        repository: path("web"),
        digest: digest(10),
        at: after(3),
    };
    store.append_pulls(&[pull]).await.unwrap();
    store.fold_pulls().await.unwrap();
    change(store, 10, Archive).await;
    assert_eq!(move_all(store, 6).await, [(digest(1), Archive)]);
    let detail = async || {
        let found = store.image_detail(&path("web"), &Reference::Tag(tag("a"))).await;
        found.unwrap()
    };
    let before = detail().await.unwrap();
    assert_eq!((before.status, before.last_pulled_at), (Archived, Some(after(3))));
    delete(store, 10).await;
    assert_eq!(detail().await, None);
    restore(store, 10).await;
    // It is as it was, and for lifecycle policies as new.
    let wanted = ImageDetail {
        activated_at: Some(after(7)),
        ..before
    };
    assert_eq!(detail().await.unwrap(), wanted);
    assert!(!can_pull(store, &Reference::Tag(tag("a"))).await);
    assert_eq!(
        move_all(store, 8).await,
        [(digest(1), Archive)],
        "wherever it was meanwhile"
    );

    change(store, 10, Standard).await;
    delete(store, 10).await;
    restore(store, 10).await;
    assert_eq!(activate(store).await, 0, "its blob is in the archive");
    assert_eq!(move_all(store, 9).await, [(digest(1), Standard)]);
    assert_eq!(activate(store).await, 1);
    assert!(can_pull(store, &Reference::Tag(tag("a"))).await);
}

async fn blobs_follow_when_an_image_is_deleted_and_restored(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    for number in [1, 2] {
        file(store, "web", number).await;
    }
    push(store, "web", image(10, &[1, 2], &[])).await;
    push(store, "web", image(11, &[1], &[])).await;
    change(store, 11, Archive).await;
    assert_eq!(move_all(store, 6).await, [], "an active image needs it too");
    delete(store, 10).await;
    assert_eq!(move_all(store, 7).await, [(digest(1), Archive)]);
    restore(store, 10).await;
    assert!(can_pull(store, &Reference::Digest(digest(10))).await);
    assert_eq!(move_all(store, 8).await, [(digest(1), Standard)]);
}

async fn blobs_follow_when_a_repository_is_deleted(database: &Database) {
    let store = &database.store;
    for repository in ["web", "other"] {
        create(store, repository).await;
        file(store, repository, 1).await;
    }
    file(store, "other", 2).await;
    push(store, "web", image(11, &[1], &[])).await;
    push(store, "other", image(10, &[1, 2], &[])).await;
    change(store, 11, Archive).await;
    assert_eq!(move_all(store, 6).await, [], "an active image elsewhere needs it too");
    store
        .delete_repository(&path("other"), true, None, after(7))
        .await
        .unwrap();
    assert_eq!(move_all(store, 7).await, [(digest(1), Archive)]);
}

async fn what_lists_an_image_wakes_it_when_it_is_restored(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    push(store, "web", index(20, &[10], &[])).await;
    delete(store, 20).await;
    change(store, 10, Archive).await;
    restore(store, 20).await;
    assert_eq!(status(store, 10).await, Active, "an active index lists it");

    change(store, 20, Archive).await;
    delete(store, 20).await;
    restore(store, 20).await;
    assert_eq!((status(store, 20).await, status(store, 10).await), (Archived, Archived));
}

async fn pulls_are_folded_and_only_forward(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    let pull = |name: &str, number, at| Pull {
        repository: path(name),
        digest: digest(number),
        at: after(at),
    };
    let pulled = async || {
        let found = store
            .image_detail(&path("web"), &Reference::Digest(digest(10)))
            .await
            .unwrap();
        found.unwrap().last_pulled_at
    };
    assert_eq!(store.fold_pulls().await.unwrap(), 0);
    assert_eq!(pulled().await, None);
    let pulls = [
        pull("web", 10, 3),
        pull("web", 10, 7),
        pull("web", 99, 1),
        pull("no", 10, 9),
    ];
    store.append_pulls(&pulls).await.unwrap();
    assert_eq!(store.fold_pulls().await.unwrap(), 3);
    assert_eq!(pulled().await, Some(after(7)));
    store.append_pulls(&[pull("web", 10, 5)]).await.unwrap();
    assert_eq!(store.fold_pulls().await.unwrap(), 1);
    assert_eq!(pulled().await, Some(after(7)));
}

async fn exclusions_are_kept_once_and_up_to_a_limit(database: &Database) {
    let store = &database.store;
    let (own, other): (AccountId, AccountId) = ("000000000000".parse().unwrap(), "111111111111".parse().unwrap());
    let arn = |number: u64| format!("arn:aws:iam::000000000000:user/u{number:03}");
    for number in 0..MAX_PULL_TIME_EXCLUSIONS {
        store.add_pull_time_exclusion(&own, &arn(number), now()).await.unwrap();
    }
    let again = store.add_pull_time_exclusion(&own, &arn(0), now()).await;
    assert!(matches!(again, Err(AddExclusionError::AlreadyExists)), "{again:?}");
    let refused = store
        .add_pull_time_exclusion(&own, &arn(MAX_PULL_TIME_EXCLUSIONS), now())
        .await;
    assert!(matches!(refused, Err(AddExclusionError::LimitExceeded)), "{refused:?}");
    store.add_pull_time_exclusion(&other, &arn(0), after(1)).await.unwrap();

    let listed = store.pull_time_exclusions(&own, Some(&arn(97)), 9).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|it| it.principal_arn).collect();
    assert_eq!(listed, [arn(98), arn(99)], "what was refused is not there");
    assert_eq!(store.all_pull_time_exclusions().await.unwrap().len(), 101);
    let removed = store.remove_pull_time_exclusion(&own, &arn(98)).await.unwrap();
    assert_eq!(removed.unwrap().created_at, now());
    assert_eq!(store.remove_pull_time_exclusion(&own, &arn(98)).await.unwrap(), None);
    store.add_pull_time_exclusion(&own, &arn(100), now()).await.unwrap();
}
