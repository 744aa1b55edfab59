// SPDX-License-Identifier: Apache-2.0
//! The storage class of an image (ECR, `UpdateImageStorageClass`).

use hythe_access::{Granted, kinds};
use hythe_meta::{StoreError, Transition};
use hythe_model::{Digest, ImageStatus, Reference, StorageClass};

use crate::{ControlPlane, UnknownImage, UnknownRepository};

/// Why the storage class of an image did not change.
#[derive(Debug, thiserror::Error)]
pub enum StorageClassError {
    /// The repository does not exist.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// The image does not exist.
    #[error(transparent)]
    UnknownImage(#[from] UnknownImage),
    /// Indexes list it that are not archived.
    #[error(
        "the image is referenced by manifest list: [{}]; archive that, and this image goes with it",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    ReferencedByIndex(Vec<Digest>),
    /// It is on its way out of the archive.
    #[error("the image is being restored from the archive: wait until its status is ACTIVE")]
    Activating,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Archives an image or brings it back, with what belongs to it; the state that it is in then.
    #[tracing::instrument(name = "image.update_storage_class", skip_all, fields(
        repository.name = %granted.resource().name, manifest.digest = %digest, target))]
    pub async fn update_storage_class(
        &self,
        granted: &Granted<kinds::UpdateImageStorageClass>,
        digest: &Digest,
        target: StorageClass,
    ) -> Result<ImageStatus, StorageClassError> {
        let path = granted.resource();
        let now = self.clock().now();
        let outcomes = self.store().transition_images(path, &[*digest], target, now).await?;
        let outcomes = outcomes.ok_or_else(|| UnknownRepository(path.clone()))?;
        match outcomes.into_iter().next() {
            Some(Transition::Done(status) | Transition::Unchanged(status)) => Ok(status),
            Some(Transition::ReferencedByIndex(indexes)) => Err(StorageClassError::ReferencedByIndex(indexes)),
            Some(Transition::Activating) => Err(StorageClassError::Activating),
            Some(Transition::Unknown) | None => Err(UnknownImage {
                repository: path.clone(),
                reference: Reference::Digest(*digest),
            }
            .into()),
        }
    }
}
