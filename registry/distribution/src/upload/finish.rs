// SPDX-License-Identifier: Apache-2.0
//! Finishing an upload: the last bytes, the check of the digest, and the link to the repository.
//!
//! Bytes first, then the row, then the answer. After the bytes are published the blob store knows the session no
//! more; if the row could not be written then, the same request finds the blob in its place and goes on.

use std::io;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body::Body as _;
use hythe_access::{Granted, kinds};
use hythe_blobs::{CommitError, Hasher, Progress};
use hythe_catalog::{CatalogError, NewBlob, UploadState};
use hythe_model::{Digest, RepositoryPath, UploadId};

use super::append::{Chunk, find, take_in};
use super::receive::Held;
use super::{UploadError, created, session_error, session_id};
use crate::Registry;
use crate::auth::Visitor;
use crate::input::{Input, InputError};
use crate::oci_error::OciError;

/// Answers a PUT of a session.
pub(crate) async fn finish(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let registry = &visitor.registry;
    let named = visitor.repository(&input.name)?;
    let id = session_id(&input)?;
    let digest = input.digest_parameter("digest")?.ok_or(InputError::DigestAbsent)?;
    let granted = visitor.permit::<kinds::CompleteLayerUpload>(&named).await?;
    let has_body = !input.body.is_end_stream();
    let last = if has_body {
        Some(visitor.permit::<kinds::UploadLayerPart>(&named).await?)
    } else {
        None
    };
    let chunk = Chunk::from_input(registry, input)?;
    let _turn = registry.upload_turn(&visitor.tenant(), chunk.length).await?;
    finish_upload(registry, &granted, last.as_ref(), id, &digest, chunk)
        .await
        .map_err(|error| session_error(error, &named, id))?;
    Ok(created(&named, &digest).into_response())
}

/// Makes a blob of the session, with `chunk` as its last bytes if the caller may send any.
#[tracing::instrument(name = "upload.finish", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name, upload.id = %id,
    blob.digest = %digest, blob.size_bytes = tracing::field::Empty))]
async fn finish_upload(
    registry: &Registry,
    granted: &Granted<kinds::CompleteLayerUpload>,
    last: Option<&Granted<kinds::UploadLayerPart>>,
    id: UploadId,
    digest: &Digest,
    chunk: Chunk,
) -> Result<(), UploadError> {
    let _active = registry.metrics().upload();
    let _writer = registry.writers().claim(id)?;
    let record = find(registry, granted.resource(), id).await?;
    chunk.check(registry, record.state.bytes())?;
    let held = match last {
        None => Held::from_state(record.state)?,
        Some(part) => {
            // Nothing is hashed yet, so that the digest may choose.
            let algorithm = match record.state {
                UploadState::Buffered(_) => digest.algorithm(),
                UploadState::Stored { .. } => record.algorithm,
            };
            let (held, failure) = take_in(registry, part.resource(), &record, algorithm, chunk.body).await?;
            if let Some(error) = failure {
                return Err(UploadError::from_append(error, id, held.bytes()));
            }
            held
        }
    };
    tracing::Span::current().record("blob.size_bytes", held.bytes());
    match held {
        Held::Buffered(bytes) => {
            check_digest(&bytes, digest)?;
            // A request that was cut off may have left bytes in the store that the row does not know of.
            registry.blobs().abandon(id).await?;
            let size = bytes.len() as u64;
            link(
                registry,
                granted.resource(),
                id,
                NewBlob {
                    digest: *digest,
                    size,
                    inline: Some(bytes),
                    upload: Some(id),
                },
            )
            .await
        }
        Held::Stored(progress) => commit(registry, granted, id, *progress, digest).await,
    }
}

/// Compares the digest of bytes in memory with what the client says it is.
pub(super) fn check_digest(bytes: &Bytes, expected: &Digest) -> Result<(), UploadError> {
    let mut hasher = Hasher::new(expected.algorithm());
    hasher.update(bytes);
    let actual = hasher.finish();
    if actual == *expected {
        Ok(())
    } else {
        Err(UploadError::digest_mismatch(*expected, actual))
    }
}

