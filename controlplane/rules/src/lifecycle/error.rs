// SPDX-License-Identifier: Apache-2.0
//! Why a text is not a lifecycle policy, in the words in which ECR says it.

use crate::json::{Node, place};

/// Why a text is not a lifecycle policy.
///
/// The reason begins with ECR's own text where that is known, so that clients which look for it find it; what to do about
/// it follows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Lifecycle policy validation failure: {reason}")]
pub struct LifecyclePolicyError {
    pointer: String,
    reason: String,
}

impl LifecyclePolicyError {
    pub(super) fn new(pointer: &str, reason: impl Into<String>) -> Self {
        Self {
            pointer: pointer.to_owned(),
            reason: reason.into(),
        }
    }

    /// The place in the document, as a JSON pointer (RFC 6901); empty for the whole.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The text is not an object, or says something that has no meaning.
    pub(super) fn unreadable(at: &str, why: &str) -> Self {
        Self::new(at, format!("Could not map policyString into LifecyclePolicy. {why}"))
    }

    pub(super) fn missing(at: &str, names: &[&str]) -> Self {
        Self::new(
            at,
            format!("object has missing required properties ({})", quoted(names)),
        )
    }

    pub(super) fn unknown_member(at: &str, name: &str) -> Self {
        Self::new(
            &place(at, name),
            format!(
                "object instance has properties which are not allowed by the schema: {}",
                quoted(&[name])
            ),
        )
    }

    pub(super) fn wrong_type(at: &str, node: &Node, allowed: &str) -> Self {
        let found = match node {
            Node::Null => "null",
            Node::Bool(_) => "boolean",
            Node::Number(number) if number.parse::<i64>().is_ok() => "integer",
            Node::Number(_) => "number",
            Node::Text(_) => "string",
            Node::List(_) => "array",
            Node::Object(_) => "object",
        };
        Self::new(
            at,
            format!(
                "instance type ({found}) does not match any allowed primitive type (allowed: {})",
                quoted(&[allowed])
            ),
        )
    }

    pub(super) fn not_in_enum(at: &str, found: &str, known: &[&str]) -> Self {
        Self::new(
            at,
            format!(
                "instance value ({}) not found in enum (possible values: {})",
                serde_json::Value::from(found),
                quoted(known)
            ),
        )
    }

    pub(super) fn too_low(at: &str, minimum: i64, found: i64) -> Self {
        Self::new(
            at,
            format!("numeric instance is lower than the required minimum (minimum: {minimum}, found: {found})"),
        )
    }

    pub(super) fn too_high(at: &str, maximum: i64, found: &str) -> Self {
        Self::new(
            at,
            format!("numeric instance is greater than the required maximum (maximum: {maximum}, found: {found})"),
        )
    }

    /// No variant of an object fits; ECR's text does not say why, so that is added.
    pub(super) fn no_variant(at: &str, why: &str) -> Self {
        Self::new(
            at,
            format!("instance failed to match exactly one schema (matched 0 out of 2): {why}"),
        )
    }
}

/// A list of texts as JSON.
fn quoted(names: &[&str]) -> String {
    serde_json::Value::from(names).to_string()
}
