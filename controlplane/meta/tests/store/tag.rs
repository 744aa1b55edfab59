// SPDX-License-Identifier: Apache-2.0

use hythe_catalog::{ImageCatalog, MAX_TAGS_PER_IMAGE, PutImageError};
use hythe_meta::TagMove;
use hythe_model::Reference;

use crate::contents::{after, create, digest, image, link, now, path, push, tag};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    every_move_is_kept,
    a_name_keeps_counting_after_it_was_deleted,
    an_unmoved_tag_is_no_move,
    tags_page_by_bytes,
    history_pages_backwards,
    an_image_has_at_most_a_thousand_tags,
);

async fn history(database: &Database, name: &str) -> Vec<TagMove> {
    database
        .store
        .tag_history(&path("web"), &tag(name), None, 100)
        .await
        .unwrap()
}

async fn every_move_is_kept(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    let mut second = image(11, &[1], &["v1"]);
    second.pushed_at = after(5);
    second.pushed_by = "somebody".into();
    push(store, "web", second).await;
    let detail = store.tag_detail(&path("web"), &tag("v1")).await.unwrap().unwrap();
    assert_eq!(
        (detail.digest, detail.version, detail.moved_at),
        (digest(11), 2, after(5))
    );
    store
        .delete_image(&path("web"), &Reference::Tag(tag("v1")), after(9), "the janitor")
        .await
        .unwrap();

    let moves: Vec<_> = history(database, "v1").await;
    let short = |entry: &TagMove| {
        (
            entry.sequence,
            entry.from,
            entry.to,
            entry.moved_at,
            entry.moved_by.clone(),
        )
    };
    let root = "arn:aws:iam::000000000000:root".to_owned();
    let want = [
        (3, Some(digest(11)), None, after(9), "the janitor".to_owned()),
        (2, Some(digest(10)), Some(digest(11)), after(5), "somebody".to_owned()),
        (1, None, Some(digest(10)), now(), root),
    ];
    assert_eq!(moves.iter().map(short).collect::<Vec<_>>(), want);
    assert_eq!(store.tag_detail(&path("web"), &tag("v1")).await.unwrap(), None);
}

async fn a_name_keeps_counting_after_it_was_deleted(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1", "v2"])).await;
    store
        .delete_image(&path("web"), &Reference::Digest(digest(10)), now(), "x")
        .await
        .unwrap();
    push(store, "web", image(10, &[1], &["v1"])).await;
    assert_eq!(
        store
            .tag_detail(&path("web"), &tag("v1"))
            .await
            .unwrap()
            .unwrap()
            .version,
        3
    );
    assert_eq!(history(database, "v1").await.len(), 3);
    assert_eq!(history(database, "v2").await.first().map(|last| last.to), Some(None));
}

async fn an_unmoved_tag_is_no_move(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    let mut again = image(10, &[1], &["v1", "v1", "v2"]);
    again.pushed_at = after(5);
    push(store, "web", again).await;
    assert_eq!(history(database, "v1").await.len(), 1);
    assert_eq!(history(database, "v2").await.len(), 1);
    assert_eq!(
        store
            .tag_detail(&path("web"), &tag("v1"))
            .await
            .unwrap()
            .unwrap()
            .moved_at,
        now()
    );
}

async fn tags_page_by_bytes(database: &Database) {
    let store = &database.store;
    assert_eq!(store.tag_details(&path("web"), None, 5).await.unwrap(), None);
    create(store, "web").await;
    assert_eq!(
        store.tag_details(&path("web"), None, 5).await.unwrap(),
        Some(Vec::new())
    );
    link(store, "web", 1).await;
    push(
        store,
        "web",
        image(10, &[1], &["b", "B", "a.1", "a-1", "a_1", "A", "10", "9"]),
    )
    .await;
    let page = async |after: Option<&str>, limit| {
        let page = store
            .tag_details(&path("web"), after.map(tag).as_ref(), limit)
            .await
            .unwrap()
            .unwrap();
        page.iter()
            .map(|detail| detail.tag.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(page(None, 100).await, "10 9 A B a-1 a.1 a_1 b");
    assert_eq!(page(Some("A"), 2).await, "B a-1");
    assert_eq!(page(Some("a-1"), 100).await, "a.1 a_1 b");
    assert_eq!(page(Some("b"), 100).await, "");
    assert_eq!(page(None, 0).await, "");
    let names = store.tags(&path("web"), Some("a\0"), 1).await.unwrap().unwrap();
    assert!(names.len() <= 1, "an impossible name is no error");
}

async fn history_pages_backwards(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    for round in 0..5 {
        push(store, "web", image(10 + round, &[1], &["v1"])).await;
    }
    let page = async |before, limit| {
        let page = store
            .tag_history(&path("web"), &tag("v1"), before, limit)
            .await
            .unwrap();
        page.iter().map(|entry| entry.sequence).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, [5, 4]);
    assert_eq!(page(Some(4), 2).await, [3, 2]);
    assert_eq!(page(Some(2), 2).await, [1]);
    assert!(page(Some(1), 2).await.is_empty());
}

async fn an_image_has_at_most_a_thousand_tags(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    let names: Vec<_> = (0..MAX_TAGS_PER_IMAGE).map(|number| format!("v{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    push(store, "web", image(10, &[1], &names)).await;
    let refused = store.put_image(&path("web"), image(10, &[1], &["one-more"])).await;
    assert!(matches!(refused, Err(PutImageError::TooManyTags)), "{refused:?}");
    assert_eq!(store.tag_detail(&path("web"), &tag("one-more")).await.unwrap(), None);
    push(store, "web", image(10, &[1], &["v0", "v1"])).await;
    let gone = store
        .delete_image(&path("web"), &Reference::Digest(digest(10)), now(), "x")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(gone.tags.len(), MAX_TAGS_PER_IMAGE);
}
