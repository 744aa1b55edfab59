// SPDX-License-Identifier: Apache-2.0
//! Users of an account.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, ResourceTag};

/// A user: a person, or a machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The name, unique in the account whatever the case.
    pub user_name: String,
    /// `arn:aws:iam::<account>:user/<name>`.
    pub arn: String,
    /// Whether it is a person or a machine.
    #[serde(default)]
    pub user_kind: UserKind,
    /// Who or what it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The names of the policies that say what the user may do, besides those of its groups.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The policy that limits what the user may do at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<String>,
    /// The names of the groups that the user is in, sorted.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Keys and values that conditions see as `aws:PrincipalTag/<key>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_tags: Vec<ResourceTag>,
    /// When its credentials stop being good; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub expires_at: Option<Timestamp>,
    /// Whether its credentials are refused for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
    /// When the user was created.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
}

/// What a user is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UserKind {
    /// A person.
    #[default]
    User,
    /// A machine: a build, a cluster, a mirror.
    ServiceAccount,
}

impl UserKind {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::ServiceAccount => "SERVICE_ACCOUNT",
        }
    }
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateUser {
    /// The name: 1 to 64 letters, digits and `_+=,.@-`.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_+=,.@-]{1,64}$"))]
    pub user_name: String,
    /// Whether it is a person (the default) or a machine; it stays so.
    #[serde(default)]
    pub user_kind: UserKind,
    /// Who or what it is: up to 1000 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1000))]
    pub description: String,
    /// What the user may do, by names or ARNs of policies; nothing by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub policies: Vec<String>,
    /// The policy that limits what the user may do at most, by name or ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<String>,
    /// Keys and values that conditions see as `aws:PrincipalTag/<key>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub resource_tags: Vec<ResourceTag>,
    /// When its credentials stop being good; never by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub expires_at: Option<Timestamp>,
    /// Whether its credentials are refused for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
}

/// Settings of a user to change; an absent one stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateUser {
    /// Who or what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub description: Option<String>,
    /// What the user may do from now on, in place of what was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub policies: Option<Vec<String>>,
    /// The policy that limits what the user may do at most; `null` for none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::nullable"
    )]
    #[schemars(with = "Option<String>")]
    pub permissions_boundary: Option<Option<String>>,
    /// All of its resource tags, in place of those it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub resource_tags: Option<Vec<ResourceTag>>,
    /// When its credentials stop being good; `null` for never.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::nullable"
    )]
    #[schemars(with = "Option<DateTime>")]
    pub expires_at: Option<Option<Timestamp>>,
    /// Whether its credentials are refused for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_disabled: Option<bool>,
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
        for kind in [UserKind::User, UserKind::ServiceAccount] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn null_removes_and_absence_keeps() {
        let parse = |text| serde_json::from_str::<UpdateUser>(text).unwrap();
        assert_eq!(parse("{}").permissions_boundary, None);
        assert_eq!(
            parse(r#"{"permissionsBoundary":null}"#).permissions_boundary,
            Some(None)
        );
        let set = parse(r#"{"permissionsBoundary":"B","expiresAt":null}"#);
        assert_eq!(set.permissions_boundary, Some(Some("B".into())));
        assert_eq!(
            serde_json::to_string(&set).unwrap(),
            r#"{"permissionsBoundary":"B","expiresAt":null}"#
        );
    }
}
