// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies.

use hythe_operations::DEFAULT_LIFECYCLE_PERIOD;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A week: what a policy expires has to go some time.
const MAX_PERIOD_MINUTES: u32 = 7 * 24 * 60;

/// Lifecycle policies of repositories.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifecycle {
    /// Minutes between two evaluations of a policy, give or take a tenth.
    pub period_minutes: u32,
    /// Take only policies that ECR would take too.
    pub strict: bool,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            period_minutes: u32::try_from(DEFAULT_LIFECYCLE_PERIOD.as_mins()).unwrap_or(u32::MAX),
            strict: false,
        }
    }
}

impl Lifecycle {
    /// The time between two evaluations.
    #[must_use]
    pub fn period(&self) -> SignedDuration {
        SignedDuration::from_mins(self.period_minutes.into())
    }

    /// What is wrong with the settings.
    pub(super) fn check(&self) -> Result<(), String> {
        if (1..=MAX_PERIOD_MINUTES).contains(&self.period_minutes) {
            return Ok(());
        }
        Err(format!(
            "`lifecycle.period_minutes` is {}; it must be between 1 and {MAX_PERIOD_MINUTES}",
            self.period_minutes
        ))
    }
}
