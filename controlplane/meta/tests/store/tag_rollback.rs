// SPDX-License-Identifier: Apache-2.0
//! Where a tag pointed at a time, and pointing it there again.

use hythe_catalog::{ImageCatalog, PutImageError};
use hythe_meta::{
    Deletion, DeletionReason, ImageIdentifier, NewRepository, RestoreImageError, Rollback, RollbackTagError,
    RollbackTo, RolledBackTag, Store,
};
use hythe_model::{Digest, Reference, TagMutability, TagMutabilityMode};

use crate::contents::{after, artifact, create, digest, image, index, link, new_repository, path, push, tag};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_tag_is_resolved_as_of_any_time,
    a_long_history_is_searched_in_few_steps,
    a_tag_goes_back_and_forth,
    a_tag_goes_back_to_a_move_or_a_time,
    a_rollback_restores_what_was_deleted,
    a_rollback_restores_an_index_with_what_it_lists,
    a_rollback_that_cannot_be_changes_nothing,
);

/// Pushes image `number` with the tag `v1`, some seconds after the beginning.
async fn push_at(store: &Store, number: u64, seconds: i64) {
    let mut new = image(number, &[1], &["v1"]);
    new.pushed_at = after(seconds);
    push(store, "web", new).await;
}

async fn delete_at(store: &Store, image: ImageIdentifier, seconds: i64) {
    let deletion = Deletion {
        at: after(seconds),
        by: "arn:me".into(),
        reason: DeletionReason::Request,
    };
    let deletions = store.delete_images(&path("web"), &[image], &deletion).await.unwrap();
    deletions[0].as_ref().unwrap();
}

async fn roll_back(store: &Store, to: RollbackTo, seconds: i64) -> Result<RolledBackTag, RollbackTagError> {
    let rollback = Rollback {
        to,
        may_restore: true,
        at: after(seconds),
        by: "arn:you".into(),
    };
    store.roll_back_tag(&path("web"), &tag("v1"), rollback).await
}

async fn target(store: &Store) -> Option<Digest> {
    let found = store.image(&path("web"), &Reference::Tag(tag("v1"))).await.unwrap();
    found.map(|found| found.digest)
}

async fn as_of(store: &Store, seconds: i64) -> Option<(i64, Option<Digest>)> {
    let found = store.tag_as_of(&path("web"), &tag("v1"), after(seconds)).await.unwrap();
    found.map(|found| (found.sequence, found.to))
}

async fn a_tag_is_resolved_as_of_any_time(database: &Database) {
    let store = &database.store;
    assert_eq!(as_of(store, 0).await, None, "no repository");
    create(store, "web").await;
    assert_eq!(as_of(store, 0).await, None, "no tag");
    link(store, "web", 1).await;
    push_at(store, 10, 10).await;
    push_at(store, 11, 20).await;
    delete_at(store, ImageIdentifier::Tag(tag("v1")), 30).await;
    push_at(store, 12, 40).await;
    let cases = [
        (9, None),
        (10, Some((1, Some(10)))),
        (19, Some((1, Some(10)))),
        (20, Some((2, Some(11)))),
        (29, Some((2, Some(11)))),
        (30, Some((3, None))),
        (39, Some((3, None))),
        (40, Some((4, Some(12)))),
        (1_000_000, Some((4, Some(12)))),
    ];
    for (seconds, want) in cases {
        let want = want.map(|(sequence, image)| (sequence, image.map(digest)));
        assert_eq!(as_of(store, seconds).await, want, "{seconds}");
    }
}

