// SPDX-License-Identifier: Apache-2.0
//! Starting an upload: a session, a mount, or the whole blob in one request.

use std::sync::OnceLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use hythe_access::{Granted, Trail, kinds};
use hythe_blobs::{ByteStream, Hasher, Progress};
use hythe_catalog::{CatalogError, NewBlob};
use hythe_model::{Algorithm, Digest, RepositoryPath, UploadId, fail_point};

use super::alive::keep_alive;
use super::append::find;
use super::finish::{check_digest, commit};
use super::receive::{Gathered, gather};
use super::status::give_up;
use super::{UploadError, created, session_answer};
use crate::Registry;
use crate::account::Named;
use crate::auth::Visitor;
use crate::blob::mount;
use crate::body::incoming;
use crate::creation::create_on_push;
use crate::input::{Input, InputError};
use crate::oci_error::OciError;
use crate::response::OCI_CHUNK_MIN_LENGTH;

/// Answers a POST for a new upload.
pub(crate) async fn begin(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let registry = &visitor.registry;
    let named = visitor.repository(&input.name)?;
    let (mounted, whole) = (input.digest_parameter("mount")?, input.digest_parameter("digest")?);
    let algorithm = input
        .parameter("digest-algorithm")
        .map(|text| text.parse::<Algorithm>())
        .transpose();
    let algorithm = algorithm.map_err(InputError::Digest)?;

    let granted = visitor.permit_step::<kinds::InitiateLayerUpload>(&named).await?;
    visitor.check_loop(&named.path)?;
    if let Some(digest) = mounted {
        Trail::note(|facts| {
            facts.event = Some("MountLayer");
            facts.digest = Some(digest);
            let from = input.parameter("from").map(serde_json::Value::from);
            facts
                .parameters
                .extend(from.map(|from| ("from".into(), from.to_string())));
        });
        let target = visitor.permit_step::<kinds::CompleteLayerUpload>(&named).await?;
        ensure_repository(visitor, &named).await?;
        if mount(visitor, &named, &target, &digest, input.parameter("from").as_deref()).await? {
            return Ok(created(&named, &digest).into_response());
        }
        Trail::note(|facts| facts.event = None);
    } else if let Some(digest) = whole {
        Trail::note(|facts| {
            facts.event = Some("CompleteLayerUpload");
            facts.digest = Some(digest);
        });
        let part = visitor.permit_step::<kinds::UploadLayerPart>(&named).await?;
        let target = visitor.permit_step::<kinds::CompleteLayerUpload>(&named).await?;
        ensure_repository(visitor, &named).await?;
        let length = input.content_length();
        let _turn = registry.upload_turn(&visitor.tenant(), length).await?;
        let body = incoming(registry, input.body, length);
        push_whole(registry, &granted, &part, &target, &digest, body, length).await?;
        return Ok(created(&named, &digest).into_response());
    }
    let algorithm = algorithm
        .or(mounted.map(|digest| digest.algorithm()))
        .unwrap_or(Algorithm::Sha256);
    let id = match begin_upload(registry, &granted, algorithm).await {
        Err(UploadError::Catalog(CatalogError::RepositoryUnknown(repository)))
            if create_on_push(visitor, &repository).await? =>
        {
            begin_upload(registry, &granted, algorithm).await?
        }
        begun => begun?,
    };
    let answer = session_answer(StatusCode::ACCEPTED, &named, id, 0);
    Ok(answer
        .with(OCI_CHUNK_MIN_LENGTH, registry.limits().chunk_min_bytes)
        .into_response())
}

/// Before bytes are taken or looked for that cannot be asked for twice: creates the repository if it is absent and may be.
async fn ensure_repository(visitor: &Visitor, named: &Named) -> Result<(), OciError> {
    let registry = &visitor.registry;
    if registry.creator().is_some() && !registry.catalog().repository_exists(&named.path).await? {
        create_on_push(visitor, &named.path).await?;
    }
    Ok(())
}

