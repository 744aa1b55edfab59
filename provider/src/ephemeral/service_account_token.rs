// SPDX-License-Identifier: Apache-2.0
//! `hythe_service_account_token`.

use hythe_wire::{CreateAuthorizationToken, InRegistry};
use tfplugin::{Attr, Call, Diagnostics, EphemeralResource, Opened, Renewed, Result, Schema};

use super::authorization_token::Scope;
use super::lease::{DEFAULT_TTL_SECONDS, Lease, Shown, life, renewal};
use crate::connection::Connection;
use crate::{diagnostics, iam};

/// Makes a short-lived password for a service account or another user, with its rights in place of one's own.
///
/// The provider's credentials need `hythe:CreateUserToken` on the user. The token is in neither plan nor state. While Terraform
/// needs it, its life is extended; after that it is revoked, and it ends with the provider's own credentials. An interrupted run
/// does not revoke it: it ends after its `ttl`.
#[derive(Default, Schema)]
pub struct ServiceAccountToken {
    /// The name of the service account, or of another user of the account.
    #[tf(required, validate = iam::name_of_64)]
    pub service_account: Attr<String>,
    /// What the token may be used for: the union of the entries. Without a scope, whatever the service account may do; a scope
    /// never adds rights.
    #[tf(optional)]
    pub scope: Attr<Vec<Scope>>,
    /// The life of the token, in seconds: 60 to 43200 (default 900). It is extended while Terraform runs, up to 12 hours in
    /// all.
    #[tf(optional, computed, validate = life)]
    pub ttl: Attr<u32>,
    /// The user name for the registry: `AWS`.
    #[tf(computed)]
    pub user_name: Attr<String>,
    /// The password for the registry; also a bearer token for the control plane.
    #[tf(computed, sensitive)]
    pub password: Attr<String>,
    /// User name and password as one text: base64 of `AWS:<password>`.
    #[tf(computed, sensitive)]
    pub authorization_token: Attr<String>,
    /// The URL of the registry that the token is for.
    #[tf(computed)]
    pub proxy_endpoint: Attr<String>,
    /// When the token ends unless its life is extended (RFC 3339).
    #[tf(computed)]
    pub expires_at: Attr<String>,
}

impl EphemeralResource for ServiceAccountToken {
    const NAME: &'static str = "service_account_token";
    type Client = Connection;

    fn validate(config: &Self) -> Diagnostics {
        Scope::validate_all(&config.scope)
    }

    async fn open(cx: &Call<Connection>, config: Self) -> Result<Opened<Self>> {
        let connection = Connection::of(cx).await?;
        let (user, own) = (
            config.service_account.required("service_account")?,
            InRegistry::default(),
        );
        let ttl = config.ttl.unwrap_or(DEFAULT_TTL_SECONDS);
        let request = CreateAuthorizationToken {
            scope: Scope::all_to_wire(&config.scope)?,
            duration_seconds: Some(ttl),
            renewable: Some(true),
        };
        let ask = || connection.client.create_user_authorization_token(user, &own, &request);
        let made = connection.send(cx, ask).await;
        let made = made.map_err(|error| diagnostics::failed(&format!("make a token for `{user}`"), &error))?;
        let private = Lease::of(&made, ttl, Some(user.clone())).to_bytes();
        let Shown {
            user_name,
            password,
            authorization_token,
            proxy_endpoint,
            expires_at,
        } = Shown::from(&made);
        Ok(Opened {
            renew_at: Some(renewal(connection.clock.now(), ttl)),
            private,
            result: Self {
                ttl: ttl.into(),
                user_name,
                password,
                authorization_token,
                proxy_endpoint,
                expires_at,
                ..config
            },
        })
    }

    async fn renew(cx: &Call<Connection>, private: Vec<u8>) -> Result<Renewed> {
        Lease::renew(cx, &private).await
    }

    async fn close(cx: &Call<Connection>, private: Vec<u8>) -> Result<()> {
        Lease::close(cx, &private).await
    }
}
