// SPDX-License-Identifier: Apache-2.0
//! Brings images to other registries.
//!
//! What is to be done is rows of the metadata store (`hythe_meta`, "replication"); here they are claimed, done and ended. A
//! task says which tag or image; what it is now is looked up here, so that doing it twice changes nothing.

mod backfill;
mod chunk_memory;
mod control_plane;
mod failure;
mod send;
mod settings;
mod throttle;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hythe_blobs::BlobStore;
use hythe_meta::{
    ClaimedReplication, DestinationRecord, ReplicationBacklog, ReplicationOutcome, ReplicationSlots,
    ReplicationSubject, Store, StoreError,
};
use hythe_model::{AccountId, Clock, Region, fail_point};
use hythe_upstream::{Outgoing, Remote};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::chunk_memory::ChunkMemory;
use self::control_plane::ControlPlanes;
use self::failure::Reached;
use self::send::BlobLocks;
use self::throttle::Throttle;
use crate::add;

/// How often a node looks for work that it was not told of: that of other nodes, and what is to be tried again.
const PERIOD: Duration = Duration::from_secs(1);
/// How long nobody else takes a task that this process works on.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
const RENEWAL: Duration = Duration::from_secs(20);
/// How many destinations, as each is spoken to, are remembered with their logins.
const MAX_REMOTES: usize = 256;
/// How many tasks for the settings of one destination are worked on at once.
const SETTINGS_OF_ONE_DESTINATION: usize = 2;
/// How often it is tried to take note of how a task ended.
const MAX_NOTES: usize = 5;
const NOTE_PAUSE: Duration = Duration::from_secs(2);
/// How often tasks are looked for whose destination is gone.
const LOST_PERIOD: Duration = Duration::from_mins(10);
/// How often what waits is counted.
const COUNT_PERIOD: Duration = Duration::from_secs(5);

/// Opens the passwords of destinations.
pub trait OpenPassword: Debug + Send + Sync {
    /// The password of a destination that has one; `None` if it cannot be opened.
    fn open(&self, destination: &DestinationRecord) -> Option<String>;
}

/// How replication goes.
#[derive(Clone, Debug)]
pub struct ReplicatorSettings {
    /// The deployment that this is.
    pub region: Region,
    /// How many tasks are worked on at once.
    pub concurrency: usize,
}

/// What this process has counted.
#[derive(Debug, Default)]
pub struct ReplicationMetrics {
    /// Tasks that were done.
    pub done: AtomicU64,
    /// Tasks that failed and are tried again.
    pub failed: AtomicU64,
    /// Tasks that were given up.
    pub dead: AtomicU64,
    /// Images that were sent.
    pub images: AtomicU64,
    /// Blobs that were sent.
    pub blobs: AtomicU64,
    /// Blobs that the destination had.
    pub blobs_known: AtomicU64,
    /// Bytes of blobs that were sent.
    pub bytes: AtomicU64,
    /// Settings, policies and sets of resource tags that were changed at a destination.
    pub settings: AtomicU64,
    /// The time from each change to its arrival, in all, in milliseconds.
    pub lag_millis: AtomicU64,
    /// Tags and images that were queued by backfills.
    pub backfill_queued: AtomicU64,
    /// Backfills that ended.
    pub backfills_ended: AtomicU64,
    /// What waits, as it was counted last.
    pub backlog: Mutex<Vec<ReplicationBacklog>>,
    /// For how many seconds the oldest task waits.
    pub oldest_seconds: AtomicU64,
}

/// Replicates for one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replicator(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    outgoing: Outgoing,
    passwords: Arc<dyn OpenPassword>,
    settings: ReplicatorSettings,
    metrics: Arc<ReplicationMetrics>,
    /// Whose claims these are: this process's.
    owner: String,
    remotes: Mutex<HashMap<RemoteKey, Arc<Remote>>>,
    throttles: Mutex<HashMap<(AccountId, Region), Arc<Throttle>>>,
    locks: BlobLocks,
    chunks: ChunkMemory,
    control_planes: ControlPlanes,
    /// The tasks that this process works on, the destination of each, and whether it is about settings. When its clock jumps,
    /// their claims look as if they had ended.
    running: Mutex<HashMap<String, RunningTask>>,
}

/// What a task that is worked on is about.
#[derive(Debug)]
struct RunningTask {
    destination: (AccountId, Region),
    is_settings: bool,
}

/// A destination in one state, and what is said to it about where images come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RemoteKey {
    account: AccountId,
    name: Region,
    version: i64,
    path: Option<String>,
}

