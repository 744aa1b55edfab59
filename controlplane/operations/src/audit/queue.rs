// SPDX-License-Identifier: Apache-2.0
//! Records of requests that change nothing. A request leaves its time with others of which the same is known
//! (`waiting.rs`) and goes; ids, texts, hashes and rows are made by a pass in the background, twice a second, and before
//! the log is read.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rand;
use hythe_access::{AuditLog, Facts, RequestId, Trail};
use hythe_meta::{AuditMember, Auditor, MAX_RUN_MILLIS, MAX_RUN_RECORDS, NewAuditRecords, Store, StoreError};
use hythe_model::{Clock, from_millis, millis};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::waiting::{Groups, Members, Seed, Taken, Waiting};
use crate::CryptoError;

/// How much memory records take at most that wait, in bytes, unless the operator says otherwise: 32 MiB. Requests of
/// which the same is known take about a kilobyte together and eight bytes each.
pub const DEFAULT_MAX_WAITING_BYTES: usize = 32 * 1024 * 1024;
/// How long a record waits at most before it is written, if the database keeps up. A quarter of the second that may be lost is
/// left for the writing.
const PERIOD: Duration = Duration::from_millis(500);
/// How often old records are looked for.
const RETENTION_PERIOD: Duration = Duration::from_mins(10);
/// How many rows are deleted in one transaction, and how many times in one pass.
const EXPIRE_ROWS: usize = 1000;
const EXPIRE_TIMES: usize = 100;
/// How many rows are written in one transaction: each holds the writer up.
const MAX_ROWS_PER_PASS: usize = 2048;

/// What happens to requests that change nothing when too many records wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// They are answered; a record says how many have none.
    #[default]
    Count,
    /// They are turned away.
    Refuse,
}

/// How the queue does.
#[derive(Debug, Default)]
pub struct AuditMetrics {
    /// Records that were written, without those that were written with a change.
    pub written: AtomicU64,
    /// Records of changes that got their place in the chain.
    pub sealed: AtomicU64,
    /// Records that were lost, since too many waited.
    pub lost: AtomicU64,
    /// Records that were deleted because of their age.
    pub expired: AtomicU64,
}

/// The queue, and the pass that empties it.
#[derive(Debug)]
pub struct AuditQueue {
    store: Store,
    clock: Arc<dyn Clock>,
    auditor: Auditor,
    records_reads: bool,
    when_full: WhenFull,
    waiting: Waiting,
    /// What a pass has taken and not written yet; also sees to it that there is one pass at a time.
    taken: tokio::sync::Mutex<Unwritten>,
    /// Lost since the last record that says so.
    lost: AtomicU64,
    ids: Arc<Ids>,
    nudge: Notify,
    tasks: TaskTracker,
    metrics: AuditMetrics,
}

/// What a pass has taken.
#[derive(Debug, Default)]
struct Unwritten {
    /// Rows, of which some may be written.
    rows: Vec<NewAuditRecords>,
    /// What is to be made rows of, the latest first.
    groups: Vec<(Box<Facts>, Members)>,
    /// How much memory the queue holds for it.
    bytes: usize,
}

/// Makes ids: 48 bits are the time, 40 are of this process, and 40 are counted.
#[derive(Debug)]
struct Ids {
    instance: u64,
    next: AtomicU64,
}

/// How many bits of an id are counted; as many are of the process.
const COUNTED_BITS: u32 = 40;

impl Ids {
    /// The first of so many numbers that follow each other.
    fn reserve(&self, count: usize) -> u64 {
        self.next.fetch_add(count as u64, Ordering::Relaxed)
    }

    fn at(&self, at: Timestamp, number: u64) -> RequestId {
        let counted = number & ((1 << COUNTED_BITS) - 1);
        RequestId::at(at, u128::from(self.instance) << COUNTED_BITS | u128::from(counted))
    }

    fn one(&self, at: Timestamp) -> RequestId {
        self.at(at, self.reserve(1))
    }
}

