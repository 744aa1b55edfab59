// SPDX-License-Identifier: Apache-2.0
//! Reading a blob (OCI Distribution Specification 1.1, "Pulling blobs").

use std::ops::Range;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use hythe_access::{Granted, kinds};
use hythe_blobs::BlobError;
use hythe_catalog::{BlobRecord, CatalogError};
use hythe_model::{Digest, MediaType, RepositoryPath};

use crate::Registry;
use crate::auth::Visitor;
use crate::input::Input;
use crate::oci_error::OciError;
use crate::range::{Wanted, wanted};
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
    #[error("cannot read the blob")]
    Store(#[from] BlobError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Answers a HEAD for a blob.
pub(crate) async fn head(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let named = visitor.repository(&input.name)?;
    let digest = input.digest()?;
    let granted = visitor.permit::<kinds::BatchCheckLayerAvailability>(&named).await?;
    let record = check_blob(&visitor.registry, &granted, &digest).await?;
    if is_cached(&input.headers, &digest) {
        return Ok(not_modified(&digest));
    }
    Ok(describe(StatusCode::OK, &digest, record.size).into_response())
}

/// Answers a GET for a blob or a part of it.
pub(crate) async fn get(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let named = visitor.repository(&input.name)?;
    let digest = input.digest()?;
    let granted = visitor.permit::<kinds::GetDownloadUrlForLayer>(&named).await?;
    let record = find_blob(&visitor.registry, &granted, &digest).await?;
    if is_cached(&input.headers, &digest) {
        return Ok(not_modified(&digest));
    }
    // A range for another version than this one is void (RFC 9110, section 13.1.5).
    let is_other = input
        .header(&header::IF_RANGE)
        .is_some_and(|tag| tag.trim() != etag(&digest));
    let range = if is_other { None } else { input.header(&header::RANGE) };
    let size = record.size;
    let (status, bytes) = match wanted(range, size) {
        Wanted::Whole => (StatusCode::OK, 0..size),
        Wanted::Part(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
        Wanted::Unsatisfiable => return Err(BlobReadError::RangeUnsatisfiable { size }.into()),
    };
    let mut answer = describe(status, &digest, bytes.end - bytes.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
        answer = answer.with(header::CONTENT_RANGE, range);
    }
    let body = read_blob(&visitor.registry, &granted, &digest, record, bytes).await?;
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
    registry: &Registry,
    granted: &Granted<kinds::GetDownloadUrlForLayer>,
    digest: &Digest,
    record: BlobRecord,
    bytes: Range<u64>,
) -> Result<Body, BlobReadError> {
    if bytes.is_empty() {
        return Ok(Body::empty());
    }
    if let Some(inline) = record.inline {
        let part = usize::try_from(bytes.start).ok().zip(usize::try_from(bytes.end).ok());
        let is_there = part.filter(|(start, end)| start <= end && *end <= inline.len());
        let (start, end) = is_there.ok_or(BlobReadError::BytesMissing(*digest))?;
        return Ok(Body::from(inline.slice(start..end)));
    }
    let stream = registry.blobs().read(digest, bytes).await?;
    stream
        .map(Body::from_stream)
        .ok_or(BlobReadError::BytesMissing(*digest))
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
    Answer::new(status)
        .with(header::CONTENT_TYPE, MediaType::OCTET_STREAM)
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
