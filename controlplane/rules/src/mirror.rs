// SPDX-License-Identifier: Apache-2.0
//! Mirrors: which tags of another registry are meant, and what is to be done about each.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use hythe_model::{Digest, MirrorSettings, Tag};

/// What is known here of a tag that the other registry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagHere {
    /// It was never here.
    Never,
    /// It points to this image.
    Present {
        /// The image.
        digest: Digest,
        /// Whether it came from the other registry; otherwise somebody set it here.
        is_imported: bool,
    },
    /// It was here and pointed to this image.
    Deleted {
        /// The image.
        digest: Digest,
        /// Whether the mirror removed it, since it was gone there; otherwise somebody deleted it here, or a lifecycle policy.
        is_by_mirror: bool,
    },
}

/// What is done about a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorStep {
    /// It is brought.
    Create,
    /// It is moved to another image.
    Move,
    /// It is as it is there.
    Keep,
    /// It stays as it is here.
    Skip(SkipReason),
}

/// Why a tag stays as it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Tags of the repository cannot be moved.
    Immutable,
    /// Somebody set it here.
    SetHere,
    /// It was deleted here, and has not moved there since.
    DeletedHere,
}

impl SkipReason {
    /// As it is stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Immutable => "TAG_IMMUTABLE",
            Self::SetHere => "TAG_SET_HERE",
            Self::DeletedHere => "DELETED_HERE",
        }
    }

    /// For people.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Immutable => "the tag has moved at the other registry, and may not be moved here",
            Self::SetHere => "somebody set the tag here; a mirror replaces only what came from the other registry",
            Self::DeletedHere => "the tag was deleted here, and has not moved at the other registry since",
        }
    }
}

/// What is done about a tag that points to `there` at the other registry.
#[must_use]
pub fn step(here: TagHere, there: &Digest, may_move: bool) -> MirrorStep {
    match here {
        TagHere::Present { digest, .. } if digest == *there => MirrorStep::Keep,
        TagHere::Present { is_imported: false, .. } => MirrorStep::Skip(SkipReason::SetHere),
        TagHere::Present { .. } if !may_move => MirrorStep::Skip(SkipReason::Immutable),
        TagHere::Present { .. } => MirrorStep::Move,
        TagHere::Deleted {
            digest,
            is_by_mirror: false,
        } if digest == *there => MirrorStep::Skip(SkipReason::DeletedHere),
        TagHere::Deleted { .. } | TagHere::Never => MirrorStep::Create,
    }
}

/// Which of the tags that a repository has at the other registry are meant, by bytes.
#[must_use]
pub fn selected<'t>(settings: &MirrorSettings, tags: &'t BTreeSet<Tag>) -> Vec<&'t Tag> {
    let meant = tags.iter().filter(|tag| settings.means_tag(tag));
    let Some(newest) = settings.newest_tags else {
        return meant.collect();
    };
    let (mut versions, mut selected): (Vec<&Tag>, Vec<&Tag>) = meant.partition(|tag| is_version(tag.as_str()));
    versions.sort_by(|one, other| by_version(other.as_str(), one.as_str()));
    versions.truncate(usize::try_from(newest).unwrap_or(usize::MAX));
    selected.extend(versions);
    selected.sort();
    selected
}

/// Whether a tag is a version: it begins with a digit, or with `v` and a digit.
fn is_version(tag: &str) -> bool {
    tag.strip_prefix('v')
        .unwrap_or(tag)
        .starts_with(|first: char| first.is_ascii_digit())
}

