// SPDX-License-Identifier: Apache-2.0
//! What a token is limited to.

use serde::{Deserialize, Serialize};

use crate::Action;
use crate::gate::Resource;

/// One right of a scope: some actions on some repositories.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ScopeEntry {
    /// Repository names; a trailing `*` stands for any end, and `*` alone also for the registry itself and for roles.
    pub repositories: Vec<String>,
    /// Names of actions, such as `ecr:BatchGetImage`; `ecr:*` for all.
    pub actions: Vec<String>,
}

impl ScopeEntry {
    fn allows(&self, action: Action, resource: &Resource) -> bool {
        let has_action = self.actions.iter().any(|name| covers(name, action.as_str()));
        let has_resource = self.repositories.iter().any(|pattern| match resource {
            Resource::Repository(path) => covers(pattern, path.name.as_str()),
            Resource::Registry(_) | Resource::Role(_) => pattern == "*",
        });
        has_action && has_resource
    }
}

/// Everything that a token may be used for, whatever its principal may do beyond it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct TokenScope(pub Vec<ScopeEntry>);

impl TokenScope {
    /// Whether the scope covers `action` on `resource`.
    #[must_use]
    pub fn allows(&self, action: Action, resource: &Resource) -> bool {
        self.0.iter().any(|entry| entry.allows(action, resource))
    }
}

fn covers(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}
