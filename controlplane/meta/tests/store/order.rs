// SPDX-License-Identifier: Apache-2.0

use std::collections::BTreeSet;

use hythe_catalog::{Catalog, ImageCatalog};
use hythe_meta::{OpenError, Store, StoreConfig};
use hythe_model::{RepositoryName, Tag};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::contents::{account, create, image, link, path, push};
use crate::harness::{self, Database, on_each_engine};

on_each_engine!(names_sort_by_bytes);

async fn names_sort_by_bytes(database: &Database) {
    let mut runner = TestRunner::deterministic();
    let names = proptest::collection::btree_set("[a-z0-9]{2,6}((\\.|_|__|-{1,3}|/)[a-z0-9]{1,4}){0,3}", 60);
    let names: BTreeSet<RepositoryName> = names
        .new_tree(&mut runner)
        .unwrap()
        .current()
        .iter()
        .map(|name| name.parse().unwrap())
        .collect();
    let tags = proptest::collection::btree_set("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,8}", 80);
    let tags: BTreeSet<Tag> = tags
        .new_tree(&mut runner)
        .unwrap()
        .current()
        .iter()
        .map(|tag| tag.parse().unwrap())
        .collect();
    check_order(&database.store, &names, &tags).await;
}

/// Pages of every size, put together, are the set in Rust's order, which is that of the bytes.
async fn check_order(store: &Store, names: &BTreeSet<RepositoryName>, tags: &BTreeSet<Tag>) {
    for name in names {
        create(store, name.as_str()).await;
    }
    let first = names.first().unwrap().as_str();
    link(store, first, 1).await;
    let texts: Vec<_> = tags.iter().map(Tag::as_str).collect();
    push(store, first, image(10, &[1], &texts)).await;
    for limit in [1, 7, 1000] {
        let mut listed: Vec<RepositoryName> = Vec::new();
        loop {
            let page = store.repository_names(&account(), listed.last(), limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert!(listed.iter().eq(names), "{listed:?}");
        let mut listed: Vec<Tag> = Vec::new();
        loop {
            let page = store
                .tags(&path(first), listed.last().map(Tag::as_str), limit)
                .await
                .unwrap()
                .unwrap();
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert!(listed.iter().eq(tags), "{listed:?}");
    }
}

#[tokio::test]
async fn names_sort_by_bytes_whatever_the_collation_of_the_database() {
    let options = "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LC_COLLATE 'C' LC_CTYPE 'C'";
    let Some((url, (server, name))) = harness::create_database(options).await else {
        return;
    };
    let store = Store::open(&StoreConfig::Postgres {
        url,
        max_connections: 2,
    })
    .await
    .unwrap();
    let names = ["aa", "aa-b", "aa/b", "aa.b", "aa_b", "aab", "ab"]
        .map(|name| name.parse().unwrap())
        .into();
    let tags = ["A", "B", "_", "a", "a-b", "a.b", "ab", "b"]
        .map(|tag| tag.parse().unwrap())
        .into();
    check_order(&store, &names, &tags).await;
    store.close().await;
    harness::drop_database(&server, &name).await;
}

#[tokio::test]
async fn a_database_with_another_encoding_is_refused() {
    let Some((url, (server, name))) = harness::create_database("LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'LATIN1'").await
    else {
        return;
    };
    let refused = Store::open(&StoreConfig::Postgres {
        url,
        max_connections: 2,
    })
    .await;
    assert!(
        matches!(&refused, Err(OpenError::Encoding(found)) if found == "LATIN1"),
        "{refused:?}"
    );
    harness::drop_database(&server, &name).await;
}
