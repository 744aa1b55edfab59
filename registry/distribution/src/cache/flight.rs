// SPDX-License-Identifier: Apache-2.0
//! One question at a time about the same thing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::trouble::About;

/// How long somebody waits for whoever asks already.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// From how many on those are forgotten that nobody holds.
const TIDY_FROM: usize = 256;

/// Who asks about what.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<About, Weak<tokio::sync::Mutex<()>>>>);

impl Flights {
    /// Waits until nobody else asks about the same; `None` if that takes too long.
    pub(crate) async fn enter(&self, about: About) -> Option<OwnedMutexGuard<()>> {
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
        timeout(MAX_WAIT, lock.lock_owned()).await.ok()
    }
}
