// SPDX-License-Identifier: Apache-2.0
//! Patterns: texts with wildcards (`*` for any characters, `?` for one) and policy variables (`${…}`).

use crate::evaluate::Facts;
use crate::key::ConditionKey;

/// A pattern, compiled to the cheapest form that says the same.
#[derive(Clone, Debug)]
pub(crate) enum Glob {
    /// `*`.
    Any,
    /// A text without wildcards and variables.
    Exact(Box<str>),
    /// A text with one `*`, at its end.
    Prefix(Box<str>),
    /// Anything else.
    Pieces(Box<[Piece]>),
}

/// A part of a pattern.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Text(Box<str>),
    /// `?`
    One,
    /// `*`
    Many,
    /// `${key}` or `${key, 'default'}`: stands for a value of the request, in which no character is special.
    Variable {
        key: ConditionKey,
        default: Option<Box<str>>,
    },
}

/// What is special in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Syntax {
    pub(crate) has_wildcards: bool,
    /// Variables came with version 2012-10-17; before, `${` is text (IAM, "Version").
    pub(crate) has_variables: bool,
}

impl Glob {
    pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Self, String> {
        Ok(Self::of(pieces(text, syntax)?))
    }

    /// A pattern with wildcards and without variables.
    pub(crate) fn plain(text: &str) -> Self {
        let syntax = Syntax {
            has_wildcards: true,
            has_variables: false,
        };
        // Without variables there is nothing that could be wrong.
        Self::of(pieces(text, syntax).unwrap_or_default())
    }

    pub(crate) fn of(pieces: Vec<Piece>) -> Self {
        match pieces.as_slice() {
            [] => Self::Exact(Box::default()),
            [Piece::Many] => Self::Any,
            [Piece::Text(text)] => Self::Exact(text.clone()),
            [Piece::Text(text), Piece::Many] => Self::Prefix(text.clone()),
            _ => Self::Pieces(pieces.into()),
        }
    }

    /// The variables in it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &ConditionKey> {
        let pieces = match self {
            Self::Pieces(pieces) => pieces.as_ref(),
            Self::Any | Self::Exact(_) | Self::Prefix(_) => &[],
        };
        pieces.iter().filter_map(|piece| match piece {
            Piece::Variable { key, .. } => Some(key),
            _ => None,
        })
    }

    /// Whether every variable in it has a value.
    pub(crate) fn is_resolved(&self, facts: &Facts<'_>) -> bool {
        let Self::Pieces(pieces) = self else { return true };
        pieces.iter().all(|piece| match piece {
            Piece::Variable { key, default } => default.is_some() || key.single(facts).is_some(),
            _ => true,
        })
    }

    /// Whether it covers the whole of `text`. A variable without a value covers nothing.
    pub(crate) fn covers(&self, text: &str, facts: &Facts<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.as_ref() == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_ref()),
            Self::Pieces(pieces) => covers(pieces, text, Some(facts), false),
        }
    }

    /// Whether it covers every text that begins with `stem`. Says no too for a pattern such as `*?`, of which one has to think.
    pub(crate) fn covers_all_from(&self, stem: &str, facts: &Facts<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(_) => false,
            Self::Prefix(prefix) => stem.starts_with(prefix.as_ref()),
            // The `*` at the end takes whatever follows the stem.
            Self::Pieces(pieces) => {
                matches!(pieces.last(), Some(Piece::Many)) && covers(pieces, stem, Some(facts), false)
            }
        }
    }

    /// Whether it covers any text that begins with `stem`.
    pub(crate) fn covers_some_from(&self, stem: &str, facts: &Facts<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.starts_with(stem),
            Self::Prefix(prefix) => prefix.starts_with(stem) || stem.starts_with(prefix.as_ref()),
            Self::Pieces(pieces) => self.is_resolved(facts) && is_met(pieces, stem, facts),
        }
    }

    /// As [`Glob::covers`], with letters of ASCII equal in both cases.
    pub(crate) fn covers_in_any_case(&self, text: &str, facts: &Facts<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.eq_ignore_ascii_case(text),
            Self::Prefix(prefix) => starts_with(text, prefix, true),
            Self::Pieces(pieces) => covers(pieces, text, Some(facts), true),
        }
    }

    /// As [`Glob::covers`], for a pattern without variables.
    pub(crate) fn covers_plain(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.as_ref() == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_ref()),
            Self::Pieces(pieces) => covers(pieces, text, None, false),
        }
    }
}