#[tracing::instrument(name = "upload.begin", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name))]
async fn begin_upload(
    registry: &Registry,
    granted: &Granted<kinds::InitiateLayerUpload>,
    algorithm: Algorithm,
) -> Result<UploadId, UploadError> {
    new_session(registry, granted.resource(), algorithm).await
}

async fn new_session(
    registry: &Registry,
    repository: &RepositoryPath,
    algorithm: Algorithm,
) -> Result<UploadId, UploadError> {
    let id = UploadId::generate();
    registry
        .catalog()
        .begin_upload(repository, id, algorithm, registry.upload_expiry())
        .await?;
    fail_point("upload.begin.recorded");
    Ok(id)
}

/// Takes a whole blob in one request. The client gets no session to come back to, so that what breaks off is
/// thrown away; if this future is dropped, the session's row leads the expiry to the bytes.
#[tracing::instrument(name = "blob.push", skip_all, fields(
    account.id = %target.resource().account, repository.name = %target.resource().name, blob.digest = %digest))]
async fn push_whole(
    registry: &Registry,
    _granted: &Granted<kinds::InitiateLayerUpload>,
    _part: &Granted<kinds::UploadLayerPart>,
    target: &Granted<kinds::CompleteLayerUpload>,
    digest: &Digest,
    body: ByteStream,
    length: Option<u64>,
) -> Result<(), UploadError> {
    take_whole(registry, target.resource(), digest, body, length, &OnceLock::new()).await
}

/// Takes a whole blob from a stream, for whoever is permitted to put blobs into the repository: a push in one request, and
/// what comes from upstream. Bytes that go to the blob store are there as `session` until they are a blob.
pub(crate) async fn take_whole(
    registry: &Registry,
    repository: &RepositoryPath,
    digest: &Digest,
    body: ByteStream,
    length: Option<u64>,
    session: &OnceLock<UploadId>,
) -> Result<(), UploadError> {
    let _active = registry.metrics().upload();
    let max_bytes = registry.limits().max_blob_bytes;
    if length.is_some_and(|length| length > max_bytes) {
        return Err(UploadError::TooLarge(max_bytes));
    }
    let no_session = UploadId::generate();
    match gather(Bytes::new(), body).await {
        Gathered::Whole(bytes) if bytes.len() as u64 > max_bytes => Err(UploadError::TooLarge(max_bytes)),
        Gathered::Whole(bytes) => {
            check_digest(&bytes, digest)?;
            let blob = NewBlob {
                digest: *digest,
                size: bytes.len() as u64,
                inline: Some(bytes),
                upload: None,
            };
            registry.catalog().link_blob(repository, blob, registry.now()).await?;
            fail_point("upload.whole.linked");
            registry.metrics().blobs_received.inc();
            Ok(())
        }
        Gathered::Stopped(bytes, error) => Err(UploadError::from_append(error, no_session, bytes.len() as u64)),
        Gathered::Spilling(body) => {
            let id = new_session(registry, repository, digest.algorithm()).await?;
            let _writer = registry.writers().claim(id)?;
            // Empty until now: a body is taken once.
            let _ = session.set(id);
            let result = spill(registry, repository, id, digest, body).await;
            if result.is_err() {
                give_up(registry, repository, id).await;
            }
            result
        }
    }
}

async fn spill(
    registry: &Registry,
    repository: &RepositoryPath,
    id: UploadId,
    digest: &Digest,
    body: ByteStream,
) -> Result<(), UploadError> {
    let from = Progress {
        bytes: 0,
        hasher: Hasher::new(digest.algorithm()),
    };
    let mut record = find(registry, repository, id).await?;
    let max_bytes = registry.limits().max_blob_bytes;
    let appending = registry.blobs().append(id, from, body, max_bytes);
    let appended = keep_alive(registry, repository, &mut record, appending).await?;
    if let Some(error) = appended.failure {
        return Err(UploadError::from_append(error, id, appended.progress.bytes));
    }
    fail_point("upload.whole.received");
    commit(registry, repository, record, appended.progress, digest).await
}
