// SPDX-License-Identifier: Apache-2.0
//! Giving up sessions that nobody goes on with.

use hythe_blobs::BlobStore;
use hythe_catalog::{Catalog, CatalogError};
use jiff::Timestamp;

/// Why a pass over expired sessions failed.
#[derive(Debug, thiserror::Error)]
pub enum ExpireError {
    /// The metadata store refused or failed.
    #[error("cannot list the expired uploads")]
    Catalog(#[from] CatalogError),
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
    for id in &expired {
        match blobs.abandon(*id).await {
            Ok(()) => tracing::debug!(upload.id = %id, "upload expired"),
            // The row is gone already. Bytes without a row are garbage; the log says where they are.
            Err(error) => {
                tracing::error!(upload.id = %id, error = %error, "the bytes of an expired upload could not be thrown away");
            }
        }
    }
    Ok(expired.len())
}
