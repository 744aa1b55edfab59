// SPDX-License-Identifier: Apache-2.0
//! Pointing a tag to an image that it pointed to before.

use hythe_access::{Granted, kinds};
use hythe_catalog::{CatalogError, PutImageError};
use hythe_meta::{
    RestoreImageError as NotRestored, Rollback, RollbackTagError as NotRolledBack, RollbackTo, RolledBackTag,
    StoreError,
};
use hythe_model::{Digest, Tag};

use crate::{ControlPlane, TagError, UnknownRepository, UnknownTag};

/// Why a tag was not rolled back.
#[derive(Debug, thiserror::Error)]
pub enum RollbackTagError {
    /// The repository does not exist.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// The repository never had such a tag.
    #[error(transparent)]
    UnknownTag(#[from] UnknownTag),
    /// There is no such move, or no image in it, or the image is gone.
    #[error("tag `{tag}` cannot be rolled back: {reason}")]
    NoImage {
        /// The tag.
        tag: Tag,
        /// Why.
        reason: NotRolledBack,
    },
    /// The image was deleted: whoever asks must be allowed to restore it.
    #[error("image {0} was deleted: it has to be restored")]
    NeedsRestoration(Digest),
    /// The image was deleted and cannot be restored as it is.
    #[error(transparent)]
    NotRestored(NotRestored),
    /// The tag may not be moved, or the image has too many.
    #[error(transparent)]
    Refused(PutImageError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Points a tag to an image that it pointed to before. An image that was deleted is restored if `restoring` says that
    /// the caller may do that.
    #[tracing::instrument(name = "tag.roll_back", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn roll_back_tag(
        &self,
        granted: &Granted<kinds::PutImage>,
        restoring: Option<&Granted<kinds::RestoreImage>>,
        tag: &Tag,
        to: RollbackTo,
    ) -> Result<RolledBackTag, RollbackTagError> {
        let (path, now) = (granted.resource(), self.clock().now());
        let rollback = Rollback {
            to,
            may_restore: restoring.is_some_and(|restoring| restoring.resource() == path),
            at: now,
            by: granted.caller().principal.to_string(),
        };
        let done = match self.store().roll_back_tag(path, tag, rollback).await {
            Ok(done) => done,
            Err(NotRolledBack::Unknown) => {
                return Err(match self.missing_tag(path, tag).await? {
                    TagError::UnknownRepository(error) => error.into(),
                    TagError::UnknownTag(error) => error.into(),
                    TagError::NoImageThen(_) => RollbackTagError::NoImage {
                        tag: tag.clone(),
                        reason: NotRolledBack::NoImageThen,
                    },
                    TagError::Store(error) => error.into(),
                });
            }
            Err(NotRolledBack::Refused(PutImageError::Catalog(CatalogError::RepositoryUnknown(path)))) => {
                return Err(UnknownRepository(path).into());
            }
            Err(NotRolledBack::Refused(error)) => return Err(RollbackTagError::Refused(error)),
            Err(NotRolledBack::Store(error)) => return Err(error.into()),
            Err(NotRolledBack::NotRestored(error)) => return Err(RollbackTagError::NotRestored(error)),
            Err(NotRolledBack::NeedsRestoration(image)) => return Err(RollbackTagError::NeedsRestoration(image)),
            Err(
                reason @ (NotRolledBack::NoPrevious
                | NotRolledBack::UnknownMove(_)
                | NotRolledBack::NoImageThen
                | NotRolledBack::ImageGone(_)),
            ) => {
                let tag = tag.clone();
                return Err(RollbackTagError::NoImage { tag, reason });
            }
        };
        // The pass would do it too, a little later; that it fails here is no reason to say that the image is not back.
        if done.is_image_restored
            && let Err(error) = self.store().follow_subject(path, &done.tag.digest, now).await
        {
            tracing::warn!(%error, "the referrers of a restored image follow later");
        }
        Ok(done)
    }
}
