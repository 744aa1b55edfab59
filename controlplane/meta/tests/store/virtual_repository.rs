// SPDX-License-Identifier: Apache-2.0

use hythe_meta::{
    ChangeVirtualRepositoryError, CreateRepositoryError, CreateVirtualRepositoryError,
    MAX_VIRTUAL_REPOSITORIES_PER_ACCOUNT, NameOverlap, Store, VirtualRepositoryRecord,
};
use hythe_model::{RepositoryPrefix, VirtualRepository, VirtualSource};

use crate::contents::{account, after, new_repository, now, path};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_virtual_repository_comes_back_as_created,
    a_virtual_repository_changes_by_version,
    virtual_repositories_page_by_name_up_to_a_limit,
    virtual_names_overlap_nothing,
    of_a_repository_and_a_virtual_one_of_a_name_only_one_comes_to_be,
);

fn prefix(text: &str) -> RepositoryPrefix {
    text.parse().unwrap()
}

fn repository(name: &str, sources: &[&str]) -> VirtualRepository {
    let sources: Vec<_> = sources
        .iter()
        .map(|source| VirtualSource::new(prefix(source)))
        .collect();
    VirtualRepository {
        name: prefix(name),
        sources: sources.try_into().unwrap(),
    }
}

fn record(name: &str, sources: &[&str]) -> VirtualRepositoryRecord {
    VirtualRepositoryRecord {
        account: account(),
        repository: repository(name, sources),
        description: Some("größe \"'".into()),
        created_at: now(),
        updated_at: now(),
        version: 0,
    }
}

async fn overlap(store: &Store, name: &str, sources: &[&str]) -> NameOverlap {
    match store.create_virtual_repository(&record(name, sources)).await {
        Err(CreateVirtualRepositoryError::Overlap(overlap)) => overlap,
        other => panic!("{name}: {other:?}"),
    }
}

async fn a_virtual_repository_comes_back_as_created(database: &Database) {
    let store = &database.store;
    let mut new = record("all", &["team", "ROOT"]);
    let mut sources = new.repository.sources.as_slice().to_vec();
    sources[1].includes = vec!["library/*".parse().unwrap()];
    sources[1].excludes = vec!["library/web".parse().unwrap()];
    new.repository.sources = sources.try_into().unwrap();
    let created = store.create_virtual_repository(&new).await.unwrap();
    assert_ne!(created.version, 0);
    assert_eq!(created.repository, new.repository);
    let found = store.virtual_repository(&account(), &prefix("all")).await.unwrap();
    assert_eq!(found, Some(created));
    let again = store.create_virtual_repository(&new).await;
    assert!(
        matches!(again, Err(CreateVirtualRepositoryError::AlreadyExists)),
        "{again:?}"
    );
    assert_eq!(store.virtual_repository(&account(), &prefix("al")).await.unwrap(), None);
}

async fn a_virtual_repository_changes_by_version(database: &Database) {
    let store = &database.store;
    let created = store
        .create_virtual_repository(&record("all", &["team"]))
        .await
        .unwrap();
    let changed = repository("all", &["hub", "team"]);
    let change = |expected| {
        let changed = changed.clone();
        async move {
            store
                .update_virtual_repository(&account(), changed, None, after(5), expected)
                .await
        }
    };
    let updated = change(created.version).await.unwrap();
    assert_eq!((&updated.repository, updated.description.as_ref()), (&changed, None));
    assert_eq!((updated.created_at, updated.updated_at), (now(), after(5)));
    let late = change(created.version).await;
    assert!(
        matches!(late, Err(ChangeVirtualRepositoryError::VersionMismatch)),
        "{late:?}"
    );
    let delete = |expected| async move {
        store
            .delete_virtual_repository(&account(), &prefix("all"), expected)
            .await
    };
    let late = delete(Some(created.version)).await;
    assert!(
        matches!(late, Err(ChangeVirtualRepositoryError::VersionMismatch)),
        "{late:?}"
    );
    assert_eq!(delete(Some(updated.version)).await.unwrap(), updated);
    let gone = delete(None).await;
    assert!(matches!(gone, Err(ChangeVirtualRepositoryError::Unknown)), "{gone:?}");
    let gone = change(updated.version).await;
    assert!(matches!(gone, Err(ChangeVirtualRepositoryError::Unknown)), "{gone:?}");
}

