// SPDX-License-Identifier: Apache-2.0
//! Takes away blobs that nobody needs any more.
//!
//! Links that may be garbage are found by a queue. What is decided about them is decided in one transaction of the
//! metadata store; what is left to do here is to delete bytes: only those of which that transaction has removed the row,
//! and only by whom it names.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hythe_blobs::BlobStore;
use hythe_meta::{BlobDeletion, CollectionRules, CollectionTotals, DueReview, Reviewed, Store, StoreError};
use hythe_model::{Clock, fail_point};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::pace::{batch_size, least_time};

/// The most links that are looked at in one transaction.
const BATCH: usize = 32;
/// How long nobody else goes on with what this process began.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// When a blob is tried again whose bytes could not be deleted.
const RETRY_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// The most deleted images that are purged in one transaction.
const PURGED_AT_ONCE: usize = 100;
/// Counting what waits takes no more than a hundredth of the time, however much that is.
const BETWEEN_COUNTS: u32 = 100;

/// How collection goes.
#[derive(Clone, Copy, Debug)]
pub struct CollectorSettings {
    /// How long a link that no image needs stays after a blob was pushed or mounted.
    pub grace: SignedDuration,
    /// How long a link that no image needs any more stays after nobody is told of it any more.
    pub condemned_for: SignedDuration,
    /// The most blobs that are deleted in a second; 0 sets no bound.
    pub max_blobs_per_second: u32,
    /// How many blobs are deleted at once.
    pub concurrency: usize,
}

/// Why a pass ended early. The next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The metadata store refused or failed.
    #[error("cannot find out what is to be collected")]
    Store(#[from] StoreError),
}

/// What a pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// What has been counted for all nodes as well.
    pub totals: CollectionTotals,
    /// Links that are to be looked at again later.
    pub postponed: u64,
}

/// What this process has counted.
#[derive(Debug, Default)]
pub struct CollectionMetrics {
    /// Links that were looked at.
    pub reviewed: AtomicU64,
    /// Those of them that were needed.
    pub kept: AtomicU64,
    /// Those of them that are to be looked at again later.
    pub postponed: AtomicU64,
    /// Links that were removed.
    pub unlinked: AtomicU64,
    /// Blobs that were deleted.
    pub deleted: AtomicU64,
    /// How large they were, in bytes.
    pub deleted_bytes: AtomicU64,
    /// What failed, and is tried again.
    pub failures: AtomicU64,
    /// What waits, as it was after the last batch that was followed by a count.
    pub gauges: CollectionGauges,
}

/// What waits.
#[derive(Debug, Default)]
pub struct CollectionGauges {
    /// Links that are due.
    pub due: AtomicU64,
    /// Links that will be due later.
    pub waiting: AtomicU64,
    /// Blobs whose bytes are being deleted.
    pub deleting: AtomicU64,
    /// For how many seconds the oldest link that is due has been so.
    pub oldest_due_seconds: AtomicU64,
    /// In how many seconds those that are due will have been looked at, as fast as it went lately.
    pub remaining_seconds: AtomicU64,
}

/// Collects for one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Collector(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    settings: CollectorSettings,
    permits: Arc<Semaphore>,
    /// Deletions go on when whoever waits for them is dropped: they hold a lock until they are done.
    deletions: TaskTracker,
    metrics: Arc<CollectionMetrics>,
    /// When it was last counted what waits, and how long that took.
    counted: Mutex<Option<(Instant, Duration)>>,
}

/// Links that were looked at together, and what is to be done about them.
#[derive(Debug, Default)]
struct Batch {
    reviewed: Reviewed,
    deletions: Vec<BlobDeletion>,
    failures: u64,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.reviewed.reviewed == 0 && self.deletions.is_empty() && self.failures == 0
    }
}

