// SPDX-License-Identifier: Apache-2.0

use bytes::Bytes;
use hythe_catalog::{BlobCatalog, ImageCatalog, PutImageError};
use hythe_meta::{ImageFilter, TagStatus};
use hythe_model::{MediaType, Reference};
use serde_json::json;

use crate::contents::{account, after, artifact, create, digest, image, image_of, index, link, now, path, push, tag};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    an_image_is_described_with_its_tags,
    an_index_is_as_large_as_its_largest_image,
    schema_1_is_as_large_as_its_layers,
    images_are_listed_by_tag_status_and_page,
    images_with_many_layers_need_all_of_them,
    deleting_an_image_queues_its_blobs_for_review,
    a_refused_image_leaves_nothing_behind,
    referrers_are_found_by_type_and_page,
    sizes_beyond_all_measure_are_no_error,
    a_first_blob_keeps_its_bytes,
);

async fn an_image_is_described_with_its_tags(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    let new = image(10, &[1, 1], &["b", "a"]);
    let manifest_bytes = new.manifest.bytes().len() as u64;
    push(store, "web", new).await;
    let mut again = image(10, &[1, 1], &["c"]);
    again.pushed_at = after(60);
    assert!(!store.put_image(&path("web"), again).await.unwrap().is_new);

    let detail = store
        .image_detail(&path("web"), &Reference::Tag(tag("a")))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(detail.digest, digest(10));
    assert_eq!(detail.tags, [tag("a"), tag("b"), tag("c")]);
    assert_eq!(detail.pushed_at, now(), "the first push counts");
    assert_eq!(detail.media_type.as_str(), MediaType::OCI_MANIFEST);
    assert_eq!((detail.image_bytes, detail.manifest_bytes), (20, manifest_bytes));
    assert_eq!(detail.subject, None);
    let same = store
        .image_detail(&path("web"), &Reference::Digest(digest(10)))
        .await
        .unwrap();
    assert_eq!(same, Some(detail));
    assert_eq!(
        store
            .image_detail(&path("web"), &Reference::Tag(tag("x")))
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        store
            .image_detail(&path("no"), &Reference::Digest(digest(10)))
            .await
            .unwrap(),
        None
    );
}

async fn schema_1_is_as_large_as_its_layers(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    for number in [1, 2] {
        link(store, "web", number).await;
    }
    let layers = [1, 2, 1].map(|number| json!({ "blobSum": digest(number) }));
    let history = [1, 2, 3].map(|_| json!({ "v1Compatibility": "{}" }));
    let body = json!({
        "schemaVersion": 1, "name": "web", "tag": "v1", "architecture": "amd64", "fsLayers": layers, "history": history,
    });
    push(store, "web", image_of(10, &body, MediaType::DOCKER_SCHEMA1, &["v1"])).await;
    let detail = store
        .image_detail(&path("web"), &Reference::Tag(tag("v1")))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(detail.media_type.as_str(), MediaType::DOCKER_SCHEMA1);
    assert_eq!((detail.image_bytes, detail.artifact_type), (8, None));
}

async fn an_index_is_as_large_as_its_largest_image(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    link(store, "web", 2).await;
    push(store, "web", image(10, &[1, 2], &[])).await;
    push(store, "web", image(11, &[1, 2, 1, 2], &[])).await;
    push(store, "web", index(12, &[10, 11], &["multi"])).await;
    push(store, "web", index(13, &[12], &["nested"])).await;
    push(store, "web", index(14, &[], &["empty"])).await;
    for (name, size) in [("multi", 40), ("nested", 40), ("empty", 0)] {
        let detail = store
            .image_detail(&path("web"), &Reference::Tag(tag(name)))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(detail.image_bytes, size, "{name}");
    }
}

