// SPDX-License-Identifier: Apache-2.0
//! Policy documents: the grammar, and what is worked out when one is read.

use std::collections::BTreeSet;

use hythe_access::{Action, Principal};
use serde_json::{Value, json};

use crate::actions::ActionSet;
use crate::json::Node;
use crate::principal::PrincipalPattern;
use crate::statement::{Effect, Statement};

/// The longest policy text, in bytes (ECR API, `RepositoryPolicyText`).
pub const MAX_POLICY_BYTES: usize = 10_240;
/// The most statements of a policy.
pub const MAX_STATEMENTS: usize = 200;

/// What a policy is written for, which decides what may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyGrammar {
    /// For a user, a group, a role, a session or a boundary: every statement has a `Resource`, none a `Principal`.
    Identity,
    /// For a repository: every statement has a `Principal`; the resource is implied.
    Repository,
    /// For a registry: every statement has a `Principal`.
    Registry,
    /// For a role, about who may take it on: every statement has a `Principal`, none a `Resource`.
    Trust,
}

/// A policy, compiled when it was read: action patterns are sets, resources are split, principals are sorted and
/// conditions have types, so that a statement about something else costs a few comparisons.
///
/// Invariant: everything in it is evaluated; a document with anything else was refused.
#[derive(Clone, Debug)]
pub struct Policy {
    grammar: PolicyGrammar,
    statements: Box<[Statement]>,
    /// The actions of all statements that allow, and of all that deny.
    allowed: ActionSet,
    denied: ActionSet,
    /// The condition keys that it asks about, in lower case.
    keys: BTreeSet<Box<str>>,
    canonical: Box<str>,
}

/// Why a text is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The text has more than [`MAX_POLICY_BYTES`].
    #[error("the policy has {0} bytes, and {MAX_POLICY_BYTES} is the most")]
    TooLong(usize),
    /// The text is not JSON.
    #[error("Invalid JSON syntax: {0}")]
    Syntax(String),
    /// The JSON is not a policy, or one with a part that is not known.
    #[error("`{pointer}`: {reason}")]
    Member {
        /// The place, as a JSON pointer (RFC 6901).
        pointer: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl PolicyError {
    /// The place of the error in the document, as a JSON pointer; empty for the whole.
    #[must_use]
    pub fn pointer(&self) -> &str {
        match self {
            Self::TooLong(_) | Self::Syntax(_) => "",
            Self::Member { pointer, .. } => pointer,
        }
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::TooLong(_) | Self::Syntax(_) => self.to_string(),
            Self::Member { reason, .. } => reason.clone(),
        }
    }

    pub(crate) fn member(pointer: &str, reason: impl Into<String>) -> Self {
        Self::Member {
            pointer: pointer.into(),
            reason: reason.into(),
        }
    }
}

impl Policy {
    /// Parses a policy that is attached to a user, a group or a role.
    pub fn parse_identity(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, PolicyGrammar::Identity)
    }

    /// Parses a permissions boundary: the most that its holder's own policies can allow.
    pub fn parse_boundary(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, PolicyGrammar::Identity)
    }

    /// Parses the policy that limits a session of a role.
    pub fn parse_session(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, PolicyGrammar::Identity)
    }

    /// Parses the policy of a repository.
    pub fn parse_resource(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, PolicyGrammar::Repository)
    }

    /// Parses the policy of a registry.
    pub fn parse_registry(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, PolicyGrammar::Registry)
    }

    /// Parses the trust policy of a role.
    pub fn parse_trust(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, PolicyGrammar::Trust)
    }

    /// Parses a policy that is written for `grammar`.
    pub fn parse(text: &str, grammar: PolicyGrammar) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLong(text.len()));
        }
        let node = Node::parse(text)?;
        let document = node.known_members("", &["Version", "Id", "Statement"])?;
        let version = match document.get("Version") {
            // A document without a version is of the first (IAM, "Version").
            None => "2008-10-17",
            Some(node) => match node.as_text() {
                Some(version @ ("2012-10-17" | "2008-10-17")) => version,
                _ => {
                    return Err(PolicyError::member(
                        "/Version",
                        "it must be `2012-10-17` or `2008-10-17`",
                    ));
                }
            },
        };
        let id = document.text("", "Id")?;
        let (nodes, is_list) = match document.get("Statement") {
            Some(Node::List(list)) if (1..=MAX_STATEMENTS).contains(&list.len()) => (list.as_slice(), true),
            Some(node @ Node::Object(_)) => (std::slice::from_ref(node), false),
            _ => {
                let reason = format!("it must be a statement or a list of 1 to {MAX_STATEMENTS}");
                return Err(PolicyError::member("/Statement", reason));
            }
        };
        let (mut statements, mut spelled) = (Vec::new(), Vec::new());
        for (index, node) in nodes.iter().enumerate() {
            let at = if is_list {
                format!("/Statement/{index}")
            } else {
                "/Statement".to_owned()
            };
            let (statement, canonical) = Statement::parse(node, &at, grammar, version == "2012-10-17")?;
            let is_named_before = |other: &Statement| other.sid().is_some() && other.sid() == statement.sid();
            if statements.iter().any(is_named_before) {
                let place = format!("{at}/Sid");
                return Err(PolicyError::member(&place, "another statement has this name"));
            }
            statements.push(statement);
            spelled.push(canonical);
        }
        Ok(Self::compile(grammar, statements, &canonical(version, id, spelled)))
    }

    /// A policy that says nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::compile(PolicyGrammar::Identity, Vec::new(), &Value::Null)
    }

    fn compile(grammar: PolicyGrammar, statements: Vec<Statement>, canonical: &Value) -> Self {
        let actions = |effect| {
            let of = statements.iter().filter(|statement| statement.effect() == effect);
            of.fold(ActionSet::default(), |all, statement| all.union(statement.actions()))
        };
        let (allowed, denied) = (actions(Effect::Allow), actions(Effect::Deny));
        let keys = statements
            .iter()
            .flat_map(Statement::keys)
            .map(|key| key.name().into())
            .collect();
        Self {
            grammar,
            statements: statements.into(),
            allowed,
            denied,
            keys,
            canonical: canonical.to_string().into(),
        }
    }

    /// What it is written for.
    #[must_use]
    pub fn grammar(&self) -> PolicyGrammar {
        self.grammar
    }

    /// The statements, in the order of the document.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// All principals that it names, also as exceptions.
    pub fn named_principals(&self) -> impl Iterator<Item = &PrincipalPattern> {
        self.statements.iter().flat_map(Statement::principals)
    }

    /// Whether it names `principal` or its role.
    #[must_use]
    pub fn names(&self, principal: &Principal) -> bool {
        self.named_principals().any(|named| named.is(principal))
    }

    /// The policy as it was meant before `principal` was there: what names it, or its role, names nobody, in statements whose
    /// `Sid` `is_older`. Whoever has the name of somebody who was deleted inherits nothing this way. What names its account,
    /// or everybody, stays.
    #[must_use]
    pub fn without(&self, principal: &Principal, is_older: impl Fn(Option<&str>) -> bool) -> Self {
        let statements = self.statements.iter().map(|statement| {
            if is_older(statement.sid()) {
                statement.without(principal)
            } else {
                statement.clone()
            }
        });
        Self {
            statements: statements.collect(),
            ..self.clone()
        }
    }

    /// Whether a condition or a variable asks about a key that starts so, such as `aws:ResourceTag/`.
    #[must_use]
    pub fn needs(&self, prefix: &str) -> bool {
        let starts_so = |key: &str| {
            let head = key.as_bytes().get(..prefix.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        self.keys.iter().any(|key| starts_so(key))
    }

    /// The one document that all have which say the same: without regard to the order of statements, members and
    /// values, to the case of actions and keys, and to lists of one.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Whether both say the same.
    #[must_use]
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.grammar == other.grammar && self.canonical == other.canonical
    }

    /// Whether a statement with this effect has the action at all.
    pub(crate) fn mentions(&self, effect: Effect, action: Action) -> bool {
        match effect {
            Effect::Allow => self.allowed.contains(action),
            Effect::Deny => self.denied.contains(action),
        }
    }
}

