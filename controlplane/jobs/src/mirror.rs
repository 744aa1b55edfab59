// SPDX-License-Identifier: Apache-2.0
//! Fetches from other registries on a schedule (docs/adr/0048).
//!
//! A run lists tags there, asks by `HEAD` where each points, and queues what is not here, as a pull through the cache would; the
//! import pass of the data plane fetches it. What a run has seen and done is its row of the metadata store, written after every
//! few tags, so that another process goes on where this one ends.

mod run;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hythe_access::Trail;
use hythe_meta::{CacheRuleRecord, MirrorRunRecord, MirrorRunStatus, Store, StoreError};
use hythe_model::{AccountId, Clock, MirrorSettings, RepositoryName, RepositoryPath, RepositoryPrefix, fail_point};
use hythe_upstream::{Remote, UpstreamError};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::run::{Interrupt, Run};
use crate::add;

/// How often a node looks for runs.
const PERIOD: Duration = Duration::from_secs(1);
/// How many runs a node works on at once.
const CONCURRENCY: usize = 4;
/// How many mirrors that are due are looked at in one transaction.
const MAX_DUE_AT_ONCE: usize = 100;
/// How long nobody else takes a run that this process works on.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
const RENEWAL: Duration = Duration::from_secs(20);
/// How often it is looked how far mirrors are behind.
const LAG_PERIOD: SignedDuration = SignedDuration::from_secs(5);
/// How long a run may take, with the times for which other registries want no requests.
const MAX_RUN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// What the audit log calls a run that has ended.
const RUN_EVENT: &str = "PullThroughCacheMirrorRun";

/// The other registry of a rule, ready to be asked.
#[derive(Clone, Debug)]
pub struct MirrorSource {
    /// The other registry.
    pub remote: Arc<Remote>,
    /// What comes from there.
    pub settings: MirrorSettings,
    /// The rule as it was read, which says what repositories are called here.
    pub record: CacheRuleRecord,
    /// Names the rule among all rules, for what goes wrong with it.
    pub rule: String,
}

