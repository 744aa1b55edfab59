// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies of repositories, their previews and their runs.
//!
//! A policy travels as a text, so that it comes back exactly as it was stored.

use hythe_model::{AccountId, Digest, RepositoryName, Tag};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, TagStatus};

/// The lifecycle policy of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecyclePolicy {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// The policy, as it was stored.
    pub lifecycle_policy_text: String,
    /// When it was last evaluated; absent before the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub last_evaluated_at: Option<Timestamp>,
}

/// A lifecycle policy for a repository, in place of the one it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutLifecyclePolicy {
    /// The policy, 100 to 30,720 characters of JSON.
    pub lifecycle_policy_text: String,
}

/// What to preview.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartLifecyclePolicyPreview {
    /// The policy to try; the stored one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle_policy_text: Option<String>,
}

/// How far a preview is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecyclePreviewStatus {
    /// It waits for its turn, or is being made.
    InProgress,
    /// It can be read.
    Complete,
    /// It is too old to be read; start another.
    Expired,
    /// It could not be made; `failureReason` says why.
    Failed,
}

/// What becomes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleActionType {
    /// It is deleted.
    Expire,
    /// It moves to another storage class.
    Transition,
    /// A rule of action `retain` holds on to it.
    Retain,
    /// Nothing.
    Keep,
}

/// A storage class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleStorageClass {
    /// Can be pulled.
    #[default]
    Standard,
    /// Archived.
    Archive,
}

/// What becomes of an image, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleAction {
    /// What becomes of it.
    #[serde(rename = "type")]
    pub kind: LifecycleActionType,
    /// Where a transition takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_storage_class: Option<LifecycleStorageClass>,
}

/// One image of a preview.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecyclePreviewImage {
    /// The digest of the manifest.
    pub image_digest: Digest,
    /// The tags that point to it, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_tags: Vec<Tag>,
    /// When it was pushed.
    #[schemars(with = "DateTime")]
    pub image_pushed_at: Timestamp,
    /// Bytes of its layers and configuration; of an index, those of its largest image.
    pub image_size_in_bytes: u64,
    /// Where it is.
    pub storage_class: LifecycleStorageClass,
    /// What would become of it.
    pub action: LifecycleAction,
    /// The rule that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_rule_priority: Option<u32>,
    /// The rule that claimed it, so that no later one may take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by_rule_priority: Option<u32>,
    /// Why, for people.
    pub reason: String,
    /// What the stored policy would do with it; only where a proposed policy is compared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_action: Option<LifecycleAction>,
    /// The rule of the stored policy that takes or claims it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_rule_priority: Option<u32>,
}

/// How many images move to a storage class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransitioningImageTotal {
    /// The class.
    pub target_storage_class: LifecycleStorageClass,
    /// How many images.
    pub image_total_count: u64,
}

/// What one rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleRuleTotal {
    /// The rule.
    pub rule_priority: u32,
    /// Images that it takes.
    pub taken_image_count: u64,
    /// The sizes of these, added up.
    pub taken_image_bytes: u64,
    /// Images that it claims and keeps.
    pub kept_image_count: u64,
}

/// How a proposed policy differs from the stored one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecyclePreviewComparison {
    /// Images that the proposed policy takes, and the stored one does not.
    pub newly_taken_image_count: u64,
    /// The sizes of these, added up.
    pub newly_taken_image_bytes: u64,
    /// Images that the stored policy takes, and the proposed one does not.
    pub no_longer_taken_image_count: u64,
    /// The sizes of these, added up.
    pub no_longer_taken_image_bytes: u64,
    /// Images that both take, with another action.
    pub changed_image_count: u64,
}

/// A preview as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecyclePreviewSummary {
    /// Images of the repository that were looked at.
    pub image_total_count: u64,
    /// Images that would be deleted.
    pub expiring_image_total_count: u64,
    /// The sizes of these, added up; what several images share counts several times.
    pub expiring_image_total_bytes: u64,
    /// Images that refer to these, such as signatures and SBOMs: they follow within a minute.
    #[serde(default)]
    pub following_image_total_count: u64,
    /// The sizes of these, added up.
    #[serde(default)]
    pub following_image_total_bytes: u64,
    /// Bytes that nothing would need any more: of layers that no other image and no other repository uses.
    pub freed_bytes: u64,
    /// Images that would move, by storage class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitioning_image_total_counts: Vec<TransitioningImageTotal>,
    /// The sizes of these, added up.
    pub transitioning_image_total_bytes: u64,
    /// Images that stay as they are.
    pub kept_image_total_count: u64,
    /// Images that a rule would take if no index listed them.
    pub protected_image_total_count: u64,
    /// What each rule does, in the order of the rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<LifecycleRuleTotal>,
    /// How it differs from the stored policy, if another was proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<LifecyclePreviewComparison>,
}

