// SPDX-License-Identifier: Apache-2.0
//! Not to send faster than a destination is to be sent to.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Shares a rate among all streams to a destination.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: u64,
    /// When what was let through so far will have been sent at that rate.
    free_at: Mutex<Instant>,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            free_at: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Waits until so many bytes may be sent.
    pub(super) async fn take(&self, bytes: u64) {
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let begin = (*free_at).max(Instant::now());
            let takes = Duration::from_millis(bytes.saturating_mul(1000) / self.bytes_per_second);
            *free_at = begin + takes;
            *free_at
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn streams_share_a_rate() {
        let throttle = Throttle::new(1000);
        let began = Instant::now();
        tokio::join!(throttle.take(500), throttle.take(1000), throttle.take(500));
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }
}
