// SPDX-License-Identifier: Apache-2.0
//! What is remembered of runs and previews.

use hythe_model::{Digest, RepositoryPath, Tag};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether a job acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleKind {
    /// It does what the policy says.
    Run,
    /// It says what the policy would do.
    Preview,
}

impl LifecycleKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Preview => "preview",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Run, Self::Preview]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleRunStatus {
    /// It waits for its turn.
    Pending,
    /// It is under way.
    Running,
    /// It has done what there was to do.
    Complete,
    /// The policy was changed or deleted while it was under way.
    Superseded,
    /// It could not be finished.
    Failed,
    /// It is a preview that is too old to be read.
    Expired,
}

impl LifecycleRunStatus {
    const ALL: [Self; 6] = [
        Self::Pending,
        Self::Running,
        Self::Complete,
        Self::Superseded,
        Self::Failed,
        Self::Expired,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// What a policy makes of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleOutcome {
    /// It is deleted.
    Expire,
    /// It is archived.
    Archive,
    /// A rule of action `retain` holds on to it.
    Retain,
    /// Nothing.
    #[default]
    Keep,
}

impl LifecycleOutcome {
    /// Whether something is done to the image.
    #[must_use]
    pub fn is_action(self) -> bool {
        matches!(self, Self::Expire | Self::Archive)
    }
}

/// What a policy makes of an image, and which of its rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct LifecycleVerdict {
    /// What becomes of it.
    pub outcome: LifecycleOutcome,
    /// The rule that takes it, or would if nothing protected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// The rule that claimed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<u32>,
    /// Why it stays, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<LifecycleKept>,
}

impl LifecycleVerdict {
    /// Whether it stays only because an index lists it.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.kept == Some(LifecycleKept::InIndex)
    }
}

/// Why an image stays without a rule that retains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleKept {
    /// No rule selects it.
    NotSelected,
    /// The rule that claimed it spares it.
    Spared,
    /// The rule that claimed it spares it; another would have taken it.
    Claimed,
    /// A rule would take it, and an index lists it.
    InIndex,
    /// It stays and goes with the image that it refers to.
    FollowsSubject,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}

/// One image of a preview.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct LifecyclePreviewImage {
    /// The image.
    pub digest: Digest,
    /// Its tags, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// When it was pushed, in milliseconds since the epoch.
    pub pushed_ms: i64,
    /// Its size.
    pub bytes: u64,
    /// Whether it is archived.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_archived: bool,
    /// What the policy makes of it.
    pub verdict: LifecycleVerdict,
    /// What the stored policy makes of it, if another was proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<LifecycleVerdict>,
}

/// What became of an image that a rule takes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleResult {
    /// It was done.
    Done,
    /// It was refused.
    Failed {
        /// One of ECR's codes.
        code: String,
        /// Why.
        reason: String,
    },
    /// The image has changed, or gone, since it was evaluated.
    Skipped,
}

/// One image of a run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct LifecycleRunImage {
    /// The image.
    pub digest: Digest,
    /// The tags that it had, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// When it was pushed, in milliseconds since the epoch.
    pub pushed_ms: i64,
    /// Its size.
    pub bytes: u64,
    /// What the rule asks for.
    pub outcome: LifecycleOutcome,
    /// The rule.
    pub rule: u32,
    /// What became of it.
    pub result: LifecycleResult,
}

impl LifecycleRunImage {
    /// Whether it was deleted.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.result == LifecycleResult::Done && self.outcome == LifecycleOutcome::Expire
    }
}

/// What one rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct RuleTotals {
    /// The rule.
    pub rule: u32,
    /// Images that it takes.
    pub taken: u64,
    /// The sizes of these, added up.
    pub taken_bytes: u64,
    /// Images that it claims and keeps.
    pub kept: u64,
}

/// Numbers of a run or a preview.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct LifecycleTotals {
    /// Images that were looked at.
    pub images: u64,
    /// Images that expire; of a run, those that were deleted.
    pub expired: u64,
    /// The sizes of these, added up.
    pub expired_bytes: u64,
    /// Images that refer to these, and follow them; of a preview.
    pub followers: u64,
    /// The sizes of these, added up.
    pub follower_bytes: u64,
    /// Bytes that nothing would need any more; of a preview.
    pub freed_bytes: u64,
    /// Images that are archived.
    pub archived: u64,
    /// The sizes of these, added up.
    pub archived_bytes: u64,
    /// Images that stay only because an index lists them.
    pub protected: u64,
    /// Images that a rule takes and that stayed nevertheless; of a run.
    pub failed: u64,
    /// What each rule does.
    pub rules: Vec<RuleTotals>,
    /// Whether the preview compares two policies, and how much they differ.
    pub compared: bool,
    /// Images that only the proposed policy takes.
    pub newly_taken: u64,
    /// The sizes of these, added up.
    pub newly_taken_bytes: u64,
    /// Images that only the stored policy takes.
    pub no_longer_taken: u64,
    /// The sizes of these, added up.
    pub no_longer_taken_bytes: u64,
    /// Images that both take, with another action.
    pub changed: u64,
}

/// A run or a preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleRunRecord {
    /// Its id.
    pub id: String,
    /// The repository.
    pub path: RepositoryPath,
    /// Whether it acts.
    pub kind: LifecycleKind,
    /// Who asked for it; `None` if it was time.
    pub requested_by: Option<String>,
    /// The policy.
    pub document: String,
    /// How far it is.
    pub status: LifecycleRunStatus,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The time for which images are evaluated.
    pub evaluated_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its numbers.
    pub totals: LifecycleTotals,
    /// Why it failed.
    pub failure: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_an_earlier_version_can_be_read() {
        let verdict: LifecycleVerdict = serde_json::from_str(r#"{"outcome":"keep"}"#).unwrap();
        assert_eq!(verdict, LifecycleVerdict::default());
        let totals: LifecycleTotals = serde_json::from_str(r#"{"images":3,"unknown":1}"#).unwrap();
        assert_eq!((totals.images, totals.compared), (3, false));
        assert_eq!(serde_json::to_string(&verdict).unwrap(), r#"{"outcome":"keep"}"#);
    }

    #[test]
    fn names_of_states_round_trip() {
        for status in LifecycleRunStatus::ALL {
            assert_eq!(LifecycleRunStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(LifecycleKind::parse("preview"), Some(LifecycleKind::Preview));
        assert!(LifecycleKind::parse("").is_none() && LifecycleRunStatus::parse("").is_none());
    }
}
