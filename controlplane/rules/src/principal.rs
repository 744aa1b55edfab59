// SPDX-License-Identifier: Apache-2.0
//! Principals as policies of resources name them.

use std::collections::BTreeMap;
use std::fmt;

use hythe_access::{Principal, RolePath, RoleSession, UserName};
use hythe_model::AccountId;
use serde_json::{Value, json};

use crate::PolicyError;
use crate::context::Requester;
use crate::json::Node;

/// One entry of `Principal` or `NotPrincipal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalPattern {
    /// `*`: everybody, also without credentials. What is allowed to everybody is not allowed to identity providers and
    /// services, which are always named; what is denied to everybody is denied to them, too.
    Anybody,
    /// An account: everybody in it, as far as its own identity policies let them.
    Account(AccountId),
    /// One user.
    User(AccountId, UserName),
    /// One role, in all its sessions.
    Role(RolePath),
    /// One session of a role.
    Session(RoleSession),
    /// A service.
    Service(String),
    /// An identity provider, by its ARN.
    Federated(String),
}

/// How a statement names who asks, from not at all to by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Naming {
    Not,
    /// Through its account, which leaves it to the account's identity policies who in it may.
    Account,
    /// Through its role, whose boundary and session policies stay in force.
    Role,
    /// By its own ARN, or with everybody.
    Itself,
}

/// The principals of a statement.
#[derive(Clone, Debug)]
pub(crate) struct Principals {
    /// Sorted, so that a look-up does not grow with their number.
    listed: Box<[PrincipalPattern]>,
    has_anybody: bool,
    /// Whether they are the exceptions (`NotPrincipal`).
    is_all_but: bool,
}

impl PrincipalPattern {
    /// Its kind and its names: what tells it from all others.
    fn key(&self) -> (u8, &str, &str, &str) {
        match self {
            Self::Anybody => (0, "", "", ""),
            Self::Account(account) => (1, account.as_str(), "", ""),
            Self::User(account, name) => (2, account.as_str(), name.as_str(), ""),
            Self::Role(role) => (3, role.account.as_str(), role.name.as_str(), ""),
            Self::Session(RoleSession { account, role, session }) => {
                (4, account.as_str(), role.as_str(), session.as_str())
            }
            Self::Service(name) => (5, name, "", ""),
            Self::Federated(arn) => (6, arn, "", ""),
        }
    }

    /// Whether it names `principal` itself: the user, or the role in any session. Not its account, and not everybody.
    pub(crate) fn is(&self, principal: &Principal) -> bool {
        match (self, principal) {
            (Self::User(account, name), Principal::User(of, user)) => account == of && name == user,
            (Self::Role(role), Principal::Role(session)) => *role == session.role_path(),
            (Self::Session(one), Principal::Role(session)) => {
                one.account == session.account && one.role == session.role
            }
            _ => false,
        }
    }

    /// A principal of the kind `AWS`.
    fn parse_aws(text: &str) -> Result<Self, String> {
        let parsed = || {
            if text == "*" {
                return Some(Self::Anybody);
            }
            if let Ok(account) = text.parse() {
                return Some(Self::Account(account));
            }
            if let Some((account, session)) = text.strip_prefix("arn:aws:sts::").and_then(|rest| rest.split_once(':')) {
                let (role, session) = session.strip_prefix("assumed-role/")?.split_once('/')?;
                return Some(Self::Session(RoleSession {
                    account: account.parse().ok()?,
                    role: role.parse().ok()?,
                    session: session.parse().ok()?,
                }));
            }
            let (account, name) = text.strip_prefix("arn:aws:iam::")?.split_once(':')?;
            let account = account.parse().ok()?;
            match name.split_once('/') {
                Some(("user", name)) => Some(Self::User(account, name.parse().ok()?)),
                Some(("role", name)) => Some(Self::Role(RolePath {
                    account,
                    name: name.parse().ok()?,
                })),
                None if name == "root" => Some(Self::Account(account)),
                _ => None,
            }
        };
        parsed().ok_or_else(|| {
            "it must be `*`, an account id, or the ARN of an account's root, of a user, of a role or of a session of a role, \
             without wildcards"
                .to_owned()
        })
    }