async fn virtual_repositories_page_by_name_up_to_a_limit(database: &Database) {
    let store = &database.store;
    for number in 0..MAX_VIRTUAL_REPOSITORIES_PER_ACCOUNT {
        let name = format!("v{number:03}");
        store
            .create_virtual_repository(&record(&name, &["team"]))
            .await
            .unwrap();
    }
    let refused = store.create_virtual_repository(&record("more", &["team"])).await;
    assert!(
        matches!(refused, Err(CreateVirtualRepositoryError::LimitExceeded)),
        "{refused:?}"
    );
    let page = store
        .virtual_repositories(&account(), Some(&prefix("v010")), 2)
        .await
        .unwrap();
    let names: Vec<_> = page.iter().map(|record| record.repository.name.as_str()).collect();
    assert_eq!(names, ["v011", "v012"]);
}

async fn virtual_names_overlap_nothing(database: &Database) {
    let store = &database.store;
    for name in ["all", "deep/team/web", "near-x/web", "near0/web"] {
        store.create_repository(new_repository(name)).await.unwrap();
    }
    let name = |text: &str| NameOverlap::Repository(text.parse().unwrap());
    assert_eq!(overlap(store, "all", &["team"]).await, name("all"));
    assert_eq!(overlap(store, "deep", &["team"]).await, name("deep/team/web"));
    // Neighbours by their bytes.
    store
        .create_virtual_repository(&record("near", &["team"]))
        .await
        .unwrap();

    let of = |text: &str| NameOverlap::Virtual(prefix(text));
    assert_eq!(overlap(store, "near/below", &["team"]).await, of("near"));
    store
        .create_virtual_repository(&record("x/y", &["team"]))
        .await
        .unwrap();
    assert_eq!(overlap(store, "x", &["team"]).await, of("x/y"));
    let source = |source: &str, of: &str| NameOverlap::Source(prefix(source), prefix(of));
    assert_eq!(overlap(store, "new", &["team", "near"]).await, source("near", "near"));
    assert_eq!(overlap(store, "new", &["x/y/z"]).await, source("x/y/z", "x/y"));
    assert_eq!(overlap(store, "new", &["new/own"]).await, source("new/own", "new"));
    assert_eq!(
        overlap(store, "team", &["hub"]).await,
        NameOverlap::SourceOf(prefix("team"), prefix("near"))
    );
    // What is above a virtual name is no part of it.
    store
        .create_virtual_repository(&record("new", &["x", "ROOT"]))
        .await
        .unwrap();

    let near = store
        .virtual_repository(&account(), &prefix("near"))
        .await
        .unwrap()
        .unwrap();
    let changed = store
        .update_virtual_repository(&account(), repository("near", &["x/y"]), None, now(), near.version)
        .await;
    let Err(ChangeVirtualRepositoryError::Overlap(found)) = changed else {
        panic!("{changed:?}")
    };
    assert_eq!(found, source("x/y", "x/y"));
}

async fn of_a_repository_and_a_virtual_one_of_a_name_only_one_comes_to_be(database: &Database) {
    let store = &database.store;
    for round in 0..8 {
        let name = format!("both{round}");
        let virtual_one = record(&name, &["team"]);
        let below = new_repository(&format!("{name}/web"));
        let (made, created) = tokio::join!(
            store.create_virtual_repository(&virtual_one),
            store.create_repository(below)
        );
        match (&made, &created) {
            (Ok(_), Err(CreateRepositoryError::Virtual(of))) => assert_eq!(*of, prefix(&name)),
            (Err(CreateVirtualRepositoryError::Overlap(NameOverlap::Repository(_))), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    let same = store.create_virtual_repository(&record("all", &["team"])).await;
    assert!(same.is_ok(), "{same:?}");
    let refused = store.create_repository(new_repository("all")).await;
    assert!(matches!(refused, Err(CreateRepositoryError::Virtual(_))), "{refused:?}");
    assert_eq!(store.repository(&path("all")).await.unwrap(), None);
    for other in ["allx/web", "al", "team/all"] {
        store.create_repository(new_repository(other)).await.unwrap();
    }
}
