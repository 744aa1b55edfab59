// SPDX-License-Identifier: Apache-2.0
//! Finishing an upload: the last bytes, the check of the digest, and the link to the repository.
//!
//! The row is sealed, then the bytes are published, then they are linked, then comes the answer. If they could not
//! be linked, the same request once more finds them published and goes on from there.

use std::io;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body::Body as _;
use hythe_access::{Granted, Trail, kinds};
use hythe_blobs::{Hasher, Progress};
use hythe_catalog::{CatalogError, NewBlob, UploadRecord, UploadState};
use hythe_model::{Digest, RepositoryPath, UploadId, fail_point};

use super::alive::changed_meanwhile;
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
    Trail::note(|facts| facts.digest = Some(digest));
    let granted = visitor.permit_step::<kinds::CompleteLayerUpload>(&named).await?;
    let has_body = !input.body.is_end_stream();
    let last = if has_body {
        Some(visitor.permit_step::<kinds::UploadLayerPart>(&named).await?)
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
    let mut record = find(registry, granted.resource(), id).await?;
    chunk.check(registry, record.state.bytes())?;
    let held = match last {
        None => Held::from_state(record.state.clone())?,
        Some(part) => {
            // Nothing is hashed yet, so that the digest may choose.
            let algorithm = match record.state {
                UploadState::Buffered(_) => digest.algorithm(),
                UploadState::Stored { .. } => record.algorithm,
            };
            let (held, failure) = take_in(registry, part.resource(), &mut record, algorithm, chunk.body).await?;
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
            if registry.writers().take_spilled(id) {
                registry.blobs().abandon(id).await?;
            }
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
        Held::Stored(progress) => {
            registry.writers().take_spilled(id);
            commit(registry, granted.resource(), record, *progress, digest).await
        }
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
    repository: &RepositoryPath,
    mut record: UploadRecord,
    progress: Progress,
    expected: &Digest,
) -> Result<(), UploadError> {
    let is_hashed = progress.hasher.algorithm() == expected.algorithm();
    if is_hashed && progress.hasher.finish() != *expected {
        return Err(UploadError::digest_mismatch(*expected, progress.hasher.finish()));
    }
    let (shared, repository, expected) = (registry.clone(), repository.clone(), *expected);
    // A client that goes away in between must not leave published bytes that are not linked.
    let work = async move {
        let size = if is_hashed {
            publish(&shared, &repository, &mut record, progress, &expected).await?
        } else {
            rehash(&shared, &repository, &mut record, progress, &expected).await?
        };
        let blob = NewBlob {
            digest: expected,
            size,
            inline: None,
            upload: Some(record.id),
        };
        link(&shared, &repository, record.id, blob).await
    };
    let ended = registry.finish(work).await;
    ended.unwrap_or_else(|| Err(UploadError::Store(io::Error::other("the end of the upload panicked"))))
}

/// Writes down what the bytes are about to become, then publishes them.
async fn publish(
    registry: &Registry,
    repository: &RepositoryPath,
    record: &mut UploadRecord,
    progress: Progress,
    expected: &Digest,
) -> Result<u64, UploadError> {
    seal(registry, repository, record, &progress, expected).await?;
    let size = registry.blobs().commit(record.id, progress, expected).await;
    let size = size.map_err(|error| UploadError::from_commit(error, record.id))?;
    fail_point("upload.finish.published");
    Ok(size)
}

async fn seal(
    registry: &Registry,
    repository: &RepositoryPath,
    record: &mut UploadRecord,
    progress: &Progress,
    expected: &Digest,
) -> Result<(), UploadError> {
    let state = Held::Stored(Box::new(progress.clone())).to_state();
    // An earlier request came as far as this.
    if record.sealed == Some(*expected) && record.state == state {
        return Ok(());
    }
    let expiry = registry.upload_expiry();
    let sealed = registry
        .catalog()
        .seal_upload(repository, record.id, record.version, expected, state.clone(), expiry)
        .await;
    record.version = sealed.map_err(|error| changed_meanwhile(error, record.id))?;
    (record.state, record.sealed) = (state, Some(*expected));
    fail_point("upload.finish.sealed");
    Ok(())
}

/// Publishes bytes that were hashed with another algorithm than the client now names: under the name that is
/// known, from where they can be read and hashed again. The session stays sealed as that first name too, so that its
/// bytes stay until the session ends, and are garbage from then on. A client avoids the second pass with
/// `digest-algorithm` when it starts the upload.
async fn rehash(
    registry: &Registry,
    repository: &RepositoryPath,
    record: &mut UploadRecord,
    progress: Progress,
    expected: &Digest,
) -> Result<u64, UploadError> {
    let (id, first) = (record.id, progress.hasher.finish());
    let size = publish(registry, repository, record, progress.clone(), &first).await?;
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
    fail_point("upload.rehash.copied");
    let result = match appended.failure {
        None => {
            publish_copy(
                registry,
                repository,
                record,
                &progress,
                second,
                appended.progress,
                expected,
            )
            .await
        }
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

/// Publishes the copy of a session's bytes; `progress` is the session's own.
async fn publish_copy(
    registry: &Registry,
    repository: &RepositoryPath,
    record: &mut UploadRecord,
    progress: &Progress,
    copy: UploadId,
    copied: Progress,
    expected: &Digest,
) -> Result<u64, UploadError> {
    let actual = copied.hasher.finish();
    if actual != *expected {
        return Err(UploadError::digest_mismatch(*expected, actual));
    }
    seal(registry, repository, record, progress, expected).await?;
    let size = registry.blobs().commit(copy, copied, expected).await;
    let size = size.map_err(|error| UploadError::from_commit(error, record.id))?;
    fail_point("upload.rehash.published");
    Ok(size)
}

async fn link(
    registry: &Registry,
    repository: &RepositoryPath,
    id: UploadId,
    blob: NewBlob,
) -> Result<(), UploadError> {
    match registry.catalog().link_blob(repository, blob, registry.now()).await {
        Ok(()) => {
            fail_point("upload.finish.linked");
            registry.metrics().blobs_received.inc();
            tracing::debug!("blob stored");
            Ok(())
        }
        // The session was cancelled or expired in the meantime; what it was sealed as is queued for review.
        Err(CatalogError::Conflict) => Err(UploadError::Unknown(id)),
        Err(
            error @ (CatalogError::RepositoryUnknown(_)
            | CatalogError::Busy
            | CatalogError::Full
            | CatalogError::Store(_)),
        ) => Err(error.into()),
    }
}
