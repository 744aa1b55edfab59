// SPDX-License-Identifier: Apache-2.0
//! What the handlers of users, groups and roles have in common.

use hythe_model::{AccountId, ResourceTags};
use hythe_operations::{MAX_DESCRIPTION_CHARS, PolicyRef};
use hythe_wire::ResourceTag;

use crate::Problem;

/// The most policies that one request may name; a principal may have fewer.
const MAX_POLICIES_IN_REQUEST: usize = 100;

/// A text for people out of the member `pointer`: no control characters but tabs and line ends.
pub(super) fn description(pointer: &str, text: String) -> Result<String, Problem> {
    let is_allowed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    if text.chars().count() <= MAX_DESCRIPTION_CHARS && text.chars().all(is_allowed) {
        return Ok(text);
    }
    let reason = format!("it must have at most {MAX_DESCRIPTION_CHARS} characters, none of them a control character");
    Err(Problem::invalid_member(pointer, reason))
}

/// The policies that the member `/policies` names.
pub(super) fn policies(names: &[String], account: &AccountId) -> Result<Vec<PolicyRef>, Problem> {
    if names.len() > MAX_POLICIES_IN_REQUEST {
        let reason = format!("it must name at most {MAX_POLICIES_IN_REQUEST} policies");
        return Err(Problem::invalid_member("/policies", reason));
    }
    let policy = |(index, name): (usize, &String)| {
        PolicyRef::parse(name, account).map_err(|error| Problem::invalid_member(&format!("/policies/{index}"), error))
    };
    names.iter().enumerate().map(policy).collect()
}

/// The policy that the member `/permissionsBoundary` names.
pub(super) fn boundary(name: &str, account: &AccountId) -> Result<PolicyRef, Problem> {
    PolicyRef::parse(name, account).map_err(|error| Problem::invalid_member("/permissionsBoundary", error))
}

/// The tags of the member `/resourceTags`.
pub(super) fn resource_tags(tags: Vec<ResourceTag>) -> Result<ResourceTags, Problem> {
    ResourceTags::new(tags.into_iter().map(|tag| (tag.key, tag.value)))
        .map_err(|error| Problem::from(error).at("/resourceTags"))
}

/// The names, as answers have them.
pub(super) fn names<T: ToString>(things: &[T]) -> Vec<String> {
    things.iter().map(ToString::to_string).collect()
}
