// SPDX-License-Identifier: Apache-2.0
//! Patterns of ARNs, part by part.

use crate::evaluate::Facts;
use crate::glob::{Glob, Piece, Syntax, pieces};
use crate::key::ConditionKey;

/// The parts of an ARN: `arn`, partition, service, region, account, resource.
pub(crate) const ARN_PARTS: usize = 6;

/// A text, split into the parts of an ARN once for all patterns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArnParts<'a> {
    whole: &'a str,
    /// `None` for a text that is no ARN, such as `*` for a registry as a whole.
    parts: Option<[&'a str; ARN_PARTS]>,
    /// Whether it stands for everything that begins with it.
    is_stem: bool,
}

impl<'a> ArnParts<'a> {
    /// As [`Self::of`], where an ARN with one `*`, at its end, stands for everything that begins so.
    pub(crate) fn asked(whole: &'a str) -> Self {
        let stem = whole.strip_suffix('*').map(Self::of);
        match stem.filter(Self::is_arn) {
            Some(stem) => Self { is_stem: true, ..stem },
            None => Self::of(whole),
        }
    }

    pub(crate) fn of(whole: &'a str) -> Self {
        let mut parts = [""; ARN_PARTS];
        let mut found = 0;
        for (slot, part) in parts.iter_mut().zip(whole.splitn(ARN_PARTS, ':')) {
            *slot = part;
            found += 1;
        }
        let is_arn = found == ARN_PARTS && parts.first() == Some(&"arn");
        Self {
            whole,
            parts: is_arn.then_some(parts),
            is_stem: false,
        }
    }

    pub(crate) fn is_arn(&self) -> bool {
        self.parts.is_some()
    }
}

/// What an ARN has to look like. A wildcard does not reach across a colon of the first five parts (IAM, "Using
/// wildcards in resource ARNs").
#[derive(Clone, Debug)]
pub(crate) enum ArnPattern {
    /// `*`: whatever is asked for.
    Any,
    /// Six patterns, one for each part.
    Parts(Box<[Glob; ARN_PARTS]>),
    /// Variables stand for several parts at once, as in `${aws:PrincipalArn}`.
    Whole(Glob),
}

