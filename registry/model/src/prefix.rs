// SPDX-License-Identifier: Apache-2.0
//! What a rule or a template for repositories that are not there yet is for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::repository::is_path_component;
use crate::text::parsed_text;
use crate::{ParseError, RepositoryName};

/// The beginning of names of repositories, such as `team-a`, which ends before a `/`; or `ROOT` for the whole registry.
///
/// Invariant: 1 to 256 bytes (ECR `Prefix`), either `ROOT` or segments as a [`RepositoryName`] has them. ECR also takes a
/// `/` at the end, which changes nothing; here it is refused, so that one prefix has one spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryPrefix(Arc<str>);

const PATTERN: &str = r"^(?=.{1,256}$)([a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*|ROOT)$";
const ROOT: &str = "ROOT";

impl RepositoryPrefix {
    /// That of the whole registry.
    #[must_use]
    pub fn root() -> Self {
        Self(ROOT.into())
    }

    /// Whether it stands for the whole registry.
    #[must_use]
    pub fn is_root(&self) -> bool {
        &*self.0 == ROOT
    }

    /// Whether repositories of this name are meant: `prod` means `prod/web`, neither `prod` nor `production/web`.
    #[must_use]
    pub fn contains(&self, name: &RepositoryName) -> bool {
        let below = name.as_str().strip_prefix(&*self.0);
        self.is_root() || below.is_some_and(|rest| rest.starts_with('/'))
    }

    /// What comes after it in a name, or in a prefix: nothing if it is the same, else what follows the `/`; `None` if the name
    /// is not below it. Everything is below `ROOT`.
    #[must_use]
    pub fn rest_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        if self.is_root() {
            return Some(name);
        }
        match name.strip_prefix(&*self.0)? {
            "" => Some(""),
            rest => rest.strip_prefix('/'),
        }
    }

    /// How much of a name it fixes: of two that contain a name, the one with more decides.
    #[must_use]
    pub fn specificity(&self) -> usize {
        if self.is_root() { 0 } else { self.0.len() }
    }

    fn check(text: &str) -> Result<(), ParseError> {
        let fail = |rule| Err(ParseError::new("prefix of repository names", text, rule));
        if text == ROOT {
            return Ok(());
        }
        if text.ends_with('/') {
            return fail("leave the `/` at the end away: the prefix ends before one anyway");
        }
        if !(1..=256).contains(&text.len()) || !text.split('/').all(is_path_component) {
            return fail("it must be `ROOT`, or 1 to 256 characters in segments as a repository name has them");
        }
        Ok(())
    }
}

parsed_text!(RepositoryPrefix, "prefix of repository names, or `ROOT`", PATTERN);

/// What makes the server create a repository that nobody has created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CreationTrigger {
    /// The first push.
    CreateOnPush,
    /// The first pull through the cache.
    PullThroughCache,
    /// The arrival of a replicated image.
    Replication,
}

impl CreationTrigger {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::CreateOnPush, Self::PullThroughCache, Self::Replication];

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateOnPush => "CREATE_ON_PUSH",
            Self::PullThroughCache => "PULL_THROUGH_CACHE",
            Self::Replication => "REPLICATION",
        }
    }
}

impl FromStr for CreationTrigger {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| {
            ParseError::new(
                "creation trigger",
                text,
                "it must be CREATE_ON_PUSH, PULL_THROUGH_CACHE or REPLICATION",
            )
        })
    }
}

impl fmt::Display for CreationTrigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_follow_the_grammar() {
        let (long, too_long) = ("b".repeat(256), "b".repeat(257));
        let cases = [
            ("ROOT", true),
            ("a", true),
            ("prod", true),
            ("team-a/web_1", true),
            (long.as_str(), true),
            (too_long.as_str(), false),
            ("", false),
            ("root/", false),
            ("/", false),
            ("Prod", false),
            ("a//b", false),
            ("a-", false),
            ("ROOT/a", false),
        ];
        for (text, is_valid) in cases {
            assert_eq!(text.parse::<RepositoryPrefix>().is_ok(), is_valid, "{text}");
        }
    }

    #[test]
    fn a_prefix_ends_before_a_slash() {
        // Prefix, name, whether it is contained.
        let cases = [
            ("prod", "prod/web", true),
            ("prod", "prod/team/web", true),
            ("prod", "prod", false),
            ("prod", "production/web", false),
            ("prod/team", "prod/web", false),
            ("prod/team", "prod/team/web", true),
            ("ROOT", "prod", true),
            ("ROOT", "prod/web", true),
        ];
        for (prefix, name, wanted) in cases {
            let prefix: RepositoryPrefix = prefix.parse().unwrap();
            assert_eq!(prefix.contains(&name.parse().unwrap()), wanted, "{prefix} {name}");
        }
        let more: RepositoryPrefix = "a".parse().unwrap();
        assert!(more.specificity() > RepositoryPrefix::root().specificity());
    }

    #[test]
    fn triggers_have_the_names_of_ecr() {
        for trigger in CreationTrigger::ALL {
            assert_eq!(trigger.as_str().parse::<CreationTrigger>().unwrap(), trigger);
            assert_eq!(serde_json::to_value(trigger).unwrap(), trigger.as_str());
        }
        assert!("PUSH".parse::<CreationTrigger>().is_err());
    }
}
