// SPDX-License-Identifier: Apache-2.0
//! Sessions of roles: rights that somebody has taken on for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::AuthorizationToken;

/// The shortest session of a role, in seconds (STS, `AssumeRole`).
pub const MIN_SESSION_SECONDS: u32 = 900;
/// The session of a role that does not say how long it shall be, in seconds (STS, `AssumeRole`).
pub const DEFAULT_SESSION_SECONDS: u32 = 3600;

/// A session of a role to be opened by somebody whom the role trusts (STS, `AssumeRole`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateRoleSession {
    /// What the session is called in the audit log and in policies: 2 to 64 letters, digits and `_+=,.@-`.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_+=,.@-]{2,64}$"))]
    pub role_session_name: String,
    /// The session's life, in seconds; one hour by default, and no longer than the role allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 900, max = 43_200))]
    pub duration_seconds: Option<u32>,
    /// The text of a policy that limits the session further, of at most 2048 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// A session of a role: a token, shown once, for somebody in that role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleSession {
    /// The token.
    #[serde(flatten)]
    pub token: AuthorizationToken,
    /// Whom it makes of its bearer.
    pub assumed_role_user: AssumedRoleUser,
}

/// Somebody in a role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssumedRoleUser {
    /// `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
    pub arn: String,
}
