// SPDX-License-Identifier: Apache-2.0
//! The one writer of an embedded database: waiting transactions share one commit, and so one fsync.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use hythe_model::fail_point;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::StoreError;
use crate::audit::{NewAuditRecords, Recording, insert};
use crate::error::is_failed_sync;
use crate::session::{Connection, Session};

/// The most transactions in one commit.
const MAX_BATCH: usize = 64;
/// The most transactions that wait; one more is answered `Busy`.
pub(crate) const MAX_WAITING_WRITES: usize = 1024;

const THREAD: &str = "hythe-writer";

/// What must survive when a transaction has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Durability {
    /// The end of the process. A power cut may undo the latest such transactions, in whole and from the end.
    Relaxed,
    /// A power cut too.
    Full,
}

impl Durability {
    /// A text, not a prepared statement: SQLite obeys this pragma when it compiles it, and does nothing when it
    /// runs one that was compiled earlier (<https://sqlite.org/pragma.html>).
    fn pragma(self) -> &'static str {
        if hythe_model::Sync::Database.is_missing() {
            return "PRAGMA synchronous = OFF"; // a mistake that a test has planted
        }
        match self {
            Self::Relaxed => "PRAGMA synchronous = NORMAL",
            Self::Full => "PRAGMA synchronous = FULL",
        }
    }
}

/// Where transactions queue.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    stop: CancellationToken,
    is_failing: Arc<AtomicBool>,
}

