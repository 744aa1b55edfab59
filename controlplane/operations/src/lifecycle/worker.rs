// SPDX-License-Identifier: Apache-2.0
//! Does what lifecycle policies ask for, on whichever node takes the work first.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hythe_access::{AuditLog as _, RequestId};
use hythe_meta::{
    BatchOutcome, ClaimedRun, FinishedRun, LifecycleBatch, LifecycleItem, LifecycleKind, LifecycleOutcome,
    LifecyclePreviewImage, LifecycleResult, LifecycleRow, LifecycleRunImage, LifecycleRunStatus, LifecycleTotals,
    LifecycleVerdict, StoreError,
};
use hythe_model::{ImageStatus, fail_point, millis};
use hythe_rules::lifecycle::{Count, LifecycleAction, LifecyclePolicy, LifecycleRule, RulePriority};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::evaluation::{Evaluated, evaluate, followers, totals};
use super::told;
use crate::ControlPlane;

/// How long a node has a job before another may take it, unless it says that it is still at it.
const LEASE: SignedDuration = SignedDuration::from_mins(2);
/// How often it says so.
const RENEWAL: Duration = Duration::from_secs(30);
/// How many images one transaction acts on: so many does a record of the audit log tell of (ECR splits them too).
const BATCH: usize = 10;
/// How many images a page of the store has, and a page of a preview.
const PAGE: usize = 1000;
/// The most images of a repository that are evaluated; ten times ECR's quota.
const MAX_IMAGES: usize = 1_000_000;
/// The most images of a run of which it is recorded that an index keeps them; the others are counted.
const MAX_PROTECTED: usize = 100;
/// The most images that a dry run names in the audit log; the others are counted.
const MAX_DRY_RUN: usize = 100;
/// How many policies are made into runs in one transaction.
const SCHEDULED: usize = 100;
/// How often a job is begun before it is given up, and the first pause before it is begun again.
const MAX_ATTEMPTS: u64 = 6;
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(15);
/// The longest such pause, and longer than a lease: what is to wait for longer was written by a clock that was ahead.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(8);
/// For how long runs are remembered, and previews can be read.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 90);
const READABLE: SignedDuration = SignedDuration::from_hours(24);
const PRUNED: usize = 100;

/// How the work goes, since this node began.
#[derive(Debug, Default)]
pub struct LifecycleMetrics {
    /// Runs and previews of all nodes that wait or are under way.
    pub open: AtomicU64,
    /// Runs that were finished here.
    pub runs: AtomicU64,
    /// Previews that were finished here.
    pub previews: AtomicU64,
    /// Runs and previews that were given up here.
    pub failures: AtomicU64,
    /// Images that were looked at here.
    pub evaluated: AtomicU64,
    /// Images that were deleted here.
    pub expired: AtomicU64,
    /// Images that were archived here.
    pub archived: AtomicU64,
    /// Images that a rule takes and that stayed nevertheless.
    pub refused: AtomicU64,
    /// Milliseconds that evaluations took.
    pub evaluation_millis: AtomicU64,
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be done, however often it is tried.
    #[error("{0}")]
    Hopeless(String),
    /// The server stops.
    #[error("the server stops")]
    Stopped,
}

/// Takes jobs and does them, one of each kind at a time, so that a preview does not wait for the end of a long run.
#[derive(Debug)]
pub struct LifecycleWorker {
    plane: ControlPlane,
    metrics: Arc<LifecycleMetrics>,
    stop: CancellationToken,
}

/// How a job came to its end.
struct Done {
    status: LifecycleRunStatus,
    totals: Option<LifecycleTotals>,
    details: serde_json::Value,
}

impl LifecycleWorker {
    /// A worker that stops between two steps when told to.
    #[must_use]
    pub fn new(plane: ControlPlane, stop: CancellationToken) -> Self {
        Self {
            plane,
            metrics: Arc::default(),
            stop,
        }
    }

    /// How it does.
    #[must_use]
    pub fn metrics(&self) -> &Arc<LifecycleMetrics> {
        &self.metrics
    }

