// SPDX-License-Identifier: Apache-2.0
//! When the requests of an open loop are due, whatever became of those before.
//!
//! A closed loop asks the next question after the answer, so that a server that stalls is asked less just then and its
//! stalls hardly show ("coordinated omission"). Here every request has its time beforehand, and its latency runs from there.

use std::time::Duration;

use super::body::Random;

/// Times of arrival, from the start.
#[derive(Debug)]
pub struct Schedule {
    due: Vec<Duration>,
}

/// The most arrivals of one schedule.
const MAX_ARRIVALS: usize = 1_000_000;

impl Schedule {
    /// Arrivals at `per_second` for `length`, at random distances (Poisson) as from many independent clients. The same seed
    /// gives the same times, so that every server gets the same.
    #[must_use]
    pub fn poisson(per_second: f64, length: Duration, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut at = 0.0_f64;
        let mut due = Vec::new();
        while per_second > 0.0 && due.len() < MAX_ARRIVALS {
            // `1 - fraction` is never 0.
            at -= (1.0 - random.fraction()).ln() / per_second;
            if at >= length.as_secs_f64() {
                break;
            }
            due.push(Duration::from_secs_f64(at));
        }
        Self { due }
    }

    /// When the request of that number is due; `None` after the last.
    #[must_use]
    pub fn due(&self, number: usize) -> Option<Duration> {
        self.due.get(number).copied()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.due.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_in_order_at_the_rate_and_alike_for_everyone() {
        let length = Duration::from_secs(100);
        let schedule = Schedule::poisson(50.0, length, 7);
        assert!((4500..5500).contains(&schedule.count()), "{}", schedule.count());
        let times: Vec<_> = (0..schedule.count()).map(|it| schedule.due(it).unwrap()).collect();
        assert!(times.is_sorted());
        assert!(times.iter().all(|time| *time < length));
        assert_eq!(schedule.due(schedule.count()), None);
        let same = Schedule::poisson(50.0, length, 7);
        assert_eq!(same.due(17), schedule.due(17));
        // At random distances a tenth of the gaps is below 0.105 of the mean, which evenly spaced arrivals never are.
        let short = times
            .windows(2)
            .filter(|pair| pair[1].saturating_sub(pair[0]) < Duration::from_micros(2107))
            .count();
        assert!((350..650).contains(&short), "{short}");
    }

    #[test]
    fn no_rate_means_no_arrivals() {
        assert_eq!(Schedule::poisson(0.0, Duration::from_secs(1), 1).count(), 0);
    }
}
