// SPDX-License-Identifier: Apache-2.0
//! Checks of everything that is stored.

use hythe_model::Digest;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DateTime;

/// What a scrub shall do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartScrub {
    /// Of how many blobs the bytes are hashed, in percent; 100 unless it is given. Whether the bytes are there is looked at of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub sample: Option<u32>,
    /// Whether damaged files are put aside, so that the next push of the blob mends it. Nothing is deleted.
    #[serde(default)]
    pub quarantine: bool,
}

/// A scrub.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scrub {
    /// Its id.
    pub scrub_id: String,
    /// How it does: `RUNNING`, `COMPLETE`, `CANCELLED` or `FAILED`.
    pub status: String,
    /// What it looks at: `BLOBS`, `FILES`, `LINKS`, `IMAGES`, `DELETED_IMAGES`, `IMAGE_BLOBS`, `IMAGE_CHILDREN`, `DELETED_IMAGE_BLOBS`, `TAGS`, `UPSTREAM_MANIFESTS`, `UPSTREAM_TAGS` or `REPLICAS`, in this order.
    pub phase: String,
    /// Of how many blobs the bytes are hashed, in percent.
    pub sample: u32,
    /// Whether damaged files are put aside.
    pub quarantine: bool,
    /// The ARN of whoever started it.
    pub started_by: String,
    /// When it was started.
    #[schemars(with = "DateTime")]
    pub started_at: Timestamp,
    /// When it last came further.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
    /// When it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub ended_at: Option<Timestamp>,
    /// Why it could not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// How much it has looked at.
    pub checked: ScrubCounts,
    /// How much it has found.
    pub finding_count: u64,
    /// How many files it has put aside.
    pub quarantined_count: u64,
}

/// How much a scrub has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrubCounts {
    /// Rows of blobs.
    pub blobs: u64,
    /// Bytes of blobs that were hashed.
    pub bytes: u64,
    /// Files of blobs.
    pub files: u64,
    /// Manifests, also of images that were deleted and can be restored, and those from upstream that are no images yet.
    pub images: u64,
    /// Links of blobs to repositories, what images need, and by which registries replicas came.
    pub references: u64,
    /// Tags, also of upstreams.
    pub tags: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrubFindingDetail {
    /// What kind it is, such as `BLOB_MISSING` or `BLOB_DAMAGED`.
    pub kind: String,
    /// The blob or the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The repository, as `account/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What is wrong, for people.
    pub detail: String,
    /// Whether the file was put aside.
    pub is_quarantined: bool,
    /// When it was found.
    #[schemars(with = "DateTime")]
    pub found_at: Timestamp,
}

/// A scrub with some of its findings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrubReport {
    /// The scrub.
    pub scrub: Scrub,
    /// Its findings, in the order in which they were found. The first 10,000 are kept.
    pub findings: Vec<ScrubFindingDetail>,
    /// Where the next findings start; absent behind the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Some scrubs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrubPage {
    /// The scrubs.
    pub scrubs: Vec<Scrub>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
