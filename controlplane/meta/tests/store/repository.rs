// SPDX-License-Identifier: Apache-2.0

use hythe_catalog::{BlobCatalog, Catalog, ImageCatalog as _, UploadCatalog};
use hythe_meta::{
    CreateRepositoryError, DeleteRepositoryError, Idempotency, MAX_REPOSITORIES_PER_ACCOUNT, RepositoryChange,
    RepositoryUsage, TagChange, UpdateRepositoryError,
};
use hythe_model::{
    Algorithm, Encryption, EncryptionType, ResourceTagError, ResourceTags, TagMutability, TagMutabilityMode, UploadId,
};

use crate::contents::{after, create, image, index, link, new_repository, now, path, push};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_repository_comes_back_as_it_was_created,
    a_name_is_taken_once,
    a_repeated_request_gets_the_same_repository,
    repositories_are_listed_by_prefix_and_page,
    changes_count_versions_and_refuse_stale_ones,
    resource_tags_merge_and_keep_their_limit,
    a_repository_with_images_is_deleted_only_by_force,
    deleting_leaves_nothing_but_work_for_the_collector,
    usage_counts_shared_blobs_once,
    an_account_has_a_limit,
    texts_may_hold_any_character,
);

fn tags(pairs: &[(&str, &str)]) -> ResourceTags {
    ResourceTags::new(
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
    )
    .unwrap()
}

async fn a_repository_comes_back_as_it_was_created(database: &Database) {
    let mut new = new_repository("team/web");
    new.tag_mutability = TagMutability::new(
        TagMutabilityMode::ImmutableWithExclusion,
        ["dev-*".parse().unwrap(), "a*".parse().unwrap()],
    )
    .unwrap();
    new.scan_on_push = true;
    new.encryption = Encryption {
        kind: EncryptionType::Kms,
        kms_key: Some("alias/ключ".into()),
    };
    new.tags = tags(&[("team", "größe"), ("empty", "")]);
    let created = database.store.create_repository(new.clone()).await.unwrap();
    assert_eq!(created.version, 1);
    assert_eq!(created.tag_mutability, new.tag_mutability);
    assert_eq!(
        database.store.repository(&new.path).await.unwrap(),
        Some(created.clone())
    );
    assert_eq!(created.encryption, new.encryption);
    assert_eq!(created.tags, new.tags);
    assert!(created.scan_on_push);
    assert_eq!(created.created_at, now());
    assert_eq!(database.store.repository(&path("team/other")).await.unwrap(), None);
    assert!(database.store.repository_exists(&new.path).await.unwrap());
    assert!(!database.store.repository_exists(&path("team/other")).await.unwrap());
}

async fn a_name_is_taken_once(database: &Database) {
    create(&database.store, "web").await;
    let again = database.store.create_repository(new_repository("web")).await;
    assert!(matches!(again, Err(CreateRepositoryError::AlreadyExists)), "{again:?}");
    let mut elsewhere = new_repository("web");
    elsewhere.path.account = "111111111111".parse().unwrap();
    database.store.create_repository(elsewhere).await.unwrap();
}

async fn a_repeated_request_gets_the_same_repository(database: &Database) {
    let store = &database.store;
    let request = |name: &str, hash: &str, seconds: i64| {
        let mut new = new_repository(name);
        new.created_at = after(seconds);
        new.idempotency = Some(Idempotency {
            key: "key".into(),
            request_hash: hash.into(),
        });
        new
    };
    let first = store.create_repository(request("web", "hash", 0)).await.unwrap();
    assert_eq!(
        store.create_repository(request("web", "hash", 60)).await.unwrap(),
        first
    );
    let other = store.create_repository(request("api", "other", 60)).await;
    assert!(
        matches!(other, Err(CreateRepositoryError::IdempotencyMismatch)),
        "{other:?}"
    );

    let day = 24 * 60 * 60;
    let late = store.create_repository(request("web", "hash", day)).await;
    assert!(matches!(late, Err(CreateRepositoryError::AlreadyExists)), "{late:?}");
    store.create_repository(request("api", "other", day)).await.unwrap();

    store.delete_repository(&path("api"), false, None, now()).await.unwrap();
    let anew = store
        .create_repository(request("api", "other", day + 60))
        .await
        .unwrap();
    assert_eq!(anew.created_at, after(day + 60));

    let mut next = request("next", "next", 3 * day);
    next.idempotency.as_mut().unwrap().key = "next".into();
    store.create_repository(next).await.unwrap();
    assert_eq!(
        database.count("idempotency").await,
        1,
        "requests past their time are forgotten"
    );
}

