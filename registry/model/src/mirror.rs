// SPDX-License-Identifier: Apache-2.0
//! Mirrors: which images of another registry come without a pull, and how often.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{matches_wildcards, parsed_text};
use crate::{NamePattern, ParseError, Tag};

/// Who stores the images of pull-through caches and mirrors, for the history of their tags.
pub const UPSTREAM_IMPORTER: &str = "pullthroughcache.ecr.amazonaws.com";

/// The shortest and the longest time between two runs of a mirror, in minutes: a minute and 30 days.
pub const MIRROR_INTERVAL_MINUTES: std::ops::RangeInclusive<u64> = 1..=43_200;
/// The most patterns of repositories that a mirror has.
pub const MAX_MIRROR_REPOSITORIES: usize = 100;
/// The most patterns of tags of one kind that a mirror has.
pub const MAX_MIRROR_TAG_PATTERNS: usize = 50;
/// The most versions that a mirror can be limited to.
pub const MAX_MIRROR_NEWEST_TAGS: u64 = 10_000;

const MAX_PATTERN_BYTES: usize = 128;
const MAX_WILDCARDS: usize = 4;

/// A pattern for tags in which `*` stands for any characters, such as `1.*`.
///
/// Invariant: 1 to 128 of `[0-9a-zA-Z._*-]`, at most four of them `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagPattern(Box<str>);

impl TagPattern {
    fn check(text: &str) -> Result<(), ParseError> {
        let fail = |rule| Err(ParseError::new("pattern of tags", text, rule));
        if !(1..=MAX_PATTERN_BYTES).contains(&text.len()) {
            return fail("it must have 1 to 128 characters");
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._*-".contains(&byte);
        if !text.bytes().all(is_allowed) {
            return fail("it may hold letters, digits, `.`, `_`, `-` and `*` only");
        }
        if text.matches('*').count() > MAX_WILDCARDS {
            return fail("it may hold at most four `*`");
        }
        Ok(())
    }

    /// Whether the whole of `tag` matches.
    #[must_use]
    pub fn matches(&self, tag: &Tag) -> bool {
        matches_wildcards(&self.0, tag.as_str())
    }
}

parsed_text!(TagPattern, "pattern of tags with `*`", "^[0-9a-zA-Z._*-]{1,128}$");

/// What comes by a pull-through cache rule without a pull. What is valid by itself is said by its types; [`MirrorSettings::check`]
/// says the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MirrorSettings {
    /// How many minutes lie between two runs, give or take a tenth: 1 to 43,200 (30 days).
    #[schemars(range(min = 1, max = 43_200))]
    pub interval_minutes: u64,
    /// Which repositories, as the other registry names them: names, and patterns in which `*` stands for any characters. For
    /// patterns the other registry must list its repositories (`/v2/_catalog`).
    #[schemars(length(min = 1, max = 100))]
    pub repositories: Vec<NamePattern>,
    /// Which tags: patterns. Without any, all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub tags: Vec<TagPattern>,
    /// Which tags not, whatever `tags` says: patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub exclude_tags: Vec<TagPattern>,
    /// Of the tags that are versions, such as `1.10` or `v2.0-rc1`, only so many of each repository: the highest ones. Tags that
    /// are no versions come besides. Without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub newest_tags: Option<u64>,
    /// Whether tags that came from the other registry are removed here when they are gone there.
    #[serde(default)]
    pub remove_vanished: bool,
}

/// What is wrong with the settings of a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MirrorSettingsError {
    /// Too often, or too seldom.
    #[error("it must be 1 to 43200 minutes")]
    Interval,
    /// None, or too many.
    #[error("there must be 1 to {MAX_MIRROR_REPOSITORIES} of them")]
    Repositories,
    /// Too many patterns.
    #[error("there may be at most {MAX_MIRROR_TAG_PATTERNS} of them")]
    Tags,
    /// Too many patterns.
    #[error("there may be at most {MAX_MIRROR_TAG_PATTERNS} of them")]
    ExcludeTags,
    /// None, or too many.
    #[error("it must be 1 to {MAX_MIRROR_NEWEST_TAGS}, or absent for all")]
    NewestTags,
}

