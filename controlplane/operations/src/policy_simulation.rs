// SPDX-License-Identifier: Apache-2.0
//! What somebody may do, and why: the decisions of the gate, without a request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use hythe_access::{Action, Attributes, Granted, Principal, RequestContext, Resource, RolePath, RoleSession, kinds};
use hythe_meta::StoreError;
use hythe_model::{AccountId, ProviderName, RepositoryArn, RepositoryPath, ResourceTags};
use hythe_rules::{
    ConditionContext, Decision, Effect, Explanation, Missing, NamedPolicy, Policies, Policy, PolicyKind,
    PrincipalPattern, Request, Requester, Statement, StatementRef, explain,
};

use crate::repository::UnknownRepository;
use crate::{ControlPlane, IdentityProviderError, Noun, UnknownPrincipal};

/// The most principals of an account that are looked at for one answer.
pub const MAX_ACCESS_PRINCIPALS: usize = 5000;
/// How many principals are read at once.
const PAGE: usize = 500;
/// What a session is called that nobody has opened.
const SESSION: &str = "policy-simulation";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimulatedRequester {
    /// Somebody with credentials of this deployment, or with none.
    Principal(Principal),
    /// Somebody with a token of an identity provider, who asks for a role.
    Provider(AccountId, ProviderName),
}

impl SimulatedRequester {
    /// Who has this ARN; `*` is nobody in particular. A role is meant in any session.
    #[must_use]
    pub fn parse(arn: &str) -> Option<Self> {
        let provider = || {
            let (account, name) = arn.strip_prefix("arn:aws:iam::")?.split_once(":oidc-provider/")?;
            Some(Self::Provider(account.parse().ok()?, name.parse().ok()?))
        };
        simulated_principal(arn).map(Self::Principal).or_else(provider)
    }
}

/// The ARN.
impl fmt::Display for SimulatedRequester {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(principal) => principal.fmt(formatter),
            Self::Provider(account, name) => write!(formatter, "arn:aws:iam::{account}:oidc-provider/{name}"),
        }
    }
}

/// What is to be decided.
#[derive(Debug)]
pub struct Simulation {
    /// Who.
    pub requester: SimulatedRequester,
    /// What for.
    pub actions: Vec<Action>,
    /// On what.
    pub resources: Vec<SimulatedResource>,
    /// The circumstances, by condition key in lower case.
    pub context: Attributes,
    /// Policies in place of those of the principal.
    pub identity: Option<Vec<Policy>>,
    /// The policy of the session.
    pub session: Option<Policy>,
    /// A policy in place of those of the repositories.
    pub repository: Option<Policy>,
}

/// What a decision is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimulatedResource {
    /// The registry as a whole.
    Registry,
    /// A repository.
    Repository(RepositoryArn),
    /// A role, to be taken on or administered.
    Role(RolePath),
    /// Whatever else is administered within an account, by its ARN: a user, a group, a policy, an identity provider.
    Identity(AccountId, String),
}

impl SimulatedResource {
    /// What is administered within an account and has this ARN.
    #[must_use]
    pub fn identity(arn: &str) -> Option<Self> {
        const KINDS: [&str; 4] = ["user", "group", "policy", "oidc-provider"];
        let (account, name) = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?;
        let (kind, name) = name.split_once('/')?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        let account = account.parse().ok()?;
        (KINDS.contains(&kind) && is_name).then(|| Self::Identity(account, arn.to_owned()))
    }
}

/// Why nothing was simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// There is no such principal.
    #[error(transparent)]
    Principal(#[from] UnknownPrincipal),
    /// The policies of other accounts are not for everybody to ask about.
    #[error(
        "the principal `{0}` is of another account: say in `policyDocuments` which policies it is supposed to have"
    )]
    OtherAccount(String),
    /// There is no such identity provider.
    #[error(transparent)]
    Provider(#[from] IdentityProviderError),
    /// The resource is in another account.
    #[error("the resource `{0}` is of another account")]
    OtherResource(String),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why it was not said who may do something in a repository.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryAccessError {
    /// There is no such repository.
    #[error(transparent)]
    Unknown(#[from] UnknownRepository),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One decision.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// What for.
    pub action: Action,
    /// On what.
    pub resource: String,
    /// Whether a statement allows it or who asks is the administrator; else whether one denies it.
    pub outcome: Outcome,
    /// The statement that decided.
    pub statement: Option<OwnedStatement>,
    /// All statements that apply.
    pub matched: Vec<OwnedStatement>,
    /// Those that would but for a condition, with the condition.
    pub near: Vec<(OwnedStatement, String)>,
    /// What was missing.
    pub missing: Option<Missing>,
    /// The answer in words.
    pub reason: String,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Yes.
    Allowed,
    /// No: a statement denies it.
    ExplicitDeny,
    /// No: none allows it.
    ImplicitDeny,
}

/// A statement, by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedStatement {
    /// What its policy is attached to.
    pub kind: PolicyKind,
    /// The name of its policy.
    pub policy: Option<String>,
    /// Which statement, from 0.
    pub index: usize,
    /// The name that its author gave it.
    pub sid: Option<String>,
    /// What it does.
    pub effect: Effect,
}

impl From<StatementRef<'_>> for OwnedStatement {
    fn from(statement: StatementRef<'_>) -> Self {
        Self {
            kind: statement.kind,
            policy: (!statement.policy.is_empty()).then(|| statement.policy.to_owned()),
            index: statement.index,
            sid: statement.sid.map(str::to_owned),
            effect: statement.effect,
        }
    }
}

