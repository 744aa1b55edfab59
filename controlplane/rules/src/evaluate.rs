// SPDX-License-Identifier: Apache-2.0
//! Whether a request is allowed.

use std::fmt;
use std::sync::Arc;

use hythe_access::{Action, Principal};

use crate::arn::ArnParts;
use crate::condition::Condition;
use crate::context::Request;
use crate::principal::Naming;
use crate::statement::Match;
use crate::{Effect, Policy};

/// A policy with the name that it goes by.
#[derive(Clone, Debug)]
pub struct NamedPolicy {
    /// Its name or its ARN.
    pub name: Arc<str>,
    /// What it says.
    pub policy: Arc<Policy>,
}

/// Everything that has a say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policies<'a> {
    /// The policies of who asks, of its groups or its role. The administrator of an account has none and needs none.
    pub identity: &'a [NamedPolicy],
    /// The most that the policies of who asks can allow.
    pub boundary: Option<&'a NamedPolicy>,
    /// The most that the session may do.
    pub session: Option<&'a Policy>,
    /// The policy of the repository.
    pub repository: Option<&'a Policy>,
    /// The policy of the registry.
    pub registry: Option<&'a Policy>,
    /// The trust policy of the role that is to be taken on.
    pub trust: Option<&'a Policy>,
}

/// What a policy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKind {
    /// Who asks.
    Identity,
    /// Who asks, as a limit.
    Boundary,
    /// The session, as a limit.
    Session,
    /// The repository.
    Repository,
    /// The registry.
    Registry,
    /// The role that is to be taken on.
    Trust,
}

impl PolicyKind {
    /// As in error texts (IAM, "Troubleshoot access denied error messages").
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
            Self::Repository | Self::Registry => "resource-based policy",
            Self::Trust => "role trust policy",
        }
    }
}

/// One statement among all policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementRef<'a> {
    /// What its policy is attached to.
    pub kind: PolicyKind,
    /// The name of its policy; empty for a policy that needs none, such as that of the repository.
    pub policy: &'a str,
    /// Which of the policy's statements, from 0.
    pub index: usize,
    /// The name that its author gave it.
    pub sid: Option<&'a str>,
    /// What it does.
    pub effect: Effect,
}

impl fmt::Display for StatementRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "statement {}", self.index + 1)?;
        if let Some(sid) = self.sid {
            write!(formatter, " (`{sid}`)")?;
        }
        let kind = match self.kind {
            PolicyKind::Repository => "repository policy",
            PolicyKind::Registry => "registry policy",
            other => other.as_str(),
        };
        write!(formatter, " of the {kind}")?;
        if self.policy.is_empty() {
            Ok(())
        } else {
            write!(formatter, " `{}`", self.policy)
        }
    }
}

/// What was missing for a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// No policy of who asks (nor of the resource) allows it.
    IdentityPolicy,
    /// A policy allows it, and the boundary of who asks does not.
    PermissionsBoundary,
    /// A policy allows it, and the session was limited to less.
    SessionPolicy,
    /// No policy of the resource allows it, and without one nobody outside its account may.
    ResourcePolicy,
    /// The role does not trust who asks.
    TrustPolicy,
}

impl Missing {
    /// The kind of policy, as in error texts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdentityPolicy => PolicyKind::Identity.as_str(),
            Self::PermissionsBoundary => PolicyKind::Boundary.as_str(),
            Self::SessionPolicy => PolicyKind::Session.as_str(),
            Self::ResourcePolicy => PolicyKind::Repository.as_str(),
            Self::TrustPolicy => PolicyKind::Trust.as_str(),
        }
    }
}

/// The answer, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Yes: because of this statement, or because who asks is the administrator (`None`).
    Allowed {
        /// The first statement that allows it.
        statement: Option<StatementRef<'a>>,
    },
    /// No: this statement denies it.
    ExplicitDeny {
        /// The first statement that denies it.
        statement: StatementRef<'a>,
    },
    /// No: nothing allows it.
    ImplicitDeny {
        /// What was missing.
        missing: Missing,
    },
}

impl Decision<'_> {
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
            Self::ExplicitDeny { statement } => {
                let article = if statement.kind == PolicyKind::Identity {
                    "an"
                } else {
                    "a"
                };
                format!("with an explicit deny in {article} {}", statement.kind.as_str())
            }
            Self::ImplicitDeny { missing } => {
                format!("because no {} allows the {} action", missing.as_str(), request.action)
            }
        };
        Some(request.denial(&because))
    }
}

/// A request as statements see it: with what is worked out once for all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) resource: ArnParts<'a>,
    /// One image tag at most: a request that names several is decided for each.
    pub(crate) image_tags: &'a [String],
}

