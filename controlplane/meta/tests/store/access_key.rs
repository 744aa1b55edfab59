// SPDX-License-Identifier: Apache-2.0

use hythe_meta::{AccessKeyRecord, CreateAccessKeyError, RotateAccessKeyError};

use crate::contents::{account, after, now};
use crate::harness::{Database, on_each_engine};
use crate::user::{name, user};

on_each_engine!(
    keys_belong_to_the_administrator_or_a_user,
    a_user_has_at_most_so_many_keys,
    a_key_is_found_only_through_its_owner,
    a_key_is_replaced_at_once,
    use_times_never_go_back,
    deleting_a_user_deletes_the_keys,
);

fn key(id: &str, owner: Option<&str>) -> AccessKeyRecord {
    AccessKeyRecord {
        id: id.into(),
        account: account(),
        user: owner.map(name),
        sealed_secret: vec![0, 255, 7],
        is_active: true,
        created_at: now(),
        last_used_at: None,
    }
}

async fn keys_belong_to_the_administrator_or_a_user(database: &Database) {
    let store = &database.store;
    let unknown = store.create_access_key(&key("AK1", Some("ann")), 2).await;
    assert!(matches!(unknown, Err(CreateAccessKeyError::UserUnknown)), "{unknown:?}");
    store.create_user(&user("ann")).await.unwrap();
    store.create_access_key(&key("AK1", Some("ann")), 2).await.unwrap();
    store.create_access_key(&key("AK2", None), 2).await.unwrap();
    assert_eq!(store.access_key("AK1").await.unwrap(), Some(key("AK1", Some("ann"))));
    assert_eq!(store.access_keys(&account(), None).await.unwrap(), [key("AK2", None)]);
    assert_eq!(
        store.access_keys(&account(), Some(&name("ann"))).await.unwrap(),
        [key("AK1", Some("ann"))]
    );
    assert_eq!(store.access_key("ak1").await.unwrap(), None);
    let twice = store.create_access_key(&key("AK1", None), 9).await;
    assert!(matches!(twice, Err(CreateAccessKeyError::Store(_))), "{twice:?}");
}

async fn a_user_has_at_most_so_many_keys(database: &Database) {
    let store = &database.store;
    store.create_access_key(&key("AK1", None), 2).await.unwrap();
    store.create_access_key(&key("AK2", None), 2).await.unwrap();
    let refused = store.create_access_key(&key("AK3", None), 2).await;
    assert!(
        matches!(refused, Err(CreateAccessKeyError::LimitExceeded)),
        "{refused:?}"
    );
    store.delete_access_key(&account(), None, "AK1").await.unwrap().unwrap();
    store.create_access_key(&key("AK3", None), 2).await.unwrap();
}

async fn a_key_is_found_only_through_its_owner(database: &Database) {
    let store = &database.store;
    store.create_user(&user("ann")).await.unwrap();
    store.create_access_key(&key("AK1", Some("ann")), 2).await.unwrap();
    assert_eq!(
        store
            .set_access_key_active(&account(), None, "AK1", false)
            .await
            .unwrap(),
        None
    );
    assert_eq!(store.delete_access_key(&account(), None, "AK1").await.unwrap(), None);
    let other = "111111111111".parse().unwrap();
    assert_eq!(
        store
            .delete_access_key(&other, Some(&name("ann")), "AK1")
            .await
            .unwrap(),
        None
    );
    let off = store
        .set_access_key_active(&account(), Some(&name("ann")), "AK1", false)
        .await
        .unwrap()
        .unwrap();
    assert!(!off.is_active);
    assert_eq!(store.access_key("AK1").await.unwrap(), Some(off.clone()));
    assert_eq!(
        store
            .delete_access_key(&account(), Some(&name("ann")), "AK1")
            .await
            .unwrap(),
        Some(off)
    );
    assert_eq!(store.access_key("AK1").await.unwrap(), None);
}

async fn a_key_is_replaced_at_once(database: &Database) {
    let store = &database.store;
    store.create_user(&user("ann")).await.unwrap();
    store.create_user(&user("bob")).await.unwrap();
    store.create_access_key(&key("AK1", Some("ann")), 2).await.unwrap();
    let of_other = store.rotate_access_key("AK1", &key("AK2", Some("bob")), 2).await;
    assert!(matches!(of_other, Err(RotateAccessKeyError::Unknown)), "{of_other:?}");
    store
        .rotate_access_key("AK1", &key("AK2", Some("ann")), 2)
        .await
        .unwrap();
    let is_active = async |id| store.access_key(id).await.unwrap().map(|key| key.is_active);
    assert_eq!(
        (is_active("AK1").await, is_active("AK2").await),
        (Some(false), Some(true))
    );
    let full = store.rotate_access_key("AK2", &key("AK3", Some("ann")), 2).await;
    assert!(matches!(full, Err(RotateAccessKeyError::LimitExceeded)), "{full:?}");
    assert_eq!(
        (is_active("AK2").await, is_active("AK3").await),
        (Some(true), None),
        "rolled back"
    );
}

async fn use_times_never_go_back(database: &Database) {
    let store = &database.store;
    store.create_access_key(&key("AK1", None), 2).await.unwrap();
    let touch = async |seconds| {
        store
            .touch_access_keys(&[("AK1".into(), after(seconds)), ("unknown".into(), now())])
            .await
            .unwrap();
        store.access_key("AK1").await.unwrap().unwrap().last_used_at
    };
    assert_eq!(touch(5).await, Some(after(5)));
    assert_eq!(touch(3).await, Some(after(5)));
    assert_eq!(touch(9).await, Some(after(9)));
    store.touch_access_keys(&[]).await.unwrap();
}

async fn deleting_a_user_deletes_the_keys(database: &Database) {
    let store = &database.store;
    store.create_user(&user("ann")).await.unwrap();
    store.create_access_key(&key("AK1", Some("ann")), 2).await.unwrap();
    store.create_access_key(&key("AK2", None), 2).await.unwrap();
    store.delete_user(&account(), &name("ann"), None).await.unwrap();
    assert_eq!(store.access_key("AK1").await.unwrap(), None);
    assert!(store.access_key("AK2").await.unwrap().is_some());
}
