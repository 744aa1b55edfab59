// SPDX-License-Identifier: Apache-2.0
//! When to ask again.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use uuid::Uuid;

use crate::ClientError;

/// How often and how soon a request is sent again that certainly took no effect: nobody answered, or the server said 429 or 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Requests in all, the first one included.
    pub attempts: u32,
    /// The pause before the second request; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause that the server may ask for; if it wants more, its answer is the result.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// How long to wait after `failures` failures; `None` to give up. `jitter` is from 0 to 1 and spreads clients out.
    #[must_use]
    pub fn pause(&self, failures: u32, asked: Option<Duration>, jitter: f64) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let step = self
            .first_pause
            .saturating_mul(1 << failures.saturating_sub(1).min(10))
            .min(self.longest_pause);
        match asked {
            Some(asked) if asked > self.longest_pause => None,
            Some(asked) => Some(asked + self.first_pause.mul_f64(jitter.clamp(0.0, 1.0))),
            None => Some(step.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)),
        }
    }

    /// How long to wait after `error`; `None` if asking again is pointless or unsafe.
    pub(crate) fn after(&self, failures: u32, error: &ClientError) -> Option<Duration> {
        match error {
            ClientError::Connect { .. } => self.pause(failures, None, jitter()),
            ClientError::Problem {
                status, retry_after, ..
            } if matches!(status.as_u16(), 429 | 503) => self.pause(failures, *retry_after, jitter()),
            ClientError::Problem { .. }
            | ClientError::Timeout { .. }
            | ClientError::Tls { .. }
            | ClientError::Broken { .. }
            | ClientError::Decode { .. }
            | ClientError::Setup(_) => None,
        }
    }
}

/// The pause that an answer asks for, in its form of seconds (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// A random number from 0 to 1.
pub(crate) fn jitter() -> f64 {
    let [first, second, ..] = *Uuid::new_v4().as_bytes();
    f64::from(u16::from_be_bytes([first, second])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let policy = RetryPolicy {
            attempts: 4,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
        };
        let seconds = Duration::from_secs;
        let cases = [
            ("first", 1, None, 1.0, Some(Duration::from_millis(100))),
            ("twice as long", 2, None, 1.0, Some(Duration::from_millis(200))),
            ("jitter halves at most", 3, None, 0.0, Some(Duration::from_millis(200))),
            ("the end", 4, None, 0.0, None),
            ("the server's wish", 1, Some(seconds(2)), 0.0, Some(seconds(2))),
            (
                "never sooner than asked",
                1,
                Some(seconds(2)),
                1.0,
                Some(Duration::from_millis(2100)),
            ),
            ("longer than bearable", 1, Some(seconds(6)), 0.0, None),
        ];
        for (what, failures, asked, jitter, want) in cases {
            assert_eq!(policy.pause(failures, asked, jitter), want, "{what}");
        }
        assert!((0.0..=1.0).contains(&jitter()));
    }
}
