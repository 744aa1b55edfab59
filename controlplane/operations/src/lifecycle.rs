// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies: kept, previewed, run.
//!
//! Operations ask for work and show it; [`LifecycleWorker`] does it, in the background, on whichever node takes it first.
//! A preview and a run evaluate with the same function (`hythe_rules::lifecycle`), and differ in what follows.

mod cursor;
mod evaluation;
mod policy;
mod preview;
mod reason;
mod run;
mod told;
mod worker;

pub use cursor::LifecycleCursor;
pub use policy::{LifecyclePolicyError, NoLifecyclePolicy, PutLifecyclePolicyError};
pub use preview::{LifecyclePreview, PreviewError, PreviewFilter, StartLifecyclePreviewError};
pub use reason::LifecycleReasons;
pub use run::{LifecycleRunError, LifecycleRunPages, StartLifecycleRunError};
pub use worker::{LifecycleMetrics, LifecycleWorker, lifecycle_items};

use std::sync::Arc;

use jiff::SignedDuration;
use tokio::sync::Notify;

/// How often a policy is evaluated unless the operator says otherwise.
pub const DEFAULT_LIFECYCLE_PERIOD: SignedDuration = SignedDuration::from_hours(1);

/// What the operator decided about lifecycle policies.
#[derive(Clone, Debug)]
pub struct LifecycleSettings {
    /// How often each policy is evaluated, give or take a tenth.
    pub period: SignedDuration,
    /// Whether to take only policies that ECR would take too.
    pub is_strict: bool,
    /// Wakes the worker of this node when somebody asked for a run.
    pub runs: Arc<Notify>,
    /// The same of a preview.
    pub previews: Arc<Notify>,
}

impl Default for LifecycleSettings {
    fn default() -> Self {
        Self {
            period: DEFAULT_LIFECYCLE_PERIOD,
            is_strict: false,
            runs: Arc::default(),
            previews: Arc::default(),
        }
    }
}
