// SPDX-License-Identifier: Apache-2.0
//! Users of an account.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DateTime;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The name, unique in the account.
    pub user_name: String,
    /// `arn:aws:iam::<account>:user/<name>`.
    pub arn: String,
    /// The names of the policies that say what the user may do.
    #[serde(default)]
    pub policies: Vec<String>,
    /// When the user was created.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
}

/// ECR's managed policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub enum ManagedPolicy {
    /// May look at everything and pull.
    ReadOnly,
    /// May push as well.
    PowerUser,
    /// May pull and nothing else.
    PullOnly,
    /// May do everything in the registry.
    FullAccess,
}

impl ManagedPolicy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ReadOnly, Self::PowerUser, Self::PullOnly, Self::FullAccess];

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "ReadOnly",
            Self::PowerUser => "PowerUser",
            Self::PullOnly => "PullOnly",
            Self::FullAccess => "FullAccess",
        }
    }
}

/// A new user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateUser {
    /// The name: 1 to 64 letters, digits and `_+=,.@-`.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_+=,.@-]{1,64}$"))]
    pub user_name: String,
    /// What the user may do; nothing by default.
    #[serde(default)]
    pub policies: Vec<ManagedPolicy>,
}

/// Settings of a user to change; an absent one stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateUser {
    /// What the user may do from now on, in place of what was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<ManagedPolicy>>,
}

/// One page of users, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserPage {
    /// The users.
    pub users: Vec<User>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_names_are_the_serialised_ones() {
        for policy in ManagedPolicy::ALL {
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
        }
    }
}