impl Collector {
    /// A collector of its own; more of them, on any node, do each other no harm.
    #[must_use]
    pub fn new(store: Store, blobs: Arc<dyn BlobStore>, clock: Arc<dyn Clock>, settings: CollectorSettings) -> Self {
        Self(Arc::new(Parts {
            store,
            blobs,
            clock,
            settings,
            permits: Arc::new(Semaphore::new(settings.concurrency.max(1))),
            deletions: TaskTracker::new(),
            metrics: Arc::default(),
            counted: Mutex::default(),
        }))
    }

    /// What was counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<CollectionMetrics> {
        &self.0.metrics
    }

    /// On an embedded database: goes on at once with what an earlier process began. Others wait until its leases end.
    pub async fn start(&self) -> Result<(), CollectError> {
        Ok(self.0.store.end_leases_of_dead_processes().await?)
    }

    /// Whether there is something to do for a pass now that somebody has asked for.
    pub async fn is_asked_for(&self) -> Result<bool, CollectError> {
        Ok(self.0.store.open_collection_run().await?.is_some())
    }

    /// Finishes deletions that another process began and did not come back to: until then their blobs cannot be pushed.
    pub async fn recover(&self) -> Result<(), CollectError> {
        loop {
            let now = self.0.clock.now();
            let abandoned = self
                .0
                .store
                .take_over_deletions(&token(), now, now + LEASE, BATCH)
                .await?;
            if abandoned.is_empty() {
                return Ok(());
            }
            fail_point("collection.deletion.taken_over");
            let batch = Batch {
                deletions: abandoned,
                ..Batch::default()
            };
            // Whoever pushes one of these blobs waits.
            let at_once = CancellationToken::new();
            at_once.cancel();
            self.finish(batch, Instant::now(), &at_once).await?;
        }
    }

    /// Collects until nothing is due, or `stop`. What goes on when it stops is finished.
    pub async fn pass(&self, stop: &CancellationToken) -> Result<Collected, CollectError> {
        let mut collected = Collected::default();
        let ended = match self.purge(stop).await {
            Ok(()) => self.collect(stop, &mut collected).await,
            failed => failed,
        };
        self.measure().await?;
        ended?;
        if self.0.store.end_collection_run(self.0.clock.now()).await? {
            fail_point("collection.run.ended");
            tracing::info!("a collection that was asked for has ended");
        }
        Ok(collected)
    }

    /// What nobody can restore any more is garbage too.
    async fn purge(&self, stop: &CancellationToken) -> Result<(), CollectError> {
        while !stop.is_cancelled() {
            let purged = self.0.store.purge_images(self.0.clock.now(), PURGED_AT_ONCE).await?;
            if purged < PURGED_AT_ONCE {
                break;
            }
        }
        Ok(())
    }

    async fn collect(&self, stop: &CancellationToken, collected: &mut Collected) -> Result<(), CollectError> {
        while !stop.is_cancelled() {
            let began = Instant::now();
            let batch = self.next_batch().await?;
            if batch.is_empty() {
                break;
            }
            let (reviews, count) = (batch.reviewed.reviewed, batch.deletions.len() as u64);
            collected.postponed += batch.reviewed.postponed;
            let totals = self.finish(batch, began, stop).await?;
            collected.totals = sum(collected.totals, totals);
            // A pass that is throttled takes long, and is looked at meanwhile.
            self.measure().await?;
            let pause =
                least_time(self.0.settings.max_blobs_per_second, reviews, count).saturating_sub(began.elapsed());
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(())
    }

    /// What others left behind first, then what is due.
    async fn next_batch(&self) -> Result<Batch, StoreError> {
        let Parts { store, clock, .. } = &*self.0;
        let now = clock.now();
        let most = batch_size(self.0.settings.max_blobs_per_second, BATCH);
        let abandoned = store.take_over_deletions(&token(), now, now + LEASE, most).await?;
        if !abandoned.is_empty() {
            fail_point("collection.deletion.taken_over");
            return Ok(Batch {
                deletions: abandoned,
                ..Batch::default()
            });
        }
        let due = store.lease_reviews(now, now + LEASE, most).await?;
        if due.is_empty() {
            return Ok(Batch::default());
        }
        fail_point("collection.review.leased");
        let mut batch = self.review(due, now).await?;
        batch.deletions = std::mem::take(&mut batch.reviewed.deletions);
        if !batch.deletions.is_empty() {
            fail_point("collection.review.claimed");
        }
        Ok(batch)
    }

    /// Looks at all of them at once, or, if that fails, at one after the other: a few pushes come between many at once more
    /// often than between the statements about one, and one that cannot be looked at shall not keep the others.
    async fn review(&self, due: Vec<DueReview>, now: Timestamp) -> Result<Batch, StoreError> {
        let (store, rules) = (&self.0.store, self.rules());
        let mut batch = Batch::default();
        let mut failure = match store.review_blobs(due.clone(), &rules, now).await {
            Ok(reviewed) => {
                batch.reviewed = reviewed;
                return Ok(batch);
            }
            Err(error) => error,
        };
        let count = due.len() as u64;
        for review in due {
            let digest = *review.digest();
            match store.review_blobs(vec![review], &rules, now).await {
                Ok(reviewed) => batch.reviewed.add(reviewed),
                Err(error) => {
                    tracing::warn!(blob.digest = %digest, error = &error as &dyn Error,
                                   "a link cannot be looked at; it is tried again");
                    batch.failures += 1;
                    failure = error;
                }
            }
        }
        if batch.failures == count {
            Err(failure)
        } else {
            Ok(batch)
        }
    }

    fn rules(&self) -> CollectionRules {
        CollectionRules {
            grace: self.0.settings.grace,
            condemned_for: self.0.settings.condemned_for,
            token: token(),
            lease: LEASE,
        }
    }

    /// Deletes bytes, one after the other if there is a bound on how many a second, and counts what was done. Once `stop`
    /// is cancelled what is left goes at once.
    async fn finish(
        &self,
        batch: Batch,
        began: Instant,
        stop: &CancellationToken,
    ) -> Result<CollectionTotals, StoreError> {
        let store = &self.0.store;
        let rate = self.0.settings.max_blobs_per_second;
        let Batch {
            reviewed,
            deletions,
            mut failures,
        } = batch;
        let start = Instant::now();
        let tasks: Vec<_> = deletions
            .into_iter()
            .zip(0_u64..)
            .map(|(deletion, before)| {
                let (collector, stop) = (self.clone(), stop.clone());
                // Spread, so that those who pull meet one deletion and not all of them.
                let turn = start + least_time(rate, before, before);
                self.0.deletions.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep_until(turn.into()) => {}
                    }
                    collector.delete(deletion).await
                })
            })
            .collect();
        let mut gone = Vec::new();
        for task in tasks {
            match task.await {
                Ok(Deleted::Gone(deletion)) => gone.push(deletion),
                // One that panicked is taken over when its lease ends.
                Ok(Deleted::Failed) | Err(_) => failures += 1,
                Ok(Deleted::ByAnother) => {}
            }
        }
        store.end_deletions(&gone).await?;
        if !gone.is_empty() {
            fail_point("collection.deletion.ended");
        }
        let totals = CollectionTotals {
            reviewed: reviewed.reviewed,
            kept: reviewed.kept,
            links: reviewed.unlinked,
            blobs: gone.len() as u64,
            bytes: gone.iter().map(BlobDeletion::bytes).sum(),
            failures,
        };
        self.0.metrics.add(&totals, reviewed.postponed);
        // A batch that is not full says nothing about how fast it would go.
        let speed = if reviewed.reviewed == batch_size(rate, BATCH) as u64 {
            let least = least_time(rate, totals.reviewed, totals.blobs);
            per_minute(totals.reviewed, began.elapsed().max(least))
        } else {
            0
        };
        store.add_collection_totals(totals, speed).await?;
        Ok(totals)
    }

    async fn delete(&self, deletion: BlobDeletion) -> Deleted {
        let Parts { store, blobs, .. } = &*self.0;
        let digest = *deletion.digest();
        let Ok(_permit) = self.0.permits.acquire().await else {
            return Deleted::Failed; // never closed
        };
        // What cannot be decided now is left as it is, and taken over when the lease ends.
        let lock = match blobs.lock_deletion(&digest).await {
            Ok(lock) => lock,
            Err(error) => {
                tracing::warn!(blob.digest = %digest, error = &error as &dyn Error,
                               "a blob cannot be locked to delete it; it is tried again");
                return Deleted::Failed;
            }
        };
        fail_point("collection.deletion.locked");
        match store.is_still_to_delete(&deletion).await {
            Ok(true) => {}
            Ok(false) => return Deleted::ByAnother,
            Err(error) => {
                tracing::warn!(blob.digest = %digest, error = &error as &dyn Error,
                               "whether a blob is still to be deleted is not known; it is asked again");
                return Deleted::Failed;
            }
        }
        match blobs.delete(lock).await {
            Ok(()) => {
                fail_point("collection.deletion.deleted");
                tracing::debug!(blob.digest = %digest, blob.size_bytes = deletion.bytes(), "blob deleted");
                Deleted::Gone(deletion)
            }
            Err(error) => {
                tracing::error!(blob.digest = %digest, error = &error as &dyn Error,
                                "the bytes of a blob cannot be deleted; it is tried again");
                // Nobody deletes now, so that pushes of the blob need not wait.
                let again = self.0.clock.now() + RETRY_AFTER;
                if let Err(error) = store.give_up_deletion(&deletion, again).await {
                    tracing::warn!(blob.digest = %digest, error = &error as &dyn Error,
                                   "a deletion cannot be given up; it is taken over when its lease ends");
                }
                Deleted::Failed
            }
        }
    }

    /// Takes note of what waits.
    async fn measure(&self) -> Result<(), StoreError> {
        let last = *self.0.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|(at, took)| at.elapsed() < took * BETWEEN_COUNTS) {
            return Ok(());
        }
        let (now, began) = (self.0.clock.now(), Instant::now());
        let backlog = self.0.store.collection_backlog(now).await?;
        *self.0.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), began.elapsed()));
        let gauges = &self.0.metrics.gauges;
        let set = |gauge: &AtomicU64, value| gauge.store(value, Ordering::Relaxed);
        set(&gauges.due, backlog.due);
        set(&gauges.waiting, backlog.waiting);
        set(&gauges.deleting, backlog.deleting);
        set(
            &gauges.oldest_due_seconds,
            backlog.oldest_due.map_or(0, |due| seconds(due, now)),
        );
        set(
            &gauges.remaining_seconds,
            (backlog.due * 60).checked_div(backlog.reviews_per_minute).unwrap_or(0),
        );
        Ok(())
    }
}

