// SPDX-License-Identifier: Apache-2.0
//! What the data plane needs to know and to remember: repositories, uploads, blobs in repositories, images and tags.
//!
//! The data plane states it here as the [`Catalog`] trait, in three parts; the control plane's metadata
//! store implements it, and [`MemoryCatalog`] does for tests. [`conformance`] is the suite that both pass.
//!
//! Invariants of every implementation:
//! - One method is one business fact and one transaction: it happens as a whole or not at all.
//! - When a write method has returned, the change is durable and every later read on any node sees it.
//! - A blob is visible only through a repository that links it.
//! - "Absent" is `None` or an empty list; only the operation above knows whether that is an error.
//!
//! Absent on purpose: bytes of large blobs (crate `hythe-blobs`), permissions (crate `hythe-access`), HTTP.

mod blob;
pub mod conformance;
mod error;
mod image;
mod memory;
mod referrers;
mod upload;

use std::fmt::Debug;

use async_trait::async_trait;
use hythe_model::{AccountId, RepositoryName, RepositoryPath};

pub use blob::{BlobCatalog, BlobRecord, MAX_INLINE_BLOB_BYTES, NewBlob, Unlinked};
pub use error::CatalogError;
pub use image::{
    DeleteImageError, DeletedImage, ImageCatalog, ImageRecord, MAX_TAGS_PER_IMAGE, NewImage, PutImageError, PutOutcome,
    Referrer, ReplicaOutcome,
};
pub use memory::MemoryCatalog;
pub use referrers::referrers_with;
pub use upload::{UploadCatalog, UploadRecord, UploadState};

/// Everything the data plane asks of the metadata store.
#[async_trait]
pub trait Catalog: UploadCatalog + BlobCatalog + ImageCatalog + Debug + Send + Sync {
    /// Whether the repository exists.
    async fn repository_exists(&self, repository: &RepositoryPath) -> Result<bool, CatalogError>;

    /// The names of an account's repositories after `after`, by bytes, at most `limit` of them.
    async fn repository_names(
        &self,
        account: &AccountId,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, CatalogError>;
}
