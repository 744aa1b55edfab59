// SPDX-License-Identifier: Apache-2.0
//! Whose pulls do not count as the last pull of an image.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DateTime;

/// A user or a role whose pulls do not count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullTimeUpdateExclusion {
    /// The ARN of the user or the role.
    pub principal_arn: String,
    /// Since when.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
}

/// A user or a role whose pulls shall not count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterPullTimeUpdateExclusion {
    /// The ARN of a user or a role, of any account, such as `arn:aws:iam::000000000000:role/scanner`.
    #[schemars(length(max = 200))]
    pub principal_arn: String,
}

/// Some of those whose pulls do not count, by ARN.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullTimeUpdateExclusionPage {
    /// The users and roles.
    pub pull_time_update_exclusions: Vec<PullTimeUpdateExclusion>,
    /// The token of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