async fn a_long_history_is_searched_in_few_steps(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push_at(store, 10, 10).await;
    // Times of two moves are alike, and one clock was behind.
    for (number, seconds) in (11..60).zip((20..).step_by(10)) {
        let seconds = if number == 40 {
            seconds - 200
        } else {
            seconds - seconds % 20
        };
        push_at(store, number, seconds).await;
    }
    let moves = store.tag_history(&path("web"), &tag("v1"), None, 100).await.unwrap();
    assert_eq!(moves.len(), 50);
    for seconds in (0..520).step_by(5) {
        let Some((sequence, _)) = as_of(store, seconds).await else {
            assert!(seconds < 10, "{seconds}");
            continue;
        };
        let at = |wanted: i64| moves.iter().find(|it| it.sequence == wanted).map(|it| it.moved_at);
        assert!(at(sequence).unwrap() <= after(seconds), "{seconds}");
        assert!(at(sequence + 1).is_none_or(|next| next > after(seconds)), "{seconds}");
    }
}

async fn a_tag_goes_back_and_forth(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push_at(store, 10, 10).await;
    let alone = roll_back(store, RollbackTo::Previous, 15).await;
    assert!(matches!(alone, Err(RollbackTagError::NoPrevious)), "{alone:?}");
    push_at(store, 11, 20).await;
    let done = roll_back(store, RollbackTo::Previous, 30).await.unwrap();
    assert_eq!((done.tag.digest, done.from), (digest(10), Some(digest(11))));
    assert_eq!((done.tag.version, done.tag.moved_at), (3, after(30)));
    assert!(!done.is_image_restored);
    assert_eq!(target(store).await, Some(digest(10)));
    let done = roll_back(store, RollbackTo::Previous, 40).await.unwrap();
    assert_eq!(done.tag.digest, digest(11));
    assert_eq!(target(store).await, Some(digest(11)));
    let moves = store.tag_history(&path("web"), &tag("v1"), None, 1).await.unwrap();
    assert_eq!(moves[0].moved_by, "arn:you");
    assert_eq!((moves[0].from, moves[0].to), (Some(digest(10)), Some(digest(11))));
}

async fn a_tag_goes_back_to_a_move_or_a_time(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    for (number, seconds) in [(10, 10), (11, 20), (12, 30)] {
        push_at(store, number, seconds).await;
    }
    let done = roll_back(store, RollbackTo::Sequence(1), 40).await.unwrap();
    assert_eq!(done.tag.digest, digest(10));
    let done = roll_back(store, RollbackTo::Time(after(25)), 50).await.unwrap();
    assert_eq!(done.tag.digest, digest(11));
    // Where it is already, nothing moves.
    for to in [
        RollbackTo::Sequence(2),
        RollbackTo::Sequence(5),
        RollbackTo::Time(after(60)),
    ] {
        let done = roll_back(store, to, 60).await.unwrap();
        assert_eq!((done.tag.version, done.from), (5, Some(digest(11))), "{to:?}");
    }
    for sequence in [0, 6, -1, i64::MAX] {
        let refused = roll_back(store, RollbackTo::Sequence(sequence), 60).await;
        assert!(
            matches!(refused, Err(RollbackTagError::UnknownMove(it)) if it == sequence),
            "{refused:?}"
        );
    }
    let refused = roll_back(store, RollbackTo::Time(after(5)), 60).await;
    assert!(matches!(refused, Err(RollbackTagError::NoImageThen)), "{refused:?}");
}

async fn a_rollback_restores_what_was_deleted(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push_at(store, 10, 10).await;
    push(store, "web", image(10, &[1], &["other"])).await;
    push(store, "web", artifact(20, 1, 10, "a/b")).await;
    delete_at(store, ImageIdentifier::Digest(digest(10)), 20).await;
    store.follow_subjects(after(20), 10).await.unwrap();
    assert_eq!(target(store).await, None);
    let rollback = Rollback {
        to: RollbackTo::Previous,
        may_restore: false,
        at: after(30),
        by: "arn:you".into(),
    };
    let refused = store.roll_back_tag(&path("web"), &tag("v1"), rollback).await;
    assert!(
        matches!(refused, Err(RollbackTagError::NeedsRestoration(it)) if it == digest(10)),
        "{refused:?}"
    );
    assert_eq!(target(store).await, None);
    let done = roll_back(store, RollbackTo::Previous, 30).await.unwrap();
    assert!(done.is_image_restored);
    assert_eq!((done.tag.digest, done.from), (digest(10), None));
    assert_eq!(target(store).await, Some(digest(10)));
    assert_eq!(store.image_counts().restored, 1);
    // The other tag was not asked for; what refers to the image follows it.
    assert_eq!(database.count("tag").await, 1);
    let followed = store.follow_subjects(after(30), 10).await.unwrap();
    assert_eq!(followed.restored, 1);
    assert_eq!(database.count("deleted_image").await, 0);

    // Deleted by its push of another image with the tag, and by its digest.
    push_at(store, 11, 40).await;
    delete_at(store, ImageIdentifier::Digest(digest(10)), 50).await;
    let done = roll_back(store, RollbackTo::Time(after(35)), 60).await.unwrap();
    assert_eq!(
        (done.tag.digest, done.from, done.is_image_restored),
        (digest(10), Some(digest(11)), true)
    );
}

