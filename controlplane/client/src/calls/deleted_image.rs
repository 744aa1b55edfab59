// SPDX-License-Identifier: Apache-2.0
//! Deleting several images at once, and deleted images that can be restored.

use futures::Stream;
use hythe_model::{Digest, RepositoryName};
use hythe_wire::{
    DeleteImages, ImageDeletions, ListQuery, PutRegistrySettings, RegistrySettings, RestorableImage,
    RestorableImagePage, RestoreImage, RestoredImage, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// Deletes images and tags, at most 100 at once; says of each what became of it.
    pub async fn delete_images(
        &self,
        repository: &RepositoryName,
        images: &DeleteImages,
    ) -> Result<ImageDeletions, ClientError> {
        self.request(Method::POST, &path::image_deletions(repository))
            .body(images)
            .json()
            .await
    }

    /// One page of the deleted images that can be restored, the last deleted first.
    pub async fn deleted_images(
        &self,
        repository: &RepositoryName,
        query: &ListQuery,
    ) -> Result<RestorableImagePage, ClientError> {
        self.get(&path::deleted_images(repository)).query(query).json().await
    }

    /// All of them, page after page.
    pub fn all_deleted_images(
        &self,
        repository: &RepositoryName,
        query: ListQuery,
    ) -> impl Stream<Item = Result<RestorableImage, ClientError>> + Send + use<> {
        let repository = repository.clone();
        entries(self, move |client, next_token| {
            let repository = repository.clone();
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.deleted_images(&repository, &query).await?;
                Ok((page.deleted_images, page.next_token))
            }
        })
    }

    /// Restores a deleted image.
    pub async fn restore_image(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        how: &RestoreImage,
    ) -> Result<RestoredImage, ClientError> {
        self.request(Method::POST, &path::restoration(repository, digest))
            .body(how)
            .json()
            .await
    }

    /// Takes away the possibility to restore a deleted image.
    pub async fn purge_image(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<RestorableImage, ClientError> {
        self.request(Method::DELETE, &path::deleted_image(repository, digest))
            .json()
            .await
    }

    /// The settings of the registry.
    pub async fn registry_settings(&self) -> Result<Versioned<RegistrySettings>, ClientError> {
        self.get(&path::registry_settings()).versioned().await
    }

    /// Changes the settings of the registry.
    pub async fn put_registry_settings(
        &self,
        settings: &PutRegistrySettings,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<RegistrySettings>, ClientError> {
        self.request(Method::PUT, &path::registry_settings())
            .body(settings)
            .if_match(if_match)
            .versioned()
            .await
    }
}
