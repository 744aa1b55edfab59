// SPDX-License-Identifier: Apache-2.0
//! Access keys: long-lived credentials of a user.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, Secret};

/// An access key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    /// Its id, which is not secret: 20 letters and digits.
    pub access_key_id: String,
    /// Whether it may be used.
    pub status: AccessKeyStatus,
    /// When it was created.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// When it was last used, to within some minutes; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub last_used_at: Option<Timestamp>,
}

/// Whether an access key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AccessKeyStatus {
    /// It may.
    Active,
    /// It may not, until it is made active again.
    Inactive,
}

impl AccessKeyStatus {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
        }
    }
}

/// An access key with its secret, which is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedAccessKey {
    /// The key.
    #[serde(flatten)]
    pub access_key: AccessKey,
    /// The secret: 40 characters. It cannot be shown again.
    pub secret_access_key: Secret,
}

/// A new access key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateAccessKey {
    /// The secret, if it is not left to the server: 40 to 128 letters, digits and `+/=._~-`, and random. For tools that
    /// hand a secret on without showing it to whoever keeps their state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-zA-Z0-9+/=._~-]{40,128}$"))]
    pub secret_access_key: Option<Secret>,
}

/// A new state of an access key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateAccessKey {
    /// Whether it may be used.
    pub status: AccessKeyStatus,
}

/// The access keys of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessKeyPage {
    /// The keys, oldest first.
    pub access_keys: Vec<AccessKey>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_key_is_one_flat_object() {
        let text = concat!(
            r#"{"accessKeyId":"HYTHEABCDEFGHIJKLMNO","status":"Active","createdAt":"2026-11-01T00:00:00Z","#,
            r#""secretAccessKey":"s"}"#
        );
        let key: CreatedAccessKey = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&key).unwrap(), text);
        assert_eq!(key.secret_access_key.expose(), "s");
    }
}