impl Replicator {
    /// Replicates from these stores.
    #[must_use]
    pub fn new(
        store: Store,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        outgoing: Outgoing,
        passwords: Arc<dyn OpenPassword>,
        settings: ReplicatorSettings,
    ) -> Self {
        Self(Arc::new(Parts {
            store,
            blobs,
            clock,
            outgoing,
            passwords,
            settings,
            metrics: Arc::default(),
            owner: Uuid::new_v4().to_string(),
            remotes: Mutex::default(),
            throttles: Mutex::default(),
            locks: BlobLocks::default(),
            chunks: ChunkMemory::default(),
            control_planes: ControlPlanes::default(),
            running: Mutex::default(),
        }))
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<ReplicationMetrics> {
        &self.0.metrics
    }

    /// Works until `stop`. What is under way then is left for the next process, which goes on where this one was.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::join!(self.replicate(&stop), self.backfill(&stop));
    }

    async fn replicate(&self, stop: &CancellationToken) {
        let mut running: JoinSet<()> = JoinSet::new();
        if let Err(error) = self.0.store.release_replications(None, self.now()).await {
            tracing::warn!(%error, "cannot release the replications of a process that is gone");
        }
        let mut counted_at: Option<Instant> = None;
        let mut lost_at: Option<Instant> = None;
        loop {
            let free = self.0.settings.concurrency.saturating_sub(running.len());
            if free > 0 {
                match self.claim(free).await {
                    Ok(claimed) => {
                        for (claimed, running_task) in claimed.into_iter().filter_map(|claimed| self.start(claimed)) {
                            let this = self.clone();
                            running.spawn(async move { this.work(claimed, running_task).await });
                        }
                    }
                    Err(error) => tracing::warn!(%error, "cannot look for replications; the next pass tries again"),
                }
            }
            if counted_at.is_none_or(|at| at.elapsed() >= COUNT_PERIOD) {
                counted_at = Some(Instant::now());
                self.recall().await;
                self.count().await;
            }
            if lost_at.is_none_or(|at| at.elapsed() >= LOST_PERIOD) {
                lost_at = Some(Instant::now());
                if let Err(error) = self.0.store.drop_lost_replications().await {
                    tracing::debug!(%error, "cannot look for replications to destinations that are gone");
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.0.store.replication_queued() => {}
                () = tokio::time::sleep(PERIOD) => {}
                Some(_) = running.join_next(), if !running.is_empty() => {}
            }
        }
        running.shutdown().await;
        let released = self.0.store.release_replications(Some(&self.0.owner), self.now()).await;
        if let Err(error) = released {
            tracing::debug!(%error, "cannot release replications; they are taken up when their time is over");
        }
    }

    /// Settings may have a third of all slots.
    async fn claim(&self, free: usize) -> Result<Vec<ClaimedReplication>, StoreError> {
        let now = self.now();
        let until = now.checked_add(LEASE).unwrap_or(Timestamp::MAX);
        let mut slots = ReplicationSlots {
            tasks: free,
            settings: (self.0.settings.concurrency / 3).max(1),
            settings_each: SETTINGS_OF_ONE_DESTINATION,
            now: BTreeMap::new(),
        };
        for task in self.running().values() {
            let load = slots.now.entry(task.destination.clone()).or_default();
            if task.is_settings {
                load.settings += 1;
                slots.settings = slots.settings.saturating_sub(1);
            } else {
                load.images += 1;
            }
        }
        let store = &self.0.store;
        store.claim_replications(&self.0.owner, now, until, slots).await
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, RunningTask>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that a task is worked on; `None` if it is already.
    fn start(&self, claimed: ClaimedReplication) -> Option<(ClaimedReplication, Running)> {
        let id = claimed.task.id.clone();
        let destination = &claimed.destination;
        let about = RunningTask {
            destination: (destination.account.clone(), destination.name.clone()),
            is_settings: claimed.task.subject == ReplicationSubject::Settings,
        };
        match self.running().entry(id.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
                free.insert(about);
                let replicator = self.clone();
                Some((claimed, Running { replicator, id }))
            }
        }
    }

    /// Has what waits for longer than anything does be tried now: it was put off by a clock that was ahead.
    async fn recall(&self) {
        let now = self.now();
        let latest = now.checked_add(failure::LONGEST_WAIT).unwrap_or(Timestamp::MAX);
        if let Err(error) = self.0.store.recall_replications(now, latest).await {
            tracing::debug!(%error, "cannot look for replications that wait too long");
        }
    }

    /// Does a task, keeps the claim meanwhile, and takes note of how it went.
    #[tracing::instrument(name = "replication.send", skip_all, fields(
        account.id = %claimed.task.repository.account, repository.name = %claimed.task.repository.name,
        image.reference = %claimed.task.subject, destination = %claimed.task.place))]
    async fn work(&self, claimed: ClaimedReplication, running: Running) {
        fail_point("replication.task.claimed");
        let sending = async {
            match &claimed.task.subject {
                ReplicationSubject::Image { reference, digest } => self.send(&claimed, reference, digest).await,
                ReplicationSubject::Settings => self.send_settings(&claimed).await,
            }
        };
        tokio::pin!(sending);
        let sent = loop {
            tokio::select! {
                sent = &mut sending => break sent,
                () = tokio::time::sleep(RENEWAL) => {
                    let until = self.now().checked_add(LEASE).unwrap_or(Timestamp::MAX);
                    if let Ok(false) = self.0.store.renew_replication(&claimed, until).await {
                        return; // somebody else has it
                    }
                }
            }
        };
        fail_point("replication.task.sent");
        let outcome = match sent {
            Ok(outcome) => outcome,
            Err(error) => failure::outcome(&claimed, &error, self.now()),
        };
        self.count_outcome(&claimed, &outcome);
        match claimed.task.subject {
            ReplicationSubject::Image { .. } => self.end_image(&claimed, &outcome, running).await,
            ReplicationSubject::Settings => {
                drop(running);
                self.end_settings(&claimed, &outcome).await;
            }
        }
        fail_point("replication.task.ended");
    }

    /// Takes note of how it went to bring an image, and of whether its destination could be reached.
    async fn end_image(&self, claimed: &ClaimedReplication, outcome: &ReplicationOutcome, running: Running) {
        let (store, destination) = (&self.0.store, &claimed.destination);
        let reached = failure::reached(outcome, destination.failures, self.now());
        if let Reached::No { until } = reached {
            // Before there is room for another task.
            self.noting(|| store.note_destination_reached(destination, Some(until), self.now()))
                .await;
        }
        drop(running);
        self.noting(|| store.end_replication(claimed, outcome.clone(), self.now()))
            .await;
        if reached == Reached::Yes && destination.failures > 0 {
            self.noting(|| store.note_destination_reached(destination, None, self.now()))
                .await;
        }
    }

    /// Takes note of something, as long as the claim lasts: the store may be busy.
    async fn noting<F>(&self, note: impl Fn() -> F)
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        for attempt in 1..=MAX_NOTES {
            match note().await {
                Ok(()) => return,
                Err(error) if attempt == MAX_NOTES => {
                    tracing::warn!(%error, "cannot take note of a replication; it is done again");
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot take note of a replication yet");
                    tokio::time::sleep(NOTE_PAUSE).await;
                }
            }
        }
    }

    fn count_outcome(&self, claimed: &ClaimedReplication, outcome: &ReplicationOutcome) {
        let metrics = &self.0.metrics;
        match outcome {
            ReplicationOutcome::Done { .. } | ReplicationOutcome::Absent => {
                let lag = self.now().duration_since(claimed.task.created_at).as_millis();
                add(&metrics.lag_millis, u64::try_from(lag).unwrap_or(0));
                add(&metrics.done, 1);
                tracing::info!(lag_ms = %lag, "replicated");
            }
            ReplicationOutcome::Again { failure, .. } => {
                add(&metrics.failed, 1);
                tracing::warn!(
                    error.code = failure.code,
                    error = failure.reason,
                    "replication failed; it is tried again"
                );
            }
            ReplicationOutcome::Dead(failure) => {
                add(&metrics.dead, 1);
                tracing::error!(
                    error.code = failure.code,
                    error = failure.reason,
                    "replication was given up"
                );
            }
        }
    }

    async fn count(&self) {
        match self.0.store.replication_backlog(None).await {
            Ok(backlog) => {
                let oldest = backlog.iter().filter_map(|waiting| waiting.oldest_at).min();
                let age = oldest.map_or(0, |oldest| self.now().duration_since(oldest).as_secs());
                let metrics = &self.0.metrics;
                metrics
                    .oldest_seconds
                    .store(u64::try_from(age).unwrap_or(0), Ordering::Relaxed);
                *metrics.backlog.lock().unwrap_or_else(PoisonError::into_inner) = backlog;
            }
            Err(error) => tracing::debug!(%error, "cannot count what waits for replication"),
        }
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

/// A task is worked on for as long as there is this. From when it has ended in the store, it may be claimed again, and is not to be
/// taken for this work then: so this is dropped before.
#[derive(Debug)]
struct Running {
    replicator: Replicator,
    id: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.replicator.running().remove(&self.id);
    }
}
