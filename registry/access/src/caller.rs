// SPDX-License-Identifier: Apache-2.0
//! Who sends a request.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hythe_model::{AccountId, ParseError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::TokenScope;

/// The name of a user within an account.
///
/// Invariant: 1 to 64 of letters, digits and `_+=,.@-` (IAM, "IAM object quotas").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(Arc<str>);

impl UserName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for UserName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.into()))
        } else {
            Err(ParseError::new(
                "user name",
                text,
                "it must have 1 to 64 letters, digits and `_+=,.@-`",
            ))
        }
    }
}

impl TryFrom<String> for UserName {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whose rights count for a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// Nobody: the request carried no credentials.
    Anonymous,
    /// The administrator of an account.
    Root(AccountId),
    /// A user of an account.
    User(AccountId, UserName),
}

impl Principal {
    /// The account of the principal; `None` for anonymous.
    #[must_use]
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Anonymous => None,
            Self::Root(account) | Self::User(account, _) => Some(account),
        }
    }

    /// Whether the request carried no credentials.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }
}

/// The ARN, as in policies and in error texts; `*` for anonymous.
impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("*"),
            Self::Root(account) => write!(formatter, "arn:aws:iam::{account}:root"),
            Self::User(account, name) => write!(formatter, "arn:aws:iam::{account}:user/{name}"),
        }
    }
}

/// Where the credentials of a request come from: what is made with them ends with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The access key that everything started from.
    pub access_key_id: Option<String>,
    /// The ids of the tokens on the way, oldest first; the last is that of the request's own token.
    pub token_ids: Vec<String>,
    /// When the credentials end at the latest; `None` for an access key.
    pub expires_at: Option<Timestamp>,
}

/// A request's sender: the principal, what its token is limited to, and the request's circumstances. Clones are
/// cheap: they share everything.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose rights count.
    pub principal: Principal,
    /// What the token allows at most, each entry a further limit; empty for no limit.
    pub scopes: Arc<Vec<TokenScope>>,
    /// The id of the token, if the request carried one; for its revocation.
    pub token_id: Option<Arc<str>>,
    /// Where the credentials come from; filled in and read by the gate.
    pub lineage: Arc<Lineage>,
    /// The address of the client.
    pub source_ip: Option<IpAddr>,
    /// Whether the request came over TLS.
    pub is_secure: bool,
}

impl Caller {
    /// A caller without credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::of(Principal::Anonymous)
    }

    /// A caller with all rights of `principal` and unknown circumstances.
    #[must_use]
    pub fn of(principal: Principal) -> Self {
        Self {
            principal,
            scopes: Arc::default(),
            token_id: None,
            lineage: Arc::default(),
            source_ip: None,
            is_secure: false,
        }
    }
}
