// SPDX-License-Identifier: Apache-2.0
//! How fast a scrub may go, so that it stays beside live traffic.

use std::time::Duration;

use tokio::time::Instant;

/// Spreads bytes over time: at most so many a second, counted from the start.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: u64,
    free_at: Instant,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            free_at: Instant::now(),
        }
    }

    /// Waits until `bytes` more may be read. Time that was not used is not saved up.
    pub(super) async fn take(&mut self, bytes: u64) {
        let now = Instant::now();
        let start = self.free_at.max(now);
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second);
        self.free_at = start + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        if start > now {
            tokio::time::sleep_until(start).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_are_spread_over_time() {
        let started = Instant::now();
        let mut throttle = Throttle::new(1000);
        for _ in 0..5 {
            throttle.take(500).await;
        }
        assert_eq!(started.elapsed(), Duration::from_secs(2));
        tokio::time::sleep(Duration::from_mins(1)).await;
        let later = Instant::now();
        throttle.take(500).await;
        throttle.take(500).await;
        assert_eq!(later.elapsed(), Duration::from_millis(500), "nothing was saved up");
    }
}
