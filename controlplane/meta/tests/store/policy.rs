// SPDX-License-Identifier: Apache-2.0

use std::sync::Arc;

use futures::future::join_all;
use hythe_access::PolicyName;
use hythe_meta::{
    ChangeRepositoryPolicyError, CreatePolicyError, DeletePolicyError, EditPolicy, MAX_POLICIES_PER_ACCOUNT,
    PolicyChange, PolicyRecord, PolicyText, SqlError, Store, StoreError, UpdatePolicyError,
};
use hythe_model::ResourceTags;

use crate::contents::{account, after, create, now, path};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_policy_of_a_repository_comes_back_as_set,
    a_policy_of_a_repository_goes_with_it,
    a_policy_of_a_repository_changes_by_version,
    no_state_of_a_document_has_the_version_of_another,
    of_changes_of_a_registry_policy_at_once_none_is_lost,
    an_edit_that_refuses_changes_nothing,
    what_is_set_of_a_registry_policy_has_its_own_time,
    a_policy_comes_back_as_created,
    a_policy_changes_by_version,
    policies_page_by_name,
    an_account_has_so_many_policies_and_no_more,
    a_policy_that_somebody_has_stays,
);

const TEXT: &str = "{ \"Version\": \"2012-10-17\",\n\t\"Id\": \"größe 'n' \\u0000\" }\n";

fn name(text: &str) -> PolicyName {
    text.parse().unwrap()
}

fn policy(text: &str) -> PolicyRecord {
    PolicyRecord {
        account: account(),
        name: name(text),
        description: Some("what it is for".into()),
        text: TEXT.into(),
        tags: ResourceTags::new([("team".to_owned(), "a".to_owned())]).unwrap(),
        created_at: now(),
        updated_at: now(),
        version: 0,
    }
}

async fn a_policy_of_a_repository_comes_back_as_set(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    let web = path("web");
    assert_eq!(store.repository_policy(&web).await.unwrap(), None);
    let set = store.set_repository_policy(&web, TEXT, now(), None).await.unwrap();
    assert_eq!((set.text.as_str(), set.updated_at), (TEXT, now()));
    assert!(set.version >= 0, "an entity tag without a sign");
    assert_eq!(store.repository_policy(&web).await.unwrap(), Some(set.clone()));
    assert_eq!(
        database.another().await.repository_policy(&web).await.unwrap(),
        Some(set.clone())
    );
    let other = store.set_repository_policy(&web, "{}", after(1), None).await.unwrap();
    assert_eq!(store.repository_policy(&web).await.unwrap(), Some(other.clone()));
    assert_eq!(store.delete_repository_policy(&web, None, now()).await.unwrap(), other);
    assert_eq!(store.repository_policy(&web).await.unwrap(), None);
    let absent = store.delete_repository_policy(&web, None, now()).await;
    assert!(matches!(absent, Err(ChangeRepositoryPolicyError::Absent)), "{absent:?}");
    let nowhere = store.set_repository_policy(&path("api"), TEXT, now(), None).await;
    assert!(
        matches!(nowhere, Err(ChangeRepositoryPolicyError::UnknownRepository)),
        "{nowhere:?}"
    );
    let nowhere = store.delete_repository_policy(&path("api"), None, now()).await;
    assert!(
        matches!(nowhere, Err(ChangeRepositoryPolicyError::UnknownRepository)),
        "{nowhere:?}"
    );
}

async fn a_policy_of_a_repository_goes_with_it(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    create(store, "api").await;
    for repository in ["web", "api"] {
        let set = store.set_repository_policy(&path(repository), TEXT, now(), None).await;
        set.unwrap();
    }
    store.delete_repository(&path("web"), false, None, now()).await.unwrap();
    create(store, "web").await;
    assert_eq!(store.repository_policy(&path("web")).await.unwrap(), None);
    assert!(store.repository_policy(&path("api")).await.unwrap().is_some());
    assert_eq!(database.count("repository_policy").await, 1);
}

