// SPDX-License-Identifier: Apache-2.0
//! Who sends a request.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hythe_model::{AccountId, ParseError};
use jiff::Timestamp;

use crate::{RoleName, SessionName, TokenScope, UserName};

/// The values of condition keys, by key.
pub type Attributes = BTreeMap<String, Vec<String>>;

/// A role of an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RolePath {
    /// The account.
    pub account: AccountId,
    /// The name of the role.
    pub name: RoleName,
}

/// The ARN, as in policies.
impl fmt::Display for RolePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "arn:aws:iam::{}:role/{}", self.account, self.name)
    }
}

impl std::str::FromStr for RolePath {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = || {
            let (account, name) = text.strip_prefix("arn:aws:iam::")?.split_once(":role/")?;
            Some(Self {
                account: account.parse().ok()?,
                name: name.parse().ok()?,
            })
        };
        let reason = "it must be the ARN of a role, such as `arn:aws:iam::000000000000:role/ci`";
        parts().ok_or_else(|| ParseError::new("role ARN", text, reason))
    }
}

/// Somebody who has taken on a role, for as long as the session lasts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleSession {
    /// The account of the role.
    pub account: AccountId,
    /// The role.
    pub role: RoleName,
    /// What its user calls the session.
    pub session: SessionName,
}

impl RoleSession {
    /// The role that was taken on.
    #[must_use]
    pub fn role_path(&self) -> RolePath {
        RolePath {
            account: self.account.clone(),
            name: self.role.clone(),
        }
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
    /// Somebody in a role of an account.
    Role(RoleSession),
}

impl Principal {
    /// The account of the principal; `None` for anonymous.
    #[must_use]
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Anonymous => None,
            Self::Root(account) | Self::User(account, _) | Self::Role(RoleSession { account, .. }) => Some(account),
        }
    }

    /// IAM's unique id (`aws:userid`), which is a name here: the account, the user, or role and session; `None` for anonymous.
    #[must_use]
    pub fn user_id(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Anonymous => None,
            Self::Root(account) => Some(account.as_str().into()),
            Self::User(_, name) => Some(name.as_str().into()),
            Self::Role(session) => Some(format!("{}:{}", session.role, session.session).into()),
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
            Self::Role(RoleSession { account, role, session }) => {
                write!(formatter, "arn:aws:sts::{account}:assumed-role/{role}/{session}")
            }
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
    /// When the session began, or the first of the tokens was made (`aws:TokenIssueTime`); `None` for an access key.
    pub issued_at: Option<Timestamp>,
    /// When the role of the session was created: one of the same name that was created later is another role.
    pub role_created_at: Option<Timestamp>,
    /// If somebody else made the token for a user, when that was created: another one of its name is another user, and the
    /// access key is that of whoever made it.
    pub user_created_at: Option<Timestamp>,
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
    /// The policy that a session of a role was limited to when it began: what it does not allow, the session may not do.
    pub session_policy: Option<Arc<str>>,
    /// What conditions may ask about the session: claims of the token it was opened with, and `aws:PrincipalTag/…`.
    pub attributes: Arc<Attributes>,
    /// The address of the client.
    pub source_ip: Option<IpAddr>,
    /// Whether the request came over TLS.
    pub is_secure: bool,
    /// What the client calls itself.
    pub user_agent: Option<Arc<str>>,
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
            session_policy: None,
            attributes: Arc::default(),
            source_ip: None,
            is_secure: false,
            user_agent: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_and_roles_have_their_arns() {
        let session = RoleSession {
            account: AccountId::default(),
            role: "ci".parse().unwrap(),
            session: "run-7@main".parse().unwrap(),
        };
        let role = session.role_path();
        assert_eq!(
            Principal::Role(session).to_string(),
            "arn:aws:sts::000000000000:assumed-role/ci/run-7@main"
        );
        assert_eq!(role.to_string(), "arn:aws:iam::000000000000:role/ci");
        assert_eq!(role.to_string().parse::<RolePath>().unwrap(), role);
        for text in [
            "",
            "ci",
            "arn:aws:iam::1:role/ci",
            "arn:aws:iam::000000000000:user/ci",
            "arn:aws:iam::000000000000:role/a/b",
        ] {
            assert!(text.parse::<RolePath>().is_err(), "{text}");
        }
    }
}