/// Who may do something in a repository.
#[derive(Clone, Debug)]
pub struct RepositoryAccess {
    /// Whether everybody may.
    pub anyone: bool,
    /// Those who may, by ARN.
    pub principals: Vec<AccessEntry>,
    /// Whether there are more principals than were looked at.
    pub is_truncated: bool,
}

/// One who may.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessEntry {
    /// The principal.
    pub arn: String,
    /// What lets it.
    pub via: String,
    /// What else has to hold.
    pub provided: Option<String>,
}

/// The principal that an ARN names; `*` is nobody in particular. A role is meant in any session.
fn simulated_principal(arn: &str) -> Option<Principal> {
    match arn.parse().ok()? {
        PrincipalPattern::Anybody => Some(Principal::Anonymous),
        PrincipalPattern::Account(account) => Some(Principal::Root(account)),
        PrincipalPattern::User(account, name) => Some(Principal::User(account, name)),
        PrincipalPattern::Role(role) => any_session(role),
        PrincipalPattern::Session(session) => Some(Principal::Role(session)),
        PrincipalPattern::Service(_) | PrincipalPattern::Federated(_) => None,
    }
}

fn any_session(role: RolePath) -> Option<Principal> {
    Some(Principal::Role(RoleSession {
        account: role.account,
        role: role.name,
        session: SESSION.parse().ok()?,
    }))
}

impl ControlPlane {
    /// Decides as the gate would, and says why.
    #[tracing::instrument(name = "policy.simulate", skip_all, fields(account.id = %granted.resource()))]
    pub async fn simulate_policy(
        &self,
        granted: &Granted<kinds::SimulatePrincipalPolicy>,
        simulation: &Simulation,
    ) -> Result<Vec<Evaluation>, SimulationError> {
        let account = granted.resource();
        let nobody = Principal::Anonymous;
        let arn = simulation.requester.to_string();
        let (principal, provider) = match &simulation.requester {
            SimulatedRequester::Principal(principal) => (principal, None),
            SimulatedRequester::Provider(owner, _) if owner != account => {
                return Err(SimulationError::OtherAccount(arn));
            }
            SimulatedRequester::Provider(_, name) => {
                if self.store().identity_provider(account, name).await?.is_none() {
                    return Err(IdentityProviderError::Unknown(name.clone(), account.clone()).into());
                }
                (&nobody, Some(arn.as_str()))
            }
        };
        let is_own = principal.account() == Some(account);
        let drafts: Option<Vec<NamedPolicy>> = simulation.identity.as_ref().map(|policies| {
            let numbered = policies.iter().enumerate();
            numbered.map(|(index, policy)| draft(index, policy)).collect()
        });
        let is_known_elsewhere = principal.is_anonymous() || matches!(principal, Principal::Root(_));
        if !is_own && !is_known_elsewhere && drafts.is_none() {
            return Err(SimulationError::OtherAccount(principal.to_string()));
        }

        // An image tag that is given is one that the request names: several are decided one by one.
        let mut given = simulation.context.clone();
        if let Some(provider) = provider {
            given.insert("aws:federatedprovider".to_owned(), vec![provider.to_owned()]);
        }
        let named = RequestContext {
            image_tags: given.remove("ecr:imagetag").unwrap_or_default(),
            ..RequestContext::default()
        };
        let mut evaluations = Vec::new();
        for resource in &simulation.resources {
            let asked = asked_resource(resource, account)?;
            let set = self.gate().policy_set(principal, None, &asked).await?;
            if is_own && set.principal().is_none() && drafts.is_none() {
                return Err(unknown(principal, account).into());
            }
            let about = match resource {
                SimulatedResource::Identity(_, arn) => Some(arn.as_str()),
                SimulatedResource::Registry | SimulatedResource::Repository(_) | SimulatedResource::Role(_) => None,
            };
            // What is stored about somebody of another account is not this account's to know.
            let facts = set.principal().filter(|_| is_own);
            let stored = set.policies();
            let policies = Policies {
                identity: match &drafts {
                    Some(drafts) => drafts,
                    None if is_own => stored.identity,
                    None => &[],
                },
                boundary: stored.boundary.filter(|_| is_own),
                session: simulation.session.as_ref(),
                repository: match (&simulation.repository, resource) {
                    (Some(draft), SimulatedResource::Repository(_)) => Some(draft),
                    _ => stored.repository,
                },
                ..stored
            };
            // A draft may ask about tags that nothing stored asks about.
            let resource_tags = match &asked {
                Resource::Repository(path) => self.store().repository(path).await?.map(|record| record.tags),
                Resource::Registry(_) | Resource::Role(_) => None,
            };
            let context = ConditionContext {
                resource_tags: resource_tags.as_ref().map(ResourceTags::as_map),
                principal_tags: set.principal_tags().filter(|_| is_own),
                request: Some(&named),
                given: Some(&given),
                ..self.no_request()
            };
            for action in &simulation.actions {
                let request = Request {
                    requester: match provider {
                        Some(provider) => Requester::Federated(provider),
                        None => set.requester(principal, &self.settings().default_account),
                    },
                    action: *action,
                    resource: set.named(about),
                    owner: account,
                    context: &context,
                };
                let mut evaluation = evaluation(&request, &explain(&request, &policies));
                if facts.is_some_and(|facts| !facts.is_active(self.stored_now())) {
                    evaluation.outcome = Outcome::ImplicitDeny;
                    evaluation.statement = None;
                    evaluation.reason =
                        "the principal is disabled, or its time has come: its credentials are refused".into();
                }
                evaluations.push(evaluation);
            }
        }
        Ok(evaluations)
    }

