// SPDX-License-Identifier: Apache-2.0
//! Policy documents: reading them, and deciding with them.

use hythe_access::{Action, Principal};
use hythe_model::AccountId;
use hythe_rules::{Decision, MAX_POLICY_BYTES, Policies, Policy, Request, decide};
use serde_json::Value;

use crate::text;

const ACTIONS: [Action; 4] = [
    Action::BatchGetImage,
    Action::PutImage,
    Action::DescribeRepositories,
    Action::DeleteRepository,
];
const RESOURCES: [&str; 3] = [
    "*",
    "arn:aws:ecr:local:000000000000:repository/team-a/web",
    "arn:aws:ecr:local:111111111111:repository/web",
];
const DENY_IDENTITY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
const DENY_RESOURCE: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*"}}"#;

/// The whole input as a policy of an identity and of a repository.
pub fn policies(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let (identity, resource) = (Policy::parse_identity(text), Policy::parse_resource(text));
    if identity.is_err() && resource.is_err() {
        return;
    }
    assert!(text.len() <= MAX_POLICY_BYTES);
    // The form makes no difference.
    let value: Value = serde_json::from_str(text).expect("a policy is JSON");
    let compact = value.to_string();
    if compact.len() <= MAX_POLICY_BYTES {
        assert_eq!(Policy::parse_identity(&compact).ok(), identity.as_ref().ok().cloned());
        assert_eq!(Policy::parse_resource(&compact).ok(), resource.as_ref().ok().cloned());
    }

    let owner = AccountId::default();
    let principals = [
        Principal::Anonymous,
        Principal::Root("111111111111".parse().unwrap()),
        Principal::User(owner.clone(), "ann".parse().unwrap()),
        Principal::User("111111111111".parse().unwrap(), "ann".parse().unwrap()),
    ];
    let (deny_identity, deny_resource) = (
        Policy::parse_identity(DENY_IDENTITY).unwrap(),
        Policy::parse_resource(DENY_RESOURCE).unwrap(),
    );
    for principal in &principals {
        for action in ACTIONS {
            for resource_name in RESOURCES {
                let request = Request {
                    principal,
                    action,
                    resource: resource_name,
                    owner: &owner,
                };
                judge(
                    &request,
                    identity.as_ref().ok(),
                    resource.as_ref().ok(),
                    &deny_identity,
                    &deny_resource,
                );
            }
        }
    }
}

fn judge(
    request: &Request<'_>,
    identity: Option<&Policy>,
    resource: Option<&Policy>,
    deny_identity: &Policy,
    deny_resource: &Policy,
) {
    let identities: Vec<&Policy> = identity.into_iter().collect();
    let with = |identity: &[&Policy], repository, registry| {
        decide(
            request,
            &Policies {
                identity,
                repository,
                registry,
            },
        )
    };
    let decision = with(&identities, resource, None);
    assert_eq!(decision.is_allowed(), decision.denial(request).is_none());
    assert!(!with(&[], None, None).is_allowed(), "nothing allows nothing");

    // A denial wins wherever it stands, and what is said twice is what is said once.
    assert!(!with(&identities, Some(deny_resource), None).is_allowed());
    assert!(!with(&identities, resource, Some(deny_resource)).is_allowed());
    if !matches!(request.principal, Principal::Anonymous) {
        let denied: Vec<&Policy> = identities.iter().copied().chain([deny_identity]).collect();
        assert!(!with(&denied, resource, None).is_allowed());
    }
    let twice: Vec<&Policy> = identities.iter().chain(&identities).copied().collect();
    assert_eq!(with(&twice, resource, None), decision);

    // What an explicit denial of one policy refuses, no other policy makes possible.
    if matches!(decision, Decision::ExplicitDeny { .. }) {
        assert!(!with(&identities, resource, resource).is_allowed());
    }
}
