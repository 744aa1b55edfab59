// SPDX-License-Identifier: Apache-2.0
//! Identity providers.

use futures::Stream;
use hythe_wire::{
    CreateIdentityProvider, IdentityProvider, IdentityProviderPage, ListQuery, UpdateIdentityProvider, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// Creates an identity provider.
    pub async fn create_identity_provider(
        &self,
        request: &CreateIdentityProvider,
    ) -> Result<Versioned<IdentityProvider>, ClientError> {
        self.request(Method::POST, &path::identity_providers())
            .body(request)
            .versioned()
            .await
    }

    /// One identity provider, by its host and path.
    pub async fn identity_provider(&self, name: &str) -> Result<Versioned<IdentityProvider>, ClientError> {
        self.get(&path::identity_provider(name)).versioned().await
    }

    /// One page of identity providers, by name.
    pub async fn identity_providers(&self, query: &ListQuery) -> Result<IdentityProviderPage, ClientError> {
        self.get(&path::identity_providers()).query(query).json().await
    }

    /// All identity providers of the account, page after page.
    pub fn all_identity_providers(
        &self,
        query: ListQuery,
    ) -> impl Stream<Item = Result<IdentityProvider, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.identity_providers(&query).await?;
                Ok((page.identity_providers, page.next_token))
            }
        })
    }

    /// Changes an identity provider.
    pub async fn update_identity_provider(
        &self,
        name: &str,
        request: &UpdateIdentityProvider,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<IdentityProvider>, ClientError> {
        self.request(Method::PATCH, &path::identity_provider(name))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes an identity provider; no new session can be opened with its tokens.
    pub async fn delete_identity_provider(&self, name: &str) -> Result<IdentityProvider, ClientError> {
        self.request(Method::DELETE, &path::identity_provider(name))
            .json()
            .await
    }
}