async fn repositories_are_listed_by_prefix_and_page(database: &Database) {
    let store = &database.store;
    for name in ["team/web", "team/api", "team-a/web", "teams", "zoo", "te"] {
        create(store, name).await;
    }
    let mut elsewhere = new_repository("team/else");
    elsewhere.path.account = "111111111111".parse().unwrap();
    store.create_repository(elsewhere).await.unwrap();

    let account = crate::contents::account();
    let list = async |prefix: Option<&str>, after: Option<&str>, limit| {
        let after = after.map(|name| name.parse().unwrap());
        let found = store
            .repositories(&account, prefix, after.as_ref(), limit)
            .await
            .unwrap();
        found
            .into_iter()
            .map(|record| record.path.name.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(list(None, None, 9).await, "te team-a/web team/api team/web teams zoo");
    assert_eq!(list(Some("team/"), None, 9).await, "team/api team/web");
    assert_eq!(list(Some("team"), Some("team/api"), 9).await, "team/web teams");
    assert_eq!(list(Some("team"), Some("aa"), 2).await, "team-a/web team/api");
    assert_eq!(list(Some("TEAM"), None, 9).await, "");
    assert_eq!(list(Some("te%"), None, 9).await, "");
    assert_eq!(list(Some("te\0"), None, 9).await, "");
    assert_eq!(list(None, Some("zoo"), 9).await, "");

    let names = store
        .repository_names(&account, Some(&"team-a/web".parse().unwrap()), 2)
        .await
        .unwrap();
    assert_eq!(names, ["team/api".parse().unwrap(), "team/web".parse().unwrap()]);
}

async fn changes_count_versions_and_refuse_stale_ones(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    let immutable = TagMutability::new(TagMutabilityMode::Immutable, []).unwrap();
    let change = || RepositoryChange {
        tag_mutability: Some(immutable.clone()),
        ..RepositoryChange::default()
    };
    let changed = store
        .update_repository(&path("web"), change(), Some(1), now())
        .await
        .unwrap();
    assert_eq!((changed.version, &changed.tag_mutability), (2, &immutable));
    let stale = store.update_repository(&path("web"), change(), Some(1), now()).await;
    assert!(
        matches!(stale, Err(UpdateRepositoryError::VersionMismatch)),
        "{stale:?}"
    );
    let scan = RepositoryChange {
        scan_on_push: Some(true),
        ..RepositoryChange::default()
    };
    let changed = store.update_repository(&path("web"), scan, None, now()).await.unwrap();
    assert_eq!((changed.version, changed.scan_on_push), (3, true));
    assert_eq!(changed.tag_mutability, immutable, "what is not named stays");
    assert_eq!(store.repository(&path("web")).await.unwrap(), Some(changed));

    let unknown = store.update_repository(&path("other"), change(), None, now()).await;
    assert!(matches!(unknown, Err(UpdateRepositoryError::Unknown)), "{unknown:?}");
    let stale = store.delete_repository(&path("web"), true, Some(2), now()).await;
    assert!(
        matches!(stale, Err(DeleteRepositoryError::VersionMismatch)),
        "{stale:?}"
    );
    assert_eq!(
        store
            .delete_repository(&path("web"), true, Some(3), now())
            .await
            .unwrap()
            .version,
        3
    );
    let unknown = store.delete_repository(&path("web"), true, None, now()).await;
    assert!(matches!(unknown, Err(DeleteRepositoryError::Unknown)), "{unknown:?}");
}

async fn resource_tags_merge_and_keep_their_limit(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    let change = async |change| {
        let change = RepositoryChange {
            tags: Some(change),
            ..RepositoryChange::default()
        };
        store
            .update_repository(&path("web"), change, None, now())
            .await
            .map(|record| record.tags)
    };
    let replaced = change(TagChange::Replace(tags(&[("a", "1"), ("b", "2")])))
        .await
        .unwrap();
    assert_eq!(replaced, tags(&[("a", "1"), ("b", "2")]));
    let merged = change(TagChange::Merge(tags(&[("b", "3"), ("c", "4")]))).await.unwrap();
    assert_eq!(merged, tags(&[("a", "1"), ("b", "3"), ("c", "4")]));
    let removed = change(TagChange::Remove(vec!["a".into(), "zzz".into()])).await.unwrap();
    assert_eq!(removed, tags(&[("b", "3"), ("c", "4")]));
    let many = ResourceTags::new((0..49).map(|n| (format!("k{n}"), String::new()))).unwrap();
    let too_many = change(TagChange::Merge(many)).await;
    assert!(
        matches!(
            too_many,
            Err(UpdateRepositoryError::Tags(ResourceTagError::TooMany(51)))
        ),
        "{too_many:?}"
    );
    assert_eq!(store.repository(&path("web")).await.unwrap().unwrap().tags, removed);
}

async fn a_repository_with_images_is_deleted_only_by_force(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    push(store, "web", image(11, &[1], &[])).await;
    let refused = store.delete_repository(&path("web"), false, None, now()).await;
    assert!(
        matches!(refused, Err(DeleteRepositoryError::NotEmpty(2))),
        "{refused:?}"
    );
    assert!(
        store
            .tag_detail(&path("web"), &"v1".parse().unwrap())
            .await
            .unwrap()
            .is_some()
    );
    store.delete_repository(&path("web"), true, None, now()).await.unwrap();
    assert_eq!(store.repository(&path("web")).await.unwrap(), None);
}

async fn deleting_leaves_nothing_but_work_for_the_collector(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    create(store, "other").await;
    for number in 1..4 {
        link(store, "web", number).await;
    }
    link(store, "other", 1).await;
    push(store, "web", image(10, &[1, 2], &["v1", "v2"])).await;
    push(store, "web", index(11, &[10], &["latest"])).await;
    push(store, "other", image(10, &[1], &["v1"])).await;
    let upload = UploadId::generate();
    store
        .begin_upload(&path("web"), upload, Algorithm::Sha256, after(60))
        .await
        .unwrap();
    database.execute("DELETE FROM blob_review").await;

    store.delete_repository(&path("web"), true, None, now()).await.unwrap();
    let rows = [
        ("repository", 1),
        ("image", 1),
        ("image_blob", 1),
        ("image_child", 0),
        ("tag", 1),
        ("tag_move", 1),
    ];
    for (table, count) in rows
        .into_iter()
        .chain([("repository_blob", 1), ("blob", 3), ("blob_review", 3)])
    {
        assert_eq!(database.count(table).await, count, "{table}");
    }
    assert_eq!(store.upload(&path("web"), upload, now()).await.unwrap(), None);
    assert_eq!(
        store.expire_uploads(now(), 9).await.unwrap(),
        [upload],
        "its bytes have to be found"
    );
    assert!(
        store
            .blob(&path("other"), &crate::contents::digest(1))
            .await
            .unwrap()
            .is_some()
    );
    // The name is free again, and nothing of the old one shows through.
    create(store, "web").await;
    assert_eq!(
        store.repository_usage(&path("web")).await.unwrap(),
        Some(RepositoryUsage::default())
    );
}

async fn usage_counts_shared_blobs_once(database: &Database) {
    let store = &database.store;
    assert_eq!(store.repository_usage(&path("web")).await.unwrap(), None);
    create(store, "web").await;
    assert_eq!(
        store.repository_usage(&path("web")).await.unwrap(),
        Some(RepositoryUsage::default())
    );
    link(store, "web", 1).await;
    link(store, "web", 2).await;
    let (first, second) = (image(10, &[1, 2], &["v1", "v2"]), image(11, &[1], &["v3"]));
    let manifests = (first.manifest.bytes().len() + second.manifest.bytes().len()) as u64;
    push(store, "web", first).await;
    push(store, "web", second).await;
    let want = RepositoryUsage {
        images: 2,
        tags: 3,
        bytes: 8 + manifests,
        deleted_images: 0,
    };
    assert_eq!(store.repository_usage(&path("web")).await.unwrap(), Some(want));
    let tag = hythe_model::Reference::Tag("v3".parse().unwrap());
    store.delete_image(&path("web"), &tag, now(), "me").await.unwrap();
    let usage = store.repository_usage(&path("web")).await.unwrap().unwrap();
    assert_eq!((usage.images, usage.deleted_images), (1, 1));
}

async fn an_account_has_a_limit(database: &Database) {
    database
        .execute(format!(
            "INSERT INTO repository (id, account_id, name, tag_mutability, tag_mutability_filters, scan_on_push,
                                     encryption_type, tags, version, created_ms)
             WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < {MAX_REPOSITORIES_PER_ACCOUNT})
             SELECT 'id-' || n, '000000000000', 'repository-' || n, 'MUTABLE', '[]', FALSE, 'AES256', '{{}}', 1, 0 FROM counter"
        ))
        .await;
    let store = &database.store;
    let refused = store.create_repository(new_repository("one-more")).await;
    let Err(CreateRepositoryError::LimitExceeded(limit)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(limit, MAX_REPOSITORIES_PER_ACCOUNT);
    assert_eq!(
        store.repository(&path("one-more")).await.unwrap(),
        None,
        "nothing is left behind"
    );
    store
        .delete_repository(&path("repository-7"), false, None, now())
        .await
        .unwrap();
    create(store, "one-more").await;
}

async fn texts_may_hold_any_character(database: &Database) {
    let store = &database.store;
    for value in ["nul\0nul", "\u{10ffff}", "'; DROP TABLE repository; --", "$1"] {
        let stored = store.put_setting_if_absent(value, value).await.unwrap();
        assert_eq!(stored, value.replace('\0', "\u{fffd}"));
        assert_eq!(store.setting(value).await.unwrap(), Some(stored.clone()));
        assert_eq!(
            store.put_setting_if_absent(value, "other").await.unwrap(),
            stored,
            "the first one stays"
        );
        assert_eq!(store.access_key(value).await.unwrap(), None);
    }
    assert_eq!(store.setting("other").await.unwrap(), None);
}
