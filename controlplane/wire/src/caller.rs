// SPDX-License-Identifier: Apache-2.0
//! Who is asking.

use hythe_model::AccountId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallerIdentity {
    /// The account.
    pub registry_id: AccountId,
    /// The ARN, as policies name it.
    pub arn: String,
    /// The user; absent for the administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
}