/// Publishes the bytes that the blob store holds, and links them to the repository.
pub(super) async fn commit(
    registry: &Registry,
    granted: &Granted<kinds::CompleteLayerUpload>,
    id: UploadId,
    progress: Progress,
    expected: &Digest,
) -> Result<(), UploadError> {
    let (shared, repository, expected) = (registry.clone(), granted.resource().clone(), *expected);
    // A client that goes away between the two must not leave published bytes without a row.
    let work = async move {
        let size = if progress.hasher.algorithm() == expected.algorithm() {
            publish(&shared, id, progress, &expected).await?
        } else {
            rehash(&shared, &repository, id, progress, &expected).await?
        };
        let blob = NewBlob {
            digest: expected,
            size,
            inline: None,
            upload: Some(id),
        };
        link(&shared, &repository, id, blob).await
    };
    let ended = registry.finish(work).await;
    ended.unwrap_or_else(|| Err(UploadError::Store(io::Error::other("the end of the upload panicked"))))
}

async fn publish(registry: &Registry, id: UploadId, progress: Progress, expected: &Digest) -> Result<u64, UploadError> {
    let (bytes, actual) = (progress.bytes, progress.hasher.finish());
    match registry.blobs().commit(id, progress, expected).await {
        Ok(size) => Ok(size),
        // An earlier request published it, and could not link it.
        Err(CommitError::UploadUnknown)
            if actual == *expected && registry.blobs().size(expected).await? == Some(bytes) =>
        {
            Ok(bytes)
        }
        Err(error) => Err(UploadError::from_commit(error, id)),
    }
}

/// Publishes bytes that were hashed with another algorithm than the client now names: under the name that is
/// known, from where they can be read and hashed again. That first name is linked too, and before anything else
/// can fail, so that a row leads to the bytes whatever comes of the second. A client avoids the second pass with `digest-algorithm` when it starts the upload.
async fn rehash(
    registry: &Registry,
    repository: &RepositoryPath,
    id: UploadId,
    progress: Progress,
    expected: &Digest,
) -> Result<u64, UploadError> {
    let first = progress.hasher.finish();
    let size = publish(registry, id, progress, &first).await?;
    let blob = NewBlob {
        digest: first,
        size,
        inline: None,
        upload: None,
    };
    registry.catalog().link_blob(repository, blob, registry.now()).await?;
    let stream = registry
        .blobs()
        .read(&first, 0..size)
        .await?
        .ok_or(UploadError::Unknown(id))?;
    let second = UploadId::generate();
    let from = Progress {
        bytes: 0,
        hasher: Hasher::new(expected.algorithm()),
    };
    let appended = registry.blobs().append(second, from, stream.boxed(), size).await;
    let result = match appended.failure {
        None => match registry.blobs().commit(second, appended.progress, expected).await {
            Ok(size) => Ok(size),
            Err(error) => Err(UploadError::from_commit(error, id)),
        },
        Some(error) => Err(match UploadError::from_append(error, id, size) {
            // Here the body is our own.
            UploadError::Broken { source, .. } | UploadError::Stalled { source, .. } => UploadError::Store(source),
            error => error,
        }),
    };
    if result.is_err() {
        registry.blobs().abandon(second).await?;
    }
    result
}

async fn link(
    registry: &Registry,
    repository: &RepositoryPath,
    id: UploadId,
    blob: NewBlob,
) -> Result<(), UploadError> {
    match registry.catalog().link_blob(repository, blob, registry.now()).await {
        Ok(()) => {
            registry.metrics().blobs_received.inc();
            tracing::debug!("blob stored");
            Ok(())
        }
        // The session was cancelled or expired in the meantime. Bytes that were published have no row now.
        Err(CatalogError::Conflict) => Err(UploadError::Unknown(id)),
        Err(
            error @ (CatalogError::RepositoryUnknown(_)
            | CatalogError::Busy
            | CatalogError::Full
            | CatalogError::Store(_)),
        ) => Err(error.into()),
    }
}
