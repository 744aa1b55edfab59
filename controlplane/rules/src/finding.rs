// SPDX-License-Identifier: Apache-2.0
//! What an author should be told about a policy that is valid.

use std::fmt;

use hythe_access::{Action, Principal};

use crate::actions::alike;
use crate::evaluate::Facts;
use crate::policy::{Policy, PolicyGrammar};
use crate::principal::{Naming, PrincipalPattern};
use crate::statement::{Effect, Statement};
use crate::{ConditionContext, Request, Requester};

/// Something that a valid policy does and that its author may not want. The texts are JSON pointers to the statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyFinding {
    /// It allows something to everybody, also without credentials.
    Public(String),
    /// It lets everybody delete images or the repository.
    EverybodyMayDelete(String),
    /// It denies its own author to change it again.
    LocksOutCaller(String),
    /// It denies that as soon as its conditions hold.
    MayLockOutCaller(String),
    /// It lets in everybody who has a token of an identity provider, whatever the token says.
    TrustsWholeIssuer(String),
    /// It has a pattern of actions that covers none: what it says about that never counts.
    UnknownAction(UnknownAction),
}

/// A pattern of actions that covers none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAction {
    /// Its place, as a JSON pointer.
    pub pointer: String,
    /// What is written there.
    pub action: String,
    /// An action with nearly that name.
    pub alike: Option<Action>,
}

impl fmt::Display for UnknownAction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "there is no action `{}`, so that nothing is said by it",
            self.action
        )?;
        match self.alike {
            Some(action) => write!(formatter, ": is `{action}` meant?"),
            None => Ok(()),
        }
    }
}

const DELETIONS: [Action; 4] = [
    Action::BatchDeleteImage,
    Action::DeleteRepository,
    Action::PurgeImage,
    Action::PutLifecyclePolicy,
];

/// Keys that tell who asks, or from where: a condition on one of them makes what is for everybody be for some.
const LIMITS: [&str; 12] = [
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:userid",
    "aws:username",
    "aws:sourceip",
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:principaltag/",
];

impl Policy {
    /// What its author should know. `caller`: who writes it, if that is known.
    #[must_use]
    pub fn findings(&self, caller: Option<&Principal>) -> Vec<PolicyFinding> {
        let mut findings = self.consequences(caller);
        findings.extend(self.unknown_actions().into_iter().map(PolicyFinding::UnknownAction));
        findings
    }

    /// The patterns of actions in it that cover none: ECR takes them, and so do we, and they never count.
    #[must_use]
    pub fn unknown_actions(&self) -> Vec<UnknownAction> {
        let strange = self.statements().iter().flat_map(Statement::strange_actions);
        let unknown = |(pointer, action): &(Box<str>, Box<str>)| UnknownAction {
            pointer: pointer.to_string(),
            action: action.to_string(),
            alike: alike(action),
        };
        strange.map(unknown).collect()
    }

    fn consequences(&self, caller: Option<&Principal>) -> Vec<PolicyFinding> {
        let change = match self.grammar() {
            PolicyGrammar::Repository => Action::SetRepositoryPolicy,
            PolicyGrammar::Registry => Action::PutRegistryPolicy,
            PolicyGrammar::Identity => return Vec::new(),
            PolicyGrammar::Trust => {
                let trusting = self
                    .statements()
                    .iter()
                    .filter(|statement| trusts_whole_issuer(statement));
                let place = |statement: &Statement| PolicyFinding::TrustsWholeIssuer(statement.pointer().to_owned());
                return trusting.map(place).collect();
            }
        };
        let mut findings = Vec::new();
        for statement in self.statements() {
            let place = || statement.pointer().to_owned();
            if is_public(statement) {
                findings.push(PolicyFinding::Public(place()));
                if DELETIONS.iter().any(|action| statement.has_action(*action)) {
                    findings.push(PolicyFinding::EverybodyMayDelete(place()));
                }
            }
            if caller.is_some_and(|caller| denies(statement, caller, change)) {
                findings.push(if statement.conditions().is_empty() {
                    PolicyFinding::LocksOutCaller(place())
                } else {
                    PolicyFinding::MayLockOutCaller(place())
                });
            }
        }
        findings
    }
}

fn is_public(statement: &Statement) -> bool {
    let is_limited = statement
        .conditions()
        .iter()
        .any(|condition| condition.is_limit() && LIMITS.iter().any(|limit| condition.key().name().starts_with(limit)));
    statement.effect() == Effect::Allow && statement.is_about_anybody() && !is_limited
}

/// An issuer such as that of a public CI system gives tokens to anybody, and an audience can be asked for: only what else
/// the token says tells whose it is.
fn trusts_whole_issuer(statement: &Statement) -> bool {
    let is_about_issuers = || {
        let mut principals = statement.principals();
        principals.any(|principal| matches!(principal, PrincipalPattern::Federated(_)))
    };
    let is_claim = |name: &str| {
        let of_request = ["aws:", "sts:", "ecr:"].iter().any(|prefix| name.starts_with(prefix));
        !of_request && name.rsplit_once(':').is_some_and(|(_, claim)| claim != "aud")
    };
    let is_limited = || {
        let mut conditions = statement.conditions().iter();
        conditions.any(|condition| condition.is_limit() && is_claim(condition.key().name()))
    };
    statement.effect() == Effect::Allow
        && statement.has_action(Action::AssumeRoleWithWebIdentity)
        && is_about_issuers()
        && !is_limited()
}

/// Whether it denies that to `caller`, if its conditions hold.
fn denies(statement: &Statement, caller: &Principal, change: Action) -> bool {
    let Some(account) = caller.account() else { return false };
    let context = ConditionContext::default();
    let request = Request {
        requester: Requester::Principal(caller),
        action: change,
        resource: "*",
        owner: account,
        context: &context,
    };
    statement.effect() == Effect::Deny
        && statement.has_action(change)
        && statement.naming(&Facts::of(&request)) > Naming::Not
}
