// SPDX-License-Identifier: Apache-2.0
//! Time as an argument.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// Says what time it is. Whatever needs the time takes a clock, so that a test can set it.
pub trait Clock: Debug + Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(millis(start)))
    }

    /// Moves the clock forward by `seconds` (backward if negative).
    pub fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds.saturating_mul(1000), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// UTC milliseconds since the epoch, as rows hold times.
#[must_use]
pub fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// A time without what a row does not keep of it: as it is when it is read back.
#[must_use]
pub fn in_millis(time: Timestamp) -> Timestamp {
    from_millis(millis(time))
}

/// The time of a row's milliseconds; a number outside the calendar becomes the nearest end of it.
#[must_use]
pub fn from_millis(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
