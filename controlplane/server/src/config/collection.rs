// SPDX-License-Identifier: Apache-2.0
//! How blobs are collected that nobody needs.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// How long a link that nothing needs any more stays after nobody is told of it any more, at most.
const MAX_CONDEMNED: SignedDuration = SignedDuration::from_hours(1);

/// Taking away blobs that nobody needs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Collection {
    /// Collect all the time; otherwise only when somebody runs `hythe gc run`.
    pub enabled: bool,
    /// Minutes that a blob stays in a repository after it was pushed or mounted, though no image needs it: longer than any
    /// client takes from its first layer to the manifest.
    pub grace_minutes: u32,
    /// Most blobs that this process deletes in a second; 0 sets no bound.
    pub max_blobs_per_second: u32,
    /// How many blobs are deleted at once.
    pub concurrency: usize,
}

impl Default for Collection {
    fn default() -> Self {
        Self {
            enabled: true,
            grace_minutes: 24 * 60,
            max_blobs_per_second: 200,
            concurrency: 4,
        }
    }
}

impl Collection {
    pub(crate) fn grace(&self) -> SignedDuration {
        SignedDuration::from_mins(self.grace_minutes.into())
    }

    pub(crate) fn condemned_for(&self) -> SignedDuration {
        self.grace().min(MAX_CONDEMNED)
    }
}
