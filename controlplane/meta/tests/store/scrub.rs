// SPDX-License-Identifier: Apache-2.0
//! Which node works on a scrub.

use hythe_meta::{ScrubRecord, Store};

use crate::contents::{after, now};
use crate::harness::{Database, on_each_engine};

on_each_engine!(a_scrub_goes_to_another_node_when_its_lease_ends_or_cannot_be_one);

async fn take(store: &Store, node: &str, at: i64) -> Option<ScrubRecord> {
    store.take_scrub(node, after(at), after(at + 60)).await.unwrap()
}

async fn a_scrub_goes_to_another_node_when_its_lease_ends_or_cannot_be_one(database: &Database) {
    const DAY: i64 = 86_400;
    let store = &database.store;
    store.start_scrub("me", 100, false, now()).await.unwrap();
    assert!(take(store, "a", 1).await.is_some());
    assert!(take(store, "b", 60).await.is_none());
    assert!(take(store, "b", 61).await.is_some());
    // The clock of the last one was a day ahead.
    assert!(take(store, "c", DAY).await.is_some());
    assert!(take(store, "d", DAY - 60).await.is_none(), "clocks differ a little");
    assert!(take(store, "d", 100).await.is_some());
}
