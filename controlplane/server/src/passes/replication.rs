// SPDX-License-Identifier: Apache-2.0
//! Brings images to other registries.

use std::sync::Arc;

use hythe_blobs::BlobStore;
use hythe_jobs::{OpenPassword, ReplicationMetrics, Replicator, ReplicatorSettings};
use hythe_meta::{DestinationRecord, Store};
use hythe_model::Clock;
use hythe_operations::ControlPlane;
use hythe_upstream::Outgoing;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many tags and images a node sends at once.
const CONCURRENCY: usize = 24;

/// Passwords are sealed with the key of the deployment.
#[derive(Debug)]
struct Passwords(ControlPlane);

impl OpenPassword for Passwords {
    fn open(&self, destination: &DestinationRecord) -> Option<String> {
        let password = self.0.destination_password(destination)?;
        Some(password.expose().to_owned())
    }
}

/// Starts it; returns what it counts.
pub(crate) fn start(
    background: &TaskTracker,
    stop: &CancellationToken,
    plane: &ControlPlane,
    store: &Store,
    blobs: &Arc<dyn BlobStore>,
    clock: &Arc<dyn Clock>,
    outgoing: Outgoing,
) -> Arc<ReplicationMetrics> {
    let settings = ReplicatorSettings {
        region: plane.settings().region.clone(),
        concurrency: CONCURRENCY,
    };
    let passwords = Arc::new(Passwords(plane.clone()));
    let replicator = Replicator::new(
        store.clone(),
        Arc::clone(blobs),
        Arc::clone(clock),
        outgoing,
        passwords,
        settings,
    );
    let metrics = Arc::clone(replicator.metrics());
    let stop = stop.clone();
    background.spawn(async move { replicator.run(stop).await });
    metrics
}
