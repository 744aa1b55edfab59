// SPDX-License-Identifier: Apache-2.0
//! The name of a repository, alone and within its account.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::parsed_text;
use crate::{AccountId, ParseError};

/// The name of a repository, such as `team-a/web`.
///
/// Invariant: 2 to 256 bytes (ECR `RepositoryName`) that match `<name>` in the OCI Distribution
/// Specification 1.1, "Pulling manifests": lower-case segments, parted by `/`, in which a single `.`,
/// one or two `_` or any run of `-` stands between letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName(Arc<str>);

const PATTERN: &str = r"^(?=.{2,256}$)[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$";

impl RepositoryName {
    fn check(text: &str) -> Result<(), ParseError> {
        let fail = |rule| Err(ParseError::new("repository name", text, rule));
        if !(2..=256).contains(&text.len()) {
            return fail("it must have 2 to 256 characters");
        }
        if !text.split('/').all(is_path_component) {
            return fail(
                "each part between `/` must be lower-case letters and digits, parted by single `.`, one or two `_`, or `-`",
            );
        }
        Ok(())
    }
}

parsed_text!(RepositoryName, "repository name", PATTERN);

/// Whether `part` is `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
pub(crate) fn is_path_component(part: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = part.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| is_word(byte)).count();
        if word == 0 {
            return false;
        }
        rest = rest.get(word..).unwrap_or_default();
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|byte| !is_word(byte)).count();
        let (mark, tail) = rest.split_at(separator);
        if !(matches!(mark, b"." | b"_" | b"__") || mark.iter().all(|byte| *byte == b'-')) {
            return false;
        }
        rest = tail;
    }
}

/// A repository within the deployment: the account that owns it, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryPath {
    /// The account that owns the registry that holds the repository.
    pub account: AccountId,
    /// The name of the repository in that registry.
    pub name: RepositoryName,
}

impl fmt::Display for RepositoryPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.account, self.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repository_names_follow_the_grammar() {
        let long = format!("a/{}", "b".repeat(254));
        let too_long = format!("a/{}", "b".repeat(255));
        let cases = [
            ("web", true),
            ("team-a/web", true),
            ("a.b_c__d---e/f0", true),
            ("00", true),
            (long.as_str(), true),
            (too_long.as_str(), false),
            ("a", false),
            ("", false),
            ("Web", false),
            ("a//b", false),
            ("/ab", false),
            ("ab/", false),
            ("a..b", false),
            ("a___b", false),
            ("a._b", false),
            ("-ab", false),
            ("ab-", false),
            ("a b", false),
            ("äb", false),
            ("..", false),
            ("a/../b", false),
        ];
        for (text, valid) in cases {
            assert_eq!(text.parse::<RepositoryName>().is_ok(), valid, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            if let Ok(name) = text.parse::<RepositoryName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        #[test]
        fn generated_names_are_accepted(text in "[a-z0-9]{2,8}((\\.|_|__|-{1,4})[a-z0-9]{1,4}){0,3}(/[a-z0-9]{1,8}){0,3}") {
            prop_assert!(text.parse::<RepositoryName>().is_ok());
        }
    }
}
