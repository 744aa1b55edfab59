// SPDX-License-Identifier: Apache-2.0
//! Pulls, for whoever wants to know when an image was last of use to somebody.

use std::fmt;

use hythe_model::{AccountId, Digest, ParseError, RepositoryPath};
use jiff::Timestamp;

use crate::{Principal, RolePath, UserName};

/// Takes note of pulls.
pub trait PullLog: fmt::Debug + Send + Sync {
    /// `by` has read the manifest of `image`, in whatever form it was given out. Never waits.
    fn pulled(&self, by: &Principal, repository: &RepositoryPath, image: &Digest, at: Timestamp);
}

/// A user or a role, as IAM names them: what a session of a role does, the role does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalArn {
    /// A user of an account.
    User(AccountId, UserName),
    /// A role.
    Role(RolePath),
}

impl PrincipalArn {
    /// The user or the role that somebody is; `None` for the administrator of an account, and for nobody.
    #[must_use]
    pub fn of(principal: &Principal) -> Option<Self> {
        match principal {
            Principal::Anonymous | Principal::Root(_) => None,
            Principal::User(account, name) => Some(Self::User(account.clone(), name.clone())),
            Principal::Role(session) => Some(Self::Role(session.role_path())),
        }
    }
}

/// The ARN, as in policies.
impl fmt::Display for PrincipalArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(account, name) => write!(formatter, "arn:aws:iam::{account}:user/{name}"),
            Self::Role(role) => role.fmt(formatter),
        }
    }
}

impl std::str::FromStr for PrincipalArn {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let user = || {
            let (account, name) = text.strip_prefix("arn:aws:iam::")?.split_once(":user/")?;
            Some(Self::User(account.parse().ok()?, name.parse().ok()?))
        };
        let role = || text.parse().ok().map(Self::Role);
        let reason = "it must be the ARN of a user or a role, such as `arn:aws:iam::000000000000:role/ci`";
        user()
            .or_else(role)
            .ok_or_else(|| ParseError::new("principal ARN", text, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_roles_are_read_as_they_are_written() {
        for arn in [
            "arn:aws:iam::000000000000:user/ada",
            "arn:aws:iam::000000000000:role/ci",
        ] {
            assert_eq!(arn.parse::<PrincipalArn>().unwrap().to_string(), arn);
        }
        for text in [
            "",
            "ada",
            "arn:aws:iam::000000000000:root",
            "arn:aws:iam::000000000000:group/builders",
            "arn:aws:iam::0:user/ada",
            "arn:aws:iam::000000000000:user/",
            "arn:aws:iam::000000000000:role/a/b",
            "arn:aws:sts::000000000000:assumed-role/ci/run-7",
        ] {
            assert!(text.parse::<PrincipalArn>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_session_is_its_role() {
        let of = |arn: &str| PrincipalArn::of(&arn.parse().unwrap()).map(|arn| arn.to_string());
        let cases = [
            (
                "arn:aws:sts::000000000000:assumed-role/ci/run-7",
                Some("arn:aws:iam::000000000000:role/ci"),
            ),
            (
                "arn:aws:iam::000000000000:user/ada",
                Some("arn:aws:iam::000000000000:user/ada"),
            ),
            ("arn:aws:iam::000000000000:root", None),
        ];
        for (principal, wanted) in cases {
            assert_eq!(of(principal).as_deref(), wanted);
        }
        assert_eq!(PrincipalArn::of(&Principal::Anonymous), None);
    }
}
