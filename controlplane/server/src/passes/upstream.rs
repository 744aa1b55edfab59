// SPDX-License-Identifier: Apache-2.0
//! Makes images of manifests that came from other registries, and forgets what is old of what is known of those.

use std::sync::Arc;
use std::time::Duration;

use hythe_catalog::CatalogError;
use hythe_distribution::Registry;
use hythe_meta::{Store, StoreError};
use hythe_model::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tasks;

/// How often it is looked what is due.
const PERIOD: Duration = Duration::from_secs(2);
/// The most lists of referrers that are forgotten in one transaction.
const BATCH: usize = 100;
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

/// Starts the pass that forgets lists of referrers about which nobody has asked for long.
pub(crate) fn start_forgetting(
    background: &TaskTracker,
    stop: &CancellationToken,
    store: &Store,
    clock: &Arc<dyn Clock>,
    period: Duration,
) {
    let (store, clock, stopped) = (store.clone(), Arc::clone(clock), stop.clone());
    tasks::every(background, stop, "upstream.referrers", period, move || {
        let (store, clock, stopped) = (store.clone(), Arc::clone(&clock), stopped.clone());
        async move { forget(&store, &*clock, &stopped).await }
    });
}

async fn forget(store: &Store, clock: &dyn Clock, stopped: &CancellationToken) -> Result<(), StoreError> {
    for _ in 0..MAX_STEPS {
        if stopped.is_cancelled() || store.expire_upstream_referrers(clock.now(), BATCH).await? < BATCH {
            break;
        }
    }
    Ok(())
}

async fn pass(registry: &Registry) -> Result<(), CatalogError> {
    for _ in 0..MAX_STEPS {
        if !registry.import_one().await? {
            break;
        }
    }
    Ok(())
}
