// SPDX-License-Identifier: Apache-2.0

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use hythe_catalog::{CatalogError, ImageCatalog, UploadCatalog, UploadState};
use hythe_meta::{CreateRepositoryError, NewRepository, Store, StoreConfig};
use hythe_model::{Algorithm, Reference, UploadId};

use crate::contents::{after, create, digest, image, link, new_repository, now, path, push, tag};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_hundred_writes_at_once_all_happen,
    a_write_that_fails_does_not_touch_those_beside_it,
    of_many_who_create_one_repository_one_wins,
    no_tag_move_of_two_nodes_is_lost,
    what_one_node_wrote_the_other_reads,
    one_session_is_advanced_by_one_writer,
    a_deletion_and_a_push_do_not_leave_halves,
    a_caller_that_goes_away_leaves_a_whole_or_nothing,
    stores_that_start_at_once_share_one_schema,
);

async fn a_hundred_writes_at_once_all_happen(database: &Database) {
    let store = &database.store;
    let names: Vec<_> = (0..100).map(|number| format!("repository-{number}")).collect();
    join_all(names.iter().map(|name| create(store, name))).await;
    assert_eq!(database.count("repository").await, 100);
    assert_eq!(store.queue_depth(), 0);
}

async fn a_write_that_fails_does_not_touch_those_beside_it(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    // Every second one needs a blob that is not there, and fails after it has written its image row.
    let put = |number: u64| async move {
        let blobs: &[u64] = if number.is_multiple_of(2) { &[1] } else { &[1, 2] };
        store
            .put_image(&path("web"), image(100 + number, blobs, &[&format!("v{number}")]))
            .await
    };
    let outcomes = join_all((0..60).map(put)).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), number % 2 == 0, "{number}: {outcome:?}");
    }
    for table in ["image", "image_blob", "tag", "tag_move"] {
        assert_eq!(database.count(table).await, 30, "{table}");
    }
}

async fn of_many_who_create_one_repository_one_wins(database: &Database) {
    let other = database.another().await;
    let creates = (0..20).map(|number| {
        let store = if number % 2 == 0 { &database.store } else { &other };
        store.create_repository(NewRepository {
            created_at: after(number),
            ..new_repository("web")
        })
    });
    let outcomes = join_all(creates).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for outcome in outcomes {
        assert!(
            matches!(outcome, Ok(_) | Err(CreateRepositoryError::AlreadyExists)),
            "{outcome:?}"
        );
    }
    other.close().await;
}

async fn no_tag_move_of_two_nodes_is_lost(database: &Database) {
    const WRITERS: u64 = 8;
    const MOVES: u64 = 12;
    let other = database.another().await;
    create(&database.store, "web").await;
    link(&database.store, "web", 1).await;
    let writers = (0..WRITERS).map(|writer| {
        let store = if writer % 2 == 0 {
            database.store.clone()
        } else {
            other.clone()
        };
        async move {
            for round in 0..MOVES {
                let number = 1000 + writer * MOVES + round;
                let own = format!("own-{writer}-{round}");
                let mut new = image(number, &[1], &["shared", &own]);
                new.pushed_by = own.clone();
                push(&store, "web", new).await;
                let read = store.tag_detail(&path("web"), &tag(&own)).await.unwrap().unwrap();
                assert_eq!(read.digest, digest(number), "what was acknowledged is read");
            }
        }
    });
    join_all(writers).await;
    let tags = other.tags(&path("web"), None, 1000).await.unwrap().unwrap();
    assert_eq!(tags.len() as u64, WRITERS * MOVES + 1);
    // The moves of the shared tag form one chain, in which every writer's moves are.
    let history = other
        .tag_history(&path("web"), &tag("shared"), None, 1000)
        .await
        .unwrap();
    assert_eq!(history.len() as u64, WRITERS * MOVES);
    for pair in history.windows(2) {
        assert_eq!(pair[0].from, pair[1].to);
        assert_eq!(pair[0].sequence, pair[1].sequence + 1);
    }
    let movers: BTreeSet<_> = history.iter().map(|entry| entry.moved_by.as_str()).collect();
    assert_eq!(movers.len() as u64, WRITERS * MOVES);
    other.close().await;
}

