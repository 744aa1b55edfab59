// SPDX-License-Identifier: Apache-2.0
//! Principals out of their ARNs.

use std::str::FromStr;

use hythe_model::ParseError;

use crate::{Principal, RoleSession};

/// Reads what `Display` writes. Nobody has an ARN for who is nobody.
impl FromStr for Principal {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| {
            let reason = "it must be the ARN of an account's root, a user or a session of a role";
            ParseError::new("principal ARN", text, reason)
        })
    }
}

fn parse(text: &str) -> Option<Principal> {
    if let Some(rest) = text.strip_prefix("arn:aws:sts::") {
        let (account, rest) = rest.split_once(":assumed-role/")?;
        let (role, session) = rest.split_once('/')?;
        return Some(Principal::Role(RoleSession {
            account: account.parse().ok()?,
            role: role.parse().ok()?,
            session: session.parse().ok()?,
        }));
    }
    let (account, rest) = text.strip_prefix("arn:aws:iam::")?.split_once(':')?;
    let account = account.parse().ok()?;
    match rest.strip_prefix("user/") {
        Some(name) => Some(Principal::User(account, name.parse().ok()?)),
        None => (rest == "root").then_some(Principal::Root(account)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_read_as_they_are_written() {
        for arn in [
            "arn:aws:iam::000000000000:root",
            "arn:aws:iam::000000000000:user/alice",
            "arn:aws:sts::000000000000:assumed-role/ci/run-1",
        ] {
            assert_eq!(arn.parse::<Principal>().unwrap().to_string(), arn);
        }
        for text in [
            "",
            "anonymous",
            "arn:aws:iam::0:root",
            "arn:aws:iam::000000000000:role/ci",
            "arn:aws:sts::000000000000:assumed-role/ci",
        ] {
            assert!(text.parse::<Principal>().is_err(), "{text}");
        }
    }
}