    /// Does all runs or all previews that are ready, one after the other. Runs are made of what is due before, and what is
    /// too old is forgotten afterwards.
    pub async fn pass(&self, kind: LifecycleKind) -> Result<(), StoreError> {
        let store = self.plane.store();
        if kind == LifecycleKind::Run {
            let period = self.plane.lifecycle().period;
            store
                .recall_lifecycle_runs(self.plane.now(), period, LONGEST_WAIT)
                .await?;
            while store
                .schedule_lifecycle_runs(self.plane.now(), period, SCHEDULED)
                .await?
                == SCHEDULED
            {}
        }
        while !self.stop.is_cancelled() {
            let now = self.plane.now();
            let Some(run) = store.claim_lifecycle_run(kind, now, later(now, LEASE)).await? else {
                break;
            };
            fail_point("lifecycle.run.claimed");
            Box::pin(self.work(&run)).await?;
        }
        if kind == LifecycleKind::Run {
            let now = self.plane.now();
            let before = |age| now.checked_sub(age).unwrap_or(Timestamp::MIN);
            store
                .prune_lifecycle_runs(before(REMEMBERED), before(READABLE), PRUNED)
                .await?;
            let open = store.open_lifecycle_runs().await?;
            self.metrics.open.store(open, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn work(&self, run: &ClaimedRun) -> Result<(), StoreError> {
        let evaluated_at = self.plane.now();
        let done = if run.attempts > MAX_ATTEMPTS {
            Err(WorkError::Hopeless(
                "it was begun too often without coming to an end".into(),
            ))
        } else {
            // Between two steps of the work nothing is half done: a batch is one transaction, and so is a page.
            tokio::select! {
                biased;
                done = self.evaluate(run, evaluated_at) => done,
                () = self.keep(run) => Ok(None),
                () = self.stop.cancelled() => Err(WorkError::Stopped),
            }
        };
        let store = self.plane.store();
        match done {
            Ok(Some(done)) => self.finish(run, evaluated_at, done).await,
            // Another node has it.
            Ok(None) => Ok(()),
            Err(WorkError::Stopped) => {
                let now = self.plane.now();
                store
                    .retry_lifecycle_run(run, now, "the node that had it was stopped")
                    .await
            }
            Err(WorkError::Store(error)) if run.attempts < MAX_ATTEMPTS => {
                tracing::warn!(repository.name = %run.path.name, run.id = run.id, %error, "a lifecycle run failed; it is tried again");
                let pause = (FIRST_PAUSE * (1 << run.attempts.min(8))).min(LONGEST_WAIT);
                let text = "the store did not do what it was asked to";
                store
                    .retry_lifecycle_run(run, later(self.plane.now(), pause), text)
                    .await
            }
            Err(error) => {
                self.metrics.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(repository.name = %run.path.name, run.id = run.id, %error, "a lifecycle run was given up");
                let failure = match error {
                    WorkError::Hopeless(reason) => reason,
                    _ => "the store did not do what it was asked to".into(),
                };
                let finished = FinishedRun {
                    status: LifecycleRunStatus::Failed,
                    at: self.plane.now(),
                    evaluated_at: None,
                    totals: None,
                    failure: Some(failure),
                    details: None,
                };
                store.finish_lifecycle_run(run, finished).await.map(drop)
            }
        }
    }

    /// Says now and then that the job is still this node's; returns when it is not any more.
    async fn keep(&self, run: &ClaimedRun) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            let lease = later(self.plane.now(), LEASE);
            match self.plane.store().keep_lifecycle_run(run, lease, None).await {
                Ok(true) => {}
                Ok(false) => return,
                // The next step of the work sees whether it matters.
                Err(error) => {
                    tracing::warn!(run.id = run.id, %error, "cannot make the lease of a lifecycle run longer");
                }
            }
        }
    }

    async fn finish(&self, run: &ClaimedRun, evaluated_at: Timestamp, done: Done) -> Result<(), StoreError> {
        let at = self.plane.now();
        let finished = FinishedRun {
            status: done.status,
            at,
            evaluated_at: Some(evaluated_at),
            totals: done.totals,
            failure: None,
            details: Some(done.details),
        };
        let (event, count) = match run.kind {
            LifecycleKind::Run => ("PolicyExecutionEvent", &self.metrics.runs),
            LifecycleKind::Preview => ("DryRunEvent", &self.metrics.previews),
        };
        let trail = told::trail(run, event, at, self.request(at));
        fail_point("lifecycle.run.finish.before");
        if trail
            .follow(self.plane.store().finish_lifecycle_run(run, finished))
            .await?
        {
            count.fetch_add(1, Ordering::Relaxed);
            tracing::info!(repository.name = %run.path.name, run.id = run.id, status = ?done.status, "{event}");
        }
        Ok(())
    }

    /// `None` if another node has the job.
    async fn evaluate(&self, run: &ClaimedRun, now: Timestamp) -> Result<Option<Done>, WorkError> {
        let parse = |text: &str| LifecyclePolicy::parse(text).map_err(|error| WorkError::Hopeless(error.to_string()));
        let policy = parse(&run.document)?;
        let stored = match run.stored_document.as_deref() {
            None => None,
            Some("") => Some(None),
            Some(text) => Some(Some(parse(text)?)),
        };
        let Some(mut snapshot) = self.plane.store().lifecycle_snapshot(&run.path).await? else {
            return Ok(None);
        };
        let mut rows = Vec::new();
        loop {
            let page = snapshot.next(PAGE).await?;
            if page.is_empty() {
                break;
            }
            rows.extend(page);
            if rows.len() > MAX_IMAGES {
                let reason = format!("the repository has more than {MAX_IMAGES} images, which is too many to evaluate");
                return Err(WorkError::Hopeless(reason));
            }
        }
        self.metrics.evaluated.fetch_add(rows.len() as u64, Ordering::Relaxed);
        let began = std::time::Instant::now();
        // Longer than a thread that serves requests may be held up.
        let work = move || {
            let evaluated = evaluate(&policy, &rows, now);
            let stored = stored.map(|stored| match stored {
                Some(stored) => evaluate(&stored, &rows, now).verdicts,
                None => vec![LifecycleVerdict::default(); rows.len()],
            });
            (policy, rows, evaluated, stored)
        };
        let evaluated = tokio::task::spawn_blocking(work).await;
        let (policy, rows, evaluated, stored) = evaluated.map_err(|error| WorkError::Hopeless(error.to_string()))?;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.metrics.evaluation_millis.fetch_add(took, Ordering::Relaxed);
        match run.kind {
            LifecycleKind::Run => {
                snapshot.end().await?;
                self.act(run, &policy, &rows, &evaluated, now).await
            }
            LifecycleKind::Preview => {
                let mut totals = totals(&policy, &rows, &evaluated.verdicts, stored.as_deref());
                let (mut gone, mut manifests) = (HashSet::new(), 0);
                for (row, verdict) in rows.iter().zip(&evaluated.verdicts) {
                    if verdict.outcome == LifecycleOutcome::Expire {
                        gone.insert(row.digest);
                        manifests += row.manifest_bytes;
                    }
                }
                for row in followers(&rows, &evaluated.verdicts)
                    .into_iter()
                    .filter_map(|n| rows.get(n))
                {
                    gone.insert(row.digest);
                    manifests += row.manifest_bytes;
                    totals.followers += 1;
                    totals.follower_bytes += row.image_bytes;
                }
                totals.freed_bytes = snapshot.freed_bytes(&gone, manifests).await?;
                snapshot.end().await?;
                self.show(run, &policy, &rows, &evaluated, stored.as_deref(), totals)
                    .await
            }
        }
    }

    /// Does what the policy asks for, the oldest image first.
    async fn act(
        &self,
        run: &ClaimedRun,
        policy: &LifecyclePolicy,
        rows: &[LifecycleRow],
        evaluated: &Evaluated,
        evaluated_at: Timestamp,
    ) -> Result<Option<Done>, WorkError> {
        let told = told::policy(run, policy);
        let (images, protected) = (rows.len() as u64, evaluated.protected.len() as u64);
        let taken = evaluated.taken.chunks(BATCH).map(|places| (places, false));
        let named = evaluated.protected.chunks(MAX_PROTECTED).take(1);
        let batches: Vec<_> = taken.chain(named.map(|places| (places, true))).collect();
        let is_idle = batches.is_empty();
        let mut status = LifecycleRunStatus::Complete;
        for (places, is_protected) in batches {
            let now = self.plane.now();
            let trail = told::trail(run, "PolicyExecutionEvent", now, self.request(now));
            let batch = LifecycleBatch {
                items: items(policy, rows, evaluated, places, is_protected),
                policy: told.clone(),
                images,
                protected,
                evaluated_at,
                at: now,
                lease_until: later(now, LEASE),
            };
            fail_point("lifecycle.batch.before");
            let applied = self.plane.store().apply_lifecycle_batch(run, batch);
            match trail.follow(applied).await? {
                BatchOutcome::Done(done) => self.count(&done),
                BatchOutcome::Superseded => {
                    status = LifecycleRunStatus::Superseded;
                    break;
                }
                BatchOutcome::Lost => return Ok(None),
            }
            fail_point("lifecycle.batch.after");
        }
        let totals = is_idle.then(|| LifecycleTotals {
            images,
            ..run.totals.clone()
        });
        Ok(Some(Done {
            status,
            totals,
            details: told::event(run, &told, &[]),
        }))
    }

    fn count(&self, done: &[LifecycleRunImage]) {
        for image in done {
            let count = match (&image.result, image.outcome) {
                (LifecycleResult::Done, LifecycleOutcome::Archive) => &self.metrics.archived,
                (LifecycleResult::Done, _) => &self.metrics.expired,
                (LifecycleResult::Failed { .. }, _) => &self.metrics.refused,
                (LifecycleResult::Skipped, _) => continue,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what the policy would do, the oldest image first.
    async fn show(
        &self,
        run: &ClaimedRun,
        policy: &LifecyclePolicy,
        rows: &[LifecycleRow],
        evaluated: &Evaluated,
        stored: Option<&[LifecycleVerdict]>,
        totals: LifecycleTotals,
    ) -> Result<Option<Done>, WorkError> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|place| rows.get(*place).map(|row| (row.pushed_at, row.digest)));
        for (page, places) in order.chunks(PAGE).enumerate() {
            let images = places.iter().filter_map(|place| {
                let (row, verdict) = (rows.get(*place)?, evaluated.verdicts.get(*place)?);
                Some(LifecyclePreviewImage {
                    digest: row.digest,
                    tags: row.tags.clone(),
                    pushed_ms: millis(row.pushed_at),
                    bytes: row.image_bytes,
                    is_archived: row.status == ImageStatus::Archived,
                    verdict: *verdict,
                    stored: stored.and_then(|stored| stored.get(*place)).copied(),
                })
            });
            let text = serde_json::to_string(&images.collect::<Vec<_>>()).map_err(StoreError::from)?;
            let (page, lease) = (i64::try_from(page).unwrap_or(i64::MAX), later(self.plane.now(), LEASE));
            let written = self.plane.store().put_lifecycle_preview_page(run, page, text, lease);
            if !written.await? {
                return Ok(None);
            }
            fail_point("lifecycle.preview.page");
        }
        let told = told::policy(run, policy);
        let named = evaluated.taken.iter().take(MAX_DRY_RUN);
        let named: Vec<_> = named
            .filter_map(|place| {
                let (row, verdict) = (rows.get(*place)?, evaluated.verdicts.get(*place)?);
                Some(told::action(row, verdict.rule?))
            })
            .collect();
        let mut details = told::event(run, &told, &[]);
        for (at, actions) in named.chunks(BATCH).enumerate() {
            details = told::event(run, &told, actions);
            // The last ones are told of when the preview is complete.
            if (at + 1) * BATCH < named.len() {
                let now = self.plane.now();
                let trail = told::trail(run, "DryRunEvent", now, self.request(now));
                let store = self.plane.store();
                let told = store.keep_lifecycle_run(run, later(now, LEASE), Some(details.clone()));
                if !trail.follow(told).await? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(Done {
            status: LifecycleRunStatus::Complete,
            totals: Some(totals),
            details,
        }))
    }

    /// An id for what nobody asked for.
    fn request(&self, at: Timestamp) -> RequestId {
        match self.plane.audit() {
            Some(audit) => audit.next_request(at),
            None => RequestId::Number(0),
        }
    }
}

/// What a run of `policy` does at `now` to the images of a repository, in this order: for tests that look at what comes
/// between evaluating and acting.
#[must_use]
pub fn lifecycle_items(policy: &LifecyclePolicy, rows: &[LifecycleRow], now: Timestamp) -> Vec<LifecycleItem> {
    let evaluated = evaluate(policy, rows, now);
    items(policy, rows, &evaluated, &evaluated.taken, false)
}

/// What is to be done, or not to be done, to the images at some places.
fn items(
    policy: &LifecyclePolicy,
    rows: &[LifecycleRow],
    evaluated: &Evaluated,
    places: &[usize],
    is_protected: bool,
) -> Vec<LifecycleItem> {
    let item = |place: &usize| {
        let (row, verdict) = (rows.get(*place)?, evaluated.verdicts.get(*place)?);
        let rule = verdict.rule?;
        Some(LifecycleItem {
            image: row.clone(),
            outcome: if is_protected {
                asked_for(policy, rule)
            } else {
                verdict.outcome
            },
            rule,
            counts_pulls: counts_pulls(policy, rule),
            is_protected,
        })
    };
    places.iter().filter_map(item).collect()
}

/// Whether a rule looks at when images were pulled.
fn counts_pulls(policy: &LifecyclePolicy, rule: u32) -> bool {
    let rule = RulePriority::new(rule).and_then(|priority| policy.rule(priority));
    matches!(rule.and_then(LifecycleRule::count), Some(Count::SinceImagePulled(_)))
}

/// What a rule does to the images that it takes.
fn asked_for(policy: &LifecyclePolicy, rule: u32) -> LifecycleOutcome {
    let rule = RulePriority::new(rule).and_then(|priority| policy.rule(priority));
    match rule.map(LifecycleRule::action) {
        Some(LifecycleAction::Transition) => LifecycleOutcome::Archive,
        Some(LifecycleAction::Expire | LifecycleAction::Retain) | None => LifecycleOutcome::Expire,
    }
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
