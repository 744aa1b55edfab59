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
        Timestamp::now()
    }
}
