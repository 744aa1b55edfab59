// SPDX-License-Identifier: Apache-2.0
//! Registries, and the parameters that most requests share.

use hythe_model::{AccountId, Region};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The registry of an account in this deployment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registry {
    /// The account, which is also the id of its registry.
    pub registry_id: AccountId,
    /// The region that this deployment is.
    pub region: Region,
    /// What stands before a repository's name in the name of an image: `host[:port]`, with the account where the deployment puts it in the path.
    pub registry_uri: String,
    /// The ARN of the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_arn: Option<String>,
    /// The URL of the control plane.
    pub endpoint: String,
    /// The version of the server.
    pub version: String,
    /// What this server can do beyond the first version of this API.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// Parameters of a request that takes nothing but the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InRegistry {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
}

/// Of a request that takes no parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// Parameters of a list that has no filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListQuery {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// Entries wanted, 1 to 1000; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_results: Option<u32>,
    /// The `nextToken` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
