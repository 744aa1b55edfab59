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
    /// The most manifests that are received and checked at once (each takes up to 4 MiB and its parsed form);
    /// others wait, then get 429.
    pub max_concurrent_manifest_pushes: usize,
    /// How long a push waits for its turn before it gets 429.
    pub max_wait: Duration,
}

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
