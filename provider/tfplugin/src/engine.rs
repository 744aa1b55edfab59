// SPDX-License-Identifier: Apache-2.0
//! What follows from the schema alone: planning, keeping the user's own text, and checks.
//!
//! Everything here is synchronous and pure.

mod config;
mod conform;
mod normalise;
mod plan;
#[cfg(test)]
mod tests;

pub(crate) use config::{generated_config, validate, with_defaults, write_only_paths};
pub(crate) use conform::{check_applied, check_known, check_planned};
pub(crate) use normalise::{complete, keep_meaning, without_write_only};
pub(crate) use plan::{differs, planned, planned_as_changed, replacements};

use crate::schema::{Attribute, Kind, NestedBlock, Nesting, ObjectSchema};
use crate::value::Value;

/// A member of an object that holds objects with a schema: a nested attribute or a nested block.
#[derive(Clone, Copy)]
pub(crate) struct Nested<'a> {
    pub nesting: Nesting,
    pub object: &'a ObjectSchema,
}

impl Attribute {
    fn nested(&self) -> Option<Nested<'_>> {
        match &self.kind {
            Kind::Value(_) => None,
            Kind::Nested { nesting, object } => Some(Nested {
                nesting: *nesting,
                object,
            }),
        }
    }
}

impl NestedBlock {
    fn nested(&self) -> Nested<'_> {
        Nested {
            nesting: self.nesting,
            object: &self.object,
        }
    }
}

/// Splits `items` into pairs of elements that correspond: by index or key, with null for a missing partner.
fn paired<'a>(a: &'a Value, b: &'a Value) -> Vec<(Step<'a>, &'a Value, &'a Value)> {
    const NULL: &Value = &Value::Null;
    match (a, b) {
        (Value::Map(_), _) | (_, Value::Map(_)) => {
            let keys = [a, b]
                .into_iter()
                .filter_map(Value::as_map)
                .flat_map(|items| items.keys());
            let keys: std::collections::BTreeSet<&String> = keys.collect();
            keys.into_iter()
                .map(|key| (Step::Key(key), a.get(key), b.get(key)))
                .collect()
        }
        _ => {
            let (a, b) = (a.as_list().unwrap_or_default(), b.as_list().unwrap_or_default());
            let at = |items: &'a [Value], index: usize| items.get(index).unwrap_or(NULL);
            (0..a.len().max(b.len()))
                .map(|index| (Step::Index(index), at(a, index), at(b, index)))
                .collect()
        }
    }
}

/// The address of an element in a list or map.
#[derive(Clone, Copy)]
enum Step<'a> {
    Index(usize),
    Key(&'a str),
}

impl Step<'_> {
    fn under(self, path: &crate::Path) -> crate::Path {
        match self {
            Self::Index(index) => path.clone().index(index),
            Self::Key(key) => path.clone().key(key),
        }
    }
}