async fn images_are_listed_by_tag_status_and_page(database: &Database) {
    let store = &database.store;
    assert_eq!(
        store
            .image_details(&path("web"), ImageFilter::default(), None, 9)
            .await
            .unwrap(),
        None
    );
    create(store, "web").await;
    assert_eq!(
        store
            .image_details(&path("web"), ImageFilter::default(), None, 9)
            .await
            .unwrap(),
        Some(Vec::new())
    );
    link(store, "web", 1).await;
    for number in 10..16 {
        let tags: &[&str] = if number % 2 == 0 {
            &[]
        } else {
            &[&format!("b{number}"), &format!("a{number}")]
        };
        push(store, "web", image(number, &[1], tags)).await;
    }
    let list = async |tags, after: Option<u64>, limit| {
        let after = after.map(digest);
        let filter = ImageFilter {
            tags,
            ..ImageFilter::default()
        };
        let page = store
            .image_details(&path("web"), filter, after.as_ref(), limit)
            .await
            .unwrap()
            .unwrap();
        page.into_iter()
            .map(|detail| (detail.digest, detail.tags))
            .collect::<Vec<_>>()
    };
    let tagged = |number: u64| {
        (
            digest(number),
            vec![tag(&format!("a{number}")), tag(&format!("b{number}"))],
        )
    };
    let untagged = |number: u64| (digest(number), Vec::new());
    assert_eq!(
        list(TagStatus::Any, None, 3).await,
        [untagged(10), tagged(11), untagged(12)]
    );
    assert_eq!(list(TagStatus::Any, Some(13), 9).await, [untagged(14), tagged(15)]);
    assert_eq!(
        list(TagStatus::Tagged, None, 9).await,
        [tagged(11), tagged(13), tagged(15)]
    );
    assert_eq!(list(TagStatus::Tagged, Some(11), 1).await, [tagged(13)]);
    assert_eq!(
        list(TagStatus::Untagged, Some(10), 9).await,
        [untagged(12), untagged(14)]
    );
    assert!(list(TagStatus::Any, Some(15), 9).await.is_empty());
    assert!(list(TagStatus::Any, None, 0).await.is_empty());
}

async fn images_with_many_layers_need_all_of_them(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    let blobs: Vec<u64> = (100..200).collect();
    for number in &blobs[..97] {
        link(store, "web", *number).await;
    }
    let Err(PutImageError::BlobsUnknown(missing)) = store.put_image(&path("web"), image(10, &blobs, &[])).await else {
        panic!("the last three are missing")
    };
    assert_eq!(missing, [digest(197), digest(198), digest(199)]);
    for number in &blobs[97..] {
        link(store, "web", *number).await;
    }
    push(store, "web", image(10, &blobs, &[])).await;
    assert_eq!(database.count("image_blob").await, 100);

    for number in 300..340 {
        push(store, "web", image(number, &[100], &[])).await;
    }
    let children: Vec<u64> = (300..341).collect();
    let Err(PutImageError::ChildrenUnknown(missing)) = store.put_image(&path("web"), index(11, &children, &[])).await
    else {
        panic!("the last one is missing")
    };
    assert_eq!(missing, [digest(340)]);
    push(store, "web", index(11, &children[..40], &[])).await;
    assert_eq!(database.count("image_child").await, 40);
}

async fn deleting_an_image_queues_its_blobs_for_review(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    for number in 1..4 {
        link(store, "web", number).await;
    }
    assert_eq!(
        database.count("blob_review").await,
        3,
        "nothing refers to a new link yet"
    );
    database.execute("DELETE FROM blob_review").await;
    push(store, "web", image(10, &[1, 2], &["v1"])).await;
    assert_eq!(database.count("blob_review").await, 0);
    store.put_registry_settings(&account(), 0, None).await.unwrap();
    store
        .delete_image(&path("web"), &Reference::Tag(tag("v1")), now(), "x")
        .await
        .unwrap();
    assert_eq!(database.count("blob_review").await, 2);
    assert_eq!(database.count("image_blob").await, 0);
    assert_eq!(database.count("deleted_image").await, 0);
    assert!(
        store.blob(&path("web"), &digest(1)).await.unwrap().is_some(),
        "the collector decides, not the deletion"
    );
}

