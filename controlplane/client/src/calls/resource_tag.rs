// SPDX-License-Identifier: Apache-2.0
//! Resource tags of repositories.

use hythe_model::RepositoryName;
use hythe_wire::{PutResourceTags, ResourceTag, ResourceTagList, path};
use reqwest::Method;

use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// The resource tags of a repository.
    pub async fn resource_tags(&self, repository: &RepositoryName) -> Result<Versioned<ResourceTagList>, ClientError> {
        self.get(&path::resource_tags(repository)).versioned().await
    }

    /// Replaces all resource tags of a repository.
    pub async fn put_resource_tags(
        &self,
        repository: &RepositoryName,
        tags: Vec<ResourceTag>,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<ResourceTagList>, ClientError> {
        let body = PutResourceTags { tags };
        self.request(Method::PUT, &path::resource_tags(repository))
            .body(&body)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Adds resource tags to a repository; those of the same key are replaced.
    pub async fn add_resource_tags(
        &self,
        repository: &RepositoryName,
        tags: Vec<ResourceTag>,
    ) -> Result<Versioned<ResourceTagList>, ClientError> {
        self.request(Method::POST, &path::resource_tags(repository))
            .body(&PutResourceTags { tags })
            .versioned()
            .await
    }

    /// Removes resource tags from a repository; absent ones are passed over.
    pub async fn remove_resource_tags(
        &self,
        repository: &RepositoryName,
        keys: &[String],
    ) -> Result<Versioned<ResourceTagList>, ClientError> {
        let query: Vec<_> = keys.iter().map(|key| ("tagKeys", key)).collect();
        self.request(Method::DELETE, &path::resource_tags(repository))
            .query(&query)
            .versioned()
            .await
    }
}
