// SPDX-License-Identifier: Apache-2.0
//! What accounts, users, groups, roles and policies have in common: names, references to policies, tags.

use std::collections::BTreeMap;

use hythe_model::AccountId;
use hythe_wire::{ManagedPolicy, ResourceTag};
use jiff::Timestamp;
use tfplugin::{Attr, Diagnostics, Path};

use crate::tags::{TagMap, check_tags};

/// The longest description, in characters (IAM).
const MAX_DESCRIPTION_CHARS: usize = 1000;

/// What Amazon puts before the names of ECR's managed policies.
const MANAGED_PREFIX: &str = "AmazonEC2ContainerRegistry";

/// Tags of users, roles and policies: what conditions see as `aws:PrincipalTag/<key>` and `aws:ResourceTag/<key>`.
pub(crate) type PrincipalTags = BTreeMap<String, String>;

/// Whether `text` can be the name of a user or role.
pub(crate) fn name_of_64(text: &str) -> Result<(), String> {
    check_name(text, 64)
}

/// Whether `text` can be the name of a group or policy.
pub(crate) fn name_of_128(text: &str) -> Result<(), String> {
    check_name(text, 128)
}

fn check_name(text: &str, max: usize) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if (1..=max).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(())
    } else {
        Err(format!("It must have 1 to {max} letters, digits and `_+=,.@-`."))
    }
}

/// Whether `text` can be a description.
pub(crate) fn description(text: &str) -> Result<(), String> {
    if text.chars().count() <= MAX_DESCRIPTION_CHARS {
        Ok(())
    } else {
        Err(format!("It must have at most {MAX_DESCRIPTION_CHARS} characters."))
    }
}

/// Whether `text` is the ARN of a policy.
pub(crate) fn policy_arn(text: &str) -> Result<(), String> {
    let parts = text
        .strip_prefix("arn:aws:iam::")
        .and_then(|rest| rest.split_once(":policy/"));
    match parts {
        Some((account, name))
            if (account == "aws" || account.parse::<AccountId>().is_ok()) && check_name(name, 128).is_ok() =>
        {
            Ok(())
        }
        _ => Err(format!(
            "`{text}` is not the ARN of a policy: it looks like `arn:aws:iam::000000000000:policy/deploy`, or \
             `arn:aws:iam::aws:policy/ReadOnly` for one that every account has."
        )),
    }
}

/// The account and the name in the ARN of a role.
pub(crate) fn role_of(arn: &str) -> Result<(AccountId, &str), String> {
    let parts = arn
        .strip_prefix("arn:aws:iam::")
        .and_then(|rest| rest.split_once(":role/"));
    let parts = parts.and_then(|(account, name)| Some((account.parse().ok()?, name)));
    parts
        .filter(|(_, name)| check_name(name, 64).is_ok())
        .ok_or_else(|| format!("`{arn}` is not the ARN of a role: it looks like `arn:aws:iam::000000000000:role/ci`."))
}

/// Whether `text` is the ARN of a user or a role.
pub(crate) fn user_or_role_arn(text: &str) -> Result<(), String> {
    let parts = text.strip_prefix("arn:aws:iam::").and_then(|rest| {
        let (account, rest) = rest.split_once(':')?;
        Some((account, rest.strip_prefix("user/").or(rest.strip_prefix("role/"))?))
    });
    match parts {
        Some((account, name)) if account.parse::<AccountId>().is_ok() && check_name(name, 64).is_ok() => Ok(()),
        _ => Err(format!(
            "`{text}` is not the ARN of a user or a role: it looks like `arn:aws:iam::000000000000:role/ci`."
        )),
    }
}

/// Whether two ARNs name the same policy: managed ones have Amazon's names too.
pub(crate) fn same_policy(a: &str, b: &str) -> bool {
    a == b || managed(a).is_some_and(|name| managed(b) == Some(name))
}

/// The ARN of a policy that the server names by its ARN or by its name.
pub(crate) fn arn_of_policy(reference: &str, account: &str) -> String {
    if reference.starts_with("arn:") {
        return reference.to_owned();
    }
    let owner = managed_name(reference).map_or(account, |_| "aws");
    format!("arn:aws:iam::{owner}:policy/{reference}")
}

/// The short name of the managed policy with this ARN.
fn managed(arn: &str) -> Option<&'static str> {
    managed_name(arn.strip_prefix("arn:aws:iam::aws:policy/")?)
}

