// SPDX-License-Identifier: Apache-2.0
//! Policy documents: the grammar, and what a statement says about a request.

use hythe_access::{Action, Principal, UserName};
use hythe_model::AccountId;
use serde_json::{Map, Value};

use crate::pattern::{ARN_PARTS, covers, covers_arn};

/// The longest policy text, in bytes (ECR API, `RepositoryPolicyText`).
pub const MAX_POLICY_BYTES: usize = 10_240;

/// What a matching statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies, whatever else allows.
    Deny,
}

/// A parsed policy: of an identity (who may what is about its holder) or of a resource (with principals).
///
/// Invariant: everything in it is evaluated; a document with anything else was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// One statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    sid: Option<String>,
    effect: Effect,
    // INVARIANT: `None` in policies of identities, `Some` in policies of resources.
    principals: Option<Vec<PrincipalPattern>>,
    actions: Patterns,
    // INVARIANT: `None` only in policies of resources, where the resource is implied.
    resources: Option<Patterns>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PrincipalPattern {
    /// `*`: everybody, also without credentials.
    Anybody,
    /// An account: everybody in it, as far as its own identity policies let them.
    Account(AccountId),
    /// One user.
    User(AccountId, UserName),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Patterns {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

impl Patterns {
    fn matches(&self, covers: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Only(patterns) => patterns.iter().any(|pattern| covers(pattern)),
            Self::AllBut(patterns) => !patterns.iter().any(|pattern| covers(pattern)),
        }
    }
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
    /// The JSON is not a policy, or one with a part that is not supported.
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
}

impl Policy {
    /// Parses a policy that is attached to an identity: every statement has a `Resource`, none a `Principal`.
    pub fn parse_identity(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, false)
    }

    /// Parses a policy that is attached to a repository or a registry: every statement has a `Principal`.
    pub fn parse_resource(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, true)
    }

    /// A policy that allows its holder some actions on everything.
    pub(crate) fn allowing(sid: &str, actions: &[&str]) -> Self {
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        Self {
            statements: vec![Statement {
                sid: Some(sid.to_owned()),
                effect: Effect::Allow,
                principals: None,
                actions: Patterns::Only(actions),
                resources: Some(Patterns::Only(vec!["*".to_owned()])),
            }],
        }
    }

    /// The statements, in the order of the document.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    fn parse(text: &str, has_principals: bool) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLong(text.len()));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| PolicyError::Syntax(error.to_string()))?;
        let document = members(&value, "", &["Version", "Id", "Statement"])?;
        match document.get("Version").and_then(Value::as_str) {
            Some("2012-10-17" | "2008-10-17") => {}
            _ => return Err(member("/Version", "it must be `2012-10-17` or `2008-10-17`")),
        }
        optional_text(document, "", "Id")?;
        let statements = match document.get("Statement") {
            Some(Value::Array(list)) if !list.is_empty() => list
                .iter()
                .enumerate()
                .map(|(index, value)| Statement::parse(value, &format!("/Statement/{index}"), has_principals))
                .collect::<Result<_, _>>()?,
            Some(value @ Value::Object(_)) => vec![Statement::parse(value, "/Statement", has_principals)?],
            _ => return Err(member("/Statement", "it must be a statement or a list of at least one")),
        };
        Ok(Self { statements })
    }
}

impl Statement {
    /// What a match does.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The name that the author gave it.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Whether the statement is about `action` on `resource` (an ARN, or `*` for a registry as a whole).
    pub(crate) fn is_about(&self, action: Action, resource: &str) -> bool {
        let name = action.as_str().to_ascii_lowercase();
        self.actions
            .matches(|pattern| covers(&pattern.to_ascii_lowercase(), &name))
            && self
                .resources
                .as_ref()
                .is_none_or(|patterns| patterns.matches(|pattern| covers_arn(pattern, resource)))
    }