/// Why a repository cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum MirrorRefusal {
    /// The registry says no.
    #[error("{0}")]
    Refused(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What mirrors need of the rest of the server.
#[async_trait]
pub trait MirrorHost: Debug + Send + Sync {
    /// The other registry of a rule; `None` if the rule or its mirror is gone.
    async fn source(&self, account: &AccountId, prefix: &RepositoryPrefix) -> Result<Option<MirrorSource>, StoreError>;

    /// Whether a repository comes by the rule for `prefix`, and by no other one.
    async fn comes_by(&self, repository: &RepositoryPath, prefix: &RepositoryPrefix) -> Result<bool, StoreError>;

    /// The other registry, told for which repository it is asked, so that registries that fetch from each other do not go on in
    /// circles.
    fn on_behalf_of(&self, repository: &RepositoryPath, remote: &Remote) -> Remote;

    /// Creates a repository as a first pull through the cache would, for whoever set the rule.
    async fn create_repository(&self, repository: &RepositoryPath) -> Result<(), MirrorRefusal>;

    /// What is known to go wrong with the other registry of a rule, from pulls too.
    fn trouble(&self, rule: &str) -> Option<UpstreamError>;

    /// Remembers what went wrong with the other registry of a rule.
    fn note(&self, rule: &str, error: &UpstreamError);

    /// A trail for what a mirror does by itself.
    fn trail(&self, event: &'static str, account: &AccountId, repository: Option<&RepositoryName>) -> Trail;
}

/// What this process has counted.
#[derive(Debug, Default)]
pub struct MirrorMetrics {
    /// Runs that are worked on now.
    pub running: AtomicU64,
    /// Runs that brought everything.
    pub complete: AtomicU64,
    /// Runs that could not bring everything.
    pub incomplete: AtomicU64,
    /// Runs that could not go on.
    pub failed: AtomicU64,
    /// Tags that were not here.
    pub tags_created: AtomicU64,
    /// Tags that pointed to another image.
    pub tags_moved: AtomicU64,
    /// Tags that are as they are there.
    pub tags_unchanged: AtomicU64,
    /// Tags and repositories that stay as they are here.
    pub tags_skipped: AtomicU64,
    /// What could not be brought.
    pub tags_failed: AtomicU64,
    /// Tags that were removed.
    pub tags_removed: AtomicU64,
    /// Signatures and other referrers that were not here.
    pub referrers: AtomicU64,
    /// For how many seconds the mirror that is the furthest behind has not been brought up to date.
    pub lag_seconds: AtomicU64,
}

/// Works on runs for one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mirrorer(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    clock: Arc<dyn Clock>,
    host: Arc<dyn MirrorHost>,
    metrics: Arc<MirrorMetrics>,
}

impl Mirrorer {
    /// Works on the runs of this store.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>, host: Arc<dyn MirrorHost>) -> Self {
        Self(Arc::new(Parts {
            store,
            clock,
            host,
            metrics: Arc::default(),
        }))
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<MirrorMetrics> {
        &self.0.metrics
    }

    /// Works until `stop`. What is under way then is left for the next process, which goes on where this one was.
    pub async fn run(&self, stop: CancellationToken) {
        let mut running: JoinSet<String> = JoinSet::new();
        let mut owners = BTreeSet::new();
        if let Err(error) = self.0.store.release_mirror_runs(None).await {
            tracing::warn!(%error, "cannot release the mirror runs of a process that is gone");
        }
        let mut looked_at = Timestamp::UNIX_EPOCH;
        loop {
            if let Err(error) = self.take(&mut running, &mut owners).await {
                tracing::warn!(%error, "cannot look for mirror runs; the next pass tries again");
            }
            if self.now().duration_since(looked_at).abs() >= LAG_PERIOD {
                looked_at = self.now();
                if let Err(error) = self.0.store.recall_mirror_runs(looked_at, LEASE).await {
                    tracing::debug!(%error, "cannot look for mirrors that wait too long");
                }
                if let Ok(lag) = self.0.store.mirror_lag_millis(looked_at).await {
                    self.0.metrics.lag_seconds.store(lag / 1000, Ordering::Relaxed);
                }
            }
            self.0.metrics.running.store(running.len() as u64, Ordering::Relaxed);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(PERIOD) => {}
                Some(ended) = running.join_next(), if !running.is_empty() => {
                    if let Ok(owner) = ended {
                        owners.remove(&owner);
                    }
                }
            }
        }
        running.shutdown().await;
        for owner in owners {
            if let Err(error) = self.0.store.release_mirror_runs(Some(&owner)).await {
                tracing::debug!(%error, "cannot release mirror runs; they are taken up when their time is over");
            }
        }
    }

    /// Makes runs of the mirrors that are due, and takes what is ready, each in the name of a new owner: a run that is taken again
    /// while it is worked on, since a clock jumped, is no longer the old one's.
    async fn take(&self, running: &mut JoinSet<String>, owners: &mut BTreeSet<String>) -> Result<(), StoreError> {
        let store = &self.0.store;
        store.schedule_mirror_runs(self.now(), MAX_DUE_AT_ONCE).await?;
        while running.len() < CONCURRENCY {
            let owner = Uuid::new_v4().to_string();
            let taken = store.claim_mirror_runs(&owner, self.now(), self.leased(), 1).await?;
            let Some(run) = taken.into_iter().next() else { break };
            owners.insert(owner.clone());
            let this = self.clone();
            running.spawn(async move {
                Box::pin(this.work(run, &owner)).await;
                owner
            });
        }
        Ok(())
    }

    /// Works on a run and keeps it meanwhile.
    #[tracing::instrument(name = "mirror.run", skip_all, fields(
        account.id = %record.account, rule.prefix = %record.prefix, run.id = record.id))]
    async fn work(&self, record: MirrorRunRecord, owner: &str) {
        fail_point("mirror.run.claimed");
        let (id, account, started_at) = (record.id.clone(), record.account.clone(), record.started_at);
        let working = Run::new(&self.0, owner, record).go();
        tokio::pin!(working);
        let outcome = loop {
            tokio::select! {
                outcome = &mut working => break outcome,
                () = tokio::time::sleep(RENEWAL) => {
                    let renewed = self.0.store.renew_mirror_run(&id, owner, self.leased()).await;
                    if let Ok(false) = renewed {
                        return; // it has ended, or somebody else has it
                    }
                }
            }
        };
        fail_point("mirror.run.seen");
        let is_too_long = self.now().duration_since(started_at) > MAX_RUN;
        let end = async |status, why: Option<&str>| self.end(&id, owner, &account, status, why).await;
        let ended = match outcome {
            Ok(status) => end(status, None).await,
            Err(Interrupt::Lost) => return,
            Err(Interrupt::Later { .. }) if is_too_long => {
                let why = "it took longer than seven days";
                end(MirrorRunStatus::Failed, Some(why)).await
            }
            Err(Interrupt::Later { pause, attempts, why }) => {
                let resume_at = self.now().checked_add(pause).unwrap_or(Timestamp::MAX);
                tracing::info!(reason = why, resume_at = %resume_at, "a mirror run is put off");
                self.0.store.put_off_mirror_run(&id, owner, resume_at, attempts).await
            }
            Err(Interrupt::Failed(why)) => end(MirrorRunStatus::Failed, Some(&why)).await,
            Err(Interrupt::Store(error)) if is_too_long => end(MirrorRunStatus::Failed, Some(&error.to_string())).await,
            Err(Interrupt::Store(error)) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "cannot go on with a mirror run; it is taken up again");
        }
    }

    async fn end(
        &self,
        id: &str,
        owner: &str,
        account: &AccountId,
        status: MirrorRunStatus,
        why: Option<&str>,
    ) -> Result<(), StoreError> {
        let Parts {
            store, host, metrics, ..
        } = &*self.0;
        let trail = host.trail(RUN_EVENT, account, None);
        let ended = Box::pin(trail.follow(store.end_mirror_run(id, owner, status, why, self.now()))).await?;
        let Some(run) = ended else { return Ok(()) };
        let counts = &run.progress.counts;
        match status {
            MirrorRunStatus::Complete => add(&metrics.complete, 1),
            MirrorRunStatus::Incomplete => add(&metrics.incomplete, 1),
            _ => add(&metrics.failed, 1),
        }
        if status == MirrorRunStatus::Complete {
            tracing::info!(
                created = counts.created,
                moved = counts.moved,
                unchanged = counts.unchanged,
                skipped = counts.skipped,
                removed = counts.removed,
                referrers = counts.referrers,
                "a mirror is up to date"
            );
        } else {
            tracing::warn!(status = %status, failed = counts.failed, error = why, "a mirror is not up to date");
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn leased(&self) -> Timestamp {
        self.0.leased()
    }
}

impl Parts {
    fn leased(&self) -> Timestamp {
        self.clock.now().checked_add(LEASE).unwrap_or(Timestamp::MAX)
    }
}
