// SPDX-License-Identifier: Apache-2.0
//! Images: list, describe, read the manifest, delete.

use hythe_access::{Granted, kinds};
use hythe_catalog::{CatalogError, DeletedImage, ImageCatalog as _, ImageRecord};
use hythe_meta::{ImageDetail, ImageFilter, StoreError};
use hythe_model::{Digest, Reference, RepositoryPath};

use crate::{ControlPlane, Page, UnknownRepository};

/// There is no such image in the repository. The text is ECR's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownImage {
    /// The repository.
    pub repository: RepositoryPath,
    /// The image that was asked for.
    pub reference: Reference,
}

impl std::fmt::Display for UnknownImage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RepositoryPath { account, name } = &self.repository;
        let id = match &self.reference {
            Reference::Digest(digest) => format!("imageDigest:'{digest}', imageTag:'null'"),
            Reference::Tag(tag) => format!("imageDigest:'null', imageTag:'{tag}'"),
        };
        write!(
            formatter,
            "The image with imageId {{{id}}} does not exist within the repository with name '{name}' \
             in the registry with id '{account}'"
        )
    }
}

impl std::error::Error for UnknownImage {}

/// Why an image was not found, or a list of images not made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The repository does not exist.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// The image does not exist.
    #[error(transparent)]
    UnknownImage(#[from] UnknownImage),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Why an image was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteImageError {
    /// The repository does not exist.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// The image does not exist.
    #[error(transparent)]
    UnknownImage(#[from] UnknownImage),
    /// An index lists it.
    #[error(transparent)]
    Refused(#[from] hythe_catalog::DeleteImageError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Lists the images of a repository by digest.
    #[tracing::instrument(name = "image.list", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn images(
        &self,
        granted: &Granted<kinds::DescribeImages>,
        filter: ImageFilter,
        after: Option<Digest>,
        limit: usize,
    ) -> Result<Page<ImageDetail, Digest>, ImageError> {
        let path = granted.resource();
        let details = self
            .store()
            .image_details(path, filter, after.as_ref(), limit + 1)
            .await?;
        let details = details.ok_or_else(|| UnknownRepository(path.clone()))?;
        Ok(Page::of(details, limit, |last| last.digest))
    }

    /// Describes an image.
    #[tracing::instrument(name = "image.describe", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn image(
        &self,
        granted: &Granted<kinds::DescribeImages>,
        reference: &Reference,
    ) -> Result<ImageDetail, ImageError> {
        let path = granted.resource();
        match self.store().image_detail(path, reference).await? {
            Some(detail) => Ok(detail),
            None => Err(self.missing_image(path, reference).await?),
        }
    }

    /// Reads the manifest of an image, exactly as it was pushed.
    #[tracing::instrument(name = "image.manifest", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn image_manifest(
        &self,
        granted: &Granted<kinds::BatchGetImage>,
        reference: &Reference,
    ) -> Result<ImageRecord, ImageError> {
        let path = granted.resource();
        match self.store().image(path, reference).await? {
            Some(record) => Ok(record),
            None => Err(self.missing_image(path, reference).await?),
        }
    }

    /// Deletes an image with its tags, or a tag, and the image with its last tag.
    #[tracing::instrument(name = "image.delete", skip_all, fields(repository.name = %granted.resource().name, image = %reference))]
    pub async fn delete_image(
        &self,
        granted: &Granted<kinds::BatchDeleteImage>,
        reference: &Reference,
    ) -> Result<DeletedImage, DeleteImageError> {
        let path = granted.resource();
        let deleted_by = granted.caller().principal.to_string();
        match self
            .store()
            .delete_image(path, reference, self.clock().now(), &deleted_by)
            .await
        {
            Ok(Some(deleted)) => Ok(deleted),
            Ok(None) => match self.missing_image(path, reference).await? {
                ImageError::UnknownImage(error) => Err(error.into()),
                ImageError::UnknownRepository(error) => Err(error.into()),
                ImageError::Store(error) => Err(error.into()),
                ImageError::Catalog(error) => Err(hythe_catalog::DeleteImageError::from(error).into()),
            },
            Err(hythe_catalog::DeleteImageError::Catalog(CatalogError::RepositoryUnknown(path))) => {
                Err(UnknownRepository(path).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is missing when an image is not there: the repository, or the image alone.
    pub(crate) async fn missing_image(
        &self,
        path: &RepositoryPath,
        reference: &Reference,
    ) -> Result<ImageError, StoreError> {
        Ok(match self.store().repository(path).await? {
            None => UnknownRepository(path.clone()).into(),
            Some(_) => UnknownImage {
                repository: path.clone(),
                reference: reference.clone(),
            }
            .into(),
        })
    }
}