/// What became of a deletion.
enum Deleted {
    /// The bytes are gone.
    Gone(BlobDeletion),
    /// Another process does it.
    ByAnother,
    /// It is tried again.
    Failed,
}

impl CollectionMetrics {
    fn add(&self, totals: &CollectionTotals, postponed: u64) {
        for (count, more) in [
            (&self.reviewed, totals.reviewed),
            (&self.kept, totals.kept),
            (&self.postponed, postponed),
            (&self.unlinked, totals.links),
            (&self.deleted, totals.blobs),
            (&self.deleted_bytes, totals.bytes),
            (&self.failures, totals.failures),
        ] {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// For one batch: not for the whole process, as of two deletions of the same blob, by whomever, the one must not pass for
/// the other.
fn token() -> String {
    Uuid::new_v4().to_string()
}

fn sum(a: CollectionTotals, b: CollectionTotals) -> CollectionTotals {
    CollectionTotals {
        reviewed: a.reviewed + b.reviewed,
        kept: a.kept + b.kept,
        links: a.links + b.links,
        blobs: a.blobs + b.blobs,
        bytes: a.bytes + b.bytes,
        failures: a.failures + b.failures,
    }
}

/// At least one, so that something can be divided by it.
fn per_minute(count: u64, took: Duration) -> u64 {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    (count.saturating_mul(60_000) / millis).max(1)
}

fn seconds(since: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0)
}