    /// The strongest way in which the statement names `principal`.
    pub(crate) fn naming(&self, principal: &Principal) -> Naming {
        let of = |pattern: &PrincipalPattern| match (pattern, principal) {
            (PrincipalPattern::Anybody, _) => Naming::Itself,
            (PrincipalPattern::Account(named), Principal::Root(account)) if named == account => Naming::Itself,
            (PrincipalPattern::Account(named), Principal::User(account, _)) if named == account => Naming::Account,
            (PrincipalPattern::User(account, name), Principal::User(of, user)) if account == of && name == user => {
                Naming::Itself
            }
            _ => Naming::Not,
        };
        self.principals.iter().flatten().map(of).max().unwrap_or(Naming::Not)
    }

    fn parse(value: &Value, at: &str, has_principals: bool) -> Result<Self, PolicyError> {
        const MEMBERS: &[&str] = &[
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        let statement = members(value, at, MEMBERS)?;
        for (name, reason) in [
            ("Condition", "conditions are not supported yet"),
            (
                "NotPrincipal",
                "`NotPrincipal` is not supported yet: name the principals with `Principal`",
            ),
        ] {
            if statement.contains_key(name) {
                return Err(member(&format!("{at}/{name}"), reason));
            }
        }
        let effect = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(member(&format!("{at}/Effect"), "it must be `Allow` or `Deny`")),
        };
        let principals = match (statement.get("Principal"), has_principals) {
            (Some(value), true) => Some(parse_principals(value, &format!("{at}/Principal"))?),
            (None, false) => None,
            (None, true) => {
                return Err(member(
                    &format!("{at}/Principal"),
                    "it must say for whom the statement is",
                ));
            }
            (Some(_), false) => {
                return Err(member(
                    &format!("{at}/Principal"),
                    "a policy of an identity must not name principals",
                ));
            }
        };
        let actions = one_of(statement, at, "Action", "NotAction", check_action)?
            .ok_or_else(|| member(&format!("{at}/Action"), "it must have `Action` or `NotAction`"))?;
        let resources = one_of(statement, at, "Resource", "NotResource", check_resource)?;
        if resources.is_none() && !has_principals {
            return Err(member(
                &format!("{at}/Resource"),
                "it must have `Resource` or `NotResource`",
            ));
        }
        Ok(Self {
            sid: optional_text(statement, at, "Sid")?,
            effect,
            principals,
            actions,
            resources,
        })
    }
}

/// How a statement names a principal, from not at all to by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Naming {
    Not,
    /// Through its account, which leaves it to the account's identity policies who in it may.
    Account,
    /// By its own ARN, or with everybody.
    Itself,
}

fn member(pointer: &str, reason: impl Into<String>) -> PolicyError {
    PolicyError::Member {
        pointer: pointer.into(),
        reason: reason.into(),
    }
}

fn members<'a>(value: &'a Value, at: &str, known: &[&str]) -> Result<&'a Map<String, Value>, PolicyError> {
    let object = value.as_object().ok_or_else(|| member(at, "it must be an object"))?;
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(object),
        Some(name) => {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            Err(member(
                &format!("{at}/{escaped}"),
                format!("there is no such member; known are {}", known.join(", ")),
            ))
        }
    }
}

fn optional_text(object: &Map<String, Value>, at: &str, name: &str) -> Result<Option<String>, PolicyError> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(member(&format!("{at}/{name}"), "it must be a text")),
    }
}

/// A text, or a list of at least one, with the pointer of each.
fn texts<'a>(value: &'a Value, at: &str) -> Result<Vec<(String, &'a str)>, PolicyError> {
    let text = |value: &'a Value, at: String| match value.as_str() {
        Some(text) => Ok((at, text)),
        None => Err(member(&at, "it must be a text")),
    };
    match value {
        Value::Array(list) if list.is_empty() => Err(member(at, "the list must not be empty")),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(n, value)| text(value, format!("{at}/{n}")))
            .collect(),
        other => Ok(vec![text(other, at.to_owned())?]),
    }
}

