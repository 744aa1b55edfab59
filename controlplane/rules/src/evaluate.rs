// SPDX-License-Identifier: Apache-2.0
//! Whether a request is allowed.

use std::fmt::Write as _;

use hythe_access::{Action, Principal, RoleSession};
use hythe_model::AccountId;

use crate::policy::Naming;
use crate::{Effect, ManagedPolicy, Policy};

/// What is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// What for.
    pub action: Action,
    /// On what: the ARN of a repository, or `*` for an action on the registry as a whole.
    pub resource: &'a str,
    /// The account that owns the resource.
    pub owner: &'a AccountId,
}

/// Everything that has a say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policies<'a> {
    /// The policies of the principal. The administrator of an account has none and needs none.
    pub identity: &'a [&'a Policy],
    /// The policy of the repository.
    pub repository: Option<&'a Policy>,
    /// The policy of the registry.
    pub registry: Option<&'a Policy>,
}

/// What a policy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// The principal.
    Identity,
    /// The repository.
    Repository,
    /// The registry.
    Registry,
}

/// One statement among all policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRef {
    /// What its policy is attached to.
    pub kind: PolicyKind,
    /// Which of the policies of this kind, from 0.
    pub policy: usize,
    /// Which of its statements, from 0.
    pub statement: usize,
    /// The name that its author gave it.
    pub sid: Option<String>,
}

/// What was missing for a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// No policy of the principal (nor of the resource) allows it.
    IdentityPolicy,
    /// No policy of the resource allows it, and without one nobody outside its account may.
    ResourcePolicy,
}

/// The answer, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes: because of this statement, or because the principal is the administrator (`None`).
    Allowed {
        /// The first statement that allows it.
        statement: Option<StatementRef>,
    },
    /// No: this statement denies it.
    ExplicitDeny {
        /// The first statement that denies it.
        statement: StatementRef,
    },
    /// No: nothing allows it.
    ImplicitDeny {
        /// What was missing.
        missing: Missing,
    },
}

impl Decision {
    /// Whether the answer is yes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// Why not, in ECR's words; `None` if the answer is yes.
    #[must_use]
    pub fn denial(&self, request: &Request<'_>) -> Option<String> {
        let because = match self {
            Self::Allowed { .. } => return None,
            Self::ExplicitDeny { statement } => match statement.kind {
                PolicyKind::Identity => "with an explicit deny in an identity-based policy".to_owned(),
                PolicyKind::Repository | PolicyKind::Registry => {
                    "with an explicit deny in a resource-based policy".to_owned()
                }
            },
            Self::ImplicitDeny {
                missing: Missing::IdentityPolicy,
            } => {
                format!("because no identity-based policy allows the {} action", request.action)
            }
            Self::ImplicitDeny {
                missing: Missing::ResourcePolicy,
            } => {
                format!("because no resource-based policy allows the {} action", request.action)
            }
        };
        Some(request.denial(&because))
    }
}

impl Request<'_> {
    /// The text of a denial for a reason of the caller's.
    #[must_use]
    pub fn denial(&self, because: &str) -> String {
        let mut text = String::from("User: ");
        // Writing to a string cannot fail.
        let _ = match self.principal {
            Principal::Anonymous => write!(text, "anonymous"),
            principal => write!(text, "{principal}"),
        };
        let _ = write!(
            text,
            " is not authorized to perform: {} on resource: {} {because}",
            self.action, self.resource
        );
        text
    }
}