/// A part of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'t> {
    /// Without zeros at its start.
    Number(&'t str),
    Text(&'t str),
}

/// As people order versions: numbers by their value, and what has a suffix after `-` before what has none (Semantic
/// Versioning 2.0.0, "Precedence"; a suffix such as `-alpine` counts as one). Ties are broken by bytes.
fn by_version(one: &str, other: &str) -> Ordering {
    let (mut first, mut second) = (bare(one), bare(other));
    loop {
        let ordering = match (next(&mut first), next(&mut second)) {
            (None, None) => return one.cmp(other),
            (None, Some(part)) => at_the_end(part),
            (Some(part), None) => at_the_end(part).reverse(),
            (Some(Part::Number(one)), Some(Part::Number(other))) => {
                one.len().cmp(&other.len()).then_with(|| one.cmp(other))
            }
            (Some(Part::Text(one)), Some(Part::Text(other))) => by_text(one, other),
            (Some(Part::Number(_)), Some(Part::Text(_))) => Ordering::Less,
            (Some(Part::Text(_)), Some(Part::Number(_))) => Ordering::Greater,
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

fn bare(tag: &str) -> &str {
    tag.strip_prefix('v').unwrap_or(tag)
}

/// What a version that has ended is to one that goes on with `part`.
fn at_the_end(part: Part<'_>) -> Ordering {
    match part {
        Part::Text(text) if text.starts_with('-') => Ordering::Greater,
        Part::Text(_) | Part::Number(_) => Ordering::Less,
    }
}

/// A suffix comes before more numbers: `1.0-rc1` before `1.0.1`.
fn by_text(one: &str, other: &str) -> Ordering {
    let is_suffix = |text: &str| text.starts_with('-');
    is_suffix(other).cmp(&is_suffix(one)).then_with(|| one.cmp(other))
}

fn next<'t>(rest: &mut &'t str) -> Option<Part<'t>> {
    let first = rest.chars().next()?;
    let is_number = first.is_ascii_digit();
    let end = rest.find(|other: char| other.is_ascii_digit() != is_number);
    let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = after;
    Some(if is_number {
        Part::Number(part.trim_start_matches('0'))
    } else {
        Part::Text(part)
    })
}

#[cfg(test)]
mod tests {
    use hythe_model::Algorithm;

    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::new(Algorithm::Sha256, &[byte; 32]).unwrap()
    }

    #[test]
    fn what_is_done_about_a_tag() {
        let present = |byte, is_imported| TagHere::Present {
            digest: digest(byte),
            is_imported,
        };
        let deleted = |byte, is_by_mirror| TagHere::Deleted {
            digest: digest(byte),
            is_by_mirror,
        };
        let skip = MirrorStep::Skip;
        // What it shows, what is here while `1` is there, whether tags may be moved, what is done.
        let cases = [
            ("new", TagHere::Never, true, MirrorStep::Create),
            ("new and immutable", TagHere::Never, false, MirrorStep::Create),
            ("the same", present(1, true), true, MirrorStep::Keep),
            ("pushed here, and the same", present(1, false), false, MirrorStep::Keep),
            ("moved", present(2, true), true, MirrorStep::Move),
            (
                "moved and immutable",
                present(2, true),
                false,
                skip(SkipReason::Immutable),
            ),
            ("pushed here", present(2, false), true, skip(SkipReason::SetHere)),
            ("deleted here", deleted(1, false), true, skip(SkipReason::DeletedHere)),
            (
                "deleted here and moved since",
                deleted(2, false),
                true,
                MirrorStep::Create,
            ),
            ("gone there for a while", deleted(1, true), true, MirrorStep::Create),
        ];
        for (what, here, may_move, wanted) in cases {
            assert_eq!(step(here, &digest(1), may_move), wanted, "{what}");
        }
    }

    #[test]
    fn versions_are_ordered_as_people_do() {
        let ordered = [
            "0.9",
            "1.0-alpha",
            "1.0-rc1",
            "1.0-rc2",
            "1.0-rc10",
            "1.0",
            "1.0.1",
            "1.2",
            "1.10",
            "v2.0",
            "2.1",
            "10",
        ];
        for (at, low) in ordered.iter().enumerate() {
            for high in ordered.iter().skip(at + 1) {
                assert_eq!(by_version(low, high), Ordering::Less, "{low} {high}");
                assert_eq!(by_version(high, low), Ordering::Greater, "{high} {low}");
            }
        }
    }

    #[test]
    fn tags_are_selected_by_patterns_and_versions() {
        let tags: BTreeSet<Tag> = ["latest", "1.9", "1.10", "1.10-rc1", "v2.0", "nightly"]
            .iter()
            .map(|tag| tag.parse().unwrap())
            .collect();
        // Patterns, exclusions, the newest versions, selected.
        let cases = [
            ("", "", None, "1.10 1.10-rc1 1.9 latest nightly v2.0"),
            ("1.*", "", None, "1.10 1.10-rc1 1.9"),
            ("", "*-rc* night*", None, "1.10 1.9 latest v2.0"),
            ("", "", Some(2), "1.10 latest nightly v2.0"),
            ("1.*", "*-rc*", Some(1), "1.10"),
            ("3.*", "", Some(1), ""),
        ];
        for (patterns, exclusions, newest_tags, wanted) in cases {
            let parsed = |text: &str| text.split_whitespace().map(|it| it.parse().unwrap()).collect();
            let settings = MirrorSettings {
                interval_minutes: 60,
                repositories: vec!["*".parse().unwrap()],
                tags: parsed(patterns),
                exclude_tags: parsed(exclusions),
                newest_tags,
                remove_vanished: false,
            };
            let names: Vec<&str> = selected(&settings, &tags).into_iter().map(Tag::as_str).collect();
            assert_eq!(names.join(" "), wanted, "{patterns} {exclusions} {newest_tags:?}");
        }
    }
}
