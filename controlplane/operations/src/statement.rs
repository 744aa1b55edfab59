// SPDX-License-Identifier: Apache-2.0
//! Single statements of a policy: find, put, remove. Members and their order stay as they were written; white space does
//! not.

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

use crate::PutRegistryPolicyError;

/// The longest `Sid`, in characters.
const MAX_SID_CHARS: usize = 128;

/// A statement of a policy that has a `Sid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStatement {
    /// The `Sid`.
    pub sid: String,
    /// The statement as JSON.
    pub text: String,
    value: Map<String, Value>,
}

impl PolicyStatement {
    /// Parses a statement as far as it has to be one; its members are looked at with the whole policy.
    pub(crate) fn parse(sid: &str, text: &str) -> Result<Self, PutRegistryPolicyError> {
        let refuse = |pointer: &str, reason: String| {
            Err(PutRegistryPolicyError::Statement {
                pointer: pointer.into(),
                reason,
            })
        };
        if !(1..=MAX_SID_CHARS).contains(&sid.chars().count()) {
            return refuse("/Sid", format!("a Sid must have 1 to {MAX_SID_CHARS} characters"));
        }
        let mut value = match serde_json::from_str(text) {
            Ok(Value::Object(value)) => value,
            Ok(_) => return refuse("", "it must be a JSON object".into()),
            Err(error) => return refuse("", format!("Invalid JSON syntax: {error}")),
        };
        match value.get("Sid") {
            None => drop(value.shift_insert(0, "Sid".into(), sid.into())),
            Some(Value::String(own)) if own == sid => {}
            Some(_) => return refuse("/Sid", format!("it must be `{sid}`, as in the path, or absent")),
        }
        Ok(Self::new(sid, value))
    }

    /// A number that goes with the content: another content has another one.
    #[must_use]
    pub fn version(&self) -> i64 {
        let hash = digest::digest(&digest::SHA256, self.text.as_bytes());
        let start = hash.as_ref().iter().take(7);
        start.fold(0, |number, byte| (number << 8) | i64::from(*byte))
    }

    fn new(sid: &str, value: Map<String, Value>) -> Self {
        Self {
            sid: sid.to_owned(),
            text: Value::Object(value.clone()).to_string(),
            value,
        }
    }
}

/// All statements of a policy that have a `Sid`, in its order.
pub(crate) fn all(policy: &str) -> Vec<PolicyStatement> {
    let (_, statements) = parts(policy);
    let with_sid = |statement: Value| match statement {
        Value::Object(value) => {
            let sid = value.get("Sid")?.as_str()?.to_owned();
            Some(PolicyStatement::new(&sid, value))
        }
        _ => None,
    };
    statements.into_iter().filter_map(with_sid).collect()
}

/// The statement of a policy that has this `Sid`.
pub(crate) fn find(policy: &str, sid: &str) -> Option<PolicyStatement> {
    all(policy).into_iter().find(|statement| statement.sid == sid)
}

/// The policy with a statement in the place of the one with the same `Sid`, or at the end. Without a policy, a new one.
pub(crate) fn put(policy: Option<&str>, statement: &PolicyStatement) -> String {
    let (mut document, mut statements) = policy.map(parts).unwrap_or_default();
    if document.is_empty() {
        document.insert("Version".into(), "2012-10-17".into());
    }
    let value = Value::Object(statement.value.clone());
    match statements.iter().position(|other| has_sid(other, &statement.sid)) {
        None => statements.push(value),
        Some(place) => {
            let mut index = 0;
            statements.retain(|other| {
                index += 1;
                index == place + 1 || !has_sid(other, &statement.sid)
            });
            if let Some(found) = statements.get_mut(place) {
                *found = value;
            }
        }
    }
    document.insert("Statement".into(), Value::Array(statements));
    Value::Object(document).to_string()
}

/// The policy without a statement; `None` if nothing is left.
pub(crate) fn remove(policy: &str, sid: &str) -> Option<String> {
    let (mut document, mut statements) = parts(policy);
    statements.retain(|statement| !has_sid(statement, sid));
    if statements.is_empty() {
        return None;
    }
    document.insert("Statement".into(), Value::Array(statements));
    Some(Value::Object(document).to_string())
}