fn one_of(
    object: &Map<String, Value>,
    at: &str,
    only: &str,
    all_but: &str,
    check: fn(&str) -> Result<(), &'static str>,
) -> Result<Option<Patterns>, PolicyError> {
    let checked = |name: &str, value: &Value| {
        texts(value, &format!("{at}/{name}"))?
            .into_iter()
            .map(|(at, text)| {
                check(text)
                    .map(|()| text.to_owned())
                    .map_err(|reason| member(&at, reason))
            })
            .collect::<Result<Vec<_>, _>>()
    };
    match (object.get(only), object.get(all_but)) {
        (Some(_), Some(_)) => Err(member(
            &format!("{at}/{all_but}"),
            format!("it must not stand beside `{only}`"),
        )),
        (Some(value), None) => Ok(Some(Patterns::Only(checked(only, value)?))),
        (None, Some(value)) => Ok(Some(Patterns::AllBut(checked(all_but, value)?))),
        (None, None) => Ok(None),
    }
}

fn check_action(text: &str) -> Result<(), &'static str> {
    let is_name = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'*' || byte == b'?')
    };
    match text.split_once(':') {
        Some((service, name)) if is_name(name) && is_name(service) && !service.contains(['*', '?']) => Ok(()),
        None if text == "*" => Ok(()),
        _ => Err("an action must be `*` or `<service>:<action>`, such as `ecr:BatchGetImage`"),
    }
}

fn check_resource(text: &str) -> Result<(), &'static str> {
    if text.contains("${") {
        return Err("policy variables are not supported yet");
    }
    let mut parts = text.splitn(ARN_PARTS, ':');
    let is_arn = parts.next() == Some("arn") && parts.all(str::is_ascii) && text.matches(':').count() >= 5;
    if text == "*" || is_arn {
        Ok(())
    } else {
        Err("a resource must be `*` or an ARN, such as `arn:aws:ecr:*:*:repository/team-a/*`")
    }
}

fn parse_principals(value: &Value, at: &str) -> Result<Vec<PrincipalPattern>, PolicyError> {
    if value.as_str() == Some("*") {
        return Ok(vec![PrincipalPattern::Anybody]);
    }
    let object = members(value, at, &["AWS", "Service", "Federated"])?;
    if let Some(name) = ["Service", "Federated"]
        .into_iter()
        .find(|name| object.contains_key(*name))
    {
        return Err(member(
            &format!("{at}/{name}"),
            "principals of this kind are not supported yet",
        ));
    }
    let listed = object
        .get("AWS")
        .ok_or_else(|| member(at, "it must be `*` or name principals under `AWS`"))?;
    texts(listed, &format!("{at}/AWS"))?
        .into_iter()
        .map(|(at, text)| {
            parse_principal(text).ok_or_else(|| {
                member(
                    &at,
                    "it must be `*`, an account id, or the ARN of an account's root or of a user",
                )
            })
        })
        .collect()
}

