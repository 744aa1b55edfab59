// SPDX-License-Identifier: Apache-2.0
//! Content-addressed bytes: written once, never changed.
//!
//! Invariants of every [`BlobStore`]:
//! - What [`BlobStore::commit`] published is durable before it returns, and its bytes hash to its name.
//! - A blob appears as a whole or not at all; a crash at any point leaves an upload that can be collected.
//! - Memory per request does not grow with the size of the blob.
//!
//! Absent on purpose: repositories, tags and permissions (a store knows digests only), and small blobs,
//! which the metadata store keeps beside their rows.

pub mod conformance;
#[cfg(any(test, feature = "test-support"))]
pub mod faults;
mod fs;
mod hash;
mod inventory;
mod store;
mod verify;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use fs::fuzzing;
pub use fs::{CHUNK_BYTES, FilePart, FsBlobStore, file_part};
pub use hash::{HashStateError, Hasher};
pub use inventory::{BlobIdentity, BlobInventory, StoredBlob};
pub use store::{
    AppendError, Appended, BlobError, BlobStore, ByteStream, CommitError, DeletionLock, MAX_PENDING_BYTES, Progress,
    delete_blob,
};
pub use verify::{DamageListener, DamagedBlob, VerifyingBlobStore};
