// SPDX-License-Identifier: Apache-2.0
//! The suite that every catalog passes, on one node and on two that share a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use hythe_catalog::{Catalog, conformance};
use hythe_meta::{RepositoryChange, Store};
use hythe_model::{RepositoryPath, TagMutability};

use crate::contents::{new_repository, now};
use crate::harness::{Database, on_each_engine};

on_each_engine!(one_node_conforms, two_nodes_in_turn_conform);

struct Nodes {
    stores: Vec<Store>,
    calls: AtomicUsize,
}

#[async_trait]
impl conformance::Fixture for Nodes {
    fn catalog(&self) -> Arc<dyn Catalog> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        Arc::new(self.stores[call % self.stores.len()].clone())
    }

    async fn create_repository(&self, repository: &RepositoryPath, mutability: TagMutability) {
        let store = &self.stores[0];
        store
            .create_account(&repository.account, "conformance", now())
            .await
            .unwrap();
        let mut new = new_repository("any");
        new.path = repository.clone();
        new.tag_mutability = mutability;
        store.create_repository(new).await.unwrap();
    }

    async fn allow_sparse_indexes(&self, repository: &RepositoryPath, is_allowed: bool) {
        let change = RepositoryChange {
            allow_sparse_indexes: Some(is_allowed),
            ..RepositoryChange::default()
        };
        self.stores[0]
            .update_repository(repository, change, None, now())
            .await
            .unwrap();
    }
}

async fn one_node_conforms(database: &Database) {
    conformance::all(&Nodes {
        stores: vec![database.store.clone()],
        calls: AtomicUsize::new(0),
    })
    .await;
}

async fn two_nodes_in_turn_conform(database: &Database) {
    let other = database.another().await;
    let stores = vec![database.store.clone(), other.clone()];
    conformance::all(&Nodes {
        stores,
        calls: AtomicUsize::new(0),
    })
    .await;
    other.close().await;
}
