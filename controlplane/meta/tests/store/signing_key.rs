// SPDX-License-Identifier: Apache-2.0

use hythe_meta::SigningKeyRecord;

use crate::contents::{after, now};
use crate::harness::{Database, on_each_engine};

on_each_engine!(one_key_of_a_generation_wins_and_old_ones_go);

fn key(generation: i64, id: &str) -> SigningKeyRecord {
    SigningKeyRecord {
        generation,
        id: id.into(),
        sealed: vec![1, 2, 3],
        created_at: now(),
        active_from: after(10),
    }
}

async fn one_key_of_a_generation_wins_and_old_ones_go(database: &Database) {
    let store = &database.store;
    assert_eq!(store.signing_keys().await.unwrap(), []);
    assert!(store.add_signing_key(&key(1, "a")).await.unwrap());
    assert!(!database.another().await.add_signing_key(&key(1, "b")).await.unwrap());
    assert!(store.add_signing_key(&key(2, "c")).await.unwrap());
    assert_eq!(store.signing_keys().await.unwrap(), [key(1, "a"), key(2, "c")]);
    store.delete_signing_keys_before(2).await.unwrap();
    assert_eq!(store.signing_keys().await.unwrap(), [key(2, "c")]);
}
