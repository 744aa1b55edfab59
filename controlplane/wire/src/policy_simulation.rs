// SPDX-License-Identifier: Apache-2.0
//! What somebody may do, and why.

use std::collections::BTreeMap;

use hythe_model::{AccountId, RepositoryName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most policies that a simulation brings with it.
pub const MAX_SIMULATED_POLICIES: usize = 10;
/// The most decisions of one simulation: actions times resources.
pub const MAX_SIMULATED_DECISIONS: usize = 1000;

/// A question: may this principal do these actions on these resources?
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimulatePolicy {
    /// Who: the ARN of a user, of a role, of a session of a role or of an account's root, or `*` for somebody without
    /// credentials; or the ARN of an identity provider of the account, for somebody with a token of it who asks for a role
    /// (`sts:AssumeRoleWithWebIdentity`). The caller by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_arn: Option<String>,
    /// What for: names of actions, such as `ecr:BatchGetImage`. Actions times resources are at most 1000.
    #[schemars(length(min = 1, max = 1000))]
    pub actions: Vec<String>,
    /// On what: ARNs of repositories or roles of the account, or `*` for the registry as a whole, which is the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub resource_arns: Vec<String>,
    /// The circumstances: values by condition key, such as `aws:SourceIp`. What is not given is absent, but for the time
    /// and for what is stored about the principal and the repository.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, Vec<String>>,
    /// Policies in place of those that the principal has, for a draft or for a principal of another account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10))]
    pub policy_documents: Option<Vec<String>>,
    /// The policy of the session, which limits what the principal may do further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_policy: Option<String>,
    /// The claims of the token, where the principal is an identity provider: values by the name of the claim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Vec<String>>,
    /// A repository policy in place of those that the repositories have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_policy: Option<String>,
}

/// The answers, for each action on each resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySimulation {
    /// Who.
    pub principal_arn: String,
    /// The answers, by resource and then by action, as they were asked.
    pub evaluations: Vec<PolicyEvaluation>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyEvaluation {
    /// What for.
    pub action: String,
    /// On what.
    pub resource_arn: String,
    /// The answer.
    pub decision: PolicyDecision,
    /// The statement that decided; absent where none did, and for an administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<PolicyStatement>,
    /// All statements that apply.
    #[serde(default)]
    pub matched_statements: Vec<PolicyStatement>,
    /// The statements that would apply but for a condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet_conditions: Vec<UnmetCondition>,
    /// The kind of policy that would have to allow it, such as `identity-based policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// The answer in words; of a denial, those that a client would see.
    pub reason: String,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PolicyDecision {
    /// Yes.
    Allowed,
    /// No, because a statement denies it.
    ExplicitDeny,
    /// No, because none allows it.
    ImplicitDeny,
}

impl PolicyDecision {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ExplicitDeny => "explicitDeny",
            Self::ImplicitDeny => "implicitDeny",
        }
    }
}

/// A statement among all policies that have a say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatement {
    /// What its policy is attached to: `identity`, `permissionsBoundary`, `session`, `repository`, `registry` or `trust`.
    pub policy_type: String,
    /// The name of its policy; absent where there is one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_name: Option<String>,
    /// Which statement of the policy, from 0.
    pub index: usize,
    /// The name that its author gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// `Allow` or `Deny`.
    pub effect: String,
}

/// A statement that would apply but for a condition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnmetCondition {
    /// The statement.
    pub statement: PolicyStatement,
    /// The operator and the key of the condition, such as `IpAddress aws:sourceip`.
    pub condition: String,
}

/// Which access to a repository is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListRepositoryAccess {
    /// The account that owns the registry; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// The action; `ecr:BatchGetImage`, a pull, by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// Who may do something in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryAccess {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// What for.
    pub action: String,
    /// Whether everybody may, also without credentials.
    pub anyone: bool,
    /// Those who may, by ARN: the account's own, and those of other accounts that the repository or the registry names.
    pub principals: Vec<RepositoryAccessEntry>,
    /// Whether there are more principals in the account than were looked at.
    #[serde(default)]
    pub is_truncated: bool,
}

/// One principal that may.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryAccessEntry {
    /// The principal.
    pub arn: String,
    /// What lets it, in words.
    pub via: String,
    /// What else has to hold: a condition that depends on the request, or the policies of the other account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provided: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_named_as_they_are_serialised() {
        for decision in [
            PolicyDecision::Allowed,
            PolicyDecision::ExplicitDeny,
            PolicyDecision::ImplicitDeny,
        ] {
            assert_eq!(serde_json::to_value(decision).unwrap(), decision.as_str());
        }
    }
}
