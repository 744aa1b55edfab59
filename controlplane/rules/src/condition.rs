// SPDX-License-Identifier: Apache-2.0
//! Conditions: an operator, a key, and the values to compare with (IAM, "Condition operators").

use std::fmt;

use crate::arn::{ArnParts, ArnPattern};
use crate::evaluate::Facts;
use crate::glob::{Glob, Syntax};
use crate::json::{Node, place};
use crate::key::{ConditionKey, Fact};
use crate::value::{Network, base64_bytes, number, point_in_time, truth};
use crate::{Effect, PolicyError};

/// One condition. All conditions of a statement must hold.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    operator: Operator,
    key: ConditionKey,
    test: Test,
}

/// An operator with its prefix and its suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operator {
    quantifier: Quantifier,
    name: &'static str,
    compare: Compare,
    is_negated: bool,
    if_exists: bool,
}

/// How many of the values of a request must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    /// No prefix: the key is supposed to have one value.
    One,
    All,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Text,
    TextInAnyCase,
    Like,
    Arn,
    Number(Order),
    Date(Order),
    Bool,
    Binary,
    Address,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// The name of each operator, what it compares, and whether it is the denial of another.
const OPERATORS: &[(&str, Compare, bool)] = &[
    ("StringEquals", Compare::Text, false),
    ("StringNotEquals", Compare::Text, true),
    ("StringEqualsIgnoreCase", Compare::TextInAnyCase, false),
    ("StringNotEqualsIgnoreCase", Compare::TextInAnyCase, true),
    ("StringLike", Compare::Like, false),
    ("StringNotLike", Compare::Like, true),
    ("ArnEquals", Compare::Arn, false),
    ("ArnLike", Compare::Arn, false),
    ("ArnNotEquals", Compare::Arn, true),
    ("ArnNotLike", Compare::Arn, true),
    ("NumericEquals", Compare::Number(Order::Equal), false),
    ("NumericNotEquals", Compare::Number(Order::Equal), true),
    ("NumericLessThan", Compare::Number(Order::Less), false),
    ("NumericLessThanEquals", Compare::Number(Order::LessOrEqual), false),
    ("NumericGreaterThan", Compare::Number(Order::Greater), false),
    (
        "NumericGreaterThanEquals",
        Compare::Number(Order::GreaterOrEqual),
        false,
    ),
    ("DateEquals", Compare::Date(Order::Equal), false),
    ("DateNotEquals", Compare::Date(Order::Equal), true),
    ("DateLessThan", Compare::Date(Order::Less), false),
    ("DateLessThanEquals", Compare::Date(Order::LessOrEqual), false),
    ("DateGreaterThan", Compare::Date(Order::Greater), false),
    ("DateGreaterThanEquals", Compare::Date(Order::GreaterOrEqual), false),
    ("Bool", Compare::Bool, false),
    ("BinaryEquals", Compare::Binary, false),
    ("IpAddress", Compare::Address, false),
    ("NotIpAddress", Compare::Address, true),
    ("Null", Compare::Null, false),
];

/// The values to compare with, in the type of the operator.
#[derive(Clone, Debug)]
enum Test {
    Text(Box<[Glob]>),
    TextInAnyCase(Box<[Glob]>),
    Arn(Box<[ArnPattern]>),
    Number(Order, Box<[f64]>),
    Date(Order, Box<[jiff::Timestamp]>),
    Bool(Box<[bool]>),
    Binary(Box<[Box<[u8]>]>),
    Address(Box<[Network]>),
    Null(Box<[bool]>),
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        let (quantifier, rest) = match text.split_once(':') {
            None => (Quantifier::One, text),
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            Some(_) => return None,
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        let (name, compare, is_negated) = OPERATORS.iter().find(|(known, _, _)| *known == name)?;
        // Whether a key is there is one question, with one answer.
        if *compare == Compare::Null && (if_exists || quantifier != Quantifier::One) {
            return None;
        }
        Some(Self {
            quantifier,
            name,
            compare: *compare,
            is_negated: *is_negated,
            if_exists,
        })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.quantifier {
            Quantifier::One => "",
            Quantifier::All => "ForAllValues:",
            Quantifier::Any => "ForAnyValue:",
        };
        let suffix = if self.if_exists { "IfExists" } else { "" };
        write!(formatter, "{prefix}{}{suffix}", self.name)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.operator, self.key.name())
    }
}

