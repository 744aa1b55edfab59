// SPDX-License-Identifier: Apache-2.0
//! Virtual repositories.

use futures::Stream;
use hythe_model::RepositoryPrefix;
use hythe_wire::{
    CreateVirtualRepository, ListQuery, UpdateVirtualRepository, VirtualRepository, VirtualRepositoryPage, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// Creates a virtual repository.
    pub async fn create_virtual_repository(
        &self,
        request: &CreateVirtualRepository,
    ) -> Result<Versioned<VirtualRepository>, ClientError> {
        self.request(Method::POST, &path::virtual_repositories())
            .body(request)
            .versioned()
            .await
    }

    /// One virtual repository.
    pub async fn virtual_repository(
        &self,
        name: &RepositoryPrefix,
    ) -> Result<Versioned<VirtualRepository>, ClientError> {
        self.get(&path::virtual_repository(name)).versioned().await
    }

    /// One page of virtual repositories, by name.
    pub async fn virtual_repositories(&self, query: &ListQuery) -> Result<VirtualRepositoryPage, ClientError> {
        self.get(&path::virtual_repositories()).query(query).json().await
    }

    /// All virtual repositories of the account, page after page.
    pub fn all_virtual_repositories(
        &self,
        query: ListQuery,
    ) -> impl Stream<Item = Result<VirtualRepository, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.virtual_repositories(&query).await?;
                Ok((page.virtual_repositories, page.next_token))
            }
        })
    }

    /// Changes a virtual repository.
    pub async fn update_virtual_repository(
        &self,
        name: &RepositoryPrefix,
        request: &UpdateVirtualRepository,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<VirtualRepository>, ClientError> {
        self.request(Method::PATCH, &path::virtual_repository(name))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a virtual repository; the repositories that it was read from stay as they are.
    pub async fn delete_virtual_repository(
        &self,
        name: &RepositoryPrefix,
        if_match: Option<&ETag>,
    ) -> Result<VirtualRepository, ClientError> {
        self.request(Method::DELETE, &path::virtual_repository(name))
            .if_match(if_match)
            .json()
            .await
    }
}