async fn a_rollback_restores_an_index_with_what_it_lists(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    push(store, "web", index(12, &[10], &["v1"])).await;
    for number in [12, 10] {
        delete_at(store, ImageIdentifier::Digest(digest(number)), 20).await;
    }
    let done = roll_back(store, RollbackTo::Previous, 30).await.unwrap();
    assert_eq!((done.tag.digest, done.is_image_restored), (digest(12), true));
    assert_eq!(store.image_counts().restored, 2);
    assert_eq!(database.count("image_child").await, 1);

    for number in [12, 10] {
        delete_at(store, ImageIdentifier::Digest(digest(number)), 40).await;
    }
    store.purge_image(&path("web"), &digest(10), after(50)).await.unwrap();
    let refused = roll_back(store, RollbackTo::Previous, 60).await;
    assert!(
        matches!(
            &refused,
            Err(RollbackTagError::NotRestored(RestoreImageError::ChildrenGone(gone))) if *gone == [digest(10)]
        ),
        "{refused:?}"
    );
    assert_eq!(target(store).await, None);
    assert_eq!(database.count("deleted_image").await, 1);
}

async fn a_rollback_that_cannot_be_changes_nothing(database: &Database) {
    let store = &database.store;
    let nowhere = roll_back(store, RollbackTo::Previous, 0).await;
    assert!(
        matches!(nowhere, Err(RollbackTagError::Refused(PutImageError::Catalog(_)))),
        "{nowhere:?}"
    );
    let immutable = NewRepository {
        tag_mutability: TagMutability::new(TagMutabilityMode::Immutable, Vec::new()).unwrap(),
        ..new_repository("web")
    };
    store.create_repository(immutable).await.unwrap();
    let never = roll_back(store, RollbackTo::Previous, 0).await;
    assert!(matches!(never, Err(RollbackTagError::Unknown)), "{never:?}");
    link(store, "web", 1).await;
    push_at(store, 10, 10).await;
    delete_at(store, ImageIdentifier::Tag(tag("v1")), 20).await;
    push_at(store, 11, 30).await;
    let refused = roll_back(store, RollbackTo::Previous, 40).await;
    assert!(
        matches!(
            refused,
            Err(RollbackTagError::Refused(PutImageError::TagImmutable { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(database.count("deleted_image").await, 1, "nothing was restored");
    let refused = roll_back(store, RollbackTo::Sequence(2), 40).await;
    assert!(matches!(refused, Err(RollbackTagError::NoImageThen)), "{refused:?}");
    // A tag that is gone may be there again, also where none may be moved.
    delete_at(store, ImageIdentifier::Tag(tag("v1")), 50).await;
    let done = roll_back(store, RollbackTo::Previous, 60).await.unwrap();
    assert_eq!(done.tag.digest, digest(11));
    delete_at(store, ImageIdentifier::Tag(tag("v1")), 70).await;
    store.purge_image(&path("web"), &digest(11), after(80)).await.unwrap();
    let gone = roll_back(store, RollbackTo::Previous, 90).await;
    assert!(
        matches!(gone, Err(RollbackTagError::ImageGone(it)) if it == digest(11)),
        "{gone:?}"
    );
    assert_eq!(target(store).await, None);
}
