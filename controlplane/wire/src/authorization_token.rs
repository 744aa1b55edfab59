// SPDX-License-Identifier: Apache-2.0
//! Authorization tokens: short-lived passwords for the registry.

use hythe_model::AccountId;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, Secret};

/// The longest life of a token, in seconds: 12 hours, as ECR's.
pub const MAX_TOKEN_SECONDS: u32 = 43_200;

/// The shortest life of a token, in seconds.
pub const MIN_TOKEN_SECONDS: u32 = 60;

/// The user name that goes with every token.
pub const TOKEN_USER_NAME: &str = "AWS";

/// A new token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateAuthorizationToken {
    /// What it may be used for; whatever the caller may do, by default. A scope never adds rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50))]
    pub scope: Option<Vec<TokenScopeEntry>>,
    /// Its life, in seconds; 12 hours by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 43_200))]
    pub duration_seconds: Option<u32>,
    /// Whether its life can be extended, up to 12 hours from now in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewable: Option<bool>,
}

/// One right of a scope: some actions on some repositories.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenScopeEntry {
    /// Repository names; a trailing `*` stands for any end, and `*` alone also for the registry itself.
    #[schemars(length(min = 1, max = 100))]
    pub repositories: Vec<String>,
    /// Names of actions, such as `ecr:BatchGetImage`; `ecr:*` for all.
    #[schemars(length(min = 1, max = 200))]
    pub actions: Vec<String>,
    /// The account whose repositories are meant; that of the token by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
}

/// A token, shown once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationToken {
    /// Its id, with which it is renewed and revoked.
    pub token_id: String,
    /// Base64 of `AWS:<password>`, as ECR hands it out.
    pub authorization_token: Secret,
    /// The user name for the registry: `AWS`.
    pub user_name: String,
    /// The password for the registry; also a bearer token for this API.
    pub password: Secret,
    /// The URL of the registry that it is for.
    pub proxy_endpoint: String,
    /// When it was made.
    #[schemars(with = "DateTime")]
    pub issued_at: Timestamp,
    /// When it ends, unless it is renewed or revoked.
    #[schemars(with = "DateTime")]
    pub expires_at: Timestamp,
}

/// For how much longer a renewable token shall live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenewAuthorizationToken {
    /// Seconds from now; as long as at its creation by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 43_200))]
    pub duration_seconds: Option<u32>,
}

/// A token that was renewed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenewedAuthorizationToken {
    /// Its id.
    pub token_id: String,
    /// When it ends now.
    #[schemars(with = "DateTime")]
    pub expires_at: Timestamp,
}

/// A token that was revoked, or was never there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevokedAuthorizationToken {
    /// Its id.
    pub token_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_show_itself_in_debug() {
        let token = AuthorizationToken {
            token_id: "t1".into(),
            authorization_token: Secret::new("c2VjcmV0"),
            user_name: TOKEN_USER_NAME.into(),
            password: Secret::new("hunter2"),
            proxy_endpoint: "http://127.0.0.1:5000".into(),
            issued_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
        };
        let shown = format!("{token:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("c2VjcmV0"), "{shown}");
        let json = serde_json::to_string(&token).unwrap();
        assert_eq!(serde_json::from_str::<AuthorizationToken>(&json).unwrap(), token);
    }
}
