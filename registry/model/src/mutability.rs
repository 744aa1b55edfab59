// SPDX-License-Identifier: Apache-2.0
//! Whether a tag may be moved to another image.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{matches_wildcards, parsed_text};
use crate::{ParseError, Tag};

/// The most exclusion filters of one repository (ECR API, `ImageTagMutabilityExclusionFilters`).
pub const MAX_EXCLUSION_FILTERS: usize = 5;
const MAX_FILTER_CHARS: usize = 128;
const MAX_WILDCARDS: usize = 2;

/// The four settings of a repository, by ECR's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TagMutabilityMode {
    /// Every tag may move.
    #[default]
    Mutable,
    /// No tag may move.
    Immutable,
    /// No tag may move, but those that a filter matches.
    ImmutableWithExclusion,
    /// Every tag may move, but those that a filter matches.
    MutableWithExclusion,
}

impl TagMutabilityMode {
    /// ECR's name of the setting.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutable => "MUTABLE",
            Self::Immutable => "IMMUTABLE",
            Self::ImmutableWithExclusion => "IMMUTABLE_WITH_EXCLUSION",
            Self::MutableWithExclusion => "MUTABLE_WITH_EXCLUSION",
        }
    }
}

impl std::str::FromStr for TagMutabilityMode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [
            Self::Mutable,
            Self::Immutable,
            Self::ImmutableWithExclusion,
            Self::MutableWithExclusion,
        ]
        .into_iter()
        .find(|mode| mode.as_str() == text)
        .ok_or_else(|| {
            ParseError::new(
                "image tag mutability",
                text,
                "it must be MUTABLE, IMMUTABLE, IMMUTABLE_WITH_EXCLUSION or MUTABLE_WITH_EXCLUSION",
            )
        })
    }
}

/// A pattern for tags in which `*` stands for any characters, such as `dev-*`.
///
/// Invariant: 1 to 128 of `[0-9a-zA-Z._*-]`, at most two of them `*` (ECR API, `ImageTagMutabilityExclusionFilterValue`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExclusionFilter(Box<str>);

impl ExclusionFilter {
    fn check(text: &str) -> Result<(), ParseError> {
        let fail = |rule| Err(ParseError::new("tag mutability exclusion filter", text, rule));
        if text.is_empty() || text.len() > MAX_FILTER_CHARS {
            return fail("it must have 1 to 128 characters");
        }
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._*-".contains(&byte))
        {
            return fail("it may hold letters, digits, `.`, `_`, `-` and `*` only");
        }
        if text.matches('*').count() > MAX_WILDCARDS {
            return fail("it may hold at most two `*`");
        }
        Ok(())
    }

    /// Whether the whole of `tag` matches.
    #[must_use]
    pub fn matches(&self, tag: &Tag) -> bool {
        matches_wildcards(&self.0, tag.as_str())
    }
}

parsed_text!(
    ExclusionFilter,
    "tag mutability exclusion filter",
    "^[0-9a-zA-Z._*-]{1,128}$"
);

/// Whether tags of a repository may be moved: the mode, with its filters where it has some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagMutability {
    mode: TagMutabilityMode,
    // INVARIANT: 1 to MAX_EXCLUSION_FILTERS if the mode ends in WITH_EXCLUSION, else none.
    filters: BTreeSet<ExclusionFilter>,
}

impl TagMutability {
    /// The setting out of its two parts.
    ///
    /// # Errors
    /// Filters without a mode that takes them, a mode that takes some without any, or more than five.
    pub fn new(
        mode: TagMutabilityMode,
        filters: impl IntoIterator<Item = ExclusionFilter>,
    ) -> Result<Self, ParseError> {
        let filters: BTreeSet<_> = filters.into_iter().collect();
        let fail = |rule| Err(ParseError::new("image tag mutability", mode.as_str(), rule));
        let takes_filters = matches!(
            mode,
            TagMutabilityMode::ImmutableWithExclusion | TagMutabilityMode::MutableWithExclusion
        );
        if takes_filters && filters.is_empty() {
            return fail(
                "ImageTagMutabilityExclusionFilters can't be null when imageTagMutability ends in _WITH_EXCLUSION",
            );
        }
        if !takes_filters && !filters.is_empty() {
            return fail("exclusion filters are for IMMUTABLE_WITH_EXCLUSION and MUTABLE_WITH_EXCLUSION only");
        }
        if filters.len() > MAX_EXCLUSION_FILTERS {
            return fail("it may have at most 5 exclusion filters");
        }
        Ok(Self { mode, filters })
    }

    /// The mode.
    #[must_use]
    pub fn mode(&self) -> TagMutabilityMode {
        self.mode
    }

    /// The filters, sorted; empty for the modes without.
    pub fn filters(&self) -> impl Iterator<Item = &ExclusionFilter> {
        self.filters.iter()
    }

    /// Whether `tag` may be moved once it exists.
    #[must_use]
    pub fn may_move(&self, tag: &Tag) -> bool {
        let is_excluded = self.filters.iter().any(|filter| filter.matches(tag));
        match self.mode {
            TagMutabilityMode::Mutable => true,
            TagMutabilityMode::Immutable => false,
            TagMutabilityMode::ImmutableWithExclusion => is_excluded,
            TagMutabilityMode::MutableWithExclusion => !is_excluded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusion_filters_match_whole_tags() {
        let cases = [
            ("latest", "latest", true),
            ("latest", "latest2", false),
            ("*", "anything", true),
            ("dev-*", "dev-1", true),
            ("dev-*", "dev-", true),
            ("dev-*", "prod-dev-1", false),
            ("*-rc", "v1-rc", true),
            ("*-rc", "v1-rc2", false),
            ("*rc*", "v1-rc2", true),
            ("a*b", "ab", true),
            ("a*b", "a", false),
            ("a*a", "a", false),
            ("a*b*c", "axbxbxc", true),
            ("ab*ba", "aba", false),
        ];
        for (filter, tag, want) in cases {
            let filter: ExclusionFilter = filter.parse().unwrap();
            assert_eq!(filter.matches(&tag.parse().unwrap()), want, "{filter} {tag}");
        }
        assert!("a*b*c*".parse::<ExclusionFilter>().is_err());
        assert!("a/b".parse::<ExclusionFilter>().is_err());
    }

    #[test]
    fn modes_decide_which_tags_move() {
        let filters = || ["dev-*".parse().unwrap()];
        let cases = [
            (TagMutability::new(TagMutabilityMode::Mutable, []), true, true),
            (TagMutability::new(TagMutabilityMode::Immutable, []), false, false),
            (
                TagMutability::new(TagMutabilityMode::ImmutableWithExclusion, filters()),
                true,
                false,
            ),
            (
                TagMutability::new(TagMutabilityMode::MutableWithExclusion, filters()),
                false,
                true,
            ),
        ];
        for (mutability, dev, v1) in cases {
            let mutability = mutability.unwrap();
            assert_eq!(mutability.may_move(&"dev-1".parse().unwrap()), dev, "{mutability:?}");
            assert_eq!(mutability.may_move(&"v1".parse().unwrap()), v1, "{mutability:?}");
        }
        assert!(TagMutability::new(TagMutabilityMode::Mutable, filters()).is_err());
        assert!(TagMutability::new(TagMutabilityMode::ImmutableWithExclusion, []).is_err());
        let six = (0..6).map(|n| format!("v{n}").parse().unwrap());
        assert!(TagMutability::new(TagMutabilityMode::MutableWithExclusion, six).is_err());
    }
}
