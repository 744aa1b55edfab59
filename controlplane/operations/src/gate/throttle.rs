// SPDX-License-Identifier: Apache-2.0
//! Failed logins slow down who fails, and nobody else.
//!
//! Two kinds of buckets, both by the network that a login comes from. One is of an access key from there: when it is empty, the
//! secret is not even looked at, whatever it is, so that guessing at a key is slow. The other is of everything from there:
//! when it is empty, what fails is told to wait, and what is right goes on. So a good login from elsewhere is never delayed,
//! and neither is one from the same place with a key at which nobody there guesses.
//!
//! A refusal is an answer, not a held connection. As long as nobody has failed lately, a login costs one look at a counter.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hythe_access::Throttled;
use hythe_model::host_network;

use super::rates::Bucket;

/// The most buckets that are remembered. A full one is forgotten; beyond this, those that are full soonest.
const MAX_BUCKETS: usize = 16 * 1024;
/// What rates are counted in, and how much of it may come at once.
const WINDOW: Duration = Duration::from_mins(1);

/// How many logins may fail, from one address (of IPv6: one network of 64 bits), in a minute and at once. 0 is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    /// Of one access key.
    pub failures_of_key_per_minute: u32,
    /// Of all.
    pub failures_per_minute: u32,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            failures_of_key_per_minute: 10,
            failures_per_minute: 120,
        }
    }
}

/// Who tries to log in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) source: Option<IpAddr>,
    /// The access key; `None` for a token.
    pub(crate) key: Option<&'a str>,
}

/// Counts failed logins.
#[derive(Debug)]
pub(crate) struct LoginThrottle {
    of_key: Option<Bucket>,
    of_source: Option<Bucket>,
    started: Instant,
    hasher: RandomState,
    /// How many buckets there are: nothing has to be looked up while there are none.
    count: AtomicUsize,
    /// When a bucket will be full again, in microseconds since the start, by the hash of whose it is.
    buckets: Mutex<HashMap<u64, u64>>,
    failed: AtomicU64,
    refused: AtomicU64,
}

