// SPDX-License-Identifier: Apache-2.0
//! Latencies, all of them kept, and their exact percentiles.

use std::time::Duration;

/// The most latencies that one measurement keeps (8 bytes each); a run ends before.
pub const MAX_SAMPLES: usize = 4_000_000;

/// The latencies of one measurement.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    nanoseconds: Vec<u64>,
}

/// What is shown of them, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// Half are faster.
    pub p50: f64,
    /// 90 % are faster.
    pub p90: f64,
    /// 99 % are faster.
    pub p99: f64,
    /// 99.9 % are faster.
    pub p999: f64,
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        if self.nanoseconds.len() < MAX_SAMPLES {
            self.nanoseconds
                .push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nanoseconds.len()
    }

    /// Takes those of another client.
    pub fn append(&mut self, other: Self) {
        self.nanoseconds.extend(other.nanoseconds);
    }

    /// Their percentiles; `None` without any.
    #[must_use]
    pub fn percentiles(mut self) -> Option<Percentiles> {
        self.nanoseconds.sort_unstable();
        let at = |per_mille| percentile(&self.nanoseconds, per_mille).map(microseconds);
        Some(Percentiles {
            p50: at(500)?,
            p90: at(900)?,
            p99: at(990)?,
            p999: at(999)?,
        })
    }
}

/// The smallest value that at least `per_mille` thousandths of the sorted values do not exceed (nearest rank).
fn percentile(sorted: &[u64], per_mille: usize) -> Option<u64> {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

#[allow(clippy::cast_precision_loss, reason = "a latency in nanoseconds is far below 2^53")]
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred: Vec<u64> = (1..=100).collect();
        let thousand: Vec<u64> = (1..=1000).collect();
        let cases: [(&[u64], usize, Option<u64>); 9] = [
            (&[], 500, None),
            (&[7], 500, Some(7)),
            (&[7], 999, Some(7)),
            (&[1, 2], 500, Some(1)),
            (&[1, 2, 3], 500, Some(2)),
            (&hundred, 500, Some(50)),
            (&hundred, 990, Some(99)),
            (&hundred, 999, Some(100)),
            (&thousand, 999, Some(999)),
        ];
        for (values, per_mille, wanted) in cases {
            assert_eq!(percentile(values, per_mille), wanted, "{} {per_mille}", values.len());
        }
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let mut one = Latencies::default();
        let mut other = Latencies::default();
        for (at, micros) in (1..=1000).rev().enumerate() {
            let side = if at % 2 == 0 { &mut one } else { &mut other };
            side.add(Duration::from_micros(micros));
        }
        one.append(other);
        assert_eq!(one.count(), 1000);
        let wanted = Percentiles {
            p50: 500.0,
            p90: 900.0,
            p99: 990.0,
            p999: 999.0,
        };
        assert_eq!(one.percentiles(), Some(wanted));
        assert_eq!(Latencies::default().percentiles(), None);
    }
}
