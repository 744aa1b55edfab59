// SPDX-License-Identifier: Apache-2.0
//! Roles: rights that somebody takes on for a while instead of their own.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, PolicyWarning, ResourceTag};

/// The shortest longest session of a role, in seconds (IAM, `MaxSessionDuration`).
pub const MIN_MAX_SESSION_SECONDS: u32 = 3600;
/// The longest session that a role can allow, in seconds (IAM, `MaxSessionDuration`).
pub const MAX_MAX_SESSION_SECONDS: u32 = 43_200;

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// The name, unique in the account whatever the case.
    pub role_name: String,
    /// `arn:aws:iam::<account>:role/<name>`.
    pub arn: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who may take it on: a trust policy, as text.
    pub assume_role_policy_document: String,
    /// How long a session may be, in seconds.
    pub max_session_duration: u32,
    /// The policy that limits what the role may do at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<String>,
    /// The names of the policies that say what the role may do.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Keys and values that conditions see as `aws:PrincipalTag/<key>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_tags: Vec<ResourceTag>,
    /// When it was created.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// What whoever sets the trust policy should know, in the answer to that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<PolicyWarning>,
}

/// A new role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateRole {
    /// The name: 1 to 64 letters, digits and `_+=,.@-`.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_+=,.@-]{1,64}$"))]
    pub role_name: String,
    /// What it is for: up to 1000 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1000))]
    pub description: String,
    /// Who may take it on: a trust policy, as text.
    pub assume_role_policy_document: String,
    /// How long a session may be, in seconds: 3600 (the default) to 43200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3600, max = 43_200))]
    pub max_session_duration: Option<u32>,
    /// The policy that limits what the role may do at most, by name or ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<String>,
    /// What the role may do, by names or ARNs of policies; nothing by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub policies: Vec<String>,
    /// Keys and values that conditions see as `aws:PrincipalTag/<key>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub resource_tags: Vec<ResourceTag>,
}

/// Settings of a role to change; an absent one stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateRole {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub description: Option<String>,
    /// Who may take it on from now on; sessions that have begun go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role_policy_document: Option<String>,
    /// How long a session may be, in seconds: 3600 to 43200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3600, max = 43_200))]
    pub max_session_duration: Option<u32>,
    /// The policy that limits what the role may do at most; `null` for none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::nullable"
    )]
    #[schemars(with = "Option<String>")]
    pub permissions_boundary: Option<Option<String>>,
    /// What the role may do from now on, in place of what was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub policies: Option<Vec<String>>,
    /// All of its resource tags, in place of those it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub resource_tags: Option<Vec<ResourceTag>>,
}

/// One page of roles, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolePage {
    /// The roles.
    pub roles: Vec<Role>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
