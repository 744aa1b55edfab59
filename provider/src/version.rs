// SPDX-License-Identifier: Apache-2.0
//! Versions in tags (Semantic Versioning 2.0.0), and constraints on them as Terraform writes those of providers.

use std::fmt;
use std::str::FromStr;

/// A version, such as `v1.2.3` or `1.2.3-rc.1`.
///
/// Invariant: three numbers. `1` and `1.2` are no versions: tags of that form move from one to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    numbers: [u64; 3],
    pre_release: Option<Box<str>>,
}

/// What versions have to be like, such as `~> 1.2` or `>= 1.0, < 2.0`: all terms hold.
///
/// Invariant: at least one term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Constraint(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    operator: Operator,
    version: Version,
    /// How many numbers were written; the others are 0.
    written: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    AtLeast,
    Less,
    AtMost,
    /// As [`Self::AtLeast`], with all written numbers the same but the last.
    Near,
}

/// Longer ones stand first.
const OPERATORS: [(&str, Operator); 7] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("~>", Operator::Near),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Equal),
];

/// A text that is no constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidConstraint(String);

impl fmt::Display for InvalidConstraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "`{}` is no constraint on versions, such as `~> 1.2` or `>= 1.0, < 2.0`.",
            self.0
        )
    }
}

/// Numbers with dots between, at most three, and what follows a `-`.
fn parts(text: &str) -> Option<(Version, usize)> {
    let (numbers, pre_release) = match text.split_once('-') {
        Some((_, "")) => return None,
        Some((numbers, pre_release)) => (numbers, Some(pre_release.into())),
        None => (text, None),
    };
    let mut version = Version {
        numbers: [0; 3],
        pre_release,
    };
    let mut written = 0;
    for part in numbers.split('.') {
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        *version.numbers.get_mut(written)? = part.parse().ok().filter(|_| is_number)?;
        written += 1;
    }
    Some((version, written))
}

impl Version {
    /// The version that a tag is, with or without a `v`.
    pub(crate) fn of_tag(tag: &str) -> Option<Self> {
        let (version, written) = parts(tag.strip_prefix('v').unwrap_or(tag))?;
        (written == 3).then_some(version)
    }

    /// What is greater in the order of versions. Pre-releases of one version have no order here.
    pub(crate) fn rank(&self) -> ([u64; 3], bool) {
        (self.numbers, self.pre_release.is_none())
    }
}

impl Constraint {
    /// Whether the version fits. A pre-release does only where it is named itself.
    pub(crate) fn allows(&self, version: &Version) -> bool {
        let names_it = |term: &Term| term.operator == Operator::Equal && term.version == *version;
        let is_open = version.pre_release.is_none() || self.0.iter().any(names_it);
        is_open && self.0.iter().all(|term| term.allows(version))
    }
}

impl Term {
    fn allows(&self, version: &Version) -> bool {
        let (given, wanted) = (version.rank(), self.version.rank());
        match self.operator {
            Operator::Equal => version == &self.version,
            Operator::NotEqual => version != &self.version,
            Operator::Greater => given > wanted,
            Operator::AtLeast => given >= wanted,
            Operator::Less => given < wanted,
            Operator::AtMost => given <= wanted,
            Operator::Near => {
                let fixed = self.written.saturating_sub(1);
                let is_near = version.numbers.iter().zip(self.version.numbers).take(fixed);
                given >= wanted && is_near.into_iter().all(|(one, other)| *one == other)
            }
        }
    }
}

impl FromStr for Constraint {
    type Err = InvalidConstraint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let term = |term: &str| {
            let term = term.trim();
            let found = OPERATORS
                .iter()
                .find_map(|(sign, operator)| Some((*operator, term.strip_prefix(sign)?)));
            let (operator, rest) = found.unwrap_or((Operator::Equal, term));
            let (version, written) = parts(rest.trim())?;
            Some(Term {
                operator,
                version,
                written,
            })
        };
        let terms: Option<Vec<Term>> = text.split(',').map(term).collect();
        terms.map(Self).ok_or_else(|| InvalidConstraint(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_allow_what_terraform_would() {
        let cases = [
            ("1.2.3", "v1.2.3 1.2.3", "1.2.4 1.2.3-rc.1"),
            ("= 1.2.3-rc.1", "1.2.3-rc.1", "1.2.3 1.2.3-rc.2"),
            ("!= 1.2.3", "1.2.4", "1.2.3"),
            ("~> 1.2", "1.2.0 1.9.9", "1.1.9 2.0.0 1.3.0-beta"),
            ("~> 1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0"),
            ("~> 1", "1.0.0 2.0.0", "0.9.9"),
            (">= 1.0, < 2.0", "1.0.0 1.10.0", "0.9.0 2.0.0 2.0.0-rc.1"),
            (">1.0,<=1.1.0", "1.0.1 1.1.0", "1.0.0 1.1.1"),
        ];
        for (text, fitting, others) in cases {
            let constraint: Constraint = text.parse().unwrap();
            let allows = |tag: &&str| constraint.allows(&Version::of_tag(tag).unwrap());
            assert!(fitting.split(' ').collect::<Vec<_>>().iter().all(allows), "{text}");
            assert!(!others.split(' ').collect::<Vec<_>>().iter().any(allows), "{text}");
        }
    }

    #[test]
    fn what_is_no_version_is_none() {
        for tag in [
            "latest", "1", "v1.2", "1.2.3.4", "01.2.3", "1.2.x", "1..3", "vv1.2.3", "1.2.3-", "+1.2.3",
        ] {
            assert_eq!(Version::of_tag(tag), None, "{tag}");
        }
        for text in ["", ">", "~> x", ">= 1.0,", "=> 1.0", "1.2.3.4", "^1.2"] {
            assert!(text.parse::<Constraint>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_are_ranked_by_number() {
        let rank = |tag| Version::of_tag(tag).unwrap().rank();
        assert!(rank("1.10.0") > rank("v1.9.9"));
        assert!(rank("2.0.0") > rank("2.0.0-rc.1"));
    }
}
