// SPDX-License-Identifier: Apache-2.0
//! Giving up sessions that nobody goes on with.

use std::collections::HashSet;
use std::time::Duration;

use hythe_blobs::{BlobError, BlobStore};
use hythe_catalog::{Catalog, CatalogError};
use hythe_model::{UploadId, fail_point};
use jiff::Timestamp;

/// Why a pass over uploads that nobody goes on with failed.
#[derive(Debug, thiserror::Error)]
pub enum ExpireError {
    /// The metadata store refused or failed.
    #[error("cannot list the expired uploads")]
    Catalog(#[from] CatalogError),
    /// The blob store failed.
    #[error("cannot list the uploads that nobody touches")]
    Blobs(#[from] BlobError),
}

/// Gives up to `limit` sessions up that have expired at `now`, with their bytes; returns how many there were.
/// One pass: call it again at once while it returns `limit`, and then from time to time.
pub async fn expire_uploads(
    catalog: &dyn Catalog,
    blobs: &dyn BlobStore,
    now: Timestamp,
    limit: usize,
) -> Result<usize, ExpireError> {
    let expired = catalog.expire_uploads(now, limit).await?;
    if !expired.is_empty() {
        fail_point("upload.expire.forgotten");
    }
    for id in &expired {
        discard(blobs, *id).await;
        fail_point("upload.expire.abandoned");
    }
    Ok(expired.len())
}

/// Throws away the bytes of up to `limit` uploads that no session leads to, because the process ended between the
/// two, or because a request was cut off; returns how many. Only what nobody has touched for `untouched_for` counts,
/// which shall be as long as a session lives: whatever a request works on is younger, or held by it.
pub async fn discard_stale_uploads(
    catalog: &dyn Catalog,
    blobs: &dyn BlobStore,
    untouched_for: Duration,
    limit: usize,
) -> Result<usize, ExpireError> {
    let stale = blobs.stale_uploads(untouched_for, limit).await?;
    if stale.is_empty() {
        return Ok(0);
    }
    // A session's row is there before its bytes, and never comes back: what has none now will never have one.
    let known: HashSet<UploadId> = catalog.known_uploads(&stale).await?.into_iter().collect();
    let mut discarded = 0;
    for id in stale.iter().filter(|id| !known.contains(id)) {
        discard(blobs, *id).await;
        fail_point("upload.expire.stale_abandoned");
        discarded += 1;
    }
    Ok(discarded)
}

async fn discard(blobs: &dyn BlobStore, id: UploadId) {
    match blobs.abandon(id).await {
        Ok(()) => tracing::debug!(upload.id = %id, "upload given up"),
        // Its bytes are found again when nobody has touched them for long enough.
        Err(error) => {
            tracing::error!(upload.id = %id, error = %error, "the bytes of an upload could not be thrown away");
        }
    }
}
