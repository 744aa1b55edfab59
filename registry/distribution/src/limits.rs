// SPDX-License-Identifier: Apache-2.0
//! The bounds of the data plane, each with its unit.

use std::time::Duration;

/// What one client, and all clients together, may take. The defaults suit one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest blob, in bytes (ECR, "Service quotas": 52,000 MiB).
    pub max_blob_bytes: u64,
    /// How long an upload session lives after the last bytes that arrived.
    pub upload_idle_timeout: Duration,
    /// How long a request may wait for its client before [`Limits::min_body_bytes_per_second`] is asked of it.
    pub body_stall_timeout: Duration,
    /// The least that a client must send, in bytes per second of waiting for it, over each
    /// [`Limits::body_stall_timeout`]. At least one byte per timeout is asked for even if this is 0.
    pub min_body_bytes_per_second: u64,
    /// The chunk size that clients are advised to send at least, in bytes (`OCI-Chunk-Min-Length`); smaller ones are taken too.
    pub chunk_min_bytes: u64,
    /// The most requests that are answered at once, bodies included; others get 503.
    pub max_concurrent_requests: usize,
    /// The most uploads whose bytes are received at once; others wait, then get 429.
    pub max_concurrent_uploads: usize,
    /// The most manifests that are received and checked at once; others wait, then get 429.
    pub max_concurrent_manifest_pushes: usize,
    /// The most memory that bodies may take, in bytes: what is received and not stored yet, what is read and not
    /// sent yet. Requests reserve what they may need (`UPLOAD_BYTES`, `DOWNLOAD_BYTES`, twice the size of a manifest
    /// that is pushed, the size of an answer that is in memory); others wait, then get 503.
    pub max_bytes_in_flight: u64,
    /// The most of each of the four above that one account, or one address without credentials, may take, in
    /// percent. The rest is for others.
    pub tenant_share_percent: u64,
    /// How long a request waits for its turn before it is turned away.
    pub max_wait: Duration,
}

/// What an upload reserves, in bytes: what hyper reads at once, a chunk, and bytes in the receiving window.
pub(crate) const UPLOAD_BYTES: u64 = 1024 * 1024;
/// What a blob that is read from the store reserves, in bytes: a chunk that is sent and one that is read.
pub(crate) const DOWNLOAD_BYTES: u64 = 512 * 1024;
/// An answer in memory up to this size, in bytes, reserves nothing: the bound on requests is one on these too.
pub(crate) const FREE_BYTES: u64 = 64 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_blob_bytes: 52_000 * 1024 * 1024,
            upload_idle_timeout: Duration::from_hours(24),
            body_stall_timeout: Duration::from_mins(1),
            min_body_bytes_per_second: 256,
            chunk_min_bytes: 1,
            max_concurrent_requests: 2048,
            max_concurrent_uploads: 256,
            max_concurrent_manifest_pushes: 32,
            max_bytes_in_flight: 512 * 1024 * 1024,
            tenant_share_percent: 75,
            max_wait: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The bytes that must arrive in each [`Limits::body_stall_timeout`].
    pub(crate) fn min_body_bytes_per_timeout(&self) -> u64 {
        let millis = u64::try_from(self.body_stall_timeout.as_millis()).unwrap_or(u64::MAX);
        (self.min_body_bytes_per_second.saturating_mul(millis) / 1000).max(1)
    }
}