    fn parse_service(text: &str) -> Result<Self, String> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if (1..=128).contains(&text.len()) && text.contains('.') && text.bytes().all(is_allowed) {
            Ok(Self::Service(text.to_owned()))
        } else {
            Err("it must be the name of a service, such as `lambda.amazonaws.com`".to_owned())
        }
    }

    fn parse_federated(text: &str) -> Result<Self, String> {
        let is_arn = || {
            let (account, name) = text.strip_prefix("arn:aws:iam::")?.split_once(":oidc-provider/")?;
            let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"*?${}".contains(&byte);
            Some(AccountId::matches(account) && !name.is_empty() && name.bytes().all(is_allowed))
        };
        if is_arn() == Some(true) {
            Ok(Self::Federated(text.to_owned()))
        } else {
            Err("it must be the ARN of an identity provider, such as \
                 `arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com`"
                .to_owned())
        }
    }
}

/// As it is written under `AWS`, `Service` or `Federated`.
impl std::str::FromStr for PrincipalPattern {
    type Err = hythe_model::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let others = || Self::parse_federated(text).or_else(|_| Self::parse_service(text));
        let reason = "it must be the ARN of a user, a role, a session of a role, an account's root or an identity provider, \
                      an account id, the name of a service, or `*`";
        let not_valid = |_| hythe_model::ParseError::new("principal", text, reason);
        Self::parse_aws(text).or_else(|_| others()).map_err(not_valid)
    }
}

/// The spelling of the canonical form.
impl fmt::Display for PrincipalPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => formatter.write_str("*"),
            Self::Account(account) => write!(formatter, "arn:aws:iam::{account}:root"),
            Self::User(account, name) => write!(formatter, "arn:aws:iam::{account}:user/{name}"),
            Self::Role(role) => role.fmt(formatter),
            Self::Session(session) => Principal::Role(session.clone()).fmt(formatter),
            Self::Service(name) => formatter.write_str(name),
            Self::Federated(arn) => formatter.write_str(arn),
        }
    }
}

impl Principals {
    pub(crate) fn parse(node: &Node, at: &str, is_all_but: bool) -> Result<Self, PolicyError> {
        let listed = if node.as_text() == Some("*") {
            vec![PrincipalPattern::Anybody]
        } else if node.as_text().is_some() {
            return Err(PolicyError::member(
                at,
                "it must be `*` or an object such as `{\"AWS\": …}`",
            ));
        } else {
            parse_kinds(node, at)?
        };
        Ok(Self::of(listed, is_all_but))
    }

    fn of(mut listed: Vec<PrincipalPattern>, is_all_but: bool) -> Self {
        listed.sort_by(|left, right| left.key().cmp(&right.key()));
        listed.dedup();
        Self {
            has_anybody: listed.contains(&PrincipalPattern::Anybody),
            listed: listed.into(),
            is_all_but,
        }
    }

    /// The same without a user, or without a role and all its sessions.
    pub(crate) fn without(&self, principal: &Principal) -> Self {
        let others = self.listed.iter().filter(|listed| !listed.is(principal)).cloned();
        Self {
            listed: others.collect(),
            ..self.clone()
        }
    }

    pub(crate) fn listed(&self) -> &[PrincipalPattern] {
        &self.listed
    }

    pub(crate) fn is_all_but(&self) -> bool {
        self.is_all_but
    }

    /// The one form that all spellings have.
    pub(crate) fn canonical(&self) -> Value {
        if let [PrincipalPattern::Anybody] = &*self.listed {
            return "*".into();
        }
        let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for principal in &self.listed {
            let kind = match principal {
                PrincipalPattern::Service(_) => "Service",
                PrincipalPattern::Federated(_) => "Federated",
                PrincipalPattern::Anybody
                | PrincipalPattern::Account(_)
                | PrincipalPattern::User(..)
                | PrincipalPattern::Role(_)
                | PrincipalPattern::Session(_) => "AWS",
            };
            kinds.entry(kind).or_default().push(principal.to_string());
        }
        json!(kinds)
    }

    /// Whether it is about everybody, or about everybody with exceptions.
    pub(crate) fn is_about_anybody(&self) -> bool {
        self.has_anybody != self.is_all_but
    }