/// Takes time proportional to the product of both lengths at most, whatever the pattern.
fn covers(pieces: &[Piece], text: &str, facts: Option<&Facts<'_>>, any_case: bool) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: one character further in the text. Going back to an
    // earlier `*` is never needed, since the last one can take whatever that one could.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = text.get(from..).unwrap_or_default();
        let step = match pieces.get(at) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Piece::Many) => {
                retry = Some((at + 1, from));
                Some(0)
            }
            Some(Piece::One) => rest.chars().next().map(char::len_utf8),
            Some(Piece::Text(part)) => starts_with(rest, part, any_case).then_some(part.len()),
            Some(Piece::Variable { key, default }) => match facts.and_then(|facts| key.single(facts)) {
                Some(value) => starts_with(rest, &value, any_case).then_some(value.len()),
                None => match default {
                    Some(value) => starts_with(rest, value, any_case).then_some(value.len()),
                    None => return false,
                },
            },
        };
        match (step, retry) {
            (Some(step), _) => (at, from) = (at + 1, from + step),
            (None, Some((after_star, begun))) => {
                let skipped = text.get(begun..).and_then(|rest| rest.chars().next());
                let Some(skipped) = skipped else { return false };
                from = begun + skipped.len_utf8();
                at = after_star;
                retry = Some((after_star, from));
            }
            (None, None) => return false,
        }
    }
}

/// Whether some text that begins with `stem` is covered, if all variables have values: whether the stem ends before anything
/// in the pattern is against it. The first `*` takes the rest of the stem, and then there is always a text for what follows it.
fn is_met(pieces: &[Piece], stem: &str, facts: &Facts<'_>) -> bool {
    let mut rest = stem;
    for piece in pieces {
        let value;
        let part = match piece {
            Piece::Many => return true,
            Piece::One => {
                let mut chars = rest.chars();
                if chars.next().is_none() {
                    return true;
                }
                rest = chars.as_str();
                continue;
            }
            Piece::Text(part) => part.as_ref(),
            Piece::Variable { key, default } => {
                value = key.single(facts);
                value.as_deref().or(default.as_deref()).unwrap_or_default()
            }
        };
        match rest.strip_prefix(part) {
            Some(after) => rest = after,
            None => return part.starts_with(rest),
        }
    }
    rest.is_empty()
}

fn starts_with(text: &str, prefix: &str, any_case: bool) -> bool {
    if any_case {
        let head = text.as_bytes().get(..prefix.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
    } else {
        text.starts_with(prefix)
    }
}

/// Splits a text into its parts; the error says what is wrong with it.
pub(crate) fn pieces(text: &str, syntax: Syntax) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if syntax.has_variables && rest.starts_with("${") {
            let (inner, after) = rest
                .get(2..)
                .and_then(|inner| inner.split_once('}'))
                .ok_or_else(|| "`${` has no `}`; write `${$}{` for the characters themselves".to_owned())?;
            rest = after;
            match inner {
                "*" | "?" | "$" => plain.push_str(inner),
                _ => {
                    push_text(&mut pieces, &mut plain);
                    pieces.push(variable(inner)?);
                }
            }
            continue;
        }
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
        match first {
            '*' if syntax.has_wildcards => {
                push_text(&mut pieces, &mut plain);
                if !matches!(pieces.last(), Some(Piece::Many)) {
                    pieces.push(Piece::Many);
                }
            }
            '?' if syntax.has_wildcards => {
                push_text(&mut pieces, &mut plain);
                pieces.push(Piece::One);
            }
            other => plain.push(other),
        }
    }
    push_text(&mut pieces, &mut plain);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &mut String) {
    if !text.is_empty() {
        pieces.push(Piece::Text(std::mem::take(text).into()));
    }
}

