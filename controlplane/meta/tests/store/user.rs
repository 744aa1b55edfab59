// SPDX-License-Identifier: Apache-2.0

use hythe_access::UserName;
use hythe_meta::{
    AttachmentChange, CreatePrincipalError, DeletePrincipalError, PolicyRef, UpdatePrincipalError, UserChange,
    UserKind, UserRecord,
};
use hythe_model::ResourceTags;

use crate::contents::{account, after, now};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_user_comes_back_as_created,
    changes_go_by_version,
    users_page_by_name,
    the_store_answers_a_check,
);

pub fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

pub fn policies(text: &str) -> Vec<PolicyRef> {
    text.split_whitespace().map(|name| name.parse().unwrap()).collect()
}

pub fn user(text: &str) -> UserRecord {
    UserRecord {
        account: account(),
        name: name(text),
        kind: UserKind::ServiceAccount,
        description: "größe \"'".into(),
        policies: policies("PullOnly ReadOnly"),
        boundary: Some("FullAccess".parse().unwrap()),
        groups: Vec::new(),
        tags: ResourceTags::new([("team".to_owned(), "a".to_owned())]).unwrap(),
        expires_at: Some(after(60)),
        is_disabled: false,
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
        "a name is exact"
    );
    for again in ["ann", "ANN"] {
        let again = store.create_user(&user(again)).await;
        assert!(matches!(again, Err(CreatePrincipalError::AlreadyExists)), "{again:?}");
    }
    let other = "111111111111".parse().unwrap();
    assert_eq!(store.user(&other, &name("ann")).await.unwrap(), None);
    store
        .create_user(&UserRecord {
            account: other,
            ..user("ANN")
        })
        .await
        .unwrap();
}

async fn changes_go_by_version(database: &Database) {
    let store = &database.store;
    store.create_user(&user("ann")).await.unwrap();
    let update =
        async |who: &str, change: UserChange, version| store.update_user(&account(), &name(who), change, version).await;
    let set = |text: &str| UserChange {
        policies: Some(AttachmentChange::Replace(policies(text))),
        ..UserChange::default()
    };
    let changed = update("ann", set("PowerUser"), Some(1)).await.unwrap();
    assert_eq!((changed.version, changed.policies), (2, policies("PowerUser")));
    let stale = update("ann", set("ReadOnly"), Some(1)).await;
    assert!(matches!(stale, Err(UpdatePrincipalError::VersionMismatch)), "{stale:?}");
    let same = update("ann", set("PowerUser"), None).await.unwrap();
    assert_eq!(same.version, 2, "nothing changed");
    let all = UserChange {
        description: Some(String::new()),
        policies: Some(AttachmentChange::Attach("ReadOnly".parse().unwrap())),
        boundary: Some(None),
        tags: Some(ResourceTags::default()),
        expires_at: Some(None),
        is_disabled: Some(true),
    };
    let changed = update("ann", all, Some(2)).await.unwrap();
    assert_eq!(
        store.user(&account(), &name("ann")).await.unwrap(),
        Some(changed.clone())
    );
    let want = UserRecord {
        description: String::new(),
        policies: policies("PowerUser ReadOnly"),
        boundary: None,
        tags: ResourceTags::default(),
        expires_at: None,
        is_disabled: true,
        version: 3,
        ..user("ann")
    };
    assert_eq!(changed, want);
    let unknown = update("bob", set("ReadOnly"), None).await;
    assert!(matches!(unknown, Err(UpdatePrincipalError::Unknown)), "{unknown:?}");
    let delete = async |version| store.delete_user(&account(), &name("ann"), version).await;
    let stale = delete(Some(2)).await;
    assert!(matches!(stale, Err(DeletePrincipalError::VersionMismatch)), "{stale:?}");
    assert_eq!(delete(Some(3)).await.unwrap(), want);
    assert!(matches!(delete(None).await, Err(DeletePrincipalError::Unknown)));
    assert_eq!(database.count("policy_use").await, 0);
}

async fn users_page_by_name(database: &Database) {
    let store = &database.store;
    for who in ["b", "C", "a_", "a-", "a"] {
        store.create_user(&user(who)).await.unwrap();
    }
    let page = async |after: Option<&str>, limit| {
        let page = store.users(&account(), after.map(name).as_ref(), limit).await.unwrap();
        page.iter()
            .map(|user| user.name.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(page(None, 9).await, "C a a- a_ b");
    assert_eq!(page(Some("a"), 2).await, "a- a_");
    assert_eq!(page(Some("b"), 2).await, "");
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