impl AuditQueue {
    /// A queue in front of `store`, which from now on records changes by itself.
    pub fn new(store: Store, clock: Arc<dyn Clock>, auditor: Auditor) -> Result<Self, CryptoError> {
        store.set_auditor(auditor.clone());
        let mut instance = [0; 8];
        rand::fill(&mut instance)?;
        Ok(Self {
            store,
            clock,
            auditor,
            records_reads: true,
            when_full: WhenFull::default(),
            waiting: Waiting::new(DEFAULT_MAX_WAITING_BYTES),
            taken: tokio::sync::Mutex::default(),
            lost: AtomicU64::new(0),
            ids: Arc::new(Ids {
                instance: u64::from_be_bytes(instance),
                next: AtomicU64::new(0),
            }),
            nudge: Notify::new(),
            tasks: TaskTracker::new(),
            metrics: AuditMetrics::default(),
        })
    }

    /// How much memory records may take that wait, in bytes, and what happens then.
    #[must_use]
    pub fn bounded(self, max_bytes: usize, when_full: WhenFull) -> Self {
        Self {
            waiting: Waiting::new(max_bytes),
            when_full,
            ..self
        }
    }

    /// Records only what changes something, or is refused.
    #[must_use]
    pub fn without_reads(self) -> Self {
        Self {
            records_reads: false,
            ..self
        }
    }

