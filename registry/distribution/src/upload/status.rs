// SPDX-License-Identifier: Apache-2.0
//! Asking how far a session has come, and giving it up.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use hythe_access::{Granted, kinds};
use hythe_model::{RepositoryPath, UploadId, fail_point};

use super::append::find;
use super::{UploadError, session_answer, session_error, session_id};
use crate::Registry;
use crate::auth::Visitor;
use crate::input::Input;
use crate::oci_error::OciError;
use crate::response::Answer;

/// Answers a GET of a session.
pub(crate) async fn status(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let named = visitor.repository(&input.name)?;
    let id = session_id(&input)?;
    let granted = visitor.permit_step::<kinds::UploadLayerPart>(&named).await?;
    let received = received_bytes(&visitor.registry, &granted, id).await?;
    Ok(session_answer(StatusCode::NO_CONTENT, &named, id, received).into_response())
}

/// Answers a DELETE of a session.
pub(crate) async fn cancel(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let named = visitor.repository(&input.name)?;
    let id = session_id(&input)?;
    let granted = visitor.permit_step::<kinds::UploadLayerPart>(&named).await?;
    cancel_upload(&visitor.registry, &granted, id)
        .await
        .map_err(|error| session_error(error, &named, id))?;
    Ok(Answer::new(StatusCode::NO_CONTENT).into_response())
}

#[tracing::instrument(name = "upload.status", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name, upload.id = %id))]
async fn received_bytes(
    registry: &Registry,
    granted: &Granted<kinds::UploadLayerPart>,
    id: UploadId,
) -> Result<u64, UploadError> {
    Ok(find(registry, granted.resource(), id).await?.state.bytes())
}

#[tracing::instrument(name = "upload.cancel", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name, upload.id = %id))]
async fn cancel_upload(
    registry: &Registry,
    granted: &Granted<kinds::UploadLayerPart>,
    id: UploadId,
) -> Result<(), UploadError> {
    let _writer = registry.writers().claim(id)?;
    find(registry, granted.resource(), id).await?;
    // Bytes first: the row leads to them as long as they are there.
    registry.blobs().abandon(id).await?;
    fail_point("upload.cancel.abandoned");
    if registry.catalog().end_upload(granted.resource(), id).await? {
        fail_point("upload.cancel.ended");
        Ok(())
    } else {
        Err(UploadError::Unknown(id))
    }
}

/// Gives up a session that can come to nothing. Whatever fails here is left to the expiry.
pub(super) async fn give_up(registry: &Registry, repository: &RepositoryPath, id: UploadId) {
    if let Err(error) = registry.blobs().abandon(id).await {
        tracing::warn!(upload.id = %id, error = %error, "the bytes of an upload could not be thrown away; it expires");
        return; // its row leads the expiry to them
    }
    if let Err(error) = registry.catalog().end_upload(repository, id).await {
        tracing::warn!(upload.id = %id, error = %error, "an upload could not be ended; it expires");
    }
}
