// SPDX-License-Identifier: Apache-2.0
//! Adding bytes to a session.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use hythe_access::{Granted, kinds};
use hythe_blobs::{AppendError, ByteStream};
use hythe_catalog::UploadRecord;
use hythe_model::{Algorithm, RepositoryPath, UploadId, fail_point};

use super::alive::{changed_meanwhile, keep_alive};
use super::receive::{Held, receive};
use super::status::give_up;
use super::{UploadError, chunk_range, session_answer, session_error, session_id};
use crate::Registry;
use crate::auth::Visitor;
use crate::body::incoming;
use crate::input::{Input, InputError};
use crate::oci_error::OciError;
use crate::range::ContentRange;

/// Bytes for a session, and what the client says about them.
pub(super) struct Chunk {
    pub(super) body: ByteStream,
    pub(super) range: Option<ContentRange>,
    pub(super) length: Option<u64>,
}

impl Chunk {
    pub(super) fn from_input(registry: &Registry, input: Input) -> Result<Self, InputError> {
        let range = chunk_range(&input)?;
        let length = input.content_length().or(range.map(|range| range.length));
        Ok(Self {
            body: incoming(registry, input.body, length),
            range,
            length,
        })
    }

    /// Checks what can be checked before the first byte is read.
    pub(super) fn check(&self, registry: &Registry, received: u64) -> Result<(), UploadError> {
        if let Some(range) = self.range
            && range.start != received
        {
            return Err(UploadError::OutOfOrder {
                start: range.start,
                received,
            });
        }
        let max_bytes = registry.limits().max_blob_bytes;
        if self
            .length
            .is_some_and(|length| received.saturating_add(length) > max_bytes)
        {
            return Err(UploadError::TooLarge(max_bytes));
        }
        Ok(())
    }
}

/// Answers a PATCH of a session.
pub(crate) async fn append(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let registry = &visitor.registry;
    let named = visitor.repository(&input.name)?;
    let id = session_id(&input)?;
    let granted = visitor.permit_step::<kinds::UploadLayerPart>(&named).await?;
    let chunk = Chunk::from_input(registry, input)?;
    let _turn = registry.upload_turn(&visitor.tenant(), chunk.length).await?;
    let received = append_chunk(registry, &granted, id, chunk)
        .await
        .map_err(|error| session_error(error, &named, id))?;
    Ok(session_answer(StatusCode::ACCEPTED, &named, id, received).into_response())
}

/// Adds a chunk; returns how many bytes have arrived in all.
#[tracing::instrument(name = "upload.append", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name, upload.id = %id))]
async fn append_chunk(
    registry: &Registry,
    granted: &Granted<kinds::UploadLayerPart>,
    id: UploadId,
    chunk: Chunk,
) -> Result<u64, UploadError> {
    let _active = registry.metrics().upload();
    let _writer = registry.writers().claim(id)?;
    let mut record = find(registry, granted.resource(), id).await?;
    chunk.check(registry, record.state.bytes())?;
    let algorithm = record.algorithm;
    let (held, failure) = take_in(registry, granted.resource(), &mut record, algorithm, chunk.body).await?;
    let received = held.bytes();
    fail_point("upload.append.received");
    if let Some(error) = failure {
        return Err(UploadError::from_append(error, id, received));
    }
    // An empty chunk changes nothing.
    if received > record.state.bytes() {
        save(registry, granted.resource(), &record, &held).await?;
        fail_point("upload.append.recorded");
    }
    Ok(received)
}

/// Receives a body; if it stops early, what came before is saved, so that the client can go on behind it.
pub(super) async fn take_in(
    registry: &Registry,
    repository: &RepositoryPath,
    record: &mut UploadRecord,
    algorithm: Algorithm,
    body: ByteStream,
) -> Result<(Held, Option<AppendError>), UploadError> {
    let held = Held::from_state(record.state.clone())?;
    let receiving = receive(registry, record.id, algorithm, held, body);
    let (held, failure) = keep_alive(registry, repository, record, receiving).await?;
    match &failure {
        // The session makes no sense any more.
        Some(AppendError::TooLarge(_)) => give_up(registry, repository, record.id).await,
        Some(_) if held.bytes() > record.state.bytes() => save(registry, repository, record, &held).await?,
        Some(_) | None => {}
    }
    Ok((held, failure))
}

pub(super) async fn find(
    registry: &Registry,
    repository: &RepositoryPath,
    id: UploadId,
) -> Result<UploadRecord, UploadError> {
    let record = registry.catalog().upload(repository, id, registry.now()).await?;
    record.ok_or(UploadError::Unknown(id))
}

async fn save(
    registry: &Registry,
    repository: &RepositoryPath,
    record: &UploadRecord,
    held: &Held,
) -> Result<(), UploadError> {
    let expiry = registry.upload_expiry();
    let saved = registry
        .catalog()
        .advance_upload(repository, record.id, record.version, held.to_state(), expiry)
        .await;
    saved.map(|_| ()).map_err(|error| changed_meanwhile(error, record.id))
}