async fn what_one_node_wrote_the_other_reads(database: &Database) {
    let other = database.another().await;
    for number in 0..20 {
        let (writer, reader) = if number % 2 == 0 {
            (&database.store, &other)
        } else {
            (&other, &database.store)
        };
        let name = format!("repository-{number}");
        create(writer, &name).await;
        assert!(reader.repository(&path(&name)).await.unwrap().is_some());
        writer
            .delete_repository(&path(&name), false, None, now())
            .await
            .unwrap();
        assert!(reader.repository(&path(&name)).await.unwrap().is_none());
    }
    other.close().await;
}

async fn one_session_is_advanced_by_one_writer(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    let upload = UploadId::generate();
    store
        .begin_upload(&path("web"), upload, Algorithm::Sha256, after(60))
        .await
        .unwrap();
    let advance = |bytes| {
        let state = UploadState::Stored {
            bytes,
            hash_state: "state".into(),
        };
        async move { store.advance_upload(&path("web"), upload, 0, state, after(60)).await }
    };
    let outcomes = join_all((0..10).map(advance)).await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Ok(1))).count(), 1);
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(CatalogError::Conflict)))
            .count(),
        9
    );
}

async fn a_deletion_and_a_push_do_not_leave_halves(database: &Database) {
    let store = &database.store;
    for round in 0..10 {
        let name = format!("repository-{round}");
        create(store, &name).await;
        link(store, &name, 1).await;
        let (repository, image) = (path(&name), image(10, &[1], &["v1"]));
        let (put, deleted) = tokio::join!(
            store.put_image(&repository, image),
            store.delete_repository(&repository, true, None, now())
        );
        deleted.unwrap();
        if let Err(error) = put {
            let hythe_catalog::PutImageError::Catalog(CatalogError::RepositoryUnknown(_)) = error else {
                panic!("{error:?}")
            };
        }
        assert_eq!(
            store.image(&path(&name), &Reference::Tag(tag("v1"))).await.unwrap(),
            None
        );
    }
    for table in ["repository", "image", "image_blob", "tag", "repository_blob"] {
        assert_eq!(database.count(table).await, 0, "{table}");
    }
}

async fn a_caller_that_goes_away_leaves_a_whole_or_nothing(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    for number in 0..50_u64 {
        let repository = path("web");
        let put = store.put_image(&repository, image(100 + number, &[1], &[&format!("v{number}")]));
        let _ = tokio::time::timeout(Duration::from_micros(number * 40), put).await;
    }
    // Waits until all that was queued is done.
    create(store, "last").await;
    let images = database.count("image").await;
    for table in ["image_blob", "tag", "tag_move"] {
        assert_eq!(database.count(table).await, images, "{table}");
    }
    for _ in 0..30 {
        assert!(
            store.repository(&path("web")).await.unwrap().is_some(),
            "no connection is left unusable"
        );
    }
}

async fn stores_that_start_at_once_share_one_schema(database: &Database) {
    // A database that no store has seen.
    let (config, _folder, server) = match &database.config {
        StoreConfig::Sqlite { .. } => {
            let folder = tempfile::tempdir().unwrap();
            (
                StoreConfig::Sqlite {
                    path: folder.path().join("meta.db"),
                },
                Some(folder),
                None,
            )
        }
        StoreConfig::Postgres { .. } => {
            let options = format!("{} ENCODING 'UTF8'", crate::harness::COLLATION_C);
            let (url, server) = crate::harness::create_database(&options).await.unwrap();
            (
                StoreConfig::Postgres {
                    url,
                    max_connections: 2,
                },
                None,
                Some(server),
            )
        }
    };
    let stores = join_all((0..4).map(|_| Store::open(&config))).await;
    let stores: Vec<Store> = stores.into_iter().map(Result::unwrap).collect();
    let deployment = join_all(stores.iter().enumerate().map(|(number, store)| async move {
        store
            .put_setting_if_absent("deployment-id", &number.to_string())
            .await
            .unwrap()
    }))
    .await;
    assert!(deployment.iter().all(|id| *id == deployment[0]), "{deployment:?}");
    for store in &stores {
        store.close().await;
    }
    // Once more, on a schema that is there.
    let again = Store::open(&config).await.unwrap();
    assert_eq!(
        again.setting("deployment-id").await.unwrap().as_ref(),
        deployment.first()
    );
    again.close().await;
    if let Some((server, name)) = server {
        crate::harness::drop_database(&server, &name).await;
    }
}