    /// How many records wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.records()
    }

    /// How it does.
    #[must_use]
    pub fn metrics(&self) -> &AuditMetrics {
        &self.metrics
    }

    /// Writes what waits, until `stop`; then once more, so that a clean end loses nothing.
    pub async fn run(&self, stop: CancellationToken) {
        let mut looked_for_old_at = None;
        loop {
            let is_last = stop.is_cancelled();
            if let Err(error) = self.flush().await {
                tracing::warn!(error = %error, "cannot write to the audit log; the next pass tries again");
            }
            if is_last {
                self.tasks.close();
                self.tasks.wait().await;
                return;
            }
            let now = tokio::time::Instant::now();
            if looked_for_old_at.is_none_or(|last| now.duration_since(last) >= RETENTION_PERIOD) {
                looked_for_old_at = Some(now);
                if let Err(error) = self.expire().await {
                    tracing::warn!(error = %error, "cannot delete old records of the audit log; the next pass tries again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// The same as [`Self::flush`], for callers that may go away in the middle.
    pub async fn flush_to_the_end(self: Arc<Self>) -> Result<(), StoreError> {
        let tasks = self.tasks.clone();
        let flushed = tasks.spawn(async move { self.flush().await }).await;
        flushed.map_err(|error| StoreError::Corrupt(error.to_string()))?
    }

    /// Writes what waits now, and gives what was changed its place in the chain. Must run to its end: what was
    /// written, and not yet crossed off, would be written again.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let mut taken = self.taken.lock().await;
        // What could not be written the last time comes first, and nothing beside it: memory stays bounded while the
        // database does not answer.
        if !taken.rows.is_empty() {
            // The commit whose answer did not come may have been one.
            self.store.forget_written_audit_records(&mut taken.rows).await?;
        }
        self.write(&mut taken).await?;
        let Taken { groups, bytes } = self.waiting.take();
        taken.groups = merge(groups);
        taken.bytes = bytes;
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let now = self.clock.now();
            let told = confession(lost, now, self.ids.one(now), &self.auditor);
            taken.rows.push(told);
        }
        self.write(&mut taken).await
    }

    async fn write(&self, taken: &mut Unwritten) -> Result<(), StoreError> {
        loop {
            if taken.rows.is_empty() && !taken.groups.is_empty() {
                let from = taken.groups.len().saturating_sub(MAX_ROWS_PER_PASS);
                let groups = taken.groups.split_off(from);
                let (auditor, ids) = (self.auditor.clone(), Arc::clone(&self.ids));
                // Making texts of thousands of requests would hold up those that share the thread.
                let made = tokio::task::spawn_blocking(move || rows(groups, &auditor, &ids)).await;
                taken.rows = made.map_err(|error| StoreError::Corrupt(error.to_string()))?;
            }
            let count = taken.rows.len().min(MAX_ROWS_PER_PASS);
            let part = taken.rows.get(..count).unwrap_or_default();
            let sealing = self.store.seal_audit_events(part, self.clock.now()).await?;
            let records: usize = part.iter().map(NewAuditRecords::len).sum();
            self.metrics.written.fetch_add(records as u64, Ordering::Relaxed);
            self.metrics.sealed.fetch_add(sealing.changes as u64, Ordering::Relaxed);
            taken.rows.drain(..count);
            if taken.rows.is_empty() && taken.groups.is_empty() && !sealing.has_more {
                self.waiting.release(std::mem::take(&mut taken.bytes));
                return Ok(());
            }
        }
    }

    /// Deletes what is older than the settings say.
    pub async fn expire(&self) -> Result<(), StoreError> {
        let days = self.store.audit_settings().await?.retention_days;
        if days == 0 {
            return Ok(());
        }
        let age = SignedDuration::from_hours(24 * i64::from(days));
        let before = self.clock.now().checked_sub(age).unwrap_or(Timestamp::MIN);
        for _ in 0..EXPIRE_TIMES {
            let expired = self.store.expire_audit_events(before, EXPIRE_ROWS).await?;
            if expired == 0 {
                break;
            }
            self.metrics.expired.fetch_add(expired, Ordering::Relaxed);
            tracing::info!(records = expired, "deleted old records of the audit log");
        }
        Ok(())
    }
}

#[async_trait]
impl AuditLog for AuditQueue {
    fn next_request(&self, at: Timestamp) -> RequestId {
        self.ids.one(at)
    }

    fn finished(&self, trail: &Trail) {
        if trail.is_recorded() {
            return;
        }
        let (at, request) = (millis(trail.began_at()), trail.request());
        let outcome = trail.add(|facts| {
            let is_wanted = self.records_reads || facts.is_change || facts.status >= 400;
            is_wanted.then(|| self.waiting.push(at, request, facts))
        });
        match outcome {
            // Once, on the way up.
            Some(Ok(true)) => self.nudge.notify_one(),
            Some(Ok(false)) | None => {}
            Some(Err(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                self.metrics.lost.fetch_add(1, Ordering::Relaxed);
                self.nudge.notify_one();
            }
        }
    }

    fn is_full(&self) -> bool {
        self.when_full == WhenFull::Refuse && self.waiting.is_full()
    }
}

/// Puts together what threads have kept apart, the latest first.
fn merge(shards: Vec<Groups>) -> Vec<(Box<Facts>, Members)> {
    let mut shards = shards.into_iter();
    let mut all = shards.next().unwrap_or_else(|| Groups::with_hasher(Seed::default()));
    for (facts, members) in shards.flatten() {
        all.entry(facts).or_default().append(members);
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|(_, members)| Reverse(members.times.iter().min().copied()));
    all
}

/// One row for requests of which the same is known, as far as they are not too many or too long apart.
fn rows(groups: Vec<(Box<Facts>, Members)>, auditor: &Auditor, ids: &Ids) -> Vec<NewAuditRecords> {
    let mut records = Vec::with_capacity(groups.len());
    for (facts, Members { times, requests }) in groups {
        let mut own = requests.into_iter().peekable();
        let first = ids.reserve(times.len());
        let mut members: Vec<_> = times
            .iter()
            .zip(first..)
            .enumerate()
            .map(|(place, (at, number))| {
                let (at, own) = (from_millis(*at), own.next_if(|(of, _)| *of == place));
                let request = own.map_or_else(|| ids.at(at, number), |(_, request)| request);
                AuditMember { at, request }
            })
            .collect();
        members.sort_by_key(|member| member.at);
        let mut rest = members.as_slice();
        while let Some(first) = rest.first() {
            let is_near = |member: &&AuditMember| millis(member.at) - millis(first.at) < MAX_RUN_MILLIS;
            let count = rest.iter().take(MAX_RUN_RECORDS).take_while(is_near).count();
            let (run, later) = rest.split_at(count.max(1));
            records.push(NewAuditRecords::new(&facts, run, auditor));
            rest = later;
        }
    }
    // The chain follows time as far as it can.
    records.sort_by(NewAuditRecords::by_time);
    records
}

/// The record that says how many there are not.
fn confession(lost: u64, at: Timestamp, request: RequestId, auditor: &Auditor) -> NewAuditRecords {
    let facts = Facts {
        operation: "audit.lose",
        default_event: "AuditRecordsLost",
        parameters: vec![("records".into(), lost.to_string())],
        status: 503,
        error: Some((
            "AuditRecordsLost".into(),
            format!("{lost} requests that changed nothing have no record, since too many came at once"),
        )),
        ..Facts::default()
    };
    NewAuditRecords::new(&facts, &[AuditMember { at, request }], auditor)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hythe_meta::{AuditFilter, StoreConfig};
    use hythe_model::{ManualClock, Region};

    use super::*;

    async fn queue(folder: &tempfile::TempDir) -> AuditQueue {
        let path = folder.path().join("meta.db");
        let store = Store::open(&StoreConfig::Sqlite { path }).await.unwrap();
        let clock = Arc::new(ManualClock::new("2026-11-01T00:00:00Z".parse().unwrap()));
        AuditQueue::new(
            store,
            clock,
            Auditor::new(Region::default(), Arc::new(|_: &[u8]| [7; 32])),
        )
        .unwrap()
    }

    fn pull(queue: &AuditQueue, status: u16) {
        let facts = Facts {
            operation: "blob.read",
            default_event: "GetDownloadUrlForLayer",
            status,
            error: (status >= 400).then(|| ("DENIED".into(), "no".into())),
            ..Facts::default()
        };
        queue.finished(&Trail::without_id(queue.clock.now(), facts));
    }

    async fn rows(queue: &AuditQueue) -> Vec<serde_json::Value> {
        let page = queue
            .store
            .audit_events(&AuditFilter::default(), None, 1000)
            .await
            .unwrap();
        page.records
            .iter()
            .map(|record| serde_json::from_str(&record.json).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn equal_requests_share_a_row_and_each_has_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let queue = queue(&folder).await;
        (0..1500).for_each(|_| pull(&queue, 200));
        pull(&queue, 403);
        queue.flush().await.unwrap();
        let verified = queue.store.verify_audit_events(None, u64::MAX).await.unwrap();
        assert_eq!((verified.records, verified.is_complete), (1501, true), "{verified:?}");
        let rows = rows(&queue).await;
        let mut ids: Vec<_> = rows.iter().map(|row| row["eventID"].as_str().unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((rows.len(), ids.len()), (1000, 1000));
        assert_eq!(queue.metrics.written.load(Ordering::Relaxed), 1501);
    }

    #[tokio::test]
    async fn what_is_lost_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let queue = queue(&folder).await.bounded(40_000, WhenFull::Refuse);
        // Each of another kind, so that each takes room of its own.
        (400..500).for_each(|status| pull(&queue, status));
        assert!(queue.is_full());
        let (kept, lost) = (queue.waiting(), queue.metrics.lost.load(Ordering::Relaxed));
        assert!(kept > 0 && lost > 0 && kept + lost == 100, "{kept} {lost}");
        queue.flush().await.unwrap();
        assert!(!queue.is_full());
        let rows = rows(&queue).await;
        let told = rows.iter().find(|row| row["eventName"] == "AuditRecordsLost").unwrap();
        assert_eq!(told["requestParameters"]["records"], lost);
        assert_eq!(rows.len() as u64, kept + 1);
    }

    #[tokio::test]
    async fn without_reads_what_is_refused_is_still_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let queue = queue(&folder).await.without_reads();
        for status in [200, 304, 403] {
            pull(&queue, status);
        }
        queue.flush().await.unwrap();
        let rows = rows(&queue).await;
        assert_eq!((rows.len(), &rows[0]["errorCode"]), (1, &"DENIED".into()));
    }

    #[tokio::test]
    async fn old_records_go_and_the_rest_can_be_verified() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meta.db");
        let store = Store::open(&StoreConfig::Sqlite { path }).await.unwrap();
        let clock = Arc::new(ManualClock::new("2026-11-01T00:00:00Z".parse().unwrap()));
        let auditor = Auditor::new(
            Region::default(),
            Arc::new(|text: &[u8]| [text.len().try_into().unwrap(); 32]),
        );
        let queue = AuditQueue::new(store, Arc::clone(&clock) as _, auditor).unwrap();
        for _ in 0..3 {
            pull(&queue, 200);
            queue.flush().await.unwrap();
            clock.advance_seconds(60 * 86_400);
        }
        queue.expire().await.unwrap();
        let verified = queue.store.verify_audit_events(None, u64::MAX).await.unwrap();
        assert_eq!(
            (verified.from.sequence, verified.records, verified.is_complete),
            (2, 1, true),
            "{verified:?}"
        );
        queue.store.put_audit_settings(0, None).await.unwrap();
        clock.advance_seconds(10_000 * 86_400);
        queue.expire().await.unwrap();
        assert_eq!(rows(&queue).await.len(), 1);
    }
}
