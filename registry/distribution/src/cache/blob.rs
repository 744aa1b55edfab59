// SPDX-License-Identifier: Apache-2.0
//! Blobs that are not here yet.

use std::sync::Arc;

use axum::body::Body;
use hythe_access::{Granted, kinds};
use hythe_model::{Digest, RepositoryPath};
use hythe_upstream::UpstreamError;

use super::fetch::read;
use super::trouble::About;
use super::{CacheError, PullThrough, Upstream, refuse_to_pass_on};
use crate::Registry;
use crate::account::Named;
use crate::auth::Visitor;

/// Whose images a repository has, if the caller may have more of them.
async fn permitted(
    visitor: &Visitor,
    named: &Named,
) -> Result<
    Option<(
        Arc<dyn PullThrough>,
        Arc<Upstream>,
        Granted<kinds::BatchImportUpstreamImage>,
    )>,
    CacheError,
> {
    if !visitor.asks_upstream {
        return Ok(None);
    }
    let registry = &visitor.registry;
    let Some((through, upstream)) = registry.upstream(&named.path).await? else {
        return Ok(None);
    };
    // What is pushed, and what is asked for before a push, is nothing to the upstream.
    if !through.is_importing(&named.path).await? {
        return Ok(None);
    }
    // ECR tells those who may not import that there is nothing.
    let Some(granted) = visitor.may::<kinds::BatchImportUpstreamImage>(named).await else {
        return Ok(None);
    };
    match upstream.asked_along(&visitor.pull_path) {
        Ok(upstream) => Ok(Some((through, upstream, granted))),
        // Whoever asks has it from here, and it is not here.
        Err(error) => {
            refuse_to_pass_on(registry, &named.path, error);
            Ok(None)
        }
    }
}

/// The length of a blob that comes from upstream now, and its bytes; `None` if it does not come from there.
pub(crate) async fn cold_blob(
    visitor: &Visitor,
    named: &Named,
    digest: Digest,
) -> Result<Option<(Option<u64>, Body)>, CacheError> {
    let Some((through, upstream, granted)) = permitted(visitor, named).await? else {
        return Ok(None);
    };
    stream(&visitor.registry, &granted, &through, &upstream, digest)
        .await
        .map(Some)
}

#[tracing::instrument(name = "blob.import", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name, blob.digest = %digest))]
async fn stream(
    registry: &Registry,
    granted: &Granted<kinds::BatchImportUpstreamImage>,
    through: &Arc<dyn PullThrough>,
    upstream: &Arc<Upstream>,
    digest: Digest,
) -> Result<(Option<u64>, Body), CacheError> {
    let repository: &RepositoryPath = granted.resource();
    let about = About::Blob(repository.clone(), digest);
    if let Some(error) = registry.cache().troubles.of(upstream, &about) {
        return Err(gone_or(error, digest));
    }
    let fetch = registry
        .cache()
        .fetches
        .join(registry, through, upstream, repository, digest);
    let length = fetch.head().await.map_err(|failure| match CacheError::from(failure) {
        CacheError::Upstream(error) => gone_or(error, digest),
        error => error,
    })?;
    Ok((length, Body::from_stream(read(registry, repository, digest, &fetch))))
}

/// The size of a blob upstream, without its bytes; `None` if it does not come from there or has no size.
pub(crate) async fn cold_size(visitor: &Visitor, named: &Named, digest: Digest) -> Result<Option<u64>, CacheError> {
    let Some((_, upstream, granted)) = permitted(visitor, named).await? else {
        return Ok(None);
    };
    let about = About::Blob(granted.resource().clone(), digest);
    let troubles = &visitor.registry.cache().troubles;
    if let Some(error) = troubles.of(&upstream, &about) {
        return Err(gone_or(error, digest));
    }
    let size = upstream.remote.blob_size(&upstream.repository, &digest).await;
    size.map_err(|error| {
        troubles.note(&upstream, about, &error);
        gone_or(error, digest)
    })
}

fn gone_or(error: UpstreamError, digest: Digest) -> CacheError {
    match error {
        UpstreamError::NotFound => CacheError::BlobUnknown(digest),
        error => CacheError::Upstream(error),
    }
}
