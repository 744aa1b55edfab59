// SPDX-License-Identifier: Apache-2.0
//! Where the registry is, asked in a way that every user may.

use hythe_client::wire::CreateAuthorizationToken;
use hythe_client::{Client, Endpoint};
use hythe_model::AccountId;
use serde::Serialize;

use crate::error::CliError;

/// The life of a token that is made for its address only. It is revoked at once, but the server may be gone by then.
const TOKEN_SECONDS: u32 = 60;

/// The registry of the caller's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegistryAddress {
    /// The account.
    pub(crate) registry_id: AccountId,
    /// `host[:port]`, to log in to.
    pub(crate) host: String,
}

impl RegistryAddress {
    /// Asks the server. Most managed policies do not allow to describe the registry, but each allows to log in to it, and
    /// a login names its address as well.
    pub(crate) async fn find(client: &Client) -> Result<Self, CliError> {
        match client.registry().await {
            Ok(registry) => Ok(Self {
                registry_id: registry.registry_id,
                host: registry.registry_uri.split('/').next().unwrap_or_default().to_owned(),
            }),
            Err(error) if error.is_access_denied() => {
                let request = CreateAuthorizationToken {
                    duration_seconds: Some(TOKEN_SECONDS),
                    ..CreateAuthorizationToken::default()
                };
                let token = client.create_authorization_token(&request).await?;
                let _ = client.revoke_authorization_token(&token.token_id).await; // else it ends by itself
                Ok(Self {
                    registry_id: client.caller_identity().await?.registry_id,
                    host: token.proxy_endpoint.parse::<Endpoint>()?.authority(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{StatusCode, header};
    use axum::routing::{delete, get, post};
    use axum::{Json, Router};
    use hythe_client::{Arguments, Environment, Settings};
    use serde_json::json;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn who_may_only_log_in_learns_the_address_from_a_login() {
        let denied = || async {
            let problem =
                json!({ "type": "about:blank", "title": "Forbidden", "status": 403, "code": "AccessDeniedException" });
            let kind = [(header::CONTENT_TYPE, "application/problem+json")];
            (StatusCode::FORBIDDEN, kind, problem.to_string())
        };
        let token = || async {
            Json(json!({
                "tokenId": "t", "authorizationToken": "x", "userName": "AWS", "password": "p", "proxyEndpoint": "http://reg.test:5000",
                "issuedAt": "2026-11-01T00:00:00Z", "expiresAt": "2026-11-01T12:00:00Z",
            }))
        };
        let identity =
            || async { Json(json!({ "registryId": "000000000001", "arn": "arn:aws:iam::000000000001:user/ci" })) };
        let app = Router::new()
            .route("/api/v1/registry", get(denied))
            .route("/api/v1/authorization-tokens", post(token))
            .route(
                "/api/v1/authorization-tokens/t",
                delete(|| async { Json(json!({ "tokenId": "t" })) }),
            )
            .route("/api/v1/caller-identity", get(identity));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let variables = [
            ("HYTHE_ENDPOINT", format!("http://{}", listener.local_addr().unwrap())),
            ("HYTHE_TOKEN", "t".to_owned()),
        ];
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });

        let environment = Environment::new(variables, "/".into());
        let client = Client::new(&Settings::resolve(&environment, &Arguments::default()).unwrap()).unwrap();
        let found = RegistryAddress::find(&client).await.unwrap();
        let want = RegistryAddress {
            registry_id: "000000000001".parse().unwrap(),
            host: "reg.test:5000".into(),
        };
        assert_eq!(found, want);
    }
}
