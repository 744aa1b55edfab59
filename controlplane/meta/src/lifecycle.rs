// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies, and the jobs that evaluate them.
//!
//! A job is a row that a node takes for a while (a lease), and whose every further step checks that the lease is still
//! that node's. What a run does to images, the record of it, and the audit record are one transaction a batch, so that
//! a crash leaves neither an image that vanished without a record nor a record of something that did not happen.

mod batch;
mod image;
mod policy;
mod record;
mod run;
mod work;

pub use batch::{BatchOutcome, LifecycleBatch, LifecycleItem, lifecycle_event_image};
pub use image::{LifecycleRow, LifecycleSnapshot};
pub use policy::LifecyclePolicyRecord;
pub(crate) use policy::put;
pub use record::{
    LifecycleKept, LifecycleKind, LifecycleOutcome, LifecyclePreviewImage, LifecycleResult, LifecycleRunImage,
    LifecycleRunRecord, LifecycleRunStatus, LifecycleTotals, LifecycleVerdict, RuleTotals,
};
pub use run::{StartPreviewError, StartRunError};
pub use work::{ClaimedRun, FinishedRun};

pub(crate) use image::LIST as IMAGES;
pub(crate) use run::{LIST as RUNS, PAGES};
pub(crate) use work::{DUE, OLD, READY};
