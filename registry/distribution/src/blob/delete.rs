// SPDX-License-Identifier: Apache-2.0
//! Deleting a blob (OCI Distribution Specification 1.1, "Deleting Blobs").
//!
//! What goes is the repository's link: other repositories keep theirs, and the bytes go when nobody links them. ECR has no
//! such operation; who may delete images may do this.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use hythe_access::{Granted, RequestContext, Trail, kinds};
use hythe_catalog::{CatalogError, Unlinked};
use hythe_model::{Digest, RepositoryPath, fail_point};

use crate::Registry;
use crate::auth::Visitor;
use crate::input::Input;
use crate::oci_error::OciError;
use crate::response::Answer;

/// Why no blob was deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteBlobError {
    #[error("the repository `{0}` does not exist")]
    RepositoryUnknown(RepositoryPath),
    #[error("the blob `{0}` does not exist in the repository")]
    Unknown(Digest),
    #[error("an image of the repository needs the layer `{0}`: delete the image first")]
    Needed(Digest),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Answers a DELETE of a blob.
pub(crate) async fn delete(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let named = visitor.repository(&input.name)?;
    let digest = input.digest()?;
    Trail::note(|facts| facts.digest = Some(digest));
    let granted = visitor.permit_deletion(&named, &RequestContext::default()).await?;
    delete_blob(&visitor.registry, &granted, &digest).await?;
    fail_point("blob.delete.answer");
    Ok(Answer::new(StatusCode::ACCEPTED).into_response())
}

#[tracing::instrument(name = "blob.delete", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name, blob.digest = %digest))]
async fn delete_blob(
    registry: &Registry,
    granted: &Granted<kinds::BatchDeleteImage>,
    digest: &Digest,
) -> Result<(), DeleteBlobError> {
    let repository = granted.resource();
    match registry.catalog().unlink_blob(repository, digest, registry.now()).await {
        Ok(Unlinked::Done) => {
            tracing::info!("blob deleted");
            Ok(())
        }
        Ok(Unlinked::Needed) => Err(DeleteBlobError::Needed(*digest)),
        Ok(Unlinked::Unknown) if registry.catalog().repository_exists(repository).await? => {
            Err(DeleteBlobError::Unknown(*digest))
        }
        Ok(Unlinked::Unknown) => Err(DeleteBlobError::RepositoryUnknown(repository.clone())),
        Err(CatalogError::RepositoryUnknown(repository)) => Err(DeleteBlobError::RepositoryUnknown(repository)),
        Err(error) => Err(error.into()),
    }
}