    /// Lists who may do `action` in a repository.
    #[tracing::instrument(name = "repository.access", skip_all, fields(repository.name = %path.name))]
    pub async fn repository_access(
        &self,
        granted: &Granted<kinds::SimulatePrincipalPolicy>,
        path: &RepositoryPath,
        action: Action,
    ) -> Result<RepositoryAccess, RepositoryAccessError> {
        let account = granted.resource();
        let record = self.store().repository(path).await?;
        let record = record.filter(|record| record.path.account == *account);
        let record = record.ok_or_else(|| UnknownRepository(path.clone()))?;
        let asked_about = Resource::Repository(path.clone());
        let nobody = self
            .gate()
            .policy_set(&Principal::Anonymous, None, &asked_about)
            .await?;
        let asked = Asked {
            plane: self,
            action,
            arn: nobody.resource(),
            owner: account,
            resource_tags: record.tags.as_map(),
            of_resource: nobody.policies(),
        };

        let of_nobody = Held {
            policies: nobody.policies(),
            tags: None,
        };
        let root = asked.entry(&Principal::Root(account.clone()), of_nobody);
        let mut principals: Vec<AccessEntry> = root.into_iter().collect();
        let deployment = &self.settings().default_account;
        if deployment != account {
            principals.extend(asked.entry(&Principal::Root(deployment.clone()), of_nobody));
        }
        let mut is_truncated = false;
        for principal in self.principals(account, &mut is_truncated).await? {
            let set = self.gate().policy_set(&principal, None, &asked_about).await?;
            if set.principal().is_some_and(|facts| facts.is_active(self.stored_now())) {
                let held = Held {
                    policies: set.policies(),
                    tags: set.principal_tags(),
                };
                principals.extend(asked.entry(&principal, held));
            }
        }
        for session in asked.sessions() {
            let principal = Principal::Role(session);
            let set = self.gate().policy_set(&principal, None, &asked_about).await?;
            if set.principal().is_some_and(|facts| facts.is_active(self.stored_now())) {
                let held = Held {
                    policies: set.policies(),
                    tags: set.principal_tags(),
                };
                principals.extend(asked.entry(&principal, held).map(|entry| AccessEntry {
                    arn: principal.to_string(),
                    ..entry
                }));
            }
        }
        principals.extend(asked.foreign());
        principals.sort();
        principals.dedup();
        Ok(RepositoryAccess {
            anyone: asked.explain(&Principal::Anonymous, of_nobody).is_allowed,
            principals,
            is_truncated,
        })
    }

