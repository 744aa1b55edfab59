// SPDX-License-Identifier: Apache-2.0
//! Policy documents that are put together, and the one text for them.

use std::fmt;

use hythe_rules::{Policy, PolicyError};
use serde_json::{Map, Value};
use tfplugin::{Diagnostic, Path, Result};

use crate::policy::VERSION;

/// The members of a statement, in the order in which they are written.
const MEMBERS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// Where a statement comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A block of the configuration, by its position.
    Block(usize),
    /// Another document, by the place of its text.
    Document(Path),
}

/// A document in the making.
#[derive(Clone, Debug)]
pub(super) struct Document {
    version: String,
    id: Option<String>,
    statements: Vec<(Map<String, Value>, Origin)>,
}

impl Document {
    /// A document without statements.
    pub fn new(version: &str, id: Option<&str>) -> Self {
        Self {
            version: version.to_owned(),
            id: id.map(str::to_owned),
            statements: Vec::new(),
        }
    }

    /// Adds the statements of a document whose names are all new.
    pub fn add_source(&mut self, text: &str, path: &Path) -> Result<()> {
        for statement in statements(text, path)? {
            if let Some(sid) = sid(&statement)
                && self.position(sid).is_some()
            {
                let detail =
                    format!("The `Sid` `{sid}` is in a document before this one: sources have to differ in theirs.");
                return Err(Diagnostic::error("Statement of the same name", detail)
                    .at(path.clone())
                    .into());
            }
            self.statements.push((statement, Origin::Document(path.clone())));
        }
        Ok(())
    }

    /// Adds the statements of a document in place of those that have the same names.
    pub fn add_override(&mut self, text: &str, path: &Path) -> Result<()> {
        for statement in statements(text, path)? {
            self.replace(statement, Origin::Document(path.clone()));
        }
        Ok(())
    }

    /// Adds a statement in place of the one that has the same name.
    pub fn replace(&mut self, statement: Map<String, Value>, origin: Origin) {
        let position = sid(&statement).and_then(|sid| self.position(sid));
        match position.and_then(|position| self.statements.get_mut(position)) {
            Some(place) => *place = (statement, origin),
            None => self.statements.push((statement, origin)),
        }
    }

    /// Whether it is a policy of some kind. What kind, its statements tell: who has no principals is a policy of an
    /// identity; who may take on a role is about actions of `sts` only.
    pub fn check(&self) -> Result<(), (PolicyError, Option<Origin>)> {
        let text = self.to_string();
        let has_principals = |(statement, _): &(Map<String, Value>, Origin)| {
            ["Principal", "NotPrincipal"]
                .iter()
                .any(|it| statement.contains_key(*it))
        };
        let parsed = if !self.statements.iter().any(has_principals) {
            Policy::parse_identity(&text)
        } else if self.statements.iter().all(|(statement, _)| is_about_sts(statement)) {
            Policy::parse_trust(&text)
        } else {
            // A repository's policy may do without resources, a registry's has them.
            Policy::parse_resource(&text).or_else(|error| Policy::parse_registry(&text).map_err(|_| error))
        };
        parsed.map(drop).map_err(|error| {
            let index = error
                .pointer()
                .split('/')
                .nth(2)
                .and_then(|index| index.parse::<usize>().ok());
            let origin = index.and_then(|index| self.statements.get(index));
            (error, origin.map(|(_, origin)| origin.clone()))
        })
    }

    fn position(&self, wanted: &str) -> Option<usize> {
        self.statements
            .iter()
            .position(|(statement, _)| sid(statement) == Some(wanted))
    }
}

impl fmt::Display for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut members = Map::new();
        members.insert("Version".into(), self.version.clone().into());
        if let Some(id) = &self.id {
            members.insert("Id".into(), id.clone().into());
        }
        let statements = self
            .statements
            .iter()
            .map(|(statement, _)| Value::Object(ordered(statement)));
        members.insert("Statement".into(), statements.collect());
        write!(formatter, "{}", Value::Object(members))
    }
}

fn sid(statement: &Map<String, Value>) -> Option<&str> {
    statement
        .get("Sid")
        .and_then(Value::as_str)
        .filter(|sid| !sid.is_empty())
}

fn is_about_sts(statement: &Map<String, Value>) -> bool {
    let actions = match statement.get("Action") {
        Some(Value::String(action)) => vec![action.as_str()],
        Some(Value::Array(actions)) => actions.iter().filter_map(Value::as_str).collect(),
        _ => return false,
    };
    !actions.is_empty()
        && actions
            .iter()
            .all(|action| action.to_ascii_lowercase().starts_with("sts:"))
}

/// The statements of a document; without a text there are none.
fn statements(text: &str, path: &Path) -> Result<Vec<Map<String, Value>>> {
    let refused = |problem: String| Diagnostic::error("Not a policy document", problem).at(path.clone());
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let document: Value = serde_json::from_str(text).map_err(|error| refused(format!("It is no JSON: {error}.")))?;
    let version = document.get("Version").and_then(Value::as_str);
    if version.is_some_and(|version| ![VERSION, "2008-10-17"].contains(&version)) {
        return Err(refused(format!("`/Version`: it must be `{VERSION}` or `2008-10-17`.")).into());
    }
    let listed = match document.get("Statement") {
        Some(Value::Array(list)) => list.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        None => Vec::new(),
        Some(_) => return Err(refused("`/Statement`: it must be a statement or a list of them.".into()).into()),
    };
    let object = |(index, value)| match value {
        Value::Object(members) => Ok(members),
        _ => Err(refused(format!("`/Statement/{index}`: it must be an object.")).into()),
    };
    listed.into_iter().enumerate().map(object).collect()
}

/// The statement with its members in their order, and with values in theirs.
fn ordered(statement: &Map<String, Value>) -> Map<String, Value> {
    let known = MEMBERS.iter().filter_map(|name| Some((*name, statement.get(*name)?)));
    // What is not known is kept, for the parser to refuse.
    let others = statement.iter().filter(|(name, _)| !MEMBERS.contains(&name.as_str()));
    let members = known.chain(others.map(|(name, value)| (name.as_str(), value)));
    members.map(|(name, value)| (name.to_owned(), sorted(value))).collect()
}

/// Values in order and without repetition, members by name, and a list of one as its element.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by_cached_key(Value::to_string);
            items.dedup();
            match items.as_mut_slice() {
                [one] => one.take(),
                _ => Value::Array(items),
            }
        }
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members
                .iter()
                .map(|(name, value)| (name.clone(), sorted(value)))
                .collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members.into_iter().collect())
        }
        other => other.clone(),
    }
}
