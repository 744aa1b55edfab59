// SPDX-License-Identifier: Apache-2.0
//! Makes images of manifests that came from other registries.

use std::time::Duration;

use hythe_catalog::CatalogError;
use hythe_distribution::Registry;
use hythe_meta::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often it is looked what is due.
const PERIOD: Duration = Duration::from_secs(2);
/// How many images one process brings at once.
const WORKERS: usize = 2;
/// The most that one pass brings before it looks whether the server stops.
const MAX_STEPS: usize = 100;

/// Starts the pass, if this process serves the registry.
pub(crate) fn start(background: &TaskTracker, stop: &CancellationToken, store: &Store, registry: Option<&Registry>) {
    let Some(registry) = registry else { return };
    for worker in 0..WORKERS {
        let (stop, registry, store) = (stop.clone(), registry.clone(), store.clone());
        background.spawn(async move {
            if worker == 0
                && let Err(error) = store.release_upstream_claims().await
            {
                tracing::warn!(error = %error, "claims of an earlier process end by themselves");
            }
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(PERIOD) => {}
                }
                let passed = tokio::select! {
                    () = stop.cancelled() => return,
                    passed = pass(&registry) => passed,
                };
                if let Err(error) = passed {
                    tracing::warn!(task = "upstream.import", error = %error, "background pass failed; the next one tries again");
                }
            }
        });
    }
}

async fn pass(registry: &Registry) -> Result<(), CatalogError> {
    for _ in 0..MAX_STEPS {
        if !registry.import_one().await? {
            break;
        }
    }
    Ok(())
}
