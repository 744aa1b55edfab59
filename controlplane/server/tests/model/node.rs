// SPDX-License-Identifier: Apache-2.0
//! A node: what a process has in its memory, on threads of its own, so that a crash ends all of it at once.

use std::sync::Arc;
use std::time::Duration;

use hythe_blobs::FsBlobStore;
use hythe_meta::{Store, StoreConfig};
use hythe_model::{Clock, ManualClock};
use hythe_operations::{Verifier, VerifierSettings};
use tokio::runtime::{Builder, Runtime};

use crate::gated::Remembered;
use crate::operation::COLLECTION;

/// How long a node may take to fall over.
const CRASH: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Node {
    runtime: Option<Runtime>,
    pub store: Store,
    pub files: Arc<FsBlobStore>,
    pub remembered: Arc<Remembered>,
}

impl Node {
    /// Starts a node on a database and a folder, whatever others left there.
    pub async fn start(config: &StoreConfig, folder: &std::path::Path) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = config.clone();
        // What a store does by itself goes on where it was opened.
        let store = runtime.spawn(async move { Store::open(&config).await.unwrap() }).await;
        let store = store.unwrap();
        store.set_link_grace(COLLECTION.grace);
        store.set_deletion_wait(Duration::ZERO);
        // What an earlier process began is gone on with at once where there is no other one.
        let begun = store.clone();
        let taken = runtime.spawn(async move {
            begun.end_leases_of_dead_processes().await?;
            begun.release_blob_moves(None).await
        });
        taken.await.unwrap().unwrap();
        Self {
            runtime: Some(runtime),
            store,
            files: Arc::new(FsBlobStore::open(folder).unwrap()),
            remembered: Arc::default(),
        }
    }

    pub fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    pub fn verifier(&self, clock: &Arc<ManualClock>) -> Verifier {
        let settings = VerifierSettings {
            node: "verifier".into(),
            bytes_per_second: u64::MAX,
            rows_per_second: u64::MAX,
            // Nothing moves meanwhile.
            second_look: Duration::ZERO,
        };
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
        Verifier::new(
            self.store.clone(),
            Arc::<FsBlobStore>::clone(&self.files),
            clock,
            settings,
        )
    }

    /// Ends at once, with everything that it was about to do.
    pub async fn crash(mut self) {
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(CRASH))
            .await
            .unwrap();
    }

    /// Ends in order.
    pub async fn stop(self) {
        let store = self.store.clone();
        self.runtime().spawn(async move { store.close().await }).await.unwrap();
        self.crash().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