/// Two policies are equal if they say the same.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.is_equivalent(other)
    }
}

impl Eq for Policy {}

fn canonical(version: &str, id: Option<&str>, mut statements: Vec<Value>) -> Value {
    // Whether members keep their order depends on what else is built with this.
    statements.iter_mut().for_each(Value::sort_all_objects);
    statements.sort_by_cached_key(Value::to_string);
    statements.dedup();
    let mut document = json!({ "Statement": statements, "Version": version });
    if let (Some(id), Some(members)) = (id, document.as_object_mut()) {
        members.insert("Id".to_owned(), id.into());
    }
    document.sort_all_objects();
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConditionContext, Policies, Request, Requester, decide};

    #[test]
    fn whoever_has_the_name_of_somebody_who_is_gone_inherits_nothing() {
        let user = Principal::User("000000000000".parse().unwrap(), "ann".parse().unwrap());
        let role = Principal::Role(hythe_access::RoleSession {
            account: "000000000000".parse().unwrap(),
            role: "ci".parse().unwrap(),
            session: "run".parse().unwrap(),
        });
        let others = r#""arn:aws:iam::000000000000:user/bob""#;
        let cases = [
            ("a user", &user, r#""arn:aws:iam::000000000000:user/ann""#, false),
            (
                "a user among others",
                &user,
                &*format!(r#"[{others}, "arn:aws:iam::000000000000:user/ann"]"#),
                false,
            ),
            ("everybody", &user, r#""*""#, true),
            ("a role", &role, r#""arn:aws:iam::000000000000:role/ci""#, false),
            (
                "a session",
                &role,
                r#""arn:aws:sts::000000000000:assumed-role/ci/run""#,
                false,
            ),
        ];
        for (what, principal, named, stays) in cases {
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":{named}}},"Action":"ecr:*"}}}}"#
            );
            let policy = Policy::parse_resource(&text).unwrap();
            let is_allowed = |policy: &Policy| {
                let (owner, context) = ("000000000000".parse().unwrap(), ConditionContext::default());
                let request = Request {
                    requester: Requester::Principal(principal),
                    action: Action::BatchGetImage,
                    resource: "arn:aws:ecr:local:000000000000:repository/web",
                    owner: &owner,
                    context: &context,
                };
                let policies = Policies {
                    repository: Some(policy),
                    ..Policies::default()
                };
                decide(&request, &policies).is_allowed()
            };
            assert!(is_allowed(&policy), "{what}");
            assert_eq!(is_allowed(&policy.without(principal, |_| true)), stays, "{what}");
            assert_eq!(policy.names(principal), !stays, "{what}");
            let bob = Principal::User("000000000000".parse().unwrap(), "bob".parse().unwrap());
            assert!(is_allowed(&policy.without(&bob, |_| true)), "{what}: somebody else");
        }
    }
}