async fn a_policy_of_a_repository_changes_by_version(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    let web = path("web");
    let early = store.set_repository_policy(&web, TEXT, now(), Some(1)).await;
    assert!(
        matches!(early, Err(ChangeRepositoryPolicyError::VersionMismatch)),
        "{early:?}"
    );
    let first = store.set_repository_policy(&web, TEXT, now(), None).await.unwrap();
    let second = store
        .set_repository_policy(&web, TEXT, now(), Some(first.version))
        .await
        .unwrap();
    let stale = store
        .set_repository_policy(&web, "{}", now(), Some(first.version))
        .await;
    assert!(
        matches!(stale, Err(ChangeRepositoryPolicyError::VersionMismatch)),
        "{stale:?}"
    );
    let stale = store.delete_repository_policy(&web, Some(first.version), now()).await;
    assert!(
        matches!(stale, Err(ChangeRepositoryPolicyError::VersionMismatch)),
        "{stale:?}"
    );
    store
        .delete_repository_policy(&web, Some(second.version), now())
        .await
        .unwrap();
}

async fn no_state_of_a_document_has_the_version_of_another(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    let mut versions = Vec::new();
    for _ in 0..5 {
        let set = store.set_repository_policy(&path("web"), TEXT, now(), None).await;
        versions.push(set.unwrap().version);
        store.delete_repository_policy(&path("web"), None, now()).await.unwrap();
        versions.push(put(store, TEXT).await);
        versions.push(store.create_policy(policy("a")).await.unwrap().version);
        store.delete_policy(&account(), &name("a"), None).await.unwrap();
    }
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 15);
}

async fn put(store: &Store, text: &'static str) -> i64 {
    let edit: EditPolicy<StoreError> = Arc::new(move |_| Ok(Some(PolicyText::Whole(text.to_owned()))));
    let edited = store.edit_registry_policy(&account(), now(), edit).await.unwrap();
    edited.after.unwrap().version
}