impl Condition {
    /// All conditions in a `Condition` member.
    pub(crate) fn parse_all(node: &Node, at: &str, has_variables: bool) -> Result<Box<[Self]>, PolicyError> {
        let mut conditions: Vec<Self> = Vec::new();
        for (operator_text, keys) in node.members(at)? {
            let at = place(at, operator_text);
            let operator = Operator::parse(operator_text).ok_or_else(|| {
                let known: Vec<_> = OPERATORS.iter().map(|(name, _, _)| *name).collect();
                let reason = format!(
                    "there is no such condition operator; known are {}, each but `Null` also with `IfExists` at its end and \
                     `ForAllValues:` or `ForAnyValue:` before it",
                    known.join(", ")
                );
                PolicyError::member(&at, reason)
            })?;
            let keys = keys.members(&at)?;
            if keys.is_empty() {
                return Err(PolicyError::member(&at, "it must name a condition key"));
            }
            for (name, values) in keys {
                let at = place(&at, name);
                let key = ConditionKey::parse(name).map_err(|reason| PolicyError::member(&at, reason))?;
                let is_twice = |other: &Self| other.operator == operator && other.key.name() == key.name();
                if conditions.iter().any(is_twice) {
                    return Err(PolicyError::member(&at, "the key stands here twice, in other letters"));
                }
                let test = Test::parse(operator.compare, &values.scalars(&at)?, has_variables)?;
                conditions.push(Self { operator, key, test });
            }
        }
        Ok(conditions.into())
    }

    pub(crate) fn key(&self) -> &ConditionKey {
        &self.key
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &ConditionKey> {
        let (globs, arns): (&[Glob], &[ArnPattern]) = match &self.test {
            Test::Text(globs) | Test::TextInAnyCase(globs) => (globs, &[]),
            Test::Arn(arns) => (&[], arns),
            _ => (&[], &[]),
        };
        let in_arns = arns.iter().flat_map(ArnPattern::variables);
        globs.iter().flat_map(Glob::variables).chain(in_arns)
    }

    /// Whether it names some values that are good, rather than some that are bad: such a condition leaves out everybody
    /// and everything that it does not name.
    pub(crate) fn is_limit(&self) -> bool {
        !self.operator.is_negated
            && !self.operator.if_exists
            && self.operator.quantifier != Quantifier::All
            && !self.test.is_for_everything()
    }

    /// `effect`: in what is allowed, a variable without a value stands for everything that is not to be, so that a missing
    /// value never opens anything; a denial covers what it is not known to spare.
    pub(crate) fn holds(&self, facts: &Facts<'_>, effect: Effect) -> bool {
        let values = self.key.values(facts);
        let Operator {
            quantifier,
            is_negated,
            if_exists,
            ..
        } = self.operator;
        if let Test::Null(wanted) = &self.test {
            return wanted.contains(&values.is_empty());
        }
        let asked = Asked {
            facts,
            is_unknown_a_match: is_negated && effect == Effect::Allow,
        };
        // What is empty counts as absent where sets are compared (IAM, "Set operators").
        let is_value = |fact: &Fact<'_>| !matches!(fact, Fact::Text(text) if text.is_empty());
        match quantifier {
            // A denial holds for a key that is absent (IAM, "Condition operators").
            Quantifier::One if values.is_empty() => if_exists || is_negated,
            Quantifier::One => values.any(|fact| self.test.matches(fact, &asked)) != is_negated,
            Quantifier::All => !values.any(|fact| is_value(fact) && self.test.matches(fact, &asked) == is_negated),
            Quantifier::Any if values.is_empty() => if_exists,
            Quantifier::Any => values.any(|fact| is_value(fact) && self.test.matches(fact, &asked) != is_negated),
        }
    }
}

/// A request, and what a variable without a value means.
struct Asked<'a> {
    facts: &'a Facts<'a>,
    is_unknown_a_match: bool,
}

impl Asked<'_> {
    fn is_unknown(&self, glob: &Glob) -> bool {
        self.is_unknown_a_match && !glob.is_resolved(self.facts)
    }
}