fn managed_name(name: &str) -> Option<&'static str> {
    let short = name.strip_prefix(MANAGED_PREFIX).unwrap_or(name);
    ManagedPolicy::ALL.iter().map(|it| it.as_str()).find(|it| *it == short)
}

/// The account in an ARN; none in that of a managed policy.
pub(crate) fn account_of(arn: &str) -> Option<String> {
    let account = arn.split(':').nth(4)?;
    account.parse::<AccountId>().ok().map(|account| account.to_string())
}

/// Whether `text` is a point in time.
pub(crate) fn timestamp(text: &str) -> Result<(), String> {
    let parsed = text.parse::<Timestamp>();
    parsed
        .map(drop)
        .map_err(|_| format!("`{text}` is no time: it looks like `2027-01-31T12:00:00Z` (RFC 3339)."))
}

/// Whether two texts are the same point in time.
pub(crate) fn same_time(a: &str, b: &str) -> bool {
    matches!((a.parse::<Timestamp>(), b.parse::<Timestamp>()), (Ok(a), Ok(b)) if a == b)
}

pub(crate) fn tags_from(server: Vec<ResourceTag>) -> PrincipalTags {
    server.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

pub(crate) fn tags_to(tags: &PrincipalTags) -> Vec<ResourceTag> {
    crate::tags::to_wire(tags)
}

/// Checks tags at `path`, as far as they are known.
pub(crate) fn check_principal_tags(tags: &Attr<PrincipalTags>, path: &Path) -> Diagnostics {
    let tags: Attr<TagMap> = tags
        .clone()
        .map(|tags| tags.into_iter().map(|(key, value)| (key, value.into())).collect());
    check_tags(&tags, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_known_by_their_arns() {
        let cases = [
            ("arn:aws:iam::aws:policy/ReadOnly", true),
            ("arn:aws:iam::000000000000:policy/deploy", true),
            ("arn:aws:iam::000000000000:policy/", false),
            ("arn:aws:iam::0:policy/deploy", false),
            ("arn:aws:iam::000000000000:role/deploy", false),
            ("deploy", false),
        ];
        for (arn, valid) in cases {
            assert_eq!(policy_arn(arn).is_ok(), valid, "{arn}");
        }
        let read_only = "arn:aws:iam::aws:policy/ReadOnly";
        assert!(same_policy(
            read_only,
            "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
        ));
        assert!(!same_policy(read_only, "arn:aws:iam::aws:policy/PullOnly"));
        assert!(!same_policy(read_only, "arn:aws:iam::000000000000:policy/ReadOnly"));
        assert_eq!(arn_of_policy("ReadOnly", "000000000000"), read_only);
        assert_eq!(
            arn_of_policy("deploy", "000000000000"),
            "arn:aws:iam::000000000000:policy/deploy"
        );
        assert_eq!(arn_of_policy(read_only, "000000000000"), read_only);
        assert_eq!(account_of(read_only), None);
        assert_eq!(
            account_of("arn:aws:iam::000000000000:user/a").as_deref(),
            Some("000000000000")
        );
    }

    #[test]
    fn users_and_roles_are_known_by_their_arns() {
        for (arn, valid) in [
            ("arn:aws:iam::000000000000:role/ci", true),
            ("arn:aws:iam::000000000000:user/ada", true),
            ("arn:aws:iam::000000000000:root", false),
            ("arn:aws:iam::000000000000:user/", false),
            ("arn:aws:iam::0:user/ada", false),
            ("arn:aws:sts::000000000000:assumed-role/ci/run", false),
            ("ada", false),
        ] {
            assert_eq!(user_or_role_arn(arn).is_ok(), valid, "{arn}");
        }
    }

    #[test]
    fn names_and_times_are_checked_offline() {
        for (name, valid) in [
            ("a", true),
            ("a.b@c", true),
            ("", false),
            ("a/b", false),
            ("a b", false),
        ] {
            assert_eq!(name_of_64(name).is_ok(), valid, "{name}");
        }
        assert!(name_of_64(&"a".repeat(65)).is_err() && name_of_128(&"a".repeat(65)).is_ok());
        assert!(timestamp("2027-01-31T12:00:00Z").is_ok() && timestamp("tomorrow").is_err());
        assert!(same_time("2027-01-31T12:00:00Z", "2027-01-31T13:00:00+01:00"));
        assert!(!same_time("2027-01-31T12:00:00Z", "2027-01-31T12:00:01Z"));
    }
}