async fn of_changes_of_a_registry_policy_at_once_none_is_lost(database: &Database) {
    let other = database.another().await;
    let add = async |number: usize| {
        let store = if number.is_multiple_of(2) {
            &database.store
        } else {
            &other
        };
        let edit: EditPolicy<StoreError> = Arc::new(move |found| {
            let text = found.map(|found| found.text.as_str()).unwrap_or_default();
            Ok(Some(PolicyText::Whole(format!("{text}<{number}>"))))
        });
        // A node that loses too often says so, and its client asks again.
        loop {
            match store.edit_registry_policy(&account(), now(), Arc::clone(&edit)).await {
                Ok(edited) => {
                    assert!(edited.after.unwrap().text.ends_with(&format!("<{number}>")));
                    return;
                }
                Err(StoreError::Busy) => tokio::task::yield_now().await,
                Err(error) if is_conflict(&error) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    join_all((0..24).map(add)).await;
    let text = database.store.registry_policy(&account()).await.unwrap().unwrap().text;
    for number in 0..24 {
        assert_eq!(text.matches(&format!("<{number}>")).count(), 1, "{number}: {text}");
    }
    assert_eq!(text.matches('<').count(), 24);
}

/// Lost against another transaction on every attempt (SQLSTATE 40001).
fn is_conflict(error: &StoreError) -> bool {
    matches!(error, StoreError::Sql(SqlError::Driver(sqlx::Error::Database(cause))) if cause.code().as_deref() == Some("40001"))
}

async fn what_is_set_of_a_registry_policy_has_its_own_time(database: &Database) {
    let store = &database.store;
    let set = async |text: PolicyText, seconds| {
        let edit: EditPolicy<StoreError> = Arc::new(move |_| Ok(Some(text.clone())));
        let edited = store
            .edit_registry_policy(&account(), after(seconds), edit)
            .await
            .unwrap();
        let stored = store.registry_policy(&account()).await.unwrap();
        assert_eq!(edited.after, stored);
        let stored = stored.unwrap();
        let times: Vec<_> = stored.statements_updated_at.into_iter().collect();
        (stored.updated_at, times)
    };
    let (one, two) = (
        |text: &str| PolicyText::Statement("one".into(), text.into()),
        |text: &str| PolicyText::Statement("two".into(), text.into()),
    );
    assert_eq!(set(one("1"), 1).await, (after(1), vec![]), "the first is the document");
    assert_eq!(set(two("12"), 2).await, (after(1), vec![("two".into(), after(2))]));
    let both = vec![("one".into(), after(3)), ("two".into(), after(2))];
    assert_eq!(set(one("12"), 3).await, (after(1), both));
    let gone = PolicyText::Without("one".into(), "2".into());
    assert_eq!(set(gone, 4).await, (after(1), vec![("two".into(), after(2))]));
    assert_eq!(set(PolicyText::Whole("12".into()), 5).await, (after(5), vec![]));
}

async fn an_edit_that_refuses_changes_nothing(database: &Database) {
    let store = &database.store;
    let nothing: EditPolicy<StoreError> = Arc::new(|found| {
        assert_eq!(found, None);
        Ok(None)
    });
    let edited = store.edit_registry_policy(&account(), now(), nothing).await.unwrap();
    assert_eq!((edited.before, edited.after), (None, None));
    put(store, TEXT).await;
    let before = store.registry_policy(&account()).await.unwrap().unwrap();
    assert_eq!(before.text, TEXT);
    let refuse: EditPolicy<StoreError> = Arc::new(|_| Err(StoreError::Corrupt("no".into())));
    store
        .edit_registry_policy(&account(), after(1), refuse)
        .await
        .unwrap_err();
    assert_eq!(store.registry_policy(&account()).await.unwrap(), Some(before.clone()));
    assert_eq!(
        store.registry_policy(&"111111111111".parse().unwrap()).await.unwrap(),
        None
    );
    let remove: EditPolicy<StoreError> = Arc::new(|_| Ok(None));
    let edited = store.edit_registry_policy(&account(), now(), remove).await.unwrap();
    assert_eq!((edited.before, edited.after), (Some(before), None));
    assert_eq!(store.registry_policy(&account()).await.unwrap(), None);
}

async fn a_policy_comes_back_as_created(database: &Database) {
    let store = &database.store;
    let created = store.create_policy(policy("deploy")).await.unwrap();
    let expected = PolicyRecord {
        version: created.version,
        ..policy("deploy")
    };
    assert_eq!(created, expected);
    assert_eq!(store.policy(&account(), &name("deploy")).await.unwrap(), Some(expected));
    assert_eq!(store.policy(&account(), &name("Deploy")).await.unwrap(), None);
    let again = store.create_policy(policy("deploy")).await;
    assert!(matches!(again, Err(CreatePolicyError::AlreadyExists)), "{again:?}");
    let other = PolicyRecord {
        account: "111111111111".parse().unwrap(),
        description: None,
        ..policy("deploy")
    };
    assert_eq!(store.create_policy(other).await.unwrap().description, None);
}

async fn a_policy_changes_by_version(database: &Database) {
    let store = &database.store;
    let created = store.create_policy(policy("a")).await.unwrap();
    let update = async |who: &str, text: &str, version| {
        let change = PolicyChange {
            text: Some(text.into()),
            ..PolicyChange::default()
        };
        store
            .update_policy(&account(), &name(who), change, after(5), version)
            .await
    };
    let changed = update("a", "{}", Some(created.version)).await.unwrap();
    assert_eq!(
        (changed.text.as_str(), changed.created_at, changed.updated_at),
        ("{}", now(), after(5))
    );
    assert_eq!(
        (&changed.description, &changed.tags),
        (&created.description, &created.tags)
    );
    let stale = update("a", "[]", Some(created.version)).await;
    assert!(matches!(stale, Err(UpdatePolicyError::VersionMismatch)), "{stale:?}");
    let unknown = update("b", "[]", None).await;
    assert!(matches!(unknown, Err(UpdatePolicyError::Unknown)), "{unknown:?}");
    let change = PolicyChange {
        description: Some("other".into()),
        tags: Some(ResourceTags::default()),
        text: None,
    };
    let changed = store
        .update_policy(&account(), &name("a"), change, after(6), None)
        .await
        .unwrap();
    assert_eq!(
        (changed.text.as_str(), changed.description.as_deref()),
        ("{}", Some("other"))
    );
    assert!(changed.tags.is_empty());
    let stale = store.delete_policy(&account(), &name("a"), Some(created.version)).await;
    assert!(matches!(stale, Err(DeletePolicyError::VersionMismatch)), "{stale:?}");
    let deleted = store.delete_policy(&account(), &name("a"), Some(changed.version)).await;
    assert_eq!(deleted.unwrap(), changed);
    let gone = store.delete_policy(&account(), &name("a"), None).await;
    assert!(matches!(gone, Err(DeletePolicyError::Unknown)), "{gone:?}");
}

async fn policies_page_by_name(database: &Database) {
    let store = &database.store;
    for what in ["b", "B", "a_", "a-", "a"] {
        store.create_policy(policy(what)).await.unwrap();
    }
    let page = async |after: Option<&str>, limit| {
        let page = store
            .policies(&account(), after.map(name).as_ref(), limit)
            .await
            .unwrap();
        let names: Vec<_> = page.iter().map(|policy| policy.name.to_string()).collect();
        names.join(" ")
    };
    assert_eq!(page(None, 9).await, "B a a- a_ b");
    assert_eq!(page(Some("a"), 2).await, "a- a_");
    assert_eq!(page(Some("b"), 2).await, "");
}

async fn an_account_has_so_many_policies_and_no_more(database: &Database) {
    let store = &database.store;
    let statement = format!(
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {})
         INSERT INTO policy (account_id, name, document, tags, created_ms, updated_ms, version)
         SELECT '{}', 'p' || CAST(i AS TEXT), '{{}}', '{{}}', 0, 0, i FROM c",
        MAX_POLICIES_PER_ACCOUNT - 1,
        account()
    );
    database.execute(statement).await;
    store.create_policy(policy("last")).await.unwrap();
    let beyond = store.create_policy(policy("beyond")).await;
    assert!(
        matches!(beyond, Err(CreatePolicyError::LimitExceeded(MAX_POLICIES_PER_ACCOUNT))),
        "{beyond:?}"
    );
    assert_eq!(store.policy(&account(), &name("beyond")).await.unwrap(), None);
    let again = store.create_policy(policy("last")).await;
    assert!(matches!(again, Err(CreatePolicyError::AlreadyExists)), "{again:?}");
}

async fn a_policy_that_somebody_has_stays(database: &Database) {
    let store = &database.store;
    store.create_policy(policy("deploy")).await.unwrap();
    store.create_policy(policy("spare")).await.unwrap();
    let users = "INSERT INTO policy_use (account_id, policy, kind, name, is_boundary) VALUES
        ('000000000000', 'deploy', 'user', 'ann', FALSE), ('000000000000', 'deploy', 'role', 'ci', TRUE),
        ('111111111111', 'spare', 'user', 'ann', FALSE)";
    database.execute(users).await;
    let kept = store.delete_policy(&account(), &name("deploy"), None).await;
    assert!(matches!(kept, Err(DeletePolicyError::Attached(2))), "{kept:?}");
    assert_eq!(store.policy_uses(&account(), &name("deploy")).await.unwrap(), 2);
    assert_eq!(store.policy_uses(&account(), &name("spare")).await.unwrap(), 0);
    let counted = store
        .policy_uses_between(&account(), &name("a"), &name("z"))
        .await
        .unwrap();
    assert_eq!(counted.into_iter().collect::<Vec<_>>(), [("deploy".to_owned(), 2)]);
    store.delete_policy(&account(), &name("spare"), None).await.unwrap();
}