impl Writer {
    /// `session` must be at full durability. Its statements, and the syncs of the disk, run on a thread of their own, so
    /// that a batch of any size costs one switch to it and one back.
    pub(crate) fn start(session: Session, tracker: &TaskTracker) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(MAX_WAITING_WRITES);
        let stop = CancellationToken::new();
        let is_failing = Arc::default();
        let committer = Committer {
            session,
            durability: Some(Durability::Full),
            is_failing: Arc::clone(&is_failing),
        };
        let serving = serve(committer, waiting, stop.clone());
        let token = tracker.token();
        thread::Builder::new().name(THREAD.into()).spawn(move || {
            futures::executor::block_on(serving);
            drop(token);
        })?;
        Ok(Self {
            queue,
            stop,
            is_failing,
        })
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether it takes transactions: until it is stopped, or a sync fails.
    pub(crate) fn is_alive(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Whether the disk refused the last commit.
    pub(crate) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// Takes no more transactions; those that wait are still done.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Runs `body` in a transaction, which is as durable as asked for when this returns. If the caller goes
    /// away, the transaction happens as a whole or not at all. What it changes is recorded in it as `recording` says.
    pub(crate) async fn run<A, T, E, F>(
        &self,
        durability: Durability,
        recording: Option<Recording>,
        input: A,
        body: F,
    ) -> Result<T, E>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'s> Fn(&'s mut Session, &'s A) -> BoxFuture<'s, Result<T, E>> + Send + Sync + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Pending {
            durability,
            recording,
            is_recorded: false,
            input,
            body,
            result: None,
            answer,
        };
        self.queue.try_send(Box::new(job)).map_err(|_| StoreError::Busy)?;
        // The writer drops a job unanswered only if its body panicked.
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::Corrupt("a transaction did not end".into()).into()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A transaction that waits. It may be run more than once, if what it was batched with could not be committed.
#[async_trait]
trait Job: Send {
    fn durability(&self) -> Durability;
    fn is_wanted(&self) -> bool;
    /// Runs the statements; says whether they shall be kept.
    async fn run(&mut self, session: &mut Session) -> bool;
    /// What the audit log shall say about them.
    fn record(&mut self, session: &mut Session) -> Option<NewAuditRecords>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Pending<A, T, E, F> {
    durability: Durability,
    recording: Option<Recording>,
    is_recorded: bool,
    input: A,
    body: F,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

#[async_trait]
impl<A, T, E, F> Job for Pending<A, T, E, F>
where
    A: Send + Sync,
    T: Send,
    E: From<StoreError> + Send,
    F: for<'s> Fn(&'s mut Session, &'s A) -> BoxFuture<'s, Result<T, E>> + Send + Sync,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    async fn run(&mut self, session: &mut Session) -> bool {
        session.start_changes();
        self.is_recorded = false;
        // A panic must not end the writer: the others in the batch are not to blame.
        self.result = AssertUnwindSafe((self.body)(session, &self.input))
            .catch_unwind()
            .await
            .ok();
        matches!(self.result, Some(Ok(_)))
    }

    fn record(&mut self, session: &mut Session) -> Option<NewAuditRecords> {
        let record = self.recording.as_ref()?.record(&session.take_changes()?);
        self.is_recorded = true;
        Some(record)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        if let Some(recording) = self.recording.filter(|_| self.is_recorded && committed.is_ok()) {
            recording.trail.set_recorded();
        }
        let answer = match (self.result, committed) {
            (Some(Ok(_)) | None, Err(error)) => Err(error.into()),
            (Some(result), _) => result,
            (None, Ok(())) => return,
        };
        // Nobody may be waiting any more.
        let _ = self.answer.send(answer);
    }
}

/// The connection that writes, and what it is set to.
struct Committer {
    session: Session,
    // INVARIANT: what `PRAGMA synchronous` of the connection says; `None` while that is not known.
    durability: Option<Durability>,
    is_failing: Arc<AtomicBool>,
}

async fn serve(mut committer: Committer, mut waiting: mpsc::Receiver<Box<dyn Job>>, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !waiting.is_closed() => waiting.close(),
            count = waiting.recv_many(&mut batch, MAX_BATCH) => {
                if count == 0 {
                    break;
                }
                batch.retain(|job| job.is_wanted());
                if !write_batch(&mut committer, &mut batch).await {
                    tracing::error!("a sync of the database failed: it takes no more writes until the server is started again");
                    break;
                }
            }
        }
    }
    // Who waits is told that it was not done.
    drop(waiting);
    if let Connection::Embedded(connection) = committer.session.into_connection()
        && let Err(error) = connection.close()
    {
        tracing::warn!(%error, "cannot close the database");
    }
}

/// Commits all jobs at once if that works, and each alone if it does not, so that one cannot spoil another. Says whether
/// to go on: behind a sync that failed, the log may have a hole that no later sync mends, and after a power cut nothing
/// behind a hole is found again.
async fn write_batch(committer: &mut Committer, batch: &mut Vec<Box<dyn Job>>) -> bool {
    let mut outcome = commit(committer, batch).await;
    let mut goes_on = !outcome.as_ref().is_err_and(is_failed_sync);
    let is_alone = batch.len() <= 1;
    for mut job in batch.drain(..) {
        match &outcome {
            Ok(()) => job.answer(Ok(())),
            // Another process has the file; each alone would wait for it as long again.
            Err(StoreError::Busy) => job.answer(Err(StoreError::Busy)),
            Err(_) if is_alone => job.answer(std::mem::replace(&mut outcome, Ok(()))),
            Err(_) if !goes_on => job.answer(Err(StoreError::Busy)),
            Err(_) => {
                let alone = commit(committer, std::slice::from_mut(&mut job)).await;
                goes_on = !alone.as_ref().is_err_and(is_failed_sync);
                job.answer(alone);
            }
        }
    }
    goes_on
}

async fn commit(committer: &mut Committer, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let done = try_commit(committer, jobs).await;
    committer
        .is_failing
        .store(matches!(done, Err(StoreError::Disk(_))), Ordering::Relaxed);
    if done.is_err() {
        // Fails if SQLite has rolled back by itself, as it does when the disk is full.
        let _ = committer.session.execute("ROLLBACK", &[]).await;
    }
    done
}

async fn try_commit(committer: &mut Committer, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    // Syncing the log for one syncs all that lies in it, also what earlier relaxed commits left there.
    let Some(needed) = jobs.iter().map(|job| job.durability()).max() else {
        return Ok(());
    };
    let Committer {
        session, durability, ..
    } = committer;
    if *durability != Some(needed) {
        *durability = None;
        session.execute_raw(needed.pragma()).await?;
        *durability = Some(needed);
    }
    // Of a batch that was rolled back.
    drop(session.take_touched());
    if let [job] = jobs {
        session.execute("BEGIN IMMEDIATE", &[]).await?;
        if job.run(session).await {
            let record = job.record(session);
            insert(session, record.iter().map(|record| (record, None))).await?;
            return end(session).await;
        }
        // A job that failed because SQLite rolled back has its own error to tell.
        let _ = session.execute("ROLLBACK", &[]).await;
        return Ok(());
    }
    session.execute("BEGIN IMMEDIATE", &[]).await?;
    let mut records = Vec::new();
    for job in jobs {
        session.execute("SAVEPOINT job", &[]).await?;
        if job.run(session).await {
            records.extend(job.record(session));
        } else {
            // Fails if the whole transaction is gone, which the caller then repeats job by job.
            session.execute("ROLLBACK TO job", &[]).await?;
        }
        session.execute("RELEASE job", &[]).await?;
    }
    insert(session, records.iter().map(|record| (record, None))).await?;
    end(session).await
}

async fn end(session: &mut Session) -> Result<(), StoreError> {
    let touched = session.take_touched();
    // Between the two nothing of this is read from memory; after the second, only what was read after the commit.
    session.turn(&touched);
    fail_point("meta.commit.before");
    let committed = session.execute("COMMIT", &[]).await.map(drop);
    fail_point("meta.commit.after");
    session.turn(&touched);
    committed
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::sync::{Notify, Semaphore};

    use super::*;
    use crate::embedded::Embedded;
    use crate::session::values;

    const INSERT: &str = "INSERT INTO thing (id, bytes) VALUES ($1, $2)";
    const COUNT: &str = "SELECT COUNT(*) FROM thing";

    /// A writer on a table of its own, in a database of at most 64 pages.
    async fn writer(folder: &tempfile::TempDir) -> (Writer, TaskTracker) {
        let path = folder.path().join("test.db");
        std::fs::File::create(&path).unwrap();
        let mut connection = Embedded::open(&path, false, Duration::from_secs(5)).unwrap();
        let limits = "PRAGMA page_size = 4096; PRAGMA max_page_count = 64";
        connection.run_script(limits).unwrap();
        let mut session = Session::new(Connection::Embedded(connection), None);
        let table = "CREATE TABLE thing (id BIGINT NOT NULL PRIMARY KEY, bytes BYTEA NOT NULL)";
        session.execute_script(table.into()).await.unwrap();
        let tracker = TaskTracker::new();
        let writer = Writer::start(session, &tracker).unwrap();
        tracker.close();
        (writer, tracker)
    }

    /// A transaction that keeps the writer busy until it is let go.
    #[derive(Debug)]
    struct Hold {
        started: Notify,
        go: Semaphore,
    }

    /// Runs `jobs` while the writer is busy until `is_queued` says that they all wait, so that they come in one batch.
    async fn batched<T>(writer: &Writer, jobs: impl Future<Output = T>, is_queued: impl Fn() -> bool) -> T {
        let hold = Arc::new(Hold {
            started: Notify::new(),
            go: Semaphore::new(0),
        });
        let busy = writer.run(Durability::Relaxed, None, Arc::clone(&hold), |_, hold| {
            Box::pin(async move {
                hold.started.notify_one();
                hold.go.acquire().await.map(drop).map_err(|_| StoreError::Busy)
            })
        });
        let others = async {
            hold.started.notified().await;
            let release = async {
                while !is_queued() {
                    tokio::task::yield_now().await;
                }
                hold.go.add_permits(1);
            };
            tokio::join!(jobs, release).0
        };
        let (released, outcome) = tokio::join!(busy, others);
        released.unwrap();
        outcome
    }

    async fn insert(writer: &Writer, id: i64, size: usize) -> Result<u64, StoreError> {
        let input = (id, vec![7_u8; size]);
        writer
            .run(Durability::Full, None, input, |session, (id, bytes)| {
                Box::pin(session_insert(session, *id, bytes))
            })
            .await
    }

    async fn session_insert(session: &mut Session, id: i64, bytes: &[u8]) -> Result<u64, StoreError> {
        session.execute(INSERT, values![id, bytes]).await
    }

    async fn count(writer: &Writer) -> i64 {
        writer
            .run(Durability::Full, None, (), |session, ()| {
                Box::pin(async move { session.fetch_one(COUNT, values![]).await?.int(0) })
            })
            .await
            .unwrap_or_else(|error: StoreError| panic!("{error}"))
    }

    #[tokio::test]
    async fn a_full_disk_fails_only_what_does_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _tracker) = writer(&folder).await;
        let sizes = [10, 10, 10, 1_000_000, 10, 10, 1_000_000, 10];
        let inserts = sizes.iter().zip(0..).map(|(size, id)| insert(&writer, id, *size));
        let is_queued = || writer.waiting() == sizes.len();
        let outcomes = batched(&writer, join_all(inserts), is_queued).await;
        for (outcome, size) in outcomes.iter().zip(sizes) {
            match outcome {
                Ok(rows) => assert_eq!((*rows, size), (1, 10)),
                Err(error) => assert!(matches!(error, StoreError::Full) && size > 10, "{size}: {error:?}"),
            }
        }
        assert_eq!(count(&writer).await, 6);
    }

    #[tokio::test]
    async fn a_constraint_fails_only_the_one_that_breaks_it() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _tracker) = writer(&folder).await;
        let inserts = join_all([1, 2, 1, 3, 2, 4].map(|id| insert(&writer, id, 1)));
        let outcomes = batched(&writer, inserts, || writer.waiting() == 6).await;
        let kept: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(kept, [true, true, false, true, false, true]);
        assert_eq!(count(&writer).await, 4);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _tracker) = writer(&folder).await;
        let panics = writer.run(Durability::Full, None, (), |session, ()| {
            Box::pin(async move {
                session_insert(session, 100, &[]).await?;
                panic!("a mistake");
                #[allow(unreachable_code, reason = "says what the type is")]
                Ok::<u64, StoreError>(0)
            })
        });
        let all = async { tokio::join!(insert(&writer, 1, 1), panics, insert(&writer, 2, 1)) };
        let (before, outcome, behind) = batched(&writer, all, || writer.waiting() == 3).await;
        assert!(matches!(outcome, Err(StoreError::Corrupt(_))), "{outcome:?}");
        assert!(before.is_ok() && behind.is_ok());
        assert_eq!(count(&writer).await, 2);
    }

    #[tokio::test]
    async fn a_full_queue_is_busy_and_a_stop_finishes_it() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, tracker) = writer(&folder).await;
        let (is_full, is_refused) = (|| writer.waiting() == MAX_WAITING_WRITES, AtomicBool::new(false));
        let inserts = join_all((0..).take(MAX_WAITING_WRITES).map(|id| insert(&writer, id, 1)));
        let one_more = async {
            while !is_full() {
                tokio::task::yield_now().await;
            }
            let last = insert(&writer, -3, 1).await;
            is_refused.store(true, Ordering::SeqCst);
            last
        };
        let all = async { tokio::join!(inserts, one_more) };
        let (others, last) = batched(&writer, all, || is_refused.load(Ordering::SeqCst)).await;
        assert!(matches!(last, Err(StoreError::Busy)), "{last:?}");
        assert!(others.iter().all(Result::is_ok));

        let last = insert(&writer, -1, 1);
        writer.stop();
        drop(last);
        tracker.wait().await;
        assert!(!writer.is_alive());
        assert!(matches!(insert(&writer, -2, 1).await, Err(StoreError::Busy)));
    }

    /// What the commit of the transaction in progress obeys: 1 is NORMAL, 2 is FULL.
    async fn synchronous(session: &mut Session) -> Result<i64, StoreError> {
        session.fetch_one("PRAGMA synchronous", values![]).await?.int(0)
    }

    async fn level(writer: &Writer, durability: Durability) -> i64 {
        let level = writer.run(durability, None, (), |session, ()| Box::pin(synchronous(session)));
        level.await.unwrap_or_else(|error: StoreError| panic!("{error}"))
    }

    #[tokio::test]
    async fn only_what_is_all_relaxed_is_committed_without_a_sync() {
        use Durability::{Full, Relaxed};

        let folder = tempfile::tempdir().unwrap();
        let (writer, _tracker) = writer(&folder).await;
        // Back and forth: a pragma that was prepared once would not take effect again.
        for _ in 0..3 {
            assert_eq!(level(&writer, Full).await, 2);
            assert_eq!(level(&writer, Relaxed).await, 1);
            assert_eq!(level(&writer, Relaxed).await, 1);
        }
        let batches: [&[Durability]; 4] = [
            &[Relaxed, Relaxed],
            &[Relaxed, Full],
            &[Full, Relaxed, Relaxed],
            &[Relaxed; 5],
        ];
        for batch in batches {
            let expected = if batch.contains(&Full) { 2 } else { 1 };
            let levels = join_all(batch.iter().map(|durability| level(&writer, *durability)));
            let levels = batched(&writer, levels, || writer.waiting() == batch.len()).await;
            assert!(levels.iter().all(|level| *level == expected), "{batch:?}: {levels:?}");
        }
    }

    #[tokio::test]
    async fn what_is_repeated_alone_has_the_durability_it_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _tracker) = writer(&folder).await;
        // Does not fit, so that all are rolled back and done one by one.
        let large = writer.run(Durability::Full, None, (), |session, ()| {
            Box::pin(async move { session_insert(session, 1, &vec![7; 1_000_000]).await })
        });
        let (relaxed, full) = (level(&writer, Durability::Relaxed), level(&writer, Durability::Full));
        let all = async { tokio::join!(large, relaxed, full) };
        let (large, relaxed, full) = batched(&writer, all, || writer.waiting() == 3).await;
        assert!(matches!(large, Err(StoreError::Full)), "{large:?}");
        assert_eq!((relaxed, full), (1, 2));
    }
}