fn parse_principal(text: &str) -> Option<PrincipalPattern> {
    if text == "*" {
        return Some(PrincipalPattern::Anybody);
    }
    if let Ok(account) = text.parse() {
        return Some(PrincipalPattern::Account(account));
    }
    let (account, name) = text.strip_prefix("arn:aws:iam::")?.split_once(':')?;
    let account = account.parse().ok()?;
    match name.strip_prefix("user/") {
        Some(name) => Some(PrincipalPattern::User(account, name.parse().ok()?)),
        None if name == "root" => Some(PrincipalPattern::Account(account)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity(statement: &str) -> Result<Policy, PolicyError> {
        Policy::parse_identity(&format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#))
    }

    #[test]
    fn documents_that_are_not_understood_are_refused_with_their_place() {
        let cases = [
            ("{", ""),
            ("[]", ""),
            (r#"{"Statement":[]}"#, "/Version"),
            (r#"{"Version":"2012-10-17","Statement":[]}"#, "/Statement"),
            (r#"{"Version":"2012-10-17","Statements":[]}"#, "/Statements"),
            (
                r#"{"Version":"2012-10-17","Statement":[{"Effect":"allow"}]}"#,
                "/Statement/0/Effect",
            ),
        ];
        for (text, pointer) in cases {
            assert_eq!(Policy::parse_identity(text).unwrap_err().pointer(), pointer, "{text}");
        }
        let cases = [
            (r#"{"Effect":"Allow","Action":"ecr:*"}"#, "/Statement/0/Resource"),
            (r#"{"Effect":"Allow","Resource":"*"}"#, "/Statement/0/Action"),
            (
                r#"{"Effect":"Allow","Action":[],"Resource":"*"}"#,
                "/Statement/0/Action",
            ),
            (
                r#"{"Effect":"Allow","Action":["ecr:*","PutImage"],"Resource":"*"}"#,
                "/Statement/0/Action/1",
            ),
            (
                r#"{"Effect":"Allow","Action":"ecr:*","NotAction":"ecr:*","Resource":"*"}"#,
                "/Statement/0/NotAction",
            ),
            (
                r#"{"Effect":"Allow","Action":"ecr:*","Resource":"web"}"#,
                "/Statement/0/Resource",
            ),
            (
                r#"{"Effect":"Deny","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/${aws:username}"}"#,
                "/Statement/0/Resource",
            ),
            (
                r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","Principal":"*"}"#,
                "/Statement/0/Principal",
            ),
            (
                r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{}}"#,
                "/Statement/0/Condition",
            ),
            (
                r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","Conditions":{}}"#,
                "/Statement/0/Conditions",
            ),
            (
                r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","a/b~":{}}"#,
                "/Statement/0/a~1b~0",
            ),
            (
                r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","Sid":1}"#,
                "/Statement/0/Sid",
            ),
        ];
        for (statement, pointer) in cases {
            assert_eq!(identity(statement).unwrap_err().pointer(), pointer, "{statement}");
        }
        assert!(matches!(
            Policy::parse_identity(&" ".repeat(MAX_POLICY_BYTES + 1)),
            Err(PolicyError::TooLong(_))
        ));
    }

    #[test]
    fn one_statement_may_stand_without_a_list() {
        let text = r#"{"Version":"2008-10-17","Id":"x","Statement":{"Sid":"Pull","Effect":"Allow","NotAction":"ecr:Delete*","Resource":"*"}}"#;
        let policy = Policy::parse_identity(text).unwrap();
        let [statement] = policy.statements() else {
            panic!("one statement")
        };
        assert_eq!((statement.sid(), statement.effect()), (Some("Pull"), Effect::Allow));
        assert!(statement.is_about(Action::PutImage, "*"));
        assert!(!statement.is_about(Action::DeleteRepository, "*"));
    }

    #[test]
    fn principals_are_parsed_strictly() {
        let cases = [
            (r#""*""#, true),
            (r#"{"AWS":"*"}"#, true),
            (
                r#"{"AWS":["111111111111","arn:aws:iam::111111111111:root","arn:aws:iam::111111111111:user/ada"]}"#,
                true,
            ),
            (r#"{"AWS":"arn:aws:iam::1:user/ada"}"#, false),
            (r#"{"AWS":"arn:aws:iam::111111111111:user/"}"#, false),
            (r#"{"Service":"lambda.amazonaws.com"}"#, false),
            (r#"{"AWS":[]}"#, false),
            (r"{}", false),
            (r#""111111111111""#, false),
        ];
        for (principal, valid) in cases {
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":"ecr:*"}}}}"#
            );
            assert_eq!(Policy::parse_resource(&text).is_ok(), valid, "{principal}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = (Policy::parse_identity(&text), Policy::parse_resource(&text));
        }

        #[test]
        fn parsing_statements_never_panics(
            effect in "Allow|Deny|x", action in "(ecr:)?[A-Za-z*?:]{0,12}", resource in "(arn:aws:ecr:)?[a-z*:/${}]{0,20}",
        ) {
            let _ = identity(&format!(r#"{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}"#));
        }
    }
}
