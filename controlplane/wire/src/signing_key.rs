// SPDX-License-Identifier: Apache-2.0
//! The keys that sign tokens.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DateTime;

/// A key that signs tokens. The key itself is never shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SigningKey {
    /// Its id, which every token of it names.
    pub key_id: String,
    /// What it is for now.
    pub status: SigningKeyStatus,
    /// When it was made.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// From when on it signs; absent for the first key of a deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub active_from: Option<Timestamp>,
    /// Until when tokens that it has signed are good; absent while there is no newer key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub verifies_until: Option<Timestamp>,
}

/// What a signing key is for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SigningKeyStatus {
    /// It will sign in a moment, when all nodes know it.
    Pending,
    /// It signs.
    Active,
    /// It signs no more; tokens that it has signed are good until they end.
    Verifying,
}

/// All keys that sign or verify tokens, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeyList {
    /// The keys.
    pub signing_keys: Vec<SigningKey>,
}