impl Test {
    fn parse(compare: Compare, values: &[(String, String)], has_variables: bool) -> Result<Self, PolicyError> {
        fn all<T>(
            values: &[(String, String)],
            parse: impl Fn(&str) -> Result<T, String>,
        ) -> Result<Box<[T]>, PolicyError> {
            values
                .iter()
                .map(|(at, text)| parse(text).map_err(|reason| PolicyError::member(at, reason)))
                .collect()
        }
        let texts = |has_wildcards| {
            let syntax = Syntax {
                has_wildcards,
                has_variables,
            };
            all(values, |text| Glob::parse(text, syntax))
        };
        Ok(match compare {
            Compare::Text => Self::Text(texts(false)?),
            Compare::Like => Self::Text(texts(true)?),
            Compare::TextInAnyCase => Self::TextInAnyCase(texts(false)?),
            Compare::Arn => Self::Arn(all(values, |text| ArnPattern::parse(text, has_variables))?),
            Compare::Number(order) => Self::Number(
                order,
                all(values, |text| {
                    number(text).ok_or_else(|| "it must be a number".to_owned())
                })?,
            ),
            Compare::Date(order) => Self::Date(
                order,
                all(values, |text| {
                    point_in_time(text).ok_or_else(|| {
                        "it must be a time, such as `2026-01-31T12:00:00Z`, or seconds since 1970".to_owned()
                    })
                })?,
            ),
            Compare::Bool => Self::Bool(all(values, is_truth)?),
            Compare::Null => Self::Null(all(values, is_truth)?),
            Compare::Binary => Self::Binary(all(values, |text| {
                base64_bytes(text).ok_or_else(|| "it must be base64".to_owned())
            })?),
            Compare::Address => Self::Address(all(values, |text| {
                text.parse()
                    .map_err(|()| "it must be an address or a range, such as `192.0.2.0/24`".to_owned())
            })?),
        })
    }

    fn matches(&self, fact: &Fact<'_>, asked: &Asked<'_>) -> bool {
        let facts = asked.facts;
        match self {
            Self::Text(globs) => {
                let text = fact.as_text();
                globs
                    .iter()
                    .any(|glob| glob.covers(&text, facts) || asked.is_unknown(glob))
            }
            Self::TextInAnyCase(globs) => {
                let text = fact.as_text();
                globs
                    .iter()
                    .any(|glob| glob.covers_in_any_case(&text, facts) || asked.is_unknown(glob))
            }
            Self::Arn(patterns) => {
                let text = fact.as_text();
                let arn = ArnParts::of(&text);
                let is_unknown = |pattern: &ArnPattern| asked.is_unknown_a_match && !pattern.is_resolved(facts);
                let mut patterns = patterns.iter();
                patterns.any(|pattern| (arn.is_arn() && pattern.covers(&arn, facts)) || is_unknown(pattern))
            }
            Self::Number(order, values) => {
                let left = match fact {
                    #[expect(clippy::cast_precision_loss, reason = "exact for the next 285 million years")]
                    Fact::Epoch(time) => Some(time.as_second() as f64),
                    other => number(&other.as_text()),
                };
                left.is_some_and(|left| values.iter().any(|right| order.holds(&left, right)))
            }
            Self::Date(order, values) => {
                let left = match fact {
                    Fact::Epoch(time) | Fact::Time(time) => Some(*time),
                    other => point_in_time(&other.as_text()),
                };
                left.is_some_and(|left| values.iter().any(|right| order.holds(&left, right)))
            }
            Self::Bool(values) => {
                let left = match fact {
                    Fact::Bool(value) => Some(*value),
                    other => truth(&other.as_text()),
                };
                left.is_some_and(|left| values.contains(&left))
            }
            Self::Binary(values) => {
                let left = base64_bytes(&fact.as_text());
                left.is_some_and(|left| values.contains(&left))
            }
            Self::Address(networks) => {
                let left = match fact {
                    Fact::Ip(address) => Some(*address),
                    other => other.as_text().parse().ok(),
                };
                left.is_some_and(|left| networks.iter().any(|network| network.contains(left)))
            }
            // Answered before any value is looked at.
            Self::Null(_) => false,
        }
    }

    /// Whether one of the values covers whatever there is.
    fn is_for_everything(&self) -> bool {
        match self {
            Self::Text(globs) | Self::TextInAnyCase(globs) => globs.iter().any(|glob| matches!(glob, Glob::Any)),
            Self::Arn(patterns) => patterns.iter().any(|pattern| matches!(pattern, ArnPattern::Any)),
            Self::Address(networks) => networks.iter().any(|network| network.is_everything()),
            Self::Null(_) => true,
            Self::Number(..) | Self::Date(..) | Self::Bool(_) | Self::Binary(_) => false,
        }
    }
}

fn is_truth(text: &str) -> Result<bool, String> {
    truth(text).ok_or_else(|| "it must be `true` or `false`".to_owned())
}