/// A preview, with one page of its images.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecyclePolicyPreview {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// Which preview it is: starting another one replaces it.
    pub preview_id: String,
    /// The policy that is tried.
    pub lifecycle_policy_text: String,
    /// How far it is.
    pub status: LifecyclePreviewStatus,
    /// When it was started.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// The time for which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub evaluated_at: Option<Timestamp>,
    /// Why it could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// The images, oldest push first.
    #[serde(default)]
    pub preview_results: Vec<LifecyclePreviewImage>,
    /// The whole; absent until it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<LifecyclePreviewSummary>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Which images of a preview to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecyclePreviewOutcome {
    /// Those that a rule takes.
    #[default]
    Taken,
    /// Those that stay as they are.
    Kept,
    /// All.
    Any,
}

/// What to compare a preview with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LifecyclePreviewCompare {
    /// With the policy that was stored when the preview was made.
    Stored,
}

/// Parameters of the preview.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetLifecyclePolicyPreview {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// Only if it is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_id: Option<String>,
    /// Which images; `TAKEN` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<LifecyclePreviewOutcome>,
    /// Only images on which this and the preview's policy do not agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<LifecyclePreviewCompare>,
    /// Only this image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Digest>,
    /// Only the image with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag: Option<Tag>,
    /// Only images with, or without, a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_status: Option<TagStatus>,
    /// Entries wanted, 1 to 1000; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_results: Option<u32>,
    /// The `nextToken` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// What made a run begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleRunTrigger {
    /// It was time.
    Schedule,
    /// Somebody asked.
    Request,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleRunStatus {
    /// It waits for its turn.
    Pending,
    /// It is under way.
    Running,
    /// It has done what there was to do.
    Complete,
    /// The policy was changed or deleted while it was under way.
    Superseded,
    /// It could not be finished; `failureReason` says why.
    Failed,
}

/// One evaluation of a policy, with what it did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleRun {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// Its id.
    pub run_id: String,
    /// What made it begin.
    pub trigger: LifecycleRunTrigger,
    /// Who asked for it; absent if it was time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// How far it is.
    pub status: LifecycleRunStatus,
    /// When it was asked for.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// The time for which images were evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub evaluated_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub finished_at: Option<Timestamp>,
    /// Images that were looked at.
    pub evaluated_image_count: u64,
    /// Images that were deleted.
    pub expired_image_count: u64,
    /// The sizes of these, added up.
    pub expired_image_bytes: u64,
    /// Images that moved to another storage class.
    pub transitioned_image_count: u64,
    /// Images that a rule takes and that stayed nevertheless.
    pub failed_image_count: u64,
    /// The policy that was evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle_policy_text: Option<String>,
    /// Why it could not be finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
}

/// One page of runs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleRunPage {
    /// The runs.
    pub runs: Vec<LifecycleRun>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// What became of an image that a rule takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleRunResult {
    /// It was done.
    Done,
    /// It was refused; `failureCode` and `failureReason` say why.
    Failed,
    /// The image had changed since it was evaluated; the next run looks at it again.
    Skipped,
}

/// One image of a run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleRunImage {
    /// The digest of the manifest.
    pub image_digest: Digest,
    /// The tags that pointed to it, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_tags: Vec<Tag>,
    /// When it was pushed.
    #[schemars(with = "DateTime")]
    pub image_pushed_at: Timestamp,
    /// Bytes of its layers and configuration; of an index, those of its largest image.
    pub image_size_in_bytes: u64,
    /// What the rule asks for.
    pub action: LifecycleAction,
    /// The rule that takes it.
    pub rule_priority: u32,
    /// Why, for people.
    pub reason: String,
    /// What became of it.
    pub result: LifecycleRunResult,
    /// Why it was refused, as one of ECR's codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// Why it was refused, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
}

/// A run, with one page of its images.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleRunDetail {
    /// The run.
    #[serde(flatten)]
    pub run: LifecycleRun,
    /// The images that rules took, in the order in which they were taken.
    #[serde(default)]
    pub images: Vec<LifecycleRunImage>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_spelt_as_ecr_spells_it() {
        let text = format!(
            concat!(
                r#"{{"imageDigest":"sha256:{}","imageTags":["v1"],"imagePushedAt":"2026-11-01T00:00:00Z","imageSizeInBytes":7,"#,
                r#""storageClass":"STANDARD","action":{{"type":"TRANSITION","targetStorageClass":"ARCHIVE"}},"#,
                r#""appliedRulePriority":2,"reason":"old"}}"#
            ),
            "a".repeat(64)
        );
        let image: LifecyclePreviewImage = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&image).unwrap(), text);
    }

    #[test]
    fn requests_are_strict() {
        serde_json::from_str::<PutLifecyclePolicy>(r#"{"lifecyclePolicyText":"{}","x":1}"#).unwrap_err();
        let empty: StartLifecyclePolicyPreview = serde_json::from_str("{}").unwrap();
        assert_eq!(empty, StartLifecyclePolicyPreview::default());
    }
}
