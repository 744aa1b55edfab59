// SPDX-License-Identifier: Apache-2.0
//! Reading a blob (OCI Distribution Specification 1.1, "Pulling blobs").

use std::fmt::Display;
use std::io;
use std::ops::Range;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{TryStreamExt as _, stream};
use http::{StatusCode, header};
use hythe_access::{Granted, Trail, kinds};
use hythe_blobs::{BlobError, ByteStream};
use hythe_catalog::{BlobRecord, CatalogError};
use hythe_model::{Digest, MediaType, RepositoryPath};

use super::multipart::Multipart;
use crate::Registry;
use crate::auth::{Either, Visitor};
use crate::cache::{Note, cold_blob, cold_size};
use crate::input::Input;
use crate::oci_error::OciError;
use crate::range::{Wanted, content_range, wanted};
use crate::response::{Answer, DOCKER_CONTENT_DIGEST, etag, is_cached};

/// Why a blob was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobReadError {
    #[error("the repository `{0}` does not exist")]
    RepositoryUnknown(RepositoryPath),
    #[error("the blob `{0}` does not exist in the repository")]
    Unknown(Digest),
    #[error("the range starts behind the end of the blob, which has {size} bytes")]
    RangeUnsatisfiable { size: u64 },
    /// There is a row, and the blob store has no bytes for it.
    #[error("the bytes of blob `{0}` are missing from the blob store")]
    BytesMissing(Digest),
    /// There is a row, and its bytes are known to be damaged or gone. Whoever sends the blob again repairs it.
    #[error("the blob `{0}` is damaged: push it again")]
    Damaged(Digest),
    #[error("cannot read the blob")]
    Store(#[from] BlobError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Answers a HEAD for a blob.
pub(crate) async fn head(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let named = visitor.repository(&input.name)?;
    let digest = input.digest()?;
    Trail::note(|facts| facts.digest = Some(digest));
    // Who may read a blob may know that it is there: ECR's pull-only principals ask before they push, too.
    let granted = match visitor.replica {
        Some(_) => Either::Left(
            visitor
                .permit_step::<kinds::BatchCheckLayerAvailability>(&named)
                .await?,
        ),
        None => {
            visitor
                .permit_either::<kinds::BatchCheckLayerAvailability, kinds::GetDownloadUrlForLayer>(&named)
                .await?
        }
    };
    let record = match granted {
        Either::Left(granted) => check_blob(&visitor.registry, &granted, &digest).await,
        Either::Right(granted) => find_blob(&visitor.registry, &granted, &digest).await,
    };
    let record = match record {
        Err(error @ BlobReadError::Unknown(_)) => match cold_size(visitor, &named, digest).await? {
            Some(size) => return Ok(cold(&digest, Some(size)).into_response()),
            None => return Err(error.into()),
        },
        found => found?,
    };
    // Who asks before sending is to send it again then.
    let blobs = visitor.registry.blobs();
    if !blobs
        .is_sound(&digest, record.inline.as_deref())
        .await
        .map_err(BlobReadError::Store)?
    {
        return Err(BlobReadError::Damaged(digest).into());
    }
    if is_cached(&input.headers, &digest) {
        return Ok(not_modified(&digest));
    }
    Ok(describe(StatusCode::OK, &digest, record.size).into_response())
}

/// Answers a GET for a blob or a part of it.
pub(crate) async fn get(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let named = visitor.repository(&input.name)?;
    let digest = input.digest()?;
    Trail::note(|facts| facts.digest = Some(digest));
    let granted = visitor.permit::<kinds::GetDownloadUrlForLayer>(&named).await?;
    let record = match find_blob(&visitor.registry, &granted, &digest).await {
        Err(error @ BlobReadError::Unknown(_)) => match cold_blob(visitor, &named, digest).await? {
            // Whoever wants a part gets the whole (RFC 9110, section 14.2): the parts before it have to come anyway.
            Some((length, body)) => return Ok(cold(&digest, length).with_body(body).into_response()),
            None => return Err(error.into()),
        },
        found => found?,
    };
    if is_cached(&input.headers, &digest) {
        return Ok(not_modified(&digest));
    }
    // A range for another version than this one is void (RFC 9110, section 13.1.5).
    let is_other = input
        .header(&header::IF_RANGE)
        .is_some_and(|tag| tag.trim() != etag(&digest));
    let range = if is_other { None } else { input.header(&header::RANGE) };
    let size = record.size;
    let (answer, body) = match wanted(range, size) {
        Wanted::Whole => {
            let body = read_blob(visitor, &granted, &digest, record, 0..size).await?;
            (describe(StatusCode::OK, &digest, size), body)
        }
        Wanted::Part(part) => {
            let answer = describe(StatusCode::PARTIAL_CONTENT, &digest, part.end - part.start);
            let answer = answer.with(header::CONTENT_RANGE, content_range(&part, size));
            (answer, read_blob(visitor, &granted, &digest, record, part).await?)
        }
        Wanted::Parts(parts) => {
            let message = Multipart::new(&digest, size, &parts);
            let answer = describe_as(
                StatusCode::PARTIAL_CONTENT,
                &digest,
                message.media_type(),
                message.bytes(),
            );
            let registry = visitor.registry.clone();
            // Once for all of its parts.
            if let Some(inline) = &record.inline {
                registry
                    .blobs()
                    .check_bytes(&digest, inline)
                    .map_err(BlobReadError::Store)?;
            }
            let read = move |part| {
                let (registry, record) = (registry.clone(), record.clone());
                async move {
                    let opened = match &record.inline {
                        Some(inline) => part_of(inline, &part, &digest).map(one_chunk),
                        None => open(&registry, &digest, part, false).await,
                    };
                    opened.map_err(io::Error::other)
                }
            };
            (answer, Body::from_stream(message.stream(parts, read)))
        }
        Wanted::Unsatisfiable => return Err(BlobReadError::RangeUnsatisfiable { size }.into()),
    };
    Ok(answer.with_body(body).into_response())
}

#[tracing::instrument(name = "blob.check", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name, blob.digest = %digest))]
async fn check_blob(
    registry: &Registry,
    granted: &Granted<kinds::BatchCheckLayerAvailability>,
    digest: &Digest,
) -> Result<BlobRecord, BlobReadError> {
    lookup(registry, granted.resource(), digest).await
}

#[tracing::instrument(name = "blob.find", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name, blob.digest = %digest))]
async fn find_blob(
    registry: &Registry,
    granted: &Granted<kinds::GetDownloadUrlForLayer>,
    digest: &Digest,
) -> Result<BlobRecord, BlobReadError> {
    lookup(registry, granted.resource(), digest).await
}

#[tracing::instrument(name = "blob.read", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name, blob.digest = %digest,
    blob.size_bytes = record.size))]
