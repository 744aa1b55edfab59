// SPDX-License-Identifier: Apache-2.0
//! Policy documents: reading them, and deciding with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hythe_access::{Action, Attributes, Principal, RequestContext, RoleSession};
use hythe_model::AccountId;
use hythe_rules::{
    ConditionContext, Decision, MAX_POLICY_BYTES, MAX_STATEMENTS, NamedPolicy, Policies, Policy, PolicyGrammar,
    Request, Requester, decide, explain,
};
use serde_json::Value;

use crate::text;

const ACTIONS: [Action; 6] = [
    Action::BatchGetImage,
    Action::PutImage,
    Action::DescribeRepositories,
    Action::DeleteRepository,
    Action::AssumeRole,
    Action::AssumeRoleWithWebIdentity,
];
const RESOURCES: [&str; 3] = [
    "*",
    "arn:aws:ecr:local:000000000000:repository/team-a/web",
    "arn:aws:ecr:local:111111111111:repository/web",
];
const GRAMMARS: [PolicyGrammar; 4] = [
    PolicyGrammar::Identity,
    PolicyGrammar::Repository,
    PolicyGrammar::Registry,
    PolicyGrammar::Trust,
];
const PROVIDER: &str = "arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com";
const DENY_IDENTITY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
const DENY_RESOURCE: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*"}}"#;

/// The whole input as a policy of each kind.
pub fn policies(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let [identity, repository, registry, trust] = GRAMMARS.map(|grammar| read(text, grammar));
    if [&identity, &repository, &registry, &trust]
        .iter()
        .all(|policy| policy.is_none())
    {
        return;
    }
    let owner = AccountId::default();
    let principals = [
        Principal::Anonymous,
        Principal::Root("111111111111".parse().unwrap()),
        Principal::User(owner.clone(), "ann".parse().unwrap()),
        Principal::User("111111111111".parse().unwrap(), "ann".parse().unwrap()),
        Principal::Role(RoleSession {
            account: owner.clone(),
            role: "ci".parse().unwrap(),
            session: "run".parse().unwrap(),
        }),
    ];
    let named = RequestContext {
        image_tags: vec!["latest".to_owned(), "v1.0".to_owned()],
        request_tags: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        tag_keys: Vec::new(),
        ..RequestContext::default()
    };
    let claims: Attributes = [(
        "token.actions.githubusercontent.com:sub".to_owned(),
        vec!["repo:a/b".to_owned()],
    )]
    .into();
    let contexts = [
        ConditionContext::default(),
        ConditionContext {
            token_issued_at: None,
            now: Some("2026-01-31T12:00:00Z".parse().unwrap()),
            source_ip: Some("192.0.2.7".parse().unwrap()),
            is_secure: Some(true),
            user_agent: Some("docker/29"),
            region: Some("local"),
            request: Some(&named),
            resource_tags: Some(&named.request_tags),
            principal_tags: Some(&named.request_tags),
            attributes: Some(&claims),
            given: None,
        },
    ];
    let judge = Judge {
        identity: identity.map(|policy| [of("fuzzed", policy)]),
        repository,
        registry,
        trust,
        deny_identity: Policy::parse_identity(DENY_IDENTITY).unwrap(),
        deny_resource: Policy::parse_resource(DENY_RESOURCE).unwrap(),
    };
    for context in &contexts {
        let of_principals = principals.iter().map(Requester::Principal);
        let others = [
            Requester::Administrator(&principals[1]),
            Requester::Federated(PROVIDER),
            Requester::Service("lambda.amazonaws.com"),
        ];
        for requester in of_principals.chain(others) {
            for (action, resource) in ACTIONS
                .iter()
                .flat_map(|action| RESOURCES.map(|resource| (*action, resource)))
            {
                judge.judge(&Request {
                    requester,
                    action,
                    resource,
                    owner: &owner,
                    context,
                });
            }
        }
    }
}

fn of(name: &str, policy: Policy) -> NamedPolicy {
    NamedPolicy {
        name: name.into(),
        policy: Arc::new(policy),
    }
}

/// The policy, if it is one; its form makes no difference.
fn read(text: &str, grammar: PolicyGrammar) -> Option<Policy> {
    let policy = match Policy::parse(text, grammar) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(error.pointer().is_empty() || error.pointer().starts_with('/'));
            return None;
        }
    };
    assert!(text.len() <= MAX_POLICY_BYTES);
    assert!((1..=MAX_STATEMENTS).contains(&policy.statements().len()));
    let value: Value = serde_json::from_str(text).expect("a policy is JSON");
    let compact = value.to_string();
    if compact.len() <= MAX_POLICY_BYTES {
        let again = Policy::parse(&compact, grammar).expect("it was a policy before");
        assert!(again.is_equivalent(&policy));
    }
    let _ = policy.findings(None);
    Some(policy)
}

struct Judge {
    identity: Option<[NamedPolicy; 1]>,
    repository: Option<Policy>,
    registry: Option<Policy>,
    trust: Option<Policy>,
    deny_identity: Policy,
    deny_resource: Policy,
}

impl Judge {
    fn judge(&self, request: &Request<'_>) {
        let identity = self.identity.as_ref().map(<[_; 1]>::as_slice).unwrap_or_default();
        let all = Policies {
            identity,
            repository: self.repository.as_ref(),
            registry: self.registry.as_ref(),
            trust: self.trust.as_ref(),
            ..Policies::default()
        };
        let decision = decide(request, &all);
        assert_eq!(decision.is_allowed(), decision.denial(request).is_none());
        let explanation = explain(request, &all);
        assert_eq!(explanation.decision, decision);
        if let Decision::ExplicitDeny { statement }
        | Decision::Allowed {
            statement: Some(statement),
        } = decision
        {
            assert!(
                explanation.matched.contains(&statement),
                "what decides is among what matches"
            );
        }

        // A denial wins wherever it stands.
        let denied = |policies: Policies<'_>| matches!(decide(request, &policies), Decision::ExplicitDeny { .. });
        let is_ecr = request.action.as_str().starts_with("ecr:");
        let is_principal = request.requester.principal().is_some();
        if is_ecr && is_principal {
            assert!(denied(Policies {
                repository: Some(&self.deny_resource),
                ..all
            }));
            assert!(denied(Policies {
                registry: Some(&self.deny_resource),
                ..all
            }));
        }
        assert!(denied(Policies {
            session: Some(&self.deny_identity),
            ..all
        }));

        // Limits only take away, and what is said twice is what is said once.
        if let [own] = identity {
            let limited = Policies {
                boundary: Some(own),
                ..all
            };
            assert_eq!(decide(request, &limited).is_allowed(), decision.is_allowed());
            let twice = [own.clone(), own.clone()];
            let again = decide(
                request,
                &Policies {
                    identity: &twice,
                    ..all
                },
            );
            assert_eq!(again, decision);
        }
    }
}
