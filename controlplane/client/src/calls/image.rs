// SPDX-License-Identifier: Apache-2.0
//! Images and what refers to them.

use bytes::Bytes;
use futures::Stream;
use hythe_model::{Digest, MediaType, RepositoryName, StorageClass};
use hythe_wire::{
    DeletedImage, ImageDetail, ImagePage, ImageStorageClass, ListImages, ListReferrers, Referrer, ReferrerPage,
    UpdateImageStorageClass, path,
};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::page::entries;
use crate::{Client, ClientError};

impl Client {
    /// One image.
    pub async fn image(&self, repository: &RepositoryName, digest: &Digest) -> Result<ImageDetail, ClientError> {
        self.get(&path::image(repository, digest)).json().await
    }

    /// One page of images, by digest.
    pub async fn images(&self, repository: &RepositoryName, query: &ListImages) -> Result<ImagePage, ClientError> {
        self.get(&path::images(repository)).query(query).json().await
    }

    /// All images that `query` asks for, page after page; its `next_token` is passed over.
    pub fn all_images(
        &self,
        repository: &RepositoryName,
        query: ListImages,
    ) -> impl Stream<Item = Result<ImageDetail, ClientError>> + Send + use<> {
        let repository = repository.clone();
        entries(self, move |client, next_token| {
            let (repository, query) = (
                repository.clone(),
                ListImages {
                    next_token,
                    ..query.clone()
                },
            );
            async move {
                let page = client.images(&repository, &query).await?;
                Ok((page.images, page.next_token))
            }
        })
    }

    /// The manifest of an image, as it was pushed, and its media type.
    pub async fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(MediaType, Bytes), ClientError> {
        let (headers, bytes) = self.get(&path::manifest(repository, digest)).bytes().await?;
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let kind = kind.ok_or_else(|| self.decode_error("a manifest without its media type"))?;
        Ok((kind, bytes))
    }

    /// Archives an image, or brings it back.
    pub async fn update_storage_class(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        target_storage_class: StorageClass,
    ) -> Result<ImageStorageClass, ClientError> {
        let body = UpdateImageStorageClass { target_storage_class };
        self.request(Method::PUT, &path::storage_class(repository, digest))
            .body(&body)
            .json()
            .await
    }

    /// Deletes an image with all its tags.
    pub async fn delete_image(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<DeletedImage, ClientError> {
        self.request(Method::DELETE, &path::image(repository, digest))
            .json()
            .await
    }

    /// One page of the images that refer to `subject`.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        query: &ListReferrers,
    ) -> Result<ReferrerPage, ClientError> {
        self.get(&path::referrers(repository, subject))
            .query(query)
            .json()
            .await
    }

    /// All images that refer to `subject`, page after page.
    pub fn all_referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        query: ListReferrers,
    ) -> impl Stream<Item = Result<Referrer, ClientError>> + Send + use<> {
        let (repository, subject) = (repository.clone(), *subject);
        entries(self, move |client, next_token| {
            let (repository, query) = (
                repository.clone(),
                ListReferrers {
                    next_token,
                    ..query.clone()
                },
            );
            async move {
                let page = client.referrers(&repository, &subject, &query).await?;
                Ok((page.referrers, page.next_token))
            }
        })
    }
}
