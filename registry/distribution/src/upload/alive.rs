// SPDX-License-Identifier: Apache-2.0
//! Sessions that outlive their time while bytes arrive.

use std::pin::pin;
use std::time::Duration;

use hythe_catalog::{CatalogError, UploadRecord};
use hythe_model::{RepositoryPath, UploadId};

use super::UploadError;
use crate::Registry;

/// How often the expiry of a session is moved, within the time after which it would be over.
const EXTENSIONS_PER_TIMEOUT: u32 = 4;
/// The least time between two extensions, whatever the operator configured.
const MIN_EXTENSION_PERIOD: Duration = Duration::from_millis(10);

/// Drives `work` to its end, and moves the session's expiry while that takes long: a client that sends slowly
/// for days is not a client that has gone away. If the session ends meanwhile, so does the work.
pub(super) async fn keep_alive<T>(
    registry: &Registry,
    repository: &RepositoryPath,
    record: &mut UploadRecord,
    work: impl Future<Output = T>,
) -> Result<T, UploadError> {
    let period = (registry.limits().upload_idle_timeout / EXTENSIONS_PER_TIMEOUT).max(MIN_EXTENSION_PERIOD);
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(period) => extend(registry, repository, record).await?,
        }
    }
}

async fn extend(
    registry: &Registry,
    repository: &RepositoryPath,
    record: &mut UploadRecord,
) -> Result<(), UploadError> {
    let (state, expiry) = (record.state.clone(), registry.upload_expiry());
    let extended = registry
        .catalog()
        .advance_upload(repository, record.id, record.version, state, expiry)
        .await;
    match extended {
        Ok(version) => record.version = version,
        Err(error @ (CatalogError::Conflict | CatalogError::RepositoryUnknown(_))) => {
            return Err(changed_meanwhile(error, record.id));
        }
        // There are some more tries before the session expires.
        Err(error @ (CatalogError::Busy | CatalogError::Full | CatalogError::Store(_))) => {
            tracing::warn!(upload.id = %record.id, error = %error, "the expiry of an upload could not be moved");
        }
    }
    Ok(())
}

/// Why a session could not be changed. The writer's claim keeps this process out, so that a conflict means that it
/// ended, or that another node goes on with it.
pub(super) fn changed_meanwhile(error: CatalogError, id: UploadId) -> UploadError {
    match error {
        CatalogError::Conflict | CatalogError::RepositoryUnknown(_) => UploadError::Unknown(id),
        error @ (CatalogError::Busy | CatalogError::Full | CatalogError::Store(_)) => error.into(),
    }
}
