// SPDX-License-Identifier: Apache-2.0
//! The collection of blobs that nobody needs.

use hythe_wire::{GarbageCollection, GarbageCollectionRun, path};
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// How collection goes.
    pub async fn garbage_collection(&self) -> Result<GarbageCollection, ClientError> {
        self.request(Method::GET, &path::garbage_collection()).json().await
    }

    /// Lets blobs be collected now that are due for it. If a run goes on, it is that one.
    pub async fn run_garbage_collection(&self) -> Result<GarbageCollectionRun, ClientError> {
        self.request(Method::POST, &path::garbage_collection_runs())
            .json()
            .await
    }

    /// A collection that somebody asked for.
    pub async fn garbage_collection_run(&self, id: &str) -> Result<GarbageCollectionRun, ClientError> {
        self.request(Method::GET, &path::garbage_collection_run(id))
            .json()
            .await
    }
}
