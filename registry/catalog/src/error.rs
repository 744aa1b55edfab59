// SPDX-License-Identifier: Apache-2.0
//! What can go wrong in every method.

use std::error::Error;

use hythe_model::RepositoryPath;

/// Why the catalog did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The repository does not exist; only methods that write say so.
    #[error("the repository `{0}` does not exist")]
    RepositoryUnknown(RepositoryPath),
    /// Somebody else changed the same thing first; nothing was written. Reading again shows the new state.
    #[error("the state has changed in the meantime")]
    Conflict,
    /// Too much waits to be written, or the store does not answer in time. Trying again later helps.
    #[error("the metadata store is busy")]
    Busy,
    /// There is no room for the change; nothing was written.
    #[error("the metadata store is full")]
    Full,
    /// The store failed.
    #[error("the metadata store failed")]
    Store(#[source] Box<dyn Error + Send + Sync>),
}

impl CatalogError {
    /// A failure of the store.
    pub fn store(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Store(cause.into())
    }
}
