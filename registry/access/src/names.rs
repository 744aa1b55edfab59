// SPDX-License-Identifier: Apache-2.0
//! What users, groups, roles, policies and sessions may be called.

use std::fmt;
use std::sync::Arc;

use hythe_model::ParseError;
use serde::{Deserialize, Serialize};

macro_rules! names {
    ($( $(#[$doc:meta])* $name:ident, $what:literal, $least:literal to $most:literal; )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if ($least..=$most).contains(&text.len()) && text.bytes().all(is_allowed) {
                    Ok(Self(text.into()))
                } else {
                    let reason = concat!("it must have ", $least, " to ", $most, " letters, digits and `_+=,.@-`");
                    Err(ParseError::new($what, text, reason))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    )* };
}

names! {
    /// The name of a user within an account.
    ///
    /// Invariant: 1 to 64 of letters, digits and `_+=,.@-` (IAM, "IAM object quotas").
    UserName, "user name", 1 to 64;
    /// The name of a group within an account.
    ///
    /// Invariant: 1 to 128 of letters, digits and `_+=,.@-` (IAM, "IAM object quotas").
    GroupName, "group name", 1 to 128;
    /// The name of a role within an account.
    ///
    /// Invariant: 1 to 64 of letters, digits and `_+=,.@-` (IAM, "IAM object quotas").
    RoleName, "role name", 1 to 64;
    /// The name of a policy within an account.
    ///
    /// Invariant: 1 to 128 of letters, digits and `_+=,.@-` (IAM, "IAM object quotas").
    PolicyName, "policy name", 1 to 128;
    /// What somebody who takes on a role calls the session.
    ///
    /// Invariant: 2 to 64 of letters, digits and `_+=,.@-` (STS, `AssumeRole`, `RoleSessionName`).
    SessionName, "role session name", 2 to 64;
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_lengths_and_letters() {
        assert!("a".parse::<UserName>().is_ok() && "a".parse::<SessionName>().is_err());
        assert!("Team_+=,.@-7".parse::<GroupName>().is_ok());
        assert!("x".repeat(64).parse::<RoleName>().is_ok() && "x".repeat(65).parse::<RoleName>().is_err());
        assert!("x".repeat(128).parse::<PolicyName>().is_ok() && "x".repeat(129).parse::<PolicyName>().is_err());
        for text in ["", "a b", "a/b", "ä", "a*"] {
            assert!(text.parse::<UserName>().is_err(), "{text}");
        }
        let error = "".parse::<SessionName>().unwrap_err().to_string();
        assert!(error.contains("2 to 64"), "{error}");
    }
}
