// SPDX-License-Identifier: Apache-2.0

use crate::contents::{after, now};
use crate::harness::{Database, on_each_engine};

on_each_engine!(revocations_end_with_their_tokens, leases_are_extended_until_they_end);

async fn revocations_end_with_their_tokens(database: &Database) {
    let store = &database.store;
    store.revoke_token("a", after(60), now()).await.unwrap();
    store.revoke_token("a", after(30), now()).await.unwrap();
    store.revoke_token("b", after(10), now()).await.unwrap();
    store.revoke_token("expired", now(), now()).await.unwrap();
    assert_eq!(store.revoked_tokens(now()).await.unwrap(), ["b", "a"]);
    assert_eq!(store.revoked_tokens(after(10)).await.unwrap(), ["a"]);
    store.purge_revoked_tokens(after(10)).await.unwrap();
    assert_eq!(store.revoked_tokens(now()).await.unwrap(), ["a"]);
    store.purge_revoked_tokens(after(60)).await.unwrap();
    assert_eq!(database.count("revoked_token").await, 0);
}

async fn leases_are_extended_until_they_end(database: &Database) {
    let store = &database.store;
    store.create_lease("a", after(10), after(100)).await.unwrap();
    store.create_lease("b", after(500), after(100)).await.unwrap();
    store.create_lease("c", after(10), after(100)).await.unwrap();
    assert_eq!(store.lease("a").await.unwrap(), Some(after(10)));
    assert_eq!(
        store.lease("b").await.unwrap(),
        Some(after(100)),
        "never longer than the token"
    );
    assert_eq!(store.lease("x").await.unwrap(), None);

    assert!(store.extend_lease("a", after(20), after(5)).await.unwrap());
    assert_eq!(store.lease("a").await.unwrap(), Some(after(20)));
    assert!(store.extend_lease("a", after(900), after(5)).await.unwrap());
    assert_eq!(store.lease("a").await.unwrap(), Some(after(100)));
    assert!(
        !store.extend_lease("c", after(20), after(10)).await.unwrap(),
        "it has ended"
    );
    assert!(!store.extend_lease("x", after(20), now()).await.unwrap());
    store.revoke_token("b", after(100), now()).await.unwrap();
    assert!(
        !store.extend_lease("b", after(20), now()).await.unwrap(),
        "its token was revoked"
    );

    let ids = async |seconds| {
        store
            .leases(after(seconds))
            .await
            .unwrap()
            .into_iter()
            .map(|(id, _)| id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(0).await, ["a", "b", "c"]);
    assert_eq!(ids(10).await, ["a", "b"]);
    store.purge_revoked_tokens(after(99)).await.unwrap();
    assert_eq!(database.count("token_lease").await, 3);
    store.purge_revoked_tokens(after(100)).await.unwrap();
    assert_eq!(database.count("token_lease").await, 0);
}