impl ArnPattern {
    pub(crate) fn parse(text: &str, has_variables: bool) -> Result<Self, String> {
        const REASON: &str = "it must be `*` or an ARN, such as `arn:aws:ecr:*:*:repository/team-a/*`";
        if text == "*" {
            return Ok(Self::Any);
        }
        let syntax = Syntax {
            has_wildcards: true,
            has_variables,
        };
        let pieces = pieces(text, syntax)?;
        let starts_with_variable = matches!(pieces.first(), Some(Piece::Variable { .. }));
        let parts = split(pieces.clone());
        match <[Glob; ARN_PARTS]>::try_from(parts) {
            Ok(parts) if text.starts_with("arn:") && text.is_ascii() => Ok(Self::Parts(Box::new(parts))),
            Err(_) if starts_with_variable => Ok(Self::Whole(Glob::of(pieces))),
            _ => Err(REASON.to_owned()),
        }
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &ConditionKey> {
        self.globs().iter().flat_map(Glob::variables)
    }

    pub(crate) fn is_resolved(&self, facts: &Facts<'_>) -> bool {
        self.globs().iter().all(|glob| glob.is_resolved(facts))
    }

    /// Whether it covers all that was asked for.
    pub(crate) fn covers(&self, arn: &ArnParts<'_>, facts: &Facts<'_>) -> bool {
        let last = if arn.is_stem {
            Glob::covers_all_from
        } else {
            Glob::covers
        };
        self.fits(arn, facts, last)
    }

    /// Whether it covers some of what was asked for.
    pub(crate) fn meets(&self, arn: &ArnParts<'_>, facts: &Facts<'_>) -> bool {
        let last = if arn.is_stem {
            Glob::covers_some_from
        } else {
            Glob::covers
        };
        self.fits(arn, facts, last)
    }

    fn fits(&self, arn: &ArnParts<'_>, facts: &Facts<'_>, last: fn(&Glob, &str, &Facts<'_>) -> bool) -> bool {
        match (self, &arn.parts) {
            (Self::Any, _) => true,
            (Self::Parts(globs), Some(parts)) => {
                // The last part tells most ARNs apart.
                let mut pairs = globs.iter().zip(parts).rev();
                let is_last = pairs.next().is_none_or(|(glob, part)| last(glob, part, facts));
                is_last && pairs.all(|(glob, part)| glob.covers(part, facts))
            }
            (Self::Parts(_), None) => false,
            (Self::Whole(glob), _) => last(glob, arn.whole, facts),
        }
    }

    fn globs(&self) -> &[Glob] {
        match self {
            Self::Any => &[],
            Self::Parts(parts) => parts.as_slice(),
            Self::Whole(glob) => std::slice::from_ref(glob),
        }
    }
}

/// Splits at the first colons that do not belong to a variable.
fn split(pieces: Vec<Piece>) -> Vec<Glob> {
    let mut parts = vec![Vec::new()];
    for piece in pieces {
        let Piece::Text(text) = &piece else {
            if let Some(part) = parts.last_mut() {
                part.push(piece);
            }
            continue;
        };
        let left = ARN_PARTS.saturating_sub(parts.len()) + 1;
        for (index, text) in text.splitn(left, ':').enumerate() {
            if index > 0 {
                parts.push(Vec::new());
            }
            if let (Some(part), false) = (parts.last_mut(), text.is_empty()) {
                part.push(Piece::Text(text.into()));
            }
        }
    }
    parts.into_iter().map(Glob::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stay_within_a_part_of_an_arn() {
        let arn = "arn:aws:ecr:local:000000000000:repository/team-a/web";
        let cases = [
            ("*", true),
            ("arn:aws:ecr:*:*:repository/*", true),
            ("arn:aws:ecr:local:000000000000:repository/team-a/*", true),
            ("arn:aws:ecr:local:000000000000:repository/team-b/*", false),
            ("arn:aws:ecr:*:0000*:repository/team-?/web", true),
            ("arn:*:*:*:*:*", true),
        ];
        Facts::for_tests(|facts| {
            for (pattern, want) in cases {
                let pattern = ArnPattern::parse(pattern, true).unwrap();
                assert_eq!(pattern.covers(&ArnParts::of(arn), facts), want, "{pattern:?}");
            }
            let repositories = ArnPattern::parse("arn:aws:ecr:local:000000000000:repository/*", true).unwrap();
            assert!(!repositories.covers(&ArnParts::of("*"), facts));
        });
        // What is asked about all that begins so.
        let cases = [
            // pattern, covers all, covers some
            ("*", true, true),
            ("arn:aws:ecr:*:*:repository/*", true, true),
            ("arn:aws:ecr:*:*:repository/prod/*", true, true),
            ("arn:aws:ecr:*:*:repository/prod/?*", false, true),
            ("arn:aws:ecr:*:*:repository/prod/secret", false, true),
            ("arn:aws:ecr:*:*:repository/*/secret", false, true),
            ("arn:aws:ecr:*:*:repository/prod/?", false, true),
            ("arn:aws:ecr:*:*:repository/${ecr:ImageTag, 'prod'}/*", true, true),
            ("arn:aws:ecr:*:*:repository/${ecr:ImageTag}/*", false, false),
            ("arn:aws:ecr:*:*:repository/prod", false, false),
            ("arn:aws:ecr:*:*:repository/production/*", false, false),
            ("arn:aws:ecr:other:*:repository/prod/*", false, false),
        ];
        let asked = ArnParts::asked("arn:aws:ecr:local:000000000000:repository/prod/*");
        Facts::for_tests(|facts| {
            for (pattern, all, some) in cases {
                let pattern = ArnPattern::parse(pattern, true).unwrap();
                let found = (pattern.covers(&asked, facts), pattern.meets(&asked, facts));
                assert_eq!(found, (all, some), "{pattern:?}");
            }
        });
        assert!(!ArnParts::asked("*").is_stem);
        for bad in [
            "",
            "web",
            "arn:aws:ecr",
            "arn:aws:ecr:*:repository/*",
            "arn:aws:ecr:*",
            "**",
            "*:*:*:*:*:*",
        ] {
            assert!(ArnPattern::parse(bad, true).is_err(), "{bad}");
        }
    }
}
