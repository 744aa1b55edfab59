// SPDX-License-Identifier: Apache-2.0
//! What a token is limited to.

use hythe_model::AccountId;
use serde::{Deserialize, Serialize};

use crate::Action;
use crate::gate::Resource;

/// One right of a scope: some actions on some repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ScopeEntry {
    /// Repository names; a trailing `*` stands for any end, and `*` alone also for the registry itself and for roles.
    pub repositories: Vec<String>,
    /// Names of actions, such as `ecr:BatchGetImage`; `ecr:*` for all.
    pub actions: Vec<String>,
    /// The account whose repositories are meant; `None` for those of all accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
}

impl ScopeEntry {
    fn allows(&self, action: Action, resource: &Resource) -> bool {
        let has_action = self.actions.iter().any(|name| covers(name, action.as_str()));
        let has_resource = self.repositories.iter().any(|pattern| match resource {
            Resource::Repository(path) => covers(pattern, path.name.as_str()),
            Resource::Registry(_) | Resource::Role(_) => pattern == "*",
        });
        let is_of_account = self
            .account
            .as_ref()
            .is_none_or(|account| account == resource.account());
        is_of_account && has_action && has_resource
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

#[cfg(test)]
mod tests {
    use hythe_model::RepositoryPath;

    use super::*;

    #[test]
    fn a_right_in_one_account_is_none_in_another() {
        let repository = |account: &str| {
            Resource::Repository(RepositoryPath {
                account: account.parse().unwrap(),
                name: "team/web".parse().unwrap(),
            })
        };
        let scope = |account: Option<&str>| {
            TokenScope(vec![ScopeEntry {
                repositories: vec!["team/*".into()],
                actions: vec!["ecr:BatchGetImage".into()],
                account: account.map(|account| account.parse().unwrap()),
            }])
        };
        let cases = [
            (Some("111111111111"), "111111111111", true),
            (Some("111111111111"), "222222222222", false),
            (None, "222222222222", true),
        ];
        for (limited_to, account, is_allowed) in cases {
            let scope = scope(limited_to);
            assert_eq!(
                scope.allows(Action::BatchGetImage, &repository(account)),
                is_allowed,
                "{limited_to:?} {account}"
            );
        }
    }
}