async fn read_blob(
    visitor: &Visitor,
    granted: &Granted<kinds::GetDownloadUrlForLayer>,
    digest: &Digest,
    record: BlobRecord,
    bytes: Range<u64>,
) -> Result<Body, BlobReadError> {
    if bytes.is_empty() {
        return Ok(Body::empty());
    }
    if let Some(inline) = &record.inline {
        visitor.registry.blobs().check_bytes(digest, inline)?;
        return Ok(Body::from(part_of(inline, &bytes, digest)?)); // of known size, so that it is sent with its head
    }
    let stream = open(&visitor.registry, digest, bytes, visitor.sends_files).await?;
    Ok(Body::from_stream(stream))
}

fn one_chunk(bytes: Bytes) -> ByteStream {
    Box::pin(stream::iter([Ok(bytes)]))
}

/// The bytes of a part, from the store.
async fn open(
    registry: &Registry,
    digest: &Digest,
    bytes: Range<u64>,
    sends_files: bool,
) -> Result<ByteStream, BlobReadError> {
    let blobs = registry.blobs();
    let stream = if sends_files {
        blobs.read_to_send(digest, bytes).await?
    } else {
        blobs.read(digest, bytes).await?
    };
    let (stream, digest) = (stream.ok_or(BlobReadError::BytesMissing(*digest))?, *digest);
    // The head of the answer is on its way: all that is left is to break the body off, and to say why.
    Ok(Box::pin(stream.inspect_err(move |error| {
        tracing::error!(blob.digest = %digest, error = %error, "a blob cannot be read to its end");
    })))
}

fn part_of(inline: &Bytes, bytes: &Range<u64>, digest: &Digest) -> Result<Bytes, BlobReadError> {
    let part = usize::try_from(bytes.start).ok().zip(usize::try_from(bytes.end).ok());
    let is_there = part.filter(|(start, end)| start <= end && *end <= inline.len());
    let (start, end) = is_there.ok_or(BlobReadError::BytesMissing(*digest))?;
    Ok(inline.slice(start..end))
}

async fn lookup(
    registry: &Registry,
    repository: &RepositoryPath,
    digest: &Digest,
) -> Result<BlobRecord, BlobReadError> {
    if let Some(record) = registry.catalog().blob(repository, digest).await? {
        return Ok(record);
    }
    if registry.catalog().repository_exists(repository).await? {
        Err(BlobReadError::Unknown(*digest))
    } else {
        Err(BlobReadError::RepositoryUnknown(repository.clone()))
    }
}

fn describe(status: StatusCode, digest: &Digest, length: u64) -> Answer {
    describe_as(status, digest, MediaType::OCTET_STREAM, length)
}

/// A blob that comes from another registry.
fn cold(digest: &Digest, length: Option<u64>) -> Answer {
    let answer = Answer::new(StatusCode::OK)
        .with(header::CONTENT_TYPE, MediaType::OCTET_STREAM)
        .with(header::ETAG, etag(digest))
        .with(DOCKER_CONTENT_DIGEST, digest);
    let answer = Note::Miss.tell(answer);
    match length {
        Some(length) => answer.with(header::CONTENT_LENGTH, length),
        None => answer,
    }
}

fn describe_as(status: StatusCode, digest: &Digest, media_type: impl Display, length: u64) -> Answer {
    Answer::new(status)
        .with(header::CONTENT_TYPE, media_type)
        .with(header::CONTENT_LENGTH, length)
        .with(header::ACCEPT_RANGES, "bytes")
        .with(header::ETAG, etag(digest))
        .with(DOCKER_CONTENT_DIGEST, digest)
}

fn not_modified(digest: &Digest) -> Response {
    Answer::new(StatusCode::NOT_MODIFIED)
        .with(header::ETAG, etag(digest))
        .with(DOCKER_CONTENT_DIGEST, digest)
        .into_response()
}
