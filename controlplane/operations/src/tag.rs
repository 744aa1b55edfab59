// SPDX-License-Identifier: Apache-2.0
//! Tags of images: list, describe, point to an image, their history. Deleting one is
//! [`ControlPlane::delete_image`] by tag, pointing one back to where it was [`ControlPlane::roll_back_tag`].

use hythe_access::{Granted, kinds};
use hythe_catalog::{CatalogError, ImageCatalog as _, NewImage, PutImageError};
use hythe_meta::{StoreError, TagDetail, TagMove};
use hythe_model::{Digest, Manifest, Reference, RepositoryPath, Tag};
use jiff::Timestamp;

use crate::{ControlPlane, ImageError, Page, UnknownImage, UnknownRepository};

/// There is no such tag in the repository, and never was if its history was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "The image with imageId {{imageDigest:'null', imageTag:'{tag}'}} does not exist within the repository with name '{}' \
     in the registry with id '{}'", .repository.name, .repository.account
)]
pub struct UnknownTag {
    /// The repository.
    pub repository: RepositoryPath,
    /// The tag.
    pub tag: Tag,
}

/// A tag pointed to no image at a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tag `{tag}` of repository `{}` pointed to no image at {at}", .repository.name)]
pub struct NoImageThen {
    /// The repository.
    pub repository: RepositoryPath,
    /// The tag.
    pub tag: Tag,
    /// The time.
    pub at: Timestamp,
}

/// Why a tag was not found, or a list of tags not made.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// The repository does not exist.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// The tag does not exist.
    #[error(transparent)]
    UnknownTag(#[from] UnknownTag),
    /// The tag pointed to no image then.
    #[error(transparent)]
    NoImageThen(#[from] NoImageThen),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a tag was not pointed to an image.
#[derive(Debug, thiserror::Error)]
pub enum SetTagError {
    /// The repository does not exist.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// The image does not exist.
    #[error(transparent)]
    UnknownImage(#[from] UnknownImage),
    /// The tag may not be moved, or the image has too many.
    #[error(transparent)]
    Refused(#[from] PutImageError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Lists the tags of a repository by name.
    #[tracing::instrument(name = "tag.list", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn tags(
        &self,
        granted: &Granted<kinds::ListImages>,
        after: Option<Tag>,
        limit: usize,
    ) -> Result<Page<TagDetail, Tag>, TagError> {
        let path = granted.resource();
        let tags = self.store().tag_details(path, after.as_ref(), limit + 1).await?;
        let tags = tags.ok_or_else(|| UnknownRepository(path.clone()))?;
        Ok(Page::of(tags, limit, |last| last.tag.clone()))
    }

    /// Describes a tag.
    #[tracing::instrument(name = "tag.describe", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn tag(&self, granted: &Granted<kinds::ListImages>, tag: &Tag) -> Result<TagDetail, TagError> {
        let path = granted.resource();
        match self.store().tag_detail(path, tag).await? {
            Some(detail) => Ok(detail),
            None => Err(self.missing_tag(path, tag).await?),
        }
    }

    /// Says where a tag pointed at a time; also of a tag that is gone, and of an image that is.
    #[tracing::instrument(name = "tag.describe_past", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn tag_as_of(
        &self,
        granted: &Granted<kinds::ListImages>,
        tag: Tag,
        at: Timestamp,
    ) -> Result<TagDetail, TagError> {
        let path = granted.resource();
        let found = self.store().tag_as_of(path, &tag, at).await?;
        if let Some(TagMove {
            sequence,
            moved_at,
            to: Some(digest),
            ..
        }) = found
        {
            return Ok(TagDetail {
                tag,
                digest,
                moved_at,
                version: sequence,
            });
        }
        Err(match self.store().repository(path).await? {
            None => UnknownRepository(path.clone()).into(),
            Some(_) => NoImageThen {
                repository: path.clone(),
                tag,
                at,
            }
            .into(),
        })
    }

    /// Lists the moves of a tag before the one with the sequence number `before`, newest first; also of a tag
    /// that is gone.
    #[tracing::instrument(name = "tag.history", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn tag_history(
        &self,
        granted: &Granted<kinds::ListImages>,
        tag: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<TagMove, i64>, TagError> {
        let path = granted.resource();
        let moves = self.store().tag_history(path, tag, before, limit + 1).await?;
        if moves.is_empty() && before.is_none() {
            return Err(self.missing_tag(path, tag).await?);
        }
        Ok(Page::of(moves, limit, |last| last.sequence))
    }

    /// Points a tag to an image of the same repository, as a push of that image with the tag would.
    #[tracing::instrument(name = "tag.set", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn set_tag(
        &self,
        granted: &Granted<kinds::PutImage>,
        tag: Tag,
        image: Digest,
    ) -> Result<TagDetail, SetTagError> {
        let path = granted.resource();
        let reference = Reference::Digest(image);
        let record = self
            .store()
            .image(path, &reference)
            .await
            .map_err(PutImageError::from)?;
        let Some(record) = record else {
            return Err(match self.missing_image(path, &reference).await? {
                ImageError::UnknownImage(error) => error.into(),
                ImageError::UnknownRepository(error) => error.into(),
                ImageError::Store(error) => error.into(),
                ImageError::Catalog(error) => PutImageError::from(error).into(),
            });
        };
        // It was parsed when it was pushed; if that fails now, the row is broken.
        let manifest = Manifest::parse(record.bytes, Some(record.media_type.as_str()))
            .map_err(|error| StoreError::Corrupt(format!("manifest {image}: {error}")))?;
        let moved_at = self.clock().now();
        let new = NewImage {
            manifest,
            digest: image,
            tags: vec![tag.clone()],
            pushed_at: moved_at,
            pushed_by: granted.caller().principal.to_string(),
        };
        match self.store().put_image(path, new).await {
            Ok(_) => {}
            Err(PutImageError::Catalog(CatalogError::RepositoryUnknown(path))) => {
                return Err(UnknownRepository(path).into());
            }
            Err(error) => return Err(error.into()),
        }
        match self.store().tag_detail(path, &tag).await? {
            Some(detail) => Ok(detail),
            // Somebody has just deleted it again.
            None => Ok(TagDetail {
                tag,
                digest: image,
                moved_at,
                version: 0,
            }),
        }
    }

    pub(crate) async fn missing_tag(&self, path: &RepositoryPath, tag: &Tag) -> Result<TagError, StoreError> {
        Ok(match self.store().repository(path).await? {
            None => UnknownRepository(path.clone()).into(),
            Some(_) => UnknownTag {
                repository: path.clone(),
                tag: tag.clone(),
            }
            .into(),
        })
    }
}