/// Decides by `policies` whether `request` is allowed (ECR, "Repository policies vs. IAM policies"; IAM,
/// "Policy evaluation logic"):
///
/// 1. A `Deny` that matches, in any policy, denies.
/// 2. Within an account, a policy of the principal allows, or one of the resource that names the principal
///    itself. One that only names the account leaves it to the policies of the principal.
/// 3. From another account, a policy of the principal and one of the resource must both allow.
/// 4. Without credentials, only a policy of the resource for everybody allows.
///
/// The administrator of an account is allowed everything on the side of the principal.
#[must_use]
pub fn decide(request: &Request<'_>, policies: &Policies<'_>) -> Decision {
    if let Some(statement) = policies.find(request, Effect::Deny, Naming::Account) {
        return Decision::ExplicitDeny { statement };
    }
    let by_identity = match request.principal {
        Principal::Root(_) => Some(None),
        Principal::User(..) | Principal::Role(_) => policies.find_identity(request, Effect::Allow).map(Some),
        Principal::Anonymous => None,
    };
    let by_resource = |naming| policies.find_resource(request, Effect::Allow, naming);
    let is_same_account = request.principal.account() == Some(request.owner);
    match by_identity {
        Some(statement) if is_same_account => Decision::Allowed { statement },
        Some(_) => match by_resource(Naming::Account) {
            Some(statement) => Decision::Allowed {
                statement: Some(statement),
            },
            None => Decision::ImplicitDeny {
                missing: Missing::ResourcePolicy,
            },
        },
        None if is_same_account || request.principal.is_anonymous() => match by_resource(Naming::Itself) {
            Some(statement) => Decision::Allowed {
                statement: Some(statement),
            },
            None if is_same_account => Decision::ImplicitDeny {
                missing: Missing::IdentityPolicy,
            },
            None => Decision::ImplicitDeny {
                missing: Missing::ResourcePolicy,
            },
        },
        None => Decision::ImplicitDeny {
            missing: Missing::IdentityPolicy,
        },
    }
}

/// Whether [`decide`] says yes if there are no policies but managed ones of the principal; without the reason, and
/// without making a text.
#[must_use]
pub fn is_allowed_by_managed(
    principal: &Principal,
    action: Action,
    owner: &AccountId,
    managed: &[ManagedPolicy],
) -> bool {
    match principal {
        Principal::Anonymous => false,
        Principal::Root(account) => account == owner,
        Principal::User(account, _) | Principal::Role(RoleSession { account, .. }) => {
            account == owner && managed.iter().any(|policy| policy.allows(action))
        }
    }
}

impl Policies<'_> {
    /// The first statement of any kind with this effect on the request.
    fn find(&self, request: &Request<'_>, effect: Effect, naming: Naming) -> Option<StatementRef> {
        self.find_identity(request, effect)
            .or_else(|| self.find_resource(request, effect, naming))
    }

    fn find_identity(&self, request: &Request<'_>, effect: Effect) -> Option<StatementRef> {
        self.identity
            .iter()
            .enumerate()
            .find_map(|(index, policy)| find_in(policy, PolicyKind::Identity, index, request, effect, None))
    }

    fn find_resource(&self, request: &Request<'_>, effect: Effect, naming: Naming) -> Option<StatementRef> {
        let repository = self.repository.filter(|_| is_for_repository_policies(request.action));
        let registry = self.registry.filter(|_| is_for_registry_policies(request.action));
        let find = |policy, kind| find_in(policy, kind, 0, request, effect, Some(naming));
        repository
            .and_then(|policy| find(policy, PolicyKind::Repository))
            .or_else(|| registry.and_then(|policy| find(policy, PolicyKind::Registry)))
    }
}

/// `least`: how strongly the statement must name the principal; `None` where its holder is meant.
fn find_in(
    policy: &Policy,
    kind: PolicyKind,
    index: usize,
    request: &Request<'_>,
    effect: Effect,
    least: Option<Naming>,
) -> Option<StatementRef> {
    let is_match = |statement: &crate::Statement| {
        statement.effect() == effect
            && least.is_none_or(|least| statement.naming(request.principal) >= least)
            && statement.is_about(request.action, request.resource)
    };
    policy
        .statements()
        .iter()
        .enumerate()
        .find(|(_, statement)| is_match(statement))
        .map(|(statement_index, statement)| StatementRef {
            kind,
            policy: index,
            statement: statement_index,
            sid: statement.sid().map(str::to_owned),
        })
}

/// A repository's policy has no say in what happens before it exists, nor in what is not about it.
fn is_for_repository_policies(action: Action) -> bool {
    is_for_registry_policies(action) && !matches!(action, Action::CreateRepository | Action::DescribeRegistry)
}

