// SPDX-License-Identifier: Apache-2.0
//! Purges deleted images whose time is over, and lets referrers follow their subject.

use std::sync::Arc;
use std::time::Duration;

use hythe_meta::{Store, StoreError};
use hythe_model::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tasks;

/// The most images or subjects that one step takes.
const BATCH: usize = 100;
/// The most steps of one pass; what is left waits for the next one.
const MAX_STEPS: usize = 100;

/// Starts the pass.
pub(crate) fn start(
    background: &TaskTracker,
    stop: &CancellationToken,
    store: &Store,
    clock: &Arc<dyn Clock>,
    period: Duration,
) {
    let (store, clock, stopped) = (store.clone(), Arc::clone(clock), stop.clone());
    tasks::every(background, stop, "image.retention", period, move || {
        let (store, clock, stopped) = (store.clone(), Arc::clone(&clock), stopped.clone());
        async move { pass(&store, &*clock, &stopped).await }
    });
}

async fn pass(store: &Store, clock: &dyn Clock, stopped: &CancellationToken) -> Result<(), StoreError> {
    let (mut purged, mut deleted, mut restored) = (0, 0, 0);
    for _ in 0..MAX_STEPS {
        if stopped.is_cancelled() {
            break;
        }
        let now = clock.now();
        let followed = store.follow_subjects(now, BATCH).await?;
        deleted += followed.deleted;
        restored += followed.restored;
        let over = store.purge_images(now, BATCH).await?;
        purged += over;
        if followed.subjects == 0 && over < BATCH {
            break;
        }
    }
    if purged + deleted + restored > 0 {
        tracing::info!(
            images.purged = purged,
            referrers.deleted = deleted,
            referrers.restored = restored,
            "went through deleted images"
        );
    }
    Ok(())
}
