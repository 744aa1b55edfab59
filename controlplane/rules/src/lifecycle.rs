// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies: which images of a repository go, which go to the archive, and which stay.
//!
//! [`LifecyclePolicy::parse`] reads ECR's documents and answers what it refuses in ECR's words; [`evaluate`] says for each
//! image what becomes of it and which rule says so. A preview and a run are this one function.
//!
//! Invariants:
//! - A rule looks at the whole repository, as if no other rule existed; the first rule that selects an image is the only
//!   one that can act on it, even if it spares it (ECR user guide, "Lifecycle policy evaluation rules").
//! - What a stored index lists, and what refers to a stored image, is never acted on.
//! - The verdicts depend on the policy, the images and the time only, not on the order in which the images come.
//!
//! Beyond ECR, and refused by [`LifecyclePolicy::parse_strict`]: `sinceImagePulled` may expire, images can be retained
//! (`"action": {"type": "retain"}`), and ages may be counted in hours and weeks.

mod error;
mod evaluate;
mod grammar;
mod policy;
mod rule;
mod tags;

pub use error::LifecyclePolicyError;
pub use evaluate::{Evaluation, Evaluator, KeepReason, LifecycleImage, LifecycleOutcome, Verdict, evaluate};
pub use hythe_model::StorageClass;
pub use policy::{LifecyclePolicy, MAX_LIFECYCLE_POLICY_CHARS, MAX_LIFECYCLE_RULES};
pub use rule::{Age, Count, CountUnit, LifecycleAction, LifecycleRule, RulePriority, storage_class_name};
pub use tags::{MAX_PATTERN_WILDCARDS, TagList, TagPattern, TagSelection};
