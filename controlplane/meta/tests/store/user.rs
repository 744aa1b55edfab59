// SPDX-License-Identifier: Apache-2.0

use hythe_access::UserName;
use hythe_meta::{CreateUserError, UpdateUserError, UserRecord};

use crate::contents::{account, now};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_user_comes_back_as_created,
    policies_change_by_version,
    users_page_by_name,
    accounts_are_created_once,
    the_store_answers_a_check,
);

pub fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

pub fn user(text: &str) -> UserRecord {
    UserRecord {
        account: account(),
        name: name(text),
        policies: vec!["ReadOnly".into(), "größe \"'".into()],
        created_at: now(),
        version: 1,
    }
}

async fn a_user_comes_back_as_created(database: &Database) {
    let store = &database.store;
    store.create_user(&user("ann")).await.unwrap();
    assert_eq!(store.user(&account(), &name("ann")).await.unwrap(), Some(user("ann")));
    assert_eq!(
        store.user(&account(), &name("Ann")).await.unwrap(),
        None,
        "names are case sensitive"
    );
    let again = store.create_user(&user("ann")).await;
    assert!(matches!(again, Err(CreateUserError::AlreadyExists)), "{again:?}");
    assert_eq!(
        store
            .user(&"111111111111".parse().unwrap(), &name("ann"))
            .await
            .unwrap(),
        None
    );
}

async fn policies_change_by_version(database: &Database) {
    let store = &database.store;
    store.create_user(&user("ann")).await.unwrap();
    let update = async |who: &str, policy: &str, version| {
        store
            .update_user_policies(&account(), &name(who), vec![policy.into()], version)
            .await
    };
    let changed = update("ann", "A", Some(1)).await.unwrap();
    assert_eq!(
        (changed.version, changed.policies.as_slice()),
        (2, ["A".to_owned()].as_slice())
    );
    let stale = update("ann", "B", Some(1)).await;
    assert!(matches!(stale, Err(UpdateUserError::VersionMismatch)), "{stale:?}");
    assert_eq!(update("ann", "C", None).await.unwrap().version, 3);
    let unknown = update("bob", "A", None).await;
    assert!(matches!(unknown, Err(UpdateUserError::Unknown)), "{unknown:?}");
    let gone = store.delete_user(&account(), &name("ann")).await.unwrap().unwrap();
    assert_eq!((gone.version, gone.policies), (3, vec!["C".to_owned()]));
    assert_eq!(store.delete_user(&account(), &name("ann")).await.unwrap(), None);
}

async fn users_page_by_name(database: &Database) {
    let store = &database.store;
    for who in ["b", "B", "a_", "a-", "a"] {
        store.create_user(&user(who)).await.unwrap();
    }
    let page = async |after: Option<&str>, limit| {
        let page = store.users(&account(), after.map(name).as_ref(), limit).await.unwrap();
        page.iter()
            .map(|user| user.name.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(page(None, 9).await, "B a a- a_ b");
    assert_eq!(page(Some("a"), 2).await, "a- a_");
    assert_eq!(page(Some("b"), 2).await, "");
}

async fn accounts_are_created_once(database: &Database) {
    let store = &database.store;
    let other = "111111111111".parse().unwrap();
    assert!(store.create_account(&account(), "first", now()).await.unwrap());
    assert!(!store.create_account(&account(), "again", now()).await.unwrap());
    assert!(store.create_account(&other, "second", now()).await.unwrap());
    let found = store.account(&account()).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.created_at), ("first", now()));
    assert_eq!(store.account(&"222222222222".parse().unwrap()).await.unwrap(), None);
    let ids = async |after| {
        store
            .accounts(after, 9)
            .await
            .unwrap()
            .into_iter()
            .map(|account| account.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(None).await, [account(), other.clone()]);
    assert_eq!(ids(Some(&account())).await, [other]);
}

async fn the_store_answers_a_check(database: &Database) {
    database.store.check().await.unwrap();
    assert_eq!(database.store.queue_depth(), 0);
    let other = database.another().await;
    other.close().await;
    other.check().await.unwrap_err();
    assert!(other.create_account(&account(), "late", now()).await.is_err());
    database.store.check().await.unwrap();
}
