// SPDX-License-Identifier: Apache-2.0
//! Work that goes on beside requests: reconcilers that look at the present state and act idempotently.
//!
//! Invariants:
//! - A pass takes no input but the state. It can be ended at any point, and another one, of this or of another node, goes
//!   on from there.
//! - Failures of a store are never taken for absence.
//!
//! Absent on purpose: when passes run, which the server decides; HTTP; permissions.

mod collector;
mod mirror;
mod pace;
mod replication;

use std::sync::atomic::{AtomicU64, Ordering};

pub use collector::{CollectError, Collected, CollectionGauges, CollectionMetrics, Collector, CollectorSettings};
pub use mirror::{MirrorHost, MirrorMetrics, MirrorRefusal, MirrorSource, Mirrorer};
pub use replication::{OpenPassword, ReplicationMetrics, Replicator, ReplicatorSettings};

/// Counts something.
fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