    /// The users and roles of an account.
    async fn principals(&self, account: &AccountId, is_truncated: &mut bool) -> Result<Vec<Principal>, StoreError> {
        let mut principals = Vec::new();
        let mut last = None;
        loop {
            let users = self.store().users(account, last.as_ref(), PAGE).await?;
            let is_last = users.len() < PAGE;
            last = users.last().map(|user| user.name.clone());
            principals.extend(
                users
                    .into_iter()
                    .map(|user| Principal::User(account.clone(), user.name)),
            );
            if is_last || principals.len() >= MAX_ACCESS_PRINCIPALS {
                *is_truncated = !is_last;
                break;
            }
        }
        let mut last = None;
        loop {
            let roles = self.store().roles(account, last.as_ref(), PAGE).await?;
            let is_last = roles.len() < PAGE;
            last = roles.last().map(|role| role.name.clone());
            let paths = roles.into_iter().map(|role| RolePath {
                account: account.clone(),
                name: role.name,
            });
            principals.extend(paths.filter_map(any_session));
            if is_last || principals.len() >= 2 * MAX_ACCESS_PRINCIPALS {
                *is_truncated |= !is_last;
                break;
            }
        }
        Ok(principals)
    }

    fn requester<'a>(&self, principal: &'a Principal) -> Requester<'a> {
        match principal {
            Principal::Root(account) if *account == self.settings().default_account => {
                Requester::Administrator(principal)
            }
            principal => Requester::Principal(principal),
        }
    }

    /// What is known without a request.
    fn no_request(&self) -> ConditionContext<'_> {
        ConditionContext {
            now: Some(self.stored_now()),
            region: Some(self.settings().region.as_str()),
            ..ConditionContext::default()
        }
    }
}

/// The resource, as the gate knows it.
fn asked_resource(resource: &SimulatedResource, account: &AccountId) -> Result<Resource, SimulationError> {
    let (asked, name) = match resource {
        SimulatedResource::Registry => return Ok(Resource::Registry(account.clone())),
        SimulatedResource::Repository(arn) => (Resource::Repository(arn.repository.clone()), arn.to_string()),
        SimulatedResource::Role(role) => (Resource::Role(role.clone()), role.to_string()),
        SimulatedResource::Identity(owner, arn) => (Resource::Registry(owner.clone()), arn.clone()),
    };
    if asked.account() == account {
        Ok(asked)
    } else {
        Err(SimulationError::OtherResource(name))
    }
}

/// A question about one repository, to be asked for many.
struct Asked<'a> {
    plane: &'a ControlPlane,
    action: Action,
    arn: &'a str,
    owner: &'a AccountId,
    resource_tags: &'a BTreeMap<String, String>,
    /// Without those of anybody in particular.
    of_resource: Policies<'a>,
}

