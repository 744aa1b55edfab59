// SPDX-License-Identifier: Apache-2.0
//! The real clock.

use hythe_model::Clock;
use jiff::Timestamp;

/// Reads the system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else takes as an argument"
    )]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        #[cfg(debug_assertions)]
        let now = now
            .checked_add(jiff::SignedDuration::from_secs(
                crate::test_hooks::clock_offset_seconds(),
            ))
            .unwrap_or(now);
        now
    }
}
