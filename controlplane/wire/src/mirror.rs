// SPDX-License-Identifier: Apache-2.0
//! Runs of mirrors: what comes from another registry on a schedule.

use hythe_model::{AccountId, RepositoryPrefix};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DateTime;

/// A run of the mirror of a pull-through cache rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorRun {
    /// The account of the rule.
    pub registry_id: AccountId,
    /// The prefix of the rule.
    pub ecr_repository_prefix: RepositoryPrefix,
    /// Its id.
    pub mirror_run_id: String,
    /// How it does: `RUNNING`, `COMPLETE` (all is here), `INCOMPLETE` (all was looked at, and something could not be brought),
    /// `FAILED` (it could not go on) or `CANCELLED` (the mirror was changed or removed meanwhile).
    pub status: String,
    /// Why there is a run: `SCHEDULE` or `REQUEST`.
    pub cause: String,
    /// The ARN of whoever asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// What it has counted.
    pub counts: MirrorRunCounts,
    /// How many images wait to be fetched.
    pub waiting_images: u64,
    /// The repository that it looks at, as the other registry calls it; absent at the start and at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_repository: Option<String>,
    /// Why it could not go on, or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// When it was started.
    #[schemars(with = "DateTime")]
    pub started_at: Timestamp,
    /// When it last came further.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
    /// When it goes on, if the other registry failed, or wants fewer requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub resumes_at: Option<Timestamp>,
    /// When it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub ended_at: Option<Timestamp>,
}

/// What a run of a mirror has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorRunCounts {
    /// Repositories whose tags were listed.
    pub repositories: u64,
    /// Tags that were looked at.
    pub tags: u64,
    /// Tags that were not here.
    pub created: u64,
    /// Tags that pointed to another image here.
    pub moved: u64,
    /// Tags that are here as they are there.
    pub unchanged: u64,
    /// Tags and repositories that stay as they are here.
    pub skipped: u64,
    /// Repositories, tags and images that could not be brought.
    pub failed: u64,
    /// Tags that were gone there, and were removed here.
    pub removed: u64,
    /// Signatures and other referrers of images that were not here.
    pub referrers: u64,
}

/// Something that a run of a mirror has skipped, could not bring, or removed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorRunNote {
    /// `SKIPPED`, `FAILED` or `REMOVED`.
    pub kind: String,
    /// The repository: as it is called here, or, if it cannot be here, at the other registry. Absent if the note is about the list of
    /// repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_name: Option<String>,
    /// The tag, or the digest of an image; absent if the note is about the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What happened, for programs.
    pub code: String,
    /// What happened, for people.
    pub reason: String,
    /// When it was noted.
    #[schemars(with = "DateTime")]
    pub noted_at: Timestamp,
}

/// A run of a mirror, with what it has noted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorRunReport {
    /// The run.
    pub mirror_run: MirrorRun,
    /// What it has noted, by kind; the first 100 of each kind are kept.
    pub notes: Vec<MirrorRunNote>,
}

/// Some runs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorRunPage {
    /// The runs.
    pub mirror_runs: Vec<MirrorRun>,
    /// Where the next page starts, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
