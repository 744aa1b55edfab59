// SPDX-License-Identifier: Apache-2.0
//! Deleting a tag or an image (OCI Distribution Specification 1.1, "Deleting tags" and "Deleting manifests").

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use hythe_access::{Granted, kinds};
use hythe_catalog::{CatalogError, DeleteImageError, DeletedImage};
use hythe_model::{Reference, RepositoryPath};

use super::{MAX_ATTEMPTS, existing_reference, naming, tag_of};
use crate::Registry;
use crate::audit::note_reference;
use crate::auth::Visitor;
use crate::input::Input;
use crate::oci_error::OciError;
use crate::response::{Answer, DOCKER_CONTENT_DIGEST};

/// Why nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteManifestError {
    #[error("the repository `{0}` does not exist")]
    RepositoryUnknown(RepositoryPath),
    #[error("Requested image not found: `{0}`")]
    Unknown(Reference),
    #[error(transparent)]
    Delete(#[from] DeleteImageError),
}

/// Answers a DELETE of a manifest or a tag.
pub(crate) async fn delete(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let named = visitor.repository(&input.name)?;
    let reference = existing_reference(&input);
    let context = naming(reference.as_ref().ok().and_then(tag_of));
    let granted = visitor.permit_deletion(&named, &context).await?;
    let reference = reference?;
    note_reference(&reference);
    let deleted = delete_manifest(&visitor.registry, &granted, &reference).await?;
    Ok(Answer::new(StatusCode::ACCEPTED)
        .with(DOCKER_CONTENT_DIGEST, deleted.digest)
        .into_response())
}

#[tracing::instrument(name = "manifest.delete", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name,
    manifest.reference = %reference))]
async fn delete_manifest(
    registry: &Registry,
    granted: &Granted<kinds::BatchDeleteImage>,
    reference: &Reference,
) -> Result<DeletedImage, DeleteManifestError> {
    let repository = granted.resource();
    let deleted = match remove(registry, granted, reference).await {
        // Whichever way the store says that there is no such repository.
        Err(DeleteImageError::Catalog(CatalogError::RepositoryUnknown(repository))) => {
            return Err(DeleteManifestError::RepositoryUnknown(repository));
        }
        result => result?,
    };
    match deleted {
        Some(deleted) => {
            tracing::info!(manifest.digest = %deleted.digest, image.is_gone = deleted.is_image_gone, "manifest deleted");
            Ok(deleted)
        }
        None if registry
            .catalog()
            .repository_exists(repository)
            .await
            .map_err(DeleteImageError::from)? =>
        {
            Err(DeleteManifestError::Unknown(reference.clone()))
        }
        None => Err(DeleteManifestError::RepositoryUnknown(repository.clone())),
    }
}

async fn remove(
    registry: &Registry,
    granted: &Granted<kinds::BatchDeleteImage>,
    reference: &Reference,
) -> Result<Option<DeletedImage>, DeleteImageError> {
    let (catalog, repository) = (registry.catalog(), granted.resource());
    let by = granted.caller().principal.to_string();
    for _ in 1..MAX_ATTEMPTS {
        match catalog.delete_image(repository, reference, registry.now(), &by).await {
            Err(DeleteImageError::Catalog(CatalogError::Conflict)) => {}
            result => return result,
        }
    }
    catalog.delete_image(repository, reference, registry.now(), &by).await
}
