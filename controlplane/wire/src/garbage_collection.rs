// SPDX-License-Identifier: Apache-2.0
//! The collection of blobs that nobody needs.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DateTime;

/// How the collection of blobs that nobody needs goes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GarbageCollection {
    /// Whether blobs are collected all the time, or only when somebody asks for it.
    pub enabled: bool,
    /// Minutes that a pushed blob stays though no image needs it.
    pub grace_minutes: u64,
    /// The most blobs that a node deletes in a second; 0 sets no bound.
    pub max_blobs_per_second: u32,
    /// Links between repositories and blobs that are due to be looked at again; what is more than a million is not counted.
    pub due_links: u64,
    /// Links that will be due later; what is more than a million is not counted.
    pub waiting_links: u64,
    /// Blobs whose bytes are being deleted.
    pub deleting_blobs: u64,
    /// Since when the oldest link has been due; absent if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub oldest_due_at: Option<Timestamp>,
    /// In how many seconds all that are due will have been looked at, as fast as it went lately; absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
    /// What was done since the deployment began.
    pub totals: GarbageCollectionTotals,
    /// The last collections that somebody asked for, newest first.
    pub runs: Vec<GarbageCollectionRun>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GarbageCollectionTotals {
    /// Links that were looked at.
    pub reviewed_links: u64,
    /// Those of them that were needed.
    pub kept_links: u64,
    /// Links that were removed.
    pub removed_links: u64,
    /// Blobs that were deleted.
    pub deleted_blobs: u64,
    /// How large they were, in bytes.
    pub deleted_bytes: u64,
    /// What failed, and is tried again.
    pub failures: u64,
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GarbageCollectionRunStatus {
    /// Something is left of what was due when it was asked for.
    InProgress,
    /// Nothing is.
    Complete,
}

/// A collection that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GarbageCollectionRun {
    /// Its id.
    pub run_id: String,
    /// Whether it goes on.
    pub status: GarbageCollectionRunStatus,
    /// When it was asked for.
    #[schemars(with = "DateTime")]
    pub requested_at: Timestamp,
    /// By whom.
    pub requested_by: String,
    /// When it had come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub ended_at: Option<Timestamp>,
    /// How many links were due when it was asked for.
    pub due_links: u64,
    /// What was done since, by all nodes.
    pub done: GarbageCollectionTotals,
}
