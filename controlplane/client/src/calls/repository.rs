// SPDX-License-Identifier: Apache-2.0
//! Repositories.

use futures::Stream;
use hythe_model::RepositoryName;
use hythe_wire::{
    CreateRepository, DeleteRepository, ListRepositories, Repository, RepositoryPage, RepositoryUsage,
    UpdateRepository, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, IdempotencyKey, Versioned};

impl Client {
    /// Creates a repository. With the same `key` it can be asked for again after an answer that was lost.
    pub async fn create_repository(
        &self,
        request: &CreateRepository,
        key: &IdempotencyKey,
    ) -> Result<Versioned<Repository>, ClientError> {
        self.request(Method::POST, &path::repositories())
            .body(request)
            .idempotency(key)
            .versioned()
            .await
    }

    /// One repository.
    pub async fn repository(&self, name: &RepositoryName) -> Result<Versioned<Repository>, ClientError> {
        self.get(&path::repository(name)).versioned().await
    }

    /// One repository, or `None` if it is not there.
    pub async fn find_repository(&self, name: &RepositoryName) -> Result<Option<Versioned<Repository>>, ClientError> {
        match self.repository(name).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One page of repositories, by name.
    pub async fn repositories(&self, query: &ListRepositories) -> Result<RepositoryPage, ClientError> {
        self.get(&path::repositories()).query(query).json().await
    }

    /// All repositories that `query` asks for, page after page; its `next_token` is passed over.
    pub fn all_repositories(
        &self,
        query: ListRepositories,
    ) -> impl Stream<Item = Result<Repository, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListRepositories {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.repositories(&query).await?;
                Ok((page.repositories, page.next_token))
            }
        })
    }

    /// Changes settings of a repository, if it still is what `if_match` says.
    pub async fn update_repository(
        &self,
        name: &RepositoryName,
        request: &UpdateRepository,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<Repository>, ClientError> {
        self.request(Method::PATCH, &path::repository(name))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a repository, with its images if `force`.
    pub async fn delete_repository(
        &self,
        name: &RepositoryName,
        force: bool,
        if_match: Option<&ETag>,
    ) -> Result<Repository, ClientError> {
        let query = DeleteRepository {
            registry_id: None,
            force,
        };
        self.request(Method::DELETE, &path::repository(name))
            .query(&query)
            .if_match(if_match)
            .json()
            .await
    }

    /// How much a repository holds.
    pub async fn repository_usage(&self, name: &RepositoryName) -> Result<RepositoryUsage, ClientError> {
        self.get(&path::usage(name)).json().await
    }
}
