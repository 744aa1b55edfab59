// SPDX-License-Identifier: Apache-2.0
//! Not to take more of the machine than allowed.

use std::time::Duration;

/// How much cheaper it is to look at a link than to delete a blob, for the pace.
const REVIEWS_PER_BLOB: f64 = 8.0;

/// How long a batch shall take at least, so that no more than `max_per_second` blobs are deleted in a second, and no
/// more than eight times as many links looked at. 0 means that there is no bound.
pub(crate) fn least_time(max_per_second: u32, reviews: u64, deletions: u64) -> Duration {
    if max_per_second == 0 {
        return Duration::ZERO;
    }
    let others = reviews.saturating_sub(deletions);
    #[allow(clippy::cast_precision_loss, reason = "a batch has few")]
    let cost = deletions as f64 + others as f64 / REVIEWS_PER_BLOB;
    Duration::from_secs_f64(cost / f64::from(max_per_second))
}

/// How many blobs are taken at once: no more than a second allows, since whoever pushes one of them waits until its turn has
/// come.
pub(crate) fn batch_size(max_per_second: u32, most: usize) -> usize {
    match usize::try_from(max_per_second) {
        Ok(0) | Err(_) => most,
        Ok(rate) => rate.min(most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_as_long_as_its_blobs() {
        let cases = [
            ("no bound", 0, 100, 100, 0),
            ("blobs", 100, 50, 50, 500),
            ("links only", 100, 80, 0, 100),
            ("some of each", 100, 90, 10, 200),
            ("abandoned deletions", 10, 0, 5, 500),
            ("nothing", 10, 0, 0, 0),
        ];
        for (what, rate, reviews, deletions, millis) in cases {
            assert_eq!(least_time(rate, reviews, deletions).as_millis(), millis, "{what}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_a_second_for_a_turn() {
        let cases = [
            ("no bound", 0, 32),
            ("fast", 200, 32),
            ("slow", 5, 5),
            ("slowest", 1, 1),
        ];
        for (what, rate, size) in cases {
            assert_eq!(batch_size(rate, 32), size, "{what}");
        }
    }
}
