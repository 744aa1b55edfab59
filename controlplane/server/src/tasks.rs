// SPDX-License-Identifier: Apache-2.0
//! Background passes. Each looks at the present state and acts idempotently; a failed pass is logged and
//! the next one tries again.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Runs `pass` every `period` until `stop`. A pass that is under way when the server stops is finished.
pub fn every<F, P, E>(tasks: &TaskTracker, stop: &CancellationToken, name: &'static str, period: Duration, mut pass: P)
where
    P: FnMut() -> F + Send + 'static,
    F: Future<Output = Result<(), E>> + Send,
    E: std::fmt::Display,
{
    let stop = stop.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(period) => {}
            }
            if let Err(error) = pass().await {
                tracing::warn!(task = name, error = %error, "background pass failed; the next one tries again");
            }
        }
    });
}
