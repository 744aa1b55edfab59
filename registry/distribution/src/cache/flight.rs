// SPDX-License-Identifier: Apache-2.0
//! One question at a time about the same thing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hythe_model::{Reference, RepositoryPath};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

/// How long somebody waits for whoever asks already.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// From how many on those are forgotten that nobody holds.
const TIDY_FROM: usize = 256;

type Key = (RepositoryPath, Reference);

/// Who asks about which image.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Key, Weak<tokio::sync::Mutex<()>>>>);

impl Flights {
    /// Waits until nobody else asks about the image; `None` if that takes too long.
    pub(crate) async fn enter(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
    ) -> Option<OwnedMutexGuard<()>> {
        let lock = {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if flights.len() >= TIDY_FROM {
                flights.retain(|_, lock| lock.strong_count() > 0);
            }
            let entry = flights.entry((repository.clone(), reference.clone())).or_default();
            let lock = entry.upgrade().unwrap_or_default();
            *entry = Arc::downgrade(&lock);
            lock
        };
        timeout(MAX_WAIT, lock.lock_owned()).await.ok()
    }
}
