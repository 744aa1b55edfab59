// SPDX-License-Identifier: Apache-2.0
//! Reading a manifest (OCI Distribution Specification 1.1, "Pulling manifests").
//!
//! The stored form is returned whatever `Accept` says: clients check the digest, and one that cannot read the
//! form says so better than a 404 would.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use hythe_access::{Granted, kinds};
use hythe_catalog::{CatalogError, ImageRecord};
use hythe_model::{Reference, RepositoryPath};

use super::existing_reference;
use crate::Registry;
use crate::auth::Visitor;
use crate::input::{Input, InputError};
use crate::oci_error::OciError;
use crate::response::{Answer, DOCKER_CONTENT_DIGEST, etag, is_cached};

/// Why a manifest was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetManifestError {
    #[error("the repository `{0}` does not exist")]
    RepositoryUnknown(RepositoryPath),
    #[error("Requested image not found: `{0}`")]
    Unknown(Reference),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Answers a GET for a manifest.
pub(crate) async fn get(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let image = read(visitor, &input.name, existing_reference(&input)).await?;
    if is_cached(&input.headers, &image.digest) {
        return Ok(not_modified(&image));
    }
    visitor.registry.metrics().pulls.inc();
    Ok(describe(&image).with_body(image.bytes).into_response())
}

/// Answers a HEAD for a manifest.
pub(crate) async fn head(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let image = read(visitor, &input.name, existing_reference(&input)).await?;
    if is_cached(&input.headers, &image.digest) {
        return Ok(not_modified(&image));
    }
    Ok(describe(&image).into_response())
}

async fn read(
    visitor: &Visitor,
    name: &str,
    reference: Result<Reference, InputError>,
) -> Result<ImageRecord, OciError> {
    let named = visitor.repository(name)?;
    let granted = visitor.permit::<kinds::BatchGetImage>(&named).await?;
    Ok(get_manifest(&visitor.registry, &granted, &reference?).await?)
}

#[tracing::instrument(name = "manifest.get", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name,
    manifest.reference = %reference))]
async fn get_manifest(
    registry: &Registry,
    granted: &Granted<kinds::BatchGetImage>,
    reference: &Reference,
) -> Result<ImageRecord, GetManifestError> {
    let repository = granted.resource();
    if let Some(image) = registry.catalog().image(repository, reference).await? {
        return Ok(image);
    }
    if registry.catalog().repository_exists(repository).await? {
        Err(GetManifestError::Unknown(reference.clone()))
    } else {
        Err(GetManifestError::RepositoryUnknown(repository.clone()))
    }
}

fn describe(image: &ImageRecord) -> Answer {
    Answer::new(StatusCode::OK)
        .with(header::CONTENT_TYPE, &image.media_type)
        .with(header::CONTENT_LENGTH, image.bytes.len())
        .with(header::ETAG, etag(&image.digest))
        .with(DOCKER_CONTENT_DIGEST, image.digest)
}

fn not_modified(image: &ImageRecord) -> Response {
    Answer::new(StatusCode::NOT_MODIFIED)
        .with(header::ETAG, etag(&image.digest))
        .with(DOCKER_CONTENT_DIGEST, image.digest)
        .into_response()
}
