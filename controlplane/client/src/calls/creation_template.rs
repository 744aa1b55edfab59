// SPDX-License-Identifier: Apache-2.0
//! Templates of repositories that the server creates.

use futures::Stream;
use hythe_model::RepositoryPrefix;
use hythe_wire::{
    CreateRepositoryCreationTemplate, ListQuery, RepositoryCreationTemplate, RepositoryCreationTemplatePage,
    UpdateRepositoryCreationTemplate, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// Creates a template.
    pub async fn create_repository_creation_template(
        &self,
        request: &CreateRepositoryCreationTemplate,
    ) -> Result<Versioned<RepositoryCreationTemplate>, ClientError> {
        self.request(Method::POST, &path::repository_creation_templates())
            .body(request)
            .versioned()
            .await
    }

    /// One template.
    pub async fn repository_creation_template(
        &self,
        prefix: &RepositoryPrefix,
    ) -> Result<Versioned<RepositoryCreationTemplate>, ClientError> {
        self.get(&path::repository_creation_template(prefix)).versioned().await
    }

    /// One page of templates, by prefix.
    pub async fn repository_creation_templates(
        &self,
        query: &ListQuery,
    ) -> Result<RepositoryCreationTemplatePage, ClientError> {
        self.get(&path::repository_creation_templates())
            .query(query)
            .json()
            .await
    }

    /// All templates of the account, page after page.
    pub fn all_repository_creation_templates(
        &self,
        query: ListQuery,
    ) -> impl Stream<Item = Result<RepositoryCreationTemplate, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.repository_creation_templates(&query).await?;
                Ok((page.repository_creation_templates, page.next_token))
            }
        })
    }

    /// Changes a template.
    pub async fn update_repository_creation_template(
        &self,
        prefix: &RepositoryPrefix,
        request: &UpdateRepositoryCreationTemplate,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<RepositoryCreationTemplate>, ClientError> {
        self.request(Method::PATCH, &path::repository_creation_template(prefix))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a template; the repositories that were created from it stay as they are.
    pub async fn delete_repository_creation_template(
        &self,
        prefix: &RepositoryPrefix,
        if_match: Option<&ETag>,
    ) -> Result<RepositoryCreationTemplate, ClientError> {
        self.request(Method::DELETE, &path::repository_creation_template(prefix))
            .if_match(if_match)
            .json()
            .await
    }
}
