// SPDX-License-Identifier: Apache-2.0
//! Short ways to write down policies, principals and answers.

use std::sync::Arc;

use hythe_access::{Attributes, Principal, RoleSession};
use hythe_model::AccountId;
use hythe_rules::{Decision, Missing, NamedPolicy, Policy, PolicyGrammar, Requester};

pub const OWNER: &str = "111111111111";
pub const WEB: &str = "arn:aws:ecr:local:111111111111:repository/team-a/web";
pub const PROVIDER: &str = "arn:aws:iam::111111111111:oidc-provider/token.actions.githubusercontent.com";

pub fn account(digit: &str) -> AccountId {
    digit.repeat(12).parse().unwrap()
}

/// `nobody`, `1` (the administrator of account 1), `1/ada` (a user), `1/ci/run` (a session of a role).
pub fn principal(text: &str) -> Principal {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        ["nobody"] => Principal::Anonymous,
        [digit] => Principal::Root(account(digit)),
        [digit, name] => Principal::User(account(digit), name.parse().unwrap()),
        [digit, role, session] => Principal::Role(RoleSession {
            account: account(digit),
            role: role.parse().unwrap(),
            session: session.parse().unwrap(),
        }),
        _ => panic!("{text}"),
    }
}

/// As [`principal`]; `admin` for that of the deployment, `github` for a provider, `lambda` for a service.
pub fn requester<'a>(text: &str, principal: &'a Principal) -> Requester<'a> {
    match text {
        "admin" => Requester::Administrator(principal),
        "github" => Requester::Federated(PROVIDER),
        "lambda" => Requester::Service("lambda.amazonaws.com"),
        _ => Requester::Principal(principal),
    }
}

pub fn principal_behind(text: &str) -> Principal {
    match text {
        "admin" => principal("9"),
        "github" | "lambda" => Principal::Anonymous,
        text => principal(text),
    }
}

pub fn document(statements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)
}

/// The policy of these statements; none without any.
pub fn policy(statements: &str, grammar: PolicyGrammar) -> Option<Policy> {
    let parsed =
        || Policy::parse(&document(statements), grammar).unwrap_or_else(|error| panic!("{statements}: {error}"));
    (!statements.is_empty()).then(parsed)
}

pub fn named(policy: Policy) -> NamedPolicy {
    NamedPolicy {
        name: "own".into(),
        policy: Arc::new(policy),
    }
}

pub fn answer(decision: &Decision<'_>) -> &'static str {
    match decision {
        Decision::Allowed { .. } => "yes",
        Decision::ExplicitDeny { .. } => "deny",
        Decision::ImplicitDeny { missing } => match missing {
            Missing::IdentityPolicy => "no identity",
            Missing::PermissionsBoundary => "no boundary",
            Missing::SessionPolicy => "no session",
            Missing::ResourcePolicy => "no resource",
            Missing::TrustPolicy => "no trust",
        },
    }
}

pub fn attributes(pairs: &[(&str, &[&str])]) -> Attributes {
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    pairs
        .iter()
        .map(|(key, values)| (key.to_ascii_lowercase(), owned(values)))
        .collect()
}