impl LoginThrottle {
    pub(crate) fn new(limits: LoginLimits) -> Self {
        Self {
            of_key: Bucket::new(limits.failures_of_key_per_minute, WINDOW, WINDOW),
            of_source: Bucket::new(limits.failures_per_minute, WINDOW, WINDOW),
            started: Instant::now(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            buckets: Mutex::default(),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// How many logins failed, and how many of them were told to wait.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.failed.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        )
    }

    /// Whether the credentials may be looked at.
    pub(crate) fn check(&self, attempt: Attempt<'_>) -> Result<(), Throttled> {
        self.check_at(attempt, self.now())
    }

    /// Notes that they were wrong. Who fails too often is told to wait, rather than what was wrong.
    pub(crate) fn failed(&self, attempt: Attempt<'_>) -> Result<(), Throttled> {
        self.failed_at(attempt, self.now())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn check_at(&self, attempt: Attempt<'_>, now: u64) -> Result<(), Throttled> {
        let (Some(bucket), Some(key)) = (self.of_key, attempt.key) else {
            return Ok(());
        };
        if self.count.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get(&self.hash(attempt.source, Some(key))).copied();
        drop(buckets);
        let checked = bucket.take(full_at.unwrap_or_default(), now).map(drop);
        checked.inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn failed_at(&self, attempt: Attempt<'_>, now: u64) -> Result<(), Throttled> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() + 2 > MAX_BUCKETS {
            make_room(&mut buckets, now);
        }
        let mut outcome = Ok(());
        let of_key = self.of_key.zip(attempt.key.map(Some));
        let of_source = self.of_source.map(|bucket| (bucket, None));
        for (bucket, key) in of_key.into_iter().chain(of_source) {
            let full_at = buckets.entry(self.hash(attempt.source, key)).or_default();
            match bucket.take(*full_at, now) {
                Ok(next) => *full_at = next,
                Err(throttled) => outcome = Err(throttled),
            }
        }
        self.count.store(buckets.len(), Ordering::Relaxed);
        drop(buckets);
        outcome.inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn hash(&self, source: Option<IpAddr>, key: Option<&str>) -> u64 {
        self.hasher.hash_one((source.map(host_network), key))
    }
}

/// Forgets the buckets that are full; if that is not enough, the half that is full soonest.
fn make_room(buckets: &mut HashMap<u64, u64>, now: u64) {
    buckets.retain(|_, full_at| *full_at > now);
    if buckets.len() > MAX_BUCKETS / 2 {
        let mut times: Vec<u64> = buckets.values().copied().collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        buckets.retain(|_, full_at| *full_at > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn throttle() -> LoginThrottle {
        LoginThrottle::new(LoginLimits {
            failures_of_key_per_minute: 3,
            failures_per_minute: 6,
        })
    }

    fn attempt<'a>(address: &str, key: Option<&'a str>) -> Attempt<'a> {
        Attempt {
            source: Some(address.parse().unwrap()),
            key,
        }
    }

    #[test]
    fn guessing_at_a_key_is_slow_where_it_is_done_and_nowhere_else() {
        let throttle = throttle();
        let (here, there) = (attempt("10.0.0.1", Some("KEY")), attempt("10.0.0.2", Some("KEY")));
        let other_key = attempt("10.0.0.1", Some("OTHER"));
        for _ in 0..3 {
            throttle.check_at(here, SECOND).unwrap();
            throttle.failed_at(here, SECOND).unwrap();
        }
        let refused = throttle.check_at(here, SECOND).unwrap_err();
        assert_eq!(refused.retry_after_seconds(), 20);
        throttle.check_at(there, SECOND).unwrap();
        throttle.check_at(other_key, SECOND).unwrap();
        // One more guess each 20 seconds.
        assert!(throttle.check_at(here, 20 * SECOND).is_err());
        throttle.check_at(here, 21 * SECOND).unwrap();
        throttle.failed_at(here, 21 * SECOND).unwrap();
        assert!(throttle.check_at(here, 21 * SECOND).is_err());
        assert_eq!(throttle.counts(), (4, 3));
    }

    #[test]
    fn who_tries_many_keys_is_told_to_wait_and_good_logins_are_not() {
        let throttle = throttle();
        for number in 0..6 {
            throttle
                .failed_at(attempt("2001:db8::1", Some(&format!("KEY{number}"))), SECOND)
                .unwrap();
        }
        // Of the same network.
        let seventh = attempt("2001:db8::2", Some("KEY7"));
        throttle.check_at(seventh, SECOND).unwrap();
        assert_eq!(
            throttle.failed_at(seventh, SECOND).unwrap_err().retry_after_seconds(),
            10
        );
        // Tokens that are wrong count as well.
        assert!(throttle.failed_at(attempt("2001:db8::1", None), SECOND).is_err());
        throttle.failed_at(attempt("2001:db8:1::1", None), SECOND).unwrap();
    }

    #[test]
    fn without_limits_nothing_is_slowed() {
        let throttle = LoginThrottle::new(LoginLimits {
            failures_of_key_per_minute: 0,
            failures_per_minute: 0,
        });
        for _ in 0..1000 {
            throttle.check_at(attempt("10.0.0.1", Some("KEY")), SECOND).unwrap();
            throttle.failed_at(attempt("10.0.0.1", Some("KEY")), SECOND).unwrap();
        }
    }

    #[test]
    fn the_table_is_bounded_and_keeps_who_fails_most() {
        let throttle = throttle();
        let worst = attempt("10.0.0.1", Some("KEY"));
        for _ in 0..3 {
            throttle.failed_at(worst, SECOND).unwrap();
        }
        for number in 0..40_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(0xac10_0000 + number).to_string();
            throttle.failed_at(attempt(&address, Some("KEY")), SECOND).unwrap();
        }
        assert!(throttle.buckets.lock().unwrap().len() <= MAX_BUCKETS);
        assert!(throttle.check_at(worst, SECOND).is_err(), "the worst is remembered");
        // What is full again is forgotten.
        let mut buckets = throttle.buckets.lock().unwrap();
        make_room(&mut buckets, 1000 * SECOND);
        assert!(buckets.is_empty());
    }
}