async fn a_refused_image_leaves_nothing_behind(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    store
        .put_image(&path("web"), image(10, &[1, 2], &["v1"]))
        .await
        .unwrap_err();
    store
        .put_image(&path("web"), index(11, &[10], &["v1"]))
        .await
        .unwrap_err();
    for table in ["image", "image_blob", "image_child", "tag", "tag_move"] {
        assert_eq!(database.count(table).await, 0, "{table}");
    }
}

async fn referrers_are_found_by_type_and_page(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    create(store, "other").await;
    link(store, "web", 1).await;
    link(store, "other", 1).await;
    for number in 20..26 {
        let kind = if number % 2 == 0 {
            "application/spdx+json"
        } else {
            "nul\0nul"
        };
        push(store, "web", artifact(number, 1, 10, kind)).await;
    }
    push(store, "other", artifact(30, 1, 10, "application/spdx+json")).await;
    let list = async |kind, after: Option<u64>, limit| {
        let after = after.map(digest);
        store
            .referrers(&path("web"), &digest(10), kind, after.as_ref(), limit)
            .await
            .unwrap()
    };
    let digests = |page: Vec<hythe_catalog::Referrer>| page.iter().map(|entry| entry.digest).collect::<Vec<_>>();
    assert_eq!(digests(list(None, None, 2).await), [digest(20), digest(21)]);
    assert_eq!(
        digests(list(None, Some(21), 9).await),
        [digest(22), digest(23), digest(24), digest(25)]
    );
    assert_eq!(
        digests(list(Some("application/spdx+json"), Some(20), 9).await),
        [digest(22), digest(24)]
    );
    assert_eq!(list(Some("nul\0nul"), None, 9).await.len(), 3);
    assert!(list(Some("other"), None, 9).await.is_empty());
    let first = list(None, None, 1).await.remove(0);
    assert_eq!(first.annotations.get("number").map(String::as_str), Some("20"));
    assert_eq!(first.artifact_type.as_deref(), Some("application/spdx+json"));
    assert!(
        store
            .referrers(&path("no"), &digest(10), None, None, 9)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn sizes_beyond_all_measure_are_no_error(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    let huge = json!({ "mediaType": "a/b", "digest": digest(1), "size": u64::MAX });
    let body = json!({ "schemaVersion": 2, "config": huge, "layers": [huge, huge] });
    push(store, "web", image_of(10, &body, MediaType::OCI_MANIFEST, &["huge"])).await;
    push(store, "web", image_of(11, &body, MediaType::OCI_MANIFEST, &[])).await;
    push(store, "web", index(12, &[10, 11], &[])).await;
    let details = store
        .image_details(&path("web"), ImageFilter::default(), None, 9)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(details.len(), 3);
    assert!(
        store.repository_usage(&path("web")).await.unwrap().unwrap().bytes < 10_000,
        "what is stored counts"
    );
}

async fn a_first_blob_keeps_its_bytes(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    create(store, "other").await;
    let mut empty = crate::contents::blob(1, b"");
    store.link_blob(&path("web"), empty.clone(), now()).await.unwrap();
    let record = store.blob(&path("web"), &digest(1)).await.unwrap().unwrap();
    assert_eq!(
        (record.size, record.inline),
        (0, Some(Bytes::new())),
        "no bytes are not the same as none here"
    );
    empty.inline = None;
    store.link_blob(&path("other"), empty, now()).await.unwrap();
    assert_eq!(
        store.blob(&path("other"), &digest(1)).await.unwrap().unwrap().inline,
        Some(Bytes::new())
    );

    let large = vec![7; hythe_catalog::MAX_INLINE_BLOB_BYTES];
    store
        .link_blob(&path("web"), crate::contents::blob(2, &large), now())
        .await
        .unwrap();
    assert_eq!(
        store.blob(&path("web"), &digest(2)).await.unwrap().unwrap().inline,
        Some(Bytes::from(large))
    );
    assert_eq!(store.blob(&path("other"), &digest(2)).await.unwrap(), None);
}
