// SPDX-License-Identifier: Apache-2.0
//! Deleting several images at once, and what was deleted: list, restore, purge.

use std::fmt;
use std::str::FromStr;

use hythe_access::{Granted, kinds};
use hythe_catalog::CatalogError;
use hythe_meta::{
    DeletedImageRecord, Deletion, DeletionReason, ImageDeletions, ImageIdentifier, RestoreImageError as NotRestored,
    RestoredImage, StoreError,
};
use hythe_model::{Digest, ParseError, Reference, Tag, from_millis, millis};
use jiff::Timestamp;

use crate::{ControlPlane, Page, UnknownImage, UnknownRepository};

/// Why images were not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteImagesError {
    /// The repository does not exist.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// The store refused or failed.
    #[error(transparent)]
    Catalog(CatalogError),
}

/// Why a deleted image was not listed or purged.
#[derive(Debug, thiserror::Error)]
pub enum DeletedImageError {
    /// The repository does not exist.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// There is no such deleted image.
    #[error(transparent)]
    UnknownImage(#[from] UnknownImage),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a deleted image was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreImageError {
    /// The repository does not exist.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// There is no such image, deleted or not.
    #[error(transparent)]
    UnknownImage(#[from] UnknownImage),
    /// It cannot be restored.
    #[error(transparent)]
    Refused(NotRestored),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a deleted image stands in the list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedImageKey {
    deleted_at: Timestamp,
    digest: Digest,
}

impl fmt::Display for DeletedImageKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", millis(self.deleted_at), self.digest)
    }
}

impl FromStr for DeletedImageKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let invalid = || ParseError::new("place in a list", text, "it must be a time and a digest");
        let (at, digest) = text.split_once(' ').ok_or_else(invalid)?;
        Ok(Self {
            deleted_at: from_millis(at.parse().map_err(|_| invalid())?),
            digest: digest.parse()?,
        })
    }
}

impl ControlPlane {
    /// Deletes images as ECR's `BatchDeleteImage` does, and says of each what became of it.
    #[tracing::instrument(name = "image.delete_batch", skip_all, fields(repository.name = %granted.resource().name, images = images.len()))]
    pub async fn delete_images(
        &self,
        granted: &Granted<kinds::BatchDeleteImage>,
        images: &[ImageIdentifier],
    ) -> Result<ImageDeletions, DeleteImagesError> {
        let deletion = Deletion {
            at: self.clock().now(),
            by: granted.caller().principal.to_string(),
            reason: DeletionReason::Request,
        };
        let deletions = self.store().delete_images(granted.resource(), images, &deletion).await;
        deletions.map_err(|error| match error {
            CatalogError::RepositoryUnknown(path) => UnknownRepository(path).into(),
            error => DeleteImagesError::Catalog(error),
        })
    }

    /// Lists the deleted images that can be restored, the last deleted first.
    #[tracing::instrument(name = "deleted_image.list", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn deleted_images(
        &self,
        granted: &Granted<kinds::ListDeletedImages>,
        after: Option<DeletedImageKey>,
        limit: usize,
    ) -> Result<Page<DeletedImageRecord, DeletedImageKey>, DeletedImageError> {
        let path = granted.resource();
        let after = after.map(|key| (key.deleted_at, key.digest));
        let found = self.store().deleted_images(path, after, limit + 1).await?;
        let found = found.ok_or_else(|| UnknownRepository(path.clone()))?;
        Ok(Page::of(found, limit, |last| DeletedImageKey {
            deleted_at: last.deleted_at,
            digest: last.digest,
        }))
    }

    /// Restores a deleted image with its tags, or with those of `tags`, and what it lists; its referrers follow.
    #[tracing::instrument(name = "deleted_image.restore", skip_all, fields(repository.name = %granted.resource().name, image.digest = %digest))]
    pub async fn restore_image(
        &self,
        granted: &Granted<kinds::RestoreImage>,
        digest: &Digest,
        tags: Option<&[Tag]>,
    ) -> Result<RestoredImage, RestoreImageError> {
        let (path, now) = (granted.resource(), self.clock().now());
        let by = granted.caller().principal.to_string();
        let restored = match self.store().restore_image(path, digest, tags, now, &by).await {
            Ok(restored) => restored,
            Err(NotRestored::Unknown) => {
                return Err(UnknownImage {
                    repository: path.clone(),
                    reference: Reference::Digest(*digest),
                }
                .into());
            }
            Err(NotRestored::Catalog(CatalogError::RepositoryUnknown(path))) => {
                return Err(UnknownRepository(path).into());
            }
            Err(NotRestored::Store(error)) => return Err(error.into()),
            Err(error) => return Err(RestoreImageError::Refused(error)),
        };
        // The pass would do it too, a little later; that it fails here is no reason to say that the image is not back.
        if restored.is_restored
            && let Err(error) = self.store().follow_subject(path, digest, now).await
        {
            tracing::warn!(%error, "the referrers of a restored image follow later");
        }
        Ok(restored)
    }

    /// Takes away the possibility to restore a deleted image.
    #[tracing::instrument(name = "deleted_image.purge", skip_all, fields(repository.name = %granted.resource().name, image.digest = %digest))]
    pub async fn purge_image(
        &self,
        granted: &Granted<kinds::PurgeImage>,
        digest: &Digest,
    ) -> Result<DeletedImageRecord, DeletedImageError> {
        let path = granted.resource();
        if let Some(purged) = self.store().purge_image(path, digest, self.clock().now()).await? {
            return Ok(purged);
        }
        Err(match self.store().repository(path).await? {
            None => UnknownRepository(path.clone()).into(),
            Some(_) => UnknownImage {
                repository: path.clone(),
                reference: Reference::Digest(*digest),
            }
            .into(),
        })
    }
}
