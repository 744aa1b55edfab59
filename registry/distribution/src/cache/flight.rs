// SPDX-License-Identifier: Apache-2.0
//! One question at a time about the same thing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hythe_upstream::{PullPath, UpstreamError};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::trouble::About;

/// How long somebody waits for whoever asks already.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How long a question waits that came by other registries.
const MAX_WAIT_OF_PASSED_ON: Duration = Duration::from_secs(2);
/// From how many on those are forgotten that nobody holds.
const TIDY_FROM: usize = 256;

/// Who asks about what.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<About, Weak<tokio::sync::Mutex<()>>>>);

impl Flights {
    /// Waits until nobody else asks about the same; an error if that takes too long. A question that came by other registries
    /// (`path`) waits for a moment only, and is then asked beside the others: who asks already may wait for that very question, where
    /// registries name each other.
    pub(crate) async fn enter(
        &self,
        about: About,
        path: &PullPath,
    ) -> Result<Option<OwnedMutexGuard<()>>, UpstreamError> {
        let lock = {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if flights.len() >= TIDY_FROM {
                flights.retain(|_, lock| lock.strong_count() > 0);
            }
            let entry = flights.entry(about).or_default();
            let lock = entry.upgrade().unwrap_or_default();
            *entry = Arc::downgrade(&lock);
            lock
        };
        if path.is_empty() {
            let entered = timeout(MAX_WAIT, lock.lock_owned()).await;
            return entered
                .map(Some)
                .map_err(|_| UpstreamError::Timeout("others ask already"));
        }
        Ok(timeout(MAX_WAIT_OF_PASSED_ON, lock.lock_owned()).await.ok())
    }
}
