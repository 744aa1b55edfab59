// SPDX-License-Identifier: Apache-2.0
//! `OpenID` Connect identity providers of an account, and sessions of roles that their tokens open.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, Secret};

/// An identity provider: an issuer of tokens that the account's roles may trust.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityProvider {
    /// The issuer's URL without its scheme, unique in the account: `token.actions.githubusercontent.com`. It is also what the
    /// names of the condition keys of its claims start with.
    pub provider_name: String,
    /// `arn:aws:iam::<account>:oidc-provider/<provider name>`, as trust policies name it (`Principal.Federated`).
    pub arn: String,
    /// The issuer's URL, exactly as its tokens say it (`iss`).
    pub url: String,
    /// The audiences (`aud`) of which a token must have one.
    pub client_id_list: Vec<String>,
    /// The algorithms that a token may be signed with.
    pub signing_algorithms: Vec<SigningAlgorithm>,
    /// The certificate authorities, in PEM, that the issuer's TLS certificate is checked against, in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// The issuer's public keys, as the JSON text of a JWK set (RFC 7517), if they are not fetched from the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it was created.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
}

/// An algorithm that signs tokens (RFC 7518, section 3.1; RFC 8037). Neither `none` nor a symmetric one is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    RS256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    RS384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    RS512,
    /// RSA-PSS, SHA-256.
    PS256,
    /// RSA-PSS, SHA-384.
    PS384,
    /// RSA-PSS, SHA-512.
    PS512,
    /// ECDSA on P-256, SHA-256.
    ES256,
    /// ECDSA on P-384, SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The name on the wire and in tokens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// A new identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateIdentityProvider {
    /// The issuer's URL, exactly as its tokens say it (`iss`): `https://` and a host in lower case, perhaps a port and a path.
    /// `http://` only for an issuer on the server's own machine, `127.0.0.1` or `localhost`.
    #[schemars(length(min = 9, max = 255))]
    pub url: String,
    /// The audiences (`aud`) of which a token must have one.
    #[schemars(length(min = 1, max = 100))]
    pub client_id_list: Vec<String>,
    /// The algorithms that a token may be signed with; `RS256` and `ES256` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 9))]
    pub signing_algorithms: Option<Vec<SigningAlgorithm>>,
    /// The certificate authorities, in PEM, to check the issuer's TLS certificate against, in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// The issuer's public keys, as the JSON text of a JWK set, for an issuer that the server cannot reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub description: Option<String>,
}

/// What shall change about an identity provider; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateIdentityProvider {
    /// The audiences (`aud`) of which a token must have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub client_id_list: Option<Vec<String>>,
    /// The algorithms that a token may be signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 9))]
    pub signing_algorithms: Option<Vec<SigningAlgorithm>>,
    /// The certificate authorities, in PEM; an empty text for the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// The JSON text of a JWK set; an empty text to fetch the keys from the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// What it is for; an empty text for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub description: Option<String>,
}

/// One page of identity providers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityProviderPage {
    /// The providers, by name.
    pub identity_providers: Vec<IdentityProvider>,
    /// The token of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A token of an identity provider, for a session of a role that trusts it (STS, `AssumeRoleWithWebIdentity`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateWebIdentitySession {
    /// `arn:aws:iam::<account>:role/<name>`.
    pub role_arn: String,
    /// What the session is called in the audit log and in policies: 2 to 64 letters, digits and `_+=,.@-`.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_+=,.@-]{2,64}$"))]
    pub role_session_name: String,
    /// The token, as the provider has issued it: a JSON Web Token.
    pub web_identity_token: Secret,
    /// The session's life, in seconds; one hour by default, and no longer than the role allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 900, max = 43_200))]
    pub duration_seconds: Option<u32>,
    /// The text of a policy that limits the session further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_are_spelt_as_in_tokens() {
        for algorithm in SigningAlgorithm::ALL {
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
        }
        for wrong in ["none", "None", "HS256", "rs256", "ES512"] {
            serde_json::from_value::<SigningAlgorithm>(wrong.into()).unwrap_err();
        }
    }

    #[test]
    fn a_request_does_not_show_its_token() {
        let request: CreateWebIdentitySession = serde_json::from_str(
            r#"{"roleArn":"arn:aws:iam::000000000000:role/ci","roleSessionName":"run","webIdentityToken":"hunter2"}"#,
        )
        .unwrap();
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
