// SPDX-License-Identifier: Apache-2.0
//! Too much of something in too short a time.

use std::time::Duration;

/// Somebody asks too often, or has failed to log in too often. The text is ECR's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Rate exceeded")]
pub struct Throttled {
    /// When trying again makes sense.
    pub retry_after: Duration,
}

impl Throttled {
    /// For a `Retry-After` header: whole seconds, at least one.
    #[must_use]
    pub fn retry_after_seconds(&self) -> u32 {
        let seconds = self.retry_after.as_millis().div_ceil(1000).max(1);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_whole_seconds() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_500, 60)] {
            let throttled = Throttled {
                retry_after: Duration::from_millis(millis),
            };
            assert_eq!(throttled.retry_after_seconds(), seconds, "{millis}");
        }
    }
}
