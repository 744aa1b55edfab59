// SPDX-License-Identifier: Apache-2.0
//! Which images a rule selects by their tags.

/// The most `*` in an entry of `tagPatternList` (ECR, "Lifecycle policy properties").
pub const MAX_PATTERN_WILDCARDS: usize = 4;

/// Which images a rule selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagSelection {
    /// All.
    Any,
    /// Those without a tag.
    Untagged,
    /// Those with tags that match a list.
    Tagged(TagList),
}

/// What the tags of an image must match: every entry at least one of them, not necessarily the same.
///
/// Invariant: at least one entry, each of at least one character; sorted and without repetition, since neither changes
/// what is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagList {
    /// `tagPrefixList`: a tag starts so.
    Prefixes(Box<[Box<str>]>),
    /// `tagPatternList`: a tag matches as a whole.
    Patterns(Box<[TagPattern]>),
}

impl TagSelection {
    /// Whether an image with these tags is selected.
    pub fn selects<T: AsRef<str>>(&self, tags: &[T]) -> bool {
        let some = |test: &dyn Fn(&str) -> bool| tags.iter().any(|tag| test(tag.as_ref()));
        match self {
            Self::Any => true,
            Self::Untagged => tags.is_empty(),
            Self::Tagged(TagList::Prefixes(list)) => list.iter().all(|prefix| some(&|tag| tag.starts_with(&**prefix))),
            Self::Tagged(TagList::Patterns(list)) => list.iter().all(|pattern| some(&|tag| pattern.matches(tag))),
        }
    }

    /// The value of `tagStatus`.
    #[must_use]
    pub fn status_str(&self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Untagged => "untagged",
            Self::Tagged(_) => "tagged",
        }
    }

    /// The member that lists what tags must match, and its entries.
    #[must_use]
    pub fn list(&self) -> Option<(&'static str, Vec<&str>)> {
        match self {
            Self::Any | Self::Untagged => None,
            Self::Tagged(TagList::Prefixes(list)) => Some(("tagPrefixList", list.iter().map(|text| &**text).collect())),
            Self::Tagged(TagList::Patterns(list)) => {
                Some(("tagPatternList", list.iter().map(TagPattern::as_str).collect()))
            }
        }
    }
}

/// A pattern for tags: `*` stands for any characters, everything else for itself, in the same case.
///
/// Invariant: 1 character or more, at most [`MAX_PATTERN_WILDCARDS`] times `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagPattern(Box<str>);

impl TagPattern {
    /// The pattern; `None` if it is empty or has too many wildcards.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let wildcards = text.bytes().filter(|byte| *byte == b'*').count();
        (!text.is_empty() && wildcards <= MAX_PATTERN_WILDCARDS).then(|| Self(text.into()))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole tag matches.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return *self.0 == *tag;
        };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let inner = tag.strip_prefix(first).and_then(|tag| tag.strip_suffix(last));
        // Taking each part where it first occurs leaves the most for those after it.
        let left = middle.split('*').try_fold(inner, |left, part| {
            let left = left?;
            left.find(part).map(|at| left.get(at + part.len()..))
        });
        matches!(left, Some(Some(_)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_anchored_and_mind_the_case() {
        let cases = [
            ("prod*", "prod", true),
            ("prod*", "prod1", true),
            ("prod*", "production", true),
            ("prod*", "repo-prod", false),
            ("prod*", "Prod1", false),
            ("*prod*", "repo-prod", true),
            ("*prod*", "prod", true),
            ("*prod", "prod1", false),
            ("prod", "prod", true),
            ("prod", "prod1", false),
            ("*", "x", true),
            ("**", "x", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*1*2*3", "x1y2z3", true),
            ("*1*2*3*", "x3y2z1", false),
            ("v?", "v1", false),
            (".*", "x", false),
        ];
        for (pattern, tag, want) in cases {
            assert_eq!(TagPattern::new(pattern).unwrap().matches(tag), want, "{pattern} {tag}");
        }
        assert_eq!(TagPattern::new(""), None);
        assert_eq!(TagPattern::new("*a*b*c*d*"), None);
    }

    #[test]
    fn every_entry_needs_a_tag_and_one_tag_may_serve_several() {
        let patterns = |texts: &[&str]| {
            let patterns = texts.iter().map(|text| TagPattern::new(text).unwrap());
            TagSelection::Tagged(TagList::Patterns(patterns.collect()))
        };
        let prefixes = |texts: &[&str]| {
            let texts = texts.iter().map(|text| Box::from(*text));
            TagSelection::Tagged(TagList::Prefixes(texts.collect()))
        };
        let cases = [
            (patterns(&["alpha*", "beta*"]), &["alpha-1", "beta-1"][..], true),
            (patterns(&["alpha*", "beta*"]), &["alpha-1"], false),
            (patterns(&["alpha*", "*1"]), &["alpha-1"], true),
            (prefixes(&["alpha", "beta"]), &["beta", "alphabet"], true),
            (prefixes(&["alpha", "beta"]), &["beta"], false),
            (prefixes(&["a*"]), &["ab"], false),
            (patterns(&["*"]), &[], false),
            (TagSelection::Untagged, &[], true),
            (TagSelection::Untagged, &["x"], false),
            (TagSelection::Any, &["x"], true),
            (TagSelection::Any, &[], true),
        ];
        for (selection, tags, want) in cases {
            assert_eq!(selection.selects(tags), want, "{selection:?} {tags:?}");
        }
    }

    proptest! {
        /// The textbook definition as an oracle.
        #[test]
        fn agrees_with_the_recursive_definition(
            pattern in "[ab]{0,2}(\\*[ab]{0,2}){0,4}",
            tag in "[ab]{0,9}",
        ) {
            fn slow(pattern: &[u8], tag: &[u8]) -> bool {
                match pattern {
                    [] => tag.is_empty(),
                    [b'*', rest @ ..] => (0..=tag.len()).any(|n| slow(rest, &tag[n..])),
                    [one, rest @ ..] => tag.first() == Some(one) && slow(rest, &tag[1..]),
                }
            }
            if let Some(compiled) = TagPattern::new(&pattern) {
                prop_assert_eq!(compiled.matches(&tag), slow(pattern.as_bytes(), tag.as_bytes()));
            }
        }
    }
}
