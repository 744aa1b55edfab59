// SPDX-License-Identifier: Apache-2.0
//! Policies: of a repository, of a registry, and those that are attached to users, groups and roles.
//!
//! A document travels as a text, so that it comes back exactly as it was stored.

use hythe_model::{AccountId, RepositoryName};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, ResourceTag};

/// What the author of a policy should know that is valid and says less than it seems to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyWarning {
    /// The place in the document, as a JSON pointer.
    pub pointer: String,
    /// What about it.
    pub message: String,
}

/// The policy of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryPolicy {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// The document, as it was stored.
    pub policy_text: String,
    /// What its author should know, in the answer to who sets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<PolicyWarning>,
}

/// A policy for a repository, in place of the one it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetRepositoryPolicy {
    /// The document, up to 10,240 bytes of JSON.
    pub policy_text: String,
    /// Whether to take a document under which the caller could not set another one.
    #[serde(default)]
    pub force: bool,
}

/// The policy of a registry: it counts for every request to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryPolicy {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The document, as it was stored.
    pub policy_text: String,
    /// What its author should know, in the answer to who sets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<PolicyWarning>,
}

/// A policy for a registry, in place of the one it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutRegistryPolicy {
    /// The document, up to 10,240 bytes of JSON.
    pub policy_text: String,
    /// Whether to take a document under which the caller could not put another one.
    #[serde(default)]
    pub force: bool,
}

/// One statement of the policy of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryPolicyStatement {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// Its `Sid`.
    pub sid: String,
    /// The statement, a JSON object as it was stored.
    pub statement: String,
    /// What its author should know, in the answer to who sets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<PolicyWarning>,
}

/// A statement for the policy of a registry, in place of the one with the same `Sid`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutRegistryPolicyStatement {
    /// The statement, a JSON object. Its `Sid` is that of the path, or absent.
    pub statement: String,
    /// Whether to take a statement with which the caller could not change the policy any more.
    #[serde(default)]
    pub force: bool,
}

/// The statements of the policy of a registry that have a `Sid`, in the order of the document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryPolicyStatementList {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The statements.
    pub statements: Vec<RegistryPolicyStatement>,
}

/// A policy that can be attached to users, groups and roles.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// The name, unique in the account.
    pub policy_name: String,
    /// `arn:aws:iam::<account>:policy/<name>`; of a managed one `arn:aws:iam::aws:policy/<name>`.
    pub arn: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The document, as it was stored.
    pub policy_document: String,
    /// Whether every account has it and nobody can change it.
    pub is_managed: bool,
    /// How many users, groups and roles of the account it is attached to, or limits as their boundary.
    pub attachment_count: u64,
    /// The resource tags, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_tags: Vec<ResourceTag>,
    /// When it was created; absent for a managed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub created_at: Option<Timestamp>,
    /// When it was last changed; absent for a managed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub updated_at: Option<Timestamp>,
    /// What its author should know, in the answer to who sets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<PolicyWarning>,
}

/// A new policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreatePolicy {
    /// The name: 1 to 128 letters, digits and `_+=,.@-`.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_+=,.@-]{1,128}$"))]
    pub policy_name: String,
    /// What it is for, up to 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub description: Option<String>,
    /// The document, up to 6,144 characters of JSON besides white space.
    pub policy_document: String,
    /// Resource tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub resource_tags: Option<Vec<ResourceTag>>,
}

/// A document for a policy, in place of the one it has. It counts for the next request of whoever has the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdatePolicy {
    /// The document, up to 6,144 characters of JSON besides white space.
    pub policy_document: String,
    /// What it is for, up to 1,000 characters; if absent, it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub description: Option<String>,
    /// Resource tags in place of those it has; if absent, they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub resource_tags: Option<Vec<ResourceTag>>,
}

/// Which policies to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum PolicyScope {
    /// All.
    #[default]
    All,
    /// Those that every account has.
    #[serde(rename = "AWS")]
    Managed,
    /// Those of the account.
    Local,
}

/// Parameters of a list of policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPolicies {
    /// The account whose policies are meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// `All` (the default), `AWS` for those that every account has, or `Local` for those of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<PolicyScope>,
    /// Entries wanted, 1 to 1000; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_results: Option<u32>,
    /// The `nextToken` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One page of policies: the managed ones first, then by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyPage {
    /// The policies.
    pub policies: Vec<Policy>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_spelt_as_iam_spells_them() {
        for (scope, text) in [
            (PolicyScope::All, "All"),
            (PolicyScope::Managed, "AWS"),
            (PolicyScope::Local, "Local"),
        ] {
            assert_eq!(serde_json::to_value(scope).unwrap(), text);
        }
    }

    #[test]
    fn force_is_not_given_by_default() {
        let request: SetRepositoryPolicy = serde_json::from_str(r#"{"policyText":"{}"}"#).unwrap();
        assert!(!request.force);
        serde_json::from_str::<SetRepositoryPolicy>(r#"{"policyText":"{}","text":""}"#).unwrap_err();
    }
}
