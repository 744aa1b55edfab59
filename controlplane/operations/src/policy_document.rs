// SPDX-License-Identifier: Apache-2.0
//! What holds for the text of every policy: that it is one, and that whoever it names is there.

use std::collections::BTreeSet;

use hythe_access::{RolePath, UserName};
use hythe_meta::{Store, StoreError};
use hythe_model::AccountId;
use hythe_rules::{Policy, PolicyError, PolicyGrammar};
use jiff::Timestamp;
use serde_json::Value;

/// Why a text was not taken as a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is none.
    #[error(transparent)]
    Invalid(#[from] PolicyError),
    /// It has more characters than such a policy may have.
    #[error("the policy has {characters} characters besides white space, and {most} is the most")]
    TooLong {
        /// So many.
        characters: usize,
        /// So many would do.
        most: usize,
    },
    /// It names a principal that is not there.
    #[error("{arn}")]
    PrincipalNotFound {
        /// Where it is named, as a JSON pointer into the document.
        pointer: String,
        /// The principal.
        arn: String,
    },
}

impl DocumentError {
    /// The place in the document, as a JSON pointer; empty for the whole.
    #[must_use]
    pub fn pointer(&self) -> &str {
        match self {
            Self::Invalid(error) => error.pointer(),
            Self::TooLong { .. } => "",
            Self::PrincipalNotFound { pointer, .. } => pointer,
        }
    }
}

/// Why a policy could not be checked, or is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A policy of a resource that may be stored.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) policy: Policy,
    /// As of when it is stored: now, or, if clocks differ, when the youngest of those it names was created. A user or a
    /// role is meant by it only if created by then, so that the next one of the same name does not inherit its rights.
    pub(crate) as_of: Timestamp,
}

/// Parses the policy of a resource, and looks up all that it names.
pub(crate) async fn check_resource_policy(
    store: &Store,
    text: &str,
    grammar: PolicyGrammar,
    now: Timestamp,
) -> Result<Checked, CheckError> {
    let policy = Policy::parse(text, grammar).map_err(DocumentError::from)?;
    let as_of = check_principals(store, text, now).await?;
    Ok(Checked { policy, as_of })
}

/// Looks up all principals that a document names. Returns when the youngest was created, or `now` if that is later.
pub(crate) async fn check_principals(store: &Store, text: &str, now: Timestamp) -> Result<Timestamp, CheckError> {
    let mut as_of = now;
    let mut seen = BTreeSet::new();
    for (pointer, name) in named_principals(text) {
        let Some(named) = Named::parse(&name) else { continue };
        if !seen.insert(name.clone()) {
            continue;
        }
        let Some(created_at) = named.created_at(store).await? else {
            return Err(DocumentError::PrincipalNotFound { pointer, arn: name }.into());
        };
        as_of = as_of.max(created_at);
    }
    Ok(as_of)
}

/// Somebody whom a document names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    Account(AccountId),
    User(AccountId, UserName),
    Role(RolePath),
}

impl Named {
    /// `None` for everybody, and for what the parser of policies has a say about.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(account) = text.parse() {
            return Some(Self::Account(account));
        }
        if let Some((account, session)) = text
            .strip_prefix("arn:aws:sts::")
            .and_then(|rest| rest.split_once(":assumed-role/"))
        {
            let (role, _) = session.split_once('/')?;
            return Some(Self::Role(RolePath {
                account: account.parse().ok()?,
                name: role.parse().ok()?,
            }));
        }
        let (account, name) = text.strip_prefix("arn:aws:iam::")?.split_once(':')?;
        let account: AccountId = account.parse().ok()?;
        if name == "root" {
            Some(Self::Account(account))
        } else if let Some(user) = name.strip_prefix("user/") {
            Some(Self::User(account, user.parse().ok()?))
        } else {
            let name = name.strip_prefix("role/")?.parse().ok()?;
            Some(Self::Role(RolePath { account, name }))
        }
    }

    /// When it was created; `None` if it is not there.
    async fn created_at(&self, store: &Store) -> Result<Option<Timestamp>, StoreError> {
        Ok(match self {
            Self::Account(account) => store.account(account).await?.map(|found| found.created_at),
            Self::User(account, name) => store.user(account, name).await?.map(|found| found.created_at),
            Self::Role(role) => {
                let found = store.role(&role.account, &role.name).await?;
                found.map(|found| found.created_at)
            }
        })
    }
}

/// The principals of the kind `AWS` that a document names, each with its place.
fn named_principals(text: &str) -> Vec<(String, String)> {
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        return Vec::new();
    };
    let statements = match document.get("Statement") {
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(n, statement)| (format!("/Statement/{n}"), statement))
            .collect(),
        Some(one) => vec![("/Statement".to_owned(), one)],
        None => Vec::new(),
    };
    let mut found = Vec::new();
    for (at, statement) in statements {
        for member in ["Principal", "NotPrincipal"] {
            let at = format!("{at}/{member}/AWS");
            match statement.get(member).and_then(|member| member.get("AWS")) {
                Some(Value::String(name)) => found.push((at, name.clone())),
                Some(Value::Array(names)) => found.extend(
                    names
                        .iter()
                        .enumerate()
                        .filter_map(|(n, name)| Some((format!("{at}/{n}"), name.as_str()?.to_owned()))),
                ),
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_principals_are_found_with_their_places() {
        let text = r#"{ "Version": "2012-10-17", "Statement": [
            { "Principal": "*" },
            { "Principal": { "AWS": "111111111111" } },
            { "NotPrincipal": { "AWS": ["*", "arn:aws:iam::111111111111:user\/ada"], "Service": "x" } } ] }"#;
        let found = named_principals(text);
        let found: Vec<(&str, &str)> = found.iter().map(|(at, name)| (at.as_str(), name.as_str())).collect();
        assert_eq!(
            found,
            [
                ("/Statement/1/Principal/AWS", "111111111111"),
                ("/Statement/2/NotPrincipal/AWS/0", "*"),
                ("/Statement/2/NotPrincipal/AWS/1", "arn:aws:iam::111111111111:user/ada"),
            ]
        );
        let one = r#"{"Statement":{"Principal":{"AWS":"111111111111"}}}"#;
        assert_eq!(named_principals(one)[0].0, "/Statement/Principal/AWS");
    }

    #[test]
    fn names_are_accounts_users_and_roles() {
        let account: AccountId = "111111111111".parse().unwrap();
        let role = || {
            Some(Named::Role(RolePath {
                account: "111111111111".parse().unwrap(),
                name: "ci".parse().unwrap(),
            }))
        };
        let cases = [
            ("111111111111", Some(Named::Account(account.clone()))),
            ("arn:aws:iam::111111111111:root", Some(Named::Account(account.clone()))),
            (
                "arn:aws:iam::111111111111:user/ada",
                Some(Named::User(account, "ada".parse().unwrap())),
            ),
            ("arn:aws:iam::111111111111:role/ci", role()),
            ("arn:aws:sts::111111111111:assumed-role/ci/run-1", role()),
            ("*", None),
            ("arn:aws:iam::111111111111:group/all", None),
        ];
        for (text, named) in cases {
            assert_eq!(Named::parse(text), named, "{text}");
        }
    }
}
