// SPDX-License-Identifier: Apache-2.0
//! Brings backfills further: page by page, on whatever node comes first.

use std::time::Duration;

use hythe_model::fail_point;
use tokio_util::sync::CancellationToken;

use super::{PERIOD, Replicator};
use crate::add;

/// How long to wait for tasks of a page to be done.
const BUSY_PERIOD: Duration = Duration::from_millis(200);

impl Replicator {
    /// Works until `stop`.
    pub(super) async fn backfill(&self, stop: &CancellationToken) {
        loop {
            let pass = self.0.store.advance_backfill(self.now()).await;
            let wait = match pass {
                Ok(Some(pass)) => {
                    fail_point("replication.backfill.advanced");
                    add(&self.0.metrics.backfill_queued, pass.queued);
                    if pass.has_ended {
                        add(&self.0.metrics.backfills_ended, 1);
                        tracing::info!("a backfill of replication has ended");
                    }
                    BUSY_PERIOD
                }
                Ok(None) => PERIOD,
                Err(error) => {
                    tracing::warn!(%error, "cannot bring a backfill further; the next pass tries again");
                    PERIOD
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}
