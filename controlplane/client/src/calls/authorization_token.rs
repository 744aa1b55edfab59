// SPDX-License-Identifier: Apache-2.0
//! Authorization tokens.

use hythe_wire::{
    AuthorizationToken, CreateAuthorizationToken, InRegistry, RenewAuthorizationToken, RenewedAuthorizationToken,
    RevokedAuthorizationToken, path,
};
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// Makes a token for the registry.
    pub async fn create_authorization_token(
        &self,
        request: &CreateAuthorizationToken,
    ) -> Result<AuthorizationToken, ClientError> {
        self.request(Method::POST, &path::authorization_tokens())
            .body(request)
            .json()
            .await
    }

    /// Makes a token for the registry for a user, with the user's rights.
    pub async fn create_user_authorization_token(
        &self,
        user: &str,
        registry: &InRegistry,
        request: &CreateAuthorizationToken,
    ) -> Result<AuthorizationToken, ClientError> {
        self.request(Method::POST, &path::user_authorization_tokens(user))
            .query(registry)
            .body(request)
            .json()
            .await
    }

    /// Lets a renewable token of a user live for `duration_seconds` from now (as long as at its creation by default).
    pub async fn renew_user_authorization_token(
        &self,
        user: &str,
        registry: &InRegistry,
        id: &str,
        duration_seconds: Option<u32>,
    ) -> Result<RenewedAuthorizationToken, ClientError> {
        self.request(Method::POST, &path::user_renewals(user, id))
            .query(registry)
            .body(&RenewAuthorizationToken { duration_seconds })
            .json()
            .await
    }

    /// Ends the life of a user's token. One that is not there any more is no error.
    pub async fn revoke_user_authorization_token(
        &self,
        user: &str,
        registry: &InRegistry,
        id: &str,
    ) -> Result<RevokedAuthorizationToken, ClientError> {
        self.request(Method::DELETE, &path::user_authorization_token(user, id))
            .query(registry)
            .json()
            .await
    }

    /// Lets a renewable token live for `duration_seconds` from now (as long as at its creation by default).
    pub async fn renew_authorization_token(
        &self,
        id: &str,
        duration_seconds: Option<u32>,
    ) -> Result<RenewedAuthorizationToken, ClientError> {
        self.request(Method::POST, &path::renewals(id))
            .body(&RenewAuthorizationToken { duration_seconds })
            .json()
            .await
    }

    /// Ends a token's life. One that is not there any more is no error.
    pub async fn revoke_authorization_token(&self, id: &str) -> Result<RevokedAuthorizationToken, ClientError> {
        self.request(Method::DELETE, &path::authorization_token(id))
            .json()
            .await
    }
}