impl<'a> Facts<'a> {
    pub(crate) fn of(request: &'a Request<'a>) -> Self {
        let named = request.context.request.map(|named| named.image_tags.as_slice());
        Self {
            request,
            resource: ArnParts::asked(request.resource),
            image_tags: named.unwrap_or_default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(test: impl FnOnce(&Facts<'_>)) {
        let (owner, context) = (hythe_model::AccountId::default(), crate::ConditionContext::default());
        test(&Facts::of(&Request {
            requester: crate::Requester::Principal(&Principal::Anonymous),
            action: Action::BatchGetImage,
            resource: "*",
            owner: &owner,
            context: &context,
        }));
    }
}

/// Decides by `policies` whether `request` is allowed (ECR, "Repository policies vs. IAM policies"; IAM,
/// "Policy evaluation logic"):
///
/// 1. A `Deny` that matches, in any policy, denies.
/// 2. Within an account, a policy of who asks allows, or one of the resource that names it. One that only names the
///    account leaves it to the policies of who asks; one that names a role is limited by the boundary of the role and by
///    the policy of the session.
/// 3. From another account, a policy of who asks and one of the resource must both allow.
/// 4. Without credentials, only a policy of the resource for everybody allows.
/// 5. A role is taken on by whom its trust policy names; one that only names the account leaves it to the policies of
///    who asks.
///
/// The administrator of an account is allowed everything on the side of who asks. A request that names several image
/// tags is allowed if it would be for each of them.
#[must_use]
pub fn decide<'a>(request: &Request<'_>, policies: &Policies<'a>) -> Decision<'a> {
    let facts = Facts::of(request);
    if facts.image_tags.len() < 2 {
        return policies.decide(&facts);
    }
    let mut decision = Decision::ImplicitDeny {
        missing: Missing::IdentityPolicy,
    };
    for tag in facts.image_tags {
        decision = policies.decide(&Facts {
            image_tags: std::slice::from_ref(tag),
            ..facts
        });
        if !decision.is_allowed() {
            break;
        }
    }
    decision
}

/// A statement that agrees with a request, wholly or but for a condition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) statement: StatementRef<'a>,
    pub(crate) unless: Option<&'a Condition>,
}

type Held<'a> = Result<Option<StatementRef<'a>>, Missing>;

impl<'a> Policies<'a> {
    fn decide(&self, facts: &Facts<'_>) -> Decision<'a> {
        let Request {
            requester,
            action,
            owner,
            ..
        } = facts.request;
        if let Some(statement) = self.denying(facts) {
            return Decision::ExplicitDeny { statement };
        }
        let is_trust = is_for_trust_policies(*action);
        let by_holder = self.by_holder(facts);
        let by_resource = |least| self.by_resource(facts, least);
        let no_resource = if is_trust {
            Missing::TrustPolicy
        } else {
            Missing::ResourcePolicy
        };
        let has_own_policies = requester.principal().is_some_and(|principal| !principal.is_anonymous());
        if !has_own_policies {
            return allowed_or(by_resource(Naming::Itself), no_resource);
        }
        if !requester.is_of(owner) {
            return match by_holder {
                Ok(_) => allowed_or(by_resource(Naming::Account), no_resource),
                Err(missing) => Decision::ImplicitDeny { missing },
            };
        }

        // Within the account, most requests end here.
        if let (Ok(statement), false) = (by_holder, is_trust) {
            return Decision::Allowed { statement };
        }
        let limits = self.limits(facts);
        let is_user = matches!(requester.principal(), Some(Principal::User(..)));
        let direct_limit = if is_user { self.session_limit(facts) } else { Ok(()) };
        if let (Some(statement), Ok(())) = (by_resource(Naming::Itself), direct_limit) {
            return Decision::Allowed {
                statement: Some(statement),
            };
        }
        if let Some(statement) = by_resource(Naming::Role) {
            return match limits {
                Ok(()) => Decision::Allowed {
                    statement: Some(statement),
                },
                Err(missing) => Decision::ImplicitDeny { missing },
            };
        }
        match by_holder {
            Ok(_) => allowed_or(by_resource(Naming::Account), no_resource),
            Err(_) if is_trust && by_resource(Naming::Account).is_none() => {
                Decision::ImplicitDeny { missing: no_resource }
            }
            Err(missing) => Decision::ImplicitDeny { missing },
        }
    }

    /// Every statement that agrees with a request, also but for a condition.
    pub(crate) fn candidates(&self, facts: &Facts<'_>, found: &mut Vec<Candidate<'a>>) {
        let of_holder = self.of_holder().map(|policy| (policy, Naming::Not));
        let of_resource = self.of_resource(facts).map(|policy| (policy, Naming::Account));
        for ((kind, name, policy), least) in of_holder.chain(of_resource) {
            for (index, statement) in policy.statements().iter().enumerate() {
                let unless = match statement.compare(facts, least) {
                    Match::Other => continue,
                    Match::Unless(condition) => Some(condition),
                    Match::Full => None,
                };
                let statement = reference(kind, name, index, statement);
                found.push(Candidate { statement, unless });
            }
        }
    }

    fn of_holder(&self) -> impl Iterator<Item = (PolicyKind, &'a str, &'a Policy)> + use<'a> {
        let named = |kind| move |named: &'a NamedPolicy| (kind, &*named.name, &*named.policy);
        let identity = self.identity.iter().map(named(PolicyKind::Identity));
        let boundary = self.boundary.map(named(PolicyKind::Boundary));
        let session = self.session.map(|policy| (PolicyKind::Session, "", policy));
        identity.chain(boundary).chain(session)
    }

    fn of_resource(&self, facts: &Facts<'_>) -> impl Iterator<Item = (PolicyKind, &'a str, &'a Policy)> + use<'a> {
        let action = facts.request.action;
        let repository = self.repository.filter(|_| is_for_repository_policies(action));
        let registry = self.registry.filter(|_| is_for_registry_policies(action));
        let trust = self.trust.filter(|_| is_for_trust_policies(action));
        let of = |kind| move |policy| (kind, "", policy);
        let repository = repository.map(of(PolicyKind::Repository));
        let registry = registry.map(of(PolicyKind::Registry));
        repository
            .into_iter()
            .chain(registry)
            .chain(trust.map(of(PolicyKind::Trust)))
    }

    fn denying(&self, facts: &Facts<'_>) -> Option<StatementRef<'a>> {
        let deny = |(policy, least)| first(policy, facts, Effect::Deny, least);
        let of_holder = self.of_holder().map(|policy| (policy, Naming::Not));
        let of_resource = self.of_resource(facts).map(|policy| (policy, Naming::Account));
        of_holder.chain(of_resource).find_map(deny)
    }

    /// Whether the side of who asks allows it: a policy of its own, within its limits.
    fn by_holder(&self, facts: &Facts<'_>) -> Held<'a> {
        let requester = &facts.request.requester;
        if requester.is_root() {
            return self.session_limit(facts).map(|()| None);
        }
        let allow = |named: &'a NamedPolicy| {
            let policy = (PolicyKind::Identity, &*named.name, &*named.policy);
            first(policy, facts, Effect::Allow, Naming::Not)
        };
        let statement = self.identity.iter().find_map(allow).ok_or(Missing::IdentityPolicy)?;
        self.limits(facts).map(|()| Some(statement))
    }

    fn limits(&self, facts: &Facts<'_>) -> Result<(), Missing> {
        let is_root = facts.request.requester.is_root();
        let boundary = self.boundary.filter(|_| !is_root);
        if boundary.is_some_and(|boundary| !allows(&boundary.policy, facts)) {
            return Err(Missing::PermissionsBoundary);
        }
        self.session_limit(facts)
    }

    fn session_limit(&self, facts: &Facts<'_>) -> Result<(), Missing> {
        match self.session {
            Some(session) if !allows(session, facts) => Err(Missing::SessionPolicy),
            _ => Ok(()),
        }
    }

    fn by_resource(&self, facts: &Facts<'_>, least: Naming) -> Option<StatementRef<'a>> {
        self.of_resource(facts)
            .find_map(|policy| first(policy, facts, Effect::Allow, least))
    }
}

fn allowed_or(statement: Option<StatementRef<'_>>, missing: Missing) -> Decision<'_> {
    match statement {
        Some(_) => Decision::Allowed { statement },
        None => Decision::ImplicitDeny { missing },
    }
}

fn allows(policy: &Policy, facts: &Facts<'_>) -> bool {
    first((PolicyKind::Boundary, "", policy), facts, Effect::Allow, Naming::Not).is_some()
}

/// The first statement of a policy with this effect on the request. `least`: how strongly it must name who asks.
fn first<'a>(
    (kind, name, policy): (PolicyKind, &'a str, &'a Policy),
    facts: &Facts<'_>,
    effect: Effect,
    least: Naming,
) -> Option<StatementRef<'a>> {
    if !policy.mentions(effect, facts.request.action) {
        return None;
    }
    let mut statements = policy.statements().iter().enumerate();
    statements
        .find(|(_, statement)| statement.effect() == effect && statement.applies(facts, least))
        .map(|(index, statement)| reference(kind, name, index, statement))
}

fn reference<'a>(kind: PolicyKind, policy: &'a str, index: usize, statement: &'a crate::Statement) -> StatementRef<'a> {
    StatementRef {
        kind,
        policy,
        index,
        sid: statement.sid(),
        effect: statement.effect(),
    }
}

/// A repository's policy has no say in what happens before it exists, nor in what is not about it.
fn is_for_repository_policies(action: Action) -> bool {
    is_for_registry_policies(action) && !matches!(action, Action::CreateRepository | Action::DescribeRegistry)
}

/// Tokens and users are a matter of identity policies alone.
fn is_for_registry_policies(action: Action) -> bool {
    action != Action::GetAuthorizationToken && action.as_str().starts_with("ecr:")
}

fn is_for_trust_policies(action: Action) -> bool {
    matches!(action, Action::AssumeRole | Action::AssumeRoleWithWebIdentity)
}