/// What stands between `${` and `}` (IAM, "Policy variables", "Specifying default values").
fn variable(inner: &str) -> Result<Piece, String> {
    let (name, default) = match inner.split_once(',') {
        None => (inner.trim(), None),
        Some((name, default)) => {
            let default = default
                .trim()
                .strip_prefix('\'')
                .and_then(|text| text.strip_suffix('\''));
            let default = default.ok_or_else(|| {
                format!(
                    "the default of `${{{inner}}}` must stand in single quotes, as in `${{aws:username, 'nobody'}}`"
                )
            })?;
            (name.trim(), Some(default.into()))
        }
    };
    let key = ConditionKey::parse(name)?;
    if key.is_list() {
        return Err(format!("`{name}` can have several values, so it cannot be a variable"));
    }
    Ok(Piece::Variable { key, default })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_cover_whole_texts() {
        let cases = [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("a*", "a", true),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*b*", "abc", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("ecr:Get*", "ecr:GetAuthorizationToken", true),
            ("ecr:Get*", "ecr:PutImage", false),
            ("**", "x", true),
            ("*?", "", false),
            ("*??", "€", false),
            ("*c", "abcc", true),
        ];
        for (pattern, text, want) in cases {
            assert_eq!(Glob::plain(pattern).covers_plain(text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn variables_are_read_strictly() {
        let both = Syntax {
            has_wildcards: true,
            has_variables: true,
        };
        for good in [
            "${aws:username}",
            "${ aws:username , 'x' }",
            "${*}${?}${$}",
            "$",
            "{}",
            "a}b",
            "${token.actions.githubusercontent.com:sub}",
        ] {
            assert!(pieces(good, both).is_ok(), "{good}");
        }
        for bad in [
            "${",
            "${aws:username",
            "${}",
            "${username}",
            "${aws:nothing}",
            "${aws:username, x}",
            "${aws:TagKeys}",
        ] {
            assert!(pieces(bad, both).is_err(), "{bad}");
        }
        let none = Syntax {
            has_wildcards: true,
            has_variables: false,
        };
        assert!(Glob::parse("${x", none).unwrap().covers_plain("${x"));
    }

    proptest! {
        /// The textbook definition as an oracle.
        #[test]
        fn agrees_with_the_recursive_definition(pattern in "[aé*?]{0,8}", text in "[aé]{0,8}") {
            fn slow(pattern: &[char], text: &[char]) -> bool {
                match pattern {
                    [] => text.is_empty(),
                    ['*', rest @ ..] => (0..=text.len()).any(|n| slow(rest, &text[n..])),
                    ['?', rest @ ..] => !text.is_empty() && slow(rest, &text[1..]),
                    [one, rest @ ..] => text.first() == Some(one) && slow(rest, &text[1..]),
                }
            }
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let want = slow(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Glob::plain(&pattern).covers_plain(&text), want);
        }

        /// All texts of up to so many characters after the stem, one by one: no pattern here tells longer ones apart.
        #[test]
        fn what_begins_with_a_stem_is_met_or_covered_as_its_texts_are(pattern in "[ab*?]{0,5}", stem in "[ab]{0,3}") {
            const LONGEST: usize = 6;
            let glob = Glob::plain(&pattern);
            let mut texts = vec![stem.clone()];
            let mut at = 0;
            while let Some(text) = texts.get(at).filter(|text| text.len() < stem.len() + LONGEST).cloned() {
                texts.extend(["a", "b", "c"].map(|next| format!("{text}{next}")));
                at += 1;
            }
            let some = texts.iter().any(|text| glob.covers_plain(text));
            let all = texts.iter().all(|text| glob.covers_plain(text));
            let (mut found, mut covered) = (false, false);
            Facts::for_tests(|facts| {
                found = glob.covers_some_from(&stem, facts);
                covered = glob.covers_all_from(&stem, facts);
            });
            prop_assert_eq!(found, some, "some");
            // `*?` is left out on purpose: then it is only not more than all.
            let is_simple = !pattern.trim_end_matches('*').ends_with('?');
            prop_assert!(if is_simple { covered == all } else { !covered || all }, "all: {} {}", covered, all);
        }
    }
}