impl MirrorSettings {
    /// Whether the numbers are within their bounds.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), MirrorSettingsError> {
        if !MIRROR_INTERVAL_MINUTES.contains(&self.interval_minutes) {
            return Err(MirrorSettingsError::Interval);
        }
        if !(1..=MAX_MIRROR_REPOSITORIES).contains(&self.repositories.len()) {
            return Err(MirrorSettingsError::Repositories);
        }
        if self.tags.len() > MAX_MIRROR_TAG_PATTERNS {
            return Err(MirrorSettingsError::Tags);
        }
        if self.exclude_tags.len() > MAX_MIRROR_TAG_PATTERNS {
            return Err(MirrorSettingsError::ExcludeTags);
        }
        let is_count = |count: u64| (1..=MAX_MIRROR_NEWEST_TAGS).contains(&count);
        if !self.newest_tags.is_none_or(is_count) {
            return Err(MirrorSettingsError::NewestTags);
        }
        Ok(())
    }

    /// The repositories that are named, rather than meant by a pattern.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let patterns = self.repositories.iter().map(NamePattern::as_str);
        patterns.filter(|pattern| !pattern.contains('*'))
    }

    /// Whether a repository of this name, as the other registry calls it, is meant.
    #[must_use]
    pub fn means_repository(&self, name: &str) -> bool {
        self.repositories.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether the patterns mean a tag, however many versions there are.
    #[must_use]
    pub fn means_tag(&self, tag: &Tag) -> bool {
        let matches = |patterns: &[TagPattern]| patterns.iter().any(|pattern| pattern.matches(tag));
        (self.tags.is_empty() || matches(&self.tags)) && !matches(&self.exclude_tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_tags_match_whole_tags() {
        let cases = [
            ("*", "v1", true),
            ("1.*", "1.2", true),
            ("1.*", "11.2", false),
            ("*-rc*", "1.0-rc1", true),
            ("latest", "latest", true),
            ("latest", "latest-2", false),
        ];
        for (pattern, tag, wanted) in cases {
            let pattern: TagPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&tag.parse().unwrap()), wanted, "{pattern} {tag}");
        }
        for bad in ["", "a b", "a/b", "*a*b*c*d*", &"a".repeat(129)] {
            assert!(bad.parse::<TagPattern>().is_err(), "{bad}");
        }
    }

    type Change<'c> = &'c dyn Fn(&mut MirrorSettings);

    #[test]
    fn settings_have_their_limits() {
        let good = MirrorSettings {
            interval_minutes: 60,
            repositories: vec!["library/alpine".parse().unwrap(), "team/*".parse().unwrap()],
            tags: Vec::new(),
            exclude_tags: Vec::new(),
            newest_tags: None,
            remove_vanished: false,
        };
        assert_eq!(good.check(), Ok(()));
        assert_eq!(good.named().collect::<Vec<_>>(), ["library/alpine"]);
        let tags = vec!["*".parse().unwrap(); MAX_MIRROR_TAG_PATTERNS + 1];
        let with = |change: &dyn Fn(&mut MirrorSettings)| {
            let mut settings = good.clone();
            change(&mut settings);
            settings.check()
        };
        let cases: [(Change<'_>, MirrorSettingsError); 7] = [
            (&|it| it.interval_minutes = 0, MirrorSettingsError::Interval),
            (&|it| it.interval_minutes = 43_201, MirrorSettingsError::Interval),
            (&|it| it.repositories.clear(), MirrorSettingsError::Repositories),
            (&|it| it.tags.clone_from(&tags), MirrorSettingsError::Tags),
            (
                &|it| it.exclude_tags.clone_from(&tags),
                MirrorSettingsError::ExcludeTags,
            ),
            (&|it| it.newest_tags = Some(0), MirrorSettingsError::NewestTags),
            (&|it| it.newest_tags = Some(10_001), MirrorSettingsError::NewestTags),
        ];
        for (change, wanted) in cases {
            assert_eq!(with(change), Err(wanted));
        }
    }
}
