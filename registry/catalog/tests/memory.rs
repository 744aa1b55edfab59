// SPDX-License-Identifier: Apache-2.0
//! The catalog in memory.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;

use hythe_catalog::{Catalog, ImageCatalog, MemoryCatalog, conformance};
use hythe_model::{RepositoryPath, TagMutability};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_conforms() {
    conformance::all(&Arc::new(MemoryCatalog::new())).await;
}

#[tokio::test]
async fn a_deleted_repository_is_gone() {
    let catalog = MemoryCatalog::new();
    let path = RepositoryPath {
        account: "000000000000".parse().unwrap(),
        name: "team/web".parse().unwrap(),
    };
    assert!(!catalog.delete_repository(&path));
    catalog.create_repository(path.clone(), TagMutability::default());
    assert!(catalog.repository_exists(&path).await.unwrap());
    assert!(catalog.delete_repository(&path));
    assert!(!catalog.repository_exists(&path).await.unwrap());
    assert_eq!(catalog.tags(&path, None, 10).await.unwrap(), None);
}
