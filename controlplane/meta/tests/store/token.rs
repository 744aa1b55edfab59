// SPDX-License-Identifier: Apache-2.0

use hythe_meta::{KeepTokenError, MAX_TOKENS_KEPT};

use crate::contents::{after, now};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    revocations_end_with_their_tokens,
    leases_are_extended_until_they_end,
    nobody_keeps_too_many
);

async fn revocations_end_with_their_tokens(database: &Database) {
    let store = &database.store;
    store.revoke_token("a", after(60), "me", now()).await.unwrap();
    store.revoke_token("a", after(30), "me", now()).await.unwrap();
    store.revoke_token("b", after(10), "me", now()).await.unwrap();
    store.revoke_token("expired", now(), "me", now()).await.unwrap();
    assert_eq!(store.revoked_tokens(now()).await.unwrap(), ["b", "a"]);
    assert_eq!(store.revoked_tokens(after(10)).await.unwrap(), ["a"]);
    store.purge_revoked_tokens(after(10)).await.unwrap();
    assert_eq!(store.revoked_tokens(now()).await.unwrap(), ["a"]);
    store.purge_revoked_tokens(after(60)).await.unwrap();
    assert_eq!(database.count("revoked_token").await, 0);
}

async fn leases_are_extended_until_they_end(database: &Database) {
    let store = &database.store;
    store
        .create_lease("a", after(10), after(100), "me", now())
        .await
        .unwrap();
    store
        .create_lease("b", after(500), after(100), "me", now())
        .await
        .unwrap();
    store
        .create_lease("c", after(10), after(100), "me", now())
        .await
        .unwrap();
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
    store.revoke_token("b", after(100), "me", now()).await.unwrap();
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

async fn nobody_keeps_too_many(database: &Database) {
    let store = &database.store;
    store.revoke_token("t", after(60), "me", now()).await.unwrap();
    let many = |table: &str| {
        let columns = if table == "revoked_token" { "" } else { ", until_ms" };
        let values = if table == "revoked_token" { "" } else { ", 0" };
        format!(
            "WITH RECURSIVE c(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM c WHERE i < {MAX_TOKENS_KEPT})
             INSERT INTO {table} (id, owner, expires_ms{columns})
             SELECT 'x' || CAST(i AS TEXT), 'me', {}{values} FROM c",
            after(60).as_millisecond()
        )
    };
    database.execute(many("revoked_token")).await;
    store.revoke_token("t", after(60), "me", now()).await.unwrap();
    store.revoke_token("u", after(60), "me", now()).await.unwrap();
    let one_more = store.revoke_token("v", after(60), "me", now()).await;
    assert!(matches!(one_more, Err(KeepTokenError::LimitExceeded)), "{one_more:?}");
    store.revoke_token("v", after(60), "you", now()).await.unwrap();
    store.revoke_token("v", after(90), "me", after(60)).await.unwrap();

    database.execute(many("token_lease")).await;
    store.create_lease("t", after(9), after(60), "me", now()).await.unwrap();
    store.create_lease("v", after(9), after(60), "me", now()).await.unwrap();
    let one_more = store.create_lease("u", after(9), after(60), "me", now()).await;
    assert!(matches!(one_more, Err(KeepTokenError::LimitExceeded)), "{one_more:?}");
    store
        .create_lease("u", after(9), after(60), "you", now())
        .await
        .unwrap();
}