impl Asked<'_> {
    fn explain(&self, principal: &Principal, held: Held<'_>) -> Answer {
        let context = ConditionContext {
            resource_tags: Some(self.resource_tags),
            principal_tags: held.tags,
            ..self.plane.no_request()
        };
        let request = Request {
            requester: self.plane.requester(principal),
            action: self.action,
            resource: self.arn,
            owner: self.owner,
            context: &context,
        };
        let explanation = explain(&request, &held.policies);
        let near = |effect| {
            let mut near = explanation.near.iter();
            let found = near.find(|near| near.statement.effect == effect);
            found.map(|near| (near.statement.to_string(), near.condition.clone()))
        };
        Answer {
            is_allowed: explanation.decision.is_allowed(),
            is_denied: matches!(explanation.decision, Decision::ExplicitDeny { .. }),
            via: match explanation.decision {
                Decision::Allowed { statement } => statement.map(|statement| statement.to_string()),
                Decision::ExplicitDeny { .. } | Decision::ImplicitDeny { .. } => None,
            },
            nearly_allows: near(Effect::Allow),
            nearly_denies: near(Effect::Deny),
        }
    }

    /// Whether a principal of the account may, or could if a condition held.
    fn entry(&self, principal: &Principal, held: Held<'_>) -> Option<AccessEntry> {
        let answer = self.explain(principal, held);
        let arn = match principal {
            Principal::Role(session) => session.role_path().to_string(),
            principal => principal.to_string(),
        };
        if answer.is_allowed {
            let administered = if principal.account() == Some(self.owner) {
                "account"
            } else {
                "deployment"
            };
            return Some(AccessEntry {
                arn,
                via: answer
                    .via
                    .unwrap_or_else(|| format!("administrator of the {administered}")),
                // A denial whose condition does not hold now may hold for a request.
                provided: answer
                    .nearly_denies
                    .map(|(statement, condition)| format!("unless `{condition}` as in {statement}")),
            });
        }
        let (via, condition) = answer.nearly_allows.filter(|_| !answer.is_denied)?;
        Some(AccessEntry {
            arn,
            via,
            provided: Some(format!("if `{condition}`")),
        })
    }

    /// The sessions of the account's roles that the repository or the registry names by themselves.
    fn sessions(&self) -> Vec<RoleSession> {
        let policies = [self.of_resource.repository, self.of_resource.registry]
            .into_iter()
            .flatten();
        let statements = policies.flat_map(Policy::statements);
        let named = statements.filter(|one| one.effect() == Effect::Allow && one.has_action(self.action));
        let sessions = named
            .flat_map(Statement::principals)
            .filter_map(|pattern| match pattern {
                PrincipalPattern::Session(session) if session.account == *self.owner => Some(session.clone()),
                _ => None,
            });
        let sessions: BTreeSet<RoleSession> = sessions.collect();
        sessions.into_iter().collect()
    }

    /// The principals of other accounts that the repository or the registry names. What their own accounts allow them is
    /// not this account's to know.
    fn foreign(&self) -> Vec<AccessEntry> {
        let everything = everything();
        let policies = [self.of_resource.repository, self.of_resource.registry]
            .into_iter()
            .flatten();
        let statements = policies.flat_map(Policy::statements);
        let named = statements.filter(|one| one.effect() == Effect::Allow && one.has_action(self.action));
        let mut entries = Vec::new();
        for pattern in named.flat_map(Statement::principals) {
            let principal = simulated_principal(&pattern.to_string());
            let is_foreign = |principal: &Principal| principal.account().is_some_and(|account| account != self.owner);
            let Some(principal) = principal.filter(is_foreign) else {
                continue;
            };
            let held = Held {
                policies: Policies {
                    identity: everything.as_slice(),
                    ..self.of_resource
                },
                tags: None,
            };
            if let Some(entry) = self.entry(&principal, held) {
                let own = "as far as its own account allows".to_owned();
                entries.push(AccessEntry {
                    arn: pattern.to_string(),
                    provided: Some(
                        entry
                            .provided
                            .map_or(own.clone(), |provided| format!("{provided}, {own}")),
                    ),
                    ..entry
                });
            }
        }
        entries
    }
}

/// What a principal brings with it.
#[derive(Clone, Copy)]
struct Held<'a> {
    policies: Policies<'a>,
    tags: Option<&'a BTreeMap<String, String>>,
}

struct Answer {
    is_allowed: bool,
    is_denied: bool,
    via: Option<String>,
    nearly_allows: Option<(String, String)>,
    nearly_denies: Option<(String, String)>,
}

/// A policy that allows everything.
fn everything() -> Vec<NamedPolicy> {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    Policy::parse_identity(text)
        .into_iter()
        .map(|policy| draft(0, &policy))
        .collect()
}

fn draft(index: usize, policy: &Policy) -> NamedPolicy {
    NamedPolicy {
        name: format!("policyDocuments/{index}").into(),
        policy: Arc::new(policy.clone()),
    }
}

fn unknown(principal: &Principal, account: &AccountId) -> UnknownPrincipal {
    let (noun, name) = match principal {
        Principal::Role(session) => (Noun::Role, session.role.to_string()),
        Principal::User(_, name) => (Noun::User, name.to_string()),
        Principal::Root(_) | Principal::Anonymous => (Noun::User, principal.to_string()),
    };
    UnknownPrincipal {
        noun,
        name,
        account: account.clone(),
    }
}

fn evaluation(request: &Request<'_>, explanation: &Explanation<'_>) -> Evaluation {
    let (outcome, statement, missing) = match explanation.decision {
        Decision::Allowed { statement } => (Outcome::Allowed, statement, None),
        Decision::ExplicitDeny { statement } => (Outcome::ExplicitDeny, Some(statement), None),
        Decision::ImplicitDeny { missing } => (Outcome::ImplicitDeny, None, Some(missing)),
    };
    let allowed = || match statement {
        Some(statement) => format!("{statement} allows it"),
        None => "the administrator of an account may do everything in it".to_owned(),
    };
    let near = explanation.near.iter();
    Evaluation {
        action: request.action,
        resource: request.resource.to_owned(),
        outcome,
        statement: statement.map(Into::into),
        matched: explanation.matched.iter().copied().map(Into::into).collect(),
        near: near
            .map(|near| (near.statement.into(), near.condition.clone()))
            .collect(),
        missing,
        reason: explanation.decision.denial(request).unwrap_or_else(allowed),
    }
}
