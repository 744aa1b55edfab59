// SPDX-License-Identifier: Apache-2.0
//! Virtual repositories.

use hythe_model::{AccountId, RepositoryPrefix, VirtualSources};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DateTime;

/// A virtual repository: a name, and all names below it, that are read through other repositories, its sources.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualRepository {
    /// The account whose names it is about.
    pub registry_id: AccountId,
    /// Its name: `all` is for `all` and for `all/web`, not for `allx/web`.
    pub virtual_repository_name: RepositoryPrefix,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it is read from, in this order.
    pub sources: VirtualSources,
    /// When it was created.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
}

/// A new virtual repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateVirtualRepository {
    /// Its name, which no repository may have or begin with.
    pub virtual_repository_name: RepositoryPrefix,
    /// Where it is read from: 1 to 10 sources, in this order.
    pub sources: VirtualSources,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
}

/// What to change about a virtual repository; an absent member stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateVirtualRepository {
    /// Where it is read from, in place of all sources that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<VirtualSources>,
    /// What it is for; an empty text takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
}

/// One page of virtual repositories, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualRepositoryPage {
    /// The virtual repositories.
    pub virtual_repositories: Vec<VirtualRepository>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_repository_round_trips() {
        let text = concat!(
            r#"{"registryId":"000000000000","virtualRepositoryName":"all","description":"d","sources":["#,
            r#"{"repositoryPrefix":"team"},{"repositoryPrefix":"hub","includes":["library/*"],"excludes":["library/web"]}],"#,
            r#""createdAt":"2026-11-01T00:00:00Z","updatedAt":"2026-11-01T00:00:00Z"}"#
        );
        let found: VirtualRepository = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&found).unwrap(), text);
        for refused in [
            r#"{"virtualRepositoryName":"all"}"#,
            r#"{"virtualRepositoryName":"all","sources":[]}"#,
            r#"{"virtualRepositoryName":"all","sources":[{"repositoryPrefix":"team/"}]}"#,
            r#"{"virtualRepositoryName":"all","sources":[{"repositoryPrefix":"team"}],"x":1}"#,
        ] {
            assert!(
                serde_json::from_str::<CreateVirtualRepository>(refused).is_err(),
                "{refused}"
            );
        }
    }
}