/// Tokens and users are a matter of identity policies alone.
fn is_for_registry_policies(action: Action) -> bool {
    action != Action::GetAuthorizationToken && action.as_str().starts_with("ecr:")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ManagedPolicy;

    const OWNER: &str = "111111111111";
    const WEB: &str = "arn:aws:ecr:local:111111111111:repository/team-a/web";

    fn principal(text: &str) -> Principal {
        let account = |digit: &str| digit.repeat(12).parse::<AccountId>().unwrap();
        match text.split_once('/') {
            None if text == "nobody" => Principal::Anonymous,
            None => Principal::Root(account(text)),
            Some((digit, name)) => Principal::User(account(digit), name.parse().unwrap()),
        }
    }

    fn identity(statements: &str) -> Option<Policy> {
        if statements.is_empty() {
            return None;
        }
        Some(Policy::parse_identity(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)).unwrap())
    }

    fn resource(statements: &str) -> Option<Policy> {
        if statements.is_empty() {
            return None;
        }
        Some(Policy::parse_resource(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)).unwrap())
    }

    #[test]
    fn the_short_way_says_what_the_long_way_says() {
        for subset in 0..1_u32 << ManagedPolicy::ALL.len() {
            let names = ManagedPolicy::ALL.iter().enumerate();
            let managed: Vec<_> = names
                .filter(|(at, _)| subset & (1 << at) != 0)
                .map(|(_, policy)| *policy)
                .collect();
            let identity: Vec<_> = managed.iter().map(|policy| policy.policy()).collect();
            for (who, action) in ["nobody", "1", "1/ada", "2", "2/bob"]
                .iter()
                .flat_map(|who| Action::ALL.iter().map(move |action| (who, *action)))
            {
                let (principal, owner) = (principal(who), OWNER.parse().unwrap());
                let is_root = matches!(principal, Principal::Root(_));
                for resource in [WEB, "*"] {
                    let request = Request {
                        principal: &principal,
                        action,
                        resource,
                        owner: &owner,
                    };
                    let policies = Policies {
                        identity: if is_root { &[] } else { &identity },
                        ..Policies::default()
                    };
                    assert_eq!(
                        is_allowed_by_managed(&principal, action, &owner, &managed),
                        decide(&request, &policies).is_allowed(),
                        "{who} {action} {managed:?}"
                    );
                }
            }
        }
    }

    const ALLOW_PULL: &str = r#"{"Effect":"Allow","Action":"ecr:batchgetimage","Resource":"*"}"#;
    const DENY_PULL: &str = r#"{"Effect":"Deny","Action":"ecr:Batch*","Resource":"*"}"#;
    const ALLOW_TEAM_B: &str =
        r#"{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/team-b/*"}"#;
    const ANYBODY: &str =
        r#"{"Effect":"Allow","Principal":"*","Action":["ecr:BatchGetImage","ecr:GetAuthorizationToken"]}"#;
    const DENY_ANYBODY: &str = r#"{"Effect":"Deny","Principal":"*","Action":"ecr:BatchGetImage"}"#;
    const ADA: &str =
        r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/ada"},"Action":"ecr:BatchGetImage"}"#;
    const ACCOUNT_1: &str = r#"{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"ecr:*"}"#;
    const ROOT_2: &str =
        r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"ecr:BatchGetImage"}"#;
    const DENY_ACCOUNT_1: &str = r#"{"Effect":"Deny","Principal":{"AWS":"111111111111"},"Action":"ecr:BatchGetImage"}"#;
    const SHARED: &str = r#"{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"ecr:BatchGetImage","Resource":"arn:aws:ecr:local:111111111111:repository/team-a/*"}"#;

    #[test]
    #[allow(clippy::too_many_lines, reason = "one row per case")]
    fn pulls_are_decided_as_ecr_decides_them() {
        // (what it shows, principal, identity policy, repository policy, registry policy, answer)
        let cases = [
            ("the administrator may", "1", "", "", "", "yes"),
            (
                "a deny on the repository binds the administrator",
                "1",
                "",
                DENY_ANYBODY,
                "",
                "deny",
            ),
            ("a user needs a policy", "1/ada", "", "", "", "no identity"),
            (
                "an identity policy is enough, in any case of its letters",
                "1/ada",
                ALLOW_PULL,
                "",
                "",
                "yes",
            ),
            (
                "an identity policy for others is not",
                "1/ada",
                ALLOW_TEAM_B,
                "",
                "",
                "no identity",
            ),
            (
                "a deny beats an allow beside it",
                "1/ada",
                &format!("{ALLOW_PULL},{DENY_PULL}"),
                "",
                "",
                "deny",
            ),
            (
                "a deny of the repository beats an identity policy",
                "1/ada",
                ALLOW_PULL,
                DENY_ANYBODY,
                "",
                "deny",
            ),
            (
                "a deny for the account binds its users",
                "1/ada",
                ALLOW_PULL,
                DENY_ACCOUNT_1,
                "",
                "deny",
            ),
            (
                "a deny of the registry does too",
                "1/ada",
                ALLOW_PULL,
                "",
                DENY_ANYBODY,
                "deny",
            ),
            ("a repository may name the user", "1/ada", "", ADA, "", "yes"),
            ("and then only that user", "1/bob", "", ADA, "", "no identity"),
            (
                "a repository that names the account leaves it to identity policies",
                "1/ada",
                "",
                ACCOUNT_1,
                "",
                "no identity",
            ),
            ("which then decide", "1/ada", ALLOW_PULL, ACCOUNT_1, "", "yes"),
            (
                "another account needs both: neither",
                "2/eve",
                "",
                "",
                "",
                "no identity",
            ),
            (
                "another account needs both: identity only",
                "2/eve",
                ALLOW_PULL,
                "",
                "",
                "no resource",
            ),
            (
                "another account needs both: repository only",
                "2/eve",
                "",
                ROOT_2,
                "",
                "no identity",
            ),
            (
                "another account needs both: both",
                "2/eve",
                ALLOW_PULL,
                ROOT_2,
                "",
                "yes",
            ),
            (
                "another account needs both: registry policy",
                "2/eve",
                ALLOW_PULL,
                "",
                SHARED,
                "yes",
            ),
            (
                "another administrator needs the resource's side",
                "2",
                "",
                "",
                "",
                "no resource",
            ),
            ("another administrator with it", "2", "", ROOT_2, "", "yes"),
            ("a third account does not", "3", "", ROOT_2, SHARED, "no resource"),
            ("nobody may nothing", "nobody", "", "", "", "no resource"),
            ("nobody may what everybody may", "nobody", "", ANYBODY, "", "yes"),
            (
                "nobody is not in an account",
                "nobody",
                "",
                ACCOUNT_1,
                "",
                "no resource",
            ),
            ("everybody includes users", "1/ada", "", ANYBODY, "", "yes"),
        ];
        for (what, who, by_identity, by_repository, by_registry, want) in cases {
            let (own, repository, registry) = (identity(by_identity), resource(by_repository), resource(by_registry));
            let owner = OWNER.parse().unwrap();
            let principal = principal(who);
            let request = Request {
                principal: &principal,
                action: Action::BatchGetImage,
                resource: WEB,
                owner: &owner,
            };
            let identity: Vec<&Policy> = own.iter().collect();
            let policies = Policies {
                identity: &identity,
                repository: repository.as_ref(),
                registry: registry.as_ref(),
            };
            let answer = match decide(&request, &policies) {
                Decision::Allowed { .. } => "yes",
                Decision::ExplicitDeny { .. } => "deny",
                Decision::ImplicitDeny {
                    missing: Missing::IdentityPolicy,
                } => "no identity",
                Decision::ImplicitDeny {
                    missing: Missing::ResourcePolicy,
                } => "no resource",
            };
            assert_eq!(answer, want, "{what}");
        }
    }

    #[test]
    fn resource_policies_have_no_say_in_tokens_users_and_creation() {
        let owner: AccountId = OWNER.parse().unwrap();
        let ada = principal("1/ada");
        let all = resource(r#"{"Effect":"Allow","Principal":"*","Action":"*"}"#);
        let cases = [
            (Action::GetAuthorizationToken, false, false),
            (Action::CreateUser, false, false),
            (Action::CreateRepository, false, true),
            (Action::PutImage, true, true),
        ];
        for (action, by_repository, by_registry) in cases {
            let request = Request {
                principal: &ada,
                action,
                resource: WEB,
                owner: &owner,
            };
            let repository = Policies {
                repository: all.as_ref(),
                ..Policies::default()
            };
            let registry = Policies {
                registry: all.as_ref(),
                ..Policies::default()
            };
            assert_eq!(decide(&request, &repository).is_allowed(), by_repository, "{action}");
            assert_eq!(decide(&request, &registry).is_allowed(), by_registry, "{action}");
        }
    }

    #[test]
    fn managed_policies_allow_what_their_names_say() {
        let owner: AccountId = OWNER.parse().unwrap();
        let ada = principal("1/ada");
        for action in Action::ALL {
            let allowed: Vec<&str> = ManagedPolicy::ALL
                .iter()
                .filter(|policy| {
                    let request = Request {
                        principal: &ada,
                        action: *action,
                        resource: WEB,
                        owner: &owner,
                    };
                    decide(
                        &request,
                        &Policies {
                            identity: &[policy.policy()],
                            ..Policies::default()
                        },
                    )
                    .is_allowed()
                })
                .map(|policy| policy.as_str())
                .collect();
            let want: &[&str] = match action {
                Action::GetAuthorizationToken | Action::BatchGetImage | Action::GetDownloadUrlForLayer => {
                    &["FullAccess", "PowerUser", "PullOnly", "ReadOnly"]
                }
                Action::BatchCheckLayerAvailability
                | Action::DescribeRepositories
                | Action::ListImages
                | Action::DescribeImages
                | Action::ListTagsForResource => &["FullAccess", "PowerUser", "ReadOnly"],
                Action::InitiateLayerUpload
                | Action::UploadLayerPart
                | Action::CompleteLayerUpload
                | Action::PutImage => &["FullAccess", "PowerUser"],
                other if other.as_str().starts_with("ecr:") => &["FullAccess"],
                _ => &[],
            };
            assert_eq!(allowed, want, "{action}");
        }
    }

    #[test]
    fn denials_read_as_ecr_writes_them() {
        let owner: AccountId = OWNER.parse().unwrap();
        let text = |who: &str, own: &str| {
            let principal = principal(who);
            let request = Request {
                principal: &principal,
                action: Action::PutImage,
                resource: WEB,
                owner: &owner,
            };
            let own = identity(own);
            let identity: Vec<&Policy> = own.iter().collect();
            decide(
                &request,
                &Policies {
                    identity: &identity,
                    ..Policies::default()
                },
            )
            .denial(&request)
        };
        assert_eq!(
            text("1/ada", "").unwrap(),
            "User: arn:aws:iam::111111111111:user/ada is not authorized to perform: ecr:PutImage on resource: \
             arn:aws:ecr:local:111111111111:repository/team-a/web because no identity-based policy allows the ecr:PutImage action"
        );
        assert_eq!(
            text("1/ada", r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#).unwrap(),
            "User: arn:aws:iam::111111111111:user/ada is not authorized to perform: ecr:PutImage on resource: \
             arn:aws:ecr:local:111111111111:repository/team-a/web with an explicit deny in an identity-based policy"
        );
        assert!(
            text("nobody", "")
                .unwrap()
                .starts_with("User: anonymous is not authorized")
        );
        assert_eq!(text("1", ""), None);
    }

    fn statement() -> impl Strategy<Value = String> {
        let effect = prop_oneof![Just("Allow"), Just("Deny")];
        let action = prop_oneof![
            Just("*"),
            Just("ecr:*"),
            Just("ecr:BatchGet*"),
            Just("ecr:PutImage"),
            Just("ecr:?ut*")
        ];
        let resource = prop_oneof![Just("*"), Just(WEB), Just("arn:aws:ecr:*:*:repository/team-b/*")];
        (effect, action, resource).prop_map(|(effect, action, resource)| {
            format!(r#"{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}"#)
        })
    }

    proptest! {
        #[test]
        fn a_matching_deny_wins_over_everything(
            statements in proptest::collection::vec(statement(), 0..6),
            who in prop_oneof![Just("1"), Just("1/ada"), Just("2"), Just("2/eve"), Just("nobody")],
            action in proptest::sample::select(Action::ALL),
        ) {
            let owner: AccountId = OWNER.parse().unwrap();
            let principal = principal(who);
            let request = Request { principal: &principal, action, resource: WEB, owner: &owner };
            let own = identity(&statements.join(","));
            let deny = identity(r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#);
            let before: Vec<&Policy> = own.iter().collect();
            let after: Vec<&Policy> = own.iter().chain(deny.iter()).collect();
            // Total, and never a yes without somebody to say it.
            let free = decide(&request, &Policies { identity: &before, ..Policies::default() });
            prop_assert!(!free.is_allowed() || principal.account() == Some(&owner));
            let denied = decide(&request, &Policies { identity: &after, ..Policies::default() });
            prop_assert!(matches!(denied, Decision::ExplicitDeny { .. }), "{denied:?}");
        }
    }
}