    /// The strongest way in which it names who asks. `is_denial`: whether the statement denies.
    pub(crate) fn naming(&self, requester: &Requester<'_>, owner: &AccountId, is_denial: bool) -> Naming {
        if !self.is_all_but {
            // A denial for everybody must not leave anybody out.
            return if is_denial && self.has_anybody {
                Naming::Itself
            } else {
                self.listing(requester, owner)
            };
        }
        // An identity provider or a service is let in by its name, and never as one of all those that have none here.
        if !is_denial && requester.principal().is_none() {
            return Naming::Not;
        }
        // With `NotPrincipal`, all that somebody is must be among the exceptions to be excepted from a denial: a user and
        // its account, a session, its role and its account (IAM, "NotPrincipal with Deny"). From what is allowed to
        // everybody else, on the other hand, any one of them excepts.
        let is_excepted = if is_denial {
            self.lists_all_of(requester)
        } else {
            self.listing(requester, owner) > Naming::Not
        };
        if is_excepted { Naming::Not } else { Naming::Itself }
    }

    fn listing(&self, requester: &Requester<'_>, owner: &AccountId) -> Naming {
        match requester {
            Requester::Administrator(_) if self.lists((1, owner.as_str(), "", "")) => Naming::Itself,
            Requester::Principal(principal) | Requester::Administrator(principal) => self.naming_of(principal),
            Requester::Service(name) if self.lists((5, name, "", "")) => Naming::Itself,
            Requester::Federated(arn) if self.lists((6, arn, "", "")) => Naming::Itself,
            Requester::Service(_) | Requester::Federated(_) => Naming::Not,
        }
    }

    fn naming_of(&self, principal: &Principal) -> Naming {
        if self.has_anybody {
            return Naming::Itself;
        }
        let by_account = |account: &AccountId| {
            if self.lists((1, account.as_str(), "", "")) {
                Naming::Account
            } else {
                Naming::Not
            }
        };
        match principal {
            Principal::Root(account) if self.lists((1, account.as_str(), "", "")) => Naming::Itself,
            Principal::Anonymous | Principal::Root(_) => Naming::Not,
            Principal::User(account, name) if self.lists((2, account.as_str(), name.as_str(), "")) => Naming::Itself,
            Principal::User(account, _) => by_account(account),
            Principal::Role(RoleSession { account, role, session }) => {
                if self.lists((4, account.as_str(), role.as_str(), session.as_str())) {
                    Naming::Itself
                } else if self.lists((3, account.as_str(), role.as_str(), "")) {
                    Naming::Role
                } else {
                    by_account(account)
                }
            }
        }
    }

    fn lists_all_of(&self, requester: &Requester<'_>) -> bool {
        match requester {
            _ if self.has_anybody => true,
            Requester::Service(name) => self.lists((5, name, "", "")),
            Requester::Federated(arn) => self.lists((6, arn, "", "")),
            Requester::Principal(principal) | Requester::Administrator(principal) => match principal {
                Principal::Anonymous => false,
                Principal::Root(account) => self.lists((1, account.as_str(), "", "")),
                Principal::User(account, name) => {
                    self.lists((1, account.as_str(), "", "")) && self.lists((2, account.as_str(), name.as_str(), ""))
                }
                Principal::Role(RoleSession { account, role, session }) => {
                    self.lists((1, account.as_str(), "", ""))
                        && self.lists((3, account.as_str(), role.as_str(), ""))
                        && self.lists((4, account.as_str(), role.as_str(), session.as_str()))
                }
            },
        }
    }

    fn lists(&self, key: (u8, &str, &str, &str)) -> bool {
        self.listed.binary_search_by(|pattern| pattern.key().cmp(&key)).is_ok()
    }
}

fn parse_kinds(node: &Node, at: &str) -> Result<Vec<PrincipalPattern>, PolicyError> {
    type Parse = fn(&str) -> Result<PrincipalPattern, String>;
    const KINDS: [(&str, Parse); 3] = [
        ("AWS", PrincipalPattern::parse_aws),
        ("Service", PrincipalPattern::parse_service),
        ("Federated", PrincipalPattern::parse_federated),
    ];
    let members = node.known_members(at, &KINDS.map(|(name, _)| name))?;
    let mut listed = Vec::new();
    for (name, parse) in KINDS {
        let Some(named) = members.get(name) else { continue };
        for (at, text) in named.texts(&format!("{at}/{name}"))? {
            listed.push(parse(text).map_err(|reason| PolicyError::member(&at, reason))?);
        }
    }
    if listed.is_empty() {
        return Err(PolicyError::member(
            at,
            "it must be `*` or name principals under `AWS`, `Service` or `Federated`",
        ));
    }
    Ok(listed)
}