/// A policy as an object, and its statements. What is stored has been parsed before.
fn parts(policy: &str) -> (Map<String, Value>, Vec<Value>) {
    let Ok(Value::Object(mut document)) = serde_json::from_str(policy) else {
        return Default::default();
    };
    let statements = match document.get_mut("Statement").map(Value::take) {
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    (document, statements)
}

fn has_sid(statement: &Value, sid: &str) -> bool {
    statement.get("Sid") == Some(&json!(sid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{ "Id": "x", "Version": "2012-10-17", "Statement": [
        { "Sid": "a", "Effect": "Allow" }, { "Effect": "Deny" }, { "Sid": "b", "Effect": "Allow" } ] }"#;

    fn statement(sid: &str, text: &str) -> PolicyStatement {
        PolicyStatement::parse(sid, text).unwrap()
    }

    #[test]
    fn statements_are_put_found_and_removed() {
        let cases = [
            (
                "replaces in place",
                put(Some(POLICY), &statement("a", r#"{"Effect":"Deny"}"#)),
                r#"{"Id":"x","Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Deny"},{"Effect":"Deny"},{"Sid":"b","Effect":"Allow"}]}"#,
            ),
            (
                "adds at the end",
                put(Some(POLICY), &statement("c", r#"{"Effect":"Deny","Sid":"c"}"#)),
                r#"{"Id":"x","Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow"},{"Effect":"Deny"},{"Sid":"b","Effect":"Allow"},{"Effect":"Deny","Sid":"c"}]}"#,
            ),
            (
                "a policy of its own",
                put(None, &statement("c", "{}")),
                r#"{"Version":"2012-10-17","Statement":[{"Sid":"c"}]}"#,
            ),
            (
                "one that stands alone becomes one of two",
                put(
                    Some(r#"{"Version":"2008-10-17","Statement":{"Sid":"a"}}"#),
                    &statement("c", "{}"),
                ),
                r#"{"Version":"2008-10-17","Statement":[{"Sid":"a"},{"Sid":"c"}]}"#,
            ),
            (
                "removes",
                remove(POLICY, "a").unwrap(),
                r#"{"Id":"x","Version":"2012-10-17","Statement":[{"Effect":"Deny"},{"Sid":"b","Effect":"Allow"}]}"#,
            ),
        ];
        for (what, found, wanted) in cases {
            assert_eq!(found, wanted, "{what}");
        }
        assert_eq!(remove(&put(None, &statement("c", "{}")), "c"), None);
        assert_eq!(find(POLICY, "b").unwrap().text, r#"{"Sid":"b","Effect":"Allow"}"#);
        assert_eq!(find(POLICY, "z"), None);
        let sids: Vec<String> = all(POLICY).into_iter().map(|statement| statement.sid).collect();
        assert_eq!(sids, ["a", "b"]);
    }

    #[test]
    fn a_repeated_sid_is_replaced_once_and_removed_everywhere() {
        let twice = r#"{"Statement":[{"Sid":"a","Id":1},{"Sid":"b"},{"Sid":"a","Id":2}]}"#;
        let new = put(Some(twice), &statement("a", "{}"));
        assert_eq!(new, r#"{"Statement":[{"Sid":"a"},{"Sid":"b"}]}"#);
        assert_eq!(remove(twice, "a").unwrap(), r#"{"Statement":[{"Sid":"b"}]}"#);
    }

    #[test]
    fn what_is_no_statement_of_this_sid_is_refused() {
        for (sid, text, place) in [
            ("a", "{", ""),
            ("a", "[]", ""),
            ("a", r#"{"Sid":"b"}"#, "/Sid"),
            ("a", r#"{"Sid":1}"#, "/Sid"),
            ("", "{}", "/Sid"),
        ] {
            match PolicyStatement::parse(sid, text) {
                Err(PutRegistryPolicyError::Statement { pointer, .. }) => assert_eq!(pointer, place, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn another_content_is_another_version() {
        let (one, other) = (statement("a", "{}"), statement("a", r#"{"Effect":"Deny"}"#));
        assert!(one.version() >= 0 && one.version() != other.version());
        assert_eq!(one.version(), statement("a", r#"{ "Sid": "a" }"#).version());
    }
}
